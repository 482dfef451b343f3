"""Fusing interrogation strategies: several ways of asking, one answer, one confidence.

The body of Du et al. (arXiv 2606.19950) is not public here. This room implements what its
abstract states: fuse several strategies, add an expert's assessment. Every choice below is ours:

- each strategy's graded answer is a *ballot*: its confidence on its own answer, the rest spread
  evenly over the other options (over the other named answers and one "something else" where the
  options are not known), or its option probabilities where it has them;
- the plain fusion averages ballots, with no labels;
- the trained one weights them: a logistic in the log-odds of every ballot, no weight below zero,
  so that more confidence never lowers the fused one.
"""

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.special import expit, ndtr

from medcal_nb.measure import ece, holm
from medcal_nb.measure.rows import parts_by, rows_where

from ._families import fit_smoothed, logit
from .maps import FITS, RecalibrationWarning, by_fold, folds_of
from .paired import mean, means, paired, weighted_auroc

FUSION, EXPERT_TOO = "fusion", "fusion + expert"
TRAINED = ", trained"
CLIP = 1e-3
"""Ballots are moved into [CLIP, 1 - CLIP] before their log-odds are taken."""

_SIZE = 0.05  # of the tests behind a conclusion, all together
_LEAST_SHARE = 0.8  # of the items that a strategy must have answered
_SMALL = frozenset(("a", "an", "the"))
_SYSTEM = ["system", "correction", "kind", "left_out"]
BY = ("model", "dataset")


def plain_answer(answer: str) -> str:
    """What two answers share when they are the same: words without case, points and articles."""
    words = re.findall(r"\w+(?:[.,]\d+)?", str(answer).casefold())
    return " ".join([w for w in words if w not in _SMALL] or words)


