"""What is concluded about transfer: temperature, skill, one number, labels, text and images."""

from __future__ import annotations

import math

import pandas as pd

from medcal_nb.correct import CONCLUSIONS, map_label
from medcal_nb.show.words import label_of
from medcal_nb.study.findings.finding import (
    Finding,
    ci,
    counted,
    decimal,
    extent,
    listed,
    number_word,
    percent,
    points,
    sentence,
    was,
)

_BOOTSTRAP = "percentile bootstrap with all fits repeated, {n:,} resamples"
#: Models named one by one in a sentence; more are counted.
_NAMED = 5


def temperature_transfer(
    table: pd.DataFrame, *, source: str, target: str, n_resamples: int = 2000
) -> Finding:
    """Return what a temperature fitted on the source did, and what re-optimising it did.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows of :func:`medcal_nb.correct.transfer_study`, of one map and one elicitation method.
    source, target : str
        What a reader calls the two.
    n_resamples : int
        Behind the intervals.
    """
    n = len(table)
    lowered = int((table["transfer_change_high"] < 0).sum())
    below = int((table["skill_refitted"] < 0).sum())
    did = _lowered(lowered, n, "model")
    constant = "giving every answer the accuracy"
    if extent(below, n) == "none":
        rest = f"re-optimised there it was better than {constant}"
    else:
        rest = f"even re-optimised there it stayed worse than {constant}"
        if n > 1:
            rest = f"{rest} in {counted(below, n, 'model')}"
    map_name = map_label(table["method"].iloc[0])
    median = float(table["transfer_change"].median())
    return Finding(
        claim=sentence(f"{map_name} fitted on {source} {did} on {target}; {rest}"),
        estimate=median,
        interval=None,
        n=n,
        of="models",
        method=_BOOTSTRAP.format(n=n_resamples) + "; estimate: median over models",
    )


def _lowered(k: int, n: int, noun: str) -> str:
    """Return in how many models the Brier score fell: ``lowered the Brier score in …``."""
    if extent(k, n) == "none":
        plain = "did not clearly lower the Brier score"
        return plain if n == 1 else f"{plain} in any {noun}"
    if n == 1:
        return "lowered the Brier score"
    return f"lowered the Brier score in {counted(k, n, noun)}"


def transferred_skill(table: pd.DataFrame, *, target: str) -> Finding:
    """Return whether a transferred confidence beats one number for all, and what a refit adds.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows of one map of :func:`medcal_nb.correct.transfer_study`.
    target : str
        What a reader calls it.
    """
    n = len(table)
    worse = int((table["skill_transferred"] < 0).sum())
    refitted = float(table["skill_refitted"].median())
    name = map_label(table["method"].iloc[0])
    if n == 1:
        direction = "worse" if worse else "better"
        claim = (
            f"confidence transferred by {name} was {direction} than giving every answer"
        )
        claim = f"{claim} the accuracy on {target}"
    elif extent(worse, n) == "none":
        claim = f"confidence transferred by {name} beat giving every answer"
        claim = f"{claim} the accuracy on {target}"
        claim = f"{claim} in {counted(n, n, 'pair')}"
    else:
        who = counted(worse, n, "model–method pair")
        claim = f"in {who} confidence transferred by {name} was worse than giving every answer"
        claim = f"{claim} the accuracy on {target}"
    claim = (
        f"{claim}; after refitting the median Brier skill score was {decimal(refitted)}"
    )
    title = f"Transferred, worse than one number in {worse} of {n} pairs"
    if n == 1:
        title = f"Transferred, {'worse' if worse else 'better'} than one number"
    return Finding(
        title=title,
        claim=sentence(claim),
        estimate=worse / n,
        interval=None,
        n=n,
        of="pairs",
        method="Brier skill score over the accuracy of the other folds, cross-fitted by image",
    )


