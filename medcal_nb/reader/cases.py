"""The cases a reader is shown: one model's answers under one strategy, with their images.

Some items are set aside as a *library*: past cases and their outcomes come from it and are never
asked, so that no outcome is shown of a case that is still to come.
"""

from __future__ import annotations

import contextlib
import json
import os
import warnings

import numpy as np
import pandas as pd

from medcal_nb.answer_key import answer_key
from medcal_nb.answers import load_answers
from medcal_nb.ask.graded import ranked, to_graded
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
    ways : pandas.DataFrame
        What this model answered under every elicitation method, probes left out: ``item_id,
        strategy, answer, confidence, answer_key``.
    rows : pandas.DataFrame
        The cases, by item: the graded answers of the strategy that have a confidence, with
        ``question, options, image`` (None where not known), ``agreement`` (the share of the other
        methods that gave the same answer, NaN where there was no other) and ``library``.
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
        self,
        path: str | os.PathLike,
        *,
        dataset: str | None = None,
        model: str | None = None,
        strategy: str | None = None,
    ):
        graded = ranked(to_graded(load_answers(path).astype({"item_id": str})))
        if graded["answer"].isna().all():
            raise MedcalError(
                f"{path}: no answer has a text (column 'answer'), so there is nothing to "
                "read; name its column: medcal import --answer"
            )
        graded = graded[graded["answer"].notna()]
        if graded["confidence"].isna().all():
            raise MedcalError(f"{path}: no answer has a confidence: no case to show")
        self.ranking = _ranking(graded[graded["confidence"].notna()])
        # a folder of images may follow the name
        name = dataset
        if dataset and dataset not in set(self.ranking["dataset"]):
            name = dataset.split(":")[0]
        wanted = {"dataset": name, "model": model, "strategy": strategy}
        self.about = _best(self.ranking, wanted, path)

        same_set = graded["dataset"] == self.about["dataset"]
        graded = graded[same_set & (graded["model"] == self.about["model"])]
        graded = graded.assign(answer_key=graded["answer"].map(answer_key))
        columns = ["item_id", "strategy", "answer", "confidence", "answer_key"]
        self.ways = graded[columns]
        graded = graded[graded["confidence"].notna()]
        mine = graded[graded["strategy"] == self.about["strategy"]]
        rows = self._with_items(mine, dataset)
        rows["agreement"] = self._agreement(rows)
        rng = np.random.default_rng(_SEED)
        self.rows = rows.assign(library=_library(rows, rng))
        self.past = self.rows[self.rows["correct"].notna()].astype({"correct": float})
        shown = rows.index[~self.rows["library"]].to_numpy(str)
        self.order = rng.permutation(np.sort(shown)).tolist()

    def _with_items(self, rows: pd.DataFrame, source: str | None) -> pd.DataFrame:
        """Return rows by item, with what their items tell, and note why there are no images."""
        rows = rows.set_index(rows["item_id"].rename(None))
        name = self.about["dataset"]
        self.note = ""
        if name.startswith("pocket"):
            self.note = "A synthetic phantom, no patient."
        try:
            items = load_items(source or name).set_index("item_id")
        except (MedcalError, OSError) as error:
            items = rows
            self.note = f"No images of {name} at hand ({' '.join(str(error).split())})."
        columns = ["question", "options", "image"]
        rows[columns] = items.reindex(index=rows.index, columns=columns)
        rows["options"] = rows["options"].astype(object).map(_options)
        for column in ("question", "image", "modality", "question_type", "gold"):
            rows[column] = rows[column].astype(object).map(_known)
        rows["image_id"] = rows["image_id"].fillna(rows["item_id"]).astype(str)
        return rows

    def _agreement(self, rows: pd.DataFrame) -> pd.Series:
        """Return the share of the other elicitation methods that gave the same answer."""
        others = self.ways[self.ways["strategy"] != self.about["strategy"]]
        same = others["answer_key"] == others["item_id"].map(rows["answer_key"])
        shares = same.groupby(others["item_id"]).mean()
        return shares.reindex(rows.index).astype(float)


def _best(
    ranking: pd.DataFrame, wanted: dict[str, str | None], path: str | os.PathLike
) -> dict[str, str]:
    """Return the first of a ranking that has the wanted names."""
    for column, name in wanted.items():
        if not name:
            continue
        known = ", ".join(ranking[column].unique())
        ranking = ranking[ranking[column] == name]
        if ranking.empty:
            raise MedcalError(
                f"{path}: no {column} {name!r} with a confidence; there are {known}"
            )
    return ranking[_CHOICE].iloc[0].to_dict()


def _known(value: object) -> object:
    """Return a value of an item, None where it is missing."""
    return value if isinstance(value, list | tuple | bytes | str) else None


def _options(value: object) -> list[str] | None:
    """Return the answers to choose from, which a CSV file holds as JSON; None where unknown."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = json.loads(value)
    if not isinstance(value, list | tuple | np.ndarray) or not len(value):
        return None
    return [str(option) for option in value]


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
