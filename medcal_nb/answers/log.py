"""The crash-safe log of a model that is being asked: one SQLite file, one transaction a batch.

Killed at any moment, the log holds whole transactions only, so that a rerun asks what is missing.
"""

import contextlib
import json
import os
import re
import sqlite3
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from medcal_nb.answers.check import checked
from medcal_nb.errors import MedcalError
from medcal_nb.files import PathLike, require_file
from medcal_nb.tables import table_of
from medcal_nb.tables.columns import ANSWER_COLUMNS, KEY, as_json, each, of_file

_APPLICATION_ID = 0x4D43414D  # marks the file as ours, and its form as this one
BUSY_SECONDS = 30.0

#: Columns in which equal answers may differ.
_ASIDE = ("run_id", "seconds")

#: The log: the columns of the key, and all others as JSON in ``answer``.
_DEFINED = """(
    model TEXT NOT NULL, dataset TEXT NOT NULL, item_id TEXT NOT NULL, strategy TEXT NOT NULL,
    sample INTEGER NOT NULL, run_id TEXT, seconds REAL, answer TEXT NOT NULL,
    PRIMARY KEY (model, dataset, item_id, strategy, sample)
) STRICT"""

_KEY = ", ".join(KEY)
_IS_KEY = " AND ".join(f"{name} = ?" for name in KEY)
_VALUES = "INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_FOREIGN = (
    "not an answers log; choose another file; tables come in with `medcal import`"
)
_DAMAGED = "the log is damaged: import its source anew"
_REMEDIES = {
    "locked|busy": "the log is locked by another process; wait for it, then run again",
    "readonly|unable to open": "the log cannot be opened or written; allow it in its folder",
    "disk is full|too big|disk I/O": "the disk is full, nothing was half-written; free some space",
    "malformed|decode|corrupt": _DAMAGED,
    "not a database|no such table|no such column": _FOREIGN,
}


def is_log(path: PathLike) -> bool:
    """True for a name that ends as those of answers logs do: .sqlite, .sqlite3 or .db.

    Examples
    --------
    >>> is_log("answers.sqlite"), is_log("answers.csv")
    (True, False)
    """
    return Path(path).suffix.lower() in (".sqlite", ".sqlite3", ".db")


