"""Answers of several sources as one table, and what has to be known when they are compared."""

import warnings
from collections.abc import Mapping

import pandas as pd

from medcal_nb.errors import MedcalError
from medcal_nb.tables.columns import ANSWER_KEY, columns_of

_ITEM = ["dataset", "item_id"]
#: ``image_set`` of answers whose data set is called as their file: intervals depend on the images,
#: and not on what a file is called.
OF_FILE = "the file"


def together(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One table of several.

    Parameters
    ----------
    tables : mapping of DataFrame
        Each as of `medcal_nb.answers.load_answers`, by the name of its source.

    Returns
    -------
    DataFrame
        All rows, in order. What a source does not say of an item (its domain, image, modality)
        is what another one says of it. ``attrs["assumed"]`` has the sentences of all.

    Raises
    ------
    MedcalError
        If two sources hold the same answer.

    Warns
    -----
    UserWarning
        Where a model answered fewer than all items of a data set that several sources have.
    """
    parts = []
    for name, one in tables.items():
        part = one.assign(_source=name)
        part.attrs = {}
        if "image_set" in part:  # another file holds other images
            part["image_set"] = part["image_set"].mask(part["image_set"] == OF_FILE)
        parts.append(part)
    table = pd.concat(parts, ignore_index=True)
    twice = table[table.duplicated(ANSWER_KEY)]
    if len(twice):
        row = twice.iloc[0]
        shown = ", ".join(f"{name}={row[name]}" for name in ANSWER_KEY)
        raise MedcalError(
            f"{row['_source']} and another source hold the same answer: {shown}"
        )
    assumed = _remarks(table)
    for sentence in assumed:
        warnings.warn(sentence, UserWarning, stacklevel=3)
    of_items = table.columns.intersection([*columns_of("item"), "image_set"])
    items = table.groupby(_ITEM, sort=False)
    for name in of_items.difference([*_ITEM, "gold"]):
        table[name] = table[name].fillna(items[name].transform("first"))
    for name, one in tables.items():
        assumed += [f"{name}: {text}" for text in one.attrs.get("assumed", ())]
    table = table.drop(columns="_source")
    table.attrs["assumed"] = assumed
    table.attrs["is_own"] = all(one.attrs.get("is_own") for one in tables.values())
    return table


def _remarks(table: pd.DataFrame) -> list[str]:
    """Models that answered fewer items of a data set than there are, of those in two sources."""
    sentences = []
    for dataset, rows in table.groupby("dataset", sort=False):
        if rows["_source"].nunique() == 1:
            continue
        n_of = rows.groupby("model")["item_id"].nunique()
        n_items = rows["item_id"].nunique()
        for model, n in n_of[n_of < n_items].items():
            sentence = f"{model} answered {n:,} of {n_items:,} items of {dataset}"
            sentences.append(sentence)
    return sentences
