"""One model and strategy closely: the tables behind the close-ups of a transfer study."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd

from medcal_nb import measure
from medcal_nb.measure.rows import halves, image_labels, measured, side_name
from medcal_nb.measure.rows import rows_where as _rows

from ._families import FAMILIES, expit, logit
from .fusion import scores_of
from .maps import arrays_of, assign_folds, by_fold, choose_clip, corrected, fit
from .paired import Resamples, mean, paired
from .transfer import N_FOLDS, refuse_shared, select

TEMPERATURES = (0.5, 2.0, 5.0)
CLIPS = (0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 1e-3, 1e-4, 1e-6)


def correction_stages(
    graded: pd.DataFrame, *, source: dict, target: dict, method: str, rng: np.random.Generator
) -> pd.DataFrame:
    """Confidences before and after a map, stacked under a column ``stage``.

    The stages: source and target as stated; the target with a map of the source's labels; the
    target with a map of its own labels, cross-fitted by image. One clip for all, as in
    :func:`transfer_study`; ``fold`` tells cross-fitted maps apart.
    """
    learn, judge = (measured(select(graded, where)) for where in (source, target))
    refuse_shared(learn, judge, "source and target")
    clip = choose_clip(np.r_[learn["confidence"], judge["confidence"]].astype(float))
    (c, y), (cj, yj) = (arrays_of(rows, method) for rows in (learn, judge))
    fitted = fit(c, y, method=method, images=image_labels(learn), clip=clip)
    fold = assign_folds(image_labels(judge), N_FOLDS, rng=rng)
    carried = fitted.apply(cj, images=image_labels(judge))
    refitted = by_fold(partial(fit, method=method, clip=clip), cj, yj, fold)
    to = side_name(target)
    stages = {
        f"{side_name(source)}, as stated": learn.assign(fold=-1),
        f"{to}, as stated": judge.assign(fold=-1),
        f"{to}, corrected with {side_name(source, of='labels')}": judge.assign(
            confidence=_leading(carried), fold=-1
        ),
        f"{to}, corrected with {side_name(target, of='labels')} (cross-fitted)": judge.assign(
            confidence=_leading(refitted), fold=fold
        ),
    }
    return pd.concat([rows.assign(stage=stage) for stage, rows in stages.items()])


def _leading(values):
    return values if values.ndim == 1 else np.nanmax(values, axis=1)


def stage_scores(
    stages: pd.DataFrame, *, n_bins: int = 15, n_resamples: int = 1000, level: float = 0.95, rng
) -> pd.DataFrame:
    """Accuracy, mean confidence, ECE, Brier score and AUROC (within folds) per stage.

    The interval of the ECE is that of :func:`medcal_nb.measure.ece_interval`.
    """
    settings = {"level": level, "n_resamples": n_resamples, "rng": rng}
    table = paired(stages, ["stage"], scores_of, **settings).drop(columns="aurc")
    made, ends = getattr(measure, "ece_interval", None), []
    for stage in table["stage"]:
        part = stages[stages["stage"] == stage]
        c, y = part["confidence"].to_numpy(float), part["correct"].to_numpy(float)
        groups = image_labels(part)
        ends.append(made and made(c, y, n_bins=n_bins, level=level, groups=groups, rng=rng))
    for name in ("low", "high"):
        table[f"ece_{name}"] = [getattr(end, name, np.nan) for end in ends]
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
    parts = {
        "source": select(graded, source),
        "labels": learn,
        "judged": pd.concat([judge, select(graded, target)]),
    }
    both = pd.concat([part.assign(part=name) for name, part in parts.items()], ignore_index=True)
    names = {"source": "source", "target": "labels", "judged": "judged"}
    return both, {side: {"part": name} for side, name in names.items()}


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
    confidence, correct = arrays_of(used, "log_odds")
    grid = np.linspace(0.005, 0.995, 100)
    maps = {f"T = {t:g}": expit(logit(grid, 1e-12) / t) for t in TEMPERATURES}
    fitted = fit(confidence, correct, method="log_odds")
    maps[f"T fitted ({fitted.params['temperature']:.2f})"] = fitted(grid)
    maps["Platt fitted"] = fit(confidence, correct, method="platt")(grid)
    rows = [
        pd.DataFrame({"trap": "map", "series": name, "x": grid, "y": values, "n": len(correct)})
        for name, values in maps.items()
    ]
    name = graded["strategy"].iloc[0]
    if among is not None:
        there = measured(select(among, source))
        certain = there.loc[there["confidence"] == 1, "strategy"].value_counts()
        if len(certain):
            name = certain.index[0]
            used = there[there["strategy"] == name]
            confidence, correct = arrays_of(used, "log_odds")
    drawn = Resamples(image_labels(used), n_resamples, rng)
    weights, family = drawn.counts[:, drawn.codes(image_labels(used))], FAMILIES["log_odds"]
    for clip in CLIPS:
        t = family.fit(family.features(confidence, clip), correct, weights)[:, 0]
        low, high = np.quantile(t[1:], [(1 - level) / 2, (1 + level) / 2])
        one = {"trap": "clip", "series": name, "x": clip, "y": t[0], "y_low": low, "y_high": high}
        rows.append(pd.DataFrame([one | {"n": len(correct)}]))
    return pd.concat(rows, ignore_index=True)


def true_cost(
    graded: pd.DataFrame, fresh: pd.DataFrame, *, source: dict, target: dict, method: str,
    n_resamples: int = 200, rng: np.random.Generator,
) -> pd.DataFrame:  # fmt: skip
    """What carrying over really costs, on fresh items that nothing was fitted on.

    Like is compared with like: the maps have the clip and the folds of :func:`transfer_study`;
    the target's loss is the mean over its five maps, each fitted on four fifths of the labels.

    Parameters
    ----------
    graded : DataFrame
        Of one model and strategy; maps are fitted on its source and on its target rows.
    fresh : DataFrame
        Graded answers of the same model and strategy on many fresh target items.

    Returns
    -------
    DataFrame
        ``loss`` (brier, log_loss), raw, source, target, ``cost`` = source - target and its
        standard_error by image, n, n_images.

    Raises
    ------
    ValueError
        If a fresh image is one that a map was fitted on.
    """
    learn, judge = (measured(select(graded, where)) for where in (source, target))
    kept = measured(fresh)
    refuse_shared(pd.concat([learn, judge]), kept, "fitted on and fresh")
    clip = choose_clip(np.r_[learn["confidence"], judge["confidence"]].astype(float))
    made, (c, y) = partial(fit, method=method, clip=clip), arrays_of(judge, method)
    fresh_c, _ = arrays_of(kept, method)
    fold = assign_folds(image_labels(judge), N_FOLDS, rng=rng)
    maps = {
        "raw": [kept["confidence"].to_numpy(float)],
        "source": [_leading(made(*arrays_of(learn, method))(fresh_c))],
        "target": [_leading(made(c[fold != k], y[fold != k])(fresh_c)) for k in range(N_FOLDS)],
    }
    correct = kept["correct"].to_numpy(float)
    drawn = Resamples(image_labels(kept), n_resamples, rng)
    w = drawn.counts[:, drawn.codes(image_labels(kept))]
    losses = {
        "brier": lambda p: (p - correct) ** 2,
        "log_loss": lambda p: -np.log(np.clip(np.where(correct == 1, p, 1 - p), clip, 1 - clip)),
    }
    rows = []
    for name, loss in losses.items():
        each = {key: np.mean([loss(p) for p in ps], axis=0) for key, ps in maps.items()}
        cost = mean(w, each["source"] - each["target"])
        rows.append(
            {"loss": name} | {key: v.mean() for key, v in each.items()}
            | {"cost": cost[0], "standard_error": float(np.std(cost[1:]))}
            | {"n": len(kept), "n_images": len(drawn.names)}
        )  # fmt: skip
    return pd.DataFrame(rows)


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
        learn, judge = (measured(_rows(rows, where)) for where in (source, target))
        refuse_shared(learn, judge, "source and target")
        teach, choose = halves(learn, rng=np.random.default_rng(halved))
        used = {"as stated": lambda c: c}
        if len(teach):
            used[f"corrected with {side_name(source, of='labels')}"] = fit(
                *arrays_of(teach, method), method=method
            )
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
            names = [f"{side_name(source)}, as stated", "as stated"]
            names += [side_name(source, of="labels"), own]
            used = dict(zip(stages["stage"].unique(), names, strict=True))
            stages = stages[stages["stage"] != names[0]]
            parts.append(stages.assign(**{"labels used": stages["stage"].map(used)}))
        else:
            both = corrected(_rows(rows, target), method, rng=rng)
            used = np.where(both["map"] == "as stated", "as stated", own)
            parts.append(both.assign(**{"labels used": used}))
    return pd.concat(parts, ignore_index=True)


def voters(
    graded: pd.DataFrame, target: dict, models: Sequence[str], strategies: Sequence[str]
) -> pd.DataFrame:
    """The graded answers that a fusion takes its votes from.

    The wanted models, strategies and rows where they exist, else all. Where there is one strategy
    only, every model becomes a strategy of one "committee".
    Where no row tells its answer, none is left out for it, and there is no committee: the answers
    of two models are not the same one (see :func:`one_answer`).
    """
    texts = graded["answer"].notna()
    told = graded[texts.groupby([graded["model"], graded["strategy"]]).transform("any")]
    told = graded if told.empty else told
    rows = _rows(told, target)
    if rows.empty:
        rows = told[told["dataset"] == list(told["dataset"].unique())[-1]]
    several = rows["model"].nunique() > 1 and rows["answer"].notna().any()
    if rows["strategy"].nunique() == 1 and several:
        return rows.assign(strategy=rows["model"], model="committee")
    for column, wanted in (("model", models), ("strategy", strategies)):
        known = rows[column].isin(list(wanted))
        rows = rows[known] if known.any() else rows
    return rows


def pareto_front(table: pd.DataFrame, *, cost: str, loss: str) -> pd.DataFrame:
    """The rows that no other beats: none costs at most as much and loses less, or reverse.

    From the cheapest to the most expensive, each with a lower loss than the one before; of equal
    rows the first is kept.
    """
    rows = table.sort_values([cost, loss], kind="stable")
    return rows[rows[loss] < rows[loss].cummin().shift(fill_value=np.inf)]
