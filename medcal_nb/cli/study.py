"""``medcal study``, ``medcal verify`` and ``medcal doctor``."""

import os
import platform
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from medcal_nb.cli._app import app, note, say
from medcal_nb.errors import MedcalError

Numbers = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="NN",
        help="Notebooks by number, with those they need; all if left out.",
    ),
]
ProfileName = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="recorded, pocket, imported … or a .toml; five if left out.",
        show_default=False,
    ),
]
Answers = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Your answers, for the profile imported."),
]
Parameters = Annotated[
    list[str] | None,
    typer.Option(
        "-p",
        "--parameter",
        metavar="NAME=VALUE",
        help="Set a parameter of a notebook; VALUE is JSON.",
    ),
]
Fast = Annotated[
    bool, typer.Option("--fast", help="Few items and resamples, into build/fast/.")
]
To = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Write figures here, not into figures/."),
]


@app.command()
def study(
    notebooks: Numbers = None,
    to: To = None,
    profile: ProfileName = "",
    answers: Answers = None,
    parameters: Parameters = None,
    fast: Fast = False,
    force: Annotated[
        bool, typer.Option("--force", help="Run what has not changed, too.")
    ] = False,
    list_: Annotated[
        bool, typer.Option("--list", help="Say what would run, and why; run nothing.")
    ] = False,
    keep_going: Annotated[
        bool,
        typer.Option("--keep-going", help="Go on with the others after a failure."),
    ] = False,
) -> None:
    """Run the notebooks that are stale, of five profiles or one, and publish their figures.

    Example: medcal study 03 --profile pocket --fast -p 'STRATEGY="p_true"'
    """
    from medcal_nb.study.run import Study, default_studies, run_studies

    if profile:
        one = Study(
            profile,
            answers=answers,
            parameters=parameters or (),
            fast=fast,
            out=to,
            force=force,
            only=notebooks or (),
        )
        studies = [one]
    elif answers or parameters or to:
        raise MedcalError(
            "--answers, -p and --to are for one profile: name it by --profile, "
            "such as --profile recorded, or imported for your own answers"
        )
    else:
        studies = default_studies(fast=fast, force=force, only=notebooks or ())
    run_studies(studies, plan_only=list_, keep_going=keep_going)
    _tell(studies)
    if any(one.failed for one in studies):
        raise typer.Exit(1)
    if not list_:
        figures = ", ".join(str(one.figures) for one in studies)
        say(f"figures: {figures}", err=True)
        say(
            f"to read: {studies[0].work / 'notebooks'}; the site: `make site`", err=True
        )


def _tell(studies: list) -> None:
    """Say what became of each notebook, then the errors."""
    for one in studies:
        for name, step in sorted(one.steps.items()):
            say(f"{one.profile.name:<9} {name:<25} {step}", err=True)
    for one in studies:
        for name, error in one.failed.items():
            note(f"error: {one.profile.name}: {name}: {' '.join(error.split())}")


@app.command()
def verify(notebooks: Numbers = None, profile: ProfileName = "") -> None:
    """Run the study again elsewhere and compare every published number.

    Models are asked anew; it takes as long as the study. Numbers may differ by 0.005 (of their
    size, where it exceeds 1). Exits with 1 where a figure differs.

    Example: medcal verify 02 --profile recorded
    """
    from medcal_nb.study.run import default_studies

    names = [profile] if profile else None
    differing = 0
    compared = 0
    with TemporaryDirectory(prefix="medcal-verify-") as folder:
        for again in default_studies(names=names, only=notebooks or (), out=folder):
            again.run()
            for name, error in again.failed.items():
                raise MedcalError(f"{again.profile.name}: {name}: {error}")
            published = again.profile.figures(fast=False)
            results = _compared(again.figures, published)
            for figure, difference in results.items():
                say(f"{again.profile.name:<9} {figure:<25}  {difference or 'agrees'}")
            differing += sum(map(bool, results.values()))
            compared += len(results)
    if differing:
        note(f"error: {differing} of {compared} figures differ")
        raise typer.Exit(1)


def _compared(figures: Path, published: Path) -> dict[str, str]:
    """Return how the table of each figure differs from the published one, "" where it does not."""
    from medcal_nb.show.figures import difference

    files = sorted(figures.glob("fig*.csv"))
    return {file.stem: difference(published / file.name, file) for file in files}


@app.command()
def doctor() -> None:
    """Say what this machine has of what the study needs, or what it lacks first.

    Example: medcal doctor
    """
    import torch

    from medcal_nb.datasets.pocket import list_pocket, pocket_dir
    from medcal_nb.study.context import library_versions
    from medcal_nb.study.profile import checkout

    versions = ", ".join(map(" ".join, library_versions().items()))
    has_gpu = torch.cuda.is_available()
    gpu = torch.cuda.get_device_name() if has_gpu else "no GPU: hub needs one"
    pocket = ", ".join(pocket_dir(name).name for name in list_pocket())
    say(f"libraries      {versions}, {sys.executable}")
    say(f"machine        {platform.platform()}, {os.cpu_count()} cores, {gpu}")
    say(f"pocket models  {pocket}")
    say(f"notebooks      in {checkout()}")
