"""What a report says: findings, methods, citation, and the guideline table."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from medcal_nb.show import words
from medcal_nb.study.findings.finding import (
    Finding,
    ci,
    decimal,
    percent,
    points,
    sentence,
)

#: Below so many answers or images nothing is concluded.
LEAST = 30
_GUIDELINES = Path(__file__).with_name("guidelines.toml")
_NUMBER = re.compile(r"\{([\w.]+)(?:\|(\w+))?\}")
#: What stands in Methods, and where it comes from.
REFERENCES = {
    "calibration": "Van Calster et al., BMC Medicine 2019;17:230 (hierarchy of calibration).",
    "ece": "Guo et al., ICML 2017, arXiv:1706.04599 (expected calibration error).",
    "ici": "Austin and Steyerberg, Stat Med 2019;38:4051 (ICI, E50, E90).",
    "certified": "Angelopoulos et al., arXiv:2110.01052 (Learn then Test).",
    "net benefit": "Vickers and Elkin, Med Decis Making 2006;26:565 (decision curve).",
    "sample size": "Riley et al., BMJ 2024;384:e074821 (sample size of an evaluation).",
    "readers": "Gallas, Acad Radiol 2006;13:353 (readers and cases).",
}


def overconfidence(name: str, row: Mapping[str, Any], *, method: str) -> Finding:
    """Return how far mean confidence and accuracy of a model lie apart.

    Parameters
    ----------
    name : str
        Model and elicitation method, as the sentence names them.
    row : mapping
        A row of :func:`medcal_nb.measure.metrics_table`: `n`, `accuracy`, `mean_confidence`, `gap`
        and the ends of the last.
    method : str
        How intervals were made.
    """
    n = int(row["n"])
    low = row["gap_low"]
    high = row["gap_high"]
    interval = (low, high) if pd.notna(low) else None
    values = {"estimate": row["gap"], "interval": interval, "n": n, "method": method}
    stated = (
        f"mean confidence {percent(row['mean_confidence'])}, accuracy "
        f"{percent(row['accuracy'])} of {n:,} answers"
    )
    if n < LEAST or interval is None:
        claim = (
            f"{n:,} answers of {name} are too few to conclude on calibration: {stated}"
        )
    elif low <= 0 <= high:
        claim = (
            f"{name}: no over- or underconfidence was shown on average "
            f"({ci(low, high, unit='points')} points): {stated}"
        )
    else:
        side = "overconfident" if low > 0 else "underconfident"
        claim = (
            f"{name} was {side} by {points(row['gap'])} "
            f"({ci(low, high, unit='points')}): {stated}"
        )
    return Finding(claim=sentence(claim), **values)


def discrimination(row: Mapping[str, Any], *, method: str) -> Finding:
    """Return whether confidence ranks right answers above wrong ones, from a metrics row."""
    estimate = row["auroc"]
    low = row["auroc_low"]
    high = row["auroc_high"]
    if pd.isna(estimate) or pd.isna(low):
        claim = "Discrimination could not be measured: it takes right and wrong answers"
        interval = None
    else:
        interval = (low, high)
        stated = f"AUROC {decimal(estimate)}, {ci(low, high, unit='decimal')}"
        if low > 0.5:
            claim = f"Confidence was higher for right than for wrong answers ({stated})"
        elif high < 0.5:
            claim = f"Confidence was higher for wrong than for right answers ({stated})"
        else:
            claim = f"No discrimination of right and wrong answers was shown ({stated})"
    return Finding(
        claim=sentence(claim),
        estimate=None if interval is None else estimate,
        interval=interval,
        n=int(row["n"]),
        method=method,
    )


def certified(row: Mapping[str, Any] | None, *, target: float, delta: float) -> Finding:
    """Return which share of answers a certified threshold keeps.

    Parameters
    ----------
    row : mapping or None
        A row of :func:`medcal_nb.measure.selective_coverage_table`; None where there is none.
    target, delta : float
        Largest risk, and the probability with which it may be exceeded.
    """
    method = f"certified threshold, risk {percent(target)}, δ = {delta}, random halves"
    if row is None:
        claim = "No threshold was looked for: it takes right and wrong answers"
        return Finding(
            claim=sentence(claim), estimate=None, interval=None, n=0, method=method
        )
    n_fit = int(row["n_fit"])
    if row["certified"] == 0:
        claim = (
            f"No threshold could be certified at a risk of {percent(target)} with {n_fit:,} "
            "calibration answers: every answer must be checked"
        )
        interval = None
    else:
        interval = (row["risk_low"], row["risk_high"])
        claim = (
            f"At a certified risk of at most {percent(target)} ({n_fit:,} calibration answers, "
            f"δ = {delta}), {percent(row['coverage'])} of answers could be kept; "
            f"{percent(row['risk'])} of these were wrong ({ci(*interval)})"
        )
    return Finding(
        claim=sentence(claim),
        estimate=row["coverage"],
        interval=interval,
        n=int(row["n"]),
        method=method,
    )


def transferred(row: Mapping[str, Any], names: Mapping[str, Any]) -> list[Finding]:
    """Return what a map of another data set was worth, from a row of a transfer study.

    Parameters
    ----------
    row : mapping
        A row of the table of :func:`medcal_nb.correct.transfer_study`, each estimate as a mapping
        of `estimate`, `low` and `high`.
    names : mapping
        `source` and `target` in words.
    """
    cost = row["cost"]
    interval = (cost["low"], cost["high"])
    words_of = {
        "non-inferior": "was non-inferior to refitting",
        "inferior": "was inferior to refitting",
        "inconclusive": "was neither shown to be inferior nor non-inferior to refitting",
        "recalibration not needed": "was not needed, and neither was refitting",
        "no discrimination": "had no discrimination to work with",
    }
    claim = (
        f"The map fitted on {names['source']} {words_of[row['conclusion']]} on {names['target']} "
        f"(transfer cost {decimal(cost['estimate'])} of the Brier score, "
        f"{ci(*interval, unit='decimal')})"
    )
    method = f"margin {row['margin']:g} of the Brier score"
    n = int(row["n_target"])
    return [
        Finding(
            claim=sentence(claim),
            estimate=cost["estimate"],
            interval=interval,
            n=n,
            method=method,
        )
    ]


def guideline_rows(numbers: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the items of TRIPOD+AI and CLAIM 2024, each with its value or why there is none.

    Parameters
    ----------
    numbers : mapping
        The sections of ``report.json``.

    Returns
    -------
    list of dict
        `guideline`, `item`, `topic`, `section` (where the value stands), `heading` (of a link),
        `text`, and `computed`, whether the value could be computed.
    """
    items = tomllib.loads(_GUIDELINES.read_text(encoding="utf-8"))["item"]
    rows = []
    for item in items:
        values = {
            match[0]: value_at(numbers, match[1], match[2])
            for match in _NUMBER.finditer(item["text"])
        }
        computed = None not in values.values()
        text = item["text"] if computed else item["missing"]
        for mark, value in values.items():
            text = text.replace(mark, str(value))
        row = {name: item[name] for name in ("guideline", "item", "topic", "section")}
        heading = item["section"].replace("_", " ")
        rows.append(row | {"heading": heading, "text": text, "computed": computed})
    return rows


