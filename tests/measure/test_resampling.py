"""The floor of statistics: resamples, the rule of intervals, log-odds, the logistic solver."""

from functools import partial

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from medcal_nb.measure.paired import with_ends
from medcal_nb.measure.resampling import (
    UNBOUNDED,
    Bootstrap,
    Resamples,
    choose_clip,
    fit_logistic,
    gathered,
    p_above,
    p_below,
    percentile_ends,
    stretch,
    two_sided_p,
    within,
)


def test_resamples_row_0_is_the_sample_and_the_others_draw_as_many_images():
    drawn = Resamples(["b", "a", "a"], 50, np.random.default_rng(0))
    assert drawn.counts.shape == (51, 2)
    assert (drawn.counts[0] == 1).all()
    assert (drawn.counts.sum(1) == 2).all()
    assert list(drawn.codes) == [1, 0, 0]


def test_many_images_are_drawn_in_groups_that_give_the_same_spread(rng):
    values = rng.normal(size=20_000)
    drawn = Resamples(np.arange(values.size), 2000, rng)
    assert (drawn.n_units, len(drawn.names)) == (512, 20_000)
    means = drawn.total(values) / drawn.total(np.ones(values.size))
    assert means[0] == pytest.approx(values.mean())
    assert means[1:].std() == pytest.approx(1 / np.sqrt(20_000), rel=0.15)


IMAGES = np.array(["scan 2", "scan 1", "scan 1", "scan 3"] * 10)


@pytest.mark.parametrize("images", [IMAGES, np.arange(3000)])  # some, and dealt out
def test_the_same_images_have_the_same_resamples_in_any_order_of_rows(images):
    ci = Bootstrap(seed=3, n=20)
    values = np.arange(len(images)) ** 2.0
    once = ci.of(images).total(values)
    assert (once == ci.of(images[::-1]).total(values[::-1])).all()
    assert (once != Bootstrap(seed=4, n=20).of(images).total(values)).any()
    assert (once != ci.of([f"other {i}" for i in images]).total(values)).any()


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"n": 1}, {"level": 1.0}])
def test_what_is_no_bootstrap_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Bootstrap(**wrong)


def test_effective_number_of_images_is_theirs_where_alike_and_less_where_not(rng):
    alike = Resamples(np.repeat(np.arange(5), 3), 10, rng)
    assert alike.effective() == pytest.approx(5)
    unlike = Resamples([0] * 8 + [1, 2], 10, rng)
    assert unlike.effective() == pytest.approx(100 / 66)
    only_first = np.array([1.0] * 8 + [0, 0])
    assert unlike.effective(weights=only_first) == pytest.approx(1)
    assert unlike.effective(weights=0 * only_first) == 0


def test_stretch_is_that_of_t_and_of_the_small_sample_variance():
    expected = stats.t.ppf(0.975, 8) / stats.norm.ppf(0.975) * np.sqrt(9 / 8)
    assert stretch(9, 0.95) == pytest.approx(expected)
    assert np.isnan(stretch(1, 0.95))


def test_percentile_ends_take_the_bias_of_resampling_out(rng):
    shifted = np.append(0.0, 0.3 + rng.normal(size=5000))
    low, high = percentile_ends(shifted, n_groups=1e9)
    assert low + high == pytest.approx(0, abs=0.2)


def test_ends_within_bounds_are_those_of_the_log_odds():
    logits = np.log(0.1 / 0.9) + np.array([-1, 1]) * 0.05 / (0.1 * 0.9)
    ends = 1 / (1 + np.exp(-logits))
    assert within(0.1, 0.05, 0.05, (0.0, 1.0)) == pytest.approx(ends)
    # one bound or none: the plain scale; bounds far away: as without
    assert within(2.0, 3.0, 0.5, (0.0, np.inf)) == (0.0, 2.5)
    assert within(0.9, 0.2, 0.2, (-np.inf, 1.0)) == pytest.approx((0.7, 1.0))
    assert within(2.0, 1.0, 0.5, UNBOUNDED) == (1.0, 2.5)
    assert within(0.5, 0.01, 0.01, (-1e6, 1e6)) == pytest.approx((0.49, 0.51))
    # no end passes a bound
    for value in (0.0, 1e-9, 0.5, 1.0):
        low, high = within(value, 3.0, 3.0, (0.0, 1.0))
        assert 0 <= low <= value <= high <= 1
    assert np.isnan(within(1.0, np.nan, np.nan, (0, 1))).all()


