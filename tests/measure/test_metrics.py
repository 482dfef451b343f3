"""Metrics: worked by hand, invariants, peers, edges."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest

from medcal_nb import measure
from medcal_nb.measure import METRICS
from medcal_nb.measure.binned import bins_of

# four answers, worked by hand below
C = np.array([0.95, 0.85, 0.65, 0.15])
Y = np.array([1.0, 0.0, 1.0, 0.0])


@pytest.mark.parametrize(
    ("metric", "options", "expected"),
    [
        # bins (.9, 1], (.8, .9], (.6, .7], (.1, .2]: gaps .05, .85, .35, .15, a quarter each
        (measure.ece, {"n_bins": 10}, (0.05 + 0.85 + 0.35 + 0.15) / 4),
        # bins (0, .5], (.5, 1]: |0 − .15| / 4 + 3/4 |2/3 − (.95 + .85 + .65)/3|
        (measure.ece, {"n_bins": 2}, 0.15 / 4 + (2.45 - 2) / 4),
        (measure.ece, {"n_bins": 1}, (2.6 - 2) / 4),
        (measure.accuracy, {}, 0.5),
        (measure.mean_confidence, {}, 0.65),
        (measure.calibration_gap, {}, 0.15),
        (measure.brier_score, {}, (0.05**2 + 0.85**2 + 0.35**2 + 0.15**2) / 4),
        (measure.log_loss, {}, -math.log(0.95 * 0.15 * 0.65 * 0.85) / 4),
        # (.15, .65), (.85, .95): |.5 − .4| and |.5 − .9|, half each
        (measure.adaptive_ece, {"n_bins": 2}, (0.1 + 0.4) / 2),
        # two wrong answers, none of them stated at 0.9
        (measure.confidently_wrong, {}, 0.0),
    ],
)
def test_worked_by_hand(metric, options, expected):
    assert metric(C, Y, **options) == pytest.approx(expected, abs=1e-12)


def test_bins_are_closed_on_the_right_and_hold_both_ends():
    at_edges = [0.0, 1e-300, 1 / 15, 0.6, np.nextafter(0.6, 1), 1.0]
    assert bins_of(np.array(at_edges), 15).tolist() == [0, 0, 0, 8, 9, 14]
    for n_bins in (1, 3, 7, 10, 15, 20, 100):
        edges = np.arange(n_bins + 1) / n_bins
        beside = [np.nextafter(edges, 2), np.nextafter(edges, -1)]
        c = np.unique(np.clip(np.concatenate([edges, *beside]), 0, 1))
        expected = np.maximum(np.searchsorted(edges, c, side="left") - 1, 0)
        assert (bins_of(c, n_bins) == expected).all()


def test_a_steep_slope_is_found():
    """Two stated confidences a hair apart: log 4 over their distance in log-odds."""
    c = np.repeat([0.499, 0.501], 500)
    y = np.concatenate([np.arange(500) >= 400, np.arange(500) < 400]).astype(float)
    expected = math.log(4) / math.log(0.501 / 0.499)
    assert expected > 340
    assert measure.calibration_slope(c, y) == pytest.approx(expected, rel=1e-6)
    with pytest.warns(measure.MeasureWarning, match="separates"):
        assert np.isnan(measure.calibration_slope([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1]))


def test_a_brier_score_taken_apart_by_hand():
    """Three confidences, of which the isotonic map joins the first two."""
    answers = pd.DataFrame(
        {"confidence": [0.2, 0.5, 0.5, 0.9], "correct": [1, 0, 1, 1]}
    )
    row = measure.corp_table(answers, by=[]).iloc[0]
    refitted = 3 * (2 / 9) / 4  # 2/3, 2/3, 2/3 and 1
    brier = (0.64 + 0.25 + 0.25 + 0.01) / 4
    expected = [4, brier, brier - refitted, 3 / 16 - refitted, 3 / 16]
    assert row.tolist() == pytest.approx(expected)


def test_the_floor_is_the_error_of_perfect_forecasters(rng):
    """287 answers of a perfect model show .063 on average, in the noise of 400 draws."""
    c = np.random.default_rng(5).beta(5, 2, 287).round(2)
    drawn = [measure.ece(c, rng.random(287) < c) for _ in range(400)]
    spread = np.std(drawn) / 20
    assert measure.ece_floor(c) == pytest.approx(np.mean(drawn), abs=3 * spread + 0.001)
    assert 0.055 < measure.ece_floor(c) < 0.07
    row = pd.DataFrame({"confidence": c, "correct": rng.random(287) < c})
    row = measure.metrics_table(row, by=[], metrics=["ece"]).iloc[0]
    assert row["ece_floor"] == measure.ece_floor(c)


def test_bounds_are_the_ends_over_all_grades_that_the_ungraded_could_have(rng):
    c = rng.choice([0.3, 0.5, 0.62, 0.64, 0.8, 0.95], 20)
    correct = (rng.random(20) < 0.6).astype(float)
    correct[:7] = np.nan
    is_open = np.isnan(correct)
    smooth = ("smooth_ece", "ici")  # without an interval, so that no limit is kept
    for name in METRICS.keys() - smooth:
        values = []
        for grades in itertools.product([0, 1], repeat=7):
            correct[:7] = grades
            values.append(METRICS[name].sums(c, correct).value())
        grades = np.where(is_open, np.nan, correct)
        least, most = measure.metric_bounds(c, grades, name)
        assert most == pytest.approx(np.nanmax(values)), name
        assert least == pytest.approx(np.nanmin(values)), name
