"""What a report says: its methods, its guideline table, and when answers are too few."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from medcal_nb.show import words
from medcal_nb.study.findings.finding import Finding

#: Sentences, references, citation and guideline items, with the places of their numbers.
TEXTS = tomllib.loads(
    Path(__file__).with_name("report.toml").read_text(encoding="utf-8")
)
_NUMBER = re.compile(r"\{(\w+(?:\.[\w-]+)+)(?:\|(\w+))?\}")
_FORMS = {
    None: words.estimate,
    "percent": words.shares,
    "points": words.points,
    "g": "{:g}".format,
}


def fill(text: str, numbers: Mapping[str, Any]) -> str | None:
    """Return a text with its numbers in their places; None where one of them is missing.

    Parameters
    ----------
    text : str
        Places are written ``{section.name}`` or ``{section.name|form}``; forms are percent,
        points and g.
    numbers : mapping
        The sections of ``report.json``. An estimate with its interval is a mapping of `estimate`,
        `low` and `high`.

    Examples
    --------
    >>> fill("{read.n} answers, {read.share|percent}", {"read": {"n": 4549, "share": 0.5}})
    '4,549 answers, 50 %'
    >>> fill("{read.n} answers", {"read": {}})
    """
    for place, path, form in [(m[0], m[1], m[2]) for m in _NUMBER.finditer(text)]:
        value: Any = numbers
        for name in path.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        values = tuple(value.values()) if isinstance(value, Mapping) else (value,)
        if pd.isna(values[0]):
            return None
        as_text = str if isinstance(values[0], str) else _FORMS[form]
        text = text.replace(place, as_text(*values))
    return text


def methods(numbers: Mapping[str, Any]) -> str:
    """Return the methods paragraph: a sentence for each thing that was computed."""
    return " ".join(filter(None, (fill(text, numbers) for text in TEXTS["methods"])))


def guideline_rows(numbers: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the items of TRIPOD+AI and CLAIM 2024, each with its value or why there is none.

    Returns
    -------
    list of dict
        `guideline`, `item`, `topic`, `section` (where the value stands), `text`, and `computed`,
        whether the value could be computed.
    """
    rows = []
    for item in TEXTS["item"]:
        text = fill(item["text"], numbers)
        computed = text is not None
        rows.append({**item, "text": text or item["missing"], "computed": computed})
    return rows


def limits(row: Mapping[str, Any], why_empty: str, *, least: int) -> list[Finding]:
    """Return a finding that these answers allow no conclusion; none where they do.

    Parameters
    ----------
    row : mapping
        A row of :func:`medcal_nb.measure.metrics_table`: `n`, and `n_images`, 0 where unknown.
    why_empty : str
        A sentence where confidence can be neither calibrated nor ranked; else empty.
    least : int
        So many answers, and images where they are known, are needed.
    """
    units = {"answers": int(row["n"]), "images": int(row["n_images"])}
    few = [f"{n:,} {unit}" for unit, n in units.items() if 0 < n < least]
    if few:
        why_empty = f"{' on '.join(few)} are too few (below {least}). {why_empty}"
    claim = f"{why_empty} Nothing can be concluded on calibration, discrimination or a threshold"
    return [Finding(claim=claim, n=row["n"], method="count")] if why_empty else []
