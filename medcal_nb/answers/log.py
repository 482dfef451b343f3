"""The crash-safe log of answers: one SQLite file, one transaction per append, import or merge.

Killed at any moment, the log holds whole transactions only, so that a rerun asks what is missing.
"""

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import pandas as pd

from medcal_nb.answers.columns import (
    ANSWER_COLUMNS,
    COLUMNS,
    KEY,
    KINDS,
    STORED,
    block_of,
    damage,
    fault,
    from_storage,
    to_storage,
)
from medcal_nb.answers.files import CHUNK, require_file
from medcal_nb.errors import MedcalError

_APPLICATION_ID = 0x4D43414C  # "MCAL", marks the file as ours
_VERSION = 1
BUSY_SECONDS = 30.0

_DEFINED = ", ".join(
    f"{c.name} {KINDS[c.kind].sql}{' NOT NULL' if c.required else ''}" for c in COLUMNS.values()
)
_KEY = ", ".join(KEY)
_SAME = " AND ".join(f"t.{c} = s.{c}" for c in KEY)
_DIFFERS = " OR ".join(
    f"t.{c} IS NOT s.{c}" for c in STORED if c not in (*KEY, "run_id", "seconds")
)
_UPDATE = ", ".join(f"{c} = excluded.{c}" for c in STORED if c not in KEY)
_ON_CONFLICT = {"error": "NOTHING", "ignore": "NOTHING", "replace": f"UPDATE SET {_UPDATE}"}


class AnswerLog:
    """Answers on disk, as a context manager.

    Parameters
    ----------
    path : path
        The SQLite file; made where it does not exist, unless `read_only`. With None it is a file
        without a name, which goes with its process: SQLite unlinks it as it opens it.
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
        self.path = None if path is None else Path(path)
        self.read_only = read_only
        self._lock = threading.Lock()
        self._con = _unnamed() if path is None else _open(self.path, read_only=read_only)

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
            raise MedcalError(f"{self.path}: opened for reading only; open it without read_only")
        if not len(rows):
            return 0
        if isinstance(rows, pd.DataFrame):
            columns = block_of(rows, self.path)
        else:
            names = {name: None for row in rows for name in row}
            columns = {name: [row.get(name) for row in rows] for name in names}
            if "sample" in names:
                columns["sample"] = [row.get("sample", 0) for row in rows]
        stored = to_storage(columns, where=str(self.path))
        with self._lock, explained(self.path):
            _make_table(self._con, "temp.incoming")
            self._con.execute("DELETE FROM temp.incoming")
            _insert(self._con, "temp.incoming", [stored])
            _refuse_doubles(self._con, "temp.incoming", self.path)
            return _copy(self._con, "temp.incoming", "main.answers", if_exists, self.path)

    def keys(self, *, model=None, dataset=None, strategy=None) -> set[tuple]:
        """The keys (model, dataset, item_id, strategy, sample) of the answers there are."""
        known: dict = {}  # one text an item, not one a row
        filters = {"model": model, "dataset": dataset, "strategy": strategy}
        return {
            tuple(known.setdefault(value, value) for value in key)
            for key in self._select(_KEY, filters)
        }

    def models(self) -> set[str]:
        """The models that there are answers of."""
        return {model for (model,) in self._select("DISTINCT model")}

    def runs(self, *, model=None, dataset=None) -> dict[str, set]:
        """The ``run_id`` of the answers there are, by strategy."""
        runs: dict[str, set] = {}
        filters = {"model": model, "dataset": dataset}
        for strategy, run_id in self._select("DISTINCT strategy, run_id", filters):
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

        Returns
        -------
        DataFrame
            Text as strings, ``confidence`` in 0–1 or NaN, ``correct`` and ``parse_ok`` nullable
            booleans, ``option_probabilities`` a dict or None, ``gold`` a string or, for a set of
            accepted answers, a list of strings.
        """
        ours, others = self._chosen(columns)
        stored: dict[str, list] = {name: [] for name in ours}
        for part in self._chunks(ours, True, filters):
            for name, values in part.items():
                stored[name] += values
        return from_storage(stored, columns, others)

    def iter_frames(
        self, columns: Sequence[str] | None = None, *, ordered: bool = True, **filters
    ) -> Iterator[pd.DataFrame]:
        """Answers in frames of bounded size, each with the same columns; one at least.

        In key order, or with ``ordered=False`` in the order of the file, which is faster.
        """
        ours, others = self._chosen(columns)
        others = list(self.extra_columns()) if columns is None else others
        for stored in self._chunks(ours, ordered, filters):
            yield from_storage(stored, columns, others)

    def samples(self) -> dict[str, int]:
        """Each strategy with the highest number of a sample in it: 0 where it asks once."""
        return dict(self._select("strategy, MAX(sample)", tail=" GROUP BY 1 ORDER BY 1"))

    def extra_columns(self) -> dict[str, set[str]]:
        """Names of the columns that are not ours, with the JSON types they hold."""
        with explained(self.path):
            self._refuse_damage(["extra"])
        names: dict[str, set[str]] = {}
        tail = ", json_each(answers.extra) AS e WHERE extra IS NOT NULL GROUP BY 1, 2 ORDER BY 1"
        for name, kind in self._select("e.key, e.type", tail=tail):
            names.setdefault(name, set()).add(kind)
        return names

    def __len__(self) -> int:
        return next(self._select("COUNT(*)"))[0]

    def _select(self, what, filters=None, tail="") -> Iterator[tuple]:
        where, values = _where(filters or {})
        with explained(self.path):
            yield from self._con.execute(f"SELECT {what} FROM answers{where}{tail}", values)

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

    def _chunks(self, names, ordered, filters) -> Iterator[dict[str, list]]:
        """Blocks as they are kept; one without rows where there are none."""
        with explained(self.path):
            self._refuse_damage(names)
        tail = f" ORDER BY {_KEY}" if ordered else ""
        rows = self._select(", ".join(names), filters, tail)
        part = list(islice(rows, CHUNK))
        while True:
            columns = zip(*part, strict=True) if part else ((),) * len(names)
            yield {name: list(values) for name, values in zip(names, columns, strict=True)}
            part = list(islice(rows, CHUNK))
            if not part:
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


