"""The numbers behind the figures: tidy tables, one row per bin, threshold, group or pair."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ._check import (
    check_choice,
    check_groups,
    check_pair,
    warn,
)
from .binned import bins_of, ece_floor
from .closed import closed_interval, closed_p
from .intervals import (
    clustered_interval,
    holm_conclusion,
    metric_interval,
    note_few,
)
from .inversion import inverted_interval
from .registry import METRICS
from .resampling import (
    Bootstrap,
    FloatArray,
    choose_clip,
    effective_number,
)
from .rows import image_labels, images_known, measured, parts_by

SCORE_METRICS = ("accuracy", "mean_confidence", "ece", "brier", "auroc")
_IMAGE = "_image"
HEAPS = 20
HEAPED = 0.9  # of the answers, in so few values


# --- metrics by group ---------------------------------------------------------------------


def metrics_table(
    graded: pd.DataFrame,
    *,
    by: Sequence[str] = ("model", "dataset", "strategy"),
    metrics: Sequence[str] | str = SCORE_METRICS,
    intervals: bool = True,
    tested: str = "",
    ci: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    """Metrics of each group of graded answers with their intervals: one row per group.

    Parameters
    ----------
    graded : pandas.DataFrame
        With columns confidence, correct and those of `by`. Rows without a confidence or a
        grade are left out and counted in `n_missing`, never imputed.
    by : sequence of str
        Columns that make the groups; none gives one row.
    metrics : sequence of str or "all"
        Names of `METRICS`.
    intervals : bool
        Whether the metrics get `<name>_low` and `<name>_high`.
    tested : str
        One of `metrics`, with an interval in closed form, that is tested against 0
        (overconfidence, Brier skill score).
    ci : Bootstrap
        Level, number of resamples and seed of the intervals, by image: image_id, joined with the
        data set's name; the item where it is empty. All metrics of a row share their
        resamples, which follow from the seed and the row's images: the same answers have the same
        intervals, whatever stands beside them.

    Returns
    -------
    pandas.DataFrame
        One row a group:

        - the `by` columns
        - n: answers measured
        - n_missing: answers left out
        - n_images: different images; 0 if they are unknown and intervals are by answer
        - clip: where slope or intercept is asked for, how far 0 and 1 were moved for it
        - ece_floor: where the ECE is asked for, that of a perfect forecaster (`ece_floor`)
        - each of `metrics`: in the order asked for, with _low, _high
        - p: where one is `tested`, of it being 0, two-sided, the level at which its interval ends
        - conclusion: where one is `tested`, after Holm's correction over the rows: "below 0",
          "above 0" or "no difference shown"

        The kind of its interval is that of the metric (`Metric.interval`): shares by
        `clustered_interval`; overconfidence, O:E, Brier score and its skill by theirs joined with
        those of means (`mover`); ECEs by `ece_interval`, AUROC by `auroc_test`;
        the others by the bootstrap. NaN where none is known to hold, and where a metric is
        undefined, with a `MeasureWarning` that names the group and the reason.

    Raises
    ------
    ValueError
        On a column the table lacks, an unknown metric, or values that are no confidence.

    Examples
    --------
    >>> graded = pd.DataFrame({"confidence": [0.9, 0.8, 0.6] * 20, "correct": [1, 1, 0] * 20})
    >>> table = metrics_table(graded, by=[], metrics=["accuracy"])
    >>> table[["n", "accuracy_low", "accuracy_high"]].round(2).to_numpy().tolist()
    [[60.0, 0.54, 0.77]]
    """
    names = list(METRICS if metrics == "all" else metrics)
    for name in names:
        check_choice(name, "metrics", METRICS)
    by = [by] if isinstance(by, str) else by
    columns = [*by, "confidence", "correct"]
    parts_by(graded[:0], columns)
    # columns that no number hangs on are not dealt out to the groups
    slim = graded.filter([*columns, "image_id"])
    slim[_IMAGE] = image_labels(graded)
    rows = []
    heard: dict[str, dict[str, str]] = {}
    for key, part in parts_by(slim, by):
        answers = measured(part)
        is_known = images_known(answers)
        row = key | {
            "n": len(answers),
            "n_missing": len(part) - len(answers),
            "n_images": answers[_IMAGE].nunique() if is_known else 0,
        }
        with _heard(_called(key, slim), heard):
            if len(answers):
                pair = check_pair(answers["confidence"], answers["correct"])
                images = answers[_IMAGE].to_numpy()
                row |= scores(*pair, images, names, ci if intervals else None)
                if tested:
                    row["p"] = closed_p(METRICS[tested], *pair, images)
            else:
                warn("no answer has both a confidence and a grade")
        rows.append(row)
    _warn_once(heard)
    table = _in_order(pd.DataFrame(rows), names, intervals)
    if tested and len(table):
        p = table.pop("p")
        shown = holm_conclusion(table[tested], p, size=1 - ci.level)
        table = table.assign(p=p, conclusion=shown)
    return table


def _called(key: dict, table: pd.DataFrame) -> str:
    """A group by what tells it from the others: not by a value that all of them share."""
    names = [name for name in key if table[name].nunique(dropna=False) > 1]
    return ", ".join(f"{name}={key[name]}" for name in names) or "all"


def _in_order(table: pd.DataFrame, names: list[str], intervals: bool) -> pd.DataFrame:
    """The table with all columns that were asked for, NaN where nothing was measured."""
    last = []
    for name in names:
        last.append(name)
        if intervals:
            last += [f"{name}_low", f"{name}_high"]
        if name == "ece":
            last.append("ece_floor")
    first = [column for column in table if column not in last]
    return table.reindex(columns=[*first, *last])


def scores(
    c: FloatArray,
    y: FloatArray,
    images: NDArray,
    names: list[str],
    ci: Bootstrap | None,
) -> dict[str, float]:
    """By column: the metrics of one group of answers, and with `ci` their ends."""
    row: dict[str, float] = {}
    if {"slope", "intercept"} & set(names):
        row["clip"] = choose_clip(c)
    ids, n_images = check_groups(images, c.size)
    if ci:
        note_few(effective_number(np.bincount(ids)), n_images < c.size)
    drawn = None
    for name in names:
        metric = METRICS[name]
        row[name] = metric.value(c, y)
        if name == "ece":
            row["ece_floor"] = ece_floor(c)
        if ci is None or np.isnan(row[name]) or metric.interval == "none":
            continue
        if metric.interval == "bootstrap":
            if drawn is None:  # shared by all
                drawn = ci.of(images)
            ends = metric_interval(metric, c, y, drawn, level=ci.level)
        elif metric.interval == "inversion":
            cell = np.asarray(metric.sums(c, y).cell)
            rng = ci.stream(images)
            ends = inverted_interval(c, y, cell, ids, level=ci.level, rng=rng)
        else:
            ends = closed_interval(metric, c, y, ids, ci.level)
        row |= {f"{name}_low": ends.low, f"{name}_high": ends.high}
    return row


@contextmanager
def _heard(label: str, heard: dict[str, dict[str, str]]) -> Iterator[None]:
    """Hold what a group is warned of, by what it says without its numbers."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        text = str(warning.message)
        kind = re.sub(r"[\d.,]+", "", text)
        heard.setdefault(kind, {})[label] = text


