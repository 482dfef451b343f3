"""Read answers and confidences out of what models write.

A reply is free text, and models answer in many forms: ``85``, ``**Confidence:** 85/100``,
``{"confidence": 0.85}``, ``置信度：85%``, ``I'd say 80 percent``. The functions here turn a
reply into values or into ``None``. They never raise and never guess: what is ambiguous, out of
range, only bounded ("less than 10%") or only named ("high") is ``None``, and whoever measures
counts it.

How answers are told from what stands around them, each function says; how confidences are,
in :mod:`medcal_nb.ask.confidence`.
"""

import json
import re
import unicodedata
from collections.abc import Sequence

from medcal_nb.ask.confidence import NUMBER, parse_confidence
from medcal_nb.ask.reading import WORDS, clean

# --- answers -------------------------------------------------------------------------------------

_ANSWER_LABEL = WORDS["answer"]
_PERCENT_WORD = WORDS["percent"]
_SURE_LABEL = WORDS["confidence"] + "|" + WORDS["probability"]
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
_ANSWER_KEY = re.compile(rf"(?:final[\s_]?)?{_ANSWER_LABEL}", re.IGNORECASE)
_CUT = re.compile(
    rf"[\s,;.|(\[{{'\"-]{{0,8}}(?:\b(?:with|my|and|a|an|the|i\s+am|i'm)\s{{1,4}}){{0,4}}"
    rf"(?:(?:{_SURE_LABEL})[^\n:=\d]{{0,25}}(?:[:=]|[\s(]\d)"
    rf"|\(?\d{{1,3}}(?:[.,]\d+)?\s*%\s*(?:confiden\w*|sure|certain\w*)"
    rf"|\b(?:explanation|reasoning|reason|rationale|justification|note|because)\b\s*[:,]?\s)",
    re.IGNORECASE,
)
_TRAILING_NUMBER = re.compile(
    r"(?:\s*[,;:(\[-]\s*|\s+)\(?\s*(?:about\s+|approx\.?\s+|~\s*)?\d{1,3}(?:[.,]\d+)?\s*%\s*[)\]]?\.?\s*$"
)
_TRAILING_PAREN = re.compile(r"\s*[(\[]\s*\d{1,3}(?:[.,]\d+)?\s*%?\s*[)\]]\s*\.?\s*$")
_REFUSAL = re.compile(WORDS["refusal"], re.IGNORECASE)

_YES_WORD, _NO_WORD = (
    re.compile(rf"(?:{words})(?![\w-])|(?:{signs})|{letter}(?=[\s.)]*$)", re.IGNORECASE)
    for words, signs, letter in (
        (WORDS["yes"] + "|true", WORDS["cjk_yes"], "y"),
        (WORDS["no"] + "|false", WORDS["cjk_no"], "n"),
    )
)
_BOTH = re.compile(
    r"\byes\s*(?:/|or|and|\||\?)\s*no\b|\bno\s*(?:/|or|and|\|)\s*yes\b", re.I
)
_INSIDE = re.compile(
    r"(?<![\w-])(?<!not )(yes|no)(?=\s*(?:[.,;:!)\]\"']|\n|$))", re.IGNORECASE
)


