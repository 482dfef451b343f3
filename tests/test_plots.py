"""Who has which colour and mark, and what a figure says on itself."""

import inspect

import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D

from medcal_nb import plots
from medcal_nb.errors import MedcalError
from medcal_nb.labels import LOOKS, MODELS
from medcal_nb.measure import recalibration_table, risk_coverage_table, value_table
from medcal_nb.wording import show

FIVE = [name for name in LOOKS if name in MODELS]


def colours(looks):
    return {colour for colour, _ in looks.values()}


def test_a_colour_of_a_model_is_of_nothing_else():
    of_the_five = colours(plots.look(FIVE, "model"))
    assert len(of_the_five) == len(FIVE) == 5
    pocket = {name for name in LOOKS if name.startswith("pocket-")}
    levels = [name for name in LOOKS if name not in {*FIVE, *pocket}]
    levels += [f"level {i}" for i in range(20)]
    assert not colours(plots.look(levels)) & of_the_five
    assert not colours(plots.look(pocket, "model")) & of_the_five
    assert plots.INK not in of_the_five


@pytest.mark.parametrize("name", ["mine", "medgemma-4b-it", "a", "gap"])
def test_a_sixth_model_has_one_colour_and_mark_of_its_own(name):
    alone = plots.look([name], "model")[name]
    beside = plots.look([name, *FIVE], "model")
    assert beside[name] == alone
    assert list(beside) == [*FIVE, name]
    assert len(colours(beside)) == 6
    assert len({mark for _, mark in beside.values()}) == 6


def test_a_figure_says_what_its_line_is_and_which_way_is_better():
    table = pd.DataFrame({"target": ["a", "b"], "test_risk": [0.1, 0.3]})
    ax = plt.figure().subplots()
    allowed = {"allowed: 20 %": 0.2}
    plots.forest(table, "test_risk", label="target", reference=allowed, ax=ax)
    (above,) = ax.child_axes
    assert [text.get_text() for text in above.get_xticklabels()] == ["allowed: 20 %"]
    assert ax.get_xlabel() == "wrong, of the answers retained (%, lower: better)"
    assert ax.lines[0].get_color() == plots.INK
    plt.close("all")


def test_points_have_the_colours_of_their_kinds_and_a_square_where_both_are_shares():
    table = pd.DataFrame(
        {"accuracy": [0.2, 0.6, 0.4], "mean_confidence": [0.9, 0.9, 0.8]}
    ).assign(domain=["general", "general", "medical"])
    table["mean_confidence_low"] = table["mean_confidence"] - 0.1
    table["mean_confidence_high"] = 1.0
    fig = plt.figure()
    ax = fig.subplots()
    names = ("accuracy", "mean_confidence")
    how = {"hue": "domain", "hollow": ["medical"], "diagonal": "calibrated"}
    plots.points(table, *names, **how, ax=ax)
    plots.title_and_key(fig, "Two kinds")
    assert fig.legends[0].get_texts()[-1].get_text() == plots.INTERVAL
    (line,) = ax.lines
    general, bars, medical, _ = ax.collections
    ends = [part[:, 1].tolist() for part in bars.get_segments()]
    assert ends == [pytest.approx([0.8, 1.0])] * 2
    assert general.get_offsets().tolist() == [[0.2, 0.9], [0.6, 0.9]]
    looks = plots.look(["general", "medical"])
    faces = [to_hex(part.get_facecolor()[0]) for part in (general, medical)]
    colours = [faces[0].upper(), to_hex(medical.get_edgecolor()[0]).upper()]
    assert colours == [colour.upper() for colour, _ in looks.values()]
    assert faces[1] == "#ffffff"
    assert line.get_label() == "calibrated"
    assert ax.get_aspect() == 1
    assert ax.get_xlabel() == "accuracy (%)"
    plt.close("all")


def test_completion_offers_charts_and_constants_alone():
    assert not [name for name in dir(plots) if inspect.ismodule(getattr(plots, name))]


