"""Putting items to a model: programs in lock step or streamed, into a crash-safe log.

Each (item, strategy) is a small program that yields calls. A model on this machine is asked in
batches: all programs of a batch go a round at a time, their calls gathered, equal ones asked once.
A model behind a URL is asked item by item, as many requests under way as it takes. Answers are
appended a batch at a time, in one transaction. What is asked depends on items and settings alone,
so that a killed run, started again, asks what is missing in the same way.
"""

import hashlib
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from itertools import product
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

from medcal_nb.answers import AnswerLog
from medcal_nb.ask.calls import (
    SAMPLE,
    Backend,
    Call,
    Decide,
    Decided,
    Failure,
    Generate,
    LabelProbabilities,
    Labels,
    Outcome,
    Program,
    Reply,
    Result,
    Row,
    Todo,
)
from medcal_nb.ask.strategies import choose_strategies
from medcal_nb.ask.strategy import Plan, Strategy
from medcal_nb.datasets import Item, iter_items
from medcal_nb.errors import MedcalError, printable
from medcal_nb.logs.typed import Decision
from medcal_nb.tables.columns import RULE, columns_of
from medcal_nb.words import is_correct

#: Fields of an item that stand beside its answers.
_CARRIED = columns_of("item")
_MOST_LISTED = 20
#: Methods and samples bring the same answer to a question many times.
_is_correct = lru_cache(maxsize=1 << 14)(is_correct)
#: What names a method's words: it is put to these items.
_EXAMPLES = [
    Item(
        item_id="example",
        image_id="example",
        dataset="example",
        domain="medical",
        modality="ct",
        question_type=kind,
        question="Which side is it?",
        options=options,
        gold="left",
        split="test",
        image=b"",
    )
    for kind, options in (
        ("closed", ("yes", "no")),
        ("choice", ("left", "right")),
        ("open", None),
    )
]


