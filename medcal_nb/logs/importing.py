"""The way of a file to the log: read in blocks, written in one transaction."""

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pandas as pd

from medcal_nb.answers import write_log
from medcal_nb.answers.files import frames_of, iter_table
from medcal_nb.errors import MedcalError

from .registry import detect, readers
from .source import Source
from .table import ColumnMap, Imported, plain, stored_parts

_PICKLES = (".man", ".pkl", ".pickle", ".pt", ".pth")


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
    progress: bool = False,
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
    progress : bool
        Show a bar on stderr.

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
    if source.suffix in _PICKLES:
        raise MedcalError(
            f"{source.path}: a pickle, which can run code when it is opened: not read; write its "
            "confidences (of lm-polygraph: exp(-uncertainty) where it is minus a log-probability) "
            "as a column of a .csv or .parquet and import that"
        )
    path, columns = source.path, columns or ColumnMap()
    if reader == "auto":
        reader = "table" if columns.logits else detect(source)
        if reader == "uqlm" and columns.confidence:  # one scorer is asked for, by its name
            reader = "table"
    report = Imported()
    if reader == "table":
        if items is not None:
            raise MedcalError(f"{path}: --items goes with a reader; a table holds its own columns")
        sheet = source.suffix == ".xlsx"
        frames = frames_of(source.records(), path) if sheet else iter_table(path)
    elif reader in readers():
        report.notes.append(f"{path}: read as {reader}")
        rows = readers()[reader].read(source, columns, report.notes)
        if items is not None:
            rows = _joined(rows, _items(items), path, items)
        frames = _frames(_graded(_parsed(rows, parse), grade or _equal), path)
        columns = _constants(columns)
    else:
        raise MedcalError(f"no reader '{reader}'; there are table, {', '.join(readers())}")
    if progress:
        frames = _with_bar(frames, path)
    return import_frames(frames, to, columns, where=path, if_exists=if_exists, report=report)


def import_frames(frames, to, columns, *, where, if_exists="error", report=None) -> Imported:
    """Write rows that a reader has taken from the file or folder ``where`` already to a log."""
    report = report or Imported()
    parts = stored_parts(frames, where, columns, report)
    report.written = write_log(parts, to, if_exists=if_exists, where=str(where))
    return report


def _constants(columns):
    """What a user may say about the rows of a reader, who knows its columns itself."""
    kept = {n: getattr(columns, n) for n in ("dataset", "domain", "split", "model", "strategy")}
    return dataclasses.replace(ColumnMap(allow_missing=True), **kept)


def _with_bar(frames, path):
    from tqdm.auto import tqdm

    with tqdm(desc=path.name, unit="row", unit_scale=True, disable=None) as bar:
        for frame in frames:
            yield frame
            bar.update(len(frame))


def _frames(rows: Iterable[dict], path) -> Iterator[pd.DataFrame]:
    always = dict.fromkeys(("confidence", "answer", "correct"))
    any_rows = False
    for frame in frames_of((always | row for row in rows), path):
        any_rows = True
        yield frame
    if not any_rows:
        raise MedcalError(f"{path}: no answers in it; nothing to import")


def _parsed(rows, parse):
    for row in rows:
        unparsed = row.pop("unparsed", False)
        if parse is not None and unparsed and row.get("raw") is not None:
            answer, confidence = parse(row["raw"], row.get("question_type"), row.get("options"))
            row["answer"] = answer
            row["parse_ok"] = answer is not None
            if confidence is not None:
                row["confidence"] = confidence
                row["strategy"] = "verbalized"
        yield row


def _graded(rows, grade):
    for row in rows:
        ungraded = row.pop("ungraded", False)
        options = row.pop("options", None)
        answer, gold = row.get("answer"), row.get("gold")
        if ungraded and row.get("correct") is None and answer is not None and gold is not None:
            kind = row.get("question_type")
            row["correct"] = grade(answer, gold, kind, options)
            if row["correct"] is False and _equal(answer, gold, kind, options):
                row["correct"] = True  # 1 and 1.0, which rules for texts tell apart
        yield row


def _equal(answer, gold, question_type, options):
    golds = gold if isinstance(gold, list) else [gold]
    return plain(answer) in {plain(g) for g in golds}


def _items(path) -> dict[str, dict]:
    known = {}
    for record in Source(Path(path)).records():
        if "item_id" not in record:
            raise MedcalError(f"{path}: no column 'item_id'; columns are {', '.join(record)}")
        row = {k: v for k, v in record.items() if k not in ("image", "question")}
        row["options"] = _listed(row.get("options"), path, row["item_id"])
        known[str(row.pop("item_id"))] = row
    return known


def _listed(options, path, item):
    """Options as a list of texts; None where there are none."""
    if isinstance(options, str) and options.startswith("["):
        try:
            options = json.loads(options)
        except (ValueError, RecursionError):
            raise MedcalError(
                f'{path}: item \'{item}\': its options are no JSON list; write ["a", "b"]'
            ) from None
    if options is None or isinstance(options, str):
        return options
    return [str(option) for option in options]


def _joined(rows, known, path, items):
    for row in rows:
        item = known.get(str(row["item_id"]))
        if item is None:
            raise MedcalError(
                f"{path}: item '{row['item_id']}' is not in {items}; give the table of all items"
            )
        for name, value in item.items():
            if row.get(name) is None and value is not None:
                if name == "gold" and isinstance(value, str) and value.startswith('["'):
                    value = _listed(value, items, row["item_id"])
                row[name] = value
        yield row