def test_marks_that_share_a_colour_are_told_apart_by_their_filling():
    pairs = [["a", "verbalized"], ["a", "p_true"], ["b", "p_true"]]
    table = pd.DataFrame(pairs, columns=["model", "strategy"]).assign(side="x", gap=0.1)
    ax = plt.figure().subplots()
    plots.forest(table, "gap", label="side", hue="model", fill="strategy", ax=ax)
    marks = [bars.lines[0] for bars in ax.containers]
    is_open = [mark.get_markerfacecolor() == "white" for mark in marks]
    assert is_open == [False, True] * 2
    assert [len(mark.get_ydata()) for mark in marks] == [1, 1, 0, 1]
    assert len({tuple(mark.get_ydata()) for mark in marks}) == 4
    names = ["verbalized", "P(True)", "a", "b"]
    assert ax.get_legend_handles_labels()[1] == names
    plt.close("all")


def test_a_conclusion_stands_in_words_beside_its_mark_and_nowhere_else():
    table = pd.DataFrame({"model": FIVE, "change": 0.1})
    table["conclusion"] = ["better", "worse", *["no difference shown"] * 3]
    ax = plt.figure().subplots()
    plots.forest(table, "change", label="model", hue="model", fill="conclusion", ax=ax)
    marks = [bars.lines[0] for bars in ax.containers]
    assert "white" not in [mark.get_markerfacecolor() for mark in marks]
    assert sorted(y for mark in marks for y in mark.get_ydata()) == [*range(len(FIVE))]
    # rows bear the models' names, and what was concluded stands beside them
    assert [text.get_text() for text in ax.texts] == [
        "conclusion",
        *table["conclusion"],
    ]
    assert ax.get_legend_handles_labels()[1] == []
    plt.close("all")


def test_titles_of_a_row_are_level_and_marks_at_one_place_stand_side_by_side():
    table = pd.DataFrame({"model": FIVE[:2], "confidence": 0.5, "accuracy": 0.5})
    table = table.assign(accuracy_low=0.4, accuracy_high=0.6)
    with plt.style.context(plots.STYLE):
        fig, (left, right) = plt.subplots(1, 2)
        line = {"half": 0.5}
        plots.forest(table, "accuracy", label="model", reference=line, ax=left)
        plots.lines(table, "confidence", "accuracy", hue="model", ax=right)
        for ax in (left, right):
            ax.set_title("a title")
        plots.title_and_key(fig, "Two panels")
        fig.canvas.draw()
        first, second = (ax._left_title.get_window_extent() for ax in (left, right))
        assert first.y0 == second.y0
        marks = [bars.lines[0] for bars in right.containers]
        places = [mark.get_transform().transform((0.5, 0.5)) for mark in marks]
        assert 2 < (places[1] - places[0])[0] * 72 / fig.dpi < 3
        assert right.dataLim.intervalx.tolist() == [0.5, 0.5]
    plt.close("all")


def test_a_mark_never_hides_its_interval():
    row = {"model": "mine", "gap": 0.1, "gap_low": 0.0999, "gap_high": 0.1001}
    with plt.style.context(plots.STYLE):
        ax = plt.figure().subplots()
        plots.forest(pd.DataFrame([row]), "gap", label="model", ax=ax)
        mark, caps, _ = ax.containers[0].lines
        # caps are as long as two of their radii, a mark as wide as its size
        assert caps[0].get_markersize() > mark.get_markersize()
    plt.close("all")


def test_what_stands_behind_a_mark_beside_it_and_why_there_is_none_is_written():
    table = pd.DataFrame({"model": FIVE[:3], "gap": [0.1, 0.2, None]})
    table["n"] = [1234, 56, 0]
    table["left_out"] = ["", "", "no threshold"]
    table["floor"] = [0.05, 0.1, None]
    ax = plt.figure().subplots()
    plots.forest(table, "gap", label="model", n="n", base="floor", ax=ax)
    assert [text.get_text() for text in ax.texts] == [
        "answers",
        "1,234",
        "56",
        "no threshold",
    ]
    # at the left end of its row, in another letter: a reason is at no value
    reason = ax.texts[-1]
    assert (reason.xy[0], reason.get_ha()) == (0, "left")
    assert reason.get_style() == "italic"
    strokes = [part for part in ax.lines if part.get_label() == "floor"]
    assert len(strokes) == 1
    (drawn,) = ax.drawn
    assert drawn["marks"] == 2
    assert drawn["left_out"] == {"no threshold": 1}
    plt.close("all")


