"""One look for every figure: what a colour means, one size of type, and nothing set globally.

Blue means general and orange means medical, and neither means anything else. What else needs
telling apart has inks of its own and marks or dashes besides, so that people of any colour vision
and a grey print keep the meaning; a test measures the distances.
"""

from __future__ import annotations

import itertools
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from medcal_nb.show.words import label_of

GENERAL = "#0072B2"
MEDICAL = "#D55E00"
VIOLET = "#4B2067"
PINK = "#CC79A7"
MOSS = "#2E5E1A"
LIME = "#8BC34A"
BLACK = "#000000"
GREY = "#6B6B6B"
PALE = "#D9D9D9"
INKS = (VIOLET, LIME, MOSS, PINK, BLACK, GREY)

WIDTHS = {"half": 3.4, "full": 5.4}
"""Inches. A full figure, shrunk to one column of 85 mm, still has words of 5 points."""
SMALL = 7.5
"""Points of the smallest words."""

_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
_LINES = (
    "-",
    (0, (5, 2)),
    (0, (1, 1.2)),
    (0, (6, 2, 1, 2)),
    (0, (3, 1, 1, 1, 1, 1)),
    (0, (2, 3)),
)

FAMILIES = {
    "stated": VIOLET,
    "second turn": PINK,
    "likelihood": MOSS,
    "agreement": LIME,
    "fusion": BLACK,
    "probe": GREY,
}
"""Families of strategies, with their colours."""


class Look(NamedTuple):
    """Colour, marker and dashes of a level."""

    colour: str
    marker: str
    line: object


_KNOWN = {
    "general": Look(GENERAL, "o", "-"),
    "medical": Look(MEDICAL, "s", (0, (5, 1.2))),
    "as stated": Look(GREY, "d", _LINES[2]),
}


def strategy_family(name: str) -> str:
    """Return the family that a strategy, or a fusion of several, belongs to; else ``"other"``."""
    from medcal_nb.ask.strategies import STRATEGIES

    name = str(name)
    if name.startswith(("fusion", "expert")):
        return "fusion"
    if name in ("imported", "recorded"):
        return "stated"
    return (
        "probe"
        if name.endswith("_blank")
        else getattr(STRATEGIES.get(name), "family", "other")
    )


def looks(levels) -> dict[object, Look]:
    """Return how each level is drawn, by what it is.

    General and medical are blue and orange; strategies have the colour of their family and a
    marker of their own; ``as stated`` is grey; others take the remaining inks in turn.

    Parameters
    ----------
    levels : sequence
        In order of appearance; repeated ones count once.
    """
    found = {}
    others = itertools.count()
    for level in dict.fromkeys(levels):
        known = label_of(level).removesuffix(" images").removesuffix(" labels")
        found[level] = _KNOWN.get(known) or _other_look(
            strategy_family(level), next(others)
        )
    return found


def _other_look(family, k) -> Look:
    colour = INKS[k % len(INKS)] if family == "other" else FAMILIES[family]
    return Look(colour, _MARKERS[k % len(_MARKERS)], _LINES[k % len(_LINES)])


_HOUSE = Path(__file__).with_name("house.mplstyle")
_LOCK = threading.RLock()


@contextmanager
def style(**more) -> Iterator[None]:
    """Apply the house style inside a ``with`` block; only what it sets is put back.

    One thread at a time, because matplotlib's settings are global. Words are plain: a ``$`` in a
    model's name begins no formula. ``more`` are further settings, ``__`` in place of ``.``.
    """
    import matplotlib as mpl

    rc = mpl.rc_params_from_file(_HOUSE, use_default_template=False)
    rc |= {key.replace("__", "."): value for key, value in more.items()}
    with _LOCK:
        before = {key: mpl.rcParams[key] for key in rc}
        mpl.rcParams.update(rc)
        try:
            yield
        finally:
            mpl.rcParams.update(before)


def figure(width: str = "full", height: float = 3.0, **grid):
    """Return ``(figure, axes)`` in the house style.

    Parameters
    ----------
    width
        ``"half"`` or ``"full"``, see `WIDTHS`.
    height
        Inches.
    **grid
        Passed to :func:`matplotlib.pyplot.subplots` (``nrows``, ``ncols``, ``width_ratios`` …).
    """
    import matplotlib.pyplot as plt

    with style():
        return plt.subplots(
            figsize=(WIDTHS[width], height), layout="constrained", **grid
        )


def headline(fig, title: str = "", note: str = "") -> None:
    """Write a finding above a figure and a remark in small print below it, both wrapped.

    The sentences come from the caller, computed from the numbers that are drawn.
    """
    width = 72 * fig.get_figwidth()

    def fill(text, letter):
        text = text.replace(" %", "\u00a0%")  # no line begins with a sign
        return textwrap.fill(text, int(width / letter), break_on_hyphens=False)

    with style():
        if title:
            fig.suptitle(fill(title, 6.4), x=0.01, ha="left")
        if note:
            look = {"fontsize": SMALL, "color": GREY}
            fig.supxlabel(fill(note, 0.54 * SMALL), x=0.01, ha="left", **look)


def synthetic_note(table) -> str:
    """Return `` (synthetic images)`` where any data set is an embedded, synthetic one."""
    made = table["dataset"].astype(str).str.startswith("pocket").any()
    return " (synthetic images)" if made else ""
