"""Sentences about transfer: their branches, from tables of known numbers."""

import numpy as np
import pandas as pd
import pytest

from medcal_nb.correct import CONCLUSIONS
from medcal_nb.study.findings import transfer
from tests.study.findings.rules import faults

SIDES = {"source": "general images", "target": "medical images"}


def table(n=5, *, lowered=5, raised=0, below=2, transferred_below=3, lower_auroc=4):
    """A transfer table of n models with these many of each outcome."""
    at = np.arange(n)
    return pd.DataFrame(
        {
            "model": [f"m{i}" for i in at],
            "method": "platt",
            "strategy": "verbalized",
            "transfer_change": -0.1,
            "transfer_change_high": np.where(at < lowered, -0.01, 0.01),
            "transfer_change_low": np.where(at >= n - raised, 0.005, -0.2),
            "skill_refitted": np.where(at < below, -0.02, 0.03),
            "skill_transferred": np.where(at < transferred_below, -0.2, 0.1),
            "skill_known": 0.09,
            "auroc_source": 0.8,
            "auroc": 0.6,
            "auroc_difference": np.where(at < lower_auroc, -0.2, 0.0),
            "auroc_p_holm": np.where(at < lower_auroc, 0.001, 0.5),
        }
    )


@pytest.mark.parametrize(
    ("n", "k"), [(5, 0), (5, 1), (5, 3), (5, 5), (1, 0), (1, 1), (26, 12)]
)
def test_counts_have_a_branch_each(n, k):
    rows = table(n, lowered=k, below=k, transferred_below=k, lower_auroc=k)
    for finding in (
        transfer.temperature_transfer(rows, **SIDES),
        transfer.transferred_skill(rows, target="medical images"),
        transfer.lost_discrimination(rows, **SIDES),
    ):
        assert not faults(finding), finding.claim
        assert finding.n == n


@pytest.mark.parametrize(
    ("n", "lowered", "raised", "told"),
    [
        (26, 8, 12, "in 8 of 26 models (raised in 12; median change"),
        (5, 0, 2, "in none of the five models (raised in 2; median change"),
        (1, 0, 1, "fitted on general images raised the Brier score"),
        (1, 0, 0, "did not clearly lower the Brier score on medical images ("),
    ],
)
def test_a_map_that_helps_some_and_harms_others_is_told_as_both(
    n, lowered, raised, told
):
    """A half of the 26 models by itself said 2 and 9, the other half 6 and 3."""
    rows = table(n, lowered=lowered, raised=raised)
    finding = transfer.temperature_transfer(rows, **SIDES)
    assert told in finding.claim
    assert finding.n == n
    assert not faults(finding)


def test_the_estimates_are_those_of_the_table():
    rows = table()
    assert transfer.transferred_skill(rows, target="x").estimate == pytest.approx(0.6)
    assert transfer.temperature_transfer(rows, **SIDES).estimate == pytest.approx(-0.1)
    none = rows.assign(auroc_p_holm=np.nan)
    assert transfer.lost_discrimination(none, **SIDES).estimate is None


def removed(share=0.97, low=0.77, cost_low=0.01, pairs=1):
    return pd.Series(
        {
            "share_removed": share,
            "share_removed_low": low,
            "share_removed_high": share + 0.02,
            "pairs": pairs,
            "cost": 0.052,
            "cost_low": cost_low,
            "cost_high": 0.06,
        }
    )


@pytest.mark.parametrize(
    ("share", "low", "cost_low"),
    [(0.82, 0.8, 0.05), (1.03, 0.9, 0.01), (np.nan, np.nan, -0.001)],
)
@pytest.mark.parametrize("pairs", [1, 35])
def test_one_number_removes_a_share_or_there_is_no_cost(share, low, cost_low, pairs):
    row = removed(share, low, cost_low, pairs)
    finding = transfer.one_number(row, target="medical images")
    assert not faults(finding), finding.claim
    assert ("not known" in finding.claim) == bool(np.isnan(share))


