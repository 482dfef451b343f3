"""Ensembles of elicitation methods: several methods, one answer, one confidence.

The body of Du et al. (arXiv 2606.19950), who call it fusion, is not public here. This module
implements a part of what its abstract states: combine several methods. What another model adds is
in `opinion`. Every choice below is ours:

- each member's graded answer is a *distribution over the candidate answers*: its confidence on its
  own answer, the rest spread evenly over the other options (over the other named answers and one
  "something else" where the options are not known), or its option probabilities where it has them;
- the average of these needs no labels (a linear opinion pool);
- a trained ensemble weights them: a logistic regression on the log-odds of every member, no weight
  below zero, so that more confidence never lowers the combined one.
"""

import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit

from medcal_nb.errors import NotEnough
from medcal_nb.measure import Bootstrap, holm, holm_conclusion
from medcal_nb.measure.decimals import percent
from medcal_nb.measure.paired import means, paired
from medcal_nb.measure.resampling import logit
from medcal_nb.measure.rows import image_labels, parts_by
from medcal_nb.words import answer_key

from .crossfit import N_FOLDS, assign_folds, by_fold
from .families import fit_smoothed
from .maps import RecalibrationWarning, fit
from .opinion import penalised_logistic

AVERAGE = "average"
#: Probabilities are moved into [CLIP, 1 - CLIP] before their log-odds are taken.
CLIP = 1e-3
BY = ("model", "dataset")

