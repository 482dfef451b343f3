"""Transfer of a map from source to target, and its rivals, with all fits repeated in each resample.

Maps depend on answers only through how many there are, and how many are correct, at each
confidence. Equal confidences are therefore gathered once into cells; a resample is one row of
counts of the cells, and Newton's method starts from the fit of the sample itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from medcal_nb.measure.resampling import Resamples, fit_logistic, gathered, logit

from .crossfit import N_FOLDS
from .families import MAPS, T_MAX, T_MIN, Family, option_gaps, option_moments
from .maps import arrays_of

CELLS = 100
"""Confidences of equal mass that resampled fits tell apart; estimates use all."""
_AT_ONCE = 2_000_000  # numbers in an array of a step, so that it fits in the cache
_N_SLOPES = 97  # at which a temperature's likelihood is computed for resamples
_WIDER = 0.7  # they reach a factor e^0.7 beyond those of the sample


@dataclass(frozen=True)
class Side:
    """Answers of one model and strategy on one side, source or target.

    Attributes
    ----------
    rows : DataFrame
        Measured rows.
    images : (n,) array
        Their images' labels.
    resamples : Resamples
        Of the images of all models on that side.
    fold : (n,) array of int
        Fold of each row; zeros where nothing is cross-fitted.
    """

    rows: pd.DataFrame
    images: np.ndarray
    resamples: Resamples
    fold: np.ndarray
    confidence: np.ndarray = field(init=False)
    correct: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        confidence = self.rows["confidence"].to_numpy(float)
        object.__setattr__(self, "confidence", confidence)
        object.__setattr__(self, "correct", self.rows["correct"].to_numpy(float))

    @property
    def n_images(self) -> int:
        """Number of different images."""
        return len(np.unique(self.images))

    @property
    def n_effective(self) -> float:
        """Number of equally large images that tell as much."""
        return self.resamples.effective(self.resamples.codes(self.images))


@dataclass
class Losses:
    """Losses on the target of one pair: of the sample first, then of its resamples.

    Attributes
    ----------
    brier : dict of str to (1 + B,) array
        By name: uncorrected, base (one number for all, the share correct of the other folds),
        transferred, known (the source's map with its intercept set by the accuracy of the other
        folds), refitted (cross-fitted on the target).
    theta_source, theta_target : parameter sets
        Of the source's map, and of those of the five folds.
    """

    brier: dict[str, np.ndarray]
    theta_source: Any
    theta_target: Any


def pair_losses(source: Side, target: Side, method: str, clip: float) -> Losses:
    """Losses of one map on the target, of the sample and of every resample."""
    family = MAPS[method]
    if family.inputs == "options":
        return _option_losses(source, target, method, clip)
    sample = _Cells(source, None), _Cells(target, None)
    losses = _confidence_losses(family, *sample, clip, slice(0, 1))
    n_draws = len(target.resamples.counts) - 1
    cells = _Cells(source, CELLS), _Cells(target, CELLS)
    size = max(1, _AT_ONCE // (N_FOLDS * cells[1].n))
    parts = [losses.brier]
    for first in range(1, n_draws + 1, size):
        drawn = slice(first, first + size)
        part = _confidence_losses(family, *cells, clip, drawn, start=losses)
        parts.append(part.brier)
    for name in losses.brier:
        losses.brier[name] = np.concatenate([part[name] for part in parts])
    return losses


# --- maps of one confidence ---------------------------------------------------------------------


class _Cells:
    """Answers of a side gathered into cells of equal confidence, by fold.

    ``confidence`` (n,) is the mean of each cell. ``counts(drawn)`` are numbers of answers, and of
    correct ones, in the resamples drawn: (B, folds, n) arrays.
    """

    def __init__(self, side: Side, most: int | None) -> None:
        cell = gathered(side.confidence, most)
        self.n = int(cell.max()) + 1
        self.confidence = np.bincount(cell, side.confidence) / np.bincount(cell)
        self.folds = int(side.fold.max()) + 1
        place = side.fold * self.n + cell
        shape = (-1, self.folds, self.n)
        size = self.folds * self.n
        if most is None:
            counted = np.bincount(place, minlength=size).astype(float)
            self.total: np.ndarray = counted.reshape(shape)
            self.right: np.ndarray = np.bincount(place, side.correct, size).reshape(
                shape
            )
        else:
            codes = side.resamples.codes(side.images)
            self.total = side.resamples.sums(place, size, codes=codes).reshape(shape)
            right = side.resamples.sums(place, size, side.correct, codes)
            self.right = right.reshape(shape)

    def counts(self, drawn: slice) -> tuple[np.ndarray, np.ndarray]:
        return self.total[drawn], self.right[drawn]


def _confidence_losses(
    family: Family,
    source: _Cells,
    target: _Cells,
    clip: float,
    drawn: slice,
    start: Losses | None = None,
) -> Losses:
    """Losses of the resamples drawn; ``start`` are those of the sample, to begin fits with."""
    total, right = target.counts(drawn)  # (B, K, n) in each fold
    others = total.sum(axis=1, keepdims=True) - total  # in all other folds
    others_right = right.sum(axis=1, keepdims=True) - right
    source_total, source_right = source.counts(drawn)
    features = family.features(target.confidence, clip)
    theta_source = family.fit(
        family.features(source.confidence, clip),
        source_right[:, 0],
        source_total[:, 0],
        None if start is None else _first(start.theta_source),
    )
    theta_target = family.fit(
        features,
        others_right.reshape(-1, target.n),
        others.reshape(-1, target.n),
        None if start is None else _first(start.theta_target),
    )
    transferred = family.apply(theta_source, features)  # (B, n)
    share = (others_right.sum(axis=2) + 1) / (others.sum(axis=2) + 2)  # (B, K)
    values = {
        "uncorrected": target.confidence,
        "base": share[:, :, None],
        "transferred": transferred[:, None, :],
        "known": _with_accuracy(transferred, others_right, others),
        "refitted": family.apply(theta_target, features).reshape(total.shape),
    }
    brier = {name: _brier(p, right, total) for name, p in values.items()}
    return Losses(brier, theta_source, theta_target)


def _with_accuracy(
    confidence: np.ndarray, right: np.ndarray, total: np.ndarray
) -> np.ndarray:
    """Confidences (B, n) with an intercept that gives their mean the accuracy of other folds.

    ``right``, ``total`` (B, K, n) count answers of the other folds; the result has their shape.
    """
    log_odds = logit(confidence, 1e-12)
    n_cells = total.shape[2]
    intercept = fit_logistic(
        np.ones((n_cells, 1)),
        right.sum(axis=2).reshape(-1, 1),
        total.reshape(-1, n_cells),
        offset=np.repeat(log_odds, total.shape[1], axis=0),  # (B * K, n)
    )[0]
    return expit(log_odds[:, None, :] + intercept.reshape(*total.shape[:2], 1))


def _first(theta: Any) -> np.ndarray | None:
    """The first parameter set, where it is one of numbers that a fit can begin with."""
    return theta[0] if isinstance(theta, np.ndarray) else None


def _brier(p: np.ndarray, right: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Brier score (B,) of confidences p for counts (B, K, n); p broadcasts to them."""
    # sum of total p² - 2 right p + right
    loss = (p * (total * p - 2 * right) + right).sum(axis=(1, 2))
    return loss / total.sum(axis=(1, 2))


