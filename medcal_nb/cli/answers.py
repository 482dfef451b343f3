"""``medcal import``, ``score``, ``export``, ``merge``: answers in, numbers and tables out."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from medcal_nb.cli import _columns as c
from medcal_nb.cli._app import (
    Force,
    Table,
    app,
    check_log_name,
    note,
    say,
    split_names,
)

IfExists = Annotated[
    Literal["error", "ignore", "replace"],
    typer.Option(
        metavar="HOW", help="error, ignore or replace an answer that is there already."
    ),
]
Log = Annotated[Path, typer.Option(help="The log to write, such as answers.sqlite.")]
File = Annotated[
    Path, typer.Argument(metavar="FILE", help="A table, or a log of another tool.")
]
AllowMissing = Annotated[
    bool, typer.Option(help="Keep rows without a confidence or a grade.")
]
Tool = Annotated[
    str, typer.Option(metavar="NAME", help="The tool that wrote the file.")
]
Grade = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The metric of a log that is the grade."),
]
Items = Annotated[
    Path | None, typer.Option(help="Table of the questions of a log without them.")
]


@app.command("import")
def import_(
    file: File,
    to: Log,
    confidence: c.Confidence = None,
    correct: c.Correct = None,
    answer: c.Answer = None,
    gold: c.Gold = None,
    item: c.Item = None,
    image: c.Image = None,
    modality: c.Modality = None,
    model: c.Model = None,
    dataset: c.Dataset = None,
    strategy: c.Strategy = None,
    domain: c.Domain = None,
    split: c.Split = None,
    logits: c.Logits = None,
    percent: c.Percent = False,
    decimal: c.Decimal = ".",
    allow_missing: AllowMissing = False,
    tool: Tool = "auto",
    grade: Grade = None,
    items: Items = None,
    if_exists: IfExists = "error",
) -> None:
    """Bring recorded answers into a log: all of them, or nothing.

    Example: medcal import a.csv --confidence conf --percent --to answers.sqlite
    """
    from medcal_nb.logs import ColumnMap, import_file

    check_log_name(to)
    named = {
        "model": model,
        "dataset": dataset,
        "domain": domain,
        "item_id": item,
        "image_id": image,
        "modality": modality,
        "split": split,
        "strategy": strategy,
        "answer": answer,
        "confidence": confidence,
        "correct": correct,
        "gold": gold,
    }
    columns = ColumnMap(
        named={ours: theirs for ours, theirs in named.items() if theirs is not None},
        logits=split_names(logits),
        percent=percent,
        allow_missing=allow_missing,
        decimal=decimal,
        grade=grade,
    )
    done = import_file(file, to, columns, reader=tool, items=items, if_exists=if_exists)
    for remark in done.notes:
        note(remark)
    known = done.rows - done.written
    more = f" ({known:,} were there already)" if known else ""
    say(f"{to}: {done.written:,} answers from {file.name}{more}")


@app.command()
def score(
    answers: Table,
    by: Annotated[
        str, typer.Option(metavar="COL,COL,…", help="Columns that make a row.")
    ] = "model,dataset,strategy",
    all_: Annotated[
        bool, typer.Option("--all", help="Every metric that there is.")
    ] = False,
    show: Annotated[
        Literal["metrics", "curve", "distribution", "heterogeneity", "planning"],
        typer.Option(
            metavar="WHAT",
            help="metrics, curve, distribution, heterogeneity or planning.",
        ),
    ] = "metrics",
    resamples: Annotated[
        int, typer.Option(min=2, max=100_000, help="Of the bootstrap.")
    ] = 2000,
    format: Annotated[
        Literal["table", "csv"], typer.Option(help="For reading, or for a program.")
    ] = "table",
    choose: Annotated[
        bool, typer.Option("--choose", help="Say which elicitation method costs least.")
    ] = False,
    cost_wrong: Annotated[
        float, typer.Option(min=1e-9, help="Cost of a wrong answer acted on.")
    ] = 1.0,
    cost_check: Annotated[
        float, typer.Option(min=0, help="Cost of checking an answer.")
    ] = 0.1,
    cost_tokens: Annotated[
        float, typer.Option(min=0, help="Cost of a thousand tokens.")
    ] = 0.0,
    max_risk: Annotated[
        float | None,
        typer.Option(
            min=0.001, max=0.999, help="With --choose: most wrong among answers kept."
        ),
    ] = None,
) -> None:
    """Accuracy, calibration and discrimination of each group of answers, with 95 % intervals.

    With --show it is the smooth calibration curve with its band; the distribution of confidences of
    right and of wrong answers; the heterogeneity of rows (tau², prediction interval of a new one);
    or planning: how many answers narrow intervals need (Riley).

    With --choose it says instead, group by group, which elicitation method costs least, with and
    without recalibration, chosen on one half of the images and judged on the other.

    Example: medcal score answers.sqlite --by model,modality
    """
    from medcal_nb.cli import _score

    names = list(dict.fromkeys(split_names(by)))
    if choose:
        costs = {
            "cost_wrong": cost_wrong,
            "cost_check": cost_check,
            "cost_tokens": cost_tokens,
            "max_risk": max_risk,
        }
        for sentence in _score.choices(answers, by=names, costs=costs):
            say(sentence)
        return
    metrics = _score.ALL_METRICS if all_ else _score.METRICS
    table, reasons = _score.table_of(
        answers, show, by=names, n_resamples=resamples, metrics=metrics
    )
    for reason in reasons:
        note(reason)
    say(_score.as_text(table, names, format))


@app.command()
def export(
    answers: Annotated[
        Path, typer.Argument(metavar="ANSWERS", help="A log: an SQLite file.")
    ],
    to: Annotated[Path, typer.Option(help="The .csv or .parquet file to write.")],
    force: Force = False,
    safe_csv: Annotated[
        bool,
        typer.Option("--safe-csv", help="Write what begins like a formula as text."),
    ] = False,
) -> None:
    """Write a log as one table, rows in key order: equal logs give equal files.

    A spreadsheet runs cells that begin with =, +, - or @ as formulas: --safe-csv prevents it.

    Example: medcal export answers.sqlite --to answers.parquet
    """
    from medcal_nb.answers import export_answers

    n = export_answers(answers, to, force=force, safe_csv=safe_csv)
    say(f"{to}: {n:,} answers")


@app.command()
def merge(
    logs: Annotated[
        list[Path], typer.Argument(metavar="LOGS", help="Logs, the earliest first.")
    ],
    to: Annotated[Path, typer.Option(help="The log to write, such as answers.sqlite.")],
    if_exists: IfExists = "error",
) -> None:
    """Bring several logs into one; safe to repeat.

    Example: medcal merge part-1.sqlite part-2.sqlite --to answers.sqlite
    """
    from medcal_nb.answers import merge_logs

    check_log_name(to)
    n = merge_logs(logs, to, if_exists=if_exists)
    say(f"{to}: {n:,} answers added from {len(logs)} logs")
