"""What the numbers of a table mean: on which scale, of which answer. Asked, not guessed."""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import softmax

from medcal_nb.answers.cells import KNOWN, TEXT, Place, flags, numbers, within
from medcal_nb.answers.recognition import plain_column, words_of
from medcal_nb.errors import MedcalError
from medcal_nb.grading import grade_table, yes_no

#: How far from 1 a row of probabilities may sum.
_SUM = 0.01
#: Answers by which it is judged what a column means.
_LEAST = 20
#: Answers that are looked at to see whether columns agree with each other.
_MOST = 2000


# --- scales --------------------------------------------------------------------------------------


def scale_of(text: str | float) -> tuple[float, float]:
    """The ends of a scale: ``10`` is 0 to 10, ``"1-5"`` 1 to 5, ``"percent"`` 0 to 100.

    Examples
    --------
    >>> scale_of("1-5"), scale_of("percent")
    ((1.0, 5.0), (0.0, 100.0))
    """
    plain = str(text).strip().casefold().replace("percent", "100")
    ends = re.fullmatch(r"(?:(\d+\.?\d*)\s*[-–]\s*)?(\d+\.?\d*)", plain)
    low, high = (float(ends[1] or 0), float(ends[2])) if ends else (0.0, 0.0)
    if low >= high:
        raise MedcalError(
            f"no scale {text!r}: write its ends, as scale=10 or scale=1-5"
        )
    return low, high


def confidences(
    values: pd.Series, scale: str | float | None, by: Sequence[pd.Series], place: Place
) -> tuple[NDArray[np.float64], str]:
    """Confidences as probabilities, and a word on their scale.

    Parameters
    ----------
    values : Series
        The column.
    scale : str, float or None
        As the user said; else found where it is plain: all within 0 to 1, all with a percent sign,
        or plainly percent.
    by : sequence of Series
        Whose answers they are, by which method: all use one scale.
    place : Place

    Raises
    ------
    MedcalError
        Where a cell is no number of the scale, or the scale has to be asked for.
    """
    remedy = "a confidence is a probability: write 0.85 for 85 % or nothing, or give scale=percent"
    array, signed = numbers(values, place, remedy)
    known = ~np.isnan(array)
    tops = pd.Series(array, values.index).groupby([*by], sort=False).max().dropna()
    if scale is None and signed.any():
        problem = "has another form: some cells have a percent sign and some have none"
        place.refuse(values, known & (signed != signed[known][0]), problem, remedy)
        scale = 100
    elif scale is None:
        scale = _plain_scale(values, array, tops, place)
    low, high = scale_of(scale)
    _check_used(low, high, tops, place)
    shares = within(values, array, place, low, high, remedy)
    word = (
        "percent" if high == 100 else f"scale {low:g} to {high:g}" if high > 1 else ""
    )
    return (shares - low) / (high - low), word


def _plain_scale(
    values: pd.Series, array: NDArray, tops: pd.Series, place: Place
) -> int:
    """1 or 100, where it is plain which."""
    top = tops.max()
    if tops.empty or top <= 1 + _SUM or np.isinf(top):
        return 1
    if tops.min() > 20 and top <= 100 and not ((array % 1 > 0) & (array < 10)).any():
        return 100
    problem = "is the largest: percent, or a scale of its own?"
    if ((array > 0) & (array < 1)).any() or tops.min() <= 1:
        problem = "is beside values from 0 to 1: percent and probabilities mixed?"
    remedy = (
        "write 0.85 for 85 % everywhere, or give scale=percent, scale=10 or scale=1-5"
    )
    at = int(np.nanargmax(array))
    raise place.fault(at, values.iloc[at], problem, remedy)


def _check_used(low: float, high: float, tops: pd.Series, place: Place) -> None:
    """Refuse a scale of which only the bottom is used, as that of another scale would be."""
    used = ((tops - low) / (high - low))[tops > low]
    low_used = used[used <= (0.1 if used.max() <= 0.1 else 0.01)]
    if high > 1 and len(low_used):
        name = low_used.idxmax()
        raise MedcalError(
            f"{place.file}: column '{place.column}': on a scale from {low:g} to {high:g} "
            f"{', '.join(map(repr, name))} reaches {tops[name]:g} at most; another scale? Give "
            "scale=10 or scale=1, or write probabilities"
        )


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
    if len(set(options)) < max(2, len(names)):
        problem = "option scores need two columns or more that end in different options"
        raise MedcalError(f"{file}: {problem} after the last '_'")
    remedy = "write a number, or drop the row"
    columns = [numbers(raw[name], Place(file, name), remedy)[0] for name in names]
    scores = np.column_stack(columns)  # (n_rows, n_options)
    missing = np.isnan(scores)
    sums = np.nansum(scores, axis=1)
    if are_probabilities:
        p = np.nan_to_num(scores)
        bad = (p < 0).any(axis=1) | (sums > 1 + _SUM) | missing.all(axis=1)
    elif np.nanmin(scores) >= 0 and (np.abs(sums - 1) < _SUM).all():
        raise MedcalError(
            f"{file}: the option scores lie between 0 and 1 and sum to 1: they are probabilities; "
            "name them by probabilities= instead of logits="
        )
    else:
        scores = np.where(missing, -np.inf, scores)
        with np.errstate(invalid="ignore"):
            p = softmax(scores, axis=1)
        bad = np.isnan(p).any(axis=1)
    problem = "and the other options: missing, or no such scores"
    Place(file, names[0]).refuse(raw[names[0]], bad, problem, remedy)
    assumed = [f"confidence from the scores of options {', '.join(map(repr, names))}"]
    if missing.any():
        assumed.append(
            f"{missing.sum():,} scores of options are missing: they count as 0"
        )
    answer = np.array(options, dtype=object)[p.argmax(axis=1)]
    tables = [dict(zip(options, row, strict=True)) for row in p.tolist()]
    return {
        "answer": pd.Series(answer, raw.index, dtype=TEXT),
        "confidence": pd.Series(p.max(axis=1), raw.index),
        "option_probabilities": pd.Series(tables, raw.index, dtype=object),
    }, assumed


