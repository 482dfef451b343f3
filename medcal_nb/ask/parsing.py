"""Read answers and confidences out of what models write.

A reply is free text, and models answer in many forms: ``85``, ``**Confidence:** 85/100``,
``{"confidence": 0.85}``, ``置信度：85%``, ``I'd say eighty percent``. The functions here turn a
reply into values or into ``None``. They never raise and never guess: what is ambiguous, out of
range, only bounded ("less than 10%") or only named ("high") is ``None``, and whoever measures
counts it.

How the hard cases are decided (scale 100 unless said otherwise):

- *Reasoning blocks* (``<think> … </think>`` and their kin) are no part of the reply. A block that
  never closes was cut off, and what follows its opening mark is reasoning too.
- *Which number.* The number after a confidence label wins; the last labelled one if there are
  several, since a model that revises itself says so later. Labels of confidence and certainty go
  before labels of probability and likelihood ("Probability of malignancy: 20%"). Next comes a
  number tied to a word of certainty ("85% sure"), last a number that stands alone. Two different
  numbers that stand alone give ``None``.
- *Which scale.* A sign says what it is: ``1%`` is 0.01 and ``0.85%`` is 0.0085; ``8/10`` and
  ``8 out of 10`` are 0.8; ``50/50`` is the idiom, 0.5. A bare number is on the scale that was
  asked for or that stands with it ("(0-10)", "on a scale of 1 to 10"), with one exception: on a
  scale of 100 a number written with decimals and not above 1 is a probability, so ``0.85`` is 0.85
  and ``1.0`` is 1, whereas ``1`` is 0.01.
- *Ranges* give their midpoint; a tolerance (``85 ± 5``) is dropped.
- *Bounds* (``<10%``, "at least 90", "90%+") give ``None``, and so do negated values
  ("not 100% sure") and statements of doubt ("15% unsure").
- *Commas* between digits are decimal marks (``0,85``).
- *Lists.* A number that begins an entry of a list ("1. Look at the image") is none of these, and a
  reply that was cut off before its confidence states none.
- Numbers with a unit of anything else (``2 cm``, ``30% of the lung``) are no confidences.
"""

from __future__ import annotations

import json
import re
import tomllib
import unicodedata
from pathlib import Path
from typing import NamedTuple

_FILE = tomllib.loads(Path(__file__).with_name("words.toml").read_text(encoding="utf-8"))
_WORDS = {name: "".join(text.split("\n")) for name, text in _FILE.items() if isinstance(text, str)}
_WORDS["filler"] = _FILE["filler"]

#: Phrases of likelihood and what people take them to mean (sources in words.toml).
LIKELIHOOD = _FILE["likelihood"]


class Guess(NamedTuple):
    """One of several guesses: an answer and its probability (``None`` where none is stated)."""

    answer: str
    confidence: float | None


# --- cleaning ------------------------------------------------------------------------------------

_MAX_CHARS = 20_000  # replies that ran into a loop reach 80,000 characters; ends are enough

_REASONING_TAGS = _WORDS["reasoning_tags"]
_REASONING_MARK = re.compile(
    rf"<\s{{0,3}}(?P<tag>{_REASONING_TAGS})\s{{0,3}}>|<\s{{0,3}}/\s{{0,3}}(?P<end>{_REASONING_TAGS})\s{{0,3}}>"
    rf"|\[(?P<bracket>{_REASONING_TAGS})\]|\[/(?P<bracket_end>{_REASONING_TAGS})\]"
    r"|(?P<kimi>◁think▷)|(?P<kimi_end>◁/think▷)|(?P<medgemma><unused94>)|(?P<medgemma_end><unused95>)"
    r"|(?P<channel><\|channel(?:\|>|>)?\s{0,3}(?:analysis|thought)\b(?:<\|message\|>)?)"
    r"|(?P<channel_end><\|end\|>|<channel\|>)"
    r"|(?P<thought><\|(?:start_of_thought|begin_of_thought)\|>)"
    r"|(?P<thought_end><\|end_of_thought\|>)",
    re.IGNORECASE,
)
_REASONING_END = {
    "tag": "end",
    "bracket": "bracket_end",
    "kimi": "kimi_end",
    "medgemma": "medgemma_end",
    "channel": "channel_end",
    "thought": "thought_end",
}
_CHANNEL = re.compile(r"<\|(?:start|channel)\|>[a-z]*|<\|message\|>", re.IGNORECASE)
_SPECIAL = re.compile(
    r"<\|[^|<>\n]{1,40}\|>|</?s>|<(?:bos|eos|pad|unk)>|<(?:start|end)_of_turn>"
    r"|<end_of_utterance>|\[/?INST\]",
    re.IGNORECASE,
)


