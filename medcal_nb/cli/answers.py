"""``medcal import`` and ``score``: the table of answers, brought into one form and measured."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from medcal_nb.cli._app import note, say
from medcal_nb.cli._columns import Columns, keywords
from medcal_nb.errors import MedcalError

Files = Annotated[
    list[Path],
    typer.Argument(metavar="FILES", help="Tables, answers logs, logs of other tools."),
]


def import_(
    files: Files,
    to: Annotated[
        Path, typer.Option(help="What to write: .sqlite (added to), .csv or .parquet.")
    ],
    columns: Columns = None,
    if_exists: Annotated[
        Literal["error", "ignore", "replace"],
        typer.Option(help="Answers that are there with other content."),
    ] = "error",
    force: Annotated[
        bool, typer.Option("--force", help="Replace a table that is there.")
    ] = False,
) -> None:
    """Bring answers of files into one log or table: all of them, or nothing.

    Several files are merged; a log becomes a table, where --to names one. In CSV a ' stands before
    what a spreadsheet would run as a formula.

    Example: medcal import a.csv -c confidence=conf -c model=my-model --to answers.sqlite
    """
    import pandas as pd

    from medcal_nb.answers import AnswerLog, is_log, read_answers, write_table

    if not is_log(to) and to.suffix not in (".csv", ".parquet"):
        raise MedcalError(f"{to}: end its name with .sqlite, .csv or .parquet")
    parts = []
    for file in files:
        answers = read_answers(file, **keywords(columns))
        for sentence in answers.attrs["assumed"]:
            note(f"{file}: {sentence}")
        answers.attrs = {}
        parts.append(answers)
    answers = pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]
    if is_log(to):
        with AnswerLog(to) as log:
            n = log.append(answers, if_exists=if_exists)
        known = (
            f" ({len(answers) - n:,} were there already)" if n < len(answers) else ""
        )
    else:
        write_table(answers, to, sources=files, force=force)
        n, known = len(answers), ""
    names = ", ".join(file.name for file in files)
    say(f"{to}: {n:,} answers from {names}{known}")


def score(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A table of answers, or a log.")
    ],
    columns: Columns = None,
    by: Annotated[
        str, typer.Option(metavar="COL,COL", help="Columns that make a row.")
    ] = "model,dataset,strategy",
    metrics: Annotated[
        str, typer.Option(metavar="NAME,NAME", help="Which metrics; all is every one.")
    ] = "",
    require: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONDITION",
            help="'ece < 0.1': exit with 1 where the 95 % CI of a row does not keep it; several "
            "times.",
        ),
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="For a program.")] = False,
) -> None:
    """Accuracy, calibration and discrimination of each group of answers, with 95 % intervals.

    Example: medcal score answers.csv --by model,modality --require 'ece < 0.1'
    """
    from medcal_nb.answers import load_answers
    from medcal_nb.cli import _score

    conditions = [_score.condition(text) for text in require or ()]
    answers = load_answers(file, **keywords(columns))
    for sentence in answers.attrs["assumed"]:
        note(f"{file}: {sentence}")
    names = [name for name in by.split(",") if name]
    table, warned = _score.table_of(answers, names, metrics, conditions)
    for sentence in warned:
        note(sentence)
    say(table.to_csv(index=False).rstrip("\n") if csv else _score.as_text(table, names))
    broken = _score.broken(table, names, conditions)
    for sentence in broken:
        note(sentence)
    if broken:
        raise typer.Exit(1)
