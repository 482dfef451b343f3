"""What the tables of this room show, in words: titles of figures and sentences.

Every one is computed: another table gives another finding, the opposite one or none. Names of
``source`` and ``target`` are what a reader calls them.
"""

import numpy as np
import pandas as pd

from .transfer import CONCLUSIONS

CALIBRATED = 0.05
"""An ECE whose whole interval lies below it counts as calibrated."""
SAYS = 0.8
"""Who trusts the number keeps the answers whose confidence is at least this."""
NAMES = {"log_odds": "log-odds scaling", "platt": "Platt scaling", "beta": "beta calibration",
         "temperature": "temperature scaling of all options",
         "isotonic": "isotonic regression"}  # fmt: skip


def method_name(method: str) -> str:
    """What a sentence calls a map."""
    return NAMES.get(method, method)


def _ends(row, name, form=".3f"):
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return f"{row[name]:{form}} [{low:{form}}, {high:{form}}]"


def _none(count):
    return count or "none"


def _first_up(text):
    return text[0].upper() + text[1:]


# --- carrying over ------------------------------------------------------------------------------


def with_told(brier: pd.DataFrame) -> pd.DataFrame:
    """Rows of a transfer table with ``told``: the conclusion, and where confidence knows nothing.

    Also ``name`` (model and strategy, or what differs of the two), dearest carrying over first.
    """
    parts = [c for c in ("model", "strategy") if brier[c].nunique() > 1] or ["model"]
    blind = np.where(brier["auroc_low"] > 0.5, "", " (no order)")
    rows = brier.assign(name=brier[parts].agg(", ".join, axis=1), told=brier["conclusion"] + blind)
    return rows.sort_values("cost", ascending=False, kind="stable")


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
    rows = with_told(rows if len(rows) > 1 else brier[brier["model"] == model])
    stages = {"as stated": "loss_raw", source: "loss_source", target: "loss_target"}
    return pd.concat(
        [
            rows[["model", "strategy"]].assign(
                label=rows["name"], stage=stage, conclusion=rows["told"], value=rows[key],
                low=rows[f"{key}_low"], high=rows[f"{key}_high"], outcome=rows["conclusion"],
                helps=rows["carry_change_high"] < 0, harms=rows["carry_change_low"] > 0,
            )
            for stage, key in stages.items()
        ],
        ignore_index=True,
    )  # fmt: skip


def carry_title(rows: pd.DataFrame, needed: pd.DataFrame, *, source: str, target: str) -> str:
    """The finding of the headline figure, from :func:`carry_rows` and the labels needed."""
    one = rows.drop_duplicates("label")
    count, n, what = one["outcome"].value_counts(), len(one), f"What {source} teach"
    fine, fails = _fine(count), count.get("does not", 0)
    helps, harms = int(one["helps"].sum()), int(one["harms"].sum())
    of_all = f"{n} {'models' if one['model'].nunique() > 1 else 'kinds of confidence'}"
    if count.get("nothing to correct", 0) == n:
        told = f"There is nothing to correct for {source}"
    elif fine + fails == 0:
        told = f"Whether what {source} teach carries over is undecided"
    elif n == 1:
        but = "helps but " if helps else ""
        told = f"{what} {'carries over' if fine else f'{but}does not carry over'}"
    elif harms > n / 2:
        told = f"{what} makes {harms} of {of_all} worse than as stated"
    elif helps > n / 2 and fine < n:
        told = f"{what} helps {helps} of {of_all} and carries over for {_none(fine)}"
    elif n in (fine, fails):
        told = f"{what} carries over for {'all' if fine else 'none of'} {of_all}"
    else:
        told = f"{what} surely carries over for {_none(fine)} of {of_all}, surely not for {fails}"
    row = needed.iloc[0]
    if not np.isfinite(row["n_star"]):
        return f"{told}; up to {row['n_max']:,.0f} {target} do no better"
    may = "may do" if np.isinf(row["n_star_high"]) else "do"
    already = "already " if row["n_star"] == row["n_min"] and may == "do" else ""
    return f"{told}; {row['n_star']:,.0f} {target} {already}{may} better"


def _fine(count):
    return count.get("carries over", 0) + count.get("nothing to correct", 0)


