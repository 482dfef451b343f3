"""Grades by numbers, species and words: what is the same, and what excludes what.

Each rule takes an answer and a gold answer and says right, wrong, or that the two are open
(`Grade.correct` is None); it is None where the rule says nothing.
"""

import re
from collections.abc import Callable

from medcal_nb.words.case import Case, Grade, unmarked
from medcal_nb.words.claims import claim_of, is_all_well
from medcal_nb.words.key import answer_key
from medcal_nb.words.lists import WORDS
from medcal_nb.words.meaning import (
    FINDINGS,
    Content,
    content_of,
    content_words,
    differ,
    excluded_by,
    is_kind_of,
    lists_asked,
    meaning_of,
    says_more,
)
from medcal_nb.words.numbers import codes, compared, is_among, levels, quantities
from medcal_nb.words.says import is_refusal
from medcal_nb.words.species import species_compared

#: Two answers are no choice; neither is "lymphoma cannot be excluded".
_OPEN = re.compile(WORDS["open"], re.IGNORECASE)
#: "yes, left": an answer to a question with "or".
_SAID_YES = re.compile(r"^\W*(?:yes|ja|oui|sí|sì)\s*,\s*(?=\w)", re.I)
#: A list of several: "1. Sarcoidosis 2. Tuberculosis".
_NUMBERED = re.compile(r"^\s*1[.)]\s.*\s2[.)]\s", re.DOTALL)
_BRACKETS = re.compile(r"\s*\([^()]*\)?")
#: What is rejected for the answer: "a cyst, not an abscess", "rather than an abscess".
_REJECTED = re.compile(WORDS["rejected"], re.I)
#: "not an abscess but a cyst", "Not the right; the left"
_INSTEAD = re.compile(WORDS["instead"], re.I)
#: Reasons, and what a finding comes with, behind it.
_BECAUSE = re.compile(
    r"(?:,?\s+(?:because|since|given|due to|as (?:the|there|it|this|in))\b"
    r"|,?\s+(?:i\.e\.|that is,|namely)).*$",
    re.I | re.S,
)
#: What is set against it: "right, whereas the left …"; a dash, and what explains it.
_CONTRAST = re.compile(
    r"(?:,?\s+(?:whereas|while|although|though|which|but)\b|;\s|\s-\s).*$", re.I | re.S
)
#: "The findings favour a meningioma": what is named by one's reasons.
_LED_TO = re.compile(WORDS["led_to"], re.I | re.S)
#: Where, and of what, behind a finding.
_WHERE = re.compile(WORDS["placed"], re.I | re.S)
_WITH = re.compile(r"\s+(?:with|and (?:maybe|possibly|perhaps))\s.*$", re.I | re.S)
#: What turns the order of words into a statement.
_COMPARES = re.compile(r"\b(?:than|from|to|before|after|over|between|\d+)\b")
#: "right-sided hemiparesis" of an infarct on the left
_FELT = re.compile(WORDS["felt"], re.I)
#: "parieto-occipital"
_TWO_IN_ONE = re.compile(r"\w{3,}o-\w{3,}")
#: Sides of the picture are not those of the patient.
_VIEWER = re.compile(
    r"\b(?:left|right)\b[^.]{0,30}\b(?:picture|image|screen|viewer|photo)\b", re.I
)
#: "DVT"
_ACRONYM = re.compile(r"([A-Z]{3,6})s?\.?")
#: A capital letter by itself.
_ONE_LETTER = re.compile(r"(?<![\w.-])[A-HJ-Z](?![\w.'-])")


def by_words(case: Case, gold: str) -> Grade:
    """Grade by numbers, species and words, in the first part of a reply that decides."""
    wanted = unmarked(gold)
    if is_refusal(case.places[0]):
        return Grade(None, "no answer")
    is_open = _OPEN.search(" ".join(case.places)) or _NUMBERED.search(case.places[-1])
    for part in case.places:
        graded = by_rules(part, wanted, case.question)
        # "The limit is 8 cm. It measures 9 cm."
        if (
            graded == Grade(False, "number")
            and part == case.parts.first
            and is_among(wanted, case.parts.whole)
        ):
            continue
        if graded and (not is_open or graded.rule in ("same words", "denied")):
            return graded
    if is_open and _NUMBERED.search(case.places[-1]):
        return _of_a_list(case.places[-1], wanted)
    is_viewed = _VIEWER.search(_BECAUSE.sub("", case.places[-1])) is not None
    cuts = _CUTS[:5] if quantities(wanted) or codes(wanted) else _CUTS
    for part in shorter_parts(case.places[-1], cuts):
        graded = by_rules(part, wanted, case.question)
        # "gallstones with cholecystitis" is no other answer than cholecystitis
        is_cut_off = (
            graded and graded.correct is False and _holds(case.places[-1], wanted)
        )
        if graded and not is_cut_off and not is_viewed and not _OPEN.search(part):
            return graded
    rejected = _REJECTED.search(case.places[-1])
    if rejected and _is_of(rejected["what"], wanted):
        return Grade(False, "denied")
    return _by_the_end(case, wanted)


