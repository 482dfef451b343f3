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

T_MIN, T_MAX = 0.02, 50.0
_TAUS = np.array([0.05, 0.1, 0.2, 0.4, 0.8, 1.6])


def logit(confidence: np.ndarray, clip: float) -> np.ndarray:
    """Log-odds of confidences moved into [clip, 1 - clip]."""
    c = np.clip(confidence, clip, 1 - clip)
    return np.log(c) - np.log1p(-c)


# --- logistic regressions -----------------------------------------------------------------------


def fit_logistic(features, sums, weights, *, offset=0.0, precision=0.0, start=None):
    r"""One penalised logistic regression for every row of weights.

    Maximises :math:`\sum_i w_{bi} [t_i \eta_i - \log(1 + e^{\eta_i})] - \frac\lambda2 |\theta|^2`
    with :math:`\eta = X \theta + \mathrm{offset}`.

    Parameters
    ----------
    features : (n, d) or (B, n, d) array
    sums : (B, d) array
        :math:`\sum_i w_{bi} t_i x_i`, the only way in which the targets enter.
    weights : (B, n) array
    offset : scalar, (n,) or (B, n) array

    Returns
    -------
    theta : (B, d) array
    information : (B, d, d) array
    """
    rows, d = len(weights), features.shape[-1]
    theta = np.zeros((rows, d)) if start is None else np.array(np.broadcast_to(start, (rows, d)))
    information, offset = np.empty((rows, d, d)), np.asarray(offset, float)
    if start is None and rows > 20 and features.ndim == 2 and offset.ndim < 2:
        first = (s.mean(axis=0, keepdims=True) for s in (sums, weights))
        theta[:] = fit_logistic(features, *first, offset=offset, precision=precision)[0]
    if features.ndim == 2 and offset.ndim < 2:
        used, weights = _pack(weights)
        if used is not None:
            features = features[used]
            offset = offset[used] if offset.ndim else offset
    step = max(1, 400_000 // max(1, weights.shape[1]))
    for first in range(0, rows, step):
        at = slice(first, first + step)
        theta[at], information[at] = _newton(
            features[at] if features.ndim == 3 else features,
            sums[at],
            weights[at],
            offset[at] if offset.ndim == 2 else offset,
            precision,
            theta[at],
        )
    return theta, information


def _pack(weights):
    """Columns that each row of weights uses, (B, m), and their weights; None where most are."""
    m = int((weights != 0).sum(axis=1).max()) if len(weights) else 0
    if weights.size < 10_000 or m > weights.shape[1] / 3:
        return None, weights
    used = np.argsort(weights == 0, axis=1, kind="stable")[:, :m]
    return used, np.take_along_axis(weights, used, 1)


def _newton(X, sums, weights, offset, precision, theta):
    d, own = X.shape[-1], X.ndim == 3
    i, j = np.triu_indices(d)
    products = X[..., i] * X[..., j]
    ridge = (precision + 1e-9) * np.eye(d)
    theta, information = theta.copy(), np.empty((len(theta), d, d))
    step, rise = np.zeros_like(theta), np.full(len(theta), np.inf)
    live = np.arange(len(theta))
    for _ in range(100):
        now, x = theta[live], X[live] if own else X
        eta = np.einsum("bd,bnd->bn", now, x) if own else now @ x.T
        p = expit(eta + (offset[live] if offset.ndim == 2 else offset))
        wp = weights[live] * p
        pull = np.einsum("bn,bnd->bd", wp, x) if own else wp @ x
        gradient = sums[live] - pull - precision * now
        # far past the maximum on the line of the last step: go back half of it
        over = (gradient * step[live]).sum(axis=1) < -0.5 * rise[live]
        back, good = live[over], live[~over]
        theta[back] -= step[back] / 2
        step[back] /= 2
        rise[back] /= 2
        q = wp[~over] * (1 - p[~over])
        h = np.einsum("bn,bnk->bk", q, products[good]) if own else q @ products
        information[good[:, None], i, j] = information[good[:, None], j, i] = h
        move = np.linalg.solve(information[good] + ridge, gradient[~over][..., None])[..., 0]
        size = np.abs(move).max(axis=1, keepdims=True)
        move *= np.minimum(1.0, 4.0 / np.maximum(size, 1e-300))
        step[good], rise[good] = move, (gradient[~over] * move).sum(axis=1)
        theta[good] += move
        live = np.concatenate([back, good[size[:, 0] >= 1e-6]])
        if not len(live):
            break
    return theta, information


def fit_smoothed(features, correct, weights, *, offset=0.0) -> np.ndarray:
    """Logistic fits with Platt's targets, (r + 1) / (r + 2) and 1 / (n - r + 2): (B, d)."""
    right = weights @ correct
    high, low = (right + 1) / (right + 2), 1 / (weights.sum(axis=1) - right + 2)
    sums = high[:, None] * (weights @ (features * correct[:, None]))
    sums += low[:, None] * (weights @ (features * (1 - correct)[:, None]))
    return fit_logistic(features, sums, weights, offset=offset)[0]


def adapt(features, correct, weights, offset) -> np.ndarray:
    r"""Coefficients (B, d) that move a map: :math:`\eta = \mathrm{offset} + X\delta`.

    :math:`\delta_j \sim N(0, \tau^2)`; how far it may move, :math:`\tau`, is not chosen by
    hand: six values from 0.05 to 1.6 are averaged, each weighted by the (Laplace) probability
    that it gives the labels.
    """
    if features.ndim == 3:
        sums = np.einsum("bn,bnd->bd", weights * correct, features)
    else:
        sums = weights @ (features * correct[:, None])
    thetas, evidence, theta = [], [], np.zeros(features.shape[-1])
    for tau in _TAUS:
        theta, info = fit_logistic(
            features, sums, weights, offset=offset, precision=tau**-2, start=theta
        )
        moved = (
            np.einsum("bd,bnd->bn", theta, features) if features.ndim == 3 else theta @ features.T
        )
        eta = offset + moved
        like = (weights * (correct * eta - np.logaddexp(0, eta))).sum(axis=1)
        spread = np.linalg.slogdet(np.eye(theta.shape[1]) + info * tau**2)[1]
        thetas.append(theta)
        evidence.append(like - ((theta / tau) ** 2).sum(axis=1) / 2 - spread / 2)
    weight = np.exp(evidence - logsumexp(evidence, axis=0))
    return np.einsum("tb,tbd->bd", weight, np.array(thetas))


# --- temperatures -------------------------------------------------------------------------------


def _fit_options(z, gold, weights) -> np.ndarray:
    """Temperatures (B, 1) of log-probabilities z (n, k), NaN where an option is absent.

    Newton's method in a = 1 / T, in which the log-likelihood is concave, kept in a bracket. Rows
    whose right answer is no option (-1) have no say. T = 1 where all answers are right, or all
    are wrong: the likelihood then asks for a bound.
    """
    keep = gold >= 0
    gap, w = (
        np.nan_to_num(z - np.nanmax(z, axis=1, keepdims=True), nan=-1e9)[keep],
        weights[:, keep],
    )
    at_gold = gap[np.arange(len(gap)), gold[keep]]
    right, total, target = w @ (at_gold >= 0), w.sum(axis=1), w @ at_gold
    a, low, high = (np.full(len(w), value) for value in (1.0, 1 / T_MAX, 1 / T_MIN))
    live = np.flatnonzero((right > 0) & (right < total))
    step = max(1, 2_000_000 // max(1, gap.size))
    for _ in range(100):
        chunks = np.split(live, range(step, len(live), step)) if len(live) else []
        live = np.concatenate([_move(a, low, high, at, gap, w, target) for at in chunks] or [live])
        if not len(live):
            break
    return 1 / a[:, None]


def _move(a, low, high, at, gap, weights, target):
    """One step of the temperatures ``at``; those that are not there yet."""
    p = np.exp(a[at, None, None] * gap)
    p /= p.sum(axis=2, keepdims=True)
    average = np.einsum("bnk,nk->bn", p, gap)
    spread = np.einsum("bnk,nk->bn", p, gap**2) - average**2
    slope = target[at] - (weights[at] * average).sum(axis=1)
    curvature = (weights[at] * spread).sum(axis=1)
    low[at], high[at] = np.where(slope > 0, a[at], low[at]), np.where(slope > 0, high[at], a[at])
    to = a[at] + slope / np.maximum(curvature, 1e-300)
    to = np.where((low[at] < to) & (to < high[at]), to, np.sqrt(low[at] * high[at]))
    to = np.where(slope == 0, a[at], to)
    away, a[at] = np.abs(to - a[at]) > 1e-11 * a[at], to
    return at[away]


def _fit_log_odds(x, correct, weights) -> np.ndarray:
    """A logistic regression without intercept, whose slope is 1 / T; T = 1 as above."""
    sums, right = weights @ (x * correct[:, None]), weights @ correct
    slope = fit_logistic(x, sums, weights, start=np.ones(1))[0][:, 0]
    t = 1 / np.clip(slope, 1 / T_MAX, 1 / T_MIN)
    return np.where((right <= 0) | (right >= weights.sum(axis=1)), 1.0, t)[:, None]


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
    for column, other in ((0, 1), (1, 0)):
        if (negative := theta[:, column] < 0).any():
            part = fit_smoothed(features[:, [other, 2]], correct, weights[negative])
            theta[negative] = 0
            theta[negative, other], theta[negative, 2] = part.T
    if (both := (theta[:, :2] < 0).any(axis=1)).any():
        theta[both] = 0
        theta[both, 2] = fit_smoothed(features[:, [2]], correct, weights[both])[:, 0]
    return theta


def _fit_isotonic(confidence, correct, weights):
    from scipy.optimize import isotonic_regression

    x, at = np.unique(confidence, return_inverse=True)
    out = []
    for w in weights:
        n = np.bincount(at, w, len(x))
        y = np.bincount(at, w * correct, len(x))
        has, total = n > 0, n.sum()
        fit = isotonic_regression(y[has] / n[has], weights=n[has]).x
        keep = np.r_[True, (np.diff(fit[:-1]) != 0) | (np.diff(fit[1:]) != 0), True][: len(fit)]
        out.append((x[has][keep], fit[keep], 1 / (total + 2), (total + 1) / (total + 2)))
    return out


def _interpolate(theta, confidence):
    return np.stack([np.clip(np.interp(confidence, x, y), a, b) for x, y, a, b in theta])


_TABLE = np.round(np.linspace(0, 1, 2001), 4)


def _from_netcal(name: str, **settings) -> Family:
    """A map of netcal's, read off at every 0.0005 so that it needs netcal only to be fitted."""

    def fit(confidence, correct, weights):
        import netcal.binning

        out = []
        for w in np.round(weights).astype(int):
            made = getattr(netcal.binning, name)(**settings)
            with contextlib.redirect_stdout(io.StringIO()):  # it reports its progress there
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
