"""What this machine has of what the study needs, and how to get what is missing."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from medcal_nb import __version__
from medcal_nb.errors import MedcalError

GIGABYTE = 1e9


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    Attributes
    ----------
    topic : str
        What was looked at.
    state : {"ok", "note", "missing"}
        ``missing`` for what the default study needs; ``note`` for what only some uses need.
    told : str
        What was found and, where it is not there, how to get it.
    """

    topic: str
    state: str
    told: str


def examine() -> Iterator[Finding]:
    """Look at versions, device, disk, cache, hub access, weights, answers and browser."""
    yield from _software()
    yield from _checkout()
    yield from _models()
    yield from _machine()
    yield from _device()
    yield from _hub()
    yield from _extras()


def _software() -> Iterator[Finding]:
    from medcal_nb.study.context import LIBRARIES, library_versions

    old = sys.version_info < (3, 11)
    yield Finding(
        "Python",
        "missing" if old else "ok",
        f"{platform.python_version()} at {sys.executable}" + (": 3.11 or newer is needed" * old),
    )
    yield Finding("medcal", "ok", f"{__version__} at {Path(__file__).resolve().parents[1]}")
    found = library_versions()
    absent = [name for name in LIBRARIES if name not in found]
    told = ", ".join(f"{name} {number}" for name, number in found.items() if name != "python")
    yield Finding("libraries", "ok", told)
    for name in absent:
        yield Finding(name, "missing", "not installed: run `make setup` or `pip install -e .`")
    for module in ("papermill", "ipykernel", "nbconvert"):
        if find_spec(module) is None:
            yield Finding(module, "missing", "not installed: run `make setup`")


def _checkout() -> Iterator[Finding]:
    from medcal_nb.study.graph import find_notebooks
    from medcal_nb.study.places import checkout

    try:
        root = checkout()
        count = len(find_notebooks(root / "notebooks"))
        yield Finding("notebooks", "ok", f"{count} in {root / 'notebooks'}")
    except MedcalError as error:
        yield Finding("notebooks", "missing", str(error))
        return
    logs = sorted(root.glob("build/**/answers.sqlite"))
    for log in logs:
        yield Finding("answers", "ok", f"{log.relative_to(root)}, {_size(log)}")
    if not logs:
        yield Finding("answers", "note", "none yet: `medcal study` asks the pocket models")


def _models() -> Iterator[Finding]:
    from medcal_nb.pocket import pocket_home

    try:
        yield from _weights(pocket_home())
    except MedcalError as error:
        yield Finding("pocket models", "missing", str(error))


def _weights(folder: Path) -> Iterator[Finding]:
    import json

    from medcal_nb.study.hashing import file_hash

    manifest = folder / "manifest.json"
    remedy = "restore it with `git checkout data/pocket`, or make it again with `make pocket`"
    if not manifest.is_file():
        yield Finding("pocket models", "missing", f"no {manifest}: {remedy}")
        return
    try:
        listed = dict(_hashes(json.loads(manifest.read_text(encoding="utf-8"))))
    except ValueError:
        yield Finding("pocket models", "missing", f"{manifest} is damaged: {remedy}")
        return
    wrong = [
        name
        for name, digest in listed.items()
        if not (folder / name).is_file() or file_hash(folder / name) != digest
    ]
    for name in wrong:
        yield Finding("pocket models", "missing", f"{folder / name} is absent or damaged: {remedy}")
    if not wrong:
        yield Finding(
            "pocket models", "ok", f"{len(listed)} files in {folder}, as the manifest says"
        )


def _hashes(node: object, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield (file, SHA-256) of a manifest, however its files are grouped."""
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        if isinstance(value, str) and len(value) == 64 and "." in key:
            yield f"{prefix}{key}", value
        elif isinstance(value, dict):
            named = key if key not in ("models", "files", "sha256") else ""
            yield from _hashes(value, f"{prefix}{named}/" if named else prefix)


def _machine() -> Iterator[Finding]:
    import psutil

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = psutil.virtual_memory()
    yield Finding(
        "machine",
        "ok",
        f"{platform.system()} {platform.machine()}, {cores} cores, "
        f"{memory.available / GIGABYTE:.1f} of {memory.total / GIGABYTE:.1f} GB memory free",
    )
    free = shutil.disk_usage(Path(__file__).parent).free / GIGABYTE
    yield Finding(
        "disk",
        "ok" if free > 1 else "missing",
        f"{free:.1f} GB free" + ("" if free > 1 else ": the study needs 1 GB, free some"),
    )


def _device() -> Iterator[Finding]:
    try:
        import torch
    except ImportError:
        return
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            card = torch.cuda.get_device_properties(index)
            yield Finding("GPU", "ok", f"{card.name}, {card.total_memory / GIGABYTE:.0f} GB")
    elif getattr(torch.backends, "mps", None) and torch.backends.mps.is_available():
        yield Finding("GPU", "ok", "Apple, through Metal")
    else:
        yield Finding(
            "GPU",
            "note",
            "none: enough for the pocket models; for profile hub use a machine with one, or "
            "profile served",
        )


def _hub() -> Iterator[Finding]:
    from huggingface_hub import constants, get_token

    cache = Path(constants.HF_HUB_CACHE)
    place = next(folder for folder in (cache, *cache.parents) if folder.is_dir())
    free = shutil.disk_usage(place).free / GIGABYTE
    models = len(list(cache.glob("models--*"))) if cache.is_dir() else 0
    yield Finding("hub cache", "ok", f"{cache}: {models} models, {free:.1f} GB free")
    if constants.HF_HUB_OFFLINE:
        yield Finding("hub", "note", "HF_HUB_OFFLINE is set: only what is in the cache can be used")
        return
    host = constants.ENDPOINT.split("//")[-1].split("/")[0]
    if _reachable(host):
        token = "a token is set" if get_token() else "no token: gated models need `hf auth login`"
        yield Finding("hub", "ok", f"{host} answers; {token}")
    else:
        yield Finding(
            "hub", "note", f"{host} doesn't answer: the pocket study needs no network, hub does"
        )


def _reachable(host: str) -> bool:
    import socket

    name, _, port = host.partition(":")
    try:
        with socket.create_connection((name, int(port or 443)), timeout=2):
            return True
    except OSError:
        return False


def _extras() -> Iterator[Finding]:
    serving = all(find_spec(name) is not None for name in ("fastapi", "uvicorn"))
    yield Finding(
        "serving",
        "ok" if serving else "note",
        "`transformers serve` can run here"
        if serving
        else "`transformers serve` can't run: pip install 'medcal-nb[serving]'",
    )
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    drives = find_spec("playwright") is not None
    yield Finding(
        "browser",
        "ok" if browser and drives else "note",
        f"{browser or 'no chromium'}, playwright {'installed' if drives else 'not installed'}"
        + (
            ""
            if browser and drives
            else ": only the browser tests need both: apt install chromium, make setup"
        ),
    )
    key = "set" if os.environ.get("OPENAI_API_KEY") else "not set"
    yield Finding("endpoint key", "note", f"OPENAI_API_KEY is {key}; hosted endpoints need one")


def _size(file: Path) -> str:
    return f"{file.stat().st_size / 1e6:.1f} MB"
