"""The one grader: is an answer right, by which rule, and what can no rule decide?

Answers and gold answers are compared as yes or no, as options, as numbers, or as words
(:func:`medcal_nb.words.answer_key`), never by substring: "no" is not found in "normal", nor
"lung" in "left lung". An answer is wrong only where a rule says so: another option, yes for no,
another number, denied, another member of a list whose members exclude one another. What no rule
decides is neither right nor wrong: it is ungraded, and counted. The rules are those of `RULES`.
"""

import json
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from medcal_nb.words.claims import Claim, claim_of
from medcal_nb.words.key import answer_key, is_nothing
from medcal_nb.words.lists import FILE, WORDS
from medcal_nb.words.meaning import (
    Content,
    content_of,
    content_words,
    differ,
    excluded_by,
    meaning_of,
    says_more,
)
from medcal_nb.words.numbers import codes, compared, quantities
from medcal_nb.words.options import (
    Options,
    is_list_of_options,
    option_letter,
    options_of,
)
from medcal_nb.words.parsing import Parts, answer_parts, stated_answer
from medcal_nb.words.says import is_refusal, only_yes_no, yes_no, yes_no_to
from medcal_nb.words.shares import likeliest
from medcal_nb.words.species import species_compared

#: What each rule says, in the order in which they are shown.
RULES = {
    "yes or no": "read as yes or no, by the first word, the one that ends a clause, or a sentence "
    "that affirms or denies what is asked",
    "option": "read as one of the options, by its words or its letter",
    "letter": "the same or another letter of an option",
    "same words": "the same words, without case, marks, articles and plurals",
    "same meaning": "other words for the same, or the same with a detail more",
    "number": "the same or another number, in whatever unit",
    "denied": "one says what the other denies",
    "another of a list": "another side, organ, modality, finding, species …, and no word beside",
    "no answer": "ungraded: a refusal, an error, or a word for nothing",
    "undecided": "ungraded: no rule decides, as where the words of one are a part of the other's",
    "empty": "ungraded: no answer, or no gold answer",
}

#: Columns of a table that say how an answer is graded, where they are there.
_ASKED = ("answer", "gold", "question_type", "options", "question")

#: "B", "(b)", "B)", "B. right lung": a letter, and what stands behind it.
_LETTER = re.compile(r"\W*([A-Za-z])(?:\s*[).:](?:\s*(.*))?|\W*)$", re.DOTALL)
#: Two answers are no choice; neither is "lymphoma cannot be excluded".
_OPEN = re.compile(FILE["open"].replace("\n", ""), re.IGNORECASE)
#: "class B", "Child-Pugh B", "Stanford type B": a letter behind a word for classes.
_CLASS = re.compile(
    r"\b(?:class|type|grade|stage|category|group|pugh|stanford|score|answer|option)\s+([A-Z])\b",
    re.I,
)
#: "yes, left": an answer to a question with "or".
_SAID_YES = re.compile(r"^\W*(?:yes|ja|oui|sí|sì)\s*,\s*(?=\w)", re.I)
#: Words for whatever may be found, and lists of findings.
_ANYTHING = frozenset(answer_key(word) for word in FILE["lists"]["anything"].split())
_FINDINGS = frozenset(("diagnosis", "tumour", "histology", "fracture_name"))
#: A list of several: "1. Sarcoidosis 2. Tuberculosis".
_NUMBERED = re.compile(r"^\s*1[.)]\s.*\s2[.)]\s", re.DOTALL)
_BRACKETS = re.compile(r"\s*\([^()]*\)?")
#: How a reply ends that cannot decide, or that is cut off within a sentence.
_UNSETTLED = re.compile(WORDS["unsettled"], re.I)
_CUT_OFF = re.compile(
    r"\b(?:the|an?|of|in|on|is|are|be|would|could|and|or|with|to|by|for|as|that|which|from)\s*$",
    re.I,
)
#: "A) Glioma: …": an option, and what speaks for or against it.
_DISCUSSED = re.compile(r"\W*[A-H]\s*[).]\s*[^:\n]{1,60}:\s")
#: What is rejected for the answer: "a cyst, not an abscess", "rather than an abscess".
_REJECTED = re.compile(
    r"(?:,?\s+(?:rather than|more likely than|instead of)|,\s+(?:and\s+|but\s+)?not)\s+"
    r"(?P<what>[^.;]+)$",
    re.I,
)
#: "not an abscess but a cyst", "Not the right; the left"
_INSTEAD = re.compile(
    r"^\W*(?:(?:it|this)\s+is\s+)?(?:not|kein\w*|no|non|pas)\s[^,;.]*?(?:,?\s+(?:but|sondern|sino|mais|ma)(?:\s+rather)?|;)\s+",
    re.I,
)
#: Reasons, and what a finding comes with, behind it.
_BECAUSE = re.compile(
    r"(?:,?\s+(?:because|since|given|due to|as (?:the|there|it|this|in))\b"
    r"|,?\s+(?:i\.e\.|that is,|namely)).*$",
    re.I | re.S,
)
_WITH = re.compile(r"\s+(?:with|and (?:maybe|possibly|perhaps))\s.*$", re.I | re.S)
#: A capital letter by itself.
_ONE_LETTER = re.compile(r"(?<![\w.-])[A-HJ-Z](?![\w.'-])")
#: "None of the above", "neither".
_NO_OPTION = re.compile(r"\W*none of (?:the above|the options|these|them)\b", re.I)
_NONE = re.compile(r"\W*(?:none|neither)\b", re.I)
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
    if not golds or not answer_key(text):
        return Grade(None, "empty")
    asked = question if isinstance(question, str) else ""
    case = _Case(answer_parts(text, asked), asked, question_type, shown)
    answers = [one for one in case.places if re.search(r"\w", one)]
    if all(is_nothing(one) and answer_key(one) not in keys for one in answers):
        return Grade(None, "no answer")
    grades = [_against(case, one) for one in golds]
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
    codes, different = cases.factorize()
    grades = [grade(**dict(zip(names, case, strict=True))) for case in different]
    right = pd.array([one.correct for one in grades], dtype="boolean")
    rules = pd.Categorical([one.rule for one in grades], categories=list(RULES))
    graded = table.assign(correct=right[codes], graded_by=rules[codes])
    graded.attrs = table.attrs | {"grading": _summary(graded)}
    return graded


