"""Answers of several sources as one table, and what has to be known when they are compared."""

import warnings
from collections.abc import Mapping

import pandas as pd

from medcal_nb.answers.columns import ANSWER_KEY, columns_of
from medcal_nb.answers.log import is_log
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
    parts = []
    for name, one in tables.items():
        part = one.assign(_source=name)
        part.attrs = {}
        parts.append(part)
    table = pd.concat(parts, ignore_index=True)
    twice = table.duplicated(ANSWER_KEY, keep=False)
    if twice.any():
        row = table[twice].iloc[0]
        shown = ", ".join(f"{name}={row[name]}" for name in ANSWER_KEY)
        raise MedcalError(
            f"{row['_source']} and another source hold the same answer: {shown}"
        )
    assumed = _remarks(table) + _graded_apart(tables)
    for sentence in assumed:
        warnings.warn(sentence, UserWarning, stacklevel=3)
    item = table.groupby(_ITEM, sort=False).ngroup()
    of_items = table.columns.intersection([*columns_of("item"), "image_set"])
    for name in of_items.difference([*_ITEM, "gold"]):
        known = table[name].set_axis(item).dropna()
        known = known[~known.index.duplicated()]
        table[name] = table[name].fillna(item.map(known).astype(known.dtype))
    for name, one in tables.items():
        assumed += [f"{name}: {text}" for text in one.attrs.get("assumed", ())]
    table = table.drop(columns="_source")
    table.attrs["assumed"] = assumed
    return table


def _remarks(table: pd.DataFrame) -> list[str]:
    """Models that two sources have, and such as answered fewer items of a data set than others."""
    sentences = []
    sources_of = table.groupby("model", sort=False)["_source"].unique()
    for model, sources in sources_of.items():
        if len(sources) > 1:
            names = " and in ".join(sources)
            sentences.append(f"model '{model}' is in {names}: are they one model?")
    for dataset, rows in table.groupby("dataset", sort=False):
        if rows["_source"].nunique() == 1:
            continue
        n_items = rows["item_id"].nunique()
        n_of = rows.groupby("model")["item_id"].nunique()
        for model, n in n_of.items():
            if n < n_items:
                sentences.append(
                    f"{model} answered {n:,} of {n_items:,} items of {dataset}"
                )
    return sentences


def _graded_apart(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Sources that were graded here beside others that were graded elsewhere."""
    here = []
    for name, table in tables.items():
        # a log remembers who was asked, and what is asked is graded by the rule
        is_asked = is_log(name) and "run_id" in table and table["run_id"].notna().any()
        if is_asked or "grading" in table.attrs:
            here.append(name)
    elsewhere = [name for name in tables if name not in here]
    if not here or not elsewhere:
        return []
    by_rule = ", ".join(here)
    by_source = ", ".join(elsewhere)
    return [f"graded here by rule: {by_rule}; by its source: {by_source}"]
