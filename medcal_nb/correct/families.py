"""Families of recalibration maps, each fitted under many rows of weights at once.

A bootstrap that repeats the fit in each resample needs thousands of fits of a few numbers.
Resampling rows is reweighting them, so all fits of a family run together; one fit is one row.

A family is one object and one call of :func:`register`; lists and help follow.
"""

import warnings
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO

import numpy as np

from medcal_nb.errors import MedcalError
from medcal_nb.measure._check import check_choice
from medcal_nb.measure.resampling import fit_logistic, logit, probability

#: A parameter set that a fit begins with.
Start = np.ndarray | None

#: Newton's last step in fits, and in those of resamples, which begin with the sample's.
EXACTLY = 1e-6
NEARLY = 1e-3
#: Maps of one confidence in the package netcal, by its names.
NETCAL = (
    "TemperatureScaling",
    "LogisticCalibration",
    "BetaCalibration",
    "HistogramBinning",
    "IsotonicRegression",
    "BBQ",
    "ENIR",
    "NearIsotonicRegression",
)
#: Maps by the name that the field has for them.
FIELD_NAMES = {"temperature": "log_odds"}
T_MIN = 0.02
T_MAX = 50.0


@dataclass(frozen=True, kw_only=True)
class Family:
    """A family of recalibration maps.

    Attributes
    ----------
    name : str
        In code; `medcal_nb.labels` has what titles and tables call it.
    parameters : tuple of str
        Names of the fitted numbers.
    unchanged : tuple
        The values of the parameters that change nothing.
    features : callable
        ``features(confidence, clip)``: what is computed once from confidences (n,), an array whose
        first axis is n.
    fit : callable
        ``fit(features, right, weights, start)``: B parameter sets. ``weights`` (B, n) counts each
        row in each resample. ``right`` (B, n) is the part of the weight that is correct. ``start``
        is a parameter set to begin with, or None.
    apply : callable
        ``apply(parameters, features)``: confidences (B, n).
    bounds : (float, float), optional
        Of the only parameter: where the answers have no maximum of the likelihood inside, the
        fit ends there, and tables say so. They then hold the parameter of either side.
    """

    name: str
    parameters: tuple[str, ...]
    unchanged: tuple
    features: Callable[[np.ndarray, float], np.ndarray]
    fit: Callable
    apply: Callable
    bounds: tuple[float, float] | None = None

    def at_bound(self, parameter: float) -> bool:
        """Whether a fit of the only parameter ended at a bound."""
        if self.bounds is None:
            return False
        least, most = self.bounds
        return not least * (1 + 1e-5) < parameter < most * (1 - 1e-5)


#: Every family by its name.
MAPS: dict[str, Family] = {}


def register(family: Family) -> Family:
    """Add a family to ``MAPS``.

    Examples
    --------
    >>> MAPS["platt"].parameters
    ('slope', 'intercept')
    """
    MAPS[family.name] = family
    return family


def family(name: str) -> Family:
    """The family of a name: one of ``MAPS``, or ``netcal:CLASS`` for a map of the package netcal.

    Temperature scaling is known by this name of the field, ``temperature``, too.

    Raises
    ------
    ValueError
        On an unknown name.
    MedcalError
        Where netcal is not installed.

    Examples
    --------
    >>> family("platt").parameters
    ('slope', 'intercept')
    """
    name = FIELD_NAMES.get(name, name)
    package, _, kind = name.partition(":")
    if package == "netcal" and kind:
        return _netcal(kind)
    check_choice(name, "method", MAPS)
    return MAPS[name]


def _netcal(kind: str) -> Family:
    """A class of ``netcal.scaling`` or ``netcal.binning``, with that package's own settings."""
    try:
        # threadpoolctl comes with scikit-learn, which netcal needs
        from netcal import binning, scaling
        from threadpoolctl import threadpool_limits
    except ImportError:
        raise MedcalError(
            f"netcal:{kind} needs the package netcal: pip install 'medcal-nb[netcal]'"
        ) from None
    check_choice(kind, "method netcal:", NETCAL)
    kind_of_map = getattr(scaling, kind, None) or getattr(binning, kind)

    def fit(
        confidence: np.ndarray,
        right: np.ndarray,
        weights: np.ndarray,
        start: Start = None,
    ) -> list[tuple]:
        maps = []
        for row, row_right in zip(weights, right, strict=True):
            # netcal knows no weights: a row stands there as often as it was drawn
            n_right = row_right.round().astype(int)
            n_wrong = row.round().astype(int) - n_right
            drawn = np.append(
                np.repeat(confidence, n_right), np.repeat(confidence, n_wrong)
            )
            outcome = np.repeat([1, 0], [n_right.sum(), n_wrong.sum()])
            with (
                # its progress
                redirect_stdout(StringIO()),
                redirect_stderr(StringIO()),
                # in its search for three numbers threads mostly wait for each other
                threadpool_limits(1),
            ):
                maps.append((kind_of_map().fit(drawn, outcome),))
        return maps

    def apply(maps: list[tuple], confidence: np.ndarray) -> np.ndarray:
        rows = [one.transform(confidence) if one else confidence for (one,) in maps]
        return np.stack(rows).reshape(len(maps), -1)

    return Family(
        name=f"netcal:{kind}",
        parameters=("map",),
        unchanged=(None,),
        features=lambda confidence, clip: np.clip(confidence, clip, 1 - clip),
        fit=fit,
        apply=apply,
    )


