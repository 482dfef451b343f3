"""Which reader takes which file, and the way from a reader's rows to the log."""

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

import pandas as pd

from medcal_nb.answers.files import CHUNK, iter_json, iter_table, require_file
from medcal_nb.errors import MedcalError

from . import batch, harness, marc, polygraph, sheets, uqlm
from .table import ColumnMap, Imported, import_table, plain

READERS = {
    "lm-eval": harness.read_lm_eval,
    "lmms-eval": harness.read_lmms_eval,
    "vlmevalkit": sheets.read_vlmevalkit,
    "uqlm": uqlm.read_uqlm,
    "lm-polygraph": polygraph.read_lm_polygraph,
    "openai-batch": batch.read_openai_batch,
    "marc": marc.read_marc,
}
"""Readers of other tools' logs: (path, columns, notes) -> rows with our column names."""

DISTINCT = ("lm-eval", "lmms-eval", "openai-batch", "marc", "lm-polygraph", "vlmevalkit")


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
    """Import a table, or the log of another tool.

    Parameters
    ----------
    path, to, columns, if_exists, progress
        As in `import_table`.
    reader : str
        A name of `READERS`, "table", or "auto": the tool whose format this plainly is, else a
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

    Returns
    -------
    Imported
        Its notes say what the format does not hold.
    """
    path = require_file(path)
    columns = columns or ColumnMap()
    if reader == "auto":
        reader = "table" if columns.logits else detect(path)
        if reader == "uqlm" and columns.confidence:  # one scorer is asked for, by its name
            reader = "table"
    if reader == "table":
        if items is not None:
            raise MedcalError(f"{path}: --items goes with a reader; a table holds its own columns")
        sheet = path.suffix.lower() == ".xlsx"
        frames = _objects(sheets.read_sheet(path), path) if sheet else None
        return import_table(
            path, to, columns, frames=frames, if_exists=if_exists, progress=progress
        )
    if reader not in READERS:
        raise MedcalError(f"no reader '{reader}'; there are table, {', '.join(READERS)}")
    notes: list[str] = [f"{path}: read as {reader}"]
    rows = READERS[reader](path, columns, notes)
    if items is not None:
        rows = _joined(rows, _items(items), path, items)
    rows = _graded(_parsed(rows, parse), grade or _equal)
    constants = dataclasses.replace(
        ColumnMap(), **{n: getattr(columns, n) for n in ("dataset", "domain", "split")}
    )
    taken = {n: getattr(columns, n) for n in ("model", "strategy") if getattr(columns, n)}
    constants = dataclasses.replace(constants, allow_missing=True, **taken)
    done = import_table(
        path,
        to,
        constants,
        frames=_frames(rows, path),
        if_exists=if_exists,
        progress=progress,
    )
    done.notes[:0] = notes
    return done


def detect(path) -> str:
    """The reader of the tool whose format this plainly is, else "table"."""
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".man":
        return "lm-polygraph"
    if suffix == ".xlsx":
        names = sheets.sheet_names(path)
        return "vlmevalkit" if {"index", "answer"} <= set(names) else "table"
    if suffix in (".jsonl", ".ndjson"):
        for _, row in islice(iter_json(path), 1):
            if {"doc_id", "filtered_resps"} <= set(row):
                return "lm-eval" if "arguments" in row else "lmms-eval"
            if {"custom_id", "response"} <= set(row):
                return "openai-batch"
            if uqlm.looks_like_uqlm(row):
                return "uqlm"
    if suffix == ".json":
        with path.open("rb") as file:
            head = file.read(4096)
        if b'"configurations"' in head and head.lstrip()[:1] == b"{":
            return "marc"
        if head.lstrip()[:1] == b"{" and b'"data"' in head and b'"responses"' in head:
            return "uqlm"
        if head.lstrip()[:1] == b"[":
            for _, row in islice(iter_json(path), 1):
                if uqlm.looks_like_uqlm(row):
                    return "uqlm"
    if suffix in (".tsv", ".csv", ".parquet", ".pq"):
        for frame in islice(iter_table(path), 1):
            names = set(frame.columns)
            if suffix == ".tsv" and {"index", "question", "answer", "prediction"} <= names:
                return "vlmevalkit"
            if uqlm.looks_like_uqlm(names):
                return "uqlm"
    return "table"


def _frames(rows: Iterable[dict], path) -> Iterator[pd.DataFrame]:
    return _objects(rows, path, ("confidence", "answer", "correct"))


def _objects(rows: Iterable[dict], path, always=()) -> Iterator[pd.DataFrame]:
    rows = iter(rows)
    any_rows = False
    while block := list(islice(rows, CHUNK)):
        any_rows = True
        names = {name: None for row in block for name in row} | dict.fromkeys(always)
        yield pd.DataFrame(
            {n: pd.Series([row.get(n) for row in block], dtype=object) for n in names}
        )
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
    for frame in iter_table(path):
        if "item_id" not in frame.columns:
            raise MedcalError(
                f"{path}: no column 'item_id'; columns are {', '.join(frame.columns)}"
            )
        for row in frame.astype(object).where(frame.notna(), None).to_dict("records"):
            for name in ("image", "question"):
                row.pop(name, None)
            if isinstance(row.get("options"), str) and row["options"].startswith("["):
                row["options"] = json.loads(row["options"])
            known[str(row.pop("item_id"))] = row
    return known


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
                    value = json.loads(value)
                row[name] = value
        yield row
