"""What this machine has of what the study needs, and how to get what is missing."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from collections.abc import Iterator
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
    """Look at versions, notebooks, weights, memory, device and hub."""
    from medcal_nb.study.context import library_versions
    from medcal_nb.study.profiles import checkout

    yield Finding("Python", "ok", f"{platform.python_version()} at {sys.executable}")
    yield Finding("medcal", "ok", f"{__version__} at {Path(__file__).resolve().parents[1]}")
    told = ", ".join(f"{name} {version}" for name, version in library_versions().items())
    yield Finding("libraries", "ok", told)
    try:
        yield Finding("notebooks", "ok", f"in {checkout() / 'notebooks'}")
    except MedcalError as error:
        yield Finding("notebooks", "missing", str(error))
    yield _weights()
    yield from _machine()
    yield _hub()
    key = "set" if os.environ.get("OPENAI_API_KEY") else "not set"
    yield Finding("endpoint key", "note", f"OPENAI_API_KEY is {key}; hosted endpoints need one")


def _weights() -> Finding:
    """Compare the embedded models with the hashes of their manifest."""
    from medcal_nb.files import file_hash
    from medcal_nb.pocket import pocket_home

    try:
        home = pocket_home()
        listed = json.loads((home / "manifest.json").read_text(encoding="utf-8"))
        files = {home / m / f: digest for m, its in listed.items() for f, digest in its.items()}
        wrong = [f for f, digest in files.items() if not f.is_file() or file_hash(f) != digest]
    except MedcalError as error:
        return Finding("pocket models", "missing", str(error))
    except (OSError, ValueError, AttributeError):
        wrong = [home / "manifest.json"]
    remedy = "`git checkout data/pocket` restores it, `make pocket` makes it again"
    if wrong:
        return Finding("pocket models", "missing", f"{wrong[0]} is absent or damaged: {remedy}")
    return Finding("pocket models", "ok", f"{len(files)} files in {home}, as the manifest says")


def _machine() -> Iterator[Finding]:
    import psutil
    import torch

    memory, free = psutil.virtual_memory(), shutil.disk_usage(Path.cwd()).free / 1e9
    told = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
    told += f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB memory free"
    yield Finding("machine", "ok", told)
    short = ": the study needs 1 GB, free some" if free < 1 else ""
    yield Finding("disk", "missing" if short else "ok", f"{free:.1f} GB free{short}")
    cuda = torch.cuda.is_available()
    none = "none: enough for the pocket models; for profile hub use a machine with one"
    yield Finding("GPU", "ok" if cuda else "note", torch.cuda.get_device_name() if cuda else none)


def _hub() -> Finding:
    import httpx
    from huggingface_hub import constants

    try:
        httpx.head(constants.ENDPOINT, timeout=2)
    except httpx.HTTPError:
        told = f"{constants.ENDPOINT} doesn't answer: only profile hub needs it"
        return Finding("hub", "note", told)
    told = f"{constants.ENDPOINT} answers; cache in {constants.HF_HUB_CACHE}"
    return Finding("hub", "ok", told)