def cost_title(brier: pd.DataFrame, *, target: str) -> str:
    """How many conclusions of a figure of costs stand after Holm's correction."""
    count, n, row = brier["conclusion_holm"].value_counts(), len(brier), brier.iloc[0]
    fails, fine, margin = count.get("does not", 0), _fine(count), f"{row['margin']:g}"
    if n == 1:
        cost = f"{_ends(row, 'cost')} of the Brier score"
        return f"Carrying over costs {cost}: {row['conclusion']}"
    if not fails and not fine:
        return f"Whether carrying over costs more than {margin} is open for all {n}"
    many, few = (fails, fine) if fails >= fine else (fine, fails)
    surely = f"{_none(few)} surely {'loses' if few == 1 else 'lose'}"
    if fails >= fine:
        return (
            f"Without {target}, {many} of {n} lose more than {margin} of the Brier score; "
            f"{surely} less"
        )
    return (
        f"{many} of {n} do as well without {target}, within {margin} of the Brier score; "
        f"{surely} more"
    )


def transfer_sentence(
    table: pd.DataFrame, *, method: str = "log_odds", level: float = 0.95,
    source: str = "general images", target: str = "medical images",
) -> str:  # fmt: skip
    """The conclusions on carrying over, from the Brier scores of a transfer table.

    Raises
    ------
    ValueError
        If the table has no row of that method.
    """
    part = table[(table["method"] == method) & (table["loss"] == "brier")]
    if part.empty:
        raise ValueError(f"no rows with method {method!r}")
    n, row, margin = len(part), part.iloc[0], f"{part['margin'].iloc[0]:g}"
    told_of = f"{_first_up(method_name(method))}, fitted on {source} and used on {target}"
    if n == 1:
        carry, cost = _ends(row, "carry_change", "+.3f"), _ends(row, "cost", "+.3f")
        return (
            f"{told_of}, changes the Brier score by {carry} against what is stated and by {cost} "
            f"against a refit, margin {margin}: {row['conclusion']}."
        )
    count, held = (part[name].value_counts() for name in ("conclusion", "conclusion_holm"))
    holm = {k: f" ({held.get(k, 0)} after Holm's correction)" for k in CONCLUSIONS[:3]}
    told = "; ".join(f"{k}: {count[k]}{holm.get(k, '')}" for k in CONCLUSIONS if k in count)
    lowers, raises = (part["carry_change_high"] < 0).sum(), (part["carry_change_low"] > 0).sum()
    cost = part["cost"]
    return (
        f"{told_of}, {n} models and kinds of confidence. Against a refit, within {margin} of the "
        f"Brier score: {told}. Carrying over lowers the Brier score for {lowers} and raises it for "
        f"{raises} (about {n * (1 - level) / 2:.1f} each by chance alone, were there no change). "
        f"The confidence ranks right above wrong on {target} (AUROC above ½) for "
        f"{(part['auroc_low'] > 0.5).sum()} of {n}. The cost of carrying over has median "
        f"{cost.median():+.3f}, from {cost.min():+.3f} to {cost.max():+.3f}."
    )


def order_sentence(brier: pd.DataFrame, *, target: str) -> str:
    """Which confidences have no order on the target, so that no map mends them."""
    blind = brier[~(brier["auroc_low"] > 0.5)].sort_values("auroc")
    if blind.empty:
        return f"Every confidence ranks right above wrong on {target}: there is something to mend."
    shown = blind.drop_duplicates("model").head(3)
    names = [
        f"{row['model']}, {row['strategy']} (AUROC {_ends(row, 'auroc', '.2f')}, accuracy "
        f"{row['accuracy']:.2f})"
        for row in shown.to_dict("records")
    ]
    who = (
        f"{len(blind)} of {len(brier)} confidences do" if len(brier) > 1 else "the confidence does"
    )
    return (
        f"Nothing a map can mend: {who} not rank right above wrong on {target}, "
        f"{'such as ' if len(blind) > len(shown) else ''}{'; '.join(names)}. The best that a map "
        "can do there is to say one number to everything."
    )


