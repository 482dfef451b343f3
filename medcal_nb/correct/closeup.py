"""One model and strategy closely: the tables behind the close-ups of a transfer study."""

from functools import partial

import numpy as np
import pandas as pd

from medcal_nb import measure
from medcal_nb.measure.rows import halves, image_labels, measured, rows_where, side_name

from .fusion import scores_of
from .maps import BY, N_FOLDS, arrays_of, assign_folds, by_fold, choose_clip, corrected, fit
from .paired import means, paired
from .transfer import pairs, refuse_shared, select

SAYS = 0.8
"""Who trusts the number keeps the answers whose confidence is at least this."""
_YIELDS = ("yield_at_5", "yield_at_10", "yield_at_20")


def _fit_for(learn, judge, method):
    """The fit with one clip for both sides."""
    clip = choose_clip(np.r_[learn["confidence"], judge["confidence"]].astype(float))
    return partial(fit, method=method, clip=clip)


def _leading(values):
    return values if values.ndim == 1 else np.nanmax(values, axis=1)


def correction_stages(
    graded: pd.DataFrame, *, source: dict, target: dict, method: str, rng: np.random.Generator
) -> pd.DataFrame:
    """Confidences before and after a map, stacked under a column ``stage``.

    The stages of each model and strategy: source and target as stated; the target with a map of the
    source's labels; the target with a map of its own labels, cross-fitted by image (``fold`` tells
    its maps apart). ``labels`` says which labels corrected the target: raw (none), source or
    target; it is empty for the source's answers.
    """
    theirs, own = (side_name(where, of="labels") for where in (source, target))
    parts = []
    for _, left, right in pairs(graded, source, target):
        made, (c, y) = _fit_for(left, right, method), arrays_of(right, method)
        fold = assign_folds(image_labels(right), N_FOLDS, rng=rng)
        carried = made(*arrays_of(left, method), images=image_labels(left))
        carried = carried.apply(c, images=image_labels(right))
        stages = (
            (f"{side_name(source)}, as stated", "", left, left["confidence"], -1),
            (f"{side_name(target)}, as stated", "raw", right, right["confidence"], -1),
            (f"{side_name(target)}, corrected with {theirs}", "source", right, carried, -1),
            (f"{side_name(target)}, corrected with {own} (cross-fitted)", "target", right,
             by_fold(made, c, y, fold), fold),
        )  # fmt: skip
        for stage, labels, rows, values, folds in stages:
            told = {"stage": stage, "labels": labels, "fold": folds}
            parts.append(rows.assign(**told, confidence=_leading(np.asarray(values, float))))
    return pd.concat(parts)


def stage_scores(
    stages: pd.DataFrame, *, n_resamples: int = 1000, level: float = 0.95, rng
) -> pd.DataFrame:
    """Accuracy, mean confidence, ECE, Brier score and AUROC (within folds) per stage.

    The interval of the ECE is that of :func:`medcal_nb.measure.ece_interval`.
    """
    table = paired(stages, ["stage"], scores_of, level=level, n_resamples=n_resamples, rng=rng)
    for at, stage in table["stage"].items():
        part = stages[stages["stage"] == stage]
        c, y = part["confidence"].to_numpy(float), part["correct"].to_numpy(float)
        end = measure.ece_interval(c, y, level=level, groups=image_labels(part), rng=rng)
        table.loc[at, ["ece_low", "ece_high"]] = end.low, end.high
    return table


def true_cost(
    graded: pd.DataFrame, fresh: pd.DataFrame, *, source: dict, target: dict, method: str,
    n_resamples: int = 200, rng: np.random.Generator,
) -> pd.DataFrame:  # fmt: skip
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
    fresh, made = measured(fresh), _fit_for(learn, judge, method)
    refuse_shared(pd.concat([learn, judge]), fresh, "fitted on and fresh")
    (c, y), there = arrays_of(judge, method), arrays_of(fresh, method)[0]
    fold = assign_folds(image_labels(judge), N_FOLDS, rng=rng)
    maps = {
        "raw": [fresh["confidence"].to_numpy(float)],
        "source": [made(*arrays_of(learn, method))(there)],
        "target": [made(c[fold != k], y[fold != k])(there) for k in range(N_FOLDS)],
    }
    correct = fresh["correct"].to_numpy(float)
    each = {
        k: np.mean([(_leading(p) - correct) ** 2 for p in ps], axis=0) for k, ps in maps.items()
    }
    columns = {name: name for name in each} | {"cost": ("source", "target")}
    return paired(fresh.assign(**each), BY, means(**columns), n_resamples=n_resamples, rng=rng)


