"""Read answers out of what models write.

A reply is free text: ``**Answer:** B``, ``{"answer": "yes"}``, ``答案：是``, ``I would say yes.``.
It is cleaned first: reasoning and mark-up go, signs become plain ones. The functions here turn a
reply into an answer or into None. They never raise and never guess, and whoever measures counts
what is None. Confidences are read by :mod:`medcal_nb.words.confidence`; the words that replies
are read by lie in ``words.toml``.
"""

import ast
import html
import json
import re
import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple

from medcal_nb.words.lists import FILE, WORDS
from medcal_nb.words.options import Options, option_letter
from medcal_nb.words.says import is_refusal, yes_no
from medcal_nb.words.sure import without_clauses

#: Replies that ran into a loop reach 80,000 characters; their ends are enough.
_MAX_CHARS = 20_000

_TAGS = WORDS["reasoning_tags"]
_BLOCK = re.compile(
    WORDS["reasoning"].replace("TAGS", _TAGS), re.DOTALL | re.IGNORECASE
)
_BEFORE_END = re.compile(
    WORDS["reasoning_end"].replace("TAGS", _TAGS), re.DOTALL | re.IGNORECASE
)
_SPECIAL = re.compile(
    r"<\|(?:start|channel)\|>[a-z]*|<\|[^|<>\n]{1,40}\|>|</?s>|<(?:bos|eos|pad|unk)>"
    r"|<(?:start|end)_of_turn>|<end_of_utterance>|\[/?INST\]",
    re.IGNORECASE,
)


def strip_reasoning(text: str) -> str:
    """Remove reasoning blocks and the special tokens of chat templates from a reply.

    Known marks are ``<think>``, ``<thinking>``, ``<reasoning>``, ``<analysis>``, ``[THINK]``,
    ``◁think▷``, the channels of gpt-oss and Gemma and the ``<unused94>`` block of MedGemma. A
    block without an end swallows the rest; an end without a start swallows what came before it,
    as some chat templates write the opening mark into the prompt.

    Parameters
    ----------
    text : str
        The reply. Anything but a string is treated as an empty reply.

    Returns
    -------
    str
        The reply without reasoning, stripped of blanks at both ends.

    Examples
    --------
    >>> strip_reasoning("<think>Is it the left?</think>Answer: right")
    'Answer: right'
    """
    if not isinstance(text, str):
        return ""
    return _SPECIAL.sub("\n", _BEFORE_END.sub("", _BLOCK.sub("\n", text))).strip()


_SIGNS = {ord(sign): plain for plain, signs in FILE["signs"].items() for sign in signs}
# patterns and what they become, in this order
_BOX = (r"\\(?:boxed|text|mathbf|mathrm|textbf|bf|fbox)\s*\{([^{}]*)\}", r" \1 ")
_MARKUP = (
    (r"~~[^~\n]{1,80}~~", " "),
    (r"\\(?:text|mathbf|mathrm|textbf|bf)\s*\{([^{}]*)\}", r" \1 "),
    (r"\\boxed\s*\{([^{}\d%]*)\}(?=\W*\Z)", r"\nAnswer: \1"),
    _BOX,
    _BOX,
    (r"\\d?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}", r"\1/\2"),
    (r"\\%", "%"),
    (r"\\[()]", " "),
    (r"\\n", "\n"),
    (
        r"<(b|i|u|em|strong|code|span|mark|small)\b[^<>\n]{0,60}>([^<>]{1,200})</\1>",
        r"\2",
    ),
    (r"</\s*[\w:-]{1,30}\s*>|<\s*br\s*/?\s*>|\[/[a-z]{3,12}\]", "\n"),
    (r"(?<=\d)·(?=\d)", "."),
    (r"<+\s*([A-Z])\s*>+(?!\w)", r"\1"),
    (r"<\s*(\d[\d.,]{0,8}\s*%?)\s*>", r"\1"),
    (r"<\s*([a-z][\w:-]{0,29})\s*>", r"\n\1: "),
    (
        r"\*+|_{2,}|~~|\$|^#+\s*|^>\s*|```\w*|`|[\U0001f000-\U0001faff\u2728\u2b50]",
        "",
    ),
    (r"\A\s*(?:assistant|model)\s*\n", ""),
    (r"[^\S\n]+", " "),
    (r"\s*\n\s*", "\n"),
)
_PLAIN = [(re.compile(pattern, re.I | re.M), plain) for pattern, plain in _MARKUP]


