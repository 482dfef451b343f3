"""What a study of carrying over finds: the rows of its figures, its titles and its sentences.

Every sentence is computed: another table gives another finding, the opposite one or none.
"""

import numpy as np
import pandas as pd

from medcal_nb.measure import metrics_table
from medcal_nb.measure.rows import measured, side_name

from .closeup import correction_stages
from .maps import BY
from .transfer import NAMES, pairs, select

CALIBRATED = 0.05
"""An ECE whose whole interval lies below it counts as calibrated."""
SAYS = 0.8
"""Who trusts the number keeps the answers whose confidence is at least this."""
YIELDS = ("yield_at_5", "yield_at_10", "yield_at_20")


def _percent(share):
    return f"{100 * share:.0f} %"


def _ends(row, name):
    return f"{row[name]:.2f} [{row[f'{name}_low']:.2f}, {row[f'{name}_high']:.2f}]"


def with_told(brier: pd.DataFrame) -> pd.DataFrame:
    """Rows of a transfer table with ``told``: the conclusion, and where confidence knows nothing.

    Also ``name`` (model and strategy, or what differs of the two), dearest carrying over first.
    """
    parts = [c for c in ("model", "strategy") if brier[c].nunique() > 1] or ["model"]
    name = brier[parts].agg(", ".join, axis=1)
    blind = np.where(brier["auroc_low"] > 0.5, "", " (no order)")
    return brier.assign(name=name, told=brier["conclusion"] + blind).sort_values(
        "cost", ascending=False, kind="stable"
    )


