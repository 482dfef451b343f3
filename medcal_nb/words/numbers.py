"""Numbers of short answers: with units, as ranges, lists and boxes, and in names ("L5", "B12").

Two numbers are the same in whatever unit they are written. A number that is another one is wrong; a
number that lies in a range, lacks its unit, or a box that overlaps another is neither.
"""

import json
import re
from contextlib import suppress
from typing import NamedTuple

from medcal_nb.words.key import spelled

# what a unit is of, and how much of it: lengths in mm, volumes in ml, masses in g, times in days
_BASES: dict[str, tuple[str, float]] = {
    "m": ("length", 1000), "l": ("volume", 1000), "g": ("mass", 1), "s": ("clock", 1),
    "gy": ("absorbed dose", 1), "sv": ("dose", 1), "bq": ("activity", 1), "hz": ("frequency", 1),
    "mol": ("substance", 1), "pa": ("pressure in pascal", 1), "v": ("voltage", 0.001),
}  # fmt: skip
_PREFIXES = {"n": 1e-9, "μ": 1e-6, "m": 1e-3, "c": 1e-2, "d": 0.1, "": 1.0, "k": 1e3}
_UNITS: dict[str, tuple[str, float]] = {
    prefix + base: (kind, factor * of_prefix)
    for base, (kind, factor) in _BASES.items()
    for prefix, of_prefix in _PREFIXES.items()
}
_NAMED = {
    "mm": "millimeter millimeters millimetre millimetres", "m": "meter meters metre metres",
    "cm": "centimeter centimeters centimetre centimetres zentimeter",
    "l": "liter liters litre litres",
    "ml": "cc ccm milliliter milliliters millilitre millilitres",
    "g": "gram grams", "mg": "milligram milligrams", "kg": "kilogram kilograms",
    "μm": "um micron microns micrometer micrometers micrometre micrometres", "μg": "mcg ug",
    "s": "sec second seconds", "ms": "millisecond milliseconds",
}  # fmt: skip
_UNITS |= {
    name: _UNITS[unit] for unit, names in _NAMED.items() for name in names.split()
}
_UNITS |= {
    "day": ("time", 1), "days": ("time", 1), "d": ("time", 1), "week": ("time", 7),
    "weeks": ("time", 7), "wks": ("time", 7), "wk": ("time", 7), "w": ("time", 7),
    "month": ("time", 30.4375), "months": ("time", 30.4375), "year": ("time", 365.25),
    "years": ("time", 365.25), "yrs": ("time", 365.25), "year-old": ("time", 365.25),
    "h": ("clock", 3600), "hours": ("clock", 3600), "min": ("clock", 60), "minutes": ("clock", 60),
    "%": ("share", 1), "percent": ("share", 1), "per cent": ("share", 1), "prozent": ("share", 1),
    "hu": ("density", 1), "hounsfield units": ("density", 1), "hounsfield": ("density", 1),
    "bpm": ("rate", 1), "/min": ("rate", 1), "beats per minute": ("rate", 1),
    "beats/min": ("rate", 1), "per minute": ("rate", 1), "t": ("field", 1), "tesla": ("field", 1),
    "kvp": ("voltage", 1), "°": ("angle", 1), "degree": ("angle", 1), "degrees": ("angle", 1),
    "grad": ("angle", 1), "°c": ("temperature", 1), "mmhg": ("pressure", 1),
    "mgy·cm": ("dose by length", 1), "mgy*cm": ("dose by length", 1),
    "mgy cm": ("dose by length", 1), "mgycm": ("dose by length", 1),
}  # fmt: skip
#: "mg/dL", "mmol/l": one unit by another.
_UNITS |= {
    f"{above}/{below}": (
        f"{_UNITS[above][0]} by {_UNITS[below][0]}",
        _UNITS[above][1] / _UNITS[below][1],
    )
    for above in ("g", "mg", "μg", "ng", "mol", "mmol", "μmol", "ml", "l", "mgy")
    for below in ("l", "dl", "ml", "kg", "min", "h", "day")
}
#: Words for units, in small letters.
UNITS = frozenset(_UNITS)
_UNIT = "|".join(re.escape(unit) for unit in sorted(_UNITS, key=len, reverse=True))
_NUMBER = r"\d+(?:\.\d+)?|(?<!\d)\.\d+"
_TO = r"\s?(?:-|–|to|bis)\s?"
_QUANTITY = re.compile(
    rf"(?<![\w.])(?P<sign>minus |[-−](?=\d))?(?P<low>{_NUMBER})"
    rf"(?:\s?(?P<inner>{_UNIT})(?![^\W\d]))?"
    rf"(?:{_TO}(?P<high>{_NUMBER})(?:\s?(?P<unit>{_UNIT})(?![^\W\d]))?)?(?P<letter>(?<=\d)[a-f]\b)?"
)
_BETWEEN = re.compile(rf"\bbetween ({_NUMBER}) and (?={_NUMBER})")
#: "3+4=7", "7 (3+4)": parts and their sum.
_SUM = re.compile(r"(?:\d+\s*\(\s*)?(\d+)\s*\+\s*(\d+)(?:\s*=\s*\d+)?\)?")
#: What is no number of the answer: "4th", "of 10".
_ASIDE = re.compile(r"\b\d+(?:st|nd|rd|th)\b|(?<=\d)\s?(?:/|out of|of)\s?10+\b")
#: "300 / 4 = 75": what a number is worked out from.
_WORKED_OUT = re.compile(rf"(?:{_NUMBER})\s*[/x×:]\s*(?:{_NUMBER})\s*=\s*(?=\d)")
_TIMES = re.compile(r"(?<=[\d\s])[x×](?=[\d\s])")
#: Bounds are no numbers: "more than 5".
_BOUND = re.compile(
    r"[<>≤≥]|\b(?:more|less|fewer|greater|larger|smaller|at least|at most|over|under|up to|below"
    r"|above|several|or more|plus)\b"
)
_ABOUT = re.compile(r"~|≈|\b(?:about|around|approx\w*|roughly|circa|ca|etwa|environ)\b")
#: "5, 6 and 7", "5-7": whole numbers in a list.
_WHOLE_LIST = re.compile(
    r"(?:[a-z]+ )?\d{1,3}(?:st|nd|rd|th)?"
    r"(?:(?:, (?:and )?| and | & | to |\s?-\s?)\d{1,3}(?:st|nd|rd|th)?)+(?: [a-z]+)?"
)
_ORDINAL = re.compile(r"(?<=\d)(?:st|nd|rd|th)\b")
#: Names that end in a number or a letter behind one: "L5", "B12", "V600E", of stages "pT2".
_CODE = re.compile(
    r"(?<![A-Za-z\d])[pcy]?(?:(?=[TNM]\d)|(?!pT|pN|cM|cT|cN))([A-Za-z]{1,5}-?\d{1,4}[A-Za-z]?)"
)
#: "L4/5", "L5-S1": a disc.
_DISC = re.compile(r"\b([CTLS])(\d{1,2})\s?[/-]\s?([CTLS]?)(\d{1,2})\b")
#: "L4/5" is L4 and L5.
_LEVELS = re.compile(r"\b([CTLS])(\d{1,2})\s?[/-]\s?(\d{1,2})\b")
#: "Th12", "BWK 12": other letters of the spine.
_SPINES = {"th": "T", "hwk": "C", "bwk": "T", "lwk": "L"}
_SPINE = re.compile(r"\b(th|hwk|bwk|lwk)\s?(?=\d{1,2}\b)", re.IGNORECASE)
_STAGES = re.compile(r"(?<=\d)(?=[pcy]?[TNM]\d)")