@dataclass
class Summary:
    """What a run did: rows written and there before, items skipped and failed, with reasons.

    `cut` counts, by method, replies that their limit of tokens ended, `refused` questions that were
    refused; `others` replies of a model that a server calls otherwise than the one that was asked.
    """

    rows: int = 0
    done_before: int = 0
    cut: Counter = field(default_factory=Counter)
    others: Counter = field(default_factory=Counter)
    refused: Counter = field(default_factory=Counter)
    skipped: Counter = field(default_factory=Counter)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 where nothing failed, 2 where everything did, else 1."""
        return 0 if not self.failed else 1 if self.rows else 2

    def add(self, other: "Summary") -> None:
        """Add what another run did."""
        for one in fields(self):
            mine = getattr(self, one.name)
            more = getattr(other, one.name)
            both = mine | more if one.name == "failed" else mine + more
            setattr(self, one.name, both)

    def lines(self) -> list[str]:
        """Return the summary in lines for a reader."""
        lines = [
            f"{self.rows} answers written, {self.done_before} were in the log already"
        ]
        for (name, reason), n in self.skipped.items():
            lines.append(f"skipped {name} for {n} items: {reason}")
        for name, n in self.cut.items():
            lines.append(
                f"{n} replies under {name} were cut by the limit of tokens: what is not whole in "
                "them is no answer (--max-new-tokens)"
            )
        for name, n in self.refused.items():
            lines.append(
                f"{n} questions were refused under {name}: they have no answer"
            )
        for name, n in self.others.items():
            lines.append(f"{n} replies came from {name}: column answered_by")
        for item, why in [*self.failed.items()][:_MOST_LISTED]:
            lines.append(f"failed {item}: {why}")
        if self.failed:
            lines.append(
                f"{len(self.failed)} items lack answers: the same command asks them again"
            )
        return lines


def ordered_items(frame: pd.DataFrame) -> list[Item]:
    """The items of a table, questions about one image side by side."""
    order = frame["image_id"].factorize()[0].argsort(kind="stable")
    return list(iter_items(frame.iloc[order]))


def shard_of(items: list[Item], shard: tuple[int, int]) -> list[Item]:
    """Return the part `shard` = (i, n) of an item list, images kept together, i from 1."""
    part, parts = shard
    return [
        item
        for item in items
        if zlib.crc32(str(item.image_id).encode()) % parts == part - 1
    ]


def fingerprint(backend: Backend, how: Strategy, plan: Plan) -> str:
    """Name all that an answer depends on beside its item: model, revision, words, settings.

    More samples are more of the same. A method's words are those that it puts to a model about
    three example items: a comment, or a new method beside it, changes none.
    """
    settings = replace(plan, samples=1)
    parts: list[Any] = [backend.name, backend.revision, how.name, settings]
    parts += [_words(how, item, settings) for item in _EXAMPLES]
    return hashlib.blake2b(repr(parts).encode(), digest_size=6).hexdigest()


def _words(how: Strategy, item: Item, plan: Plan) -> list[Any]:
    """What a method puts to a model about an item, and what it reads in fixed replies."""
    if reason := how.applies(item, plan):
        return [reason]
    calls, rows = calls_of(how, item, plan)
    return calls + [(row["answer"], row["confidence"]) for row in rows]


def calls_of(how: Strategy, item: Item, plan: Plan) -> tuple[list[Call], list[Row]]:
    """Return all that a method asks about an item, and its rows, every reply the same."""
    asked: list[Call] = []
    program = how.ask(item, plan)
    calls = next(program)
    while True:
        asked += calls
        try:
            calls = program.send([_example_result(call) for call in calls])
        except StopIteration as stop:
            return asked, stop.value


def _example_result(call: Call) -> Result:
    """The same for every call of its kind."""
    if isinstance(call, Generate):
        return Reply("Answer: left\nConfidence: 80%", -1.0, 9, 9)
    if isinstance(call, Decide):
        shares = dict.fromkeys(call.options, 1 / len(call.options))
        return Decided(Decision(call.options[0], shares))
    names = call.labels if isinstance(call, Labels) else call.texts
    return LabelProbabilities(dict.fromkeys(names, 1 / len(names)))


def ask(
    backend: Backend,
    items: pd.DataFrame,
    strategies: str | list[str] | list[Strategy],
    *,
    log: AnswerLog,
    batch_size: int = 64,
    shard: tuple[int, int] = (1, 1),
    progress: bool = False,
    **plan: Any,
) -> Summary:
    """Ask a model about items under several strategies and write the answers to a log.

    What the log holds already is not asked again. Sampled replies depend on `seed`, item and
    sample alone. An item that fails (damaged image, server down) is reported and has no row.

    Parameters
    ----------
    backend : Backend
        As :func:`medcal_nb.ask.models.resolve_model` returns it.
    items : DataFrame
        The items of one data set, a row a question: ``item_id``, ``image_id``, ``dataset``,
        ``domain``, ``modality``, ``question_type`` ("closed", "choice" or "open"), ``question``,
        ``options``, ``gold``, ``split`` and ``image`` (bytes of an image, or its path).
    strategies : str, list of str or of Strategy
        Names, ``"a,b"`` or ``"all"``.
    log : AnswerLog
        Where answers go, one transaction per batch.
    batch_size : int
        Items asked together, or written together.
    shard : (int, int)
        Part i of n of the items, for several machines.
    progress : bool
        Show a progress bar with rate and remaining time on stderr.
    **plan
        Settings of :class:`medcal_nb.ask.strategies.Plan`: ``samples``, ``temperature``, ``seed``,
        ``lettered`` and ``max_new_tokens``.

    Returns
    -------
    Summary

    Raises
    ------
    MedcalError
        When the log holds answers of the same model to the same items that were asked in another
        way.
    """
    if items.empty:
        return Summary()
    dataset, *others = items["dataset"].unique()
    if others:
        raise MedcalError(f"one data set at a time: the items are also of {others[0]}")
    run = Run(backend, strategies, Plan(dataset=str(dataset), **plan), log)
    rows = shard_of(ordered_items(items), shard)
    parts = [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
    batches = tqdm(parts, printable(backend.name), unit="batch", disable=not progress)
    with closing(backend.stream(run.begun(batches))) as answered:
        for todo, outcomes in answered:
            run.write(todo, outcomes)
    return run.summary


class Run:
    """What is to be asked, what has been, and the rows in between."""

    def __init__(
        self,
        backend: Backend,
        strategies: str | list[str] | list[Strategy],
        plan: Plan,
        log: AnswerLog,
    ) -> None:
        self.backend = backend
        self.plan = plan
        self.log = log
        model = backend.name
        self.asked = choose_strategies(strategies)
        self.summary = Summary()
        have = log.keys(model=model, dataset=plan.dataset)
        self.have = Counter((item_id, name) for _, _, item_id, name, _ in have)
        self.run_ids = {how.name: fingerprint(backend, how, plan) for how in self.asked}
        for name, run_id in log.runs(model=model, dataset=plan.dataset):
            if self.run_ids.get(name, run_id) != run_id:
                raise MedcalError(
                    f"{log.path}: holds answers of {model} under {name} that were asked "
                    "with other settings, words or weights: name another log for these"
                )

    def begun(
        self, batches: Iterable[list[Item]]
    ) -> Iterator[tuple[Todo, list[Program]]]:
        """Begin what has to be asked of each batch; the rest goes to the summary."""
        for batch in batches:
            todo = [pair for pair in product(batch, self.asked) if self._is_due(*pair)]
            if todo:
                yield todo, [how.ask(item, self.plan) for item, how in todo]

    def _is_due(self, item: Item, how: Strategy) -> bool:
        if reason := how.skips(self.backend) or how.applies(item, self.plan):
            self.summary.skipped[how.name, reason] += 1
            return False
        n_there = self.have[str(item.item_id), how.name]
        # replies that are not sampled are written all at once
        is_there = n_there >= (self.plan.samples if SAMPLE in how.needs else 1)
        self.summary.done_before += n_there if is_there else 0
        return not is_there

    def write(self, todo: Todo, outcomes: list[Outcome]) -> None:
        """Grade the rows that programs returned, and append them; note what failed."""
        rows: list[Row] = []
        for (item, how), outcome in zip(todo, outcomes, strict=True):
            if isinstance(outcome, Failure):
                self.summary.failed[str(item.item_id)] = f"{how.name}: {outcome.reason}"
            else:
                rows += [self._finished(row, item, how.name) for row in outcome]
        self.summary.rows += self.log.append(rows, if_exists="ignore")

    def _finished(self, row: Row, item: Item, name: str) -> Row:
        """Add to an answer row what it is about, its grade and where it comes from."""
        options = row.pop("options", item.options)
        if n_cut := row.pop("n_cut"):
            self.summary.cut[name] += n_cut
        if row.get("refused"):
            self.summary.refused[name] += 1
        other = row.get("answered_by") or self.backend.name
        if other != self.backend.name:
            self.summary.others[other] += 1
        kind = item.question_type if options == item.options else "choice"
        about = {column: getattr(item, column) for column in _CARRIED} | row
        answer = about["answer"], about["gold"]
        correct = _is_correct(*answer, kind, options and tuple(options))
        by = {"strategy": name, "model": self.backend.name}
        by["run_id"] = self.run_ids[name]
        extra = self.backend.provenance | item.extra
        extra.pop("about", None)  # the row says whose answer it is
        if "image_file" in extra:  # of one's own: shown to whoever grades the answer
            extra |= {"question": item.question, "image": extra.pop("image_file")}
        # an answer of another model has its grade already
        return extra | {"grade_from": RULE, "correct": correct} | about | by
