"""The answers table: one table of columns, and the one check of what stands in them.

A row is one reply of one model to one item under one strategy. Values are checked alike on their
way in (rows, frames, files) and on their way out of a log.
"""

import contextlib
import json
import math
import re
from collections.abc import Sequence
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
_TRUE, _FALSE = {"true", "1", "1.0", "yes"}, {"false", "0", "0.0", "no"}


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
_GIVE_CONFIDENCE = "write 0.85 for 85 %, or add --percent where the column is in percent"
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


class _Odd(Exception):
    """What is wrong with a value, and its remedy where that is not the column's."""


def check_answers(df: pd.DataFrame, *, where: str = "answers") -> pd.DataFrame:
    """Return the answers with every column present and typed, or say what is wrong.

    Parameters
    ----------
    df : DataFrame
        Needs model, dataset, item_id, strategy. ``sample`` is 0 where it is not given, other
        columns are missing. Columns that are not ours are kept, after ours.
    where : str
        Name of the file or table, for the message.

    Returns
    -------
    DataFrame
        Text as strings, ``confidence`` in 0–1 or NaN, ``correct`` and ``parse_ok`` nullable
        booleans, ``option_probabilities`` a dict or None, ``gold`` a string or, for a set of
        accepted answers, a list of strings.

    Raises
    ------
    MedcalError
        Naming file, row (counted from 1), column, value and remedy.
    """
    stored = to_storage(df, len(df), where=where)
    refuse_doubles(stored, where)
    return from_storage(stored)


def to_storage(columns, n: int, *, where="answers", first_row=1, told=None) -> dict[str, list]:
    """Check columns of `n` values and bring them into the form in which the log keeps them.

    `columns` maps names to lists or Series (a frame does); `told` gives what is to stand in some
    of ours instead of what `COLUMNS` says, and how the user calls them.
    """
    if isinstance(columns, pd.DataFrame) and columns.columns.has_duplicates:
        name = columns.columns[columns.columns.duplicated()][0]
        raise MedcalError(f"{where}: two columns are called '{name}'; rename or drop one of them")
    names = list(columns.columns if isinstance(columns, pd.DataFrame) else columns)
    stored = {}
    for name, column in (COLUMNS | (told or {})).items():
        if name in names:
            stored[name] = check_column(columns[name], column, where, first_row)
        elif column.required and name != "sample":
            shown = ", ".join(map(str, names))
            raise MedcalError(f"{where}: no column '{name}'; columns are {shown}")
        else:
            stored[name] = [0 if name == "sample" else None] * n
    others = sorted((name for name in names if name not in COLUMNS), key=str)
    stored["extra"] = _extra({name: columns[name] for name in others}, n, where, first_row)
    return stored


def check_column(values, column: Column, where="answers", first_row=1) -> list:
    """The values of one column as the log keeps them; the first that does not fit is refused."""
    found = _fast(values, column) if isinstance(values, pd.Series) else None
    if found is None:
        values = values.astype(object).tolist() if isinstance(values, pd.Series) else values
        if len(values) > 1 and type(values[0]) is str and values.count(values[0]) == len(values):
            return check_column(values[:1], column, where, first_row) * len(values)
        found = _converted(values, column, where, first_row)
    if column.required and (None in found or "" in found):
        row = next(i for i, v in enumerate(found) if v is None or v == "")
        raise fault(where, first_row + row, column.name, None, "is missing", _KEY_REMEDY)
    for wrong in {*found} - {None, *column.allowed} if column.allowed else ():
        problem = f"is not one of {', '.join(column.allowed)}"
        row = first_row + found.index(wrong)
        raise fault(where, row, column.name, wrong, problem, column.remedy)
    return found


def _converted(values, column, where, first_row):
    convert, found = _CONVERT[column.kind], []
    known: dict = {}  # columns of texts repeat themselves
    try:
        for value in values:
            kept = known.get(value) if type(value) is str else None
            if kept is None and value is not None:
                kept = convert(value, column)
                if type(value) is str and len(known) < 4096:
                    known[value] = kept
            found.append(kept)
    except _Odd as odd:
        problem, remedy = (*odd.args, None)[:2]
        value = values[len(found)]
        if "outside" in problem:
            remedy = _outside(values, column, value)
        row = first_row + len(found)
        raise fault(where, row, column.name, value, problem, remedy or column.remedy) from None
    return found