#: "14:05", "2:05 pm": a time of day.
_CLOCK = re.compile(r"\b(\d{1,2}):(\d\d)\b(?:\s?([ap])\.?m\b\.?)?")


def _minutes(match: re.Match[str]) -> str:
    """A time of day as minutes from midnight."""
    hour = int(match[1]) % 12 if match[3] else int(match[1])
    hour += 12 if match[3] == "p" else 0
    return f"{60 * hour + int(match[2])} minutes"


class Quantity(NamedTuple):
    """A number or range: ends, what the unit is of, a letter behind it, ends as written."""

    low: float
    high: float
    kind: str
    letter: str
    plain: tuple[float, float] = (0.0, 0.0)


def quantities(text: str) -> list[Quantity]:
    """The numbers of a text, lengths in millimetres and times in days.

    Examples
    --------
    >>> quantities("5.5 cm")[0].low, len(quantities("3.2 x 2.1 cm"))
    (55.0, 2)
    """
    plain = _WORKED_OUT.sub("", spelled(text))
    plain = re.sub(r"(?<=\d[wdhm])(?=\d)", " ", plain)  # "12w6d"
    plain = _CLOCK.sub(_minutes, plain)
    plain = re.sub(r"(?<=\d) (?=\d{3}(?!\d))", "", plain)  # "150 000"
    plain = _BETWEEN.sub(r"\1-", _TIMES.sub(" ", _ASIDE.sub(" ", plain)))
    matches = list(_QUANTITY.finditer(plain))
    units = [match["unit"] or match["inner"] or "" for match in matches]
    if len(units) > 1 and not any(units[:-1]):
        units = units[-1:] * len(units)  # "3.2 x 2.1 cm"
    several = []
    for match, unit in zip(matches, units, strict=True):
        kind, factor = _UNITS.get(unit, ("", 1.0))
        low = float(match["low"]) * (-1 if match["sign"] else 1)
        high = float(match["high"]) if match["high"] else low
        ends = [round(end * factor, 6) for end in (low, high)]
        letter = match["letter"] or ""
        several.append(Quantity(ends[0], ends[1], kind, letter, (low, high)))
    if len(several) > 1 and {one.kind for one in several} == {"time"}:
        total = sum(one.low for one in several)  # "12 weeks 6 days"
        return [Quantity(total, total, "time", "")]
    return several


