"""Recalibrators: maps from a stated confidence to a better one, learned from labelled answers.

Every ``fit_*`` takes ``(confidence, correct)`` first and gives back a frozen
:class:`Recalibrator`: call it on confidences, read its ``params``, save it as JSON. It remembers
which items taught it and refuses to be scored on them.
"""

import hashlib
import json
import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import betaln, expit, logsumexp

from medcal_nb.measure._check import check_confidence, check_pair, check_weights

from ._logistic import (
    T_MAX,
    T_MIN,
    fit_logistic,
    logit,
    pack,
    solve_temperature,
    temperature_scores,
)

CLIP = 1e-3
"""Confidences are moved into [CLIP, 1 - CLIP] before their log-odds are taken.

It matters: where many answers state 100 %, a fit is mostly about how far from 1 that is taken to
be. `choose_clip` reads a value off the data.
"""

MIN_FIT = 5
"""Fewer labelled answers than this fit nothing: the map is the identity."""

_FORMAT = "medcal-recalibrator/1"


class RecalibrationWarning(UserWarning):
    """The data could not support the map that was asked for; the message says what was done."""


@dataclass(frozen=True)
class Recalibrator:
    """A fitted map from confidence to confidence.

    Attributes
    ----------
    name : str
        The family: ``temperature``, ``platt``, ``beta``, ``isotonic`` …
    params : dict
        The fitted numbers, JSON-ready.
    n_fit : int
        Labelled answers that the fit used.
    clip : float
        Confidences are moved into [clip, 1 - clip] before log-odds are taken.
    n_clipped : int
        Fit answers that the clip moved.
    note : str
        Why the map is less than what was asked for; empty where it is not.
    fitted_on : frozenset of str
        Hashes of the item keys used in the fit; empty where no items were named.
    """

    name: str
    params: Mapping[str, Any]
    n_fit: int
    clip: float = CLIP
    n_clipped: int = 0
    note: str = ""
    fitted_on: frozenset[str] = field(default_factory=frozenset, repr=False)

    def __call__(self, confidence, *, groups=None) -> np.ndarray:
        """Corrected confidence of each answer.

        Parameters
        ----------
        confidence : array of shape (n,), in [0, 1]
            Or option probabilities of shape (n, k), NaN where absent, for maps of options.
        groups : array of shape (n,), optional
            Needed by ``group_temperature``: the group of each answer. A group that the fit never
            saw gets the pooled temperature.

        Raises
        ------
        ValueError
            If a confidence is missing or outside [0, 1], or the shape is not the map's.
        """
        apply, on_options = _MAPS[self.name]
        values = check_options(confidence) if on_options else check_confidence(confidence)
        if self.name == "group_temperature":
            return _apply_group_temperature(self.params, values, self.clip, groups)
        return apply(self.params, values, self.clip)

    def apply(self, confidence, *, items=None, groups=None) -> np.ndarray:
        """Corrected confidences of answers to ``items``, none of which the map was fitted on.

        Raises
        ------
        ValueError
            If any of the items was used in the fit: scoring a map on its own items flatters it.
            Use :func:`cross_fit` there.
        """
        if items is not None:
            keys = hash_items(items)
            if len(keys) != len(np.asarray(confidence)):
                raise ValueError(
                    f"items: {len(keys)} keys for {len(np.asarray(confidence))} confidences"
                )
            seen = [k in self.fitted_on for k in keys]
            if any(seen):
                first = seen.index(True)
                raise ValueError(
                    f"items: {sum(seen)} of {len(seen)} were used to fit this {self.name} map, the "
                    f"first at position {first} ({list(items)[first]!r}); score it on other items "
                    "or use cross_fit"
                )
        return self(confidence, groups=groups)

    def to_json(self, path: str | Path | None = None) -> str:
        """The map as JSON text, also written to ``path`` where given."""
        text = json.dumps(
            {
                "format": _FORMAT,
                "name": self.name,
                "params": self.params,
                "n_fit": self.n_fit,
                "clip": self.clip,
                "n_clipped": self.n_clipped,
                "note": self.note,
                "fitted_on": sorted(self.fitted_on),
            },
            indent=1,
            sort_keys=True,
        )
        if path is not None:
            Path(path).write_text(text + "\n", encoding="utf-8")
        return text

    @classmethod
    def from_json(cls, source: str | Path) -> "Recalibrator":
        """Read a map from JSON text or from a file.

        Raises
        ------
        ValueError
            If the text is not a map that this version can apply.
        """
        text = source if isinstance(source, str) and source.lstrip().startswith("{") else None
        if text is None:
            text = Path(source).read_text(encoding="utf-8")
        try:
            d = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"not a recalibration map: {error}") from None
        if d.get("format") != _FORMAT:
            raise ValueError(f"not a recalibration map: format {d.get('format')!r}, not {_FORMAT}")
        if d["name"] not in _MAPS:
            raise ValueError(f"unknown map {d['name']!r}; known: {', '.join(sorted(_MAPS))}")
        return cls(
            name=d["name"],
            params=d["params"],
            n_fit=int(d["n_fit"]),
            clip=float(d["clip"]),
            n_clipped=int(d["n_clipped"]),
            note=d["note"],
            fitted_on=frozenset(d["fitted_on"]),
        )


