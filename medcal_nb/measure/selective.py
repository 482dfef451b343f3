"""Selective prediction: which answers may be kept, and with what certainty.

An answer is kept where its confidence is at least a threshold, and deferred to a clinician
otherwise. Coverage is the share of answers kept, risk the share of these that are wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from medcal_nb.errors import NotEnough

from ._check import check_groups, check_level, check_pair
from .intervals import clustered_interval
from .resampling import FloatArray
from .rows import (
    arrays,
    image_labels,
    judged_by,
    measured,
    parts_by,
    refuse_shared,
    rows_by,
    warn_of_cross_fitted,
)

#: Probability that a certified threshold does not hold its risk.
DELTA = 0.1
START = 0.2  # share of answers kept at which the tests of thresholds start
START_ROOT = 3  # and no more than so many times the root of their number
EVERY_ERROR = 1000  # up to so many, every number of errors has a test of its own
RISK_ALLOWED = "target, the risk allowed,"  # what a refusal calls it


class Threshold(NamedTuple):
    """A threshold and the coverage it had where it was chosen; infinite if none is certified."""

    threshold: float
    coverage: float


NONE = Threshold(threshold=np.inf, coverage=0.0)


def selective_threshold(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    target: float,
    delta: float = 0.05,
    groups: ArrayLike | None = None,
) -> Threshold:
    r"""Lowest threshold whose risk is certified to be at most `target`.

    .. math:: P\bigl(\, P(y = 0 \mid c \ge \hat\tau) \le \alpha \,\bigr) \ge 1 - \delta

    over the draw of the answers it is chosen on. Learn then Test with one fixed sequence: from
    one start towards lower thresholds, "the risk exceeds α" is tested at level δ by the exact
    binomial tail, until the first failure. Thresholds are tested only where one more error is
    allowed than before (α = 0.2, δ = 0.1: at 11 answers without an error, at 18 with one, …), for
    in between an answer more can only add an error. The start is the last of these numbers up to
    a fifth of the answers and 3 √n: fixed by n, α and δ before a grade is seen.

    Parameters
    ----------
    confidence : (n,) array
        Probability in [0, 1] that the answer is correct.
    correct : (n,) array of 0 and 1
        1 where the answer is correct. The threshold is chosen on these answers and judged on
        others.
    target : float
        α, the risk allowed, in (0, 1).
    delta : float
        δ, the probability that the risk is exceeded all the same, in (0, 1). For k methods of
        which the best is taken it is δ / k for each.
    groups : (n,) array, optional
        The image of each answer. One answer an image, drawn at random, is then tested: exact
        whatever the dependence within an image, for the risk of a random answer of a random
        image. Where images with more answers have another risk, that of all answers differs. The
        same answers have the same threshold in whatever order they come.

    Returns
    -------
    Threshold
        `(threshold, coverage)`, coverage among the answers handed over, which all have a
        confidence; `(inf, 0)` where nothing is certified and every answer is deferred.

    Raises
    ------
    ValueError
        On bad input, by name and position; on a target or delta outside (0, 1).

    References
    ----------
    Angelopoulos et al., Learn then Test, Annals of Applied Statistics 2025, arXiv:2110.01052.
    Selective risk: Geifman & El-Yaniv, NeurIPS 2017, arXiv:1705.08500.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> confidence = rng.uniform(0.5, 1, 400)
    >>> correct = rng.random(400) < confidence
    >>> threshold, coverage = selective_threshold(confidence, correct, target=0.2, delta=0.1)
    >>> round(threshold, 2), round(coverage, 2)
    (0.64, 0.76)
    """
    warn_of_cross_fitted(confidence)
    c, y = check_pair(confidence, correct)
    (found,) = thresholds_at([target], c, y, delta=delta, groups=groups)
    return found


def thresholds_at(
    targets: Sequence[float],
    c: FloatArray,
    y: FloatArray,
    *,
    delta: float,
    groups: ArrayLike | None,
) -> list[Threshold]:
    """The threshold of `selective_threshold` for each of some risks, of checked answers."""
    delta = check_level(delta, "delta")
    tested = one_answer_an_image(c, y, groups)(np.random.default_rng(0))
    values, kept, errors = descending(c[tested], y[tested])
    thresholds = []
    for target in targets:
        risk = check_level(target, RISK_ALLOWED)
        last = _last_certified(kept, errors, risk, delta)
        if last is None:
            thresholds.append(NONE)
        else:
            lowest = float(values[last])
            coverage = float((c >= lowest).mean())
            thresholds.append(Threshold(threshold=lowest, coverage=coverage))
    return thresholds


def _last_certified(
    kept: NDArray, errors: NDArray, target: float, delta: float
) -> int | None:
    """Row of the lowest threshold that passes; `kept` and `errors` as of `descending`."""
    steps = sizes_to_test(int(kept[-1]), target, delta)
    # answers of one confidence are kept together: the first threshold that keeps so many
    rows = np.unique(np.searchsorted(kept, steps))
    passed = errors[rows] <= errors_allowed(kept[rows], target, delta)
    n_passed = passed.size if passed.all() else int(passed.argmin())
    return int(rows[n_passed - 1]) if n_passed else None


def sizes_to_test(
    n: int, target: float, delta: float, largest: float = np.inf
) -> NDArray[np.intp]:
    """Numbers of answers kept, of n, with which thresholds are tested, up to the largest."""
    start = min(START * n, START_ROOT * np.sqrt(n))
    if start > largest:
        return np.array([], dtype=np.intp)
    _, needed = answers_needed(n, target, delta)
    if not needed.size:
        return needed
    first = np.searchsorted(needed, max(needed[0], start), side="right") - 1
    steps = np.append(needed[first:], n)
    return steps[steps <= largest]


def errors_allowed(kept: NDArray, target: float, delta: float) -> NDArray[np.intp]:
    """Errors with which so many answers, ascending, certify the risk; -1 where none may be."""
    if not kept.size:
        return kept
    errors, needed = answers_needed(int(kept[-1]), target, delta)
    n_passing = np.searchsorted(needed, kept, side="right")
    allowed: NDArray[np.intp] = np.append(-1, errors)[n_passing]
    return allowed


@lru_cache(maxsize=256)
def answers_needed(n: int, target: float, delta: float) -> tuple[NDArray, NDArray]:
    """Numbers of errors, and the fewest answers, up to n, on which they certify the risk.

    At most e errors in k answers have probability δ or less at a risk of α exactly where the
    error number e + 1 comes later than the k-th answer: a quantile of the negative binomial.
    """
    from scipy.stats import nbinom

    most = int(target * n)
    errors = np.arange(most + 1)
    if most > EVERY_ERROR:  # on many answers not at every number of errors
        steps = np.geomspace(EVERY_ERROR, most, EVERY_ERROR).astype(int)
        errors = np.unique(np.append(np.arange(EVERY_ERROR), steps))
    needed = errors + 1 + nbinom.ppf(1 - delta, errors + 1, target)
    within = needed <= n
    return errors[within], needed[within].astype(np.intp)


def one_answer_an_image(
    c: NDArray, y: NDArray, groups: ArrayLike | None
) -> Callable[[np.random.Generator], NDArray | slice]:
    """What draws rows of one random answer of each image; all rows where each is an image."""
    codes, n_groups = check_groups(groups, c.size)
    if n_groups == c.size:
        return lambda rng: slice(None)
    order = np.lexsort((y, c, codes))  # the choice must not hang on the order of rows
    size = np.bincount(codes)
    first = size.cumsum() - size
    return lambda rng: order[first + rng.integers(0, size)]


def descending(c: NDArray, y: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Distinct confidences from the highest, and answers and errors down to each."""
    values, cell = np.unique(c, return_inverse=True)
    n = np.bincount(cell)
    wrong = np.bincount(cell, 1 - y)
    kept = n[::-1].cumsum()
    errors = wrong[::-1].cumsum()
    return values[::-1], kept, errors


