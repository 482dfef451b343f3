"""Tables behind figures."""

import numpy as np
import pandas as pd
import pytest

from medcal_nb.errors import MedcalError
from medcal_nb.measure import ece, metrics_table
from medcal_nb.show import tables


@pytest.fixture
def verdicts(rng):
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
    assert tables.pick(["c", "x"], there, n=2) == ["c", "b"]
    assert tables.pick([], there, n=9) == ["b", "a", "c"]


def test_arrays_leave_out_what_has_no_confidence_or_grade(verdicts):
    verdicts["correct"] = verdicts["correct"].astype("boolean")
    verdicts.loc[0, "confidence"] = np.nan
    verdicts.loc[1, "correct"] = pd.NA
    confidence, correct = tables.arrays(verdicts)
    assert len(confidence) == len(correct) == len(verdicts) - 2
    assert set(correct) <= {0.0, 1.0}


def test_panels_cover_every_group_and_every_item(verdicts):
    panels = tables.reliability_panels(verdicts, by=["strategy", "dataset"], n_bins=5)
    assert len(panels) == 4 * 5
    totals = panels.groupby(["strategy", "dataset"])["n"].sum()
    assert (totals == 20).all()


def test_histogram_counts_by_hand():
    table = tables.histogram_table([0.0, 0.25, 0.26, 1.0], [1, 0, 1, 1], n_bins=4)
    assert table["n_correct"].tolist() == [1, 1, 0, 1]
    assert table["n_wrong"].tolist() == [1, 0, 0, 0]


def test_ece_bins_table_agrees_with_ece_and_has_its_interval(verdicts, rng):
    table = tables.ece_bins_table(verdicts, by=["strategy"], bins=[3, 7], n_resamples=50, rng=rng)
    assert len(table) == 4 * verdicts["strategy"].nunique()
    for row in table.itertuples():
        confidence, correct = tables.arrays(verdicts[verdicts["strategy"] == row.strategy])
        kind = row.binning.removeprefix("equal ")
        assert row.ece == ece(confidence, correct, n_bins=row.n_bins, binning=kind)
        assert row.n == len(correct)
        assert row.ece_low < row.ece_high


def test_counts_are_of_what_could_be_measured(verdicts):
    silent = verdicts.assign(confidence=verdicts["confidence"].where(verdicts.index != 0))
    one = pd.DataFrame({"strategy": [verdicts["strategy"].iloc[0], "never asked"]})
    counts = tables.with_counts(one, silent, by=["strategy"])["n"]
    kept = tables.measured(silent)
    assert counts[0] == (kept["strategy"] == one["strategy"][0]).sum()
    assert np.isnan(counts[1])
    assert tables.with_counts(pd.DataFrame(), silent, by=["strategy"]).empty


def test_intervals_are_written_into_one_cell(verdicts, rng):
    scores = metrics_table(verdicts, metrics=["ece"], n_resamples=50, rng=rng)
    shown = tables.with_intervals(scores, by=["dataset", "strategy"])
    row = scores.iloc[0]
    expected = f"{row.ece:.3f} [{row.ece_low:.3f}, {row.ece_high:.3f}]"
    assert shown.loc[(row.dataset, row.strategy), "ece"] == expected


def test_group_column_is_named_in_the_error(verdicts):
    with pytest.raises(MedcalError, match=r"no column 'scanner'.*modality"):
        tables.with_group(verdicts, "scanner")
    assert set(tables.with_group(verdicts, "modality")["group"]) == {"ct", "mri", "all"}


def test_an_empty_column_gives_way_to_the_data_sets(verdicts):
    assert tables.filled_column(verdicts, "modality") == "modality"
    assert tables.filled_column(verdicts.assign(modality=None), "modality") == "dataset"
    assert tables.filled_column(verdicts, "colour") == "colour"  # named in the error of with_group


def test_interval_note_wants_exactly_one_row(verdicts, rng):
    scores = metrics_table(verdicts, n_resamples=50, rng=rng)
    note = tables.interval_note(scores, "ece", dataset="one", strategy="p_true")
    row = scores.query("dataset == 'one' and strategy == 'p_true'").iloc[0]
    assert note.startswith(f"ECE {row.ece:.3f} [")
    with pytest.raises(ValueError, match="2 rows match"):
        tables.interval_note(scores, "ece", dataset="one")


