"""Which graded answers a notebook looks at: models, elicitation methods, source and target.

One door, :func:`select`; the functions behind it raise errors in the words of the notebooks'
parameters.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from medcal_nb.errors import MedcalError, NotEnough
from medcal_nb.measure.rows import (
    arrays,
    image_labels,
    images_known,
    is_where,
    measured,
    rows_where,
)
from medcal_nb.show.words import label_of

#: Columns and the values that rows of a data set or domain hold there.
Where = Mapping[str, Any]

# what a notebook looks at closely where nobody has chosen and the answers hold it
_MODELS = ("pocket-medical", "Qwen3-VL-8B-Instruct")
_STRATEGIES = ("verbalized",)


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What a notebook looks at.

    Attributes
    ----------
    answers : pandas.DataFrame
        Graded answers that can be measured, of all models and elicitation methods, with a column
        `side`: ``general images``, ``medical images`` or the name of a data set.
    model, strategy : str
        The model and the method that are looked at closely.
    source, target, more_target : mapping
        Columns and values of the rows that a map is fitted on, of those that it is judged on, and
        of further rows of the target. `source` is empty where there is one data set alone.
    """

    answers: pd.DataFrame
    model: str
    strategy: str
    source: Where
    target: Where
    more_target: Where

    @property
    def own(self) -> pd.DataFrame:
        """The answers of the model."""
        return self.answers[self.answers["model"] == self.model]

    @property
    def close_up(self) -> pd.DataFrame:
        """The answers of the model under the method."""
        return self.own[self.own["strategy"] == self.strategy]

    @property
    def target_rows(self) -> pd.DataFrame:
        """The close-up's answers on the target."""
        return rows_where(self.close_up, self.target)

    @property
    def model_name(self) -> str:
        """What a reader calls the model."""
        return label_of(self.model)

    @property
    def source_name(self) -> str:
        """What a reader calls the source: ``general images``, the name of a data set."""
        return side_name(self.source)

    @property
    def target_name(self) -> str:
        """What a reader calls the target."""
        return side_name(self.target)

    def strategies(self, wanted: Sequence[str] = (), *, n: int) -> list[str]:
        """Return up to `n` methods of the model that can be measured on source and target.

        Parameters
        ----------
        wanted : sequence of str
            Those that come first where they are there.
        n : int
            How many at most.
        """
        where = [side for side in (self.source, self.target) if side]
        return strategies_on(self.answers, self.model, wanted, where=where, n=n)


def select(
    graded: pd.DataFrame,
    *,
    model: str = "",
    strategy: str = "",
    split: str = "",
    source: Where | None = None,
    target: Where | None = None,
    more_target: Where | None = None,
    one_set_allowed: bool = False,
) -> Selection:
    """Choose what a notebook looks at, by its parameters.

    Parameters
    ----------
    graded : pandas.DataFrame
        Graded answers, as :meth:`medcal_nb.study.NotebookContext.graded` returns them.
    model, strategy : str
        The model and the elicitation method to look at closely; where they are empty, those that
        the study prefers, else the first that can be measured on both sides.
    split : str
        Keep the answers of this split and those without one.
    source, target, more_target : mapping, optional
        Columns and values of the two sides; without them all rows of at most two domains or data
        sets are kept, and the first is the source.
    one_set_allowed : bool
        Whether answers about one data set alone will do; `source` is empty then.

    Returns
    -------
    Selection
        The rows and names.

    Raises
    ------
    MedcalError
        If a name stands nowhere in the answers, with those that do; NotEnough where a second data
        set is needed and nobody has named one.

    Examples
    --------
    >>> chosen = select(graded, model="Qwen3-VL-8B-Instruct")  # doctest: +SKIP
    >>> chosen.close_up["confidence"].mean()  # doctest: +SKIP
    """
    answers = measured(graded)
    if split and "split" in answers:
        answers = answers[answers["split"].fillna(split) == split]
    named = source is not None or target is not None
    if named:
        answers = answers.assign(side=_side_of(answers))
        source, target, more_target = _named_sides(
            answers, source or {}, target or {}, more_target, one_set_allowed
        )
    else:
        answers = with_sides(answers)
    judged = rows_where(answers, target or {})
    model = pick(
        [model] if model else _MODELS,
        judged["model"],
        n=1,
        name="MODEL" if model else "",
    )[0]
    if not named:
        source, target = _sides_of(answers[answers["model"] == model])
        more_target = target
    strategy = strategies_on(
        answers,
        model,
        [strategy] if strategy else _STRATEGIES,
        where=[side for side in (source, target) if side],
        n=1,
        name="STRATEGY" if strategy else "",
    )[0]
    return Selection(
        answers=answers,
        model=model,
        strategy=strategy,
        source=source,
        target=target,
        more_target=more_target,
    )


