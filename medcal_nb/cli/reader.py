"""``medcal reader``: read a model's answers case by case, in a browser on this machine."""

import os
from pathlib import Path
from typing import Annotated

import typer

from medcal_nb.cli._app import Force, app, say

MaxRisk = Annotated[
    float,
    typer.Option(
        min=0.001,
        max=0.999,
        help="Flag a case if more of those like it were wrong.",
    ),
]
Size = Annotated[int, typer.Option(min=1, max=1000, help="Cases until a summary.")]
Name = Annotated[
    str | None,
    typer.Option(help="Your name; your user name if left out."),
]

Answers = Annotated[
    Path, typer.Argument(metavar="ANSWERS", help="A log or a table; it is only read.")
]
Model = Annotated[
    str | None, typer.Option(metavar="NAME", help="The model; the best if left out.")
]
Dataset = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The data set; NAME:FOLDER of its images."),
]
Strategy = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The elicitation method shown first."),
]


@app.command()
def reader(
    answers: Answers,
    model: Model = None,
    dataset: Dataset = None,
    strategy: Strategy = None,
    decisions: Annotated[
        Path | None,
        typer.Option(help="Where decisions are kept; beside ANSWERS if left out."),
    ] = None,
    name: Name = None,
    max_risk: MaxRisk = 0.2,
    size: Size = 20,
    model_first: Annotated[
        bool,
        typer.Option("--model-first", help="Show the model's answer before yours."),
    ] = False,
    export: Annotated[
        Path | None,
        typer.Option(help="Only write decisions to this .csv or .json file."),
    ] = None,
    force: Force = False,
    port: Annotated[
        int | None, typer.Option(help="Port; a free one if left out.")
    ] = None,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Only print the address.")
    ] = False,
) -> None:
    """Show answers one case at a time, to accept, override or defer (Voila, 127.0.0.1 only).

    The address holds a token: the one in MEDCAL_READER_TOKEN, else a random one. It is no option,
    because others on this machine can read a command line.

    Example: medcal reader answers.sqlite --max-risk 0.1
    """
    from medcal_nb.reader.cases import Casebook
    from medcal_nb.reader.decisions import DecisionLog, decisions_path
    from medcal_nb.reader.serve import serve

    log = DecisionLog(decisions or decisions_path(answers))
    if export is not None:
        table = log.export(export, force=force)
        say(f"wrote {export}: {len(table)} rows")
        return
    # tried here, so that what is wrong with a file is reported on the command line
    Casebook(answers, dataset=dataset, model=model, strategy=strategy)
    options = {
        "dataset": dataset,
        "model": model,
        "strategy": strategy,
        "reader": name,
        "limit": max_risk,
        "size": size,
        "model_first": model_first,
        "decisions": str(log.path.resolve()),
    }
    token = os.environ.get("MEDCAL_READER_TOKEN")
    serve(
        answers, options, port=port, token=token, open_browser=not no_browser, say=say
    )
