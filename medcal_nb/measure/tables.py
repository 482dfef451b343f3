"""The numbers behind the figures: tidy tables, one row per bin, threshold, group or pair."""

import warnings
from collections.abc import Sequence
from functools import partial
from itertools import combinations

import numpy as np

from . import calibration, discrimination
from ._check import (
    check_bins,
    check_choice,
    check_groups,
    check_level,
    check_pair,
    check_resamples,
    check_rng,
    warn,
)
from ._sums import collapse, resampled_sums
from .intervals import (
    bootstrap_values,
    common_values,
    consistency_band,
    difference_interval,
    holm,
    percentile_interval,
    wilson_interval,
)

SCORE_METRICS = ("accuracy", "mean_confidence", "ece", "brier", "log_loss", "auroc", "aurc")


def metric_functions(*, n_bins=15, binning="width", clip=1e-12) -> dict:
    """Every metric by its column name, as functions of `(confidence, correct)`.

    Parameters
    ----------
    n_bins, binning
        For the binned ones, but for ece_mass and ace, which are always of equal mass.
    clip : float
        For the log loss.

    Returns
    -------
    dict
        Name -> callable that `bootstrap_interval` resamples by its sums.
    """
    bins = {"n_bins": n_bins, "binning": binning}
    return {
        "accuracy": calibration.accuracy,
        "mean_confidence": calibration.mean_confidence,
        "gap": calibration.calibration_gap,
        "ece": partial(calibration.ece, **bins),
        "ece_mass": partial(calibration.ece, n_bins=n_bins, binning="mass"),
        "debiased_ece": partial(calibration.debiased_ece, **bins),
        "smooth_ece": calibration.smooth_ece,
        "ace": partial(calibration.ace, n_bins=n_bins),
        "mce": partial(calibration.mce, **bins),
        "overconfidence": partial(calibration.overconfidence, **bins),
        "underconfidence": partial(calibration.underconfidence, **bins),
        "ici": calibration.ici,
        "e50": calibration.e50,
        "e90": calibration.e90,
        "slope": calibration.calibration_slope,
        "intercept": calibration.calibration_intercept,
        "spiegelhalter_z": calibration.spiegelhalter_z,
        "brier": calibration.brier_score,
        "reliability": partial(calibration.brier_reliability, **bins),
        "resolution": partial(calibration.brier_resolution, **bins),
        "log_loss": partial(calibration.log_loss, clip=clip),
        "auroc": discrimination.auroc,
        "auprc_error": partial(discrimination.auprc, positive="error"),
        "auprc_correct": partial(discrimination.auprc, positive="correct"),
        "aurc": discrimination.aurc,
        "excess_aurc": discrimination.excess_aurc,
        "accuracy_at_80": partial(discrimination.accuracy_at_coverage, coverage=0.8),
        "coverage_at_90": partial(discrimination.coverage_at_accuracy, target=0.9),
    }


ALL_METRICS = tuple(metric_functions())


