"""The asking stage of a profile: every job into one log, resuming where it stopped.

Each model is asked by itself first, under plain strategies and those shown a blank image
(``NAME_blank``); then an expert is asked about its answers.
"""

import json
import os
import signal
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing import get_context, parent_process
from pathlib import Path

import pandas as pd
from tqdm.auto import tqdm

from medcal_nb.answers import AnswerLog
from medcal_nb.ask.graded import to_graded, with_candidates
from medcal_nb.ask.models import resolve_model
from medcal_nb.ask.run import ask
from medcal_nb.datasets import load_items
from medcal_nb.errors import MedcalError
from medcal_nb.files import file_hash, new_file
from medcal_nb.study.own_log import check_own_log, note_beside
from medcal_nb.study.profile import Job, Profile

_PACKAGE = Path(__file__).resolve().parents[1]
# what a profile may say of asking, and of reaching a model
_ASKING = ("samples", "temperature", "batch_size", "max_new_tokens", "lettered")
_REACHING = ("device", "revision", "served_as", "concurrency")
# of the table that tells what was asked
_COLUMNS = ["model", "dataset", "split", "items", "strategies"]
_COLUMNS += ["answers", "already", "failed", "skipped"]


def ask_profile(
    profile: Profile, answers: str | Path, *, fast: bool = False
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

    Returns
    -------
    pandas.DataFrame
        One row per job: ``model, dataset, split, items, strategies, answers, already, failed,
        skipped`` (pairs of strategy and reason).

    Raises
    ------
    MedcalError
        If a model, data set or strategy is unknown or can't be reached, or the log is not ours to
        begin anew.
    """
    jobs = profile.jobs(fast=fast)
    if not jobs:
        raise MedcalError(
            f"profile {profile.name} asks no model: give answers with --answers"
        )
    answers = Path(answers)
    answers.parent.mkdir(parents=True, exist_ok=True)
    begin_anew_if_stale(jobs, answers)
    by_model = {job.model: [] for job in jobs}
    for job in sorted(
        jobs, key=lambda job: "expert" in job.options
    ):  # it judges what there is
        by_model[job.model].append(job)
    parallel = (
        _embedded(jobs) and len(by_model) > 1
    )  # others in turn: they share no GPU
    # spawned, not forked: a forked torch can hang on its threads
    with ProcessPoolExecutor(None, get_context("spawn"), _begin_process) as pool:
        ask_each = pool.map if parallel else map
        bars = repeat(not parallel)
        parts = ask_each(_ask_model, by_model.values(), repeat(answers), bars)
        progress = tqdm(parts, "asking", len(by_model), unit="model")
        return pd.DataFrame(
            [row for part in progress for row in part], columns=_COLUMNS
        )


def _embedded(jobs):
    """Whether all models are those that come with the workbook."""
    return all(job.model.startswith("pocket-") for job in jobs)


def _begin_process():
    """Make a process ready: one thread, and an end with the one that started it or on Ctrl-C."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_DFL)  # at once, without a traceback
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)


def _end_with_parent():
    parent_process().join()
    os._exit(1)


def _ask_model(jobs, answers, progress):
    """Ask one model all that its jobs want; return a row of the table for each."""
    rows = []
    reached = None
    backend = None
    with AnswerLog(answers) as log:
        for job in jobs:
            items = load_items(job.dataset, split=job.split, n=job.n, seed=job.seed)
            name = job.options.get("expert", job.model)
            model = None
            if "expert" in job.options:
                of = job.options["of"]
                model = job.model
                answered = log.read(model=model, dataset=job.dataset, strategy=of)
                items = with_candidates(items, to_graded(answered))
            if name != reached:
                backend = None  # a model is let go before an expert is loaded
                reached = name
                backend = _reach(job, name)
            settings = {key: job.options[key] for key in _ASKING if key in job.options}
            settings |= {"seed": job.seed, "progress": progress, "model": model}
            done = ask(backend, items, job.strategies, log=log, **settings)
            about = (
                job.model,
                job.dataset,
                job.split or "all",
                len(items),
                len(job.strategies),
            )
            result = done.rows, done.done_before, len(done.failed), list(done.skipped)
            rows.append((*about, *result))
            for item, reason in list(done.failed.items())[:5]:
                print(f"medcal: {job.model}: {item}: {reason}", file=sys.stderr)
    return rows


def _reach(job, name):
    """Find the model, or the expert, of a job."""
    if "expert" in job.options:
        return resolve_model(name)
    how = {key: job.options[key] for key in _REACHING if key in job.options}
    if url := job.options.get("url"):
        name = os.path.expandvars(url)
        how = {"served_as": job.model} | how
        if not name or name.startswith("$"):
            raise MedcalError(
                f"{job.model}: {url} is not set: give the URL of its server there"
            )
    return resolve_model(name, **how)


def begin_anew_if_stale(jobs: list[Job], answers: Path) -> None:
    """Note what a log is made from; begin our own of embedded models anew where that has changed.

    Answers of other models cost too much to be asked again and are kept.
    """
    check_own_log(answers)
    note = note_beside(answers)
    embedded = _embedded(jobs)
    made_from = {
        "jobs": json.loads(json.dumps([vars(job) for job in jobs], sort_keys=True))
    }
    if embedded:
        made_from["code and weights"] = _code_and_weights()
    before = (
        json.loads(note.read_text(encoding="utf-8")) if answers.exists() else made_from
    )
    if not embedded:
        made_from["jobs"] += [
            job for job in before["jobs"] if job not in made_from["jobs"]
        ]
    elif before != made_from:
        for suffix in ("", "-wal", "-shm"):
            answers.with_name(answers.name + suffix).unlink(missing_ok=True)
    with new_file(note, force=True) as part:
        part.write_text(json.dumps(made_from, indent=1) + "\n", encoding="utf-8")


def _code_and_weights():
    """Return hashes of all that the answers of embedded models depend on beside the jobs."""
    from medcal_nb.datasets.pocket import MANIFEST, pocket_home

    code = [*(_PACKAGE / "ask").rglob("*.py"), *(_PACKAGE / "ask").rglob("*.toml")]
    files = [
        *sorted(code),
        _PACKAGE / "datasets" / "items.py",
        pocket_home() / MANIFEST,
    ]
    return [file_hash(path) for path in files]
