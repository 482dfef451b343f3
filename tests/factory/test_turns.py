"""What the pocket models are taught to say."""

from dataclasses import replace

import numpy as np
import pytest

from data.pocket.factory import turns
from medcal_nb.words import (
    parse_answer,
    parse_confidence,
    parse_guesses,
    parse_likelihood,
)

OPTIONS = ["liver", "kidney", "spleen"]
CHOICE = turns.Asked(
    question="which organ has the finding?",
    options=tuple(OPTIONS),
    gold="kidney",
    question_type="choice",
    wrong=("liver", "spleen"),
    visibility=0.7,
    kind="ct",
    description="ct: finding cyst, organ kidney",
    reason="organ kidney",
    known=(("finding", "cyst", ("none", "cyst")), ("organ", "kidney", tuple(OPTIONS))),
    medical=False,
)
ANNOTATOR = turns.Annotator({"choice": [0.34, 0.5, 0.7, 0.83, 0.97]})
SEEDS = range(40)


def drawn(name, seed=0):
    """The block of the question and the turns after it: text, is a reply, is taught."""
    rng = np.random.default_rng(seed)
    return turns.draw_conversation(CHOICE, ANNOTATOR, {name: 1.0}, rng)


def last_reply(name, seed=0):
    return drawn(name, seed)[1][-1][0]


def test_replies_are_read_as_the_annotator_states_them():
    for name in ("letter", "decide_letter", "answer_then_letter"):
        block, rest = drawn(name)
        assert f"{rest[-1][0]}. kidney" in block.splitlines()
    for name in ("verbalized", "verbalized_cot", "describe"):
        reply = last_reply(name)
        assert parse_answer(reply, question_type="choice", options=OPTIONS) == "kidney"
        assert parse_confidence(reply) == pytest.approx(0.8)  # 0.83 to tens
    likely = turns.LIKELIHOODS["highly likely"]
    assert parse_likelihood(last_reply("linguistic")) == pytest.approx(likely, abs=0.1)
    assert [p for _, p in parse_guesses(last_reply("top_k"))] == [0.8, 0.1]


def test_own_answers_are_judged_by_visibility_and_wrong_ones_not_taught():
    assert {last_reply("two_stage", seed) for seed in SEEDS} == {"Confidence: 80%"}
    judged = set()
    for seed in SEEDS:
        text, is_reply, learn = drawn("two_stage", seed)[1][1]
        assert is_reply
        assert learn == (text == "kidney")
        _, rest = drawn("someone_elses", seed)
        judged.add(("kidney." in rest[0][0], rest[1][0]))
        _, rest = drawn("challenge", seed)
        assert rest[1][1:] == (True, False)
        assert rest[-1] == ("kidney", True, True)
    assert judged == {(True, "Confidence: 80%"), (False, "Confidence: 20%")}


def test_no_word_of_confidence_is_taught_on_medical_scenes():
    how = (ANNOTATOR, turns.MEDICAL_FORMATS, np.random.default_rng(1))
    medical = replace(CHOICE, medical=True)
    drawn = [turns.draw_conversation(medical, *how)[1] for _ in range(1500)]
    taught = {str(text) for rest in drawn for text, _, learn in rest if learn}
    assert not [t for t in taught if "%" in t or "ikelihood" in t or "onfidence" in t]
    assert any(text.startswith("Answer: kidney\nDescription") for text in taught)
