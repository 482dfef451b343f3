"""Read how sure a reply says it is: a number, or a word of likelihood.

A number is a confidence where it has its word, in one of four forms:

- *as asked for*: a label and a sign, "Confidence: 85%", "confidence score (0-100) = 85". What
  stands between them may only say what the confidence is in ("in this answer"), as "Confidence
  that the answer is yes: 10%" may be that of another answer;
- *in a sentence*: "my confidence in this answer is about 85%";
- *tied to a word*: "I am 85% sure that this is correct", "yes, with 85% confidence";
- *alone*: a reply that is nothing but a number.

The first form goes before the others. Everything else is missing: numbers without a word, with
another ("95% confidence interval"), of others ("the classifier's confidence"), bounds ("less than
10%"), negated ones, two that differ.

A number is on the scale that stands with it ("(0-10)", "8/10", "85 %"). One without is a
probability where it has decimals and is not above 1, else a percentage; a bare ``1`` may be both
and is missing, where no scale is given. On a scale that begins at 1, 1 is no confidence at all
("4 (on a scale from 1 to 5)" is .75), but 1 to 100 are percentages. Ranges give their midpoint.
Commas between digits are decimal marks.
"""

import math
import re
from typing import NamedTuple

from medcal_nb.answer_key import in_digits
from medcal_nb.errors import MedcalError
from medcal_nb.replies.reading import FILE, WORDS, clean

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
    r"\s*(?:$|[\n.,;:!)\]}|']|\((?!\s*(?:yes|no)\b)|[-±]\s"
    r"|(?:because|since|as|confidence|answer|sure|certain|confident)\b|です)"
)
ABOUT = (
    r"(?:(?:somewhere|about|around|approximately|approx\.|roughly|between|circa|約|约|약|~|≈"
    r"|very|high|medium|moderate|low|[(\[])\s*){0,3}"
)
_LABEL = rf"(?:(?P<sure>{WORDS['confidence']})|{WORDS['probability']})"
_STATED = re.compile(
    rf"{_LABEL}(?P<in>[^\n:=|\d.;?]{{0,60}}?)\s*(?:(?P<sign>[:=|?]|->|=>|\s-\s|\n)"
    rf"|\b(?:is|was|would\s+be)\b|[是为はは는은])?\s*{ABOUT}{VALUE}"
)
#: What may stand between a label and its sign, and behind a word that a number is tied to.
_OWN = re.compile(WORDS["own"])
_SURE = r"(?:sure|certain|confident)"
_TIED = re.compile(
    rf"(?:\b(?P<led>i\s+am|i'm|with)\s+|(?:^|[\n(;]|[.,]\s|\s-\s)\s*){ABOUT}{VALUE}"
    rf"\s*(?:{_SURE}|(?P<noun>confidence))\b(?P<in>[^\n:=.,;)]{{0,60}})"
)
_SAY = r"(?:(?:i'd|i\s+would|i'll)\s+(?:say|estimate|guess|put\s+it\s+at)\s+|maybe\s+|it's\s+)?"
_ALONE = re.compile(
    rf"[\s\"'(\[]*{_SAY}{ABOUT}{VALUE}(?:\s*{_SURE}(?:\s+of\s+it)?)?[\s.\"')\]]*"
)
#: What makes a confidence one of somebody else, and where a probability of the own answer begins.
_OF_OTHERS = re.compile(WORDS["others"] + r"\s*$")
_BEGINS = re.compile(
    r"(?:^|[\n.,;:(|\-])\s*(?:(?:and|with|my|the|a|own|overall|estimated|answer)\s+){0,3}$"
)
_NEGATIVE = r"(?P<log>-\d{1,3}(?:\.\d{1,12})?)(?![\d.,%/])"
_LOG = re.compile(
    r"\blog[\s-]{0,2}prob(?:abilit(?:y|ies)|s)?\b[^\n:=\d-]{0,20}[:=]\s*(?P<log>-?\d{1,3}(?:\.\d{1,12})?)(?![\d.,%/])"
)
_LOG_LIKE = re.compile(rf"(?:^|{_LABEL}\s*[:=])\s*{_NEGATIVE}\s*$", re.MULTILINE)
_SCALE = re.compile(
    r"[(\[]\s*(?:(?:on\s+)?(?:a\s+)?scale\s*(?:of|from|:)?\s*)?[01](?:\.0)?\s*%?\s*(?:-|to)\s*"
    r"(?:100|10|5|1)(?:\.0)?\s*%?\s*[)\]]|[(\[]\s*out\s+of\s+(?:100|10|5|1)\s*[)\]]"
    r"|\bscale\s+(?:of|from)\s+[01]\s*%?\s*(?:-|to)\s*(?:100|10|5|1)\b\s*%?"
)


