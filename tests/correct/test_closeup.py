"""The close-ups: sides, stages, the truth, thresholds, voters."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from medcal_nb.correct import (
    correction_stages,
    fit,
    shifted_thresholds,
    stage_scores,
    transfer_study,
    true_cost,
    voters,
)
from medcal_nb.correct.maps import choose_clip
from medcal_nb.errors import MedcalError, NotEnough
from medcal_nb.measure import brier_score, ece
from medcal_nb.measure.rows import side_name, sides

from .worlds import GENERAL, MEDICAL, SIDES, graded


@pytest.fixture
def both(rng):
    return pd.concat([graded(rng, 400, "general", slope=0.6),
                      graded(rng, 300, "medical", slope=0.5, per_image=3)])  # fmt: skip


def test_sides_are_found_or_named(rng):
    data = pd.concat([graded(rng, 20, d) for d in ("general", "medical")], ignore_index=True)
    fit_on, judge_on = GENERAL | {"split": "fit"}, MEDICAL | {"split": "test"}
    assert sides(data, fit_on, judge_on) == (GENERAL, MEDICAL, MEDICAL)  # no splits: without them
    unnamed = data.assign(domain=None)
    assert sides(unnamed, fit_on, judge_on)[:2] == ({"dataset": "general"}, {"dataset": "medical"})
    more = {"dataset": "medical"}
    assert sides(data, GENERAL, MEDICAL, more) == (GENERAL, MEDICAL, more)
    assert sides(data, GENERAL, MEDICAL, {"model": "m"})[2] == MEDICAL  # it holds the source
    with pytest.raises(NotEnough, match="import a second one"):
        sides(data[data.domain == "general"], fit_on, judge_on)
    with pytest.raises(MedcalError, match="SOURCE and TARGET are the same"):
        sides(data, {"dataset": "general"}, {"dataset": "general"})
    with pytest.raises(MedcalError, match="no such rows"):
        sides(data, {"dataset": "x"}, {"dataset": "general"})
    assert side_name(GENERAL) == "general images"
    assert side_name(GENERAL, of="labels") == "general labels"
    assert side_name({"dataset": "oodcv"}) == "oodcv"


def test_stages_are_the_maps_of_the_study(both):
    stages = correction_stages(both, **SIDES, method="platt", rng=np.random.default_rng(0))
    names = list(dict.fromkeys(stages.stage))
    assert names[2:] == [
        "medical images, corrected with general labels",
        "medical images, corrected with medical labels (cross-fitted)",
    ]
    g, m = (both[both.domain == d] for d in ("general", "medical"))
    carried = stages[stages.stage == names[2]]
    clip = choose_clip(both.confidence)
    expected = fit(g.confidence, g.correct, clip=clip)(m.confidence)
    np.testing.assert_allclose(carried.confidence, expected)
    scores = stage_scores(stages, n_resamples=20, rng=np.random.default_rng(0)).set_index("stage")
    assert scores.loc[names[2], "brier"] == pytest.approx(brier_score(expected, m.correct))
    assert scores.loc[names[2], "ece"] == pytest.approx(ece(expected, m.correct))
    assert scores.loc[names[2], "auroc"] == pytest.approx(scores.loc[names[1], "auroc"])
    table = transfer_study(
        both, methods=["platt"], n_resamples=0, rng=np.random.default_rng(0)
    ).table
    row = table[table.loss == "brier"].iloc[0]
    assert row.loss_source == pytest.approx(scores.loc[names[2], "brier"])
    with pytest.raises(ValueError, match="images are both source and target"):
        correction_stages(both, source=MEDICAL, target={"model": "m"}, method="platt",
                          rng=np.random.default_rng(0))  # fmt: skip


def test_the_true_cost_is_that_of_the_maps_of_the_study(both, rng):
    fresh = graded(rng, 20_000, "fresh", slope=0.5, per_image=4)
    row = true_cost(both, fresh, **SIDES, method="platt", rng=rng).iloc[0]
    g = both[both.domain == "general"]
    moved = fit(g.confidence, g.correct, clip=choose_clip(both.confidence))(fresh.confidence)
    assert row.source == pytest.approx(brier_score(moved, fresh.correct))
    assert row.cost == pytest.approx(row.source - row.target)
    perfect = expit(0.5 * np.log(fresh.confidence / (1 - fresh.confidence)))
    assert brier_score(perfect, fresh.correct) < row.target < row.raw
    assert 0 < row.cost_high - row.cost_low < 0.04
    assert (row.n, row.n_images) == (20_000, 5000)
    with pytest.raises(ValueError, match="images are both fitted on and fresh"):
        true_cost(both, both[both.domain == "medical"], **SIDES, method="platt", rng=rng)


def test_thresholds_are_chosen_on_other_images_than_maps_are_learned_on(both, rng):
    table = shifted_thresholds(both, **SIDES, target_risk=0.3, delta=0.2, rng=rng)
    assert table["confidence used"].tolist() == ["as stated", "corrected with general labels"]


def test_voters_are_the_wanted_ones_or_a_committee(both):
    told = both.assign(answer="yes")
    assert set(voters(told, MEDICAL, ["m"], ["s"]).dataset) == {"medical"}
    two = pd.concat([told, told.assign(model="n"), both.assign(model="silent", answer=None)])
    committee = voters(two, MEDICAL, ["m"], ["s"])
    assert set(committee.strategy) == {"m", "n"}  # who told no answer is no voter
    assert set(committee.model) == {"committee"}
    silent = pd.concat([both, both.assign(model="n")]).assign(answer=None)
    assert set(voters(silent, MEDICAL, ["m", "n"], ["s"]).model) == {"m", "n"}  # no committee