@contextlib.contextmanager
def gathered(parts: Iterable[dict[str, list]], where) -> Iterator[AnswerLog]:
    """A log without a name that holds blocks which `to_storage` has checked, in bounded memory."""
    with AnswerLog(None) as log:
        log.path = where
        log._con.execute("PRAGMA journal_mode = OFF")  # on a fault it is thrown away
        log._con.execute("DROP INDEX answers_key")  # made faster when all is there
        _insert(log._con, "main.answers", parts)
        try:
            _make_index(log._con, "main.answers")
        except sqlite3.IntegrityError:
            _refuse_doubles(log._con, "main.answers", where)
        yield log


def write_log(
    parts: Iterable[dict[str, list]], to, *, if_exists: str = "error", where: str = "answers"
) -> int:
    """Write blocks that `to_storage` has checked to a log: all of them, or nothing.

    They are gathered beside it, and put into it in one transaction; `if_exists` as in
    `AnswerLog.append`.

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
    with explained(to), gathered(parts, where) as log:
        return _publish(log._con, to, if_exists, where)


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
    with explained(to), gathered([], to) as merged:
        for source in sources:
            with AnswerLog(source, read_only=True) as log, explained(source):
                log._refuse_damage(STORED)
                uri = f"{log.path.absolute().as_uri()}?mode=ro"
                merged._con.execute("ATTACH ? AS source", (uri,))
                _copy(merged._con, "source.answers", "main.answers", if_exists, source)
                merged._con.execute("DETACH source")
        return _publish(merged._con, to, if_exists, to)


@contextlib.contextmanager
def explained(path):
    """Turn what SQLite and the file system say into one line that says what to do."""
    try:
        yield
    except sqlite3.Error as err:
        remedies = (r for said, r in _REMEDIES.items() if any(w in str(err) for w in said))
        raise MedcalError(f"{path}: {next(remedies, f'{err}; nothing was written')}") from err
    except OSError as err:
        raise MedcalError(f"{path}: {err.strerror or err}; nothing was written") from err


_DAMAGED = "the log is damaged; import its source anew"
_FOREIGN = "a SQLite file, but not an answers log; choose another file"
_REMEDIES = {
    ("closed database",): "the log is closed; open it again",
    ("locked", "busy"): "the log is locked by another process; wait for it, then run again",
    ("readonly",): "the log or its folder is read-only; allow writing, or choose another file",
    ("unable to open",): "the log cannot be opened; check that its folder can be written",
    ("disk is full", "too big"): "the disk is full; free some space and run again",
    ("disk I/O",): "writing or reading failed (disk full, quota or a lost drive?), nothing was "
    "half-written; check the disk and run again",
    ("not a database",): "not an answers log; bring tables in with `medcal import`",
    ("malformed", "decode", "corrupt"): _DAMAGED,
    ("no such table", "no such column"): _FOREIGN,
}


def _connected(uri):
    how = {"timeout": BUSY_SECONDS, "isolation_level": None, "check_same_thread": False}
    return sqlite3.connect(uri, uri=True, **how)


def _unnamed():
    con = _connected("")
    con.execute("PRAGMA cache_size = -65536")
    _make_table(con, "main.answers")
    _make_index(con, "main.answers")
    return con


def _open(path, *, read_only):
    mode = "ro" if read_only else "rwc"
    with explained(path):
        if read_only or (path.exists() and not path.is_file()):
            require_file(path)
        if not read_only:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as err:
                raise MedcalError(f"{path}: its folder cannot be made ({err.strerror})") from err
        elif not os.access(path.parent, os.W_OK) and not Path(f"{path}-wal").exists():
            # write-ahead mode needs a side file even for reading, unless nothing is pending
            mode = "ro&immutable=1"
        con = _connected(f"{path.absolute().as_uri()}?mode={mode}")
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
    con.execute("PRAGMA page_size = 16384")
    write_ahead(con)
    con.execute("BEGIN IMMEDIATE")
    with con:
        _make_table(con, "main.answers")
        _make_index(con, "main.answers")
        con.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        con.execute(f"PRAGMA user_version = {_VERSION}")


def _make_table(con, table):
    con.execute(f"CREATE TABLE IF NOT EXISTS {table} ({_DEFINED}, extra TEXT)")


def _make_index(con, table):
    name = table.split(".")[1]
    con.execute(f"CREATE UNIQUE INDEX IF NOT EXISTS {table}_key ON {name} ({_KEY})")


def _is_ours(con, path, *, may_be_new) -> bool:
    """False for an empty file, where it may be; what is neither that nor ours is refused."""
    # one look: another process may be making the file
    mark, version, tables, answers = con.execute(
        "SELECT application_id, user_version, (SELECT COUNT(*) FROM sqlite_master), "
        "(SELECT COUNT(*) FROM sqlite_master WHERE name = 'answers') "
        "FROM pragma_application_id, pragma_user_version"
    ).fetchone()
    if may_be_new and not tables and mark in (0, _APPLICATION_ID):
        return False
    if mark != _APPLICATION_ID or not answers:
        raise MedcalError(f"{path}: {_FOREIGN}")
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


def _insert(con, table, parts) -> None:
    con.execute("BEGIN")
    with con:
        for stored in parts:
            # sqlite3 takes each None, and each bool, a roundabout way
            names = [c for c in STORED if stored[c].count(None) < len(stored[c])]
            query = (
                f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
            )
            con.executemany(query, zip(*(stored[name] for name in names), strict=True))


def _refuse_doubles(con, table, where) -> None:
    """Refuse two rows with one key."""
    doubled = con.execute(
        f"SELECT MIN(rowid), MAX(rowid), {_KEY} FROM {table} GROUP BY {_KEY} "
        "HAVING COUNT(*) > 1 ORDER BY 1 LIMIT 1"
    ).fetchone()
    if doubled:
        raise MedcalError(
            f"{where}: rows {doubled[0]} and {doubled[1]} are the same answer "
            f"({_shown(doubled[2:])}); "
            "drop one, or number repeated replies in a column 'sample'"
        )


def _publish(con, to, if_exists, where) -> int:
    """Put what was gathered into the log, in one transaction."""
    AnswerLog(to).close()
    con.execute("ATTACH ? AS log", (f"{Path(to).absolute().as_uri()}?mode=rw",))
    con.execute("PRAGMA log.synchronous = NORMAL")
    return _copy(con, "main.answers", "log.answers", if_exists, where)


def _copy(con, source, target, if_exists, where) -> int:
    """Add the rows of one table to another, equal ones apart; the number of rows written."""
    if if_exists not in _ON_CONFLICT:
        raise ValueError(f"if_exists is one of {', '.join(_ON_CONFLICT)}, not {if_exists!r}")
    con.execute("BEGIN IMMEDIATE")
    with con:
        before = con.total_changes
        if con.execute(f"SELECT 1 FROM {target} LIMIT 1").fetchone() is None:
            con.execute(f"INSERT INTO {target} SELECT * FROM {source}")
            return con.total_changes - before
        if if_exists == "error":
            key = ", ".join(f"s.{c}" for c in KEY)
            clash = con.execute(
                f"SELECT {key} FROM {source} s JOIN {target} t ON {_SAME} "
                f"WHERE {_DIFFERS} ORDER BY {key}"
            )
            first = clash.fetchone()
            if first:
                n = 1 + sum(1 for _ in clash)
                raise MedcalError(
                    f"{where}: {n} answer{'s' * (n > 1)} there already with other content, "
                    f"first {_shown(first)}; nothing was written; "
                    "choose 'ignore' to keep the earlier answers or 'replace' to take the later"
                )
        names = ", ".join(STORED)
        con.execute(
            f"INSERT INTO {target} ({names}) SELECT {names} FROM {source} s "
            f"WHERE NOT EXISTS (SELECT 1 FROM {target} t WHERE {_SAME} AND NOT ({_DIFFERS})) "
            f"ON CONFLICT ({_KEY}) DO {_ON_CONFLICT[if_exists]}"
        )
        return con.total_changes - before


def _shown(key) -> str:
    return ", ".join(f"{name}={value}" for name, value in zip(KEY, key, strict=True))


def _where(filters):
    parts, values = [], []
    for column, wanted in filters.items():
        if wanted is None:
            continue
        if isinstance(wanted, str) or not isinstance(wanted, Iterable):
            wanted = [wanted]
        parts.append(f"{column} IN ({', '.join('?' * len(wanted))})")
        values += wanted
    return (" WHERE " + " AND ".join(parts) if parts else ""), values
