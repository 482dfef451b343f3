"""Content hashes of answers, files and package sources."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from medcal_nb.files import file_hash

# what differs from one asking to the next although the answers are the same
_INCIDENTAL = ("run_id", "seconds")
_PACKAGE = Path(__file__).resolve().parents[1]


def content_hash(path: str | Path, known: dict[str, list]) -> str:
    """Return a hash of what a file says, reckoned once for as long as it stays as it is.

    For an answers log it depends on the rows alone: not on their order, nor on the run
    that asked or the seconds it took. For any other file it is the file's SHA-256.

    Parameters
    ----------
    path : path
        A file.
    known : dict
        By path the size and times that a file had, and its hash then; JSON values, filled here.
    """
    path = Path(path)
    beside = path.with_name(path.name + "-wal")  # rows that wait beside a log
    stats = [file.stat() for file in (path, beside) if file.exists()]
    stamp = [[s.st_size, s.st_mtime_ns, s.st_ctime_ns] for s in stats if s.st_size]
    if known.get(str(path), [None])[0] != stamp:
        known[str(path)] = [stamp, _content_hash(path)]
    return known[str(path)][1]


def _content_hash(path: Path) -> str:
    from medcal_nb.answers import ANSWER_COLUMNS, AnswerLog, is_log

    if not is_log(path):
        return file_hash(path)
    columns = [name for name in ANSWER_COLUMNS if name not in _INCIDENTAL]
    total = 0  # a sum over rows is the same in any order
    with AnswerLog(path, read_only=True) as log:
        for frame in log.iter_frames(columns, ordered=False):
            rows = frame[columns].astype(object).itertuples(index=False, name=None)
            total += sum(int(hashlib.sha256(repr(row).encode()).hexdigest(), 16) for row in rows)
    return hashlib.sha256(f"{columns} {total}".encode()).hexdigest()


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
            found[name] = file.read_text(encoding="utf-8")
            package = name if file.name == "__init__.py" else name.rpartition(".")[0]
            waiting.update(_names(found[name], package))
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()


@lru_cache(maxsize=1024)
def _names(source: str, package: str) -> tuple[str, ...]:
    return tuple(_found(ast.parse(source), package))


def _found(tree: ast.AST, package: str) -> Iterator[str]:
    """Yield dotted names that a module of a package imports or names in strings."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: 1 - node.level or None] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and str(node.value).startswith(_PACKAGE.name + "."):
            yield str(node.value)
