"""The asking stage of a profile: every job into one log, resuming where it stopped.

First every model is asked by itself, under plain strategies and those shown a blank image
(``NAME_blank``), and for typed scores (``decision``); then an expert is asked about their answers.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from medcal_nb.answers.own import check_own_log, note_beside
from medcal_nb.errors import MedcalError
from medcal_nb.files import new_file

if TYPE_CHECKING:
    import pandas as pd

_PACKAGE = Path(__file__).resolve().parents[1]
# what a profile may say of asking, and of reaching a model
_ASKING = ("samples", "temperature", "batch_size", "max_new_tokens", "lettered")
_REACHING = ("device", "revision", "served_as", "concurrency")


def ask_profile(
    profile,
    answers: str | os.PathLike,
    *,
    fast: bool = False,
    workers: int = 0,
    progress: bool = True,
) -> pd.DataFrame:
    """Ask all models of a profile about all of its items, and log the answers.

    What the log holds is not asked again, so that a stopped run goes on where it was. For the
    embedded models a log that this made itself is begun anew where weights, prompts, items or the
    profile changed; answers of other models cost too much for that and are kept.

    Parameters
    ----------
    profile : Profile
        As :func:`medcal_nb.study.load_profile` returns it.
    answers : path
        The answers log (SQLite), made if absent.
    fast : bool
        Ask what the profile's ``[fast]`` keeps.
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
        If a model, data set or strategy is unknown or can't be reached, or the log is not ours to
        begin anew.
    """
    import pandas as pd

    jobs = profile.jobs(fast=fast)
    if not jobs:
        raise MedcalError(f"profile {profile.name} asks no model: give answers with --answers")
    answers = Path(answers)
    answers.parent.mkdir(parents=True, exist_ok=True)
    _begin_anew_if_stale(jobs, answers)
    asked: dict[str, set] = {}
    for job in jobs:
        asked.setdefault(job.model, set()).update(job.strategies)
    rows = []
    for stage in (False, True):
        by_model: dict[str, list] = {}
        for job in jobs:
            if ("expert" in job.options) == stage:
                if stage:  # of those that this run asks
                    of = [name for name in job.options["of"] if name in asked[job.model]]
                    job = replace(job, options=job.options | {"of": of})
                by_model.setdefault(job.model, []).append(job)
        if by_model:
            rows += _ask_stage(by_model, answers, workers, progress)
    return pd.DataFrame(rows)


def _ask_stage(by_model, answers, workers, progress):
    from tqdm.auto import tqdm

    from medcal_nb.answers import AnswerLog
    from medcal_nb.ask.workers import begin

    embedded = all(model.startswith("pocket-") for model in by_model)
    workers = min(workers or (os.cpu_count() if embedded else 1) or 1, len(by_model))
    if workers <= 1:
        # in a thread, because a notebook's own thread has an event loop running
        with ThreadPoolExecutor(1) as thread:
            parts = [
                thread.submit(_ask_model, part, answers, progress).result()
                for part in by_model.values()
            ]
        return [row for part in parts for row in part]
    AnswerLog(answers).close()
    # spawned, not forked: a forked torch can hang on its threads
    with ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=begin, initargs=(1,)
    ) as pool:
        futures = [pool.submit(_ask_model, part, answers, False) for part in by_model.values()]
        with tqdm(total=len(futures), desc="asking", unit="model", disable=not progress) as bar:
            for future in as_completed(futures):
                future.result()
                bar.update()
    return [row for future in futures for row in future.result()]


def _ask_model(jobs: list, answers: Path, progress: bool):
    """Ask one model all that its jobs want; return a row of the table for each."""
    from medcal_nb.answers import AnswerLog
    from medcal_nb.ask.expert import ask_scores
    from medcal_nb.ask.run import Summary, ask
    from medcal_nb.items import load_items

    rows, backends = [], {}
    with AnswerLog(answers) as log:
        for job in jobs:
            started, done = time.perf_counter(), Summary()
            items = load_items(job.dataset, split=job.split, n=job.n, seed=job.seed)
            plain = [name for name in job.strategies if name != "decision"]
            levels = job.options.get("levels", ())
            if len(plain) < len(job.strategies) and not items["gold"].isin(levels).any():
                done.not_applicable["decision", "no answer is a level"] = len(items)
            elif len(plain) < len(job.strategies):
                told = ask_scores(job.model, items, levels, log=log)
                done.rows, done.done_before = told
            if plain:
                asked = job.options.get("expert", job.model)
                if asked not in backends:
                    backends[asked] = _reach(job, asked)
                settings = {key: job.options[key] for key in job.options if key in _ASKING}
                if "expert" in job.options:
                    settings |= {"model": job.model, "judged": _judged(job, items, log)}
                more = {"log": log, "seed": job.seed, "progress": progress}
                scored, done = done, ask(backends[asked], items, plain, **more, **settings)
                done.rows += scored.rows
                done.done_before += scored.done_before
            rows.append(_told(job, len(items), done, time.perf_counter() - started))
            for item, reason in list(done.failed.items())[:5]:
                print(f"medcal: {job.model}: {item}: {reason}", file=sys.stderr)
    return rows


def _told(job, n_items, done, seconds):
    skipped = [f"{name}: {why}" for name, why in done.skipped.items()]
    skipped += [f"{name}, {n} items: {why}" for (name, why), n in done.not_applicable.items()]
    return {
        "model": job.model,
        "dataset": job.dataset,
        "split": job.split or "all",
        "items": n_items,
        "strategies": len(job.strategies) - len(done.skipped),
        "answers": done.rows,
        "already": done.done_before,
        "skipped": "; ".join(skipped),
        "failed": len(done.failed),
        "seconds": seconds,
    }


def _judged(job, items, log):
    """Return the cases that an expert judges of a model's answers in the log."""
    from medcal_nb.ask.expert import cases
    from medcal_nb.ask.graded import to_graded
    from medcal_nb.ask.run import ordered_items

    told = job.options["of"]
    answers = log.read(model=job.model, dataset=job.dataset, strategy=told)
    return cases(to_graded(answers), ordered_items(items), told)


