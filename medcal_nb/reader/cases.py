"""The cases a reader is shown: one model's answers under one strategy, with their images.

Some items are set aside as a *library*: past cases and their outcomes come from it and are never
asked, so that no outcome is told of a case that is still to come.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd

from medcal_nb.answers import load_answers
from medcal_nb.ask.graded import meaning, to_graded
from medcal_nb.errors import MedcalError
from medcal_nb.items import SPLITS, load_items
from medcal_nb.measure import auroc, brier_score

LIBRARY_SHARE = 0.2
DISCRIMINATES = 0.6
"""AUROC from which a confidence is said to tell right answers from wrong ones."""
_PROBES = r"blank_image|decision|.*_blank|expert.*"
_CHOICE = ["dataset", "model", "strategy"]
_SEED = 0  # of the order of the cases and of the library


class AnswerBook:
    """A file of answers, read once, and the items they are about.

    Parameters
    ----------
    path : path
        Answers: .sqlite, .parquet, .csv or .jsonl. It is only read.
    items : str, optional
        Where the items come from, if not from the data set of the answers' own name:
        ``NAME`` or ``NAME:FOLDER`` (see :func:`medcal_nb.items.load_items`).

    Attributes
    ----------
    answers, graded : pandas.DataFrame
    ranking : pandas.DataFrame
        ``dataset, model, strategy, n, brier, auroc`` of what can be read, the best first: medical
        data sets; confidences that tell right from wrong (AUROC of at least 0.6, on at least half
        as many answers as there are); low Brier scores.

    Raises
    ------
    MedcalError
        If there is nothing to show.
    """

    def __init__(self, path: str | os.PathLike, *, items: str | None = None):
        self.path, self._source = Path(path), items or ""
        self.answers = load_answers(self.path)
        graded = to_graded(self.answers).astype({"item_id": str})
        self.graded = graded[graded["answer"].notna() & ~graded["strategy"].str.fullmatch(_PROBES)]
        if self.graded["confidence"].isna().all():
            raise MedcalError(f"{self.path}: no answer with a confidence, so no case to show")
        self.ranking = _ranked(self.graded[self.graded["confidence"].notna()])

    def choose(
        self, dataset: str | None = None, model: str | None = None, strategy: str | None = None
    ) -> tuple[str, str, str]:
        """Return data set, model and strategy: the best there are with those asked for.

        Raises
        ------
        MedcalError
            If one that was asked for is not in the file, naming those that are.
        """
        found = self.ranking
        if dataset and dataset not in set(found["dataset"]):
            dataset = dataset.split(":")[0]  # a folder of images follows
        for column, name in zip(_CHOICE, (dataset, model, strategy), strict=True):
            there = ", ".join(found[column].unique())
            found = found[found[column] == name] if name else found
            if found.empty:
                raise MedcalError(
                    f"{self.path}: no {column} {name!r} with a confidence; there are {there}"
                )
        return tuple(found[_CHOICE].iloc[0])

    def items(self, dataset: str) -> tuple[pd.DataFrame | None, str]:
        """Return a data set's items and what to know of their images: why there are none."""
        source = self._source if self._source.split(":")[0] == dataset else dataset
        splits = self.graded.loc[self.graded["dataset"] == dataset, "split"].unique()
        split = splits[0] if len(splits) == 1 and splits[0] in SPLITS else None
        try:
            items = load_items(source, split=split).set_index("item_id")
        except (MedcalError, OSError) as error:
            return None, f"No images of {dataset} at hand ({' '.join(str(error).split())})."
        return items, "A synthetic phantom, no patient." if dataset.startswith("pocket") else ""


