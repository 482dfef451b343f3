"""One look for every figure: colours by meaning, sizes by column, nothing global.

Colours are the Okabe-Ito set, which people with any common colour vision can tell apart
(Okabe & Ito 2008, "Color Universal Design"). Every colour is doubled by a marker, a line style or
a hatch, so that a grey print keeps the meaning.
"""

from __future__ import annotations

import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILLION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"
GREY, LIGHT_GREY = "#6B6B6B", "#D0D0D0"

_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
# unlike in a grey print, too: solid, then ever more broken
KEY_TITLES = {"dataset": "data set", "model": "model"}
"""Said above a key whose levels could be either: data sets and models may share names."""
LINES = ("-", "--", "-.", ":", (0, (6, 1)), (0, (5, 1, 1, 1, 1, 1)), (0, (2, 1)), (0, (1, 3)))

DOMAIN_COLOURS = {"general": BLUE, "medical": VERMILLION}

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
_MODALITY_MARKERS = dict(zip(MODALITY_COLOURS, _MARKERS, strict=False))

STRATEGY_FAMILIES = {
    "stated": ("verbalized", "verbalized_cot", "linguistic", "top_k", "describe_first"),
    "second turn": ("two_stage", "two_stage_other", "challenge", "p_true"),
    "likelihood": (
        "option_probability",
        "sequence_probability",
        "clip_zero_shot",
    ),
    "agreement": (
        "self_consistency",
        "semantic_entropy",
        "paraphrase",
        "augment",
        "blank_image",
        "none_of_the_above",
    ),
    "fusion": (
        "fusion",
        "fusion_support",
        "fusion_trained",
        "ms_fbi",
        "ms_fbi_support",
        "ms_fbi_trained",
        "expert",
    ),
}
FAMILY_COLOURS = {
    "stated": VERMILLION,
    "second turn": ORANGE,
    "likelihood": BLUE,
    "agreement": GREEN,
    "fusion": PURPLE,
    "other": GREY,
}
# families whose colours are equally dark share no marker
_FAMILY_MARKERS = {
    "stated": ("o", "s", "^", "D", "v"),
    "second turn": ("o", "s", "^", "D"),
    "likelihood": ("P", "*", "p", "x"),
    "agreement": ("X", "<", ">", "h", "d", "8"),
    "fusion": ("P", "*", "p", "+", "x", "1", "H"),
    "other": ("H", "3", "4", "|", "_"),
}
STRATEGY_COLUMNS = ("strategy", "system", "left_out")
CYCLE = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK, GREY)
_COLOUR_MARKERS = dict(zip(CYCLE, _MARKERS, strict=False))

CORRECTION_COLOURS = {
    "none": GREY,
    "as stated": GREY,
    "temperature": SKY,
    "log_odds": BLUE,
    "platt": VERMILLION,
    "beta": PURPLE,
    "isotonic": GREEN,
    "histogram": ORANGE,
    "adapted": BLACK,
    "trained": SKY,
}

_COLOURS_OF = {
    "domain": DOMAIN_COLOURS,
    "modality": MODALITY_COLOURS,
    "correction": CORRECTION_COLOURS,
    "method": CORRECTION_COLOURS,
}

# what people call the things that tables name in code; strategies keep the name they are asked by
_NAMES = {
    "accuracy": "accuracy",
    "mean_confidence": "mean confidence",
    "ece": "ECE",
    "ece_width": "ECE, equal width",
    "ece_mass": "ECE, equal mass",
    "ece_debiased": "debiased ECE",
    "debiased_ece": "debiased ECE",
    "debiased_width": "debiased, equal width",
    "debiased_mass": "debiased, equal mass",
    "smooth_ece": "smooth ECE",
    "ici": "ICI",
    "brier": "Brier score",
    "log_loss": "log loss",
    "auroc": "AUROC",
    "aurc": "AURC",
    "platt": "Platt",
    "temperature": "temperature of all options",
    "log_odds": "log-odds scaling",
}

_LOCK = threading.RLock()

# inches; "full" is narrower than two columns of a paper, so that its words, shrunk to one column
# (85 mm), still stand at 4 to 5 points; "screen" is for the lesson
WIDTHS = {"half": 3.4, "full": 5.4, "screen": 7.0}


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
    family = strategy_family(strategy)
    markers, members = _FAMILY_MARKERS[family], STRATEGY_FAMILIES.get(family, ())
    position = members.index(strategy) if strategy in members else len(strategy)
    return markers[position % len(markers)]


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


