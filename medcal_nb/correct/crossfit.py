"""What a map is fitted on and what it is applied to: source, target, and folds by image."""

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from heapq import heapreplace

import numpy as np
import pandas as pd

from medcal_nb.errors import NotEnough
from medcal_nb.measure.resampling import choose_clip
from medcal_nb.measure.rows import (
    CROSS_FITTED,
    arrays,
    image_labels,
    images_known,
    measured,
    plain_ids,
    refuse_shared,
    rows_by,
)

from .maps import BY, RecalibrationWarning, fit

N_FOLDS = 5
#: A column of rows: their image, as a number.
IMAGE = "_image"


def images_of(rows: pd.DataFrame) -> np.ndarray:
    """Images (n,) of rows: their numbers, where they have been numbered, or their names."""
    return rows[IMAGE].to_numpy() if IMAGE in rows else image_labels(rows)


def assign_folds(
    groups: Sequence | np.ndarray, n_folds: int, *, rng: np.random.Generator
) -> np.ndarray:
    """A fold (n,) for each row, whole groups together, folds as even as that allows."""
    names, group, size = np.unique(
        plain_ids(groups), return_inverse=True, return_counts=True
    )
    order = rng.permutation(len(names))
    order = order[np.argsort(-size[order], kind="stable")]
    loads = [(0, k) for k in range(n_folds)]  # rows in each fold, the fewest first
    fold = np.empty(len(names), int)
    for k, n_rows in zip(order.tolist(), size[order].tolist(), strict=True):
        load, least = loads[0]
        fold[k] = least
        heapreplace(loads, (load + n_rows, least))
    return fold[group]


def by_fold(
    fit: Callable,
    confidence: np.ndarray,
    correct: np.ndarray,
    fold: np.ndarray,
) -> np.ndarray:
    """Recalibrated confidences, each from a map fitted on the other folds.

    Parameters
    ----------
    fit : callable
        ``fit(confidence, correct)`` returns a map.
    confidence, correct, fold : arrays of n rows

    Returns
    -------
    array of n rows
    """
    out = np.empty_like(confidence)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecalibrationWarning)
        for k in np.unique(fold):
            own = fold == k
            recalibrate = fit(confidence[~own], correct[~own])
            out[own] = recalibrate(confidence[own])
    return out


def corrected(
    source: pd.DataFrame | None,
    target: pd.DataFrame,
    *,
    method: str = "platt",
    rng: np.random.Generator,
) -> pd.DataFrame:
    """The target's answers recalibrated by a map fitted on their own labels, or on the source's.

    Parameters
    ----------
    source : DataFrame or None
        Graded answers to fit on. None: the target's own labels alone.
    target : DataFrame
        Graded answers to recalibrate.
    method : str
        One of ``MAPS``.
    rng : numpy.random.Generator
        Draws the images of each fold.

    Returns
    -------
    DataFrame
        One row per answer measured and kind of labels:

        - the columns of `target`: the confidence is the recalibrated one
        - labels: what the map was fitted on, "target", cross-fitted by image (absent for a model
          and strategy of fewer than five images), and with a source "raw" (nothing) or "source"

    Notes
    -----
    Five maps differ a little: the AUROC of cross-fitted answers together may lie below that of the
    confidences as elicited, clearly where these tell nothing. One map that rises leaves it.

    Raises
    ------
    ValueError
        If a table is empty, source and target share an image, or there is nothing to return.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> answers = pd.DataFrame({"confidence": [0.9, 0.8, 0.6] * 40, "correct": [1, 0, 0] * 40})
    >>> answers = answers.assign(model="m", dataset="d", strategy="verbalized")
    >>> answers["item_id"] = answers["image_id"] = [f"i{k}" for k in range(120)]
    >>> table = corrected(answers[:60], answers[60:], rng=rng)
    >>> table.groupby("labels")["confidence"].mean().round(2)
    labels
    raw       0.77
    source    0.33
    target    0.34
    Name: confidence, dtype: float64
    """
    if source is None:
        refuse_empty(target, "target")
        of_target = rows_by(measured(target), BY)
        both = [(part[:0], part) for part in of_target.values()]
    else:
        refuse_shared(source, target, "source and target")
        both = [(learn, judge) for _, learn, judge in pairs(source, target)]
    parts = []
    for learn, judge in both:
        c = np.append(learn["confidence"], judge["confidence"])
        clip = choose_clip(c.astype(float))
        recalibrate = partial(fit, method=method, clip=clip)
        confidence, correct = arrays(judge)
        if source is not None:
            parts.append(judge.assign(labels="raw"))
            transferred = recalibrate(*arrays(learn))(confidence)
            parts.append(judge.assign(labels="source", confidence=transferred))
        images = images_of(judge)
        if len(set(images)) >= N_FOLDS:
            fold = assign_folds(images, N_FOLDS, rng=rng)
            refitted = by_fold(recalibrate, confidence, correct, fold)
            parts.append(judge.assign(labels="target", confidence=refitted))
    if not parts:
        raise NotEnough(
            f"no model and strategy has answers on {N_FOLDS} images or more"
        )
    table = pd.concat(parts, ignore_index=True)
    table.attrs[CROSS_FITTED] = True
    return table