# --- temperature of all options -----------------------------------------------------------------


def _option_losses(source: Side, target: Side, method: str, clip: float) -> Losses:
    """As for one confidence, with resamples read off a grid of slopes 1 / T.

    The derivative of the likelihood and the loss are sums over answers at every slope of the
    grid. In each resample the root of the one and the value of the other are taken between two
    points of the grid, which changes a Brier score by less than 1e-5.
    """
    family = MAPS[method]
    learned = _Options(source, method, clip)
    judged = _Options(target, method, clip)
    outside = target.fold != np.arange(N_FOLDS)[:, None]  # (K, n)
    theta_source = learned.fit(np.ones((1, len(learned.gold))))
    theta_target = judged.fit(outside.astype(float))
    y = target.correct
    share = (outside @ y + 1) / (outside.sum(axis=1) + 2)  # (K,)
    values = {
        "uncorrected": target.confidence,
        "base": share[target.fold],
        "transferred": family.apply(theta_source, judged.features)[0],
        "refitted": np.choose(target.fold, family.apply(theta_target, judged.features)),
    }
    slopes = _slopes_around(np.r_[theta_source.ravel(), theta_target.ravel()])
    resampled = _resampled_options(learned, judged, slopes)
    brier = {}
    for name, draws in resampled.items():
        brier[name] = np.r_[np.mean((values[name] - y) ** 2), draws[1:]]
    brier["known"] = np.full_like(brier["base"], np.nan)
    return Losses(brier, theta_source, theta_target)


