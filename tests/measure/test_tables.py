"""Tidy tables: columns, counts, agreement with the metrics they tabulate."""

import numpy as np
import pandas as pd
import pytest

from medcal_nb import measure
from medcal_nb.measure import METRICS, MeasureWarning
from medcal_nb.measure.rows import arrays, image_labels
from medcal_nb.measure.tables import SCORE_METRICS

FEW = measure.Bootstrap(n=50)


@pytest.fixture
def graded(rng):
    n = 240
    table = pd.DataFrame({"model": np.repeat(["a", "b"], n), "dataset": "d"})
    table["strategy"] = "s"
    table["item_id"] = np.tile(np.arange(n), 2)
    table["image_id"] = table["item_id"] // 3
    table["confidence"] = rng.uniform(0.3, 1, 2 * n)
    table["correct"] = rng.random(2 * n) < table["confidence"] ** np.repeat([1, 2], n)
    return table.astype({"correct": "boolean"})


@pytest.mark.parametrize("digits", [None, 1])
def test_a_table_of_bins_is_the_ece_taken_apart(digits, sample):
    c, y = sample
    c = c if digits is None else c.round(digits)
    table = measure.value_table(c, y, n_bins=10)
    gap = (table["n"] * (table["accuracy"] - table["confidence"]).abs()).sum() / 500
    assert gap == pytest.approx(measure.ece(c, y, n_bins=10))
    counts = np.histogram(-c, bins=np.arange(-10, 1) / 10)[0][::-1]  # (low, high]
    assert table["n"].tolist() == counts[counts > 0].tolist()
    ends = table[["accuracy_low", "accuracy_high"]].to_numpy().T
    assert table["accuracy"].between(*ends).all()


def test_metrics_table_equals_the_metrics(graded):
    table = measure.metrics_table(graded, metrics="all", ci=FEW)
    assert table[["model", "n"]].to_numpy().tolist() == [["a", 240], ["b", 240]]
    for _, row in table.iterrows():
        part = arrays(graded[graded["model"] == row["model"]])
        for name, metric in METRICS.items():
            assert row[name] == pytest.approx(metric.value(*part))
            has_ends = row[f"{name}_low"] <= row[f"{name}_high"]
            assert has_ends == (metric.interval != "none")
    expected = ["model", "dataset", "strategy", "n", "n_missing", "n_images", "clip"]
    for name in METRICS:
        expected += [name, f"{name}_low", f"{name}_high"]
        expected += ["ece_floor"] * (name == "ece")
    assert table.columns.tolist() == expected


def test_missing_rows_are_left_out_and_counted(graded):
    graded.loc[[0, 1], "confidence"] = np.nan
    graded.loc[2, "correct"] = pd.NA
    graded.loc[graded["model"] == "b", "confidence"] = np.nan
    with pytest.warns(MeasureWarning, match="model=b.*no answer has both"):
        table = measure.metrics_table(graded, ci=FEW)
    assert table[["n", "n_missing"]].to_numpy().tolist() == [[237, 3], [0, 240]]
    assert table.loc[1, list(SCORE_METRICS)].isna().all()
    error = measure.ece(*arrays(graded.iloc[3:240]))
    assert table.loc[0, "ece"] == pytest.approx(error)


def test_unknown_columns_and_metrics_are_refused(graded):
    with pytest.raises(ValueError, match="lacks 'site'"):
        measure.metrics_table(graded, by=["site"])
    with pytest.raises(ValueError, match="metrics must be one of"):
        measure.metrics_table(graded, metrics=["f1"])
    with pytest.raises(ValueError, match="outside"):
        measure.metrics_table(graded.assign(confidence=85.0))


def test_a_table_s_interval_is_the_one_of_its_function(graded):
    one = graded[graded["model"] == "a"]
    images = image_labels(one)
    pair = arrays(one)
    expected = {
        "accuracy": measure.clustered_interval(one["correct"], images),
        "ece": measure.ece_interval(*pair, groups=images)[::2],
        "auroc": measure.auroc_test(*pair, groups=images)[["low", "high"]],
    }
    row = measure.metrics_table(one, metrics=expected).iloc[0]
    for (
        name,
        ends,
    ) in expected.items():  # to the last digit: the same images, same draws
        assert row[[f"{name}_low", f"{name}_high"]].tolist() == pytest.approx(
            list(ends)
        )


