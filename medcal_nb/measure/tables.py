"""The numbers behind the figures: tidy tables, one row per bin, threshold, group or pair."""

import warnings
from functools import partial
from itertools import combinations

import numpy as np
import pandas as pd

from . import calibration, deferral, discrimination
from ._check import check_choice, check_level, check_pair, check_rng, check_whole, warn
from ._sums import Draws
from .calibration import N_BINS
from .intervals import (
    clustered_interval,
    consistency_band,
    holm,
    normal_p,
    percentile_interval,
    wilson_interval,
)
from .inversion import Interval, ece_interval, ici_interval
from .rows import image_labels, measured, parts_by

SCORE_METRICS = ("accuracy", "mean_confidence", "ece", "brier", "log_loss", "auroc", "aurc")
ENDS = ((0, "low"), (1, "high"))
YIELDS = {f"yield_at_{percent}": percent / 100 for percent in (5, 10, 20)}

ECES = ("ece", "ece_mass", "debiased_ece")  # have the interval of `ece_interval`
# sampling noise adds to these as it does to a plain ECE, and resampling adds it once more
NO_INTERVAL = (
    "smooth_ece", "ace", "mce", "overconfidence", "underconfidence", "reliability", "resolution",
)  # fmt: skip


def metric_functions(*, n_bins=N_BINS, binning="width") -> dict:
    """Every metric by its column name, as functions of `(confidence, correct)`.

    `n_bins` and `binning` are for the binned ones; ece_mass and ace are always of equal mass.
    """
    bins = {"n_bins": check_whole(n_bins, "n_bins", 1), "binning": binning}
    return {
        "accuracy": calibration.accuracy,
        "mean_confidence": calibration.mean_confidence,
        "gap": calibration.calibration_gap,
        "confidently_wrong": calibration.confidently_wrong,
        "ece": partial(calibration.ece, **bins),
        "ece_mass": partial(calibration.ece, n_bins=n_bins, binning="mass"),
        "debiased_ece": partial(calibration.debiased_ece, **bins),
        "smooth_ece": calibration.smooth_ece,
        "ace": partial(calibration.ace, n_bins=n_bins),
        "mce": partial(calibration.mce, n_bins=n_bins),
        "overconfidence": partial(calibration.overconfidence, **bins),
        "underconfidence": partial(calibration.underconfidence, **bins),
        "ici": calibration.ici,
        "slope": calibration.calibration_slope,
        "intercept": calibration.calibration_intercept,
        "spiegelhalter_z": calibration.spiegelhalter_z,
        "brier": calibration.brier_score,
        "reliability": partial(calibration.brier_reliability, **bins),
        "resolution": partial(calibration.brier_resolution, **bins),
        "log_loss": calibration.log_loss,
        "auroc": discrimination.auroc,
        "auprc_error": partial(discrimination.auprc, positive="error"),
        "auprc_correct": partial(discrimination.auprc, positive="correct"),
        "aurc": discrimination.aurc,
        "excess_aurc": discrimination.excess_aurc,
        "accuracy_at_80": partial(discrimination.accuracy_at_coverage, coverage=0.8),
    }


ALL_METRICS = (*metric_functions(), *YIELDS)