def one_answer(graded: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Rows whose strategies judge one and the same answer, where no text of an answer is told.

    Recorded confidences often say how sure and how right, not what was answered: all are then
    about the model's one answer to the item. Every row gets a stand-in for it, the same for all;
    items that strategies grade differently (their labels are of different makes) are left out.

    Returns
    -------
    tuple
        The rows, unchanged where answers have texts; and a sentence that says what was done, ""
        where nothing was.
    """
    if graded["answer"].notna().any():
        return graded, ""
    item = [graded[column] for column in (*BY, "item_id")]
    differ = graded["correct"].astype("Float64").groupby(item).transform("nunique") > 1
    n, lost = (len(rows[[*BY, "item_id"]].drop_duplicates()) for rows in (graded, graded[differ]))
    left_out = (
        f"; {lost:,} of {n:,} answers that are graded differently by strategy are left out"
        if lost
        else ""
    )
    told = (
        "No text of an answer is told here: every strategy is taken to judge the model's one answer"
        f" to an item, so that fusing joins confidences, not answers{left_out}."
    )
    return graded[~differ].assign(answer="the answer"), told * (graded["strategy"].nunique() > 1)


def voters(
    graded: pd.DataFrame, target: dict, models: Sequence[str], strategies: Sequence[str]
) -> pd.DataFrame:
    """The graded answers that a fusion takes its votes from.

    The wanted models, strategies and rows where they exist, else all. Where there is one strategy
    only, every model becomes a strategy of one "committee".
    Where no row tells its answer, none is left out for it, and there is no committee: the answers
    of two models are not the same one (see :func:`one_answer`).
    """
    texts = graded["answer"].notna()
    told = graded[texts.groupby([graded["model"], graded["strategy"]]).transform("any")]
    told = graded if told.empty else told
    rows = rows_where(told, target)
    if rows.empty:
        rows = told[told["dataset"] == list(told["dataset"].unique())[-1]]
    several = rows["model"].nunique() > 1 and rows["answer"].notna().any()
    if rows["strategy"].nunique() == 1 and several:
        return rows.assign(strategy=rows["model"], model="committee")
    for column, wanted in (("model", models), ("strategy", strategies)):
        known = rows[column].isin(list(wanted))
        rows = rows[known] if known.any() else rows
    return rows


# --- ballots ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ballots:
    """What each strategy gives each candidate answer of each item, for one model and data set.

    Attributes
    ----------
    p : (items, candidates, strategies) array
        Probability that the strategy gives the candidate; NaN where the item has fewer candidates
        or the strategy has no answer.
    named : (items, strategies) array of int
        The candidate that is the strategy's own answer, -1 where it has none.
    right : (items, candidates) array
        1, 0, NaN where ungraded or absent.
    answers : (items, candidates) array of str
    rows : DataFrame
        One row per item: its columns that do not depend on the strategy.
    strategies : tuple of str
    tokens : (items, strategies) array
        Tokens written; NaN where no row tells them.
    """

    p: np.ndarray
    named: np.ndarray
    right: np.ndarray
    answers: np.ndarray
    rows: pd.DataFrame
    strategies: tuple[str, ...]
    tokens: np.ndarray

    def of(self, strategies: Sequence[str]) -> "Ballots":
        """The ballots of some strategies, on the candidates that they name."""
        at = [self.strategies.index(s) for s in strategies]
        p = np.where(self.named_by()[:, :, at].any(axis=2)[:, :, None], self.p[:, :, at], np.nan)
        return replace(
            self,
            p=p,
            named=self.named[:, at],
            strategies=tuple(strategies),
            tokens=self.tokens[:, at],
        )

    def part(self, keep) -> "Ballots":
        """The ballots of some items."""
        names = ("p", "named", "right", "answers", "rows", "tokens")
        return replace(self, **{name: getattr(self, name)[keep] for name in names})

    def named_by(self) -> np.ndarray:
        """(items, candidates, strategies): is the candidate the strategy's own answer?"""
        return self.named[:, None, :] == np.arange(self.p.shape[1])[None, :, None]

    def answered(self) -> np.ndarray:
        """(items, strategies): did the strategy answer?"""
        return ~np.isnan(self.p).all(axis=1)

    def graded(self) -> np.ndarray:
        """(items,): are all named answers graded?"""
        return ~np.isnan(np.where(pd.notna(self.answers), self.right, 0)).any(axis=1)


def make_ballots(graded: pd.DataFrame, *, strategies: Sequence[str] | None = None) -> Ballots:
    """Ballots of the strategies' graded answers on each item of one model and data set.

    Raises
    ------
    ValueError
        If a strategy has no answer, an item is answered twice by one strategy, or the rows are of
        several models or data sets.
    """
    for column in BY:
        if column in graded and graded[column].nunique() > 1:
            raise ValueError(f"ballots are of one {column}, got {graded[column].nunique()}")
    names = tuple(strategies or sorted(graded["strategy"].unique()))
    if lost := [s for s in names if s not in set(graded["strategy"])]:
        raise ValueError(f"strategies: no answer of {lost[0]!r}")
    v = graded[graded["strategy"].isin(names)].reset_index(drop=True)
    if (twice := v.duplicated(["item_id", "strategy"])).any():
        row = v[twice].iloc[0]
        raise ValueError(f"item {row.item_id!r} has two answers of {row.strategy!r}; keep one")
    item, items = pd.factorize(v["item_id"], sort=True)
    voter = pd.Categorical(v["strategy"], categories=names).codes
    own = {
        "strategy",
        "answer",
        "confidence",
        "correct",
        "option_probabilities",
        "n_answers",
        "new_tokens",
    }
    rows = v.drop_duplicates("item_id").set_index("item_id", drop=False).loc[items]
    rows = rows[[c for c in rows if c not in own]].reset_index(drop=True)
    said = (v["answer"].notna() & v["confidence"].notna()).to_numpy()
    slot, answers, right = _candidates(v, said, item, len(items))
    named = np.full((len(items), len(names)), -1)
    named[item[said], voter[said]] = slot[said]
    p = _spread(v, rows, said, item, voter, slot, answers, len(names))
    tokens, told = np.full(named.shape, np.nan), pd.to_numeric(v.get("new_tokens", pd.Series()))
    if told.notna().any():
        tokens[:] = 0
        tokens[item, voter] = told.fillna(0).to_numpy(float)
    return Ballots(p, named, right, answers, rows, names, tokens)


def _candidates(v, said, item, n):
    """Each row's candidate (-1 for none), the candidates' words and their grades."""
    label = np.array(
        [plain_answer(a) if ok else "" for a, ok in zip(v["answer"], said, strict=True)]
    )
    named = pd.DataFrame({"item": item, "label": label, "at": np.arange(len(v))})[said]
    distinct = named.drop_duplicates(["item", "label"]).copy()
    distinct["slot"] = distinct.groupby("item").cumcount()
    slot = np.full(len(v), -1)
    slot[said] = named.merge(distinct[["item", "label", "slot"]], how="left")["slot"].to_numpy()
    k = int(distinct["slot"].max()) + 1 if len(distinct) else 1
    answers, right = np.full((n, k), None, dtype=object), np.full((n, k), np.nan)
    answers[distinct["item"], distinct["slot"]] = v["answer"].to_numpy()[distinct["at"]]
    grade = v["correct"].astype("Float64").to_numpy(float, na_value=np.nan)
    known = np.flatnonzero(said & ~np.isnan(grade))[::-1]  # the first grade of a candidate stays
    right[item[known], slot[known]] = grade[known]
    return slot, answers, right


def _spread(v, rows, said, item, voter, slot, answers, n_voters):
    """Ballots (items, candidates, strategies) from confidences and option probabilities."""
    present, known = pd.notna(answers), _option_count(v, rows, item)
    others = np.where(np.isnan(known), present.sum(axis=1), known - 1)
    p = np.full((*answers.shape, n_voters), np.nan)
    c, i, s = v["confidence"].to_numpy(float)[said], item[said], voter[said]
    rest = (1 - c) / np.maximum(others[i], 1)
    p[i, :, s] = np.where(present[i], rest[:, None], np.nan)
    p[i, slot[said], s] = c
    for row in np.flatnonzero(said) if "option_probabilities" in v else ():
        own = v["option_probabilities"].iat[row]
        if isinstance(own, Mapping):
            by_name = {plain_answer(name): float(value) for name, value in own.items()}
            for j, answer in enumerate(answers[item[row]]):
                if answer is not None and plain_answer(answer) in by_name:
                    p[item[row], j, voter[row]] = by_name[plain_answer(answer)]
    return p


def _option_count(v, rows, item):
    """How many options each item has; NaN where that is not known."""
    count = np.full(len(rows), np.nan)
    if "question_type" in rows:
        count[(rows["question_type"] == "closed").to_numpy()] = 2
    for column in ("options", "option_probabilities"):
        if column in v:
            size = np.array([len(o) if hasattr(o, "__len__") else 0 for o in v[column]])
            np.fmax.at(count, item[size > 1], size[size > 1])
    return count


# --- fusing -------------------------------------------------------------------------------------


def pool(ballots: Ballots) -> np.ndarray:
    """(items, candidates) mean of the ballots over those who answered; -1 for no candidate."""
    voted = ~np.isnan(ballots.p)
    n = voted.sum(axis=2)
    return np.where(n > 0, np.where(voted, ballots.p, 0.0).sum(axis=2) / np.maximum(n, 1), -1)


def chosen(ballots: Ballots, scores: np.ndarray, *, name: str, confidence=None) -> pd.DataFrame:
    """Graded answers from scores: the best candidate of each item."""
    at, best = np.arange(len(scores)), scores.argmax(axis=1)
    has = scores[at, best] >= 0
    c = scores[at, best] if confidence is None else confidence
    out = ballots.rows.copy()
    out["strategy"] = name
    out["answer"] = np.where(has, ballots.answers[at, best], None)
    out["confidence"] = np.where(has, c, np.nan)
    grade = pd.array(ballots.right[at, best], dtype="Float64")
    out["correct"] = pd.Series(grade, index=out.index).astype("boolean")
    out["n_answers"] = ballots.answered().sum(axis=1)
    return out.assign(new_tokens=ballots.tokens.sum(axis=1))


def alone(ballots: Ballots, strategy: str) -> pd.DataFrame:
    """One strategy's own graded answers."""
    own = ballots.of([strategy])
    return chosen(own, np.where(own.named_by()[:, :, 0], own.p[:, :, 0], -1), name=strategy)


def fit_weights(ballots: Ballots):
    r"""Weights of strategies, fitted on graded candidates: a function of other ballots.

    :math:`P(a\ \text{right}) = \sigma(b + \sum_s w_s \operatorname{logit} p_s(a))` over all
    candidate answers a, :math:`w_s \ge 0`, with the penalty :math:`\frac12 \sum_s (w_s - 1/S)^2`:
    few labels leave it near the equal-weight pool of log-odds. Then Platt on the answer that leads.

    Raises
    ------
    ValueError
        If no candidate is graded.
    """
    from scipy.optimize import minimize

    use = ~np.isnan(ballots.right) & ~np.isnan(ballots.p).all(axis=2)
    if not use.any():
        raise ValueError("correct: no candidate answer is graded, nothing to fit")
    rows, y = _log_odds(ballots)[use], ballots.right[use]
    size = rows.shape[1]

    def loss(theta):
        eta, away = rows @ theta[:-1] + theta[-1], theta[:-1] - 1 / size
        gap = expit(eta) - y
        value = (np.logaddexp(0, eta) - y * eta).sum() + away @ away / 2
        return value, np.r_[gap @ rows + away, gap.sum()]

    start, bounds = np.r_[np.full(size, 1 / size), 0.0], [(0, None)] * size + [(None, None)]
    theta = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x

    def lead(other):
        eta = np.where(
            ~np.isnan(other.p).all(axis=2), _log_odds(other) @ theta[:-1] + theta[-1], -np.inf
        )
        return eta, eta[np.arange(len(eta)), eta.argmax(axis=1)], eta.argmax(axis=1)

    _, top, best = lead(ballots)
    right = ballots.right[np.arange(len(best)), best]
    told = ~np.isnan(right) & np.isfinite(top)
    features = np.column_stack([top, np.ones_like(top)])[told]
    slope, intercept = fit_smoothed(features, right[told], np.ones((1, told.sum())))[0]

    def fused(other: Ballots, name: str) -> pd.DataFrame:
        eta, top, _ = lead(other)
        scores = np.where(np.isfinite(eta), expit(eta), -1)
        return chosen(other, scores, confidence=expit(slope * top + intercept), name=name)

    return fused


def _log_odds(ballots):
    """Of every ballot; 0, no evidence, where a strategy is silent."""
    return np.nan_to_num(logit(ballots.p, CLIP), nan=0.0)


def _cross_fused(ballots, fold, name):
    parts = [
        fit_weights(ballots.part(fold != k))(ballots.part(fold == k), name) for k in np.unique(fold)
    ]
    return pd.concat(parts).sort_index()


def fused_answers(
    graded: pd.DataFrame,
    *,
    strategies: Sequence[str] | None = None,
    expert: str | None = None,
    n_folds: int = 5,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Graded answers of every strategy, fusion and ablation, on the same items, same labels.

    Parameters
    ----------
    graded : DataFrame
        One row per model, data set, item and strategy.
    strategies : sequence of str, optional
        Those to fuse; all but ``expert`` by default. One that answered fewer than 80 % of the
        items is left out, with a warning; the others are compared on items that all answered.
    expert : str, optional
        The strategy that holds an expert's assessment, one more voter of "fusion + expert". Alone
        it costs what the strategies cost as well where it judges their answers: on open
        questions, whose candidates are what they named.

    Returns
    -------
    DataFrame
        Rows with ``system`` (the strategy or fusion), ``correction`` (as stated; platt,
        cross-fitted by image; trained), ``kind`` (strategy, expert, fusion, ablation),
        ``left_out`` (the voter that an ablation lacks), ``fold`` (-1 as stated), ``labels``
        (labelled items behind each prediction) and ``n_dropped`` (items that not all answered).

    Raises
    ------
    ValueError
        If no strategy answers enough, or too few items are answered by all.
    """
    frames, seed = [], int(rng.integers(2**63))
    for key, part in parts_by(graded, BY):
        voters = list(strategies or sorted(set(part["strategy"]) - {expert}))
        full, n_dropped = _common(part, voters, expert, n_folds, " ".join(map(str, key.values())))
        fold = folds_of(full.rows, n_folds, seed)
        systems = list(_systems(full, expert, fold))
        labels = round(len(full.rows) * (n_folds - 1) / n_folds)
        both = pd.concat(systems, ignore_index=True)
        both["loss"] = (both["confidence"] - both["correct"].astype(float)) ** 2
        both["labels"] = np.where(both["correction"] == "as stated", 0, labels)
        frames.append(both.assign(n_dropped=n_dropped))
    return pd.concat(frames, ignore_index=True)


def _common(part, voters, expert, n_folds, where):
    """Ballots of who answered enough, on the items that all of them answered; and how many not."""
    present = set(part["strategy"])
    ballots = make_ballots(part, strategies=[s for s in [*voters, expert] if s in present])
    share = ballots.answered().mean(axis=0)
    kept = [s for s, c in zip(ballots.strategies, share, strict=True) if c >= _LEAST_SHARE]
    for s, c in zip(ballots.strategies, share, strict=True):
        if s not in kept:
            warnings.warn(
                f"fusion: {where}: {s} answered {100 * c:.0f} % of the items, less than "
                f"{100 * _LEAST_SHARE:.0f} %; left out",
                RecalibrationWarning,
                stacklevel=4,
            )
    if not set(kept) - {expert}:
        raise ValueError(
            f"fusion: {where}: no strategy answered {100 * _LEAST_SHARE:.0f} % of the items"
        )
    everyone = ballots.answered()[:, [s in kept for s in ballots.strategies]].all(axis=1)
    rows = ballots.rows[everyone & ballots.graded()]
    if len(rows) < 2 * n_folds:
        raise ValueError(f"fusion: {where}: only {len(rows)} items were answered by all strategies")
    full = make_ballots(part[part["item_id"].isin(rows["item_id"])], strategies=kept)
    return full, len(ballots.rows) - len(rows)


def _systems(full, expert, fold):
    """Frames of every system and correction."""

    def tagged(frame, kind, correction="as stated", left_out="", fold=-1):
        return frame.assign(system=frame["strategy"].iloc[0], kind=kind, correction=correction,
                            left_out=left_out, fold=fold)  # fmt: skip

    def corrections(frame, kind):
        yield tagged(frame, kind)
        c, y = frame["confidence"].to_numpy(float), frame["correct"].to_numpy(float)
        moved = by_fold(FITS["platt"], c, y, fold)
        yield tagged(frame.assign(confidence=moved), kind, "platt", fold=fold)

    voters = [s for s in full.strategies if s != expert]
    for s in full.strategies:
        own = alone(full, s)
        if s == expert:
            judged = ~own.get("question_type", pd.Series("", own.index)).isin(["closed", "choice"])
            own["new_tokens"] += np.where(judged, full.of(voters).tokens.sum(axis=1), 0)
        yield from corrections(own, "expert" if s == expert else "strategy")
    members = []
    for name, members in _pools(full.strategies, expert).items():
        own = full.of(members)
        yield from corrections(chosen(own, pool(own), name=name), "fusion")
        yield tagged(_cross_fused(own, fold, name + TRAINED), "fusion", "trained", fold=fold)
    for s in members:
        rest = full.of([m for m in members if m != s])
        yield tagged(chosen(rest, pool(rest), name=name), "ablation", left_out=s)
        trained = _cross_fused(rest, fold, name + TRAINED)
        yield tagged(trained, "ablation", "trained", left_out=s, fold=fold)


def _pools(strategies, expert):
    """The voters of each fusion by its name; one voter is no fusion."""
    pools = {FUSION: [s for s in strategies if s != expert]}
    pools |= {EXPERT_TOO: list(strategies)} if expert in strategies else {}
    return {name: members for name, members in pools.items() if len(members) > 1}


def complete(part, strategies, n_folds, seed):
    """Ballots on the items that all strategies answered, and their folds; None for too few."""
    ballots = make_ballots(part, strategies=strategies)
    ballots = ballots.part(ballots.answered().all(axis=1) & ballots.graded())
    return ballots, folds_of(ballots.rows, n_folds, seed)


# --- tables -------------------------------------------------------------------------------------


def scores_of(part, w) -> dict:
    """Statistics of graded answers for :func:`paired`; ranks within folds where maps differ.

    accuracy, mean_confidence, brier, log_loss, auroc with intervals; ece (15 equal-width bins)
    without.
    """
    c, y = part["confidence"].to_numpy(float), part["correct"].to_numpy(float)
    fold = part["fold"].to_numpy() if "fold" in part else np.zeros(len(part))
    likely = np.clip(np.where(y == 1, c, 1 - c), 1e-12, 1)
    return {
        "accuracy": mean(w, y),
        "mean_confidence": mean(w, c),
        "brier": mean(w, (c - y) ** 2),
        "log_loss": mean(w, -np.log(likely)),
        "auroc": weighted_auroc(c, y, w, fold),
        "ece": ece(c, y),
    }


def fusion_table(fused: pd.DataFrame, *, rng: np.random.Generator, **settings) -> pd.DataFrame:
    """Scores of every strategy, fusion and ablation of :func:`fused_answers`.

    Returns
    -------
    DataFrame
        One row per model, data set, system, correction, kind and left_out: labels, n, n_images,
        n_dropped, what :func:`scores_of` gives, and new_tokens (mean per item)."""

    def statistic(part, w):
        same = {name: part[name].iloc[0] for name in ("labels", "n_dropped")}
        return same | scores_of(part, w) | {"new_tokens": part["new_tokens"].mean()}

    return paired(fused, [*BY, *_SYSTEM], statistic, rng=rng, **settings)


def fusion_change_table(
    fused: pd.DataFrame, *, rng: np.random.Generator, **settings
) -> pd.DataFrame:
    """Does a fusion beat the best single strategy, and the expert alone, both with Platt?

    The best strategy is chosen anew for each fold, by its Brier score after Platt on the other
    folds, so that it is judged on images that did not choose it. Paired by image; maps are not
    fitted again in each resample.

    Returns
    -------
    DataFrame
        One row per fusion, correction and ``rival`` ("best strategy", "expert"): rival_is (its
        strategy, the one chosen most often), brier, rival_brier and ``change`` (fusion - rival,
        below 0 is better) with low and high; p and p_holm (over all rows of a rival) of no
        difference, and conclusion from p_holm: "better", "worse" or "no difference shown".

    Raises
    ------
    ValueError
        If no Platt-corrected strategy is there.
    """
    frames = []
    for _, part in parts_by(fused, BY):
        platt, rows = part[part["correction"] == "platt"], part[part["kind"] == "fusion"]
        rivals = {"best strategy": _best(platt[platt["kind"] == "strategy"])}
        if (platt["kind"] == "expert").any():
            own = platt[platt["kind"] == "expert"].set_index("item_id")
            rivals["expert"] = (own["loss"], own["system"].iloc[0])
        frames += [
            rows.assign(rival=rival, rival_is=name, rival_loss=rows["item_id"].map(loss))
            for rival, (loss, name) in rivals.items()
            if len(rows)
        ]
    plain = means(brier="loss", rival_brier="rival_loss")

    def statistic(part, w):
        out = plain(part, w)
        change = out["brier"] - out["rival_brier"]
        p = 2 * ndtr(-abs(change[0]) / max(np.std(change[1:]), 1e-12))
        return out | {"change": change, "p": p}

    if not frames:
        return pd.DataFrame()
    keys = [*BY, *_SYSTEM, "rival", "rival_is"]
    out = paired(pd.concat(frames), keys, statistic, rng=rng, **settings)
    out["p_holm"] = out.groupby("rival")["p"].transform(lambda p: holm(p.to_numpy()))
    shown = np.where(out["change"] < 0, "better", "worse")
    out["conclusion"] = np.where(out["p_holm"] < _SIZE, shown, "no difference shown")
    return out


def _best(single):
    """Losses by item of the strategy that is best on the other folds, and the usual one's name."""
    if single.empty:
        raise ValueError("fused: no Platt-corrected strategy to compare with")
    wide = single.pivot(index="item_id", columns="system", values="loss")
    fold = single.drop_duplicates("item_id").set_index("item_id")["fold"].reindex(wide.index)
    names = {k: wide[fold != k].mean().idxmin() for k in fold.unique()}
    loss = pd.concat([wide.loc[fold == k, name] for k, name in names.items()])
    return loss, pd.Series(list(names.values())).mode()[0]


def left_out_table(fused: pd.DataFrame, *, rng: np.random.Generator, **settings) -> pd.DataFrame:
    """How a fusion's Brier score changes without each voter. Paired differences by image.

    Returns
    -------
    DataFrame
        One row per fusion and voter: brier_whole, brier (without the voter), ``change`` (their
        difference; above 0 the whole is worse off without the voter) with low and high. Empty
        where nothing was left out, as with one voter.
    """
    keys = [*BY, "system", "correction", "item_id"]
    whole = fused[fused["kind"] == "fusion"].set_index(keys)["loss"].rename("whole")
    rows = fused[fused["kind"] == "ablation"].join(whole, on=keys)
    if rows.empty:
        return pd.DataFrame()
    statistic = means(brier="loss", brier_whole="whole", change=("loss", "whole"))
    return paired(rows, [*keys[:-1], "left_out"], statistic, rng=rng, **settings)


def abstention_table(
    graded: pd.DataFrame, *, strategies: Sequence[str], expert: str | None = None,
    n_folds: int = 5, rng: np.random.Generator,
) -> pd.DataFrame:  # fmt: skip
    """What complete cases leave out: all items, an abstention scored at the base rate.

    Returns
    -------
    DataFrame
        One row per model, data set, system (each strategy, the expert, the fusions) and
        correction (as stated, platt): n_items, n_abstained; brier of the answered items, and
        brier_all, where each abstention costs b (1 - b), the Brier score of somebody who says the
        share b of right answers of this system.
    """
    seed, out = int(rng.integers(2**63)), []
    for key, part in parts_by(graded, BY):
        present = [s for s in [*strategies, expert] if s in set(part["strategy"])]
        ballots = make_ballots(part, strategies=present)
        ballots = ballots.part(ballots.graded())
        frames = {s: alone(ballots, s) for s in present}
        for name, members in _pools(present, expert).items():
            frames[name] = chosen(ballots.of(members), pool(ballots.of(members)), name=name)
        for system, frame in frames.items():
            rows = frame[frame["confidence"].notna()]
            c, y = rows["confidence"].to_numpy(float), rows["correct"].to_numpy(float)
            if (fold := folds_of(rows, n_folds, seed)) is None:
                continue
            silent, b = len(frame) - len(rows), y.mean()
            moved = {"as stated": c, "platt": by_fold(FITS["platt"], c, y, fold)}
            for correction, p in moved.items():
                loss = ((p - y) ** 2).sum()
                row = {"system": system, "correction": correction, "n_items": len(frame)}
                row |= {"n_abstained": silent, "brier": loss / len(rows)}
                row |= {"brier_all": (loss + silent * b * (1 - b)) / len(frame)}
                out.append(key | row)
    return pd.DataFrame(out)


def tokens_table(fused: pd.DataFrame, *, rng: np.random.Generator, **settings) -> pd.DataFrame:
    """What tokens buy: Brier score and tokens of all systems with the same labels.

    Strategies, the expert and the plain fusion have Platt's map, trained fusions their weights;
    those whose tokens are not told are left out.

    Returns
    -------
    DataFrame
        One row per model, data set and system: kind, new_tokens (mean per item), brier and change
        (brier - the lowest of the model's) with low and high, paired by image; ``tied`` where the
        interval of the change holds 0.
    """
    rows = fused[fused["correction"].isin(["platt", "trained"]) & (fused["kind"] != "ablation")]
    rows = rows[rows["new_tokens"].notna()]
    if rows.empty:
        return pd.DataFrame()
    parts = []
    for _, part in parts_by(rows, BY):
        lowest = part.groupby("system")["loss"].mean().idxmin()
        best = part[part["system"] == lowest].set_index("item_id")["loss"]
        parts.append(part.assign(best=part["item_id"].map(best)))
    statistic = means(new_tokens="new_tokens", brier="loss", change=("loss", "best"))
    keys = [*BY, "system", "correction", "kind"]
    out = paired(pd.concat(parts), keys, statistic, rng=rng, **settings)
    return out.assign(tied=out["change_low"] <= 1e-12)


def pareto_front(table: pd.DataFrame, *, cost: str, loss: str) -> pd.DataFrame:
    """The rows that no other beats: none costs at most as much and loses less, or reverse.

    From the cheapest to the most expensive, each with a lower loss than the one before; of equal
    rows the first is kept.
    """
    rows = table.sort_values([cost, loss], kind="stable")
    return rows[rows[loss] < rows[loss].cummin().shift(fill_value=np.inf)]
