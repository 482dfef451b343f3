"""Tables in files, read and written in bounded memory: Parquet, CSV/TSV, JSONL."""

import codecs
import contextlib
import csv
import gzip
import json
import re
import stat
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd

from medcal_nb.answers.columns import block_of, encode_json
from medcal_nb.errors import MedcalError

CHUNK = 65_536
BLOCK = 16 << 20  # bytes of CSV parsed at a time; also the longest row there may be
MOST_COLUMNS = 10_000
MOST_BYTES = 2 << 30
"""The most that a JSON or packed file may unpack to."""

_FORMATS = {name: name for name in ("parquet", "csv", "tsv", "jsonl", "json")}
_FORMATS |= {"pq": "parquet", "ndjson": "jsonl"}
_POINTER = b"version https://git-lfs.github.com/spec/"
_INDEX_COLUMN = re.compile(r"__index_level_\d+__")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def table_format(path) -> str:
    """ "parquet", "csv", "tsv", "jsonl" or "json", by the end of the file's name."""
    suffixes = [suffix.lower().lstrip(".") for suffix in Path(path).suffixes]
    found = "json" if suffixes[-2:] == ["json", "gz"] else _FORMATS.get((suffixes or [""])[-1])
    if found is None:
        raise MedcalError(
            f"{path}: cannot tell the format from its name; "
            "name it .parquet, .csv, .tsv, .jsonl or .json"
        )
    return found


