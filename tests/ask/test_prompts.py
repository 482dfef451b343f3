"""The layout of a turn, and that what models are taught to reply is what is read back."""

import pytest

from data.pocket.factory.turns import REPLIES
from medcal_nb.ask import strategies
from medcal_nb.ask.confidence import parse_confidence, parse_likelihood
from medcal_nb.ask.parsing import parse_answer, parse_guesses


@pytest.mark.parametrize("percent", [0, 1, 5, 40, 85, 99, 100])
@pytest.mark.parametrize("spaced", [False, True], ids=["as asked", "word by word"])
def test_replies_in_the_forms_asked_for_are_read(spaced, percent):
    def written(name, **values):
        text = REPLIES[name].format(percent=percent, **values)
        for mark in ":%().":
            text = text.replace(mark, f" {mark} ") if spaced else text
        return " ".join(text.lower().split()) if spaced else text

    share = pytest.approx(percent / 100)
    for name in ("verbalized", "verbalized_cot"):
        reply = written(name, answer="no", reason="the image is dark")
        assert parse_answer(reply, question_type="closed") == "no"
        assert parse_confidence(reply) == share
    reply = written("verbalized", answer="left lung")
    options = ["heart", "left lung"]
    assert parse_answer(reply, question_type="choice", options=options) == "left lung"
    assert parse_answer(reply) == "left lung"
    assert parse_confidence(written("two_stage")) == share
    pairs = [("left lung", share), ("3", share), ("no", share)]
    guesses = [written("top_k", i=i, answer=one) for i, (one, _) in enumerate(pairs, 1)]
    assert parse_guesses((" " if spaced else "\n").join(guesses)) == pairs


def test_offered_likelihood_words_are_read_and_fall():
    offered = strategies.LINGUISTIC.partition("words: ")[2].partition(".")[0]
    read = [
        parse_likelihood(REPLIES["linguistic"].format(answer="yes", likelihood=word))
        for word in offered.split(", ")
    ]
    assert len(read) == 8
    assert None not in read
    assert read == sorted(set(read), reverse=True)
