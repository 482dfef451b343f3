"""The numbers behind ``medcal score``: few columns of many answers, group by group."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from medcal_nb.answers import ANSWER_COLUMNS, GRADED_COLUMNS, open_answers
from medcal_nb.ask.graded import ranked, to_graded
from medcal_nb.correct import fit
from medcal_nb.correct.crossfit import N_FOLDS, assign_folds, by_fold
from medcal_nb.errors import MedcalError
from medcal_nb.measure import (
    auroc,
    calibration_curve_table,
    choose_strategy,
    confidence_by_outcome_table,
    heterogeneity_table,
    metrics_table,
    precision_sample_size,
    standard_error,
)
from medcal_nb.measure.heterogeneity import LEAST_GROUPS
from medcal_nb.measure.rows import arrays, measured, parts_by
from medcal_nb.study.findings.deferral import choice_of_method

METRICS = (
    "accuracy",
    "mean_confidence",
    "gap",
    "slope",
    "intercept",
    "ece",
    "brier",
    "brier_skill",
    "auroc",
)
"""What is always computed, each with its interval."""

MORE_METRICS = (
    "observed_expected",
    "log_loss",
    "aurc",
    "ici",
    "e50",
    "e90",
    "confidently_wrong",
    "yield_at_5",
    "yield_at_10",
    "yield_at_20",
)
ALL_METRICS = (*METRICS, *MORE_METRICS)

HEADINGS = {
    "accuracy": "accuracy, %",
    "mean_confidence": "mean confidence, %",
    "gap": "confidence − accuracy, points",
    "slope": "calibration slope",
    "intercept": "calibration intercept",
    "ece": "ECE",
    "brier": "Brier score",
    "brier_skill": "Brier skill score",
    "auroc": "AUROC",
    "observed_expected": "O:E",
    "log_loss": "log loss",
    "aurc": "AURC",
    "ici": "ICI",
    "e50": "E50",
    "e90": "E90",
    "confidently_wrong": "errors at ≥ 90 %, %",
    "yield_at_5": "coverage at risk ≤ 5 %, %",
    "yield_at_10": "coverage at risk ≤ 10 %, %",
    "yield_at_20": "coverage at risk ≤ 20 %, %",
}
_MOST_COLUMNS = 3
"""Groups that stand side by side; more become the rows of tables."""

_PER_TABLE = 5
_NOTE = (
    "95 % CI in brackets, {units}. Slope and intercept: logistic recalibration on the log-odds, "
    "1 and 0 if calibrated, of confidences moved into [clip, 1 − clip] with clip {clips}. ECE: "
    "15 bins of equal width, interval by test inversion. Brier skill: over giving every answer "
    "the accuracy. `medcal score --all` shows more."
)

_UNITS = ("image_id", "item_id")
"""What is resampled: the first that every answer of a group names."""

# several samples make one graded answer, which has no such value of its own
_NO_GROUPS = {*ANSWER_COLUMNS} - {*GRADED_COLUMNS} | {"option_probabilities"}


def score_answers(
    path: Path | str,
    *,
    by: Sequence[str] = ("model", "dataset", "strategy"),
    n_resamples: int = 2000,
    metrics: Sequence[str] = ALL_METRICS,
) -> tuple[pd.DataFrame, list[str]]:
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
    metrics : sequence of str
        Names of `ALL_METRICS`.

    Returns
    -------
    table : DataFrame
        One row a group:

        - the columns of `by`
        - n, n_missing: answers with a confidence and a grade, and those without one
        - n_images: different images; 0 where they are unknown
        - the metrics, each with ``_low`` and ``_high``; yields with their certified
          ``_threshold``; where no answer of a group has a confidence, accuracy is that of the
          graded ones
    reasons : list of str
        Why a number is NaN, or less than it seems.

    Raises
    ------
    MedcalError
        Where there are no answers, or a column of `by` is not there.
    """
    parts = _parts(path, by)
    if not parts:
        raise MedcalError(f"{path}: no answers; nothing to score")
    rows = []
    reasons = []
    labels = sorted(parts, key=_order)
    for label in tqdm(labels, desc="score", unit="group", leave=False, disable=None):
        numbers = parts.pop(label).frame()
        row, notes = _row(numbers, n_resamples, metrics)
        named = dict(zip(by, label, strict=True))
        pairs = [f"{column}={value}" for column, value in named.items()]
        name = ", ".join(pairs) or "all"
        reasons += [f"{name}: {note}" for note in notes]
        rows.append(named | row)
    return pd.DataFrame(rows), list(dict.fromkeys(reasons))


