"""Whole replies as answers with confidences: a run of them, as one run has one form and one scale.

What one reply leaves open the others of its run may decide: whether ``Confidence: 1`` is all or a
hundredth, and whether the number behind an answer ("yes, 90%") is a confidence or a finding.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from medcal_nb.answer_key import (
    answer_key,
    is_nothing,
    is_refusal,
    only_yes_no,
    option_index,
    yes_no,
)
from medcal_nb.replies.confidence import (
    ABOUT,
    VALUE,
    Stated,
    labelled_likelihood,
    number_of,
    parse_likelihood,
    share_of,
    stated_number,
)
from medcal_nb.replies.parsing import parse_answer, values_of
from medcal_nb.replies.reading import clean

#: The least replies of a run, and the least share of it, that make a doubtful form its form.
_LEAST = 3
_SHARE = 0.5
#: A word of likelihood among more words may be of a finding.
_MOST_WORDS = 4

_SURE = r"(?P<sure>\s*(?:sure|certain|confident|confidence|certainty|probability)\b)?"
#: "yes : 0.9", "B (85%)", "left lung, 60% sure": an answer, and the number behind it.
_BEHIND = re.compile(
    rf"(?P<part>[^\n]*?\w[\"')\]]?)(?P<sep>\s*(?:[:;,|=(\[-]|->)\s*|\s+)"
    rf"(?:(?:i'd|i would)\s+say\s+)?{ABOUT}{VALUE}{_SURE}[\s)\].\"]*",
    re.IGNORECASE,
)
_LETTER = re.compile(r"\W*(?:option\s+)?([A-Z])\W*", re.IGNORECASE)
#: "I am 90% sure that the answer is B".
_TIED = re.compile(
    rf"(?:i\s+am|i'm|with)\s+{ABOUT}{VALUE}\s*(?:sure|certain|confident|confidence|certainty)\b,?"
    r"\s*(?:that\s+)?(?:(?:the|my)\s+(?:correct\s+)?answer\s+is|it\s+is|it's|this\s+is)[\s:]+"
    r"(?P<answer>[^\n.;,]+)[.\s]*",
    re.IGNORECASE,
)
#: A share for each answer: "A: 10%, B: 70%".
_SHARES = re.compile(
    r"(?<![\w])['\"(]?(yes|no|[A-H])['\")]?\s*[:=]\s*\d+(?:\.\d+)?\s*(?:%|$|[,;}\n])",
    re.IGNORECASE | re.MULTILINE,
)


class _Row(NamedTuple):
    """What is read of a reply, None where it is not stated or in doubt: a row of the table."""

    answer: str | None
    confidence: float | None
    form: str | None


class _Read(NamedTuple):
    """A reply as read by itself: what it may say where its run agrees stands apart."""

    answer: str | None = None
    stated: Stated | None = None
    word: float | None = None
    perhaps: tuple[str, Stated] | None = None


def read_replies(
    texts: Sequence[str],
    *,
    options: Sequence[Sequence[str] | None] | None = None,
    kinds: Sequence[str | None] | None = None,
    scale: str | float | None = None,
) -> pd.DataFrame:
    r"""Read answers and confidences out of the replies of one run.

    Parameters
    ----------
    texts : sequence of str, length n
        Replies of one model to one prompt. What is no string, empty or the error of a program says
        nothing.
    options : sequence, length n, optional
        The options of each question in the order they were shown, None where it has none.
    kinds : sequence of str, length n, optional
        The kind of each question: "closed", "choice", "open", or "confidence", to which a reply
        states that alone.
    scale : str or float, optional
        Of numbers without one: ``"percent"``, its upper end, both (``"1-5"``), or ``"log"``.

    Returns
    -------
    DataFrame
        One row a reply, with the index of `texts` if it has one.

        - answer: text, missing where none is given
        - confidence: in [0, 1], NaN where none is stated, or in doubt
        - form: how the confidence is stated: "label", "sentence", "alone", "behind the answer",
          "word" (by the table `LIKELIHOOD`); "no scale" where a number may be on several

    Examples
    --------
    >>> read_replies(["yes\nConfidence: 0.8", "no\nConfidence: 1"])
      answer  confidence   form
    0    yes         0.8  label
    1     no         1.0  label
    """
    index = texts.index if isinstance(texts, pd.Series) else None
    n = len(texts)
    each = zip(texts, options or [None] * n, kinds or [None] * n, strict=True)
    rows = _settled([_read(*one) for one in each], scale)
    table = pd.DataFrame(rows, index, columns=list(_Row._fields), dtype=object)
    return table.astype({"confidence": float})


def _read(text, options, kind):
    """One reply by itself."""
    if not isinstance(text, str) or is_nothing(text):
        return _Read()
    if kind == "confidence":
        is_word = len(text.split()) <= _MOST_WORDS
        word = parse_likelihood(text) if is_word else labelled_likelihood(text)
        return _Read(stated=stated_number(text), word=word)
    options = None if options is None or not len(options) else [*options]
    kind = "choice" if options else kind
    plain = clean(text)
    if len({match[1].lower() for match in _SHARES.finditer(plain)}) > 1:
        return _Read()
    word = labelled_likelihood(text)
    stated = stated_number(text)
    if stated and stated.form == "alone":  # a number alone is the answer
        stated = None
    asked = {"question_type": kind or "open", "options": options}
    if tied := _TIED.fullmatch(plain):
        answer = parse_answer(tied["answer"], **asked)
        return _Read(answer, number_of(tied, None, "sentence") if answer else None)
    answer = parse_answer(text, **asked)
    behind = None if stated or word else _behind_answer(plain, options, kind)
    if behind and behind[2]:
        return _Read(*behind[:2])
    return _Read(answer, stated, word, behind and behind[:2])


def _behind_answer(plain, options, kind):
    """(answer, number behind it, whether that is plainly a confidence), or None."""
    for value in values_of(plain):
        match = _BEHIND.fullmatch(value)
        answer = match and _named(match["part"], match["sep"], options, kind)
        if not answer or is_refusal(value):
            continue
        number = number_of(match, None, "behind the answer")
        is_own = not options or match["a"] not in " ".join(options)
        has_mark = ":" in match["sep"]
        if number is None or not is_own or (number.unit == "bare" and not has_mark):
            continue
        is_letter = kind is None and _LETTER.fullmatch(answer)
        is_short = kind in ("closed", "choice") or is_letter or only_yes_no(answer)
        is_said = has_mark or match["sure"] or number.unit == "decimal"
        if number.unit == "percent":  # "yes, 90%" may be a finding, an option is none
            is_option = kind == "choice" and "%" not in "".join(options or ())
            is_said = is_said or is_letter or is_option
        return answer, number, kind != "open" and is_short and is_said
    return None


def _named(part, sep, options, kind):
    """The answer that stands before a number and is nothing but an answer, else None."""
    if options:
        keys = [answer_key(option) for option in options]
        is_whole = answer_key(part) in keys or _LETTER.fullmatch(part)
        marked = re.fullmatch(r"\W*[A-Z]\s*[).:]\s*(.+)", part, re.IGNORECASE)
        is_whole = is_whole or (marked and answer_key(marked[1]) in keys)
        index = option_index(part, options) if is_whole else None
        return None if index is None else options[index]
    if only_yes_no(part):
        return yes_no(part)
    if kind == "closed":
        return None
    letter = _LETTER.fullmatch(part)
    if letter and kind is None:
        return letter[1].upper() if sep.strip() in (",", ";", "(", "[") else None
    # "the ratio is 0.6" is no answer with a confidence
    is_words = sep.strip() and not re.search(r"\d", part) and len(part.split()) <= 6
    return part.strip() if is_words else None


def _settled(read, scale):
    """Replies of one run, where the run decides what a reply leaves open."""
    n_read = sum(one != _Read() for one in read)
    n_behind = sum(one.perhaps is not None or _is_behind(one.stated) for one in read)
    is_form = n_behind >= max(_LEAST, _SHARE * n_read)
    rows = []
    for one in read:
        is_taken = is_form and one.perhaps is not None
        rows.append(_Read(*one.perhaps) if is_taken else one)
    of_run = scale if scale is not None else _scale_of_run(rows)
    return [_reply(one, of_run) for one in rows]


def _is_behind(stated):
    return stated is not None and stated.form == "behind the answer"


def _scale_of_run(read):
    """The scale of numbers without one: 1, 100, None where the run does not say."""
    stated = [one.stated for one in read if one.stated]
    is_share = any(one.unit == "decimal" for one in stated)
    is_percent = any(
        one.unit == "percent" or (one.unit == "bare" and one.value > 10)
        for one in stated
    )
    if is_share == is_percent:
        return None
    return 1 if is_share else "percent"


def _reply(one, scale):
    """A reply on the scale of its run."""
    if one.stated is None:
        return _Row(one.answer, one.word, None if one.word is None else "word")
    is_small = one.stated.unit == "bare" and 0 < one.stated.value <= 10
    share = None if is_small and scale is None else share_of(one.stated, scale)
    return _Row(one.answer, share, "no scale" if share is None else one.stated.form)
