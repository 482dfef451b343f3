"""What a notebook looks at: names, sides, models and methods."""

import numpy as np
import pandas as pd
import pytest

from medcal_nb.errors import MedcalError, NotEnough
from medcal_nb.study import select
from medcal_nb.study import selection as rows
from tests.correct.worlds import GENERAL, MEDICAL
from tests.correct.worlds import graded as world


def test_pick_prefers_what_is_there_and_keeps_the_order_of_rows():
    there = pd.Series(["b", "a", "b", None, "c"])
    assert rows.pick(["c", "x"], there, n=2) == ["c", "b"]
    assert rows.pick([], there, n=9) == ["b", "a", "c"]
    with pytest.raises(MedcalError, match="nothing to measure"):
        rows.pick(["a"], there[:0], n=1)


def test_a_misspelt_name_is_refused_with_the_choices(graded):
    with pytest.raises(MedcalError, match=r"MODEL: no 'n'.*from m"):
        rows.pick(["n"], graded["model"], n=1, name="MODEL")
    with pytest.raises(
        MedcalError, match=r"STRATEGY: no 'verbalised' .* verbalized, p_true"
    ):
        rows.strategies_on(graded, "m", ["verbalised"], n=1, name="STRATEGY")
    assert rows.strategies_on(graded, "m", ["p_true"], n=1, name="STRATEGY") == [
        "p_true"
    ]


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
    with pytest.raises(MedcalError, match=r"MODEL: gone has.*choose from"):
        rows.strategies_on(every, "gone", wanted, n=2)
    with pytest.raises(
        MedcalError, match=r"MODEL: one-sided has no .* choose from half, m$"
    ):
        rows.strategies_on(every, "one-sided", wanted, where=sides, n=2)
    one_name = "on general images and on medical images: give the method one name"
    with pytest.raises(NotEnough, match=one_name):
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


def test_sides_are_found_or_named(rng):
    data = pd.concat(
        [world(rng, 20, d) for d in ("general", "medical")], ignore_index=True
    )
    fit_on, judge_on = GENERAL | {"split": "fit"}, MEDICAL | {"split": "test"}
    assert rows.sides(data, fit_on, judge_on) == (
        GENERAL,
        MEDICAL,
        MEDICAL,
    )  # no splits: without them
    unnamed = data.assign(domain=None)
    assert rows.sides(unnamed, fit_on, judge_on)[:2] == (
        {"dataset": "general"},
        {"dataset": "medical"},
    )
    more = {"dataset": "medical"}
    assert rows.sides(data, GENERAL, MEDICAL, more) == (GENERAL, MEDICAL, more)
    assert (
        rows.sides(data, GENERAL, MEDICAL, {"model": "m"})[2] == MEDICAL
    )  # it holds the source
    with pytest.raises(NotEnough, match="import a second one"):
        rows.sides(data[data.domain == "general"], fit_on, judge_on)
    with pytest.raises(MedcalError, match="SOURCE and TARGET are"):
        rows.sides(data, {"dataset": "general"}, {"dataset": "general"})
    with pytest.raises(MedcalError, match="no such rows"):
        rows.sides(data, {"dataset": "x"}, {"dataset": "general"})
    assert rows.side_name(GENERAL) == "general images"
    assert rows.side_name({"dataset": "my-set", "split": "fit"}) == "my-set"


def test_select_prefers_what_the_study_looks_at_and_takes_what_is_named(graded):
    medical = graded.assign(model="pocket-medical", domain="medical")
    chosen = select(pd.concat([graded, medical]))
    assert (chosen.model, chosen.strategy) == ("pocket-medical", "verbalized")
    assert chosen.source == {}
    assert chosen.target_name == "medical images"

    chosen = select(graded, strategy="p_true")
    assert set(chosen.close_up["strategy"]) == {"p_true"}
    assert set(chosen.target_rows["domain"]) == {"medical"}
    assert chosen.strategies(["p_true"], n=5) == ["p_true", "verbalized"]
    with pytest.raises(MedcalError, match="MODEL: no 'x'"):
        select(graded, model="x")
    with pytest.raises(MedcalError, match="STRATEGY: no 'x'"):
        select(graded, strategy="x")


def test_select_takes_sides_that_are_named(graded):
    chosen = select(graded, source=GENERAL, target=MEDICAL, more_target=MEDICAL)
    assert chosen.source_name == "general images"
    assert set(chosen.answers["side"]) == {"general images", "medical images"}
    one = graded[graded["dataset"] == "two"]
    with pytest.raises(NotEnough):
        select(one, source=GENERAL, target=MEDICAL)
    alone = select(one, source=GENERAL, target=MEDICAL, one_set_allowed=True)
    assert alone.source == {}
    assert len(alone.target_rows) == 20


def test_select_leaves_out_other_splits_and_what_cannot_be_measured(graded):
    graded["split"] = np.tile(["fit", "test", None, "test"], 20)
    graded.loc[1, "confidence"] = np.nan
    chosen = select(graded, split="test")
    assert set(chosen.answers["split"].dropna()) == {"test"}
    assert len(chosen.answers) == 59


def test_by_group_stacks_a_table_of_each_group_and_passes_images_on(rng):
    frame = pd.DataFrame(
        {
            "dataset": ["one"] * 6 + ["two"] * 4,
            "item_id": np.arange(10),
            "image_id": np.arange(10) // 2,
            "confidence": rng.random(10),
            "correct": rng.random(10) < 0.5,
        }
    )
    seen = []

    def table(c, y, groups):
        seen.append(list(groups))
        return pd.DataFrame({"mean": [c.mean()]})

    stacked = rows.by_group(frame, "dataset", table)
    assert stacked["dataset"].tolist() == ["one", "two"]
    assert stacked["n"].tolist() == [6, 4]
    assert stacked["n_images"].tolist() == [3, 2]
    assert seen[0][:3] == ["one/0", "one/0", "one/1"]