def strip_reasoning(text):
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
    """
    if not isinstance(text, str):
        return ""
    kept, position, opened = [], 0, None
    for mark in _REASONING_MARK.finditer(text):
        kind, name = mark.lastgroup, mark[mark.lastgroup].lower()
        if opened is None and kind in _REASONING_END:
            kept.append(text[position : mark.start()])
            opened = (_REASONING_END[kind], name)
        elif opened is None and kind != "channel_end":
            kept, position = [], mark.end()
        elif opened is not None and kind == opened[0] and (kind != "end" or name == opened[1]):
            kept.append("\n")
            opened, position = None, mark.end()
    if opened is None:
        kept.append(text[position:])
    text = "".join(kept)
    text = _CHANNEL.sub("\n", text)
    return _SPECIAL.sub("\n", text).strip()


_DASHES = dict.fromkeys(map(ord, "‐‑‒–—―−﹣－"), "-")
_QUOTES = {ord(c): "'" for c in "‘’‛`´ʼ"} | {ord(c): '"' for c in "“”„«»「」『』"}
_SIGNS = {ord("٪"): "%", ord("﹪"): "%", ord("٫"): ".", ord("、"): ",", ord("。"): ". ",
          ord("∕"): "/", ord("⁄"): "/", ord("～"): "~", ord("〜"): "~"}  # fmt: skip
_TRANSLATE = _DASHES | _QUOTES | _SIGNS


def _clean(text):
    """Strip reasoning, mark-up and typography; keep case, words and lines."""
    text = strip_reasoning(text)
    if len(text) > _MAX_CHARS:
        text = text[: _MAX_CHARS // 2] + "\n" + text[-_MAX_CHARS // 2 :]
    text = unicodedata.normalize("NFKC", text).translate(_TRANSLATE)
    text = "".join(
        c if c.isascii() or (d := unicodedata.decimal(c, None)) is None else str(d) for c in text
    )
    text = re.sub(r"\\(?:boxed|text|mathbf|mathrm|textbf|bf|fbox)\s*\{([^{}]*)\}", r" \1 ", text)
    text = re.sub(r"\\(?:boxed|text|mathbf|mathrm|textbf|bf|fbox)\s*\{([^{}]*)\}", r" \1 ", text)
    text = re.sub(r"\\d?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}", r"\1/\2", text)
    text = text.replace("\\%", "%").replace("\\(", " ").replace("\\)", " ").replace("\\n", "\n")
    text = re.sub(r"</\s*[\w:-]{1,30}\s*>", "\n", text)
    text = re.sub(r"<\s*(\d[\d.,]{0,8}\s*%?)\s*>", r"\1", text)
    text = re.sub(r"<\s*br\s*/?\s*>", "\n", text, flags=re.IGNORECASE)
    text = re.sub(r"<\s*([A-Za-z][\w:-]{0,29})\s*>", r"\n\1: ", text)
    text = re.sub(r"\*+|_{2,}|~~|\$|^#+\s*|^>\s*|```\w*", "", text, flags=re.MULTILINE)
    text = re.sub(r"^\s*(?:assistant|model)\s*\n", "", text.replace("\u200b", ""))
    text = text.replace("\r", "\n")
    text = re.sub(r"[^\S\n]+", " ", text)
    return re.sub(r"\s*\n\s*", "\n", text).strip()


# --- quantities ----------------------------------------------------------------------------------

_UNIT_WORDS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
    "nineteen",
)  # fmt: skip
_TEN_WORDS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_UNITS = {word: i for i, word in enumerate(_UNIT_WORDS)}
_TENS = {word: 10 * i for i, word in enumerate(_TEN_WORDS, start=2)}
_DIGIT_WORD = "|".join(list(_UNITS)[:10])
_PERCENT_WORD = _WORDS["percent"]
_WORD_NUMBER = re.compile(
    rf"\b(?:(?:a|one)\s+hundred|hundred(?=\s*(?:{_PERCENT_WORD}))"
    rf"|(?P<tens>{'|'.join(_TENS)})(?:[\s-]+(?P<unit>{'|'.join(list(_UNITS)[1:10])}))?\b"
    rf"|(?P<teen>{'|'.join(list(_UNITS)[10:])})\b)"
)
_SMALL_WORD = re.compile(
    rf"(?P<before>[:=]\s*|^\s*)(?P<a>{_DIGIT_WORD})(?=[\s.]*$)"
    rf"|\b(?P<b>{_DIGIT_WORD})(?=\s*(?:{_PERCENT_WORD}|out\s+of\b))",
    re.MULTILINE,
)
_POINT = re.compile(rf"\b(?:(?:zero|0)\s+)?point((?:[\s-]+(?:{_DIGIT_WORD}))+)\b")
_HAN = {c: i for i, c in enumerate("零一二三四五六七八九")} | {"两": 2, "〇": 0}


def _han_number(digits):
    """Read a Chinese number below a thousand; ``None`` if it is none."""
    if digits == "百":
        return 100
    total = current = 0
    for c in digits:
        if c in _HAN:
            current = _HAN[c]
        elif c == "十":
            total, current = total + (current or 1) * 10, 0
        elif c == "百":
            total, current = total + (current or 1) * 100, 0
        else:
            return None
    return total + current


def _word_number(match):
    if match["tens"]:
        value = _TENS[match["tens"]] + (_UNITS[match["unit"]] if match["unit"] else 0)
    elif match["teen"]:
        value = _UNITS[match["teen"]]
    else:
        value = 100
    return f" {value} "


def _digits(text):
    """Write number words as digits."""
    text = _POINT.sub(
        lambda m: " 0." + "".join(str(_UNITS[w]) for w in re.split(r"[\s-]+", m[1]) if w), text
    )
    text = re.sub(r"\bfifty[\s-]fifty\b|\b50\s*[-/]\s*50\b", " 50% ", text)
    text = _WORD_NUMBER.sub(_word_number, text)
    text = _SMALL_WORD.sub(lambda m: (m["before"] or "") + str(_UNITS[m["a"] or m["b"]]), text)
    text = re.sub(
        r"百分之\s*(?:(\d+(?:\.\d+)?)|([零一二三四五六七八九十百两〇]{1,5}))",
        lambda m: f" {m[1] or _han_number(m[2])}% ",
        text,
    )
    return re.sub(
        r"([一二三四五六七八九])成([一二三四五六七八九半])?(?=[^分]|$)",
        lambda m: f" {_HAN[m[1]] * 10 + (5 if m[2] == '半' else _HAN.get(m[2], 0))}% ",
        text,
    )


_N = r"(?:\d{1,9}(?:[.,]\d{1,20})?|[.,]\d{1,20})"
_P = rf"(?:\s*(?:{_PERCENT_WORD}))"
_OUT_OF = r"\s*/\s*|\s*(?:out\s+of|in|von|sur|sobre|su|из|de)\s+(?:a\s+possible\s+)?"
_QUANTITY = re.compile(
    r"(?<![0-9.,/])(?<!\d )(?<!\de-)(?<![A-Za-zÀ-ɏЀ-ӿ_])"
    r"(?P<neg>(?<!\s)-\s?(?=[\d.,])|(?<=\s)-(?=[\d.,])|(?<![\s\S])-(?=[\d.,]))?"
    rf"(?P<pre>%\s?)?(?P<a>{_N})(?P<pa>{_P})?(?P<plus>\s?\+)?"
    rf"(?:(?P<sep>\s*[-~]+\s*|\s*(?:to|bis|à|a|até|al|до|至|到|から|and|und|et|y|e)\s+|\s*[至到]\s*)"
    rf"(?P<b>{_N})(?P<pb>{_P})?)?"
    rf"(?:(?P<of>{_OUT_OF})(?P<c>{_N})(?![\d/]))?"
    r"(?!\d|[.,]\d|\s?/\s?\d| \d|e-?\d)"
)
_NOT_A_CONFIDENCE_UNIT = re.compile(_WORDS["unit"], re.IGNORECASE)
_PERCENT_OF = re.compile(_WORDS["percent_of"], re.IGNORECASE)
_BOUND_BEFORE = re.compile(_WORDS["bound_before"], re.IGNORECASE)
_BOUND_AFTER = re.compile(_WORDS["bound_after"], re.IGNORECASE)
_NEGATED = re.compile(_WORDS["negated"], re.IGNORECASE)
_SCALE_HINT = re.compile(
    r"[(\[]\s*(?:on\s+)?(?:an?\s+|the\s+)?(?:scale\s*(?:of|from|:)?\s*)?(?:from\s+|de\s+|von\s+)?"
    r"[01](?:\.0)?\s*%?\s*(?:-|~|to|bis|à|a|至|до|/)\s*(?P<a>100|10|5|1)(?:\.0)?\s*%?\s*[)\]]"
    r"|[(\[]\s*out\s+of\s+(?P<b>100|10|5|1)\s*[)\]]"
    r"|[(\[]\s*(?:in\s+|as\s+a\s+)?(?P<c>%|percent(?:age)?)\s*[)\]]"
    r"|\bon\s+an?\s+(?:scale\s+(?:of|from)\s+)?[01]\s*%?\s*(?:-|to)\s*(?P<d>100|10|5|1)\s*%?"
    r"(?:\s+scale\b)?",
    re.IGNORECASE,
)
_TOLERANCE = re.compile(rf"\(?\s*(?:±|\+\s?/\s?-|\+-)\s*{_N}\s*(?:{_PERCENT_WORD})?\s*\)?")


class _Quantity(NamedTuple):
    start: int
    end: int
    value: float | None  # None: a number that is no confidence (a bound, out of range)
    kind: str  # percent, fraction, decimal or integer


def _number(digits):
    if re.fullmatch(r"[1-9]\d{0,2},\d{3}", digits):  # thousands, as in "1,000"
        digits = digits.replace(",", "")
    return float(digits.replace(",", "."))


def _on_scale(digits, scale):
    """Read a bare number on a scale; see the module's notes for the decimal exception."""
    value = _number(digits)
    if scale >= 20 and value <= 1 and re.search(r"[.,]", digits):
        return value
    return value / scale


