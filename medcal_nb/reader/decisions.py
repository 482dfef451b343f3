"""What readers decided: a SQLite file that only ever grows.

Each decision is a row of its own, on the disk before the page moves on. Nothing is updated and
nothing deleted: a change of mind is a further row, and the last one counts; an undo is a row of
the table ``undone`` that names the decision it takes back.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from medcal_nb.errors import MedcalError
from medcal_nb.files import new_file

if TYPE_CHECKING:
    import pandas as pd

#: ``commit`` is an own answer given before the model's was shown; the others are decisions.
ACTIONS = ("commit", "accept", "override", "defer")
APPLICATION_ID = 0x4D434452  # "MCDR", marks the file as ours
BUSY_SECONDS = 30.0
_CREATE = f"""CREATE TABLE IF NOT EXISTS decisions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL, reader TEXT NOT NULL,
    model TEXT NOT NULL, dataset TEXT NOT NULL, strategy TEXT NOT NULL, item_id TEXT NOT NULL,
    action TEXT NOT NULL CHECK (action IN {ACTIONS}),
    answer TEXT, reason TEXT, model_answer TEXT, confidence REAL, flagged INTEGER, seconds REAL
)"""
_CREATE_UNDONE = """CREATE TABLE IF NOT EXISTS undone (
    decision INTEGER PRIMARY KEY REFERENCES decisions (id), at TEXT NOT NULL
)"""


class Decision(NamedTuple):
    """What a reader decided about an answer.

    `answer` is the reader's own (for ``commit`` and ``override``), `flagged` whether the view
    said *check this one*, `at` the time in UTC, `seconds` the time since the case was shown (None
    in files of older versions), `undone_at` when it was taken back (None where it stands).
    """

    at: str
    reader: str
    model: str
    dataset: str
    strategy: str
    item_id: str
    action: str
    answer: str | None
    reason: str
    model_answer: str | None
    confidence: float | None
    flagged: bool
    seconds: float | None
    undone_at: str | None = None


_KEPT = Decision._fields[:-1]
_INSERT = f"INSERT INTO decisions ({', '.join(_KEPT)}) VALUES ({', '.join('?' * len(_KEPT))})"


def decisions_path(answers: str | os.PathLike) -> Path:
    """Return where the decisions about a file of answers go by default: beside it."""
    path = Path(answers)
    return path.with_name(f"{path.stem}.decisions.sqlite")


class DecisionLog:
    """Decisions on disk.

    Parameters
    ----------
    path : path
        The SQLite file; made with the first decision, so that looking leaves no trace. Files of
        older versions open too: what they lack is added, what they hold stays.

    Raises
    ------
    MedcalError
        If it could not be made, cannot be opened, or is another kind of file.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self._lock = threading.Lock()
        self._con: sqlite3.Connection | None = None
        if self.path.exists():
            with self._explained():
                self._open()
        elif not os.access(self.path.parent, os.W_OK):
            raise MedcalError(
                f"{self.path}: its folder is missing or cannot be written; choose another file "
                "with --decisions"
            )

    def _open(self) -> sqlite3.Connection:
        if self._con is None:
            con = sqlite3.connect(
                self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare(con)
            except BaseException:
                con.close()
                raise
            self._con = con
        return self._con

    def _prepare(self, con: sqlite3.Connection) -> None:
        """Make the tables, or add to those of an older version; refuse a file of another kind."""
        con.execute("PRAGMA synchronous = FULL")  # on the disk before the next case is shown
        con.execute("BEGIN IMMEDIATE")
        tables = {name for (name,) in con.execute("SELECT name FROM sqlite_master")}
        (mark,) = con.execute("PRAGMA application_id").fetchone()
        if tables and mark != APPLICATION_ID:
            raise MedcalError(
                f"{self.path}: holds something else than decisions; choose another file with "
                "--decisions"
            )
        con.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        con.execute(_CREATE)
        con.execute(_CREATE_UNDONE)
        if "seconds" not in {row[1] for row in con.execute("PRAGMA table_info(decisions)")}:
            con.execute("ALTER TABLE decisions ADD COLUMN seconds REAL")
        con.execute("COMMIT")

    def __enter__(self) -> DecisionLog:
        return self

    def __exit__(self, *exc) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        if self._con is not None:
            self._con.close()
            self._con = None

    def append(
        self,
        action: str,
        *,
        reader: str,
        model: str,
        dataset: str,
        strategy: str,
        item_id: str,
        answer: str | None = None,
        reason: str = "",
        model_answer: str | None = None,
        confidence: float | None = None,
        flagged: bool = False,
        seconds: float | None = None,
    ) -> Decision:
        """Write a decision; when this returns it is on the disk.

        Raises
        ------
        ValueError
            On an unknown action, or an own answer where one is needed and none is given.
        MedcalError
            If it cannot be written.
        """
        if action not in ACTIONS:
            raise ValueError(f"action: {action!r} is none of {', '.join(ACTIONS)}")
        if action in ("commit", "override") and not (answer or "").strip():
            raise ValueError(f"answer: to {action} takes an own answer")
        made = Decision(
            at=_now(),
            reader=reader,
            model=model,
            dataset=dataset,
            strategy=strategy,
            item_id=item_id,
            action=action,
            answer=None if answer is None else answer.strip(),
            reason=reason.strip(),
            model_answer=model_answer,
            confidence=confidence,
            flagged=bool(flagged),
            seconds=seconds,
        )
        with self._lock, self._explained():
            self._open().execute(_INSERT, made[:-1])
        return made

    def undo(self, **where: Any) -> Decision | None:
        """Take the last decision back and return it; None where there is none.

        An answer committed to before the model's was shown stays: it can't be given unseen twice.
        """
        standing = [
            (key, made)
            for key, made in self._rows(where)
            if made.action != "commit" and made.undone_at is None
        ]
        if not standing:
            return None
        with self._lock, self._explained():
            self._open().execute("INSERT INTO undone VALUES (?, ?)", (standing[-1][0], _now()))
        return standing[-1][1]

    def latest(self, **where: Any) -> dict[str, Decision]:
        """Return the decision that counts, by item: the last that stands and is no ``commit``.

        Parameters
        ----------
        **where
            ``reader=``, ``model=``, ``dataset=``, ``strategy=``.
        """
        return {
            made.item_id: made
            for _, made in self._rows(where)
            if made.action != "commit" and made.undone_at is None
        }

    def commitments(self, **where: Any) -> dict[str, Decision]:
        """Return the answers given before the model's was shown, by item: the first counts."""
        first: dict[str, Decision] = {}
        for _, made in self._rows(where):
            if made.action == "commit":
                first.setdefault(made.item_id, made)
        return first

    def read(self) -> pd.DataFrame:
        """Return every row ever written, in order, with the columns of :class:`Decision`."""
        import pandas as pd

        return pd.DataFrame([made for _, made in self._rows({})], columns=Decision._fields)

    def export(self, path: str | os.PathLike, *, force: bool = False) -> pd.DataFrame:
        """Write every row to a CSV file and return them.

        Raises
        ------
        MedcalError
            If there is no decision yet, or the file may not be written.
        """
        table = self.read()
        if table.empty:
            raise MedcalError(f"{self.path}: no decision yet, so nothing to export")
        with new_file(path, sources=[self.path], force=force) as part:
            table.to_csv(part, index=False)
        return table

    def _rows(self, where: dict[str, Any]) -> list[tuple[int, Decision]]:
        """Return key and decision of every row, in order."""
        for name in where:
            if name not in _KEPT:
                raise ValueError(f"where: no column {name!r}; there are {', '.join(_KEPT)}")
        tests = " AND ".join(f"d.{name} = ?" for name in where) or "1"
        columns = ", ".join(f"d.{name}" for name in _KEPT)
        query = (
            f"SELECT d.id, {columns}, u.at FROM decisions d LEFT JOIN undone u "
            f"ON u.decision = d.id WHERE {tests} ORDER BY d.id"
        )
        if not self.path.exists():
            return []
        with self._lock, self._explained():
            rows = self._open().execute(query, tuple(where.values())).fetchall()
        made = [(row[0], Decision(*row[1:])) for row in rows]
        return [(key, each._replace(flagged=bool(each.flagged))) for key, each in made]

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise MedcalError(f"{self.path}: {error}: {_remedy(str(error))}") from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _remedy(said: str) -> str:
    """Return what to do about what SQLite said."""
    if "locked" in said or "busy" in said:
        return "another program holds it; close that and decide again"
    if "not a database" in said or "malformed" in said:
        return "it is damaged or no SQLite file; choose another with --decisions"
    if "full" in said:
        return "the disk is full; free some space and decide again"
    return "check that its folder exists and can be written, or use --decisions"
