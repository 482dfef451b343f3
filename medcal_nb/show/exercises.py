"""Exercises of the lesson: a question, hints one by one, a checked answer, a folded solution.

The words are in ``exercises.toml``; right answers are computed here, from the questions' numbers.
"""

from __future__ import annotations

import csv
import html
import io
import math
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import quote

import ipywidgets as ipw
import numpy as np

from medcal_nb.measure import auroc, best_threshold, ece, wilson_interval
from medcal_nb.show import lesson

_WORDS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
NAMES = tuple(_WORDS)
HEAD = ("question", "your answer", "result", "tries")
"""Columns of the page to hand in."""


@dataclass(frozen=True)
class Exercise:
    """A question with one right answer.

    Attributes
    ----------
    question, why : str
        What is asked, and why the right answer is right.
    answer : float or str
        A number, or one of `options`.
    hints : tuple of str
        From a nudge to nearly the solution.
    mistakes : tuple of (answer, words)
        Answers that students give, and what each of them has overlooked.
    tolerance : float
        How far a number may be off.
    options : tuple of str
        Answers to choose from; empty where a number is asked for.
    unit : str
        ``"%"`` where the number is a percentage.
    """

    question: str
    why: str
    answer: float | str
    hints: tuple[str, ...] = ()
    mistakes: tuple[tuple, ...] = ()
    tolerance: float = 0.0
    options: tuple[str, ...] = ()
    unit: str = ""

    def check(self, given: str | float | None) -> tuple[bool, str]:
        """Return whether an answer is right and what to say to it.

        Numbers may be written as ``0.3``, ``0,3`` or ``30 %``, whatever the unit.
        """
        if given is None or not str(given).strip():
            return False, "No answer yet."
        value = given if self.options else read_number(given, percent=self.unit == "%")
        if value != value:
            return False, f"{given!r} is not a number; write it like 0.25 or 25 %."
        near = 0 if self.options else self.tolerance + 1e-12
        if self._like(value, self.answer, near):
            return True, f"Right. {self.why}"
        if self.unit == "%" and 0 < value < 1 < self.answer and "%" not in str(given):
            return False, f"In percent, please: {given} would be less than one percent."
        for mistake, words in self.mistakes:
            if self._like(value, mistake, near):
                return False, words
        return False, f"Too {'large' if value > self.answer else 'small'}. Take a hint?"

    def _like(self, value, other, near) -> bool:
        return value == other if self.options else abs(value - other) <= near


def read_number(text, *, percent: bool = False) -> float:
    """Return the number a student wrote, NaN where there is none.

    Parameters
    ----------
    text : str or float
        ``"0.25"``, ``"0,25"`` or ``"25 %"``.
    percent : bool
        Whether a percentage is wanted: 0.25 without a sign is then 0.25 %, and 25 is 25 %.
    """
    words = str(text).strip().replace(",", ".")
    try:
        value = float(words.removesuffix("%").strip())
    except ValueError:
        return math.nan
    return value / 100 if words.endswith("%") and not percent else value


@cache
def _computed() -> dict[str, dict]:
    """Return the right answer of each exercise, and the numbers that its words hold."""
    draws = np.random.default_rng(0).random((200, 2, 400))
    luck = {(n, k): lesson.luck(n, k, draws).mean() for n, k in ((100, 10), (400, 10))}
    small, large = luck.values()
    few, many = (lesson.luck(200, k, draws).mean() for k in (5, 30))
    shares = {"the same": 1, "about half of it": 0.5, "about a quarter of it": 0.25, "0": 0}
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
        "more_bins": {"answer": "grows" if many > few else "shrinks", "few": few, "many": many},
        "accuracy": {"answer": "can't be said"},
        "temperature_order": {"answer": "AUROC" if np.ptp(order) < 1e-12 else "ECE"},
        "temperature_half": {"answer": round(100 * (lesson.stretch(0.9, 1e-3).item() - 0.4))},
        "base_rate": {
            "answer": 100 * rare["ppv"],
            **{"found": rare["found"], "flagged": rare["flagged"]},
            "yes": rare["found"] + rare["flagged"],
        },
        "threshold": {"answer": 100 * best_threshold(cost_wrong=1.0, cost_check=1 / 20)},
        "interval": {
            "answer": _WORDS["interval"]["options"][0 if low <= 0.15 <= high else 1],
            **{"low": low, "high": high},
        },
    }


