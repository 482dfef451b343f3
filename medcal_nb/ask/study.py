"""The asking stage of a profile: every job into one log, resuming where it stopped.

First every model is asked by itself, under plain strategies and those shown a blank image
(``NAME_blank``), and for typed scores (``decision``); then an expert is asked about their answers.
"""

import hashlib
import json
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
from tqdm.auto import tqdm

from medcal_nb.answers import AnswerLog
from medcal_nb.answers.own import check_own_log, note_beside
from medcal_nb.ask.expert import ask_scores, cases
from medcal_nb.ask.graded import to_graded
from medcal_nb.ask.run import Summary, ask, ordered_items
from medcal_nb.ask.workers import begin
from medcal_nb.errors import MedcalError
from medcal_nb.files import new_file
from medcal_nb.items import load_items

_PACKAGE = Path(__file__).resolve().parents[1]
# what a profile may say of asking, and of reaching a model
_ASKING = ("samples", "temperature", "batch_size", "max_new_tokens", "lettered")
_REACHING = ("device", "revision", "served_as", "concurrency")


def ask_profile(profile, answers, *, fast=False, workers=0, progress=True):
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
        One row per job: ``model, dataset, split, items, strategies, answers, already, skipped``
        (pairs of strategy and reason), ``failed, seconds``.

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
    rows = []
    for judging in (False, True):
        by_model = {}
        for job in jobs:
            if ("expert" in job.options) == judging:
                # answers are judged under the strategies that this run asks
                told = [name for name in job.options.get("of", ()) if (job.model, name) in asked]
                by_model.setdefault(job.model, []).append((job, told))
        rows += _ask_models(by_model, answers, workers, progress) if by_model else []
    return pd.DataFrame(rows)


def _ask_models(by_model, answers, workers, progress):
    embedded = all(model.startswith("pocket-") for model in by_model)
    workers = min(workers or (os.cpu_count() if embedded else 1) or 1, len(by_model))
    if workers <= 1:
        # in a thread, because a notebook's own thread has an event loop running
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(_ask_in_turn, by_model.values(), answers, progress).result()
    AnswerLog(answers).close()
    # spawned, not forked: a forked torch can hang on its threads
    how = {"mp_context": get_context("spawn"), "initializer": begin, "initargs": (1,)}
    with ProcessPoolExecutor(workers, **how) as pool:
        parts = [pool.submit(_ask_in_turn, [jobs], answers, False) for jobs in by_model.values()]
        look = {"total": len(parts), "desc": "asking", "unit": "model", "disable": not progress}
        for part in tqdm(as_completed(parts), **look):
            if not part.cancelled() and part.exception():
                pool.shutdown(wait=False, cancel_futures=True)
    return [row for part in parts for row in part.result()]


def _ask_in_turn(parts, answers, progress):
    return [row for jobs in parts for row in _ask_model(jobs, answers, progress)]


def _ask_model(jobs, answers, progress):
    """Ask one model all that its jobs want; return a row of the table for each."""
    rows, backends = [], {}
    with AnswerLog(answers) as log:
        for job, told in jobs:
            started, done = time.perf_counter(), Summary()
            items = load_items(job.dataset, split=job.split, n=job.n, seed=job.seed)
            plain = [name for name in job.strategies if name != "decision"]
            if plain:
                name = job.options.get("expert", job.model)
                if name not in backends:
                    backends[name] = _reach(job, name)
                settings = {key: job.options[key] for key in _ASKING if key in job.options}
                if "expert" in job.options:
                    graded = to_graded(
                        log.read(model=job.model, dataset=job.dataset, strategy=told)
                    )
                    judged = cases(graded, ordered_items(items), told)
                    settings |= {"model": job.model, "judged": judged}
                settings |= {"log": log, "seed": job.seed, "progress": progress}
                done = ask(backends[name], items, plain, **settings)
            if "decision" in job.strategies:
                levels = job.options.get("levels", ())
                written, already = ask_scores(job.model, items, levels, log=log)
                done.rows, done.done_before = done.rows + written, done.done_before + already
                if not written + already:
                    done.not_applicable["decision", "no answer is a level"] = len(items)
            rows.append(_told(job, len(items), done, time.perf_counter() - started))
            for item, reason in list(done.failed.items())[:5]:
                print(f"medcal: {job.model}: {item}: {reason}", file=sys.stderr)
    return rows


def _told(job, n_items, done, seconds):
    return {
        "model": job.model,
        "dataset": job.dataset,
        "split": job.split or "all",
        "items": n_items,
        "strategies": len(job.strategies) - len(done.skipped),
        "answers": done.rows,
        "already": done.done_before,
        "skipped": [*done.skipped.items(), *done.not_applicable],
        "failed": len(done.failed),
        "seconds": seconds,
    }


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
