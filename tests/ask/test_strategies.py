"""Strategies: what each asks, and the rows it makes of given replies."""

import math
from dataclasses import replace
from itertools import chain
from types import SimpleNamespace

import pytest

from medcal_nb.ask import strategies
from medcal_nb.ask.calls import (
    Decide,
    Decided,
    Failure,
    Generate,
    LabelProbabilities,
    Labels,
    Reply,
    Similarity,
)
from medcal_nb.ask.lockstep import run_programs
from medcal_nb.ask.strategies import APART, STRATEGIES, Plan
from medcal_nb.datasets import iter_items
from medcal_nb.errors import MedcalError
from medcal_nb.logs.typed import Decision
from tests.ask.tiny import tiny_items

PLAN = Plan(dataset="tiny", samples=4)
CLOSED, CHOICE, OPEN = iter_items(tiny_items(3))


def run(name, item, script, plan=PLAN):
    """Rows of a strategy about one item, each call answered by `script`; and the rounds."""
    rounds = []

    def answer(calls):
        rounds.append(calls)
        return [script(call) for call in calls]

    (outcome,) = run_programs([(STRATEGIES | APART)[name].ask(item, plan)], answer)
    return (None if isinstance(outcome, Failure) else outcome), rounds


def says(text, **more):
    return lambda call: Reply(text, -0.5, 10, 2, **more)


def shares(call, weights=None):
    """Probabilities of the labels or sentences of a call: equal, or as `weights`."""
    names = call.labels if isinstance(call, Labels) else call.texts
    weights = weights or [1] * len(names)
    parts = [weight / sum(weights) for weight in weights]
    return LabelProbabilities(dict(zip(names, parts, strict=True)))


def any_answer(call):
    if isinstance(call, Generate):
        return Reply("Answer: yes\nConfidence: 80%", -1.0, 5, 3)
    if isinstance(call, Decide):
        return Decided(Decision("yes", {"yes": 0.8, "no": 0.2}))
    return shares(call)


@pytest.mark.parametrize("name", list(STRATEGIES))
def test_rows_and_calls_are_as_declared(name):
    how, needed = STRATEGIES[name], set()
    rows, rounds = run(name, CLOSED, any_answer)
    for call in chain(*rounds):
        if isinstance(call, Generate):
            needed |= {"generate"} | ({"sample"} if call.seed else set())
            needed |= {"turns"} if len(call.prompt.turns) > 1 else set()
        else:
            kinds = {Labels: "labels", Similarity: "similarity", Decide: "decisions"}
            needed.add(kinds[type(call)])
    assert how.needs - {"logprobs"} == needed
    assert ("logprobs" in how.needs) == (name == "sequence_probability")
    assert [row["sample"] for row in rows] == list(range(len(rows)))
    assert (len(rows) > 1) == (how.rule is not None)


@pytest.mark.parametrize("settings", [{"samples": 0}, {"temperature": math.nan}])
def test_a_plan_holds_numbers_that_can_be(settings):
    with pytest.raises(MedcalError, match="samples are 1 to 1000"):
        Plan(**settings)


# name, item, the replies in order; answer and confidence
STATED = [
    ("verbalized", CLOSED, ["Answer: No\nConfidence: 85%"], "no", 0.85),
    ("verbalized_cot", CLOSED, ["Reason: x\nAnswer: No\nConfidence: 8%"], "no", 0.08),
    ("verbalized", CLOSED, ["I cannot tell."], None, None),
    ("verbalized", OPEN, ["4"], "4", None),  # a number alone is the answer
    ("two_stage", OPEN, ["4", "4"], "4", 0.04),  # here it has a reply of its own
    ("linguistic", CLOSED, ["Answer: yes\nLikelihood: almost no chance"], "yes", 0.02),
    ("top_k", CHOICE, ["Guess 1: heart (30%)\nGuess 2: left (60%)"], "left", 0.6),
    ("two_stage", CHOICE, ["heart", "Confidence: 40%"], "heart", 0.4),
    ("self_probing", CHOICE, ["It is the heart.", "Confidence: 40%"], "heart", 0.4),
    ("describe_first", CLOSED, ["dark", "Answer: yes\nConfidence: 70%"], "yes", 0.7),
    ("sequence_probability", OPEN, ["dark red"], "dark red", math.exp(-0.5 / 2)),
]


@pytest.mark.parametrize(("name", "item", "replies", "answer", "confidence"), STATED)
def test_answer_and_confidence_of_replies(name, item, replies, answer, confidence):
    texts, n = iter(replies), len(replies)
    (row,), rounds = run(name, item, lambda call: Reply(next(texts), -0.5, 10, 2))
    stated = math.nan if confidence is None else confidence
    assert row["answer"] == answer
    assert row["confidence"] == pytest.approx(stated, abs=5e-5, nan_ok=True)
    assert row["parse_ok"] == (None not in (answer, confidence))
    assert row["raw"] == "\n---\n".join(replies)
    assert [row["prompt_tokens"], row["new_tokens"]] == [10 * n, 2 * n]
    if name == "self_probing":  # a new prompt, which holds the answer
        (turn,) = rounds[1][0].prompt.turns
        assert "Proposed answer: heart." in turn
    if name in ("two_stage", "describe_first"):  # what it said stands before the second
        assert rounds[1][0].prompt.turns[1] == replies[0]


