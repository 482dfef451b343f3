"""Ensembles of elicitation methods: several methods, one answer, one confidence.

The body of Du et al. (arXiv 2606.19950), who call it fusion, is not public here. This module
implements what its abstract states: combine several methods, add an expert's assessment. Every
choice below is ours:

- each member's graded answer is a *distribution over the candidate answers*: its confidence on its
  own answer, the rest spread evenly over the other options (over the other named answers and one
  "something else" where the options are not known), or its option probabilities where it has them;
- the average of these needs no labels (a linear opinion pool);
- a trained ensemble weights them: a logistic regression on the log-odds of every member, no weight
  below zero, so that more confidence never lowers the combined one.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit

from medcal_nb.answer_key import answer_key
from medcal_nb.errors import NotEnough
from medcal_nb.measure import Bootstrap, auroc_test, holm, metrics_table
from medcal_nb.measure.paired import Mean, means, paired
from medcal_nb.measure.resampling import logit, two_sided_p
from medcal_nb.measure.rows import arrays, image_labels, parts_by

from .crossfit import N_FOLDS, by_fold, folds_of
from .families import fit_smoothed
from .maps import RecalibrationWarning, fit

AVERAGE = "average"
WITH_EXPERT = "average + expert"
#: The method that holds an expert's assessment: a member of "average + expert" alone.
EXPERT = "expert"
TRAINED = ", trained"
#: Probabilities are moved into [CLIP, 1 - CLIP] before their log-odds are taken.
CLIP = 1e-3
BY = ("model", "dataset")

_SIZE = 0.05  # of the tests behind a conclusion, all together
_LEAST_SHARE = 0.8  # of the items that a member must have answered
_KEYS = [*BY, "ensemble", "recalibration", "kind"]
_ITEM = [*BY, "item_id", "image_id"]  # what an item is, and what intervals are by


# --- members --------------------------------------------------------------------------------------


def single_answer(graded: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Rows whose methods judge one and the same answer, where no row has the text of one.

    Recorded confidences often come without the answers: all are then about the model's one answer
    to the item. Every row gets a stand-in for it, the same for all.

    Parameters
    ----------
    graded : DataFrame
        Graded answers.

    Returns
    -------
    rows : DataFrame
        Unchanged where answers have texts. Items that methods grade differently (their labels are
        of different makes) are left out.

        - the columns of `graded`
    n_left_out : int
        Number of items left out.

    Examples
    --------
    >>> from medcal_nb.measure import example_answers
    >>> rows, n_left_out = single_answer(example_answers(strategies=["p_true"]))
    >>> n_left_out
    0
    """
    if graded["answer"].notna().any():
        return graded, 0
    item = [*BY, "item_id"]
    differ = graded.groupby(item)["correct"].transform("nunique") > 1
    n_left_out = len(graded.loc[differ, item].drop_duplicates())
    return graded[~differ].assign(answer="the answer"), n_left_out


@dataclass(frozen=True)
class Members:
    """What each member gives each candidate answer of each item, for one model and data set.

    Attributes
    ----------
    items : DataFrame
        One row per item, by its id: model, data set, image.
    candidates : DataFrame
        The different answers to the items: item_id, key, answer as first written, correct.
    p : DataFrame
        Candidates in rows, members in columns: the probability that the member gives the
        candidate, NaN where it has no answer to the item.
    keys : DataFrame
        Items in rows, members in columns: the key of the member's own answer, missing where it
        has none.
    """

    items: pd.DataFrame
    candidates: pd.DataFrame
    p: pd.DataFrame
    keys: pd.DataFrame

    def of(self, names: Sequence[str]) -> "Members":
        """Some members, on the candidates that they name."""
        keys = self.keys[names]
        own = keys.loc[self.candidates["item_id"]]
        named = own.eq(self.candidates["key"].to_numpy(), axis=0).any(axis=1).to_numpy()
        return Members(
            items=self.items,
            candidates=self.candidates[named],
            p=self.p.loc[named, names],
            keys=keys,
        )

    def part(self, chosen: np.ndarray) -> "Members":
        """All members, on some items."""
        there = self.candidates["item_id"].isin(self.items.index[chosen])
        return Members(
            items=self.items[chosen],
            candidates=self.candidates[there],
            p=self.p[there],
            keys=self.keys[chosen],
        )

    def graded(self) -> np.ndarray:
        """Which items (items,) have all their candidates graded."""
        ungraded = self.candidates["correct"].isna()
        lacking = self.candidates.loc[ungraded, "item_id"]
        return ~self.items.index.isin(lacking)


