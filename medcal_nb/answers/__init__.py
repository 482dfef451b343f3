"""What came back: the answers table, its crash-safe log, and its files."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from medcal_nb.answers.columns import (
    ANSWER_COLUMNS,
    COLUMNS,
    GRADED_COLUMNS,
    KEY,
    KINDS,
    checked,
)
from medcal_nb.answers.files import iter_table, table_format, write_table
from medcal_nb.answers.log import AnswerLog, explained, gathered, merge_logs, write_log
from medcal_nb.errors import MedcalError
from medcal_nb.files import new_file

__all__ = [
    "ANSWER_COLUMNS",
    "GRADED_COLUMNS",
    "KEY",
    "AnswerLog",
    "export_answers",
    "is_log",
    "load_answers",
    "merge_logs",
    "open_answers",
    "write_log",
]

_LOG_SUFFIXES = (".sqlite", ".sqlite3", ".db")
_OTHER_TYPES = {
    "string": {"text"},
    "int64": {"integer"},
    "float64": {"integer", "real"},
    "bool": {"true", "false"},
}
"""How columns that are not ours are exported, by the JSON types of their values."""


def is_log(path) -> bool:
    """True for a name that ends as those of logs do: .sqlite, .sqlite3 or .db."""
    return Path(path).suffix.lower() in _LOG_SUFFIXES


def load_answers(path) -> pd.DataFrame:
    """Answers from a log, or from a Parquet, CSV, TSV or JSONL file with our column names.

    Parameters
    ----------
    path : path
        .sqlite, .parquet, .csv, .tsv, .jsonl or .json.

    Returns
    -------
    DataFrame
        In key order, typed as `AnswerLog.read` says.

    Raises
    ------
    MedcalError
        If the file is missing, damaged or not a table of answers; tables with other names come
        in through ``medcal import``.
    """
    with open_answers(path) as log:
        return log.read()


@contextlib.contextmanager
def open_answers(path) -> Iterator[AnswerLog]:
    """Open what `load_answers` takes as a log to read from."""
    if is_log(path):
        opened = AnswerLog(path, read_only=True)
    else:
        opened = gathered(checked(iter_table(path), path), path)
    with explained(path), opened as log:
        yield log


def export_answers(log, to, *, force: bool = False, safe_csv: bool = False) -> int:
    """Write a log as one table, rows in key order: equal logs give equal bytes.

    Parameters
    ----------
    log, to : path
        The format is that of the name of `to`: .csv or .parquet.
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
    ``option_probabilities`` and sets of gold answers are JSON text. CSV carries no types: columns
    that are not ours come back from it as text.
    """
    to = Path(to)
    kind = table_format(to)
    if kind not in ("csv", "parquet"):
        raise MedcalError(f"{to}: cannot export as '{kind}'; use csv or parquet")
    with AnswerLog(log, read_only=True) as source:
        types = {name: KINDS[column.kind].written for name, column in COLUMNS.items()}
        for name, found in source.extra_columns().items():
            types[name] = next((t for t, of in _OTHER_TYPES.items() if found <= of), "json")
        with new_file(to, sources=[log], force=force) as part:
            return write_table(source.iter_frames(), part, kind, types, safe_csv)
