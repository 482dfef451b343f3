"""How many labels: curves against maps fitted by hand, and what is read from them."""

from functools import partial

import numpy as np
import pandas as pd
import pytest

from medcal_nb.correct import fit, labels_needed
from medcal_nb.correct.labels import smallest_sizes
from medcal_nb.measure import brier_score, choose_clip

from .worlds import graded


def test_maps_are_fitted_on_labelled_rows_and_scored_on_the_others(rng):
    """Three draws, done by hand from their halves."""
    general = graded(rng, 300, "general", slope=0.9)
    medical = graded(rng, 200, "medical", slope=0.6, per_image=2, decimals=2)
    how = {"sizes": (100, 9999), "n_draws": 3, "rng": np.random.default_rng(4)}
    curve, needed = labels_needed(general, medical, **how)
    seed = int(np.random.default_rng(4).integers(2**63))
    draw = np.random.default_rng([seed, 0])
    image = np.arange(200) // 2
    make = partial(fit, clip=choose_clip(medical.confidence))
    scores = []
    for _ in range(3):
        scored = draw.permutation(100)[image] < 50
        own, other = medical[~scored], medical[scored]
        maps = [make(rows.confidence, rows.correct) for rows in (own, general)]
        scores.append([brier_score(m(other.confidence), other.correct) for m in maps])
    refitted, transferred = np.transpose(scores)
    row = curve.set_index("map").loc["refitted"]
    assert row["n"] == 100  # 9999 are not there to be drawn
    assert row["median"] == pytest.approx(np.median(refitted), abs=1e-6)
    assert row["share_better"] == (refitted < transferred).mean()
    assert needed.loc[0, ["n_min", "n_max", "share"]].tolist() == [100, 100, 0.95]


def test_the_number_of_labels_is_where_nearly_all_draws_win():
    """Not the median draw: at 20 labels one draw in four loses."""
    curve = pd.DataFrame({"n": [10, 20, 50, 100] * 2})
    curve["map"] = ["refitted"] * 4 + ["known"] * 4
    curve["share_better"] = [0.96, 0.75, 0.95, 1.0, 0.5, 0.6, 0.7, 0.9]
    row = smallest_sizes(curve, 0.95)
    assert row["n_refitted"] == 50  # 10 won by chance: not at every larger size
    assert np.isinf(row["n_known"])
    assert (row["n_min"], row["n_max"]) == (10, 100)


def test_sizes_out_of_reach_and_unknown_maps_are_refused(rng):
    both = graded(rng, 60, "general"), graded(rng, 60, "medical")
    with pytest.raises(ValueError, match="too few labelled images"):
        labels_needed(*both, sizes=(100,), rng=rng)
    with pytest.raises(ValueError, match="got 'magic'"):
        labels_needed(*both, method="magic", rng=rng)
