"""Reading answers and confidences out of replies, those that models are taught among them."""

import json
import math
import re
import time
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.pocket.factory.turns import REPLIES
from medcal_nb.ask import strategies
from medcal_nb.words import (
    LIKELIHOOD,
    Options,
    parse_answer,
    parse_confidence,
    parse_guesses,
    parse_likelihood,
    read_replies,
)

closed = partial(parse_answer, question_type="closed")
choice = partial(parse_answer, question_type="choice")
# Replies in the style of real models, with what a careful reader would take from them: nothing
# where none is stated, or it is of another thing, out of range, only bounded, or in doubt.
PINNED = pd.read_csv(
    Path(__file__).with_name("pinned.csv"), dtype=str, keep_default_na=False
)
SIDES = ["left lung", "right lung", "both lungs", "neither"]
ANIMALS = ["a cat", "a dog"]


def letter_of(options):
    """A parser that gives the letter of the option."""

    def parse(text):
        option = choice(text, options=options)
        return option and "ABCD"[options.index(option)]

    return parse


# each parser, and what it makes of the text of a reading
PARSERS = {
    "confidence": (parse_confidence, float),
    "likelihood": (parse_likelihood, float),
    "closed": (closed, str),
    "sides": (letter_of(SIDES), str),
    "animals": (letter_of(ANIMALS), str),
    # an option inside a longer one is not meant by its words
    "inside": (letter_of(["lung", "left lung", "heart"]), str),
    "open": (parse_answer, str),
    "guesses": (parse_guesses, lambda text: [tuple(one) for one in json.loads(text)]),
}


@pytest.mark.parametrize("name", PARSERS)
def test_what_a_reply_says(name):
    parse, read = PARSERS[name]
    rows = PINNED[PINNED["parser"] == name]
    assert len(rows) >= 3
    wanted = [read(text) if text else None for text in rows["reading"]]
    pairs = zip(rows["text"], wanted, strict=True)
    assert [one for one in pairs if parse(one[0]) != one[1]] == []


def test_offered_likelihood_words_are_read_and_fall():
    offered = strategies.LINGUISTIC.partition("words: ")[2].partition(".")[0]
    form = partial(REPLIES["linguistic"].format, answer="yes")
    read = [parse_likelihood(form(likelihood=word)) for word in offered.split(", ")]
    assert len(read) == 8
    assert None not in read
    assert read == sorted(set(read), reverse=True)


@pytest.mark.parametrize("word", LIKELIHOOD)
def test_every_likelihood_word_is_read_as_itself(word):
    reply = f"Answer: left lung\nLikelihood: {word.title()}."
    assert parse_likelihood(word) == parse_likelihood(reply) == LIKELIHOOD[word]


_PIECES = st.sampled_from(
    [
        "confidence", "Confidence:", "**", "Answer:", "yes", "no", "%", "/100", "-", "to", "0.",
        "between", "less than", ",", ".", "85", "1e9", "\n", "<think>", "</think>", "\\boxed{",
        "}", "{", '"', "百分之", "置信度：", "٨٥", "½", "(0-100)", "on a scale of 1 to 10", "±",
        "Guess 1:", "P1:", "A.", "(B)", "|", "likely", "not", "I am", "sure", " ",
    ]
)  # fmt: skip
_MANY = st.lists(_PIECES, max_size=25)
_REPLIES = st.one_of(st.text(max_size=200), _MANY.map(" ".join), _MANY.map("".join))


@settings(max_examples=300, deadline=None)
@given(_REPLIES, st.lists(st.text(max_size=12), max_size=30))
def test_parsers_never_raise_and_give_what_can_be(text, options):
    value = parse_confidence(text)
    assert value is None or (isinstance(value, float) and 0 <= value <= 1)
    assert parse_likelihood(text) in {None, *LIKELIHOOD.values()}
    assert closed(text) in {None, "yes", "no"}
    chosen = choice(text, options=options)
    shown = Options.read(options)
    assert chosen is None or shown is None or chosen in shown.texts
    answer = parse_answer(text)
    assert answer is None or answer.strip()
    answer, confidence, form = read_replies([text], options=[options]).iloc[0]
    is_known = answer in shown.texts if shown else answer and answer.strip()
    assert answer is None or is_known
    assert math.isnan(confidence) or (0 <= confidence <= 1 and form)
    for guess, confidence in parse_guesses(text):
        assert isinstance(guess, str)
        assert confidence is None or 0 <= confidence <= 1


@pytest.mark.parametrize("value", [None, 0.5, 85, b"85", [85]])
def test_what_is_no_text_is_no_reply(value):
    for parse in (parse_confidence, parse_answer, closed, choice, parse_likelihood):
        assert parse(value) is None
    assert choice(value, options=["a", "b"]) is None
    assert parse_guesses(value) == []


@pytest.mark.parametrize(
    "piece",
    ["1", "85% ", "confidence ", "answer: ", "<think>", "((((", "guess 1: ", "{", "- a\n",
     "( 1", "\\boxed{", "a ", " ", "\ufdfa", "not likely ", "confidence in my answer "],
)  # fmt: skip
def test_a_runaway_reply_is_read_in_little_time(piece):
    """Replies are read in the event loop, where other requests wait."""
    # of one that is longer than 20,000 two ends are read: time by the square is four times this
    text = piece * (10_000 // len(piece))
    start = time.process_time()
    of_options = partial(choice, options=["left lung", "a", "b"])
    for parse in (parse_confidence, parse_likelihood, parse_answer, closed, of_options):
        parse(text)
    parse_guesses(text)
    read_replies([text], options=[["left lung", "a", "b"]])
    assert time.process_time() - start < 2.5


@pytest.mark.real
def test_real_replies_state_what_they_state_whole_or_nothing_wherever_cut(real_dir):
    path = real_dir / "vlcb" / "verbal_replies_sample.csv"
    texts = pd.read_csv(path)["raw_response"]
    labels = r"confidence[^.\n]{0,80}?\d|\d ?%[^.\n]{0,20}confiden|likelihood[^.\n]*\d"
    none = texts[~texts.str.contains(labels, case=False)]
    assert len(none) > 150
    cuts = [t[: end.end()] for t in none for end in re.finditer(r"\S(?=\s|$)", t)]
    assert len(cuts) > 9_000
    assert [text for text in cuts if parse_confidence(text) is not None] == []
    stated = {text: parse_confidence(text) for text in texts}
    assert sum(value is not None for value in stated.values()) > 600
    for text, whole in stated.items():
        for end in list(re.finditer(r"\S(?=\s)", text))[::27]:
            part = parse_confidence(text[: end.end()].rstrip("0123456789.,"))
            assert whole is None or part in (None, whole), text[: end.end()]
