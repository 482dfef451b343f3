"""Tables in files, read and written in bounded memory: Parquet, CSV/TSV, JSONL."""

import codecs
import json
import os
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd

from medcal_nb.errors import MedcalError

CHUNK = 65_536
BLOCK = 16 << 20  # bytes of CSV parsed at a time; also the longest row there may be
FORMATS = ("parquet", "csv", "tsv", "jsonl", "json")


def table_format(path) -> str:
    """ "parquet", "csv", "tsv", "jsonl" or "json", by the end of the file's name."""
    suffix = Path(path).suffix.lower().lstrip(".")
    suffix = {"pq": "parquet", "ndjson": "jsonl"}.get(suffix, suffix)
    if suffix not in FORMATS:
        raise MedcalError(
            f"{path}: cannot tell the format from its name; "
            "name it .parquet, .csv, .tsv, .jsonl or .json"
        )
    return suffix


def require_file(path) -> Path:
    """The path of a file that is there and holds something."""
    path = Path(path)
    if path.is_dir():
        raise MedcalError(f"{path}: a folder, not a file; name the table in it")
    try:
        size = path.stat().st_size
        with path.open("rb"):
            pass
    except FileNotFoundError:
        raise MedcalError(f"{path}: no such file; check the name") from None
    except OSError as err:
        raise MedcalError(f"{path}: cannot be read ({err.strerror}); check permissions") from None
    if size == 0:
        raise MedcalError(f"{path}: the file is empty; nothing to read")
    return path


def iter_table(path, *, columns=None, chunk: int = CHUNK) -> Iterator[pd.DataFrame]:
    """Frames of at most about `chunk` rows from a Parquet, CSV, TSV, JSONL or JSON file.

    CSV cells come as strings, or missing where empty and not quoted. With `columns`, only those
    that exist are read (Parquet and CSV). Damage is a `MedcalError` that names file and row.
    """
    path = require_file(path)
    kind = table_format(path)
    if kind == "parquet":
        frames = _iter_parquet(path, columns, chunk)
    elif kind in ("csv", "tsv"):
        frames = _iter_csv(path, columns, "\t" if kind == "tsv" else None)
    else:
        frames = _iter_objects(path, iter_json(path), chunk)
    rows = 0
    for frame in frames:
        if frame.columns.has_duplicates:
            name = frame.columns[frame.columns.duplicated()][0]
            raise MedcalError(f"{path}: two columns are called '{name}'; rename one of them")
        rows += len(frame)
        if len(frame):
            yield frame
    if not rows:
        raise MedcalError(f"{path}: no rows; nothing to read")


