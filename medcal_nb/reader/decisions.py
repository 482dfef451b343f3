"""What readers decided: a SQLite file that only ever grows.

Each decision is a row of its own, on the disk before the page moves on. Nothing is updated and
nothing deleted: a change of mind is a further row, and the last one counts; an undo is a row of
the table ``undone`` that names the decision it takes back.

A decision knows its case and both answers, graded when it was made, so that decisions can be
imported as answers (:mod:`medcal_nb.logs.formats.decisions`) without the file that was read.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from medcal_nb.errors import MedcalError
from medcal_nb.files import new_file

_APPLICATION_ID = 0x4D434452  # "MCDR", marks the file as ours
_VERSION = 2
_TABLES = (
    f"PRAGMA application_id = {_APPLICATION_ID}",
    f"PRAGMA user_version = {_VERSION}",
    """CREATE TABLE decisions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL, reader TEXT NOT NULL,
    model TEXT NOT NULL, dataset TEXT NOT NULL, strategy TEXT NOT NULL, item_id TEXT NOT NULL,
    image_id TEXT, domain TEXT, modality TEXT, question_type TEXT,
    action TEXT NOT NULL CHECK (action IN ('commit', 'accept', 'override', 'defer')),
    answer TEXT CHECK (action = 'defer' OR trim(coalesce(answer, '')) <> ''),
    confidence REAL CHECK (action = 'defer' OR coalesce(confidence, -1) BETWEEN 0 AND 1),
    correct INTEGER,
    model_answer TEXT, model_confidence REAL, model_correct INTEGER,
    flagged INTEGER NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT '', seconds REAL)""",
    "CREATE TABLE undone (decision INTEGER PRIMARY KEY, at TEXT NOT NULL)",
)


class Decision(NamedTuple):
    """What a reader decided about an answer.

    Attributes
    ----------
    id, at : int, str
        Order in the file, and the time in UTC.
    reader : str
    model, dataset, strategy, item_id : str
        The model's answer that it is about, and whose confidence was shown.
    image_id, domain, modality, question_type : str or None
        Of the case.
    action : str
        ``commit``, the reader's own answer before the model's was shown, or ``accept``,
        ``override``, ``defer`` after it.
    answer, confidence, correct : str, float, bool
        The reader's answer at that time, how sure the reader is that it is right (0 to 1), and
        whether it is; all None where deferred, `correct` where there is no grade.
    model_answer, model_confidence, model_correct : str, float, bool
    flagged : bool
        Whether the view said *check this one*.
    reason : str
    seconds : float
        Since the case, or the model's answer, was shown.
    undone_at : str or None
        When it was taken back; None where it stands.
    """

    id: int
    at: str
    reader: str
    model: str
    dataset: str
    strategy: str
    item_id: str
    image_id: str | None
    domain: str | None
    modality: str | None
    question_type: str | None
    action: str
    answer: str | None
    confidence: float | None
    correct: bool | None
    model_answer: str | None
    model_confidence: float | None
    model_correct: bool | None
    flagged: bool
    reason: str
    seconds: float | None
    undone_at: str | None


_TRUTHS = ("correct", "model_correct", "flagged")


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

    Examples
    --------
    >>> log = DecisionLog("answers.decisions.sqlite")  # doctest: +SKIP
    >>> log.read()[["reader", "action", "confidence", "correct"]]  # doctest: +SKIP
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        if not self.path.exists() and not os.access(self.path.parent, os.W_OK):
            why = "its folder is missing or cannot be written"
            raise MedcalError(f"{self.path}: {why}; choose another file: --decisions")
        self._rows()

    @contextlib.contextmanager
    def _file(self) -> Iterator[sqlite3.Connection]:
        """Open the file, with its tables made if it is new."""
        try:
            con = sqlite3.connect(self.path, timeout=30, isolation_level=None)
            with contextlib.closing(con):
                con.execute("PRAGMA synchronous = FULL")
                con.execute("BEGIN IMMEDIATE")
                if con.execute("SELECT 1 FROM sqlite_master").fetchone():
                    _require_ours(con)
                else:
                    for statement in _TABLES:
                        con.execute(statement)
                yield con
                con.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            why = f"{error}; try again, or choose another file with --decisions"
            raise MedcalError(f"{self.path}: {why}") from error

    def append(self, action: str, **fields: object) -> None:
        """Write a decision, given as the fields of one; when this returns it is on the disk.

        Raises
        ------
        MedcalError
            If it cannot be written: an unknown action, an answer or a confidence where one is
            needed and none is given, a file that another program holds.
        """
        row = {"action": action, "at": _now()}
        for name, value in fields.items():
            row[name] = value.strip() if isinstance(value, str) else value
        names = ", ".join(row)
        values = ", ".join(f":{name}" for name in row)
        with self._file() as con:
            con.execute(f"INSERT INTO decisions ({names}) VALUES ({values})", row)

    def undo(self, **where: str) -> Decision:
        """Take the last decision back and return it.

        An answer committed to before the model's was shown stays: it can't be given unseen twice.

        Raises
        ------
        MedcalError
            If there is none, or it cannot be written.
        """
        standing = self.latest(**where).values()
        if not standing:
            raise MedcalError(f"{self.path}: no decision to take back")
        last = max(standing, key=lambda decision: decision.id)
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
        return {
            row.item_id: row
            for row in self._rows(**where)
            if row.action != "commit" and row.undone_at is None
        }

    def commitments(self, **where: str) -> dict[str, Decision]:
        """Return the answers given before the model's was shown, by item: the first counts."""
        rows = self._rows(**where, action="commit")
        return {row.item_id: row for row in reversed(rows)}

    def read(self) -> pd.DataFrame:
        """Return every row ever written, in order, with the fields of :class:`Decision`."""
        table = pd.DataFrame(self._rows(), columns=Decision._fields)
        return table.drop(columns="id")

    def export(self, path: str | os.PathLike, *, force: bool = False) -> pd.DataFrame:
        """Write every row to a .csv or .json file, in JSON one a line, and return them.

        Raises
        ------
        MedcalError
            If there is no decision yet, or the file may not be written.
        """
        table = self.read()
        if table.empty:
            raise MedcalError(f"{self.path}: no decision yet, so nothing to export")
        with new_file(path, sources=[self.path], force=force) as part:
            if Path(path).suffix.lower() == ".json":
                rows = [json.dumps(row) for row in _plain(table)]
                Path(part).write_text("[\n" + ",\n".join(rows) + "\n]\n", "utf-8")
            else:
                table.to_csv(part, index=False)
        return table

    def _rows(self, **where: str) -> list[Decision]:
        """Return the decisions that have these values, in order."""
        if not self.path.exists():
            return []
        columns = ", ".join(Decision._fields)
        wanted = " AND ".join(f"{name} = :{name}" for name in where) or "TRUE"
        query = f"""SELECT {columns} FROM decisions
            LEFT JOIN (SELECT decision, at AS undone_at FROM undone) ON decision = id
            WHERE {wanted} ORDER BY id"""
        with self._file() as con:
            rows = [Decision(*row) for row in con.execute(query, where)]
        return [row._replace(**_truths(row)) for row in rows]


def _require_ours(con: sqlite3.Connection) -> None:
    """Refuse another program's file, and decisions of another version."""
    application = con.execute("PRAGMA application_id").fetchone()[0]
    version = con.execute("PRAGMA user_version").fetchone()[0]
    if application != _APPLICATION_ID:
        raise sqlite3.DatabaseError("holds something else than decisions")
    if version != _VERSION:
        raise sqlite3.DatabaseError("holds decisions of another version of medcal")


def _truths(row: Decision) -> dict[str, bool | None]:
    """Return the yes or no fields of a row, which SQLite keeps as 1 and 0."""
    values = row._asdict()
    return {
        name: None if values[name] is None else bool(values[name]) for name in _TRUTHS
    }


def _plain(table: pd.DataFrame) -> list[dict]:
    """Return rows with None where a value is missing."""
    return table.astype(object).where(table.notna(), None).to_dict("records")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
