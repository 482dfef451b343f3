"""How many target labels until refitting beats a carried-over map?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit

from ._families import FAMILIES, adapt, logit
from .maps import BY, arrays_of, check_method, choose_clip
from .paired import Resamples, image_labels, measured
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
    by: Sequence[str] = BY,
    method: str = "platt",
    sizes: Sequence[int] = SIZES,
    n_draws: int = 200,
    level: float = 0.90,
    n_resamples: int = 0,
    rng: np.random.Generator,
) -> LabelStudy:
    """Loss on the target against the number of target labels that the fit may use.

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
        ``table`` has one row per group, loss (brier, log_loss), n and ``map``: ``raw``, ``source``
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
    more = None if judged is None else measured(select(graded, judged))
    for key, left, right in pairs(graded, source, target, by):
        held = None if more is None else more[(more[list(by)] == list(key)).all(axis=1)]
        if held is not None:
            refuse_shared(right, held, "in target and judged")
            refuse_shared(left, held, "in source and judged")
        draws = _Draws(left, right, held, method, n_draws, n_resamples, seed)
        for n, name, losses in draws.curves(sizes):
            for loss, (values, again) in losses.items():
                row = dict(zip(by, key, strict=True))
                row |= {"method": method, "loss": loss, "n": n, "map": name}
                low, high = np.quantile(values, tail)
                rows.append(row | {"median": np.median(values), "low": low, "high": high})
                medians.append(again)
    if not rows:
        raise ValueError(
            f"sizes: no source, or the target has too few labelled images for {min(sizes)} labels"
        )
    return LabelStudy(pd.DataFrame(rows), np.array(medians), level)


class _Draws:
    """Draws of labels for one model and strategy: which answers teach, which are scored."""

    def __init__(self, left, right, held, method, n_draws, n_resamples, seed):
        self.family, rng = FAMILIES[method], np.random.default_rng([seed, 0])
        both = right if held is None else held
        c = np.r_[left["confidence"], right["confidence"], both["confidence"]].astype(float)
        self.clip = choose_clip(c)
        self.learn = self._side(right, method)
        self.judge = self.learn if held is None else self._side(held, method)
        fx, fy, _ = self._side(left, method)
        self.start = self.family.fit(fx, fy, np.ones((1, len(fx))))
        self.order, hold = _orders(image_labels(right), n_draws, _HELD_OUT * (held is None), rng)
        self.confidence = both["confidence"].to_numpy(float)
        self.hold = hold if held is None else np.ones((1, len(held)))
        self.drawn = Resamples(image_labels(both), n_resamples, np.random.default_rng([seed, 1]))
        self.codes = self.drawn.codes(image_labels(both))
        again = np.random.default_rng([seed, 2])
        self.picked = again.integers(n_draws, size=(n_resamples, min(n_draws, _DRAWS_AGAIN)))

    def _side(self, rows, method):
        """(features, what the family is fitted to, correct)."""
        c, target = arrays_of(rows, method)
        return self.family.features(c, self.clip), target, rows["correct"].to_numpy(float)

    def curves(self, sizes):
        """(n, map, {loss: (value of each draw, resampled medians)}) for each size within reach."""
        (fx, target, y), judged = self.learn, self.judge[0]
        carried = self.family.apply(self.start, judged)
        x, xj = (logit(self.family.apply(self.start, f), self.clip)[0] for f in (fx, judged))
        own, own_judged = (np.column_stack([v, np.ones_like(v)]) for v in (x, xj))
        same = {"raw": self._scored(self.confidence[None]), "source": self._scored(carried)}
        for n in sizes:
            if (self.order < np.inf).sum(axis=1).min() < n:
                continue
            w = (self.order < n).astype(float)
            refit = self.family.apply(self.family.fit(fx, target, w), judged)
            moved = expit(xj + adapt(own, y, w, x) @ own_judged.T)
            for name, losses in (same | {"target": self._scored(refit),
                                         "adapted": self._scored(moved)}).items():  # fmt: skip
                yield n, name, losses

    def _scored(self, p):
        """Each draw's losses, and their medians with the judged images drawn again."""
        y, out = self.judge[2], {}
        likely = np.clip(np.where(y == 1, p, 1 - p), self.clip, 1 - self.clip)
        sums, n = self._by_image(self.hold, len(self.order)), len(self.order)
        for loss, values in (("brier", (p - y) ** 2), ("log_loss", -np.log(likely))):
            total = self._by_image(self.hold * values, n)
            counts = self.drawn.counts
            drawn = (total @ counts.T) / (sums @ counts.T)
            again = [np.median(drawn[d, b + 1]) for b, d in enumerate(self.picked)]
            out[loss] = drawn[:, 0], again
        return out

    def _by_image(self, values, n):
        from scipy.sparse import csr_array

        size = len(self.codes)
        image = csr_array(
            (np.ones(size), (np.arange(size), self.codes)), shape=(size, len(self.drawn.names))
        )
        return np.broadcast_to(values @ image, (n, len(self.drawn.names)))


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
    """How many labels until refitting pays, and until adapting stops to.

    Returns
    -------
    DataFrame
        One row per model, strategy, method and loss: ``n_star``, the smallest n from which on the
        refitted map's median loss lies below the carried-over map's at every larger n; and
        ``n_adapt_from`` and ``n_adapt``, the first and the last n of the longest run of sizes
        tried at which the adapted map's lies below the refitted one's. NaN where there is none
        among the sizes tried. ``_low`` and ``_high`` are quantiles of the same numbers over the
        resamples: infinite where refitting did not pay up to ``n_max``, 0 where adapting helped at
        no size. ``n_adapt_also`` names the sizes outside the run at which adapting helps.
    """
    table, tail = study.table, [(1 - study.level) / 2, (1 + study.level) / 2]
    keys = [k for k in table.columns if k not in ("n", "map", "median", "low", "high")]
    rows = []
    for key, part in table.groupby(keys, sort=True, observed=True):
        n = np.sort(part["n"].unique())
        curves = {}
        for name, one in part.groupby("map"):
            at = one.sort_values("n").index
            curves[name] = np.column_stack([table.loc[at, "median"], study.medians[at]])
        better = curves["target"] < curves["source"]
        stays = np.logical_and.accumulate(better[::-1], axis=0)[::-1]
        star = np.where(stays.any(axis=0), n[stays.argmax(axis=0)], np.inf)
        helps = curves["adapted"] < curves["target"]
        first, last = (n[at] * helps.any(axis=0) for at in _longest_run(helps))
        row = dict(zip(keys, key, strict=True))
        for name, draws in (("n_star", star), ("n_adapt_from", first), ("n_adapt", last)):
            row[name] = draws[0] if 0 < draws[0] < np.inf else np.nan
            ends = [np.nan] * 2
            if len(draws) > 1:  # no steps in between: an end is a size that was tried
                ends = [np.quantile(draws[1:], q, method="inverted_cdf") for q in tail]
            row[f"{name}_low"], row[f"{name}_high"] = map(float, ends)
        outside = helps[:, 0] & ((n < first[0]) | (n > last[0]))
        row["n_adapt_also"] = ", ".join(f"{size:,}" for size in n[outside])
        rows.append(row | {"n_min": int(n[0]), "n_max": int(n[-1])})
    return pd.DataFrame(rows)


