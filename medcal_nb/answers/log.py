"""The crash-safe log of answers: one SQLite file, one transaction per append, import or merge.

Killed at any moment, the log holds whole transactions only, so that a rerun asks what is missing.
"""

import contextlib
import os
import re
import sqlite3
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pandas as pd

from medcal_nb.answers.columns import (
    COLUMNS,
    KEY,
    KINDS,
    STORED,
    TEXT,
    checked,
    from_storage,
)
from medcal_nb.answers.files import CHUNK, blocks_of, require_file
from medcal_nb.errors import MedcalError
from medcal_nb.files import PathLike, part_of, remove_dead_parts

_APPLICATION_ID = 0x4D43414C  # "MCAL", marks the file as ours
_VERSION = 1
BUSY_SECONDS = 30.0
_AT_ONCE = 16
"""Rows in one statement of SQLite: half the time of one by one, and more gain nothing."""
_READ_AT_ONCE = 512
"""Rows fetched from SQLite together; a divisor of `CHUNK`."""

_DEFINED = ", ".join(
    [
        f"{c.name} {KINDS[c.kind].sql}{' NOT NULL' * c.required}"
        for c in COLUMNS.values()
    ]
    + ["extra TEXT"]
)
_KEY = ", ".join(KEY)
_SAME = " AND ".join(f"t.{c} = s.{c}" for c in KEY)
_DIFFERS = " OR ".join(
    f"t.{c} IS NOT s.{c}" for c in STORED if c not in (*KEY, "run_id", "seconds")
)
_UPDATE = ", ".join(f"{c} = excluded.{c}" for c in STORED if c not in KEY)
_ON_CONFLICT = {
    "error": "NOTHING",
    "ignore": "NOTHING",
    "replace": f"UPDATE SET {_UPDATE}",
}
_DTYPES = {
    TEXT: {"text"},
    "Int64": {"integer"},
    "float64": {"integer", "real"},
    "boolean": {"true", "false"},
}
"""How columns that are not ours come back, by the JSON types of their values."""


