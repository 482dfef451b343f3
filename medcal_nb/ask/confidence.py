"""Read how sure a reply says it is: a number, or a word of likelihood.

A number is a confidence where it has its word, in one of four forms:

- *as asked for*: a label and a sign, "Confidence: 85%", "confidence score (0-100) = 85". What
  stands between them may only say what the confidence is in ("in this answer"), as "Confidence
  that the answer is yes: 10%" may be that of another answer;
- *in a sentence*: "my confidence in this answer is about 85%";
- *tied to a word*: "I am 85% sure that this is correct", "yes, with 85% confidence";
- *alone*: a reply that is nothing but a number.

The first form goes before the others. Everything else is missing: numbers without a word, with
another ("95% confidence interval"), bounds ("less than 10%"), negated ones, two that differ.

A bare number is on the scale that stands with it ("(0-10)"), else on one of 100, where a number
written with decimals and not above 1 is a probability: ``0.85`` is 0.85 and ``1.0`` is 1, but
``1`` is 0.01. Ranges give their midpoint. Commas between digits are decimal marks.
"""

import re

from medcal_nb.ask.reading import FILE, WORDS, clean, without_end

#: Phrases of likelihood and what people take them to mean (sources in words.toml).
LIKELIHOOD = FILE["likelihood"]

_NUMBER = r"(?:\d{1,3}(?:\.\d{1,9}|,\d{1,2}(?!\d))?|\.\d{1,9})"
_PERCENT = rf"\s*(?:{WORDS['percent']})"
#: One number or a range, and what it is a part of; then nothing that makes it another thing.
VALUE = (
    rf"(?P<before>%\s?)?(?P<a>{_NUMBER})(?P<percent>{_PERCENT})?"
    rf"(?:\s*(?:-|~|to|and)\s*(?P<b>{_NUMBER})(?P<percent_b>{_PERCENT})?)?"
    r"(?:\s*(?:/|out\s+of)\s*(?P<of>100|10|5|1(?:\.0+)?)(?![\d/]))?"
    r"(?!\d|[.,]\d)"
)
_ENDS = re.compile(
    r"\s*(?:$|[\n.,;:!)\]}|'(]|[-±]\s|(?:because|since|as|confidence|answer)\b|です)"
)
_ABOUT = (
    r"(?:(?:about|around|approximately|approx\.|roughly|between|circa|約|约|약|~|≈"
    r"|very|high|medium|moderate|low|[(\[])\s*){0,3}"
)
_LABEL = rf"(?:(?P<sure>{WORDS['confidence']})|{WORDS['probability']})"
_STATED = re.compile(
    rf"{_LABEL}(?P<in>[^\n:=|\d.;?]{{0,60}}?)\s*(?:(?P<sign>[:=|?]|->|=>|\s-\s|\n)"
    rf"|\b(?:is|was|would\s+be)\b|[是为はは는은])?\s*{_ABOUT}{VALUE}"
)
#: What may stand between a label and its sign, and behind a word that a number is tied to.
_OWN = re.compile(WORDS["own"])
_TIED = re.compile(
    rf"\b(?:i\s+am|i'm|with)\s+{_ABOUT}{VALUE}\s*(?:sure|certain|confident|confidence)\b"
    r"(?P<in>[^\n:=.,;)]{0,60})"
)
_ALONE = re.compile(rf"[\s\"'(\[]*{_ABOUT}{VALUE}[\s.\"')\]]*")
_SCALE = re.compile(
    r"[(\[]\s*(?:(?:on\s+)?(?:a\s+)?scale\s*(?:of|from|:)?\s*)?[01](?:\.0)?\s*%?\s*(?:-|to)\s*"
    r"(?P<a>100|10|5|1)(?:\.0)?\s*%?\s*[)\]]|[(\[]\s*out\s+of\s+(?P<b>100|10|5|1)\s*[)\]]"
    r"|\bscale\s+(?:of|from)\s+[01]\s*%?\s*(?:-|to)\s*(?P<c>100|10|5|1)\b\s*%?"
)


