"""The words that all sentences are written with."""

import doctest
import math

import numpy as np
import pytest

from medcal_nb.study.findings import Finding, finding
from medcal_nb.study.findings.finding import (
    ci,
    counted,
    decimal,
    extent,
    listed,
    percent,
    points,
    sentence,
)
from tests.study.findings.rules import faults


def finding_of(claim, **more):
    values = {"estimate": 0.5, "interval": (0.4, 0.6), "n": 10, "method": "Wilson"}
    return Finding(claim=claim, **(values | more))


def test_examples_run():
    assert doctest.testmod(finding).failed == 0


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.715, "72 %"), (0.1 + 0.2 + 0.415, "72 %"), (1.0, "100 %"), (math.nan, "–")],
)
def test_percent_rounds_a_half_up_however_it_was_summed(share, text):
    assert percent(share) == text


def test_points_have_no_sign_and_one_is_singular():
    assert points(-0.49) == "49 percentage points"
    assert points(0.01) == "1 percentage point"
    assert points(0.0) == "0 percentage points"


def test_decimal_keeps_two_digits_that_matter_and_no_minus_zero():
    assert decimal(0.00005) == "0.0001"
    assert decimal(-0.00001) == "0.0000"
    assert decimal(math.nan) == "–"


def test_both_ends_of_an_interval_have_the_same_places():
    assert ci(0.004, 0.0633, unit="decimal") == "95 % CI 0.004–0.063"
    assert ci(-0.02, 0.01, unit="decimal", level=0.9) == "90 % CI −0.020 to 0.010"
    assert ci(math.nan, 0.01) == "95 % CI not available"
    # ends that two digits do not tell apart have as many as do
    assert ci(0.0984, 0.1002, unit="decimal") == "95 % CI 0.098–0.100"
    assert ci(0.1, 0.1, unit="decimal") == "95 % CI 0.10–0.10"


@pytest.mark.parametrize(
    ("k", "n", "branch"),
    [
        (0, 5, "none"),
        (1, 5, "one"),
        (3, 5, "some"),
        (5, 5, "all"),
        (0, 1, "none"),
        (1, 1, "all"),
    ],
)
def test_extent(k, n, branch):
    assert extent(k, n) == branch


def test_counted_takes_an_irregular_plural():
    assert counted(2, 3, "method by model", "methods by model").endswith(
        "methods by model"
    )


def test_listed():
    assert listed([]) == ""
    assert listed(["a"]) == "a"
    assert listed(["a", "b"]) == "a and b"


def test_sentence_has_one_point_and_leaves_names():
    assert sentence("none  of the two models was tested..") == (
        "None of the two models was tested."
    )
    assert sentence("pocket-medical was correct") == "pocket-medical was correct."


@pytest.mark.parametrize(
    "claim",
    [
        "It surely carries over.",
        "0 of 5 models were overconfident.",
        "It helps 3 of 3 and harms 0 models.",
        "word " * 41 + ".",
        "The AUROC was nan.",
    ],
)
def test_rules_find_what_may_not_be_said(claim):
    assert faults(finding_of(claim))


def test_a_claim_is_made_a_whole_sentence():
    finding = finding_of("two  models were tested", n=np.int64(3))
    assert finding.claim == "Two models were tested."
    assert type(finding.n) is int


def test_rules_pass_what_can_be_cited():
    claim = "All five models were overconfident, by 26 to 49 percentage points."
    assert faults(finding_of(claim)) == []
    assert faults(finding_of(claim, interval=(0.6, 0.4)))
    assert faults(finding_of("The interval was 95 % CI 0–3 and accuracy 0 %.")) == []
