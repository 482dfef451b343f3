"""84 LLMs on MMLU-Pro, without images, three confidences (LLM-Calibration-Study).

Public files: ``results/mmlu_pro_MODEL_eval_all_None.csv``, one row a question in one order, with
``category, correct_answer, extracted_answer`` and three confidences.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

CONFIDENCES = {
    "verbal_numerical_confidence": "verbalized_cot",
    "verbal_linguistic_confidence": "decisiveness",
    "logit_perplexity_confidence": "token_probability",
}
_BEFORE = "mmlu_pro_"
_AFTER = "_eval_all_None.csv"


def read(folder: Path) -> pd.DataFrame:
    """Return one row a model and question, from the public files below a folder."""
    parts = []
    for path in sorted(folder.glob(f"results/{_BEFORE}*{_AFTER}")):
        rows = pd.read_csv(path, index_col=0).rename_axis("item").reset_index()
        rows["model"] = path.name.removeprefix(_BEFORE).removesuffix(_AFTER)
        rows["answered"] = rows["extracted_answer"].notna()
        rows["correct"] = rows["extracted_answer"] == rows["correct_answer"]
        parts.append(rows)
    return finish(pd.concat(parts).rename(columns=CONFIDENCES))


def finish(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table in its order; a value above 1 is no confidence and is left out."""
    confidences = [*CONFIDENCES.values()]
    values = table[confidences]
    table = table.assign(**values.where(values <= 1).astype("float32"))
    table["item"] = table["item"].astype("int32")
    table["domain"] = np.where(table["category"] == "health", "medical", "general")
    # without an answer there is no grade
    grades = table["correct"].astype("boolean")
    table["correct"] = grades.where(table["answered"])
    about = ["model", "item", "category", "domain"]
    names = [*about, "answered", "correct", *confidences]
    table = table.sort_values(["model", "item"], ignore_index=True)[names]
    too_large = (values > 1).sum()
    table.attrs["left_out"] = {name: int(n) for name, n in too_large.items() if n}
    return table
