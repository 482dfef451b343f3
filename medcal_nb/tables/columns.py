"""The columns of answers: what each is called, what part it plays, how its cells are read.

`COLUMNS` is the one place that says so; a new column is a line there. Cells are texts, names,
numbers, truth values and tables of probabilities. Each different cell is looked at once, plain
columns as a whole. A cell that does not belong there is refused with file, row, column and value,
and what to write instead.
"""

import json
import math
import re
import tomllib
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medcal_nb.errors import MedcalError
from medcal_nb.measure.decimals import shortest_decimals

# text whose missing cells are NaN, by the name that it has in pandas 2.2
_IS_OLD = pd.__version__.startswith("2.2.")
TEXT = pd.StringDtype("pyarrow_numpy") if _IS_OLD else pd.StringDtype(na_value=np.nan)

#: What columns are called, and words for right and wrong.
KNOWN = tomllib.loads(Path(__file__).with_name("names.toml").read_text("utf-8"))

RIGHT = frozenset(KNOWN["grades"]["right"].split())
WRONG = frozenset(KNOWN["grades"]["wrong"].split())

_PLAIN_NUMBERS = ("float16", "float32", "float64", "int32", "int64")
#: Where a grade may be from (``grade_from``), beside columns and metrics.
RULE = "rule"
PERSON = "a person"
#: How far outside its limits a number may lie: sums of rounded parts do.
ROUNDING = 1e-6

#: Signs that nobody sees, and dashes: two names that differ by them look alike.
_UNSEEN = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff\x00-\x08]")
_DASHES = re.compile("[\u2010-\u2015\u2212]")
_BLANKS = str.maketrans("", "", "\u00a0\u202f\u2009")
#: In names to be looked at: anything but letters and signs of ASCII, or numbers with a point.
_UNPLAIN = r"^$|[^!-~]|\.0+$|[eE]\+?\d\d+$"
_WHOLE = re.compile(r"([+-]?\d+)\.0+", re.ASCII)
#: A long number as spreadsheets shorten it.
_SHORTENED = re.compile(r"[+-]?\d(?:[.,]\d+)?[eE]\+?\d\d+", re.ASCII)
_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?", re.ASCII)


@contextmanager
def of_file(path: object) -> Iterator[None]:
    """Faults inside are of a file: their messages begin with its name, once."""
    try:
        yield
    except MedcalError as error:
        begin = f"{path}: "
        raise MedcalError(begin + str(error).removeprefix(begin)) from error


def fault(
    column: str, row: int, value: Any, problem: object, remedy: str
) -> MedcalError:
    """The error of one cell: row (counted from 1), the user's column, value, what to do."""
    shown = repr(value.item() if isinstance(value, np.generic) else value)
    return MedcalError(
        f"row {row + 1}, column '{column}': value {shown:.60} {problem}; {remedy}"
    )


def refuse(column: str, values: pd.Series, bad: Any, problem: str, remedy: str) -> None:
    """Raise the error of the first cell that is bad, if one is."""
    bad = np.asarray(bad, dtype=bool)
    if bad.any():
        row = int(bad.argmax())
        raise fault(column, row, values.iloc[row], problem, remedy)


def each(
    values: pd.Series,
    read: Callable[[Any], Any],
    column: str,
    remedy: str,
    dtype: Any = object,
) -> pd.Series:
    """What `read` makes of each cell, None where missing; its ValueError is raised with the row.

    Each different cell is read once.
    """
    if values.dtype == object:
        # objects may be lists, and 1 is True to a dictionary: each is one of its own
        is_there = values.notna().to_numpy(bool)
        codes = np.where(is_there, is_there.cumsum() - 1, -1)
        cells = values[is_there].tolist()
    else:
        codes, cells = pd.factorize(values)
    results = np.empty(len(cells) + 1, dtype=object)  # the last is that of code -1
    for k, cell in enumerate(cells):
        try:
            results[k] = read(cell)
        except ValueError as error:
            row = int((codes == k).argmax())
            raise fault(column, row, cell, error, remedy) from None
    return pd.Series(results[codes], values.index, dtype=dtype)


# --- texts ---------------------------------------------------------------------------------------


def texts(values: pd.Series, column: str) -> pd.Series:
    """Cells as texts, whole numbers without a point; lists and the like are refused."""
    is_whole = pd.api.types.is_integer_dtype(values.dtype)
    if is_whole or isinstance(values.dtype, pd.StringDtype):
        return values.astype(TEXT)
    return each(values, _text, column, "write it as text", TEXT)