def test_p_values_are_those_of_a_t_test():
    """Of resamples without skewness."""
    rng = np.random.default_rng(5)
    x = rng.normal(0.6, 1, size=15)
    away = rng.normal(0, x.std() / np.sqrt(15), 20_000)
    draws = x.mean() + np.concatenate([[0.0], away, -away])
    expected = stats.ttest_1samp(x, 0)
    assert two_sided_p(draws, n_groups=15) == pytest.approx(expected.pvalue, rel=0.1)
    assert np.isnan(two_sided_p(draws, n_groups=1))


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.99, 0.999])
def test_an_interval_and_its_p_value_never_disagree(level):
    """Also of skewed resamples, beyond their tail, and whichever side the number is on."""
    rng = np.random.default_rng(8)
    skewed = np.append(0.0, rng.chisquare(2, 1000) - 1.5)
    low, high = percentile_ends(skewed, level=level, n_groups=20)
    for end in (low, high):
        assert two_sided_p(skewed - end, n_groups=20) == pytest.approx(1 - level)
        assert two_sided_p(end - skewed, n_groups=20) == pytest.approx(1 - level)
    assert two_sided_p(skewed, n_groups=20) == 1


def test_p_values_against_a_margin_are_those_of_the_ends_of_intervals():
    rng = np.random.default_rng(6)
    away = rng.normal(0, 0.2, 2000)
    even = np.concatenate([[1.0], 1 + away, 1 - away])  # no skewness
    below = partial(p_below, n_groups=40)
    for level in (0.5, 0.9, 0.95):
        low, high = percentile_ends(even, level=level, n_groups=40)
        tail = (1 - level) / 2
        assert below(even, null=float(high)) == pytest.approx(tail)
        above = p_above(even, n_groups=40, null=float(low))
        assert above == pytest.approx(tail)
    skewed = np.append(1.0, rng.chisquare(1, 4000))
    high = float(percentile_ends(skewed, n_groups=40)[1])
    assert below(skewed, null=high) == pytest.approx(0.025)
    assert below(skewed, null=0.9) == 0.5
    # beyond what resamples show the distance grows with t to the power of 1.5; never 0
    t = stats.t.ppf(0.975, 39) * (7 / (high - 1)) ** (1 / 1.5)
    assert below(skewed, null=8) == pytest.approx(stats.t.sf(t, 39))
    p = [below(skewed, null=null) for null in (8, 12, 16, 1e6)]
    assert 0 < p[3] < p[2] < p[1] < p[0]
    same = np.full(9, 0.1)
    assert [below(same, null=null) for null in (0, 0.1, 1)] == [1, 0.5, 0]
    assert [p_above(same, n_groups=9, null=null) for null in (0, 0.1, 1)] == [0, 0.5, 1]


def test_choose_clip_is_half_the_step_next_to_the_ends():
    assert choose_clip([0.5, 0.99, 1.0]) == 0.005
    assert choose_clip([0.5, 0.999, 0.0]) == pytest.approx(0.0005)
    assert choose_clip([0.5, 0.999]) == 1e-6
    assert choose_clip([1.0]) == 0.005


def test_gathered_keeps_ties_together_and_limits_the_number():
    assert list(gathered([0.2, 0.1, 0.2])) == [1, 0, 1]
    many = gathered(np.random.default_rng(0).random(1000), 20)
    assert np.bincount(many).max() <= 52
    assert len(np.unique(many)) == 20


def test_fit_logistic_agrees_with_statsmodels_for_every_row_of_weights():
    rng = np.random.default_rng(6)
    x = np.column_stack([rng.normal(size=300), np.ones(300)])
    y = (rng.random(300) < 1 / (1 + np.exp(-x @ [0.7, -0.4]))).astype(float)
    weights = rng.integers(0, 4, (3, 300)).astype(float)
    sums = (weights * y) @ x
    theta, information = fit_logistic(x, sums, weights)
    for b in range(3):
        peer = sm.GLM(y, x, sm.families.Binomial(), freq_weights=weights[b]).fit()
        np.testing.assert_allclose(theta[b], peer.params, atol=1e-7)
        covariance = np.linalg.inv(information[b])
        np.testing.assert_allclose(covariance, peer.cov_params(), rtol=1e-4)
    warm, _ = fit_logistic(x, sums, weights, start=theta[0])
    np.testing.assert_allclose(warm, theta, atol=1e-7)


def test_ends_of_named_numbers_keep_to_their_bounds():
    draws = np.r_[0.01, np.linspace(0, 0.2, 200)]
    rule = {"level": 0.95, "n_groups": 50}
    free = with_ends({"mine": draws}, **rule)
    kept = with_ends({"mine": draws, "brier": draws}, bounds={"mine": (0, 1)}, **rule)
    assert free["mine_low"] < 0 < kept["mine_low"]
    assert kept["brier_low"] == kept["mine_low"]
