"""Intervals of numbers that hang on the share right: they hold where hardly anything is wrong."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from medcal_nb import measure
from medcal_nb.measure import METRICS, Bootstrap, MeasureWarning
from medcal_nb.measure.intervals import metric_interval
from tests.bench import coverage

NAMES = ["gap", "observed_expected", "brier"]


@pytest.mark.parametrize(
    ("name", "kind", "world", "size"),
    [
        ("gap", "independent", "0.98", (100, 1)),
        ("gap", "dependent", "0.95", (41, 2)),
        ("observed_expected", "independent", "0.995", (300, 1)),
        ("brier", "independent", "0.995", (100, 1)),
        ("brier", "dependent", "0.98", (41, 5)),
        ("brier", "reversed", "0.995", (300, 2)),
    ],
)
def test_they_hold_where_errors_are_rare(name, kind, world, size):
    """The bootstrap covers 0.40 to 0.89 there."""
    (row,) = coverage.rare_cell(name, kind, world, size, repeats=300)
    # the bar is 0.93; three Monte-Carlo errors of a 95 % share over 300 repeats are 0.038
    assert row["coverage"] > 0.93 - 0.038


def interval(name, c, y, images=None):
    rows = pd.DataFrame({"confidence": c, "correct": y})
    if images is not None:
        rows["image_id"] = images
    row = measure.metrics_table(rows, by=[], metrics=[name]).iloc[0]
    return row[f"{name}_low"], row[f"{name}_high"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("per_image", [1, 4])
def test_where_errors_are_not_rare_they_are_the_bootstrap_s(name, per_image, sample):
    c, y = sample
    images = np.arange(c.size) // per_image
    ends = interval(name, c, y, images)
    drawn = Bootstrap(n=4000).of(images)
    same = metric_interval(METRICS[name], c, y, drawn, level=0.95)
    width = same.high - same.low
    assert ends == pytest.approx([same.low, same.high], abs=0.06 * width)


def test_a_hundred_right_by_hand():
    """Nothing wrong: Wilson's end of the share, and Student's of the confidence, in squares."""
    c = np.repeat([0.9, 0.95, 1.0], [40, 30, 30])
    y = np.ones(100)
    half = stats.t.ppf(0.975, 99) * c.std(ddof=1) / 10
    wilson = 1 - measure.wilson_interval(100, 100)[0]
    gap = c.mean() - 1
    assert interval("gap", c, y) == pytest.approx(
        (gap - half, gap + np.hypot(half, wilson))
    )
    low, high = interval("brier", c, y)
    seen = ((1 - c) ** 2).mean()
    # wrong answers, of which none was seen, may have cost 0.81 to 1
    assert low < seen < 0.0081 < 0.8 * wilson < high < wilson + 0.0081
    assert interval("brier", c, 1 - y)[1] < 1


def test_what_no_answers_show_has_no_end():
    c = np.array([0.9, 0.8, 0.7])
    for name in NAMES:
        with pytest.warns(MeasureWarning, match="of one image"):
            assert np.isnan(interval(name, c, np.array([1, 0, 1]), [7] * 3)).all()
    # a mean confidence that may be 0 is no bound for O:E
    assert interval("observed_expected", [0, 0, 0, 0.9], [1, 0, 0, 1])[1] == np.inf