def metrics_table(
    verdicts,
    *,
    by=("model", "dataset", "strategy"),
    metrics=SCORE_METRICS,
    intervals=None,
    n_bins=15,
    binning="width",
    clip=1e-12,
    level=0.95,
    n_resamples=1000,
    groups="image_id",
    rng,
):
    """Metrics of each group of verdicts with their intervals: one row per group.

    Parameters
    ----------
    verdicts : pandas.DataFrame
        With columns confidence, correct and those of `by`. Rows without a confidence or a
        grade are left out and counted in `n_missing`, never imputed.
    by : sequence of str
        Columns that make the groups; none gives one row.
    metrics : sequence of str or "all"
        Names from `metric_functions`; the default is what `medcal score` prints.
    intervals : sequence of str, optional
        The metrics that get `<name>_low` and `<name>_high`; default all asked for.
    n_bins, binning, clip
        As in `ece` and `log_loss`.
    level, n_resamples, rng
        As in `bootstrap_interval` (percentile). All metrics of a row share their resamples,
        and each row has a random stream of its own.
    groups : str or None
        Column whose rows are drawn together (the image), where the table has it and it is
        filled in for the group at hand; otherwise rows are drawn.

    Returns
    -------
    pandas.DataFrame
        The `by` columns, n, n_missing, then the metrics in the order asked for. NaN where a
        metric is undefined, with a `MeasureWarning` that names the group and the reason.

    Raises
    ------
    ValueError
        On a column the table lacks, an unknown metric, or values that are no confidence.

    Examples
    --------
    >>> metrics_table(verdicts, by=["modality"], metrics="all", rng=rng)  # doctest: +SKIP
    """
    import pandas as pd

    check_rng(rng)
    check_level(level)
    check_resamples(n_resamples)
    by = [by] if isinstance(by, str) else list(by)
    _need(verdicts, ["confidence", "correct", *by])
    stats = metric_functions(n_bins=check_bins(n_bins), binning=binning, clip=clip)
    names = list(stats) if isinstance(metrics, str) and metrics == "all" else list(metrics)
    wanted = names if intervals is None else list(intervals)
    for name in [*names, *wanted]:
        check_choice(name, "metrics", tuple(stats))
    parts = list(verdicts.groupby(by, sort=True, dropna=False, observed=True)) if by else []
    if not by:
        parts = [((), verdicts)]
    rows = []
    for (key, part), stream in zip(parts, rng.spawn(len(parts)), strict=True):
        row = dict(zip(by, key, strict=True))
        label = ", ".join(f"{k}={v}" for k, v in row.items()) or "all"
        kept = part[part["confidence"].notna() & part["correct"].notna()]
        row |= {"n": len(kept), "n_missing": len(part) - len(kept)}
        with _labelled(label):
            row |= _measures(
                kept, {k: stats[k] for k in names}, wanted, level, n_resamples, groups, stream
            )
        rows.append(row)
    return pd.DataFrame(rows)


def _need(table, columns: Sequence[str]) -> None:
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise ValueError(
            f"the table lacks {', '.join(map(repr, missing))}; it has "
            f"{', '.join(map(str, table.columns))}"
        )


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


def _measures(kept, stats, wanted, level, n_resamples, groups, rng) -> dict:
    row = {}
    for name in stats:
        row[name] = np.nan
        if name in wanted:
            row |= {f"{name}_low": np.nan, f"{name}_high": np.nan}
    if len(kept) == 0:
        warn("no item has both a confidence and a grade")
        return row
    c, y = check_pair(kept["confidence"], kept["correct"])
    codes = n_groups = None
    if groups is not None and groups in kept.columns and kept[groups].notna().all():
        codes, n_groups = check_groups(kept[groups], c.size)
        if n_groups == c.size:
            codes = n_groups = None
    for name, stat in stats.items():
        row[name] = stat(c, y)
    resampled = [name for name in stats if name in wanted and not np.isnan(row[name])]
    if resampled:
        values = bootstrap_values(
            [stats[name] for name in resampled],
            c,
            y,
            n_resamples=n_resamples,
            codes=codes,
            n_groups=n_groups,
            rng=rng,
        )
        for name, drawn in zip(resampled, values, strict=True):
            interval = percentile_interval(drawn, row[name], level)
            row |= {f"{name}_low": interval.low, f"{name}_high": interval.high}
    return row


