"""Read answers and confidences out of what models write.

A reply is free text, and models answer in many forms: ``85``, ``**Confidence:** 85/100``,
``{"confidence": 0.85}``, ``置信度：85%``, ``I'd say eighty percent``. The functions here turn a
reply into values or into ``None``. They never raise and never guess: what is ambiguous, out of
range, only bounded ("less than 10%") or only named ("high") is ``None``, and whoever measures
counts it.

How answers are told from what stands around them is told at each function; how confidences are,
in :mod:`medcal_nb.ask.confidence`.
"""

import json
import re
import unicodedata
from typing import NamedTuple

from medcal_nb.ask.confidence import (
    CONFIDENCE_LABEL,
    LIKELIHOOD,
    NUMBER,
    PERCENT_WORD,
    PROBABILITY_LABEL,
    parse_confidence,
    parse_likelihood,
)
from medcal_nb.ask.reading import WORDS, clean, strip_reasoning

__all__ = [
    "LIKELIHOOD",
    "Guess",
    "option_letter",
    "parse_answer",
    "parse_confidence",
    "parse_guesses",
    "parse_likelihood",
    "parse_option_letter",
    "strip_reasoning",
    "yes_no",
]


class Guess(NamedTuple):
    """One of several guesses: an answer and its probability (``None`` where none is stated)."""

    answer: str
    confidence: float | None


# --- answers -------------------------------------------------------------------------------------

_ANSWER_LABEL = WORDS["answer"]
_ANSWER = re.compile(
    rf"(?<![\w]){_ANSWER_LABEL}(?:\s+(?:to\s+(?:this|the)\s+question|choice|text|here))?"
    r"['\"]?(?:\s*(?:\((?:[^()\n]{0,30})\))?\s*(?:[:=\]]|->|=>|\s-\s)|\s+(?:is|would\s+be|ist|est|es|é|è|является)\b"
    r"\s*:?|\s*(?:是|为|は)\s*:?)\s*(?P<value>[^\n]*)",
    re.IGNORECASE,
)
_ANSWER_HEADING = re.compile(
    rf"^\W*(?:(?:my|the|final|best|short|correct)\s){{0,2}}{_ANSWER_LABEL}\W*\n(?P<value>[^\n]*\w[^\n]*)",
    re.IGNORECASE | re.MULTILINE,
)
_CUT = re.compile(
    rf"[\s,;.|(\[{{'\"-]{{0,8}}(?:\b(?:with|my|and|a|an|the|i\s+am|i'm)\s{{1,4}}){{0,4}}"
    rf"(?:(?:{CONFIDENCE_LABEL}|{PROBABILITY_LABEL})[^\n:=\d]{{0,25}}(?:[:=]|[\s(]\d)"
    rf"|\(?\d{{1,3}}(?:[.,]\d+)?\s*%\s*(?:confiden\w*|sure|certain\w*)"
    rf"|\b(?:explanation|reasoning|reason|rationale|justification|note|because)\b\s*[:,]?\s)",
    re.IGNORECASE,
)
_TRAILING_NUMBER = re.compile(
    r"(?:\s*[,;:(\[-]\s*|\s+)\(?\s*(?:about\s+|approx\.?\s+|~\s*)?\d{1,3}(?:[.,]\d+)?\s*%\s*[)\]]?\.?\s*$"
)
_TRAILING_PAREN = re.compile(r"\s*[(\[]\s*\d{1,3}(?:[.,]\d+)?\s*%?\s*[)\]]\s*\.?\s*$")
_REFUSAL = re.compile(WORDS["refusal"], re.IGNORECASE)

