"""With the image and without: what falls, and that nothing was learned from the blank one."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from medcal_nb.correct import (
    blank_pairs,
    fit_fusion,
    fit_platt,
    image_reliance_table,
    image_sentence,
)
from medcal_nb.correct.recalibrate import assign_folds


def asked(rng, n=400):
    """A strategy that looks at the image and one that knows only the question."""
    seen, question = rng.normal(0, 2, n), rng.normal(0.5, 1, n)
    truth = rng.random(n) < expit(seen + question)
    frames = {"shown": [], "blank": []}
    for image in frames:
        for strategy in ("looks", "guesses"):
            z = question + seen * (strategy == "looks" and image == "shown")
            says_yes = z > 0
            frames[image].append(
                pd.DataFrame(
                    {
                        "model": "m", "dataset": "d", "strategy": strategy,
                        "item_id": [f"i{k:04d}" for k in range(n)],
                        "image_id": [f"p{k // 2:04d}" for k in range(n)],
                        "question_type": "closed",
                        "answer": np.where(says_yes, "yes", "no"),
                        "confidence": expit(np.abs(z)),
                        "correct": pd.array(says_yes == truth, dtype="boolean"),
                        "new_tokens": 2,
                    }
                )
            )  # fmt: skip
    return tuple(pd.concat(parts, ignore_index=True) for parts in frames.values())


@pytest.fixture
def both(rng):
    return asked(rng)


def test_what_ignores_the_image_falls_by_nothing(both, rng):
    pairs = blank_pairs(*both, rng=rng)
    table = image_reliance_table(pairs, n_resamples=200, rng=rng)
    row = table.set_index(["system", "correction"])
    blind, looks = row.loc[("guesses", "none")], row.loc[("looks", "none")]
    assert [blind.confidence_fall, blind.accuracy_fall] == pytest.approx([0, 0])
    assert blind.same_answer == pytest.approx(1)
    assert blind.correlation == pytest.approx(1)
    assert looks.confidence_fall_low > 0
    assert looks.accuracy_fall_low > 0
    assert looks.same_answer < 1
    assert looks.correlation < 0.5
    fused = row.loc[("fusion", "none")]
    assert 0 < fused.confidence_fall < looks.confidence_fall
    for name in ("confidence_fall", "accuracy_fall", "excess", "correlation"):
        assert (table[f"{name}_low"] <= table[name] + 1e-12).all(), name
        assert (table[name] <= table[f"{name}_high"] + 1e-12).all(), name
    assert (table.n == 400).all()
    assert (table.n_images == 200).all()


def test_maps_are_learned_with_the_image_from_other_images(both):
    pairs = blank_pairs(*both, rng=np.random.default_rng(4))
    seed = int(np.random.default_rng(4).integers(2**63))
    shown, blank = (f[f.strategy == "looks"].set_index("item_id") for f in both)
    fold = assign_folds(shown.image_id, 5, rng=np.random.default_rng([seed, 0]))
    rows = pairs.set_index(["system", "correction", "image", "item_id"])
    trained_shown, trained_blank = (f.set_index("item_id", drop=False) for f in both)
    for k in range(5):
        own = shown.index[fold == k]
        learn = shown[fold != k]
        platt = fit_platt(learn.confidence, learn.correct.astype(float))
        fusion = fit_fusion(trained_shown[~trained_shown.item_id.isin(own)])
        for image, frame, votes in (
            ("shown", shown, trained_shown),
            ("blank", blank, trained_blank),
        ):
            got = rows.loc[("looks", "platt", image)].loc[own]
            np.testing.assert_allclose(got.confidence, platt(frame.loc[own].confidence))
            got = rows.loc[("fusion_trained", "trained", image)].loc[own]
            theirs = fusion(votes.loc[own].reset_index(drop=True)).set_index("item_id").loc[own]
            np.testing.assert_allclose(got.confidence.astype(float), theirs.confidence, rtol=1e-6)


def test_items_that_someone_left_out_are_compared_nowhere(both, rng):
    shown, blank = both
    blank.loc[3, ["answer", "confidence", "correct"]] = [None, np.nan, pd.NA]
    shown = shown[~((shown.item_id == "i0010") & (shown.strategy == "guesses"))]
    pairs = blank_pairs(shown, blank, rng=rng)
    assert pairs.groupby(["system", "correction", "image"]).size().eq(398).all()
    assert not pairs.item_id.isin(["i0003", "i0010"]).any()


def test_the_sentence_follows_the_numbers(both, rng):
    pairs = blank_pairs(*both, rng=rng)
    table = image_reliance_table(pairs, n_resamples=100, rng=rng)
    text = image_sentence(table)
    fused = table[(table.system == "fusion") & (table.correction == "none")].iloc[0]
    assert f"{fused.confidence_fall:.3f} [{fused.confidence_fall_low:.3f}" in text
    assert ("less than the accuracy" in text) == (fused.excess_high < 0)
    high = table.assign(excess_low=0.1, excess_high=0.2)
    assert "more than the accuracy" in image_sentence(high)
    low = table.assign(excess_low=-0.2, excess_high=-0.1)
    assert "for 2 of them by less than the accuracy" in image_sentence(low)
    with pytest.raises(ValueError, match="no row of 'ms_fbi'"):
        image_sentence(table, fusion="ms_fbi")


def test_bad_requests_are_refused(both, rng):
    shown, blank = both
    with pytest.raises(ValueError, match="share no strategy"):
        blank_pairs(shown, blank.assign(strategy="other"), rng=rng)
    with pytest.raises(ValueError, match="share no model and dataset"):
        blank_pairs(shown, blank.assign(model="other"), rng=rng)
