"""Transfer with less than labels: with one number that is known of the target.

Where only the share of correct answers differs between source and target (prior shift), the
source's map needs another intercept and nothing else. The accuracy on the target sets it: the
mean transferred confidence must equal it.
"""

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd

from medcal_nb.measure.paired import with_ends
from medcal_nb.measure.resampling import (
    Bootstrap,
    choose_clip,
    fit_logistic,
    gathered,
    logit,
    percentile_ends,
)
from medcal_nb.measure.rows import arrays

from .crossfit import images_of, pairs, with_images
from .maps import fit
from .transfer import TransferStudy

#: Of two distribution functions; a shift beyond it is flagged.
LARGEST_DISTANCE = 0.1
#: A calibration slope whose whole interval lies outside is flagged.
SLOPES = (0.75, 1 / 0.75)


class ShiftWarning(UserWarning):
    """The target differs from the source by more than the share of correct answers."""


# --- one known number ---------------------------------------------------------------------------


def share_removed(study: TransferStudy, by: Sequence[str] = ()) -> pd.DataFrame:
    r"""Share of the transfer cost that the accuracy on the target, one number, removes.

    .. math:: \frac{\sum (B_\mathrm{transferred} - B_\mathrm{known})}
                   {\sum (B_\mathrm{transferred} - B_\mathrm{refitted})}

    over pairs of model and strategy, whose resamples are common: answers of two models about one
    image do not count twice.

    Parameters
    ----------
    study : TransferStudy
    by : sequence of str
        Columns beside the method ("model", "strategy") that make the groups.

    Returns
    -------
    DataFrame
        One row per method and group:

        - method: the map's name
        - the `by` columns
        - pairs: models and strategies in it
        - cost: mean transfer cost, with _low, _high
        - cost_known: what an intercept set by the accuracy leaves of it, with _low, _high
        - share_removed: with _low, _high; NaN without a cost
        - share_constant: of the same cost, what giving every answer the accuracy (of the other
          folds) removes, no confidence at all; with _low, _high

    References
    ----------
    A ratio of means over pairs, with the interval of Efron & Tibshirani, An Introduction to the
    Bootstrap, 1993, chapter 13.

    Examples
    --------
    >>> from medcal_nb.correct import transfer_study
    >>> from medcal_nb.measure import example_answers
    >>> answers = example_answers()
    >>> sides = answers.query("domain == 'general'"), answers.query("domain == 'medical'")
    >>> study = transfer_study(*sides, ci=Bootstrap(n=200))
    >>> share_removed(study)[["cost", "cost_known", "share_constant"]].round(2).iloc[0].tolist()
    [0.03, -0.0, 0.29]
    """
    names = ["method", *by]
    rows = []
    for key, part in study.table.groupby(names, sort=False):
        at = study.table.index.get_indexer(part.index)
        mean = {name: draws[at].mean(axis=0) for name, draws in study.draws.items()}
        draws = {
            "cost": mean["transferred"] - mean["refitted"],
            "cost_known": mean["known"] - mean["refitted"],
        }
        cost = np.where(draws["cost"] > 0, draws["cost"], np.nan)
        draws["share_removed"] = (mean["transferred"] - mean["known"]) / cost
        draws["share_constant"] = (mean["transferred"] - mean["base"]) / cost
        row = dict(zip(names, key, strict=True)) | {"pairs": len(part)}
        n_images = part["n_images"].min()
        rows.append(row | with_ends(draws, level=study.level, n_groups=n_images))
    return pd.DataFrame(rows)


def _transferred(left: pd.DataFrame, right: pd.DataFrame, method: str) -> np.ndarray:
    """Confidences of the target by the source's map."""
    confidence, _ = arrays(right)
    clip = choose_clip(np.r_[left["confidence"], confidence])
    return fit(*arrays(left), method=method, clip=clip)(confidence)


# --- is it that kind of shift? ------------------------------------------------------------------


