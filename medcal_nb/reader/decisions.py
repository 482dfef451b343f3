"""What readers decided: a SQLite file that only ever grows.

Each decision is a row of its own, written in one transaction before the page moves on. Nothing
is updated and nothing deleted: a change of mind is a further row, and the last one counts. Rows
carry the reader's name, so that several readers can use one file at once.
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

from medcal_nb.answers.log import write_ahead
from medcal_nb.errors import MedcalError

if TYPE_CHECKING:
    import pandas as pd

#: ``commit`` is an own answer given before the model's was shown; the others are decisions.
ACTIONS = ("commit", "accept", "override", "defer")
COLUMNS = (
    "at",
    "reader",
    "model",
    "dataset",
    "strategy",
    "item_id",
    "action",
    "answer",
    "reason",
    "model_answer",
    "confidence",
    "flagged",
)
APPLICATION_ID = 0x4D434452  # "MCDR", marks the file as ours
BUSY_SECONDS = 30.0
_TABLE = f"""CREATE TABLE IF NOT EXISTS decisions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL, reader TEXT NOT NULL,
    model TEXT NOT NULL, dataset TEXT NOT NULL, strategy TEXT NOT NULL, item_id TEXT NOT NULL,
    action TEXT NOT NULL CHECK (action IN {ACTIONS}),
    answer TEXT, reason TEXT, model_answer TEXT, confidence REAL, flagged INTEGER
)"""
_INSERT = f"INSERT INTO decisions ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"


class Decision(NamedTuple):
    """What a reader decided about an answer.

    `answer` is the reader's own (for ``commit`` and ``override``), `flagged` whether the view
    said *check this one*, `at` the time in UTC.
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


def decisions_path(answers: str | os.PathLike) -> Path:
    """Return where the decisions about a file of answers go by default: beside it."""
    path = Path(answers)
    return path.with_name(f"{path.stem}.decisions.sqlite")


class DecisionLog:
    """Decisions on disk.

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
        tables = {name for (name,) in con.execute("SELECT name FROM sqlite_master")}
        (mark,) = con.execute("PRAGMA application_id").fetchone()
        if tables and mark != APPLICATION_ID:
            raise MedcalError(
                f"{self.path}: holds something else than decisions; choose another file with "
                "--decisions"
            )
        write_ahead(con)
        # a decision is on the disk before the next case is shown
        con.execute("PRAGMA synchronous = FULL")
        if not tables:
            con.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        con.execute(_TABLE)

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
            at=datetime.now(UTC).isoformat(timespec="milliseconds"),
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
        )
        with self._lock, self._explained():
            self._open().execute(_INSERT, made)
        return made

    def latest(self, **where: Any) -> dict[str, Decision]:
        """Return the decision that counts, by item: the last one that is no ``commit``.

        Parameters
        ----------
        **where
            ``reader=``, ``model=``, ``dataset=``, ``strategy=``.
        """
        return {d.item_id: d for d in self._rows(where) if d.action != "commit"}

    def commitments(self, **where: Any) -> dict[str, Decision]:
        """Return the answers given before the model's was shown, by item: the first counts."""
        first: dict[str, Decision] = {}
        for decision in self._rows(where):
            if decision.action == "commit":
                first.setdefault(decision.item_id, decision)
        return first

    def read(self) -> pd.DataFrame:
        """Return every row ever written, in order."""
        import pandas as pd

        return pd.DataFrame(list(self._rows({})), columns=COLUMNS)

    def readers(self) -> list[str]:
        """Return the names of those who have decided anything."""
        return sorted({decision.reader for decision in self._rows({})})

    def _rows(self, where: dict[str, Any]) -> list[Decision]:
        unknown = [name for name in where if name not in COLUMNS]
        if unknown:
            raise ValueError(f"where: no column {unknown[0]!r}; there are {', '.join(COLUMNS)}")
        tests = " AND ".join(f"{name} = ?" for name in where) or "1"
        query = f"SELECT {', '.join(COLUMNS)} FROM decisions WHERE {tests} ORDER BY id"
        if not self.path.exists():
            return []
        with self._lock, self._explained():
            rows = self._open().execute(query, tuple(where.values())).fetchall()
        return [Decision(*row[:-1], flagged=bool(row[-1])) for row in rows]

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            said = str(error)
            if "locked" in said or "busy" in said:
                remedy = "another program holds it; close that and decide again"
            elif "not a database" in said or "malformed" in said:
                remedy = "it is damaged or no SQLite file; choose another with --decisions"
            elif "full" in said:
                remedy = "the disk is full; free some space and decide again"
            else:
                remedy = "check that its folder exists and can be written, or use --decisions"
            raise MedcalError(f"{self.path}: {said}: {remedy}") from error
