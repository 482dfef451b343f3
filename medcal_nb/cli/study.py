"""``medcal study``, ``medcal verify`` and ``medcal doctor``."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the commands that run and check the study."""
    app.command("study")(study)
    app.command("verify")(verify)
    app.command("doctor")(doctor)


def study(
    notebooks: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NN …]",
            help="Numbers or names of notebooks, with what they need; all if none.",
        ),
    ] = None,
    profile: Annotated[
        str, typer.Option(help="pocket, imported, hub, served, or a .toml file.")
    ] = "pocket",
    answers: Annotated[
        Path | None, typer.Option(help="The answers table; profile imported needs one.")
    ] = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option("-p", "--parameter", metavar="NAME=VALUE", help="Set a parameter, as JSON."),
    ] = None,
    fast: Annotated[bool, typer.Option("--fast", help="Small sizes, into build/fast/.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="Publish figures and results here, not in figures/.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Run what is unchanged, too.")] = False,
    list_: Annotated[
        bool, typer.Option("--list", help="Say what would run and why, and run nothing.")
    ] = False,
    figures: Annotated[
        bool,
        typer.Option("--figures", help="Print the map of all figures as Markdown; run nothing."),
    ] = False,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Go on with what doesn't need a failed one.")
    ] = False,
    jobs: Annotated[
        int | None,
        typer.Option("-j", "--jobs", help="Notebooks at a time; by default as the machine allows."),
    ] = None,
) -> None:
    """Run the notebooks that are stale, in order, and publish their figures.

    Example: medcal study --fast 03
    """
    if figures:
        from medcal_nb.study.figure_map import figure_map, format_figure_map

        typer.echo(format_figure_map(figure_map(), links=True))
        return
    from medcal_nb.study.run import report, run_study

    done = run_study(
        profile,
        answers=answers,
        parameters=parameters or [],
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
        typer.echo(f"to read: {done.layout.work / 'html' / 'index.html'}", err=True)


def verify(
    notebooks: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NN …]", help="Numbers or names of notebooks; all if none."),
    ] = None,
    answers: Annotated[
        Path | None, typer.Option(help="Use a copy of these answers instead of asking again.")
    ] = None,
    keep: Annotated[Path | None, typer.Option(help="Run in this new folder and keep it.")] = None,
) -> None:
    """Run the committed study again elsewhere and compare every published number.

    In a git clone the last commit is run, not files being edited; it takes as long as the study.
    With the versions and processor that the figures were made with, every table has to be the
    same to the byte; elsewhere numbers may differ by 0.005 (of their size, where it exceeds 1).
    Exits with 1 where a figure differs.

    Example: medcal verify 02
    """
    from medcal_nb.study.verify import verify as run_again

    verdicts = run_again(only=notebooks or [], answers=answers, keep=keep)
    wide = max(len(verdict.figure) for verdict in verdicts)
    for verdict in verdicts:
        typer.echo(f"{verdict.figure:<{wide}}  {verdict.told}")
    wrong = sum(not verdict.agrees for verdict in verdicts)
    if wrong:
        typer.echo(f"medcal: error: {wrong} of {len(verdicts)} figures differ", err=True)
        raise typer.Exit(1)
    typer.echo(f"all {len(verdicts)} figures agree", err=True)


def doctor() -> None:
    """Say what this machine has of what the study needs, and how to get the rest.

    Example: medcal doctor
    """
    from medcal_nb.study.doctor import examine

    missing = 0
    for finding in examine():
        missing += finding.state == "missing"
        typer.echo(f"{finding.state:<8}{finding.topic:<15}{finding.told}")
    if missing:
        things = "thing is" if missing == 1 else "things are"
        typer.echo(f"medcal: error: {missing} {things} missing for the default study", err=True)
        raise typer.Exit(1)
