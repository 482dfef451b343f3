"""Which answers must a clinician check? Thresholds with a guarantee, and what checking is worth.

An answer is kept where its confidence is at least the threshold, and deferred (checked by a
clinician) otherwise.
"""

from typing import NamedTuple

import numpy as np

from ._check import (
    check_choice,
    check_groups,
    check_level,
    check_pair,
    check_resamples,
    check_rng,
    warn,
)
from ._sums import Recipe, recipe_for
from .calibration import _measure, by_value
from .intervals import bootstrap_interval, wilson_interval

STARTS = (0.1, 0.2, 0.4, 0.7)  # shares kept at which the tests of thresholds start

STAKES = np.arange(1, 17) / 17  # shares of the largest stake that can never ruin


class Threshold(NamedTuple):
    """A threshold and what it did on the items it was chosen on.

    `threshold` is infinite, and nothing is kept, where no threshold could be certified.
    """

    threshold: float
    coverage: float
    n_kept: int
    n_errors: int
    risk: float
    risk_bound: float


def selective_threshold(
    confidence,
    correct,
    *,
    target,
    delta=0.05,
    groups=None,
    thresholds=None,
) -> Threshold:
    r"""Lowest threshold whose error rate among kept answers is certified to be at most `target`.

    .. math:: P\bigl(\, P(y = 0 \mid c \ge \hat\tau) \le \alpha \,\bigr) \ge 1 - \delta

    over the draw of the items it is chosen on. Learn-then-Test with fixed sequences: from each
    of a few starting thresholds (those that keep 10, 20, 40 and 70 % of the
    items) towards lower ones, the hypothesis "the risk exceeds α" is tested at level δ divided
    by the number of starts, until the first failure; the lowest threshold passed is taken.

    Parameters
    ----------
    confidence, correct : (n,) arrays
        Items to choose on; they must not be the ones the threshold is then judged on.
    target : float
        α, the error rate allowed among the answers kept, in (0, 1).
    delta : float
        Probability δ that the guarantee fails.
    groups : (n,) array, optional
        Items of one group (image) are not independent. Without groups the p values are exact
        binomial tails. With groups they come from a betting martingale over the groups'
        excess errors, valid whatever the dependence within a group; groups are taken in the
        order in which they occur, which should not depend on the outcomes.
    thresholds : array, optional
        Candidates, fixed before the data were seen: the guarantee is then that of the source.
        Default: up to 100 of the confidences that occur, evenly in rank, which looks at the
        confidences but not at the outcomes (checked by simulation in the tests).

    Returns
    -------
    Threshold
        With `risk_bound`, the Clopper–Pearson upper bound at 1 − δ of the risk at that
        threshold (for independent items).

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
    target, delta = check_level(target, "target"), check_level(delta, "delta")
    candidates, kept, errors = _candidates(c, y, thresholds)
    starts = np.unique([int(np.argmax(kept >= share * c.size)) for share in STARTS])
    each = delta / starts.size
    if groups is None:
        from scipy.stats import binom

        p = binom.cdf(errors, kept, target)
    else:
        codes, n_groups = check_groups(groups, c.size)
        p = np.array([_betting_p(c >= t, y, codes, n_groups, target) for t in candidates])
    passed = np.append(p <= each, False)
    ends = [start + int(np.argmin(passed[start:])) for start in starts if passed[start]]
    if not ends:
        return _nothing_kept(c.size)
    last = max(ends) - 1
    return _chosen(last, candidates, kept, errors, c.size, delta)


def risk_control_threshold(
    confidence, correct, *, target, groups=None, thresholds=None
) -> Threshold:
    r"""Lowest threshold with expected rate of kept-and-wrong answers at most `target`.

    .. math:: \mathrm{E}\bigl[\, 1\{c_{n+1} \ge \hat\tau,\ y_{n+1} = 0\} \,\bigr] \le \alpha,
       \qquad \hat\tau = \min\{\tau : \tfrac{n \hat R(\tau) + 1}{n + 1} \le \alpha\}

    Conformal risk control: the loss counts a wrong answer that nobody checks, over all items,
    kept or not. It falls as τ rises, which is what the guarantee needs; the error rate among
    the kept does not, and is the business of `selective_threshold`. The guarantee is on
    average over samples, not with high probability.

    Parameters
    ----------
    confidence, correct, groups, thresholds
        As `selective_threshold`; with groups the loss is that of a group, the share of its
        items kept and wrong, and n their number.
    target : float
        α in (0, 1).

    Returns
    -------
    Threshold
        `risk` is the error rate among the kept; `risk_bound` the bound (n R̂ + 1) / (n + 1) on
        the rate of kept-and-wrong answers.

    Raises
    ------
    ValueError
        As `selective_threshold`.

    References
    ----------
    Angelopoulos et al., Conformal Risk Control, ICLR 2024, arXiv:2208.02814.
    """
    c, y = check_pair(confidence, correct)
    target = check_level(target, "target")
    share = np.full(c.size, 1.0)
    n = c.size
    if groups is not None:
        codes, n = check_groups(groups, c.size)
        share = 1 / np.bincount(codes, minlength=n)[codes]
    values = np.unique(c)[::-1] if thresholds is None else np.sort(thresholds)[::-1]
    order = np.argsort(-c, kind="stable")
    reached = np.searchsorted(-c[order], -values, side="right")
    loss = np.concatenate([[0.0], ((1 - y) * share)[order].cumsum()])[reached]
    bound = (loss + 1) / (n + 1)
    passed = np.flatnonzero(bound <= target)
    if passed.size == 0:
        return _nothing_kept(c.size)
    errors = np.concatenate([[0.0], (1 - y)[order].cumsum()])[reached]
    last = passed[-1]
    found = _chosen(last, values, reached, errors, c.size, 0.05)
    return found._replace(risk_bound=float(bound[last]))


def _candidates(c, y, thresholds, most=100):
    values, cell = by_value(c)
    kept = np.bincount(cell)[::-1].cumsum()
    errors = np.bincount(cell, 1 - y)[::-1].cumsum()
    values = values[::-1]
    if thresholds is not None:
        wanted = np.sort(np.asarray(thresholds, dtype=float))[::-1]
        at = np.searchsorted(-values, -wanted, side="right")
        return wanted, np.append(0, kept)[at], np.append(0, errors)[at]
    if values.size > most:
        rows = np.unique(np.searchsorted(kept, np.linspace(c.size / most, c.size, most)))
        values, kept, errors = values[rows], kept[rows], errors[rows]
    return values, kept, errors


def _betting_p(keep, y, codes, n_groups, target) -> float:
    """p value of "risk among kept > target" from groups in order of occurrence.

    The excess errors of a group, errors − target · kept, have mean above 0 under the
    hypothesis. A gambler who splits a capital of 1 over a few fixed stakes on the contrary then
    ever holds 1 / δ with probability at most δ (Ville's inequality).
    """
    kept = np.bincount(codes, keep, n_groups)
    wrong = np.bincount(codes, keep * (1 - y), n_groups)
    first = np.full(n_groups, codes.size)
    np.minimum.at(first, codes, np.arange(codes.size))
    kept, wrong = (v[np.argsort(first)] for v in (kept, wrong))
    size = np.bincount(codes, minlength=n_groups).max()
    excess = (wrong - target * kept)[kept > 0] / size  # at most 1 − target
    if excess.size == 0:
        return 1.0
    stakes = STAKES / (1 - target)
    log_capital = np.log1p(-stakes[:, None] * excess).cumsum(1)
    peak = log_capital.max(0)
    held = peak + np.log(np.exp(log_capital - peak).mean(0))
    return float(np.exp(-max(0.0, held.max())))


def _nothing_kept(n: int) -> Threshold:
    warn(f"no threshold could be certified on {n} items: everything is deferred")
    return Threshold(np.inf, 0.0, 0, 0, np.nan, np.nan)


def _chosen(at, candidates, kept, errors, n, delta) -> Threshold:
    k, e = int(kept[at]), int(errors[at])
    return Threshold(
        float(candidates[at]), k / n, k, e, e / k if k else np.nan, risk_bound(e, k, delta=delta)
    )


def risk_bound(n_errors, n_kept, *, delta=0.05) -> float:
    r"""Clopper–Pearson upper bound of an error rate, exact for independent items.

    .. math:: \max\{ r : P(\mathrm{Bin}(m, r) \le e) \ge \delta \}

    Parameters
    ----------
    n_errors, n_kept : int
    delta : float
        Probability that the true rate lies above the bound, at most.

    Returns
    -------
    float
        In (0, 1]; 1 where nothing is kept.

    References
    ----------
    Clopper & Pearson, Biometrika 1934, doi:10.1093/biomet/26.4.404.
    """
    from scipy.special import betaincinv

    if n_errors >= n_kept:
        return 1.0
    return float(betaincinv(n_errors + 1, n_kept - n_errors, 1 - check_level(delta, "delta")))


METHODS = ("selective", "risk_control")


def threshold_table(
    fit,
    test,
    *,
    target,
    delta=0.05,
    method="selective",
    by=(),
    groups="image_id",
    level=0.95,
):
    """Thresholds chosen on fit verdicts and what they do on test verdicts.

    Parameters
    ----------
    fit, test : pandas.DataFrame
        With confidence, correct and the `by` columns; rows lacking either value are left out
        of the choice, and on test count as deferred.
    target, delta
        As `selective_threshold` or `risk_control_threshold`.
    method : {"selective", "risk_control"}
    by : sequence of str
        Columns whose combinations each get a threshold of their own (modality). δ holds for
        each of them, not for all together.
    groups : str or None
        Column of the images, used where it is filled in and groups hold more than one item.
    level : float
        Of the Wilson interval of the test risk.

    Returns
    -------
    pandas.DataFrame
        The `by` columns, threshold, n_fit, fit_coverage, fit_risk, risk_bound, n_test,
        test_coverage, test_risk (among kept), test_risk_low, test_risk_high, test_missed
        (kept and wrong over all), holds (whether test_risk, or test_missed for risk control,
        is at most the target; chance alone breaks it sometimes).
    """
    import pandas as pd

    check_choice(method, "method", METHODS)
    by = [by] if isinstance(by, str) else list(by)
    graded = test[test["correct"].notna()]
    parts = list(fit.groupby(by, sort=True, observed=True)) if by else [((), fit)]
    rows = []
    for key, part in parts:
        row = dict(zip(by, key, strict=True))
        chosen_on = part[part["confidence"].notna() & part["correct"].notna()]
        judged = graded
        for column, value in row.items():
            judged = judged[judged[column] == value]
        if len(chosen_on) == 0:
            found = _nothing_kept(0)
        else:
            ids = None
            if groups in chosen_on.columns and chosen_on[groups].notna().all():
                ids = chosen_on[groups] if chosen_on[groups].duplicated().any() else None
            pair = chosen_on["confidence"], chosen_on["correct"]
            if method == "selective":
                found = selective_threshold(*pair, target=target, delta=delta, groups=ids)
            else:
                found = risk_control_threshold(*pair, target=target, groups=ids)
        keep = (judged["confidence"] >= found.threshold).to_numpy(dtype=bool, na_value=False)
        wrong = 1 - judged["correct"].to_numpy(dtype=float)
        kept, errors = int(keep.sum()), int(wrong[keep].sum())
        low, high = wilson_interval(errors, kept, level=level)
        risk = errors / kept if kept else np.nan
        missed = errors / len(judged) if len(judged) else np.nan
        ruled = risk if method == "selective" else missed
        rows.append(
            row
            | {
                "threshold": found.threshold,
                "n_fit": len(chosen_on),
                "fit_coverage": found.coverage,
                "fit_risk": found.risk,
                "risk_bound": found.risk_bound,
                "n_test": len(judged),
                "test_coverage": kept / len(judged) if len(judged) else np.nan,
                "test_risk": risk,
                "test_risk_low": float(low) if kept else np.nan,
                "test_risk_high": float(high) if kept else np.nan,
                "test_missed": missed,
                "holds": bool(kept == 0 or ruled <= target),
            }
        )
    return pd.DataFrame(rows)


def guarantee_table(
    confidence,
    correct,
    *,
    target,
    sizes=(100, 200, 400, 800),
    delta=0.05,
    method="selective",
    groups=None,
    n_repeats=1000,
    rng,
):
    """How often the guarantee holds: thresholds from many fit samples, judged on the rest.

    Parameters
    ----------
    confidence, correct : (n,) arrays
        A large pool of items, taken as the population.
    target, delta, method
        As `threshold_table`.
    sizes : sequence of int
        Fit sizes: items, or groups where given.
    groups : (n,) array, optional
        Samples are drawn by group.
    n_repeats : int
    rng : numpy.random.Generator

    Returns
    -------
    pandas.DataFrame
        n_fit, target, mean_coverage, mean_risk (among kept, over repeats that keep any) with
        mean_risk_low and mean_risk_high (how well these repeats tell that mean: Student's t,
        95 %; NaN with one repeat), mean_missed, violated (share of repeats with risk above the
        target), violated_low, violated_high (Wilson, 95 %), certified (share that keep any) with
        certified_low, certified_high (Wilson, 95 %), violated_if_certified (share of those that
        keep any; NaN where none does). For "selective" violated should be at most δ over all
        repeats, of which those that keep nothing violate nothing: of the certified ones alone
        nothing is promised. For "risk_control", which promises an average, violated and what
        is made from it are NaN and mean_missed should be at most the target.
    """
    import warnings

    import pandas as pd

    c, y = check_pair(confidence, correct)
    check_rng(rng)
    check_choice(method, "method", METHODS)
    check_resamples(n_repeats)
    if groups is None:
        codes, n_units = np.arange(c.size), c.size
    else:
        codes, n_units = check_groups(groups, c.size)
    rows = []
    for size in sizes:
        if not 0 < size < n_units:
            raise ValueError(f"sizes must lie between 1 and {n_units - 1}, got {size!r}")
        risk, missed, coverage = np.full((3, n_repeats), np.nan)
        for i in range(n_repeats):
            chosen = np.zeros(n_units, dtype=bool)
            chosen[rng.choice(n_units, size, replace=False)] = True
            fit = chosen[codes]
            ids = None if groups is None else codes[fit]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if method == "selective":
                    found = selective_threshold(
                        c[fit], y[fit], target=target, delta=delta, groups=ids
                    )
                else:
                    found = risk_control_threshold(c[fit], y[fit], target=target, groups=ids)
            keep = c[~fit] >= found.threshold
            wrong = (1 - y[~fit])[keep].sum()
            coverage[i], missed[i] = keep.mean(), wrong / keep.size
            risk[i] = wrong / keep.sum() if keep.any() else np.nan
        kept = risk[~np.isnan(risk)]
        violated = int((kept > target).sum()) if method == "selective" else np.nan
        low, high = wilson_interval(violated, n_repeats) if method == "selective" else _UNKNOWN
        mean_low, mean_high = _mean_interval(kept)
        certified_low, certified_high = wilson_interval(kept.size, n_repeats)
        rows.append(
            {
                "n_fit": size,
                "target": target,
                "mean_coverage": coverage.mean(),
                "mean_risk": kept.mean() if kept.size else np.nan,
                "mean_risk_low": mean_low,
                "mean_risk_high": mean_high,
                "mean_missed": missed.mean(),
                "violated": violated / n_repeats,
                "violated_low": float(low),
                "violated_high": float(high),
                "certified": kept.size / n_repeats,
                "certified_low": float(certified_low),
                "certified_high": float(certified_high),
                "violated_if_certified": violated / kept.size if kept.size else np.nan,
            }
        )
    return pd.DataFrame(rows)


_UNKNOWN = np.nan, np.nan


def _mean_interval(values, level=0.95) -> tuple[float, float]:
    """Student's interval of a mean of shares, inside [0, 1]."""
    from scipy.special import stdtrit

    if values.size < 2:
        return _UNKNOWN
    reach = stdtrit(values.size - 1, (1 + level) / 2) * values.std(ddof=1) / values.size**0.5
    return max(0.0, float(values.mean() - reach)), min(1.0, float(values.mean() + reach))


def fit_sizes(wanted, n_units) -> tuple[list[int], list[int]]:
    """Split wanted fit sizes of `guarantee_table` into those used and those skipped.

    Parameters
    ----------
    wanted : sequence of int
        Items, or groups where samples are drawn by group.
    n_units : int
        How many of them the smallest pool holds.

    Returns
    -------
    (used, skipped)
        A size is skipped where it takes more than half of the units, so that fewer would be left
        to judge on than the choice was made on. Where all are skipped, half the units are used.
    """
    half = n_units // 2
    used = [size for size in wanted if size <= half]
    return used or [half], [size for size in wanted if size > half]


def guarantee_sentence(table, *, delta, n_repeats, by="strategy", units="images") -> str:
    """How often the limit was exceeded, and how often anything was kept at all, in words.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows of `guarantee_table` with method "selective", and the column `by`.
    delta, n_repeats
        As given to `guarantee_table`.
    by : str
        Column that names a row's subject.
    units : str
        What `n_fit` counts.

    Returns
    -------
    str
        It tells the share of all repeats that exceed the limit, which the guarantee bounds,
        apart from the shares that certify a threshold and that then exceed it.
    """
    names = [f"{name}, {n} {units}" for name, n in zip(table[by], table["n_fit"], strict=True)]
    table = table.set_axis(names)
    most = table["violated"].idxmax()
    share = "none" if table.violated[most] == 0 else f"at most {table.violated[most]:.1%}"
    words = (
        f"Over {n_repeats:,} draws each the limit was exceeded in {share} of all draws"
        f"{'' if share == 'none' else f' ({most})'}, allowed: {delta:.0%}. A draw that certifies "
        "no threshold defers everything and counts there as within the limit. "
    )
    sure = table[table["certified"] > 0]
    if sure.empty:
        return words + "None certified a threshold: the limit was kept by keeping no answer."
    least, best = table["certified"].idxmin(), table["certified"].idxmax()
    worst = sure["violated_if_certified"].idxmax()
    then = (
        "never exceeded"
        if share == "none"
        else f"exceeded most often with {worst}: in {sure.violated[worst] * n_repeats:,.0f} of "
        f"{sure.certified[worst] * n_repeats:,.0f} certified draws, mean risk among kept "
        f"{sure.mean_risk[worst]:.1%}"
    )
    return (
        f"{words}A threshold was certified in {table.certified[least]:.1%} ({least}) to "
        f"{table.certified[best]:.1%} ({best}) of the draws. Where one was, the limit was {then}. "
        "The guarantee is about all draws and promises nothing about the certified ones alone."
    )


def net_benefit(confidence, correct, *, threshold, weights=None) -> float:
    r"""Net benefit of checking the answers whose stated error probability is high.

    .. math:: \frac{\text{wrong and checked}}{n} - \frac{\text{right and checked}}{n}
       \cdot \frac{p_t}{1 - p_t}

    An answer is checked where 1 − c ≥ p_t. The threshold probability p_t says how many needless
    checks one found error is worth: (1 − p_t) / p_t.

    Parameters
    ----------
    threshold : float
        p_t in (0, 1).

    Returns
    -------
    float
        In units of errors found per item, at most the error rate; checking nothing is 0, and
        below 0 checking does harm.

    Raises
    ------
    ValueError
        On input that is not a confidence and an outcome; the message names the position. On a
        threshold outside (0, 1).

    References
    ----------
    Vickers & Elkin, Medical Decision Making 2006, doi:10.1177/0272989X06295361.
    """
    return _measure(_net_benefit, confidence, correct, weights, threshold=threshold)


@recipe_for(net_benefit)
def _net_benefit(c, y, *, threshold) -> Recipe:
    odds = check_level(threshold, "threshold")
    odds = odds / (1 - odds)
    checked = (1 - c >= threshold).astype(float)
    gain = checked * (1 - y - y * odds)
    return Recipe(None, 1, (gain,), lambda sums: sums[:, 0, 1] / sums[:, 0, 0], additive=True)


def net_benefit_table(
    confidence,
    correct,
    *,
    thresholds=None,
    level=0.95,
    n_resamples=1000,
    groups=None,
    rng,
):
    """Decision curve: net benefit of checking by confidence, of checking all and nothing.

    Parameters
    ----------
    confidence, correct : (n,) arrays
    thresholds : array, optional
        Threshold probabilities of an error in (0, 1); default 0.01, 0.02 … 0.6.
    level, n_resamples, groups, rng
        As in `bootstrap_interval`.

    Returns
    -------
    pandas.DataFrame
        threshold, checked (share of answers), net_benefit, net_benefit_low, net_benefit_high,
        check_all, check_none (always 0).

    References
    ----------
    Vickers & Elkin, Medical Decision Making 2006, doi:10.1177/0272989X06295361.
    """
    from functools import partial

    import pandas as pd

    c, y = check_pair(confidence, correct)
    if thresholds is None:
        thresholds = np.arange(1, 61) / 100
    rows = []
    for t in thresholds:
        found = bootstrap_interval(
            partial(net_benefit, threshold=t),
            c,
            y,
            level=level,
            n_resamples=n_resamples,
            groups=groups,
            rng=rng,
        )
        rows.append(
            {
                "threshold": t,
                "checked": float((1 - c >= t).mean()),
                "net_benefit": found.estimate,
                "net_benefit_low": found.low,
                "net_benefit_high": found.high,
                "check_all": float(1 - y.mean() - y.mean() * t / (1 - t)),
                "check_none": 0.0,
            }
        )
    return pd.DataFrame(rows)


def expected_cost(
    confidence,
    correct,
    *,
    threshold,
    cost_wrong=1.0,
    cost_check=0.1,
    miss_rate=0.0,
    weights=None,
) -> float:
    r"""Mean cost per answer when those below a threshold are checked by a clinician.

    .. math:: \frac1n \sum_{c_i \ge \tau} (1 - y_i)\, C_w + \frac1n \sum_{c_i < \tau}
       \bigl[ C_c + (1 - y_i)\, m\, C_w \bigr]

    Parameters
    ----------
    threshold : float
        τ: confidence from which an answer is kept; 0 keeps all, infinity checks all.
    cost_wrong : float
        C_w, of a wrong answer acted on.
    cost_check : float
        C_c, of one check.
    miss_rate : float
        m: share of wrong answers that the check lets pass, in [0, 1].

    Returns
    -------
    float
        In the unit of the costs, per answer.

    Raises
    ------
    ValueError
        On input that is not a confidence and an outcome; the message names the position. On
        negative costs or a miss rate outside [0, 1].
    """
    return _measure(
        _expected_cost,
        confidence,
        correct,
        weights,
        threshold=threshold,
        cost_wrong=cost_wrong,
        cost_check=cost_check,
        miss_rate=miss_rate,
    )


@recipe_for(expected_cost)
def _expected_cost(c, y, *, threshold, cost_wrong=1.0, cost_check=0.1, miss_rate=0.0) -> Recipe:
    _check_costs(cost_wrong, cost_check, miss_rate)
    acted_on = (1 - y) * cost_wrong
    cost = np.where(c >= threshold, acted_on, cost_check + miss_rate * acted_on)
    return Recipe(None, 1, (cost,), lambda sums: sums[:, 0, 1] / sums[:, 0, 0], additive=True)


def _check_costs(cost_wrong, cost_check, miss_rate) -> None:
    if not (cost_wrong > 0 and cost_check >= 0):
        raise ValueError(
            f"costs must not be negative (cost_wrong above 0), got {cost_wrong!r}, {cost_check!r}"
        )
    if not 0 <= miss_rate <= 1:
        raise ValueError(f"miss_rate must lie in [0, 1], got {miss_rate!r}")


def best_threshold(*, cost_wrong=1.0, cost_check=0.1, miss_rate=0.0) -> float:
    r"""The threshold that a calibrated confidence makes cheapest, from the costs alone.

    .. math:: \tau^* = 1 - \frac{C_c}{C_w (1 - m)}

    An answer is worth a check where its error probability, times what the check saves,
    exceeds the cost of the check.

    Returns
    -------
    float
        In [0, 1]; 0 (keep everything) where a check costs more than it can save.

    References
    ----------
    Chow, IEEE Transactions on Information Theory 1970, doi:10.1109/TIT.1970.1054406.
    """
    _check_costs(cost_wrong, cost_check, miss_rate)
    saved = cost_wrong * (1 - miss_rate)
    return max(0.0, 1 - cost_check / saved) if saved > 0 else 0.0


def cost_table(
    confidence,
    correct,
    *,
    cost_ratios=None,
    miss_rate=0.0,
    level=0.95,
    n_resamples=1000,
    groups=None,
    rng,
):
    """Cost curve: what deferring by stated confidence costs, for checks cheap to dear.

    Parameters
    ----------
    confidence, correct : (n,) arrays
    cost_ratios : array, optional
        Cost of a check over cost of a wrong answer, above 0; default 0.01, 0.02 … 0.6.
    miss_rate : float
        Share of wrong answers a check lets pass.
    level, n_resamples, groups, rng
        As in `bootstrap_interval`.

    Returns
    -------
    pandas.DataFrame
        cost_ratio, threshold (`best_threshold`: right if the confidence is calibrated),
        checked (share), cost, cost_low, cost_high (of using that threshold, in costs of one
        wrong answer), keep_all, check_all (costs of the two plain policies), hindsight (the
        least cost any threshold reaches on these items) and regret (cost − hindsight): the
        part that recalibration can recover.

    References
    ----------
    Drummond & Holte, Cost curves, Machine Learning 2006, doi:10.1007/s10994-006-8199-5.
    """
    from functools import partial

    import pandas as pd

    c, y = check_pair(confidence, correct)
    if cost_ratios is None:
        cost_ratios = np.arange(1, 61) / 100
    _, cell = by_value(c)
    count = np.bincount(cell)
    wrong = np.bincount(cell, 1 - y)
    # checked are the k lowest confidences, k = 0 … all
    checked = np.append(0, count.cumsum()) / c.size
    caught = np.append(0, wrong.cumsum()) / c.size
    error = float(1 - y.mean())
    rows = []
    for ratio in cost_ratios:
        costs = {"cost_wrong": 1.0, "cost_check": ratio, "miss_rate": miss_rate}
        threshold = best_threshold(**costs)
        found = bootstrap_interval(
            partial(expected_cost, threshold=threshold, **costs),
            c,
            y,
            level=level,
            n_resamples=n_resamples,
            groups=groups,
            rng=rng,
        )
        hindsight = float((error - caught * (1 - miss_rate) + ratio * checked).min())
        rows.append(
            {
                "cost_ratio": ratio,
                "threshold": threshold,
                "checked": float((c < threshold).mean()),
                "cost": found.estimate,
                "cost_low": found.low,
                "cost_high": found.high,
                "keep_all": error,
                "check_all": ratio + miss_rate * error,
                "hindsight": hindsight,
                "regret": found.estimate - hindsight,
            }
        )
    return pd.DataFrame(rows)
