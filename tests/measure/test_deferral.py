"""Deferral: thresholds with a guarantee, net benefit, costs."""

import math
import warnings

import numpy as np
import pandas as pd
import pytest

from medcal_nb import measure
from medcal_nb.measure import MeasureWarning
from medcal_nb.measure.deferral import _betting_p

C = np.array([0.9, 0.7, 0.7, 0.2])
Y = np.array([1.0, 0.0, 1.0, 0.0])


@pytest.fixture(scope="module")
def pool():
    rng = np.random.default_rng(8)
    c = rng.beta(4, 1.5, 30_000)
    return c, (rng.random(c.size) < c**1.3).astype(float)


def test_certified_threshold_passes_its_own_test(pool):
    from scipy.stats import binom

    c, y = pool[0][:2000], pool[1][:2000]
    found = measure.selective_threshold(c, y, target=0.2, delta=0.05)
    keep = c >= found.threshold
    assert found.n_kept == keep.sum()
    assert found.n_errors == (1 - y[keep]).sum()
    assert found.coverage == pytest.approx(keep.mean())
    assert found.risk == pytest.approx((1 - y[keep]).mean())
    # four starts share delta
    assert binom.cdf(found.n_errors, found.n_kept, 0.2) <= 0.05 / 4
    assert found.risk < found.risk_bound < 0.2


def test_a_stricter_target_or_delta_keeps_less(pool):
    c, y = pool[0][:3000], pool[1][:3000]
    coverage = [
        measure.selective_threshold(c, y, target=t, delta=d).coverage
        for t, d in ((0.3, 0.1), (0.2, 0.1), (0.2, 0.001))
    ]
    assert coverage[0] > coverage[1] > coverage[2] > 0


def test_nothing_is_certified_without_evidence():
    with pytest.warns(MeasureWarning, match="everything is deferred"):
        found = measure.selective_threshold([0.9] * 5, [1] * 5, target=0.1)
    assert found.threshold == math.inf
    assert found.n_kept == 0
    assert np.isnan(found.risk)


def test_fixed_candidates_are_used(pool):
    c, y = pool[0][:3000], pool[1][:3000]
    found = measure.selective_threshold(c, y, target=0.25, thresholds=[0.9, 0.8, 0.7, 0.6])
    assert found.threshold in (0.9, 0.8, 0.7, 0.6)
    assert found.n_kept == (c >= found.threshold).sum()


@pytest.mark.parametrize("sizes", [(150, 600)])
def test_the_guarantee_holds_over_repetitions(pool, sizes):
    table = measure.guarantee_table(
        *pool, target=0.2, delta=0.1, sizes=sizes, n_repeats=1000, rng=np.random.default_rng(2)
    )
    # Monte-Carlo error of 10 % over 1,000 repeats is 0.95 %
    assert (table["violated"] <= 0.1 + 3 * 0.0095).all()
    assert table["certified"].iloc[1] > 0.5
    assert table["mean_coverage"].iloc[1] > table["mean_coverage"].iloc[0]


def test_the_guarantee_holds_where_images_share_their_errors():
    """Three questions an image, right or wrong together: binomial tests would be misled."""
    rng = np.random.default_rng(3)
    images = 8000
    c = np.repeat(rng.beta(4, 1.5, images), 3)
    # whatever the threshold, the risk is a hair above the target of 0.2
    y = np.repeat(rng.random(images) < 0.799, 3).astype(float)
    codes = np.repeat(np.arange(images), 3)
    grouped = measure.guarantee_table(
        c, y, target=0.2, delta=0.1, sizes=(200,), groups=codes, n_repeats=300, rng=rng
    )
    naive = []
    for _ in range(300):
        chosen = np.isin(codes, rng.choice(images, 200, replace=False))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MeasureWarning)
            found = measure.selective_threshold(c[chosen], y[chosen], target=0.2, delta=0.1)
        naive.append(np.isfinite(found.threshold))
    # on a pool at the target any certificate is worth nothing; 3 MC errors of 10 % over 300
    assert grouped["certified"].iloc[0] <= 0.1 + 3 * 0.018
    assert np.mean(naive) > 0.15


@pytest.mark.parametrize("size", [1, 3])
def test_betting_p_is_valid_at_the_boundary_and_has_power(size):
    rng = np.random.default_rng(5)
    codes = np.repeat(np.arange(300), size)
    keep = np.ones(codes.size, bool)
    null, good = [], []
    for _ in range(800):
        null.append(_betting_p(keep, np.repeat(rng.random(300) < 0.8, size) * 1.0, codes, 300, 0.2))
        good.append(_betting_p(keep, np.repeat(rng.random(300) < 0.9, size) * 1.0, codes, 300, 0.2))
    assert np.mean(np.array(null) <= 0.1) <= 0.1 + 3 * math.sqrt(0.09 / 800)
    assert np.mean(np.array(good) <= 0.1) > 0.9


