"""Does a map learned on one kind of images carry over to another?

A map f_G is fitted on source answers G (general images) and used on target answers M (medical
ones); its rival f_M is of the same family, cross-fitted by image on M itself. Losses and their
changes are computed for every model and strategy on the same resamples of images, with all fits
repeated in each. One sign everywhere: a change below 0 is better.

All tables take graded answers: one row per model, item and strategy. ``source`` and ``target``
pick rows by any columns: ``source={"dataset": "mmbench"}, target={"dataset": "oodcv"}``.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
from scipy.special import expit, ndtr

from medcal_nb.measure import auroc, ece
from medcal_nb.measure.rows import image_labels, measured, parts_by, rows_where

from ._families import FAMILIES, adapt, fit_smoothed, logit
from .maps import (
    BY,
    RecalibrationWarning,
    arrays_of,
    assign_folds,
    at_bound,
    check_method,
    choose_clip,
    option_rows,
)
from .paired import Resamples, interval, weighted_auroc

METHODS = ("temperature", "log_odds", "platt", "beta", "isotonic")
MARGIN = 0.005
"""Brier score: a carried-over map that loses less than this against a refit carries over.

About a mean shift of 0.07 in confidence, √0.005."""

CONCLUSIONS = ("nothing to correct", "carries over", "does not", "undecided")
GENERAL, MEDICAL = {"domain": "general"}, {"domain": "medical"}
N_FOLDS = 5
_ENDS = ("value", "low", "high")
_CELLS = 400  # different confidences that resampled fits tell apart
_CHUNK = 200  # resamples at once


# --- picking rows -----------------------------------------------------------------------------


def select(graded: pd.DataFrame, where: Mapping) -> pd.DataFrame:
    """Rows whose columns have the given value, or one of the given values.

    Raises
    ------
    ValueError
        If a column is absent or no row is left.
    """
    keep, said = np.ones(len(graded), bool), []
    for column, value in where.items():
        if column not in graded:
            raise ValueError(f"no column {column!r} to pick rows by")
        values = [value] if isinstance(value, str) or not isinstance(value, Sequence) else value
        keep &= graded[column].isin(list(values)).to_numpy()
        said.append(f"{column} = {' or '.join(map(str, values))}")
    if not keep.any():
        raise ValueError(f"no rows with {', '.join(said)}")
    return graded[keep]


def refuse_shared(fitted: pd.DataFrame, judged: pd.DataFrame, names: str) -> None:
    """Raise ValueError where an image is in both: a map would be scored on what taught it."""
    if shared := set(image_labels(fitted)) & set(image_labels(judged)):
        raise ValueError(
            f"{len(shared)} images are both {names}, the first {min(shared)}: "
            "a map would be scored on images that it was fitted on"
        )


def pairs(graded, source, target) -> Iterator[tuple]:
    """(key, source rows, target rows) of each group that has both, measured rows only."""
    left, right = select(graded, source), select(graded, target)
    refuse_shared(left, right, "source and target")
    left = measured(left)
    for key, rows in parts_by(measured(right), BY):
        own = rows_where(left, key)
        if len(own) >= 2 * N_FOLDS and len(set(image_labels(rows))) >= N_FOLDS:
            yield key, own, rows
        elif len(own):
            warnings.warn(
                f"transfer: {' '.join(map(str, key.values()))} has {len(own)} source and "
                f"{len(rows)} target answers with a confidence and a grade; left out",
                RecalibrationWarning,
                stacklevel=3,
            )


# --- maps on resamples --------------------------------------------------------------------------


@dataclass
class _Side:
    """Answers of one side, alike ones gathered into cells, ready for many resamples."""

    features: np.ndarray
    target: np.ndarray
    confidence: np.ndarray
    correct: np.ndarray
    fold: np.ndarray
    counts: object  # sparse (images, cells)
    cell: np.ndarray  # of each row


class Pair:
    """Source and target answers of one model and strategy, and the maps between them.

    ``drawn`` are the :class:`Resamples` of source and target.
    """

    def __init__(self, left, right, drawn, *, seed):
        self.left, self.right, self.drawn = left, right, drawn
        self.clip = choose_clip(np.r_[left["confidence"], right["confidence"]].astype(float))
        self.fold = assign_folds(image_labels(right), N_FOLDS, rng=np.random.default_rng([seed, 0]))
        self.codes = [d.codes(image_labels(r)) for d, r in zip(drawn, (left, right), strict=True)]

    def run(self, method: str, *, more: bool = False) -> Iterator[tuple]:
        """(maps, weights, target side, parameters) of the sample itself, then of resamples.

        ``maps`` are confidences (B, cells) by name: raw, rate (the share right of the other
        folds, the same for all), source, target and, with ``more``, pooled and adapted.
        """
        exact = self._sides(method, None)
        one = [np.bincount(s.cell, minlength=len(s.correct))[None].astype(float) for s in exact]
        yield self._maps(method, *exact, *one, more)
        total = len(self.drawn[0].counts)
        grid = self._sides(method, _CELLS) if total > 1 else exact
        for first in range(1, total, _CHUNK):
            at = slice(first, first + _CHUNK)
            w = [d.counts[at] @ s.counts for d, s in zip(self.drawn, grid, strict=True)]
            yield self._maps(method, *grid, *w, more)

    def brier(self, method: str, *, moved: bool = False) -> dict[str, np.ndarray]:
        """Brier scores (1 + resamples,) of all maps; with ``moved`` also of the source's map whose
        intercept is refitted on the target."""
        out: dict[str, list] = {}
        for maps, w, side, _ in self.run(method):
            if moved:
                maps["moved"] = _shifted(maps["source"], side, w)
            for name, p in maps.items():
                loss = losses_of(p, side.correct, w, self.clip)["brier"]
                out.setdefault(name, []).append(loss)
        return {name: np.concatenate(parts) for name, parts in out.items()}

    def _sides(self, method, most):
        folds = (np.zeros(len(self.left), int), self.fold)
        sides = zip((self.left, self.right), folds, self.codes, self.drawn, strict=True)
        return [self._side(method, most, *rows, len(d.names)) for *rows, d in sides]

    def _side(self, method, most, rows, fold, codes, n_images):
        from scipy.sparse import csr_array

        c, y = rows["confidence"].to_numpy(float), rows["correct"].to_numpy(float)
        family = FAMILIES[method]
        if method == "temperature":
            p, target = arrays_of(rows, method)
            cell, features = np.arange(len(c)), family.features(p, self.clip)
        else:
            at = gathered(c, most)
            _, first, cell = np.unique(
                np.column_stack([at, y, fold]), axis=0, return_index=True, return_inverse=True
            )
            cell = cell.ravel()
            c = (np.bincount(at, c) / np.bincount(at))[at][first]
            y, fold = y[first], fold[first]
            features, target = family.features(c, self.clip), y
        counts = csr_array((np.ones(len(cell)), (codes, cell)), shape=(n_images, len(y)))
        return _Side(features, target, c, y, fold, counts, cell)

    def _maps(self, method, s, t, ws, wt, more):
        family, b = FAMILIES[method], len(wt)
        wk = np.concatenate([wt * (t.fold != k) for k in range(N_FOLDS)])
        theta = family.fit(s.features, s.target, ws), family.fit(t.features, t.target, wk)
        rate = (wk @ t.correct + 1) / (wk.sum(axis=1) + 2)
        maps = {
            "raw": np.broadcast_to(t.confidence, (b, len(t.correct))),
            "rate": rate.reshape(N_FOLDS, b)[t.fold].T,
            "source": family.apply(theta[0], t.features),
            "target": crossed(family.apply, theta[1], t, b),
        }
        if more:
            if s.features.shape[1:] == t.features.shape[1:]:  # as many options on both sides
                both = np.concatenate([s.features, t.features]), np.r_[s.target, t.target]
                pooled = family.fit(*both, np.hstack([np.tile(ws, (N_FOLDS, 1)), wk]))
                maps["pooled"] = crossed(family.apply, pooled, t, b)
            maps["adapted"] = self._adapted(maps["source"], t, wk)
        return maps, wt, t, theta

    def _adapted(self, p, t, wk):
        """The source's map, moved by the target's labels of the other folds."""
        x = np.tile(logit(p, self.clip), (N_FOLDS, 1))
        features = np.stack([x, np.ones_like(x)], axis=-1)
        delta = adapt(features, t.correct, wk, x)
        return crossed(
            lambda d, f: expit(f), delta, t, len(p), x + np.einsum("bd,bnd->bn", delta, features)
        )


def crossed(apply, theta, side, b, whole=None) -> np.ndarray:
    """Confidences (B, cells), each cell by the map fitted without its fold.

    ``theta`` holds the B maps of each fold in turn; ``whole`` what they already are, (folds·B,
    cells), instead of the side's features.
    """
    out = np.empty((b, len(side.correct)))
    for k in range(N_FOLDS):
        own, at = side.fold == k, slice(k * b, (k + 1) * b)
        given = side.features[own] if whole is None else whole[at][:, own]
        out[:, own] = apply(theta[at], given)
    return out


def gathered(confidence, most: int | None) -> np.ndarray:
    """A number for each confidence, the same for equal ones; at most ``most`` of equal mass."""
    values, at, n = np.unique(confidence, return_inverse=True, return_counts=True)
    if most is None or len(values) <= most:
        return at
    cell = ((np.cumsum(n) - n / 2) / n.sum() * most).astype(int)
    return np.unique(cell[at], return_inverse=True)[1]


def losses_of(p, y, weights, clip) -> dict[str, np.ndarray]:
    """Brier score and log loss, (B,), of confidences p (B, n) under weights (B, n)."""
    total = weights.sum(axis=1)
    gap = np.einsum("bn,bn->b", weights, (p - y) ** 2)
    likely = np.clip(np.where(y == 1, p, 1 - p), clip, 1 - clip)
    return {"brier": gap / total,
            "log_loss": -np.einsum("bn,bn->b", weights, np.log(likely)) / total}  # fmt: skip


# --- the transfer table -----------------------------------------------------------------------


@dataclass(frozen=True)
class TransferStudy:
    """The transfer table and, row by row, the resampled cost behind its intervals."""

    table: pd.DataFrame
    cost: np.ndarray  # (rows, 1 + resamples)
    level: float


def transfer_study(
    graded: pd.DataFrame,
    *,
    source: Mapping = GENERAL,
    target: Mapping = MEDICAL,
    methods: Sequence[str] = METHODS,
    level: float = 0.95,
    n_resamples: int = 1000,
    more: bool = False,
    margin: float = MARGIN,
    rng: np.random.Generator,
) -> TransferStudy:
    r"""Losses on the target of maps fitted on the source and on the target.

    With loss L on the target: carry_change = L(f_G) - L(raw), refit_change = L(f_M) - L(raw),
    **cost of carrying over** = L(f_G) - L(f_M). Below 0 is better in all three.

    Conclusions are drawn from the Brier score, a proper score. "does not": the whole interval of
    the cost lies above the margin. "nothing to correct": carrying over costs less than the margin
    and refitting would lower the score by less than it. "carries over": the cost lies below the
    margin, a non-inferiority test of size (1 - level) / 2. "undecided": the rest.

    Parameters
    ----------
    graded : DataFrame
        Needs model, dataset, item_id, strategy, confidence, correct; uses image_id, modality,
        option_probabilities and gold.
    source, target : mappings
        Column → value or values. They must share no image.
    methods : sequence of str
        ``temperature`` divides all option logits, where every row of both sides carries option
        probabilities, and is left out elsewhere; ``log_odds`` divides those of the one confidence.
    n_resamples : int
        Bootstrap resamples of the images of all rows jointly, all fits repeated in each. Where
        more than 400 different confidences occur, resampled fits gather them into 400 cells of
        equal mass; the estimates do not.
    more : bool
        Also fit on both sides (``pooled``) and move the source's map by the target's labels
        (``adapted``).

    Returns
    -------
    TransferStudy
        ``table`` has one row per model, strategy, method and loss (brier, log_loss, ece): n_source,
        n_target, n_images, clip; accuracy, auroc of the target as stated with _low and _high;
        loss_raw, loss_rate (one number for all answers: the share right), loss_source,
        loss_target and those of ``more``, and the three changes, with _low and _high but for ECE,
        which is shown and not concluded from; cost_p, the p-values of "carries over"; conclusion
        and conclusion_holm (the same after Holm's correction over the rows of a method);
        temperature_source, temperature_target, at_bound.

    Raises
    ------
    ValueError
        If a selection is empty, an image is both source and target, or no group has enough.
    """
    methods = [check_method(m) for m in methods]
    seed, rows, costs = int(rng.integers(2**63)), [], []
    drawn = draw_sides(graded, source, target, n_resamples, seed)
    for key, left, right in pairs(graded, source, target):
        pair = Pair(left, right, drawn, seed=seed)
        info = _about(left, right, drawn[1], level) | {"clip": pair.clip}
        for method in methods:
            if method == "temperature" and not _all_options(left, right):
                continue
            for row, cost in _rows(pair, method, level, more, margin):
                rows.append(key | {"method": method} | info | row)
                costs.append(cost)
    if not rows:
        only = " with the probabilities of all options" if methods == ["temperature"] else ""
        raise ValueError(f"no model and strategy has enough answers in source and target{only}")
    return TransferStudy(_holm(pd.DataFrame(rows), level), np.array(costs), level)


def _all_options(left, right):
    return option_rows(left).all() and option_rows(right).all()


def draw_sides(graded, source, target, n_resamples, seed) -> tuple[Resamples, Resamples]:
    """Resamples of all images of either side, so that rows on the same images move together."""
    return tuple(
        Resamples(
            image_labels(select(graded, where)), n_resamples, np.random.default_rng([seed, k])
        )
        for k, where in ((1, source), (2, target))
    )


def _about(left, right, drawn, level):
    """What a reader must know beside the losses: sizes, accuracy, discrimination."""
    c, y = right["confidence"].to_numpy(float), right["correct"].to_numpy(float)
    codes, at = drawn.codes(image_labels(right)), gathered(c, _CELLS)
    draws = weighted_auroc(at, y, drawn.counts[:, codes])
    if 0 < y.mean() < 1:
        draws[0] = auroc(c, y)
    _, low, high = interval(draws, level)
    return {
        "n_source": len(left), "n_target": len(right), "n_images": len(set(codes)),
        "accuracy": y.mean(), "auroc": draws[0], "auroc_low": low, "auroc_high": high,
    }  # fmt: skip


CHANGES = {"carry_change": ("source", "raw"), "refit_change": ("target", "raw"),
           "cost": ("source", "target")}  # fmt: skip


def _rows(pair, method, level, more, margin):
    """(row, resampled cost) of each loss."""
    drawn: dict[tuple, list] = {}
    shown = {}
    for maps, w, side, theta in pair.run(method, more=more):
        for name, p in maps.items():
            for loss, values in losses_of(p, side.correct, w, pair.clip).items():
                drawn.setdefault((loss, name), []).append(values)
        if not shown:  # the sample itself
            y = side.correct[side.cell]
            shown = {name: ece(p[0][side.cell], y) for name, p in maps.items()}
            extra = _temperatures(method, theta)
    for loss in ("brier", "log_loss"):
        d = {name: np.concatenate(v) for (of, name), v in drawn.items() if of == loss}
        row = {"loss": loss} | extra
        draws = {f"loss_{name}": v for name, v in d.items()}
        draws |= {name: d[a] - d[b] for name, (a, b) in CHANGES.items()}
        for name, v in draws.items():
            row[name], row[f"{name}_low"], row[f"{name}_high"] = interval(v, level)
        if loss == "brier":
            row |= _conclusion(draws, row, margin)
        yield row, draws["cost"]
    row = {"loss": "ece"} | extra | {f"loss_{name}": v for name, v in shown.items()}
    row |= {name: shown[a] - shown[b] for name, (a, b) in CHANGES.items()}
    yield row, np.full(len(draws["cost"]), np.nan)


def _temperatures(method, theta):
    if FAMILIES[method].names != ("temperature",):
        return {}
    t = {"source": float(theta[0][0, 0]), "target": float(theta[1].mean())}
    return {f"temperature_{k}": v for k, v in t.items()} | {
        "at_bound": " and ".join(k for k, v in t.items() if at_bound(v))
    }


def _conclusion(draws, row, margin):
    """One of ``CONCLUSIONS`` from intervals, and the p-values of its two tests."""
    spread = max(np.std(draws["cost"][1:]), 1e-12) if len(draws["cost"]) > 2 else np.nan
    worse = 1 - ndtr((row["cost"] - margin) / spread)
    out = {"margin": margin, "cost_p_worse": worse, "cost_p": 1 - worse}
    if not np.isfinite(row["cost_low"]):
        return out | {"conclusion": ""}
    if row["cost_low"] > margin:
        return out | {"conclusion": "does not"}
    if row["cost_high"] >= margin:
        return out | {"conclusion": "undecided"}
    small = row["refit_change_low"] > -margin
    return out | {"conclusion": "nothing to correct" if small else "carries over"}


def _holm(table, level):
    """The conclusions that stand when all rows of a method are read together, at the same size."""
    from statsmodels.stats.multitest import multipletests

    table["conclusion_holm"] = table["conclusion"].astype(object)
    for _, part in table[table["conclusion"].fillna("") != ""].groupby("method"):
        for column, names in (("cost_p_worse", ["does not"]), ("cost_p", CONCLUSIONS[:2])):
            told = part[part["conclusion"].isin(names)].index
            kept = multipletests(part[column], alpha=(1 - level) / 2, method="holm")[0]
            lost = told.intersection(part.index[~kept])
            table.loc[lost, "conclusion_holm"] = "undecided"
    return table


def transfer_summary(study: TransferStudy) -> pd.DataFrame:
    """The cost of carrying over, all models and strategies together, none left out.

    Models are the unit: strategies are averaged within each, for they are no sample of anything.
    Intervals come from resamples of images that all rows share, so that answers of two models
    about one image do not count twice. No prediction for another model is made: the models were
    not drawn from a population, and their errors are not independent.

    Returns
    -------
    DataFrame
        One row per method and loss: rows, models; cost, the mean over models, and spread, the
        standard deviation between them, with _low and _high; for the Brier score how many rows
        come to each conclusion, and after Holm's correction (``…, Holm``).
    """
    out = []
    for (method, loss), part in study.table.groupby(["method", "loss"], sort=False):
        if loss == "ece":
            continue
        own = study.cost[part.index.to_numpy()]
        models = np.stack(
            [own[(part["model"] == m).to_numpy()].mean(axis=0) for m in part["model"].unique()]
        )
        row = {"method": method, "loss": loss, "rows": len(part), "models": len(models)}
        for name, draws in (("cost", models.mean(axis=0)), ("spread", models.std(axis=0))):
            row[name], row[f"{name}_low"], row[f"{name}_high"] = interval(draws, study.level)
        if loss == "brier":
            for name in CONCLUSIONS:
                row[name] = int((part["conclusion"] == name).sum())
                row[f"{name}, Holm"] = int((part["conclusion_holm"] == name).sum())
        out.append(row)
    return pd.DataFrame(out)


# --- what the gap is made of ------------------------------------------------------------------

_PARTS = {
    "scale": ("T source", "T target"),
    "shape": ("T target", "I target"),
    "prior": ("P source", "P moved"),
    "conditional": ("P moved", "P target"),
}


def gap_table(
    graded: pd.DataFrame,
    *,
    source: Mapping = GENERAL,
    target: Mapping = MEDICAL,
    level: float = 0.95,
    n_resamples: int = 1000,
    rng: np.random.Generator,
) -> pd.DataFrame:
    r"""What the cost of a carried-over map is made of, in Brier score.

    With T a temperature (of all options where every row carries them, else of the log-odds), P
    Platt, P + b Platt of the source with only its intercept refitted, I isotonic, all target fits
    cross-fitted by image:

    - ``scale``: L(T source) - L(T target), what another temperature mends;
    - ``shape``: L(T target) - L(I target), what no temperature mends, less what isotonic
      regression loses by its variance: below 0 where labels are few;
    - ``prior``: L(P source) - L(P source + b), a shift of accuracy at equal confidence order;
    - ``conditional``: L(P source + b) - L(P target), what asks for another slope as well.

    Returns
    -------
    DataFrame
        One row per model, strategy and part: n, scaled ("temperature" or "log_odds"), value,
        low, high.
    """
    seed, rows = int(rng.integers(2**63)), []
    drawn = draw_sides(graded, source, target, n_resamples, seed)
    for key, left, right in pairs(graded, source, target):
        pair, whole = Pair(left, right, drawn, seed=seed), _all_options(left, right)
        scaled, loss = "temperature" if whole else "log_odds", {}
        for short, method in (("T", scaled), ("P", "platt"), ("I", "isotonic")):
            found = pair.brier(method, moved=short == "P")
            loss |= {f"{short} {name}": draws for name, draws in found.items()}
        for part, (a, b) in _PARTS.items():
            ends = dict(zip(_ENDS, interval(loss[a] - loss[b], level), strict=True))
            about = {"n": len(right), "scaled": scaled, "part": part}
            rows.append(key | about | ends)
    if not rows:
        raise ValueError("no model and strategy has enough answers in both source and target")
    return pd.DataFrame(rows)


def _shifted(p, side, w):
    """The source's map with its intercept refitted on the target, cross-fitted."""
    x = np.tile(logit(p, 1e-12), (N_FOLDS, 1))
    wk = np.concatenate([w * (side.fold != k) for k in range(N_FOLDS)])
    b = fit_smoothed(np.ones((x.shape[1], 1)), side.correct, wk, offset=x)
    return crossed(lambda d, f: expit(f), b, side, len(w), x + b)


# --- from one modality to another -------------------------------------------------------------


def modality_matrix(
    graded: pd.DataFrame,
    *,
    column: str = "modality",
    sources: Mapping[str, Mapping] | None = None,
    where: Mapping = MEDICAL,
    method: str = "platt",
    level: float = 0.95,
    n_resamples: int = 300,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Fit on one modality, use on another: the change of the Brier score for every pair.

    Parameters
    ----------
    column : str
        Whose values are crossed, among the rows picked by ``where``.
    sources : mapping, optional
        More rows to fit on, by name: ``{"general": {"domain": "general"}}``.

    Returns
    -------
    DataFrame
        One row per model, strategy, ``fitted_on`` and ``applied_to``: n_fit, n, loss_raw, value,
        change (value - raw, below 0 is better) with low and high. Where the two are the same, the
        fit is cross-fitted by image; else they share no image. Modalities of fewer than five
        images are left out.
    """
    method, seed, rows = check_method(method), int(rng.integers(2**63)), []
    more = {name: measured(select(graded, w)) for name, w in (sources or {}).items()}
    for key, own in parts_by(measured(select(graded, where)), BY):
        parts = {str(m): r for m, r in own.groupby(column, sort=True, observed=True)}
        parts = {m: r for m, r in parts.items() if len(set(image_labels(r))) >= N_FOLDS}
        fits = {name: rows_where(r, key) for name, r in more.items()}
        fits = {name: r for name, r in fits.items() if len(r)} | parts
        drawn = {
            name: Resamples(image_labels(r), n_resamples, np.random.default_rng([seed, 1]))
            for name, r in fits.items()
        }
        for (applied, right), (fitted, left) in product(parts.items(), fits.items()):
            if applied != fitted:
                refuse_shared(left, right, f"of {fitted} and of {applied}")
            loss = Pair(left, right, (drawn[fitted], drawn[applied]), seed=seed).brier(method)
            value = loss["target" if applied == fitted else "source"]
            change, low, high = interval(value - loss["raw"], level)
            rows.append(
                key
                | {"method": method, "fitted_on": fitted, "applied_to": applied}
                | {"n_fit": len(left), "n": len(right), "loss_raw": loss["raw"][0]}
                | {"value": value[0], "change": change, "change_low": low, "change_high": high}
            )
    return pd.DataFrame(rows)
