"""The factory's command line: ``python -m data.pocket.factory COMMAND``, in a checkout."""

import sys
from dataclasses import replace
from pathlib import Path

import typer

from medcal_nb.errors import MedcalError

from . import record as recording

app = typer.Typer(
    help="Make the embedded world again from its seeds.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _split(text):
    return [name.strip() for name in text.split(",") if name.strip()]


@app.command()
def items() -> None:
    """Draw all items again and store them (seconds)."""
    for path in recording.store_items():
        typer.echo(f"{path}: written")


@app.command()
def record(
    model: str = typer.Option(
        ",".join(recording.MODELS), help="Pocket models, with commas."
    ),
    dataset: str = typer.Option(
        ",".join(recording.N_FRESH), help="Data sets, with commas."
    ),
    strategies: str = typer.Option(",".join(recording.STRATEGIES), help="With commas."),
    n: int = typer.Option(
        0, help="Fresh items a data set; 0: 20,000 medical, 5,000 general."
    ),
) -> None:
    """Ask pocket models about fresh items and store the graded answers (minutes).

    Stopped, the same command goes on where it was.
    """
    for name in _split(model):
        for of in _split(dataset):
            if of not in recording.N_FRESH:
                raise MedcalError(f"{of!r}: choose of {', '.join(recording.N_FRESH)}")
            typer.echo(
                f"{recording.record(of, name, _split(strategies), n or None)}: written"
            )


@app.command()
def answers() -> None:
    """Ask all pocket models about the synthetic benchmark, and record the graded answers (minutes).

    Stopped, the same command goes on where it was.
    """
    from .answers import record_answers

    typer.echo(f"{record_answers()}: written")


@app.command()
def train(
    name: str = typer.Argument(
        help="all, pocket-general, pocket-medical, …-large, pocket-clip."
    ),
    steps: float = typer.Option(
        1.0, help="Multiply the recipe's numbers of steps by this."
    ),
    seed: int | None = typer.Option(None, help="Seed of weights, scenes and batches."),
    out: Path | None = typer.Option(
        None, help="Folder of the model [default: data/pocket/NAME]."
    ),
    parent: Path | None = typer.Option(None, help="Folder of the model to start from."),
    resume: bool = typer.Option(False, help="Go on where an earlier call stopped."),
    every: int = typer.Option(200, help="Steps between two checkpoints."),
    threads: int = typer.Option(1, help="Threads; 0: all cores."),
    cache: Path | None = typer.Option(None, help="Folder that keeps drawn scenes."),
) -> None:
    """Train a pocket model from its recipe, on the CPU (hours for all of them).

    Stopped with Ctrl-C, killed or out of power: the same command with --resume goes on from the
    last checkpoint and ends with the same weights.
    """
    from . import clip, training

    recipes = {**training.RECIPES, **clip.RECIPES}
    names = list(recipes) if name == "all" else [name]
    if names[0] not in recipes:
        raise MedcalError(f"{name!r} has no recipe: choose all, {', '.join(recipes)}")
    if not 0 < steps < float("inf") or every < 1:
        raise MedcalError("--steps and --every must be positive")
    if out is not None and name == "all":
        raise MedcalError(
            "--out is the folder of one model: name it, or leave --out out"
        )
    import torch

    if threads:
        torch.set_num_threads(threads)
    for one in names:
        recipe = recipes[one] if steps == 1.0 else training.scaled(recipes[one], steps)
        recipe = recipe if seed is None else replace(recipe, seed=seed)
        folder = out or recording.HOME / one
        start = parent
        if recipe.parent is not None and parent is None:
            start = folder.parent / recipe.parent
            start = start if start.exists() else recording.HOME / recipe.parent
        trainer = clip.train_clip if one in clip.RECIPES else training.train_pocket
        trainer(
            recipe,
            folder,
            checkpoint=folder.parent / f"{folder.name}.checkpoint.pt",
            resume=resume,
            every=every,
            cache=cache,
            parent=start,
        )
        recording.enter_in_manifest(folder)
        typer.echo(f"{one}: written to {folder}")


@app.command()
def card(
    n: int = typer.Option(1000, help="Fresh items per domain."),
    seed: int = typer.Option(7, help="Seed of the fresh items."),
    only: str = typer.Option("", help="One model only."),
) -> None:
    """Ask every pocket model about fresh items and print what it can do, as Markdown."""
    from medcal_nb.datasets.pocket import list_pocket, pocket_dir

    from .card import write_card

    if n < 50:
        raise MedcalError("--n must be at least 50")
    for name in [pocket_dir(only).name] if only else list_pocket():
        typer.echo(write_card(name, n, seed=seed))


if __name__ == "__main__":
    try:
        app(prog_name="factory")
    except MedcalError as error:
        print(f"factory: error: {error}", file=sys.stderr)
        sys.exit(2)