# --- one answer against one gold answer ----------------------------------------------------------


class _Case(NamedTuple):
    """A reply that is not empty, with what is known of its question ("" where it is not)."""

    parts: Parts
    question: str
    kind: str | None
    options: Options | None

    @property
    def is_unsettled(self) -> bool:
        """Whether it ends by saying that it cannot decide, or is cut off before it answers."""
        parts = self.parts
        if parts.label is not None:  # "Confidence: 80%\nAnswer: N"
            is_one = len(parts.label) == 1 and not self.options
            return (
                is_one
                and parts.text.count("\n") > 0
                and parts.text.endswith(parts.label)
            )
        is_discussion = self.options is not None and _DISCUSSED.match(parts.text)
        return bool(
            _UNSETTLED.search(parts.whole)
            or (is_discussion and _CUT_OFF.search(parts.whole))
        )

    @property
    def places(self) -> list[str]:
        """Where the answer may stand: the label, else a conclusion, the first sentence, all."""
        parts = self.parts
        if parts.label is not None:
            return [parts.label]
        if parts.concluded:
            return [parts.concluded]
        return [part for part in (parts.first, parts.whole) if part] or [""]


def _against(case: _Case, gold: str) -> Grade:
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
        return _by_option(case, options, gold)
    if wanted and only_yes_no(gold):
        # "none" for "no"
        same = _by_same(case.places[0], gold) if case.kind != "closed" else None
        if same:
            return same
        return Grade(None, "no answer" if is_refusal(case.parts.whole) else "undecided")
    return _by_letter(case.places[0], gold) or _by_words(case, gold)


def _stated_yes_no(case: _Case) -> str | None:
    """What a reply says of yes and no."""
    parts = case.parts
    if parts.label is not None:
        return yes_no_to(case.question, _unmarked(parts.label))
    said = yes_no_to(case.question, parts.concluded) if parts.concluded else None
    return said or yes_no_to(case.question, _unmarked(parts.whole))