def metrics_table(
    graded,
    *,
    by=("model", "dataset", "strategy"),
    metrics=SCORE_METRICS,
    intervals=None,
    n_bins=N_BINS,
    binning="width",
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
    n_bins, binning
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
        bootstrap, but for those of `NO_INTERVAL`, whose bootstrap does not hold: NaN. NaN where a
        metric is undefined, with a `MeasureWarning` that names the group and the reason.

    Raises
    ------
    ValueError
        On a column the table lacks, an unknown metric, or values that are no confidence.
    """
    check_rng(rng)
    check_level(level)
    stats = metric_functions(n_bins=n_bins, binning=binning)
    names = list(ALL_METRICS) if isinstance(metrics, str) and metrics == "all" else list(metrics)
    wanted = names if intervals is None else list(intervals)
    for name in [*names, *wanted]:
        check_choice(name, "metrics", ALL_METRICS)
    parts_by(graded[:0], ["confidence", "correct"])
    parts = parts_by(graded, by)
    rows = []
    for (row, part), stream in zip(parts, rng.spawn(len(parts)), strict=True):
        label = ", ".join(f"{k}={v}" for k, v in row.items()) or "all"
        kept = measured(part)
        row = row | {"n": len(kept), "n_missing": len(part) - len(kept)}
        ids = None if groups is None else image_labels(kept, groups)
        with _labelled(label):
            found = {}
            if len(kept):
                pair = check_pair(kept["confidence"], kept["correct"])
                found = _values(*pair, ids, names, stats)
                asked = [k for k in names if k in wanted and not np.isnan(found[k])]
                found |= _ends(*pair, ids, asked, stats, found, level, n_resamples, stream)
            else:
                warn("no item has both a confidence and a grade")
        for name in names:
            ends = ("_low", "_high") if name in wanted else ()
            more = ("_threshold",) if name in YIELDS else ()
            row |= {f"{name}{k}": found.get(f"{name}{k}", np.nan) for k in ("", *ends, *more)}
        rows.append(row)
    return pd.DataFrame(rows)


def _values(c, y, ids, names, stats) -> dict:
    """The metrics themselves, and the thresholds of yields."""
    found = {name: stats[name](c, y) for name in names if name in stats}
    for name in (name for name in names if name in YIELDS):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # nothing certified is a yield of 0
            threshold = deferral.selective_threshold(
                c, y, target=YIELDS[name], delta=deferral.DELTA, groups=ids
            )
        found |= {name: threshold.coverage, f"{name}_threshold": threshold.threshold}
    return found


def _ends(c, y, ids, asked, stats, found, level, n_resamples, rng) -> dict:
    """The ends of the intervals, each in the way that holds for its metric."""
    shares = {"accuracy": y, "confidently_wrong": c >= calibration.SURE - 1e-9}
    shares |= {k: c >= found[f"{k}_threshold"] for k in YIELDS if k in asked}
    ends, intervals, draws = {}, {}, None
    for name in asked:
        if name in shares:
            of = y == 0 if name == "confidently_wrong" else slice(None)
            whose = None if ids is None else ids[of]
            ends[name] = clustered_interval(shares[name][of], whose, level=level)
        elif name == "ici":
            ends[name] = ici_interval(c, y, level=level, groups=ids, rng=rng)[::2]
        elif name in ECES:
            bins = {"binning": "width"} | stats[name].keywords
            key = bins["binning"], bins["n_bins"]
            if key not in intervals:
                intervals[key] = ece_interval(c, y, **bins, level=level, groups=ids, rng=rng)
            ends[name] = intervals[key][::2]
        elif name not in NO_INTERVAL:
            draws = draws or Draws(ids, c.size, n_resamples, rng)
            ends[name] = percentile_interval(draws.values(stats[name], c, y), found[name], level)
            ends[name] = ends[name][::2]
    return {f"{name}_{end}": pair[k] for name, pair in ends.items() for k, end in ENDS}


class _labelled(warnings.catch_warnings):
    """Say of which group a warning speaks, and each thing once."""

    def __init__(self, label: str):
        super().__init__(record=True)
        self.label = label

    def __enter__(self):
        self.caught = super().__enter__()
        warnings.simplefilter("always")

    def __exit__(self, *error):
        super().__exit__(*error)
        for text, category in dict.fromkeys((str(w.message), w.category) for w in self.caught):
            if issubclass(category, UserWarning):
                warn(f"{self.label}: {text}", category)
            else:
                warnings.warn(text, category, stacklevel=3)


def with_intervals(scores, *, by):
    """A metrics table for readers: `0.083 [0.071, 0.096]` in one cell, groups as index."""
    shown = scores.set_index(list(by))[["n", "n_missing"]].astype(object)
    return shown.assign(**interval_cells(scores))


def interval_cells(scores):
    """Of each metric with an interval its cells, `0.083 [0.071, 0.096]` or the number alone."""
    return {
        column: [
            f"{mid:.3f}" if np.isnan(low) else str(Interval(low, mid, high))
            for low, mid, high in scores[[f"{column}_low", column, f"{column}_high"]].to_numpy(
                float
            )
        ]
        for column in scores.columns
        if f"{column}_low" in scores.columns
    }


def reliability_table(confidence, correct, *, n_bins=N_BINS, binning="width", level=0.95):
    """Reliability diagram as a table: one row per bin.

    Parameters
    ----------
    confidence, correct : (n,) arrays
    n_bins, binning
        As in `ece`. Empty bins of equal width are kept; bins of equal mass that ties merge are
        left out.
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
    cell = calibration.bins_of(c, n_bins, binning)
    edges = np.arange(n_bins + 1) / n_bins
    if binning == "mass":
        upper = np.zeros(n_bins)
        np.maximum.at(upper, cell, c)
        edges = np.append(0.0, np.maximum.accumulate(upper))
    n = np.bincount(cell, minlength=n_bins)
    right = np.bincount(cell, y, n_bins)
    safe = np.where(n > 0, n, np.nan)
    table = {"bin": np.arange(n_bins), "low": edges[:-1], "high": edges[1:], "n": n}
    table |= {"mean_confidence": np.bincount(cell, c, n_bins) / safe, "accuracy": right / safe}
    table["acc_low"], table["acc_high"] = wilson_interval(right, n, level=level) * (safe / safe)
    table["band_low"], table["band_high"] = consistency_band(c, cell, n_bins, level=level)
    table = pd.DataFrame(table)
    return table[n > 0].reset_index(drop=True) if binning == "mass" else table


def ece_bins_table(graded, *, by, bins, level=0.95, rng):
    """ECE of each group with its interval (`ece_interval`), for bin counts and both binnings.

    Columns: those of `by`, binning ("equal width", "equal mass"), n_bins, n, ece, ece_low,
    ece_high.
    """
    parts = [
        metrics_table(
            graded, by=by, metrics=["ece"], n_bins=n, binning=kind, level=level, rng=rng
        ).assign(binning=f"equal {kind}", n_bins=n)
        for kind in ("width", "mass")
        for n in bins
    ]
    columns = [*by, "binning", "n_bins", "n", "ece", "ece_low", "ece_high"]
    return pd.concat(parts, ignore_index=True)[columns]


def netcal_table(confidence, correct, *, n_bins=N_BINS):
    """What netcal calls ECE, MCE and ACE beside ours: metric, ours, netcal, difference, note."""
    from netcal.metrics import ACE, ECE, MCE

    c, y = check_pair(confidence, correct)
    rows = [
        ("ECE", calibration.ece, ECE, "the same number"),
        ("MCE", calibration.mce, MCE, "the same number"),
        ("ACE", calibration.ace, ACE, "netcal's mean over equal-width, ours over equal-mass bins"),
    ]
    table = pd.DataFrame(
        [
            (name, f(c, y, n_bins=n_bins), g(n_bins).measure(c, y), note)
            for name, f, g, note in rows
        ],
        columns=["metric", "ours", "netcal", "note"],
    )
    table.insert(3, "difference", table["netcal"] - table["ours"])
    return table


POINTS = 500


def risk_coverage_table(confidence, correct, *, level=0.95, n_resamples=1000, groups=None, rng):
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
    values, kept, errors = deferral._descending(c, y)
    rows = np.unique(np.searchsorted(kept, np.linspace(kept[0], c.size, POINTS)))
    values, kept, errors = values[rows], kept[rows], errors[rows]
    draws = Draws(groups, c.size, n_resamples, rng)
    place = np.searchsorted(-values, -c) + draws.codes * values.size
    size = draws.n_units * values.size
    held, wrong = (
        (draws.counts @ np.bincount(place, column, size).reshape(draws.n_units, -1)).cumsum(1)
        for column in (None, 1 - y)
    )
    drawn = np.where(held > 0, wrong / np.where(held > 0, held, 1), np.nan)
    low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    table = {"threshold": values, "n_kept": kept, "coverage": kept / c.size}
    table |= {"n_errors": errors.astype(int), "risk": errors / kept, "accuracy": 1 - errors / kept}
    return pd.DataFrame(table | {"risk_low": low, "risk_high": high})


def shrunken_table(scores, metric, *, level=0.95):
    r"""Each group's raw and shrunken value of a metric, stacked under `estimate`.

    .. math:: \hat\theta_i = \mu + \frac{\tau^2}{\tau^2 + s_i^2} (x_i - \mu)

    with standard errors s from the widths of the intervals, μ the weighted mean, and the spread τ²
    between groups by moments. The shrunken values carry no interval: `_low` and `_high` repeat
    them. Sources: Efron & Morris 1975, doi:10.1080/01621459.1975.10479864; DerSimonian & Laird
    1986, doi:10.1016/0197-2456(86)90046-2.
    """
    from scipy.special import ndtri
    from statsmodels.stats.meta_analysis import combine_effects

    low, high = f"{metric}_low", f"{metric}_high"
    kept = scores[scores[low] < scores[high]]
    x, values = kept[metric].to_numpy(float), kept[metric]
    if len(kept) > 1:
        v = ((kept[high] - kept[low]).to_numpy(float) / (2 * ndtri((1 + level) / 2))) ** 2
        pooled = combine_effects(x, v, method_re="chi2")
        tau2 = max(0.0, pooled.tau2)
        mean = np.average(x, weights=1 / (tau2 + v))
        values = mean + tau2 / (tau2 + v) * (x - mean)
    shrunken = kept.assign(**{metric: values, low: values, high: values}, estimate="shrunken")
    columns = ["group", "n", metric, low, high, "estimate"]
    return pd.concat([kept.assign(estimate="raw"), shrunken])[columns]


def difference_table(
    graded,
    *,
    compare="strategy",
    by=("model", "dataset"),
    stat="brier",
    reference=None,
    paired=True,
    level=0.95,
    n_resamples=2000,
    rng,
):
    """Differences between strategies, models or modalities, corrected for their number.

    Parameters
    ----------
    graded : pandas.DataFrame
        With confidence, correct, item_id, the columns of `compare` and `by`.
    compare : str
        Column whose values are compared with one another.
    by : sequence of str
        Comparisons are made within each combination of these.
    stat : str
        A name from `metric_functions` whose bootstrap holds: not an ECE.
    reference : optional
        Compare each other value with this one; default all pairs.
    paired : bool
        True: both sides answered the same items; only items both have are used, and both sides
        see the same resamples. False: the sides hold different items (modalities, say); images are
        drawn once for all sides.
    level, n_resamples, rng
        As in `bootstrap_interval`, by image.

    Returns
    -------
    pandas.DataFrame
        The `by` columns, a, b, n_a, n_b (items used), value_a, value_b, difference (a − b), low,
        high (unadjusted percentile interval), p (normal, by the standard error of the resamples),
        p_holm (Holm over all rows of the table), differs (p_holm ≤ 1 − level).

    Raises
    ------
    ValueError
        On a column the table lacks, an unknown metric or reference, or an item that stands
        twice on one side of a paired comparison.
    """
    check_rng(rng)
    stats = {k: f for k, f in metric_functions().items() if k not in (*ECES, *NO_INTERVAL)}
    check_choice(stat, "stat", tuple(stats))
    kept = measured(graded)
    kept = kept.assign(_image=image_labels(kept), _item=image_labels(kept, "item_id"))
    if reference is not None and not (kept[compare] == reference).any():
        raise ValueError(f"reference {reference!r} does not occur in column {compare!r}")
    rows = []
    parts = parts_by(kept, [column for column in by if column != compare])
    for (row, part), stream in zip(parts, rng.spawn(len(parts)), strict=True):
        sides = {k: v for k, v in part.groupby(compare, sort=True, observed=True)}
        pairs = list(combinations(sides, 2))
        if reference is not None:
            pairs = [(k, reference) for k in sides if k != reference and reference in sides]
        label = ", ".join(f"{k}={v}" for k, v in row.items()) or "all"
        with _labelled(label):
            for a, b in pairs:
                found = _difference(
                    sides[a], sides[b], paired, stats[stat], level, n_resamples, stream
                )
                rows += [row | {"a": a, "b": b} | found] if found else []
    columns = [*by, "a", "b", "n_a", "n_b", "value_a", "value_b", "difference", "low", "high", "p"]
    table = pd.DataFrame(rows, columns=[column for column in columns if column != compare])
    table["p_holm"] = holm(table["p"].to_numpy(float))
    table["differs"] = table["p_holm"] <= 1 - level
    return table


def _difference(one, other, paired, stat, level, n_resamples, rng) -> dict:
    if paired:
        for side in (one, other):
            if side["_item"].duplicated().any():
                twice = side.loc[side["_item"].duplicated(), "_item"].iloc[0]
                raise ValueError(
                    f"item {twice!r} is answered more than once: compare one answer each"
                )
        common = np.intersect1d(one["_item"], other["_item"])
        one, other = (side.set_index("_item").loc[common] for side in (one, other))
    if len(one) == 0 or len(other) == 0:
        warn("two sides share no items")
        return {}
    images = np.concatenate([one["_image"], other["_image"]])
    draws = Draws(images, images.size, n_resamples, rng)
    values, drawn = [], []
    for side, at in ((one, slice(len(one))), (other, slice(len(one), None))):
        c, y = check_pair(side["confidence"], side["correct"])
        values.append(float(stat(c, y)))
        drawn.append(draws.values(stat, c, y, at))
    gap = drawn[0] - drawn[1]
    low, estimate, high = percentile_interval(gap, values[0] - values[1], level)
    row = {"n_a": len(one), "n_b": len(other), "value_a": values[0], "value_b": values[1]}
    return row | {"difference": estimate, "low": low, "high": high, "p": normal_p(gap, estimate)}
