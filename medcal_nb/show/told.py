"""What tables find, in a sentence: titles and answers of notebooks 02 and 03, from the numbers.

Each function looks at its table and says what is there, also where that is nothing or the
opposite of what one expects.
"""

from __future__ import annotations

import pandas as pd

from medcal_nb.measure.calibration import SURE
from medcal_nb.measure.tables import YIELDS, with_intervals
from medcal_nb.show.words import label_of, percent, show_table

INTERVALS = {"bootstrap": "the usual: percentiles of resamples", "inversion": "ece_interval"}
"""What figures call the ways to make an interval of an ECE."""


def points(share: float) -> str:
    """Return a difference of shares in percentage points: ``+32``."""
    return f"{100 * share:+.0f}"


def _points_between(row, name: str = "gap") -> str:
    """Return a gap with its interval, in points."""
    ends = points(row[f"{name}_low"]), points(row[f"{name}_high"])
    return f"{points(row[name])} points [{', '.join(ends)}]"


def _says(row) -> str:
    return f"says {percent(row['mean_confidence'])} and is right {percent(row['accuracy'])}"


def says_right(says) -> str:
    """Say what a model says of its answers and how often it is right, on the last side.

    Parameters
    ----------
    says : pandas.DataFrame
        A row per side: ``model, side, mean_confidence, accuracy``, and ``gap`` with its interval.
    """
    row = says.iloc[-1]
    words = f"On {label_of(row['side'])} {row['model']} {_says(row)}"
    if row["gap_low"] > 0:
        return words
    if row["gap_high"] < 0:
        return f"{words}: it is better than it says"
    return f"{words}: no gap beyond chance"


def icons_of(graded) -> pd.DataFrame:
    """Return how many graded answers are right, wrong, and wrong though the model was sure."""
    right, sure = graded["correct"].astype(bool), graded["confidence"] >= SURE
    counts = {"right": right, "wrong": ~right & ~sure}
    counts[f"wrong, stated at\n{percent(SURE)} or more"] = ~right & sure
    return pd.DataFrame(counts).sum().rename_axis("outcome").reset_index(name="count")


def gaps_between_sides(says) -> str:
    """Say how far a model's confidence is off on each side, and which side is worse."""
    rows = [row | {"side": label_of(row["side"])} for row in says.to_dict("records")]
    first = "; ".join(f"{_points_between(row)} on {row['side']}" for row in rows)
    words = f"{rows[0]['model']} states, against how often it is right, {first}."
    if len(rows) < 2:
        return words
    low, high = sorted(rows[:2], key=lambda row: row["gap"])
    if high["gap_low"] <= low["gap_high"] and low["gap_low"] <= high["gap_high"]:
        return f"{words} The two intervals overlap: neither side is shown to be worse."
    if low["gap"] < 0 < high["gap"]:
        return f"{words} It claims too much on {high['side']} and too little on {low['side']}."
    better, worse = sorted((low, high), key=lambda row: abs(row["gap"]))
    apart = f"{100 * (abs(worse['gap']) - abs(better['gap'])):.0f} points"
    return f"{words} It is farther off on {worse['side']} than on {better['side']}, by {apart}."


def claims_too_much(scores) -> str:
    """Say how many confidences claim more than is right on each side, beyond their intervals."""
    counts = [
        f"{(part['gap_low'] > 0).sum()} of {len(part)} on {label_of(side)}"
        for side, part in list(scores.groupby("side", sort=False))[::-1]
    ]
    return f"Confidences that claim more than is right: {', '.join(counts)}"


def follows(scores, level: float) -> str:
    """Say whether confidence falls as accuracy does from the first side to the second."""
    sides = list(dict.fromkeys(scores["side"]))
    if len(sides) < 2:
        part = scores["gap"]
        return f"Stated minus right: median {points(part.median())} points of {len(part)}."
    wide = scores.pivot(index=["model", "strategy"], columns="side").dropna()
    changes = [
        points((wide[name][sides[1]] - wide[name][sides[0]]).median())
        for name in ("accuracy", "mean_confidence")
    ]
    between = f"from {label_of(sides[0])} to {label_of(sides[1])}"
    return (
        f"In the middle of {len(wide)} pairs of model and confidence, accuracy changes by "
        f"{changes[0]} points {between} and confidence by {changes[1]}. Of {len(wide)} "
        f"{percent(level)} intervals about a gap of 0, chance alone would set "
        f"{(1 - level) / 2 * len(wide):.1f} above it."
    )


