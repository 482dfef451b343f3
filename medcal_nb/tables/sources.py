"""Tables in files: CSV, TSV, Parquet, Excel, JSON and JSONL, as they stand there.

Read whole, cells of CSV as texts. Files that unpack to far more than their size, and others that
were made to overwhelm, are refused before they do.
"""

import codecs
import contextlib
import csv
import itertools
import json
import re
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from medcal_nb.errors import MedcalError
from medcal_nb.files import PathLike, require_file
from medcal_nb.tables.columns import TEXT, of_file, refuse

#: How many times its size a packed file may unpack to; real ones pack to a tenth or less.
_MOST_TIMES = 100
_SMALL = 1 << 20  # bytes, or values, that any file may unpack to
_LARGE = 512 << 20  # bytes of text that only a file of their order may hold
_MOST_CELLS = 30_000_000  # of a sheet, empty ones between others included
_TOO_LARGE = "unpacks to far more than its size; not read, for safety"
_BLOCK = 16 << 20  # bytes of CSV parsed at a time; also the longest row there may be
#: A row of a sheet that a filter, or a person, hides.
_HIDDEN = re.compile(rb"""<(?:\w+:)?row\b[^>]*\bhidden=["'](?:1|true)["']""")
#: What a spreadsheet runs, the ' before it included, and what only begins so.
FORMULA = r"'*[=+\-@\t\r]"
_OF_WINDOWS = (
    "not in UTF-8: letters are read as Windows' Western European ones; where accents are wrong, "
    "save it as 'CSV UTF-8'"
)
#: A letter of two or three bytes.
_OF_UTF_8 = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}")


def read_source(path: PathLike, *, encoding: str | None = None) -> Any:
    """What stands in a file: a table, or the objects of JSON.

    Parameters
    ----------
    path : path
        Its name ends in .csv, .tsv, .jsonl, .json, .parquet, .xlsx or .eval (a packed log of
        Inspect).
    encoding : str
        Of CSV and TSV; if None UTF-8, or "cp1252" where the letters are plainly Windows'.

    Returns
    -------
    DataFrame or list of dict
        Of JSON the objects, one where the file is one. ``attrs["unseen"]`` of a table has
        sentences on what its user may not know.

    Raises
    ------
    MedcalError
        If the file is missing, damaged, too large or of another kind.
    """
    with of_file(path):
        file = require_file(path)
        is_open = encoding is None
        encoding = encoding or letters_of(file)
        read = _READ.get(file.suffix.lower())
        if read is None:
            names = ", ".join(_READ)
            raise MedcalError(f"cannot tell the format from its name; read are {names}")
        try:
            rows = read(file, encoding) if read is _read_csv else read(file)
        except MedcalError:
            raise
        except Exception as error:  # damaged files raise errors of every kind
            reason = _reason(error)
            what = "as its name says"
            if read is _read_csv and encoding_of(file) != encoding:
                raise MedcalError(
                    "not in UTF-8, accents would be misread; in Excel save it as 'CSV UTF-8', or "
                    "as .xlsx"
                ) from None
            if read is _read_csv:
                what = "a table with as many cells in every row"
            raise MedcalError(
                f"not {what}, cut off or damaged ({reason}); mend it or fetch it anew"
            ) from None
        if not len(rows):
            raise MedcalError("no rows in it; nothing to read")
    if is_open and encoding != "utf-8":
        rows.attrs.setdefault("unseen", []).append(_OF_WINDOWS)
    return rows


def _reason(error: Exception) -> str:
    """What an error says, in one short line."""
    return " ".join(str(error).split())[:160]


def table_of(rows: Iterable[dict]) -> pd.DataFrame:
    """Rows as a table; columns of texts are such, others hold objects where their types differ."""
    rows = list(rows)
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {}
    for name in names:
        column = pd.Series([row.get(name) for row in rows], dtype=object)
        # refused by its row, if it is wanted
        with contextlib.suppress(UnicodeError, OverflowError):
            column = column.infer_objects()
        columns[name] = column
    return pd.DataFrame(columns)


