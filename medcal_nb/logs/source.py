"""A file of another tool, as its reader sees it."""

import contextlib
import json
import sqlite3
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import IO

from medcal_nb.answers.files import (
    MOST_BYTES,
    blocks_of,
    check_names,
    iter_json,
    iter_table,
    read_json,
    require_file,
    rows_of,
)
from medcal_nb.errors import MedcalError

from .grades import grade

_LAST_ROW = 1_048_576
"""Where sheets end; a false number of a row stands for as many empty ones."""

_MOST_CELLS = 30_000_000
"""The most cells of a sheet, empty ones between others included."""

_RATIO = 100
"""How many times its size a packed file may unpack to."""


class Source:
    """A file, looked into only as far as is asked.

    Parameters
    ----------
    path : path
    grade : str, optional
        The metric that says whether an answer is right, where a log holds several.

    Attributes
    ----------
    path : Path
    suffix : str
        The end of its name in small letters; ``.json`` for ``.json.gz``.
    notes : list of str
        What there is to tell the user.
    row : int or None
        The row that was read last, counted from 1.
    """

    def __init__(self, path: Path | str, grade: str | None = None) -> None:
        self.path = require_file(path)
        name = self.path.name.lower()
        self.suffix = ".json" if name.endswith(".json.gz") else self.path.suffix.lower()
        self.notes: list[str] = []
        self.row: int | None = None
        self._grade = grade

    @cached_property
    def value(self):
        """What a JSON file or a packed log of Inspect holds; None for other files."""
        if self.suffix == ".eval":
            return _unpacked(self.path)
        return read_json(self.path) if self.suffix == ".json" else None

    @cached_property
    def first(self) -> dict:
        """The one object that a JSON file is, else the first row of a table."""
        with self.as_user_error():
            if isinstance(self.value, dict):
                return self.value
            return next(self.rows(), {})

    def rows(self) -> Iterator[dict]:
        """The rows of a table; but for JSON, None where a value is missing."""
        if self.suffix in (".json", ".jsonl", ".ndjson"):
            yield from self.each(iter_json(self.path))
        elif self.suffix == ".xlsx":
            yield from self.each(_sheet(self.path))
        elif self.suffix == ".sqlite":
            yield from self.each(_decisions(self.path))
        else:
            for block in iter_table(self.path):
                yield from self.each(rows_of(block), (self.row or 0) + 1)

    def blocks(self) -> Iterator[dict[str, list]]:
        """The rows of a table in blocks, a list of values each column."""
        if self.suffix != ".xlsx":
            yield from iter_table(self.path)
            return
        with self.as_user_error():
            yield from blocks_of(_sheet(self.path), self.path)

    def each(self, rows: Iterable[dict], first: int = 1) -> Iterator[dict]:
        """The rows; faults name the one that is at hand."""
        for self.row, row in enumerate(rows, first):
            yield row

    def graded(self, metrics: dict, main: str | None = None) -> bool | None:
        """Whether an answer is right by its metrics, as `grades.grade` decides."""
        return grade(metrics, str(self.path), wanted=self._grade, main=main)

    @contextlib.contextmanager
    def as_user_error(self) -> Iterator[None]:
        """Tell whatever fails in here as a fault of the file, in one line."""
        self.row = None
        try:
            yield
        except MedcalError:
            raise
        except Exception as err:
            # odd values and damaged files raise errors of every kind
            said = " ".join(str(err).split())[:160]
            known = isinstance(err, KeyError)
            said = f"no {said}" if known else f"{type(err).__name__}: {said}"
            place = "" if self.row is None else f"row {self.row}: "
            raise MedcalError(
                f"{self.path}: {place}{said}; not the format that its reader knows, cut off or "
                "damaged: export it anew, or import it as a table with --tool table"
            ) from err


def _decisions(path: Path) -> Iterator[dict]:
    """The rows of a decisions log of the reader view, which may be written to meanwhile."""
    query = """SELECT decisions.*, undone_at FROM decisions
        LEFT JOIN (SELECT decision, at AS undone_at FROM undone) ON decision = id
        ORDER BY id"""
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        ) as log:
            log.row_factory = sqlite3.Row
            yield from map(dict, log.execute(query))
    except sqlite3.DatabaseError as err:
        raise MedcalError(
            f"{path}: no decisions of the reader view, or damaged ({err}); a log of answers is "
            "brought into another by `medcal merge`"
        ) from err


