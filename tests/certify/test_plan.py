"""A plan before the first grade, beside what then came."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import betabinom, binom

from medcal_nb import certify
from medcal_nb.certify.design import Rule
from medcal_nb.certify.plan import _chance_of_first


def test_the_chance_of_one_start_is_that_of_its_group():
    """52 answers of which 6 may be wrong: graded whole, tested at the end."""
    c = np.linspace(1, 0, 52)
    for p in (0.05, 0.12, 0.3):
        chance = _chance_of_first(c, [np.full(52, p)], Rule(0.2, 0.1, None, (52,)))
        assert chance == pytest.approx(binom.cdf(6, 52, p), abs=0.004)


@pytest.mark.parametrize(
    ("model", "method"),
    [("InternVL3_5-14B-HF", "p_true"), ("deepseek-vl2", "self_probing")],
)
def test_a_plan_is_near_what_recorded_answers_give(five, model, method):
    answers = five[five["dataset"] == "GMAI-MMBench"]
    rows = answers[(answers["model"] == model) & (answers["strategy"] == method)]
    pairs = rows[["confidence", "correct"]].dropna().to_numpy(float)
    c, y = pairs.T
    how = {"budget": 400, "delta": 0.1}
    plan = certify.plan_certificate(c, pilot=y, risks=[0.2], n_draws=40, **how)
    (row,) = plan.to_dict("records")
    ends = []
    for k in range(20):
        pool = np.random.default_rng(k).choice(pairs, len(pairs))
        one = certify.certify(*pool.T, risk=0.2, starts=row["starts"], seed=k, **how)
        ends.append(one)
    assert row["coverage"] == pytest.approx(
        np.mean([end.coverage for end in ends]), abs=0.05
    )
    assert row["chance"] == pytest.approx(np.mean([end.n > 0 for end in ends]), abs=0.1)


def test_a_pilot_without_an_error_at_the_top_promises_no_certainty():
    """One hundred of 300 are graded, none of the 50 surest wrong: 5 % was "chance 100 %"."""
    pilot = np.full(300, np.nan)
    pilot[::3] = 1
    pilot[150::9] = 0
    plan = certify.plan_certificate(300, pilot=pilot, risks=[0.02, 0.05, 0.2])
    low, middle, high = plan["chance"]
    assert 0.1 < low < 0.6
    assert 0.5 < middle < 0.9
    assert high > 0.95
    # of the 45 surest none may be wrong: with Beta(½, 50 + ½) in 72 %, by Jeffreys of 50 grades
    middle_starts = plan["starts"][1]
    assert middle_starts == (45,)
    assert middle == pytest.approx(betabinom.pmf(0, 45, 0.5, 50), abs=0.07)


def test_what_is_out_of_reach_says_how_many_cases_would_do():
    how = {"wrong": 0.005, "accuracy": 0.9, "n_draws": 20}
    plan = certify.plan_certificate(100, risks=[0.02, 0.2], seconds=36, **how)
    few, good = plan.to_dict("records")
    assert (few["starts"], few["chance"], few["hours"]) == ((), 0, 0)
    assert few["without_error"] == 114
    assert 114 < few["cases_needed"] < 2000
    assert good["chance"] > 0.9
    assert good["hours"] == pytest.approx(good["n_graded"] / 100)
    # with so many cases it is in reach
    enough = int(few["cases_needed"])
    (now,) = certify.plan_certificate(enough, risks=[0.02], **how).to_dict("records")
    assert now["chance"] > 0.5


def test_a_plan_follows_from_its_generator():
    how = {"risks": [0.05], "wrong": 0.02, "accuracy": 0.8, "n_draws": 20}
    one, same, other = [
        certify.plan_certificate(300, rng=np.random.default_rng(k), **how)
        for k in (1, 1, 2)
    ]
    assert one.equals(same)
    assert not one.equals(other)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"wrong": None}, "needs one guess"),
        ({"pilot": np.ones(50)}, "needs one guess"),
        ({"wrong": 0.5}, "tells nothing"),
        ({"wrong": 2}, "wrong must be a share"),
        ({"risks": [5]}, "is none: 0.05?"),
        ({"pool": 0}, "pool must be"),
    ],
)
def test_a_bad_guess_is_refused(change, words):
    how = {"pool": 50, "wrong": 0.01, "accuracy": 0.8}
    with pytest.raises(ValueError, match=words):
        certify.plan_certificate(**how | change)
    with pytest.raises(ValueError, match="no grade"):
        certify.plan_certificate(3, pilot=[np.nan] * 3)


def test_a_plan_in_lines_has_one_minute_and_no_endless_number():
    from medcal_nb.certify.result import plan_lines

    row = {"risk": 0.1, "without_error": 22, "starts": (22,), "is_usual": True}
    row |= {"chance": 0.5, "coverage": 0.2, "coverage_low": 0.0, "coverage_high": 0.4}
    row |= {"n_graded": 2.0, "hours": 1 / 60, "cases_needed": float("inf")}
    (line,) = plan_lines(pd.DataFrame([row]))
    assert "2 grades, 1 minute;" in line
    assert line.endswith(
        "no number of cases like these is known to do in 8 of 10 tries"
    )
