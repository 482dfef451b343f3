"""The interval of the ECE: it holds its level against a known truth, and says where it cannot."""

import warnings

import numpy as np
import pytest

from medcal_nb import measure
from medcal_nb.measure import MeasureWarning
from tests.bench import coverage

CELLS = [
    ("continuous", "calibrated", 100, 1),
    ("discrete", "mildly overconfident", 100, 3),
    ("continuous", "strongly overconfident", 451, 3),
    ("discrete", "mildly underconfident", 451, 1),
    ("continuous", "slightly overconfident", 451, 1),
]


@pytest.mark.parametrize(("kind", "world", "n", "per_image"), CELLS)
def test_it_holds_the_truth_as_often_as_it_says(kind, world, n, per_image):
    ours, percentiles = coverage.ece_cell(
        "ece", kind, world, (n, per_image), repeats=200
    )
    # the bar is 0.93, less three Monte-Carlo errors of a 95 % share
    assert ours["coverage"] > 0.93 - 0.047
    assert ours["mean_width"] < 1.55 * percentiles["mean_width"]
    if world == "calibrated":
        assert ours["truth"] == pytest.approx(0, abs=1e-12)
        assert percentiles["coverage"] < 0.05


@pytest.mark.parametrize("n_bins", [1, 5, 15])
def test_the_estimate_is_the_ece(sample, n_bins):
    how = {"n_bins": n_bins}
    found = measure.ece_interval(*sample, **how)
    assert found.estimate == pytest.approx(measure.ece(*sample, **how))
    assert 0 <= found.low <= found.high <= 1


def test_in_one_bin_it_is_the_interval_of_a_gap():
    """Far from 0 and with one bin the ECE is the size of one gap, about normal."""
    c, y = np.full(1000, 0.9), np.arange(1000) < 600
    ends = measure.ece_interval(c, y, n_bins=1)[::2]
    half = 1.96 * np.sqrt(0.6 * 0.4 / 1000)
    # from 1,000 draws the 2.5 % point is known to about a tenth of the half width
    assert ends == pytest.approx((0.3 - half, 0.3 + half), abs=0.2 * half)


def test_all_alike_and_certain():
    """Thirty right of thirty stated at 100 %: 0.95 of 30 fail to show an error rate of 0.116."""
    low, _, high = measure.ece_interval(np.ones(30), np.ones(30))
    assert (low, high) == (0, pytest.approx(0.116, abs=0.03))
    assert measure.ece_interval(np.ones(30), np.zeros(30)).low > 0.8


def test_one_image_alone_has_no_interval_and_few_images_are_warned_of(
    sample,
):
    with pytest.warns(MeasureWarning, match="all answers are of one"):
        found = measure.ece_interval(*sample, groups=np.zeros(500))
    assert np.isnan([found.low, found.high]).all()
    with pytest.warns(
        MeasureWarning, match="than from 4 images with equally many answers"
    ):
        measure.ece_interval(*sample, groups=np.arange(500) % 4)
    warnings.simplefilter("error")
    measure.ece_interval(*sample, ci=measure.Bootstrap(level=0.998))


def test_luck_is_not_taken_for_a_proof():
    """Errors placed so that every gap is nearly 0 look better than calibrated answers can."""
    c = np.repeat(np.arange(1, 15) / 15 - 1 / 30, 30_000)
    y = (np.tile(np.arange(30_000), 14) + 0.5) / 30_000 < c
    low, estimate, high = measure.ece_interval(c, y)
    assert estimate < 2e-5
    assert low == 0
    # 14 gaps of 30,000 answers: their mean size by chance is about 0.002
    assert 0.001 < high < 0.003
