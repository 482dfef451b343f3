"""Tidy tables: columns, counts, agreement with the metrics they tabulate."""

import math

import numpy as np
import pandas as pd
import pytest

from medcal_nb import measure
from medcal_nb.measure import ALL_METRICS, SCORE_METRICS, MeasureWarning


@pytest.fixture
def sample(rng):
    c = rng.beta(3, 1.5, 500)
    return c, (rng.random(500) < c**1.4).astype(float)


@pytest.fixture
def verdicts(rng):
    rows = []
    for model, power in (("a", 1.0), ("b", 2.0)):
        hard = np.random.default_rng(4).random(240)
        c = np.clip(0.3 + 0.7 * hard + 0.1 * rng.normal(size=240), 0, 1)
        rows.append(
            pd.DataFrame(
                {
                    "model": model,
                    "dataset": "d",
                    "strategy": "s",
                    "item_id": [f"i{i}" for i in range(240)],
                    "image_id": [f"g{i // 3}" for i in range(240)],
                    "modality": np.where(np.arange(240) < 120, "ct", "mri"),
                    "confidence": c,
                    "correct": pd.array(rng.random(240) < c**power, dtype="boolean"),
                }
            )
        )
    return pd.concat(rows, ignore_index=True)


@pytest.mark.parametrize("binning", ["width", "mass"])
@pytest.mark.parametrize("digits", [None, 1])
def test_reliability_table_is_the_ece_taken_apart(binning, digits, sample):
    c, y = sample
    c = c if digits is None else c.round(digits)
    table = measure.reliability_table(c, y, n_bins=10, binning=binning)
    held = table[table["n"] > 0]
    assert list(table.columns) == [
        "bin",
        "low",
        "high",
        "n",
        "mean_confidence",
        "accuracy",
        "acc_low",
        "acc_high",
        "band_low",
        "band_high",
    ]
    assert table["n"].sum() == 500
    gap = (held["n"] * (held["accuracy"] - held["mean_confidence"]).abs()).sum() / 500
    assert gap == pytest.approx(measure.ece(c, y, n_bins=10, binning=binning))
    inside = [((c > r.low) | ((r.low == 0) & (c == 0))) & (c <= r.high) for r in held.itertuples()]
    assert [int(i.sum()) for i in inside] == held["n"].tolist()
    assert (held["acc_low"] <= held["accuracy"]).all()
    assert (held["accuracy"] <= held["acc_high"]).all()
    assert (held["band_low"] <= held["mean_confidence"] + 1 / held["n"]).all()
    assert (held["band_high"] >= held["mean_confidence"] - 1 / held["n"]).all()


def test_reliability_table_keeps_empty_bins_as_missing():
    table = measure.reliability_table([0.95, 0.97], [1, 0], n_bins=5)
    assert table["n"].tolist() == [0, 0, 0, 0, 2]
    assert table.loc[:3, "mean_confidence":].isna().all(axis=None)
    assert table.loc[4, "accuracy"] == 0.5


def test_simultaneous_bands_are_wider(sample):
    wide = measure.reliability_table(*sample)
    narrow = measure.reliability_table(*sample, band="pointwise")
    held = wide["n"] > 5
    assert (wide["band_high"] >= narrow["band_high"])[held].all()
    assert (wide["band_low"] <= narrow["band_low"])[held].all()
    assert (wide["band_high"] > narrow["band_high"])[held].any()


def test_smooth_table_finds_a_known_curve(rng):
    c = rng.random(20_000)
    y = (rng.random(20_000) < c**2).astype(float)
    table = measure.smooth_reliability_table(c, y, sigma=0.02, n_resamples=200, rng=rng)
    middle = table[(table["confidence"] > 0.05) & (table["confidence"] < 0.95)]
    # a kernel of width s adds s² · m'' / 2 = 4e-4 to the curve c²; the rest is noise
    assert (middle["accuracy"] - middle["confidence"] ** 2).abs().max() < 0.05
    inside = (middle["acc_low"] <= middle["confidence"] ** 2) & (
        middle["confidence"] ** 2 <= middle["acc_high"]
    )
    assert inside.mean() > 0.8
    assert table["density"].mean() == pytest.approx(1, abs=0.02)


def test_smooth_table_is_missing_where_nothing_is_near(rng):
    table = measure.smooth_reliability_table(
        [0.9, 0.91, 0.92], [1, 0, 1], sigma=0.01, n_resamples=50, rng=rng
    )
    assert table.loc[table["confidence"] < 0.8, "accuracy"].isna().all()
    assert table.loc[(table["confidence"] - 0.91).abs() < 0.02, "accuracy"].notna().all()


