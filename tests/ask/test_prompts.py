"""The layout of a turn, and that what models are taught to reply is what is read back."""

import pytest

from data.pocket.factory.turns import REPLIES
from medcal_nb.ask import prompts, strategies
from medcal_nb.ask.confidence import parse_confidence, parse_likelihood
from medcal_nb.ask.parsing import parse_answer, parse_guesses


def test_question_block_lists_options_in_one_line():
    assert (
        prompts.question_block(" Is it? ", ["yes", "no"]) == "Is it?\nOptions: yes, no."
    )
    assert prompts.question_block("What is it?") == "What is it?"
    turn = prompts.user_turn("Is it?", ["yes", "no"], prompts.ANSWER)
    assert turn == "Is it?\nOptions: yes, no.\n" + prompts.ANSWER


def test_options_with_commas_stand_apart():
    block = prompts.question_block("Which?", ["red, dark", "blue"])
    assert block == "Which?\nOptions:\n- red, dark\n- blue"


def test_lettered_options():
    assert prompts.question_block("Which?", ["red", "blue"], lettered=True) == (
        "Which?\nOptions:\nA. red\nB. blue"
    )


@pytest.mark.parametrize(
    "spaced", [False, True], ids=["as asked", "as a word-level model writes"]
)
def test_asked_replies_are_parsed(spaced):
    def written(name, **values):
        text = REPLIES[name].format(**values)
        for mark in ":%().":
            text = text.replace(mark, f" {mark} ") if spaced else text
        return text.lower() if spaced else text

    for name in ("verbalized", "verbalized_cot"):
        reply = written(name, answer="no", percent=85, reason="the image is dark")
        assert (
            parse_answer(reply, question_type="closed", options=["yes", "no"]) == "no"
        )
        assert parse_confidence(reply) == pytest.approx(0.85)
    reply = written("verbalized", answer="left lung", percent=5)
    assert parse_answer(
        reply, question_type="choice", options=["heart", "left lung"]
    ) == ("left lung")
    assert parse_confidence(written("two_stage", percent=40)) == pytest.approx(0.4)
    guesses = "\n".join(
        written("top_k", i=i, answer=a, percent=p)
        for i, a, p in ((1, "yes", 70), (2, "no", 20))
    )
    assert [tuple(guess) for guess in parse_guesses(guesses)] == [
        ("yes", pytest.approx(0.7)),
        ("no", pytest.approx(0.2)),
    ]


def test_offered_likelihood_words_are_read_and_fall():
    offered = (
        strategies.LINGUISTIC.partition("words: ")[2].partition(".")[0].split(", ")
    )
    assert len(offered) == 8
    read = [parse_likelihood(REPLIES["linguistic"].format(answer="yes", likelihood=word))
            for word in offered]  # fmt: skip
    assert None not in read
    assert read == sorted(set(read), reverse=True)
