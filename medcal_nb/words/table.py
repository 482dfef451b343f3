"""Whole replies as answers with confidences: a run of them, as one run has one form and one scale.

What one reply leaves open the others of its run may decide: whether ``Confidence: 1`` is all or a
hundredth, and whether the number behind an answer ("yes, 90%") is a confidence or a finding.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from medcal_nb.words.confidence import (
    ABOUT,
    VALUE,
    Stated,
    labelled_likelihood,
    number_of,
    scale_of,
    share_of,
    stated_number,
)
from medcal_nb.words.key import answer_key, is_nothing
from medcal_nb.words.lists import WORDS
from medcal_nb.words.options import Options
from medcal_nb.words.parsing import (
    SURE,
    clean,
    labelled_values,
    parse_answer,
    undisclaimed,
    values_of,
)
from medcal_nb.words.says import is_refusal, only_yes_no, yes_no
from medcal_nb.words.shares import likeliest, likeliest_named, share_of_option

#: The least replies of a run, and the least share of it, that make a doubtful form its form.
_LEAST = 3
_SHARE = 0.5

#: "I would put 80% on it"
_PUT = r"(?:(?:i'd|i would|i)\s+(?:say|put|bet|give\s+(?:it|this))\s+|(?:perhaps|maybe)\s+)?"
#: "yes : 0.9", "B (85%)", "left lung, 60% sure": an answer, and the number behind it.
_BEHIND = re.compile(
    rf"(?P<part>[^\n]*?\w[\"')\]]?)(?P<sep>\s*(?:[:;,|=(\[-]|->)\s*|\s+)"
    rf"{_PUT}{ABOUT}{VALUE}"
    r"(?P<sure>\s*(?:sure|certain|confident|confidence|certainty|probability)\b)?[\s)\].\"]*",
    re.IGNORECASE,
)
#: "A cyst. 80%", "A cyst (80%)", "a cyst, 0.8": a number that ends a reply, apart from its answer.
_ENDING = re.compile(
    rf"(?P<apart>[.;!?]\s+\(?|\n|\(|,\s|\s-\s)[\s\"']*{_PUT}(?P<p>p\s*=\s*(?!0?\.0))?"
    rf"{ABOUT}{VALUE}(?:\s+on\s+(?:it|this|that))?[\s)\].\"']*\Z",
    re.IGNORECASE,
)
#: "Give your confidence in percent": what a reply repeats of what it was asked.
_SURE_ASKED = re.compile(SURE, re.IGNORECASE)
_SURE = re.compile(WORDS["sure"], re.IGNORECASE)
#: How sure one is, in whatever form; "95% confidence interval" does not say it.
_SAYS_IT = re.compile(
    rf"(?:{WORDS['confidence']}|\b(?:un)?sure\b|\bsicher\b|\bsûre?\b|\b(?:segur|sicur)[oa]\b|\bzeker\b)(?!\s+(?:intervals?|limits?)\b)",
    re.IGNORECASE,
)
_MEASURED = re.compile(WORDS["measured"], re.IGNORECASE)
_LETTER = re.compile(r"\W*(?:option\s+)?([A-Z])\W*", re.IGNORECASE)
#: "B) left lung": the letter of an option before its words.
_MARKED = re.compile(r"\W*[A-Z]\s*[).:]\s*(.+)", re.IGNORECASE)
#: A share for each answer: "A: 10%, B: 70%".
SHARES = re.compile(
    r"(?<![\w])['\"(]?(yes|no|[A-H])['\")]?\s*[:=]\s*\d+(?:\.\d+)?\s*(?:%|$|[,;}\n])",
    re.IGNORECASE | re.MULTILINE,
)


class _Row(NamedTuple):
    """What is read of a reply, None where it is not stated or in doubt: a row of the table."""

    answer: str | None
    confidence: float | None
    form: str | None


class _Perhaps(NamedTuple):
    """An answer and the number behind it, which may be another thing.

    `of` is the 10 of "yes, 9/10": whoever names this scale says that it is the confidence.
    """

    answer: str
    stated: Stated
    of: str | None = None


class _Read(NamedTuple):
    """A reply as read by itself: what it may say where its run agrees stands apart."""

    answer: str | None = None
    stated: Stated | None = None
    word: float | None = None
    perhaps: _Perhaps | None = None


def read_replies(
    texts: Sequence[str],
    *,
    options: Sequence[Options | Sequence[str] | None] | None = None,
    kinds: Sequence[str | None] | None = None,
    scale: str | float | None = None,
) -> pd.DataFrame:
    r"""Read answers and confidences out of the replies of one run.

    Parameters
    ----------
    texts : sequence of str, length n
        Replies of one model to one prompt. What is no string, empty or the error of a program says
        nothing.
    options : sequence, length n, optional
        The options of each question, as `Options.read` takes them, None where it has none.
    kinds : sequence of str, length n, optional
        The kind of each question: "closed", "choice" or "open".
    scale : str or float, optional
        Of numbers without one: ``"percent"``, its upper end, both (``"1-5"``), or ``"log"``.

    Returns
    -------
    DataFrame
        One row a reply, with the index of `texts` if it has one.

        - answer: text, missing where none is given
        - confidence: in [0, 1], NaN where none is stated, or in doubt
        - form: how the confidence is stated: "label", "sentence", "alone", "behind the answer",
          "word" (by the table `LIKELIHOOD`), "shares" (of all options: that of the likeliest).
          Without one, what may be it: "no scale", a number that may be on several; "of 10" and the
          like, a number of so many behind an answer, which `scale` takes; "in doubt", another
          number there; "unread", it is spoken of

    Examples
    --------
    >>> read_replies(["yes\nConfidence: 0.8", "no\nConfidence: 1"])
      answer  confidence   form
    0    yes         0.8  label
    1     no         1.0  label
    """
    index = texts.index if isinstance(texts, pd.Series) else None
    nothing = [None] * len(texts)
    options = nothing if options is None else options
    kinds = nothing if kinds is None else kinds
    read = []
    for text, shown, kind in zip(texts, options, kinds, strict=True):
        one = _Read()
        if isinstance(text, str) and not is_nothing(text):
            one = _read(text, Options.read(shown), kind)
        read.append(one)
    rows = _settled(read, scale)
    table = pd.DataFrame(rows, index, columns=list(_Row._fields), dtype=object)
    pairs = zip(rows, texts, strict=True)
    is_unread = [row.form is None and _says_it(text) for row, text in pairs]
    table.loc[is_unread, "form"] = "unread"
    return table.astype({"confidence": float})


def _says_it(text: object) -> bool:
    """Whether a reply says how sure it is, in whatever form."""
    return isinstance(text, str) and _SAYS_IT.search(text) is not None


def _read(text: str, options: Options | None, kind: str | None) -> _Read:
    """One reply by itself."""
    plain = clean(text)
    kind = "choice" if options else kind
    answer = parse_answer(text, question_type=kind or "open", options=options)
    if read := _of_shares(plain, options, kind, answer):
        return read
    word = labelled_likelihood(text)
    stated = stated_number(text)
    if stated and stated.form == "alone":  # a number alone is the answer
        stated = None
    if stated or word is not None:
        return _Read(answer, stated, word)
    # a number behind one of "30%", "50%" may be the other one
    is_share = options is not None and "%" in "".join(options.texts)
    number = _ending(plain, kind if answer and not is_share else None)
    if number and not is_refusal(undisclaimed(plain)):
        return _Read(answer, number)
    return _behind_answer(plain, options, kind) or _Read(answer)


def _of_shares(
    plain: str, options: Options | None, kind: str | None, answer: str | None
) -> _Read | None:
    """What a reply says that gives several answers shares; None where it is no such reply."""
    if labelled_values(plain):
        share = share_of_option(plain, options, answer) if options and answer else None
        if share is not None:
            return _Read(answer, Stated(share, "share", "shares"))
    elif (options or kind == "closed") and (best := likeliest(plain, options)):
        name = options.text_of(best.name) if options else best.name
        return _Read(name, Stated(best.share, "share", "shares"))
    elif not options and (named := likeliest_named(plain)):
        return _Read(named.name, Stated(named.share, "share", "shares"))
    several = {match[1].lower() for match in SHARES.finditer(plain)}
    return _Read() if len(several) > 1 else None


def _ending(plain: str, kind: str | None) -> Stated | None:
    """The number that ends a reply, apart from its answer: "A cyst. 80%", "A cyst (80%)"."""
    match = _ENDING.search(plain, max(0, len(plain) - 80))
    rest = plain[: match.start()] if match else ""
    is_asked = match and (match["p"] or _SURE_ASKED.search(rest))
    is_behind = match and match["apart"][0] in ", -" and not is_asked
    if is_behind and kind not in ("open", "choice"):
        return None  # "yes, 90%" may be a finding
    said = undisclaimed(rest)  # without "You asked for a percentage."
    is_measured = "%" in said or _MEASURED.search(said) is not None
    is_listed = re.search(r"\d[,;]\s*[\d.]+$", rest) is not None  # [0.3, 0.4, 0.7]
    is_number = is_measured or is_listed
    if match is None or is_number or not re.search(r"[^\W\d]", rest):
        return None
    number = number_of(match, None, "behind the answer")
    # "a mass (40%)" in a sentence of what is seen
    is_sure = _SURE.search(rest.rsplit(".", maxsplit=1)[-1])
    is_long = match["apart"] == "(" and len(rest.split()) > 6 and not is_sure
    return None if number is None or number.unit == "bare" or is_long else number


def _behind_answer(
    plain: str, options: Options | None, kind: str | None
) -> _Read | None:
    """An answer with the number behind it, or what it is if that is the form of its run."""
    for value in values_of(plain):
        match = _BEHIND.fullmatch(value)
        if match is None or is_refusal(value):
            continue
        answer = _named(match["part"], match["sep"].strip(), options, kind)
        if not answer:
            continue
        number = number_of(match, None, "behind the answer")
        is_said = ":" in match["sep"]
        texts = options.texts if options else ()
        is_part = any(match["a"] in option for option in texts)
        is_asked = _SURE_ASKED.search(plain) and "100" in plain[: plain.rfind(value)]
        if number and is_asked and only_yes_no(answer):  # "…, from 0 to 100. no, 85"
            return _Read(answer, number)
        if number is None or is_part or (number.unit == "bare" and not is_said):
            continue
        is_letter = _LETTER.fullmatch(answer) if kind is None else None
        if number.unit == "percent":
            # "yes, 90%" may be a finding, an option is none
            is_choice = kind == "choice" and "%" not in "".join(texts)
            is_said = is_said or is_letter is not None or is_choice
        is_sure = is_said or match["sure"] or number.unit == "decimal"
        is_short = kind in ("closed", "choice") or is_letter or only_yes_no(answer)
        if is_sure and is_short and kind != "open":
            return _Read(answer, number)
        read = parse_answer(plain, question_type=kind or "open", options=options)
        of = match["of"] if is_short and kind != "open" else None
        return _Read(read, perhaps=_Perhaps(answer, number, of))
    return None


def _named(
    part: str, sep: str, options: Options | None, kind: str | None
) -> str | None:
    """The answer that stands before a number and is nothing but an answer, else None."""
    letter = _LETTER.fullmatch(part)
    if options:
        words = _MARKED.fullmatch(part)
        keys = [answer_key(option) for option in options.texts]
        is_one = letter or answer_key(words[1] if words else part) in keys
        index = options.index(part) if is_one else None
        return None if index is None else options.texts[index]
    if only_yes_no(part):
        return yes_no(part)
    if kind == "closed":
        return None
    if letter and kind is None:
        return letter[1].upper() if sep in (",", ";", "(", "[") else None
    # "the ratio is 0.6" is no answer with a confidence, nor is a sentence
    is_words = bool(sep) and len(part.split()) <= 6
    return part.strip() if is_words else None


def _settled(read: list[_Read], scale: str | float | None) -> list[_Row]:
    """Replies of one run, where the run decides what a reply leaves open."""
    n_read = sum(one != _Read() for one in read)
    n_behind = sum(one.perhaps is not None or _is_behind(one.stated) for one in read)
    is_form = n_behind >= max(_LEAST, _SHARE * n_read)
    rows = []
    for one in read:
        if one.perhaps and (is_form or _is_named(one.perhaps, scale)):
            rows.append(_Read(one.perhaps.answer, one.perhaps.stated))
        else:
            rows.append(one)
    of_run = _scale_of_run(rows) if scale is None else scale
    # what is named is the scale of plain numbers: 0.8 is .8 where there are none
    units = {one.stated.unit for one in rows if one.stated}
    of_decimals = of_run if scale in (None, "log") or "bare" in units else 1
    return [_reply(one, of_run, of_decimals) for one in rows]


def _is_named(perhaps: _Perhaps, scale: str | float | None) -> bool:
    """Whether the number is of as many as the scale that the user names."""
    if perhaps.of is None or scale in (None, "log"):
        return False
    _, most = scale_of(scale)
    return most == float(perhaps.of)


def _is_behind(stated: Stated | None) -> bool:
    return stated is not None and stated.form == "behind the answer"


def _scale_of_run(read: list[_Read]) -> str | float | None:
    """The scale of numbers without one: 1, 100, None where the run does not say."""
    units = set()
    for one in read:
        if one.stated:
            is_large = one.stated.unit == "bare" and one.stated.value > 10
            units.add("percent" if is_large else one.stated.unit)
    if ("decimal" in units) == ("percent" in units):
        return None
    return 1 if "decimal" in units else "percent"


def _reply(
    one: _Read, scale: str | float | None, of_decimals: str | float | None
) -> _Row:
    """A reply on the scales of its run: that of plain numbers, and that of decimals below 1."""
    if one.stated is None and one.perhaps:
        of = one.perhaps.of
        return _Row(one.answer, None, f"of {of}" if of else "in doubt")
    if one.stated is None:
        return _Row(one.answer, one.word, None if one.word is None else "word")
    if one.stated.unit == "decimal":
        scale = of_decimals
    is_small = one.stated.unit == "bare" and 0 < one.stated.value <= 10
    share = None if is_small and scale is None else share_of(one.stated, scale)
    return _Row(one.answer, share, "no scale" if share is None else one.stated.form)
