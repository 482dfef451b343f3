"""One model beside others: differences on the questions that both answered."""

from __future__ import annotations

import pandas as pd

from medcal_nb.errors import NotEnough

from ._check import check_choice
from .groups import difference_table, with_holm
from .resampling import Bootstrap
from .rows import measured

BY = ("dataset", "strategy")
COMPARED = ("accuracy", "gap", "brier")


def beside_table(
    graded: pd.DataFrame,
    model: str,
    *,
    ci: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    """A model minus each other model, on the questions that both answered.

    Every pair has its own questions: those with a confidence and a grade of both models, in the
    same data set and by the same elicitation method. The comparison is paired by image; where one
    table knows the image of a question and the other does not, the one that is known counts.

    Parameters
    ----------
    graded : pandas.DataFrame
        With model, dataset, strategy, item_id, confidence and correct.
    model : str
        The one that is compared.
    ci : Bootstrap
        Level, number of resamples and seed of the intervals, by image.

    Returns
    -------
    pandas.DataFrame
        One row a data set, strategy, other model and metric:

        - dataset, strategy
        - metric: accuracy, gap or brier
        - a, b: the model, and the other one
        - n_a, n_b: their questions, as many of both
        - value_a, value_b: of the metric
        - difference: a − b, with unadjusted _low, _high
        - p: two-sided, by Student's t
        - p_holm: Holm over all rows
        - differs: p_holm ≤ 1 − ci.level

    Raises
    ------
    ValueError
        If the model does not occur.
    NotEnough
        If no question was answered by it and another.

    Examples
    --------
    >>> from medcal_nb.measure import example_answers
    >>> answers = example_answers(models=["mine", "other"])
    >>> table = beside_table(answers, "mine")
    >>> table[["dataset", "metric", "a", "b"]].iloc[0].tolist()
    ['general', 'accuracy', 'mine', 'other']
    """
    rows = measured(graded)
    names = list(rows["model"].unique())
    check_choice(model, "model", names)
    question = [*BY, "item_id"]
    tables = []
    for other in names:
        if other == model:
            continue
        pair = rows[rows["model"].isin([model, other])]
        both = pair[pair.groupby(question)["model"].transform("nunique") == 2]
        if both.empty:
            continue
        images = both.get("image_id", pd.Series(None, both.index, dtype=object))
        both = both.assign(image_id=images)
        known = both.groupby(question)["image_id"].transform("first")
        both = both.assign(image_id=known, model=both["model"].astype(object))
        tables.append(
            difference_table(
                both, "model", metrics=COMPARED, reference=other, by=BY, ci=ci
            )
        )
    if not tables:
        raise NotEnough(f"no question was answered by {model!r} and another model")
    return with_holm(pd.concat(tables, ignore_index=True), ci.level)