def reliability_table(
    confidence, correct, *, n_bins=15, binning="width", level=0.95, band="simultaneous"
):
    """Reliability diagram as a table: one row per bin.

    Parameters
    ----------
    confidence, correct : (n,) arrays
    n_bins : int
    binning : {"width", "mass"}
        As in `ece`. Empty bins of equal width are kept; bins of equal mass that ties merge
        are left out.
    level : float
        Of the Wilson bars and of the consistency band.
    band : {"simultaneous", "pointwise"}
        Whether a calibrated forecaster stays inside the band in all bins together, or in each
        by itself, with probability `level`.

    Returns
    -------
    pandas.DataFrame
        bin (from 0), low, high (bin edges, (low, high]), n, mean_confidence, accuracy, acc_low,
        acc_high (Wilson bars), band_low, band_high (`consistency_band`); NaN in empty bins.
        The n-weighted mean of |accuracy − mean_confidence| is `ece`.

    Raises
    ------
    ValueError
        As `ece`.

    References
    ----------
    Bröcker & Smith, Weather and Forecasting 2007, doi:10.1175/WAF993.1. Wilson, J. Am. Stat.
    Assoc. 1927, doi:10.1080/01621459.1927.10502953.
    """
    import pandas as pd

    c, y = check_pair(confidence, correct)
    n_bins = check_bins(n_bins)
    check_choice(binning, "binning", calibration.BINNINGS)
    check_choice(band, "band", ("simultaneous", "pointwise"))
    if binning == "width":
        edges = calibration.bin_edges(n_bins)
        cell = calibration.width_bins(c, n_bins)
    else:
        values, place = calibration.by_value(c)
        of_value = calibration.value_bins(np.bincount(place)[None].astype(float), n_bins)[0]
        cell = of_value[place]
        upper = np.zeros(n_bins)
        np.maximum.at(upper, of_value, values)
        edges = np.concatenate([[0.0], np.maximum.accumulate(upper)])
    n = np.bincount(cell, minlength=n_bins)
    right = np.bincount(cell, y, n_bins)
    safe = np.where(n > 0, n, 1)
    acc_low, acc_high = wilson_interval(right, n, level=level)
    band_low, band_high = consistency_band(
        c, cell, n_bins, level=level, simultaneous=band == "simultaneous"
    )
    table = pd.DataFrame(
        {
            "bin": np.arange(n_bins),
            "low": edges[:-1],
            "high": edges[1:],
            "n": n,
            "mean_confidence": np.bincount(cell, c, n_bins) / safe,
            "accuracy": right / safe,
            "acc_low": acc_low,
            "acc_high": acc_high,
            "band_low": band_low,
            "band_high": band_high,
        }
    )
    if binning == "mass":
        return table[n > 0].reset_index(drop=True)
    table.loc[n == 0, ["mean_confidence", "accuracy", "acc_low", "acc_high"]] = np.nan
    return table


def smooth_reliability_table(
    confidence, correct, *, n_points=101, sigma=None, level=0.95, n_resamples=500, groups=None, rng
):
    """Reliability curve without bins: accuracy by kernel smoothing, with a pointwise band.

    Parameters
    ----------
    confidence, correct : (n,) arrays
    n_points : int
        Points of the curve, evenly from 0 to 1.
    sigma : float, optional
        Bandwidth; default the fixed point of `smooth_ece`, at least 0.01.
    level, n_resamples, groups, rng
        As in `bootstrap_interval`; the bandwidth is held.

    Returns
    -------
    pandas.DataFrame
        confidence, accuracy (confidence plus smoothed residual over smoothed density),
        acc_low, acc_high, density (of the confidences, mean 1). NaN where there are no items
        within four bandwidths.

    References
    ----------
    Błasiok & Nakkiran, ICLR 2024, arXiv:2309.12236.
    """
    import pandas as pd
    from scipy.fft import dct

    c, y = check_pair(confidence, correct)
    check_level(level)
    check_rng(rng)
    if sigma is None:
        sigma = max(calibration.smooth_ece(c, y), 0.01)
    steps = 1024
    place = c * steps
    cell = np.minimum(place.astype(np.intp), steps - 1)
    place -= cell
    residual = y - c
    from ._sums import Recipe

    recipe = Recipe(cell, steps, (place, residual, residual * place), lambda sums: sums)
    damping = np.exp(-((np.pi * np.arange(steps + 1)) ** 2) / 2 * sigma**2)
    points = np.linspace(0, 1, n_points)
    grid = np.linspace(0, 1, steps + 1)

    def curve(sums):
        node = np.zeros((2, sums.shape[0], steps + 1))
        node[0, :, :-1] = sums[..., 0] - sums[..., 1]
        node[0, :, 1:] += sums[..., 1]
        node[1, :, :-1] = sums[..., 2] - sums[..., 3]
        node[1, :, 1:] += sums[..., 3]
        node /= sums[..., 0].sum(1)[:, None]
        node[..., 1:-1] /= 2
        density, moved = dct(dct(node, type=1) * damping, type=1)
        # exp(−4² / 2): less than one item four bandwidths away
        floor = np.exp(-8) / (sigma * np.sqrt(2 * np.pi) * c.size)
        with np.errstate(invalid="ignore", divide="ignore"):
            fit = np.where(density > floor, grid + moved / density, np.nan)
        fit = np.clip(fit, 0, 1)
        at = np.rint(points * steps).astype(int)
        return fit[:, at], density[:, at]

    codes = n_groups = None
    if groups is not None:
        codes, n_groups = check_groups(groups, c.size)
    fit, density = curve(recipe.sums()[None])
    drawn = np.concatenate(
        [
            curve(sums)[0]
            for (sums,) in resampled_sums(
                [recipe], check_resamples(n_resamples), rng, codes=codes, n_groups=n_groups
            )
        ]
    )
    low, high = _nan_quantiles(drawn, level)
    low[np.isnan(fit[0])] = high[np.isnan(fit[0])] = np.nan
    return pd.DataFrame(
        {
            "confidence": points,
            "accuracy": fit[0],
            "acc_low": low,
            "acc_high": high,
            "density": density[0],
        }
    )


