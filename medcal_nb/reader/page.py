"""The reader view as HTML: from evidence to the macros of ``reader.jinja``, no widget in them."""

from __future__ import annotations

import base64
import functools
import io
import math
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from medcal_nb.ask.strategies import STRATEGIES
from medcal_nb.errors import MedcalError
from medcal_nb.items import open_image
from medcal_nb.reader import evidence
from medcal_nb.reader.cases import Case, Casebook
from medcal_nb.reader.decisions import Decision

_SMALL = 256  # pixels; images of fewer are enlarged without smoothing
_THUMBNAIL = (192, 192)


@functools.cache
def _macros():
    import jinja2

    environment = jinja2.Environment(autoescape=True)
    environment.filters["percent"] = lambda share: f"{share:.0%}"
    environment.globals["inf"] = math.inf
    text = Path(__file__).with_name("reader.jinja").read_text(encoding="utf-8")
    return environment.from_string(text).module


def part(name: str, *values) -> str:
    """Return a part of the page: a macro of the template filled in."""
    return str(getattr(_macros(), name)(*values))


class _Shown(NamedTuple):
    """An image as base64 of a PNG that holds its pixels alone, or why there is none."""

    data: str = ""
    pixels: bool = False
    why: str = ""


def _shown(case: Case, *, small: bool = False) -> _Shown:
    if case.image is None:
        return _Shown(why="No image of this case at hand.")
    try:
        image = open_image(case.image)
    except MedcalError as error:
        # what comes before the colon is a file name, which may tell the answer
        return _Shown(why=f"This image cannot be shown: {str(error).rpartition(': ')[2]}")
    pixels = max(image.size) < _SMALL
    image.info.clear()
    if small and not pixels:
        image.thumbnail(_THUMBNAIL)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return _Shown(base64.b64encode(buffer.getvalue()).decode(), pixels)


def case_html(case: Case, *, place: int, total: int, note: str = "") -> str:
    """Return the image and the question: no word of the model's, no id, no name of a file."""
    return part("case", case, place, total, note, _shown(case))


def evidence_html(
    book: Casebook, case: Case, alarm: evidence.Alarm, own: Decision | None = None
) -> str:
    """Return what the model says and how far to trust it."""
    before = [
        (past, _shown(past, small=True), _gold(past.gold))
        for past in evidence.past_cases(book, case)
    ]
    return part(
        "evidence",
        case,
        own.answer if own else None,
        case.item_id in alarm.items,
        _asks(book.strategy),
        evidence.case_error(book, case),
        _reasons(evidence.other_ways(book, case), evidence.blank_image(book, case)),
        before,
    )


def _reasons(others: pd.DataFrame, blank: evidence.BlankImage | None) -> tuple:
    """Return what the macro ``reasons`` is filled with; the commonest other answer first."""
    against = others[~others["agrees"]].assign(
        words=others["strategy"].str.replace("_", " "),
        asks=others["strategy"].map(_asks),
        sure=[f"{c:.0%}" if c == c else "" for c in others["confidence"].astype(float)],
    )
    groups = [list(rows.itertuples()) for _, rows in against.groupby("meaning", sort=False)]
    groups.sort(key=len, reverse=True)
    return groups, len(others), int(others["agrees"].sum()), blank and blank_words(blank)


def blank_words(blank: evidence.BlankImage) -> str:
    """Return what a blank image does to the answer, and what that means, in words."""
    drop = blank.seen - blank.blank
    start = (
        f"Of all possible answers, “{blank.answer}” has a probability of {blank.seen:.0%}; with a "
        f"blank image instead of this one, {blank.blank:.0%}."
    )
    if abs(drop) < 0.1:
        return f"{start} The image hardly matters to this answer: it may be a guess."
    if drop < 0:
        return f"{start} The image speaks against this answer."
    return f"{start} The answer rests on the image."


def decision_words(made: Decision) -> str:
    """Return a decision in words."""
    what = {
        "accept": f"accepted the model's “{made.model_answer}”",
        "override": f"overrode the model's “{made.model_answer}” with “{made.answer}”",
        "defer": "deferred to someone else",
        "commit": f"committed to “{made.answer}”",
    }[made.action]
    when = f"{datetime.fromisoformat(made.at).astimezone():%d %b %Y, %H:%M}"
    why = f" Reason: {made.reason}" if made.reason else ""
    return f"{made.reader} {what} ({when}).{why}"


def agreement_words(table: pd.DataFrame) -> list[str]:
    """Return the agreement of every two readers in words."""
    return [
        f"{row.reader_a} and {row.reader_b}, {row.what}: the same in {row.agree:.0%} of {row.n} "
        + ("case" if row.n == 1 else "cases")
        + (f", Cohen's kappa {row.kappa:.2f}" if row.kappa == row.kappa else ", kappa undefined")
        for row in table.itertuples()
    ]


def _asks(strategy: str) -> str:
    return STRATEGIES[strategy].asks if strategy in STRATEGIES else strategy.replace("_", " ")


def _gold(gold) -> str:
    return " or ".join(str(g) for g in gold) if isinstance(gold, list | tuple) else str(gold)
