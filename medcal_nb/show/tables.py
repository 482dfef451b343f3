"""The numbers of figures that several rooms feed: tidy tables, one row per mark."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from medcal_nb.errors import NotEnough
from medcal_nb.measure import Interval, metrics_table, reliability_table, wilson_interval
from medcal_nb.measure.rows import (  # noqa: F401
    arrays,
    by_group,
    halves,
    image_labels,
    measured,
    pick,
    rows_where,
    side_name,
    sides,
    strategies_on,
    with_group,
)
from medcal_nb.measure.tables import histogram_table  # noqa: F401
from medcal_nb.show.style import label_of


def reliability_panels(graded: pd.DataFrame, *, by: Sequence[str], **options) -> pd.DataFrame:
    """Return the reliability tables of several groups, stacked."""
    return by_group(graded, by, reliability_table, **options)


def below_note(scores: pd.DataFrame, metric: str = "ece", *, see: str) -> str:
    """Return how many values lie outside their own interval, and why; "" where none does."""
    value = scores[metric]
    out = (value < scores[f"{metric}_low"]) | (value > scores[f"{metric}_high"])
    if not out.any():
        return ""
    return (
        f"{out.sum()} of {value.notna().sum()} {label_of(metric)} values lie outside their own "
        f"interval: chance adds to a plain ECE, and the interval allows for it (see {see})."
    )


def interval_note(table: pd.DataFrame, metric: str, **where) -> str:
    """Return ``ECE 0.083 [0.071, 0.096]`` for the one row of a metrics table that is meant.

    Raises
    ------
    ValueError
        If no row, or more than one, has the values of ``where``.
    """
    mask = np.logical_and.reduce([table[column] == value for column, value in where.items()])
    rows = table[mask]
    if len(rows) != 1:
        raise ValueError(f"where: {len(rows)} rows match {where}, not one")
    row = rows.iloc[0]
    bounds = Interval(row[f"{metric}_low"], row[metric], row[f"{metric}_high"])
    return f"{label_of(metric)} {bounds}"


def with_counts(table: pd.DataFrame, verdicts: pd.DataFrame, *, by: Sequence[str]) -> pd.DataFrame:
    """Return a table with ``n``: how many verdicts of a row's group could be measured."""
    if table.empty:
        return table
    counts = measured(verdicts).groupby(list(by)).size().rename("n").reset_index()
    return table.merge(counts, on=list(by), how="left")


def elicitation_table(answers: pd.DataFrame, verdicts: pd.DataFrame) -> pd.DataFrame:
    """Return what each way of asking costs and yields, per model, data set and strategy.

    Parameters
    ----------
    answers : pandas.DataFrame
        The answers table: replies, several per item where a strategy samples.
    verdicts : pandas.DataFrame
        What they became.

    Returns
    -------
    pandas.DataFrame
        ``model, dataset, strategy, items, replies_per_item, prompt_tokens, new_tokens, seconds``
        (the last three per item), ``parse_rate`` (share of replies that could be read),
        ``confidence_rate`` (share of items that got a confidence), both with their 95 % Wilson
        intervals, ``levels`` (distinct confidences), ``mean_confidence``, ``accuracy`` (of graded
        verdicts).
    """
    keys = ["model", "dataset", "strategy"]
    replies = answers.groupby(keys, sort=False).agg(
        replies=("item_id", "size"),
        items=("item_id", "nunique"),
        prompt_tokens=("prompt_tokens", "sum"),
        new_tokens=("new_tokens", "sum"),
        seconds=("seconds", "sum"),
        parsed=("parse_ok", "sum"),
        told=("parse_ok", "count"),
    )
    made = verdicts.groupby(keys, sort=False).agg(
        confident=("confidence", "count"),
        verdicts=("confidence", "size"),
        levels=("confidence", lambda c: c.round(4).nunique()),
        mean_confidence=("confidence", "mean"),
        accuracy=("correct", lambda y: y.dropna().astype(float).mean()),
    )
    _add_share(replies, "parse_rate", replies.pop("parsed"), replies.pop("told"))
    _add_share(made, "confidence_rate", made.pop("confident"), made.pop("verdicts"))
    replies.insert(0, "replies_per_item", replies.pop("replies") / replies["items"])
    for column in ("prompt_tokens", "new_tokens", "seconds"):
        replies[column] = replies[column].astype(float) / replies["items"]
    return replies.join(made, how="outer").reset_index()