def rate_sentence(brier: pd.DataFrame, *, model: str, strategy: str, target: str) -> str:
    """How much a map of the target's own labels gets out of a confidence, beside one number."""
    row = brier[(brier["model"] == model) & (brier["strategy"] == strategy)].iloc[0]
    own, rate, margin = row["loss_target"], row["loss_rate"], row["margin"]
    return (
        f"With labels of {target} themselves the Brier score of {model}, {strategy}, is {own:.3f} "
        f"(as stated {row['loss_raw']:.3f}, carried over {row['loss_source']:.3f}); one number for "
        f"all answers, the share right, scores {rate:.3f}: within {margin:g}, the confidence tells "
        f"{'no more than' if own > rate - margin else 'more than'} that number."
    )


def labels_sentence(
    needed: pd.DataFrame, *, level: float = 0.95, target: str = "medical images"
) -> str:
    """How many labels until refitting pays, from the one row of a table of labels needed."""
    (row,) = needed.to_dict("records")

    def said(n):
        if not np.isfinite(n):
            return f"more than {row['n_max']:,}"
        return f"{n:,.0f} or fewer" if n == row["n_min"] else f"{n:,.0f}"

    ends = dict.fromkeys((said(row["n_star_low"]), said(row["n_star_high"])))
    band = f" ({100 * level:.0f} % interval: {' to '.join(ends)})" if row["n_star_low"] > 0 else ""
    pays = f"from {said(row['n_star'])} labels on"
    if not np.isfinite(row["n_star"]):
        pays = f"not at up to {row['n_max']:,} labels"
    return (
        f"On {target}, refitting has a lower Brier score than carrying over {pays}{band}; starting "
        "from the carried-over map and moving it with the labels beats refitting at "
        f"{row['adapting_beats'] or 'no number of'} labels. Numbers tried: from {row['n_min']:,} "
        f"to {row['n_max']:,}."
    )


# --- what stays, and what a map is good for -------------------------------------------------------


def stays_sentence(table: pd.DataFrame, *, source: str, target: str) -> str:
    """Whether calibration and order of a table of what stays survive the change of images."""
    lost = "What order is lost no rising map gives back."
    if len(table) == 1:
        ece, auroc = (
            f"{_ends(table.iloc[0], f'{key}_source', '.2f')} on {source} and "
            f"{_ends(table.iloc[0], f'{key}_target', '.2f')} on {target}"
            for key in ("ece", "auroc")
        )
        return f"As stated, ECE {ece}; AUROC {auroc}. {lost}"
    good = table[table["ece_source_high"] < CALIBRATED]
    stays, there = int((good["ece_target_high"] < CALIBRATED).sum()), good["ece_target"]
    told = (
        f"{_none(len(good))} of {len(table)} confidences {'is' if len(good) < 2 else 'are'} "
        f"calibrated on {source} as stated (ECE surely below {CALIBRATED:g})"
    )
    if len(good):
        told += (
            f"; {_none(stays)} of them {'stays' if stays == 1 else 'stay'} so on {target}, where "
            f"their ECE is {there.min():.2f} to {there.max():.2f}"
        )
    fell = int((table["auroc_target_high"] < table["auroc_source_low"]).sum())
    return (
        f"{_first_up(told)}. The order of right and wrong answers, AUROC, has median "
        f"{table['auroc_source'].median():.2f} on {source} and "
        f"{table['auroc_target'].median():.2f} on {target}; for {fell} of {len(table)} its "
        f"intervals lie apart, the one on {target} lower. {lost}"
    )


def yield_sentence(table: pd.DataFrame, strategy: str) -> str:
    """Does carrying over change what may stand alone, and what trusting the number gives?"""
    raw, carried = (table[f"yield_at_20_{stage}"] for stage in ("raw", "source"))
    falls, n = int((table["ece_source"] < table["ece_raw"]).sum()), len(table)
    stays, best = int(((carried - raw).abs() < 0.01).sum()), table.loc[raw.idxmax()]
    most = "as stated, no answer may stand alone at that"
    if raw.max() > 0:
        most = (
            f"the most is {100 * raw.max():.0f} %, {best['strategy']}, and "
            f"{100 * best['yield_at_20_source']:.0f} % after the map"
        )
    does = (
        f"lowers ECE for {falls} of {n} kinds of confidence and leaves the yield at 20 % errors "
        f"allowed where it was, within one point, for {stays} of {n}"
    )
    if n == 1:
        does = (
            f"{'lowers' if falls else 'does not lower'} ECE and {'leaves' if stays else 'moves'} "
            "the yield at 20 % errors allowed"
        )
    why = ": a rising map changes no order" if stays == n else ""
    agrees = "the same" if falls > n / 2 and stays == n else "lower ECE and the same yield"
    one, said = table[table["strategy"] == strategy].iloc[0], []
    for stage in ("raw", "source"):
        kept, wrong = 100 * one[f"kept_{stage}"], 100 * one[f"wrong_{stage}"]
        said.append(f"{kept:.0f} % of the answers" + (f", {wrong:.0f} % wrong" if kept else ""))
    return (
        f"The carried-over map {does} ({most}){why}. arXiv 2606.15910 reports {agrees}. What "
        f"changes is what trusting the number gives: those that say at least {100 * SAYS:.0f} % "
        f"are {said[0]}, as stated, and {said[1]}, after it ({strategy})."
    )


