"""What came back: the answers table, its crash-safe log, and its files."""

from pathlib import Path

import pandas as pd

from medcal_nb.answers.files import iter_table, table_format, write_table
from medcal_nb.answers.log import AnswerLog, merge_logs, write_log
from medcal_nb.answers.schema import (
    ANSWER_COLUMNS,
    COUNT_COLUMNS,
    FLAG_COLUMNS,
    KEY,
    VERDICT_COLUMNS,
    check_answers,
    from_storage,
    to_storage,
)
from medcal_nb.errors import MedcalError

__all__ = [
    "ANSWER_COLUMNS",
    "KEY",
    "VERDICT_COLUMNS",
    "AnswerLog",
    "check_answers",
    "export_answers",
    "is_log",
    "load_answers",
    "merge_logs",
    "write_log",
]

LOG_SUFFIXES = (".sqlite", ".sqlite3", ".db")


def is_log(path) -> bool:
    """True for a SQLite file, and for a name that ends like one (.sqlite, .sqlite3, .db)."""
    path = Path(path)
    if path.suffix.lower() in LOG_SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            return file.read(16) == b"SQLite format 3\0"
    except OSError:
        return False


def load_answers(path, columns=None) -> pd.DataFrame:
    """Answers from a log, or from a Parquet, CSV, TSV or JSONL file with our column names.

    Parameters
    ----------
    path : path
        .sqlite, .parquet, .csv, .tsv, .jsonl or .json.
    columns : sequence of str, optional
        Which columns; all by default.

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
    frames, first = [], 1
    for frame in iter_table(path):
        frames.append(to_storage(frame, where=str(path), first_row=first))
        first += len(frame)
    stored = pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0]
    if len(frames) > 1:
        stored = to_storage(from_storage(stored), where=str(path))  # doubles across blocks
    stored = stored.sort_values(list(KEY), kind="stable", ignore_index=True)
    frame = from_storage(stored)
    if columns is None:
        return frame
    for name in columns:
        if name not in frame.columns:
            raise MedcalError(f"{path}: no column '{name}'; columns are {', '.join(frame.columns)}")
    return frame[list(columns)]


def export_answers(log_or_path, to, *, format: str | None = None) -> int:
    """Write a log as one table, rows in key order: equal logs give equal bytes.

    Parameters
    ----------
    log_or_path : AnswerLog or path
    to : path
        The file, or the folder for ``format="datasets"``.
    format : {"csv", "tsv", "parquet", "jsonl", "datasets"}, optional
        By the end of the name of `to` where it is not given. "datasets" writes a folder that
        ``datasets.load_from_disk`` reads.

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
            return export_answers(log, to, format=format)
    log = log_or_path
    kind = format or table_format(to)
    if kind not in ("csv", "tsv", "parquet", "jsonl", "datasets"):
        raise MedcalError(f"{to}: cannot export as '{kind}'; use csv, parquet, jsonl or datasets")
    types = {name: _kind(name) for name in ANSWER_COLUMNS}
    types |= {name: _extra_kind(kinds) for name, kinds in log.extra_columns().items()}
    if kind == "datasets":
        return _export_datasets(log, to, types)
    return write_table(log.iter_frames(), to, kind, types)


def _kind(column):
    if column in ("option_probabilities", "gold"):
        return "json"
    if column in ("confidence", "seconds"):
        return "float"
    if column == "sample" or column in COUNT_COLUMNS:
        return "int"
    return "bool" if column in FLAG_COLUMNS else "text"


def _extra_kind(kinds):
    if kinds == {"text"}:
        return "text"
    if kinds == {"integer"}:
        return "int"
    if kinds <= {"integer", "real"}:
        return "float"
    return "bool" if kinds <= {"true", "false"} else "json"


def _export_datasets(log, to, types):
    import shutil
    import tempfile

    import datasets

    to = Path(to)
    if to.exists() and (to.is_file() or any(to.iterdir())):
        raise MedcalError(f"{to}: there already; name a new folder")
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "answers.parquet"
        n = write_table(log.iter_frames(), file, "parquet", types)
        data = datasets.Dataset.from_parquet(str(file), cache_dir=scratch)
        part = to.with_name(f".{to.name}.part")
        try:
            data.save_to_disk(str(part))
            if to.exists():
                to.rmdir()
            part.rename(to)
        except OSError as err:
            raise MedcalError(f"{to}: cannot be written ({err.strerror or err})") from err
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return n
