"""Certified thresholds: they hold their risk, and they use what they are allowed."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from medcal_nb import measure
from medcal_nb.measure.selective import _answers_needed, observed_coverage


@pytest.fixture(scope="module")
def pool():
    rng = np.random.default_rng(8)
    c = rng.beta(4, 1.5, 30_000)
    return c, (rng.random(c.size) < c**1.3).astype(float)


def simulated(c, y, size, *, n_repeats, groups, rng):
    """Thresholds certified (20 %, 90 %) on samples of images: kept of all, and risk there."""
    order = np.argsort(groups, kind="stable")
    members = np.split(order, np.bincount(groups).cumsum()[:-1])
    rows = []
    for _ in range(n_repeats):
        images = rng.integers(0, len(members), size)
        sample = np.concatenate([members[image] for image in images])
        ids = np.repeat(np.arange(size), [len(members[image]) for image in images])
        options = {"target": 0.2, "delta": 0.1, "groups": ids, "rng": rng}
        found = measure.selective_threshold(c[sample], y[sample], **options)
        kept = c >= found.threshold
        rows.append((kept.mean(), 1 - y[kept].mean() if kept.any() else 0.0))
    return np.array(rows).T


def frame_of(pool, n):
    """The first answers, two an image."""
    frame = pd.DataFrame({"confidence": pool[0][:n], "correct": pool[1][:n]})
    return frame.assign(item_id=np.arange(n), image_id=np.arange(n) // 2, dataset="d")


def test_threshold_table_judges_on_other_items(pool):
    frame = frame_of(pool, 4000)
    frame["modality"] = np.where(np.arange(4000) % 2, "ct", "mri")
    fit, test = frame.iloc[:2000], frame.iloc[2000:].copy()
    test.loc[test.index[:10], "confidence"] = np.nan
    table = measure.threshold_table(fit, test, target=0.2, by=["modality"])
    assert table["modality"].tolist() == ["ct", "mri"]
    for row in table.itertuples():
        part = test[test["modality"] == row.modality]
        keep = (part["confidence"] >= row.threshold).to_numpy()
        wrong = 1 - part["correct"].to_numpy()
        assert row.n_test == len(part)
        assert row.test_coverage == pytest.approx(keep.mean())
        assert row.test_risk == pytest.approx(wrong[keep].mean())
        assert row.test_missed == pytest.approx(wrong[keep].sum() / len(part))
        assert row.test_risk_low <= row.test_risk <= row.test_risk_high


def test_a_threshold_is_judged_on_other_images(pool):
    frame = frame_of(pool, 400)
    first, second = frame.iloc[::2], frame.iloc[1::2]
    with pytest.raises(ValueError, match="200 images are both fit"):
        measure.threshold_table(first, second, target=0.2)
    with pytest.raises(ValueError, match="no threshold can be certified"):
        measure.threshold_table(first[:0], second, target=0.2)
    other = measure.threshold_table(first, second.assign(dataset="e"), target=0.4)
    assert other["n_test"].tolist() == [200]


def test_thresholds_are_tested_where_one_more_error_is_allowed():
    """Against the binomial tail itself: enough answers, and not one fewer."""
    for target, delta in ((0.2, 0.1), (0.1, 0.05), (0.05, 0.1 / 6)):
        errors, needed = _answers_needed(400, target, delta)
        assert errors.tolist() == list(range(len(errors)))
        assert (binom.cdf(errors, needed, target) <= delta).all()
        assert (binom.cdf(errors, needed - 1, target) > delta).all()
    assert _answers_needed(400, 0.2, 0.1)[1][:3].tolist() == [11, 18, 25]
    assert _answers_needed(10, 0.2, 0.1)[1].size == 0


def test_a_certified_threshold_passes_the_exact_test(pool):
    c, y = pool[0][:2000], pool[1][:2000]
    found = measure.selective_threshold(c, y, target=0.2, delta=0.05)
    kept = c >= found.threshold
    assert found.coverage == pytest.approx(kept.mean())
    assert binom.cdf((1 - y[kept]).sum(), kept.sum(), 0.2) <= 0.05
    # all of the error budget is spent: one more step down is not certified
    assert binom.cdf((1 - y[kept]).sum(), kept.sum(), 0.2) > 0.005


WORLDS = {
    "calibrated": lambda c: c,
    "at the limit": lambda c: np.full(c.size, 0.7995),
    "best in the middle": lambda c: np.where(c > 0.9, 0.75, 0.85),
}


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("per_image", [1, 3])
def test_the_risk_is_held_and_the_budget_used(world, per_image):
    """One start; by image one answer an image. Bars of mean coverage in the calibrated world."""
    rng = np.random.default_rng(11)
    images = 20_000
    c = np.repeat(rng.uniform(0.5, 1, images), per_image)
    right = WORLDS[world](c) > np.repeat(rng.random(images), per_image)
    groups = np.repeat(np.arange(images), per_image)
    for size, least in ((100, 0.31), (200, 0.50)):
        how = {"n_repeats": 400, "groups": groups, "rng": rng}
        coverage, risk = simulated(c, right.astype(float), size, **how)
        # three Monte-Carlo errors of 10 % over 400 repeats
        assert (risk > 0.2).mean() <= 0.1 + 3 * 0.015
        assert world != "calibrated" or coverage.mean() > least


def calibrated(n, rng):
    """Answers of one method, each about an item of its own."""
    c = rng.uniform(0.5, 1, n)
    names = {"strategy": "good", "dataset": "d", "item_id": np.arange(n)}
    return pd.DataFrame(names | {"confidence": c, "correct": rng.random(n) < c})


def test_coverage_is_judged_out_of_sample_and_named_apart(rng):
    n = 800
    good = calibrated(n, rng).assign(image_id=np.arange(n) // 2)
    useless = good.assign(strategy="useless", correct=rng.random(n) < 0.55)
    table = measure.selective_coverage_table(
        pd.concat([good, useless]), target=0.2, n_splits=10, n_resamples=300, rng=rng
    ).set_index("strategy")
    sure = table.loc["good"]
    assert sure.certified >= 0.5
    assert 0.1 < sure.coverage < sure.observed_coverage
    assert sure.risk_low < sure.risk < sure.risk_high
    assert sure.n_images == 400
    assert sure.n_fit == 400
    nothing = table.loc["useless"]
    assert (nothing.certified, nothing.coverage) == (0, 0)
    assert np.isnan(nothing.risk)


def test_delta_is_split_over_the_methods_of_a_table(rng):
    """The best of three methods is certified at a third of δ each, not at δ."""
    one = calibrated(600, rng).assign(strategy="a")
    three = pd.concat([one.assign(strategy=name) for name in "abc"])
    options = {"target": 0.2, "n_splits": 10, "n_resamples": 20}
    found = []
    for rows, delta in ((three, 0.1), (one, 0.1 / 3), (one, 0.1)):
        options |= {"delta": delta, "rng": np.random.default_rng(3)}
        table = measure.selective_coverage_table(rows, **options)
        found.append(table.set_index("strategy").loc["a", "coverage"])
    assert found[0] == found[1] < found[2]


def test_answers_without_a_confidence_are_deferred(rng):
    c = np.append(rng.uniform(0.9, 1, 300), np.full(100, np.nan))
    frame = pd.DataFrame({"item_id": np.arange(400), "confidence": c, "correct": 1.0})
    how = {"target": 0.2, "by": (), "n_splits": 4, "n_resamples": 100}
    table = measure.selective_coverage_table(frame, **how, rng=rng)
    assert table.loc[0, "observed_coverage"] == 0.75
    assert table.loc[0, "coverage"] == pytest.approx(0.75, abs=0.05)


def test_observed_coverage_by_hand():
    c = np.array([0.9, 0.8, 0.8, 0.7, 0.6])
    y = np.array([1, 1, 0, 1, 0])
    assert observed_coverage(c, y, 0.25) == 0.8
    assert observed_coverage(c, y, 0.2) == 0.2
    assert observed_coverage(c, 0 * y, 0.2) == 0
