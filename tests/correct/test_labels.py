"""How many labels: curves against maps fitted by hand, and what is read from them."""

import numpy as np
import pandas as pd
import pytest

from medcal_nb.correct import fit, labels_needed
from medcal_nb.correct.labels import smallest_sizes
from medcal_nb.measure import brier_score

from .worlds import graded, sides


def test_a_refit_overtakes_and_the_intercept_alone_does_so_sooner(rng):
    both = (
        graded(rng, 3000, "general", slope=0.8),
        graded(rng, 3000, "medical", slope=0.7, shift=-0.5),
    )
    sizes = (10, 50, 400, 1000, 9999)
    curve, needed = labels_needed(*both, sizes=sizes, n_draws=100, rng=rng)
    wide = curve.pivot(index="n", columns="map", values="median")
    assert wide.index.tolist() == [10, 50, 400, 1000]  # 9999 are not there to be drawn
    assert wide["refitted"].is_monotonic_decreasing
    assert wide.loc[10, "refitted"] > wide.loc[10, "transferred"]
    assert wide.loc[1000, "refitted"] < wide.loc[1000, "transferred"]
    assert (wide["known"] < wide["refitted"]).loc[[10, 50]].all()
    row = needed.iloc[0]
    assert row.n_known <= row.n_refitted
    assert row.n_refitted in (50, 400)
    assert (row.n_min, row.n_max, row.share) == (10, 1000, 0.95)


def test_maps_are_fitted_on_labelled_rows_and_scored_on_the_others(rng):
    """One draw, done by hand from its two halves."""
    general = graded(rng, 300, "general", slope=0.9)
    medical = graded(rng, 200, "medical", slope=0.6, per_image=2, decimals=2)
    how = {"sizes": (100,), "n_draws": 2, "rng": np.random.default_rng(4)}
    curve, _ = labels_needed(general, medical, **how)
    seed = int(np.random.default_rng(4).integers(2**63))
    draw = np.random.default_rng([seed, 0])
    image = np.arange(200) // 2
    scores = []
    for _ in range(2):
        scored = draw.permutation(100)[image] < 50
        own = medical[~scored]
        inside = medical.confidence.between(0, 1, inclusive="neither").all()
        clip = 1e-6 if inside else 0.005
        refitted = fit(own.confidence, own.correct, clip=clip)
        other = medical[scored]
        scores.append(brier_score(refitted(other.confidence), other.correct))
    row = curve[curve["map"] == "refitted"].iloc[0]
    assert row["median"] == pytest.approx(np.median(scores), abs=1e-6)


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
    data = pd.concat([graded(rng, 60, "general"), graded(rng, 60, "medical")])
    with pytest.raises(ValueError, match="too few labelled images"):
        labels_needed(*sides(data), sizes=(100,), rng=rng)
    with pytest.raises(ValueError, match="got 'magic'"):
        labels_needed(*sides(data), method="magic", rng=rng)
