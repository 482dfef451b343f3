"""The way of a table, or of a reader's rows, to the log: in blocks, in one transaction."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

import pandas as pd
from tqdm.auto import tqdm

from medcal_nb.answers import ANSWER_COLUMNS, is_log, load_answers, write_log
from medcal_nb.answers.columns import accepted, fault, to_storage
from medcal_nb.answers.files import blocks_of
from medcal_nb.answers.log import gathered
from medcal_nb.ask.grading import is_correct
from medcal_nb.ask.parsing import parse_answer
from medcal_nb.errors import MedcalError, printable

from .placing import ColumnMap, Placing
from .recognition import recognise_columns
from .registry import Reader, detect, readers
from .source import Source

_WHOLE = re.compile(r"^\s*([+-]?\d+)\.0+\s*$", re.ASCII)
"""A whole number written as a float: pandas writes integers beside a missing value so."""

_UNSEEN = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
"""Characters that nobody sees: two names that differ by them look alike."""

_NOT_OF_ITEMS = ("image", "question", "answer", "confidence", "correct")
_NONE_AT_ALL = {
    "confidence": "accuracy alone can be computed",
    "correct": "`medcal import --items TABLE`, with item_id and gold, grades a tool's log",
}
"""What is left to do where no row holds one of them."""

_GIVE_MISSING = "drop such rows, or add --allow-missing to keep and count them"


@dataclass
class Imported:
    """What an import did: rows of the file, rows new in the log, and what to know about them."""

    rows: int = 0
    written: int = 0
    notes: list[str] = field(default_factory=list)


def import_file(
    path: Path | str,
    to: Path | str,
    columns: ColumnMap | None = None,
    *,
    reader: str = "auto",
    items: Path | str | None = None,
    if_exists: str = "error",
) -> Imported:
    """Write the answers of a table, or of another tool's log, to a log: all of them, or nothing.

    Parameters
    ----------
    path : path
        .parquet, .csv, .tsv, .xlsx, .jsonl, .json (a list of objects), or what a reader knows.
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

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"case": ["a", "b"], "conf": [90, 60], "right": [1, 0]})
    >>> table.to_csv("mine.csv", index=False)
    >>> named = {"item_id": "case", "confidence": "conf", "correct": "right"}
    >>> columns = ColumnMap(named | {"model": "m", "dataset": "d"}, percent=True)
    >>> import_file("mine.csv", "answers.sqlite", columns).written
    2
    """
    columns = columns or ColumnMap()
    source = Source(path, columns.grade)
    if reader == "auto":
        table = columns.logits or "confidence" in columns.named
        reader = "table" if table else detect(source)
    if reader == "table":
        if items is not None:
            raise MedcalError(
                f"{path}: --items goes with a reader; a table holds its own columns"
            )
        blocks = source.blocks()
    elif reader in readers():
        source.notes.append(f"{path}: read as {reader}")
        known = None if items is None else _items(Source(items))
        blocks = blocks_of(_answers(source, readers()[reader], known), path)
        columns = replace(columns, allow_missing=True)
    else:
        there = ", ".join(["table", *readers()])
        raise MedcalError(f"no reader '{reader}'; there are {there}")
    name = printable(source.path.name)
    blocks = tqdm(blocks, desc=name, unit=" blocks", disable=None)
    report = Imported(notes=source.notes)
    parts = _stored(blocks, path, columns, report)
    report.written = write_log(parts, to, if_exists=if_exists, where=path)
    return report


def read_answers(
    path: Path | str, columns: ColumnMap | None = None
) -> tuple[pd.DataFrame, list[str]]:
    """The answers of a log or of any table, without a log being written.

    Parameters
    ----------
    path : path
        A log, or a table of answers: .parquet, .csv, .tsv, .xlsx, .jsonl, .json.
    columns : ColumnMap, optional
        Which columns are which; recognised by `recognise_columns` where left out.

    Returns
    -------
    answers : DataFrame
        Columns and types as of `load_answers`.
    notes : list of str
        What was assumed.

    Raises
    ------
    MedcalError
        As `import_file` and `recognise_columns`.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"case": ["a", "b"], "conf": [90, 60], "right": [1, 0]})
    >>> table.to_csv("mine.csv", index=False)
    >>> answers, notes = read_answers("mine.csv")
    >>> answers[["item_id", "confidence", "correct"]]
      item_id  confidence  correct
    0       a         0.9     True
    1       b         0.6    False
    >>> notes[1]
    "mine.csv: no column 'model' and no --model: it is 'unnamed'"
    """
    if is_log(path):
        return load_answers(path), []
    notes = []
    if columns is None:
        recognised = recognise_columns(path)
        columns = recognised.columns
        notes.append(f"{path}: {recognised.description}")
    report = Imported(notes=notes)
    parts = _stored(Source(path).blocks(), path, columns, report)
    with gathered(parts, path) as log:
        return log.read(), report.notes


# --- rows of a reader ----------------------------------------------------------------------------


def _items(source: Source) -> dict[str, dict]:
    """What is known of each item, by its id."""
    known = {}
    with source.as_user_error():
        for row in source.rows():
            if isinstance(row.get("options"), str):  # of a CSV
                row["options"] = json.loads(row["options"])
            about = {name: row[name] for name in row if name not in _NOT_OF_ITEMS}
            known[str(row["item_id"])] = about
    return known


def _answers(
    source: Source, reader: Reader, items: dict[str, dict] | None
) -> Iterator[dict]:
    """Rows of a reader, their replies taken apart and graded where it has not done so."""
    named = _named_by_path(source, reader)
    with source.as_user_error():
        for row in reader.read(source):
            if items is not None:
                _add_item(row, items, source)
            _take_apart(row)
            known = {name: value for name, value in row.items() if value is not None}
            yield dict.fromkeys(("confidence", "answer", "correct")) | named | known


def _named_by_path(source, reader):
    """What a reader's layout finds in the path of its file."""
    match = re.search(reader.layout, source.path.resolve().as_posix())
    groups = match.groupdict() if match else {}
    # a folder or file cannot be called org/net: it is org__net
    return {name: text.replace("__", "/") for name, text in groups.items()}


