"""``medcal study`` and ``doctor``: the notebooks."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medcal_nb.cli._app import app, assigned, note, say
from medcal_nb.cli.answers import Columns, _read, _write
from medcal_nb.errors import MedcalError

if TYPE_CHECKING:
    from medcal_nb.run import Step


@app.command(rich_help_panel="Study")
def study(
    notebooks: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NN", help="Run these notebooks, by number; all if left out."
        ),
    ] = None,
    profile: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="Take parameters from this .yaml file, such as one of notebooks/params.",
        ),
    ] = "",
    parameters: Annotated[
        list[str] | None,
        typer.Option("-p", metavar="NAME=VALUE", help="Set a parameter. May repeat."),
    ] = None,
    columns: Columns = None,
    to: Annotated[
        str,
        typer.Option(
            metavar="FOLDER", help="Publish in this folder and not in figures/."
        ),
    ] = "",
    force: Annotated[
        bool, typer.Option("--force", help="Run what has not changed, too.")
    ] = False,
    list_: Annotated[
        bool, typer.Option("--list", help="Say what would run, and why; run nothing.")
    ] = False,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify",
            help="Run again in build/verify; compare with what is published.",
        ),
    ] = False,
) -> None:
    """Run the notebooks that are stale, and publish their figures, results and pages.

    With parameters of your own it writes to build/, never to figures/. --verify exits with 1 where
    a number differs by more than 2e-8 or, where models are asked, by 2e-4. With -c the chapters run
    on a table that is written from your own, the columns named so.

    Example: medcal study 04 -p METHOD=isotonic
    """
    from medcal_nb.run import run_study, steps_of

    if verify:
        if profile or parameters or columns or to or list_:
            raise MedcalError(
                "--verify runs what is published: leave out -p, -c, --profile, --to and --list"
            )
        _verify(notebooks or [])
        return
    values = assigned(parameters, "-p")
    steps = steps_of(notebooks or (), assignments=values, profile=profile, to=to)
    if columns:
        _import_answers(steps, columns)
    outcomes = run_study(steps, force=force, plan_only=list_)
    for name, outcome in outcomes.items():
        if list_ or outcome == "unchanged":
            say(f"{name}: {outcome}")
    if any(outcome.startswith("failed") for outcome in outcomes.values()):
        raise typer.Exit(1)
    if not list_:
        say(f"figures and pages: {steps[0].figures}; executed: {steps[0].work}")


def _import_answers(steps: list["Step"], columns: list[str]) -> None:
    """Give the notebooks a table of the columns that are named, in the place of the user's own."""
    from medcal_nb.answers import read_answers
    from medcal_nb.answers.recorded import recorded_names

    written: dict[str, str] = {}
    for step in steps:
        given = step.overrides.get("ANSWERS", [])
        sources = [given] if isinstance(given, str) else given
        for source in sources:
            if source in written or source in recorded_names():
                continue
            to = step.work / f"{Path(source).stem}.imported.csv"
            answers = _read(read_answers, Path(source), columns, to)
            to.parent.mkdir(parents=True, exist_ok=True)
            _write(answers, to, Path(source), force=True)
            written[source] = str(to)
            note(f"the chapters run on {to}, which was written from {source}")
        own = [written.get(source, source) for source in sources]
        if own:
            step.overrides["ANSWERS"] = own[0] if isinstance(given, str) else own
    if not written:
        raise MedcalError(
            "-c names columns of your table: name it, too, by -p ANSWERS=FILE"
        )


def _verify(notebooks: list[str]) -> None:
    """Say which notebooks agree with what is published; exit with 1 where one does not."""
    from medcal_nb.run import verify_study

    differing = 0
    for name, lines in verify_study(notebooks).items():
        say(f"{name}: {'differs' if lines else 'agrees'}")
        for line in lines:
            say(f"  {line}")
        differing += bool(lines)
    if differing:
        note(f"error: {differing} notebooks differ")
        raise typer.Exit(1)


@app.command(rich_help_panel="Study")
def doctor() -> None:
    """Say what this machine has of what the workbook can use, and how to get the rest.

    Example: medcal doctor
    """
    import platform
    import sys
    from importlib.util import find_spec

    from medcal_nb import __version__
    from medcal_nb.cli import EXTRAS
    from medcal_nb.files import FROM_A_CLONE
    from medcal_nb.run import ROOT

    python = f"Python {platform.python_version()} in {sys.prefix}"
    say(f"medcal     {__version__}, {python}, {platform.platform()}")
    say(f"data       {ROOT if (ROOT / 'data').is_dir() else FROM_A_CLONE}")
    for extra, names in EXTRAS.items():
        lacking = [name for name in names if not find_spec(name)]
        remedy = f"lacks {', '.join(lacking)}: pip install 'medcal-nb[{extra}]'"
        say(f"{extra:<10} {remedy if lacking else 'complete'}")
