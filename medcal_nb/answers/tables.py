"""Tables in files: CSV, TSV, Parquet, Excel, JSON and JSONL, as they stand there.

Read whole, cells of CSV as texts. Files that unpack to far more than their size, and others that
were made to overwhelm, are refused before they do.
"""

import gzip
import io
import json
import re
import stat
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from medcal_nb.answers.cells import TEXT
from medcal_nb.errors import MedcalError
from medcal_nb.files import PathLike, new_file

MOST_COLUMNS = 10_000
MOST_BYTES = 2 << 30
"""The most that JSON, or a packed file, may unpack to."""
_MOST_TIMES = 100
"""How many times its size a packed file may unpack to; real ones pack to a tenth or less."""
_SMALL = 1 << 20  # bytes that any file may unpack to
_LARGE = 512 << 20  # bytes of text that only a file of their order may hold
_MOST_CELLS = 30_000_000
"""The most cells of a sheet, empty ones between others included."""
_BLOCK = 16 << 20  # bytes of CSV parsed at a time; also the longest row there may be
_POINTER = b"version https://git-lfs.github.com/spec/"
_KINDS = (".csv", ".tsv", ".parquet", ".xlsx", ".jsonl", ".ndjson", ".json")
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_PLAIN_NUMBER = r"[+-]?[\d.]+(?:[eE][+-]?\d+)?"


def kind_of(path: PathLike) -> str:
    """The end of a file's name that says what it holds: ``.csv`` for ``a.csv.gz``."""
    name = Path(path).name.lower().removesuffix(".gz")
    return Path(name).suffix


def require_file(path: PathLike) -> Path:
    """The path of a regular file that is there and holds something."""
    path = Path(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise MedcalError(
                f"{path}: a folder, pipe or device, no regular file; name a file"
            )
        with path.open("rb") as file:
            head = file.read(len(_POINTER))
    except (OSError, ValueError) as error:
        reason = str(getattr(error, "strerror", None) or error).lower()
        raise MedcalError(f"{path}: {reason}; check its name and permissions") from None
    if not head:
        raise MedcalError(f"{path}: the file is empty; nothing to read")
    if head == _POINTER:
        raise MedcalError(
            f"{path}: line 1 points to a file in Git LFS; run `git lfs pull` first"
        )
    return path


def read_table(path: PathLike, sheet: str | None = None) -> pd.DataFrame:
    """A table as it stands in its file.

    Parameters
    ----------
    path : path
        Its name ends in .csv, .tsv, .parquet, .xlsx, .jsonl, .ndjson or .json, all but Parquet and
        Excel also packed (.gz).
    sheet : str, optional
        Which sheet of an Excel file that has several.

    Raises
    ------
    MedcalError
        If the file is missing, damaged, too large or no table.
    """
    path = require_file(path)
    kind = kind_of(path)
    if kind not in _KINDS or (path.suffix == ".gz" and kind in (".parquet", ".xlsx")):
        raise MedcalError(
            f"{path}: cannot tell the format from its name; name it {', '.join(_KINDS)}"
        )
    try:
        if kind in (".csv", ".tsv"):
            table = _read_csv(path)
        elif kind == ".parquet":
            table = _read_parquet(path)
        elif kind == ".xlsx":
            table = table_of(_sheet_rows(path, sheet), path)
        else:
            table = table_of(iter_json(path), path)
    except MedcalError:
        raise
    except Exception as error:  # damaged files raise errors of every kind
        raise damaged(path, kind, error) from None
    if table.empty:
        raise MedcalError(f"{path}: no rows in it; nothing to read")
    return table


def damaged(path: Path, kind: str, error: Exception) -> MedcalError:
    """The error of a file that cannot be taken apart."""
    what = {
        ".parquet": "a Parquet file",
        ".xlsx": "an Excel file",
        ".csv": "a table in UTF-8 with as many cells in every row",
    }
    reason = " ".join(str(error).split())[:160]
    remedy = "mend it"
    if re.search("utf-?8", reason, re.IGNORECASE):  # what spreadsheets may save
        remedy = "save it as 'CSV UTF-8'"
    return MedcalError(
        f"{path}: not {what.get(kind, what['.csv'])}, cut off or damaged ({reason}); {remedy} or "
        "fetch it anew"
    )


def check_names(names: list, path: PathLike) -> None:
    """Refuse a table with two columns of one name, or with more columns than any has."""
    if len(names) > MOST_COLUMNS:
        problem = f"{len(names):,} columns, more than {MOST_COLUMNS:,}"
        raise MedcalError(f"{path}: {problem}; write one row an answer")
    for name, times in Counter(names).items():
        if times > 1:
            raise MedcalError(
                f"{path}: two columns are called '{name}'; rename one of them"
            )
        try:
            str(name).encode()
        except UnicodeError:
            problem = f"the name of column {name!a} cannot be written as Unicode text"
            raise MedcalError(f"{path}: {problem}; rename it") from None


def table_of(rows: Iterable[dict], path: PathLike) -> pd.DataFrame:
    """Rows as a table; columns of one type have it, others hold objects."""
    rows = list(rows)
    names = list(dict.fromkeys(name for row in rows for name in row))
    check_names(names, path)
    columns = {}
    for name in names:
        column = pd.Series([row.get(name) for row in rows], dtype=object)
        kinds = {*map(type, column)} - {type(None)}
        if kinds == {str}:
            try:
                column = column.astype(TEXT)
            except UnicodeError:
                pass  # refused by its row, if it is wanted
        elif len(kinds) == 1 and kinds <= {int, float, bool}:
            column = column.infer_objects() if column.notna().all() else column
            column = column.astype(float) if kinds == {float} else column
        columns[name] = column
    return pd.DataFrame(columns)


# --- CSV and Parquet -----------------------------------------------------------------------------


def _content(path: Path) -> IO[bytes]:
    """A file, unpacked where it is packed."""
    if path.suffix != ".gz":
        return path.open("rb")
    most = min(MOST_BYTES, _MOST_TIMES * path.stat().st_size + _SMALL)
    with gzip.open(path, "rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise MedcalError(
            f"{path}: unpacks to over {_MOST_TIMES} times its size; not read, for safety"
        )
    return io.BytesIO(content)


def _read_csv(path: Path) -> pd.DataFrame:
    with _content(path) as file:
        head = file.readline(1 << 20).decode("latin-1")
        if "\0" in head:
            raise MedcalError(f"{path}: not a text file (UTF-16?); save it as UTF-8")
        mark = "\t" if kind_of(path) == ".tsv" else max(",;\t", key=head.count)
        # one thread names the row in its errors
        reading = pa.csv.ReadOptions(use_threads=False, block_size=_BLOCK)
        parsing = pa.csv.ParseOptions(delimiter=mark, newlines_in_values=True)
        file.seek(0)
        with pa.csv.open_csv(file, reading, parsing) as reader:
            names = reader.schema.names
    check_names(names, path)
    as_text = pa.csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()),
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    with _content(path) as file:
        table = pa.csv.read_csv(file, reading, parsing, as_text)
    for name in names:
        _check_quotes(table[name], mark, len(names), path, name)
    frame = _as_frame(table)
    for name in names:
        escaped = frame[name].str.match("'+[=+\\-@\t\r]").to_numpy(bool, na_value=False)
        if escaped.any():  # how `write_table` writes what a spreadsheet would run
            frame.loc[escaped, name] = frame.loc[escaped, name].str.slice(1)
    return frame