_YES = WORDS["yes"]
_NO = WORDS["no"]
_CJK_NO = WORDS["cjk_no"]
_CJK_YES = WORDS["cjk_yes"]
_YES_WORD = re.compile(rf"(?:{_YES}|true)(?![\w-])|(?:{_CJK_YES})|y(?=[\s.)]*$)", re.IGNORECASE)
_NO_WORD = re.compile(rf"(?:{_NO}|false)(?![\w-])|(?:{_CJK_NO})|n(?=[\s.)]*$)", re.IGNORECASE)
_BOTH = re.compile(r"\byes\s*(?:/|or|and|\||\?)\s*no\b|\bno\s*(?:/|or|and|\|)\s*yes\b", re.I)
_INSIDE = re.compile(r"(?<![\w-])(?<!not )(yes|no)(?=\s*(?:[.,;:!)\]\"']|\n|$))", re.IGNORECASE)


def yes_no(text):
    """Return "yes", "no" or ``None`` for a short text, by its first word or a lone word inside.

    The first word counts, in any of some twenty languages ("No evidence of …" is "no"); failing
    that, a "yes" or "no" that ends a clause ("I would say yes."), if only one of them does.
    """
    text = re.sub(r"^[\W_]+", "", text)
    if not text or _BOTH.match(text):
        return None
    if _NO_WORD.match(text):
        return "no"
    if _YES_WORD.match(text):
        return "yes"
    said = {m[1].lower() for m in _INSIDE.finditer(text)}
    return said.pop() if len(said) == 1 and not _BOTH.search(text) else None


def _from_json(text):
    """Return (answer, rest of the record) of a reply that holds a JSON object, else ``None``."""
    start, end = text.find("{"), text.rfind("}")
    if start < 0 or end <= start or end - start > 5000:
        return None
    try:
        record = json.loads(text[start : end + 1])
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict):
        return None
    for key, value in record.items():
        if re.fullmatch(rf"(?:final[\s_]?)?{_ANSWER_LABEL}", str(key).strip(), re.IGNORECASE):
            if isinstance(value, bool):
                return "yes" if value else "no"
            return str(value) if isinstance(value, str | int | float) else None
    return None


def _trim(value):
    """Cut what follows the answer (confidence, explanation) and the marks around it."""
    value = _CUT.split(value, maxsplit=1)[0]
    for pattern in (_TRAILING_PAREN, _TRAILING_NUMBER):
        shorter = pattern.sub("", value)
        if re.search(r"\w", shorter) and not re.search(r"\b(?:of|by|at|to|than|is)\s*$", shorter):
            value = shorter
    value = value.strip().strip("\"'`|{}[]*_ \t\n")
    value = re.sub(r"^(?:[-–•:=.\s]+|\d{1,2}[.)]\s+(?=[^\W\d]))", "", value)
    value = re.sub(r"[\s.,;:!]+$", "", value)
    return " ".join(value.split())


def _values(text):
    """Yield the places of a cleaned reply where an answer may stand, the likeliest first."""
    if record := _from_json(text):
        yield record
    labelled = list(_ANSWER.finditer(text))
    heading = _ANSWER_HEADING.search(text)
    if heading and not labelled:
        yield heading["value"]
    for match in labelled[:-11:-1]:
        if re.search(r"\w", _CUT.split(match["value"], maxsplit=1)[0]):
            yield match["value"]
        else:
            yield text[match.end() :].lstrip().split("\n", maxsplit=1)[0]
    if not labelled:
        lines = [line for line in text.split("\n") if re.search(r"\w", line)]
        lines = [line for line in lines if re.search(r"\w", _CUT.split(line, maxsplit=1)[0])]
        yield from (re.sub(r"^[^?]*\?\s+(?=\w)", "", line) for line in lines[:1])
        yield from lines[:0:-1][:10]


