"""What is concluded about transfer: temperature, skill, one number, labels."""

from __future__ import annotations

import math

import pandas as pd

from medcal_nb.correct import CONCLUSIONS
from medcal_nb.show.words import label_of, short_name
from medcal_nb.study.findings.finding import (
    Finding,
    base_rate,
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
    was,
)

_BOOTSTRAP = "percentile bootstrap with all fits repeated, {n:,} resamples"
#: Models named one by one in a sentence; more are counted.
_NAMED = 5


def temperature_transfer(
    table: pd.DataFrame,
    *,
    source: str,
    target: str,
    event: str = "",
    n_resamples: int = 2000,
) -> Finding:
    """Return what a temperature fitted on the source did, and what re-optimising it did.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows of :func:`medcal_nb.correct.transfer_study`, of one map and one elicitation method.
    source, target : str
        What a reader calls the two.
    event : str
        What confidence is a probability of, where it is not the answer's being correct: ``cancer``.
    n_resamples : int
        Behind the intervals.
    """
    n = len(table)
    lowered = int((table["transfer_change_high"] < 0).sum())
    below = int((table["skill_refitted"] < 0).sum())
    raised = int((table["transfer_change_low"] > 0).sum())
    did = _changed(lowered, raised, n, target)
    constant = f"giving every answer the {base_rate(event)}"
    rest = f"re-optimised there it was better than {constant}"
    if below:
        rest = f"re-optimised it stayed worse than {constant}"
    if below and n > 1:
        rest = f"{rest} in {counted(below, n, 'model')}"
    map_name = label_of(table["method"].iloc[0])
    median = table["transfer_change"].median()
    change = f"{'median change' if n > 1 else 'change'} {decimal(median)}"
    if raised and n > 1:
        change = f"raised in {raised}; {change}"
    return Finding(
        claim=f"{map_name} fitted on {source} {did} ({change}); {rest}",
        estimate=median,
        n=n,
        of="models",
        method=_BOOTSTRAP.format(n=n_resamples) + "; estimate: median over models",
    )


def _changed(lowered: int, raised: int, n: int, target: str) -> str:
    """Return in how many models the Brier score fell, of one model what it did."""
    if n == 1:
        did = "did not clearly lower"
        if lowered or raised:
            did = "lowered" if lowered else "raised"
        return f"{did} the Brier score on {target}"
    return f"lowered the Brier score on {target} in {counted(lowered, n, 'model')}"


def transferred_skill(table: pd.DataFrame, *, target: str, event: str = "") -> Finding:
    """Return whether a transferred confidence beats one number for all, and what a refit adds.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows of one map of :func:`medcal_nb.correct.transfer_study`.
    target : str
        What a reader calls it.
    event : str
        As in :func:`temperature_transfer`.
    """
    n = len(table)
    worse = int((table["skill_transferred"] < 0).sum())
    refitted = table["skill_refitted"].median()
    direction = "worse" if worse else "better"
    subject = f"confidence transferred by {label_of(table['method'].iloc[0])}"
    constant = f"giving every answer the {base_rate(event)} on {target}"
    rest = f"; after refitting the median Brier skill score was {decimal(refitted)}"
    if n == 1:
        claim = f"{subject} was {direction} than {constant}"
        rest = _three_skills(table.iloc[0], event)
    elif worse == 0:
        claim = f"{subject} beat {constant} in {counted(n, n, 'pair')}"
    else:
        who = counted(worse, n, "model–method pair")
        claim = f"in {who} {subject} was worse than {constant}"
    return Finding(
        title=_skill_title(table, event),
        claim=f"{claim}{rest}",
        estimate=worse / n,
        n=n,
        of="pairs",
        method="Brier skill score over the accuracy of the other folds, cross-fitted by image",
    )


def _skill_title(table: pd.DataFrame, event: str) -> str:
    """Return in how many pairs, or models, a transferred confidence is worth less than one number.

    The number is the accuracy, or the prevalence of an event, given to every answer.
    """
    n = len(table)
    worse = int((table["skill_transferred"] < 0).sum())
    noun = "pair" if table["strategy"].nunique() > 1 else "model"
    where = f" in {of_all(worse or n, n, noun)}" if n > 1 else ""
    rival = "prevalence alone" if event else "accuracy alone"
    return f"Transfer is {'worse' if worse else 'better'} than {rival}{where}"