def _longest_run(holds) -> tuple[np.ndarray, np.ndarray]:
    """First and last row of each column's longest run of True, of equal ones the first."""
    length = np.zeros(holds.shape, int)
    for k, row in enumerate(holds):
        length[k] = np.where(row, 1 + (length[k - 1] if k else 0), 0)
    last = length.argmax(axis=0)
    return last - np.maximum(length.max(axis=0), 1) + 1, last


def labels_sentence(
    needed: pd.DataFrame, *, level: float = 0.90, target: str = "medical images"
) -> str:
    """How many labels until refitting pays, as sentences from the Brier scores of one group.

    Raises
    ------
    ValueError
        If the table has no row of the Brier score, or several.
    """
    part = needed[needed["loss"] == "brier"]
    if len(part) != 1:
        raise ValueError(f"needed: {len(part)} rows of the Brier score, not one")
    row = part.iloc[0]
    least, most = row["n_min"], row["n_max"]

    def said(value, beyond=""):
        words = {least: f"{least:,} or fewer", most: beyond or f"{most:,}"}
        if 0 < value < np.inf:  # no smaller and no larger number was tried
            return words.get(value, f"{value:,.0f}")
        return "none" if value == 0 else f"more than {most:,}"

    def band(which, beyond=""):
        ends = [row[f"{which}_low"], row[f"{which}_high"]]
        if np.isnan(ends[0]):
            return ""
        told = dict.fromkeys(said(v, beyond) for v in ends)
        return f" ({level:.0%} interval: {' to '.join(told)})"

    up_to = f"at least {most:,}"
    pays = f"not at up to {most:,} labels"
    if not np.isnan(row["n_star"]):
        pays = f"from {said(row['n_star'])} labels on"
    stops = "at no number of labels" + band("n_adapt", up_to)
    if not np.isnan(row["n_adapt"]):
        stops = (
            f"from {said(row['n_adapt_from'])}{band('n_adapt_from')} to "
            f"{said(row['n_adapt'], up_to)} labels{band('n_adapt', up_to)}"
        )
        if row["n_adapt_also"]:
            stops += f", and also at {row['n_adapt_also']}, but not in between"
    return (
        f"On {target}, refitting has a lower Brier score than carrying over {pays}"
        f"{band('n_star')}; starting from the carried-over map and moving it with the labels beats "
        f"refitting {stops}. Numbers of labels tried: from {least:,} to {most:,}."
    )