def _nan_quantiles(drawn, level):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column that is NaN throughout
        return np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)


def risk_coverage_table(
    confidence,
    correct,
    *,
    level=0.95,
    n_resamples=1000,
    groups=None,
    rng=None,
    max_points=500,
):
    """Risk–coverage curve: error rate among the items at least as confident as a threshold.

    Parameters
    ----------
    confidence, correct : (n,) arrays
    level : float
        Of the pointwise band.
    n_resamples, groups, rng
        With an rng the band is the bootstrap of the risk at that coverage, by groups if
        given; without, Wilson's interval of the error rate, for independent items.
    max_points : int
        Distinct confidences beyond that are thinned to this many, evenly in coverage.

    Returns
    -------
    pandas.DataFrame
        One row per threshold from the highest: threshold, n_kept, coverage, n_errors, risk,
        accuracy, risk_low, risk_high. Between rows the curve of `aurc` runs by spreading the
        errors of tied items evenly.

    Raises
    ------
    ValueError
        As `aurc`.

    References
    ----------
    El-Yaniv & Wiener, J. Machine Learning Research 2010, vol. 11, pp. 1605–1641. Geifman &
    El-Yaniv, NeurIPS 2017, arXiv:1705.08500.
    """
    import pandas as pd

    c, y = check_pair(confidence, correct)
    check_level(level)
    values, cell = calibration.by_value(c)
    kept = np.bincount(cell)[::-1].cumsum()
    errors = np.bincount(cell, 1 - y)[::-1].cumsum()
    rows = np.arange(values.size)
    if rows.size > max_points:
        wanted = np.linspace(kept[0], c.size, max_points)
        rows = np.unique(np.searchsorted(kept, wanted))
    kept, errors, threshold = kept[rows], errors[rows], values[::-1][rows]
    if rng is None:
        low, high = wilson_interval(errors, kept, level=level)
    else:
        low, high = _risk_band(
            c, y, kept / c.size, level, check_resamples(n_resamples), groups, check_rng(rng)
        )
    return pd.DataFrame(
        {
            "threshold": threshold,
            "n_kept": kept,
            "coverage": kept / c.size,
            "n_errors": errors.astype(int),
            "risk": errors / kept,
            "accuracy": 1 - errors / kept,
            "risk_low": low,
            "risk_high": high,
        }
    )


