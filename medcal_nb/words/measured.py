"""How often the grader errs, as counted once on replies by another hand: `bench.json`."""

import json
from pathlib import Path

_COUNTS: dict[str, tuple[int, int]] = json.loads(
    Path(__file__).with_name("bench.json").read_text(encoding="utf-8")
)


def bench_sentence() -> str:
    """Say how many of 1,000 hard replies the grader decides, and in how many it errs.

    An error is a wrong verdict, or one where a careful person decides nothing.

    Returns
    -------
    str
        A sentence with the counts of `docs/grader.md`.

    Examples
    --------
    >>> bench_sentence().startswith("Of 1,000 hard replies this grader decides ")
    True
    """
    decided, n = _COUNTS["decided"]
    _, decidable = _COUNTS["decided where decidable"]
    wrong, _ = _COUNTS["wrong verdicts"]
    unfounded, _ = _COUNTS["decided though not decidable"]
    by_grader, errors, by_hand = (
        1000 * k / n for k in (decided, wrong + unfounded, decidable)
    )
    return (
        f"Of 1,000 hard replies this grader decides {by_grader:.0f} and errs in {errors:.0f}; "
        f"a careful person decides {by_hand:.0f} "
        f"(counted on {n:,} that were written without sight of its rules; docs/grader.md)."
    )
