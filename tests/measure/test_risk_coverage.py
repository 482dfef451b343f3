"""Risk over coverage: AURC by its formula, ties as ties, the curve's table."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest

from medcal_nb import measure


def risks_of(c, y):
    """Share wrong of the k surest answers, k from 1 on, in the order of a stable sort."""
    wrong = 1 - y[np.argsort(-c, kind="stable")]
    return wrong.cumsum() / np.arange(1, y.size + 1)


def test_without_ties_the_areas_are_those_of_their_formulas(rng):
    """Geifman et al. 2019; a published implementation: `test_oracles`."""
    c = rng.permutation(np.linspace(0.01, 1, 237))
    y = (rng.random(237) < c).astype(float)
    risks = risks_of(c, y)
    assert measure.aurc(c, y) == pytest.approx(risks.mean(), abs=1e-12)
    best = risks_of(np.sort(y)[::-1], np.sort(y)[::-1]).mean()
    assert measure.e_aurc(c, y) == pytest.approx(risks.mean() - best, abs=1e-12)
    share = 1 - y.mean()
    usual = risks.mean() - share - (1 - share) * np.log(1 - share)
    assert measure.e_aurc(c, y) == pytest.approx(usual, abs=1 / 237)
    for k in (119, 190, 214):
        at = measure.accuracy_at_coverage(c, y, coverage=k / 237)
        assert at == pytest.approx(1 - risks[k - 1], abs=1e-12)


def test_ties_count_as_the_mean_over_their_orders():
    c = np.array([0.9, 0.7, 0.7, 0.7, 0.2, 0.2])
    y = np.array([1.0, 1, 0, 1, 1, 0])
    orders = [np.array(one) for one in permutations(range(6))]
    allowed = [one for one in orders if (np.diff(c[one]) <= 0).all()]
    of_orders = [np.cumsum(1 - y[one]) / np.arange(1, 7) for one in allowed]
    risks = np.mean(of_orders, axis=0)
    assert measure.aurc(c, y) == pytest.approx(risks.mean(), abs=1e-12)
    assert measure.accuracy_at_50(c, y) == pytest.approx(1 - risks[2], abs=1e-12)
    assert measure.aurc(np.full(6, 0.4), y) == pytest.approx(1 / 3)


def test_the_curve_has_a_point_for_each_confidence_and_defers_what_has_none():
    c = [0.9, 0.9, 0.7, 0.7, 0.7, 0.2, None, 0.5]
    y = [1, 1, 1, 0, 1, 0, 0, None]
    answers = pd.DataFrame({"item_id": range(8), "confidence": c, "correct": y})
    table = measure.risk_coverage_table(answers, by=[])
    assert table["threshold"].tolist() == [0.9, 0.7, 0.2]
    assert table["n"].tolist() == [2, 5, 6]
    assert table["coverage"].tolist() == pytest.approx([2 / 7, 5 / 7, 6 / 7])
    assert table["risk"].tolist() == pytest.approx([0, 1 / 5, 2 / 6])
    assert table["base_risk"].tolist() == pytest.approx([3 / 7] * 3)
    ends = np.array(measure.wilson_interval(1, 5))
    assert table.loc[1, ["risk_low", "risk_high"]].tolist() == pytest.approx(ends)
    none = answers.assign(confidence=np.nan)
    assert measure.risk_coverage_table(none, by=[]).empty


def test_images_that_share_their_fate_widen_the_interval(rng):
    answers = pd.DataFrame({"item_id": range(400), "image_id": np.arange(400) // 5})
    answers["confidence"] = rng.uniform(0.5, 1, 400)
    answers["correct"] = np.repeat(rng.random(80) < 0.7, 5)
    names = ["aurc", "accuracy_at_80"]
    by_image = measure.metrics_table(answers, by=[], metrics=names).iloc[0]
    alone = answers.assign(image_id=answers["item_id"])
    by_answer = measure.metrics_table(alone, by=[], metrics=names).iloc[0]
    for name in names:
        widths = [
            row[f"{name}_high"] - row[f"{name}_low"] for row in (by_image, by_answer)
        ]
        assert widths[0] > 1.5 * widths[1]
