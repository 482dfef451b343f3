"""What is read off transfer studies: against worlds whose truth is known."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from medcal_nb.correct import cost_table, share_removed, transfer_study
from medcal_nb.measure import Bootstrap

from .worlds import graded, sides

CI = Bootstrap(n=200)


def by_outcome(rng, n, domain, rate):
    """Confidences whose distribution given the outcome is the same at every rate."""
    y = rng.random(n) < rate
    z = rng.normal(np.where(y, 0.8, -0.8), 1.2)
    return graded(rng, n, domain).assign(confidence=expit(z), correct=y.astype(float))


@pytest.fixture
def prior_shift(rng):
    source = by_outcome(rng, 4000, "general", 0.8)
    return pd.concat([source, by_outcome(rng, 3000, "medical", 0.4)])


def test_one_number_removes_the_cost_of_a_prior_shift_alone(prior_shift, rng):
    row = share_removed(transfer_study(*sides(prior_shift), ci=CI)).iloc[0]
    assert row.share_removed == pytest.approx(1, abs=0.03)
    assert row.share_removed_low < 1 < row.share_removed_high
    source = graded(rng, 4000, "general", slope=1.5)
    target = graded(rng, 3000, "medical", slope=0.2, shift=-0.5)
    study = transfer_study(source, target, ci=CI)
    row = share_removed(study).iloc[0]
    table = study.table.iloc[0]
    assert row.share_removed == pytest.approx(1 - table.cost_known / table.cost)
    assert row.share_removed_high < 0.9
    constant = (table.brier_transferred - table.brier_base) / table.cost
    assert row.share_constant == pytest.approx(constant)
    assert row.share_constant_low < constant < row.share_constant_high


def test_the_share_over_models_is_of_the_summed_cost(prior_shift):
    data = pd.concat([prior_shift, prior_shift.assign(model="n")])
    shares = []
    for answers in (data, prior_shift):
        study = transfer_study(*sides(answers), ci=Bootstrap(n=100))
        shares.append(share_removed(study).iloc[0])
    both, one = shares
    assert (both.n_models, one.n_models) == (2, 1)
    # the second model is a copy: the share is no better known than one
    width = both.share_removed_high - both.share_removed_low
    assert width == pytest.approx(one.share_removed_high - one.share_removed_low)
    # a cost that is not clearly above the margin has no share
    none = share_removed(study, margin=1).iloc[0]
    assert np.isnan([none.share_removed, none.share_constant_high]).all()


def several(rng, n, name, shifts, per_image=2):
    """One model for each shift, about the same images."""
    parts = []
    for k, shift in enumerate(shifts):
        how = {"slope": 0.6, "shift": shift, "per_image": per_image, "model": f"m{k}"}
        parts.append(graded(rng, n, name, **how))
    return pd.concat(parts, ignore_index=True)


# --- what a perfect map would be charged ----------------------------------------------------------


def test_the_floor_is_the_mean_cost_of_a_perfect_map(rng):
    """Models whose source has the target's truth, and so many answers that its map is perfect."""
    shifts = np.zeros(50)
    source = several(rng, 2500, "source", shifts[:1])
    learn = pd.concat([source.assign(model=f"m{k}") for k in range(50)])
    judge = several(rng, 150, "target", shifts)
    table = transfer_study(learn, judge, ci=Bootstrap(n=40)).table
    error = table["cost"].std() / np.sqrt(len(table))
    assert abs(table["cost"].mean() - table["cost_floor"].mean()) < 3 * error
    assert table["cost"].mean() < -3 * error  # so that 0 is no floor


def test_costs_of_many_maps_are_of_the_answers_that_have_a_confidence(rng):
    """As those of the study of one map; rows without a confidence cost nothing and everything."""
    source = graded(rng, 400, "general", slope=1.5)
    target = graded(rng, 400, "medical", slope=0.5, shift=-0.5)
    target.loc[target.index[::4], "confidence"] = np.nan
    table = cost_table(source, target, methods=["platt", "isotonic"], ci=CI)
    assert table["n"].tolist() == [300, 300]
    assert (table["cost_low"] < table["cost"]).all()
    study = transfer_study(source, target, ci=CI).table.iloc[0]
    assert table.loc[0, "cost"] == pytest.approx(study["cost"], abs=0.003)
    stated = target.dropna(subset="confidence")
    pd.testing.assert_frame_equal(
        cost_table(source, stated, methods=["platt", "isotonic"], ci=CI), table
    )
