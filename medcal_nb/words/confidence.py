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
10%"), negated ones, two in sentences that differ. Of several as asked for the last one counts.

A number is on the scale that stands with it ("(0-10)", "8/10", "85 %"). One without is a
probability where it has decimals and is not above 1, else a percentage; a bare ``1`` may be both
and is missing, where no scale is given. On a scale that begins at 1, 1 is no confidence at all
("4 (on a scale from 1 to 5)" is .75), but 1 to 100 are percentages. Ranges are no number.
Commas between digits are decimal marks.
"""

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

from medcal_nb.errors import MedcalError
from medcal_nb.words.key import in_digits
from medcal_nb.words.lists import FILE, WORDS
from medcal_nb.words.parsing import LED, SURE, clean, trimmed
from medcal_nb.words.says import is_refusal
from medcal_nb.words.sure import clause_shares, without_clauses

#: Phrases of likelihood and what people take them to mean (sources in words.toml).
LIKELIHOOD = FILE["likelihood"]

_NUMBER = r"(?:\d{1,3}(?:\.\d{1,9}|,\d{1,2}(?!\d))?|\.\d{1,9})"
_PERCENT = rf"\s*(?:{WORDS['percent']})"
#: A number, and what it is a part of; then nothing that makes it another thing.
VALUE = (
    rf"(?P<before>%\s?)?(?P<a>{_NUMBER})(?P<percent>{_PERCENT})?"
    r"(?:\s*(?:/|(?:out\s+)?of|in|von|sur|de|su|van)\s*(?P<of>100|10|5|1(?:\.0+)?)(?![\d/]))?"
    r"(?!\d|[.,]\d)"
)
_ENDS = re.compile(
    r"\s*(?:$|[\n.,;:!)\]}|']|\((?!\s*(?:yes|no)\b)|±\s|-\s(?!\d)"
    r"|(?:because|since|as|confidence|answer|sure|certain|confident)\b|です)"
)
ABOUT = (
    r"(?:(?:somewhere|about|around|approximately|approx\.|roughly|between|circa|only|just|now|約|约|약|~|≈"
    r"|very|high|medium|moderate|low|[(\[])\s*){0,3}"
)
_LABEL = rf"(?:(?P<sure>{WORDS['confidence']})|{WORDS['probability']})"
_STATED = re.compile(
    rf"{_LABEL}(?P<in>[^\n:=|\d.;?]{{0,60}}?)\s*(?:(?P<sign>[:=|?\]≈~]|->|=>|\s-\s|\n)"
    rf"|(?P<link>\b(?:à|al?|at|auf|of|del?|di|van|von)\b)|\b(?:is|was|would\s+be|beträgt)\b|[是为はは는은≈])?"
    rf"\s*{ABOUT}{VALUE}"
)
#: What may stand between a label and its sign, and behind a word that a number is tied to.
_OWN = re.compile(WORDS["own"])
_SURE = r"(?:sure|certain|confident|sicher)"
_TIED = re.compile(
    r"(?:\b(?P<led>i\s+am|i'm|i(?:'d|\s+would)(?:\s+(?:be|give|say))?|with|ich\s+bin(?:\s+mir)?(?:\s+zu)?)\s+"
    rf"|(?P<begins>(?:^|[\n;]|[,.!?]\s)\s*)|(?:\(|\s-\s)\s*){ABOUT}{VALUE}"
    # "(95% confidence)" may be of an interval
    rf"\s*(?:{_SURE}|(?(led)(?:confidence|certainty|positive)|{_SURE})"
    rf"|(?(begins)(?:confidence|certainty|d[ei]\s+confi(?:an[zc]a|ance|denza))(?=\W*(?:$|\n))|{_SURE}))\b(?P<in>[^\n:=.,;)!]{{0,60}})"
)
_SAY = r"(?:(?:i'd|i\s+would|i'll)\s+(?:say|estimate|guess|put\s+it\s+at)\s+|maybe\s+|it's\s+)?"
_ALONE = re.compile(
    rf"[\s\"'(\[]*{_SAY}{ABOUT}{VALUE}(?:\s*{_SURE}(?:\s+of\s+it)?)?[\s.\"')\]]*"
)
_CLOSES = re.compile(r"\s*(?:$|[.;)\n]|\((?:because|since)\b)")
_FINAL = re.compile(
    r"\b(?:final|finally|overall|revised|updated|adjusted)\W+(?:my\W+)?$"
)
#: "There is a 5% chance that I am wrong", "the chance that I'm wrong is 5%".
_WRONG = r"(?:that\s+)?(?:i'm|i\s+am|this\s+is)\s+(?:wrong|mistaken|incorrect)"
_CHANCE = r"(?:chance|probability|likelihood|risk)"
_IF_WRONG = re.compile(
    rf"(?P<a>{_NUMBER}){_PERCENT}\s*{_CHANCE}\s+{_WRONG}"
    rf"|\b{_CHANCE}\s+{_WRONG}\s+is\s+{ABOUT}(?P<behind>{_NUMBER}){_PERCENT}"
)
#: "rose from 50% to 80%": the last one counts.
_CHANGED = re.compile(
    rf"\b(?:went|goes|rose|rises|risen|fell|falls|dropped|drops|increased|increases|changed|changes)"
    rf"\s+(?:up\s+|down\s+)?from\s+{_NUMBER}(?:{_PERCENT})?\s+to\b"
)
#: What makes a confidence one of somebody else, and where a probability of the own answer begins.
_OF_OTHERS = re.compile(WORDS["others"] + r"\s*$")
_BEGINS = re.compile(
    r"(?:^|[\n.,;:(|\-])\s*(?:(?:and|with|my|the|a|own|overall|estimated|answer)\s+){0,3}$"
)
_NEGATIVE = re.compile(
    rf"(?:^|(?:{_LABEL}|\blog[\s-]?prob\w*)\s*[:=])\s*(?P<value>-\d{{1,3}}(?:\.\d{{1,12}})?)\s*$",
    re.MULTILINE,
)
_SCALE = re.compile(
    r"[(\[]\s*(?:(?:on\s+)?(?:a\s+)?scale\s*(?:of|from|:)?\s*)?[01](?:\.0)?\s*%?\s*(?:-|to)\s*"
    r"(?:100|10|5|1)(?:\.0)?\s*%?\s*[)\]]|[(\[]\s*out\s+of\s+(?:100|10|5|1)\s*[)\]]"
    r"|[(\[]\s*[01]\s*=[^,;()]{1,30}[,;]\s*(?:and\s+)?(?:100|10|5|1)\s*=[^()]{1,30}[)\]]"
    r"|\bon\s+a\s+scale\s+of\s+(?:100|10|5)\b(?!\s*-)"
    r"|\b(?:on\s+a\s+)?scale\s+(?:of|from)\s+[01]\s*%?\s*(?:-|to)\s*(?:100|10|5|1)\b\s*%?"
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
    unit : {"percent", "share", "decimal", "bare"}
        It has a percent sign; a scale of its own; none, decimals, and is not above 1; none.
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
    if scale == "log":
        return round(math.exp(value), 12) if value <= 0 else None
    low, high = scale_of(scale or "percent")
    if stated.unit == "decimal" and high == 100:
        high = 1.0  # 0.9 is .9 among percentages, too
    is_doubtful = scale is None and stated.unit == "bare" and value == 1
    if is_doubtful or not low <= value <= high:
        return None
    return round((value - low) / (high - low), 12)


def stated_number(text: str) -> Stated | None:
    """The one number that a reply states as its confidence, before its scale is known."""
    text = re.sub(r"[\"{}_]|(?<!\w)'|'(?!\w)", " ", clean(text).lower())
    text = _CHANGED.sub("is", in_digits(text).strip())
    if negative := _NEGATIVE.search(text):
        return Stated(float(negative["value"]), "bare", "label")
    text, scale = _without_scale(text)
    in_clauses = [Stated(one, "percent", "sentence") for one in clause_shares(text)]
    text = without_clauses(text)
    if alone := _ALONE.fullmatch(text):
        return number_of(alone, scale, "alone")
    labelled: list[Stated] = []
    others: list[Stated | None] = [*in_clauses]
    final = None
    for match in _STATED.finditer(text):
        # "sûr à 65 %" ends a sentence
        is_end = _CLOSES.match(text, match.end()) is not None
        own = None if match["link"] and not is_end else _is_own(match)
        between = text[match.end("sure") : match.start("a")]
        if own and (match["sign"] or between.isspace()):
            stated = number_of(match, scale, "label")
            if stated:
                labelled.append(stated)
            if _FINAL.search(text[: match.start()]):  # of several the final one
                final = stated
        elif not (match["link"] and not own) and (
            match["sure"] or (own and own["right"])
        ):
            others.append(own and number_of(match, scale, "sentence"))
    others += _in_sentences(text, scale)
    return final or _last(labelled, text) or _the_one(others)


def _in_sentences(text: str, scale: str | None) -> list[Stated | None]:
    """What sentences state: "I am 85% sure", "there is a 15% chance that I am wrong"."""
    stated: list[Stated | None] = []
    for match in _TIED.finditer(text):
        is_own = _OWN.fullmatch(match["in"])
        if match.start() == 0:  # "I am 90% sure that it is a cyst"
            is_own = is_own or LED.match(text)
        stated.append(is_own and number_of(match, scale, "sentence"))
    for match in _IF_WRONG.finditer(text):
        percent = match["a"] or match["behind"]
        wrong = float(percent.replace(",", ".")) / 100
        stated.append(Stated(round(1 - wrong, 12), "percent", "sentence"))
    return stated


def _without_scale(text: str) -> tuple[str, str | None]:
    """A text without the scale that it names, and this scale."""
    hint = _SCALE.search(text)
    if hint is None:
        return text, None
    ends = re.findall(r"\d+", hint[0].replace(".0", ""))
    scale = "percent" if ends[-1] == "100" else "-".join(ends)
    return _SCALE.sub(" ", text), scale


def _last(labelled: list[Stated], text: str) -> Stated | None:
    """The last of several as asked for, which may be cut off: "Confidence: 95 … Confidence: 9"."""
    # "Yes: 80%. No: 20%" are shares of two answers
    is_split = len(labelled) == 2 and sum(share_of(one) or 0 for one in labelled) == 1
    if is_split or (len(labelled) > 1 and text[-1].isdigit()):
        return _the_one(labelled)
    return labelled[-1] if labelled else None


def _is_own(match: re.Match[str]) -> re.Match[str] | None:
    """What stands between a label and its number, if that says no more than "in this answer"."""
    before = match.string[: match.start()]
    is_own = match["sure"] or _BEGINS.search(before)
    if _OF_OTHERS.search(before) or not is_own:
        return None
    return _OWN.fullmatch(match["in"])


def _the_one(stated: Sequence[Stated | None]) -> Stated | None:
    """The one of several statements that all say the same; None where they differ."""
    shares = {share_of(one) if one else None for one in stated}
    return stated[0] if all(stated) and len(shares) == 1 else None


def number_of(match: re.Match[str], scale: str | None, form: str) -> Stated | None:
    """What a match of `VALUE` states; None where it is no number, or not clearly one.

    A scale that the reply names is that of a number that has none beside it.
    """
    value = float(match["a"].replace(",", "."))
    own = "percent" if match["before"] or match["percent"] else match["of"] or scale
    rest = match.string[match.end() :]
    # "1. Look" begins a list; the end of a sentence may be cut off, as that of "0." is
    is_list = value < 10 and re.match(r"[.):]\s+[^\W\d]", rest)
    is_last = not match.string[match.end("a") :]
    is_cut = (form == "sentence" and is_last) or (match["a"] in "01" and rest == ".")
    if not own and (is_list or is_cut):
        return None
    if not _ENDS.match(rest):
        return None
    if own:
        least, most = scale_of(own)
        unit = "percent" if most == 100 else "share"
        share = round((value - least) / (most - least), 12)
        return Stated(share, unit, form) if least <= value <= most else None
    is_decimal = value <= 1 and "." in match["a"].replace(",", ".")
    return Stated(value, "decimal" if is_decimal else "bare", form)


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
#: "high (clear signs)", "high confidence": a level, and what follows it.
_LEVEL = re.compile(
    r"^((?:very |extremely |fairly )?(?:high|medium|moderate|low))\b(?!\s*(?:to|-)).*"
)
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
    return _likelihood([*_labelled(text), text])


def labelled_likelihood(text: str) -> float | None:
    """The same of the words after a label alone ("Confidence: very likely", "Confidence: high").

    Examples
    --------
    >>> labelled_likelihood("Confidence: High"), parse_likelihood("high") is None
    (0.9, True)
    """
    said = _labelled(clean(text).lower())
    levels = {_LEVEL.sub(r"\1", part.strip(" .!*|")) for part in said}
    if len(levels) == 1 and (phrase := FILE["levels"].get(levels.pop())):
        return LIKELIHOOD[phrase]
    return _likelihood(said)


def _labelled(text: str) -> list[str]:
    labelled = [match["value"] for match in _LIKELIHOOD_LABEL.finditer(text)]
    return labelled[::-1]


def _likelihood(parts: Sequence[str]) -> float | None:
    """What the first part says that holds a word of likelihood; None where it is in doubt."""
    for part in parts:
        values = set()
        for match in _PHRASE.finditer(part):
            denied = match["other"] or match["wrong"]
            phrase = re.sub(r"[\s-]+", " ", match["phrase"])
            values.add(None if denied else _PHRASES[phrase])
        if values:
            return values.pop() if len(values) == 1 else None
    return None


# --- several guesses -----------------------------------------------------------------------------

_GUESS_START = re.compile(
    r"(?:^|[\n;,]|(?<=[%)])|(?<=\s))\s*(?:(?:first|second|third|fourth|fifth)\s+)?"
    r"(?:guess|g|answer|candidate|option|réponse|antwort|猜测)\s*#?\s*\d{0,2}\s*[:=.)]\s*"
    r"|(?:^|\n)\s*(?:[-•]|\(?\d{1,2}\s*[.):])\s+",
    re.IGNORECASE,
)
#: What ends a guess: a number after a label, or one with a sign, in brackets or behind a comma.
_GUESS_NUMBER = re.compile(
    rf"[\s,;|(\[-]*(?:(?:\bp\s*\d{{0,2}}\s*[:=]|(?:{SURE})\s*\d{{0,2}}\s*[:=]?)\s*(?P<labelled>[^\n]*)"
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
    if re.search(r'[\[{]\s*["\[{]', text):
        return []
    guesses = []
    _, *chunks = _GUESS_START.split(text)
    for chunk in chunks:
        answer, *parts = _GUESS_NUMBER.split(chunk.strip("|, \n"), maxsplit=1)
        answer = trimmed(answer)
        number = next(filter(None, parts[:3]), None)
        if answer and not is_refusal(answer):
            guesses.append((answer, parse_confidence(number) if number else None))
    return guesses
