"""``medcal calibrate``: learn recalibration maps on some answers, correct others."""

import warnings
from pathlib import Path

import typer

from medcal_nb.cli._app import Table, app, note, say
from medcal_nb.errors import MedcalError


@app.command()
def calibrate(
    answers: Table,
    to: Path = typer.Option(..., help="A new log, e.g. corrected.sqlite."),
    method: str = typer.Option("log_odds", help="A recalibration map: see above."),
    fit: list[str] = typer.Option(
        ..., metavar="COL=VALUE,…", help="Rows to learn from."
    ),
    apply: list[str] = typer.Option([], metavar="COL=VALUE,…", help="Rows to correct."),
) -> None:
    """Correct the confidence of answers, a map for each model and strategy fitted on others.

    Maps are log_odds, platt, beta, isotonic, histogram, bbq, enir; temperature divides the logits
    of all options, where every answer tells them.

    Example: medcal calibrate a.sqlite --fit domain=general --apply domain=medical --to c.db
    """
    from medcal_nb.answers import is_log, load_answers, write_log
    from medcal_nb.answers.columns import to_storage
    from medcal_nb.answers.files import block_of
    from medcal_nb.ask.graded import to_graded
    from medcal_nb.correct.maps import RecalibrationWarning, apply_maps, fit_maps
    from medcal_nb.files import check_new_file

    if not is_log(to):
        raise MedcalError(
            f"{to}: name a log, .sqlite; `medcal export` makes a table of it"
        )
    check_new_file(to, sources=[answers])
    table = to_graded(load_answers(answers))
    target = _pick(table, apply, "--apply", answers)
    source = _pick(table, fit, "--fit", answers)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", RecalibrationWarning)
        try:
            corrected = apply_maps(target, fit_maps(source, method=method))
        except ValueError as error:
            raise MedcalError(f"{answers}: {error}") from None
    write_log([to_storage(block_of(corrected))], to)
    for remark in dict.fromkeys(str(one.message) for one in caught):
        note(remark)
    if without := len(target) - len(corrected):
        note(
            f"{without:,} rows have no map for their model and strategy and are left out"
        )
    n = corrected["confidence"].notna().sum()
    say(
        f"{to}: {n:,} of {len(corrected):,} confidences corrected\nnext: medcal score {to}"
    )


def _pick(table, conditions, option, path):
    """Rows that all conditions COL=VALUE,… hold for."""
    for condition in conditions:
        column, _, values = condition.partition("=")
        if not values or column not in table:
            columns = ", ".join(table.columns)
            raise MedcalError(
                f"{path}: {option} {condition}: write COL=VALUE, COL of {columns}"
            )
        table = table[table[column].astype(str).isin(values.split(","))]
    if table.empty:
        raise MedcalError(f"{path}: no rows with {option} {' '.join(conditions)}")
    return table
