"""The answers table: one table of columns, and the one check of what stands in them.

A row is one reply of one model to one item under one strategy. Tables are handled in blocks: a
dict of lists, one list a column, None where a value is missing. Values are checked alike on their
way in (rows, frames, files) and on their way out of a log.
"""

import contextlib
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from medcal_nb.errors import MedcalError
from medcal_nb.files import PathLike
from medcal_nb.measure.decimals import shortest_decimals

TEXT = pd.StringDtype(na_value=np.nan)
_ROUNDING = 1e-6
"""How far outside its limits a number may lie, of their distance: sums of rounded parts do."""
_DEPTH = 64
_LARGEST = 2**63 - 1
_FLAGS = {"": None} | dict.fromkeys(("true", "1", "1.0", "yes"), 1)
_FLAGS |= dict.fromkeys(("false", "0", "0.0", "no"), 0)


@dataclass(frozen=True)
class Column:
    """One column: what it may hold, and what to do about anything else."""

    name: str
    kind: str = "text"
    remedy: str = "write it as text"
    required: bool = False
    allowed: tuple[str, ...] = ()
    top: float = 1.0


_GIVE_KEY = "every answer needs one text here, it is part of the key"
_DOMAINS = ("general", "medical", "other")
_TYPES = ("closed", "choice", "open", "score")
_DROP = "drop this column, or write it as text"
_GIVE_CONFIDENCE = (
    "a confidence is a probability: write 0.85 for 85 %, or give --percent"
)
_GIVE_OPTIONS = 'write JSON of probabilities such as {"yes": 0.8, "no": 0.2}'
_GIVE_GOLD = "write one text, or a list of the texts that count as correct"
_COLUMNS = (
    Column("run_id"),
    Column("model", remedy=_GIVE_KEY, required=True),
    Column("dataset", remedy=_GIVE_KEY, required=True),
    Column("domain", remedy="give --domain, or map the values", allowed=_DOMAINS),
    Column("item_id", remedy=_GIVE_KEY, required=True),
    Column("image_id"),
    Column("modality"),
    Column(
        "question_type", remedy="rename the column or map its values", allowed=_TYPES
    ),
    Column("split", remedy="give --split, or map the values", allowed=("fit", "test")),
    Column("strategy", remedy=_GIVE_KEY, required=True),
    Column("sample", "count", "write a count", required=True),
    Column("answer"),
    Column("confidence", "unit", _GIVE_CONFIDENCE),
    Column("option_probabilities", "options", _GIVE_OPTIONS),
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

OPTIONAL_COLUMNS = ("reader", "phase")
"""Further columns that have a meaning, as text: who answered (a model or a person), and whether
before or after seeing the model. A log keeps them beside ours, with all others."""

STORED = [*ANSWER_COLUMNS, "extra"]
"""Columns of the log: those that are not ours stand together in ``extra``, as JSON."""

KEY = ("model", "dataset", "item_id", "strategy", "sample")
"""What makes an answer one answer: no two rows share it."""

_NOT_GRADED = ("run_id", "sample", "raw", "parse_ok")
GRADED_COLUMNS = [name for name in ANSWER_COLUMNS if name not in _NOT_GRADED]
GRADED_COLUMNS.insert(GRADED_COLUMNS.index("gold") + 1, "n_answers")
"""Columns of a table of graded answers: one row per model, data set, item and strategy."""


def to_storage(
    columns: dict[str, list],
    *,
    where: str = "answers",
    first_row: int = 1,
    checks: dict[str, Column] | None = None,
) -> dict[str, list]:
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
    checks : dict, optional
        Columns that stand in for some of `COLUMNS`: what the user calls them, and holds in them.

    Returns
    -------
    dict of lists
        A list for each of `STORED`.

    Raises
    ------
    MedcalError
        For a column that is missing, and the first value that does not belong in its column.
    """
    empty = [None] * len(next(iter(columns.values()), ()))
    known = COLUMNS | (checks or {})
    stored = {}
    for name, column in known.items():
        if name in columns:
            values = columns[name]
        elif name == "sample":
            values = [0] * len(empty)
        elif column.required:
            names = ", ".join(map(str, columns))
            raise MedcalError(
                f"{where}: no column '{name}'; columns are {names}; `medcal import` "
                "brings in a table with other names"
            )
        else:
            values = empty
        stored[name] = check_column(values, column, where, first_row)
    others = {name: values for name, values in columns.items() if name not in COLUMNS}
    stored["extra"] = _packed(others, where, first_row) if others else empty
    return stored


def checked(
    blocks: Iterable[dict[str, list]], where: PathLike
) -> Iterator[dict[str, list]]:
    """Blocks with our column names as the log keeps them.

    Parameters
    ----------
    blocks : iterable of dict of lists
        Rows in columns, as :func:`medcal_nb.answers.files.iter_table` yields them.
    where : path
        What messages call their file.
    """
    row = 1
    for block in blocks:
        stored = to_storage(block, where=str(where), first_row=row)
        row += len(stored["model"])
        yield stored


def from_storage(
    stored: dict[str, list], others: dict, where: PathLike, first_row: int = 1
) -> pd.DataFrame:
    """The frame that people work with, from the form in which the log keeps it.

    ``extra`` is unpacked into the columns `others`, whose dtypes are given. Values that do not
    belong there, whoever wrote them, are refused.
    """
    frame = {}
    for name, values in stored.items():
        column = _as_stored(name)
        values_read = check_column(values, column, where, first_row)
        if name == "extra":
            frame |= _unpacked(values_read, others)
        elif name == "gold" and any(_is_list(value) for value in values_read):
            golds = [accepted(value) or value for value in values_read]
            frame[name] = pd.Series(golds, dtype=object)
        else:
            dtype = "int64" if name == "sample" else KINDS[column.kind].dtype
            frame[name] = _series(values_read, dtype)
    return pd.DataFrame(frame)


def _series(values: list, dtype: object) -> pd.Series:
    """Values as a column; one text that stands in every row is taken over once."""
    if _is_one_text(values) and dtype is not object:
        return pd.Series(values[0], index=range(len(values)), dtype=dtype)
    return pd.Series(values, dtype=dtype)


def _is_one_text(values: list) -> bool:
    """Whether one text stands in every row, or none in any."""
    if not values or not isinstance(values[0], str | None):
        return False
    return values.count(values[0]) == len(values)


def _as_stored(name: str) -> Column:
    """What a column of the log may hold."""
    column = COLUMNS.get(name, Column(name, "table"))
    kind = "table" if column.kind == "options" else column.kind
    return replace(
        column, kind=kind, remedy="the log is damaged: import its source anew"
    )


def _is_list(gold: str | None) -> bool:
    return gold is not None and gold.startswith("[")


def _unpacked(rows: list[dict | None], others: dict) -> dict[str, pd.Series]:
    """The columns that are not ours, from what stands together in ``extra``."""
    columns = {}
    for name, dtype in others.items():
        values = [None if row is None else row.get(name) for row in rows]
        column = pd.Series(values, dtype=object)
        # what others wrote, or are writing just now, may not fit
        with contextlib.suppress(TypeError, ValueError, OverflowError):
            column = column.astype(dtype)
        columns[name] = column
    return columns


def check_column(
    values: list,
    column: Column,
    where: PathLike = "answers",
    first_row: int = 1,
) -> list:
    """The values of one column as the log keeps them; the first that does not fit is refused."""
    with contextlib.suppress(
        TypeError, ValueError
    ):  # what is wrong is looked for below
        return _at_once(values, column)
    found = []
    try:
        for value in values:
            found.append(_kept(value, column))
    except ValueError as err:
        problem = (
            "cannot be written as Unicode text"
            if isinstance(err, UnicodeError)
            else err
        )
        row = first_row + len(found)
        value = values[len(found)]
        raise fault(where, row, column.name, value, problem, column.remedy) from None
    return found


def fault(
    where: PathLike,
    row: int,
    column: str,
    value: Any,
    problem: str | Exception,
    remedy: str,
) -> MedcalError:
    """One line that names file, row, column, value and what to do."""
    shown = type(value).__name__
    with contextlib.suppress(RecursionError, ValueError):  # too deep, too long a number
        shown = repr(value)
    message = (
        f"{where}: row {row}, column '{column}': value {shown:.60} {problem}; {remedy}"
    )
    return MedcalError(message)


encode_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""JSON on one line, floats to the last digit, no escapes for plain letters."""


def accepted(text: str | None) -> list[str] | None:
    """The list in a text that reads as a JSON list of texts, else None."""
    value = None
    if text is not None and text.startswith("["):
        with contextlib.suppress(ValueError, RecursionError):
            value = json.loads(text)
    texts = isinstance(value, list) and value and all(isinstance(v, str) for v in value)
    return value if texts else None


# --- a whole column, or one value ----------------------------------------------------------------


def _at_once(values: list, column: Column) -> list:
    """Plainly right texts and fractions as they are; else each value, looked at once."""
    kind = KINDS[column.kind]
    if _is_one_text(values):
        return [_kept(values[0], column)] * len(values)
    if column.kind == "text" and not column.allowed:
        complete = None not in values
        given = values if complete else [value for value in values if value is not None]
        "".join(given).encode()
        if not column.required or (complete and "" not in given):
            return values
    floats = _floats(values) if kind.dtype is float else None
    if floats is not None:
        array = shortest_decimals(floats) / column.top
        missing = np.isnan(array)
        odd = (array < kind.low) | (array > kind.high) | (missing & column.required)
        if not odd.any():
            return np.where(missing, None, array).tolist()
    if len({*map(type, values)} - {type(None)}) > 1:
        raise TypeError("1 is True, and 1.0, in a dictionary")
    kept = {value: _kept(value, column) for value in {*values}}
    return [kept[value] for value in values]


def _floats(values: list) -> np.ndarray | None:
    """Numbers, or texts that are nothing but numbers, NaN where missing; else None."""
    kinds = {*map(type, values)} - {type(None)}
    if kinds <= {float}:
        return np.array(values, dtype=float)
    if kinds == {str} and "_" not in "".join([v for v in values if v is not None]):
        with contextlib.suppress(ValueError):
            return np.array([math.nan if v is None else float(v) for v in values])
    return None


def _kept(value: Any, column: Column) -> Any:
    """One value as the log keeps it."""
    kept = None if pd.isna(value) is True else KINDS[column.kind].convert(value, column)
    if isinstance(kept, str):
        kept.encode()  # or a ValueError
    if column.required and kept in (None, ""):
        raise ValueError("is missing")
    if column.allowed and kept not in (None, *column.allowed):
        raise ValueError(f"is not one of {', '.join(column.allowed)}")
    return kept


def _number(value: Any, column: Column) -> float | int | None:
    """A number within the limits of its kind, as a share of the top; None for an empty text."""
    kind = KINDS[column.kind]
    if isinstance(value, str):
        value = value.strip().removesuffix("%" if column.top == 100 else "")
        if not value:
            return None
    value = _as_written(value)
    try:
        odd = isinstance(value, bool) or not isinstance(value, Real | str)
        if odd or "_" in str(value):  # Python takes 1_0 for ten
            raise ValueError
        share = float(shortest_decimals(float(value))) / column.top
    except (ValueError, OverflowError):
        raise ValueError("is not a number") from None
    if share != share:
        return None
    if not kind.low - _ROUNDING <= share <= kind.high + _ROUNDING:
        raise ValueError(f"is outside {kind.low:g} to {kind.high * column.top:g}")
    share = min(max(share, kind.low), kind.high)
    if column.kind == "count" and not share.is_integer():
        raise ValueError("is not a whole number")
    return int(share) if column.kind == "count" else share


def _as_written(value: Any) -> Any:
    """A number of numpy as Python's; of fewer than 64 bits the decimal it was written as."""
    if isinstance(value, np.floating):
        return float(shortest_decimals(value))
    return value


def _flag(value: Any, column: Column) -> int | None:
    try:
        return _FLAGS[str(value).strip().lower()]
    except KeyError:
        raise ValueError("is neither true nor false") from None


def _text(value: Any, column: Column) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    if not isinstance(value, str | Real | np.bool_):
        raise ValueError(f"is a {type(value).__name__}, not text")
    return str(value)


def _gold(value: Any, column: Column) -> str:
    value = accepted(value) or value if isinstance(value, str) else value
    if not isinstance(value, list | tuple | np.ndarray):
        return _text(value, column)
    if not len(value) or not all(isinstance(v, str) for v in value):
        raise ValueError("is not a list of texts")
    return encode_json(list(value))


def _options(value: Any, column: Column) -> str | None:
    if value == "":
        return None
    table = {str(k): p for k, p in _table(value, column).items() if p is not None}
    for option, p in table.items():
        if isinstance(p, bool) or not isinstance(p, Real) or not 0 <= p <= 1 + 1e-9:
            raise ValueError(
                f"holds {option!r}: {str(p)[:40]}, which is not a probability"
            )
    return encode_json({k: float(p) for k, p in table.items()})


def _table(value: Any, column: Column) -> dict:
    with contextlib.suppress(ValueError, RecursionError):
        value = json.loads(value) if isinstance(value, str) else value
        pairs = (
            isinstance(value, list)
            and value
            and all(isinstance(v, tuple) for v in value)
        )
        if isinstance(value, dict) or pairs:  # Arrow's maps are lists of pairs
            return dict(value)
    raise ValueError("is not a table of names and values")


def _other(value: Any, column: Column) -> str:
    return encode_json(_plain(value))


def _plain(value: Any, depth: int = 0) -> Any:
    """A value that JSON can hold, None where missing."""
    if depth > _DEPTH:
        raise ValueError(f"is nested more than {_DEPTH} deep")
    value = _as_written(value)
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(k): _plain(v, depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v, depth + 1) for v in value]
    if pd.isna(value) is True:
        return None
    if isinstance(value, int) and abs(value) > _LARGEST:
        raise ValueError("is a whole number beyond 64 bits")
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if not isinstance(value, str | int | float) or value in (math.inf, -math.inf):
        raise ValueError(f"({type(value).__name__}) cannot be kept")
    return value