def test_risk_coverage_by_hand():
    table = measure.risk_coverage_table([0.9, 0.7, 0.7, 0.2], [1, 0, 1, 0])
    assert table["threshold"].tolist() == [0.9, 0.7, 0.2]
    assert table["n_kept"].tolist() == [1, 3, 4]
    assert table["n_errors"].tolist() == [0, 1, 2]
    assert table["risk"].tolist() == pytest.approx([0, 1 / 3, 1 / 2])
    assert table["coverage"].tolist() == [0.25, 0.75, 1.0]
    low, high = measure.wilson_interval([0, 1, 2], [1, 3, 4])
    assert table["risk_low"].tolist() == pytest.approx(low.tolist())
    assert table["risk_high"].tolist() == pytest.approx(high.tolist())


@pytest.mark.parametrize("grouped", [False, True])
def test_risk_band_at_full_coverage_is_the_interval_of_the_error_rate(grouped, sample, rng):
    c, y = sample
    groups = np.arange(500) // 5 if grouped else None
    table = measure.risk_coverage_table(c, y, groups=groups, n_resamples=3000, rng=rng)
    last = table.iloc[-1]
    interval = measure.bootstrap_interval(
        measure.accuracy, c, y, groups=groups, n_resamples=3000, rng=rng
    )
    assert last["risk"] == pytest.approx(1 - interval.estimate)
    assert last["risk_low"] == pytest.approx(1 - interval.high, abs=0.004)
    assert last["risk_high"] == pytest.approx(1 - interval.low, abs=0.004)


def test_long_curves_are_thinned_and_keep_their_ends(rng):
    c = rng.random(5000)
    table = measure.risk_coverage_table(c, (c > 0.4).astype(int), max_points=200)
    assert len(table) <= 200
    assert table["coverage"].iloc[-1] == 1
    assert table["threshold"].iloc[0] == c.max()


def test_metrics_table_equals_the_metrics(verdicts, rng):
    table = measure.metrics_table(verdicts, metrics="all", n_resamples=60, rng=rng)
    assert table["model"].tolist() == ["a", "b"]
    assert table["n"].tolist() == [240, 240]
    for _, row in table.iterrows():
        part = verdicts[verdicts["model"] == row["model"]]
        for name, metric in measure.metric_functions().items():
            assert row[name] == pytest.approx(
                metric(part["confidence"], part["correct"].astype(float))
            )
            assert row[f"{name}_low"] <= row[f"{name}_high"]
    expected = ["model", "dataset", "strategy", "n", "n_missing"]
    for name in ALL_METRICS:
        expected += [name, f"{name}_low", f"{name}_high"]
    assert table.columns.tolist() == expected


def test_metrics_table_columns_for_scoring(verdicts, rng):
    table = measure.metrics_table(verdicts, intervals=("ece",), n_resamples=20, rng=rng)
    assert SCORE_METRICS == (
        "accuracy", "mean_confidence", "ece", "brier", "log_loss", "auroc", "aurc",
    )  # fmt: skip
    assert table.columns.tolist()[5:] == [
        "accuracy", "mean_confidence", "ece", "ece_low", "ece_high", "brier", "log_loss", "auroc",
        "aurc",
    ]  # fmt: skip


def test_missing_rows_are_left_out_and_counted(verdicts, rng):
    verdicts.loc[[0, 1], "confidence"] = np.nan
    verdicts.loc[2, "correct"] = pd.NA
    verdicts.loc[verdicts["model"] == "b", "confidence"] = np.nan
    with pytest.warns(MeasureWarning, match="model=b.*no item has both"):
        table = measure.metrics_table(verdicts, n_resamples=20, rng=rng).set_index("model")
    assert table.loc["a", ["n", "n_missing"]].tolist() == [237, 3]
    assert table.loc["b", ["n", "n_missing"]].tolist() == [0, 240]
    assert table.loc["b", list(SCORE_METRICS)].isna().all()
    kept = verdicts.iloc[3:240]
    assert table.loc["a", "ece"] == pytest.approx(
        measure.ece(kept["confidence"], kept["correct"].astype(float))
    )


def test_metrics_table_resamples_images(verdicts):
    tripled = pd.concat([verdicts[verdicts["model"] == "a"]] * 4)
    seed = np.random.default_rng
    by_image = measure.metrics_table(tripled, n_resamples=800, rng=seed(1)).iloc[0]
    by_row = measure.metrics_table(tripled, n_resamples=800, groups=None, rng=seed(1)).iloc[0]
    width = by_image["brier_high"] - by_image["brier_low"]
    assert by_row["brier_high"] - by_row["brier_low"] < 0.7 * width


def test_undefined_metrics_name_their_group(verdicts, rng):
    verdicts.loc[verdicts["model"] == "a", "correct"] = True
    with pytest.warns(MeasureWarning, match="model=a, dataset=d, strategy=s: auroc is undefined"):
        table = measure.metrics_table(verdicts, n_resamples=20, rng=rng)
    assert np.isnan(table.loc[0, "auroc"])
    assert np.isfinite(table.loc[1, "auroc"])


def test_a_row_does_not_depend_on_the_metrics_asked_for_beside(verdicts):
    wide = measure.metrics_table(verdicts, n_resamples=50, rng=np.random.default_rng(0))
    again = measure.metrics_table(verdicts, n_resamples=50, rng=np.random.default_rng(0))
    pd.testing.assert_frame_equal(wide, again)


