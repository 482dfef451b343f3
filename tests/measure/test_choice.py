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
        [(0.2 + 1 + 0.2) / 4 + 0.01] * 2, abs=0.1
    )
    assert table["checked"].tolist() == pytest.approx([0.5, 0.5], abs=0.1)
    assert table["tied"].all()
    assert table["n"].tolist() == [60, 60]


def test_the_better_one_is_chosen_and_ties_are_said(graded, rng):
    table = measure.choose_strategy(graded, cost_check=0.3, rng=rng).set_index(
        "strategy"
    )
    assert not table.loc["blind", "tied"]
    assert table.loc["blind", "difference_low"] > 0
    assert table.loc[["knowing", "as good"], "tied"].all()
    assert table["chosen"].sum() == 1
    tied = [f"{name} (as stated)" for name in table.index[table["tied"]]]
    told = measure.choice_sentence(table.reset_index())
    assert "(300 answers on 150 images)" in told
    assert "2 of 3 cannot be told apart" in told
    assert told.endswith(f"the cheapest first: {', '.join(tied)}.")


def test_tokens_can_decide(graded, rng):
    table = measure.choose_strategy(graded, cost_check=0.15, cost_tokens=1.0, rng=rng)
    assert table.set_index("strategy").loc["as good", "difference"] > 0.7


def test_a_map_of_a_strategy_competes_with_it(rng):
    p = rng.beta(3, 1.5, 600)
    y = rng.random(600) < p
    over = strategy("s", p**0.2, y)
    both = pd.concat([over, strategy("s", p, y).assign(map="platt")])
    table = measure.choose_strategy(both, cost_check=0.3, rng=rng)
    assert table["map"].tolist() == ["platt", "as stated"]
    assert table.loc[0, "chosen"]
    assert measure.choice_sentence(table).startswith("s (platt) was chosen")


def test_errors_allowed_bind(graded, rng):
    free = measure.choose_strategy(graded, cost_check=0.6, rng=np.random.default_rng(1))
    bound = measure.choose_strategy(
        graded, cost_check=0.6, errors_allowed=0.2, rng=np.random.default_rng(1)
    )
    pick = (free["strategy"] == "knowing"), (bound["strategy"] == "knowing")
    assert bound.loc[pick[1], "checked"].iloc[0] > free.loc[pick[0], "checked"].iloc[0]
    assert np.isinf(bound.loc[bound["strategy"] == "blind", "threshold"]).all()


def test_within_groups_where_there_are_enough(graded, rng):
    few = graded["image_id"] < 20
    graded["modality"] = graded["modality"].where(~few, "pet")
    with pytest.warns(MeasureWarning, match="pet: .* images in a half are too few"):
        table = measure.choose_strategy(graded, by=["modality"], rng=rng)
    assert set(table["modality"]) == {"ct", "mri"}
    assert table.groupby("modality")["chosen"].sum().tolist() == [1, 1]
    assert table["p_holm"].notna().sum() == table["p"].notna().sum()


def test_chosen_on_one_half_and_judged_on_the_other():
    """Twenty strategies of pure chance: the winner of its half is not better on the other."""
    rng = np.random.default_rng(4)
    costs, all_costs = [], []
    for _ in range(40):
        parts = [
            strategy(str(k), rng.random(200), rng.random(200) < 0.5, images=100)
            for k in range(8)
        ]
        table = measure.choose_strategy(
            pd.concat(parts), cost_check=0.3, n_resamples=50, rng=rng
        )
        costs.append(table.loc[table["chosen"], "cost"].iloc[0])
        all_costs.append(table["cost"].mean())
    gap = np.array(costs) - np.array(all_costs)
    assert abs(gap.mean()) < 4 * gap.std() / np.sqrt(40)


def test_one_strategy_alone_is_chosen(graded, rng):
    alone = graded[graded["strategy"] == "blind"].drop(
        columns=["prompt_tokens", "new_tokens"]
    )
    table = measure.choose_strategy(alone, rng=rng)
    assert "1 of 1 cannot be told apart" in measure.choice_sentence(table)