def _add_share(table: pd.DataFrame, name: str, count: pd.Series, of: pd.Series) -> None:
    table[name] = count.astype(float) / of
    table[f"{name}_low"], table[f"{name}_high"] = wilson_interval(
        count.to_numpy(float), of.to_numpy(float)
    )


def correction_stages(
    verdicts: pd.DataFrame, *, source: dict, target: dict, fit: Callable, rng: np.random.Generator
) -> pd.DataFrame:
    """Return confidences before and after correction, stacked under a column ``stage``.

    The stages: the source and the target as stated; the target after a fit on the source; the
    target after a fit on itself, cross-fitted by image.

    Parameters
    ----------
    verdicts : pandas.DataFrame
        Of one model and strategy.
    fit : callable
        One of :data:`medcal_nb.correct.FITS`.
    """
    from medcal_nb.correct import cross_fit

    learn, judge = (measured(rows_where(verdicts, where)) for where in (source, target))
    keys = ["dataset", "item_id"]
    fitted = fit(*arrays(learn), items=list(map(tuple, learn[keys].values)))
    confidence, correct = arrays(judge)
    images = judge["image_id"].fillna(judge["item_id"]).to_numpy()
    carried = fitted.apply(confidence, items=list(map(tuple, judge[keys].values)))
    refitted = cross_fit(fit, confidence, correct, images, rng=rng)
    names = side_name(source), side_name(target)
    stages = {
        f"{names[0]}, as stated": learn,
        f"{names[1]}, as stated": judge,
        f"{names[1]}, corrected on {names[0]}": judge.assign(confidence=carried),
        f"{names[1]}, corrected on themselves": judge.assign(confidence=refitted),
    }
    return pd.concat([rows.assign(stage=stage) for stage, rows in stages.items()])


def stage_scores(
    stages: pd.DataFrame, *, n_bins: int, n_resamples: int, level: float = 0.95, rng
) -> pd.DataFrame:
    """Return ECE, Brier score and the like per stage, in the order of the stages."""
    wanted = ("accuracy", "mean_confidence", "ece", "brier", "auroc")
    table = metrics_table(
        stages,
        by=("stage",),
        n_bins=n_bins,
        level=level,
        n_resamples=n_resamples,
        metrics=wanted,
        intervals=wanted,
        rng=rng,
    )
    order = pick([], stages["stage"], n=len(table))
    return table.set_index("stage").loc[order].reset_index()


_FITTED_ON = {
    "raw": "nothing",
    "source": "source",
    "target": "target",
    "pooled": "both",
    "shrunken": "shrunken",
    "modality": "by modality",
}


def fitted_on_table(transfer: pd.DataFrame) -> pd.DataFrame:
    """Turn rows of a transfer table to one line per method and what it was fitted on.

    Returns
    -------
    pandas.DataFrame
        ``method, fitted on, n_target`` and, per loss, its value with ``_low`` and ``_high``.
    """
    lines: dict[tuple, dict] = {}
    for row in transfer.to_dict("records"):
        for key, name in _FITTED_ON.items():
            if pd.isna(row.get(f"loss_{key}", np.nan)):
                continue
            line = lines.setdefault((row["method"], name), {})
            line["method"], line["fitted on"] = row["method"], name
            line["n_target"] = row["n_target"]
            for end in ("", "_low", "_high"):
                line[f"{row['loss']}{end}"] = row.get(f"loss_{key}{end}", np.nan)
    return pd.DataFrame(lines.values())


