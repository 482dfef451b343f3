"""Plots: what is drawn is read back from the axes."""

import threading

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from medcal_nb.measure import reliability_table
from medcal_nb.show import grids, plots
from medcal_nb.show import style as st

mpl.use("Agg")


@pytest.fixture
def ax():
    import matplotlib.pyplot as plt

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


def test_intervals_keep_the_order_of_labels(ax):
    table = pd.DataFrame({"label": ["z", "a"], "estimate": [1, 2], "low": [0, 1], "high": [2, 3]})
    plots.plot_intervals(table, ax=ax, reference=0.0)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["z", "a"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]


def test_heatmap_writes_value_interval_and_n_and_greys_small_cells(ax):
    table = pd.DataFrame(
        {"r": ["x", "x"], "c": ["p", "q"], "v": [0.25, 0.5], "lo": [0.2, 0.1], "hi": [0.3, 0.9],
         "n": [100, 5]}
    )  # fmt: skip
    plots.plot_heatmap(table, ax=ax, row="r", column="c", value="v", low="lo", high="hi", min_n=10)
    texts = {t.get_text(): t.get_color() for t in ax.texts if t.get_text()}
    assert set(texts) == {"0.25\n[0.20, 0.30]\nn = 100", "0.50\n[0.10, 0.90]\nn = 5"}
    assert texts["0.50\n[0.10, 0.90]\nn = 5"] == st.GREY


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


def test_every_strategy_of_a_family_has_its_own_marker():
    for family, members in st.STRATEGY_FAMILIES.items():
        assert len({st.strategy_marker(m) for m in members}) == len(members), family
        assert {st.strategy_family(m) for m in members} == {family}


def test_dataset_colours_follow_the_domain_and_never_repeat():
    table = pd.DataFrame({"dataset": ["a", "b", "c"], "domain": ["general", "medical", "general"]})
    colours = st.dataset_colours(table)
    assert colours["a"] == st.DOMAIN_COLOURS["general"]
    assert colours["b"] == st.DOMAIN_COLOURS["medical"]
    assert len(set(colours.values())) == 3


def test_synthetic_data_is_named():
    assert "synthetic" in st.synthetic_note(pd.DataFrame({"dataset": ["pocket-medical", "x"]}))
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
