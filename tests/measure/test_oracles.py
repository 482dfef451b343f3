"""Agreement with R's rms, pROC and metafor, and with calzone, dcurves and pmvalsampsize."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit, ndtri

from medcal_nb import measure
from medcal_nb.answers.recorded import load_recorded

ORACLES = pd.read_csv(Path(__file__).parent / "oracles" / "oracles.csv")
CLIP = 0.005
DATA = {
    "qwen_verbalized": ("Qwen3-VL-8B-Instruct", "verbalized"),
    "internvl_pik": ("InternVL3_5-14B-HF", "probe_pik"),
    "deepseek_bicr": ("deepseek-vl2", "probe_bicr"),
}


def oracle(data, quantity):
    rows = ORACLES[(ORACLES["data"] == data) & (ORACLES["quantity"] == quantity)]
    return float(rows["value"].iloc[0])


@pytest.fixture(scope="module")
def answers():
    recorded = load_recorded("vlcb", dataset="GMAI-MMBench")
    pairs = {}
    for name, (model, strategy) in DATA.items():
        one = recorded[
            (recorded["model"] == model) & (recorded["strategy"] == strategy)
        ]
        confidence = one["confidence"].to_numpy(float)
        pairs[name] = confidence, one["correct"].to_numpy(float)
    return pairs


@pytest.mark.parametrize("name", DATA)
def test_scores_are_those_of_val_prob(name, answers):
    c, y = answers[name]
    inside = np.clip(c, CLIP, 1 - CLIP)
    assert len(c) == 4549
    brier = measure.brier_score(inside, y)
    assert brier == pytest.approx(oracle(name, "val.prob Brier"), abs=1e-9)
    area = measure.auroc(inside, y)
    assert area == pytest.approx(oracle(name, "val.prob C (ROC)"), abs=1e-9)
    slope = measure.calibration_slope(c, y, clip=CLIP)
    assert slope == pytest.approx(oracle(name, "val.prob Slope"), abs=1e-8)
    intercept = measure.calibration_intercept(c, y, clip=CLIP)
    expected = oracle(name, "intercept with slope fixed at 1")
    assert intercept == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("name", DATA)
def test_smooth_errors_differ_by_their_smoother_alone(name, answers):
    c, y = answers[name]
    inside = np.clip(c, CLIP, 1 - CLIP)
    index = measure.ici(inside, y)
    assert index == pytest.approx(oracle(name, "val.prob Eavg"), abs=0.002)
    assert index == pytest.approx(oracle(name, "Loess ICI"), abs=0.005)
    ninth = measure.e90(inside, y)
    assert ninth == pytest.approx(oracle(name, "val.prob E90"), abs=0.01)
    assert measure.e50(inside, y) <= ninth


@pytest.mark.parametrize("name", DATA)
def test_auroc_and_its_interval_are_those_of_proc(name, answers):
    test = measure.auroc_test(*answers[name])
    assert test["auroc"] == pytest.approx(oracle(name, "AUROC"), abs=1e-9)
    # Student's t with thousands of degrees for pROC's normal
    assert test["low"] == pytest.approx(oracle(name, "AUROC DeLong low"), abs=2e-5)
    assert test["high"] == pytest.approx(oracle(name, "AUROC DeLong high"), abs=2e-5)
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


@pytest.mark.parametrize("name", DATA)
def test_net_benefit_is_that_of_dcurves(name, answers):
    c, y = answers[name]
    thresholds = np.round(np.arange(0.05, 0.55, 0.05), 2)
    table = measure.net_benefit_table(
        c, y, thresholds=thresholds, n_resamples=2, rng=np.random.default_rng(0)
    )
    on_threshold = np.abs(1 - c[:, None] - thresholds).min(axis=0) < 1e-9
    for k, t in enumerate(thresholds):
        everything = oracle(name, f"net_benefit all at {t:g}")
        assert table["check_all"][k] == pytest.approx(everything, abs=1e-9)
        if not on_threshold[k]:  # dcurves compares 1 − 0.9 > 0.1 in floating point
            expected = oracle(name, f"net_benefit risk at {t:g}")
            assert table["net_benefit"][k] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("method", ["REML", "DL"])
@pytest.mark.parametrize("adjusted", [False, True])
def test_heterogeneity_is_that_of_metafor(method, adjusted):
    estimates = [31.8, 26.5, 49.1, 29.3, 47.0]
    errors = [0.74, 0.78, 0.71, 0.70, 0.70]
    row = measure.heterogeneity_table(
        estimates, errors, method=method.lower(), knapp_hartung=adjusted
    ).iloc[0]
    name = "overconfidence"
    assert row["mean"] == pytest.approx(oracle(name, f"{method} mean"), abs=1e-5)
    assert row["tau2"] == pytest.approx(oracle(name, f"{method} tau2"), rel=1e-6)
    assert 100 * row["i2"] == pytest.approx(oracle(name, f"{method} I2"), abs=1e-5)
    kind = "Knapp-Hartung PI" if adjusted else "PI"
    low = oracle(name, f"{method} {kind} low")
    high = oracle(name, f"{method} {kind} high")
    assert row["prediction_low"] == pytest.approx(low, abs=1e-4)
    assert row["prediction_high"] == pytest.approx(high, abs=1e-4)


@pytest.mark.parametrize(("rate", "area"), [(0.5, 0.6), (0.6, 0.75), (0.1, 0.7)])
def test_sample_sizes_are_those_of_pmvalsampsize(rate, area):
    normal = ndtri((np.arange(20_001) + 0.5) / 20_001)
    confidence = expit(logit(rate) + normal)
    table = measure.precision_sample_size(confidence, accuracy=rate, auroc=area)
    data = (
        f"prevalence {rate:g}, C {area:g}, logits normal(logit prevalence, 1), seed 1"
    )
    names = ("n for O:E, 95% CI width .2", "n for slope, 95% CI width .2")
    for name, n in zip((*names, "n for C, 95% CI width .1"), table["n"], strict=True):
        # pmvalsampsize steps through standard errors, and simulates the log-odds
        assert n == pytest.approx(oracle(data, name), rel=0.004)