def make_members(graded: pd.DataFrame, strategies: list[str]) -> Members:
    """Members of an ensemble, from the graded answers of one model and data set."""
    rows = graded[graded["strategy"].isin(strategies)].reset_index(drop=True)
    items = (
        rows.reindex(columns=_ITEM)
        .drop_duplicates("item_id")
        .set_index("item_id", drop=False)
    )
    items = items.sort_index().rename_axis(None)
    answered = rows["answer"].notna() & rows["confidence"].notna()
    rows["key"] = rows.loc[answered, "answer"].map(answer_key)
    named = rows[rows["key"].notna()]
    by_key = named.groupby(["item_id", "key"], sort=False)
    candidates = by_key[["answer", "correct"]].first().reset_index()
    candidates = candidates.sort_values("item_id", kind="stable", ignore_index=True)
    spread = _spread(rows, named, candidates)
    p = spread.pivot(index="candidate", columns="strategy", values="p")
    keys = rows.pivot(index="item_id", columns="strategy", values="key")
    return Members(
        items=items,
        candidates=candidates,
        p=p.reindex(columns=strategies),
        keys=keys.reindex(index=items.index, columns=strategies),
    )


def _spread(
    rows: pd.DataFrame, named: pd.DataFrame, candidates: pd.DataFrame
) -> pd.DataFrame:
    """Every answer with every candidate of its item, and the probability ``p`` it gives it."""
    each = candidates[["item_id", "key"]].reset_index(names="candidate")
    pairs = named.merge(each, on="item_id", suffixes=("", "_of"))
    c = pairs["confidence"].astype(float)
    others = pairs["item_id"].map(_n_others(rows, candidates)).astype(float)
    rest = (1 - c) / others.clip(lower=1)
    spread = c.where(pairs["key"] == pairs["key_of"], rest)
    if "option_probabilities" in pairs:
        by_option = map(_option_share, pairs["option_probabilities"], pairs["key_of"])
        spread = pd.Series(by_option, pairs.index, dtype=float).fillna(spread)
    return pairs.assign(p=spread)


def _option_share(options: object, key: str) -> float:
    """What option probabilities give an answer; NaN where there are none."""
    if not isinstance(options, Mapping):
        return np.nan
    shares = {answer_key(option): share for option, share in options.items()}
    return shares.get(key, np.nan)


def _n_others(rows: pd.DataFrame, candidates: pd.DataFrame) -> pd.Series:
    """By item, over how many other answers the rest of a confidence is spread."""
    known = rows.reindex(columns=["question_type", "options", "option_probabilities"])
    size = np.where(known.pop("question_type") == "closed", 2.0, 0)
    for _, values in known.items():
        lengths = [len(o) if hasattr(o, "__len__") else 0 for o in values]
        size = np.fmax(size, lengths)
    size = pd.Series(size, rows.index).groupby(rows["item_id"]).max()
    n_named = candidates.groupby("item_id").size()
    return (size - 1).where(size > 1, n_named)


# --- combining ------------------------------------------------------------------------------------


def best_candidates(members: Members, scores: np.ndarray, *, name: str) -> pd.DataFrame:
    """Graded answers: the candidate of each item with the highest score, its confidence."""
    by_candidate = pd.Series(scores, members.candidates.index)
    winners = by_candidate.groupby(members.candidates["item_id"]).idxmax()
    best = members.candidates.loc[winners]
    best = best.assign(confidence=by_candidate[best.index]).set_index("item_id")
    return members.items.assign(
        strategy=name,
        answer=best["answer"],
        confidence=best["confidence"],
        correct=best["correct"].astype("boolean"),
    )


def averaged(members: Members, names: Sequence[str], *, name: str) -> pd.DataFrame:
    """Graded answers by the mean over those members who answered; of one, its own."""
    own = members.of(names)
    p = own.p.to_numpy()  # (candidates, members)
    answered = (~np.isnan(p)).sum(axis=1)
    return best_candidates(own, np.nansum(p, axis=1) / answered, name=name)


