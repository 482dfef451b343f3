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
    models: str = typer.Option(
        None, metavar="A,B,…", help="Some of the recorded models."
    ),
    to: Path = typer.Option(
        Path("data/fetched"),
        metavar="FOLDER",
        help="For files and log; what is there is kept.",
    ),
) -> None:
    """Fetch answers of real models, or public items; run again, it goes on where it was.

    Example: medcal fetch vlcb
    """
    from medcal_nb.datasets import hub
    from medcal_nb.fetch import SOURCES, fetch_answers

    if source in SOURCES:
        log = to / f"{source}.sqlite"
        done = fetch_answers(source, log, to / source, models=split_names(models))
        for remark in done.notes:
            note(remark)
        if source == "vlcb":
            note("no answer names its image: intervals are by answer")
        say(
            f"{log}: {done.written:,} new answers of {done.rows:,}\nnext: medcal score {log}"
        )
        return
    if source not in hub.HUB_SETS:
        known = ", ".join([*SOURCES, *hub.HUB_SETS])
        raise MedcalError(f"fetch {source!r}: is not known; known: {known}")
    if models:
        raise MedcalError(f"fetch {source}: --models is for recorded answers")
    from medcal_nb.datasets import load_items

    folder = hub.fetch_set(source, to / source)
    items = load_items(f"{source}:{folder}")
    say(
        f"{folder}: {len(items):,} items about {items['image_id'].nunique():,} images; ask with "
        f"--dataset {source}:{folder}"
    )