_SIZE = 0.05  # of the tests behind a conclusion, all together
_LEAST_SHARE = 0.8  # of the items that a member must have answered
_ENOUGH = f"{percent(_LEAST_SHARE)} % of the items"
_ITEM = [*BY, "item_id", "image_id"]  # what an item is, and what intervals are by
_ANSWER = ["strategy", "answer", "confidence", "correct"]
_OPTIONS = ["question_type", "option_probabilities"]


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
    candidates : DataFrame
        The different answers to the items: model, dataset, item_id, image_id, key, answer as first
        written, correct.
    p : DataFrame
        Candidates in rows, members in columns: the probability that the member gives the
        candidate.
    is_own : DataFrame
        Candidates in rows, members in columns: whether the candidate is the member's answer.
    """

    candidates: pd.DataFrame
    p: pd.DataFrame
    is_own: pd.DataFrame

    def of(self, names: Sequence[str]) -> "Members":
        """Some members, on the candidates that they name."""
        is_own = self.is_own[names]
        some = Members(candidates=self.candidates, p=self.p[names], is_own=is_own)
        return some.part(is_own.any(axis=1))

    def part(self, chosen: pd.Series) -> "Members":
        """All members, on some candidates."""
        return Members(
            candidates=self.candidates[chosen],
            p=self.p[chosen],
            is_own=self.is_own[chosen],
        )


def complete(rows: pd.DataFrame, strategies: Sequence[str]) -> pd.DataFrame:
    """The graded answers to those items that all of the methods answered, of these methods."""
    rows = rows.reindex(columns=[*_ITEM, *_ANSWER, *_OPTIONS])
    rows = rows[rows["strategy"].isin(strategies)]
    rows = rows.dropna(subset=["answer", "confidence", "correct"])
    n_methods = rows.groupby("item_id")["strategy"].transform("nunique")
    return rows[n_methods == len(strategies)]


def make_members(rows: pd.DataFrame, strategies: Sequence[str]) -> Members:
    """Members of an ensemble, from the graded answers of all of them to the same items."""
    rows = rows.assign(key=rows["answer"].map(answer_key))
    candidates = rows.drop_duplicates(["item_id", "key"])
    candidates = candidates[[*_ITEM, "key", "answer", "correct"]]
    candidates = candidates.sort_values("item_id", kind="stable", ignore_index=True)
    # (candidates, members): what each member answered to the candidate's item, and its confidence
    by_item = rows.pivot(index="item_id", columns="strategy")
    by_item = by_item.loc[candidates["item_id"]].set_axis(candidates.index)
    own_key = by_item["key"][strategies]
    c = by_item["confidence"][strategies].astype(float)
    is_own = own_key.eq(candidates["key"], axis=0)
    rest = (1 - c).div(_n_others(rows, candidates), axis=0)
    p = c.where(is_own, rest)
    keys = pd.MultiIndex.from_frame(candidates[["item_id", "key"]])
    for name, shares in _option_shares(rows).items():
        stated = pd.Series(keys.map(shares), candidates.index)
        p[name] = stated.fillna(p[name])
    return Members(candidates=candidates, p=p, is_own=is_own)


def _option_shares(rows: pd.DataFrame) -> dict[str, dict[tuple, float]]:
    """By method that has them: probabilities of options, by item and key of the option."""
    shares: dict[str, dict[tuple, float]] = defaultdict(dict)
    for row in rows.dropna(subset="option_probabilities").itertuples():
        for option, share in row.option_probabilities.items():
            shares[row.strategy][row.item_id, answer_key(option)] = share
    return shares


def _n_others(rows: pd.DataFrame, candidates: pd.DataFrame) -> pd.Series:
    """By candidate, over how many other answers the rest of a confidence is spread."""
    n_options = rows["option_probabilities"].map(len, na_action="ignore").astype(float)
    is_closed = rows["question_type"] == "closed"
    n_options = n_options.mask(n_options.isna() & is_closed, 2)
    n_options = n_options.groupby(rows["item_id"]).max()
    n_options = candidates["item_id"].map(n_options)
    n_named = candidates.groupby("item_id")["key"].transform("size")
    return (n_options - 1).where(n_options > 1, n_named)


# --- combining ------------------------------------------------------------------------------------


def best_candidates(members: Members, scores: pd.Series) -> pd.DataFrame:
    """Graded answers: the candidate of each item with the highest score, its confidence."""
    winners = scores.groupby(members.candidates["item_id"]).idxmax()
    best = members.candidates.assign(confidence=scores).loc[winners]
    best = best.drop(columns="key").set_index("item_id", drop=False)
    return best.rename_axis(None)


def averaged(members: Members) -> pd.DataFrame:
    """Graded answers by the mean over the members; of one, its own."""
    return best_candidates(members, members.p.mean(axis=1))


def learn_weights(members: Members) -> tuple[np.ndarray, np.ndarray]:
    r"""Weights of members and a constant, then a Platt map, fitted on graded candidates.

    :math:`P(a\ \text{right}) = \sigma(b + \sum_s w_s \operatorname{logit} p_s(a))` over all
    candidate answers a, :math:`w_s \ge 0`, with the penalty :math:`\frac12 \sum_s (w_s - 1/S)^2`:
    few labels leave it near the equal-weight pool of log-odds. Then Platt scaling of the answer
    that leads.
    """
    log_odds = logit(members.p.to_numpy(), CLIP)  # (candidates, members)
    y = members.candidates["correct"].to_numpy(float)
    equal = 1 / log_odds.shape[1]
    theta = penalised_logistic(log_odds, y, ridge=1.0, centre=equal, least=0.0)
    lead = _weighted(members, theta)
    eta = lead["confidence"].to_numpy(float)
    features = np.column_stack([eta, np.ones_like(eta)])
    right = lead["correct"].to_numpy(float)
    weights = np.ones((1, len(eta)))
    platt = fit_smoothed(features, right[None], weights)
    return theta, platt[0]


def _weighted(members: Members, theta: np.ndarray) -> pd.DataFrame:
    """Graded answers by weighted log-odds, which stand for the confidence."""
    log_odds = logit(members.p.to_numpy(), CLIP)
    # a sum over members, not a matrix product: equal members tie exactly
    weighted = log_odds * theta[:-1]
    eta = weighted.sum(axis=1) + theta[-1]
    return best_candidates(members, pd.Series(eta, members.p.index))


def combine(members: Members, theta: np.ndarray, platt: np.ndarray) -> pd.DataFrame:
    """Graded answers of a weighted ensemble, by what :func:`learn_weights` learned."""
    lead = _weighted(members, theta)
    slope, intercept = platt
    return lead.assign(confidence=expit(slope * lead["confidence"] + intercept))


def _trained(members: Members, fold: pd.Series) -> pd.DataFrame:
    """Graded answers of an ensemble that is weighted by the other folds of items."""
    of_candidate = members.candidates["item_id"].map(fold)
    parts = []
    for k in fold.unique():
        is_own = of_candidate == k
        learned = learn_weights(members.part(~is_own))
        own = combine(members.part(is_own), *learned)
        parts.append(own)
    return pd.concat(parts).loc[fold.index]


def _every_ensemble(members: Members, fold: pd.Series) -> Iterator[pd.DataFrame]:
    """Graded answers of every method and ensemble, uncorrected and cross-fitted in folds."""
    methods = list(members.p)
    members_of = {name: [name] for name in methods} | {AVERAGE: methods}
    for name, names in members_of.items():
        of_names = members.of(names)
        kind = "ensemble" if name == AVERAGE else "method"
        own = averaged(of_names).assign(ensemble=name, kind=kind)
        yield own.assign(recalibration="uncorrected", fold=-1)
        c = own["confidence"].to_numpy(float)
        y = own["correct"].to_numpy(float)
        platt = by_fold(fit, c, y, fold.to_numpy())
        yield own.assign(recalibration="platt", fold=fold, confidence=platt)
    trained = _trained(members, fold)
    trained = trained.assign(ensemble=f"{AVERAGE}, trained", kind="ensemble")
    yield trained.assign(recalibration="trained", fold=fold)


def ensemble_answers(graded: pd.DataFrame, *, rng: np.random.Generator) -> pd.DataFrame:
    """Graded answers of every method and ensemble, on the same items, with the same labels.

    Parameters
    ----------
    graded : DataFrame
        One row per model, data set, item and method. A method that answered fewer than 80 % of
        the items is left out, with a warning; the others are compared on items that all answered.
    rng : numpy.random.Generator
        Draws the images of each fold.

    Returns
    -------
    DataFrame
        One row per item and method or ensemble, uncorrected and recalibrated:

        - model, dataset, item_id, image_id, answer, confidence, correct: as in ``graded``
        - ensemble: the method or ensemble
        - kind: "method" or "ensemble"
        - recalibration: "uncorrected"; "platt", cross-fitted by image; "trained"
        - fold: -1 for uncorrected ones
        - loss: squared error of the confidence
        - n_dropped: items that not all answered

    Raises
    ------
    NotEnough
        If fewer than two methods answer enough, or all of them too few items.

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
        strategies = _answering(part, where)
        rows = complete(part, strategies)
        n = rows["item_id"].nunique()
        images = np.unique(image_labels(rows))
        if n < 2 * N_FOLDS or len(images) < N_FOLDS:
            raise NotEnough(
                f"ensembles: {where}: only {n} items were answered by all methods"
            )
        items = rows.drop_duplicates("item_id").sort_values("item_id")
        dealt = np.random.default_rng([seed, 0])
        folds = assign_folds(image_labels(items), N_FOLDS, rng=dealt)
        fold = pd.Series(folds, items["item_id"])
        members = make_members(rows, strategies)
        asked = part.loc[part["strategy"].isin(strategies), "item_id"]
        for own in _every_ensemble(members, fold):
            frames.append(own.assign(n_dropped=asked.nunique() - n))
    answers = pd.concat(frames, ignore_index=True)
    error = answers["confidence"] - answers["correct"].astype(float)
    return answers.assign(loss=error**2)


