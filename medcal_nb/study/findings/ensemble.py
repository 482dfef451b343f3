"""What is concluded about ensembles: against the best method, with a blank image, in tokens."""

from __future__ import annotations

import pandas as pd

from medcal_nb.show.words import label_of
from medcal_nb.study.findings.finding import (
    Finding,
    ci,
    counted,
    decimal,
    extent,
    percent,
    points,
    sentence,
)

_RIVALS = {
    "best method": "the best single method",
    "expert": "the expert alone",
}


def ensemble_gain(changes: pd.DataFrame, *, rival: str = "best method") -> Finding:
    """Return whether trained ensembles beat their rival, by Brier score.

    Parameters
    ----------
    changes : pandas.DataFrame
        Of :func:`medcal_nb.correct.ensemble_change_table`.
    rival : {"best method", "expert"}
        Whom they are compared with.
    """
    none = Finding(
        claim="One elicitation method alone leaves nothing to combine.",
        estimate=None,
        interval=None,
        n=0,
        of="models",
        method="paired bootstrap by image",
    )
    if changes.empty:
        return none
    rows = changes[changes["rival"] == rival]
    rows = rows[rows["recalibration"] == "trained"]
    if rows.empty:
        return none
    n = len(rows)
    better = rows[rows["conclusion"] == "better"]
    worse = int((rows["conclusion"] == "worse").sum())
    change = float(rows["change"].median())
    against = _RIVALS[rival]
    share = counted(len(better), n, "comparison")
    if n == 1:
        row = rows.iloc[0]
        interval = (float(row["change_low"]), float(row["change_high"]))
        verdict = {
            "better": "was better than",
            "worse": "was worse than",
        }.get(row["conclusion"], "was not shown to differ from")
        moved = f"{decimal(change)}, {ci(*interval, unit='decimal')}"
        claim = (
            f"a trained ensemble {verdict} {against} (change in Brier score {moved})"
        )
    else:
        interval = None
        claim = f"trained ensembles had a lower Brier score than {against} in {share}"
        if len(better):
            low = decimal(float(better["change"].abs().min()))
            high = decimal(float(better["change"].abs().max()))
            claim = f"{claim} (by {low} to {high})"
        if extent(worse, n) != "none":
            claim = f"{claim} and a higher one in {counted(worse, n, 'comparison')}"
    return Finding(
        claim=sentence(claim),
        estimate=change,
        interval=interval,
        n=n,
        of="comparisons",
        method="paired bootstrap by image, rival with Platt scaling, same labels",
        multiplicity=f"Holm over {int((changes['rival'] == rival).sum())} comparisons",
    )


def tokens_needed(tokens: pd.DataFrame) -> Finding:
    """Return the cheapest way to a Brier score that is tied with the lowest.

    Parameters
    ----------
    tokens : pandas.DataFrame
        Of :func:`medcal_nb.correct.token_table`, one model.
    """
    if tokens.empty:
        return Finding(
            claim="The number of tokens is not recorded in these answers.",
            estimate=None,
            interval=None,
            n=0,
            method="tokens written",
        )
    tied = tokens[tokens["tied"]].sort_values(["new_tokens", "brier"])
    cheap = tied.iloc[0]
    most = float(tokens["new_tokens"].max())
    change = ci(cheap["change_low"], cheap["change_high"], unit="decimal")
    claim = (
        f"{label_of(cheap['ensemble'])} wrote {cheap['new_tokens']:,.0f} tokens a question, the "
        f"most expensive ensemble {most:,.0f}; its Brier score was higher than the lowest by "
        f"{decimal(float(cheap['change']))} ({change})"
    )
    return Finding(
        claim=sentence(claim),
        estimate=float(cheap["change"]),
        interval=(float(cheap["change_low"]), float(cheap["change_high"])),
        n=int(cheap["n"]),
        method="paired bootstrap by image",
    )


def image_ablation_fall(reliance: pd.DataFrame) -> Finding:
    """Return how far accuracy and confidence fall without the image.

    Parameters
    ----------
    reliance : pandas.DataFrame
        Of :func:`medcal_nb.correct.image_ablation_table`, one model, uncorrected.
    """
    if reliance.empty:
        return Finding(
            claim="No method was asked with a blank image.",
            estimate=None,
            interval=None,
            n=0,
            of="methods",
            method="image ablation",
        )
    n = len(reliance)
    accuracy = -float(reliance["accuracy_change"].median())
    confidence = -float(reliance["confidence_change"].median())
    less = int((reliance["excess_low"] > 0).sum())
    claim = (
        f"without the image accuracy fell by {points(accuracy)} and mean confidence by"
    )
    claim = f"{claim} {points(confidence)} (medians over methods)"
    if extent(less, n) == "none":
        claim = f"{claim}; no method's confidence clearly fell less than its accuracy"
    else:
        claim = f"{claim}; confidence fell clearly less than accuracy in"
        claim = f"{claim} {counted(less, n, 'method')}"
    return Finding(
        claim=sentence(claim),
        estimate=accuracy - confidence,
        interval=None,
        n=n,
        of="methods",
        method="bootstrap by image, paired with and without the image",
    )


def majority(table: pd.DataFrame) -> Finding:
    """Return what a majority of models is worth beside the best of them.

    Parameters
    ----------
    table : pandas.DataFrame
        Of :func:`medcal_nb.correct.agreement_table`.
    """
    if table.empty:
        return Finding(
            claim="Fewer than three models gave plain answers to the same questions.",
            estimate=None,
            interval=None,
            n=0,
            method="accuracy of a majority",
        )
    row = table[table["who"] == "majority"].iloc[0]
    apart = table[table["who"] == "majority, all agree"]
    change = float(row["change"])
    interval = (float(row["change_low"]), float(row["change_high"]))
    direction = "above" if change > 0 else "below"
    claim = (
        f"on {int(row['n']):,} questions the majority of models was correct on "
        f"{percent(row['accuracy'])}, {points(change)} {direction} the best single model "
        f"({ci(*interval, unit='points')})"
    )
    if len(apart):
        agreed = percent(apart["accuracy"].iloc[0])
        claim = f"{claim}; where all agreed it was correct on {agreed}"
    return Finding(
        claim=sentence(claim),
        estimate=change,
        interval=interval,
        n=int(row["n"]),
        method="paired bootstrap by image",
    )
