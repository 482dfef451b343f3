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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit

from medcal_nb.measure import ece, holm
from medcal_nb.measure.intervals import normal_p
from medcal_nb.measure.rows import parts_by, rows_where

from ._families import fit_smoothed, logit
from .maps import N_FOLDS, RecalibrationWarning, by_fold, fit, folds_of
from .paired import mean, means, paired, weighted_auroc

FUSION = "fusion"
EXPERT_TOO = "fusion + expert"
EXPERT = "expert"
"""The strategy that holds an expert's assessment: one more voter of "fusion + expert"."""
TRAINED = ", trained"
CLIP = 1e-3
"""Ballots are moved into [CLIP, 1 - CLIP] before their log-odds are taken."""

_SIZE = 0.05  # of the tests behind a conclusion, all together
_LEAST_SHARE = 0.8  # of the items that a strategy must have answered
_SMALL = frozenset(("a", "an", "the"))
BY = ("model", "dataset")
_KEYS = [*BY, "system", "correction", "kind"]
_ITEM = [*BY, "item_id", "image_id", "question_type"]
_ASKED = [*_ITEM, "strategy", "answer", "confidence", "correct", "options", "option_probabilities",
          "new_tokens"]  # fmt: skip


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
    item = [*BY, "item_id"]
    differ = graded.groupby(item)["correct"].transform("nunique") > 1
    left_out, asked = (
        len(rows[item].drop_duplicates()) for rows in (graded[differ], graded)
    )
    told = (
        "No text of an answer is told here: every strategy is taken to judge the model's one answer"
        " to an item, so that fusing joins confidences, not answers; of these answers "
        f"{left_out:,} of {asked:,} are graded differently by strategy and left out."
    )
    several = graded["strategy"].nunique() > 1
    return graded[~differ].assign(answer="the answer"), told if several else ""


def voters(
    graded: pd.DataFrame, target: dict, models: Sequence[str], strategies: Sequence[str]
) -> pd.DataFrame:
    """The graded answers that a fusion takes its votes from.

    The wanted models, strategies and rows where they exist, else all; strategies without any text
    of an answer are left out where others have some. Where there is one strategy only, every model
    becomes a strategy of one "committee", but not where no row tells its answer: the answers of two
    models are not the same one (see :func:`one_answer`).
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
    items : DataFrame
        One row per item, by its id: model, data set, image, question type.
    candidates : DataFrame
        The different answers to the items: item_id, name, answer as first written, correct.
    p : DataFrame
        Candidates in rows, strategies in columns: the probability that the strategy gives the
        candidate, NaN where it has no answer to the item.
    named : DataFrame
        Items in rows, strategies in columns: the name of the candidate that is the strategy's own
        answer, missing where it has none.
    tokens : DataFrame
        The same rows and columns: tokens written, NaN where no row tells them.
    """

    items: pd.DataFrame
    candidates: pd.DataFrame
    p: pd.DataFrame
    named: pd.DataFrame
    tokens: pd.DataFrame

    def of(self, strategies: Sequence[str]) -> "Ballots":
        """The ballots of some strategies, on the candidates that they name."""
        named = self.named[strategies]
        tokens = self.tokens[strategies]
        own = named.loc[self.candidates["item_id"]].eq(
            self.candidates["name"].to_numpy(), axis=0
        )
        at = own.any(axis=1).to_numpy()
        return Ballots(
            self.items, self.candidates[at], self.p.loc[at, strategies], named, tokens
        )

    def part(self, keep) -> "Ballots":
        """The ballots of some items."""
        at = self.candidates["item_id"].isin(self.items.index[keep])
        items, named, tokens = (
            frame[keep] for frame in (self.items, self.named, self.tokens)
        )
        return Ballots(items, self.candidates[at], self.p[at], named, tokens)

    def graded(self) -> np.ndarray:
        """(items,): are all candidates graded?"""
        lacking = self.candidates.loc[self.candidates["correct"].isna(), "item_id"]
        return ~self.items.index.isin(lacking)


