"""From answers to graded answers: one row per model, data set, item and strategy.

A strategy that asks once is graded as it stands; where it gives several answers to an item, its
own rule (:mod:`medcal_nb.ask.strategies`) says which of them counts and with what confidence.
Missing stays missing: without an answer there is no confidence and no grade.
"""

import pandas as pd

from medcal_nb.answer_key import answer_key
from medcal_nb.answers.samples import one_answer_an_item
from medcal_nb.ask.strategies import UNRANKED, find_strategy


def to_graded(answers: pd.DataFrame) -> pd.DataFrame:
    """Make one graded answer per model, data set, item and strategy, as `load_answers` does."""
    if "sample" not in answers:
        return answers
    return one_answer_an_item(answers, "answers")


def ranked(graded: pd.DataFrame) -> pd.DataFrame:
    """Return the graded answers of ways of asking that are compared with each other.

    Left out are probes (``blank_image``, ``none_of_the_above``), what was shown a blank image
    (``NAME_blank``), an expert's judgements and typed scores (``decision``).

    Examples
    --------
    >>> answers = pd.DataFrame({"strategy": ["verbalized", "blank_image", "top_k_blank"]})
    >>> ranked(answers)["strategy"].tolist()
    ['verbalized']
    """

    def is_apart(name):
        return (
            name.startswith("expert")
            or getattr(find_strategy(name), "family", "") in UNRANKED
        )

    apart = filter(is_apart, graded["strategy"].unique())
    return graded[~graded["strategy"].isin([*apart])].reset_index(drop=True)


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

    def different(said):
        return tuple({answer_key(answer): answer for answer in said[::-1]}.values())

    stated = graded.dropna(subset=["answer", "confidence"])
    named = stated.groupby("item_id")["answer"].agg(different)
    n_asked = items["item_id"].map(graded.groupby("item_id")["strategy"].nunique())
    options = items["options"].where(
        items["options"].notna(), items["item_id"].map(named)
    )
    whole = (n_asked == graded["strategy"].nunique()) & options.notna()
    return items.assign(options=options)[whole]
