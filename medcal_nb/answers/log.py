"""The crash-safe log of answers: one SQLite file, one transaction per append, import or merge.

Killed at any moment, the log holds whole transactions only, so that a rerun asks what is missing.
"""

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pandas as pd

from medcal_nb.answers.columns import (
    ANSWER_COLUMNS,
    COLUMNS,
    KEY,
    STORED,
    damage,
    doubled,
    fault,
    from_storage,
    refuse_doubles,
    shown_key,
    to_storage,
)
from medcal_nb.answers.files import CHUNK, require_file
from medcal_nb.errors import MedcalError

_POLICIES = ("error", "ignore", "replace")
_APPLICATION_ID = 0x4D43414C  # "MCAL", marks the file as ours
_VERSION = 1
BUSY_SECONDS = 30.0

_SQL_TYPES = {"unit": "REAL", "amount": "REAL", "count": "INTEGER", "flag": "INTEGER"}
_DEFINED = ", ".join(
    f"{c.name} {_SQL_TYPES.get(c.kind, 'TEXT')}{' NOT NULL' if c.required else ''}"
    for c in COLUMNS.values()
)
_KEY = ", ".join(KEY)
_TABLE = f"CREATE TABLE IF NOT EXISTS answers ({_DEFINED}, extra TEXT)"
_INDEX = f"CREATE UNIQUE INDEX IF NOT EXISTS answers_key ON answers ({_KEY})"
_UPDATE = ", ".join(f"{c} = excluded.{c}" for c in STORED if c not in KEY)
_ON_CONFLICT = {
    "error": "",
    "ignore": f" ON CONFLICT ({_KEY}) DO NOTHING",
    "replace": f" ON CONFLICT ({_KEY}) DO UPDATE SET {_UPDATE}",
}