def _check_quotes(
    column: pa.ChunkedArray, mark: str, n_columns: int, path: Path, name: str
) -> None:
    """Refuse a cell in which whole rows stand: a quote that was not closed has swallowed them."""
    has_lines = pc.fill_null(pc.match_substring(column, "\n"), False)
    for row in np.flatnonzero(has_lines.to_numpy()) if n_columns > 2 else ():
        lines = column[int(row)].as_py().splitlines()
        if any(line.count(mark) >= n_columns - 1 for line in lines[1:]):
            raise MedcalError(
                f"{path}: row {row + 1}, column '{name}': whole rows stand in one cell, after a "
                "quote that is not closed; close or remove it"
            )


def _read_parquet(path: Path) -> pd.DataFrame:
    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        check_names(schema.names, path)
        _check_lists(file.metadata, path)
    # texts that repeat stay packed
    packed = [f.name for f in schema if f.type in (pa.string(), pa.large_string())]
    # the labels of a frame's rows say nothing, unless they have a name
    wanted = [name for name in schema.names if not name.startswith("__index_level_")]
    with pq.ParquetFile(path, read_dictionary=packed) as file:
        table = file.read(columns=wanted)
    table.validate(full=True)
    size = sum(_text_bytes(part) for column in table.columns for part in column.chunks)
    if size > max(_LARGE, _MOST_TIMES * path.stat().st_size):
        raise MedcalError(
            f"{path}: {table.num_rows:,} rows unpack to {size:,} bytes of text; not read, for "
            "safety"
        )
    return _as_frame(table)


