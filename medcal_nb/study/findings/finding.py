"""What a finding is, and the words that all sentences of the study are written with.

A finding is a claim with the number that it rests on, the interval of that number, how many
answers, how it was computed and over how many comparisons it was corrected. The modules beside
this one write the claims, with a branch for none, one, some and all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from medcal_nb.show.words import capital, percent

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Finding",
    "ci",
    "ci_of",
    "counted",
    "decimal",
    "ends_of",
    "extent",
    "listed",
    "number_word",
    "of_all",
    "percent",
    "points",
    "sentence",
    "unit_of",
    "was",
]

Extent = Literal["none", "one", "some", "all"]
Unit = Literal["percent", "points", "decimal"]

#: A title page holds three claims.
AT_MOST = 3
_WORDS = ("no", "one", "two", "three", "four", "five")
_WORDS += ("six", "seven", "eight", "nine", "ten")
_MINUS = "−"
_MOST_PLACES = 4


@dataclass(kw_only=True)
class Finding:
    """One claim of the study and what it rests on.

    Attributes
    ----------
    claim : str
        The sentence as it can be cited; made whole by :func:`sentence`.
    estimate : float or None
        The number that the claim rests on, on its own scale (a share is not a percentage); None
        where nothing could be measured.
    interval : tuple of float or None
        The lower and the upper end of the interval of the estimate; None where there is none.
    n : int
        How many answers, models or pairs it rests on.
    of : str
        What `n` counts.
    method : str
        How estimate and interval were computed.
    multiplicity : str
        How the claim was corrected for several comparisons; empty where it is the only one.
    title : str
        The claim as the title of a figure, 60 letters at most; empty where no figure shows it.

    Examples
    --------
    >>> Finding(
    ...     claim="Qwen was correct on 52 % of 4,549 questions (95 % CI 51–54).",
    ...     estimate=0.52,
    ...     interval=(0.51, 0.54),
    ...     n=4549,
    ...     method="Wilson score interval",
    ... ).of
    'answers'
    """

    claim: str
    estimate: float | None = None
    interval: tuple[float, float] | None = None
    n: int = 0
    of: str = "answers"
    method: str
    multiplicity: str = ""
    title: str = ""

    def __post_init__(self) -> None:
        self.claim = sentence(self.claim)
        self.n = int(self.n)
        if self.estimate is not None:
            self.estimate = float(self.estimate)
        if self.interval is not None:
            self.interval = tuple(self.interval)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name, as they are published in JSON."""
        return asdict(self)


def sentence(text: str) -> str:
    """Return a text with a capital first letter, single spaces and one point at its end.

    Examples
    --------
    >>> sentence("all five models were overconfident")
    'All five models were overconfident.'
    >>> sentence("llava-v1.6 was correct on 60 %.")
    'llava-v1.6 was correct on 60 %.'
    """
    return f"{capital(' '.join(text.split()).rstrip('.'))}."


def points(difference: float) -> str:
    """Return the size of a difference of shares in whole percentage points, without a sign.

    Examples
    --------
    >>> points(-0.318), points(0.011), points(0.001)
    ('32 percentage points', '1 percentage point', 'less than 1 percentage point')
    """
    size = _whole(abs(difference))
    if size == 0 and difference != 0:
        return "less than 1 percentage point"
    noun = "percentage point" if size == 1 else "percentage points"
    return f"{size} {noun}"


def decimal(score: float) -> str:
    """Return a score or a difference of scores with two digits that matter, at most four places.

    Examples
    --------
    >>> decimal(0.0524), decimal(0.2143), decimal(-0.00261), decimal(0.8)
    ('0.052', '0.21', '−0.0026', '0.80')
    """
    return _fixed(score, _places(score))


def ci(low: float, high: float, *, unit: Unit = "percent", level: float = 0.95) -> str:
    """Return an interval as it stands in brackets after its estimate.

    Parameters
    ----------
    low, high : float
        The ends, on the scale of the estimate: shares for percent and points.
    unit : {"percent", "points", "decimal"}
        Percent and points are written alike, as whole numbers.
    level : float
        The confidence level.

    Returns
    -------
    str
        Such as ``95 % CI 51–54``; ends of which one is negative are joined by *to*.

    Examples
    --------
    >>> ci(0.51, 0.544)
    '95 % CI 51–54'
    >>> ci(-0.03, 0.04, unit="points")
    '95 % CI −3 to 4'
    >>> ci(0.0412, 0.0633, unit="decimal")
    '95 % CI 0.041–0.063'
    """
    name = f"{_whole(level)} % CI"
    if math.isnan(low) or math.isnan(high):
        return f"{name} not available"
    if unit == "decimal":
        few = _places(max(abs(low), abs(high)))
        # as many digits as tell the ends apart
        apart = (
            places
            for places in range(few, _MOST_PLACES + 1)
            if _fixed(low, places) != _fixed(high, places)
        )
        places = next(apart, few)
        ends = [_fixed(low, places), _fixed(high, places)]
    else:
        ends = [_fixed(100 * low, 0), _fixed(100 * high, 0)]
    joined = " to " if min(low, high) < 0 else "–"
    return f"{name} {joined.join(ends)}"


