"""Put a profile's questions to its models, several models at once, into one answers log."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from medcal_nb.study.profiles import Job

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("model", "dataset", "split", "strategy", "items", "outcome")


@dataclass(frozen=True)
class _Outcome:
    rows: list[dict]
    written: int


def ask_jobs(
    jobs: Sequence[Job],
    to: str | os.PathLike,
    *,
    workers: int | None = None,
    samples: int = 10,
    batch_size: int = 64,
    progress: bool = True,
) -> pd.DataFrame:
    """Ask what the log does not hold yet and tell what was asked, skipped or failed.

    Models are asked side by side, one process each; the jobs of one model run one after the
    other, so that it is loaded once. Answers do not depend on the number of workers.

    Parameters
    ----------
    jobs : sequence of Job
        From :meth:`medcal_nb.study.profiles.Profile.jobs`.
    to : path
        The answers log, made where it is not there.
    workers : int, optional
        Processes; by default one per core and at most one per model. With 1 everything runs in
        this process.
    samples : int
        Replies per item of the sampled strategies.
    batch_size : int
        Items asked together.
    progress : bool
        Show a bar over the jobs.

    Returns
    -------
    pandas.DataFrame
        One row per job and strategy: ``model, dataset, split, strategy, items, outcome``
        (``asked``, or why not).

    Raises
    ------
    MedcalError
        When a model or a data set cannot be loaded. Answers of finished batches stay in the log.
    """
    import pandas as pd
    from tqdm.auto import tqdm

    from medcal_nb.answers import AnswerLog

    Path(to).parent.mkdir(parents=True, exist_ok=True)
    AnswerLog(to).close()
    by_model: dict[str, list[Job]] = {}
    for job in jobs:
        by_model.setdefault(job.model, []).append(job)
    workers = min(workers or os.cpu_count() or 1, len(by_model)) or 1
    rows: list[dict] = []
    with tqdm(total=len(jobs), desc="asking", unit="job", disable=not progress) as bar:

        def done(outcome: _Outcome, n_jobs: int) -> None:
            rows.extend(outcome.rows)
            bar.update(n_jobs)
            bar.set_postfix_str(f"{outcome.written:,} new answers")

        if workers == 1:
            for part in by_model.values():
                done(_ask_model(part, str(to), samples, batch_size), len(part))
        else:
            # spawned, not forked: a forked torch can hang on its threads
            with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
                futures = {
                    pool.submit(_ask_model, part, str(to), samples, batch_size, 1): len(part)
                    for part in by_model.values()
                }
                for future in as_completed(futures):
                    done(future.result(), futures[future])
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.sort_values(list(COLUMNS[:4]), ignore_index=True, na_position="last")


def _ask_model(
    jobs: list[Job], to: str, samples: int, batch_size: int, threads: int | None = None
) -> _Outcome:
    import torch

    from medcal_nb.answers import AnswerLog
    from medcal_nb.ask.models import resolve_model
    from medcal_nb.ask.run import ask
    from medcal_nb.items import load_items

    if threads:
        torch.set_num_threads(threads)
    options = jobs[0].options
    backend = resolve_model(
        options.get("url", jobs[0].model),
        device=options.get("device"),
        revision=options.get("revision"),
        served_as=options.get("served_as"),
    )
    rows, written = [], 0
    with AnswerLog(to) as log:
        for job in jobs:
            items = load_items(job.dataset, split=job.split, n=job.n, seed=job.seed)
            summary = ask(
                backend,
                items,
                list(job.strategies),
                log=log,
                samples=samples,
                batch_size=batch_size,
                seed=job.seed,
            )
            written += summary.rows
            for strategy in job.strategies:
                reason = summary.skipped.get(strategy)
                rows.append(
                    {
                        "model": job.model,
                        "dataset": job.dataset,
                        "split": job.split,
                        "strategy": strategy,
                        "items": 0 if reason else len(items),
                        "outcome": f"skipped: {reason}" if reason else "asked",
                    }
                )
            for (strategy, reason), count in summary.not_applicable.items():
                rows.append(
                    {
                        "model": job.model,
                        "dataset": job.dataset,
                        "split": job.split,
                        "strategy": strategy,
                        "items": count,
                        "outcome": f"not asked: {reason}",
                    }
                )
            if summary.failed:
                first, reason = next(iter(summary.failed.items()))
                rows.append(
                    {
                        "model": job.model,
                        "dataset": job.dataset,
                        "split": job.split,
                        "strategy": "any",
                        "items": len(summary.failed),
                        "outcome": f"failed, the first {first}: {reason}",
                    }
                )
    return _Outcome(rows, written)
