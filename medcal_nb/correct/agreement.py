"""Several models' plain answers to the same items: what is it worth that they agree?"""

import numpy as np
import pandas as pd

from .fusion import plain_answer
from .paired import means, paired

AGREEMENT = "model_agreement"
MAJORITY = "majority"
_ITEM = ["dataset", "item_id"]


def model_agreement(graded: pd.DataFrame) -> pd.DataFrame:
    """Answers without confidences of several models; the confidence is the share that gives them.

    Parameters
    ----------
    graded : DataFrame
        Of its strategies those are used that nowhere state a confidence, and of their items those
        that every model answered.

    Returns
    -------
    DataFrame
        Rows of every model and of the "majority", whose answer is the most frequent (of several
        that are, the first model's), with ``agree``: "all agree" or "some differ". Empty where
        fewer than three models answered the same items.
    """
    silent = graded["confidence"].isna().groupby(graded["strategy"]).transform("all")
    rows = graded[silent & graded["answer"].notna() & graded["correct"].notna()]
    models = rows["model"].nunique()
    rows = rows[rows.groupby(_ITEM)["model"].transform("nunique") == models]
    if models < 3 or rows.empty:
        return rows.iloc[:0]
    item = [rows[column] for column in _ITEM]
    said = rows["answer"].map(plain_answer)
    share = said.groupby([*item, said]).transform("size") / models
    whole = share.groupby(item).transform("min") == 1
    told = np.where(whole, "all agree", "some differ")
    rows = rows.assign(strategy=AGREEMENT, confidence=share, agree=told)
    first = rows.sort_values("confidence", ascending=False, kind="stable")
    first = first.drop_duplicates(_ITEM).sort_index()
    return pd.concat([rows, first.assign(model=MAJORITY)], ignore_index=True)


def agreement_table(
    rows: pd.DataFrame, *, rng: np.random.Generator, **settings
) -> pd.DataFrame:
    """Accuracy of each model, of the majority, and of that where all models agree or some differ.

    Returns
    -------
    DataFrame
        One row per ``who``: n, n_images, share (of all items), accuracy and
        ``change`` (against the best single model on the same items, which is ``best``) with low
        and high, by image; ``is_model``.
    """
    most, single = (
        rows[(rows["model"] == MAJORITY) == is_it] for is_it in (True, False)
    )
    best = single.groupby("model", sort=False)["correct"].mean().idxmax()
    both = pd.concat(
        [
            rows.assign(who=rows["model"]),
            most.assign(who=f"{MAJORITY}, " + most["agree"]),
        ]
    )
    rival = single[single["model"] == best].set_index(_ITEM)["correct"]
    both["rival"] = rival.reindex(pd.MultiIndex.from_frame(both[_ITEM])).to_numpy(float)
    both["correct"] = both["correct"].astype(float)

    statistic = means(accuracy="correct", change=("correct", "rival"))
    out = paired(both, ["who"], statistic, rng=rng, **settings)
    models = out["who"].isin(single["model"])
    return out.assign(share=out["n"] / len(most), best=best, is_model=models)
