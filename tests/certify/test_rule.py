"""A threshold certified with few grades: it holds its risk, it goes on, it reaches its bars."""

import importlib
from time import process_time

import numpy as np
import pandas as pd
import pytest

from medcal_nb import certify, measure
from medcal_nb.certify.trials import _over_populations
from tests.bench.certify import null_pool

# the module, whose name the package gives to its function
module = importlib.import_module("medcal_nb.certify.design")


def calibrated(n, rng):
    c = rng.uniform(0.5, 1, n)
    return c, (rng.random(n) < c).astype(float)


def graded_by_hand(c, right, *, take=None, **rule):
    """The end of a run in which only what is asked for is graded, `take` answers at a time."""
    grades = np.full(c.size, np.nan)
    while True:
        stand = certify.certify(c, grades, **rule)
        if not stand.next.size:
            assert stand.state != "grading"
            return stand, grades
        asked = stand.next[:take]
        assert np.isnan(grades[asked]).all()
        grades[asked] = right[asked]


@pytest.mark.parametrize("power", [2, 4])
@pytest.mark.parametrize(
    ("horizon", "risk", "delta"),
    [(400, 0.2, 0.1), (100, 0.2, 0.1 / 7), (60, 0.05, 0.2)],
)
def test_the_errors_allowed_spend_delta_and_no_more(horizon, risk, delta, power):
    """Against a walk over all numbers of errors, at the risk and above it."""
    allowed = module._allowed_in_sequence(horizon, risk, delta, power)
    reached = []
    for wrong in (risk, 1.2 * risk):
        open_paths = np.append(1.0, np.zeros(horizon))
        for n, most in enumerate(allowed, 1):
            moved = np.append(0, open_paths[:-1]) * wrong
            open_paths = open_paths * (1 - wrong) + moved
            open_paths[: most + 1] = 0
            assert (
                1 - open_paths.sum()
                <= delta * (n / horizon) ** power * (1 + 1e-9) + 1e-12
            )
            if wrong > risk:
                break
        reached.append(1 - open_paths.sum())
    assert 0.5 * delta < reached[0] <= delta * (1 + 1e-9)
    assert reached[1] < reached[0]
    assert (np.diff(allowed) >= 0).all()


@pytest.mark.parametrize("budget", [50, 300, 600])
@pytest.mark.parametrize("kind", ["continuous", "heaped", "clustered"])
def test_a_risk_above_the_allowed_one_is_certified_no_oftener_than_delta(kind, budget):
    passed = []
    for k in range(250):
        c, y, images = null_pool(kind, 600, np.random.default_rng([k, budget]))
        how = {"risk": 0.2, "delta": 0.1, "budget": budget, "groups": images}
        passed.append(certify.certify(c, y, seed=k, **how).n > 0)
    assert np.mean(passed) <= 0.1 + 2 * np.sqrt(0.09 / 250)


@pytest.fixture(scope="module")
def recorded(five):
    answers = five[five["dataset"] == "GMAI-MMBench"]
    return answers.dropna(subset=["confidence", "correct"])