def test_unknown_columns_and_metrics_are_refused(verdicts, rng):
    with pytest.raises(ValueError, match="lacks 'site'"):
        measure.metrics_table(verdicts, by=["site"], rng=rng)
    with pytest.raises(ValueError, match="metrics must be one of"):
        measure.metrics_table(verdicts, metrics=["f1"], rng=rng)
    with pytest.raises(ValueError, match="outside"):
        measure.metrics_table(verdicts.assign(confidence=85.0), rng=rng)


def test_one_row_without_by(verdicts, rng):
    table = measure.metrics_table(verdicts, by=(), n_resamples=20, rng=rng)
    assert len(table) == 1
    assert table.loc[0, "n"] == 480


def test_differences_of_models_are_paired_by_item(verdicts, rng):
    shuffled = verdicts.sample(frac=1, random_state=1)
    table = measure.difference_table(
        shuffled, compare="model", by=("dataset",), stat="brier", n_resamples=3000, rng=rng
    )
    assert len(table) == 1
    row = table.iloc[0]
    a, b = (verdicts[verdicts["model"] == m].reset_index(drop=True) for m in "ab")
    direct = measure.paired_difference(
        measure.brier_score,
        a["confidence"], a["correct"].astype(float),
        b["confidence"], b["correct"].astype(float),
        groups=a["image_id"], n_resamples=3000, rng=rng,
    )  # fmt: skip
    assert row["difference"] == pytest.approx(direct.estimate)
    width = direct.high - direct.low
    assert row["low"] == pytest.approx(direct.low, abs=0.1 * width)
    assert row["high"] == pytest.approx(direct.high, abs=0.1 * width)
    assert (row["a"], row["b"], row["n_a"], row["n_b"]) == ("a", "b", 240, 240)


def test_paired_differences_use_common_items_only(verdicts, rng):
    fewer = verdicts.drop(index=range(60))
    table = measure.difference_table(
        fewer, compare="model", by=(), stat="accuracy", n_resamples=200, rng=rng
    )
    assert table.loc[0, "n_a"] == 180
    common = verdicts[verdicts["item_id"].isin([f"i{i}" for i in range(60, 240)])]
    rate = common.groupby("model")["correct"].mean()
    assert table.loc[0, "difference"] == pytest.approx(rate["a"] - rate["b"])


def test_holm_counts_all_rows_of_the_table(rng):
    n = 120
    hard = rng.random(n)
    rows = [
        pd.DataFrame(
            {
                "model": "m",
                "dataset": "d",
                "strategy": name,
                "item_id": np.arange(n),
                "image_id": np.arange(n),
                "confidence": np.clip(hard + shift, 0, 1),
                "correct": (hard > 0.5).astype(int),
            }
        )
        for name, shift in (("s1", 0.0), ("s2", 0.01), ("s3", 0.2), ("s4", 0.21))
    ]
    table = measure.difference_table(pd.concat(rows), stat="brier", n_resamples=1999, rng=rng)
    assert len(table) == 6
    assert table["p_holm"].tolist() == measure.holm(table["p"]).tolist()
    assert table.loc[(table["a"] == "s1") & (table["b"] == "s3"), "differs"].all()
    reference = measure.difference_table(
        pd.concat(rows), stat="brier", reference="s1", n_resamples=1999, rng=rng
    )
    assert reference["b"].tolist() == ["s1"] * 3


def test_too_few_resamples_for_the_family_are_warned_of(rng, verdicts):
    many = pd.concat(
        [verdicts[verdicts["model"] == "a"].assign(strategy=f"s{i}") for i in range(5)]
    )
    with pytest.warns(MeasureWarning, match="use at least 400"):
        measure.difference_table(many, stat="accuracy", n_resamples=100, rng=rng)


def test_unpaired_differences_between_modalities(verdicts, rng):
    one = verdicts[verdicts["model"] == "a"]
    table = measure.difference_table(
        one, compare="modality", by=("model",), stat="accuracy", paired=False,
        groups=None, n_resamples=4000, rng=rng,
    )  # fmt: skip
    row = table.iloc[0]
    ct, mri = (one[one["modality"] == m]["correct"].astype(float) for m in ("ct", "mri"))
    assert row["difference"] == pytest.approx(ct.mean() - mri.mean())
    error = math.sqrt(ct.var(ddof=0) / len(ct) + mri.var(ddof=0) / len(mri))
    assert (row["high"] - row["low"]) / 2 == pytest.approx(1.96 * error, rel=0.08)


def test_an_item_answered_twice_is_refused(verdicts, rng):
    twice = pd.concat([verdicts, verdicts.iloc[:1]])
    with pytest.raises(ValueError, match="'a' answers 1 items more than once"):
        measure.difference_table(twice, compare="model", by=(), rng=rng)
    with pytest.raises(ValueError, match="reference 'z' does not occur"):
        measure.difference_table(verdicts, compare="model", by=(), reference="z", rng=rng)
