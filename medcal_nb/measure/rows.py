"""Rows of graded answers: those that can be measured, their images and groups."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from medcal_nb.errors import NotEnough

from ._check import warn

#: In ``attrs`` of a table or column: maps have seen the grades of its other answers.
CROSS_FITTED = "cross_fitted"
_JUDGED_BY = ["confidence", "correct", "dataset", "item_id", "image_id", "image_set"]


def measured(graded: pd.DataFrame) -> pd.DataFrame:
    """Return the graded answers that can be measured: those with a confidence and a grade."""
    return graded.dropna(subset=["confidence", "correct"])


def arrays(graded: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return `(confidence, correct)` of the answers that can be measured, as float arrays."""
    answers = measured(graded[["confidence", "correct"]])
    return answers["confidence"].to_numpy(float), answers["correct"].to_numpy(float)


def image_labels(graded: pd.DataFrame, column: str = "image_id") -> np.ndarray:
    """Return the image of each row with its data set's name; the item where none is named.

    Every interval by image counts these: an item that names no image is an image of its own. Data
    sets that share their images have one name in ``image_set``, which then stands for the data
    set's. Ids are written alike whatever their type: 7, numpy's 7, 7.0 and "7.0" are one id.

    Parameters
    ----------
    graded : pandas.DataFrame
        Answers.
    column : str
        Whose ids stand for the image.

    Returns
    -------
    (n,) array of str

    Examples
    --------
    >>> rows = {"dataset": "d", "item_id": [1, 2, 3], "image_id": ["a", "a", None]}
    >>> image_labels(pd.DataFrame(rows)).tolist()
    ['d/a', 'd/a', 'd/3']
    """
    item = graded.get("item_id", pd.Series(graded.index, graded.index))
    named = graded.get(column, item)
    is_unknown = named.isna()
    if is_unknown.any():
        named = item if is_unknown.all() else named.astype(object).fillna(item)
    code, names = _texts(named)
    if "dataset" in graded:
        sets = graded["dataset"]
        if "image_set" in graded:
            sets = graded["image_set"].fillna(sets)
        of_set, known = _texts(sets)
        # a name is made once, and not for each row again
        code, both = pd.factorize(of_set * len(names) + code)
        names = known[both // len(names)] + "/" + names[both % len(names)]
    return names[code]


def warn_of_cross_fitted(values: pd.DataFrame | ArrayLike) -> None:
    """Warn where confidences that a certificate is asked for have seen the grades it counts."""
    if getattr(values, "attrs", {}).get(CROSS_FITTED):
        warn(
            "cross-fitted confidences have seen the grades of these answers, so that a certificate "
            "of them promises too much: certify the uncorrected confidence, or fit the map on "
            "other answers (recalibrated)"
        )


def images_known(graded: pd.DataFrame) -> bool:
    """Return whether rows name their images; else intervals are by answer.

    Where some rows do and others do not, each item of the others is an image of its own.
    """
    return "image_id" in graded and bool(graded["image_id"].notna().any())


def images_counted(graded: pd.DataFrame) -> str:
    """Return how many images, or answers, intervals rest on, in words.

    Examples
    --------
    >>> rows = {"item_id": [1, 2, 3, 4], "image_id": ["a", "a", None, None]}
    >>> images_counted(pd.DataFrame(rows))
    '3: 1 named, 2 questions that name none'
    """
    n = len({*image_labels(graded)})
    if not images_known(graded) or graded["image_id"].notna().all():
        return f"{n:,}"
    n_named = len({*image_labels(graded.dropna(subset="image_id"))})
    return f"{n:,}: {n_named:,} named, {n - n_named:,} questions that name none"


def same_answers(graded: pd.DataFrame, column: str, key: Sequence[str]) -> pd.DataFrame:
    """Return the rows of what has a confidence with every value of a column.

    Two methods are compared on the same answers, two forms of a test on the same questions, where
    what one of them leaves without a confidence is left out of all.

    Parameters
    ----------
    graded : pandas.DataFrame
        Answers, one row of each value a key.
    column : str
        What is compared: strategy, or the form of a test. Of a model, those values count that it
        has a row of.
    key : sequence of str
        Columns that name what is the same, model first: model and item_id for methods.

    Returns
    -------
    pandas.DataFrame
        The rows that have a confidence and a grade and whose key has one with every value of the
        column; the columns of `graded`.

    Raises
    ------
    ValueError
        On a column the table lacks.

    Examples
    --------
    >>> rows = {"model": "m", "item_id": [1, 1, 2, 2], "strategy": ["a", "b", "a", "b"]}
    >>> rows |= {"confidence": [0.9, 0.5, None, 0.4], "correct": True}
    >>> same_answers(pd.DataFrame(rows), "strategy", ["model", "item_id"])["item_id"].tolist()
    [1, 1]
    """
    parts_by(graded[:0], [column, *key])
    owner, _ = pd.factorize(graded[key[0]])
    value, values = pd.factorize(graded[column])
    wanted = np.bincount(pd.unique(owner * len(values) + value) // len(values))
    same = owner
    for name in key[1:]:  # numbers: texts are slow to compare
        code, names = pd.factorize(graded[name])
        same, _ = pd.factorize(same * len(names) + code)
    has_both = graded[["confidence", "correct"]].notna().all(axis=1).to_numpy()
    of_rows = same[has_both]
    different = pd.unique(of_rows * len(values) + value[has_both])
    n = np.bincount(different // len(values), minlength=len(graded))
    is_complete = has_both.copy()
    is_complete[has_both] = n[of_rows] == wanted[owner[has_both]]
    return graded[is_complete]  # at once: texts are slow to take


def plain_ids(values: Iterable) -> np.ndarray:
    """Return ids as text, an object array; whole numbers without a point."""
    code, texts = _texts(values)
    return texts[code]


def _texts(values: Iterable) -> tuple[np.ndarray, np.ndarray]:
    """Number of each id, and the ids by number as texts; whole numbers without a point."""
    code, different = pd.factorize(pd.Series(values), use_na_sentinel=False)
    texts = pd.Series(different).astype(str).fillna("nan")
    whole = r"^(-?\d+)\.0+$"
    return code, texts.str.replace(whole, r"\1", regex=True).to_numpy(object)


def refuse_shared(fitted: pd.DataFrame, judged: pd.DataFrame, names: str) -> None:
    """Raise NotEnough where an image is in both: what is learned is not judged on its images."""
    if shared := set(image_labels(fitted)) & set(image_labels(judged)):
        raise NotEnough(
            f"{len(shared)} images are both {names}, the first {min(shared)}: "
            "what was learned on an image would be judged on it; choose both, source and "
            "target, from data sets or splits that share none"
        )


def parts_by(
    graded: pd.DataFrame, by: str | Sequence[str]
) -> list[tuple[dict, pd.DataFrame]]:
    """Return the groups of a table as (columns and values, rows); one group without columns."""
    by = [by] if isinstance(by, str) else list(by)
    if missing := [column for column in by if column not in graded.columns]:
        raise ValueError(
            f"the table lacks {', '.join(map(repr, missing))}; it has "
            f"{', '.join(map(str, graded.columns))}"
        )
    if not by:
        return [({}, graded)]
    groups = graded.groupby(by, sort=True, dropna=False, observed=True)
    return [(dict(zip(by, key, strict=True)), part) for key, part in groups]


def judged_by(graded: pd.DataFrame, by: str | Sequence[str]) -> pd.DataFrame:
    """Return a table without the columns that judge no answer: each selection would take them.

    Parameters
    ----------
    graded : pandas.DataFrame
        Answers.
    by : str or sequence of str
        Columns that stay beside confidence, grade and what names question and image.

    Returns
    -------
    pandas.DataFrame
        The same rows.

    Raises
    ------
    ValueError
        On a column the table lacks.

    Examples
    --------
    >>> rows = {"item_id": [1], "question": ["Is it?"], "confidence": 0.5, "model": "a"}
    >>> judged_by(pd.DataFrame(rows), "model").columns.tolist()
    ['model', 'confidence', 'item_id']
    """
    parts_by(graded[:0], by)  # says what is lacking
    by = [by] if isinstance(by, str) else list(by)
    known = [name for name in _JUDGED_BY if name in graded and name not in by]
    return graded[[*dict.fromkeys(by), *known]]


def rows_by(graded: pd.DataFrame, by: Sequence[str]) -> dict[tuple, pd.DataFrame]:
    """Return the rows of each group of a table by its values of the columns."""
    return {tuple(key.values()): part for key, part in parts_by(graded, by)}
