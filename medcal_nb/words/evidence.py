"""How much of a reply a verdict on it explains.

A reply states its answer in its label, else in its conclusion, else in all of it. A verdict stands
firmly where each word of this statement is one of the question, of its options, of the gold answer
or of those by which answers are given, or where a first or last clause of this kind says the same.
It does not where the statement holds words of another kind, or turns: "but", "or", a doubt, another
option. What is said in a reply does not run out; so what is not understood is not judged.
"""

import re
from collections.abc import Callable, Iterable
from enum import IntEnum

from medcal_nb.words.case import Case
from medcal_nb.words.key import answer_key
from medcal_nb.words.lists import FILE, WORDS
from medcal_nb.words.meaning import FILLING, content_of, meaning_of
from medcal_nb.words.numbers import UNITS
from medcal_nb.words.parsing import labelled_values, trimmed
from medcal_nb.words.says import denies, only_yes_no, yes_no
from medcal_nb.words.species import SPECIES


class Evidence(IntEnum):
    """What a verdict stands on, from the firmest to none."""

    PLAIN = 0  # the statement says the answer and nothing else
    REASONS = 1  # a first or last clause does
    INSIDE = 2  # the answer stands among words that are not understood
    TURNED = 3  # something in it may turn it


_TURNING = re.compile(WORDS["turning"], re.IGNORECASE)
_STATING = frozenset(
    answer_key(word)
    for name in ("asking", "denying", "stating")
    for word in FILE["lists"][name].split()
)


def _stems(words: Iterable[str]) -> tuple[str, ...]:
    """What words begin with that their forms have in common."""
    return tuple(word[: max(4, len(word) - 2)] for word in words if len(word) > 3)


_STEMS = _stems(_STATING)
#: Between clauses; the points of numbers and of "E. coli" are none.
_CLAUSE = re.compile(r"[,;:()\n]\s*|(?<!\b[A-Z])[.!]\s+|\s[-–—]+\s|(?<=[。，！])")
_LETTER = re.compile(r"(?<![\w.'-])([A-H])(?=[):\]\"])")
_SIGNS = frozenset(WORDS["yes_cjk"] + WORDS["no_cjk"] + WORDS["denying_cjk"])
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
#: More clauses are not looked at.
_MOST = 24


def evidence_of(
    case: Case, gold: str, verdict: bool, judged: Callable[[str], bool | None]
) -> Evidence:
    """Say what a verdict on a reply stands on.

    Parameters
    ----------
    case : Case
    gold : str
    verdict : bool
        Whether the reply was graded as right.
    judged : callable
        The verdict on a part of the reply by itself.
    """
    parts = case.parts
    statement = parts.label or parts.concluded or parts.whole
    # what follows it may take it back, also where it is cut off as a reason or a confidence
    text = parts.text
    behind = text[text.rfind(statement) :] if statement in text else text
    about = _about(case, gold)
    if _turns(case, behind, about):
        return Evidence.TURNED
    says_yes = only_yes_no(gold) and verdict == (yes_no(gold) == "yes")
    if says_yes and (denies(behind) or "{" in statement):
        return Evidence.TURNED
    if _is_explained(statement, about, case):
        return Evidence.PLAIN
    if _has_rivals(case, statement):
        return Evidence.TURNED
    asked = answer_key(case.question)
    clauses = [
        one
        for one in _CLAUSE.split(statement)
        if re.search(r"\w", one) and answer_key(one) not in asked
    ]
    said = [(one, judged(one)) for one in clauses[:_MOST]]
    if any(one is not None and one != verdict for _, one in said):
        return Evidence.TURNED
    is_said = any(
        one == verdict and _is_explained(clause, about, case) for clause, one in said
    )
    return Evidence.REASONS if is_said else Evidence.INSIDE


def _about(case: Case, gold: str) -> str:
    """The question, its options and the gold answer in one text."""
    options = case.options.texts if case.options else ()
    return "\n".join([case.question, gold, *options])


def _turns(case: Case, text: str, about: str) -> bool:
    """Whether a word may turn what a text says, or the labels of a reply say several things."""
    known = about.casefold()
    if any(one[0].casefold() not in known for one in _TURNING.finditer(text)):
        return True
    labels = {answer_key(trimmed(one)) for one in labelled_values(case.parts.text)}
    return len(labels - {""}) > 1


def _has_rivals(case: Case, statement: str) -> bool:
    """Whether a statement names more than one of the options."""
    if not case.options:
        return False
    names = case.options.names
    letters = {names.index(one) for one in _LETTER.findall(statement) if one in names}
    return len(letters | case.options.inside(statement)) > 1


def _is_explained(text: str, about: str, case: Case) -> bool:
    """Whether a text holds no word beyond what it is about and those that state an answer."""
    meaning = meaning_of(answer_key(SPECIES.sub(" ", text)), is_whole=False)
    key = answer_key(about)
    known = {*key.split(), *meaning_of(key, is_whole=False).split()}
    stems = _stems(known) + _STEMS
    content = content_of(meaning)
    # members of a list exclude one another, but for those of options
    others = {*meaning.split()} - FILLING if case.options else content.others
    is_number = re.search(r"\d", about) is not None
    return not any(
        len(word) > 1
        and not word.startswith(stems)
        and not only_yes_no(word)
        and not (_CJK.search(word) and {*word} <= {*about, *_SIGNS})
        and not (is_number and (word[0].isdigit() or word in UNITS))
        for word in others - known - _STATING
    )
