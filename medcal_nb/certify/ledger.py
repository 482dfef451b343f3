"""The ledger of a certificate: what was planned, graded and said, in lines that are only added."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from medcal_nb.errors import MedcalError
from medcal_nb.files import PathLike

Entry = dict[str, Any]

#: Kinds of lines.
PLAN = "plan"
OTHER_PLAN = "other plan"
OF_THE_FILE = "grades of the file"
GRADE = "grade"
END = "end"
WATCH = "watch"
PAGE = "page"
#: The first line of a sitting at the page.
SITTING = "sitting"
#: What a line of each kind holds.
_HOLDS: dict[str, dict[str, Any]] = {
    PLAN: {
        "time": str,
        "rule": int,
        "risk": float,
        "delta": float,
        "budget": int,
        "starts": list | None,
        "rows": str,
        "n_answers": int,
        "pool": str,
        "seed": int,
        "marks": dict,
    },
    OTHER_PLAN: {
        "risk": float,
        "delta": float,
        "budget": int,
        "starts": list | None,
        "pool": str,
    },
    OF_THE_FILE: {"grades": str},
    GRADE: {
        "time": str,
        "item_id": str,
        "case": str,
        "row": str,
        "grade": str,
        "who": str,
    },
    END: {"methods": list},
    WATCH: {"file": str},
    PAGE: {"file": str},
    SITTING: {"who": str},
}
#: Of a plan, by which two pools are told from each other.
_MARKS = {"limit": str, "marks": list}
#: What the page writes of a grade: the rest follows from the pool.
_OF_A_SITTING = ("row", "grade", "time")


class Chain(NamedTuple):
    """The lines of a ledger, and where they do not follow from each other.

    Attributes
    ----------
    entries : list of dict
        One a line, as JSON has it.
    hashes : list of str
        SHA-256 of each line, as 64 hexadecimal digits.
    faults : list of str
        A sentence for each place at which a line was altered, taken out or put in.
    n_bytes : int
        Length of the whole lines; what stands behind it was cut off while it was written.
    """

    entries: list[Entry]
    hashes: list[str]
    faults: list[str]
    n_bytes: int


def line_hash(line: str) -> str:
    """SHA-256 of a line without its end, as hexadecimal digits.

    Examples
    --------
    >>> line_hash("{}")[:8]
    '44136fa3'
    """
    return hashlib.sha256(line.encode()).hexdigest()


def read_chain(text: bytes, before: str = "") -> Chain:
    r"""Read the lines of a ledger and check that each holds the hash of the one before it.

    Parameters
    ----------
    text : bytes
        Of a ledger, UTF-8.
    before : str
        What the first line must hold as the hash of the line before it.

    Returns
    -------
    Chain

    Examples
    --------
    >>> first = '{"before": "", "kind": "watch", "file": "use.csv"}'
    >>> second = json.dumps({"before": line_hash(first), "kind": "end", "methods": []})
    >>> read_chain(f"{first}\n{second}\n".encode()).faults
    []
    >>> read_chain(f"{first.replace('use', 'my')}\n{second}\n".encode()).faults
    ['line 1 was altered, or lines after it were taken out']
    """
    whole = text[: text.rfind(b"\n") + 1]
    entries: list[Entry] = []
    hashes: list[str] = []
    faults = []
    for number, raw in enumerate(whole.split(b"\n")[:-1], start=1):
        line = raw.decode("utf-8", errors="replace").removesuffix("\r")
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            entry = None
        is_sitting = bool(entries) and entries[0]["kind"] == SITTING
        if fault := _fault_of(entry, is_sitting=is_sitting):
            faults.append(f"line {number} is no line of a ledger: {fault}")
            entry = {"kind": "", "before": before}
        if entry.get("before") != before:
            faults.append(
                f"line {number - 1} was altered, or lines after it were taken out"
                if number > 1
                else "line 1 does not begin it: lines before it were taken out"
            )
        before = line_hash(line)
        entries.append(entry)
        hashes.append(before)
    return Chain(entries, hashes, faults, len(whole))


def _fault_of(entry: object, *, is_sitting: bool) -> str:
    """Why it is no object that holds what a line of its kind holds; empty where it is."""
    if not isinstance(entry, dict):
        return "it is no object of JSON"
    kind = str(entry.get("kind"))
    if kind not in _HOLDS:
        return f"its kind is {kind:.20}"
    holds = _HOLDS[kind]
    if kind == GRADE and is_sitting:
        holds = {name: holds[name] for name in _OF_A_SITTING}
    lacking = _lacking(entry, holds)
    if kind == PLAN and not lacking:
        lacking = _lacking(entry["marks"], _MARKS)
    return f"its '{lacking}' is missing or of another type" if lacking else ""


def _lacking(values: dict, holds: dict[str, Any]) -> str:
    """The first name whose value is missing or of another type; empty without one."""
    for name, of_type in holds.items():
        if name not in values or not isinstance(values[name], of_type):
            return name
    return ""


def chained(entries: Iterable[Mapping[str, Any]], before: str) -> list[str]:
    """Lines of some entries, each with the hash of the one before it and the time.

    Parameters
    ----------
    entries : iterable of dict
        With ``kind``; a ``time`` that they have stays.
    before : str
        Hash of the line before the first.

    Returns
    -------
    list of str
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    lines = []
    for entry in entries:
        content = {"before": before, "time": now} | dict(entry)
        lines.append(json.dumps(content, ensure_ascii=False, allow_nan=False))
        before = line_hash(lines[-1])
    return lines


