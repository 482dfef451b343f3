"""Maps fitted on one side and on folds by image, and what they are applied to."""

import numpy as np
import pandas as pd
import pytest

from medcal_nb.correct import corrected, fit, transfer_study
from medcal_nb.measure import auroc, brier_score
from medcal_nb.measure.resampling import choose_clip

from .worlds import graded, sides, with_options


@pytest.fixture
def both(rng):
    return pd.concat([graded(rng, 400, "general", slope=0.6),
                      graded(rng, 300, "medical", slope=0.5, per_image=3)])  # fmt: skip


def test_stages_are_the_maps_of_the_study(both):
    settings = {"method": "platt", "rng": np.random.default_rng(0)}
    stages = corrected(*sides(both), **settings)
    assert list(dict.fromkeys(stages.labels)) == ["raw", "source", "target"]
    g, m = (both[both.domain == d] for d in ("general", "medical"))
    carried = stages[stages.labels == "source"]
    clip = choose_clip(both.confidence)
    expected = fit(g.confidence, g.correct, clip=clip)(m.confidence)
    np.testing.assert_allclose(carried.confidence, expected)
    raw = stages[stages.labels == "raw"]
    area = auroc(expected, m.correct)
    assert auroc(raw.confidence, raw.correct) == pytest.approx(area)
    rng = np.random.default_rng(0)
    table = transfer_study(*sides(both), n_resamples=2, rng=rng).table
    assert table.brier_transferred[0] == pytest.approx(brier_score(expected, m.correct))
    with pytest.raises(ValueError, match="images are both source"):
        corrected(m, both, **settings)


def test_without_a_source_answers_stand_as_stated_and_with_their_own_map(rng):
    rows = pd.concat(
        [with_options(rng, 600, "medical", 2.0), graded(rng, 4, "medical", model="n")]
    )
    table = corrected(None, rows, method="platt", rng=rng)
    assert table.groupby(["model", "labels"]).size().to_dict() == {
        ("m", "raw"): 600, ("m", "target"): 600, ("n", "raw"): 4
    }  # fmt: skip
    assert (table[table.labels == "target"].fold >= 0).all()
    moved = corrected(None, rows[rows.model == "m"], method="log_odds", rng=rng)
    parts = moved.groupby("labels")
    score = {k: brier_score(part.confidence, part.correct) for k, part in parts}
    assert score["target"] < score["raw"] - 0.01
