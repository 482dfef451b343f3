"""Content hashes of answers, files and package sources."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

# what differs from one asking to the next although the answers are the same
_INCIDENTAL = ("run_id", "seconds")
_NUMBERS = ("sample", "confidence", "prompt_tokens", "new_tokens")
_PACKAGE = Path(__file__).resolve().parents[1]


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
    return _log_hash(str(path), stamp(path)) if is_log(path) else file_hash(path)


def stamp(path: Path) -> str:
    """Return sizes and times of a file and, for a log, of what waits beside it."""
    files = (path, path.with_name(path.name + "-wal"))
    return str([(f.stat().st_size, f.stat().st_mtime_ns) for f in files if f.exists()])


@lru_cache(maxsize=8)
def _log_hash(path: str, stamp: str) -> str:
    import numpy as np
    import pandas as pd

    from medcal_nb.answers import ANSWER_COLUMNS, AnswerLog

    columns = [name for name in ANSWER_COLUMNS if name not in _INCIDENTAL]
    rows, total = 0, [0, 0]  # a sum over rows is the same in any order; two leave 128 bits
    with AnswerLog(path, read_only=True) as log:
        for frame in log.iter_frames(columns, ordered=False):
            # the same kind of column in every chunk, whatever the chunk happens to hold
            plain = {
                name: frame[name].astype("float64") if name in _NUMBERS else _as_text(frame[name])
                for name in columns
            }
            for half, key in enumerate(("medcal-answers-1", "medcal-answers-2")):
                hashes = pd.util.hash_pandas_object(
                    pd.DataFrame(plain), index=False, hash_key=key
                ).to_numpy(dtype=np.uint64)
                total[half] = (total[half] + int(hashes.sum(dtype=np.uint64))) % 2**64
            rows += len(frame)
    return hashlib.sha256(f"{rows} {columns} {total}".encode()).hexdigest()


def _as_text(column):
    if column.dtype.kind == "O":
        column = column.map(
            lambda value: (
                json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else value
            )
        )
    return column.astype("string").fillna("").astype(object)


def sources_used(source: str) -> str:
    """Return one SHA-256 of all modules of this package that a text imports, directly or not.

    Imports inside functions count, and so does a module's dotted name in a string, which is
    how registries name what they load late.
    """
    waiting, found = set(_names(source, "")), {}
    while waiting:
        parts = waiting.pop().split(".")
        for end in range(1, len(parts) + 1):  # importing a.b.c runs a and a.b
            name = ".".join(parts[:end])
            file = _PACKAGE.parent.joinpath(*parts[:end], "__init__.py")
            file = file if file.is_file() else file.parent.with_suffix(".py")
            if name in found or parts[0] != _PACKAGE.name or not file.is_file():
                continue
            package = name if file.name == "__init__.py" else name.rpartition(".")[0]
            found[name], names = _module(file, package, stamp(file))
            waiting.update(names)
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()


@lru_cache(maxsize=1024)
def _module(file: Path, package: str, stamp: str) -> tuple[str, tuple[str, ...]]:
    return file_hash(file), tuple(_names(file.read_text(encoding="utf-8"), package))


def _names(source: str, package: str) -> Iterator[str]:
    """Yield dotted names that a module of a package imports or names in strings."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: 1 - node.level or None] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and str(node.value).startswith(_PACKAGE.name + "."):
            yield str(node.value)
