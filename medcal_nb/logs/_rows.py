"""What the readers share: looking into loosely typed JSON without falling over it."""

import math
import re
from pathlib import Path

from medcal_nb.errors import MedcalError


def broken(path, row, what) -> MedcalError:
    """A row that is not what the format says."""
    place = f"row {row}: " if row is not None else ""
    return MedcalError(
        f"{path}: {place}{what}; not the format this reader knows: export it anew, "
        "or import it as a table with --reader table"
    )


def need(mapping, key, path, row, kind=None):
    """A value that the format promises."""
    if not isinstance(mapping, dict) or key not in mapping:
        raise broken(path, row, f"no '{key}'")
    value = mapping[key]
    if kind is not None and not isinstance(value, kind):
        raise broken(path, row, f"'{key}' is {str(value)[:40]!r}")
    return value


def number(value) -> float | None:
    """A finite float from a number or its text, else None."""
    if isinstance(value, bool):
        return float(value)
    try:
        value = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None


def flag(value) -> bool | None:
    """True or False from a boolean, 0 or 1; None from anything else."""
    value = number(value)
    return bool(value) if value in (0.0, 1.0) else None


def softmax(scores: list[float]) -> list[float]:
    """Probabilities from log-likelihoods."""
    top = max(scores)
    weights = [math.exp(s - top) for s in scores]
    total = sum(weights)
    return [w / total for w in weights]


def model_from_folder(path: Path, pattern: str) -> tuple[str | None, str | None]:
    """(model, task) where a tool writes ``<model>/<file naming the task>``."""
    match = re.fullmatch(pattern, path.name)
    if match is None:
        return None, None
    folder = path.resolve().parent.name
    return folder.replace("__", "/") or None, match["task"]
