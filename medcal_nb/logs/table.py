"""Import of any table: Parquet, CSV, TSV, JSONL, with a map from its columns to ours.

The file is read in blocks and written in one go: memory stays bounded, and a fault anywhere
leaves nothing half-imported.
"""

import contextlib
import difflib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from medcal_nb.answers import ANSWER_COLUMNS, write_log
from medcal_nb.answers.files import _header, count_rows, iter_table
from medcal_nb.answers.schema import (
    DECIMAL_COMMA,
    TEXT,
    WELL_ABOVE_1,
    as_confidence,
    as_flag,
    as_number,
    as_text,
    clipped,
    fault,
    to_storage,
)
from medcal_nb.errors import MedcalError

RECORDED = "recorded"
UNNAMED = "unnamed"
WHOLE = re.compile(r"([+-]?\d+)\.0+", re.ASCII)
"""A whole number written as a float: pandas writes integers beside a missing value so."""


@dataclass(frozen=True)
class ColumnMap:
    """Which columns of a foreign table are which of ours.

    Attributes
    ----------
    dataset, domain, split : str, optional
        Constants, the same for every row.
    model, strategy : str, optional
        A column where the table has one by this name, else a constant.
    item, image, modality, confidence, correct, answer, gold, sample : str, optional
        Columns. Without, the column by our own name is taken where there is one.
    logits : sequence of str
        Columns of option scores, each named by its option after the last ``_``: the answer is the
        largest, the probabilities are the softmax, the confidence is the largest of these.
    percent : bool
        The confidence runs from 0 to 100.
    allow_missing : bool
        Keep rows without a confidence or a grade (they are counted, never scored).
    """

    dataset: str | None = None
    domain: str | None = None
    split: str | None = None
    model: str | None = None
    strategy: str | None = None
    item: str | None = None
    image: str | None = None
    modality: str | None = None
    confidence: str | None = None
    correct: str | None = None
    answer: str | None = None
    gold: str | None = None
    sample: str | None = None
    logits: Sequence[str] = ()
    percent: bool = False
    allow_missing: bool = False


@dataclass
class Imported:
    """What an import did: rows of the file, rows new in the log, and what to know about them."""

    rows: int = 0
    written: int = 0
    notes: list[str] = field(default_factory=list)


def import_table(
    path,
    to,
    columns: ColumnMap | None = None,
    *,
    frames: Iterable[pd.DataFrame] | None = None,
    if_exists: str = "error",
    progress: bool = False,
) -> Imported:
    """Read a table and write its answers to a log: all of it, or nothing.

    Parameters
    ----------
    path : path
        .parquet, .csv, .tsv, .jsonl or .json (a list of objects).
    to : path
        The log; made where it does not exist, else added to.
    columns : ColumnMap, optional
    frames : iterable of DataFrame, optional
        The rows of the file, where a reader has taken them from it already.
    if_exists : {"error", "ignore", "replace"}
        For answers that the log holds with other content; equal ones are left as they are.
    progress : bool
        Show a bar on stderr.

    Raises
    ------
    MedcalError
        Naming file, row (data rows counted from 1), column, value and remedy.
    """
    path = Path(path)
    report = Imported()
    total = count_rows(path) if frames is None else None
    frames = iter_table(path) if frames is None else frames
    if progress:
        frames = _with_bar(frames, total, path.name)
    stored = _stored(frames, path, columns or ColumnMap(), report)
    report.written = write_log(stored, to, if_exists=if_exists, where=str(path))
    return report


def _with_bar(frames, total, name):
    from tqdm.auto import tqdm

    with tqdm(total=total, desc=name, unit="row", unit_scale=True, disable=None) as bar:
        for frame in frames:
            yield frame
            bar.update(len(frame))


