"""The answers table: its columns, its types, and the check that names what is wrong.

One row is one reply of one model to one item under one strategy. The names stand here and
nowhere else.
"""

import json
import math
import re
from collections.abc import Iterable, Sequence
from numbers import Integral, Real

import numpy as np
import pandas as pd

from medcal_nb.errors import MedcalError

ANSWER_COLUMNS = [
    "run_id",
    "model",
    "dataset",
    "domain",
    "item_id",
    "image_id",
    "modality",
    "question_type",
    "split",
    "strategy",
    "sample",
    "answer",
    "confidence",
    "option_probabilities",
    "correct",
    "gold",
    "raw",
    "parse_ok",
    "prompt_tokens",
    "new_tokens",
    "seconds",
]
"""Columns of the answers table, in order. Others may follow them and are kept."""

KEY = ("model", "dataset", "item_id", "strategy", "sample")
"""What makes an answer one answer: no two rows share it."""

VERDICT_COLUMNS = [
    "model",
    "dataset",
    "domain",
    "item_id",
    "image_id",
    "modality",
    "question_type",
    "split",
    "strategy",
    "answer",
    "confidence",
    "correct",
    "gold",
    "n_answers",
    "prompt_tokens",
    "new_tokens",
    "seconds",
]
"""Columns of a verdicts table: one row per model, data set, item and strategy."""

TEXT_COLUMNS = (
    "run_id",
    "model",
    "dataset",
    "domain",
    "item_id",
    "image_id",
    "modality",
    "question_type",
    "split",
    "strategy",
    "answer",
    "raw",
)
FLAG_COLUMNS = ("correct", "parse_ok")
COUNT_COLUMNS = ("prompt_tokens", "new_tokens")
ALLOWED = {
    "domain": (("general", "medical"), "give --domain general or --domain medical"),
    "question_type": (("closed", "choice", "open", "score"), "rename the column or map its values"),
    "split": (("fit", "test"), "give --split fit or --split test, or map the values"),
}
TEXT = pd.StringDtype(na_value=np.nan)

DECIMAL_COMMA = re.compile(r"\s*-?\d+,\d+\s*%?\s*", re.ASCII)

ROUNDING = 1e-6
"""How far outside its limits a probability may lie, of their distance: sums of rounded parts do."""

WELL_ABOVE_1 = 1.5
"""Values up to here may be slips of a probability, not percent."""

_TRUE = {"true", "1", "1.0", "yes"}
_FALSE = {"false", "0", "0.0", "no"}


def fault(where, row, column, value, problem, remedy) -> MedcalError:
    """One line that names file, row, column, value and what to do."""
    place = f"{where}: "
    if row is not None:
        place += f"row {row}, "
    shown = repr(value)
    if len(shown) > 60:
        shown = shown[:57] + "..."
    return MedcalError(f"{place}column '{column}': value {shown} {problem}; {remedy}")


def is_missing(value) -> bool:
    """True for None, NaN, NaT and pandas' NA."""
    if value is None or value is pd.NA or value is pd.NaT:
        return True
    return isinstance(value, Real) and math.isnan(value)


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
    return from_storage(to_storage(df, where=where))


