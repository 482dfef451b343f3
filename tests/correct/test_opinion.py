"""What another model's number adds: equal to scikit-learn's fit, nothing where there is nothing."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from medcal_nb.certify import certify_fitted_table
from medcal_nb.correct import (
    RecalibrationWarning,
    combination,
    second_opinion,
    second_opinion_table,
)
from medcal_nb.correct.opinion import coverage_at_risk, penalised_logistic
from medcal_nb.errors import NotEnough
from medcal_nb.measure import Bootstrap, auroc


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
    """Grades permuted among equally hard questions: what is left is how hard they are."""
    gains, within = [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        own, other = two_models(rng, n=500)
        of_this = [
            shares[answer]
            for answer, shares in zip(
                own["answer"], other["option_probabilities"], strict=True
            )
        ]
        stratum = pd.qcut(of_this, 4, labels=False)
        by_stratum = own["correct"].groupby(stratum)
        right = by_stratum.transform(lambda part, rng=rng: rng.permutation(part))
        shuffled = own.assign(correct=right)
        rows = second_opinion(shuffled, other, about="answer", rng=rng)
        rows["stratum"] = rows["item_id"].map(dict(enumerate(stratum)))
        table = second_opinion_table(rows, within=["stratum"], ci=Bootstrap(n=2))
        table = table.set_index("opinion")
        gains.append(table.loc["with others", "auroc_gain"])
        inside = table["auroc_within"]
        within.append(inside["with others"] - inside["own methods"])
    assert np.mean(gains) > 0.1  # the strata themselves are known
    assert abs(np.mean(within)) < 2 * np.std(within, ddof=1) / np.sqrt(12) + 0.005


def test_a_combination_is_fitted_on_the_grades_that_it_has(rng):
    own, other = two_models(rng)
    both = combination(own, other, about="answer")
    y = both.items["correct"].to_numpy(float)
    some = np.where(np.arange(900) < 200, y, np.nan)
    confidence = both.fitted(some)
    rest = np.arange(900) >= 200
    alone = combination(own).fitted(some)
    assert auroc(confidence[rest], y[rest]) > auroc(alone[rest], y[rest]) + 0.05
    assert auroc(both.plain, y) > auroc(own["confidence"], y)
    with pytest.raises(NotEnough, match="right and of wrong"):
        both.fitted(np.where(y == 1, y, np.nan))


def test_grades_of_the_fit_are_in_no_certificate(rng):
    """A fit that knows its own grades by heart passes none of them on."""
    own, other = two_models(rng)
    both = combination(own, other, about="answer")
    seen = []

    def by_heart(grades):
        seen.append(np.isfinite(grades).sum())
        known = np.nan_to_num(grades, nan=0.5)
        return 0.5 * known + 0.001 * rng.random(len(known))

    table = certify_fitted_table(both.items, by_heart, [100], risk=0.2, n_splits=5)
    assert seen == [50] * 5
    assert table.loc[0, ["certified", "coverage"]].tolist() == [0, 0]
    fitted = certify_fitted_table(both.items, both.fitted, [200], risk=0.2, n_splits=5)
    assert fitted.loc[0, "coverage"] > 0.2
    assert fitted.loc[0, "risk"] < 0.2


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


@pytest.mark.filterwarnings("error")
def test_an_answer_without_any_number_has_no_plain_mean(rng):
    own, other = two_models(rng)
    own.loc[own.index[:2], "confidence"] = np.nan
    other.loc[other.index[:1], "confidence"] = np.nan
    both = combination(own, other)
    silent = both.items["item_id"].isin(own["item_id"].iloc[:1])
    assert np.isnan(both.plain).tolist() == silent.tolist()


def test_what_cannot_be_judged_is_left_out_by_name(rng):
    own, other = two_models(rng, n=60)
    with pytest.warns(RecalibrationWarning, match="one has 60 graded answers"):
        none = second_opinion(own.assign(correct=True), other, rng=rng)
    assert second_opinion_table(none).empty
    with pytest.raises(ValueError, match="option_probabilities"):
        second_opinion(
            own, other.drop(columns="option_probabilities"), about="answer", rng=rng
        )


def test_one_method_by_itself_is_what_it_is(rng):
    own, other = two_models(rng, 200)
    table = second_opinion(own, other, about="answer", rng=rng)
    alone = table[table["opinion"] == "own methods"]
    assert alone["confidence"].tolist() == own["confidence"].tolist()


def test_numbers_that_tell_nothing_do_not_rank_against_the_truth():
    areas = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        own, other = two_models(rng, 60)
        for table in (own, other):
            table["confidence"] = rng.random(60)
        table = second_opinion(own, other, rng=rng)
        rows = table[table["opinion"] == "with others"]
        areas.append(auroc(rows["confidence"], rows["correct"]))
    assert np.mean(areas) > 0.45  # 0.40 with a constant of each fold
