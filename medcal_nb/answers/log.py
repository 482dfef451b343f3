"""The crash-safe log of answers: one SQLite file, one transaction per append.

Killed at any moment, the log holds whole batches only, so that a rerun asks what is missing.
"""

import contextlib
import glob
import html
import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from medcal_nb.answers.schema import (
    ANSWER_COLUMNS,
    COUNT_COLUMNS,
    FLAG_COLUMNS,
    KEY,
    TEXT,
    doubled,
    from_storage,
    plain_rows,
    to_storage,
)
from medcal_nb.errors import MedcalError

STORED = [*ANSWER_COLUMNS, "extra"]
POLICIES = ("error", "ignore", "replace")
APPLICATION_ID = 0x4D43414C  # "MCAL", marks the file as ours
VERSION = 1
BUSY_SECONDS = 30.0

_TYPES = {
    "sample": "INTEGER NOT NULL",
    "confidence": "REAL",
    "correct": "INTEGER",
    "parse_ok": "INTEGER",
    "prompt_tokens": "INTEGER",
    "new_tokens": "INTEGER",
    "seconds": "REAL",
    **dict.fromkeys(("model", "dataset", "item_id", "strategy"), "TEXT NOT NULL"),
}
_TABLE = "CREATE TABLE IF NOT EXISTS answers ({})".format(
    ", ".join(f"{c} {_TYPES.get(c, 'TEXT')}" for c in STORED)
)
_KEY = ", ".join(KEY)
_INSERT = f"INSERT INTO answers ({', '.join(STORED)}) VALUES ({', '.join('?' * len(STORED))})"
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
        If the file is missing (read only), locked, not writable or not an answers log.

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
        plain = None
        if not isinstance(rows, pd.DataFrame):
            rows = [{"sample": 0, **row} for row in rows]
            plain = plain_rows(rows)
            rows = _frame(rows) if plain is None else rows
        if not len(rows):
            return 0
        stored = to_storage(rows, where=str(self.path)) if plain is None else None
        with self._lock, explained(self.path):
            before = self._con.total_changes
            try:
                with _transaction(self._con):
                    if plain is None:
                        insert(self._con, stored, if_exists)
                    else:
                        self._con.executemany(_INSERT + _ON_CONFLICT[if_exists], plain)
            except sqlite3.IntegrityError as err:
                keys = _keys_of(stored, plain)
                raise self._already_there(keys, err) from err
            return self._con.total_changes - before

    def _already_there(self, keys, err):
        query = f"SELECT 1 FROM answers WHERE {' AND '.join(f'{c} = ?' for c in KEY)}"
        for i, key in enumerate(keys):
            if self._con.execute(query, key).fetchone():
                names = ", ".join(f"{c}={v}" for c, v in zip(KEY, key, strict=True))
                return MedcalError(
                    f"{self.path}: row {i + 1} is in the log already ({names}); "
                    "choose if_exists 'ignore' to keep the old answer or 'replace' to take the new"
                )
        return MedcalError(f"{self.path}: {err}; nothing was written")

    def keys(self, *, model=None, dataset=None, strategy=None) -> set[tuple]:
        """The keys (model, dataset, item_id, strategy, sample) of the answers there are."""
        where, values = _where({"model": model, "dataset": dataset, "strategy": strategy})
        with explained(self.path):
            return set(self._con.execute(f"SELECT {_KEY} FROM answers{where}", values))

    def runs(self, *, model=None, dataset=None) -> dict[str, set]:
        """The ``run_id`` of the answers there are, by strategy."""
        where, values = _where({"model": model, "dataset": dataset})
        runs: dict[str, set] = {}
        with explained(self.path):
            for strategy, run_id in self._con.execute(
                f"SELECT DISTINCT strategy, run_id FROM answers{where}", values
            ):
                runs.setdefault(strategy, set()).add(run_id)
        return runs

    def read(self, columns: Sequence[str] | None = None, **filters) -> pd.DataFrame:
        """Answers in key order.

        Parameters
        ----------
        columns : sequence of str, optional
            Which columns, of ours or not; all by default.
        **filters
            ``column=value`` or ``column=[values]`` for our columns.
        """
        frames = list(self._frames(columns, 1 << 62, True, filters, None))
        return frames[0]

    def iter_frames(
        self,
        columns: Sequence[str] | None = None,
        chunk: int = 65_536,
        *,
        ordered: bool = True,
        **filters,
    ) -> Iterator[pd.DataFrame]:
        """Answers in frames of at most `chunk` rows, each with the same columns.

        In key order, or with ``ordered=False`` in the order of the file, which is faster.
        """
        extras = self.extra_columns() if columns is None else None
        yield from self._frames(columns, chunk, ordered, filters, extras)

    def iter_stored(
        self, columns: Sequence[str], chunk: int = 200_000, **filters
    ) -> Iterator[list[tuple]]:
        """Rows as the file holds them, in the file's order: the fast way to a few columns.

        Columns that are not ours are taken from where they are kept.
        """
        where, values = _where(filters)
        what = ", ".join(c if c in STORED else _from_extra(c) for c in columns)
        with explained(self.path):
            cursor = self._con.execute(f"SELECT {what} FROM answers{where}", values)
            while rows := cursor.fetchmany(chunk):
                yield rows

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
            for name, kind in self._con.execute(query):
                names.setdefault(name, set()).add(kind)
        return names

    def _frames(self, columns, chunk, ordered, filters, extras):
        ours = STORED if columns is None else [c for c in columns if c in ANSWER_COLUMNS]
        others = None if columns is None else [c for c in columns if c not in ANSWER_COLUMNS]
        if others:
            known = self.extra_columns()
            for name in others:
                if name not in known:
                    raise MedcalError(
                        f"{self.path}: no column '{name}'; "
                        f"columns are {', '.join([*ANSWER_COLUMNS, *known])}"
                    )
            ours = [*ours, "extra"]
        names = others if columns is not None else extras
        where, values = _where(filters)
        order = f" ORDER BY {_KEY}" if ordered else ""
        with explained(self.path):
            cursor = self._con.execute(
                f"SELECT {', '.join(ours)} FROM answers{where}{order}", values
            )
            first = True
            while True:
                rows = cursor.fetchall() if chunk >= 1 << 62 else cursor.fetchmany(chunk)
                if not rows and not first:
                    return
                frame = from_storage(
                    _typed(rows, ours, self.path),
                    extra_columns=None if names is None else list(names),
                )
                yield frame if columns is None else frame[list(columns)]
                first = False
                if chunk >= 1 << 62 or len(rows) < chunk:
                    return

    def summary(self) -> pd.DataFrame:
        """One row per model, data set and strategy: items, answers, mean confidence, accuracy."""
        query = (
            "SELECT model, dataset, strategy, COUNT(DISTINCT item_id), COUNT(*), "
            "AVG(confidence), AVG(correct), SUM(confidence IS NULL) FROM answers "
            "GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
        )
        names = ["items", "answers", "mean_confidence", "accuracy", "no_confidence"]
        with explained(self.path):
            rows = self._con.execute(query).fetchall()
        return pd.DataFrame(rows, columns=["model", "dataset", "strategy", *names])

    def __len__(self) -> int:
        with explained(self.path):
            return self._con.execute("SELECT COUNT(*) FROM answers").fetchone()[0]

    def __repr__(self):
        try:
            table = self.summary()
        except (MedcalError, sqlite3.ProgrammingError):
            return f"<AnswerLog {self.path.name}, closed or unreadable>"
        head = f"<AnswerLog {self.path.name}: {_counts(table)}>"
        return head if table.empty else f"{head}\n{table.to_string(index=False)}"

    def _repr_html_(self):
        table = self.summary()
        body = table.to_html(index=False, border=0, na_rep="–", float_format="{:.3f}".format)
        return f"<p><b>{html.escape(self.path.name)}</b>: {_counts(table)}</p>{body}"


