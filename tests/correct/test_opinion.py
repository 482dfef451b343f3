"""What another model's number adds: equal to scikit-learn's fit, nothing where there is nothing."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from medcal_nb.correct import RecalibrationWarning, second_opinion, second_opinion_table
from medcal_nb.correct.opinion import coverage_at_risk, penalised_logistic
from medcal_nb.measure import Bootstrap


def two_models(rng, n=900, *, helps=1.0):
    """Answers of one model, and the probabilities that another gives the options of each."""
    skill = rng.normal(size=n)
    right = rng.random(n) < expit(0.5 + skill)
    own = pd.DataFrame({"item_id": np.arange(n), "dataset": "d", "model": "one"})
    own["strategy"] = "p_true"
    own["answer"] = rng.choice(["A", "B"], n)
    own["confidence"] = expit(0.5 + 0.4 * skill + 0.4 * rng.normal(size=n))
    own["correct"] = right
    of_this = expit(helps * (2.0 * right - 1) + rng.normal(size=n))
    other = own.assign(model="two", strategy="option_probability")
    other["option_probabilities"] = [
        {answer: p, {"A": "B", "B": "A"}[answer]: 1 - p}
        for answer, p in zip(own["answer"], of_this, strict=True)
    ]
    other["confidence"] = np.maximum(of_this, 1 - of_this)
    return own, other


def test_weights_are_those_of_scikit_learn(rng):
    x = rng.normal(size=(400, 5))
    y = (rng.random(400) < expit(x[:, 0] - 0.3)).astype(float)
    theta = penalised_logistic(x, y, ridge=4.0)
    peer = LogisticRegression(C=1 / 4.0, tol=1e-10, max_iter=5000).fit(x, y)
    np.testing.assert_allclose(theta[:-1], peer.coef_[0], atol=1e-3)
    assert theta[-1] == pytest.approx(peer.intercept_[0], abs=1e-3)


def test_coverage_is_the_largest_prefix_that_keeps_the_risk(rng):
    c = rng.integers(1, 8, 200) / 8  # ties pass together
    y = (rng.random(200) < c).astype(float)
    drawn = Bootstrap(n=3).of(np.arange(200))
    ours = coverage_at_risk(c, y, 0.3, drawn)
    for weights, value in zip(drawn.counts[:, drawn.codes], ours, strict=True):
        best = 0.0
        for threshold in np.unique(c):
            kept = weights * (c >= threshold)
            if (kept * (1 - y)).sum() <= 0.3 * kept.sum():
                best = max(best, kept.sum() / weights.sum())
        assert value == pytest.approx(best)


def test_a_probability_of_this_answer_adds_what_it_knows(rng):
    own, other = two_models(rng)
    rows = second_opinion(own, other, about="answer", rng=rng)
    table = second_opinion_table(rows, ci=Bootstrap(n=100)).set_index("opinion")
    assert table.loc["with others", "auroc_gain_low"] > 0.05
    assert table.loc["mean, no labels", "auroc_gain_low"] > 0
    assert table.loc["with others", "coverage_gain_low"] > 0
    # the other's confidence in its own answer does not know this answer
    about_it = second_opinion(own, other, about="question", rng=rng)
    hard = second_opinion_table(about_it, ci=Bootstrap(n=100)).set_index("opinion")
    gained = hard["auroc_gain"]["with others"]
    assert gained < table["auroc_gain"]["with others"] / 2


def test_within_strata_permuted_grades_gain_nothing():
    """Grades permuted within strata: another's number tells nothing any more."""
    covered = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        own, other = two_models(rng, n=500)
        stratum = own.index % 2
        right = (
            own["correct"]
            .groupby(stratum)
            .transform(lambda part, rng=rng: rng.permutation(part.to_numpy()))
        )
        rows = second_opinion(own.assign(correct=right), other, about="answer", rng=rng)
        table = second_opinion_table(rows, ci=Bootstrap(n=50)).set_index("opinion")
        gain = table.loc["with others"]
        covered.append(gain["auroc_gain_low"] <= 0)
    assert np.mean(covered) > 0.8


def test_a_number_that_is_missing_costs_no_answer(rng):
    own, other = two_models(rng)
    other.loc[::3, "option_probabilities"] = None
    other = pd.concat([other, other.assign(model="three")[:0]])
    rows = second_opinion(own, other, about="answer", rng=rng)
    # an answer that no other model saw is told by what is left
    assert rows["item_id"].nunique() == 600
    both = second_opinion(own, pd.concat([other, two_models(rng)[1].assign(model="three")]),
                          about="answer", rng=rng)  # fmt: skip
    assert both["item_id"].nunique() == 900
    assert both["missing"].iloc[0] == pytest.approx(1 / 9)


def test_what_cannot_be_judged_is_left_out_by_name(rng):
    own, other = two_models(rng, n=60)
    with pytest.warns(RecalibrationWarning, match="one has 60 graded answers"):
        none = second_opinion(own.assign(correct=True), other, rng=rng)
    assert second_opinion_table(none).empty
    with pytest.raises(ValueError, match="option_probabilities"):
        second_opinion(
            own, other.drop(columns="option_probabilities"), about="answer", rng=rng
        )