def choose_clip(confidence, *, most: float = 0.005, least: float = 1e-6) -> float:
    """How far a stated 0 or 100 % is moved inwards: half the step to the next stated value.

    Whole percents give 0.005. Without any 0 or 1, ``least``, which moves next to nothing.

    Parameters
    ----------
    confidence : array of shape (n,)
    most, least : float
        Bounds of the answer.
    """
    c = check_confidence(confidence)
    end = np.minimum(c, 1 - c)
    if end.min() > 0:
        return least
    inner = end[end > 0]
    return float(np.clip(inner.min() / 2 if len(inner) else most, least, most))


# --- checks -----------------------------------------------------------------------------------


def check_options(options, name: str = "options") -> np.ndarray:
    """Option probabilities (n, k), NaN where absent, each row rescaled to sum to 1."""
    p = np.asarray(options, dtype=float)
    if p.ndim != 2 or p.shape[1] < 2:
        raise ValueError(f"{name}: expected shape (n, k) with k >= 2, got {p.shape}")
    bad = ((p < 0) | (p > 1 + 1e-6)).any(axis=1) | ~(np.nansum(p, axis=1) > 0)
    if bad.any():
        first = int(np.argmax(bad))
        raise ValueError(
            f"{name}: {bad.sum()} of {len(p)} rows are no probabilities, "
            f"the first at position {first} ({p[first].tolist()})"
        )
    return p / np.nansum(p, axis=1, keepdims=True)


def hash_items(items: Sequence[Hashable]) -> list[str]:
    """A short hash of each item key, so that a saved map names no item."""
    return [hashlib.sha256(repr(k).encode()).hexdigest()[:16] for k in _plain(items)]


def _plain(items) -> list:
    return items.tolist() if hasattr(items, "tolist") else list(items)


def _made(name, params, c, clip, items, note="") -> Recalibrator:
    if note:
        warnings.warn(f"{name}: {note}", RecalibrationWarning, stacklevel=3)
    if items is not None and len(items) != len(c):
        raise ValueError(f"items: {len(items)} keys for {len(c)} confidences")
    return Recalibrator(
        name=name,
        params=params,
        n_fit=len(c),
        clip=clip,
        n_clipped=int(((c < clip) | (c > 1 - clip)).sum()),
        note=note,
        fitted_on=frozenset() if items is None else frozenset(hash_items(items)),
    )


def _check_clip(clip: float) -> None:
    if not 0 < clip < 0.5:
        raise ValueError(f"clip: expected a value in (0, 0.5), got {clip}")


def _one_class(y: np.ndarray) -> str:
    if len(y) and y.min() == y.max():
        return f"all {len(y)} answers are {'right' if y[0] else 'wrong'}"
    return ""


def _too_few(y: np.ndarray) -> str:
    return f"{len(y)} labelled answers, fewer than {MIN_FIT}" if len(y) < MIN_FIT else ""


# --- maps -------------------------------------------------------------------------------------


def identity(*, clip: float = CLIP) -> Recalibrator:
    """The map that changes nothing."""
    return Recalibrator(name="identity", params={}, n_fit=0, clip=clip)


def fit_temperature(
    confidence, correct, *, items=None, weights=None, clip: float = CLIP
) -> Recalibrator:
    r"""Temperature on a single confidence.

    :math:`f(c) = \sigma(\operatorname{logit}(c) / T)`, with T by maximum likelihood in
    [0.02, 50]. It keeps the order of confidences and never crosses one half: overconfidence
    where accuracy is below one half is beyond it, however many labels it sees.

    Parameters
    ----------
    confidence, correct : arrays of shape (n,)
        In [0, 1]; in {0, 1}.
    items : sequence of n keys, optional
        Remembered, hashed, so that the map refuses to be scored on them.
    weights : array of shape (n,), optional
        Non-negative; counting a row twice equals repeating it.
    clip : float
        Confidences are moved into [clip, 1 - clip] first: a stated 100 % has no finite log-odds.

    Returns
    -------
    Recalibrator
        With ``params = {"temperature": T, "at_bound": bool}``.

    Raises
    ------
    ValueError
        If values are missing or out of range, or lengths differ.

    References
    ----------
    Guo et al., ICML 2017, arXiv 1706.04599.
    """
    _check_clip(clip)
    c, y = check_pair(confidence, correct)
    w = _weights(weights, len(c))
    t, bound, note = 1.0, False, ""
    x = logit(c, clip)
    if why := _too_few(y) or _one_class(y):
        note = f"{why}; temperature left at 1"
    elif not np.any(x):
        note = "every confidence is one half, which no temperature moves; temperature left at 1"
    else:
        t, bound = (v.item() for v in solve_temperature(w @ temperature_scores(x, y)))
        if bound:
            note = f"the likelihood has no maximum inside T = {T_MIN} … {T_MAX}; T = {t:.3g}"
        else:
            t = _polish_temperature(x, y, w, t)
    return _made("temperature", {"temperature": t, "at_bound": bound}, c, clip, items, note)


def _polish_temperature(x, y, w, t):
    a = 1 / t
    for _ in range(20):
        p = expit(a * x)
        step = (w * x * (y - p)).sum() / (w * x**2 * p * (1 - p)).sum()
        a += step
        if abs(step) < 1e-12 * a:
            break
    return float(1 / a)


def _weights(weights, n) -> np.ndarray:
    return np.ones(n) if weights is None else check_weights(weights, n)