# --- packed files --------------------------------------------------------------------------------


def _open_zip(path: Path) -> zipfile.ZipFile:
    """A zip file that does not say that it unpacks to a hundred times its size."""
    archive = zipfile.ZipFile(path)
    size = sum(member.file_size for member in archive.infolist())
    if size > MOST_BYTES or size > _RATIO * path.stat().st_size + (1 << 20):
        raise MedcalError(f"{path}: unpacks to {size:,} bytes; not read, for safety")
    return archive


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    """A member of a zip file, no further than it says that it goes.

    ``ZipFile.read`` unpacks the whole of a member before it holds its length against the one
    that the file declares, which may be a lie.
    """
    declared = archive.getinfo(name).file_size
    parts = []
    left = declared
    with archive.open(name) as file:
        while left > 0 and (part := file.read(min(left, 1 << 20))):
            parts.append(part)
            left -= len(part)
    return b"".join(parts)


def _unpacked(path: Path) -> dict:
    """A packed log of Inspect as its JSON would be; its samples can be read once."""
    archive = _open_zip(path)
    names = [name for name in archive.namelist() if name.startswith("samples/")]
    samples = (json.loads(_member(archive, name)) for name in names)
    return json.loads(_member(archive, "header.json")) | {"samples": samples}


def _sheet(path: Path) -> Iterator[dict]:
    """The rows of the first sheet of an Excel file, from its first row on the names of columns.

    Rows without a value are left out. The sheet is read as a stream: a cell far out to the right
    or far below costs no more than the cells that are there.
    """
    from openpyxl import load_workbook

    with _honest_copy(path) as copy:
        book = load_workbook(copy, read_only=True, data_only=True)
        sheet = book.worksheets[0]
        sheet.reset_dimensions()  # what a file declares need not be true
        lines = _bounded(sheet.iter_rows(values_only=True), path)
        names = _sheet_names(next(lines, ()), path)
        for row, line in enumerate(lines, 1):
            beyond = [value for value in line[len(names) :] if value not in (None, "")]
            if beyond:
                raise MedcalError(
                    f"{path}: row {row} has a value in a column that has no name in the first "
                    "row; name each column once"
                )
            cells = [None if value == "" else value for value in line[: len(names)]]
            if any(value is not None for value in cells):
                cells += [None] * (len(names) - len(cells))
                yield dict(zip(names, cells, strict=True))


def _honest_copy(path: Path) -> IO[bytes]:
    """A sheet's zip file anew, not packed, with members as long as they say."""
    copy = tempfile.TemporaryFile()  # noqa: SIM115 (its reader closes it)
    with _open_zip(path) as archive, zipfile.ZipFile(copy, "w") as plain:
        for name in archive.namelist():
            plain.writestr(name, _member(archive, name))
    copy.seek(0)
    return copy


def _bounded(lines: Iterable[tuple], path: Path) -> Iterator[tuple]:
    """The lines of a sheet, as far as a sheet goes and no more cells than a large one has."""
    cells = 0
    for n, line in enumerate(lines):
        cells += len(line)
        if cells > _MOST_CELLS:
            raise MedcalError(
                f"{path}: more than {_MOST_CELLS:,} cells, empty ones included; save it as CSV"
            )
        if n >= _LAST_ROW:
            raise MedcalError(
                f"{path}: a row beyond {_LAST_ROW:,}, where sheets end; save it as CSV"
            )
        yield line


def _sheet_names(line: tuple, path: Path) -> list[str]:
    """The names of a sheet's columns; columns at its end without a name are no columns."""
    names = list(line)
    while names and names[-1] in (None, ""):
        names.pop()
    texts = []
    for k, name in enumerate(names):
        texts.append(f"column {k + 1}" if name in (None, "") else str(name))
    check_names(texts, path)
    return texts