def test_the_title_and_the_key_have_one_place_and_a_name_stands_in_it_once():
    table = pd.DataFrame({"model": ["a", "b"], "gap": 0.1, "of": ["x", "x"]})
    ends = table.assign(gap_low=0.0, gap_high=0.2)
    fig, axes = plt.subplots(1, 2)
    for ax in axes:
        plots.forest(ends, "gap", label="model", hue="of", ax=ax)
        ax.set_title("a title", loc="left")
    plots.title_and_key(fig, "Gaps", n=pd.Series([20, 1300]), of="marks")
    assert fig.get_suptitle().strip() == "Gaps"
    (number,) = fig.artists
    assert number.get_text() == "n = 20 to 1,300 marks"
    assert [ax._left_title.get_text()[0] for ax in axes] == ["a", "b"]
    (key,) = fig.legends
    assert [text.get_text() for text in key.get_texts()] == ["x", "95 % CI"]
    plt.close("all")


def test_a_confidence_that_few_answers_have_is_no_dot():
    confidence = [0.9] * 300 + [0.5] * 4 + [0.1] * 2
    table = value_table(confidence, [1, 0] * 153)
    ax = plots.calibration(table, ax=plt.figure().subplots())
    assert ax.containers[0].lines[0].get_xdata().tolist() == [0.5, 0.9]
    plt.close("all")


def test_rows_of_a_forest_bear_the_names_of_what_they_show():
    table = pd.DataFrame({"model": ["deepseek-vl2", "mine"], "accuracy": [0.5, 0.7]})
    ax = plt.figure().subplots()
    plots.forest(
        table.assign(of=["a", "b"]), "accuracy", label="model", hue="of", ax=ax
    )
    # one mark a row stands in its middle, whatever its colour
    assert [bars.lines[0].get_ydata().tolist() for bars in ax.containers] == [[0], [1]]
    assert [text.get_text() for text in ax.get_yticklabels()] == [
        "DeepSeek-VL2",
        "mine",
    ]


def test_a_table_shows_two_digits_of_a_small_number_and_none_of_zero():
    row = {"brier": 0.0523, "brier_low": 0.049, "brier_high": 0.0561}
    shown = show(pd.DataFrame([row | {"cost": 0.0}])).to_numpy().tolist()
    assert shown == [["0.052 [0.049, 0.056]", "0"]]


def test_a_risk_coverage_curve_has_its_points_its_base_and_what_is_certified():
    answers = pd.DataFrame(
        {"confidence": [0.9, 0.9, 0.5, 0.5], "correct": [1, 1, 1, 0]}
    )
    table = risk_coverage_table(answers.assign(model="a"))
    ax = plt.figure().subplots()
    table["held"] = 0.5
    plots.risk_coverage(table, hue="model", allowed=0.2, certified="held", ax=ax)
    points = [[0.5, 0.0], [1.0, 0.25]]
    assert points in [line.get_xydata().tolist() for line in ax.lines]
    assert [0.25, 0.25] in [list(line.get_ydata()) for line in ax.lines]
    bars = ax.collections[0].get_segments()
    ends = [end for bar in bars for end in bar[:, 1]]
    assert ends == pytest.approx([*table[["risk_low", "risk_high"]].to_numpy().flat])
    _, keys = ax.get_legend_handles_labels()
    assert {"a", "allowed: 20 %", "certified", plots.INTERVAL} <= set(keys)
    corners = ax.patches[-1].get_xy().max(axis=0)
    assert corners.tolist() == [0.5, 0.2]
    plt.close("all")


