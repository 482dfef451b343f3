"""What the overview takes from the others."""

import pandas as pd
import pytest

from medcal_nb.study.findings import Finding
from medcal_nb.study.findings.overview import (
    IMAGES,
    TEXT,
    headline,
    leading_findings,
    medicine_or_image,
)
from tests.study.findings.rules import faults


def published(name, n):
    findings = [
        Finding(claim=f"{name} {i}.", estimate=1.0, interval=(0, 2), n=1, method="m")
        for i in range(n)
    ]
    return [finding.as_dict() | {"interval": [0, 2]} for finding in findings]


def test_calibration_transfer_and_selection_lead():
    names = ["03_modalities", "06_deferral", "04_temperature_transfer", "02_metrics"]
    chosen = leading_findings({name: published(name, 3) for name in names})
    assert [finding.claim for finding in chosen] == [
        "02_metrics 0.",
        "04_temperature_transfer 1.",
        "06_deferral 0.",
    ]
    assert chosen[0].interval == (0, 2)


def test_fewer_notebooks_give_their_second_findings():
    chosen = leading_findings({"02_metrics": published("02", 2), "05_fusion": []})
    assert [finding.claim for finding in chosen] == ["02 0.", "02 1."]
    assert leading_findings({}) == []


@pytest.mark.parametrize(
    ("lows", "highs", "title"),
    [
        ([0.1, 0.2], [0.2, 0.3], "Both models are overconfident on medical images"),
        ([0.1, -0.2], [0.2, 0.3], "One of two models is overconfident on medical im"),
        ([-0.3, -0.2], [-0.2, -0.1], "Both models are underconfident on medical"),
        ([-0.3, -0.2], [0.2, 0.1], "No clear over- or underconfidence on medical"),
    ],
)
def test_headline(lows, highs, title):
    medical = {"model": ["a", "b"], "side": "medical images"}
    table = pd.DataFrame(medical | {"gap_low": lows, "gap_high": highs})
    general = table.assign(side="general images", gap_low=0.5, gap_high=0.6)
    for rows in (table, pd.concat([table, general])):
        assert headline(rows).startswith(title)
        assert len(headline(rows)) <= 60


def test_headline_of_other_data_sets_speaks_of_the_last():
    table = pd.DataFrame(
        {"model": "m", "side": ["a", "b"], "gap_low": [-1, 0.1], "gap_high": [-0.5, 1]}
    )
    assert headline(table) == "M is overconfident on b"
    title = "Confidence is too high for a probability of cancer"
    assert headline(table, "cancer") == title


def test_a_headline_leaves_out_where_if_that_takes_more_than_a_line():
    side = "screening, medium prevalence, first year"
    rows = [{"model": k, "side": side, "gap_low": 0.1, "gap_high": 1} for k in "abcde"]
    assert headline(pd.DataFrame(rows)) == "All five models are overconfident"


def control(pairs):
    return pd.DataFrame(
        {
            "world": [IMAGES, IMAGES, TEXT],
            "strategy": ["x", "verbalized", "verbalized"],
            "models": [5, 5, pairs],
            "median_cost": [1.0, 0.052, 0.0031],
        }
    )


@pytest.mark.parametrize("pairs", [1, 5, 82])
def test_medicine_or_image(pairs):
    finding = medicine_or_image(control(pairs))
    assert not faults(finding)
    assert finding.estimate == pytest.approx(0.0489)
    assert "0.052" in finding.claim
    missing = medicine_or_image(control(pairs).iloc[:2])
    assert missing.estimate is None
    assert not faults(missing)
    alone = medicine_or_image(pd.DataFrame())
    assert alone.claim == missing.claim
