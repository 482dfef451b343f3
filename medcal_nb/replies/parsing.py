"""Read answers out of what models write.

A reply is free text: ``**Answer:** B``, ``{"answer": "yes"}``, ``答案：是``, ``I would say yes.``.
The functions here turn a reply into an answer or into None. They never raise and never guess, and
whoever measures counts what is None. Confidences are read by :mod:`medcal_nb.replies.confidence`.
"""

import json
import re
from collections.abc import Sequence
from contextlib import suppress

from medcal_nb.answer_key import is_refusal, option_index, option_letter, yes_no
from medcal_nb.replies.confidence import parse_confidence
from medcal_nb.replies.reading import WORDS, clean

_LABEL = WORDS["answer"]
_SURE = WORDS["confidence"] + "|" + WORDS["probability"] + r"|\blog[\s_-]?prob\w*"
_ANSWER = re.compile(
    # "my confidence in this answer is" leads to no answer
    rf"(?<!\w)(?<!in this )(?<!in my )(?<!in the )(?<!of this ){_LABEL}"
    r"(?:\s+(?:to\s+(?:this|the)\s+question|choice|text|here))?['\"]?"
    r"(?:\s*(?:\([^()\n]{0,30}\))?\s*(?:[:=\]]|->|=>|\s-\s)"
    r"|\s+(?:is|would\s+be|ist|est|es|é|è|является)\b\s*:?|\s*(?:是|为|は)\s*:?"
    r"|(?=\W*\n))\s*(?P<value>[^\n]*)",
    re.IGNORECASE,
)
_KEY = re.compile(rf"\s*(?:final[\s_]?)?{_LABEL}\s*", re.IGNORECASE)
#: Where what states a confidence, or gives reasons, begins.
_CUT = re.compile(
    rf"[\s,;.|(\[{{'\"-]{{0,8}}(?:\b(?:with|my|and|a|an|the|i\s+am|i'm)\s{{1,4}}){{0,4}}"
    rf"(?:(?:{_SURE})[^\n:=\d]{{0,25}}(?:[:=]|[\s(]\d)"
    rf"|\(?\d{{1,3}}(?:[.,]\d+)?\s*%\s*(?:confiden\w*|sure|certain\w*)"
    rf"|\b(?:explanation|reasoning|reason|rationale|justification|note|because)\b\s*[:,]?\s)",
    re.IGNORECASE,
)
#: A number at the end of an answer that is no part of it: "(80%)", ", 90%", "(85)".
_SHARE = re.compile(
    r"(?<!\bof)(?<!\bby)(?<!\bat)(?<!\bto)(?:[\s,;:(\[-]+\d{1,3}(?:[.,]\d+)?\s*%\s*[)\]]?"
    r"|\s*[(\[]\s*\d{1,3}(?:[.,]\d+)?\s*[)\]])[\s.]*$"
)


def _uncut(value):
    return _CUT.split(value, maxsplit=1)[0]


def _trim(value):
    """Cut what follows the answer (confidence, explanation) and the marks around it."""
    value = _uncut(value)
    shorter = _SHARE.sub("", value)
    value = (shorter if re.search(r"\w", shorter) else value).strip(" \t\n\"'`|{}[]*_")
    value = re.sub(r"^(?:[-–•:=.\s]+|\d{1,2}[.)]\s+(?=[^\W\d]))", "", value)
    return " ".join(re.sub(r"[\s.,;:!]+$", "", value).split())


def _recorded(text):
    """The answer of a reply that holds a JSON object, else None."""
    record = text[text.find("{") : text.rfind("}") + 1]
    with suppress(ValueError, RecursionError):
        for key, value in json.loads(record or "{}").items():
            if _KEY.fullmatch(key) and isinstance(value, str | int | float):
                return str(value)
    return None


def labelled_values(text: str) -> list[str]:
    """What labels of a cleaned reply ("Answer:", a field of JSON) say, the last first."""
    if recorded := _recorded(text):
        return [recorded]
    values = []
    for match in reversed(list(_ANSWER.finditer(text))[-10:]):
        is_there = re.search(r"\w", _uncut(match["value"]))
        below = text[match.end() :].lstrip().split("\n", maxsplit=1)[0]
        values.append(match["value"] if is_there else below)
    return values


def values_of(text: str) -> list[str]:
    """The places of a cleaned reply where an answer may stand, the likeliest first.

    With a label these are what the labels say; else the first and the last line.
    """
    if values := labelled_values(text):
        return values
    lines = [line for line in text.split("\n") if re.search(r"\w", _uncut(line))]
    first = [re.sub(r"^[^?]*\?\s+(?=\w)", "", line) for line in lines[:1]]
    return first + lines[1:][-1:]


