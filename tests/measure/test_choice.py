"""Which strategy to take: by cost, chosen and judged on different images."""

import numpy as np
import pandas as pd
import pytest

from medcal_nb import measure
from medcal_nb.measure import MeasureWarning


def strategy(name, c, y, tokens=100, images=300):
    n = c.size
    return pd.DataFrame(
        {
            "dataset": "d",
            "strategy": name,
            "item_id": np.arange(n),
            "image_id": np.arange(n) % images,
            "modality": np.where(np.arange(n) % images < 100, "ct", "mri"),
            "confidence": c,
            "correct": y,
            "prompt_tokens": tokens,
            "new_tokens": 0,
        }
    )


@pytest.fixture
def graded(rng):
    p = rng.beta(3, 1.5, 600)
    y = rng.random(600) < p
    blind = np.full(600, y.mean())
    return pd.concat(
        [
            strategy("knowing", p, y),
            strategy("as good", np.clip(p + 0.001, 0, 1), y, tokens=900),
            strategy("blind", blind, y, tokens=50),
        ]
    )


def test_costs_by_hand():
    c, y = np.array([0.95, 0.6, 0.95, 0.95] * 30), np.array([1, 1, 0, 1] * 30)
    one = strategy("s", c, y, tokens=500, images=120)
    one.loc[one.index[3::4], "confidence"] = np.nan  # silent answers are checked
    table = measure.choose_strategy(
        pd.concat([one, one.assign(strategy="t")]),
        cost_wrong=1.0,
        cost_check=0.2,
        cost_tokens=0.02,
        rng=np.random.default_rng(0),
    )
    # each four: one kept right, one checked, one kept wrong, one checked
    assert table["cost"].tolist() == pytest.approx(
        [(0.2 + 1 + 0.2) / 4 + 0.01] * 2, abs=0.01
    )
    assert table["checked"].tolist() == pytest.approx([0.5, 0.5], abs=0.02)
    assert table["risk"].tolist() == pytest.approx([0.5, 0.5], abs=0.02)
    # the same answers twice: no difference at all
    assert set(table["conclusion"]) == {"chosen", "equivalent"}
    assert table["n"].tolist() == [120, 120]


def test_the_better_one_is_chosen_and_conclusions_are_drawn(graded, rng):
    table = measure.choose_strategy(
        graded, cost_check=0.3, margin=0.02, rng=rng
    ).set_index("strategy")
    assert table.loc["blind", "conclusion"] == "dearer"
    assert table.loc["blind", "difference_low"] > 0
    assert set(table.loc[["knowing", "as good"], "conclusion"]) == {
        "chosen",
        "equivalent",
    }
    assert table["chosen"].sum() == 1
    assert table["share_chosen"].sum() == pytest.approx(1)
    assert table.loc["blind", "share_chosen"] == 0
    assert table["n_images"].tolist() == [300] * 3


def test_few_answers_are_no_equivalence():
    """Two methods of the same worth on 50 images: a difference cannot be ruled out."""
    rng = np.random.default_rng(1)
    parts = [
        strategy(name, rng.random(50), rng.random(50) < 0.5, images=50)
        for name in ("a", "b")
    ]
    table = measure.choose_strategy(pd.concat(parts), cost_check=0.3, rng=rng)
    assert set(table["conclusion"]) == {"chosen", "inconclusive"}


def platt(confidence, correct, images):
    from medcal_nb import correct as maps

    return maps.fit(confidence, correct, method="platt")


def test_maps_are_fitted_inside_each_half(rng):
    p = rng.beta(3, 1.5, 600)
    over = strategy("s", p**0.2, rng.random(600) < p)
    seen = []

    def fit(confidence, correct, images):
        seen.append(set(images))
        return platt(confidence, correct, images)

    table = measure.choose_strategy(over, fit=fit, cost_check=0.3, n_splits=6, rng=rng)
    assert table["map"].tolist() == ["recalibrated", "uncorrected"]
    assert table.loc[0, "chosen"]
    assert len(seen) == 6
    assert all(len(images) == 150 for images in seen)


