"""Putting items to a model: batches of programs in lock step, into a crash-safe log.

Each (item, strategy) is a small program that yields calls. A batch runs all of its programs a
round at a time: their calls are gathered, equal ones asked once, and the answers of the whole
batch appended to the log in one transaction. A batch depends on the list of items and the
batch size alone, so that a killed run, started again, asks the same batches in the same way.
"""

import hashlib
import json
import sys
import time
from dataclasses import asdict, dataclass, field, replace

from medcal_nb import __version__
from medcal_nb.ask.grading import is_correct
from medcal_nb.ask.models import (
    Failure,
    Generate,
    LabelProbabilities,
    Labels,
    Reply,
    Similarities,
    Similarity,
)
from medcal_nb.ask.strategies import STRATEGIES, Plan, blanked, choose_strategies
from medcal_nb.errors import MedcalError
from medcal_nb.items import iter_items

_CARRIED = ("dataset", "domain", "item_id", "image_id", "modality", "question_type", "split")


@dataclass
class Summary:
    """What a run did: rows written, items skipped or failed per strategy, with reasons.

    `mixed` names the strategies of which the log held answers of other settings already.
    """

    rows: int = 0
    done_before: int = 0
    mixed: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    not_applicable: dict[tuple[str, str], int] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def lines(self):
        """Return the summary in lines for a reader."""
        rate = f", {self.rows / self.seconds:.0f} a second" if self.seconds and self.rows else ""
        told = [f"{self.rows} answers written in {self.seconds:.1f} s{rate}"]
        if self.done_before:
            told.append(f"{self.done_before} were in the log already")
        if self.mixed:
            told.append(
                f"warning: the log holds answers under {', '.join(self.mixed)} that were asked "
                "with other settings or by another version; they are kept, and a score does not "
                "mark them: ask into a log of its own to keep them apart"
            )
        told += [f"skipped {name}: {reason}" for name, reason in self.skipped.items()]
        for (name, reason), count in self.not_applicable.items():
            told.append(f"skipped {name} for {count} items: {reason}")
        for item_id, reason in list(self.failed.items())[:20]:
            told.append(f"failed {item_id}: {reason}")
        if len(self.failed) > 20:
            told.append(f"… and {len(self.failed) - 20} more items failed")
        if self.failed:
            told.append(
                f"{len(self.failed)} items have no answer under some strategy; the same command "
                "asks them again"
            )
        return told


def ordered_items(frame):
    """The items of a table, questions about one image side by side."""
    items, order = [], {}
    for item in iter_items(frame):
        order.setdefault(item.image_id, len(order))
        if not item.options and item.question_type == "closed":
            item = replace(item, options=("yes", "no"))
        items.append(item)
    return sorted(items, key=lambda item: order[item.image_id])


def shard_of(items, shard):
    """Return the part `shard` = (i, n) of an item list, images kept together, i from 1."""
    part, parts = shard
    if not 1 <= part <= parts:
        raise MedcalError(f"shard {part}/{parts}: the part must be between 1 and {parts}")
    return [
        item
        for item in items
        if int(hashlib.blake2b(str(item.image_id).encode(), digest_size=8).hexdigest(), 16) % parts
        == part - 1
    ]


def _fingerprint(model, dataset, plan):
    """Name the settings that answers depend on; more samples are more of the same."""
    settings = {name: value for name, value in asdict(plan).items() if name != "samples"}
    settings = json.dumps([__version__, model, dataset, settings], sort_keys=True)
    return hashlib.blake2b(settings.encode(), digest_size=6).hexdigest()


