"""Recalibration maps: from an elicited confidence to a better one, fitted on graded answers.

:func:`fit` takes ``(confidence, correct)`` and returns a frozen :class:`Recalibrator`: call it
on confidences, read its ``params``. It remembers the images that it was fitted on and refuses to
be scored on them. :func:`fit_maps` and :func:`apply_maps` do this for tables of graded answers,
one map for each model and strategy.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from medcal_nb.errors import NotEnough
from medcal_nb.measure._check import (
    check_choice,
    check_confidence,
    check_length,
    check_pair,
)
from medcal_nb.measure.resampling import choose_clip
from medcal_nb.measure.rows import (
    arrays,
    image_labels,
    measured,
    plain_ids,
    rows_by,
)

from .families import MAPS

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
        The family: one of ``MAPS``.
    params : dict
        The fitted numbers.
    clip : float
        Confidences are moved into [clip, 1 - clip] before log-odds are taken.
    fitted_on : frozenset of str
        Names of the images used in the fit; empty where none were named.
    """

    name: str
    params: Mapping
    clip: float
    fitted_on: frozenset[str] = field(default_factory=frozenset, repr=False)

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
        family = MAPS[self.name]
        features = family.features(check_confidence(confidence), self.clip)
        values = tuple(self.params[name] for name in family.parameters)
        return family.apply([values], features)[0]

    def apply(
        self, confidence: np.ndarray, *, images: Sequence | np.ndarray
    ) -> np.ndarray:
        """Corrected confidences of answers on images none of which the map was fitted on.

        Parameters
        ----------
        confidence : array of shape (n,), in [0, 1]
            As a call of the map takes them.
        images : sequence of n labels
            The image of each answer.

        Returns
        -------
        array
            Of the shape of ``confidence``.

        Raises
        ------
        ValueError
            If one was: scoring a map on its own images flatters it.
        """
        seen = [key in self.fitted_on for key in plain_ids(images)]
        if any(seen):
            first = list(images)[seen.index(True)]
            raise NotEnough(
                f"{sum(seen)} of {len(seen)} answers are on images that were used to fit this "
                f"{self.name} map, the first {first}; pick other rows"
            )
        return self(confidence)


def fit(
    confidence: np.ndarray,
    correct: np.ndarray,
    *,
    method: str = "platt",
    images: Sequence | np.ndarray | None = None,
    clip: float | None = None,
) -> Recalibrator:
    r"""Fit one recalibration map.

    - ``log_odds``: temperature scaling (Guo 2017) of two options, right and wrong,
      :math:`\sigma(\operatorname{logit}(c) / T)`, which never crosses ½; by maximum likelihood, T
      in [0.02, 50]
    - ``platt``: :math:`\sigma(a \operatorname{logit}(c) + b)`, by maximum likelihood of Platt's
      targets, (r + 1) / (r + 2) of r right answers and 1 / (w + 2) of w wrong ones (Platt 1999)
    - ``isotonic``: the best non-decreasing map, within 1 / (n + 2) of 0 and 1 (Zadrozny 2002)

    Parameters
    ----------
    confidence : array of shape (n,), in [0, 1]
    correct : array of shape (n,), 0 or 1
    method : str
        One of ``MAPS``.
    images : sequence of n labels, optional
        Remembered, so that the map refuses to be scored on them.
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
    >>> recalibrate = fit(confidence, correct, method="log_odds")
    >>> recalibrate([0.9, 0.7]).round(2)
    array([0.69, 0.58])
    """
    check_choice(method, "method", MAPS)
    c, y = check_pair(confidence, correct)
    if images is not None:
        check_length(images, len(c), "images")
    clip = choose_clip(c) if clip is None else clip
    params, note = _fitted(method, c, y, clip)
    if note:
        warnings.warn(f"{method}: {note}", RecalibrationWarning, stacklevel=2)
    fitted_on = frozenset() if images is None else frozenset(plain_ids(images))
    return Recalibrator(name=method, params=params, clip=clip, fitted_on=fitted_on)


