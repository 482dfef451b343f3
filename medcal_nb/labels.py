"""What people call the things that tables name in code, and their units."""

from __future__ import annotations

import tomllib
from pathlib import Path

_TEXT = Path(__file__).with_name("labels.toml").read_text(encoding="utf-8")
#: Label of a column, model, method, data set or kind of image, by its name.
LABELS: dict[str, str] = tomllib.loads(_TEXT)["labels"]
#: ``%`` for shares of answers, ``points`` for their differences; scores have none.
UNITS: dict[str, str] = tomllib.loads(_TEXT)["units"]


def label_of(name: object) -> str:
    """Return the label of a column, a model or a method; the name itself where there is none.

    Examples
    --------
    >>> label_of("platt"), label_of("my-model")
    ('Platt scaling', 'my-model')
    """
    return LABELS.get(str(name), str(name))
