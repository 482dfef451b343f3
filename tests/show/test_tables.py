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


def test_ece_bins_table_agrees_with_ece(verdicts):
    confidence, correct = tables.arrays(verdicts)
    table = tables.ece_bins_table(confidence, correct, bins=[3, 7])
    assert len(table) == 4
    for row in table.itertuples():
        assert row.ece == ece(confidence, correct, n_bins=row.n_bins, binning=row.binning)


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
    assert table.loc["verbalized", "confidence_rate"] == 0.5
    assert table.loc["verbalized", "accuracy"] == 1.0
    assert table.loc["self_consistency", "levels"] == 2