def as_text(table: pd.DataFrame, by: Sequence[str], format: str = "table") -> str:
    """A table of `score_answers` as a person reads it, intervals beside the estimates.

    A few groups stand side by side, a line a metric; many stand below each other, in tables of a
    few metrics. Other tables are printed as they are, and as CSV all are.

    Parameters
    ----------
    table : DataFrame
        Of `table_of`.
    by : sequence of str
        The columns that name the groups.
    format : str
        "table" or "csv".
    """
    if format == "csv":
        return table.to_csv(index=False, lineterminator="\n").removesuffix("\n")
    if "n_missing" not in table:
        return table.to_string(index=False, float_format="{:.3f}".format)
    metrics = [name for name in HEADINGS if name in table]
    cells = table[list(by)].astype(object)
    cells["answers"] = [f"{n:,}" for n in table["n"]]
    cells["left out"] = [f"{n:,}" for n in table["n_missing"]]
    for name in metrics:
        cells[HEADINGS[name]] = [_cell(row, name) for _, row in table.iterrows()]
    images = table["n_images"].to_numpy() > 0
    units = "by image" if images.all() else "by answer, as images are unknown"
    if images.any() and not images.all():
        units = "by image where all are known, else by answer"
    ends = sorted({table["clip"].min(), table["clip"].max()})
    clips = " to ".join(f"{clip:g}" for clip in ends)
    note = _NOTE.format(units=units, clips=clips)
    if set(MORE_METRICS) <= set(metrics):
        note = note.partition(" `medcal")[0]
    if len(table) <= _MOST_COLUMNS:
        lines = cells.T.to_string(header=False)
        return f"{lines}\n\n{note}"
    fixed = [*by, "answers"]
    blocks = []
    for start in range(0, len(metrics), _PER_TABLE):
        names = [HEADINGS[name] for name in metrics[start : start + _PER_TABLE]]
        first = ["left out"] if start == 0 and table["n_missing"].any() else []
        blocks.append(cells[[*fixed, *first, *names]].to_string(index=False))
    return "\n\n".join([*blocks, note])


def table_of(
    path: Path | str,
    kind: str,
    *,
    by: Sequence[str] = ("model", "dataset", "strategy"),
    n_resamples: int = 2000,
    metrics: Sequence[str] = METRICS,
) -> tuple[pd.DataFrame, list[str]]:
    """A table of each group of graded answers, groups and resamples as `score_answers`.

    Parameters
    ----------
    path : path
    kind : str
        "metrics": `score_answers`; "curve": `measure.calibration_curve_table` at 21 points;
        "distribution": `measure.confidence_by_outcome_table`; "heterogeneity":
        `measure.heterogeneity_table` of each metric over the groups; "planning":
        `measure.precision_sample_size` of confidences that are recalibrated by Platt scaling,
        cross-fitted by image.
    by, n_resamples, metrics
        As `score_answers`.

    Returns
    -------
    table : DataFrame
        The columns of `by`, of heterogeneity the metric's name, and those of that table.
    reasons : list of str
        Why a group has no rows, or as `score_answers`.

    Raises
    ------
    MedcalError
        As `score_answers`; where fewer than three groups are to be compared.
    """
    if kind in ("metrics", "heterogeneity"):
        table, reasons = score_answers(
            path, by=by, n_resamples=n_resamples, metrics=metrics
        )
        if kind == "metrics":
            return table, reasons
        return _heterogeneity(table, metrics), []
    parts = _parts(path, by)
    if not parts:
        raise MedcalError(f"{path}: no answers; nothing to score")
    tables = []
    reasons = []
    for label in sorted(parts, key=_order):
        frame = measured(parts.pop(label).frame())
        named = pd.DataFrame([dict(zip(by, label, strict=True))], index=[0])
        try:
            own = _more_of_group(frame, kind, n_resamples)
        except ValueError as problem:
            reasons.append(f"{', '.join(map(str, label)) or 'all'}: {problem}")
        else:
            tables.append(named.merge(own, how="cross") if by else own)
    return pd.concat(tables) if tables else pd.DataFrame(), reasons