def make_ballots(graded: pd.DataFrame, strategies: list[str]) -> Ballots:
    """Ballots of some strategies, from the graded answers of one model and data set."""
    v = graded[graded["strategy"].isin(strategies)].reindex(columns=_ASKED)
    v = v.astype({"new_tokens": float}).reset_index(drop=True)
    items = (
        v[_ITEM]
        .drop_duplicates("item_id")
        .set_index("item_id", drop=False)
        .sort_index()
    )
    items = items.rename_axis(None)
    said = v[v["answer"].notna() & v["confidence"].notna()]
    v["name"] = said["answer"].map(plain_answer)
    said = v[v["name"].notna()]
    candidates = said.groupby(["item_id", "name"], sort=False)[
        ["answer", "correct"]
    ].first()
    candidates = candidates.reset_index().sort_values(
        "item_id", kind="stable", ignore_index=True
    )
    p = _spread(v, said, candidates).pivot(index="at", columns="strategy", values="p")
    wide = v.pivot(index="item_id", columns="strategy", values=["name", "new_tokens"])
    named, tokens = (
        wide[kind].reindex(index=items.index, columns=strategies)
        for kind in ("name", "new_tokens")
    )
    tokens = tokens.astype(float)
    tokens = tokens.fillna(0) if tokens.notna().any(axis=None) else tokens
    return Ballots(items, candidates, p.reindex(columns=strategies), named, tokens)


def _spread(v, said, candidates):
    """Every answer with every candidate ``at`` its item, and the probability ``p`` it gives it."""
    each = candidates[["item_id", "name"]].reset_index(names="at")
    votes = said.merge(each, on="item_id", suffixes=("", "_of"))
    c = votes["confidence"].astype(float)
    others = votes["item_id"].map(_others(v, candidates)).astype(float).clip(lower=1)
    told = map(_share, votes["option_probabilities"], votes["name_of"])
    spread = c.where(votes["name"] == votes["name_of"], (1 - c) / others)
    return votes.assign(p=pd.Series(told, votes.index, dtype=float).fillna(spread))


def _share(options, name):
    """What option probabilities give an answer; NaN where they tell none."""
    named = options.items() if isinstance(options, Mapping) else ()
    return {plain_answer(option): share for option, share in named}.get(name, np.nan)


def _others(v, candidates):
    """By item, over how many other answers the rest of a confidence is spread."""
    size = np.where(v["question_type"] == "closed", 2.0, 0)
    for column in ("options", "option_probabilities"):
        size = np.fmax(
            size, [len(o) if hasattr(o, "__len__") else 0 for o in v[column]]
        )
    size = pd.Series(size, v.index).groupby(v["item_id"]).max()
    return (size - 1).where(size > 1, candidates.groupby("item_id").size())


# --- fusing -------------------------------------------------------------------------------------


def chosen(ballots: Ballots, scores, *, name: str) -> pd.DataFrame:
    """Graded answers: the candidate of each item with the highest score, its confidence."""
    scores = pd.Series(scores, ballots.candidates.index)
    best = ballots.candidates.loc[
        scores.groupby(ballots.candidates["item_id"]).idxmax()
    ]
    best = best.assign(confidence=scores[best.index]).set_index("item_id")
    return ballots.items.assign(
        strategy=name, answer=best["answer"], confidence=best["confidence"],
        correct=best["correct"].astype("boolean"),
        new_tokens=ballots.tokens.sum(axis=1, skipna=False),
    )  # fmt: skip


def pooled(ballots: Ballots, voters: Sequence[str], *, name: str) -> pd.DataFrame:
    """Graded answers by the mean of some ballots over those who answered; of one, its own."""
    own = ballots.of(voters)
    p = own.p.to_numpy()
    return chosen(own, np.nansum(p, axis=1) / (~np.isnan(p)).sum(axis=1), name=name)


