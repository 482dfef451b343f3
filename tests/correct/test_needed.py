"""How many labels a refit needs: known worlds, and crossings counted by hand."""

import numpy as np
import pandas as pd

from medcal_nb.correct import label_draws, label_table, labels_needed_table

from .worlds import graded


def test_a_map_from_a_like_source_is_not_beaten_and_a_constant_is(rng):
    source, target = graded(rng, 1500, "general"), graded(rng, 800, "medical")
    draws = label_draws(source, target, sizes=[20, 300, 600], n_draws=8, rng=rng)
    assert sorted(draws["labels"].unique()) == [20, 300]  # half of 800
    assert draws.groupby(["labels", "stage"]).size().eq(8).all()
    table = label_table(draws).set_index(["stage", "labels"])["brier"]
    assert table["refitted", 300] < table["refitted", 20]
    assert table["refitted", 300] < table["constant", 300]
    assert abs(table["refitted", 300] - table["transferred", 300]) < 0.01


def test_where_curves_cross_is_the_first_size_from_which_on_it_holds():
    rows = []
    briers = {20: [0.4, 0.1], 50: [0.1, 0.3], 100: [0.1, 0.1]}
    for labels, of_draws in briers.items():
        for draw, brier in enumerate(of_draws):
            for name, value in (
                ("refitted", brier),
                ("constant", 0.21),
                ("transferred", 0),
            ):
                rows.append((draw, labels, name, value))
    draws = pd.DataFrame(rows, columns=["draw", "labels", "stage", "brier"])
    table = labels_needed_table(draws.assign(model="m", strategy="s", n=9))
    constant, transferred = table.to_dict("records")
    assert constant["labels_needed"] == 50  # means .25, .20, .10
    assert (constant["labels_needed_low"], constant["labels_needed_high"]) == (50, 100)
    assert transferred["labels_needed"] == np.inf
