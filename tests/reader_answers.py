"""Answers for the reader view's tests: a simulated forecaster about real PocketVQA items."""

import numpy as np
import pandas as pd

from medcal_nb.answers import AnswerLog
from medcal_nb.datasets import dataset_names, load_items

#: The embedded medical data set.
DATASET = next(
    n for n in dataset_names() if n.startswith("pocket") and n.endswith("medical")
)


def answers_table(*, n_test=24, n_fit=60, strategies=("verbalized", "p_true"), seed=0):
    """Return answers about embedded medical items whose confidence is right on average."""
    rng = np.random.default_rng(seed)
    rows = []
    for split, n in (("test", n_test), ("fit", n_fit)):
        for item in load_items(DATASET, split=split, n=n).to_dict("records"):
            gold = item["gold"] if isinstance(item["gold"], str) else item["gold"][0]
            wrong = [o for o in item["options"] or ["something else"] if o != gold]
            for strategy in strategies:
                confidence = round(rng.uniform(0.4, 1.0), 2)
                right = bool(rng.random() < confidence)
                rows.append(
                    row(
                        item,
                        strategy,
                        gold if right else wrong[0],
                        confidence,
                        right,
                        gold,
                    )
                )
            if item["options"]:
                rows += blanked(item, gold, rng)
    return pd.DataFrame(rows)


def row(item, strategy, answer, confidence, right, gold, **more):
    """Return one answer about an item."""
    told = {k: item[k] for k in ("dataset", "domain", "item_id", "image_id", "modality",
                                 "question_type", "split")}  # fmt: skip
    return {
        **told, "model": "simulated", "strategy": strategy, "sample": 0, "answer": answer,
        "confidence": confidence, "correct": right, "gold": gold, **more,
    }  # fmt: skip


def blanked(item, gold, rng):
    """Return the two answers of blank_image: with the image and with a blank one."""
    others = [o for o in item["options"] if o != gold]
    rows = []
    for sample, share in ((0, 0.9), (1, round(rng.uniform(0.3, 0.9), 2))):
        shares = {gold: share, **dict.fromkeys(others, (1 - share) / len(others))}
        best = max(shares, key=shares.get)
        rows.append(
            row(item, "blank_image", best, shares[best], best == gold, gold, sample=sample,
                option_probabilities=shares)
        )  # fmt: skip
    return rows


def write_answers(path, **options):
    """Write the table as a log and return its path."""
    with AnswerLog(path) as log:
        log.append(answers_table(**options).to_dict("records"))
    return path
