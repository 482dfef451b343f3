"""A sheet of a random share of the answers, for a person to grade beside what graded them all."""

from __future__ import annotations

import numpy as np
import pandas as pd

from medcal_nb.certify.pool import KEY
from medcal_nb.certify.sheets import (
    GRADE,
    RIGHT_GRADE,
    UNGRADABLE,
    read_grades,
    shown_of,
)
from medcal_nb.errors import MedcalError
from medcal_nb.files import PathLike
from medcal_nb.measure import answers_to_check
from medcal_nb.tables import read_sheet, write_sheet
from medcal_nb.tables.columns import TEXT, of_file, refuse


def write_checks(
    answers: pd.DataFrame,
    to: PathLike,
    *,
    n: int,
    seed: int = 0,
    of: PathLike | None = None,
) -> int:
    """Write a sheet of so many answers, whole images drawn at random, for a person to grade.

    Neither the grade nor the confidence of an answer is shown, also not where the reply states it.
    The gold answer is, where it is known: an answer is graded against it. Rows are in a random
    order of images: whoever stops early has graded a random share, too.

    Parameters
    ----------
    answers : DataFrame
        As of `load_answers`; those with a confidence and a grade are drawn from.
    to : path
        A .csv or .xlsx file that is not there yet.
    n : int
        Answers at least.
    seed : int
        Draws the images.
    of : path, optional
        The table of the answers, in whose form the sheet is written.

    Returns
    -------
    int
        Rows of the sheet.

    Raises
    ------
    MedcalError
        If no answer has a confidence and a grade.
    """
    if not answers[["confidence", GRADE]].notna().all(axis=1).any():
        raise MedcalError(
            "no answer has a confidence and a grade, so there is none to check"
        )
    rows = answers_to_check(answers, n, rng=np.random.default_rng(seed))
    drawn = answers.loc[rows]
    sheet = pd.concat([drawn[KEY], shown_of(drawn)], axis=1)
    sheet = sheet.dropna(axis=1, how="all").astype(TEXT)
    sheet[GRADE] = None
    write_sheet(sheet, to, of or to)
    return len(sheet)


def about_undrawn(answers: pd.DataFrame) -> list[str]:
    """Say that answers without a grade are not drawn from; nothing where there is none.

    What comes of a sheet is about the graded answers alone.
    """
    is_open = answers["confidence"].notna() & answers[GRADE].isna()
    if not is_open.any():
        return []
    return [
        f"{is_open.sum():,} of {len(answers):,} answers have no grade and are not drawn from: what "
        "a sheet shows is of the graded ones alone, so grade these first, or read the bounds"
    ]


def with_checks(answers: pd.DataFrame, sheet: PathLike) -> pd.DataFrame:
    """Answers with the person's grades of a sheet in the column ``checked``.

    Parameters
    ----------
    answers : DataFrame
        Those that the sheet was drawn from.
    sheet : path
        Of `write_checks`, its column ``correct`` filled with 1, 0, or ? for what cannot be graded,
        as far as somebody got. What is ? or empty is not checked.

    Raises
    ------
    MedcalError
        If the sheet is of other answers, or a grade cannot be read.
    """
    problem = (
        "not a sheet of `medcal check`, or a column of it was renamed; put it back"
    )
    rows = read_sheet(sheet, [*KEY, GRADE], problem)
    with of_file(sheet):
        keys = pd.MultiIndex.from_frame(answers[KEY])
        place = keys.get_indexer(pd.MultiIndex.from_frame(rows[KEY]))
        remedy = "put back what stood in this row"
        items = rows["item_id"]
        refuse("item_id", items, place < 0, "is no answer of the file", remedy)
        refuse("item_id", items, rows.duplicated(KEY), "occurs twice", "leave one")
        grades = read_grades(rows).replace(UNGRADABLE, None)
    is_graded = grades.notna().to_numpy(bool)
    checked = np.full(len(answers), np.nan)
    checked[place[is_graded]] = grades[is_graded] == RIGHT_GRADE
    return answers.assign(checked=checked)
