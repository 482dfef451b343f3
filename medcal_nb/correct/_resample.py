"""Losses of many maps on many resamples at once.

A resample of images is a row of counts. Rows of answers that agree in all that matters are one
cell with a count, so a bootstrap costs as much as there are different confidences.
"""

from dataclasses import dataclass

import numpy as np

CHUNK = 2_000_000  # numbers held at once by one step (16 MB)


@dataclass(frozen=True)
class Cells:
    """Answers collapsed to cells that differ in confidence, correctness or fold.

    ``counts`` is the sparse (groups, cells) matrix by which resampled groups become cell counts.
    """

    confidence: np.ndarray
    correct: np.ndarray
    fold: np.ndarray
    counts: object
    cell: np.ndarray  # (n,) the cell of each row

    @property
    def n_groups(self) -> int:
        return self.counts.shape[0]

    def weights(self, group_weights: np.ndarray) -> np.ndarray:
        """Counts of cells, (B, cells), from counts of groups, (B, groups)."""
        return np.asarray(group_weights @ self.counts)


def collapse(confidence, correct, groups, fold=None, *, keep_rows: bool = False) -> Cells:
    """Collapse answers to cells; ``keep_rows`` makes each row its own cell."""
    from scipy.sparse import csr_array

    n = len(confidence)
    fold = np.zeros(n, int) if fold is None else fold
    if keep_rows:
        values, cell = np.column_stack([confidence, correct, fold]), np.arange(n)
    else:
        values, cell = np.unique(
            np.column_stack([confidence, correct, fold]), axis=0, return_inverse=True
        )
        cell = cell.ravel()
    _, code = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    counts = csr_array((np.ones(n), (code, cell)), shape=(code.max() + 1, len(values)))
    return Cells(values[:, 0], values[:, 1], values[:, 2].astype(int), counts, cell)


def draw_groups(n_groups: int, n_resamples: int, rng: np.random.Generator) -> np.ndarray:
    """(n_resamples, n_groups) counts of bootstrap resamples."""
    out = np.empty((n_resamples, n_groups))
    for b in range(n_resamples):
        out[b] = np.bincount(rng.integers(0, n_groups, n_groups), minlength=n_groups)
    return out


def weighted_losses(p, y, w, names, *, n_bins: int, clip: float) -> dict[str, np.ndarray]:
    """Losses by name for every row of weights.

    Parameters
    ----------
    p : (cells,) or (B, cells) array
        Confidences, the same for all resamples or their own.
    y : (cells,) array
    w : (B, cells) array of counts
    names : sequence of {"ece", "ece_debiased", "brier", "log_loss"}

    Returns
    -------
    dict of (B,) arrays
        Each equals the metric of that name on the rows repeated by their counts; the binned
        ones use equal mass. The debiased one is not cut at zero: differences keep their meaning.
    """
    out = {name: np.empty(len(w)) for name in names}
    step = max(1, CHUNK // p.shape[-1])
    for first in range(0, len(w), step):
        part = slice(first, first + step)
        ww, pp = w[part], p if p.ndim == 1 else p[part]
        total = ww.sum(axis=1)
        if "brier" in out:
            out["brier"][part] = _mean((pp - y) ** 2, ww, total)
        if "log_loss" in out:
            likely = np.clip(np.where(y == 1, pp, 1 - pp), clip, 1 - clip)
            out["log_loss"][part] = _mean(-np.log(likely), ww, total)
        if "ece" in out or "ece_debiased" in out:
            plain, debiased = _mass_ece(pp, y, ww, total, n_bins, "ece_debiased" in out)
            if "ece" in out:
                out["ece"][part] = plain
            if "ece_debiased" in out:
                out["ece_debiased"][part] = debiased
    return out


def _mean(values, weights, total):
    if values.ndim == 1:
        return weights @ values / total
    return np.einsum("bc,bc->b", values, weights) / total


def _mass_ece(p, y, w, total, n_bins, debias):
    """ECE over equal-mass bins, ties kept together, as `measure.ece` bins repeated rows."""
    rows, cells = w.shape
    order = np.argsort(p, axis=-1, kind="stable")
    if p.ndim == 1:
        sorted_p = np.broadcast_to(p[order], w.shape)
        ws, gap = w[:, order], (y - p)[order] * w[:, order]
        ys = y[order] * ws
    else:
        sorted_p = np.take_along_axis(p, order, 1)
        ws = np.take_along_axis(w, order, 1)
        ys = y[order]
        gap = (ys - sorted_p) * ws
        ys = ys * ws
    count = np.cumsum(ws, axis=1)
    rank = np.ceil(np.arange(1, n_bins + 1) * total[:, None] / n_bins - 1e-9)
    offset = np.arange(rows)[:, None] * (total.max() + 1)
    at = np.searchsorted((count + offset).ravel(), (rank + offset).ravel(), side="left")
    last = np.ones((rows, cells), bool)
    last[:, :-1] = sorted_p[:, 1:] != sorted_p[:, :-1]
    ends = np.flatnonzero(last)
    end = ends[np.searchsorted(ends, at)].reshape(rows, n_bins)
    flat = {"gap": np.cumsum(gap, axis=1), "n": count}
    if debias:
        flat["right"] = np.cumsum(ys, axis=1)
    binned = {
        name: np.diff(values.ravel()[end], axis=1, prepend=0) for name, values in flat.items()
    }
    plain = np.abs(binned["gap"]).sum(axis=1) / total
    if not debias:
        return plain, None
    return plain, _debiased(binned, total)


def _debiased(binned, total):
    """The plug-in less the bias that normal noise of each bin's accuracy would give it."""
    from scipy.special import ndtr

    n = np.maximum(binned["n"], 1)
    gap, accuracy = np.abs(binned["gap"] / n), binned["right"] / n
    noise = np.sqrt(np.maximum(accuracy * (1 - accuracy), 0) / n)
    safe = np.where(noise > 0, noise, 1.0)
    z = gap / safe
    folded = safe * np.sqrt(2 / np.pi) * np.exp(-(z**2) / 2) + gap * (1 - 2 * ndtr(-z))
    bias = np.where(noise > 0, folded - gap, 0.0)
    return ((gap - bias) * binned["n"]).sum(axis=1) / total
