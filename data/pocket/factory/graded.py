"""One answer an item of what a model was asked, and what an expert can judge of it."""

import pandas as pd

from medcal_nb.answer_key import answer_key
from medcal_nb.answers.samples import one_answer_an_item


def to_graded(answers: pd.DataFrame) -> pd.DataFrame:
    """Make one graded answer per model, data set, item and strategy, as `load_answers` does."""
    if "sample" not in answers:
        return answers
    return one_answer_an_item(answers, "answers")


def with_candidates(items: pd.DataFrame, graded: pd.DataFrame) -> pd.DataFrame:
    """Return what an expert can judge: the items that all strategies have answered.

    Parameters
    ----------
    items : DataFrame
        The item table.
    graded : DataFrame
        Graded answers of one model to one data set under the strategies whose answers are judged.

    Returns
    -------
    DataFrame
        An item without options has the different answers given, with a confidence, as its options;
        one without such answers is left out.
    """

    def different(answers):
        return tuple({answer_key(one): one for one in answers[::-1]}.values())

    stated = graded.dropna(subset=["answer", "confidence"])
    named = stated.groupby("item_id")["answer"].agg(different)
    n_asked = items["item_id"].map(graded.groupby("item_id")["strategy"].nunique())
    options = items["options"].where(
        items["options"].notna(), items["item_id"].map(named)
    )
    whole = (n_asked == graded["strategy"].nunique()) & options.notna()
    return items.assign(options=options)[whole]
