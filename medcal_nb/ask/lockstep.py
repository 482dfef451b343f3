"""Programs a round at a time: how a model on this machine is asked, batch by batch."""

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from medcal_nb.ask.calls import Call, Failure, Outcome, Program, Result, Todo


class Session(Protocol):
    """What the rounds of a batch share."""

    def run(self, calls: list[Any]) -> Sequence[Result | Failure]:
        """Answer calls of those kinds that the model can be asked, in order."""
        ...


def in_lock_step(
    session: Callable[[], AbstractContextManager[Session]],
    batches: Iterable[tuple[Todo, list[Program]]],
) -> Generator[tuple[Todo, list[Outcome]], None, None]:
    """Run the programs of one batch after another, each batch in a session of its own.

    Parameters
    ----------
    session : callable
        Opens a `Session`, as a context manager.
    batches : iterable of (list of (Item, Strategy), list of programs)

    Yields
    ------
    (list, list)
        What was to do of a batch, and what became of it.
    """
    for todo, programs in batches:
        with session() as opened:
            yield todo, run_programs(programs, opened.run)


def run_programs(
    programs: list[Program],
    answer: Callable[[list[Call]], Sequence[Result | Failure]],
) -> list[Outcome]:
    """Drive generator programs in lock step.

    Parameters
    ----------
    programs : list of generators
        Each yields lists of calls, is sent lists of results, and returns its value.
    answer : callable
        Calls → results, in order. Equal calls are passed once a round.

    Returns
    -------
    list
        What each program returned, or the `Failure` for which it could not go on.
    """
    outcomes: dict[int, Outcome] = {}
    known: dict[Call, Result | Failure] = {}
    waiting = {i: next(program) for i, program in enumerate(programs)}
    while waiting:
        asked = dict.fromkeys(call for calls in waiting.values() for call in calls)
        fresh = [call for call in asked if call not in known]
        known.update(zip(fresh, answer(fresh), strict=True))
        now = waiting
        waiting = {}
        for i, calls in now.items():
            results = [known[call] for call in calls]
            if failures := [one for one in results if isinstance(one, Failure)]:
                outcomes[i] = failures[0]
                continue
            try:
                waiting[i] = programs[i].send(results)
            except StopIteration as stop:
                outcomes[i] = stop.value
    return [outcomes[i] for i in range(len(programs))]
