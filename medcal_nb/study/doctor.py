"""What this machine has of what the study needs, and how to get what is missing."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from medcal_nb import __version__
from medcal_nb.errors import MedcalError

_GIGABYTE = 1e9


class Finding(NamedTuple):
    """One thing looked at: what, "ok", "note" or "missing", and how to get what is not there.

    ``missing`` is what the default study needs; ``note`` what only some uses need.
    """

    topic: str
    state: str
    told: str


def examine() -> Iterator[Finding]:
    """Look at versions, notebooks, weights, answers, memory, device, hub and browser."""
    from medcal_nb.study.context import LIBRARIES, library_versions

    old = sys.version_info < (3, 11)
    told = f"{platform.python_version()} at {sys.executable}{': 3.11 or newer is needed' * old}"
    yield Finding("Python", "missing" if old else "ok", told)
    yield Finding("medcal", "ok", f"{__version__} at {Path(__file__).resolve().parents[1]}")
    found = library_versions()
    yield Finding("libraries", "ok", ", ".join(f"{k} {v}" for k, v in found.items()))
    modules = ("papermill", "ipykernel", "nbconvert", "pytask", "pytask_parallel")
    absent = [name for name in LIBRARIES if name not in found]
    for name in [*absent, *(module for module in modules if find_spec(module) is None)]:
        yield Finding(name, "missing", "not installed: run `make setup` or `pip install -e .`")
    yield from _checkout()
    yield _weights()
    yield from _machine()
    yield _hub()
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    ok = browser and find_spec("playwright") is not None
    remedy = "only the browser tests need it and playwright: `make browser`, `make setup`"
    yield Finding("browser", "ok" if ok else "note", browser if ok else remedy)
    key = "set" if os.environ.get("OPENAI_API_KEY") else "not set"
    yield Finding("endpoint key", "note", f"OPENAI_API_KEY is {key}; hosted endpoints need one")


def _checkout() -> Iterator[Finding]:
    from medcal_nb.study.notebooks import find_notebooks
    from medcal_nb.study.places import checkout

    try:
        root = checkout()
        count = len(find_notebooks(root / "notebooks"))
        yield Finding("notebooks", "ok", f"{count} in {root / 'notebooks'}")
        logs = [str(log.relative_to(root)) for log in root.glob("build/**/answers.sqlite")]
        asked = ", ".join(sorted(logs)) or "none yet: `medcal study` asks the pocket models"
        yield Finding("answers", "ok" if logs else "note", asked)
    except MedcalError as error:
        yield Finding("notebooks", "missing", str(error))


def _weights() -> Finding:
    """Compare the embedded models with the hashes of their manifest."""
    from medcal_nb.pocket import pocket_home
    from medcal_nb.study.hashing import file_hash

    remedy = "restore it with `git checkout data/pocket`, or set MEDCAL_POCKET to its folder"
    try:
        home = pocket_home()
        listed = json.loads((home / "manifest.json").read_text(encoding="utf-8"))
        files = {home / m / f: digest for m, its in listed.items() for f, digest in its.items()}
        wrong = [f for f, digest in files.items() if not f.is_file() or file_hash(f) != digest]
    except MedcalError as error:
        return Finding("pocket models", "missing", str(error))
    except (OSError, ValueError, AttributeError):
        wrong = [home / "manifest.json"]
    if wrong:
        return Finding("pocket models", "missing", f"{wrong[0]} is absent or damaged: {remedy}")
    return Finding("pocket models", "ok", f"{len(files)} files in {home}, as the manifest says")


def _machine() -> Iterator[Finding]:
    import psutil
    import torch

    memory, free = psutil.virtual_memory(), shutil.disk_usage(Path.cwd()).free / _GIGABYTE
    told = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
    told += f"{memory.available / _GIGABYTE:.1f} of {memory.total / _GIGABYTE:.1f} GB memory free"
    yield Finding("machine", "ok", told)
    short = ": the study needs 1 GB, free some" if free < 1 else ""
    yield Finding("disk", "missing" if short else "ok", f"{free:.1f} GB free{short}")
    cuda = torch.cuda.is_available()
    none = "none: enough for the pocket models; for profile hub use a machine with one"
    yield Finding("GPU", "ok" if cuda else "note", torch.cuda.get_device_name() if cuda else none)


def _hub() -> Finding:
    import socket

    from huggingface_hub import constants

    host = constants.ENDPOINT.split("//")[-1].split("/")[0]
    name, _, port = host.partition(":")
    try:
        socket.create_connection((name, int(port or 443)), timeout=2).close()
    except OSError:
        told = f"{host} doesn't answer: the pocket study needs no network, profile hub does"
        return Finding("hub", "note", told)
    return Finding("hub", "ok", f"{host} answers; cache in {constants.HF_HUB_CACHE}")