def clean(text: str) -> str:
    """Strip reasoning, mark-up and typography; keep case, words and lines."""
    return _cleaned(text) if isinstance(text, str) else ""


# whoever reads a reply cleans it: several do, one after the other
@lru_cache(maxsize=256)
def _cleaned(text: str) -> str:
    text = html.unescape(_ends(strip_reasoning(text)))
    # one letter can become eighteen in the normal form, so the ends are taken again
    text = _ends(unicodedata.normalize("NFKC", text)).translate(_SIGNS)
    if _TICKED.search(text):
        text = _TICKED.sub("", _UNTICKED.sub("", text))
    for pattern, plain in _PLAIN:
        text = pattern.sub(plain, text)
    return _TABLE.sub(_lines_of_table, text.strip())


#: Lines of a list to tick: "- [x] No", "- [ ] Yes".
_TICKED = re.compile(r"^[\s*+-]*(?:\[[x✓✔]\]|[☑☒✅])\s*", re.MULTILINE | re.IGNORECASE)
_UNTICKED = re.compile(r"^[\s*+-]*(?:\[\s?\]|☐)[^\n]*\n?", re.MULTILINE)
#: A table of one row: names, a rule, values.
_TABLE = re.compile(
    r"^\|([^\n]+)\|\n\|[\s:|-]+\|\n\|([^\n]+)\|(?=\n(?!\|)|\Z)", re.MULTILINE
)


def _lines_of_table(match: re.Match[str]) -> str:
    """A table of one row as a line for each column: "Answer: yes"."""
    names, values = (part.split("|") for part in match.groups())
    return "\n".join(
        f"{name.strip()}: {value.strip()}"
        for name, value in zip(names, values, strict=False)
    )


def _ends(text: str) -> str:
    """The beginning and the end of a text that is too long to be read whole."""
    if len(text) <= _MAX_CHARS:
        return text
    half = _MAX_CHARS // 2
    return text[:half] + "\n" + text[-half:]


# --- the answer of a reply -----------------------------------------------------------------------

_LABEL = WORDS["answer"]
SURE = WORDS["confidence"] + "|" + WORDS["probability"] + r"|\blog[\s_-]?prob\w*"
_ANSWER = re.compile(
    # "my confidence in this answer is" leads to no answer
    rf"(?<!\w)(?<!in this )(?<!in my )(?<!in the )(?<!of this ){_LABEL}"
    r"(?:\s+(?:to\s+(?:this|the)\s+question|choice|text|here))?['\"]?"
    r"(?:\s*(?:\([^()\n]{0,30}\))?\s*(?:[:=\]]|->|=>|\s-\s)"
    r"|\s+(?:is|would\s+be|ist|est|es|é|è|является)\b\s*:?|\s*(?:是|为|は)\s*:?"
    r"|(?=\W*\n))\s*(?P<value>[^\n]*)",
    re.IGNORECASE,
)
_KEY = re.compile(
    rf"\s*(?:(?:final|primary|main|most[\s_]likely)[\s_]?)?{_LABEL}\s*|\s*final\s*",
    re.IGNORECASE,
)
#: Where what states a confidence, or gives reasons, begins.
_CUT = re.compile(
    rf"[\s,;.|(\[{{'\"-]{{0,8}}(?:\b(?:with|my|and|(?-i:a|an)|the|i\s+am|i'm)\s{{1,4}}){{0,4}}"
    rf"(?:(?:{SURE})[^\n:=\d]{{0,25}}(?:[:=]|[\s(]\d)"
    rf"|\(?\d{{1,3}}(?:[.,]\d+)?\s*%\s*(?:confiden\w*|sure|certain\w*)"
    rf"|\b(?:explanation|reasoning|reason|rationale|justification|note|because)\b\s*[:,]?\s)",
    re.IGNORECASE,
)
#: A number at the end of an answer that is no part of it: "(80%)", ", 90%", "(85)".
_SHARE = re.compile(
    r"(?<!\bof)(?<!\bby)(?<!\bat)(?<!\bto)(?:[\s,;:(\[-]+\d{1,3}(?:[.,]\d+)?\s*%\s*[)\]]?"
    r"|\s*[(\[]\s*\d{1,3}(?:[.,]\d+)?\s*[)\]])[\s.]*$"
)


