"""The reader page: one file that holds its cases, asks no host for anything and needs no server."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from string import Template

import pandas as pd

from medcal_nb.ask.strategies import STRATEGIES
from medcal_nb.datasets import open_image, png_text
from medcal_nb.errors import MedcalError
from medcal_nb.files import new_file
from medcal_nb.labels import label_of
from medcal_nb.reader.cases import (
    Casebook,
    error_rate,
    golds_of,
    image_files,
    image_folder,
    in_folder,
    missing_images,
    open_casebook,
    similar_answers,
)
from medcal_nb.tables.columns import columns_of
from medcal_nb.words import Options, is_correct

_FOLDER = Path(__file__).parent
BODY = _FOLDER / "reader.html"
CSV = _FOLDER / "csv.js"
SCRIPT = _FOLDER / "reader.js"
#: Longest side of an image in pixels.
LARGEST = 1500
#: What a page shows of an item: not its gold answer, nor what all cases share.
_HIDDEN = ("dataset", "split", "gold")
_OF_CASE = [name for name in columns_of("item") if name not in _HIDDEN]
_OF_CASE += ["question", "options"]


def write_page(
    source: str | os.PathLike,
    to: str | os.PathLike,
    *,
    size: int = 20,
    rows: str = "",
    dataset: str | None = None,
    force: bool = False,
) -> str:
    """Write cases of a model's answers as one HTML page, to be read one at a time.

    The page works from the disk of whoever it is sent to. A reader gives an answer and a
    confidence, sees the model's answer and how often such answers were wrong, and keeps the own
    one or takes the model's over. Decisions stay in the browser and are downloaded as JSON,
    which `medcal import` reads and grades.

    Parameters
    ----------
    source : path or str
        Answers, as :func:`medcal_nb.answers.load_answers` reads them.
    to : path
        The page, ``.html``.
    size : int
        Cases at most, each about an image of its own.
    rows, dataset : str, optional
        What to show, see :func:`medcal_nb.reader.cases.open_casebook`.
    force : bool
        Replace a file that is there.

    Returns
    -------
    str
        What the page holds, and what was chosen for it.

    Raises
    ------
    MedcalError
        If there is nothing to show, a name does not occur, or the page cannot be written.
    """
    book = open_casebook(source, rows=rows, dataset=dataset)
    data = page_data(book, book.shown(size))
    n_pictures = sum(bool(case["image"]) for case in data["cases"])
    if not n_pictures and not any(case["question"] for case in data["cases"]):
        raise MedcalError(
            f"{source}: no image and no question to show: give the images by --dataset "
            "NAME:FOLDER, or a column question"
        )
    with new_file(to, sources=[source], force=force) as part:
        text = page_text(data, body=BODY, scripts=[CSV, SCRIPT])
        part.write_text(text, encoding="utf-8")
    words = "{n} cases of {dataset}, {pictures} with an image, answers of {model} by {strategy}"
    counts = {"n": len(data["cases"]), "pictures": n_pictures}
    return words.format(**counts, **book.about)


def page_text(
    data: dict, *, body: Path, scripts: Sequence[Path], styles: Sequence[Path] = ()
) -> str:
    """Return the page of some data: no word of theirs can become markup or script.

    Parameters
    ----------
    data : dict
    body : path
        What the page shows, HTML.
    scripts : sequence of path
        JavaScript, one after the other; the page allows no other.
    styles : sequence of path
        CSS that follows that of all pages.
    """
    sheets = [_FOLDER / "reader.css", *styles]
    style = "\n".join(path.read_text(encoding="utf-8") for path in sheets)
    script = "\n".join(path.read_text(encoding="utf-8") for path in scripts)
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; "
        f"script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"
    )
    page = Template((_FOLDER / "page.html").read_text(encoding="utf-8"))
    text = json.dumps(data, allow_nan=False).replace("<", "\\u003c")
    return page.substitute(
        policy=policy,
        style=style,
        script=script,
        body=body.read_text(encoding="utf-8"),
        data=text,
    )


def _hash(text: str) -> str:
    """Return the hash by which a policy allows a script or a style."""
    digest = hashlib.sha256(text.encode()).digest()
    return "sha256-" + base64.b64encode(digest).decode()


def page_data(book: Casebook, cases: pd.DataFrame) -> dict:
    """Return what a page shows of some cases, as plain values.

    Returns
    -------
    dict
        ``about``, ``note``, ``cases`` and ``set``, a hash of these: decisions about one set
        are never taken for those about another; ``how``, in words, how sure the model is was asked.
    """
    shown = [_case(book, case) for _, case in cases.iterrows()]
    data = {"about": book.about, "note": book.note, "cases": shown}
    digest = hashlib.sha256(json.dumps(data, sort_keys=True).encode())
    how = how_asked(book.about["strategy"])
    return data | {"set": digest.hexdigest()[:16], "how": how}


def how_asked(strategy: str) -> str:
    """Return in words what a model was asked for, by an elicitation method.

    Examples
    --------
    >>> how_asked("verbalized")
    'Asked for: the answer and a confidence from 0 to 100 %, in one reply (verbalized).'
    >>> how_asked("probe_bicr")
    'How sure it is: by BICR probe.'
    """
    called = label_of(strategy)
    if strategy not in STRATEGIES:
        return f"How sure it is: by {called}."
    words = STRATEGIES[strategy].asks.partition("\n")[0].rstrip(".")
    return f"Asked for: {words[0].lower()}{words[1:]} ({called})."


def _case(book: Casebook, case: pd.Series) -> dict:
    """Return one case: what is asked, how an answer is graded, what is known of the model's."""
    similar, alike = similar_answers(book.rows, case)
    return {
        **case[[*_OF_CASE]],
        **_grades(case),
        "options": [*case["options"].texts] if case["options"] else None,
        "image": picture(case["image"]),
        "confidence": float(case["confidence"]),
        "similar": error_rate(similar) if len(similar) else None,
        "alike": alike,
    }