# --- tables -------------------------------------------------------------------------------


def threshold_table(
    fit: pd.DataFrame,
    test: pd.DataFrame,
    *,
    target: float,
    delta: float = 0.05,
    by: Sequence[str] = (),
) -> pd.DataFrame:
    """Thresholds certified on some graded answers and what they do on others.

    Parameters
    ----------
    fit, test : pandas.DataFrame
        Graded answers that share no image. Rows without confidence or grade are left out of the
        choice; on test those without a confidence count as deferred.
    target : float
        Risk allowed: the share wrong among the answers kept, in (0, 1).
    delta : float
        Probability that the risk is exceeded all the same, in (0, 1).
    by : sequence of str
        Columns whose combinations each get a threshold of their own (modality). δ holds for each
        of them, not for all together.

    Returns
    -------
    pandas.DataFrame
        One row a group:

        - the `by` columns
        - threshold: certified, infinite if none is
        - n_fit, fit_coverage: answers it was chosen on, which have a confidence, and the share of
          these that it retains
        - n_test, test_coverage: answers it is judged on, and the share of all of them that it
          retains
        - test_risk, test_risk_low, test_risk_high: share wrong among those kept, 95 % by image
        - test_error: share wrong of all

    Raises
    ------
    ValueError
        Where the two share an image, or there is no answer to choose on.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> answers = pd.DataFrame({"item_id": np.arange(800), "confidence": rng.uniform(0.5, 1, 800)})
    >>> answers["correct"] = rng.random(800) < answers["confidence"]
    >>> table = threshold_table(answers[:400], answers[400:], target=0.2, delta=0.1)
    >>> table[["threshold", "test_coverage", "test_risk"]].round(2).to_numpy().tolist()
    [[0.65, 0.7, 0.19]]
    """
    warn_of_cross_fitted(fit)
    refuse_shared(fit, test, "fit and test")
    if fit.empty:
        raise NotEnough("fit: no answers, so that no threshold can be certified")
    fit, test = judged_by(fit, by), judged_by(test, by)
    graded = test[test["correct"].notna()]
    judged = rows_by(graded, by)
    rows = []
    for key, part in parts_by(fit, by):
        chosen_on = measured(part)
        certified = NONE
        if len(chosen_on):
            certified = selective_threshold(
                *arrays(chosen_on),
                target=target,
                delta=delta,
                groups=image_labels(chosen_on),
            )
        row = {"threshold": certified.threshold, "n_fit": len(chosen_on)}
        row |= {"fit_coverage": certified.coverage}
        others = judged.get(tuple(key.values()), graded[:0])
        rows.append(key | row | _judged_on(others, certified.threshold))
    return pd.DataFrame(rows)


def _judged_on(judged: pd.DataFrame, threshold: float) -> dict[str, float]:
    """What a threshold does on answers it was not chosen on."""
    correct = judged["correct"].astype(float)
    is_kept = judged["confidence"].fillna(-1.0) >= threshold
    wrong = 1 - correct[is_kept]
    row = {"n_test": len(judged), "test_coverage": is_kept.mean()}
    row |= {"test_risk": wrong.mean(), "test_error": 1 - correct.mean()}
    row |= {"test_risk_low": np.nan, "test_risk_high": np.nan}
    if wrong.size:
        images = image_labels(judged)[is_kept.to_numpy()]
        low, high = clustered_interval(wrong, images)
        row |= {"test_risk_low": low, "test_risk_high": high}
    return row