def _three_skills(row: pd.Series, event: str) -> str:
    """Return the Brier skill of one pair transferred, with the base rate known, and refitted."""
    known = ""
    if not math.isnan(row["skill_known"]):
        known = f", {decimal(row['skill_known'])} with the {base_rate(event)} known"
    return (
        f": Brier skill score {decimal(row['skill_transferred'])}{known}, "
        f"{decimal(row['skill_refitted'])} refitted"
    )


def one_number(
    removed: pd.Series, *, target: str, event: str = "", n_resamples: int = 2000
) -> Finding:
    """Return how much of the transfer cost the accuracy on the target removes.

    Parameters
    ----------
    removed : pandas.Series
        A row of :func:`medcal_nb.correct.share_removed`.
    target : str
        What a reader calls it.
    event : str
        As in :func:`temperature_transfer`.
    n_resamples : int
        Behind the interval.
    """
    share = removed["share_removed"]
    pairs = removed["pairs"]
    cost = decimal(removed["cost"])
    number = f"one number, the {base_rate(event)} on {target},"
    interval = None
    title = "Transfer was not shown to cost more than refitting"
    if math.isnan(share) or removed["cost_low"] <= 0:
        ends = ci_of(removed, "cost", unit="decimal")
        claim = (
            f"transfer was not shown to cost more than refitting (mean cost {cost}, {ends}): "
            f"what {number} would remove is not known"
        )
    else:
        interval = ends_of(removed, "share_removed")
        part = percent(min(share, 1.0))
        title = f"Known accuracy removes {part} of the transfer cost"
        mean = "mean transfer cost" if pairs > 1 else "transfer cost"
        claim = (
            f"setting the intercept by {number} removed {part} ({ci(*interval)}) of the {mean} of "
            f"{cost} in Brier score"
        )
    return Finding(
        title=title,
        claim=claim,
        estimate=None if math.isnan(share) else share,
        interval=interval,
        n=pairs,
        of="pairs",
        method=_BOOTSTRAP.format(n=n_resamples),
    )


def conclusions(counts: pd.Series, *, margin: float, target: str) -> Finding:
    """Return for how many pairs transfer was non-inferior, after Holm's correction.

    Parameters
    ----------
    counts : pandas.Series
        A row of :func:`medcal_nb.correct.transfer_counts`.
    margin : float
        Of the Brier score.
    target : str
        What a reader calls it.
    """
    n = counts["pairs"]
    fine = counts["non-inferior"] + counts["recalibration not needed"]
    inferior = counts["inferior"]
    blind = counts["no discrimination"]
    claim = (
        f"{label_of(counts['method'])} was non-inferior to refitting with these labels of "
        f"{target} (margin {margin:g}) in {counted(fine, n, 'pair')} and inferior in "
        f"{counted(inferior, n, 'pair')}"
    )
    if blind:
        claim += f"; in {counted(blind, n, 'pair')} confidence did not discriminate"
    if n == 1:
        word = next(name for name in CONCLUSIONS if counts[name] == 1)
        claim = (
            f"transfer by {label_of(counts['method'])} was judged “{word}”, compared to "
            f"refitting with these labels of {target} (margin {margin:g})"
        )
    where = f" in {of_all(inferior or fine, n, 'pair')}" if n > 1 else ""
    title = "Transfer was shown neither inferior nor non-inferior"
    if blind:
        title = "Confidence does not discriminate"
    if blind and n > 1:
        title = f"No pair clearly inferior; {blind} of {n} do not discriminate"
    if inferior:
        title = f"Transfer is inferior to refitting{where}"
    elif fine:
        title = f"Transfer is non-inferior to refitting{where}"
    return Finding(
        title=title,
        claim=claim,
        estimate=fine / n,
        n=n,
        of="pairs",
        method="one-sided non-inferiority tests of the transfer cost, size 2.5 %",
        multiplicity=f"Holm over {n} pairs",
    )


