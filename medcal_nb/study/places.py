"""Where things are, found from the package and never from the working directory."""

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
        raise MedcalError(
            f"no notebooks/ in {root}: clone the repository and `pip install -e` it, or set "
            "MEDCAL_ROOT to the clone"
        )
    return root


def build_folder(root: Path, profile: str, *, fast: bool) -> Path:
    """Return the git-ignored folder of a profile's derived files: ``build[/fast]/<profile>``."""
    return root / "build" / ("fast" if fast else "") / profile


def figures_folder(root: Path, profile: str, *, fast: bool) -> Path:
    """Return where a study publishes: ``figures`` for the full pocket study, else in ``build``.

    Studies of recorded real models publish in ``figures/real`` and ``figures/logits``.
    """
    if not fast and profile in ("pocket", "real", "logits"):
        return root / "figures" / ("" if profile == "pocket" else profile)
    return build_folder(root, profile, fast=fast) / "figures"


def answers_file(root: Path, profile: str, *, fast: bool) -> Path:
    """Return the answers log that a profile's asking notebook fills."""
    return build_folder(root, profile, fast=fast) / "answers.sqlite"
