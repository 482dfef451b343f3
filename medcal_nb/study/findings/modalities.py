"""Findings of notebook 03: where overconfidence is largest, and how much groups differ."""

from __future__ import annotations

import pandas as pd

from medcal_nb.show.words import label_of
from medcal_nb.study.findings.calibration import resampled_by
from medcal_nb.study.findings.finding import (
    Finding,
    ci,
    counted,
    extent,
    listed,
    percent,
    points,
    sentence,
)


def largest(groups: pd.DataFrame, kind: str) -> Finding:
    """Return the group in which one model is most overconfident, and the one at the other end.

    Parameters
    ----------
    groups : pandas.DataFrame
        One row per group, of one model: `model, group, n, n_images, gap` with `_low, _high`.
    kind : str
        What groups are, in the singular: ``modality``, ``data set``.
    """
    ordered = groups.sort_values("gap")
    last = ordered.iloc[-1]
    first = ordered.iloc[0]
    name = label_of(last["model"])
    ends = ci(last["gap_low"], last["gap_high"], unit="points")
    if len(ordered) == 1:
        word = "overconfidence" if last["gap"] >= 0 else "underconfidence"
        claim = (
            f"there was one {kind} with enough answers, {label_of(last['group'])}: {word} of "
            f"{name} {points(last['gap'])} ({ends})"
        )
    elif last["gap"] < 0:
        claim = (
            f"{name} was underconfident in every {kind}, least on {label_of(last['group'])} "
            f"({points(last['gap'])}, {ends})"
        )
    else:
        claim = (
            f"overconfidence of {name} was largest on {label_of(last['group'])}, "
            f"{points(last['gap'])} ({ends}), and smallest on {label_of(first['group'])}, "
            f"{_signed(first)}"
        )
    return Finding(
        claim=sentence(claim),
        estimate=float(last["gap"]),
        interval=(float(last["gap_low"]), float(last["gap_high"])),
        n=int(last["n"]),
        method=f"mean confidence minus accuracy; bootstrap {resampled_by(ordered)}",
        multiplicity=f"largest of {len(ordered)}, not corrected for the choice",
    )


def _signed(row: pd.Series) -> str:
    """Return an overconfidence in points, named as what it is where it is below 0."""
    if row["gap"] < 0:
        return f"an underconfidence of {points(row['gap'])}"
    return points(row["gap"])


def spread(summary: pd.DataFrame, kind: str, plural: str) -> Finding:
    """Return how much groups differ beyond sampling noise, and what a new one may show.

    Parameters
    ----------
    summary : pandas.DataFrame
        Of :func:`medcal_nb.measure.heterogeneity_table`, of overconfidence; no row where there
        are fewer than three groups.
    kind, plural : str
        What groups are: ``modality``, ``modalities``.
    """
    if summary.empty:
        return Finding(
            claim=f"With fewer than three {plural} no spread between them can be estimated.",
            estimate=None,
            interval=None,
            n=0,
            of=plural,
            method="random-effects model",
        )
    row = summary.iloc[0]
    low = float(row["prediction_low"])
    high = float(row["prediction_high"])
    n = int(row["n_groups"])
    ends = ci(max(low, -1.0), min(high, 1.0), unit="points").removeprefix("95 % CI ")
    if row["tau"] < 0.005:
        claim = (
            f"overconfidence differed between the {n} {plural} by no more than sampling noise; in "
            f"a new {kind} {ends} percentage points are to be expected (95 % prediction interval)"
        )
    else:
        claim = (
            f"over {n} {plural} overconfidence had a standard deviation of {points(row['tau'])} "
            f"beyond sampling noise; in a new {kind} {ends} percentage points are to be expected "
            "(95 % prediction interval)"
        )
    return Finding(
        claim=sentence(claim),
        estimate=float(row["tau"]),
        interval=None,
        n=n,
        of=plural,
        method="random-effects model, REML, Knapp–Hartung; prediction interval of a new group",
    )


