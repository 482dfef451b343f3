"""``medcal check``: a random share of the answers for a person to grade."""

from pathlib import Path
from typing import Annotated

import typer

from medcal_nb.cli._app import app, command, note, say
from medcal_nb.cli.answers import Columns, File, _read


@app.command(rich_help_panel="Answers")
def check(
    file: File,
    cases: Annotated[
        int, typer.Option(min=20, help="Draw so many answers at least, by image.")
    ] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Draw images from this.")] = 0,
    to: Annotated[
        Path | None,
        typer.Option(
            help="Write this sheet; FILE.checked.csv if left out, or .xlsx beside an Excel table."
        ),
    ] = None,
    columns: Columns = None,
) -> None:
    """Draw a random share of the answers for a person to grade, whatever graded them so far.

    Fill the column 'correct' of the sheet (1, 0, or ? for what cannot be graded), from the top and
    as far as you like; then `medcal report FILE --checked SHEET` says what the right grades would
    show.

    Example: medcal check answers.csv --cases 200
    """
    from medcal_nb.answers import load_answers
    from medcal_nb.report.checks import about_undrawn, write_checks
    from medcal_nb.tables import sheet_beside
    from medcal_nb.wording import in_shell

    to = to or sheet_beside(file, "checked")
    answers = _read(load_answers, file, columns)
    n = write_checks(answers, to, n=cases, seed=seed, of=file)
    for sentence in about_undrawn(answers):
        note(sentence)
    say(f"{to}: {n:,} answers to grade in the column 'correct', then")
    say(f"{command('report', file, columns)} --checked {in_shell(str(to))}")
