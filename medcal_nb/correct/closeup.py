"""One model and strategy closely: the tables behind the close-ups of a transfer study."""

from functools import partial

import numpy as np
import pandas as pd

from medcal_nb import measure
from medcal_nb.measure.rows import halves, image_labels, measured, rows_where, side_name

from ._families import FAMILIES, expit, logit
from .fusion import scores_of
from .maps import BY, arrays_of, assign_folds, by_fold, choose_clip, corrected, fit
from .paired import Resamples, mean, paired
from .told import SAYS
from .transfer import N_FOLDS, pairs, refuse_shared, select

TEMPERATURES = (0.5, 2.0, 5.0)
CLIPS = (0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 1e-3, 1e-4, 1e-6)
_YIELDS = ("yield_at_5", "yield_at_10", "yield_at_20")
_LABELS = ("raw", "source", "target")


def _sides(graded, source, target, method):
    """Measured rows of both sides, which share no image, and the fit with one clip for both."""
    learn, judge = (measured(select(graded, where)) for where in (source, target))
    refuse_shared(learn, judge, "source and target")
    clip = choose_clip(np.r_[learn["confidence"], judge["confidence"]].astype(float))
    return learn, judge, partial(fit, method=method, clip=clip)


def _leading(values):
    return values if values.ndim == 1 else np.nanmax(values, axis=1)


def correction_stages(
    graded: pd.DataFrame, *, source: dict, target: dict, method: str, rng: np.random.Generator
) -> pd.DataFrame:
    """Confidences before and after a map, stacked under a column ``stage``.

    The stages: source and target as stated; the target with a map of the source's labels; the
    target with a map of its own labels, cross-fitted by image (``fold`` tells its maps apart).
    ``labels`` says which labels corrected the target: raw (none), source or target.
    """
    learn, judge, made = _sides(graded, source, target, method)
    fitted = made(*arrays_of(learn, method), images=image_labels(learn))
    c, y = arrays_of(judge, method)
    fold = assign_folds(image_labels(judge), N_FOLDS, rng=rng)
    carried = _leading(fitted.apply(c, images=image_labels(judge)))
    refitted = _leading(by_fold(made, c, y, fold))
    to, own = side_name(target), side_name(target, of="labels")
    stages = (
        (f"{side_name(source)}, as stated", "", learn, learn["confidence"], -1),
        (f"{to}, as stated", "raw", judge, judge["confidence"], -1),
        (f"{to}, corrected with {side_name(source, of='labels')}", "source", judge, carried, -1),
        (f"{to}, corrected with {own} (cross-fitted)", "target", judge, refitted, fold),
    )
    return pd.concat(
        [
            rows.assign(stage=stage, labels=labels, confidence=values, fold=folds)
            for stage, labels, rows, values, folds in stages
        ]
    )


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


FITTED_ON = {
    "raw": "as stated",
    "rate": "one number",
    "source": "source",
    "target": "target",
    "pooled": "both",
    "adapted": "adapted",
}


def fitted_on_table(transfer: pd.DataFrame, *, names: dict | None = None) -> pd.DataFrame:
    """Rows of a transfer table as one line per method and what it was fitted on.

    Returns
    -------
    DataFrame
        ``method`` ("any" where no map is fitted), ``fitted on, n_target`` and, per loss, its value
        with ``_low`` and ``_high``.
    """
    lines: dict[tuple, dict] = {}
    for row in transfer.to_dict("records"):
        for key, name in (FITTED_ON | (names or {})).items():
            if pd.notna(row.get(f"loss_{key}", np.nan)):
                method = "any" if key in ("raw", "rate") else row["method"]
                line = lines.setdefault((method, name), {})
                line |= {"method": method, "fitted on": name, "n_target": row["n_target"]}
                for end in ("", "_low", "_high"):
                    line[f"{row['loss']}{end}"] = row.get(f"loss_{key}{end}", np.nan)
    return pd.DataFrame(lines.values())


def label_sides(
    graded: pd.DataFrame, fresh: pd.DataFrame, *, source: dict, target: dict, more_target: dict,
    rng: np.random.Generator,
) -> tuple[pd.DataFrame, dict]:  # fmt: skip
    """The rows of a label-efficiency study and which of them do what.

    With fresh items, labels are drawn from half of their images, and the other half and the
    target's rows are scored: all are of one kind, and there are enough of them for draws that
    share little. Without, labels and scored rows are drawn from ``more_target``.

    Returns
    -------
    tuple
        The graded answers, and ``source, target, judged`` for :func:`label_efficiency_study`.
    """
    if fresh.empty:
        return graded, {"source": source, "target": more_target}
    learn, judge = halves(fresh, rng=rng)
    judge = pd.concat([judge, select(graded, target)])
    parts = {"source": select(graded, source), "target": learn, "judged": judge}
    both = pd.concat([part.assign(part=name) for name, part in parts.items()], ignore_index=True)
    return both, {name: {"part": name} for name in parts}