@pytest.mark.parametrize(
    ("model", "method", "certified", "coverage"),
    [
        ("InternVL3_5-14B-HF", "p_true", 0.95, 0.19),
        ("Qwen3-VL-8B-Instruct", "probe_pik", 0.9, 0.145),
        ("deepseek-vl2", "self_probing", 0, 0),
    ],
)
def test_what_400_grades_of_recorded_answers_certify(
    recorded, model, method, certified, coverage
):
    rows = recorded[(recorded["model"] == model) & (recorded["strategy"] == method)]
    c, y = rows[["confidence", "correct"]].astype(float).to_numpy().T
    ends = []
    for k in range(20):
        half = np.random.default_rng(k).permutation(c.size)[: c.size // 2]
        rule = {"risk": 0.2, "delta": 0.1 / 7, "budget": 400, "seed": k}
        ends.append(certify.certify(c[half], y[half], **rule))
    assert np.mean([end.n > 0 for end in ends]) >= certified
    assert np.mean([end.coverage for end in ends]) >= coverage
    if not certified:
        assert all(end.state in {"refuted", "not shown"} for end in ends)
        assert all(end.n_graded <= 40 for end in ends)


def test_grades_do_not_grow_with_the_pool():
    coverages = []
    for k in range(10):
        c, y = calibrated(50_000, np.random.default_rng(k))
        end = certify.certify(c, y, risk=0.2, delta=0.1, budget=400, seed=k)
        coverages.append(end.coverage)
        kept = c >= end.threshold
        assert end.coverage == pytest.approx(kept.mean())
        assert end.n_graded <= 400
    assert np.mean(coverages) > 0.62


@pytest.mark.parametrize("take", [1, None])
def test_the_same_grades_give_the_same_answer_however_they_came(rng, take):
    c, right = calibrated(500, rng)
    c = c.round(2)  # tied answers are retained together
    rule = {"risk": 0.2, "delta": 0.1, "budget": 120, "batch": 1}
    stand, grades = graded_by_hand(c, right, take=take, **rule)
    whole = certify.certify(c, right, **rule)
    # of the last group the whole pool knows more
    assert stand[1:9] == whole[1:9]
    assert stand.n_graded == np.isfinite(grades).sum() <= 120
    assert f"looked at {stand.n_graded} grades, of 500 cases" in stand.sentence
    assert stand.threshold in c
    assert stand.state == "budget used"
    # a batch asks ahead; what is not used in the end was of the budget, too
    batched, asked = graded_by_hand(c, right, **rule | {"batch": 20})
    assert batched.n_graded <= np.isfinite(asked).sum() == 120
    assert stand.threshold <= batched.threshold < stand.threshold + 0.1
    first = certify.certify(c, np.full(500, np.nan), **rule | {"batch": 20})
    assert first.next.size == 20
    assert np.unique(first.next).size == first.next.size


def test_one_answer_of_an_image_is_graded(rng):
    c, right = calibrated(900, rng)
    images = np.repeat([f"scan {i}" for i in range(300)], 3)
    rule = {"risk": 0.2, "delta": 0.1, "budget": 200, "groups": images}
    stand, grades = graded_by_hand(c, right, **rule)
    asked = images[np.isfinite(grades)]
    assert np.unique(asked).size == asked.size
    assert stand.n_graded <= asked.size <= 200
    assert stand.coverage == pytest.approx((c >= stand.threshold).mean())


def test_all_right_and_all_wrong_end(rng):
    c, _ = calibrated(200, rng)
    whole = certify.certify(c, np.ones(200), risk=0.2)
    assert (whole.state, whole.coverage, whole.errors) == ("certified", 1, 0)
    none, _ = graded_by_hand(c, np.zeros(200), risk=0.2)
    assert none.state == "refuted"
    assert none.threshold == np.inf
    assert none.n_graded < 10
    assert none.p_value < 0.05
    assert "No threshold" in none.sentence
    few = certify.certify(c, np.full(200, np.nan), risk=0.01, budget=20)
    assert few.state == "too few cases"
    assert few.next.size == 0
    assert "230 graded answers without an error" in few.sentence


def test_trials_on_halves_judge_on_the_other_half(rng):
    table = pd.DataFrame({"item_id": range(1600), "image_id": np.arange(1600) // 2})
    table["confidence"], table["correct"] = calibrated(1600, rng)
    sure = table.assign(strategy="good")
    wrong = table.assign(strategy="bad", correct=0.0)
    few = table[:2].assign(strategy="few", confidence=np.nan)
    trials = certify.certify_table(
        pd.concat([sure, wrong, few]), [60, 200], risk=0.2, n_splits=8
    )
    assert len(trials) == 3 * 2 * 2
    rows = trials.set_index(["strategy", "grading", "budget"])
    assert rows.loc[["bad", "few"], ["certified", "coverage"]].eq(0).all(axis=None)
    bad = rows.loc["bad", "too_wrong"]
    assert (bad["from the top"] == 1).all()
    assert bad["at random"].isna().all()
    assert rows.loc["few", "too_wrong"].isna().all()
    good = rows.loc["good"]
    assert (good.loc["from the top", "too_wrong"] == 0).all()
    assert good.loc["from the top", "coverage"].is_monotonic_increasing
    assert good["coverage"].between(0.2, 0.85).all()
    assert good["risk"].between(0.05, 0.21).all()
    assert (good.loc["at random", "n_graded"] == [60, 200]).all()
    assert (good.loc["from the top", "n_graded"] <= [60, 200]).all()
    # other answers scatter more than other halves of the same answers
    width = good["coverage_high"] - good["coverage_low"]
    assert width.gt(0.05).all()
    assert (good["coverage_low"] < good["coverage"]).all()
    none = certify.certify_table(sure, [60], risk=0.2, n_splits=2, n_resamples=0)
    assert none["coverage_low"].isna().all()
    again = certify.certify_table(sure, [60], risk=0.2, n_splits=8)
    assert again["coverage"].tolist() == good["coverage"].xs(60, level=1).tolist()


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [("confidence", 70, "percent"), ("correct", 2, "neither 0 nor 1")],
)
@pytest.mark.parametrize("grading", ["from the top", "at random"])
def test_trials_refuse_what_is_no_confidence_or_grade(column, value, words, grading):
    table = pd.DataFrame({"strategy": "one", "confidence": [0.9] * 400, "correct": 1})
    table.loc[7, column] = value
    with pytest.raises(ValueError, match=words):
        certify.certify_table(table, [20], risk=0.2, gradings=[grading], n_splits=1)


def test_an_interval_over_populations_is_one_of_a_share_and_holds_the_mean():
    samples = np.repeat(np.linspace(0, 0.2, 101), 3)  # three halves of each are alike
    assert _over_populations(0.1, samples) == pytest.approx((0.005, 0.195))
    assert _over_populations(0.3, samples) == pytest.approx((0.005, 0.3))
    assert _over_populations(0.0, samples) == pytest.approx((0.0, 0.195))
    # nothing seen is no interval without a width, nor is one resample in a hundred
    few = np.repeat([0.0, 0.1], [297, 3])
    assert np.isnan(_over_populations(0.0, few)).all()
    assert np.isnan(_over_populations(0.0, samples[:0])).all()


def test_an_interval_over_populations_holds_in_samples_of_known_coverage():
    """Of 40 samples one in 20 may miss: at least 33 hold in 99.8 of 100 runs of other seeds."""
    rng = np.random.default_rng(8)
    pool = pd.DataFrame({"item_id": range(20_000)})
    pool["confidence"], pool["correct"] = calibrated(20_000, rng)
    how = {"risk": 0.2, "by": [], "gradings": ["from the top"]}
    many = [pool.sample(600, random_state=k).reset_index(drop=True) for k in range(150)]
    alone = {"n_splits": 1, "n_resamples": 0}
    truth = [certify.certify_table(one, [100], **how, **alone) for one in many]
    true = pd.concat(truth)["coverage"].mean()
    few = {"n_splits": 10, "n_resamples": 40}
    rows = pd.concat(
        certify.certify_table(one, [100], **how, **few) for one in many[:40]
    )
    held = (rows["coverage_low"] <= true) & (true <= rows["coverage_high"])
    assert held.sum() >= 33
    # and is no wider than a third more than the means themselves scatter
    width = (rows["coverage_high"] - rows["coverage_low"]).mean()
    assert width < 1.33 * 2 * 1.96 * rows["coverage"].std()


def several(k, n, rng, risk=None):
    """Methods of the same answers, of which every fifth has another text."""
    items = pd.DataFrame({"item_id": np.arange(n), "answer": "yes"})
    base = rng.uniform(0.5, 0.9, n)
    tables = []
    for i in range(k):
        c = base + rng.uniform(0, 0.1, n)
        one = items.assign(strategy=f"method {i}", confidence=c)
        one.loc[items.index % 5 == i, "answer"] = f"no {i}"
        tables.append(one)
    table = pd.concat(tables, ignore_index=True)
    wrong = pd.Series(rng.random(len(table)) < (risk or 0.15))
    texts = [table["item_id"], table["answer"]]
    right = 1.0 - wrong.groupby(texts).transform("first")
    return table, right.to_numpy()


def test_any_of_several_methods_fails_no_oftener_than_delta():
    failed = []
    for k in range(100):
        table, right = several(3, 200, np.random.default_rng(k), risk=0.2005)
        graded = table.assign(correct=right)
        rule = {"risk": 0.2, "delta": 0.2, "budget": 100, "seed": k}
        ends = certify.certify_methods(graded, **rule).table
        failed.append(ends["n"].gt(0).any())
    assert 0.03 < np.mean(failed) <= 0.2 + 2 * np.sqrt(0.16 / 100)


def test_methods_share_the_grade_of_an_answer(rng):
    table, right = several(3, 400, rng)
    rule = {"risk": 0.2, "budget": 100, "batch": 1}
    table["correct"] = np.nan
    n_asked = 0
    while (stand := certify.certify_methods(table, **rule)).next.size:
        assert table["correct"].iloc[stand.next].isna().all()
        table.loc[stand.next, "correct"] = right[stand.next]
        n_asked += stand.next.size
    by_method = stand.table.set_index("strategy")
    assert (by_method["n_graded"] > 20).all()
    # a fifth of a method's answers is its own, and the orders are one
    assert by_method["n_graded"].max() < n_asked < by_method["n_graded"].sum()
    texts = table.groupby(["item_id", "answer"])["correct"]
    assert texts.count().max() == 1
    for name, own in table.assign(correct=right).groupby("strategy"):
        single = certify.certify(
            own["confidence"], own["correct"], delta=0.1 / 3, **rule
        )
        assert by_method.loc[name, "threshold"] == single.threshold
        # of the group on which it ended the whole pool knows more
        same = ["coverage", "n_graded", "n", "errors", "starts"]
        assert by_method.loc[name, same].tolist() == [getattr(single, k) for k in same]
    with pytest.raises(ValueError, match="two answers to one item"):
        certify.certify_methods(table.assign(strategy="one"), **rule)


@pytest.mark.parametrize("decimals", [9, 2, 1])
@pytest.mark.parametrize("risk", [0.1, 0.2])
def test_where_the_budget_covers_the_pool_it_is_learn_then_test(rng, risk, decimals):
    """The threshold of the whole pool graded, with no more grades than that takes."""
    n_certified = 0
    for _ in range(10):
        c, right = calibrated(250, rng)
        c = c.round(decimals)
        end, grades = graded_by_hand(c, right, risk=risk, budget=300)
        whole = measure.selective_threshold(c, right, target=risk, delta=0.1)
        assert (end.threshold, end.coverage) == whole
        assert np.isfinite(grades).sum() < 250
        n_certified += end.n > 0
    assert n_certified > 0


def test_a_step_is_quick():
    c, right = calibrated(100_000, np.random.default_rng(0))
    seconds = []
    for _ in range(3):
        start = process_time()
        certify.certify(c, right, risk=0.2, budget=400)
        seconds.append(process_time() - start)
    assert min(seconds) < 0.1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"grades": [1, 0.5]}, "neither 0, 1 nor missing"),
        ({"grades": [1]}, "grades has 1 values"),
        ({"confidence": [0.5, np.nan]}, "NaN"),
        ({"risk": 20}, "risk must be a share"),
        ({"budget": 0}, "budget must be"),
        ({"groups": ["a"]}, "groups has 1 values"),
    ],
)
def test_bad_input_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        certify.certify(
            **({"confidence": [0.5, 0.9], "grades": [1, np.nan], "risk": 0.2} | change)
        )