def check_shift(
    source: pd.DataFrame,
    target: pd.DataFrame,
    *,
    method: str = "platt",
    ci: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    """Is it a prior shift, after which an intercept is re-estimated? Warns where it is not.

    Under prior shift the target's confidences are a mixture of the source's of correct and of
    wrong answers, in the shares that the accuracy gives. The distance from that mixture needs the
    accuracy and no other label. With labels, the calibration slope of the transferred confidence
    is 1 where an intercept is all that differs; that of the confidence as elicited is another
    number, :func:`medcal_nb.measure.calibration_slope`.

    Parameters
    ----------
    source, target, method, ci
        As in :func:`medcal_nb.correct.transfer_study`.

    Returns
    -------
    DataFrame
        One row per model and strategy:

        - model, strategy
        - distance: largest difference of the distribution functions of the target's confidences
          and of that mixture
        - slope_transferred: calibration slope of the transferred confidence, with _low, _high
        - flag: distance above ``LARGEST_DISTANCE``, or the slope's interval outside ``SLOPES``
        - reason: which of the two, "" without a flag

    Raises
    ------
    ValueError
        As :func:`medcal_nb.correct.transfer_study`.

    Warns
    -----
    ShiftWarning

        Once, with the number of rows flagged.

    References
    ----------
    Saerens et al., Neural Computation 2002, doi 10.1162/089976602753284446; Lipton et al., ICML
    2018, arXiv 1802.03916.

    Examples
    --------
    >>> from medcal_nb.measure import example_answers
    >>> answers = example_answers()
    >>> sides = answers.query("domain == 'general'"), answers.query("domain == 'medical'")
    >>> table = check_shift(*sides, ci=Bootstrap(n=200))
    >>> table[["strategy", "flag"]].to_numpy().tolist()
    [['p_true', True], ['verbalized', True]]
    """
    rows = []
    for key, left, right in pairs(*with_images(source, target)):
        distance = _mixture_distance(left, right)
        slope, low, high = _slope(left, right, method, ci)
        reasons = []
        if distance > LARGEST_DISTANCE:
            reasons.append("confidences are no mixture of the source's")
        if low > SLOPES[1] or high < SLOPES[0]:
            reasons.append("the calibration slope is not 1")
        row = key | {"distance": distance, "slope_transferred": slope}
        row |= {"slope_transferred_low": low, "slope_transferred_high": high}
        rows.append(row | {"flag": bool(reasons), "reason": " and ".join(reasons)})
    table = pd.DataFrame(rows)
    n_flagged = int(table["flag"].sum())
    if n_flagged:
        warnings.warn(
            f"{n_flagged} of {len(table)} shifts are more than prior shifts: an intercept "
            "re-estimated from the accuracy removes a part of the transfer cost; what is left asks "
            "for a refit on labelled answers of the target",
            ShiftWarning,
            stacklevel=2,
        )
    return table


def _mixture_distance(left: pd.DataFrame, right: pd.DataFrame) -> float:
    source_c, source_right = arrays(left)
    target_c, target_right = arrays(right)
    grid = np.unique(np.r_[source_c, target_c])

    def distribution(confidence: np.ndarray) -> np.ndarray:
        below = np.searchsorted(np.sort(confidence), grid, side="right")
        return below / max(len(confidence), 1)

    accuracy = target_right.mean()
    mixture = accuracy * distribution(source_c[source_right == 1])
    mixture += (1 - accuracy) * distribution(source_c[source_right == 0])
    return float(np.abs(distribution(target_c) - mixture).max())


def _slope(
    left: pd.DataFrame,
    right: pd.DataFrame,
    method: str,
    ci: Bootstrap,
) -> tuple[float, float, float]:
    """Slope of the target's answers on the transferred log-odds, with its interval by image."""
    p = _transferred(left, right, method)
    resamples = ci.of(images_of(right))
    cell = gathered(p, 100)
    n_cells = int(cell.max()) + 1
    mean = np.bincount(cell, p) / np.bincount(cell)
    log_odds = logit(mean, 1e-6)
    features = np.column_stack([log_odds, np.ones(n_cells)])
    total = resamples.sums(cell, n_cells)  # (1 + B, cells)
    right_sums = resamples.sums(cell, n_cells, right["correct"].to_numpy(float))
    slopes = fit_logistic(features, right_sums @ features, total)[0][:, 0]
    low, high = percentile_ends(slopes, level=ci.level, n_groups=resamples.effective())
    return float(slopes[0]), float(low), float(high)