def parse_confidence(text: str, *, cut_off: bool = False) -> float | None:
    r"""Read the confidence a reply states, as a probability.

    Parameters
    ----------
    text : str
        The reply. Anything but a string gives None.
    cut_off : bool
        The reply was cut off: its last, unfinished sentence states nothing, nor does a number
        that stands alone.

    Returns
    -------
    float or None
        A number in [0, 1]; None where no confidence, or no single one, is stated. The notes of
        the module say what counts as one.

    Examples
    --------
    >>> parse_confidence("**Confidence:** 85/100"), parse_confidence("Confiance : 62 %")
    (0.85, 0.62)
    >>> parse_confidence("The 95% confidence interval excludes 1. Answer: yes") is None
    True
    """
    text = clean(text).lower()
    if cut_off:
        text = without_end(text)
    text = re.sub(r"[\"{}_]|(?<!\w)'|'(?!\w)", " ", text).strip()
    scale = 100
    if hint := _SCALE.search(text):
        scale = int(hint[hint.lastgroup])
        text = _SCALE.sub(" ", text)
    if not cut_off and (alone := _ALONE.fullmatch(text)):
        return _share(alone, scale)
    asked_for, others = [], []
    for match in _STATED.finditer(text):
        own = _OWN.fullmatch(match["in"])
        if own and match["sign"]:
            asked_for.append(_share(match, scale))
        elif match["sure"] or (own and own["right"]):
            is_cut = match.end() == len(text) and text[-1].isdecimal()
            others.append(_share(match, scale) if own and not is_cut else None)
    for match in _TIED.finditer(text):
        others.append(_share(match, scale) if _OWN.fullmatch(match["in"]) else None)
    values = set(asked_for) - {None} or set(others)
    return values.pop() if len(values) == 1 else None


def _share(match, scale):
    """The share that a matched value stands for; None where it is none, or not clearly one."""
    text = match.string
    is_percent = bool(match["before"] or match["percent"] or match["percent_b"])
    is_bare = not (is_percent or match["of"])
    rest = text[match.end() :]
    ends = [end.replace(",", ".") for end in (match["a"], match["b"]) if end]
    low, high = ends[0], ends[-1]
    # "1. Look" begins a list, "0." may have lost its decimals, "0 to 100" is the scale
    is_mark = re.match(r"[.):]\s+[^\W\d]", rest) if float(low) < 10 else None
    is_mark = is_mark or (low in "01" and rest == ".")
    if (is_bare and is_mark) or not _ENDS.match(rest) or float(low) > float(high):
        return None
    if float(low) <= 1 < float(high) or (low, high) == ("0", "1"):
        return None
    total = float(match["of"] or (100 if is_percent else scale))
    if (
        is_bare
        and scale == 100
        and all("." in end for end in ends)
        and float(ends[-1]) <= 1
    ):
        total = 1.0
    shares = [float(end) / total for end in ends]
    return round(sum(shares) / len(shares), 12) if max(shares) <= 1 else None


# --- likelihood words ----------------------------------------------------------------------------

_PHRASES = LIKELIHOOD | {
    phrase: LIKELIHOOD[same] for phrase, same in FILE["spellings"].items()
}
_PHRASE = re.compile(
    r"(?<![\w-])(?P<not>(?!not\s+(?:likely|probable)\b)(?:not|\w{1,10}n't|never|hardly)\s+"
    r"(?:\w+\s+)?)?(?P<phrase>"
    + "|".join(sorted(_PHRASES, key=len, reverse=True)).replace(" ", r"[\s-]+")
    + r")(?![\w-])(?P<wrong>[^.;\n]{0,20}\b(?:wrong|incorrect|mistaken|false)\b)?"
)
_PHRASES = {phrase.replace("-", " "): value for phrase, value in _PHRASES.items()}
_LIKELIHOOD_LABEL = re.compile(rf"{_LABEL}[^\n:=]{{0,30}}[:=]\s*(?P<value>[^\n]*)")


def parse_likelihood(text: str) -> float | None:
    r"""Read a word of likelihood ("highly likely") and map it to a probability.

    The table is :data:`LIKELIHOOD`: medians of what 46 people took each phrase to mean, with
    the spellings of the same phrase ("very likely", "almost certainly") beside it. The words after
    a label ("Likelihood: likely") go before words elsewhere. Negated words that the table does not
    hold ("not certain") and replies with two different words give None; so do "high", "low"
    and "possible", for which no such value is published.

    Parameters
    ----------
    text : str
        The reply. Anything but a string gives None.

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
            denied = match["not"] or match["wrong"]
            phrase = re.sub(r"[\s-]+", " ", match["phrase"])
            values.add(None if denied else _PHRASES[phrase])
        if values:
            return values.pop() if len(values) == 1 else None
    return None