def _by_the_end(case: Case, gold: str) -> Grade:
    """Grade by the last sentence, or by what stands behind a dash, a colon or "=" in it.

    What says something else there may be about something else.
    """
    ending = re.split(r"\s-\s|:\s|\s=\s", case.places[-1])[-1]
    if not _OPEN.search(" ".join(case.places)):
        for part in filter(None, (case.parts.last, ending)):
            graded = by_rules(part, gold, case.question)
            if graded and graded.correct:
                return graded
    return Grade(None, "undecided")


def _holds(text: str, gold: str) -> bool:
    """Whether a text holds the meaning of the gold answer, but for what it rejects."""
    plain = _INSTEAD.sub("", _REJECTED.sub("", text))
    return f" {meaning_of(answer_key(gold))} " in f" {meaning_of(answer_key(plain))} "


#: In this order; what is behind the fifth may cut a number off.
_CUTS = (_BRACKETS, _REJECTED, _INSTEAD, _BECAUSE, _LED_TO, _CONTRAST, _WITH, _WHERE)


def shorter_parts(
    part: str, cuts: tuple[re.Pattern[str], ...] = _CUTS[:5]
) -> list[str]:
    """A part without what stands beside its answer: brackets, what is rejected, reasons."""
    shorter = []
    for pattern in cuts:
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
    same = by_same(", ".join(line.strip() for line in lines if line.strip()), gold)
    return same if same and len(_members(gold)) > 1 else Grade(None, "undecided")


def by_rules(part: str, gold: str, question: str = "") -> Grade | None:
    """What the first rule says that decides; None where none does."""
    text = _SAID_YES.sub("", unmarked(part))
    grades = [rule(text, gold) for rule in _OF_WORDS]
    first = next((graded for graded in grades if graded), None)
    if first is None and question:
        first = (
            _by_asked(text, gold, question)
            or _by_class(text, gold, question)
            or by_lists(text, gold, question)
        )
    return first if first and first.correct is not None else None


def _by_asked(text: str, gold: str, question: str) -> Grade | None:
    """Grade by the one member of a list that is asked for: a side, a modality, an organ.

    Words beside it do not matter then: "Left MCA territory" answers "On which side?".
    """
    claims = [claim_of(answer_key(one)) for one in (text, gold)]
    is_felt = _FELT.search(text) and not _FELT.search(f"{gold} {question}")
    if any(one.denials for one in claims) or _TWO_IN_ONE.search(text) or is_felt:
        return None
    answered, wanted = (content_of(meaning_of(" ".join(one.words))) for one in claims)
    if (
        wanted.others
        - content_of(meaning_of(answer_key(question), is_whole=False)).others
    ):
        return None
    if "sign" in answered.members:  # "the right kidney is normal" chooses none
        return None
    named = _named_in(question)
    verdicts = []
    for name in wanted.members.keys() & (
        lists_asked(question) | _asked_by_the_rest(wanted, named)
    ):
        one, other = wanted.members[name], answered.members.get(name, frozenset())
        if len(one) != 1 or len(other) != 1:
            return None
        verdicts.append(one == other)
    if not verdicts:
        return None
    if not all(verdicts):
        return Grade(False, "another of a list")
    rest = {
        name: one
        for name, one in wanted.members.items()
        if name not in lists_asked(question)
    }
    is_whole = all(
        one <= answered.members.get(name, frozenset()) | _named_in(question)
        for name, one in rest.items()
    )
    return Grade(True, "same meaning") if is_whole else None


def _asked_by_the_rest(wanted: Content, named: frozenset[str]) -> set[str]:
    """The list whose member the gold answer adds to words of the question: "Which femur?"."""
    new = {name for name, one in wanted.members.items() if not one & named}
    is_rest = len(new) < len(wanted.members) or bool(wanted.others)
    return new if len(new) == 1 and is_rest else set()


def _named_in(question: str) -> frozenset[str]:
    """The members of lists that a question names."""
    return frozenset().union(
        *content_of(meaning_of(answer_key(question), is_whole=False)).members.values()
    )


def by_same(text: str, gold: str) -> Grade | None:
    """The same words, in whatever order where both are lists."""
    key = answer_key(text)
    wanted = answer_key(gold)
    if key == wanted:
        return Grade(True, "same words")
    if (
        meaning_of(key) == meaning_of(wanted)
        or _is_acronym(text, gold)
        or _is_acronym(gold, text)
    ):
        return Grade(True, "same meaning")
    if gold.startswith(("[", "{")):
        return None
    # "cancer of the lung" is "lung cancer"
    words = [content_words(meaning_of(one)) for one in (key, wanted)]
    if (
        words[0] == words[1]
        and len(words[0]) > 1
        and not _is_ordered(f"{key} {wanted}")
    ):
        return Grade(True, "same meaning")
    lists = [_members(one) for one in (text, gold)]
    is_same = len(lists[1]) > 1 and lists[0] == lists[1]
    return Grade(True, "same meaning") if is_same else None