def test_risk_control_by_hand():
    # thresholds .9, .7, .2 miss 0, 1, 2 of four: bounds (R n + 1) / 5
    found = measure.risk_control_threshold(C, Y, target=0.4)
    assert found.threshold == 0.7
    assert found.risk_bound == pytest.approx(0.4)
    assert measure.risk_control_threshold(C, Y, target=0.39).threshold == 0.9
    assert measure.risk_control_threshold(C, Y, target=0.6).threshold == 0.2
    with pytest.warns(MeasureWarning, match="everything is deferred"):
        assert measure.risk_control_threshold(C, Y, target=0.1).threshold == math.inf


def test_risk_control_by_groups_counts_shares():
    # groups {.9 right, .7 wrong}, {.7 right, .2 wrong}: keeping .7 misses half of the first
    found = measure.risk_control_threshold(C, Y, target=0.5, groups=[0, 0, 1, 1])
    assert found.threshold == 0.7
    assert found.risk_bound == pytest.approx((0.5 + 1) / 3)


def test_risk_control_keeps_the_average(pool):
    table = measure.guarantee_table(
        *pool,
        target=0.1,
        sizes=(100, 400),
        method="risk_control",
        n_repeats=600,
        rng=np.random.default_rng(4),
    )
    # spread of the missed rate over fit samples is about .02: MC error .001
    assert (table["mean_missed"] <= 0.1 + 0.003).all()
    assert (table["mean_missed"] > 0.08).all()
    assert table["violated"].isna().all()


def test_clopper_pearson_against_scipy():
    from scipy.stats import binomtest

    for e, m in ((0, 10), (3, 40), (20, 50)):
        # a one-sided bound at 5 % is the upper end of a 90 % interval
        peer = binomtest(e, m).proportion_ci(confidence_level=0.9, method="exact").high
        assert measure.risk_bound(e, m, delta=0.05) == pytest.approx(peer)
    assert measure.risk_bound(0, 0) == 1.0
    assert measure.risk_bound(5, 5) == 1.0


def test_net_benefit_by_hand():
    # error probabilities .1 .3 .3 .8; at ½ only the last is checked, and is wrong
    assert measure.net_benefit(C, Y, threshold=0.5) == pytest.approx(0.25)
    # at .25 three are checked: two wrong, one right at odds 1/3
    assert measure.net_benefit(C, Y, threshold=0.25) == pytest.approx((2 - 1 / 3) / 4)


def test_net_benefit_table_has_the_plain_policies(pool, rng):
    c, y = pool[0][:800], pool[1][:800]
    table = measure.net_benefit_table(c, y, thresholds=[0.05, 0.2, 0.5], n_resamples=200, rng=rng)
    error = 1 - y.mean()
    assert table["check_all"].tolist() == pytest.approx(
        [error - (1 - error) * t / (1 - t) for t in (0.05, 0.2, 0.5)]
    )
    assert (table["check_none"] == 0).all()
    assert (table["net_benefit_low"] <= table["net_benefit"]).all()
    assert (table["net_benefit"] <= table["net_benefit_high"]).all()
    assert (table["net_benefit"] <= error).all()


def test_cost_by_hand():
    # keep .9, .7, .7 (one wrong: 1), check .2 (wrong: .1 + .2 · 1)
    cost = measure.expected_cost(C, Y, threshold=0.5, cost_wrong=1.0, cost_check=0.1, miss_rate=0.2)
    assert cost == pytest.approx((1 + 0.1 + 0.2) / 4)
    assert measure.expected_cost(C, Y, threshold=0) == pytest.approx(0.5)
    assert measure.expected_cost(C, Y, threshold=math.inf) == pytest.approx(0.1)


def test_the_best_threshold_is_best_for_a_calibrated_forecaster():
    rng = np.random.default_rng(6)
    c = rng.random(100_000)
    y = (rng.random(c.size) < c).astype(float)
    costs = {"cost_wrong": 5.0, "cost_check": 1.0, "miss_rate": 0.3}
    best = measure.best_threshold(**costs)
    assert best == pytest.approx(1 - 1 / (5 * 0.7))
    at_best = measure.expected_cost(c, y, threshold=best, **costs)
    for other in (best - 0.1, best + 0.1):
        assert measure.expected_cost(c, y, threshold=other, **costs) > at_best
    assert measure.best_threshold(cost_wrong=1, cost_check=2) == 0
    assert measure.best_threshold(cost_wrong=1, cost_check=0.1, miss_rate=1) == 0


