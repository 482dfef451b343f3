"""What a figure draws and says, so that it can be held against its table once it is saved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.collections import LineCollection, PathCollection, PolyCollection
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D
from matplotlib.text import Annotation, Text

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["figure_spec"]

_TOLERANCE = 1.0  # points, by which a mark may lie on the frame


def figure_spec(fig: Figure) -> dict[str, Any]:
    """Return what a figure draws, as `plots` left it on its axes, and what can be read on it.

    Parameters
    ----------
    fig : Figure
        Of charts of :mod:`medcal_nb.plots`, ended by its ``title_and_key``.

    Returns
    -------
    dict
        ``title``, ``n`` (the line below the title), ``key`` (words), ``looks`` (of each word of
        the key, how its swatch looks), ``names`` (words of the key that stand for others) and
        ``panels``: of each axes ``title``, ``x``, ``y``, ``texts``, ``drawn``, ``clipped`` (marks
        that the frame cuts) and ``bars`` (intervals that stick out of their marks); ``outside``
        (words that the figure's edge cuts).

    Examples
    --------
    >>> from matplotlib import pyplot as plt
    >>> fig, ax = plt.subplots()
    >>> _ = ax.plot([0, 1, 2], [0, 1, 2], "o")
    >>> _ = ax.set_xlim(0, 3)
    >>> figure_spec(fig)["panels"][0]["clipped"]
    1
    """
    fig.draw_without_rendering()
    panels = []
    for ax in fig.axes:
        panel = {"title": ax.get_title("left"), "x": ax.get_xlabel()}
        panel |= {"y": ax.get_ylabel(), "drawn": vars(ax).get("drawn", [])}
        panel["texts"] = [text.get_text() for text in ax.texts]
        panels.append(panel | {"clipped": _clipped(ax), "bars": _bars_in_sight(ax)})
    legends = [ax.get_legend() for ax in fig.axes]
    key = []
    looks = []
    for legend in [*fig.legends, *filter(None, legends)]:
        key += [text.get_text() for text in legend.get_texts()]
        looks += [_look(handle) for handle in legend.legend_handles]
    notes = [one.get_text() for one in fig.artists if isinstance(one, Annotation)]
    spec = {"title": fig.get_suptitle().strip(), "n": " ".join(notes), "key": key}
    return spec | {
        "looks": looks,
        "names": vars(fig).get("names", {}),
        "panels": panels,
        "outside": _outside(fig),
    }


def _outside(fig: Figure) -> list[str]:
    """Words of which the edge of the figure cuts a part away."""
    unseen = [tick for ax in fig.axes for tick in _ticks_beyond(ax)]
    edge = _TOLERANCE * fig.dpi / 72
    words = []
    for text in fig.findobj(Text):
        if text.get_visible() and text.get_text().strip() and text not in unseen:
            box = text.get_window_extent()
            low = (box.min < fig.bbox.min - edge).any()
            high = (box.max > fig.bbox.max + edge).any()
            words += [text.get_text()] if low or high else []
    return words


def _ticks_beyond(ax: Axes) -> list[Text]:
    """Labels of ticks that are not drawn: beyond the ends of their axis, or without axes."""
    beyond = []
    for axis in (ax.xaxis, ax.yaxis):
        low, high = sorted(axis.get_view_interval())
        for tick in [*axis.majorTicks, *axis.minorTicks]:
            if not (ax.axison and low <= tick.get_loc() <= high):
                beyond += [tick.label1, tick.label2]
    return beyond


def _clipped(ax: Axes) -> int:
    """Marks of which the frame cuts a part away."""
    frame = ax.get_window_extent()
    n = 0
    for artist, places, size in _marks(ax):
        if artist.get_clip_on():
            radius = size / 2 * ax.figure.dpi / 72
            edge = _TOLERANCE * ax.figure.dpi / 72
            reach = radius - edge
            low = places - reach < frame.min
            high = places + reach > frame.max
            n += int((low | high).any(axis=1).sum())
    return n


def _marks(ax: Axes) -> list[tuple[Artist, np.ndarray, float]]:
    """Artists that draw marks: where these are, (n, 2) in pixels, and their size in points."""
    marks: list[tuple[Artist, np.ndarray, float]] = []
    for line in ax.lines:
        if line.get_marker() not in ("None", None, "", " ", "|", "_"):
            places = line.get_transform().transform(line.get_xydata())
            marks.append((line, places, line.get_markersize()))
    for part in ax.collections:
        if isinstance(part, PathCollection):
            places = part.get_offset_transform().transform(part.get_offsets())
            marks.append((part, places, float(np.sqrt(part.get_sizes().max()))))
    return [
        (artist, places[np.isfinite(places).all(1)], size)
        for artist, places, size in marks
    ]


def _bars_in_sight(ax: Axes) -> int:
    """Bands, and intervals that are longer than their mark is wide."""
    size = max((size for _, _, size in _marks(ax)), default=0.0)
    widest = size * ax.figure.dpi / 72
    n = 0
    for part in ax.collections:
        if isinstance(part, PolyCollection):
            n += 1  # a band
        if isinstance(part, LineCollection):
            for segment in part.get_segments():
                ends = part.get_transform().transform(segment)
                longest = np.ptp(ends, axis=0).max() if len(ends) else 0
                n += bool(longest > widest)
    return n


def _look(handle: Artist) -> str:
    """How a swatch of a key looks, in words that are equal where two cannot be told apart."""
    if isinstance(handle, Line2D):
        ink = to_hex(handle.get_color())
        marker = f"{handle.get_marker()} {to_hex(handle.get_markerfacecolor())}"
        return f"{ink} {handle.get_linestyle()} {handle.get_linewidth():.2g} {marker}"
    properties = handle.properties()
    words = [
        str(properties.get(name))
        for name in ("facecolor", "edgecolor", "hatch", "sizes")
    ]
    if isinstance(handle, PathCollection):
        words += [
            str(len(path.vertices)) + str(path.vertices.sum())
            for path in handle.get_paths()
        ]
    return " ".join(words)