def parse_answer(text, *, question_type="open", options=None):
    """Read the answer out of a reply.

    The text after an answer label ("Answer:", "Réponse :", "答案：", ``\\boxed{…}``, a JSON field)
    goes before the first line; what states a confidence or gives reasons is cut off.

    - ``"closed"``: "yes" or "no", from the first word in any of some twenty languages or from a
      "yes" or "no" that ends a clause ("I would say yes."). A sentence that implies an answer
      without saying it ("There is a fracture.") gives ``None``.
    - ``"choice"``: the text of the option, named by its letter or by its words; whole words, and
      exactly one option, or ``None``. Without `options` the bare letter or text.
    - ``"open"``: the answer in the reply's own words.

    Parameters
    ----------
    text : str
        The reply. Anything but a string gives ``None``.
    question_type : {"closed", "choice", "open"}
    options : list of str, optional
        The options of a choice question, in the order they were shown.

    Returns
    -------
    str or None
        ``None`` for refusals ("I can't tell from this image") and replies without an answer.
    """
    cleaned = clean(text)
    if not re.search(r"\w", cleaned):
        return None
    if question_type == "choice" and options:
        letter = parse_option_letter(text, options=options)
        return options[ord(letter) - ord("A")] if letter else None
    values = list(_values(cleaned))
    labelled = _ANSWER.search(cleaned) is not None
    if question_type == "closed":
        for value in values:
            if _REFUSAL.match(value):
                continue
            if said := yes_no(_CUT.split(value, maxsplit=1)[0]):
                return said
            if labelled and re.search(r"\w", value):
                return None
        return None
    for value in values[:1]:
        answer = _trim(value)
        if _REFUSAL.match(answer):
            return None
        if question_type == "choice" and (letter := option_letter(answer, 26)):
            return letter
        return answer or None
    return None


# --- option letters ------------------------------------------------------------------------------


def option_letter(value, n):
    """Return the option letter that a short text names, among the first `n`, or ``None``."""
    last = chr(ord("A") + n - 1)
    letters = f"A-{last}a-{last.lower()}"
    value = value.strip()[:500]
    two = rf"[(\[]?[{letters}][)\]]?\s*(?:,|/|and|or|&|\+)\s*[(\[]?[{letters}][)\]]?(?![\w'])"
    listed = {mark.upper() for mark in re.findall(rf"(?<!\w)([{letters}])[:.)]\s", value)}
    if re.match(two, value) or len(listed) > 1:  # two letters are no choice, nor is the whole list
        return None
    named = (
        r"(?:(?:option|choice|answer|letter|opción|opção|réponse|antwort|вариант|选项|选|選)"
        r"\s*:?\s*)?"
    )
    ends = r"\s*(?:[.):,\]|;!-](?!\w)|[.):](?=\w)|$|\n|\(\d|\d{1,3}\s*(?:%|$)|is\b)"
    forms = (
        rf"{named}(?:[(\[]\s*([{letters}])\s*[)\]]|([{letters}])(?={ends}))",
        r"(?:\W*(?:i|the|it|is|think|choose|pick|select|answer|option|correct|best|my|would|be|go|with"
        rf"|say|most|likely)\W+){{0,8}}[(\[]?\s*([{letters}])\s*[)\]]?\W*$",
        rf".*[^\W\d].*\(([{letters}])\)\W*$",
    )
    for form in forms:
        if match := re.match(form, value, re.IGNORECASE):
            letter = next(group for group in match.groups() if group).upper()
            # "A is wrong" rejects it, and "A is …" may be an article gone astray.
            rest = value[match.end() :]
            verb = re.match(r"\s*is\b", rest)
            if verb and not re.match(r"\s*is\s+(?:the\s+)?(?:correct|right|best|answer)\b", rest):
                return None
            return letter
    return None


def _words(text):
    return re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", text).casefold())


