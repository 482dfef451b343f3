"""Tidy tables: columns, counts, agreement with the metrics they tabulate."""

import math

import numpy as np
import pandas as pd
import pytest

from medcal_nb import measure
from medcal_nb.measure import METRICS, MeasureWarning
from medcal_nb.measure.rows import arrays, image_labels
from medcal_nb.measure.tables import SCORE_METRICS


@pytest.fixture
def sample(rng):
    c = rng.beta(3, 1.5, 500)
    return c, (rng.random(500) < c**1.4).astype(float)


@pytest.fixture
def graded(rng):
    rows = []
    for model, power in (("a", 1.0), ("b", 2.0)):
        hard = np.random.default_rng(4).random(240)
        c = np.clip(0.3 + 0.7 * hard + 0.1 * rng.normal(size=240), 0, 1)
        part = pd.DataFrame({"model": model, "dataset": "d", "strategy": "s",
                             "item_id": [f"i{i}" for i in range(240)],
                             "image_id": [f"g{i // 3}" for i in range(240)],
                             "modality": np.repeat(["ct", "mri"], 120), "confidence": c,
                             "correct": rng.random(240) < c**power})  # fmt: skip
        rows.append(part.astype({"correct": "boolean"}))
    return pd.concat(rows, ignore_index=True)


@pytest.mark.parametrize("digits", [None, 1])
def test_reliability_table_is_the_ece_taken_apart(digits, sample):
    c, y = sample
    c = c if digits is None else c.round(digits)
    table = measure.reliability_table(c, y, n_bins=10)
    held = table[table["n"] > 0]
    assert table["n"].sum() == 500
    gap = (held["n"] * (held["accuracy"] - held["mean_confidence"]).abs()).sum() / 500
    assert gap == pytest.approx(measure.ece(c, y, n_bins=10))
    for row in held.itertuples():
        above = (c > row.low) | ((row.low == 0) & (c == 0))
        assert (above & (c <= row.high)).sum() == row.n
    assert (held["accuracy_low"] <= held["accuracy"]).all()
    assert (held["accuracy"] <= held["accuracy_high"]).all()


def test_metrics_table_equals_the_metrics(graded, rng):
    table = measure.metrics_table(graded, metrics="all", n_resamples=60, rng=rng)
    assert table["model"].tolist() == ["a", "b"]
    assert table["n"].tolist() == [240, 240]
    for _, row in table.iterrows():
        part = graded[graded["model"] == row["model"]]
        for name, metric in METRICS.items():
            value = metric(part["confidence"], part["correct"].astype(float))
            assert row[name] == pytest.approx(value)
            assert row[f"{name}_low"] <= row[f"{name}_high"]
    expected = ["model", "dataset", "strategy", "n", "n_missing", "n_images", "clip"]
    for name in METRICS:
        expected += [name, f"{name}_low", f"{name}_high"]
    assert table.columns.tolist() == expected


def test_missing_rows_are_left_out_and_counted(graded, rng):
    graded.loc[[0, 1], "confidence"] = np.nan
    graded.loc[2, "correct"] = pd.NA
    graded.loc[graded["model"] == "b", "confidence"] = np.nan
    with pytest.warns(MeasureWarning, match="model=b.*no answer has both"):
        table = measure.metrics_table(graded, n_resamples=20, rng=rng)
    table = table.set_index("model")
    assert table.loc["a", ["n", "n_missing"]].tolist() == [237, 3]
    assert table.loc["b", ["n", "n_missing"]].tolist() == [0, 240]
    assert table.loc["b", list(SCORE_METRICS)].isna().all()
    kept = graded.iloc[3:240]
    error = measure.ece(kept["confidence"], kept["correct"].astype(float))
    assert table.loc["a", "ece"] == pytest.approx(error)


def test_unknown_columns_and_metrics_are_refused(graded, rng):
    with pytest.raises(ValueError, match="lacks 'site'"):
        measure.metrics_table(graded, by=["site"], rng=rng)
    with pytest.raises(ValueError, match="metrics must be one of"):
        measure.metrics_table(graded, metrics=["f1"], rng=rng)
    with pytest.raises(ValueError, match="outside"):
        measure.metrics_table(graded.assign(confidence=85.0), rng=rng)