def test_grades_of_the_judged_half_do_not_move_the_choice():
    """What is judged is never learned: other grades there leave choice and map alone."""
    rng = np.random.default_rng(2)
    p = rng.beta(3, 1.5, 400)
    both = pd.concat(
        [
            strategy("s", p**0.3, rng.random(400) < p, images=400),
            strategy("t", p**0.5, rng.random(400) < p, images=400),
        ]
    )
    fitted_on = []

    def fit(confidence, correct, images):
        fitted_on.append(np.unique(images))
        return platt(confidence, correct, images)

    options = {"fit": fit, "cost_check": 0.3, "n_splits": 1}
    first = measure.choose_strategy(both, **options, rng=np.random.default_rng(5))
    # images are numbered in the order of their labels
    labels = np.array(sorted(f"d/{image}" for image in range(400)))
    learned = labels[fitted_on[0]]
    judged = ~("d/" + both["image_id"].astype(str)).isin(learned)
    flipped = both.assign(correct=both["correct"].where(~judged, ~both["correct"]))
    second = measure.choose_strategy(flipped, **options, rng=np.random.default_rng(5))
    keys = ["strategy", "map"]
    columns = ["share_chosen", "checked"]
    pd.testing.assert_frame_equal(
        first.set_index(keys)[columns].sort_index(),
        second.set_index(keys)[columns].sort_index(),
    )


def test_tokens_can_decide(graded, rng):
    table = measure.choose_strategy(graded, cost_check=0.15, cost_tokens=1.0, rng=rng)
    assert table.set_index("strategy").loc["as good", "difference"] > 0.7


def test_a_map_of_a_strategy_competes_with_it(rng):
    p = rng.beta(3, 1.5, 600)
    y = rng.random(600) < p
    over = strategy("s", p**0.2, y)
    both = pd.concat([over, strategy("s", p, y).assign(map="platt")])
    table = measure.choose_strategy(both, cost_check=0.3, rng=rng)
    assert table["map"].tolist() == ["platt", "uncorrected"]
    assert table.loc[0, "chosen"]


def test_a_limited_risk_binds(graded):
    free = measure.choose_strategy(graded, cost_check=0.6, rng=np.random.default_rng(1))
    bound = measure.choose_strategy(
        graded, cost_check=0.6, max_risk=0.2, rng=np.random.default_rng(1)
    )
    free = free.set_index("strategy")
    bound = bound.set_index("strategy")
    assert bound.loc["knowing", "checked"] > free.loc["knowing", "checked"]
    assert bound.loc["blind", "checked"] == 1
    assert np.isnan(bound.loc["blind", "risk"])


def test_an_item_answered_twice_is_refused(graded, rng):
    with pytest.raises(ValueError, match="choose within one model"):
        measure.choose_strategy(pd.concat([graded, graded]), rng=rng)


def test_within_groups_where_there_are_enough(graded, rng):
    few = graded["image_id"] < 20
    graded["modality"] = graded["modality"].where(~few, "pet")
    with pytest.warns(MeasureWarning, match=r"pet: .*too few"):
        table = measure.choose_strategy(graded, by=["modality"], rng=rng)
    assert set(table["modality"]) == {"ct", "mri"}
    assert table.groupby("modality")["chosen"].sum().tolist() == [1, 1]
    assert table["p_holm"].notna().sum() == table["p"].notna().sum()


def test_the_procedure_is_judged_on_other_images():
    """Eight methods of pure chance: what each split chooses is not better than the rest."""
    rng = np.random.default_rng(4)
    gaps = []
    for _ in range(30):
        parts = [
            strategy(str(k), rng.random(200), rng.random(200) < 0.5, images=100)
            for k in range(8)
        ]
        table = measure.choose_strategy(
            pd.concat(parts), cost_check=0.3, n_resamples=50, n_splits=5, rng=rng
        )
        gaps.append(table["procedure_cost"][0] - table["cost"].mean())
    assert abs(np.mean(gaps)) < 4 * np.std(gaps) / np.sqrt(30)


def test_one_strategy_alone_is_chosen(graded, rng):
    alone = graded[graded["strategy"] == "blind"].drop(
        columns=["prompt_tokens", "new_tokens"]
    )
    table = measure.choose_strategy(alone, rng=rng)
    assert table["conclusion"].tolist() == ["chosen"]
    assert table["share_chosen"].tolist() == [1]
