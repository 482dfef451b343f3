"""What asking a profile's models will take, told before anything is asked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from medcal_nb.study.profiles import ASKING, Profile

if TYPE_CHECKING:
    import pandas as pd

# a question with its instruction, in tokens, and a reply: by observation, for want of the model
PROMPT_TOKENS = 90
REPLY_TOKENS = 25
# where the profile doesn't say it of a model: a few billion parameters, batched, on one GPU
SECONDS_PER_CALL = 0.15
IMAGE_TOKENS = 500


def cost_table(
    profile: Profile, *, fast: bool = False, answers: str | Path | None = None
) -> pd.DataFrame:
    """Return what asking will take at most, a row per model, from the profile alone.

    calls = Σ over jobs of items · calls of each strategy; prompt tokens = calls · (tokens of an
    image + :data:`PROMPT_TOKENS`); new tokens = calls · :data:`REPLY_TOKENS`; hours = calls ·
    seconds per call. Calls shared between strategies and questions without options make it
    less. Calls answered in the log already are taken off in proportion to its rows.

    Parameters
    ----------
    profile : Profile
        What to ask.
    fast : bool
        At fast size.
    answers : path, optional
        The log so far.

    Returns
    -------
    pandas.DataFrame
        ``model, items, calls, prompt_tokens, new_tokens, disk_gb, hours``; items, and all that
        follows from them, are missing where the size of a data set is not told.
    """
    import pandas as pd

    from medcal_nb.ask.strategies import Plan, choose_strategies

    models = profile.settings.get("models", {})
    datasets = profile.settings.get("datasets", {})
    done = _rows_by_model(answers)
    rows: dict[str, dict[str, float]] = {}
    for job in profile.jobs(fast=fast):
        settings = {key: job.options[key] for key in ASKING if key in job.options}
        settings.pop("batch_size", None)
        plan = Plan(dataset=job.dataset, seed=job.seed, **settings)
        whole = datasets.get(job.dataset, {}).get("items")
        n = min((x for x in (job.n, whole) if x is not None), default=float("nan"))
        strategies = choose_strategies(list(job.strategies))
        row = rows.setdefault(job.model, {"items": 0, "calls": 0, "answers": 0})
        row["items"] += n
        row["calls"] += n * sum(strategy.calls(plan) for strategy in strategies)
        row["answers"] += n * sum(strategy.rows(plan) for strategy in strategies)
    for model, row in rows.items():
        told = models.get(model, {})
        if row["answers"] and done.get(model):
            row["calls"] *= max(0.0, 1 - done[model] / row["answers"])
        calls = row["calls"]
        row["prompt_tokens"] = calls * (told.get("image_tokens", IMAGE_TOKENS) + PROMPT_TOKENS)
        row["new_tokens"] = calls * REPLY_TOKENS
        row["disk_gb"] = told.get("disk_gb", 0.0)
        row["hours"] = calls * told.get("seconds_per_call", SECONDS_PER_CALL) / 3600
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("model").reset_index()
    return table.drop(columns="answers")


def _rows_by_model(answers: str | Path | None) -> dict[str, int]:
    if answers is None or not Path(answers).is_file():
        return {}
    from medcal_nb.answers import AnswerLog

    with AnswerLog(answers, read_only=True) as log:
        counts: dict[str, int] = {}
        for frame in log.iter_frames(["model"], ordered=False):
            for model, n in frame["model"].value_counts().items():
                counts[model] = counts.get(model, 0) + int(n)
    return counts


def cost_lines(
    profile: Profile, *, fast: bool = False, answers: str | Path | None = None
) -> list[str]:
    """Return the cost table and its sums as lines for a reader."""
    table = cost_table(profile, fast=fast, answers=answers)
    datasets = {job.dataset for job in profile.jobs(fast=fast)}
    told = profile.settings.get("datasets", {})
    data_gb = sum(told.get(name, {}).get("disk_gb", 0.0) for name in datasets)
    wide = max(len(model) for model in table["model"])
    lines = [f"profile {profile.name} will ask, at most:"]
    lines += [
        f"  {row.model:<{wide}}  {_many(row.items)} items, {_many(row.calls)} calls, "
        f"{_many(row.prompt_tokens)} prompt and {_many(row.new_tokens)} new tokens, "
        f"{row.disk_gb:.0f} GB, {_time(row.hours)}"
        for row in table.itertuples()
    ]
    total = table.sum(numeric_only=True, skipna=False)
    lines.append(
        f"  {'in all':<{wide}}  {_many(total['calls'])} calls, "
        f"{_many(total['prompt_tokens'] + total['new_tokens'])} tokens, "
        f"{total['disk_gb'] + data_gb:.0f} GB on disk with the data sets, {_time(total['hours'])}"
    )
    lines.append(
        "  it can be stopped at any time and goes on where it was; "
        "`medcal ask --shard i/n` spreads it over machines"
    )
    return lines


def _many(count: float) -> str:
    if count != count:
        return "?"
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e4)):
        if count >= size:
            return f"{count / (1e3 if unit == 'k' else size):.3g}{unit}"
    return f"{count:.0f}"


def _time(hours: float) -> str:
    if hours != hours:
        return "? h"
    return f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.0f} min"
