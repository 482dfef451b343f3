"""Tables in files, read and written in bounded memory: Parquet, CSV/TSV, JSONL."""

import gzip
import json
import re
import stat
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv as pc
import pyarrow.parquet as pq

from medcal_nb.errors import MedcalError
from medcal_nb.files import PathLike
from medcal_nb.measure.decimals import shortest_decimals

CHUNK = 65_536
BLOCK = 16 << 20  # bytes of CSV parsed at a time; also the longest row there may be
MOST_COLUMNS = 10_000
MOST_BYTES = 2 << 30
"""The most that a JSON or packed file may unpack to."""
_MOST_TIMES = 100
"""How many times its size a packed file may unpack to; real logs pack to a tenth or less."""
_SMALL = 1 << 20  # bytes that any file may unpack to
_SHORT = 256  # bytes of a row that many may be read of together
_LARGE = (
    512 << 20
)  # bytes of text in one batch that only a file of their order may hold

_FORMATS = ("parquet", "csv", "tsv", "jsonl", "json")
_POINTER = b"version https://git-lfs.github.com/spec/"


def table_format(path: PathLike) -> str:
    """Return "parquet", "csv", "tsv", "jsonl" or "json", by the end of the file's name."""
    name = Path(path).name.lower()
    found = "json" if name.endswith(".json.gz") else name.rpartition(".")[2]
    if found not in _FORMATS:
        remedy = f"name it .{', .'.join(_FORMATS)}"
        if found in ("gz", "zip", "bz2", "xz", "zst"):
            remedy = "unpack it first"
        raise MedcalError(f"{path}: cannot tell the format from its name; {remedy}")
    return found


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


def iter_table(path: PathLike) -> Iterator[dict[str, list]]:
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
            for start in range(0, batch.num_rows, CHUNK):
                yield _block_of_batch(batch.slice(start, CHUNK), path)
    except (pa.ArrowException, OSError, ValueError, TypeError, OverflowError) as err:
        what = "a table in UTF-8 with as many cells in every row"
        if kind == "parquet":
            raise damaged(path, "a Parquet file", err) from err
        if re.search("utf-?8", str(err), re.IGNORECASE):  # what spreadsheets may save
            raise damaged(path, what, err, "save it as 'CSV UTF-8'") from err
        raise damaged(path, what, err) from err


def blocks_of(rows: Iterable[dict], path: PathLike) -> Iterator[dict[str, list]]:
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


def block_of(frame: pd.DataFrame, where: PathLike = "answers") -> dict[str, list]:
    """A frame as a block."""
    check_names(list(frame.columns), where)
    narrow = frame.select_dtypes(["float16", "float32", "Float32"])
    decimals = {}
    for name, values in narrow.items():
        stored = values.to_numpy(values.to_numpy().dtype, na_value=np.nan)
        decimals[name] = shortest_decimals(stored)
    frame = frame.assign(**decimals)
    objects = frame.astype(object).where(frame.notna(), None)
    return {name: values.tolist() for name, values in objects.items()}


def check_names(names: list, path: PathLike) -> None:
    """Refuse a table with two columns of one name, or with more columns than any has."""
    if len(names) > MOST_COLUMNS:
        problem = f"{len(names):,} columns, more than {MOST_COLUMNS:,}"
        raise MedcalError(f"{path}: {problem}; write one row an answer")
    for name, times in Counter(names).items():
        try:
            str(name).encode()
        except UnicodeError:
            shown = ascii(name)
            raise MedcalError(
                f"{path}: the name of column {shown} cannot be written as Unicode "
                "text; rename it"
            ) from None
        if times > 1:
            raise MedcalError(
                f"{path}: two columns are called '{name}'; rename one of them"
            )


def iter_json(path: PathLike) -> Iterator[dict]:
    """The objects of a JSONL file, or of a JSON file: a list of them, or one."""
    if table_format(path) == "json":
        value = read_json(path)
        rows = value if isinstance(value, list) else [value]
    else:
        rows = _iter_lines(path)
    for row, value in enumerate(rows, 1):
        if not isinstance(value, dict):
            message = f"{path}: row {row} is not an object but {str(value)[:40]!r}"
            raise MedcalError(
                message + '; write one {"column": value} a line, or a list of them'
            )
        yield value


def read_json(path: PathLike) -> Any:
    """The value of a JSON file, packed by gzip or not."""
    path = require_file(path)
    try:
        if path.suffix == ".gz":
            text = _unpacked(path)
        else:
            with path.open("rb") as file:
                text = file.read(MOST_BYTES + 1)
        if len(text) > MOST_BYTES:
            raise MedcalError(
                f"{path}: over 2 GB of JSON; write one object a line, as .jsonl"
            )
        return json.loads(text.decode("utf-8-sig"), object_pairs_hook=_object)
    except (ValueError, RecursionError, OSError, EOFError, zlib.error) as err:
        raise damaged(path, "JSON in UTF-8", err) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, refused where a name stands in it twice: no value is guessed."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = [
            name for name, times in Counter(k for k, _ in pairs).items() if times > 1
        ]
        raise ValueError(f"'{twice[0]}' stands twice in one object")
    return found