def codes(text: str) -> frozenset[str]:
    """The names that end in a number, in small letters: "L5", "V600E", "T2" of "pT2".

    Examples
    --------
    >>> sorted(codes("L4/L5")), sorted(codes("pT2 pN0"))
    (['l4', 'l5'], ['n0', 't2'])
    """
    apart = _STAGES.sub(" ", _LEVELS.sub(r"\1\2 \1\3", _of_spine(text)))
    return frozenset(code.casefold().replace("-", "") for code in _CODE.findall(apart))


def levels(text: str) -> frozenset[str]:
    """The discs that a text names by the vertebrae above and below, "L4/5", "L5-S1".

    Examples
    --------
    >>> sorted(levels("L4/5 and L5-S1")), sorted(levels("L4"))
    (['l4/l5', 'l5/s1'], [])
    """
    pairs = _DISC.findall(_of_spine(text).upper())
    return frozenset(f"{a}{n}/{b or a}{m}".lower() for a, n, b, m in pairs)


def _of_spine(text: str) -> str:
    """A text with the letters of the spine by which it is read: "T12" for "BWK 12"."""
    return _SPINE.sub(lambda spine: _SPINES[spine[1].casefold()], text)


def compared(text: str, gold: str) -> bool | None:
    """Whether the numbers of an answer are those of the gold answer; None where that is open.

    Both hold numbers. True, they are the same ones; False, others.

    Examples
    --------
    >>> compared("0.5 cm", "5 mm"), compared("80%", "70-99%"), compared("4+3", "3+4")
    (True, None, False)
    """
    if boxed := _coordinates(gold):
        return _box(numbers_listed(text), boxed)
    if _WHOLE_LIST.fullmatch(spelled(gold)):
        answered, wanted_numbers = (
            numbers_listed(_ORDINAL.sub("", spelled(one))) for one in (text, gold)
        )
        if sorted(answered) == sorted(wanted_numbers):
            return True
    sums = [_SUM.search(one) for one in (text, gold)]
    if all(sums):
        parts = [one.groups() for one in sums if one]
        return parts[0] == parts[1]
    if sums[0]:  # "4 + 4 = 8" for 7
        text = _SUM.sub(str(int(sums[0][1]) + int(sums[0][2])), text)
    answer = quantities(text)
    wanted = quantities(gold)
    if _BOUND.search(spelled(text)) and not _BOUND.search(spelled(gold)):
        return None
    if len(answer) != len(wanted) or not answer:
        return None
    is_about = _ABOUT.search(spelled(text)) is not None
    pairs = [_one(a, b, is_about) for a, b in zip(answer, wanted, strict=True)]
    if all(pairs):
        return True
    if len(answer) > 1 and sorted(answer) == sorted(wanted):
        # "8 x 12 mm" is "12 x 8 mm"
        return True if _TIMES.search(text) and _TIMES.search(gold) else None
    return False if False in pairs and None not in pairs else None


def is_among(gold: str, text: str) -> bool:
    """Whether one of the numbers of a text is one of the gold answer, in whatever unit.

    Examples
    --------
    >>> is_among("9 cm", "At most 8 cm are normal; I measure 90 mm"), is_among("9 cm", "9 mm")
    (True, False)
    """
    several = [{one[:3] for one in quantities(each)} for each in (gold, text)]
    return bool(several[0] & several[1])


