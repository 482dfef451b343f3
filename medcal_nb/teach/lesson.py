"""The parts of the lesson that people answer: an image and a vote, a quiz, a file to hand in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from medcal_nb.datasets import open_image, png_text, pocket
from medcal_nb.datasets.items import image_side
from medcal_nb.reader.page import CSV

DATASET = "pocketvqa-medical"
MODEL = "pocket-general"
#: What stands between a part and the script that brings it to life.
SCRIPT = "<!-- script -->"


@dataclass(frozen=True)
class Part:
    """A part of the lesson as HTML that needs no kernel: a notebook shows it with its script.

    Attributes
    ----------
    name : str
        The macro of ``lesson.jinja``.
    values : dict
        What is filled in; it is escaped.
    """

    name: str
    values: dict[str, Any]

    def _repr_html_(self) -> str:
        macro = getattr(template("lesson.jinja").module, self.name)
        return f"{macro(**self.values)}{SCRIPT}{script()}"


@cache
def template(name: str) -> jinja2.Template:
    """Return a template of the lesson, which escapes all that is filled in."""
    loader = jinja2.PackageLoader("medcal_nb", "teach")
    return jinja2.Environment(loader=loader, autoescape=True).get_template(name)


@cache
def script() -> str:
    """Return style and script that bring all parts of a page to life, each part once."""
    folder = Path(__file__).parent
    paths = (folder / "lesson.css", CSV, folder / "lab.js", folder / "lesson.js")
    style, *code = [path.read_text(encoding="utf-8") for path in paths]
    module = "\n".join(code)
    return f'<style>{style}</style><script type="module">{module}</script>'


def opening() -> Part:
    """Return the picture that the lesson begins with: an image, an answer, "90 %", a vote."""
    return Part("case", _case() | {"when": "start"})


def reopening() -> Part:
    """Return the same picture with another vote; once it is cast, the right answer shows."""
    return Part("case", _case() | {"when": "end"})


def quiz() -> Part:
    """Return the quiz: twenty synthetic images, a student's answers beside a model's.

    The model's answers and confidences are recorded ones of ``pocket-general``. Questions about a
    side say whose: the image's.
    """
    items = pocket.load("quiz")
    answers = pocket.fresh_answers(DATASET, MODEL, "verbalized").set_index("item_id")
    answers = answers.loc[items["item_id"]].reset_index()
    cases = pd.DataFrame(
        {
            "question": items["question"].map(image_side),
            "options": items["options"],
            "gold": items["gold"],
            "answer": answers["answer"],
            "confidence": answers["confidence"].round(4),
            "picture": items["image"].map(_picture),
        }
    )
    return Part("quiz", {"cases": cases.to_dict("records"), "model": MODEL})


def _case() -> dict[str, str]:
    """Return picture, question, wrong answer and right one of the lesson's first image."""
    items = pocket.load(DATASET, split="test")
    items = items[items["template"] == "ct:finding_choice"]
    item = items.loc[items["visibility"].idxmax()]
    wrong = next(option for option in item["options"] if option != item["gold"])
    return {
        "picture": _picture(item["image"]),
        "question": image_side(item["question"]),
        "answer": wrong,
        "gold": item["gold"],
    }


def _picture(image: bytes | str) -> str:
    """Return an image as an address that holds it."""
    return f"data:image/png;base64,{png_text(open_image(image))}"
