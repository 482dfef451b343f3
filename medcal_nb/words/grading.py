"""The one grader: is an answer right, by which rule, and what can no rule decide?

Answers and gold answers are compared as yes or no, as options, as numbers, or as words
(:func:`medcal_nb.words.answer_key`), never by substring: "no" is not found in "normal", nor
"lung" in "left lung". An answer is wrong only where a rule says so: another option, yes for no,
another number, denied, another member of a list whose members exclude one another. What no rule
decides is neither right nor wrong: it is ungraded, and counted. The rules are those of `RULES`.
"""

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd

from medcal_nb.words.by_option import by_letter, by_option
from medcal_nb.words.by_words import by_same, by_words
from medcal_nb.words.case import RULES, Case, Grade, unmarked
from medcal_nb.words.evidence import Evidence, evidence_of
from medcal_nb.words.key import answer_key, is_nothing
from medcal_nb.words.options import Options, options_of
from medcal_nb.words.parsing import answer_parts, stated_answer
from medcal_nb.words.says import is_refusal, only_yes_no, yes_no, yes_no_to
from medcal_nb.words.shares import likeliest, likeliest_named

#: Columns of a table that say how an answer is graded, where they are there.
_ASKED = ("answer", "gold", "question_type", "options", "question")
_WHOLE = re.compile(r"\s*([+-]?\d+)\.0+\s*\Z", re.ASCII)


def is_correct(
    answer: object,
    gold: object,
    question_type: str | None = None,
    options: Options | Sequence[str] | None = None,
    question: str | None = None,
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
    question : str, optional
        The question: a sentence that affirms or denies what it asks is a yes or a no.

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
    (False, True)
    >>> is_correct("glioma", "glioblastoma") is None
    True
    """
    return grade(answer, gold, question_type, options, question).correct


def grade(
    answer: object,
    gold: object,
    question_type: str | None = None,
    options: Options | Sequence[str] | None = None,
    question: str | None = None,
) -> Grade:
    """Grade an answer, and say by which rule.

    Parameters
    ----------
    answer, gold, question_type, options, question
        As of :func:`is_correct`.

    Examples
    --------
    >>> grade("The answer is B.", "B")
    Grade(correct=True, rule='letter')
    """
    text = _text(answer)
    golds = [stated_answer(_text(one)) for one in _several(gold)]
    shown = Options.read(options)
    # an option may be called as nothing is
    keys = {answer_key(one) for one in shown.texts} if shown else set()
    golds = [one for one in golds if answer_key(one) in keys or not is_nothing(one)]
    golds = [one for one in golds if one.strip()]
    if not golds or not answer_key(text):
        return Grade(None, "empty")
    asked = question if isinstance(question, str) else ""
    if shown is None and (inside := Options.in_question(asked)):
        is_one = all(inside.index(one) is not None for one in golds)
        shown = inside if is_one else None
    case = Case(answer_parts(text, asked), asked, question_type, shown)
    answers = [one for one in case.places if re.search(r"\w", one)]
    if all(is_nothing(one) and answer_key(one) not in keys for one in answers):
        return Grade(None, "no answer")
    grades = [_firmly(case, one) for one in golds]
    return min(grades, key=lambda one: (True, None, False).index(one.correct))


def grade_table(table: pd.DataFrame) -> pd.DataFrame:
    """Grade all answers of a table, each different case once.

    Parameters
    ----------
    table : DataFrame
        Columns ``answer`` and ``gold``, and ``question_type``, ``options`` and ``question`` where
        they are known. A gold answer may be a list of texts, or one written as JSON.

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
    codes: np.ndarray = np.array([], dtype=int)
    different = cases
    if len(cases):  # pandas 2 factorizes no empty index
        codes, different = cases.factorize()
    grades = [grade(**dict(zip(names, case, strict=True))) for case in different]
    right = pd.array([one.correct for one in grades], dtype="boolean")
    rules = pd.Categorical([one.rule for one in grades], categories=list(RULES))
    graded = table.assign(correct=right[codes], graded_by=rules[codes])
    graded.attrs = table.attrs | {"grading": _summary(graded)}
    return graded


#: The weakest evidence on which a verdict may stand.
WEAKEST = Evidence.INSIDE


def _firmly(case: Case, gold: str) -> Grade:
    """Grade a reply against one gold answer, undecided where too little of it is understood."""
    graded = _against(case, gold)
    if graded.correct is None:
        return graded

    def judged(part: str) -> bool | None:
        of_part = answer_parts(part, case.question)
        return _against(case._replace(parts=of_part), gold).correct

    is_firm = evidence_of(case, gold, graded.correct, judged) <= WEAKEST
    return graded if is_firm else Grade(None, "undecided")


def _against(case: Case, gold: str) -> Grade:
    """Grade a reply against one gold answer."""
    options = case.options
    wanted = yes_no(gold) if case.kind == "closed" or only_yes_no(gold) else None
    if case.is_unsettled:
        return Grade(None, "no answer")
    of_shares = None if case.parts.label else likeliest(case.parts.text, options)
    if of_shares and (options or wanted):
        if options and (right := options.index(gold)) is not None:
            return Grade(options.names[right] == of_shares.name, "option")
        return (
            Grade(of_shares.name == wanted, "yes or no")
            if wanted
            else Grade(None, "undecided")
        )
    if wanted and (stated := _stated_yes_no(case)):
        return Grade(stated == wanted, "yes or no")
    if options:
        return by_option(case, options, gold)
    if wanted and only_yes_no(gold):
        # "none" for "no"
        same = by_same(case.places[0], gold) if case.kind != "closed" else None
        if same:
            return same
        return Grade(None, "no answer" if is_refusal(case.parts.whole) else "undecided")
    named = None if case.parts.label else likeliest_named(case.parts.text)
    if named:
        case = case._replace(parts=answer_parts(named.name, case.question))
    return by_letter(case.places[0], gold) or by_words(case, gold)


def _stated_yes_no(case: Case) -> str | None:
    """What a reply says of yes and no."""
    parts = case.parts
    if parts.label is not None:
        return yes_no_to(case.question, unmarked(parts.label))
    said = yes_no_to(case.question, parts.concluded) if parts.concluded else None
    return said or yes_no_to(case.question, unmarked(parts.whole))


def _text(value: Any) -> str:
    """A value as text; numbers as whole ones where they are, what is missing as ""."""
    if not isinstance(value, str):
        value = "" if pd.isna(value) else str(value)
    whole = _WHOLE.match(value)
    return whole[1] if whole else value


def _several(value: Any) -> list:
    """What a cell holds: one value, or those of a list, which may be written as JSON.

    A list of numbers is one value: a box, a point, a range.
    """
    listed = value
    if isinstance(value, str) and value.startswith("["):
        with suppress(ValueError, RecursionError):
            listed = json.loads(value)
    if not isinstance(listed, list | tuple | np.ndarray):
        return [value]
    if len(listed) > 1 and not any(isinstance(one, str) for one in listed):
        return [value if isinstance(value, str) else json.dumps([*listed])]
    return [*listed]


def _hashable(value: Any) -> Any:
    """A value of a cell as one that can be compared and counted."""
    return tuple(value) if isinstance(value, (list, np.ndarray)) else value


def _summary(graded: pd.DataFrame) -> str:
    """How many answers of a table were graded, and by which rules."""
    counts = graded["graded_by"].value_counts(sort=False)
    counts = counts[counts > 0]
    rules = "; ".join(f"{RULES[rule]} ({count:,})" for rule, count in counts.items())
    n_graded = graded["correct"].count()
    return f"{n_graded:,} of {len(graded):,} answers graded: {rules}."
