"""The reader view as HTML: what is known, filled into the macros of ``reader.jinja``."""

from __future__ import annotations

import functools
from datetime import datetime
from pathlib import Path

import pandas as pd

from medcal_nb.ask.strategies import STRATEGIES
from medcal_nb.datasets import open_image, png_text
from medcal_nb.errors import MedcalError
from medcal_nb.reader import evidence
from medcal_nb.reader.cases import Casebook
from medcal_nb.reader.decisions import Decision
from medcal_nb.show.words import label_of

_SMALL = 256  # pixels; images of fewer are enlarged without smoothing
_THUMBNAIL = (192, 192)


def part(name: str, *values: object) -> str:
    """Return a part of the page: a macro of the template filled in, every value escaped."""
    return str(getattr(_macros(), name)(*values))


@functools.cache
def _macros():
    import jinja2

    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(autoescape=True, loader=loader)
    environment.filters |= {
        "percent": lambda share: f"{100 * share:.0f} %",
        "of_100": lambda share: f"{100 * share:g}",
        "when": lambda at: f"{datetime.fromisoformat(at).astimezone():%d %b %Y, %H:%M}",
        "words": label_of,
        "asks": lambda name: STRATEGIES[name].asks if name in STRATEGIES else "",
    }
    return environment.get_template("reader.jinja").module


def picture(image: object, *, small: bool = False) -> dict:
    """Return an image as a PNG that holds its pixels alone, or why there is none.

    Returns
    -------
    dict
        ``data``, base64, empty where it can't be shown; ``pixels``, whether it is to be enlarged
        without smoothing; ``why``.
    """
    if image is None:
        return {"data": "", "why": "No image of this case at hand."}
    try:
        opened = open_image(image)
    except MedcalError as error:
        # what comes before the colon is a file name, which may tell the answer
        return {
            "data": "",
            "why": f"This image cannot be shown: {str(error).rpartition(': ')[2]}",
        }
    pixels = max(opened.size) < _SMALL
    if small and not pixels:
        opened.thumbnail(_THUMBNAIL)
    return {"data": png_text(opened), "pixels": pixels}


def evidence_html(
    book: Casebook, case: pd.Series, *, limit: float, own: Decision | None = None
) -> str:
    """Return what the model says and how far to trust it.

    Parameters
    ----------
    book : Casebook
    case : pandas.Series
        A row of ``book.rows``.
    limit : float
        Share of wrong answers allowed; what is more is flagged.
    own : Decision, optional
        What the reader said before the model's answer was shown.
    """
    error = evidence.case_error(book, case)
    flagged = evidence.is_flagged(error, limit)
    others = evidence.other_ways(book, case)
    against = others[~others["agrees"]].groupby("answer_key", sort=False)
    groups = [list(rows.itertuples()) for _, rows in against]
    groups.sort(key=len, reverse=True)
    before = evidence.past_cases(book, case)
    shown = [
        (past, picture(past["image"], small=True)) for _, past in before.iterrows()
    ]
    return "".join(
        [
            part("answer", case, own, book.about["strategy"]),
            part("odds", case, error, flagged, limit),
            part("reasons", groups, others),
            part("past", shown),
        ]
    )
