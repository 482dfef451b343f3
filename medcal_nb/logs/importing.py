"""The way of a table, or of a reader's rows, to the log: in blocks, in one transaction."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from medcal_nb.answers import ANSWER_COLUMNS, write_log
from medcal_nb.answers.columns import (
    COLUMNS,
    Column,
    accepted,
    check_column,
    fault,
    to_storage,
)
from medcal_nb.answers.files import blocks_of, iter_table
from medcal_nb.ask.grading import is_correct
from medcal_nb.ask.parsing import parse_answer
from medcal_nb.errors import MedcalError, printable

from .registry import detect, readers
from .source import Source, chosen

_WHOLE = re.compile(r"^\s*([+-]?\d+)\.0+\s*$", re.ASCII)
"""A whole number written as a float: pandas writes integers beside a missing value so."""

_NOT_OF_ITEMS = ("image", "question", "answer", "confidence", "correct")
_GIVE_MISSING = "drop such rows, or add --allow-missing to keep and count them"


@dataclass(frozen=True)
class ColumnMap:
    """Which columns of a foreign table are which of ours.

    Attributes
    ----------
    named : mapping
        Of our columns to theirs. ``dataset``, ``domain`` and ``split`` are not columns but one
        value for all rows, and so are ``model`` and ``strategy`` where no column has the name.
        Columns that are not named keep their names.
    logits : sequence of str
        Columns of option scores, each named by its option after the last ``_``: the answer is the
        largest, the probabilities are the softmax, the confidence is the largest of these.
    percent : bool
        The confidence runs from 0 to 100.
    allow_missing : bool
        Keep rows without a confidence or a grade (they are counted, never scored).
    """

    named: Mapping[str, str] = field(default_factory=dict)
    logits: Sequence[str] = ()
    percent: bool = False
    allow_missing: bool = False


@dataclass
class Imported:
    """What an import did: rows of the file, rows new in the log, and what to know about them."""

    rows: int = 0
    written: int = 0
    notes: list[str] = field(default_factory=list)


def import_file(
    path,
    to,
    columns=None,
    *,
    reader: str = "auto",
    items=None,
    if_exists: str = "error",
) -> Imported:
    """Write the answers of a table, or of another tool's log, to a log: all of them, or nothing.

    Parameters
    ----------
    path : path
        .parquet, .csv, .tsv, .jsonl, .json (a list of objects), or what a reader knows.
    to : path
        The log; made where it does not exist, else added to.
    columns : ColumnMap, optional
        Readers name their columns themselves; what is the same for all rows may be said.
    reader : str
        A name of `readers()`, "table", or "auto": a table where confidences or option scores are
        named, else the tool whose format this plainly is, else a table.
    items : path, optional
        A table with ``item_id`` and what is known of the items (gold, image_id, modality, …),
        for logs that do not hold it.
    if_exists : {"error", "ignore", "replace"}
        For answers that the log holds with other content; equal ones are left as they are.

    Returns
    -------
    Imported
        Its notes say what the format does not hold.

    Raises
    ------
    MedcalError
        Naming file, row (data rows counted from 1), column, value and remedy.
    """
    source = Source(path)
    columns = columns or ColumnMap()
    if reader == "auto":
        reader = (
            "table"
            if columns.logits or "confidence" in columns.named
            else detect(source)
        )
    if reader == "table" and items is not None:
        raise MedcalError(
            f"{path}: --items goes with a reader; a table holds its own columns"
        )
    if reader == "table":
        blocks = iter_table(path)
    elif reader in readers():
        source.notes.append(f"{path}: read as {reader}")
        rows = _answers(source, readers()[reader], items and _items(Source(items)))
        blocks = blocks_of(rows, path)
        columns = replace(columns, allow_missing=True)
    else:
        raise MedcalError(
            f"no reader '{reader}'; there are table, {', '.join(readers())}"
        )
    blocks = tqdm(
        blocks, desc=printable(source.path.name), unit=" blocks", disable=None
    )
    return import_blocks(
        blocks, to, columns, path, Imported(notes=source.notes), if_exists
    )


def import_blocks(blocks, to, columns, where, report, if_exists="error") -> Imported:
    """Write blocks that are taken from the file or folder ``where`` already to a log."""
    parts = _stored(blocks, where, columns, report)
    report.written = write_log(parts, to, if_exists=if_exists, where=where)
    return report


# --- rows of a reader ----------------------------------------------------------------------------


def _items(source) -> dict[str, dict]:
    """What is known of each item, by its id."""
    known = {}
    with source.told():
        for row in source.rows():
            if isinstance(row.get("options"), str):  # of a CSV
                row["options"] = json.loads(row["options"])
            known[str(row["item_id"])] = {
                k: v for k, v in row.items() if k not in _NOT_OF_ITEMS
            }
    return known


def _answers(source, reader, items) -> Iterator[dict]:
    """Rows of a reader, their replies taken apart and graded where it has not done so."""
    found = re.search(reader.layout, source.path.resolve().as_posix())
    # a folder or file cannot be called org/net: it is org__net
    named = {
        k: v.replace("__", "/") for k, v in (found.groupdict() if found else {}).items()
    }
    with source.told():
        for row in reader.read(source):
            if items is not None:
                if (item := items.get(str(row["item_id"]))) is None:
                    problem = f"item '{row['item_id']}' is not among those of --items"
                    raise MedcalError(
                        f"{source.path}: {problem}; give the table of all items"
                    )
                row |= {
                    name: value for name, value in item.items() if row.get(name) is None
                }
            kind = row.get("question_type") or "open"
            options = [str(option) for option in row.pop("options", None) or ()]
            if "answer" not in row:
                row["answer"] = parse_answer(
                    row.get("raw"), question_type=kind, options=options
                )
                row["parse_ok"] = row["answer"] is not None
            elif row.get("raw") is not None:
                row.setdefault("parse_ok", row["answer"] is not None)
            if "correct" not in row:
                row["correct"] = is_right(row["answer"], row.get("gold"), kind, options)
            told = {name: value for name, value in row.items() if value is not None}
            yield dict.fromkeys(("confidence", "answer", "correct")) | named | told


def is_right(answer, gold, question_type="open", options=None) -> bool | None:
    """Whether an answer is the gold one, or one of a list of them; None where one is missing."""
    if answer is None or gold is None:
        return None
    golds = gold if isinstance(gold, list) else accepted(str(gold)) or [gold]
    answer, *golds = (_WHOLE.sub(r"\1", str(text)) for text in (answer, *golds))
    return bool(is_correct(answer, golds, question_type=question_type, options=options))


# --- blocks of a table ---------------------------------------------------------------------------


def _stored(
    blocks: Iterable[dict[str, list]], path, columns, report
) -> Iterator[dict[str, list]]:
    """Blocks as the log keeps them; what there is to say goes into the report."""
    blocks = iter(blocks)
    first = next(blocks, None)
    if first is None:
        raise MedcalError(f"{path}: no rows in it; nothing to import")
    taken, fixed = _places(path, first.keys(), columns, report.notes)
    told = {ours: replace(COLUMNS[ours], name=theirs) for ours, theirs in taken.items()}
    if columns.percent and not columns.logits:
        confidence = told.get("confidence", COLUMNS["confidence"])
        told["confidence"] = replace(
            confidence, top=100.0, remedy="write a number from 0 to 100"
        )
    # an export of ours may hold missing values, too
    may_lack = columns.allow_missing or first.keys() >= {*ANSWER_COLUMNS}
    lacking = {"confidence": 0, "correct": 0}
    small = 0
    for block in chain([first], blocks):
        at = {"where": path, "first_row": report.rows + 1}
        block = _placed(block, taken, fixed, columns.logits, at)
        stored = to_storage(block, told=told, **at)
        if "correct" not in block:
            pairs = [*zip(stored["answer"], stored["gold"], strict=True)]
            right = {pair: is_right(*pair) for pair in {*pairs}}
            stored["correct"] = [right[pair] for pair in pairs]
        for name in lacking:
            n = stored[name].count(None)
            if n and not may_lack:
                row = at["first_row"] + stored[name].index(None)
                raise fault(
                    path, row, taken.get(name, name), None, "is missing", _GIVE_MISSING
                )
            lacking[name] += n
        if columns.percent and not columns.logits:
            small += sum(c is not None and c <= 0.01 for c in stored["confidence"])
        report.rows += len(stored["model"])
        yield stored
    if 2 * small > report.rows:
        report.notes.append(
            f"{path}: most confidences lie between 0 and 1 %; is --percent right?"
        )
    for name, n in lacking.items():
        if n:
            lack = f"{n} of {report.rows} answers without '{name}'"
            report.notes.append(
                f"{path}: {lack}: counted, and left out of what needs it"
            )


def _places(path, names, columns, notes):
    """The column that each of ours is taken from, and those of ours that hold one value."""
    taken = {}
    fixed = {}
    for ours, told in columns.named.items():
        either = ours in ("model", "strategy") and told not in names
        (fixed if either or ours in ("dataset", "domain", "split") else taken)[ours] = (
            told
        )
    used = {*taken.values(), *columns.logits}
    have = ({*names} - used) | {*taken, *fixed}
    have |= {"answer", "confidence"} if columns.logits else set()
    if unknown := used - {*names}:
        problem = f"no column '{min(unknown)}', which was asked for"
    elif columns.logits and len({*map(_option, columns.logits)}) < max(
        2, len(columns.logits)
    ):
        problem = "--logits needs two or more that end in different options after the last '_'"
    elif "confidence" not in have:
        problem = "no column 'confidence'; name it by --confidence, or option scores by --logits"
    elif not (have >= {"correct"} or have >= {"answer", "gold"}):
        problem = "nothing says which answers are correct; name a column by --correct or --gold"
    else:
        problem = None
    if problem:
        raise MedcalError(f"{path}: {problem}; columns are {', '.join([*names][:40])}")
    if "item_id" not in have:
        notes.append(f"{path}: no column 'item_id' and no --item: rows are numbered")
    if "strategy" not in have:
        fixed["strategy"] = "option_probability" if columns.logits else "stated"
    usual = {"model": "unnamed", "dataset": Path(path).name.split(".")[0]}
    for ours, value in usual.items():
        if ours not in have:
            fixed[ours] = value
            notes.append(f"{path}: no column '{ours}' and no --{ours}: it is '{value}'")
    return taken, fixed


def _placed(block, taken, fixed, logits, at):
    """The block with our names; columns that are not named keep theirs."""
    n = len(next(iter(block.values())))
    used = {*taken.values(), *logits}
    out = {name: values for name, values in block.items() if name not in used}
    out |= {ours: [value] * n for ours, value in fixed.items()}
    if logits:
        column = Column("", "score", "write a number, or drop the row", required=True)
        columns = [
            (block.get(name, [None]), replace(column, name=name)) for name in logits
        ]
        scores = [check_column(values, column, **at) for values, column in columns]
        out |= chosen([*map(_option, logits)], np.array(scores, dtype=float).T)
    out |= {ours: block.get(theirs, [None] * n) for ours, theirs in taken.items()}
    if "item_id" not in out:
        out["item_id"] = [str(at["first_row"] + i) for i in range(n)]
    return out


def _option(name):
    return name.rsplit("_", 1)[-1]
