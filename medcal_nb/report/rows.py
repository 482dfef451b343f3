"""Rows of a report: which were measured, and the surest of the wrong ones."""

from __future__ import annotations

import os
import warnings
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from medcal_nb import measure, plots
from medcal_nb.errors import NotEnough
from medcal_nb.measure.rows import measured
from medcal_nb.reader.page import shown_images

#: Longest side of an image on the page, in pixels.
LARGEST = 192
#: What a row of the surest errors shows.
SHOWN = ("model", "question", "answer", "gold", "confidence", "item_id")


class ImageWarning(UserWarning):
    """Images that a report should show are not there."""


_BOX = {"boxstyle": "square,pad=0.5", "facecolor": "white", "edgecolor": plots.GREY}
_ARROW = {"arrowstyle": "->", "color": plots.GREY}


def flow(
    n_read: int, source: pd.DataFrame | None, judged: pd.DataFrame
) -> tuple[Figure, pd.DataFrame]:
    """Where the answers that were read went, as Radiology: AI asks of the cases of a study.

    Parameters
    ----------
    n_read : int
        Answers of the file.
    source : DataFrame or None
        Those that a map is fitted on.
    judged : DataFrame
        Those of which measures are.

    Returns
    -------
    figure : Figure
        A box for those read and for those measured, and between them what was left out.
    table : DataFrame
        step, whether it is_left_out, n answers.
    """
    n_source = 0 if source is None else len(source)
    n_ungraded = int(judged["correct"].isna().sum())
    n_measured = len(measured(judged))
    steps = [
        ("answers read", False, n_read),
        ("serve transfer alone", True, n_source),
        ("of splits that are not judged", True, n_read - n_source - len(judged)),
        ("not graded", True, n_ungraded),
        ("graded, without a confidence", True, len(judged) - n_ungraded - n_measured),
        ("measured", False, n_measured),
    ]
    table = pd.DataFrame(steps, columns=["step", "is_left_out", "n"])
    with mpl.style.context(plots.STYLE):
        fig = Figure(figsize=(plots.ONE_COLUMN, 1.9), layout="constrained")
        _draw_flow(fig.subplots(), table)
    return fig, table


def _draw_flow(ax: Axes, table: pd.DataFrame) -> None:
    """Boxes of what came in and what is measured, one above the other; left out at the right."""
    ax.set(xlim=(0, 1), ylim=(0, 1))
    ax.set_axis_off()
    lines = table["step"] + table["n"].map(": {:,}".format)
    left_out = lines[table["is_left_out"] & (table["n"] > 0)]
    beside = "\n".join(["left out", *left_out] if len(left_out) else ["none left out"])
    how: dict[str, Any] = {"ha": "center", "va": "center", "bbox": _BOX}
    ax.text(0.22, 0.88, lines.iloc[0].replace(": ", "\n"), **how)
    ax.text(0.22, 0.12, lines.iloc[-1].replace(": ", "\n"), **how)
    ax.text(0.7, 0.5, beside, **how)
    ax.annotate("", (0.22, 0.22), (0.22, 0.78), arrowprops=_ARROW)
    ax.annotate("", (0.43, 0.5), (0.22, 0.5), arrowprops=_ARROW)


def surest(
    answers: pd.DataFrame, images: str | os.PathLike | None = None
) -> tuple[pd.DataFrame, list[str]]:
    """The ten wrong answers of the highest confidence, and their images.

    Parameters
    ----------
    answers : DataFrame
    images : path, optional
        Folder that paths in a column ``image``, or ``image_id``, are of; without it none is shown.

    Returns
    -------
    table : DataFrame
        Columns of `SHOWN` that the answers have.
    pictures : list of str
        Data URIs, one a row, empty where there is no image; none without a folder.

    Raises
    ------
    NotEnough
        If no answer with a confidence is wrong.
    MedcalError
        If there is no such folder.

    Warns
    -----
    ImageWarning
        If an image that is named is not there, or cannot be read.
    """
    # equal confidences in the order of their questions, not of the file
    errors = measure.surest_errors(answers.sort_values(["item_id", "model"]))
    if errors.empty:
        raise NotEnough("No answer with a confidence is wrong")
    pictures: list[str] = []
    if images is not None:
        pictures, note = shown_images(errors, images, LARGEST)
        if note:
            warnings.warn(f"surest errors: {note}", ImageWarning, stacklevel=2)
    table = errors[[name for name in SHOWN if name in errors]]
    return table.reset_index(drop=True), pictures
