"""The answers table: one table of columns, and the one check of what stands in them.

A row is one reply of one model to one item under one strategy. Tables are handled in blocks: a
dict of lists, one list a column, None where a value is missing. Values are checked alike on their
way in (rows, frames, files) and on their way out of a log.
"""

import contextlib
import json
import math
import re
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
import pandas as pd

from medcal_nb.errors import MedcalError

TEXT = pd.StringDtype(na_value=np.nan)
ROUNDING = 1e-6
"""How far outside its limits a probability may lie, of their distance: sums of rounded parts do."""
WELL_ABOVE_1 = 1.5
"""Values up to here may be slips of a probability, not percent."""
DECIMAL_COMMA = re.compile(r"\s*-?\d+,\d+\s*%?\s*", re.ASCII)
_DEPTH = 64
_LARGEST = 2**63 - 1
_WORDS = dict.fromkeys(("true", "1", "1.0", "yes"), True)
_WORDS |= dict.fromkeys(("false", "0", "0.0", "no"), False)


@dataclass(frozen=True)
class Column:
    """One column: what it may hold, and what to do about anything else."""

    name: str
    kind: str = "text"
    remedy: str = "write it as text"
    required: bool = False
    allowed: tuple[str, ...] = ()
    top: float = 1.0


_KEY_REMEDY = "every answer needs one, it is part of the key"
_DOMAINS = ("general", "medical", "other")
_TYPES = ("closed", "choice", "open", "score")
_DROP = "drop this column, or write it as text"
_GIVE_DOMAIN = "give --domain general, --domain medical or --domain other"
_GIVE_SPLIT = "give --split fit or --split test, or map the values"
_GIVE_CONFIDENCE = "write 0.85 for 85 %; --percent is for a column that is in percent throughout"
_GIVE_GOLD = "write one text, or a list of the texts that count as correct"
_COLUMNS = (
    Column("run_id"),
    Column("model", required=True),
    Column("dataset", required=True),
    Column("domain", remedy=_GIVE_DOMAIN, allowed=_DOMAINS),
    Column("item_id", required=True),
    Column("image_id"),
    Column("modality"),
    Column("question_type", remedy="rename the column or map its values", allowed=_TYPES),
    Column("split", remedy=_GIVE_SPLIT, allowed=("fit", "test")),
    Column("strategy", required=True),
    Column("sample", "count", "write a count", required=True),
    Column("answer"),
    Column("confidence", "unit", _GIVE_CONFIDENCE),
    Column("option_probabilities", "options", "write numbers from 0 to 1"),
    Column("correct", "flag", "write true/false or 1/0"),
    Column("gold", "gold", _GIVE_GOLD),
    Column("raw"),
    Column("parse_ok", "flag", "write true/false or 1/0"),
    Column("prompt_tokens", "count", "write a count"),
    Column("new_tokens", "count", "write a count"),
    Column("seconds", "amount", "mend the value or leave it empty"),
)
COLUMNS = {column.name: column for column in _COLUMNS}

ANSWER_COLUMNS = list(COLUMNS)
"""Columns of the answers table, in order. Others may follow them and are kept."""

STORED = [*ANSWER_COLUMNS, "extra"]
"""Columns of the log: those that are not ours stand together in ``extra``, as JSON."""

KEY = ("model", "dataset", "item_id", "strategy", "sample")
"""What makes an answer one answer: no two rows share it."""

GRADED_COLUMNS = [
    *("model", "dataset", "domain", "item_id", "image_id", "modality", "question_type", "split"),
    *("strategy", "answer", "confidence", "option_probabilities", "correct", "gold", "n_answers"),
    *("prompt_tokens", "new_tokens", "seconds"),
]
"""Columns of a table of graded answers: one row per model, data set, item and strategy."""


@dataclass(frozen=True)
class Kind:
    """How values are kept in SQL, in a frame, in a file; and which kept ones are damaged."""

    sql: str
    dtype: object
    written: str
    damaged: str


