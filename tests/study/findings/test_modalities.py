"""Sentences of notebook 03, each branch, and the tables they rest on."""

import numpy as np
import pandas as pd
import pytest

from medcal_nb.study.findings import modalities
from tests.study.findings.rules import faults


def grouped(*gaps, model="Qwen3-VL-8B-Instruct"):
    gaps = np.array(gaps, dtype=float)
    return pd.DataFrame(
        {
            "model": model,
            "group": ["ct", "mri", "xray", "oct"][: len(gaps)],
            "n": 200,
            "n_images": 100,
            "gap": gaps,
            "gap_low": gaps - 0.05,
            "gap_high": gaps + 0.05,
        }
    )


@pytest.mark.parametrize(
    ("gaps", "part"),
    [
        (
            (0.1, 0.3, 0.2),
            "was largest on MRI, 30 percentage points (95 % CI 25–35), and sm",
        ),
        ((0.3, -0.1), "smallest on MRI, an underconfidence of 10 percentage points"),
        ((-0.3, -0.1), "underconfident in every modality, least on MRI"),
        ((0.3,), "one modality with enough answers, CT: overconfidence"),
        ((-0.3,), "one modality with enough answers, CT: underconfidence"),
    ],
)
def test_largest(gaps, part):
    groups = grouped(*gaps)
    finding = modalities.largest(groups, "modality")
    assert part in finding.claim
    assert not faults(finding)
    assert 0 < len(finding.title) <= 60


def test_spread_needs_three_groups_and_predicts_a_new_one():
    few = modalities.heterogeneity(grouped(0.1, 0.3), level=0.95)
    assert few.empty
    assert "fewer than three" in modalities.spread(few, "modality", "modalities").claim
    summary = modalities.heterogeneity(grouped(0.1, 0.3, 0.2, 0.6), level=0.95)
    finding = modalities.spread(summary, "modality", "modalities")
    assert "standard deviation of" in finding.claim
    assert not faults(finding)
    same = modalities.heterogeneity(grouped(0.2, 0.2, 0.2), level=0.95)
    alike = modalities.spread(same, "modality", "modalities")
    assert "no more than sampling noise" in alike.claim
    assert not faults(alike)


def test_the_summary_is_a_row_of_the_forest():
    groups = grouped(0.1, 0.3, 0.2)
    summary = modalities.heterogeneity(groups, level=0.95)
    rows = modalities.with_summary(groups, summary)
    last = rows.iloc[-1]
    assert last["group"] == "mean of groups"
    assert last["gap_prediction_low"] < last["gap_low"] < last["gap"]
    assert len(modalities.with_summary(groups, pd.DataFrame())) == 3


def pairs(*differs):
    n = len(differs)
    return pd.DataFrame(
        {
            "a": "ct",
            "b": ["mri", "xray", "oct"][:n],
            "difference": -0.2,
            "low": -0.3,
            "high": -0.1,
            "differs": list(differs),
        }
    )


@pytest.mark.parametrize(
    ("differs", "part"),
    [
        ((True, True, True), "in all three pairs of modalities"),
        ((True, False, False), "in one of three pairs"),
        (
            (False, False),
            "no difference in overconfidence between modalities was shown",
        ),
        ((True,), "in the pair of modalities"),
        ((), "no two modalities"),
    ],
)
def test_pairs_that_differ(differs, part):
    table = pairs(*differs)
    finding = modalities.pairs_that_differ(table, "modalities")
    assert part.lower() in finding.claim.lower()
    assert not faults(finding)


@pytest.mark.parametrize(
    ("gaps", "part"),
    [
        (([0.1, 0.3], [0.2, 0.4], [0.1, 0.2]), "on MRI in all three models"),
        (([0.1, 0.3], [0.5, 0.4], [0.1, 0.2]), "on MRI in two of three models"),
        (([0.1, 0.3], [0.5, 0.4]), "another one in every model"),
    ],
)
def test_worst_group(gaps, part):
    tables = [grouped(*each, model=f"m{k}") for k, each in enumerate(gaps)]
    groups = pd.concat(tables, ignore_index=True)
    finding = modalities.worst_group(groups, "modality")
    assert part.lower() in finding.claim.lower()
    assert not faults(finding)
    assert 0 < len(finding.title) <= 60


