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
_NODES = np.linspace(np.log(T_MIN), np.log(T_MAX), 129)
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


def _fit_options(z, gold, weights):
    """Rows whose right answer is no option (-1) have no say."""
    keep = gold >= 0
    z, gold = z[keep], gold[keep]
    leads = z[np.arange(len(z)), gold] >= np.nanmax(z, axis=1)
    return _fit_temperatures(z, gold, weights[:, keep], leads)


def _fit_log_odds(x, correct, weights):
    """Right or wrong are two options whose log-odds are the confidence's."""
    return _fit_temperatures(np.hstack([0 * x, x]), correct.astype(int), weights, correct)


def _fit_temperatures(z, gold, weights, leads) -> np.ndarray:
    """Temperatures (B, 1) of log-probabilities z (n, k), NaN where an option is absent.

    T = 1 where all answers are right, or all are wrong: the likelihood then asks for a bound.
    """
    if len(weights) == 1:
        t = np.array([_one_temperature(z, gold, weights[0])])
    else:
        t = _solve(weights @ _scores(z, gold))
    right, total = weights @ leads.astype(float), weights.sum(axis=1)
    return np.where((right <= 0) | (right >= total), 1.0, t)[:, None]


def _one_temperature(z, gold, weights) -> float:
    """The root of the slope of the log-likelihood, which is concave in 1 / T."""
    from scipy.optimize import brentq

    gap = np.nan_to_num((z - np.nanmax(z, axis=1, keepdims=True)).T, nan=-1e9)
    at_gold = weights @ gap[gold, np.arange(len(gold))]

    def slope(log_t):
        p = np.exp(gap * np.exp(-log_t))
        return at_gold - weights @ ((p * gap).sum(axis=0) / p.sum(axis=0))

    low, high = _NODES[0], _NODES[-1]
    if slope(0.0) == 0:
        return 1.0
    if slope(high) <= 0:
        return T_MAX
    return T_MIN if slope(low) >= 0 else float(np.exp(brentq(slope, low, high, xtol=1e-13)))


def _scores(z, gold) -> np.ndarray:
    """Per-row slope and curvature of the log-likelihood in log T at every node, (n, 2 nodes).

    They are linear in the rows: weights times them serve any resample.
    """
    present = ~np.isnan(z)
    gap = np.where(present, z - np.nanmax(z, axis=1, keepdims=True), 0.0)
    at_gold, out = gap[np.arange(len(z)), gold], np.empty((len(z), 2 * len(_NODES)))
    for j, a in enumerate(np.exp(-_NODES)):
        p = np.exp(a * gap) * present
        p /= p.sum(axis=1, keepdims=True)
        average = (p * gap).sum(axis=1)
        variance = (p * gap**2).sum(axis=1) - average**2
        out[:, j] = -a * (at_gold - average)
        out[:, j + len(_NODES)] = a * (at_gold - average) - a**2 * variance
    return out


def _solve(scores: np.ndarray) -> np.ndarray:
    """Temperatures (B,) at which summed scores (B, 2 nodes) vanish; a bound where they do not.

    Between two nodes the slope is the cubic through both values and both curvatures, whose root
    lies within 1e-6 of the likelihood's in log T.
    """
    m, h = len(_NODES), _NODES[1] - _NODES[0]
    g, dg = scores[:, :m], scores[:, m:] * h
    first = np.argmax(g <= 0, axis=1)
    beyond, before = (g > 0).all(axis=1), (first == 0) & (g[:, 0] <= 0)
    right = np.where(beyond | before, 1, first)
    b = np.arange(len(g))
    g0, g1, d0, d1 = g[b, right - 1], g[b, right], dg[b, right - 1], dg[b, right]
    c2, c3 = 3 * (g1 - g0) - 2 * d0 - d1, 2 * (g0 - g1) + d0 + d1
    low, high = np.zeros(len(g)), np.ones(len(g))
    for _ in range(45):
        u = (low + high) / 2
        positive = g0 + u * (d0 + u * (c2 + u * c3)) > 0
        low, high = np.where(positive, u, low), np.where(positive, high, u)
    t = np.where(beyond, _NODES[-1], np.where(before, _NODES[0], _NODES[right - 1] + low * h))
    return np.exp(np.where((np.abs(g) < 1e-300).all(axis=1), 0.0, t))


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
