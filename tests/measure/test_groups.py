"""Differences, the worst group, models as a sample: closed forms and coverage."""

import numpy as np
import pandas as pd
import pytest

from medcal_nb import measure


def answers(rng, n, *, group, over=0.0, n_images=None, model="m"):
    """Calibrated answers, or overconfident by `over`; images are shared between calls."""
    c = rng.uniform(0.5, 1, n)
    names = {"model": model, "group": group, "item_id": [f"i{i}" for i in range(n)]}
    names["image_id"] = [f"x{i % (n_images or n)}" for i in range(n)]
    correct = (rng.random(n) < c - over).astype(float)
    return pd.DataFrame(names | {"confidence": c, "correct": correct})


def test_the_same_questions_are_compared_question_by_question(rng):
    """Equal outcomes up to a shift of the confidence: paired, the difference is known exactly."""
    four = answers(rng, 300, group="4")
    ten = four.assign(group="10", confidence=four["confidence"] - 0.1)
    both = pd.concat([four, ten])
    table = measure.difference_table(
        both, "group", metrics=["gap", "accuracy", "auroc"], reference="4", rng=rng
    ).set_index("metric")
    gap = table.loc["gap"]
    assert (gap["a"], gap["b"]) == ("10", "4")
    assert gap["difference"] == pytest.approx(-0.1)
    assert table.loc["accuracy", "difference"] == 0
    assert table.loc["auroc", "difference"] == pytest.approx(0)
    area = measure.auroc(four["confidence"], four["correct"])
    assert table.loc["auroc", "value_a"] == pytest.approx(area)
    about = (ten["confidence"] + rng.normal(0, 0.02, 300)).clip(0, 1)
    noisy = ten.assign(confidence=about)
    widths = []
    for other in (noisy, noisy.assign(image_id="y" + noisy["image_id"])):
        row = measure.difference_table(pd.concat([four, other]), "group", rng=rng)
        widths.append((row["difference_high"] - row["difference_low"]).iloc[0])
    assert widths[0] < widths[1] / 5  # paired, and as two samples


def test_groups_are_compared_within_each_model_and_holm_is_over_all(rng):
    parts = [
        answers(rng, 400, group=g, over=over, model=m)
        for m in ("m", "n")
        for g, over in (("a", 0.0), ("b", 0.2), ("c", 0.0))
    ]
    table = measure.difference_table(
        pd.concat(parts), "group", metrics=["gap", "brier"], by=["model"], rng=rng
    )
    assert len(table) == 2 * 3 * 2
    assert table["p_holm"].tolist() == measure.holm(table["p"]).tolist()
    gaps = table[table["metric"] == "gap"]
    with_b = (gaps["a"] == "b") | (gaps["b"] == "b")
    assert gaps["differs"].tolist() == with_b.tolist()
    with pytest.raises(ValueError, match="reference must be one of 'a', 'b', 'c'"):
        measure.difference_table(pd.concat(parts), "group", reference="z", rng=rng)
    with pytest.raises(ValueError, match="metrics must be one of"):
        measure.difference_table(pd.concat(parts), "group", metrics=["ece"], rng=rng)


def test_the_largest_group_stands_first_and_its_interval_is_for_all(rng):
    groups = {"ct": 0.05, "mri": 0.3, "x-ray": -0.1, "none": 0.0}
    parts = [answers(rng, 200, group=g, over=o) for g, o in groups.items()]
    graded = pd.concat(parts)
    table = measure.worst_group(graded, "group", rng=rng)
    assert table["group"].iloc[0] == "mri"
    assert table["gap"].abs().is_monotonic_decreasing
    row = table.iloc[0]
    part = parts[1]
    values = part["confidence"] - part["correct"]
    # four groups: 1.25 % on either side
    half = 2.498 * values.std(ddof=1) / np.sqrt(200)
    assert row["gap"] == pytest.approx(values.mean())
    assert row["gap_high"] - row["gap_low"] == pytest.approx(2 * half, rel=0.1)
    assert row[["n", "n_images", "n_groups"]].tolist() == [200, 200, 4]
    some = graded.assign(group=graded["group"].replace("none", None))
    assert len(measure.worst_group(some, "group", rng=rng)) == 3


