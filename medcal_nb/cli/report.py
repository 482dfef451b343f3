"""``medcal report``: one page on a table of answers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medcal_nb.cli._app import Force, app, say, split_names

Answers = Annotated[
    Path, typer.Argument(metavar="FILE", help="A table of answers, or a log.")
]
Folder = Annotated[
    Path | None, typer.Option(help="Folder to write; FILE_report by default.")
]
Confidence = Annotated[str | None, typer.Option(help="Column of the confidence.")]
Correct = Annotated[str | None, typer.Option(help="Column of the grade.")]
Item = Annotated[str | None, typer.Option(help="Column of the question.")]
Image = Annotated[str | None, typer.Option(help="Column of the image.")]
Reader = Annotated[str | None, typer.Option(help="Column of the reader.")]
Dataset = Annotated[str | None, typer.Option(help="Column or name of the data set.")]
Percent = Annotated[
    bool | None,
    typer.Option(
        "--percent/--no-percent", help="Confidences run from 0 to 100, or to 1."
    ),
]
Decimal = Annotated[str | None, typer.Option(help="Decimal mark: , or a point.")]
Model = Annotated[str, typer.Option(help="Model that leads.")]
Strategy = Annotated[str, typer.Option(help="Elicitation method that leads.")]
By = Annotated[str, typer.Option(help="Columns that set rows of the tables apart.")]
Group = Annotated[str, typer.Option(help="Columns of subgroups.")]
TransferFrom = Annotated[
    str, typer.Option(help="Data set (or domain) a map is learned on.")
]
Resamples = Annotated[
    int, typer.Option(min=100, help="Bootstrap resamples of each interval.")
]
Seed = Annotated[int, typer.Option(help="Seed of all random numbers.")]


@app.command()
def report(
    table: Answers,
    to: Folder = None,
    confidence: Confidence = None,
    correct: Correct = None,
    item: Item = None,
    image: Image = None,
    reader: Reader = None,
    dataset: Dataset = None,
    percent: Percent = None,
    decimal: Decimal = None,
    model: Model = "",
    strategy: Strategy = "",
    by: By = "model,strategy",
    group: Group = "modality,question_type,dataset",
    transfer_from: TransferFrom = "",
    resamples: Resamples = 2000,
    seed: Seed = 0,
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
