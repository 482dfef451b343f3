"""``medcal import``, ``score``, ``export``, ``merge``: answers in, numbers and tables out."""

import sys
from pathlib import Path
from typing import Literal

import typer

from medcal_nb.cli._app import Force, Table, app, note, say, split_names

Policy = Literal["error", "ignore", "replace"]


@app.command("import")
def import_(
    file: Path = typer.Argument(
        metavar="FILE", help="A table, or a log of another tool."
    ),
    to: Path = typer.Option(..., help="The log to write to, e.g. answers.sqlite."),
    dataset: str = typer.Option(None, metavar="NAME", help="Name of the data set."),
    domain: Literal["general", "medical", "other"] = typer.Option(
        None, help="Of all items."
    ),
    split: Literal["fit", "test"] = typer.Option(None, help="Of all items."),
    logits: str = typer.Option(
        None, metavar="COL,COL,…", help="Option scores, named …_OPTION."
    ),
    confidence: str = typer.Option(
        None, metavar="COL", help="Probability of being correct."
    ),
    correct: str = typer.Option(None, metavar="COL", help="true/false or 1/0."),
    answer: str = typer.Option(None, metavar="COL", help="What the model said."),
    gold: str = typer.Option(
        None, metavar="COL", help="The right answer; grades the answers."
    ),
    model: str = typer.Option(
        None, metavar="COL_OR_NAME", help="A column, else a constant."
    ),
    item: str = typer.Option(None, metavar="COL", help="Id of the item."),
    image: str = typer.Option(
        None, metavar="COL", help="Id of the image (groups intervals)."
    ),
    modality: str = typer.Option(None, metavar="COL", help="x-ray, ct, photo …"),
    strategy: str = typer.Option(None, metavar="COL_OR_NAME", help="How it was asked."),
    percent: bool = typer.Option(
        False, "--percent", help="The confidence runs 0 to 100."
    ),
    allow_missing: bool = typer.Option(
        False, help="Keep rows without confidence or grade."
    ),
    reader: str = typer.Option("auto", help="Whose log it is; found out where plain."),
    items: Path = typer.Option(
        None, help="Table with item_id, gold … for logs without them."
    ),
    if_exists: Policy = typer.Option(
        "error", help="Answers that are there with other content."
    ),
) -> None:
    """Bring recorded answers into a log: all of them, or nothing.

    Example: medcal import a.csv --confidence conf --percent --to answers.sqlite
    """
    given = locals() | {"item_id": item, "image_id": image}
    from medcal_nb.answers import ANSWER_COLUMNS
    from medcal_nb.logs import ColumnMap, import_file

    named = {
        name: given[name] for name in ANSWER_COLUMNS if given.get(name) is not None
    }
    columns = ColumnMap(named, split_names(logits), percent, allow_missing)
    done = import_file(
        file, to, columns, reader=reader, items=items, if_exists=if_exists
    )
    for remark in done.notes:
        note(remark)
    known = done.rows - done.written
    more = f" ({known:,} were there already)" if known else ""
    say(f"{to}: {done.written:,} answers from {file.name}{more}")


@app.command()
def score(
    answers: Table,
    by: str = typer.Option(
        "model,dataset,strategy", metavar="COL,COL,…", help="Groups."
    ),
    resamples: int = typer.Option(
        1000, min=2, max=100_000, help="Behind the intervals."
    ),
    format: Literal["table", "csv"] = typer.Option("table", help="How it is printed."),
    choose: bool = typer.Option(
        False, "--choose", help="Say which strategy costs least."
    ),
    cost_wrong: float = typer.Option(1.0, min=1e-9, help="Of a wrong answer acted on."),
    cost_check: float = typer.Option(0.1, min=0, help="Of the check of an answer."),
    cost_tokens: float = typer.Option(0.0, min=0, help="Of a thousand tokens."),
    errors_allowed: float = typer.Option(
        None, min=0.001, max=0.999, help="Share of those kept."
    ),
) -> None:
    """Accuracy, calibration and discrimination of each group of answers, with 95 % intervals.

    With --choose it is told instead, group by group, which strategy to take: as stated or with
    its map, chosen on one half of the images and judged on the other.

    Example: medcal score answers.sqlite --by model,modality
    """
    from medcal_nb.cli._score import choices, in_cells, score_answers

    names = list(dict.fromkeys(split_names(by)))
    if choose:
        costs = {
            "cost_wrong": cost_wrong,
            "cost_check": cost_check,
            "cost_tokens": cost_tokens,
        }
        for told in choices(
            answers, by=names, costs=costs | {"max_risk": errors_allowed}
        ):
            say(told)
        return
    table, reasons = score_answers(answers, by=names, n_resamples=resamples)
    for reason in reasons:
        note(reason)
    if format == "csv":
        text = table.to_csv(index=False, lineterminator="\n")
        (say if sys.stdout.isatty() else sys.stdout.write)(text)
    else:
        for part in in_cells(table, names):
            say(part.to_string(index=False, float_format="{:.5f}".format))


@app.command()
def export(
    answers: Path = typer.Argument(metavar="ANSWERS", help="The log."),
    to: Path = typer.Option(..., help="The .csv or .parquet file to write."),
    force: Force = False,
    safe_csv: bool = typer.Option(
        False, "--safe-csv", help="Put ' before cells like formulas."
    ),
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
    logs: list[Path] = typer.Argument(metavar="LOGS", help="The earlier first."),
    to: Path = typer.Option(..., help="The log to bring them into."),
    if_exists: Policy = typer.Option(
        "error", help="Answers that are there with other content."
    ),
) -> None:
    """Bring several logs into one; safe to repeat.

    Example: medcal merge part-1.sqlite part-2.sqlite --to answers.sqlite
    """
    from medcal_nb.answers import merge_logs

    n = merge_logs(logs, to, if_exists=if_exists)
    say(f"{to}: {n:,} answers added from {len(logs)} logs")
