"""``medcal fetch``: recorded answers and public items, onto this machine."""

from pathlib import Path

import typer

from medcal_nb.cli._app import app, note, say, split_names
from medcal_nb.errors import MedcalError


@app.command()
def fetch(
    source: str = typer.Argument(
        metavar="SOURCE",
        help="vlcb or vlm-uncertainty-bench (answers of real models); vqa-rad, slake … (items).",
    ),
    models: str = typer.Option(None, metavar="A,B,…", help="Some of the recorded models."),
    to: Path = typer.Option(Path("data/fetched"), metavar="FOLDER", help="For the files."),
    log: Path = typer.Option(None, help="For the answers; FOLDER/SOURCE.sqlite if left out."),
    given: Path = typer.Option(
        None, "--from", metavar="FOLDER", help="Read the files from here, fetch nothing."
    ),
    mirror: str = typer.Option(None, metavar="URL", help="Fetch from here instead."),
    again: bool = typer.Option(False, "--again", help="Fetch anew what is there already."),
) -> None:
    """Fetch answers of real models, or public items; run again, it goes on where it was.

    Example: medcal fetch vlcb
    """
    from medcal_nb import hub
    from medcal_nb.fetch import SOURCES, fetch_answers

    sets = [name for name, one in hub.HUB_SETS.items() if not one.streamed]
    if source in SOURCES:
        log = log or to / f"{source}.sqlite"
        how = {"models": split_names(models), "mirror": mirror, "given": given, "again": again}
        done = fetch_answers(source, log, to / source, **how)
        for remark in done.notes:
            note(remark)
        if source == "vlcb":
            note("no answer names its image: intervals are by answer")
        say(f"{log}: {done.written:,} new answers of {done.rows:,}\nnext: medcal score {log}")
        return
    if source not in sets:
        known = ", ".join([*SOURCES, *sets])
        raise MedcalError(f"fetch {source!r}: is not known; known: {known}")
    if models or log or given or again:
        raise MedcalError(
            f"fetch {source}: --models, --log, --from and --again are for recorded answers"
        )
    from medcal_nb.items import load_items

    folder = hub.fetch_set(source, to / source, mirror=mirror)
    items = load_items(f"{source}:{folder}")
    say(
        f"{folder}: {len(items):,} items about {items['image_id'].nunique():,} images; ask with "
        f"--dataset {source}:{folder}"
    )