def _fitted(method: str, c: np.ndarray, y: np.ndarray, clip: float) -> tuple[dict, str]:
    """Parameters by name, and what the answers could not support, "" if nothing."""
    family = MAPS[method]
    if y.size < MIN_FIT:
        note = f"{y.size} labelled answers, fewer than {MIN_FIT}"
        return dict(zip(family.parameters, family.unchanged, strict=True)), note
    weights = np.ones((1, c.size))
    theta = family.fit(family.features(c, clip), y[None], weights, None)[0]
    note = ""
    if y.min() == y.max():
        note = f"all {y.size} answers are {'right' if y[0] else 'wrong'}"
    elif np.ptp(c) == 0:
        note = (
            f"every confidence is {c[0]:.4g}: the map gives the share of right answers"
        )
    elif family.at_bound(theta[0]):
        ends = " … ".join(map(str, family.bounds or ()))
        note = f"the likelihood has no maximum inside {family.parameters[0]} = {ends}"
    values = [v.tolist() if hasattr(v, "tolist") else v for v in theta]
    return dict(zip(family.parameters, values, strict=True)), note


# --- graded answers -----------------------------------------------------------------------------


def fit_maps(
    graded: pd.DataFrame, *, method: str = "platt"
) -> dict[tuple, Recalibrator]:
    """One map for each model and strategy; it remembers the images that it was fitted on.

    Rows without a confidence or a grade are left out.

    Parameters
    ----------
    graded : DataFrame
        One row an answer: model, strategy, confidence, correct, and what names its image.
    method : str
        One of ``MAPS``.

    Returns
    -------
    dict
        (model, strategy) → :class:`Recalibrator`.

    Raises
    ------
    ValueError
        On an unknown method, or if no row can be used.

    Examples
    --------
    >>> from medcal_nb.measure import example_answers
    >>> maps = fit_maps(example_answers())
    >>> list(maps)
    [('m1', 'p_true'), ('m1', 'verbalized')]
    """
    rows = measured(graded)
    if rows.empty:
        raise NotEnough("no row has what the fit needs: a confidence and a grade")
    maps = {}
    for key, part in rows_by(rows, BY).items():
        maps[key] = fit(*arrays(part), method=method, images=image_labels(part))
    return maps


def apply_maps(
    graded: pd.DataFrame, maps: Mapping[tuple, Recalibrator]
) -> pd.DataFrame:
    """Recalibrate the answers whose model and strategy have a map, and no others.

    Parameters
    ----------
    graded : DataFrame
        One row an answer: model, strategy, confidence, and what names its image.
    maps : mapping
        (model, strategy) → `Recalibrator`, as `fit_maps` returns them.

    Returns
    -------
    DataFrame
        The rows recalibrated:

        - the columns of `graded`: ``strategy`` is followed by ``+`` and the map's name, a
          recalibrated strategy is another strategy, and its uncorrected one stays comparable
        - confidence: recalibrated; missing stays missing
        - confidence_raw: the one before

        Probabilities of options are missing: they would contradict the confidence.

    Raises
    ------
    ValueError
        If none has a map, or an image was used to fit its map.

    Examples
    --------
    >>> answers = pd.DataFrame({"confidence": [0.9, 0.8, 0.6] * 20, "correct": [1, 0, 0] * 20})
    >>> answers = answers.assign(model="m", dataset="d", strategy="verbalized")
    >>> answers["item_id"] = answers["image_id"] = [f"i{k}" for k in range(60)]
    >>> recalibrated = apply_maps(answers[30:], fit_maps(answers[:30]))
    >>> recalibrated[["strategy", "confidence_raw", "confidence"]].head(2).round(2)
               strategy  confidence_raw  confidence
    0  verbalized+platt             0.9        0.86
    1  verbalized+platt             0.8        0.14
    """
    parts = []
    for key, part in rows_by(graded, BY).items():
        if key not in maps:
            continue
        recalibrate = maps[key]
        before = part["confidence"].to_numpy(float)
        has = ~np.isnan(before)
        confidence = before.copy()
        images = image_labels(part[has])
        confidence[has] = recalibrate.apply(before[has], images=images)
        strategy = part["strategy"].astype(str) + f"+{recalibrate.name}"
        out = part.assign(confidence_raw=part["confidence"], confidence=confidence)
        parts.append(out.assign(strategy=strategy))
    if not parts:
        raise NotEnough(
            f"none of the {len(maps)} maps is for these answers' {', '.join(BY)}"
        )
    table = pd.concat(parts).sort_index(kind="stable").reset_index(drop=True)
    if "option_probabilities" in table:
        table["option_probabilities"] = None
    return table
