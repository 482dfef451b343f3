"""What this machine has of what the study needs, and how to get what is missing."""

import os
import platform
import sys
from collections.abc import Iterator

from medcal_nb.errors import MedcalError


def examine() -> Iterator[tuple[str, str, str]]:
    """Look at versions, notebooks, models and the machine.

    Yields
    ------
    tuple of str
        What was looked at; "ok" or "missing"; and what to know.
    """
    import torch

    from medcal_nb.pocket import list_pocket, pocket_dir, pocket_home
    from medcal_nb.study.context import library_versions
    from medcal_nb.study.profiles import checkout

    def models():
        for name in list_pocket():
            pocket_dir(name)  # checks its files
        return pocket_home()

    versions = ", ".join(map(" ".join, library_versions().items()))
    yield "libraries", "ok", f"{versions}, by {sys.executable}"
    for topic, find in (("notebooks", checkout), ("pocket models", models)):
        try:
            yield topic, "ok", f"in {find()}"
        except MedcalError as error:
            yield topic, "missing", str(error)
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU: hub needs one"
    yield "machine", "ok", f"{platform.platform()}, {os.cpu_count()} cores, {gpu}"