def before_and_after(
    graded: pd.DataFrame, *, method: str = "platt", rng: np.random.Generator
) -> pd.DataFrame:
    """Answers before and after recalibration, below each other: cross-fitted by image.

    `metrics_table` with ``by=["labels"]`` has what a map changes in one table.

    Parameters
    ----------
    graded : DataFrame
        Graded answers; a map for each model and strategy.
    method : str
        One of ``MAPS``.
    rng : numpy.random.Generator
        Draws the images of each fold.

    Returns
    -------
    DataFrame
        Two rows per graded answer:

        - the columns of `graded`: the confidence is as elicited or recalibrated (`corrected`);
          where there is none it stays missing
        - labels: "raw" (as elicited) or "target" (recalibrated)

    Raises
    ------
    ValueError
        If there is no answer with a confidence and a grade, or too few images.

    Examples
    --------
    >>> from medcal_nb.measure import example_answers, metrics_table
    >>> both = before_and_after(example_answers(), rng=np.random.default_rng(0))
    >>> table = metrics_table(both, by=["labels"], metrics=["gap"], intervals=False)
    >>> table["gap"].abs().round(2).tolist()
    [0.11, 0.0]
    """
    after = corrected(None, graded, method=method, rng=rng)
    mapped = after[[*BY]].drop_duplicates()
    before = graded[graded["correct"].notna()].merge(mapped, on=[*BY])
    unstated = before[before["confidence"].isna()]
    parts = [before.assign(labels="raw"), after, unstated.assign(labels="target")]
    return pd.concat(parts, ignore_index=True)  # half of it has seen no grade


def answer_costs(
    source: pd.DataFrame,
    target: pd.DataFrame,
    *,
    method: str = "platt",
    rng: np.random.Generator,
) -> pd.DataFrame:
    """What a map fitted elsewhere costs on each answer, against one fitted on the target.

    Parameters
    ----------
    source, target, method, rng
        As of `corrected`.

    Returns
    -------
    DataFrame
        One row per graded answer of the target:

        - the columns of `target`: the confidence as elicited
        - map_gap: transferred minus refitted confidence; NaN, as the cost, where there is no
          confidence
        - cost: squared distance of the transferred confidence from 1 (right) or 0 (wrong) minus
          that of the refitted one; its mean over answers is the transfer cost of these maps. A
          right answer costs 2 `map_gap` less than a wrong one: where confidence does not follow
          accuracy, the slope of the cost on accuracy is −2 times the mean gap, whatever is asked
        - loss: the first of these two, whose mean is the Brier score of the transferred map

    Examples
    --------
    >>> from medcal_nb.measure import example_answers
    >>> answers = example_answers(900, strategies=["verbalized"])
    >>> sides = answers.query("domain == 'general'"), answers.query("domain == 'medical'")
    >>> costs = answer_costs(*sides, rng=np.random.default_rng(0))
    >>> round(float(costs["cost"].mean()), 3)
    0.055
    """
    table = corrected(source, target, method=method, rng=rng)
    key = [*BY, "dataset", "item_id"]
    recalibrated = table.pivot(index=key, columns="labels", values="confidence")
    ends = recalibrated[["source", "target"]].add_prefix("_")
    costs = target.dropna(subset="correct").merge(ends.reset_index(), "left", on=key)
    right = costs["correct"].astype(float)
    transferred = costs.pop("_source")
    refitted = costs.pop("_target")
    costs["map_gap"] = transferred - refitted
    costs["loss"] = (transferred - right) ** 2
    costs["cost"] = costs["loss"] - (refitted - right) ** 2
    return costs


