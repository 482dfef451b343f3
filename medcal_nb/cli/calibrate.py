"""``medcal calibrate``: learn recalibration maps on some answers, correct others."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medcal_nb.cli._app import Table, app, check_log_name, note, say
from medcal_nb.errors import MedcalError

if TYPE_CHECKING:
    import pandas as pd


def _rows(help: str) -> typer.models.OptionInfo:
    return typer.Option(metavar="COL=VALUE,…", help=help, show_default=False)


Fit = Annotated[list[str] | None, _rows("Rows that maps are fitted on.")]
Apply = Annotated[list[str] | None, _rows("Rows to recalibrate; all if left out.")]


@app.command()
def calibrate(
    answers: Table,
    to: Annotated[
        Path, typer.Option(help="The log to write, such as corrected.sqlite.")
    ],
    method: Annotated[
        str, typer.Option(metavar="MAP", help="The recalibration map.")
    ] = "platt",
    fit: Fit = None,
    apply: Apply = None,
    cross_fit: Annotated[
        int | None,
        typer.Option(
            min=2,
            max=100,
            help="Parts, each recalibrated by maps of the others.",
        ),
    ] = None,
) -> None:
    """Recalibrate the confidence of answers, each model and elicitation method by its own map.

    Either --fit names the rows to learn from and --apply those to recalibrate, or --cross-fit
    splits the rows by image into parts, each recalibrated by a map of the others. Maps are
    platt, log_odds, beta, isotonic, histogram, bbq, enir; temperature divides the logits of all
    options, where every answer tells them.

    Example: medcal calibrate a.sqlite --fit domain=general --apply domain=medical --to c.sqlite
    """
    from medcal_nb.answers import load_answers
    from medcal_nb.ask.graded import to_graded
    from medcal_nb.correct.maps import RecalibrationWarning

    check_log_name(to)
    _check_new_log(to, answers)
    if bool(fit) == bool(cross_fit):
        raise MedcalError(
            f"{answers}: give --fit COL=VALUE for the rows to learn from, or --cross-fit K for one "
            "data set in K parts"
        )
    table = to_graded(load_answers(answers))
    target = _pick(table, apply or (), "--apply", answers)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", RecalibrationWarning)
        try:
            if cross_fit:
                corrected = _cross_fitted(target, method, cross_fit)
            else:
                source = _pick(table, fit or (), "--fit", answers)
                corrected = _transferred(source, target, method)
        except ValueError as error:
            raise MedcalError(f"{answers}: {error}") from None
    _write(corrected, to)
    for remark in dict.fromkeys(str(one.message) for one in caught):
        note(remark)
    without = len(target) - len(corrected)
    if without:
        note(
            f"{without:,} rows have no map for their model and elicitation method and are left out"
        )
    n = corrected["confidence"].notna().sum()
    say(
        f"{to}: {n:,} of {len(corrected):,} confidences corrected\nnext: medcal score {to}"
    )


def _transferred(
    source: "pd.DataFrame", target: "pd.DataFrame", method: str
) -> "pd.DataFrame":
    """The target's answers, corrected by maps of the source's."""
    from medcal_nb.correct.crossfit import warn_of_same_ids
    from medcal_nb.correct.maps import apply_maps, fit_maps

    warn_of_same_ids(source, target)
    return apply_maps(target, fit_maps(source, method=method))


def _cross_fitted(graded: "pd.DataFrame", method: str, parts: int) -> "pd.DataFrame":
    """Answers, each corrected by maps that were fitted without its image."""
    import numpy as np
    import pandas as pd

    from medcal_nb.correct.crossfit import assign_folds
    from medcal_nb.correct.maps import apply_maps, fit_maps
    from medcal_nb.measure.rows import image_labels

    images = image_labels(graded)
    if len(set(images)) < parts:
        raise ValueError(
            f"--cross-fit {parts}: more parts than the {len(set(images))} images or items"
        )
    fold = np.asarray(assign_folds(images, parts, rng=np.random.default_rng(0)))
    corrected = []
    for k in range(parts):
        maps = fit_maps(graded[fold != k], method=method)
        corrected.append(apply_maps(graded[fold == k], maps))
    return pd.concat(corrected, ignore_index=True)


def _check_new_log(to: Path, answers: Path) -> None:
    """Refuse a log that is there, but for an empty one: what a full disk or a kill has left."""
    from medcal_nb.answers import AnswerLog
    from medcal_nb.files import check_new_file

    if to.is_file() and answers.exists() and not to.samefile(answers):
        try:
            with AnswerLog(to, read_only=True) as log:
                if not log.samples():
                    return
        except MedcalError:
            pass  # no log of ours: refused below
    check_new_file(to, sources=[answers])


def _write(corrected: "pd.DataFrame", to: Path) -> None:
    from medcal_nb.answers import write_log
    from medcal_nb.answers.columns import to_storage
    from medcal_nb.answers.files import block_of

    write_log([to_storage(block_of(corrected))], to)


def _pick(
    table: "pd.DataFrame", conditions: Sequence[str], option: str, path: Path
) -> "pd.DataFrame":
    """Rows that all conditions COL=VALUE,… hold for."""
    for condition in conditions:
        column, _, values = condition.partition("=")
        if not values or column not in table:
            columns = ", ".join(table.columns)
            raise MedcalError(
                f"{path}: {option} {condition}: write COL=VALUE, COL of {columns}"
            )
        there = table[column]
        table = table[there.astype(str).isin(values.split(","))]
        if table.empty:
            names = ", ".join(map(str, there.dropna().unique()[:8]))
            raise MedcalError(
                f"{path}: no rows with {option} {condition}; {column} holds {names}"
            )
    return table