def _by_option(case: _Case, options: Options, gold: str) -> Grade:
    """Grade by the option that a reply names."""
    right = options.index(gold)
    places = case.places
    if right is None:  # a number of an option, it may be: of which count?
        is_same = any(answer_key(part) == answer_key(gold) for part in places)
        return Grade(True, "same words") if is_same else Grade(None, "undecided")
    is_list = is_list_of_options(case.parts.whole)
    if is_list and (said := _verdicts(case.parts.whole)):
        return Grade(options.names[right] == said, "option")
    shorter = [] if is_list else _shorter(places[-1])
    for part in [
        *(places if not is_list or len(places) == 1 else places[1:]),
        *shorter,
    ]:
        named = options.named(part) or _meant(options, part)
        if len(named) == 1:
            return Grade(right in named, "option")
        # "Cancer (arising in a polyp)" is read without its brackets, "A (polyp)" is not
        if named and (is_list or option_letter(part)):
            return Grade(None, "undecided")
    ended = (
        options.named(case.parts.last)
        if case.parts.last and not is_list
        else frozenset()
    )
    if len(ended) == 1:
        return Grade(right in ended, "option")
    if _NO_OPTION.match(places[0]):
        return Grade(False, "denied")
    for rule in (_by_claim, _by_lists):  # denied, or outside of the options
        graded = rule(places[0], options.texts[right])
        if graded and graded.correct is False:
            return graded
    return Grade(None, "undecided")


def _verdicts(text: str) -> str | None:
    """The one letter that a list of options says yes to: "A: no. B: yes."."""
    said = re.findall(r"\b([A-Z])\W{1,3}(yes|no)\b", text, re.I)
    letters = [letter.upper() for letter, word in said if word.lower() == "yes"]
    return letters[0] if len(letters) == 1 and len(said) > 1 else None


def _meant(options: Options, text: str) -> frozenset[int]:
    """The options that a text means in other words, or by another number."""
    claim = claim_of(answer_key(text))
    meaning = meaning_of(" ".join(claim.words))
    same = set()
    for i, option in enumerate(options.texts):
        is_number = quantities(option) and quantities(text) and compared(text, option)
        same_meaning = meaning_of(answer_key(option))
        is_meant = meaning == same_meaning or says_more(meaning, same_meaning)
        if is_number or (not claim.denials and is_meant):
            same.add(i)
    if not same and _NONE.match(text):
        same = {i for i, option in enumerate(options.texts) if _NONE.match(option)}
    return frozenset(same)


def _by_letter(text: str, gold: str) -> Grade | None:
    """Grade by letters of options that are not known; None where letters play no part."""
    same = _by_same(text, gold)
    if same and same.rule == "same meaning":  # "L" for "left"
        return None
    letter = option_letter(text)
    marked = _LETTER.match(gold)
    if marked is None:
        # nobody says what a letter stands for
        is_unknown = letter and len(answer_key(text)) == 1 < len(answer_key(gold))
        return Grade(None, "undecided") if is_unknown else None
    behind = marked[2] or ""
    if species_compared(text, gold) is not None:  # "C. difficile" is no letter
        return None
    if letter is None:
        return None if behind else _of_a_class(text, gold)
    is_same = letter == marked[1].upper()
    shown = _LETTER.match(text)
    words = answer_key(shown[2] or "") if shown else ""
    expected = answer_key(behind)
    if (
        expected
        and len(answer_key(text)) == 1
        and not re.match(r"\W*[A-Za-z]\s*[):]", gold)
    ):
        return Grade(None, "undecided")  # "B" for "B. henselae"
    if words and expected and (words == expected) != is_same:
        return Grade(None, "undecided")
    return Grade(is_same, "letter")


def _of_a_class(text: str, gold: str) -> Grade:
    """Grade "Child-Pugh B" for "B": the one letter behind a word for classes."""
    classes = {match.upper() for match in _CLASS.findall(text)}
    if len(classes) != 1:
        return Grade(None, "undecided")
    return Grade(classes == {gold.strip().upper()}, "letter")


def _by_words(case: _Case, gold: str) -> Grade:
    """Grade by numbers, species and words, in the first part of a reply that decides."""
    wanted = _unmarked(gold)
    if is_refusal(case.places[0]):
        return Grade(None, "no answer")
    is_open = _OPEN.search(" ".join(case.places)) or _NUMBERED.search(case.places[-1])
    for part in case.places:
        graded = _by_rules(part, wanted, case.question)
        if graded and (not is_open or graded.rule in ("same words", "denied")):
            return graded
    if is_open and _NUMBERED.search(case.places[-1]):
        return _of_a_list(case.places[-1], wanted)
    for part in _shorter(case.places[-1]):
        graded = _by_rules(part, wanted, case.question)
        if graded and not _OPEN.search(part):
            return graded
    rejected = _REJECTED.search(case.places[-1])
    if rejected and _is_of(rejected["what"], wanted):
        return Grade(False, "denied")
    # a last sentence that says something else may be about something else
    graded = (
        _by_rules(case.parts.last, wanted, case.question)
        if case.parts.last and not _OPEN.search(" ".join(case.places))
        else None
    )
    return graded if graded and graded.correct else Grade(None, "undecided")