def _reach(job, name: str):
    from medcal_nb.ask.models import resolve_model

    options = {key: value for key, value in job.options.items() if key in _REACHING}
    url = job.options.get("url")
    if not url or name != job.model:
        return resolve_model(name, **(options if name == job.model else {}))
    address = os.environ.get(url[1:]) if url.startswith("$") else url
    if not address:
        raise MedcalError(f"{job.model}: {url} is not set: give the URL of its server there")
    return resolve_model(address, **{"served_as": job.model} | options)


def _begin_anew_if_stale(jobs: list, answers: Path) -> None:
    """Note what a log is made from; begin our own of embedded models anew where that has changed.

    Answers of other models cost too much to be asked again and are kept.
    """
    check_own_log(answers)
    note = note_beside(answers)
    embedded = all(job.model.startswith("pocket-") for job in jobs)
    made_from = {"jobs": [json.loads(json.dumps(vars(job), sort_keys=True)) for job in jobs]}
    if embedded:
        made_from["code and weights"] = _code_and_weights()
    if answers.exists():
        before = json.loads(note.read_text(encoding="utf-8"))
        if embedded and before != made_from:
            for suffix in ("", "-wal", "-shm"):
                answers.with_name(answers.name + suffix).unlink(missing_ok=True)
        elif not embedded:
            asked = {json.dumps(job): job for job in [*before["jobs"], *made_from["jobs"]]}
            made_from = {"jobs": list(asked.values())}
    with new_file(note, force=True) as part:
        part.write_text(json.dumps(made_from, indent=1) + "\n", encoding="utf-8")


def _code_and_weights() -> str:
    """Return a hash of all that the answers of embedded models depend on beside the jobs."""
    from medcal_nb.pocket import MANIFEST, pocket_home

    files = [*sorted((_PACKAGE / "ask").rglob("*.py")), _PACKAGE / "items.py"]
    digest = hashlib.blake2b(digest_size=16)
    for path in (*files, pocket_home() / MANIFEST):
        digest.update(path.read_bytes())
    return digest.hexdigest()
