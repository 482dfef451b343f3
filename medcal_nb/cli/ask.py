"""``medcal ask`` and ``medcal strategies``."""

from pathlib import Path

import typer


def _shard(text):
    from medcal_nb.errors import MedcalError

    part, slash, parts = text.partition("/")
    if not (slash and part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise MedcalError(f"--shard {text}: write it as i/n with i from 1 to n, for example 1/4")
    return int(part), int(parts)


def ask(
    model: str = typer.Option(
        None,
        help="pocket-general, pocket-medical …, a folder, a hub id, clip:ARCHITECTURE, or URLs "
        "of OpenAI-compatible endpoints separated by commas.",
    ),
    dataset: str = typer.Option(None, help="pocket-general, pocket-medical, vqa-rad …"),
    strategies: str = typer.Option("verbalized", help="Names separated by commas, or 'all'."),
    to: Path = typer.Option(None, help="The answers log (SQLite); made where it is not there."),
    n: int = typer.Option(None, min=1, help="Ask N of the items only, always the same."),
    split: str = typer.Option(None, help="fit or test; both where left out."),
    samples: int = typer.Option(10, min=1, help="Replies per item of the sampled strategies."),
    temperature: float = typer.Option(1.0, min=0.01, help="Of the sampled replies."),
    batch_size: int = typer.Option(64, min=1, help="Items asked together, one transaction each."),
    seed: int = typer.Option(0, help="Of the sampled replies."),
    device: str = typer.Option(None, help="cpu, cuda …; a GPU where there is one."),
    shard: str = typer.Option("1/1", help="Part i/n of the items, images kept together."),
    workers: int = typer.Option(
        1, min=1, help="Processes that ask side by side, for a model on a CPU of several cores."
    ),
    letters: bool = typer.Option(False, help="Read option probabilities from option letters."),
    max_new_tokens: int = typer.Option(None, min=1, help="Lower the limit of every reply."),
    revision: str = typer.Option(None, help="Commit or tag of a hub checkpoint."),
    served_as: str = typer.Option(None, help="The model's name at the URL."),
    concurrency: int = typer.Option(
        16, min=1, help="Requests under way at once, over all URLs; 64 an engine keeps it busy."
    ),
    timeout: float = typer.Option(120.0, min=0.1, help="Seconds a request to a URL may take."),
    export: Path = typer.Option(
        None,
        help="Ask nothing: write the requests to this folder, for `vllm run-batch`.",
    ),
    image_files: bool = typer.Option(False, help="With --export: images as files, not as bytes."),
    collect: Path = typer.Option(
        None,
        help="Read this folder's results-*.jsonl into --to; write what is next.",
    ),
    dry_run: bool = typer.Option(False, help="Print prompts and costs, ask nothing."),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="No progress bar."),
) -> None:
    """Put items to a model under interrogation strategies; a rerun asks what is missing."""
    from medcal_nb.ask.models import resolve_model
    from medcal_nb.ask.strategies import Plan, choose_strategies
    from medcal_nb.errors import MedcalError
    from medcal_nb.items import load_items

    part = _shard(shard)
    choose_strategies(strategies)
    if to is None and not (dry_run or export):
        raise MedcalError("--to is missing: name the answers log, for example answers.sqlite")
    if collect:
        _collect(collect, to)
    if model is None or dataset is None:
        raise MedcalError("--model and --dataset are needed: what to ask, and about what")
    if export:
        from medcal_nb.ask.backends.batch import export_batch

        told = {"samples": samples, "temperature": temperature, "seed": seed, "lettered": letters}
        told |= {"max_new_tokens": max_new_tokens, "split": split, "n": n, "files": image_files}
        for path in export_batch(export, model, strategies, dataset=dataset, **told):
            typer.echo(path)
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
        plan = Plan(
            dataset=dataset,
            seed=seed,
            samples=samples,
            temperature=temperature,
            lettered=letters,
            max_new_tokens=max_new_tokens,
        )
        _print_dry_run(backend, items, strategies, plan)
        return

    from medcal_nb.answers import AnswerLog
    from medcal_nb.ask.run import ask as ask_items

    with AnswerLog(to) as log:
        summary = ask_items(
            backend,
            items,
            strategies,
            log=log,
            samples=samples,
            temperature=temperature,
            batch_size=batch_size,
            seed=seed,
            lettered=letters,
            max_new_tokens=max_new_tokens,
            shard=part,
            workers=workers,
            progress=not quiet,
        )
    for line in summary.lines():
        typer.echo(line, err=True)
    raise typer.Exit(summary.exit_code)


def _collect(folder, to):
    """Read a batch's results into a log, say what comes next, and leave."""
    from medcal_nb.answers import AnswerLog
    from medcal_nb.ask.backends.batch import collect_batch

    with AnswerLog(to) as log:
        summary, waiting = collect_batch(folder, log)
    for line in summary.lines():
        typer.echo(line, err=True)
    for path in waiting:
        typer.echo(path)
    raise typer.Exit(summary.exit_code)


def _print_dry_run(backend, items, strategies, plan):
    from medcal_nb.ask.dry import dry_run

    shown, counts, skipped = dry_run(backend, items, strategies, plan=plan)
    for call in shown:
        tokens = "" if call.tokens is None else f", {call.tokens} prompt tokens"
        typer.echo(f"── {call.strategy}: {call.what}{tokens}\n{call.text}\n")
    for name, reason in skipped.items():
        typer.echo(f"skipped {name}: {reason}")
    typer.echo(
        f"{counts['items']} items: {counts['calls']} calls, {counts['distinct_calls']} after equal "
        f"ones are merged; about {counts['prompt_tokens']} prompt tokens and at most "
        f"{counts['new_tokens_at_most']} new ones, before sharing"
    )


def strategies() -> None:
    """List the strategies: what is asked, calls, needs, source."""
    from medcal_nb.ask.strategies import STRATEGIES, Plan

    plan = Plan()
    for strategy in STRATEGIES.values():
        needs = ", ".join(sorted(strategy.needs))
        typer.echo(f"{strategy.name:22}{strategy.asks}")
        typer.echo(f"{'':22}calls {strategy.calls(plan)}; needs {needs}; {strategy.source}")


def register(app: typer.Typer) -> None:
    """Add the commands of this room."""
    app.command()(ask)
    app.command()(strategies)
