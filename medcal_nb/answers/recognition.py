"""Which column of somebody's table is which of ours, where that is plain; else it is asked."""

import re
import unicodedata
from collections.abc import Iterable, Mapping

import pandas as pd

from medcal_nb.answers.cells import KNOWN, RIGHT, WRONG, number
from medcal_nb.errors import MedcalError, did_you_mean

#: Names that each of our columns goes by, a line of them after the other.
NAMES: dict[str, list[str]] = KNOWN["columns"]

#: Ours that are a column where the table has one of the name, else one value for all rows.
COLUMN_OR_VALUE = ("model", "strategy", "dataset", "domain", "split")

_OPTIONAL = ("answer", "gold", "strategy", "modality", "reader", "options")
_SCORES = re.compile(r"(?:logit|logits|logprob|log_prob)_[^_]+", re.IGNORECASE)
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"})
_MOST_WORDS = 50
_MOST_LOOKED_AT = 5000


def plain_column(name: object) -> str:
    """A column's name in small letters without accents, its words joined by ``_``.

    Examples
    --------
    >>> plain_column("Konfidenz (%)"), plain_column("isCorrect")
    ('konfidenz', 'is_correct')
    """
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", str(name)).casefold()
    text = unicodedata.normalize("NFC", text).translate(_UMLAUTS)
    text = re.sub(r"[\u0300-\u036f]", "", unicodedata.normalize("NFKD", text))
    return re.sub(r"[^a-z0-9]+", "_", text).strip("_")


def recognise(
    raw: pd.DataFrame, named: Mapping[str, str], file: str
) -> tuple[dict[str, str], list[str]]:
    """Which column of a table each of ours is taken from, and what was left open.

    Names and contents have to agree: a column called "score" is the confidence where it holds
    fractions and the grade where it holds 0 and 1 alone.

    Parameters
    ----------
    raw : DataFrame
    named : mapping
        Of ours to theirs, as the user named them; an empty name says that there is none.
    file : str
        For messages.

    Raises
    ------
    MedcalError
        Where two columns may be the one that is needed, where one that was named is not there, and
        where nothing says how sure, or how right, the answers are.
    """
    for ours, theirs in named.items():
        if theirs and theirs not in raw and ours not in COLUMN_OR_VALUE:
            raise _lacking(file, f"no column '{theirs}', which was named", theirs, raw)
    taken = {ours: theirs for ours, theirs in named.items() if theirs in raw}
    free = [name for name in raw if name not in taken.values()]
    asked = []
    for ours in NAMES:
        candidates = [] if ours in named else _candidates(ours, free, raw)
        names = ", ".join(map(repr, candidates))
        if len(candidates) > 1 and ours not in _OPTIONAL:
            problem = f"{len(candidates)} columns may be the {ours}: {names}"
            raise MedcalError(f"{file}: {problem}; name one: {ours}={candidates[0]}")
        if len(candidates) > 1:
            asked.append(f"{ours}: {names} may be it, none is taken")
        elif candidates:
            taken[ours] = candidates[0]
            free.remove(candidates[0])
    if "confidence" not in taken:
        problem = "no column 'confidence'; name it by confidence=COLUMN (-c on the command line), "
        problem += "or option scores by logits=A,B or probabilities=A,B"
        raise _lacking(file, problem, "confidence", raw)
    if "correct" not in taken and not {"answer", "gold"} <= {*taken}:
        problem = "nothing says which answers are correct; name a column by correct=COLUMN, or two "
        raise _lacking(
            file, problem + "by answer=COLUMN and gold=COLUMN", "correct", raw
        )
    return taken, asked


def option_scores(names: Iterable[object]) -> list[str]:
    """Columns that are called as scores of options are (``logit_A``, ``logprob_B``), if several."""
    scores = [str(name) for name in names if _SCORES.fullmatch(str(name))]
    return scores if len(scores) > 1 else []


def _lacking(file, problem, name, raw):
    shown = ", ".join(map(str, raw.columns[:40]))
    near = did_you_mean(name, raw.columns)
    return MedcalError(f"{file}: {problem}{near}; columns are {shown}")


def _candidates(ours: str, free: list[str], raw: pd.DataFrame) -> list[str]:
    """The columns that one of ours may be taken from: of the first line of names that has any."""
    for line in NAMES[ours]:
        there = [name for name in free if plain_column(name) in line.split()]
        if fitting := [name for name in there if _fits(ours, name, raw[name])]:
            return fitting
    return []


def _fits(ours: str, name: str, values: pd.Series) -> bool:
    """Whether what stands in a column may be one of ours."""
    if name == ours:
        return True  # what does not fit is refused with its row
    if ours == "correct":
        return is_grade(values)
    if ours == "confidence":
        may_be_grade = plain_column(name) in NAMES["correct"][-1]
        return _is_number(values) and not (may_be_grade and is_grade(values))
    return bool(values.notna().any())


def words_of(values: pd.Series) -> set[str]:
    """The different cells of a column in small letters, if they are few; else none."""
    try:
        cells = values.dropna().unique()
    except TypeError:  # lists and tables
        return set()
    few = cells if len(cells) <= _MOST_WORDS else []
    return {str(cell).strip().casefold() for cell in few} - {""}


def is_grade(values: pd.Series) -> bool:
    """Whether every cell says right or wrong."""
    words = words_of(values)
    return bool(words) and words <= RIGHT | WRONG


def _is_number(values: pd.Series) -> bool:
    """Whether nearly all cells are numbers: a few may be refusals in words."""
    cells = values[values.notna() & (values != "")].iloc[:_MOST_LOOKED_AT]
    n = 0
    for cell in cells:
        try:
            number(cell)
            n += 1
        except ValueError:
            pass
    return n > 0.9 * len(cells)