def _stored(frames, path, columns, report) -> Iterator[pd.DataFrame]:
    plan = None
    top = -np.inf
    unsure = ungraded = right = small = 0
    for frame in frames:
        if plan is None:
            plan = _Plan(path, list(frame.columns), columns, report.notes)
        mapped, trusted = plan.apply(frame, first_row=report.rows + 1)
        if columns.percent and "confidence" in mapped:
            top = max(top, mapped["confidence"].max())
            small += int(mapped["confidence"].between(0, 0.01, inclusive="neither").sum())
        stored = to_storage(mapped, where=str(path), first_row=report.rows + 1, trusted=trusted)
        report.rows += len(frame)
        unsure += int(stored["confidence"].isna().sum())
        ungraded += int(stored["correct"].isna().sum())
        right += int(stored["correct"].sum())
        yield stored
    for n, what in ((unsure, "a confidence"), (ungraded, "a grade")):
        if n:
            only = what == "a confidence" and n == report.rows > ungraded
            then = "only accuracy can be measured" if only else "counted, never scored"
            report.notes.append(f"{path}: {n} of {report.rows} answers without {what}: {then}")
    if plan is not None and plan.grade and not right and report.rows - ungraded > 1:
        report.notes.append(
            f"{path}: none of {report.rows - ungraded} answers equals its right one in column "
            f"'{plan.take['gold']}'; are the two written alike?"
        )
    if columns.percent and (top <= WELL_ABOVE_1 / 100 or 2 * small > report.rows - unsure):
        report.notes.append(
            f"{path}: --percent was given, {small} of {report.rows - unsure} confidences lie "
            f"between 0 and 1 % and the largest is {100 * top:g} %; "
            "is the column in 0 to 1 already?"
        )


