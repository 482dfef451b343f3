"""What came back: the answers table, its crash-safe log, and its files."""

from contextlib import AbstractContextManager, closing
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from medcal_nb.answers.columns import (
    ANSWER_COLUMNS,
    GRADED_COLUMNS,
    TEXT,
    checked,
    encode_json,
)
from medcal_nb.answers.files import iter_table, table_format
from medcal_nb.answers.log import AnswerLog, gathered, merge_logs, write_log
from medcal_nb.answers.recorded import load_recorded, recorded_names
from medcal_nb.errors import MedcalError
from medcal_nb.files import PathLike, new_file

__all__ = [
    "ANSWER_COLUMNS",
    "GRADED_COLUMNS",
    "AnswerLog",
    "export_answers",
    "is_log",
    "load_answers",
    "merge_logs",
    "open_answers",
    "write_log",
]

_FORMULA = r"^([=+\-@\t\r])"


def is_log(path: PathLike) -> bool:
    """True for a name that ends as those of logs do: .sqlite, .sqlite3 or .db.

    Examples
    --------
    >>> is_log("answers.sqlite"), is_log("answers.csv")
    (True, False)
    """
    return Path(path).suffix.lower() in (".sqlite", ".sqlite3", ".db")


def load_answers(path: PathLike) -> pd.DataFrame:
    """Answers from a log, or from a Parquet, CSV, TSV or JSONL file with our column names.

    Parameters
    ----------
    path : path
        .sqlite, .parquet, .csv, .tsv, .jsonl or .json; or the name of recorded answers
        (`medcal_nb.answers.recorded.load_recorded`).

    Returns
    -------
    DataFrame
        In key order, typed as `AnswerLog.read` says.

    Raises
    ------
    MedcalError
        If the file is missing, damaged or not a table of answers; tables with other names come
        in through ``medcal import``.

    Examples
    --------
    >>> import pandas as pd
    >>> row = {"model": "m", "dataset": "d", "item_id": "i1", "strategy": "verbalized"}
    >>> pd.DataFrame([row | {"confidence": 0.9, "correct": True}]).to_csv("answers.csv")
    >>> load_answers("answers.csv")[["item_id", "confidence", "correct"]]
      item_id  confidence  correct
    0      i1         0.9     True
    """
    if str(path) in recorded_names():
        return load_recorded(str(path))
    with open_answers(path) as log:
        return log.read()


def open_answers(path: PathLike) -> AbstractContextManager[AnswerLog]:
    """Open what `load_answers` takes as a log to read from."""
    if is_log(path):
        return AnswerLog(path, read_only=True)
    return gathered(checked(iter_table(path), path), path)


def export_answers(
    log: PathLike, to: PathLike, *, force: bool = False, safe_csv: bool = False
) -> int:
    """Write a log as one table, rows in key order: equal logs give equal bytes.

    Parameters
    ----------
    log : path
        An answers log.
    to : path
        Its name says the format: ``.csv`` or ``.parquet``.
    force : bool
        Replace a file that is there; never the source, a log, or what is no regular file.
    safe_csv : bool
        Put a ' before texts and names of columns that a spreadsheet would run as a formula (they
        begin with =, +, -, @, a tab or a return); such texts do not come back as they were.

    Returns
    -------
    int
        Rows written.

    Notes
    -----
    ``option_probabilities`` and sets of gold answers are JSON text. CSV carries no types: columns
    that are not ours come back from it as text.

    Examples
    --------
    >>> from medcal_nb.answers import AnswerLog
    >>> row = {"model": "m", "dataset": "d", "item_id": "q", "strategy": "verbalized"}
    >>> with AnswerLog("a.sqlite") as log:
    ...     added = log.append([row | {"answer": "yes", "confidence": 0.9}])
    >>> n = export_answers("a.sqlite", "a.csv")
    >>> load_answers("a.csv")["confidence"].tolist()
    [0.9]
    """
    writers = {"csv": pc.CSVWriter, "parquet": pq.ParquetWriter}
    kind = table_format(to)
    if kind not in writers:
        raise MedcalError(f"{to}: cannot export as '{kind}'; use csv or parquet")
    with (
        AnswerLog(log, read_only=True) as own_log,
        new_file(to, sources=[log], force=force) as part,
        # closed before the log is, also where the disk is full
        closing(own_log.iter_frames()) as frames,
    ):
        tables = (_exported(frame, safe_csv) for frame in frames)
        first = next(tables)
        n = 0
        with writers[kind](part, first.schema) as file:
            for table in chain([first], tables):
                n += len(table)
                file.write_table(table)
    return n


def _exported(frame: pd.DataFrame, safe: bool) -> pa.Table:
    """A frame as Arrow's table, what has no type of its own as JSON."""
    for name in frame.columns:
        if frame[name].dtype == object:
            texts = [_as_text(value) for value in frame[name]]
            frame[name] = pd.Series(texts, dtype=TEXT)
        if safe and frame[name].dtype == TEXT:
            frame[name] = frame[name].str.replace(_FORMULA, r"'\1", regex=True)
    if safe:
        frame.columns = frame.columns.astype(TEXT).str.replace(
            _FORMULA, r"'\1", regex=True
        )
    return pa.Table.from_pandas(frame, preserve_index=False)


def _as_text(value: Any) -> str | None:
    """A text as it is, anything else as JSON."""
    if value is None or isinstance(value, str):
        return value
    return encode_json(value)
