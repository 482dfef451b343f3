"""Which graded answers are looked at, and what is drawn together: rows chosen, halved, grouped."""

import re
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from medcal_nb.errors import MedcalError, NotEnough


def measured(graded: pd.DataFrame) -> pd.DataFrame:
    """Return the graded answers that can be measured: those with a confidence and a grade."""
    return graded[graded["confidence"].notna() & graded["correct"].notna()]


def arrays(graded: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return `(confidence, correct)` of the answers that can be measured, as float arrays."""
    kept = measured(graded)
    return kept["confidence"].to_numpy(float), kept["correct"].to_numpy(float)


def image_labels(graded: pd.DataFrame, column: str = "image_id") -> np.ndarray:
    """Return the image of each row with its data set's name; the item where none is known.

    Ids are written alike whatever their type: 7, numpy's 7, 7.0 and "7.0" are one id.
    """
    item = (
        graded["item_id"]
        if "item_id" in graded
        else pd.Series(graded.index, graded.index)
    )
    names = graded.get(column, item)
    if names.isna().any():
        names = names.astype(object).where(names.notna(), item.astype(object))
    names = plain_ids(names)
    return plain_ids(graded["dataset"]) + "/" + names if "dataset" in graded else names


def plain_ids(values) -> np.ndarray:
    """Return ids as text, an object array; whole numbers without a point."""
    codes, names = pd.factorize(
        pd.Series(list(values), dtype=object), use_na_sentinel=False
    )
    plain = [re.sub(r"^(-?\d+)\.0+$", r"\1", str(name)) for name in names]
    return np.array(plain, dtype=object)[codes]


def refuse_shared(fitted: pd.DataFrame, judged: pd.DataFrame, names: str) -> None:
    """Raise ValueError where an image is in both: what is learned is not judged on its images."""
    if shared := set(image_labels(fitted)) & set(image_labels(judged)):
        raise ValueError(
            f"{len(shared)} images are both {names}, the first {min(shared)}: "
            "what was learned on an image would be judged on it"
        )


def pick(
    preferred: Sequence[str], available: pd.Series, *, n: int, name: str = ""
) -> list[str]:
    """Return up to `n` values: the preferred ones that occur, then others in order of rows.

    MedcalError where there is none, and with the `name` of a parameter that was set, where a
    preferred one does not occur.
    """
    there = list(dict.fromkeys(available.dropna()))
    if not there:
        raise MedcalError(
            "answers: none has a confidence and a grade; nothing to measure"
        )
    wanted = [value for value in preferred if value in there]
    if name and len(wanted) < len(preferred):
        missing = next(value for value in preferred if value not in there)
        raise MedcalError(
            f"{name}: no {missing!r} in the answers that can be measured; "
            f"choose from {', '.join(map(str, there))}"
        )
    return (wanted + [value for value in there if value not in wanted])[:n]


def rows_where(graded: pd.DataFrame, where: dict) -> pd.DataFrame:
    """Return the rows whose columns hold the values of `where`; none where a column is absent."""
    mask = np.ones(len(graded), dtype=bool)
    for column, value in where.items():
        held = (
            graded[column] == value
            if column in graded
            else pd.Series(False, graded.index)
        )
        mask &= held.to_numpy(bool, na_value=False)
    return graded[mask]


def strategies_on(
    graded: pd.DataFrame,
    model: str,
    wanted: list[str],
    *,
    where=(),
    n: int,
    name: str = "",
) -> list[str]:
    """Return up to `n` strategies of a model whose answers can be measured on all sides `where`.

    Those of `wanted` come first; `name` as in `pick`. Raises MedcalError if the model has none,
    naming the models that have.
    """
    both = measured(graded)
    for side in where:
        asked = rows_where(measured(graded), side)[
            ["model", "strategy"]
        ].drop_duplicates()
        both = both.merge(asked, on=["model", "strategy"])
    own = both.loc[both["model"] == model, "strategy"]
    if own.empty:
        raise MedcalError(
            f"MODEL: {model} has no strategy with confidences and grades on all sides; choose from "
            f"{', '.join(dict.fromkeys(both['model'])) or 'none'}"
        )
    return pick(wanted, own, n=n, name=name)


def side_name(where: dict, *, of: str = "images") -> str:
    """Return what a reader calls a side: `general images` or `labels`, the data set's name."""
    if "domain" in where:
        return f"{where['domain']} {of}"
    return ", ".join(str(value) for value in where.values()) + (
        "" if of == "images" else f" {of}"
    )


def with_sides(graded: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of at most two sides, named in a column `side`, general images first.

    A side is a domain (`medical images`), or a data set where no domain is known; general and
    medical images come first, then others in order of rows.
    """
    side = graded["dataset"].astype(object)
    if "domain" in graded:
        side = side.where(
            graded["domain"].isna(), graded["domain"].astype(object) + " images"
        )
    names = pick(["general images", "medical images"], side, n=2)
    kept = side.isin(names).to_numpy()
    return graded[kept].assign(side=side[kept])


def sides(
    graded: pd.DataFrame, source: dict, target: dict, more_target: dict | None = None
):
    """Return which rows a map is fitted on and which it is judged on, by column.

    Sides that name no data set and have no rows are looked for again in imported answers, which
    have no splits: first without the split, then as the first and the second data set of the
    table. `more_target` may hold further target rows for learning curves; where it leaves out
    rows of the target or holds rows of the source, it is the target.

    Returns
    -------
    tuple of dict
        `(source, target, more_target)`.

    Raises
    ------
    MedcalError
        If a side has no rows, or both are the same; NotEnough where nobody named a side and the
        answers hold one data set.
    """
    names = list(dict.fromkeys(graded["dataset"].dropna()))[:2]
    options = [(source, target)]
    if "dataset" not in source and "dataset" not in target:
        options.append(
            tuple(
                {k: v for k, v in side.items() if k != "split"}
                for side in (source, target)
            )
        )
        options += (
            [({"dataset": names[0]}, {"dataset": names[1]})] if len(names) > 1 else []
        )
    for one, other in options:
        fitted, judged = (rows_where(graded, side).index for side in (one, other))
        if one != other and len(fitted) and len(judged):
            more = rows_where(graded, more_target or other).index
            whole = judged.isin(more).all() and not fitted.isin(more).any()
            return one, other, more_target if more_target and whole else other
    known = ", ".join(map(str, graded["dataset"].unique()))
    if len(options) > 1 and len(names) < 2:
        raise NotEnough(
            "a recalibration map is learned on one data set and judged on another, and the answers "
            f"hold {known} alone: import a second one"
        )
    raise MedcalError(
        f"SOURCE {source}, TARGET {target}: no such rows, or SOURCE and TARGET are the same; the "
        f"answers hold the data sets {known}: name two of them, as in "
        'SOURCE={"dataset": …} and TARGET={"dataset": …}, or import a second one'
    )


def halves(graded: pd.DataFrame, *, rng: np.random.Generator) -> tuple:
    """Split graded answers into two halves by image, at random: `(fit, test)`."""
    images = image_labels(graded)
    names = np.unique(images)
    first = np.isin(images, rng.permutation(names)[: len(names) // 2])
    return graded[first], graded[~first]


def with_group(graded: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return the graded answers with a column `group`: the values of `column`, none as "all".

    Raises MedcalError if there is no such column.
    """
    if column not in graded.columns:
        raise MedcalError(
            f"GROUP_BY: no column {column!r} in the answers: choose one of "
            f"{', '.join(map(str, graded.columns))}"
        )
    return graded.assign(group=graded[column].astype(object).fillna("all").astype(str))


def filled_column(graded: pd.DataFrame, column: str) -> str:
    """Return `column`, or `dataset` where it holds nothing, as in many imported answers."""
    return "dataset" if column in graded and graded[column].isna().all() else column


def parts_by(graded: pd.DataFrame, by) -> list[tuple[dict, pd.DataFrame]]:
    """Return the groups of a table as (columns and values, rows); one group without columns."""
    by = [by] if isinstance(by, str) else list(by)
    if missing := [column for column in by if column not in graded.columns]:
        raise ValueError(
            f"the table lacks {', '.join(map(repr, missing))}; it has "
            f"{', '.join(map(str, graded.columns))}"
        )
    if not by:
        return [({}, graded)]
    groups = graded.groupby(by, sort=True, dropna=False, observed=True)
    return [(dict(zip(by, key, strict=True)), part) for key, part in groups]


def by_group(
    graded: pd.DataFrame, by: str, table: Callable, *, by_image=False, **options
):
    """Apply a table of `(confidence, correct, **options)` to each group and stack the results.

    The column `by` comes first; where the table has no column `n`, the number of the group's
    measured answers is put there. `by_image` passes each answer's image as `groups`; the result
    then tells `n_images`, too.
    """
    parts = []
    for name, part in measured(graded).groupby(by, sort=False):
        if by_image:
            options["groups"] = image_labels(part)
        one = table(*arrays(part), **options)
        if by_image:
            one["n_images"] = len(np.unique(options["groups"]))
        one = one if "n" in one else one.assign(n=len(part))
        one.insert(0, by, name)
        parts.append(one)
    return pd.concat(parts, ignore_index=True)
