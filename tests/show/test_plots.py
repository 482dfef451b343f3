"""Plots: what is drawn is read back from the axes."""

import itertools
import threading

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from medcal_nb.measure import reliability_table
from medcal_nb.show import grids, plots
from medcal_nb.show import style as st

mpl.use("Agg")


@pytest.fixture
def ax():
    fig, ax = plt.subplots()
    yield ax
    plt.close(fig)


@pytest.fixture
def reliability(rng):
    confidence = rng.random(300)
    return reliability_table(confidence, rng.random(300) < confidence, n_bins=10)


def test_reliability_dots_stand_at_the_table(ax, reliability):
    plots.plot_reliability(reliability, ax=ax, note="ECE 0.1", title="t")
    dots = next(line for line in ax.lines if line.get_marker() == "o")
    assert np.allclose(dots.get_xdata(), reliability["mean_confidence"])
    assert np.allclose(dots.get_ydata(), reliability["accuracy"])
    assert {t.get_text() for t in ax.texts} == {"ECE 0.1", "n = 300"}
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("confidence", "accuracy")


def test_the_note_covers_no_mark_of_the_diagram(ax, reliability):
    plots.plot_reliability(reliability, ax=ax, note="ECE 0.1", title="t")
    ax.figure.canvas.draw()
    note = next(t for t in ax.texts if t.get_text() == "ECE 0.1").get_window_extent()
    assert note.y0 > ax.get_window_extent().y1
    assert note.y1 < ax.child_axes[0].get_window_extent().y0


def test_intervals_keep_the_order_of_labels(ax):
    table = pd.DataFrame({"label": ["z", "a"], "estimate": [1, 2], "low": [0, 1], "high": [2, 3]})
    plots.plot_intervals(table, ax=ax, reference=0.0)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["z", "a"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]


def test_heatmap_writes_value_interval_and_n_and_hatches_small_cells(ax):
    table = pd.DataFrame(
        {"r": ["x", "x"], "c": ["p", "q"], "v": [0.25, 0.5], "lo": [0.2, 0.1], "hi": [0.3, 0.9],
         "n": [100, 5]}
    )  # fmt: skip
    plots.plot_heatmap(table, ax=ax, row="r", column="c", value="v", low="lo", high="hi", min_n=10)
    texts = {t.get_text(): t.get_color() for t in ax.texts if t.get_text()}
    assert set(texts) == {"0.25\n[0.20, 0.30]\nn = 100", "0.50\n[0.10, 0.90]\nn = 5"}
    assert texts["0.50\n[0.10, 0.90]\nn = 5"] == st.GREY
    # the small cell, and no other, has a mark that no colour map has
    assert [(p.get_x(), p.get_y()) for p in ax.patches if p.get_hatch()] == [(1, 0)]


def test_histogram_puts_wrong_answers_below_the_line(ax):
    table = pd.DataFrame(
        {"low": [0, 0.5], "high": [0.5, 1], "n_correct": [1, 4], "n_wrong": [3, 0]}
    )
    plots.plot_confidence_histogram(table, ax=ax)
    heights = [bar.get_height() for bar in ax.patches]
    assert heights == [1, 4, -3, 0]


def test_style_leaves_matplotlib_as_it_was():
    before = dict(mpl.rcParams)
    with st.style():
        assert mpl.rcParams["axes.spines.top"] is False
    assert dict(mpl.rcParams) == before


# lightness (0 to 1) by which two greys can be told apart without a key, with room to spare
APART = 0.12


def strategies():
    from medcal_nb.ask.strategies import STRATEGIES

    return sorted({*STRATEGIES, *(m for f in st.STRATEGY_FAMILIES.values() for m in f)})


def test_every_strategy_of_a_family_has_its_own_marker():
    for family, members in st.STRATEGY_FAMILIES.items():
        assert len({st.strategy_marker(m) for m in members}) == len(members), family
        assert {st.strategy_family(m) for m in members} == {family}


def test_every_strategy_that_can_be_asked_has_a_family():
    assert [name for name in strategies() if st.strategy_family(name) == "other"] == []