_IS_NUMBER = "typeof({0}) IN ('real', 'integer')"
_NO_COUNT = "typeof({0}) != 'integer' OR {0} < 0"
_NO_TABLE = "NOT json_valid({0}) OR json_type({0}) != 'object'"
KINDS = {
    "text": Kind("TEXT", TEXT, "string", "typeof({0}) != 'text'"),
    "unit": Kind("REAL", float, "float64", f"NOT ({_IS_NUMBER} AND {{0}} BETWEEN 0 AND 1)"),
    "amount": Kind("REAL", float, "float64", f"NOT ({_IS_NUMBER} AND {{0}} BETWEEN 0 AND 1e308)"),
    "count": Kind("INTEGER", "Int64", "int64", _NO_COUNT),
    "flag": Kind("INTEGER", "boolean", "bool", _NO_COUNT + " OR {0} > 1"),
    "options": Kind("TEXT", object, "json", _NO_TABLE),
    "gold": Kind("TEXT", object, "json", "typeof({0}) != 'text'"),
}


def damage(name: str) -> str:
    """The condition, in SQL, under which a kept value of this column is damaged."""
    column = COLUMNS.get(name, Column(name, "options"))
    wrong = KINDS[column.kind].damaged.format(name)
    if column.allowed:
        wrong += " OR {} NOT IN ({})".format(name, ", ".join(f"'{v}'" for v in column.allowed))
    missing = f"{name} IS NULL OR {name} = '' OR " if column.required else f"{name} NOTNULL AND "
    return f"({missing}({wrong}))"


def to_storage(columns: dict[str, list], *, where="answers", first_row=1, told=None):
    """Check a block and bring it into the form in which the log keeps it.

    Parameters
    ----------
    columns : dict of lists
        Needs model, dataset, item_id, strategy. ``sample`` is 0 where it is not given, other
        columns are missing; those that are not ours are packed into ``extra``.
    where : str
        Name of the file or table, for messages, which name row, column, value and remedy.
    first_row : int
        Number of the block's first row.
    told : dict, optional
        Columns that stand in for some of `COLUMNS`: what the user calls them, and holds in them.
    """
    n = len(next(iter(columns.values()), ()))
    stored = {}
    for name, column in (COLUMNS | (told or {})).items():
        if name in columns:
            stored[name] = check_column(columns[name], column, where, first_row)
            if column.kind == "flag":
                stored[name] = [v if v is None else int(v) for v in stored[name]]
        elif column.required and name != "sample":
            shown = ", ".join(map(str, columns))
            raise MedcalError(f"{where}: no column '{name}'; columns are {shown}")
        else:
            stored[name] = [0 if name == "sample" else None] * n
    others = sorted((name for name in columns if name not in COLUMNS), key=str)
    stored["extra"] = _extra({name: columns[name] for name in others}, n, where, first_row)
    return stored


def check_column(values: list, column: Column, where="answers", first_row=1) -> list:
    """The values of one column as the log keeps them; the first that does not fit is refused."""
    found = _typed(values, column)
    if found is None:
        found = _converted(values, column, where, first_row)
    if column.required and (None in found or "" in found):
        row = next(i for i, v in enumerate(found) if v is None or v == "")
        raise fault(where, first_row + row, column.name, None, "is missing", _KEY_REMEDY)
    for wrong in {*found} - {None, *column.allowed} if column.allowed else ():
        problem = f"is not one of {', '.join(column.allowed)}"
        row = first_row + found.index(wrong)
        raise fault(where, row, column.name, wrong, problem, column.remedy)
    return found


def from_storage(stored: dict[str, list], columns=None, others=None) -> pd.DataFrame:
    """The frame that people work with, from the form in which the log keeps it.

    ``extra`` is unpacked into the columns `others`, all that occur by default; `columns` says
    which columns there are to be, and in which order.
    """
    out = {}
    for name in (n for n in stored if n in COLUMNS):
        values, kind = stored[name], COLUMNS[name].kind
        dtype = "int64" if name == "sample" else KINDS[kind].dtype
        if kind == "options":
            values = [v if v is None else json.loads(v) for v in values]
        elif kind == "gold":
            listed = any(v is not None and v.startswith("[") for v in values)
            values = [accepted(v) or v for v in values] if listed else values
            dtype = object if listed else TEXT
        out[name] = pd.Series(values, dtype=dtype)
    frame = pd.DataFrame(out, index=pd.RangeIndex(len(next(iter(stored.values()), ()))))
    if "extra" in stored:
        rows = [{} if v is None else json.loads(v) for v in stored["extra"]]
        for name in sorted({n for row in rows for n in row}) if others is None else others:
            frame[name] = pd.Series([row.get(name) for row in rows]).infer_objects()
    return frame if columns is None else frame[list(columns)]