def count_rows(path) -> int | None:
    """Rows of a Parquet file from its footer, None for other files."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if table_format(path) != "parquet":
        return None
    try:
        return pq.ParquetFile(path).metadata.num_rows
    except (pa.ArrowException, OSError):
        return None


def iter_json(path) -> Iterator[tuple[int, dict]]:
    """(row, object) of a JSONL file, or of a JSON file that holds a list of objects."""
    path = require_file(path)
    if table_format(path) == "json":
        value = read_json(path)
        if not isinstance(value, list):
            raise MedcalError(f"{path}: not a list of objects; convert it to JSONL, one row a line")
        rows = enumerate(value, 1)
    else:
        rows = _iter_lines(path)
    for row, value in rows:
        if not isinstance(value, dict):
            raise MedcalError(
                f"{path}: row {row} is not an object but {str(value)[:40]!r}; "
                'write one {"column": value} a line'
            )
        yield row, value


def read_json(path):
    """The value of a JSON file."""
    path = require_file(path)
    try:
        return json.loads(path.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError as err:
        raise _not_utf8(path, err.start) from None
    except (ValueError, RecursionError) as err:
        raise MedcalError(f"{path}: not JSON, or cut off ({err})") from None


def write_table(frames: Iterable[pd.DataFrame], to, kind: str, types: dict[str, str]) -> int:
    """Write frames as one file, in place only when it is whole; the number of rows.

    `types` gives every column's kind: "text", "float", "int", "bool" or "json". Equal frames
    give equal bytes.
    """
    to = Path(to)
    part = to.with_name(f".{to.name}.{uuid.uuid4().hex}.part")
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        if kind == "jsonl":
            n = _write_jsonl(frames, part, types)
        else:
            n = _write_arrow(frames, part, kind, types)
        os.replace(part, to)
        return n
    except OSError as err:
        raise MedcalError(
            f"{to}: cannot be written ({err.strerror or err}); check folder, permissions and space"
        ) from err
    finally:
        part.unlink(missing_ok=True)


def _iter_parquet(path, columns, chunk):
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            wanted = None if columns is None else [n for n in names if n in columns]
            for batch in file.iter_batches(batch_size=chunk, columns=wanted):
                batch.validate(full=True)
                yield batch.to_pandas(types_mapper=_mapper())
    except (pa.ArrowException, OSError, ValueError, TypeError, OverflowError) as err:
        raise MedcalError(
            f"{path}: not a Parquet file, cut off or damaged ({_brief(err)}); fetch it anew"
        ) from err


def _mapper():
    import pyarrow as pa

    kinds = {
        **{pa.string(): "text", pa.large_string(): "text", pa.string_view(): "text"},
        pa.bool_(): pd.BooleanDtype(),
        **{t: pd.Int64Dtype() for t in (pa.int8(), pa.int16(), pa.int32(), pa.int64())},
    }
    from medcal_nb.answers.schema import TEXT

    return lambda t: TEXT if kinds.get(t) == "text" else kinds.get(t)


def _iter_csv(path, columns, delimiter):
    import pyarrow as pa
    import pyarrow.csv as pc

    from medcal_nb.answers.schema import TEXT

    names, delimiter = _header(path, delimiter)
    wanted = names if columns is None else [n for n in names if n in columns]
    options = {
        "read_options": pc.ReadOptions(block_size=BLOCK),
        "parse_options": pc.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        "convert_options": pc.ConvertOptions(
            column_types={n: pa.string() for n in names},
            include_columns=wanted,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    }
    try:
        with pc.open_csv(path, **options) as reader:
            for batch in reader:
                for at in range(0, batch.num_rows, CHUNK):
                    yield batch.slice(at, CHUNK).to_pandas(types_mapper=lambda t: TEXT)
    except pa.ArrowException as err:
        _check_utf8(path)
        raise MedcalError(
            f"{path}: not a regular table, or cut off ({_brief(err)}); "
            "every row needs the same number of cells"
        ) from err
    except OSError as err:
        raise MedcalError(f"{path}: cannot be read ({err.strerror or err})") from err


def _header(path, delimiter):
    import csv

    with path.open("rb") as file:
        head = file.readline(1 << 20)
    if b"\0" in head:
        raise MedcalError(f"{path}: not a text file (UTF-16?); save it as UTF-8")
    try:
        line = head.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as err:
        raise _not_utf8(path, err.start) from None
    line = line.split("\r")[0]
    if delimiter is None:
        delimiter = max(",;\t", key=line.count) if not line.count(",") else ","
    try:
        names = next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error as err:
        raise MedcalError(f"{path}: the header cannot be read ({err})") from None
    if not any(name.strip() for name in names):
        raise MedcalError(f"{path}: the first line names no columns; add a header")
    for name in names:
        if names.count(name) > 1:
            raise MedcalError(f"{path}: two columns are called '{name}'; rename one of them")
    return names, delimiter


def _iter_objects(path, rows, chunk):
    block = []
    for _, value in rows:
        block.append(value)
        if len(block) >= chunk:
            yield _objects_frame(block, path)
            block = []
    if block:
        yield _objects_frame(block, path)


def _objects_frame(block, path):
    columns = {name: None for row in block for name in row}
    # Series of objects: pandas shall not guess, the schema check says what fits.
    return pd.DataFrame(
        {n: pd.Series([row.get(n) for row in block], dtype=object) for n in columns}
    )


def _iter_lines(path):
    row = 0
    with path.open("rb") as file:
        for row, line in enumerate(file, 1):
            if row == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            if not line.strip():
                continue
            try:
                yield row, json.loads(line)
            except UnicodeDecodeError:
                raise MedcalError(f"{path}: row {row} is not UTF-8; save the file as UTF-8") from (
                    None
                )
            except (ValueError, RecursionError) as err:
                what = "cut off" if not line.endswith(b"\n") else "not JSON"
                raise MedcalError(
                    f"{path}: row {row} is {what} ({_brief(err)}); mend or drop the line"
                ) from None


def _check_utf8(path):
    decoder = codecs.getincrementaldecoder("utf-8")()
    at = lines = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            try:
                decoder.decode(block)
            except UnicodeDecodeError as err:
                lines += block[: max(err.start, 0)].count(b"\n")
                raise _not_utf8(path, at + err.start, lines + 1) from None
            at += len(block)
            lines += block.count(b"\n")


def _not_utf8(path, byte, line=None):
    place = f"line {line}, byte {byte}" if line else f"byte {byte}"
    return MedcalError(f"{path}: not UTF-8 at {place}; save the file as UTF-8")


def _brief(err):
    text = " ".join(str(err).split())
    return text if len(text) <= 160 else text[:157] + "..."


def _write_jsonl(frames, part, types):
    from medcal_nb.answers.schema import _listed

    n = 0
    with part.open("w", encoding="utf-8", newline="\n") as file:
        for frame in frames:
            columns = [_listed(frame[name]) for name in types]
            for values in zip(*columns, strict=True):
                row = dict(zip(types, values, strict=True))
                file.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")
            n += len(frame)
    return n


def _write_arrow(frames, part, kind, types):
    import pyarrow as pa
    import pyarrow.csv as pc
    import pyarrow.parquet as pq

    from medcal_nb.answers.schema import _listed, encode_json

    arrow = {"float": pa.float64(), "int": pa.int64(), "bool": pa.bool_()}
    schema = pa.schema([(name, arrow.get(t, pa.string())) for name, t in types.items()])
    n = 0
    if kind == "parquet":
        writer = pq.ParquetWriter(part, schema, compression="zstd")
    else:
        options = pc.WriteOptions(delimiter="\t" if kind == "tsv" else ",")
        writer = pc.CSVWriter(part, schema, write_options=options)
    with writer:
        for frame in frames:
            arrays = []
            for field in schema:
                values = _listed(frame[field.name])
                if types[field.name] == "json":
                    values = [
                        v if v is None or isinstance(v, str) else encode_json(v) for v in values
                    ]
                arrays.append(pa.array(values, field.type))
            writer.write_table(pa.table(arrays, schema=schema))
            n += len(frame)
    return n
