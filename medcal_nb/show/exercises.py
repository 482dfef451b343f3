"""Exercises of the lesson: a question, hints one by one, a checked answer, a folded solution.

Right answers that are numbers are computed from the question's own numbers.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import ipywidgets as ipw
import numpy as np

from medcal_nb.measure import best_threshold, ece, wilson_interval
from medcal_nb.show import lesson


@dataclass(frozen=True)
class Exercise:
    """A question with one right answer.

    Attributes
    ----------
    question : str
    answer : float or str
        A number, or one of `options`.
    tolerance : float
        How far a number may be off.
    options : tuple of str
        Answers to choose from; empty where a number is asked for.
    hints : tuple of str
        From a nudge to nearly the solution.
    solution : str
        How the answer comes about.
    unit : str
        ``"%"`` where the number is a percentage.
    """

    question: str
    answer: float | str
    solution: str
    tolerance: float = 0.0
    options: tuple[str, ...] = ()
    hints: tuple[str, ...] = field(default=())
    unit: str = ""

    def check(self, given: str | float | None) -> tuple[bool, str]:
        """Return whether an answer is right and what to say to it.

        Numbers may be written as ``0.3``, ``0,3`` or ``30 %``, whatever the unit.
        """
        if given is None or not str(given).strip():
            return False, "No answer yet."
        if self.options:
            right = given == self.answer
            return right, "Right." if right else "Not this one. Try again, or take a hint."
        value = read_number(given, percent=self.unit == "%")
        if math.isnan(value):
            return False, f"{given!r} is not a number; write it like 0.25 or 25 %."
        if self.unit == "%" and 0 < value < 1 < self.answer and "%" not in str(given):
            return False, f"In percent, please: {given} would be less than one percent."
        off = value - self.answer
        if abs(off) <= self.tolerance + 1e-12:
            return True, "Right."
        return False, f"Too {'large' if off > 0 else 'small'}. Try again, or take a hint."

    def shown_answer(self) -> str:
        """Return the right answer as text."""
        if self.options:
            return str(self.answer)
        return f"{self.answer:.3g}{' ' + self.unit if self.unit else ''}"


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
    marked = words.endswith("%")
    try:
        value = float(words.removesuffix("%").strip())
    except ValueError:
        return math.nan
    if marked and not percent:
        return value / 100
    return value


def _ece_of_boaster() -> Exercise:
    says, right = 0.9, 0.6
    answer = ece(np.full(10, says), np.arange(10) < 10 * right)
    return Exercise(
        f"A model says {says:.0%} for every answer and is right {right:.0%} of the time. "
        "What is its ECE?",
        answer,
        f"All answers fall into one bin. Its gap is |{says:.2f} − {right:.2f}| = {answer:.2f}, and "
        "it holds all answers, so that is the ECE.",
        tolerance=0.005,
        hints=(
            "How many bins hold any answer?",
            "The ECE is the gap of each bin, weighted by its share of the answers.",
        ),
    )


def _luck_of_sizes() -> Exercise:
    draws = np.random.default_rng(0).random((200, 2, 400))
    small, large = (lesson.luck_table(n, 10, draws)["ece"].mean() for n in (100, 400))
    shares = {"the same": 1.0, "about half of it": 0.5, "about a quarter of it": 0.25, "0": 0.0}
    return Exercise(
        f"An honest model's ECE, measured on 100 answers in 10 bins, is about {small:.2f}. You "
        "measure it on four times as many. About what will you see?",
        min(shares, key=lambda name: abs(shares[name] - large / small)),
        "Chance gaps shrink with the square root of the number: √4 = 2, so about half (in a "
        f"simulation {large:.3f} after {small:.3f}). Only with no end of answers would the ECE of "
        "an honest model reach 0.",
        options=tuple(shares),
        hints=(
            "Set the slider to 100 answers, then to 451, and compare the means.",
            "How does the error of a mean shrink with the number of observations?",
        ),
    )


def _more_bins() -> Exercise:
    draws = np.random.default_rng(0).random((200, 2, 200))
    few, many = (lesson.luck_table(200, k, draws)["ece"].mean() for k in (5, 30))
    return Exercise(
        "Same honest model, same answers, more bins. The ECE …",
        "grows" if many > few else "shrinks",
        f"With 200 answers the mean ECE of an honest model is {few:.3f} in 5 bins and {many:.3f} "
        "in 30: fewer answers in each bin, more luck in each gap, and gaps never cancel, because "
        "their sizes are added.",
        options=("grows", "stays", "shrinks"),
        hints=("Move the bins slider from 5 to 30.", "What happens to the answers in each bin?"),
    )


def _temperature_and_order() -> Exercise:
    rng = np.random.default_rng(0)
    c, y = lesson.bold_answers(0.7, 2.0, rng.random((2, 500)))
    values = lesson.temperature_table(c, y, [0.5, 1, 2])["auroc"]
    return Exercise(
        "You divide all log-odds by T = 2. Which of these can't change?",
        "AUROC" if np.ptp(values) < 1e-12 else "ECE",
        "A temperature is a monotone map: it keeps the order of the answers, and AUROC looks at "
        "nothing else. (Accuracy stays too: the answers are the same.) Confidence is repaired, "
        "knowledge is not added.",
        options=("ECE", "log loss", "AUROC", "Brier score"),
        hints=("Watch the sentence above the figure while you turn T.",),
    )


def _temperature_on_coin() -> Exercise:
    says, right, t = 0.9, 0.4, 1000.0
    least = lesson.stretch(says, 1 / t).item()
    answer = round(100 * (least - right))
    return Exercise(
        f"A model says {says:.0%} and is right {right:.0%} of the time. You may choose any "
        "temperature. How many percentage points of the gap stay at best?",
        answer,
        f"σ(logit({says})/T) falls towards ½ as T grows, and never below: at T = {t:.0f} it is "
        f"{least:.3f}. The gap to {right:.0%} stays {answer:.0f} points. A Platt map, which also "
        "shifts, can close it.",
        tolerance=0.5,
        unit="%",
        hints=(
            "What does the confidence become for a very large T?",
            "σ(0) = ½: no temperature crosses it.",
        ),
    )


def _ppv() -> Exercise:
    row = lesson.base_rate_table([0.02], sensitivity=0.95, specificity=0.9).iloc[0]
    answer = 100 * row["ppv"]
    return Exercise(
        "A finding is present in 2 % of patients. The model finds 95 % of those who have it and "
        "wrongly flags 10 % of those who do not. Of its yes answers, how many percent are right?",
        answer,
        f"Of 1,000 patients 20 have it: {row['found']:.0f} are found. Of the other 980, "
        f"{row['flagged']:.0f} are flagged. {row['found']:.0f} of "
        f"{row['found'] + row['flagged']:.0f} are right: {answer:.0f} %.",
        tolerance=1.0,
        unit="%",
        hints=(
            "Think of 1,000 patients rather than of percentages.",
            "How many of the 980 healthy ones are flagged?",
        ),
    )


def _accuracy_and_ece() -> Exercise:
    return Exercise(
        "Model A is right 95 % of the time, model B 60 %. Which has the smaller ECE?",
        "can't be said",
        "Accuracy says how often it is right; ECE says whether it knows how often. A model that "
        "always says 60 % and is right 60 % of the time has an ECE of 0 and is of little use.",
        options=("A", "B", "can't be said"),
        hints=("Find two settings above with the same accuracy and another ECE.",),
    )


def _interval() -> Exercise:
    wrong, n, asked = 28, 100, 0.15
    share = wrong / n
    low, high = (float(v) for v in wilson_interval(wrong, n))
    inside = low <= asked <= high
    return Exercise(
        f"Of {n} answers like this one, {wrong} were wrong. Could the true error rate be "
        f"{asked:.0%}?",
        "yes, the interval holds it" if inside else "no, it lies outside",
        f"The 95 % Wilson interval of {wrong} out of {n} runs from {low:.1%} to {high:.1%}. "
        f"{asked:.0%} lies {'inside' if inside else 'outside'}.",
        options=("yes, the interval holds it", "no, it lies outside"),
        hints=(
            "A rough interval: the share ± 2 √(p (1 − p) / n).",
            f"√({share:.2f} · {1 - share:.2f} / {n}) is about "
            f"{math.sqrt(share * (1 - share) / n):.3f}.",
        ),
    )


def _cheapest_threshold() -> Exercise:
    answer = 100 * best_threshold(cost_wrong=1.0, cost_check=1 / 20)
    return Exercise(
        "A wrong answer costs as much as 20 checks, and the confidence is honest. Below which "
        "confidence, in percent, should answers be checked?",
        answer,
        "Checking pays where the chance of an error times its cost exceeds the cost of a check: "
        f"(1 − c) · 20 > 1, so c < 1 − 1/20 = {answer:.0f} %.",
        tolerance=0.5,
        unit="%",
        hints=(
            "At confidence c, how likely is the answer wrong?",
            "Set the expected cost of keeping equal to the cost of a check.",
        ),
    )


_MAKERS = {
    "boaster": _ece_of_boaster,
    "sample_size": _luck_of_sizes,
    "more_bins": _more_bins,
    "temperature_order": _temperature_and_order,
    "temperature_half": _temperature_on_coin,
    "accuracy": _accuracy_and_ece,
    "base_rate": _ppv,
    "interval": _interval,
    "threshold": _cheapest_threshold,
}
NAMES = tuple(_MAKERS)


def exercise(name: str) -> Exercise:
    """Return an exercise of the lesson by name (:data:`NAMES`).

    Raises
    ------
    ValueError
        If there is no exercise of that name.
    """
    if name not in _MAKERS:
        raise ValueError(f"name: no exercise {name!r}; there are {', '.join(NAMES)}")
    return _MAKERS[name]()


class ExerciseBox(ipw.VBox):
    """An exercise to answer: a field, *Check*, *Hint*, and the solution folded away.

    Parameters
    ----------
    exercise : Exercise
    """

    def __init__(self, exercise: Exercise):
        self.exercise = exercise
        self.question = ipw.HTML(f"<p><b>Exercise.</b> {html.escape(exercise.question)}</p>")
        if exercise.options:
            self.field = ipw.RadioButtons(
                options=exercise.options, value=None, layout=ipw.Layout(width="auto")
            )
        else:
            unit = f" in {exercise.unit}" if exercise.unit else ""
            self.field = ipw.Text(description=f"answer{unit}", placeholder="a number")
            self.field.continuous_update = False
        self.check = ipw.Button(description="Check", button_style="primary")
        self.hint = ipw.Button(description="Hint", disabled=not exercise.hints)
        self.feedback, self.hints = ipw.HTML(), ipw.HTML()
        self.solution = ipw.HTML(_folded(exercise))
        self._n_hints = 0
        self.check.on_click(self._checked)
        self.hint.on_click(self._hinted)
        if isinstance(self.field, ipw.Text):
            self.field.observe(self._checked, names="value")
        super().__init__(
            [
                self.question,
                self.field,
                ipw.HBox([self.check, self.hint]),
                self.feedback,
                self.hints,
                self.solution,
            ]
        )
        self.add_class("medcal-exercise")

    def _checked(self, _event=None):
        right, words = self.exercise.check(self.field.value)
        mark, colour = ("✓", "#00664B") if right else ("✗", "#A33F00")
        self.feedback.value = (
            f'<p role="status" style="color:{colour}"><b>{mark}</b> {html.escape(words)}</p>'
        )

    def _hinted(self, _event=None):
        self._n_hints = min(self._n_hints + 1, len(self.exercise.hints))
        self.hint.disabled = self._n_hints == len(self.exercise.hints)
        self.hints.value = _list(self.exercise.hints[: self._n_hints])

    def _repr_mimebundle_(self, **kwargs):
        bundle = super()._repr_mimebundle_(**kwargs)
        options = _list(self.exercise.options) if self.exercise.options else ""
        bundle["text/plain"] = self.exercise.question
        bundle["text/html"] = self.question.value + options + _folded(self.exercise)
        return bundle


def _list(lines: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{html.escape(line)}</li>' for line in lines)}</ul>"


def _folded(exercise: Exercise) -> str:
    answer = html.escape(exercise.shown_answer())
    return (
        f"<details><summary>Solution</summary><p><b>{answer}.</b> "
        f"{html.escape(exercise.solution)}</p></details>"
    )


def ask(name: str) -> ExerciseBox:
    """Return an exercise of the lesson, by name, to be answered in a notebook."""
    return ExerciseBox(exercise(name))
