"""Recalibration maps: from an elicited confidence to a better one, fitted on graded answers.

:func:`fit` takes ``(confidence, correct)`` and returns a frozen :class:`Recalibrator`: call it
on confidences, read its ``params``. It remembers the images that it was fitted on and refuses to
be scored on them. :func:`fit_maps` and :func:`apply_maps` do this for tables of graded answers,
one map for each model and strategy.
"""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from medcal_nb.measure._check import (
    check_choice,
    check_confidence,
    check_length,
    check_pair,
)
from medcal_nb.measure.resampling import choose_clip
from medcal_nb.measure.rows import image_labels, measured, parts_by, plain_ids

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
            For a map of all options: their probabilities (n, k), NaN where absent.

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
        features = family.features(_checked(family.inputs, confidence), self.clip)
        values = tuple(self.params[name] for name in family.parameters)
        if family.all_options is not None:
            return family.all_options(values, features)
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
            raise ValueError(
                f"{sum(seen)} of {len(seen)} answers are on images that were used to fit this "
                f"{self.name} map, the first {first}; pick other rows"
            )
        return self(confidence)


def _checked(inputs: str, confidence: np.ndarray) -> np.ndarray:
    """Confidences (n,), or probabilities of options (n, k) that sum to 1, or ValueError."""
    if inputs == "confidence":
        return check_confidence(confidence)
    p = np.asarray(confidence, dtype=float)
    shaped = p.ndim == 2 and p.shape[1] > 1
    inside = shaped and not ((p < 0) | (p > 1 + 1e-6)).any()
    if not inside or not (np.nansum(p, axis=1) > 0).all():
        raise ValueError(
            f"options: expected (n, k) probabilities of k >= 2, got {p.shape} numbers"
        )
    return p / np.nansum(p, axis=1, keepdims=True)


