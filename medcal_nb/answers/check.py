"""The one check of a table of answers: every value in one form, or refused with its row."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from medcal_nb.answers import cells
from medcal_nb.answers.cells import TEXT, Place
from medcal_nb.answers.meaning import confidences
from medcal_nb.answers.samples import KEY
from medcal_nb.errors import MedcalError

_READ: dict[str, Callable[[pd.Series, Place], pd.Series]] = {
    "run_id": cells.texts,
    "model": cells.names,
    "reader": cells.texts,
    "dataset": cells.names,
    "domain": cells.texts,
    "item_id": cells.names,
    "image_id": cells.names,
    "modality": cells.texts,
    "question_type": cells.texts,
    "split": cells.texts,
    "strategy": cells.names,
    "sample": cells.counts,
    "answer": cells.texts,
    "confidence": cells.amounts,
    "option_probabilities": cells.option_tables,
    "correct": cells.flags,
    "gold": cells.golds,
    "raw": cells.texts,
    "parse_ok": cells.flags,
    "prompt_tokens": cells.counts,
    "new_tokens": cells.counts,
    "seconds": cells.amounts,
}
ANSWER_COLUMNS = list(_READ)
"""Columns of answers, in order. Others may follow them and are kept."""

_ASIDE = (
    "sample",
    "parse_ok",
    "prompt_tokens",
    "new_tokens",
    "seconds",
    "option_probabilities",
)
"""Columns that are left out where they hold something else."""

_GIVE_KEY = "every answer needs one text here, it is part of the key"


def checked(
    raw: pd.DataFrame,
    taken: Mapping[str, str],
    file: str,
    *,
    fixed: Mapping[str, str] | None = None,
    scale: str | float | None = None,
    strict: bool = False,
) -> pd.DataFrame:
    """A table with our columns, every value of them checked and in one form.

    Parameters
    ----------
    raw : DataFrame
    taken : mapping
        Of our columns to its own.
    file : str
        For messages.
    fixed : mapping, optional
        Columns of ours that have one value in all rows.
    scale : str or float, optional
        As of `medcal_nb.answers.load_answers`.
    strict : bool
        Refuse what is no count, truth value or table of probabilities in columns on which no score
        hangs, instead of leaving the column out.

    Returns
    -------
    DataFrame
        Ours of `ANSWER_COLUMNS`, ``confidence`` and ``correct`` always, then all others.
        ``attrs["assumed"]``: what was taken for what, what was assumed and left out.
    """
    place = {ours: Place(file, theirs) for ours, theirs in taken.items()}
    out = {
        name: pd.Series(v, raw.index, dtype=TEXT) for name, v in (fixed or {}).items()
    }
    unfit = []
    for ours in taken.keys() & _READ.keys() - {"confidence"}:
        try:
            out[ours] = _READ[ours](raw[taken[ours]], place[ours])
        except MedcalError:
            if strict or ours not in _ASIDE:
                raise
            unfit.append(taken[ours])
    if "sample" in out:
        out["sample"] = out["sample"].fillna(0)
    assumed = _assume(out, raw.index, file)
    word = ""
    if "confidence" in taken:
        column = raw[taken["confidence"]]
        shares, word = confidences(column, scale, out["model"], place["confidence"])
        out["confidence"] = pd.Series(shares, raw.index)
    for name in ("model", "dataset", "strategy", "item_id"):
        where = place.get(name, Place(file, name))
        values = raw[taken[name]] if name in taken else out[name]
        where.refuse(values, out[name].isna(), "is missing", _GIVE_KEY)
        if name != "item_id":
            _check_case(out[name], where)
    out.setdefault("confidence", pd.Series(np.nan, raw.index))
    out.setdefault("correct", pd.Series(pd.NA, raw.index, dtype="boolean"))
    table = pd.DataFrame(out)
    _check_keys(table, file)
    used = {theirs for ours, theirs in taken.items() if ours in _READ}
    others = [name for name in raw if name not in used and name not in table]
    left_out = unfit + [name for name in raw if name not in used and name in table]
    order = [name for name in ANSWER_COLUMNS if name in table]
    order += [name for name in table if name not in order]
    table = pd.concat([table[order], raw[others]], axis=1)
    if left_out:
        names = ", ".join(map(repr, left_out))
        assumed.append(f"left out, as they hold something else: {names}")
    table.attrs["assumed"] = [*_taken(taken, word), *assumed]
    return table


def _assume(out, index, file):
    """Fill in what every answer needs, in sentences."""
    assumed = []
    if "reader" in out and "model" not in out:
        out["model"] = out["reader"]  # a person answers in the place of a model
    usual = {
        "model": "unnamed",
        "dataset": Path(file).name.split(".")[0],
        "strategy": "stated",
    }
    for name, value in usual.items():
        if name not in out:
            out[name] = pd.Series(value, index, dtype=TEXT)
            if name != "strategy":
                assumed.append(f"no column '{name}': it is '{value}'")
    if "item_id" not in out:
        out["item_id"] = pd.Series(range(1, len(index) + 1), index).astype(TEXT)
        assumed.append("no column of items: rows are numbered")
    return assumed


def _taken(taken, word):
    """Which column is which, as one sentence in a list; none where all are called as ours."""
    names = sorted(taken, key=lambda ours: ours not in ("confidence", "correct"))
    parts = []
    for ours in names:
        mark = f" ({word})" if word and ours == "confidence" else ""
        if mark or taken[ours] != ours:
            parts.append(f"{ours} from '{taken[ours]}'{mark}")
    return [", ".join(parts)] if parts else []


def _check_case(column, place):
    """Refuse names that differ by nothing but case."""
    first = {}
    for text in column.drop_duplicates():
        other = first.setdefault(text.casefold(), text)
        problem = f"and {other!r} differ by case"
        if other != text:
            place.refuse(column, column == text, problem, "write one name")


def _check_keys(table, file):
    key = [*KEY, "sample"] if "sample" in table else KEY
    twice = table.duplicated(key, keep=False).to_numpy()
    if twice.any():
        at = table[key].iloc[int(twice.argmax())]
        first, second = np.flatnonzero((table[key] == at).all(axis=1))[:2] + 1
        shown = ", ".join(f"{name}={value}" for name, value in at.items())
        raise MedcalError(
            f"{file}: rows {first} and {second} are the same answer ({shown}); drop one, or "
            "number repeated replies in a column 'sample'"
        )
