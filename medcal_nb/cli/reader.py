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
    model: str = typer.Option(None, help="Which model is shown first."),
    strategy: str = typer.Option(None, help="Whose confidence is shown first."),
    decisions: Path = typer.Option(
        None, help="Where decisions are kept; beside the answers if left out."
    ),
    name: str = typer.Option(None, help="Your name in the decisions; your user name if left out."),
    errors_allowed: float = typer.Option(
        0.2, help="Share of wrong answers allowed among those that need no check."
    ),
    commit_first: bool = typer.Option(
        False, "--commit-first", help="Ask for your own answer before showing the model's."
    ),
    port: int = typer.Option(None, help="A free one if left out."),
    token: str = typer.Option(None, help="What the address has to hold; random if left out."),
    no_browser: bool = typer.Option(False, "--no-browser", help="Only print the address."),
) -> None:
    """Show answers one case at a time, to accept, override or defer (Voila, 127.0.0.1 only).

    Example: medcal reader answers.sqlite --errors-allowed 0.1
    """
    from medcal_nb.cli import say
    from medcal_nb.errors import MedcalError
    from medcal_nb.reader.cases import AnswerBook
    from medcal_nb.reader.decisions import DecisionLog, decisions_path
    from medcal_nb.reader.serve import serve

    if not 0 < errors_allowed < 1:
        raise MedcalError(
            f"--errors-allowed {errors_allowed}: give a share between 0 and 1, such as 0.2"
        )
    options = {
        "decisions": None if decisions is None else str(decisions.resolve()),
        "reader": name,
        "dataset": dataset,
        "model": model,
        "strategy": strategy,
        "limit": errors_allowed,
        "commit_first": commit_first,
    }
    # tried here, so that what is wrong with a file is told on the command line
    AnswerBook(answers).choose(dataset, model, strategy)
    DecisionLog(decisions or decisions_path(answers)).close()
    serve(answers, options, port=port, token=token, open_browser=not no_browser, say=say)
