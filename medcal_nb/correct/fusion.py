"""Fusing interrogation strategies: several ways of asking, one answer, one confidence.

The body of Du et al. (arXiv 2606.19950) is not public here. This room implements what its
abstract states: fuse several strategies, add an expert's assessment. Every choice below is ours:

- each strategy's verdict is a *ballot*: its confidence on its own answer, the rest spread evenly
  over the other options (over the other named answers and one "something else" where the
  options are not known), or its option probabilities where it has them;
- ``pool_strategies`` averages ballots, with no labels;
- ``fit_fusion`` weights them: a logistic in the log-odds of every ballot, no weight below zero,
  so that more confidence never lowers the fused one.
"""

import json
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

from ._logistic import fit_logistic, logit
from ._resample import draw_groups, weighted_losses
from .recalibrate import (
    CLIP,
    RecalibrationWarning,
    assign_folds,
    cross_fit,
    fit_isotonic,
    fit_platt,
    fit_temperature,
    hash_items,
    platt_targets,
)
from .transfer import image_labels, interval

RULES = ("linear", "support")
_BASELINES: dict[str, Callable] = {
    "temperature": fit_temperature,
    "platt": fit_platt,
    "isotonic": fit_isotonic,
}
_SMALL = frozenset(("a", "an", "the"))


def plain_answer(answer: str) -> str:
    """What two answers share when they are the same: words without case, points and articles."""
    words = re.findall(r"\w+(?:[.,]\d+)?", str(answer).casefold())
    return " ".join([w for w in words if w not in _SMALL] or words)


# --- ballots ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ballots:
    """What each strategy gives each candidate answer of each item, for one model and data set.

    Attributes
    ----------
    p : (items, candidates, strategies) array
        Probability that the strategy gives the candidate; NaN where the item has fewer candidates
        or the strategy has no verdict.
    named : (items, strategies) array of int
        The candidate that is the strategy's own answer, -1 where it has none.
    right : (items, candidates) array
        1, 0, NaN where ungraded or absent.
    answers : (items, candidates) array of str
    rows : DataFrame
        One row per item: its columns that do not depend on the strategy.
    strategies : tuple of str
    cost : mapping
        prompt_tokens, new_tokens, seconds: (items, strategies) arrays; NaN where no vote tells.
    """

    p: np.ndarray
    named: np.ndarray
    right: np.ndarray
    answers: np.ndarray
    rows: pd.DataFrame
    strategies: tuple[str, ...]
    cost: Mapping[str, np.ndarray]

    def of(self, strategies: Sequence[str]) -> "Ballots":
        """The ballots of some strategies, on the candidates that they name."""
        at = [self.strategies.index(s) for s in strategies]
        p = np.where(self.named_by()[:, :, at].any(axis=2)[:, :, None], self.p[:, :, at], np.nan)
        cost = {k: v[:, at] for k, v in self.cost.items()}
        return Ballots(
            p, self.named[:, at], self.right, self.answers, self.rows, tuple(strategies), cost
        )

    def named_by(self) -> np.ndarray:
        """(items, candidates, strategies): is the candidate the strategy's own answer?"""
        return self.named[:, None, :] == np.arange(self.p.shape[1])[None, :, None]

    def part(self, keep) -> "Ballots":
        """The ballots of some items."""
        return Ballots(
            self.p[keep],
            self.named[keep],
            self.right[keep],
            self.answers[keep],
            self.rows[keep],
            self.strategies,
            {k: v[keep] for k, v in self.cost.items()},
        )


_COST = ("prompt_tokens", "new_tokens", "seconds")
_OWN = {"strategy", "answer", "confidence", "correct", "option_probabilities", "n_answers", *_COST}


