"""Intervals: exactness of the product of draws and sums, level, groups, corrections, bands."""

import math

import numpy as np
import pytest
from scipy import stats
from scipy.special import stdtrit

from medcal_nb import measure
from medcal_nb.measure import METRICS, MeasureWarning, registry
from medcal_nb.measure.intervals import metric_interval
from medcal_nb.measure.resampling import Resamples
from tests.bench import coverage


@pytest.mark.parametrize("decimals", [1, 2])
# whose bins are those of the sample, in resamples, too
@pytest.mark.parametrize("name", sorted(METRICS.keys() - {"adaptive_ece"}))
def test_a_resample_by_sums_is_the_metric_on_the_rows_drawn(
    name, decimals, sample, rng
):
    c = sample[0].round(decimals).clip(0.05, 0.95)  # the same clip in all resamples
    y = sample[1]
    drawn = Resamples(rng.permutation(np.arange(c.size) // 3), 3, rng)
    values = METRICS[name].resampled(c, y, drawn)
    for value, weights in zip(values, drawn.counts[:, drawn.codes], strict=True):
        times = weights.astype(int)
        expected = METRICS[name].value(np.repeat(c, times), np.repeat(y, times))
        assert value == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("name", ["slope", "intercept"])
def test_many_confidences_in_steps_vary_as_they_do(name, rng, monkeypatch):
    """900 confidences in 200 steps: on the same resamples, nearly the same values."""
    c = rng.beta(3, 1.5, 900)
    y = (rng.random(900) < c**1.4).astype(float)
    drawn = Resamples(np.arange(900), 300, rng)
    monkeypatch.setattr(registry, "MOST_CELLS", 900)
    exact = METRICS[name].resampled(c, y, drawn)
    monkeypatch.setattr(registry, "MOST_CELLS", 200)
    stepped = METRICS[name].resampled(c, y, drawn)
    assert stepped[0] == pytest.approx(exact[0])
    assert 0 < np.abs(stepped - exact).max() < 0.1 * exact.std()


@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
def test_the_level_is_the_level(level, rng):
    """A mean has a normal interval to compare with; 95 for 0.95 or one tail would not pass."""
    c = rng.random(2000)
    y = (rng.random(2000) < 0.5).astype(float)
    drawn = Resamples(np.arange(2000), 8000, rng)
    interval = metric_interval(METRICS["brier"], c, y, drawn, level=level)
    half = stats.norm.ppf((1 + level) / 2) * ((c - y) ** 2).std() / math.sqrt(2000)
    assert interval.high - interval.estimate == pytest.approx(half, rel=0.1)
    assert interval.estimate - interval.low == pytest.approx(half, rel=0.1)


@pytest.mark.parametrize("name", ["accuracy", "risk", "brier", "auroc"])
def test_nine_images_of_an_underconfident_model_are_covered(name):
    """The cells that were least: 0.88 and 0.89 where the spread is taken on the plain scale."""
    how = {"repeats": 500, "seed": 1}
    (row,) = coverage.image_cell(name, "tens", "underconfident", 9, **how)
    assert row["coverage"] >= 0.91  # 0.93 or more in 1,000 samples


def test_where_resampling_has_nothing_to_vary_there_is_no_interval(rng):
    c = np.array([0.9, 0.4, 0.6])
    for groups, name, y in (
        ([7] * 3, "brier", [1, 0, 1]),
        ([1, 2, 3], "accuracy", [1] * 3),
    ):
        drawn = Resamples(groups, 50, rng)
        with pytest.warns(MeasureWarning, match="nothing to vary"):
            ends = metric_interval(METRICS[name], c, np.array(y), drawn, level=0.95)
        assert np.isnan([ends.low, ends.high]).all()
        assert ends.estimate == METRICS[name].value(c, y)


def test_holm_by_hand():
    assert measure.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    some = measure.holm([0.04, np.nan, 0.01])
    assert some == pytest.approx([0.04, np.nan, 0.02], nan_ok=True)
    assert measure.holm([0.6, 0.9]) == pytest.approx([1, 1])
    assert measure.holm([]).size == 0


@pytest.mark.parametrize(("k", "n"), [(0, 10), (3, 10), (10, 10), (57, 200), (1, 1)])
def test_wilson_against_scipy(k, n):
    """Also where every group is one item."""
    peer = stats.binomtest(k, n).proportion_ci(confidence_level=0.9, method="wilson")
    ends = pytest.approx((peer.low, peer.high), abs=1e-12)
    assert wilson(k, n, level=0.9) == ends
    right = np.arange(n) < k
    assert measure.clustered_interval(right, range(n), level=0.9) == ends


def wilson(successes, trials, **options):
    """The interval of one count, as floats."""
    ends = measure.wilson_interval(successes, trials, **options)
    return tuple(float(end) for end in ends)


def test_shares_at_their_edges():
    alike = measure.clustered_interval(np.ones(12), np.repeat(range(4), 3))
    assert alike[0] < wilson(4, 4)[0] + 1e-12
    assert alike[1] == 1
    one_group = measure.clustered_interval([1, 0, 1, 1], [7, 7, 7, 7])
    assert one_group == pytest.approx(wilson(0.75, 1))
    assert measure.clustered_interval([], []) == (0, 1)
    assert wilson(0, 0) == (0, 1)
    with pytest.raises(ValueError, match="groups"):
        measure.clustered_interval([1, 0], [1])
    with pytest.raises(ValueError, match="between 0 and trials"):
        measure.wilson_interval(5, 4)


def test_two_groups_are_worth_less_than_their_items():
    grades, groups = [1, 1, 1, 0, 1, 0, 0, 0], [0, 0, 0, 0, 1, 1, 1, 1]
    # k - m p is 1 and -1: deff = 2 · 7 · 2 / (8² · ¼) = 1.75; one half correlated it would be 2.5,
    # which counts as five groups
    effect = (2 * 1.75 + 5 * 2.5) / 7
    worth = 8 / effect * (stdtrit(7, 0.975) / stdtrit(1, 0.975)) ** 2
    low, high = measure.wilson_interval(worth / 2, worth)
    interval = measure.clustered_interval(grades, groups)
    assert interval == pytest.approx((float(low), float(high)))


def test_groups_alike_through_and_through_are_worth_one_item_each():
    """What is seen is more than what is assumed: nothing is taken off it."""
    grades, groups = (
        np.repeat([1, 1, 0, 1, 0, 1, 1, 1, 1, 1], 5),
        np.repeat(range(10), 5),
    )
    # deff = 10/9 · 49 · 25 · 1.6 / (50² · 0.16)
    effect = 10 / 9 * 49 * 25 * 1.6 / 400
    worth = 50 / effect * (stdtrit(49, 0.975) / stdtrit(9, 0.975)) ** 2
    low, high = measure.wilson_interval(0.8 * worth, worth)
    interval = measure.clustered_interval(grades, groups)
    assert interval == pytest.approx((float(low), float(high)))


def test_few_errors_are_not_taken_for_independent():
    """Three errors on three of sixty images of five: the effect is (3 + 5 · 3) / 8, not 1."""
    y = np.ones(300)
    y[[0, 50, 100]] = 0
    seen = np.bincount(np.repeat(range(60), 5), y - 0.99)
    effect = 60 / 59 * (seen**2).sum() * 299 / (300**2 * 0.99 * 0.01)
    assert effect < 1.05
    worth = 300 / ((3 * max(effect, 1) + 5 * 3) / 8)
    worth *= (stdtrit(299, 0.975) / stdtrit(59, 0.975)) ** 2
    low, high = measure.wilson_interval(0.99 * worth, worth)
    interval = measure.clustered_interval(y, np.repeat(range(60), 5))
    assert interval == pytest.approx((float(low), float(high)))
    # errors or right answers: the rarer counts
    flipped = measure.clustered_interval(1 - y, np.repeat(range(60), 5))
    assert flipped == pytest.approx((1 - high, 1 - low))