class AnswerLog(contextlib.AbstractContextManager):
    """Answers on disk, as a context manager.

    Parameters
    ----------
    path : path
        The SQLite file; made where it does not exist, unless `read_only`.
    read_only : bool
        For reading alone: makes no log, and opens those in folders that cannot be written.
        SQLite's own side files stand beside the log while it is read, and after it only where
        the log itself cannot be written.
    connection : sqlite3.Connection, optional
        To a log that is open already.

    Raises
    ------
    MedcalError
        If the file is missing (read only), locked, not writable, damaged or not an answers log.

    Notes
    -----
    Write-ahead logging lets one process write while others read. Two processes may append to
    one log: each append is one transaction, and waits up to 30 s for the other.
    """

    def __init__(
        self,
        path: PathLike,
        *,
        read_only: bool = False,
        connection: sqlite3.Connection | None = None,
    ):
        self.path = Path(path)
        self.read_only = read_only
        self._con = connection or _open(self.path, read_only)

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. Closing twice does no harm."""
        self._con.close()

    def append(self, rows: Iterable[dict], *, if_exists: str = "error") -> int:
        """Add rows in one transaction: all of them, or none.

        Parameters
        ----------
        rows : sequence of dict
            Answers: model, dataset, item_id and strategy are needed, and what is not ours is kept.
        if_exists : {"error", "ignore", "replace"}
            For rows whose key (model, dataset, item_id, strategy, sample) the log holds with
            other content (``run_id`` and ``seconds`` apart); equal ones are left as they are.

        Returns
        -------
        int
            Rows written.

        Raises
        ------
        MedcalError
            Naming row (counted from 1), column, value and remedy.
        """
        if self.read_only:
            raise MedcalError(
                f"{self.path}: opened to be read; open it without read_only to write"
            )
        parts = checked(
            blocks_of(({"sample": 0} | row for row in rows), self.path), self.path
        )
        return write_log(parts, self.path, if_exists=if_exists, where=self.path)

    def keys(self, **filters: Any) -> set[tuple]:
        """The keys (model, dataset, item_id, strategy, sample) of the answers there are."""
        keys = self._select(f"SELECT {_KEY} FROM answers", **filters)
        # one text an item, not one a row
        return {(*map(sys.intern, texts), sample) for *texts, sample in keys}

    def runs(self, **filters: Any) -> set[tuple]:
        """The pairs (strategy, ``run_id``) that there are answers of."""
        return set(
            self._select("SELECT DISTINCT strategy, run_id FROM answers", **filters)
        )

    def read(self, **filters: Any) -> pd.DataFrame:
        """Answers in key order.

        Parameters
        ----------
        **filters
            ``column=value`` or ``column=[values]`` for our columns.

        Returns
        -------
        DataFrame
            Text as strings, ``confidence`` in 0–1 or NaN, ``correct`` and ``parse_ok`` nullable
            booleans, ``option_probabilities`` a dict or None, ``gold`` a string or, for a set of
            accepted answers, a list of strings.
        """
        frame = pd.concat(self.iter_frames(**filters), ignore_index=True)
        if frame["gold"].dtype == object:  # there are lists in it
            frame["gold"] = frame["gold"].where(frame["gold"].notna(), None)
        return frame

    def iter_frames(
        self,
        columns: Sequence[str] | None = None,
        *,
        ordered: bool = True,
        **filters: Any,
    ) -> Iterator[pd.DataFrame]:
        """Answers in frames of bounded size, at least one, each with the same typed columns.

        In key order, or with ``ordered=False`` in the order of the file, which is faster.
        """
        known = columns is not None and {*columns} <= {*COLUMNS}
        types = {} if known else self.extra_columns(**filters)
        names = [*COLUMNS, *types] if columns is None else columns
        others = {
            name: types.get(name, object) for name in names if name not in COLUMNS
        }
        ours = [name for name in names if name in COLUMNS]
        if others:
            ours.append("extra")
        order = f" ORDER BY {_KEY}" if ordered else ""
        query = f"SELECT {', '.join(ours)} FROM answers"
        first_row = 1
        block: dict[str, list] = {name: [] for name in ours}
        for rows in self._batches(query, order, **filters):
            # few rows at a time are turned into columns while they are in the cache
            for column, values in zip(
                block.values(), zip(*rows, strict=True), strict=True
            ):
                column.extend(values)
            if len(block[ours[0]]) >= CHUNK:
                yield from_storage(block, others, self.path, first_row)
                first_row += CHUNK
                block = {name: [] for name in ours}
        if block[ours[0]] or first_row == 1:
            yield from_storage(block, others, self.path, first_row)

    def samples(self) -> dict[str, int]:
        """Each strategy with the highest number of a sample in it: 0 where it asks once."""
        return dict(
            self._select("SELECT strategy, MAX(sample) FROM answers", " GROUP BY 1")
        )

    def extra_columns(self, **filters: Any) -> dict:
        """The columns that are not ours, by name, with the dtypes that they have in frames."""
        kinds: dict[str, set[str]] = {}
        each = "SELECT DISTINCT e.key, e.type FROM answers, json_each(extra) AS e"
        for name, kind in self._select(each, " ORDER BY 1", **filters):
            kinds.setdefault(str(name), set()).add(kind)
        return {name: _dtype_of(of_name) for name, of_name in kinds.items()}

    def _select(self, query: str, tail: str = "", **filters: Any) -> Iterator[tuple]:
        return chain.from_iterable(self._batches(query, tail, **filters))

    def _batches(
        self, query: str, tail: str = "", **filters: Any
    ) -> Iterator[list[tuple]]:
        """The rows of a query, `_READ_AT_ONCE` at a time."""
        conditions = []
        parameters = []
        for name, value in filters.items():
            values = list(value) if pd.api.types.is_list_like(value) else [value]
            marks = ", ".join("?" for _ in values)
            conditions.append(f"{name} IN ({marks})")
            parameters.extend(values)
        if conditions:
            query += " WHERE " + " AND ".join(conditions)
        with explained(self.path):
            rows = self._con.execute(query + tail, parameters)
            while several := rows.fetchmany(_READ_AT_ONCE):
                yield several


def _dtype_of(kinds: set[str]) -> object:
    """The dtype of a column that is not ours, by the JSON types of its values."""
    for dtype, known in _DTYPES.items():
        if kinds <= known:
            return dtype
    return object


@contextlib.contextmanager
def gathered(
    parts: Iterable[dict[str, list]],
    where: PathLike,
    to: PathLike | None = None,
    part: Path | None = None,
) -> Iterator[AnswerLog]:
    """A log that holds blocks which `to_storage` has checked, in bounded memory.

    Parameters
    ----------
    parts : iterable of dict of lists
        The blocks.
    where : path
        What messages call their source.
    to : path, optional
        What messages call the log that is written in the end.
    part : path, optional
        The empty file that holds it. Else that has no name and goes with its process: SQLite
        unlinks it as it opens it.
    """
    con = _connected("" if part is None else part.absolute().as_uri())
    with AnswerLog(where, connection=con) as log:
        with explained(to or where):
            for how in (
                "page_size = 16384",
                "journal_mode = OFF",
                "synchronous = OFF",
                "cache_size = -65536",
            ):
                log._con.execute(f"PRAGMA {how}")
            log._con.execute(f"CREATE TABLE answers ({_DEFINED})")
            _insert(log._con, parts)
            try:
                _make(log._con)  # its index is made faster when all is there
            except sqlite3.IntegrityError:
                raise _doubled(log._con, where) from None
        yield log


def write_log(
    parts: Iterable[dict[str, list]],
    to: PathLike,
    *,
    if_exists: str = "error",
    where: PathLike = "answers",
) -> int:
    """Write blocks that `to_storage` has checked to a log: all of them, or nothing.

    They are gathered in a file that nobody sees. It becomes the log where there is none yet; else
    they are put into the log in one transaction.

    Parameters
    ----------
    parts : iterable of dict of lists
        The blocks.
    to : path
        The log; made where it is not there.
    if_exists : {"error", "ignore", "replace"}
        As in `AnswerLog.append`.
    where : path
        What messages call the source.

    Returns
    -------
    int
        Rows written to `to`.
    """
    with _free_place(Path(to)) as part, gathered(parts, where, to, part) as log:
        if part is not None and _put_in_place(log, part, to):
            AnswerLog(to).close()  # which gives it its write-ahead log
            return log._con.execute("SELECT COUNT(*) FROM answers").fetchone()[0]
        return _publish(log._con, to, if_exists, where)


def merge_logs(
    sources: Sequence[PathLike], to: PathLike, *, if_exists: str = "error"
) -> int:
    """Bring the answers of several logs into one; safe to repeat.

    Rows that are there already with the same content are left as they are.

    Parameters
    ----------
    sources : sequence of path
        The logs, the earlier first.
    to : path
        The log to bring them into; it counts as the earliest.
    if_exists : {"error", "ignore", "replace"}
        For a row with the same key and other content (``run_id`` and ``seconds`` apart): refused,
        or settled for the earlier or the later log.

    Returns
    -------
    int
        Rows added to, or replaced in, `to`.

    Raises
    ------
    MedcalError
        On conflicts, naming their number and the first one; then nothing is written.

    Examples
    --------
    >>> for name in ("a", "b"):
    ...     row = {"model": name, "dataset": "d", "item_id": "q", "strategy": "verbalized"}
    ...     with AnswerLog(f"{name}.sqlite") as log:
    ...         added = log.append([row | {"answer": "yes", "confidence": 0.9}])
    >>> counts = merge_logs(["a.sqlite", "b.sqlite"], "both.sqlite")
    >>> with AnswerLog("both.sqlite", read_only=True) as log:
    ...     log.read()["model"].tolist()
    ['a', 'b']
    """
    with gathered([], to) as merged:
        for source in sources:
            with AnswerLog(source, read_only=True) as log, explained(source):
                for _ in log.iter_frames(ordered=False):
                    pass  # a damaged value is refused under its own log's name
                uri = f"{log.path.absolute().as_uri()}?mode=ro"
                merged._con.execute("ATTACH ? AS source", (uri,))
                _copy(merged._con, "source.answers", "main.answers", if_exists, source)
                merged._con.execute("DETACH source")
        return _publish(merged._con, to, if_exists, to)


@contextlib.contextmanager
def explained(path: PathLike) -> Iterator[None]:
    """Turn what SQLite and the file system say into one line that says what to do."""
    try:
        yield
    except (sqlite3.Error, OSError, UnicodeError) as err:
        said = getattr(err, "strerror", None) or str(err)
        remedies = (
            remedy for found, remedy in _REMEDIES.items() if re.search(found, said)
        )
        raise MedcalError(
            f"{path}: {next(remedies, f'{said}; nothing was written')}"
        ) from err


_FOREIGN = (
    "not an answers log; choose another file; tables come in with `medcal import`"
)
_REMEDIES = {
    "locked|busy": "the log is locked by another process; wait for it, then run again",
    "readonly|unable to open": "the log cannot be opened or written; allow it in its folder",
    "disk is full|too big|disk I/O": "the disk is full, nothing was half-written; free some space",
    "malformed|decode|corrupt": "the log is damaged: import its source anew",
    "not a database|no such table|no such column": _FOREIGN,
}


def _open(path: Path, read_only: bool) -> sqlite3.Connection:
    """A connection to a log."""
    with explained(path):
        if read_only or (path.exists() and not path.is_file()):
            require_file(path)
        if not read_only:
            path.parent.mkdir(parents=True, exist_ok=True)
            mode = "rwc"
        elif not os.access(path.parent, os.W_OK) and not Path(f"{path}-wal").exists():
            # write-ahead mode needs a side file even for reading, unless nothing is pending
            mode = "ro&immutable=1"
        else:
            # who may write takes back half an import, and its side files when done
            mode = "rw" if os.access(path, os.W_OK) else "ro"
        con = _connected(f"{path.absolute().as_uri()}?mode={mode}")
        con.execute(f"PRAGMA query_only = {int(read_only)}")
        # one look: another process may be making the file
        mark, version, tables, ours = con.execute(
            "SELECT application_id, user_version, "
            "(SELECT COUNT(*) FROM sqlite_master WHERE type IN ('table', 'view')), "
            "(SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'answers') "
            "FROM pragma_application_id, pragma_user_version"
        ).fetchone()
        if not read_only and not tables and mark in (0, _APPLICATION_ID):
            _make(con)
        elif mark != _APPLICATION_ID or not ours:  # a view might never end
            raise MedcalError(f"{path}: {_FOREIGN}")
        elif version > _VERSION:
            raise MedcalError(f"{path}: written by a newer medcal; update medcal-nb")
        elif (
            not read_only
        ):  # a new log is filled faster before it gets its write-ahead log
            with contextlib.suppress(
                sqlite3.OperationalError
            ):  # another process is at it
                con.execute("PRAGMA journal_mode = WAL")
        return con


def _connected(uri: str) -> sqlite3.Connection:
    how = {"timeout": BUSY_SECONDS, "isolation_level": None, "check_same_thread": False}
    return sqlite3.connect(uri, uri=True, **how)


def _make(con: sqlite3.Connection) -> None:
    con.execute("PRAGMA page_size = 16384")
    con.execute("BEGIN IMMEDIATE")
    with con:
        con.execute(f"CREATE TABLE IF NOT EXISTS answers ({_DEFINED})")
        con.execute(
            f"CREATE UNIQUE INDEX IF NOT EXISTS answers_key ON answers ({_KEY})"
        )
        con.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        con.execute(f"PRAGMA user_version = {_VERSION}")


def _insert(con: sqlite3.Connection, parts: Iterable[dict[str, list]]) -> None:
    """Add blocks that `to_storage` has checked, in one transaction."""
    con.execute("BEGIN")
    with con:
        for stored in parts:
            if stored["item_id"]:
                _insert_block(con, stored)


def _insert_block(con: sqlite3.Connection, stored: dict[str, list]) -> None:
    """Add one block: several rows a statement, what all rows share bound once in each."""
    shared = {}
    varied = {}
    for name, values in stored.items():
        if name == "item_id" or values.count(values[0]) < len(values):
            varied[name] = values
        elif values[0] is not None:  # what is missing everywhere is not named at all
            shared[name] = values[0]
    columns = ", ".join([*shared, *varied])
    # ?1, ?2 … stand for what is shared; each plain ? takes the next of the other values
    marks = [f"?{position}" for position in range(1, len(shared) + 1)]
    marks = ", ".join(marks + ["?"] * len(varied))
    rows = zip(*varied.values(), strict=True)
    while several := list(islice(rows, _AT_ONCE)):
        places = ", ".join([f"({marks})"] * len(several))
        con.execute(
            f"INSERT INTO answers ({columns}) VALUES {places}",
            [*shared.values(), *chain.from_iterable(several)],
        )


def _doubled(con: sqlite3.Connection, where: PathLike) -> MedcalError:
    """What is said of two rows with one key."""
    first, last, *key = con.execute(
        f"SELECT MIN(rowid), MAX(rowid), {_KEY} FROM answers GROUP BY {_KEY} "
        "HAVING COUNT(*) > 1 ORDER BY 1 LIMIT 1"
    ).fetchone()
    return MedcalError(
        f"{where}: rows {first} and {last} are the same answer ({_shown(key)}); "
        "drop one, or number repeated replies in a column 'sample'"
    )


def _free_place(to: Path) -> contextlib.AbstractContextManager[Path | None]:
    """A part file of a log that is not there yet, or None."""
    remove_dead_parts(to)
    # a journal that was left alone would be taken for the new log's own
    names = [f"{to}{end}" for end in ("", "-wal", "-journal")]
    if not to.parent.is_dir() or any(map(os.path.lexists, names)):
        return contextlib.nullcontext()
    return part_of(to)


def _put_in_place(log: AnswerLog, part: Path, to: PathLike) -> bool:
    """Give a whole part the name of its log, unless another process was faster."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
    with contextlib.suppress(OSError):  # also where a file has one name only
        os.link(part, to)
        return True
    return False