def test_of_one_model_the_pairs_are_told():
    one = grouped(0.1, 0.3)
    finding = modalities.across(one, pairs(True), "modality", "modalities")
    assert "pair of modalities" in finding.claim
    other = grouped(0.1, 0.3, model="m")
    two = pd.concat([one, other], ignore_index=True)
    finding = modalities.across(two, pairs(True), "modality", "modalities")
    assert "both models" in finding.claim


def test_what_could_not_be_measured_does_not_lead():
    one = grouped(0.1)
    lead = modalities.largest(one, "modality")
    empty = modalities.heterogeneity(one, level=0.95)
    nothing = modalities.spread(empty, "modality", "modalities")
    assert modalities.leading(lead, nothing) == [lead]


def test_visibility_is_told_where_it_is_known(rng):
    n = 400
    seen = rng.random(n)
    frame = pd.DataFrame(
        {
            "model": "m",
            "confidence": 0.8,
            "correct": rng.random(n) < 0.5 + seen / 2,
            "item_id": np.arange(n),
            "visibility": seen,
            "gold": "yes",
        }
    )
    options = {"level": 0.95, "n_resamples": 50, "rng": rng}
    levels = modalities.by_level(frame, "visibility", **options)
    finding = modalities.visibility(levels, "m")
    assert "from plainly to hardly visible findings" in finding.claim.lower()
    assert not faults(finding)
    assert 0 < len(finding.title) <= 60
    none = modalities.by_level(frame, "contrast", **options)
    assert none.empty
    assert not faults(modalities.visibility(none, "m"))


def test_answers_in_groups_of_a_domain_or_by_data_set():
    frame = pd.DataFrame(
        {
            "domain": ["medical"] * 3 + ["general"],
            "modality": ["ct", "mri", "mri", None],
            "dataset": ["a", "a", "b", "c"],
        }
    )
    medical = modalities.in_groups(frame, "modality", "medical")
    assert set(medical.rows["group"]) == {"ct", "mri"}
    assert (medical.kind, medical.plural) == ("modality", "modalities")
    assert len(modalities.in_groups(frame, "modality", "general").rows) == 4
    none = modalities.in_groups(frame.assign(modality=None), "modality", "general")
    assert set(none.rows["group"]) == {"a", "b", "c"}
    assert none.plural == "data sets"


def test_small_groups_are_left_out_unless_all_are():
    table = pd.DataFrame({"n": [5, 50]})
    assert modalities.large_enough(table, 30)["n"].tolist() == [50]
    assert len(modalities.large_enough(table, 90)) == 2


def test_slopes_by_reader():
    """A reader whose log-odds are halved before they are true has a slope of one half."""
    rng = np.random.default_rng(3)
    parts = []
    for name, slope in (("a", 1.0), ("b", 0.5)):
        log_odds = rng.normal(0, 2, 4000)
        rows = pd.DataFrame({"item_id": range(4000), "reader": name})
        rows["confidence"] = 1 / (1 + np.exp(-log_odds))
        rows["correct"] = rng.random(4000) < 1 / (1 + np.exp(-slope * log_odds))
        parts.append(rows.assign(model="both", dataset="d", strategy="verbalized"))
    graded = pd.concat(parts)
    how = {"level": 0.95, "n_resamples": 200}
    table, finding = modalities.slopes_by_reader(graded, rng=rng, **how)
    assert table["reader"].tolist() == ["a", "b"]
    assert table["slope"].to_numpy() == pytest.approx([1.0, 0.5], abs=0.1)
    assert "slopes of two readers ran from 0.5" in finding.claim
    assert finding.claim.endswith("clearly below 1 in one of two readers.")
    assert not faults(finding)
    assert len(finding.title) <= 60
    alone, nothing = modalities.slopes_by_reader(parts[0], rng=rng, **how)
    assert alone.empty
    assert nothing.estimate is None