def _option_by_words(value, options):
    """Return the index of the one option whose words stand in a text, or ``None``."""
    said = _words(value)
    wanted = [_words(option) for option in options]
    exact = [i for i, words in enumerate(wanted) if words and words == said]
    if exact:
        return exact[0] if len(exact) == 1 else None
    spans = []
    for i, words in enumerate(wanted):
        for start in range(len(said) - len(words) + 1 if words else 0):
            if said[start : start + len(words)] == words:
                spans.append((start, start + len(words), i))
    # An option inside a longer one ("lung" in "left lung") is not meant by the longer one's words.
    spans = [
        s
        for s in spans
        if not any(
            o != s and o[0] <= s[0] and s[1] <= o[1] and o[1] - o[0] > s[1] - s[0] for o in spans
        )
    ]
    named = {i for _, _, i in spans}
    if len(named) != 1:
        return None
    start = spans[0][0]
    if {"not", "no", "without", "isn", "t", "rather"} & set(said[max(0, start - 3) : start]):
        return None
    return named.pop()


def parse_option_letter(text, *, options=None, n_options=None):
    """Read which option a reply chooses, as its capital letter.

    Accepts the letter in its usual forms ("B", "(b)", "B. left lung", "Option B", "The answer is
    B", ``\\boxed{B}``, "答案：B") and, given `options`, the words of exactly one option. A leading
    "A" that is an article is no letter, and two letters are no choice.

    Parameters
    ----------
    text : str
        The reply. Anything but a string gives ``None``.
    options : list of str, optional
        The texts of the options.
    n_options : int, optional
        How many options there are, where their texts are not at hand; 26 if neither is given.

    Returns
    -------
    str or None
        ``"A"`` for the first option, and so on.
    """
    n = len(options) if options else (n_options or 26)
    n = max(1, min(26, n))
    cleaned = clean(text)
    for value in _values(cleaned):
        value = _CUT.split(value, maxsplit=1)[0]
        if options is not None:
            index = None
            bare = _words(value)
            exact = [i for i, o in enumerate(options) if _words(o) == bare and bare]
            if len(exact) == 1:
                return chr(ord("A") + exact[0])
        if letter := option_letter(_trim(value), n):
            return letter
        if options is not None:
            index = _option_by_words(_trim(value), options)
            if index is not None:
                return chr(ord("A") + index)
    return None


# --- several guesses -----------------------------------------------------------------------------