def tellable(colours, markers, levels):
    """Whether each pair of levels differs on a grey print."""
    for one, other in itertools.combinations(levels, 2):
        apart = abs(st.luminance(colours[one]) - st.luminance(colours[other]))
        assert markers[one] != markers[other] or apart > APART, (one, other, apart)


def test_strategies_can_be_told_apart_on_a_grey_print():
    names = strategies()
    tellable(*st.looks("strategy", names), names)


@pytest.mark.parametrize(
    ("column", "levels"),
    [
        ("domain", list(st.DOMAIN_COLOURS)),
        ("modality", list(st.MODALITY_COLOURS)),
        # two fits that are never drawn in one figure share the colour of a temperature
        ("correction", [k for k in st.CORRECTION_COLOURS if k != "option_temperature"]),
        ("correction", ["none", "option_temperature"]),
        ("model", [f"model {k}" for k in range(8)]),
    ],
)
def test_other_hues_can_be_told_apart_on_a_grey_print(column, levels):
    tellable(*st.looks(column, levels), levels)


def test_data_sets_can_be_told_apart_on_a_grey_print():
    table = pd.DataFrame({"dataset": ["a", "b", "c"], "domain": ["general", "medical", "medical"]})
    names = list(table["dataset"])
    tellable(*st.looks("dataset", names, colours=st.dataset_colours(table)), names)


def test_lines_differ_by_more_than_colour(ax):
    n = len(st.LINES)
    table = pd.DataFrame({"x": [0, 1] * n, "y": range(2 * n), "h": np.repeat(range(n), 2)})
    plots.plot_lines(table, ax=ax, x="x", y="y", hue="h")
    assert len({(ln.get_linestyle(), str(ln._dash_pattern)) for ln in ax.lines}) == n


def test_the_marks_of_all_voters_are_filled_or_they_hide_in_their_intervals():
    from matplotlib.lines import Line2D

    stated, asked_again = st.STRATEGY_FAMILIES["stated"], st.STRATEGY_FAMILIES["second turn"]
    others = "sequence_probability", "self_consistency", "paraphrase", "expert"
    for name in (*stated, *asked_again, *others):
        assert st.strategy_marker(name) in Line2D.filled_markers, name


def test_luminance_of_known_colours():
    assert st.luminance("#000000") == 0
    assert st.luminance("#FFFFFF") == pytest.approx(1)
    # CIE L* of sRGB mid grey
    assert st.luminance("#777777") == pytest.approx(0.5, abs=0.003)


def test_what_is_settled_wins_over_the_default_look():
    colours, markers = st.looks("strategy", ["p_true"], colours={"p_true": "#123456"})
    assert colours == {"p_true": "#123456"}
    assert markers == {"p_true": st.strategy_marker("p_true")}


def test_strategies_keep_their_look_as_hue_and_as_label(ax):
    table = pd.DataFrame(
        {"strategy": ["verbalized", "p_true"], "label": "x", "estimate": [1, 2], "low": [0, 1],
         "high": [2, 3]}
    )  # fmt: skip
    wanted = {(st.strategy_colour(name), st.strategy_marker(name)) for name in table["strategy"]}
    import matplotlib.pyplot as plt

    for options in ({"hue": "strategy"}, {"label": "strategy"}):
        plt.cla()
        plots.plot_intervals(table, ax=ax, **options)
        drawn = {(ln.get_color(), ln.get_marker()) for ln in ax.lines if ln.get_marker() != "None"}
        assert drawn == wanted
    plt.cla()
    plots.plot_lines(table, ax=ax, x="estimate", y="high", hue="strategy")
    assert {ln.get_color() for ln in ax.lines} == {colour for colour, _ in wanted}


def test_writing_in_cells_stands_out_from_them(ax):
    table = pd.DataFrame({"r": "x", "c": list("abcdef"), "v": np.linspace(0, 1, 6), "n": 100})
    plots.plot_heatmap(table, ax=ax, row="r", column="c", value="v", cmap="PuOr", limits=(0, 1))
    faces = ax.collections[0].get_facecolors()
    for text in ax.texts:
        x = int(text.get_position()[0])
        assert abs(st.luminance(faces[x]) - st.luminance(text.get_color())) > 0.44


