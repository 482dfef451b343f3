"""Numbers for clinicians: by hand, and against counts of the truth."""

import numpy as np
import pytest

from medcal_nb import certify, measure


def test_shares_are_those_of_the_truth(rng):
    truth = rng.random(400) < 0.3
    said = np.where(rng.random(400) < 0.85, truth, ~truth)
    right = (said == truth).astype(float)
    answer = np.where(said, "Yes", " no ")
    table = certify.retained_table(right, answer=answer).set_index("measure")
    by_hand = {
        "right": right,
        "sensitivity": said[truth],
        "specificity": ~said[~truth],
        "ppv": truth[said],
        "npv": ~truth[~said],
    }
    for name, hits in by_hand.items():
        row = table.loc[name]
        assert (row["value"], row["n"]) == (pytest.approx(hits.mean()), hits.size)
        low, high = measure.wilson_interval(hits.sum(), hits.size)
        assert row[["value_low", "value_high"]].tolist() == pytest.approx(
            [float(low), float(high)]
        )
    checks = table.loc["checks"]
    assert checks["value"] == pytest.approx(1 / (1 - right.mean()))
    assert checks["value_low"] == pytest.approx(
        1 / (1 - table.loc["right", "value_low"])
    )
    # images whose answers share their fate tell less
    images = np.repeat(np.arange(200), 2)
    wide = certify.retained_table(np.repeat(right[::2], 2), groups=images)
    one = certify.retained_table(np.repeat(right[::2], 2))
    assert wide["value_low"][0] < one["value_low"][0]


def test_other_questions_have_no_sensitivity():
    table = certify.retained_table([1, 1, 1], answer=["Paris", "2", "left"])
    assert table["measure"].tolist() == ["right", "checks"]
    assert table["value"].tolist() == [1, np.inf]
    only = certify.retained_table([1, 1], answer=["yes", "yes"]).set_index("measure")
    assert only.loc["npv", "n"] == 0
    assert np.isnan(only.loc["specificity", "value"])
    with pytest.raises(ValueError, match="answer has 1"):
        certify.retained_table([1, 0], answer=["yes"])
