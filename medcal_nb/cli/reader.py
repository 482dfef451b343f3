"""``medcal reader``: cases of a model's answers as a page, to be read one at a time."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from medcal_nb.cli._app import Force, say

To = Annotated[Path, Option(help="Write the page (.html) here.")]


def reader(
    answers: Annotated[
        Path,
        Argument(
            metavar="ANSWERS", help="A log, a table, or recorded answers: pocket."
        ),
    ],
    to: To,
    rows: Annotated[
        str,
        Option(
            metavar="QUERY",
            help="Show answers where it holds: of one model and method, else one is chosen.",
        ),
    ] = "",
    dataset: Annotated[
        str | None,
        Option(
            metavar="NAME",
            help="Show this data set; NAME:FOLDER says where its images are.",
        ),
    ] = None,
    force: Force = False,
) -> None:
    """Write cases as one page to read them: your answer first, then the model's.

    The page needs no server and can be sent. Decisions are downloaded from it as decisions.json,
    which `medcal import` reads.

    Example: medcal reader pocket --to cases.html
    """
    from medcal_nb.reader import write_page

    holds = write_page(
        answers,
        to,
        rows=rows,
        dataset=dataset,
        force=force,
    )
    say(f"wrote {to}: {holds}")