def shifted_thresholds(
    graded: pd.DataFrame, *, source: dict, target: dict, method: str = "platt",
    target_risk: float, delta: float, rng: np.random.Generator,
) -> pd.DataFrame:  # fmt: skip
    """Thresholds chosen on source answers and what they do on target answers.

    Once with confidences as stated, once with a map learned on the other half of the source's
    images than the threshold is chosen on.

    Returns
    -------
    DataFrame
        ``strategy, confidence used`` and the columns of
        :func:`medcal_nb.measure.threshold_table`.
    """
    chosen, judged, seed = [], [], int(rng.integers(2**63))
    moved = f"corrected with {side_name(source, of='labels')}"
    for _, learn, judge in pairs(graded, source, target):
        teach, choose = halves(learn, rng=np.random.default_rng(seed))
        # one image has no other half
        fitted = fit(*arrays_of(teach, method), method=method) if len(teach) else None
        for rows, into in ((choose, chosen), (judge, judged)):
            into.append(rows.assign(**{"confidence used": "as stated"}))
            if fitted is not None:
                values = _leading(fitted(arrays_of(rows, method)[0]))
                into.append(rows.assign(**{"confidence used": moved}, confidence=values))
    by = ["strategy", "confidence used"]
    both = pd.concat(chosen), pd.concat(judged)
    return measure.threshold_table(*both, target=target_risk, delta=delta, by=by)


def used_confidences(
    graded: pd.DataFrame, *, source: dict, target: dict, method: str = "platt",
    rng: np.random.Generator,
) -> pd.DataFrame:  # fmt: skip
    """The target's answers of each strategy as stated and with a map of either side's labels.

    Returns
    -------
    DataFrame
        Measured rows with ``labels used``: as stated; the source's labels, where a source is
        named; the target's own, cross-fitted by image (``fold``).
    """
    names = {"raw": "as stated", "target": side_name(target, of="labels")}
    if source:
        names["source"] = side_name(source, of="labels")
        rows = correction_stages(graded, source=source, target=target, method=method, rng=rng)
        rows = rows[rows["labels"] != ""]
    else:
        rows = corrected(rows_where(graded, target), method, rng=rng)
        rows["labels"] = np.where(rows["map"] == "as stated", "raw", "target")
    return rows.assign(**{"labels used": rows["labels"].map(names)}).reset_index(drop=True)


def stays_table(
    graded: pd.DataFrame, *, source: dict, target: dict, level: float = 0.95,
    n_resamples: int = 100, rng: np.random.Generator,
) -> pd.DataFrame:  # fmt: skip
    """Is a confidence calibrated on both sides, and does its order stay?

    Returns
    -------
    DataFrame
        One row per model and strategy with answers on both sides: accuracy, mean_confidence, ece
        and auroc, each with ``_source`` or ``_target``; the last two with _low and _high.
    """
    names, sides = ("accuracy", "mean_confidence", "ece", "auroc"), []
    for where, side in ((source, "source"), (target, "target")):
        table = measure.metrics_table(
            measured(select(graded, where)), by=BY, metrics=names,
            intervals=names[2:], level=level, n_resamples=n_resamples, rng=rng,
        ).set_index(list(BY))  # fmt: skip
        table.columns = table.columns.str.replace(r"(_low|_high|$)", rf"_{side}\1", n=1, regex=True)
        sides.append(table)
    return sides[0].join(sides[1], how="inner").reset_index()


def yield_table(
    graded: pd.DataFrame, *, source: dict, target: dict, method: str, rng: np.random.Generator
) -> pd.DataFrame:
    """What a map is good for: answers that may stand alone, and what trusting the number gives.

    Returns
    -------
    DataFrame
        Per model and strategy and stage (``raw``, ``source``: carried over, ``target``: refitted):
        ``ece_<stage>``; ``yield_at_5_…``, ``_10_…``, ``_20_…``, the shares of answers that may
        stand alone at so many percent of errors, by a threshold certified on their labels;
        ``kept_…``, the share whose confidence is at least 0.8, and ``wrong_…``, the errors among
        those (NaN where none is kept).
    """
    stages = correction_stages(graded, source=source, target=target, method=method, rng=rng)
    stages, by = stages[stages["labels"] != ""], [*BY, "labels"]
    names = ["ece", *_YIELDS]
    table = measure.metrics_table(stages, by=by, metrics=names, intervals=(), rng=rng)
    kept = stages["confidence"] >= SAYS
    wrong = 1 - stages["correct"].astype(float).where(kept)
    trusted = stages.assign(kept=kept, wrong=wrong).groupby(by)[["kept", "wrong"]].mean()
    table = table[[*by, "n", *names]].join(trusted, on=by).pivot(index=[*BY, "n"], columns="labels")
    table.columns = [f"{name}_{stage}" for name, stage in table.columns]
    return table.reset_index()