def labels(needed: pd.DataFrame, *, target: str, model: str) -> Finding:
    """Return from how many labels on a refit beats the transferred map.

    Parameters
    ----------
    needed : pandas.DataFrame
        Of :func:`medcal_nb.correct.labels_needed`, one elicitation method.
    target : str
        What a reader calls it.
    model : str
        The model that the figure shows.
    """
    largest = int(needed["n_max"].max())
    share = percent(needed["share"].iloc[0])
    enough = needed[needed["n_refitted"] <= largest].sort_values("n_refitted")
    lacking = needed[~(needed["n_refitted"] <= largest)]
    n = len(needed)
    median = None
    if enough.empty:
        claim = (
            f"for {counted(n, n, 'model')} {largest:,} labels of {target} were not enough for a "
            f"refit to beat the transferred map in {share} of random samples"
        )
    else:
        median = enough["n_refitted"].median()
        claim = (
            f"a refit beat the transferred map in at least {share} of random samples from "
            f"{_sizes(enough)} labels of {target} on"
        )
        if len(lacking):
            claim += f"; for {_models(lacking)} {largest:,} {was(largest)} not enough"
    return Finding(
        claim=claim,
        estimate=median,
        n=n,
        of="models",
        method=f"{needed['n_draws'].iloc[0]:,} random samples, scored on images set aside",
        title=_labels_title(needed.set_index("model").loc[model], model),
    )


def _labels_title(row: pd.Series, model: str) -> str:
    """Return from how many labels on a refit beats transfer in one model, as a title."""
    name = short_name(model, 20)
    if row["n_refitted"] <= row["n_max"]:
        return f"{name}: a refit wins from {int(row['n_refitted']):,} labels on"
    return f"{name}: {int(row['n_max']):,} labels are too few for a refit"


def _sizes(enough: pd.DataFrame) -> str:
    """Return the sizes with their models: ``10 (LLaVA), 20 (DeepSeek) and 50 (Qwen)``."""
    if len(enough) > _NAMED:
        low = int(enough["n_refitted"].min())
        high = int(enough["n_refitted"].max())
        median = int(enough["n_refitted"].median())
        return f"{low:,} to {high:,} (median {median:,}, {len(enough):,} models)"
    if len(enough) == 1:
        return f"{int(enough['n_refitted'].iloc[0]):,}"
    parts = []
    for size, part in enough.groupby("n_refitted"):
        names = listed([label_of(name) for name in part["model"]])
        parts.append(f"{int(size):,} ({names})")
    return listed(parts)


def _models(rows: pd.DataFrame) -> str:
    if len(rows) > _NAMED:
        return f"{number_word(len(rows))} models"
    return listed([label_of(name) for name in rows["model"]])


def without_labels(errors: pd.DataFrame, *, target: str) -> Finding:
    """Return how far accuracy is off that is estimated without a label.

    Parameters
    ----------
    errors : pandas.DataFrame
        Of :func:`medcal_nb.correct.accuracy_errors`.
    target : str
        What a reader calls it.
    """
    unlabelled = errors[errors["estimator"] != "accuracy on the source"]
    best = unlabelled.loc[unlabelled["mean_absolute_error"].idxmin()]
    n = best["pairs"]
    off = best["mean_absolute_error"]
    could = "could be estimated" if off < 0.05 else "could not be known"
    claim = (
        f"without labels the accuracy on {target} {could}: the best of three estimates, "
        f"{best['estimator']}, was off by {points(off)} on average"
    )
    if n > 1:
        close = counted(best["within_05"], n, "pair")
        claim += f" and within 5 percentage points in {close}"
    return Finding(
        claim=claim,
        estimate=off,
        n=n,
        of="pairs",
        method="mean absolute error over pairs of the best of three estimates",
    )


def lost_discrimination(table: pd.DataFrame, *, source: str, target: str) -> Finding:
    """Return how much discrimination is lost from source to target, by a two-sample test.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows of one map of :func:`medcal_nb.correct.transfer_study`.
    source, target : str
        What a reader calls the two.
    """
    known = table[table["auroc_p_holm"].notna()]
    n = len(known)
    if n == 0:
        return Finding(
            claim=f"Discrimination on {target} is not defined: all answers are right, or all "
            "wrong.",
            method="AUROC",
        )
    shown = (known["auroc_difference"] < 0) & (known["auroc_p_holm"] < 0.05)
    lower = int(shown.sum())
    before = decimal(known["auroc_source"].median())
    after = decimal(known["auroc"].median())
    of = "AUROC" if n == 1 else "median AUROC"
    pairs = counted(lower, n, "pair")
    claim = f"{of} was {before} on {source} and {after} on {target}"
    if lower == 0:
        claim = f"{claim}; a loss was shown in {pairs}"
    else:
        claim = f"{claim}, lower in {pairs}; a monotone map cannot restore it"
    return Finding(
        claim=claim,
        estimate=known["auroc_difference"].median(),
        n=n,
        of="pairs",
        method="two-sample test of the AUROC (DeLong; Obuchowski by image)",
        multiplicity=f"Holm over {n} pairs" if n > 1 else "",
    )
