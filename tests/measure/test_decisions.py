"""What deferring is worth: thresholds and expected costs."""

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


def test_expected_costs_by_hand():
    """Ten answers, two of them without a confidence, at 5 checks for a wrong one acted on."""
    confidence = [0.9] * 3 + [0.8] * 2 + [0.7] * 3 + [np.nan] * 2
    graded = pd.DataFrame({"item_id": range(10), "confidence": confidence})
    graded["correct"] = [1, 1, 0, 1, 0, 1, 1, 1, 0, 1]
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