def from_storage(stored: dict[str, list], *, extra_columns: Sequence[str] | None = None):
    """The frame that people work with, from the form in which the log keeps it.

    ``extra`` is unpacked into the columns named by `extra_columns` (all that occur, by default).
    """
    out = {}
    for name in (n for n in stored if n in COLUMNS):
        values, kind = stored[name], COLUMNS[name].kind
        dtype = "int64" if name == "sample" else _DTYPES.get(kind, object)
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
        if extra_columns is None:
            extra_columns = sorted({name for row in rows for name in row})
        for name in extra_columns:
            frame[name] = pd.Series([row.get(name) for row in rows]).infer_objects()
    return frame


def refuse_doubles(stored: dict[str, list], where, first_row=1) -> None:
    """Refuse two rows with one key."""
    seen: dict = {}
    for row, key in enumerate(zip(*(stored[c] for c in KEY), strict=True), first_row):
        if seen.setdefault(key, row) != row:
            raise doubled(where, seen[key], row, key)


def doubled(where, first, second, key) -> MedcalError:
    """The refusal of two rows with one key."""
    return MedcalError(
        f"{where}: rows {first} and {second} are the same answer ({shown_key(key)}); "
        "drop one, or number repeated replies in a column 'sample'"
    )


def shown_key(key) -> str:
    """A key as messages show it."""
    return ", ".join(f"{name}={value}" for name, value in zip(KEY, key, strict=True))


def fault(where, row, column, value, problem, remedy) -> MedcalError:
    """One line that names file, row, column, value and what to do."""
    try:
        shown = repr(value)
    except (RecursionError, ValueError):  # nested too deep, or longer than Python writes out
        shown = type(value).__name__
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    return MedcalError(f"{where}: row {row}, column '{column}': value {shown} {problem}; {remedy}")


def _is_missing(value) -> bool:
    absent = value is None or value is pd.NA or value is pd.NaT
    return absent or (isinstance(value, Real) and value != value)


