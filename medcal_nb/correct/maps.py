"""Recalibration maps: from an elicited confidence to a better one, fitted on graded answers.

:func:`fit` takes ``(confidence, correct)`` and returns a frozen :class:`Recalibrator`: call it
on confidences, read its ``params``. :func:`recalibrated` does this for tables of answers, one map
for each model and strategy.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from medcal_nb.errors import NotEnough
from medcal_nb.measure._check import check_confidence, check_pair
from medcal_nb.measure.resampling import choose_clip
from medcal_nb.measure.rows import arrays, measured, refuse_shared, rows_by

from .families import Family, family

#: Fewer labelled answers than this fit nothing: the map changes nothing.
MIN_FIT = 5
BY = ("model", "strategy")


class RecalibrationWarning(UserWarning):
    """The data could not support the map that was asked for; the message says what was done."""


@dataclass(frozen=True)
class Recalibrator:
    """A fitted map from confidence to confidence.

    Attributes
    ----------
    name : str
        The family: one of ``MAPS``, or a map of netcal.
    params : dict
        The fitted numbers.
    clip : float
        Confidences are moved into [clip, 1 - clip] before log-odds are taken.
    """

    name: str
    params: Mapping
    clip: float

    def __call__(self, confidence: np.ndarray) -> np.ndarray:
        """Corrected confidence of each answer.

        Parameters
        ----------
        confidence : array of shape (n,), in [0, 1]

        Returns
        -------
        array
            Of the shape of ``confidence``.

        Raises
        ------
        ValueError
            If a value is missing or outside [0, 1].
        """
        own = family(self.name)
        features = own.features(check_confidence(confidence), self.clip)
        values = tuple(self.params[name] for name in own.parameters)
        return own.apply([values], features)[0]


def fit(
    confidence: np.ndarray,
    correct: np.ndarray,
    *,
    method: str = "platt",
    clip: float | None = None,
) -> Recalibrator:
    r"""Fit one recalibration map.

    - ``temperature`` (``log_odds`` in tables): temperature scaling (Guo 2017) of two options,
      right and wrong, :math:`\sigma(\operatorname{logit}(c) / T)`, which never crosses ½; by
      maximum likelihood, T in [0.02, 50]
    - ``platt``: :math:`\sigma(a \operatorname{logit}(c) + b)`, by maximum likelihood of Platt's
      targets, (r + 1) / (r + 2) of r right answers and 1 / (w + 2) of w wrong ones (Platt 1999)
    - ``isotonic``: the best non-decreasing map, within 1 / (n + 2) of 0 and 1 (Zadrozny 2002)
    - ``netcal:BetaCalibration`` and the other maps of netcal, by the names of its classes

    Parameters
    ----------
    confidence : array of shape (n,), in [0, 1]
    correct : array of shape (n,), 0 or 1
    method : str
        One of ``MAPS``, or a map of netcal.
    clip : float, optional
        Confidences are moved into [clip, 1 - clip] first: a confidence of 100 % has no finite
        log-odds. By default :func:`medcal_nb.measure.resampling.choose_clip` chooses.

    Returns
    -------
    Recalibrator

    Raises
    ------
    ValueError
        On an unknown method, values missing or out of range, or lengths that differ.

    Warns
    -----
    RecalibrationWarning
        Where the answers cannot support the map: too few, all right, all of one confidence, or a
        temperature at a bound.

    References
    ----------
    arXiv 1706.04599; doi 10.1007/s10994-007-5018-6; doi 10.1145/775047.775151.

    Examples
    --------
    >>> confidence = [0.9] * 20 + [0.7] * 20
    >>> correct = [1] * 14 + [0] * 6 + [1] * 11 + [0] * 9
    >>> recalibrate = fit(confidence, correct, method="temperature")
    >>> recalibrate([0.9, 0.7]).round(2)
    array([0.69, 0.58])
    """
    asked = family(method)
    c, y = check_pair(confidence, correct)
    clip = choose_clip(c) if clip is None else clip
    values, note = _fitted(asked, c, y, clip)
    if note:
        warnings.warn(f"{method}: {note}", RecalibrationWarning, stacklevel=2)
    params = dict(zip(asked.parameters, values, strict=True))
    return Recalibrator(name=asked.name, params=params, clip=clip)


def _fitted(
    family: Family, c: np.ndarray, y: np.ndarray, clip: float
) -> tuple[Sequence, str]:
    """The parameters, and what the answers could not support, "" if nothing."""
    if y.size < MIN_FIT:
        note = f"{y.size} labelled answers, fewer than {MIN_FIT}"
        return family.unchanged, note
    # one row for each confidence: a model states a dozen of them
    values, place = np.unique(c, return_inverse=True)
    n = np.bincount(place).astype(float)
    n_right = np.bincount(place, weights=y)
    features = family.features(values, clip)
    theta = family.fit(features, n_right[None], n[None], None)[0]
    note = ""
    if y.min() == y.max():
        grade = "right" if y[0] else "wrong"
        note = f"all {y.size} answers are {grade}"
    elif np.ptp(c) == 0:
        note = (
            f"every confidence is {c[0]:.4g}: the map gives the share of right answers"
        )
    elif family.at_bound(theta[0]):
        (name,) = family.parameters
        note = f"the likelihood has no maximum inside the bounds of {name}"
    return [np.asarray(value).tolist() for value in theta], note


# --- graded answers -----------------------------------------------------------------------------


def recalibrated(
    source: pd.DataFrame, target: pd.DataFrame, *, method: str = "platt"
) -> pd.DataFrame:
    """Answers recalibrated by maps that were fitted on others, one for each model and strategy.

    Parameters
    ----------
    source : DataFrame
        Graded answers to fit on: model, strategy, confidence, correct, and what names the image.
        Those without a confidence or a grade are left out.
    target : DataFrame
        Answers to recalibrate, graded or not; those whose model and strategy have no map are left
        out.
    method : str
        One of ``MAPS``.

    Returns
    -------
    DataFrame
        The rows recalibrated:

        - the columns of `target`: ``strategy`` is followed by ``+`` and the map's name, a
          recalibrated strategy is another strategy, and its uncorrected one stays comparable
        - confidence: recalibrated; missing stays missing
        - confidence_uncorrected: the one before

        Probabilities of options are missing: they would contradict the confidence.

    Raises
    ------
    ValueError
        On an unknown method, if no row can be fitted on or none has a map, or if an image of a
        graded answer is in both tables: a map flatters itself on its own images.

    Examples
    --------
    >>> answers = pd.DataFrame({"confidence": [0.9, 0.8, 0.6] * 20, "correct": [1, 0, 0] * 20})
    >>> answers = answers.assign(model="m", dataset="d", strategy="verbalized")
    >>> answers["item_id"] = answers["image_id"] = [f"i{k}" for k in range(60)]
    >>> table = recalibrated(answers[:30], answers[30:])
    >>> table[["strategy", "confidence_uncorrected", "confidence"]].head(2).round(2)
               strategy  confidence_uncorrected  confidence
    0  verbalized+platt                     0.9        0.86
    1  verbalized+platt                     0.8        0.14
    """
    rows = measured(source)
    if rows.empty:
        raise NotEnough("no row has what the fit needs: a confidence and a grade")
    # an answer without a grade measures nothing
    is_graded = target["correct"].notna()
    refuse_shared(rows, target[is_graded], "source and target")
    fitted_on = rows_by(rows, BY)
    parts = []
    for key, part in rows_by(target, BY).items():
        if key not in fitted_on:
            continue
        recalibrate = fit(*arrays(fitted_on[key]), method=method)
        before = part["confidence"].to_numpy(float)
        has = ~np.isnan(before)
        confidence = before.copy()
        confidence[has] = recalibrate(before[has])
        strategy = part["strategy"].astype(str) + f"+{recalibrate.name}"
        out = part.assign(confidence_uncorrected=before, confidence=confidence)
        parts.append(out.assign(strategy=strategy))
    if not parts:
        names = ", ".join(BY)
        raise NotEnough(
            f"none of the {len(fitted_on)} maps is for these answers' {names}"
        )
    table = pd.concat(parts).sort_index(kind="stable").reset_index(drop=True)
    if "option_probabilities" in table:
        table["option_probabilities"] = None
    return table
