"""The numbers behind the figures: tidy tables, one row per bin, threshold, group or pair."""

import inspect
import warnings
from contextlib import contextmanager
from functools import partial
from itertools import combinations

import numpy as np
import pandas as pd

from ._check import check_choice, check_pair, warn
from ._sums import METRICS, Draws, Recipe
from .intervals import (
    clustered_interval,
    consistency_band,
    holm,
    normal_p,
    percentile_interval,
    wilson_interval,
)
from .inversion import Interval, ece_interval, ici_interval
from .metrics import N_BINS, SURE, ace, bins_of, calibration_gap, ece, mce
from .rows import arrays, image_labels, measured, parts_by
from .selective import DELTA, descending, selective_threshold

SCORE_METRICS = (
    "accuracy",
    "mean_confidence",
    "ece",
    "brier",
    "log_loss",
    "auroc",
    "aurc",
)
YIELDS = {f"yield_at_{percent}": percent / 100 for percent in (5, 10, 20)}
ALL_METRICS = (*METRICS, *YIELDS)


def metrics_table(
    graded,
    *,
    by=("model", "dataset", "strategy"),
    metrics=SCORE_METRICS,
    intervals=None,
    n_bins=N_BINS,
    level=0.95,
    n_resamples=1000,
    groups="image_id",
    rng,
):
    """Metrics of each group of graded answers with their intervals: one row per group.

    Parameters
    ----------
    graded : pandas.DataFrame
        With columns confidence, correct and those of `by`. Rows without a confidence or a
        grade are left out and counted in `n_missing`, never imputed.
    by : sequence of str
        Columns that make the groups; none gives one row.
    metrics : sequence of str or "all"
        Names of `ALL_METRICS`. yield_at_5, _10, _20: the share of answers that may stand alone
        with at most 5, 10, 20 % errors among them, by a threshold certified on them by image
        (`selective_threshold`, δ = 0.1), which `<name>_threshold` tells.
    intervals : sequence of str, optional
        The metrics that get `<name>_low` and `<name>_high`; default all asked for.
    n_bins
        As in `ece`.
    level, n_resamples, rng
        As in `bootstrap_interval`; all metrics of a row share their resamples, and each row has a
        random stream of its own.
    groups : str or None
        Column of what is drawn together, joined with the data set's name; the item where it is
        empty. None: each row by itself.

    Returns
    -------
    pandas.DataFrame
        The `by` columns, n, n_missing, then the metrics in the order asked for. Intervals:
        accuracy, confidently_wrong and yields by `clustered_interval`; ECE, of equal width or
        mass, plain or debiased, by `ece_interval`, ICI by `ici_interval`; the others by the
        bootstrap, but for those to which sampling noise adds as to a plain ECE and whose bootstrap
        does not hold (smooth ECE, ACE, MCE): NaN. NaN where a metric is
        undefined, with a `MeasureWarning` that names the group and the reason.

    Raises
    ------
    ValueError
        On a column the table lacks, an unknown metric, or values that are no confidence.
    """
    stats = {name: _in_bins(stat, n_bins) for name, stat in METRICS.items()}
    names = list(ALL_METRICS if metrics == "all" else metrics)
    wanted = names if intervals is None else list(intervals)
    for name in [*names, *wanted]:
        check_choice(name, "metrics", ALL_METRICS)
    parts_by(graded[:0], ["confidence", "correct"])
    parts = parts_by(graded, by)
    rows = []
    for (row, part), stream in zip(parts, rng.spawn(len(parts)), strict=True):
        kept = measured(part)
        found = {}
        ids = None if groups is None else image_labels(kept, groups)
        with _labelled(", ".join(f"{k}={v}" for k, v in row.items()) or "all"):
            if len(kept):
                pair = check_pair(kept["confidence"], kept["correct"])
                options = {"level": level, "n_resamples": n_resamples, "rng": stream}
                found = _measured(*pair, ids, names, wanted, stats, **options)
            else:
                warn("no item has both a confidence and a grade")
        row |= {"n": len(kept), "n_missing": len(part) - len(kept)}
        for name in names:
            ends = ("_low", "_high") if name in wanted else ()
            more = ("_threshold",) if name in YIELDS else ()
            row |= {
                f"{name}{k}": found.get(f"{name}{k}", np.nan)
                for k in ("", *ends, *more)
            }
        rows.append(row)
    return pd.DataFrame(rows)


