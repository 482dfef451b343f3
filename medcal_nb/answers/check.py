"""The one check of a table of answers: every value in one form, or refused with its row.

First each cell by itself (`checked`), then what the columns say of each other
(`refuse_contradictions`). Where numbers may mean two things, it is asked, not guessed.
"""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medcal_nb.answers.recognise import (
    LEAST,
    OWN,
    SURE_WORDS,
    Recognised,
    sample_of,
    says_how_sure,
)
from medcal_nb.errors import MedcalError
from medcal_nb.tables.columns import (
    ANSWER_COLUMNS,
    ANSWER_KEY,
    COLUMNS,
    KEY,
    KNOWN,
    ROUNDING,
    TEXT,
    WRONG,
    columns_of,
    fault,
    numbers,
    refuse,
)
from medcal_nb.tables.match import plain_column
from medcal_nb.words import NOTHING, grade_table, scale_of, yes_no

#: An elicitation method that no column and no setting names.
UNSPECIFIED = "unspecified"
#: What is assumed of answers where no column says it; a data set is called as its file.
_USUAL = {
    "dataset": "",
    "model": "unnamed",
    "strategy": UNSPECIFIED,
}
_GIVE_KEY = "every answer needs one text here, it is part of the key"
_GIVE_SCALE = (
    "a confidence is a probability: write 0.85 for 85 % everywhere, leave the cell empty where "
    "there is none, or say which scale it is: scale=percent, scale=10, scale=1-5 or scale=log"
)


# --- each cell -----------------------------------------------------------------------------------


def checked(
    raw: pd.DataFrame,
    taken: Mapping[str, str],
    *,
    dataset: str = "",
    scale: str | float | None = None,
    strict: bool = False,
) -> pd.DataFrame:
    """A table with our columns, every value of them checked and in one form.

    Parameters
    ----------
    raw : DataFrame
    taken : mapping
        Of our columns to its own.
    dataset : str
        What the data set is called where nothing says it.
    scale : str or float, optional
        As of `medcal_nb.answers.load_answers`.
    strict : bool
        The table is of our own making: a word for nothing is a word.

    Returns
    -------
    DataFrame
        Those of `ANSWER_COLUMNS` that there are, ``confidence`` and ``correct`` always, then all
        others.
        ``attrs["assumed"]``: what was taken for what, what was assumed and left out.
    """
    out = {}
    about_nothing: list[str] = []
    for ours in filter(taken.get, ANSWER_COLUMNS):
        theirs = taken[ours]
        column = COLUMNS[ours]
        values = raw[theirs]
        if "cell" in column.parts and not strict:
            values = _without_nothing(values, about_nothing)
        out[ours] = column.read(values, theirs)
    assumed = _assume(out, raw.index, dataset)
    _check_names(out, taken)
    assumed += _alike(out["model"])
    word = ""
    if "confidence" in out:
        _check_direction(taken["confidence"])
        by = [out["model"], out["strategy"], out["dataset"]]
        shares, word = confidences(out["confidence"], scale, by, taken["confidence"])
        out["confidence"] = pd.Series(shares, raw.index)
    out.setdefault("confidence", pd.Series(np.nan, raw.index))
    out.setdefault("correct", pd.Series(pd.NA, raw.index, dtype="boolean"))
    table = pd.DataFrame(out)
    table = table[[name for name in ANSWER_COLUMNS if name in table]]
    _check_keys(table)
    others = raw.drop(columns=_used(taken))
    left_out = others.columns.intersection(table.columns)
    if len(left_out):
        shown = ", ".join(map(repr, left_out))
        assumed.append(f"left out, as they hold something else: {shown}")
    table = table.join(others.drop(columns=left_out))
    table.attrs["assumed"] = [*_taken(taken, word), *assumed, *about_nothing]
    return table


def _used(taken: Mapping[str, str]) -> list[str]:
    """Columns of a table that are ours now.

    The name of an image may be its file: it stays under its own name, too.
    """
    used = []
    for ours, theirs in taken.items():
        if ours in COLUMNS and (ours != "image_id" or theirs == ours):
            used.append(theirs)
    return used