def _more_of_group(frame, kind, n_resamples):
    """A table of one group's answers."""
    c, y = arrays(frame)
    if kind == "distribution":
        return confidence_by_outcome_table(c, y)
    units = [name for name in _UNITS if name in frame]
    groups = frame[units[0]].to_numpy() if units else np.arange(c.size)
    rng = np.random.default_rng(0)
    if kind == "curve":
        return calibration_curve_table(
            c, y, n_resamples=n_resamples, n_points=21, groups=groups, rng=rng
        )
    fold = assign_folds(groups, N_FOLDS, rng=rng)
    mapped = by_fold(fit, c, y, fold)
    return precision_sample_size(mapped, accuracy=y.mean(), auroc=auroc(c, y))


def _heterogeneity(scores, metrics):
    """Of each metric of which at least three groups have an interval."""
    rows = []
    for name in metrics:
        ends = [f"{name}_low", f"{name}_high"]
        known = scores.dropna(subset=[column for column in ends if column in scores])
        if ends[0] in scores and len(known) >= LEAST_GROUPS:
            errors = standard_error(known[ends[0]], known[ends[1]])
            rows.append(heterogeneity_table(known[name], errors).assign(metric=name))
    if not rows:
        raise MedcalError(
            f"heterogeneity is of {LEAST_GROUPS} rows or more; --by names their columns"
        )
    return pd.concat(rows).set_index("metric").reset_index()


def _order(label):
    """Groups without a value come last, numbers before texts."""
    return [(value is None, isinstance(value, str), value) for value in label]


def _cell(row, name):
    """An estimate with its interval, in percent where its heading says so."""
    in_percent = HEADINGS[name].endswith(("%", "points"))
    numbers = []
    for column in (name, f"{name}_low", f"{name}_high"):
        value = row.get(column, np.nan)
        if pd.isna(value):
            numbers.append("–")
        elif in_percent:
            numbers.append(f"{100 * value:.1f}")
        else:
            numbers.append(f"{value:.3f}")
    estimate, low, high = numbers
    return estimate if low == high == "–" else f"{estimate} [{low}, {high}]"


class _Group:
    """The numbers of one group, as they come in: a confidence and a grade an answer, and ids."""

    def __init__(self) -> None:
        # bytes that grow where they are: a list of blocks would leave memory in pieces
        self.columns: dict[str, bytearray] = {}
        self.types: dict[str, np.dtype] = {}

    def add(self, block: pd.DataFrame) -> None:
        """Take the group's rows of one block."""
        for name, values in block.items():
            column = self.columns.setdefault(str(name), bytearray())
            column += values.to_numpy().tobytes()
            self.types[str(name)] = values.dtype

    def frame(self) -> pd.DataFrame:
        """All rows, in an order of their own: equal answers give equal draws.

        Of the ids those are left that are resampled, numbered in their order.
        """
        # one column after the other: copies of all of them would not fit in memory
        whole = {}
        for name, dtype in self.types.items():
            whole[name] = np.frombuffer(self.columns.pop(name), dtype)
        units = [name for name in _UNITS if name in whole and whole[name].all()]
        for name in _UNITS:
            ids = whole.pop(name, None)
            if name in units[:1]:
                whole[name] = np.unique(ids, return_inverse=True)[1]
        if not np.isnan(whole["correct"]).any():
            whole["correct"] = whole["correct"].astype(bool)
        order = np.lexsort([*reversed(whole.values())])
        for name in whole:
            whole[name] = whole[name][order]
        return pd.DataFrame(whole, copy=False)


