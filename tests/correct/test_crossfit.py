"""Maps fitted on one side and on folds by image, and what they are applied to."""

import numpy as np
import pandas as pd
import pytest

from medcal_nb.correct import corrected, fit, transfer_study
from medcal_nb.measure import Bootstrap, brier_score

from .worlds import graded, with_options


def test_stages_are_the_maps_of_the_study(rng):
    g = graded(rng, 400, "general", slope=0.6)
    m = graded(rng, 300, "medical", slope=0.5, per_image=3)
    stages = corrected(g, m, rng=rng)
    assert list(dict.fromkeys(stages.labels)) == ["raw", "source", "target"]
    expected = fit(g.confidence, g.correct)(m.confidence)
    transferred = stages[stages.labels == "source"]
    np.testing.assert_allclose(transferred.confidence, expected)
    table = transfer_study(g, m, ci=Bootstrap(n=2)).table
    assert table.brier_transferred[0] == pytest.approx(brier_score(expected, m.correct))


def test_without_a_source_answers_stand_as_stated_and_with_their_own_map(rng):
    few = graded(rng, 4, "medical", model="n")
    rows = pd.concat([with_options(rng, 600, "medical", 2.0), few])
    table = corrected(None, rows, method="platt", rng=rng)
    sizes = {("m", "raw"): 600, ("m", "target"): 600, ("n", "raw"): 4}
    assert table.groupby(["model", "labels"]).size().to_dict() == sizes
    assert (table[table.labels == "target"].fold >= 0).all()
    moved = corrected(None, rows[rows.model == "m"], method="log_odds", rng=rng)
    parts = moved.groupby("labels")
    score = {k: brier_score(part.confidence, part.correct) for k, part in parts}
    assert score["target"] < score["raw"] - 0.01