def to_storage(
    df: pd.DataFrame,
    *,
    where: str = "answers",
    first_row: int = 1,
    trusted: Iterable[str] = (),
) -> pd.DataFrame:
    """Check a frame and bring it into the form in which the log keeps it.

    As `check_answers`, with ``option_probabilities``, ``gold`` and the columns that are not ours
    (together, in ``extra``) as JSON text. Columns in `trusted` are in that form already.
    """
    if df.columns.has_duplicates:
        name = df.columns[df.columns.duplicated()][0]
        raise MedcalError(f"{where}: two columns are called '{name}'; rename or drop one of them")
    for column in ("model", "dataset", "item_id", "strategy"):
        if column not in df.columns:
            raise MedcalError(
                f"{where}: no column '{column}'; columns are {', '.join(map(str, df.columns))}"
            )
    trusted = set(trusted)
    n = len(df)
    df = df.reset_index(drop=True)
    out = {}
    for column in ANSWER_COLUMNS:
        if column not in df.columns:
            out[column] = _absent(column, n)
            continue
        series = df[column]
        if column in trusted:
            out[column] = series
        elif column in TEXT_COLUMNS:
            out[column] = _text(series, column, where, first_row)
        elif column == "confidence":
            out[column] = as_confidence(series, column, where=where, first_row=first_row)
        elif column == "seconds":
            out[column] = _bounded(series, column, where, first_row)
        elif column == "sample":
            values = _whole(series, column, where, first_row)
            _refuse_missing(values, column, where, first_row)
            out[column] = values.astype("int64")
        elif column in COUNT_COLUMNS:
            out[column] = _whole(series, column, where, first_row)
        elif column in FLAG_COLUMNS:
            out[column] = as_flag(series, column, where=where, first_row=first_row)
        elif column == "gold":
            out[column] = _gold(series, where, first_row)
        else:
            out[column] = _option_probabilities(series, where, first_row)
    for column in ("model", "dataset", "item_id", "strategy"):
        _refuse_missing(out[column], column, where, first_row)
    for column, (allowed, remedy) in ALLOWED.items():
        _refuse_others(out[column], column, allowed, remedy, where, first_row)
    out["extra"] = _extra(df, where, first_row)
    stored = pd.DataFrame(out)
    _refuse_doubles(stored, where, first_row)
    return stored


def plain_rows(rows: Sequence[dict]) -> list[tuple] | None:
    """The same for a few rows of plain values, without the cost of a frame.

    Returns
    -------
    list of tuple or None
        In the order of the log's columns; None where `to_storage` must look closer, to convert
        a value or to refuse it.
    """
    out, keys = [], set()
    for row in rows:
        values = []
        for column in ANSWER_COLUMNS:
            value = row.get(column)
            if value is not None and value != value:
                value = None
            fits, value = _PLAIN[column](value)
            if not fits:
                return None
            values.append(value)
        key = tuple(values[i] for i in _KEY_AT)
        if key in keys or not all(key[:4]):
            return None
        keys.add(key)
        extra = {}
        for name in sorted(row.keys() - _OURS):
            value = row[name]
            kind = type(value)
            if value is None or (kind is float and value != value):
                continue
            if kind is str:
                if not (value.isascii() or _encodable(value)):
                    return None
            elif kind is float:
                if not math.isfinite(value):
                    return None
            elif kind is not int and kind is not bool:
                return None
            extra[name] = value
        values.append(encode_json(extra) if extra else None)
        out.append(tuple(values))
    return out


def from_storage(stored: pd.DataFrame, *, extra_columns: Sequence[str] | None = None):
    """The frame that people work with, from the form in which the log keeps it.

    ``extra`` is unpacked into the columns named by `extra_columns` (all that occur, by default).
    """
    out = {}
    for column in stored.columns:
        if column == "extra":
            continue
        series = stored[column]
        if column == "option_probabilities":
            series = pd.Series([_load_json(t) for t in _listed(series)], dtype=object)
        elif column == "gold":
            series = _gold_out(series)
        out[column] = series
    frame = pd.DataFrame(out, index=pd.RangeIndex(len(stored)))
    if "extra" not in stored.columns:
        return frame
    rows = [_load_json(t) or {} for t in _listed(stored["extra"])]
    names = extra_columns
    if names is None:
        names = sorted({name for row in rows for name in row})
    for name in names:
        frame[name] = pd.Series([row.get(name) for row in rows]).infer_objects()
    return frame


