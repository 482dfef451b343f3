"""``medcal ask``: items put to a model, answers into a log."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from medcal_nb.cli._app import app, say
from medcal_nb.errors import MedcalError


def _text(help: str, metavar: str = "NAME") -> Any:
    return typer.Option(metavar=metavar, help=help)


@app.command(rich_help_panel="Ask")
def ask(
    model: Annotated[
        str, _text("A pocket model, folder, hub id, clip:NAME or URLs.")
    ] = "",
    dataset: Annotated[str, _text("The items; NAME:FOLDER for a copy on disk.")] = "",
    methods: Annotated[
        str, _text("Elicitation methods, or all.", "NAME,…")
    ] = "verbalized",
    to: Annotated[Path | None, typer.Option(help="The log to write, .sqlite.")] = None,
    split: Annotated[str | None, _text("Both if left out.", "fit|test")] = None,
    n: Annotated[
        int | None, typer.Option(min=1, help="Items, always the same.")
    ] = None,
    shard: Annotated[str, _text("Part I of N of the items, by image.", "I/N")] = "1/1",
    samples: Annotated[
        int, typer.Option(min=1, max=1000, help="Sampled replies.")
    ] = 10,
    temperature: Annotated[
        float, typer.Option(min=0.01, max=100, help="Theirs.")
    ] = 1.0,
    max_new_tokens: Annotated[
        int | None, typer.Option(min=1, help="Most tokens of a reply.")
    ] = None,
    letters: Annotated[
        bool, typer.Option("--letters", help="Option probabilities from letters.")
    ] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Items saved together.")] = 64,
    device: Annotated[str | None, _text("cpu, cuda …; a GPU if there is one.")] = None,
    revision: Annotated[
        str | None, _text("Commit of a hub checkpoint.", "COMMIT")
    ] = None,
    served_as: Annotated[str | None, _text("The model's name at the URL.")] = None,
    concurrency: Annotated[
        int, typer.Option(min=1, max=4096, help="Requests at a time.")
    ] = 16,
    timeout: Annotated[
        float,
        typer.Option(min=0.1, max=1e6, help="Seconds of a request."),
    ] = 120.0,
    export: Annotated[
        Path | None, _text("Write requests for a batch server; ask nothing.", "FOLDER")
    ] = None,
    collect: Annotated[
        Path | None, _text("Read a batch server's results into --to.", "FOLDER")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print prompts and number of calls.")
    ] = False,
    list_: Annotated[
        Literal["methods", "models", "datasets"] | None,
        typer.Option("--list", help="Say what there is; ask nothing."),
    ] = None,
) -> None:
    """Put items to a model under elicitation methods; a rerun asks what is missing.

    Example: medcal ask --model Qwen/Qwen3-VL-4B-Instruct --dataset vqa-rad --to a.sqlite
    """
    if list_:
        say("\n".join(_LISTS[list_]()))
        return
    from medcal_nb.answers import AnswerLog, is_log
    from medcal_nb.ask import run
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
    settings = {
        "samples": samples,
        "temperature": temperature,
        "max_new_tokens": max_new_tokens,
        "lettered": letters,
    }
    if export:
        from medcal_nb.ask.backends.batch import export_batch

        about = {"dataset": dataset, "split": split, "n": n}
        for path in export_batch(export, model, methods, **about, **settings):
            say(str(path))
        return
    items = load_items(dataset, split=split, n=n)
    backend = resolve_model(
        model,
        device=device,
        revision=revision,
        served_as=served_as,
        concurrency=concurrency,
        timeout=timeout,
    )
    if dry_run:
        plan = Plan(dataset=dataset, **settings)
        say("\n".join(run.dry_run(backend, items, methods, plan)))
        return
    say("\n".join(what_works(backend, methods)), err=True)
    how = settings | {"batch_size": batch_size, "shard": _shard(shard)}
    with AnswerLog(to) as log:
        summary = run.ask(backend, items, methods, log=log, progress=True, **how)
    _close(summary)


def _collect(folder: Path, to: Path | None) -> None:
    """Read the results of a batch into the log, and name the requests that come next."""
    from medcal_nb.answers import AnswerLog
    from medcal_nb.ask.backends.batch import collect_batch

    with AnswerLog(to) as log:
        summary, waiting = collect_batch(folder, log)
    for path in waiting:
        say(str(path))
    _close(summary)


def _shard(text: str) -> tuple[int, int]:
    part, _, parts = text.partition("/")
    if part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts):
        return int(part), int(parts)
    raise MedcalError(f"--shard {text}: write I/N with I from 1 to N, such as 1/4")


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
    from medcal_nb.datasets import dataset_names

    return dataset_names()


_LISTS = {"methods": _methods, "models": _models, "datasets": _datasets}