def fit_option_temperature(options, gold, *, items=None, clip: float = CLIP) -> Recalibrator:
    r"""Temperature on the probabilities of all options.

    :math:`f(p)_j \propto p_j^{1/T}`: the softmax of logits divided by T, T by maximum likelihood
    of the right option. The order of options, and so the answer, stays.

    Parameters
    ----------
    options : array of shape (n, k)
        Probabilities of the options (a softmax of logits), NaN where an item has fewer than k.
    gold : array of shape (n,)
        Index of the right option. Rows with -1 (the right answer is no option) are left out.
    items, clip
        As in :func:`fit_temperature`; probabilities below ``clip`` / k are raised to it.

    References
    ----------
    Guo et al., ICML 2017, arXiv 1706.04599.
    """
    _check_clip(clip)
    p, g, keys = _check_gold(options, gold, items)
    z = _log_options(p, clip)
    right = np.nanargmax(z, axis=1) == g
    note, t, bound = "", 1.0, False
    if (why := _too_few(g)) or (why := _one_class(right.astype(float))):
        note = f"{why}; temperature left at 1"
    else:
        t, bound = _option_temperature(z, g)
        if bound:
            note = f"the likelihood has no maximum inside T = {T_MIN} … {T_MAX}; T = {t:.3g}"
    top = np.nanmax(p, axis=1)
    params = {"temperature": t, "at_bound": bound, "n_options": p.shape[1]}
    return _made("option_temperature", params, top, clip, keys, note)


def _option_temperature(z: np.ndarray, gold: np.ndarray) -> tuple[float, bool]:
    """T of the largest likelihood of log-probabilities (n, k), and whether it is a bound.

    The log-likelihood is concave in a = 1 / T: Newton's method, kept between the last two a that
    it rose towards from either side.
    """
    below = np.ascontiguousarray((z - np.nanmax(z, axis=1, keepdims=True)).T)
    absent = np.isnan(below)
    absent = absent if absent.any() else None
    if absent is not None:
        below[absent] = 0
    target = below[gold, np.arange(len(gold))].sum()
    weight, work = np.empty_like(below), np.empty_like(below)

    def slope_and_curvature(a):
        np.multiply(below, a, out=weight)
        np.exp(weight, out=weight)
        if absent is not None:
            weight[absent] = 0
        total = weight.sum(axis=0)
        np.multiply(weight, below, out=work)
        mean = work.sum(axis=0) / total
        np.multiply(work, below, out=work)
        return target - mean.sum(), (work.sum(axis=0) / total - mean**2).sum()

    bounds = {1 / T_MAX: T_MAX, 1 / T_MIN: T_MIN}
    low, high, a = *bounds, 1.0
    for _ in range(100):
        slope, curvature = slope_and_curvature(a)
        if slope == 0:
            break
        low, high = (a, high) if slope > 0 else (low, a)
        to = a + slope / curvature if curvature > 0 else np.copysign(np.inf, slope)
        if not low < to < high:
            end = high if slope > 0 else low
            if end in bounds and slope_and_curvature(end)[0] * slope >= 0:
                return bounds[end], True
            to = np.sqrt(low * high)
        if abs(to - a) <= 1e-11 * a:
            break
        a = to
    return float(1 / a), False


def fit_vector(options, gold, *, items=None, clip: float = CLIP, penalty: float = 1.0):
    r"""Vector scaling of option probabilities: one slope and one intercept per option.

    :math:`f(p)_j \propto \exp(a_j \log p_j + b_j)`. It can change which option leads: where it
    does, the answer and its correctness must be read again (see :func:`top_option`). Options
    are positions (A, B, C …), so it mends a model's liking for a letter.

    Parameters
    ----------
    options, gold, items, clip
        As in :func:`fit_option_temperature`.
    penalty : float
        Of the squared distance from a_j = 1, b_j = 0, in units of one answer's log-likelihood.

    References
    ----------
    Guo et al., ICML 2017, arXiv 1706.04599.
    """
    from scipy.optimize import minimize

    _check_clip(clip)
    p, g, keys = _check_gold(options, gold, items)
    n, k = p.shape
    top = np.nanmax(p, axis=1)
    slope, shift = np.ones(k), np.zeros(k)
    note = f"{why}; left as it was" if (why := _too_few(g)) else ""
    if not note:
        z = _log_options(p, clip)
        absent = np.isnan(z)
        filled = np.where(absent, 0.0, z)
        rows = np.arange(n)

        def loss(theta):
            a, b = theta[:k], theta[k:]
            s = np.where(absent, -np.inf, filled * a + b)
            log_sum = logsumexp(s, axis=1)
            q = np.exp(s - log_sum[:, None])
            q[rows, g] -= 1
            value = (log_sum - s[rows, g]).sum() + penalty / 2 * (((a - 1) ** 2).sum() + b @ b)
            return value, np.concatenate(
                [(q * filled).sum(axis=0) + penalty * (a - 1), q.sum(axis=0) + penalty * b]
            )

        found = minimize(loss, np.r_[slope, shift], jac=True, method="L-BFGS-B").x
        slope, shift = found[:k], found[k:]
    params = {"slope": slope.tolist(), "shift": shift.tolist(), "penalty": penalty}
    return _made("vector", params, top, clip, keys, note)


def _log_options(p: np.ndarray, clip: float) -> np.ndarray:
    return np.log(np.maximum(p, clip / p.shape[1]))


