"""What the numbers of a table mean: which scale, of which answer, which grade. Asked, not guessed."""

import math
import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medcal_nb.answers.cells import TEXT, Place, flags, numbers, within
from medcal_nb.errors import MedcalError
from medcal_nb.grading import grade_table

_SUM = 0.01
"""How far from 1 a row of probabilities may sum."""
_LEAST = 20
"""Answers by which it is judged what a column means."""


# --- scales --------------------------------------------------------------------------------------


def scale_of(text: str | float) -> tuple[float, float]:
    """The ends of a scale: ``"10"`` is 0 to 10, ``"1-5"`` is 1 to 5.

    Examples
    --------
    >>> scale_of("1-5"), scale_of(100)
    ((1.0, 5.0), (0.0, 100.0))
    """
    ends = re.fullmatch(r"(?:([\d.]+)\s*[-–]\s*)?([\d.]+)", str(text).strip())
    try:
        low, high = float(ends[1] or 0), float(ends[2])
        if low < high:
            return low, high
    except (TypeError, ValueError):
        pass
    raise MedcalError(f"no scale {text!r}: write its ends, as 10 or 1-5")


def confidences(
    values: pd.Series, scale: str | float | None, model: pd.Series, place: Place
) -> tuple[NDArray[np.float64], str]:
    """Confidences as probabilities, and a word on their scale.

    Parameters
    ----------
    values : Series
        The column.
    scale : str, float or None
        As the user said; else found where it is plain: all within 0 to 1, all with a percent sign,
        or plainly percent.
    model : Series
        Whose answers they are: all use one scale.
    place : Place

    Raises
    ------
    MedcalError
        Where a cell is no number of the scale, or the scale has to be asked for.
    """
    remedy = "a confidence is a probability: write 0.85 for 85 %, or give --percent"
    array, signed = numbers(values, place, remedy)
    known = ~np.isnan(array)
    if scale is None and signed.any():
        other = known & (signed != signed[known.argmax()])
        problem = "has another form: some cells have a percent sign and some have none"
        remedy = "write all alike, or give --percent if all run from 0 to 100"
        place.refuse(values, other, problem, remedy)
    if scale is None and not signed.any():
        scale = _plain_scale(values, array, model, place)
    low, high = scale_of(100 if scale is None else scale)
    if high > 1:
        remedy = f"write a number from {low:g} to {high:g}"
        _check_top(values, array, (low, high), model, place)
    shares = within(values, array, place, low, high, remedy)
    word = {100: "percent", 1: ""}.get(high, f"scale {low:g} to {high:g}")
    return (shares - low) / (high - low), word


def _plain_scale(values, array, model, place):
    """1 or 100, where it is plain which."""
    top = np.nanmax(array, initial=0)
    if top <= 1 + 1e-6 or np.isinf(top):
        return 1
    at = int(np.nanargmax(array))
    tops = pd.Series(array).groupby(model.to_numpy()).max()
    fractional = bool(((array % 1 > 0) & (array < 10)).any())
    if tops.min() <= 1 < top:
        problem = f"is beside '{tops.idxmin()}', whose answers run to {tops.min():g}"
    elif fractional:
        problem = "is beside fractions below 10: percent and probabilities mixed?"
    elif tops.min() <= 20 or top > 100:
        problem = f"is the largest of its column ({tops.min():g} that of '{tops.idxmin()}')"
    else:
        return 100
    remedy = (
        "on which scale? Write all as probabilities (0.85 for 85 %), or give --percent, or "
        "--scale 10, --scale 1-5"
    )
    raise place.fault(at, values.iloc[at], problem, remedy)