def encode_json(value) -> str:
    """JSON on one line, floats to the last digit, no escapes for plain letters."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def as_number(series: pd.Series, column: str, *, where, first_row=1, remedy=None) -> pd.Series:
    """Float64 values, NaN where missing; anything else is refused with its row."""
    remedy = remedy or "write a plain number"
    if series.dtype == bool or isinstance(series.dtype, pd.BooleanDtype):
        raise fault(where, first_row, column, bool(series.iloc[0]), "is not a number", remedy)
    if isinstance(series.dtype, pd.CategoricalDtype):
        series = series.astype(series.cat.categories.dtype)
    if pd.api.types.is_numeric_dtype(series.dtype) and not pd.api.types.is_complex_dtype(
        series.dtype
    ):
        return series.astype("float64") if not series.hasnans else _nan_floats(series)
    values = pd.to_numeric(series, errors="coerce")
    values = pd.Series(values.to_numpy(dtype="float64", na_value=np.nan))
    unread = values.isna().to_numpy() & ~series.isna().to_numpy()
    if series.dtype == object:
        unread |= np.fromiter((isinstance(v, bool | np.bool_) for v in series), bool, len(series))
    for i in np.flatnonzero(unread):
        value = series.iloc[i]
        if isinstance(value, str) and value.strip().lower() == "nan":
            continue
        if isinstance(value, str) and DECIMAL_COMMA.fullmatch(value):
            remedy = "write a decimal point, not a comma"
        raise fault(where, first_row + int(i), column, value, "is not a number", remedy)
    return values


def as_confidence(series: pd.Series, column: str, *, where, first_row=1) -> pd.Series:
    """Float64 values in 0–1, NaN where missing; anything else is refused with its row.

    Values outside by no more than rounding are set to 0 or 1.
    """
    values = as_number(
        series,
        column,
        where=where,
        first_row=first_row,
        remedy="write 0.85 for 85 %, or add --percent where the column is in percent",
    )
    values = clipped(values, 0.0, 1.0)
    array = values.to_numpy()
    wrong = ~np.isnan(array) & ~((array >= 0) & (array <= 1))
    if wrong.any():
        i = int(np.argmax(wrong))
        remedy = _confidence_remedy(array, float(array[i]))
        raise fault(where, first_row + i, column, float(array[i]), "is outside 0 to 1", remedy)
    return values


def clipped(values: pd.Series, low: float, high: float) -> pd.Series:
    """The values, with what rounding put outside the limits set to them."""
    slack = ROUNDING * (high - low)
    array = values.to_numpy()
    outside = ((array < low) & (array >= low - slack)) | ((array > high) & (array <= high + slack))
    return values.mask(outside, values.clip(low, high)) if outside.any() else values


def _confidence_remedy(array, value):
    known = array[~np.isnan(array)]
    percent = known.min() >= 0 and WELL_ABOVE_1 < known.max() <= 100
    if percent and np.median(known) > 1:
        return "the column looks like percent: add --percent (or divide by 100)"
    if percent and value > WELL_ABOVE_1:
        return "write 0.85 for 85 %; --percent is for a column that is in percent throughout"
    if 1 < value <= WELL_ABOVE_1:
        return "it is slightly above 1: clip it to 1 if that is rounding, else mend it"
    return "a confidence is a probability of being correct: mend the value or drop the row"


def as_flag(series: pd.Series, column: str, *, where, first_row=1) -> pd.Series:
    """Nullable booleans from true/false, yes/no, 1/0; anything else is refused with its row."""
    if series.dtype == bool or isinstance(series.dtype, pd.BooleanDtype):
        return series.astype("boolean")
    if pd.api.types.is_numeric_dtype(series.dtype):
        values = _nan_floats(series).to_numpy()
        wrong = ~(np.isnan(values) | (values == 0) | (values == 1))
        if wrong.any():
            i = int(np.argmax(wrong))
            raise _not_flag(where, first_row + i, column, series.iloc[i])
        flags = pd.array(values == 1, dtype="boolean")
        flags[np.isnan(values)] = pd.NA
        return pd.Series(flags)
    codes, seen = pd.factorize(series, use_na_sentinel=True) if _hashable(series) else (None, None)
    if codes is None:
        seen, codes = list(series), np.arange(len(series))
    table = np.full(len(seen) + 1, -1, dtype=np.int8)  # the last entry serves code -1, missing
    bad = set()
    for k, value in enumerate(seen):
        word = str(value).strip().lower()
        if is_missing(value) or word == "":
            continue
        if word in _TRUE:
            table[k] = 1
        elif word in _FALSE:
            table[k] = 0
        else:
            bad.add(k)
    if bad:
        i = int(np.argmax(np.isin(codes, list(bad))))
        raise _not_flag(where, first_row + i, column, series.iloc[i])
    coded = table[codes]
    flags = pd.array(coded == 1, dtype="boolean")
    flags[coded < 0] = pd.NA
    return pd.Series(flags)


def as_text(series: pd.Series, column: str, *, where, first_row=1) -> pd.Series:
    """Strings, missing where missing; numbers are written out, anything else is refused."""
    return _text(series, column, where, first_row)


def _not_flag(where, row, column, value):
    return fault(where, row, column, value, "is neither true nor false", "write true/false or 1/0")


def _hashable(series) -> bool:
    if series.dtype != object:
        return True
    return all(v is None or isinstance(v, str | Real | np.bool_) for v in series)


def _nan_floats(series):
    return pd.Series(series.to_numpy(dtype="float64", na_value=np.nan))


def _absent(column, n):
    if column == "sample":
        return pd.Series(np.zeros(n, dtype="int64"))
    if column in ("confidence", "seconds"):
        return pd.Series(np.full(n, np.nan))
    if column in FLAG_COLUMNS:
        return pd.Series(pd.array([pd.NA], dtype="boolean").repeat(n))
    if column in COUNT_COLUMNS:
        return pd.Series(pd.array([pd.NA], dtype="Int64").repeat(n))
    return pd.Series(pd.array([None], dtype=TEXT).repeat(n))


def _text(series, column, where, first_row):
    if isinstance(series.dtype, pd.StringDtype):
        return series.astype(TEXT)
    if isinstance(series.dtype, pd.CategoricalDtype):
        series = series.astype(object)
    values = series.tolist()
    for i, value in enumerate(values):
        if type(value) is str:
            if not _encodable(value):
                raise fault(
                    where,
                    first_row + i,
                    column,
                    value,
                    "is not valid Unicode",
                    "save the file as UTF-8",
                )
        elif is_missing(value):
            values[i] = None
        elif isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
            values[i] = str(int(value))
        elif isinstance(value, str | Real | np.bool_):
            values[i] = str(value)
        else:
            raise fault(
                where,
                first_row + i,
                column,
                value,
                f"is a {type(value).__name__}, not text",
                "write it as text",
            )
    return pd.Series(pd.array(values, dtype=TEXT))


def _encodable(text) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _bounded(series, column, where, first_row):
    values = as_number(series, column, where=where, first_row=first_row)
    array = values.to_numpy()
    wrong = ~np.isnan(array) & ~((array >= 0) & np.isfinite(array))
    if wrong.any():
        i = int(np.argmax(wrong))
        raise fault(
            where,
            first_row + i,
            column,
            float(array[i]),
            "is not a finite number from 0 up",
            "mend the value or leave it empty",
        )
    return values


def _whole(series, column, where, first_row):
    values = _bounded(series, column, where, first_row)
    array = values.to_numpy()
    wrong = ~np.isnan(array) & ((array != np.floor(array)) | (array > 2**53))
    if wrong.any():
        i = int(np.argmax(wrong))
        raise fault(
            where, first_row + i, column, float(array[i]), "is not a whole number", "write a count"
        )
    missing = np.isnan(array)
    whole = pd.array(np.where(missing, 0, array).astype("int64"), dtype="Int64")
    whole[missing] = pd.NA
    return pd.Series(whole)


def _refuse_missing(values, column, where, first_row):
    empty = values.isna().to_numpy()
    if isinstance(values.dtype, pd.StringDtype):
        empty = empty | (values == "").to_numpy()
    if empty.any():
        raise fault(
            where,
            first_row + int(np.argmax(empty)),
            column,
            None,
            "is missing",
            "every answer needs one, it is part of the key",
        )


def _refuse_others(values, column, allowed, remedy, where, first_row):
    wrong = ~(values.isna() | values.isin(allowed)).to_numpy()
    if wrong.any():
        i = int(np.argmax(wrong))
        raise fault(
            where,
            first_row + i,
            column,
            values.iloc[i],
            f"is not one of {', '.join(allowed)}",
            remedy,
        )


def _refuse_doubles(stored, where, first_row):
    key = list(KEY)
    double = stored.duplicated(key).to_numpy()
    if not double.any():
        return
    second = int(np.argmax(double))
    same = (stored[key] == stored.loc[second, key]).all(axis=1).to_numpy()
    raise doubled(
        where, first_row + int(np.argmax(same)), first_row + second, stored.loc[second, key]
    )


def doubled(where, first, second, key) -> MedcalError:
    """The refusal of two rows with one key."""
    names = ", ".join(f"{name}={value}" for name, value in zip(KEY, key, strict=True))
    return MedcalError(
        f"{where}: rows {first} and {second} are the same answer ({names}); "
        "drop one, or number repeated replies in a column 'sample'"
    )


def _gold(series, where, first_row):
    if isinstance(series.dtype, pd.StringDtype):
        lists = series.str.startswith("[").fillna(False).to_numpy(dtype=bool)
        if not lists.any():
            return series.astype(TEXT)
    values = series.astype(object).tolist()
    for i, value in enumerate(values):
        if isinstance(value, list | tuple | set | np.ndarray):
            accepted = sorted(value) if isinstance(value, set) else list(value)
            if not accepted or not all(isinstance(v, str) for v in accepted):
                raise fault(
                    where,
                    first_row + i,
                    "gold",
                    value,
                    "is not a list of texts",
                    "write one text, or a list of the texts that count as correct",
                )
            values[i] = encode_json(accepted)
        elif isinstance(value, str) and value.startswith("["):
            accepted = _accepted(value)
            values[i] = value if accepted is None else encode_json(accepted)
    return _text(pd.Series(values, dtype=object), "gold", where, first_row)


def _accepted(text):
    """The list in a text that reads as a JSON list of texts, else None."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, list) and value and all(isinstance(v, str) for v in value):
        return value
    return None


