"""The cases of the reader page: a model's answers under one elicitation method.

What is known about an answer is computed on answers to *other* images than its own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from medcal_nb.answers import load_answers
from medcal_nb.answers.recognise import listed
from medcal_nb.ask.strategies import find_strategy
from medcal_nb.datasets import load_items
from medcal_nb.datasets.items import image_side
from medcal_nb.errors import MedcalError, check_known
from medcal_nb.measure import clustered_interval

#: How many similar answers are counted, and how many a condition on likeness has to leave.
NEAREST = 100
AT_LEAST = 20
SYNTHETIC = "A synthetic image, no patient. Left and right are those of the image."
_TEXTS = ("question", "image", "domain", "modality", "question_type", "gold")
_CHOICE = ["dataset", "model", "strategy"]
_APART = ("expert", "decision")  # methods that judge answers, or name a level
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
        ``question, options, image`` (None where unknown); ``place``: of the image in the order of
        cases.
    note : str
        What to know about the images.
    n_choices : int
        How many combinations of data set, model and method the source holds.
    """

    about: dict[str, str]
    rows: pd.DataFrame
    note: str
    n_choices: int

    def case_set(self, number: int, size: int) -> pd.DataFrame:
        """Return the cases of a set, one an image, in a fixed random order.

        Parameters
        ----------
        number : int
            Of the set, from 1.
        size : int
            Cases of a set.

        Raises
        ------
        MedcalError
            If there are not that many sets.
        """
        shown = self.rows.sort_values(["place", "item_id"]).drop_duplicates("image_id")
        n_sets = -(-len(shown) // size)
        if number > n_sets:
            raise MedcalError(
                f"set {number}: there are {len(shown)} images to show, in sets of {size}: "
                f"give 1 to {n_sets}"
            )
        return shown.iloc[(number - 1) * size : number * size]


def open_casebook(
    source: str | os.PathLike,
    *,
    dataset: str | None = None,
    model: str | None = None,
    strategy: str | None = None,
) -> Casebook:
    """Read answers, choose those of one model and method, and look their items up.

    Parameters
    ----------
    source : path or str
        Whatever :func:`medcal_nb.answers.load_answers` reads.
    dataset, model, strategy : str, optional
        What to show. What is left out is chosen: a medical data set first; of its models and
        methods those with at least half as many answers as the most, and of these the lowest
        Brier score. ``dataset`` may be ``NAME:FOLDER`` for items on disk.

    Raises
    ------
    MedcalError
        If there is nothing to show, or a name does not occur.
    """
    graded = _compared(load_answers(source).astype({"item_id": str}))
    graded = graded[graded["answer"].notna()]
    if graded["confidence"].isna().all():
        raise MedcalError(
            f"{source}: no answer has both a text and a confidence, so there is no case to show"
        )
    name = dataset
    if dataset and dataset not in set(graded["dataset"]):
        name = dataset.split(":")[0]  # a folder of images may follow the name
    stated = graded[graded["confidence"].notna()]
    choices = _choices(stated)
    wanted = {"dataset": name, "model": model, "strategy": strategy}
    about = _first(choices, wanted, source)
    rows = stated[(stated[_CHOICE] == pd.Series(about)).all(axis=1)]
    rows = rows.set_index(rows["item_id"].rename(None))
    rows, note = _with_items(rows, source, dataset or about["dataset"])
    images = np.sort(rows["image_id"].unique().astype(str))
    order = np.random.default_rng(_SEED).permutation(images)
    rows["place"] = rows["image_id"].map(pd.Series(range(len(order)), order))
    return Casebook(about=about, rows=rows, note=note, n_choices=len(choices))


def _compared(graded: pd.DataFrame) -> pd.DataFrame:
    """Return the answers of a model's own methods, without those of image ablations."""
    apart = []
    for name in graded["strategy"].unique():
        family = getattr(find_strategy(name), "family", "")
        if family == "ablation" or name.startswith(_APART):
            apart.append(name)
    return graded[~graded["strategy"].isin(apart)].reset_index(drop=True)


def _choices(stated: pd.DataFrame) -> pd.DataFrame:
    """Return the combinations of data set, model and method, the best to show first."""
    squared = (stated["confidence"] - stated["correct"].astype(float)) ** 2
    table = stated.assign(brier=squared, general=stated["domain"] != "medical")
    groups = table.groupby(_CHOICE, as_index=False)
    choices = groups.agg(
        general=("general", "min"), n=("brier", "size"), brier=("brier", "mean")
    )
    most = choices.groupby("dataset")["n"].transform("max")
    choices["few"] = choices["n"] < most / 2
    return choices.sort_values(["general", "few", "brier"])


def _first(
    choices: pd.DataFrame, wanted: Mapping[str, str | None], source: str | os.PathLike
) -> dict[str, str]:
    """Return the first combination that has the wanted names."""
    for column, name in wanted.items():
        if name:
            there = f"answer of {source} with a confidence has {column}"
            check_known(name, choices[column].unique(), there)
            choices = choices[choices[column] == name]
    return choices[_CHOICE].iloc[0].to_dict()


def _with_items(
    rows: pd.DataFrame, source: str | os.PathLike, dataset: str
) -> tuple[pd.DataFrame, str]:
    """Return rows with question, options and image of their items, and a note on the images."""
    columns = ["question", "options", "image"]
    try:
        items = load_items(dataset).set_index("item_id")
        note = ""
    except (MedcalError, OSError):
        # the table may hold them itself; a path is taken inside the table's own folder only,
        # as a page may be sent to others
        items = rows.reindex(columns=columns)
        inside = Path(source).resolve().parent
        items["image"] = [in_folder(inside, path) for path in items["image"]]
        note = (
            "" if items["image"].notna().any() else f"No images of {dataset} at hand."
        )
    rows[columns] = items.reindex(index=rows.index, columns=columns)
    for name in _TEXTS:
        values = [_known(value) for value in rows[name]]
        rows[name] = pd.Series(values, index=rows.index, dtype=object)
    rows["options"] = [_options(row) for row in rows.to_dict("records")]
    rows["image_id"] = rows["image_id"].fillna(rows["item_id"]).astype(str)
    if dataset.startswith("pocketvqa"):
        rows["question"] = rows["question"].map(image_side, na_action="ignore")
        note = SYNTHETIC
    return rows, note


def in_folder(folder: Path, path: object) -> str | None:
    """Return a path of a file in a folder, None where it is outside or missing."""
    if not isinstance(path, str):
        return None
    whole = (folder / path).resolve()
    return str(whole) if whole.is_relative_to(folder) else None


def _known(value: object) -> object:
    """Return a value of an item, None where it is missing."""
    return value if isinstance(value, list | tuple | bytes | str) else None


def _options(row: Mapping) -> list[str] | None:
    """Return the answers to choose from, which a CSV file holds as JSON; None where open."""
    options = listed(row["options"])
    if options:
        return [str(option) for option in options]
    if row["question_type"] == "closed" and row["gold"] in ("yes", "no"):
        return ["yes", "no"]
    return None


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
