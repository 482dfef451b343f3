"""Charts: what is drawn is read back from the axes."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from medcal_nb.measure import reliability_table, risk_coverage_table
from medcal_nb.show import charts, look
from tests.show.legible import faults

mpl.use("Agg")

ODD = "$^{$"
LONG = "a-model-with-a-very-long-name-that-nobody-would-shorten-instruct-"


def names_of(size):
    """One name, a few, forty, or long ones."""
    return {
        "one": ["verbalized"],
        "few": ["verbalized", "p_true", ODD],
        "forty": [f"method {k}" for k in range(40)],
        "long": [f"{LONG}{k}" for k in range(6)],
    }[size]


def by_name(names, **columns):
    """A row a name; columns of numbers with intervals."""
    rng = np.random.default_rng(len(names))
    table = pd.DataFrame({"label": names, "strategy": names})
    for column, (least, most) in columns.items():
        value = rng.uniform(least, most, len(names))
        table[column] = value
        table[f"{column}_low"] = value - 0.02
        table[f"{column}_high"] = value + 0.03
    return table


def repeated(names, x, values, **columns):
    """Rows of every x for each name, a line each."""
    parts = []
    for k, name in enumerate(names):
        part = pd.DataFrame({x: values, "strategy": name, "stage": name, "label": name})
        for column, make in columns.items():
            part[column] = make(np.asarray(values, dtype=float), k)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def case(plot, size):
    """The table and the options of a chart at a size."""
    names = names_of(size)
    rng = np.random.default_rng(0)
    grid = np.linspace(0, 1, 11)
    if plot in ("plot_calibration", "plot_reliability"):
        c = rng.random(400)
        bins = reliability_table(c, (rng.random(400) < c).astype(float), n_bins=10)
        if plot == "plot_reliability":
            return bins, {}
        curve = {"accuracy": lambda v, k: v**1.2, "low": lambda v, k: v**1.2 - 0.05}
        curve["high"] = lambda v, k: v**1.2 + 0.05
        table = repeated(names[:1], "confidence", grid, **curve)
        return table, {"bins": bins}
    if plot == "plot_icons":
        table = {
            "outcome": ["right", "wrong", "wrong, ≥ 90 % sure"],
            "count": [5, 2, 3],
        }
        return pd.DataFrame(table), {}
    if plot == "plot_dumbbell":
        table = by_name(names, accuracy=(0.3, 0.6), mean_confidence=(0.7, 0.9))
        table["gap"] = table["mean_confidence"] - table["accuracy"]
        options = {"first": "accuracy", "second": "mean_confidence"}
        return table, options | {"difference": "gap"}
    if plot == "plot_forest":
        return by_name(names, value=(-0.05, 0.3)), {"reference": 0, "margin": 0.005}
    if plot == "plot_matrix":
        pairs = by_name(names, value=(-0.3, 0.3)).merge(
            pd.DataFrame({"model": names[:6]}), how="cross"
        )
        return pairs, {"row": "strategy", "col": "model", "value": "value"}
    if plot == "plot_label_curve":
        stages = ["uncorrected", "transferred", "accuracy known", "refitted"]
        loss = {"median": lambda n, k: 0.3 - 0.02 * k + (k > 1) / n}
        loss["low"] = lambda n, k: 0.29 - 0.02 * k + (k > 1) / n
        loss["high"] = lambda n, k: 0.31 - 0.02 * k + (k > 1) * 2 / n
        return repeated(stages, "n", [10, 20, 50, 100, 500], **loss), {"mark": 50}
    if plot == "plot_lines":
        lines = {"y": lambda v, k: np.sqrt(v) * (k + 1) / 40}
        table = repeated(names, "n", [100, 200, 1000, 5000], **lines)
        return table, {"x": "n", "y": "y", "hue": "strategy", "log": True}
    if plot == "plot_risk_coverage":
        curves = {"risk": lambda v, k: 0.4 * v ** (1 + 0.05 * k)}
        table = repeated(names, "coverage", grid, **curves)
        points = pd.DataFrame(
            {"strategy": names, "coverage": 0.3, "risk": 0.1, "n": 187}
        )
        points.loc[0, ["coverage", "risk"]] = [0.0, np.nan]
        return table, {"target": 0.2, "points": points}
    if plot == "plot_decision_curve":
        curves = {"advantage": lambda p, k: (0.3 - p) * 0.1 * (k + 1)}
        curves["advantage_low"] = lambda p, k: (0.3 - p) * 0.1 * (k + 1) - 0.01
        curves["advantage_high"] = lambda p, k: (0.3 - p) * 0.1 * (k + 1) + 0.01
        table = repeated(names[:4], "threshold", np.linspace(0.02, 0.5, 20), **curves)
        return table, {"hue": "stage"}
    assert plot == "plot_levels"
    table = {"level": ["absent", "0–0.5", "0.5–1"], "accuracy": [0.5, 0.6, 0.7]}
    return pd.DataFrame(table).assign(mean_confidence=0.8), {}


PLOTS = [name for name in charts.__all__ if name.startswith("plot_")]


@pytest.mark.parametrize("size", ["one", "few", "forty", "long"])
@pytest.mark.parametrize("plot", PLOTS)
def test_words_of_every_chart_are_legible_at_every_size(plot, size):
    table, options = case(plot, size)
    before = table.copy()
    fig = charts.figure(
        "A finding of sixty letters, which fills the line to its end",
        charts.panel("A title", getattr(charts, plot), table, **options),
        note="95 % CI by answer.",
    )
    pd.testing.assert_frame_equal(table, before)
    assert plt.get_fignums() == [fig.number]
    assert not faults(fig)
    assert min(fig.axes[0].get_window_extent().size) > 0.7 * fig.dpi


@pytest.mark.parametrize("size", ["one", "long"])
@pytest.mark.parametrize("plot", PLOTS)
def test_two_panels_of_every_chart_are_legible(plot, size):
    table, options = case(plot, size)
    one = charts.panel("Qwen3-VL-8B", getattr(charts, plot), table, **options)
    if plot == "plot_risk_coverage":
        pytest.skip("its key takes the width of a page")
    fig = charts.figure("Two panels", one, one, note="95 % CI by answer. " * 9)
    assert not faults(fig)
    assert min(fig.axes[0].get_window_extent().size) > 0.5 * fig.dpi


@pytest.mark.parametrize("models", [1, 6, 40])
@pytest.mark.parametrize("methods", [1, 16, 40])
def test_a_row_is_as_tall_as_its_marks_need(models, methods):
    """Of many models a few answered by each method, as in the synthetic benchmark."""
    rng = np.random.default_rng(0)
    pairs = [(f"method {k}", f"model {k % models}") for k in range(methods)]
    pairs += [("method 0", f"model {k}") for k in range(1, models)]
    table = pd.DataFrame(pairs, columns=["strategy", "model"])
    value = rng.uniform(-1, 0.3, len(table))
    table = table.assign(value=value, value_low=value - 0.1, value_high=value + 0.1)
    options = {"label": "strategy", "hue": "model", "words": "strategy", "sort": False}
    one = charts.panel("", charts.plot_forest, table, **options)
    fig = charts.figure("A finding", one, note="95 % CI by answer.")
    assert not faults(fig)
    assert fig.get_figheight() < 2.5 + 0.22 * methods + 0.11 * min(models, 8)
    (ax,) = fig.axes
    alone = [line for line in ax.lines if line.get_marker() not in ("None", "")]
    heights = sorted(y for line in alone for y in line.get_ydata())
    # a mark alone in its row stands at the row's name
    assert set(np.round(ax.get_yticks()[1:], 6)) <= set(np.round(heights, 6))


def test_marks_without_intervals_stand_on_one_line_of_a_low_row():
    table = pd.DataFrame({"label": ["a", "b"] * 4, "stage": list("uuvvwwxx")})
    table = table.assign(value=np.linspace(0, 1, 8))
    options = {"value": "value", "hue": "stage"}
    heights = []
    for rows in (table, table.assign(value_low=0.0, value_high=1.0)):
        one = charts.panel("", charts.plot_forest, rows, **options)
        heights.append(charts.figure("t", one).get_figheight())
    assert heights[0] < heights[1]


def test_panels_can_share_a_range_of_x():
    table = by_name(["a", "b"], value=(0, 1))
    wide = table.assign(value_high=5.0)
    panels = [charts.panel("", charts.plot_forest, rows) for rows in (table, wide)]
    ranges = [ax.get_xlim() for ax in charts.figure("t", *panels, same_x=True).axes]
    assert ranges[0] == ranges[1]
    assert ranges[0][1] > 5
    ranges = [ax.get_xlim() for ax in charts.figure("t", *panels).axes]
    assert ranges[0] != ranges[1]


def test_a_reliability_diagram_may_leave_the_shares_out():
    table, _ = case("plot_reliability", "one")
    assert len(charts.plot_reliability(table).figure.axes) == 2
    assert len(charts.plot_reliability(table, shares=False).figure.axes) == 1


@pytest.mark.parametrize("plot", PLOTS)
def test_every_chart_stands_alone(plot):
    table, options = case(plot, "few")
    ax = getattr(charts, plot)(table, **options)
    assert ax.figure.get_figwidth() == look.WIDTHS["half"]


def test_the_check_sees_words_on_each_other_cut_and_small():
    fig, ax = look.figure()
    ax.text(0.5, 0.5, "one")
    ax.text(0.5, 0.5, "other")
    assert faults(fig) == ["'one' lies on 'other'"]
    ax.texts[0].set(position=(0.1, 0.1), fontsize=7)
    ax.texts[1].set(position=(1.5, 0.5), in_layout=False)
    assert faults(fig) == ["'one' has 7.0 points", "'other' leaves the page"]


def test_a_title_of_more_than_a_line_is_refused_and_leaves_no_figure():
    table, _ = case("plot_icons", "one")
    one = charts.panel("", charts.plot_icons, table)
    for title in ("x" * 61, "two\nlines"):
        with pytest.raises(ValueError, match="at most 60"):
            charts.figure(title, one)
    with pytest.raises(ValueError, match="wider than the figure"):
        charts.figure("m" * 50, one, width="half")
    assert not plt.get_fignums()
    with pytest.raises(ValueError, match="none"):
        charts.figure("a title")


def test_panels_have_letters_and_one_alone_has_none():
    table, _ = case("plot_icons", "one")
    one = charts.panel("answers", charts.plot_icons, table)
    titles = [ax.get_title("left").strip() for ax in charts.figure("t", one, one).axes]
    assert titles == ["a  Answers", "b  Answers"]
    assert charts.figure("t", one).axes[0].get_title("left") == "Answers"


def test_a_panel_for_each_value_of_a_column():
    table, options = case("plot_dumbbell", "few")
    both = pd.concat([table.assign(side="general images"), table.assign(side="x")])
    each = charts.panel_each(charts.plot_dumbbell, both, "side", **options)
    assert [one.title for one in each] == ["General images", "X"]
    assert [len(one.table) for one in each] == [len(table)] * 2


def test_rows_of_panels_side_by_side_agree_and_are_named_once():
    table, _ = case("plot_forest", "few")
    turned = table.assign(value=-table["value"])
    left = charts.panel("", charts.plot_forest, table)
    fig = charts.figure("t", left, charts.panel("", charts.plot_forest, turned))
    named = [[t.get_text() for t in ax.get_yticklabels()] for ax in fig.axes]
    assert any(named[0])
    assert not any(named[1])
    places = [[line.get_ydata()[0] for line in ax.lines] for ax in fig.axes]
    assert places[0] == places[1]


def test_figures_of_embedded_images_say_so():
    table = by_name(["pocket-medical"], value=(0, 1))
    one = charts.panel("", charts.plot_forest, table)
    assert (
        charts.figure("t", one, note="n = 3").get_supxlabel().startswith(look.SYNTHETIC)
    )
    other, _ = case("plot_icons", "one")
    other = charts.panel("", charts.plot_icons, other)
    assert charts.figure("t", other, note="n").get_supxlabel() == "n"
    data = pd.DataFrame({"dataset": ["pocketvqa-general"], "n": [1]})
    assert charts.figure("t", other, data=data).get_supxlabel() == look.SYNTHETIC


def test_a_calibration_curve_is_drawn_where_answers_are_near():
    table, options = case("plot_calibration", "one")
    table["n_near"] = [0] * 5 + [30] * 6
    ax = charts.plot_calibration(table, bins=options["bins"])
    curve = max(ax.lines, key=lambda line: line.get_linewidth())
    drawn = ~np.isnan(curve.get_ydata())
    assert drawn.tolist() == [False] * 5 + [True] * 6
    strip = ax.figure.axes[1]
    heights = [bar.get_height() for bar in strip.patches]
    bins = options["bins"]
    right = (bins["n"] * bins["accuracy"]).tolist()
    assert heights[:10] == pytest.approx(right)
    assert sum(heights) == pytest.approx(2 * sum(right) - 400)


def test_bins_of_few_answers_are_no_part_of_the_curve():
    table = pd.DataFrame({"low": [0.0, 0.5], "high": [0.5, 1], "n": [1, 99]})
    table = table.assign(mean_confidence=[0.4, 0.9], accuracy=[1.0, 0.6])
    ax = charts.plot_reliability(table.assign(band_low=0.1, band_high=0.9))
    curve = next(line for line in ax.lines if line.get_marker() == "o")
    assert list(curve.get_xdata()) == [0.9]


def test_icons_are_a_hundred():
    thirds = pd.DataFrame({"outcome": ["right", "wrong", "sure"], "count": [1, 1, 1]})
    ax = charts.plot_icons(thirds)
    assert sum(len(c.get_offsets()) for c in ax.collections) == 100
    named = [t.get_text() for t in ax.get_legend().get_texts()]
    assert sorted(int(name.split()[0]) for name in named) == [33, 33, 34]


def test_dumbbells_fill_the_first_and_write_the_difference():
    table = pd.DataFrame({"label": ["b", "a"], "accuracy": [0.5, 0.4]})
    table = table.assign(mean_confidence=[0.9, 0.5], gap=[0.4, 0.1])
    table = table.assign(gap_low=[0.38, 0.05], gap_high=[0.42, 0.15])
    ax = charts.plot_dumbbell(
        table, first="accuracy", second="mean_confidence", difference="gap"
    )
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "b"]
    assert {t.get_text() for t in ax.texts} == {"+40 [38, 42]", "+10 [5, 15]"}
    faces = {}
    for line in ax.lines:
        faces.setdefault(line.get_markerfacecolor(), []).extend(line.get_xdata())
    assert faces.pop("white") == [0.9, 0.5]
    (filled,) = faces.values()
    assert filled == [0.5, 0.4]


def test_forest_sorts_tells_and_sets_the_summary_apart():
    table = by_name(["b", "a", "all"], value=(0.1, 0.2))
    table[["value", "value_low", "value_high"]] = [
        [0.3, 0.2, 0.4],
        [0.1, 0.05, 0.2],
        [0.05, 0.0, 0.1],
    ]
    table["prediction_low"] = [np.nan, np.nan, -0.3]
    table["prediction_high"] = [np.nan, np.nan, 0.5]
    ax = charts.plot_forest(table, summary="all", reference=0, margin=0.005)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "b", "all"]
    assert "0.30 [0.20, 0.40]" in [t.get_text() for t in ax.texts]
    reach = [list(line.get_xdata()) for line in ax.lines]
    assert [-0.3, 0.5] in reach
    (margin,) = ax.patches
    assert (margin.get_x(), margin.get_width()) == pytest.approx((0, 0.005))
    assert ax.get_xlabel().endswith("margin of 0.005")
    told = charts.plot_forest(table.assign(word="inferior"), words="word")
    assert [t.get_text() for t in told.texts] == ["inferior"] * 3
    shares = charts.plot_forest(table, percent=True)
    assert "30 [20, 40]" in [t.get_text() for t in shares.texts]


def test_a_row_without_a_value_has_a_dash():
    table = by_name(["b", "a"], value=(0.1, 0.2))
    table.loc[1, ["value", "value_low", "value_high"]] = np.nan
    ax = charts.plot_forest(table)
    assert "–" in [t.get_text() for t in ax.texts]
    assert not any("nan" in t.get_text() for t in ax.texts)


def test_forest_of_stages_in_the_colours_of_their_labels():
    stages = {"uncorrected": 0.3, "transferred": 0.2, "refitted": 0.1}
    table = pd.DataFrame(
        {"label": "m", "stage": stages.keys(), "value": stages.values()}
    )
    ax = charts.plot_forest(table, hue="stage")
    drawn = {line.get_label(): line.get_color() for line in ax.lines}
    assert drawn["transferred"] == look.GENERAL
    assert drawn["refitted"] == look.MEDICAL
    assert drawn["uncorrected"] == look.GREY
    assert not ax.texts


def test_label_curve_covers_its_data_and_marks_n():
    table, options = case("plot_label_curve", "few")
    ax = charts.plot_label_curve(table, **options)
    low, high = ax.get_ylim()
    assert 0.15 < low < table["low"].min()
    assert table["high"].max() < high < 0.6
    words = [t.get_text() for t in ax.texts]
    assert any("from 50 labels" in text for text in words)
    assert {"uncorrected", "transferred", "refitted"} <= set(words)


def test_risk_coverage_marks_what_is_certified_and_says_what_is_not():
    names = ["verbalized", "p_true"]
    rng = np.random.default_rng(0)
    parts = []
    for name in names:
        c = rng.random(60)
        y = (rng.random(60) < c).astype(float)
        parts.append(risk_coverage_table(c, y).assign(strategy=name))
    points = pd.DataFrame({"strategy": names, "coverage": [0.5, 0.0], "n": 187})
    points["risk"] = [0.1, np.nan]
    ax = charts.plot_risk_coverage(pd.concat(parts), target=0.2, points=points)
    told = [t.get_text() for t in ax.get_legend().get_texts()]
    assert told == [
        "verbalized\n50 % certified (n = 187)",
        "P(True)\nnone certified (n = 187)",
        "risk allowed: 20 %",
    ]
    marks = [line.get_xydata()[0] for line in ax.lines if len(line.get_xdata()) == 1]
    assert [list(mark) for mark in marks if not np.isnan(mark[0])] == [[0.5, 0.1]]


def test_decision_curves_count_checks_worth_an_error():
    table = pd.DataFrame({"threshold": [0.1, 0.25, 0.5], "advantage": [0.1, 0.2, 0.3]})
    ax = charts.plot_decision_curve(table)
    assert list(ax.lines[0].get_xdata()) == pytest.approx([1, 3, 9])
    assert list(ax.lines[0].get_ydata()) == [0.3, 0.2, 0.1]


def test_absent_findings_stand_apart():
    table, _ = case("plot_levels", "few")
    ax = charts.plot_levels(table)
    names = [t.get_text() for t in ax.get_xticklabels()]
    place = dict(zip(names, ax.get_xticks(), strict=True))
    assert place["0–0.5"] - place["absent"] > place["0.5–1"] - place["0–0.5"]
    key = [t.get_text() for t in ax.get_legend().get_texts()]
    assert key == ["mean confidence", "accuracy"]
    assert ax.get_ylim() == pytest.approx((0.4, 0.9))


def test_matrix_writes_numbers_and_makes_clear_ones_bold():
    table = pd.DataFrame({"row": ["a", "a"], "col": ["u", "v"], "value": [0.03, -0.01]})
    table = table.assign(value_low=[0.01, -0.02], value_high=[0.05, 0.01])
    ax = charts.plot_matrix(table, row="row", col="col", value="value")
    assert {t.get_text(): t.get_weight() for t in ax.texts} == {
        "+0.030": "bold",
        "−0.010": "normal",
    }


def test_images_with_a_question():
    picture = np.zeros((4, 4, 3), dtype=np.uint8)
    items = pd.DataFrame({"modality": ["ct", "mri"], "image_id": ["i", "j"]})
    items = items.assign(picture=[picture] * 2, question="is it there?", gold="yes")
    fig = charts.image_sheet(items, title="two")
    assert [words.get_text() for ax in fig.axes for words in ax.texts] == [
        "CT: is it there? yes",
        "MRI: is it there? yes",
    ]