def _quantities(text, scale):
    """Find every number in a lower-case text that could be a confidence, in order."""
    found = []
    position = 0
    while match := _QUANTITY.search(text, position):
        a, b, c = match["a"], match["b"], match["c"]
        end, percent = match.end(), match["pa"] or match["pre"] or match["pb"]
        if b is not None and not _is_range(text, match):
            # Only the first number of the pair belongs here; look at the second on its own.
            b = c = None
            end = match.end("plus") if match["plus"] else match.end("pa")
            end = match.end("a") if end < 0 else end
            percent = match["pa"] or match["pre"]
        if c is not None and b is None and match["pa"] and match["of"].strip() != "/":
            c, end = None, match.end("pa")  # "85% de 100 cas": the sign has settled it
        position = max(end, match.start() + 1)
        before, after = text[max(0, match.start() - 40) : match.start()], text[end : end + 60]
        if not percent and c is None and _NOT_A_CONFIDENCE_UNIT.match(after):
            continue
        if (percent and _PERCENT_OF.match(after)) or _NEGATED.search(before):
            continue
        if not percent and _is_list_mark(text, match.start(), text[match.start() : end], after):
            continue
        numbers = [a] if b is None else [a, b]
        if c is not None:
            kind, total = "fraction", _number(c)
            values = [_number(x) / total if 0 < total <= 1000 else None for x in numbers]
        elif percent:
            kind, values = "percent", [_number(x) / 100 for x in numbers]
        else:
            kind = "decimal" if re.search(r"[.,]", a) else "integer"
            values = [_on_scale(x, scale) for x in numbers]
        value = None
        bounded = (
            match["neg"]
            or match["plus"]
            or _BOUND_BEFORE.search(before)
            or _BOUND_AFTER.match(after)
        )
        if not bounded and all(v is not None and 0 <= v <= 1 for v in values):
            value = round(sum(values) / len(values), 12)
        found.append(_Quantity(match.start(), end, value, kind))
    return found