def _check_gold(options, gold, items):
    p = check_options(options)
    g = np.asarray(gold)
    if g.shape != (len(p),):
        raise ValueError(f"gold: shape {g.shape} for {len(p)} rows of options")
    keep = g >= 0
    g = g.astype(int)
    absent = keep & np.isnan(p[np.arange(len(p)), np.clip(g, 0, p.shape[1] - 1)])
    bad = absent | (g >= p.shape[1])
    if bad.any():
        first = int(np.argmax(bad))
        raise ValueError(
            f"gold: {bad.sum()} of {len(g)} name an option that the row lacks, "
            f"the first at position {first} (option {g[first]})"
        )
    if items is not None:
        if len(items) != len(p):
            raise ValueError(f"items: {len(items)} keys for {len(p)} rows of options")
        items = [k for k, kept in zip(_plain(items), keep, strict=True) if kept]
    return p[keep], g[keep], items


def option_arrays(option_probabilities, gold, *, labels: Sequence[str] | None = None):
    """Option probabilities as an array, from the mappings that answers carry.

    Parameters
    ----------
    option_probabilities : sequence of n mappings
        Option → probability.
    gold : sequence of n options
        The right one.
    labels : sequence of str, optional
        Column order. By default the options themselves, sorted, where every row has the same
        ones; else each row's options in their own order, by position.

    Returns
    -------
    options : (n, k) array, NaN where absent
    gold : (n,) array of indices, -1 where the right answer is no option
    names : list of n lists of str, the option in each column
    """
    rows = [dict(m) for m in option_probabilities]
    if labels is None and len({frozenset(r) for r in rows}) == 1:
        labels = sorted(rows[0])
    names = [[k for k in labels if k in r] if labels else list(r) for r in rows]
    width = len(labels) if labels else max(map(len, names))
    out = np.full((len(rows), width), np.nan)
    index = np.full(len(rows), -1)
    columns = {k: j for j, k in enumerate(labels)} if labels else None
    for i, (row, own, right) in enumerate(zip(rows, names, gold, strict=True)):
        for j, k in enumerate(own):
            at = columns[k] if columns else j
            out[i, at] = row[k]
            if k == right:
                index[i] = at
    if columns:
        names = [list(labels)] * len(rows)
    return out, index, names


def top_option(options) -> tuple[np.ndarray, np.ndarray]:
    """Index and probability of the leading option of each row."""
    p = np.asarray(options, dtype=float)
    best = np.nanargmax(p, axis=1)
    return best, p[np.arange(len(p)), best]