def encode_json(value) -> str:
    """JSON on one line, floats to the last digit, no escapes for plain letters."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def damage(name: str) -> str:
    """The condition, in SQL, under which a kept value of this column is damaged."""
    column = COLUMNS.get(name, Column(name, "options"))
    wrong = {
        "unit": f"typeof({name}) NOT IN ('real', 'integer') OR {name} NOT BETWEEN 0 AND 1",
        "amount": f"typeof({name}) NOT IN ('real', 'integer') OR NOT {name} BETWEEN 0 AND 1e308",
        "count": f"typeof({name}) != 'integer' OR {name} < 0",
        "flag": f"typeof({name}) != 'integer' OR {name} NOT IN (0, 1)",
        "options": f"NOT json_valid({name}) OR json_type({name}) != 'object'",
    }.get(column.kind, f"typeof({name}) != 'text'")
    if column.allowed:
        wrong += " OR {} NOT IN ({})".format(name, ", ".join(f"'{v}'" for v in column.allowed))
    missing = f"{name} IS NULL OR {name} = '' OR " if column.required else f"{name} NOTNULL AND "
    return f"({missing}({wrong}))"


def _fast(values: pd.Series, column: Column) -> list | None:
    """Columns that are of their type throughout need no look at each value."""
    dtype = values.dtype
    if isinstance(dtype, pd.StringDtype) and column.kind == "text":
        return values.to_numpy(dtype=object, na_value=None).tolist()
    if pd.api.types.is_bool_dtype(dtype) and column.kind == "flag" and not values.hasnans:
        return values.to_numpy(dtype=bool).tolist()
    if isinstance(dtype, np.dtype) and dtype.kind == "f" and column.kind in _LIMITS:
        array = values.to_numpy(dtype="float64")
        low, high = _LIMITS[column.kind]
        if not ((array < low) | (array > high * column.top)).any():
            array = array / column.top if column.kind == "unit" and column.top != 1 else array
            return _nones(array) if np.isnan(array).any() else array.tolist()
    if (
        isinstance(dtype, pd.Int64Dtype)
        and column.kind in ("count", "flag")
        and values.notna().all()
    ):
        array = values.to_numpy(dtype="int64")
        top = 1 if column.kind == "flag" else 2**53
        return array.tolist() if not ((array < 0) | (array > top)).any() else None
    return None


_DTYPES = {"text": TEXT, "unit": "float64", "amount": "float64"}
_DTYPES |= {"flag": "boolean", "count": "Int64"}
_LIMITS = {
    "unit": (0.0, 1.0),
    "amount": (0.0, np.finfo("float64").max),
    "score": (-math.inf, math.inf),
}


def _nones(array) -> list:
    kept = array.astype(object)
    kept[np.isnan(array)] = None
    return kept.tolist()


def _number(value, column) -> float | None:
    """A float; None where missing."""
    if type(value) is float:
        return None if value != value else value
    if _is_missing(value):
        return None
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


def _unit(value, column):
    number, slack = _number(value, column), ROUNDING * column.top
    if number is None:
        return None
    if not -slack <= number <= column.top + slack:
        raise _Odd(f"is outside 0 to {column.top:g}")
    return min(max(number, 0.0), column.top) / column.top


def _amount(value, column):
    number = _number(value, column)
    if number is None or 0 <= number < math.inf:
        return number
    raise _Odd("is not a finite number from 0 up", "mend the value or leave it empty")


def _count(value, column):
    number = value if type(value) is int and 0 <= value <= 2**53 else _amount(value, column)
    if number is None or (number == math.floor(number) and number <= 2**53):
        return number if number is None else int(number)
    raise _Odd("is not a whole number")


def _flag(value, column):
    if _is_missing(value) or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, Real | np.bool_) and value in (0, 1):
        return bool(value)
    word = value.strip().lower() if isinstance(value, str) else None
    if word not in _TRUE | _FALSE:
        raise _Odd("is neither true nor false")
    return word in _TRUE


def _text(value, column):
    if _is_missing(value):
        return None
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
    if _is_missing(value) or (isinstance(value, str) and value == ""):
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


_CONVERT = {
    "text": _text,
    "unit": _unit,
    "score": _number,
    "amount": _amount,
    "count": _count,
    "flag": _flag,
    "gold": _gold,
    "options": _options,
    "extra": _plain,
}


def _outside(values, column, value) -> str:
    """What to do about a confidence outside its limits: it depends on the rest of the column."""
    if column.top != 1:
        return "mend the value or drop the row"
    number = _number(value, column)
    known = pd.to_numeric(pd.Series(values, dtype=object), errors="coerce").dropna()
    percent = known.min() >= 0 and WELL_ABOVE_1 < known.max() <= 100
    if percent and known.median() > 1:
        return "the column looks like percent: add --percent (or divide by 100)"
    if percent and number > WELL_ABOVE_1:
        return "write 0.85 for 85 %; --percent is for a column that is in percent throughout"
    if 1 < number <= WELL_ABOVE_1:
        return "it is slightly above 1: clip it to 1 if that is rounding, else mend it"
    return "a confidence is a probability of being correct: mend the value or drop the row"


def _extra(columns, n, where, first_row) -> list:
    """What is not ours, as one JSON text a row; a column ``extra`` of tables is unpacked."""
    if not columns:
        return [None] * n
    told = {
        str(name): check_column(values, Column(str(name), "extra", _DROP), where, first_row)
        for name, values in columns.items()
    }
    tables = told.pop("extra", [None] * n)
    rows = []
    for i, values in enumerate(zip(*told.values(), strict=True) if told else [()] * n):
        row = {k: v for k, v in zip(told, values, strict=True) if v is not None}
        if tables[i] is not None:
            table = _object(tables[i])
            if table is None:
                problem = "is not a table of names and values"
                raise fault(
                    where, first_row + i, "extra", tables[i], problem, "write a JSON object"
                )
            row = dict(sorted((table | row).items()))
        rows.append(encode_json(row) if row else None)
    return rows


def _object(value):
    with contextlib.suppress(ValueError, RecursionError):
        value = json.loads(value) if isinstance(value, str) else value
    return value if isinstance(value, dict) else None


def _encodable(text) -> str:
    try:
        if text.isascii() or text.encode():
            return text
    except UnicodeEncodeError:
        pass
    raise _Odd("is not valid Unicode", "save the file as UTF-8")


def accepted(text) -> list[str] | None:
    """The list in a text that reads as a JSON list of texts, else None."""
    value = None
    if text is not None and text.startswith("["):
        with contextlib.suppress(ValueError, RecursionError):
            value = json.loads(text)
    texts = isinstance(value, list) and value and all(isinstance(v, str) for v in value)
    return value if texts else None
