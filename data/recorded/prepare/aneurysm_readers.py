"""Two radiologists, 100 MR angiographies, with and without AI (Di Noto et al., 2025).

Public files: ``READINGS/first_read/*.xlsx`` and ``READINGS/second_read/*.xlsx``, each with the
senior's file before the junior's in the order of names. A row is a reading of a case with up to
three marks: a region's number, a confidence (0-10); ``sens`` is the share of the case's aneurysms
that were marked ("/" where it has none), ``FP`` the number of marks that are none.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

_READERS = ("senior", "junior")
_KEY = ["reader", "case", "setting"]
_N_CASES = 100  # further rows of a sheet are notes


def read_readings(folder: Path) -> pd.DataFrame:
    """Return one row a reading, from the public files below a folder."""
    table = _sheets(folder)
    has_aneurysm = table["sens"].astype(str) != "/"
    table["n_marks"] = table.filter(like="confidence_prediction").notna().sum(axis=1)
    # in a case without an aneurysm each mark is a false one
    false = table["FP"].fillna(0).where(has_aneurysm, table["n_marks"])
    table["sensitivity"] = pd.to_numeric(table["sens"], errors="coerce")
    table["false_positives"] = false
    table["true_positives"] = table["n_marks"] - false
    n_in_case = (table["true_positives"] / table["sensitivity"]).round()
    table["n_aneurysms"] = n_in_case.groupby(table["case"]).transform("max").fillna(0)
    time = table["reading_time"].str.extract(r"(\d+)m(\d+)s").astype(int)
    table["seconds"] = 60 * time[0] + time[1]
    numbers = ["n_aneurysms", "n_marks", "true_positives", "false_positives"]
    names = [*_KEY, "session", *numbers, "sensitivity", "seconds"]
    table = table.sort_values(_KEY, ignore_index=True)
    return table[names].astype(dict.fromkeys([*numbers, "case", "seconds"], "int32"))


def read(folder: Path) -> pd.DataFrame:
    """Return one row a mark, from the public files below a folder.

    Where all marks of a reading are true or all false, each is known. In the other readings a mark
    is true where another reading of the case has true marks alone and one of them in its region,
    and false else, if that makes as many true ones as the reading has; otherwise it is missing.
    """
    readings = read_readings(folder).set_index(_KEY)
    marks = _marks(_sheets(folder)).join(readings, on=_KEY)
    n_true = marks["true_positives"]
    is_known = (n_true == 0) | (n_true == marks["n_marks"])
    marks["true"] = (n_true > 0).astype(float).where(is_known)
    by_region = marks[is_known & (n_true > 0)].groupby("case")["region"]
    regions = by_region.agg(lambda texts: set(" ".join(texts).split()))
    for _, reading in marks[~is_known].groupby(_KEY):
        known = regions.get(reading["case"].iloc[0], set())
        in_one = [bool(known & set(text.split())) for text in reading["region"]]
        if sum(in_one) == reading["true_positives"].iloc[0]:
            marks.loc[reading.index, "true"] = np.array(in_one, float)
    marks["gold"] = marks["true"].map({1: "aneurysm", 0: "no aneurysm"})
    marks["correct"] = marks["true"].astype("boolean")
    marks = marks.sort_values([*_KEY, "mark"], ignore_index=True)
    about = ["mark_id", "region", "gold", "correct", "mark_confidence", "seconds"]
    return marks[[*_KEY, "session", *about]]


def _sheets(folder: Path) -> pd.DataFrame:
    """Return all rows, as they stand, with reader, session, case and setting."""
    parts = []
    for session in ("first", "second"):
        paths = sorted(folder.glob(f"READINGS/{session}_read/*.xlsx"))
        for reader, path in zip(_READERS, paths, strict=True):
            sheet = pd.read_excel(path).iloc[:_N_CASES]
            parts.append(sheet.assign(reader=reader, session=session))
    table = pd.concat(parts, ignore_index=True)
    table["case"] = table["sub"].astype("int32")
    return table.rename(columns={"read_setting": "setting"})


def _marks(sheets: pd.DataFrame) -> pd.DataFrame:
    """Return one row a mark: its region or regions as numbers, and its confidence."""
    parts = []
    for mark in (1, 2, 3):
        part = sheets[_KEY].assign(mark=np.int32(mark))
        part["region"] = sheets[f"prediction_{mark}"]
        part["mark_confidence"] = (
            sheets[f"confidence_prediction_{mark}"].astype(float) / 10
        )
        parts.append(part.dropna(subset="mark_confidence"))
    marks = pd.concat(parts, ignore_index=True)
    marks["mark_confidence"] = marks["mark_confidence"].astype("float32")
    numbers = marks["region"].astype(str).str.replace(r"\.0$", "", regex=True)
    marks["region"] = [" ".join(re.findall(r"\d+", text)) for text in numbers]
    case = marks["case"].astype(str)
    marks["mark_id"] = case + "-" + marks["setting"] + "-" + marks["mark"].astype(str)
    return marks