def _shorter(part: str) -> list[str]:
    """A part without what stands beside its answer: brackets, what is rejected, reasons."""
    shorter = []
    for pattern in (_BRACKETS, _REJECTED, _INSTEAD, _BECAUSE, _WITH):
        text = pattern.sub("", part)
        if text != part and re.search(r"\w", text):
            shorter.append(text)
        part = text
    return shorter


def _is_of(text: str, gold: str) -> bool:
    """Whether a text means the gold answer, or the last word of it."""
    meanings = [
        meaning_of(" ".join(claim_of(answer_key(one)).words)) for one in (text, gold)
    ]
    return bool(meanings[0]) and (
        meanings[0] == meanings[1] or meanings[1].endswith(" " + meanings[0])
    )


def _of_a_list(text: str, gold: str) -> Grade:
    """Grade "1. Effusion 2. Fracture" for "effusion, fracture"."""
    lines = re.split(r"(?:^|\s)\d[.)]\s", text)
    same = _by_same(", ".join(line.strip() for line in lines if line.strip()), gold)
    return same if same and len(_members(gold)) > 1 else Grade(None, "undecided")


def _by_rules(part: str, gold: str, question: str = "") -> Grade | None:
    """What the first rule says that decides; None where none does."""
    text = _SAID_YES.sub("", _unmarked(part))
    grades = [rule(text, gold) for rule in _OF_WORDS]
    first = next((graded for graded in grades if graded), None)
    if first is None and question:
        return _by_lists(text, gold, question)
    return first if first and first.correct is not None else None


def _by_same(text: str, gold: str) -> Grade | None:
    """The same words, in whatever order where both are lists."""
    key = answer_key(text)
    wanted = answer_key(gold)
    if key == wanted:
        return Grade(True, "same words")
    if meaning_of(key) == meaning_of(wanted):
        return Grade(True, "same meaning")
    if gold.startswith(("[", "{")):
        return None
    # "cancer of the lung" is "lung cancer"
    words = [content_words(meaning_of(one)) for one in (key, wanted)]
    if "of" in f"{key} {wanted}".split() and words[0] == words[1]:
        return Grade(True, "same meaning")
    lists = [_members(one) for one in (text, gold)]
    is_same = len(lists[1]) > 1 and lists[0] == lists[1]
    return Grade(True, "same meaning") if is_same else None


def _members(text: str) -> frozenset[str]:
    """The meanings of what a list names."""
    parts = re.split(r",\s|;|\n|\band\b|\bund\b|\bet\b|&", text)
    return frozenset(meaning_of(answer_key(part)) for part in parts if answer_key(part))


def _by_number(text: str, gold: str) -> Grade | None:
    """Grade by numbers, where the gold answer holds any."""
    if differ(
        content_of(meaning_of(answer_key(text))),
        content_of(meaning_of(answer_key(gold))),
    ):
        return None  # "HER2 negative" for "HER2 positive"
    if named := codes(gold):
        answered = codes(text)
        if answered == named:
            return Grade(True, "number")
        if {one.rstrip("abcdef") for one in answered} == named:
            return Grade(None, "undecided")  # "T3b" for "T3"
        is_other = answered and not answered & named and len(answered) == len(named)
        return Grade(False, "number") if is_other else Grade(None, "undecided")
    if not quantities(gold):
        return None
    is_same = compared(text, gold)
    if answer_key(text).split()[:1] == ["no"] or is_same is None:
        return Grade(None, "undecided")
    words = re.findall(r"[^\W\d_]{3,}", gold)
    if (
        is_same
        and len(words) > 2
        and not {*answer_key(gold).split()} <= {*answer_key(text).split()}
    ):
        return Grade(None, "undecided")  # a sentence with a number in it
    return Grade(is_same, "number")


