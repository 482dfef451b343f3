"""Made-up graded answers to try a function on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd


def example_answers(
    n: int = 100,
    *,
    models: Sequence[str] = ("m1",),
    strategies: Sequence[str] = ("verbalized", "p_true"),
) -> pd.DataFrame:
    """Made-up graded answers, well calibrated on general images and overconfident on medical ones.

    Parameters
    ----------
    n : int
        Items of each kind of image, two to an image.
    models, strategies : sequence of str
        Each model answers each item under each strategy.

    Returns
    -------
    pandas.DataFrame
        One row an answer, the same in every call:

        - model
        - strategy
        - dataset, domain: "general" or "medical"
        - item_id
        - image_id
        - answer: "yes" or "no"
        - confidence: two decimals, of one half or more
        - correct: True or False

    Examples
    --------
    >>> answers = example_answers()
    >>> means = answers.groupby("domain")[["confidence", "correct"]].mean()
    >>> means.round(2).to_numpy().tolist()
    [[0.77, 0.76], [0.76, 0.56]]
    """
    rng = np.random.default_rng(0)
    levels = {
        "model": models,
        "domain": ["general", "medical"],
        "item": range(n),
        "strategy": strategies,
    }
    product = pd.MultiIndex.from_product(levels.values(), names=levels)
    table = product.to_frame(index=False)
    confidence = rng.uniform(0.5, 1, len(table))
    confidence = confidence.round(2)
    loss = np.where(table["domain"] == "medical", 0.2, 0)
    correct = rng.random(len(table)) < confidence - loss
    return table.assign(
        dataset=table["domain"],
        item_id=table["domain"] + table["item"].astype(str),
        image_id=table["domain"] + (table["item"] // 2).astype(str),
        answer=np.where(correct == (table["item"] % 3 > 0), "yes", "no"),
        confidence=confidence,
        correct=correct,
    ).drop(columns="item")