def test_before_and_after_stand_in_one_square_and_the_same_answers_are_joined():
    confidence = [0.9] * 10 + [0.5] * 10
    recalibrated = [0.6] * 5 + [0.5] * 5 + [0.4] * 10
    right = [1] * 6 + [0] * 4 + [1] * 2 + [0] * 8
    both = recalibration_table(confidence, recalibrated, right)
    scores = pd.DataFrame({"stage": ["uncorrected", "refitted"], "accuracy": 0.4})
    scores = scores.assign(mean_confidence=[0.7, 0.475], brier=[0.35, 0.2])
    ax = plt.figure().subplots()
    how = {"hue": "stage", "joined": "value", "scores": scores}
    plots.calibration(both, **how, curve=lambda c: c / 2, ax=ax)
    (text,) = [one.get_text() for one in ax.texts]
    assert "before: mean confidence 70 %, Brier score 0.350" in text
    assert "accuracy 40 %" in text
    assert text.index("marks from 50 to 90 %") < text.index("marks from 40 to 55 %")
    (line,) = [one for one in ax.lines if one.get_label() == "the map"]
    # what the map makes of the lowest and highest confidence: no answer had others
    assert line.get_xydata()[[0, -1]].tolist() == [[0.5, 0.25], [0.9, 0.45]]
    # below the square, where no mark is hidden
    (note,) = ax.texts
    assert note.get_window_extent().y1 < ax.xaxis.get_tightbbox().y0
    assert ax.drawn[0]["hue"] == {"uncorrected": 2, "refitted": 2}
    joins = [part for part in ax.collections if "one value" in str(part.get_label())]
    ends = [segment.tolist() for segment in joins[0].get_segments()]
    assert ends == [[[0.4, 0.2], [0.5, 0.2]], [[0.55, 0.6], [0.9, 0.6]]]
    # their interval stands once
    has_bars = [part.has_yerr for part in ax.containers]
    assert has_bars == [True, False, False]
    plt.close("all")


def test_what_is_the_same_at_every_position_is_a_line_with_a_band():
    table = pd.DataFrame({"n": [10, 20] * 2, "brier": [0.3, 0.3, 0.4, 0.2]})
    table = table.assign(brier_low=0.1, brier_high=0.5, stage=["a", "a", "b", "b"])
    ax = plt.figure().subplots()
    plots.lines(table, "n", "brier", hue="stage", flat=["a"], ax=ax)
    _, estimates = ax.containers  # the first is the key's
    assert estimates.lines[0].get_ydata().tolist() == [0.4, 0.2]
    assert ax.lines[0].get_ydata().tolist() == [0.3, 0.3]
    band = ax.collections[0].get_paths()[0].vertices
    assert [band[:, 1].min(), band[:, 1].max()] == [0.1, 0.5]
    keys = ax.get_legend_handles_labels()[1]
    assert {"a", "b", plots.INTERVAL, f"{plots.INTERVAL} (band)"} == {*keys}
    assert ax.drawn[0]["marks"] == 4
    plt.close("all")


def test_further_columns_stand_beside_the_marks_below_their_heads():
    table = pd.DataFrame({"model": FIVE[:2], "risk": [0.1, None], "n_graded": [392, 7]})
    table = table.assign(certified=[0.88, 0.0], strategy=["p_true", "no method"])
    heads = {"strategy": "method", "certified": "certified", "n_graded": "graded"}
    ax = plt.figure().subplots()
    plots.forest(table, "risk", label="model", beside=heads, ax=ax)
    texts = [text.get_text() for text in ax.texts]
    assert texts[:3] == ["method", "P(True)", "no method"]
    assert texts[3:] == ["certified", "88 %", "0 %", "graded", "392", "7"]
    lefts = [text.xyann[0] for text in ax.texts]
    assert lefts == sorted(lefts)
    assert {*heads} <= {*ax.drawn[0]["columns"].values()}
    plt.close("all")


def test_a_column_beside_the_marks_is_of_each_mark_and_n_of_a_row():
    table = pd.DataFrame({"model": [FIVE[0]] * 2, "risk": [0.1, 0.2], "n": 50})
    table = table.assign(certified=1.0, kind=["asked", "read"])
    ax = plt.figure().subplots()
    how = {"label": "model", "fill": "kind", "n": "n"}
    plots.forest(table, "risk", **how, beside={"certified": "certified"}, ax=ax)
    texts = [text.get_text() for text in ax.texts]
    assert texts == ["answers", "50", "certified", "100 %", "100 %"]
    plt.close("all")


