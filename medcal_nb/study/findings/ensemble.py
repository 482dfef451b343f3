"""What is concluded about ensembles: against the best method, with a blank image, in tokens."""

from __future__ import annotations

import pandas as pd

from medcal_nb.show.panels import MOST_LETTERS
from medcal_nb.show.words import label_of, short_name
from medcal_nb.study.findings.finding import (
    Finding,
    ci,
    ci_of,
    counted,
    decimal,
    ends_of,
    of_all,
    percent,
    points,
)

_RIVAL = "best method"


def ensemble_gain(changes: pd.DataFrame) -> Finding:
    """Return whether trained ensembles beat the best single method, by Brier score.

    Parameters
    ----------
    changes : pandas.DataFrame
        Of :func:`medcal_nb.correct.ensemble_change_table`.
    """
    rows = changes
    if len(changes):
        rows = changes[changes["rival"] == _RIVAL]
        rows = rows[rows["recalibration"] == "trained"]
    if rows.empty:
        return Finding(
            claim="One elicitation method alone leaves nothing to combine.",
            of="models",
            method="paired bootstrap by image",
        )
    n = len(rows)
    better = rows[rows["conclusion"] == "better"]
    worse = int((rows["conclusion"] == "worse").sum())
    change = rows["change"].median()
    against = "the best single method"
    noun = "model" if rows["model"].is_unique else "comparison"
    share = counted(len(better), n, noun)
    if n == 1:
        row = rows.iloc[0]
        interval = ends_of(row, "change")
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
            low = decimal(better["change"].abs().min())
            high = decimal(better["change"].abs().max())
            claim = f"{claim} (by {low} to {high}, Holm-adjusted)"
        if worse:
            claim = f"{claim} and a higher one in {counted(worse, n, noun)}"
    return Finding(
        claim=claim,
        estimate=change,
        interval=interval,
        n=n,
        of="comparisons",
        method="paired bootstrap by image, rival with Platt scaling, same labels",
        multiplicity=f"Holm over {(changes['rival'] == _RIVAL).sum()} comparisons",
        title=_gain_title(len(better), n, noun),
    )


def _gain_title(better: int, n: int, noun: str) -> str:
    """Return in how many models an ensemble beats the best method, as a title."""
    if better == 0:
        return "No trained ensemble clearly beats the best method"
    if n == 1:
        return "The trained ensemble beats the best method"
    return f"Ensembles beat the best method in {of_all(better, n, noun)}"


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
            method="tokens written",
        )
    tied = tokens[tokens["tied"]].sort_values(["new_tokens", "brier"])
    cheap = tied.iloc[0]
    most = tokens["new_tokens"].max()
    change = ci_of(cheap, "change", unit="decimal")
    claim = (
        f"{label_of(cheap['ensemble'])} wrote {cheap['new_tokens']:,.0f} tokens a question, the "
        f"most expensive ensemble {most:,.0f}; its Brier score was higher than the lowest by "
        f"{decimal(cheap['change'])} ({change})"
    )
    return Finding(
        claim=claim,
        estimate=cheap["change"],
        interval=ends_of(cheap, "change"),
        n=cheap["n"],
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
            of="methods",
            method="image ablation",
        )
    n = len(reliance)
    accuracy = -reliance["accuracy_change"].median()
    confidence = -reliance["confidence_change"].median()
    less = int((reliance["excess_low"] > 0).sum())
    rest = "no method's confidence clearly fell less than its accuracy"
    if less:
        where = counted(less, n, "method")
        rest = f"confidence fell clearly less than accuracy in {where}"
    claim = (
        f"without the image accuracy fell by {points(accuracy)} and mean confidence by "
        f"{points(confidence)} (medians over methods); {rest}"
    )
    return Finding(
        claim=claim,
        estimate=accuracy - confidence,
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
    interval = ends_of(best, "brier")
    name = label_of(best["ensemble"])
    how = ""
    if label_of(best["recalibration"]) not in name:
        how = f" ({label_of(best['recalibration'])})"
    score = f"{decimal(best['brier'])}, {ci(*interval, unit='decimal')}"
    title = f"{label_of(model)}: {name} scores lowest"
    if len(title) > MOST_LETTERS:
        title = f"{short_name(model, 18)}: {short_name(name, 25)} scores lowest"
    return Finding(
        claim=f"of {label_of(model)} {name}{how} had the lowest Brier score ({score})",
        estimate=best["brier"],
        interval=interval,
        n=best["n"],
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
            method="accuracy of a majority",
        )
    row = table[table["who"] == "majority"].iloc[0]
    apart = table[table["who"] == "majority, all agree"]
    change = row["change"]
    interval = ends_of(row, "change")
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
        claim=claim,
        estimate=change,
        interval=interval,
        n=row["n"],
        method="paired bootstrap by image",
    )
