"""Which answers logs the study made itself: a note beside each says what from."""

import contextlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from medcal_nb.answers.log import AnswerLog
from medcal_nb.errors import MedcalError


def note_beside(answers: Path) -> Path:
    """Return the note beside a log that says what the study made it from."""
    return answers.with_name(answers.name + ".made-from.json")


def check_own_log(answers: Path) -> None:
    """Refuse to ask into a file of answers that the study did not make, before it is touched.

    Ours is a log whose note lies beside it and names every model, data set and strategy that the
    log holds: rows that were imported or asked into it by other commands are not the study's to
    begin anew.

    Raises
    ------
    MedcalError
        If there is a file with other answers; nothing beside it has been opened or written then.
    """
    if not answers.exists():
        return
    others: set[tuple[str, ...]] = set()
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        jobs = json.loads(note_beside(answers).read_text(encoding="utf-8"))["jobs"]
        asked = _asked(jobs)
        with AnswerLog(answers, read_only=True) as log:
            keys = log.keys()
        held = {(model, dataset, strategy) for model, dataset, _, strategy, _ in keys}
        others = held - asked
        if not others:
            return
    example = f", such as {', '.join(min(others))}" if others else ""
    raise MedcalError(
        f"{answers}: holds answers that this study did not ask for{example}, and asking would "
        f"alter it: to study it as it is, `medcal study --profile imported --answers {answers}`; "
        "to ask, give --answers the name of a new file"
    )


def _asked(jobs: Iterable[Mapping[str, Any]]) -> set[tuple[str, str, str]]:
    """Return model, data set and strategy of all that a study has asked for."""
    asked = set()
    for job in jobs:
        names = {job["model"], job.get("options", {}).get("served_as") or job["model"]}
        for model in names:
            for strategy in job["strategies"]:
                asked.add((model, job["dataset"], strategy))
    return asked
