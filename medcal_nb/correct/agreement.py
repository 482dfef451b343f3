"""Several models' plain answers to the same items, and what it is worth that they agree."""

import numpy as np
import pandas as pd

from medcal_nb.answer_key import answer_key

from medcal_nb.measure.paired import means, paired

AGREEMENT = "model_agreement"
MAJORITY = "majority"
_ITEM = ["dataset", "item_id"]


def model_agreement(graded: pd.DataFrame) -> pd.DataFrame:
    """Answers without confidences of several models; the confidence is the share that gives them.

    Parameters
    ----------
    graded : DataFrame
        Of its methods those are used that nowhere elicit a confidence, and of their items those
        that every model answered.

    Returns
    -------
    DataFrame
        Rows of every model and of the "majority", whose answer is the most frequent (of several
        that are, the first model's); empty where fewer than three models answered the same items:

        - the columns of `graded`
        - confidence: share of the models that give the answer
        - agree: "all agree" or "some differ"

    Examples
    --------
    >>> from medcal_nb.measure import example_answers
    >>> answers = example_answers(models=["a", "b", "c"], strategies=["generate"])
    >>> rows = model_agreement(answers.assign(confidence=np.nan))
    >>> rows["confidence"].round(2).unique().tolist()
    [0.67, 0.33, 1.0]
    """
    silent = graded["confidence"].isna().groupby(graded["strategy"]).transform("all")
    rows = graded[silent & graded["answer"].notna() & graded["correct"].notna()]
    n_models = rows["model"].nunique()
    answering = rows.groupby(_ITEM)["model"].transform("nunique")
    rows = rows[answering == n_models]
    if n_models < 3 or rows.empty:
        return rows.iloc[:0]
    item = [rows[column] for column in _ITEM]
    key = rows["answer"].map(answer_key)
    share = key.groupby([*item, key]).transform("size") / n_models
    whole = share.groupby(item).transform("min") == 1
    rows = rows.assign(
        strategy=AGREEMENT,
        confidence=share,
        agree=np.where(whole, "all agree", "some differ"),
    )
    first = rows.sort_values("confidence", ascending=False, kind="stable")
    first = first.drop_duplicates(_ITEM).sort_index()
    return pd.concat([rows, first.assign(model=MAJORITY)], ignore_index=True)


def agreement_table(
    rows: pd.DataFrame,
    *,
    level: float = 0.95,
    n_resamples: int = 2000,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Accuracy of each model, of the majority, and of that where all models agree or some differ.

    Parameters
    ----------
    rows : DataFrame
        Of :func:`model_agreement`.
    level, n_resamples, rng
        Of the intervals, by image.

    Returns
    -------
    DataFrame
        One row per model, for the majority, and for it on items that all and that not all agree on:

        - who: the model or the majority
        - n, n_images: answers and images
        - share: of all items
        - accuracy: with _low, _high
        - change: against the best single model on the same items, with _low, _high
        - best: that model

    Examples
    --------
    >>> from medcal_nb.measure import example_answers
    >>> answers = example_answers(models=["a", "b", "c"], strategies=["generate"])
    >>> rows = model_agreement(answers.assign(confidence=np.nan))
    >>> table = agreement_table(rows, n_resamples=200, rng=np.random.default_rng(0))
    >>> table[["who", "accuracy"]].round(2).head(4).to_numpy().tolist()
    [['a', 0.68], ['b', 0.64], ['c', 0.66], ['majority', 0.7]]
    """
    is_majority = rows["model"] == MAJORITY
    majority = rows[is_majority]
    single = rows[~is_majority]
    best = single.groupby("model", sort=False)["correct"].mean().idxmax()
    apart = majority.assign(who=f"{MAJORITY}, " + majority["agree"])
    both = pd.concat([rows.assign(who=rows["model"]), apart])
    rival = single[single["model"] == best].set_index(_ITEM)["correct"]
    items = pd.MultiIndex.from_frame(both[_ITEM])
    both["rival"] = rival.reindex(items).to_numpy(float)
    statistic = means(accuracy="correct", change=("correct", "rival"))
    table = paired(
        both, ["who"], statistic, level=level, n_resamples=n_resamples, rng=rng
    )
    return table.assign(
        share=table["n"] / len(majority),
        best=best,
    )