def parts_title(parts: pd.DataFrame) -> str:
    """Is what carrying over costs a matter of prior or of slope, on average over the rows?"""
    rows = parts[parts["part"].isin(["prior", "conditional"])]
    if not (rows["low"] > 0).any():
        return "No part of what carrying over costs can be told from chance"
    mean = rows.groupby("part")["value"].mean()
    told = "another slope: one number leaves it, a second mends"
    if mean["prior"] >= mean["conditional"]:
        told = "another share of right answers: one number mends"
    return f"Most of what carrying over costs is {told} {mean.max():.3f} of {mean.sum():.3f}"


def parts_sentence(parts: pd.DataFrame) -> str:
    """The mean of each part, with how many rows' intervals lie above 0."""
    told = [
        f"{name} {rows['value'].mean():+.3f} ({(rows['low'] > 0).sum()} of {len(rows)} above 0)"
        for name, rows in parts.groupby("part", sort=False)
    ]
    return f"Mean change of the Brier score by part: {', '.join(told)}."


def modalities_title(pairs: pd.DataFrame) -> str:
    """How many of the maps from elsewhere help, and how many harm."""
    away = pairs[pairs["fitted_on"] != pairs["applied_to"]]
    outside = ~away["fitted_on"].isin(away["applied_to"])

    def said(part, unit=""):
        helps, harms = (part["change_high"] < 0).sum(), (part["change_low"] > 0).sum()
        return f"{_none(helps)} of {len(part)}{unit}, surely harms {_none(harms)}"

    if not outside.any() or outside.all():
        return f"A map used elsewhere surely helps {said(away, ' times')}"
    name = away.loc[outside, "fitted_on"].iloc[0]
    return (
        f"The map of {name} surely helps {said(away[outside], ' groups')}; another group's helps "
        f"{said(away[~outside], ' times')}"
    )


def traps_title(traps: pd.DataFrame) -> str:
    """What the two traps cost here: one half is never crossed, and the bound decides T."""
    clip = traps[traps["trap"] == "clip"]
    low, high = clip["y"].min(), clip["y"].max()
    told = "Dividing the log-odds never crosses one half"
    if high > 1.1 * low:
        return f"{told}, and what 100 % is moved to decides T: {low:.1f} to {high:.1f}"
    return f"{told}; the bound on 100 % hardly matters here (T {low:.2f} to {high:.2f})"


# --- fusing -------------------------------------------------------------------------------------


def system_name(row) -> str:
    """What a row of a fusion table is called: ``p_true with Platt``, ``trained fusion``."""
    if (row["system"], row["correction"]) == ("stated", "as stated"):
        return "the stated confidence"
    says = {"platt": " with Platt", "trained": ""}
    name = row["system"] + says.get(row["correction"], f" {row['correction']}")
    return f"trained {name.removesuffix(', trained')}" if name.endswith(", trained") else name


