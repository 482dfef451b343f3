"""Exercises of the lesson: a question, hints one by one, an answer that is checked in the browser.

The words are in ``exercises.toml``; right answers are computed here, from the questions' numbers.
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

import numpy as np

from medcal_nb.measure import auroc, best_threshold, ece, wilson_interval
from medcal_nb.teach import lesson

_WORDS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
NAMES = tuple(_WORDS)


@cache
def _computed() -> dict[str, dict]:
    """Return the right answer of each exercise, and the numbers that its words hold."""
    draws = np.random.default_rng(0).random((200, 2, 400))
    luck = {(n, k): lesson.luck(n, k, draws).mean() for n, k in ((100, 10), (400, 10))}
    small, large = luck.values()
    few, many = (lesson.luck(200, k, draws).mean() for k in (5, 30))
    shares = {
        "the same": 1,
        "about half of it": 0.5,
        "about a quarter of it": 0.25,
        "0": 0,
    }
    bold = lesson.bold_answers(0.7, 2.0, draws[0])
    order = [auroc(lesson.stretch(bold[0], 1 / t), bold[1]) for t in (1, 2)]
    rare = lesson.base_rate_table([0.02], sensitivity=0.95, specificity=0.9).iloc[0]
    low, high = (float(v) for v in wilson_interval(28, 100))
    return {
        "boaster": {"answer": ece(np.full(10, 0.9), np.arange(10) < 6)},
        "sample_size": {
            "answer": min(shares, key=lambda name: abs(shares[name] - large / small)),
            **{"small": small, "large": large},
        },
        "more_bins": {
            "answer": "grows" if many > few else "shrinks",
            "few": few,
            "many": many,
        },
        "accuracy": {"answer": "can't be said"},
        "temperature_order": {"answer": "AUROC" if np.ptp(order) < 1e-12 else "ECE"},
        "temperature_half": {
            "answer": round(100 * (lesson.stretch(0.9, 1e-3).item() - 0.4))
        },
        "base_rate": {
            "answer": 100 * rare["ppv"],
            **{"found": rare["found"], "flagged": rare["flagged"]},
            "yes": rare["found"] + rare["flagged"],
        },
        "prevalence": _elsewhere(home=0.46, away=0.01),
        "threshold": {
            "answer": 100 * best_threshold(cost_wrong=1.0, cost_check=1 / 20)
        },
        "interval": {
            "answer": _WORDS["interval"]["options"][0 if low <= 0.15 <= high else 1],
            **{"low": low, "high": high},
        },
    }


def _elsewhere(*, home: float, away: float) -> dict:
    """What a confidence of 50 % that is calibrated at one prevalence is worth at another."""
    odds = (away / (1 - away)) / (home / (1 - home))
    share = odds / (1 + odds)
    much = "AUROC stays, they claim too much"
    little = "AUROC stays, they claim too little"
    return {
        "answer": much if share < 0.5 else little,
        "home": 100 * home,
        "share": 100 * share,
    }


def exercise(name: str) -> dict:
    """Return an exercise of the lesson by name (:data:`NAMES`).

    Returns
    -------
    dict
        ``question``; ``answer``, a number or one of ``options`` (empty where a number is asked
        for); ``unit``, ``"%"`` where it is a percentage; ``tolerance``, how far a number may be
        off; ``why`` the answer is right; ``hints``, from a nudge to nearly the solution;
        ``mistakes``, pairs of an answer that students give and what it has overlooked.
    """
    words = {"options": [], "unit": "", "tolerance": 0.0} | _WORDS[name]
    numbers = _computed()[name]
    words["question"] = words["question"].format(**numbers)
    words["why"] = words["why"].format(**numbers)
    words["answer"] = numbers["answer"]
    return words


def ask(name: str) -> lesson.Part:
    """Return an exercise to be answered, by name."""
    return lesson.Part("exercise", exercise(name))


def hand_in() -> lesson.Part:
    """Return how many exercises are right so far, and the answers as a CSV file to hand in."""
    return lesson.Part("hand_in", len(NAMES))
