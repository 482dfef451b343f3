"""Findings of notebook 03: where overconfidence is largest, and how much groups differ."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from medcal_nb.measure import heterogeneity_table, metrics_table, standard_error
from medcal_nb.measure.rows import rows_where
from medcal_nb.show.words import label_of, short_name
from medcal_nb.study.findings.calibration import resampled_by
from medcal_nb.study.findings.finding import (
    AT_MOST,
    Finding,
    ci,
    ci_of,
    counted,
    decimal,
    ends_of,
    listed,
    number_word,
    of_all,
    percent,
    points,
)
from medcal_nb.study.selection import filled_column, with_group

#: The row of the figure that sums the groups up.
_SUMMARY = "mean of groups"
LEAST_GROUPS = 3
_KINDS = {"modality": "modalities", "dataset": "data sets"}
_LEVELS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
# of the synthetic benchmark: nothing is to be seen where the finding is absent
_ABSENT = {"visibility": 0.5, "gold": "no"}


# --- rows and tables ----------------------------------------------------------------------


@dataclass(frozen=True)
class Grouped:
    """Graded answers with a column `group`, and what groups are called.

    Attributes
    ----------
    rows : pandas.DataFrame
        The answers.
    kind, plural : str
        Such as ``modality`` and ``modalities``.
    """

    rows: pd.DataFrame
    kind: str
    plural: str


def in_groups(answers: pd.DataFrame, column: str, domain: str) -> Grouped:
    """Return answers in groups by a column; by data set where it holds nothing.

    Where answers of the domain fall into several groups, only they are taken.

    Parameters
    ----------
    answers : pandas.DataFrame
        Graded answers.
    column : str
        Whose values are the groups.
    domain : str
        Such as ``medical``.
    """
    column = filled_column(answers, column)
    rows = with_group(answers, column)
    own = rows_where(rows, {"domain": domain})
    if own["group"].nunique() > 1:
        rows = own
    plural = _KINDS.get(column, "groups")
    kind = label_of(column) if column in _KINDS else "group"
    return Grouped(rows=rows, kind=kind, plural=plural)


def large_enough(table: pd.DataFrame, least: int) -> pd.DataFrame:
    """Return the rows of at least so many answers; all where there are none."""
    enough = table["n"] >= least
    return table[enough] if enough.any() else table


def heterogeneity(groups: pd.DataFrame, *, level: float) -> pd.DataFrame:
    """Return :func:`medcal_nb.measure.heterogeneity_table` of overconfidence over groups.

    Parameters
    ----------
    groups : pandas.DataFrame
        One row per group, of one model: `gap` with `_low, _high` of that level.
    level : float
        The level of the intervals.

    Returns
    -------
    pandas.DataFrame
        One row; none where fewer than three groups have an interval.
    """
    known = groups.dropna(subset=["gap_low", "gap_high"])
    if len(known) < LEAST_GROUPS:
        return pd.DataFrame()
    errors = standard_error(known["gap_low"], known["gap_high"], level=level)
    return heterogeneity_table(known["gap"], errors, level=level)


def with_summary(groups: pd.DataFrame, summary: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a forest: the groups, and below them their mean with its prediction."""
    if summary.empty:
        return groups
    row = summary.iloc[0]
    last = {
        "group": _SUMMARY,
        "n": int(groups["n"].sum()),
        "gap": row["mean"],
        "gap_low": row["mean_low"],
        "gap_high": row["mean_high"],
        "gap_prediction_low": row["prediction_low"],
        "gap_prediction_high": row["prediction_high"],
    }
    return pd.concat([groups, pd.DataFrame([last])], ignore_index=True)


