"""The wording: shared beginnings, options, and that the asked reply forms are the parsed ones."""

import pytest

from medcal_nb.ask import prompts
from medcal_nb.ask.parsing import (
    parse_answer,
    parse_confidence,
    parse_guesses,
    parse_likelihood,
)


def test_question_block_lists_options_in_one_line():
    assert prompts.question_block(" Is it? ", ["yes", "no"]) == "Is it?\nOptions: yes, no."
    assert prompts.question_block("What is it?") == "What is it?"


def test_options_with_commas_stand_apart():
    block = prompts.question_block("Which?", ["red, dark", "blue"])
    assert block == "Which?\nOptions:\n- red, dark\n- blue"


def test_lettered_options():
    assert prompts.question_block("Which?", ["red", "blue"], lettered=True) == (
        "Which?\nOptions:\nA. red\nB. blue"
    )
    with pytest.raises(ValueError, match="between 0 and 26, got 27"):
        prompts.letters(27)


@pytest.mark.parametrize(
    "instruction",
    [prompts.ANSWER, prompts.VERBALIZED, prompts.top_k(3), prompts.p_true("red"), prompts.DESCRIBE],
)
def test_every_first_turn_begins_with_the_question_block(instruction):
    block = prompts.question_block("Which?", ["red", "blue"])
    assert prompts.user_turn("Which?", ["red", "blue"], instruction) == block + "\n" + instruction


def test_top_k_asks_for_k_lines():
    assert prompts.top_k(3).splitlines()[2:] == [f"Guess {i}: ... (...%)" for i in (1, 2, 3)]
    with pytest.raises(ValueError, match="at least 1"):
        prompts.top_k(0)


def test_rewordings_keep_the_question():
    texts = {prompts.reword("Is it red?", i) for i in range(len(prompts.REWORDINGS))}
    assert len(texts) == len(prompts.REWORDINGS)
    assert all("Is it red?" in text for text in texts)


def test_expert_is_told_the_support_only_when_given():
    alone = prompts.expert_turn("Which?", ["red", "blue"])
    told = prompts.expert_turn("Which?", ["red", "blue"], [0.25, 0.75])
    assert "%" not in alone
    assert "Others gave these answers: red (25%), blue (75%)." in told


@pytest.mark.parametrize("spaced", [False, True], ids=["as asked", "as a word-level model writes"])
def test_asked_replies_are_parsed(spaced):
    def written(name, **values):
        text = prompts.REPLIES[name].format(**values)
        for mark in ":%().":
            text = text.replace(mark, f" {mark} ") if spaced else text
        return text.lower() if spaced else text

    for name in ("verbalized", "verbalized_cot"):
        reply = written(name, answer="no", percent=85, reason="the image is dark")
        assert parse_answer(reply, question_type="closed", options=["yes", "no"]) == "no"
        assert parse_confidence(reply) == pytest.approx(0.85)
    reply = written("verbalized", answer="left lung", percent=5)
    assert parse_answer(reply, question_type="choice", options=["heart", "left lung"]) == (
        "left lung"
    )
    assert parse_confidence(written("two_stage", percent=40)) == pytest.approx(0.4)
    guesses = "\n".join(
        written("top_k", i=i, answer=a, percent=p) for i, a, p in ((1, "yes", 70), (2, "no", 20))
    )
    assert [tuple(guess) for guess in parse_guesses(guesses)] == [
        ("yes", pytest.approx(0.7)),
        ("no", pytest.approx(0.2)),
    ]


def test_offered_likelihood_words_are_read_and_ordered():
    read = [
        parse_likelihood(prompts.REPLIES["linguistic"].format(answer="yes", likelihood=word))
        for word in prompts.LIKELIHOOD_WORDS
    ]
    assert None not in read
    assert read == sorted(read, reverse=True)


def test_all_texts_hold_every_word_of_every_instruction():
    words = set(" ".join(prompts.all_texts()).split())
    for text in (prompts.VERBALIZED_COT, prompts.top_k(), *prompts.CHALLENGES, prompts.TWO_STAGE):
        assert set(text.split()) <= words
