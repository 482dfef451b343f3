"""The numbers behind ``medcal score``: few columns of many answers, group by group."""

import warnings

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from medcal_nb.answers import ANSWER_COLUMNS, GRADED_COLUMNS, open_answers
from medcal_nb.ask.graded import ranked, to_graded
from medcal_nb.correct import fit
from medcal_nb.errors import MedcalError
from medcal_nb.measure import choose_strategy, metrics_table
from medcal_nb.measure.rows import measured, parts_by
from medcal_nb.measure.tables import interval_cells
from medcal_nb.study.findings.deferral import choice_of_method

DECIDING = ("confidently_wrong", "yield_at_5", "yield_at_10", "yield_at_20", "ici")
METRICS = (
    "accuracy", "mean_confidence", "ece", "brier", "log_loss", "auroc", "aurc", *DECIDING
)  # fmt: skip
INTERVALS = ("accuracy", "ece", "brier", *DECIDING)
# several samples make one graded answer, which has no such value of its own
_NO_GROUPS = {*ANSWER_COLUMNS} - {*GRADED_COLUMNS} | {"option_probabilities"}


def score_answers(path, *, by=("model", "dataset", "strategy"), n_resamples=1000):
    """Metrics of each group of graded answers in a log or a table of answers.

    Intervals resample images where every answer of the group names its image, else items where
    a group holds an item more than once (several models or strategies), else rows. Every group
    starts from the same seed: its row does not depend on which other groups there are.

    Parameters
    ----------
    path : path
        A log, or a table that `load_answers` reads.
    by : sequence of str
        Columns, of ours or not.
    n_resamples : int
        As in `measure.metrics_table`.

    Returns
    -------
    table : DataFrame
        One row per group: `by`, n, n_missing and `METRICS`, those of `INTERVALS` with `_low` and
        `_high`, yields with their certified `_threshold`. Accuracy is the ceiling of every
        yield: what a model that knew all its errors could keep. n counts answers with a
        confidence and a grade; where no answer of a group has a confidence, accuracy is that of
        the graded ones.
    reasons : list of str
        Why a number is NaN, or less than it seems.
    """
    parts = _parts(path, by)
    if not parts:
        raise MedcalError(f"{path}: no answers; nothing to score")
    rows = []
    reasons = []
    labels = sorted(
        parts, key=lambda label: [(v is None, isinstance(v, str), v) for v in label]
    )
    for label in tqdm(labels, desc="score", unit="group", leave=False, disable=None):
        # rows in an order of their own: equal answers give equal draws, however they are stored
        frame = pd.concat(parts.pop(label))
        frame = frame.sort_values(list(frame.columns), ignore_index=True)
        row, told = _row(frame, n_resamples)
        named = dict(zip(by, label, strict=True))
        name = (
            ", ".join(f"{column}={value}" for column, value in named.items()) or "all"
        )
        reasons += [f"{name}: {reason}" for reason in told]
        rows.append(named | row)
    return pd.DataFrame(rows), list(dict.fromkeys(reasons))


def in_cells(table, by):
    """The table for a terminal, intervals in the cells: how well, then what decides."""
    shown = table.assign(**interval_cells(table))
    first = [name for name in METRICS if name not in DECIDING]
    decide = {name: name.replace("_", " ") for name in DECIDING} | {
        "accuracy": "ceiling"
    }
    return shown[[*by, "n", "n_missing", *first]], shown[[*by, *decide]].rename(
        columns=decide
    )


def _row(frame, n_resamples):
    """The metrics of one group, and what has to be said of them."""
    units = [c for c in ("image_id", "item_id") if c in frame and (frame[c] != 0).all()]
    how = {
        "by": (),
        "groups": units[0] if units else None,
        "rng": np.random.default_rng(0),
    }
    given = frame.notna()
    graded = frame["correct"].dropna()
    both = given["confidence"] & given["correct"]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        row = metrics_table(
            frame, metrics=METRICS, intervals=INTERVALS, n_resamples=n_resamples, **how
        )
    (row,) = row.to_dict("records")
    told = [str(w.message).removeprefix("all: ") for w in caught]
    if not both.all():
        told.append(
            f"{(~both).sum()} of {len(frame)} answers have no confidence or no grade and are left "
            "out; `medcal import` grades an answer against its gold"
        )
    if len(graded) and not given["confidence"].any():
        row["accuracy"] = graded.mean()
        told.append(
            f"accuracy is that of the {len(graded)} graded of {len(frame)} answers"
        )
    return row, told


def _parts(path, by):
    """Graded answers by group, as lists of frames of numbers: ten million fit in memory."""
    names = (
        ["image_id"] if {"model", "strategy"} <= set(by) else ["image_id", "item_id"]
    )
    parts: dict[tuple, list] = {}
    for frame in _frames(path, list(by), names):
        small = frame[["confidence", "correct"]].astype(float)
        for (
            name
        ) in names:  # 64 bits for each (data set, name), 0 where there is no name
            ids = pd.util.hash_pandas_object(frame[["dataset", name]], index=False)
            small[name] = ids.where(frame[name].notna(), 0)
        keys = [frame[name] for name in by] or [np.zeros(len(frame))]
        for label, rows in small.groupby(keys, dropna=False, sort=False):
            key = tuple(None if pd.isna(value) else value for value in label[: len(by)])
            parts.setdefault(key, []).append(rows)
    return parts


def _frames(path, by, names):
    """Frames of graded answers with what scoring needs."""
    needed = list(dict.fromkeys([*by, "confidence", "correct", "dataset", *names]))
    with open_answers(path) as log:
        _check_by(path, by, [*ANSWER_COLUMNS, *log.extra_columns()])
        samples = log.samples()
        if single := [name for name, last in samples.items() if last == 0]:
            yield from log.iter_frames(needed, ordered=False, strategy=single)
        if several := [name for name in samples if name not in single]:
            yield to_graded(log.read(strategy=several))[needed]


def _check_by(path, by, names):
    names = [name for name in names if name not in _NO_GROUPS]
    for name in by:
        if name not in names:
            raise MedcalError(
                f"{path}: no column '{name}' (--by); columns are {', '.join(names)}"
            )


_CHOSEN_BY = ("strategy", "item_id", "image_id", "prompt_tokens", "new_tokens")


def choices(path, *, by, costs):
    """Which method to take in each group of answers, those of all methods together."""
    by = list(dict.fromkeys(["model", *(name for name in by if name != "strategy")]))
    frames = list(_frames(path, by, _CHOSEN_BY))
    if not frames:
        raise MedcalError(f"{path}: no answers; nothing to choose by")
    graded = measured(ranked(pd.concat(frames, ignore_index=True)))
    if graded.empty:
        raise MedcalError(
            f"{path}: no answers with a confidence and a grade to choose by"
        )
    for key, part in parts_by(graded, by):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table = choose_strategy(
                part, fit=_platt, **costs, rng=np.random.default_rng(0)
            )
        finding = choice_of_method(table)
        yield f"{', '.join(map(str, key.values()))}: {finding.claim}"


def _platt(confidence, correct, images):
    """The map that competes with uncorrected confidences."""
    return fit(confidence, correct, method="platt")  # images: halves share none
