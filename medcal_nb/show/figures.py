"""Save a figure together with the numbers it shows and where they came from."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medcal_nb.errors import MedcalError
from medcal_nb.files import new_file

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

MANIFEST = "manifest.json"
FORMATS = ("png", "svg", "csv")
DPI = 300


def save_figure(
    fig: Figure,
    name: str,
    table: pd.DataFrame,
    *,
    out_dir: str | os.PathLike,
    provenance: dict[str, Any],
    caption: str = "",
    alt: str = "",
) -> dict[str, Path]:
    """Write a figure as PNG and SVG, its numbers as CSV, and their provenance.

    The same figure, table and provenance give the same bytes, wherever and whenever they are
    written. All three files are complete before any of them replaces an older one.

    Parameters
    ----------
    fig : matplotlib.figure.Figure
        The drawn figure; it stays open.
    name : str
        File name without extension, such as ``fig02_reliability``.
    table : pandas.DataFrame
        The plotted numbers, one row per mark; floats are written with 6 significant digits.
    out_dir : path
        Folder to write to, made if absent. Its ``manifest.json`` gets an entry for ``name``.
    provenance : dict
        What the figure came from (profile, parameters, versions, data hash …), JSON values
        only. It is embedded in the PNG and the SVG and kept in the manifest.
    caption : str
        What the figure shows and finds, in sentences; kept in the manifest.
    alt : str
        What is said to those who don't see it.

    Returns
    -------
    dict
        Paths under the keys ``png``, ``svg`` and ``csv``.

    Raises
    ------
    ValueError
        If ``table`` is empty.
    """
    if table.empty:
        raise ValueError(f"table: empty ({table.shape[0]} rows), nothing that {name} could show")
    told = json.dumps(provenance, sort_keys=True, ensure_ascii=True, allow_nan=False)

    contents = {
        "png": _drawn(fig, "png", name, told),
        # trailing blanks in path data would be stripped by editors and hooks and change the bytes
        "svg": re.sub(rb"[ \t]+\n", b"\n", _drawn(fig, "svg", name, told)),
        "csv": table_csv(table).encode(),
    }
    folder = Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    paths = {kind: folder / f"{name}.{kind}" for kind in FORMATS}
    replace_files({paths[kind]: contents[kind] for kind in FORMATS})

    entries = read_manifest(folder)
    entries[name] = {
        "rows": int(table.shape[0]),
        "columns": [str(column) for column in table.columns],
        "sha256": {kind: hashlib.sha256(contents[kind]).hexdigest() for kind in FORMATS},
        "provenance": json.loads(told),
        "caption": caption,
        "alt": alt,
    }
    write_manifest(folder, entries)
    return paths


def table_csv(table: pd.DataFrame) -> str:
    """Return a table as CSV text with 6 significant digits, the same on every platform.

    A named index becomes columns; an unnamed one is dropped.
    """
    if any(label is not None for label in table.index.names):
        table = table.reset_index()
    return table.infer_objects().to_csv(index=False, float_format="%.6g", lineterminator="\n")


def read_manifest(folder: str | os.PathLike) -> dict[str, Any]:
    """Return the entries of a figure folder's manifest by figure name, empty where there is none.

    Raises
    ------
    MedcalError
        If the manifest is damaged.
    """
    path = Path(folder) / MANIFEST
    if not path.exists():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        again = "delete it and run `medcal study --force`"
        raise MedcalError(f"{path}: not valid JSON ({error}): {again}") from None


def write_manifest(folder: str | os.PathLike, entries: dict[str, Any]) -> None:
    """Replace a figure folder's manifest, sorted by figure name."""
    text = json.dumps(entries, indent=1, sort_keys=True, ensure_ascii=False)
    replace_files({Path(folder) / MANIFEST: (text + "\n").encode()})


def replace_files(contents: dict[Path, bytes]) -> None:
    """Write files so that each holds its old or its new content, and all are ready before any.

    Parameters
    ----------
    contents : dict
        New content by path. The folders must exist.
    """
    with contextlib.ExitStack() as ready:
        for path, content in contents.items():
            ready.enter_context(new_file(path, force=True)).write_bytes(content)


def _drawn(fig: Figure, kind: str, name: str, told: str) -> bytes:
    import matplotlib

    # matplotlib would add its name and version and the date; told holds the versions
    made = {"png": {"Software": None}, "svg": {"Creator": "medcal_nb", "Date": None}}[kind]
    metadata, buffer = made | {"Title": name, "Description": told}, io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        dpi = DPI if kind == "png" else "figure"
        fig.savefig(buffer, format=kind, dpi=dpi, metadata=metadata)
    return buffer.getvalue()
