"""``medcal report``: one page on a table of answers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medcal_nb.cli import _columns as c
from medcal_nb.cli._app import Force, app, note, say, split_names

File = Annotated[
    Path, typer.Argument(metavar="FILE", help="A table of answers, or a log.")
]
Folder = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Where; FILE_report if left out.")
]
Reader = Annotated[
    str | None, typer.Option(metavar="COL", help="Column of the person who answered.")
]
Lead = Annotated[str, typer.Option(metavar="NAME", help="The model it is about.")]
Method = Annotated[
    str, typer.Option(metavar="NAME", help="And its elicitation method.")
]
By = Annotated[
    str,
    typer.Option(metavar="COL,COL,…", help="Columns that make a row of its tables."),
]
Group = Annotated[
    str, typer.Option(metavar="COL,COL,…", help="Columns whose values are subgroups.")
]
From = Annotated[
    str, typer.Option(metavar="NAME", help="Data set or domain a map is fitted on.")
]
Resamples = Annotated[int, typer.Option(min=100, help="Of the bootstrap.")]
Seed = Annotated[int, typer.Option(help="Seed of all random numbers.")]


@app.command()
def report(
    file: File,
    to: Folder = None,
    confidence: c.Confidence = None,
    correct: c.Correct = None,
    answer: c.Answer = None,
    gold: c.Gold = None,
    item: c.Item = None,
    image: c.Image = None,
    reader: Reader = None,
    model: c.Model = None,
    dataset: c.Dataset = None,
    strategy: c.Strategy = None,
    percent: c.Percent = False,
    decimal: c.Decimal = ".",
    lead: Lead = "",
    lead_method: Method = "",
    by: By = "model,strategy",
    group: Group = "modality,question_type,dataset",
    transfer_from: From = "",
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
        "answer": answer,
        "gold": gold,
        "item_id": item,
        "image_id": image,
        "reader": reader,
        "model": model,
        "dataset": dataset,
        "strategy": strategy,
    }
    page = write_report(
        file,
        to or Path(f"{file.stem}_report"),
        named={ours: theirs for ours, theirs in named.items() if theirs is not None},
        percent=percent or None,
        decimal=decimal,
        parameters={
            "MODEL": lead,
            "STRATEGY": lead_method,
            "BY": split_names(by),
            "GROUP_BY": split_names(group),
            "N_RESAMPLES": resamples,
            "SEED": seed,
            "TRANSFER_FROM": transfer_from,
        },
        force=force,
        tell=note,
    )
    say(str(page))
