"""The numbers of the figures: tidy tables, one row per bin or per group."""

import numpy as np

from . import calibration, discrimination
from ._check import check_bins, check_choice, check_level, check_pair, check_rng
from .intervals import bootstrap_interval, wilson_interval

SCORE_METRICS = ("accuracy", "mean_confidence", "ece", "brier", "log_loss", "auroc", "aurc")


def reliability_table(confidence, correct, *, n_bins=15, binning="width", level=0.95):
    """Reliability diagram as a table: one row per bin, empty bins kept.

    Parameters
    ----------
    confidence, correct : (n,) arrays
    n_bins : int
    binning : {"width", "mass"}
    level : float
        Of the Wilson bars and of the consistency bands.

    Returns
    -------
    pandas.DataFrame
        bin (from 0), low, high (edges, (low, high]), n, mean_confidence, accuracy, acc_low,
        acc_high (Wilson bars of the accuracy), band_low, band_high (where the accuracy of a
        calibrated forecaster with these confidences would lie, pointwise).

    References
    ----------
    Bröcker & Smith, Weather and Forecasting 2007, doi:10.1175/WAF993.1.
    """
    import pandas as pd

    c, y = check_pair(confidence, correct)
    n_bins = check_bins(n_bins)
    check_choice(binning, "binning", ("width", "mass"))
    check_level(level)
    if binning == "width":
        edges = calibration.bin_edges(n_bins)
        cell = calibration.width_bins(c, n_bins)
    else:
        upper = calibration.mass_edges(c, n_bins)
        cell = np.searchsorted(upper, c, side="left")
        edges = np.concatenate([[0.0], upper])
    n = np.bincount(cell, minlength=n_bins)
    with np.errstate(invalid="ignore"):
        confidence_mean = np.bincount(cell, c, n_bins) / n
        acc = np.bincount(cell, y, n_bins) / n
    low, high = wilson_interval(np.bincount(cell, y, n_bins), n, level=level)
    band_low, band_high = _consistency_band(c, cell, n, confidence_mean, level)
    empty = n == 0
    for column in (low, high, band_low, band_high):
        column[empty] = np.nan
    return pd.DataFrame(
        {
            "bin": np.arange(n_bins),
            "low": edges[:-1],
            "high": edges[1:],
            "n": n,
            "mean_confidence": confidence_mean,
            "accuracy": acc,
            "acc_low": low,
            "acc_high": high,
            "band_low": band_low,
            "band_high": band_high,
        }
    )


def _consistency_band(c, cell, n, mean, level):
    from scipy.special import ndtri

    variance = np.bincount(cell, c * (1 - c), n.size)
    with np.errstate(invalid="ignore", divide="ignore"):
        half = ndtri((1 + level) / 2) * np.sqrt(variance) / n
    return np.clip(mean - half, 0, 1), np.clip(mean + half, 0, 1)


def metrics_table(
    verdicts,
    *,
    by=("model", "dataset", "strategy"),
    n_bins=15,
    binning="width",
    level=0.95,
    n_resamples=1000,
    groups="image_id",
    metrics=SCORE_METRICS,
    intervals=("ece",),
    rng,
):
    """All metrics of each group of verdicts, tidy, with intervals.

    Parameters
    ----------
    verdicts : pandas.DataFrame
        With columns confidence, correct and those of `by`. Rows without a confidence or a
        grade are left out and counted in `n_missing`.
    by : sequence of str
        Columns that make the groups; columns the table lacks are left out.
    n_bins, binning
        As in `ece`.
    level, n_resamples, rng
        As in `bootstrap_interval`.
    groups : str or None
        Column whose rows are resampled together (the image), where it is there and filled.
    metrics : sequence of str
    intervals : sequence of str
        Metrics that also get `<name>_low` and `<name>_high`.

    Returns
    -------
    pandas.DataFrame
        One row per group: the `by` columns, n, n_missing, then the metrics. NaN where a metric
        is undefined, with a `MeasureWarning` that names the group and the reason.
    """
    import warnings
    from functools import partial

    import pandas as pd

    check_rng(rng)
    stats = {
        "accuracy": calibration.accuracy,
        "mean_confidence": calibration.mean_confidence,
        "ece": partial(calibration.ece, n_bins=n_bins, binning=binning),
        "brier": calibration.brier_score,
        "log_loss": calibration.log_loss,
        "auroc": discrimination.auroc,
        "aurc": discrimination.aurc,
    }
    for name in metrics:
        check_choice(name, "metrics", tuple(stats))
    by = [column for column in by if column in verdicts.columns]
    parts = verdicts.groupby(by, sort=True, dropna=False) if by else [((), verdicts)]
    rows = []
    for key, part in parts:
        row = dict(zip(by, key if isinstance(key, tuple) else (key,), strict=True))
        kept = part[part["confidence"].notna() & part["correct"].notna()]
        row |= {"n": len(kept), "n_missing": len(part) - len(kept)}
        ids = None
        if groups is not None and groups in kept.columns and kept[groups].notna().all():
            ids = kept[groups].to_numpy()
        label = ", ".join(f"{k}={row[k]}" for k in by) or "all"
        for name in metrics:
            bounds = {name: np.nan}
            if name in intervals:
                bounds |= {f"{name}_low": np.nan, f"{name}_high": np.nan}
            if len(kept):
                c = kept["confidence"].to_numpy(float)
                y = kept["correct"].to_numpy(float)
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    if name in intervals:
                        interval = bootstrap_interval(
                            stats[name],
                            c,
                            y,
                            n_resamples=n_resamples,
                            level=level,
                            groups=ids,
                            rng=rng,
                        )
                        bounds = {
                            name: interval.estimate,
                            f"{name}_low": interval.low,
                            f"{name}_high": interval.high,
                        }
                    else:
                        bounds = {name: stats[name](c, y)}
                for message in caught:
                    warnings.warn(f"{label}: {message.message}", message.category, stacklevel=2)
            row |= bounds
        rows.append(row)
    return pd.DataFrame(rows)
