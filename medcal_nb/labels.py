"""What people call the things that tables name in code, and their units."""

from __future__ import annotations

import tomllib
from pathlib import Path

_TEXT = Path(__file__).with_name("labels.toml").read_text(encoding="utf-8")
_TABLES = tomllib.loads(_TEXT)
#: Label of a model, by its name.
MODELS: dict[str, str] = _TABLES["models"]
#: Label of a data set, by its name.
DATASETS: dict[str, str] = _TABLES["datasets"]
#: Label of a column, method or kind of image, by its name; those of data sets and models too.
LABELS: dict[str, str] = _TABLES["labels"] | DATASETS | MODELS
#: Labels of what people name themselves, by its column: their names are no labels of columns.
_OF_NAMES = {"model": MODELS, "reader": MODELS, "dataset": DATASETS}
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
        The column that it is a value of: a model, reader or data set that is called as a column
        of ours is shown as it is.

    Examples
    --------
    >>> label_of("slope"), label_of("slope", "model")
    ('calibration slope', 'slope')
    >>> label_of("p"), label_of("p", "dataset")
    ('P value', 'p')
    """
    return _OF_NAMES.get(column, LABELS).get(str(name), str(name))