@pytest.mark.parametrize("fine", [0, 1, 2, 35])
@pytest.mark.parametrize("blind", [0, 5])
def test_conclusions_are_counted(fine, blind):
    counts = pd.Series(
        {
            "method": "platt",
            "pairs": 35,
            "non-inferior": fine,
            "recalibration not needed": 0,
            "inferior": 0 if fine == 35 else 22,
            "no discrimination": blind,
        }
    )
    finding = transfer.conclusions(counts, margin=0.005, target="medical images")
    assert not faults(finding), finding.claim
    assert finding.estimate == pytest.approx(fine / 35)
    # the estimand: not the best map there is, but the one that these labels give
    assert "refitting with these labels of medical images (margin 0.005)" in (
        finding.claim
    )


@pytest.mark.parametrize("conclusion", CONCLUSIONS)
def test_of_one_pair_the_conclusion_is_named(conclusion):
    counts = dict.fromkeys(CONCLUSIONS, 0) | {conclusion: 1, "pairs": 1}
    counts = pd.Series(counts | {"method": "platt"})
    finding = transfer.conclusions(counts, margin=0.005, target="medical images")
    assert not faults(finding), finding.claim
    assert f"judged “{conclusion}”" in finding.claim


@pytest.mark.parametrize(
    "sizes",
    [[50], [np.inf], [10, 20, 50, np.inf], [10, 10], [np.inf] * 7, [10] * 26],
)
def test_labels_needed_are_named_by_model(sizes):
    needed = pd.DataFrame(
        {
            "model": [f"model-{i}" for i in range(len(sizes))],
            "n_refitted": sizes,
            "n_max": 400,
            "n_draws": 200,
            "share": 0.95,
        }
    )
    own = needed["model"] == "model-0"
    needed["n_max"] = needed["n_max"].mask(own & np.isinf(needed["n_refitted"]), 100)
    finding = transfer.labels(needed, target="medical images", model="model-0")
    assert not faults(finding), finding.claim
    few = "too few for a refit" in finding.title
    assert few == np.isinf(sizes[0]), finding.title
    assert not few or ": 100 labels" in finding.title
    assert ("not enough" in finding.claim) == bool(np.isinf(sizes).any())


@pytest.mark.parametrize(
    ("strategies", "below", "title"),
    [
        (1, 3, "Transfer is worse than accuracy alone in 3 of 5 models"),
        (2, 5, "Transfer is worse than accuracy alone in all 5 pairs"),
        (1, 0, "Transfer is better than accuracy alone in all 5 models"),
    ],
)
def test_the_title_of_skill_counts_what_is_drawn(strategies, below, title):
    rows = table(5, transferred_below=below)
    names = [f"method {k % strategies}" for k in range(5)]
    drawn = transfer.transferred_skill(rows.assign(strategy=names), target="x")
    assert drawn.title == title


@pytest.mark.parametrize("error", [0.02, 0.19])
@pytest.mark.parametrize("pairs", [1, 35])
def test_accuracy_without_labels_is_known_or_not(error, pairs):
    errors = pd.DataFrame(
        {
            "estimator": ["average confidence", "accuracy on the source"],
            "mean_absolute_error": [error, 0.01],
            "within_05": [0, pairs],
            "pairs": pairs,
        }
    )
    finding = transfer.without_labels(errors, target="medical images")
    assert not faults(finding), finding.claim
    assert ("could not" in finding.claim) == (error > 0.05)


def test_of_a_claim_the_base_rate_is_its_prevalence():
    one = table(1, below=0, transferred_below=1)
    skill = transfer.transferred_skill(one, target="screening", event="cancer")
    assert skill.claim == (
        "Confidence transferred by Platt scaling was worse than giving every answer the "
        "prevalence of cancer on screening: Brier skill score −0.20, 0.090 with the "
        "prevalence of cancer known, 0.030 refitted."
    )
    unknown = transfer.transferred_skill(
        one.assign(skill_known=np.nan), target="screening"
    )
    assert "known" not in unknown.claim
    number = transfer.one_number(removed(), target="screening", event="cancer")
    assert "one number, the prevalence of cancer on screening, removed" in number.claim
    temperature = transfer.temperature_transfer(one, **SIDES, event="cancer")
    assert "giving every answer the prevalence of cancer" in temperature.claim
    for finding in (skill, unknown, number, temperature):
        assert not faults(finding)
