"""With the image and without: what changes."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from medcal_nb.correct import image_ablation
from medcal_nb.errors import NotEnough
from medcal_nb.measure import Bootstrap

CI = Bootstrap(n=200)


@pytest.fixture
def asked(rng, n=400):
    """A strategy that looks at the image and one that knows only the question."""
    seen, question = rng.normal(0, 2, n), rng.normal(0.5, 1, n)
    truth = rng.random(n) < expit(seen + question)
    parts = []
    for strategy in ("looks", "guesses", "looks_blank", "guesses_blank"):
        z = question + seen * (strategy == "looks")
        part = pd.DataFrame({"item_id": [f"i{k:04d}" for k in range(n)]})
        part["image_id"] = [f"p{k // 2:04d}" for k in range(n)]
        part["answer"] = np.where(z > 0, "yes", "no")
        part["confidence"] = expit(np.abs(z))
        part["correct"] = pd.array((z > 0) == truth, dtype="boolean")
        parts.append(part.assign(strategy=strategy))
    frame = pd.concat(parts, ignore_index=True)
    return frame.assign(model="m", dataset="d", question_type="closed")


def test_what_ignores_the_image_changes_by_nothing(asked):
    table = image_ablation(asked, ci=CI)
    key = table.set_index("ensemble")
    blind, looks = (key.loc[k] for k in ("guesses", "looks"))
    assert blind.confidence_blank == blind.confidence_shown
    assert blind.accuracy_blank == blind.accuracy_shown
    assert blind.excess == 0
    assert looks.confidence_blank_high < looks.confidence_shown_low
    assert looks.accuracy_blank_high < looks.accuracy_shown_low
    fall = looks.confidence_blank - looks.confidence_shown
    loss = looks.accuracy_blank - looks.accuracy_shown
    assert looks.excess == pytest.approx(fall - loss)
    assert looks.excess_low < looks.excess < looks.excess_high
    assert (table[["n", "n_images"]] == [400, 200]).all(axis=None)


def test_items_that_someone_left_out_are_compared_nowhere(asked):
    silent = (asked.item_id == "i0003") & (asked.strategy == "looks_blank")
    asked.loc[silent, ["answer", "confidence", "correct"]] = [None, np.nan, pd.NA]
    asked = asked[~((asked.item_id == "i0010") & (asked.strategy == "guesses"))]
    assert (image_ablation(asked, ci=CI)["n"] == 398).all()
    with pytest.raises(NotEnough, match="no method was asked"):
        image_ablation(asked[~asked.strategy.str.endswith("_blank")])
