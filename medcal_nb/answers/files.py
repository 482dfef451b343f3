"""Tables in files, read and written in bounded memory: Parquet, CSV/TSV, JSONL."""

import codecs
import gzip
import json
import re
import stat
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path

import pandas as pd

from medcal_nb.answers.columns import encode_json
from medcal_nb.errors import MedcalError

CHUNK = 65_536
BLOCK = 16 << 20  # bytes of CSV parsed at a time; also the longest row there may be
MOST_COLUMNS = 10_000
MOST_BYTES = 2 << 30
"""The most that a JSON or packed file may unpack to."""

_FORMATS = ("parquet", "csv", "tsv", "jsonl", "json")
_POINTER = b"version https://git-lfs.github.com/spec/"
_INDEX_COLUMN = re.compile(r"__index_level_\d+__")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def table_format(path) -> str:
    """ "parquet", "csv", "tsv", "jsonl" or "json", by the end of the file's name."""
    name = Path(path).name.lower()
    found = "json" if name.endswith(".json.gz") else name.rpartition(".")[2]
    if found not in _FORMATS:
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
    except (OSError, ValueError) as err:
        said = str(getattr(err, "strerror", None) or err).lower()
        raise MedcalError(f"{path}: {said}; check its name and permissions") from None
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
    import pyarrow as pa

    path, kind = require_file(path), table_format(path)
    if kind in ("jsonl", "json"):
        yield from blocks_of((row for _, row in iter_json(path)), path)
        return
    try:
        for batch in _parquet_batches(path) if kind == "parquet" else _csv_batches(path):
            batch.validate(full=True)
            if batch.num_rows:
                yield batch.to_pydict()
    except (pa.ArrowException, OSError, ValueError, TypeError, OverflowError) as err:
        what = "a table in UTF-8 with as many cells in every row"
        raise damaged(path, "a Parquet file" if kind == "parquet" else what, err) from err


def blocks_of(rows: Iterable[dict], path) -> Iterator[dict[str, list]]:
    """Blocks of at most `CHUNK` of the rows, with values as they are."""
    rows = iter(rows)
    while block := list(islice(rows, CHUNK)):
        names = list(dict.fromkeys(chain.from_iterable(block)))
        check_names(names, path)
        yield {name: [row.get(name) for row in block] for name in names}


def rows_of(block: dict[str, list]) -> Iterator[dict]:
    """The rows of a block."""
    return (dict(zip(block, row, strict=True)) for row in zip(*block.values(), strict=True))


def block_of(frame: pd.DataFrame, where="answers") -> dict[str, list]:
    """A frame as a block."""
    check_names(list(frame.columns), where)
    objects = frame.astype(object).where(frame.notna(), None)
    return {name: values.tolist() for name, values in objects.items()}


def check_names(names: list, path) -> None:
    """Refuse a table with two columns of one name, or with more columns than any has."""
    if len(names) > MOST_COLUMNS:
        raise MedcalError(
            f"{path}: {len(names):,} columns, more than {MOST_COLUMNS:,}; "
            "write one row an answer, or drop what is not needed"
        )
    for name, times in Counter(names).items():
        if times > 1:
            raise MedcalError(f"{path}: two columns are called '{name}'; rename one of them")


def iter_json(path) -> Iterator[tuple[int, dict]]:
    """(row, object) of a JSONL file, or of a JSON file: a list of objects, or one."""
    if table_format(path) == "json":
        value = read_json(path)
        rows = enumerate(value if isinstance(value, list) else [value], 1)
    else:
        rows = _iter_lines(path)
    for row, value in rows:
        if not isinstance(value, dict):
            raise MedcalError(
                f"{path}: row {row} is not an object but {str(value)[:40]!r}; "
                'write one {"column": value} a line, or a list of them as .json'
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
    except (ValueError, RecursionError, OSError, EOFError, zlib.error) as err:
        raise damaged(path, "JSON in UTF-8", err) from None


def damaged(path, what, err) -> MedcalError:
    """A file that cannot be taken apart."""
    said = f"not {what}, cut off or damaged ({_brief(err)})"
    return MedcalError(f"{path}: {said}; mend it or fetch it anew")


def write_table(frames: Iterable[pd.DataFrame], part, kind: str, types: dict, safe: bool) -> int:
    """Write frames as one file; the number of rows.

    `types` gives every column's type: "string", "float64", "int64", "bool" or "json". Equal
    frames give equal bytes. `safe` puts a quote before cells that a spreadsheet takes for a
    formula.
    """
    import pyarrow as pa
    import pyarrow.csv as pc
    import pyarrow.parquet as pq

    n = 0
    schema = pa.schema({name: "string" if t == "json" else t for name, t in types.items()})
    writer = pq.ParquetWriter if kind == "parquet" else pc.CSVWriter
    with writer(part, schema) as file:
        for frame in frames:
            n += len(frame)
            block = block_of(frame)
            for name, values in block.items():
                if types[name] == "json":
                    values = [v if v is None or type(v) is str else encode_json(v) for v in values]
                if safe and types[name] in ("json", "string"):
                    values = [f"'{v}" if v and v.startswith(_FORMULA) else v for v in values]
                block[name] = values
            file.write_table(pa.table(block, schema))
    return n


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

    with path.open("rb") as file:
        head = file.readline(1 << 20).decode("latin-1")
    if "\0" in head:
        raise MedcalError(f"{path}: not a text file (UTF-16?); save it as UTF-8")
    if not head.strip(" ,;\t\r\n"):
        raise MedcalError(f"{path}: the first line names no columns; add a header")
    mark = "," if "," in head else max(",;\t", key=head.count)
    mark = "\t" if table_format(path) == "tsv" else mark
    # one thread names the row in its errors, and SQLite is slower than it
    reading = pc.ReadOptions(use_threads=False, block_size=BLOCK)
    parsing = pc.ParseOptions(delimiter=mark, newlines_in_values=True)
    with pc.open_csv(path, reading, parsing) as reader:
        names = reader.schema.names
    check_names(names, path)
    as_text = pc.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
    as_text.null_values, as_text.strings_can_be_null = [""], True
    as_text.quoted_strings_can_be_null = False
    with pc.open_csv(path, reading, parsing, as_text) as reader:
        for batch in reader:
            yield from (batch.slice(at, CHUNK) for at in range(0, batch.num_rows, CHUNK))


def _iter_lines(path):
    # split at line feeds only: JSON texts may hold the other marks that Python takes for line ends
    with require_file(path).open("rb") as file:
        for row, line in enumerate(file, 1):
            line = line.removeprefix(codecs.BOM_UTF8) if row == 1 else line
            if not line.strip():
                continue
            try:
                yield row, json.loads(line.decode())
            except (ValueError, RecursionError) as err:
                raise MedcalError(
                    f"{path}: row {row} is not JSON in UTF-8, cut off, or goes on over several "
                    f"lines ({_brief(err)}); mend or drop the line, or name the file .json"
                ) from None


def _brief(err):
    text = " ".join(str(err).split()) or type(err).__name__
    return text if len(text) <= 160 else text[:157] + "..."