def fit_weights(ballots: Ballots):
    r"""Weights of strategies, fitted on graded candidates: a function of other ballots.

    :math:`P(a\ \text{right}) = \sigma(b + \sum_s w_s \operatorname{logit} p_s(a))` over all
    candidate answers a, :math:`w_s \ge 0`, with the penalty :math:`\frac12 \sum_s (w_s - 1/S)^2`:
    few labels leave it near the equal-weight pool of log-odds. Then Platt on the answer that leads.
    """
    from scipy.optimize import minimize

    rows = _log_odds(ballots)
    y = ballots.candidates["correct"].to_numpy(float)
    size = rows.shape[1]

    def loss(theta):
        eta = rows @ theta[:-1] + theta[-1]
        away = theta[:-1] - 1 / size
        gap = expit(eta) - y
        value = (np.logaddexp(0, eta) - y * eta).sum() + away @ away / 2
        return value, np.r_[gap @ rows + away, gap.sum()]

    start = np.r_[np.full(size, 1 / size), 0.0]
    bounds = [(0, None)] * size + [(None, None)]
    theta = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x

    def lead(other, name):
        eta = (_log_odds(other) * theta[:-1]).sum(axis=1) + theta[
            -1
        ]  # equal ballots tie exactly
        return chosen(other, eta, name=name)

    best = lead(ballots, "")
    top = best["confidence"].to_numpy(float)
    features = np.column_stack([top, np.ones_like(top)])
    right = best["correct"].to_numpy(float)
    slope, intercept = fit_smoothed(features, right, np.ones((1, len(top))))[0]

    def fused(other: Ballots, name: str) -> pd.DataFrame:
        out = lead(other, name)
        return out.assign(confidence=expit(slope * out["confidence"] + intercept))

    return fused


def _log_odds(ballots):
    """Of every ballot; 0, no evidence, where a strategy is silent."""
    return np.nan_to_num(logit(ballots.p.to_numpy(), CLIP), nan=0.0)


def _trained(ballots, fold, to, *, name) -> pd.DataFrame:
    """Graded answers by other ballots ``to`` on the same items, weighted by the other folds."""
    folds = np.unique(fold)
    parts = [
        fit_weights(ballots.part(fold != k))(to.part(fold == k), name) for k in folds
    ]
    return pd.concat(parts).loc[to.items.index]


def systems(strategies: Sequence[str]) -> dict[str, list[str]]:
    """The voters of every strategy and fusion by its name; one voter is no fusion."""
    pools = {FUSION: [s for s in strategies if s != EXPERT]}
    pools |= {EXPERT_TOO: list(strategies)} if EXPERT in strategies else {}
    fusions = {name: voters for name, voters in pools.items() if len(voters) > 1}
    return {s: [s] for s in strategies} | fusions


def every_system(ballots: Ballots, fold, *, to: Ballots) -> Iterator[tuple]:
    """(kind, correction, graded answers) of every strategy and fusion, cross-fitted in folds.

    Of ``to``, these or other ballots on the same items, by what the ballots teach.
    """
    for name, voters in systems(list(ballots.p)).items():
        kind = (
            "fusion" if len(voters) > 1 else "expert" if name == EXPERT else "strategy"
        )
        learn, own = (pooled(b, voters, name=name) for b in (ballots, to))
        yield kind, "as stated", own
        c = learn["confidence"]
        y = learn["correct"].to_numpy(float)
        moved = by_fold(fit, c, y, fold, to=own["confidence"])
        yield kind, "platt", own.assign(confidence=moved)
        if kind == "fusion":
            weighted = _trained(
                ballots.of(voters), fold, to.of(voters), name=name + TRAINED
            )
            yield kind, "trained", weighted


