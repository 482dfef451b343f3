"""The way of a file to the log: read in blocks, written in one transaction."""

from collections.abc import Callable

from tqdm.auto import tqdm

from medcal_nb.answers import write_log
from medcal_nb.answers.columns import COLUMNS, accepted, check_column, fault
from medcal_nb.answers.files import block_of, blocks_of, iter_table
from medcal_nb.errors import MedcalError, printable

from .registry import detect, readers
from .source import Source
from .table import ColumnMap, Imported, is_equal, stored_parts

_PICKLES = (".man", ".pkl", ".pickle", ".pt", ".pth")
_ASKED = ("image", "question", "item_id")
_LISTS = ("options", "gold")


def import_file(
    path,
    to,
    columns: ColumnMap | None = None,
    *,
    reader: str = "auto",
    items=None,
    parse: Callable[..., tuple] | None = None,
    grade: Callable[..., bool | None] | None = None,
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
    reader : str
        A name of `readers()`, "table", or "auto": the tool whose format this plainly is, else a
        table.
    items : path, optional
        A table with ``item_id`` and what is known of the items (gold, image_id, modality, …),
        for logs that do not hold it.
    parse : callable, optional
        Takes a reply apart, for logs of raw replies: (text, question type or None, options or
        None) -> (answer or None, confidence or None).
    grade : callable, optional
        Holds an answer against the gold one, for logs that do not grade: (answer, gold,
        question type or None, options or None) -> bool or None. By default equal texts; case,
        outer spaces and the ``.0`` of a whole number apart.
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
    source, columns, report = Source(path), columns or ColumnMap(), Imported()
    path = source.path
    if source.suffix in _PICKLES:
        raise MedcalError(
            f"{path}: a pickle, which can run code when it is opened: not read; "
            "write its confidences as a column of a .csv or .parquet and import that"
        )
    if reader == "auto":
        reader = "table" if columns.logits else detect(source)
        if reader == "uqlm" and columns.confidence:  # one scorer is asked for, by its name
            reader = "table"
    if (how := readers().get(reader)) is not None:
        report.notes.append(f"{path}: read as {reader}")
        rows = how.read(source, columns, report.notes)
        if items is not None:
            rows = _joined(rows, _items(items), path, items)
        blocks = blocks_of(_finished(rows, how, parse, grade), path)
        # its reader knows the columns; the user may only say what is the same for all rows
        said = {n: getattr(columns, n) for n in ("dataset", "domain", "split", "model", "strategy")}
        columns = ColumnMap(allow_missing=True, **said)
    elif reader != "table":
        raise MedcalError(f"no reader '{reader}'; there are table, {', '.join(readers())}")
    elif items is not None:
        raise MedcalError(f"{path}: --items goes with a reader; a table holds its own columns")
    else:
        sheet = source.suffix == ".xlsx"
        blocks = blocks_of((row for _, row in source.rows()), path) if sheet else iter_table(path)
    blocks = tqdm(blocks, desc=printable(path.name), unit=" blocks", disable=None)
    return _import_blocks(blocks, to, columns, path, report, if_exists)


def import_frames(frames, to, columns, *, where) -> Imported:
    """Write frames that are taken from the file or folder ``where`` already to a log."""
    blocks = (block_of(frame, where) for frame in frames if len(frame))
    return _import_blocks(blocks, to, columns, where, Imported())


def _import_blocks(blocks, to, columns, where, report, if_exists="error"):
    parts = stored_parts(blocks, where, columns, report)
    report.written = write_log(parts, to, if_exists=if_exists, where=where)
    return report


def _finished(rows, reader, parse, grade):
    """Rows of a reader, their replies taken apart and graded where it has not done so."""
    for row in rows:
        options, kind = row.pop("options", None), row.get("question_type")
        if reader.unparsed and parse is not None and row.get("raw") is not None:
            row["answer"], confidence = parse(row["raw"], kind, options)
            if kind == "open" and not reader.states:
                row["answer"] = row["raw"]
            row["parse_ok"] = row["answer"] is not None
            if confidence is not None and reader.states:
                row |= {"confidence": confidence, "strategy": "verbalized"}
        answer, gold = row.get("answer"), row.get("gold")
        graded = row.get("correct") is not None or answer is None or gold is None
        if reader.ungraded and not graded:
            # 1 and 1.0 are equal, which rules for texts tell apart
            right = grade is not None and grade(answer, gold, kind, options)
            row["correct"] = bool(right or is_equal(answer, gold))
        known = {name: value for name, value in row.items() if value is not None}
        yield dict.fromkeys(("confidence", "answer", "correct")) | known


def _items(path) -> dict[str, dict]:
    known = {}
    for number, row in Source(path).rows():
        if "item_id" not in row:
            raise MedcalError(f"{path}: no column 'item_id'; columns are {', '.join(row)}")
        for name in ("item_id", "question_type"):
            check_column([row.get(name)], COLUMNS[name], path, number)
        row |= {n: accepted(row[n]) or row[n] for n in _LISTS if isinstance(row.get(n), str)}
        options = row.get("options")
        if not isinstance(options, list | None):
            raise fault(path, number, "options", options, "is no JSON list", 'write ["a", "b"]')
        row["options"] = options and [str(option) for option in options]
        known[str(row["item_id"])] = {k: v for k, v in row.items() if k not in _ASKED}
    return known


def _joined(rows, known, path, items):
    for row in rows:
        item = known.get(str(row["item_id"]))
        if item is None:
            raise MedcalError(
                f"{path}: item '{row['item_id']}' is not in {items}; give the table of all items"
            )
        yield item | {name: value for name, value in row.items() if value is not None}
