"""Words and numbers that people read."""

import math

import numpy as np
import pandas as pd
import pytest

from medcal_nb.show.words import (
    LABELS,
    estimate,
    heading_of,
    label_of,
    number,
    percent,
    points,
    short_name,
    show_table,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0312, "0.031"), (0.3049, "0.30"), (12.34, "12.3"), (12345.6, "12,346"), (7, "7"),
        (1000.0, "1,000"), (0.00412, "0.0041"), (0.0, "0.00"), (-0.25, "−0.25"),
        (math.nan, "–"), (None, "–"), (math.inf, "–"), (-math.inf, "–"),
        (0.996, "1.00"), (1.0, "1"), (0.000003, "<0.0001"),
    ],
)  # fmt: skip
def test_two_or_three_digits(value, text):
    assert number(value) == text


def test_an_estimate_and_its_interval_share_their_digits():
    assert estimate(0.1234, 0.0812, 0.1749) == "0.12 [0.08, 0.17]"
    assert estimate(0.004, -0.001, 0.009) == "0.0040 [−0.0010, 0.0090]"
    assert estimate(-0.0001, -0.2, 0.2) == "0.00 [−0.20, 0.20]"
    assert estimate(0.5, math.nan, math.nan) == "0.50"
    assert estimate(math.nan, 0.1, 0.2) == "–"
    assert estimate(math.inf, 0.1, math.inf) == "–"


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0 %"), (1.0, "100 %"), (0.001, "<1 %"), (0.998, ">99 %"), (0.994, "99 %"),
        (0.715, "72 %"), (0.1 + 0.2 + 0.415, "72 %"), (math.nan, "–"), (None, "–"),
    ],
)  # fmt: skip
def test_percent_is_whole_and_never_rounds_something_to_nothing(share, text):
    assert percent(share) == text


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((0.32,), "+32"), ((-0.068,), "−7"), ((0.001,), "0"), ((-0.001,), "0"),
        ((0.32, 0.3, 0.338), "+32 [30, 34]"), ((0.01, -0.02, 0.04), "+1 [−2, 4]"),
        ((math.nan,), "–"),
    ],
)  # fmt: skip
def test_points_are_signed(numbers, text):
    assert points(*numbers) == text


def test_headings_are_no_names_of_code():
    for name in ("brier_low_bound", "n_missing", "confidence_rate", *LABELS):
        assert "_" not in heading_of(name)


def test_a_short_name_is_cut_by_an_ellipsis():
    assert short_name("Qwen3-VL-8B-Instruct", 12) == "Qwen3-VL-8B"
    assert short_name("a" * 30, 10) == "a" * 9 + "…"


def test_names_of_design():
    assert label_of("raw") == label_of("none") == "uncorrected"
    assert label_of("qwen") == "qwen"


@pytest.fixture
def frame():
    return pd.DataFrame(
        {
            "strategy": ["verbalized", "p_<b>true", "none"],
            "answer": ["both", "none", "x" * 200],
            "brier": [0.2512345, 0.12, 0.31],
            "brier_low": [0.2, 0.1, 0.3],
            "brier_high": [0.3, 0.15, 0.32],
            "n": [1200, 3, 4],
            "differs": [True, False, True],
        }
    )


def test_a_bool_of_numpy_among_objects_is_a_bool():
    mixed = pd.DataFrame({"b": pd.Series([np.True_, None, False], dtype=object)})
    assert list(show_table(mixed).cells["b"]) == ["yes", "–", "no"]


def test_a_table_sorts_merges_intervals_and_cuts_nothing(frame):
    table = show_table(frame, sort="brier")
    assert list(table.cells.columns) == [
        "elicitation method",
        "answer",
        "Brier score",
        "answers",
        "differs",
    ]
    assert list(table.cells["Brier score"]) == [
        "0.12 [0.10, 0.15]", "0.25 [0.20, 0.30]", "0.31 [0.30, 0.32]"
    ]  # fmt: skip
    assert list(table.cells["answers"]) == ["3", "1,200", "4"]
    # names are called by their words, what a model said is not
    assert list(table.cells["elicitation method"]) == [
        "p_<b>true",
        "verbalized",
        "uncorrected",
    ]
    assert list(table.cells["answer"]) == ["none", "both", "x" * 200]
    assert "x" * 200 in repr(table)
    assert "x" * 200 in table._repr_html_()


def test_two_columns_of_one_heading_stay_two():
    frame = pd.DataFrame({"n_images": [3], "x": [1]})
    table = show_table(frame, {"n_images": "images", "x": "images"})
    assert list(table.cells.columns) == ["images", "images (x)"]
    assert table._repr_html_().count("<td") == 2


def test_words_from_outside_are_escaped(frame):
    page = show_table(
        frame, {"strategy": "<i>how</i>", "n": "n"}, title="a <b>"
    )._repr_html_()
    assert "<b>" not in page
    assert "<i>" not in page
    assert "p_&lt;b&gt;true" in page
    assert page.count("text-align:left") == 4
    assert page.count("text-align:right") == 4


def test_long_tables_say_how_much_more_there_is():
    table = show_table(pd.DataFrame({"x": np.arange(40) / 3}))
    assert len(table.cells) == 12
    assert "and 28 more" in repr(table)
    assert "and 28 more" in table._repr_html_()


def test_an_estimate_without_an_interval_stands_alone():
    frame = pd.DataFrame(
        {"ece": [0.125, 0.5], "ece_low": [None, 0.25], "ece_high": [None, 0.75]}
    )
    frame = frame.astype({"ece_low": object, "ece_high": object})
    assert list(show_table(frame).cells["ECE"]) == ["0.12", "0.50 [0.25, 0.75]"]


def test_odd_cells():
    frame = pd.DataFrame({"a": ["x", None], "b": [pd.NA, np.int64(5)], "c": [0, 0.0]})
    cells = show_table(frame).cells
    assert list(cells["a"]) == ["x", "–"]
    assert list(cells["b"]) == ["–", "5"]
    assert list(cells["c"]) == ["0.00", "0.00"]


def test_shares_are_percent_and_their_differences_points():
    frame = pd.DataFrame({"accuracy": [0.523], "gap": [0.318], "brier": [0.38]})
    for name, width in {"accuracy": 0.014, "gap": 0.02, "brier": 0.01}.items():
        frame[f"{name}_low"] = frame[name] - width
        frame[f"{name}_high"] = frame[name] + width
    cells = ["52 % [51, 54]", "+32 [30, 34] points", "0.38 [0.37, 0.39]"]
    assert show_table(frame).cells.iloc[0].tolist() == cells
    turned = show_table(frame, turned=True).cells
    assert turned.iloc[:, 0].tolist() == ["accuracy", "overconfidence", "Brier score"]
    assert turned.iloc[:, 1].tolist() == cells


def test_counts_that_are_zero_throughout_are_left_out():
    frame = pd.DataFrame({"n": [5, 6], "n_missing": [0, 0], "n_images": [0, 3]})
    assert list(show_table(frame).cells) == ["answers", "images"]
    assert list(show_table(frame.head(1)).cells) == ["answers"]
    assert list(show_table(frame, ["n_missing"]).cells) == ["without confidence"]