def by_level(
    grouped: pd.DataFrame,
    column: str,
    *,
    level: float,
    n_resamples: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Return accuracy and mean confidence of each model by how well the finding can be seen.

    Parameters
    ----------
    grouped : pandas.DataFrame
        Graded answers of one method.
    column : str
        The column with numbers between 0 and 1.
    level, n_resamples, rng
        As in :func:`medcal_nb.measure.metrics_table`.

    Returns
    -------
    pandas.DataFrame
        One row per model and level; none where the column is absent or holds one level alone.
    """
    if column not in grouped:
        return pd.DataFrame()
    number = pd.to_numeric(
        grouped[column], errors="coerce"
    )  # 0 to 1; levels in percent
    names = [f"{100 * low:.0f}–{100 * high:.0f}" for low, high in pairwise(_LEVELS)]
    levels = pd.cut(number, _LEVELS, labels=names, include_lowest=True).astype(object)
    levels[rows_where(grouped, _ABSENT).index] = "absent"
    seen = grouped.assign(level=levels).dropna(subset="level")
    if seen.loc[seen["level"] != "absent", "level"].nunique() < 2:
        return pd.DataFrame()
    return metrics_table(
        seen,
        by=["model", "level"],
        metrics=["accuracy", "mean_confidence"],
        level=level,
        n_resamples=n_resamples,
        rng=rng,
    )


# --- findings -----------------------------------------------------------------------------


def forest_note(groups: pd.DataFrame, summary: pd.DataFrame, level: float) -> str:
    """Return the small print below that figure: what its bars are."""
    note = f"Bars: {percent(level)} CI {resampled_by(groups)}"
    if len(summary):
        note += f"; capped line: {percent(level)} prediction interval of a new group"
    return f"{note}."


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
    ends = ci_of(last, "gap", unit="points")
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
        claim=claim,
        estimate=last["gap"],
        interval=ends_of(last, "gap"),
        n=last["n"],
        method=f"mean confidence minus accuracy; bootstrap {resampled_by(ordered)}",
        multiplicity=f"largest of {len(ordered)}, not corrected for the choice",
        title=_largest_title(last, len(ordered)),
    )


def _largest_title(last: pd.Series, n: int) -> str:
    """Return where overconfidence is largest, as a title."""
    name = short_name(last["group"], 30)
    if last["gap"] < 0:
        return f"Underconfident, least on {name}"
    if n == 1:
        return f"Overconfident on {name}"
    return f"Overconfidence is largest on {name}"


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
            of=plural,
            method="random-effects model",
        )
    row = summary.iloc[0]
    low, high = ends_of(row, "prediction")
    n = int(row["n_groups"])
    ends = ci(max(low, -1.0), min(high, 1.0), unit="points").removeprefix("95 % CI ")
    claim = (
        f"overconfidence varied between {number_word(n)} {plural} with a standard deviation of "
        f"{points(row['tau'])} beyond sampling noise"
    )
    expected = (
        f"the 95 % prediction interval for a new {kind} was {ends} percentage points"
    )
    if high - low > 1:
        expected = f"{expected}, too wide to be of use"
    elif row["tau"] < 0.005:
        claim = (
            f"overconfidence differed between the {number_word(n)} {plural} by no more than "
            "sampling noise"
        )
    return Finding(
        claim=f"{claim}; {expected}",
        estimate=row["tau"],
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
    claim = f"no difference in overconfidence between {plural} was shown"
    if k:
        where = counted(k, n, f"pair of {plural}", f"pairs of {plural}")
        claim = f"overconfidence differed in {where}"
    return Finding(
        claim=f"{claim}; {largest_one}",
        estimate=widest["difference"],
        interval=(widest["low"], widest["high"]),
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
    if most == 1:
        claim = (
            f"the {kind} with the largest overconfidence was another one in every model"
        )
    else:
        claim = f"overconfidence was largest on {listed(names)} in {counted(most, n, 'model')}"
        if len(names) > 1:
            claim += " each"
    name = short_name(counts.index[0], 14)
    return Finding(
        claim=claim,
        estimate=most / n,
        n=n,
        of="models",
        method=f"largest of mean confidence minus accuracy by {kind}",
        title=f"Overconfidence largest on {name} in {of_all(most, n, 'model')}",
    )


def across(
    groups: pd.DataFrame, pairs: pd.DataFrame, kind: str, plural: str
) -> Finding:
    """Return :func:`worst_group` where there are several models, else the pairs that differ."""
    if groups["model"].nunique() > 1:
        return worst_group(groups, kind)
    return pairs_that_differ(pairs, plural)


def leading(*findings: Finding) -> list[Finding]:
    """Return the first three findings that could be measured, one where none could."""
    measured = [finding for finding in findings if finding.estimate is not None]
    return measured[:AT_MOST] or list(findings[-1:])


def slopes_by_reader(
    graded: pd.DataFrame,
    *,
    level: float,
    n_resamples: int,
    rng: np.random.Generator,
) -> tuple[pd.DataFrame, Finding]:
    """Return the calibration slope of every reader, and between what they lie.

    Parameters
    ----------
    graded : pandas.DataFrame
        Graded answers of one method; the column ``reader`` says who gave them.
    level, n_resamples, rng
        As in :func:`medcal_nb.measure.metrics_table`.

    Returns
    -------
    table : pandas.DataFrame
        One row per reader: `reader, n, n_images, slope` with `_low, _high`; none where fewer
        than two readers are recorded.
    finding : Finding
    """
    if "reader" not in graded or graded["reader"].nunique() < 2:
        finding = Finding(
            claim="These answers name no readers, or one alone.", method="readers"
        )
        return pd.DataFrame(), finding
    table = metrics_table(
        graded,
        by=["reader"],
        metrics=["slope"],
        level=level,
        n_resamples=n_resamples,
        rng=rng,
    )
    slope = table["slope"].dropna()
    n = len(slope)
    low = decimal(slope.min())
    high = decimal(slope.max())
    below = counted(int((table["slope_high"] < 1).sum()), n, "reader")
    finding = Finding(
        claim=f"calibration slopes of {number_word(n)} readers ran from {low} to {high} "
        f"(median {decimal(slope.median())}), clearly below 1 in {below}",
        estimate=slope.median(),
        n=n,
        of="readers",
        method="logistic regression on log-odds; bootstrap by image",
        multiplicity=f"95 % CI below 1, uncorrected over {n} readers",
        title=f"Calibration slopes of {n} readers: {low} to {high}",
    )
    return table, finding


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
    if levels.empty:
        return Finding(
            claim="How well the findings can be seen is not recorded in these answers.",
            method="levels of visibility",
            title="Visibility is not recorded",
        )
    own = levels[(levels["model"] == model) & (levels["level"] != "absent")]
    hard = own.iloc[0]
    plain = own.iloc[-1]
    fall = plain["mean_confidence"] - hard["mean_confidence"]
    title = "Confidence falls as far as accuracy where less is seen"
    if fall < plain["accuracy"] - hard["accuracy"]:
        title = "Confidence falls less than accuracy where less is seen"
    claim = (
        f"from plainly to hardly visible findings accuracy of {label_of(model)} went from "
        f"{percent(plain['accuracy'])} to {percent(hard['accuracy'])}, its mean confidence from "
        f"{percent(plain['mean_confidence'])} to {percent(hard['mean_confidence'])}"
    )
    return Finding(
        claim=claim,
        estimate=fall,
        n=own["n"].sum(),
        method="means by level of visibility",
        title=title,
    )