def _warn_once(heard: dict[str, dict[str, str]]) -> None:
    """Warn once of what several groups are warned of, by the first of them."""
    for texts in heard.values():
        label = next(iter(texts))
        others = f" (and {len(texts) - 1} more)" if len(texts) > 1 else ""
        warn(f"{label}{others}: {texts[label]}")


# --- one group, bin by bin ----------------------------------------------------------------


def missing_table(graded: pd.DataFrame, by: Sequence[str] = ()) -> pd.DataFrame:
    """How many graded answers carry no confidence, and how often these are right.

    Who states no confidence may be right more or less often than who does, so that leaving these
    answers out is a choice, as is deferring them.

    Parameters
    ----------
    graded : pandas.DataFrame
        With confidence and correct; answers without a grade are left out.
    by : sequence of str
        Columns of the groups.

    Returns
    -------
    pandas.DataFrame
        One row a group:

        - the `by` columns
        - n, n_missing: answers with a grade, and those of them without a confidence
        - share_missing: n_missing / n
        - accuracy: of those with a confidence
        - accuracy_missing: of those without

    Examples
    --------
    >>> table = pd.DataFrame({"confidence": [0.9, None, 0.8, None], "correct": [1, 0, 1, 1]})
    >>> missing_table(table).to_numpy().tolist()
    [[4.0, 2.0, 0.5, 1.0, 0.5]]
    """
    rows = []
    for key, part in parts_by(graded.dropna(subset="correct"), by):
        is_missing = part["confidence"].isna()
        right = part["correct"].astype(float)
        row = {"n": len(part), "n_missing": int(is_missing.sum())}
        row |= {
            "share_missing": is_missing.mean(),
            "accuracy": right[~is_missing].mean(),
        }
        rows.append(key | row | {"accuracy_missing": right[is_missing].mean()})
    return pd.DataFrame(rows)