def parse_confidence(text: str, *, scale: str | float | None = None) -> float | None:
    r"""Read the confidence a reply states, as a probability.

    Parameters
    ----------
    text : str
        The reply. Anything but a string gives None.
    scale : str or float, optional
        The scale of numbers that have none beside them, as `scale_of` reads it; ``"log"``: of
        log-probabilities.

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
    stated = stated_number(text)
    return share_of(stated, scale) if stated else None


class Stated(NamedTuple):
    """A number that a reply states as its confidence.

    Attributes
    ----------
    value : float
        The number; of one with a scale, the share that it stands for.
    unit : {"percent", "share", "decimal", "bare", "log", "negative"}
        It has a percent sign; a scale of its own; none, decimals, and is not above 1; none; it is
        called a logarithm; it may be one.
    form : str
        How it is stated: "label", "sentence", "alone", "behind the answer".
    """

    value: float
    unit: str
    form: str


def scale_of(text: str | float) -> tuple[float, float]:
    """The ends of a scale: ``10`` is 0 to 10, ``"1-5"`` 1 to 5, ``"percent"`` 0 to 100.

    Raises
    ------
    MedcalError
        Where it is none.

    Examples
    --------
    >>> scale_of("1-5"), scale_of("percent")
    ((1.0, 5.0), (0.0, 100.0))
    """
    plain = str(text).strip().casefold().replace("percent", "100")
    ends = re.fullmatch(r"(?:(\d+\.?\d*)\s*[-–]\s*)?(\d+\.?\d*)", plain)
    low, high = (float(ends[1] or 0), float(ends[2])) if ends else (0.0, 0.0)
    if low >= high:
        raise MedcalError(
            f"no scale {text!r}: write its ends, as scale=10 or scale=1-5"
        )
    return low, high


def share_of(stated: Stated, scale: str | float | None = None) -> float | None:
    """The share that a stated number stands for on a scale; None where it is none, or in doubt.

    Examples
    --------
    >>> share_of(Stated(7, "bare", "label"), 10), share_of(Stated(1, "bare", "label"))
    (0.7, None)
    """
    value = stated.value
    if stated.unit in ("percent", "share"):
        return value
    if stated.unit in ("log", "negative") or scale == "log":
        is_log = stated.unit == "log" or scale == "log"
        return round(math.exp(value), 12) if is_log and value <= 0 else None
    low, high = scale_of("percent" if scale is None else scale)
    if stated.unit == "decimal" and high == 100:
        high = 1.0  # 0.9 is .9 among percentages, too
    is_doubtful = scale is None and stated.unit == "bare" and value == 1
    if is_doubtful or not low <= value <= high:
        return None
    return round((value - low) / (high - low), 12)


def stated_number(text: str) -> Stated | None:
    """The one number that a reply states as its confidence, before its scale is known."""
    text = clean(text).lower()
    text = in_digits(re.sub(r"[\"{}_]|(?<!\w)'|'(?!\w)", " ", text)).strip()
    for pattern, unit in ((_LOG, "log"), (_LOG_LIKE, "negative")):
        if logarithm := pattern.search(text):
            return Stated(float(logarithm["log"]), unit, "label")
    scale = None
    if hint := _SCALE.search(text):
        ends = re.findall(r"\d+", hint[0].replace(".0", ""))
        scale = "percent" if ends[-1] == "100" else "-".join(ends)
        text = _SCALE.sub(" ", text)
    if alone := _ALONE.fullmatch(text):
        return number_of(alone, scale, "alone")
    labelled, in_sentences = _numbers(text, scale)
    return _the_one(labelled) or _the_one(in_sentences)


def _numbers(text, scale):
    """Numbers behind a label and a sign, clearly of the own answer; others with a word for it.

    Of the others None is one that is not clearly the own.
    """
    labelled = []
    others = []
    for match in _STATED.finditer(text):
        own = _is_own(match)
        if own and match["sign"]:
            labelled.append(number_of(match, scale, "label"))
        elif match["sure"] or (own and own["right"]):
            is_cut = match.end() == len(text) and text[-1].isdecimal()
            is_beside = text[match.end("sure") : match.start("a")].isspace()
            is_read = own and (is_beside or not is_cut)
            others.append(number_of(match, scale, "sentence") if is_read else None)
    for match in _TIED.finditer(text):
        if (
            match["led"] or not match["noun"]
        ):  # "(95% confidence)" may be of an interval
            is_read = _OWN.fullmatch(match["in"])
            others.append(number_of(match, scale, "sentence") if is_read else None)
    return [one for one in labelled if one], others


def _is_own(match):
    """What stands between a label and its number, if that says no more than "in this answer"."""
    before = match.string[: match.start()]
    is_own = match["sure"] or _BEGINS.search(before)
    if _OF_OTHERS.search(before) or not is_own:
        return None
    return _OWN.fullmatch(match["in"])


def _the_one(stated):
    """The one of several statements that all say the same; None where they differ."""
    if None in stated:
        return None
    shares = {share_of(one) for one in stated}
    if len(shares) != 1:
        return None
    return min(stated, key=lambda one: one.unit not in ("percent", "share"))


def number_of(match: re.Match[str], scale: str | None, form: str) -> Stated | None:
    """What a match of `VALUE` states; None where it is no number, or not clearly one.

    A scale that the reply names is that of a number that has none beside it.
    """
    is_percent = bool(match["before"] or match["percent"] or match["percent_b"])
    is_bare = not (is_percent or match["of"])
    rest = match.string[match.end() :]
    ends = [end.replace(",", ".") for end in (match["a"], match["b"]) if end]
    low = float(ends[0])
    high = float(ends[-1])
    # "1. Look" begins a list, "0." may have lost its decimals, "0 to 100" is the scale
    is_mark = re.match(r"[.):]\s+[^\W\d]", rest) if low < 10 else None
    is_mark = is_mark or (ends[0] in "01" and rest == ".")
    if (is_bare and is_mark) or not _ENDS.match(rest) or low > high:
        return None
    if low <= 1 < high or (ends[0], ends[-1]) == ("0", "1"):
        return None
    middle = (low + high) / 2
    own = "percent" if is_percent else match["of"] or scale
    if own:
        least, most = scale_of(own)
        share = round((middle - least) / (most - least), 12)
        unit = "percent" if most == 100 else "share"
        return Stated(share, unit, form) if least <= low and high <= most else None
    is_decimal = all("." in end for end in ends) and high <= 1
    return Stated(middle, "decimal" if is_decimal else "bare", form)


# --- likelihood words ----------------------------------------------------------------------------

_PHRASES = LIKELIHOOD | {
    phrase: LIKELIHOOD[same] for phrase, same in FILE["spellings"].items()
}
_ANY = "|".join(sorted(_PHRASES, key=len, reverse=True)).replace(" ", r"[\s-]+")
_PHRASE = re.compile(
    rf"(?<![\w-])(?P<other>(?!{_ANY})(?:(?:{WORDS['degrees']})\s+|(?:not|\w{{1,10}}n't|never|hardly)\s+"
    rf"(?:\w+\s+)?))?(?P<phrase>{_ANY})(?![\w-])"
    r"(?P<wrong>[^.;\n]{0,20}\b(?:wrong|incorrect|mistaken|false)\b)?"
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
    return next(_likelihoods([*_labelled(text), text]), None)


def labelled_likelihood(text: str) -> float | None:
    """The same of the words after a label alone ("Confidence: very likely")."""
    return next(_likelihoods(_labelled(clean(text).lower())), None)


def _labelled(text):
    labelled = [match["value"] for match in _LIKELIHOOD_LABEL.finditer(text)]
    return labelled[::-1]


def _likelihoods(parts):
    """What each part says that holds a word of likelihood; None where it is in doubt."""
    for part in parts:
        values = set()
        for match in _PHRASE.finditer(part):
            denied = match["other"] or match["wrong"]
            phrase = re.sub(r"[\s-]+", " ", match["phrase"])
            values.add(None if denied else _PHRASES[phrase])
        if values:
            yield values.pop() if len(values) == 1 else None
