"""What is concluded about ensembles: against the best method, with a blank image, in tokens."""

from __future__ import annotations

import pandas as pd

from medcal_nb.show.words import label_of, short_name
from medcal_nb.study.findings.finding import (
    Finding,
    ci,
    counted,
    decimal,
    extent,
    of_all,
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
        title=_gain_title(len(better), n, f"the {rival}"),
    )


def _gain_title(better: int, n: int, rival: str) -> str:
    """Return in how many comparisons an ensemble beats its rival, as a title."""
    if better == 0:
        return f"No trained ensemble clearly beats {rival}"
    if n == 1:
        return f"The trained ensemble beats {rival}"
    return f"Ensembles beat {rival} in {of_all(better, n, 'comparison')}"


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
        title=_fall_title(less, n),
    )


def _fall_title(less: int, n: int) -> str:
    """Return in how many methods confidence falls less than accuracy, as a title."""
    if less == 0:
        return "Without the image confidence falls as far as accuracy"
    where = f" in {of_all(less, n, 'method')}" if n > 1 else ""
    return f"Blank image: confidence falls too little{where}"


def lowest(table: pd.DataFrame, model: str) -> Finding:
    """Return which method or ensemble of a model has the lowest Brier score.

    Parameters
    ----------
    table : pandas.DataFrame
        Of :func:`medcal_nb.correct.ensemble_table`.
    model : str
        Whose.
    """
    own = table[table["model"] == model]
    best = own.loc[own["brier"].idxmin()]
    interval = (float(best["brier_low"]), float(best["brier_high"]))
    name = label_of(best["ensemble"])
    how = ""
    if label_of(best["recalibration"]) not in name:
        how = f" ({label_of(best['recalibration'])})"
    score = f"{decimal(best['brier'])}, {ci(*interval, unit='decimal')}"
    title = f"{short_name(model, 18)}: {short_name(name, 26)} scores lowest"
    return Finding(
        claim=sentence(
            f"of {label_of(model)} {name}{how} had the lowest Brier score ({score})"
        ),
        estimate=float(best["brier"]),
        interval=interval,
        n=int(best["n"]),
        method="cross-fitted Brier score; bootstrap by image",
        multiplicity=f"lowest of {len(own)}, not corrected for the choice",
        title=title,
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
