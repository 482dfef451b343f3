"""What deferring is worth: thresholds and expected costs."""

import numpy as np
import pandas as pd
import pytest

from medcal_nb import measure
from tests.bench import coverage


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


def test_the_saving_holds_where_checking_all_and_none_cost_the_same():
    """By the cheaper of the sample alone it covered .90; lower ends lay too high."""
    pool = coverage.pool_of("many", "heaped")
    # a wrong answer costs as many checks as make both cost the same
    ratio = 1 / (1 - pool.p).mean()
    saved = 1 - np.where(pool.c >= 1 - 1 / ratio - 1e-6, ratio * (1 - pool.p), 1).mean()
    rng = np.random.default_rng(6)
    too_high = too_low = 0
    for _ in range(300):
        answers = coverage.sampled(pool, 100, 1, rng)
        row = measure.expected_cost_table(answers, ratios=[ratio]).iloc[0]
        too_high += row["saving_low"] > saved
        too_low += row["saving_high"] < saved
        least = min(1, row["checking_none"]) - row["deferring"]
        assert row["saving"] == pytest.approx(least)
    # two Monte-Carlo errors of 2.5 % over 300 samples are 0.018
    assert too_high / 300 < 0.025 + 0.018
    assert (too_high + too_low) / 300 < 0.07 + 0.029


def test_a_saving_is_tested_by_the_level_at_which_its_interval_ends_at_zero():
    answers = measure.example_answers(300)
    how = {"ratios": [3, 10], "by": ["domain"], "tested": True}
    for row in measure.expected_cost_table(answers, **how).to_dict("records"):
        level = 1 - row["p_saving"]
        again = measure.expected_cost_table(
            answers[answers["domain"] == row["domain"]],
            ratios=[row["ratio"]],
            ci=measure.Bootstrap(level=level),
        ).iloc[0]
        end = "saving_low" if row["saving"] > 0 else "saving_high"
        assert again[end] == pytest.approx(0, abs=1e-6)
        is_shown = not row["saving_low"] <= 0 <= row["saving_high"]
        assert (row["p_saving"] < 0.05) == is_shown
    # who defers all pays what checking all costs
    none = answers.assign(confidence=np.nan)
    row = measure.expected_cost_table(none, ratios=[5], tested=True).iloc[0]
    assert (row["saving"], row["p_saving"]) == (0, 1)


def test_what_passes_at_any_threshold_by_hand():
    """Ten answers, two without a confidence, three of a threshold's seven on one image."""
    confidence = [0.9] * 3 + [0.8] * 4 + [0.7] + [np.nan] * 2
    graded = pd.DataFrame({"item_id": range(10), "confidence": confidence})
    graded["image_id"] = [0, 0, 0, 1, 2, 3, 4, 5, 6, 7]
    graded["correct"] = [1, 1, 0, 1, 0, 1, 1, 1, 0, 1]
    row = measure.deferral_table(graded, threshold=0.8, ratio=4).iloc[0]
    assert row[["n", "n_retained", "n_wrong"]].tolist() == [10, 7, 2]
    assert row["coverage"] == pytest.approx(0.7)
    kept = graded[graded["confidence"] >= 0.8]
    ends = measure.clustered_interval(1 - kept["correct"], kept["image_id"])
    assert row[["risk_low", "risk_high"]].tolist() == pytest.approx(list(ends))
    assert row["deferring"] == pytest.approx((2 * 4 + 3) / 10)
    # at 1 − 1/R it is the row of expected costs
    chow = measure.deferral_table(graded, threshold=0.75, ratio=4).iloc[0]
    costs = measure.expected_cost_table(graded, ratios=[4]).iloc[0]
    assert chow[costs.index].tolist() == costs.tolist()
    none = measure.deferral_table(graded, threshold=0.95).iloc[0]
    assert none["n_retained"] == 0
    assert np.isnan(none["risk"])
    with pytest.raises(ValueError, match="above 1"):
        measure.deferral_table(graded, threshold=0.8, ratio=1)
    # the curve has the same numbers at its thresholds
    curve = measure.risk_coverage_table(graded, by=[]).set_index("threshold")
    assert curve.loc[0.8, ["n", "coverage", "risk_low"]].tolist() == pytest.approx(
        [7, 0.7, ends[0]]
    )
    surest = measure.surest_errors(graded, n=2)
    assert surest.index.tolist() == [2, 4]


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
