"""Temperature over all options of a question."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from medcal_nb.correct import at_temperature, fit, option_temperature
from medcal_nb.errors import NotEnough


def answers_of(rng, n, n_options, truth):
    """Questions whose right options follow the softmax of logits / `truth`."""
    logits = rng.normal(0, 2, (n, n_options))
    chances = softmax(logits / truth, axis=1)
    names = np.array([*"ABCDEF"[:n_options]])
    right = [rng.choice(n_options, p=p) for p in chances]
    recorded = softmax(logits, axis=1)
    shares = [dict(zip(names, p, strict=True)) for p in recorded]
    table = pd.DataFrame({"option_probabilities": shares})
    table["gold"] = names[right]
    table["answer"] = names[recorded.argmax(axis=1)]
    table["correct"] = table["answer"] == table["gold"]
    return table.assign(confidence=recorded.max(axis=1))


def test_the_temperature_of_a_world_comes_out_whatever_the_number_of_options(rng):
    four = answers_of(rng, 3000, 4, 2.5)
    both = pd.concat([four, answers_of(rng, 3000, 2, 2.5)], ignore_index=True)
    temperature = option_temperature(both)
    assert temperature == pytest.approx(2.5, rel=0.1)
    scaled = at_temperature(both, temperature)
    assert scaled["confidence"].mean() == pytest.approx(
        both["correct"].mean(), abs=0.02
    )
    assert scaled["answer"].equals(both["answer"])
    pd.testing.assert_series_equal(
        at_temperature(both, 1.0)["confidence"], both["confidence"]
    )


def test_of_two_options_it_is_the_map_of_log_odds(rng):
    two = answers_of(rng, 2000, 2, 1.7)
    same = fit(two["confidence"], two["correct"], method="log_odds")
    temperature = option_temperature(two)
    assert temperature == pytest.approx(same.params["temperature"], rel=1e-4)


def test_what_has_no_probability_has_no_confidence(rng):
    table = answers_of(rng, 20, 3, 1.0)
    table["option_probabilities"] = table["option_probabilities"].astype(object)
    table.loc[3, "option_probabilities"] = None
    table.loc[4, "answer"] = "none of these"
    table.loc[5, "gold"] = "none of these"
    assert 0.02 <= option_temperature(table) <= 50
    scaled = at_temperature(table, 3.0)["confidence"]
    assert scaled.index[scaled.isna()].tolist() == [3, 4]
    with pytest.raises(NotEnough, match="4 questions"):
        option_temperature(table[4:9])
    with pytest.raises(ValueError, match="above 0"):
        at_temperature(table, 0.0)
