"""Which answers must a clinician check? Thresholds with a guarantee, and what checking is worth.

An answer is kept where its confidence is at least the threshold, and deferred (checked by a
clinician) otherwise.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from ._check import check_groups, check_level, check_pair
from .intervals import clustered_interval, mean_intervals, wilson_interval
from .rows import arrays, image_labels, measured, parts_by, refuse_shared, rows_where

STARTS = (0.1, 0.2, 0.4, 0.7)  # shares kept at which the tests of thresholds start
CANDIDATES = 100
BLOCK = 4096  # images looked at together
DELTA = 0.1  # chance that a certified yield has more errors than allowed
STAKES = np.arange(1, 17) / 17  # shares of the largest stake that can never ruin


class Threshold(NamedTuple):
    """A threshold and the share it kept where it was chosen; infinite where none is certified."""

    threshold: float
    coverage: float


NONE = Threshold(np.inf, 0.0)


def selective_threshold(
    confidence, correct, *, target, delta=0.05, groups=None
) -> Threshold:
    r"""Lowest threshold whose error rate among kept answers is certified to be at most `target`.

    .. math:: P\bigl(\, P(y = 0 \mid c \ge \hat\tau) \le \alpha \,\bigr) \ge 1 - \delta

    over the draw of the items it is chosen on. Learn-then-Test with fixed sequences: from each
    of a few starting thresholds (those that keep 10, 20, 40 and 70 % of the items) towards lower
    ones, the hypothesis "the risk exceeds α" is tested at level δ divided by the number of
    starts, until the first failure; the lowest threshold passed is taken. Candidates are up to
    100 of the confidences that occur, evenly in rank.

    Parameters
    ----------
    confidence, correct : (n,) arrays
        Items to choose on; they must not be the ones the threshold is then judged on.
    target, delta : float
        α, the errors allowed among the answers kept, and the probability that the guarantee
        fails, both in (0, 1).
    groups : (n,) array, optional
        Items of one group (image) are not independent. Without groups the p values are exact
        binomial tails. With groups they come from bets on the groups' excess errors, valid
        whatever the dependence within a group and whatever the order of rows.

    Returns
    -------
    Threshold
        `(threshold, coverage)`; `(inf, 0)` where nothing is certified and all is deferred.

    Raises
    ------
    ValueError
        On bad input, by name and position; on a target or delta outside (0, 1).

    References
    ----------
    Angelopoulos et al., Learn then Test, Annals of Applied Statistics 2025, arXiv:2110.01052.
    Selective risk: Geifman & El-Yaniv, NeurIPS 2017, arXiv:1705.08500. Betting: Waudby-Smith &
    Ramdas, J. R. Stat. Soc. B 2024, arXiv:2010.09686.
    """
    c, y = check_pair(confidence, correct)
    target = check_level(target, "target")
    delta = check_level(delta, "delta")
    values, kept, errors = _descending(c, y)
    rows = np.unique(
        np.searchsorted(kept, np.linspace(c.size / CANDIDATES, c.size, CANDIDATES))
    )
    values = values[rows]
    kept = kept[rows]
    errors = errors[rows]
    starts = np.unique([int(np.argmax(kept >= share * c.size)) for share in STARTS])
    codes, n_groups = check_groups(groups, c.size)
    if groups is None or n_groups == c.size:
        from scipy.stats import binom

        p = binom.cdf(errors, kept, target)
    else:
        p = _betting_p(c, y, codes, n_groups, values, target)
    passed = np.append(p <= delta / starts.size, False)
    ends = [start + int(np.argmin(passed[start:])) for start in starts if passed[start]]
    if not ends:
        return NONE
    at = max(ends) - 1
    return Threshold(float(values[at]), float(kept[at] / c.size))


def _descending(c, y):
    """Distinct confidences from the highest, and items and errors down to each."""
    values, cell = np.unique(-c, return_inverse=True)
    return -values, np.bincount(cell).cumsum(), np.bincount(cell, 1 - y).cumsum()


def _betting_p(c, y, codes, n_groups, thresholds, target) -> np.ndarray:
    """p values of "risk among kept > target" at each threshold.

    The excess errors of a group, errors − target · kept, have mean above 0 under the hypothesis.
    A gambler who splits a capital of 1 over a few fixed stakes on the contrary then ends with
    1 / δ or more with probability at most δ (Markov), in whatever order the groups come.
    """
    n = len(thresholds)
    most = int(np.bincount(codes).max())
    base = most + 1
    stakes = STAKES[:, None] / (1 - target)
    place = np.searchsorted(-thresholds, -c)
    order = np.argsort(codes, kind="stable")
    ends = np.bincount(codes).cumsum()
    capital = np.zeros((len(STAKES), n))
    for first in range(0, n_groups, BLOCK):
        last = min(first + BLOCK, n_groups)
        rows = order[ends[first - 1] if first else 0 : ends[last - 1]]
        at = (codes[rows] - first) * (n + 1) + place[rows]
        size = (last - first) * (n + 1)
        kept, errors = (
            np.bincount(at[chosen], minlength=size).reshape(-1, n + 1)[:, :n].cumsum(1)
            for chosen in (slice(None), y[rows] == 0)
        )
        # groups of which a threshold keeps as many, with as many errors, are counted together
        alike, times = _counted(
            (np.arange(n) * base + kept) * base + errors, n * base**2
        )
        at = alike // base**2
        kept = alike // base % base
        errors = alike % base
        excess = (errors - target * kept) / most  # at most 1 − target
        np.add.at(capital, (slice(None), at), np.log1p(-stakes * excess) * times)
    peak = capital.max(0)
    held = peak + np.log(np.exp(capital - peak).mean(0))
    return np.exp(-np.maximum(held, 0))


def _counted(codes, n_codes):
    """The codes that occur, and how often."""
    if n_codes > 1_000_000:
        return np.unique(codes, return_counts=True)
    times = np.bincount(codes.ravel())
    return np.flatnonzero(times), times[times > 0]


def threshold_table(fit, test, *, target, delta=0.05, by=()):
    """Thresholds chosen on some graded answers and what they do on others.

    Parameters
    ----------
    fit, test : pandas.DataFrame
        Graded answers that share no image. Rows without confidence or grade are left out of the
        choice; on test those without a confidence count as deferred.
    target, delta
        As `selective_threshold`.
    by : sequence of str
        Columns whose combinations each get a threshold of their own (modality). δ holds for each
        of them, not for all together.

    Returns
    -------
    pandas.DataFrame
        The `by` columns, threshold, n_fit, fit_coverage, n_test, test_coverage, test_risk (among
        kept), test_risk_low, test_risk_high (95 %, by image: `clustered_interval`), test_missed
        (kept and wrong over all).

    Raises
    ------
    ValueError
        Where the two share an image.
    """
    refuse_shared(fit, test, "fit and test")
    rows = []
    graded = test[test["correct"].notna()]
    for row, part in parts_by(fit, by):
        chosen_on = measured(part)
        judged = rows_where(graded, row)
        found = NONE
        if len(chosen_on):
            pair = arrays(chosen_on)
            images = image_labels(chosen_on)
            found = selective_threshold(
                *pair, target=target, delta=delta, groups=images
            )
        keep = (judged["confidence"] >= found.threshold).to_numpy(
            dtype=bool, na_value=False
        )
        wrong = 1 - judged["correct"].to_numpy(dtype=float)[keep]
        risk = np.nan
        low = np.nan
        high = np.nan
        if keep.any():
            risk = wrong.mean()
            low, high = clustered_interval(wrong, image_labels(judged)[keep])
        row |= {"threshold": found.threshold, "n_fit": len(chosen_on)}
        row |= {"fit_coverage": found.coverage, "n_test": len(judged)}
        row |= {"test_coverage": keep.sum() / max(len(judged), 1), "test_risk": risk}
        row |= {"test_risk_low": low, "test_risk_high": high}
        rows.append(row | {"test_missed": wrong.sum() / max(len(judged), 1)})
    return pd.DataFrame(rows)


def guarantee_table(
    confidence, correct, *, target, sizes, delta=0.05, groups=None, n_repeats=1000, rng
):
    """How often the guarantee holds: thresholds from many samples, judged on the population.

    Parameters
    ----------
    confidence, correct : (n,) arrays
        A large pool of items, taken as the population: samples are drawn from it with
        replacement, and judged on all of it.
    target, delta
        As `selective_threshold`.
    sizes : sequence of int
        Sample sizes: items, or groups where given.
    groups : (n,) array, optional
        Samples are drawn by group.
    n_repeats : int
    rng : numpy.random.Generator

    Returns
    -------
    pandas.DataFrame
        n_fit, target, mean_coverage, mean_risk (among kept, over repeats that keep any), violated
        (share of repeats with risk above the target), certified (share that keep any), both with
        `_low` and `_high` (Wilson, 95 %). violated should be at most δ over all repeats, of which
        those that keep nothing violate nothing.
    """
    c, y = check_pair(confidence, correct)
    codes, n_units = check_groups(groups, c.size)
    length = np.bincount(codes)
    rows = []
    members = np.split(np.argsort(codes, kind="stable"), length.cumsum()[:-1])
    for size in sizes:
        thresholds = np.empty(n_repeats)
        for i in range(n_repeats):
            drawn = rng.integers(0, n_units, size)
            at = drawn
            ids = None
            if groups is not None:
                at = np.concatenate([members[unit] for unit in drawn])
                ids = np.repeat(np.arange(size), length[drawn])
            found = selective_threshold(
                c[at], y[at], target=target, delta=delta, groups=ids
            )
            thresholds[i] = found.threshold
        rows.append(
            {"n_fit": size, "target": target} | _judged(c, y, thresholds, target)
        )
    return pd.DataFrame(rows)


def _judged(c, y, thresholds, target) -> dict:
    """What thresholds do on a population."""
    values, kept, errors = _descending(c, y)
    at = np.searchsorted(-values, -thresholds, side="right")
    kept = np.append(0, kept)[at]
    errors = np.append(0, errors)[at]
    risk = errors[kept > 0] / kept[kept > 0]
    n = len(thresholds)
    row = {"mean_coverage": kept.mean() / c.size}
    row |= {"mean_risk": risk.mean() if risk.size else np.nan}
    for name, count in (("violated", (risk > target).sum()), ("certified", risk.size)):
        row[name] = count / n
        row[f"{name}_low"], row[f"{name}_high"] = map(float, wilson_interval(count, n))
    return row


# --- what a check is worth ----------------------------------------------------------------


def net_benefit_table(
    confidence, correct, *, thresholds, level=0.95, n_resamples=1000, groups=None, rng
):
    r"""Decision curve: net benefit of checking by confidence, of checking all and nothing.

    .. math:: \frac{\text{wrong and checked}}{n} - \frac{\text{right and checked}}{n}
       \cdot \frac{p_t}{1 - p_t}

    of checking the answers whose stated error probability is p_t or more. The threshold
    probability says how many needless checks one found error is worth: (1 − p_t) / p_t. Source:
    Vickers & Elkin, Medical Decision Making 2006, doi:10.1177/0272989X06295361.

    Parameters
    ----------
    confidence, correct : (n,) arrays
    thresholds : array
        Threshold probabilities of an error in (0, 1).
    level, n_resamples, groups, rng
        As in `bootstrap_interval`.

    Returns
    -------
    pandas.DataFrame
        threshold, checked (share of answers), net_benefit, net_benefit_low, net_benefit_high,
        check_all, over_all (net benefit − check_all, paired, with `_low` and
        `_high`): what deferring by confidence adds to checking everything.
    """
    c, y = check_pair(confidence, correct)
    t = np.asarray(thresholds, float)
    gain = 1 - y[:, None] - y[:, None] * t / (1 - t)
    # a stated 90 % has an error probability of 0.1, not of less
    checked = 1 - c[:, None] >= t - 1e-9
    drawn = {"level": level, "n_resamples": n_resamples, "groups": groups, "rng": rng}
    low, mid, high = mean_intervals(
        np.hstack([gain * checked, gain * ~checked]), **drawn
    )
    k = t.size
    table = {"threshold": t, "checked": checked.mean(0)}
    table |= {
        "net_benefit": mid[:k],
        "net_benefit_low": low[:k],
        "net_benefit_high": high[:k],
    }
    table |= {"check_all": mid[:k] + mid[k:]}
    table |= {
        "over_all": -mid[k:],
        "over_all_low": -high[k:],
        "over_all_high": -low[k:],
    }
    return pd.DataFrame(table)


def best_threshold(*, cost_wrong=1.0, cost_check) -> float:
    r"""The threshold that a calibrated confidence makes cheapest, from the costs alone.

    .. math:: \tau^* = 1 - C_c / C_w

    An answer is worth a check where its error probability, times the cost of a wrong answer acted
    on, exceeds the cost of the check. In [0, 1]; 0 (keep everything) where a check costs more than
    it can save. ValueError on costs below 0. Source: Chow, IEEE Transactions on Information Theory
    1970, doi:10.1109/TIT.1970.1054406.
    """
    if not (cost_wrong > 0 and cost_check >= 0):
        raise ValueError(
            f"costs: at least 0, wrong above it; got {cost_wrong!r}, {cost_check!r}"
        )
    return max(0.0, 1 - cost_check / cost_wrong)
