"""What deferring is worth: expected costs, policies, reliance."""

import numpy as np
import pandas as pd
import pytest

from medcal_nb import measure


def test_the_best_threshold_is_best_for_a_calibrated_forecaster():
    rng = np.random.default_rng(6)
    c = rng.random(100_000)
    wrong = rng.random(c.size) >= c

    def cost(threshold):
        return np.where(c >= threshold, 5.0 * wrong, 1.0).mean()

    best = measure.best_threshold(cost_wrong=5.0, cost_check=1.0)
    assert best == pytest.approx(1 - 1 / 5)
    assert cost(best) < min(cost(best - 0.1), cost(best + 0.1))
    assert measure.best_threshold(cost_check=2) == 0


def test_costs_and_thresholds_out_of_range_are_refused():
    with pytest.raises(ValueError, match="costs: at least 0"):
        measure.best_threshold(cost_check=-1)


def reading(reader, item, alone, with_model, model, model_confidence=0.95, own=0.8):
    """Two rows of one reader and case: alone, and with the model."""
    row = {"reader": reader, "item_id": item, "dataset": "d", "confidence": own}
    row |= {"model_correct": model, "model_confidence": model_confidence}
    row |= {"model_answer": "a" if model else "b"}
    answers = {"alone": alone, "with_model": with_model}
    return [
        row | {"phase": phase, "correct": right, "answer": "a" if right else "b"}
        for phase, right in answers.items()
    ]


@pytest.fixture
def decisions(rng):
    rows = []
    for reader in ("r1", "r2", "r3"):
        for item in range(60):
            model = item % 4 != 0
            alone = bool(rng.random() < 0.7)
            with_model = model if rng.random() < 0.5 else alone
            confidence = 0.95 if model else 0.6
            rows += reading(reader, item, alone, with_model, model, confidence)
    return pd.DataFrame(rows)


def test_policies_by_hand(decisions):
    table = measure.policy_table(decisions, cost_wrong=1.0, cost_check=0.1)
    table = table.set_index("policy")
    alone = decisions[decisions["phase"] == "alone"]
    with_model = decisions[decisions["phase"] == "with_model"]
    expected = {
        "model alone": 0.25,
        "reader alone": 1 - alone["correct"].mean() + 0.1,
        "reader with model": 1 - with_model["correct"].mean() + 0.1,
    }
    for name, cost in expected.items():
        assert table.loc[name, "cost"] == pytest.approx(cost)
    # the model is unsure (0.6 < 0.9) exactly where it is wrong: a quarter is read
    unsure = table.loc["reader where the model is unsure"]
    missed = 1 - alone.loc[~alone["model_correct"].astype(bool), "correct"].mean()
    assert unsure["reader_share"] == 0.25
    assert unsure["cost"] == pytest.approx(0.25 * (missed + 0.1))
    assert table.index[0] == "reader where the model is unsure"
    assert table.loc["model alone", "difference"] == 0
    assert (table["n"] == 180).all()
    assert (table["n_readers"] == 3).all()
    assert (table["cost_low"] < table["cost"]).all()


def test_reliance_is_split_by_the_model(decisions):
    table = measure.reliance_table(decisions).set_index("model_correct")
    wide = decisions.pivot(
        index=["reader", "item_id", "model_correct"], columns="phase", values="correct"
    ).astype(bool)
    for model in (True, False):
        part = wide.xs(model, level="model_correct")
        row = table.loc[model]
        assert row["n"] == len(part)
        assert row["put_right"] == (~part["alone"] & part["with_model"]).sum()
        assert row["made_wrong"] == (part["alone"] & ~part["with_model"]).sum()
        assert row["n_right_alone"] + row["n_wrong_alone"] == row["n"]
    # a right model makes nothing wrong here, a wrong one puts nothing right
    assert table.loc[True, "made_wrong"] == 0
    assert table.loc[False, "put_right"] == 0
    assert table.loc[False, "made_wrong_share_low"] > 0.2
    by_reader = measure.reliance_table(decisions, by=["reader"])
    assert by_reader["n"].sum() == len(wide)


def test_decisions_are_found_among_answers(decisions):
    models = pd.DataFrame({"item_id": [1], "dataset": "d", "confidence": 0.5})
    with pytest.raises(ValueError, match="lacks 'reader', 'phase'"):
        measure.policy_table(models)
    alone = decisions[decisions["phase"] == "alone"]
    assert measure.policy_table(alone).empty
    assert measure.reliance_table(alone).empty
    both = pd.concat([models, decisions], ignore_index=True)
    pd.testing.assert_frame_equal(
        measure.policy_table(both), measure.policy_table(decisions)
    )


def test_no_policy_costs_less_than_its_checks():
    rows = []
    for item in range(18):
        for reader in ("ada", "bob"):
            rows += reading(reader, item, item > 7, item > 0, item > 0)
    table = measure.policy_table(pd.DataFrame(rows)).set_index("policy")
    assert table.loc["model alone", "cost_low"] == 0
    assert table.loc["reader with model", "cost_low"] == pytest.approx(0.1)
    assert (table["cost_low"] <= table["cost"]).all()


def test_expected_costs_by_hand():
    """Ten answers, two of them without a confidence, at 5 checks for a wrong one acted on."""
    graded = pd.DataFrame(
        {
            "item_id": range(10),
            "confidence": [0.9] * 3 + [0.8] * 2 + [0.7] * 3 + [np.nan] * 2,
            "correct": [1, 1, 0, 1, 0, 1, 1, 1, 0, 1],
        }
    )
    rng = np.random.default_rng(0)
    row = measure.expected_cost_table(graded, ratios=[5], rng=rng).iloc[0]
    assert row["threshold"] == pytest.approx(0.8)
    # .9 and .8 are kept, two of five wrong; five are deferred
    assert row["deferred"] == 0.5
    assert row["deferring"] == pytest.approx((2 * 5 + 5) / 10)
    assert row["checking_all"] == 1
    assert row["checking_none"] == pytest.approx(5 * 0.3)
    assert row["saving"] == pytest.approx(1 - 1.5)
    assert row["checking_none_low"] < 1.5 < row["checking_none_high"]
    with pytest.raises(ValueError, match="above 1"):
        measure.expected_cost_table(graded, ratios=[1, 5], rng=rng)


def test_expected_costs_at_the_boundary_and_by_image(rng):
    """A stated 80 % is kept at 5 checks, however it is rounded; images share their errors."""
    for percent in range(50, 100):
        graded = pd.DataFrame({"item_id": range(9), "confidence": percent / 100})
        graded["correct"] = 1.0
        ratio = 1 / (1 - percent / 100)
        row = measure.expected_cost_table(graded, ratios=[ratio], rng=rng)
        assert row["deferred"].item() == 0
    c = np.repeat(rng.beta(4, 1.5, 150), 3)
    right = np.repeat(rng.random(150) < 0.7, 3)
    graded = pd.DataFrame({"item_id": range(450), "confidence": c, "correct": right})
    widths = []
    for image in (np.arange(450), np.arange(450) // 3):
        rows = graded.assign(image_id=image)
        row = measure.expected_cost_table(rows, ratios=[5], rng=rng).iloc[0]
        widths.append(row["deferring_high"] - row["deferring_low"])
    assert widths[1] > 1.4 * widths[0]
