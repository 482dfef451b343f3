"""Rows by a query: what a query may hold, and that none of it is code."""

import pandas as pd
import pytest

from medcal_nb.answers import known_or_first, select
from medcal_nb.answers.select import group_columns, two_parts
from medcal_nb.errors import MedcalError

ROWS = pd.DataFrame(
    {
        "dataset": ["GQA", "a\nb", "@x `y`"],
        "confidence": [0.2, 0.8, None],
        "n": [-1, 2, 3],
        "correct": pd.array([True, False, None], dtype="boolean"),
    }
)


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("dataset in ['GQA', '@x `y`']", [0, 2]),
        ("dataset not in ('GQA',)", [1, 2]),
        ("dataset == 'a\\nb'", [1]),
        (" dataset == '@x `y`' # these", [2]),
        ("n > -2 and not confidence < 0.5", [1, 2]),
        ("n == -1 or 0.5 < confidence <= 1", [0, 1]),
        ("(n in [-1, 3]\n and correct)", [0]),
        ("correct == False", [1]),
    ],
)
def test_a_query_compares_columns_with_values(query, rows):
    assert list(select(ROWS, query).index) == rows


SHELL = "__func__.__globals__['sys'].modules['os'].system('touch {file}') == 0"


@pytest.mark.parametrize(
    ("query", "told"),
    [
        (f"dataset.map.{SHELL}", "in a query"),
        ("confidence.to_csv('{file}') == None", "in a query"),
        ("n == 1 or n[0] == 1", "'n\\[0\\]' in a query"),
        ("@pd.io.common.os.system('touch {file}')", "no query"),
        ("n == 1 # `\n@pd.io.common.os.system('touch {file}')", "no query"),
        ("[n for n in dataset] == 1", "in a query"),
        ("(lambda: 1)() == 1", "in a query"),
        ("f'{{n}}' == 'GQA'", "in a query"),
        ("~correct", "'~correct' in a query"),
        ("n + 1 == 2", "in a query"),
        ("confidence", "of no row"),
        ("1 == 1", "of no row"),
        ("n is 2", "no query"),
        ("n == ", "no query"),
        ("dataset > 3", "no query"),
        ("not " * 5000 + "correct", "too deep"),
        ("m == 1", "no column 'm'"),
        ("dataset == 'gqa'", "did you mean 'GQA'"),
        ("n == 4", "no row fits"),
    ],
)
def test_whatever_else_it_holds_is_refused_in_a_line(query, told, tmp_path):
    file = tmp_path / "called"
    with pytest.raises(MedcalError, match=told):
        select(ROWS, query.format(file=file))
    assert not file.exists()


def test_a_query_about_other_data_takes_all_or_none_of_ones_own():
    own = ROWS.copy()
    own.attrs["is_own"] = True
    with pytest.warns(UserWarning, match="all answers are taken"):
        rows = select(own, "dataset == 'POPE'", own="all")
    assert len(rows) == 3
    assert rows.attrs["called"] == "GQA and a\nb and @x `y`"
    assert "called" not in own.attrs
    none = select(own, "dataset == 'POPE'", own="none")
    assert none.empty
    assert none.attrs["lacks"] == "dataset == 'POPE'"
    slip = select(own, "dataset == 'gqa'", own="none")
    assert slip.attrs["lacks"] == "dataset == 'gqa'; did you mean 'GQA'?"
    assert len(select(own, "n > 0", own="none")) == 2
    # a slip of the pen is no other data; nor are answers of the study one's own
    for rows, query in ((own, "dataset == 'gqa'"), (ROWS, "dataset == 'POPE'")):
        with pytest.raises(MedcalError, match="no row has dataset"):
            select(rows, query, own="all")


def test_a_column_that_a_chapter_names_is_no_slip_of_the_user():
    own = pd.DataFrame({"image_id": ["a"], "dataset": ["mine"]})
    own.attrs["is_own"] = True
    told = "^no column 'image_set', which answers of the study have: all answers are taken$"
    with pytest.warns(UserWarning, match=told):
        assert len(select(own, "image_set == 'MMMU-Pro'", own="all")) == 1
    with pytest.warns(UserWarning, match="did you mean 'image_id'"):
        select(own, "image_di == 'a'", own="all")


def test_a_name_of_other_data_gives_way_to_the_most_frequent_of_ones_own():
    own = pd.DataFrame({"strategy": ["b", "a", "c", "a", "b"]})
    with pytest.raises(MedcalError, match="no row has strategy 'p_true'"):
        known_or_first(own, "strategy", "p_true")
    own.attrs["is_own"] = True
    assert known_or_first(own, "strategy", "p_true") == "b"
    assert known_or_first(own, "strategy", "c") == "c"


def test_where_a_number_is_from_makes_no_subgroup():
    ours = ["grade_from", "confidence_from", "run_id", "server", "answered_by"]
    table = pd.DataFrame({name: ["c", "d"] for name in [*ours, "ward"]})
    assert list(group_columns(table)) == ["ward"]
    assert two_parts(table)["SOURCE"] == "ward == 'c'"