def warn_of_same_ids(source: pd.DataFrame, target: pd.DataFrame) -> None:
    """Warn where images of source and target may be the same ones, under two data sets' names.

    They may be where their ids are alike; ids that are nothing but numbers only where the
    answers are alike, too.

    Parameters
    ----------
    source, target : DataFrame
        Graded answers: what a map is fitted on, and what it is judged on.

    Warns
    -----
    RecalibrationWarning
        Naming their number and the first one.
    """
    column = "item_id"
    if images_known(source) and images_known(target):
        column = "image_id"
    # a join of millions of names takes seconds
    in_source, in_target = (
        pd.Index(side[column].dropna().unique()) for side in (source, target)
    )
    shared = in_source.intersection(in_target)
    shared = shared.astype(str).sort_values()
    if len(shared) == 0:
        return
    if shared.str.isdecimal().all():
        asked = list({column: 0, "item_id": 0, **dict.fromkeys(BY)})
        answers = [*asked, "confidence", "correct"]
        n_both = len(source[asked].merge(target[asked]))
        n_alike = len(source[answers].merge(target[answers]))
        if n_alike < n_both or n_both <= N_FOLDS:
            return
    warnings.warn(
        f"{len(shared)} images of source and target have the same ids, the first {shared[0]}, "
        "under two data sets' names: if they are the same images, what was learned on them is "
        "judged on them; give both data sets one name, and images are kept apart",
        RecalibrationWarning,
        stacklevel=2,  # a caller of ours: the command line notes warnings of no others
    )


def pairs(
    source: pd.DataFrame,
    target: pd.DataFrame,
    columns: Sequence[str] | slice = slice(None),
) -> list[tuple[dict, pd.DataFrame, pd.DataFrame]]:
    """(key, source rows, target rows) of each model and strategy with both, measured rows only.

    Of some columns where the rows of all models would take much memory.

    Raises
    ------
    ValueError
        If a table is empty, source and target share an image, or no model and strategy has enough
        of both.

    Warns
    -----
    RecalibrationWarning
        For each that is left out because it has too few answers; as `warn_of_same_ids`.
    """
    refuse_empty(source, "source")
    refuse_empty(target, "target")
    warn_of_same_ids(source, target)
    left = rows_by(measured(source.loc[:, columns]), BY)
    enough = []
    for key, rows in rows_by(measured(target.loc[:, columns]), BY).items():
        own = left.get(key, rows[:0])
        if len(own) >= 2 * N_FOLDS and len(set(images_of(rows))) >= N_FOLDS:
            names = dict(zip(BY, key, strict=True))
            enough.append((names, own, rows))
        elif len(own):
            warnings.warn(
                f"transfer: {' '.join(key)} has {len(own)} source and {len(rows)} target "
                "answers with a confidence and a grade; left out",
                RecalibrationWarning,
                stacklevel=3,
            )
    if not enough:
        raise NotEnough(
            "no model and strategy has enough answers in both source and target"
        )
    return enough


def refuse_empty(graded: pd.DataFrame, name: str) -> None:
    """Raise NotEnough where a table has no row with a confidence and a grade."""
    if measured(graded[["confidence", "correct"]]).empty:
        raise NotEnough(
            f"{name}: none of its {len(graded)} rows has a confidence and a grade; "
            "look at the query that it was selected with"
        )
