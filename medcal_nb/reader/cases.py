"""The cases a reader is shown: one model's answers under one strategy, with their images.

Some items are set aside as a *library*: past cases and their outcomes come from it and are never
asked, so that no outcome is told of a case that is still to come.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medcal_nb.answers import load_answers
from medcal_nb.ask.graded import meaning, to_graded
from medcal_nb.errors import MedcalError
from medcal_nb.items import SPLITS, load_items
from medcal_nb.measure import auroc, brier_score

LIBRARY_SHARE = 0.2
BLANK_STRATEGY = "blank_image"
DISCRIMINATES = 0.6
"""AUROC from which a confidence is said to tell right answers from wrong ones."""
_PROBES = r"blank_image|decision|.*_blank|expert.*"
_TOLD = ("question", "options", "image")


@dataclass(frozen=True)
class Case:
    """An item with the model's answer to it.

    `image` is an encoded image, a path, or None where there is none to show; `question` is None
    where it is not known; `options` is empty for open questions; `agreement` is the share of the
    other ways of asking that gave the same answer, NaN where there was no other.
    """

    item_id: str
    image_id: str
    modality: str | None
    question_type: str | None
    question: str | None
    options: tuple[str, ...]
    gold: Any
    answer: str
    confidence: float
    agreement: float
    correct: bool | None
    image: bytes | str | None = field(repr=False)


class Casebook:
    """The answers of one model to one data set under one strategy.

    Attributes
    ----------
    dataset, model, strategy : str
    ways : pandas.DataFrame
        What this model answered in every way of asking, probes left out: ``item_id, strategy,
        answer, confidence, meaning``.
    answers : pandas.DataFrame
        All its answers, as they came.
    rows : pandas.DataFrame
        The graded answers of the strategy that have an answer and a confidence, with ``image_id``
        filled in and the columns ``agreement`` and ``library``; ``past`` are those with a grade.
    order : list of str
        Items in the order in which they are shown.
    note : str
        What to know about the images: why there are none, that they are synthetic.
    """

    def __init__(self, answers, graded, items, *, dataset, model, strategy, note="", seed=0):
        self.dataset, self.model, self.strategy, self.note = dataset, model, strategy, note
        self.answers = _of(answers, dataset, model)
        graded = _of(graded, dataset, model)
        graded = graded[graded["answer"].notna()].assign(item_id=graded["item_id"].astype(str))
        asked = graded[~graded["strategy"].str.fullmatch(_PROBES)]
        means = {answer: meaning(answer) for answer in asked["answer"].unique()}
        asked = asked.assign(meaning=asked["answer"].map(means))
        self.ways = asked[["item_id", "strategy", "answer", "confidence", "meaning"]]
        rows = asked[(asked["strategy"] == strategy) & asked["confidence"].notna()]
        if rows.empty:
            raise MedcalError(
                f"{model}, {dataset}, {strategy}: no answer with a confidence; choose another"
            )
        images = rows["image_id"].fillna(rows["item_id"]).astype(str)
        kinds = {c: rows[c].astype(object).map(_known) for c in ("modality", "question_type")}
        rows = rows.assign(image_id=images, **kinds).set_index(rows["item_id"].rename(None))
        rng = np.random.default_rng(seed)
        self.rows = rows.assign(agreement=self._agreement(rows), library=_library(rows, rng))
        self.past = self.rows[self.rows["correct"].notna()].astype({"correct": float})
        shown = np.sort(self.rows.index[~self.rows["library"]].to_numpy(str))
        self.order = rng.permutation(shown).tolist()
        self._items = items

    def _agreement(self, rows: pd.DataFrame) -> pd.Series:
        """Return the share of the other ways of asking that gave each row's answer."""
        others = self.ways[self.ways["strategy"] != self.strategy]
        same = others["meaning"] == others["item_id"].map(rows["meaning"])
        return same.groupby(others["item_id"]).mean().reindex(rows.index).astype(float)

    def __len__(self) -> int:
        return len(self.order)

    def case(self, item_id: str) -> Case:
        """Return an item's case, of the library or not."""
        row = self.rows.loc[item_id]
        told = {name: _known(row.get(name)) for name in _TOLD}
        if self._items is not None and item_id in self._items.index:
            item = self._items.loc[item_id]
            told = {name: item[name] for name in _TOLD}
        options = told["options"]
        correct = row["correct"]
        return Case(
            item_id=item_id,
            image_id=row["image_id"],
            modality=_known(row["modality"]),
            question_type=_known(row["question_type"]),
            question=told["question"],
            options=tuple(options) if isinstance(options, list | tuple) else (),
            gold=_known(row["gold"]),
            answer=str(row["answer"]),
            confidence=float(row["confidence"]),
            agreement=float(row["agreement"]),
            correct=None if pd.isna(correct) else bool(correct),
            image=told["image"],
        )

    def others(self, case: Case) -> pd.DataFrame:
        """Return the rows with a grade whose image is another one than the case's."""
        return self.past[self.past["image_id"] != case.image_id]


