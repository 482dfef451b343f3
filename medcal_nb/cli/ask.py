"""``medcal ask``, ``medcal strategies`` and ``medcal models``."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medcal_nb.cli._app import app, check_log_name, say
from medcal_nb.errors import MedcalError

if TYPE_CHECKING:
    from medcal_nb.ask.run import Summary


def _text(help: str, metavar: str = "NAME") -> typer.models.OptionInfo:
    return typer.Option(metavar=metavar, help=help)


Model = Annotated[
    str | None, _text("A pocket model, folder, hub id, clip:NAME or URLs.")
]
Dataset = Annotated[
    str | None, _text("One of `medcal items`; NAME:FOLDER for a copy on disk.")
]
Methods = Annotated[str, _text("Elicitation methods, or all.", "NAME,NAME,…")]
Log = Annotated[
    Path | None,
    typer.Option(help="The log to write, such as answers.sqlite."),
]
N = Annotated[int | None, typer.Option(min=1, help="N items only, always the same.")]
Split = Annotated[str | None, _text("Both if left out.", "fit|test")]
Samples = Annotated[int, typer.Option(min=1, max=1000, help="Sampled replies an item.")]
Temperature = Annotated[
    float, typer.Option(min=0.01, max=100, help="Of the sampled replies.")
]
BatchSize = Annotated[int, typer.Option(min=1, help="Items asked and saved together.")]
Device = Annotated[str | None, _text("cpu, cuda …; a GPU where there is one.")]
Shard = Annotated[str, _text("Part I of N of the items; images stay together.", "I/N")]
Letters = Annotated[
    bool, typer.Option(help="Read option probabilities from option letters.")
]
MaxNewTokens = Annotated[
    int | None, typer.Option(min=1, help="Most tokens of a reply, to make it shorter.")
]
Revision = Annotated[str | None, _text("Commit or tag of a hub checkpoint.", "COMMIT")]
ServedAs = Annotated[str | None, _text("The model's name at the URL.")]
Concurrency = Annotated[
    int, typer.Option(min=1, max=4096, help="Requests at a time; 64 an engine is much.")
]
Timeout = Annotated[
    float, typer.Option(min=0.1, max=1e6, help="Seconds that a request may take.")
]
Export = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER", help="Write requests for a batch server; ask nothing."
    ),
]
ImageFiles = Annotated[
    bool, typer.Option(help="With --export: images as files of their own.")
]
Collect = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER", help="Read the results of a batch server into --to."
    ),
]
DryRun = Annotated[
    bool, typer.Option(help="Print prompts and the number of calls; ask nothing.")
]

_NO_MODEL = "--model and --dataset are needed: what to ask, and about what"
_NO_LOG = "--to is missing: name the answers log, for example answers.sqlite"


@app.command()
def ask(
    to: Log = None,
    model: Model = None,
    dataset: Dataset = None,
    strategies: Methods = "verbalized",
    split: Split = None,
    n: N = None,
    samples: Samples = 10,
    temperature: Temperature = 1.0,
    batch_size: BatchSize = 64,
    device: Device = None,
    shard: Shard = "1/1",
    letters: Letters = False,
    max_new_tokens: MaxNewTokens = None,
    revision: Revision = None,
    served_as: ServedAs = None,
    concurrency: Concurrency = 16,
    timeout: Timeout = 120.0,
    export: Export = None,
    image_files: ImageFiles = False,
    collect: Collect = None,
    dry_run: DryRun = False,
) -> None:
    """Put items to a model under elicitation methods; a rerun asks what is missing.

    With --export nothing is asked: a batch server answers the requests, and --collect reads its
    results-*.jsonl and writes the requests that come next.

    Example: medcal ask --model Qwen/Qwen3-VL-4B-Instruct --dataset vqa-rad --to a.sqlite
    """
    from medcal_nb.ask.models import resolve_model
    from medcal_nb.ask.strategies import choose_strategies
    from medcal_nb.datasets import load_items

    part = _shard(shard)
    choose_strategies(strategies)  # a misspelt name fails before anything is loaded
    if to is not None:
        check_log_name(to)
    elif not (dry_run or export):
        raise MedcalError(_NO_LOG)
    if collect:
        _collect(collect, to)
    if model is None or dataset is None:
        raise MedcalError(_NO_MODEL)
    settings = {
        "samples": samples,
        "temperature": temperature,
        "max_new_tokens": max_new_tokens,
        "lettered": letters,
    }
    if export:
        about = {"dataset": dataset, "split": split, "n": n, "files": image_files}
        _export(export, model, strategies, about, settings)
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
        _rehearse(backend, items, strategies, dataset, settings)
    else:
        how = settings | {"batch_size": batch_size, "shard": part}
        _ask(backend, items, strategies, to, how)


def _ask(backend, items, strategies, to, how):
    from medcal_nb.answers import AnswerLog
    from medcal_nb.ask import run

    with AnswerLog(to) as log:
        summary = run.ask(backend, items, strategies, log=log, progress=True, **how)
    _close(summary)


def _rehearse(backend, items, strategies, dataset, settings):
    """Print the prompts and the number of calls."""
    from medcal_nb.ask import run
    from medcal_nb.ask.strategies import Plan

    plan = Plan(dataset=dataset, **settings)
    for text in run.dry_run(backend, items, strategies, plan):
        say(text)


def _export(folder, model, strategies, about, settings):
    """Write the requests of a batch, and name their files."""
    from medcal_nb.ask.backends.batch import export_batch

    paths = export_batch(folder, model, strategies, **about, **settings)
    say("\n".join(map(str, paths)))


def _collect(folder: Path, to: Path | None) -> None:
    """Read the results of a batch into the log, and name the requests that come next."""
    from medcal_nb.answers import AnswerLog
    from medcal_nb.ask.backends.batch import collect_batch

    if to is None:
        raise MedcalError(_NO_LOG)
    with AnswerLog(to) as log:
        summary, waiting = collect_batch(folder, log)
    for path in waiting:
        say(str(path))
    _close(summary)


def _shard(text: str) -> tuple[int, int]:
    part, _, parts = text.partition("/")
    if part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts):
        return int(part), int(parts)
    raise MedcalError(
        f"--shard {text}: write it as i/n with i from 1 to n, for example 1/4"
    )


def _close(summary: "Summary") -> None:
    """Say what was done; exit with 1 where anything failed, with 2 where everything did."""
    say("\n".join(summary.lines()), err=True)
    raise typer.Exit(summary.exit_code)


@app.command()
def strategies() -> None:
    """List the elicitation methods: what is asked, needs, source.

    Example: medcal strategies
    """
    from medcal_nb.ask.strategies import STRATEGIES

    for strategy in STRATEGIES.values():
        needs = ", ".join(sorted(strategy.needs))
        say(f"{strategy.name:22}{strategy.asks}")
        say(f"{'':22}needs {needs}; {strategy.source}")


@app.command()
def models() -> None:
    """List the pocket models, small ones that come with the workbook, their files checked.

    Example: medcal models
    """
    from medcal_nb.datasets.pocket import list_pocket, pocket_dir

    for name in list_pocket():
        recipe = json.loads((pocket_dir(name) / "recipe.json").read_text())
        use = "--strategies clip_zero_shot" if "clip" in name else "every other method"
        say(f"{name:22} {recipe['parameters'] / 1e6:.2f} M parameters; ask by {use}")
