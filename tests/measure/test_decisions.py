"""What deferring is worth: thresholds and expected costs."""

import numpy as np
import pandas as pd
import pytest

from medcal_nb import measure


def test_expected_costs_by_hand():
    """Ten answers, two of them without a confidence, at 5 checks for a wrong one acted on."""
    confidence = [0.9] * 3 + [0.8] * 2 + [0.7] * 3 + [np.nan] * 2
    graded = pd.DataFrame({"item_id": range(10), "confidence": confidence})
    graded["correct"] = [1, 1, 0, 1, 0, 1, 1, 1, 0, 1]
    row = measure.expected_cost_table(graded, ratios=[5]).iloc[0]
    # .9 and .8 are kept, two of five wrong; five are deferred
    assert row["deferred"] == 0.5
    assert row["deferring"] == pytest.approx((2 * 5 + 5) / 10)
    assert row["checking_none"] == pytest.approx(5 * 0.3)
    assert row["saving"] == pytest.approx(1 - 1.5)
    assert row["checking_none_low"] < 1.5 < row["checking_none_high"]
    with pytest.raises(ValueError, match="above 1"):
        measure.expected_cost_table(graded, ratios=[1, 5])


@pytest.mark.parametrize(("step", "deferred"), [(0, 0), (5e-7, 0), (2e-6, 1)])
def test_a_confidence_at_the_threshold_is_kept(step, deferred):
    """80 % is kept at 5 checks, however it is rounded."""
    for percent in range(50, 100):
        c = percent / 100 - step
        graded = pd.DataFrame({"item_id": [0, 1], "confidence": c, "correct": 1.0})
        ratios = [1 / (1 - percent / 100)]
        ci = measure.Bootstrap(n=2)
        row = measure.expected_cost_table(graded, ratios=ratios, ci=ci)
        assert row["deferred"].item() == deferred


def test_expected_costs_are_less_certain_where_images_share_their_errors(rng):
    c = np.repeat(rng.beta(4, 1.5, 150), 3)
    right = np.repeat(rng.random(150) < 0.7, 3)
    graded = pd.DataFrame({"item_id": range(450), "confidence": c, "correct": right})
    by_image = graded.assign(image_id=graded["item_id"] // 3)
    widths = []
    for rows in (graded, by_image):
        row = measure.expected_cost_table(rows, ratios=[5]).iloc[0]
        widths.append(row["deferring_high"] - row["deferring_low"])
    assert widths[1] > 1.4 * widths[0]