class AnswerLog:
    """Answers on disk, as a context manager.

    Parameters
    ----------
    path : path
        The SQLite file; made where it does not exist, unless `read_only`.
    read_only : bool
        Refuse to write; also opens files in folders that cannot be written.

    Raises
    ------
    MedcalError
        If the file is missing (read only), locked, not writable, damaged or not an answers log.

    Notes
    -----
    Write-ahead logging lets one process write while others read. Two processes may append to
    one log: each append is one transaction, and waits up to 30 s for the other.
    """

    def __init__(self, path, *, read_only: bool = False):
        self.path = Path(path)
        self.read_only = read_only
        self._lock = threading.Lock()
        self._con = _open(self.path, read_only=read_only)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self) -> None:
        """Close the file. Closing twice does no harm."""
        self._con.close()

    def append(self, rows, *, if_exists: str = "error") -> int:
        """Add rows in one transaction: all of them, or none.

        Parameters
        ----------
        rows : DataFrame or sequence of dict
            Answers; checked as by `check_answers`.
        if_exists : {"error", "ignore", "replace"}
            What happens to a row whose key (model, dataset, item_id, strategy, sample) the log
            holds already.

        Returns
        -------
        int
            Rows written.
        """
        _check_policy(if_exists)
        if self.read_only:
            raise MedcalError(f"{self.path}: opened for reading only; open it without read_only")
        if not len(rows):
            return 0
        columns = rows
        if not isinstance(rows, pd.DataFrame):
            names = {name: None for row in rows for name in row}
            columns = {name: [row.get(name) for row in rows] for name in names}
            if "sample" in names:
                columns["sample"] = [row.get("sample", 0) for row in rows]
        stored = to_storage(columns, len(rows), where=str(self.path))
        refuse_doubles(stored, self.path)
        with self._lock, explained(self.path):
            before = self._con.total_changes
            try:
                with _transaction(self._con):
                    _insert(self._con, stored, if_exists)
            except sqlite3.IntegrityError as err:
                query = f"SELECT 1 FROM answers WHERE {' AND '.join(f'{c} = ?' for c in KEY)}"
                keys = enumerate(zip(*(stored[c] for c in KEY), strict=True), 1)
                row, key = next(k for k in keys if self._con.execute(query, k[1]).fetchone())
                raise MedcalError(
                    f"{self.path}: row {row} is in the log already ({shown_key(key)}); choose "
                    "if_exists 'ignore' to keep the old answer or 'replace' to take the new"
                ) from err
            return self._con.total_changes - before

    def keys(self, *, model=None, dataset=None, strategy=None) -> set[tuple]:
        """The keys (model, dataset, item_id, strategy, sample) of the answers there are."""
        where, values = _where({"model": model, "dataset": dataset, "strategy": strategy})
        known: dict = {}  # one text an item, not one a row
        shared = known.setdefault
        with explained(self.path):
            cursor = self._con.execute(f"SELECT {_KEY} FROM answers{where}", values)
            return {tuple(shared(value, value) for value in key) for key in cursor}

    def runs(self, *, model=None, dataset=None) -> dict[str, set]:
        """The ``run_id`` of the answers there are, by strategy."""
        where, values = _where({"model": model, "dataset": dataset})
        query = f"SELECT DISTINCT strategy, run_id FROM answers{where}"
        runs: dict[str, set] = {}
        with explained(self.path):
            for strategy, run_id in self._con.execute(query, values):
                runs.setdefault(strategy, set()).add(run_id)
        return runs

    def read(self, columns: Sequence[str] | None = None, **filters) -> pd.DataFrame:
        """Answers in key order.

        Parameters
        ----------
        columns : sequence of str, optional
            Which columns, of ours or not; all by default. Memory goes with their number.
        **filters
            ``column=value`` or ``column=[values]`` for our columns.
        """
        ours, others = self._chosen(columns)
        stored: dict[str, list] = {name: [] for name in ours}
        for part in self._chunks(ours, True, filters):
            for name, values in part.items():
                stored[name] += values
        return self._frame(stored, columns, others)

    def iter_frames(
        self, columns: Sequence[str] | None = None, *, ordered: bool = True, **filters
    ) -> Iterator[pd.DataFrame]:
        """Answers in frames of bounded size, each with the same columns; one at least.

        In key order, or with ``ordered=False`` in the order of the file, which is faster.
        """
        ours, others = self._chosen(columns)
        others = list(self.extra_columns()) if columns is None else others
        for stored in self._chunks(ours, ordered, filters):
            yield self._frame(stored, columns, others)

    def samples(self) -> dict[str, int]:
        """Each strategy with the highest number of a sample in it: 0 where it asks once."""
        query = "SELECT strategy, MAX(sample) FROM answers GROUP BY 1 ORDER BY 1"
        with explained(self.path):
            return dict(self._con.execute(query).fetchall())

    def extra_columns(self) -> dict[str, set[str]]:
        """Names of the columns that are not ours, with the JSON types they hold."""
        query = (
            "SELECT e.key, e.type FROM answers, json_each(answers.extra) AS e "
            "WHERE answers.extra IS NOT NULL GROUP BY 1, 2 ORDER BY 1"
        )
        names: dict[str, set[str]] = {}
        with explained(self.path):
            self._refuse_damage(["extra"])
            for name, kind in self._con.execute(query):
                names.setdefault(name, set()).add(kind)
        return names

    def __len__(self) -> int:
        with explained(self.path):
            return self._con.execute("SELECT COUNT(*) FROM answers").fetchone()[0]

    def _chosen(self, columns):
        """The kept columns that are needed, and the names wanted out of ``extra``."""
        if columns is None:
            return STORED, None
        others = [c for c in columns if c not in COLUMNS]
        known = self.extra_columns() if others else {}
        for name in others:
            if name not in known:
                names = ", ".join([*ANSWER_COLUMNS, *known])
                raise MedcalError(f"{self.path}: no column '{name}'; columns are {names}")
        return [*(c for c in columns if c in COLUMNS), *(["extra"] if others else [])], others

    def _frame(self, stored, columns, others):
        frame = from_storage(stored, extra_columns=others)
        return frame if columns is None else frame[list(columns)]

    def _chunks(self, names, ordered, filters) -> Iterator[dict[str, list]]:
        """Columns as they are kept; one piece without rows where there are none."""
        where, values = _where(filters)
        order = f" ORDER BY {_KEY}" if ordered else ""
        query = f"SELECT {', '.join(names)} FROM answers{where}{order}"
        with explained(self.path):
            self._refuse_damage(names)
            cursor = self._con.execute(query, values)
            rows = cursor.fetchmany(CHUNK)
            while True:
                columns = zip(*rows, strict=True) if rows else ((),) * len(names)
                yield {name: list(v) for name, v in zip(names, columns, strict=True)}
                rows = cursor.fetchmany(CHUNK)
                if not rows:
                    return

    def _refuse_damage(self, names) -> None:
        """Say so where a value is not what its column holds, whoever wrote it."""
        wrong = {name: damage(name) for name in names}
        shown = ", ".join(f"{name}, {bad}" for name, bad in wrong.items())
        query = f"SELECT rowid, {shown} FROM answers WHERE {' OR '.join(wrong.values())} LIMIT 1"
        found = self._con.execute(query).fetchone()
        if found is not None:
            pairs = zip(wrong, found[1::2], found[2::2], strict=True)
            name, value = next((n, v) for n, v, bad in pairs if bad)
            remedy = "the log is damaged: import its source anew"
            raise fault(self.path, found[0], name, value, "does not belong there", remedy)