def tokens_title(table: pd.DataFrame) -> str:
    """What tokens buy, from one model's rows of a table of tokens."""
    best, dear = (table.loc[at] for at in (table["brier"].idxmin(), table["new_tokens"].idxmax()))
    cheap = table[table["tied"]].sort_values(["new_tokens", "brier"]).iloc[0]
    few, many = cheap["new_tokens"], dear["new_tokens"]
    tokens = {0: "no written token", 1: "one token"}.get(round(few), f"{few:,.0f} tokens")
    if many <= max(1.5 * few, few + 1):
        if (table["new_tokens"] < few).any():
            return f"What is lowest costs most: {_the(cheap)} takes {tokens}"
        return "All ways of asking take about as many tokens"
    does = f"{_first_up(tokens)} {'do' if tokens.endswith('s') else 'does'} what {many:,.0f} do"
    if cheap["system"] == best["system"]:
        return f"{does}: {_the(cheap)} has the lowest Brier score"
    return f"{does}: {_the(cheap)} cannot be told from the lowest, {_the(best)}"


def _the(row) -> str:
    name = system_name(row)
    return f"the {name}" if "fusion" in name or name.startswith("expert") else name


def systems_title(table: pd.DataFrame) -> str:
    """Who has the lowest Brier score, from one model's rows of a table of fusions."""
    first = table.sort_values("brier", kind="stable").iloc[0]
    name = system_name(first)
    told = [f"{_first_up(name) if 'fusion' in name else name} has the lowest Brier score"]
    told[0] += f", {first['brier']:.3f}"
    kinds = {"strategy": "the best single way of asking", "expert": "the expert alone",
             "fusion": "the best fusion"}  # fmt: skip
    rest = []
    for kind, who in kinds.items():
        if kind != first["kind"] and len(part := table[table["kind"] == kind]):
            row = part.loc[part["brier"].idxmin()]
            which = f" ({row['system']})" if kind == "strategy" else ""
            rest.append(f"{who} has {row['brier']:.3f}{which}")
    return "; ".join(told + [" and ".join(rest)] * bool(rest))


def change_title(table: pd.DataFrame) -> str:
    """Does fusing help, from a table of changes: rival by rival."""
    told = []
    for rival, part in table.groupby("rival", sort=False):
        won, lost = (part[part["conclusion"] == kind] for kind in ("better", "worse"))
        name = "the expert alone" if rival == "expert" else "the best single way of asking"
        most = f" by {'up to ' * (len(won) > 1)}{-won['change'].min():.3f}" if len(won) else ""
        beat = "beats" if len(won) < 2 else "beat"
        lose = f", to which {len(lost)} lose{'s' * (len(lost) == 1)}" if len(lost) else ""
        told.append(f"{_none(len(won))} of {len(part)} fusions {beat} {name}{most}{lose}")
    return f"With the same labels {', and '.join(told)}"


def falls(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of a table of image reliance with falls in place of changes, for a scatter."""
    out = table.assign(label=table["system"])
    for name in ("accuracy", "confidence"):
        for end, other in (("", ""), ("_low", "_high"), ("_high", "_low")):
            out[f"{name}_fall{end}"] = -table[f"{name}_change{other}"]
    return out


def image_title(table: pd.DataFrame) -> str:
    """Does confidence notice that the image is gone, from one model's as stated rows."""
    accuracy, confidence = (
        -100 * table[f"{k}_change"].median() for k in ("accuracy", "confidence")
    )
    less, more = int((table["excess_low"] > 0).sum()), int((table["excess_high"] < 0).sum())
    ending = "no confidence is shown to miss it too little"
    if less:
        ending = f"{less} of {len(table)} confidences miss the image too little"
    elif more:
        ending = f"{more} of {len(table)} confidences fall by more than they should"
    return (
        f"Without the image accuracy falls by {accuracy:.0f} points and confidence by "
        f"{confidence:.0f}; {ending}"
    )


# --- several models -----------------------------------------------------------------------------


def agreement_title(table: pd.DataFrame) -> str:
    """Does the majority beat the best model, and what is it worth that all agree?"""
    right = table.set_index("who")["accuracy"].mul(100).round()
    row = table[table["who"] == "majority"].iloc[0]
    does = "loses to" if row["change_high"] < 0 else "can't be told from"
    does = "beats" if row["change_low"] > 0 else does
    title = (
        f"The majority of {table['is_model'].sum()} models, {right['majority']:.0f} % right, "
        f"{does} the best of them ({row['best']}, {right[row['best']]:.0f} %)"
    )
    if (whole := "majority, all agree") not in right:
        return f"{title}; never do all agree"
    return f"{title}; where all agree, {right[whole]:.0f} % are right"
