"""Findings of notebook 02: overconfidence, skill, confident errors, a calibrated model's ECE."""

from __future__ import annotations

import numpy as np
import pandas as pd

from medcal_nb.show.panels import MOST_LETTERS
from medcal_nb.show.words import label_of
from medcal_nb.study.findings.finding import (
    Finding,
    base_rate,
    ci,
    ci_of,
    counted,
    decimal,
    ends_of,
    number_word,
    of_all,
    percent,
    points,
    unit_of,
    was,
)
from medcal_nb.study.findings.overview import headline


def resampled_by(scores: pd.DataFrame) -> str:
    """Return ``by image`` where images are known in every row of a table of scores, else answer."""
    return f"by {unit_of(scores)}"


def note(scores: pd.DataFrame, level: float, what: str = "Bars") -> str:
    """Return the small print of a figure: what its bars or bands are."""
    return f"{what}: {percent(level)} CI {resampled_by(scores)}."


def close_up_note(scores: pd.DataFrame, strategy: str, level: float) -> str:
    """Return the small print of the calibration curves: whose they are, and their bands."""
    name = label_of(scores["model"].iloc[0])
    bands = note(scores, level, "Bands")
    return (
        f"{name}, {label_of(strategy)}. {bands} No curve where < 20 answers are near."
    )


def overconfidence(
    scores: pd.DataFrame, model: str, side: str, *, event: str = ""
) -> Finding:
    """Return how many models are overconfident on a side, and by how much the one looked at is.

    Parameters
    ----------
    scores : pandas.DataFrame
        One row per model and side, of one elicitation method: `model, side, n, n_images`, and
        `accuracy, mean_confidence, gap` with `_low, _high`.
    model, side : str
        The model looked at, and where.
    event : str
        What confidence is a probability of, where it is not the answer's being correct: ``cancer``.
    """
    there = scores[scores["side"] == side]
    one = there[there["model"] == model].iloc[0]
    n = len(there)
    over = there[there["gap_low"] > 0]
    under = there[there["gap_high"] < 0]
    answers = f"{int(one['n']):,} answers ({ci_of(one, 'accuracy')})"
    mean = percent(one["mean_confidence"])
    correct = percent(one["accuracy"])
    own = (
        f"{label_of(model)} had a mean confidence of {mean} and "
        f"{_was(model)} correct on {correct} of {answers}"
    )
    if event:
        claim = _as_probability(one, side, event)
    elif n == 1:
        claim = f"on {side} {_direction(one)}: mean confidence {mean}, accuracy {correct} of"
        claim = f"{claim} {answers}"
    elif len(over):
        claim = (
            f"{counted(len(over), n, 'model')} {was(len(over))} overconfident on {side}, by "
            f"{_range(over['gap'])}; {own}"
        )
    elif len(under):
        claim = (
            f"{counted(len(under), n, 'model')} were underconfident on {side}; {own}"
        )
    else:
        claim = f"no model was clearly over- or underconfident on {side}; {own}"
    return Finding(
        claim=claim,
        estimate=one["gap"],
        interval=ends_of(one, "gap"),
        n=one["n"],
        method=f"mean confidence minus accuracy; bootstrap {resampled_by(there)}",
        multiplicity="" if n == 1 else f"95 % CI above 0, uncorrected over {n} models",
        title=headline(there, event),
    )


def _as_probability(row: pd.Series, side: str, event: str) -> str:
    """Return how confidence lies to the share in which an event was there."""
    off = "not clearly too high or too low"
    if row["gap_low"] > 0:
        off = f"too high by {points(row['gap'])}"
    elif row["gap_high"] < 0:
        off = f"too low by {points(row['gap'])}"
    return (
        f"on {side} the confidence of {label_of(row['model'])}, read as a probability of "
        f"{event}, was {off}: its mean was {percent(row['mean_confidence'])}, with {event} in "
        f"{percent(row['accuracy'])} of {int(row['n']):,} answers ({ci_of(row, 'accuracy')})"
    )