def _is_list_mark(text, start, number, after):
    """Whether a number begins an entry of a list: "1. Look at the image", on a line or in one."""
    begins = re.search(r"(?:^|\n|[:.;])[\s(#-]*$", text[max(0, start - 8) : start])
    return bool(begins and re.fullmatch(r"1?\d|20", number) and re.match(r"[.):]\s+[^\W\d]", after))


def _is_range(text, match):
    sep = match["sep"].strip()
    if sep in {"and", "und", "et", "y", "e"}:
        return bool(re.search(r"\b(?:between|zwischen|entre|tra|fra)\s+(?:\w+\s+)?$",
                              text[max(0, match.start() - 30) : match.start()]))  # fmt: skip
    if sep == "a" and not match["pb"]:
        return False
    falling = _number(match["a"]) > _number(match["b"])
    if falling and (match["sep"] != sep or bool(match["pa"]) != bool(match["pb"])):
        return False
    return not _NOT_A_CONFIDENCE_UNIT.match(text[match.end() : match.end() + 20]) or bool(
        match["pb"]
    )


# --- labels --------------------------------------------------------------------------------------

_CONFIDENCE_LABEL = _WORDS["confidence"]
_PROBABILITY_LABEL = _WORDS["probability"]
_CONNECTED = re.compile(r"->|=>|[:=|>]|[是为はが은는]")
_SENTENCE_END = re.compile(r"[.;!?]\s|\n")
_CERTAIN_AFTER = re.compile(_WORDS["certain_after"], re.IGNORECASE)
_FILLER = frozenset(_WORDS["filler"].split())


