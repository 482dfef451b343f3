"""Estimators and intervals against a known truth; how many items are enough."""

import math

import numpy as np
import pytest

from medcal_nb import measure
from medcal_nb.measure import planning


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(1)
    c = rng.beta(4, 1.5, 5000)
    return c, c**1.5


def test_truth_by_hand():
    # .5 is right .3 and .5 of the time (mean .4), .9 always .9
    world = np.array([0.5, 0.5, 0.9, 0.9]), np.array([0.3, 0.5, 0.9, 0.9])
    assert planning._true_error(*world) == pytest.approx(0.05)


def test_limits_are_the_truth_where_gaps_point_one_way(world):
    table = measure.estimator_bias_table(
        *world, (100, 2000), n_repeats=200, rng=np.random.default_rng(2)
    ).set_index(["estimator", "n"])
    truth = (world[0] - world[1]).mean()
    assert np.allclose(table["truth"], truth)
    # all gaps are overconfident: bins lose nothing
    for name in ("ece_width", "ece_mass", "smooth_ece"):
        assert table.loc[(name, 100), "limit"] == pytest.approx(truth, abs=2e-3)
    # plain ECE is biased upwards at n = 100, debiasing takes most of it, both shrink with n
    plain, mended = table.loc[("ece_width", 100)], table.loc[("debiased_width", 100)]
    assert plain["bias"] > 10 * plain["bias_se"]
    assert abs(mended["bias"]) < 0.5 * plain["bias"]
    assert table.loc[("ece_width", 2000), "bias"] < 0.2 * plain["bias"]
    assert table["rmse"].to_numpy() == pytest.approx(
        np.sqrt(table["bias"] ** 2 + table["sd"] ** 2 * 199 / 200).to_numpy()
    )
    assert (table["q05"] < table["mean"]).all()
    assert (table["mean"] < table["q95"]).all()


def test_a_calibrated_world_has_no_truth_to_find():
    c = np.linspace(0.3, 1, 500)
    table = measure.estimator_bias_table(
        c, c, (200,), n_repeats=100, rng=np.random.default_rng(2)
    ).set_index("estimator")
    assert (table["truth"] == 0).all()
    assert table["limit"].abs().max() < 1e-3
    assert table.loc["ece_width", "mean"] > 0.04


@pytest.mark.parametrize("kind", ["width", "mass"])
def test_a_debiased_limit_has_no_noise_taken_off(kind):
    """No chance is in the limit, so that the plain and the debiased ECE have the same."""
    c = np.linspace(0.3, 1, 300)
    p = np.clip(c + 0.02 * np.sign(np.sin(20 * c)), 0, 1)
    table = measure.estimator_bias_table(
        c, p, (50,), n_repeats=2, rng=np.random.default_rng(2)
    )
    limit = table.set_index("estimator")["limit"]
    assert limit[f"debiased_{kind}"] == pytest.approx(limit[f"ece_{kind}"], abs=1e-5)
    assert limit[f"ece_{kind}"] > 0.005


def test_coverage_counts_what_it_says(world):
    rng = np.random.default_rng(3)
    table = measure.coverage_table(*world, (150, 300), n_repeats=150, rng=rng)
    total = table["coverage"] + table["missed_below"] + table["missed_above"]
    assert total.tolist() == pytest.approx([1] * 4)
    assert table["truth"].nunique() == 1
    assert table["truth"].iloc[0] == pytest.approx((world[0] - world[1]).mean())
    table = table.set_index(["interval", "n"])
    # 95 % over 150 repeats: Monte-Carlo error 1.8 %
    assert (table.loc["inversion", "coverage"] > 0.95 - 4 * 0.018).all()
    plain = table.loc["bootstrap"]
    assert (plain["missed_above"] > plain["missed_below"]).all()
    assert (plain["mean_width"].diff().dropna() < 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["brier", "aurc", "accuracy"])
def test_intervals_by_image_cover_where_answers_share_their_luck(world, name):
    rng = np.random.default_rng(3)
    stat = measure.METRICS[name]
    truth = planning.limit(*world, stat)
    ends = []
    for _ in range(400):
        c, y, images = planning.world_sample(*world, 451, 3, rng)
        if name == "accuracy":
            ends.append(measure.clustered_interval(y, images))
        else:
            found = measure.bootstrap_interval(
                stat, c, y, n_resamples=300, groups=images, rng=rng
            )
            ends.append(found[::2])
    held = planning._covered(np.array(ends), truth)
    # Monte-Carlo error of a 95 % share over 400 repeats is 1.1 %
    assert 0.93 - 0.033 < held["coverage"] < 0.99
    if name == "accuracy":
        share = world[1].mean()
        assert held["mean_width"] > 2 * 1.96 * math.sqrt(share * (1 - share) / 451)