def _text(cell: Any) -> str:
    if isinstance(cell, float | np.floating):
        if abs(float(cell)) >= 2**53:
            raise ValueError("is rounded, as a number of so many digits")
        cell = int(cell) if float(cell).is_integer() else cell
    if not isinstance(cell, str | int | float | np.number | np.bool_ | Decimal):
        raise ValueError(f"is a {type(cell).__name__}, not text")
    text = str(cell)
    text.encode()  # of half a letter: a ValueError
    return text


def names(values: pd.Series, column: str) -> pd.Series:
    """Names and ids in one normal form: NFKC, plain dashes, single blanks, no decimal zeros.

    Examples
    --------
    >>> names(pd.Series(["a   b", " 7.0", None]), "item").tolist()
    ['a b', '7', nan]
    """
    cells = texts(values, column)
    odd = cells.str.contains(_UNPLAIN, na=False)
    if odd.any():
        plain = each(cells.where(odd), _plain_name, column, "write ids as text", TEXT)
        cells = cells.where(~odd, plain)
    return cells


def _plain_name(name: str) -> str | None:
    text = unicodedata.normalize("NFKC", _UNSEEN.sub("", name))
    text = " ".join(_DASHES.sub("-", text).split())
    if _SHORTENED.fullmatch(text):
        raise ValueError("is a long number that a spreadsheet has shortened")
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text or None


# --- numbers -------------------------------------------------------------------------------------


