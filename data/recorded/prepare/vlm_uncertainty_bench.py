"""Option logits of 26 vision-language models (Kostumov et al., 2024).

Public files: ``output/MODEL/mmbench.pkl`` and ``oodcv.pkl``, each a pickled list of rows with
``id``, ``answer`` (A to F), ``category`` or ``situation``, and six ``logits``.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from data.recorded.prepare.pickles import LETTERS, read_rows

DATASETS = ("mmbench", "oodcv")
LOGITS = [f"logit_{letter}" for letter in LETTERS]


def read(folder: Path) -> pd.DataFrame:
    """Return one row a model and question, from the public files below a folder."""
    parts = []
    for dataset in DATASETS:
        for path in sorted(folder.glob(f"output/*/{dataset}.pkl")):
            rows = pd.DataFrame(read_rows(path))
            part = pd.DataFrame(rows["logits"].tolist(), columns=LOGITS)
            part["model"] = path.parent.name
            part["dataset"] = dataset
            part["item"] = rows["id"].astype("int32")
            part["category"] = rows["category"].fillna(rows["situation"])
            part["gold"] = rows["answer"]
            parts.append(part)
    return finish(pd.concat(parts))


def finish(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table in its order."""
    names = ["model", "dataset", "item", "category", "gold", *LOGITS]
    table = table.sort_values(["model", "dataset", "item"], ignore_index=True)
    return table[names].astype(dict.fromkeys(LOGITS, "float32"))
