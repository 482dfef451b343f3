"""Tables in files, read and written in bounded memory: Parquet, CSV/TSV, JSONL."""

import gzip
import json
import stat
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from medcal_nb.errors import MedcalError
from medcal_nb.measure.decimals import shortest_decimals

CHUNK = 65_536
BLOCK = 16 << 20  # bytes of CSV parsed at a time; also the longest row there may be
MOST_COLUMNS = 10_000
MOST_BYTES = 2 << 30
"""The most that a JSON or packed file may unpack to."""

_FORMATS = ("parquet", "csv", "tsv", "jsonl", "json")
_POINTER = b"version https://git-lfs.github.com/spec/"


def table_format(path) -> str:
    """ "parquet", "csv", "tsv", "jsonl" or "json", by the end of the file's name."""
    name = Path(path).name.lower()
    found = "json" if name.endswith(".json.gz") else name.rpartition(".")[2]
    if found not in _FORMATS:
        remedy = f"name it .{', .'.join(_FORMATS)}"
        raise MedcalError(f"{path}: cannot tell the format from its name; {remedy}")
    return found


def require_file(path) -> Path:
    """The path of a regular file that is there and holds something."""
    path = Path(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise MedcalError(
                f"{path}: a folder, pipe or device, no regular file; name a file"
            )
        with path.open("rb") as file:
            head = file.read(len(_POINTER))
    except (OSError, ValueError) as err:
        said = str(getattr(err, "strerror", None) or err).lower()
        raise MedcalError(f"{path}: {said}; check its name and permissions") from None
    if not head:
        raise MedcalError(f"{path}: the file is empty; nothing to read")
    if head == _POINTER:
        raise MedcalError(
            f"{path}: line 1 points to a file in Git LFS; run `git lfs pull` first"
        )
    return path


def iter_table(path) -> Iterator[dict[str, list]]:
    """Blocks of at most `CHUNK` rows from a Parquet, CSV, TSV, JSONL or JSON file.

    CSV cells come as strings, or None where empty and not quoted. Damage is a `MedcalError`
    that names file and row.
    """
    path, kind = require_file(path), table_format(path)
    if kind in ("jsonl", "json"):
        yield from blocks_of(iter_json(path), path)
        return
    try:
        for batch in (
            _parquet_batches(path) if kind == "parquet" else _csv_batches(path)
        ):
            batch.validate(full=True)
            if batch.num_rows:
                yield _in_doubles(batch).to_pydict()
    except (pa.ArrowException, OSError, ValueError, TypeError, OverflowError) as err:
        what = "a table in UTF-8 with as many cells in every row"
        raise damaged(
            path, "a Parquet file" if kind == "parquet" else what, err
        ) from err


def _in_doubles(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch whose numbers of 16 and 32 bits are the shortest decimals that are these numbers."""
    for k, column in enumerate(batch.columns):
        if pa.types.is_float32(column.type) or pa.types.is_float16(column.type):
            numbers = shortest_decimals(column.to_numpy(zero_copy_only=False))
            doubles = pa.array(numbers, from_pandas=True)
            batch = batch.set_column(k, batch.schema.names[k], doubles)
    return batch


def blocks_of(rows: Iterable[dict], path) -> Iterator[dict[str, list]]:
    """Blocks of at most `CHUNK` of the rows, with values as they are."""
    rows = iter(rows)
    while block := list(islice(rows, CHUNK)):
        names = list(dict.fromkeys(chain.from_iterable(block)))
        check_names(names, path)
        yield {name: [row.get(name) for row in block] for name in names}


def rows_of(block: dict[str, list]) -> Iterator[dict]:
    """The rows of a block."""
    return (
        dict(zip(block, row, strict=True)) for row in zip(*block.values(), strict=True)
    )


def block_of(frame: pd.DataFrame, where="answers") -> dict[str, list]:
    """A frame as a block."""
    check_names(list(frame.columns), where)
    narrow = frame.select_dtypes(["float16", "float32"])
    frame = frame.assign(**{name: shortest_decimals(narrow[name]) for name in narrow})
    objects = frame.astype(object).where(frame.notna(), None)
    return {name: values.tolist() for name, values in objects.items()}


def check_names(names: list, path) -> None:
    """Refuse a table with two columns of one name, or with more columns than any has."""
    if len(names) > MOST_COLUMNS:
        problem = f"{len(names):,} columns, more than {MOST_COLUMNS:,}"
        raise MedcalError(f"{path}: {problem}; write one row an answer")
    for name, times in Counter(names).items():
        if times > 1:
            raise MedcalError(
                f"{path}: two columns are called '{name}'; rename one of them"
            )


def iter_json(path) -> Iterator[dict]:
    """The objects of a JSONL file, or of a JSON file: a list of them, or one."""
    if table_format(path) == "json":
        value = read_json(path)
        rows = value if isinstance(value, list) else [value]
    else:
        rows = _iter_lines(path)
    for row, value in enumerate(rows, 1):
        if not isinstance(value, dict):
            told = f"{path}: row {row} is not an object but {str(value)[:40]!r}"
            raise MedcalError(
                told + '; write one {"column": value} a line, or a list of them'
            )
        yield value


def read_json(path):
    """The value of a JSON file, packed by gzip or not."""
    path = require_file(path)
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            text = file.read(MOST_BYTES + 1)
        if len(text) > MOST_BYTES:
            raise MedcalError(
                f"{path}: over 2 GB of JSON; write one object a line, as .jsonl"
            )
        return json.loads(text.decode("utf-8-sig"))
    except (ValueError, RecursionError, OSError, EOFError, zlib.error) as err:
        raise damaged(path, "JSON in UTF-8", err) from None


def damaged(path, what, err) -> MedcalError:
    """A file that cannot be taken apart."""
    said = " ".join(str(err).split())[:160]
    return MedcalError(
        f"{path}: not {what}, cut off or damaged ({said}); mend it or fetch it anew"
    )


def _parquet_batches(path):
    with pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        check_names(names, path)
        # the labels of a frame's rows say nothing, unless they have a name
        wanted = [name for name in names if not name.startswith("__index_level_")]
        yield from file.iter_batches(batch_size=CHUNK, columns=wanted)


def _csv_batches(path):
    with path.open("rb") as file:
        head = file.readline(1 << 20).decode("latin-1")
    if "\0" in head:
        raise MedcalError(f"{path}: not a text file (UTF-16?); save it as UTF-8")
    mark = "," if "," in head else max(",;\t", key=head.count)
    mark = "\t" if table_format(path) == "tsv" else mark
    # one thread names the row in its errors, and SQLite is slower than it
    reading = pc.ReadOptions(use_threads=False, block_size=BLOCK)
    parsing = pc.ParseOptions(delimiter=mark, newlines_in_values=True)
    with pc.open_csv(path, reading, parsing) as reader:
        names = reader.schema.names
    check_names(names, path)
    as_text = pc.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
    as_text.null_values = [""]
    as_text.strings_can_be_null = True
    as_text.quoted_strings_can_be_null = False
    with pc.open_csv(path, reading, parsing, as_text) as reader:
        for batch in reader:
            yield from (
                batch.slice(at, CHUNK) for at in range(0, batch.num_rows, CHUNK)
            )


def _iter_lines(path):
    # split at line feeds only: JSON texts may hold the other marks that Python takes for line ends
    with require_file(path).open("rb") as file:
        for row, line in enumerate(file, 1):
            try:
                if line.strip():
                    yield json.loads(line.decode("utf-8-sig"))
            except (ValueError, RecursionError) as err:
                told = f"{path}: line {row} is not JSON in UTF-8, or cut off ({err}); mend it"
                raise MedcalError(
                    f"{told}, or name JSON over several lines .json"
                ) from None
