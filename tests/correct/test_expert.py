"""The expert: what it is shown, what comes back, and what it adds."""

import numpy as np
import pandas as pd
import pytest

from medcal_nb.correct import (
    Assessment,
    Case,
    expert_name,
    expert_split_table,
    expert_verdicts,
    lend_verdicts,
    make_ballots,
)


@pytest.fixture
def items():
    return pd.DataFrame(
        {
            "item_id": ["a", "b", "c"],
            "question": ["Is there a mass?", "What is shown?", "Which side?"],
            "options": [["yes", "no"], None, ["left", "right", "both"]],
            "gold": ["no", "heart", ["right", "both"]],
            "image": [b"A", b"B", b"C"],
        }
    )


@pytest.fixture
def verdicts():
    given = [("a", "s", "yes", 0.8, False), ("a", "t", "yes", 0.6, False),
             ("b", "s", "a lung", 0.5, False), ("b", "t", "heart", 0.7, True),
             ("c", "s", None, np.nan, None), ("c", "t", "left", 0.4, False)]  # fmt: skip
    frame = pd.DataFrame(given, columns=["item_id", "strategy", "answer", "confidence", "correct"])
    frame["correct"] = frame["correct"].astype("boolean")
    kind = {"a": "closed", "b": "open", "c": "choice"}
    return frame.assign(model="m", dataset="d", image_id=frame["item_id"],
                        question_type=frame["item_id"].map(kind))  # fmt: skip


def recorder(seen, probabilities=None):
    def decide(cases):
        seen.extend(cases)
        return [
            Assessment(
                {a: 1 / len(c.candidates) for a in c.candidates}
                if probabilities is None
                else probabilities[c.item_id],
                prompt_tokens=7,
                seconds=0.5,
            )
            for c in cases
        ]

    return decide


def test_it_is_shown_options_or_named_answers_and_only_what_it_may_know(verdicts, items):
    seen = []
    expert_verdicts(verdicts, items, recorder(seen))
    assert [c.candidates for c in seen] == [("no", "yes"), ("a lung", "heart"),
                                            ("both", "left", "right")]  # fmt: skip
    assert [c.image for c in seen] == [b"A", b"B", b"C"]
    assert all(c.support is None for c in seen)
    blind = []
    expert_verdicts(verdicts, items, recorder(blind), sees_image=False, knows_confidence=True)
    assert all(c.image is None for c in blind)
    # yes: (0.8 + 0.6) / 2; nobody said no, which gets what is left
    assert blind[0].support == pytest.approx((0.3, 0.7))
    assert blind[2].support == pytest.approx((0.3, 0.4, 0.3))
    assert all(sum(c.support) == pytest.approx(1, abs=1e-3) for c in blind)


def test_its_verdict_may_be_an_answer_that_nobody_gave(verdicts, items):
    p = {"a": {"no": 0.9, "yes": 0.1}, "b": {"a lung": 0.2, "heart": 0.8},
         "c": {"both": 0.6, "left": 0.3, "right": 0.1}}  # fmt: skip
    out = expert_verdicts(verdicts, items, recorder([], p)).set_index("item_id")
    assert out.answer.to_dict() == {"a": "no", "b": "heart", "c": "both"}
    assert out.confidence.to_dict() == {"a": 0.9, "b": 0.8, "c": 0.6}
    assert out.correct.tolist() == [True, True, True]  # a and c by their gold, b as graded
    assert (out.prompt_tokens == 7).all()
    assert set(out.strategy) == {"expert"}
    ballots = make_ballots(pd.concat([verdicts, out.reset_index()]))
    np.testing.assert_allclose(sorted(ballots.p[0, :, 0]), [0.1, 0.9])


def test_it_tells_where_it_needed_the_answers_of_others(verdicts, items):
    decide = recorder([])
    made = expert_verdicts(verdicts, items, decide)
    assert made.set_index("item_id")["judges_answers"].to_dict() == {
        "a": False, "b": True, "c": False
    }  # fmt: skip
    assert expert_verdicts(verdicts, items, decide, knows_confidence=True)["judges_answers"].all()
    blank = items.drop(columns="options")
    assert expert_verdicts(verdicts, blank, decide)["judges_answers"].all()


def test_equal_cases_of_two_models_are_decided_once(verdicts, items):
    seen = []
    both = pd.concat([verdicts, verdicts.assign(model="n")])
    out = expert_verdicts(both, items, recorder(seen))
    assert len(seen) == 3
    assert out.groupby("model").size().to_dict() == {"m": 3, "n": 3}


def test_a_failed_assessment_has_no_confidence(verdicts, items):
    out = expert_verdicts(verdicts, items, lambda cases: [Assessment(None) for _ in cases])
    assert out.confidence.isna().all()
    assert out.correct.isna().all()


def test_an_open_question_with_one_answer_is_judged_right_or_wrong(verdicts, items):
    seen = []
    one = verdicts[(verdicts.item_id == "b") & (verdicts.strategy == "t")]
    out = expert_verdicts(one, items, recorder(seen, {"b": {"heart": 0.35}})).iloc[0]
    assert seen == [Case("b", "What is shown?", ("heart",))]
    assert (out.answer, out.confidence) == ("heart", 0.35)


def test_bad_assessments_and_missing_items_are_refused(verdicts, items):
    with pytest.raises(ValueError, match="0 assessments of 3 cases"):
        expert_verdicts(verdicts, items, lambda cases: [])
    with pytest.raises(ValueError, match="item 'a': expected a probability for each"):
        expert_verdicts(verdicts, items, lambda cases: [Assessment({"maybe": 1.0})] * 3)
    with pytest.raises(ValueError, match="1 are missing, the first 'c'"):
        expert_verdicts(verdicts, items[:2], recorder([]))
    with pytest.raises(ValueError, match="one strategy"):
        lend_verdicts(verdicts, ["m"], name="own")


def test_judging_and_knowing_are_told_apart(rng):
    """One expert knows the answer; another can only tell which of two it is given is likelier."""
    n = 600
    gold = rng.random(n) < 0.5

    def strategy(name, hit, confidence):
        right = rng.random(n) < hit
        return pd.DataFrame(
            {"item_id": [f"i{i:03d}" for i in range(n)], "strategy": name,
             "answer": np.where(right == gold, "yes", "no"), "confidence": confidence,
             "correct": right, "model": "m", "dataset": "d", "question_type": "closed"}
        )  # fmt: skip

    data = pd.concat(
        [strategy("s", 0.6, 0.6), strategy("t", 0.6, 0.6), strategy("expert_own", 0.9, 0.9),
         strategy("expert_blind", 0.5, 0.5)]
    )  # fmt: skip
    table = expert_split_table(
        data, experts={"expert_own": "knowing", "expert_blind": "judging"}, strategies=["s", "t"],
        n_resamples=200, rng=rng,
    ).set_index("role")  # fmt: skip
    assert table.loc["knowing", "gain_brier_low"] > 0
    assert table.loc["knowing", "accuracy_alone"] == pytest.approx(0.9, abs=0.04)
    assert table.loc["judging", "gain_brier_low"] < 0.005
    assert table.loc["judging", "gain_accuracy"] < table.loc["knowing", "gain_accuracy"]


def test_variants_have_names_of_their_own():
    assert {
        expert_name(sees_image=a, knows_confidence=b) for a in (True, False) for b in (True, False)
    } == {"expert", "expert_blind", "expert_told", "expert_blind_told"}