def exercise(name: str) -> Exercise:
    """Return an exercise of the lesson by name (:data:`NAMES`).

    Raises
    ------
    ValueError
        If there is no exercise of that name.
    """
    if name not in NAMES:
        raise ValueError(f"name: no exercise {name!r}; there are {', '.join(NAMES)}")
    words, numbers = dict(_WORDS[name]), _computed()[name]
    for field in ("question", "why"):
        words[field] = words[field].format(**numbers)
    for field in ("hints", "mistakes", "options"):
        words[field] = tuple(words.get(field, ()))
    return Exercise(**words, answer=numbers["answer"])


class ExerciseBox(ipw.VBox):
    """An exercise to answer: a field, *Check*, *Hint*, and the solution once it was tried.

    Attributes
    ----------
    given, right, tries
        The last answer, whether it was right, and how many there were.
    """

    def __init__(self, asked: Exercise):
        self.exercise, self.given, self.right, self.tries = asked, "", False, 0
        self._question = f"<p><b>Exercise.</b> {html.escape(asked.question)}</p>"
        if asked.options:
            wide = ipw.Layout(width="auto")
            self.field = ipw.RadioButtons(options=asked.options, value=None, layout=wide)
        else:
            unit = f" in {asked.unit}" if asked.unit else ""
            self.field = ipw.Text(description=f"answer{unit}", placeholder="a number")
            self.field.continuous_update = False
            self.field.observe(self._checked, names="value")
        self.check = ipw.Button(description="Check", button_style="primary")
        self.hint = ipw.Button(description="Hint")
        self.feedback, self.hints = ipw.HTML(), ipw.HTML()
        self.check.on_click(self._checked)
        self.hint.on_click(self._hinted)
        buttons = ipw.HBox([self.check, self.hint])
        super().__init__([ipw.HTML(self._question), self.field, buttons, self.feedback, self.hints])
        self.add_class("medcal-exercise")

    def _checked(self, _event=None):
        right, words = self.exercise.check(self.field.value)
        if self.field.value not in (None, "", self.given):
            self.given, self.tries = str(self.field.value), self.tries + 1
        self.right = right
        mark, colour = ("✓", "#00664B") if right else ("✗", "#A33F00")
        self.feedback.value = (
            f'<p role="status" style="color:{colour}"><b>{mark}</b> {html.escape(words)}</p>'
        )

    def _hinted(self, _event=None):
        shown = self.exercise.hints[: self.hints.value.count("<li>") + 1]
        self.hint.disabled = len(shown) == len(self.exercise.hints)
        self.hints.value = "".join(f"<li>{html.escape(hint)}</li>" for hint in shown)

    def _repr_mimebundle_(self, **kwargs):
        bundle = super()._repr_mimebundle_(**kwargs)
        options = "".join(f"<li>{html.escape(option)}</li>" for option in self.exercise.options)
        bundle["text/plain"] = self.exercise.question
        why = f"<details><summary>Solution</summary>{html.escape(self.exercise.why)}</details>"
        bundle["text/html"] = f"{self._question}<ul>{options}</ul>{why}"
        return bundle


class Sheet:
    """The exercises of one reader, and the page to hand in."""

    def __init__(self):
        self.boxes: dict[str, ExerciseBox] = {}

    def ask(self, name: str) -> ExerciseBox:
        """Return an exercise of the lesson, by name, to be answered in a notebook."""
        self.boxes[name] = ExerciseBox(exercise(name))
        return self.boxes[name]

    def rows(self) -> list[tuple]:
        """Return a row per exercise, see :data:`HEAD`."""
        return [
            (box.exercise.question, box.given, "right" if box.right else "open", box.tries)
            for box in self.boxes.values()
        ]

    def hand_in(self) -> ipw.VBox:
        """Return a button that tells how many are right and offers the answers as a CSV file."""
        button, told = ipw.Button(description="How far am I?"), ipw.HTML()
        button.on_click(lambda _: setattr(told, "value", self._told()))
        box = ipw.VBox([button, told])
        box.add_class("medcal-sheet")
        return box

    def _told(self) -> str:
        text = io.StringIO()
        csv.writer(text).writerows([HEAD, *self.rows()])
        right = sum(box.right for box in self.boxes.values())
        link = f"data:text/csv;charset=utf-8,{quote(text.getvalue())}"
        return (
            f'<p role="status"><b>{right} of {len(self.boxes)}</b> exercises right. '
            f'<a download="lesson.csv" href="{link}">Your answers as a file to hand in</a></p>'
        )