def _slopes_around(temperatures: np.ndarray) -> np.ndarray:
    """Slopes 1 / T on which resamples are read off."""
    low = max(1 / (temperatures.max() * np.exp(_WIDER)), 1 / T_MAX)
    high = min(np.exp(_WIDER) / temperatures.min(), 1 / T_MIN)
    return np.geomspace(low, high, _N_SLOPES)


def _resampled_options(
    learned: _Options, judged: _Options, slopes: np.ndarray
) -> dict[str, np.ndarray]:
    """Brier scores (1 + B,) by stage, read off the grid of slopes."""
    learned.sum_at(slopes)
    judged.sum_at(slopes)
    n_drawn = judged.total.sum(axis=1)
    others = judged.total.sum(axis=1, keepdims=True) - judged.total  # (B, K)
    others_right = judged.right.sum(axis=1, keepdims=True) - judged.right
    share = (others_right + 1) / (others + 2)
    base = share * (share * judged.total - 2 * judged.right) + judged.right
    squares = (judged.side.confidence - judged.side.correct) ** 2
    uncorrected = judged.summed(squares[:, None])[..., 0]
    at_source = _root(learned.score.sum(axis=1))[:, None]  # (B, 1)
    # maps of the target are fitted on the other folds: (B, K)
    at_target = _root(judged.score.sum(axis=1, keepdims=True) - judged.score)
    losses = {
        "uncorrected": uncorrected,
        "base": base,
        "transferred": _between(judged.loss, at_source),
        "refitted": _between(judged.loss, at_target),
    }
    return {name: loss.sum(axis=1) / n_drawn for name, loss in losses.items()}


class _Options:
    """Option log-scores of a side and, once summed, what a resample needs of them.

    ``score``, ``loss`` (B, K, J): derivative of the log-likelihood and Brier loss at each slope;
    ``total``, ``right`` (B, K): numbers of answers, and of correct ones.
    """

    def __init__(self, side: Side, method: str, clip: float) -> None:
        inputs, self.gold = arrays_of(side.rows, method)
        self.family = MAPS[method]
        self.features = self.family.features(inputs, clip)
        self.side = side

    def fit(self, weights: np.ndarray) -> np.ndarray:
        return self.family.fit(self.features, self.gold, weights, None)

    def summed(self, values: np.ndarray) -> np.ndarray:
        """Sums (B, K, J) of values (n, J) in each resample and fold."""
        from scipy.sparse import csr_array

        resamples = self.side.resamples
        n_folds = int(self.side.fold.max()) + 1
        row = resamples.codes(self.side.images) * n_folds + self.side.fold
        n = len(row)
        shape = (resamples.n_units * n_folds, n)
        gather = csr_array((np.ones(n), (row, np.arange(n))), shape=shape)
        by_unit = (gather @ values).reshape(resamples.n_units, -1)
        return (resamples.counts @ by_unit).reshape(-1, n_folds, values.shape[1])

    def sum_at(self, slopes: np.ndarray) -> None:
        gaps = option_gaps(self.features)
        leading, mean, _ = option_moments(gaps, slopes)  # (n, J)
        known = self.gold >= 0
        gold_gap = gaps[np.arange(len(gaps)), self.gold]
        score = np.where(known[:, None], gold_gap[:, None] - mean, 0.0)
        y = self.side.correct
        self.score = self.summed(score)
        self.loss = self.summed((leading - y[:, None]) ** 2)
        counts = self.summed(np.column_stack([np.ones_like(y), y]))
        self.total = counts[..., 0]
        self.right = counts[..., 1]


def _root(decreasing: np.ndarray) -> np.ndarray:
    """Where along its last axis, in steps, a decreasing function crosses 0; else its end."""
    last = decreasing.shape[-1] - 1
    after = np.clip((decreasing > 0).sum(axis=-1), 1, last)[..., None]
    above = np.take_along_axis(decreasing, after - 1, axis=-1)
    below = np.take_along_axis(decreasing, after, axis=-1)
    part = above / np.where(above == below, 1.0, above - below)
    return np.clip(after - 1 + part, 0, last)[..., 0]


def _between(values: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Values (B, K, J) at fractional positions (B, K) along the last axis."""
    position = np.broadcast_to(position, values.shape[:-1])[..., None]
    before = np.minimum(position.astype(int), values.shape[-1] - 2)
    low = np.take_along_axis(values, before, axis=-1)
    high = np.take_along_axis(values, before + 1, axis=-1)
    return (low + (position - before) * (high - low))[..., 0]
