"""Answers for the tests of the reader page: a simulated forecaster about synthetic items."""

import numpy as np
import pandas as pd

from medcal_nb.answers import AnswerLog
from medcal_nb.datasets import load_items

DATASET = "pocketvqa-medical"
OF_ITEM = ["dataset", "domain", "item_id", "image_id", "modality", "question_type",
           "split"]  # fmt: skip


def write_answers(path, *, n_test=24, n_fit=60):
    """Write a log of answers whose confidence is right on average, and return its path."""
    rng = np.random.default_rng(0)
    rows = []
    for split, n in (("test", n_test), ("fit", n_fit)):
        for item in load_items(DATASET, split=split, n=n).to_dict("records"):
            others = item["options"] if item["options"] is not None else ["another"]
            wrong = [option for option in others if option != item["gold"]]
            for strategy in ("verbalized", "p_true"):
                confidence = round(rng.uniform(0.4, 1.0), 2)
                right = bool(rng.random() < confidence)
                rows.append(
                    {name: item[name] for name in OF_ITEM}
                    | {"model": "simulated", "strategy": strategy, "sample": 0}
                    | {"answer": item["gold"] if right else wrong[0]}
                    | {"confidence": confidence, "correct": right, "gold": item["gold"]}
                )
    with AnswerLog(path) as log:
        log.append(rows)
    return path


def table_of(n, *, strategy="verbalized", **columns):
    """Return right answers of one model to n items, each about an image of its own."""
    confidence = np.random.default_rng(0).random(n).round(3)
    usual = {
        "model": "m", "dataset": "d", "domain": "medical", "strategy": strategy, "sample": 0,
        "item_id": [f"q{i:04d}" for i in range(n)], "question": "is it there?",
        "question_type": "closed", "modality": "ct", "answer": "yes", "gold": "yes",
        "confidence": confidence, "correct": True, "split": "test",
    }  # fmt: skip
    table = pd.DataFrame(usual | columns)
    if "gold" not in columns:  # a wrong answer is not the gold answer
        wrong = table["correct"].isin([False])
        table["gold"] = table["gold"].mask(wrong, "unclear")
    return table
