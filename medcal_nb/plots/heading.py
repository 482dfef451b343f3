"""What ends a figure: its title, letters of its panels, one key."""

from __future__ import annotations

from collections.abc import Mapping
from string import ascii_lowercase
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from .marks import GREY, INTERVAL, interval_swatch


def title_and_key(
    fig: Figure,
    title: str,
    *,
    n: pd.Series | None = None,
    of: str = "",
    names: Mapping[str, str] | None = None,
    ncols: int = 4,
    beside: bool = False,
) -> None:
    """Title, letters of panels and key of a figure, where they stand in every figure.

    Parameters
    ----------
    fig : Figure
        Whose axes are drawn.
    title : str
        What is shown: the name of the data, and of what is measured on them.
    n : Series, optional
        Answers or images of each mark, where they are not written beside the marks.
    of : str
        What `n` counts, answers if nothing is said, and which of them: written below the title.
        Without `n` it stands there alone. Several lines are several lines.
    names : dict of str to str, optional
        What the key calls a level that the data of this figure have another name for:
        ``{"refitted": "recalibrated on these"}``.
    ncols : int
        Columns of the key, in which what several axes have in common stands once.
    beside : bool
        Whether the key stands right of the axes, in one column: where these are a square.

    Examples
    --------
    >>> from matplotlib import pyplot as plt
    >>> fig = plt.figure()
    >>> title_and_key(fig, "Accuracy on two tests", n=pd.Series([284, 1441]))
    >>> [text.get_text() for text in fig.findobj(Annotation)]
    ['n = 284 to 1,441 answers']
    """
    heading = fig.suptitle(title, x=0.01, ha="left")
    if n is not None:
        of = f"{number_of(n)} {of or 'answers'}"
    if of:
        # empty lines, for what stands below it
        heading.set_text(title + "\n" * len(of.splitlines()))
        below: dict[str, Any] = {"va": "bottom", "fontsize": 8, "color": GREY}
        fig.add_artist(Annotation(of, (0, 0), xycoords=heading, **below))
    keys: dict[str, Any] = {}
    names = names or {}
    vars(fig)["names"] = dict(names)
    for ax in fig.axes:
        for mark, name in zip(*ax.get_legend_handles_labels(), strict=True):
            # what bars are stands in the key once
            alone = mark if INTERVAL in name else getattr(mark, "lines", [mark])[0]
            keys.setdefault(names.get(name, name), alone)
    has_bars = any(part.has_xerr or part.has_yerr for part in _bars(fig))
    if has_bars and not any(INTERVAL in name for name in keys):
        keys[names.get(INTERVAL, INTERVAL)] = interval_swatch()
    if keys:
        place = "outside center right" if beside else "outside lower center"
        ncols = 1 if beside else ncols
        fig.legend(keys.values(), keys.keys(), loc=place, ncols=ncols)
    _letter_titles(fig)
    fig.draw_without_rendering()
    _level_titles(fig)
    _shift_names_of_lines(fig)


def number_of(n: pd.Series) -> str:
    """Write how many answers or images there are: of one mark, or from the fewest to the most.

    Examples
    --------
    >>> number_of(pd.Series([4549, 4549])), number_of(pd.Series([463, 4549]))
    ('n = 4,549', 'n = 463 to 4,549')
    """
    fewest, most = int(n.min()), int(n.max())
    return f"n = {fewest:,}" if fewest == most else f"n = {fewest:,} to {most:,}"


def _letter_titles(fig: Figure) -> None:
    """A letter before each title, where there are several."""
    titled = [ax for ax in fig.axes if ax.get_title("left")]
    if len(titled) == 1:
        return
    for letter, ax in zip(ascii_lowercase, titled, strict=False):
        ax.set_title(f"{letter}  {ax.get_title('left')}", loc="left")


def _shift_names_of_lines(fig: Figure) -> None:
    """Let the name of a line begin, or end, at it where it would leave its axes."""
    for ax in fig.axes:
        frame = ax.get_window_extent()
        for above in ax.child_axes:
            for name in above.get_xticklabels():
                box = name.get_window_extent()
                if box.x0 < frame.x0:
                    name.set_ha("left")
                elif box.x1 > frame.x1:
                    name.set_ha("right")


def _level_titles(fig: Figure) -> None:
    """Bring titles of a row of panels to one height, whatever stands below them."""
    panels = [ax for ax in fig.axes if ax.get_subplotspec()]
    heights = pd.Series({ax: ax.title.get_position()[1] for ax in panels}, dtype=float)
    rows = [ax.get_subplotspec().rowspan.start for ax in panels]
    highest = heights.groupby(rows).transform("max")
    for ax, height in highest[heights < highest].items():
        ax.set_title(ax.get_title("left"), y=height)


def _bars(fig: Figure) -> list:
    """Every estimate with its bars."""
    parts = [part for ax in fig.axes for part in ax.containers]
    return [part for part in parts if hasattr(part, "has_xerr")]
