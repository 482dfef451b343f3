"""Does a map learned on one kind of images carry over to another?

A map f_G is fitted on source answers G (general images) and used on target answers M (medical
ones); its rival f_M is of the same family, cross-fitted by image on M itself. Losses and their
changes are computed for every model and strategy on the same resamples of images, with all fits
repeated in each. One sign everywhere: a change below 0 is better.

All tables take graded answers: one row per model, item and strategy. ``source`` and ``target``
pick rows by any columns: ``source={"dataset": "mmbench"}, target={"dataset": "oodcv"}``.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from types import SimpleNamespace

import numpy as np
import pandas as pd
from scipy.special import expit, ndtr

from medcal_nb.measure import auroc, holm
from medcal_nb.measure._check import check_choice
from medcal_nb.measure.rows import (
    image_labels,
    measured,
    parts_by,
    refuse_shared,
    rows_where,
)

from ._families import FAMILIES, fit_smoothed, logit
from .maps import (
    BY,
    N_FOLDS,
    RecalibrationWarning,
    arrays_of,
    at_bound,
    choose_clip,
    folds_of,
    option_rows,
)
from .paired import Resamples, interval, weighted_auroc, with_ends

CONCLUSIONS = ("nothing to correct", "carries over", "does not", "undecided")
_CELLS = 400  # different confidences that resampled fits tell apart
_CHUNK = 200  # resamples at once


# --- two sides -----------------------------------------------------------------------------


def pairs(graded, source, target) -> list[tuple]:
    """(key, source rows, target rows) of each group that has both, measured rows only."""
    left = rows_where(graded, source)
    right = rows_where(graded, target)
    found = []
    refuse_shared(left, right, "source and target")
    left = measured(left)
    for key, rows in parts_by(measured(right), BY):
        own = rows_where(left, key)
        if len(own) >= 2 * N_FOLDS and len(set(image_labels(rows))) >= N_FOLDS:
            found.append((key, own, rows))
        elif len(own):
            warnings.warn(
                f"transfer: {' '.join(key.values())} has {len(own)} source and {len(rows)} target "
                "answers with a confidence and a grade; left out",
                RecalibrationWarning,
                stacklevel=3,
            )
    if not found:
        raise ValueError(
            "no model and strategy has enough answers in both source and target"
        )
    return found


# --- maps on resamples --------------------------------------------------------------------------


class Pair:
    """Source and target answers of one model and strategy, and the maps between them.

    ``drawn`` are the :class:`Resamples` of source and target.
    """

    def __init__(self, left, right, drawn, *, seed):
        self.sides = (left, right)
        self.drawn = drawn
        self.clip = choose_clip(
            np.r_[left["confidence"], right["confidence"]].astype(float)
        )
        self.folds = np.zeros(len(left), int), folds_of(right, seed)
        self.options = all(option_rows(rows).all() for rows in self.sides)
        self.codes = [
            d.codes(image_labels(r)) for d, r in zip(drawn, self.sides, strict=True)
        ]

    def losses(self, method: str, *, moved: bool = False) -> tuple[dict, tuple]:
        """Losses of all maps, and the parameters fitted on source and on target.

        By loss and map, (1 + resamples,): the sample itself, then its resamples. Maps: raw, rate
        (one number for all: the share right of the other folds), source, target, and on demand
        moved (the source's map, its intercept alone refitted).
        """
        losses = {"brier": {}, "log_loss": {}}
        for first in (0, *range(1, len(self.drawn[0].counts), _CHUNK)):
            if first < 2:  # all resamples see the same cells
                sides = [
                    self._side(method, k, _CELLS if first else None) for k in (0, 1)
                ]
            at = slice(first, first + _CHUNK) if first else slice(1)
            weights = [
                d.counts[at] @ s.counts for d, s in zip(self.drawn, sides, strict=True)
            ]
            maps, theta = self._maps(method, *sides, *weights, moved)
            if not first:
                fitted = theta
            for name, p in maps.items():
                for loss, values in _losses(
                    p, sides[1].correct, weights[1], self.clip
                ).items():
                    losses[loss][name] = np.append(losses[loss].get(name, []), values)
        return losses, fitted

    def _side(self, method, which, most):
        """The answers of a side in cells of the same confidence, grade and fold."""
        from scipy.sparse import csr_array

        rows = self.sides[which]
        fold = self.folds[which]
        family = FAMILIES[method]
        c = rows["confidence"].to_numpy(float)
        y = rows["correct"].to_numpy(float)
        if method == "temperature":
            p, target = arrays_of(rows, method)
            cell = np.arange(len(c))
            features = family.features(p, self.clip)
        else:
            at = gathered(c, most)
            key = (2 * at + y) * N_FOLDS + fold
            _, first, cell = np.unique(key, return_index=True, return_inverse=True)
            c = (np.bincount(at, c) / np.bincount(at))[at][first]
            y = y[first]
            fold = fold[first]
            features = family.features(c, self.clip)
            target = y
        shape = (len(self.drawn[which].names), len(y))
        counts = csr_array((np.ones(len(cell)), (self.codes[which], cell)), shape=shape)
        return SimpleNamespace(
            features=features,
            target=target,
            confidence=c,
            correct=y,
            fold=fold,
            counts=counts,
        )

    def _maps(self, method, s, t, ws, wt, moved):
        """Confidences (B, cells) of the target by the map's name, and the fitted parameters."""
        family = FAMILIES[method]
        wk = np.concatenate([wt * (t.fold != k) for k in range(N_FOLDS)])
        theta = (
            family.fit(s.features, s.target, ws),
            family.fit(t.features, t.target, wk),
        )
        rate = (wk @ t.correct + 1) / (wk.sum(axis=1) + 2)
        carried = family.apply(theta[0], t.features)
        maps = {
            "raw": np.broadcast_to(t.confidence, carried.shape),
            "rate": _crossed(np.broadcast_to(rate[:, None], wk.shape), t.fold),
            "source": carried,
            "target": _crossed(family.apply(theta[1], t.features), t.fold),
        }
        if moved:
            x = np.tile(logit(carried, 1e-12), (N_FOLDS, 1))
            by = fit_smoothed(np.ones((x.shape[1], 1)), t.correct, wk, offset=x)
            maps["moved"] = _crossed(expit(x + by), t.fold)
        return maps, theta


def _crossed(values, fold) -> np.ndarray:
    """(B, cells) of (folds · B, cells): each cell by the map fitted without its fold."""
    return np.choose(fold, values.reshape(N_FOLDS, -1, len(fold)))


def gathered(confidence, most: int | None) -> np.ndarray:
    """A number for each confidence, the same for equal ones; at most ``most`` of equal mass."""
    values, at, n = np.unique(confidence, return_inverse=True, return_counts=True)
    if most is None or len(values) <= most:
        return at
    cell = ((np.cumsum(n) - n / 2) / n.sum() * most).astype(int)
    return np.unique(cell[at], return_inverse=True)[1]


def _losses(p, y, weights, clip) -> dict[str, np.ndarray]:
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
    source,
    target,
    methods,
    level=0.95,
    n_resamples=1000,
    margin,
    rng,
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
    margin : float
        Brier score: a carried-over map that loses less than this against a refit carries over.

    Returns
    -------
    TransferStudy
        ``table`` has one row per model, strategy, method and loss (brier, log_loss): n_source,
        n_target, n_images, clip; accuracy, auroc of the target as stated with _low and _high;
        loss_raw, loss_rate (one number for all answers: the share right), loss_source,
        loss_target, and the three changes, with _low and _high; of the Brier score cost_p, the
        p-value of "carries over", conclusion, and conclusion_holm (the same after Holm's
        correction over the rows of a method); temperature_source, temperature_target, at_bound.

    Raises
    ------
    ValueError
        If a selection is empty, an image is both source and target, or no group has enough.
    """
    for method in methods:
        check_choice(method, "method", FAMILIES)
    rows = []
    costs = []
    for key, pair in _drawn(graded, source, target, n_resamples, rng):
        info = _about(pair, level)
        for method in methods:
            if method != "temperature" or pair.options:
                for row, cost in _rows(pair, method, level, margin):
                    rows.append(key | {"method": method} | info | row)
                    costs.append(cost)
    if not rows:
        raise ValueError("no model and strategy with the probabilities of all options")
    return TransferStudy(_holm(pd.DataFrame(rows), level), np.array(costs), level)


def _drawn(graded, source, target, n_resamples, rng) -> Iterator[tuple]:
    """(key, Pair) of each group; rows on the same images see the same resamples of them."""
    seed = int(rng.integers(2**63))
    found = pairs(graded, source, target)
    drawn = [
        Resamples(image_labels(rows_where(graded, where)), n_resamples, [seed, k])
        for k, where in ((1, source), (2, target))
    ]
    for key, left, right in found:
        yield key, Pair(left, right, drawn, seed=seed)


def _about(pair, level):
    """What a reader must know beside the losses: sizes, accuracy, discrimination."""
    (left, right) = pair.sides
    codes = pair.codes[1]
    c = right["confidence"].to_numpy(float)
    y = right["correct"].to_numpy(float)
    draws = weighted_auroc(gathered(c, _CELLS), y, pair.drawn[1].counts[:, codes])
    if 0 < y.mean() < 1:
        draws[0] = auroc(c, y)
    sizes = {"n_source": len(left), "n_target": len(right), "n_images": len(set(codes))}
    return (
        sizes
        | with_ends({"accuracy": y.mean(), "auroc": draws}, level)
        | {"clip": pair.clip}
    )


CHANGES = {"carry_change": ("source", "raw"), "refit_change": ("target", "raw"),
           "cost": ("source", "target")}  # fmt: skip


def _rows(pair, method, level, margin):
    """(row, resampled cost) of each loss."""
    losses, theta = pair.losses(method)
    for loss, drawn in losses.items():
        draws = {f"loss_{name}": values for name, values in drawn.items()}
        draws |= {name: drawn[a] - drawn[b] for name, (a, b) in CHANGES.items()}
        row = {"loss": loss} | _temperatures(method, theta) | with_ends(draws, level)
        if loss == "brier":
            row |= _conclusion(draws["cost"], row, margin)
        yield row, draws["cost"]


def _temperatures(method, theta):
    if FAMILIES[method].names != ("temperature",):
        return {}
    t = {"source": float(theta[0][0, 0]), "target": float(theta[1].mean())}
    return {f"temperature_{k}": v for k, v in t.items()} | {
        "at_bound": " and ".join(k for k, v in t.items() if at_bound(v))
    }


def _conclusion(cost, row, margin):
    """One of ``CONCLUSIONS`` from intervals, and the p-values of its two tests."""
    spread = max(np.std(cost[1:]), 1e-12) if len(cost) > 2 else np.nan
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
    table["conclusion_holm"] = table["conclusion"].astype(object)
    for _, part in table[table["conclusion"].fillna("") != ""].groupby("method"):
        for column, names in (
            ("cost_p_worse", ["does not"]),
            ("cost_p", CONCLUSIONS[:2]),
        ):
            lost = part["conclusion"].isin(names) & (
                holm(part[column]) > (1 - level) / 2
            )
            table.loc[lost[lost].index, "conclusion_holm"] = "undecided"
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
        come to each conclusion.
    """
    out = []
    for (method, loss), part in study.table.groupby(["method", "loss"], sort=False):
        own = pd.DataFrame(study.cost[part.index])
        models = own.groupby(part["model"].to_numpy(), sort=False).mean().to_numpy()
        row = {"method": method, "loss": loss, "rows": len(part), "models": len(models)}
        row |= with_ends({"cost": models.mean(0), "spread": models.std(0)}, study.level)
        if loss == "brier":
            row |= {
                name: int((part["conclusion"] == name).sum()) for name in CONCLUSIONS
            }
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
    graded: pd.DataFrame, *, source, target, level=0.95, n_resamples=1000, rng
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
    rows = []
    for key, pair in _drawn(graded, source, target, n_resamples, rng):
        scaled = "temperature" if pair.options else "log_odds"
        loss = {}
        about = {"n": len(pair.sides[1]), "scaled": scaled}
        for short, method in (("T", scaled), ("P", "platt"), ("I", "isotonic")):
            found = pair.losses(method, moved=short == "P")[0]["brier"]
            loss |= {f"{short} {name}": draws for name, draws in found.items()}
        for part, (a, b) in _PARTS.items():
            value, low, high = interval(loss[a] - loss[b], level)
            rows.append(
                key | about | {"part": part, "value": value, "low": low, "high": high}
            )
    return pd.DataFrame(rows)


# --- from one modality to another -------------------------------------------------------------


def modality_matrix(
    graded,
    *,
    others,
    column="modality",
    method="platt",
    level=0.95,
    n_resamples=300,
    rng,
) -> pd.DataFrame:
    """Fit on one modality, use on another: the change of the Brier score for every pair.

    Parameters
    ----------
    graded : DataFrame
        Of one model and strategy.
    others : DataFrame
        More answers to fit on, of other values in that column.
    column : str
        Whose values are crossed.

    Returns
    -------
    DataFrame
        One row per ``fitted_on`` and ``applied_to``: n_fit, n, loss_raw, value and change
        (value - raw, below 0 is better) with low and high. Where the two are the same, the fit is
        cross-fitted by image; else they share no image. Modalities of fewer than five images are
        left out.
    """
    check_choice(method, "method", FAMILIES)
    seed = int(rng.integers(2**63))
    rows = []
    known = (measured(rows).dropna(subset=[column]) for rows in (graded, others))
    parts, more = (
        {k[column]: part for k, part in parts_by(rows, column)} for rows in known
    )
    parts = {m: r for m, r in parts.items() if len(set(image_labels(r))) >= N_FOLDS}
    fits = more | parts
    drawn = {
        name: Resamples(image_labels(r), n_resamples, [seed, 1])
        for name, r in fits.items()
    }
    for (applied, right), (fitted, left) in product(parts.items(), fits.items()):
        if applied != fitted:
            refuse_shared(left, right, f"of {fitted} and of {applied}")
        pair = Pair(left, right, (drawn[fitted], drawn[applied]), seed=seed)
        loss = pair.losses(method)[0]["brier"]
        value = loss["target" if applied == fitted else "source"]
        about = {name: right[name].iloc[0] for name in BY} | {"method": method}
        about |= {
            "fitted_on": fitted,
            "applied_to": applied,
            "n_fit": len(left),
            "n": len(right),
        }
        about |= {"loss_raw": loss["raw"][0], "value": value[0]}
        rows.append(about | with_ends({"change": value - loss["raw"]}, level))
    return pd.DataFrame(rows)
