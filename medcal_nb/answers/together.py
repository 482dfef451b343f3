"""Answers of several sources as one table, and what has to be known when they are compared."""

import warnings
from collections.abc import Mapping

import pandas as pd

from medcal_nb.answers.columns import ANSWER_KEY, columns_of
from medcal_nb.errors import MedcalError

_ITEM = ["dataset", "item_id"]


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
        Where two sources have a model of one name, a model answered fewer than all items of a data
        set that several sources have, or some sources were graded here and others elsewhere.
    """
    parts = [table.assign(_source=name) for name, table in tables.items()]
    for part in parts:
        part.attrs = {}
    table = pd.concat(parts, ignore_index=True)
    twice = table.duplicated(ANSWER_KEY, keep=False)
    if twice.any():
        row = table[twice].iloc[0]
        shown = ", ".join(f"{name}={row[name]}" for name in ANSWER_KEY)
        raise MedcalError(
            f"{row['_source']} and another source hold the same answer: {shown}"
        )
    remarks = [*_names_twice(table), *_fewer_items(table), *_graded_apart(tables)]
    for sentence in remarks:
        warnings.warn(sentence, UserWarning, stacklevel=3)
    of_items = [name for name in columns_of("item") if name not in [*_ITEM, "gold"]]
    for name in table.columns.intersection([*of_items, "image_set"]):
        known = table.dropna(subset=name).drop_duplicates(_ITEM).set_index(_ITEM)[name]
        items = pd.MultiIndex.from_frame(table[_ITEM])
        table[name] = table[name].fillna(
            pd.Series(known.reindex(items).array, table.index)
        )
    assumed = list(remarks)
    for name, one in tables.items():
        assumed += [f"{name}: {text}" for text in one.attrs.get("assumed", ())]
    table = table.drop(columns="_source")
    table.attrs["assumed"] = assumed
    return table


def _names_twice(table: pd.DataFrame) -> list[str]:
    """Models that two sources have."""
    sources = table.groupby("model", sort=False)["_source"].unique()
    sentences = []
    for model, names in sources[sources.str.len() > 1].items():
        sentences.append(
            f"model '{model}' is in {' and in '.join(names)}: are they one model?"
        )
    return sentences


def _fewer_items(table: pd.DataFrame) -> list[str]:
    """Models that answered fewer items of a data set than all models together."""
    n_sources = table.groupby("dataset")["_source"].nunique()
    shared = table[table["dataset"].isin(n_sources.index[n_sources > 1])]
    counts = shared.groupby(["dataset", "model"], sort=False)["item_id"].nunique()
    n_items = shared.groupby("dataset")["item_id"].nunique()
    sentences = []
    for (dataset, model), n in counts.items():
        if n < n_items[dataset]:
            sentences.append(
                f"{model} answered {n:,} of {n_items[dataset]:,} items of {dataset}"
            )
    return sentences


def _graded_apart(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Sources that were graded here beside others that were graded elsewhere."""
    here = [name for name, table in tables.items() if "grading" in table.attrs]
    elsewhere = [name for name in tables if name not in here]
    if not here or not elsewhere:
        return []
    return [
        f"graded here by rule: {', '.join(here)}; by its source: {', '.join(elsewhere)}"
    ]
