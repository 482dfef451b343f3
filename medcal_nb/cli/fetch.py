"""``medcal fetch``: recorded answers and public items, onto this machine."""

from pathlib import Path

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("fetch")(fetch)


def _split(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def fetch(
    source: str = typer.Argument(
        help="vlm-uncertainty-bench (recorded answers), vqa-rad, slake, path-vqa … (items)."
    ),
    models: str = typer.Option(None, metavar="A,B,…", help="Some of the recorded models."),
    datasets: str = typer.Option(None, metavar="A,B,…", help="Some of the recorded benchmarks."),
    to: Path = typer.Option(Path("data/fetched"), help="Folder for the files."),
    log: Path = typer.Option(
        None, help="Log for recorded answers; FOLDER/vlm-uncertainty-bench.sqlite if not given."
    ),
    revision: str = typer.Option(None, help="Of the items' repository; the newest if not given."),
    mirror: str = typer.Option(None, metavar="URL", help="Fetch from here instead."),
    again: bool = typer.Option(False, "--again", help="Fetch anew what is there already."),
) -> None:
    """Fetch recorded answers or public items; an interrupted run carries on where it was."""
    from medcal_nb import fetch as room
    from medcal_nb.errors import MedcalError

    if source not in room.SOURCES:
        raise MedcalError(f"fetch {source!r}: is not known; known: {', '.join(room.SOURCES)}")
    folder = to / source
    if source == room.BENCH:
        if revision:
            raise MedcalError("fetch: --revision is for items; the recorded answers are pinned")
        files = room.bench_files(models=_split(models), datasets=_split(datasets), mirror=mirror)
        paths = room.fetch(files, folder, again=again)
        log = log or to / f"{source}.sqlite"
        new = room.import_bench(paths, log)
        typer.echo(f"{log}: {new:,} new answers from {len(paths)} files in {folder}")
        typer.echo(f"next: medcal score {log}")
        return
    if models or datasets or log:
        raise MedcalError(
            f"fetch {source}: --models, --datasets and --log are for recorded answers"
        )
    paths = room.fetch(
        room.hub_files(source, revision=revision, mirror=mirror), folder, again=again
    )
    from medcal_nb.items import load_items

    items = load_items(f"{source}:{folder}")
    typer.echo(
        f"{folder}: {len(items):,} items about {items['image_id'].nunique():,} images in "
        f"{len(paths)} files; ask with --dataset {source}:{folder}"
    )
