"""``medcal calibrate``: learn recalibration maps on some answers, use them on others."""

import shutil
import tempfile
import warnings
from pathlib import Path

import typer

from medcal_nb.cli._app import Table, app, note, say
from medcal_nb.errors import MedcalError


@app.command()
def calibrate(
    answers: Table,
    to: Path = typer.Option(..., help="A new log, or .parquet, .csv, .jsonl."),
    method: str = typer.Option("log_odds", help="A recalibration map: see above."),
    fit: list[str] = typer.Option([], metavar="COL=VALUE,…", help="Rows to learn from."),
    apply: list[str] = typer.Option([], metavar="COL=VALUE,…", help="Rows to correct."),
    map: Path = typer.Option(None, "--map", help="Write the fitted maps here, as JSON."),
    use: Path = typer.Option(None, help="Use maps written by --map instead of fitting."),
    cross: int = typer.Option(0, min=0, help="Learn on the --apply rows, in N folds by image."),
) -> None:
    """Correct the confidence of answers, a map for each model and strategy fitted on others.

    Maps are log_odds, platt, beta, isotonic, histogram, bbq, enir; temperature divides the logits
    of all options, where every answer tells them.

    Example: medcal calibrate a.sqlite --fit domain=general --apply domain=medical --to c.csv
    """
    from medcal_nb.answers import load_answers
    from medcal_nb.ask.graded import to_graded
    from medcal_nb.correct.maps import MAP_METHODS, save_maps
    from medcal_nb.files import check_new_file, new_file

    if sum([bool(fit), use is not None, cross > 0]) != 1:
        raise MedcalError("give one of --fit COL=VALUE, --use MAP.json or --cross FOLDS")
    if method not in MAP_METHODS:
        raise MedcalError(f"--method {method}: choose one of {', '.join(MAP_METHODS)}")
    if map and not fit:
        raise MedcalError("--map needs --fit COL=VALUE: the rows to learn from")
    for path in filter(None, (to, map)):
        check_new_file(path, sources=[answers])
    table = to_graded(load_answers(answers))
    target = _pick(table, apply, "--apply", answers)
    source = _pick(table, fit, "--fit", answers) if fit else None
    corrected, maps, notes = _corrected(
        source, target, answers, method=method, use=use, cross=cross
    )
    if map is not None:
        with new_file(map) as part:
            save_maps(maps, part, fitted_on=" and ".join(fit))
    _write(corrected, to)
    if without := len(target) - len(corrected):
        notes.append(f"{without:,} rows have no map for their model and strategy and are left out")
    _tell(corrected, maps, notes, to)


def _tell(corrected, maps, notes, to):
    for remark in notes:
        note(remark)
    say(f"{to}: {len(corrected):,} answers corrected; {_change(corrected)}")
    for key, fitted in maps.items():
        values = {k: v for k, v in fitted.params.items() if isinstance(v, float)}
        text = "".join(f", {k} {v:.4g}" for k, v in values.items())
        say(f"  {' '.join(key)}: {fitted.name}{text}, {fitted.n_fit:,} labels")


def _corrected(source, target, path, *, method, use, cross):
    """The corrected rows, their maps, and remarks."""
    import numpy as np

    from medcal_nb.correct.maps import (
        RecalibrationWarning,
        apply_maps,
        cross_apply,
        fit_maps,
        load_maps,
    )

    maps = {}
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", RecalibrationWarning)
            if cross:
                how = {"n_folds": cross, "rng": np.random.default_rng(0)}
                rows = cross_apply(target, method=method, **how)
            else:
                maps = load_maps(use) if use else fit_maps(source, method=method)
                if not maps:
                    raise ValueError(f"{use}: holds no maps; write some with --fit … --map FILE")
                rows = apply_maps(target, maps)
    except ValueError as error:
        told, used, _ = str(error).partition("; score it")
        told += "; pick other rows, or use --cross FOLDS" if used else ""
        raise MedcalError(told if use and str(use) in told else f"{path}: {told}") from None
    told = [str(one.message) for one in caught if one.category is RecalibrationWarning]
    return rows, maps, list(dict.fromkeys(told))


def _pick(table, conditions, option, path):
    """Rows that all conditions COL=VALUE,… hold for."""
    for condition in conditions:
        column, _, values = condition.partition("=")
        if not values or column not in table:
            columns = ", ".join(table.columns)
            raise MedcalError(f"{path}: {option} {condition}: write COL=VALUE, COL of {columns}")
        table = table[table[column].astype(str).isin(values.split(","))]
        if table.empty:
            raise MedcalError(f"{path}: no rows with {option} {condition}")
    return table


def _write(corrected, to):
    """Into a new log, or through one into a table: rows checked, in key order."""
    from medcal_nb.answers import AnswerLog, export_answers, is_log
    from medcal_nb.files import new_file

    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "log.sqlite"
        with AnswerLog(made) as log:
            log.append(corrected)
        if not is_log(to):
            export_answers(made, to)
            return
        with new_file(to) as part:
            shutil.copyfile(made, part)


def _change(corrected):
    """Brier score and ECE as stated and after, over the answers that have both and a grade."""
    from medcal_nb.measure import brier_score, ece

    rows = corrected.dropna(subset=["confidence", "confidence_raw", "correct"])
    if rows.empty:
        return "none is graded"
    y = rows["correct"].to_numpy(float)
    c, before = rows["confidence"].to_numpy(float), rows["confidence_raw"].to_numpy(float)
    return (
        f"of the {len(rows):,} graded: Brier score {brier_score(before, y):.4f} as stated, "
        f"{brier_score(c, y):.4f} after; ECE {ece(before, y):.4f} as stated, {ece(c, y):.4f} after"
    )
