"""How many target labels until refitting beats a carried-over map?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit

from medcal_nb.measure.rows import image_labels, measured, rows_where

from ._families import FAMILIES, adapt, logit
from .maps import arrays_of, check_method, choose_clip
from .paired import Resamples
from .transfer import GENERAL, MEDICAL, pairs, refuse_shared, select

SIZES = (10, 20, 50, 100, 200, 400, 1000)
_HELD_OUT = 0.5
_DRAWS_AGAIN = 60


@dataclass(frozen=True)
class LabelStudy:
    """The label-efficiency table and, row by row, the resampled medians behind its intervals."""

    table: pd.DataFrame
    medians: np.ndarray  # (rows, resamples)
    level: float


def label_efficiency_study(
    graded: pd.DataFrame,
    *,
    source: Mapping = GENERAL,
    target: Mapping = MEDICAL,
    judged: Mapping | None = None,
    method: str = "platt",
    sizes: Sequence[int] = SIZES,
    n_draws: int = 200,
    level: float = 0.95,
    n_resamples: int = 0,
    rng: np.random.Generator,
) -> LabelStudy:
    """Brier score on the target against the number of target labels that the fit may use.

    In each draw the labels come from images drawn at random until n answers are reached, and are
    never scored on. Scored are the rows ``judged``, the same in every draw; without them half of
    the target's images, set aside anew in each draw.

    Parameters
    ----------
    target : mapping
        Rows that labels are drawn from. The fewer there are beside n, the more the draws share,
        and the narrower the band than that of n new labels.
    judged : mapping, optional
        Rows to score on; they may share no image with ``target`` or ``source``.
    method : str
        ``temperature`` needs the option probabilities of every row.
    n_resamples : int
        Resamples behind the intervals of :func:`labels_needed`: judged images drawn again, and 60
        of the draws. The source's map is taken as it is.

    Returns
    -------
    LabelStudy
        ``table`` has one row per group, n and ``map``, of Brier scores: ``raw``, ``source``
        (carried over), ``target`` (refitted on n labels), ``adapted`` (from the source's map,
        moved by n labels); median over draws, with low and high of their ``level`` band. Sizes for
        which the images do not suffice are absent.

    Raises
    ------
    ValueError
        If no size is within reach, or judged images are among those fitted on.
    """
    method, seed = check_method(method), int(rng.integers(2**63))
    rows, medians, tail = [], [], [(1 - level) / 2, (1 + level) / 2]
    again = np.random.default_rng([seed, 2])
    picked = again.integers(n_draws, size=(n_resamples, min(n_draws, _DRAWS_AGAIN)))
    more = None if judged is None else measured(select(graded, judged))
    for key, left, right in pairs(graded, source, target):
        held = None if more is None else rows_where(more, key)
        if held is not None:
            refuse_shared(right, held, "in target and judged")
            refuse_shared(left, held, "in source and judged")
        about = key | {"method": method}
        draws = (sizes, n_draws, n_resamples, seed)
        for n, name, drawn in _curves(left, right, held, method, *draws):
            low, high = np.quantile(drawn[:, 0], tail)
            ends = {"median": np.median(drawn[:, 0]), "low": low, "high": high}
            rows.append(about | {"n": n, "map": name} | ends)
            medians.append([np.median(drawn[d, b + 1]) for b, d in enumerate(picked)])
    if not rows:
        raise ValueError(
            f"sizes: no source, or the target has too few labelled images for {min(sizes)} labels"
        )
    return LabelStudy(pd.DataFrame(rows), np.array(medians), level)


def _curves(left, right, held, method, sizes, n_draws, n_resamples, seed):
    """(n, map, Brier scores (draws, 1 + resamples of the judged images)) for sizes within reach."""
    from scipy.sparse import csr_array

    family, judged = FAMILIES[method], right if held is None else held
    stated = [rows["confidence"].to_numpy(float) for rows in (left, right, judged)]
    clip = choose_clip(np.concatenate(stated))
    taught, learn, judge = (arrays_of(rows, method) for rows in (left, right, judged))
    sx, fx, jx = (family.features(c, clip) for c, _ in (taught, learn, judge))
    y, truth = (rows["correct"].to_numpy(float) for rows in (right, judged))
    start = family.fit(sx, taught[1], np.ones((1, len(sx))))
    rng = np.random.default_rng([seed, 0])
    order, hold = _orders(image_labels(right), n_draws, _HELD_OUT * (held is None), rng)
    hold = hold if held is None else np.ones((1, len(held)))
    drawn = Resamples(image_labels(judged), n_resamples, np.random.default_rng([seed, 1]))
    at = np.arange(len(truth)), drawn.codes(image_labels(judged))
    image = csr_array((np.ones(len(truth)), at), shape=(len(truth), len(drawn.names)))
    total = (hold @ image) @ drawn.counts.T

    def scored(p):
        loss = ((hold * (p - truth) ** 2) @ image) @ drawn.counts.T / total
        return np.broadcast_to(loss, (n_draws, loss.shape[1]))

    carried = family.apply(start, jx)
    x, xj = (logit(family.apply(start, features), clip)[0] for features in (fx, jx))
    own, own_judged = (np.column_stack([v, np.ones_like(v)]) for v in (x, xj))
    same = {"raw": scored(stated[2][None]), "source": scored(carried)}
    for n in sizes:
        if (order < np.inf).sum(axis=1).min() < n:
            continue
        w = (order < n).astype(float)
        refit = family.apply(family.fit(fx, learn[1], w), jx)
        moved = expit(xj + adapt(own, y, w, x) @ own_judged.T)
        for name, losses in (same | {"target": scored(refit), "adapted": scored(moved)}).items():
            yield n, name, losses


def _orders(images, n_draws, held_out, rng):
    """Each row's place in its draw's order of labels, (draws, n), and the rows held out."""
    names, code = np.unique(images, return_inverse=True)
    n_hold = round(held_out * len(names))
    hold, order = np.zeros((n_draws, len(code))), np.full((n_draws, len(code)), np.inf)
    for d in range(n_draws):
        place = rng.permutation(len(names))[code]
        hold[d] = place < n_hold
        free = np.flatnonzero(place >= n_hold)
        order[d, free[np.argsort(place[free], kind="stable")]] = np.arange(len(free))
    return order, hold


def labels_needed(study: LabelStudy) -> pd.DataFrame:
    """How many labels until refitting pays, and where adapting the source's map is better.

    Returns
    -------
    DataFrame
        One row per model, strategy and method: ``n_star``, the smallest n from which on the
        refitted map's median score lies below the carried-over map's at every larger n, infinite
        where there is none among the sizes tried, with n_star_low and n_star_high, quantiles over
        the resamples; ``adapting_beats``, the sizes at which the adapted map's median lies below
        the refitted one's; n_min and n_max, the smallest and the largest size tried.
    """
    table, tail = study.table, [(1 - study.level) / 2, (1 + study.level) / 2]
    keys, rows = ["model", "strategy", "method"], []
    for key, part in table.groupby(keys, sort=True, observed=True):
        n = np.sort(part["n"].unique())
        curves = {}
        for name, one in part.groupby("map"):
            at = one.sort_values("n").index
            curves[name] = np.column_stack([table.loc[at, "median"], study.medians[at]])
        better = curves["target"] < curves["source"]
        stays = np.logical_and.accumulate(better[::-1], axis=0)[::-1]
        star = np.where(stays.any(axis=0), n[stays.argmax(axis=0)], np.inf)
        ends = [np.nan] * 2
        if len(star) > 1:  # no steps in between: an end is a size that was tried
            ends = [float(np.quantile(star[1:], q, method="inverted_cdf")) for q in tail]
        helps = n[curves["adapted"][:, 0] < curves["target"][:, 0]]
        rows.append(
            dict(zip(keys, key, strict=True))
            | {"n_star": star[0], "n_star_low": ends[0], "n_star_high": ends[1]}
            | {"adapting_beats": ", ".join(f"{size:,}" for size in helps)}
            | {"n_min": int(n[0]), "n_max": int(n[-1])}
        )
    return pd.DataFrame(rows)
