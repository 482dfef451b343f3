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
from medcal_nb.ask.graded import to_graded
from medcal_nb.ask.strategies import STRATEGIES
from medcal_nb.errors import MedcalError
from medcal_nb.items import SPLITS, load_items

LIBRARY_SHARE = 0.2
BLANK_STRATEGY = "blank_image"
_TOLD = ("question", "options", "image")


@dataclass(frozen=True)
class Case:
    """An item with the model's answer to it.

    `image` is an encoded image, a path, or None where there is none to show; `question` is None
    where it is not known; `options` is empty for open questions.
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
    correct: bool | None
    image: bytes | str | None = field(repr=False)


class Casebook:
    """The answers of one model to one data set under one strategy.

    Attributes
    ----------
    dataset, model, strategy : str
    verdicts : pandas.DataFrame
        All verdicts of this model on this data set, every strategy.
    answers : pandas.DataFrame
        Their answers.
    rows : pandas.DataFrame
        The verdicts of the strategy that have an answer and a confidence, with ``image_id``
        filled in and the column ``library``.
    order : list of str
        Items in the order in which they are shown.
    note : str
        Why no images are shown; empty where they are.
    """

    def __init__(self, answers, verdicts, items, *, dataset, model, strategy, note="", seed=0):
        self.dataset, self.model, self.strategy, self.note = dataset, model, strategy, note
        mine = (verdicts["dataset"] == dataset) & (verdicts["model"] == model)
        self.verdicts = _with_images(verdicts[mine])
        self.answers = answers[(answers["dataset"] == dataset) & (answers["model"] == model)]
        rows = self.verdicts[self.verdicts["strategy"] == strategy]
        rows = rows[rows["answer"].notna() & rows["confidence"].notna()]
        if rows.empty:
            raise MedcalError(
                f"{model}, {dataset}, {strategy}: no answer with a confidence; choose another"
            )
        rng = np.random.default_rng(seed)
        self.rows = rows.assign(library=_library(rows, rng)).set_index(rows["item_id"].rename(None))
        shown = np.sort(self.rows.index[~self.rows["library"]].to_numpy(str))
        self.order = rng.permutation(shown).tolist()
        self._items = items

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
            correct=None if pd.isna(correct) else bool(correct),
            image=told["image"],
        )

    def others(self, case: Case) -> pd.DataFrame:
        """Return the graded rows whose image is another one than the case's."""
        graded = self.rows[self.rows["correct"].notna()]
        return graded[graded["image_id"] != case.image_id]


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

    Raises
    ------
    MedcalError
        If there is nothing to show.
    """

    def __init__(self, path: str | os.PathLike, *, items: str | None = None, seed: int = 0):
        self.path, self.seed = Path(path), seed
        self.answers = load_answers(self.path)
        self.verdicts = to_graded(self.answers)
        usable = self.verdicts[
            self.verdicts["answer"].notna() & self.verdicts["confidence"].notna()
        ]
        if usable.empty:
            raise MedcalError(f"{self.path}: no answer with a confidence, so no case to show")
        self._usable = usable
        self._source = items
        self._items: dict[str, tuple[pd.DataFrame | None, str]] = {}

    def datasets(self) -> list[str]:
        """Return the data sets, medical ones first."""
        found = self._usable[["dataset", "domain"]].drop_duplicates("dataset")
        medical = found["domain"] == "medical"
        return [*found["dataset"][medical], *found["dataset"][~medical]]

    def models(self, dataset: str) -> list[str]:
        """Return the models that answered a data set, those asked in most ways first."""
        mine = self._usable[self._usable["dataset"] == dataset]
        ways = mine.groupby("model", sort=False)["strategy"].nunique()
        return list(ways.sort_values(ascending=False, kind="stable").index)

    def strategies(self, dataset: str, model: str) -> list[str]:
        """Return the strategies that gave a model's answers a confidence, the plain ones first."""
        mine = self._usable[(self._usable["dataset"] == dataset) & (self._usable["model"] == model)]
        known = [name for name in STRATEGIES if name != BLANK_STRATEGY]
        return sorted(
            mine["strategy"].unique(),
            key=lambda name: (known.index(name) if name in known else len(known), name),
        )

    def choose(
        self, dataset: str | None = None, model: str | None = None, strategy: str | None = None
    ) -> tuple[str, str, str]:
        """Return data set, model and strategy: those asked for, else the first there are.

        Raises
        ------
        MedcalError
            If one that was asked for is not in the file, naming those that are.
        """
        chosen: list[str] = []
        for what, wanted, known in (
            ("data set", dataset.split(":")[0] if dataset else None, self.datasets),
            ("model", model, self.models),
            ("strategy", strategy, self.strategies),
        ):
            names = known(*chosen)
            if wanted is not None and wanted not in names:
                raise MedcalError(
                    f"{self.path}: no {what} {wanted!r} with a confidence; there are "
                    f"{', '.join(names)}"
                )
            chosen.append(wanted or names[0])
        return tuple(chosen)

    def casebook(self, dataset: str, model: str, strategy: str) -> Casebook:
        """Return the cases of one model, data set and strategy."""
        items, note = self._items_of(dataset)
        return Casebook(
            self.answers,
            self.verdicts,
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
            try:
                items = load_items(source, split=self._split_of(dataset))
                self._items[dataset] = items.set_index("item_id", drop=False), ""
            except (MedcalError, OSError) as error:
                why = " ".join(str(error).split())
                self._items[dataset] = None, f"No images of {dataset} at hand ({why})."
        return self._items[dataset]

    def _split_of(self, dataset: str) -> str | None:
        """Return the one split that a data set's answers are from, None where there are more."""
        there = self._usable.loc[self._usable["dataset"] == dataset, "split"].unique()
        return there[0] if len(there) == 1 and there[0] in SPLITS else None


def _known(value):
    if isinstance(value, list | tuple | dict | bytes):
        return value
    return None if value is None or pd.isna(value) else value


def _with_images(verdicts: pd.DataFrame) -> pd.DataFrame:
    images = verdicts["image_id"].fillna(verdicts["item_id"]).astype(str)
    return verdicts.assign(image_id=images, item_id=verdicts["item_id"].astype(str))


def _library(rows: pd.DataFrame, rng: np.random.Generator) -> pd.Series:
    """Return which rows are set aside: the fit split if there are both, else some images."""
    fit = (rows["split"] == "fit").fillna(False).astype(bool)
    if fit.any() and not fit.all():
        return fit
    images = np.sort(rows["image_id"].unique().astype(str))
    count = min(max(3, round(LIBRARY_SHARE * len(images))), len(images) - 1)
    return rows["image_id"].isin(set(rng.permutation(images)[:count]))
