"""Intervals: exactness of the fast draws, level, groups, pairs, corrections, bands."""

import math
from functools import partial

import numpy as np
import pytest
from scipy.stats import t as student

from medcal_nb import measure
from medcal_nb.measure import Interval, MeasureWarning, metric_functions
from medcal_nb.measure import _sums as sums
from medcal_nb.measure.intervals import as_recipe, bootstrap_values, consistency_band

METRICS = metric_functions()


@pytest.fixture
def sample(rng):
    c = rng.beta(3, 1.5, 300)
    return c, (rng.random(300) < c**1.4).astype(float)


def plain_loop(stat, c, y, n_resamples, rng, groups=None):
    """The bootstrap as textbooks write it."""
    values = np.empty(n_resamples)
    members = None if groups is None else [np.flatnonzero(groups == g) for g in np.unique(groups)]
    for r in range(n_resamples):
        if members is None:
            rows = rng.integers(0, c.size, c.size)
        else:
            rows = np.concatenate([members[g] for g in rng.integers(0, len(members), len(members))])
        values[r] = stat(c[rows], y[rows])
    return values


def assert_same_distribution(a, b):
    """Two-sample Kolmogorov–Smirnov at a level where a seeded test never fails by chance."""
    from scipy.stats import ks_2samp

    a, b = a[~np.isnan(a)], b[~np.isnan(b)]
    assert ks_2samp(a, b).pvalue > 1e-4
    spread = max(a.std(), b.std(), 1e-12)
    assert abs(a.mean() - b.mean()) < 5 * spread * math.sqrt(1 / a.size + 1 / b.size)


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_has_a_sums_form_that_equals_it(name, sample):
    c, y = sample[0].round(2), sample[1]
    recipe = as_recipe(METRICS[name], c, y)
    assert recipe is not None
    assert recipe.value() == pytest.approx(METRICS[name](c, y), abs=1e-12)


@pytest.mark.parametrize("name", METRICS)
def test_a_resample_by_sums_is_the_metric_on_the_rows_drawn(name, sample, rng):
    """Deterministic: for the counts of one resample, sums and copied rows agree."""
    c, y = sample
    recipe = as_recipe(METRICS[name], c, y)
    counts = np.bincount(rng.integers(0, c.size, c.size), minlength=c.size)
    prepared = sums.Prepared(recipe)
    by_sums = recipe.finish(prepared.sums(counts[None].astype(float)))[0]
    by_rows = METRICS[name](np.repeat(c, counts), np.repeat(y, counts))
    # smooth_ece stops at 1e-7 on either grid; beyond 256 values local fits are thinned, by the
    # values that are present
    tolerance = {"smooth_ece": 2e-6, "ici": 1e-3, "e50": 1e-3, "e90": 1e-3}.get(name, 1e-9)
    assert by_sums == pytest.approx(by_rows, abs=tolerance)


CASES = {
    "cells": (3000, None, None),  # many continuous values, few bins: drawn piece by piece
    "repeated": (3000, 1, None),  # few distinct values: multinomial counts
    "rows": (150, None, None),  # few rows: counts of rows
    "groups": (300, None, 3),  # images
    "parts": (300, None, 3),  # many images: part by part
}


@pytest.fixture
def parts(monkeypatch, request):
    """Take so few images at once that a hundred are many."""
    if request.node.callspec.params.get("case") == "parts":
        monkeypatch.setattr(sums, "GROUPS", 32)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", ["ece", "ece_mass", "debiased_ece", "brier", "auroc", "aurc"])
