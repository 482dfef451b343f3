"""One look for every figure: colours by meaning, sizes by column, nothing global.

Colours are the Okabe-Ito set, which people with any common colour vision can tell apart
(Okabe & Ito 2008, "Color Universal Design"). Every colour is doubled by a marker or a hatch, so
that a grey print keeps the meaning.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILLION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
GREY, LIGHT_GREY = "#6B6B6B", "#D0D0D0"

DOMAIN_COLOURS = {"general": BLUE, "medical": VERMILLION}
DOMAIN_MARKERS = {"general": "o", "medical": "s"}

MODALITY_COLOURS = {
    "x-ray": BLUE,
    "ct": SKY,
    "mri": GREEN,
    "ultrasound": ORANGE,
    "pathology": PURPLE,
    "fundus": VERMILLION,
    "drawing": GREY,
    "digit": BLACK,
    "photo": GREY,
}

STRATEGY_FAMILIES = {
    "stated": ("verbalized", "verbalized_cot", "linguistic", "top_k", "describe_first"),
    "second turn": ("two_stage", "two_stage_other", "challenge", "p_true"),
    "likelihood": ("option_probability", "sequence_probability", "clip_zero_shot"),
    "agreement": (
        "self_consistency",
        "semantic_entropy",
        "paraphrase",
        "augment",
        "image_ablation",
        "cross_model",
    ),
    "fusion": ("fusion", "fusion_trained", "ms_fbi", "expert"),
}
FAMILY_COLOURS = {
    "stated": VERMILLION,
    "second turn": ORANGE,
    "likelihood": BLUE,
    "agreement": GREEN,
    "fusion": PURPLE,
    "other": GREY,
}
CYCLE = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK, GREY)
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")

CORRECTION_COLOURS = {
    "none": GREY,
    "temperature": BLUE,
    "platt": VERMILLION,
    "beta": PURPLE,
    "isotonic": GREEN,
    "histogram": ORANGE,
    "shrunken": BLACK,
}

_LOCK = threading.RLock()

WIDTHS = {"half": 3.4, "full": 7.0}  # inches: one and two columns of a paper


def strategy_family(strategy: str) -> str:
    """Return the family that a strategy belongs to ("other" for one that is not ours)."""
    for family, members in STRATEGY_FAMILIES.items():
        if strategy in members:
            return family
    return "other"


def strategy_colour(strategy: str) -> str:
    """Return the colour of a strategy: the colour of its family."""
    return FAMILY_COLOURS[strategy_family(strategy)]


def strategy_marker(strategy: str) -> str:
    """Return the marker of a strategy, unlike its neighbours' of the same family."""
    members = STRATEGY_FAMILIES.get(strategy_family(strategy), ())
    position = members.index(strategy) if strategy in members else len(strategy)
    return _MARKERS[position % len(_MARKERS)]


def dataset_colours(verdicts) -> dict[str, str]:
    """Return a colour per data set: its domain's for the first of a domain, then others.

    Parameters
    ----------
    verdicts : pandas.DataFrame
        With columns ``dataset`` and ``domain``.
    """
    colours: dict[str, str] = {}
    for dataset, domain in verdicts[["dataset", "domain"]].drop_duplicates().values:
        wanted = DOMAIN_COLOURS.get(domain, GREY)
        free = [c for c in (wanted, *CYCLE) if c not in colours.values()]
        colours[dataset] = free[0] if free else GREY
    return colours


def cycle_colours(levels) -> dict[str, str]:
    """Return a colour per level, in order of first appearance."""
    return {level: CYCLE[k % len(CYCLE)] for k, level in enumerate(dict.fromkeys(levels))}


def cycle_markers(levels) -> dict[str, str]:
    """Return a marker per level, in order of first appearance."""
    return {level: _MARKERS[k % len(_MARKERS)] for k, level in enumerate(dict.fromkeys(levels))}


def synthetic_note(table) -> str:
    """Return `` (synthetic images)`` where any data set is an embedded, synthetic one."""
    made = table["dataset"].astype(str).str.startswith("pocket").any()
    return " (synthetic images)" if made else ""


@contextmanager
def style(**overrides) -> Iterator[None]:
    """Apply the house style inside a ``with`` block and leave matplotlib as it was.

    One thread at a time: matplotlib's settings are global, and a notebook may draw in a cell
    while a moved slider draws in another thread.

    Parameters
    ----------
    **overrides
        Further rcParams, with ``_`` in place of ``.`` (``font_size=9``).
    """
    import matplotlib as mpl

    rc = {
        "figure.dpi": 110,
        "savefig.dpi": 300,
        "figure.constrained_layout.use": True,
        "font.family": "DejaVu Sans",
        "font.size": 8.5,
        "figure.titlesize": 9.5,
        "axes.titlesize": 9,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.labelsize": 8.5,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.8,
        "axes.grid": False,
        "axes.axisbelow": True,
        "grid.color": LIGHT_GREY,
        "grid.linewidth": 0.5,
        "xtick.labelsize": 7.5,
        "ytick.labelsize": 7.5,
        "legend.fontsize": 7.5,
        "legend.frameon": False,
        "lines.linewidth": 1.4,
        "lines.markersize": 4.5,
        "svg.fonttype": "none",
    }
    rc.update({key.replace("_", "."): value for key, value in overrides.items()})
    with _LOCK, mpl.rc_context(rc):
        yield


def figure(width: str = "full", height: float = 3.0, **grid):
    """Return ``(figure, axes)`` of a column's width.

    Parameters
    ----------
    width
        ``"half"`` (3.4 in) or ``"full"`` (7.0 in).
    height
        Inches.
    **grid
        Passed to :func:`matplotlib.pyplot.subplots` (``nrows``, ``ncols``, ``sharey`` ...).
    """
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(WIDTHS[width], height), layout="constrained", **grid)
