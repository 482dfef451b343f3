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
    assert table["cost"].tolist() == pytest.approx([(0.2 + 1 + 0.2) / 4 + 0.01] * 2, abs=0.1)
    assert table["checked"].tolist() == pytest.approx([0.5, 0.5], abs=0.1)
    assert table["tied"].all()
    assert table["n"].tolist() == [60, 60]


def test_the_better_one_is_chosen_and_ties_are_said(graded, rng):
    table = measure.choose_strategy(graded, cost_check=0.3, rng=rng).set_index("strategy")
    assert not table.loc["blind", "tied"]
    assert table.loc["blind", "difference_low"] > 0
    assert table.loc[["knowing", "as good"], "tied"].all()
    assert table["chosen"].sum() == 1
    told = measure.choice_sentence(table.reset_index())
    assert "2 of 3 cannot be told apart" in told
    assert told.endswith("of these knowing takes the fewest tokens.")
    assert "(300 answers" not in told or table["n_images"].iloc[0] == 150


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
    assert measure.choice_sentence(table).startswith("s with platt was chosen")


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
            strategy(str(k), rng.random(200), rng.random(200) < 0.5, images=100) for k in range(8)
        ]
        table = measure.choose_strategy(pd.concat(parts), cost_check=0.3, n_resamples=50, rng=rng)
        costs.append(table.loc[table["chosen"], "cost"].iloc[0])
        all_costs.append(table["cost"].mean())
    gap = np.array(costs) - np.array(all_costs)
    assert abs(gap.mean()) < 4 * gap.std() / np.sqrt(40)


def test_nothing_is_said_of_tokens_that_nobody_told(graded, rng):
    table = measure.choose_strategy(graded.drop(columns=["prompt_tokens", "new_tokens"]), rng=rng)
    assert "tokens" not in measure.choice_sentence(table)
    one = measure.choose_strategy(graded[graded["strategy"] == "blind"], rng=rng)
    assert "others" not in measure.choice_sentence(one)


@pytest.mark.parametrize(
    ("kept", "wrong", "title"),
    [
        (0, 0, "No answer may stand alone: with 20 % errors allowed"),
        (50, 5, "Keep half, check half: of 100 answers 50 are kept, 5 of them wrong, as allowed"),
        (30, 9, "Keep 30, check 70 of 100 answers: with 20 % errors allowed, 9 of 30 kept are"),
    ],
)
def test_a_title_says_what_is_kept(kept, wrong, title):
    shares = {"test_coverage": [kept / 100], "test_missed": [wrong / 100]}
    shares["test_risk"] = [wrong / kept if kept else np.nan]
    row = measure.of_hundred(pd.DataFrame(shares)).iloc[0]
    told = measure.keep_title(row, errors_allowed=0.2)
    assert told.startswith(title)
    assert told.endswith("more than allowed") == (kept == 30)


def test_where_deferring_pays_is_read_off_both_differences():
    t = np.array([0.1, 0.2, 0.5])
    lows = {"net_benefit_low": [0.1, 0.1, -0.1], "over_all_low": [-0.1, 0.1, 0.1]}
    one = pd.DataFrame({"threshold": t, "labels used": "as stated"} | lows)
    two = one.assign(**{"labels used": "medical labels", "over_all_low": -1.0})
    told = measure.pays_title(pd.concat([one, two]), "labels used")
    assert told == (
        "Deferring pays where an error is worth 4 checks as stated, and never with medical labels"
    )
    lows = {"net_benefit_low": 0.1, "over_all_low": [0.1, 0.1, 0.1]}
    told = measure.pays_title(one.assign(**lows), "labels used")
    assert told == "Deferring pays where an error is worth 1 to 9 checks as stated"


def test_guarantees_are_told_as_shares_of_draws():
    shares = {"certified": [0.1, 0.7], "certified_low": [0.0, 0.6], "certified_high": [0.2, 0.8]}
    shares |= {"violated": [0.0, 0.3], "violated_low": [0.0, 0.2], "violated_high": [0.1, 0.4]}
    table = pd.DataFrame({"strategy": "s", "n_fit": [100, 400]} | shares)
    long = measure.guarantee_shares(table)
    assert long["value"].tolist() == pytest.approx([0.9, 0.3, 0.0, 0.3])
    assert (long["low"] <= long["value"]).all()
    assert (long["value"] <= long["high"]).all()
    told = measure.guarantee_title(table, delta=0.1)
    assert "nothing in 90 % of draws, with 400 in 30 %" in told
    assert "is broken: too many errors in at most 30 %" in told
    seldom = table.assign(violated=[0.0, 0.002], violated_low=0.0)
    assert "is kept: too many errors in under 1 %" in measure.guarantee_title(seldom, delta=0.1)