def make_ballots(
    verdicts: pd.DataFrame,
    *,
    strategies: Sequence[str] | None = None,
    same: Callable[[str], str] = plain_answer,
) -> Ballots:
    """Ballots of the strategies' verdicts on each item of one model and data set.

    Parameters
    ----------
    verdicts : DataFrame
        One row per item and strategy.
    strategies : sequence of str, optional
        Which, in which order; all that occur by default.
    same : callable
        Two answers for which it returns the same are one candidate.

    Raises
    ------
    ValueError
        If a strategy has no verdict, an item is judged twice by one strategy, or the rows are of
        several models or data sets.
    """
    for column in ("model", "dataset"):
        if column in verdicts and verdicts[column].nunique() > 1:
            raise ValueError(f"ballots are of one {column}, got {verdicts[column].nunique()}")
    names = tuple(strategies or sorted(verdicts["strategy"].unique()))
    if lost := [s for s in names if s not in set(verdicts["strategy"])]:
        raise ValueError(f"strategies: no verdict of {lost[0]!r}")
    v = verdicts[verdicts["strategy"].isin(names)].reset_index(drop=True)
    if (twice := v.duplicated(["item_id", "strategy"])).any():
        row = v[twice].iloc[0]
        raise ValueError(f"item {row.item_id!r} has two verdicts of {row.strategy!r}; keep one")
    item, items = pd.factorize(v["item_id"], sort=True)
    voter = pd.Categorical(v["strategy"], categories=names).codes
    rows = v.drop_duplicates("item_id").set_index("item_id", drop=False).loc[items]
    rows = rows[[c for c in rows if c not in _OWN]].reset_index(drop=True)

    said = (v["answer"].notna() & v["confidence"].notna()).to_numpy()
    label = np.array([same(a) if ok else "" for a, ok in zip(v["answer"], said, strict=True)])
    named = pd.DataFrame({"item": item, "label": label, "at": np.arange(len(v))})[said]
    distinct = named.drop_duplicates(["item", "label"]).copy()
    distinct["slot"] = distinct.groupby("item").cumcount()
    slot = np.full(len(v), -1)
    slot[said] = named.merge(distinct[["item", "label", "slot"]], how="left")["slot"].to_numpy()
    n, k = len(items), int(distinct["slot"].max()) + 1 if len(distinct) else 1
    answers, right = np.full((n, k), None, dtype=object), np.full((n, k), np.nan)
    first = distinct["at"].to_numpy()
    answers[distinct["item"], distinct["slot"]] = v["answer"].to_numpy()[first]
    grade = np.array([np.nan if pd.isna(g) else float(g) for g in v["correct"]])
    graded = np.flatnonzero(said & ~np.isnan(grade))[::-1]
    right[item[graded], slot[graded]] = grade[graded]

    present = answers != None  # noqa: E711 (elementwise)
    known = _option_count(v, rows, item)
    others = np.where(np.isnan(known), present.sum(axis=1), known - 1)
    p = np.full((n, k, len(names)), np.nan)
    c = v["confidence"].to_numpy(float)
    i, s = item[said], voter[said]
    rest = (1 - c[said]) / np.maximum(others[i], 1)
    p[i, :, s] = np.where(present[i], rest[:, None], np.nan)
    p[i, slot[said], s] = c[said]
    _use_option_probabilities(p, v, said, item, voter, answers, same)
    own = np.full((n, len(names)), -1)
    own[i, s] = slot[said]
    cost = {}
    for name in _COST:
        told = pd.to_numeric(v[name]) if name in v else pd.Series(dtype=float)
        cost[name] = np.full((n, len(names)), np.nan)
        if told.notna().any():
            cost[name][:] = 0
            cost[name][item, voter] = told.fillna(0).to_numpy(float)
    return Ballots(p, own, right, answers, rows, names, cost)


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


def _use_option_probabilities(p, v, said, item, voter, answers, same):
    if "option_probabilities" not in v:
        return
    for row in np.flatnonzero(said):
        own = v["option_probabilities"].iat[row]
        if not isinstance(own, Mapping):
            continue
        by_name = {same(name): float(value) for name, value in own.items()}
        for j, answer in enumerate(answers[item[row]]):
            if answer is not None and same(answer) in by_name:
                p[item[row], j, voter[row]] = by_name[same(answer)]


def _pooled(ballots: Ballots, weights: np.ndarray, rule: str) -> np.ndarray:
    """(items, candidates) scores, -1 where there is no candidate."""
    voted = ~np.isnan(ballots.p)
    counted = voted if rule == "linear" else voted & ballots.named_by()
    total = np.where(counted, ballots.p, 0.0) @ weights
    norm = voted @ weights if rule == "linear" else total.sum(axis=1, keepdims=True)
    present = voted.any(axis=2) & (norm > 0)
    return np.where(present, total / np.where(norm > 0, norm, 1), -1)


def _chosen(ballots: Ballots, scores: np.ndarray, confidence=None, *, name: str, used=None):
    """Verdict rows from scores: the best candidate of each item."""
    at = np.arange(len(scores))
    best = scores.argmax(axis=1)
    has = scores[at, best] >= 0
    c = scores[at, best] if confidence is None else confidence
    out = ballots.rows.copy()
    out["strategy"] = name
    out["answer"] = np.where(has, ballots.answers[at, best], None)
    out["confidence"] = np.where(has, c, np.nan)
    grade = pd.array(ballots.right[at, best], dtype="Float64")
    out["correct"] = pd.Series(grade, index=out.index).astype("boolean")
    used = np.ones(len(ballots.strategies), bool) if used is None else used
    out["n_answers"] = (~np.isnan(ballots.p).all(axis=1))[:, used].sum(axis=1)
    for column, values in ballots.cost.items():
        out[column] = values[:, used].sum(axis=1)
    return out


