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
    waiting: dict[int, list[Call]] = {}

    def go_on(i: int, results: list[Any] | None) -> None:
        """Send a program its results; note what it asks next, or what became of it."""
        try:
            waiting[i] = (
                next(programs[i]) if results is None else programs[i].send(results)
            )
        except StopIteration as stop:
            outcomes[i] = stop.value
        except Exception as error:  # of a parser: that item's failure
            outcomes[i] = Failure.of(error)

    for i in range(len(programs)):
        go_on(i, None)
    while waiting:
        asked = dict.fromkeys(call for calls in waiting.values() for call in calls)
        fresh = [call for call in asked if call not in known]
        known.update(zip(fresh, answer(fresh), strict=True))
        now = dict(waiting)
        waiting.clear()
        for i, calls in now.items():
            results = [known[call] for call in calls]
            if failures := [one for one in results if isinstance(one, Failure)]:
                outcomes[i] = failures[0]
            else:
                go_on(i, results)
    return [outcomes[i] for i in range(len(programs))]
