"""A grade may err: what a person's grades of a random share make of a grader's of all."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from medcal_nb import measure
from medcal_nb.errors import NotEnough
from medcal_nb.measure import Bootstrap
from tests.bench import coverage

MEANS = ["accuracy", "gap", "brier"]
FEW = Bootstrap(n=200)


def graded(rng, *, n_checked=200, per_image=1, errors=(0.04, 0.1)):
    """800 answers with the grades of a grader and of a person (`coverage`)."""
    pool = coverage.pool_of("many", "continuous")
    return coverage.graded_twice(pool, n_checked, per_image, rng, errors)


def corrected(rows, **options):
    return measure.checked_table(rows, by=[], ci=FEW, **options).set_index("metric")


@pytest.mark.parametrize("per_image", [1, 5])
def test_corrected_numbers_hold_where_the_grader_s_do_not(per_image):
    """Of 800 answers 200 checked, the grader wrong in 2 % of the right and 25 % of the wrong."""
    true = coverage.truths(coverage.pool_of("many", "continuous"))
    rng = np.random.default_rng([1, per_image])
    covered = dict.fromkeys([*MEANS, "ece", "auroc"], 0)
    repeats = 80
    naive = 0
    for _ in range(repeats):
        rows = graded(rng, per_image=per_image, errors=(0.02, 0.25))
        table = corrected(rows)
        low, _ = measure.clustered_interval(rows["correct"], rows["image_id"])
        naive += low <= true["accuracy"]
        for name in covered:
            row = table.loc[name]
            covered[name] += row["corrected_low"] <= true[name] <= row["corrected_high"]
    # the bar is 0.93; two Monte-Carlo errors of a 95 % share over 80 repeats are 0.049
    assert min(covered.values()) / repeats > 0.93 - 0.049, covered
    assert naive / repeats < 0.7


def test_a_grader_that_does_not_err_is_taken_at_its_word(rng):
    rows = graded(rng, errors=(0, 0))
    table = corrected(rows)
    assert table["graded_alike"].eq(1).all()
    for name in MEANS:
        row = table.loc[name]
        assert row["weight"] == pytest.approx(1, abs=0.05)
        assert row["corrected"] == pytest.approx(row["by_grader"], abs=0.002)
    whole = measure.metrics_table(rows, by=[], metrics=["accuracy"]).iloc[0]
    width = whole["accuracy_high"] - whole["accuracy_low"]
    # what nobody saw err may err all the same
    mine = (
        table.loc["accuracy", "corrected_high"] - table.loc["accuracy", "corrected_low"]
    )
    assert width < mine < 1.5 * width


def test_a_grader_that_knows_nothing_is_left_out(rng):
    rows = graded(rng).assign(correct=rng.integers(0, 2, 800))
    checked = rows["checked"].dropna()
    row = corrected(rows).loc["accuracy"]
    assert row["weight"] < 0.15
    assert row["corrected"] == pytest.approx(checked.mean(), abs=0.01)
    half = stats.t.ppf(0.975, 199) * checked.std() / np.sqrt(200)
    assert row["corrected_high"] - row["corrected"] == pytest.approx(half, rel=0.06)


def test_a_mean_is_corrected_by_hand(rng):
    rows = graded(rng, n_checked=40)
    row = corrected(rows).loc["brier"]
    losses = {
        name: (rows["confidence"] - rows[name]) ** 2 for name in ("correct", "checked")
    }
    is_checked = rows["checked"].notna()
    by_grader = losses["correct"]
    shift = by_grader.mean() - by_grader[is_checked].mean()
    wanted = losses["checked"].mean() + row["weight"] * shift
    assert row["corrected"] == pytest.approx(wanted)
    assert row["by_grader"] == pytest.approx(by_grader.mean())
    agreement = (rows["correct"] == rows["checked"])[is_checked].mean()
    assert row["graded_alike"] == pytest.approx(agreement)
    own = rows[is_checked]
    images = own["image_id"].to_numpy()
    alone = measure.ece_interval(own["confidence"], own["checked"], groups=images)
    assert corrected(rows).loc["ece", "corrected"] == pytest.approx(alone.estimate)


def test_as_many_more_as_are_said_make_it_so_narrow(rng):
    rows = graded(rng, n_checked=100)
    width = 0.11
    row = corrected(rows, width=width).loc["gap"]
    assert row["corrected_high"] - row["corrected_low"] > width
    n = 100 + row["n_more"]
    rows["checked"] = rows["right"].where(rows["image_id"] < n)
    again = corrected(rows, width=width).loc["gap"]
    seen = again["corrected_high"] - again["corrected_low"]
    assert seen == pytest.approx(width, rel=0.1)
    assert np.isnan(corrected(rows, width=0.001).loc["gap", "n_more"])
    assert corrected(rows, width=0.5).loc["gap", "n_more"] == 0


def test_what_cannot_be_corrected_is_refused(rng):
    rows = graded(rng, n_checked=10)
    with pytest.raises(NotEnough, match="10 answers were checked, fewer than 20"):
        corrected(rows)
    with pytest.raises(ValueError, match="neither 0 nor 1"):
        corrected(rows.assign(checked=2.0))
    with pytest.raises(ValueError, match="lacks 'checked'"):
        corrected(rows.drop(columns="checked"))


def test_whole_images_are_drawn_at_random_and_any_first_part_is(rng):
    rows = graded(rng, per_image=4).set_index(np.arange(800) + 7)
    drawn = measure.answers_to_check(rows, 50, rng=np.random.default_rng(0))
    assert 50 <= len(drawn) < 54
    images = rows.loc[drawn, "image_id"]
    assert images.value_counts().eq(4).all()
    assert not images.is_monotonic_increasing
    first = [
        rows.loc[measure.answers_to_check(rows, 1, rng=rng)[0], "image_id"]
        for _ in range(300)
    ]
    assert np.mean(first) == pytest.approx(99.5, abs=10)
    assert len(measure.answers_to_check(rows, 9999, rng=rng)) == 800


@pytest.mark.parametrize("right", [0.93, 0.8])
def test_what_an_erring_grader_hides_is_found_again(right):
    rng = np.random.default_rng(2)
    c = rng.beta(5, 2, 100_000)
    y = (rng.random(c.size) < c**1.5).astype(float)
    errs = rng.random(c.size) > right
    rows = pd.DataFrame({"confidence": c, "correct": np.where(errs, 1 - y, y)})
    table = measure.erring_grader_table(rows, by=[], right=right).set_index("metric")
    truth = [y.mean(), (c - y).mean(), ((c - y) ** 2).mean(), measure.auroc(c, y)]
    assert table["corrected"].tolist() == pytest.approx(truth, abs=0.01)
    ends = table.loc["gap", ["least", "most"]]
    away = ends - table.loc["gap", "by_grader"]
    assert away.tolist() == pytest.approx([right - 1, 1 - right])
    perfect = rows.assign(correct=1.0)
    none = measure.erring_grader_table(perfect, by=[], right=right)
    assert none["corrected"].isna().all()
    with pytest.raises(ValueError, match="between ½ and 1"):
        measure.erring_grader_table(rows, by=[], right=0.5)
