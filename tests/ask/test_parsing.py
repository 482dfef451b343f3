"""Reading answers and confidences out of replies."""

import re
import time

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medcal_nb.ask.confidence import LIKELIHOOD, parse_confidence, parse_likelihood
from medcal_nb.ask.parsing import parse_answer, parse_guesses

from . import replies


def cases(table):
    """(reply, reading) of a table that lists replies by their reading."""
    return [(reply, reading) for reading, texts in table.items() for reply in texts]


@pytest.mark.parametrize(("reply", "expected"), cases(replies.CONFIDENCE))
def test_confidence(reply, expected):
    assert parse_confidence(reply) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("reply", replies.NO_CONFIDENCE + replies.NOT_ITS_OWN)
def test_what_is_no_confidence_or_in_doubt_is_missing(reply):
    assert parse_confidence(reply) is None


@pytest.mark.parametrize(("reply", "expected"), cases(replies.CLOSED))
def test_closed_answer(reply, expected):
    assert parse_answer(reply, question_type="closed") == expected


@pytest.mark.parametrize(
    ("reply", "options", "letter"),
    [(reply, replies.SIDES, letter) for reply, letter in cases(replies.LETTERS)]
    + replies.OF_OTHERS,
)
def test_option_letter(reply, options, letter):
    option = None if letter is None else options[ord(letter) - ord("A")]
    assert parse_answer(reply, question_type="choice", options=options) == option


@pytest.mark.parametrize(("reply", "expected"), replies.OPEN)
def test_open_answer(reply, expected):
    assert parse_answer(reply) == expected


@pytest.mark.parametrize(
    ("reply", "expected"), replies.GUESSES + [(text, []) for text in replies.NO_GUESSES]
)
def test_guesses(reply, expected):
    assert parse_guesses(reply) == expected


@pytest.mark.parametrize(("reply", "expected"), cases(replies.LIKELIHOODS))
def test_likelihood(reply, expected):
    assert parse_likelihood(reply) == expected


@pytest.mark.parametrize("word", LIKELIHOOD)
def test_every_likelihood_word_is_read_as_itself(word):
    reply = f"Answer: left lung\nLikelihood: {word.title()}."
    assert parse_likelihood(word) == parse_likelihood(reply) == LIKELIHOOD[word]


_PIECES = st.sampled_from(
    [
        "confidence", "Confidence:", "**", "answer", "Answer:", "yes", "no", "%", "/100", "-", "to",
        "and", "between", "less than", "0.", ",", ".", "85", "7", "1e9", "100", "\n", "<think>",
        "</think>", "\\boxed{", "}", "{", '"', "eighty", "one hundred", "百分之", "八成",
        "置信度：", "٨٥", "½", "²", "(0-100)", "on a scale of 1 to 10", "±", "Guess 1:", "P1:",
        "A.", "(B)", "|", "likely", "not", "sure", " ",
    ]
)  # fmt: skip
_REPLIES = st.one_of(st.text(max_size=200), st.lists(_PIECES, max_size=25).map(" ".join),
                     st.lists(_PIECES, max_size=25).map("".join))  # fmt: skip


@settings(max_examples=600, deadline=None)
@given(_REPLIES)
def test_confidence_never_raises_and_stays_between_0_and_1(text):
    value = parse_confidence(text)
    assert value is None or (isinstance(value, float) and 0 <= value <= 1)


@settings(max_examples=400, deadline=None)
@given(_REPLIES, st.lists(st.text(max_size=12), max_size=30))
def test_the_other_parsers_never_raise(text, options):
    assert parse_likelihood(text) in {None, *LIKELIHOOD.values()}
    assert parse_answer(text, question_type="closed") in {None, "yes", "no"}
    chosen = parse_answer(text, question_type="choice", options=options)
    assert chosen is None or not options or chosen in options
    answer = parse_answer(text)
    assert answer is None or answer.strip()
    for guess, confidence in parse_guesses(text):
        assert isinstance(guess, str)
        assert confidence is None or 0 <= confidence <= 1


@given(st.none() | st.floats() | st.integers() | st.binary() | st.lists(st.integers()))
def test_what_is_no_text_is_no_reply(value):
    assert parse_confidence(value) is None
    assert parse_answer(value) is None
    assert parse_answer(value, question_type="choice", options=["a", "b"]) is None
    assert parse_likelihood(value) is None
    assert parse_guesses(value) == []


@pytest.mark.parametrize(
    "piece",
    ["1", "85% ", "confidence ", "answer: ", "<think>", "((((", "guess 1: ", "{", "- a\n",
     "( 1", "\\boxed{", "a ", " ", "\ufdfa", "not likely ", "confidence in my answer "],
)  # fmt: skip
def test_a_runaway_reply_is_read_in_little_time(piece):
    """Replies are read in the event loop, where other requests wait."""
    text = piece * (80_000 // len(piece))
    start = time.process_time()
    for parse in (parse_confidence, parse_likelihood, parse_answer, parse_guesses):
        parse(text)
    parse_answer(text, question_type="choice", options=["left lung", "a", "b"])
    parse_answer(text, question_type="closed")
    assert time.process_time() - start < 5


def test_an_option_inside_a_longer_one_is_not_meant_by_its_words():
    how = {"question_type": "choice", "options": ["lung", "left lung", "heart"]}
    assert parse_answer("the left lung", **how) == "left lung"
    assert parse_answer("some lung", **how) == "lung"
    assert parse_answer("the left lung, and the lung", **how) is None


def test_of_a_reply_that_was_cut_off_only_whole_sentences_state_a_confidence():
    assert parse_confidence("It is clear. Confidence: 9", cut_off=True) is None
    assert parse_confidence("85", cut_off=True) is None
    whole = "Confidence: 95%\n\nThe lung is the large organ that"
    assert parse_confidence(whole, cut_off=True) == 0.95


@pytest.mark.real
def test_real_replies_that_state_no_confidence_yield_none_wherever_they_are_cut(
    real_dir,
):
    path = real_dir / "vlcb" / "verbal_replies_sample.csv"
    texts = pd.read_csv(path)["raw_response"]
    labels = r"confidence[^.\n]{0,80}?\d|\d ?%[^.\n]{0,20}confiden|likelihood[^.\n]*\d"
    none = texts[~texts.str.contains(labels, case=False)]
    assert len(none) > 150
    cuts = [t[: end.end()] for t in none for end in re.finditer(r"\S(?=\s|$)", t)]
    assert len(cuts) > 9_000
    assert [text for text in cuts if parse_confidence(text) is not None] == []


@pytest.mark.real
def test_a_real_reply_that_is_cut_off_states_what_it_states_whole_or_nothing(real_dir):
    path = real_dir / "vlcb" / "verbal_replies_sample.csv"
    texts = pd.read_csv(path)["raw_response"]
    stated = {text: parse_confidence(text) for text in texts}
    assert sum(value is not None for value in stated.values()) > 600
    for text, whole in stated.items():
        for end in list(re.finditer(r"\S(?=\s)", text))[::9]:
            part = parse_confidence(text[: end.end()], cut_off=True)
            assert whole is None or part in (None, whole), text[: end.end()]
