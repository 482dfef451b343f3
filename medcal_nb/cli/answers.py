"""``medcal import``, ``score``, ``export``, ``merge``: answers in, numbers and tables out."""

import json
import re
import sys
from enum import StrEnum
from pathlib import Path

import typer


class Domain(StrEnum):
    general = "general"
    medical = "medical"
    other = "other"


class Split(StrEnum):
    fit = "fit"
    test = "test"


class Policy(StrEnum):
    error = "error"
    ignore = "ignore"
    replace = "replace"


class Binning(StrEnum):
    width = "width"
    mass = "mass"


class Shown(StrEnum):
    table = "table"
    csv = "csv"
    json = "json"


class Closed(StrEnum):
    right = "right"
    left = "left"


class Export(StrEnum):
    csv = "csv"
    parquet = "parquet"
    jsonl = "jsonl"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("import")(import_)
    app.command()(score)
    app.command()(export)
    app.command()(merge)


def _split(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _say(note: str) -> None:
    typer.echo(f"medcal: {note}", err=True)


def _reply(text, question_type, options):
    """Answer and stated confidence in a raw reply."""
    from medcal_nb.ask.parsing import parse_answer, parse_confidence

    answer = parse_answer(text, question_type=question_type or "open", options=options)
    stated = re.search(r"confiden|probab|likel|sure|%", text, re.IGNORECASE)
    return answer, parse_confidence(text) if stated else None


def _grade(answer, gold, question_type, options):
    """Whether an answer is the right one."""
    from medcal_nb.ask.grading import is_correct

    return is_correct(answer, gold, question_type=question_type or "open", options=options)


def import_(
    file: Path = typer.Argument(help="Parquet, CSV, TSV, JSONL, or a log of another tool."),
    to: Path = typer.Option(..., help="The log to write to, e.g. answers.sqlite."),
    dataset: str = typer.Option(None, metavar="NAME", help="Name of the data set."),
    domain: Domain = typer.Option(None, help="Of all items."),
    split: Split = typer.Option(None, help="Of all items."),
    logits: str = typer.Option(
        None,
        metavar="COL,COL,…",
        help="Option scores; each column ends in its option after the last '_'.",
    ),
    confidence: str = typer.Option(None, metavar="COL", help="Probability of being correct."),
    correct: str = typer.Option(None, metavar="COL", help="true/false or 1/0."),
    answer: str = typer.Option(None, metavar="COL", help="What the model said."),
    gold: str = typer.Option(None, metavar="COL", help="The right answer; grades the answers."),
    model: str = typer.Option(None, metavar="COL_OR_NAME", help="A column, else a constant."),
    item: str = typer.Option(None, metavar="COL", help="Id of the item."),
    image: str = typer.Option(None, metavar="COL", help="Id of the image (groups intervals)."),
    modality: str = typer.Option(None, metavar="COL", help="x-ray, ct, photo …"),
    strategy: str = typer.Option(None, metavar="COL_OR_NAME", help="How it was asked."),
    sample: str = typer.Option(None, metavar="COL", help="Number of a repeated reply, from 0."),
    percent: bool = typer.Option(False, "--percent", help="The confidence runs 0 to 100."),
    allow_missing: bool = typer.Option(
        False, "--allow-missing", help="Keep rows without confidence or grade; they are counted."
    ),
    reader: str = typer.Option("auto", help="Whose log it is; found out where plain."),
    items: Path = typer.Option(
        None, help="Table with item_id and gold, modality …, for logs that hold no gold answers."
    ),
    if_exists: Policy = typer.Option(
        Policy.error, help="Answers that the log holds with other content."
    ),
) -> None:
    """Bring recorded answers into a log: all of them, or nothing."""
    from medcal_nb.logs import ColumnMap, import_file

    columns = ColumnMap(
        dataset=dataset,
        domain=domain and domain.value,
        split=split and split.value,
        logits=tuple(_split(logits)),
        confidence=confidence,
        correct=correct,
        answer=answer,
        gold=gold,
        model=model,
        item=item,
        image=image,
        modality=modality,
        strategy=strategy,
        sample=sample,
        percent=percent,
        allow_missing=allow_missing,
    )
    done = import_file(
        file,
        to,
        columns,
        reader=reader,
        items=items,
        parse=_reply,
        grade=_grade,
        if_exists=if_exists.value,
        progress=True,
    )
    for note in done.notes:
        _say(note)
    known = done.rows - done.written
    more = f" ({known:,} were there already)" if known else ""
    typer.echo(f"{to}: {done.written:,} answers from {file.name}{more}")


def score(
    answers: Path = typer.Argument(help="A log, or a table with our column names."),
    by: str = typer.Option("model,dataset,strategy", metavar="COL,COL,…", help="Groups."),
    bins: int = typer.Option(15, help="Bins of the calibration error."),
    binning: Binning = typer.Option(Binning.width, help="Bins of equal width, or equal number."),
    closed: Closed = typer.Option(
        Closed.right, help="Bins (lo, hi] or [lo, hi); some published numbers use the latter."
    ),
    ci: float = typer.Option(0.95, help="Level of the interval, between 0 and 1."),
    resamples: int = typer.Option(1000, help="Bootstrap resamples behind the interval."),
    seed: int = typer.Option(0, help="Of the bootstrap."),
    format: Shown = typer.Option(Shown.table, help="How the numbers are printed."),
) -> None:
    """Accuracy, calibration and discrimination of each group of answers."""
    from medcal_nb.cli._score import score_answers
    from medcal_nb.errors import MedcalError

    if not 0 < ci < 1:
        raise MedcalError(f"--ci {ci:g}: lies between 0 and 1; write 0.95 for 95 %")
    if bins < 1 or resamples < 1 or seed < 0:
        raise MedcalError("--bins and --resamples are at least 1, --seed is at least 0")
    table, reasons = score_answers(
        answers,
        by=_split(by),
        n_bins=bins,
        binning=binning.value,
        closed=closed.value,
        level=ci,
        n_resamples=resamples,
        seed=seed,
        progress=True,
    )
    for reason in reasons:
        _say(reason)
    if format is Shown.csv:
        sys.stdout.write(table.to_csv(index=False, lineterminator="\n"))
    elif format is Shown.json:
        rows = table.astype(object).where(table.notna(), None).to_dict("records")
        typer.echo(json.dumps(rows, indent=1, ensure_ascii=False))
    else:
        typer.echo(table.to_string(index=False, float_format="{:.5f}".format))


def export(
    answers: Path = typer.Argument(help="The log."),
    to: Path = typer.Option(..., help="The file to write."),
    format: Export = typer.Option(None, help="By the end of the file's name if not given."),
    force: bool = typer.Option(False, "--force", help="Replace a file that is there."),
    safe_csv: bool = typer.Option(
        False, "--safe-csv", help="Put ' before cells that a spreadsheet would run as a formula."
    ),
) -> None:
    """Write a log as one table, rows in key order: equal logs give equal files."""
    from medcal_nb.answers import export_answers

    n = export_answers(answers, to, format=format and format.value, force=force, safe_csv=safe_csv)
    typer.echo(f"{to}: {n:,} answers")


def merge(
    logs: list[Path] = typer.Argument(help="Logs, the earlier first."),
    to: Path = typer.Option(..., help="The log to bring them into."),
    if_exists: Policy = typer.Option(
        Policy.error, help="Answers with one key and other content: refuse, keep, replace."
    ),
) -> None:
    """Bring several logs into one; safe to repeat."""
    from medcal_nb.answers import merge_logs

    n = merge_logs(logs, to, if_exists=if_exists.value)
    typer.echo(f"{to}: {n:,} answers added from {len(logs)} logs")
