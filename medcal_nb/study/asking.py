"""Put a profile's questions to its models, several models at once, into one answers log."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from medcal_nb.errors import MedcalError
from medcal_nb.study.profiles import ASKING, Job

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
    samples: int | None = None,
    batch_size: int | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Ask what the log does not hold yet and tell what was asked, skipped or failed.

    Models are asked side by side, one process each; the jobs of one model run one after the
    other, so that it is loaded once. Answers do not depend on the number of workers.

    What the log holds is not asked again, so that a stopped run goes on where it was. Where all
    models are embedded ones, the log is begun anew if weights, prompts, items or jobs changed
    since it was begun; answers of other models cost too much for that and are kept.

    Parameters
    ----------
    jobs : sequence of Job
        From :meth:`medcal_nb.study.profiles.Profile.jobs`.
    to : path
        The answers log, made where it is not there.
    workers : int, optional
        Processes; by default one per core and at most one per model where all models are
        embedded ones, else 1. With 1 everything runs in this process.
    samples : int, optional
        Replies per item of the sampled strategies, whatever the profile says.
    batch_size : int, optional
        Items asked together, whatever the profile says.
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

    changes = {"samples": samples, "batch_size": batch_size}
    changes = {name: value for name, value in changes.items() if value is not None}
    Path(to).parent.mkdir(parents=True, exist_ok=True)
    embedded = all(job.model.startswith("pocket-") for job in jobs)
    if embedded:
        _begin_anew_if_stale(jobs, Path(to), changes)
    AnswerLog(to).close()
    by_model: dict[str, list[Job]] = {}
    for job in jobs:
        by_model.setdefault(job.model, []).append(job)
    workers = min(workers or (os.cpu_count() if embedded else 1) or 1, len(by_model)) or 1
    rows: list[dict] = []
    with tqdm(total=len(jobs), desc="asking", unit="job", disable=not progress) as bar:

        def done(outcome: _Outcome, n_jobs: int) -> None:
            rows.extend(outcome.rows)
            bar.update(n_jobs)
            bar.set_postfix_str(f"{outcome.written:,} new answers")

        if workers == 1:
            for part in by_model.values():
                done(_ask_model(part, str(to), changes), len(part))
        else:
            # spawned, not forked: a forked torch can hang on its threads
            with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
                futures = {
                    pool.submit(_ask_model, part, str(to), changes, 1): len(part)
                    for part in by_model.values()
                }
                for future in as_completed(futures):
                    done(future.result(), futures[future])
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.sort_values(list(COLUMNS[:4]), ignore_index=True, na_position="last")


def _ask_model(
    jobs: list[Job], to: str, changes: dict[str, int], threads: int | None = None
) -> _Outcome:
    import torch

    from medcal_nb.answers import AnswerLog
    from medcal_nb.ask.models import resolve_model
    from medcal_nb.ask.run import ask
    from medcal_nb.items import load_items

    if threads:
        torch.set_num_threads(threads)
    backend = resolve_model(_address(jobs[0]), **_reaching(jobs[0]))
    rows, written = [], 0
    with AnswerLog(to) as log:
        for job in jobs:
            items = load_items(job.dataset, split=job.split, n=job.n, seed=job.seed)
            summary = ask(
                backend,
                items,
                list(job.strategies),
                log=log,
                seed=job.seed,
                **{k: v for k, v in job.options.items() if k in ASKING} | changes,
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


def _reaching(job: Job) -> dict[str, object]:
    names = ("device", "revision", "served_as", "concurrency")
    options = {name: job.options[name] for name in names if name in job.options}
    return {"served_as": job.model} | options if "url" in job.options else options


def _address(job: Job) -> str:
    """Return what a model is reached by: its name, or a URL, given or in the environment."""
    url = job.options.get("url", job.model)
    if not url.startswith("$"):
        return url
    if not os.environ.get(url[1:]):
        raise MedcalError(f"{job.model}: {url} is not set: put the URL of its server there")
    return os.environ[url[1:]]


def _begin_anew_if_stale(jobs: Sequence[Job], log: Path, changes: dict[str, int]) -> None:
    """Delete a log of embedded models where something that it was made from has changed."""
    made_from = _made_from(jobs) | {"changes": changes}
    note = log.with_name(log.name + ".made-from.json")
    try:
        before = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        before = None
    if log.exists() and before != made_from:
        for suffix in ("", "-wal", "-shm"):
            log.with_name(log.name + suffix).unlink(missing_ok=True)
    note.write_text(json.dumps(made_from, indent=1) + "\n", encoding="utf-8")


def _made_from(jobs: Sequence[Job]) -> dict[str, object]:
    """Return what the answers of embedded models depend on: jobs, code and weights."""
    from medcal_nb.study.hashing import file_hash, sources_used

    weights = Path(__file__).resolve().parents[2] / "data" / "pocket" / "manifest.json"
    code = "import medcal_nb.ask.run, medcal_nb.ask.models, medcal_nb.items, medcal_nb.pocket"
    return {
        "jobs": json.loads(json.dumps([vars(job) for job in jobs])),
        "code": sources_used(f"{code}\n'medcal_nb.pocket.questions'\n'medcal_nb.pocket.load'"),
        "weights": file_hash(weights) if weights.is_file() else None,
    }