def value_table(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    n_bins: int | None = None,
    groups: ArrayLike | None = None,
) -> pd.DataFrame:
    """Calibration diagram as a table: each confidence, or bin of them, and its accuracy.

    The n-weighted mean of ``|accuracy − confidence|`` over bins is `ece`.

    Parameters
    ----------
    confidence, correct : (n,) arrays
    n_bins : int, optional
        Number of bins of equal width, (low, high]. None: every value that occurs, or twentieths
        of the scale where values are many (20 of them hold less than nine tenths of the answers).
    groups : (n,) array, optional
        Labels of images.

    Returns
    -------
    pandas.DataFrame
        One row a value or bin that occurs, ascending:

        - confidence: the value, or the mean of the bin
        - n: answers
        - accuracy: with _low, _high, the 95 % `clustered_interval` of these answers alone

    Raises
    ------
    ValueError
        On input that is no confidence and outcome, by name and position.

    Examples
    --------
    >>> value_table([0.9, 0.9, 0.5], [1, 0, 0])[["n", "accuracy"]].to_numpy().tolist()
    [[1.0, 0.0], [2.0, 0.5]]
    """
    c, y = check_pair(confidence, correct)
    codes, _ = check_groups(groups, c.size)
    return _value_rows(c, y, codes, _cells(c, n_bins))


def _value_rows(
    c: np.ndarray, y: np.ndarray, codes: np.ndarray, cell: np.ndarray
) -> pd.DataFrame:
    """A row for the answers of each cell: mean confidence, how many, accuracy by image."""
    rows = []
    for one in np.unique(cell):
        own = cell == one
        low, high = clustered_interval(y[own], codes[own])
        row = {
            "confidence": c[own].mean().round(12),  # of one value, the value itself
            "n": own.sum(),
            "accuracy": y[own].mean(),
            "accuracy_low": low,
            "accuracy_high": high,
        }
        rows.append(row)
    return pd.DataFrame(rows)


def recalibration_table(
    confidence: ArrayLike,
    recalibrated: ArrayLike,
    correct: ArrayLike,
    *,
    groups: ArrayLike | None = None,
) -> pd.DataFrame:
    """Calibration diagram before and after recalibration as a table: the same answers twice.

    Answers of one confidence, or of one twentieth of the scale, stand together before and after:
    their accuracy stays, their confidence moves.

    Parameters
    ----------
    confidence, recalibrated, correct : (n,) arrays
        Of each answer: its confidence, what a map made of it, whether it is right.
    groups : (n,) array, optional
        Labels of images.

    Returns
    -------
    pandas.DataFrame
        The rows of `value_table` twice:

        - stage: "uncorrected", then "refitted"
        - value: the confidence before, which the same answers have in common
        - confidence: `value`, or the mean of what the map made of it
        - n: answers
        - accuracy: with _low, _high, as of `value_table`

    Raises
    ------
    ValueError
        On input that is no confidence and outcome, by name and position.

    Examples
    --------
    >>> table = recalibration_table([0.9, 0.9, 0.5], [0.5, 0.6, 0.1], [1, 0, 0])
    >>> table[["stage", "value", "confidence", "accuracy"]].to_numpy().tolist()[2:]
    [['refitted', 0.5, 0.1, 0.0], ['refitted', 0.9, 0.55, 0.5]]
    """
    c, y = check_pair(confidence, correct)
    after, _ = check_pair(recalibrated, correct)
    codes, _ = check_groups(groups, c.size)
    cell = _cells(c, None)
    table = _value_rows(c, y, codes, cell)
    table.insert(0, "value", table["confidence"])
    means = [after[cell == one].mean().round(12) for one in np.unique(cell)]
    moved = table.assign(confidence=means)
    stages = {"uncorrected": table, "refitted": moved}
    both = pd.concat(stages, names=["stage"])
    return both.reset_index(level="stage").reset_index(drop=True)


def _cells(c: np.ndarray, n_bins: int | None) -> np.ndarray:
    """Which confidences stand together: those of a bin, or of a value that many answers have."""
    _, cell = np.unique(c, return_inverse=True)
    n_most = np.sort(np.bincount(cell))[-HEAPS:]
    if n_bins is None and n_most.sum() < HEAPED * c.size:
        n_bins = HEAPS
    return cell if n_bins is None else bins_of(c, n_bins)
