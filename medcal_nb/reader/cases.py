"""The cases a reader is shown: one model's answers under one strategy, with their images.

Some items are set aside as a *library*: past cases and their outcomes come from it and are never
asked, so that no outcome is told of a case that is still to come.
"""

from __future__ import annotations

import os
import warnings

import numpy as np
import pandas as pd

from medcal_nb.answers import load_answers
from medcal_nb.ask.graded import meaning, ranked, to_graded
from medcal_nb.datasets import load_items
from medcal_nb.errors import MedcalError
from medcal_nb.measure import MeasureWarning, metrics_table

LIBRARY_SHARE = 0.2
#: AUROC from which a confidence is said to tell right answers from wrong ones.
DISCRIMINATES = 0.6
_CHOICE = ["dataset", "model", "strategy"]
_SEED = 0  # of the order of the cases and of the library


class Casebook:
    """The answers of one model to one data set under one strategy.

    Parameters
    ----------
    path : path
        Answers: .sqlite, .parquet, .csv or .jsonl. It is only read.
    dataset, model, strategy : str, optional
        What is wanted of the file; the best of its `ranking` that is. ``dataset`` may be
        ``NAME:FOLDER`` for items on disk (see :func:`medcal_nb.datasets.items.load_items`).

    Attributes
    ----------
    ranking : pandas.DataFrame
        ``dataset, model, strategy, n, brier, auroc`` of what can be read, the best first: medical
        data sets; confidences that tell right from wrong (AUROC of at least 0.6, on at least half
        as many answers as there are); low Brier scores.
    about : dict
        Data set, model and strategy.
    answers : pandas.DataFrame
        The model's answers to the data set as they were given, probes among them.
    ways : pandas.DataFrame
        What this model answered in every way of asking, probes left out: ``item_id, strategy,
        answer, confidence, meaning``.
    rows : pandas.DataFrame
        The cases, by item: the graded answers of the strategy that have a confidence, with
        ``question, options, image`` (None where not known), ``agreement`` (the share of the other
        ways of asking that gave the same answer, NaN where there was no other) and ``library``.
    past : pandas.DataFrame
        Those with a grade.
    order : list of str
        Items in the order in which they are shown.
    note : str
        What to know about the images.

    Raises
    ------
    MedcalError
        If there is nothing to show, or a name is not in the file.
    """

    def __init__(
        self, path: str | os.PathLike, *, dataset=None, model=None, strategy=None
    ):
        answers = load_answers(path).astype({"item_id": str})
        graded = ranked(to_graded(answers))
        graded = graded[graded["answer"].notna()]
        if graded["confidence"].isna().all():
            raise MedcalError(
                f"{path}: no answer with a confidence, so no case to show"
            )
        self.ranking = best = _ranking(graded[graded["confidence"].notna()])
        # a folder of images may follow the name
        wanted = (
            dataset
            if dataset in set(best["dataset"])
            else (dataset or "").split(":")[0]
        )
        for column, name in zip(_CHOICE, (wanted, model, strategy), strict=True):
            known = ", ".join(best[column].unique())
            best = best[best[column] == name] if name else best
            if best.empty:
                told = f"no {column} {name!r} with a confidence; there are {known}"
                raise MedcalError(f"{path}: {told}")
        self.about = best[_CHOICE].iloc[0].to_dict()
        self.answers, asked = (_of(table, self.about) for table in (answers, graded))
        asked = asked.assign(meaning=asked["answer"].map(meaning))
        self.ways = asked[["item_id", "strategy", "answer", "confidence", "meaning"]]
        asked = asked[asked["confidence"].notna()]
        rows = self._with_items(
            asked[asked["strategy"] == self.about["strategy"]], dataset
        )
        others = self.ways[self.ways["strategy"] != self.about["strategy"]]
        same = others["meaning"] == others["item_id"].map(rows["meaning"])
        rows["agreement"] = (
            same.groupby(others["item_id"]).mean().reindex(rows.index).astype(float)
        )
        rng = np.random.default_rng(_SEED)
        self.rows = rows.assign(library=_library(rows, rng))
        self.past = self.rows[self.rows["correct"].notna()].astype({"correct": float})
        shown = rows.index[~self.rows["library"]].to_numpy(str)
        self.order = rng.permutation(np.sort(shown)).tolist()

    def _with_items(self, rows: pd.DataFrame, source: str | None) -> pd.DataFrame:
        """Return rows by item, with what their items tell, and note why there are no images."""
        rows = rows.set_index(rows["item_id"].rename(None))
        name = self.about["dataset"]
        told = ["question", "options", "image"]
        self.note = (
            "A synthetic phantom, no patient." if name.startswith("pocket") else ""
        )
        try:
            items = load_items(source or name).set_index("item_id")
        except (MedcalError, OSError) as error:
            items = rows
            self.note = f"No images of {name} at hand ({' '.join(str(error).split())})."
        rows[told] = items.reindex(index=rows.index, columns=told)
        for column in (*told, "modality", "question_type", "gold"):
            rows[column] = rows[column].astype(object).map(_known)
        rows["image_id"] = rows["image_id"].fillna(rows["item_id"]).astype(str)
        return rows


def _of(table: pd.DataFrame, about: dict[str, str]) -> pd.DataFrame:
    return table[
        (table["dataset"] == about["dataset"]) & (table["model"] == about["model"])
    ]


def _known(value):
    return value if isinstance(value, list | tuple | bytes | str) else None


def _ranking(stated: pd.DataFrame) -> pd.DataFrame:
    """Return the table of :attr:`Casebook.ranking`."""
    rng = np.random.default_rng(_SEED)
    # what has no grade, or one grade only, comes last
    with warnings.catch_warnings(action="ignore", category=MeasureWarning):
        table = metrics_table(
            stated, by=_CHOICE, metrics=["brier", "auroc"], intervals=[], rng=rng
        )
    medical = stated.loc[stated["domain"] == "medical", "dataset"]
    half = table.groupby("dataset")["n"].transform("max") / 2
    ranks = table.assign(
        general=~table["dataset"].isin(medical),
        poor=~(table["auroc"] >= DISCRIMINATES) | (table["n"] < half),
    )
    return ranks.sort_values(["general", "dataset", "poor", "brier"], ignore_index=True)


def _library(rows: pd.DataFrame, rng: np.random.Generator) -> pd.Series:
    """Return which rows are set aside: the fit split if there are both, else some images."""
    fit = rows["split"].eq("fit").fillna(False).astype(bool)
    if fit.any() and not fit.all():
        return fit
    images = np.sort(rows["image_id"].unique().astype(str))
    count = min(max(3, round(LIBRARY_SHARE * len(images))), len(images) - 1)
    return rows["image_id"].isin(set(rng.permutation(images)[:count]))
