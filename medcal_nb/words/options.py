"""Which option of a question a short answer names."""

import re
from collections.abc import Sequence
from functools import lru_cache

from medcal_nb.words.key import answer_key
from medcal_nb.words.lists import FILE

_OPTION = "option|choice|answer|letter|opción|opção|réponse|antwort|вариант|选项|选|選"
_ENDS = r"\s*(?:[.):,\]|;!-](?!\w)|[.):](?=\w)|$|\n|\(\d|\d{1,3}\s*(?:%|$)|(?:is|because|since)\b)"
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
_REJECTING = frozenset(FILE["lists"]["rejecting"].split())


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
            letter = match[match.lastindex or 0].upper()
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
    before = key[: inside[0].start()].split()
    is_rejected = _REJECTING & {*before[-3:]}
    return None if is_rejected else keys.index(inside[0][0])


@lru_cache(maxsize=4096)
def _any_of(keys):
    """What finds any of several texts as whole words, a longer one before those inside it."""
    longest = sorted(filter(None, keys), key=len, reverse=True)
    return re.compile(rf"(?<!\S)(?:{'|'.join(map(re.escape, longest))})(?!\S)(?<=\S)")