def looks(column, levels, *, colours=None, markers=None) -> tuple[dict, dict]:
    """Return ``(colours, markers)`` of levels, the same in every figure where they mean something.

    Strategies, domains, modalities and corrections have colours of their own, other levels take
    turns. Strategies have markers of their own; elsewhere a colour brings its marker, as long as
    that tells the levels apart.

    Parameters
    ----------
    column : str or None
        What the levels are: the name of their column.
    levels : sequence
    colours, markers : dict, optional
        What is settled already, by level.
    """
    levels = list(dict.fromkeys(levels))
    own_colours, own_markers = {}, {}
    if column in STRATEGY_COLUMNS:
        own_colours = {level: strategy_colour(level) for level in levels}
        own_markers = {level: strategy_marker(level) for level in levels}
    elif column in _COLOURS_OF:
        own_colours = {level: _COLOURS_OF[column].get(level, GREY) for level in levels}
        own_markers = _MODALITY_MARKERS if column == "modality" else {}
    colours = cycle_colours(levels) | own_colours | (colours or {})
    brought = {level: _COLOUR_MARKERS.get(colours[level], "o") for level in levels}
    if len(set(brought.values())) < len(levels):
        brought = cycle_markers(levels)
    return colours, brought | own_markers | (markers or {})


def label_of(level) -> str:
    """Return what a figure calls a level of a table: ``Platt`` for ``platt``, say."""
    return _NAMES.get(level, str(level))


def luminance(colour) -> float:
    r"""Return how light a colour is on a grey print, 0 (black) to 1 (white): CIE L* / 100.

    .. math:: L^* / 100 = 1.16\, Y^{1/3} - 0.16, \qquad
       Y = 0.2126 R + 0.7152 G + 0.0722 B \text{ (linear)}

    and :math:`9.033\, Y` where Y is below 0.00886.

    References
    ----------
    CIE 15:2018, section 8.2.1.1; IEC 61966-2-1 for the linear components.
    """
    from matplotlib.colors import to_rgb

    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in to_rgb(colour)]
    y = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return 1.16 * y ** (1 / 3) - 0.16 if y > 0.008856 else 9.033 * y


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
        # what lies below a legend must not cross its words
        "legend.frameon": True,
        "legend.facecolor": "white",
        "legend.edgecolor": "none",
        "legend.framealpha": 0.85,
        "lines.linewidth": 1.4,
        "lines.markersize": 4.5,
        "svg.fonttype": "none",
    }
    rc.update({key.replace("_", "."): value for key, value in overrides.items()})
    _start_backend()
    with _LOCK, mpl.rc_context(rc):
        yield


@cache
def _start_backend() -> None:
    """Load matplotlib's backend, which may set rcParams that a context would take back."""
    import matplotlib.pyplot as plt

    plt.switch_backend(plt.get_backend())


def caption(fig, words: str) -> None:
    """Say below a figure's panels what its marks are, in small print."""
    fig.supxlabel(wrapped(fig, words), x=0.01, ha="left", fontsize=SMALL_PRINT, color=GREY)


SMALL_PRINT = 7  # points


def wrapped(fig, words: str) -> str:
    """Return words in lines of small print that are at most as wide as a figure."""
    # the letters of 7 points are 3.75 wide
    return textwrap.fill(words, int(72 * fig.get_figwidth() / 3.75), break_on_hyphens=False)


def log_axis(ax, values) -> None:
    """Draw x on a logarithmic axis that has room for 0."""
    ax.set_xscale("symlog", linthresh=1, linscale=0.3)
    ax.set_xlim(-0.6 if values.min() < 1 else 0.7 * values.min(), 1.5 * max(values.max(), 1))
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")


def figure(width: str = "full", height: float = 3.0, **grid):
    """Return ``(figure, axes)`` of a column's width.

    Parameters
    ----------
    width
        ``"half"``, ``"full"`` or ``"screen"``, see `WIDTHS`.
    height
        Inches.
    **grid
        Passed to :func:`matplotlib.pyplot.subplots` (``nrows``, ``ncols``, ``sharey`` ...).
    """
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(WIDTHS[width], height), layout="constrained", **grid)