def ask(
    backend,
    items,
    strategies,
    *,
    log,
    samples=10,
    temperature=1.0,
    batch_size=64,
    seed=0,
    lettered=False,
    max_new_tokens=None,
    shard=(1, 1),
    workers=1,
    blank=False,
    progress=False,
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
    samples, temperature
        Replies per item of the sampled strategies, and how they are drawn.
    batch_size : int
        Items asked together.
    lettered : bool
        Read option probabilities from letters instead of the options' words.
    max_new_tokens : int, optional
        Lowers the limits of all replies.
    shard : (int, int)
        Part i of n of the items, for several machines.
    workers : int
        Processes that ask batches side by side, for a model on a CPU of several cores; a
        script that starts them needs the guard ``if __name__ == "__main__"``.
    blank : bool
        Show a grey image of the same size in place of each. The rows say nothing of it: keep
        them in a log of their own.
    progress : bool
        Show a progress bar with rate and remaining time on stderr.

    Returns
    -------
    Summary
    """
    if min(samples, batch_size, workers) < 1:
        raise MedcalError("samples, batch size and workers must be at least 1")
    if not temperature > 0:
        raise MedcalError(f"the temperature of samples must be above 0, got {temperature:g}")
    chosen = choose_strategies(strategies)
    datasets = items["dataset"].unique()
    if len(datasets) != 1:
        raise MedcalError(f"one data set at a time: the items are of {len(datasets)}")
    dataset = str(datasets[0])
    plan = Plan(
        dataset=dataset,
        seed=seed,
        samples=samples,
        temperature=temperature,
        lettered=lettered,
        max_new_tokens=max_new_tokens,
    )
    summary = Summary()
    asked = []
    for strategy in chosen:
        reason = strategy.skips(backend.can, backend.cannot)
        if reason:
            summary.skipped[strategy.name] = reason
        else:
            asked.append(strategy)
    run_id = _fingerprint(backend.name, dataset, plan)
    rows = shard_of(ordered_items(items), shard)
    batches = [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
    started = time.perf_counter()
    have = log.keys(model=backend.name, dataset=dataset)
    runs = log.runs(model=backend.name, dataset=dataset)
    summary.mixed = [s.name for s in asked if runs.get(s.name, set()) - {run_id}]
    with _bar(progress, backend.name, rows, asked, plan) as bar:

        def to_do(batch):
            """The pairs of a batch that have to be asked; tells the others to the summary."""
            todo = []
            for item in batch:
                for strategy in asked:
                    reason = strategy.applies(item, plan)
                    n_rows = strategy.rows(plan)
                    if reason:
                        at = (strategy.name, reason)
                        summary.not_applicable[at] = summary.not_applicable.get(at, 0) + 1
                        bar.update(n_rows)
                        continue
                    key = (backend.name, dataset, str(item.item_id), strategy.name)
                    if all((*key, i) in have for i in range(n_rows)):
                        summary.done_before += n_rows
                        bar.update(n_rows)
                    else:
                        todo.append((item, strategy.name))
            return todo

        waiting = ((todo, plan, run_id, blank) for todo in map(to_do, batches) if todo)
        for n_rows, written, failed in _each_batch(backend, waiting, workers):
            summary.failed.update(failed)
            if written:
                summary.rows += log.append(written, if_exists="ignore")
            bar.update(n_rows)
    summary.seconds = time.perf_counter() - started
    return summary


def _bar(progress, name, rows, asked, plan):
    from tqdm import tqdm

    total = len(rows) * sum(strategy.rows(plan) for strategy in asked)
    return tqdm(
        total=total,
        desc=name,
        unit="answer",
        disable=not progress,
        file=sys.stderr,
        smoothing=0.1,
        dynamic_ncols=True,
    )


def _each_batch(backend, waiting, workers):
    """Ask batches, one after another or several at once; yield what each gave."""
    if workers == 1:
        for arguments in waiting:
            yield _ask_batch(backend, *arguments)
        return
    from medcal_nb.ask.workers import Workers

    with Workers(backend, workers) as pool:
        for _, answered in pool.each(_ask_batch, waiting):
            yield answered


def _ask_batch(backend, todo, plan, run_id, blank):
    """Run the programs of a batch to their ends.

    Parameters
    ----------
    todo : list of (Item, str)
        Items, each with the name of a strategy.

    Returns
    -------
    n_rows : int
        Answers asked for.
    rows : list of dict
        Answers.
    reasons : dict of str to str
        Why an item has no answer under some strategy.
    """
    todo = [(item, STRATEGIES[name]) for item, name in todo]
    programs = [(blanked(how) if blank else how).ask(item, plan) for item, how in todo]
    with backend.session() as session:
        ended, failed = run_programs(programs, session.run)
    rows, reasons = [], {}
    for i, (item, strategy) in enumerate(todo):
        if i in failed:
            reasons[str(item.item_id)] = f"{strategy.name}: {failed[i]}"
            continue
        for row in ended[i]:
            rows.append(_finish(row, item, strategy, backend.name, run_id))
    return sum(strategy.rows(plan) for _, strategy in todo), rows, reasons


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
    ended, failed, known = {}, {}, {}
    waiting = {}
    for i, program in enumerate(programs):
        _step(i, program, None, waiting, ended)
    while waiting:
        fresh = list(
            dict.fromkeys(call for calls in waiting.values() for call in calls if call not in known)
        )
        if fresh:
            known.update(zip(fresh, answer(fresh), strict=True))
        now, waiting = waiting, {}
        for i, calls in now.items():
            results = [known[call] for call in calls]
            bad = next((r for r in results if isinstance(r, Failure)), None)
            if bad is not None:
                failed[i] = bad.reason
                programs[i].close()
            else:
                _step(i, programs[i], results, waiting, ended)
    return ended, failed


def _step(i, program, results, waiting, ended):
    try:
        waiting[i] = program.send(results)
    except StopIteration as stop:
        ended[i] = stop.value


def _finish(row, item, strategy, model, run_id):
    """Add to an answer row what it is about, and its grade."""
    done = {"run_id": run_id, "model": model, "strategy": strategy.name, **row}
    for name in _CARRIED:
        done[name] = getattr(item, name)
    gold = list(item.gold) if isinstance(item.gold, tuple) else item.gold
    done["gold"] = gold
    done["correct"] = None
    if row["answer"] is not None:
        options = list(item.options) if item.options else None
        done["correct"] = is_correct(
            row["answer"], gold, question_type=item.question_type, options=options
        )
    done.update((name, value) for name, value in item.extra.items() if name not in done)
    return done


# --- dry run -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shown:
    """A call of a dry run as a reader sees it."""

    strategy: str
    what: str
    text: str
    tokens: int | None


def _stand_in(call, item):
    """A result in the place of a real one, so that a program shows its next call."""
    if isinstance(call, Generate):
        return Reply("<reply>" if not item.options else item.options[0])
    if isinstance(call, Labels):
        share = 1 / len(call.labels)
        return LabelProbabilities(dict.fromkeys(call.labels, share))
    return Similarities((0.0,) * len(call.texts), 1.0)


def _calls_of(strategy, item, plan):
    """List the calls a strategy makes about an item, replies stood in for."""
    calls = []

    def answer(fresh):
        calls.extend(fresh)
        return [_stand_in(call, item) for call in fresh]

    run_programs([strategy.ask(item, plan)], answer)
    return calls


def dry_run(backend, items, strategies, *, plan):
    """Show the exact prompts of the first item, and count calls and tokens for all items.

    Returns
    -------
    shown : list of Shown
        One entry per different prompt; second turns stand after a placeholder reply.
    counts : dict
        ``items``, ``calls`` (as strategies make them), ``distinct_calls`` (after equal ones are
        merged), ``prompt_tokens`` and ``new_tokens_at_most`` over all items, estimated from
        the prompts of the first item of each question type.
    skipped : dict
        Strategy → why it is not asked.
    """
    chosen = choose_strategies(strategies)
    rows = ordered_items(items)
    skipped, asked = {}, []
    for strategy in chosen:
        reason = strategy.skips(backend.can, backend.cannot)
        if reason:
            skipped[strategy.name] = reason
        else:
            asked.append(strategy)
    shown, seen = [], set()
    counts = {"items": len(rows), "calls": 0, "distinct_calls": 0}
    counts |= {"prompt_tokens": 0, "new_tokens_at_most": 0}
    per_type, lengths = {}, {}
    for item in rows:
        kind = item.question_type
        if kind not in per_type:
            per_type[kind] = _costs(backend, item, asked, plan, lengths)
            if not shown:
                for strategy in asked:
                    if strategy.applies(item, plan):
                        continue
                    for call in _calls_of(strategy, item, plan):
                        shown_call = _show(backend, strategy, call, lengths)
                        if shown_call.text not in seen:
                            seen.add(shown_call.text)
                            shown.append(shown_call)
        for name, value in per_type[kind].items():
            counts[name] += value
    return shown, counts, skipped


def _costs(backend, item, asked, plan, lengths):
    calls = [
        call
        for strategy in asked
        if not strategy.applies(item, plan)
        for call in _calls_of(strategy, item, plan)
    ]
    tokens = 0
    for call in calls:
        tokens += _length(backend, call, lengths) or 0
    return {
        "calls": len(calls),
        "distinct_calls": len(set(calls)),
        "prompt_tokens": tokens,
        "new_tokens_at_most": sum(getattr(call, "max_new_tokens", 0) for call in calls),
    }


def _length(backend, call, lengths):
    if isinstance(call, Similarity):
        return None
    if call.prompt not in lengths:
        lengths[call.prompt] = backend.count_tokens(call.prompt)
    return lengths[call.prompt]


def _show(backend, strategy, call, lengths):
    if isinstance(call, Similarity):
        return Shown(strategy.name, "similarity of the image with", "\n".join(call.texts), None)
    text = backend.show(call.prompt)
    change = f" (image: {call.prompt.picture.change})" if call.prompt.picture.change else ""
    if isinstance(call, Labels):
        what = "probabilities of " + ", ".join(call.labels) + change
        text += "\n[" + " | ".join(call.labels) + "]"
    else:
        drawn = f"sampled at temperature {call.temperature:g}" if call.seed else "greedy"
        what = f"reply of at most {call.max_new_tokens} tokens, {drawn}{change}"
        if change or call.seed:
            text += f"\n[{what}]" if change else f"\n[{drawn}]"
    return Shown(strategy.name, what, text, _length(backend, call, lengths))