def _gold_out(series):
    values = _listed(series)
    if not any(v is not None and v.startswith("[") for v in values):
        return series
    return pd.Series(
        [(_accepted(v) or v) if v is not None and v.startswith("[") else v for v in values],
        dtype=object,
    )


def _option_probabilities(series, where, first_row):
    out = []
    for i, value in enumerate(series.tolist()):
        if is_missing(value) or value == "":
            out.append(None)
            continue
        table = value
        if isinstance(value, str):
            try:
                table = json.loads(value)
            except (ValueError, RecursionError):
                table = None
        if isinstance(table, list):  # Arrow maps arrive as lists of pairs
            try:
                table = dict(table)
            except (TypeError, ValueError):
                table = None
        if not isinstance(table, dict):
            raise fault(
                where,
                first_row + i,
                "option_probabilities",
                value,
                "is not a table of option and probability",
                'write JSON such as {"yes": 0.8, "no": 0.2}',
            )
        table = {str(k): v for k, v in table.items() if v is not None}
        for option, p in table.items():
            real = isinstance(p, Real) and not isinstance(p, bool)
            if not real or not 0 <= p <= 1 + 1e-9 or not _encodable(option):
                raise fault(
                    where,
                    first_row + i,
                    "option_probabilities",
                    f"{option}: {p}",
                    "is not a probability",
                    "write numbers from 0 to 1",
                )
        out.append(encode_json({k: float(p) for k, p in table.items()}))
    return pd.Series(pd.array(out, dtype=TEXT))