class AnswerLog(contextlib.AbstractContextManager):
    """Answers on disk, as a context manager.

    Parameters
    ----------
    path : path
        The SQLite file; made where it does not exist, unless `read_only`.
    read_only : bool
        For reading alone: makes no log.

    Raises
    ------
    MedcalError
        If the file is missing (read only), locked, not writable, damaged or not an answers log.

    Notes
    -----
    Write-ahead logging lets one process write while others read. Two processes may append to
    one log: each append is one transaction, and waits up to 30 s for the other.
    """

    def __init__(self, path: PathLike, *, read_only: bool = False) -> None:
        self.path = Path(path)
        with _explained(self.path):
            self._con = _open(self.path, read_only)

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. Closing twice does no harm."""
        self._con.close()

    def append(
        self,
        rows: Iterable[dict] | pd.DataFrame,
        *,
        if_exists: str = "error",
        where: PathLike = "",
    ) -> int:
        """Add answers in one transaction: all of them, or none.

        Parameters
        ----------
        rows : iterable of dict, or DataFrame
            Answers: model, dataset, item_id and strategy are needed, and what is not ours is kept.
        if_exists : {"error", "ignore", "replace"}
            For answers whose key (model, dataset, item_id, strategy, sample) the log holds with
            other content (``run_id`` and ``seconds`` apart); equal ones are left as they are.

        where : path, optional
            What messages call the source; the log itself if left out.

        Returns
        -------
        int
            Rows written.

        Raises
        ------
        MedcalError
            Naming row (counted from 1), column, value and remedy.
        """
        source = str(where or self.path)
        with of_file(source):
            stored = _stored(rows)
        written = 0
        with _explained(self.path), self._con as con:
            con.execute("BEGIN IMMEDIATE")
            for row in stored:
                key, text = row[: len(KEY)], row[-1]
                if con.execute(f"INSERT OR IGNORE {_VALUES}", row).rowcount:
                    written += 1
                    continue
                known = con.execute(f"SELECT answer FROM answers WHERE {_IS_KEY}", key)
                if if_exists == "ignore" or known.fetchone() == (text,):
                    continue
                if if_exists == "error":
                    shown = ", ".join(map("{}={}".format, KEY, key))
                    raise MedcalError(
                        f"{source}: there already with other content: {shown}; nothing was "
                        "written: keep the earlier (if_exists='ignore') or take the later answers "
                        "(if_exists='replace', --force)"
                    )
                con.execute(f"REPLACE {_VALUES}", row)
                written += 1
        return written

    def keys(self, **filters: Any) -> set[tuple]:
        """The keys (model, dataset, item_id, strategy, sample) of the answers there are."""
        keys = self._select(_KEY, **filters)
        # one text an item, not one a row
        return {(*map(sys.intern, texts), sample) for *texts, sample in keys}

    def runs(self, **filters: Any) -> set[tuple]:
        """The pairs (strategy, ``run_id``) that there are answers of."""
        return set(self._select("DISTINCT strategy, run_id", **filters))

    def read(self, **filters: Any) -> pd.DataFrame:
        """Answers in key order, every sample by itself.

        Parameters
        ----------
        **filters
            ``column=value`` for columns of the key.

        Returns
        -------
        DataFrame
            The columns of the key, ``confidence``, ``correct`` and all others that hold something,
            typed as `medcal_nb.answers.load_answers` says.
        """
        names = (*KEY, *_ASIDE)
        rows = []
        try:
            for *values, text in self._select("*", f"ORDER BY {_KEY}", **filters):
                rows.append(dict(zip(names, values, strict=True)) | json.loads(text))
            return _checked(table_of(rows))
        except (TypeError, ValueError, RecursionError, MedcalError) as error:
            raise MedcalError(f"{self.path}: {_DAMAGED} ({error})") from None

    def _select(self, what: str, order: str = "", **filters: Any) -> Iterator[tuple]:
        """The rows of a query."""
        conditions = " AND ".join(f"{name} = ?" for name in filters) or "TRUE"
        query = f"SELECT {what} FROM answers WHERE {conditions} {order}"
        with _explained(self.path):
            yield from self._con.execute(query, [*filters.values()])


def _stored(rows: Iterable[dict] | pd.DataFrame) -> list[tuple]:
    """Checked rows as the log keeps them."""
    raw = rows if isinstance(rows, pd.DataFrame) else table_of(rows)
    table = _checked(raw if "sample" in raw else raw.assign(sample=0))
    aside = table.reindex(columns=[*KEY, *_ASIDE]).astype(object)
    aside = aside.where(aside.notna(), None)
    pairs: list[list[str]] = [[] for _ in range(len(table))]
    for name in table.columns.difference(aside.columns):
        remedy = "drop this column, or write it as text"
        texts = each(table[name], as_json, str(name), remedy)
        for pair, text in zip(pairs, texts, strict=True):
            if text:
                pair.append(f"{json.dumps(name)}:{text}")
    answers = [f"{{{','.join(pair)}}}" for pair in pairs]
    keys = aside.itertuples(index=False, name=None)
    return [(*key, answer) for key, answer in zip(keys, answers, strict=True)]


def _checked(raw: pd.DataFrame) -> pd.DataFrame:
    """Rows of a log with values that belong there; empty without rows."""
    if raw.empty:
        return pd.DataFrame(columns=[*KEY, "confidence", "correct"])
    if lacking := [name for name in KEY if name not in raw]:
        names = ", ".join(map(str, raw.columns))
        raise MedcalError(f"no column '{lacking[0]}'; columns are {names}")
    taken = {name: name for name in ANSWER_COLUMNS if name in raw}
    return checked(raw, taken, scale=1, strict=True)


@contextlib.contextmanager
def _explained(path: PathLike) -> Iterator[None]:
    """Turn what SQLite and the file system say into one line that says what to do."""
    try:
        yield
    except (sqlite3.Error, OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        remedies = (r for words, r in _REMEDIES.items() if re.search(words, reason))
        remedy = next(remedies, f"{reason}; nothing was written")
        raise MedcalError(f"{path}: {remedy}") from error


def _open(path: Path, read_only: bool) -> sqlite3.Connection:
    """A connection to a log."""
    if read_only or (path.exists() and not path.is_file()):
        require_file(path)
    if not read_only:
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = "rwc"
    else:
        # who may write takes back half a transaction, and its side files when done
        mode = "rw" if os.access(path, os.W_OK) else "ro"
    con = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    con.execute(f"PRAGMA query_only = {int(read_only)}")
    # one look: another process may be making the file
    mark, tables, ours = con.execute(
        "SELECT application_id, (SELECT COUNT(*) FROM sqlite_master WHERE type != 'index'), "
        "(SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'answers') "
        "FROM pragma_application_id"
    ).fetchone()
    if not (read_only or tables or mark not in (0, _APPLICATION_ID)):
        con.execute("BEGIN IMMEDIATE")
        with con:
            con.execute(f"CREATE TABLE IF NOT EXISTS answers {_DEFINED}")
            con.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        with contextlib.suppress(sqlite3.OperationalError):  # another process is at it
            con.execute("PRAGMA journal_mode = WAL")  # others read while one writes
    elif mark != _APPLICATION_ID or not ours:  # a view might never end
        con.close()
        raise MedcalError(f"{path}: {_FOREIGN}")
    return con
