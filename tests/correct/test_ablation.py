"""With the image and without: what changes, and that nothing was learned from the blank one."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from medcal_nb.correct import fit, image_ablation, image_ablation_table
from medcal_nb.correct.crossfit import assign_folds
from medcal_nb.measure import Bootstrap
from medcal_nb.measure.rows import image_labels


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


def test_what_ignores_the_image_changes_by_nothing(asked, rng):
    pairs = image_ablation(asked, rng=rng)
    table = image_ablation_table(pairs, ci=Bootstrap(n=200))
    row = table.query("recalibration == 'uncorrected'").set_index("ensemble")
    blind, looks, average = (row.loc[k] for k in ("guesses", "looks", "average"))
    assert [blind.confidence_change, blind.accuracy_change] == pytest.approx([0, 0])
    assert looks.same_answer < 1 == blind.same_answer
    assert looks.confidence_change_high < 0
    assert looks.accuracy_change_high < 0
    assert looks.confidence_change < average.confidence_change < 0
    assert (table[["n", "n_images"]] == [400, 200]).all(axis=None)


def test_maps_are_learned_with_the_image_from_other_images(asked):
    pairs = image_ablation(asked, rng=np.random.default_rng(4))
    seed = int(np.random.default_rng(4).integers(2**63))
    by_name = dict(list(asked.groupby("strategy")))
    shown, blank = (by_name[s].reset_index() for s in ("looks", "looks_blank"))
    fold = assign_folds(image_labels(shown), 5, rng=np.random.default_rng([seed, 0]))
    got = pairs.query("ensemble == 'looks' and recalibration == 'platt'").reset_index()
    for k in range(5):
        learn, own = shown[fold != k], fold == k
        platt = fit(learn.confidence, learn.correct.astype(float))
        for mapped, rows in (("shown", shown), ("blank", blank)):
            expected = platt(rows.confidence[own])
            np.testing.assert_allclose(got[f"confidence_{mapped}"][own], expected)


def test_items_that_someone_left_out_are_compared_nowhere(asked, rng):
    silent = (asked.item_id == "i0003") & (asked.strategy == "looks_blank")
    asked.loc[silent, ["answer", "confidence", "correct"]] = [None, np.nan, pd.NA]
    asked = asked[~((asked.item_id == "i0010") & (asked.strategy == "guesses"))]
    pairs = image_ablation(asked, rng=rng)
    assert pairs.groupby(["ensemble", "recalibration"]).size().eq(398).all()
    assert not pairs.item_id.isin(["i0003", "i0010"]).any()
    assert image_ablation(asked[~asked.strategy.str.endswith("_blank")], rng=rng).empty