def ends_of(row: Mapping[str, Any], name: str) -> tuple[float, float]:
    """Return the ends of the interval of a number, from a row of a table."""
    return row[f"{name}_low"], row[f"{name}_high"]


def ci_of(row: Mapping[str, Any], name: str, *, unit: Unit = "percent") -> str:
    """Return the 95 % interval of a number, from a row of a table, as :func:`ci` writes it."""
    return ci(*ends_of(row, name), unit=unit)


def number_word(n: int) -> str:
    """Return a count as a text runs: a word up to ten, digits with commas above."""
    return _WORDS[n] if 0 <= n < len(_WORDS) else f"{n:,}"


def extent(k: int, n: int) -> Extent:
    """Return which branch of a sentence `k` of `n` calls for; all where `n` is one and holds."""
    if k == 0:
        return "none"
    if k == n:
        return "all"
    return "one" if k == 1 else "some"


def counted(k: int, n: int, noun: str, plural: str | None = None) -> str:
    """Return how many of several things, as the subject of a sentence.

    Examples
    --------
    >>> [counted(k, 5, "model") for k in (0, 1, 3, 5)]
    ['none of the five models', 'one of five models', 'three of five models', 'all five models']
    >>> counted(28, 35, "pair"), counted(2, 2, "model"), counted(1, 1, "model")
    ('28 of 35 pairs', 'both models', 'the model')
    >>> counted(0, 1, "model")
    'not the model'
    """
    plural = plural or f"{noun}s"
    if n == 1:
        return f"the {noun}" if k else f"not the {noun}"
    if k == n:
        return f"both {plural}" if n == 2 else f"all {number_word(n)} {plural}"
    if k == 0:
        return f"none of the {number_word(n)} {plural}"
    if max(k, n) > 10:
        return f"{k:,} of {n:,} {plural}"
    return f"{number_word(k)} of {number_word(n)} {plural}"


def of_all(k: int, n: int, noun: str) -> str:
    """Return how many of several things, as short as a title needs it.

    Examples
    --------
    >>> of_all(3, 5, "model"), of_all(5, 5, "model"), of_all(2, 2, "pair")
    ('3 of 5 models', 'all 5 models', 'both pairs')
    """
    if k == n:
        return f"both {noun}s" if n == 2 else f"all {n} {noun}s"
    return f"{k} of {n} {noun}s"


def unit_of(table: pd.DataFrame) -> str:
    """Return what intervals count as independent: images known in every row, else answers."""
    known = "n_images" in table and (table["n_images"] > 0).all()
    return "image" if known else "answer"


def was(k: int) -> str:
    """Return the verb that goes with a count of things; *none* and *one* are singular."""
    return "was" if k <= 1 else "were"


def base_rate(event: str = "") -> str:
    """Return what the share of correct answers is called.

    Examples
    --------
    >>> base_rate(), base_rate("cancer")
    ('accuracy', 'prevalence of cancer')
    """
    return f"prevalence of {event}" if event else "accuracy"


def listed(names: Sequence[str]) -> str:
    """Return names as a text runs: ``a, b and c``."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _whole(share: float) -> int:
    """Return a share in percent, a half rounded up however it was summed."""
    return math.floor(round(100 * share, 6) + 0.5)


def _places(score: float) -> int:
    """Return the decimals that show two digits of a score, between two and four."""
    size = abs(score)
    if math.isnan(size) or size == 0:
        return 2
    return min(_MOST_PLACES, max(2, 1 - math.floor(math.log10(size))))


def _fixed(value: float, places: int) -> str:
    """Return a number with so many decimals, with a typographic minus and no minus zero."""
    if math.isnan(value):
        return "–"
    text = f"{abs(value):,.{places}f}"
    is_zero = float(text.replace(",", "")) == 0
    return text if value >= 0 or is_zero else f"{_MINUS}{text}"
