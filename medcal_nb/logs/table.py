"""Any table: a map from its columns to ours, and its blocks in the form of the log."""

import dataclasses
import difflib
import json
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
    check_column,
    fault,
    to_storage,
)
from medcal_nb.answers.files import csv_header
from medcal_nb.errors import MedcalError

STATED = "stated"
"""The strategy of answers of which nothing says how they were asked for."""

_WHOLE = re.compile(r"([+-]?\d+)\.0+", re.ASCII)
"""A whole number written as a float: pandas writes integers beside a missing value so."""

_NAMED = ("item", "image", "modality", "confidence", "correct", "answer", "gold", "sample")
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
        self.notes = notes
        self.commas = _writes_commas(Path(path))
        self.own = set(ANSWER_COLUMNS) <= set(names)  # an export of ours: may hold missing values
        self.take: dict[str, str] = {}  # ours -> theirs
        self.fixed = {n: getattr(columns, n) for n in ("dataset", "domain", "split")}
        self.fixed = {n: value for n, value in self.fixed.items() if value is not None}
        for flag in _NAMED:
            theirs = getattr(columns, flag)
            if theirs is not None:
                self.take[_OURS.get(flag, flag)] = self._known(theirs, names, f"--{flag}")
        for ours in ("model", "strategy"):
            value = getattr(columns, ours)
            if value is not None:
                (self.take if value in names else self.fixed)[ours] = value
        self._logits(names)
        self._take_by_name(names)
        self._defaults(names)
        used = {*self.take.values(), *self.logits, *ANSWER_COLUMNS}
        self.others = lambda frame: [n for n in frame.columns if n not in used]

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

    def _take_by_name(self, names):
        used = {*self.take.values(), *self.logits}
        for name in names:
            if name not in COLUMNS or name in self.take or name in used:
                continue
            given = self.logits and name in ("answer", "confidence", "option_probabilities")
            if name in self.fixed or given:
                told = "logits" if given else name
                self.notes.append(
                    f"{self.path}: column '{name}' is not used, --{told} says what it is"
                )
            else:
                self.take[name] = name

    def _defaults(self, names):
        have = {*self.take, *self.fixed}
        shown = ", ".join(names[:40])
        if "confidence" not in have and not self.logits:
            raise MedcalError(
                f"{self.path}: no column 'confidence'; name it by --confidence COL, or the option "
                f"scores by --logits COL,COL; columns are {shown}"
            )
        self.grade = "correct" not in have
        if self.grade and not (("answer" in have or self.logits) and "gold" in have):
            raise MedcalError(
                f"{self.path}: nothing says which answers are correct; name a column by "
                f"--correct COL, or the right answers by --gold COL; columns are {shown}"
            )
        if "item_id" not in have:
            self.notes.append(f"{self.path}: no column 'item_id' and no --item: rows are numbered")
        stem = Path(self.path).name.split(".")[0]
        for ours, value in (("model", "unnamed"), ("dataset", stem)):
            if ours not in have:
                self.fixed[ours] = value
                self.notes.append(
                    f"{self.path}: no column '{ours}' and no --{ours}: it is '{value}'"
                )
        if "strategy" not in have:
            self.fixed["strategy"] = "option_probability" if self.logits else STATED

    def apply(self, frame: pd.DataFrame, first_row: int) -> dict[str, list]:
        """The block in the form of the log."""
        n, self.first_row = len(frame), first_row
        if self.commas:
            number = {self.take.get(c) for c in ("confidence", "correct", "seconds")} - {None}
            pointed = {c: _pointed(frame[c]) for c in {*number, *self.logits}}
            frame = frame.assign(**pointed)
        out = {o: frame[t] if t in frame else [None] * n for o, t in self.take.items()}
        out |= {ours: [value] * n for ours, value in self.fixed.items()}
        if "item_id" not in out:
            out["item_id"] = [str(i) for i in range(first_row, first_row + n)]
        trusted = ["confidence", "correct", *(["option_probabilities"] if self.logits else [])]
        if self.logits:
            out |= self._softmax(frame)
        else:
            column = COLUMNS["confidence"]
            if self.columns.percent:
                remedy = "write a number from 0 to 100"
                column = dataclasses.replace(column, top=100.0, remedy=remedy)
            out["confidence"] = self._checked(out["confidence"], column, "confidence")
            self._refuse_missing(out["confidence"], "confidence")
        if self.grade:
            out["correct"] = self._graded(out)
        else:
            out["correct"] = self._checked(out["correct"], COLUMNS["correct"], "correct")
            self._refuse_missing(out["correct"], "correct")
        out |= {name: frame[name] for name in self.others(frame)}
        return to_storage(out, n, where=self.path, first_row=first_row, trusted=trusted)

    def _checked(self, values, column, ours):
        name = self.take.get(ours, ours)
        return check_column(values, column, name=name, where=self.path, first_row=self.first_row)

    def _refuse_missing(self, values, ours):
        if self.own or self.columns.allow_missing or None not in values:
            return
        raise fault(
            self.path,
            self.first_row + values.index(None),
            self.take.get(ours, ours),
            None,
            f"is missing (so are {values.count(None)} in this block)",
            "drop such rows, or add --allow-missing to keep and count them",
        )

    def _graded(self, out):
        answers = self._checked(out["answer"], COLUMNS["answer"], "answer")
        golds = self._checked(out["gold"], COLUMNS["gold"], "gold")
        self._refuse_missing(answers, "answer")
        self._refuse_missing(golds, "gold")
        return [
            None if answer is None or gold is None else plain(answer) in _accepted(gold)
            for answer, gold in zip(answers, golds, strict=True)
        ]

    def _softmax(self, frame):
        scores = np.empty((len(frame), len(self.logits)))
        for k, name in enumerate(self.logits):
            column = Column(name, "score", "write a plain number")
            scores[:, k] = self._checked(frame[name], column, name)
        wrong = np.isnan(scores) | (scores == np.inf)
        best = scores.max(axis=1, keepdims=True)
        for row, k in np.argwhere(wrong)[:1]:
            what = (self.logits[k], float(scores[row, k]), "is no option score")
            raise fault(self.path, self.first_row + int(row), *what, "mend it or drop the row")
        for row in np.flatnonzero(best == -np.inf)[:1]:
            said = "and all other scores of the row are minus infinity"
            what = (self.logits[0], float("-inf"), said)
            raise fault(self.path, self.first_row + int(row), *what, "drop the row")
        p = np.exp(scores - best)
        p /= p.sum(axis=1, keepdims=True)
        names = [json.dumps(o, ensure_ascii=False).replace("%", "%%") for o in self.options]
        line = "{" + ",".join(f"{name}:%r" for name in names) + "}"
        return {
            "answer": [self.options[k] for k in scores.argmax(axis=1)],
            "confidence": p.max(axis=1).tolist(),
            "option_probabilities": [line % tuple(row) for row in p.tolist()],
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


def plain(text) -> str:
    """A text as it is compared: outer spaces, case and the ``.0`` of a whole number apart."""
    text = str(text).strip().casefold()
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text


@lru_cache(4096)
def _accepted(gold: str) -> frozenset[str]:
    """The texts that a kept gold answer takes for right."""
    try:
        golds = json.loads(gold) if gold.startswith("[") else [gold]
    except (ValueError, RecursionError):
        golds = [gold]
    return frozenset(map(plain, golds))