_GUESS_START = re.compile(
    r"(?:^|[\n;,]|(?<=[%)])|(?<=\s))\s*(?:(?:first|second|third|fourth|fifth)\s+)?(?:guess|g|answer|candidate|option|réponse|antwort|猜测)\s*#?\s*(?P<n>\d{1,2})?"
    r"\s*[:=.)]\s*",
    re.IGNORECASE,
)
_LIST_START = re.compile(r"(?:^|\n)\s*(?:[-•]|\(?\d{1,2}\s*[.):])\s+", re.IGNORECASE)
_GUESS_PROBABILITY = re.compile(
    rf"[\s,;|(\[-]{{0,8}}(?:\bp\s?\d{{0,2}}\s*[:=]|(?:{CONFIDENCE_LABEL}|{PROBABILITY_LABEL})\s*\d{{0,2}}\s*[:=]?)"
    rf"(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)


def _guess_from(chunk, scale):
    """Split one guess into its answer and its probability."""
    chunk = chunk.strip().strip("|,").strip()
    match = _GUESS_PROBABILITY.search(chunk)
    if match:
        answer = chunk[: match.start()]
        confidence = parse_confidence("confidence: " + match["rest"].strip(), scale=scale)
    else:
        # A bare whole number needs more than a blank before it: "stage 3" is an answer.
        match = re.search(
            rf"(?:[\s,;:|(\[-]+(?P<value>~?\s*{NUMBER}\s*(?:(?:{PERCENT_WORD})|/\s*\d+)|[01]?[.,]\d+)"
            rf"|\s*[,;:|(\[-][\s,;:|(\[-]*(?P<bare>{NUMBER}))\s*[)\]|.]*\s*$",
            chunk,
        )
        answer = chunk[: match.start()] if match else chunk
        stated = match and (match["value"] or match["bare"])
        confidence = parse_confidence(stated, scale=scale) if stated else None
    answer = _trim(answer.strip(" |:-(["))
    return Guess(answer, confidence) if answer and not _REFUSAL.match(answer) else None


def _guesses_from_json(text, scale):
    start = min((i for i in (text.find("["), text.find("{")) if i >= 0), default=-1)
    end = max(text.rfind("]"), text.rfind("}"))
    if start < 0 or end <= start or end - start > 20_000:
        return None
    try:
        data = json.loads(text[start : end + 1])
    except (ValueError, RecursionError):
        return None
    if isinstance(data, dict):
        lists = [value for value in data.values() if isinstance(value, list)]
        numbered = {re.sub(r"\W", "", str(key).lower()): value for key, value in data.items()}
        if {"guess1", "answer1", "g1"} & set(numbered):
            data = [
                {k[:-1]: v for k, v in numbered.items() if k.endswith(str(i))} for i in range(1, 10)
            ]
        elif len(lists) == 1:
            data = lists[0]
        else:
            data = [pair for pair in data.items() if isinstance(pair[1], int | float | str)]
    rows = (_guess_of(row, scale) for row in (data if isinstance(data, list) else []))
    return [guess for guess in rows if guess]


def _guess_of(row, scale):
    """Read one guess of a JSON list: a record, or a pair."""
    if isinstance(row, dict):
        keys = {str(key).lower(): value for key, value in row.items()}
        answers = [keys[k] for k in ("answer", "guess", "g", "option", "label") if k in keys]
        names = ("confidence", "probability", "prob", "p", "likelihood")
        stated = [keys[k] for k in names if k in keys]
    elif isinstance(row, list | tuple) and len(row) == 2:
        answers, stated = [row[0]], [row[1]]
    else:
        return None
    if not answers or answers[0] is None:
        return None
    value = stated[0] if stated else None
    if isinstance(value, float) and 0 <= value <= 1:
        return Guess(str(answers[0]), value)
    known = value is not None and not isinstance(value, bool)
    return Guess(str(answers[0]), parse_confidence(str(value), scale=scale) if known else None)


def parse_guesses(text, *, k=None, scale=100):
    """Read several guesses with their probabilities, in the order of the reply.

    Known forms: "Guess 1: yes (80%)", "G1: yes P1: 0.8", numbered and bulleted lists, "yes: 80%"
    lines, table rows, JSON lists and objects, on separate lines or on one. Probabilities are taken
    as stated, never scaled to add up to one.

    Parameters
    ----------
    text : str
        The reply. Anything but a string gives an empty list.
    k : int, optional
        Keep at most so many guesses.
    scale : float, default 100
        As in :func:`parse_confidence`.

    Returns
    -------
    list of Guess
        Pairs ``(answer, confidence)``; the confidence is ``None`` where none is stated.

    Examples
    --------
    >>> parse_guesses("Guess 1: yes (80%)\\nGuess 2: no (15%)")
    [Guess(answer='yes', confidence=0.8), Guess(answer='no', confidence=0.15)]
    """
    if not 0 < scale < float("inf"):
        raise ValueError(f"scale: must be a positive finite number, got {scale!r}")
    cleaned = clean(text)
    guesses = _guesses_from_json(cleaned, scale)
    if not guesses:
        for start in (_GUESS_START, _LIST_START):
            marks = list(start.finditer(cleaned))
            if marks:
                ends = [m.start() for m in marks[1:]] + [len(cleaned)]
                chunks = [cleaned[m.end() : e] for m, e in zip(marks, ends, strict=True)]
                break
        else:
            chunks = [c for c in re.split(r"[\n;]", cleaned) if re.search(r"\w", c)]
            if len(chunks) == 1:
                chunks = re.split(r"(?<=[%)])\s*,\s*", chunks[0])
        guesses = [g for c in chunks if (g := _guess_from(c, scale))]
    return guesses[:k] if k is not None else guesses
