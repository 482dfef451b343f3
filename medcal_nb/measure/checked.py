r"""A grade may err: a grader's grades of all answers, and a person's of a random share of them.

What a mean would be by the right grades is its mean by the grader's, corrected by what those that a
person checked show (prediction-powered inference, PPI++),

.. math:: \hat\theta = \bar\ell_n(y) + \lambda \, (\bar\ell_N(g) - \bar\ell_n(g))

with y the person's grades of n answers, g the grader's of all N, and λ in [0, 1] as it makes the
variance least: 1 for a grader that hardly errs, 0 for one whose grades say nothing. How often the
intervals cover: docs/intervals.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medcal_nb.errors import NotEnough

from ._check import check_correct, check_groups, check_level
from .intervals import PRIOR_IMAGES
from .inversion import ece_interval
from .registry import METRICS
from .resampling import (
    Bootstrap,
    FloatArray,
    Resamples,
    cautious_effect,
    effective_number,
    percentile_ends,
    student,
)
from .rows import arrays, image_labels, measured, parts_by

Loss = Callable[[FloatArray, FloatArray], FloatArray]
#: Means of one number an answer, of confidence and outcome.
LOSSES: dict[str, Loss] = {
    "accuracy": lambda c, y: y,
    "gap": lambda c, y: c - y,
    "brier": lambda c, y: (c - y) ** 2,
}
METRICS_CHECKED = (*LOSSES, "ece", "auroc")
#: So many more of those checked are taken to have another grade, one either way (Agresti & Coull).
UNSEEN_ERRORS = 2
#: Fewer checked answers say nothing.
LEAST = 20
WIDTH = 0.1
#: Share of right grades of a grader of whom nothing is known.
GRADER_RIGHT = 0.93


class _Answers(NamedTuple):
    """Answers of one group: those checked, and all."""

    c: FloatArray
    grader: FloatArray
    person: FloatArray  # NaN where not checked
    images: NDArray[np.intp]

    @property
    def is_checked(self) -> NDArray[np.bool_]:
        """(n,) whether a person graded it."""
        return ~np.isnan(self.person)


def checked_table(
    graded: pd.DataFrame,
    *,
    by: Sequence[str] = ("model", "dataset", "strategy"),
    width: float = WIDTH,
    ci: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    r"""Accuracy, overconfidence, Brier score, ECE and AUROC by the right grades.

    A rule or a language model graded all answers, and a person a random share of them
    (`answers_to_check`). Accuracy, overconfidence and Brier score are means,

    .. math:: \hat\theta = \bar\ell_n(y) + \lambda \, (\bar\ell_N(g) - \bar\ell_n(g))

    with y the person's grades of n answers, g the grader's of all N, and λ in [0, 1] as it makes
    the variance least, by image. The AUROC is corrected in the same way on resamples of those
    checked and of the others. The ECE is that of those checked alone, with `ece_interval`:
    corrected, it keeps its bias, and its resamples covered .63 to .98.

    Parameters
    ----------
    graded : pandas.DataFrame
        With confidence, correct (the grader's), checked (the person's: 1, 0, or missing where not
        checked), item_id, image_id where known, and the columns of `by`.
    by : sequence of str
        Columns that make the groups.
    width : float
        Wanted of an interval, in (0, 1).
    ci : Bootstrap
        Level, number of resamples and seed of the intervals, by image.

    Returns
    -------
    pandas.DataFrame
        One row a group and metric:

        - the `by` columns
        - metric: "accuracy", "gap", "brier", "ece", "auroc"
        - n, n_checked: answers, and those checked
        - graded_alike: share of the latter that grader and person grade alike
        - by_grader: the metric by the grader's grades of all answers
        - corrected: by the right grades, with _low, _high
        - weight: λ; 0: of those checked alone
        - n_more: answers still to be checked until the interval of a mean is so narrow; NaN where
          even all of them are not enough

    Raises
    ------
    NotEnough
        If fewer than 20 answers of a group were checked.
    ValueError
        On a column the table lacks, or grades that are neither 0 nor 1.

    References
    ----------
    Angelopoulos, Duchi & Zrnic, PPI++, arXiv:2311.01453; two samples resampled: Zrnic,
    arXiv:2405.18379.

    Examples
    --------
    >>> from medcal_nb.measure import example_answers
    >>> answers = example_answers(600, strategies=["verbalized"])
    >>> rng = np.random.default_rng(0)
    >>> rows = answers_to_check(answers, 200, rng=rng)
    >>> answers["checked"] = answers["correct"].where(answers.index.isin(rows))
    >>> errs = rng.random(len(answers)) < 0.07
    >>> answers["correct"] = np.where(errs, 1 - answers["correct"], answers["correct"])
    >>> table = checked_table(answers, by=[])
    >>> table.loc[2, ["by_grader", "corrected"]].astype(float).round(2).tolist()
    [0.22, 0.21]
    """
    check_level(width, "width")
    parts_by(graded[:0], [*by, "checked"])
    rows = []
    for key, part in parts_by(measured(graded), by):
        answers = _answers(part)
        is_checked = answers.is_checked
        n_checked = int(is_checked.sum())
        if n_checked < LEAST:
            raise NotEnough(
                f"{n_checked} answers were checked, fewer than {LEAST}: grade more of the sheet"
            )
        alike = answers.grader[is_checked] == answers.person[is_checked]
        first = {"n": len(part), "n_checked": n_checked, "graded_alike": alike.mean()}
        labels = image_labels(part)
        for name in METRICS_CHECKED:
            row = {"metric": name} | first
            by_grader = METRICS[name].sums(answers.c, answers.grader)
            row["by_grader"] = by_grader.value()
            if name in LOSSES:
                row |= _mean(answers, LOSSES[name], width, ci.level)
            elif name == "ece":
                row |= _ece(answers, labels, ci)
            else:
                row |= _auroc(answers, labels, ci)
            ends = np.clip([row["low"], row["high"]], *METRICS[name].bounds)
            row |= dict(zip(("corrected_low", "corrected_high"), ends, strict=True))
            rows.append(key | row)
    names = ["metric", "n", "n_checked", "graded_alike", "by_grader"]
    names += ["corrected", "corrected_low", "corrected_high", "weight", "n_more"]
    return pd.DataFrame(rows, columns=[*by, *names])


def _answers(part: pd.DataFrame) -> _Answers:
    person = part["checked"].to_numpy(float, na_value=np.nan)
    check_correct(person[~np.isnan(person)])
    codes, _ = check_groups(image_labels(part), len(part))
    return _Answers(
        c=part["confidence"].to_numpy(float),
        grader=part["correct"].to_numpy(float),
        person=person,
        images=codes,
    )


# --- means --------------------------------------------------------------------------------


def _mean(
    answers: _Answers, loss: Loss, width: float, level: float
) -> dict[str, float]:
    """One mean, corrected."""
    is_checked = answers.is_checked
    graded = loss(answers.c, answers.grader)
    right = loss(answers.c[is_checked], answers.person[is_checked])
    # (N,) what each answer adds to the error of the mean of those checked, and of its correction
    own = _pull(right, is_checked)
    shift = _pull(graded) - _pull(graded[is_checked], is_checked)
    weight = _weight(own, shift, answers.images)
    value = right.mean() + weight * (graded.mean() - graded[is_checked].mean())
    seen_error = _variance(own + weight * shift, answers)
    unseen = _unseen(loss, answers.c[is_checked], answers.images)
    n_images = effective_number(np.bincount(answers.images[is_checked]))
    quantile = student(level, max(n_images - 1, 1.0))
    half = quantile * np.sqrt(seen_error + unseen)
    of_all = weight**2 * graded.var() / graded.size
    room = (width / 2 / quantile) ** 2 - of_all
    needed = _needed(seen_error - of_all, unseen, room, right.size)
    return {
        "corrected": value,
        "low": value - half,
        "high": value + half,
        "weight": weight,
        "n_more": max(needed - right.size, 0.0) if needed <= graded.size else np.nan,
    }


def _pull(x: FloatArray, rows: NDArray[np.bool_] | slice = slice(None)) -> FloatArray:
    """What each answer adds to the error of the mean of some; 0 of the others."""
    own = (x - x.mean()) / x.size
    if isinstance(rows, slice):
        return own
    pull = np.zeros(rows.size)
    pull[rows] = own
    return pull


def _needed(seen: float, unseen: float, room: float, n: int) -> float:
    """Answers to check until their part of a variance fits into the room that is left for it.

    Of n answers it is what is seen, which falls with their number, and what is not, with its
    square. Infinite where the error that lies in all answers leaves no room.
    """
    if room <= 0:
        return np.inf
    root = np.sqrt(seen**2 + 4 * unseen * room)
    return float(np.ceil(n * (seen + root) / (2 * room)))


def _weight(own: FloatArray, shift: FloatArray, images: NDArray[np.intp]) -> float:
    """λ, in [0, 1], of the least variance by image."""
    of_own = np.bincount(images, own)
    of_shift = np.bincount(images, shift)
    square = of_shift @ of_shift
    return float(np.clip(-(of_own @ of_shift) / square, 0, 1)) if square > 0 else 0.0


def _unseen(loss: Loss, c: FloatArray, images: NDArray[np.intp]) -> float:
    """Variance of errors not seen: few, or none, look like less noise than there is.

    An error comes with those of its image, as `cautious_effect` has it where nothing is known.
    """
    step = loss(c, np.ones_like(c)) - loss(c, np.zeros_like(c))
    alone = UNSEEN_ERRORS * (step**2).mean() / c.size**2
    return alone * cautious_effect(1.0, np.bincount(images), 0, PRIOR_IMAGES)


def _variance(pull: FloatArray, answers: _Answers) -> float:
    """Variance of what answers add up to, by image; few errors show little of their likeness."""
    is_checked = answers.is_checked
    of_image = np.bincount(answers.images, pull)
    alone = pull @ pull
    is_wrong = answers.grader == 0
    rarer = is_wrong == (np.mean(is_wrong) < 0.5)
    n_known = np.unique(answers.images[is_checked & rarer]).size
    n_images = np.unique(answers.images[is_checked]).size
    seen = n_images / max(n_images - 1, 1) * float(of_image @ of_image)
    effect = seen / max(float(alone), 1e-300)
    sizes = np.bincount(answers.images)
    return float(alone * cautious_effect(effect, sizes, n_known, PRIOR_IMAGES))


# --- numbers that are no means --------------------------------------------------------------


def _ece(answers: _Answers, labels: NDArray, ci: Bootstrap) -> dict[str, float]:
    """Of those checked alone."""
    rows = answers.is_checked
    found = ece_interval(
        answers.c[rows], answers.person[rows], groups=labels[rows], ci=ci
    )
    return {
        "corrected": found.estimate,
        "low": found.low,
        "high": found.high,
        "weight": 0.0,
    }


def _auroc(answers: _Answers, labels: NDArray, ci: Bootstrap) -> dict[str, float]:
    """Corrected; those checked and the others are resampled, each sample by itself."""
    is_checked = answers.is_checked
    drawn = ci.of(labels[is_checked]).beside(ci.of(labels[~is_checked]))
    order = np.argsort(~is_checked, kind="stable")  # as in the resamples
    c = answers.c[order]
    person = answers.person[is_checked]
    codes = drawn.codes[: person.size]
    right = _areas(c, person, drawn)
    shift = _areas(c, answers.grader[order], drawn)
    shift -= _areas(c, answers.grader[is_checked], drawn)
    known = ~np.isnan(right + shift)
    known[0] = False
    weight = 0.0
    if known.sum() > 1 and shift[known].var() > 0:
        covariance = np.cov(right[known], shift[known])
        weight = float(np.clip(-covariance[0, 1] / covariance[1, 1], 0, 1))
    draws = right + weight * shift
    # the images that hold the rarer outcome
    n_groups = min(drawn.effective(codes, kind) for kind in (person, 1 - person))
    low, high = percentile_ends(
        draws, level=ci.level, n_groups=n_groups, bounds=(0.0, 1.0)
    )
    return {"corrected": draws[0], "low": low, "high": high, "weight": weight}


def _areas(c: FloatArray, y: FloatArray, drawn: Resamples) -> FloatArray:
    """(1 + r,) AUROC of the first answers, as many as outcomes, on resamples."""
    sums = METRICS["auroc"].sums(c[: y.size], y)
    return sums.resampled(drawn, drawn.codes[: y.size])


# --- which to check, and what errors would do ---------------------------------------------


def answers_to_check(
    graded: pd.DataFrame, n: int, *, rng: np.random.Generator
) -> pd.Index:
    """Rows of a random share of the answers, whole images in a random order.

    Whoever grades them from the top may stop after any image: what is graded is a random share.

    Parameters
    ----------
    graded : pandas.DataFrame
        With confidence, correct, item_id, and image_id where known.
    n : int
        Answers at least; all where there are no more.
    rng : numpy.random.Generator
        Draws the images.

    Returns
    -------
    pandas.Index
        Labels of rows, image by image.

    Examples
    --------
    >>> from medcal_nb.measure import example_answers
    >>> rows = answers_to_check(example_answers(100), 30, rng=np.random.default_rng(0))
    >>> len(rows) >= 30
    True
    """
    answers = measured(graded)
    codes, n_images = check_groups(image_labels(answers), len(answers))
    place = rng.permutation(n_images)[codes]
    order = np.argsort(place, kind="stable")
    n_until = np.bincount(place).cumsum()
    last = min(int(np.searchsorted(n_until, n)), n_images - 1)
    return answers.index[order[: n_until[last]]]


def erring_grader_table(
    graded: pd.DataFrame,
    *,
    by: Sequence[str] = ("model", "dataset", "strategy"),
    right: float = GRADER_RIGHT,
) -> pd.DataFrame:
    r"""What the numbers would be by the right grades if the grader is right in such a share.

    If it errs either way alike, whatever the confidence, a mean follows from its values with the
    grades g and with the opposite ones, and the AUROC from predictive values (an attenuation),

    .. math:: \bar\ell(y) = \frac{r \bar\ell(g) - (1 - r) \bar\ell(1 - g)}{2 r - 1}, \qquad
       A_y - \tfrac12 = \frac{A_g - \frac12}{P(y{=}1|g{=}1) + P(y{=}0|g{=}0) - 1}

    If all of its errors are of one kind, accuracy and overconfidence lie anywhere within 1 − r.

    Parameters
    ----------
    graded : pandas.DataFrame
        With confidence, correct (the grader's) and the columns of `by`.
    by : sequence of str
        Columns that make the groups.
    right : float
        r, the share of its grades that are right, above ½ and below 1.

    Returns
    -------
    pandas.DataFrame
        One row a group and metric:

        - the `by` columns
        - metric: "accuracy", "gap", "brier", "auroc"
        - by_grader: by its grades
        - corrected: if it errs either way alike; NaN where it cannot have given these grades
        - least, most: if its errors are all of one kind; of accuracy and overconfidence

    Raises
    ------
    ValueError
        On a column the table lacks, or a share out of range.

    References
    ----------
    Rogan & Gladen, American Journal of Epidemiology 1978,
    doi:10.1093/oxfordjournals.aje.a112510.

    Examples
    --------
    >>> graded = pd.DataFrame({"confidence": [0.9] * 10, "correct": [1] * 6 + [0] * 4})
    >>> table = erring_grader_table(graded, by=[], right=0.9)
    >>> table.iloc[0, 1:].astype(float).round(3).tolist()
    [0.6, 0.625, 0.5, 0.7]
    """
    if not 0.5 < right < 1:
        raise ValueError(f"right must lie between ½ and 1, got {right!r}")
    rows = []
    for key, part in parts_by(measured(graded), by):
        c, y = arrays(part)
        wrong = 1 - right
        is_possible = wrong <= y.mean() <= right
        for name, loss in LOSSES.items():
            seen = loss(c, y).mean()
            value = (right * seen - wrong * loss(c, 1 - y).mean()) / (2 * right - 1)
            if not is_possible:
                value = np.nan
            row = {"metric": name, "by_grader": seen, "corrected": value}
            if name != "brier":
                ends = np.clip([seen - wrong, seen + wrong], *METRICS[name].bounds)
                row |= {"least": ends[0], "most": ends[1]}
            rows.append(key | row)
        area = METRICS["auroc"].sums(c, y).value()
        row = {
            "metric": "auroc",
            "by_grader": area,
            "corrected": _unattenuated(area, y.mean(), right),
        }
        rows.append(key | row)
    names = ["metric", "by_grader", "corrected", "least", "most"]
    return pd.DataFrame(rows, columns=[*by, *names])


def _unattenuated(area: float, accuracy: float, right: float) -> float:
    """The AUROC by the right grades, of that by a grader who errs either way alike."""
    share = (accuracy - (1 - right)) / (2 * right - 1)  # truly right
    if not 0 < share < 1:
        return np.nan
    of_right = right * share / accuracy
    of_wrong = right * (1 - share) / (1 - accuracy)
    value = 0.5 + (area - 0.5) / (of_right + of_wrong - 1)
    return value if 0 <= value <= 1 else np.nan
