"""What the tables of this room show, in words: titles of figures and sentences.

Every one is computed, and reads well with any number. ``source`` and ``target`` are what a reader
calls the two sides.
"""

import numpy as np
import pandas as pd

from .transfer import CONCLUSIONS

MAP_NAMES = {"log_odds": "log-odds scaling", "platt": "Platt scaling", "beta": "beta calibration",
             "temperature": "temperature scaling of all options",
             "isotonic": "isotonic regression", "histogram": "histogram binning",
             "bbq": "Bayesian binning", "enir": "near-isotonic regression"}  # fmt: skip
"""What a sentence calls a map."""


def _of(mask) -> str:
    return f"{mask.sum()} of {len(mask)}"


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
    fails = (one["outcome"] == "does not").sum()
    fine = one["outcome"].isin(["carries over", "nothing to correct"]).sum()
    return (
        f"What {source} teach helps {_of(one['helps'])} and harms {one['harms'].sum()}; it surely "
        f"carries over for {fine}, surely not for {fails}; doing better takes "
        f"{_labels(needed.iloc[0], 'n_star')} {target}"
    )


def _labels(needed, name):
    if np.isinf(needed[name]):
        return f"more than {needed['n_max']:,.0f}"
    least = needed[name] == needed["n_min"]
    return f"{needed[name]:,.0f}{' or fewer' if least else ''}"


def labels_sentence(needed: pd.DataFrame, *, level: float, target: str) -> str:
    """How many labels until refitting pays, from the one row of a table of labels needed."""
    row = needed.iloc[0]
    star, *ends = (_labels(row, f"n_star{end}") for end in ("", "_low", "_high"))
    return (
        f"On {target}, refitting has a lower Brier score than carrying over from {star} labels on "
        f"({100 * level:.0f} % interval: {' to '.join(dict.fromkeys(ends))}); starting from the "
        "carried-over map and moving it with the labels beats refitting at these numbers of "
        f"labels: {row['adapting_beats'] or 'none'}. Tried: from {row['n_min']:,} to "
        f"{row['n_max']:,}."
    )


def transfer_sentence(
    table: pd.DataFrame, *, method: str, level: float, source: str, target: str
) -> str:
    """The conclusions on carrying over, from the Brier scores of a transfer table."""
    part = table[(table["method"] == method) & (table["loss"] == "brier")]
    n, cost, name = len(part), part["cost"], MAP_NAMES[method]
    lowers, raises = (part["carry_change_high"] < 0).sum(), (part["carry_change_low"] > 0).sum()
    told = [
        f"{k} {(part['conclusion'] == k).sum()} ({(part['conclusion_holm'] == k).sum()})"
        for k in CONCLUSIONS
    ]
    return (
        f"{name[0].upper()}{name[1:]}, fitted on {source} and used on {target}; models and kinds "
        f"of confidence: {n}. Against a refit, within {part['margin'].iloc[0]:g} of the Brier "
        f"score (after Holm's correction): {', '.join(told)}. Carrying over lowers the Brier score "
        f"for {lowers} and raises it for {raises} (about {n * (1 - level) / 2:.1f} each by chance "
        f"alone, were there no change). The cost of carrying over has median "
        f"{cost.median():+.3f}, from {cost.min():+.3f} to {cost.max():+.3f}."
    )


# --- fusing -------------------------------------------------------------------------------------


def system_name(row) -> str:
    """What a row of a fusion table is called: ``p_true with Platt``, ``trained fusion``."""
    name = row["system"] + {"platt": " with Platt"}.get(row["correction"], "")
    return f"trained {name.removesuffix(', trained')}" if name.endswith(", trained") else name


def change_title(table: pd.DataFrame) -> str:
    """Does fusing help, from a table of changes: rival by rival."""
    names = {"best strategy": "the best single way of asking", "expert": "the expert alone"}
    told = [
        f"against {names[rival]} {_of(part['conclusion'] == 'better')} fusions do better, "
        f"{(part['conclusion'] == 'worse').sum()} worse ({part['change'].min():+.3f} to "
        f"{part['change'].max():+.3f})"
        for rival, part in table.groupby("rival", sort=False)
    ]
    return f"With the same labels, {'; '.join(told)}"


def agreement_title(table: pd.DataFrame) -> str:
    """What the majority of several models is worth, and that of models that agree."""
    right = table.set_index("who")["accuracy"].mul(100).round()
    best, row = table["best"].iloc[0], table[table["who"] == "majority"].iloc[0]
    change, low, high = (100 * row[f"change{end}"] for end in ("", "_low", "_high"))
    others = table.loc[~table["is_model"], "who"]
    told = [f"{who.replace('majority, ', 'where ')} {right[who]:.0f} %" for who in others]
    return (
        f"Right: {best}, the best of {table['is_model'].sum()} models, {right[best]:.0f} %; "
        f"{', '.join(told)} (the majority {change:+.0f} points [{low:+.0f}, {high:+.0f}])"
    )