def fit(
    confidence: np.ndarray,
    correct: np.ndarray,
    *,
    method: str = "platt",
    images: Sequence | np.ndarray | None = None,
    clip: float | None = None,
) -> Recalibrator:
    r"""Fit one recalibration map.

    - ``temperature``: :math:`p_j^{1/T} / \sum_i p_i^{1/T}` over all options (Guo 2017)
    - ``log_odds``: :math:`\sigma(\operatorname{logit}(c) / T)`, never crosses ½
    - ``platt``: :math:`\sigma(a \operatorname{logit}(c) + b)` (Platt 1999)
    - ``isotonic``: the best non-decreasing map, within 1 / (n + 2) of 0 and 1 (Zadrozny 2002)

    The first three by maximum likelihood, T in [0.02, 50], platt with Platt's targets.

    Parameters
    ----------
    confidence : array of shape (n,), in [0, 1]
        For a map of all options: their probabilities (n, k), NaN where absent.
    correct : array of shape (n,), 0 or 1
        For a map of all options: the index of the right option, -1 where it is none.
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
    inputs = MAPS[method].inputs
    if inputs == "options":
        c = _checked(inputs, confidence)
        y = np.asarray(correct, int)
        check_length(y, len(c), "correct")
        top = np.nanmax(c, axis=1)
        leads = c[np.arange(len(c)), y] >= top
        outcomes = leads[y >= 0]
    else:
        c, y = check_pair(confidence, correct)
        top = c
        outcomes = y
    if images is not None:
        check_length(images, len(c), "images")
    clip = choose_clip(top) if clip is None else clip
    params, note = _fitted(method, c, y, outcomes, clip)
    if note:
        warnings.warn(f"{method}: {note}", RecalibrationWarning, stacklevel=2)
    fitted_on = frozenset() if images is None else frozenset(plain_ids(images))
    return Recalibrator(name=method, params=params, clip=clip, fitted_on=fitted_on)


def _fitted(
    method: str, c: np.ndarray, y: np.ndarray, outcomes: np.ndarray, clip: float
) -> tuple[dict, str]:
    """Parameters by name, and what the answers could not support, "" if nothing."""
    family = MAPS[method]
    if len(outcomes) < MIN_FIT:
        note = f"{len(outcomes)} labelled answers, fewer than {MIN_FIT}"
        return dict(zip(family.parameters, family.unchanged, strict=True)), note
    right = y if family.inputs == "options" else y[None]
    theta = family.fit(family.features(c, clip), right, np.ones((1, len(c))), None)[0]
    note = ""
    if outcomes.min() == outcomes.max():
        note = f"all {len(outcomes)} answers are {'right' if outcomes[0] else 'wrong'}"
    elif c.ndim == 1 and np.ptp(c) == 0:
        note = (
            f"every confidence is {c[0]:.4g}: the map gives the share of right answers"
        )
    elif family.at_bound(theta):
        ends = " … ".join(map(str, family.bounds or ()))
        note = f"the likelihood has no maximum inside {family.parameters[0]} = {ends}"
    values = [v.tolist() if hasattr(v, "tolist") else v for v in theta]
    return dict(zip(family.parameters, values, strict=True)), note


# --- what maps are fitted on --------------------------------------------------------------------


def option_arrays(
    option_probabilities: Sequence[Mapping], gold: Sequence
) -> tuple[np.ndarray, np.ndarray, list[list[str]]]:
    """Option probabilities as arrays, from the mappings that answers carry.

    Columns are the options of the first row where every row has the same ones; else each row's
    own, by position.

    Parameters
    ----------
    option_probabilities : sequence of n mappings, option → probability
    gold : sequence of n options

    Returns
    -------
    options : (n, k) array, NaN where absent
    gold : (n,) array of indices, -1 where the right answer is no option
    names : list of n lists of str, the options of each row in the order of its columns
    """
    rows = list(option_probabilities)
    same = len({frozenset(row) for row in rows}) == 1
    names = [list(rows[0] if same else row) for row in rows]
    width = max(map(len, names), default=2)
    options = np.full((len(rows), width), np.nan)
    for i, (row, own) in enumerate(zip(rows, names, strict=True)):
        options[i, : len(own)] = [row[name] for name in own]
    index = [_place(right, own) for right, own in zip(gold, names, strict=True)]
    return options, np.array(index, int), names


def _place(gold: object, names: list[str]) -> int:
    """Position of the first option that is a right answer, -1 where none is."""
    right = [gold]
    if isinstance(gold, Iterable) and not isinstance(gold, str):
        right = list(gold)
    for j, name in enumerate(names):
        if name in right:
            return j
    return -1


def option_rows(graded: pd.DataFrame) -> np.ndarray:
    """Which rows (n,) carry the probabilities of all options, the largest their confidence."""
    carries = np.zeros(len(graded), bool)
    if "option_probabilities" not in graded:
        return carries
    confidence = graded["confidence"].to_numpy(float)
    options = graded["option_probabilities"]
    for i in np.flatnonzero(options.notna()):
        p = options.iloc[i]
        if isinstance(p, Mapping) and len(p) > 1:
            carries[i] = abs(max(p.values()) - confidence[i]) < 1e-3
    return carries


def arrays_of(graded: pd.DataFrame, method: str) -> tuple[np.ndarray, np.ndarray]:
    """What a family is fitted on.

    Returns
    -------
    inputs : (n,) confidences, or (n, k) probabilities of options
    outcomes : (n,) 1 where correct, or the index of the right option, -1 where it is none

    Raises
    ------
    ValueError
        If the map needs all options and a row lacks their probabilities.
    """
    check_choice(method, "method", MAPS)
    y = graded["correct"].to_numpy(float)
    if MAPS[method].inputs == "confidence":
        return graded["confidence"].to_numpy(float), y
    lacking = int((~option_rows(graded)).sum())
    if lacking:
        raise ValueError(
            f"{method} divides the logits of all options, and {lacking:,} of {len(graded):,} "
            "answers carry no option probabilities: choose log_odds, which needs none"
        )
    gold = graded.get("gold", [None] * len(graded))
    p, index, _ = option_arrays(graded["option_probabilities"], gold)
    return p, np.where(y == 1, np.nanargmax(p, axis=1), index)


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
        On an unknown method, if no row can be used, or if a map of all options is asked for where
        a row has no option probabilities.

    Examples
    --------
    >>> from medcal_nb.measure import example_answers
    >>> maps = fit_maps(example_answers())
    >>> list(maps)
    [('m1', 'p_true'), ('m1', 'verbalized')]
    """
    rows = measured(graded)
    if rows.empty:
        raise ValueError("no row has what the fit needs: a confidence and a grade")
    maps = {}
    for key, part in parts_by(rows, BY):
        inputs, outcomes = arrays_of(part, method)
        labels = image_labels(part)
        maps[tuple(key.values())] = fit(inputs, outcomes, method=method, images=labels)
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
    for key, part in parts_by(graded, BY):
        recalibrate = maps.get(tuple(key.values()))
        if recalibrate is None:
            continue
        has = part["confidence"].notna().to_numpy()
        labels = image_labels(part[has])
        inputs, _ = arrays_of(part[has].assign(correct=np.nan), recalibrate.name)
        values = recalibrate.apply(inputs, images=labels)
        parts.append(_with_confidence(part, has, values, recalibrate.name))
    if not parts:
        raise ValueError(
            f"none of the {len(maps)} maps is for these answers' {', '.join(BY)}"
        )
    return pd.concat(parts).sort_index(kind="stable").reset_index(drop=True)


def _with_confidence(
    part: pd.DataFrame, has: np.ndarray, values: np.ndarray, name: str
) -> pd.DataFrame:
    """Rows of which those that ``has`` get confidences (n,), or option probabilities (n, k)."""
    options = np.full(len(part), None, dtype=object)
    if values.ndim == 2:
        before = part["option_probabilities"][has]
        names = option_arrays(before, [None] * len(values))[2]
        # NaN stands where a row has fewer options than the others
        options[has] = [
            {k: float(v) for k, v in zip(own, row, strict=False) if not np.isnan(v)}
            for own, row in zip(names, values, strict=True)
        ]
    confidence = np.full(len(part), np.nan)
    confidence[has] = np.clip(leading(values), 0, 1)
    out = part.assign(confidence_raw=part["confidence"], confidence=confidence)
    out["strategy"] = out["strategy"].astype(str) + f"+{name}"
    if "option_probabilities" in out:
        # options that a map of the one confidence left as they were would contradict it
        out["option_probabilities"] = options
    return out


def leading(values: np.ndarray) -> np.ndarray:
    """Confidence (n,) of answers: itself, or that of the leading option of (n, k)."""
    return values if values.ndim == 1 else np.nanmax(values, axis=1)