def test_no_cell_reads_minus_nothing(ax):
    table = pd.DataFrame({"r": "x", "c": ["a"], "v": [-0.001], "lo": [-0.2], "hi": [0.004], "n": 9})
    plots.plot_heatmap(table, ax=ax, row="r", column="c", value="v", low="lo", high="hi")
    assert ax.texts[0].get_text() == "0.00\n[-0.20, 0.00]\nn = 9"


def test_dataset_colours_follow_the_domain_and_never_repeat():
    table = pd.DataFrame({"dataset": ["a", "b", "c"], "domain": ["general", "medical", "general"]})
    colours = st.dataset_colours(table)
    assert colours["a"] == st.DOMAIN_COLOURS["general"]
    assert colours["b"] == st.DOMAIN_COLOURS["medical"]
    assert len(set(colours.values())) == 3


@pytest.mark.parametrize(
    ("level", "label"),
    [("platt", "Platt"), ("ece", "ECE"), ("brier", "Brier score"), ("two_stage", "two_stage"),
     (15, "15")],
)  # fmt: skip
def test_people_read_names_and_not_columns(level, label):
    assert st.label_of(level) == label


def test_names_in_legends_and_on_axes_are_those_people_read(ax):
    table = pd.DataFrame(
        {"value": [0.1, 0.2], "low": [0.0, 0.1], "high": [0.2, 0.3], "label": ["ece", "brier"],
         "method": ["platt", "none"]}
    )  # fmt: skip
    plots.plot_intervals(table, ax=ax, value="value", hue="method")
    assert [t.get_text() for t in ax.get_yticklabels()] == ["ECE", "Brier score"]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["Platt", "none"]


def test_accuracy_and_confidence_both_have_intervals(ax):
    table = pd.DataFrame(
        {"accuracy": [0.5], "accuracy_low": [0.4], "accuracy_high": [0.7], "domain": ["medical"],
         "mean_confidence": [0.8], "mean_confidence_low": [0.75], "mean_confidence_high": [0.85]}
    )  # fmt: skip
    plots.plot_accuracy_confidence(table, ax=ax)
    across, up = (bars.get_segments()[0] for bars in ax.containers[0].lines[2])
    assert np.allclose(across, [[0.4, 0.8], [0.7, 0.8]])
    assert np.allclose(up, [[0.5, 0.75], [0.5, 0.85]])


def test_synthetic_data_is_named():
    assert "synthetic" in st.synthetic_note(pd.DataFrame({"dataset": ["pocketvqa-medical", "x"]}))
    assert st.synthetic_note(pd.DataFrame({"dataset": ["vqa-rad"]})) == ""


def test_reliability_grid_has_a_panel_per_group(rng):
    parts, scores = [], []
    for strategy in ("verbalized", "p_true"):
        for dataset in ("one", "two"):
            table = reliability_table(rng.random(50), rng.random(50) < 0.5)
            parts.append(table.assign(strategy=strategy, dataset=dataset))
            scores.append({"strategy": strategy, "dataset": dataset, "ece": 0.1, "ece_low": 0.0,
                           "ece_high": 0.2})  # fmt: skip
    fig = grids.reliability_grid(
        pd.concat(parts), pd.DataFrame(scores), row="strategy", column="dataset"
    )
    titles = [child.get_title(loc="left") for ax in fig.axes for child in ax.child_axes]
    assert titles == ["verbalized, one", "verbalized, two", "p_true, one", "p_true, two"]
    below = fig.get_supxlabel()
    for words in ("accuracy per bin, 95% Wilson", "calibrated model fall, 95%", "share of answers"):
        assert words in " ".join(below.split())


def test_a_figure_drawn_in_another_thread_waits_for_its_turn():
    inside, other = [], []

    def draw():
        with st.style(font_size=20):
            other.append(mpl.rcParams["font.size"])

    before = mpl.rcParams["font.size"]
    with st.style(font_size=5):
        thread = threading.Thread(target=draw)
        thread.start()
        thread.join(0.2)
        inside.append(mpl.rcParams["font.size"])
        assert other == []
    thread.join()
    assert (inside, other) == ([5], [20])
    assert mpl.rcParams["font.size"] == before