def _in_bins(stat, n_bins):
    """The metric with the number of bins, where it takes one."""
    takes = "n_bins" in inspect.signature(stat).parameters
    return partial(stat, n_bins=n_bins) if takes else stat


def _measured(c, y, ids, names, wanted, stats, *, level, n_resamples, rng) -> dict:
    """The metrics, thresholds of yields, and where wanted intervals that hold for the metric."""
    shares = {"accuracy": y, "confidently_wrong": c >= SURE - 1e-9}
    options = {"level": level, "groups": ids, "rng": rng}
    found = {}
    intervals = {}
    draws = None
    for name in names:
        if name in YIELDS:
            limits = {"target": YIELDS[name], "delta": DELTA, "groups": ids}
            found[f"{name}_threshold"], value = selective_threshold(c, y, **limits)
            shares[name] = c >= found[f"{name}_threshold"]
        else:
            value = stats[name](c, y)
        found[name] = value
        if np.isnan(value) or name not in wanted:
            continue
        kind = "share" if name in YIELDS else METRICS[name].interval
        if kind == "share":
            of = y == 0 if name == "confidently_wrong" else slice(None)
            whose = None if ids is None else ids[of]
            pair = clustered_interval(shares[name][of], whose, level=level)
        elif name == "ici":
            pair = ici_interval(c, y, **options)[::2]
        elif kind == "inversion":
            binning = "mass" if name == "ece_mass" else "width"
            if binning not in intervals:
                bins = stats[name].keywords | {"binning": binning}
                intervals[binning] = ece_interval(c, y, **bins, **options)
            pair = intervals[binning][::2]
        elif kind == "bootstrap":
            draws = draws or Draws(ids, c.size, n_resamples, rng)
            drawn = draws.values(stats[name], c, y)
            pair = percentile_interval(drawn, value, level)[::2]
        else:
            continue
        found[f"{name}_low"], found[f"{name}_high"] = pair
    return found