def fused_answers(graded: pd.DataFrame, *, rng: np.random.Generator) -> pd.DataFrame:
    """Graded answers of every strategy and fusion, on the same items, with the same labels.

    Parameters
    ----------
    graded : DataFrame
        One row per model, data set, item and strategy. A strategy that answered fewer than 80 % of
        the items is left out, with a warning; the others are compared on items that all answered.
        The strategy ``expert`` votes in "fusion + expert" alone. On open questions, whose
        candidates are what the strategies named, it costs what they cost as well.

    Returns
    -------
    DataFrame
        Rows with ``system`` (the strategy or fusion), ``correction`` (as stated; platt,
        cross-fitted by image; trained), ``kind`` (strategy, expert, fusion), ``fold`` (-1 as
        stated), ``labels`` (labelled items behind each prediction), ``loss`` and ``n_dropped``
        (items that not all answered).

    Raises
    ------
    ValueError
        If no strategy answers enough, or too few items are answered by all.
    """
    frames = []
    seed = int(rng.integers(2**63))
    for key, part in parts_by(graded, BY):
        where = " ".join(map(str, key.values()))
        ballots, n_dropped = complete(part, _enough(part, where))
        n = len(ballots.items)
        fold = folds_of(ballots.items, seed)
        if n < 2 * N_FOLDS or fold is None:
            raise ValueError(
                f"fusion: {where}: only {n} items were answered by all strategies"
            )
        others = ballots.tokens.drop(columns=EXPERT, errors="ignore").sum(
            axis=1, skipna=False
        )
        shown = others.where(
            ~ballots.items["question_type"].isin(["closed", "choice"]), 0
        )
        labels = round(n * (N_FOLDS - 1) / N_FOLDS)
        for kind, correction, own in every_system(ballots, fold, to=ballots):
            learned = correction != "as stated"
            frames.append(
                own.assign(
                    system=own["strategy"], kind=kind, correction=correction, n_dropped=n_dropped,
                    fold=fold if learned else -1, labels=labels if learned else 0,
                    new_tokens=own["new_tokens"] + (shown if kind == "expert" else 0),
                    loss=(own["confidence"] - own["correct"].astype(float)) ** 2,
                )
            )  # fmt: skip
    return pd.concat(frames, ignore_index=True)


def _enough(part, where):
    """The strategies that answered enough of the items, the expert last."""
    said = part.loc[
        part["answer"].notna() & part["confidence"].notna(), "strategy"
    ].value_counts()
    asked = sorted(set(part["strategy"]), key=lambda name: (name == EXPERT, name))
    kept = [
        s for s in asked if said.get(s, 0) >= _LEAST_SHARE * part["item_id"].nunique()
    ]
    least = f"{100 * _LEAST_SHARE:.0f} % of the items"
    if few := [s for s in asked if s not in kept]:
        warnings.warn(
            f"fusion: {where}: {', '.join(few)} answered less than {least}; left out",
            RecalibrationWarning,
            stacklevel=3,
        )
    if not set(kept) - {EXPERT}:
        raise ValueError(f"fusion: {where}: no strategy answered {least}")
    return kept


def complete(part: pd.DataFrame, strategies: list[str]) -> tuple[Ballots, int]:
    """Ballots on the items that all of the strategies answered, and how many others there are."""
    ballots = make_ballots(part, strategies)
    keep = ballots.named.notna().all(axis=1).to_numpy() & ballots.graded()
    return ballots.part(keep), int((~keep).sum())


# --- tables -------------------------------------------------------------------------------------


def scores_of(part, w) -> dict:
    """Statistics of graded answers for :func:`paired`; ranks within folds where maps differ.

    accuracy, mean_confidence, brier, log_loss, auroc with intervals; ece (15 equal-width bins)
    without.
    """
    c = part["confidence"].to_numpy(float)
    y = part["correct"].to_numpy(float)
    return {
        "accuracy": mean(w, y),
        "mean_confidence": mean(w, c),
        "brier": mean(w, (c - y) ** 2),
        "log_loss": mean(w, -np.log(np.clip(np.where(y == 1, c, 1 - c), 1e-12, 1))),
        "auroc": weighted_auroc(c, y, w, part.get("fold")),
        "ece": ece(c, y),
    }


def fusion_table(
    fused: pd.DataFrame, *, rng: np.random.Generator, **settings
) -> pd.DataFrame:
    """Scores of every strategy and fusion of :func:`fused_answers`.

    Returns
    -------
    DataFrame
        One row per model, data set, system, correction and kind: labels, n, n_images, n_dropped,
        what :func:`scores_of` gives, and new_tokens (mean per item).
    """

    def statistic(part, w):
        same = {name: part[name].iloc[0] for name in ("labels", "n_dropped")}
        return same | scores_of(part, w) | {"new_tokens": part["new_tokens"].mean()}

    return paired(fused, _KEYS, statistic, rng=rng, **settings)


