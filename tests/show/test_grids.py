"""Whole figures: panels, order and words are read back from the axes."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from medcal_nb.measure import (
    cost_table,
    estimator_bias_table,
    metrics_table,
    net_benefit_table,
    risk_coverage_table,
)
from medcal_nb.show import grids, tables
from medcal_nb.show import style as st

mpl.use("Agg")


@pytest.fixture
def verdicts(rng):
    n = 240
    confidence = rng.random(n).round(2)
    return pd.DataFrame(
        {
            "model": np.repeat(["one", "two"], n // 2),
            "dataset": "d",
            "domain": "general",
            "strategy": np.tile(["verbalized", "p_true", "top_k"], n // 3),
            "item_id": np.arange(n).astype(str),
            "image_id": (np.arange(n) // 2).astype(str),
            "level": np.tile(["0-0.5", "0.5-1"], n // 2),
            "confidence": confidence,
            "correct": rng.random(n) < confidence,
        }
    )


def used(fig):
    return [ax for ax in fig.axes if ax.axison]


def titles(fig):
    # "n = 80" is not broken into lines
    return [" ".join(ax.get_title(loc="left").split()) for ax in used(fig)]


def test_interval_panels_share_labels_and_name_the_hue(verdicts, rng):
    scores = metrics_table(verdicts, n_resamples=20, rng=rng)
    fig = grids.interval_panels(
        scores, panel="model", values="ece", label="strategy", hue="dataset", title="ECE"
    )
    assert titles(fig) == ["one", "two"]
    labels = [t.get_text() for t in used(fig)[0].get_yticklabels()]
    assert labels == list(scores["strategy"].unique())
    assert [t.get_text() for t in fig.legends[0].get_texts()] == ["d"]


def test_interval_panels_one_per_value(verdicts, rng):
    scores = metrics_table(verdicts, by=["model"], n_resamples=20, rng=rng)
    fig = grids.interval_panels(
        scores, panel=None, values={"ece": "ECE", "brier": "Brier score"}, label="model"
    )
    assert titles(fig) == ["ECE", "Brier score"]


@pytest.mark.parametrize("hue", [None, "dataset"])
def test_a_note_stands_below_the_panels_and_is_not_covered_by_the_key(verdicts, rng, hue):
    scores = metrics_table(verdicts, by=["model", "dataset"], n_resamples=20, rng=rng)
    note = "a word and a word, " * 10
    fig = grids.interval_panels(
        scores, panel=None, values={"ece": "ECE"}, label="model", hue=hue, note=note
    )
    fig.draw_without_rendering()
    text = fig.legends[0].get_title() if hue else fig._supxlabel
    assert "".join(text.get_text().split()).startswith("".join(note.split()))
    box = text.get_window_extent()
    assert box.y0 >= 0
    assert box.y1 < used(fig)[0].get_tightbbox().y0
    for word in fig.legends[0].get_texts() if hue else ():
        assert not box.overlaps(word.get_window_extent())


def test_panels_that_are_not_used_are_hidden(verdicts):
    curves = tables.by_group(verdicts, ["strategy"], risk_coverage_table)
    fig = grids.risk_figure(curves)
    assert titles(fig) == [f"{name}, n = 80" for name in ("verbalized", "p_true", "top_k")]
    assert len(fig.axes) == 4


def test_levels_stand_in_order_with_n(verdicts, rng):
    by_level = metrics_table(verdicts, by=["model", "level"], n_resamples=20, rng=rng)
    fig = grids.level_figure(by_level, xlabel="visibility")
    assert titles(fig) == ["one, n = 120", "two, n = 120"]
    words = [t.get_text().split("\n") for t in used(fig)[0].get_xticklabels()]
    assert [level for level, _ in words] == ["0-0.5", "0.5-1"]
    counts = by_level[by_level["model"] == "one"].sort_values("level")["n"]
    assert [n for _, n in words] == [str(n) for n in counts]
    # a key inside a panel would lie on intervals
    assert used(fig)[0].get_legend() is None
    assert len(fig.legends) == 1


def test_estimators_each_have_a_panel_with_the_truth(rng):
    confidence = rng.random(500)
    table = estimator_bias_table(confidence, confidence**1.5, sizes=[50, 100], n_repeats=5, rng=rng)
    fig = grids.estimator_figure(table)
    assert titles(fig) == [st.label_of(name) for name in table["estimator"].unique()]
    assert "ECE, equal width" in titles(fig)
    truth = table["truth"].iloc[0]
    for ax in used(fig):
        assert any(np.allclose(line.get_ydata(), truth) for line in ax.lines)


def test_costs_stand_beside_the_plain_policies(verdicts, rng):
    options = {"n_resamples": 10, "rng": rng}
    named = verdicts.assign(**{"confidence used": "as stated"})
    costs = tables.by_group(named, ["confidence used"], cost_table, **options)
    decisions = tables.by_group(named, ["confidence used"], net_benefit_table, **options)
    fig = grids.cost_figure(costs, decisions)
    words = [t.get_text() for t in fig.legends[0].get_texts()]
    assert sorted(words) == sorted({*words})
    assert {*words} == {"as stated", "keep all", "check all", "check none", "best in hindsight"}
    for ax in used(fig):
        assert len({(line.get_linestyle(), line.get_marker()) for line in ax.lines}) == len(
            ax.lines
        )
    assert fig.get_suptitle().split()[-3:] == ["n", "=", str(len(verdicts))]


def test_many_columns_make_a_heatmap_compact():
    table = pd.DataFrame(
        {"r": np.repeat(list("abcdefghij"), 10), "c": [f"c{k}" for k in range(10)] * 10,
         "ece": 0.1, "ece_low": 0.0, "ece_high": 0.2, "n": 50}
    )  # fmt: skip
    fig = grids.heatmaps(table, row="r", column="c", values={"ece": ("ECE", (0, 1), "cividis")})
    assert {t.get_text() for t in fig.axes[0].texts if t.get_text()} == {"0.10"}


def test_a_heatmap_says_where_its_colours_end():
    table = pd.DataFrame(
        {"r": ["x", "y", "z"], "c": "a", "gap": [0.1, 0.6, -0.9], "n": [50, 50, 5]}
    )
    values = {"gap": ("gap", (-0.5, 0.5), "PuOr")}
    fig = grids.heatmaps(table, row="r", column="c", values=values, min_n=30)
    # the third is hatched, not coloured
    assert fig.axes[0].get_title(loc="left") == "gap (one colour above 0.5)"
    fig = grids.heatmaps(table[:1], row="r", column="c", values=values)
    assert fig.axes[0].get_title(loc="left") == "gap"


def test_many_columns_of_few_rows_change_places():
    table = pd.DataFrame(
        {"r": "x", "c": [f"model {k}" for k in range(10)], "ece": 0.1, "ece_low": 0.0,
         "ece_high": 0.2, "n": 50}
    )  # fmt: skip
    fig = grids.heatmaps(table, row="r", column="c", values={"ece": ("ECE", (0, 1), "cividis")})
    down = [t.get_text() for t in fig.axes[0].get_yticklabels()]
    assert down == [f"model {k}" for k in range(10)]
    assert {t.get_text().split("\n")[0] for t in fig.axes[0].texts if t.get_text()} == {"0.10"}


def test_long_titles_are_wrapped_into_like_lines(verdicts):
    curves = tables.by_group(verdicts, ["strategy"], risk_coverage_table)
    fig = grids.risk_figure(curves, title="word " * 60)
    lengths = [len(line) for line in fig.get_suptitle().split("\n")]
    assert len(lengths) > 1
    assert max(lengths) - min(lengths) < 15


@pytest.mark.parametrize("title", ["", "short", "x" * 200])
def test_odd_titles_are_kept(verdicts, title):
    curves = tables.by_group(verdicts, ["strategy"], risk_coverage_table)
    fig = grids.risk_figure(curves, title=title)
    assert fig.get_suptitle().replace("\n", "") == title


def test_lines_say_what_they_are_in_every_row_of_panels(verdicts, rng):
    table = tables.ece_bins_table(verdicts, by=["strategy"], bins=[2, 5], n_resamples=20, rng=rng)
    table["panel"] = table["strategy"] + ", " + table["binning"]
    fig = grids.line_panels(
        table, panel="panel", x="n_bins", y="ece", low="ece_low", high="ece_high", hue="strategy",
        xlabel="bins", ylabel="ECE", columns=2, title="ECE",
    )  # fmt: skip
    assert titles(fig) == list(dict.fromkeys(table["panel"]))
    assert [ax.get_ylabel() for ax in used(fig)] == ["ECE", ""] * 3
    assert [ax.get_xlabel() for ax in used(fig)] == [""] * 4 + ["bins"] * 2
    assert all(len(ax.collections) == 1 for ax in used(fig))
    assert fig.get_suptitle().split() == ["ECE,", "n", "=", "80"]


def test_what_costs_the_same_stands_at_the_same_cost_and_nothing_costs_something():
    cost = [0.0, 74.0, 74.0, 74.0]
    table = pd.DataFrame({"system": list("abcd"), "tokens": cost, "ece": [0.1, 0.2, 0.3, 0.4]})
    for name in ("tokens", "ece"):
        table[f"{name}_low"] = table[f"{name}_high"] = table[name]
    fig = grids.interval_panels(
        table,
        panel=None,
        values={"tokens": "tokens", "ece": "ECE"},
        label="system",
        logx=["tokens"],
    )
    left, right = used(fig)
    dots = [line for line in left.lines if len(line.get_xdata()) == 1]
    assert [line.get_xdata()[0] for line in dots] == cost
    assert left.get_xscale() == "symlog"
    assert right.get_xscale() == "linear"
    low, high = left.get_xlim()
    assert low < 0 < 74 < high
