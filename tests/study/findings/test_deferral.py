"""What is concluded about deferral, on every branch."""

import numpy as np
import pandas as pd
import pytest

from medcal_nb.study.findings import deferral
from tests.study.findings.rules import faults


def choice(conclusions):
    n = len(conclusions)
    if n == 0:
        return pd.DataFrame()
    return pd.DataFrame(
        {
            "strategy": [f"method-{k}" for k in range(n)],
            "map": ["recalibrated", *["uncorrected"] * (n - 1)],
            "chosen": [conclusion == "chosen" for conclusion in conclusions],
            "conclusion": conclusions,
            "share_chosen": [0.96, *[0.0] * (n - 1)],
            "cost": 0.192,
            "cost_low": 0.19,
            "cost_high": 0.195,
            "margin": 0.01,
            "n": 4549,
            "n_splits": 25,
        }
    )


@pytest.mark.parametrize(
    ("conclusions", "words"),
    [
        ([], "No method was chosen"),
        (["chosen"], "cost least in 96 % of 25 random splits"),
        (["chosen", "dearer"], "no other method was shown to be equivalent"),
        (["chosen", "equivalent", "dearer"], "method-1 was equivalent within 0.010"),
        (["chosen", *["equivalent"] * 5], "five other methods were equivalent"),
    ],
)
def test_choice_of_method(conclusions, words):
    finding = deferral.choice_of_method(choice(conclusions))
    assert words in finding.claim
    assert not faults(finding)


def coverage(*methods, n_images=0):
    """Rows of (strategy, coverage, certified, observed coverage)."""
    columns = ["strategy", "coverage", "certified", "observed_coverage"]
    table = pd.DataFrame(list(methods), columns=columns)
    table = table.assign(n=4549, n_fit=2274.0, n_images=n_images)
    return table.assign(risk=0.172, risk_low=0.14, risk_high=0.21)


NONE = ("verbalized", 0.0, 0.0, 0.0)
PROBE = ("probe_pik", 0.19, 1.0, 0.24)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (coverage(NONE, PROBE), "verbalized confidence retained none"),
        (coverage(NONE, PROBE), "17 % were wrong (95 % CI 14–21)"),
        (coverage(PROBE), "P(IK) retained 19 % of held-out answers"),
        (
            coverage(NONE),
            "No threshold of verbalized confidence could be certified at a risk of 20 % with",
        ),
        (coverage(("p_true", 0.02, 0.04, 0.3)), "in 4 % of random splits only"),
        (coverage(PROBE, n_images=400), "on 200 images"),
    ],
)
def test_certified_coverage(table, words):
    finding = deferral.certified_coverage(
        table, target=0.2, delta=0.1, beside="verbalized"
    )
    assert words in finding.claim
    assert not faults(finding)
    # one answer to one question: a title that agrees, on one line
    assert len(finding.title) <= 60
    assert ("Too few" in finding.title) == ("retained" not in finding.claim)


def certificates(shares, n_images=0):
    n = len(shares)
    table = pd.DataFrame({"n_fit": [100, 200, 400][:n], "certified": shares})
    low = np.maximum(table["certified"] - 0.03, 0)
    table = table.assign(certified_low=low, certified_high=table["certified"] + 0.03)
    table = table.assign(n=4549)
    return table.assign(strategy="probe_pik", n_images=n_images)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (
            certificates([0.0, 0.1, 0.18]),
            "in none of samples of 100 and in 18 % of samples of 400 labelled answers (95 % CI",
        ),
        (certificates([0.0, 0.0, 0.0]), "With up to 400 labelled answers no threshold"),
        (
            certificates([0.18], n_images=9),
            "in 18 % of samples of 100 labelled images (95 % CI",
        ),
    ],
)
def test_certificate_sizes(table, words):
    finding = deferral.certificate_sizes(table, target=0.2)
    assert words in finding.claim
    assert not faults(finding)
    assert 0 < len(finding.title) <= 60


def benefit(paying):
    """Of each stage the exchange rates at which deferral pays, of 1, 2 and 4."""
    rows = []
    for stage, rates in paying.items():
        for rate in (1.0, 2.0, 4.0):
            gain = 0.02 if rate in rates else -0.01
            rows.append(
                {
                    "stage": stage,
                    "exchange_rate": rate,
                    "advantage": gain,
                    "advantage_low": gain - 0.005,
                    "advantage_high": gain + 0.005,
                    "n": 100,
                    "n_images": 0,
                }
            )
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("paying", "words"),
    [
        ({"uncorrected": []}, "showed no net benefit over checking all or none"),
        ({"uncorrected": [1.0]}, "when a missed error cost 1.0 (uncorrected) checks"),
        (
            {"uncorrected": [1.0], "refitted": [1.0, 2.0, 4.0]},
            "1.0 (uncorrected) and 1.0 to 4.0 (refitted) checks",
        ),
    ],
)
def test_net_benefit(paying, words):
    table = benefit(paying)
    finding = deferral.net_benefit(table, strategy="verbalized")
    assert words in finding.claim
    assert not faults(finding)
    assert 0 < len(finding.title) <= 60