def _unpacked(path: Path) -> bytes:
    """The content of a gzip file, if it is no more than a hundred times the file."""
    most = min(MOST_BYTES, _MOST_TIMES * path.stat().st_size + _SMALL)
    with gzip.open(path, "rb") as file:
        content = file.read(most + 1)
    if most < len(content) <= MOST_BYTES:
        raise MedcalError(
            f"{path}: unpacks to over {_MOST_TIMES} times its size; not read, for safety"
        )
    return content


def damaged(
    path: PathLike, what: str, err: Exception, remedy: str = "mend it"
) -> MedcalError:
    """A file that cannot be taken apart."""
    said = " ".join(str(err).split())[:160]
    return MedcalError(
        f"{path}: not {what}, cut off or damaged ({said}); {remedy} or fetch it anew"
    )


def _parquet_batches(path: Path) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        check_names(schema.names, path)
        _check_lists(file.metadata, path)
    # Texts that repeat stay packed: each is one Python text, however often it stands there.
    texts = [field.name for field in schema if _is_text(field.type)]
    # the labels of a frame's rows say nothing, unless they have a name
    wanted = [name for name in schema.names if not name.startswith("__index_level_")]
    with pq.ParquetFile(path, read_dictionary=texts) as file:
        yield from file.iter_batches(
            batch_size=_rows_at_once(file.metadata), columns=wanted
        )


def _rows_at_once(metadata: pq.FileMetaData) -> int:
    """Rows of a batch: each unpacks the different texts of its row group anew."""
    groups = map(metadata.row_group, range(metadata.num_row_groups))
    size = sum(group.total_byte_size for group in groups)
    return CHUNK * (4 if size < _SHORT * metadata.num_rows else 1)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


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


def _block_of_batch(batch: pa.RecordBatch, path: Path) -> dict[str, list]:
    """The columns of a batch as lists, None where a value is missing."""
    size = sum(_text_bytes(column) for column in batch.columns)
    if size > max(_LARGE, _MOST_TIMES * path.stat().st_size):
        raise MedcalError(
            f"{path}: {batch.num_rows:,} rows unpack to {size:,} bytes of text; not "
            "read, for safety"
        )
    return {
        name: _values_of(column)
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
    }


def _text_bytes(column: pa.Array) -> int:
    """How many bytes the texts of a packed column have when they are written out."""
    if not pa.types.is_dictionary(column.type) or not len(column.dictionary):
        return 0
    lengths = pyarrow.compute.binary_length(column.dictionary).to_numpy()
    indices = column.indices.drop_null().to_numpy()
    return int(lengths[indices].sum(dtype=np.int64))


def _values_of(column: pa.Array) -> list:
    """The values of a column; floats of fewer than 64 bits are the decimals they were."""
    if pa.types.is_float16(column.type) or pa.types.is_float32(column.type):
        decimals = shortest_decimals(column.to_numpy(zero_copy_only=False))
        is_missing = column.is_null().to_numpy(zero_copy_only=False)
        return np.where(is_missing, None, decimals).tolist()
    if _is_packed(column) and len(column.dictionary) > len(column):
        column = column.dictionary_decode()
    if _is_packed(column):
        # each text is made once, however many rows hold it
        texts = np.array([*column.dictionary.to_pylist(), None], dtype=object)
        indices = column.indices.fill_null(len(texts) - 1)
        return texts[indices.to_numpy()].tolist()
    if _is_number(column):
        return column.to_numpy(zero_copy_only=False).tolist()
    return column.to_pylist()


def _is_packed(column: pa.Array) -> bool:
    """Whether a column holds each different text once, and where it stands."""
    return pa.types.is_dictionary(column.type) and _is_text(column.type.value_type)


def _is_number(column: pa.Array) -> bool:
    """Whether a column holds whole numbers, doubles or truth values, none missing."""
    kind = column.type
    plain = (pa.types.is_integer, pa.types.is_float64, pa.types.is_boolean)
    return column.null_count == 0 and any(is_of(kind) for is_of in plain)


def _csv_batches(path: Path) -> Iterator[pa.RecordBatch]:
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
        yield from reader


def _iter_lines(path: Path) -> Iterator[Any]:
    # split at line feeds only: JSON texts may hold the other marks that Python takes for line ends
    with require_file(path).open("rb") as file:
        for row, line in enumerate(file, 1):
            try:
                if line.strip():
                    text = line.decode("utf-8-sig")
                    yield json.loads(text, object_pairs_hook=_object)
            except (ValueError, RecursionError) as err:
                message = f"{path}: line {row} is not JSON in UTF-8, or cut off ({err}); mend it"
                raise MedcalError(
                    f"{message}, or name JSON over several lines .json"
                ) from None
