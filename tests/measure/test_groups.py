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
    how = {"metrics": ["gap", "accuracy", "auroc"], "reference": "4"}
    table = measure.difference_table(both, "group", **how).set_index("metric")
    assert table.loc["gap", ["a", "b", "n_a"]].tolist() == ["10", "4", 300]
    assert table["difference"].tolist() == pytest.approx([-0.1, 0, 0])
    area = measure.auroc(four["confidence"], four["correct"])
    assert table.loc["auroc", "value_a"] == pytest.approx(area)
    about = (ten["confidence"] + rng.normal(0, 0.02, 300)).clip(0, 1)
    noisy = ten.assign(confidence=about)
    widths = []
    for other in (noisy, noisy.assign(image_id="y" + noisy["image_id"])):
        row = measure.difference_table(pd.concat([four, other]), "group")
        widths.append((row["difference_high"] - row["difference_low"]).iloc[0])
    gaps = [part["confidence"] - part["correct"] for part in (four, noisy)]
    error = np.sqrt(sum(gap.var(ddof=0) for gap in gaps) / 300)
    assert widths[1] == pytest.approx(2 * 1.96 * error, rel=0.08)
    assert widths[0] < widths[1] / 5  # paired, and as two samples


def test_groups_are_compared_within_each_model_and_holm_is_over_all(rng):
    parts = [
        answers(rng, 400, group=g, over=over, model=m)
        for m in ("m", "n")
        for g, over in (("a", 0.0), ("b", 0.2), ("c", 0.0))
    ]
    graded = pd.concat(parts)
    how = {"metrics": ["gap", "brier"], "by": ["model"]}
    table = measure.difference_table(graded, "group", **how)
    assert len(table) == 2 * 3 * 2
    assert table["p_holm"].tolist() == measure.holm(table["p"]).tolist()
    gaps = table[table["metric"] == "gap"]
    with_b = (gaps["a"] == "b") | (gaps["b"] == "b")
    assert gaps["differs"].tolist() == with_b.tolist()
    with pytest.raises(ValueError, match="reference must be one of 'a', 'b', 'c'"):
        measure.difference_table(graded, "group", reference="z")
    with pytest.raises(ValueError, match="metrics must be one of"):
        measure.difference_table(graded, "group", metrics=["ece"])


def test_the_largest_group_stands_first_and_its_interval_is_for_all(rng):
    groups = {"ct": 0.05, "mri": 0.3, "x-ray": -0.1, "none": 0.0}
    parts = [answers(rng, 200, group=g, over=o) for g, o in groups.items()]
    graded = pd.concat(parts)
    table = measure.worst_group(graded, "group")
    assert table["group"].iloc[0] == "mri"
    assert table["gap"].abs().is_monotonic_decreasing
    row = table.iloc[0]
    values = parts[1]["confidence"] - parts[1]["correct"]
    assert row["gap"] == pytest.approx(values.mean())
    # four groups: 0.625 % on either side
    width = 2 * 2.498 * values.std(ddof=1) / np.sqrt(200)
    assert row["gap_high"] - row["gap_low"] == pytest.approx(width, rel=0.1)
    assert row[["n", "n_images"]].tolist() == [200, 200]
    some = graded.assign(group=graded["group"].replace("none", None))
    assert len(measure.worst_group(some, "group")) == 3


def test_models_as_a_sample_by_hand():
    one = pd.DataFrame({"model": list("abcde"), "cost": [0.1, 0.2, 0.3, 0.4, 0.9]})
    row = measure.over_models(one, "cost", statistic="mean").iloc[0]
    half = 2.77645 * one["cost"].std(ddof=1) / np.sqrt(5)  # t with four degrees
    ends = [0.38, 0.38 - half, 0.38 + half, 0.95]
    assert row.iloc[2:].tolist() == pytest.approx(ends, abs=1e-5)
    # of five models no two hold 95 %: lowest to highest holds 93.75 %
    median = measure.over_models(one, "cost").iloc[0]
    assert median.iloc[2:].tolist() == [0.3, 0.1, 0.9, 1 - 2 / 2**5]
    # rows of one model are not five models
    many = pd.concat([one] * 7)
    again = measure.over_models(many, "cost", statistic="mean").iloc[0]
    assert again[["n_models", "n"]].tolist() == [5, 35]
    assert again["cost_low"] == pytest.approx(row["cost_low"])
    assert np.isnan(measure.over_models(one[:1], "cost")["cost_low"].item())
    two = many.assign(method=["s"] * 20 + ["t"] * 15)
    assert measure.over_models(two, "cost", by=["method"])["n"].tolist() == [20, 15]
    with pytest.raises(ValueError, match="statistic must be one of"):
        measure.over_models(two, "cost", statistic="mode")


def test_medians_over_models_hold_their_level():
    """Skewed models, as order statistics allow: five with seven methods, thirteen with one."""
    for m, k, least in ((5, 7, 0.9), (13, 1, 0.93)):
        rng = np.random.default_rng([7, m])
        values = np.exp(2 * rng.normal(0, 1, (150, m, 1))) - 1
        values = values + rng.normal(0, 0.01, (150, m, k))
        columns = {"sample": np.repeat(range(150), m * k), "cost": values.ravel()}
        table = pd.DataFrame(columns).assign(model=np.tile(np.repeat(range(m), k), 150))
        ends = measure.over_models(table, "cost", by=["sample"])
        assert ((ends["cost_low"] <= 0) & (ends["cost_high"] >= 0)).mean() > least
        assert ends["level"].iloc[0] == pytest.approx({5: 0.9375, 13: 0.9775}[m], 1e-3)