def installed_maps(names: Iterable[str]) -> list[str]:
    """The maps of these names that can be fitted here; those of a package that lacks are left out.

    Warns
    -----
    UserWarning
        Naming those left out, and what they need.

    Examples
    --------
    >>> installed_maps(["platt", "isotonic"])
    ['platt', 'isotonic']
    """
    there = []
    for name in names:
        try:
            family(name)
            there.append(name)
        except MedcalError as error:
            warnings.warn(f"left out: {error}", stacklevel=2)
    return there


def fit_smoothed(
    features: np.ndarray, right: np.ndarray, weights: np.ndarray, start: Start = None
) -> np.ndarray:
    """Logistic fits (B, d) with Platt's targets, (r + 1) / (r + 2) and 1 / (n - r + 2)."""
    n_right = right.sum(axis=1, keepdims=True)
    n_wrong = weights.sum(axis=1, keepdims=True) - n_right
    high = (n_right + 1) / (n_right + 2)
    low = 1 / (n_wrong + 2)
    targets = high * right + low * (weights - right)  # (B, n), times its weight
    sums = targets @ features  # (B, d)
    if start is None:
        return fit_logistic(features, sums, weights)[0]
    return fit_logistic(features, sums, weights, start=start, tolerance=NEARLY)[0]


def _fit_log_odds(
    log_odds: np.ndarray, right: np.ndarray, weights: np.ndarray, start: Start = None
) -> np.ndarray:
    """Temperatures (B, 1) of log-odds (n, 1); T = 1 where all answers are right, or all wrong."""
    n_right = right.sum(axis=1)
    mixed = (n_right > 0) & (n_right < weights.sum(axis=1) - 1e-9)
    temperature = np.ones((len(weights), 1))
    if mixed.any():
        slope = _bounded_slope(log_odds, right[mixed] @ log_odds, weights[mixed], start)
        temperature[mixed] = 1 / slope
    return temperature


def _bounded_slope(
    log_odds: np.ndarray,
    sums: np.ndarray,
    weights: np.ndarray,
    start: Start,
) -> np.ndarray:
    """Slopes 1 / T (B, 1) within their bounds."""
    steepest = 1 / T_MIN
    begin = np.ones(1) if start is None else 1 / start
    tolerance = EXACTLY if start is None else NEARLY
    slope = fit_logistic(log_odds, sums, weights, start=begin, tolerance=tolerance)[0]
    # where the likelihood still rises at the bound it has no maximum that could be reached
    pull = weights * probability(steepest * log_odds[:, 0])
    rising = sums - pull @ log_odds >= -1e-9
    return np.where(rising, steepest, np.clip(slope, 1 / T_MAX, steepest))


def _linear(theta: np.ndarray, features: np.ndarray) -> np.ndarray:
    return probability(np.asarray(theta, float) @ features.T)


def _platt_features(confidence: np.ndarray, clip: float) -> np.ndarray:
    log_odds = logit(confidence, clip)
    return np.column_stack([log_odds, np.ones_like(log_odds)])


def _fit_isotonic(
    confidence: np.ndarray, right: np.ndarray, weights: np.ndarray, start: Start = None
) -> list[tuple]:
    from scipy.optimize import isotonic_regression

    values, position = np.unique(confidence, return_inverse=True)
    maps = []
    for row, row_right in zip(weights, right, strict=True):
        n = np.bincount(position, row, len(values))
        n_right = np.bincount(position, row_right, len(values))
        drawn = n > 0
        share = n_right[drawn] / n[drawn]
        fitted = isotonic_regression(share, weights=n[drawn]).x
        # ends of the steps are enough to interpolate between
        rises = np.diff(fitted) != 0
        ends = np.ones(len(fitted), bool)
        ends[1:-1] = rises[:-1] | rises[1:]
        total = n.sum()
        low = 1 / (total + 2)
        high = (total + 1) / (total + 2)
        x = values[drawn]
        maps.append((x[ends], fitted[ends], low, high))
    return maps


def _interpolate(maps: list[tuple], confidence: np.ndarray) -> np.ndarray:
    rows = []
    for x, y, low, high in maps:
        row = np.interp(confidence, x, y)
        rows.append(np.clip(row, low, high))
    return np.stack(rows)


# --- the families of this package ---------------------------------------------------------------

register(
    Family(
        name="log_odds",
        parameters=("temperature",),
        unchanged=(1.0,),
        features=lambda confidence, clip: logit(confidence, clip)[:, None],
        fit=_fit_log_odds,
        apply=lambda theta, x: probability(x[:, 0] / np.asarray(theta, float)),
        bounds=(T_MIN, T_MAX),
    )
)
register(
    Family(
        name="platt",
        parameters=("slope", "intercept"),
        unchanged=(1.0, 0.0),
        features=_platt_features,
        fit=fit_smoothed,
        apply=_linear,
    )
)
register(
    Family(
        name="isotonic",
        parameters=("x", "y", "low", "high"),
        unchanged=([0.0, 1.0], [0.0, 1.0], 0.0, 1.0),
        features=lambda confidence, clip: confidence,
        fit=_fit_isotonic,
        apply=_interpolate,
    )
)
