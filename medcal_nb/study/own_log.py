"""Which answers logs the study made itself: a note beside each says what from."""

import contextlib
import json
from pathlib import Path

from medcal_nb.answers.log import AnswerLog
from medcal_nb.errors import MedcalError


def note_beside(answers: Path) -> Path:
    """Return the note beside a log that says what the study made it from."""
    return answers.with_name(answers.name + ".made-from.json")


def check_own_log(answers: Path) -> None:
    """Refuse to ask into a file of answers that the study did not make, before it is touched.

    Ours is a log whose note lies beside it and names every model that the log holds.

    Raises
    ------
    MedcalError
        If there is a file of other answers; nothing beside it has been opened or written then.
    """
    if not answers.exists():
        return
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        jobs = json.loads(note_beside(answers).read_text(encoding="utf-8"))["jobs"]
        named = {job["model"] for job in jobs}
        named |= {job.get("options", {}).get("served_as") for job in jobs}
        with AnswerLog(answers, read_only=True) as log:
            keys = log.keys()
        if {model for model, *_ in keys} <= named:
            return
    raise MedcalError(
        f"{answers}: holds answers that this study did not ask for, and asking would alter it: "
        f"to study it as it is, `medcal study --profile imported --answers {answers}`; "
        "to ask, give --answers the name of a new file"
    )
