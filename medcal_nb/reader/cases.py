"""The cases of the reader page: a model's answers under one elicitation method.

What is known about an answer is computed on answers to *other* images than its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from medcal_nb.answers import load_answers, select
from medcal_nb.datasets import load_items
from medcal_nb.datasets.items import image_side
from medcal_nb.errors import MedcalError, check_known
from medcal_nb.measure import clustered_interval
from medcal_nb.words import Options

#: How many similar answers are counted, and how many a condition on likeness has to leave.
NEAREST = 100
AT_LEAST = 20
SYNTHETIC = "A synthetic image, no patient. Left and right are those of the image."
_TEXTS = ["question", "image", "domain", "modality", "question_type", "gold"]
_CHOICE = ["dataset", "model", "strategy"]
_SEED = 0  # of the order of the cases


@dataclass(frozen=True)
class Casebook:
    """The answers of one model to one data set under one elicitation method.

    Attributes
    ----------
    about : dict
        ``dataset``, ``model`` and ``strategy``.
    rows : pandas.DataFrame
        The answers that have a confidence, by item: the columns of graded answers with
        ``question, options, image`` (None where unknown).
    note : str
        What to know about the images.
    """

    about: dict[str, str]
    rows: pd.DataFrame
    note: str

    def shown(self, size: int) -> pd.DataFrame:
        """Return the cases to show: at most so many, one an image, in a fixed random order."""
        cases = self.rows.sort_index().drop_duplicates("image_id")
        return cases.sample(frac=1, random_state=_SEED).head(size)


def open_casebook(
    source: str | os.PathLike,
    *,
    rows: str = "",
    dataset: str | None = None,
) -> Casebook:
    """Read answers, choose those of one model and method, and look their items up.

    Parameters
    ----------
    source : path or str
        Whatever :func:`medcal_nb.answers.load_answers` reads.
    rows : str
        Query of the answers (`medcal_nb.answers.select`), such as ``"model == 'a'"``.
    dataset : str, optional
        What to show, or ``NAME:FOLDER`` for items on disk. What is left out is chosen: a medical
        data set first, then the model and the method with the most answers.

    Raises
    ------
    MedcalError
        If there is nothing to show, or a name does not occur.
    """
    graded = select(load_answers(source), rows).astype({"item_id": str})
    stated = graded.dropna(subset=["answer", "confidence"])
    if stated.empty:
        raise MedcalError(
            f"{source}: no answer has both a text and a confidence, so there is no case to show"
        )
    name = dataset
    if dataset and dataset not in set(stated["dataset"]):
        name = dataset.partition(":")[0]  # a folder of images may follow the name
    if name:
        there = f"answer of {source} with a confidence has dataset"
        check_known(name, stated["dataset"].unique(), there)
        stated = stated[stated["dataset"] == name]
    medical = stated[stated["domain"] == "medical"]
    cases = stated if medical.empty else medical
    most = cases.groupby(_CHOICE).size().idxmax()
    about = dict(zip(_CHOICE, most, strict=True))
    cases = cases[(cases[_CHOICE] == most).all(axis=1)]
    cases = cases.set_index(cases["item_id"].rename(None))
    cases, note = _with_items(cases, source, dataset or about["dataset"])
    return Casebook(about=about, rows=cases, note=note)


def _with_items(
    rows: pd.DataFrame, source: str | os.PathLike, dataset: str
) -> tuple[pd.DataFrame, str]:
    """Return rows with question, options and image of their items, and a note on the images."""
    columns = ["question", "options", "image"]
    note = ""
    try:
        items = load_items(dataset).set_index("item_id")
    except (MedcalError, OSError):
        # the table may hold them itself; a path is taken inside the table's own folder only,
        # as a page may be sent to others
        items = rows.reindex(columns=columns)
        inside = Path(source).resolve().parent
        items["image"] = [in_folder(inside, path) for path in items["image"]]
        if items["image"].isna().all():
            note = f"No images of {dataset} at hand."
    rows[columns] = items.reindex(index=rows.index, columns=columns)
    texts = rows[_TEXTS].astype(object)
    rows[_TEXTS] = texts.where(texts.notna(), None)
    rows["options"] = [_options(row) for row in rows.to_dict("records")]
    rows["image_id"] = rows["image_id"].fillna(rows["item_id"]).astype(str)
    if dataset.startswith("pocketvqa"):
        rows["question"] = rows["question"].map(image_side, na_action="ignore")
        note = SYNTHETIC
    return rows, note


def image_files(rows: pd.DataFrame) -> pd.Series:
    """Return the file of each row's image: its column ``image``, or ``image_id`` where none is.

    Examples
    --------
    >>> image_files(pd.DataFrame({"image_id": ["scan.png"]})).tolist()
    ['scan.png']
    """
    both = rows.reindex(columns=["image", "image_id"]).astype(object)
    return both["image"].where(both["image"].notna(), both["image_id"])


def image_folder(path: str | os.PathLike) -> Path:
    """Return a folder that images are in, as a whole path.

    Raises
    ------
    MedcalError
        If there is no such folder.
    """
    folder = Path(path).resolve()
    if not folder.is_dir():
        raise MedcalError(
            f"{path}: no such folder: name the one that paths in image (or image_id) are of"
        )
    return folder


def missing_images(files: Iterable[str], shown: Iterable[str], folder: object) -> str:
    """Say how many of the images named are not shown, and the first; "" where all are.

    Examples
    --------
    >>> missing_images(["a.png", "b.png"], ["data:", ""], "scans")
    "scans: 1 of 2 images could not be read, the first 'b.png'"
    """
    named = [
        (file, one)
        for file, one in zip(files, shown, strict=True)
        if isinstance(file, str)
    ]
    lost = [file for file, one in named if not one]
    if not lost:
        return ""
    return f"{folder}: {len(lost)} of {len(named)} images could not be read, the first {lost[0]!r}"


def in_folder(folder: Path, path: object) -> str | None:
    """Return a path of a file in a folder, None where it is outside or missing."""
    if not isinstance(path, str):
        return None
    whole = (folder / path).resolve()
    return str(whole) if whole.is_relative_to(folder) else None


def _options(row: Mapping) -> Options | None:
    """Return the answers to choose from, yes and no of a closed question; None where open."""
    options = Options.read(row["options"])
    is_closed = row["question_type"] == "closed" and row["gold"] in ("yes", "no")
    return options or (Options.read(["yes", "no"]) if is_closed else None)


def similar_answers(
    rows: pd.DataFrame, case: pd.Series
) -> tuple[pd.DataFrame, list[str]]:
    """Return the graded answers most like a case's, about other images, and in what they are.

    Alike means: the same kind of question and the same modality, each where it leaves at least 20
    answers; of those left, the quarter (20 to 100) with the nearest confidence, with all that are
    as near as the last of them.

    Returns
    -------
    similar : pandas.DataFrame
        Rows of `rows`.
    alike : list of str
        Which of ``question_type``, ``modality`` they have in common.
    """
    similar = rows[rows["correct"].notna() & (rows["image_id"] != case["image_id"])]
    alike = []
    for name in ("question_type", "modality"):
        holds = similar[name] == case[name]
        if holds.sum() >= AT_LEAST:
            similar = similar[holds]
            alike.append(name)
    apart = (similar["confidence"] - case["confidence"]).abs()
    count = min(NEAREST, max(AT_LEAST, round(len(similar) / 4)))
    return similar[apart <= apart.nsmallest(count).max()], alike


def error_rate(similar: pd.DataFrame) -> dict[str, object]:
    """Count the wrong ones among similar answers.

    Returns
    -------
    dict
        ``n`` answers, ``n_wrong`` of them wrong, ``low`` and ``high``: 95 % interval of the share
        wrong (:func:`medcal_nb.measure.clustered_interval`, by image); ``span``: their least and
        greatest confidence.
    """
    wrong = 1 - similar["correct"].to_numpy(float)
    low, high = clustered_interval(wrong, similar["image_id"].to_numpy(str))
    span = similar["confidence"].agg(["min", "max"])
    counts = {"n": len(wrong), "n_wrong": int(wrong.sum())}
    return counts | {"low": low, "high": high, "span": span.tolist()}


def golds_of(case: pd.Series) -> list[str]:
    """Return the answers to a case that are right."""
    gold = case["gold"]
    return [gold] if isinstance(gold, str) else list(gold or ())