def test_the_title_names_the_stage_that_pays_longest():
    table = benefit({"uncorrected": [1.0], "refitted": [1.0, 2.0], "transferred": []})
    title = deferral.net_benefit(table, strategy="verbalized").title
    assert title == "Refitted, deferral pays at 1.0 to 2.0 checks per error"
    table = benefit({"refitted": [2.0, 4.0]})
    title = deferral.net_benefit(table, strategy="verbalized").title
    assert title == "Refitted, deferral pays at 2.0 or more checks per error"


def test_certificates_that_are_hardly_ever_reached_are_not_listed():
    finding = deferral.certificate_sizes(certificates([0.01, 0.02, 0.001]), target=0.2)
    assert "in at most 2 % of samples" in finding.claim
    assert finding.title == "Even 400 labels hardly ever certify a threshold"


def shift(risks):
    table = pd.DataFrame({"test_risk": risks, "strategy": "p_true"})
    return table.assign(test_risk_low=0.1, test_risk_high=0.5)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (pd.DataFrame(), "no threshold was certified on general images"),
        (shift([np.nan]), "no threshold was certified on general images"),
        (shift([0.1, 0.15]), "Both thresholds certified at a risk of 20 % on general"),
        (shift([0.1, 0.48]), "One of two thresholds certified"),
        (
            shift([0.3, 0.48]),
            "exceeded it on medical images; the highest risk was 48 %",
        ),
    ],
)
def test_shifted_thresholds(table, words):
    finding = deferral.shifted_thresholds(
        table, target=0.2, source_name="general images", target_name="medical images"
    )
    assert words in finding.claim
    assert not faults(finding)


def test_one_data_set_shows_no_shift():
    finding = deferral.shifted_thresholds(
        pd.DataFrame(), target=0.2, source_name="", target_name="own"
    )
    assert "there is one data set alone" in finding.claim
    assert not faults(finding)


def policies(best, high):
    rows = [(best, 0.15, -0.1, high), ("model alone", 0.25, 0.0, 0.0)]
    if best == "model alone":
        rows = [("model alone", 0.25, 0.0, 0.0), ("reader alone", 0.4, 0.1, 0.2)]
    columns = ["policy", "cost", "difference", "difference_high"]
    table = pd.DataFrame(rows, columns=columns)
    table = table.assign(difference_low=-0.15, n=180, n_readers=3, n_cases=60)
    return table.assign(cost_low=table["cost"] - 0.05, cost_high=table["cost"] + 0.05)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (pd.DataFrame(), "no reader decided these cases"),
        (policies("reader alone", -0.02), "0.10 below that of the model alone"),
        (policies("reader alone", 0.03), "to the model alone (0.25) was inconclusive"),
        (policies("model alone", 0.0), "“model alone” had the lowest expected cost"),
    ],
)
def test_who_decides(table, words):
    finding = deferral.who_decides(table)
    assert words in finding.claim
    assert not faults(finding)


def test_reliance():
    table = pd.DataFrame(
        {
            "model_correct": [True, False],
            "n": [30, 20],
            "n_wrong_alone": [15, 9],
            "put_right": [12, 1],
            "put_right_share": [0.8, 0.11],
            "put_right_share_low": [0.55, 0.02],
            "put_right_share_high": [0.93, 0.44],
            "n_right_alone": [15, 11],
            "made_wrong": [1, 4],
            "made_wrong_share": [0.07, 0.36],
            "made_wrong_share_low": [0.01, 0.15],
            "made_wrong_share_high": [0.3, 0.65],
        }
    )
    both = deferral.reliance(table)
    assert "put right 12 of 15 wrong answers" in both.claim
    assert "made wrong 4 of 11 right answers" in both.claim
    wrong_alone = deferral.reliance(table[1:])
    assert wrong_alone.claim.startswith("After seeing the model, readers made wrong 4")
    assert wrong_alone.estimate == 0.36
    nothing = deferral.reliance(table[:0])
    assert "do not show" in nothing.claim
    for finding in (both, wrong_alone, nothing):
        assert not faults(finding)
