"""Save a figure with the numbers it shows and where they came from, read it back, and show it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medcal_nb.files import new_file

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

FORMATS = ("png", "svg", "csv")
DPI = 300
_SHOWN_DPI = 110
# what a PNG calls that which its figure tells of itself, and who an SVG is by
_MARK = "medcal"
# |new - old| may be this much of max(1, |old|): rounding moves a confidence across a bin's edge,
# and a handful of sampled replies
_TOLERANCE = 0.005


def save_figure(
    fig: Figure,
    name: str,
    table: pd.DataFrame,
    *,
    out_dir: str | os.PathLike,
    provenance: dict[str, Any],
    caption: str = "",
    alt: str = "",
) -> Path:
    """Write a figure as PNG and SVG, its numbers as CSV; the pictures tell what they are.

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
        Folder to write to, made if absent.
    provenance : dict
        What the figure came from (profile, parameters, versions, data hash …), JSON values only.
    caption : str
        What the figure shows and finds, in sentences.
    alt : str
        What is said to those who don't see it.

    Returns
    -------
    pathlib.Path
        The PNG.

    Raises
    ------
    ValueError
        If ``table`` is empty.
    """
    if table.empty:
        raise ValueError(
            f"table: empty ({table.shape[0]} rows), nothing that {name} could show"
        )
    told = {"provenance": provenance, "caption": caption, "alt": alt}
    told = json.dumps(told, sort_keys=True, allow_nan=False)
    contents = {
        "png": _drawn(fig, "png", name, {"Software": None, _MARK: told}),
        # matplotlib would add its name and version and the date; told holds the versions
        "svg": _drawn(
            fig, "svg", name, {"Creator": _MARK, "Date": None, "Description": told}
        ),
        "csv": table_csv(table).encode(),
    }
    folder = Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    replace_files({folder / f"{name}.{kind}": contents[kind] for kind in FORMATS})
    return folder / f"{name}.png"


def _drawn(fig: Figure, kind: str, name: str, told: dict[str, str | None]) -> bytes:
    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        dpi = DPI if kind == "png" else "figure"
        fig.savefig(buffer, format=kind, dpi=dpi, metadata={"Title": name} | told)
    # trailing blanks in path data would be stripped by editors and hooks and change the bytes
    return (
        buffer.getvalue()
        if kind == "png"
        else re.sub(rb"[ \t]+\n", b"\n", buffer.getvalue())
    )


def read_figure(path: Path) -> dict[str, Any]:
    """Return what a PNG of :func:`save_figure` tells; nothing of others.

    Returns
    -------
    dict
        ``provenance``, ``caption`` and ``alt`` as they were given, and the ``width`` on a page, in
        dots: pictures are sharp, because they have more.
    """
    from PIL import Image

    with contextlib.suppress(OSError, LookupError, TypeError, ValueError):
        with Image.open(path) as picture:
            told = json.loads(picture.info[_MARK])
        told = {name: told[name] for name in ("provenance", "caption", "alt")}
        return told | {"width": picture.width * _SHOWN_DPI // DPI}
    return {}


def made_here(path: Path) -> bool:
    """True for a picture of :func:`save_figure`, PNG or SVG."""
    marks = (f"tEXt{_MARK}\0", f"<dc:title>{_MARK}</dc:title>")
    content = path.read_bytes()
    return any(mark.encode() in content for mark in marks)


def read_figures(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what the figures of a folder tell, by name, those that a study made."""
    found = {path.stem: read_figure(path) for path in sorted(folder.glob("fig*.png"))}
    return {name: told for name, told in found.items() if told}


def show_figure(path: Path) -> bool:
    """Show a saved figure in a notebook, the bytes of the PNG; return whether there is one.

    Below it stands its caption.
    """
    from IPython.display import Image, Markdown, display

    if told := read_figure(path):
        display(Image(data=path.read_bytes(), width=told["width"], alt=told["alt"]))
        display(Markdown(f"*{told['caption']}*"))
    return bool(told)


def difference(old: Path, new: Path) -> str:
    """Say how two tables differ beyond 0.005 · max(1, |number|); nothing where they don't."""
    import pandas as pd

    tables = (pd.read_csv(new), pd.read_csv(old))
    near = {"rtol": _TOLERANCE, "atol": _TOLERANCE}
    try:
        pd.testing.assert_frame_equal(*tables, check_dtype=False, **near)
    except AssertionError as error:
        return " ".join(str(error).split())
    return ""


def table_csv(table: pd.DataFrame) -> str:
    """Return a table as CSV text with 6 significant digits, the same on every platform.

    A named index becomes columns; an unnamed one is dropped.
    """
    if any(label is not None for label in table.index.names):
        table = table.reset_index()
    return table.infer_objects().to_csv(
        index=False, float_format="%.6g", lineterminator="\n"
    )


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
