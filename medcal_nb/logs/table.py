"""Any table: a map from its columns to ours, and its blocks in the form of the log."""

import dataclasses
import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from medcal_nb.answers.columns import (
    ANSWER_COLUMNS,
    COLUMNS,
    DECIMAL_COMMA,
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

_NAMED = {name: name for name in ("modality", "confidence", "correct", "answer", "gold", "sample")}
_NAMED |= {"item": "item_id", "image": "image_id"}
_BY_LOGITS = ("answer", "confidence", "option_probabilities")
_SHOWN = 40


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
    blocks: Iterable[dict[str, list]], path, columns: ColumnMap, report: Imported
) -> Iterator[dict[str, list]]:
    """The blocks of a table as the log keeps them; what there is to say goes into the report."""
    plan = None
    unsure = ungraded = right = small = 0
    for block in blocks:
        plan = plan or _Plan(path, list(block), columns, report.notes)
        stored = plan.apply(block, report.rows + 1)
        report.rows += len(stored["sample"])
        unsure += stored["confidence"].count(None)
        ungraded += stored["correct"].count(None)
        right += stored["correct"].count(True)
        if columns.percent:
            small += sum(c is not None and 0 < c <= 0.01 for c in stored["confidence"])
        yield stored
    if plan is None:
        raise MedcalError(f"{path}: no answers in it; nothing to import")
    notes, sure, graded = [], report.rows - unsure, report.rows - ungraded
    if unsure:
        then = "counted, never scored" if sure or not graded else "only accuracy can be measured"
        notes.append(f"{unsure} of {report.rows} answers without a confidence: {then}")
    if ungraded:
        notes.append(f"{ungraded} of {report.rows} answers without a grade: counted, never scored")
    if plan.grades and not right and graded > 1:
        notes.append(
            f"none of {graded} answers equals its right one in column '{plan.take['gold']}'; "
            "are the two written alike?"
        )
    if 2 * small > sure:
        notes.append(
            f"--percent was given, and {small} of {sure} confidences lie between 0 and 1 %; "
            "is the column in 0 to 1 already?"
        )
    report.notes += [f"{path}: {note}" for note in notes]


