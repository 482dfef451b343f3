"""Families of maps, each fitted for many rows of weights at once; a single fit is one row.

A bootstrap that repeats the fit in each resample needs thousands of fits of a few numbers.
Resampling rows is reweighting them, so all fits of a family run together.
"""

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logsumexp

T_MIN = 0.02
T_MAX = 50.0
_TAUS = np.array([0.05, 0.1, 0.2, 0.4, 0.8, 1.6])
_AT_ONCE = (
    400_000  # numbers that a step of the fits works on, so that they stay in the cache
)


def logit(confidence: np.ndarray, clip: float) -> np.ndarray:
    """Log-odds of confidences moved into [clip, 1 - clip]."""
    c = np.clip(confidence, clip, 1 - clip)
    return np.log(c) - np.log1p(-c)


# --- logistic regressions -----------------------------------------------------------------------


def fit_logistic(features, sums, weights, *, offset=0.0, precision=0.0, start=0.0):
    r"""One penalised logistic regression for every row of weights, by Newton's method.

    Maximises :math:`\sum_i w_{bi} [t_i \eta_i - \log(1 + e^{\eta_i})] - \frac\lambda2 |\theta|^2`
    with :math:`\eta = X \theta + \mathrm{offset}`.

    Parameters
    ----------
    features : (n, d) or (B, n, d) array
    sums : (B, d) array
        :math:`\sum_i w_{bi} t_i x_i`, the only way in which the targets enter.
    weights : (B, n) array
    offset : scalar or (B, n) array

    Returns
    -------
    theta : (B, d) array
    information : (B, d, d) array
    """
    x = features.reshape(-1, *features.shape[-2:])
    offset = np.atleast_2d(offset)
    theta = np.zeros_like(sums) + start
    size = max(1, _AT_ONCE // weights.shape[1])
    made = [
        _newton(*(_part(v, at) for v in (x, sums, weights, offset, theta)), precision)
        for at in (slice(first, first + size) for first in range(0, len(sums), size))
    ]
    return tuple(np.concatenate(parts) for parts in zip(*made, strict=True))


def _part(values, at):
    """Some rows of values, or the one row that stands for all."""
    return values if len(values) == 1 else values[at]


def _newton(x, sums, weights, offset, theta, precision):
    n, d = x.shape[1:]
    products = (x[..., :, None] * x[..., None, :]).reshape(len(x), n, d * d)
    ridge = (precision + 1e-9) * np.eye(d)
    information = np.empty((len(theta), d, d))
    step = np.zeros_like(theta)
    rise = np.full(len(theta), np.inf)
    live = np.arange(len(theta))
    for _ in range(100):
        own = _part(x, live)
        p = expit(times(own, theta[live]) + _part(offset, live))
        pull = weights[live] * p
        gradient = sums[live] - _summed(pull, own) - precision * theta[live]
        information[live] = _summed(pull * (1 - p), _part(products, live)).reshape(
            -1, d, d
        )
        move = np.linalg.solve(information[live] + ridge, gradient[..., None])[..., 0]
        size = np.abs(move).max(axis=1)
        move *= np.minimum(1.0, 4.0 / np.maximum(size, 1e-300))[:, None]
        # far past the maximum on the line of the last step: go back half of it
        over = (gradient * step[live]).sum(axis=1) < -0.5 * rise[live]
        rise[live] = np.where(over, rise[live] / 2, (gradient * move).sum(axis=1))
        half = step[live] / 2
        theta[live] += np.where(over[:, None], -half, move)
        step[live] = np.where(over[:, None], half, move)
        live = live[over | (size >= 1e-6)]
        if not len(live):
            break
    return theta, information


def times(features, theta) -> np.ndarray:
    """(B, n): features, the same or its own for each row of theta, times that row."""
    return (features @ theta[..., None])[..., 0]


def _summed(weights, features) -> np.ndarray:
    """(B, d): features, the same or its own for each row of weights, summed under that row."""
    return (weights[:, None, :] @ features)[:, 0]


def fit_smoothed(features, correct, weights, *, offset=0.0) -> np.ndarray:
    """Logistic fits with Platt's targets, (r + 1) / (r + 2) and 1 / (n - r + 2): (B, d)."""
    right = weights @ correct
    high = (right + 1) / (right + 2)
    low = 1 / (weights.sum(axis=1) - right + 2)
    sums = high[:, None] * (weights @ (features * correct[:, None]))
    sums += low[:, None] * (weights @ (features * (1 - correct)[:, None]))
    return fit_logistic(features, sums, weights, offset=offset)[0]


def adapt(x, correct, weights) -> np.ndarray:
    r"""Slopes and intercepts (B, 2) that move maps with the log-odds x, (n,) or (B, n).

    :math:`\eta = x + \delta_1 x + \delta_2` with :math:`\delta_j \sim N(0, \tau^2)`; how far a map
    may move, :math:`\tau`, is not chosen by hand: six values from 0.05 to 1.6 are averaged, each
    weighted by the (Laplace) probability that it gives the labels.
    """
    features = np.stack([x, np.ones_like(x)], axis=-1)
    sums = _summed(weights * correct, features)
    thetas = []
    evidence = []
    theta = np.zeros(2)
    for tau in _TAUS:
        theta, info = fit_logistic(
            features, sums, weights, offset=x, precision=tau**-2, start=theta
        )
        eta = x + times(features, theta)
        like = (weights * (correct * eta - np.logaddexp(0, eta))).sum(axis=1)
        spread = np.linalg.slogdet(np.eye(2) + info * tau**2)[1]
        thetas.append(theta)
        evidence.append(like - ((theta / tau) ** 2).sum(axis=1) / 2 - spread / 2)
    weight = np.exp(evidence - logsumexp(evidence, axis=0))
    return np.einsum("tb,tbd->bd", weight, np.array(thetas)) + np.array([1, 0])


# --- temperatures -------------------------------------------------------------------------------


def _fit_options(z, gold, weights) -> np.ndarray:
    """Temperatures (B, 1) of log-probabilities z (n, k), NaN where an option is absent.

    Rows whose right answer is no option (-1) have no say. T = 1 where the leading option is right
    in all rows, or in none: the likelihood then asks for a bound.
    """
    keep = gold >= 0
    gap = np.nan_to_num(z - np.nanmax(z, axis=1, keepdims=True), nan=-1e9)[keep]
    at_gold = gap[np.arange(len(gap)), gold[keep]]
    return _temperatures(gap, at_gold, at_gold >= 0, weights[:, keep])


def _temperatures(gap, at_gold, right, weights) -> np.ndarray:
    size = max(1, 5 * _AT_ONCE // max(1, gap.size))
    parts = np.split(weights, range(size, len(weights), size))
    return (
        1
        / np.concatenate([_slopes(gap, at_gold, right, part) for part in parts])[
            :, None
        ]
    )


def _slopes(gap, at_gold, right, weights) -> np.ndarray:
    """1 / T for each row of weights: Newton's method on a concave likelihood, in a bracket."""
    target = weights @ at_gold
    right = weights @ right
    told = (right > 0) & (right < weights.sum(axis=1))
    rest = np.sort(gap, axis=1)[
        :, :-1
    ]  # the leading option, at 0, counts 1 at every slope

    def derivatives(a, at):
        p = np.exp(a[:, None, None] * rest)
        total = 1 + p.sum(axis=2)
        average = np.einsum("bnk,nk->bn", p, rest) / total
        spread = np.einsum("bnk,nk->bn", p, rest**2) / total - average**2
        w = weights[at]
        return target[at] - (w * average).sum(axis=1), (w * spread).sum(axis=1)

    a, low, high = (
        np.full(len(weights), value) for value in (1.0, 1 / T_MAX, 1 / T_MIN)
    )
    first, last = (derivatives(end, slice(None))[0] for end in (low, high))
    a[told & (first <= 0)] = 1 / T_MAX
    a[told & (last >= 0)] = 1 / T_MIN
    live = np.flatnonzero(told & (first > 0) & (last < 0))
    while len(live):
        now = a[live]
        rise, bend = derivatives(now, live)
        low[live] = np.where(rise > 0, now, low[live])
        high[live] = np.where(rise > 0, high[live], now)
        to = now + rise / np.maximum(bend, 1e-300)
        inside = (low[live] <= to) & (to <= high[live])
        a[live] = np.where(inside, to, np.sqrt(low[live] * high[live]))
        live = live[
            np.abs(a[live] - now) > 1e-7 * now
        ]  # the next step would be its square
    return a


def _fit_log_odds(x, correct, weights) -> np.ndarray:
    """Temperatures (B, 1) of log-odds x (n, 1): those of two options, right and wrong.

    T = 1 where all answers are right, or all are wrong.
    """
    gap = np.hstack([np.minimum(x, 0), np.minimum(-x, 0)])
    return _temperatures(gap, np.where(correct == 1, *gap.T), correct == 1, weights)


def softmax(z: np.ndarray) -> np.ndarray:
    """Probabilities (n, k) of log-scores, NaN where absent."""
    z = np.exp(z - np.nanmax(z, axis=1, keepdims=True))
    return z / np.nansum(z, axis=1, keepdims=True)


def _leading(theta, z):
    """Probability (B, n) of the leading option at each temperature."""
    gap = np.nan_to_num(z - np.nanmax(z, axis=1, keepdims=True), nan=-np.inf)
    t = np.asarray(theta, float)
    return 1 / sum(np.exp(gap[:, j] / t) for j in range(gap.shape[1]))


# --- families -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Family:
    """A family of maps.

    Attributes
    ----------
    features : callable
        (confidences (n,) or option probabilities (n, k), clip) -> one row of numbers each.
    fit : callable
        (features, correct or index of the right option, weights (B, n)) -> B parameter sets.
    apply : callable
        (B parameter sets, features) -> confidences (B, n).
    names : tuple of str
        Of the parameters.
    unchanged : tuple
        The parameters that change nothing.
    """

    features: Callable
    fit: Callable
    apply: Callable
    names: tuple[str, ...]
    unchanged: tuple


def _linear(theta, features):
    return expit(np.asarray(theta, float) @ features.T)


def _platt_features(c, clip):
    x = logit(c, clip)
    return np.column_stack([x, np.ones_like(x)])


def _beta_features(c, clip):
    c = np.clip(c, clip, 1 - clip)
    return np.column_stack([np.log(c), -np.log1p(-c), np.ones_like(c)])


def _fit_beta(features, correct, weights):
    """a, b >= 0: a negative one is set to zero and the rest fitted again, as its authors do."""
    theta = fit_smoothed(features, correct, weights)
    for columns, kept in (([0], [1, 2]), ([1], [0, 2]), ([0, 1], [2])):
        if (negative := (theta[:, columns] < 0).any(axis=1)).any():
            theta[negative] = 0
            part = fit_smoothed(features[:, kept], correct, weights[negative])
            theta[np.ix_(negative, kept)] = part
    return theta


def _fit_isotonic(confidence, correct, weights):
    from scipy.optimize import isotonic_regression

    x, at = np.unique(confidence, return_inverse=True)
    out = []
    for w in weights:
        n = np.bincount(at, w, len(x))
        y = np.bincount(at, w * correct, len(x))
        has = n > 0
        total = n.sum()
        fit = isotonic_regression(y[has] / n[has], weights=n[has]).x
        keep = np.r_[True, (np.diff(fit[:-1]) != 0) | (np.diff(fit[1:]) != 0), True][
            : len(fit)
        ]
        out.append(
            (x[has][keep], fit[keep], 1 / (total + 2), (total + 1) / (total + 2))
        )
    return out


def _interpolate(theta, confidence):
    return np.stack(
        [np.clip(np.interp(confidence, x, y), a, b) for x, y, a, b in theta]
    )


_TABLE = np.round(np.linspace(0, 1, 2001), 4)


def _from_netcal(name: str, **settings) -> Family:
    """A map of netcal's, read off at every 0.0005 so that it needs netcal only to be fitted."""

    def fit(confidence, correct, weights):
        import netcal.binning

        out = []
        for w in np.round(weights).astype(int):
            made = getattr(netcal.binning, name)(**settings)
            with contextlib.redirect_stdout(
                io.StringIO()
            ):  # it reports its progress there
                made.fit(np.repeat(confidence, w), np.repeat(correct, w).astype(int))
            out.append((np.clip(made.transform(_TABLE), 0, 1),))
        return out

    def read(theta, confidence):
        at = np.round(np.asarray(confidence) * (len(_TABLE) - 1)).astype(int)
        return np.stack([np.asarray(y)[at] for (y,) in theta])

    return Family(lambda c, clip: c, fit, read, ("y",), (_TABLE,))


FAMILIES: dict[str, Family] = {
    "temperature": Family(
        lambda p, clip: np.log(np.maximum(p, clip / p.shape[1])),
        _fit_options, _leading, ("temperature",), (1.0,),
    ),
    "log_odds": Family(
        lambda c, clip: logit(c, clip)[:, None],
        _fit_log_odds, lambda theta, x: expit(x[:, 0] / np.asarray(theta, float)),
        ("temperature",), (1.0,),
    ),
    "platt": Family(_platt_features, fit_smoothed, _linear, ("slope", "intercept"), (1.0, 0.0)),
    "beta": Family(
        _beta_features, _fit_beta, _linear, ("a", "b", "intercept"), (1.0, 1.0, 0.0)
    ),
    "isotonic": Family(
        lambda c, clip: c, _fit_isotonic, _interpolate, ("x", "y", "low", "high"),
        ([0.0, 1.0], [0.0, 1.0], 0.0, 1.0),
    ),
    "histogram": _from_netcal("HistogramBinning", bins=10),
    "bbq": _from_netcal("BBQ"),
    "enir": _from_netcal("ENIR"),
}  # fmt: skip
