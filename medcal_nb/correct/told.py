"""What the tables of this room show, in words: titles of figures and sentences.

Every one is computed, and reads well with any number. ``source`` and ``target`` are what a reader
calls the two sides.
"""

import numpy as np
import pandas as pd

MAP_NAMES = {"log_odds": "log-odds scaling", "platt": "Platt scaling", "beta": "beta calibration",
             "temperature": "temperature scaling of all options",
             "isotonic": "isotonic regression", "histogram": "histogram binning",
             "bbq": "Bayesian binning", "enir": "near-isotonic regression"}  # fmt: skip
"""What a sentence calls a map."""


# --- carrying over ------------------------------------------------------------------------------


def with_told(brier: pd.DataFrame) -> pd.DataFrame:
    """Rows of a transfer table with ``told``: the conclusion, and where confidence knows nothing.

    Also ``name`` (model and strategy, or what differs of the two), dearest carrying over first.
    """
    parts = [c for c in ("model", "strategy") if brier[c].nunique() > 1] or ["model"]
    blind = np.where(brier["auroc_low"] > 0.5, "", " (no order)")
    rows = brier.assign(
        name=brier[parts].agg(", ".join, axis=1), told=brier["conclusion"] + blind
    )
    return rows.sort_values("cost", ascending=False, kind="stable")


def carry_rows(brier: pd.DataFrame, *, model, strategy, source, target) -> pd.DataFrame:
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


def labels_told(needed: pd.Series, name: str) -> str:
    """A number of labels of a row of labels needed, in words: 50, 10 or fewer, more than 1,000."""
    if np.isinf(needed[name]):
        return f"more than {needed['n_max']:,.0f}"
    least = needed[name] == needed["n_min"]
    return f"{needed[name]:,.0f}{' or fewer' if least else ''}"


# --- fusing -------------------------------------------------------------------------------------


def system_name(row) -> str:
    """What a row of a fusion table is called: ``p_true with Platt``, ``trained fusion``."""
    name = row["system"] + {"platt": " with Platt"}.get(row["correction"], "")
    return (
        f"trained {name.removesuffix(', trained')}"
        if name.endswith(", trained")
        else name
    )


def change_title(table: pd.DataFrame) -> str:
    """Does fusing help, from a table of changes: rival by rival."""
    names = {
        "best strategy": "the best single way of asking",
        "expert": "the expert alone",
    }
    told = [
        f"against {names[rival]} {part['conclusion'].eq('better').sum()} of {len(part)} fusions do "
        f"better, {part['conclusion'].eq('worse').sum()} worse ({part['change'].min():+.3f} to "
        f"{part['change'].max():+.3f})"
        for rival, part in table.groupby("rival", sort=False)
    ]
    return f"With the same labels, {'; '.join(told)}"
