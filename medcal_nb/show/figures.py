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
from medcal_nb.show.look import synthetic_note

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

FORMATS = ("png", "svg", "csv")
DPI = 200
DPI_OF_IMAGES = 110
"""Dots an inch of a figure that holds images: noise cannot be packed."""
_SHOWN_DPI = 110
# what a PNG calls that which its figure tells of itself, and who an SVG is by
_MARK = "medcal"
# |new - old| may be this much of max(1, |old|): rounding moves a confidence across a bin's edge,
# and a handful of sampled replies
_TOLERANCE = 0.005
# processors round unlike: what two of them draw of the same data differs by less
_ROUNDING = 0.001  # of max(1, |number|)
_MOVED = 0.1  # points in a drawing
_NAME_OF_MARK = re.compile(r"\b[a-z]+[0-9a-f]{10}\b")
_NUMBER = re.compile(r"(-?\d+(?:\.\d+)?)")


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
        What it finds, for those who don't see it.

    Returns
    -------
    pathlib.Path
        The PNG.

    Raises
    ------
    ValueError
        If ``table`` or ``alt`` is empty, or the table names an embedded data set or model and the
        figure's note does not say that its images are synthetic.

    Examples
    --------
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> from matplotlib.figure import Figure
    >>> fig = Figure()
    >>> bars = fig.subplots().bar(["a"], [1])
    >>> table = pd.DataFrame({"name": ["a"], "n": [1]})
    >>> paths = save_figure(fig, "fig", table, out_dir=Path("."), provenance={}, alt="One bar.")
    >>> read_figure(Path("fig.png"))["alt"]
    'One bar.'
    """
    if table.empty:
        raise ValueError(
            f"table: empty ({table.shape[0]} rows), nothing that {name} could show"
        )
    if not alt.strip():
        raise ValueError(
            f"alt: empty; say what {name} finds, for those who don't see it"
        )
    if synthetic_note(table) not in fig.get_supxlabel():
        raise ValueError(
            f"{name}: its images are synthetic and its note does not say so; "
            "give charts.figure the answers (data=…)"
        )
    description = {"provenance": provenance, "caption": caption, "alt": alt}
    text = json.dumps(description, sort_keys=True, allow_nan=False)
    contents = {
        "png": _png(fig, name, text),
        "svg": _svg(fig, name, text),
        "csv": table_csv(table).encode(),
    }
    folder = Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    replace_files({folder / f"{name}.{kind}": contents[kind] for kind in FORMATS})
    return folder / f"{name}.png"


def _png(fig: Figure, name: str, text: str) -> bytes:
    """Return a figure as PNG of 128 colours: figures are committed, and want to be small."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("Title", name)
    info.add_text(_MARK, text)
    drawn = io.BytesIO()
    dpi = DPI
    if any(ax.images for ax in fig.axes):
        dpi = DPI_OF_IMAGES
    fig.savefig(drawn, format="png", dpi=dpi)
    small = io.BytesIO()
    with Image.open(drawn) as picture:
        colours = picture.convert("RGB").quantize(128, dither=Image.Dither.NONE)
        colours.save(small, format="png", optimize=True, pnginfo=info, dpi=(dpi, dpi))
    return small.getvalue()


def _svg(fig: Figure, name: str, text: str) -> bytes:
    """Return a figure as SVG without the date and the version that matplotlib adds."""
    import matplotlib

    about = {"Title": name, "Creator": _MARK, "Date": None, "Description": text}
    drawn = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        fig.savefig(drawn, format="svg", dpi=72, metadata=about)
    # trailing blanks in path data would be stripped by editors and hooks and change the bytes
    lines = re.sub(rb"[ \t]+\n", b"\n", drawn.getvalue())
    head, end, paths = lines.partition(b"</metadata>")
    # nobody sees a thousandth of a point
    return head + end + re.sub(rb"(\d\.\d{3})\d+", rb"\1", paths)


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
            about = json.loads(picture.info[_MARK])
            inches = picture.width / picture.info["dpi"][0]
        about = {name: about[name] for name in ("provenance", "caption", "alt")}
        return about | {"width": round(inches * _SHOWN_DPI)}
    return {}


def made_here(path: Path) -> bool:
    """True for a picture of :func:`save_figure`, PNG or SVG."""
    marks = (f"tEXt{_MARK}\0", f"<dc:title>{_MARK}</dc:title>")
    content = path.read_bytes()
    return any(mark.encode() in content for mark in marks)


def show_figure(path: Path) -> bool:
    """Show a saved figure in a notebook, the bytes of the PNG; return whether there is one.

    Below it stands its caption.
    """
    from IPython.display import Image, Markdown, display

    about = read_figure(path)
    if about:
        display(Image(data=path.read_bytes(), width=about["width"], alt=about["alt"]))
        display(Markdown(f"*{about['caption']}*"))
    return bool(about)


def difference(old: Path, new: Path, tolerance: float = _TOLERANCE) -> str:
    """Say how two tables differ beyond tolerance · max(1, abs(number)); nothing if not."""
    import pandas as pd

    tables = (pd.read_csv(new), pd.read_csv(old))
    near = {"rtol": tolerance, "atol": tolerance}
    try:
        pd.testing.assert_frame_equal(*tables, check_dtype=False, **near)
    except AssertionError as error:
        return " ".join(str(error).split())
    return ""


def same_but_for_rounding(old: Path, new: Path) -> bool:
    """Return whether two saved figures differ by no more than two processors' rounding.

    They tell the same of themselves; numbers of their tables differ by at most
    0.001 · max(1, abs(number)), and their marks by a tenth of a point.

    Parameters
    ----------
    old, new : pathlib.Path
        Paths of :func:`save_figure`, without ending.
    """
    ours, theirs = (
        {k: path.with_name(f"{path.name}.{k}") for k in FORMATS} for path in (old, new)
    )
    files = [*ours.values(), *theirs.values()]
    if not all(file.is_file() for file in files):
        return False
    if read_figure(ours["png"]) != read_figure(theirs["png"]):
        return False
    if difference(ours["csv"], theirs["csv"], _ROUNDING):
        return False
    texts, numbers = _drawing(ours["svg"])
    other_texts, other_numbers = _drawing(theirs["svg"])
    if texts != other_texts:
        return False
    pairs = zip(numbers, other_numbers, strict=True)
    return all(abs(one - other) <= _MOVED for one, other in pairs)


def _drawing(svg: Path) -> tuple[list[str], list[float]]:
    """Return an SVG's text and its numbers, apart."""
    # matplotlib names a mark by a hash of its shape
    content = _NAME_OF_MARK.sub("", svg.read_text(encoding="utf-8"))
    parts = _NUMBER.split(content)
    return parts[::2], [float(number) for number in parts[1::2]]


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