def fusion_change_table(fused: pd.DataFrame, *, rng, **settings) -> pd.DataFrame:
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
    """
    frames = []
    for _, part in parts_by(fused, BY):
        platt = part[part["correction"] == "platt"]
        rows = part[part["kind"] == "fusion"]
        rivals = {"best strategy": _best(platt[platt["kind"] == "strategy"])}
        if len(alone := platt[platt["kind"] == "expert"]):
            rivals["expert"] = (alone.set_index("item_id")["loss"], EXPERT)
        for rival, (loss, name) in rivals.items():
            others = rows["item_id"].map(loss)
            frames.append(rows.assign(rival=rival, rival_is=name, rival_loss=others))
    both = pd.concat(frames)
    if both.empty:
        return both
    compared = means(
        brier="loss", rival_brier="rival_loss", change=("loss", "rival_loss")
    )

    def statistic(part, w):
        out = compared(part, w)
        return out | {"p": normal_p(out["change"][1:], out["change"][0])}

    out = paired(both, [*_KEYS, "rival", "rival_is"], statistic, rng=rng, **settings)
    out["p_holm"] = out.groupby("rival")["p"].transform(lambda p: holm(p.to_numpy()))
    shown = np.where(out["change"] < 0, "better", "worse")
    out["conclusion"] = np.where(out["p_holm"] < _SIZE, shown, "no difference shown")
    return out


def _best(single):
    """Losses by item of the strategy that is best on the other folds, and the usual one's name."""
    wide = single.pivot(index="item_id", columns="system", values="loss")
    fold = (
        single.drop_duplicates("item_id")
        .set_index("item_id")["fold"]
        .reindex(wide.index)
    )
    names = {k: wide[fold != k].mean().idxmin() for k in fold.unique()}
    loss = pd.concat([wide.loc[fold == k, name] for k, name in names.items()])
    return loss, pd.Series(list(names.values())).mode()[0]


def abstention_table(graded: pd.DataFrame) -> pd.DataFrame:
    """What complete cases leave out: all items, an abstention scored at the base rate.

    Returns
    -------
    DataFrame
        One row per model, data set and system, as stated: n_items, n_abstained; brier of the
        answered items, and brier_all, where each abstention costs b (1 - b), the Brier score of
        somebody who says the share b of right answers of this system.
    """
    out = []
    for key, part in parts_by(graded, BY):
        present = sorted(set(part["strategy"]))
        ballots = make_ballots(part, present)
        ballots = ballots.part(ballots.graded())
        for system, voters in systems(present).items():
            frame = pooled(ballots, voters, name=system)
            y = frame["correct"].astype(float)
            loss = (frame["confidence"] - y) ** 2
            at_base_rate = y.mean() * (1 - y.mean())
            row = {
                "system": system,
                "n_items": len(frame),
                "n_abstained": int(loss.isna().sum()),
            }
            row |= {"brier": loss.mean(), "brier_all": loss.fillna(at_base_rate).mean()}
            out.append(key | row)
    return pd.DataFrame(out)


def tokens_table(
    fused: pd.DataFrame, *, rng: np.random.Generator, **settings
) -> pd.DataFrame:
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
    rows = fused[(fused["correction"] != "as stated") & fused["new_tokens"].notna()]
    if rows.empty:
        return pd.DataFrame()
    parts = []
    for _, part in parts_by(rows, BY):
        lowest = part.groupby("system")["loss"].mean().idxmin()
        best = part[part["system"] == lowest].set_index("item_id")["loss"]
        parts.append(part.assign(best=part["item_id"].map(best)))
    statistic = means(new_tokens="new_tokens", brier="loss", change=("loss", "best"))
    out = paired(pd.concat(parts), _KEYS, statistic, rng=rng, **settings)
    return out.assign(tied=out["change_low"] <= 1e-12)