def numbers(
    values: pd.Series, column: str, remedy: str
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Cells as numbers, NaN where missing, and which of them have a percent sign.

    A comma is a decimal mark. What is no number is refused, with the remedy.
    """
    signed = np.zeros(len(values), dtype=bool)
    if values.dtype in _PLAIN_NUMBERS:
        return shortest_decimals(values.to_numpy()), signed
    if values.dtype == TEXT:
        with suppress(ValueError):  # twenty times as fast, where all are plain numbers
            plain = values.astype("double[pyarrow]")
            return shortest_decimals(plain.to_numpy(float, na_value=math.nan)), signed
    array = np.full(len(values), math.nan)
    known = values.notna().to_numpy(bool)
    pairs = each(values, number, column, remedy)[known]
    array[known] = [one for one, _ in pairs]
    signed[known] = [sign for _, sign in pairs]
    return shortest_decimals(array), signed


def number(cell: Any) -> tuple[float, bool]:
    """A number and whether it has a percent sign; NaN for an empty text.

    Examples
    --------
    >>> number("97,5 %")
    (97.5, True)
    """
    text = str(cell).translate(_BLANKS).strip()
    signed = text.endswith("%")
    text = text.removesuffix("%").rstrip()
    if _COMMA.fullmatch(text):
        text = text.replace(",", ".")
    if "_" in text:  # Python takes 1_0 for ten
        text = "none"
    try:
        return float(text or math.nan), signed
    except ValueError:
        raise ValueError("is not a number") from None


def amounts(values: pd.Series, column: str) -> pd.Series:
    """Numbers of seconds and the like."""
    remedy = f"write a number, or leave it empty; {column}= (nothing) takes it as it is"
    array, _ = numbers(values, column, remedy)
    return pd.Series(array, values.index)


def counts(values: pd.Series, column: str) -> pd.Series:
    """Counts as whole numbers, missing where they are."""
    array = amounts(values, column)
    is_odd = (array % 1 > 0) | (array < 0) | (array > 2**53)
    refuse(column, values, is_odd, "is no count", "write a whole number")
    return array.astype("Int64")


# --- grades and tables ---------------------------------------------------------------------------


def flags(values: pd.Series, column: str) -> pd.Series:
    """Cells that say right or wrong, in any of the words, as nullable booleans."""
    remedy = "write true/false or 1/0, or leave it empty"
    if not pd.api.types.is_bool_dtype(values.dtype):
        values = each(values, _flag, column, remedy)
    return values.astype("boolean")


def _flag(cell: Any) -> bool | None:
    word = str(cell).strip().casefold()
    if word and word not in RIGHT | WRONG:
        raise ValueError("is neither true nor false")
    return word in RIGHT if word else None


def golds(values: pd.Series, column: str) -> pd.Series:
    """Right answers as texts; several that count are a JSON list of texts."""
    remedy = "write one text, or a list of the texts that count as correct"
    if values.dtype == object:
        return each(values, _gold, column, remedy, TEXT)
    return texts(values, column)


def _gold(cell: Any) -> str:
    if not isinstance(cell, list | tuple | np.ndarray):
        return _text(cell)
    if not len(cell) or not all(isinstance(one, str) for one in cell):
        raise ValueError("is not a list of texts")
    return as_json(list(cell)) if len(cell) > 1 else cell[0]


def option_tables(values: pd.Series, column: str) -> pd.Series:
    """Probabilities of options, each row a dictionary or None."""
    remedy = 'write JSON of probabilities such as {"yes": 0.8, "no": 0.2}'
    return each(values, _options, column, remedy)


def _options(cell: Any) -> dict[str, float] | None:
    if cell == "":
        return None
    try:
        table = dict(json.loads(cell) if isinstance(cell, str) else cell)
        shares = {str(name): float(p) for name, p in table.items() if p is not None}
    except (TypeError, ValueError, RecursionError):
        raise ValueError("is not a table of names and values") from None
    if not all(0 <= p <= 1 + ROUNDING for p in shares.values()):
        raise ValueError("holds a value that is not a probability")
    return shares


def as_json(cell: Any) -> str:
    """A cell as JSON on one line, floats to the last digit; ValueError where it has no JSON."""
    try:
        return _JSON.encode(cell)
    except (TypeError, RecursionError):
        raise ValueError(f"({type(cell).__name__}) cannot be kept") from None


def _plain(value: Any) -> Any:
    """What JSON holds in the place of numpy's values and of dates."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return value.isoformat() if hasattr(value, "isoformat") else json.dumps(value)


_JSON = json.JSONEncoder(
    default=_plain, ensure_ascii=False, allow_nan=False, separators=(",", ":")
)


# --- the schema ----------------------------------------------------------------------------------


class Column(NamedTuple):
    """What is known of a column of answers.

    Attributes
    ----------
    read : callable
        (cells, the user's name of the column) -> the cells in their one form.
    parts : str
        Words, with blanks between them:

        - key: with the others of this part, what makes a reply one reply
        - item: carried from the question that was asked
        - reply: differs from one reply to the same question to the next
        - always: every table of `load_answers` has it
        - value: may be one value for all rows, which is named in the place of a column
        - cell: a word for nothing in it is a missing cell
        - sum: added up over the replies that make one answer
    """

    read: Callable[[pd.Series, str], pd.Series]
    parts: str


def _as_it_is(values: pd.Series, column: str) -> pd.Series:
    """A confidence: its scale hangs on the other columns."""
    return values


COLUMNS = {
    "run_id": Column(texts, "reply"),
    "model": Column(names, "key always value"),
    "reader": Column(texts, ""),
    "dataset": Column(names, "key item always value"),
    "domain": Column(texts, "item always value"),
    "item_id": Column(names, "key item always"),
    "image_id": Column(names, "item always"),
    "modality": Column(texts, "item always"),
    "question_type": Column(texts, "item always"),
    "split": Column(texts, "item always value"),
    "strategy": Column(names, "key always value"),
    "sample": Column(counts, "key"),
    "answer": Column(texts, "reply always cell"),
    "gold": Column(golds, "item always cell"),
    "confidence": Column(_as_it_is, "reply always cell"),
    "correct": Column(flags, "reply always cell"),
    "grade_from": Column(texts, "reply"),
    "confidence_from": Column(texts, "reply"),
    "option_probabilities": Column(option_tables, "reply"),
    "raw": Column(texts, "reply"),
    "parse_ok": Column(flags, "reply"),
    "prompt_tokens": Column(counts, "sum"),
    "new_tokens": Column(counts, "reply sum"),
    "seconds": Column(amounts, "reply sum"),
}

#: Columns of answers, in order. Others may follow them and are kept.
ANSWER_COLUMNS = list(COLUMNS)


def columns_of(part: str) -> list[str]:
    """The columns that play a part, in order.

    Examples
    --------
    >>> columns_of("key")
    ['model', 'dataset', 'item_id', 'strategy', 'sample']
    """
    return [name for name, column in COLUMNS.items() if part in column.parts.split()]


#: What makes a reply one reply.
KEY = columns_of("key")
#: What makes an answer one answer, of however many replies.
ANSWER_KEY = KEY[:-1]
#: Columns that every table of `load_answers` has.
GRADED_COLUMNS = columns_of("always")

#: Names that each of our columns, the options and the reply go by, a line of them after the other.
NAMES = {name: [name, *KNOWN["columns"].pop(name, ())] for name in COLUMNS}
NAMES |= KNOWN["columns"]