def added_gains(transfer: pd.DataFrame, losses: Sequence[str]) -> pd.DataFrame:
    """Return what target labels add to carrying over, by how they are used.

    Parameters
    ----------
    transfer : pandas.DataFrame
        Rows of a transfer table, of one model and strategy.
    losses : sequence of str
        Which losses.

    Returns
    -------
    pandas.DataFrame
        ``loss, method, labels used`` (alone, with the source's, to move the source's map, by
        modality) and ``gain``, the loss of carrying over minus the loss then, with ``gain_low``
        and ``gain_high``.
    """
    used = {
        "regret": "alone",
        "pooled_gain": "with the source's",
        "shrunken_gain": "to move the source's map",
        "modality_gain": "by modality",
    }
    return pd.DataFrame(
        {"loss": row["loss"], "method": row["method"], "labels used": name}
        | {f"gain{end}": row.get(f"{key}{end}", np.nan) for end in ("", "_low", "_high")}
        for row in transfer.to_dict("records")
        for key, name in used.items()
        if row["loss"] in losses and not pd.isna(row.get(key, np.nan))
    )


def label_sides(
    verdicts: pd.DataFrame,
    fresh: pd.DataFrame,
    *,
    source: dict,
    target: dict,
    more_target: dict,
    rng: np.random.Generator,
) -> tuple[pd.DataFrame, dict]:
    """Return the rows of a label-efficiency study and which of them do what.

    With fresh items, labels are drawn from half of their images, and the other half and the
    target's rows are scored: all are of one kind, and there are enough of them for draws that
    share little. Without, labels and scored rows are drawn from ``more_target``.

    Parameters
    ----------
    verdicts : pandas.DataFrame
        Of one model and strategy.
    fresh : pandas.DataFrame
        Verdicts on fresh items of the target's kind; may be empty.

    Returns
    -------
    tuple
        The verdicts, and ``source, target, judged`` for
        :func:`medcal_nb.correct.label_efficiency_study`.
    """
    if fresh.empty:
        return verdicts, {"source": source, "target": more_target}
    learn, judge = halves(fresh, rng=rng)
    parts = {
        "source": rows_where(verdicts, source),
        "labels": learn,
        "judged": pd.concat([judge, rows_where(verdicts, target)]),
    }
    both = pd.concat([part.assign(part=name) for name, part in parts.items()], ignore_index=True)
    names = {"source": "source", "target": "labels", "judged": "judged"}
    return both, {side: {"part": name} for side, name in names.items()}


def about_zero(values: pd.Series) -> tuple[float, float]:
    """Return limits of colours with 0 in their middle that no value goes beyond."""
    farthest = np.abs(values).max()  # NaN where there are none
    reach = float(farthest) if farthest > 0 else 1.0
    return -reach, reach


