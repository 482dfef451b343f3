"""Rows chosen, halved and grouped."""

import numpy as np
import pandas as pd
import pytest

from medcal_nb.errors import MedcalError, NotEnough
from medcal_nb.measure import reliability_table, rows


@pytest.fixture
def graded(rng):
    n = 80
    confidence = rng.random(n)
    return pd.DataFrame(
        {
            "model": "m",
            "dataset": np.repeat(["one", "two"], n // 2),
            "domain": np.repeat(["general", "medical"], n // 2),
            "strategy": np.tile(["verbalized", "p_true"], n // 2),
            "item_id": np.arange(n).astype(str),
            "image_id": (np.arange(n) // 4).astype(str),
            "modality": np.tile(["ct", "ct", "mri", None], n // 4),
            "confidence": confidence,
            "correct": rng.random(n) < confidence,
        }
    )


def test_pick_prefers_what_is_there_and_keeps_the_order_of_rows():
    there = pd.Series(["b", "a", "b", None, "c"])
    assert rows.pick(["c", "x"], there, n=2) == ["c", "b"]
    assert rows.pick([], there, n=9) == ["b", "a", "c"]
    with pytest.raises(MedcalError, match="nothing to measure"):
        rows.pick(["a"], there[:0], n=1)


def test_a_misspelt_name_is_refused_with_the_choices(graded):
    with pytest.raises(
        MedcalError, match=r"MODEL: no 'n' in the answers .* choose from m"
    ):
        rows.pick(["n"], graded["model"], n=1, name="MODEL")
    with pytest.raises(
        MedcalError, match=r"STRATEGY: no 'verbalised' .* verbalized, p_true"
    ):
        rows.strategies_on(graded, "m", ["verbalised"], n=1, name="STRATEGY")
    assert rows.strategies_on(graded, "m", ["p_true"], n=1, name="STRATEGY") == [
        "p_true"
    ]


def test_arrays_leave_out_what_has_no_confidence_or_grade(graded):
    graded["correct"] = graded["correct"].astype("boolean")
    graded.loc[0, "confidence"] = np.nan
    graded.loc[1, "correct"] = pd.NA
    confidence, correct = rows.arrays(graded)
    assert len(confidence) == len(correct) == len(graded) - 2
    assert set(correct) <= {0.0, 1.0}


def test_group_column_is_named_in_the_error(graded):
    with pytest.raises(MedcalError, match=r"no column 'scanner'.*modality"):
        rows.with_group(graded, "scanner")
    assert set(rows.with_group(graded, "modality")["group"]) == {"ct", "mri", "all"}


def test_an_empty_column_gives_way_to_the_data_sets(graded):
    assert rows.filled_column(graded, "modality") == "modality"
    assert rows.filled_column(graded.assign(modality=None), "modality") == "dataset"
    assert (
        rows.filled_column(graded, "colour") == "colour"
    )  # named in the error of with_group


def test_halves_share_no_image_of_a_data_set(graded, rng):
    twin = pd.concat([graded, graded.assign(dataset="three")])
    first, second = rows.halves(twin, rng=rng)
    one, other = set(rows.image_labels(first)), set(rows.image_labels(second))
    assert not one & other
    assert len(one) == len(other) == 20
    assert len(first) + len(second) == len(twin)


@pytest.mark.parametrize(
    "ids",
    [
        [7, 8],
        [7.0, 8.0],
        ["7", "8"],
        ["7.0", "8.00"],
        np.array([7, 8]),
        [7, None],
        [7, "8"],
    ],
)
def test_an_image_is_one_whatever_the_type_of_its_id(ids):
    frame = pd.DataFrame({"item_id": [5, 8], "image_id": ids, "dataset": "d"})
    assert rows.image_labels(frame).tolist() == ["d/7", "d/8"]
    assert rows.plain_ids(["a.0", "007", "-3.0", 1.5]).tolist() == [
        "a.0",
        "007",
        "-3",
        "1.5",
    ]


def test_by_group_hands_over_images_and_counts_them(graded):
    seen = []
    table = rows.by_group(
        graded,
        "dataset",
        lambda c, y, groups: seen.append(groups) or pd.DataFrame({"n": [len(c)]}),
        by_image=True,
    )
    assert table["n_images"].tolist() == [10, 10]
    assert list(seen[0][:5]) == ["one/0"] * 4 + ["one/1"]
    panels = rows.by_group(graded, "strategy", reliability_table, n_bins=5)
    assert panels.groupby("strategy", sort=False)["n"].sum().to_dict() == {
        "verbalized": 40,
        "p_true": 40,
    }


def test_sides_are_domains_and_data_sets_where_none_is_known(graded):
    extra = graded.head(4).assign(domain=None, dataset="three")
    seen = rows.with_sides(pd.concat([extra, graded.iloc[::-1]]))
    assert seen.groupby("side")["domain"].first().to_dict() == {
        "general images": "general",
        "medical images": "medical",
    }
    assert len(seen) == len(graded)
    unnamed = rows.with_sides(graded.drop(columns="domain"))
    assert list(dict.fromkeys(unnamed["side"])) == ["one", "two"]


def test_strategies_are_those_of_the_model_on_both_sides(graded):
    other = graded[graded["domain"] == "medical"].assign(model="one-sided")
    half = graded.assign(model="half")
    half["confidence"] = half["confidence"].where(
        (half["strategy"] == "p_true") | (half["domain"] == "medical")
    )
    every = pd.concat([other, half, graded])
    sides = [{"domain": "general"}, {"domain": "medical"}]
    wanted = ["verbalized", "p_true"]
    assert rows.strategies_on(every, "m", wanted, where=sides, n=2) == wanted
    assert rows.strategies_on(every, "half", wanted, where=sides, n=2) == ["p_true"]
    assert (
        rows.strategies_on(every, "one-sided", wanted, where=sides[1:], n=1)
        == wanted[:1]
    )
    with pytest.raises(
        MedcalError, match=r"MODEL: gone has no .* on all sides; choose from"
    ):
        rows.strategies_on(every, "gone", wanted, n=2)
    with pytest.raises(
        MedcalError, match=r"MODEL: one-sided has no .* choose from half, m$"
    ):
        rows.strategies_on(every, "one-sided", wanted, where=sides, n=2)
    with pytest.raises(MedcalError, match=r"choose from none$"):
        rows.strategies_on(other, "one-sided", wanted, where=sides, n=2)


def of_sets(**domains):
    """Two graded answers of each data set, named by its domain or None."""
    made = [
        (name, domain, f"{name}{i}")
        for name, domain in domains.items()
        for i in range(2)
    ]
    return pd.DataFrame(made, columns=["dataset", "domain", "item_id"]).assign(
        split=None
    )


DEFAULTS = (
    {"domain": "general", "split": "fit"},
    {"domain": "medical", "split": "test"},
    {"domain": "medical"},
)


def test_sides_that_are_named_are_the_sides_that_are_used():
    med, gen = {"dataset": "med"}, {"dataset": "gen"}
    bare, told = of_sets(gen=None, med=None), of_sets(gen="general", med="medical")
    for graded in (bare, told):
        assert rows.sides(graded, med, gen, {"domain": "medical"}) == (med, gen, gen)
        assert rows.sides(graded, gen, med) == (gen, med, med)
        for source, target in ((med, {"dataset": "zzz"}), ({"dataset": "zzz"}, med)):
            with pytest.raises(
                MedcalError, match=r"zzz'}.*: no such rows, .* data sets gen, med"
            ):
                rows.sides(graded, source, target)
        with pytest.raises(MedcalError, match="the same"):
            rows.sides(graded, med, med)


def test_sides_nobody_named_are_domains_and_else_the_first_two_data_sets():
    first, second = {"dataset": "b"}, {"dataset": "a"}
    assert rows.sides(of_sets(b=None, a=None), *DEFAULTS) == (first, second, second)
    assert rows.sides(of_sets(b="medical", a="medical"), *DEFAULTS) == (
        first,
        second,
        second,
    )
    general, medical = {"domain": "general"}, {"domain": "medical"}
    found = rows.sides(of_sets(b="medical", a="general"), *DEFAULTS)
    assert found == (general, medical, medical)
    with pytest.raises(NotEnough, match="import a second"):
        rows.sides(of_sets(a=None), *DEFAULTS)


def test_a_row_without_a_value_holds_none():
    frame = pd.DataFrame(
        {
            "urgent": pd.array([True, None, False], "boolean"),
            "age": pd.array([1, None, 3], "Int64"),
            "site": ["a", None, "b"],
        }
    )
    for where in ({"urgent": True}, {"age": 1}, {"site": "a"}):
        assert list(rows.rows_where(frame, where).index) == [0], where
    assert rows.rows_where(frame, {"age": pd.NA}).empty
    assert rows.rows_where(frame, {"none": 1}).empty
