"""Tables behind figures."""

import numpy as np
import pandas as pd
import pytest

from medcal_nb.correct import fit_platt
from medcal_nb.measure import metrics_table
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


def test_panels_cover_every_group_and_every_item(verdicts):
    panels = tables.reliability_panels(verdicts, by=["strategy", "dataset"], n_bins=5)
    assert len(panels) == 4 * 5
    totals = panels.groupby(["strategy", "dataset"])["n"].sum()
    assert (totals == 20).all()


def test_counts_are_of_what_could_be_measured(verdicts):
    silent = verdicts.assign(confidence=verdicts["confidence"].where(verdicts.index != 0))
    one = pd.DataFrame({"strategy": [verdicts["strategy"].iloc[0], "never asked"]})
    counts = tables.with_counts(one, silent, by=["strategy"])["n"]
    kept = tables.measured(silent)
    assert counts[0] == (kept["strategy"] == one["strategy"][0]).sum()
    assert np.isnan(counts[1])
    assert tables.with_counts(pd.DataFrame(), silent, by=["strategy"]).empty


def test_the_clip_decides_a_temperature_and_its_interval_holds_it(rng):
    n = 200
    sure = pd.DataFrame(
        {
            "strategy": "verbalized",
            "item_id": np.arange(n).astype(str),
            "image_id": (np.arange(n) // 2).astype(str),
            "domain": "general",
            "confidence": np.where(rng.random(n) < 0.5, 1.0, 0.6),
            "correct": rng.random(n) < 0.7,
        }
    )
    table = tables.temperature_traps(sure, source={"domain": "general"}, n_resamples=40, rng=rng)
    clip = table[table["trap"] == "clip"].sort_values("x")
    assert clip["y"].is_monotonic_decreasing
    assert ((clip["y_low"] < clip["y"]) & (clip["y"] < clip["y_high"])).all()
    assert set(table["n"]) == {n}


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


def test_fitted_on_table_keeps_intervals_and_leaves_out_what_was_not_fitted():
    rows = [
        {"method": m, "loss": loss, "n_target": 9}
        | {f"loss_{k}{e}": v for k, v in (("raw", 0.3), ("target", 0.2)) for e in ("", "_low")}
        | {"loss_modality": 0.1 if m == "temperature" else np.nan}
        for m in ("temperature", "platt")
        for loss in ("brier", "ece")
    ]
    table = tables.fitted_on_table(pd.DataFrame(rows)).set_index(["method", "fitted on"])
    assert ("platt", "by modality") not in table.index
    assert table.loc[("temperature", "by modality"), "brier"] == 0.1
    assert table.loc[("platt", "target"), "ece_low"] == 0.2
    assert np.isnan(table.loc[("platt", "target"), "ece_high"])
    assert set(table["n_target"]) == {9}


def test_added_gains_are_those_of_the_table():
    row = {"method": "platt", "loss": "brier", "regret": 0.1, "regret_low": 0.0, "regret_high": 0.2}
    row |= {"pooled_gain": 0.05, "pooled_gain_low": 0.01, "modality_gain": np.nan}
    table = tables.added_gains(pd.DataFrame([row, row | {"loss": "ece"}]), ["brier"])
    assert table["labels used"].tolist() == ["alone", "with the source's"]
    assert table["gain"].tolist() == [0.1, 0.05]
    assert table["gain_low"].tolist() == [0.0, 0.01]


def test_label_sides_share_no_image_and_judge_on_the_target_too(verdicts, rng):
    where = {"source": {"dataset": "one"}, "target": {"dataset": "two"}}
    fresh = verdicts.assign(
        item_id="f" + verdicts["item_id"], image_id="f" + verdicts["image_id"], dataset="two"
    )
    rows, sides = tables.label_sides(
        verdicts, fresh, **where, more_target={"domain": "medical"}, rng=rng
    )
    parts = {name: tables.rows_where(rows, side) for name, side in sides.items()}
    assert len(parts["source"]) == 40
    assert len(parts["target"]) == 40  # half of the fresh images
    assert len(parts["judged"]) == 80  # the other half and the target
    images = {name: set(part["image_id"]) for name, part in parts.items()}
    assert not images["target"] & images["judged"]
    assert not images["source"] & images["judged"]
    rows, sides = tables.label_sides(
        verdicts, fresh[:0], **where, more_target={"domain": "medical"}, rng=rng
    )
    assert sides == {"source": {"dataset": "one"}, "target": {"domain": "medical"}}
    assert rows is verdicts


def test_stage_scores_have_intervals_of_the_level_asked_for(verdicts):
    stages = tables.measured(verdicts).assign(stage="as stated")
    width = {}
    for level in (0.5, 0.95):
        row = tables.stage_scores(
            stages, n_bins=5, n_resamples=100, level=level, rng=np.random.default_rng(1)
        ).iloc[0]
        width[level] = row["brier_high"] - row["brier_low"]
    assert width[0.95] > 1.5 * width[0.5]


def test_colours_about_zero_reach_the_farthest_value():
    assert tables.about_zero(pd.Series([0.05, -0.13, np.nan])) == (-0.13, 0.13)
    assert tables.about_zero(pd.Series([0.0])) == (-1.0, 1.0)
    assert tables.about_zero(pd.Series([], dtype=float)) == (-1.0, 1.0)


def test_true_regret_knows_how_well_it_is_known(rng):
    def rows(n, name, slope):
        z = rng.normal(0, 1.5, n)
        return pd.DataFrame(
            {
                "side": name,
                "item_id": [f"{name}{i}" for i in range(n)],
                "image_id": [f"{name}{i // 2}" for i in range(n)],
                "confidence": 1 / (1 + np.exp(-z)),
                "correct": rng.random(n) < 1 / (1 + np.exp(-slope * z)),
            }
        )

    from medcal_nb.correct import fit_platt
    from medcal_nb.measure import brier_score

    few = pd.concat([rows(500, "g", 2.0), rows(500, "m", 0.5)])
    known = {}
    for n in (1000, 16000):
        table = tables.true_regret(
            few, rows(n, "fresh", 0.5), source={"side": "g"}, target={"side": "m"},
            fit=fit_platt, losses={"brier": brier_score}, rng=rng,
        )  # fmt: skip
        known[n] = table.iloc[0]
        assert known[n].n_images == n // 2
    assert known[16000].regret > 0.02
    # four times the error from a sixteenth of the items
    assert known[1000].standard_error == pytest.approx(4 * known[16000].standard_error, rel=0.5)
    gap = abs(known[1000].regret - known[16000].regret)
    assert gap < 5 * known[1000].standard_error


def test_shifted_thresholds_need_source_answers_to_teach_a_correction(verdicts):
    silent = verdicts.assign(strategy="silent")
    silent["confidence"] = silent["confidence"].where(silent["domain"] == "medical")
    table = tables.shifted_thresholds(
        pd.concat([verdicts, silent]),
        source={"domain": "general"},
        target={"domain": "medical"},
        fit=fit_platt,
        target_risk=0.3,
        delta=0.1,
    )
    used = table.groupby("strategy")["confidence used"].agg(list)
    assert used["silent"] == ["as stated"]
    assert set(used.drop("silent").map(tuple)) == {("as stated", "corrected on the source")}
    one = table[table["strategy"] == "silent"].squeeze()
    assert (one.n_fit, one.test_coverage) == (0, 0)


def test_pareto_front_by_hand():
    table = pd.DataFrame(
        {"who": list("abcdef"), "tokens": [5, 1, 1, 9, 7, 5], "ece": [0.2, 0.4, 0.3, 0.1, 0.2, 0.2]}
    )
    assert tables.pareto_front(table, cost="tokens", loss="ece")["who"].tolist() == ["c", "a", "d"]


def test_values_outside_their_interval_are_counted_and_explained():
    scores = pd.DataFrame(
        {"ece": [0.1, 0.11, 0.2], "ece_low": [0.05, 0.02, 0.1], "ece_high": [0.2, 0.1, 0.3]}
    )
    told = tables.below_note(scores, see="there")
    assert told.startswith("1 of 3 ECE values lie outside their own interval")
    assert "(see there)" in told
    assert tables.below_note(scores[:1], see="there") == ""
