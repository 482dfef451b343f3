"""What is read off transfer studies: against worlds whose truth is known."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from medcal_nb.correct import share_removed, transfer_contrast, transfer_study
from medcal_nb.correct.transfer_tables import interval_of_models
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


# --- a contrast of two targets --------------------------------------------------------------------


def several(rng, n, name, shifts, per_image=2):
    """One model for each shift, about the same images."""
    parts = []
    for k, shift in enumerate(shifts):
        how = {"slope": 0.6, "shift": shift, "per_image": per_image, "model": f"m{k}"}
        parts.append(graded(rng, n, name, **how))
    return pd.concat(parts, ignore_index=True)


def studies(rng, shifts, others):
    source = several(rng, 900, "source", np.zeros(len(shifts)))
    targets = [several(rng, 300, f"t{i}", s) for i, s in enumerate((shifts, others))]
    return [transfer_study(source, target, ci=CI) for target in targets]


def test_a_contrast_is_the_difference_of_two_costs_on_common_resamples(rng):
    one, other = studies(rng, [-1.5, -1.2, -0.9], [0, 0, 0])
    table = transfer_contrast(one, other)
    assert table["model"].tolist() == ["m0", "m1", "m2", "all models"]
    np.testing.assert_allclose(table["cost_one"][:3], one.table["cost"])
    np.testing.assert_allclose(table["cost_other"][:3], other.table["cost"])
    costs = table["cost_one"] - table["cost_other"]
    np.testing.assert_allclose(table["cost_difference"], costs)
    gaps = one.draws["gap"][:, 0] - other.draws["gap"][:, 0]
    np.testing.assert_allclose(table["gap_difference"][:3], gaps)
    for value in ("cost", "gap"):
        contrast = table[f"{value}_difference"]
        assert contrast.iloc[3] == pytest.approx(contrast[:3].mean())
        # a shift costs, and is overconfidence
        assert (table[f"{value}_difference_low"][:3] > 0).all()
    same = transfer_contrast(one, one)
    assert (same["cost_difference"] == 0).all()


def test_what_is_not_paired_is_no_contrast(rng):
    source = graded(rng, 300, "source")
    target = graded(rng, 100, "target")
    one = transfer_study(source, target, ci=CI)
    with pytest.raises(ValueError, match="different sources"):
        transfer_contrast(one, transfer_study(source[:200], target, ci=CI))
    with pytest.raises(ValueError, match="or of other resamples"):
        transfer_contrast(one, transfer_study(source, target, ci=Bootstrap(n=50)))
    with pytest.raises(ValueError, match="no model, strategy and method in common"):
        transfer_contrast(one, transfer_study(source, target, method="isotonic", ci=CI))


@pytest.mark.parametrize("n_models", [3, 5])
@pytest.mark.parametrize("by_model", [0.0, 1.0])
@pytest.mark.parametrize("common", [0.0, 1.0])
def test_models_as_a_sample_cover_the_mean_of_all_models(n_models, by_model, common):
    """Differences of models, their own noise and one they share; resamples know the noise."""
    rng = np.random.default_rng([n_models, int(by_model), int(common)])
    inside = []
    for _ in range(1000):
        truth = by_model * rng.normal(size=n_models)
        noise = rng.normal(size=(n_models, 201)) + common * rng.normal(size=201)
        low, high = interval_of_models(truth[:, None] + noise, 0.95)
        inside.append(low <= 0 <= high)
    # Monte Carlo error .007
    assert np.mean(inside) > 0.93


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