def write_log(
    frames: Iterable[pd.DataFrame], to, *, if_exists: str = "error", where: str = "answers"
) -> int:
    """Write frames that `to_storage` has checked: all of them, or nothing.

    Builds a new file beside `to` in bounded memory, indexes it, and puts it in place when it is
    whole. Where `to` exists, the new rows are added to it in one transaction under `if_exists`.

    Returns
    -------
    int
        Rows written to `to`.
    """
    _check_policy(if_exists)
    to = Path(to)
    _make_parent(to)
    if to.exists():
        AnswerLog(to).close()  # not one of ours: say so before reading a long file
    with _part(to) as part, explained(to):
        n = _build(frames, part, where)
        if _install(part, to):
            return n
        return _add(part, to, if_exists, where)


@contextlib.contextmanager
def _part(to):
    """A name beside `to` for a file in the making, gone afterwards whatever happens."""
    for old in to.parent.glob(f".{glob.escape(to.name)}.*.part"):
        if time.time() - old.stat().st_mtime > 86_400:  # left by a process that was killed
            old.unlink(missing_ok=True)
    part = to.with_name(f".{to.name}.{uuid.uuid4().hex}.part")
    try:
        yield part
    finally:
        for name in (part, f"{part}-wal", f"{part}-shm", f"{part}-journal"):
            Path(name).unlink(missing_ok=True)