def one_number(removed: pd.Series, *, target: str, n_resamples: int = 2000) -> Finding:
    """Return how much of the transfer cost the accuracy on the target removes.

    Parameters
    ----------
    removed : pandas.Series
        A row of :func:`medcal_nb.correct.share_removed`.
    target : str
        What a reader calls it.
    n_resamples : int
        Behind the interval.
    """
    share = float(removed["share_removed"])
    pairs = int(removed["pairs"])
    cost = decimal(float(removed["cost"]))
    number = f"one number, the accuracy on {target},"
    interval = None
    title = "What one number removes of the transfer cost"
    if math.isnan(share) or removed["cost_low"] <= 0:
        ends = ci(removed["cost_low"], removed["cost_high"], unit="decimal")
        claim = f"transfer was not shown to cost more than refitting (mean cost {cost}, {ends}):"
        claim = f"{claim} what {number} would remove is not known"
    else:
        low = float(removed["share_removed_low"])
        high = float(removed["share_removed_high"])
        interval = (low, high)
        title = f"One number removes {percent(min(share, 1.0))} of the transfer cost"
        mean = "mean transfer cost" if pairs > 1 else "transfer cost"
        claim = f"setting the intercept by {number} removed {percent(min(share, 1.0))}"
        claim = f"{claim} ({ci(low, high)}) of the {mean} of {cost} in Brier score"
    return Finding(
        title=title,
        claim=sentence(claim),
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
    n = int(counts["pairs"])
    fine = int(counts["non-inferior"] + counts["recalibration not needed"])
    inferior = int(counts["inferior"])
    blind = int(counts["no discrimination"])
    name = map_label(counts["method"])
    against = f"to refitting with these labels of {target} (margin {margin:g})"
    claim = f"{name} {was(1)} non-inferior {against} in {_count(fine, n)}"
    claim = f"{claim} and inferior in {_count(inferior, n)}"
    if blind:
        claim = f"{claim}; in {_count(blind, n)} confidence did not discriminate"
    if n == 1:
        word = next(name for name in CONCLUSIONS if counts[name] == 1)
        claim = f"transfer by {name} was judged “{word}”, compared {against}"
    title = f"Transfer is inferior to refitting in {inferior} of {n} pairs"
    if n == 1:
        title = "Transfer against refitting"
    return Finding(
        title=title,
        claim=sentence(claim),
        estimate=fine / n,
        interval=None,
        n=n,
        of="pairs",
        method="one-sided non-inferiority tests of the transfer cost, size 2.5 %",
        multiplicity=f"Holm over {n} pairs",
    )


def _count(k: int, n: int) -> str:
    return counted(k, n, "pair")


def labels(needed: pd.DataFrame, *, target: str) -> Finding:
    """Return from how many labels on a refit beats the transferred map.

    Parameters
    ----------
    needed : pandas.DataFrame
        Of :func:`medcal_nb.correct.labels_needed`, one elicitation method.
    target : str
        What a reader calls it.
    """
    largest = int(needed["n_max"].max())
    share = percent(float(needed["share"].iloc[0]))
    enough = needed[needed["n_refitted"] <= largest].sort_values("n_refitted")
    lacking = needed[~(needed["n_refitted"] <= largest)]
    n = len(needed)
    median = float(enough["n_refitted"].median()) if len(enough) else None
    if enough.empty:
        who = counted(n, n, "model")
        claim = f"for {who} {largest:,} labels of {target} were not enough for a refit"
        claim = f"{claim} to beat the transferred map in {share} of random draws"
    else:
        claim = (
            f"a refit beat the transferred map in at least {share} of random draws from"
        )
        claim = f"{claim} {_sizes(enough)} labels of {target} on"
        if len(lacking):
            verb = "was" if largest == 1 else "were"
            claim = f"{claim}; for {_models(lacking)} {largest:,} {verb} not enough"
    return Finding(
        claim=sentence(claim),
        estimate=median,
        interval=None,
        n=n,
        of="models",
        method=f"{int(needed['n_draws'].iloc[0]):,} random draws, scored on images set aside",
    )


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
    n = int(best["pairs"])
    off = points(float(best["mean_absolute_error"]))
    close = counted(int(best["within_05"]), n, "pair")
    claim = f"without labels the accuracy on {target} could not be known:"
    if best["mean_absolute_error"] < 0.05:
        claim = f"without labels the accuracy on {target} could be estimated:"
    claim = f"{claim} the best of three estimates, {best['estimator']}, was off by {off} on average"
    if n > 1:
        claim = f"{claim} and within 5 percentage points in {close}"
    return Finding(
        claim=sentence(claim),
        estimate=float(best["mean_absolute_error"]),
        interval=None,
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
        claim = f"discrimination on {target} is not defined: all answers are right, or all wrong"
        return Finding(
            claim=sentence(claim), estimate=None, interval=None, n=0, method="AUROC"
        )
    lower = int(
        ((known["auroc_difference"] < 0) & (known["auroc_p_holm"] < 0.05)).sum()
    )
    before = decimal(float(known["auroc_source"].median()))
    after = decimal(float(known["auroc"].median()))
    of = "AUROC" if n == 1 else "median AUROC"
    claim = f"{of} was {before} on {source} and {after} on {target}"
    if extent(lower, n) == "none":
        claim = f"{claim}; a loss was shown in {counted(0, n, 'pair')}"
    else:
        claim = f"{claim}, lower in {counted(lower, n, 'pair')}"
        claim = f"{claim}; a monotone map cannot restore it"
    return Finding(
        claim=sentence(claim),
        estimate=float(known["auroc_difference"].median()),
        interval=None,
        n=n,
        of="pairs",
        method="two-sample test of the AUROC (DeLong; Obuchowski by image)",
        multiplicity=f"Holm over {n} pairs" if n > 1 else "",
    )


def text_beside_images(images: pd.DataFrame, text: pd.DataFrame) -> Finding:
    """Return the transfer cost of medical images beside that of medical text.

    Parameters
    ----------
    images, text : pandas.DataFrame
        Of :func:`medcal_nb.correct.transfer_overview`, one map; several elicitation methods.
    """
    if text.empty or images.empty:
        return Finding(
            claim="Text was not measured beside images.",
            estimate=None,
            interval=None,
            n=0,
            of="models",
            method="transfer cost",
        )
    image_cost = _median_cost(images)
    text_cost = _median_cost(text)
    n_images = int(images["models"].max())
    n_text = int(text["models"].max())
    claim = (
        f"the median transfer cost was {decimal(image_cost)} for medical images "
        f"({n_images:,} models) and {decimal(text_cost)} for medical text "
        f"({n_text:,} LLMs, health against other subjects), a control that is not matched"
    )
    return Finding(
        claim=sentence(claim),
        estimate=image_cost - text_cost,
        interval=None,
        n=n_images + n_text,
        of="models",
        method="difference of median transfer costs (Brier score), a description",
    )


def _median_cost(overview: pd.DataFrame) -> float:
    """Return the median over elicitation methods of the median over models."""
    return float(overview["median_cost"].median())
