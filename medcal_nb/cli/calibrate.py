"""``medcal calibrate``: learn corrections on some answers, use them on others."""

from pathlib import Path

import typer


def _methods() -> list[str]:
    from medcal_nb.correct.maps import MAP_METHODS

    return list(MAP_METHODS)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(calibrate)


def calibrate(
    answers: Path = typer.Argument(help="A log, or a table with our column names."),
    to: Path = typer.Option(
        ..., help="Where the corrected verdicts go: a new log, or .parquet, .csv, .jsonl."
    ),
    method: str = typer.Option(
        "temperature",
        help="Family of the map: temperature, platt, beta, isotonic, histogram, bbq …",
        autocompletion=_methods,
    ),
    fit: list[str] = typer.Option(
        [], metavar="COL=VALUE[,VALUE…]", help="Rows to learn from, e.g. domain=general."
    ),
    apply: list[str] = typer.Option(
        [], metavar="COL=VALUE[,VALUE…]", help="Rows to correct, e.g. domain=medical."
    ),
    by: str = typer.Option("model,strategy", metavar="COL,COL,…", help="One map for each of."),
    map: Path = typer.Option(None, "--map", help="Write the fitted maps here, as JSON."),
    use: Path = typer.Option(None, help="Use maps written by --map instead of fitting."),
    cross: int = typer.Option(
        0, metavar="FOLDS", help="Learn and correct on the --apply rows, cross-fitted by image."
    ),
    decision: Path = typer.Option(
        None,
        metavar="FOLDER",
        help="Also write a temperature per question type into FOLDER/decision.json, which the "
        "decision pipeline of transformers reads. Fitted on the --fit rows of one model.",
    ),
    clip: str = typer.Option(
        "auto", help="How far from 0 and 1 a confidence is kept before its log-odds are taken."
    ),
    seed: int = typer.Option(0, help="Of the folds of --cross."),
) -> None:
    """Correct the confidence of answers by maps that were fitted on other answers."""
    from medcal_nb.correct.maps import (
        apply_maps,
        cross_apply,
        fit_maps,
        load_maps,
        save_maps,
        warnings_of,
    )
    from medcal_nb.errors import MedcalError

    if sum([bool(fit), use is not None, cross > 0]) != 1:
        raise MedcalError("give one of --fit COL=VALUE, --use MAP.json or --cross FOLDS")
    if method not in _methods():
        raise MedcalError(f"--method {method}: choose one of {', '.join(_methods())}")
    if to.exists():
        raise MedcalError(f"{to}: there already; name a new file")
    if map is not None and not fit:
        raise MedcalError("--map writes maps fitted by --fit; there is none to write")
    if decision is not None and not fit:
        raise MedcalError("--decision needs --fit COL=VALUE: the rows to learn from")
    bounds = _clip(clip)
    groups = tuple(part.strip() for part in by.split(",") if part.strip())
    table = _verdicts(answers)
    target = _pick(table, apply, "--apply", answers)
    notes: list[str] = []
    try:
        if use is not None:
            maps, groups = load_maps(use)
            corrected = apply_maps(target, maps, by=groups)
        elif cross:
            import numpy as np

            corrected, notes = warnings_of(
                cross_apply, target, method=method, by=groups, n_folds=cross, clip=bounds,
                rng=np.random.default_rng(seed),
            )  # fmt: skip
        else:
            source = _pick(table, fit, "--fit", answers)
            maps, notes = warnings_of(fit_maps, source, method=method, by=groups, clip=bounds)
            corrected = apply_maps(target, maps, by=groups)
    except OSError as error:
        raise MedcalError(f"{use}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise MedcalError(f"{answers}: {_remedy(str(error))}") from None
    if decision is not None:
        notes += _write_decision(source, decision, answers)
    if map is not None:
        save_maps(maps, map, by=groups, fitted_on=" and ".join(fit))
    _write(corrected, to)
    for note in notes:
        typer.echo(f"medcal: {note}", err=True)
    if len(corrected) < len(target):
        typer.echo(
            f"medcal: {len(target) - len(corrected):,} rows have no map for their "
            f"{', '.join(groups)} and are left out",
            err=True,
        )
    typer.echo(f"{to}: {len(corrected):,} verdicts corrected")
    if not cross:
        for key, fitted in maps.items():
            typer.echo(f"  {' '.join(key)}: {_shown(fitted)}")


def _clip(text):
    from medcal_nb.errors import MedcalError

    if text == "auto":
        return text
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 0.5:
        raise MedcalError(f"--clip {text}: lies between 0 and 0.5, or is 'auto'")
    return value


def _verdicts(path):
    """Graded answers, with option probabilities where there are any."""
    from medcal_nb.answers import load_answers
    from medcal_nb.ask.graded import to_graded

    return to_graded(load_answers(path))


def _pick(table, conditions, option, path):
    from medcal_nb.correct.transfer import select
    from medcal_nb.errors import MedcalError

    where: dict[str, list[str]] = {}
    for condition in conditions:
        column, equals, values = condition.partition("=")
        if not equals or not column or not values:
            raise MedcalError(f"{option} {condition}: write COL=VALUE, e.g. domain=general")
        where.setdefault(column.strip(), []).extend(v.strip() for v in values.split(","))
    if not where:
        return table
    strings = {c: table[c].astype(str) for c in where if c in table}
    try:
        return table.loc[select(table.assign(**strings), where).index]
    except ValueError as error:
        more = f"; columns are {', '.join(table.columns)}" if len(strings) < len(where) else ""
        raise MedcalError(f"{path}: {option}: {error}{more}") from None


def _remedy(text):
    if "were used to fit" in text:
        return text.split("; score it")[0] + "; pick other rows, or use --cross FOLDS"
    return text


def _write_decision(source, folder, path):
    from medcal_nb.correct import fit_decision_temperatures, write_decision_config
    from medcal_nb.correct.maps import warnings_of
    from medcal_nb.errors import MedcalError

    models = source["model"].unique()
    if len(models) > 1:
        raise MedcalError(
            f"--decision: the --fit rows are of {len(models)} models; add --fit model=NAME"
        )
    try:
        fitted, notes = warnings_of(fit_decision_temperatures, source)
        write_decision_config(folder, fitted)
    except ValueError as error:
        raise MedcalError(f"{path}: --decision: {error}") from None
    return notes


def _write(corrected, to):
    """Into a log, or through one into a table: rows checked, in key order."""
    import tempfile

    from medcal_nb.answers import AnswerLog, export_answers, is_log

    if is_log(to):
        with AnswerLog(to) as log:
            log.append(corrected)
        return
    with tempfile.TemporaryDirectory() as folder, AnswerLog(Path(folder) / "log.sqlite") as log:
        log.append(corrected)
        export_answers(log, to)


def _shown(fitted):
    values = {k: v for k, v in fitted.params.items() if isinstance(v, float)}
    text = ", ".join(f"{k} {v:.4g}" for k, v in values.items())
    return f"{fitted.name}, {text + ', ' if text else ''}{fitted.n_fit:,} labels"
