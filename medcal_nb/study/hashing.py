"""Content hashes of answers, files and package sources."""

from __future__ import annotations

import ast
import hashlib
import json
from functools import lru_cache
from pathlib import Path

# what differs from one asking to the next although the answers are the same
INCIDENTAL = ("run_id", "seconds")
NUMBERS = ("sample", "confidence", "prompt_tokens", "new_tokens")
PACKAGE = "medcal_nb"
_SOURCE = Path(__file__).resolve().parents[1]


def text_hash(text: str) -> str:
    """Return the SHA-256 of a text as hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def file_hash(path: str | Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits, read in pieces."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def answers_hash(path: str | Path) -> str:
    """Return a hash of what an answers table says.

    For a log it depends on the rows alone: not on their order, nor on the run
    that asked or the seconds it took. For any other file it is the file's SHA-256.
    """
    from medcal_nb.answers import is_log

    path = Path(path)
    if not is_log(path):
        return file_hash(path)
    return _log_hash(str(path), _stamp(path))


def _stamp(path: Path) -> tuple[tuple[int, int], ...]:
    files = (path, path.with_name(path.name + "-wal"))
    return tuple((f.stat().st_size, f.stat().st_mtime_ns) for f in files if f.exists())


@lru_cache(maxsize=8)
def _log_hash(path: str, stamp: tuple) -> str:
    import numpy as np
    import pandas as pd

    from medcal_nb.answers import ANSWER_COLUMNS, AnswerLog

    columns = [name for name in ANSWER_COLUMNS if name not in INCIDENTAL]
    rows = 0
    # a sum over rows is the same in any order; two sums leave 128 bits
    total = [0, 0]
    with AnswerLog(path, read_only=True) as log:
        for frame in log.iter_frames(columns, ordered=False):
            # the same kind of column in every chunk, whatever the chunk happens to hold
            plain = {
                name: frame[name].astype("float64") if name in NUMBERS else _as_text(frame[name])
                for name in columns
            }
            for half, key in enumerate(("medcal-answers-1", "medcal-answers-2")):
                hashes = pd.util.hash_pandas_object(
                    pd.DataFrame(plain), index=False, hash_key=key
                ).to_numpy(dtype=np.uint64)
                total[half] = (total[half] + int(hashes.sum(dtype=np.uint64))) % 2**64
            rows += len(frame)
    told = f"{rows} {columns} {total}"
    return text_hash(told)


def _as_text(column):
    if column.dtype.kind == "O":
        column = column.map(
            lambda value: (
                json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else value
            )
        )
    return column.astype("string").fillna("").astype(object)


def module_file(name: str) -> Path | None:
    """Return the source file of a module of this package by its dotted name, if it is one."""
    parts = name.split(".")
    if parts[0] != PACKAGE:
        return None
    base = _SOURCE.joinpath(*parts[1:])
    if (base / "__init__.py").is_file():
        return base / "__init__.py"
    file = base.with_suffix(".py")
    return file if len(parts) > 1 and file.is_file() else None


def modules_used(source: str, *, module: str | None = None) -> set[str]:
    """Return the modules of this package that a source text names in its imports.

    Imports inside functions count, and so does a module's dotted name in a string, which is
    how registries name what they load late. ``module`` is the text's own dotted name, against
    which relative imports are resolved.
    """
    found: set[str] = set()

    def add(name: str) -> None:
        if module_file(name) is not None:
            # importing a.b.c runs a and a.b
            parts = name.split(".")
            found.update(".".join(parts[: i + 1]) for i in range(len(parts)))

    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                add(alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                if module is None:
                    continue
                file = module_file(module)
                package = module.split(".")
                if file is None or file.name != "__init__.py":
                    package = package[:-1]
                package = package[: len(package) - node.level + 1]
                base = ".".join([*package, base] if base else package)
            add(base)
            for alias in node.names:
                add(f"{base}.{alias.name}")
        elif isinstance(node, ast.Constant) and str(node.value).startswith(PACKAGE + "."):
            add(str(node.value))
    return found


@lru_cache(maxsize=256)
def _module_facts(name: str, stamp: tuple[int, int]) -> tuple[str, frozenset[str]]:
    file = module_file(name)
    source = file.read_text(encoding="utf-8")
    return text_hash(source), frozenset(modules_used(source, module=name))


def sources_used(source: str) -> dict[str, str]:
    """Return the hash of every module of this package that a text imports, directly or not.

    Returns
    -------
    dict
        SHA-256 by dotted module name, sorted.
    """
    waiting = modules_used(source)
    hashes: dict[str, str] = {}
    while waiting:
        name = waiting.pop()
        if name in hashes:
            continue
        status = module_file(name).stat()
        hashes[name], used = _module_facts(name, (status.st_size, status.st_mtime_ns))
        waiting |= used - hashes.keys()
    return dict(sorted(hashes.items()))