def _answering(part: pd.DataFrame, where: str) -> list[str]:
    """The methods that answered enough of the items."""
    answered = part.dropna(subset=["answer", "confidence"])
    n_answered = answered["strategy"].value_counts()
    least = _LEAST_SHARE * part["item_id"].nunique()
    enough = sorted(n_answered.index[n_answered >= least])
    few = sorted(set(part["strategy"]) - set(enough))
    if few:
        warnings.warn(
            f"ensembles: {where}: {', '.join(few)} answered less than {_ENOUGH}; left out",
            RecalibrationWarning,
            stacklevel=3,
        )
    if len(enough) < 2:
        names = ", ".join(enough) or "none"
        raise NotEnough(
            f"ensembles: {where}: an ensemble needs two elicitation methods that answered "
            f"{_ENOUGH}; there is {names}"
        )
    return enough


# --- against the best single method ---------------------------------------------------------------


def ensemble_change_table(
    answers: pd.DataFrame,
    *,
    ci: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    """Ensembles against the best single method with Platt scaling.

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
        One row per ensemble and recalibration:

        - model, dataset, ensemble, recalibration: as in ``answers``
        - rival_is: name of the best method, the one chosen most often
        - n, n_images: answers and images
        - brier, rival_brier: with _low, _high
        - change: brier - rival_brier with _low, _high; below 0 is better
        - p, p_holm: of no difference, alone and over all rows
        - conclusion: from p_holm, "better", "worse" or "no difference shown"

    Examples
    --------
    >>> from medcal_nb.measure import example_answers
    >>> medical = example_answers().query("domain == 'medical'")
    >>> answers = ensemble_answers(medical, rng=np.random.default_rng(0))
    >>> table = ensemble_change_table(answers, ci=Bootstrap(n=200))
    >>> table[["ensemble", "conclusion"]].iloc[0].tolist()
    ['average', 'no difference shown']
    """
    frames = []
    for _, part in parts_by(answers, BY):
        platt = part[part["recalibration"] == "platt"]
        combined = part[part["kind"] == "ensemble"]
        loss, name = _best(platt[platt["kind"] == "method"])
        other = combined["item_id"].map(loss)
        frames.append(combined.assign(rival_is=name, rival_loss=other))
    both = pd.concat(frames)
    compared = means(
        brier="loss", rival_brier="rival_loss", change=("loss", "rival_loss")
    )
    by = [*BY, "ensemble", "recalibration", "rival_is"]
    table = paired(both, by, compared, tested="change", ci=ci)
    table["p_holm"] = holm(table["p"].to_numpy())
    words = {"below": "better", "above": "worse"}
    conclusion = holm_conclusion(table["change"], table["p"], size=_SIZE, **words)
    return table.assign(conclusion=conclusion)


def _best(single: pd.DataFrame) -> tuple[pd.Series, str]:
    """Losses by item of the method that is best on the other folds, and the most frequent name."""
    # (items, methods)
    wide = single.pivot(index=["item_id", "fold"], columns="ensemble", values="loss")
    fold = wide.index.get_level_values("fold")
    losses = []
    names = []
    for k in fold.unique():
        is_own = fold == k
        name = wide[~is_own].mean().idxmin()
        losses.append(wide.loc[is_own, name].droplevel("fold"))
        names.append(name)
    most_often = pd.Series(names).mode()
    return pd.concat(losses), most_often[0]
