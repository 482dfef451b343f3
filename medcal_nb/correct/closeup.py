"""One model and strategy closely: the tables behind the close-ups of a transfer study."""

from functools import partial

import numpy as np
import pandas as pd

from medcal_nb import measure
from medcal_nb.measure.rows import (
    image_labels,
    measured,
    parts_by,
    refuse_shared,
    rows_where,
)

from .fusion import scores_of
from .maps import BY, N_FOLDS, arrays_of, assign_folds, by_fold, choose_clip, fit
from .paired import means, paired
from .transfer import pairs

SAYS = 0.8
"""Who trusts the number keeps the answers whose confidence is at least this."""


def _fit_for(learn, judge, method):
    """The fit with one clip for both sides."""
    clip = choose_clip(np.r_[learn["confidence"], judge["confidence"]].astype(float))
    return partial(fit, method=method, clip=clip)


def _leading(values):
    return values if values.ndim == 1 else np.nanmax(values, axis=1)


def corrected(
    graded: pd.DataFrame,
    *,
    target: dict,
    source: dict | None = None,
    method="platt",
    rng,
) -> pd.DataFrame:
    """The target's answers as stated and with a map of either side's labels.

    Returns
    -------
    DataFrame
        Measured rows with ``labels``, those that corrected them: raw (none, as stated), source,
        where one is named, and target, cross-fitted by image (``fold`` tells the maps apart, -1
        elsewhere), but not where a model and strategy has fewer images than folds.
    """
    parts = []
    for learn, judge in _sides(graded, source, target):
        made = _fit_for(learn, judge, method)
        images = image_labels(judge)
        c, y = arrays_of(judge, method)
        values = {"raw": judge["confidence"].to_numpy(float)}
        folds = {}
        if len(learn):
            values["source"] = made(*arrays_of(learn, method))(c)
        if len(set(images)) >= N_FOLDS:
            folds["target"] = assign_folds(images, N_FOLDS, rng=rng)
            values["target"] = by_fold(made, c, y, folds["target"])
        for labels, p in values.items():
            told = {"labels": labels, "fold": folds.get(labels, -1)}
            parts.append(judge.assign(**told, confidence=_leading(p)))
    return pd.concat(parts, ignore_index=True)


def _sides(graded, source, target):
    """(source rows, none without a source; target rows) of each model and strategy."""
    if source:
        return [(left, right) for _, left, right in pairs(graded, source, target)]
    return [
        (right[:0], right)
        for _, right in parts_by(measured(rows_where(graded, target)), BY)
    ]


def stage_scores(
    stages: pd.DataFrame, *, rng: np.random.Generator, **settings
) -> pd.DataFrame:
    """Accuracy, mean confidence, Brier score, ECE and AUROC (within folds) per ``labels``."""
    return paired(stages, ["labels"], scores_of, rng=rng, **settings)


def true_cost(graded, fresh, *, source, target, method, rng) -> pd.DataFrame:
    """What carrying over really costs, on fresh items that nothing was fitted on.

    Like is compared with like: the maps have the clip and the folds of :func:`transfer_study`;
    the target's score is the mean over its five maps, each fitted on four fifths of the labels.

    Parameters
    ----------
    graded : DataFrame
        Of one model and strategy; maps are fitted on its source and on its target rows.
    fresh : DataFrame
        Graded answers of the same model and strategy on many fresh target items.

    Returns
    -------
    DataFrame
        One row of Brier scores: n, n_images; raw, source, target and ``cost`` = source - target,
        with _low and _high by image.

    Raises
    ------
    ValueError
        If a fresh image is one that a map was fitted on.
    """
    ((_, learn, judge),) = pairs(graded, source, target)
    fresh = measured(fresh)
    made = _fit_for(learn, judge, method)
    refuse_shared(pd.concat([learn, judge]), fresh, "fitted on and fresh")
    (c, y) = arrays_of(judge, method)
    there = arrays_of(fresh, method)[0]
    fold = assign_folds(image_labels(judge), N_FOLDS, rng=rng)
    maps = {
        "raw": [fresh["confidence"].to_numpy(float)],
        "source": [made(*arrays_of(learn, method))(there)],
        "target": [made(c[fold != k], y[fold != k])(there) for k in range(N_FOLDS)],
    }
    correct = fresh["correct"].to_numpy(float)
    each = {
        k: np.mean([(_leading(p) - correct) ** 2 for p in ps], axis=0)
        for k, ps in maps.items()
    }
    columns = {name: name for name in each} | {"cost": ("source", "target")}
    return paired(fresh.assign(**each), BY, means(**columns), n_resamples=200, rng=rng)


def yield_table(graded: pd.DataFrame, *, source, target, method, rng) -> pd.DataFrame:
    """What a map is good for: answers that may stand alone, and what trusting the number gives.

    Returns
    -------
    DataFrame
        Per model and strategy and labels (``raw``, ``source``: carried over, ``target``: refitted):
        ``ece_<labels>``; ``yield_at_20_…``, the share of answers that may stand alone at 20 %
        errors, by a threshold certified on their labels; ``kept_…``, the share whose confidence is
        at least 0.8, and ``wrong_…``, the errors among those (NaN where none is kept).
    """
    stages = corrected(graded, source=source, target=target, method=method, rng=rng)
    by = [*BY, "labels"]
    names = ["ece", "yield_at_20"]
    table = measure.metrics_table(stages, by=by, metrics=names, intervals=(), rng=rng)
    kept = stages["confidence"] >= SAYS
    wrong = 1 - stages["correct"].astype(float).where(kept)
    trusted = (
        stages.assign(kept=kept, wrong=wrong).groupby(by)[["kept", "wrong"]].mean()
    )
    table = (
        table[[*by, "n", *names]]
        .join(trusted, on=by)
        .pivot(index=[*BY, "n"], columns="labels")
    )
    table.columns = [f"{name}_{stage}" for name, stage in table.columns]
    return table.reset_index()
