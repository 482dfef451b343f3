"""``medcal ask``: items put to a model, answers into a log."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer import Option

from medcal_nb.cli._app import app, say
from medcal_nb.errors import MedcalError

Lists = Literal["methods", "models", "datasets"]


def _shard(text: str) -> tuple[int, int]:
    """The numbers of I/N."""
    part, _, parts = text.partition("/")
    if part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts):
        return int(part), int(parts)
    raise MedcalError(f"--shard {text}: write I/N with I from 1 to N, such as 1/4")


@app.command(rich_help_panel="Ask")
def ask(
    model: Annotated[
        str, Option(help="Pocket model, folder, hub id, clip:…, URLs.")
    ] = "",
    dataset: Annotated[str, Option(help="Items; NAME:FOLDER for a copy on disk.")] = "",
    methods: Annotated[str, Option(help="NAME,NAME,… or all.")] = "verbalized",
    to: Annotated[Path | None, Option(help="The log to write, .sqlite.")] = None,
    split: Annotated[str | None, Option(help="fit or test; both if not given.")] = None,
    n: Annotated[int | None, Option(min=1, help="Items, always the same.")] = None,
    shard: Annotated[str, Option(callback=_shard, help="I/N: a part.")] = "1/1",
    samples: Annotated[int, Option(min=1, max=1000, help="Sampled replies.")] = 10,
    temperature: Annotated[float, Option(min=0.01, max=100, help="Theirs.")] = 1.0,
    max_new_tokens: Annotated[int | None, Option(min=1, help="Of a reply.")] = None,
    letters: Annotated[bool, Option("--letters", help="Options by letters.")] = False,
    batch_size: Annotated[int, Option(min=1, help="Items saved together.")] = 64,
    device: Annotated[str | None, Option(help="cpu, cuda …")] = None,
    revision: Annotated[str | None, Option(help="Commit of a checkpoint.")] = None,
    served_as: Annotated[str | None, Option(help="Its name at the URL.")] = None,
    concurrency: Annotated[int, Option(min=1, max=4096, help="Requests at once.")] = 16,
    timeout: Annotated[float, Option(min=0.1, max=1e6, help="Of a request, s.")] = 120,
    export: Annotated[Path | None, Option(help="Folder for batch requests.")] = None,
    embed: Annotated[bool, Option("--embed", help="Images within requests.")] = False,
    collect: Annotated[Path | None, Option(help="Folder of their results.")] = None,
    dry_run: Annotated[bool, Option("--dry-run", help="Print prompts.")] = False,
    list_: Annotated[Lists | None, Option("--list", help="Say what there is.")] = None,
) -> None:
    """Put items to a model under elicitation methods; a rerun asks what is missing.

    Example: medcal ask --model Qwen/Qwen3-VL-4B-Instruct --dataset vqa-rad --to a.sqlite
    """
    if list_:
        say("\n".join(_LISTS[list_]()))
        return
    from medcal_nb.answers import AnswerLog, is_log
    from medcal_nb.ask import run
    from medcal_nb.ask.backends.batch import export_batch
    from medcal_nb.ask.models import resolve_model, what_works
    from medcal_nb.ask.strategies import Plan, choose_strategies
    from medcal_nb.datasets import load_items

    choose_strategies(methods)  # a misspelt name fails before anything is loaded
    if not (dry_run or export) and (to is None or not is_log(to)):
        raise MedcalError("--to: name the log to write, such as answers.sqlite")
    if collect:
        _collect(collect, to)
    if not model or not dataset:
        raise MedcalError("--model and --dataset are needed: what to ask, about what")
    how = {"samples": samples, "temperature": temperature, "lettered": letters}
    how |= {"max_new_tokens": max_new_tokens}
    about = {"split": split, "n": n}
    if export:
        about |= how | {"dataset": dataset, "embed": embed}
        _say_files(export, export_batch(export, model, methods, **about), to)
        return
    items = load_items(dataset, **about)
    reach = {"device": device, "revision": revision, "served_as": served_as}
    backend = resolve_model(model, concurrency=concurrency, timeout=timeout, **reach)
    if dry_run:
        say("\n".join(run.dry_run(backend, items, methods, Plan(dataset, **how))))
        return
    say("\n".join(what_works(backend, methods)), err=True)
    how |= {"batch_size": batch_size, "shard": shard, "progress": True}
    with AnswerLog(to) as log:
        summary = run.ask(backend, items, methods, log=log, **how)
    _close(summary)


def _collect(folder: Path, to: Path | None) -> None:
    """Read the results of a batch into the log, and name the requests that come next."""
    from medcal_nb.answers import AnswerLog
    from medcal_nb.ask.backends.batch import collect_batch

    with AnswerLog(to) as log:
        summary, waiting = collect_batch(folder, log)
    _say_files(folder, waiting, to)
    _close(summary)


def _say_files(folder: Path, files: list[Path], to: Path | None) -> None:
    """Name the files of requests, a line each, and beside them what has to be done."""
    from medcal_nb.ask.backends.batch import what_is_next

    for path in files:
        say(str(path))
    for line in what_is_next(folder, files, to or "answers.sqlite"):
        say(line, err=True)


def _close(summary: Any) -> None:
    """Say what was done; exit with 1 where anything failed, with 2 where everything did."""
    say("\n".join(summary.lines()), err=True)
    raise typer.Exit(summary.exit_code)


def _methods() -> list[str]:
    from medcal_nb.ask.strategies import STRATEGIES

    return [
        f"{method.name:22}{method.asks}\n{'':22}needs {', '.join(sorted(method.needs))}; "
        f"{method.source}"
        for method in STRATEGIES.values()
    ]


def _models() -> list[str]:
    from medcal_nb.datasets.pocket import list_pocket

    return [*list_pocket(), "or a folder, a hub id, clip:NAME, a URL: see --help"]


def _datasets() -> list[str]:
    from medcal_nb.datasets import dataset_lines

    return dataset_lines()


_LISTS = {"methods": _methods, "models": _models, "datasets": _datasets}
