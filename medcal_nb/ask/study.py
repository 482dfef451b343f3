"""The asking stage of a profile: every job into one log, resuming where it stopped.

First every model is asked by itself, under plain strategies and those shown a blank image
(``NAME_blank``), and for typed scores (``decision``); then an expert is asked about their answers.
"""

import hashlib
import json
import os
import signal
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from itertools import repeat
from multiprocessing import get_context, parent_process
from pathlib import Path

import pandas as pd
from tqdm.auto import tqdm

from medcal_nb.answers import AnswerLog
from medcal_nb.answers.own import check_own_log, note_beside
from medcal_nb.ask.expert import ask_scores, cases
from medcal_nb.ask.graded import to_graded
from medcal_nb.ask.run import ask, ordered_items
from medcal_nb.errors import MedcalError
from medcal_nb.files import new_file
from medcal_nb.items import load_items

_PACKAGE = Path(__file__).resolve().parents[1]
# what a profile may say of asking, and of reaching a model
_ASKING = ("samples", "temperature", "batch_size", "max_new_tokens", "lettered")
_REACHING = ("device", "revision", "served_as", "concurrency")


def ask_profile(profile, answers, *, fast=False, progress=True):
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
    progress : bool
        Show a bar on stderr.

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
        raise MedcalError(f"profile {profile.name} asks no model: give answers with --answers")
    answers = Path(answers)
    answers.parent.mkdir(parents=True, exist_ok=True)
    _begin_anew_if_stale(jobs, answers)
    asked = {(job.model, name) for job in jobs for name in job.strategies}
    stages = {}, {}  # an expert judges what the others have answered
    for job in jobs:
        judges = "expert" in job.options
        if judges:
            # under the strategies that this run asks
            of = [name for name in job.options.get("of", ()) if (job.model, name) in asked]
            job = replace(job, options=job.options | {"of": of})
        stages[judges].setdefault(job.model, []).append(job)
    rows = (_ask_models(by_model, answers, progress) for by_model in stages if by_model)
    return pd.DataFrame([row for stage in rows for row in stage])


def _ask_models(by_model, answers, progress):
    """Ask the embedded models side by side, a process each; others in turn: they share no GPU."""
    embedded = all(model.startswith("pocket-") for model in by_model)
    n = min(len(by_model), os.cpu_count() or 1) if embedded else 1
    pool = ThreadPoolExecutor(1)  # a notebook's own thread has an event loop running
    if n > 1:
        # spawned, not forked: a forked torch can hang on its threads
        pool = ProcessPoolExecutor(n, get_context("spawn"), initializer=_begin_process)
    with pool:
        bars = progress and n == 1
        parts = pool.map(_ask_model, by_model.values(), repeat(answers), repeat(bars))
        told = tqdm(parts, "asking", len(by_model), unit="model", disable=not progress)
        return [row for part in told for row in part]


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
    rows, backends = [], {}
    with AnswerLog(answers) as log:
        for job in jobs:
            items = load_items(job.dataset, split=job.split, n=job.n, seed=job.seed)
            if job.strategies == ("decision",):
                done = ask_scores(job.model, items, job.options.get("levels", ()), log=log)
            else:
                done = _ask_job(job, items, backends, log=log, progress=progress)
            told = {"model": job.model, "dataset": job.dataset, "split": job.split or "all"}
            told |= {"items": len(items), "strategies": len(job.strategies) - len(done.skipped)}
            told |= {"answers": done.rows, "already": done.done_before, "failed": len(done.failed)}
            rows.append(told | {"skipped": [*done.skipped.items(), *done.not_applicable]})
            for item, reason in list(done.failed.items())[:5]:
                print(f"medcal: {job.model}: {item}: {reason}", file=sys.stderr)
    return rows


def _ask_job(job, items, backends, *, log, progress):
    """Ask a model about items, or an expert about what the model answered."""
    name = job.options.get("expert", job.model)
    if name not in backends:
        backends[name] = _reach(job, name)
    settings = {key: job.options[key] for key in _ASKING if key in job.options}
    if "expert" in job.options:
        of = job.options["of"]
        graded = to_graded(log.read(model=job.model, dataset=job.dataset, strategy=of))
        settings |= {"model": job.model, "judged": cases(graded, ordered_items(items), of)}
    settings |= {"seed": job.seed, "progress": progress}
    return ask(backends[name], items, job.strategies, log=log, **settings)


def _reach(job, name):
    from medcal_nb.ask.models import resolve_model

    if name != job.model:
        return resolve_model(name)
    how = {key: job.options[key] for key in _REACHING if key in job.options}
    if not (url := job.options.get("url")):
        return resolve_model(name, **how)
    address = os.environ.get(url[1:]) if url.startswith("$") else url
    if not address:
        raise MedcalError(f"{job.model}: {url} is not set: give the URL of its server there")
    return resolve_model(address, **{"served_as": job.model} | how)


def _begin_anew_if_stale(jobs, answers):
    """Note what a log is made from; begin our own of embedded models anew where that has changed.

    Answers of other models cost too much to be asked again and are kept.
    """
    check_own_log(answers)
    note = note_beside(answers)
    made_from = {"jobs": json.loads(json.dumps([vars(job) for job in jobs], sort_keys=True))}
    embedded = all(job.model.startswith("pocket-") for job in jobs)
    if embedded:
        made_from["code and weights"] = _code_and_weights()
    if answers.exists():
        before = json.loads(note.read_text(encoding="utf-8"))
        if not embedded:
            kept = [job for job in before["jobs"] if job not in made_from["jobs"]]
            made_from["jobs"] = kept + made_from["jobs"]
        elif before != made_from:
            for suffix in ("", "-wal", "-shm"):
                answers.with_name(answers.name + suffix).unlink(missing_ok=True)
    with new_file(note, force=True) as part:
        part.write_text(json.dumps(made_from, indent=1) + "\n", encoding="utf-8")


def _code_and_weights():
    """Return a hash of all that the answers of embedded models depend on beside the jobs."""
    from medcal_nb.pocket import MANIFEST, pocket_home

    files = [*sorted((_PACKAGE / "ask").rglob("*.py")), _PACKAGE / "items.py"]
    digest = hashlib.blake2b(digest_size=16)
    for path in (*files, _PACKAGE / "ask" / "words.toml", pocket_home() / MANIFEST):
        digest.update(path.read_bytes())
    return digest.hexdigest()
