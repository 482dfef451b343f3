"""Which column of a table is which of ours: as it was named, else as it is called."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from string import ascii_uppercase

import pandas as pd

from medcal_nb.errors import MedcalError, did_you_mean

#: A column of one option of each question.
_OPTION_COLUMN = re.compile(r"([A-Z])|(?i:(?:option|opt|choice)s?[ _.]?([a-z]))")
_MOST_SHOWN = 40


def plain_column(name: object) -> str:
    """A column's name in small letters without accents, its words joined by ``_``.

    Examples
    --------
    >>> plain_column("Konfidenz (%)"), plain_column("isCorrect")
    ('konfidenz', 'is_correct')
    """
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", str(name)).casefold()
    text = re.sub(r"[\u0300-\u036f]", "", unicodedata.normalize("NFKD", text))
    return re.sub(r"[^a-z0-9]+", "_", text).strip("_")


def _holds_something(ours: str, name: str, values: pd.Series) -> bool:
    return name == ours or bool(values.notna().any())


def match_columns(
    raw: pd.DataFrame,
    names: Mapping[str, Sequence[str]],
    named: Mapping[str, str],
    fits: Callable[[str, str, pd.Series], bool] = _holds_something,
) -> dict[str, str]:
    """The column of a table that each of ours is taken from.

    Parameters
    ----------
    raw : DataFrame
    names : mapping
        Of each of ours the lines of names that it goes by: the first line that has a column
        decides, and two columns of one line are asked about.
    named : mapping
        Of ours to theirs, as the user named them; an empty name says that there is none.
    fits : callable
        (ours, their name, cells) → whether the cells may be one of ours.

    Returns
    -------
    dict
        Of ours to theirs, of those that there are.

    Raises
    ------
    MedcalError
        Where two columns may be the same one of ours.
    """
    taken = {ours: theirs for ours, theirs in named.items() if theirs in raw}
    free = [name for name in raw if name not in taken.values()]
    for ours, lines in names.items():
        candidates = []
        if ours not in named:
            candidates = _candidates(ours, lines, raw[free], fits)
        if len(candidates) > 1:
            shown = ", ".join(map(repr, candidates))
            raise MedcalError(
                f"{len(candidates)} columns may be the {ours}: {shown}; name one: "
                f"{ours}={candidates[0]}, or {ours}= (nothing)"
            )
        if candidates:
            taken[ours] = candidates[0]
            free.remove(candidates[0])
    return taken


def _candidates(
    ours: str, lines: Iterable[str], free: pd.DataFrame, fits: Callable
) -> list[str]:
    """The columns that one of ours may be taken from: of the first line of names that has any."""
    for line in lines:
        words = line.split()
        there = [name for name in free if plain_column(name) in words]
        fitting = [name for name in there if fits(ours, name, free[name])]
        if fitting:
            return fitting
    return []


def lacking(problem: str, name: str, raw: pd.DataFrame) -> MedcalError:
    """The error of a column that is not there, with the nearest name and those that there are."""
    shown = ", ".join(map(str, raw.columns[:_MOST_SHOWN]))
    near = did_you_mean(name, raw.columns)
    return MedcalError(f"{problem}{near}; columns are {shown}")


def option_columns(raw: pd.DataFrame, taken: Iterable[str]) -> dict[str, str]:
    """Columns of one option each (A, B, C … or option_a, option_b …), and their letters.

    Examples
    --------
    >>> option_columns(pd.DataFrame(columns=["q", "option_a", "option_b"]), ["q"])
    {'option_a': 'A', 'option_b': 'B'}
    """
    letters = {}
    for name in raw.columns.difference([*taken], sort=False):
        letter = _OPTION_COLUMN.fullmatch(str(name).strip())
        if letter:
            letters[name] = (letter[1] or letter[2]).upper()
    shown = sorted(letters.values())
    is_whole = len(shown) > 1 and shown == [*ascii_uppercase[: len(shown)]]
    return letters if is_whole else {}


def options_by_letter(raw: pd.DataFrame, letters: Mapping[str, str]) -> list[dict]:
    """The options of each row from its columns of one option each, by letter."""
    table = raw[[*letters]].rename(columns=letters)
    rows: list[dict] = (
        table.astype(object).where(table.notna(), None).to_dict("records")
    )
    return rows