def temperature_traps(
    verdicts: pd.DataFrame,
    *,
    source: dict,
    among: pd.DataFrame | None = None,
    temperatures: Sequence[float] = (0.5, 2.0, 5.0),
    clips: Sequence[float] = (0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 1e-3, 1e-4, 1e-6),
    level: float = 0.95,
    n_resamples: int = 100,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Show what a scalar temperature can't do, and what its clip decides.

    Parameters
    ----------
    verdicts : pandas.DataFrame
        Of one model and strategy.
    source : dict
        Rows that the temperature and the Platt map are fitted on.
    among : pandas.DataFrame, optional
        Verdicts of several strategies. The clip is shown on the one that states 100 % most often;
        where none does, and by default, on `verdicts`.
    temperatures : sequence of float
        Fixed temperatures whose maps are shown beside the fitted ones.
    clips : sequence of float
        Confidences are moved into ``[clip, 1 - clip]`` before the fit.
    level, n_resamples, rng
        Of the fitted temperatures' intervals: images drawn again, and the fit repeated.

    Returns
    -------
    pandas.DataFrame
        ``trap`` is ``map`` (``x`` stated, ``y`` corrected confidence, ``series`` the map) or
        ``clip`` (``x`` the clip, ``y`` the fitted temperature with ``y_low`` and ``y_high``); ``n``
        answers were fitted on.
    """
    from scipy.special import expit, logit

    from medcal_nb.correct import fit_platt, fit_temperature

    used = measured(rows_where(verdicts, source))
    confidence, correct = arrays(used)
    grid = np.linspace(0.005, 0.995, 100)
    maps = {f"T = {t:g}": expit(logit(grid) / t) for t in temperatures}
    fitted = fit_temperature(confidence, correct)
    maps[f"T fitted ({fitted.params['temperature']:.2f})"] = fitted(grid)
    maps["Platt fitted"] = fit_platt(confidence, correct)(grid)
    rows = [
        pd.DataFrame({"trap": "map", "series": name, "x": grid, "y": values, "n": len(correct)})
        for name, values in maps.items()
    ]
    name = verdicts["strategy"].iloc[0]
    if among is not None:
        there = rows_where(among, source)
        certain = there.loc[there["confidence"] == 1, "strategy"].value_counts()
        if len(certain):
            name = certain.index[0]
            used = measured(there[there["strategy"] == name])
            confidence, correct = arrays(used)
    images, code = np.unique(image_labels(used), return_inverse=True)
    drawn = rng.multinomial(len(images), np.full(len(images), 1 / len(images)), size=n_resamples)
    for clip in clips:
        fitted, *again = (
            fit_temperature(confidence, correct, clip=clip, weights=weights).params["temperature"]
            for weights in (np.ones(len(code)), *drawn[:, code])
        )
        low, high = np.quantile(again, [(1 - level) / 2, (1 + level) / 2])
        one = {"trap": "clip", "series": name, "x": clip, "y": fitted, "y_low": low, "y_high": high}
        rows.append(pd.DataFrame([one | {"n": len(correct)}]))
    return pd.concat(rows, ignore_index=True)


def corrected_pair(
    verdicts: pd.DataFrame, *, source: dict, target: dict, fit: Callable, rng: np.random.Generator
) -> pd.DataFrame:
    """Return the target's verdicts as stated and after both corrections of `correction_stages`.

    The column ``confidence used`` names which: ``as stated``, ``corrected on …``.
    """
    stages = correction_stages(verdicts, source=source, target=target, fit=fit, rng=rng)
    prefix = f"{side_name(target)}, "
    kept = stages[stages["stage"].str.startswith(prefix)]
    return kept.assign(**{"confidence used": kept["stage"].str.removeprefix(prefix)})


def shifted_thresholds(
    verdicts: pd.DataFrame,
    *,
    source: dict,
    target: dict,
    fit: Callable,
    target_risk: float,
    delta: float,
) -> pd.DataFrame:
    """Return thresholds chosen on source answers and what they do on target answers.

    Once with confidences as stated, once after a correction learned on the other half of the
    source images than the threshold is chosen on; a strategy whose source answers have no
    confidence teaches none.

    Returns
    -------
    pandas.DataFrame
        ``strategy, confidence used`` and the columns of
        :func:`medcal_nb.measure.threshold_table`.
    """
    from medcal_nb.measure import threshold_table

    parts = []
    for strategy, rows in verdicts.groupby("strategy", sort=False):
        learn, judge = (measured(rows_where(rows, where)) for where in (source, target))
        teach, choose = halves(learn, rng=np.random.default_rng(0))
        changes = {"as stated": None}
        if len(teach):
            changes["corrected on the source"] = fit(*arrays(teach))
        for name, change in changes.items():
            sides_used = [
                part if change is None else part.assign(confidence=change(arrays(part)[0]))
                for part in (choose, judge)
            ]
            one = threshold_table(*sides_used, target=target_risk, delta=delta)
            one.insert(0, "confidence used", name)
            one.insert(0, "strategy", strategy)
            parts.append(one)
    return pd.concat(parts, ignore_index=True)


def stacked(*parts: pd.DataFrame) -> pd.DataFrame:
    """Return tables of several panels as one, the panel's number in a column ``panel``."""
    return pd.concat(
        [part.assign(panel=number) for number, part in enumerate(parts, 1)], ignore_index=True
    )


def voters(
    verdicts: pd.DataFrame, target: dict, models: Sequence[str], strategies: Sequence[str]
) -> pd.DataFrame:
    """Return the verdicts that a fusion takes its votes from.

    The wanted models, strategies and rows where they exist, else all. Where there is one strategy
    only, every model becomes a strategy of one "committee".

    Raises
    ------
    NotEnough
        If no verdict tells its answer: there is nothing to vote on.
    """
    if verdicts["answer"].isna().all():
        raise NotEnough(
            "the answers table says how sure and how right, but no answer: nothing to vote on; "
            "import it with a column of answers (--answer) to fuse them"
        )
    rows = rows_where(verdicts, target)
    if rows.empty:
        rows = verdicts[verdicts["dataset"] == pick([], verdicts["dataset"], n=99)[-1]]
    if rows["strategy"].nunique() == 1 and rows["model"].nunique() > 1:
        return rows.assign(strategy=rows["model"], model="committee")
    for column, wanted in (("model", models), ("strategy", strategies)):
        known = rows[column].isin(list(wanted))
        rows = rows[known] if known.any() else rows
    return rows


def ablation_table(answers: pd.DataFrame, target: dict) -> pd.DataFrame:
    """Return mean confidence and accuracy with the image and with a blank one, per model.

    Parameters
    ----------
    answers : pandas.DataFrame
        The answers table; rows of the strategy ``blank_image``, whose sample 0 saw the image and
        sample 1 the blank one.
    target : dict
        Which rows, by column; all where there are none.

    Returns
    -------
    pandas.DataFrame
        ``model, dataset, image, n, mean_confidence, accuracy``; empty where nothing was ablated.
    """
    rows = answers[answers["strategy"] == "blank_image"]
    chosen = rows_where(rows, target)
    rows = measured(chosen if len(chosen) else rows)
    seen = rows.assign(image=np.where(rows["sample"] == 0, "shown", "blank"))
    return (
        seen.assign(correct=seen["correct"].astype(float))
        .groupby(["model", "dataset", "image"], sort=False)
        .agg(
            n=("item_id", "size"),
            mean_confidence=("confidence", "mean"),
            accuracy=("correct", "mean"),
        )
        .reset_index()
    )


def true_regret(
    verdicts: pd.DataFrame,
    fresh: pd.DataFrame,
    *,
    source: dict,
    target: dict,
    fit: Callable,
    losses: dict[str, Callable],
    n_resamples: int = 100,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Return what a correction really costs or gains, on fresh items that nothing was fitted on.

    Parameters
    ----------
    verdicts : pandas.DataFrame
        Of one model and strategy; the correction is fitted on its source and on its target rows.
    fresh : pandas.DataFrame
        Verdicts of the same model and strategy on many fresh target items.
    fit : callable
        One of :data:`medcal_nb.correct.FITS`.
    losses : dict
        Name to ``loss(confidence, correct) -> float``.
    n_resamples : int
        Resamples of the fresh images behind the standard error.

    Returns
    -------
    pandas.DataFrame
        ``loss, raw, source, target, regret, standard_error, n, n_images``: the loss as stated,
        after the source's correction, after the target's; the regret of carrying over and how
        well it is known.
    """
    confidence, correct = arrays(fresh)
    kept = measured(fresh)
    names, code = np.unique(image_labels(kept), return_inverse=True)
    maps = {
        "raw": confidence,
        "source": fit(*arrays(rows_where(verdicts, source)))(confidence),
        "target": fit(*arrays(rows_where(verdicts, target)))(confidence),
    }
    drawn = [
        np.repeat(np.arange(len(code)), np.bincount(d, minlength=len(names))[code])
        for d in rng.integers(len(names), size=(n_resamples, len(names)))
    ]
    rows = []
    for name, loss in losses.items():
        values = {key: loss(moved, correct) for key, moved in maps.items()}
        regrets = [
            loss(maps["source"][i], correct[i]) - loss(maps["target"][i], correct[i]) for i in drawn
        ]
        rows.append(
            {"loss": name, **values, "regret": values["source"] - values["target"]}
            | {"standard_error": float(np.std(regrets)), "n": len(correct), "n_images": len(names)}
        )
    return pd.DataFrame(rows)


def pareto_front(table: pd.DataFrame, *, cost: str, loss: str) -> pd.DataFrame:
    """Return the rows that no other beats: none costs at most as much and loses less, or reverse.

    Returns
    -------
    pandas.DataFrame
        The rows from the cheapest to the dearest, each with a lower loss than the one before.
        Of equal rows the first is kept.
    """
    rows = table.sort_values([cost, loss], kind="stable")
    lowest = rows[loss].cummin().shift(fill_value=np.inf)
    return rows[rows[loss] < lowest]
