"""Foreign columns in the place of ours: which is which, and blocks with our names."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from medcal_nb.answers.columns import COLUMNS, Column, check_column
from medcal_nb.errors import MedcalError, did_you_mean

from .cells import ConfidenceCells, as_grades, is_decimal_comma, plain_number
from .nested import chosen

_COLUMN_OR_VALUE = ("model", "strategy", "dataset", "domain", "split")
"""Ours that are a column where the table has one of the name, else one value for all rows."""


@dataclass(frozen=True)
class ColumnMap:
    """Which columns of a foreign table are which of ours.

    Attributes
    ----------
    named : mapping
        Of our columns to theirs. ``model``, ``strategy``, ``dataset``, ``domain`` and ``split``
        hold one value for all rows where no column has the name. Columns that are not named keep
        their names.
    logits : sequence of str
        Columns of option scores, each named by its option after the last ``_``: the answer is the
        largest, the probabilities are the softmax, the confidence is the largest of these.
    percent : bool
        The confidence runs from 0 to 100.
    allow_missing : bool
        Keep rows without a confidence or a grade (they are counted, never scored).
    decimal : {".", ","}
        The decimal mark of option scores; of confidences it is always plain.
    grade : str, optional
        The metric of a log that says whether an answer is right, where it holds several.
    left_out : sequence of str
        Columns that are not taken over.
    """

    named: Mapping[str, str] = field(default_factory=dict)
    logits: Sequence[str] = ()
    percent: bool = False
    allow_missing: bool = False
    decimal: str = "."
    grade: str | None = None
    left_out: Sequence[str] = ()


class Placing:
    """How the blocks of one table become blocks with our names.

    Parameters
    ----------
    where : path
        The table, for messages.
    names : iterable of str
        Its columns.
    columns : ColumnMap

    Attributes
    ----------
    taken : dict
        Of our columns to the column that each is taken from.
    notes : list of str
        What was assumed.

    Raises
    ------
    MedcalError
        Where a column that was asked for is not there, or where nothing says how sure or how
        right the answers are.
    """

    def __init__(self, where: Path, names: Iterable[str], columns: ColumnMap) -> None:
        self.where = where
        self.logits = columns.logits
        self.taken: dict[str, str] = {}
        self.fixed: dict[str, str] = {}
        self.notes: list[str] = []
        self._left_out = frozenset(columns.left_out)
        self._comma = columns.decimal == ","
        names = [name for name in names if name not in self._left_out]
        self._find(columns, names)
        self._check(names)
        self._assume(names)
        self.percent = columns.percent and not columns.logits
        self._confidence = ConfidenceCells(
            str(where), self.theirs("confidence"), percent=self.percent
        )

    def theirs(self, ours: str) -> str:
        """What the user calls one of our columns."""
        return self.taken.get(ours, ours)

    def checks(self) -> dict[str, Column]:
        """Columns whose checks speak of the user's names and scales."""
        known = {}
        for ours, theirs in self.taken.items():
            if ours in COLUMNS:
                known[ours] = replace(COLUMNS[ours], name=theirs)
        if self.percent:
            confidence = known.get("confidence", COLUMNS["confidence"])
            known["confidence"] = replace(
                confidence, top=100.0, remedy="write a number from 0 to 100"
            )
        return known

    def block(self, block: dict[str, list], first_row: int) -> dict[str, list]:
        """A block with our names; columns that are not named keep theirs."""
        n = len(next(iter(block.values())))
        used = {*self.taken.values(), *self.logits, *self._left_out}
        out = {name: values for name, values in block.items() if name not in used}
        for ours, value in self.fixed.items():
            out[ours] = [value] * n
        if self.logits:
            out |= self._choices(block, first_row)
        for ours, theirs in self.taken.items():
            out[ours] = block.get(theirs, [None] * n)
        if "item_id" not in out:
            out["item_id"] = [str(first_row + i) for i in range(n)]
        if "confidence" in out and not self.logits:
            out["confidence"] = self._confidence.read(out["confidence"], first_row)
        if "correct" in out:
            out["correct"] = as_grades(out["correct"])
        return out

    def _find(self, columns, names):
        """Where each named column of ours is taken from."""
        for ours, theirs in columns.named.items():
            fixed = ours in _COLUMN_OR_VALUE and theirs not in names
            # "medical" is a value of a domain, whatever columns there are
            fixed = fixed or theirs in _allowed(ours)
            if fixed:
                self.fixed[ours] = theirs
            else:
                self.taken[ours] = theirs

    def _check(self, names):
        used = {*self.taken.values(), *self.logits}
        have = ({*names} - used) | {*self.taken, *self.fixed}
        if self.logits:
            have |= {"answer", "confidence"}
        options = {option_of(name) for name in self.logits}
        problem = None
        if unknown := used - {*names}:
            name = min(unknown)
            problem = (
                f"no column '{name}', which was asked for{did_you_mean(name, names)}"
            )
        elif self.logits and len(options) < max(2, len(self.logits)):
            problem = "--logits needs two or more that end in different options after the last '_'"
        elif "confidence" not in have:
            problem = (
                f"no column 'confidence'{did_you_mean('confidence', names)}; name it by "
                "--confidence, or option scores by --logits"
            )
        elif not (have >= {"correct"} or have >= {"answer", "gold"}):
            problem = (
                f"nothing says which answers are correct{did_you_mean('correct', names)}; name a "
                "column by --correct or --gold"
            )
        if problem:
            shown = ", ".join(map(str, names[:40]))
            raise MedcalError(f"{self.where}: {problem}; columns are {shown}")

    def _assume(self, names):
        """What holds where nothing is said."""
        used = {*self.taken.values(), *self.logits}
        have = ({*names} - used) | {*self.taken, *self.fixed}
        if "item_id" not in have:
            self.notes.append(
                f"{self.where}: no column 'item_id' and no --item: rows are numbered"
            )
        if "strategy" not in have:
            self.fixed["strategy"] = "option_probability" if self.logits else "stated"
        if "reader" in have and "model" not in have:
            # a person answers in the place of a model
            self.taken["reader"] = self.theirs("reader")
            self.taken["model"] = self.taken["reader"]
            have.add("model")
        usual = {"model": "unnamed", "dataset": Path(self.where).name.split(".")[0]}
        for ours, value in usual.items():
            if ours not in have:
                self.fixed[ours] = value
                self.notes.append(
                    f"{self.where}: no column '{ours}' and no --{ours}: it is '{value}'"
                )

    def _choices(self, block, first_row):
        """Answers, confidences and probabilities from the columns of option scores."""
        scores = []
        for name in self.logits:
            values = block.get(name, [None])
            texts = [value for value in values if isinstance(value, str)]
            comma = self._comma or is_decimal_comma(texts)
            if texts:
                values = [
                    plain_number(value, comma=comma)
                    if isinstance(value, str)
                    else value
                    for value in values
                ]
            column = Column(
                name,
                "score",
                "write a number (--decimal , for commas), or drop the row",
                required=True,
            )
            scores.append(check_column(values, column, self.where, first_row))
        options = [option_of(name) for name in self.logits]
        # (n_options, n_rows) to (n_rows, n_options)
        return chosen(options, np.array(scores, dtype=float).T)


def option_of(name: str) -> str:
    """The option that a column of scores is named by: what stands after the last ``_``."""
    return name.rsplit("_", 1)[-1]


def _allowed(ours):
    return COLUMNS[ours].allowed if ours in COLUMNS else ()
