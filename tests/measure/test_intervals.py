"""Intervals: exactness of the product of draws and sums, level, groups, corrections, bands."""

import math

import numpy as np
import pytest
from scipy.stats import t as student

from medcal_nb import measure
from medcal_nb.measure import METRICS, MeasureWarning, registry
from medcal_nb.measure.intervals import metric_interval
from medcal_nb.measure.resampling import Resamples


@pytest.fixture
def sample(rng):
    c = rng.beta(3, 1.5, 300)
    return c, (rng.random(300) < c**1.4).astype(float)


@pytest.mark.parametrize("name", METRICS)
def test_a_resample_by_sums_is_the_metric_on_the_rows_drawn(name, sample, rng):
    """Deterministic: for the counts of one resample, sums and copied rows agree."""
    if name == "ece_mass":
        pytest.skip("its bins are those of the sample; its interval is no bootstrap")
    c, y = sample[0].round(2), sample[1]
    drawn = Resamples(rng.permutation(np.arange(c.size) // 3), 3, rng)
    options = {"clip": 1e-6} if METRICS[name].takes("clip") else {}
    values = METRICS[name].resampled(c, y, drawn, **options)
    for value, weights in zip(values, drawn.weights(), strict=True):
        times = weights.astype(int)
        expected = METRICS[name](np.repeat(c, times), np.repeat(y, times), **options)
        assert value == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("name", ["auroc", "slope", "intercept"])
def test_many_confidences_in_steps_vary_as_they_do(name, rng, monkeypatch):
    """900 confidences in 200 steps: on the same resamples, nearly the same values."""
    c = rng.beta(3, 1.5, 900)
    y = (rng.random(900) < c**1.4).astype(float)
    drawn = Resamples(None, 300, rng, n=900)
    monkeypatch.setattr(registry, "MOST_CELLS", 900)
    exact = METRICS[name].resampled(c, y, drawn)
    monkeypatch.setattr(registry, "MOST_CELLS", 200)
    stepped = METRICS[name].resampled(c, y, drawn)
    assert stepped[0] == pytest.approx(exact[0])
    assert 0 < np.abs(stepped - exact).max() < 0.1 * exact.std()


@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
def test_the_level_is_the_level(level, rng):
    """A mean has a normal interval to compare with; 95 for 0.95 or one tail would not pass."""
    from scipy.special import ndtri

    c = rng.random(2000)
    y = (rng.random(2000) < 0.5).astype(float)
    drawn = Resamples(None, 8000, rng, n=2000)
    interval = metric_interval(METRICS["brier"], c, y, drawn, level=level)
    half = ndtri((1 + level) / 2) * ((c - y) ** 2).std() / math.sqrt(2000)
    assert interval.high - interval.estimate == pytest.approx(half, rel=0.1)
    assert interval.estimate - interval.low == pytest.approx(half, rel=0.1)


@pytest.mark.parametrize("name", ["brier", "auroc"])
def test_nine_images_of_an_underconfident_model_are_covered(name):
    """The cells that were least: 0.88 and 0.89 where the spread is taken on the plain scale."""
    from tests.bench import coverage_intervals

    cell = coverage_intervals.cell(name, "tens", "underconfident", 9, 500, 1)
    assert cell["coverage"] >= 0.91  # 0.93 and 0.95 in 1,000 samples


def test_where_resampling_has_nothing_to_vary_there_is_no_interval(rng):
    c = np.array([0.9, 0.4, 0.6])
    y = np.array([1.0, 0.0, 1.0])
    for groups, name in (([7, 7, 7], "brier"), (None, "accuracy")):
        right = y if groups else np.ones(3)
        drawn = Resamples(groups, 50, rng, n=3)
        with pytest.warns(MeasureWarning, match="nothing to vary"):
            interval = metric_interval(METRICS[name], c, right, drawn, level=0.95)
        assert np.isnan([interval.low, interval.high]).all()
        assert interval.estimate == METRICS[name](c, right)


def test_holm_by_hand():
    assert measure.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    some = measure.holm([0.04, np.nan, 0.01])
    assert some == pytest.approx([0.04, np.nan, 0.02], nan_ok=True)
    assert measure.holm([0.6, 0.9]) == pytest.approx([1, 1])
    assert measure.holm([]).size == 0


@pytest.mark.parametrize(("k", "n"), [(0, 10), (3, 10), (10, 10), (57, 200), (1, 1)])
def test_wilson_against_scipy(k, n):
    from scipy.stats import binomtest

    low, high = measure.wilson_interval(k, n, level=0.9)
    peer = binomtest(k, n).proportion_ci(confidence_level=0.9, method="wilson")
    assert (low, high) == pytest.approx((peer.low, peer.high), abs=1e-12)


def wilson(successes, trials, **options):
    """The interval of one count, as floats."""
    ends = measure.wilson_interval(successes, trials, **options)
    return tuple(float(end) for end in ends)


def test_clustered_is_wilson_where_every_group_is_one_item(rng):
    for share in (0.0, 0.03, 0.4, 1.0):
        correct = rng.random(60) < share
        found = measure.clustered_interval(correct, rng.permutation(60), level=0.9)
        assert found == pytest.approx(wilson(correct.sum(), 60, level=0.9))


def test_clustered_by_hand():
    # four groups of three, each right or wrong as a whole; two of four right
    correct, groups = np.repeat([1, 1, 0, 0], 3), np.repeat(list("abcd"), 3)
    seen = 4 / 3 * (4 * 1.5**2) / (12**2 * 0.25 / 11)
    worth = 12 / seen * (student.ppf(0.975, 11) / student.ppf(0.975, 3)) ** 2
    expected = wilson(0.5 * worth, worth)
    assert measure.clustered_interval(correct, groups) == pytest.approx(expected)


def test_clustered_where_likeness_cannot_be_seen():
    alike = measure.clustered_interval(np.ones(12), np.repeat(range(4), 3))
    assert alike[0] < wilson(4, 4)[0] + 1e-12
    assert alike[1] == 1
    one_group = measure.clustered_interval([1, 0, 1, 1], [7, 7, 7, 7])
    assert one_group == pytest.approx(wilson(0.75, 1))
    assert measure.clustered_interval([], []) == (0, 1)
    with pytest.raises(ValueError, match="groups"):
        measure.clustered_interval([1, 0], [1])


@pytest.mark.parametrize(("share", "size"), [(0.3, 2), (0.5, 4), (0.15, 5)])
def test_clustered_covers_where_wilson_does_not(share, size):
    rng = np.random.default_rng(0)
    n_groups, likeness, n_repeats = 100 // size, 0.6, 1500
    groups = np.repeat(np.arange(n_groups), size)
    inside = np.zeros(2)
    for _ in range(n_repeats):
        spread = 1 / likeness - 1
        of_group = rng.beta(share * spread, (1 - share) * spread, n_groups)
        correct = rng.random(len(groups)) < of_group[groups]
        plain = wilson(correct.sum(), len(correct))
        clustered = measure.clustered_interval(correct, groups)
        inside += [low <= share <= high for low, high in (plain, clustered)]
    plain, clustered = inside / n_repeats
    assert plain < 0.9
    assert 0.92 < clustered < 0.985


def test_wilson_without_trials_and_impossible_counts():
    low, high = measure.wilson_interval([0, 2], [0, 4])
    assert (low[0], high[0]) == (0, 1)
    with pytest.raises(ValueError, match="between 0 and trials"):
        measure.wilson_interval(5, 4)