def _direction(row: pd.Series) -> str:
    """Return how one model's confidence lies to its accuracy."""
    name = label_of(row["model"])
    if row["gap_low"] > 0:
        return f"{name} {_was(row['model'])} overconfident by {points(row['gap'])}"
    if row["gap_high"] < 0:
        return f"{name} {_was(row['model'])} underconfident by {points(row['gap'])}"
    return f"{name} {_was(row['model'])} neither clearly over- nor underconfident"


def _was(model: str) -> str:
    """Return the verb that goes with a model, or with several readers taken as one."""
    return "were" if model[:1].isdigit() else "was"


def _range(gaps: pd.Series) -> str:
    """Return the least and the largest of some differences, in percentage points."""
    least = points(gaps.min())
    most = points(gaps.max())
    if least == most:
        return most
    return f"{least.split()[0]} to {most}"


def skill(scores: pd.DataFrame, side: str, *, event: str = "") -> Finding:
    """Return in how many model–method pairs confidence is worse than one number for all answers.

    Parameters
    ----------
    scores : pandas.DataFrame
        One row per model and method on that side: `brier_skill` with `_low, _high`, `n`,
        `n_images`.
    side : str
        Where.
    event : str
        As in :func:`overconfidence`.
    """
    known = scores.dropna(subset=["brier_skill_low"])
    n = len(known)
    worse = int((known["brier_skill_high"] < 0).sum())
    better = int((known["brier_skill_low"] > 0).sum())
    if n == 0:
        return Finding(
            claim=f"The Brier skill score could not be measured on {side}.",
            of="pairs",
            method="every answer was correct, or every one wrong",
            title="Every answer was correct, or every one wrong",
        )
    median = known["brier_skill"].median()
    rival = "giving every answer the model's accuracy"
    if event:
        rival = f"giving every answer the {base_rate(event)}"
    interval = None
    if n == 1:
        row = known.iloc[0]
        interval = ends_of(row, "brier_skill")
        word = "better" if better else "worse" if worse else "not clearly different"
        joint = "from" if word.startswith("not") else "than"
        claim = (
            f"on {side} the uncorrected confidence was {word} {joint} {rival} "
            f"(Brier skill score {decimal(median)}, {ci(*interval, unit='decimal')})"
        )
    else:
        # estimates are counted, as in the finding on transferred confidence
        clearly = worse, better
        worse = int((known["brier_skill"] < 0).sum())
        better = int((known["brier_skill"] > 0).sum())
        n_clear = clearly[0] if worse else clearly[1]
        clear = number_word(n_clear) if n_clear else "none"
        word = "worse" if worse else "better"
        pairs = counted(worse or better, n, "model–method pair")
        claim = (
            f"on {side} the uncorrected confidence was {word} than {rival} in {pairs} "
            f"(in {clear} the 95 % CI excluded 0; median Brier skill score {decimal(median)})"
        )
    return Finding(
        claim=claim,
        estimate=median,
        interval=interval,
        n=n,
        of="pairs",
        method=f"Brier skill score over the base rate; bootstrap {resampled_by(known)}",
        multiplicity="" if n == 1 else f"counts not corrected over {n} pairs",
        title=_skill_title(worse, better, n),
    )


def _skill_title(worse: int, better: int, n: int) -> str:
    """Return in how many pairs confidence is worth less, or more, than the accuracy alone."""
    where = f" in {of_all(worse or better, n, 'pair')}" if n > 1 else ""
    if worse:
        return f"Confidence is worse than accuracy alone{where}"
    if better:
        return f"Confidence beats accuracy alone{where}"
    return "Confidence never clearly beats accuracy alone"


