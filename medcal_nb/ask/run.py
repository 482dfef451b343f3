"""Putting items to a model: programs in lock step or streamed, into a crash-safe log.

Each (item, strategy) is a small program that yields calls. A model on this machine is asked in
batches: all programs of a batch go a round at a time, their calls gathered, equal ones asked once.
A model behind a URL is asked item by item, as many requests under way as it takes. Answers are
appended a batch at a time, in one transaction. What is asked depends on items and settings alone,
so that a killed run, started again, asks what is missing in the same way.
"""

import hashlib
import json
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field

from medcal_nb.ask.calls import Failure
from medcal_nb.ask.grading import is_correct
from medcal_nb.ask.strategies import Plan, choose_strategies, find_strategy, rehearse
from medcal_nb.errors import MedcalError, printable
from medcal_nb.items import iter_items

_CARRIED = ("dataset", "domain", "item_id", "image_id", "modality", "question_type", "split")
_MOST_TOLD = 20


@dataclass
class Summary:
    """What a run did: rows written, items skipped or failed per strategy, with reasons."""

    rows: int = 0
    done_before: int = 0
    skipped: dict[str, str] = field(default_factory=dict)
    not_applicable: Counter = field(default_factory=Counter)
    failed: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def exit_code(self):
        """0 where nothing failed, 2 where everything did, else 1."""
        return 0 if not self.failed else 1 if self.rows else 2

    def lines(self):
        """Return the summary in lines for a reader."""
        told = [
            f"{self.rows} answers written in {self.seconds:.1f} s, "
            f"{self.done_before} were in the log already"
        ]
        told += [f"skipped {name}: {reason}" for name, reason in self.skipped.items()]
        for (name, reason), count in self.not_applicable.items():
            told.append(f"skipped {name} for {count} items: {reason}")
        failed = [f"failed {item_id}: {reason}" for item_id, reason in self.failed.items()]
        told += failed[:_MOST_TOLD]
        if failed:
            left = f"{len(failed)} items have no answer under some strategy"
            told.append(f"{left}; the same command asks them again")
        return told


def ordered_items(frame):
    """The items of a table, questions about one image side by side."""
    order = {image: i for i, image in enumerate(frame["image_id"].unique())}
    return sorted(iter_items(frame), key=lambda item: order[item.image_id])


def shard_of(items, shard):
    """Return the part `shard` = (i, n) of an item list, images kept together, i from 1."""
    part, parts = shard

    def number(item):
        return int.from_bytes(hashlib.blake2b(str(item.image_id).encode(), digest_size=8).digest())

    return [item for item in items if number(item) % parts == part - 1]


def fingerprint(backend, model, strategy, plan):
    """Name all that an answer depends on beside its item: model, revision, prompts, settings."""
    revision = getattr(backend, "revision", None)
    told = [model, backend.name, revision, plan.dataset, strategy.words_hash(plan)]
    return hashlib.blake2b(json.dumps(told).encode(), digest_size=6).hexdigest()


