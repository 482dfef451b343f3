"""Maps fitted on one side and on folds by image, and what they are applied to."""

import warnings

import numpy as np
import pandas as pd
import pytest

from medcal_nb import certify, correct, measure
from medcal_nb.correct import answer_costs, corrected, fit, transfer_study
from medcal_nb.measure import Bootstrap, brier_score

from .worlds import graded


def test_stages_are_the_maps_of_the_study(rng):
    g = graded(rng, 400, "general", slope=0.6)
    m = graded(rng, 300, "medical", slope=0.5, per_image=3)
    stages = corrected(g, m, rng=rng)
    assert list(dict.fromkeys(stages.labels)) == ["raw", "source", "target"]
    expected = fit(g.confidence, g.correct)(m.confidence)
    transferred = stages[stages.labels == "source"]
    np.testing.assert_allclose(transferred.confidence, expected)
    table = transfer_study(g, m, ci=Bootstrap(n=2)).table
    assert table.brier_transferred[0] == pytest.approx(brier_score(expected, m.correct))


def test_the_cost_of_an_answer_is_the_difference_of_two_losses(rng):
    g = graded(rng, 400, "general", slope=0.6)
    m = graded(rng, 300, "medical", slope=0.5, shift=-1, per_image=3)
    costs = answer_costs(g, m, rng=np.random.default_rng(1))
    stages = corrected(g, m, rng=np.random.default_rng(1)).groupby("labels")
    loss = {k: (t.confidence - t.correct.astype(float)) ** 2 for k, t in stages}
    expected = loss["source"].to_numpy() - loss["target"].to_numpy()
    np.testing.assert_allclose(costs["cost"], expected)
    np.testing.assert_allclose(costs["confidence"], m["confidence"])
    table = transfer_study(g, m, ci=Bootstrap(n=2)).table
    # the same but for how images are dealt into folds
    assert costs["cost"].mean() == pytest.approx(table.cost[0], abs=2e-3)
    assert costs["cost"].mean() > 0.01
    maps = {k: t["confidence"].to_numpy() for k, t in stages}
    np.testing.assert_allclose(costs["map_gap"], maps["source"] - maps["target"])


def test_a_graded_answer_without_a_confidence_has_no_cost_and_stays(rng):
    g = graded(rng, 400, "general", slope=0.6)
    m = graded(rng, 300, "medical", slope=0.5)
    m.loc[m.index[::3], "confidence"] = np.nan
    m.loc[m.index[1], "correct"] = np.nan
    costs = answer_costs(g, m, rng=rng)
    assert costs["item_id"].tolist() == m["item_id"].drop(m.index[1]).tolist()
    assert costs["cost"].isna().equals(costs["confidence"].isna())


def test_without_a_source_answers_have_their_own_map(rng):
    few = graded(rng, 4, "medical", model="n")
    rows = pd.concat([graded(rng, 600, "medical", slope=0.4), few])
    table = corrected(None, rows, method="log_odds", rng=rng)
    assert set(table["labels"]) == {"target"}
    assert table["model"].tolist() == ["m"] * 600  # four images fill no five folds
    own = rows[rows["model"] == "m"]
    before = brier_score(own.confidence, own.correct)
    assert brier_score(table.confidence, table.correct) < before - 0.01


def test_before_and_after_has_every_graded_answer_twice_and_warns_a_certificate(rng):
    answers = measure.example_answers()
    answers.loc[answers.index[:7], "confidence"] = np.nan
    both = correct.before_and_after(answers, rng=np.random.default_rng(0))
    assert both["labels"].value_counts().to_dict() == {
        "raw": len(answers),
        "target": len(answers),
    }
    after = correct.corrected(None, answers, rng=np.random.default_rng(0))
    ours = both[(both["labels"] == "target") & both["confidence"].notna()]
    assert ours["confidence"].tolist() == after["confidence"].tolist()
    # what a map made of these grades is not certified by them without a word
    one = after[after["confidence"].notna()]
    grades = one["correct"].astype(float)
    for certificate in (
        lambda: measure.selective_threshold(one["confidence"], grades, target=0.2),
        lambda: certify.certify(one["confidence"], grades, risk=0.2),
        lambda: certify.certify_table(
            one, [50], risk=0.2, by=[], n_splits=1, n_resamples=2
        ),
    ):
        with pytest.warns(measure.MeasureWarning, match="seen the grades"):
            certificate()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        raw = both[both["labels"] == "raw"].dropna(subset="confidence")
        measure.selective_threshold(raw["confidence"], raw["correct"], target=0.2)
