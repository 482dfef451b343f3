"""``medcal study``: run the notebooks."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the commands that run and check the study."""
    app.command("study")(study)


def study(
    notebooks: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NN …]",
            help="Numbers or names of notebooks, with what they need; all if none.",
        ),
    ] = None,
    profile: Annotated[
        str, typer.Option(help="pocket, recorded, hub, served, or a .toml file.")
    ] = "pocket",
    answers: Annotated[
        Path | None, typer.Option(help="The answers table; profile recorded needs one.")
    ] = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option("-p", "--parameter", metavar="NAME=VALUE", help="Set a parameter."),
    ] = None,
    fast: Annotated[bool, typer.Option("--fast", help="Small sizes, into build/fast/.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="Publish figures and results here, not in figures/.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Run what is unchanged, too.")] = False,
    list_: Annotated[
        bool, typer.Option("--list", help="Say what would run and why, and run nothing.")
    ] = False,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Go on with what doesn't need a failed one.")
    ] = False,
    jobs: Annotated[
        int | None,
        typer.Option("-j", "--jobs", help="Notebooks at a time; by default as the machine allows."),
    ] = None,
) -> None:
    """Run the notebooks that are stale, in order, and publish their figures."""
    from medcal_nb.study.graph import parse_parameters
    from medcal_nb.study.run import report, run_study

    done = run_study(
        profile,
        answers=answers,
        parameters=parse_parameters(parameters or []),
        fast=fast,
        out=out,
        force=force,
        plan_only=list_,
        keep_going=keep_going,
        jobs=jobs,
        only=notebooks or [],
    )
    report(done, planned=list_)
    if done.failed:
        raise typer.Exit(1)
    if not list_:
        typer.echo(f"figures: {done.layout.figures}", err=True)
        index = done.layout.work / "html" / "index.html"
        if index.is_file():
            typer.echo(f"to read: {index}", err=True)
