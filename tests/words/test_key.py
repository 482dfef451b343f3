"""What stands where there is no answer, and what only looks like it."""

import pandas as pd
import pytest

from medcal_nb.words import NOTHING, answer_key, is_nothing

NO_ANSWER = """NA|N/A|n/a|None|nan|NaN|null|-|–|?|unknown|Refused|#N/A|<NA>|Error: timeout|ERROR
[ERROR] 429 rate limit|RateLimitError: 429|openai.APIError: x|API error 500|429 Too Many Requests
Request timed out|Traceback (most recent call last):|rate limit exceeded|[NO ANSWER]
rate limit|content_filter"""
ANSWERS = """none|no|No|A|-3|refractive error|error bars|5|404|normal|nothing|Na|missing tooth|nil
None of the above|unknown primary|- left lung|medication error|the error of margins|negative"""


@pytest.mark.parametrize(("texts", "nothing"), [(NO_ANSWER, True), (ANSWERS, False)])
def test_words_for_nothing(texts, nothing):
    cells = texts.replace("\n", "|").split("|")
    assert [text for text in cells if is_nothing(text) != nothing] == []
    column = pd.Series(cells, dtype="str")  # matched by another engine
    assert (column.str.fullmatch(NOTHING) == nothing).all()


@pytest.mark.parametrize(
    ("word", "key"),
    [("ties", "tie"), ("flies", "fly"), ("axes", "axe"), ("cts", "cts")],
)
def test_a_short_word_loses_an_s_at_most(word, key):
    assert answer_key(word) == key
