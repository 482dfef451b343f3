"""Sentences of notebook 01, each branch."""

import pandas as pd
import pytest

from medcal_nb.study.findings.elicitation import (
    confidence_rate,
    distinct_confidences,
    tokens_written,
)
from tests.study.findings.rules import faults


def table(**columns):
    n = len(next(iter(columns.values())))
    names = ["verbalized", "p_true", "top_k"][:n]
    return pd.DataFrame({"strategy": names, "items": 200} | columns)


def rates(*values):
    return table(
        confidence_rate=list(values),
        confidence_rate_low=[max(0, v - 0.02) for v in values],
        confidence_rate_high=[min(1, v + 0.02) for v in values],
    )


@pytest.mark.parametrize(
    ("values", "start"),
    [
        ((1.0, 1.0, 1.0), "All three elicitation methods returned a confidence for ev"),
        (
            (0.99, 1.0, 0.97),
            "All three elicitation methods returned a confidence for a",
        ),
        ((0.99, 0.5, 0.6), "One of three elicitation methods"),
        ((0.99, 0.98, 0.6), "Two of three elicitation methods"),
        ((0.4, 0.5, 0.6), "None of the three elicitation methods"),
        ((1.0,), "The elicitation method returned"),
        ((0.2,), "Verbalized returned a confidence for 20 % of the questions"),
    ],
)
def test_confidence_rate(values, start):
    finding = confidence_rate(rates(*values))
    assert finding.claim.startswith(start)
    assert not faults(finding)
    assert finding.estimate == min(values)


def test_tokens_written():
    finding = tokens_written(table(new_tokens=[1.0, 3.2, 46.0]))
    assert "from 1 token (verbalized) to 46 tokens (top k)" in finding.claim
    assert finding.estimate == 46
    for few in ([2.0], [None, None], [0.0, 0.2, 4.0]):
        assert not faults(tokens_written(table(new_tokens=few)))


@pytest.mark.parametrize("levels", [[1, 7, 400], [3, 3, 3], [1, 1, 1]])
def test_distinct_confidences(levels):
    finding = distinct_confidences(table(levels=levels))
    assert not faults(finding)
    assert finding.estimate == min(levels)
