"""What readers decided: a SQLite file that only ever grows.

Each decision is a row of its own, on the disk before the page moves on. Nothing is updated and
nothing deleted: a change of mind is a further row, and the last one counts; an undo is a row of
the table ``undone`` that names the decision it takes back.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from medcal_nb.errors import MedcalError
from medcal_nb.files import new_file

#: ``commit`` is an own answer given before the model's was shown; the others are decisions.
ACTIONS = ("commit", "accept", "override", "defer")
_APPLICATION_ID = 0x4D434452  # "MCDR", marks the file as ours
_BUSY_SECONDS = 30.0
_TABLES = (
    f"""CREATE TABLE IF NOT EXISTS decisions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL, reader TEXT NOT NULL,
    model TEXT NOT NULL, dataset TEXT NOT NULL, strategy TEXT NOT NULL, item_id TEXT NOT NULL,
    action TEXT NOT NULL CHECK (action IN {ACTIONS}),
    answer TEXT CHECK (action IN ('accept', 'defer') OR trim(coalesce(answer, '')) <> ''),
    reason TEXT, model_answer TEXT, confidence REAL, flagged INTEGER, seconds REAL)""",
    "CREATE TABLE IF NOT EXISTS undone (decision INTEGER PRIMARY KEY, at TEXT NOT NULL)",
)


class Decision(NamedTuple):
    """What a reader decided about an answer.

    `answer` is the reader's own (for ``commit`` and ``override``), `flagged` whether the view
    said *check this one*, `at` the time in UTC, `seconds` the time since the case was shown (None
    in files of older versions), `undone_at` when it was taken back (None where it stands).
    """

    action: str
    item_id: str
    reader: str
    model: str
    dataset: str
    strategy: str
    answer: str | None = None
    reason: str = ""
    model_answer: str | None = None
    confidence: float | None = None
    flagged: bool = False
    seconds: float | None = None
    at: str = ""
    undone_at: str | None = None


_KEPT = Decision._fields[:-1]


def decisions_path(answers: str | os.PathLike) -> Path:
    """Return where the decisions about a file of answers go by default: beside it."""
    path = Path(answers)
    return path.with_name(f"{path.stem}.decisions.sqlite")


class DecisionLog:
    """Decisions on disk; the file is open only while something is read or written.

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
        if not self.path.exists() and not os.access(self.path.parent, os.W_OK):
            raise MedcalError(
                f"{self.path}: its folder is missing or cannot be written; choose another file "
                "with --decisions"
            )
        self._rows({})

    @contextlib.contextmanager
    def _file(self) -> Iterator[sqlite3.Connection]:
        """Open the file with its tables made, or with what an older version lacks added."""
        try:
            con = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)
            with contextlib.closing(con):
                con.execute("PRAGMA synchronous = FULL")
                con.execute("BEGIN IMMEDIATE")
                there = con.execute("SELECT 1 FROM sqlite_master").fetchone()
                if there and con.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID:
                    raise MedcalError(
                        f"{self.path}: holds something else than decisions; choose another file "
                        "with --decisions"
                    )
                if not there:
                    con.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                for statement in _TABLES:
                    con.execute(statement)
                if not con.execute("SELECT 1 FROM pragma_table_info('decisions') "
                                   "WHERE name = 'seconds'").fetchone():  # fmt: skip
                    con.execute("ALTER TABLE decisions ADD COLUMN seconds REAL")
                yield con
                con.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            raise MedcalError(
                f"{self.path}: {error}; decide again, or choose another file with --decisions"
            ) from error

    def append(self, action: str, **told) -> Decision:
        """Write a decision, given as the fields of one; when this returns it is on the disk.

        Raises
        ------
        MedcalError
            If it cannot be written: an unknown action, an own answer where one is needed and none
            is given, a file that another program holds.
        """
        made = Decision(action, **told, at=_now())
        made = made._replace(answer=made.answer and made.answer.strip(), reason=made.reason.strip())
        holes = ", ".join("?" * len(_KEPT))
        with self._file() as con:
            con.execute(f"INSERT INTO decisions ({', '.join(_KEPT)}) VALUES ({holes})", made[:-1])
        return made

    def undo(self, **where: str) -> Decision | None:
        """Take the last decision back and return it; None where there is none.

        An answer committed to before the model's was shown stays: it can't be given unseen twice.
        """
        rows = self._rows(where).items()
        standing = [(k, d) for k, d in rows if d.action != "commit" and d.undone_at is None]
        if not standing:
            return None
        with self._file() as con:
            con.execute("INSERT OR IGNORE INTO undone VALUES (?, ?)", (standing[-1][0], _now()))
        return standing[-1][1]

    def latest(self, **where: str) -> dict[str, Decision]:
        """Return the decision that counts, by item: the last that stands and is no ``commit``.

        Parameters
        ----------
        **where
            Fields of :class:`Decision` and their values, such as ``reader=``.
        """
        rows = self._rows(where).values()
        return {d.item_id: d for d in rows if d.action != "commit" and d.undone_at is None}

    def commitments(self, **where: str) -> dict[str, Decision]:
        """Return the answers given before the model's was shown, by item: the first counts."""
        rows = reversed(self._rows(where).values())
        return {d.item_id: d for d in rows if d.action == "commit"}

    def read(self) -> pd.DataFrame:
        """Return every row ever written, in order, with the fields of :class:`Decision`."""
        return pd.DataFrame(list(self._rows({}).values()), columns=Decision._fields)

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

    def _rows(self, where: dict[str, str]) -> dict[int, Decision]:
        """Return the decisions that have these values, by key, in order."""
        if not self.path.exists():
            return {}
        columns = ", ".join(f"d.{name}" for name in _KEPT)
        query = f"""SELECT d.id, {columns}, u.at FROM decisions d
            LEFT JOIN undone u ON u.decision = d.id ORDER BY d.id"""
        with self._file() as con:
            rows = con.execute(query).fetchall()
        found = {key: Decision(*told) for key, *told in rows}
        return {
            key: d._replace(flagged=bool(d.flagged))
            for key, d in found.items()
            if all(getattr(d, name) == value for name, value in where.items())
        }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