@pytest.mark.parametrize("name", ["verbalized", "two_stage", "describe_first"])
def test_a_confidence_that_the_limit_cut_in_two_is_none(name):
    for text, finished, stated in (
        ("Answer: yes\nConfidence: 8", False, None),
        ("Answer: yes\nConfidence: 8", True, 0.08),
        ("Answer: yes\nConfidence: 80%", False, 0.8),
    ):
        (row,), _ = run(name, CLOSED, says(text, finished=finished))
        assert row["confidence"] == stated or math.isnan(row["confidence"])
        assert row["raw"].endswith(text)
    cut = says("Guess 1: yes (30%)\nGuess 2: no (7", finished=False)
    (row,), _ = run("top_k", CLOSED, cut)
    assert row["option_probabilities"] == {"yes": 0.3}


@pytest.mark.parametrize(
    ("item", "text", "answer"),
    [
        (OPEN, "Let me think about", None),
        (CLOSED, "Yes", "yes"),  # an option whole
        (CLOSED, "Yes, there seems to be no", None),
        (CHOICE, "Left lung and heart are", None),
        (OPEN, "Answer: dark red\nThis is because", "dark red"),
        (OPEN, "Answer: dark", None),
    ],
)
def test_a_reply_that_the_limit_cut_is_an_answer_where_that_is_whole(
    item, text, answer
):
    cut = says(text, finished=False)
    for name in ("verbalized", "self_consistency", "two_stage"):
        rows, _ = run(name, item, cut)
        assert {row["answer"] for row in rows} == {answer}
        assert all(row["n_cut"] for row in rows)

    def judged(call):
        return cut(call) if isinstance(call, Generate) else shares(call)

    (row,), rounds = run("p_true", item, judged)
    assert row["answer"] == answer
    assert math.isnan(row["confidence"]) == (answer is None)
    assert len(rounds) == (1 if answer is None else 2)  # nothing is asked of nothing


def test_what_is_asked_again():
    rows, rounds = run("challenge", CLOSED, says("yes"))
    assert [row["answer"] for row in rows] == ["yes"] * 4
    assert [call.prompt.turns[2] for call in rounds[1]] == list(strategies.CHALLENGES)
    _, rounds = run("paraphrase", CLOSED, says("yes"))
    blocks = [call.prompt.block for call in rounds[0]]
    assert blocks[0] == "Is there a mass?\nOptions: yes, no."
    assert len(set(blocks)) == 1 + len(strategies.REWORDINGS)
    _, rounds = run("augment", CLOSED, says("yes"))
    changes = [call.prompt.picture.change for call in rounds[0]]
    assert changes == ["", "brighter", "darker", "turned", "cropped", "softer"]
    _, first = run("self_consistency", OPEN, says("red"))
    assert first == run("semantic_entropy", OPEN, says("red"))[1]  # the same draws
    assert len(set(first[0])) == 4
    _, other = run("self_consistency", OPEN, says("red"), replace(PLAN, seed=1))
    assert not {call.seed for call in other[0]} & {call.seed for call in first[0]}


def test_option_probability_by_words_and_by_letters():
    def asked(plan):
        (row,), ((call,),) = run(
            "option_probability", CHOICE, lambda call: shares(call, [1, 2, 3]), plan
        )
        assert (row["answer"], row["confidence"]) == ("left", 0.5)
        return row, call

    row, call = asked(PLAN)
    assert call.labels == ("left lung", "heart", "left")
    probabilities = [*row["option_probabilities"].values()]
    assert probabilities == pytest.approx([1 / 6, 1 / 3, 1 / 2], abs=5e-5)
    _, call = asked(Plan(lettered=True))
    assert call.labels == ("A", "B", "C")
    assert "A. left lung\nB. heart\nC. left\n" in call.prompt.turns[0]


def test_p_true_reads_yes():
    yes = LabelProbabilities({"yes": 0.7, "no": 0.3}, prompt_tokens=12)
    answers = iter([Reply("The answer is heart.", -1, 10, 1), yes])
    (row,), rounds = run("p_true", CHOICE, lambda call: next(answers))
    assert "Proposed answer: heart." in rounds[1][0].prompt.turns[0]
    assert (row["answer"], row["confidence"]) == ("heart", 0.7)
    assert row["prompt_tokens"] == 22


def test_probes_hide_the_image_or_the_right_option():
    def script(call):
        return shares(call, [6, 4] if call.prompt.picture.change else [9, 1])

    rows, _ = run("blank_image", CLOSED, script)
    assert [row["confidence"] for row in rows] == [0.9, 0.6]
    (row,), ((call,),) = run(
        "none_of_the_above", CHOICE, lambda call: shares(call, [5, 2, 3])
    )
    assert call.labels == ("left lung", "left", row["gold"])
    assert row["gold"] == "none of the above"
    assert "Options: left lung, left, none of the above." in call.prompt.turns[0]
    assert (row["answer"], row["confidence"]) == ("left lung", 0.5)


def test_what_a_backend_cannot_do_is_skipped_with_the_reason():
    cannot = {"turns": "no template"}
    backend = SimpleNamespace(can=frozenset({"generate"}), cannot=cannot)
    assert STRATEGIES["verbalized"].skips(backend) is None
    assert STRATEGIES["two_stage"].skips(backend) == "no template"
    assert STRATEGIES["p_true"].skips(backend) == "the model gives no labels"
    how = STRATEGIES["option_probability"]
    assert "open question" in how.applies(OPEN, Plan())
    many = replace(CLOSED, options=tuple(f"option {i}" for i in range(27)))
    assert how.applies(many, Plan()) is None
    assert "26 letters" in how.applies(many, Plan(lettered=True))


def test_choosing():
    def chosen(names):
        return [how.name for how in strategies.choose_strategies(names)]

    assert chosen("p_true, verbalized,p_true,") == ["p_true", "verbalized"]
    assert chosen("all") == list(STRATEGIES)
    for wrong in ("verbalised", "", ","):
        with pytest.raises(MedcalError, match=r"no elicitation method .*; there are"):
            chosen(wrong)