class Weights:
    r"""Weights of members, fitted on graded candidates.

    :math:`P(a\ \text{right}) = \sigma(b + \sum_s w_s \operatorname{logit} p_s(a))` over all
    candidate answers a, :math:`w_s \ge 0`, with the penalty :math:`\frac12 \sum_s (w_s - 1/S)^2`:
    few labels leave it near the equal-weight pool of log-odds. Then Platt scaling of the answer
    that leads.
    """

    def __init__(self, members: Members) -> None:
        from scipy.optimize import minimize

        log_odds = _log_odds(members)  # (candidates, members)
        y = members.candidates["correct"].to_numpy(float)
        size = log_odds.shape[1]

        def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
            eta = log_odds @ theta[:-1] + theta[-1]
            away = theta[:-1] - 1 / size
            residual = expit(eta) - y
            value = (np.logaddexp(0, eta) - y * eta).sum() + away @ away / 2
            return value, np.r_[residual @ log_odds + away, residual.sum()]

        start = np.r_[np.full(size, 1 / size), 0.0]
        bounds = [(0, None)] * size + [(None, None)]
        fitted = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds)
        self.theta = fitted.x
        best = self._lead(members, "")
        eta = best["confidence"].to_numpy(float)
        features = np.column_stack([eta, np.ones_like(eta)])
        right = best["correct"].to_numpy(float)[None]
        self.platt = fit_smoothed(features, right, np.ones((1, len(eta))))[0]

    def _lead(self, members: Members, name: str) -> pd.DataFrame:
        # a sum over members, not a matrix product: equal members tie exactly
        eta = (_log_odds(members) * self.theta[:-1]).sum(axis=1) + self.theta[-1]
        return best_candidates(members, eta, name=name)

    def combine(self, members: Members, name: str) -> pd.DataFrame:
        """Graded answers of the weighted ensemble."""
        lead = self._lead(members, name)
        slope, intercept = self.platt
        return lead.assign(confidence=expit(slope * lead["confidence"] + intercept))


def _log_odds(members: Members) -> np.ndarray:
    """(candidates, members); 0, no evidence, where a member has no answer."""
    return np.nan_to_num(logit(members.p.to_numpy(), CLIP), nan=0.0)


def _trained(
    members: Members, fold: np.ndarray, to: Members, *, name: str
) -> pd.DataFrame:
    """Graded answers by members ``to`` on the same items, weighted by the other folds."""
    parts = []
    for k in np.unique(fold):
        weights = Weights(members.part(fold != k))
        parts.append(weights.combine(to.part(fold == k), name))
    return pd.concat(parts).loc[to.items.index]


def ensembles(strategies: Sequence[str]) -> dict[str, list[str]]:
    """The members of every method and ensemble by its name; one member is no ensemble."""
    names = {strategy: [strategy] for strategy in strategies}
    methods = [strategy for strategy in strategies if strategy != EXPERT]
    if len(methods) > 1:
        names[AVERAGE] = methods
    if EXPERT in strategies and len(strategies) > 1:
        names[WITH_EXPERT] = list(strategies)
    return names


def _kind(name: str, members: Sequence[str]) -> str:
    if len(members) > 1:
        return "ensemble"
    return "expert" if name == EXPERT else "method"


def every_ensemble(
    members: Members, fold: np.ndarray, *, to: Members
) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """(kind, recalibration, graded answers) of every method and ensemble, cross-fitted in folds.

    Of ``to``, these or other answers to the same items, by what ``members`` were fitted on.
    """
    for name, names in ensembles(list(members.p)).items():
        kind = _kind(name, names)
        learn = averaged(members, names, name=name)
        own = averaged(to, names, name=name)
        yield kind, "uncorrected", own
        c = learn["confidence"]
        y = learn["correct"].to_numpy(float)
        recalibrated = by_fold(fit, c, y, fold, to=own["confidence"])
        yield kind, "platt", own.assign(confidence=recalibrated)
        if kind == "ensemble":
            several = members.of(names)
            yield (
                kind,
                "trained",
                _trained(several, fold, to.of(names), name=name + TRAINED),
            )


