"""What people call the things that tables name in code, and their units."""

from __future__ import annotations

import tomllib
from pathlib import Path

_TEXT = Path(__file__).with_name("labels.toml").read_text(encoding="utf-8")
_TABLES = tomllib.loads(_TEXT)
#: Label of a model, by its name.
MODELS: dict[str, str] = _TABLES["models"]
#: Label of a column, method, data set or kind of image, by its name; those of models too.
LABELS: dict[str, str] = _TABLES["labels"] | MODELS
#: ``%`` for shares of answers, ``points`` for their differences; scores have none.
UNITS: dict[str, str] = _TABLES["units"]
#: ``higher`` or ``lower``: which way a number is better.
BETTER: dict[str, str] = _TABLES["better"]
#: Colour and mark in figures, in the order in which they stand.
LOOKS: dict[str, list[str]] = _TABLES["looks"]
#: What an axis calls a column, where a table calls it otherwise.
AXES: dict[str, str] = _TABLES["axes"]
#: What is concluded of an estimate: in words beside its mark.
CONCLUDED: list[str] = _TABLES["conclusions"]["names"]
#: What pdflatex reads in the place of a sign.
LATEX: dict[str, str] = _TABLES["latex"]


def label_of(name: object, column: str | None = None) -> str:
    """Return the label of a thing; the name itself where there is none.

    Parameters
    ----------
    name : object
        Name of a column, a method, a model, …
    column : str, optional
        The column that it is a value of: a model or reader that is called as a column of ours is
        shown as it is.

    Examples
    --------
    >>> label_of("slope"), label_of("slope", "model")
    ('calibration slope', 'slope')
    """
    labels = MODELS if column in ("model", "reader") else LABELS
    return labels.get(str(name), str(name))