def _only_filler(text):
    """Whether a text is nothing but hedges and connecting words."""
    words = re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)*|'[a-z]+", text)
    return all(w in _FILLER or (len(w) == 1) for w in words)


def _labelled(text, label, quantities):
    """Return (strong, weak): the last quantity after a label, with and without a connector."""
    strong = weak = None
    for match in re.finditer(label, text):
        following = [q for q in quantities if q.start >= match.end()]
        if not following:
            break
        quantity = following[0]
        gap = text[match.end() : quantity.start]
        if len(gap) > 80:
            continue
        connector = None
        for connector in _CONNECTED.finditer(gap):  # noqa: B007 - the last one counts
            pass
        tail = gap[connector.end() :].lstrip() if connector else gap.lstrip(" \n")
        head = gap[: connector.start()] if connector else ""
        if _SENTENCE_END.search(tail) or _SENTENCE_END.search(head.strip()):
            continue
        loose = quantity.kind in {"percent", "fraction"}
        if not _only_filler(tail) and not (loose and len(tail) <= 50):
            continue
        if connector:
            strong = quantity
        else:
            weak = quantity
    return strong, weak


def parse_confidence(text, *, scale=100):
    r"""Read the confidence a reply states, as a probability.

    Parameters
    ----------
    text : str
        The reply. Anything but a string gives ``None``.
    scale : float, default 100
        The top of the scale the model was asked to use: 100 for percent, 1 for probabilities,
        10 for marks out of ten. A sign or a scale written in the reply goes before it.

    Returns
    -------
    float or None
        A number in [0, 1]; ``None`` where no confidence, or no single one, is stated. The notes
        of the module say how the hard cases are decided.

    Raises
    ------
    ValueError
        If `scale` is not a positive, finite number.

    Examples
    --------
    >>> parse_confidence("**Confidence:** 85/100")
    0.85
    >>> parse_confidence("Confiance : 62 %")
    0.62
    >>> parse_confidence("somewhere between 80 and 90 percent")
    0.85
    >>> parse_confidence("less than 10%") is None
    True
    """
    if not 0 < scale < float("inf"):
        raise ValueError(f"scale: must be a positive finite number, got {scale!r}")
    text = _clean(text).lower()
    if not text:
        return None
    text = _digits(_TOLERANCE.sub(" ", text)).replace('"', " ").replace("{", " ").replace("}", " ")
    hints = list(_SCALE_HINT.finditer(text))
    if hints:
        without = _SCALE_HINT.sub(" ", text)
        if re.search(r"\d", without):
            hint = hints[-1]
            scale = 100.0 if hint["c"] else float(hint["a"] or hint["b"] or hint["d"])
            text = without
    quantities = _quantities(text, scale)
    if not quantities:
        return None

    confidence, confidence_weak = _labelled(text, _CONFIDENCE_LABEL, quantities)
    probability, probability_weak = _labelled(text, _PROBABILITY_LABEL, quantities)
    if confidence:
        return confidence.value
    tied = [q for q in quantities if _CERTAIN_AFTER.match(text[q.end : q.end + 80])]
    tied = [q for q in tied if q.value is not None]
    for quantity in (tied[-1] if tied else None, probability, confidence_weak, probability_weak):
        if quantity:
            return quantity.value
    return _alone(text, quantities)


