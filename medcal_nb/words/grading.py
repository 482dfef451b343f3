"""The one grader: is an answer right, by which rule, and what can no rule decide?

Answers and gold answers are compared as yes or no, as options, or as words
(:func:`medcal_nb.words.answer_key`), never by substring: "no" is not found in "normal", nor
"lung" in "left lung". What no rule decides is neither right nor wrong: it is ungraded, and
counted. The rules are those of `RULES`.
"""

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import pandas as pd

from medcal_nb.words.key import answer_key, is_nothing
from medcal_nb.words.lists import FILE
from medcal_nb.words.measured import bench_sentence
from medcal_nb.words.options import Options, option_letter, options_of
from medcal_nb.words.parsing import stated_answer
from medcal_nb.words.says import is_refusal, only_yes_no, yes_no

#: What each rule says, in the order in which they are shown.
RULES = {
    "yes or no": "read as yes or no, by the first word or the one that ends a clause",
    "option": "read as one of the options, by its words or its letter",
    "letter": "the same or another letter of an option",
    "same words": "the same words, without case, marks, articles and plurals",
    "denied": "one says what the other denies",
    "other words": "at most four words, other than those of the gold answer",
    "no answer": "ungraded: a refusal, an error, or a word for nothing",
    "undecided": "ungraded: no rule decides, as where the words of one are a part of the other's",
    "empty": "ungraded: no answer, or no gold answer",
}

#: An answer of more words that differs from the gold one may say the same in other words.
MOST_WORDS = 4

#: Columns of a table that say how an answer is graded, where they are there.
_ASKED = (
    "answer",
    "gold",
    "question_type",
    "options",
)

#: "B", "(b)", "B)", "B. right lung": a letter, and what stands behind it.
_LETTER = re.compile(r"\W*([A-Za-z])(?:\s*[).:](?:\s*(.*))?|\W*)$", re.DOTALL)
#: Of keys: words that deny, that call a thing normal, and units of which one stands for another.
_DENIALS = re.compile(
    r"\b(?:(?:negative for|free of|absence of|lack of)(?= )"
    r"|(?:(?:is|are|was) )?(?:ruled out|excluded)$)"
)
_DENYING = frozenset(FILE["lists"]["denying"].split())
_NORMAL = frozenset(
    ("normal", "unremarkable", "healthy", "clear", "negative", "benign")
)
_UNITS = frozenset(("mm", "cm", "m", "ml", "l", "mg", "g", "kg", "%"))
_SEEN = "seen|visible|present|identified|noted|shown|evident|detected|demonstrated|observed|found"
_PICTURE = (
    r"(?:(?:chest|brain|abdominal|axial|coronal|sagittal|frontal|lateral|ct|mri|mr|ultrasound|xray)\s)*"
    r"(?:image|scan|picture|photo|photograph|film|study|slice|view|figure|patient|ct|mri|xray|ultrasound)"
)
#: "the image shows", "there is", "I see"; "evidence of"; "is seen"; "in this image".
_BEFORE = re.compile(
    r"^(?:(?:most|likely|main|primary|final)\s)*(?:diagnosis|finding|abnormality|modality|answer)\s"
    r"(?:is|are|would\sbe)\s"
    rf"|^(?:(?:in|on)\s)?(?:(?:this|these|that)\s)?(?:{_PICTURE}\s)?(?:(?:doe|do|did)\s)?"
    r"(?:show|demonstrate|reveal|depict|display|contain|indicate|have|has|with)\s"
    r"|^(?:there|it|this)\s(?:is|are|appear\sto\sbe|look\slike)\s|^(?:i|we)\s(?:can\s)?see\s"
    r"|^(?:(?:most|very)\s)?(?:likely|probably)\s"
)
_OF_WHAT = re.compile(
    r"^(?:(?:definite|clear|any)\s)?(?:evidence|sign|indication|feature|suggestion)\sof\s"
    r"|^any\s|^(?:(?:most|very)\s)?(?:likely|probably)\s"
)
_BEHIND = re.compile(rf"\s(?:(?:is|are|was|were|can\sbe)\s)?(?:{_SEEN})$|\s(?:is|are)$")
_WHERE = re.compile(rf"\s(?:in|on)\s(?:(?:this|these|that)\s)?{_PICTURE}$")
_WHOLE = re.compile(r"\s*([+-]?\d+)\.0+\s*\Z", re.ASCII)


class Grade(NamedTuple):
    """Whether an answer is right (None: ungraded), and by which of the `RULES`."""

    correct: bool | None
    rule: str