# --- what contradicts ----------------------------------------------------------------------------


def check_of_answer(table: pd.DataFrame, file: str) -> None:
    """Refuse confidences that are those of one class, whichever class was answered.

    Of two answers, they lie below one half just where one of the two is given.
    """
    known = table.dropna(subset=["confidence", "answer"])
    for model, rows in known.groupby("model", sort=False):
        step = max(1, len(rows) // _MOST)
        part = rows.iloc[::step]
        is_low = part["confidence"] < 0.5
        given = part["answer"].map(lambda text: yes_no(text) or text.casefold())
        words = list(given.unique())
        if len(words) != 2 or len(part) < _LEAST or is_low.nunique() != 2:
            continue
        share = (is_low == (given == words[0])).mean()
        if not 0.02 < share < 0.98:
            low, other = words if share > 0.5 else words[::-1]
            raise MedcalError(
                f"{file}: the confidence of '{model}' lies below 0.5 just where the answer is "
                f"'{low}': it is the probability of '{other}', not that of the answer; write 1 − p "
                f"where the answer is '{low}'"
            )


def check_correct(
    raw: pd.DataFrame, taken: Mapping[str, str], file: str, *, is_named: bool
) -> list[str]:
    """Ask whether a column called "correct" says what is right, where it may be something else.

    Without gold answers it may be these, in the words of the answers; with them it may call
    answers wrong which are their gold answers, or right which are another option, or yes for no.
    A few such are a sentence among what was assumed.
    """
    theirs = taken["correct"]
    columns = [taken["answer"], taken.get("gold", theirs), theirs]
    step = max(1, len(raw) // _MOST)
    known = raw[columns].iloc[::step]
    known = known.set_axis(["answer", "gold", "correct"], axis=1).dropna()
    graded = grade_table(known[["answer", "gold"]])
    is_gold = graded["correct"].fillna(False).astype(bool)
    if "gold" not in taken:
        if not is_named and is_gold.mean() > 0.1:
            _ask_for_gold(known, theirs, file)
        return []
    # other words may say the same, as who graded them may have judged
    is_plain = is_gold | graded["graded_by"].isin(("yes or no", "letter"))
    flagged = flags(known["correct"], Place(file, theirs))
    odd = known.index[is_plain & (flagged != is_gold).fillna(False)]
    if odd.empty:
        return []
    problem = f"{len(odd):,} of {len(known):,} grades in '{theirs}' contradict the gold answers, "
    problem += f"the first in row {odd[0] + 1}"
    if len(odd) > max(1, is_plain.sum() / 10):
        remedy = "name the column of grades by correct=COLUMN, or grade by the gold answers with "
        raise MedcalError(f"{file}: {problem}; {remedy}correct= (nothing)")
    return [problem]


def _ask_for_gold(known: pd.DataFrame, theirs: str, file: str) -> None:
    """Refuse a column of many answers' words, of a name that may call the right answers."""
    grades = KNOWN["grades"]
    words = words_of(known["correct"])
    has_words = not words.isdisjoint(grades["answers"].split())
    may_be = has_words or words == words_of(known["answer"])
    if may_be and plain_column(theirs) in grades["two_meanings"].split():
        raise MedcalError(
            f"{file}: column '{theirs}' holds the words of the answers: does it say whether an "
            f"answer is right, or is it the right answer? Write correct={theirs} or gold={theirs}"
        )


def check_images(table: pd.DataFrame, file: str) -> None:
    """Refuse a data set of which some answers name their image and some do not."""
    for dataset, part in table.groupby("dataset", sort=False):
        lacking = part["image_id"].isna()
        if 0 < lacking.sum() < len(part):
            raise MedcalError(
                f"{file}: {lacking.sum():,} of {len(part):,} answers of '{dataset}' do not name "
                f"their image, the first in row {lacking.idxmax() + 1} (of merged cells the first "
                "alone is filled); name it in every row, or leave it out by image_id= (nothing)"
            )


#: Columns that differ from one reply to the same question to the next.
_OF_REPLIES = {
    "answer",
    "confidence",
    "correct",
    "raw",
    "parse_ok",
    "seconds",
    "run_id",
}


def check_repeats(raw: pd.DataFrame, taken: Mapping[str, str], file: str) -> None:
    """Refuse rows without an item's id that are several runs of the same items."""
    replies = {taken.get(name) for name in _OF_REPLIES}
    texts = raw.astype(str)
    rows = pd.util.hash_pandas_object(texts, index=False)
    counts = rows.value_counts()
    times = 1
    if len(counts) >= _LEAST:
        times = int(np.gcd.reduce(counts.to_numpy()))
    if times == 1:
        about = texts.drop(columns=[name for name in raw if name in replies])
        times = _runs(pd.util.hash_pandas_object(about, index=False).to_numpy())
    if times > 1:
        n = len(raw)
        raise MedcalError(
            f"{file}: the {n:,} rows are {times} times the same {n // times:,} items, it seems, "
            "and no column names the item; name it by item_id=COLUMN, and number the runs in a "
            "column 'sample'"
        )


def _runs(codes: NDArray) -> int:
    """How many times, two to ten, a sequence of at least ten repeats; 1 if it does not."""
    n = codes.size
    for period in range(1, n // 2 + 1):
        if n % period == 0 and (codes[period:] == codes[:-period]).all():
            return n // period if period >= _LEAST / 2 and n // period <= 10 else 1
    return 1