def test_slope_and_intercept_have_the_clip_that_maps_have_and_it_is_told(rng):
    """Certainty is half a step from 0 and 1: 100 % of whole percentages is 99.5 %."""
    c = rng.choice([0.0, 0.5, 0.8, 0.9, 0.99, 1.0], 400)
    y = (rng.random(400) < 0.2 + 0.6 * c).astype(float)
    frame = pd.DataFrame({"confidence": c, "correct": y, "item_id": np.arange(400)})
    how = {"by": (), "metrics": ["slope", "intercept"]}
    row = measure.metrics_table(frame, **how).iloc[0]
    inside = np.clip(c, 0.005, 0.995)
    expected = [0.005, measure.calibration_slope(inside, y)]
    expected += [measure.calibration_intercept(inside, y)]
    assert row[["clip", "slope", "intercept"]].tolist() == pytest.approx(expected)
    assert measure.calibration_slope(c, y) == pytest.approx(row["slope"])
    nearer = np.clip(c, 1e-6, 1 - 1e-6)
    assert row["slope"] != pytest.approx(measure.calibration_slope(nearer, y))


def test_the_same_answers_have_the_same_intervals_whatever_stands_beside_them(graded):
    options = {"by": "model", "metrics": ["slope", "log_loss", "ece", "auroc"]}
    both = measure.metrics_table(graded, ci=FEW, **options)
    alone = graded[graded["model"] == "b"]
    shuffled = alone.sample(frac=1, random_state=1)
    for rows in (alone, shuffled):
        again = measure.metrics_table(rows, ci=FEW, **options)
        pd.testing.assert_frame_equal(again, both[1:].reset_index(drop=True))
    other = measure.metrics_table(alone, ci=measure.Bootstrap(1, 50), **options)
    assert (other["slope_low"] != again["slope_low"]).all()


def test_heaped_confidences_are_shown_value_by_value(rng):
    c = rng.choice([0.8, 0.9, 0.95, 1.0], 400)
    y = (rng.random(400) < 0.5).astype(float)
    table = measure.value_table(c, y)
    assert table["confidence"].tolist() == [0.8, 0.9, 0.95, 1.0]
    mostly = np.r_[np.full(360, 0.9), rng.random(40)]
    assert len(measure.value_table(mostly, y)) == 41
    own = y[c == 0.9]
    expected = np.array([own.mean(), *measure.wilson_interval(own.sum(), len(own))])
    numbers = ["accuracy", "accuracy_low", "accuracy_high"]
    assert table.loc[1, numbers].tolist() == pytest.approx(expected)
    three = [np.repeat(values, 3) for values in (c, y, range(400))]
    by_image = measure.value_table(*three[:2], groups=three[2])["accuracy_low"]
    np.testing.assert_allclose(by_image, table["accuracy_low"], atol=0.01)


def test_many_confidences_stand_together_by_twentieths(sample):
    c, y = sample
    table = measure.value_table(c, y)
    assert len(table) < 20 < np.unique(c).size
    pd.testing.assert_frame_equal(table, measure.value_table(c, y, n_bins=20))


def test_the_same_answers_stand_together_before_and_after_a_map(rng):
    c = rng.choice([0.8, 0.9, 1.0], 300)
    y = (rng.random(300) < 0.5).astype(float)
    after = c / 2 + rng.choice([-0.01, 0.01], 300)  # of two folds
    both = measure.recalibration_table(c, after, y, groups=np.arange(300) // 2)
    stages = ["uncorrected", "refitted"]
    before, moved = (both[both["stage"] == stage] for stage in stages)
    once = measure.value_table(c, y, groups=np.arange(300) // 2)
    pd.testing.assert_frame_equal(before[once.columns], once)
    assert moved["value"].tolist() == before["confidence"].tolist() == [0.8, 0.9, 1.0]
    assert moved["confidence"].tolist() == pytest.approx(
        [after[c == one].mean() for one in (0.8, 0.9, 1.0)]
    )
    same = ["n", "accuracy", "accuracy_low", "accuracy_high"]
    assert moved[same].to_numpy().tolist() == before[same].to_numpy().tolist()
    with pytest.raises(ValueError, match="confidence"):
        measure.recalibration_table(c, after + 1, y)


def test_who_states_no_confidence_is_counted_with_its_accuracy():
    table = pd.DataFrame(
        {
            "model": list("aaaab"),
            "confidence": [0.9, np.nan, np.nan, 0.5, np.nan],
            "correct": pd.array([1, 0, 1, None, 1], "boolean"),
        }
    )
    missing = measure.missing_table(table, by=["model"]).set_index("model")
    assert missing.loc["a"].tolist() == [3, 2, pytest.approx(2 / 3), 1, 0.5]
    assert missing.loc["b", ["n", "n_missing"]].tolist() == [1, 1]
    assert np.isnan(missing.loc["b", "accuracy"])


def test_a_group_is_called_by_what_tells_it_from_the_others():
    rows = {"model": ["a", "a", "b", "b"], "strategy": "unspecified", "correct": 1}
    graded = pd.DataFrame(rows | {"confidence": [0.5, 0.6, None, None]})
    with pytest.warns(MeasureWarning) as heard:
        measure.metrics_table(graded, by=["model", "strategy"], metrics=["accuracy"])
    texts = " ".join(str(one.message) for one in heard)
    assert "model=b" in texts
    assert "strategy" not in texts
