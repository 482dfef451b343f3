"""Numbers stored in fewer bits are the decimals that they were written as."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcal_nb import measure
from medcal_nb.measure.decimals import shortest_decimals
from medcal_nb.measure.metrics import confidently_wrong


@given(st.lists(st.floats(2**-20, 1, width=32), min_size=1))
def test_singles_become_what_numpy_prints(values):
    singles = np.array(values, dtype="float32")
    printed = singles.astype(str).astype(float)
    np.testing.assert_array_equal(shortest_decimals(singles), printed)


def test_what_is_no_number_stays():
    odd = np.array([np.nan, np.inf, -np.inf, 0, -0.0], "float32")
    np.testing.assert_array_equal(shortest_decimals(odd), odd.astype(float))
    assert shortest_decimals(np.float32(0.1)) == 0.1
    assert shortest_decimals([]).shape == (0,)


@pytest.mark.parametrize("form", [np.asarray, pd.Series, pd.array])
@pytest.mark.parametrize("width", ["float16", "float32"])
def test_every_metric_is_the_same_for_every_width(rng, form, width):
    c = np.round(rng.uniform(0, 1, 400), 2)
    y = (rng.random(400) < c).astype(float)
    narrow = form(c.astype(width))
    assert confidently_wrong(form(np.array([0.9, 0.9], width)), [0, 0]) == 1
    for metric in (measure.ece, measure.brier_score, confidently_wrong):
        assert metric(narrow, y) == metric(c, y)
