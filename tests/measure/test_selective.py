"""Certified thresholds: they hold their risk, and they use what they are allowed."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from medcal_nb import measure
from medcal_nb.measure.selective import answers_needed


def calibrated(n, rng):
    """Answers of one method, two about each image."""
    frame = pd.DataFrame({"item_id": np.arange(n), "image_id": np.arange(n) // 2})
    frame["confidence"] = rng.uniform(0.5, 1, n)
    frame["correct"] = rng.random(n) < frame["confidence"]
    return frame.assign(strategy="good", dataset="d")


def test_threshold_table_judges_on_other_images(rng):
    frame = calibrated(4000, rng)
    frame["modality"] = np.where(np.arange(4000) % 2, "ct", "mri")
    fit, test = frame.iloc[:2000], frame.iloc[2000:].copy()
    test.loc[test.index[:10], "confidence"] = np.nan
    table = measure.threshold_table(fit, test, target=0.2, by=["modality"])
    for row in table.itertuples():
        part = test[test["modality"] == row.modality]
        keep = part["confidence"] >= row.threshold
        wrong = 1 - part["correct"][keep].astype(float)
        assert (row.n_test, row.test_coverage) == (1000, pytest.approx(keep.mean()))
        assert row.test_risk == pytest.approx(wrong.mean())
        assert row.test_error == pytest.approx(1 - part["correct"].mean())
        assert row.test_risk_low <= row.test_risk <= row.test_risk_high
    first, second = frame[:400].iloc[::2], frame[:400].iloc[1::2]
    with pytest.raises(ValueError, match="200 images are both fit"):
        measure.threshold_table(first, second, target=0.2)
    with pytest.raises(ValueError, match="no threshold can be certified"):
        measure.threshold_table(first[:0], second, target=0.2)
    other = measure.threshold_table(first, second.assign(dataset="e"), target=0.4)
    assert other["n_test"].tolist() == [200]


def test_thresholds_are_tested_where_one_more_error_is_allowed():
    """Against the binomial tail itself: enough answers, and not one fewer."""
    for target, delta in ((0.2, 0.1), (0.1, 0.05), (0.05, 0.1 / 6)):
        errors, needed = answers_needed(400, target, delta)
        assert errors.tolist() == list(range(len(errors)))
        assert (binom.cdf(errors, needed, target) <= delta).all()
        assert (binom.cdf(errors, needed - 1, target) > delta).all()
    assert answers_needed(400, 0.2, 0.1)[1][:3].tolist() == [11, 18, 25]
    assert answers_needed(10, 0.2, 0.1)[1].size == 0


WORLDS = {
    "calibrated": lambda c: c,
    "at the limit": lambda c: np.full(c.size, 0.7995),
    "best in the middle": lambda c: np.where(c > 0.9, 0.75, 0.85),
}


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("per_image", [1, 3])
def test_the_risk_is_held_and_the_budget_used(world, per_image):
    """400 samples of images certified at 20 % and 90 %; answers about an image fail together."""
    rng = np.random.default_rng(11)
    c = rng.uniform(0.5, 1, 20_000)
    right = (WORLDS[world](c) > rng.random(c.size)).astype(float)
    how = {"target": 0.2, "delta": 0.1}
    for size, least in ((100, 0.31), (200, 0.50)):
        coverage = []
        risk = []
        for _ in range(400):
            images = rng.integers(0, c.size, size).repeat(per_image)
            how["groups"] = np.arange(size).repeat(per_image)
            threshold, _ = measure.selective_threshold(c[images], right[images], **how)
            kept = c >= threshold
            coverage.append(kept.mean())
            risk.append(1 - right[kept].mean() if kept.any() else 0)
        # three Monte-Carlo errors of 10 % over 400 repeats
        assert np.mean(np.array(risk) > 0.2) <= 0.1 + 3 * 0.015
        assert world != "calibrated" or np.mean(coverage) > least