def _by_class(text: str, gold: str) -> Grade | None:
    """Grade by the one letter that both hold: "hepatitis B", "Kerley A lines", "type B"."""
    letters = [frozenset(_ONE_LETTER.findall(one)) for one in (text, gold)]
    if len(letters[0]) != 1 or len(letters[1]) != 1:
        return None
    words = [_words_beside(one) for one in (text, gold)]
    if not (words[0] <= words[1] or words[0] >= words[1]):
        return None
    if letters[0] == letters[1]:
        return Grade(True, "same meaning") if words[0] >= words[1] else None
    return Grade(False, "another of a list")


def _words_beside(text: str) -> frozenset[str]:
    """The words beside a letter, but for those that say that it is one."""
    words = {*answer_key(_ONE_LETTER.sub(" ", text)).split()}
    return frozenset(
        words - {"type", "class", "it", "is", "deficiency", "category", "group"}
    )


def _by_nothing(text: str, gold: str) -> Grade | None:
    """Grade where the gold answer, or the answer, says that nothing is there or all is well."""
    claims = [claim_of(answer_key(one)) for one in (text, gold)]
    contents = [content_of(meaning_of(" ".join(one.words))) for one in claims]
    nothing = [_is_nothing(*one) for one in zip(claims, contents, strict=True)]
    if nothing[0] and nothing[1]:
        return Grade(True, "same meaning")
    finding = int(nothing[0])  # the place of the one that is something
    others = {*contents[finding].members} & _FINDINGS
    is_pure = not contents[0].others and not contents[1].others
    is_none = any(nothing) or answer_key(gold) == "none"
    if is_none and others and is_pure and not claims[finding].denials:
        return Grade(False, "another of a list")
    return None


def _is_nothing(claim: Claim, content: Content) -> bool:
    """Whether an answer says that nothing is there, or that all is well."""
    is_well = content.members.get("sign") == {"normal"} and not claim.denials
    is_none = (
        claim.denials == 1
        and bool(claim.words)
        and not content.members
        and content.others <= _ANYTHING
    )
    return (is_well or is_none) and not content.others - _ANYTHING


def _by_species(text: str, gold: str) -> Grade | None:
    """Grade by names of organisms, "E. coli" or whole."""
    is_same = species_compared(text, gold)
    if is_same is None:
        return None
    return Grade(is_same, "same meaning" if is_same else "another of a list")


def _by_claim(text: str, gold: str) -> Grade | None:
    """Grade by what both affirm or deny."""
    claims = [claim_of(answer_key(one)) for one in (text, gold)]
    if max(one.denials for one in claims) > 1:
        return Grade(None, "undecided")
    meanings = [meaning_of(" ".join(one.words)) for one in claims]
    answer, wanted = claims
    if wanted.words and (meanings[0] == meanings[1] or answer.words == wanted.words):
        is_same = answer.denials == wanted.denials
        rule = "same words" if answer.words == wanted.words else "same meaning"
        return Grade(is_same, rule if is_same else "denied")
    # "no pneumothorax" for "tension pneumothorax"
    is_head = meanings[0] and meanings[1].endswith(f" {meanings[0]}")
    if is_head and answer.denials > wanted.denials:
        return Grade(False, "denied")
    if answer.denials or wanted.denials:
        return Grade(None, "undecided")
    return None


def _by_lists(text: str, gold: str, question: str = "") -> Grade | None:
    """Grade by lists whose members exclude one another, and by details.

    Words of the question say nothing new.
    """
    meanings = [
        meaning_of(" ".join(claim_of(answer_key(one)).words)) for one in (text, gold)
    ]
    asked = content_of(meaning_of(answer_key(question), is_whole=False)).others
    if says_more(meanings[0], meanings[1], asked):
        return Grade(True, "same meaning")
    contents = [content_of(meaning) for meaning in meanings]
    contents = [one._replace(others=one.others - asked) for one in contents]
    if excluded_by(*contents):
        return Grade(False, "another of a list")
    return None


_OF_WORDS: tuple[Callable[[str, str], Grade | None], ...] = (
    _by_same,
    _by_number,
    _by_nothing,
    _by_species,
    _by_class,
    _by_claim,
    _by_lists,
)


def _unmarked(text: str) -> str:
    """A text without the letter of an option before it."""
    marked = _LETTER.match(text)
    is_species = marked and species_compared(text, text) is not None
    return marked[2] if marked and marked[2] and not is_species else text


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