def block_of(frame: pd.DataFrame, where="answers") -> dict[str, list]:
    """A frame as a block."""
    if frame.columns.has_duplicates:
        name = frame.columns[frame.columns.duplicated()][0]
        raise MedcalError(f"{where}: two columns are called '{name}'; rename or drop one of them")
    objects = frame.astype(object).where(frame.notna(), None)
    return {name: values.tolist() for name, values in objects.items()}


def fault(where, row, column, value, problem, remedy) -> MedcalError:
    """One line that names file, row, column, value and what to do."""
    try:
        shown = repr(value)
    except (RecursionError, ValueError):  # nested too deep, or longer than Python writes out
        shown = type(value).__name__
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    return MedcalError(f"{where}: row {row}, column '{column}': value {shown} {problem}; {remedy}")


def encode_json(value) -> str:
    """JSON on one line, floats to the last digit, no escapes for plain letters."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def accepted(text) -> list[str] | None:
    """The list in a text that reads as a JSON list of texts, else None."""
    value = None
    if text is not None and text.startswith("["):
        with contextlib.suppress(ValueError, RecursionError):
            value = json.loads(text)
    texts = isinstance(value, list) and value and all(isinstance(v, str) for v in value)
    return value if texts else None


# --- one value, or a whole column of one type ----------------------------------------------------


class _Odd(Exception):
    """What is wrong with a value, and its remedy where that is not the column's."""


def _typed(values, column) -> list | None:
    """A column that is of its type throughout, as most are; None where it needs a closer look."""
    known = [v for v in values if v is not None] if None in values else values
    types, kind = {*map(type, known)}, column.kind
    low, high, _ = _LIMITS.get(kind, (0, 0, ""))
    if (
        not types
        or (types == {str} and kind == "text" and "".join(known).isascii())
        or (types == {bool} and kind == "flag")
        or (types == {int} and kind == "count" and low <= min(known) <= max(known) <= high)
    ):
        return values
    if types == {float} and kind in ("unit", "amount", "score"):
        array = np.array(values, dtype=float)
        if not ((array < low) | (array > high * column.top)).any():
            kept = (array / column.top).astype(object)
            kept[np.isnan(array)] = None
            return kept.tolist()
    return None


def _converted(values, column, where, first_row):
    """Look at every value; texts repeat themselves, and are looked at once."""
    convert, found = _CONVERT[column.kind], []
    known: dict = {}
    try:
        for value in values:
            kept = known.get(value) if type(value) is str else None
            if kept is None and not _is_missing(value):
                kept = convert(value, column)
                if type(value) is str and len(known) < 4096:
                    known[value] = kept
            found.append(kept)
    except _Odd as odd:
        problem, remedy = (*odd.args, None)[:2]
        row, value = first_row + len(found), values[len(found)]
        raise fault(where, row, column.name, value, problem, remedy or column.remedy) from None
    return found


def _is_missing(value) -> bool:
    absent = value is None or value is pd.NA or value is pd.NaT
    return absent or (isinstance(value, Real) and value != value)


_LIMITS = {
    "unit": (0.0, 1.0, "is outside 0 to {:g}"),
    "amount": (0.0, np.finfo("float64").max, "is not a finite number from 0 up"),
    "count": (0, 2**53, "is not a finite number from 0 up"),
    "score": (-math.inf, math.inf, ""),
}


def _number(value, column):
    """A number within the limits of its kind, as a share of the top; None for an empty text."""
    number = _float(value, column)
    if number is None:
        return None
    low, high, problem = _LIMITS[column.kind]
    slack = ROUNDING * column.top if column.kind == "unit" else 0
    if not low - slack <= number <= high * column.top + slack:
        raise _Odd(problem.format(column.top), _outside(number, column))
    if column.kind != "count":
        return min(max(number, low), high * column.top) / column.top
    if number != math.floor(number):
        raise _Odd("is not a whole number")
    return int(number)


def _float(value, column) -> float | None:
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real | str):
        raise _Odd("is not a number")
    if isinstance(value, str):
        value = value.strip().replace("_", "?")  # Python would take 1_0 for ten
        value = value.removesuffix("%").strip() if column.top == 100 else value
        if value == "":
            return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        comma = isinstance(value, str) and DECIMAL_COMMA.fullmatch(value)
        remedy = "write a decimal point, not a comma" if comma else None
        raise _Odd("is not a number", remedy) from None
    return None if number != number else number


