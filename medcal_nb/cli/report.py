"""``medcal report``: one page on a table of answers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medcal_nb.cli._app import Force, app, say, split_names


@app.command()
def report(
    table: Annotated[
        Path, typer.Argument(metavar="FILE", help="A table of answers, or a log.")
    ],
    to: Annotated[
        Path | None, typer.Option(help="Folder to write; FILE_report by default.")
    ] = None,
    confidence: Annotated[
        str | None, typer.Option(help="Column of the confidence.")
    ] = None,
    correct: Annotated[str | None, typer.Option(help="Column of the grade.")] = None,
    item: Annotated[str | None, typer.Option(help="Column of the question.")] = None,
    image: Annotated[str | None, typer.Option(help="Column of the image.")] = None,
    reader: Annotated[str | None, typer.Option(help="Column of the reader.")] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Column or name of the data set.")
    ] = None,
    percent: Annotated[
        bool | None,
        typer.Option(
            "--percent/--no-percent", help="Confidences run from 0 to 100, or to 1."
        ),
    ] = None,
    decimal: Annotated[
        str | None, typer.Option(help="Decimal mark: , or a point.")
    ] = None,
    model: Annotated[str, typer.Option(help="Model that leads.")] = "",
    strategy: Annotated[str, typer.Option(help="Elicitation method that leads.")] = "",
    by: Annotated[
        str, typer.Option(help="Columns that set rows of the tables apart.")
    ] = "model,strategy",
    group: Annotated[
        str, typer.Option(help="Columns of subgroups.")
    ] = "modality,question_type,dataset",
    transfer_from: Annotated[
        str, typer.Option(help="Data set (or domain) a map is learned on.")
    ] = "",
    resamples: Annotated[
        int, typer.Option(min=100, help="Bootstrap resamples of each interval.")
    ] = 2000,
    seed: Annotated[int, typer.Option(help="Seed of all random numbers.")] = 0,
    force: Force = False,
) -> None:
    """Write one page on how well a confidence is calibrated, with every number beside it.

    Columns are recognised where their names and values are plain; options name the others.

    Example: medcal report answers.csv --to report
    """
    from medcal_nb.study.reporting import write_report

    named = {
        "confidence": confidence,
        "correct": correct,
        "item_id": item,
        "image_id": image,
        "reader": reader,
        "dataset": dataset,
    }
    page = write_report(
        table,
        to or Path(f"{table.stem}_report"),
        named={name: column for name, column in named.items() if column},
        percent=percent,
        decimal=decimal,
        parameters={
            "MODEL": model,
            "STRATEGY": strategy,
            "BY": split_names(by),
            "GROUP_BY": split_names(group),
            "N_RESAMPLES": resamples,
            "SEED": seed,
        },
        transfer_from=transfer_from,
        force=force,
        tell=lambda text: say(text, err=True),
    )
    say(str(page))
