"""Ranking and selective prediction: worked by hand, ties, peers."""

import numpy as np
import pandas as pd
import pytest

from medcal_nb import measure
from medcal_nb.correct import transfer_study
from medcal_nb.measure import METRICS, MeasureWarning
from medcal_nb.measure.resampling import Resamples
from tests.correct import worlds


@pytest.fixture
def sample(rng):
    c = rng.random(500).round(2)
    return c, (rng.random(500) < c).astype(float)


def test_auroc_by_hand_and_mirrored(sample):
    # pairs (right, wrong): .9>.7, .9>.2, .7=.7, .7>.2
    by_hand = measure.auroc([0.9, 0.7, 0.7, 0.2], [1, 0, 1, 0])
    assert by_hand == pytest.approx(3.5 / 4)
    c, y = sample
    assert measure.auroc(c**3 / 2, y) == pytest.approx(measure.auroc(c, y))
    assert measure.auroc(1 - c, y) == pytest.approx(1 - measure.auroc(c, y))
    assert measure.auroc(1 - c, 1 - y) == pytest.approx(measure.auroc(c, y))


def test_the_interval_and_its_test_agree(rng):
    """One half lies outside the interval exactly where p is below 5 %."""
    for n_images in (6, 15, 40):
        images = np.repeat(np.arange(n_images), 4)
        for _ in range(40):
            c = rng.random(images.size).round(1)
            y = (rng.random(images.size) < 0.3 + 0.4 * c).astype(float)
            test = measure.auroc_test(c, y, groups=images)
            if not np.isnan(test["p"]):
                outside = not test["low"] <= 0.5 <= test["high"]
                assert outside == (test["p"] < 0.05)
                assert 0 <= test["low"] <= test["auroc"] <= test["high"] <= 1


def test_within_folds_pairs_of_two_folds_do_not_count(rng):
    """Scales of folds that lie apart say nothing; the mean is weighted by pairs."""
    from sklearn.metrics import roc_auc_score

    fold = np.repeat([0, 1, 2], [50, 100, 150])
    c = rng.random(300).round(2) / 4
    y = (rng.random(300) < 0.3 + c).astype(float)
    areas, pairs = [], []
    for k in range(3):
        own = fold == k
        areas.append(roc_auc_score(y[own], c[own]))
        pairs.append(y[own].sum() * (1 - y[own]).sum())
    apart = measure.auroc_test(c + fold / 4, y, fold=fold)
    assert apart["auroc"] == pytest.approx(np.average(areas, weights=pairs))
    together = measure.auroc_test(c, y, fold=fold)
    assert together["low"] == apart["low"]
    one = measure.auroc_test(c, y, fold=np.zeros(300))
    assert one["low"] == measure.auroc_test(c, y)["low"]


def test_the_spread_by_image_is_that_of_the_bootstrap(rng):
    images = np.repeat(np.arange(200), rng.integers(1, 8, 200))
    common = rng.normal(size=200)[images]
    c = rng.random(images.size).round(2)
    y = (common + rng.normal(size=images.size) < 3 * c - 1.5).astype(float)
    test = measure.auroc_test(c, y, groups=images)
    drawn = Resamples(images, 4000, rng)
    draws = METRICS["auroc"].resampled(c, y, drawn)
    width = test["high"] - test["low"]
    assert width == pytest.approx(2 * 1.96 * draws[1:].std(), rel=0.06)


def test_all_wrong_answers_on_one_image_give_no_interval(rng):
    c = np.linspace(0.1, 0.9, 40)
    images = np.repeat(np.arange(10), 4)
    y = (images != 3).astype(float)
    test = measure.auroc_test(c, y, groups=images)
    assert np.isnan(test["low"])
    assert np.isnan(test["p"])
    assert test["conclusion"] == "no discrimination shown"
    rows = pd.DataFrame({"confidence": c, "correct": y, "image_id": images})
    with pytest.warns(MeasureWarning, match="AUROC: one image"):
        measure.metrics_table(rows, by=[], metrics=["auroc"], rng=rng)


def test_one_interval_for_one_auroc(rng):
    """Tables of metrics, of tests, of transfer and of ensembles show the same digits."""
    sides = [worlds.graded(rng, 300, d, per_image=3) for d in ("general", "medical")]
    graded = pd.concat(sides)
    one = graded[graded["domain"] == "medical"]
    plain = measure.metrics_table(one, by=["model", "strategy"], rng=rng).iloc[0]
    tested = measure.auroc_table(one).iloc[0]
    study = transfer_study(*sides, n_resamples=20, rng=rng)
    ends = ["auroc", "auroc_low", "auroc_high"]
    assert plain[ends].tolist() == tested[ends].tolist()
    assert plain[ends].tolist() == study.table.iloc[0][ends].tolist()