def _grades(case: pd.Series) -> dict:
    """Return the model's answer, and which answers are right.

    ``answer`` is the option that the model's answer names, if it names one; ``correct``, whether
    it is right; ``right``, for each option; ``golds``, the answers that are right. What is not
    known is None, and nothing is right of an open question: its answers are graded when read in.
    """
    shown = case["options"]
    golds = [_text_of(gold, shown) for gold in golds_of(case)]
    options = shown.texts if shown else ()
    answer = case["answer"]
    correct = None if pd.isna(case["correct"]) else bool(case["correct"])
    chosen = shown.index(answer) if shown else None
    if chosen is not None:
        answer = options[chosen]
    kind = case["question_type"] or "choice"
    right = [is_correct(option, golds, kind, shown) for option in options]
    if chosen is not None and correct is not None:
        right[chosen] = correct  # the same answer has the same grade
    return {"answer": answer, "correct": correct, "right": right, "golds": golds}


def _text_of(gold: str, options: Options | None) -> str:
    """Return the text of the option that a gold answer names, else the gold answer."""
    right = options.index(gold) if options else None
    return gold if options is None or right is None else options.texts[right]


def shown_images(
    rows: pd.DataFrame, folder: str | os.PathLike, largest: int = LARGEST
) -> tuple[list[str], str]:
    """Images of rows as data URIs, "" where there is none, and how many cannot be shown.

    Parameters
    ----------
    rows : DataFrame
        With a column ``image``, or ``image_id``: paths of the folder.
    folder : path
    largest : int
        Longest side, in pixels.

    Raises
    ------
    MedcalError
        If there is no such folder.
    """
    whole = image_folder(folder)
    files = image_files(rows)
    pictures = [picture(in_folder(whole, file), largest=largest) for file in files]
    return pictures, missing_images(files, pictures, folder)


def picture(image: bytes | str | None, largest: int = LARGEST) -> str:
    """Return the pixels of an image, and nothing else that its file tells, as a data URI.

    Empty where there is no image, or none that can be shown; larger ones become smaller.
    """
    if image is None:
        return ""
    try:
        opened = open_image(image)
    except MedcalError:
        return ""
    if max(opened.size) > largest:
        opened.thumbnail((largest, largest))
    return "data:image/png;base64," + png_text(opened)