class _Plan:
    """How the columns of one file become ours."""

    def __init__(self, path, names, columns: ColumnMap, notes: list[str]):
        self.path = str(path)
        self.columns = columns
        self.commas = _writes_commas(Path(path))
        self.own = set(ANSWER_COLUMNS) <= set(names)  # an export of ours: may hold missing values
        self.take: dict[str, str] = {}  # ours -> theirs
        self.fixed: dict[str, str] = {}
        for ours, flag in (
            ("item_id", "item"),
            ("image_id", "image"),
            ("modality", "modality"),
            ("confidence", "confidence"),
            ("correct", "correct"),
            ("answer", "answer"),
            ("gold", "gold"),
            ("sample", "sample"),
        ):
            theirs = getattr(columns, flag)
            if theirs is not None:
                self.take[ours] = self._known(theirs, names, f"--{flag}")
        for ours in ("model", "strategy"):
            value = getattr(columns, ours)
            if value in names:
                self.take[ours] = value
            elif value is not None:
                self.fixed[ours] = value
        for ours in ("dataset", "domain", "split"):
            if getattr(columns, ours) is not None:
                self.fixed[ours] = getattr(columns, ours)
        self._logits(names)
        used = {*self.take.values(), *self.logits}
        for name in names:
            if name not in ANSWER_COLUMNS or name in self.take or name in used:
                continue
            if name in self.fixed:
                notes.append(f"{path}: column '{name}' is not used, --{name} says what it is")
            elif self.logits and name in ("answer", "confidence", "option_probabilities"):
                notes.append(f"{path}: column '{name}' is not used, --logits says what it is")
            else:
                self.take[name] = name
        self._defaults(names, notes)
        self.used = {*self.take.values(), *self.logits, *ANSWER_COLUMNS}

    def _known(self, name, names, flag):
        if name in names:
            return name
        near = difflib.get_close_matches(name, names, 1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise MedcalError(
            f"{self.path}: no column '{name}' (asked for by {flag}); {hint}"
            f"columns are {', '.join(names[:40])}"
        )

    def _logits(self, names):
        self.logits = [self._known(name, names, "--logits") for name in self.columns.logits]
        self.options = [name.rsplit("_", 1)[-1] for name in self.logits]
        if not self.logits:
            return
        if "confidence" in self.take or "answer" in self.take:
            raise MedcalError(
                f"{self.path}: --logits gives answer and confidence; "
                "leave out --answer and --confidence, or leave out --logits"
            )
        if len(set(self.options)) < max(2, len(self.options)):
            raise MedcalError(
                f"{self.path}: --logits needs at least two columns that end in different options "
                f"after the last '_', got {', '.join(self.logits)}"
            )

    def _defaults(self, names, notes):
        have = {*self.take, *self.fixed}
        shown = ", ".join(names[:40])
        if "confidence" not in have and not self.logits:
            raise MedcalError(
                f"{self.path}: no column 'confidence'; name it by --confidence COL, or the option "
                f"scores by --logits COL,COL; columns are {shown}"
            )
        answered = "answer" in have or bool(self.logits)
        self.grade = "correct" not in have
        if self.grade and not (answered and "gold" in have):
            raise MedcalError(
                f"{self.path}: nothing says which answers are correct; name a column by "
                f"--correct COL, or the right answers by --gold COL; columns are {shown}"
            )
        if "item_id" not in have:
            notes.append(f"{self.path}: no column 'item_id' and no --item: rows are numbered")
        if "model" not in have:
            self.fixed["model"] = UNNAMED
            notes.append(f"{self.path}: no column 'model' and no --model: it is '{UNNAMED}'")
        if "dataset" not in have:
            stem = Path(self.path).name.split(".")[0]
            self.fixed["dataset"] = stem
            notes.append(f"{self.path}: no column 'dataset' and no --dataset: it is '{stem}'")
        if "strategy" not in have:
            self.fixed["strategy"] = "option_probability" if self.logits else RECORDED

    def apply(self, frame: pd.DataFrame, *, first_row: int):
        """The frame with our columns, and which of them need no further check."""
        n = len(frame)
        at = {"where": self.path, "first_row": first_row}
        out = {}
        for ours, theirs in self.take.items():
            out[ours] = frame[theirs] if theirs in frame else pd.Series([None] * n, dtype=object)
        if self.commas:
            for ours in {"confidence", "correct", "seconds"} & self.take.keys():
                out[ours] = _pointed(out[ours])
            frame = frame.assign(**{name: _pointed(frame[name]) for name in self.logits})
        for ours, value in self.fixed.items():
            out[ours] = pd.Series(pd.array([value], dtype=TEXT).repeat(n))
        if "item_id" not in out:
            numbers = [str(i) for i in range(first_row, first_row + n)]
            out["item_id"] = pd.Series(pd.array(numbers, dtype=TEXT))
        trusted = []
        if self.logits:
            out |= self._softmax(frame, first_row)
            trusted = ["option_probabilities"]
        else:
            name = self.take["confidence"]
            out["confidence"] = self._scaled(out["confidence"], name, at)
            self._refuse_missing(out["confidence"], name, first_row)
        if self.grade:
            out["correct"] = self._graded(out, at)
        else:
            theirs = self.take["correct"]
            out["correct"] = as_flag(out["correct"], theirs, **at)
            self._refuse_missing(out["correct"], theirs, first_row)
        for name in frame.columns:
            if name not in self.used:
                out[name] = frame[name]
        return pd.DataFrame(out), trusted

    def _refuse_missing(self, values, column, first_row):
        if self.own or self.columns.allow_missing:
            return
        missing = values.isna().to_numpy()
        if missing.any():
            raise fault(
                self.path,
                first_row + int(np.argmax(missing)),
                column,
                None,
                f"is missing (so are {int(missing.sum())} in this block)",
                "drop such rows, or add --allow-missing to keep and count them",
            )

    def _scaled(self, series, column, at):
        if not self.columns.percent:
            return as_confidence(series, column, **at)
        if isinstance(series.dtype, pd.StringDtype) or series.dtype == object:
            series = series.map(_without_sign)
        values = as_number(series, column, **at, remedy="write a number from 0 to 100")
        values = clipped(values, 0.0, 100.0)
        array = values.to_numpy()
        wrong = ~np.isnan(array) & ~((array >= 0) & (array <= 100))
        if wrong.any():
            i = int(np.argmax(wrong))
            raise fault(
                self.path,
                at["first_row"] + i,
                column,
                float(array[i]),
                "is outside 0 to 100",
                "mend the value or drop the row",
            )
        return values / 100

    def _graded(self, out, at):
        answer = as_text(out["answer"], "answer", **at)
        self._refuse_missing(answer, self.take.get("answer", "answer"), at["first_row"])
        listed = out["gold"].dtype == object and any(isinstance(g, list) for g in out["gold"])
        if listed or _looks_listed(out["gold"]):
            golds = [_accepted(g) for g in out["gold"]]
            found = [
                None if a is None or not g else plain(a) in g
                for a, g in zip(answer.to_numpy(object, na_value=None), golds, strict=True)
            ]
            correct = pd.Series(pd.array(found, dtype="boolean"))
            self._refuse_missing(correct, self.take["gold"], at["first_row"])
            return correct
        gold = as_text(out["gold"], self.take["gold"], **at)
        self._refuse_missing(gold, self.take["gold"], at["first_row"])
        missing = (answer.isna() | gold.isna()).to_numpy()
        equal = np.zeros(len(answer), dtype=bool)
        equal[~missing] = (answer[~missing] == gold[~missing]).to_numpy(dtype=bool)
        for i in np.flatnonzero(~equal & ~missing):
            equal[i] = plain(answer.iloc[i]) == plain(gold.iloc[i])
        correct = pd.array(equal, dtype="boolean")
        correct[missing] = pd.NA
        return pd.Series(correct)

    def _softmax(self, frame, first_row):
        scores = np.empty((len(frame), len(self.logits)))
        for k, name in enumerate(self.logits):
            column = as_number(frame[name], name, where=self.path, first_row=first_row)
            scores[:, k] = column.to_numpy()
        wrong = np.isnan(scores) | (scores == np.inf)
        if wrong.any():
            i, k = np.argwhere(wrong)[0]
            raise fault(
                self.path,
                first_row + int(i),
                self.logits[k],
                float(scores[i, k]),
                "is no option score",
                "mend the value or drop the row",
            )
        best = scores.max(axis=1)
        if (best == -np.inf).any():
            i = int(np.argmax(best == -np.inf))
            raise fault(
                self.path,
                first_row + i,
                self.logits[0],
                float("-inf"),
                "and all other scores of the row are minus infinity",
                "drop the row",
            )
        p = np.exp(scores - best[:, None])
        p /= p.sum(axis=1, keepdims=True)
        options = np.array(self.options, dtype=object)
        names = [json.dumps(o, ensure_ascii=False).replace("%", "%%") for o in self.options]
        line = "{" + ",".join(f"{name}:%r" for name in names) + "}"
        return {
            "answer": pd.Series(pd.array(options[scores.argmax(axis=1)], dtype=TEXT)),
            "confidence": pd.Series(p.max(axis=1)),
            "option_probabilities": pd.Series(
                pd.array([line % tuple(row) for row in p.tolist()], dtype=TEXT)
            ),
        }


def _writes_commas(path) -> bool:
    """Whether a comma may be the decimal mark: in text tables with another mark between cells."""
    suffix = path.suffix.lower()
    return suffix == ".tsv" or (suffix == ".csv" and _header(path, None)[1] != ",")


def _pointed(series):
    """Numbers with a decimal point, where the column has decimal commas and no points."""
    texts = series.dropna().astype(str)
    if not texts.str.fullmatch(DECIMAL_COMMA).any() or texts.str.contains(".", regex=False).any():
        return series
    return series.str.replace(",", ".", regex=False)


def _without_sign(value):
    return value.strip().removesuffix("%").strip() if isinstance(value, str) else value


def plain(text) -> str:
    """A text as it is compared: outer spaces, case and the ``.0`` of a whole number apart."""
    text = str(text).strip().casefold()
    whole = WHOLE.fullmatch(text)
    return whole[1] if whole else text


def _looks_listed(series):
    if not isinstance(series.dtype, pd.StringDtype):
        return any(isinstance(g, str) and g.startswith("[") for g in series)
    return bool(series.str.startswith("[").any())


def _accepted(gold) -> set[str]:
    if isinstance(gold, str) and gold.startswith("["):
        with contextlib.suppress(ValueError):
            gold = json.loads(gold)
    if isinstance(gold, list):
        return {plain(g) for g in gold}
    return {plain(gold)} if not pd.isna(gold) else set()
