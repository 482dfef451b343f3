"""One known number, none, and the check: against worlds whose shift is known."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from medcal_nb.answers.recorded import load_recorded
from medcal_nb.correct import (
    ShiftWarning,
    check_shift,
    fit,
    share_removed,
    transfer_study,
)
from medcal_nb.measure import Bootstrap, calibration_slope

from .worlds import graded, sides


def by_outcome(rng, n, domain, rate):
    """Confidences whose distribution given the outcome is the same at every rate."""
    y = rng.random(n) < rate
    z = rng.normal(np.where(y, 0.8, -0.8), 1.2)
    return graded(rng, n, domain).assign(confidence=expit(z), correct=y.astype(float))


@pytest.fixture
def prior_shift(rng):
    source = by_outcome(rng, 4000, "general", 0.8)
    return pd.concat([source, by_outcome(rng, 3000, "medical", 0.4)])


@pytest.fixture
def other_shift(rng):
    source = graded(rng, 4000, "general", slope=1.5)
    return pd.concat([source, graded(rng, 3000, "medical", slope=0.2, shift=-0.5)])


def test_one_number_removes_the_cost_of_a_prior_shift_alone(prior_shift, other_shift):
    ci = Bootstrap(n=300)
    row = share_removed(transfer_study(*sides(prior_shift), ci=ci)).iloc[0]
    assert row.share_removed == pytest.approx(1, abs=0.03)
    assert row.share_removed_low < 1 < row.share_removed_high
    study = transfer_study(*sides(other_shift), ci=ci)
    row = share_removed(study).iloc[0]
    assert row.share_removed == pytest.approx(1 - row.cost_known / row.cost)
    assert row.share_removed_high < 0.9
    table = study.table.iloc[0]
    constant = (table.brier_transferred - table.brier_base) / table.cost
    assert row.share_constant == pytest.approx(constant)
    assert row.share_constant_low < constant < row.share_constant_high


def test_the_share_over_models_is_of_the_summed_cost(prior_shift):
    data = pd.concat([prior_shift, prior_shift.assign(model="n")])
    study = transfer_study(*sides(data), ci=Bootstrap(n=100))
    whole = share_removed(study).iloc[0]
    alone = share_removed(study, ["model"])
    assert (whole.pairs, len(alone)) == (2, 2)
    # the second model is a copy: the share is no better known than one
    width = whole.share_removed_high - whole.share_removed_low
    one = alone.iloc[0]
    assert width == pytest.approx(one.share_removed_high - one.share_removed_low)


def test_the_check_flags_what_is_no_prior_shift(prior_shift, other_shift):
    row = check_shift(*sides(prior_shift), ci=Bootstrap(n=200)).iloc[0]
    assert (row.flag, row.reason) == (False, "")
    assert row.distance < 0.05
    assert row.slope_transferred == pytest.approx(1, abs=0.15)
    source, target = sides(other_shift)
    with pytest.warns(ShiftWarning, match="1 of 1 shifts"):
        row = check_shift(source, target, ci=Bootstrap(n=200)).iloc[0]
    assert row.flag
    assert "slope" in row.reason
    # the slope of the transferred confidence, and not of the confidence as elicited
    mapped = fit(source.confidence, source.correct)(target.confidence)
    slope = calibration_slope(mapped, target.correct)
    assert row.slope_transferred == pytest.approx(slope, abs=0.005)
    elicited = calibration_slope(target.confidence, target.correct)
    assert row.slope_transferred < elicited - 0.04
    assert row.slope_transferred_high < 0.75


@pytest.mark.parametrize(
    ("target", "is_prior_shift"),
    [("screeningHighP", True), ("screeningMedP", True), ("challengeHighP", False)],
)
def test_screening_is_a_prior_shift_and_a_challenge_set_is_flagged(
    target, is_prior_shift
):
    """Radiologists of VIPER: screening at 11 % cancers to screening at 27 and 46 %.

    Sub-studies share cases: one half of them is the source's, the other the target's.
    """
    readings = load_recorded("viper").assign(model="radiologists")
    both = (
        readings.query("dataset == 'screeningLowP' and split == 'fit'"),
        readings[(readings.dataset == target) & (readings.split == "test")],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ShiftWarning)
        check = check_shift(*both).iloc[0]
    assert check["flag"] != is_prior_shift
    if is_prior_shift:
        study = transfer_study(*both, ci=Bootstrap(n=200))
        assert share_removed(study)["share_removed"].item() > 0.95
