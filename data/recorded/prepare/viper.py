"""43 radiologists, 715 mammography cases (VIPER; Gallas et al., 2019).

Public file: ``inst/data-raw/viperObs.csv``, one row a reading.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

_NAMES = {
    "readerID": "reader",
    "caseID": "case",
    "subStudyLabel": "dataset",
    "modalityID": "modality",
    "cancerStatus455": "cancer_455",
    "cancerStatus365": "cancer_365",
}
_MODALITIES = {"SFM": "film", "FFDM": "digital"}
_RECALLED = 1  # in the source 1 is recalled, 2 is not
_LARGEST_SCORE = 200  # scores of 201 occur and count as 200


def read(folder: Path) -> pd.DataFrame:
    """Return one row a reading, from the public file below a folder."""
    table = pd.read_csv(folder / "inst/data-raw/viperObs.csv").rename(columns=_NAMES)
    table["modality"] = table["modality"].map(_MODALITIES)
    table["recall"] = table["recall"] == _RECALLED
    for name in ("cancer_455", "cancer_365"):
        table[name] = table[name] == 1
    table["split"] = table["case"].map(_split_of_cases(table))
    table["reading"] = table["case"].astype(str) + "-" + table["modality"]
    table["gold"] = np.where(table["cancer_455"], "cancer", "no cancer")
    table["recall_score"] = table["score"].clip(upper=_LARGEST_SCORE) / _LARGEST_SCORE
    key = ["dataset", "modality", "reader", "case"]
    truth = ["cancer_455", "cancer_365", "gold"]
    names = [*key, "reading", "split", "score", "recall", *truth, "recall_score"]
    types = {"case": "int32", "score": "int16", "recall_score": "float32"}
    return table.sort_values(key, ignore_index=True)[names].astype(types)


def _split_of_cases(table: pd.DataFrame) -> dict[int, str]:
    """Return each case's half, the same in all sub-studies, both with as many cancers.

    Cases stand in the order of a hash of their number; with cancer and without, every other one
    is for fitting.
    """
    cases = table.drop_duplicates("case")
    splits = {}
    for _, group in cases.groupby("cancer_455"):
        ordered = sorted(group["case"], key=_hash_of)
        splits |= dict.fromkeys(ordered[0::2], "fit")
        splits |= dict.fromkeys(ordered[1::2], "test")
    return splits


def _hash_of(case: int) -> str:
    return hashlib.sha256(f"viper {case}".encode()).hexdigest()
