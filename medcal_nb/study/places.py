"""Where things are, found from the package and never from the working directory."""

import json
import os
from pathlib import Path

from medcal_nb.errors import MedcalError


def checkout() -> Path:
    """Return the folder that holds ``notebooks/``: ``$MEDCAL_ROOT``, or the package's parent.

    Raises
    ------
    MedcalError
        If there are no notebooks there, as for a package installed from a wheel.
    """
    told = os.environ.get("MEDCAL_ROOT")
    root = Path(told).resolve() if told else Path(__file__).resolve().parents[2]
    if not (root / "notebooks").is_dir():
        where = "MEDCAL_ROOT" if told else "the installed package"
        raise MedcalError(
            f"no notebooks/ beside {where} ({root}): clone the repository and "
            "`pip install -e` it, or set MEDCAL_ROOT to the clone"
        )
    return root


def build_folder(root: Path, profile: str, *, fast: bool) -> Path:
    """Return the git-ignored folder of a profile's derived files: ``build[/fast]/<profile>``."""
    return root / "build" / "fast" / profile if fast else root / "build" / profile


def figures_folder(root: Path, profile: str, *, fast: bool) -> Path:
    """Return where a study publishes: ``figures`` for the full pocket study, else in ``build``."""
    if profile == "pocket" and not fast:
        return root / "figures"
    return build_folder(root, profile, fast=fast) / "figures"


def answers_file(root: Path, profile: str, *, fast: bool) -> Path:
    """Return the answers log that a profile's asking notebook fills."""
    return build_folder(root, profile, fast=fast) / "answers.sqlite"


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
    strange = ""
    try:
        jobs = json.loads(note_beside(answers).read_text(encoding="utf-8"))["jobs"]
        strange = _strangers(answers, {job["model"] for job in jobs})
    except (OSError, ValueError, KeyError, TypeError):
        strange = "answers"
    if strange:
        raise MedcalError(
            f"{answers}: holds {strange} that this study did not ask for, and asking would alter "
            f"it: to study it as it is, `medcal study --profile imported --answers {answers}`; "
            "to ask, give --answers the name of a new file"
        )


def _strangers(answers: Path, models: set[str]) -> str:
    from medcal_nb.answers import AnswerLog

    with AnswerLog(answers, read_only=True) as log:
        for frame in log.iter_frames(["model"], ordered=False):
            if others := set(frame["model"]) - models:
                return f"answers of {min(others)}"
    return ""