def pool_strategies(
    verdicts: pd.DataFrame,
    *,
    strategies: Sequence[str] | None = None,
    weights: Mapping[str, float] | None = None,
    rule: str = "linear",
    name: str = "fusion",
    by: Sequence[str] = ("model", "dataset"),
) -> pd.DataFrame:
    r"""Fuse strategies without labels: the answer with most support, and how much it has.

    ``linear``: the weighted mean of the ballots, :math:`\sum_s w_s p_s(a) / \sum_s w_s`, over
    the strategies that answered. ``support``: the weighted sum of the confidence that strategies
    gave the answers they named, divided by that of all named answers; where all name one answer
    it is 1, however unsure they are.

    Parameters
    ----------
    verdicts : DataFrame
        Needs item_id, strategy, answer, confidence, correct and the ``by`` columns.
    weights : mapping, optional
        Strategy → weight >= 0; 1 each by default.
    name : str
        The strategy's name in the result.

    Returns
    -------
    DataFrame
        One verdict per item; tokens and seconds are the strategies' sums. An item that no
        strategy answered has no confidence.

    Raises
    ------
    ValueError
        On an unknown rule, a negative weight, or what :func:`make_ballots` refuses.
    """
    if rule not in RULES:
        raise ValueError(f"rule: expected one of {', '.join(RULES)}, got {rule!r}")
    out = []
    for _, part in verdicts.groupby(list(by), sort=True, observed=True):
        ballots = make_ballots(part, strategies=strategies)
        w = np.array([1.0 if weights is None else weights[s] for s in ballots.strategies])
        if (w < 0).any() or not w.any():
            raise ValueError(f"weights: expected values >= 0, not all 0, got {weights}")
        out.append(_chosen(ballots, _pooled(ballots, w, rule), name=name, used=w > 0))
    return pd.concat(out, ignore_index=True)


# --- trained fusion ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Fusion:
    """Weights of strategies, fitted on labelled items; call it on verdicts of other items.

    Attributes
    ----------
    strategies : tuple of str
    weights : dict
        Strategy → weight >= 0 on the log-odds of its ballot.
    slope, intercept : float
        Of the last step, Platt's on the chosen answer.
    n_fit : int
        Labelled items that the fit used.
    fitted_on : frozenset of str
        Their hashed keys; scoring on them is refused.
    """

    strategies: tuple[str, ...]
    weights: Mapping[str, float]
    offset: float
    slope: float
    intercept: float
    n_fit: int
    clip: float = CLIP
    fitted_on: frozenset[str] = field(default_factory=frozenset, repr=False)

    def __call__(self, verdicts: pd.DataFrame, *, name: str = "fusion_trained") -> pd.DataFrame:
        """Fused verdicts of one model's answers to one data set.

        Raises
        ------
        ValueError
            If an item was used in the fit.
        """
        ballots = make_ballots(verdicts, strategies=self.strategies)
        keys = hash_items(ballots.rows["item_id"])
        if seen := sum(k in self.fitted_on for k in keys):
            first = ballots.rows["item_id"].iloc[[k in self.fitted_on for k in keys].index(True)]
            raise ValueError(
                f"{seen} of {len(keys)} items were used to fit this fusion, the first {first!r}; "
                "score it on other items or use cross_fuse"
            )
        return self._apply(ballots, name)

    def _apply(self, ballots, name):
        w = np.array([self.weights[s] for s in self.strategies])
        eta, present = _log_odds(ballots, w, self.offset, self.clip)
        scores = np.where(present, expit(eta), -1)
        best = scores.argmax(axis=1)
        chosen = eta[np.arange(len(eta)), best]
        confidence = expit(self.slope * chosen + self.intercept)
        return _chosen(ballots, scores, confidence, name=name)

    def to_json(self, path: str | Path | None = None) -> str:
        """The fusion as JSON text, also written to ``path`` where given."""
        text = json.dumps(
            {
                "format": "medcal-fusion/1",
                "strategies": list(self.strategies),
                "weights": dict(self.weights),
                "offset": self.offset,
                "slope": self.slope,
                "intercept": self.intercept,
                "n_fit": self.n_fit,
                "clip": self.clip,
                "fitted_on": sorted(self.fitted_on),
            },
            indent=1,
        )
        if path is not None:
            Path(path).write_text(text + "\n", encoding="utf-8")
        return text

    @classmethod
    def from_json(cls, text: str) -> "Fusion":
        """Read a fusion from its JSON text."""
        d = json.loads(text)
        if d.pop("format", None) != "medcal-fusion/1":
            raise ValueError("not a fusion: its format is not medcal-fusion/1")
        d["strategies"], d["fitted_on"] = tuple(d["strategies"]), frozenset(d["fitted_on"])
        return cls(**d)


def _features(ballots: Ballots, clip: float) -> np.ndarray:
    """Log-odds of every ballot; 0, no evidence, where a strategy is silent."""
    return np.nan_to_num(logit(ballots.p, clip), nan=0.0)


def _log_odds(ballots, weights, offset, clip):
    present = ~np.isnan(ballots.p).all(axis=2)
    return _features(ballots, clip) @ weights + offset, present


def fit_fusion(
    verdicts: pd.DataFrame,
    *,
    strategies: Sequence[str] | None = None,
    penalty: float = 1.0,
    clip: float = CLIP,
) -> Fusion:
    r"""Fit the weights of strategies on labelled items of one model and data set.

    :math:`P(a\ \text{right}) = \sigma(b + \sum_s w_s \operatorname{logit} p_s(a))` over all
    candidate answers a, :math:`w_s \ge 0`, with a penalty on
    :math:`\sum_s (w_s - 1/S)^2`: few labels leave it near the equal-weight pool of log-odds. Then
    Platt on the answer that leads.

    Parameters
    ----------
    verdicts : DataFrame
        As for :func:`make_ballots`; ungraded candidates are left out.
    penalty : float
        In units of one answer's log-likelihood.

    Raises
    ------
    ValueError
        If no candidate is graded.
    """
    return _fit_ballots(make_ballots(verdicts, strategies=strategies), penalty, clip)


