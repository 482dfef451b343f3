"""What is concluded about deferral, on every branch."""

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
