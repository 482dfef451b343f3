"""Exercises of the lesson: a question, hints one by one, an answer that is checked in the browser.

They are data, in ``exercises.toml``.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from medcal_nb.teach.lesson import Part

_EXERCISES = tomllib.loads(
    Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")
)
#: The exercises, in the lesson's order.
NAMES = tuple(_EXERCISES)


def ask(name: str) -> Part:
    """Return an exercise to be answered, one of `NAMES`."""
    return Part("exercise", {"exercise": exercise(name)})


def hand_in() -> Part:
    """Return the count of right exercises, the answers as a CSV file, and the count of a class."""
    return Part("hand_in", {"n": len(NAMES)})


def exercise(name: str) -> dict[str, Any]:
    """Return an exercise of the lesson.

    Parameters
    ----------
    name : str
        One of `NAMES`.

    Returns
    -------
    dict
        ``question``; ``answer``, a number or one of ``options`` (empty where a number is asked
        for); ``unit``, ``"%"`` where it is a percentage; ``form``, in what other form it is
        written; ``tolerance``, how far a number may be off; ``why`` the answer is right;
        ``hints``, from a nudge to nearly the solution; ``mistakes``, pairs of an answer that
        students give and what it has overlooked.

    Examples
    --------
    >>> exercise("threshold")["answer"]
    95
    """
    return {"options": [], "unit": "", "form": "", "tolerance": 0.0} | _EXERCISES[name]
