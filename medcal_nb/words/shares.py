"""A reply that gives each option, or yes and no, a probability: the likeliest is its answer."""

import re
from typing import NamedTuple

from medcal_nb.words.key import answer_key
from medcal_nb.words.options import Options

_NUMBER = r"(?P<number>\d{1,3}(?:\.\d+)?|\.\d+)\s*(?P<percent>%)?"
#: A name and its number: "A: 10%", "TB 40%", "P(yes)=15%", "Normal (0.05)", "| CT | 5% |".
_PAIR = re.compile(
    rf"(?P<name>[^\n:=|,;/{{}}]{{1,60}}?)[\"')\s]*(?:[:=(|-]\s*|\s){_NUMBER}(?![\d.]*\w)",
    re.IGNORECASE,
)
#: Of whom the numbers are, where names are the reply's own.
_LIKELY = re.compile(r"\b(?:probab|likelihood|wahrscheinlich)\w*", re.IGNORECASE)
#: How far from one the sum of rounded shares may be.
_ROUNDED = 0.035


class Likeliest(NamedTuple):
    """The name that has the largest share, and this share."""

    name: str
    share: float


def likeliest(text: str, options: Options | None) -> Likeliest | None:
    """The likeliest option of a cleaned reply that gives all of them shares which add up to one.

    Parameters
    ----------
    text : str
    options : Options or None
        None: yes and no are the options.

    Returns
    -------
    Likeliest or None
        The letter of an option, or "yes" or "no". None where the text is no such reply, and where
        two share the first place.

    Examples
    --------
    >>> likeliest("P(yes)=15%, P(no)=85%", None)
    Likeliest(name='no', share=0.85)
    >>> likeliest("A: 10%, B: 70%, C: 20%", Options.read(["TB", "cancer", "abscess"])).name
    'B'
    """
    shares = _shares(text, options)
    is_all = len(shares) >= min(2, len({*_names(options).values()}))
    return _first(shares) if is_all else None


def share_of_option(text: str, options: Options, answer: str) -> float | None:
    """The share of the option that is answered, where all options have one.

    Examples
    --------
    >>> share_of_option("A: 10%, B: 70%, C: 20%", Options.read(["TB", "cancer", "scar"]), "scar")
    0.2
    """
    shares = _shares(text, options)
    name = options.names[options.texts.index(answer)]
    whole = _whole(shares)
    is_all = len(shares) == len(options) and whole is not None
    return round(shares[name] / whole, 9) if is_all and whole else None


def likeliest_named(text: str) -> Likeliest | None:
    """The same of a reply to an open question: the names are its own.

    A word says that the numbers are probabilities, and no number is another thing: other shares
    may add up to one, too.

    Examples
    --------
    >>> likeliest_named("Probabilities: cyst 70%, abscess 30%")
    Likeliest(name='cyst', share=0.7)
    >>> likeliest_named("fat 70%, water 30%") is None
    True
    >>> likeliest_named("Likelihood: of 50 women 52%, so K = 48%") is None
    True
    """
    shares: dict[str, float] = {}
    signs = set()
    for match in _PAIR.finditer(text):
        name = match["name"].strip(" \t-*\"'(")
        is_name = re.search(r"[^\W\d]", name) and not _LIKELY.search(name)
        if not is_name or name in shares:
            return None
        shares[name] = float(match["number"])
        signs.add(match["percent"])
    is_all = len(re.findall(r"\d+(?:\.\d+)?|\.\d+", text)) == len(shares)
    n_above = sum(share > 0 for share in shares.values())
    if n_above < 2 or len(signs) > 1 or not is_all or not _LIKELY.search(text):
        return None
    return _first(shares)


def _first(shares: dict[str, float]) -> Likeliest | None:
    """The largest of shares that add up to one; None where they don't, or two are the largest."""
    whole = _whole(shares)
    if whole is None:
        return None
    first, second = sorted(shares.values(), reverse=True)[:2]
    best = max(shares, key=lambda name: shares[name])
    return Likeliest(best, round(first / whole, 9)) if first > second else None


def _whole(shares: dict[str, float]) -> float | None:
    """What shares add up to, 1 or 100; None where they don't."""
    total = sum(shares.values())
    whole = 100.0 if total > 2 else 1.0
    return whole if abs(total / whole - 1) <= _ROUNDED else None


def _shares(text: str, options: Options | None) -> dict[str, float]:
    """The number of each option that a text names; none where one is named twice."""
    names = _names(options)
    shares: dict[str, float] = {}
    for match in _PAIR.finditer(text):
        words = re.sub(
            r"^\W*(?:p\s*\(|answer\s|option\s|stage\s)?\W*",
            "",
            match["name"],
            flags=re.I,
        )
        name = names.get(answer_key(words) or words)
        if name is None:
            continue
        if name in shares:
            return {}
        shares[name] = float(match["number"])
    return shares


def _names(options: Options | None) -> dict[str, str]:
    """What each option may be called, in small letters, and its letter."""
    if options is None:
        return {"yes": "yes", "no": "no", "ye": "yes"}
    names = {
        answer_key(text): letter
        for text, letter in zip(options.texts, options.names, strict=True)
    }
    return names | {
        answer_key(letter): letter
        for letter in options.names
        if answer_key(letter) not in names
    }
