"""No message that the exact test does not support, over a grid of ends."""

from itertools import pairwise, product

import numpy as np
import pytest
from scipy.stats import binom

from medcal_nb import certify
from medcal_nb.certify.design import Design, Rule, _allowed_in_sequence
from medcal_nb.certify.ends import fewest_answers
from medcal_nb.certify.rule import hoped_for
from tests.bench.certify import WORLDS

ENDS = {}


def ends_of_a_grid():
    """Ends of simulated runs, computed once: good pools, bad ones, small ones, tied ones."""
    if ENDS:
        return ENDS
    worlds = [*WORLDS.values(), (0.3, 1.5), (1, 6)]
    cells = product([60, 300, 1000], [0.02, 0.05, 0.2], worlds, [40, 400], range(4))
    for n, risk, (share, part), budget, k in cells:
        rng = np.random.default_rng([n, budget, k])
        c = np.linspace(1, 0, n)
        c = c.round(1) if k == 3 else c
        wrong = np.where(np.arange(n) < share * n, part * risk, 0.4)
        right = (rng.random(n) >= wrong).astype(float)
        rule = {"risk": risk, "delta": 0.1, "budget": budget}
        end = certify.certify(c, right, seed=k, **rule)
        ENDS[n, share, part, k, *rule.values()] = rule, end
    return ENDS


def of_state(state):
    ends = [one for one in ends_of_a_grid().values() if one[1].state == state]
    assert len(ends) > 10
    return ends


def test_what_is_refuted_is_refuted_by_the_exact_test():
    for rule, end in of_state("refuted"):
        p = binom.sf(end.group_errors - 1, end.group_graded, rule["risk"])
        assert p == pytest.approx(end.p_value)
        assert p <= 0.02
        assert end.threshold == np.inf
        assert "Refuted" in end.sentence
        n, wrong = end.group_graded, end.group_errors
        # a sentence that tells of more grades than it says were used says so
        more = " (more than the tests used)" if n > end.n_graded else ""
        assert f"{n:,} were graded{more} and {wrong:,} wrong" in end.sentence
        assert f"looked at {end.n_graded} grades, of" in end.sentence


def test_what_is_not_shown_may_well_be_and_so_many_cases_would_show_it():
    for rule, end in of_state("not shown"):
        risk = rule["risk"]
        p = binom.sf(end.group_errors - 1, end.group_graded, risk)
        assert p > 0.02
        assert "may still be" in end.sentence
        assert "Refuted" not in end.sentence
        # what the group could have had passes the test, and one more does not
        k, n = end.group_allowed, end.group_horizon
        assert binom.cdf(k, n, risk) <= rule["delta"]
        assert 0 < end.cases_rate < risk
        answers = fewest_answers(end.cases_rate, risk, rule["delta"])
        most = int(binom.ppf(rule["delta"], answers, risk))
        most -= binom.cdf(most, answers, risk) > rule["delta"]
        assert binom.cdf(most, answers, end.cases_rate) >= 0.8
        assert f"{end.cases_needed:,.0f} cases" in end.sentence


def test_too_few_cases_are_told_before_a_grade():
    for rule, end in of_state("too few cases"):
        assert end.n_graded == end.next.size == 0
        n = min(rule["budget"], 60 if "60 cases" in end.sentence else 1000)
        assert (1 - rule["risk"]) ** n > rule["delta"]
    # 100 cases cannot show 2 %, 114 without an error can
    nothing = np.full(113, np.nan)
    few = certify.certify(np.linspace(0, 1, 113), nothing, risk=0.02)
    assert "takes 114 graded answers without an error" in few.sentence
    enough = certify.certify(np.linspace(0, 1, 114), np.ones(114), risk=0.02)
    assert (enough.state, enough.n) == ("certified", 114)


@pytest.mark.parametrize("state", ["certified", "budget used"])
def test_what_is_certified_passes_the_exact_test_at_any_time(state):
    n_certified = 0
    for rule, end in of_state(state):
        if not end.n:
            continue
        n_certified += 1
        assert binom.cdf(end.errors, end.n, rule["risk"]) <= rule["delta"]
        assert end.sample.size == end.n
        assert f"{end.errors} of {end.n} drawn" in end.sentence
        assert "No threshold" not in end.sentence
    assert n_certified > 5


def test_a_risk_as_allowed_is_refuted_no_oftener_than_one_in_twenty():
    states = []
    for k in range(400):
        right = np.random.default_rng(k).random(300) >= 0.05
        end = certify.certify(np.linspace(1, 0, 300), right, risk=0.05, seed=k)
        states.append(end.state)
    assert np.mean(np.array(states) == "refuted") <= 0.05 + 2 * np.sqrt(
        0.05 * 0.95 / 400
    )


def test_a_smallest_group_without_an_error_passes():
    for n, risk in [(11, 0.2), (45, 0.05)]:
        c = np.linspace(1, 0, n)
        assert certify.certify(c, np.ones(n), risk=risk).coverage == 1
        one_wrong = np.append(np.ones(n - 1), 0)
        assert certify.certify(c, one_wrong, risk=risk).n == 0
    allowed = _allowed_in_sequence(100, 0.2, 0.1, 2)
    assert allowed[allowed >= 0][0] == 0
    assert hoped_for(np.array([-1, -1, 0]), 0.9) == pytest.approx(1 / 3)
    # where the budget covers the pool, all of it is graded whole
    design = Design(np.linspace(1, 0, 52), Rule(0.2, 0.1, 52))
    assert all(group.is_whole for group in design.groups())


def test_what_passes_with_less_of_delta_passes_with_more():
    rule = Rule(0.05, 0.1, 400)
    design = Design(np.random.default_rng(0).random(1000), rule)
    assert len(design.starts) == 3
    n_begun = 0
    for group in design.groups():
        n_begun += group.opens
        allowed = [design.allowed(group, n, n_begun) for n in range(1, n_begun + 1)]
        for less, more in pairwise(allowed):
            assert (less <= more).all()
    assert n_begun == 3


def test_starts_are_declared_and_checked():
    c = np.linspace(1, 0, 1000)
    end = certify.certify(c, np.ones(1000), risk=0.05, starts=[300, 100])
    assert (end.starts, end.coverage) == ((100, 300), 1)
    assert "2 starts" in end.sentence
    with pytest.raises(ValueError, match="50 answers cannot show"):
        certify.certify(c, np.ones(1000), risk=0.05, starts=[50, 300])
    # an early error ends the first start, and the second goes on
    right = np.ones(1000)
    right[:2] = 0
    assert certify.certify(c, right, risk=0.05, starts=[100]).n == 0
    assert certify.certify(c, right, risk=0.05, starts=[100, 300]).coverage == 1


def test_half_of_a_small_risk_is_certified():
    """1,000 answers, all wrong at half of the 5 % that are allowed: .44 before."""
    ends = []
    for k in range(100):
        right = np.random.default_rng(k).random(1000) >= 0.025
        rule = {"risk": 0.05, "delta": 0.1, "budget": 400}
        ends.append(certify.certify(np.linspace(1, 0, 1000), right, seed=k, **rule))
    assert np.mean([end.n > 0 for end in ends]) >= 0.65
    assert all(end.n_graded <= 400 for end in ends)