class Ledger:
    """The file ``NAME.certificate.jsonl``.

    Parameters
    ----------
    path : path
        The file; it need not be there yet.
    read_only : bool
        Add lines in memory alone.

    Attributes
    ----------
    chain : Chain
        What stands in it.

    Raises
    ------
    MedcalError
        If the file is no ledger.
    """

    def __init__(self, path: PathLike, *, read_only: bool = False) -> None:
        self.path = Path(path)
        self._read_only = read_only
        text = self._stored()
        self.chain = read_chain(text)
        entries = self.chain.entries
        is_foreign = bool(text) and (not entries or entries[0]["kind"] != PLAN)
        if is_foreign and not self.chain.faults:
            raise MedcalError(
                f"{self.path}: is no ledger of a certificate; move it away"
            )

    def _stored(self) -> bytes:
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return b""

    @property
    def entries(self) -> list[Entry]:
        """Its lines."""
        return self.chain.entries

    @property
    def head(self) -> str:
        """Hash of its last line; empty before the first."""
        return self.chain.hashes[-1] if self.chain.hashes else ""

    @property
    def plan(self) -> Entry:
        """The plan that holds: the last one that was begun, before the first grade."""
        return self.of_kind(PLAN)[-1]

    @property
    def plan_hash(self) -> str:
        """Hash of its line."""
        return self.chain.hashes[self.entries.index(self.plan)]

    @property
    def is_open(self) -> bool:
        """Whether nothing has been graded, on a page neither, so that the plan may be changed."""
        return not any(self.of_kind(kind) for kind in (OF_THE_FILE, GRADE, PAGE))

    def of_kind(self, kind: str) -> list[Entry]:
        """Its lines of one kind, in their order."""
        return [entry for entry in self.entries if entry["kind"] == kind]

    def require_whole(self) -> None:
        """Refuse a ledger of which a line was altered.

        Raises
        ------
        MedcalError
            With the first such line.
        """
        if self.chain.faults:
            raise MedcalError(
                f"{self.path}: {self.chain.faults[0]}; bring the ledger back as it was "
                "(`medcal certify FILE --check` says more)"
            )

    def append(self, *entries: Mapping[str, Any]) -> None:
        """Add lines, in one write that is on the disk when this returns.

        A line that was cut off while it was written, by a kill or a full disk, makes room first:
        nothing that was said rests on it.

        Raises
        ------
        MedcalError
            If somebody else added lines meanwhile, or the file can't be written.
        """
        if not entries:
            return
        new = chained(entries, self.head)
        text = "".join(f"{line}\n" for line in new).encode()
        if not self._read_only:
            self._write(text)
        hashes = [line_hash(line) for line in new]
        old = self.chain
        self.chain = Chain(
            entries=[*old.entries, *map(json.loads, new)],
            hashes=[*old.hashes, *hashes],
            faults=old.faults,
            n_bytes=old.n_bytes + len(text),
        )

    def _write(self, text: bytes) -> None:
        try:
            if read_chain(self._stored()).hashes != self.chain.hashes:
                raise MedcalError(f"{self.path}: was changed meanwhile; run it again")
            with open(self.path, "ab") as file:
                file.truncate(self.chain.n_bytes)
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise MedcalError(
                f"{self.path}: can't be written: {error.strerror or error}"
            ) from error