def _row(frame, n_resamples, metrics):
    """The metrics of one group, and what has to be said of them."""
    units = [name for name in _UNITS if name in frame]
    has_confidence = frame["confidence"].notna()
    has_grade = frame["correct"].notna()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        table = metrics_table(
            frame,
            by=(),
            metrics=metrics,
            n_resamples=n_resamples,
            groups=units[0] if units else None,
            rng=np.random.default_rng(0),
        )
    row = table.iloc[0].to_dict()
    for name in ("n", "n_missing", "n_images"):
        row[name] = int(row[name])
    if "image_id" not in units:
        row["n_images"] = 0
    notes = [str(warning.message).removeprefix("all: ") for warning in caught]
    lacking = int((~(has_confidence & has_grade)).sum())
    if lacking:
        notes.append(
            f"{lacking} of {len(frame)} answers have no confidence or no grade and are left "
            "out; `medcal import` grades an answer against its gold"
        )
    if has_grade.any() and not has_confidence.any():
        row["accuracy"] = frame["correct"].mean()
        notes.append(
            f"accuracy is that of the {has_grade.sum()} graded of {len(frame)} answers"
        )
    return row, notes


def _parts(path: Path | str, by: Sequence[str]) -> dict[tuple, _Group]:
    """The numbers of graded answers, group by group: ten million fit in memory."""
    one_row_an_item = {"model", "strategy"} <= set(by)
    names = ["image_id"] if one_row_an_item else ["image_id", "item_id"]
    parts: dict[tuple, _Group] = {}
    for frame in _frames(path, list(by), names):
        small = pd.DataFrame(
            {
                "confidence": frame["confidence"].to_numpy(dtype=float),
                "correct": frame["correct"].astype("float32").to_numpy(),
            }
        )
        for name in names:
            small[name] = _identity(frame, name)
        keys = [frame[name] for name in by] or [np.zeros(len(frame))]
        for label, rows in small.groupby(keys, dropna=False, sort=False):
            key = tuple(None if pd.isna(value) else value for value in label[: len(by)])
            parts.setdefault(key, _Group()).add(rows)
    return parts


def _identity(frame, name):
    """64 bits for each (data set, name), 0 where there is no name; (n,)."""
    known = frame[name].notna()
    if not known.any():
        return np.zeros(len(frame), dtype="uint64")
    ids = pd.util.hash_pandas_object(frame[["dataset", name]], index=False)
    return ids.where(known, 0).to_numpy()


def _frames(
    path: Path | str, by: list[str], names: list[str]
) -> Iterator[pd.DataFrame]:
    """Frames of graded answers with what scoring needs."""
    needed = list(dict.fromkeys([*by, "confidence", "correct", "dataset", *names]))
    with open_answers(path) as log:
        _check_by(path, by, [*ANSWER_COLUMNS, *log.extra_columns()])
        samples = log.samples()
        single = [name for name, last in samples.items() if last == 0]
        several = [name for name in samples if name not in single]
        if single:
            yield from log.iter_frames(needed, ordered=False, strategy=single)
        if several:
            yield to_graded(log.read(strategy=several))[needed]


def _check_by(path, by, names):
    names = [name for name in names if name not in _NO_GROUPS]
    for name in by:
        if name not in names:
            raise MedcalError(
                f"{path}: no column '{name}' (--by); columns are {', '.join(names)}"
            )


_CHOSEN_BY = ("strategy", "item_id", "image_id", "prompt_tokens", "new_tokens")


def choices(path: Path | str, *, by: Sequence[str], costs: dict) -> Iterator[str]:
    """Which method to take in each group of answers, those of all methods together.

    Parameters
    ----------
    path : path
    by : sequence of str
        Columns that make the groups; the strategy is what is chosen.
    costs : dict
        Of `measure.choose_strategy`: cost_wrong, cost_check, cost_tokens, max_risk.
    """
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


def _platt(
    confidence: np.ndarray, correct: np.ndarray, images: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    """The map that competes with uncorrected confidences."""
    return fit(confidence, correct, method="platt")  # images: halves share none
