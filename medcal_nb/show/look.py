"""One look for every figure: what a colour means, one size of type, and nothing set globally.

Blue means general and orange means medical, and neither means anything else. What else needs
telling apart has inks of its own and marks or dashes besides, so that people of any colour vision
and a grey print keep the meaning; a test measures the distances.
"""

from __future__ import annotations

import textwrap
import threading
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from medcal_nb.show.words import label_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GENERAL = "#0072B2"
MEDICAL = "#D55E00"
VIOLET = "#4B2067"
PINK = "#CC79A7"
MOSS = "#2E5E1A"
LIME = "#8BC34A"
TEAL = "#10C080"
BLACK = "#000000"
GREY = "#6B6B6B"
PALE = "#D9D9D9"
INKS = (VIOLET, PINK, BLACK, TEAL, MOSS, LIME, GREY)

SYNTHETIC = "Synthetic images."

WIDTHS = {"half": 3.5, "full": 7.0}
"""Inches: one column of a journal, and two."""
SMALL = 8
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
    "ensemble": BLACK,
    "ablation": GREY,
    "probe": TEAL,
}
"""Families of strategies, with their colours."""


class Look(NamedTuple):
    """Colour, marker and dashes of a level, and whether its marker is filled."""

    colour: str
    marker: str
    line: object
    filled: bool = True

    @property
    def face(self) -> str:
        """The colour inside the marker."""
        return self.colour if self.filled else "white"


MODELS = (
    "InternVL3_5-14B-HF",
    "gemma-3-27b-it",
    "Qwen3-VL-8B-Instruct",
    "llava-v1.6-vicuna-13b-hf",
    "deepseek-vl2",
    "pocket-general",
    "pocket-expert",
    "pocket-medical",
    "pocket-general-large",
    "pocket-medical-large",
    "pocket-clip",
)
"""Models with a place of their own among colours and marks; others get one by their name."""

_GENERAL = Look(GENERAL, "o", "-")
_MEDICAL = Look(MEDICAL, "s", (0, (5, 1.2)))
_UNCORRECTED = Look(GREY, "D", _LINES[2])
_KNOWN = {
    "general": _GENERAL,
    "transferred": _GENERAL,
    "medical": _MEDICAL,
    "refitted": _MEDICAL,
    "uncorrected": _UNCORRECTED,
    "as elicited": _UNCORRECTED,
    "accuracy known": Look(GENERAL, "^", _LINES[3], filled=False),
    "intercept re-estimated": Look(GENERAL, "^", _LINES[3], filled=False),
    "slope re-estimated": Look(GENERAL, "v", _LINES[4], filled=False),
    "intercept and slope re-estimated": Look(GENERAL, "P", _LINES[5], filled=False),
    "Platt scaling": Look(BLACK, "o", "-"),
    "trained ensemble": Look(TEAL, "^", _LINES[1]),
    "text": Look(BLACK, "^", _LINES[3]),
    "text only": Look(BLACK, "^", _LINES[3]),
}
_PROBES = {
    "probe_pik": Look(BLACK, "^", "-"),
    "probe_saplma": Look(LIME, "v", _LINES[1]),
    "probe_internalinspector": Look(MOSS, "X", _LINES[3]),
    "probe_ccps": Look(GREY, "P", _LINES[4]),
    "probe_bicr": Look(TEAL, "s", _LINES[5]),
}
_PLACES = len(INKS) * len(_MARKERS) // 2
"""Different pairs of a colour and a mark, both taken in turn (35 of 7 and 10)."""


def strategy_family(name: str) -> str:
    """Return the family that a method, or an ensemble of several, belongs to; else ``"other"``."""
    from medcal_nb.ask.strategies import STRATEGIES

    name = str(name)
    if name.startswith(("average", "expert")):
        return "ensemble"
    if name in ("imported", "recorded"):
        return "stated"
    if name == "token_probability":
        return "likelihood"
    if name.startswith("probe_"):
        return "probe"
    if name.endswith("_blank"):
        return "ablation"
    return getattr(STRATEGIES.get(name), "family", "other")