def _outside(number, column) -> str | None:
    """What to do, where that is not the column's remedy."""
    if column.kind != "unit" or column.top != 1 or WELL_ABOVE_1 < number <= 100:
        return None
    if 1 < number <= WELL_ABOVE_1:
        return "it is slightly above 1: clip it to 1 if that is rounding, else mend it"
    return "a confidence is a probability of being correct: mend the value or drop the row"


def _flag(value, column):
    if isinstance(value, Real | np.bool_) and value in (0, 1):
        return bool(value)
    word = value.strip().lower() if isinstance(value, str) else None
    if word != "" and word not in _WORDS:
        raise _Odd("is neither true nor false")
    return _WORDS.get(word)


def _text(value, column):
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    if not isinstance(value, str | Real | np.bool_):
        raise _Odd(f"is a {type(value).__name__}, not text", "write it as text")
    try:
        return _encodable(str(value))
    except ValueError:
        raise _Odd("is too large a number", "write it as text") from None


def _gold(value, column):
    value = accepted(value) or value if isinstance(value, str) else value
    if not isinstance(value, list | tuple | set | np.ndarray):
        return _text(value, column)
    texts = sorted(value, key=str) if isinstance(value, set) else list(value)
    if not texts or not all(isinstance(v, str) for v in texts):
        raise _Odd("is not a list of texts")
    return encode_json([_encodable(text) for text in texts])


def _options(value, column):
    if value == "":
        return None
    try:
        table = json.loads(value) if isinstance(value, str) else value
        table = dict(table) if isinstance(table, list) else table  # Arrow maps arrive as pairs
    except (TypeError, ValueError, RecursionError):
        table = None
    if not isinstance(table, dict):
        remedy = 'write JSON such as {"yes": 0.8, "no": 0.2}'
        raise _Odd("is not a table of option and probability", remedy)
    table = {_encodable(str(k)): v for k, v in table.items() if v is not None}
    for option, p in table.items():
        if isinstance(p, bool) or not isinstance(p, Real) or not 0 <= p <= 1 + 1e-9:
            raise _Odd(f"holds {option!r}: {str(p)[:40]}, which is not a probability")
    return encode_json({k: float(p) for k, p in table.items()})


def _plain(value, column, depth=0):
    """A value that JSON can hold, None where missing."""
    if depth > _DEPTH:
        raise _Odd(f"is nested more than {_DEPTH} deep")
    if isinstance(value, str):
        return _encodable(value)
    if isinstance(value, dict):
        return {_encodable(str(k)): _plain(v, column, depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(v, column, depth + 1) for v in value]
    if _is_missing(value):
        return None
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, Integral):
        if abs(value) > _LARGEST:
            raise _Odd("is a whole number beyond 64 bits")
        return int(value)
    if isinstance(value, Real) and math.isfinite(value):
        return float(value)
    if hasattr(value, "isoformat"):
        return value.isoformat()
    raise _Odd(f"({type(value).__name__}) cannot be kept")


_CONVERT = {"text": _text, "flag": _flag, "gold": _gold, "options": _options, "extra": _plain}
_CONVERT |= dict.fromkeys(_LIMITS, _number)


def _encodable(text) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _Odd("is not valid Unicode", "save the file as UTF-8") from None
    return text


def _extra(columns, n, where, first_row) -> list:
    """What is not ours, as one JSON text a row; a column ``extra`` of tables is unpacked."""
    told = {
        str(name): check_column(values, Column(str(name), "extra", _DROP), where, first_row)
        for name, values in columns.items()
    }
    tables = told.pop("extra", None)
    if tables is None and not told:
        return [None] * n
    rows = []
    for i in range(n):
        row = {name: values[i] for name, values in told.items() if values[i] is not None}
        if tables is not None and tables[i] is not None:
            row = dict(sorted((_object(tables[i], where, first_row + i) | row).items()))
        rows.append(encode_json(row) if row else None)
    return rows


def _object(value, where, row) -> dict:
    with contextlib.suppress(ValueError, RecursionError):
        table = json.loads(value) if isinstance(value, str) else value
        if isinstance(table, dict):
            return table
    problem = "is not a table of names and values"
    raise fault(where, row, "extra", value, problem, "write a JSON object")