@dataclass(frozen=True)
class Kind:
    """How values are taken, and kept in SQL and in a frame; the limits of numbers."""

    convert: Callable
    sql: str = "TEXT"
    dtype: object = object
    low: float = 0.0
    high: float = math.inf


KINDS = {
    "text": Kind(_text, "TEXT", TEXT),
    "unit": Kind(_number, "REAL", float, high=1.0),
    "amount": Kind(_number, "REAL", float, high=np.finfo("float64").max),
    "count": Kind(_number, "INTEGER", "Int64", high=2.0**53),
    "score": Kind(_number, "REAL", float, low=-math.inf),
    "flag": Kind(_flag, "INTEGER", "boolean"),
    "gold": Kind(_gold, "TEXT", TEXT),
    "options": Kind(_options),
    "table": Kind(_table),
    "other": Kind(_other),
}


def _packed(columns: dict[str, list], where: PathLike, first_row: int) -> list:
    """What is not ours, as one JSON text a row."""
    encoded = {}
    for name in sorted(columns, key=str):
        key = encode_json(str(name))
        encoded[key] = _encoded(columns[name], str(name), where, first_row)
    packed = []
    for values in zip(*encoded.values(), strict=True):
        pairs = zip(encoded, values, strict=True)
        row = [f"{key}:{value}" for key, value in pairs if value is not None]
        packed.append("{" + ",".join(row) + "}" if row else None)
    return packed


def _encoded(values: list, name: str, where: PathLike, first_row: int) -> list:
    """The values of a column that is not ours as JSON texts, None where missing."""
    if name not in OPTIONAL_COLUMNS:
        return check_column(values, Column(name, "other", _DROP), where, first_row)
    texts = check_column(values, Column(name), where, first_row)
    return [None if text is None else encode_json(text) for text in texts]
