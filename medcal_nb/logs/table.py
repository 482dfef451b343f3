"""Any table: a map from its columns to ours, and its blocks in the form of the log."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import chain
from pathlib import Path

import numpy as np

from medcal_nb.answers.columns import (
    ANSWER_COLUMNS,
    COLUMNS,
    Column,
    accepted,
    check_column,
    fault,
    to_storage,
)
from medcal_nb.errors import MedcalError

_WHOLE = re.compile(r"([+-]?\d+)\.0+", re.ASCII)
"""A whole number written as a float: pandas writes integers beside a missing value so."""

_NAMED = {name: name for name in ("modality", "confidence", "correct", "answer", "gold", "sample")}
_NAMED |= {"item": "item_id", "image": "image_id"}
_GRADED_BY = ("answer", "gold")
_GIVE_MISSING = "drop such rows, or add --allow-missing to keep and count them"


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
    blocks = iter(blocks)
    first = next(blocks, None)
    if first is None:
        raise MedcalError(f"{path}: no rows in it; nothing to import")
    names = list(first)
    asked, fixed = _asked(path, names, columns)
    have = _renamed(first, asked, fixed, columns, {"where": path, "first_row": 1}).keys()
    fixed |= _filled_in(path, names, have, columns, report.notes)
    told = _told(asked, columns.percent and not columns.logits)
    needed = ["confidence", "correct"] if "correct" in have else [*_GRADED_BY, "confidence"]
    # an export of ours may hold missing values, too
    may_miss = columns.allow_missing or set(ANSWER_COLUMNS) <= set(names)
    tally: Counter = Counter()
    for block in chain([first], blocks):
        at = {"where": path, "first_row": report.rows + 1}
        stored = to_storage(_renamed(block, asked, fixed, columns, at), told=told, **at)
        if "correct" not in have:
            pairs = zip(*(stored[name] for name in _GRADED_BY), strict=True)
            stored["correct"] = [None if None in pair else int(is_equal(*pair)) for pair in pairs]
        for name in () if may_miss else needed:
            if None in stored[name]:
                row = at["first_row"] + stored[name].index(None)
                raise fault(path, row, asked.get(name, name), None, "is missing", _GIVE_MISSING)
        report.rows += len(stored["model"])
        tally["confidence"] += stored["confidence"].count(None)
        tally["grade"] += stored["correct"].count(None)
        tally["right"] += stored["correct"].count(1)
        if columns.percent:
            tally["small"] += sum(c is not None and 0 < c <= 0.01 for c in stored["confidence"])
        yield stored
    left = {"confidence": "only their accuracy can be measured", "grade": "counted, never scored"}
    for what, then in left.items():
        if tally[what]:
            lack = f"{tally[what]} of {report.rows} answers without a {what}"
            report.notes.append(f"{path}: {lack}: {then}")
    if 2 * tally["small"] > report.rows:
        report.notes.append(f"{path}: most lie between 0 and 1 %; is --percent right?")
    if "correct" not in have and not tally["right"] and report.rows - tally["grade"] > 1:
        report.notes.append(f"{path}: no answer equals its right one; are the two written alike?")


def _told(asked, percent) -> dict[str, Column]:
    """Our columns as the user calls them, and as they are written there."""
    told = {ours: replace(COLUMNS[ours], name=theirs) for ours, theirs in asked.items()}
    if percent:
        confidence = told.get("confidence", COLUMNS["confidence"])
        told["confidence"] = replace(confidence, top=100.0, remedy="write a number from 0 to 100")
    return told


def _asked(path, names, columns):
    """What the user says of our columns: the column each is taken from, or its one value."""
    taken = {ours: getattr(columns, flag) for flag, ours in _NAMED.items()}
    taken = {ours: theirs for ours, theirs in taken.items() if theirs is not None}
    fixed = {}
    for ours in ("dataset", "domain", "split", "model", "strategy"):
        value = getattr(columns, ours)
        if value in names and ours in ("model", "strategy"):
            taken[ours] = value
        elif value is not None:
            fixed[ours] = value
    for theirs in (*taken.values(), *columns.logits):
        if theirs not in names:
            raise _refusal(path, f"no column '{theirs}', which was asked for", names)
    options = {_option(name) for name in columns.logits}
    few = len(options) < max(2, len(columns.logits))
    if columns.logits and (few or taken.keys() & {"answer", "confidence"}):
        raise MedcalError(
            f"{path}: --logits needs two columns or more that end in different options after the "
            "last '_', and gives answer and confidence: leave out --answer and --confidence"
        )
    return taken, fixed


def _filled_in(path, names, have, columns, notes):
    """Constants for what nothing is said of; refused where there is none."""
    if "confidence" not in have:
        problem = "no column 'confidence'; name it by --confidence, or option scores by --logits"
        raise _refusal(path, problem, names)
    if not (have >= {"correct"} or have >= {*_GRADED_BY}):
        problem = "nothing says which answers are correct; name a column by --correct or --gold"
        raise _refusal(path, problem, names)
    if columns.item is None and "item_id" not in names:
        notes.append(f"{path}: no column 'item_id' and no --item: rows are numbered")
    filled = {"model": "unnamed", "dataset": Path(path).name.split(".")[0]}
    filled = {ours: value for ours, value in filled.items() if ours not in have}
    notes += [f"{path}: no column '{n}' and no --{n}: it is '{v}'" for n, v in filled.items()]
    if "strategy" not in have:
        filled["strategy"] = "option_probability" if columns.logits else "stated"
    return filled


def _refusal(path, problem, names):
    return MedcalError(f"{path}: {problem}; columns are {', '.join(names[:40])}")


def _renamed(block, asked, fixed, columns, at):
    """The block with our names; columns of which nothing is said keep theirs."""
    n = len(next(iter(block.values())))
    used = {*asked.values(), *columns.logits}
    out = {name: values for name, values in block.items() if name not in used}
    out |= {ours: block.get(theirs, [None] * n) for ours, theirs in asked.items()}
    out |= {ours: [value] * n for ours, value in fixed.items()}
    out |= _chosen(block, columns.logits, at) if columns.logits else {}
    if "item_id" not in out:
        out["item_id"] = [str(at["first_row"] + i) for i in range(n)]
    return out


def _option(name):
    return name.rsplit("_", 1)[-1]


def _chosen(block, logits, at):
    """Our columns of a choice by its option scores."""
    from scipy.special import softmax

    columns = [Column(name, "score", "write a plain number, or drop the row") for name in logits]
    n = len(next(iter(block.values())))
    told = [check_column(block.get(c.name, [None] * n), c, **at) for c in columns]
    scores = np.array(told, dtype=float).T
    best = scores.max(axis=1, keepdims=True)
    for row, k in np.argwhere(np.isnan(scores) | (scores == np.inf) | (best == -np.inf))[:1]:
        problem = "is no option score, nor may all of a row be minus infinity"
        row, value = int(row) + at["first_row"], float(scores[row, k])
        raise fault(at["where"], row, logits[k], value, problem, columns[k].remedy)
    p = softmax(scores, axis=1)
    options = [_option(name) for name in logits]
    return {
        "answer": [options[k] for k in scores.argmax(axis=1)],
        "confidence": p.max(axis=1).tolist(),
        "option_probabilities": [dict(zip(options, row, strict=True)) for row in p.tolist()],
    }


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