def _install(part, to) -> bool:
    """Put a whole file in place; False if there is one already, which is never replaced."""
    try:
        os.link(part, to)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links
        if to.exists():
            return False
        os.replace(part, to)
    return True


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
    _check_policy(if_exists)
    sources = [Path(s) for s in sources]
    to = Path(to)
    for source in sources:
        AnswerLog(source, read_only=True).close()
    _make_parent(to)
    with _part(to) as part, explained(to):
        with contextlib.closing(_open(part, read_only=False)) as con:
            for source in sources:
                _attach_and_insert(con, source, if_exists, str(source))
            n = con.execute("SELECT COUNT(*) FROM answers").fetchone()[0]
        if _install(part, to):
            return n
        return _add(part, to, if_exists, str(to))


def insert(con: sqlite3.Connection, stored: pd.DataFrame, if_exists: str = "error") -> None:
    """Insert checked rows; columns without a value are not sent."""
    columns = [c for c in STORED if c in KEY or not stored[c].isna().all()]
    marks = ", ".join("?" * len(columns))
    con.executemany(
        f"INSERT INTO answers ({', '.join(columns)}) VALUES ({marks}){_ON_CONFLICT[if_exists]}",
        zip(*(_bindable(stored[c]) for c in columns), strict=True),
    )


@contextlib.contextmanager
def explained(path):
    """Turn what SQLite and the file system say into one line that says what to do."""
    try:
        yield
    except sqlite3.Error as err:
        raise MedcalError(f"{path}: {_remedy(path, err)}") from err
    except OSError as err:
        raise MedcalError(f"{path}: {err.strerror or err}; nothing was written") from err


def _remedy(path, err):
    said = str(err)
    if "closed database" in said:
        return "the log is closed; open it again"
    if "locked" in said or "busy" in said:
        return "the log is locked by another process; wait for it to finish, then run again"
    if "readonly" in said:
        return "the log or its folder is read-only; allow writing, or choose another file"
    if "unable to open" in said:
        return "the log cannot be opened; check that its folder exists and can be written"
    if "disk is full" in said or "string or blob too big" in said:
        return "the disk is full; free some space and run again (nothing was half-written)"
    if "disk I/O" in said:
        return (
            "writing or reading failed (disk full, quota or a lost drive?); "
            "check the disk and run again (nothing was half-written)"
        )
    if "not a database" in said:
        return "not an answers log; bring tables in with `medcal import`"
    if "malformed" in said or "decode" in said or "corrupt" in said:
        return "the log is damaged; take a copy or an export, or import its source anew"
    if "no such table" in said or "no such column" in said or "has no column" in said:
        return "a SQLite file, but not an answers log; choose another file"
    return f"{said}; nothing was written"


def _open(path, *, read_only):
    if path.is_dir():
        raise MedcalError(f"{path}: a folder, not an answers log; name a file")
    if read_only and not path.exists():
        raise MedcalError(f"{path}: no such file; make it with `medcal import` or `medcal ask`")
    with explained(path):
        if read_only:
            return _open_to_read(path)
        _make_parent(path)
        con = _connect(path, "rwc")
        try:
            new = _check_ours(con, path)
            if new:
                write_ahead(con)
                with _transaction(con):
                    con.execute(_TABLE)
                    con.execute(_INDEX)
                    con.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                    con.execute(f"PRAGMA user_version = {VERSION}")
            con.execute("PRAGMA synchronous = NORMAL")
        except BaseException:
            con.close()
            raise
        return con


