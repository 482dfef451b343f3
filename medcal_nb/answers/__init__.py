"""What came back: the answers table, its crash-safe log, and its files."""

import contextlib
from pathlib import Path

import pandas as pd

from medcal_nb.answers.columns import (
    ANSWER_COLUMNS,
    COLUMNS,
    GRADED_COLUMNS,
    KEY,
    check_answers,
    from_storage,
    refuse_doubles,
    to_storage,
)
from medcal_nb.answers.files import iter_table, table_format, write_table
from medcal_nb.answers.log import AnswerLog, merge_logs, write_log
from medcal_nb.errors import MedcalError
from medcal_nb.files import new_file

__all__ = [
    "ANSWER_COLUMNS",
    "GRADED_COLUMNS",
    "KEY",
    "AnswerLog",
    "check_answers",
    "export_answers",
    "is_log",
    "load_answers",
    "merge_logs",
    "write_log",
]

_LOG_SUFFIXES = (".sqlite", ".sqlite3", ".db")
_FORMATS = ("csv", "tsv", "parquet", "jsonl")
_KINDS = {
    **dict.fromkeys(("options", "gold"), "json"),
    **dict.fromkeys(("unit", "amount"), "float"),
    **{"count": "int", "flag": "bool", "text": "text"},
}


def is_log(path) -> bool:
    """True for a SQLite file, and for a name that ends like one (.sqlite, .sqlite3, .db)."""
    path = Path(path)
    if path.suffix.lower() in _LOG_SUFFIXES:
        return True
    with contextlib.suppress(OSError, ValueError):
        if path.is_file():  # a pipe would be waited for
            with path.open("rb") as file:
                return file.read(16) == b"SQLite format 3\0"
    return False


def load_answers(path, columns=None) -> pd.DataFrame:
    """Answers from a log, or from a Parquet, CSV, TSV or JSONL file with our column names.

    Parameters
    ----------
    path : path
        .sqlite, .parquet, .csv, .tsv, .jsonl or .json.
    columns : sequence of str, optional
        Which columns; all by default. Memory goes with their number.

    Returns
    -------
    DataFrame
        In key order, typed as `check_answers` says.

    Raises
    ------
    MedcalError
        If the file is missing, damaged or not a table of answers; tables with other names come
        in through ``medcal import``.
    """
    if is_log(path):
        with AnswerLog(path, read_only=True) as log:
            return log.read(columns)
    stored: dict[str, list] = {}
    first = 1
    for frame in iter_table(path):
        part = to_storage(frame, len(frame), where=str(path), first_row=first)
        first += len(frame)
        for name, values in part.items():
            stored.setdefault(name, []).extend(values)
    refuse_doubles(stored, path)
    frame = from_storage(stored).sort_values(list(KEY), kind="stable", ignore_index=True)
    for name in columns or ():
        if name not in frame.columns:
            raise MedcalError(f"{path}: no column '{name}'; columns are {', '.join(frame.columns)}")
    return frame if columns is None else frame[list(columns)]


def export_answers(
    log_or_path, to, *, format: str | None = None, force: bool = False, safe_csv: bool = False
) -> int:
    """Write a log as one table, rows in key order: equal logs give equal bytes.

    Parameters
    ----------
    log_or_path : AnswerLog or path
    to : path
    format : {"csv", "tsv", "parquet", "jsonl"}, optional
        By the end of the name of `to` where it is not given.
    force : bool
        Replace a file that is there; never the source, a log, or what is no regular file.
    safe_csv : bool
        Put a ' before texts that a spreadsheet would run as a formula (they begin with =, +, -,
        @, a tab or a return); such texts do not come back as they were.

    Returns
    -------
    int
        Rows written.

    Notes
    -----
    In CSV and Parquet, ``option_probabilities`` and sets of gold answers are JSON text. CSV
    carries no types: columns that are not ours come back from it as text.
    """
    if not isinstance(log_or_path, AnswerLog):
        with AnswerLog(log_or_path, read_only=True) as log:
            return export_answers(log, to, format=format, force=force, safe_csv=safe_csv)
    log, to = log_or_path, Path(to)
    kind = format or table_format(to)
    if kind not in _FORMATS:
        raise MedcalError(f"{to}: cannot export as '{kind}'; use csv, parquet or jsonl")
    if safe_csv and kind not in ("csv", "tsv"):
        raise MedcalError(f"{to}: --safe-csv is for .csv and .tsv files; leave it out")
    types = {name: _KINDS[column.kind] for name, column in COLUMNS.items()}
    types |= {name: _extra_kind(kinds) for name, kinds in log.extra_columns().items()}
    with new_file(to, sources=[log.path], force=force) as part:
        return write_table(log.iter_frames(), part, kind, types, safe_csv)


def _extra_kind(kinds):
    for found, kind in (({"text"}, "text"), ({"integer"}, "int"), ({"integer", "real"}, "float")):
        if kinds <= found:
            return kind
    return "bool" if kinds <= {"true", "false"} else "json"