def by_luck(luck, coverage, n: int, level: float) -> str:
    """Say which ECE a calibrated forecaster shows, and how often intervals hold the truth.

    Parameters
    ----------
    luck : pandas.DataFrame
        ``n, mean`` of the plain ECE of a calibrated forecaster.
    coverage : pandas.DataFrame
        ``n, made`` ("bootstrap", "inversion"), ``coverage`` in that world.
    n : int
        Number of answers spoken of: one of both tables.
    """
    shown = luck.loc[luck["n"] == n, "mean"].iloc[0]
    held = coverage[coverage["n"] == n].set_index("made")["coverage"]
    words = f"A calibrated forecaster of {n:,} answers shows an ECE of {shown:.3f} by luck"
    usual, ours = held["bootstrap"], held["inversion"]
    if usual >= level - 0.02:
        return f"{words}; the usual interval holds the truth {percent(usual)} of the time"
    end = "one that holds does so" if ours >= level - 0.02 else "the better one"
    return (
        f"{words}; the usual {percent(level)} interval holds the truth {percent(usual)} of the "
        f"time, {end} {percent(ours)}"
    )


def closest(estimators, n: int) -> str:
    """Say what plain ECE reads in a known world, and which estimator errs least in a sample."""
    at = estimators[estimators["n"] == n].set_index("estimator")
    plain, best = at.loc["ece_width"], at["rmse"].idxmin()
    words = f"With {n:,} answers plain ECE reads {plain['mean']:.3f} where the truth is"
    if f"{at.loc[best, 'rmse']:.3f}" == f"{plain['rmse']:.3f}":
        return f"{words} {plain['truth']:.3f}, and none errs less in a single sample"
    off = f"root mean square {at.loc[best, 'rmse']:.3f} against {plain['rmse']:.3f}"
    return f"{words} {plain['truth']:.3f}; {label_of(best)} errs least in a single sample ({off})"


def yields_of(scores) -> pd.DataFrame:
    """Return the yields of a metrics table in rows: strategy, errors allowed, yield with ends."""
    parts = [
        scores[["strategy", name, f"{name}_low", f"{name}_high"]]
        .set_axis(["strategy", "yield", "yield_low", "yield_high"], axis=1)
        .assign(**{"errors allowed": percent(allowed)})
        for name, allowed in YIELDS.items()
    ]
    return pd.concat(parts, ignore_index=True)


def decides(scores, asked: str) -> str:
    """Say how sure a model is of its errors, and which share of answers may stand alone.

    Parameters
    ----------
    scores : pandas.DataFrame
        Of one model and side, a row per strategy: ``side, model, strategy, confidently_wrong`` and
        the yields.
    asked : str
        The strategy spoken of first.
    """
    row = scores[scores["strategy"] == asked].iloc[0]
    allowed = [k for k in (5, 10, 20) if (scores[f"yield_at_{k}"] > 0).any()]
    words = (
        f"Of its errors on {label_of(row['side'])}, {row['model']} states "
        f"{percent(row['confidently_wrong'])} at 90 % or more"
    )
    if not allowed:
        return f"{words}; no confidence lets a single answer stand alone, at up to 20 % errors"
    shares = scores.set_index("strategy")[f"yield_at_{allowed[0]}"]
    return (
        f"{words}; at {allowed[0]} % errors allowed at most {percent(shares.max())} of the answers "
        f"may stand alone ({label_of(shares.idxmax())})"
    )


def side_by_side(scores, column: str):
    """Return all metrics of a few groups as a table to look at: a row per metric."""
    wide = with_intervals(scores, by=[column]).T.rename_axis("metric").reset_index()
    return show_table(wide.rename_axis(columns=None).astype(str), rows=len(wide))