def _extra(df, where, first_row):
    names = sorted((c for c in df.columns if c not in ANSWER_COLUMNS), key=str)
    if not names:
        return pd.Series(pd.array([None], dtype=TEXT).repeat(len(df)))
    columns = [_plain_list(df[name], str(name), where, first_row) for name in names]
    names = [str(name) for name in names]
    rows = []
    for values in zip(*columns, strict=True):
        row = {k: v for k, v in zip(names, values, strict=True) if v is not None}
        rows.append(encode_json(row) if row else None)
    return pd.Series(pd.array(rows, dtype=TEXT))


def _plain_list(series, column, where, first_row):
    """Values that JSON can hold, None where missing."""
    if isinstance(series.dtype, pd.StringDtype):
        return _listed(series)
    return [
        _plain(value, column, where, first_row + i)
        for i, value in enumerate(series.astype(object).tolist())
    ]


def _plain(value, column, where, row):
    if type(value) is str:
        if _encodable(value):
            return value
    elif value is None or isinstance(value, bool | int):
        return value
    elif is_missing(value):
        return None
    elif isinstance(value, np.bool_):
        return bool(value)
    elif isinstance(value, Integral):
        return int(value)
    elif isinstance(value, Real):
        if math.isfinite(value):
            return float(value)
    elif isinstance(value, dict):
        return {str(k): _plain(v, column, where, row) for k, v in value.items()}
    elif isinstance(value, list | tuple | np.ndarray):
        return [_plain(v, column, where, row) for v in value]
    elif hasattr(value, "isoformat"):
        return value.isoformat()
    raise fault(
        where, row, column, value, f"({type(value).__name__}) cannot be kept", "drop this column"
    )


