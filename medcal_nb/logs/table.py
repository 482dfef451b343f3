"""Any table: a map from its columns to ours, and its blocks in the form of the log."""

import dataclasses
import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from medcal_nb.answers.columns import (
    ANSWER_COLUMNS,
    COLUMNS,
    DECIMAL_COMMA,
    WELL_ABOVE_1,
    Column,
    accepted,
    check_column,
    encode_json,
    fault,
    to_storage,
)
from medcal_nb.answers.files import csv_header
from medcal_nb.errors import MedcalError

_STATED = "stated"
"""The strategy of answers of which nothing says how they were asked for."""

_WHOLE = re.compile(r"([+-]?\d+)\.0+", re.ASCII)
"""A whole number written as a float: pandas writes integers beside a missing value so."""

_NAMED = ("item", "image", "modality", "confidence", "correct", "answer", "gold", "sample")
_BY_LOGITS = ("answer", "confidence", "option_probabilities")
_OURS = {"item": "item_id", "image": "image_id"}


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


def stored_parts(
    frames: Iterable[pd.DataFrame], path, columns: ColumnMap, report: Imported
) -> Iterator[dict[str, list]]:
    """The blocks of a table as the log keeps them; what there is to say goes into the report."""
    plan = None
    top = 0.0
    unsure = ungraded = right = small = 0
    for frame in frames:
        plan = plan or _Plan(path, list(frame.columns), columns, report.notes)
        stored = plan.apply(frame, report.rows + 1)
        report.rows += len(frame)
        unsure += stored["confidence"].count(None)
        ungraded += stored["correct"].count(None)
        right += stored["correct"].count(True)
        if columns.percent:
            known = [c for c in stored["confidence"] if c is not None]
            top = max([top, *known])
            small += sum(0 < c < 0.01 for c in known)
        yield stored
    if not report.rows:
        raise MedcalError(f"{path}: no answers in it; nothing to import")
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
        self.path, self.names, self.columns, self.notes = str(path), names, columns, notes
        self.own = set(ANSWER_COLUMNS) <= set(names)  # an export of ours: may hold missing values
        self.fixed = {n: getattr(columns, n) for n in ("dataset", "domain", "split")}
        self.take: dict[str, str] = {}  # ours -> theirs
        for flag in _NAMED:
            if (theirs := getattr(columns, flag)) is not None:
                self.take[_OURS.get(flag, flag)] = self._known(theirs, f"--{flag}")
        for ours in ("model", "strategy"):
            value = getattr(columns, ours)
            (self.take if value in names else self.fixed)[ours] = value
        self.fixed = {n: value for n, value in self.fixed.items() if value is not None}
        self.logits = [self._known(name, "--logits") for name in columns.logits]
        self.options = [name.rsplit("_", 1)[-1] for name in self.logits]
        self._check_logits()
        self._take_by_name()
        self._fill_in()
        self.known = {*self.take.values(), *self.logits, *ANSWER_COLUMNS}
        self.told = {o: dataclasses.replace(COLUMNS[o], name=t) for o, t in self.take.items()}
        if columns.percent:
            as_percent = {"top": 100.0, "remedy": "write a number from 0 to 100"}
            told = self.told.get("confidence", COLUMNS["confidence"])
            self.told["confidence"] = dataclasses.replace(told, **as_percent)
        self.commas = []
        if _writes_commas(Path(path)):
            numbers = ("confidence", "correct", "seconds")
            self.commas = [self.take[c] for c in numbers if c in self.take] + self.logits

    def _known(self, name, flag):
        if name in self.names:
            return name
        near = difflib.get_close_matches(name, self.names, 1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise MedcalError(
            f"{self.path}: no column '{name}' (asked for by {flag}); {hint}"
            f"columns are {', '.join(self.names[:40])}"
        )

    def _check_logits(self):
        if self.logits and ("confidence" in self.take or "answer" in self.take):
            raise MedcalError(
                f"{self.path}: --logits gives answer and confidence; "
                "leave out --answer and --confidence, or leave out --logits"
            )
        if self.logits and len(set(self.options)) < max(2, len(self.options)):
            raise MedcalError(
                f"{self.path}: --logits needs at least two columns that end in different options "
                f"after the last '_', got {', '.join(self.logits)}"
            )

    def _take_by_name(self):
        given = dict.fromkeys(_BY_LOGITS, "logits") if self.logits else {}
        given |= {name: name for name in self.fixed}
        used = {*self.take, *self.take.values(), *self.logits}
        for name in self.names:
            if name in COLUMNS and name not in used:
                if name not in given:
                    self.take[name] = name
                    continue
                said = f"column '{name}' is not used, --{given[name]} says what it is"
                self.notes.append(f"{self.path}: {said}")

    def _fill_in(self):
        have = {*self.take, *self.fixed, *(_BY_LOGITS if self.logits else ())}
        self.grade = "correct" not in have
        problem = None
        if "confidence" not in have:
            problem = (
                "no column 'confidence'; name it by --confidence COL, or the option scores by "
                "--logits COL,COL"
            )
        elif self.grade and not {"answer", "gold"} <= have:
            problem = (
                "nothing says which answers are correct; name a column by --correct COL, or the "
                "right answers by --gold COL"
            )
        if problem:
            raise MedcalError(f"{self.path}: {problem}; columns are {', '.join(self.names[:40])}")
        if "item_id" not in have:
            self.notes.append(f"{self.path}: no column 'item_id' and no --item: rows are numbered")
        stem = Path(self.path).name.split(".")[0]
        for ours, value in {"model": "unnamed", "dataset": stem}.items():
            if ours not in have:
                self.fixed[ours] = value
                said = f"no column '{ours}' and no --{ours}: it is '{value}'"
                self.notes.append(f"{self.path}: {said}")
        if "strategy" not in have:
            self.fixed["strategy"] = "option_probability" if self.logits else _STATED

    def apply(self, frame: pd.DataFrame, first_row: int) -> dict[str, list]:
        """The block in the form of the log."""
        n, place = len(frame), {"where": self.path, "first_row": first_row}
        frame = frame.assign(**{name: _pointed(frame[name]) for name in self.commas})
        out = {o: frame[t] if t in frame else [None] * n for o, t in self.take.items()}
        out |= {ours: [value] * n for ours, value in self.fixed.items()}
        out |= {name: frame[name] for name in frame.columns if name not in self.known}
        if "item_id" not in out:
            out["item_id"] = [str(i) for i in range(first_row, first_row + n)]
        stored = to_storage(out, n, told=self.told, **place)
        if self.logits:
            stored |= self._softmax(frame, place)
        if self.grade:
            self._refuse_missing(stored, ("answer", "gold"), first_row)
            pairs = zip(stored["answer"], stored["gold"], strict=True)
            stored["correct"] = [None if None in pair else is_equal(*pair) for pair in pairs]
        self._refuse_missing(stored, ("confidence", "correct"), first_row)
        return stored

    def _refuse_missing(self, stored, names, first_row):
        for name in () if self.own or self.columns.allow_missing else names:
            if None in stored[name]:
                row = first_row + stored[name].index(None)
                problem = f"is missing (so are {stored[name].count(None)} in this block)"
                remedy = "drop such rows, or add --allow-missing to keep and count them"
                raise fault(self.path, row, self.take.get(name, name), None, problem, remedy)

    def _softmax(self, frame, place):
        scores = np.empty((len(frame), len(self.logits)))
        for k, name in enumerate(self.logits):
            column = Column(name, "score", "write a plain number")
            scores[:, k] = check_column(frame[name], column, **place)
        best = scores.max(axis=1, keepdims=True)
        problem = "is no option score, nor may all of a row be minus infinity"
        for row, k in np.argwhere(np.isnan(scores) | (scores == np.inf) | (best == -np.inf))[:1]:
            value, row = float(scores[row, k]), place["first_row"] + int(row)
            raise fault(self.path, row, self.logits[k], value, problem, "mend it or drop the row")
        p = np.exp(scores - best)
        p /= p.sum(axis=1, keepdims=True)
        return {
            "answer": [self.options[k] for k in scores.argmax(axis=1)],
            "confidence": p.max(axis=1).tolist(),
            "option_probabilities": [
                encode_json(dict(zip(self.options, row, strict=True))) for row in p.tolist()
            ],
        }


def _writes_commas(path) -> bool:
    """Whether a comma may be the decimal mark: in text tables with another mark between cells."""
    suffix = path.suffix.lower()
    return suffix == ".tsv" or (suffix == ".csv" and csv_header(path)[1] != ",")


def _pointed(series):
    """Numbers with a decimal point, where the column has decimal commas and no points."""
    texts = series.dropna().astype(str)
    if not texts.str.fullmatch(DECIMAL_COMMA).any() or texts.str.contains(".", regex=False).any():
        return series
    return series.str.replace(",", ".", regex=False)


def _plain(text) -> str:
    """A text as it is compared: outer spaces, case and the ``.0`` of a whole number apart."""
    text = str(text).strip().casefold()
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text


@lru_cache(4096)
def _accepted(gold: str) -> frozenset[str]:
    return frozenset(map(_plain, accepted(gold) or [gold]))


def is_equal(answer, gold) -> bool:
    """Whether an answer is the gold text or one of a list of them, the way of writing apart."""
    known = map(_plain, gold) if isinstance(gold, list) else _accepted(str(gold))
    return _plain(answer) in known
