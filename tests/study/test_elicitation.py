"""Tables of what elicitation methods yield and cost."""

import pandas as pd
import pytest

from medcal_nb.study.elicitation import elicitation_table, skipped_table


@pytest.fixture
def answers():
    """One question asked once, another sampled twice: one reply could not be read."""
    return pd.DataFrame(
        {
            "strategy": ["verbalized"] * 2 + ["self_consistency"] * 4,
            "item_id": ["a", "b", "a", "a", "b", "b"],
            "prompt_tokens": pd.array([10, 20, 10, 10, 20, 20], "Int64"),
            "new_tokens": pd.array([4, 6, 2, 2, 2, 4], "Int64"),
            "parse_ok": pd.array([True, False, True, True, True, True], "boolean"),
        }
    )


def test_tokens_and_replies_are_means_a_question(answers):
    graded = pd.DataFrame(
        {
            "strategy": ["verbalized", "verbalized", "self_consistency"],
            "confidence": [0.9, None, 0.9],
        }
    )
    graded = pd.concat([graded, graded.iloc[2:]])
    table = elicitation_table(answers, graded).set_index("strategy")
    assert table.loc["verbalized", "replies"] == 1
    assert table.loc["self_consistency", "replies"] == 2
    assert table["prompt_tokens"].tolist() == [15, 30]
    assert table["new_tokens"].tolist() == [5, 5]
    assert table["parse_rate"].tolist() == [0.5, 1]
    assert table["confidence_rate"].tolist() == [0.5, 1]
    assert table["levels"].tolist() == [1, 1]
    assert (table["confidence_rate_low"] < table["confidence_rate"]).all()
    assert table["confidence_rate_high"].between(0, 1).all()


def test_unknown_tokens_stay_unknown(answers):
    graded = answers.drop_duplicates(["strategy", "item_id"]).assign(confidence=0.5)
    unknown = answers.assign(new_tokens=pd.array([None] * 6, "Int64"))
    assert elicitation_table(unknown, graded)["new_tokens"].isna().all()


def test_what_was_not_asked_is_told_once_with_its_models():
    why = ("p_true", "no token probabilities")
    asked = pd.DataFrame(
        {"model": ["a", "b", "a"], "skipped": [[why], [why], [("top_k", "no place")]]}
    )
    table = skipped_table(asked)
    assert table.to_dict("records") == [
        {"strategy": "p_true", "reason": why[1], "model": "a, b"},
        {"strategy": "top_k", "reason": "no place", "model": "a"},
    ]
    assert skipped_table(asked.assign(skipped=[[], [], []])).empty
