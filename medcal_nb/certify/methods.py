"""`certify` for several methods of the same answers: delta divided, grades shared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medcal_nb.measure._check import check_confidence, check_level
from medcal_nb.measure.rows import image_labels, parts_by, warn_of_cross_fitted
from medcal_nb.measure.selective import DELTA

from .design import Rule
from .ends import Certificate
from .rule import BATCH, certified, check_grades, order_of_grading


class MethodCertificates(NamedTuple):
    """Where the certificates of several methods stand; `certify_methods` says what is what."""

    next: NDArray[np.intp]
    table: pd.DataFrame
    samples: Sequence[NDArray[np.intp]] = ()


def certify_methods(
    answers: pd.DataFrame,
    *,
    risk: float,
    delta: float = DELTA,
    budget: int | None = None,
    by: Sequence[str] = ("strategy",),
    starts: Sequence[int] | None = None,
    seed: int = 0,
    batch: int = BATCH,
) -> MethodCertificates:
    r"""`certify` for each confidence of the same answers: delta divided, grades shared.

    .. math:: P\bigl(\, \exists m: P(y = 0 \mid c_m \ge \hat\tau_m) > \alpha \,\bigr) \le
        \sum_{m=1}^{k} \delta / k = \delta

    so that whichever threshold is taken afterwards holds. The methods have one random order of the
    items, and a grade is of an answer, not of a method: rows of one item with the same answer
    share it.

    Parameters
    ----------
    answers : pandas.DataFrame
        The pool: item_id, confidence, correct (1, 0, and NaN where nobody has graded yet), the
        columns of `by`, and where known dataset, image_id and answer. Without the text of the
        answer no grade is shared. Rows without a confidence belong to no pool.
    risk, starts, seed
        As in `certify`.
    batch : int
        As in `certify`, of each method.
    delta : float
        δ, the probability that any of the thresholds fails, in (0, 1).
    budget : int, optional
        As in `certify`, of each method, and of the grades that it has used. What they share is
        graded once. Who stops earlier, after
        so many grades in all, has thresholds that hold.
    by : sequence of str
        Columns whose combinations are the methods.

    Returns
    -------
    MethodCertificates
        - next: positions of rows to grade now, one row an answer, the methods in turn
        - table: one row a method, described below
        - samples: of each method the positions of the rows that certified its threshold

        - the `by` columns
        - n_pool: its answers
        - delta: δ / k
        - threshold, coverage, n_graded, n, errors, state, sentence, starts, group, group_graded,
          group_errors, group_allowed, group_horizon, p_value, cases_needed, cases_rate: as in
          `certify`

    Raises
    ------
    ValueError
        On a column the table lacks, on two answers of one method to one item, and as `certify`.

    References
    ----------
    Bonferroni's inequality, as in Angelopoulos et al., Learn then Test, 2025, arXiv:2110.01052.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> items = pd.DataFrame({"item_id": range(2000), "answer": "yes"})
    >>> sure = items.assign(strategy="p_true", confidence=rng.uniform(0.5, 1, 2000))
    >>> sure["correct"] = (rng.random(2000) < sure["confidence"]).astype(float)
    >>> blind = sure.assign(strategy="verbalized", confidence=rng.random(2000).round(1))
    >>> both = pd.concat([sure, blind], ignore_index=True)
    >>> stand = certify_methods(both, risk=0.2, budget=400)
    >>> stand.table[["strategy", "coverage", "state"]].round(2).to_numpy().tolist()
    [['p_true', 0.62, 'certified'], ['verbalized', 0.0, 'not shown']]
    """
    warn_of_cross_fitted(answers)
    table = with_shared_grades(answers, by)
    items = table.drop_duplicates("item").sort_values("item")
    order = order_of_grading(items["image"], len(items), seed)
    parts = parts_by(table, by)
    each = check_level(delta, "delta") / max(len(parts), 1)
    rule = Rule(risk, each, budget, starts)
    rows = []
    asked = []
    samples = []
    for key, part in parts:
        stand = _of_method(part, order, rule, seed=seed, batch=batch)
        row = key | {"n_pool": len(part), "delta": each} | stand._asdict()
        following = part.iloc[row.pop("next")]
        samples.append(part["row"].to_numpy(np.intp)[row.pop("sample")])
        rows.append(row)
        asked.append(following.assign(turn=np.arange(len(following))))
    in_turn = pd.concat(asked).sort_values("turn", kind="stable")
    once = in_turn.drop_duplicates("graded")["row"].to_numpy(np.intp)
    return MethodCertificates(next=once, table=pd.DataFrame(rows), samples=samples)


def _of_method(
    part: pd.DataFrame, order: NDArray[np.intp], rule: Rule, *, seed: int, batch: int
) -> Certificate:
    """A method's certificate; positions are those in its rows."""
    c = check_confidence(part["confidence"])
    y = check_grades(part["correct"], c.size)
    # where each item is among the method's answers, in the order of grading
    place = pd.Series(np.arange(c.size), part["item"])
    in_order = place.reindex(order)
    in_order = in_order.dropna()
    return certified(c, y, in_order.to_numpy(np.intp), rule, seed=seed, batch=batch)


def with_shared_grades(answers: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """The answers with a confidence, the number of each item and of each answer to grade."""
    table = answers.assign(row=np.arange(len(answers)), image=image_labels(answers))
    table = table[table["confidence"].notna()]
    item = [name for name in ("dataset", "item_id") if name in table]
    by_item = table.groupby(item, dropna=False)
    table["item"] = by_item.ngroup()
    if table.duplicated(["item", *by]).any():
        raise ValueError("a method has two answers to one item; leave one")
    # without a text it is an answer of its own
    table["text"] = table["row"]
    if "answer" in table:
        table["text"] = table["answer"].astype(object).fillna(table["row"])
    by_answer = table.groupby(["item", "text"])
    table["graded"] = by_answer.ngroup()
    shared = by_answer["correct"].transform("first")
    table["correct"] = shared.to_numpy(float, na_value=np.nan)
    return table
