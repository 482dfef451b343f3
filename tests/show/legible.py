"""What a reader would find wrong with the words of a figure: too small, cut, on each other."""

import itertools

import matplotlib as mpl

SMALLEST = 8


def _shown(fig):
    """The words of a figure that are drawn: no tick that lies outside its axis."""
    outside = set()
    for ax in fig.findobj(mpl.axes.Axes):
        if not ax.axison:
            outside.update(ax.get_xticklabels() + ax.get_yticklabels())
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in axis.get_major_ticks() + axis.get_minor_ticks():
                if not low - 1e-9 <= tick.get_loc() <= high + 1e-9:
                    outside.update((tick.label1, tick.label2))
    words = []
    for text in fig.findobj(mpl.text.Text):
        if text.get_text().strip() and text.get_visible() and text not in outside:
            words.append(text)
    return words


def faults(fig):
    """Return what is wrong, a sentence each."""
    fig.draw_without_rendering()
    page = fig.bbox.padded(1)
    wrong = []
    boxes = []
    for text in _shown(fig):
        said = text.get_text()
        if text.get_fontsize() < SMALLEST:
            wrong.append(f"{said!r} has {text.get_fontsize()} points")
        box = mpl.text.Text.get_window_extent(text)
        if not (page.contains(box.x0, box.y0) and page.contains(box.x1, box.y1)):
            wrong.append(f"{said!r} leaves the page")
        boxes.append((said, box.padded(-1.5)))
    for (one, first), (other, second) in itertools.combinations(boxes, 2):
        if first.overlaps(second):
            wrong.append(f"{one!r} lies on {other!r}")
    return wrong
