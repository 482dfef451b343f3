"""Shrinkage of group estimates."""

import numpy as np
import pytest

from medcal_nb.measure.groups import shrunken_estimates


def test_by_hand():
    # weights 100 each: fixed mean 0.2, Q = 2, spread (2 - 1) / 100 = 0.01, so half way
    shrunken, tau = shrunken_estimates([0.1, 0.3], [0.1, 0.1])
    assert tau == pytest.approx(0.1)
    assert shrunken == pytest.approx([0.15, 0.25])


def test_groups_no_more_different_than_chance_become_one():
    shrunken, tau = shrunken_estimates([0.10, 0.11, 0.09], [0.1, 0.1, 0.1])
    assert tau == 0
    assert shrunken == pytest.approx([0.10] * 3)


def test_the_less_sure_the_further(rng):
    values = np.array([0.0, 0.4, 0.4])
    shrunken, _ = shrunken_estimates(values, [0.05, 0.05, 0.2])
    assert shrunken[1] > shrunken[2] > shrunken[0]


def test_nearer_to_the_truth_than_raw_estimates(rng):
    truth = rng.normal(0.1, 0.05, 2000)
    s = rng.uniform(0.02, 0.1, 2000)
    raw = rng.normal(truth, s)
    shrunken, tau = shrunken_estimates(raw, s)
    assert tau == pytest.approx(0.05, abs=0.005)
    assert ((shrunken - truth) ** 2).mean() < 0.75 * ((raw - truth) ** 2).mean()


def test_missing_groups_stay_missing_and_bad_errors_are_named():
    shrunken, tau = shrunken_estimates([np.nan, 0.2], [np.nan, 0.1])
    assert np.isnan(shrunken[0])
    assert shrunken[1] == pytest.approx(0.2)
    assert tau == 0
    with pytest.raises(ValueError, match="1 are not, the first at position 1"):
        shrunken_estimates([0.1, 0.2], [0.1, 0.0])
