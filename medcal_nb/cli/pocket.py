"""``medcal models``."""

import json

import typer


def register(app: typer.Typer) -> None:
    """Add the command that lists the pocket models."""
    app.command("models")(models)


def models() -> None:
    """List the pocket models, their files checked."""
    from medcal_nb.pocket import list_pocket, pocket_dir

    for name in list_pocket():
        folder = pocket_dir(name)
        told = json.loads((folder / "recipe.json").read_text())
        steps = ", ".join(f"{stage} {count}" for stage, count in told["steps"].items() if count)
        size = sum(file.stat().st_size for file in folder.iterdir()) / 2**20
        start = f" from {told['parent']}" if told["parent"] else ""
        typer.echo(
            f"{name:22} {told['parameters'] / 1e6:.2f} M parameters, {size:.1f} MiB, "
            f"seed {told['seed']}, steps: {steps}{start}"
        )