def _risk_band(c, y, coverage, level, n_resamples, groups, rng):
    codes = n_groups = times = None
    if groups is not None:
        codes, n_groups = check_groups(groups, c.size)
    else:
        few = collapse(c, y)
        if few is not None:
            c, y, times = few
    recipe = discrimination._aurc(c, y)
    drawn = []
    for (sums,) in resampled_sums(
        [recipe], n_resamples, rng, codes=codes, n_groups=n_groups, times=times
    ):
        kept, wrong = sums[:, ::-1, 0].cumsum(1), sums[:, ::-1, 1].cumsum(1)
        for k, w in zip(kept, wrong, strict=True):
            share = np.concatenate([[0.0], k / k[-1]])
            drawn.append(np.interp(coverage, share, np.concatenate([[0.0], w / k[-1]])) / coverage)
    return np.quantile(np.array(drawn), [(1 - level) / 2, (1 + level) / 2], axis=0)


def difference_table(
    verdicts,
    *,
    compare="strategy",
    by=("model", "dataset"),
    stat="ece",
    reference=None,
    paired=True,
    item=("dataset", "item_id"),
    groups="image_id",
    n_bins=15,
    binning="width",
    level=0.95,
    n_resamples=2000,
    rng,
):
    """Differences between strategies, models or modalities, corrected for their number.

    Parameters
    ----------
    verdicts : pandas.DataFrame
        With confidence, correct, the columns of `compare`, `by` and (if paired) `item`.
    compare : str
        Column whose values are compared with one another.
    by : sequence of str
        Comparisons are made within each combination of these.
    stat : str or callable
        A name from `metric_functions`, or `stat(confidence, correct) -> float`.
    reference : optional
        Compare each other value with this one; default all pairs.
    paired : bool
        True: both sides answered the same items; only items both have are used, and both sides
        see the same resamples. False: the sides hold different items (modalities, say), each
        resampled by itself.
    item : sequence of str
        What identifies an item across the sides.
    groups : str or None
        Column whose rows are drawn together.
    n_bins, binning, level, n_resamples, rng
        As in `bootstrap_interval`.

    Returns
    -------
    pandas.DataFrame
        The `by` columns, a, b, n_a, n_b (items used), value_a, value_b, difference (a − b),
        low, high (unadjusted interval), p, p_holm (Holm over all rows of the table), differs
        (p_holm ≤ 1 − level). A smallest possible p too large to survive the correction is
        warned of: raise `n_resamples`.

    Raises
    ------
    ValueError
        On a column the table lacks, an unknown metric or reference, or an item that stands
        twice on one side of a paired comparison.

    References
    ----------
    Holm, Scandinavian Journal of Statistics 1979, vol. 6, pp. 65–70.
    """
    import pandas as pd

    check_rng(rng)
    check_level(level)
    n_resamples = check_resamples(n_resamples)
    by = [by] if isinstance(by, str) else [column for column in by if column != compare]
    item = [item] if isinstance(item, str) else list(item)
    _need(verdicts, ["confidence", "correct", compare, *by, *(item if paired else [])])
    if isinstance(stat, str):
        known = metric_functions(n_bins=n_bins, binning=binning)
        check_choice(stat, "stat", tuple(known))
        stat = known[stat]
    kept = verdicts[verdicts["confidence"].notna() & verdicts["correct"].notna()]
    if reference is not None and not (kept[compare] == reference).any():
        raise ValueError(f"reference {reference!r} does not occur in column {compare!r}")
    parts = list(kept.groupby(by, sort=True, dropna=False, observed=True)) if by else []
    if not by:
        parts = [((), kept)]
    rows = []
    for (key, part), stream in zip(parts, rng.spawn(len(parts)), strict=True):
        row = dict(zip(by, key, strict=True))
        label = ", ".join(f"{k}={v}" for k, v in row.items()) or "all"
        sides = {k: v for k, v in part.groupby(compare, sort=True, observed=True)}
        pairs = (
            list(combinations(sides, 2))
            if reference is None
            else [(side, reference) for side in sides if side != reference and reference in sides]
        )
        with _labelled(label):
            work = _paired_rows if paired else _unpaired_rows
            for found in work(sides, pairs, item, groups, stat, level, n_resamples, stream):
                rows.append(row | found)
    columns = [*by, "a", "b", "n_a", "n_b", "value_a", "value_b", "difference", "low", "high", "p"]
    table = pd.DataFrame(rows, columns=columns)
    table["p_holm"] = holm(table["p"].to_numpy(float))
    table["differs"] = table["p_holm"] <= 1 - level
    m = int(table["p"].notna().sum())
    if m and 2 * m / (1 + n_resamples) > 1 - level:
        warn(
            f"{n_resamples} resamples cannot show a difference among {m} comparisons at level "
            f"{level}: use at least {int(np.ceil(2 * m / (1 - level)))}"
        )
    return table