def ensemble_answers(graded: pd.DataFrame, *, rng: np.random.Generator) -> pd.DataFrame:
    """Graded answers of every method and ensemble, on the same items, with the same labels.

    Parameters
    ----------
    graded : DataFrame
        One row per model, data set, item and method. A method that answered fewer than 80 % of
        the items is left out, with a warning; the others are compared on items that all answered.
        The method ``expert`` is a member of "average + expert" alone.
    rng : numpy.random.Generator

    Returns
    -------
    DataFrame
        One row per item and method or ensemble, uncorrected and recalibrated:

        - model, dataset, item_id, strategy, answer, confidence, correct: as in ``graded``
        - image_id: where ``graded`` has it
        - ensemble: the method or ensemble
        - recalibration: "uncorrected"; "platt", cross-fitted by image; "trained"
        - kind: "method", "expert" or "ensemble"
        - fold: -1 for uncorrected ones
        - labels: labelled items behind each prediction
        - loss: squared error of the confidence
        - n_dropped: items that not all answered

    Raises
    ------
    NotEnough
        If fewer than two methods answer enough.
    ValueError
        If too few items are answered by all.

    Examples
    --------
    >>> from medcal_nb.measure import example_answers
    >>> medical = example_answers().query("domain == 'medical'")
    >>> answers = ensemble_answers(medical, rng=np.random.default_rng(0))
    >>> answers["ensemble"].unique().tolist()
    ['p_true', 'verbalized', 'average', 'average, trained']
    """
    frames = []
    seed = int(rng.integers(2**63))
    for key, part in parts_by(graded, BY):
        where = " ".join(map(str, key.values()))
        members, n_dropped = complete(part, _answering(part, where))
        n = len(members.items)
        fold = folds_of(members.items, seed)
        if n < 2 * N_FOLDS or fold is None:
            raise ValueError(
                f"ensembles: {where}: only {n} items were answered by all methods"
            )
        for kind, recalibration, own in every_ensemble(members, fold, to=members):
            fitted = recalibration != "uncorrected"
            frames.append(
                own.assign(
                    ensemble=own["strategy"],
                    kind=kind,
                    recalibration=recalibration,
                    n_dropped=n_dropped,
                    fold=fold if fitted else -1,
                    labels=round(n * (N_FOLDS - 1) / N_FOLDS) if fitted else 0,
                    loss=(own["confidence"] - own["correct"].astype(float)) ** 2,
                )
            )
    return pd.concat(frames, ignore_index=True)


def _answering(part: pd.DataFrame, where: str) -> list[str]:
    """The methods that answered enough of the items, the expert last."""
    answered = part["answer"].notna() & part["confidence"].notna()
    counts = part.loc[answered, "strategy"].value_counts()
    asked = sorted(set(part["strategy"]), key=lambda name: (name == EXPERT, name))
    least = _LEAST_SHARE * part["item_id"].nunique()
    enough = [name for name in asked if counts.get(name, 0) >= least]
    few = [name for name in asked if name not in enough]
    in_words = f"{100 * _LEAST_SHARE:.0f} % of the items"
    if few:
        warnings.warn(
            f"ensembles: {where}: {', '.join(few)} answered less than {in_words}; left out",
            RecalibrationWarning,
            stacklevel=3,
        )
    if len(enough) < 2:
        names = ", ".join(enough) or "none"
        raise NotEnough(
            f"ensembles: {where}: an ensemble needs two elicitation methods that answered "
            f"{in_words}; there is {names}"
        )
    return enough


def complete(part: pd.DataFrame, strategies: list[str]) -> tuple[Members, int]:
    """Members on the items that all of them answered, and how many others there are."""
    members = make_members(part, strategies)
    whole = members.keys.notna().all(axis=1).to_numpy() & members.graded()
    return members.part(whole), int((~whole).sum())


# --- tables ---------------------------------------------------------------------------------------