def stated_answer(text: str) -> str:
    r"""What the last label of a reply says, or else all of it, without mark-up.

    Examples
    --------
    >>> stated_answer("Two nodules.\n**Answer:** yes\nConfidence: 80%")
    'yes'
    """
    text = clean(text)
    values = labelled_values(text)
    return _trim(values[0]) if values else text


def parse_answer(
    text: str, *, question_type: str = "open", options: Sequence[str] | None = None
) -> str | None:
    r"""Read the answer out of a reply.

    The text after an answer label ("Answer:", "Réponse :", "答案：", a JSON field) goes before the
    first line; what states a confidence or gives reasons is cut off.

    - ``"closed"``: "yes" or "no", as :func:`medcal_nb.answer_key.yes_no` reads them. A sentence
      that implies an answer without saying it ("There is a fracture.") gives None.
    - ``"choice"``: the text of the option, as :func:`medcal_nb.answer_key.option_index` finds it.
      Without `options` the bare letter or text.
    - ``"open"``: the answer in the reply's own words.

    Parameters
    ----------
    text : str
        The reply. Anything but a string gives None.
    question_type : {"closed", "choice", "open"}
    options : list of str, optional
        The options of a choice question, in the order they were shown.

    Returns
    -------
    str or None
        None for refusals ("I can't tell from this image") and replies without an answer.

    Examples
    --------
    >>> options = ["oedema", "pneumonia"]
    >>> parse_answer("Answer: (B)", question_type="choice", options=options)
    'pneumonia'
    >>> parse_answer("I would say yes.", question_type="closed")
    'yes'
    """
    values = [value for value in values_of(clean(text)) if not is_refusal(value)]
    if question_type == "choice" and options:
        for value in values:
            index = option_index(_trim(value), options)
            if index is not None:
                return options[index]
        return None
    if question_type == "closed":
        return next(filter(None, (yes_no(_uncut(value)) for value in values)), None)
    answer = _trim(values[0]) if values else ""
    letter = option_letter(answer) if question_type == "choice" else None
    return letter or answer or None


# --- several guesses -----------------------------------------------------------------------------

_GUESS_START = re.compile(
    r"(?:^|[\n;,]|(?<=[%)])|(?<=\s))\s*(?:(?:first|second|third|fourth|fifth)\s+)?"
    r"(?:guess|g|answer|candidate|option|réponse|antwort|猜测)\s*#?\s*\d{0,2}\s*[:=.)]\s*"
    r"|(?:^|\n)\s*(?:[-•]|\(?\d{1,2}\s*[.):])\s+",
    re.IGNORECASE,
)
#: What ends a guess: a number after a label, or one with a sign, in brackets or behind a comma.
_GUESS_NUMBER = re.compile(
    rf"[\s,;|(\[-]*(?:(?:\bp\s*\d{{0,2}}\s*[:=]|(?:{_SURE})\s*\d{{0,2}}\s*[:=]?)\s*(?P<labelled>[^\n]*)"
    rf"|(?<=[\s(\[,:|-])(?P<value>[\d.,]+\s*(?:{WORDS['percent']}|/\s*\d+)|[01]?\.\d+)[\s)\]|.,]*$"
    r"|[,(\[:-]\s*(?P<bare>\d+)[\s)\]|.,]*$)",
    re.IGNORECASE,
)


def parse_guesses(text: str) -> list[tuple[str, float | None]]:
    r"""Read several guesses with their probabilities, in the order of the reply.

    Known forms: "Guess 1: yes (80%)", "G1: yes P1: 0.8", numbered and bulleted lists; JSON and
    lines without a mark are not read. Probabilities are taken as written, never scaled to add up
    to one.

    Parameters
    ----------
    text : str
        The reply. Anything but a string gives an empty list.

    Returns
    -------
    list of (str, float or None)
        Answer and confidence; None where none is stated.

    Examples
    --------
    >>> parse_guesses("Guess 1: yes (80%)\nGuess 2: no (15%)")
    [('yes', 0.8), ('no', 0.15)]
    """
    text = clean(text)
    marks = list(_GUESS_START.finditer(text))
    if re.search(r'[\[{]\s*["\[{]', text):
        return []
    guesses = []
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    for mark, end in zip(marks, ends, strict=False):
        chunk = text[mark.end() : end].strip("|, \n")
        found = _GUESS_NUMBER.search(chunk)
        answer = _trim(chunk[: found.start()] if found else chunk)
        number = found and (found["labelled"] or found["value"] or found["bare"])
        if answer and not is_refusal(answer):
            guesses.append((answer, parse_confidence(number) if number else None))
    return guesses