class AnswerBook:
    """A file of answers, read once, and the items they are about.

    Parameters
    ----------
    path : path
        Answers: .sqlite, .parquet, .csv or .jsonl. It is only read.
    items : str, optional
        Where the items come from, if not from the data set of the answers' own name:
        ``NAME`` or ``NAME:FOLDER`` (see :func:`medcal_nb.items.load_items`).
    seed : int
        Of the order of the cases and the choice of the library.

    Attributes
    ----------
    ranking : pandas.DataFrame
        ``dataset, model, strategy, n, brier, auroc`` of what can be read, the best first: medical
        data sets; confidences that tell right from wrong (AUROC of at least 0.6, on at least half
        as many answers as there are); low Brier scores.

    Raises
    ------
    MedcalError
        If there is nothing to show.
    """

    def __init__(self, path: str | os.PathLike, *, items: str | None = None, seed: int = 0):
        self.path, self.seed = Path(path), seed
        self.answers = load_answers(self.path)
        self.graded = to_graded(self.answers)
        known = self.graded["answer"].notna() & self.graded["confidence"].notna()
        usable = self.graded[known & ~self.graded["strategy"].str.fullmatch(_PROBES)]
        if usable.empty:
            raise MedcalError(f"{self.path}: no answer with a confidence, so no case to show")
        self.ranking = _ranked(usable)
        self._source = items
        self._items: dict[str, tuple[pd.DataFrame | None, str]] = {}

    def names(self, column: str, **chosen: str) -> list[str]:
        """Return what there is to choose from in a column of the ranking, the best first."""
        found = self.ranking
        for name, value in chosen.items():
            found = found[found[name] == value]
        return list(found[column].unique())

    def choose(
        self, dataset: str | None = None, model: str | None = None, strategy: str | None = None
    ) -> tuple[str, str, str]:
        """Return data set, model and strategy: the best there are with those asked for.

        Raises
        ------
        MedcalError
            If one that was asked for is not in the file, naming those that are.
        """
        if dataset is not None and dataset not in self.names("dataset"):
            dataset = dataset.split(":")[0]
        wanted = {"dataset": dataset, "model": model, "strategy": strategy}
        chosen: dict[str, str] = {}
        for column, name in wanted.items():
            names = self.names(column, **chosen)
            if name is not None and name not in names:
                what = "data set" if column == "dataset" else column
                raise MedcalError(
                    f"{self.path}: no {what} {name!r} with a confidence; there are "
                    f"{', '.join(names)}"
                )
            chosen |= {} if name is None else {column: name}
        for column in wanted:
            chosen.setdefault(column, self.names(column, **chosen)[0])
        return tuple(chosen[column] for column in wanted)

    def casebook(self, dataset: str, model: str, strategy: str) -> Casebook:
        """Return the cases of one model, data set and strategy."""
        items, note = self._items_of(dataset)
        return Casebook(
            self.answers,
            self.graded,
            items,
            dataset=dataset,
            model=model,
            strategy=strategy,
            note=note,
            seed=self.seed,
        )

    def _items_of(self, dataset: str) -> tuple[pd.DataFrame | None, str]:
        if dataset not in self._items:
            source = self._source or dataset
            if source.split(":")[0] != dataset:
                source = dataset
            splits = self.graded.loc[self.graded["dataset"] == dataset, "split"].unique()
            split = splits[0] if len(splits) == 1 and splits[0] in SPLITS else None
            try:
                items = load_items(source, split=split).set_index("item_id", drop=False)
                note = "A synthetic phantom, no patient." if dataset.startswith("pocket") else ""
                self._items[dataset] = items, note
            except (MedcalError, OSError) as error:
                why = " ".join(str(error).split())
                self._items[dataset] = None, f"No images of {dataset} at hand ({why})."
        return self._items[dataset]


def _of(table: pd.DataFrame, dataset: str, model: str) -> pd.DataFrame:
    return table[(table["dataset"] == dataset) & (table["model"] == model)]


def _known(value):
    if isinstance(value, list | tuple | dict | bytes):
        return value
    return None if value is None or pd.isna(value) else value


def _ranked(usable: pd.DataFrame) -> pd.DataFrame:
    """Return the table of :attr:`AnswerBook.ranking`."""
    found = []
    for key, mine in usable.groupby(["dataset", "model", "strategy"], sort=False):
        mine = mine[mine["correct"].notna()]
        pair = mine["confidence"].astype(float), mine["correct"].astype(float)
        graded = len(mine) > 0
        both = mine["correct"].nunique() == 2
        found.append(
            (*key, len(mine), brier_score(*pair) if graded else 1.0, auroc(*pair) if both else 0.5)
        )
    table = pd.DataFrame(found, columns=["dataset", "model", "strategy", "n", "brier", "auroc"])
    domains = usable.drop_duplicates("dataset").set_index("dataset")["domain"]
    first = list(domains.index[domains == "medical"]) + list(domains.index[domains != "medical"])
    half = table.groupby("dataset")["n"].transform("max") / 2
    ranks = table.assign(
        place=table["dataset"].map(first.index),
        poor=(table["auroc"] < DISCRIMINATES) | (table["n"] < half),
    )
    ranks = ranks.sort_values(["place", "poor", "brier"], kind="stable", ignore_index=True)
    return ranks.drop(columns=["place", "poor"])


def _library(rows: pd.DataFrame, rng: np.random.Generator) -> pd.Series:
    """Return which rows are set aside: the fit split if there are both, else some images."""
    fit = (rows["split"] == "fit").fillna(False).astype(bool)
    if fit.any() and not fit.all():
        return fit
    images = np.sort(rows["image_id"].unique().astype(str))
    count = min(max(3, round(LIBRARY_SHARE * len(images))), len(images) - 1)
    return rows["image_id"].isin(set(rng.permutation(images)[:count]))
