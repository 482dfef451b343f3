"""Programs a round at a time: how a model on this machine is asked, batch by batch."""

from collections.abc import Callable, Sequence
from typing import Any

from medcal_nb.ask.calls import Call, Failure, Outcome, Program, Result


def run_programs(
    programs: list[Program],
    answer: Callable[[list[Any]], Sequence[Result | Failure]],
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