def looks(levels: Iterable) -> dict[object, Look]:
    """Return how each level is drawn: by its name, so that it is drawn so in every figure.

    General and medical are blue and orange, and so are the maps fitted on them; uncorrected
    confidences are grey. A method has the colour of its family and a mark of its own. Models that
    stand in `MODELS` have a colour and a mark of their own, all else one that follows from its
    name; where two names of one figure would share a colour, the later in the alphabet gives way.

    Parameters
    ----------
    levels : iterable
        Repeated ones count once.

    Returns
    -------
    dict
        From level to `Look`, in order of appearance.
    """
    order = list(dict.fromkeys(levels))
    looked = {}
    taken = set()
    for level in sorted(order, key=str):
        looked[level] = _KNOWN.get(_condition(level)) or _method_look(str(level))
        if looked[level] is None:
            place = _place_of(str(level), taken)
            taken.add(place)
            looked[level] = _look_at(place)
    return {level: looked[level] for level in order}


def has_look(level: object) -> bool:
    """Tell whether a colour and a mark belong to this name: a model, method or condition."""
    if level in MODELS or _condition(level) in _KNOWN:
        return True
    return strategy_family(str(level)) in FAMILIES


def _condition(level: object) -> str:
    return label_of(level).removesuffix(" images").removesuffix(" labels")


def _method_look(name: str) -> Look | None:
    """Return the look of a method by its family; None of what is no method."""
    from medcal_nb.ask.strategies import STRATEGIES

    family = strategy_family(name)
    if name in _PROBES:
        return _PROBES[name]
    if family not in FAMILIES:
        return None
    members = [one.name for one in STRATEGIES.values() if one.family == family]
    place = members.index(name) if name in members else zlib.crc32(name.encode())
    marker = _MARKERS[place % len(_MARKERS)]
    return Look(FAMILIES[family], marker, _LINES[place % len(_LINES)])


def _place_of(name: str, taken: set[int]) -> int:
    """Return the place of a name among colours and marks.

    If its colour is taken it is the next place with a free colour, or else the next free place.
    The places of `MODELS` are theirs, whether they are there or not.
    """
    if name in MODELS:
        return MODELS.index(name)
    others = range(len(MODELS), _PLACES)
    begin = zlib.crc32(name.encode()) % len(others)
    order = [*others[begin:], *others[:begin]]
    colours = {place % len(INKS) for place in taken}
    free = [place for place in order if place not in taken] or order
    apart = [place for place in free if place % len(INKS) not in colours] or free
    return apart[0]


def _look_at(place: int) -> Look:
    marker = _MARKERS[place % len(_MARKERS)]
    return Look(INKS[place % len(INKS)], marker, _LINES[place % len(_LINES)])


_HOUSE = Path(__file__).with_name("house.mplstyle")
_LOCK = threading.RLock()


@contextmanager
def style(**more: Any) -> Iterator[None]:
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


def figure(width: str = "full", height: float = 3.0, **grid: Any) -> tuple[Figure, Any]:
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


def headline(fig: Figure, title: str = "", note: str = "") -> None:
    """Write a finding above a figure, and a remark in small print below it, wrapped."""
    letters = int(72 * fig.get_figwidth() / (0.55 * SMALL))
    left = 0.045 / fig.get_figwidth()
    with style():
        if title:
            fig.suptitle(title, x=left, ha="left")
        if note:
            text = textwrap.fill(note.replace(" %", "\u00a0%"), letters)
            fig.supxlabel(text, x=left, ha="left", fontsize=SMALL, color=GREY)


def synthetic_note(table: pd.DataFrame) -> str:
    """Return ``Synthetic images.`` where a model, a data set or a label is an embedded one."""
    for name in table:
        words = table[name]
        if pd.api.types.is_numeric_dtype(words):
            continue
        if words.dtype == object:  # the bytes of an image, say, are no label
            is_text = words.map(lambda value: isinstance(value, str))
            words = words[is_text.to_numpy(dtype=bool)]
        if words.astype(str).str.startswith("pocket").any():
            return SYNTHETIC
    return ""