def _row(a, b, n_a, n_b, value_a, value_b, values, level) -> dict:
    found = difference_interval(values, value_a - value_b, level)
    return {
        "a": a,
        "b": b,
        "n_a": n_a,
        "n_b": n_b,
        "value_a": value_a,
        "value_b": value_b,
        "difference": found.estimate,
        "low": found.low,
        "high": found.high,
        "p": found.p,
    }


def _codes(frame, groups):
    if groups is None or groups not in frame.columns or frame[groups].isna().any():
        return None, None
    return check_groups(frame[groups], len(frame))


def _paired_rows(sides, pairs, item, groups, stat, level, n_resamples, rng):
    import pandas as pd

    frames = {}
    for name, side in sides.items():
        frame = side.set_index(item)
        twice = frame.index.duplicated()
        if twice.any():
            raise ValueError(
                f"{name!r} answers {int(twice.sum())} items more than once, first "
                f"{frame.index[twice][0]!r}: compare one verdict an item"
            )
        frames[name] = frame
    # pairs that share the same items share their resamples, and each side is measured once
    shared: dict = {}
    for a, b in pairs:
        common = frames[a].index.intersection(frames[b].index, sort=True)
        if len(common) == 0:
            warn(f"{a!r} and {b!r} share no items")
            continue
        key = (len(common), hash(tuple(pd.util.hash_array(_plain(common)).tolist())))
        shared.setdefault(key, (common, []))[1].append((a, b))
    done = {}
    for common, members in shared.values():
        names = list(dict.fromkeys(name for pair in members for name in pair))
        parts = {}
        for name in names:
            frame = frames[name].loc[common]
            parts[name] = check_pair(frame["confidence"], frame["correct"])
        codes, n_groups = _codes(frames[names[0]].loc[common], groups)
        values = common_values(
            stat,
            [(parts[name], None) for name in names],
            n_resamples,
            rng,
            codes=codes,
            n_groups=n_groups,
            n=len(common),
        )
        drawn = dict(zip(names, values, strict=True))
        value = {name: float(stat(*parts[name])) for name in names}
        for a, b in members:
            n = len(common)
            done[a, b] = _row(a, b, n, n, value[a], value[b], drawn[a] - drawn[b], level)
    return [done[pair] for pair in pairs if pair in done]


def _plain(index):
    return np.array([str(key) for key in index], dtype=object)


def _unpaired_rows(sides, pairs, item, groups, stat, level, n_resamples, rng):
    value, drawn, n = {}, {}, {}
    for name, side in sides.items():
        c, y = check_pair(side["confidence"], side["correct"])
        codes, n_groups = _codes(side, groups)
        value[name], n[name] = float(stat(c, y)), c.size
        drawn[name] = bootstrap_values(
            [stat], c, y, n_resamples=n_resamples, codes=codes, n_groups=n_groups, rng=rng
        )[0]
    return [
        _row(a, b, n[a], n[b], value[a], value[b], drawn[a] - drawn[b], level) for a, b in pairs
    ]