def _check_names(names: list) -> None:
    """Refuse a table with two columns of one name."""
    twice = [name for name, n in Counter(names).items() if n > 1]
    if twice:
        raise MedcalError(f"two columns are called '{twice[0]}'; rename one of them")


# --- CSV and Parquet -----------------------------------------------------------------------------


def _read_csv(path: Path, encoding: str) -> pd.DataFrame:
    mark, names = _header(path, encoding)
    table = pa.csv.read_csv(
        path,
        # one thread names the row in its errors
        pa.csv.ReadOptions(use_threads=False, block_size=_BLOCK, encoding=encoding),
        pa.csv.ParseOptions(delimiter=mark, newlines_in_values=True),
        pa.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    frame = _as_frame(table)
    for place, name in enumerate(frame):
        cells = frame[name]
        has_lines = cells.str.contains("\n", regex=False, na=False)
        if has_lines.any():
            _refuse_rows(cells.where(has_lines, ""), mark, place, len(names))
    return without_guards(frame)


def without_guards(table: pd.DataFrame) -> pd.DataFrame:
    """A table of texts without the ' that `without_formulas` writes."""
    guard = f"^'({FORMULA})"
    plain = table.apply(lambda cells: cells.str.replace(guard, r"\1", regex=True))
    return plain.rename(columns=lambda name: re.sub(guard, r"\1", name))


def _refuse_rows(cells: pd.Series, mark: str, place: int, n_names: int) -> None:
    """Refuse cells that hold whole rows: lines of a text are not that even."""
    n_marks = max(2, n_names - 1)

    def holds_rows(cell: str) -> bool:
        marks = [line.count(mark) for line in cell.split("\n")]
        return {*marks[1:-1]} == {n_marks} and marks[0] == max(0, n_marks - place)

    has_rows = cells.map(holds_rows)
    problem = "holds whole rows, after a quote that is not closed"
    refuse(str(cells.name), cells, has_rows, problem, "close or remove it")


def _header(path: Path, encoding: str = "utf-8") -> tuple[str, list[str]]:
    """What stands between the cells of a table of text, and the names in its first row."""
    encoding = "utf-8-sig" if encoding == "utf-8" else encoding
    with path.open(encoding=encoding, errors="replace", newline="") as file:
        line = next(filter(str.strip, iter(lambda: file.readline(_BLOCK), "")), "")
        mark = max(",;\t", key=line.count)
        if mark not in line and "|" in line:
            raise MedcalError(
                "cells between '|'; save it with commas, semicolons or tabs between them"
            )
        csv.field_size_limit(_BLOCK)  # a reply may be long
        # a name in quotation marks may go over lines
        rows = csv.reader(itertools.chain([line], file), delimiter=mark)
        names = next(rows, [])
        _check_title(names, next(rows, []))
    _check_names(names)
    return mark, names


def encoding_of(path: Path) -> str:
    """How the letters of a CSV file are kept: as UTF-8, or as Excel keeps them elsewhere."""
    if begin_of(path).startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        try:
            while block := file.read(1 << 20):
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "cp1252"
    return "utf-8"


def letters_of(path: Path) -> str:
    """The encoding to read a table's letters in: "cp1252" where they are plainly Windows'.

    Western European spreadsheets save so. Not where any letter is one of UTF-8, which is damaged
    then, nor where most letters are accented, which are those of another script: "utf-8", by which
    both are refused.
    """
    if path.suffix.lower() not in (".csv", ".tsv") or encoding_of(path) != "cp1252":
        return "utf-8"
    text = path.read_bytes()
    try:
        text.decode("cp1252")
    except UnicodeDecodeError:
        return "utf-8"
    n_accented, n_plain = (
        len(re.findall(one, text)) for one in (rb"[\x80-\xff]", rb"[A-Za-z]")
    )
    is_western = not _OF_UTF_8.search(text) and n_accented < n_plain
    return "cp1252" if is_western else "utf-8"


def begin_of(path: Path) -> bytes:
    """Its first four bytes, which may say how letters are kept."""
    with path.open("rb") as file:
        return file.read(4)


def mark_of(path: Path, encoding: str = "utf-8") -> str:
    """What stands between the cells of a table of text: a comma, a semicolon or a tab."""
    return _header(path, encoding)[0]


def _check_title(names: Sequence[Any], second: Sequence[Any]) -> None:
    """Refuse a first row that is the title of a table and not its names."""
    n_names = sum(name not in (None, "") for name in names)
    n_cells = sum(cell not in (None, "") for cell in second)
    if n_names < 2 <= n_cells:
        raise MedcalError(
            "a title stands in the first row, it seems, and not the names of columns; remove what "
            "stands above these"
        )


def _read_parquet(path: Path) -> pd.DataFrame:
    file = pq.ParquetFile(path)
    schema = file.schema_arrow
    _check_names(schema.names)
    most = max(_MOST_CELLS, _MOST_TIMES * path.stat().st_size)
    if file.metadata.num_rows * len(schema.names) > most:
        raise MedcalError(_TOO_LARGE)
    # lists may hold endless values in a few bytes
    about = file.metadata
    most = _MOST_TIMES * about.num_rows + _SMALL
    for n in range(about.num_row_groups):
        group = about.row_group(n)
        for place in range(group.num_columns):
            if group.column(place).num_values > most:
                raise MedcalError(_TOO_LARGE)
    # texts that repeat stay packed
    packed = [field.name for field in schema if pa.types.is_string(field.type)]
    # the labels of a frame's rows say nothing, unless they have a name
    wanted = [name for name in schema.names if not name.startswith("__index_level_")]
    table = pq.ParquetFile(path, read_dictionary=packed).read(columns=wanted)
    table.validate(full=True)
    chunks = itertools.chain.from_iterable(column.chunks for column in table.columns)
    size = sum(map(_text_bytes, chunks))
    if size > max(_LARGE, _MOST_TIMES * path.stat().st_size):
        raise MedcalError(_TOO_LARGE)
    return _as_frame(table)


def _text_bytes(column: pa.Array) -> int:
    """How many bytes the texts of a packed column have when they are written out."""
    if not pa.types.is_dictionary(column.type):
        return 0
    lengths = pc.binary_length(column.dictionary)
    return pc.sum(lengths.take(column.indices)).as_py() or 0


def _as_frame(table: pa.Table) -> pd.DataFrame:
    """A table of Arrow as one of pandas: texts as texts."""
    fields = []
    for field in table.schema:
        kind = field.type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        fields.append(field.with_type(kind))
    types = {pa.string(): TEXT, pa.large_string(): TEXT}
    table = table.cast(pa.schema(fields))
    return table.to_pandas(ignore_metadata=True, types_mapper=types.get)


# --- JSON ----------------------------------------------------------------------------------------


def _read_json(path: Path) -> list[dict]:
    """The objects of a JSONL file, of a list of them, or one."""
    if path.suffix.lower() == ".json":
        value = _parsed(path.read_bytes())
        rows = value if isinstance(value, list) else [value]
    else:
        rows = []
        # split at line feeds only: JSON may hold other marks that Python takes for line ends
        for n, line in enumerate(path.open("rb"), 1):
            if line.strip():
                rows.append(_parsed(line, f"line {n} is "))
    for row, value in enumerate(rows, 1):
        if not isinstance(value, dict):
            raise MedcalError(
                f"row {row} is not an object but {str(value)[:40]!r}; write one "
                '{"column": value} a line, or a list of them'
            )
    return rows


def _read_packed(path: Path) -> list[dict]:
    """A packed log of Inspect as its JSON would be."""
    with _plain_zip(path) as archive:
        samples = []
        for name in archive.namelist():
            if name.startswith("samples/"):
                samples.append(_parsed(archive.read(name)))
        about = _parsed(archive.read("header.json"))
    return [about | {"samples": samples}]


def _parsed(text: bytes, where: str = "") -> Any:
    try:
        return json.loads(text.decode("utf-8-sig"), object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise MedcalError(
            f"{where}not JSON in UTF-8, cut off or damaged ({_reason(error)}); mend it, or name "
            "JSON over several lines .json"
        ) from None


def _object(pairs: list[tuple[str, Any]]) -> dict:
    """An object of JSON: of a key that stands twice, JSON does not say which counts."""
    value = dict(pairs)
    if len(value) < len(pairs):
        ((name, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise MedcalError(f"an object has two members '{name}'; leave one")
    return value


# --- Excel and packed files ----------------------------------------------------------------------


@contextlib.contextmanager
def _plain_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """A zip file anew, not packed, with members as long as they say and no more.

    Its members may lie on their sizes, and readers unpack a member whole.
    """
    with tempfile.TemporaryFile() as copy:
        with zipfile.ZipFile(path) as archive, zipfile.ZipFile(copy, "w") as plain:
            members = archive.infolist()
            size = sum(member.file_size for member in members)
            if size > _MOST_TIMES * path.stat().st_size + _SMALL:
                raise MedcalError(_TOO_LARGE)
            for member in members:
                with (
                    archive.open(member) as file,
                    plain.open(member.filename, "w") as to,
                ):
                    for _ in range(0, member.file_size, _SMALL):
                        to.write(file.read(_SMALL))
        with zipfile.ZipFile(copy) as plain:
            yield plain


def _read_sheet(path: Path) -> pd.DataFrame:
    """The one sheet as a table, its first row the names of columns; empty rows are left out."""
    from openpyxl import load_workbook

    with _plain_zip(path) as archive:
        book = load_workbook(archive.fp, read_only=True, data_only=True)
        if len(book.worksheets) != 1:
            raise MedcalError(
                f"has {len(book.worksheets)} sheets, hidden ones included; save the one that "
                "holds the answers as a file of its own, or as CSV"
            )
        (sheet,) = book.worksheets
        sheet.reset_dimensions()  # what a file declares need not be true
        n_hidden = 0
        for member in archive.namelist():
            if re.fullmatch(r"xl/worksheets/[^/]+\.xml", member):
                n_hidden += len(_HIDDEN.findall(archive.read(member)))
        lines = _lines(sheet)
        names = next(lines, [])
        while names and names[-1] is None:
            names.pop()
        rows: list[dict] = []
        for line in lines:
            if not rows:
                _check_title(names, line)
            if any(cell is not None for cell in line[len(names) :]) or None in names:
                raise MedcalError(
                    f"row {len(rows) + 1} has a value in a column that has no name in the "
                    "first row; name each column once"
                )
            rows.append(dict(zip(map(str, names), line, strict=False)))
    _check_names(names)
    table = table_of(rows)
    if n_hidden:
        table.attrs["unseen"] = [f"{n_hidden:,} hidden rows of the sheet are read, too"]
    return table


def _lines(sheet: Any) -> Iterator[list]:
    """The lines of a sheet that hold something, no further than the cells of a large one."""
    cells = 0
    for n, line in enumerate(sheet.iter_rows(values_only=True)):
        cells += len(line)
        if cells > _MOST_CELLS or n >= 1 << 20:
            raise MedcalError(
                f"more than {_MOST_CELLS:,} cells, empty ones included, or a row beyond "
                "1,048,576, where sheets end; save it as CSV"
            )
        if any(cell is not None for cell in line):
            yield [*line]


_READ: dict[str, Callable] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".parquet": _read_parquet,
    ".xlsx": _read_sheet,
    ".jsonl": _read_json,
    ".json": _read_json,
    ".eval": _read_packed,
}
