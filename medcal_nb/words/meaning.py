"""What short answers mean beyond their words: synonyms, and lists whose members exclude others.

The words lie in ``terms.toml``.
"""

import re
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from medcal_nb.words.key import answer_key

_FILE: dict[str, Any] = tomllib.loads(
    Path(__file__).with_name("terms.toml").read_text(encoding="utf-8")
)


def _phrases(lines: list[str]) -> dict[str, str]:
    """Each phrase of groups, and the first of its group, both as keys."""
    same = {}
    for line in lines:
        first, *others = [answer_key(phrase) for phrase in line.split(",")]
        same.update(dict.fromkeys([first, *others], first))
    return same


_SAME = _phrases(_FILE["same"])
_ALONE = _phrases(_FILE["same_alone"])
#: Words that say more of a finding without making it another one.
DETAIL = frozenset(answer_key(word) for word in _FILE["detail"].split())
_NORMAL = frozenset(("normal",))
_FILLER = frozenset(_FILE["filler"].split())
#: Words that say nothing by themselves.
FILLING = DETAIL | _FILLER


def _any_of(phrases: set[str]) -> re.Pattern[str]:
    """What finds any of several phrases as whole words, the longest first."""
    longest = sorted(phrases, key=len, reverse=True)
    return re.compile(rf"(?<!\S)(?:{'|'.join(map(re.escape, longest))})(?!\S)")


_ANY_SAME = _any_of({*_SAME})


@lru_cache(maxsize=65_536)
def meaning_of(key: str, *, is_whole: bool = True) -> str:
    """A key with one word for each meaning that several have.

    Parameters
    ----------
    key : str
        As of `medcal_nb.words.answer_key`.
    is_whole : bool
        It is all that is answered: "us" is ultrasound, "no abnormality" none.

    Examples
    --------
    >>> meaning_of("chest plain film"), meaning_of("rul")
    ('chest xray', 'right upper lobe')
    """
    if is_whole:
        key = _ALONE.get(key, key)
    return _ANY_SAME.sub(lambda match: _SAME[match[0]], key)


_LISTS = {
    name: frozenset(meaning_of(answer_key(member)) for member in members)
    for name, members in _FILE["lists"].items()
}
#: Lists of findings, and what stands on them.
FINDINGS = frozenset(("diagnosis", "tumour", "histology", "fracture_name"))
_ENTITIES = frozenset(("diagnosis", "tumour"))
_FINDING = frozenset().union(*(_LISTS[name] for name in FINDINGS))
_ANY_MEMBER = _any_of(set().union(*_LISTS.values()))


class Content(NamedTuple):
    """What a meaning holds: members of lists by list, and the words that stand on none."""

    members: dict[str, frozenset[str]]
    others: frozenset[str]


@lru_cache(maxsize=1 << 14)
def content_of(meaning: str) -> Content:
    """Take a meaning apart into members of lists and other words; words of detail go."""
    members: dict[str, set[str]] = {}
    for match in _ANY_MEMBER.finditer(meaning):
        for name, words in _LISTS.items():
            if match[0] in words:
                members.setdefault(name, set()).add(match[0])
    rest = _ANY_MEMBER.sub(" ", meaning).split()
    others = frozenset(word for word in rest if word not in _FILLER | DETAIL)
    return Content({name: frozenset(words) for name, words in members.items()}, others)


_ASKED_BY = {
    name: re.compile(text, re.IGNORECASE) for name, text in _FILE["asked_by"].items()
}


@lru_cache(maxsize=4096)
def lists_asked(question: str) -> frozenset[str]:
    """The lists of which a question asks for a member: by a word for the list, or by two members.

    Examples
    --------
    >>> sorted(lists_asked("On which side is it?")), sorted(lists_asked("Benign or malignant?"))
    (['side'], ['nature'])
    """
    members = content_of(meaning_of(answer_key(question), is_whole=False)).members
    named = {name for name, pattern in _ASKED_BY.items() if pattern.search(question)}
    return frozenset(
        named | {name for name, words in members.items() if len(words) > 1}
    )


def content_words(meaning: str) -> frozenset[str]:
    """The words of a meaning that say something."""
    return frozenset(meaning.split()) - _FILLER


def excluded_by(answer: Content, gold: Content) -> bool:
    """Whether an answer is another member of a list, and nothing that no list knows beside.

    Examples
    --------
    >>> excluded_by(content_of("right lung"), content_of("left lung"))
    True
    >>> excluded_by(content_of("opaque heart"), content_of("lung"))
    False
    """
    if (
        _NORMAL & answer.members.get("sign", frozenset())
        and not {"sign", "size"} & gold.members.keys()
    ):
        return False  # "the right kidney is normal" names no kidney
    is_known = not answer.others - gold.others and not gold.others - answer.others
    return is_known and differ(answer, gold)


def differ(answer: Content, gold: Content) -> bool:
    """Whether two hold members of one list, and not one in common.

    Examples
    --------
    >>> differ(content_of("her2 negative"), content_of("her2 positive"))
    True
    """
    found = [
        frozenset().union(*(one.members.get(name, ()) for name in _ENTITIES))
        for one in (answer, gold)
    ]
    if all(found) and not found[0] & found[1]:
        return True
    common = (answer.members.keys() & gold.members.keys()) - _ENTITIES
    return any(not answer.members[name] & gold.members[name] for name in common)


def says_more(answer: str, gold: str, asked: frozenset[str] = frozenset()) -> bool:
    """Whether a meaning is another one with details (a side, a place, what is asked) beside.

    Examples
    --------
    >>> says_more("right lower lobe pneumonia", "pneumonia"), says_more("rat bite", "bite")
    (True, False)
    """
    inside = re.search(rf"(?<!\S){re.escape(gold)}(?!\S)", answer)
    if inside is None:
        return False
    rest = content_of(answer[: inside.start()] + " " + answer[inside.end() :])
    own = content_of(gold)
    is_well = "normal" in rest.members.get("sign", ())  # "the liver is normal"
    return (
        not rest.others - asked
        and not is_well
        and not rest.members.keys() & own.members.keys()
    )


#: Words that turn what stands behind them into something else.
_ALTERING = frozenset(_FILE["altering"].split())


def is_kind_of(answer: str, gold: str) -> bool:
    """Whether an answer is a finding of the lists with words before it that say which.

    Examples
    --------
    >>> [is_kind_of(f"{word} thyroiditis", "thyroiditis") for word in ("hashimoto", "post")]
    [True, False]
    """
    if gold not in _FINDING or not answer.endswith(f" {gold}"):
        return False
    before = answer[: -len(gold)].split()
    finds = content_of(" ".join(before)).members.keys() & FINDINGS
    return len(before) <= 3 and not finds and not _ALTERING & {*before}