def _as_frame(table: pa.Table) -> pd.DataFrame:
    """A table of Arrow as one of pandas: texts as texts, decimals as floats."""
    fields = []
    for field in table.schema:
        kind = field.type
        if pa.types.is_dictionary(kind) and pa.types.is_string(kind.value_type):
            kind = pa.string()
        elif pa.types.is_decimal(kind):
            kind = pa.float64()
        fields.append(pa.field(field.name, kind))
    types = {pa.string(): TEXT, pa.large_string(): TEXT}
    table = table.cast(pa.schema(fields))
    return table.to_pandas(ignore_metadata=True, types_mapper=types.get)


def _check_lists(metadata: pq.FileMetaData, path: Path) -> None:
    """Refuse lists that a few bytes make endless: as many values as rows are plain columns."""
    for group in range(metadata.num_row_groups):
        part = metadata.row_group(group)
        for position in range(part.num_columns):
            values = part.column(position).num_values
            if values > _MOST_TIMES * part.num_rows + _SMALL:
                name = part.column(position).path_in_schema
                raise MedcalError(
                    f"{path}: column '{name}' holds {values:,} values in "
                    f"{part.num_rows:,} rows; not read, for safety"
                )


def _text_bytes(column: pa.Array) -> int:
    """How many bytes the texts of a packed column have when they are written out."""
    if not pa.types.is_dictionary(column.type) or not len(column.dictionary):
        return 0
    lengths = pc.binary_length(column.dictionary).to_numpy(zero_copy_only=False)
    return int(lengths[column.indices.drop_null().to_numpy()].sum(dtype=np.int64))


# --- JSON ----------------------------------------------------------------------------------------


def iter_json(path: Path) -> Iterator[dict]:
    """The objects of a JSONL file, or of a JSON file: a list of them, or one."""
    if kind_of(path) == ".json":
        value = read_json(path)
        rows: Iterable = value if isinstance(value, list) else [value]
    else:
        rows = _iter_lines(path)
    for row, value in enumerate(rows, 1):
        if not isinstance(value, dict):
            message = f"{path}: row {row} is not an object but {str(value)[:40]!r}"
            raise MedcalError(
                message + '; write one {"column": value} a line, or a list of them'
            )
        yield value


def read_json(path: Path) -> Any:
    """The value of a JSON file, packed by gzip or not."""
    try:
        with _content(path) as file:
            text = file.read(MOST_BYTES + 1)
        if len(text) > MOST_BYTES:
            raise MedcalError(
                f"{path}: over 2 GB of JSON; write one object a line, as .jsonl"
            )
        return json.loads(text.decode("utf-8-sig"), object_pairs_hook=_object)
    except (ValueError, RecursionError, OSError, EOFError, zlib.error) as error:
        reason = " ".join(str(error).split())[:160]
        raise MedcalError(
            f"{path}: not JSON in UTF-8, cut off or damaged ({reason}); mend it"
        ) from None


