"""Write a table as Parquet, with its entry in the manifest."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from data.recorded.prepare import (
    aneurysm_readers,
    mmlu_pro_text,
    viper,
    vlcb,
    vlcb_items,
    vlm_uncertainty_bench,
)
from medcal_nb.files import file_hash

SOURCES: dict[str, Callable[[Path], pd.DataFrame]] = {
    "vlcb": vlcb.read,
    "vlcb_items": vlcb_items.read,
    "vlcb_replies": vlcb.read_replies,
    "vlm_uncertainty_bench": vlm_uncertainty_bench.read,
    "mmlu_pro_text": mmlu_pro_text.read,
    "viper": viper.read,
    "aneurysm_readers": aneurysm_readers.read,
    "aneurysm_readings": aneurysm_readers.read_readings,
}
# Few different values: a dictionary packs them best; other floats are split by byte.
_FEW_VALUES = 1_000
_ROW_GROUP = 200_000


def prepare(name: str, folder: Path, to: Path) -> Path:
    """Make one table from the public files of its source; return its path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    hashes = {path.relative_to(folder).as_posix(): file_hash(path) for path in files}
    return store(name, SOURCES[name](folder), to, made_from=hashes)


def store(name: str, table: pd.DataFrame, to: Path, *, made_from: dict) -> Path:
    """Write a table and its entry in ``manifest.json``; return the table's path."""
    to.mkdir(parents=True, exist_ok=True)
    path = to / f"{name}.parquet"
    _write_parquet(table, path)
    with (Path(__file__).parent / "sources.toml").open("rb") as file:
        about = tomllib.load(file)[name]
    entry = {
        "file": path.name,
        "sha256": file_hash(path),
        "rows": len(table),
        "columns": list(table.columns),
        **about,
        "repeats": _count_repeats(table),
        "left_out": table.attrs.get("left_out", {}),
        "made_from": made_from,
    }
    manifest = to / "manifest.json"
    entries = json.loads(manifest.read_text()) if manifest.is_file() else {}
    entries = dict(sorted((entries | {name: entry}).items()))
    manifest.write_text(json.dumps(entries, indent=1, ensure_ascii=False) + "\n")
    return path


def _count_repeats(table: pd.DataFrame) -> dict[str, int]:
    """Return how many questions of each data set are known to repeat an earlier one."""
    if "repeat" not in table:
        return {}
    items = table[table["repeat"]].groupby("dataset")["item"].nunique()
    return {name: int(n) for name, n in items.items()}


def _write_parquet(table: pd.DataFrame, path: Path) -> None:
    arrow = pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata()
    encodings = {}
    dictionaries = []
    for name, values in table.items():
        if values.dtype.kind == "f" and values.nunique() > _FEW_VALUES:
            encodings[name] = "BYTE_STREAM_SPLIT"
        elif name == "item":  # ascending numbers
            encodings[name] = "DELTA_BINARY_PACKED"
        else:
            dictionaries.append(name)
    pq.write_table(
        arrow,
        path,
        compression="zstd",
        compression_level=19,
        use_dictionary=dictionaries,
        column_encoding=encodings,
        row_group_size=_ROW_GROUP,
    )