#: Of questions: "above 3 mm".
_ABOVE = r"above|over|(?:more|greater|larger|longer|wider|thicker) than|exceed\w*|>|über|más de"
_BELOW = r"below|under|(?:less|smaller|shorter|thinner) than|<|unter|moins de|menos de"
_ASKED_BOUND = re.compile(rf"(?:(?P<above>{_ABOVE})|{_BELOW})\s*(?={_NUMBER})")


def beyond(question: str, text: str) -> bool | None:
    """Whether the one number of an answer lies beyond the bound that is asked about.

    Examples
    --------
    >>> beyond("Is it above 3 mm?", "It measures 0.4 cm"), beyond("Is it above 3 mm?", "2 of 3")
    (True, None)
    """
    asked = spelled(question)
    bound = _ASKED_BOUND.search(asked)
    values = quantities(text)
    limits = quantities(asked[bound.end() :]) if bound else []
    if bound is None or len(limits) != 1 or len(values) != 1:
        return None
    value, limit = values[0], limits[0]
    is_open = (
        not value.kind
        or value.kind != limit.kind
        or value.low <= limit.low <= value.high
    )
    if is_open or _BOUND.search(spelled(text)):
        return None
    return (value.low > limit.low) == (bound["above"] is not None)


def _one(answer: Quantity, gold: Quantity, is_about: bool = False) -> bool | None:
    """Whether two numbers or ranges are the same; about 5 is open for 5.2."""
    if is_about and answer[:2] != gold[:2]:
        return None
    if answer.kind != gold.kind:
        # a number without its unit may be in another one, but for those that have one alone
        if not gold.kind and answer.plain == gold.plain:
            return True if answer.letter == gold.letter else None
        is_other = {answer.kind, gold.kind} <= {"", "angle", "rate", "density"}
        return False if is_other and answer[:2] != gold[:2] else None
    if answer[:2] == gold[:2]:
        if answer.letter == gold.letter:
            return True
        return False if answer.letter and gold.letter else None
    # ranges that share more than an end
    is_apart = answer.high <= gold.low or gold.high <= answer.low
    is_range = answer.low < answer.high or gold.low < gold.high
    if is_range and not is_apart:
        return None
    is_end = is_range and (answer.low == answer.high or gold.low == gold.high)
    touches = answer.high == gold.low or gold.high == answer.low
    return None if is_end and touches else False


# --- lists, boxes, points ------------------------------------------------------------------------


def _coordinates(text: str) -> list[float] | None:
    """The numbers of a list, or an object, of numbers alone."""
    with suppress(ValueError, RecursionError):
        value = json.loads(text)
        values = [*value.values()] if isinstance(value, dict) else value
        if isinstance(values, list) and len(values) > 1:
            is_numbers = all(type(one) in (int, float) for one in values)
            return [float(one) for one in values] if is_numbers else None
    return None


def numbers_listed(text: str) -> list[float]:
    """All numbers of a text, a range of whole ones as its members; names before "=" go.

    Examples
    --------
    >>> numbers_listed("x1=10, y1=20"), numbers_listed("slices 5-7")
    ([10.0, 20.0], [5.0, 6.0, 7.0])
    """
    plain = re.sub(r'"?conf\w*"?\W+[\d.]+\s*%?', " ", spelled(text)).replace('"', " ")
    plain = re.sub(r"[a-z]\w*\s*[=:]", " ", plain)
    plain = re.sub(r"(?<=\d) (?:to|through|bis) (?=\d)", "-", plain)
    plain = re.sub(r"[a-z_]+", " ", plain)
    listed: list[float] = []
    for match in re.finditer(rf"({_NUMBER})(?:\s?[-–]\s?({_NUMBER}))?", plain):
        low, high = float(match[1]), float(match[2] or match[1])
        if low < high <= low + 100 and low.is_integer() and high.is_integer():
            listed += [low + i for i in range(int(high - low) + 1)]
        else:
            listed += [low] if match[2] is None else [low, high]
    return listed


def _box(answer: list[float], gold: list[float]) -> bool | None:
    """Whether a list of numbers is another: a box that overlaps, or a point near by, is open."""
    if not answer:
        return None
    if answer == gold:
        return True
    if len(answer) == len(gold) == 4:
        across = min(answer[2], gold[2]) - max(answer[0], gold[0])
        down = min(answer[3], gold[3]) - max(answer[1], gold[1])
        return False if across <= 0 or down <= 0 else None
    if len(answer) == len(gold) == 2:
        is_far = any(
            abs(a - b) > 2 + 0.1 * abs(b) for a, b in zip(answer, gold, strict=True)
        )
        return False if is_far else None
    return None if {*answer} & {*gold} else False
