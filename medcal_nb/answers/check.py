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
    "confidence": lambda values, place: values,  # last, as it hangs on the model
    "option_probabilities": cells.option_tables,
    "correct": cells.flags,
    "gold": cells.golds,
    "raw": cells.texts,
    "parse_ok": cells.flags,
    "prompt_tokens": cells.counts,
    "new_tokens": cells.counts,
    "seconds": cells.amounts,
}
#: Columns of answers, in order. Others may follow them and are kept.
ANSWER_COLUMNS = list(_READ)

#: Columns that are left out where they hold something else.
_ASIDE = (
    "sample",
    "parse_ok",
    "prompt_tokens",
    "new_tokens",
    "seconds",
    "option_probabilities",
)

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
        Those of `ANSWER_COLUMNS` that there are, ``confidence`` and ``correct`` always, then all
        others.
        ``attrs["assumed"]``: what was taken for what, what was assumed and left out.
    """
    out = {
        name: pd.Series(v, raw.index, dtype=TEXT) for name, v in (fixed or {}).items()
    }
    left_out = []
    ours_taken = [ours for ours in _READ if ours in taken]
    for ours in ours_taken:
        try:
            out[ours] = _READ[ours](raw[taken[ours]], Place(file, taken[ours]))
        except MedcalError:
            if strict or ours not in _ASIDE:
                raise
            left_out.append(taken[ours])
    assumed = _assume(out, raw.index, file)
    for name in KEY:
        place = Place(file, taken.get(name, name))
        place.refuse(out[name], out[name].isna(), "is missing", _GIVE_KEY)
        if name != "item_id":
            _check_case(out[name], place)
    word = ""
    if theirs := taken.get("confidence"):
        place = Place(file, theirs)
        by = out["model"], out["strategy"]
        shares, word = confidences(raw[theirs], scale, by, place)
        out["confidence"] = pd.Series(shares, raw.index)
    out.setdefault("confidence", pd.Series(np.nan, raw.index))
    out.setdefault("correct", pd.Series(pd.NA, raw.index, dtype="boolean"))
    table = pd.DataFrame({name: out[name] for name in ANSWER_COLUMNS if name in out})
    _check_keys(table, file)
    # the name of an image may be its file: it stays under its own name, too
    used = [
        taken[ours] for ours in ours_taken if ours != "image_id" or taken[ours] == ours
    ]
    others = raw.drop(columns=used)
    left_out += [name for name in others if name in table]
    if left_out:
        names = ", ".join(map(repr, sorted(set(left_out))))
        assumed.append(f"left out, as they hold something else: {names}")
    table = pd.concat([table, others.drop(columns=left_out, errors="ignore")], axis=1)
    table.attrs["assumed"] = [*_taken(taken, word), *assumed]
    return table


def _assume(out: dict[str, pd.Series], index: pd.Index, file: str) -> list[str]:
    """Fill in what every answer needs, in sentences."""
    if "sample" in out:
        out["sample"] = out["sample"].fillna(0)
    if "reader" in out:
        out.setdefault(
            "model", out["reader"]
        )  # a person answers in the place of a model
    assumed = []
    usual = {
        "model": "unnamed",
        "dataset": Path(file).name.split(".")[0],
        "strategy": "stated",
    }
    for name in usual.keys() - out.keys():
        out[name] = pd.Series(usual[name], index, dtype=TEXT)
        assumed.append(f"no column '{name}': it is '{usual[name]}'")
    if "item_id" not in out:
        out["item_id"] = pd.Series(range(1, len(index) + 1), index).astype(TEXT)
        assumed.append("no column of items: rows are numbered")
    for name in {"item_id", "image_id"} & out.keys():
        n_alike = out[name].nunique() - out[name].str.lower().nunique()
        if n_alike:
            assumed.append(f"'{name}': {n_alike:,} differ from others by case alone")
    return sorted(assumed)


def _taken(taken: Mapping[str, str], word: str) -> list[str]:
    """Which column is which, as one sentence in a list; none where all are called as ours."""
    parts = []
    for ours in sorted(taken, key=lambda name: name not in ("confidence", "correct")):
        mark = f" ({word})" if word and ours == "confidence" else ""
        if mark or taken[ours] != ours:
            parts.append(f"{ours} from '{taken[ours]}'{mark}")
    return [", ".join(parts)] if parts else []


def _check_case(column: pd.Series, place: Place) -> None:
    """Refuse names that differ by nothing but case."""
    first: dict[str, str] = {}
    for text in column.unique():
        other = first.setdefault(text.casefold(), text)
        if text != other:
            problem = f"and {other!r} differ by case"
            place.refuse(column, column == text, problem, "write one name")


def _check_keys(table: pd.DataFrame, file: str) -> None:
    """Refuse two rows that are the same answer."""
    key = [name for name in (*KEY, "sample") if name in table]
    twice = table.duplicated(key, keep=False)
    if twice.any():
        at = table.loc[twice.idxmax(), key]
        first, second = np.flatnonzero((table[key] == at).all(axis=1))[:2] + 1
        shown = ", ".join(f"{name}={value}" for name, value in at.items())
        raise MedcalError(
            f"{file}: rows {first} and {second} are the same answer ({shown}); drop one, or "
            "number repeated replies in a column 'sample'"
        )