def _named_sides(
    answers: pd.DataFrame,
    source: Where,
    target: Where,
    more_target: Where | None,
    one_set_allowed: bool,
) -> tuple[Where, Where, Where]:
    """Return source, target and more of the target; no source where there is one data set."""
    if one_set_allowed and answers["dataset"].nunique() == 1:
        only = {"dataset": answers["dataset"].iloc[0]}
        return {}, only, only
    return sides(answers, source, target, more_target)


def _sides_of(own: pd.DataFrame) -> tuple[Where, Where]:
    """Return the sides of a model's answers as source and target, medical images last."""
    names = list(dict.fromkeys(own["side"]))
    names.sort(key=lambda name: name == "medical images")
    source = {"side": names[0]} if len(names) > 1 else {}
    return source, {"side": names[-1]}


def pick(
    preferred: Sequence[str], available: pd.Series, *, n: int, name: str = ""
) -> list[str]:
    """Return up to `n` values: the preferred ones that occur, then others in order of rows.

    Parameters
    ----------
    preferred : sequence of str
        Values that come first.
    available : pandas.Series
        What there is, one value a row.
    n : int
        How many at most.
    name : str
        The parameter that was set to `preferred`: then each of them must occur.

    Raises
    ------
    MedcalError
        If there is no value, or a preferred one does not occur though it was asked for by `name`.
    """
    there = list(available.dropna().unique())
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
    others = [value for value in there if value not in wanted]
    return (wanted + others)[:n]


def strategies_on(
    graded: pd.DataFrame,
    model: str,
    wanted: Sequence[str],
    *,
    where: Sequence[Where] = (),
    n: int,
    name: str = "",
) -> list[str]:
    """Return up to `n` elicitation methods of a model that can be measured on all sides.

    Parameters
    ----------
    graded : pandas.DataFrame
        Graded answers.
    model : str
        The model.
    wanted : sequence of str
        Methods that come first.
    where : sequence of mapping
        The sides: columns and values.
    n : int
        How many at most.
    name : str
        As in :func:`pick`.

    Raises
    ------
    MedcalError
        If the model has none, with the models that have; or as :func:`pick` does.
    """
    answers = measured(graded)
    pair = ["model", "strategy"]
    on_all_sides = answers[pair].drop_duplicates()
    for side in where:
        there = answers.loc[is_where(answers, side), pair]
        on_all_sides = on_all_sides.merge(there.drop_duplicates(), on=pair)
    own = on_all_sides.loc[on_all_sides["model"] == model, "strategy"]
    if on_all_sides.empty:
        names = " and on ".join(map(side_name, where))
        raise NotEnough(
            f"no model has graded confidences of one elicitation method on {names}: give the "
            "method one name, by `medcal import --strategy NAME`"
        )
    if own.empty:
        models = ", ".join(dict.fromkeys(on_all_sides["model"]))
        raise MedcalError(
            f"MODEL: {model} has no elicitation method with confidences and grades on source "
            f"and target; choose from {models}"
        )
    return pick(wanted, own, n=n, name=name)


def side_name(where: Where) -> str:
    """Return what a reader calls a side: ``general images``, the data set's name."""
    if "domain" in where:
        return f"{where['domain']} images"
    # which split answers are of says nothing of what they are about
    named = {column: value for column, value in where.items() if column != "split"}
    return ", ".join(label_of(value) for value in (named or where).values())


