"""Agreement with R's rms, pROC and metafor, and with calzone, dcurves and pmvalsampsize."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit, ndtri
from scipy.stats import chi2

from medcal_nb import measure
from medcal_nb.answers.recorded import load_recorded
from medcal_nb.measure.resampling import fit_logistic, within

ORACLES = pd.read_csv(Path(__file__).parent / "oracles" / "oracles.csv")
CLIP = 0.005
DATA = {
    "qwen_verbalized": ("Qwen3-VL-8B-Instruct", "verbalized"),
    "internvl_pik": ("InternVL3_5-14B-HF", "probe_pik"),
    "deepseek_bicr": ("deepseek-vl2", "probe_bicr"),
}
ALL = (*DATA, "viper_high")


def oracle(data, quantity):
    rows = ORACLES[(ORACLES["data"] == data) & (ORACLES["quantity"] == quantity)]
    return float(rows["value"].iloc[0])


@pytest.fixture(scope="module")
def answers():
    recorded = load_recorded("vlcb").query("dataset == 'GMAI-MMBench'")
    pairs = {}
    for name, (model, strategy) in DATA.items():
        one = recorded.query(f"model == {model!r} and strategy == {strategy!r}")
        confidence = one["confidence"].to_numpy(float)
        pairs[name] = confidence, one["correct"].to_numpy(float)
    readers = load_recorded("viper").query("dataset == 'screeningHighP'")
    confidence = readers["confidence"].to_numpy(float)
    pairs["viper_high"] = confidence, readers["correct"].to_numpy(float)
    return pairs


@pytest.mark.parametrize("name", ALL)
def test_scores_are_those_of_val_prob(name, answers):
    c, y = answers[name]
    inside = np.clip(c, CLIP, 1 - CLIP)
    assert len(c) == (2390 if name == "viper_high" else 4549)
    brier = measure.brier_score(inside, y)
    assert brier == pytest.approx(oracle(name, "val.prob Brier"), abs=1e-9)
    area = measure.auroc(inside, y)
    assert area == pytest.approx(oracle(name, "val.prob C (ROC)"), abs=1e-9)
    assert 2 * area - 1 == pytest.approx(oracle(name, "val.prob Dxy"), abs=1e-9)
    slope = measure.calibration_slope(c, y, clip=CLIP)
    assert slope == pytest.approx(oracle(name, "val.prob Slope"), abs=1e-8)
    intercept = measure.calibration_intercept(c, y, clip=CLIP)
    expected = oracle(name, "intercept with slope fixed at 1")
    assert intercept == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("name", ALL)
def test_the_logistic_fit_has_the_errors_of_calzone(name, answers):
    c, y = answers[name]
    log_odds = logit(np.clip(c, CLIP, 1 - CLIP))
    features = np.column_stack([np.ones(y.size), log_odds])
    ones = np.ones((1, y.size))
    theta, information = fit_logistic(features, y[None] @ features, ones)
    error = np.sqrt(np.diag(np.linalg.inv(information[0])))
    for k, part in enumerate(("intercept", "coef")):
        half = ndtri(0.975) * error[k]
        fitted = theta[0, k]
        assert fitted == pytest.approx(oracle(name, f"COX {part}"), abs=1e-8)
        low = oracle(name, f"COX {part} lowerci")
        high = oracle(name, f"COX {part} upperci")
        assert fitted - half == pytest.approx(low, abs=1e-6)
        assert fitted + half == pytest.approx(high, abs=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_binned_errors_are_those_of_calzone(name, answers):
    c, y = answers[name]
    inside = np.clip(c, CLIP, 1 - CLIP)
    error = measure.ece(inside, y, n_bins=10)
    assert error == pytest.approx(oracle(name, "ECE-H"), abs=1e-9)
    table = measure.reliability_table(inside, y, n_bins=10)
    table = table[table["n"] > 0]
    expected = table["mean_confidence"]
    off = table["accuracy"] - expected
    statistic = (table["n"] * off**2 / (expected * (1 - expected))).sum()
    assert statistic == pytest.approx(oracle(name, "HL-H score"), rel=1e-8)
    assert chi2.sf(statistic, len(table)) < 1e-12
    # of its 25 different numbers calzone splits ties, ours does not
    if name != "qwen_verbalized":
        error = measure.ece_mass(inside, y, n_bins=10)
        assert error == pytest.approx(oracle(name, "ECE-C"), abs=4e-4)


@pytest.mark.parametrize("name", ALL)
def test_ici_differs_by_the_smoother_alone(name, answers):
    c, y = answers[name]
    inside = np.clip(c, CLIP, 1 - CLIP)
    index = measure.ici(inside, y)
    assert index == pytest.approx(oracle(name, "val.prob Eavg"), abs=0.002)
    assert index == pytest.approx(oracle(name, "Loess ICI"), abs=0.005)


@pytest.mark.parametrize("name", ALL)
def test_auroc_and_its_interval_are_those_of_proc(name, answers):
    c, y = answers[name]
    if name == "viper_high":  # scores of 201 stay above those of 200 there
        readers = load_recorded("viper").query("dataset == 'screeningHighP'")
        c = readers["score"].to_numpy(float) / 201
    test = measure.auroc_test(c, y)
    assert test["auroc"] == pytest.approx(oracle(name, "AUROC"), abs=1e-9)
    # the ends of pROC's normal interval, gone on the log-odds; Student's t has hundreds of degrees
    below = test["auroc"] - oracle(name, "AUROC DeLong low")
    above = oracle(name, "AUROC DeLong high") - test["auroc"]
    low, high = within(test["auroc"], below, above, (0.0, 1.0))
    assert test["low"] == pytest.approx(low, abs=3e-5)
    assert test["high"] == pytest.approx(high, abs=3e-5)
    assert test["conclusion"] == "discriminates"


def test_two_samples_differ_as_in_proc(answers):
    a = answers["qwen_verbalized"]
    b = answers["internvl_pik"]
    row = measure.auroc_difference(*a, *b)
    name = "qwen_verbalized against internvl_pik"
    error = (row["high"] - row["low"]) / (2 * ndtri(0.975))
    statistic = row["difference"] / error
    expected = oracle(name, "unpaired DeLong statistic")
    assert statistic == pytest.approx(expected, rel=1e-3)
    assert row["p"] == pytest.approx(oracle(name, "unpaired DeLong p"), rel=0.1)


@pytest.mark.parametrize("name", ALL)
def test_expected_costs_are_those_of_dcurves_net_benefit(name, answers):
    c, y = answers[name]
    graded = pd.DataFrame({"item_id": range(len(c)), "confidence": c, "correct": y})
    thresholds = np.round(np.arange(0.05, 0.55, 0.05), 2)
    table = measure.expected_cost_table(
        graded, ratios=1 / thresholds, n_resamples=2, rng=np.random.default_rng(0)
    )
    gained = table["checking_none"] - table["deferring"]
    all_gained = table["checking_none"] - 1
    for k, t in enumerate(thresholds):
        unit = (1 - t) / t
        everything = oracle(name, f"net_benefit all at {t:g}")
        assert all_gained[k] / unit == pytest.approx(everything, abs=1e-9)
        if np.abs(1 - c - t).min() > 1e-9:  # nobody is at the threshold
            expected = oracle(name, f"net_benefit risk at {t:g}")
            assert gained[k] / unit == pytest.approx(expected, abs=1e-9)


def test_heterogeneity_is_that_of_metafor():
    estimates = [31.8, 26.5, 49.1, 29.3, 47.0]
    errors = [0.74, 0.78, 0.71, 0.70, 0.70]
    row = measure.heterogeneity_table(estimates, errors).iloc[0]
    name = "overconfidence"
    assert row["mean"] == pytest.approx(oracle(name, "REML mean"), abs=1e-5)
    assert row["tau2"] == pytest.approx(oracle(name, "REML tau2"), rel=1e-6)
    assert 100 * row["i2"] == pytest.approx(oracle(name, "REML I2"), abs=1e-5)
    for end in ("low", "high"):
        expected = oracle(name, f"REML Knapp-Hartung PI {end}")
        assert row[f"prediction_{end}"] == pytest.approx(expected, abs=1e-4)
    few = measure.heterogeneity_table(estimates[:4], errors[:4]).iloc[0]
    assert np.isnan(few["prediction_low"])


@pytest.mark.parametrize(("rate", "area"), [(0.5, 0.6), (0.6, 0.75), (0.1, 0.7)])
def test_sample_sizes_are_those_of_pmvalsampsize(rate, area):
    normal = ndtri((np.arange(20_001) + 0.5) / 20_001)
    confidence = expit(logit(rate) + normal)
    table = measure.precision_sample_size(confidence, accuracy=rate, auroc=area)
    kind = "logits normal(logit prevalence, 1), seed 1"
    data = f"prevalence {rate:g}, C {area:g}, {kind}"
    names = ("n for O:E, 95% CI width .2", "n for slope, 95% CI width .2")
    for name, n in zip((*names, "n for C, 95% CI width .1"), table["n"], strict=True):
        # pmvalsampsize steps through standard errors, and simulates the log-odds
        assert n == pytest.approx(oracle(data, name), rel=0.004)