def test_fast_draws_follow_the_distribution_of_the_plain_loop(case, name, parts, rng):
    n, digits, per_group = CASES[case]
    c = rng.beta(3, 1.5, n)
    if digits:
        c = c.round(digits)
    y = (rng.random(n) < c**1.3).astype(float)
    codes = None if per_group is None else rng.permutation(np.arange(n) // per_group)
    n_groups = None if codes is None else int(codes.max()) + 1
    fast = bootstrap_values(
        [METRICS[name]], c, y, n_resamples=2000, codes=codes, n_groups=n_groups, rng=rng
    )[0]
    slow = plain_loop(METRICS[name], c, y, 400, rng, codes)
    assert_same_distribution(fast, slow)


def test_each_case_takes_the_path_it_is_meant_to(monkeypatch, rng):
    taken = []
    for path in ("_draw_cells", "_draw_repeated", "draw_counts", "_draw_groups"):
        real = getattr(sums, path)
        monkeypatch.setattr(
            sums,
            path,
            lambda *a, _real=real, _path=path, **k: taken.append(_path) or _real(*a, **k),
        )
    for n, digits, per_group in CASES.values():
        c = rng.random(n) if digits is None else rng.random(n).round(digits)
        groups = None if per_group is None else np.arange(n) // per_group
        measure.bootstrap_interval(
            measure.ece, c, rng.random(n) < c, n_resamples=10, groups=groups, rng=rng
        )
    groups = ["_draw_groups"] * 2
    assert taken == ["_draw_cells", "_draw_repeated", "draw_counts", *groups]


@pytest.mark.parametrize("name", METRICS)
def test_sums_kept_by_group_give_what_row_weights_give(name, sample, monkeypatch):
    """Deterministic: the same draws of groups, with and without the sums of groups."""
    c, y = sample
    codes = np.random.default_rng(7).permutation(np.arange(c.size) // 3)
    found = []
    for width in (sums.WIDE, 0):
        monkeypatch.setattr(sums, "WIDE", width)
        found.append(
            bootstrap_values(
                [METRICS[name]],
                c,
                y,
                n_resamples=40,
                codes=codes,
                n_groups=int(codes.max()) + 1,
                rng=np.random.default_rng(3),
            )
        )
    np.testing.assert_allclose(*found, atol=1e-12)


@pytest.mark.parametrize("n_kinds", [3, 32])  # few kinds: one by one; many: most at once
def test_counts_of_repeated_rows_are_multinomial(n_kinds, rng):
    from scipy.stats import binom, chisquare

    times = np.resize([1, 2, 5, 40], n_kinds)
    n, repeats = int(times.sum()), 40_000
    counts = np.concatenate(list(sums._draw_repeated(times, repeats, rng)))
    assert (counts.sum(1) == n).all()
    assert (counts >= 0).all()
    p = times / n
    spread = np.sqrt(n * p * (1 - p) / repeats)
    assert (np.abs(counts.mean(0) - n * p) < 5 * spread).all()
    expected = n * (np.diag(p) - np.outer(p, p))
    scale = n * np.sqrt(np.outer(p, p)) / np.sqrt(repeats)
    assert (np.abs(np.cov(counts.T) - expected) < 6 * scale).all()
    for kind in range(3):
        seen = np.bincount(counts[:, kind], minlength=n + 1)
        wanted = repeats * binom.pmf(np.arange(n + 1), n, p[kind])
        first, last = np.flatnonzero(wanted > 10)[[0, -1]]
        tails = np.clip(np.arange(n + 1), first, last) - first
        both = [np.bincount(tails, v) for v in (seen, wanted)]
        assert chisquare(*both).pvalue > 1e-4


@pytest.mark.parametrize("size", [1, 2, 127, 128, 256, 300, 1 << 16])
def test_uniform_draws_are_uniform(size, rng):
    from scipy.stats import chisquare

    out = np.empty(200_003, np.intp)
    sums._uniform(size, out, rng)
    assert out.min() >= 0
    assert out.max() < size
    cells = np.minimum(size, 64)
    counts = np.bincount(out * cells // size, minlength=cells)
    width = np.bincount(np.arange(size) * cells // size, minlength=cells) / size
    if size > 1:
        assert chisquare(counts, width * out.size).pvalue > 1e-4


def test_pieces_cover_every_row_once(rng):
    for n in (100, 5_000, 300_000):
        c = rng.random(n)
        prepared = sums.Prepared(as_recipe(measure.ece, c, (c > 0.3).astype(float)))
        pieces = sums._pieces(prepared)
        covered = np.concatenate([np.arange(a, b) for _, a, b in pieces])
        assert (covered == np.arange(n)).all()
        assert max(b - a for _, a, b in pieces) <= 1 << 16


def test_same_seed_same_interval_and_another_seed_another(sample):
    first = measure.bootstrap_interval(measure.ece, *sample, rng=np.random.default_rng(1))
    again = measure.bootstrap_interval(measure.ece, *sample, rng=np.random.default_rng(1))
    other = measure.bootstrap_interval(measure.ece, *sample, rng=np.random.default_rng(2))
    assert first == again
    assert first != other
    assert first.estimate == other.estimate == measure.ece(*sample)


def test_interval_reads_and_unpacks():
    interval = Interval(0.0712, 0.0834, 0.0957)
    assert repr(interval) == str(interval) == "0.083 [0.071, 0.096]"
    low, estimate, high = interval
    assert low < estimate < high


@pytest.mark.parametrize("method", ["percentile", "bca"])
@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
def test_the_level_is_the_level(level, method, rng):
    """A mean has a normal interval to compare with; 95 for 0.95 or one tail would not pass."""
    from scipy.special import ndtri

    c = rng.random(2000)
    y = (rng.random(2000) < 0.5).astype(float)
    interval = measure.bootstrap_interval(
        measure.brier_score, c, y, level=level, n_resamples=20_000, method=method, rng=rng
    )
    half = ndtri((1 + level) / 2) * ((c - y) ** 2).std() / math.sqrt(2000)
    assert interval.high - interval.estimate == pytest.approx(half, rel=0.1)
    assert interval.estimate - interval.low == pytest.approx(half, rel=0.1)


@pytest.mark.parametrize("stat", [measure.accuracy, measure.ece, measure.auroc])
def test_copies_of_rows_in_one_group_do_not_shorten_the_interval(stat, sample, rng):
    c, y = sample
    alone = measure.bootstrap_interval(stat, c, y, n_resamples=4000, rng=rng)
    tripled = measure.bootstrap_interval(
        stat,
        np.repeat(c, 3),
        np.repeat(y, 3),
        groups=np.repeat(np.arange(c.size), 3),
        n_resamples=4000,
        rng=rng,
    )
    ignored = measure.bootstrap_interval(
        stat, np.repeat(c, 3), np.repeat(y, 3), n_resamples=4000, rng=rng
    )
    width = alone.high - alone.low
    assert tripled.high - tripled.low == pytest.approx(width, rel=0.08)
    assert ignored.high - ignored.low < 0.75 * width


@pytest.mark.parametrize("labels", [str, float, lambda i: f"img{i:03d}"])
def test_any_labels_make_groups(labels, sample):
    c, y = sample
    codes = np.arange(c.size) // 3
    plain = measure.bootstrap_interval(
        measure.ece, c, y, groups=codes, rng=np.random.default_rng(5)
    )
    named = measure.bootstrap_interval(
        measure.ece, c, y, groups=[labels(i) for i in codes], rng=np.random.default_rng(5)
    )
    assert plain.estimate == named.estimate
    assert plain.low == pytest.approx(named.low, abs=0.01)


@pytest.mark.parametrize("groups", [None, "three"])
def test_any_callable_is_resampled_by_rows(groups, sample, rng):
    c, y = sample
    codes = None if groups is None else np.arange(c.size) // 3
    ours = measure.bootstrap_interval(measure.ece, c, y, groups=codes, n_resamples=3000, rng=rng)
    other = measure.bootstrap_interval(
        lambda a, b: measure.ece(a, b), c, y, groups=codes, n_resamples=600, rng=rng
    )
    assert other.low == pytest.approx(ours.low, abs=0.006)
    assert other.high == pytest.approx(ours.high, abs=0.006)


def test_partials_keep_their_options(sample, rng):
    c, y = sample
    stat = partial(partial(measure.ece, n_bins=3), binning="mass")
    interval = measure.bootstrap_interval(stat, c, y, rng=rng)
    assert interval.estimate == measure.ece(c, y, n_bins=3, binning="mass")
    recipe = as_recipe(stat, c, y)
    assert recipe.value() == pytest.approx(interval.estimate)


def test_undefined_statistics_and_resamples(rng):
    with pytest.warns(MeasureWarning, match="undefined"):
        interval = measure.bootstrap_interval(measure.auroc, [0.1, 0.9], [1, 1], rng=rng)
    assert np.isnan(interval).all()
    with pytest.warns(MeasureWarning, match=r"undefined on \d+ of 1000 resamples"):
        interval = measure.bootstrap_interval(measure.auroc, [0.1, 0.5, 0.9], [0, 1, 1], rng=rng)
    assert np.isfinite(interval).all()


def test_bca_of_a_skewed_mean_follows_its_formula(rng):
    from scipy.stats import bootstrap

    c = rng.random(60) ** 6
    y = np.zeros(60)
    ours = measure.bootstrap_interval(
        measure.brier_score, c, y, n_resamples=30_000, method="bca", rng=rng
    )
    peer = bootstrap(
        (c**2,), np.mean, n_resamples=30_000, method="BCa", rng=rng, vectorized=True
    ).confidence_interval
    width = ours.high - ours.low
    assert ours.low == pytest.approx(peer.low, abs=0.03 * width)
    assert ours.high == pytest.approx(peer.high, abs=0.03 * width)
    assert ours.high - ours.estimate > 1.1 * (ours.estimate - ours.low)


def test_bca_says_where_it_is_not_defined(rng):
    with pytest.warns(MeasureWarning, match="BCa is not defined"):
        interval = measure.bootstrap_interval(
            measure.accuracy, [0.5] * 30, [1] * 30, method="bca", rng=rng
        )
    assert interval == (1.0, 1.0, 1.0)


def test_jackknife_leaves_groups_out(sample):
    c, y = sample
    codes = np.arange(c.size) // 3
    found = sums.jackknife_values(as_recipe(measure.brier_score, c, y), codes, 100)
    expected = [measure.brier_score(c[codes != g], y[codes != g]) for g in range(100)]
    assert found == pytest.approx(expected)


# --- pairs --------------------------------------------------------------------------------


def test_paired_difference_is_shorter_than_unpaired(sample, rng):
    c, y = sample
    better = c**1.4
    found = measure.paired_difference(measure.brier_score, c, y, better, y, rng=rng)
    assert found.estimate == pytest.approx(
        measure.brier_score(c, y) - measure.brier_score(better, y)
    )
    alone = measure.bootstrap_interval(measure.brier_score, c, y, rng=rng)
    assert found.high - found.low < 0.7 * (alone.high - alone.low)
    assert found.low < found.estimate < found.high
    assert repr(found).startswith("+") or repr(found).startswith("-")


def test_paired_difference_of_a_mean_has_its_normal_width(sample, rng):
    c, y = sample
    d = (c - y) ** 2 - (c**2 - y) ** 2
    found = measure.paired_difference(measure.brier_score, c, y, c**2, y, n_resamples=8000, rng=rng)
    half = 1.96 * d.std() / math.sqrt(d.size)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.06)
    z = abs(d.mean()) / (d.std() / math.sqrt(d.size))
    assert found.p == pytest.approx(math.erfc(z / math.sqrt(2)), rel=0.35, abs=0.002)


def test_paired_difference_is_antisymmetric_and_zero_for_the_same(sample):
    c, y = sample
    ab = measure.paired_difference(measure.ece, c, y, c**2, y, rng=np.random.default_rng(3))
    ba = measure.paired_difference(measure.ece, c**2, y, c, y, rng=np.random.default_rng(3))
    assert (ba.low, ba.estimate, ba.high) == pytest.approx((-ab.high, -ab.estimate, -ab.low))
    same = measure.paired_difference(measure.ece, c, y, c, y, rng=np.random.default_rng(3))
    assert same == (0, 0, 0, 1)


def test_pairs_of_other_callables_by_rows(sample, rng):
    c, y = sample
    groups = np.arange(c.size) // 3
    ours = measure.paired_difference(
        measure.brier_score, c, y, c**2, y, groups=groups, n_resamples=3000, rng=rng
    )
    rows = measure.paired_difference(
        lambda a, b: ((a - b) ** 2).mean(), c, y, c**2, y, groups=groups, n_resamples=1000, rng=rng
    )
    assert rows.estimate == pytest.approx(ours.estimate)
    assert rows.low == pytest.approx(ours.low, abs=0.2 * (ours.high - ours.low))


def test_pairs_of_unequal_length_are_refused(rng):
    with pytest.raises(ValueError, match="confidence_b has 2 values, confidence_a has 3"):
        measure.paired_difference(
            measure.ece, [0.1, 0.2, 0.3], [0, 1, 0], [0.1, 0.2], [0, 1], rng=rng
        )


def test_p_of_a_true_null_is_uniform_enough(rng):
    """Two equally good forecasters: 5 % is found at 5 %."""
    hits = 0
    repeats = 400
    for _ in range(repeats):
        p = rng.random(200)
        y = (rng.random(200) < p).astype(float)
        a, b = (np.clip(p + rng.normal(0, 0.1, 200), 0, 1) for _ in range(2))
        found = measure.paired_difference(measure.brier_score, a, y, b, y, n_resamples=400, rng=rng)
        hits += found.p <= 0.05
    # binomial standard error of 5 % over 400 repeats is 1.1 %
    assert 0.05 - 3.5 * 0.011 < hits / repeats < 0.05 + 3.5 * 0.011


def test_holm_by_hand():
    assert measure.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert measure.holm([0.04, np.nan, 0.01]) == pytest.approx([0.04, np.nan, 0.02], nan_ok=True)
    assert measure.holm([0.6, 0.9]) == pytest.approx([1, 1])
    assert measure.holm([]).size == 0
    with pytest.raises(ValueError, match=r"p_values: 1 outside \[0, 1\], first at position 1"):
        measure.holm([0.5, 1.5])


# --- bars and bands -----------------------------------------------------------------------


@pytest.mark.parametrize(("k", "n"), [(0, 10), (3, 10), (10, 10), (57, 200), (1, 1)])
def test_wilson_against_scipy(k, n):
    from scipy.stats import binomtest

    low, high = measure.wilson_interval(k, n, level=0.9)
    peer = binomtest(k, n).proportion_ci(confidence_level=0.9, method="wilson")
    assert (low, high) == pytest.approx((peer.low, peer.high), abs=1e-12)


def wilson(successes, trials, **options):
    """The interval of one count, as floats."""
    return tuple(float(v) for v in measure.wilson_interval(successes, trials, **options))


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


def test_groups_that_cancel_out_are_not_believed():
    # one right and one wrong in each: less spread than chance would give, taken as chance
    correct, groups = np.tile([1, 0], 30), np.repeat(range(30), 2)
    low, high = measure.clustered_interval(correct, groups)
    plain = wilson(30, 60)
    assert (low, high) == pytest.approx(plain, abs=0.01)
    assert low <= plain[0]


@pytest.mark.parametrize(("share", "size"), [(0.3, 2), (0.5, 4), (0.15, 5)])
def test_clustered_covers_where_wilson_does_not(share, size):
    rng = np.random.default_rng(0)
    n_groups, likeness, n_repeats = 100 // size, 0.6, 1500
    groups = np.repeat(np.arange(n_groups), size)
    inside = np.zeros(2)
    for _ in range(n_repeats):
        of_group = rng.beta(
            share * (1 / likeness - 1), (1 - share) * (1 / likeness - 1), n_groups
        )  # fmt: skip
        correct = rng.random(len(groups)) < of_group[groups]
        for k, (low, high) in enumerate(
            [
                wilson(correct.sum(), len(correct)),
                measure.clustered_interval(correct, groups),
            ]
        ):
            inside[k] += low <= share <= high
    plain, clustered = inside / n_repeats
    assert plain < 0.9
    assert 0.92 < clustered < 0.985


def test_wilson_without_trials_and_impossible_counts():
    low, high = measure.wilson_interval([0, 2], [0, 4])
    assert (low[0], high[0]) == (0, 1)
    with pytest.raises(ValueError, match="between 0 and trials"):
        measure.wilson_interval(5, 4)


def test_band_of_equal_confidences_is_binomial():
    from scipy.stats import binom

    c = np.full(40, 0.7)
    low, high = consistency_band(c, np.zeros(40, int), 2, level=0.9, simultaneous=False)
    assert low[0] * 40 == binom.ppf(0.05, 40, 0.7)
    assert high[0] * 40 == binom.ppf(0.95, 40, 0.7)
    assert np.isnan(low[1])
    assert np.isnan(high[1])


def test_band_of_many_items_by_expansion_meets_the_convolution(rng):
    from medcal_nb.measure import intervals

    p = rng.beta(5, 1, 900)
    exact = intervals._poisson_binomial_quantiles(p, 0.025, 0.975)
    longer = np.concatenate([p, np.zeros(200)])  # items that are never correct change nothing
    assert np.abs(intervals._poisson_binomial_quantiles(longer, 0.025, 0.975) - exact).max() <= 1


@pytest.mark.parametrize("simultaneous", [True, False])
def test_band_holds_a_calibrated_forecaster_as_often_as_it_says(simultaneous, rng):
    """The source's consistency resampling, against the computed band."""
    c = rng.random(400)
    cell = np.minimum((c * 10).astype(int), 9)
    n = np.bincount(cell)
    low, high = consistency_band(c, cell, 10, level=0.9, simultaneous=simultaneous)
    inside = []
    for _ in range(3000):
        acc = np.bincount(cell, rng.random(400) < c, 10) / n
        within = (acc >= low - 1e-12) & (acc <= high + 1e-12)
        inside.append(within.all() if simultaneous else within.mean())
    share = np.mean(inside)
    # at least the level; whole counts of about 40 a bin make it a little more. MC error 0.5 %
    assert 0.9 - 0.02 < share < 0.97


# --- coverage -----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("grouped", [False, True])
def test_intervals_of_proper_metrics_cover(grouped):
    rng = np.random.default_rng(11)
    pool = 20_000
    c = rng.beta(4, 1.5, pool)
    table = measure.coverage_table(
        c,
        c**1.6,
        (451,),
        stats={k: METRICS[k] for k in ("accuracy", "brier", "auroc", "ece")},
        groups=np.arange(pool) // 3 if grouped else None,
        n_repeats=600,
        n_resamples=400,
        rng=rng,
    ).set_index("stat")
    # Monte-Carlo error of a 95 % share over 600 repeats is 0.9 %: three of them beside the bar
    for name in ("accuracy", "brier", "auroc"):
        assert 0.93 - 0.027 < table.loc[name, "coverage"] < 0.97 + 0.027, name
    assert table.loc["ece", "missed_above"] > table.loc["ece", "missed_below"]