def value_at(numbers: Mapping[str, Any], path: str, form: str | None) -> str | None:
    """Return a number of the report as text, by its dotted path; None where it is missing."""
    value: Any = numbers
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    if isinstance(value, Mapping):
        value = value if pd.notna(value.get("estimate")) else None
        return value and words.estimate(
            value["estimate"], value.get("low"), value.get("high")
        )
    if value is None or isinstance(value, str):
        return value
    if pd.isna(value):
        return None
    return percent(value) if form == "percent" else words.number(value)


def methods(numbers: Mapping[str, Any]) -> str:
    """Return the methods paragraph of a report, from the numbers under ``methods`` and ``read``."""
    m = numbers["methods"]
    clip = ""
    if m.get("clip"):
        ends = f"[{m['clip']:g}, {1 - m['clip']:g}]"
        clip = f"Confidences were moved into {ends} for slope and intercept. "
    return (
        f"Calibration was assessed on {numbers['read']['n_measured']:,} graded answers with a "
        f"confidence. Intervals are {percent(m['level'])} intervals "
        f"{numbers['read']['intervals']}, from {m['n_resamples']:,} bootstrap resamples; that of "
        f"the expected calibration error ({m['n_bins']} bins of equal width) inverts a test. "
        f"{clip}Recalibration by {m['map']} was cross-fitted in "
        f"{m['n_folds']} folds. A threshold was certified for a risk of at most "
        f"{percent(m['target'])} with probability {1 - m['delta']:g}. Non-inferiority of a "
        f"transferred map was tested with a margin of {m['margin']:g} of the Brier score. "
        f"Random numbers started from seed {m['seed']}; medcal {m['version']}, "
        f"Python {m['python']}, numpy {m['numpy']}, scipy {m['scipy']}."
    )


def bibtex(version: str, year: int) -> str:
    """Return the BibTeX entry of the workbook."""
    return (
        "@software{medcal,\n"
        "  title   = {MedCal: confidence calibration of multimodal LLMs on medical images},\n"
        "  author  = {{The MedCal workbook authors}},\n"
        f"  version = {{{version}}},\n"
        f"  year    = {{{year}}}\n"
        "}"
    )
