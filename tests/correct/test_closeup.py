"""The close-ups: stages, the truth, thresholds, voters."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from medcal_nb.correct import (
    corrected,
    fit,
    stage_scores,
    transfer_study,
    true_cost,
    voters,
)
from medcal_nb.correct.maps import choose_clip
from medcal_nb.measure import brier_score, ece

from .worlds import MEDICAL, SIDES, graded, with_options


@pytest.fixture
def both(rng):
    return pd.concat([graded(rng, 400, "general", slope=0.6),
                      graded(rng, 300, "medical", slope=0.5, per_image=3)])  # fmt: skip


def test_stages_are_the_maps_of_the_study(both):
    settings = {"method": "platt", "rng": np.random.default_rng(0)}
    stages = corrected(both, **SIDES, **settings)
    assert list(dict.fromkeys(stages.labels)) == ["raw", "source", "target"]
    g, m = (both[both.domain == d] for d in ("general", "medical"))
    carried = stages[stages.labels == "source"]
    clip = choose_clip(both.confidence)
    expected = fit(g.confidence, g.correct, clip=clip)(m.confidence)
    np.testing.assert_allclose(carried.confidence, expected)
    scores = stage_scores(
        stages, n_resamples=20, rng=np.random.default_rng(0)
    ).set_index("labels")
    assert scores.loc["source", "brier"] == pytest.approx(
        brier_score(expected, m.correct)
    )
    assert scores.loc["source", "ece"] == pytest.approx(ece(expected, m.correct))
    assert scores.loc["source", "auroc"] == pytest.approx(scores.loc["raw", "auroc"])
    table = transfer_study(
        both,
        **SIDES,
        methods=["platt"],
        n_resamples=0,
        margin=0.005,
        rng=np.random.default_rng(0),
    ).table
    row = table[table.loss == "brier"].iloc[0]
    assert row.loss_source == pytest.approx(scores.loc["source", "brier"])
    with pytest.raises(ValueError, match="images are both source and target"):
        corrected(both, source=MEDICAL, target={"model": "m"}, **settings)


def test_without_a_source_answers_stand_as_stated_and_with_their_own_map(rng):
    rows = pd.concat(
        [with_options(rng, 600, "medical", 2.0), graded(rng, 4, "medical", model="n")]
    )
    table = corrected(rows, target=MEDICAL, method="platt", rng=rng)
    assert table.groupby(["model", "labels"]).size().to_dict() == {
        ("m", "raw"): 600, ("m", "target"): 600, ("n", "raw"): 4
    }  # fmt: skip
    assert (table[table.labels == "target"].fold >= 0).all()
    moved = corrected(rows[rows.model == "m"], target={}, method="temperature", rng=rng)
    score = {
        k: brier_score(p.confidence, p.correct) for k, p in moved.groupby("labels")
    }
    assert score["target"] < score["raw"] - 0.01


def test_the_true_cost_is_that_of_the_maps_of_the_study(both, rng):
    fresh = graded(rng, 20_000, "fresh", slope=0.5, per_image=4)
    row = true_cost(both, fresh, **SIDES, method="platt", rng=rng).iloc[0]
    g = both[both.domain == "general"]
    moved = fit(g.confidence, g.correct, clip=choose_clip(both.confidence))(
        fresh.confidence
    )
    assert row.source == pytest.approx(brier_score(moved, fresh.correct))
    assert row.cost == pytest.approx(row.source - row.target)
    perfect = expit(0.5 * np.log(fresh.confidence / (1 - fresh.confidence)))
    assert brier_score(perfect, fresh.correct) < row.target < row.raw
    assert 0 < row.cost_high - row.cost_low < 0.04
    assert (row.n, row.n_images) == (20_000, 5000)
    with pytest.raises(ValueError, match="images are both fitted on and fresh"):
        true_cost(
            both, both[both.domain == "medical"], **SIDES, method="platt", rng=rng
        )


def test_voters_are_the_wanted_ones_or_a_committee(both):
    told = both.assign(answer="yes")
    assert set(voters(told, MEDICAL, ["m"], ["s"]).dataset) == {"medical"}
    two = pd.concat(
        [told, told.assign(model="n"), both.assign(model="silent", answer=None)]
    )
    committee = voters(two, MEDICAL, ["m"], ["s"])
    assert set(committee.strategy) == {"m", "n"}  # who told no answer is no voter
    assert set(committee.model) == {"committee"}
    silent = pd.concat([both, both.assign(model="n")]).assign(answer=None)
    assert set(voters(silent, MEDICAL, ["m", "n"], ["s"]).model) == {
        "m",
        "n",
    }  # no committee