_OTHER_PERCENT = re.compile(
    r"(?:stenosis|fraction|saturation|spo2|occlusion|uncertainty|doubt|error|narrowing)"
    r"\W+(?:\w+\W+){0,3}$"
)


def _alone(text, quantities):
    """Return the value of the one number that stands without a label."""
    lines = [line for line in text.split("\n") if line.strip()]
    last_start = text.rfind(lines[-1])
    last = [q for q in quantities if q.start >= last_start]
    if (
        len(lines) > 1
        and len({q.value for q in last}) == 1
        and _rest_is_filler(text, last, last_start)
    ):
        return last[0].value
    if len({q.value for q in quantities}) != 1:
        return None
    if _rest_is_filler(text, quantities, 0):
        return quantities[0].value
    quantity = quantities[0]
    if quantity.kind == "decimal" and re.fullmatch(r"[^\n]*\(.*\)\W*", text):
        return quantity.value if re.fullmatch(r"\s*\)\W*", text[quantity.end :]) else None
    if quantity.kind not in {"percent", "fraction"} or _OTHER_PERCENT.search(
        text[: quantity.start]
    ):
        return None
    after = re.match(r"[^.,;:!?)\n]*", text[quantity.end :])[0]
    if _only_filler(after) and len(text[: quantity.start].split()) <= 12:
        return quantity.value
    return None


def _rest_is_filler(text, quantities, start):
    position = start
    for quantity in quantities:
        if not _only_filler(text[position : quantity.start]):
            return False
        position = quantity.end
    return _only_filler(text[position:])


# --- likelihood words ----------------------------------------------------------------------------

_LIKELIHOOD_WORD = {**{w: w for w in LIKELIHOOD}, **_FILE["spellings"]}
_LIKELIHOOD_PATTERN = re.compile(
    r"(?<![\w-])(?P<not>(?!not\s+(?:likely|probable)\b)(?:not|\w{1,10}n't|never|hardly)\s+(?:\w+\s+)?)?(?P<word>"
    + "|".join(
        re.escape(w).replace(r"\ ", r"[\s-]+")
        for w in sorted(_LIKELIHOOD_WORD, key=len, reverse=True)
    )
    + r")(?![\w-])"
)
_LIKELIHOOD_LABEL = re.compile(
    rf"(?:{_CONFIDENCE_LABEL}|{_PROBABILITY_LABEL})[^\n:=]{{0,30}}[:=]\s*(?P<value>[^\n]*)"
)