def test_a_note_stands_at_the_end_of_its_bar_that_has_more_room():
    table = pd.DataFrame({"model": FIVE[:4], "share": [0.1, 0.8, 0.3, None]})
    table = table.assign(
        share_low=[0.05, 0.7, None, None], share_high=[0.2, 0.9, None, None]
    )
    table["note"] = ["few", "most", "no bar", ""]
    ax = plt.figure().subplots(subplot_kw={"xlim": (0, 1)})
    plots.forest(table, "share", label="model", note="note", ax=ax)
    notes = {text.get_text(): (text.xy[0], text.get_ha()) for text in ax.texts}
    assert notes.pop("few") == (0.2, "left")
    assert notes.pop("most") == (0.7, "right")
    assert notes.pop("no bar") == (0.3, "left")
    assert not notes
    plt.close("all")


def test_what_stands_below_the_title_may_have_lines():
    fig = plt.figure()
    fig.subplots().set_title("a title")
    plots.title_and_key(fig, "Gaps", of="one\ntwo")
    assert fig.get_suptitle() == "Gaps\n\n"
    (below,) = fig.artists
    assert below.get_text() == "one\ntwo"
    plt.close("all")


def test_a_column_that_a_table_lacks_is_named_with_the_nearest():
    table = pd.DataFrame({"model": ["a"], "gap": [0.1], "n": [9]})
    with pytest.raises(MedcalError, match="no column 'modle'; did you mean 'model'"):
        plots.forest(table, "gap", label="model", hue="modle")
    with pytest.raises(MedcalError, match="no column 'gapp'; did you mean 'gap'"):
        plots.lines(table, "n", "gapp")
    with pytest.raises(MedcalError, match="no column 'confidence'"):
        plots.calibration(table)  # answers, not their `value_table`
    plt.close("all")


def test_a_stroke_in_a_key_is_what_an_estimate_is_compared_with_and_nothing_else():
    table = pd.DataFrame({"model": ["a", "b"], "gap": 0.1, "gap_low": 0.0})
    table = table.assign(gap_high=0.2, test_error=0.3, n=[10, 20])
    curve = risk_coverage_table(
        pd.DataFrame({"confidence": [0.9, 0.5], "correct": [1, 0], "model": "a"})
    )
    both = recalibration_table([0.9] * 9, [0.6] * 9, [1] * 6 + [0] * 3)
    fig, axes = plt.subplots(1, 5)
    plots.forest(table, "gap", label="model", base="test_error", ax=axes[0])
    plots.lines(table, "n", "gap", hue="model", flat=["a"], ax=axes[1])
    plots.risk_coverage(curve, hue="model", ax=axes[2])
    plots.calibration(both, hue="stage", joined="value", ax=axes[3])
    plots.calibration(value_table([0.9] * 9, [1] * 6 + [0] * 3), ax=axes[4])
    plots.title_and_key(fig, "Every chart")
    (key,) = fig.legends
    marks = key.findobj(Line2D)
    strokes = [one for one in marks if one.get_marker() == "|"]
    # a bar has a cap at either end; its line is no mark
    caps = [one for one in strokes if one.get_markersize() == 6]
    (stroke,) = [one for one in strokes if one not in caps]
    assert stroke.get_markersize() == 9
    assert len(caps) % 2 == 0
    words = [text.get_text() for text in key.get_texts()]
    assert {"if every answer passes", plots.INTERVAL} <= {*words}
    plt.close("all")


def test_a_key_beside_a_square_has_one_column_and_leaves_the_width():
    table = value_table([0.9] * 9 + [0.5] * 9, [1] * 9 + [0] * 9)
    with plt.style.context(plots.STYLE):
        fig, ax = plt.subplots(figsize=(plots.TWO_COLUMNS, 4))
        plots.calibration(table, ax=ax)
        plots.title_and_key(fig, "A square", beside=True)
        fig.canvas.draw()
        (key,) = fig.legends
        assert key._ncols == 1
        assert key.get_window_extent().x0 > ax.get_window_extent().x1
    plt.close("all")


def test_a_tie_of_the_overconfidence_is_rounded_as_in_the_pages():
    answers = pd.DataFrame({"confidence": 0.75, "correct": [True] * 5 + [False] * 3})
    table = value_table(answers["confidence"], answers["correct"])
    texts = [text.get_text() for text in plots.calibration(table).texts]
    assert "+13 points" in texts  # 12.5
