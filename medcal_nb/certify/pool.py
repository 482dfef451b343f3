"""The answers that a certificate is of, and by what they are known again."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
import pandas as pd

from medcal_nb.errors import MedcalError
from medcal_nb.measure.rows import image_labels
from medcal_nb.tables.columns import TEXT

#: What names an answer, and the elicitation method that it belongs to.
METHOD = ["model", "strategy"]
KEY = ["dataset", "item_id", *METHOD]
#: What is asked and answered: what a grade is of.
_CASE = ["item_id", "image_id", "question", "answer", "gold"]
#: So many marks of a pool stand in its ledger at most; of a larger pool those below a limit.
_MARKS = 512
#: Share of the smaller pool from which on two pools are the same answers.
SAME = 0.8


class Pool(NamedTuple):
    """Answers that have a confidence, in an order of their own.

    Attributes
    ----------
    rows : pandas.DataFrame
        As of `load_answers`, by data set, item, model and method; ``correct`` is a nullable bool.
    contents : list of str
        Of each row a hash of all that counts: item, image, question, answer, gold answer, model,
        method, confidence.
    cases : list of str
        Of each row a hash of what a grade is of: rows of one item with the same answer, by
        whatever method, are one case; an answer without a text is a case of its own.
    hash : str
        Of the whole pool, 64 hexadecimal digits. The name of its one data set is no part of it.
    """

    rows: pd.DataFrame
    contents: list[str]
    cases: list[str]
    hash: str

    @property
    def seed(self) -> int:
        """Seed of the order of grading: it follows from the pool, so that nobody chooses it."""
        return int(self.hash[:8], 16)

    @property
    def n_cases(self) -> int:
        """Images: of each, one answer of a method is graded."""
        return len(set(image_labels(self.rows)))

    @property
    def keys(self) -> pd.MultiIndex:
        """Names of its rows."""
        return pd.MultiIndex.from_frame(self.rows[KEY])


def pool_of(answers: pd.DataFrame) -> Pool:
    """The pool of a table of answers.

    Parameters
    ----------
    answers : pandas.DataFrame
        As of `medcal_nb.answers.load_answers`. Those without a confidence are no part of it.

    Raises
    ------
    MedcalError
        If no answer has a confidence.
    """
    rows = answers.dropna(subset="confidence").sort_values(KEY, ignore_index=True)
    if rows.empty:
        raise MedcalError("no answer has a confidence, so there is no threshold")
    rows = rows.astype({"correct": "boolean"})
    case = list(_CASE)
    if rows["dataset"].nunique() > 1:
        case.append("dataset")  # else a copy under another name would be another pool
    contents = _hashes(rows, [*case, *METHOD, "confidence"])
    whole = hashlib.sha256("\n".join(sorted(contents)).encode()).hexdigest()
    texts = rows.reindex(columns=["answer"])["answer"]
    cases = pd.Series(_hashes(rows, case)).where(texts.notna(), pd.Series(contents))
    return Pool(rows, contents, cases.tolist(), whole)


def marks_of(pool: Pool) -> dict[str, object]:
    """A sample of a pool's cases by which a pool that shares answers with it is known.

    Returns
    -------
    dict
        ``limit`` and ``marks``: the hashes (16 hexadecimal digits) of all different cases that are
        below the limit. Two pools have the same limit or one has a part of the other's range.
    """
    names = [name for name in _CASE if name != "gold"]  # which may come later
    asked = pool.rows.reindex(columns=["question", "image_id"])
    # rows that a number alone names, which another file has, too
    if len(asked.drop_duplicates()) < len(asked) / 2:
        names.append("confidence")
    marks = sorted(set(_hashes(pool.rows, names)))
    limit = 1 << 64
    while np.searchsorted(marks, _hex(limit)) > _MARKS:
        limit //= 2
    return {
        "limit": _hex(limit),
        "marks": [mark for mark in marks if mark < _hex(limit)],
    }


def shared(first: dict, second: dict) -> float:
    """Share of the smaller of two pools that is in the other, by their marks.

    Examples
    --------
    >>> shared({"limit": "f", "marks": ["1", "2", "e"]}, {"limit": "3", "marks": ["2"]})
    1.0
    """
    limit = min(first["limit"], second["limit"])
    one = {mark for mark in first["marks"] if mark < limit}
    other = {mark for mark in second["marks"] if mark < limit}
    return len(one & other) / max(min(len(one), len(other)), 1)


def _hex(limit: int) -> str:
    # the largest limit is beyond all hashes
    return f"{limit:016x}" if limit < 1 << 64 else "g"


def _hashes(rows: pd.DataFrame, names: list[str]) -> list[str]:
    """16 hexadecimal digits of some columns of each row."""
    table = rows.reindex(columns=names)
    table["confidence"] = rows["confidence"].astype(float).map(repr)
    cells = table[names].astype(TEXT).fillna("").to_numpy(object)
    hashes = []
    for row in cells:
        text = "\x1f".join(row)
        hashes.append(hashlib.sha256(text.encode()).hexdigest()[:16])
    return hashes