def _fit_ballots(ballots: Ballots, penalty: float, clip: float) -> Fusion:
    from scipy.optimize import minimize

    x = _features(ballots, clip)
    use = ~np.isnan(ballots.right) & ~np.isnan(ballots.p).all(axis=2)
    if not use.any():
        raise ValueError("correct: no candidate answer is graded, nothing to fit")
    rows, y = x[use], ballots.right[use]
    size = rows.shape[1]
    start = np.r_[np.full(size, 1 / size), 0.0]

    def loss(theta):
        eta = rows @ theta[:-1] + theta[-1]
        away = theta[:-1] - 1 / size
        value = (np.logaddexp(0, eta) - y * eta).sum() + penalty / 2 * away @ away
        gap = expit(eta) - y
        return value, np.r_[gap @ rows + penalty * away, gap.sum()]

    bounds = [(0, None)] * size + [(None, None)]
    theta = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    eta, present = _log_odds(ballots, theta[:-1], theta[-1], clip)
    best = np.where(present, eta, -np.inf).argmax(axis=1)
    at = np.arange(len(eta))
    graded = ~np.isnan(ballots.right[at, best]) & present.any(axis=1)
    slope, intercept = _platt_columns(
        eta[at, best][graded][:, None], ballots.right[at, best][graded][:, None]
    )[0]
    return Fusion(
        strategies=ballots.strategies,
        weights=dict(zip(ballots.strategies, theta[:-1].tolist(), strict=True)),
        offset=float(theta[-1]),
        slope=float(slope),
        intercept=float(intercept),
        n_fit=int(graded.sum()),
        clip=clip,
        fitted_on=frozenset(hash_items(ballots.rows["item_id"])),
    )


def _platt_columns(x, y) -> np.ndarray:
    """Platt fits (q, 2), one for each column of log-odds x and outcomes y, both (n, q)."""
    n, q = x.shape
    features = np.stack([x.T, np.ones((q, n))], axis=2)
    right = y.sum(axis=0)
    high, low = platt_targets(right, np.full(q, float(n)))
    target = np.where(y.T == 1, high[:, None], low[:, None])
    sums = np.einsum("qn,qnd->qd", target, features)
    return fit_logistic(features, sums, np.ones((q, n)))[0]


