"""Read how sure a reply says it is: a number, or a word of likelihood.

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

import re
from typing import NamedTuple

from medcal_nb.ask.reading import FILE, WORDS, clean

#: Phrases of likelihood and what people take them to mean (sources in words.toml).
LIKELIHOOD = FILE["likelihood"]

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
PERCENT_WORD = WORDS["percent"]
_WORD_NUMBER = re.compile(
    rf"\b(?:(?:a|one)\s+hundred|hundred(?=\s*(?:{PERCENT_WORD}))"
    rf"|(?P<tens>{'|'.join(_TENS)})(?:[\s-]+(?P<unit>{'|'.join(list(_UNITS)[1:10])}))?\b"
    rf"|(?P<teen>{'|'.join(list(_UNITS)[10:])})\b)"
)
_SMALL_WORD = re.compile(
    rf"(?P<before>[:=]\s*|^\s*)(?P<a>{_DIGIT_WORD})(?=[\s.]*$)"
    rf"|\b(?P<b>{_DIGIT_WORD})(?=\s*(?:{PERCENT_WORD}|out\s+of\b))",
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


NUMBER = r"(?:\d{1,9}(?:[.,]\d{1,20})?|[.,]\d{1,20})"
_P = rf"(?:\s*(?:{PERCENT_WORD}))"
_OUT_OF = r"\s*/\s*|\s*(?:out\s+of|in|von|sur|sobre|su|из|de)\s+(?:a\s+possible\s+)?"
_QUANTITY = re.compile(
    r"(?<![0-9.,/])(?<!\d )(?<!\de-)(?<![A-Za-zÀ-ɏЀ-ӿ_])"
    r"(?P<neg>(?<!\s)-\s?(?=[\d.,])|(?<=\s)-(?=[\d.,])|(?<![\s\S])-(?=[\d.,]))?"
    rf"(?P<pre>%\s?)?(?P<a>{NUMBER})(?P<pa>{_P})?(?P<plus>\s?\+)?"
    rf"(?:(?P<sep>\s*[-~]+\s*|\s*(?:to|bis|à|a|até|al|до|至|到|から|and|und|et|y|e)\s+|\s*[至到]\s*)"
    rf"(?P<b>{NUMBER})(?P<pb>{_P})?)?"
    rf"(?:(?P<of>{_OUT_OF})(?P<c>{NUMBER})(?![\d/]))?"
    r"(?!\d|[.,]\d|\s?/\s?\d| \d|e-?\d)"
)
_NOT_A_CONFIDENCE_UNIT = re.compile(WORDS["unit"], re.IGNORECASE)
_PERCENT_OF = re.compile(WORDS["percent_of"], re.IGNORECASE)
_BOUND_BEFORE = re.compile(WORDS["bound_before"], re.IGNORECASE)
_BOUND_AFTER = re.compile(WORDS["bound_after"], re.IGNORECASE)
_NEGATED = re.compile(WORDS["negated"], re.IGNORECASE)
_SCALE_HINT = re.compile(
    r"[(\[]\s*(?:on\s+)?(?:an?\s+|the\s+)?(?:scale\s*(?:of|from|:)?\s*)?(?:from\s+|de\s+|von\s+)?"
    r"[01](?:\.0)?\s*%?\s*(?:-|~|to|bis|à|a|至|до|/)\s*(?P<a>100|10|5|1)(?:\.0)?\s*%?\s*[)\]]"
    r"|[(\[]\s*out\s+of\s+(?P<b>100|10|5|1)\s*[)\]]"
    r"|[(\[]\s*(?:in\s+|as\s+a\s+)?(?P<c>%|percent(?:age)?)\s*[)\]]"
    r"|\bon\s+an?\s+(?:scale\s+(?:of|from)\s+)?[01]\s*%?\s*(?:-|to)\s*(?P<d>100|10|5|1)\s*%?"
    r"(?:\s+scale\b)?",
    re.IGNORECASE,
)
_TOLERANCE = re.compile(rf"\(?\s*(?:±|\+\s?/\s?-|\+-)\s*{NUMBER}\s*(?:{PERCENT_WORD})?\s*\)?")


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

CONFIDENCE_LABEL = WORDS["confidence"]
PROBABILITY_LABEL = WORDS["probability"]
_CONNECTED = re.compile(r"->|=>|[:=|>]|[是为はが은는]")
_SENTENCE_END = re.compile(r"[.;!?]\s|\n")
_CERTAIN_AFTER = re.compile(WORDS["certain_after"], re.IGNORECASE)
_FILLER = frozenset(WORDS["filler"].split())


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
    text = clean(text).lower()
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

    confidence, confidence_weak = _labelled(text, CONFIDENCE_LABEL, quantities)
    probability, probability_weak = _labelled(text, PROBABILITY_LABEL, quantities)
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

_LIKELIHOOD_WORD = {**{w: w for w in LIKELIHOOD}, **FILE["spellings"]}
_LIKELIHOOD_PATTERN = re.compile(
    r"(?<![\w-])(?P<not>(?!not\s+(?:likely|probable)\b)(?:not|\w{1,10}n't|never|hardly)\s+(?:\w+\s+)?)?(?P<word>"
    + "|".join(
        re.escape(w).replace(r"\ ", r"[\s-]+")
        for w in sorted(_LIKELIHOOD_WORD, key=len, reverse=True)
    )
    + r")(?![\w-])"
)
_LIKELIHOOD_LABEL = re.compile(
    rf"(?:{CONFIDENCE_LABEL}|{PROBABILITY_LABEL})[^\n:=]{{0,30}}[:=]\s*(?P<value>[^\n]*)"
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
    text = clean(text).lower()
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
