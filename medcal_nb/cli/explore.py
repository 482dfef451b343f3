"""``medcal explore``: a panel on a table of answers, as one page."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from medcal_nb.cli._app import Force, app, say, split_names
from medcal_nb.cli.answers import Columns, File, _explained, _named, _read


@app.command(rich_help_panel="Answers")
def explore(
    file: File,
    to: Annotated[
        Path | None,
        typer.Option(
            help="Write the page (.html) here; FILE_explore.html if left out."
        ),
    ] = None,
    columns: Columns = None,
    group: Annotated[
        str | None,
        typer.Option(
            metavar="COL,COL,…",
            help="Offer subgroups by these columns; by all of 2 to 20 values if left out.",
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Show images of the surest errors: folder of the paths in image (or image_id). "
            "They are on the page then, which whoever has it can see.",
        ),
    ] = None,
    force: Force = False,
) -> None:
    """Write a panel to explore answers with: choose, move, and see what passes unchecked.

    The page needs nothing but a browser. It is for looking: what was chosen by looking is
    certified anew by `medcal certify`. Questions and replies of the surest errors are on it.

    Example: medcal explore answers.csv --to page.html
    """
    from medcal_nb.answers import in_order, load_answers
    from medcal_nb.explore import write_page

    answers = in_order(_read(load_answers, file, columns))
    to = to or Path(f"{file.stem}_explore.html")
    named = [f"{name}={value!r}" for name, value in _named(columns).items()]
    with _explained(file):
        holds = write_page(
            answers,
            to,
            columns=None if group is None else split_names(group),
            images=images,
            load=", ".join([repr(str(file)), *named]),
            sources=[file],
            force=force,
            progress=_counted,
        )
    say(f"wrote {to}: {holds}")


def _counted(choices: Sequence[Any]) -> Iterable[Any]:
    """Choices, with a bar in a terminal where they take longer than three seconds."""
    from tqdm import tqdm

    return tqdm(choices, desc="explore", delay=3, disable=None, leave=False)