def parse_likelihood(text):
    """Read a word of likelihood ("highly likely") and map it to a probability.

    The table is :data:`LIKELIHOOD`: medians of what 46 people took each phrase to mean, with
    the spellings of the same phrase ("very likely", "almost certainly") beside it. The words after
    a label ("Likelihood: likely") go before words elsewhere. Negated words that the table does not
    hold ("not certain") and replies with two different words give ``None``; so do "high", "low"
    and "possible", for which no such value is published.

    Parameters
    ----------
    text : str
        The reply. Anything but a string gives ``None``.

    Returns
    -------
    float or None
        A number in [0, 1].

    Examples
    --------
    >>> parse_likelihood("Answer: yes\\nLikelihood: Highly likely")
    0.9
    >>> parse_likelihood("not certain") is None
    True

    References
    ----------
    Tian et al., EMNLP 2023, arXiv:2305.14975; survey of 2015, github.com/zonination/perceptions;
    Kent, "Words of Estimative Probability", Studies in Intelligence, 1964.
    """
    text = _clean(text).lower()
    labelled = list(_LIKELIHOOD_LABEL.finditer(text))
    for part in [m["value"] for m in reversed(labelled)] + [text]:
        values = set()
        for match in _LIKELIHOOD_PATTERN.finditer(part):
            word = re.sub(r"[\s-]+", " ", match["word"])
            word = match["word"] if word not in _LIKELIHOOD_WORD else word
            wrong = re.match(
                r"[^.;\n]{0,20}\b(?:wrong|incorrect|mistaken|false)\b", part[match.end() :]
            )
            values.add(None if match["not"] or wrong else LIKELIHOOD[_LIKELIHOOD_WORD[word]])
        if values:
            return values.pop() if len(values) == 1 else None
    return None


# --- answers -------------------------------------------------------------------------------------

_ANSWER_LABEL = _WORDS["answer"]
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
    rf"(?:(?:{_CONFIDENCE_LABEL}|{_PROBABILITY_LABEL})[^\n:=\d]{{0,25}}(?:[:=]|[\s(]\d)"
    rf"|\(?\d{{1,3}}(?:[.,]\d+)?\s*%\s*(?:confiden\w*|sure|certain\w*)"
    rf"|\b(?:explanation|reasoning|reason|rationale|justification|note|because)\b\s*[:,]?\s)",
    re.IGNORECASE,
)
_TRAILING_NUMBER = re.compile(
    r"(?:\s*[,;:(\[-]\s*|\s+)\(?\s*(?:about\s+|approx\.?\s+|~\s*)?\d{1,3}(?:[.,]\d+)?\s*%\s*[)\]]?\.?\s*$"
)
_TRAILING_PAREN = re.compile(r"\s*[(\[]\s*\d{1,3}(?:[.,]\d+)?\s*%?\s*[)\]]\s*\.?\s*$")
_REFUSAL = re.compile(_WORDS["refusal"], re.IGNORECASE)

_YES = _WORDS["yes"]
_NO = _WORDS["no"]
_CJK_NO = _WORDS["cjk_no"]
_CJK_YES = _WORDS["cjk_yes"]
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
    cleaned = _clean(text)
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
    cleaned = _clean(text)
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
    rf"[\s,;|(\[-]{{0,8}}(?:\bp\s?\d{{0,2}}\s*[:=]|(?:{_CONFIDENCE_LABEL}|{_PROBABILITY_LABEL})\s*\d{{0,2}}\s*[:=]?)"
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
            rf"(?:[\s,;:|(\[-]+(?P<value>~?\s*{_N}\s*(?:(?:{_PERCENT_WORD})|/\s*\d+)|[01]?[.,]\d+)"
            rf"|\s*[,;:|(\[-][\s,;:|(\[-]*(?P<bare>{_N}))\s*[)\]|.]*\s*$",
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
    cleaned = _clean(text)
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
