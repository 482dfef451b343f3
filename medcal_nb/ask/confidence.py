"""Read how sure a reply says it is: a number, or a word of likelihood.

How the hard cases are decided:

- *Reasoning blocks* (``<think> … </think>`` and their kin) are no part of the reply. A block that
  never closes was cut off, and what follows its opening mark is reasoning too.
- *Which number.* The number after a confidence label wins; the last labelled one if there are
  several, since a model that revises itself says so later. Labels of confidence and certainty go
  before labels of probability and likelihood ("Probability of malignancy: 20%"). Next comes a
  number tied to a word of certainty ("85% sure"), last a number that stands alone. Two different
  numbers that stand alone give ``None``.
- *Which scale.* A sign says what it is: ``1%`` is 0.01 and ``0.85%`` is 0.0085; ``8/10`` and
  ``8 out of 10`` are 0.8; ``50/50`` is the idiom, 0.5. A bare number is on the scale that stands
  with it ("(0-10)", "on a scale of 1 to 10"), else on one of 100, where a number written with
  decimals and not above 1 is a probability: ``0.85`` is 0.85 and ``1.0`` is 1, but ``1`` is 0.01.
- *Ranges* give their midpoint.
- *Bounds* (``<10%``, "at least 90", "90%+") give ``None``, and so do negated values
  ("not 100% sure") and statements of doubt ("15% unsure").
- *Commas* between digits are decimal marks (``0,85``). Numbers in English words ("ninety-five
  percent") and with an exponent (``8.5e1 %``) are read.
- *Numbers that stand alone* count only in a reply that is nothing else.
- *Lists.* A number that begins an entry of a list ("1. Look at the image") is none of these, nor is
  one that is called the answer; a reply that was cut off before its confidence states none.
- Numbers with a unit of anything else (``2 cm``, ``30% of the lung``) are no confidences.
"""

import re
from typing import NamedTuple

from number_parser import parse_number

from medcal_nb.ask.reading import FILE, WORDS, clean, without_end

#: Phrases of likelihood and what people take them to mean (sources in words.toml).
LIKELIHOOD = FILE["likelihood"]
CONFIDENCE_LABEL = WORDS["confidence"]
PROBABILITY_LABEL = WORDS["probability"]
PERCENT_WORD = WORDS["percent"]

# --- quantities ----------------------------------------------------------------------------------

_EVEN = re.compile(r"\b(?:fifty[\s-]fifty|50\s*[-/]\s*50)\b")
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
_UNIT, _PERCENT_OF, _OTHER_PERCENT = (
    re.compile(WORDS[name]) for name in ("unit", "percent_of", "other_percent")
)
_BOUND_BEFORE, _BOUND_AFTER, _NEGATED, _CERTAIN_AFTER = (
    re.compile(WORDS[name])
    for name in ("bound_before", "bound_after", "negated", "certain_after")
)
_SCALE_HINT = re.compile(
    r"[(\[]\s*(?:on\s+)?(?:an?\s+|the\s+)?(?:scale\s*(?:of|from|:)?\s*)?(?:from\s+|de\s+|von\s+)?"
    r"[01](?:\.0)?\s*%?\s*(?:-|~|to|bis|à|a|至|до|/)\s*(?P<a>100|10|5|1)(?:\.0)?\s*%?\s*[)\]]"
    r"|[(\[]\s*out\s+of\s+(?P<b>100|10|5|1)\s*[)\]]"
    r"|[(\[]\s*(?:in\s+|as\s+a\s+)?(?P<c>%|percent(?:age)?)\s*[)\]]"
    r"|\bon\s+an?\s+(?:scale\s+(?:of|from)\s+)?[01]\s*%?\s*(?:-|to)\s*(?P<d>100|10|5|1)\s*%?"
    r"(?:\s+scale\b)?",
    re.IGNORECASE,
)


_EXPONENT = re.compile(r"(?<![\w.,])\d{1,3}(?:\.\d{1,9})?e[+-]?\d{1,2}(?![\w.,]\d)")
_UNITS = "zero|one|two|three|four|five|six|seven|eight|nine"
_COUNTS = (
    f"{_UNITS}|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen|"
    "twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred"
)
_IN_WORDS = re.compile(
    rf"(?<![\w-])(?P<number>(?:an?\s+(?=hundred))?(?:{_COUNTS})(?:[\s-]+(?:{_COUNTS}))*)(?![\w-])"
    rf"(?P<sign>(?={_P}|\s+out\s+of\b))?"
)


def in_digits(text: str) -> str:
    """A lower-case text with numbers in words, and with exponents, written in digits.

    Words for one to nine become digits where a sign of a share follows ("nine out of ten"), not
    elsewhere: "one" is seldom a number.

    >>> in_digits("ninety-five percent, or nine out of ten"), in_digits("8.5e1 %")
    ('95 percent, or 9 out of 10', '85 %')
    """
    text = _EXPONENT.sub(lambda match: f"{float(match[0]):.9g}", text)
    return _IN_WORDS.sub(_digits, text)


