"""``medcal ask``, ``medcal strategies`` and ``medcal models``."""

import json
from pathlib import Path
from types import SimpleNamespace

import typer

from medcal_nb.cli._app import app, say
from medcal_nb.errors import MedcalError


@app.command()
def ask(
    model: str = typer.Option(
        None, help="A pocket model, folder, hub id, clip:NAME, or URLs."
    ),
    dataset: str = typer.Option(
        None, help="See `medcal items`; NAME:FOLDER for a copy on disk."
    ),
    strategies: str = typer.Option(
        "verbalized", help="Names separated by commas, or 'all'."
    ),
    to: Path = typer.Option(
        None, help="The answers log (SQLite); made where it is not there."
    ),
    n: int = typer.Option(
        None, min=1, help="Ask N of the items only, always the same."
    ),
    split: str = typer.Option(None, help="fit or test; both where left out."),
    samples: int = typer.Option(10, min=1, max=1000, help="Sampled replies per item."),
    temperature: float = typer.Option(1.0, min=0.01, help="Of the sampled replies."),
    batch_size: int = typer.Option(
        64, min=1, help="Items asked together, one transaction each."
    ),
    device: str = typer.Option(None, help="cpu, cuda …; a GPU where there is one."),
    shard: str = typer.Option(
        "1/1", help="Part i/n of the items, images kept together."
    ),
    letters: bool = typer.Option(
        False, help="Read option probabilities from option letters."
    ),
    max_new_tokens: int = typer.Option(
        None, min=1, help="Lower the limit of every reply."
    ),
    revision: str = typer.Option(None, help="Commit or tag of a hub checkpoint."),
    served_as: str = typer.Option(None, help="The model's name at the URL."),
    concurrency: int = typer.Option(
        16, min=1, max=4096, help="Requests under way; 64 an engine."
    ),
    timeout: float = typer.Option(
        120.0, min=0.1, help="Seconds a request to a URL may take."
    ),
    export: Path = typer.Option(
        None, metavar="FOLDER", help="Write requests for batch servers."
    ),
    image_files: bool = typer.Option(
        False, help="With --export: images as files, not as bytes."
    ),
    collect: Path = typer.Option(
        None, metavar="FOLDER", help="Read a batch's results into --to."
    ),
    dry_run: bool = typer.Option(
        False, help="Print prompts and number of calls, ask nothing."
    ),
) -> None:
    """Put items to a model under interrogation strategies; a rerun asks what is missing.

    With --export nothing is asked: a batch server answers the requests, and --collect reads its
    results-*.jsonl and writes the requests that come next.

    Example: medcal ask --model Qwen/Qwen3-VL-4B-Instruct --dataset vqa-rad --to a.sqlite
    """
    _ask(SimpleNamespace(**locals()))


def _ask(given):
    """Do what the options say: read a batch, write one, tell what would be asked, or ask."""
    from medcal_nb.answers import AnswerLog
    from medcal_nb.ask.backends.batch import collect_batch, export_batch
    from medcal_nb.ask.models import resolve_model
    from medcal_nb.ask.run import ask as ask_items
    from medcal_nb.ask.run import dry_run
    from medcal_nb.ask.strategies import Plan, choose_strategies
    from medcal_nb.datasets import load_items

    def chosen(*names):
        return {name: getattr(given, name) for name in names}

    part = _shard(given.shard)
    strategies = given.strategies
    choose_strategies(strategies)
    if given.to is None and not (given.dry_run or given.export):
        raise MedcalError(
            "--to is missing: name the answers log, for example answers.sqlite"
        )
    if given.collect:
        with AnswerLog(given.to) as log:
            summary, waiting = collect_batch(given.collect, log)
        for path in waiting:
            say(str(path))
        _close(summary)
    if given.model is None or given.dataset is None:
        raise MedcalError(
            "--model and --dataset are needed: what to ask, and about what"
        )
    how = chosen("samples", "temperature", "max_new_tokens") | {
        "lettered": given.letters
    }
    if given.export:
        how |= chosen("dataset", "split", "n") | {"files": given.image_files}
        say(
            "\n".join(
                map(str, export_batch(given.export, given.model, strategies, **how))
            )
        )
        return
    items = load_items(given.dataset, **chosen("split", "n"))
    reach = chosen("device", "revision", "served_as", "concurrency", "timeout")
    backend = resolve_model(given.model, **reach)
    if given.dry_run:
        for text in dry_run(
            backend, items, strategies, Plan(dataset=given.dataset, **how)
        ):
            say(text)
        return
    how |= {"batch_size": given.batch_size, "shard": part, "progress": True}
    with AnswerLog(given.to) as log:
        summary = ask_items(backend, items, strategies, log=log, **how)
    _close(summary)


def _shard(text):
    part, slash, parts = text.partition("/")
    if not (
        slash
        and part.isdecimal()
        and parts.isdecimal()
        and 1 <= int(part) <= int(parts)
    ):
        raise MedcalError(
            f"--shard {text}: write it as i/n with i from 1 to n, for example 1/4"
        )
    return int(part), int(parts)


def _close(summary):
    """Say what was done; exit with 1 where anything failed, with 2 where everything did."""
    say("\n".join(summary.lines()), err=True)
    raise typer.Exit(summary.exit_code)


@app.command()
def strategies() -> None:
    """List the strategies: what is asked, needs, source.

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
        told = json.loads((pocket_dir(name) / "recipe.json").read_text())
        use = (
            "ask with --strategies clip_zero_shot"
            if "clip" in name
            else "ask it anything"
        )
        say(f"{name:22} {told['parameters'] / 1e6:.2f} M parameters; {use}")
