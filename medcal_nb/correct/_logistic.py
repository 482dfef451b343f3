"""Weighted logistic fits, many at a time.

A bootstrap that repeats the fit inside each resample needs thousands of fits of two or three
numbers. Resampling rows is reweighting them, so each resample is a row of weights and all fits
run together: scalar temperatures from one matrix product, the others by Newton's method.
"""

import numpy as np
from scipy.special import expit

T_MIN, T_MAX = 0.02, 50.0
_NODES = np.linspace(np.log(T_MIN), np.log(T_MAX), 129)


def logit(confidence: np.ndarray, clip: float) -> np.ndarray:
    """Log-odds of confidences moved into [clip, 1 - clip]."""
    c = np.clip(confidence, clip, 1 - clip)
    return np.log(c) - np.log1p(-c)


def temperature_scores(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Per-row slope and curvature of the log-likelihood in log T, at every node.

    ``x`` are log-odds of shape (n,) with ``y`` in {0, 1}, or option log-probabilities of shape
    (n, k), NaN where an option is absent, with ``y`` the index of the right option.
    The result, (n, 2 * nodes), is linear in the rows: weights times it serve any resample.
    """
    a = np.exp(-_NODES)
    if x.ndim == 1:
        eta = x[:, None] * a
        p = expit(eta)
        gap = y[:, None] - p
        return np.hstack([-eta * gap, eta * gap - eta**2 * p * (1 - p)])
    present = ~np.isnan(x)
    z = np.where(present, x, 0.0)
    out = np.empty((len(x), 2 * len(a)))
    at_gold = z[np.arange(len(z)), y]
    top = np.where(present, x, -np.inf).max(axis=1, keepdims=True)
    for j, slope in enumerate(a):
        p = np.where(present, np.exp(slope * (z - top)), 0.0)
        p /= p.sum(axis=1, keepdims=True)
        mean = (p * z).sum(axis=1)
        variance = (p * (z - mean[:, None]) ** 2).sum(axis=1)
        out[:, j] = -slope * (at_gold - mean)
        out[:, j + len(a)] = slope * (at_gold - mean) - slope**2 * variance
    return out


def solve_temperature(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Temperatures at which summed scores, shape (..., 2 * nodes), vanish; and whether at a bound.

    The log-likelihood has one maximum in log T, so its slope changes sign once, from positive to
    negative. Between two nodes the slope is the cubic through both values and both curvatures,
    whose root lies within 1e-6 of the likelihood's in log T. Where the slope keeps its sign, the
    answer is the bound that it points to; where it is zero everywhere, T = 1.
    """
    m = len(_NODES)
    g, dg = scores[..., :m], scores[..., m:]
    first = np.argmax(g <= 0, axis=-1)  # the first node beyond the maximum
    beyond = (g > 0).all(axis=-1)
    flat = (np.abs(g) < 1e-300).all(axis=-1)
    before = (first == 0) & ~beyond
    right = np.where(beyond | before, 1, first)[..., None]
    h = _NODES[1] - _NODES[0]
    g0, g1 = (np.take_along_axis(g, right - k, -1)[..., 0] for k in (1, 0))
    d0, d1 = (np.take_along_axis(dg, right - k, -1)[..., 0] * h for k in (1, 0))
    c2, c3 = 3 * (g1 - g0) - 2 * d0 - d1, 2 * (g0 - g1) + d0 + d1
    low, high = np.zeros_like(g0), np.ones_like(g0)
    for _ in range(45):
        u = (low + high) / 2
        positive = g0 + u * (d0 + u * (c2 + u * c3)) > 0
        low, high = np.where(positive, u, low), np.where(positive, high, u)
    t = _NODES[right[..., 0] - 1] + (low + high) / 2 * h
    t = np.where(beyond, _NODES[-1], np.where(before, _NODES[0], t))
    return np.exp(np.where(flat, 0.0, t)), (beyond | before) & ~flat


def fit_logistic(
    features: np.ndarray,
    target_sum: np.ndarray,
    weights: np.ndarray,
    *,
    offset: np.ndarray | float = 0.0,
    prior_mean: np.ndarray | None = None,
    prior_precision: np.ndarray | None = None,
    start: np.ndarray | None = None,
    max_iter: int = 60,
    tol: float = 1e-6,
) -> tuple[np.ndarray, np.ndarray]:
    r"""One penalised logistic regression for every row of weights.

    Maximises :math:`\sum_i w_{bi} [t_i \eta_i - \log(1 + e^{\eta_i})]
    - \frac12 \sum_j \lambda_j (\theta_j - \mu_j)^2`, with
    :math:`\eta = X \theta + \mathrm{offset}`.

    Parameters
    ----------
    features : (n, d) or (B, n, d) array
    target_sum : (B, d) array
        :math:`\sum_i w_{bi} t_i x_i`, the only way in which the targets enter.
    weights : (B, n) array
    offset : scalar, (n,) or (B, n) array
    prior_mean, prior_precision : (d,) arrays, optional
    start : (d,) or (B, d) array, optional
    tol : float
        Of Newton's last step; what is left after it is of the order of its square.

    Returns
    -------
    theta : (B, d) array
    information : (B, d, d) array
        Of the likelihood alone, at the solution.
    """
    rows, d = weights.shape[0], features.shape[-1]
    precision = np.zeros(d) if prior_precision is None else np.asarray(prior_precision, float)
    mean = np.zeros(d) if prior_mean is None else np.asarray(prior_mean, float)
    theta = np.array(np.broadcast_to(mean if start is None else start, (rows, d)), dtype=float)
    information = np.empty((rows, d, d))
    offset = np.asarray(offset, dtype=float)
    if start is None and rows > 20 and features.ndim == 2:  # resamples differ little: begin at one
        theta[:], _ = fit_logistic(
            features,
            target_sum.mean(axis=0, keepdims=True),
            weights.mean(axis=0, keepdims=True),
            offset=offset if offset.ndim < 2 else offset.mean(axis=0),
            prior_mean=mean,
            prior_precision=precision,
        )
    if features.ndim == 2:
        used, packed = pack(weights)
        if used is not None:
            features, weights = features[used], packed
            if offset.ndim:
                offset = np.take_along_axis(
                    np.broadcast_to(offset, (rows, offset.shape[-1])), used, 1
                )
    chunk = max(1, int(4e5) // max(1, weights.shape[1]))
    for first in range(0, rows, chunk):
        part = slice(first, first + chunk)
        theta[part], information[part] = _newton(
            features if features.ndim == 2 else features[part],
            target_sum[part],
            weights[part],
            offset[part] if offset.ndim == 2 else offset,
            mean,
            precision,
            theta[part],
            max_iter,
            tol,
        )
    return theta, information


def pack(weights: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
    """Columns used by each row of weights, (B, m), and their weights; None where most are."""
    if len(weights) * weights.shape[1] < 10_000:
        return None, weights
    m = int((weights != 0).sum(axis=1).max())
    if m > weights.shape[1] / 3:
        return None, weights
    used = np.argsort(weights == 0, axis=1, kind="stable")[:, :m]
    return used, np.take_along_axis(weights, used, 1)


def _newton(X, target_sum, weights, offset, mean, precision, theta, max_iter, tol):
    d = X.shape[-1]
    own = X.ndim == 3
    i, j = np.triu_indices(d)
    products = X[..., i] * X[..., j]
    ridge = np.diag(precision) + 1e-9 * np.eye(d)
    theta, information = theta.copy(), np.empty((len(theta), d, d))
    live = np.arange(len(theta))
    step = np.zeros_like(theta)
    rise = np.full(len(theta), np.inf)  # slope along the last step, where it began
    for _ in range(max_iter):
        now = theta[live]
        x = X[live] if own else X
        eta = np.einsum("bd,bnd->bn", now, x) if own else now @ x.T
        p = expit(eta + (offset[live] if offset.ndim == 2 else offset))
        wp = weights[live] * p
        pull = np.einsum("bn,bnd->bd", wp, x) if own else wp @ x
        gradient = target_sum[live] - pull - precision * (now - mean)
        along = (gradient * step[live]).sum(axis=1)
        over = along < -0.5 * rise[live]  # stepped far past the maximum on that line: go back half
        theta[live[over]] -= step[live[over]] / 2
        step[live[over]] /= 2
        rise[live[over]] /= 2
        good = ~over
        q = wp[good] * (1 - p[good])
        h = np.einsum("bn,bnk->bk", q, products[live[good]]) if own else q @ products
        info = np.empty((good.sum(), d, d))
        info[:, i, j] = h
        info[:, j, i] = h
        rows = live[good]
        information[rows] = info
        move = np.linalg.solve(info + ridge, gradient[good][..., None])[..., 0]
        size = np.abs(move).max(axis=1, keepdims=True)
        move *= np.minimum(1.0, 4.0 / np.maximum(size, 1e-300))
        step[rows] = move
        rise[rows] = (gradient[good] * move).sum(axis=1)
        theta[rows] += move
        done = np.zeros(len(live), bool)
        done[good] = size[:, 0] < tol
        live = live[~done]
        if not len(live):
            break
    return theta, information
