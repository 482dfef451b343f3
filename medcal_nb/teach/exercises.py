"""Exercises of the lesson: a question, hints one by one, an answer that is checked in the browser.

The words are in ``exercises.toml``; right answers and the numbers in the words are computed here,
from the lab that stands above an exercise where it asks about that.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np

from medcal_nb.measure import auroc, best_threshold, ece, wilson_interval
from medcal_nb.teach.lab import LEVELS, answers, mean_ece
from medcal_nb.teach.lesson import Part

_WORDS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
#: The exercises, in the lesson's order.
NAMES = tuple(_WORDS)
_LAB = {"right": LEVELS, "n": 100, "bins": 15, "prevalence": 0.46}


def ask(name: str, picture: Part | None = None) -> Part:
    """Return an exercise to be answered.

    Parameters
    ----------
    name : str
        One of `NAMES`.
    picture : Part, optional
        The lab that it asks about, of which its numbers are computed.
    """
    settings = picture.values["settings"] if picture else {}
    return Part("exercise", {"exercise": exercise(name, **settings)})


def hand_in() -> Part:
    """Return the count of right exercises, the answers as a CSV file, and the count of a class."""
    return Part("hand_in", {"n": len(NAMES)})


def exercise(name: str, **settings: Any) -> dict[str, Any]:
    """Return an exercise of the lesson.

    Parameters
    ----------
    name : str
        One of `NAMES`.
    **settings
        Those of the lab above it.

    Returns
    -------
    dict
        ``question``; ``answer``, a number or one of ``options`` (empty where a number is asked
        for); ``unit``, ``"%"`` where it is a percentage; ``tolerance``, how far a number may be
        off; ``why`` the answer is right; ``hints``, from a nudge to nearly the solution;
        ``mistakes``, pairs of an answer that students give and what it has overlooked.

    Examples
    --------
    >>> exercise("threshold")["answer"]
    95.0
    """
    words = {"options": [], "unit": "", "tolerance": 0.0} | _WORDS[name]
    numbers = _NUMBERS[name](_LAB | settings)
    for part in ("question", "why"):
        words[part] = words[part].format(**numbers)
    return words | {"answer": numbers["answer"]}


def _boaster(lab: dict) -> dict[str, Any]:
    return {"answer": ece(np.full(10, 0.9), np.arange(10) < 6)}


def _sample_size(lab: dict) -> dict[str, Any]:
    n = lab["n"]
    small = mean_ece(lab["right"], n, bins=lab["bins"])
    large = mean_ece(lab["right"], 4 * n, bins=lab["bins"])
    shares = {
        "the same": 1,
        "about half of it": 0.5,
        "about a quarter of it": 0.25,
        "0": 0,
    }
    return {
        "answer": min(shares, key=lambda name: abs(shares[name] - large / small)),
        "small": small,
        "large": large,
        "n": n,
        "four_n": 4 * n,
        "bins": lab["bins"],
    }


def _more_bins(lab: dict) -> dict[str, Any]:
    few = mean_ece(lab["right"], lab["n"], bins=5)
    many = mean_ece(lab["right"], lab["n"], bins=30)
    answer = "grows" if many > few else "shrinks"
    return {"answer": answer, "n": lab["n"], "few": few, "many": many}


def _accuracy(lab: dict) -> dict[str, Any]:
    return {"answer": "can't be said"}


def _temperature_order(lab: dict) -> dict[str, Any]:
    areas = [auroc(*answers(lab["right"], lab["n"], temperature=t)) for t in (1, 2)]
    return {"answer": "AUROC" if np.ptp(areas) < 1e-12 else "ECE"}


def _temperature_half(lab: dict) -> dict[str, Any]:
    return {"answer": round(100 * (0.5 - 0.4))}  # the confidence nears one half


def _base_rate(lab: dict) -> dict[str, Any]:
    found = 1000 * 0.02 * 0.95
    flagged = 1000 * (1 - 0.02) * 0.1
    yes = found + flagged
    return {
        "answer": 100 * found / yes,
        "found": found,
        "flagged": flagged,
        "yes": yes,
    }


def _prevalence(lab: dict) -> dict[str, Any]:
    """What a confidence of 50 % that is calibrated at one prevalence is worth at 1 %."""
    home = lab["prevalence"]
    odds = (0.01 / 0.99) / (home / (1 - home))
    share = odds / (1 + odds)
    wrong = "too much" if share < 0.5 else "too little"
    answer = f"AUROC stays, they claim {wrong}"
    return {"answer": answer, "home": 100 * home, "share": 100 * share}


def _threshold(lab: dict) -> dict[str, Any]:
    return {"answer": 100 * best_threshold(cost_wrong=20, cost_check=1)}


def _interval(lab: dict) -> dict[str, Any]:
    low, high = wilson_interval(28, 100)
    option = 0 if low <= 0.15 <= high else 1
    answer = _WORDS["interval"]["options"][option]
    return {"answer": answer, "low": 100 * low, "high": 100 * high}


def _grades(lab: dict) -> dict[str, Any]:
    """The fewest grades that show a risk of at most 20 % with a probability of 90 %."""
    from scipy.stats import binom

    n = np.arange(1, 100)
    no_error = binom.cdf(0, n, 0.2)
    answer = int(n[no_error <= 0.1][0])
    return {
        "answer": answer,
        "fewer": answer - 1,
        "before": 100 * no_error[answer - 2],
        "after": 100 * no_error[answer - 1],
        "with_one": int(n[binom.cdf(1, n, 0.2) <= 0.1][0]),
    }


_NUMBERS = {
    "boaster": _boaster,
    "sample_size": _sample_size,
    "more_bins": _more_bins,
    "accuracy": _accuracy,
    "temperature_order": _temperature_order,
    "temperature_half": _temperature_half,
    "base_rate": _base_rate,
    "prevalence": _prevalence,
    "threshold": _threshold,
    "interval": _interval,
    "grades": _grades,
}