def write_log(
    parts: Iterable[dict[str, list]], to, *, if_exists: str = "error", where: str = "answers"
) -> int:
    """Write columns that `to_storage` has checked: all of them, or nothing.

    They are gathered in bounded memory in a file without a name, which goes with its process, and
    put into `to` in one transaction under `if_exists`.

    Returns
    -------
    int
        Rows written to `to`.
    """
    to = Path(to)
    with explained(to):
        there = to.exists()
    if there:
        AnswerLog(to).close()  # not one of ours: say so before reading a long file
    with _gathering(to, if_exists) as con:
        con.execute("DROP INDEX answers_key")
        with _transaction(con):
            for stored in parts:
                _insert(con, stored, "error")
        try:
            con.execute(_INDEX)
        except sqlite3.IntegrityError as err:
            first, second, *key = con.execute(
                f"SELECT MIN(rowid), MAX(rowid), {_KEY} FROM answers GROUP BY {_KEY} "
                "HAVING COUNT(*) > 1 ORDER BY 1 LIMIT 1"
            ).fetchone()
            raise doubled(where, first, second, key) from err
        return _publish(con, to, if_exists, where)


def merge_logs(sources: Sequence, to, *, if_exists: str = "error") -> int:
    """Bring the answers of several logs into one; safe to repeat.

    Rows that are there already with the same content are left as they are. A row with the same
    key and other content (``run_id`` and ``seconds`` apart) is a conflict: refused by default,
    and with `if_exists` "ignore" or "replace" settled for the earlier or the later log, `to`
    being the earliest.

    Returns
    -------
    int
        Rows added to, or replaced in, `to`.

    Raises
    ------
    MedcalError
        On conflicts, naming their number and the first one; then nothing is written.
    """
    to = Path(to)
    with _gathering(to, if_exists) as con:
        for source in sources:
            with AnswerLog(source, read_only=True) as log, explained(source):
                log._refuse_damage(STORED)
                uri = f"{log.path.absolute().as_uri()}?mode=ro"
                con.execute("ATTACH ? AS source", (uri,))
                _copy(con, "source", "main", if_exists, str(source))
                con.execute("DETACH source")
        return _publish(con, to, if_exists, str(to))


@contextlib.contextmanager
def explained(path):
    """Turn what SQLite and the file system say into one line that says what to do."""
    try:
        yield
    except sqlite3.Error as err:
        raise MedcalError(f"{path}: {_remedy(err)}") from err
    except OSError as err:
        raise MedcalError(f"{path}: {err.strerror or err}; nothing was written") from err


_REMEDIES = {
    "closed database": "the log is closed; open it again",
    "locked|busy": "the log is locked by another process; wait for it to finish, then run again",
    "readonly": "the log or its folder is read-only; allow writing, or choose another file",
    "unable to open": "the log cannot be opened; check that its folder exists and can be written",
    "disk is full|string or blob too big": "the disk is full; free some space and run again",
    "disk I/O": "writing or reading failed (disk full, quota or a lost drive?), nothing was "
    "half-written; check the disk and run again",
    "not a database": "not an answers log; bring tables in with `medcal import`",
    "malformed|decode|corrupt": "the log is damaged; import its source anew",
    "no such table|no such column": "a SQLite file, but not an answers log; choose another file",
}


def _remedy(err):
    for said, remedy in _REMEDIES.items():
        if any(word in str(err) for word in said.split("|")):
            return remedy
    return f"{err}; nothing was written"


def _open(path, *, read_only):
    with explained(path):
        if read_only or (path.exists() and not path.is_file()):
            require_file(path)
        mode = "ro" if read_only else "rwc"
        if not read_only:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as err:
                raise MedcalError(f"{path}: its folder cannot be made ({err.strerror})") from err
        elif not os.access(path.parent, os.W_OK) and not Path(f"{path}-wal").exists():
            # write-ahead mode needs a side file even for reading, unless nothing is pending
            mode = "ro&immutable=1"
        uri = f"{path.absolute().as_uri()}?mode={mode}"
        how = {"timeout": BUSY_SECONDS, "isolation_level": None, "check_same_thread": False}
        con = sqlite3.connect(uri, uri=True, **how)
        try:
            if not _is_ours(con, path, may_be_new=not read_only):
                _make(con)
            if not read_only:
                con.execute("PRAGMA synchronous = NORMAL")
        except BaseException:
            con.close()
            raise
        return con


def _make(con):
    write_ahead(con)
    with _transaction(con):
        con.execute(_TABLE)
        con.execute(_INDEX)
        con.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        con.execute(f"PRAGMA user_version = {_VERSION}")