def ensemble_table(
    answers: pd.DataFrame,
    *,
    ci: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    """Scores of every method and ensemble.

    Parameters
    ----------
    answers : DataFrame
        Of :func:`ensemble_answers`.
    ci : Bootstrap
        Of the intervals, by image.

    Returns
    -------
    DataFrame
        One row per model, data set, ensemble, recalibration and kind:

        - model, dataset, ensemble, recalibration, kind: as in ``answers``
        - labels, n_dropped: as in ``answers``
        - n, n_images: answers and images
        - accuracy, mean_confidence, brier, auroc: with _low, _high; auroc within folds
        - ece: 15 equal-width bins, without an interval

    Examples
    --------
    >>> from medcal_nb.measure import example_answers
    >>> medical = example_answers().query("domain == 'medical'")
    >>> answers = ensemble_answers(medical, rng=np.random.default_rng(0))
    >>> table = ensemble_table(answers, ci=Bootstrap(n=200))
    >>> table[["ensemble", "recalibration", "brier"]].round(2).iloc[0].tolist()
    ['p_true', 'uncorrected', np.float64(0.21)]
    """
    scores = metrics_table(
        answers,
        by=_KEYS,
        metrics=["accuracy", "mean_confidence", "brier", "ece"],
        intervals=["accuracy", "mean_confidence", "brier"],
        ci=ci,
    )
    rows = []
    for key, part in parts_by(answers, _KEYS):
        c, y = arrays(part)
        images = image_labels(part)
        test = auroc_test(c, y, groups=images, fold=part["fold"], level=ci.level)
        test = test.rename({"low": "auroc_low", "high": "auroc_high"})
        about = part[["labels", "n_dropped"]].iloc[0]
        rows.append(key | dict(test.drop(["p", "conclusion"])) | dict(about))
    order = answers[_KEYS].drop_duplicates()
    table = order.merge(scores.drop(columns="n_missing"), on=_KEYS)
    return table.merge(pd.DataFrame(rows), on=_KEYS)


def ensemble_change_table(
    answers: pd.DataFrame,
    *,
    ci: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    """Ensembles against the best single method, and the expert alone, both with Platt scaling.

    The best method is chosen anew for each fold, by its Brier score after Platt scaling on the
    other folds, so that it is judged on images that did not choose it. Paired by image; maps are
    not fitted again in each resample.

    Parameters
    ----------
    answers : DataFrame
        Of :func:`ensemble_answers`.
    ci : Bootstrap
        Of the intervals.

    Returns
    -------
    DataFrame
        One row per ensemble, recalibration and rival:

        - model, dataset, ensemble, recalibration, kind: as in ``answers``
        - rival: "best method" or "expert"
        - rival_is: its name, the one chosen most often
        - n, n_images: answers and images
        - brier, rival_brier: with _low, _high
        - change: brier - rival_brier with _low, _high; below 0 is better
        - p, p_holm: of no difference, alone and over all rows of a rival
        - conclusion: from p_holm, "better", "worse" or "no difference shown"

    Examples
    --------
    >>> from medcal_nb.measure import example_answers
    >>> medical = example_answers().query("domain == 'medical'")
    >>> answers = ensemble_answers(medical, rng=np.random.default_rng(0))
    >>> table = ensemble_change_table(answers, ci=Bootstrap(n=200))
    >>> table[["ensemble", "rival", "conclusion"]].iloc[0].tolist()
    ['average', 'best method', 'no difference shown']
    """
    frames = []
    for _, part in parts_by(answers, BY):
        platt = part[part["recalibration"] == "platt"]
        combined = part[part["kind"] == "ensemble"]
        rivals = {"best method": _best(platt[platt["kind"] == "method"])}
        expert = platt[platt["kind"] == "expert"]
        if len(expert):
            rivals["expert"] = (expert.set_index("item_id")["loss"], EXPERT)
        for rival, (loss, name) in rivals.items():
            other = combined["item_id"].map(loss)
            frames.append(combined.assign(rival=rival, rival_is=name, rival_loss=other))
    both = pd.concat(frames)
    if both.empty:
        return both
    compared = means(
        brier="loss", rival_brier="rival_loss", change=("loss", "rival_loss")
    )

    def statistic(part: pd.DataFrame, mean: Mean) -> dict:
        row = compared(part, mean)
        n_images = part["image_id"].nunique() or len(part)
        return row | {"p": two_sided_p(row["change"], n_groups=n_images)}

    by = [*_KEYS, "rival", "rival_is"]
    table = paired(both, by, statistic, ci=ci)
    table["p_holm"] = table.groupby("rival")["p"].transform(
        lambda p: holm(p.to_numpy())
    )
    direction = np.where(table["change"] < 0, "better", "worse")
    shown = table["p_holm"] < _SIZE
    table["conclusion"] = np.where(shown, direction, "no difference shown")
    return table


def _best(single: pd.DataFrame) -> tuple[pd.Series, str]:
    """Losses by item of the method that is best on the other folds, and the most frequent name."""
    wide = single.pivot(index="item_id", columns="ensemble", values="loss")
    folds = single.drop_duplicates("item_id").set_index("item_id")["fold"]
    fold = folds.reindex(wide.index)
    losses = []
    names = []
    for k in fold.unique():
        name = wide[fold != k].mean().idxmin()
        losses.append(wide.loc[fold == k, name])
        names.append(name)
    return pd.concat(losses), pd.Series(names).mode()[0]