def confident_errors(scores: pd.DataFrame, side: str, *, event: str = "") -> Finding:
    """Return the share of a model's errors whose confidence was at least 90 %.

    Parameters
    ----------
    scores : pandas.DataFrame
        One row of the close-up on that side: `model, n, accuracy, confidently_wrong` with ends.
    side : str
        Where.
    event : str
        As in :func:`overconfidence`; errors are then the answers without it.
    """
    row = scores[scores["side"] == side].iloc[0]
    name = label_of(row["model"])
    share = row["confidently_wrong"]
    if np.isnan(share):
        return Finding(
            claim=f"{name} made no error on {side}.",
            n=row["n"],
            method="count",
            title="There was no error",
        )
    low, high = ends_of(row, "confidently_wrong")
    wrong = round((1 - row["accuracy"]) * row["n"])
    whose = "their" if _was(row["model"]) == "were" else "its"
    of_errors = f"{whose} single error" if wrong == 1 else f"{whose} {wrong:,} errors"
    errors = "errors"
    if event:
        errors = f"answers without {event}"
        of_errors = f"{wrong:,} {errors}"
    if share == 0:
        claim = f"on {side} {name} gave a confidence below 90 % to {of_errors}"
        claim += f" (share at 90 % or more: at most {percent(high)}, 95 % CI)"
    else:
        claim = (
            f"on {side} {name} gave a confidence of at least 90 % to {percent(share)} of "
            f"{of_errors} ({ci(low, high)})"
        )
    return Finding(
        claim=claim,
        estimate=share,
        interval=(low, high),
        n=wrong,
        of="errors",
        method="Wilson score interval, by image where images are known",
        title=_errors_title(share, errors, side),
    )


def _errors_title(share: float, errors: str, side: str) -> str:
    """Return how many errors are confident ones, as a title; where, if there is room."""
    title = f"{percent(share)} of {errors} on {side} are at ≥ 90 % confidence"
    return title if len(title) <= MOST_LETTERS else title.replace(f" on {side}", "")


def discrimination(tests: pd.DataFrame, side: str) -> Finding:
    """Return in how many pairs confidence does not tell right from wrong answers, or reversely.

    Parameters
    ----------
    tests : pandas.DataFrame
        One row per model and method: `auroc, p_holm, conclusion` with the conclusions of
        :func:`medcal_nb.measure.auroc_test` after Holm's correction.
    side : str
        Where.
    """
    n = len(tests)
    counts = tests["conclusion"].value_counts()
    good = int(counts.get("discriminates", 0))
    reverse = int(counts.get("reversed", 0))
    median = tests["auroc"].median()
    claim = (
        f"on {side} confidence told correct from wrong answers in "
        f"{counted(good, n, 'model–method pair')} (median AUROC {decimal(median)})"
    )
    if reverse:
        claim += (
            f"; it was reversed, AUROC below one half, in {counted(reverse, n, 'pair')}"
        )
    return Finding(
        claim=claim,
        estimate=median,
        n=n,
        of="pairs",
        method="DeLong's test against one half, by image where images are known",
        multiplicity=f"Holm over {n} pairs" if n > 1 else "",
    )


def ece_by_chance(bias: pd.DataFrame, coverage: pd.DataFrame) -> Finding:
    """Return the ECE that a calibrated model shows by chance, and which intervals cover it.

    Parameters
    ----------
    bias : pandas.DataFrame
        Of :func:`medcal_nb.measure.estimator_bias_table`, a calibrated world, one n.
    coverage : pandas.DataFrame
        Of :func:`medcal_nb.measure.coverage_table`, the same world and n.
    """
    plain = bias[bias["estimator"] == "ece_width"].iloc[0]
    by_kind = coverage.set_index("interval")
    usual = by_kind.loc["bootstrap"]
    ours = by_kind.loc["inversion"]
    expected = (
        f"with {int(plain['n']):,} answers a perfectly calibrated model had an expected ECE of "
        f"{decimal(plain['mean'])}"
    )
    share = percent(ours["coverage"])
    if usual["coverage"] == 0:
        claim = (
            f"{expected}; the percentile bootstrap interval never covered the true value, the "
            f"test-inversion interval in {share} of samples"
        )
    else:
        claim = (
            f"{expected}; the percentile bootstrap interval covered the true value in "
            f"{percent(usual['coverage'])} of samples, the test-inversion interval in {share}"
        )
    return Finding(
        claim=claim,
        estimate=plain["mean"],
        n=ours["n_repeats"],
        of="samples",
        method="simulation with these confidences, each taken as true",
    )
