"""``medcal ask``: items put to a model, answers into a log."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer import Option

from medcal_nb.cli._app import app, assigned, note, say
from medcal_nb.errors import MedcalError

if TYPE_CHECKING:
    import pandas as pd

    from medcal_nb.ask.strategy import Strategy

Lists = Literal["methods", "models", "datasets"]


def _shard(text: str) -> tuple[int, int]:
    """The numbers of I/N."""
    part, _, parts = text.partition("/")
    if part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts):
        return int(part), int(parts)
    raise MedcalError(f"--shard {text}: write I/N with I from 1 to N, such as 1/4")


# what an option is called, what it takes and what it does
Model = Annotated[
    str,
    Option(
        help="Ask this model: a pocket model, a folder, a hub id, clip:NAME or a URL."
    ),
]
Dataset = Annotated[
    str,
    Option(
        help="Ask about this data set, NAME:FOLDER for a copy of it on disk, or a table of your "
        "own: mine.csv with columns image, question, gold (.xlsx, .parquet, .jsonl)."
    ),
]
Columns = Annotated[
    list[str] | None,
    Option(
        "-c",
        "--column",
        metavar="NAME=COL",
        help="Say what a column of your table holds where its name does not: image=scan, "
        "question=text; gold= for none. May repeat.",
    ),
]
About = Annotated[
    Path | None,
    Option(
        metavar="FILE",
        help="Ask about the answers of other models in this log or table, whether each is right.",
    ),
]
Methods = Annotated[
    str,
    Option(
        help="Ask by these elicitation methods, such as 'verbalized,p_true', or by 'all'; "
        "verbalized if left out, and p_true about answers of others."
    ),
]
To = Annotated[Path | None, Option(help="Write answers to this log (.sqlite).")]
Split = Annotated[
    str | None, Option(help="Ask about 'fit' or 'test' items only; both if left out.")
]
Items = Annotated[
    int | None, Option(min=1, help="Ask about so many items, the same in every run.")
]
Shard = Annotated[
    str, Option(callback=_shard, help="Ask part I of N, written I/N, on this machine.")
]
Samples = Annotated[
    int, Option(min=1, max=1000, help="Draw so many replies where a method samples.")
]
Temperature = Annotated[
    float, Option(min=0.01, max=100, help="Draw them at this temperature.")
]
Tokens = Annotated[
    int | None,
    Option(
        min=1, help="End every reply after so many tokens; cut ones answer nothing."
    ),
]
Letters = Annotated[
    bool, Option("--letters", help="Show the options of a question by letters.")
]
Batch = Annotated[
    int, Option(min=1, help="Write the log after so many items; a kill loses no more.")
]
Device = Annotated[
    str | None, Option(help="Compute there with a local model: cpu, cuda or mps.")
]
Revision = Annotated[
    str | None, Option(help="Take this commit of a checkpoint on the hub.")
]
ServedAs = Annotated[
    str | None, Option(help="Ask for the model by this name at the URL.")
]
Concurrency = Annotated[
    int,
    Option(min=1, max=4096, help="Have so many requests under way at once."),
]
Timeout = Annotated[
    float, Option(min=0.1, max=1e6, help="Give a request up after so many seconds.")
]
DryRun = Annotated[
    bool,
    Option("--dry-run", help="Print what would be sent, and its price; ask nothing."),
]
Price = Annotated[
    tuple[float, float] | None,
    Option(
        help="Take these prices of a million tokens, sent and written, such as 2.5 10."
    ),
]
ImageTokens = Annotated[
    int, Option(min=0, help="Count so many tokens for an image in a dry run.")
]
Export = Annotated[
    Path | None,
    Option(help="Write requests for a batch service into this folder; ask nothing."),
]
Embed = Annotated[
    bool, Option("--embed", help="Write images into the requests, not their paths.")
]
Collect = Annotated[
    Path | None, Option(help="Read a batch service's results from this folder.")
]
List = Annotated[
    Lists | None, Option("--list", help="Print the methods, models or data sets.")
]


@app.command(rich_help_panel="Ask")
def ask(
    model: Model = "",
    dataset: Dataset = "",
    columns: Columns = None,
    about: About = None,
    methods: Methods = "",
    to: To = None,
    split: Split = None,
    n: Items = None,
    shard: Shard = "1/1",
    samples: Samples = 10,
    temperature: Temperature = 1.0,
    max_new_tokens: Tokens = None,
    letters: Letters = False,
    batch_size: Batch = 64,
    device: Device = None,
    revision: Revision = None,
    served_as: ServedAs = None,
    concurrency: Concurrency = 16,
    timeout: Timeout = 120,
    dry_run: DryRun = False,
    price: Price = None,
    image_tokens: ImageTokens = 1000,
    export: Export = None,
    embed: Embed = False,
    collect: Collect = None,
    list_: List = None,
) -> None:
    """Put questions to a model under elicitation methods; a rerun asks what is missing.

    Example: medcal ask --model http://127.0.0.1:8000/v1 --dataset mine.csv --to a.sqlite
    """
    if list_:
        say("\n".join(_LISTS[list_]()))
        return
    from medcal_nb.answers import is_log
    from medcal_nb.ask.backends.batch import export_batch
    from medcal_nb.datasets import load_items

    asked = _chosen(methods, about)  # a misspelt name fails before anything is loaded
    how = {"samples": samples, "temperature": temperature, "lettered": letters}
    how |= {"max_new_tokens": max_new_tokens}
    which = {"split": split, "n": n, "columns": assigned(columns, "--column")}
    if dry_run:
        items = _with_answers(load_items(dataset, **which), about)
        _say_estimate(items, asked, price, image_tokens, how)
        return
    if not export and (to is None or not is_log(to)):
        raise MedcalError("--to: name the log to write, such as answers.sqlite")
    if collect:
        _collect(collect, to)
    if not model or not dataset:
        raise MedcalError("--model and --dataset are needed: what to ask, about what")
    if export:
        if about:
            raise MedcalError("--export: asks about questions, not about answers")
        which |= how | {"dataset": dataset, "embed": embed}
        names = [one.name for one in asked]
        _say_files(export, export_batch(export, model, names, **which), to)
        return
    reach = {"concurrency": concurrency, "timeout": timeout, "device": device}
    reach |= {"revision": revision, "served_as": served_as}
    how |= {"batch_size": batch_size, "shard": shard}
    items = _with_answers(load_items(dataset, **which), about)
    _ask(model, items, asked, to, reach, how)


def _chosen(methods: str, about: Path | None) -> "list[Strategy]":
    """The methods of these names: about questions, or about the answers of others."""
    from medcal_nb.ask.about import choose_methods
    from medcal_nb.ask.strategies import choose_strategies

    if about is None:
        return choose_strategies(methods or "verbalized")
    return choose_methods(methods or "p_true")


def _with_answers(items: "pd.DataFrame", about: Path | None) -> "pd.DataFrame":
    """The items, or those that others answered with the answers."""
    from medcal_nb.answers import load_answers
    from medcal_nb.ask.about import judged_items

    if about is None:
        return items
    return judged_items(items, load_answers(about, ungraded=True))


def _ask(
    model: str,
    items: "pd.DataFrame",
    asked: "list[Strategy]",
    to: Path | None,
    reach: dict[str, Any],
    how: dict[str, Any],
) -> None:
    """Ask what the log lacks, and say what was done."""
    from medcal_nb.answers import AnswerLog
    from medcal_nb.ask.about import ask_about
    from medcal_nb.ask.models import resolve_model, what_works
    from medcal_nb.ask.run import ask

    for line in items.attrs.get("assumed", ()):
        note(line)
    backend = resolve_model(model, **reach)
    say("\n".join([*_left_out(items), *what_works(backend, asked)]), err=True)
    put = ask_about if "about" in items else ask
    with AnswerLog(to) as log:
        summary = put(backend, items, asked, log=log, progress=True, **how)
    _close(summary)


def _say_estimate(
    items: "pd.DataFrame",
    asked: "list[Strategy]",
    price: tuple[float, float] | None,
    image_tokens: int,
    how: dict[str, Any],
) -> None:
    """Print what would be sent, and what that costs where prices are known."""
    from medcal_nb.ask.estimate import estimate

    about = estimate(items, asked, tokens_an_image=image_tokens, **how)
    say("\n".join(about.lines()))
    if price:
        say(
            f"price: about {about.price(*price):,.2f} at most, at {price[0]:g} and {price[1]:g}"
        )


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


def _left_out(items: "pd.DataFrame") -> list[str]:
    """Rows of a public set that are not asked, and why."""
    reasons = items.attrs.get("left_out", {})
    return [f"not asked: {n:,} rows ({reason})" for reason, n in reasons.items()]


def _close(summary: Any) -> None:
    """Say what was done; exit with 1 where anything failed, with 2 where everything did."""
    say("\n".join(summary.lines()), err=True)
    raise typer.Exit(summary.exit_code)


def _methods() -> list[str]:
    from medcal_nb.ask.about import METHODS
    from medcal_nb.ask.strategies import STRATEGIES

    return [
        *map(_line_of, STRATEGIES.values()),
        "",
        "about the answers of other models (--about):",
        *map(_line_of, METHODS.values()),
    ]


def _line_of(method: "Strategy") -> str:
    return (
        f"{method.name:22}{method.asks}\n{'':22}needs {', '.join(sorted(method.needs))}; "
        f"{method.source}"
    )


def _models() -> list[str]:
    from medcal_nb.datasets.pocket import list_pocket

    return [*list_pocket(), "or a folder, a hub id, clip:NAME, a URL: see --help"]


def _datasets() -> list[str]:
    from medcal_nb.datasets import dataset_lines

    return dataset_lines()


_LISTS = {"methods": _methods, "models": _models, "datasets": _datasets}