def _check_top(values, array, scale, model, place):
    """Refuse a scale of which only the bottom is used, as that of another scale would be."""
    low, high = scale
    tops = pd.Series(array).groupby(model.to_numpy()).max().dropna()
    tops = tops[tops > low]
    if tops.empty:
        return
    is_other = tops.max() <= low + (high - low) / 10
    if is_other or tops.min() <= low + (high - low) / 100:
        name = tops.idxmax() if is_other else tops.idxmin()
        at = int(np.nanargmax(np.where(model == name, array, np.nan)))
        problem = f"is the largest of '{name}', on a scale from {low:g} to {high:g}"
        remedy = "is it another scale? Give --scale 10, --scale 1, or write probabilities"
        raise place.fault(at, values.iloc[at], problem, remedy)


# --- scores of options ---------------------------------------------------------------------------


def choices(
    raw: pd.DataFrame, names: Sequence[str], file: str, *, are_probabilities: bool
) -> tuple[dict[str, pd.Series], list[str]]:
    """Answers, confidences and probabilities from a column of scores for each option.

    Parameters
    ----------
    raw : DataFrame
    names : sequence of str
        The columns, each named by its option after the last ``_``.
    file : str
    are_probabilities : bool
        The scores are probabilities; else logits or log-probabilities, of which the softmax is.

    Returns
    -------
    columns : dict
        ``answer``, the option of the largest score; ``confidence``; ``option_probabilities``.
    assumed : list of str
    """
    options = [str(name).rsplit("_", 1)[-1] for name in names]
    option = "--probabilities" if are_probabilities else "--logits"
    if len(set(options)) < max(2, len(names)):
        raise MedcalError(
            f"{file}: {option} needs two columns or more that end in different options after the "
            "last '_'"
        )
    columns = []
    for name in names:
        place = Place(file, name)
        column, _ = numbers(raw[name], place, "write a number, or drop the row")
        columns.append(column)
    scores = np.column_stack(columns)  # (n_rows, n_options)
    missing = np.isnan(scores)
    place = Place(file, names[0])
    first = raw[names[0]]
    none = missing.all(axis=1) | ~np.isfinite(np.where(missing, 0, scores)).any(axis=1)
    place.refuse(first, none, "is missing, with those of all options", "drop the row")
    assumed = []
    if missing.any():
        assumed.append(f"{missing.sum():,} scores are missing: probabilities of 0")
    sums = np.nansum(scores, axis=1)
    if are_probabilities:
        for name, column in zip(names, columns, strict=True):
            within(raw[name], column, Place(file, name), 0, 1, "write probabilities")
        beyond = sums > 1 + _SUM
        place.refuse(first, beyond, "and the others sum to more than 1", "give --logits?")
        p = np.nan_to_num(scores)
    else:
        is_share = (np.nan_to_num(scores) >= 0).all() and (np.abs(sums - 1) < _SUM).all()
        if is_share:
            raise MedcalError(
                f"{file}: the scores of --logits lie between 0 and 1 and sum to 1: they are "
                "probabilities; name them by --probabilities"
            )
        scores = np.where(missing, -np.inf, scores)
        p = np.exp(scores - scores.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
    place.refuse(first, ~np.isfinite(p).all(axis=1), "and the others are no scores", "mend it")
    tables = [dict(zip(options, row, strict=True)) for row in p.tolist()]
    answer = np.array(options, dtype=object)[p.argmax(axis=1)]
    return {
        "answer": pd.Series(answer, index=raw.index, dtype=TEXT),
        "confidence": pd.Series(p.max(axis=1), index=raw.index),
        "option_probabilities": pd.Series(tables, index=raw.index, dtype=object),
    }, assumed


# --- what contradicts ----------------------------------------------------------------------------


def check_of_answer(table: pd.DataFrame, file: str) -> None:
    """Refuse confidences that are those of one class, whichever class was answered.

    Of two answers, they lie below one half just where one of the two is given.
    """
    if "answer" not in table:
        return
    known = table[table["confidence"].notna() & table["answer"].notna()]
    for model, part in known.groupby("model", sort=False, observed=True):
        answers = part["answer"].str.casefold()
        words = answers.drop_duplicates().tolist()
        if len(words) != 2 or len(part) < _LEAST:
            continue
        is_low = part["confidence"] < 0.5
        for word, other in (words, words[::-1]):
            fits = is_low == (answers == word)
            if fits.mean() > 0.98 and 0 < is_low.sum() < len(part):
                raise MedcalError(
                    f"{file}: the confidence of '{model}' lies below 0.5 just where the answer is "
                    f"'{word}': it is the probability of '{other}', not that of the answer; write "
                    f"1 − p where the answer is '{word}'"
                )


def check_grades(table: pd.DataFrame, theirs: str, file: str) -> list[str]:
    """Refuse grades that call answers wrong which are their gold answers; tell of a few."""
    if not {"answer", "gold", "correct"} <= {*table}:
        return []
    known = table.dropna(subset=["answer", "gold", "correct"])
    known = known.iloc[:: max(1, len(known) // 2000)]
    equal = known[grade_table(known[["answer", "gold"]])["correct"].fillna(False)]
    odd = equal[~equal["correct"].astype(bool)]
    if odd.empty:
        return []
    row = odd.iloc[0]
    example = (
        f"row {odd.index[0] + 1}: answer {row['answer']!r:.40}, gold {row['gold']!r:.40}, and "
        f"'{theirs}' says wrong"
    )
    if len(odd) > max(1, len(equal) / 10):
        raise MedcalError(
            f"{file}: {len(odd):,} of {len(equal):,} answers that are their gold answer are wrong "
            f"by column '{theirs}' ({example}); name the column of grades by --correct, or say "
            "--correct '' to grade by the gold answers"
        )
    return [f"{len(odd)} answers are their gold answer and are graded wrong ({example})"]


def check_images(table: pd.DataFrame, file: str) -> None:
    """Refuse a data set of which some answers name their image and some do not."""
    if "image_id" not in table or table["image_id"].notna().all():
        return
    named = table["image_id"].notna().groupby(table["dataset"].to_numpy()).agg(["sum", "size"])
    partly = named[(named["sum"] > 0) & (named["sum"] < named["size"])]
    if len(partly):
        dataset, (n, size) = next(iter(partly.iterrows()))
        row = int((table["image_id"].isna() & (table["dataset"] == dataset)).argmax()) + 1
        raise MedcalError(
            f"{file}: {n:,} of {size:,} answers of '{dataset}' name their image, row {row} does "
            "not (merged cells fill their first row alone): name the image in every row, or leave "
            "the column out by --image ''"
        )


#: Columns that differ from one reply to the same question to the next.
_OF_REPLIES = frozenset(
    "answer confidence correct raw parse_ok prompt_tokens new_tokens seconds run_id sample "
    "option_probabilities".split()
)


def check_repeats(raw: pd.DataFrame, taken: dict[str, str], file: str) -> None:
    """Refuse rows without an item's id that are several runs of the same items."""
    replies = {theirs for ours, theirs in taken.items() if ours in _OF_REPLIES}
    about = [name for name in raw if name not in replies]
    n = len(raw)
    codes = raw[about].astype(str).agg("\0".join, axis=1).factorize()[0] if about else None
    whole = raw.astype(str).agg("\0".join, axis=1).value_counts()
    times = whole.min()
    if times > 1 and (whole == times).all() and len(whole) >= 10:
        problem = f"every row stands there {times} times"
    elif about and (runs := _runs(codes)):
        problem = f"the {n:,} rows are {runs} times the same {n // runs:,} items, it seems"
    else:
        return
    raise MedcalError(
        f"{file}: {problem}, and no column names the item; name it by --item, and number the runs "
        "in a column 'sample'"
    )


def _runs(codes: NDArray) -> int:
    """How many times, two to ten, a sequence of at least ten repeats; 0 if it does not."""
    n = codes.size
    for period in range(10, n // 2 + 1):
        if n % period == 0 and (codes[period:] == codes[:-period]).all():
            return n // period if n // period <= 10 else 0
    return 0
