"""The one grader: is an answer right, by which rule, and what can no rule decide?

Answers and gold answers are compared as yes or no, as options, or as words
(:func:`medcal_nb.answer_key.answer_key`), never by substring: "no" is not found in "normal", nor
"lung" in "left lung". What no rule decides is neither right nor wrong: it is ungraded, and
counted. The rules are those of `RULES`.
"""

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd

from medcal_nb.answer_key import answer_key

#: What each rule says, in the order in which they are shown.
RULES = {
    "yes or no": "read as yes or no, by the first word or the one that ends a clause",
    "option": "read as one of the options, by its words or its letter",
    "letter": "the same or another letter of an option",
    "same words": "the same words, without case, marks, articles and plurals",
    "other words": "at most four words, other than those of the gold answer",
    "partial": "ungraded: the words of one are a part of the other's",
    "no answer": "ungraded: a refusal",
    "undecided": "ungraded: no rule decides",
    "empty": "ungraded: no answer, or no gold answer",
}

#: An answer of more words that differs from the gold one may say the same in other words.
MOST_WORDS = 4

#: Columns of a table that say how an answer is graded, where they are there.
_ASKED = ("answer", "gold", "question_type", "options")

# words for yes and no, of Latin, Cyrillic and other scripts, and signs that begin an answer
_YES = (
    "yes|yeah|yep|yup|true"
    "|oui|ja|jawohl|sí|si|sì|sim|tak|evet|kyllä|ano|igen|ya|vâng"
    "|да|так"
    "|نعم|हाँ|हां|ใช่|ναι|כן"
)
_NO = (
    "no|nope|nah|false"
    "|non|nein|nee|não|nao|nie|hayır|hayir|nej|nei|ei|nem|tidak|không"
    "|нет|ні"
    "|لا|नहीं|ไม่|όχι|לא"
)
_CJK_YES = "是的|是|有|对|對|能|はい|ええ|예|네|그렇습니다"
_CJK_NO = "不是|没有|沒有|不能|不|否|无|無|いいえ|いえ|ない|아니요|아니오|아뇨|아니"
_OPTION = "option|choice|answer|letter|opción|opção|réponse|antwort|вариант|选项|选|選"
_REFUSAL = re.compile(
    r"\W*(?:i(?:'m|\s+am)\s+(?:sorry|unable|not\s+(?:able|sure))"
    r"|(?:i\s+)?do(?:\s+not|n't)\s+know"
    r"|(?:i\s+)?(?:can(?:'t|\s?not)|could(?:n't|\s+not))\b"
    r"|sorry\b|as\s+an\s+ai|(?:un|not\s+)able\s+to"
    r"|(?:it\s+is\s+)?(?:not\s+possible|impossible)\s+to"
    r"|n/a\b|not?\s+(?:answer|idea|response|sure)\b"
    r"|(?:unknown|unsure|unclear|undetermined|indeterminate)\W*$"
    r"|无法|不能|抱歉|je\s+ne\s+peux|ich\s+kann\s+nicht|no\s+puedo|não\s+posso|не\s+могу)",
    re.IGNORECASE,
)
_YES_WORD, _NO_WORD = (
    re.compile(rf"(?:{words})(?![\w-])|(?:{signs})|{letter}(?=[\s.)]*$)", re.IGNORECASE)
    for words, signs, letter in ((_YES, _CJK_YES, "y"), (_NO, _CJK_NO, "n"))
)
_BOTH = re.compile(
    r"\byes\s*(?:/|or|and|\||\?)\s*no\b|\bno\s*(?:/|or|and|\|)\s*yes\b", re.I
)
_INSIDE = re.compile(
    r"(?<![\w-])(?<!not )(yes|no)(?=\s*(?:[.,;:!)\]\"']|\n|$))", re.IGNORECASE
)
_IS_YES_NO = re.compile(rf"\W*(?:{_YES}|{_NO}|{_CJK_YES}|{_CJK_NO})\W*", re.I).fullmatch
_ENDS = r"\s*(?:[.):,\]|;!-](?!\w)|[.):](?=\w)|$|\n|\(\d|\d{1,3}\s*(?:%|$)|is\b)"
#: "(B)", "Option B", "B. left lung"; "I would choose B"; "left lung (B)".
_LETTER_FORMS = [
    re.compile(form, re.IGNORECASE)
    for form in (
        rf"(?:(?:{_OPTION})\s*:?\s*)?(?:[(\[]\s*([A-Z])\s*[)\]]|([A-Z])(?={_ENDS}))",
        r"(?:\W*(?:i|the|it|is|think|choose|pick|select|answer|option|correct|best|my|would|be|go"
        r"|with|say|most|likely)\W+){0,8}[(\[]?\s*([A-Z])\s*[)\]]?\W*$",
        r".*[^\W\d].*\(([A-Z])\)\W*$",
    )
]
_TWO = re.compile(
    r"[(\[]?[A-Z][)\]]?\s*(?:,|/|and|or|&|\+)\s*[(\[]?[A-Z][)\]]?(?![\w'])", re.I
)
_LISTED = re.compile(r"(?<!\w)([A-Z])[:.)]\s")
#: "A is wrong" rejects it, and "A is …" may be an article gone astray.
_ASTRAY = re.compile(r"\s*is\b(?!\s+(?:the\s+)?(?:correct|right|best|answer)\b)")
_REJECTING = frozenset(("not", "no", "without", "isnt", "rather", "cannot", "cant"))
_THOUGHT = re.compile(r"\A.*</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
_MARKUP = re.compile(r"[*`$]+|\\(?:boxed|text)\s*\{([^{}]*)\}")
_LEAD = re.compile(
    r"(?:(?:\A|[\n.])\W*(?:(?:so|the|my|final|correct|best|short)\s+){0,3}"
    r"answer\s*(?:is|would\s+be|[:=])|\A\W*(?:it|this)(?:\s+is|'s)\b)"
    r"[\s:]*(?P<rest>[^\n]*\w[^\n]*)",
    re.IGNORECASE,
)
#: "B", "(b)", "B)", "B. right lung": a letter, and what stands behind it.
_LETTER = re.compile(r"\W*([A-Za-z])(?:\s*[).:](?:\s*(.*))?|\W*)$", re.DOTALL)
_WHOLE = re.compile(r"\s*([+-]?\d+)\.0+\s*\Z", re.ASCII)


class Grade(NamedTuple):
    """Whether an answer is right (None: ungraded), and by which of the `RULES`."""

    correct: bool | None
    rule: str


def is_correct(
    answer: object,
    gold: object,
    question_type: str | None = None,
    options: Sequence[str] | None = None,
    *,
    exact: bool = False,
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
    options : list of str, optional
        The options of a question, in the order they were shown.
    exact : bool
        The answer was asked for in a few words: one that is not the gold answer is wrong, where
        its words are a part of it or more of them too, as benchmarks score by exact match.

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
    graded = grade(answer, gold, question_type, options)
    is_compared = graded.rule in ("partial", "undecided")
    return False if exact and is_compared else graded.correct


def grade(
    answer: object,
    gold: object,
    question_type: str | None = None,
    options: Sequence[str] | None = None,
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
    text = _answer_text(_text(answer))
    golds = [_answer_text(_text(one)) for one in _several(gold)]
    golds = [one for one in golds if answer_key(one)]
    if not golds or not answer_key(text):
        return Grade(None, "empty")
    shown = [_text(one) for one in _several(options)]
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
        (one of `RULES`). ``attrs["grading"]`` is a dictionary: "text", how was graded and what
        was not; "counts", answers by rule; "pairs", ten graded pairs, of as many rules as occur.

    Examples
    --------
    >>> answers = pd.DataFrame({"answer": ["Yes.", "No", "A scan"], "gold": ["yes", "yes", "scan"]})
    >>> graded = grade_table(answers)
    >>> graded["correct"].tolist(), graded.attrs["grading"]["counts"]
    ([True, False, True], {'yes or no': 2, 'same words': 1})
    """
    names = [name for name in _ASKED if name in table]
    cases = pd.MultiIndex.from_arrays([table[name].map(_hashable) for name in names])
    codes, different = cases.factorize()
    grades = [grade(**dict(zip(names, case, strict=True))) for case in different]
    right = pd.array([one.correct for one in grades], dtype="boolean")
    rules = pd.Categorical([one.rule for one in grades], categories=list(RULES))
    graded = table.assign(correct=right[codes], graded_by=rules[codes])
    _, first = np.unique(codes, return_index=True)
    graded.attrs = table.attrs | {"grading": _summary(graded, np.sort(first))}
    return graded


def yes_no(text: str) -> str | None:
    """Return "yes", "no" or None for a short text, by its first word or a lone word inside.

    The first word counts, in any of some twenty languages ("No evidence of …" is "no"); failing
    that, a "yes" or "no" that ends a clause ("I would say yes."), if only one of them does.

    Examples
    --------
    >>> yes_no("No evidence of a fracture.")
    'no'
    """
    text = re.sub(r"^[\W_]+", "", text)
    if not text or _BOTH.match(text):
        return None
    if _NO_WORD.match(text):
        return "no"
    if _YES_WORD.match(text):
        return "yes"
    inside = {match[1].lower() for match in _INSIDE.finditer(text)}
    return inside.pop() if len(inside) == 1 and not _BOTH.search(text) else None


def is_refusal(text: str) -> bool:
    """Tell whether a text declines to answer.

    Examples
    --------
    >>> is_refusal("I can't tell from this image."), is_refusal("none")
    (True, False)
    """
    return _REFUSAL.match(text) is not None


def option_letter(text: str, n: int = 26) -> str | None:
    """Return the option letter that a short text names, among the first `n`, or None.

    Examples
    --------
    >>> option_letter("(b)", 4)
    'B'
    """
    text = text.strip()[:500]
    # two letters are no choice, nor is the whole list
    if _TWO.match(text) or len(set(_LISTED.findall(text.upper()))) > 1:
        return None
    for form in _LETTER_FORMS:
        if match := form.match(text):
            letter = match[match.lastindex].upper()
            is_one = ord(letter) - ord("A") < n and not _ASTRAY.match(text, match.end())
            return letter if is_one else None
    return None


def option_index(text: str, options: Sequence[str]) -> int | None:
    """Return the index of the one option that a text names, or None.

    It is named by its words alone, by its letter ("B", "(b)", "B. left lung", "The answer is B")
    or by its words among others, unless the words before reject it. Where a letter and a text
    disagree, the letter counts; two options are no choice. An option inside a longer one ("lung"
    in "left lung") is not meant by the longer one's words.

    Examples
    --------
    >>> option_index("It is the right lung.", ["left lung", "right lung"])
    1
    """
    key = answer_key(text)
    keys = [answer_key(option) for option in options]
    same = [i for i, option in enumerate(keys) if option == key]
    if len(same) > 1:  # options that differ in case or an article only
        same = [i for i in same if options[i].strip() == text.strip()]
    if len(same) == 1:
        return same[0]
    if letter := option_letter(text, len(options)):
        return ord(letter) - ord("A")
    inside = list(_any_of(tuple(keys)).finditer(key))
    named = {match[0] for match in inside}
    if len(named) != 1 or keys.count(inside[0][0]) != 1:
        return None
    is_rejected = _REJECTING & set(key[: inside[0].start()].split()[-3:])
    return None if is_rejected else keys.index(inside[0][0])


@lru_cache(maxsize=4096)
def _any_of(keys):
    """What finds any of several texts as whole words, a longer one before those inside it."""
    longest = sorted(filter(None, keys), key=len, reverse=True)
    return re.compile(rf"(?<!\S)(?:{'|'.join(map(re.escape, longest))})(?!\S)(?<=\S)")


# --- one answer against one gold answer ----------------------------------------------------------


def _against(
    text: str,
    gold: str,
    question_type: str | None,
    options: list[str],
) -> Grade:
    """Grade a text that is not empty against one gold answer."""
    wanted = yes_no(gold) if question_type == "closed" or _IS_YES_NO(gold) else None
    stated = wanted and yes_no(_unmarked(text))
    if stated:
        return Grade(stated == wanted, "yes or no")
    if any(options):
        right = option_index(gold, options)
        chosen = option_index(text, options)
        if right is not None and chosen is not None:
            return Grade(chosen == right, "option")
        if right is None:  # a number of an option, it may be: of which count?
            is_same = answer_key(text) == answer_key(gold)
            return Grade(True, "same words") if is_same else Grade(None, "undecided")
    elif by_letter := _by_letter(text, gold):
        return by_letter
    return Grade(None, "undecided") if wanted else _by_words(_unmarked(text), gold)


def _by_letter(text, gold):
    """Grade by letters of options that are not known; None where letters play no part."""
    letter = option_letter(text)
    marked = _LETTER.match(gold)
    is_letter = letter is not None and len(answer_key(text)) == 1
    is_word = len(answer_key(gold)) > 1
    if marked is None and is_letter and is_word:
        return Grade(None, "undecided")  # nobody says what the letter stands for
    if marked is None or (letter is None and marked[2]):
        return None
    if letter is None:
        return Grade(None, "undecided")
    shown = _LETTER.match(text)
    words = answer_key(shown[2] or "") if shown else ""
    expected = answer_key(marked[2] or "")
    is_same = letter == marked[1].upper()
    if words and expected and (words == expected) != is_same:
        return Grade(None, "undecided")
    return Grade(is_same, "letter")


def _by_words(text, gold):
    """Grade by the words of both."""
    key = answer_key(text)
    expected = {answer_key(gold), answer_key(_unmarked(gold))}
    if key in expected:
        return Grade(True, "same words")
    if is_refusal(text):
        return Grade(None, "no answer")
    words = set(key.split())
    if any(words <= set(one.split()) or words >= set(one.split()) for one in expected):
        return Grade(None, "partial")
    is_short = len(key.split()) <= MOST_WORDS
    return Grade(False, "other words") if is_short else Grade(None, "undecided")


def _unmarked(text):
    """A text without the letter of an option before it."""
    marked = _LETTER.match(text)
    return marked[2] if marked and marked[2] else text


def _answer_text(text):
    """What a reply gives as its answer, without mark-up and words that lead to it."""
    text = _MARKUP.sub(r" \1 ", _THOUGHT.sub("", text))
    leads = list(_LEAD.finditer(text))
    return leads[-1]["rest"] if leads else text


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


def _summary(graded, different):
    """How a table was graded: in words, in counts, and by ten of its `different` cases."""
    counts = graded["graded_by"].value_counts(sort=False)
    counts = counts[counts > 0].to_dict()
    n = len(graded)
    n_graded = int(graded["correct"].count())
    rules = "; ".join(f"{RULES[rule]} ({count:,})" for rule, count in counts.items())
    text = f"{n_graded:,} of {n:,} answers graded: {rules}."
    columns = ["answer", "gold", "correct", "graded_by"]
    pairs = graded.iloc[different][columns].astype(object)
    nth_of_its_rule = pairs.groupby(["graded_by", "correct"], dropna=False).cumcount()
    pairs = pairs.iloc[nth_of_its_rule.argsort(kind="stable")[:10]]
    pairs = pairs.where(pairs.notna(), None)
    return {"text": text, "counts": counts, "pairs": pairs.to_dict("records")}
