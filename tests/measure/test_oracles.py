"""Agreement with R's rms, pROC and metafor, calzone, dcurves, torch-uncertainty, CRL."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit, ndtri, stdtrit

from medcal_nb import measure
from medcal_nb.answers.recorded import load_recorded
from medcal_nb.measure import planning
from medcal_nb.measure.ranking import auroc_difference
from medcal_nb.measure.resampling import fit_logistic, within

ORACLES = pd.read_csv(Path(__file__).parent / "oracles" / "oracles.csv")
CLIP = 0.005
DATA = {
    "qwen_self_probing": ("Qwen3-VL-8B-Instruct", "self_probing"),
    "internvl_pik": ("InternVL3_5-14B-HF", "probe_pik"),
    "deepseek_bicr": ("deepseek-vl2", "probe_bicr"),
}


def oracle(data, quantity):
    rows = ORACLES[(ORACLES["data"] == data) & (ORACLES["quantity"] == quantity)]
    return float(rows["value"].iloc[0])


@pytest.fixture(scope="module")
def answers(five):
    recorded = five[five["dataset"] == "GMAI-MMBench"]
    parts = {"viper_high": load_recorded("viper").query("dataset == 'screeningHighP'")}
    for name, (model, strategy) in DATA.items():
        parts[name] = recorded.query(f"model == {model!r} and strategy == {strategy!r}")
    columns = ["confidence", "correct"]
    return {k: part[columns].to_numpy(float).T for k, part in parts.items()}


def first_of_each(c, y):
    """The first answer of each confidence: others break ties by the order of rows."""
    _, first = np.unique(c, return_index=True)
    return c[first], y[first]


@pytest.fixture(params=[*DATA, "viper_high"])
def name(request):
    return request.param


@pytest.fixture
def of(name):
    """A number of the oracles about one data set."""
    return partial(oracle, name)


@pytest.mark.parametrize("name", ["internvl_pik", "deepseek_bicr"])
def test_the_excess_area_is_that_of_its_published_code(name, answers, of):
    """Moon et al. 2020: the mean risk, less the limit of the least area for many answers."""
    c, y = first_of_each(*answers[name])
    assert measure.aurc(c, y) == pytest.approx(of("AURC of CRL"), abs=1e-9)
    least = measure.aurc(y, y)  # every right answer before every wrong one
    share = 1 - y.mean()
    limit = share + (1 - share) * np.log(1 - share)
    excess = measure.e_aurc(c, y)
    assert excess + least - limit == pytest.approx(of("E-AURC of CRL"), abs=1e-9)
    assert excess == pytest.approx(of("E-AURC of CRL"), abs=1 / y.size)


@pytest.mark.parametrize("name", ["internvl_pik", "deepseek_bicr"])
def test_risks_over_coverage_are_those_of_torch_uncertainty(name, answers, of):
    c, y = first_of_each(*answers[name])
    n = c.size
    # its area joins the n risks by trapezes: half of the first and of the last are missing
    ends = 1 - y[c.argmax()] + 1 - y.mean()
    area = (n * measure.aurc(c, y) - ends / 2) / (n - 1)
    assert area == pytest.approx(of("AURC"), abs=1e-8)
    coverage = np.ceil(0.8 * n) / n
    accuracy = measure.accuracy_at_coverage(c, y, coverage=coverage)
    assert accuracy == pytest.approx(1 - of("RiskAt80Cov"), abs=1e-8)


def test_scores_are_those_of_val_prob(name, answers, of):
    c, y = answers[name]
    inside = np.clip(c, CLIP, 1 - CLIP)
    assert measure.brier_score(inside, y) == pytest.approx(
        of("val.prob Brier"), abs=1e-9
    )
    assert measure.auroc(inside, y) == pytest.approx(of("val.prob C (ROC)"), abs=1e-9)
    slope = measure.calibration_slope(inside, y)
    assert slope == pytest.approx(of("val.prob Slope"), abs=1e-8)
    intercept = measure.calibration_intercept(inside, y)
    assert intercept == pytest.approx(of("intercept with slope fixed at 1"), abs=1e-7)


def test_the_logistic_fit_has_the_errors_of_calzone(name, answers, of):
    c, y = answers[name]
    log_odds = logit(np.clip(c, CLIP, 1 - CLIP))
    features = np.column_stack([np.ones(y.size), log_odds])
    ones = np.ones((1, y.size))
    theta, information = fit_logistic(features, y[None] @ features, ones)
    half = ndtri(0.975) * np.sqrt(np.diag(np.linalg.inv(information[0])))
    for k, part in enumerate(("COX intercept", "COX coef")):
        fitted = theta[0, k]
        assert fitted == pytest.approx(of(part), abs=1e-8)
        assert fitted - half[k] == pytest.approx(of(f"{part} lowerci"), abs=1e-6)
        assert fitted + half[k] == pytest.approx(of(f"{part} upperci"), abs=1e-6)


def test_binned_errors_are_those_of_calzone(name, answers, of):
    c, y = answers[name]
    inside = np.clip(c, CLIP, 1 - CLIP)
    assert measure.ece(inside, y, n_bins=10) == pytest.approx(of("ECE-H"), abs=1e-9)
    table = measure.value_table(inside, y, n_bins=10)
    expected = table["confidence"]
    off = table["accuracy"] - expected
    statistic = (table["n"] * off**2 / (expected * (1 - expected))).sum()
    assert statistic == pytest.approx(of("HL-H score"), rel=1e-8)


def test_auroc_and_its_interval_are_those_of_proc(name, answers, of):
    c, y = answers[name]
    if name == "viper_high":  # scores of 201 stay above those of 200 there
        readings = load_recorded("viper").query("dataset == 'screeningHighP'")
        c = readings["score"].to_numpy(float) / 201
    test = measure.auroc_test(c, y)
    assert test["auroc"] == pytest.approx(of("AUROC"), abs=1e-9)
    # the ends of pROC's normal interval, gone on the log-odds; Student's t has hundreds of degrees
    below = test["auroc"] - of("AUROC DeLong low")
    above = of("AUROC DeLong high") - test["auroc"]
    ends = within(test["auroc"], below, above, (0.0, 1.0))
    assert test[["low", "high"]].tolist() == pytest.approx(ends, abs=3e-5)
    assert test["p"] < 0.05


def test_two_samples_differ_as_in_proc(answers):
    of = partial(oracle, "qwen_self_probing against internvl_pik")
    pairs = answers["qwen_self_probing"], answers["internvl_pik"]
    row = auroc_difference(*pairs, np.arange(2 * 4549), 0.95)
    width = row["difference_high"] - row["difference_low"]
    statistic = 2 * ndtri(0.975) * row["difference"] / width
    assert statistic == pytest.approx(of("unpaired DeLong statistic"), rel=1e-3)
    assert row["p"] == pytest.approx(of("unpaired DeLong p"), rel=0.1)


def test_expected_costs_are_those_of_dcurves_net_benefit(name, answers, of):
    c, y = answers[name]
    graded = pd.DataFrame({"item_id": range(len(c)), "confidence": c, "correct": y})
    thresholds = np.round(np.arange(0.05, 0.55, 0.05), 2)
    how = {"ratios": 1 / thresholds, "ci": measure.Bootstrap(n=2)}
    table = measure.expected_cost_table(graded, **how)
    unit = (1 - thresholds) / thresholds
    gained = (table["checking_none"] - table["deferring"]) / unit
    all_gained = (table["checking_none"] - 1) / unit
    for k, t in enumerate(thresholds):
        everything = of(f"net_benefit all at {t:g}")
        assert all_gained[k] == pytest.approx(everything, abs=1e-9)
        assert table["net_benefit_all"][k] == pytest.approx(everything, abs=1e-9)
        if np.abs(1 - c - t).min() > 1e-9:  # nobody is at the threshold
            expected = pytest.approx(of(f"net_benefit risk at {t:g}"), abs=1e-9)
            assert [gained[k], table["net_benefit"][k]] == [expected, expected]


def test_heterogeneity_is_that_of_metafor():
    estimates = np.array([31.8, 26.5, 49.1, 29.3, 47.0])
    errors = [0.74, 0.78, 0.71, 0.70, 0.70]
    half = ndtri(0.975) * np.array(errors)
    low = estimates - half
    row = measure.heterogeneity_table(estimates, low, estimates + half).iloc[0]
    of = partial(oracle, "overconfidence")
    assert row["mean"] == pytest.approx(of("REML mean"), abs=1e-5)
    assert row["tau"] ** 2 == pytest.approx(of("REML tau2"), rel=1e-6)
    for end in ("low", "high"):
        expected = of(f"REML Knapp-Hartung PI {end}") - row["mean"]
        expected *= stdtrit(3, 0.975) / stdtrit(4, 0.975)  # metafor's has k - 1 degrees
        assert row[f"prediction_{end}"] - row["mean"] == pytest.approx(
            expected, abs=1e-4
        )
    few = (column[:4] for column in (estimates, low, estimates + half))
    few = measure.heterogeneity_table(*few).iloc[0]
    assert np.isnan(few["prediction_low"])


@pytest.mark.parametrize(("rate", "area"), [(0.5, 0.6), (0.6, 0.75), (0.1, 0.7)])
def test_sample_sizes_are_those_of_pmvalsampsize(rate, area):
    normal = ndtri((np.arange(20_001) + 0.5) / 20_001)
    confidence = expit(logit(rate) + normal)
    sizes = planning._sizes(confidence, rate, area)
    kind = "logits normal(logit prevalence, 1), seed 1"
    of = partial(oracle, f"prevalence {rate:g}, C {area:g}, {kind}")
    widths = ("O:E, 95% CI width .2", "slope, 95% CI width .2", "C, 95% CI width .1")
    # pmvalsampsize steps through standard errors, and simulates the log-odds
    expected = [of(f"n for {width}") for width in widths]
    assert sizes == pytest.approx(expected, rel=0.004)


def test_the_calibration_error_is_that_of_netcal(rng):
    from netcal.metrics import ECE

    confidence = rng.uniform(
        0.05, 0.95, 500
    )  # none on an edge, which netcal counts above
    correct = (rng.random(500) < confidence**2).astype(int)
    theirs = ECE(15).measure(confidence, correct)
    assert measure.ece(confidence, correct) == pytest.approx(theirs, rel=1e-9)


def test_errors_without_bins_are_those_of_their_definitions(name, answers):
    """Smooth ECE is as large as the width of its kernel, reflected at 0 and 1 again and again."""
    from scipy.stats import norm
    from sklearn.isotonic import IsotonicRegression

    c, y = answers[name]
    c = c.round(2)
    width = measure.smooth_ece(c, y)
    values, cell = np.unique(c, return_inverse=True)
    residual = np.bincount(cell, y - c) / c.size
    places = (np.arange(2000)[:, None] + 0.5) / 2000
    height = np.zeros(2000)
    for turn in range(-8, 9, 2):
        for image in (values + turn, turn - values):
            height += norm.pdf(places, image, width) @ residual
    assert np.abs(height).mean() == pytest.approx(width, abs=1e-4)
    curve = IsotonicRegression(out_of_bounds="clip").fit(c, y).predict(c)
    assert measure.ici(c, y) == pytest.approx(np.abs(curve - c).mean(), abs=1e-9)