class _Plan:
    """How the columns of one file become ours: taken from a column, or the same in every row."""

    def __init__(self, path, names, columns: ColumnMap, notes: list[str]):
        self.path, self.names, self.columns, self.notes = path, names, columns, notes
        # an export of ours may hold missing values
        self.may_miss = columns.allow_missing or set(ANSWER_COLUMNS) <= set(names)
        self.take: dict[str, str] = {}
        for flag, ours in _NAMED.items():
            if (theirs := getattr(columns, flag)) is not None:
                self.take[ours] = self._known(theirs, flag)
        self.fixed = {n: getattr(columns, n) for n in ("dataset", "domain", "split")}
        for ours in ("model", "strategy"):
            value = getattr(columns, ours)
            (self.take if value in names else self.fixed)[ours] = value
        self.fixed = {ours: value for ours, value in self.fixed.items() if value is not None}
        self.logits = [self._known(name, "logits") for name in columns.logits]
        self.options = [name.rsplit("_", 1)[-1] for name in self.logits]
        self._check_logits()
        self._take_by_name(names)
        self._fill_in()
        self.told = {o: dataclasses.replace(COLUMNS[o], name=t) for o, t in self.take.items()}
        if columns.percent and "confidence" in self.told:
            as_percent = {"top": 100.0, "remedy": "write a number from 0 to 100"}
            self.told["confidence"] = dataclasses.replace(self.told["confidence"], **as_percent)
        # a comma may be the decimal mark in text tables with another mark between cells
        text = Path(path).suffix.lower() in (".csv", ".tsv")
        self.commas = []
        if text and csv_header(path)[1] != ",":
            numbers = ("confidence", "correct", "seconds")
            self.commas = [self.take[c] for c in numbers if c in self.take] + self.logits

    def _known(self, name, flag):
        if name in self.names:
            return name
        near = difflib.get_close_matches(name, self.names, 1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise self._refusal(f"no column '{name}' (asked for by --{flag}); {hint}")

    def _refusal(self, problem):
        return MedcalError(f"{self.path}: {problem}columns are {', '.join(self.names[:_SHOWN])}")

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

    def _take_by_name(self, names):
        given = dict.fromkeys(_BY_LOGITS, "logits") if self.logits else {}
        given |= {name: name for name in self.fixed}
        used = {*self.take, *self.take.values(), *self.logits}
        for name in (n for n in names if n in COLUMNS and n not in used):
            if name in given:
                self._note(f"column '{name}' is not used, --{given[name]} says what it is")
            else:
                self.take[name] = name

    def _fill_in(self):
        have = {*self.take, *self.fixed, *(_BY_LOGITS if self.logits else ())}
        self.grades = "correct" not in have
        if "confidence" not in have:
            raise self._refusal(
                "no column 'confidence'; name it by --confidence COL, or the option scores by "
                "--logits COL,COL; "
            )
        if self.grades and not {"answer", "gold"} <= have:
            raise self._refusal(
                "nothing says which answers are correct; name a column by --correct COL, or the "
                "right answers by --gold COL; "
            )
        if "item_id" not in have:
            self._note("no column 'item_id' and no --item: rows are numbered")
        for ours, value in {"model": "unnamed", "dataset": Path(self.path).name}.items():
            if ours not in have:
                self.fixed[ours] = value.split(".")[0]
                self._note(f"no column '{ours}' and no --{ours}: it is '{self.fixed[ours]}'")
        if "strategy" not in have:
            self.fixed["strategy"] = "option_probability" if self.logits else _STATED

    def _note(self, said):
        self.notes.append(f"{self.path}: {said}")

    def apply(self, block: dict[str, list], first_row: int) -> dict[str, list]:
        """The block in the form of the log."""
        n, place = len(next(iter(block.values()))), {"where": self.path, "first_row": first_row}
        if late := [name for name in block if name not in self.names]:  # rows may differ in JSON
            self._take_by_name(late)
            self.names += late
        block = block | {name: _pointed(block[name]) for name in self.commas}
        known = {*self.take.values(), *self.logits, *ANSWER_COLUMNS}
        out = {name: values for name, values in block.items() if name not in known}
        out |= {ours: block.get(theirs, [None] * n) for ours, theirs in self.take.items()}
        out |= {ours: [value] * n for ours, value in self.fixed.items()}
        if "item_id" not in out:
            out["item_id"] = [str(i) for i in range(first_row, first_row + n)]
        stored = to_storage(out, told=self.told, **place)
        if self.logits:
            stored |= self._softmax(block, place)
        if self.grades:
            self._refuse_missing(stored, ("answer", "gold"), first_row)
            pairs = zip(stored["answer"], stored["gold"], strict=True)
            stored["correct"] = [None if None in pair else int(is_equal(*pair)) for pair in pairs]
        self._refuse_missing(stored, ("confidence", "correct"), first_row)
        return stored

    def _refuse_missing(self, stored, names, first_row):
        for name in () if self.may_miss else names:
            if None in stored[name]:
                row = first_row + stored[name].index(None)
                problem = f"is missing (so are {stored[name].count(None)} in this block)"
                remedy = "drop such rows, or add --allow-missing to keep and count them"
                raise fault(self.path, row, self.take.get(name, name), None, problem, remedy)

    def _softmax(self, block, place):
        from scipy.special import softmax

        columns = [Column(name, "score", "write a plain number") for name in self.logits]
        checked = [check_column(block[c.name], c, **place) for c in columns]
        scores = np.array(checked, dtype=float).T
        best = scores.max(axis=1, keepdims=True)
        problem = "is no option score, nor may all of a row be minus infinity"
        for row, k in np.argwhere(np.isnan(scores) | (scores == np.inf) | (best == -np.inf))[:1]:
            value, row = float(scores[row, k]), place["first_row"] + int(row)
            raise fault(self.path, row, self.logits[k], value, problem, "mend it or drop the row")
        p = softmax(scores, axis=1)
        tables = (dict(zip(self.options, row, strict=True)) for row in p.tolist())
        return {
            "answer": [self.options[k] for k in scores.argmax(axis=1)],
            "confidence": p.max(axis=1).tolist(),
            "option_probabilities": [encode_json(table) for table in tables],
        }


def _pointed(values):
    """Numbers with a decimal point, where the column has decimal commas and no points."""
    known = [v for v in values if isinstance(v, str)]
    if any("." in v for v in known) or not any(map(DECIMAL_COMMA.fullmatch, known)):
        return values
    return [v.replace(",", ".") if isinstance(v, str) else v for v in values]


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
