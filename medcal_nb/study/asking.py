"""The asking stage of a profile: every job into one log, resuming where it stopped."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from medcal_nb.errors import MedcalError
from medcal_nb.files import new_file
from medcal_nb.study.places import check_own_log, note_beside
from medcal_nb.study.profiles import ASKING, Job, load_profile

if TYPE_CHECKING:
    import pandas as pd


def ask_profile(
    profile: str | os.PathLike,
    answers: str | os.PathLike,
    *,
    fast: bool = False,
    shard: tuple[int, int] = (1, 1),
    workers: int = 0,
    progress: bool = True,
) -> pd.DataFrame:
    """Ask all models of a profile about all of its items, and log the answers.

    What the log holds is not asked again, so that a stopped run goes on where it was. For the
    embedded models the log is begun anew where weights, prompts, items or the profile changed
    since it was begun; answers of other models cost too much for that and are kept.

    Parameters
    ----------
    profile : str
        Name or file of a profile.
    answers : path
        The answers log (SQLite), made if absent.
    fast : bool
        Ask what the profile's ``[fast]`` keeps.
    shard : (int, int)
        Part i of n of the items, for several machines.
    workers : int
        Models asked side by side, one process of one thread each; answers do not depend on it.
        0 means one per core for the embedded models, else 1: large ones share no GPU.
    progress : bool
        Show a bar on stderr.

    Returns
    -------
    pandas.DataFrame
        One row per job: ``model, dataset, split, items, strategies, answers, already, skipped,
        failed, seconds``.

    Raises
    ------
    MedcalError
        If a model, data set or strategy is unknown or can't be reached.
    """
    import pandas as pd
    from tqdm.auto import tqdm

    from medcal_nb.answers import AnswerLog
    from medcal_nb.ask.strategies import choose_strategies
    from medcal_nb.ask.workers import begin

    settings = load_profile(profile)
    jobs = settings.jobs(fast=fast)
    if not jobs:
        raise MedcalError(f"profile {settings.name} asks no model: give answers with --answers")
    for job in jobs:
        choose_strategies(list(job.strategies))
    answers = Path(answers)
    answers.parent.mkdir(parents=True, exist_ok=True)
    _begin_anew_if_stale(jobs, answers)
    by_model = {job.model: [other for other in jobs if other.model == job.model] for job in jobs}
    embedded = all(model.startswith("pocket-") for model in by_model)
    workers = min(workers or (os.cpu_count() if embedded else 1) or 1, len(by_model))
    if workers <= 1:
        # in a thread, because a notebook's own thread has an event loop running and served
        # models need one of their own
        with ThreadPoolExecutor(1) as thread:
            parts = [
                thread.submit(_ask_model, part, answers, shard, progress).result()
                for part in by_model.values()
            ]
        return pd.DataFrame([row for part in parts for row in part])
    AnswerLog(answers).close()
    rows = []
    # spawned, not forked: a forked torch can hang on its threads
    with ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=begin, initargs=(1,)
    ) as pool:
        futures = [
            pool.submit(_ask_model, part, answers, shard, False) for part in by_model.values()
        ]
        with tqdm(total=len(futures), desc="asking", unit="model", disable=not progress) as bar:
            for future in as_completed(futures):
                rows += future.result()
                bar.update()
                bar.set_postfix_str(f"{sum(row['answers'] for row in rows):,} new answers")
    order = list(by_model)
    return pd.DataFrame(sorted(rows, key=lambda row: order.index(row["model"])))


def _ask_model(jobs: list[Job], answers: Path, shard, progress: bool):
    from medcal_nb.answers import AnswerLog
    from medcal_nb.ask.models import resolve_model
    from medcal_nb.ask.run import ask
    from medcal_nb.items import load_items

    rows, backend = [], None
    with AnswerLog(answers) as log:
        for job in jobs:
            started = time.perf_counter()
            items = load_items(job.dataset, split=job.split, n=job.n, seed=job.seed)
            if backend is None:
                backend = _reach(job, resolve_model)
            done = ask(
                backend,
                items,
                list(job.strategies),
                log=log,
                seed=job.seed,
                shard=shard,
                progress=progress,
                **{key: value for key, value in job.options.items() if key in ASKING},
            )
            rows.append(
                {
                    "model": job.model,
                    "dataset": job.dataset,
                    "split": job.split or "all",
                    "items": len(items),
                    "strategies": len(job.strategies) - len(done.skipped),
                    "answers": done.rows,
                    "already": done.done_before,
                    "skipped": "; ".join(
                        [f"{name}: {why}" for name, why in done.skipped.items()]
                        + [
                            f"{name}, {n} items: {why}"
                            for (name, why), n in done.not_applicable.items()
                        ]
                    ),
                    "failed": len(done.failed),
                    "seconds": time.perf_counter() - started,
                }
            )
            for item, reason in list(done.failed.items())[:5]:
                print(f"medcal: {job.model}: {item}: {reason}", file=sys.stderr)
    return rows


def _reach(job: Job, resolve_model):
    names = ("device", "revision", "served_as", "concurrency")
    options = {key: value for key, value in job.options.items() if key in names}
    url = job.options.get("url")
    if url:
        address = os.environ.get(url[1:]) if url.startswith("$") else url
        if not address:
            raise MedcalError(f"{job.model}: {url} is not set: give the URL of its server there")
        return resolve_model(address, **{"served_as": job.model} | options)
    return resolve_model(job.model, **options)


def _begin_anew_if_stale(jobs: list[Job], answers: Path) -> None:
    """Note what a log is made from; delete our own of embedded models where that has changed."""
    check_own_log(answers)
    note = note_beside(answers)
    embedded = all(job.model.startswith("pocket-") for job in jobs)
    made_from = _made_from(jobs) if embedded else {"jobs": _plain(jobs)}
    if answers.exists():
        before = json.loads(note.read_text(encoding="utf-8"))
        if embedded and before != made_from:
            for suffix in ("", "-wal", "-shm"):
                answers.with_name(answers.name + suffix).unlink(missing_ok=True)
        elif not embedded:  # what other models answered is kept
            asked = {json.dumps(job): job for job in [*before["jobs"], *made_from["jobs"]]}
            made_from = {"jobs": list(asked.values())}
    with new_file(note, force=True) as part:
        part.write_text(json.dumps(made_from, indent=1) + "\n", encoding="utf-8")


def _plain(jobs: list[Job]) -> list[dict]:
    return [json.loads(json.dumps(vars(job), sort_keys=True)) for job in jobs]


def _made_from(jobs: list[Job]) -> dict[str, object]:
    """Return what the answers of embedded models depend on: jobs, code and weights."""
    from medcal_nb.pocket import MANIFEST, pocket_home
    from medcal_nb.study.hashing import file_hash, sources_used

    code = "import medcal_nb.ask.run, medcal_nb.ask.models, medcal_nb.items, medcal_nb.pocket"
    return {
        "jobs": _plain(jobs),
        "code": sources_used(f"{code}\n'medcal_nb.pocket'"),
        "weights": file_hash(pocket_home() / MANIFEST),
    }


def ask_blank(
    models: Sequence[str],
    strategies: Sequence[str],
    items: pd.DataFrame,
    *,
    seed: int = 0,
    progress: bool = False,
) -> pd.DataFrame:
    """Return the verdicts of models that are shown a blank image in place of each item's own.

    Parameters
    ----------
    models : sequence of str
        Names that :func:`medcal_nb.ask.models.resolve_model` finds.
    strategies : sequence of str
        Those that can't be asked of a model are left out.
    items : pandas.DataFrame
        The item table, of one or more data sets.
    seed : int
        Of sampled replies, as in the run with the images that it is compared with.

    Returns
    -------
    pandas.DataFrame
        One row per model, item and strategy, under the strategy's own name.
    """
    import tempfile

    import pandas as pd

    from medcal_nb.answers import AnswerLog
    from medcal_nb.ask.graded import to_graded
    from medcal_nb.ask.models import resolve_model
    from medcal_nb.ask.run import ask

    parts = []
    for model in models:
        backend = resolve_model(model)
        for _, rows in items.groupby("dataset", sort=False):
            with (
                tempfile.TemporaryDirectory() as folder,
                AnswerLog(Path(folder) / "blank.sqlite") as log,
            ):
                ask(
                    backend,
                    rows.reset_index(drop=True),
                    list(strategies),
                    log=log,
                    seed=seed,
                    blank=True,
                    progress=progress,
                )
                parts.append(to_graded(log.read()))
    return pd.concat(parts, ignore_index=True)