def carry_rows(
    brier: pd.DataFrame, *, model: str, strategy: str, source: str, target: str
) -> pd.DataFrame:
    """One way of asking over all models, else all of one model: Brier scores of three stages.

    Returns
    -------
    DataFrame
        Three rows per ``label``: ``stage`` (as stated, the labels of `source`, of `target`),
        ``value`` with low and high, and ``conclusion`` in words.
    """
    rows = brier[brier["strategy"] == strategy]
    if len(rows) == 1:
        rows = brier[brier["model"] == model]
    rows = with_told(rows)
    stages = {"as stated": "raw", source: "source", target: "target"}
    parts = [
        rows[["model", "strategy"]].assign(
            label=rows["name"], stage=stage, conclusion=rows["told"], value=rows[f"loss_{key}"],
            low=rows[f"loss_{key}_low"], high=rows[f"loss_{key}_high"], outcome=rows["conclusion"],
            helps=rows["carry_change_high"] < 0, harms=rows["carry_change_low"] > 0,
        )
        for stage, key in stages.items()
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def carry_title(rows: pd.DataFrame, needed: pd.DataFrame, *, source: str, target: str) -> str:
    """The finding of the headline figure, from :func:`carry_rows` and the labels needed."""
    one = rows.drop_duplicates("label")
    count, n = one["outcome"].value_counts(), len(one)
    unit = "models" if one["model"].nunique() > 1 else "kinds of confidence"
    fine = count.get("carries over", 0) + count.get("nothing to correct", 0)
    fails, what = count.get("does not", 0), f"What {source} teach"
    helps, harms = int(one["helps"].sum()), int(one["harms"].sum())
    if count.get("nothing to correct", 0) == n:
        told = f"There is nothing to correct for {source}"
    elif fine + fails == 0:
        told = f"Whether what {source} teach carries over is undecided"
    elif n == 1:
        but = "helps but " if fails and helps else ""
        told = f"{what} {'carries over' if fine else f'{but}does not carry over'}"
    elif harms > n / 2:
        told = f"{what} makes {harms} of {n} {unit} worse than as stated"
    elif helps > n / 2 and fine < n:
        told = f"{what} helps {helps} of {n} {unit} and carries over for {fine or 'none'}"
    elif fine in (0, n):
        told = f"{what} carries over for {'all' if fine else 'none of'} {n} {unit}"
    else:
        told = f"{what} carries over for {fine} of {n} {unit}, not for {fails}"
    return f"{told}; {_labels_do(needed, target)}"


def _labels_do(needed, target):
    row = needed[needed["loss"] == "brier"].iloc[0]
    if not np.isfinite(row["n_star"]):
        return f"up to {row['n_max']:,} {target} do no better"
    may = "may do" if np.isinf(row["n_star_high"]) else "do"
    already = "already " if row["n_star"] == row["n_min"] and may == "do" else ""
    return f"{row['n_star']:,.0f} {target} {already}{may} better"


def cost_title(brier: pd.DataFrame, *, target: str) -> str:
    """How many conclusions of a figure of costs stand after Holm's correction."""
    count, n = brier["conclusion_holm"].value_counts(), len(brier)
    fails = count.get("does not", 0)
    fine = count.get("carries over", 0) + count.get("nothing to correct", 0)
    margin, row = f"{brier['margin'].iloc[0]:g}", brier.iloc[0]
    if n == 1:
        ends = f"[{row['cost_low']:.3f}, {row['cost_high']:.3f}]"
        told = f"Carrying over costs {row['cost']:.3f} {ends} of the Brier score"
        return f"{told}: {row['conclusion']}"
    if not fails and not fine:
        return f"Whether carrying over costs more than {margin} is open for all {n}"
    if fails >= fine:
        return (
            f"Without {target}, {fails} of {n} lose more than {margin} of the Brier score; "
            f"{fine or 'none'} surely {'lose' if fine != 1 else 'loses'} less"
        )
    return (
        f"{fine} of {n} do as well without {target}, within {margin} of the Brier score; "
        f"{fails or 'none'} surely {'lose' if fails != 1 else 'loses'} more"
    )


def order_sentence(brier: pd.DataFrame, *, target: str) -> str:
    """Who has no order on the target, so that no map mends it; and where T is at its bound."""
    blind = brier[~(brier["auroc_low"] > 0.5)].sort_values("auroc").drop_duplicates("model")
    if blind.empty:
        return f"Every confidence ranks right above wrong on {target}: there is something to mend."
    names = [
        f"{row['model']}, {row['strategy']} (AUROC {row['auroc']:.2f} [{row['auroc_low']:.2f}, "
        f"{row['auroc_high']:.2f}], accuracy {row['accuracy']:.2f})"
        for row in blind.head(3).to_dict("records")
    ]
    n = int((~(brier["auroc_low"] > 0.5)).sum())
    who = f"{n} of {len(brier)} confidences do" if len(brier) > 1 else "the confidence does"
    like = "such as " if n > len(names) else ""
    return (
        f"Nothing a map can mend: {who} not rank right above wrong on {target}, "
        f"{like}{'; '.join(names)}. The best that a map can do there is to say one number to "
        "everything."
    )


def rate_sentence(brier: pd.DataFrame, *, model: str, strategy: str, target: str) -> str:
    """How much a map of the target's own labels gets out of a confidence, beside one number."""
    row = brier[(brier["model"] == model) & (brier["strategy"] == strategy)].iloc[0]
    own, rate = row["loss_target"], row["loss_rate"]
    gets = "no more than" if own > rate - row["margin"] else "more than"
    return (
        f"With labels of {target} themselves the Brier score of {model}, {strategy}, is {own:.3f} "
        f"(as stated {row['loss_raw']:.3f}, carried over {row['loss_source']:.3f}); one number for "
        f"all answers, the share right, scores {rate:.3f}: within {row['margin']:g}, the "
        f"confidence tells {gets} that number."
    )


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
    names = ("accuracy", "mean_confidence", "ece", "auroc")
    sides = [
        metrics_table(
            measured(select(graded, where)), by=("model", "strategy"), metrics=names,
            intervals=names[2:], level=level, n_resamples=n_resamples, rng=rng,
        ).set_index(["model", "strategy"])
        for where in (source, target)
    ]  # fmt: skip
    for side, where in zip(sides, ("source", "target"), strict=True):
        side.columns = [
            f"{c[: -len(end)]}_{where}{end}" if end else f"{c}_{where}"
            for c in side.columns
            for end in [next((e for e in ("_low", "_high") if c.endswith(e)), "")]
        ]
    return sides[0].join(sides[1], how="inner").reset_index()


def stays_sentence(table: pd.DataFrame, *, source: str, target: str) -> str:
    """Whether calibration and order of :func:`stays_table` survive the change of images."""
    if len(table) == 1:
        told = [
            f"{name} {_ends(table.iloc[0], f'{key}_source')} on {source} and "
            f"{_ends(table.iloc[0], f'{key}_target')} on {target}"
            for key, name in (("ece", "ECE"), ("auroc", "AUROC"))
        ]
        return f"As stated, {told[0]}; {told[1]}. What order is lost no rising map gives back."
    good = table[table["ece_source_high"] < CALIBRATED]
    limit = f"(ECE surely below {CALIBRATED:g})"
    if good.empty:
        told = f"None of {len(table)} confidences is calibrated on {source} as stated {limit}."
    else:
        stays, lost = good[good["ece_target_high"] < CALIBRATED], good["ece_target"]
        told = (
            f"{len(good)} of {len(table)} confidences are calibrated on {source} as stated "
            f"{limit}; {len(stays) or 'none'} of them {'stays' if len(stays) == 1 else 'stay'} so "
            f"on {target}, where their ECE is {lost.min():.2f} to {lost.max():.2f}."
        )
    fell = int((table["auroc_target_high"] < table["auroc_source_low"]).sum())
    low, high = table["auroc_source"].median(), table["auroc_target"].median()
    return (
        f"{told} The order of right and wrong answers, AUROC, has median {low:.2f} on {source} and "
        f"{high:.2f} on {target}; for {fell} of {len(table)} its intervals lie apart, the one on "
        f"{target} lower. What order is lost no rising map gives back."
    )


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
    prefix, rows = f"{side_name(target)}, ", []
    for key, left, right in pairs(graded, source, target):
        stages = correction_stages(
            pd.concat([left, right]), source=source, target=target, method=method, rng=rng
        )
        row = dict(zip(BY, key, strict=True)) | {"n": len(right)}
        for (_, part), short in zip(
            [g for g in stages.groupby("stage", sort=False) if g[0].startswith(prefix)],
            ("raw", "source", "target"), strict=True,
        ):  # fmt: skip
            one = metrics_table(part, by=[], metrics=["ece", *YIELDS], intervals=(), rng=rng)
            sure = part[part["confidence"] >= SAYS]
            row |= {f"{name}_{short}": one[name].iloc[0] for name in ("ece", *YIELDS)}
            row |= {f"kept_{short}": len(sure) / len(part)}
            row |= {f"wrong_{short}": 1 - sure["correct"].astype(float).mean()}
        rows.append(row)
    return pd.DataFrame(rows)


def yield_sentence(table: pd.DataFrame, strategy: str) -> str:
    """Does carrying over change what may stand alone, and what trusting the number gives?"""
    raw, carried = (table[f"yield_at_20_{stage}"] for stage in ("raw", "source"))
    falls, n = int((table["ece_source"] < table["ece_raw"]).sum()), len(table)
    stays, best = int(((carried - raw).abs() < 0.01).sum()), table.loc[raw.idxmax()]
    most = (
        f"the most is {_percent(best['yield_at_20_raw'])}, {best['strategy']}, and "
        f"{_percent(best['yield_at_20_source'])} after the map"
        if raw.max() > 0
        else "as stated, no answer may stand alone at that"
    )
    one = table[table["strategy"] == strategy].iloc[0]

    def said(stage):
        kept, wrong = one[f"kept_{stage}"], one[f"wrong_{stage}"]
        return f"{_percent(kept)} of the answers" + (f", {_percent(wrong)} wrong" if kept else "")

    why = ": a rising map changes no order" if stays == n else ""
    does = (
        f"lowers ECE for {falls} of {n} kinds of confidence and leaves the yield at 20 % errors "
        f"allowed where it was, within one point, for {stays} of {n}"
    )
    if n == 1:
        does = (
            f"{'lowers' if falls else 'does not lower'} ECE and {'leaves' if stays else 'moves'} "
            "the yield at 20 % errors allowed"
        )
    agrees = falls > n / 2 and stays == n
    known = f"arXiv 2606.15910 reports {'the same' if agrees else 'lower ECE and the same yield'}."
    return (
        f"The carried-over map {does} ({most}){why}. {known} What changes is what trusting the "
        f"number gives: those that say at least {_percent(SAYS)} are {said('raw')}, as stated, and "
        f"{said('source')}, after it ({strategy})."
    )


def parts_title(parts: pd.DataFrame) -> str:
    """Is what carrying over costs a matter of prior or of slope, on average over the rows?"""
    rows = parts[parts["part"].isin(["prior", "conditional"])]
    if not (rows["low"] > 0).any():
        return "No part of what carrying over costs can be told from chance"
    mean = parts.groupby("part")["value"].mean()
    both = mean["prior"] + mean["conditional"]
    if mean["prior"] >= mean["conditional"]:
        told = "another share of right answers: one number mends"
    else:
        told = "another slope: one number leaves it, a second mends"
    most = max(mean["prior"], mean["conditional"])
    return f"Most of what carrying over costs is {told} {most:.3f} of {both:.3f}"


def parts_sentence(parts: pd.DataFrame) -> str:
    """The mean of each part, with how many rows' intervals lie above 0."""
    told = [
        f"{name} {rows['value'].mean():+.3f} ({int((rows['low'] > 0).sum())} of {len(rows)} above "
        "0)"
        for name, rows in parts.groupby("part", sort=False)
    ]
    return f"Mean change of the Brier score by part: {', '.join(told)}."


def modalities_title(pairs: pd.DataFrame) -> str:
    """How many of the maps from elsewhere help, and how many harm."""
    away = pairs[pairs["fitted_on"] != pairs["applied_to"]]
    outside = ~away["fitted_on"].isin(away["applied_to"])

    def said(part):
        helps, harms = (part["change_high"] < 0).sum(), (part["change_low"] > 0).sum()
        return f"{helps or 'none'} of {len(part)} surely help, {harms or 'none'} surely harm"

    if not outside.any() or outside.all():
        return f"Of maps used elsewhere, {said(away)}"
    name = away.loc[outside, "fitted_on"].iloc[0]
    return (
        f"Of other groups' maps, {said(away[~outside])}; of that of {name}, {said(away[outside])}"
    )


def traps_title(traps: pd.DataFrame) -> str:
    """What the two traps cost here: one half is never crossed, and the bound decides T."""
    clip = traps[traps["trap"] == "clip"]
    low, high = clip["y"].min(), clip["y"].max()
    told = "Dividing the log-odds never crosses one half"
    if high > 1.1 * low:
        return f"{told}, and what 100 % is moved to decides T: {low:.1f} to {high:.1f}"
    return f"{told}; the bound on 100 % hardly matters here (T {low:.2f} to {high:.2f})"


def method_name(method: str) -> str:
    """What a sentence calls a map."""
    return NAMES.get(method, method)