def _publish(
    con: sqlite3.Connection, to: PathLike, if_exists: str, where: PathLike
) -> int:
    """Put what was gathered into the log, in one transaction."""
    AnswerLog(to).close()  # makes it where it is not there
    with explained(to):
        con.execute("ATTACH ? AS log", (f"{Path(to).absolute().as_uri()}?mode=rw",))
        con.execute("PRAGMA log.synchronous = NORMAL")
        written = _copy(con, "main.answers", "log.answers", if_exists, where)
        with contextlib.suppress(sqlite3.OperationalError):  # another process is at it
            con.execute("PRAGMA log.journal_mode = WAL")
        return written


def _copy(
    con: sqlite3.Connection,
    source: str,
    target: str,
    if_exists: str,
    where: PathLike,
) -> int:
    """Add the rows of one table to another, equal ones apart; the number of rows written."""
    con.execute("BEGIN IMMEDIATE")
    with con:
        before = con.total_changes
        empty = con.execute(f"SELECT 1 FROM {target} LIMIT 1").fetchone() is None
        if (
            empty and source == "main.answers"
        ):  # of our own making: whole records, index too
            con.execute(f"INSERT INTO {target} SELECT * FROM {source}")
            return con.total_changes - before
        if if_exists == "error":
            key = ", ".join(f"s.{c}" for c in KEY)
            clashes = f"FROM {source} s JOIN {target} t ON {_SAME} WHERE {_DIFFERS}"
            first = con.execute(
                f"SELECT COUNT(*) OVER (), {key} {clashes} ORDER BY {key}"
            )
            if (found := first.fetchone()) is not None:
                message = (
                    f"{where}: answers there already with other content: {found[0]}, "
                )
                message += (
                    f"the first {_shown(found[1:])}; nothing was written; choose "
                )
                raise MedcalError(
                    f"{message}'ignore' to keep the earlier answers or 'replace' to take the later"
                )
        names = ", ".join(STORED)
        con.execute(
            f"INSERT INTO {target} ({names}) SELECT {names} FROM {source} s "
            f"WHERE NOT EXISTS (SELECT 1 FROM {target} t WHERE {_SAME} AND NOT ({_DIFFERS})) "
            f"ON CONFLICT ({_KEY}) DO {_ON_CONFLICT[if_exists]}"
        )
        return con.total_changes - before


def _shown(key: Iterable) -> str:
    return ", ".join(f"{name}={value}" for name, value in zip(KEY, key, strict=True))