def enough_answers(scores, least: int) -> tuple[pd.DataFrame, str]:
    """Return the groups of at least so many answers, and a sentence that names the others.

    Where no group has so many, all are returned, and the sentence says so.
    """
    kept = scores[scores["n"] >= least]
    if not len(kept):
        return scores, f"All groups have fewer than {least} answers."
    few = scores.loc[~scores["group"].isin(kept["group"]), "group"].unique()
    words = f"Left out, fewer than {least} answers: {', '.join(map(label_of, few))}."
    return kept, words if len(few) else ""


def worst_group(groups, pairs, of_what: str) -> str:
    """Say on which group a model claims most beyond its accuracy, if groups differ at all.

    Parameters
    ----------
    groups : pandas.DataFrame
        Of one model: ``model, group, mean_confidence, accuracy`` and ``gap`` with its interval.
    pairs : pandas.DataFrame
        ``differs``: which pairs of groups have unlike gaps, corrected for their number.
    of_what : str
        What groups are, in the plural: "modalities".
    """
    ordered = groups.sort_values("gap")
    least, most = ordered.iloc[0], ordered.iloc[-1]
    model, words = most["model"], _says(most)
    if len(groups) == 1:
        return f"On {most['group']} {model} {words}"
    if not pairs["differs"].any():
        return f"{model} is off by {_span(groups)} points; no two {of_what} differ beyond chance"
    if most["gap"] <= 0:
        return f"{model} claims less than it knows everywhere, least of all on {least['group']}"
    return f"{model} claims most beyond what it knows on {most['group']}: it {words}"


def pairs_apart(pairs, of_what: str) -> str:
    """Say how many pairs of groups have unlike gaps."""
    if not len(pairs):
        return "There is one group: nothing to compare it with."
    differ = f"{pairs['differs'].sum()} of {len(pairs)} pairs of {of_what} differ"
    return f"{differ} in their gap (Holm)."


def _span(groups) -> str:
    ends = [groups["gap"].min(), groups["gap"].max()][: len(groups)]
    return " to ".join(map(points, ends))


def same_worst(groups, of_what: str) -> str:
    """Say on which group most models claim too much, of those that do beyond their interval."""
    n = groups["model"].nunique()
    if n == 1 or groups["group"].nunique() == 1:
        return f"Stated minus right by {of_what}: {_span(groups)} points"
    worst = groups.sort_values("gap").groupby("model").tail(1)
    worst = worst[worst["gap_low"] > 0]
    if not len(worst):
        return f"None of {n} models is shown to claim too much on any of the {of_what}"
    count = worst["group"].value_counts()
    most, few = count.iloc[0], "" if len(worst) == n else "; the others are not shown to"
    if most == 1 < len(worst):
        return f"Models claim most beyond what they know on unlike {of_what}{few}"
    claim = "claim most beyond what they know" if most > 1 else "claims most beyond what it knows"
    return f"{most} of {n} models {claim} on {count.index[0]}{few}"


def sees_less(levels, absent: str = "absent") -> str:
    """Say whether a model that sees less also says less.

    Parameters
    ----------
    levels : pandas.DataFrame
        Of one model, from hardly to plainly visible: ``model, level, mean_confidence``, and
        ``accuracy`` with its interval.
    """
    seen = levels[levels["level"] != absent]
    hard, plain = seen.iloc[0], seen.iloc[-1]
    fell = plain["accuracy"] - hard["accuracy"]
    said = plain["mean_confidence"] - hard["mean_confidence"]
    told = "; ".join(
        f"{word} {percent(plain[name])}, then {percent(hard[name])}"
        for word, name in (("right", "accuracy"), ("says", "mean_confidence"))
    )
    if hard["accuracy_high"] >= plain["accuracy_low"]:
        words = "is not shown to be less often right where less can be seen"
    else:
        words = "sees less and says nearly the same" if said < fell / 2 else "sees less, says less"
    return f"{hard['model']} {words}: {told}"