def platt_targets(y_sum: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Platt's targets for right and wrong answers, (r + 1) / (r + 2) and 1 / (n - r + 2)."""
    return (y_sum + 1) / (y_sum + 2), 1 / (n - y_sum + 2)


def fit_platt(confidence, correct, *, items=None, weights=None, clip: float = CLIP):
    r"""Platt scaling: slope and intercept on the log-odds.

    :math:`f(c) = \sigma(a \operatorname{logit}(c) + b)` by maximum likelihood with Platt's
    targets, which keep a and b finite when the answers are separable or all alike.

    Returns
    -------
    Recalibrator
        With ``params = {"slope": a, "intercept": b}``. If every confidence is the same, the slope
        stays 1 and the intercept alone is fitted; if all answers are right, or all wrong, the
        map is the share that the targets give. Both are told by a warning.

    References
    ----------
    Platt, Advances in Large Margin Classifiers, 1999; Lin et al., Machine Learning 68, 2007,
    doi 10.1007/s10994-007-5018-6.
    """
    _check_clip(clip)
    c, y = check_pair(confidence, correct)
    w = _weights(weights, len(c))
    x = logit(c, clip)
    note, (a, b) = "", (1.0, 0.0)
    if why := _too_few(y):
        note = f"{why}; left as it was"
    elif np.ptp(x) == 0:
        note = f"every confidence is {c[0]:.4g}; the intercept alone was fitted"
        features, offset = np.ones((len(x), 1)), x
        b = float(_fit_smoothed(features, y, w, offset=offset)[0])
    else:
        a, b = _fit_smoothed(np.column_stack([x, np.ones_like(x)]), y, w).tolist()
        if why := _one_class(y):
            note = f"{why}; every confidence becomes {expit(b):.3g}"
    return _made("platt", {"slope": a, "intercept": b}, c, clip, items, note)


def _fit_smoothed(features, y, w, offset=0.0):
    return fit_smoothed_batch(features, y, w[None], offset=offset)[0]


def fit_smoothed_batch(features, y, weights, *, offset=0.0, start=None) -> np.ndarray:
    """Logistic fits with Platt's targets, one per row of ``weights``: (B, d) coefficients."""
    right = weights @ y
    high, low = platt_targets(right, weights.sum(axis=1))
    sums = high[:, None] * (weights @ (features * y[:, None])) + low[:, None] * (
        weights @ (features * (1 - y)[:, None])
    )
    return fit_logistic(features, sums, weights, offset=offset, start=start)[0]


def fit_intercept(confidence, correct, *, items=None, start: Recalibrator | None = None, clip=CLIP):
    r"""Only an intercept on the log-odds: mends a shift of the prior, nothing else.

    :math:`f(c) = \sigma(\operatorname{logit}(g(c)) + b)`, where g is ``start`` (the identity
    by default) and b is found by maximum likelihood with Platt's targets.
    """
    _check_clip(clip)
    c, y = check_pair(confidence, correct)
    base = start or identity(clip=clip)
    note, b = "", 0.0
    if why := _too_few(y):
        note = f"{why}; left as it was"
    else:
        x = logit(base(c), clip)
        b = float(_fit_smoothed(np.ones((len(c), 1)), y, np.ones(len(c)), offset=x)[0])
        if why := _one_class(y):
            note = f"{why}; the intercept follows the targets only"
    params = {"intercept": b, "slope": 1.0, "start": json.loads(base.to_json())}
    return _made("around", params, c, clip, items, note)


_TAUS = np.array([0.05, 0.1, 0.2, 0.4, 0.8, 1.6])


def fit_shrunken(confidence, correct, *, start: Recalibrator, items=None, clip: float = CLIP):
    r"""A map that begins at ``start`` and moves from it as far as the labels bear out.

    :math:`f(c) = \sigma(a \operatorname{logit}(g(c)) + b)` with g the map fitted elsewhere and
    the priors :math:`a \sim N(1, \tau^2)`, :math:`b \sim N(0, \tau^2)`. How far it may move,
    :math:`\tau`, is not chosen by hand: a and b are averaged over six values from 0.05 to 1.6,
    each weighted by the (Laplace) probability that it gives the labels.

    Parameters
    ----------
    confidence, correct, items, clip
        As in :func:`fit_temperature`.
    start : Recalibrator
        The map to begin at, for example one fitted on general images.

    Returns
    -------
    Recalibrator
        With ``params = {"slope": a, "intercept": b, "tau": mean tau, "start": {...}}``.
    """
    _check_clip(clip)
    c, y = check_pair(confidence, correct)
    x = logit(start(c), clip)
    (a, b), tau = (v[0].tolist() for v in fit_shrunken_batch(x, y, np.ones((1, len(c)))))
    params = {"slope": a, "intercept": b, "tau": tau, "start": json.loads(start.to_json())}
    return _made("around", params, c, clip, items)


def fit_shrunken_batch(x, y, weights) -> tuple[np.ndarray, np.ndarray]:
    """:func:`fit_shrunken` on log-odds of the starting map, once per row of ``weights``.

    ``x`` is of shape (n,), or (B, n) where each row of weights has a starting map of its own.
    """
    features = np.stack([x, np.ones_like(x)], axis=-1)
    if features.ndim == 3:
        sums, used = np.einsum("bn,bnd->bd", weights * y, features), None
    else:
        sums = weights @ (features * y[:, None])
        used, weights = pack(weights)
        features = features if used is None else features[used]
    mean = np.array([1.0, 0.0])
    thetas, evidence = [], []
    theta = mean
    for tau in _TAUS:
        precision = np.full(2, tau**-2)
        theta, info = fit_logistic(
            features, sums, weights, prior_mean=mean, prior_precision=precision, start=theta
        )
        shared = features.ndim == 2
        eta = theta @ features.T if shared else np.einsum("bd,bnd->bn", theta, features)
        fit = (theta * sums).sum(axis=1) - (weights * np.logaddexp(0, eta)).sum(axis=1)
        penalty = ((theta - mean) ** 2 * precision).sum(axis=1) / 2
        spread = np.linalg.slogdet(np.eye(2) + info * tau**2)[1] / 2
        thetas.append(theta)
        evidence.append(fit - penalty - spread)
    e = np.array(evidence)
    w = np.exp(e - logsumexp(e, axis=0))
    return np.einsum("tb,tbd->bd", w, np.array(thetas)), _TAUS @ w


def beta_features(confidence: np.ndarray, clip: float) -> np.ndarray:
    """The columns log c, -log(1 - c), 1 of beta calibration."""
    c = np.clip(confidence, clip, 1 - clip)
    return np.column_stack([np.log(c), -np.log1p(-c), np.ones_like(c)])


def fit_beta_batch(features, y, weights) -> np.ndarray:
    """Beta calibration, once per row of ``weights``: (B, 3) coefficients a, b >= 0 and c.

    A negative a or b is set to zero and the rest fitted again, as its authors do.
    """
    theta = fit_smoothed_batch(features, y, weights)
    for column, other in ((0, 1), (1, 0)):
        negative = theta[:, column] < 0
        if negative.any():
            part = fit_smoothed_batch(features[:, [other, 2]], y, weights[negative])
            theta[negative] = 0
            theta[negative, other], theta[negative, 2] = part[:, 0], part[:, 1]
    both = (theta[:, :2] < 0).any(axis=1)
    if both.any():
        theta[both] = 0
        theta[both, 2] = fit_smoothed_batch(features[:, [2]], y, weights[both])[:, 0]
    return theta


def fit_beta(confidence, correct, *, items=None, weights=None, clip: float = CLIP):
    r"""Beta calibration: different stretches towards 0 and towards 1.

    :math:`f(c) = \sigma(a \log c - b \log(1 - c) + m)` with a, b >= 0, by maximum likelihood
    with Platt's targets. Contains the identity, temperature (a = b, m = 0) and Platt (a = b).

    References
    ----------
    Kull, Silva Filho and Flach, AISTATS 2017, PMLR 54:623-631.
    """
    _check_clip(clip)
    c, y = check_pair(confidence, correct)
    w = _weights(weights, len(c))
    note, theta = "", [1.0, 1.0, 0.0]
    if why := _too_few(y):
        note = f"{why}; left as it was"
    elif len(np.unique(np.clip(c, clip, 1 - clip))) < 3:
        inner = fit_platt_quietly(c, y, w, clip)
        theta = [inner["slope"], inner["slope"], inner["intercept"]]
        note = "fewer than three different confidences; a = b (Platt) was fitted"
    else:
        theta = fit_beta_batch(beta_features(c, clip), y, w[None])[0].tolist()
        if why := _one_class(y):
            note = f"{why}; the map follows the targets only"
    params = dict(zip(("a", "b", "intercept"), theta, strict=True))
    return _made("beta", params, c, clip, items, note)


def fit_platt_quietly(c, y, w, clip) -> Mapping[str, float]:
    """Platt's parameters without the warning, for maps that fall back on them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecalibrationWarning)
        return fit_platt(c, y, weights=w, clip=clip).params


def fit_isotonic(confidence, correct, *, items=None, weights=None, clip: float = CLIP):
    r"""Isotonic regression: the best non-decreasing map, by scikit-learn.

    Between its steps it is linear. Values of 0 and 1 would claim certainty from a finite sample
    (and give an infinite log loss), so they are moved to 1 / (n + 2) and (n + 1) / (n + 2).

    References
    ----------
    Zadrozny and Elkan, KDD 2002, doi 10.1145/775047.775151.
    """
    from sklearn.isotonic import IsotonicRegression

    _check_clip(clip)
    c, y = check_pair(confidence, correct)
    w = _weights(weights, len(c))
    n = w.sum()
    if why := _too_few(y):
        return _made("isotonic", {"x": [0.0, 1.0], "y": [0.0, 1.0], "low": 0.0, "high": 1.0},
                     c, clip, items, f"{why}; left as it was")  # fmt: skip
    fit = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
    fit.fit(c, y, sample_weight=w)
    note = f"{why}; every confidence becomes one value" if (why := _one_class(y)) else ""
    params = {
        "x": fit.X_thresholds_.tolist(),
        "y": fit.y_thresholds_.tolist(),
        "low": 1 / (n + 2),
        "high": (n + 1) / (n + 2),
    }
    return _made("isotonic", params, c, clip, items, note)


def _mass_edges(c: np.ndarray, n_bins: int) -> np.ndarray:
    edges = np.quantile(c, np.linspace(0, 1, n_bins + 1)[1:-1])
    return np.unique(edges)


def _bin_counts(c, y, inner):
    at = np.searchsorted(inner, c, side="left")  # (lo, hi]
    m = len(inner) + 1
    return np.bincount(at, minlength=m), np.bincount(at, weights=y, minlength=m)


def fit_histogram(
    confidence, correct, *, items=None, n_bins: int = 10, binning: str = "mass", clip: float = CLIP
):
    """Histogram binning: each bin's confidence becomes its share of right answers.

    Bins are (lo, hi], of equal mass (edges at quantiles, equal edges merged) or equal width. An
    empty bin keeps its midpoint.

    References
    ----------
    Zadrozny and Elkan, ICML 2001.
    """
    _check_clip(clip)
    c, y = check_pair(confidence, correct)
    if n_bins < 1:
        raise ValueError(f"n_bins: expected at least 1, got {n_bins}")
    if binning not in ("mass", "width"):
        raise ValueError(f"binning: expected 'mass' or 'width', got {binning!r}")
    if why := _too_few(y):
        return _made("identity", {}, c, clip, items, f"{why}; left as it was")
    inner = np.linspace(0, 1, n_bins + 1)[1:-1] if binning == "width" else _mass_edges(c, n_bins)
    count, right = _bin_counts(c, y, inner)
    edges = np.r_[0.0, inner, 1.0]
    middle = (edges[:-1] + edges[1:]) / 2
    value = np.where(count > 0, right / np.maximum(count, 1), middle)
    note = f"{why}; occupied bins become one value" if (why := _one_class(y)) else ""
    params = {"edges": inner.tolist(), "value": value.tolist(), "binning": binning}
    return _made("histogram", params, c, clip, items, note)


def fit_bbq(confidence, correct, *, items=None, clip: float = CLIP):
    r"""Bayesian binning into quantiles: an average over histograms of many sizes.

    For bin numbers from :math:`\max(1, \sqrt[3]{n}/10)` to :math:`\min(n/5, 10\sqrt[3]{n})`,
    each histogram of equal mass is weighted by its marginal likelihood under a Beta prior per
    bin, of strength 2 spread over the bins and centred at the bin's middle (the BDeu score).

    References
    ----------
    Naeini, Cooper and Hauskrecht, AAAI 2015, doi 10.1609/aaai.v29i1.9602.
    """
    _check_clip(clip)
    c, y = check_pair(confidence, correct)
    if why := _too_few(y):
        return _made("identity", {}, c, clip, items, f"{why}; left as it was")
    n = len(c)
    root = n ** (1 / 3)
    low = max(1, int(root / 10))
    high = max(low, int(min(np.ceil(n / 5), np.ceil(10 * root))))
    models: dict[bytes, tuple] = {}
    for b in range(low, high + 1):
        inner = _mass_edges(c, b)
        if inner.tobytes() in models:
            continue
        count, right = _bin_counts(c, y, inner)
        edges = np.r_[0.0, inner, 1.0]
        strength = 2.0 / len(count)
        middle = np.clip((edges[:-1] + edges[1:]) / 2, clip, 1 - clip)
        alpha, beta = strength * middle, strength * (1 - middle)
        score = (betaln(alpha + right, beta + count - right) - betaln(alpha, beta)).sum()
        value = (alpha + right) / (strength + count)
        models[inner.tobytes()] = (score, inner, value)
    score = np.array([m[0] for m in models.values()])
    weight = np.exp(score - logsumexp(score))
    kept = [
        {"weight": float(w), "edges": m[1].tolist(), "value": m[2].tolist()}
        for w, m in zip(weight, models.values(), strict=True)
        if w > 1e-3 * weight.max()
    ]
    total = sum(k["weight"] for k in kept)
    for k in kept:
        k["weight"] /= total
    note = f"{why}; the map follows the prior and that share" if (why := _one_class(y)) else ""
    return _made("bbq", {"models": kept}, c, clip, items, note)


_T_NODES = np.linspace(np.log(T_MIN), np.log(T_MAX), 241)
_TAU_NODES = np.array([0.0, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.2])


def temperature_likelihoods(signed: np.ndarray) -> np.ndarray:
    """Log-likelihood of each answer at each temperature of the grid, (n, nodes).

    ``signed`` are log-odds, negative where the answer is wrong. What a group's fit needs is the
    sum over its answers, so weights times the result serve any resample.
    """
    return -np.logaddexp(0, -signed[:, None] * np.exp(-_T_NODES))


def group_log_temperatures(like: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shrunken log-temperatures of groups, for many resamples at once.

    Parameters
    ----------
    like : (B, groups, nodes) array
        Summed log-likelihoods of each group, from :func:`temperature_likelihoods`. A group
        without answers (all zero) gets the common mean.

    Returns
    -------
    means : (B, groups) array
        Posterior means of log T.
    mu, tau : (B,) arrays
        Their common mean and spread, averaged over the posterior of the spread.
    """
    top = like.max(axis=2)
    e = np.exp(like - top[..., None])
    b = np.arange(len(like))
    log_post, means, mus = [], [], []
    for tau in _TAU_NODES:
        if tau == 0:
            total = like.sum(axis=1)
            best = total.argmax(axis=1)
            log_post.append(total[b, best])
            means.append(np.repeat(_T_NODES[best][:, None], like.shape[1], axis=1))
        else:
            # prior[m, t]: density of log T = t when mu = m
            prior = np.exp(-((_T_NODES[None] - _T_NODES[:, None]) ** 2) / (2 * tau**2))
            prior /= prior.sum(axis=1, keepdims=True)
            marginal = np.maximum(e @ prior.T, 1e-300)
            total = (np.log(marginal) + top[..., None]).sum(axis=1)
            best = total.argmax(axis=1)
            log_post.append(total[b, best])
            weighted = np.einsum("bgt,bt->bg", e, prior[best] * _T_NODES)
            means.append(weighted / marginal[b, :, best])
        mus.append(_T_NODES[best])
    post = np.array(log_post)
    w = np.exp(post - logsumexp(post, axis=0))
    mean, mu = np.einsum("kb,kbg->bg", w, np.array(means)), (w * np.array(mus)).sum(axis=0)
    return np.where((like == 0).all(axis=2), mu[:, None], mean), mu, _TAU_NODES @ w


def fit_group_temperature(confidence, correct, *, groups, items=None, clip: float = CLIP):
    r"""A temperature for each group, drawn towards the pooled one by how little it is known.

    :math:`\log T_g \sim N(\mu, \tau^2)`. The spread :math:`\tau` is averaged over its
    posterior on a grid, :math:`\mu` is its most probable value at each; a group's temperature is
    the posterior mean of its log. All integrals are sums over a grid of log T with each group's
    exact likelihood, so groups of five answers or of one class need no special case.

    Parameters
    ----------
    confidence, correct, items, clip
        As in :func:`fit_temperature`.
    groups : sequence of n labels
        For example the modality of each answer.

    Returns
    -------
    Recalibrator
        With ``params = {"temperature": {group: T}, "pooled": exp(mu), "tau": tau, "n": {…}}``.
        Call it with ``groups=``; unknown groups get the pooled temperature.

    References
    ----------
    James and Stein, Proc. 4th Berkeley Symposium, 1961; Efron and Morris, JASA 70, 1975,
    doi 10.1080/01621459.1975.10479864.
    """
    _check_clip(clip)
    g = np.asarray([str(v) for v in _plain(groups)])
    c, y = check_pair(confidence, correct)
    if len(g) != len(c):
        raise ValueError(f"groups: {len(g)} values for {len(c)} confidences")
    if why := _too_few(y) or _one_class(y):
        params = {"temperature": {}, "pooled": 1.0, "tau": 0.0, "n": {}}
        note = f"{why}; temperature left at 1"
        return _made("group_temperature", params, c, clip, items, note)
    names, at = np.unique(g, return_inverse=True)
    x = logit(c, clip)
    signed = np.where(y > 0, x, -x)
    rows = temperature_likelihoods(signed)
    like = np.stack([rows[at == k].sum(axis=0) for k in range(len(names))])
    means, mu, tau = group_log_temperatures(like[None])
    params = {
        "temperature": dict(zip(names.tolist(), np.exp(means[0]).tolist(), strict=True)),
        "pooled": float(np.exp(mu[0])),
        "tau": float(tau[0]),
        "n": dict(zip(names.tolist(), np.bincount(at).tolist(), strict=True)),
    }
    return _made("group_temperature", params, c, clip, items)


# --- applying ---------------------------------------------------------------------------------


def _apply_temperature(params, c, clip):
    return expit(logit(c, clip) / params["temperature"])


def _apply_option_temperature(params, p, clip):
    return _softmax(_log_options(p, clip) / params["temperature"])


def _apply_vector(params, p, clip):
    a, b = np.array(params["slope"]), np.array(params["shift"])
    if p.shape[1] != len(a):
        raise ValueError(f"options: {p.shape[1]} columns, but the map was fitted on {len(a)}")
    return _softmax(_log_options(p, clip) * a + b)


def _softmax(z):
    z = np.exp(z - np.nanmax(z, axis=1, keepdims=True))
    return z / np.nansum(z, axis=1, keepdims=True)


def _apply_platt(params, c, clip):
    return expit(params["slope"] * logit(c, clip) + params["intercept"])


def _apply_around(params, c, clip):
    start = Recalibrator.from_json(json.dumps(params["start"]))
    return expit(params["slope"] * logit(start(c), clip) + params["intercept"])


def _apply_beta(params, c, clip):
    return expit(beta_features(c, clip) @ [params["a"], params["b"], params["intercept"]])


def _apply_isotonic(params, c, clip):
    return np.clip(np.interp(c, params["x"], params["y"]), params["low"], params["high"])


def _apply_histogram(params, c, clip):
    return np.asarray(params["value"])[np.searchsorted(params["edges"], c, side="left")]


def _apply_bbq(params, c, clip):
    return sum(m["weight"] * _apply_histogram(m, c, clip) for m in params["models"])


def _apply_group_temperature(params, c, clip, groups):
    if groups is None:
        raise ValueError("groups: this map needs the group of each answer")
    if len(groups) != len(c):
        raise ValueError(f"groups: {len(groups)} values for {len(c)} confidences")
    own = params["temperature"]
    t = np.array([own.get(str(g), params["pooled"]) for g in _plain(groups)], dtype=float)
    return expit(logit(c, clip) / t)


_MAPS: dict[str, tuple[Callable, bool]] = {
    "identity": (lambda params, c, clip: c.copy(), False),
    "temperature": (_apply_temperature, False),
    "option_temperature": (_apply_option_temperature, True),
    "vector": (_apply_vector, True),
    "platt": (_apply_platt, False),
    "around": (_apply_around, False),
    "beta": (_apply_beta, False),
    "isotonic": (_apply_isotonic, False),
    "histogram": (_apply_histogram, False),
    "bbq": (_apply_bbq, False),
    "group_temperature": (_apply_group_temperature, False),
}

FITS: dict[str, Callable[..., Recalibrator]] = {
    "temperature": fit_temperature,
    "platt": fit_platt,
    "beta": fit_beta,
    "isotonic": fit_isotonic,
    "histogram": fit_histogram,
    "bbq": fit_bbq,
}
"""Families that need nothing but confidence and correctness, by name."""


# --- cross-fitting ----------------------------------------------------------------------------


def assign_folds(groups, n_folds: int, *, rng: np.random.Generator) -> np.ndarray:
    """A fold for each row, whole groups together, folds as even as that allows.

    Raises
    ------
    ValueError
        If there are fewer than two folds, or fewer groups than folds.
    """
    names, at, size = np.unique(
        np.asarray([str(v) for v in _plain(groups)]), return_inverse=True, return_counts=True
    )
    if n_folds < 2:
        raise ValueError(f"n_folds: expected at least 2, got {n_folds}")
    if len(names) < n_folds:
        raise ValueError(f"groups: {len(names)} different ones cannot fill {n_folds} folds")
    order = rng.permutation(len(names))
    order = order[np.argsort(-size[order], kind="stable")]
    load, fold = np.zeros(n_folds), np.empty(len(names), int)
    for k in order:
        fold[k] = load.argmin()
        load[fold[k]] += size[k]
    return fold[at]


def cross_fit(
    fit: Callable[..., Recalibrator],
    confidence,
    correct,
    groups,
    *,
    n_folds: int = 5,
    rng: np.random.Generator,
    by=None,
) -> np.ndarray:
    """Corrected confidences, each from a map that never saw the answer's group.

    Parameters
    ----------
    fit : callable
        ``fit(confidence, correct) -> Recalibrator``; with ``by`` given, also ``groups=``.
    confidence, correct : arrays of shape (n,)
        For maps of options, (n, k) probabilities and the index of the right option.
    groups : sequence of n labels
        Rows of one group (an image) are always left out together.
    by : sequence of n labels, optional
        Passed on as ``groups=`` to the fit and to the map (for per-modality temperatures).

    Returns
    -------
    array
        Shaped like ``confidence``.
    """
    c, y = np.asarray(confidence, dtype=float), np.asarray(correct)
    for name, values in (("correct", y), ("groups", groups)):
        if len(values) != len(c):
            raise ValueError(f"{name}: {len(values)} values for {len(c)} confidences")
    label = None if by is None else np.asarray(_plain(by), dtype=object)
    fold = assign_folds(groups, n_folds, rng=rng)
    out = np.empty_like(c)
    for k in range(n_folds):
        test = fold == k
        if label is None:
            out[test] = fit(c[~test], y[~test])(c[test])
        else:
            out[test] = fit(c[~test], y[~test], groups=label[~test])(c[test], groups=label[test])
    return out