def cross_fuse(
    verdicts: pd.DataFrame,
    *,
    strategies: Sequence[str] | None = None,
    n_folds: int = 5,
    penalty: float = 1.0,
    clip: float = CLIP,
    name: str = "fusion_trained",
    by: Sequence[str] = ("model", "dataset"),
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Trained fusion, each verdict from weights that never saw its image.

    Returns
    -------
    DataFrame
        One verdict per item of each model and data set.
    """
    out = []
    for _, part in verdicts.groupby(list(by), sort=True, observed=True):
        ballots = make_ballots(part, strategies=strategies)
        fold = assign_folds(image_labels(ballots.rows), n_folds, rng=rng)
        out.append(_cross_fused(ballots, fold, penalty, clip, name))
    return pd.concat(out, ignore_index=True)


def _cross_fused(ballots, fold, penalty, clip, name):
    parts = [
        _fit_ballots(ballots.part(fold != k), penalty, clip)._apply(ballots.part(fold == k), name)
        for k in range(fold.max() + 1)
    ]
    return pd.concat(parts).sort_index()


# --- one table ----------------------------------------------------------------------------------


def fused_verdicts(
    verdicts: pd.DataFrame,
    *,
    strategies: Sequence[str] | None = None,
    expert: str | None = None,
    baselines: Sequence[str] = ("temperature", "platt", "isotonic"),
    ablations: bool = True,
    min_coverage: float = 0.8,
    n_folds: int = 5,
    penalty: float = 1.0,
    clip: float = CLIP,
    by: Sequence[str] = ("model", "dataset"),
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Verdicts of every strategy, fusion and ablation on the same items with the same labels.

    Parameters
    ----------
    verdicts : DataFrame
        One row per model, data set, item and strategy.
    strategies : sequence of str, optional
        Those to fuse; all but ``expert`` by default.
    expert : str, optional
        The strategy that holds an expert's assessment. It is added to the pool as one more voter
        (``ms_fbi``, ``ms_fbi_trained``). Alone it costs what the strategies cost as well, where
        it judges their answers: on the items whose ``judges_answers`` (see
        :func:`expert_verdicts`) is not False.
    baselines : sequence of {"temperature", "platt", "isotonic"}
        Recalibrations of single strategies and of the label-free pools, cross-fitted by image:
        each prediction uses the labels of the other folds, as the trained fusion does.
    min_coverage : float
        A strategy with a confidence on a smaller share of the items is left out, with a warning.
        The others are compared on the items that all of them answered.

    Returns
    -------
    DataFrame
        Verdicts with ``system`` (the strategy or fusion), ``correction`` (none, a baseline, or
        trained), ``kind`` (strategy, fusion, expert, ablation), ``left_out`` (the strategy that an
        ablation lacks), ``labels`` (labelled items behind each prediction, 0 without) and
        ``n_dropped`` (items that not all answered).

    Raises
    ------
    ValueError
        If no strategy answers enough, or too few items are answered by all.
    """
    unknown = [b for b in baselines if b not in _BASELINES]
    if unknown:
        raise ValueError(f"baselines: unknown {unknown[0]!r}; known: {', '.join(_BASELINES)}")
    frames = []
    seed = int(rng.integers(2**63))
    for key, part in verdicts.groupby(list(by), sort=True, observed=True):
        voters = list(strategies or sorted(set(part["strategy"]) - {expert}))
        systems, dropped, labels = _systems(
            part, voters, expert, baselines, ablations, min_coverage, n_folds, penalty, clip,
            seed, " ".join(map(str, key)),
        )  # fmt: skip
        both = pd.concat(systems, ignore_index=True)
        both["labels"] = np.where(both["correction"] == "none", 0, labels)
        frames.append(both.assign(n_dropped=dropped))
    return pd.concat(frames, ignore_index=True)


_SYSTEM = ["system", "correction", "kind", "left_out"]


def fusion_table(
    verdicts: pd.DataFrame,
    *,
    n_bins: int = 15,
    level: float = 0.95,
    n_resamples: int = 0,
    by: Sequence[str] = ("model", "dataset"),
    rng: np.random.Generator,
    **settings,
) -> pd.DataFrame:
    """Metrics of every strategy, fusion and ablation, on the same items with the same labels.

    Parameters
    ----------
    verdicts : DataFrame
        As for :func:`fused_verdicts`, which also takes ``settings``; or its result.
    n_resamples : int
        Of the bootstrap by image; 0 for no intervals.

    Returns
    -------
    DataFrame
        One row per system, correction and ablation: kind, left_out, labels, n, n_dropped,
        accuracy, mean_confidence, ece (equal width), ece_mass, brier, log_loss, auroc, aurc,
        prompt_tokens, new_tokens, seconds (means per item), with ``_low`` and ``_high`` where
        ``n_resamples`` > 0.
    """
    if "system" not in verdicts:
        verdicts = fused_verdicts(verdicts, by=by, rng=rng, **settings)
    clip = settings.get("clip", CLIP)
    frames = []
    for key, part in verdicts.groupby(list(by), sort=True, observed=True):
        table = _measured(part, n_bins, level, n_resamples, clip, rng)
        frames.append(table.assign(**dict(zip(by, key, strict=True))))
    out = pd.concat(frames, ignore_index=True)
    first = [*by, *_SYSTEM, "labels", "n", "n_dropped"]
    return out[first + [c for c in out if c not in first]]


def fusion_gain_table(
    fused: pd.DataFrame,
    *,
    losses: Sequence[str] = ("ece", "brier", "log_loss"),
    n_bins: int = 15,
    clip: float = CLIP,
    level: float = 0.95,
    n_resamples: int = 1000,
    by: Sequence[str] = ("model", "dataset"),
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Does a system beat the best single strategy with Platt? Paired differences by image.

    The rival is the strategy whose Platt-corrected Brier score is lowest on these items, a choice
    that favours the rival.

    Parameters
    ----------
    fused : DataFrame
        From :func:`fused_verdicts`, with the baseline ``platt``.
    losses : sequence of {"ece", "ece_debiased", "brier", "log_loss"}
        ECE over bins of equal mass.

    Returns
    -------
    DataFrame
        One row per system and loss: ``rival``, value, rival_value, ``gain`` (rival - system) with
        low and high, and ``verdict``: "beats it", "worse" or "no difference shown".

    Raises
    ------
    ValueError
        If no Platt-corrected strategy is there.
    """
    seed, rows = int(rng.integers(2**63)), []
    for key, part in fused.groupby(list(by), sort=True, observed=True):
        single = part[(part["kind"] == "strategy") & (part["correction"] == "platt")]
        if single.empty:
            raise ValueError("fused: no Platt-corrected strategy to compare with")
        gap = (single["confidence"] - single["correct"].astype(float)) ** 2
        rival = gap.groupby(single["strategy"]).mean().idxmin()
        groups = {k: g.sort_values("item_id") for k, g in part.groupby(_SYSTEM, sort=False)}
        images = image_labels(groups[rival, "platt", "strategy", ""])
        names, code = np.unique(images, return_inverse=True)
        drawn = draw_groups(len(names), n_resamples, np.random.default_rng(seed))
        w = np.vstack([np.ones(len(code)), drawn[:, code]])
        scored = {
            k: weighted_losses(
                g["confidence"].to_numpy(float), g["correct"].to_numpy(float), w, losses,
                n_bins=n_bins, clip=clip,
            )
            for k, g in groups.items()
        }  # fmt: skip
        for k, by_loss in scored.items():
            for loss in losses:
                ours, theirs = by_loss[loss], scored[rival, "platt", "strategy", ""][loss]
                gain, low, high = interval(theirs - ours, level)
                verdict = "beats it" if low > 0 else "worse" if high < 0 else "no difference shown"
                rows.append(
                    dict(zip(by, key, strict=True))
                    | dict(zip(_SYSTEM, k, strict=True))
                    | {"loss": loss, "rival": rival, "value": ours[0], "rival_value": theirs[0]}
                    | {"gain": gain, "gain_low": low, "gain_high": high, "verdict": verdict}
                )
    return pd.DataFrame(rows)


def left_out_table(
    fused: pd.DataFrame,
    *,
    level: float = 0.95,
    n_resamples: int = 1000,
    by: Sequence[str] = ("model", "dataset"),
    rng: np.random.Generator,
) -> pd.DataFrame:
    """What a fusion's Brier score loses without each voter. Paired differences by image.

    The same images are drawn again for the whole and for what is left of it; weights and maps
    are not fitted again.

    Parameters
    ----------
    fused : DataFrame
        From :func:`fused_verdicts`, with ``ablations``.

    Returns
    -------
    DataFrame
        One row per fusion and voter: the ``by`` columns, system, correction, left_out, n,
        n_images, brier_whole, brier (without the voter), ``rise`` (their difference; above 0 the
        whole is worse off without the voter) with rise_low and rise_high. Empty where nothing
        was left out, as with one voter.
    """
    seed, rows = int(rng.integers(2**63)), []
    for key, part in fused.groupby(list(by), sort=True, observed=True):
        own = part[part["kind"].isin(["fusion", "ablation"])]
        losses = {
            k: g.set_index("item_id").eval("(confidence - correct) ** 2").astype(float)
            for k, g in own.assign(correct=own["correct"].astype(float)).groupby(
                ["system", "correction", "left_out"], sort=False
            )
        }
        images = pd.Series(image_labels(own), own["item_id"]).groupby(level=0).first()
        names, code = np.unique(images, return_inverse=True)
        drawn = draw_groups(len(names), n_resamples, np.random.default_rng(seed))
        weights = np.vstack([np.ones(len(code)), drawn[:, code]])
        weights /= weights.sum(axis=1, keepdims=True)
        for (system, correction, left_out), loss in losses.items():
            if not left_out:
                continue
            without, whole = (
                v.reindex(images.index).to_numpy() for v in (loss, losses[system, correction, ""])
            )
            rise, low, high = interval(weights @ (without - whole), level)
            rows.append(
                dict(zip(by, key, strict=True))
                | {"system": system, "correction": correction, "left_out": left_out}
                | {"n": len(images), "n_images": len(names)}
                | {"brier_whole": whole.mean(), "brier": without.mean()}
                | {"rise": rise, "rise_low": low, "rise_high": high}
            )
    return pd.DataFrame(rows)


def left_out_sentence(table: pd.DataFrame) -> str:
    """What :func:`left_out_table` shows of each fusion of one model, in words.

    A difference that is nought to four digits is none.
    """
    if table.empty:
        return "One voter alone leaves nothing to leave out: there is no figure."
    told = []
    for system, part in table.groupby("system", sort=False):
        worse = part.loc[part["rise_low"].round(4) > 0, "left_out"]
        better = part.loc[part["rise_high"].round(4) < 0, "left_out"]
        told.append(
            f"{system} is shown to be worse without {', '.join(worse) or 'none'} and better "
            f"without {', '.join(better) or 'none'}; for {len(part) - len(worse) - len(better)} of "
            f"{len(part)} voters no difference is shown."
        )
    return "\n\n".join(told)


def _systems(
    part, voters, expert, baselines, ablations, min_coverage, n_folds, penalty, clip, seed, where
):  # fmt: skip
    ballots = make_ballots(part, strategies=voters + ([expert] if expert else []))
    answered = ~np.isnan(ballots.p).all(axis=1)
    share = answered.mean(axis=0)
    kept = [s for s, c in zip(ballots.strategies, share, strict=True) if c >= min_coverage]
    for s, c in zip(ballots.strategies, share, strict=True):
        if c < min_coverage:
            warnings.warn(
                f"fusion: {where}: {s} answered {c:.0%} of the items, less than "
                f"{min_coverage:.0%}; left out",
                RecalibrationWarning,
                stacklevel=3,
            )
    if not kept:
        raise ValueError(f"fusion: {where}: no strategy answered {min_coverage:.0%} of the items")
    everyone = answered[:, [s in kept for s in ballots.strategies]].all(axis=1)
    graded = ~np.isnan(np.where(ballots.answers != None, ballots.right, 0)).any(axis=1)  # noqa: E711
    rows = ballots.rows[everyone & graded]
    if len(rows) < 2 * n_folds:
        raise ValueError(f"fusion: {where}: only {len(rows)} items were answered by all strategies")
    common = part[part["item_id"].isin(rows["item_id"])]
    voters = [s for s in voters if s in kept]
    full = make_ballots(common, strategies=[s for s in ballots.strategies if s in kept])
    fold = assign_folds(image_labels(full.rows), n_folds, rng=np.random.default_rng([seed, 0]))
    out = []

    def add(frame, kind, correction="none", left_out="", name=None):
        name = name or frame["strategy"].iloc[0]
        out.append(frame.assign(system=name, kind=kind, correction=correction, left_out=left_out))

    def corrected(frame, kind):
        add(frame, kind)
        c, y = frame["confidence"].to_numpy(float), frame["correct"].to_numpy(float)
        for baseline in baselines:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RecalibrationWarning)
                moved = cross_fit(
                    lambda a, b, fit=_BASELINES[baseline]: fit(a, b, clip=clip),
                    c, y, image_labels(frame), n_folds=n_folds,
                    rng=np.random.default_rng([seed, 0]),
                )  # fmt: skip
            add(frame.assign(confidence=moved), kind, baseline)

    for s in full.strategies:
        alone = full.of([s])
        own = _chosen(alone, np.where(alone.named_by()[:, :, 0], alone.p[:, :, 0], -1), name=s)
        if s == expert:
            for column, values in full.of(voters).cost.items():
                own[column] += np.where(_judges(common, s, own), values.sum(axis=1), 0)
        corrected(own, "expert" if s == expert else "strategy")
    groups = {"fusion": voters}
    if expert in kept:
        groups["ms_fbi"] = [*voters, expert]
    for name, members in groups.items():
        pool = full.of(members)
        ones = np.ones(len(members))
        corrected(_chosen(pool, _pooled(pool, ones, "linear"), name=name), "fusion")
        support = _chosen(pool, _pooled(pool, ones, "support"), name=f"{name}_support")
        corrected(support, "fusion")
        trained = _cross_fused(pool, fold, penalty, clip, f"{name}_trained")
        add(trained, "fusion", "trained")
    if ablations:
        members = groups.get("ms_fbi", voters)
        whole = "ms_fbi" if "ms_fbi" in groups else "fusion"
        for s in members if len(members) > 1 else ():
            rest = full.of([m for m in members if m != s])
            ones = np.ones(len(rest.strategies))
            pooled = _chosen(rest, _pooled(rest, ones, "linear"), name=whole)
            add(pooled, "ablation", left_out=s)
            trained = _cross_fused(rest, fold, penalty, clip, f"{whole}_trained")
            add(trained, "ablation", "trained", left_out=s)
    labels = round(len(full.rows) * (n_folds - 1) / n_folds)
    return out, len(ballots.rows) - len(full.rows), labels


def _judges(part, expert, rows) -> np.ndarray:
    """Whether the expert needed the strategies' answers to each row's item."""
    if "judges_answers" not in part:
        return np.ones(len(rows), bool)
    told = part[part["strategy"] == expert].set_index("item_id")["judges_answers"]
    return rows["item_id"].map(told).ne(False).to_numpy()


def _measured(both, n_bins, level, n_resamples, clip, rng):
    from medcal_nb.measure import MeasureWarning, metrics_table

    keys = _SYSTEM
    settings = {"by": keys, "n_bins": n_bins, "level": level, "n_resamples": n_resamples or 2}
    if not n_resamples:
        settings["intervals"] = ()
    seed = int(rng.integers(2**63))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MeasureWarning)
        table = metrics_table(
            both,
            metrics=("accuracy", "mean_confidence", "ece", "brier", "log_loss", "auroc", "aurc"),
            clip=clip,
            rng=np.random.default_rng(seed),
            **settings,
        )
        mass = metrics_table(
            both, metrics=("ece",), binning="mass", rng=np.random.default_rng(seed), **settings
        )
    mass = mass.rename(columns=lambda c: c.replace("ece", "ece_mass"))
    table = table.merge(mass.drop(columns=["n", "n_missing"]), on=keys)
    same = both.drop_duplicates(keys)[[*keys, "labels", "n_dropped"]]
    cost = both.groupby(keys, as_index=False)[list(_COST)].mean().merge(same, on=keys)
    order = both[keys].drop_duplicates()
    return order.merge(table.drop(columns="n_missing").merge(cost, on=keys), on=keys)


def average_reduction(
    table: pd.DataFrame,
    *,
    system: str = "ms_fbi",
    correction: str = "none",
    metric: str = "ece",
    by: Sequence[str] = ("model", "dataset"),
) -> pd.DataFrame:
    r"""How much lower a system's metric is than the single strategies', under both readings.

    ``mean_of_reductions``: :math:`\frac1S \sum_s (m_s - m) / m_s`. ``reduction_of_mean``:
    :math:`(\bar m_s - m) / \bar m_s`. They differ where one strategy is far worse than the rest.

    Parameters
    ----------
    table : DataFrame
        From :func:`fusion_table`; the uncorrected single strategies are compared with.
    by : sequence of str
        One row for each value of these.

    Returns
    -------
    DataFrame
        The ``by`` columns, strategies, mean_single, fused, mean_of_reductions, reduction_of_mean,
        best_single (the lowest of the strategies) and beaten (how many strategies are higher).
    """
    out = []
    for key, part in table.groupby(list(by), sort=True, observed=True):
        single = part[(part["kind"] == "strategy") & (part["correction"] == "none")][metric]
        fused = part[
            (part["system"] == system)
            & (part["correction"] == correction)
            & (part["kind"] != "ablation")
        ][metric]
        if fused.empty:
            raise ValueError(f"no row of system {system!r} with correction {correction!r}")
        m, value = single.to_numpy(), float(fused.iloc[0])
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = float(np.mean((m - value) / m))
        out.append(
            dict(zip(by, key, strict=True))
            | {
                "strategies": len(m),
                "mean_single": m.mean(),
                "fused": value,
                "mean_of_reductions": relative,
                "reduction_of_mean": float((m.mean() - value) / m.mean()),
                "best_single": m.min(),
                "beaten": int((m > value).sum()),
            }
        )
    return pd.DataFrame(out)


# --- which strategies are worth asking ----------------------------------------------------------


def best_subset_table(
    verdicts: pd.DataFrame,
    *,
    strategies: Sequence[str] | None = None,
    how: str = "exact",
    n_folds: int = 5,
    clip: float = CLIP,
    by: Sequence[str] = ("model", "dataset"),
    rng: np.random.Generator,
) -> pd.DataFrame:
    """The best strategies to ask, for every number of them.

    A subset's ballots are averaged and passed through Platt; its Brier score is compared. Chosen
    on fit folds only, scored on the fold left out.

    Parameters
    ----------
    how : {"exact", "greedy"}
        All subsets (up to 12 strategies), or one strategy added at a time.

    Returns
    -------
    DataFrame
        One row per model, data set and size: ``chosen`` (on all items, names joined by " + "),
        brier and accuracy (of the choice made without the fold, on the fold), stability (share of
        folds that chose the same), tokens and seconds of ``chosen`` per item.

    Raises
    ------
    ValueError
        If ``how`` is unknown, or exact search is asked of more than 12 strategies.
    """
    if how not in ("exact", "greedy"):
        raise ValueError(f"how: expected 'exact' or 'greedy', got {how!r}")
    out = []
    for key, part in verdicts.groupby(list(by), sort=True, observed=True):
        ballots = make_ballots(part, strategies=strategies)
        keep = ~np.isnan(ballots.p).all(axis=1).any(axis=1)
        keep &= ~np.isnan(np.where(ballots.answers != None, ballots.right, 0)).any(axis=1)  # noqa: E711
        ballots = ballots.part(keep)
        size = len(ballots.strategies)
        if how == "exact" and size > 12:
            raise ValueError(f"exact search is for up to 12 strategies, got {size}; use 'greedy'")
        fold = assign_folds(image_labels(ballots.rows), n_folds, rng=rng)
        search = _exact if how == "exact" else _greedy
        whole = search(ballots, np.ones(len(fold), bool), clip)
        folds = [search(ballots, fold != k, clip) for k in range(n_folds)]
        for n in range(1, size + 1):
            brier, right = np.empty(len(fold)), np.empty(len(fold))
            for k in range(n_folds):
                own = fold == k
                c, y, theta = _subset(ballots, folds[k][n - 1][None], fold != k, clip)
                p = expit(theta[0, 0] * logit(c[own, 0], clip) + theta[0, 1])
                brier[own], right[own] = (p - y[own, 0]) ** 2, y[own, 0]
            chosen = whole[n - 1]
            row = {
                "size": n,
                "chosen": " + ".join(np.array(ballots.strategies)[chosen]),
                "brier": brier.mean(),
                "accuracy": right.mean(),
                "stability": np.mean([(f[n - 1] == chosen).all() for f in folds]),
                "n": len(fold),
            }
            row |= {k: v[:, chosen].sum(axis=1).mean() for k, v in ballots.cost.items()}
            out.append(dict(zip(by, key, strict=True)) | {"how": how} | row)
    return pd.DataFrame(out)


def _subset(ballots, members, fit, clip):
    """Confidence and grade (items, q) of q subsets' pools, and their Platt fits (q, 2)."""
    m = members.astype(float)
    p = np.nan_to_num(ballots.p, nan=0.0)
    scores = np.einsum("nks,qs->nkq", p, m) / m.sum(axis=1)
    named = np.einsum("nks,qs->nkq", ballots.named_by().astype(float), m) > 0
    scores = np.where(named, scores, -1)
    best = scores.argmax(axis=1)
    at = np.arange(len(p))[:, None]
    c = scores[at, best, np.arange(len(m))]
    y = ballots.right[at, best]
    return c, y, _platt_columns(logit(c[fit], clip), y[fit])


def _brier(ballots, members, fit, clip):
    out = []
    step = max(1, 4_000_000 // ballots.p.size)
    for first in range(0, len(members), step):
        c, y, theta = _subset(ballots, members[first : first + step], fit, clip)
        p = expit(theta[:, 0] * logit(c[fit], clip) + theta[:, 1])
        out.append(((p - y[fit]) ** 2).mean(axis=0))
    return np.concatenate(out)


def _exact(ballots, fit, clip):
    size = len(ballots.strategies)
    best = []
    for n in range(1, size + 1):
        members = np.zeros((sum(1 for _ in combinations(range(size), n)), size), bool)
        for row, chosen in zip(members, combinations(range(size), n), strict=True):
            row[list(chosen)] = True
        best.append(members[_brier(ballots, members, fit, clip).argmin()])
    return best


def _greedy(ballots, fit, clip):
    size = len(ballots.strategies)
    now, path = np.zeros(size, bool), []
    while not now.all():
        members = np.array([now | (np.arange(size) == s) for s in np.flatnonzero(~now)])
        now = members[_brier(ballots, members, fit, clip).argmin()]
        path.append(now)
    return path