def _open_to_read(path):
    # A log in write-ahead mode needs a side file even for reading. Where its folder cannot be
    # written and nothing is pending, the file is read as it stands.
    con = None
    try:
        con = _connect(path, "ro")
        new = _check_ours(con, path)
    except sqlite3.OperationalError as err:
        if con is not None:
            con.close()
        if "unable to open" not in str(err) and "readonly" not in str(err):
            raise
        if Path(f"{path}-wal").exists():
            raise
        con = _connect(path, "ro", "&immutable=1")
        new = _check_ours(con, path)
    except BaseException:
        if con is not None:
            con.close()
        raise
    if new:
        con.close()
        raise MedcalError(f"{path}: empty, not an answers log; bring tables in by `medcal import`")
    return con


def _connect(path, mode, more=""):
    uri = f"{path.resolve().as_uri()}?mode={mode}{more}"
    con = sqlite3.connect(
        uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    return con


def _check_ours(con, path) -> bool:
    """True for an empty file, False for one of ours; anything else is refused."""
    # one look: another process may be making the file
    con.execute("BEGIN")
    try:
        mark = con.execute("PRAGMA application_id").fetchone()[0]
        version = con.execute("PRAGMA user_version").fetchone()[0]
        tables = {name for (name,) in con.execute("SELECT name FROM sqlite_master")}
    finally:
        if con.in_transaction:
            con.execute("COMMIT")
    if not tables and mark in (0, APPLICATION_ID):
        return True
    if mark != APPLICATION_ID or "answers" not in tables:
        raise MedcalError(f"{path}: a SQLite file, but not an answers log; choose another file")
    if version > VERSION:
        raise MedcalError(
            f"{path}: written by a newer medcal (log version {version}, this one reads "
            f"{VERSION}); update medcal-nb"
        )
    return False


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


def _build(frames, part, where) -> int:
    con = _connect(part, "rwc")
    with contextlib.closing(con):
        # The file is nobody's until it is whole, so it needs no journal.
        con.execute("PRAGMA journal_mode = OFF")
        con.execute("PRAGMA synchronous = OFF")
        con.execute("PRAGMA locking_mode = EXCLUSIVE")
        con.execute("PRAGMA cache_size = -131072")
        con.execute(_TABLE)
        n = 0
        con.execute("BEGIN")
        for stored in frames:
            insert(con, stored)
            n += len(stored)
        con.execute("COMMIT")
        try:
            con.execute(_INDEX)
        except sqlite3.IntegrityError as err:
            raise _doubled_rows(con, where) from err
        con.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        con.execute(f"PRAGMA user_version = {VERSION}")
        con.execute("PRAGMA locking_mode = NORMAL")
        con.execute("PRAGMA journal_mode = WAL")
    with open(part, "rb+") as file:
        os.fsync(file.fileno())
    return n


def _doubled_rows(con, where):
    first, second, *key = con.execute(
        f"SELECT MIN(rowid), MAX(rowid), {_KEY} FROM answers GROUP BY {_KEY} "
        "HAVING COUNT(*) > 1 ORDER BY 1 LIMIT 1"
    ).fetchone()
    return doubled(where, first, second, key)


def _add(part, to, if_exists, where) -> int:
    with contextlib.closing(_open(to, read_only=False)) as con:
        return _attach_and_insert(con, part, if_exists, where)


def _attach_and_insert(con, source, if_exists, where) -> int:
    """Add what `source` holds in one transaction, equal rows apart; the number of rows written."""
    same = " AND ".join(f"t.{c} = s.{c}" for c in KEY)
    differs = " OR ".join(
        f"t.{c} IS NOT s.{c}" for c in STORED if c not in (*KEY, "run_id", "seconds")
    )
    con.execute("ATTACH ? AS source", (f"{Path(source).resolve().as_uri()}?mode=ro",))
    try:
        with _transaction(con):
            if if_exists == "error":
                query = (
                    f"SELECT {', '.join('s.' + c for c in KEY)} FROM source.answers s "
                    f"JOIN main.answers t ON {same} WHERE {differs}"
                )
                clash = con.execute(f"{query} ORDER BY {', '.join('s.' + c for c in KEY)}")
                first = clash.fetchone()
                if first:
                    n = 1 + sum(1 for _ in clash)
                    names = ", ".join(f"{c}={v}" for c, v in zip(KEY, first, strict=True))
                    raise MedcalError(
                        f"{where}: {n} answer{'s' * (n > 1)} there already with other content, "
                        f"first {names}; nothing was written; choose 'ignore' to keep the earlier "
                        "answers or 'replace' to take the later"
                    )
            before = con.total_changes
            policy = "ignore" if if_exists == "error" else if_exists
            only = (
                f" WHERE NOT EXISTS (SELECT 1 FROM main.answers t WHERE {same} AND NOT ({differs}))"
            )
            con.execute(
                f"INSERT INTO main.answers ({', '.join(STORED)}) "
                f"SELECT {', '.join('s.' + c for c in STORED)} FROM source.answers s{only}"
                f"{_ON_CONFLICT[policy]}"
            )
            return con.total_changes - before
    finally:
        con.execute("DETACH source")


def _frame(rows):
    columns = {name: None for row in rows for name in row}
    # Series of objects: pandas shall not guess types, the schema check decides.
    return pd.DataFrame({n: pd.Series([row.get(n) for row in rows], dtype=object) for n in columns})


def _keys_of(stored, plain):
    if plain is None:
        return [tuple(k) for k in stored[list(KEY)].astype(object).itertuples(index=False)]
    at = [STORED.index(c) for c in KEY]
    return [tuple(row[i] for i in at) for row in plain]


def _make_parent(path):
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise MedcalError(f"{path}: its folder cannot be made ({err.strerror})") from err


def _check_policy(if_exists):
    if if_exists not in POLICIES:
        raise ValueError(f"if_exists is one of {', '.join(POLICIES)}, not {if_exists!r}")


def _where(filters):
    parts, values = [], []
    for column, wanted in filters.items():
        if column not in ANSWER_COLUMNS:
            raise ValueError(f"can filter by our columns only, not by {column!r}")
        if wanted is None:
            continue
        if isinstance(wanted, str) or not isinstance(wanted, Iterable):
            wanted = [wanted]
        wanted = [v.item() if isinstance(v, np.generic) else v for v in wanted]
        parts.append(f"{column} IN ({', '.join('?' * len(wanted))})")
        values += wanted
    return (" WHERE " + " AND ".join(parts) if parts else ""), values


def _from_extra(name):
    path = '$."' + name.replace("'", "''") + '"'
    return f"json_extract(extra, '{path}')"


def _bindable(series):
    """Python values for SQLite; it stores NaN as NULL by itself."""
    if isinstance(series.dtype, pd.StringDtype):
        return series.to_numpy(dtype=object, na_value=None).tolist()
    if isinstance(series.dtype, pd.BooleanDtype | pd.Int64Dtype):
        if not series.hasnans:
            return series.to_numpy(dtype="int64").tolist()
        return series.astype("Int64").to_numpy(dtype=object, na_value=None).tolist()
    return series.tolist()


def _typed(rows, columns, path):
    """A frame in storage form from rows of the database."""
    values = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
    out = {}
    try:
        for column, cells in zip(columns, values, strict=True):
            if column in FLAG_COLUMNS:
                series = pd.Series(pd.array(cells, dtype="Int8")).astype("boolean")
            elif column in COUNT_COLUMNS:
                series = pd.Series(pd.array(cells, dtype="Int64"))
            elif column == "sample":
                series = pd.Series(np.array(cells, dtype="int64"))
            elif column in ("confidence", "seconds"):
                series = pd.Series(np.array(cells, dtype="float64"))
            else:
                series = pd.Series(pd.array(cells, dtype=TEXT))
            out[column] = series
        return pd.DataFrame(out)
    except (ValueError, TypeError, OverflowError) as err:
        raise MedcalError(
            f"{path}: column '{column}' holds values of the wrong type ({err}); "
            "the log is damaged, import its source anew"
        ) from err


def _counts(table):
    n = int(table["answers"].sum()) if len(table) else 0
    return (
        f"{n:,} answers, {table['model'].nunique()} models, "
        f"{table['dataset'].nunique()} data sets, {table['strategy'].nunique()} strategies"
    )