def test_differences_between_modalities(graded, rng):
    one = graded[graded["model"] == "a"].drop(columns="image_id")
    table = measure.difference_table(one, "modality", n_resamples=4000, rng=rng)
    row = table.iloc[0]
    gap = one["confidence"] - one["correct"].astype(float)
    ct, mri = (gap[one["modality"] == m] for m in ("ct", "mri"))
    assert row["difference"] == pytest.approx(ct.mean() - mri.mean())
    error = math.sqrt(ct.var(ddof=0) / len(ct) + mri.var(ddof=0) / len(mri))
    half = (row["difference_high"] - row["difference_low"]) / 2
    assert half == pytest.approx(1.96 * error, rel=0.08)
    assert (row["n_a"], row["n_b"]) == (120, 120)


def test_the_interval_of_an_ece_is_the_one_that_holds(graded, rng):
    names = ["accuracy", "ece", "ece_mass"]
    table = measure.metrics_table(graded, metrics=names, rng=np.random.default_rng(0))
    row, one = table.iloc[0], graded[graded["model"] == "a"]
    images = image_labels(one)
    for kind, name in (("width", "ece"), ("mass", "ece_mass")):
        how = {"binning": kind, "groups": images, "rng": rng}
        low, _, high = measure.ece_interval(*arrays(one), **how)
        # other draws of the same noise
        assert row[f"{name}_low"] == pytest.approx(low, abs=0.01)
        assert row[f"{name}_high"] == pytest.approx(high, abs=0.01)
    ends = measure.clustered_interval(one["correct"], images)
    assert (row["accuracy_low"], row["accuracy_high"]) == pytest.approx(ends)


def test_slope_and_intercept_have_the_clip_that_maps_have_and_it_is_told(rng):
    """Certainty is half a step from 0 and 1: 100 % of whole percentages is 99.5 %."""
    c = rng.choice([0.0, 0.5, 0.8, 0.9, 0.99, 1.0], 400)
    y = (rng.random(400) < 0.2 + 0.6 * c).astype(float)
    frame = pd.DataFrame({"confidence": c, "correct": y, "item_id": np.arange(400)})
    metrics = ["slope", "intercept"]
    row = measure.metrics_table(frame, by=(), metrics=metrics, rng=rng).iloc[0]
    assert row["clip"] == measure.choose_clip(c) == 0.005
    assert row["slope"] == pytest.approx(measure.calibration_slope(c, y, clip=0.005))
    intercept = measure.calibration_intercept(c, y, clip=0.005)
    assert row["intercept"] == pytest.approx(intercept)
    assert row["slope"] != pytest.approx(measure.calibration_slope(c, y, clip=1e-6))


def test_the_same_answers_have_the_same_intervals_whatever_stands_beside_them(graded):
    options = {"metrics": ["gap", "brier", "ece", "auroc"], "n_resamples": 50}
    rng = np.random.default_rng(3)
    both = measure.metrics_table(graded, by="model", rng=rng, **options)
    alone = graded[graded["model"] == "b"]
    again = measure.metrics_table(alone, by="model", rng=rng, **options)
    pd.testing.assert_frame_equal(again, both[1:].reset_index(drop=True))
    rng = np.random.default_rng(4)
    other = measure.metrics_table(alone, by="model", rng=rng, **options)
    assert other["gap_low"].iloc[0] != again["gap_low"].iloc[0]


def test_heaped_confidences_are_shown_value_by_value(rng):
    c = rng.choice([0.8, 0.9, 0.95, 1.0], 400)
    y = (rng.random(400) < 0.5).astype(float)
    assert measure.is_heaped(c)
    assert not measure.is_heaped(rng.random(400))
    assert measure.is_heaped(np.r_[np.full(360, 0.9), rng.random(40)])
    table = measure.value_table(c, y)
    assert table["confidence"].tolist() == [0.8, 0.9, 0.95, 1.0]
    own = y[c == 0.9]
    assert table["accuracy"][1] == own.mean()
    low, high = measure.wilson_interval(own.sum(), len(own))
    assert table["accuracy_low"][1] == pytest.approx(low)
    assert table["accuracy_high"][1] == pytest.approx(high)
    three = [np.repeat(values, 3) for values in (c, y, range(400))]
    by_image = measure.value_table(*three[:2], groups=three[2])
    np.testing.assert_allclose(
        by_image["accuracy_low"], table["accuracy_low"], atol=0.01
    )