def is_correct(
    answer: object,
    gold: object,
    question_type: str | None = None,
    options: Options | Sequence[str] | None = None,
) -> bool | None:
    """Decide whether an answer is right.

    Parameters
    ----------
    answer : str or None
        The answer or a short reply; what is no text is read as one.
    gold : str, list of str or None
        The right answer; with several, any of them is right.
    question_type : {"closed", "choice", "open"}, optional
        The gold answer of a closed question is read as yes or no by its first word; otherwise it
        is one where it is nothing else.
    options : Options or what `Options.read` takes, optional
        The options of a question.

    Returns
    -------
    bool or None
        None where answer or gold answer is empty, and where no rule decides.

    Examples
    --------
    >>> is_correct("No, there is no pneumothorax", "no")
    True
    >>> is_correct("B", "right lung", options=["left lung", "right lung"])
    True
    >>> is_correct("pneumonia", "cardiomegaly"), is_correct("pneumothorax (left)", "pneumothorax")
    (False, None)
    """
    return grade(answer, gold, question_type, options).correct


def grade(
    answer: object,
    gold: object,
    question_type: str | None = None,
    options: Options | Sequence[str] | None = None,
) -> Grade:
    """Grade an answer, and say by which rule.

    Parameters
    ----------
    answer, gold, question_type, options
        As of :func:`is_correct`.

    Examples
    --------
    >>> grade("The answer is B.", "B")
    Grade(correct=True, rule='letter')
    """
    text = stated_answer(_text(answer))
    golds = [stated_answer(_text(one)) for one in _several(gold)]
    shown = Options.read(options)
    # an option may be called as nothing is
    keys = {answer_key(one) for one in shown.texts} if shown else set()
    golds = [one for one in golds if answer_key(one) in keys or not is_nothing(one)]
    if not golds or not answer_key(text):
        return Grade(None, "empty")
    if is_nothing(text) and answer_key(text) not in keys:
        return Grade(None, "no answer")
    grades = [_against(text, one, question_type, shown) for one in golds]
    return min(grades, key=lambda one: (True, None, False).index(one.correct))


def grade_table(table: pd.DataFrame) -> pd.DataFrame:
    """Grade all answers of a table, each different case once.

    Parameters
    ----------
    table : DataFrame
        Columns ``answer`` and ``gold``, and ``question_type`` and ``options`` where they are known.
        A gold answer may be a list of texts, or one written as JSON.

    Returns
    -------
    DataFrame
        The table with the columns ``correct`` (boolean, missing where ungraded) and ``graded_by``
        (one of `RULES`). ``attrs["grading"]`` says how many were graded, and by which rules.

    Examples
    --------
    >>> answers = pd.DataFrame({"answer": ["Yes.", "No", "A scan"], "gold": ["yes", "yes", "scan"]})
    >>> graded = grade_table(answers)
    >>> graded["correct"].tolist(), graded["graded_by"].tolist()
    ([True, False, True], ['yes or no', 'yes or no', 'same words'])
    """
    names = [name for name in _ASKED if name in table]
    columns = []
    for name in names:
        cells = options_of(table[name]) if name == "options" else table[name]
        columns.append(cells.map(_hashable) if cells.dtype == object else cells)
    cases = pd.MultiIndex.from_arrays(columns)
    codes, different = cases.factorize()
    grades = [grade(**dict(zip(names, case, strict=True))) for case in different]
    right = pd.array([one.correct for one in grades], dtype="boolean")
    rules = pd.Categorical([one.rule for one in grades], categories=list(RULES))
    graded = table.assign(correct=right[codes], graded_by=rules[codes])
    graded.attrs = table.attrs | {"grading": _summary(graded)}
    return graded


# --- one answer against one gold answer ----------------------------------------------------------


def _against(
    text: str,
    gold: str,
    question_type: str | None,
    options: Options | None,
) -> Grade:
    """Grade a text that is not empty against one gold answer."""
    wanted = yes_no(gold) if question_type == "closed" or only_yes_no(gold) else None
    stated = wanted and yes_no(_unmarked(text))
    if stated:
        return Grade(stated == wanted, "yes or no")
    if options:
        right = options.index(gold)
        chosen = options.named(text)
        if right is not None and chosen:
            is_one = len(chosen) == 1
            return (
                Grade(right in chosen, "option") if is_one else Grade(None, "undecided")
            )
        if right is None:  # a number of an option, it may be: of which count?
            is_same = answer_key(text) == answer_key(gold)
            return Grade(True, "same words") if is_same else Grade(None, "undecided")
    elif by_letter := _by_letter(text, gold):
        return by_letter
    by_words = _by_words(_unmarked(text), gold)
    is_said = by_words.rule in ("same words", "denied")
    is_open = not (wanted or options)
    return by_words if is_said or is_open else Grade(None, "undecided")


