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


@pytest.mark.parametrize("kind", ["continuous", "heaped"])
def test_they_hold_where_few_errors_share_images(kind):
    """Accuracy .97, images of five of which half share one fate: .86 to .89 without a prior."""
    pool = coverage.pool_of("rare", kind)
    true = coverage.truths(pool)
    rng = np.random.default_rng(3)
    names = ["accuracy", *NAMES]
    covered = dict.fromkeys(names, 0)
    for _ in range(200):
        rows = coverage.sampled(pool, 300, 5, rng)
        row = measure.metrics_table(rows, by=[], metrics=names).iloc[0]
        for name in names:
            low, high = row[f"{name}_low"], row[f"{name}_high"]
            covered[name] += low <= true[name] <= high
    # the bar is 0.93; two Monte-Carlo errors of a 95 % share over 200 repeats are 0.031
    assert min(covered.values()) / 200 > 0.93 - 0.031, covered


@pytest.mark.parametrize("per_image", [1, 5])
def test_differences_and_costs_hold_where_errors_are_rare(per_image):
    """Two samples of 100 answers, three of which are wrong; the bootstrap's .83 to .92."""
    pool = coverage.pool_of("rare", "heaped")
    true = coverage.truths(pool)
    rng = np.random.default_rng(4)
    covered = dict.fromkeys(["gap", "brier", "deferring", "saving"], 0)
    for _ in range(120):
        one, other = (coverage.sampled(pool, 100, per_image, rng) for _ in range(2))
        other["image_id"] += 100
        both = pd.concat([one.assign(arm="a"), other.assign(arm="b")])
        how = {"metrics": ["gap", "brier"]}
        table = measure.difference_table(both, "arm", **how)
        for row in table.to_dict("records"):
            within = row["difference_low"] <= 0 <= row["difference_high"]
            covered[row["metric"]] += within
            # one construction: the P value says what the interval says
            assert (row["p"] > 0.05) == within
        costs = measure.expected_cost_table(one, ratios=[5]).iloc[0]
        for name in ("deferring", "saving"):
            low, high = costs[f"{name}_low"], costs[f"{name}_high"]
            covered[name] += low <= true[name] <= high
    # two Monte-Carlo errors of a 95 % share over 120 repeats are 0.04
    assert min(covered.values()) / 120 > 0.93 - 0.04, covered


def test_skill_and_its_paired_difference_hold_where_errors_are_rare():
    """Resampled, the difference covered .74 to .80 with 100 answers, three of which are wrong."""
    pool = coverage.pool_of("rare", "continuous")
    true = coverage.truths(pool)["brier_skill"]
    rng = np.random.default_rng(5)
    holds = {"one": [], "difference": []}
    for _ in range(60):
        one = coverage.sampled(pool, 100, 1, rng)
        other = coverage.other_method(pool, one, rng)
        if one["correct"].all() or other["correct"].all():
            continue  # no skill is defined
        low, high = interval("brier_skill", one["confidence"], one["correct"])
        holds["one"].append(low <= true <= high)
        both = pd.concat([one.assign(arm="a"), other.assign(arm="b")])
        how = {"metrics": ["brier_skill"]}
        row = measure.difference_table(both, "arm", **how).iloc[0]
        within = row["difference_low"] <= 0 <= row["difference_high"]
        assert (row["p"] > 0.05) == within
        holds["difference"].append(within)
    # two Monte-Carlo errors of a 95 % share over 55 samples are 0.059
    assert min(np.mean(one) for one in holds.values()) > 0.93 - 0.059


def test_a_skill_s_interval_by_hand():
    """Of one loss for right and one for wrong answers, it is the share's, and may bend within."""
    c = np.full(100, 0.9)
    y = np.repeat([1.0, 0.0], [95, 5])
    low, high = interval("brier_skill", c, y)
    ends = measure.clustered_interval(y, None)
    at_low, at_high = (1 - 0.01 / (1 - p) - 0.81 / p for p in ends)
    # at an accuracy of 90 % a constant of 90 % has the most skill, 0
    assert min(ends) < 0.9 < max(ends)
    assert (low, high) == pytest.approx((min(at_low, at_high), 0), abs=1e-12)
    with pytest.warns(MeasureWarning, match="all answers are correct"):
        assert np.isnan(interval("brier_skill", c, np.ones(100))).all()


def test_a_paired_difference_by_hand(rng):
    """Newcombe's: the distances of Wilson's ends, and the correlation of the outcomes."""
    y = (rng.random(200) < 0.7).astype(float)
    z = np.where(rng.random(200) < 0.2, 1 - y, y)
    rows = pd.DataFrame({"item_id": range(200), "confidence": 0.5})
    both = pd.concat([rows.assign(arm="a", correct=y), rows.assign(arm="b", correct=z)])
    (row,) = measure.difference_table(both, "arm", metrics=["accuracy"]).to_dict(
        "records"
    )
    correlation = np.corrcoef(y, z)[0, 1]
    # seen on so many images with the rarer outcome, of all that there are in both
    wrong = 2 - y - z
    images = wrong.sum() ** 2 / (wrong**2).sum()
    correlation *= images / (images + 2)
    ends = []
    for outcome in (y, z):
        low, high = measure.wilson_interval(outcome.sum(), 200)
        ends.append((outcome.mean() - low, high - outcome.mean()))
    (a_down, a_up), (b_down, b_up) = ends
    difference = y.mean() - z.mean()
    low = np.sqrt(a_down**2 + b_up**2 - 2 * correlation * a_down * b_up)
    high = np.sqrt(a_up**2 + b_down**2 - 2 * correlation * a_up * b_down)
    seen = row["difference_low"], row["difference_high"]
    assert seen == pytest.approx((difference - low, difference + high))


def test_log_loss_has_no_interval_where_an_answer_is_said_to_be_certain(sample):
    c, y = sample
    low, high = interval("log_loss", c, y)
    assert low < measure.log_loss(c, y) < high
    for certain in (0.0, 1.0):
        c[7] = certain
        with pytest.warns(MeasureWarning, match="confidence 0 or 1 costs has no bound"):
            assert np.isnan(interval("log_loss", c, y)).all()
    assert measure.log_loss(c, y) > 0
    assert "log_loss" not in measure.metrics_table(
        pd.DataFrame({"confidence": c, "correct": y}), by=[]
    )


def interval(name, c, y, images=None):
    rows = pd.DataFrame({"confidence": c, "correct": y})
    if images is not None:
        rows["image_id"] = images
    row = measure.metrics_table(rows, by=[], metrics=[name]).iloc[0]
    return row[f"{name}_low"], row[f"{name}_high"]


@pytest.mark.parametrize("name", [*NAMES, "brier_skill"])
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