#: "I am 90% sure that the answer is B".
LED = re.compile(
    r"(?:i\s+am|i'm|with)\s[^\n]{0,30}?\b(?:sure|certain|confident|confidence|certainty)\b,?"
    r"\s*(?:that\s+)?(?:(?:the|my)\s+(?:correct\s+)?answer\s+is|it\s+is|it's|this\s+is)[\s:]+",
    re.IGNORECASE,
)


def _uncut(value: str) -> str:
    value = without_clauses(value)
    led = LED.match(value)
    value = value[led.end() :] if led else value
    return _CUT.split(value, maxsplit=1)[0]


def trimmed(value: str) -> str:
    """Cut what follows the answer (confidence, explanation) and the marks around it."""
    value = _uncut(value)
    shorter = _SHARE.sub("", value)
    value = (shorter if re.search(r"\w", shorter) else value).strip(" \t\n\"'`|{}[]*_")
    value = re.sub(r"^(?:[-–•:=.\s]+|\d{1,2}[.)]\s+(?=[^\W\d]))", "", value)
    return " ".join(re.sub(r"[\s.,;:!]+$", "", value).split())


def _recorded(text: str) -> str | None:
    """The answer of a reply that holds a JSON object, else None."""
    if "{" not in text:
        return None
    record = text[text.find("{") : text.rfind("}") + 1]
    for read in (json.loads, ast.literal_eval):  # as Python writes it, too
        with suppress(ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            fields = read(record)
            for key, value in fields.items() if isinstance(fields, dict) else ():
                if _KEY.fullmatch(str(key)) and isinstance(value, str | int | float):
                    return str(value)
    return None


@lru_cache(maxsize=256)
def labelled_values(text: str) -> tuple[str, ...]:
    """What labels of a cleaned reply ("Answer:", a field of JSON) say, the last first."""
    if recorded := _recorded(text):
        return (recorded,)
    values = []
    for match in reversed(list(_ANSWER.finditer(text))[-10:]):
        is_there = re.search(r"\w", _uncut(match["value"]))
        below = text[match.end() :].lstrip().split("\n", maxsplit=1)[0]
        values.append(match["value"] if is_there else below)
    return tuple(values)


def values_of(text: str) -> list[str]:
    """The places of a cleaned reply where an answer may stand, the likeliest first.

    With a label these are what the labels say; else the first and the last line.
    """
    if values := labelled_values(text):
        return [*values]
    lines = [line for line in text.split("\n") if re.search(r"\w", _uncut(line))]
    first = [re.sub(r"^[^?]*\?\s+(?=\w)", "", line) for line in lines[:1]]
    return first + lines[1:][-1:]


class Parts(NamedTuple):
    """The places of a reply where its answer may stand, without what it says of its confidence.

    Attributes
    ----------
    text : str
        The reply, cleaned.
    whole : str
        All of it but what it says of its confidence.
    label : str, optional
        What its last label says that is filled in; "" where none is, None without a label.
    concluded : str
        What it concludes ("So it is a cyst."), "" where it does not.
    first, last : str
        Its first and last sentence, "" where there is only one.
    """

    text: str
    whole: str
    label: str | None
    concluded: str = ""
    first: str = ""
    last: str = ""


def answer_parts(reply: str, question: str = "") -> Parts:
    """Take a reply apart, from which the question goes that it may repeat.

    Examples
    --------
    >>> answer_parts("It is dark. So a cyst. I am 80% sure.").concluded
    'a cyst.'
    """
    text = _corrected(reply)
    asked = question.strip()
    if asked and text.casefold().startswith(asked.casefold()):
        text = text[len(asked) :].strip() or text
    text = undisclaimed(text)
    labels = [trimmed(value) for value in labelled_values(text)]
    plain = without_confidence(text)
    if labels:
        filled = [
            value
            for value in labels
            if re.search(r"\w", value) and not _FORM.fullmatch(value)
        ]
        return Parts(text, plain, filled[0] if filled else "")
    concluded = [match["rest"].strip() for match in _CONCLUDED.finditer(plain)]
    sentences = [
        one
        for one in _SENTENCE.split(plain)
        if re.search(r"[^\W\d]", one) and not one.endswith("?")
    ]
    first, last = (sentences[0], sentences[-1]) if len(sentences) > 1 else ("", "")
    return Parts(text, plain, None, concluded[-1] if concluded else "", first, last)


def _corrected(reply: str) -> str:
    """A cleaned reply from its last correction on."""
    return _CORRECTED.sub("", clean(reply))


def undisclaimed(text: str) -> str:
    """A cleaned text without what it says of its task and itself; one with a label stays.

    Examples
    --------
    >>> undisclaimed("I am not a doctor, but it is a cyst")
    'it is a cyst'
    """
    if _LABELLED.search(text):
        return text
    return _DISCLAIMED.sub("", _INSTRUCTION.sub("", text)).strip()


def without_confidence(text: str) -> str:
    """A cleaned text without the clauses that state a confidence.

    Examples
    --------
    >>> without_confidence("45%, confidence 60%"), without_confidence("I am 90% sure it is a cyst")
    ('45%', 'a cyst')
    """
    pieces = _CLAUSE.split(without_clauses(text))
    kept = []
    for i, piece in enumerate(pieces):
        if i % 2:  # what stands between clauses
            kept.append(piece)
            continue
        led = LED.match(piece.strip())
        clause = piece.strip()[led.end() :] if led else piece
        clause = _CUT.split(clause, maxsplit=1)[0]
        is_first = not any(re.search(r"\w", one) for one in kept)
        is_sure = _SURE_OF.search(clause) or (
            not is_first and _SHARE_ALONE.fullmatch(clause)
        )
        kept.append("" if is_sure else clause)
    plain = re.sub(r"(?:[,;(|.\s-]*\n)+", "\n", "".join(kept))
    return re.sub(r"\(\s*\)", "", plain).lstrip(" \t\n,;|").rstrip(" \t\n,;(|-")


#: What separates clauses; the points of "E. coli" and of numbers do not.
_CLAUSE = re.compile(
    r"(\n|;|}|:\s+(?=(?:yes|no|ja|nein|oui|non|sí|sim|não)\b)|\(|\)|,\s|(?<!\b[A-Z])[.!?](?=\s|$)|\s[-–—|]+\s|\|)"
)
_SURE = WORDS["confidence"] + "|" + WORDS["sure"]
_LEVEL = WORDS["level"]
_SURE_OF = re.compile(
    rf"(?:{_SURE})[^\n]*?(?:{_LEVEL})|(?:{_LEVEL})[^\n]*?(?:{_SURE})", re.IGNORECASE
)
#: "80%", "0.8", "85/100", "I'd say 80%": a number that is no answer behind one.
_SHARE_ALONE = re.compile(
    r"[\s\"']*(?:(?:i'd|i would) (?:say|put|bet|give it|give this|stake) "
    r"|(?:about|around|roughly|approximately) |~|p ?[=:] ?)*"
    rf"(?:\d{{1,3}}(?:[.,]\d+)?\s*(?:{WORDS['percent']})|[01]?[.,]\d+|\d{{1,3}}\s?/\s?100?"
    r"|\d+ (?:in|of|out of) 10+)(?: on (?:it|this|that))?"
    r"(?:\s*(?:sure|certain|confident|confidence|certainty))?[\s.\"']*",
    re.IGNORECASE,
)
#: What a reply says of what it was asked and told.
_INSTRUCTION = re.compile(WORDS["instruction"], re.IGNORECASE)
#: "As an AI I cannot diagnose, but …", "While I can't diagnose, …".
_DISCLAIMED = re.compile(WORDS["disclaimed"], re.IGNORECASE)
_LABELLED = re.compile(rf"(?:^|\n){_LABEL}\s*[:=]", re.IGNORECASE)
#: What takes back all that stands before it.
_CORRECTED = re.compile(rf"^.*(?:{WORDS['corrected']})[\s.,:;-]*(?=\w)", re.I | re.S)
#: What a reply ends its reasons with.
_CONCLUDED = re.compile(
    rf"(?:(?:^|[.\n:,;]\s*)(?:{WORDS['concluding']})(?!\w)[,:]?|\s(?:->|=>|→))\s+"
    r"(?P<rest>(?:[^.\n]|\.(?=\S)|(?<=\b[A-Z])\.)+)",
    re.IGNORECASE,
)
#: Between sentences; the point of "E. coli" ends none.
_SENTENCE = re.compile(r"(?<!\b[A-Z]\.)(?<!\b\d\.)(?<=[.!?])\s+(?=\S)|\n+")
#: A form that is not filled in.
_FORM = re.compile(
    r"[<(\[{]?\s*(?:yes\s*(?:/|or)\s*no"
    r"|(?:your |final |the )?(?:answer|diagnosis|choice)(?: here)?"
    r"|option letter|letter|x+|confidence\W*|\.{2,}|…)\s*[>)\]}]?\W*",
    re.IGNORECASE,
)


def stated_answer(text: str) -> str:
    r"""What the last label of a reply says, or else all of it, without mark-up.

    Examples
    --------
    >>> stated_answer("Two nodules.\n**Answer:** yes\nConfidence: 80%")
    'yes'
    """
    text = clean(text)
    values = labelled_values(text)
    return trimmed(values[0]) if values else text


def parse_answer(
    text: str,
    *,
    question_type: str = "open",
    options: Options | Sequence[str] | None = None,
) -> str | None:
    r"""Read the answer out of a reply.

    The text after an answer label ("Answer:", "Réponse :", "答案：", a JSON field) goes before the
    first line; what states a confidence or gives reasons is cut off.

    - ``"closed"``: "yes" or "no", as :func:`medcal_nb.words.yes_no` reads them. A sentence
      that implies an answer without saying it ("There is a fracture.") gives None.
    - ``"choice"``: the text of the option, as :meth:`medcal_nb.words.Options.index` finds it.
      Without `options` the bare letter or text.
    - ``"open"``: the answer in the reply's own words.

    Parameters
    ----------
    text : str
        The reply. Anything but a string gives None.
    question_type : {"closed", "choice", "open"}
    options : Options or what `Options.read` takes, optional
        The options of a choice question.

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
    said = undisclaimed(_corrected(text))
    values = [value for value in values_of(said) if not is_refusal(value)]
    shown = Options.read(options) if question_type == "choice" else None
    if shown:
        for value in values:
            index = shown.index(trimmed(value))
            if index is not None:
                return shown.texts[index]
        return None
    if question_type == "closed":
        return next(filter(None, (yes_no(_uncut(value)) for value in values)), None)
    answer = trimmed(values[0]) if values else ""
    letter = option_letter(answer) if question_type == "choice" else None
    return letter or answer or None