def with_sides(graded: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of at most two sides, named in a column `side`, general images first.

    A side is a domain (``medical images``), or a data set where no domain is known; general and
    medical images come first, then others in order of rows.
    """
    side = _side_of(graded)
    names = pick(["general images", "medical images"], side, n=2)
    is_there = side.isin(names).to_numpy()
    return graded[is_there].assign(side=side[is_there])


def _side_of(graded: pd.DataFrame) -> pd.Series:
    """Return the side of each row: its domain's images, or its data set."""
    side = graded["dataset"].astype(object)
    if "domain" not in graded:
        return side
    domain = graded["domain"].astype(object)
    return side.where(domain.isna(), domain + " images")


def sides(
    graded: pd.DataFrame,
    source: Where,
    target: Where,
    more_target: Where | None = None,
) -> tuple[Where, Where, Where]:
    """Return which rows a map is fitted on and which it is judged on, by column.

    Sides that name no data set and have no rows are looked for again in imported answers, which
    have no splits: first without the split, then as the first and the second data set of the
    table. `more_target` may hold further target rows for learning curves; where it leaves out
    rows of the target or holds rows of the source, it is the target.

    Returns
    -------
    tuple of mapping
        Source, target and more of the target.

    Raises
    ------
    MedcalError
        If a side has no rows, or both are the same; NotEnough where nobody named a side and the
        answers hold one data set.
    """
    names = list(graded["dataset"].dropna().unique())[:2]
    options = [(source, target)]
    if "dataset" not in source and "dataset" not in target:
        options.append((_without_split(source), _without_split(target)))
        if len(names) > 1:
            options.append(({"dataset": names[0]}, {"dataset": names[1]}))
    for one, other in options:
        fitted = is_where(graded, one)
        judged = is_where(graded, other)
        if one != other and fitted.any() and judged.any():
            more = is_where(graded, more_target or other)
            is_whole = more[judged].all() and not more[fitted].any()
            return one, other, more_target if more_target and is_whole else other
    known = ", ".join(map(str, graded["dataset"].unique()))
    if len(options) > 1 and len(names) < 2:
        raise NotEnough(
            "a recalibration map is fitted on one data set and judged on another, and the answers "
            f"hold {known} alone: import a second one"
        )
    raise MedcalError(
        f"SOURCE {source}, TARGET {target}: no such rows, or SOURCE and TARGET are the same; the "
        f"answers hold the data sets {known}: name two of them, as in "
        'SOURCE={"dataset": …} and TARGET={"dataset": …}, or import a second one'
    )


def _without_split(side: Where) -> Where:
    return {column: value for column, value in side.items() if column != "split"}


def with_group(graded: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return the graded answers with a column `group`: the values of `column`, none as ``all``.

    Raises
    ------
    MedcalError
        If there is no such column.
    """
    if column not in graded.columns:
        raise MedcalError(
            f"GROUP_BY: no column {column!r} in the answers: choose one of "
            f"{', '.join(map(str, graded.columns))}"
        )
    return graded.assign(group=graded[column].astype(object).fillna("all").astype(str))


def by_group(
    graded: pd.DataFrame,
    by: str,
    table: Callable[..., pd.DataFrame],
    **options: Any,
) -> pd.DataFrame:
    """Apply a table of ``(confidence, correct, **options)`` to each group and stack the results.

    Parameters
    ----------
    graded : pandas.DataFrame
        Graded answers.
    by : str
        The column whose values are the groups; it comes first in the result.
    table : callable
        Such as :func:`medcal_nb.measure.reliability_table`. One that takes `groups` gets each
        answer's image, and the result has `n_images`, 0 where images are unknown.
    **options
        Passed on to `table`.

    Returns
    -------
    pandas.DataFrame
        The rows of `table` for each group, with `n`, the group's answers, where it lacks that.
    """
    by_image = "groups" in inspect.signature(table).parameters
    parts = []
    for name, part in measured(graded).groupby(by, sort=False):
        if by_image:
            options["groups"] = image_labels(part)
        one = table(*arrays(part), **options)
        if by_image:
            n_images = len(np.unique(options["groups"]))
            one["n_images"] = n_images if images_known(part) else 0
        if "n" not in one:
            one["n"] = len(part)
        one.insert(0, by, name)
        parts.append(one)
    return pd.concat(parts, ignore_index=True)


def filled_column(graded: pd.DataFrame, column: str) -> str:
    """Return `column`, or ``dataset`` where it holds nothing, as in many imported answers."""
    is_empty = column in graded and graded[column].isna().all()
    return "dataset" if is_empty else column