class Casebook:
    """The answers of one model to one data set under one strategy.

    Attributes
    ----------
    ways : pandas.DataFrame
        What this model answered in every way of asking, probes left out: ``item_id, strategy,
        answer, confidence, meaning``.
    rows : pandas.DataFrame
        The cases, by item: the graded answers of the strategy that have a confidence, with
        ``question, options, image`` (None where not known), ``agreement`` (the share of the other
        ways of asking that gave the same answer, NaN where there was no other) and ``library``.
    about : dict
        Data set, model and strategy.
    past : pandas.DataFrame
        Those with a grade.
    order : list of str
        Items in the order in which they are shown.
    note : str
        What to know about the images.
    """

    def __init__(self, book: AnswerBook, dataset: str, model: str, strategy: str):
        self.about = {"dataset": dataset, "model": model, "strategy": strategy}
        self.answers = _of(book.answers, dataset, model)
        asked = _of(book.graded, dataset, model)
        asked = asked.assign(meaning=asked["answer"].map(meaning))
        self.ways = asked[["item_id", "strategy", "answer", "confidence", "meaning"]]
        rows = asked[(asked["strategy"] == strategy) & asked["confidence"].notna()]
        rows = rows.set_index(rows["item_id"].rename(None))
        items, self.note = book.items(dataset)
        for name in ("question", "options", "image"):
            told = items[name].reindex(rows.index) if items is not None else rows.get(name)
            rows[name] = None if told is None else told.astype(object)
        for name in ("question", "options", "image", "modality", "question_type", "gold"):
            rows[name] = rows[name].astype(object).map(_known)
        rows["image_id"] = rows["image_id"].fillna(rows["item_id"]).astype(str)
        others = self.ways[self.ways["strategy"] != strategy]
        same = others["meaning"] == others["item_id"].map(rows["meaning"])
        rows["agreement"] = same.groupby(others["item_id"]).mean().reindex(rows.index).astype(float)
        rng = np.random.default_rng(_SEED)
        self.rows = rows.assign(library=_library(rows, rng))
        self.past = self.rows[self.rows["correct"].notna()].astype({"correct": float})
        shown = rows.index[~self.rows["library"]].to_numpy(str)
        self.order = rng.permutation(np.sort(shown)).tolist()

    def others(self, case: pd.Series) -> pd.DataFrame:
        """Return the rows with a grade whose image is another one than the case's."""
        return self.past[self.past["image_id"] != case["image_id"]]


def _of(table: pd.DataFrame, dataset: str, model: str) -> pd.DataFrame:
    return table[(table["dataset"] == dataset) & (table["model"] == model)]


def _known(value):
    return value if isinstance(value, list | tuple | bytes | str) else None


def _ranked(usable: pd.DataFrame) -> pd.DataFrame:
    """Return the table of :attr:`AnswerBook.ranking`."""
    found = []
    for key, mine in usable.groupby(_CHOICE, sort=False):
        mine = mine[mine["correct"].notna()]
        c, y = mine["confidence"].astype(float), mine["correct"].astype(float)
        brier = brier_score(c, y) if len(y) else 1.0
        medical = (mine["domain"] == "medical").any()
        found.append((*key, len(y), brier, auroc(c, y) if y.nunique() == 2 else 0.5, medical))
    table = pd.DataFrame(found, columns=[*_CHOICE, "n", "brier", "auroc", "medical"])
    half = table.groupby("dataset")["n"].transform("max") / 2
    poor = (table["auroc"] < DISCRIMINATES) | (table["n"] < half)
    ranks = table.assign(general=~table.pop("medical"), poor=poor)
    ranks = ranks.sort_values(["general", "dataset", "poor", "brier"], ignore_index=True)
    return ranks.drop(columns=["general", "poor"])


def _library(rows: pd.DataFrame, rng: np.random.Generator) -> pd.Series:
    """Return which rows are set aside: the fit split if there are both, else some images."""
    fit = (rows["split"] == "fit").fillna(False).astype(bool)
    if fit.any() and not fit.all():
        return fit
    images = np.sort(rows["image_id"].unique().astype(str))
    count = min(max(3, round(LIBRARY_SHARE * len(images))), len(images) - 1)
    return rows["image_id"].isin(set(rng.permutation(images)[:count]))
