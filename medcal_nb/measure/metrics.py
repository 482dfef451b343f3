"""Scores of all answers together: accuracy, calibration-in-the-large, Brier score, slope.

Every metric is called as `(confidence, correct, *, …) -> float`; where it is undefined it is NaN,
with a `MeasureWarning` that says why. What counts an error as confident is `SURE`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .registry import Sums, difference_of, evaluate, mean_of, ratio_of, register
from .resampling import (
    UNBOUNDED,
    FloatArray,
    choose_clip,
    fit_logistic,
    gathered,
    logit,
)

CLIP = (
    1e-12  # of the log loss, which a confidence of 1 that is wrong would make infinite
)
SURE = 0.9
NEAR = 1e-6  # confidences that agree to so much are the same
FAR = 10.0  # no fit of a resample starts farther out, in units of the log-odds' spread
FLAT = 1e-6  # information an answer below which a slope is infinite


def _accuracy(c: FloatArray, y: FloatArray) -> Sums:
    return mean_of(y)


@register("accuracy", sums=_accuracy, interval="share")
def accuracy(confidence: ArrayLike, correct: ArrayLike) -> float:
    r"""Share of correct answers, :math:`\frac1n \sum_i y_i`.

    Parameters
    ----------
    confidence : (n,) array
        In [0, 1]; looked at only to be refused where it is none.
    correct : (n,) array of 0 and 1
        1 where the answer is correct.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError
        On input that is no confidence and outcome, by name and position.

    Examples
    --------
    >>> accuracy([0.9, 0.8, 0.6, 0.5], [1, 1, 1, 0])
    0.75
    """
    return evaluate(_accuracy, confidence, correct)


def _mean_confidence(c: FloatArray, y: FloatArray) -> Sums:
    return mean_of(c)


@register("mean_confidence", sums=_mean_confidence)
def mean_confidence(confidence: ArrayLike, correct: ArrayLike) -> float:
    r"""Mean confidence, :math:`\frac1n \sum_i c_i`.

    Parameters
    ----------
    confidence : (n,) array
        Probability in [0, 1] that the answer is correct.
    correct : (n,) array of 0 and 1
        1 where the answer is correct.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError
        On input that is no confidence and outcome, by name and position.

    Examples
    --------
    >>> mean_confidence([0.9, 0.7], [1, 0])
    0.8
    """
    return evaluate(_mean_confidence, confidence, correct)


def _gap(c: FloatArray, y: FloatArray) -> Sums:
    return difference_of(c, y)


@register("gap", sums=_gap, interval="difference", bounds=(-1.0, 1.0))
def calibration_gap(confidence: ArrayLike, correct: ArrayLike) -> float:
    r"""Overconfidence: mean confidence minus accuracy, :math:`\frac1n \sum_i c_i - y_i`.

    Calibration-in-the-large as a difference. Zero does not mean calibrated: over- and
    underconfidence cancel. Its size is a lower bound of `ece` with any bins.

    Parameters
    ----------
    confidence : (n,) array
        Probability in [0, 1] that the answer is correct.
    correct : (n,) array of 0 and 1
        1 where the answer is correct.

    Returns
    -------
    float
        In [−1, 1]; above 0 the confidence is too high on the whole.

    Raises
    ------
    ValueError
        On input that is no confidence and outcome, by name and position.

    References
    ----------
    Van Calster et al., BMC Medicine 2019, doi:10.1186/s12916-019-1466-7.

    Examples
    --------
    >>> calibration_gap([0.9, 0.9, 0.6, 0.6], [1, 0, 1, 0])
    0.25
    """
    return evaluate(_gap, confidence, correct)


def _observed_expected(c: FloatArray, y: FloatArray) -> Sums:
    return ratio_of(y, c)


@register(
    "observed_expected",
    sums=_observed_expected,
    interval="ratio",
    bounds=(0.0, np.inf),
)
def observed_expected_ratio(confidence: ArrayLike, correct: ArrayLike) -> float:
    r"""Calibration-in-the-large as a ratio: accuracy over mean confidence.

    .. math:: \mathrm{O{:}E} = \sum_i y_i / \sum_i c_i

    Parameters
    ----------
    confidence : (n,) array
        Probability in [0, 1] that the answer is correct.
    correct : (n,) array of 0 and 1
        1 where the answer is correct.

    Returns
    -------
    float
        1 is ideal, below 1 the confidence is too high on the whole. NaN where all are 0.

    Raises
    ------
    ValueError
        On input that is no confidence and outcome, by name and position.

    References
    ----------
    Riley et al., BMJ 2024;384:e074821, doi:10.1136/bmj-2023-074821.

    Examples
    --------
    >>> observed_expected_ratio([0.8, 0.8, 0.4], [1, 0, 0])
    0.5
    """
    reason = "all confidences are 0"
    return evaluate(_observed_expected, confidence, correct, undefined=reason)


def _brier(c: FloatArray, y: FloatArray) -> Sums:
    return mean_of((c - y) ** 2)


@register("brier", sums=_brier, interval="strata")
def brier_score(confidence: ArrayLike, correct: ArrayLike) -> float:
    r"""Mean squared difference of confidence and outcome, :math:`\frac1n \sum_i (c_i - y_i)^2`.

    Proper: it rewards calibration and discrimination together.

    Parameters
    ----------
    confidence : (n,) array
        Probability in [0, 1] that the answer is correct.
    correct : (n,) array of 0 and 1
        1 where the answer is correct.

    Returns
    -------
    float
        In [0, 1]; 0 is perfect, 0.25 is what a constant ½ scores.

    Raises
    ------
    ValueError
        On input that is no confidence and outcome, by name and position.

    References
    ----------
    Brier, Monthly Weather Review 1950, doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2.

    Examples
    --------
    >>> brier_score([1.0, 0.5], [1, 0])
    0.125
    """
    return evaluate(_brier, confidence, correct)


def _brier_skill(c: FloatArray, y: FloatArray) -> Sums:
    def finish(sums: FloatArray) -> FloatArray:
        n, losses, right = sums[:, 0].T
        score = losses / n
        rate = right / n
        base = rate * (1 - rate)
        # all right or all wrong: no base
        base = np.where(base > 0, base, np.nan)
        return 1 - score / base

    return Sums(cell=0, n_cells=1, features=((c - y) ** 2, y), finish=finish)


@register(
    "brier_skill",
    sums=_brier_skill,
    interval="skill",
    bounds=(-np.inf, 1.0),
)
def brier_skill_score(confidence: ArrayLike, correct: ArrayLike) -> float:
    r"""Brier score against that of one number, the accuracy, for all answers.

    .. math:: 1 - \frac{\mathrm{Brier}}{\bar y (1 - \bar y)}

    Also called the scaled Brier score (index of prediction accuracy).

    Parameters
    ----------
    confidence : (n,) array
        Probability in [0, 1] that the answer is correct.
    correct : (n,) array of 0 and 1
        1 where the answer is correct.

    Returns
    -------
    float
        At most 1; 0 is what the accuracy itself scores, below 0 the confidence is worse than
        that one number. NaN where all answers are correct or all are wrong.

    Raises
    ------
    ValueError
        On input that is no confidence and outcome, by name and position.

    References
    ----------
    Murphy, Monthly Weather Review 1973; Steyerberg et al., Epidemiology 2010,
    doi:10.1097/EDE.0b013e3181c30fb2.

    Examples
    --------
    >>> brier_skill_score([0.5, 0.5], [1, 0]), brier_skill_score([1.0, 0.0], [1, 0])
    (0.0, 1.0)
    """
    reason = "all answers are correct or all are wrong"
    return evaluate(_brier_skill, confidence, correct, undefined=reason)


def _log_loss(c: FloatArray, y: FloatArray) -> Sums:
    likely = np.clip(np.where(y == 1, c, 1 - c), CLIP, 1 - CLIP)
    return mean_of(-np.log(likely))


@register(
    "log_loss",
    sums=_log_loss,
    interval="strata",
    bounds=(0.0, np.inf),
    is_endless=True,
)
def log_loss(confidence: ArrayLike, correct: ArrayLike) -> float:
    r"""Mean negative log-likelihood in nats, :math:`-\frac1n \sum_i \ln P_{c_i}(y_i)`.

    Parameters
    ----------
    confidence : (n,) array
        Probability in [0, 1] that the answer is correct; moved into [1e-12, 1 − 1e-12] first, as
        a confidence of 1 that is wrong would cost infinitely much.
    correct : (n,) array of 0 and 1
        1 where the answer is correct.

    Returns
    -------
    float
        In [0, 27.6]; ln 2 is what a constant ½ scores. Proper. Its tables have no interval where
        a confidence is 0 or 1.

    Raises
    ------
    ValueError
        On input that is no confidence and outcome, by name and position.

    References
    ----------
    Good, J. R. Stat. Soc. B 1952, doi:10.1111/j.2517-6161.1952.tb00104.x.

    Examples
    --------
    >>> round(log_loss([0.8, 0.5], [1, 0]), 3)
    0.458
    """
    return evaluate(_log_loss, confidence, correct)


def _confidently_wrong(c: FloatArray, y: FloatArray) -> Sums:
    wrong = 1 - y
    return ratio_of(wrong * is_sure(c), wrong)


def is_sure(confidence: FloatArray) -> np.ndarray:
    """Whether each confidence is at least 0.9."""
    return confidence >= SURE - NEAR


@register(
    "confidently_wrong",
    sums=_confidently_wrong,
    interval="share",
)
def confidently_wrong(confidence: ArrayLike, correct: ArrayLike) -> float:
    r"""Share of the wrong answers with confidence of at least 0.9, :math:`P(c \ge .9 \mid y = 0)`.

    Parameters
    ----------
    confidence : (n,) array
        Probability in [0, 1] that the answer is correct.
    correct : (n,) array of 0 and 1
        1 where the answer is correct.

    Returns
    -------
    float
        In [0, 1]: errors that nobody would check. NaN where nothing is wrong.

    Raises
    ------
    ValueError
        On input that is no confidence and outcome, by name and position.

    Examples
    --------
    >>> round(confidently_wrong([0.95, 0.9, 0.6, 0.99], [0, 0, 0, 1]), 2)
    0.67
    """
    reason = "there is no wrong answer"
    return evaluate(_confidently_wrong, confidence, correct, undefined=reason)


# --- logistic recalibration ---------------------------------------------------------------


def _slope(c: FloatArray, y: FloatArray, *, most_cells: int | None = None) -> Sums:
    cell, x = _log_odds(c, most_cells)
    # in units of its own spread, so that Newton's steps are of one size whatever the slope
    of_answer = x[cell]
    unit = max(of_answer.std(), 1e-12)
    scaled = (x - of_answer.mean()) / unit
    features = np.column_stack([scaled, np.ones_like(scaled)])

    def finish(sums: FloatArray) -> FloatArray:
        theta, information, is_mixed = _fitted(features, sums)
        # one confidence alone has no slope, and where right and wrong answers are apart the
        # likelihood rises for ever: the information vanishes
        least = np.linalg.eigvalsh(information)[:, 0]
        is_finite = is_mixed & (least > FLAT)
        slope = theta[:, 0] / unit
        return np.where(is_finite, slope, np.nan)

    return Sums(cell=cell, n_cells=x.size, features=(y,), finish=finish)


def _intercept(c: FloatArray, y: FloatArray, *, most_cells: int | None = None) -> Sums:
    cell, x = _log_odds(c, most_cells)
    features = np.ones((x.size, 1))

    def finish(sums: FloatArray) -> FloatArray:
        theta, _, is_mixed = _fitted(features, sums, offset=x)
        return np.where(is_mixed, theta[:, 0], np.nan)

    return Sums(cell=cell, n_cells=x.size, features=(y,), finish=finish)


def _log_odds(c: FloatArray, most_cells: int | None) -> tuple[np.ndarray, FloatArray]:
    """Cell of each answer, and the log-odds of each cell (the mean of its answers')."""
    x = logit(c, choose_clip(c))
    cell = gathered(x, most_cells)
    return cell, np.bincount(cell, x) / np.bincount(cell)


def _fitted(
    features: FloatArray, sums: FloatArray, *, offset: FloatArray | float = 0.0
) -> tuple[FloatArray, FloatArray, np.ndarray]:
    """(r, d) logistic fits of (r, cells, 2) numbers of answers and of right ones.

    All start from the first, the sample itself. Also the (r, d, d) information an answer, and (r,)
    whether there are right and wrong answers.
    """
    count = sums[..., 0]
    right = sums[..., 1]
    totals = right @ features
    first, _ = fit_logistic(features, totals[:1], count[:1], offset=offset)
    theta, information = fit_logistic(
        features, totals, count, offset=offset, start=np.clip(first, -FAR, FAR)
    )
    n = count.sum(axis=1)
    n_right = right.sum(axis=1)
    return theta, information / n[:, None, None], (n_right > 0) & (n_right < n)


@register("slope", sums=_slope, outcomes=True, bounds=UNBOUNDED)
def calibration_slope(confidence: ArrayLike, correct: ArrayLike) -> float:
    r"""Slope b of :math:`\mathrm{logit}\, P(y = 1) = a + b\, \mathrm{logit}(c)`.

    Parameters
    ----------
    confidence : (n,) array
        Probability in [0, 1] that the answer is correct; 0 and 1 are moved inwards first, by
        `choose_clip`, as for recalibration maps. Where there are many the slope depends on it.
    correct : (n,) array of 0 and 1
        1 where the answer is correct.

    Returns
    -------
    float
        1 is ideal, below 1 the confidences are too extreme, 0 they say nothing, below 0 the
        opposite. NaN where outcome or confidence is constant, or the slope is infinite.

    Raises
    ------
    ValueError
        On input that is no confidence and outcome, by name and position.

    References
    ----------
    Cox, Biometrika 1958, doi:10.1093/biomet/45.3-4.562; Van Calster et al. 2019,
    doi:10.1186/s12916-019-1466-7.

    Examples
    --------
    >>> c = [0.9] * 10 + [0.1] * 10
    >>> round(calibration_slope(c, [1] * 9 + [0] + [0] * 9 + [1]), 6)
    1.0
    """
    reason = (
        "outcomes or confidences are constant, or confidence separates right from wrong"
    )
    return evaluate(_slope, confidence, correct, undefined=reason)


@register(
    "intercept",
    sums=_intercept,
    outcomes=True,
    bounds=UNBOUNDED,
)
def calibration_intercept(confidence: ArrayLike, correct: ArrayLike) -> float:
    r"""Intercept a of :math:`\mathrm{logit}\, P(y = 1) = a + \mathrm{logit}(c)`, slope fixed at 1.

    Calibration-in-the-large on the scale of log-odds.

    Parameters
    ----------
    confidence : (n,) array
        As in `calibration_slope`.
    correct : (n,) array of 0 and 1
        1 where the answer is correct.

    Returns
    -------
    float
        0 is ideal; below 0 the confidence is too high on the whole. NaN where all answers are
        correct or all are wrong.

    Raises
    ------
    ValueError
        On input that is no confidence and outcome, by name and position.

    References
    ----------
    As `calibration_slope`.

    Examples
    --------
    >>> c = [0.9] * 10
    >>> round(calibration_intercept(c, [1] * 5 + [0] * 5), 2)
    -2.2
    """
    reason = "all answers are correct or all are wrong"
    return evaluate(_intercept, confidence, correct, undefined=reason)