def _digits(match):
    words = re.sub(r"^an?\s+", "one ", match["number"])
    value = parse_number(words)
    if value is None or (value < 10 and match["sign"] is None):
        return match[0]
    return str(value)


class _Quantity(NamedTuple):
    start: int
    end: int
    value: float | None  # None: a number that is no confidence (a bound, out of range)
    kind: str  # percent, fraction, decimal or integer


def _number(digits):
    thousands = re.fullmatch(r"[1-9]\d{0,2},\d{3}", digits)  # as in "1,000"
    return float(digits.replace(",", "" if thousands else "."))


def _quantities(text, scale):
    """Find every number in a lower-case text that could be a confidence, in order."""
    found = []
    position = 0
    while match := _QUANTITY.search(text, position):
        a = match["a"]
        b = match["b"]
        c = match["c"]
        start, end = match.span()
        percent = match["pa"] or match["pre"] or match["pb"]
        if b is not None and not _is_range(text, match):
            # only the first number of the pair belongs here; the second is looked at by itself
            b = c = None
            end = max(map(match.end, ("a", "pa", "plus")))
            percent = match["pa"] or match["pre"]
        position = max(end, start + 1)
        before = text[max(0, start - 40) : start]
        after = text[end : end + 60]
        other = (
            _PERCENT_OF.match(after) if percent else c is None and _UNIT.match(after)
        )
        if (
            other
            or _NEGATED.search(before)
            or (not percent and _begins_entry(text, start, end))
        ):
            continue
        kind = "integer"
        total = scale
        if c is not None:
            kind = "fraction"
            total = _number(c)
        elif percent:
            kind = "percent"
            total = 100
        elif re.search(r"[.,]", a):
            kind = "decimal"
        bound = match["neg"] or match["plus"] or _BOUND_BEFORE.search(before)
        bound = bound or _BOUND_AFTER.match(after)
        value = None if bound else _middle(a, b, kind, total)
        found.append(_Quantity(start, end, value, kind))
    return found


def _middle(a, b, kind, total):
    """The share that a number stands for, or the middle of two; None where it is above 1."""
    if not 0 < total <= 1000:
        return None
    shares = [_share(digits, kind, total) for digits in (a, b) if digits is not None]
    return round(sum(shares) / len(shares), 12) if max(shares) <= 1 else None


def _share(digits, kind, total):
    """Read a number of so many; a bare decimal not above 1 is a share already."""
    value = _number(digits)
    bare = (
        kind in ("decimal", "integer") and total == 100 and re.search(r"[.,]", digits)
    )
    return value if bare and value <= 1 else value / total


def _begins_entry(text, start, end):
    """Whether a number begins an entry of a list: "1. Look at the image", on a line or in one."""
    begins = re.search(r"(?:^|\n|[:.;])[\s(#-]*$", text[max(0, start - 8) : start])
    if not begins:
        return False
    if re.match(r"(?:1?\d|20)[.):]\s+[^\W\d]", text[start : end + 60]):
        return True
    # the last mark of a list that was cut off: alone on the last line, after a line of prose
    mark = re.fullmatch(r"(?:1?\d|20)[.)]\s*", text[start:])
    line_before = text[:start].rstrip().rpartition("\n")[2]
    return bool(mark) and len(line_before.split()) > 3


def _is_range(text, match):
    """Whether two numbers are the ends of a range, and not two numbers."""
    sep, start, end = match["sep"].strip(), *match.span()
    if sep in {"and", "und", "et", "y", "e"}:
        between = r"\b(?:between|zwischen|entre|tra|fra)\s+(?:\w+\s+)?$"
        return re.search(between, text[max(0, start - 30) : start])
    if sep == "a" and not match["pb"]:
        return False
    falling = _number(match["a"]) > _number(match["b"])
    if falling and (match["sep"] != sep or bool(match["pa"]) != bool(match["pb"])):
        return False
    return match["pb"] or not _UNIT.match(text[end : end + 20])


# --- labels --------------------------------------------------------------------------------------

_SIGN = re.compile(r"->|=>|[:=|>]|[是为はが은는]")
_SENTENCE_END = re.compile(r"[.;!?]\s|\n")
_FILLER = frozenset(FILE["filler"].split())


def _only_filler(text):
    """Whether a text is nothing but hedges and connecting words."""
    words = re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)*|'[a-z]+", text)
    return all(word in _FILLER or len(word) == 1 for word in words)


def _rest_is_filler(text, quantities):
    edges = [0, *(edge for q in quantities for edge in (q.start, q.end)), len(text)]
    return all(
        _only_filler(text[a:b]) for a, b in zip(edges[::2], edges[1::2], strict=True)
    )


