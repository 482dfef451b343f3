"""How many target labels until refitting beats a carried-over map?"""

from itertools import combinations

import numpy as np
import pandas as pd
from scipy.special import expit

from medcal_nb.measure._check import check_choice
from medcal_nb.measure.rows import image_labels, measured, refuse_shared

from ._families import FAMILIES, adapt, logit
from .maps import BY, arrays_of, choose_clip
from .paired import Resamples

_DRAWS_AGAIN = 60


def label_efficiency_study(
    source,
    target,
    judged=None,
    *,
    method,
    sizes,
    n_draws=200,
    level=0.95,
    n_resamples=0,
    rng,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Brier score on the target against the number of target labels that the fit may use.

    In each draw the labels come from images drawn at random until n answers are reached, and are
    never scored on. Scored are the rows ``judged``, the same in every draw; without them half of
    the target's images, set aside anew in each draw.

    Parameters
    ----------
    source : DataFrame
        Graded answers of one model and strategy that the carried-over map is fitted on.
    target : DataFrame
        Those that labels are drawn from. The fewer there are beside n, the more the draws share,
        and the narrower the band than that of n new labels.
    judged : DataFrame, optional
        Those to score on; they may share no image with ``target`` or ``source``.
    method : str
        ``temperature`` needs the option probabilities of every row.
    sizes : sequence of int
        Numbers of labels to try.
    n_resamples : int
        Resamples behind the interval of n_star: judged images drawn again, and 60 of the draws.
        The source's map is taken as it is.

    Returns
    -------
    curve : DataFrame
        One row per n and ``map``, of Brier scores: ``raw``, ``source`` (carried over), ``target``
        (refitted on n labels), ``adapted`` (from the source's map, moved by n labels); median over
        draws, with low and high of their ``level`` band. Sizes for which the images do not suffice
        are absent.
    needed : DataFrame
        One row: ``n_star``, the smallest n from which on the refitted map's median score lies below
        the carried-over map's at every larger n, infinite where there is none among the sizes
        tried, with n_star_low and n_star_high, quantiles over the resamples; ``adapting_beats``,
        the sizes at which the adapted map's median lies below the refitted one's; n_min and n_max,
        the smallest and the largest size tried.

    Raises
    ------
    ValueError
        If no size is within reach, or images of one side are in another.
    """
    check_choice(method, "method", FAMILIES)
    seed = int(rng.integers(2**63))
    sides = [measured(rows) for rows in (source, target, judged) if rows is not None]
    names = zip(("source", "target", "judged"), sides, strict=False)
    for (one, fitted), (other, rows) in combinations(names, 2):
        refuse_shared(fitted, rows, f"{one} and {other}")
    tail = [(1 - level) / 2, (1 + level) / 2]
    rows = []
    medians = {}
    again = np.random.default_rng([seed, 2])
    picked = again.integers(n_draws, size=(n_resamples, min(n_draws, _DRAWS_AGAIN)))
    about = {name: target[name].iloc[0] for name in BY} | {"method": method}
    for n, name, drawn in _curves(sides, method, sizes, n_draws, n_resamples, seed):
        low, median, high = np.quantile(drawn[:, 0], [tail[0], 0.5, tail[1]])
        rows.append(
            about | {"n": n, "map": name, "median": median, "low": low, "high": high}
        )
        resampled = [np.median(drawn[d, b + 1]) for b, d in enumerate(picked)]
        medians.setdefault(name, []).append([median, *resampled])
    if not rows:
        raise ValueError(
            f"sizes: the target has too few labelled images for {min(sizes)} labels"
        )
    curve = pd.DataFrame(rows)
    curves = {name: np.array(values) for name, values in medians.items()}
    return curve, pd.DataFrame([about | _needed(curve["n"].unique(), curves, tail)])


def _needed(n, curves, tail) -> dict:
    """From how many labels on refitting pays, from medians (sizes, 1 + resamples) by map."""
    better = curves["target"] < curves["source"]
    stays = np.logical_and.accumulate(better[::-1], axis=0)[::-1]
    star = np.where(stays.any(axis=0), n[stays.argmax(axis=0)], np.inf)
    again = star[1:] if len(star) > 1 else [np.nan]
    ends = np.quantile(
        again, tail, method="inverted_cdf"
    )  # an end is a size that was tried
    helps = n[curves["adapted"][:, 0] < curves["target"][:, 0]]
    return {
        "n_star": star[0], "n_star_low": ends[0], "n_star_high": ends[1],
        "adapting_beats": ", ".join(f"{size:,}" for size in helps),
        "n_min": int(n[0]), "n_max": int(n[-1]),
    }  # fmt: skip


def _curves(sides, method, sizes, n_draws, n_resamples, seed):
    """(n, map, Brier scores (draws, 1 + resamples of the judged images)) for sizes within reach."""
    from scipy.sparse import csr_array

    family = FAMILIES[method]
    right = sides[1]
    judged = sides[-1]
    stated = [rows["confidence"].to_numpy(float) for rows in sides]
    clip = choose_clip(np.concatenate(stated))
    taught, learn, judge = (
        arrays_of(rows, method) for rows in (sides[0], right, judged)
    )
    sx, fx, jx = (family.features(c, clip) for c, _ in (taught, learn, judge))
    y, truth = (rows["correct"].to_numpy(float) for rows in (right, judged))
    start = family.fit(sx, taught[1], np.ones((1, len(sx))))
    rng = np.random.default_rng([seed, 0])
    order, hold = _orders(image_labels(right), n_draws, len(sides) == 2, rng)
    hold = hold.astype(float) if len(sides) == 2 else np.ones((1, len(judged)))
    drawn = Resamples(image_labels(judged), n_resamples, [seed, 1])
    at = np.arange(len(truth)), drawn.codes(image_labels(judged))
    image = csr_array((np.ones(len(truth)), at), shape=(len(truth), len(drawn.names)))
    total = (hold @ image) @ drawn.counts.T

    def scored(p):
        loss = ((hold * (p - truth) ** 2) @ image) @ drawn.counts.T / total
        return np.broadcast_to(loss, (n_draws, loss.shape[1]))

    carried = family.apply(start, jx)
    x, xj = (logit(family.apply(start, features), clip)[0] for features in (fx, jx))
    same = {"raw": scored(stated[-1][None]), "source": scored(carried)}
    for n in sizes:
        if order.max(axis=1).min() + 1 < n:
            continue
        w = ((order >= 0) & (order < n)).astype(float)
        refit = family.apply(family.fit(fx, learn[1], w), jx)
        slope, intercept = adapt(x, y, w).T[:, :, None]
        maps = {
            "target": scored(refit),
            "adapted": scored(expit(slope * xj + intercept)),
        }
        for name, losses in (same | maps).items():
            yield n, name, losses


def _orders(images, n_draws, hold_half, rng):
    """Each row's place in its draw's order of labels, (draws, n), below 0 where it is held out.

    Also which rows are held out.
    """
    names, code = np.unique(images, return_inverse=True)
    place = np.array([rng.permutation(len(names)) for _ in range(n_draws)])[:, code]
    hold = place < round(hold_half * len(names) / 2)
    order = place.argsort(axis=1, kind="stable").argsort(axis=1)
    return order - hold.sum(axis=1, keepdims=True), hold
