"""Which of a log's metrics says whether an answer is right."""

from collections.abc import Mapping
from typing import Any

from medcal_nb.errors import MedcalError

from .nested import at, flag

_INNER = ("score", "correct", "acc")
"""Members of a metric that is an object which may hold its value."""


def grade(
    metrics: Mapping, where: str, *, wanted: str | None = None, main: str | None = None
) -> bool | None:
    """Whether an answer is right, by the one metric that may say so.

    That is the metric which the user names, else the one that the format names as its main one,
    else the only one. Several metrics are one where they agree: each says right, or each wrong.

    Parameters
    ----------
    metrics : mapping
        The metrics of one answer by name: truth values, 0 or 1, or objects that hold one.
    where : str
        Name of the file, for the message.
    wanted : str, optional
        The metric that the user named by ``--grade``.
    main : str, optional
        The metric that the format names as its main one.

    Returns
    -------
    bool or None
        None where there is no metric, or where it says neither right nor wrong (0.5).

    Raises
    ------
    MedcalError
        Where several metrics differ, or where there is none of the name wanted.

    Examples
    --------
    >>> grade({"extract_fail": 0, "score": 1}, "a.jsonl", wanted="score")
    True
    """
    if not metrics:
        return None
    names = ", ".join(sorted(map(str, metrics)))
    if wanted is not None:
        if wanted not in metrics:
            raise MedcalError(
                f"{where}: no metric '{wanted}' (--grade); there are {names}"
            )
        return says_right(metrics[wanted])
    if main in metrics:
        return says_right(metrics[main])
    verdicts = {says_right(value) for value in metrics.values()}
    if len(verdicts) > 1:
        raise MedcalError(
            f"{where}: several metrics may say what is right, and they differ: {names}; name "
            "the one that does by --grade NAME"
        )
    return verdicts.pop()


def says_right(value: Any) -> bool | None:
    """What one metric says: right, wrong, or neither."""
    for candidate in (value, *(at(value, name) for name in _INNER)):
        verdict = flag(candidate)
        if verdict is not None:
            return verdict
    answer = at(value, "parsed_pred") or at(value, "pred")
    gold = at(value, "answer")
    if answer and gold:
        return answer.strip().casefold() == gold.strip().casefold()
    return None
