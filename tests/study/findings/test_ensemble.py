"""Sentences about ensembles: their branches, from tables of known numbers."""

import numpy as np
import pandas as pd
import pytest

from medcal_nb.study.findings import ensemble
from tests.study.findings.rules import faults


def changes(*conclusions, rival="best method"):
    sign = {"better": -1, "worse": 1, "no difference shown": -0.1}
    change = np.array([sign[c] for c in conclusions]) * 0.005
    return pd.DataFrame(
        {
            "model": list("abcdefgh")[: len(conclusions)],
            "rival": rival,
            "recalibration": "trained",
            "conclusion": conclusions,
            "change": change,
            "change_low": change - 0.002,
            "change_high": change + 0.002,
        }
    )


@pytest.mark.parametrize(
    "conclusions",
    [
        ("better",),
        ("worse",),
        ("no difference shown",),
        ("better",) * 5,
        ("better", "worse", "no difference shown"),
        ("no difference shown",) * 4,
    ],
)
def test_ensemble_gain_over_the_best_method(conclusions):
    finding = ensemble.ensemble_gain(changes(*conclusions))
    assert not faults(finding), finding.claim
    assert finding.n == len(conclusions)


def test_the_lowest_is_named_with_its_labels():
    table = pd.DataFrame(
        {
            "model": ["m", "m", "other"],
            "ensemble": ["verbalized", "average, trained", "expert"],
            "recalibration": ["platt", "trained", "platt"],
            "brier": [0.2, 0.19, 0.1],
            "brier_low": 0.1,
            "brier_high": 0.3,
            "n": 100,
        }
    )
    finding = ensemble.lowest(table, "m")
    assert not faults(finding), finding.claim
    assert finding.title == "m: trained ensemble scores lowest"
    long = table.assign(model="a-model-with-a-very-long-name-that-nobody-shortens")
    assert not faults(ensemble.lowest(long, long["model"].iloc[0]))
    finding = ensemble.lowest(table[:1], "m")
    assert "verbalized (Platt scaling) had the lowest" in finding.claim


def test_nothing_to_combine_is_said():
    for rows in (pd.DataFrame(), changes("better", rival="expert")):
        finding = ensemble.ensemble_gain(rows)
        assert finding.estimate is None
        assert not faults(finding)


def test_tokens_name_the_cheapest_that_is_tied():
    tokens = pd.DataFrame(
        {
            "ensemble": ["verbalized", "average, trained"],
            "new_tokens": [11.0, 74.0],
            "brier": [0.2, 0.199],
            "change": [0.001, 0.0],
            "change_low": [-0.001, 0.0],
            "change_high": [0.003, 0.0],
            "tied": True,
            "n": 400,
        }
    )
    finding = ensemble.tokens_needed(tokens)
    assert "11 tokens" in finding.claim
    assert not faults(finding), finding.claim
    assert not faults(ensemble.tokens_needed(tokens[:0]))


@pytest.mark.parametrize("less", [0, 1, 2, 3])
def test_image_ablation(less):
    rows = pd.DataFrame(
        {
            "accuracy_change": [-0.2, -0.25, -0.23],
            "confidence_change": [-0.1, -0.05, -0.12],
            "excess_low": np.where(np.arange(3) < less, 0.05, -0.05),
        }
    )
    finding = ensemble.image_ablation_fall(rows)
    assert not faults(finding), finding.claim
    assert finding.estimate == pytest.approx(0.13)
    assert not faults(ensemble.image_ablation_fall(rows[:0]))


@pytest.mark.parametrize("change", [-0.07, 0.02])
def test_majority(change):
    table = pd.DataFrame(
        {
            "who": ["majority", "majority, all agree"],
            "n": [251, 120],
            "accuracy": [0.68, 0.85],
            "change": change,
            "change_low": change - 0.03,
            "change_high": change + 0.03,
        }
    )
    finding = ensemble.majority(table)
    assert ("below" in finding.claim) == (change < 0)
    assert not faults(finding), finding.claim
    assert not faults(ensemble.majority(table[:0]))


def test_one_trained_ensemble_a_model_is_counted_by_model():
    table = changes("better", "no difference shown")
    assert "in one of two models" in ensemble.ensemble_gain(table).claim
    twice = table.assign(model="a")
    assert "in one of two comparisons" in ensemble.ensemble_gain(twice).claim
