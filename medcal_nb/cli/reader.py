"""``medcal reader``: read a model's answers case by case, in a browser on this machine."""

from pathlib import Path

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("reader")(reader)


def reader(
    answers: Path = typer.Argument(..., help="A file of answers; it is only read."),
    dataset: str = typer.Option(
        None, help="Which data set of the file; NAME:FOLDER where its images are in a folder."
    ),
    model: str = typer.Option(None, help="Which model is shown first; the best if left out."),
    strategy: str = typer.Option(None, help="Whose confidence is shown first."),
    decisions: Path = typer.Option(
        None, help="Where decisions are kept; beside the answers if left out."
    ),
    name: str = typer.Option(None, help="Your name in the decisions; your user name if left out."),
    errors_allowed: float = typer.Option(
        0.2, help="Share of wrong answers allowed above the certified confidence."
    ),
    model_first: bool = typer.Option(
        False, "--model-first", help="Show the model's answer before you have given yours."
    ),
    commit_first: bool = typer.Option(
        False, "--commit-first", hidden=True, help="Old name of what is done anyway."
    ),
    export: Path = typer.Option(
        None, help="Write the decisions to this CSV file and stop; tells how readers agree."
    ),
    force: bool = typer.Option(False, "--force", help="Replace the file of --export."),
    port: int = typer.Option(None, help="A free one if left out."),
    token: str = typer.Option(
        None,
        envvar="MEDCAL_READER_TOKEN",
        help="What the address has to hold; random if left out. Others on this machine can read "
        "a command line: rather set the variable.",
    ),
    no_browser: bool = typer.Option(False, "--no-browser", help="Only print the address."),
) -> None:
    """Show answers one case at a time, to accept, override or defer (Voila, 127.0.0.1 only).

    Example: medcal reader answers.sqlite --errors-allowed 0.1
    """
    from medcal_nb.cli import note, say
    from medcal_nb.errors import MedcalError
    from medcal_nb.reader.cases import AnswerBook
    from medcal_nb.reader.decisions import DecisionLog, decisions_path
    from medcal_nb.reader.serve import serve

    log = DecisionLog(decisions or decisions_path(answers))
    if export is not None:
        _export(log, export, force)
        return
    if not 0 < errors_allowed < 1:
        raise MedcalError(
            f"--errors-allowed {errors_allowed}: give a share between 0 and 1, such as 0.2"
        )
    if commit_first:
        note("--commit-first: done anyway; --model-first shows the model's answer first")
    # tried here, so that what is wrong with a file is told on the command line
    AnswerBook(answers).choose(dataset, model, strategy)
    options = {
        "decisions": None if decisions is None else str(decisions.resolve()),
        "reader": name,
        "dataset": dataset,
        "model": model,
        "strategy": strategy,
        "limit": errors_allowed,
        "model_first": model_first and not commit_first,
    }
    serve(answers, options, port=port, token=token, open_browser=not no_browser, say=say)


def _export(log, path: Path, force: bool) -> None:
    """Write the decisions and tell how readers agree."""
    from medcal_nb.cli import say
    from medcal_nb.reader.evidence import readers_agreement

    table = log.export(path, force=force)
    agreement = readers_agreement(table)
    if len(agreement):
        say(agreement.round(3).to_string(index=False, na_rep="undefined"))
    say(f"wrote {path}: {len(table)} rows")