def _add_item(row, items, source):
    """Fill in what is known of a row's item."""
    item = items.get(str(row["item_id"]))
    if item is None:
        problem = f"item '{row['item_id']}' is not among those of --items"
        raise MedcalError(f"{source.path}: {problem}; give the table of all items")
    for name, value in item.items():
        if row.get(name) is None:
            row[name] = value


def _take_apart(row):
    """Read the answer out of a row's reply, and grade it, where its reader has not."""
    kind = row.get("question_type") or "open"
    options = [str(option) for option in row.pop("options", None) or ()]
    if "answer" not in row:
        raw = row.get("raw")
        row["answer"] = parse_answer(raw, question_type=kind, options=options)
        row["parse_ok"] = row["answer"] is not None
    elif row.get("raw") is not None:
        row.setdefault("parse_ok", row["answer"] is not None)
    if "correct" not in row:
        row["correct"] = is_right(row["answer"], row.get("gold"), kind, options)


def is_right(
    answer: str | None,
    gold: str | list[str] | None,
    question_type: str = "open",
    options: list[str] | None = None,
) -> bool | None:
    """Whether an answer is the gold one, or one of a list of them; None where one is missing."""
    if answer is None or gold is None:
        return None
    golds = gold if isinstance(gold, list) else accepted(str(gold)) or [gold]
    golds = [_WHOLE.sub(r"\1", str(text)) for text in golds]
    answer = _WHOLE.sub(r"\1", str(answer))
    return bool(is_correct(answer, golds, question_type=question_type, options=options))


# --- blocks of a table ---------------------------------------------------------------------------


def _stored(
    blocks: Iterable[dict[str, list]],
    where: Path | str,
    columns: ColumnMap,
    report: Imported,
) -> Iterator[dict[str, list]]:
    """Blocks as the log keeps them; what there is to say goes into the report."""
    blocks = iter(blocks)
    first = next(blocks, None)
    if first is None:
        raise MedcalError(f"{where}: no rows in it; nothing to import")
    placing = Placing(where, first.keys(), columns)
    report.notes += placing.notes
    checks = placing.checks()
    # an export of ours may hold missing values and any names, too
    is_ours = first.keys() >= {*ANSWER_COLUMNS}
    may_lack = columns.allow_missing or is_ours
    lacking = {"confidence": 0, "correct": 0}
    spellings: dict | None = None if is_ours else {}
    small = 0
    for block in chain([first], blocks):
        row = report.rows + 1
        ours = placing.block(block, row)
        stored = to_storage(ours, checks=checks, where=where, first_row=row)
        _check_names(stored, spellings, placing, row)
        if "correct" not in ours:
            stored["correct"] = _graded(stored)
        for name in lacking:
            n = stored[name].count(None)
            if n and not may_lack:
                row += stored[name].index(None)
                raise fault(
                    where, row, placing.theirs(name), None, "is missing", _GIVE_MISSING
                )
            lacking[name] += n
        if placing.percent:
            small += sum(c is not None and c <= 0.01 for c in stored["confidence"])
        report.rows += len(stored["model"])
        yield stored
    if 2 * small > report.rows:
        report.notes.append(
            f"{where}: most confidences lie between 0 and 1 %; is --percent right?"
        )
    for name, n in lacking.items():
        if n:
            lack = f"{n} of {report.rows} answers without '{name}'"
            remedy = f"; {_NONE_AT_ALL[name]}" if n == report.rows else ""
            report.notes.append(
                f"{where}: {lack}: counted, and left out of what needs it{remedy}"
            )


def _check_names(stored, spellings, placing, first_row):
    """Refuse names that a reader takes for one, and that would count as two."""
    if spellings is None:
        return
    for name in ("model", "dataset", "strategy"):
        for text in dict.fromkeys(stored[name]):
            plain = _UNSEEN.sub("", text).strip().casefold()
            first = spellings.setdefault((name, plain), text)
            if text != first:
                row = first_row + stored[name].index(text)
                problem = f"and {first!r} differ by case, blanks or unseen characters"
                column = placing.theirs(name)
                raise fault(placing.where, row, column, text, problem, "write one name")
    for name in ("item_id", "image_id"):
        texts = [text or "" for text in stored[name]]
        together = "".join(texts)
        if together.isascii() or not _UNSEEN.search(together):
            continue
        row = next(row for row, text in enumerate(texts) if _UNSEEN.search(text))
        problem = f"({texts[row]!a:.60}) holds a character that nobody sees"
        column = placing.theirs(name)
        at = first_row + row
        raise fault(placing.where, at, column, texts[row], problem, "take it out")


def _graded(stored):
    """Grades of answers against their golds, each pair looked at once."""
    pairs = list(zip(stored["answer"], stored["gold"], strict=True))
    right = {pair: is_right(*pair) for pair in set(pairs)}
    return [right[pair] for pair in pairs]