def ask(
    backend,
    items,
    strategies,
    *,
    log,
    batch_size=64,
    shard=(1, 1),
    progress=False,
    model=None,
    **plan,
):
    """Ask a model about items under several strategies and write the answers to a log.

    What the log holds already is not asked again. Sampled replies depend on `seed`, item and
    sample alone. An item that fails (damaged image, server down) is reported and has no row.

    Parameters
    ----------
    backend : Backend
        As :func:`medcal_nb.ask.models.resolve_model` returns it.
    items : DataFrame
        The item table, of one data set.
    strategies : str or list of str
        Names, ``"a,b"`` or ``"all"``.
    log : AnswerLog
        Where answers go, one transaction per batch.
    batch_size : int
        Items asked together, or written together.
    shard : (int, int)
        Part i of n of the items, for several machines.
    progress : bool
        Show a progress bar with rate and remaining time on stderr.
    model : str, optional
        Whose answers these are; where the backend is an expert that judges, the model judged.
    **plan
        Settings of :class:`medcal_nb.ask.strategies.Plan`: ``samples``, ``temperature``, ``seed``,
        ``lettered``, ``max_new_tokens``, and for an expert ``judged``.

    Returns
    -------
    Summary

    Raises
    ------
    MedcalError
        When the log holds answers of the same model to the same items that were asked in another
        way.
    """
    datasets = items["dataset"].unique()
    if len(datasets) != 1:
        raise MedcalError(f"one data set at a time: the items are of {len(datasets)}")
    plan = Plan(dataset=str(datasets[0]), **plan)
    run = Run(backend, strategies, plan, log, model or backend.name)
    rows = shard_of(ordered_items(items), shard)
    with run.bar(len(rows), progress) as run.progress:
        batches = (rows[i : i + batch_size] for i in range(0, len(rows), batch_size))
        waiting = (todo for todo in map(run.to_do, batches) if todo)
        for answered in _each_batch(backend, waiting, plan):
            run.write(*answered)
    return run.finish()


class Run:
    """What is to be asked, what has been, and the rows in between."""

    def __init__(self, backend, strategies, plan, log, model):
        self.backend, self.plan, self.log, self.model = backend, plan, log, model
        self.summary, self.asked, self.run_ids, self.n_rows = Summary(), [], {}, {}
        self.started, self.order = time.perf_counter(), 0
        self.have = log.keys(model=model, dataset=plan.dataset)
        there = log.runs(model=model, dataset=plan.dataset)
        for strategy in choose_strategies(strategies):
            name = strategy.name
            if reason := strategy.skips(backend.can, backend.cannot):
                self.summary.skipped[name] = reason
                continue
            self.asked.append(strategy)
            self.n_rows[name] = strategy.rows(plan)
            self.run_ids[name] = fingerprint(backend, model, strategy, plan)
            if {run for asked, run in there if asked == name} - {self.run_ids[name]}:
                raise MedcalError(
                    f"{log.path}: holds answers of {model} under {name} that were asked "
                    "with other settings, words or weights: name another log for these"
                )

    def bar(self, n_items, progress):
        from tqdm import tqdm

        total = n_items * sum(self.n_rows.values())
        look = {"desc": printable(self.model), "unit": "answer", "dynamic_ncols": True}
        return tqdm(total=total, disable=not progress, **look)

    def to_do(self, batch):
        """The pairs of a batch that have to be asked; the others go to the summary."""
        todo = []
        for item in batch:
            for strategy in self.asked:
                name, n_rows = strategy.name, self.n_rows[strategy.name]
                key = (self.model, self.plan.dataset, str(item.item_id), name)
                if reason := strategy.applies(item, self.plan):
                    self.summary.not_applicable[name, reason] += 1
                elif all((*key, i) in self.have for i in range(n_rows)):
                    self.summary.done_before += n_rows
                else:
                    todo.append((item, name))
                    continue
                self.progress.update(n_rows)
        return todo

    def write(self, todo, ended, failed):
        """Grade the rows of programs that have ended, and append them."""
        rows = []
        for i, (item, name) in enumerate(todo):
            if i in failed:
                self.summary.failed[str(item.item_id)] = f"{name}: {failed[i]}"
            else:
                rows += [self._finished(row, item, name) for row in ended[i]]
        self.order += len({item.item_id for item, _ in todo})
        self._append(rows)
        self.progress.update(sum(self.n_rows[name] for _, name in todo))

    def _append(self, rows):
        """Append rows together, or one by one where the log refuses one of them."""
        try:
            self.summary.rows += self.log.append(rows, if_exists="ignore")
            return
        except MedcalError as error:
            refused, before = error, self.summary.rows
        for row in rows:
            try:
                self.summary.rows += self.log.append([row], if_exists="ignore")
            except MedcalError as error:
                self.summary.failed[str(row["item_id"])] = f"{row['strategy']}: {error}"
        if self.summary.rows == before:
            raise refused  # the log, not a row

    def _finished(self, row, item, name):
        """Add to an answer row what it is about, its grade and where it comes from."""
        options = row.pop("options", item.options)
        kind = item.question_type if options == item.options else "choice"
        done = {column: getattr(item, column) for column in _CARRIED}
        done["gold"] = list(item.gold) if isinstance(item.gold, tuple) else item.gold
        done |= {"strategy": name, "model": self.model, "run_id": self.run_ids[name]} | row
        right = is_correct(done["answer"], done["gold"], question_type=kind, options=options)
        done["correct"] = right
        extra = dict(getattr(self.backend, "provenance", {}))
        if extra:
            extra["order"] = self.order
        if self.plan.judged is not None:
            extra["expert"] = self.backend.name
        return extra | item.extra | done

    def finish(self):
        self.summary.seconds = time.perf_counter() - self.started
        return self.summary