def require_file(path) -> Path:
    """The path of a regular file that is there and holds something."""
    path = Path(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise MedcalError(f"{path}: a folder, pipe or device, no regular file; name a file")
        with path.open("rb") as file:
            head = file.read(len(_POINTER))
    except FileNotFoundError:
        raise MedcalError(
            f"{path}: no such file; check the name (`medcal import` and `medcal ask` make logs)"
        ) from None
    except (OSError, ValueError) as err:
        said = getattr(err, "strerror", None) or err
        raise MedcalError(f"{path}: cannot be read ({said}); check name and permissions") from None
    if not head:
        raise MedcalError(f"{path}: the file is empty; nothing to read")
    if head == _POINTER:
        raise MedcalError(
            f"{path}: line 1 says that it only points to a file kept by Git LFS; "
            "run `git lfs pull` and import the file itself"
        )
    return path


def iter_table(path) -> Iterator[dict[str, list]]:
    """Blocks of at most `CHUNK` rows from a Parquet, CSV, TSV, JSONL or JSON file.

    CSV cells come as strings, or None where empty and not quoted. Damage is a `MedcalError`
    that names file and row.
    """
    path = require_file(path)
    if table_format(path) in ("jsonl", "json"):
        blocks = blocks_of((row for _, row in iter_json(path)), path)
    else:
        blocks = _iter_arrow(path)
    found = False
    for block in blocks:
        found = True
        yield block
    if not found:
        raise MedcalError(f"{path}: no rows; nothing to read")


def blocks_of(rows: Iterable[dict], path) -> Iterator[dict[str, list]]:
    """Blocks of at most `CHUNK` of the rows, with values as they are."""
    block: list[dict] = []
    names: dict = {}
    for row in rows:
        block.append(row)
        if len(names) + len(row) > MOST_COLUMNS:
            check_names(list(names | row), path)
        names.update(dict.fromkeys(row))
        if len(block) >= CHUNK:
            yield {name: [row.get(name) for row in block] for name in names}
            block, names = [], {}
    if block:
        yield {name: [row.get(name) for row in block] for name in names}


def rows_of(block: dict[str, list]) -> Iterator[dict]:
    """The rows of a block."""
    return (dict(zip(block, row, strict=True)) for row in zip(*block.values(), strict=True))


def check_names(names: list, path) -> None:
    """Refuse a table with two columns of one name, or with more columns than any has."""
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise MedcalError(f"{path}: two columns are called '{name}'; rename one of them")
    if len(names) > MOST_COLUMNS:
        raise MedcalError(
            f"{path}: {len(names):,} columns, more than {MOST_COLUMNS:,}; "
            "write one row an answer, or drop what is not needed"
        )


def iter_json(path) -> Iterator[tuple[int, dict]]:
    """(row, object) of a JSONL file, or of a JSON file that holds a list of objects."""
    if table_format(path) == "json":
        value = read_json(path)
        if not isinstance(value, list):
            raise MedcalError(f"{path}: not a list of objects; convert it to JSONL, one row a line")
        rows = enumerate(value, 1)
    else:
        rows = _iter_lines(require_file(path))
    for row, value in rows:
        if not isinstance(value, dict):
            raise MedcalError(
                f"{path}: row {row} is not an object but {str(value)[:40]!r}; "
                'write one {"column": value} a line'
            )
        yield row, value


def read_json(path):
    """The value of a JSON file, packed by gzip or not."""
    path = require_file(path)
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            text = file.read(MOST_BYTES + 1)
        if len(text) > MOST_BYTES:
            raise MedcalError(f"{path}: over 2 GB of JSON; write one object a line, as .jsonl")
        return json.loads(text.decode("utf-8-sig"))
    except UnicodeDecodeError as err:
        raise _not_utf8(path, f"byte {err.start}") from None
    except (ValueError, RecursionError, OSError, EOFError, zlib.error) as err:
        raise damaged(path, "JSON", err) from None


def damaged(path, what, err) -> MedcalError:
    """A file that cannot be taken apart."""
    return MedcalError(f"{path}: not {what}, cut off or damaged ({_brief(err)}); fetch it anew")


def write_table(frames: Iterable[pd.DataFrame], part, kind: str, types: dict, safe: bool) -> int:
    """Write frames as one file; the number of rows.

    `types` gives every column's type: "string", "float64", "int64", "bool" or "json". Equal
    frames give equal bytes. `safe` puts a quote before cells that a spreadsheet takes for a
    formula.
    """
    n = 0
    with (_jsonl_writer if kind == "jsonl" else _arrow_writer)(part, kind, types, safe) as write:
        for frame in frames:
            write(block_of(frame))
            n += len(frame)
    return n


@contextlib.contextmanager
def _jsonl_writer(part, kind, types, safe):
    with part.open("w", encoding="utf-8", newline="\n") as file:

        def write(block):
            file.writelines(encode_json(row) + "\n" for row in rows_of(block))

        yield write


@contextlib.contextmanager
def _arrow_writer(part, kind, types, safe):
    import pyarrow as pa
    import pyarrow.csv as pc
    import pyarrow.parquet as pq

    arrow = {name: pa.type_for_alias("string" if t == "json" else t) for name, t in types.items()}
    schema = pa.schema(arrow)

    def write(block):
        for name, values in block.items():
            if types[name] == "json":
                values = [v if v is None or type(v) is str else encode_json(v) for v in values]
            if safe and arrow[name] == pa.string():
                values = [f"'{v}" if v and v.startswith(_FORMULA) else v for v in values]
            block[name] = pa.array(values, arrow[name])
        writer.write_table(pa.table(block, schema=schema))

    if kind == "parquet":
        writer = pq.ParquetWriter(part, schema, compression="zstd")
    else:
        options = pc.WriteOptions(delimiter="\t" if kind == "tsv" else ",")
        writer = pc.CSVWriter(part, schema, write_options=options)
    with writer:
        yield write


def _iter_arrow(path):
    import pyarrow as pa

    parquet = table_format(path) == "parquet"
    try:
        for batch in _parquet_batches(path) if parquet else _csv_batches(path):
            batch.validate(full=True)
            if batch.num_rows:
                yield batch.to_pydict()
    except (pa.ArrowException, OSError, ValueError, TypeError, OverflowError) as err:
        if parquet:
            raise damaged(path, "a Parquet file", err) from err
        _check_utf8(path)
        raise MedcalError(
            f"{path}: not a regular table, or cut off ({_brief(err)}); "
            "every row needs the same number of cells"
        ) from err


def _parquet_batches(path):
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        check_names(names, path)
        # the labels of a frame's rows say nothing, unless they have a name
        wanted = [n for n in names if not _INDEX_COLUMN.fullmatch(n)]
        yield from file.iter_batches(batch_size=CHUNK, columns=wanted)


def _csv_batches(path):
    import pyarrow as pa
    import pyarrow.csv as pc

    names, delimiter = csv_header(path)
    options = {
        "read_options": pc.ReadOptions(block_size=BLOCK),
        "parse_options": pc.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        "convert_options": pc.ConvertOptions(
            column_types={n: pa.string() for n in names},
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    }
    with pc.open_csv(path, **options) as reader:
        for batch in reader:
            for at in range(0, batch.num_rows, CHUNK):
                yield batch.slice(at, CHUNK)


def csv_header(path) -> tuple[list[str], str]:
    """Column names and the mark between cells."""
    with Path(path).open("rb") as file:
        head = file.readline(1 << 20)
    if b"\0" in head:
        raise MedcalError(f"{path}: not a text file (UTF-16?); save it as UTF-8")
    try:
        line = head.decode("utf-8-sig").rstrip("\r\n").split("\r")[0]
    except UnicodeDecodeError as err:
        raise _not_utf8(path, f"byte {err.start}") from None
    delimiter = "," if "," in line else max(",;\t", key=line.count)
    delimiter = "\t" if table_format(path) == "tsv" else delimiter
    try:
        names = next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error as err:
        raise MedcalError(f"{path}: the header cannot be read ({err})") from None
    if not any(name.strip() for name in names):
        raise MedcalError(f"{path}: the first line names no columns; add a header")
    check_names(names, path)
    return names, delimiter


def _iter_lines(path):
    # split at line feeds only: JSON texts may hold the other marks that Python takes for line ends
    with path.open("rb") as file:
        for row, line in enumerate(file, 1):
            if row == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            if not line.strip():
                continue
            try:
                yield row, json.loads(line)
            except UnicodeDecodeError:
                said = f"{path}: row {row} is not UTF-8; save the file as UTF-8"
                raise MedcalError(said) from None
            except (ValueError, RecursionError) as err:
                if row == 1 and line.strip() in (b"{", b"[", b"[{"):
                    raise MedcalError(
                        f"{path}: line 1 opens an object that goes on over several lines (JSON set "
                        "out for reading); name it .json, or write one object a line"
                    ) from None
                what = "cut off" if not line.endswith(b"\n") else "not JSON"
                raise MedcalError(
                    f"{path}: row {row} is {what} ({_brief(err)}); mend or drop the line"
                ) from None


def _check_utf8(path):
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode()
            except UnicodeDecodeError:
                raise _not_utf8(path, f"line {number}") from None


def _not_utf8(path, place):
    return MedcalError(f"{path}: not UTF-8 at {place}; save the file as UTF-8")


def _brief(err):
    text = " ".join(str(err).split()) or type(err).__name__
    return text if len(text) <= 160 else text[:157] + "..."
