"""What this machine has of what the study needs, and how to get what is missing."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from medcal_nb import __version__
from medcal_nb.errors import MedcalError


class Finding(NamedTuple):
    """One thing looked at: what, "ok", "note" or "missing", and how to get what is not there.

    ``missing`` is what the default study needs; ``note`` what only some uses need.
    """

    topic: str
    state: str
    told: str


def examine() -> Iterator[Finding]:
    """Look at versions, notebooks, models, memory, disk and GPU."""
    import psutil
    import torch

    from medcal_nb.study.context import library_versions
    from medcal_nb.study.profiles import checkout

    package = Path(__file__).resolve().parents[1]
    yield Finding("medcal", "ok", f"{__version__} at {package}, by {sys.executable}")
    told = ", ".join(f"{name} {version}" for name, version in library_versions().items())
    yield Finding("libraries", "ok", told)
    yield _tried("notebooks", checkout)
    yield _tried("pocket models", _models)
    memory, disk = psutil.virtual_memory(), shutil.disk_usage(Path.cwd()).free
    told = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
    told += f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB memory free"
    yield Finding("machine", "ok", told)
    told = f"{disk / 1e9:.1f} GB free; the study needs 1 GB"
    yield Finding("disk", "ok" if disk > 1e9 else "missing", told)
    if torch.cuda.is_available():
        yield Finding("GPU", "ok", torch.cuda.get_device_name())
    else:
        yield Finding("GPU", "note", "none: enough for the pocket models; profile hub needs one")


def _tried(topic: str, look: Callable[[], Path]) -> Finding:
    try:
        return Finding(topic, "ok", f"in {look()}")
    except MedcalError as error:
        return Finding(topic, "missing", str(error))


def _models() -> Path:
    """Check every file of the pocket models, and return their folder."""
    from medcal_nb.pocket import list_pocket, pocket_dir, pocket_home

    for name in list_pocket():
        pocket_dir(name)
    return pocket_home()