def test_elicitation_counts_replies_per_item():
    answers = pd.DataFrame(
        {
            "model": "m",
            "dataset": "d",
            "strategy": ["verbalized"] * 2 + ["self_consistency"] * 6,
            "item_id": ["a", "b"] + ["a", "b"] * 3,
            "prompt_tokens": 10,
            "new_tokens": [4, 6] + [2] * 6,
            "seconds": 0.5,
            "parse_ok": [True, False] + [True] * 6,
        }
    )
    verdicts = pd.DataFrame(
        {
            "model": "m",
            "dataset": "d",
            "strategy": ["verbalized", "verbalized", "self_consistency", "self_consistency"],
            "confidence": [0.8, np.nan, 1.0, 2 / 3],
            "correct": pd.array([True, None, True, False], dtype="boolean"),
        }
    )
    table = tables.elicitation_table(answers, verdicts).set_index("strategy")
    assert table.loc["self_consistency", "replies_per_item"] == 3
    assert table.loc["self_consistency", "new_tokens"] == 6
    assert table.loc["verbalized", "parse_rate"] == 0.5
    # Wilson's interval of 1 in 2: (1/2 + z²/4 ± z √(1/8 + z²/16)) / (1 + z²/2), z = 1.96
    assert table.loc["verbalized", "parse_rate_low"] == pytest.approx(0.0945, abs=1e-3)
    assert table.loc["verbalized", "parse_rate_high"] == pytest.approx(0.9055, abs=1e-3)
    assert table.loc["verbalized", "confidence_rate"] == 0.5
    assert table.loc["verbalized", "accuracy"] == 1.0
    assert table.loc["self_consistency", "levels"] == 2


def test_colours_about_zero_reach_the_farthest_value():
    assert tables.about_zero(pd.Series([0.05, -0.13, np.nan])) == (-0.13, 0.13)
    assert tables.about_zero(pd.Series([0.0])) == (-1.0, 1.0)
    assert tables.about_zero(pd.Series([], dtype=float)) == (-1.0, 1.0)


def test_by_group_hands_over_images_and_counts_them(verdicts):
    seen = []
    table = tables.by_group(
        verdicts,
        ["dataset"],
        lambda c, y, groups: seen.append(groups) or pd.DataFrame({"n": [len(c)]}),
        by_image=True,
    )
    assert table["n_images"].tolist() == [10, 10]
    assert [list(groups[3:5]) for groups in seen] == [["one: 0", "one: 1"], ["two: 10", "two: 11"]]
    assert tables.image_counts(verdicts, "dataset").to_dict() == {"one": 10, "two": 10}
    unknown = verdicts.assign(image_id=None)
    assert tables.image_counts(unknown, "dataset").to_dict() == {"one": 40, "two": 40}


def test_values_below_their_interval_are_counted_and_explained():
    scores = pd.DataFrame(
        {"ece": [0.1, 0.01, 0.2], "ece_low": [0.05, 0.02, 0.1], "ece_high": [0.2, 0.1, 0.3]}
    )
    told = tables.below_note(scores, see="there")
    assert told.startswith("1 of 3 ECE values lie below their own interval")
    assert "(see there)" in told
    assert tables.below_note(scores[:1], see="there") == ""


def test_how_often_intervals_hold_is_said_for_each_size_and_the_worst_first():
    coverage = pd.DataFrame(
        {"stat": ["debiased_ece", "ece"] * 2, "n": [100, 100, 2000, 2000],
         "coverage": [0.2, 0.0, 0.5, 0.04], "missed_below": [0.0, 0.0, 0.3, 0.0],
         "missed_above": [0.8, 1.0, 0.2, 0.96]}
    )  # fmt: skip
    told = tables.held_note(coverage, level=0.9)
    assert told.startswith("A 90% interval holds the truth in this share of the samples: ECE 0.0%")
    assert "ECE 0.0% (n = 100), 4.0% (n = 2,000); " in told
    assert "debiased ECE 20.0% (n = 100), 50.0% (n = 2,000). In 3 of these 4 cases" in told


def test_strategies_are_those_of_the_model_on_both_sides(verdicts):
    other = verdicts[verdicts["domain"] == "medical"].assign(model="one-sided")
    half = verdicts.assign(model="half")
    half["confidence"] = half["confidence"].where(
        (half["strategy"] == "p_true") | (half["domain"] == "medical")
    )
    every = pd.concat([other, half, verdicts])
    sides = [{"domain": "general"}, {"domain": "medical"}]
    wanted = ["verbalized", "p_true"]
    assert tables.strategies_on(every, "m", wanted, where=sides, n=2) == wanted
    assert tables.strategies_on(every, "half", wanted, where=sides, n=2) == ["p_true"]
    assert tables.strategies_on(every, "one-sided", wanted, where=sides[1:], n=1) == wanted[:1]
    own = every[(every["model"] != "half") | (every["strategy"] == "verbalized")]
    assert tables.strategies_on(own, "half", ["p_true"], n=2) == ["verbalized"]
    with pytest.raises(MedcalError, match=r"MODEL: gone has no .* and grades: choose one"):
        tables.strategies_on(every, "gone", wanted, n=2)
    with pytest.raises(MedcalError, match=r"MODEL: one-sided has no .* choose one of half, m$"):
        tables.strategies_on(every, "one-sided", wanted, where=sides, n=2)
    with pytest.raises(MedcalError, match="choose one of no model, for none has"):
        tables.strategies_on(other, "one-sided", wanted, where=sides, n=2)


DEFAULTS = (
    {"domain": "general", "split": "fit"},
    {"domain": "medical", "split": "test"},
    {"domain": "medical"},
)