def _is_acronym(short: str, text: str) -> bool:
    """Whether a text is spelled out what another holds the first letters of: "DVT"."""
    letters = _ACRONYM.fullmatch(short.strip())
    key = answer_key(short)
    if meaning_of(key) != key:  # a known one stands for nothing else
        return False
    words = answer_key(text).split()
    initials = "".join(
        word[0] for word in words if word not in ("of", "and", "the", "with")
    )
    return letters is not None and initials.upper() == letters[1] and len(words) > 1


def _is_ordered(keys: str) -> bool:
    """Whether the order of words says something: a comparison, two of one list, a denial."""
    several = content_of(meaning_of(keys)).members.values()
    is_denied = claim_of(keys).denials > 0
    return (
        is_denied
        or any(len(one) > 1 for one in several)
        or _COMPARES.search(keys) is not None
    )


def _members(text: str) -> frozenset[str]:
    """The meanings of what a list names."""
    parts = re.split(r",\s|;|\n|\band\b|\bund\b|\bet\b|\by\b|&|\s\+\s|\s/\s", text)
    return frozenset(meaning_of(answer_key(part)) for part in parts if answer_key(part))


def _by_characters(text: str, gold: str) -> Grade | None:
    """Grade by a side or height where words have no blanks between them."""
    for pair in ("左右", "上下", "前后"):
        one, other = ({*pair} & {*each} for each in (text, gold))
        if len(other) == 1 and one:
            is_pure = len(one) == 1 and "不" not in text
            return (
                Grade(one == other, "another of a list")
                if is_pure and one != other
                else None
            )
    return None


def _by_number(text: str, gold: str) -> Grade | None:
    """Grade by numbers, where the gold answer holds any."""
    if differ(
        content_of(meaning_of(answer_key(text))),
        content_of(meaning_of(answer_key(gold))),
    ):
        return None  # "HER2 negative" for "HER2 positive"
    if discs := levels(gold):
        others = levels(text)
        if others and (
            others == discs or (len(others) == len(discs) and not others & discs)
        ):
            return Grade(others == discs, "number")
        return Grade(None, "undecided")
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


def _by_class(text: str, gold: str, question: str = "") -> Grade | None:
    """Grade by the one letter that both hold: "hepatitis B", "Kerley A lines", "type B"."""
    letters = [frozenset(_ONE_LETTER.findall(one)) for one in (text, gold)]
    if len(letters[0]) != 1 or len(letters[1]) != 1:
        return None
    asked = {*answer_key(question).split()}
    words = [_words_beside(one) - asked for one in (text, gold)]
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
    nothing = [is_all_well(one) for one in claims]
    if nothing[0] and nothing[1]:
        return Grade(True, "same meaning")
    finding = int(nothing[0])  # the place of the one that is something
    others = {*contents[finding].members} & FINDINGS
    is_pure = not contents[0].others and not contents[1].others
    is_none = any(nothing) or answer_key(gold) == "none"
    if is_none and others and is_pure and not claims[finding].denials:
        return Grade(False, "another of a list")
    return None


def _by_species(text: str, gold: str) -> Grade | None:
    """Grade by names of organisms, "E. coli" or whole."""
    is_same = species_compared(text, gold)
    if is_same is None:
        return None
    return Grade(is_same, "same meaning" if is_same else "another of a list")


def by_claim(text: str, gold: str) -> Grade | None:
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


def by_lists(text: str, gold: str, question: str = "") -> Grade | None:
    """Grade by lists whose members exclude one another, and by details.

    Words of the question say nothing new.
    """
    meanings = [
        meaning_of(" ".join(claim_of(answer_key(one)).words)) for one in (text, gold)
    ]
    asked = content_of(meaning_of(answer_key(question), is_whole=False)).others
    if says_more(meanings[0], meanings[1], asked) or is_kind_of(*meanings):
        return Grade(True, "same meaning")
    if _holds_all(meanings[0], meanings[1], asked):
        return Grade(True, "same meaning")
    contents = [content_of(meaning) for meaning in meanings]
    contents = [one._replace(others=one.others - asked) for one in contents]
    if excluded_by(*contents):
        return Grade(False, "another of a list")
    return None


def _holds_all(answer: str, gold: str, asked: frozenset[str]) -> bool:
    """Whether an answer holds the words of the gold answer, in any order, and places beside.

    "A fracture of the left rib" for "rib fracture".
    """
    words, wanted = content_words(answer), content_words(gold)
    rest = content_of(" ".join(sorted(words - wanted)))
    is_more = len(wanted) > 1 and wanted <= words and not rest.others - asked
    own = content_of(gold).members
    named = content_of(answer).members
    is_other = bool(rest.members.keys() & (own.keys() | FINDINGS)) or any(
        named.get(name) != one for name, one in own.items()
    )
    return (
        is_more
        and not is_other
        and "and" not in answer.split()
        and not _COMPARES.search(f"{answer} {gold}")
    )


_OF_WORDS: tuple[Callable[[str, str], Grade | None], ...] = (
    by_same,
    _by_number,
    _by_nothing,
    _by_species,
    _by_characters,
    _by_class,
    by_claim,
    by_lists,
)
