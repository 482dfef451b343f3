"""``medcal calibrate``: learn recalibration maps on some answers, correct others."""

import warnings
from pathlib import Path
from typing import Annotated

import typer

from medcal_nb.cli._app import note, say
from medcal_nb.cli._columns import Columns, keywords
from medcal_nb.errors import MedcalError


def calibrate(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A table of answers, or a log.")
    ],
    to: Annotated[Path, typer.Option(help="What to write: .sqlite, .csv or .parquet.")],
    columns: Columns = None,
    method: Annotated[
        str, typer.Option(metavar="MAP", help="The recalibration map.")
    ] = "platt",
    fit: Annotated[
        str, typer.Option(metavar="QUERY", help="Rows that maps are fitted on.")
    ] = "",
    apply: Annotated[
        str, typer.Option(metavar="QUERY", help="Rows to recalibrate; all if left out.")
    ] = "",
    cross_fit: Annotated[
        int,
        typer.Option(
            min=0, max=100, help="Parts, each recalibrated by maps of the others."
        ),
    ] = 0,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a table that is there.")
    ] = False,
) -> None:
    """Recalibrate the confidence of answers, each model and elicitation method by its own map.

    Either --fit names the rows to learn from and --apply those to recalibrate, as pandas queries,
    or --cross-fit splits the rows by image into parts, each recalibrated by a map of the others.

    Example: medcal calibrate a.csv --fit "domain == 'general'" --to c.csv
    """
    from medcal_nb.answers import AnswerLog, is_log, load_answers, write_table
    from medcal_nb.correct.crossfit import warn_of_same_ids
    from medcal_nb.correct.maps import apply_maps, fit_maps
    from medcal_nb.files import check_new_file
    from medcal_nb.notebook import select

    if bool(fit) == bool(cross_fit):
        raise MedcalError(
            f"{file}: give --fit QUERY for the rows to learn from, or --cross-fit K for one data "
            "set in K parts"
        )
    check_new_file(to, sources=[file], force=force and not is_log(to))
    answers = load_answers(file, **keywords(columns))
    target = select(answers, apply) if apply else answers
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            if cross_fit:
                corrected = _cross_fitted(target, method, cross_fit)
            else:
                source = select(answers, fit)
                warn_of_same_ids(source, target)
                corrected = apply_maps(target, fit_maps(source, method=method))
        except ValueError as error:
            raise MedcalError(f"{file}: {error}") from None
    if is_log(to):
        with AnswerLog(to) as log:
            log.append(corrected)
    else:
        write_table(corrected, to, sources=[file], force=force)
    for remark in dict.fromkeys(str(one.message) for one in caught):
        note(remark)
    if len(corrected) < len(target):
        n = len(target) - len(corrected)
        note(f"{n:,} rows have no map for their model and method, and are left out")
    n = corrected["confidence"].notna().sum()
    say(
        f"{to}: {n:,} of {len(corrected):,} confidences corrected\nnext: medcal score {to}"
    )


def _cross_fitted(graded, method, parts):
    """Answers, each corrected by maps that were fitted without its image."""
    import numpy as np
    import pandas as pd

    from medcal_nb.correct.crossfit import assign_folds
    from medcal_nb.correct.maps import apply_maps, fit_maps
    from medcal_nb.measure.rows import image_labels

    images, _ = pd.factorize(image_labels(graded))
    if images.max() + 1 < parts:
        raise ValueError(
            f"--cross-fit {parts}: more parts than the {images.max() + 1} images"
        )
    fold = np.asarray(assign_folds(images, parts, rng=np.random.default_rng(0)))
    corrected = []
    for k in range(parts):
        maps = fit_maps(graded[fold != k], method=method)
        corrected.append(apply_maps(graded[fold == k], maps))
    return pd.concat(corrected, ignore_index=True)
