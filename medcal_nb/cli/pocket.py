"""``medcal train-pocket`` and ``medcal models``."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the commands of the pocket models."""
    app.command("train-pocket")(train_pocket)
    app.command("models")(models)


def train_pocket(
    name: Annotated[
        str,
        typer.Argument(help="pocket-general, pocket-medical, …-large, pocket-expert, pocket-clip."),
    ],
    steps: Annotated[
        float, typer.Option(help="Multiply the recipe's numbers of steps by this factor.")
    ] = 1.0,
    seed: Annotated[int | None, typer.Option(help="Seed of weights, scenes and batches.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the model [default: data/pocket/NAME].")
    ] = None,
    parent: Annotated[
        Path | None, typer.Option(help="Folder of the model to start from, if NAME has a parent.")
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on where an earlier call stopped.")] = False,
    every: Annotated[int, typer.Option(help="Steps between two checkpoints.")] = 200,
    threads: Annotated[int, typer.Option(help="Threads; 0: all cores.")] = 1,
    cache: Annotated[
        Path | None, typer.Option(help="Folder that keeps drawn scenes for other trainings.")
    ] = None,
) -> None:
    """Train a pocket model from its recipe, on the CPU.

    Stopped with Ctrl-C, killed or out of power: the same command with --resume goes on from the
    last checkpoint and ends with the same weights.
    """
    from dataclasses import replace

    from medcal_nb.errors import MedcalError
    from medcal_nb.pocket import clip, train
    from medcal_nb.pocket.load import enter_in_manifest

    recipes = {**train.RECIPES, **clip.RECIPES}
    if name not in recipes:
        raise MedcalError(f"{name!r} has no recipe: choose one of {', '.join(recipes)}")
    if steps <= 0 or every < 1:
        raise MedcalError("--steps and --every must be positive")
    import torch

    if threads:
        torch.set_num_threads(threads)
    recipe = recipes[name]
    if steps != 1.0:
        recipe = train.scaled(recipe, steps)
    if seed is not None:
        recipe = replace(recipe, seed=seed)
    home = Path(__file__).parents[2] / "data" / "pocket"
    if out is None and not home.is_dir():
        raise MedcalError(f"no checkout around this installation ({home} is missing): give --out")
    folder = out or home / name
    checkpoint = folder.parent / f"{folder.name}.checkpoint.pt"
    if recipe.parent is not None and parent is None:
        parent = folder.parent / recipe.parent
        parent = parent if parent.exists() else home / recipe.parent
    trainer = clip.train_clip if name in clip.RECIPES else train.train_pocket
    trainer(
        recipe,
        folder,
        checkpoint=checkpoint,
        resume=resume,
        every=every,
        cache=cache,
        parent=parent,
    )
    enter_in_manifest(folder)
    typer.echo(f"{name}: written to {folder}")


def models(
    card: Annotated[
        bool, typer.Option("--card", help="Ask every model afresh and print its card as Markdown.")
    ] = False,
    n: Annotated[int, typer.Option(help="With --card: fresh items per domain.")] = 1000,
    seed: Annotated[int, typer.Option(help="With --card: seed of the fresh items.")] = 7,
    only: Annotated[str, typer.Option(help="One model only.")] = "",
) -> None:
    """List the pocket models, their files checked; with --card measure what they can do."""
    from medcal_nb.errors import MedcalError
    from medcal_nb.pocket.load import list_pocket, pocket_dir

    names = list_pocket()
    if only:
        if only not in names:
            raise MedcalError(f"{only!r} is no pocket model: choose one of {', '.join(names)}")
        names = [only]
    if n < 50:
        raise MedcalError("--n must be at least 50")
    for name in names:
        typer.echo(_card(name, pocket_dir(name), n, seed) if card else _line(pocket_dir(name)))


def _recipe(folder):
    import json

    return json.loads((folder / "recipe.json").read_text())


def _line(folder):
    told = _recipe(folder)
    steps = ", ".join(f"{stage} {count}" for stage, count in told["steps"].items() if count)
    size = sum(file.stat().st_size for file in folder.iterdir()) / 2**20
    start = f" from {told['parent']}" if told["parent"] else ""
    return (
        f"{folder.name:22} {told['parameters'] / 1e6:.2f} M parameters, {size:.1f} MiB, "
        f"seed {told['seed']}, steps: {steps}{start}"
    )


def _card(name, folder, n, seed):
    from medcal_nb.pocket.truth import card_tables

    tables = card_tables(name, n, seed=seed)
    lines = [f"### {name}", "", _line(folder).split(maxsplit=1)[1], ""]
    titles = {
        "accuracy": "Share of right plain answers, by modality and question type:",
        "sites": "The same, all question types, on sites trained on and on the new one:",
        "strategies": "By strategy (gap: mean confidence − accuracy; read: replies with answer "
        "and confidence):",
        "checks": "Questions with options, right by:",
    }
    for key, table in tables.items():
        lines += [titles[key], "", *_markdown(table), ""]
    return "\n".join(lines)


def _markdown(table):
    """Write a table as Markdown; numbers between −1 and 1 with three decimals."""
    index = [name for name in table.index.names if name is not None]
    rows = table.reset_index() if index else table

    def show(value):
        if isinstance(value, float):
            return "–" if value != value else f"{value:.3f}"
        return str(value)

    lines = ["| " + " | ".join(map(str, rows.columns)) + " |", "| --- " * rows.shape[1] + "|"]
    for row in rows.itertuples(index=False):
        lines.append("| " + " | ".join(show(value) for value in row) + " |")
    return lines