def temperature_traps(
    graded: pd.DataFrame, *, source: dict, among: pd.DataFrame | None = None,
    level: float = 0.95, n_resamples: int = 100, rng: np.random.Generator,
) -> pd.DataFrame:  # fmt: skip
    """What log-odds scaling can't do, and what its clip decides.

    Parameters
    ----------
    graded : DataFrame
        Of one model and strategy.
    among : DataFrame, optional
        Answers of several strategies. The clip is shown on the one that states 100 % most often;
        where none does, and by default, on `graded`.

    Returns
    -------
    DataFrame
        ``trap`` is ``map`` (``x`` stated, ``y`` corrected confidence, ``series`` the map) or
        ``clip`` (``x`` the clip, ``y`` the fitted temperature with ``y_low`` and ``y_high``); ``n``
        answers were fitted on.
    """
    used = measured(select(graded, source))
    c, y = arrays_of(used, "log_odds")
    grid, fitted = np.linspace(0.005, 0.995, 100), fit(c, y, method="log_odds")
    maps = {f"T = {t:g}": expit(logit(grid, 1e-12) / t) for t in TEMPERATURES}
    maps[f"T fitted ({fitted.params['temperature']:.2f})"] = fitted(grid)
    maps["Platt fitted"] = fit(c, y)(grid)
    rows = [
        pd.DataFrame({"trap": "map", "series": name, "x": grid, "y": values, "n": len(y)})
        for name, values in maps.items()
    ]
    name = graded["strategy"].iloc[0]
    there = used if among is None else measured(select(among, source))
    certain = there.loc[there["confidence"] == 1, "strategy"].value_counts()
    if len(certain):
        name = certain.index[0]
        used = there[there["strategy"] == name]
        c, y = arrays_of(used, "log_odds")
    weights, family = Resamples(image_labels(used), n_resamples, rng), FAMILIES["log_odds"]
    weights = weights.of(image_labels(used))
    clips = []
    for clip in CLIPS:
        t = family.fit(family.features(c, clip), y, weights)[:, 0]
        low, high = np.quantile(t[1:], [(1 - level) / 2, (1 + level) / 2])
        clips.append({"x": clip, "y": t[0], "y_low": low, "y_high": high})
    rows.append(pd.DataFrame(clips).assign(trap="clip", series=name, n=len(y)))
    return pd.concat(rows, ignore_index=True)


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
        One row of Brier scores: raw, source, target, ``cost`` = source - target and its
        standard_error by image, n, n_images.

    Raises
    ------
    ValueError
        If a fresh image is one that a map was fitted on.
    """
    learn, judge, made = _sides(graded, source, target, method)
    kept = measured(fresh)
    refuse_shared(pd.concat([learn, judge]), kept, "fitted on and fresh")
    (c, y), (there, _) = arrays_of(judge, method), arrays_of(kept, method)
    fold = assign_folds(image_labels(judge), N_FOLDS, rng=rng)
    maps = {
        "raw": [kept["confidence"].to_numpy(float)],
        "source": [_leading(made(*arrays_of(learn, method))(there))],
        "target": [_leading(made(c[fold != k], y[fold != k])(there)) for k in range(N_FOLDS)],
    }
    correct, drawn = (
        kept["correct"].to_numpy(float),
        Resamples(image_labels(kept), n_resamples, rng),
    )
    each = {name: np.mean([(p - correct) ** 2 for p in ps], axis=0) for name, ps in maps.items()}
    cost = mean(drawn.of(image_labels(kept)), each["source"] - each["target"])
    row = {name: loss.mean() for name, loss in each.items()}
    row |= {"cost": cost[0], "standard_error": float(np.std(cost[1:]))}
    return pd.DataFrame([row | {"n": len(kept), "n_images": len(drawn.names)}])


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
    parts, halved = [], int(rng.integers(2**63))
    for strategy, rows in graded.groupby("strategy", sort=False):
        learn, judge, _ = _sides(rows, source, target, method)
        teach, choose = halves(learn, rng=np.random.default_rng(halved))
        used = {"as stated": lambda c: c}
        if len(teach):
            fitted = fit(*arrays_of(teach, method), method=method)
            used[f"corrected with {side_name(source, of='labels')}"] = fitted
        for name, change in used.items():
            both = [part.assign(confidence=change(part["confidence"].to_numpy(float)))
                    for part in (choose, judge)]  # fmt: skip
            one = measure.threshold_table(*both, target=target_risk, delta=delta)
            one.insert(0, "confidence used", name)
            one.insert(0, "strategy", strategy)
            parts.append(one)
    return pd.concat(parts, ignore_index=True)


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
    own, parts = side_name(target, of="labels"), []
    for _, rows in graded.groupby("strategy", sort=False):
        if source:
            stages = correction_stages(rows, source=source, target=target, method=method, rng=rng)
            both, labels = stages[stages["labels"] != ""], side_name(source, of="labels")
            used = both["labels"].map({"raw": "as stated", "source": labels, "target": own})
        else:
            both = corrected(rows_where(rows, target), method, rng=rng)
            used = np.where(both["map"] == "as stated", "as stated", own)
        parts.append(both.assign(**{"labels used": used}))
    return pd.concat(parts, ignore_index=True)


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
    rows = []
    for key, left, right in pairs(graded, source, target):
        stages = correction_stages(
            pd.concat([left, right]), source=source, target=target, method=method, rng=rng
        )
        row = key | {"n": len(right)}
        for labels in _LABELS:
            part = stages[stages["labels"] == labels]
            names = ["ece", *_YIELDS]
            one = measure.metrics_table(part, by=[], metrics=names, intervals=(), rng=rng)
            sure = part[part["confidence"] >= SAYS]
            row |= {f"{name}_{labels}": one[name].iloc[0] for name in names}
            row |= {f"kept_{labels}": len(sure) / len(part)}
            row |= {f"wrong_{labels}": 1 - sure["correct"].astype(float).mean()}
        rows.append(row)
    return pd.DataFrame(rows)
