"""How people and spreadsheets write numbers and grades: percent signs, decimal commas, words."""

import re
from collections.abc import Iterable

from medcal_nb.errors import MedcalError

RIGHT = frozenset(
    [
        "true",
        "t",
        "yes",
        "y",
        "1",
        "1.0",
        "right",
        "correct",
        "ja",
        "j",
        "richtig",
        "korrekt",
        "wahr",
        "oui",
        "o",
        "juste",
        "vrai",
        "sí",
        "si",
        "verdadero",
        "correcto",
    ]
)
WRONG = frozenset(
    [
        "false",
        "f",
        "no",
        "n",
        "0",
        "0.0",
        "wrong",
        "incorrect",
        "nein",
        "falsch",
        "inkorrekt",
        "unwahr",
        "non",
        "faux",
        "incorrecte",
        "falso",
        "incorrecto",
    ]
)
"""Words for a right and a wrong answer, in small letters. "Correct" is the same in French."""

_PLAIN = frozenset(["true", "false", "True", "False", "1", "0", "yes", "no"])
_BLANKS = str.maketrans("", "", "\u00a0\u202f\u2009")
_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?", re.ASCII)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+", re.ASCII)


def as_grades(values: list) -> list:
    """Truth values for the words of `RIGHT` and `WRONG`; anything else as it is.

    Parameters
    ----------
    values : list
        Cells of one column.

    Returns
    -------
    list
        As long as `values`.

    Examples
    --------
    >>> as_grades(["incorrect", "Ja", None, 1])
    [False, True, None, 1]
    """
    try:
        different = set(values)
    except TypeError:  # a list is no grade, and is refused with its row
        return values
    different = {value for value in different if isinstance(value, str)}
    known = {}
    for value in different:
        word = value.strip().casefold()
        if word in RIGHT:
            known[value] = True
        elif word in WRONG:
            known[value] = False
    if different <= _PLAIN or not known:
        return values  # digits and English truth values are read by the column itself
    return [
        known.get(value, value) if type(value) is str else value for value in values
    ]


def plain_number(text: str, *, comma: bool) -> str:
    """The text of a number with a point as its decimal mark, and without blanks of print.

    Parameters
    ----------
    text : str
        A cell.
    comma : bool
        A comma is a decimal mark, so "0,85" is 0.85.
    """
    text = text.translate(_BLANKS).strip()
    number = text.removesuffix("%").rstrip()
    if comma and _COMMA.fullmatch(number):
        return text.replace(",", ".")
    return text


def is_decimal_comma(texts: Iterable[str]) -> bool:
    """Whether a column of scores plainly has decimal commas, and no commas of thousands.

    Parameters
    ----------
    texts : iterable of str
        Cells of one column that are texts.
    """
    numbers = [text.translate(_BLANKS).strip().removesuffix("%") for text in texts]
    with_comma = [number for number in numbers if "," in number]
    return any(not _THOUSANDS.fullmatch(number) for number in with_comma)


class ConfidenceCells:
    """The cells of a column of confidences, as numbers or as texts that read as one.

    A cell with a percent sign says so itself. Within one column either every cell has the sign
    or none: "95 %" beside "0.95" is refused, as a number without a sign could be either. A comma
    is a decimal mark, as no confidence reaches a thousand.

    Parameters
    ----------
    where, name : str
        File and column, for messages.
    percent : bool
        All numbers run from 0 to 100; the sign may stand beside some of them.
    """

    def __init__(self, where: str, name: str, *, percent: bool) -> None:
        self.where = where
        self.name = name
        self.percent = percent
        self.signed: bool | None = None

    def read(self, values: list, first_row: int) -> list:
        """The cells of one block, percentages as shares unless all are percentages.

        Raises
        ------
        MedcalError
            Naming the row of a cell with another sign than those before it.
        """
        try:
            together = "\n".join(values)
        except TypeError:  # some cells are numbers, or empty
            together = "\n".join([value for value in values if type(value) is str])
        signs = "%" in together or "," in together
        if together.isascii() and not signs and not self.signed:
            # nothing but digits and points: read as they are
            if any(value not in (None, "") for value in values):
                self.signed = False
            return values
        cells = []
        for row, value in enumerate(values, first_row):
            cells.append(self._cell(value, row))
        return cells

    def _cell(self, value, row):
        if value is None or value == "":
            return value
        text = plain_number(value, comma=True) if isinstance(value, str) else value
        if self.percent:
            return text
        signed = isinstance(text, str) and text.endswith("%")
        if self.signed is None:
            self.signed = signed
        if signed != self.signed:
            self._refuse(row, value)
        if not signed:
            return text
        try:
            return float(text.removesuffix("%")) / 100
        except ValueError:
            return text  # refused by the check of the column, with its row

    def _refuse(self, row, value):
        problem = "some cells of the column have a percent sign and some have none"
        raise MedcalError(
            f"{self.where}: row {row}, column '{self.name}': value {value!r:.60}: {problem}; "
            "write all alike, or give --percent if all run from 0 to 100"
        )
