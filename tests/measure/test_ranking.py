"""Ranking and selective prediction: worked by hand, ties, peers."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import logit
from statsmodels.stats.multitest import multipletests

from medcal_nb import measure
from medcal_nb.correct import transfer_study
from medcal_nb.measure import METRICS, MeasureWarning
from medcal_nb.measure.resampling import Resamples
from tests.correct import worlds


def test_the_interval_and_its_test_agree(rng):
    """One half lies outside the interval exactly where p is below 5 %."""
    for n_images in (6, 15, 40):
        images = np.repeat(np.arange(n_images), 4)
        for _ in range(40):
            c = rng.random(images.size).round(1)
            y = (rng.random(images.size) < 0.3 + 0.4 * c).astype(float)
            test = measure.auroc_test(c, y, groups=images)
            if not np.isnan(test["p"]):
                assert 0 <= test["low"] <= test["auroc"] <= test["high"] <= 1
                assert (test["low"] <= 0.5 <= test["high"]) == (test["p"] >= 0.05)


def test_p_is_that_of_delong_with_student_s_t_on_the_log_odds(rng):
    c = rng.random(30).round(1)
    y = np.arange(30) < 12
    won = np.sign(c[y][:, None] - c[~y]) / 2 + 0.5
    variance = won.mean(1).var(ddof=1) / 12 + won.mean(0).var(ddof=1) / 18
    area = won.mean()
    distance = abs(logit(area)) * area * (1 - area)
    p = 2 * stats.t.sf(distance / np.sqrt(variance), 11)
    assert measure.auroc_test(c, y)["p"] == pytest.approx(p)


def test_the_spread_by_image_is_that_of_the_bootstrap(rng):
    images = np.repeat(np.arange(200), rng.integers(1, 8, 200))
    common = rng.normal(size=200)[images]
    c = rng.random(images.size).round(2)
    y = (common + rng.normal(size=images.size) < 3 * c - 1.5).astype(float)
    test = measure.auroc_test(c, y, groups=images)
    draws = METRICS["auroc"].resampled(c, y, Resamples(images, 4000, rng))
    width = test["high"] - test["low"]
    assert width == pytest.approx(2 * 1.96 * draws[1:].std(), rel=0.06)


def test_all_wrong_answers_on_one_image_give_no_interval(rng):
    c = np.linspace(0.1, 0.9, 40)
    images = np.repeat(np.arange(10), 4)
    y = (images != 3).astype(float)
    test = measure.auroc_test(c, y, groups=images)
    assert np.isnan([test["low"], test["p"]]).all()
    assert METRICS["slope"].n_groups(y, Resamples(images, 2, rng)) == 1
    rows = pd.DataFrame({"confidence": c, "correct": y, "image_id": images})
    with pytest.warns(MeasureWarning, match="AUROC: one image"):
        measure.metrics_table(rows, by=[], metrics=["auroc"])


def test_one_interval_for_one_auroc(rng):
    """Tables of metrics, of tests, of transfer and of ensembles show the same digits."""
    sides = [worlds.graded(rng, 300, d, per_image=3) for d in ("general", "medical")]
    graded = pd.concat(sides)
    one = graded[graded["domain"] == "medical"]
    plain = measure.metrics_table(one, by=["model", "strategy"])
    study = transfer_study(*sides, ci=measure.Bootstrap(n=20))
    columns = ["auroc", "auroc_low", "auroc_high"]
    for table in (measure.auroc_table(one), study.table):
        assert table.loc[0, columns].tolist() == plain.loc[0, columns].tolist()


def test_p_values_of_a_table_are_holm_s():
    answers = measure.example_answers(300)
    table = measure.auroc_table(answers, by=["dataset", "strategy"])
    assert len(table) > 2
    np.testing.assert_allclose(
        table["p_holm"], multipletests(table["p"], method="holm")[1]
    )
