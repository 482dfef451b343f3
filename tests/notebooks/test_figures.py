"""Every published figure says what its table says; and what is broken is noticed."""

import json
import struct

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from medcal_nb import plots
from medcal_nb.notebook import Output
from medcal_nb.run import ROOT
from tests.notebooks.figure_rules import broken_rules

FIGURES = ROOT / "figures"
NAMES = sorted(path.stem for path in FIGURES.glob("fig*.png"))


@pytest.fixture(autouse=True)
def style():
    with plt.style.context(plots.STYLE):
        yield


@pytest.mark.parametrize("name", NAMES)
def test_a_published_figure_says_what_its_table_says(name):
    (path,) = (FIGURES / "results").glob(f"{name[3:5]}_*.json")
    spec = json.loads(path.read_text("utf-8"))["figures"][name]
    assert broken_rules(spec, pd.read_csv(FIGURES / f"{name}.csv")) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_published_figure_has_a_width_of_a_journal(name):
    head = (FIGURES / f"{name}.png").read_bytes()[:24]
    (pixels,) = struct.unpack(">I", head[16:20])  # the width, of the PNG's first chunk
    width = pixels / plt.rcParams["savefig.dpi"]
    widths = (plots.ONE_COLUMN, plots.TWO_COLUMNS)
    assert min(abs(width - one) for one in widths) * 25.4 < 0.2, (
        f"{25.4 * width:.1f} mm"
    )


def table_of():
    table = pd.DataFrame({"model": ["a", "b", "c", "d"], "gap": [0.1, 0.2, 0.3, None]})
    table = table.assign(gap_low=0.0, gap_high=0.4, floor=0.5, n=[100, 200, 300, 0])
    table["method"] = ["x", "y", "x", "y"]
    table["graded"] = [1000, 20, 30, 40]
    table["conclusion"] = ["inferior", "inconclusive", "non-inferior", None]
    table["left_out"] = ["", "", "", "no threshold"]
    return table


def saved(tmp_path, table=None, change=None, drawn=None):
    """What is written of a figure, after a change of it; `drawn` is what it was drawn of."""
    table = table_of() if table is None else table
    drawn = table if drawn is None else drawn
    fig, ax = plt.subplots()
    options = {"label": "model", "hue": "method", "fill": "conclusion"}
    options["beside"] = {"graded": "graded"}
    plots.forest(drawn, "gap", base="floor", n="n", ax=ax, **options)
    names = {plots.INTERVAL: f"{plots.INTERVAL} alone; conclusion: together (Holm)"}
    plots.title_and_key(fig, "Overconfidence by model", names=names)
    if change:
        change(fig, ax)
    out = Output("99_rules", str(tmp_path))
    out.save(fig, "fig99_rules", table, "A caption.")
    out.close()
    results = json.loads((tmp_path / "results" / "99_rules.json").read_text("utf-8"))
    read = pd.read_csv(tmp_path / "fig99_rules.csv")
    return broken_rules(results["figures"]["fig99_rules"], read)


def test_an_honest_figure_breaks_no_rule(tmp_path):
    assert saved(tmp_path) == []


def renamed_axis(fig, ax):
    ax.set_xlabel("answers graded")


def renamed_fill(fig, ax):
    texts = {text.get_text(): text for text in ax.texts}
    texts["non-inferior"].set_text("non-inferior: all of the bar in the shade")


def verdict(fig, ax):
    ax.set_title("all have no discrimination")


def own_note(fig, ax):
    ax.set_title("left out: none could be set")


def no_key(fig, ax):
    fig.legends.clear()


def other_n(fig, ax):
    ax.set_title("n = 4,549 answers")


def wide_title(fig, ax):
    ax.set_title("Confidence of five models, by the method that retains most " * 2)


def sign(fig, ax):
    fig.suptitle("Thresholds, δ = 0.014")


def no_title(fig, ax):
    fig.suptitle("")


def long_title(fig, ax):
    fig.suptitle("A title " * 10)


def narrow(fig, ax):
    ax.set_xlim(0.1, 0.5)


def twins(fig, ax):
    fig.legends.clear()
    fig.legend([ax.lines[0]] * 2, ["95 % CI", "certified"])


def uncorrected(fig, ax):
    (key,) = fig.legends
    for text in key.get_texts():
        text.set_text(text.get_text().replace("Holm", "each"))


def no_bars(fig, ax):
    for part in [*ax.collections]:
        part.remove()


def no_letters(fig, ax):
    ax.set_title("All models")
    fig.add_axes((0.8, 0.8, 0.1, 0.1), title="By model")


def other_column(fig, ax):
    texts = {text.get_text(): text for text in ax.texts}
    texts["1,000"].set_text("1,001")


def own_order(fig, ax):
    ax.set_title("a  Gemma-3-27B")
    fig.add_axes((0.8, 0.8, 0.1, 0.1), title="b  InternVL3.5-14B")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (narrow, "1 marks are cut by the frame"),
        (twins, "look alike in the key: ['95 % CI', 'certified']"),
        (uncorrected, "no key says that conclusions are corrected"),
        (no_bars, "bars are in the key, and none can be seen"),
        (no_letters, "letters of panels: '', not 'ab'"),
        (other_column, "beside the marks are not the values of graded"),
        (own_order, "models of panels stand in an order of their own"),
        (renamed_axis, "an axis says 'answers graded'"),
        (renamed_fill, "not in the key: non-inferior"),
        (verdict, "says 'no discrimination', and no mark has it"),
        (own_note, "in words of its own"),
        (no_key, "no key says what a bar is"),
        (other_n, "n = 4549 is in no column"),
        (wide_title, "cut by the edge: 'Confidence of five"),
        (sign, "a sign without words: δ"),
        (no_title, "no title"),
        (long_title, "a title of"),
    ],
)
def test_a_figure_that_says_something_else_is_noticed(tmp_path, change, words):
    assert words in " · ".join(saved(tmp_path, change=change))


def test_ticks_that_are_not_drawn_are_cut_by_no_edge(tmp_path):
    def picture(fig, ax):
        image = fig.add_axes((0, 0, 0.1, 0.1), xlim=(0, 9))
        image.set_axis_off()

    assert saved(tmp_path, change=picture) == []


def test_a_swatch_of_what_is_not_drawn_is_noticed(tmp_path):
    table = table_of().assign(method=["x", "y", "x", "z"])
    assert saved(tmp_path, table=table) == ["in the key, not drawn: z"]


def without_row(table):
    return table[table["model"] != "a"]


def without_reasons(table):
    return table.assign(left_out="")


def other_conclusions(table):
    return table.assign(conclusion=["inferior"] * 3 + [None])


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (without_row, "gap: 2 drawn, 3 in the table"),
        (without_reasons, "left out {'': 1}, in the table {'no threshold': 1}"),
        (other_conclusions, "fillings {'inferior': 3} are not the column's"),
    ],
)
def test_a_table_that_is_not_what_was_drawn_is_noticed(tmp_path, other, words):
    assert words in " · ".join(saved(tmp_path, drawn=other(table_of())))


def test_a_column_that_is_not_saved_is_noticed(tmp_path):
    drawn = table_of()
    lines = saved(tmp_path, table=drawn.drop(columns="floor"), drawn=drawn)
    assert lines == ["columns that the table lacks: ['floor']"]


def test_a_figure_without_n_is_noticed(tmp_path):
    def silent(fig, ax):
        del ax.drawn[0]["columns"]["n"]

    assert "no n on the figure" in saved(tmp_path, change=silent)