def _by_letter(text, gold):
    """Grade by letters of options that are not known; None where letters play no part."""
    letter = option_letter(text)
    marked = _LETTER.match(gold)
    if marked is None:
        # nobody says what a letter stands for
        is_unknown = letter and len(answer_key(text)) == 1 < len(answer_key(gold))
        return Grade(None, "undecided") if is_unknown else None
    if letter is None:
        return None if marked[2] else Grade(None, "undecided")
    is_same = letter == marked[1].upper()
    shown = _LETTER.match(text)
    words = answer_key(shown[2] or "") if shown else ""
    expected = answer_key(marked[2] or "")
    if words and expected and (words == expected) != is_same:
        return Grade(None, "undecided")
    return Grade(is_same, "letter")


def _by_words(text, gold):
    """Grade by the words of both."""
    key = answer_key(text)
    wanted = answer_key(_unmarked(gold))
    if key == wanted:
        return Grade(True, "same words")
    if is_refusal(text):
        return Grade(None, "no answer")
    claim = _claim(key)
    expected = _claim(wanted)
    most = max(claim.denials, expected.denials)
    if claim.words and claim.words == expected.words and most < 2:
        is_same = claim.denials == expected.denials
        return Grade(is_same, "same words" if is_same else "denied")
    if _may_be_same(key, wanted) or (_is_normal(claim) and _is_normal(expected)):
        return Grade(None, "undecided")
    is_short = len(key.split()) <= MOST_WORDS
    return Grade(False, "other words") if is_short else Grade(None, "undecided")


def _may_be_same(key, gold):
    """Whether different answers may mean the same: a part of the other, other units, initials."""
    words = {*key.split()}
    wanted = {*gold.split()}
    if words <= wanted or words >= wanted or key.startswith("not "):
        return True
    units = _UNITS & words
    others = _UNITS & wanted
    if units and others and units != others:
        return True
    short, long = sorted((key, gold), key=len)
    initials = "".join(word[0] for word in long.split())
    return len(short) > 1 and short == initials


def _is_normal(claim):
    """Whether an answer denies a finding, or says that all is well."""
    return claim.words and (claim.denials or _NORMAL & {*claim.words})


class _Claim(NamedTuple):
    """What an answer is about, and how many words of it deny that."""

    words: list[str]
    denials: int


def _claim(key):
    """Take a key apart: what stands before and behind a finding goes, "no" and "without" count."""
    words = _DENIALS.sub("no", key).replace("without", "no with").split()
    about = [word for word in words if word not in _DENYING]
    plain = " ".join(about)
    for pattern in (_BEFORE, _OF_WHAT, _BEHIND, _WHERE, _BEHIND):
        plain = pattern.sub("", plain) or plain
    return _Claim(plain.split(), len(words) - len(about))


def _unmarked(text):
    """A text without the letter of an option before it."""
    marked = _LETTER.match(text)
    return marked[2] if marked and marked[2] else text


def _text(value):
    """A value as text; numbers as whole ones where they are, what is missing as ""."""
    if not isinstance(value, str):
        value = "" if pd.isna(value) else str(value)
    whole = _WHOLE.match(value)
    return whole[1] if whole else value


def _several(value):
    """What a cell holds: one value, or those of a list, which may be written as JSON."""
    if isinstance(value, str) and value.startswith("["):
        with suppress(ValueError, RecursionError):
            value = json.loads(value)
    return value if isinstance(value, (list, tuple, np.ndarray)) else [value]


def _hashable(value):
    """A value of a cell as one that can be compared and counted."""
    return tuple(value) if isinstance(value, (list, np.ndarray)) else value


def _summary(graded):
    """How many answers of a table were graded, and by which rules."""
    counts = graded["graded_by"].value_counts(sort=False)
    counts = counts[counts > 0]
    rules = "; ".join(f"{RULES[rule]} ({count:,})" for rule, count in counts.items())
    n_graded = graded["correct"].count()
    return (
        f"{n_graded:,} of {len(graded):,} answers graded: {rules}. {bench_sentence()}"
    )
