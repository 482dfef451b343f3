"""``medcal study``, ``medcal verify`` and ``medcal doctor``."""

import os
import platform
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import typer

from medcal_nb.cli._app import app, note, say
from medcal_nb.errors import MedcalError

_NOTEBOOKS = typer.Argument(
    None,
    metavar="NN",
    help="Numbers or names of notebooks, with what they need; else all.",
)


@app.command()
def study(
    notebooks: list[str] = _NOTEBOOKS,
    profile: str = typer.Option(
        "pocket", help="Or real, logits, imported, hub, served, a .toml."
    ),
    answers: Path = typer.Option(
        None, help="The answers table; profile imported needs one."
    ),
    parameters: list[str] = typer.Option(
        [],
        "-p",
        "--parameter",
        metavar="NAME=VALUE",
        help="Set a parameter, VALUE as JSON.",
    ),
    fast: bool = typer.Option(False, "--fast", help="Small sizes, into build/fast/."),
    out: Path = typer.Option(
        None, metavar="FOLDER", help="Publish here, not in figures/."
    ),
    force: bool = typer.Option(False, "--force", help="Run what is unchanged, too."),
    list_: bool = typer.Option(
        False, "--list", help="Say what would run and why; run nothing."
    ),
    keep_going: bool = typer.Option(
        False, "--keep-going", help="Go on after a failure."
    ),
) -> None:
    """Run the notebooks that are stale, in order, and publish their figures.

    Example: medcal study --fast 03 -p 'STRATEGY="verbalized"'
    """
    from medcal_nb.study.run import Study

    where = {"answers": answers, "out": out, "only": notebooks or []}
    done = Study(profile, parameters=parameters, fast=fast, force=force, **where)
    done.run(plan_only=list_, keep_going=keep_going)
    for name, told in sorted(done.steps.items()):
        say(f"{name:<25}  {told}", err=True)
    for name, error in done.failed.items():
        note(f"error: {name}: {' '.join(error.split())}")
    if done.failed:
        raise typer.Exit(1)
    if not list_:
        say(f"figures: {done.figures}", err=True)
        say(f"to read: {done.work / 'html' / 'index.html'}", err=True)


@app.command()
def verify(notebooks: list[str] = _NOTEBOOKS) -> None:
    """Run the study again elsewhere and compare every published number.

    Models are asked anew; it takes as long as the study. Numbers may differ by 0.005 (of their
    size, where it exceeds 1). Exits with 1 where a figure differs.

    Example: medcal verify 02
    """
    from medcal_nb.show.figures import difference
    from medcal_nb.study.profile import checkout
    from medcal_nb.study.run import Study

    with TemporaryDirectory(prefix="medcal-verify-") as folder:
        where = {
            "out": Path(folder) / "figures",
            "answers": Path(folder) / "answers.sqlite",
        }
        done = Study("pocket", only=notebooks or [], **where).run()
        for name, error in done.failed.items():
            raise MedcalError(f"{name}: {error}")
        files = sorted(done.figures.glob("fig*.csv"))
        found = {f.stem: difference(checkout() / "figures" / f.name, f) for f in files}
    for figure, told in found.items():
        say(f"{figure:<25}  {told or 'agrees'}")
    if wrong := sum(map(bool, found.values())):
        note(f"error: {wrong} of {len(found)} figures differ")
        raise typer.Exit(1)


@app.command()
def doctor() -> None:
    """Say what this machine has of what the study needs, or what it lacks first.

    Example: medcal doctor
    """
    import torch

    from medcal_nb.datasets.pocket import list_pocket, pocket_dir
    from medcal_nb.study.context import library_versions
    from medcal_nb.study.profile import checkout

    say(
        f"libraries      {', '.join(map(' '.join, library_versions().items()))}, {sys.executable}"
    )
    gpu = (
        torch.cuda.get_device_name()
        if torch.cuda.is_available()
        else "no GPU: hub needs one"
    )
    say(f"machine        {platform.platform()}, {os.cpu_count()} cores, {gpu}")
    checked = [pocket_dir(name).name for name in list_pocket()]
    say(f"pocket models  {', '.join(checked)}")
    say(f"notebooks      in {checkout()}")