def _iter_lines(path: Path) -> Iterator[Any]:
    # split at line feeds only: JSON texts may hold the other marks that Python takes for line ends
    with _content(path) as file:
        for row, line in enumerate(file, 1):
            try:
                if line.strip():
                    text = line.decode("utf-8-sig")
                    yield json.loads(text, object_pairs_hook=_object)
            except (ValueError, RecursionError) as error:
                raise MedcalError(
                    f"{path}: line {row} is not JSON in UTF-8, or cut off ({error}); mend it, or "
                    "name JSON over several lines .json"
                ) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, refused where a name stands in it twice: no value is guessed."""
    values = dict(pairs)
    if len(values) < len(pairs):
        ((name, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"'{name}' stands twice in one object")
    return values


# --- Excel and packed files ----------------------------------------------------------------------


def plain_zip(path: Path) -> zipfile.ZipFile:
    """A zip file anew, not packed, with members as long as they say and no more.

    Its members may lie on their sizes, and readers unpack a member whole.
    """
    copy = tempfile.TemporaryFile()  # noqa: SIM115 (goes with its zip file)
    with zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
        if size > min(MOST_BYTES, _MOST_TIMES * path.stat().st_size + _SMALL):
            raise MedcalError(f"{path}: unpacks to {size:,} bytes; not read, for safety")
        with zipfile.ZipFile(copy, "w") as plain:
            for member in archive.infolist():
                with archive.open(member) as file, plain.open(member.filename, "w") as to:
                    for _ in range(0, member.file_size, _SMALL):
                        to.write(file.read(_SMALL))
    return zipfile.ZipFile(copy)


def _sheet_rows(path: Path, wanted: str | None) -> Iterator[dict]:
    """The rows of a sheet, from its first row on the names of columns; empty rows are left out."""
    from openpyxl import load_workbook

    with plain_zip(path) as archive:
        book = load_workbook(archive.fp, read_only=True, data_only=True)
        sheet = _chosen_sheet(book, path, wanted)
        lines = _bounded(sheet.iter_rows(values_only=True), path)
        names = _sheet_names(next(lines, ()))
        for row, line in enumerate(lines, 1):
            cells = [None if cell == "" else cell for cell in line]
            if any(cell is not None for cell in cells[len(names) :]):
                raise MedcalError(
                    f"{path}: row {row} has a value in a column that has no name in the first "
                    "row; name each column once"
                )
            if any(cell is not None for cell in cells):
                cells += [None] * (len(names) - len(cells))
                check_names(names, path)
                yield dict(zip(names, cells, strict=False))


def _chosen_sheet(book: Any, path: Path, wanted: str | None) -> Any:
    """The sheet that is asked for, else the only one that is shown and holds something."""
    shown = {}
    for sheet in book.worksheets:
        sheet.reset_dimensions()  # what a file declares need not be true
        is_empty = all(cell is None for line in _first(sheet) for cell in line)
        if wanted == sheet.title or (
            wanted is None and sheet.sheet_state == "visible" and not is_empty
        ):
            shown[sheet.title] = sheet
    if len(shown) != 1:
        titles = ", ".join(repr(sheet.title) for sheet in book.worksheets)
        raise MedcalError(
            f"{path}: {len(shown) or 'none'} of its sheets may be meant; name one by --sheet: "
            f"{titles}"
        )
    return next(iter(shown.values()))


def _first(sheet: Any) -> Iterator[tuple]:
    return sheet.iter_rows(max_row=3, max_col=20, values_only=True)


def _bounded(lines: Iterable[tuple], path: Path) -> Iterator[tuple]:
    """The lines of a sheet, as far as a sheet goes and no more cells than a large one has."""
    cells = 0
    for n, line in enumerate(lines):
        cells += len(line)
        if cells > _MOST_CELLS or n >= 1 << 20:
            raise MedcalError(
                f"{path}: more than {_MOST_CELLS:,} cells, empty ones included, or a row beyond "
                "1,048,576, where sheets end; save it as CSV"
            )
        yield line


def _sheet_names(line: tuple) -> list[str]:
    """The names of a sheet's columns; columns at its end without a name are no columns."""
    names = list(line)
    while names and names[-1] in (None, ""):
        names.pop()
    return [
        f"column {k}" if name in (None, "") else str(name)
        for k, name in enumerate(names, 1)
    ]


# --- writing -------------------------------------------------------------------------------------


def without_formulas(table: pd.DataFrame) -> pd.DataFrame:
    """A table whose texts and names no spreadsheet runs as formulas: a ' stands before such.

    Numbers that are written as text stay as they are. `read_table` takes the ' away again.

    Examples
    --------
    >>> without_formulas(pd.DataFrame({"a": ["=1+1", "-2", "b"]}))["a"].tolist()
    ["'=1+1", '-2', 'b']
    """
    table = table.copy(deep=False)
    for name in table.columns[table.dtypes.isin([TEXT, object])]:
        texts = table[name].astype(TEXT)
        risky = texts.str.match(_FORMULA) & ~texts.str.fullmatch(_PLAIN_NUMBER)
        risky = risky.to_numpy(bool, na_value=False)
        if risky.any():
            table[name] = texts.where(~risky, "'" + texts)
    names = [f"'{n}" if _FORMULA.match(str(n)) else n for n in table.columns]
    return table.set_axis(names, axis="columns")


def write_table(
    table: pd.DataFrame,
    to: PathLike,
    *,
    sources: Iterable[PathLike] = (),
    force: bool = False,
) -> None:
    """Write a table to a .csv or .parquet file, whole or not at all, formulas as texts in CSV.

    Parameters
    ----------
    table : DataFrame
    to : path
    sources : iterable of path
        Files it is made from: none of them is replaced.
    force : bool
        Replace a file that is there.
    """
    kind = kind_of(to)
    if kind not in (".csv", ".parquet"):
        raise MedcalError(f"{to}: cannot write such a file; name it .csv or .parquet")
    if kind == ".csv":
        table = without_formulas(table)
    with new_file(to, sources=sources, force=force) as part:
        arrow = pa.Table.from_pandas(table, preserve_index=False)
        if kind == ".csv":
            pa.csv.write_csv(arrow, part)
        else:
            pq.write_table(arrow, part)