def dry_run(backend, items, strategies, plan):
    """Yield the texts that each strategy puts to a model about the first item, and count all calls.

    They are counted on the first item of each type of question.
    """
    items, asked = ordered_items(items), []
    for how in choose_strategies(strategies):
        if reason := how.skips(backend.can, backend.cannot):
            yield f"skipped {how.name}: {reason}"
        else:
            asked.append(how)

    def calls(how, item):
        return rehearse(how, item, plan)[0] if how.applies(item, plan) is None else ()

    def text(call):
        return backend.show(call.prompt) if hasattr(call, "prompt") else "\n".join(call.texts)

    for how in asked:
        if texts := dict.fromkeys(map(text, calls(how, items[0]))):
            yield "\n".join((f"── {how.name}", *texts, ""))
    total, firsts = 0, {item.question_type: item for item in reversed(items)}
    for kind, n in Counter(item.question_type for item in items).items():
        total += n * len({call for how in asked for call in calls(how, firsts[kind])})
    yield f"{len(items)} items: {total} calls, equal ones asked once"


def _each_batch(backend, waiting, plan):
    """Ask batches in lock step or streamed; yield what was to do, what ended and what failed."""

    def begun(todo):
        return todo, [find_strategy(name).ask(item, plan) for item, name in todo]

    if hasattr(backend, "stream"):
        with closing(backend.stream(map(begun, waiting))) as answered:
            yield from answered
        return
    for todo, programs in map(begun, waiting):
        with backend.session() as session:
            yield todo, *run_programs(programs, session.run)


def run_programs(programs, answer):
    """Drive generator programs in lock step.

    Parameters
    ----------
    programs : list of generators
        Each yields lists of calls, is sent lists of results, and returns its value.
    answer : callable
        Calls → results, in order. Equal calls are passed once a round.

    Returns
    -------
    ended : dict of int to object
        What each program returned, by its position.
    failed : dict of int to str
        Why a program could not go on.
    """
    ended, failed, known, waiting = {}, {}, {}, {}
    for i, program in enumerate(programs):
        step(i, program, None, waiting, ended, failed)
    while waiting:
        asked = dict.fromkeys(call for calls in waiting.values() for call in calls)
        fresh = [call for call in asked if call not in known]
        if fresh:
            known.update(zip(fresh, answer(fresh), strict=True))
        now, waiting = waiting, {}
        for i, calls in now.items():
            step(i, programs[i], [known[call] for call in calls], waiting, ended, failed)
    return ended, failed


def step(i, program, results, waiting, ended, failed):
    """Send a program its results: it waits for more calls, has ended, or has failed."""
    bad = next((r for r in results or () if isinstance(r, Failure)), None)
    if bad is not None:
        failed[i] = bad.reason
        program.close()
        return
    try:
        waiting[i] = program.send(results)
    except StopIteration as stop:
        ended[i] = stop.value