def _without_nothing(values: pd.Series, sentences: list[str]) -> pd.Series:
    """Cells of a column with words for nothing as missing ones; a sentence more on how many."""
    if values.dtype not in (TEXT, object):
        return values
    texts = values.dropna().astype(str)
    cells = pd.Series(texts.unique(), dtype=TEXT)
    words = cells[cells.str.fullmatch(f"(?s:{NOTHING})")]
    if words.empty:
        return values
    is_word = texts.isin(words).reindex(values.index, fill_value=False)
    shown = ", ".join(map(repr, words.str.strip().str.slice(0, 30).unique()[:4]))
    sentences.append(
        f"{is_word.sum():,} of {len(values):,} cells of '{values.name}' say that nothing is there "
        f"({shown}): missing"
    )
    return values.mask(is_word)


def _assume(out: dict[str, pd.Series], index: pd.Index, dataset: str) -> list[str]:
    """Fill in what every answer needs, in sentences."""
    if "sample" in out:
        out["sample"] = out["sample"].fillna(0)
    if "reader" in out:
        # a person answers in the place of a model
        out.setdefault("model", out["reader"])
    assumed = []
    for name, usual in _USUAL.items():
        if name not in out:
            value = usual or dataset
            out[name] = pd.Series(value, index, dtype=TEXT)
            assumed.append(f"no column '{name}': it is '{value}'")
    if "item_id" not in out:
        out["item_id"] = pd.Series(range(1, len(index) + 1), index).astype(TEXT)
    return assumed


def _check_names(out: Mapping[str, pd.Series], taken: Mapping[str, str]) -> None:
    """Refuse answers whose key lacks a part, and models that differ by nothing but case."""
    for name in ANSWER_KEY:
        column = taken.get(name, name)
        names = out[name]
        refuse(column, names, names.isna(), "is missing", _GIVE_KEY)
        if name != "item_id":
            different = pd.Series(names.unique(), dtype=TEXT)
            twins = different[different.str.casefold().duplicated()]
            problem = "is written in another case elsewhere"
            refuse(column, names, names.isin(twins), problem, "write one name")


def _alike(models: pd.Series) -> list[str]:
    """A sentence where two names may be one model's: "gpt-4o", "openai/gpt-4o", "gpt 4o"."""
    names = pd.Series(models.unique(), dtype=TEXT)
    plain = (
        names.str.casefold()
        .str.rsplit("/", n=1)
        .str[-1]
        .str.replace(r"[\s_-]+", "-", regex=True)
    )
    twins = names[plain.duplicated(keep=False)]
    if twins.empty:
        return []
    shown = ", ".join(map(repr, twins.tolist()[:4]))
    return [f"{shown} may be names of one model: they are read as different ones"]


_UNSURE = re.compile(
    r"uncertain|entropy|(?<![a-z])nll(?![a-z])|perplexity|doubt", re.IGNORECASE
)


def _check_direction(theirs: str) -> None:
    """Refuse as a confidence what grows as a model is less sure, by its name."""
    if _UNSURE.search(theirs) and "confiden" not in theirs.casefold():
        raise MedcalError(
            f"column '{theirs}' is taken as confidence, but says by its name how unsure an answer "
            "is; write a column with the probability that the answer is right (of an uncertainty "
            "between 0 and 1 this is 1 − it)"
        )


def _check_keys(table: pd.DataFrame) -> None:
    """Refuse two rows that are the same answer."""
    key = table[[name for name in KEY if name in table]]
    twice = key.duplicated(keep=False)
    if twice.any():
        is_same = (key == key.loc[twice.idxmax()]).all(axis=1)
        first, second, *_ = np.flatnonzero(is_same) + 1
        raise MedcalError(
            f"rows {first} and {second} are the same answer; drop one, or number repeated replies "
            "in a column 'sample'"
        )


def _taken(taken: Mapping[str, str], word: str) -> list[str]:
    """Which column is which, as one sentence in a list; none where all are called as ours."""
    parts = []
    for ours in sorted(taken, key=lambda name: name not in ("confidence", "correct")):
        theirs = taken[ours]
        mark = f" ({word})" if word and ours == "confidence" else ""
        if mark or theirs not in (ours, OWN + ours):
            parts.append(f"{ours} from '{theirs}'{mark}")
    return [", ".join(parts)] if parts else []


# --- scales --------------------------------------------------------------------------------------