@contextmanager
def _labelled(label: str):
    """Say of which group a warning speaks, and each thing once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for text, category in dict.fromkeys((str(w.message), w.category) for w in caught):
        warn(f"{label}: {text}", category)


def interval_cells(scores):
    """Of each metric with an interval its cells, `0.083 [0.071, 0.096]` or the number alone."""
    return {
        name: [
            f"{mid:.3f}" if np.isnan(low) else str(Interval(low, mid, high))
            for low, mid, high in scores[
                [f"{name}_low", name, f"{name}_high"]
            ].to_numpy(float)
        ]
        for name in scores.columns
        if f"{name}_low" in scores.columns
    }


def reliability_table(confidence, correct, *, n_bins=N_BINS, level=0.95):
    """Reliability diagram as a table: one row per bin of equal width, empty ones too.

    Parameters
    ----------
    confidence, correct : (n,) arrays
    n_bins
        As in `ece`.
    level : float
        Of the Wilson bars and of the consistency band.

    Returns
    -------
    pandas.DataFrame
        bin (from 0), low, high (bin edges, (low, high]), n, mean_confidence, accuracy, acc_low,
        acc_high (Wilson bars, items counted as independent), band_low, band_high
        (`consistency_band`: a calibrated forecaster stays inside in all bins together with
        probability `level`); NaN in empty bins. The n-weighted mean of |accuracy −
        mean_confidence| is `ece`.

    Raises
    ------
    ValueError
        As `ece`.

    References
    ----------
    Bröcker & Smith, Weather and Forecasting 2007, doi:10.1175/WAF993.1.
    """
    c, y = check_pair(confidence, correct)
    cell = bins_of(c, n_bins, "width")
    edges = np.arange(n_bins + 1) / n_bins
    n = np.bincount(cell, minlength=n_bins)
    right = np.bincount(cell, y, n_bins)
    safe = np.where(n > 0, n, np.nan)
    table = {"bin": np.arange(n_bins), "low": edges[:-1], "high": edges[1:], "n": n}
    table |= {
        "mean_confidence": np.bincount(cell, c, n_bins) / safe,
        "accuracy": right / safe,
    }
    table["acc_low"], table["acc_high"] = wilson_interval(right, n, level=level) * (
        safe / safe
    )
    table["band_low"], table["band_high"] = consistency_band(
        c, cell, n_bins, level=level
    )
    return pd.DataFrame(table)


def netcal_table(confidence, correct, *, n_bins=N_BINS):
    """What netcal calls ECE, MCE and ACE beside ours: metric, ours, netcal, difference, note."""
    from netcal import metrics as netcal

    c, y = check_pair(confidence, correct)
    same = "the same number"
    rows = []
    adaptive = "netcal's mean over equal-width, ours over equal-mass bins"
    for name, ours, note in (
        ("ECE", ece, same),
        ("MCE", mce, same),
        ("ACE", ace, adaptive),
    ):
        value = ours(c, y, n_bins=n_bins)
        peer = getattr(netcal, name)(n_bins).measure(c, y)
        rows.append((name, value, peer, peer - value, note))
    return pd.DataFrame(
        rows, columns=["metric", "ours", "netcal", "difference", "note"]
    )


POINTS = 500


def risk_coverage_table(
    confidence, correct, *, level=0.95, n_resamples=1000, groups=None, rng
):
    """Risk–coverage curve: error rate among the items at least as confident as a threshold.

    Parameters
    ----------
    confidence, correct : (n,) arrays
    level : float
        Of the pointwise band.
    n_resamples, groups, rng
        As in `bootstrap_interval`: the band is that of the risk at each threshold.

    Returns
    -------
    pandas.DataFrame
        One row per threshold from the highest (at most 500, evenly in coverage): threshold, n_kept,
        coverage, n_errors, risk, accuracy, risk_low, risk_high. Between rows the curve of `aurc`
        runs by spreading the errors of tied items evenly.

    References
    ----------
    El-Yaniv & Wiener, J. Machine Learning Research 2010, vol. 11, pp. 1605–1641. Geifman &
    El-Yaniv, NeurIPS 2017, arXiv:1705.08500.
    """
    c, y = check_pair(confidence, correct)
    values, kept, errors = descending(c, y)
    rows = np.unique(np.searchsorted(kept, np.linspace(kept[0], c.size, POINTS)))
    values = values[rows]
    kept = kept[rows]
    errors = errors[rows]

    def risk(sums):
        held, wrong = np.moveaxis(sums.cumsum(1), -1, 0)
        return np.where(held > 0, wrong / np.where(held > 0, held, 1), np.nan)

    recipe = Recipe(np.searchsorted(-values, -c), values.size, (1 - y,), risk)
    drawn = Draws(groups, c.size, n_resamples, rng).of(recipe)
    low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    table = {"threshold": values, "n_kept": kept, "coverage": kept / c.size}
    table |= {
        "n_errors": errors.astype(int),
        "risk": errors / kept,
        "accuracy": 1 - errors / kept,
    }
    return pd.DataFrame(table | {"risk_low": low, "risk_high": high})


def difference_table(graded, column, *, level=0.95, n_resamples=2000, rng):
    """Every two groups of answers compared by their gap, corrected for the number of pairs.

    Parameters
    ----------
    graded : pandas.DataFrame
        With confidence, correct, item_id and the column of the groups, which hold different
        items (modalities, say).
    column : str
    level, n_resamples, rng
        As in `bootstrap_interval`, by image: images are drawn once for both groups.

    Returns
    -------
    pandas.DataFrame
        a, b, n_a, n_b (items), difference (of confidence minus accuracy, a − b), low, high
        (unadjusted percentile interval), p (normal, by the standard error of the resamples),
        p_holm (Holm over all rows), differs (p_holm ≤ 1 − level).
    """
    parts = list(measured(graded).groupby(column, observed=True))
    (stream,) = rng.spawn(1)
    rows = []
    for (a, one), (b, other) in combinations(parts, 2):
        first = arrays(one)
        second = arrays(other)
        n = len(one)
        images = np.concatenate([image_labels(one), image_labels(other)])
        draws = Draws(images, images.size, n_resamples, stream)
        drawn = draws.of(calibration_gap.recipe(*first), slice(n))
        drawn = drawn - draws.of(calibration_gap.recipe(*second), slice(n, None))
        gap = calibration_gap(*first) - calibration_gap(*second)
        low, _, high = percentile_interval(drawn, gap, level)
        row = {"a": a, "b": b, "n_a": n, "n_b": len(other), "difference": gap}
        rows.append(row | {"low": low, "high": high, "p": normal_p(drawn, gap)})
    names = ["a", "b", "n_a", "n_b", "difference", "low", "high", "p"]
    table = pd.DataFrame(rows, columns=names)
    table["p_holm"] = holm(table["p"].to_numpy(float))
    table["differs"] = table["p_holm"] <= 1 - level
    return table