def _listed(series) -> list:
    """Python values, None where missing."""
    if isinstance(series.dtype, pd.StringDtype):
        return series.to_numpy(dtype=object, na_value=None).tolist()
    return [None if is_missing(v) else v for v in series.tolist()]


def _load_json(text):
    if text is None:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as err:
        shown = text if len(text) <= 60 else text[:57] + "..."
        raise MedcalError(f"the log holds damaged JSON {shown!r}; import its source anew") from err


def _plain_text(value):
    if value is None:
        return True, None
    if type(value) is int:
        return True, str(value)
    return type(value) is str and (value.isascii() or _encodable(value)), value


def _plain_choice(allowed):
    return lambda value: (value is None or (type(value) is str and value in allowed), value)


def _plain_flag(value):
    return value is None or type(value) is bool, value


def _plain_count(value):
    return value is None or (type(value) is int and 0 <= value <= 2**53), value


def _plain_sample(value):
    return type(value) is int and 0 <= value <= 2**53, value


def _plain_confidence(value):
    if value is None:
        return True, None
    fits = isinstance(value, float | int) and not isinstance(value, bool) and 0 <= value <= 1
    return fits, float(value) if fits else None


def _plain_seconds(value):
    fits = value is None or (isinstance(value, float) and 0 <= value < math.inf)
    return fits, float(value) if fits and value is not None else None


def _plain_gold(value):
    if isinstance(value, list):
        fits = bool(value) and all(type(v) is str and _encodable(v) for v in value)
        return fits, encode_json(value) if fits else None
    if isinstance(value, str) and value.startswith("["):
        return False, None
    return _plain_text(value)


def _plain_options(value):
    if value is None:
        return True, None
    fits = type(value) is dict and all(
        type(k) is str and isinstance(p, float) and 0 <= p <= 1 and _encodable(k)
        for k, p in value.items()
    )
    return fits, encode_json({k: float(p) for k, p in value.items()}) if fits else None


_OURS = set(ANSWER_COLUMNS)
_KEY_AT = [ANSWER_COLUMNS.index(c) for c in KEY]
_PLAIN = {
    **dict.fromkeys(TEXT_COLUMNS, _plain_text),
    **{c: _plain_choice(allowed) for c, (allowed, _) in ALLOWED.items()},
    **dict.fromkeys(FLAG_COLUMNS, _plain_flag),
    **dict.fromkeys(COUNT_COLUMNS, _plain_count),
    "sample": _plain_sample,
    "confidence": _plain_confidence,
    "seconds": _plain_seconds,
    "gold": _plain_gold,
    "option_probabilities": _plain_options,
}