def test_cost_table_and_what_recalibration_recovers(pool, rng):
    c, y = pool[0][:5000], pool[1][:5000]
    raw = measure.cost_table(c, y, cost_ratios=[0.1, 0.3], n_resamples=100, rng=rng)
    mended = measure.cost_table(c**1.3, y, cost_ratios=[0.1, 0.3], n_resamples=100, rng=rng)
    # a monotone map leaves the hindsight cost, and takes most of the regret
    assert raw["hindsight"].tolist() == pytest.approx(mended["hindsight"].tolist())
    assert (raw["regret"] >= -1e-12).all()
    assert mended["regret"].sum() < 0.5 * raw["regret"].sum()
    assert raw["keep_all"].tolist() == pytest.approx([1 - y.mean()] * 2)
    assert raw["check_all"].tolist() == pytest.approx([0.1, 0.3])
    assert (raw["hindsight"] <= raw[["keep_all", "check_all"]].min(axis=1) + 1e-12).all()


def test_costs_out_of_range_are_refused():
    with pytest.raises(ValueError, match="costs must not be negative"):
        measure.expected_cost(C, Y, threshold=0.5, cost_check=-1)
    with pytest.raises(ValueError, match="miss_rate"):
        measure.expected_cost(C, Y, threshold=0.5, miss_rate=2)
    with pytest.raises(ValueError, match="target must lie strictly between"):
        measure.selective_threshold(C, Y, target=5)


def test_threshold_table_judges_on_other_items(pool):
    frame = pd.DataFrame(
        {
            "confidence": pool[0][:4000],
            "correct": pool[1][:4000],
            "modality": np.where(np.arange(4000) % 2, "ct", "mri"),
            "image_id": np.arange(4000) // 2,
        }
    )
    fit, test = frame.iloc[:2000], frame.iloc[2000:].copy()
    test.loc[test.index[:10], "confidence"] = np.nan
    for method in ("selective", "risk_control"):
        table = measure.threshold_table(fit, test, target=0.2, method=method, by=["modality"])
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
            ruled = row.test_risk if method == "selective" else row.test_missed
            assert row.holds == (ruled <= 0.2)


def test_a_guarantee_that_defers_everything_is_told_apart_from_one_that_keeps():
    rng = np.random.default_rng(6)
    c, y = np.full(60, 0.5), np.repeat([1.0, 0.0], [39, 21])
    table = measure.guarantee_table(
        c, y, target=0.4, delta=0.1, sizes=(30,), n_repeats=200, rng=rng
    )
    row = table.iloc[0]
    # whatever draw certifies has few errors, so that more than the limit are left in the rest
    assert 0 < row.certified < 0.3
    assert row.violated == row.certified
    assert row.violated_if_certified == 1
    assert row.certified_low < row.certified < row.certified_high
    assert 0.4 < row.mean_risk_low < row.mean_risk < row.mean_risk_high
    told = measure.guarantee_sentence(
        table.assign(strategy="s"), delta=0.1, n_repeats=200, units="answers"
    )
    n = round(row.certified * 200)
    assert f"in {n} of {n} certified draws, mean risk among kept {row.mean_risk:.1%}" in told
    assert "promises nothing about the certified ones alone" in told
    within = table.assign(strategy="s", violated=0.0, violated_if_certified=0.0)
    told = measure.guarantee_sentence(within, delta=0.1, n_repeats=200)
    assert "exceeded in none of all draws, allowed: 10%." in told
    assert "Where one was, the limit was never exceeded." in told


def test_a_guarantee_kept_by_keeping_nothing_is_called_so():
    c, y = np.full(60, 0.5), np.zeros(60)
    table = measure.guarantee_table(
        c, y, target=0.3, delta=0.1, sizes=(30,), n_repeats=5, rng=np.random.default_rng(7)
    )
    row = table.iloc[0]
    assert (row.certified, row.violated) == (0, 0)
    assert table[["mean_risk", "mean_risk_low", "violated_if_certified"]].isna().all(axis=None)
    told = measure.guarantee_sentence(table.assign(strategy="s"), delta=0.1, n_repeats=5)
    assert "None certified a threshold" in told
    assert "mean risk" not in told


@pytest.mark.parametrize(
    ("n_units", "used", "skipped"),
    [(100, [20, 50], [70]), (1000, [20, 50, 70], []), (30, [15], [20, 50, 70])],
)
def test_fit_sizes_leave_as_many_to_judge_on(n_units, used, skipped):
    assert measure.fit_sizes([20, 50, 70], n_units) == (used, skipped)
