"""Recalibration maps: from a stated confidence to a better one, learned from graded answers.

:func:`fit` takes ``(confidence, correct)`` and gives back a frozen :class:`Recalibrator`: call it
on confidences, read its ``params``. It remembers which images taught it and refuses to be scored
on them. :func:`fit_maps` and :func:`apply_maps` do this for tables of graded answers, one map for
each model and strategy.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from medcal_nb.measure._check import (
    check_choice,
    check_confidence,
    check_length,
    check_pair,
)
from medcal_nb.measure.rows import image_labels, measured, parts_by, plain_ids

from ._families import FAMILIES, T_MAX, T_MIN, softmax

MIN_FIT = 5
"""Fewer labelled answers than this fit nothing: the map changes nothing."""
N_FOLDS = 5


class RecalibrationWarning(UserWarning):
    """The data could not support the map that was asked for; the message says what was done."""


@dataclass(frozen=True)
class Recalibrator:
    """A fitted map from confidence to confidence.

    Attributes
    ----------
    name : str
        The family: one of ``FAMILIES``.
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

    def __call__(self, confidence) -> np.ndarray:
        """Corrected confidence of each answer.

        Parameters
        ----------
        confidence : array of shape (n,), in [0, 1]
            For ``temperature``: option probabilities (n, k), NaN where absent; so is the result.

        Raises
        ------
        ValueError
            If a value is missing or outside [0, 1].
        """
        family = FAMILIES[self.name]
        features = family.features(_checked(self.name, confidence), self.clip)
        if self.name == "temperature":
            return softmax(features / self.params["temperature"])
        return family.apply([tuple(self.params[n] for n in family.names)], features)[0]

    def apply(self, confidence, *, images) -> np.ndarray:
        """Corrected confidences of answers on images none of which the map was fitted on.

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


def _checked(method, confidence):
    if method != "temperature":
        return check_confidence(confidence)
    p = np.asarray(confidence, dtype=float)
    sound = p.ndim == 2 and p.shape[1] > 1 and not ((p < 0) | (p > 1 + 1e-6)).any()
    if not sound or not (np.nansum(p, axis=1) > 0).all():
        raise ValueError(
            f"options: expected (n, k) probabilities of k >= 2, got {p.shape} numbers"
        )
    return p / np.nansum(p, axis=1, keepdims=True)


def choose_clip(confidence) -> float:
    """How far a stated 0 or 100 % is moved inwards: half the step to the next stated value.

    Whole percents give 0.005, the most; without any 0 or 1 it is 1e-6, which moves next to nothing.
    """
    c = np.asarray(confidence, float)
    end = np.minimum(c, 1 - c)
    if not len(end) or end.min() > 0:
        return 1e-6
    return float(np.clip(np.min(end[end > 0], initial=1.0) / 2, 1e-6, 0.005))


def at_bound(temperature: float) -> bool:
    """Whether a fitted temperature is the largest or smallest allowed: no maximum in between."""
    return not T_MIN * (1 + 1e-5) < temperature < T_MAX * (1 - 1e-5)


def fit(
    confidence,
    correct,
    *,
    method: str = "platt",
    images=None,
    clip: float | None = None,
) -> Recalibrator:
    r"""Fit one map.

    ==============  ==========================================================  ===============
    temperature     :math:`p_j^{1/T} / \sum_i p_i^{1/T}` over all options         Guo 2017
    log_odds        :math:`\sigma(\operatorname{logit}(c) / T)`, never crosses ½
    platt           :math:`\sigma(a \operatorname{logit}(c) + b)`                 Platt 1999
    beta            :math:`\sigma(a \log c - b \log(1 - c) + m)`, a, b >= 0       Kull 2017
    isotonic        the best non-decreasing map, within 1 / (n + 2) of 0 and 1   Zadrozny 2002
    histogram, bbq, enir    binned maps, by netcal                               Naeini 2015
    ==============  ==========================================================  ===============

    The first four by maximum likelihood, T in [0.02, 50], platt and beta with Platt's targets.

    Parameters
    ----------
    confidence, correct : arrays of shape (n,), in [0, 1] and {0, 1}
        For ``temperature``: option probabilities (n, k), NaN where absent, and the index of the
        right option, -1 where it is none.
    images : sequence of n labels, optional
        Remembered, so that the map refuses to be scored on them.
    clip : float, optional
        Confidences are moved into [clip, 1 - clip] first: a stated 100 % has no finite
        log-odds. By default :func:`choose_clip` chooses.

    Raises
    ------
    ValueError
        On an unknown method, values missing or out of range, or lengths that differ.

    References
    ----------
    arXiv 1706.04599; doi 10.1007/s10994-007-5018-6; PMLR 54:623-631; doi 10.1145/775047.775151;
    doi 10.1609/aaai.v29i1.9602; doi 10.1145/3097983.
    """
    check_choice(method, "method", FAMILIES)
    if method == "temperature":
        c = _checked(method, confidence)
        y = np.asarray(correct, int)
        check_length(y, len(c), "correct")
        top = np.nanmax(c, axis=1)
        right = (c[np.arange(len(c)), y] >= top)[y >= 0]
    else:
        c, y = check_pair(confidence, correct)
        right = y
        top = c
    if images is not None:
        check_length(images, len(c), "images")
    clip = choose_clip(top) if clip is None else clip
    params, note = _fitted(method, c, y, right, clip)
    if note:
        warnings.warn(f"{method}: {note}", RecalibrationWarning, stacklevel=2)
    seen = frozenset() if images is None else frozenset(plain_ids(images))
    return Recalibrator(method, params, clip, seen)


def _fitted(method, c, y, right, clip):
    """Parameters by name, and what is wrong with them."""
    family = FAMILIES[method]
    note = ""
    if len(right) < MIN_FIT:
        theta = [family.unchanged]
        note = f"{len(right)} labelled answers, fewer than {MIN_FIT}"
    else:
        theta = family.fit(family.features(c, clip), y, np.ones((1, len(c))))
        if right.min() == right.max():
            note = f"all {len(right)} answers are {'right' if right[0] else 'wrong'}"
        elif c.ndim == 1 and np.ptp(c) == 0:
            note = f"every confidence is {c[0]:.4g}: the map says the share of right answers"
        elif family.names == ("temperature",) and at_bound(float(theta[0][0])):
            note = f"the likelihood has no maximum inside T = {T_MIN} … {T_MAX}"
    values = [v.tolist() if hasattr(v, "tolist") else v for v in theta[0]]
    return dict(zip(family.names, values, strict=True)), note


# --- options ------------------------------------------------------------------------------------


def option_arrays(option_probabilities, gold):
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
    out = np.full((len(rows), max(map(len, names), default=2)), np.nan)
    for i, (row, own) in enumerate(zip(rows, names, strict=True)):
        out[i, : len(own)] = [row[name] for name in own]
    index = [_place(right, own) for right, own in zip(gold, names, strict=True)]
    return out, np.array(index, int), names


def _place(gold, names) -> int:
    """Position of the first option that is a right answer, -1 where none is."""
    right = gold if hasattr(gold, "__iter__") and not isinstance(gold, str) else [gold]
    return next((j for j, name in enumerate(names) if name in list(right)), -1)


def option_rows(graded: pd.DataFrame) -> np.ndarray:
    """Which rows carry the probabilities of all options, the largest being their confidence."""
    told = graded.get("option_probabilities", [None] * len(graded))
    return np.array(
        [
            isinstance(p, Mapping) and len(p) > 1 and abs(max(p.values()) - c) < 1e-3
            for p, c in zip(told, graded["confidence"], strict=True)
        ],
        bool,
    )


def arrays_of(graded: pd.DataFrame, method: str):
    """What a family is fitted on: (confidence or option probabilities, correct or index of gold).

    Raises
    ------
    ValueError
        If the method is ``temperature`` and a row lacks option probabilities.
    """
    y = graded["correct"].to_numpy(float)
    if method != "temperature":
        return graded["confidence"].to_numpy(float), y
    if lacking := int((~option_rows(graded)).sum()):
        raise ValueError(
            f"temperature divides the logits of all options, and {lacking:,} of {len(graded):,} "
            "answers carry no option probabilities: choose log_odds, which needs none"
        )
    gold = graded.get("gold", [None] * len(graded))
    p, index, _ = option_arrays(graded["option_probabilities"], gold)
    return p, np.where(y == 1, np.nanargmax(p, axis=1), index)


# --- cross-fitting ------------------------------------------------------------------------------


def assign_folds(groups, n_folds: int, *, rng: np.random.Generator) -> np.ndarray:
    """A fold for each row, whole groups together, folds as even as that allows.

    Raises
    ------
    ValueError
        If there are fewer groups than folds, or fewer than two folds.
    """
    names, at, size = np.unique(
        plain_ids(groups), return_inverse=True, return_counts=True
    )
    if not 2 <= n_folds <= len(names):
        raise ValueError(
            f"groups: {len(names)} different ones cannot fill {n_folds} folds"
        )
    order = rng.permutation(len(names))
    order = order[np.argsort(-size[order], kind="stable")]
    load = np.zeros(n_folds)
    fold = np.empty(len(names), int)
    for k in order:
        fold[k] = load.argmin()
        load[fold[k]] += size[k]
    return fold[at]


def folds_of(rows: pd.DataFrame, seed: int) -> np.ndarray | None:
    """One of five folds for each row, by image; None where there are fewer images than that."""
    images = image_labels(rows)
    if len(set(images)) < N_FOLDS:
        return None
    return assign_folds(images, N_FOLDS, rng=np.random.default_rng([seed, 0]))


def by_fold(fit, confidence, correct, fold, *, to=None) -> np.ndarray:
    """Corrected confidences, or others of the same rows, each from a map of the other folds."""
    c = np.asarray(confidence, dtype=float)
    y = np.asarray(correct)
    to = c if to is None else np.asarray(to, dtype=float)
    out = np.empty_like(to)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecalibrationWarning)
        for k in np.unique(fold):
            out[fold == k] = fit(c[fold != k], y[fold != k])(to[fold == k])
    return out


# --- graded answers -----------------------------------------------------------------------------

BY = ("model", "strategy")


def fit_maps(
    graded: pd.DataFrame, *, method: str = "log_odds"
) -> dict[tuple, Recalibrator]:
    """One map for each model and strategy; it remembers the images that it saw.

    Rows without a confidence or a grade are left out.

    Raises
    ------
    ValueError
        On an unknown method, if no row can be used, or if ``temperature`` is asked for where a
        row has no option probabilities.
    """
    rows = measured(graded)
    if rows.empty:
        raise ValueError("no row has what the fit needs: a confidence and a grade")
    return {
        tuple(key.values()): fit(
            *arrays_of(part, method), method=method, images=image_labels(part)
        )
        for key, part in parts_by(rows, BY)
    }


def apply_maps(
    graded: pd.DataFrame, maps: Mapping[tuple, Recalibrator]
) -> pd.DataFrame:
    """Correct the confidences of answers whose model and strategy have a map, and no others.

    Returns
    -------
    DataFrame
        The rows with ``confidence`` corrected (missing stays missing), the one before as
        ``confidence_raw``, and ``strategy`` followed by ``+`` and the map's name: a corrected
        strategy is another strategy, and its raw one stays comparable.

    Raises
    ------
    ValueError
        If none has a map, or an image was used to fit its map.
    """
    out = []
    for key, part in parts_by(graded, BY):
        if fitted := maps.get(tuple(key.values())):
            has = part["confidence"].notna().to_numpy()
            labels = image_labels(part[has])
            c = arrays_of(part[has].assign(correct=np.nan), fitted.name)[0]
            out.append(_moved(part, has, fitted.apply(c, images=labels), fitted.name))
    if not out:
        raise ValueError(
            f"none of the {len(maps)} maps is for these answers' {', '.join(BY)}"
        )
    return pd.concat(out).sort_index(kind="stable").reset_index(drop=True)


def _moved(part, has, values, name):
    """Rows of which those that ``has`` get confidences, or option probabilities, (n,) or (n, k)."""
    confidence = np.full(len(part), np.nan)
    options = np.full(len(part), None, dtype=object)
    if values.ndim == 2:
        names = option_arrays(part["option_probabilities"][has], [None] * len(values))[
            2
        ]
        options[has] = [
            {k: float(v) for k, v in zip(own, row, strict=False) if not np.isnan(v)}
            for own, row in zip(names, values, strict=True)
        ]
        values = np.nanmax(values, axis=1)
    confidence[has] = np.clip(values, 0, 1)
    out = part.assign(confidence_raw=part["confidence"], confidence=confidence)
    out["strategy"] = out["strategy"].astype(str) + f"+{name}"
    # options that a map of the one confidence left as they were would contradict it
    return (
        out.assign(option_probabilities=options)
        if "option_probabilities" in out
        else out
    )