def _labelled(text, label, quantities):
    """Return the last quantity after a label and a sign (":", "="), and the last without one."""
    last = [None, None]
    for match in re.finditer(label, text):
        quantity = next((q for q in quantities if q.start >= match.end()), None)
        if quantity is None:
            break
        gap = text[match.end() : quantity.start]
        *head, tail = _SIGN.split(gap)
        tail = tail.lstrip()
        if len(gap) > 80 or any(
            map(_SENTENCE_END.search, (tail, "|".join(head).strip()))
        ):
            continue
        if _only_filler(tail) or (
            quantity.kind in ("percent", "fraction") and len(tail) <= 50
        ):
            last[not head] = quantity
    return last


def parse_confidence(text: str, *, cut_off: bool = False) -> float | None:
    r"""Read the confidence a reply states, as a probability.

    Parameters
    ----------
    text : str
        The reply. Anything but a string gives ``None``.
    cut_off : bool
        The reply was cut off (see :func:`medcal_nb.ask.reading.is_cut_off`): its last, unfinished
        sentence states nothing, and no number counts that stands alone.

    Returns
    -------
    float or None
        A number in [0, 1]; ``None`` where no confidence, or no single one, is stated. The notes
        of the module say how the hard cases are decided.

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
    text = clean(text)
    if cut_off:
        text = without_end(text)
    text = _EVEN.sub(" 50% ", in_digits(text.lower()))
    text = re.sub(r'["{}]', " ", text).strip()
    scale = 100
    if hints := list(_SCALE_HINT.finditer(text)):
        without = _SCALE_HINT.sub(" ", text)
        if re.search(r"\d", without):
            top = hints[-1][hints[-1].lastgroup]
            text = without
            scale = int(top) if top.isdigit() else 100
    quantities = _quantities(text, scale)
    if not quantities:
        return None
    confidence, loose_confidence = _labelled(text, CONFIDENCE_LABEL, quantities)
    probability, loose_probability = _labelled(text, PROBABILITY_LABEL, quantities)
    if confidence:
        return confidence.value
    tied = [q for q in quantities if _CERTAIN_AFTER.match(text[q.end : q.end + 80])]
    tied = next((q for q in reversed(tied) if q.value is not None), None)
    for quantity in (tied, probability, loose_confidence, loose_probability):
        if quantity:
            return quantity.value
    return None if cut_off else _alone(text, quantities)


def _alone(text, quantities):
    """Return the value of the one number that stands without a label."""
    if len({q.value for q in quantities}) != 1:
        return None
    quantity = quantities[0]
    before = text[: quantity.start]
    after = text[quantity.end :]
    if _rest_is_filler(text, quantities):
        return quantity.value
    if quantity.kind == "decimal" and re.fullmatch(r"[^\n]*\(.*\)\W*", text):
        return quantity.value if re.fullmatch(r"\s*\)\W*", after) else None
    if quantity.kind not in ("percent", "fraction") or _OTHER_PERCENT.search(before):
        return None
    rest = re.match(r"[^.,;:!?)\n]*", after)[0]
    return quantity.value if _only_filler(rest) and len(before.split()) <= 12 else None


# --- likelihood words ----------------------------------------------------------------------------

_PHRASES = {
    phrase: LIKELIHOOD[meant] for phrase, meant in FILE["spellings"].items()
} | LIKELIHOOD
_PHRASE = re.compile(
    r"(?<![\w-])(?P<not>(?!not\s+(?:likely|probable)\b)(?:not|\w{1,10}n't|never|hardly)\s+"
    r"(?:\w+\s+)?)?(?P<phrase>"
    + "|".join(
        re.escape(p).replace(r"\ ", r"[\s-]+") for p in sorted(_PHRASES, key=len)[::-1]
    )
    + r")(?![\w-])"
)
_PHRASES = {phrase.replace("-", " "): value for phrase, value in _PHRASES.items()}
_WRONG_AFTER = re.compile(r"[^.;\n]{0,20}\b(?:wrong|incorrect|mistaken|false)\b")
_LIKELIHOOD_LABEL = re.compile(
    rf"(?:{CONFIDENCE_LABEL}|{PROBABILITY_LABEL})[^\n:=]{{0,30}}[:=]\s*(?P<value>[^\n]*)"
)


def parse_likelihood(text: str) -> float | None:
    r"""Read a word of likelihood ("highly likely") and map it to a probability.

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
    >>> parse_likelihood("Answer: yes\nLikelihood: Highly likely")
    0.9
    >>> parse_likelihood("not certain") is None
    True

    References
    ----------
    Tian et al., EMNLP 2023, arXiv:2305.14975; survey of 2015, github.com/zonination/perceptions;
    Kent, "Words of Estimative Probability", Studies in Intelligence, 1964.
    """
    text = clean(text).lower()
    labelled = [match["value"] for match in _LIKELIHOOD_LABEL.finditer(text)]
    for part in (*reversed(labelled), text):
        values = set()
        for match in _PHRASE.finditer(part):
            denied = match["not"] or _WRONG_AFTER.match(part, match.end())
            phrase = re.sub(r"[\s-]+", " ", match["phrase"])
            values.add(None if denied else _PHRASES[phrase])
        if values:
            return values.pop() if len(values) == 1 else None
    return None
