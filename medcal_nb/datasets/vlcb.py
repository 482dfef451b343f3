"""The number by which an answer finds those of the study's five models to the same question.

The study's benchmarks are called by VLCB's items (Khanmohammadi et al. 2026, arXiv:2605.10893): an
item is named by a hash of its data set, category, question, answer and image key, and numbered by
the rank of that hash. ``data/recorded/vlcb_items.parquet`` holds numbers and hashes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import pandas as pd

from medcal_nb.files import (
    check_shipped,
    read_manifest,
    recorded_folder,
)

#: Hexadecimal digits of a hash that are stored: 64 bits tell 30,514 items apart.
DIGITS = 16
#: Columns that an item of VLCB brings along; the others follow from the data set itself.
_COLUMNS = (
    *("dataset", "domain", "image_set", "question_id", "gqa_type", "pope_setting"),
    *("subject", "difficulty", "image_kind", "image_kinds", "n_images"),
)


def vlcb_hash(
    dataset: str, category: str, question: str, answer: str, image: str
) -> str:
    """Return the hash by which VLCB names an item (MD5, hexadecimal).

    Examples
    --------
    >>> vlcb_hash("POPE", "random", "Is there a dog?", "yes", "1")[:8]
    'eaa05a3d'
    """
    texts = [str(text) for text in (dataset, category, question, answer, image)]
    named = [text if text.strip() else "N/A" for text in texts]
    return hashlib.md5("[SEP]".join(named).encode()).hexdigest()


def mmmu_category(subject: str, difficulty: str, kinds: list[str]) -> str:
    """Return what VLCB calls the category of a question of MMMU-Pro."""
    return "[SEP]".join([subject, difficulty, "[LSEP]".join(kinds) or "N/A"])


def gmai_options(row: Mapping[str, Any]) -> dict[str, str]:
    """Return the options of a row of GMAI-MMBench by their letters; the fifth may be missing."""
    options = {letter: str(row[letter] or "") for letter in "ABCDE"}
    if options["E"].strip().lower() in ("", "none", "nan"):
        del options["E"]
    return options


def gmai_answer(answer: str, options: Mapping[str, str]) -> str:
    """Return the letter of the option that is the answer, else of one that holds it or is in it."""
    wanted = answer.strip().lower()
    texts = {}
    for letter, option in options.items():
        text = option.strip().lower()
        if text == wanted:
            return letter
        texts[letter] = text
    for letter, text in texts.items():
        if text and (text in wanted or wanted in text):
            return letter
    return ""


def gmai_hash(row: Mapping[str, Any]) -> str:
    """Return the hash of a row of GMAI-MMBench, whose image is text in base64."""
    options = gmai_options(row)
    lines = [row["question"].strip()]
    lines += [f"{letter}) {text}" for letter, text in options.items()]
    letter = gmai_answer(row["category"], options)
    task = row["clinical VQA task"]
    return vlcb_hash("GMAI-MMBench", task, "\n".join(lines), letter, row["image"])


def cell_id(cell: str) -> str:
    """Return what an image is called that stands as text in a table.

    Examples
    --------
    >>> cell_id("iVBORw0KGgo=")
    '929e08d597feae56'
    """
    return hashlib.sha256(cell.encode()).hexdigest()[:DIGITS]


def numbered(items: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return items called by their numbers in VLCB, each question once.

    Parameters
    ----------
    items : DataFrame
        An item table with the column ``hashes``: a list of the hashes that the item may have.

    Returns
    -------
    items : DataFrame
        ``item_id`` is the number, as text. ``dataset``, ``domain``, ``image_set``, ``question_id``
        and what else is known of the item are those of ``vlcb_items``; what the table does not
        know stays as it was. A question that several items ask (POPE's settings share theirs) has
        the lowest of their numbers, as in the study, and is asked once.
    left_out : dict
        Reason → rows.

    Raises
    ------
    MedcalError
        If the table of numbers is not there, or is another one.
    """
    known = _known_items()
    candidates = items["hashes"].explode().str[:DIGITS]
    # row → the first of its hashes that an item has
    hashes = candidates[candidates.isin(known["hash"])].groupby(level=0).first()
    # item → the lowest of those that ask its question
    lowest = known.groupby(["dataset", "question_id"])["item"].transform("min")
    numbers = lowest.set_axis(known["hash"])[hashes].set_axis(hashes.index)
    numbers = numbers.drop_duplicates()
    facts = known.set_index("item").loc[numbers].set_axis(numbers.index)
    asked = items.drop(columns="hashes").loc[numbers.index]
    asked["item_id"] = numbers.astype(str)
    for column in _COLUMNS:
        values = facts[column].astype(object)
        asked[column] = values.where(facts[column].notna(), asked.get(column))
    reasons = {
        "not among the items of VLCB": len(items) - len(hashes),
        "asks what another row asks": len(hashes) - len(numbers),
    }
    return asked, {reason: rows for reason, rows in reasons.items() if rows}


def _known_items() -> pd.DataFrame:
    folder = recorded_folder()
    entry = read_manifest(folder)["vlcb_items"]
    path = check_shipped(folder / entry["file"], entry["sha256"])
    return pd.read_parquet(path)