def confidences(
    values: pd.Series, scale: str | float | None, by: Sequence[pd.Series], column: str
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
        Whose answers they are, by which method, to which data set: all use one scale.
    column : str
        What the user calls it.

    Raises
    ------
    MedcalError
        Where a cell is no number of the scale, or the scale has to be asked for.
    """
    array, signed = numbers(values, column, _GIVE_SCALE)
    if scale == "log":
        problem = "is above 0, no log-probability"
        refuse(column, values, array > 0, problem, _GIVE_SCALE)
        return np.exp(array), "log-probabilities"
    groups = pd.Series(array, values.index).groupby([*by], sort=False)
    tops = groups.max().dropna()
    if scale is None:
        scale = _plain_scale(values, array, signed, tops, column)
    low, high = scale_of(scale)
    if high > 1:
        _check_used(low, high, tops)
    room = ROUNDING * (high - low)
    is_outside = (array < low - room) | (array > high + room)
    problem = f"is outside {low:g} to {high:g}"
    refuse(column, values, is_outside, problem, _GIVE_SCALE)
    shares = np.clip(array, low, high)
    word = {1.0: "", 100.0: "percent"}.get(high, f"scale {low:g} to {high:g}")
    return (shares - low) / (high - low), word


def _plain_scale(
    values: pd.Series, array: NDArray, signed: NDArray, tops: pd.Series, column: str
) -> int:
    """1 or 100, where it is plain which; `tops` are the largest values of models and methods."""
    top = tops.max()
    if signed.any() and signed[~np.isnan(array)].all():
        return 100
    if not signed.any() and (tops.empty or top <= 1.01 or np.isinf(top)):
        return 1
    is_share = (array > 0) & (array < 1)
    if not signed.any() and tops.min() > 20 and top <= 100 and not is_share.any():
        return 100
    problem = (
        "is the largest: percent, another scale, or percent and probabilities mixed?"
    )
    row = int(np.nanargmax(array))
    raise fault(column, row, values.iloc[row], problem, _GIVE_SCALE)


def _check_used(low: float, high: float, tops: pd.Series) -> None:
    """Refuse a scale of which some use only the bottom, as that of another scale would be."""
    used = (tops - low) / (high - low)
    low_used = used[(used > 0) & (used <= 0.1)]
    if low_used.empty:
        return
    name = low_used.index[0]
    raise MedcalError(
        f"column 'confidence': on a scale from {low:g} to {high:g} "
        f"{', '.join(map(repr, name))} reaches {tops[name]:g} at most; another scale? Give "
        "scale=10 or scale=1, or write probabilities"
    )


# --- what columns say of each other --------------------------------------------------------------


def refuse_contradictions(answers: pd.DataFrame, found: Recognised) -> None:
    """Refuse answers whose columns contradict each other, or mean something else.

    Parameters
    ----------
    answers : DataFrame
        As of `checked`, graded. Grades that contradict a few gold answers are a sentence more in
        ``attrs["assumed"]``.
    found : Recognised
        What they were made from.

    Raises
    ------
    MedcalError
        For rows of sums, rows that are runs of the same items, probabilities of one class, and
        grades that contradict the gold answers.
    """
    _check_sums(answers, found)
    if "item_id" not in {*found.taken, *found.named}:
        _check_repeats(found)
    if {"answer", "gold", "correct"} <= {*found.taken}:
        answers.attrs["assumed"] += _check_grades(answers, found.taken["correct"])
    if "answer" in answers:
        for (model, *_), rows in answers.groupby(
            ["model", "strategy", "dataset"], sort=False
        ):
            _check_class(rows, model)


_SUMS = frozenset(KNOWN["rows"]["sums"].split())
_PARTS = frozenset(KNOWN["rows"]["parts"].split())
_BESIDE = frozenset(KNOWN["rows"]["beside"].split())
_RUNS = frozenset(KNOWN["rows"]["runs"].split())


def _check_sums(answers: pd.DataFrame, found: Recognised) -> None:
    """Refuse a row that sums the others up, by its name, in any place and of many languages."""
    named = [
        "item_id",
        "image_id",
        "model",
        "reader",
        "dataset",
        "domain",
    ]
    if "item_id" not in found.taken:
        others = answers.drop(columns=ANSWER_COLUMNS, errors="ignore")
        named += others.columns[others.dtypes == TEXT].tolist()
    # a model may be the mean of others: then it has as many answers as they
    most = max(3, len(answers) // 20)
    for name in answers.columns.intersection(named):
        column = answers[name]
        texts = pd.Series(column.unique(), dtype=TEXT)
        # few words are looked at one by one
        texts = texts[texts.str.contains("|".join(_SUMS), case=False, na=False)]
        is_one = column.isin([text for text in texts if is_sum(text)])
        if 0 < is_one.sum() <= most and not is_one.all():
            row = int(is_one.idxmax())
            raise MedcalError(
                f"row {row + 1} is '{column[row]}', no answer, it seems; drop it, or name it "
                "otherwise"
            )


def is_sum(text: str) -> bool:
    """Tell whether a row of this name is a sum of the others.

    Examples
    --------
    >>> is_sum("Total (n = 200)"), is_sum("Subtotal of gpt"), is_sum("total_12")
    (True, True, False)
    """
    text = re.sub(r"\(.*?\)|\[.*?\]|\bn\s*=\s*\d+", " ", text.casefold())
    words = set(re.findall(r"\w+|∑", text))
    return bool(words & _PARTS) or (bool(words & _SUMS) and words <= _SUMS | _BESIDE)


def _check_class(rows: pd.DataFrame, model: str) -> None:
    """Refuse a model's confidences that are those of one class, whichever class was answered.

    Of the answers that are given often, they reach one half just where one of them is given.
    """
    part = sample_of(rows, ["confidence", "answer"])
    words = part["answer"].map(lambda text: yes_no(text) or text.casefold())
    shares = words.value_counts(normalize=True)
    often = shares.index[shares >= 0.1]
    words = words[words.isin(often)]
    is_high = part["confidence"][words.index] >= 0.5
    if len(often) < 2 or len(words) < LEAST or is_high.nunique() < 2:
        return
    for word in often:
        agrees = (words == word) == is_high
        # answers that are drawn agree less often, but in both classes
        by_class = agrees.groupby(words == word).agg(["mean", "size"])
        is_drawn = by_class["mean"].min() >= 0.9 and by_class["size"].min() >= 10
        if agrees.mean() > 0.98 or is_drawn:
            low = "' or '".join(often.drop(word))
            raise MedcalError(
                f"the confidence of '{model}' lies below 0.5 just where the answer is "
                f"'{low}': it is the probability of '{word}', not that of the answer; write "
                f"that of the answer: of two, write 1 − p where the answer is '{low}'"
            )


def _check_grades(answers: pd.DataFrame, theirs: str) -> list[str]:
    """Refuse grades that call answers wrong which are the gold answers, or the other way round.

    A few such are a sentence among what was assumed.
    """
    known = sample_of(answers, ["answer", "gold", "correct"])
    graded = grade_table(known[["answer", "gold"]])
    is_gold = graded["correct"].fillna(False).astype(bool)
    # other words may say the same, as who graded them may have judged
    is_plain = is_gold | graded["graded_by"].isin(("yes or no", "letter"))
    odd = known.index[is_plain & (known["correct"] != is_gold)]
    if odd.empty:
        return []
    problem = (
        f"{len(odd):,} of {len(known):,} grades in '{theirs}' contradict the gold answers, the "
        f"first in row {odd[0] + 1}"
    )
    if len(odd) > max(1, is_plain.sum() / 10):
        raise MedcalError(
            f"{problem}; name the column of grades by correct=COLUMN, or grade by the gold answers "
            "with correct= (nothing)"
        )
    return [problem]


def with_images(table: pd.DataFrame) -> pd.DataFrame:
    """Answers with the image that another answer to the same item names.

    An item that no answer names an image of is an image of its own (`measure.image_labels`).

    Raises
    ------
    MedcalError
        Where two names may be of one image, and where names stand as in merged cells.
    """
    if "image_id" not in table:
        return table
    for _, names in table["image_id"].dropna().groupby(table["dataset"]):
        _refuse_alike(names.unique())
    if table["image_id"].isna().any():
        images = table.groupby(["dataset", "item_id"], sort=False)["image_id"]
        is_one = images.transform("nunique") == 1
        of_item = images.transform("first").where(is_one)
        table = table.assign(image_id=table["image_id"].fillna(of_item))
        items = table.drop_duplicates(["dataset", "item_id"])
        for dataset, names in items.groupby("dataset", sort=False)["image_id"]:
            _refuse_merged(names, dataset)
    return table


def _refuse_merged(names: pd.Series, dataset: str) -> None:
    """Refuse names of images of which the first alone of each few rows is filled.

    Merged cells leave each name once, at the head of its questions, and these are alike in number.
    """
    is_named = names.notna()
    if not is_named.iloc[0] or names.dropna().duplicated().any():
        return
    sizes = is_named.cumsum().value_counts()
    most_have_several = (sizes > 1).mean() >= 0.75
    are_alike = sizes.max() <= 3 * sizes.median()
    if len(sizes) >= 3 and most_have_several and are_alike:
        row = is_named.idxmin()
        raise MedcalError(
            f"row {row + 1} does not name its image, and in '{dataset}' each name stands once, "
            "before rows without one, as of merged cells the first alone is filled; name the image "
            "in every row, or leave the names out by image_id= (nothing)"
        )


def _refuse_alike(names: Sequence[str]) -> None:
    """Refuse two images of a data set whose names differ by case or by what stands before them."""
    known: dict[str, str] = {}
    pairs = []
    for name in names:
        path = re.sub(r"^[a-z]:", "", name.replace("\\", "/").casefold())
        other = known.setdefault(path.lstrip("./"), name)
        if other != name:
            pairs.append((other, name))
    for path, name in known.items():
        _, *behind = path.split("/")
        for n in range(len(behind)):
            tail = "/".join(behind[n:])
            if tail in known:
                pairs.append((known[tail], name))
    if pairs:
        one, other = pairs[0]
        raise MedcalError(
            f"images {one!r} and {other!r} differ by case or folder alone ({len(pairs):,} such "
            "pairs): one image? Write one name for one image, and other names for two"
        )


def about_rows(found: Recognised) -> list[str]:
    """Say which columns are not used, though they may mean something.

    That a row is more than one answer, or none, or how sure the model was.
    """
    sentences = []
    taken = found.taken.get("confidence", "")
    instead = "that of the replies" if taken.startswith(OWN) else f"'{taken}'"
    for name in found.table.columns.difference([*found.taken.values()], sort=False):
        plain = plain_column(name)
        if (
            taken
            and SURE_WORDS & {*plain.split("_")}
            and says_how_sure(found.table[name])
        ):
            sentences.append(
                f"column '{name}' is not used: the confidence is {instead}; confidence={name} "
                "takes it"
            )
        if plain not in _WEIGHTS | _EXCLUDED:
            continue
        cells = found.table[name].dropna().astype(str).str.strip().str.casefold()
        n_marked = (~cells.isin(WRONG) & (cells != "")).sum()
        if plain in _WEIGHTS and cells.nunique() > 1:
            sentences.append(
                f"column '{name}' is not used: every row counts as one answer"
            )
        if plain in _EXCLUDED and n_marked:
            sentences.append(
                f"column '{name}' is not used: the {n_marked:,} rows it marks count"
            )
    return sentences


_WEIGHTS = frozenset(KNOWN["rows"]["weights"].split())
_EXCLUDED = frozenset(KNOWN["rows"]["excluded"].split())


def _check_repeats(found: Recognised) -> None:
    """Refuse rows without an item's id that are several runs of the same items."""
    raw = found.table
    replies = [found.taken.get(name) for name in columns_of("reply")]
    aside = [name for name in raw if name in replies or plain_column(name) in _RUNS]
    about = raw.drop(columns=aside)
    texts = (raw if about.columns.empty else about).astype(str)
    codes = pd.util.hash_pandas_object(texts, index=False)
    times = _runs(codes.to_numpy())
    if times > 1:
        n = len(raw)
        raise MedcalError(
            f"the {n:,} rows are {times} times the same {n // times:,} items, it seems, "
            "and no column names the item; name it by item_id=COLUMN, and number the runs in a "
            "column 'sample'; or write item_id= (nothing) if each row is an item"
        )


def _runs(codes: NDArray) -> int:
    """How many times, two to ten, at least ten items repeat; 1 where they do not."""
    most = 10
    n = codes.size
    # one item after the other: so many rows alike
    ends = np.flatnonzero(codes[1:] != codes[:-1]) + 1
    lengths = np.diff([0, *ends, n])
    times = int(np.gcd.reduce(lengths))
    if len(lengths) >= most and 1 < times <= most:
        return times
    # one run after the other
    for period in range(1, n // 2 + 1):
        if n % period == 0 and (codes[period:] == codes[:-period]).all():
            times = n // period
            return times if period >= most >= times else 1
    return 1
