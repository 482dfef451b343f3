"""Several models' plain answers to the same items: what is it worth that they agree?"""

import numpy as np
import pandas as pd

from .fusion import plain_answer
from .paired import mean, paired

AGREEMENT, MAJORITY = "model_agreement", "majority"
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


def agreement_table(rows: pd.DataFrame, *, rng: np.random.Generator, **settings) -> pd.DataFrame:
    """Accuracy of each model, of the majority, and of that where all models agree or some differ.

    Returns
    -------
    DataFrame
        One row per ``who``: n, n_images, share (of all items), mean_confidence, accuracy and
        ``change`` (against the best single model on the same items, which is ``best``) with low
        and high, by image; ``is_model``.
    """
    most, single = (rows[(rows["model"] == MAJORITY) == is_it] for is_it in (True, False))
    best = single.groupby("model", sort=False)["correct"].mean().idxmax()
    both = pd.concat(
        [rows.assign(who=rows["model"]), most.assign(who=f"{MAJORITY}, " + most["agree"])]
    )
    rival = single[single["model"] == best].set_index(_ITEM)["correct"]
    both["rival"] = rival.reindex(pd.MultiIndex.from_frame(both[_ITEM])).to_numpy()

    def statistic(part, w):
        right = mean(w, part["correct"])
        said = {"mean_confidence": part["confidence"].mean(), "accuracy": right}
        return said | {"change": right - mean(w, part["rival"])}

    out = paired(both, ["who"], statistic, rng=rng, **settings)
    models = out["who"].isin(single["model"])
    return out.assign(share=out["n"] / len(most), best=best, is_model=models)


def agreement_title(table: pd.DataFrame) -> str:
    """Does the majority beat the best model, and what is it worth that all agree?"""
    by = table.set_index("who")["accuracy"].mul(100).round()
    most = table.set_index("who").loc[MAJORITY]
    does = "can't be told from"
    if most["change_high"] < 0:
        does = "loses to"
    elif most["change_low"] > 0:
        does = "beats"
    title = (
        f"The majority of {table['is_model'].sum()} models, {by[MAJORITY]:.0f} % right, {does} the "
        f"best of them ({most['best']}, {by[most['best']]:.0f} %)"
    )
    if f"{MAJORITY}, all agree" not in by:
        return f"{title}; never do all agree"
    return f"{title}; where all agree, {by[f'{MAJORITY}, all agree']:.0f} % are right"


def agreement_sentence(table: pd.DataFrame) -> str:
    """The numbers behind :func:`agreement_title`, with their intervals."""
    told = [
        f"{who} {row['accuracy']:.3f} [{row['accuracy_low']:.3f}, {row['accuracy_high']:.3f}]"
        + (f" ({100 * row['share']:.0f} % of the questions)" if row["share"] < 1 else "")
        for who, row in table.set_index("who").iterrows()
    ]
    row = table[table["who"] == MAJORITY].iloc[0]
    return (
        f"Accuracy: {'; '.join(told)}. Majority minus {row['best']}: {row['change']:+.3f} "
        f"[{row['change_low']:+.3f}, {row['change_high']:+.3f}]."
    )
