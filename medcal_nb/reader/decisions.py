"""What readers decided: a SQLite file that only ever grows.

Each decision is a row of its own, on the disk before the page moves on. Nothing is updated and
nothing deleted: a change of mind is a further row, and the last one counts; an undo is a row of
the table ``undone`` that names the decision it takes back.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections import namedtuple
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from medcal_nb.errors import MedcalError
from medcal_nb.files import new_file

_APPLICATION_ID = 0x4D434452  # "MCDR", marks the file as ours
# ``commit`` is an own answer given before the model's was shown; the others are decisions
_TABLES = (
    f"PRAGMA application_id = {_APPLICATION_ID}",
    """CREATE TABLE decisions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL, reader TEXT NOT NULL,
    model TEXT NOT NULL, dataset TEXT NOT NULL, strategy TEXT NOT NULL, item_id TEXT NOT NULL,
    action TEXT NOT NULL CHECK (action IN ('commit', 'accept', 'override', 'defer')),
    answer TEXT CHECK (action IN ('accept', 'defer') OR trim(coalesce(answer, '')) <> ''),
    reason TEXT NOT NULL DEFAULT '', model_answer TEXT, confidence REAL,
    flagged INTEGER NOT NULL DEFAULT 0, seconds REAL)""",
    "CREATE TABLE undone (decision INTEGER PRIMARY KEY, at TEXT NOT NULL)",
)
_FIELDS = """id action item_id reader model dataset strategy
    answer reason model_answer confidence flagged seconds at undone_at"""


class Decision(namedtuple("Decision", _FIELDS)):
    """What a reader decided about an answer.

    `answer` is the reader's own (for ``commit`` and ``override``), `flagged` whether the view
    said *check this one*, `seconds` the time since the case was shown, `at` the time in UTC,
    `undone_at` when it was taken back (None where it stands).
    """


def decisions_path(answers: str | os.PathLike) -> Path:
    """Return where the decisions about a file of answers go by default: beside it."""
    return Path(answers).with_suffix(".decisions.sqlite")


class DecisionLog:
    """Decisions on disk; the file is open only while something is read or written.

    Parameters
    ----------
    path : path
        The SQLite file; made with the first decision, so that looking leaves no trace.

    Raises
    ------
    MedcalError
        If it could not be made, cannot be opened, or is another kind of file.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        if not self.path.exists() and not os.access(self.path.parent, os.W_OK):
            why = "its folder is missing or cannot be written; choose another file with --decisions"
            raise MedcalError(f"{self.path}: {why}")
        self._rows()

    @contextlib.contextmanager
    def _file(self) -> Iterator[sqlite3.Connection]:
        """Open the file, with its tables made if it is new."""
        try:
            con = sqlite3.connect(self.path, timeout=30, isolation_level=None)
            with contextlib.closing(con):
                con.execute("PRAGMA synchronous = FULL")
                con.execute("BEGIN IMMEDIATE")
                if not con.execute("SELECT 1 FROM sqlite_master").fetchone():
                    for statement in _TABLES:
                        con.execute(statement)
                elif (
                    con.execute("PRAGMA application_id").fetchone()[0]
                    != _APPLICATION_ID
                ):
                    raise sqlite3.DatabaseError("holds something else than decisions")
                yield con
                con.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            why = f"{error}; try again, or choose another file with --decisions"
            raise MedcalError(f"{self.path}: {why}") from error

    def append(self, action: str, **told) -> None:
        """Write a decision, given as the fields of one; when this returns it is on the disk.

        Raises
        ------
        MedcalError
            If it cannot be written: an unknown action, an own answer where one is needed and none
            is given, a file that another program holds.
        """
        told |= {"action": action, "at": _now()}
        told = {
            k: value.strip() if isinstance(value, str) else value
            for k, value in told.items()
        }
        names = ", ".join(told)
        values = ", ".join(f":{name}" for name in told)
        with self._file() as con:
            con.execute(f"INSERT INTO decisions ({names}) VALUES ({values})", told)

    def undo(self, **where: str) -> Decision:
        """Take the last decision back and return it.

        An answer committed to before the model's was shown stays: it can't be given unseen twice.

        Raises
        ------
        MedcalError
            If there is none, or it cannot be written.
        """
        last = max(
            self.latest(**where).values(), default=None
        )  # by id, the first field
        if last is None:
            raise MedcalError(f"{self.path}: no decision to take back")
        with self._file() as con:
            con.execute("INSERT OR IGNORE INTO undone VALUES (?, ?)", (last.id, _now()))
        return last

    def latest(self, **where: str) -> dict[str, Decision]:
        """Return the decision that counts, by item: the last that stands and is no ``commit``.

        Parameters
        ----------
        **where
            Fields of :class:`Decision` and their values, such as ``reader=``.
        """
        rows = self._rows(**where)
        return {
            d.item_id: d for d in rows if d.action != "commit" and d.undone_at is None
        }

    def commitments(self, **where: str) -> dict[str, Decision]:
        """Return the answers given before the model's was shown, by item: the first counts."""
        return {
            made.item_id: made
            for made in reversed(self._rows(**where, action="commit"))
        }

    def read(self) -> pd.DataFrame:
        """Return every row ever written, in order, with the fields of :class:`Decision`."""
        table = pd.DataFrame(self._rows(), columns=Decision._fields)
        return table.drop(columns="id").astype({"flagged": bool})

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

    def _rows(self, **where: str) -> list[Decision]:
        """Return the decisions that have these values, in order."""
        if not self.path.exists():
            return []
        wanted = " AND ".join(f"{name} = :{name}" for name in where) or "TRUE"
        query = f"""SELECT {", ".join(_FIELDS.split())} FROM decisions
            LEFT JOIN (SELECT decision, at AS undone_at FROM undone) ON decision = id
            WHERE {wanted} ORDER BY id"""
        with self._file() as con:
            return [Decision(*row) for row in con.execute(query, where)]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