def test_all_groups_are_covered_together():
    """150 worlds of five groups with no gap: 95 % hold in all; the largest alone would not."""
    together = 0
    alone = 0
    for k in range(150):
        rng = np.random.default_rng([5, k])
        parts = [answers(rng, 60, group=str(g)) for g in range(5)]
        graded = pd.concat(parts).assign(image_id=np.arange(300) // 2)
        graded["item_id"] = np.arange(300)
        row = measure.worst_group(graded, "group", n_resamples=400, rng=rng)
        together += ((row["gap_low"] <= 0) & (row["gap_high"] >= 0)).all()
        own = graded[graded["group"] == row["group"].iloc[0]]
        plain = measure.worst_group(own, "group", n_resamples=400, rng=rng).iloc[0]
        alone += plain["gap_low"] <= 0 <= plain["gap_high"]
    assert together / 150 > 0.91
    assert alone < together - 5


def test_models_as_a_sample_by_hand():
    one = pd.DataFrame({"model": list("abcde"), "cost": [0.1, 0.2, 0.3, 0.4, 0.9]})
    row = measure.over_models(one, "cost", statistic="mean", n_resamples=4000).iloc[0]
    error = one["cost"].std(ddof=0) / np.sqrt(5)  # of the resamples
    assert row["cost"] == pytest.approx(0.38)
    # t with four degrees, and sqrt(5 / 4) for the spread that resamples lack
    half = 2.776 * error * np.sqrt(5 / 4)
    assert row["cost_high"] - row["cost_low"] == pytest.approx(2 * half, rel=0.12)
    # rows of one model are not five models
    many = pd.concat([one] * 7)
    again = measure.over_models(many, "cost", statistic="mean", n_resamples=4000)
    again = again.iloc[0]
    assert again[["n_models", "n"]].tolist() == [5, 35]
    assert again["cost_low"] == pytest.approx(row["cost_low"])
    single = measure.over_models(one[:1], "cost").iloc[0]
    assert np.isnan(single["cost_low"])
    two = many.assign(method=["s"] * 20 + ["t"] * 15)
    assert measure.over_models(two, "cost", by=["method"])["n"].tolist() == [20, 15]


def test_a_count_over_models_is_a_share_of_rows(rng):
    table = pd.DataFrame({"model": np.repeat(list("abcde"), 7), "raised": True})
    table.loc[:8, "raised"] = False
    row = measure.over_models(table, "raised", statistic="count").iloc[0]
    assert row["raised"] == 26
    low, high = measure.clustered_interval(table["raised"], table["model"])
    assert row["raised_low"] == pytest.approx(35 * low)
    assert row["raised_high"] == pytest.approx(35 * high)
    whole = table.assign(raised=True)
    row = measure.over_models(whole, "raised", statistic="count").iloc[0]
    assert row["raised_low"] < 35 == row["raised_high"]
    with pytest.raises(ValueError, match="statistic must be one of"):
        measure.over_models(table, "raised", statistic="mode")


def test_medians_over_models_hold_their_level():
    """Five models with seven methods each, and thirteen with one."""
    for m, k in ((5, 7), (13, 1)):
        held = 0
        for i in range(150):
            rng = np.random.default_rng([7, m, i])
            values = rng.normal(0, 1, (m, 1)) + rng.normal(0, 0.7, (m, k))
            columns = {"model": np.repeat(range(m), k), "cost": values.ravel()}
            table = pd.DataFrame(columns)
            row = measure.over_models(table, "cost", n_resamples=300).iloc[0]
            held += row["cost_low"] <= 0 <= row["cost_high"]
        assert held / 150 > 0.9