def pairs_that_differ(pairs: pd.DataFrame, plural: str) -> Finding:
    """Return how many pairs of groups differ in overconfidence.

    Parameters
    ----------
    pairs : pandas.DataFrame
        Of :func:`medcal_nb.measure.difference_table`.
    plural : str
        What groups are, in the plural.
    """
    n = len(pairs)
    if n == 0:
        return Finding(
            claim=f"There are no two {plural} with enough answers to compare.",
            estimate=None,
            interval=None,
            n=0,
            of="pairs",
            method="bootstrap by image",
        )
    k = int(pairs["differs"].sum())
    widest = pairs.loc[pairs["difference"].abs().idxmax()]
    ends = sorted([abs(widest["low"]), abs(widest["high"])])
    a, b = (label_of(widest[name]) for name in ("a", "b"))
    largest_one = f"the largest difference, between {a} and {b}, was {points(widest['difference'])}"
    if widest["low"] * widest["high"] > 0:
        largest_one += f" ({ci(*ends, unit='points')})"
    if extent(k, n) == "none":
        claim = (
            f"no difference in overconfidence between {plural} was shown; {largest_one}"
        )
    else:
        claim = (
            f"overconfidence differed in {counted(k, n, f'pair of {plural}', f'pairs of {plural}')}"
            f"; {largest_one}"
        )
    return Finding(
        claim=sentence(claim),
        estimate=float(widest["difference"]),
        interval=(float(widest["low"]), float(widest["high"])),
        n=n,
        of="pairs",
        method="difference of mean confidence minus accuracy; bootstrap by image",
        multiplicity=f"Holm over {n} pairs" if n > 1 else "",
    )


def worst_group(groups: pd.DataFrame, kind: str) -> Finding:
    """Return in which group most models are most overconfident.

    Parameters
    ----------
    groups : pandas.DataFrame
        One row per model and group: `model, group, gap`.
    kind : str
        What groups are, in the singular.
    """
    last = groups.loc[groups.groupby("model")["gap"].idxmax()]
    counts = last["group"].value_counts()
    n = len(last)
    most = int(counts.iloc[0])
    names = [label_of(name) for name in counts.index[counts == most]]
    if n == 1:
        claim = f"one model was measured; its overconfidence was largest on {names[0]}"
    elif most == 1:
        claim = (
            f"the {kind} with the largest overconfidence was another one in every model"
        )
    else:
        claim = f"overconfidence was largest on {listed(names)} in {counted(most, n, 'model')}"
        if len(names) > 1:
            claim += " each"
    return Finding(
        claim=sentence(claim),
        estimate=most / n,
        interval=None,
        n=n,
        of="models",
        method=f"largest of mean confidence minus accuracy by {kind}",
    )


def visibility(levels: pd.DataFrame, model: str) -> Finding:
    """Return how accuracy and mean confidence fall from the plainest to the least visible finding.

    Parameters
    ----------
    levels : pandas.DataFrame
        One row per model and level, ascending: `model, level, n, accuracy, mean_confidence`; the
        level ``absent`` is left out.
    model : str
        The model looked at.
    """
    own = levels[(levels["model"] == model) & (levels["level"] != "absent")]
    if len(own) < 2:
        return Finding(
            claim="How well the findings can be seen is not recorded in these answers.",
            estimate=None,
            interval=None,
            n=0,
            method="levels of visibility",
        )
    hard = own.iloc[0]
    plain = own.iloc[-1]
    fall = float(plain["mean_confidence"] - hard["mean_confidence"])
    claim = (
        f"from plainly to hardly visible findings accuracy of {label_of(model)} went from "
        f"{percent(plain['accuracy'])} to {percent(hard['accuracy'])}, its mean confidence from "
        f"{percent(plain['mean_confidence'])} to {percent(hard['mean_confidence'])}"
    )
    return Finding(
        claim=sentence(claim),
        estimate=fall,
        interval=None,
        n=int(own["n"].sum()),
        method="means by level of visibility",
    )