def yes_no(text: str) -> str | None:
    """Return "yes", "no" or ``None`` for a short text, by its first word or a lone word inside.

    The first word counts, in any of some twenty languages ("No evidence of …" is "no"); failing
    that, a "yes" or "no" that ends a clause ("I would say yes."), if only one of them does.

    Examples
    --------
    >>> yes_no("No evidence of a fracture.")
    'no'
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


def _recorded(text):
    """Return the answer of a reply that holds a JSON object, else ``None``."""
    found = re.search(r"\{.*\}", text, re.DOTALL)
    try:
        record = json.loads(found[0]) if found else {}
    except (ValueError, RecursionError):
        return None
    for key, value in record.items():
        if _ANSWER_KEY.fullmatch(key.strip()):
            if isinstance(value, bool):
                return "yes" if value else "no"
            return str(value) if isinstance(value, str | int | float) else None
    return None


def _uncut(value):
    return _CUT.split(value, maxsplit=1)[0]


def _trim(value):
    """Cut what follows the answer (confidence, explanation) and the marks around it."""
    value = _uncut(value)
    for pattern in (_TRAILING_PAREN, _TRAILING_NUMBER):
        shorter = pattern.sub("", value)
        if re.search(r"\w", shorter) and not re.search(
            r"\b(?:of|by|at|to|than|is)\s*$", shorter
        ):
            value = shorter
    value = value.strip().strip("\"'`|{}[]*_ \t\n")
    value = re.sub(r"^(?:[-–•:=.\s]+|\d{1,2}[.)]\s+(?=[^\W\d]))", "", value)
    value = re.sub(r"[\s.,;:!]+$", "", value)
    return " ".join(value.split())


def _values(text):
    """Yield the places of a cleaned reply where an answer may stand, the likeliest first."""
    if recorded := _recorded(text):
        yield recorded
    labelled = list(_ANSWER.finditer(text))
    heading = _ANSWER_HEADING.search(text)
    if heading and not labelled:
        yield heading["value"]
    for match in labelled[:-11:-1]:
        if re.search(r"\w", _uncut(match["value"])):
            yield match["value"]
        else:
            yield text[match.end() :].lstrip().split("\n", maxsplit=1)[0]
    if not labelled:
        lines = [line for line in text.split("\n") if re.search(r"\w", _uncut(line))]
        yield from (re.sub(r"^[^?]*\?\s+(?=\w)", "", line) for line in lines[:1])
        yield from lines[:0:-1][:10]


def parse_answer(
    text: str, *, question_type: str = "open", options: Sequence[str] | None = None
) -> str | None:
    r"""Read the answer out of a reply.

    The text after an answer label ("Answer:", "Réponse :", "答案：", ``\boxed{…}``, a JSON field)
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

    Examples
    --------
    >>> options = ["oedema", "pneumonia"]
    >>> parse_answer("Answer: (B)", question_type="choice", options=options)
    'pneumonia'
    >>> parse_answer("I would say yes.", question_type="closed")
    'yes'
    """
    text = clean(text)
    values = _values(text)
    if question_type == "choice" and options:
        return _chosen(values, options)
    if question_type == "closed":
        for value in values:
            if _REFUSAL.match(value):
                continue
            if said := yes_no(_uncut(value)):
                return said
            if _ANSWER.search(text) and re.search(r"\w", value):
                return None
        return None
    answer = _trim(next(values, ""))
    if not answer or _REFUSAL.match(answer):
        return None
    return (question_type == "choice" and option_letter(answer, 26)) or answer


# --- option letters ------------------------------------------------------------------------------


def option_letter(value: str, n: int) -> str | None:
    """Return the option letter that a short text names, among the first `n`, or ``None``.

    Examples
    --------
    >>> option_letter("(b)", 4)
    'B'
    """
    last = chr(ord("A") + n - 1)
    letters = f"A-{last}a-{last.lower()}"
    value = value.strip()[:500]
    two = rf"[(\[]?[{letters}][)\]]?\s*(?:,|/|and|or|&|\+)\s*[(\[]?[{letters}][)\]]?(?![\w'])"
    listed = {
        mark.upper() for mark in re.findall(rf"(?<!\w)([{letters}])[:.)]\s", value)
    }
    if (
        re.match(two, value) or len(listed) > 1
    ):  # two letters are no choice, nor is the whole list
        return None
    named = rf"(?:(?:{WORDS['option']})\s*:?\s*)?"
    ends = r"\s*(?:[.):,\]|;!-](?!\w)|[.):](?=\w)|$|\n|\(\d|\d{1,3}\s*(?:%|$)|is\b)"
    forms = (
        rf"{named}(?:[(\[]\s*([{letters}])\s*[)\]]|([{letters}])(?={ends}))",
        r"(?:\W*(?:i|the|it|is|think|choose|pick|select|answer|option|correct|best|my|would|be|go|with"
        rf"|say|most|likely)\W+){{0,8}}[(\[]?\s*([{letters}])\s*[)\]]?\W*$",
        rf".*[^\W\d].*\(([{letters}])\)\W*$",
    )
    for form in forms:
        if match := re.match(form, value, re.IGNORECASE):
            # "A is wrong" rejects it, and "A is …" may be an article gone astray
            astray = r"\s*is\b(?!\s+(?:the\s+)?(?:correct|right|best|answer)\b)"
            if re.match(astray, value[match.end() :]):
                return None
            return match[match.lastindex].upper()
    return None


def _words(text):
    return re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", text).casefold())


def _option_by_words(value, options):
    """Return the index of the one option whose words stand in a text, or ``None``."""
    said = _words(value)
    spans = _outer_spans(said, [_words(option) for option in options])
    if len({i for _, _, i in spans}) != 1:
        return None
    start, _, named = spans[0]
    rejected = {"not", "no", "without", "isn", "t", "rather"} & set(
        said[max(0, start - 3) : start]
    )
    return None if rejected else named


def _outer_spans(said, options):
    """Where the words of options stand, as (start, end, index of the option).

    An option inside a longer one ("lung" in "left lung") is not meant by the longer one's words.
    Longer options come first, and mark how far they reach from each word on: one look at that
    tells whether a shorter one stands inside.
    """
    reach = [0] * (
        len(said) + 1
    )  # the furthest end of longer options that begin here or before
    spans = []
    lengths = sorted({len(words) for words in options if words}, reverse=True)
    for length in lengths:
        now = []
        for i, words in enumerate(options):
            if len(words) != length:
                continue
            for start in range(len(said) - length + 1):
                end = start + length
                if (
                    said[start] == words[0]
                    and said[start:end] == words
                    and reach[start] < end
                ):
                    now.append((start, end, i))
        spans += now
        for start, end, _ in now:
            reach[start] = max(reach[start], end)
        for start in range(1, len(reach)):
            reach[start] = max(reach[start], reach[start - 1])
    return sorted(spans)


def _chosen(values, options):
    """Return the option that a reply chooses, or ``None``.

    It is named by its words alone, by its letter in the usual forms ("B", "(b)", "B. left lung",
    "Option B", "The answer is B") or by its words among others. A leading "A" that is an article is
    no letter, and two letters are no choice.
    """
    for value in values:
        answer = _uncut(value)
        said = _words(answer)
        same = [option for option in options if said and _words(option) == said]
        if len(same) == 1:
            return same[0]
        if letter := option_letter(_trim(answer), min(26, len(options))):
            return options[ord(letter) - ord("A")]
        if (at := _option_by_words(_trim(answer), options)) is not None:
            return options[at]
    return None


# --- several guesses -----------------------------------------------------------------------------

_GUESS_START = re.compile(
    r"(?:^|[\n;,]|(?<=[%)])|(?<=\s))\s*(?:(?:first|second|third|fourth|fifth)\s+)?(?:guess|g|answer|candidate|option|réponse|antwort|猜测)\s*#?\s*(?P<n>\d{1,2})?"
    r"\s*[:=.)]\s*",
    re.IGNORECASE,
)
_LIST_START = re.compile(r"(?:^|\n)\s*(?:[-•]|\(?\d{1,2}\s*[.):])\s+", re.IGNORECASE)
_GUESS_PROBABILITY = re.compile(
    rf"[\s,;|(\[-]{{0,8}}(?:\bp\s?\d{{0,2}}\s*[:=]|(?:{_SURE_LABEL})\s*\d{{0,2}}\s*[:=]?)"
    rf"(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)


# the number that ends a guess; a bare whole one needs more than a blank: "stage 3" is an answer
_GUESS_NUMBER = re.compile(
    rf"(?:[\s,;:|(\[-]+(?P<value>~?\s*{NUMBER}\s*(?:(?:{_PERCENT_WORD})|/\s*\d+)|[01]?[.,]\d+)"
    rf"|\s*[,;:|(\[-][\s,;:|(\[-]*(?P<bare>{NUMBER}))\s*[)\]|.]*\s*$"
)


def _guess_from(chunk):
    """Split one guess into its answer and its probability."""
    chunk = chunk.strip().strip("|,").strip()
    confidence = None
    if match := _GUESS_PROBABILITY.search(chunk):
        confidence = parse_confidence("confidence: " + match["rest"].strip())
    elif match := _GUESS_NUMBER.search(chunk):
        confidence = parse_confidence(match["value"] or match["bare"])
    answer = _trim((chunk[: match.start()] if match else chunk).strip(" |:-(["))
    return (answer, confidence) if answer and not _REFUSAL.match(answer) else None


def parse_guesses(text: str) -> list[tuple[str, float | None]]:
    r"""Read several guesses with their probabilities, in the order of the reply.

    Known forms: "Guess 1: yes (80%)", "G1: yes P1: 0.8", numbered and bulleted lists, "yes: 80%"
    lines and table rows, on separate lines or on one; JSON is not read. Probabilities are taken as
    stated, never scaled to add up to one.

    Parameters
    ----------
    text : str
        The reply. Anything but a string gives an empty list.

    Returns
    -------
    list of (str, float or None)
        Answer and confidence; ``None`` where none is stated.

    Examples
    --------
    >>> parse_guesses("Guess 1: yes (80%)\nGuess 2: no (15%)")
    [('yes', 0.8), ('no', 0.15)]
    """
    text = clean(text)
    if re.search(r'[\[{]\s*["\[{]', text):
        return []
    for start in (_GUESS_START, _LIST_START):
        if marks := list(start.finditer(text)):
            ends = [mark.start() for mark in marks[1:]] + [len(text)]
            chunks = [
                text[mark.end() : end] for mark, end in zip(marks, ends, strict=True)
            ]
            break
    else:
        chunks = [
            chunk for chunk in re.split(r"[\n;]", text) if re.search(r"\w", chunk)
        ]
        if len(chunks) == 1:
            chunks = re.split(r"(?<=[%)])\s*,\s*", chunks[0])
    return [guess for chunk in chunks if (guess := _guess_from(chunk))]
