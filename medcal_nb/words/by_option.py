"""Grades by the option that a reply names, and by letters where the options are not known."""

import re

from medcal_nb.words.by_words import by_claim, by_lists, by_same, shorter_parts
from medcal_nb.words.case import LETTERED, Case, Grade
from medcal_nb.words.claims import claim_of
from medcal_nb.words.key import answer_key
from medcal_nb.words.meaning import meaning_of, says_more
from medcal_nb.words.numbers import compared, quantities
from medcal_nb.words.options import Options, is_list_of_options, option_letter
from medcal_nb.words.species import species_compared

#: "class B", "Child-Pugh B", "Stanford type B": a letter behind a word for classes.
_CLASS = re.compile(
    r"\b(?:class|type|grade|stage|category|group|pugh|stanford|score|answer|option)\s+([A-Z])\b",
    re.I,
)
#: "None of the above", "neither".
_NO_OPTION = re.compile(r"\W*none of (?:the above|the options|these|them)\b", re.I)
_BRACKETED = re.compile(r"\(([^()]+)\)")
_ALL = re.compile(
    r"\W*(?:all|both)(?:\s+of)?(?:\s+(?:the above|these|them))?\W*$", re.I
)
_NONE = re.compile(r"\W*(?:none|neither)\b", re.I)


def by_option(case: Case, options: Options, gold: str) -> Grade:
    """Grade by the option that a reply names."""
    right = options.index(gold)
    places = case.places
    several = _letters_named(options, gold)
    if len(several) > 1:  # "A, B": all that apply
        return _by_several(options, places, several)
    if right is None:  # a number of an option, it may be: of which count?
        is_same = any(answer_key(part) == answer_key(gold) for part in places)
        return Grade(True, "same words") if is_same else Grade(None, "undecided")
    is_list = is_list_of_options(case.parts.whole)
    if is_list and (said := _verdicts(case.parts.whole)):
        return Grade(options.names[right] == said, "option")
    ended = (
        options.named(case.parts.last)
        if case.parts.last and not is_list
        else frozenset()
    )
    parts = places[1:] if is_list and len(places) > 1 else places
    for part in [*parts, *([] if is_list else shorter_parts(places[-1]))]:
        named = _named(options, part)
        if len(named) == 1:
            # "PAS shows them red. … i.e. Grocott."
            is_other = len(ended) == 1 and ended != named and part == case.parts.first
            if is_other and _is_sentence(part, options.texts[min(named)]):
                return Grade(None, "undecided")
            return Grade(right in named, "option")
        # "Cancer (arising in a polyp)" is read without its brackets, "A (polyp)" is not,
        # nor "left lung (right lung)"
        inside = set(map(answer_key, _BRACKETED.findall(part)))
        is_two = named and not inside.isdisjoint(map(answer_key, options.texts))
        if is_two or (named and (is_list or option_letter(part))):
            return Grade(None, "undecided")
    if len(ended) == 1:
        return Grade(right in ended, "option")
    graded = (
        _outside(place, options.texts[right]) for place in [*places, case.parts.last]
    )
    return next(
        (one for one in graded if one.correct is False), Grade(None, "undecided")
    )


def _by_several(options: Options, places: list[str], gold: set[int]) -> Grade:
    """Grade by the letters of all options that apply."""
    named = [_letters_named(options, place) for place in places]
    chosen = next((one for one in named if one), None)
    return (
        Grade(None, "undecided") if chosen is None else Grade(chosen == gold, "option")
    )


def _outside(text: str, gold: str) -> Grade:
    """Grade what names no option, but denies the right one, or is another thing altogether."""
    if _NO_OPTION.match(text):
        return Grade(False, "denied")
    for rule in (by_claim, by_lists):
        graded = rule(text, gold)
        if graded and graded.correct is False:
            return graded
    return Grade(None, "undecided")


def _named(options: Options, part: str) -> frozenset[int]:
    """The options that a part of a reply names, by their words or letters, or means."""
    named = options.named(part)
    if not named:
        return _meant(options, part)
    return (_all_of(options, part) or named) if len(named) > 1 else named


def _is_sentence(part: str, option: str) -> bool:
    """Whether a part is more than the name of an option."""
    return len(answer_key(part).split()) > 3 + len(answer_key(option).split())


def _verdicts(text: str) -> str | None:
    """The one letter that a list of options says yes to: "A: no. B: yes."."""
    said = re.findall(
        r"\b([A-Z])(?:\W{1,3}|[).:]\s[^\n.;:]{1,60}[:=-]\s*)(yes|no)\b", text, re.I
    )
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
        is_meant = (
            meaning == same_meaning
            or says_more(meaning, same_meaning)
            or species_compared(text, option) is True
        )
        if is_number or (not claim.denials and is_meant):
            same.add(i)
    if not same and _ALL.match(text):
        same = {i for i, option in enumerate(options.texts) if _ALL.match(option)}
    if not same and _NONE.match(text):
        same = {i for i, option in enumerate(options.texts) if _NONE.match(option)}
    return frozenset(same) or _all_of(options, text)


def _all_of(options: Options, text: str) -> frozenset[int]:
    """The option "both of them", where a text names all others: "A and B"."""
    named = options.named(text)
    whole = {i for i, option in enumerate(options.texts) if _ALL.match(option)}
    others = {
        i
        for i, option in enumerate(options.texts)
        if i not in whole and not _NONE.match(option)
    }
    if len(whole) == 1 and (named == others or _letters_named(options, text) == others):
        return frozenset(whole)
    return frozenset()


def _letters_named(options: Options, text: str) -> set[int]:
    """The options of all letters in a text that names nothing else."""
    letters = re.findall(r"\b[A-Z]\b", text)
    is_only = not re.sub(r"\b(?:[A-Z]|and|both|plus|are|correct)\b|\W", "", text)
    return (
        {options.names.index(one) for one in letters if one in options.names}
        if is_only
        else set()
    )


def by_letter(text: str, gold: str) -> Grade | None:
    """Grade by letters of options that are not known; None where letters play no part."""
    same = by_same(text, gold)
    if same and same.rule == "same meaning":  # "L" for "left"
        return None
    letter = option_letter(text)
    marked = LETTERED.match(gold)
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
    shown = LETTERED.match(text)
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