def _is_ours(con, path, *, may_be_new) -> bool:
    """False for an empty file, where it may be; what is neither that nor ours is refused."""
    # one look: another process may be making the file
    con.execute("BEGIN")
    try:
        mark = con.execute("PRAGMA application_id").fetchone()[0]
        version = con.execute("PRAGMA user_version").fetchone()[0]
        tables = {name for (name,) in con.execute("SELECT name FROM sqlite_master")}
    finally:
        if con.in_transaction:
            con.execute("COMMIT")
    if may_be_new and not tables and mark in (0, _APPLICATION_ID):
        return False
    if mark != _APPLICATION_ID or "answers" not in tables:
        raise MedcalError(f"{path}: a SQLite file, but not an answers log; choose another file")
    if version > _VERSION:
        raise MedcalError(
            f"{path}: written by a newer medcal (log version {version}, this one reads "
            f"{_VERSION}); update medcal-nb"
        )
    return True


def write_ahead(con):
    """Switch a SQLite file to write-ahead logging, waiting for another that does so."""
    # SQLite does not wait by itself when two processes switch a new file at the same moment.
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            con.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as err:
            if "locked" not in str(err) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


@contextlib.contextmanager
def _transaction(con):
    con.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if con.in_transaction:
            con.execute("ROLLBACK")
        raise
    con.execute("COMMIT")


@contextlib.contextmanager
def _gathering(to, if_exists):
    """A database without a name to gather rows in: SQLite unlinks its file as it opens it."""
    _check_policy(if_exists)
    with explained(to):
        con = sqlite3.connect("", uri=True, timeout=BUSY_SECONDS, isolation_level=None)
        with contextlib.closing(con):
            con.execute("PRAGMA journal_mode = OFF")
            con.execute("PRAGMA cache_size = -65536")
            con.execute(_TABLE)
            con.execute(_INDEX)
            yield con


def _publish(con, to, if_exists, where) -> int:
    """Put what was gathered into the log, in one transaction."""
    AnswerLog(to).close()
    con.execute("ATTACH ? AS log", (f"{to.absolute().as_uri()}?mode=rw",))
    con.execute("PRAGMA log.synchronous = NORMAL")
    return _copy(con, "main", "log", if_exists, where)


def _copy(con, source, target, if_exists, where) -> int:
    """Add the rows of one database to another, equal ones apart; the number of rows written."""
    names = ", ".join(STORED)
    with _transaction(con):
        before = con.total_changes
        if con.execute(f"SELECT 1 FROM {target}.answers LIMIT 1").fetchone() is None:
            con.execute(f"INSERT INTO {target}.answers SELECT * FROM {source}.answers")
            return con.total_changes - before
        same = " AND ".join(f"t.{c} = s.{c}" for c in KEY)
        differs = " OR ".join(
            f"t.{c} IS NOT s.{c}" for c in STORED if c not in (*KEY, "run_id", "seconds")
        )
        if if_exists == "error":
            key = ", ".join(f"s.{c}" for c in KEY)
            clash = con.execute(
                f"SELECT {key} FROM {source}.answers s JOIN {target}.answers t ON {same} "
                f"WHERE {differs} ORDER BY {key}"
            )
            first = clash.fetchone()
            if first:
                n = 1 + sum(1 for _ in clash)
                raise MedcalError(
                    f"{where}: {n} answer{'s' * (n > 1)} there already with other content, "
                    f"first {shown_key(first)}; nothing was written; "
                    "choose 'ignore' to keep the earlier answers or 'replace' to take the later"
                )
        policy = "ignore" if if_exists == "error" else if_exists
        con.execute(
            f"INSERT INTO {target}.answers ({names}) "
            f"SELECT {', '.join('s.' + c for c in STORED)} FROM {source}.answers s "
            f"WHERE NOT EXISTS (SELECT 1 FROM {target}.answers t WHERE {same} AND NOT ({differs}))"
            f"{_ON_CONFLICT[policy]}"
        )
        return con.total_changes - before


def _insert(con, stored, if_exists) -> None:
    names = [c for c in STORED if c in KEY or stored[c].count(None) < len(stored[c])]
    marks = ", ".join("?" * len(names))
    con.executemany(
        f"INSERT INTO answers ({', '.join(names)}) VALUES ({marks}){_ON_CONFLICT[if_exists]}",
        zip(*(stored[c] for c in names), strict=True),
    )


def _check_policy(if_exists):
    if if_exists not in _POLICIES:
        raise ValueError(f"if_exists is one of {', '.join(_POLICIES)}, not {if_exists!r}")


def _where(filters):
    parts, values = [], []
    for column, wanted in filters.items():
        if column not in COLUMNS:
            raise ValueError(f"can filter by our columns only, not by {column!r}")
        if wanted is None:
            continue
        if isinstance(wanted, str) or not isinstance(wanted, Iterable):
            wanted = [wanted]
        parts.append(f"{column} IN ({', '.join('?' * len(wanted))})")
        values += wanted
    return (" WHERE " + " AND ".join(parts) if parts else ""), values
