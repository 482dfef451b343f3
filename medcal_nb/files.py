"""One way to write files and folders: whole or not at all, and never over what is not ours."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from medcal_nb.errors import MedcalError

#: What names a file.
PathLike = str | os.PathLike

#: In a folder of ours: the files that it was made with, and their SHA-256.
LIST = ".medcal-files.json"

#: How data are had that an installed package does not hold.
FROM_A_CLONE = (
    "it comes with a clone of the repository (`git checkout data`): install that, or name its "
    "folder: export MEDCAL_ROOT=FOLDER"
)

_SQLITE = b"SQLite format 3\x00"


@contextlib.contextmanager
def new_file(
    path: PathLike, *, sources: Iterable[PathLike] = (), force: bool = False
) -> Iterator[Path]:
    """Yield a part file beside ``path`` that becomes ``path`` when the block ends well.

    Parameters
    ----------
    path : path
        The file to make.
    sources : iterable of path
        Files that it is made from: none of them is ever replaced.
    force : bool
        Replace a file that is there already; never a source, an answers log or what is no
        regular file.

    Raises
    ------
    MedcalError
        If ``path`` may not be written, with the reason and the remedy.
    """
    target = Path(path)
    _check_new_file(target, sources=sources, force=force)
    with _part_of(target) as part:
        part.touch()
        yield part
        os.replace(part, target)


@contextlib.contextmanager
def new_folder(path: PathLike, *, force: bool = False) -> Iterator[Path]:
    """Yield an empty folder beside ``path`` that becomes ``path`` when the block ends well.

    It gets a list of its files (`LIST`). A folder that is there is replaced where it holds nothing
    but the files of its own list, as they were written: any other, and one that was changed, is
    somebody's work.

    Parameters
    ----------
    path : path
        The folder to make.
    force : bool
        Replace a folder that such a list describes; never one with other files in it.

    Raises
    ------
    MedcalError
        If ``path`` may not be written; the first file that is not ours is named.
    """
    target = Path(path)
    _check_new_folder(target, force=force)
    with _part_of(target) as part:
        part.mkdir()
        yield part
        hashes = {name: file_hash(part / name) for name in _files(part)}
        (part / LIST).write_text(json.dumps({"files": hashes}, indent=0), "utf-8")
        # what came while it was written is somebody's work, too
        _check_new_folder(target, force=force)
        old = part.with_suffix(".old")
        if target.exists():
            target.rename(old)
        part.rename(target)
        shutil.rmtree(old, ignore_errors=True)


def _check_new_folder(target: Path, *, force: bool) -> None:
    """Refuse a file, a folder with files that are not of its own list, and one that is there."""
    if not target.parent.is_dir():
        raise MedcalError(f"{target}: no folder {target.parent}: make it first")
    if target.is_symlink() or target.is_file():
        raise MedcalError(f"{target}: a file or link, no folder: choose another name")
    files = _files(target)
    foreign = files - _written(target)
    if foreign:
        raise MedcalError(
            f"{target}: holds {min(foreign)}, which medcal did not write there or which was "
            "changed since; nothing is replaced: choose another folder"
        )
    if files and not force:
        raise MedcalError(
            f"{target}: there already: choose another name, or --force replaces it"
        )


def _files(folder: Path) -> set[str]:
    """Names of all files and links in a folder and below, but for its list."""
    names = set()
    for path in folder.rglob("*"):
        if path.is_symlink() or not path.is_dir():
            names.add(path.relative_to(folder).as_posix())
    return names - {LIST}


def _written(folder: Path) -> set[str]:
    """The files of a folder of ours that are as it was made; none of another folder."""
    try:
        hashes = dict(json.loads((folder / LIST).read_text("utf-8"))["files"])
    except (OSError, ValueError, TypeError, KeyError):
        return set()
    names = set()
    for name in _files(folder):
        path = folder / name
        if path.is_file() and file_hash(path) == hashes.get(name):
            names.add(name)
    return names


@contextlib.contextmanager
def _part_of(target: Path) -> Iterator[Path]:
    """Yield the free name of a part beside ``target``, which goes when the block ends.

    Raises
    ------
    MedcalError
        If nothing can be written there, with the reason.
    """
    part = target.with_name(f".{target.name[:100]}.{uuid.uuid4().hex}.part")
    try:
        yield part
    except OSError as error:
        reason = error.strerror or error
        raise MedcalError(f"{target}: can't be written: {reason}") from error
    finally:
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        part.unlink(missing_ok=True)


def _check_new_file(target: Path, *, sources: Iterable[PathLike], force: bool) -> None:
    """Refuse a source, an answers log, what is no regular file, and a file that is there."""
    problem = ""
    if not os.path.exists(target):
        if not os.path.isdir(target.parent):
            problem = f"no folder {target.parent}: make it first"
    elif not target.is_file():
        problem = "a folder or no regular file: give the name of a file"
    elif any(Path(source).exists() and target.samefile(source) for source in sources):
        problem = "is what would be read: choose another name"
    elif target.open("rb").read(len(_SQLITE)) == _SQLITE:
        problem = "an answers log (SQLite), never replaced: choose another"
    elif not force:
        problem = "there already: choose another name, or --force replaces it"
    if problem:
        raise MedcalError(f"{target}: {problem}")


def require_file(path: PathLike) -> Path:
    """The path of a regular file that is there.

    Raises
    ------
    MedcalError
        If it is no regular file.
    """
    path = Path(path)
    if not path.is_file():
        raise MedcalError(
            f"{path}: no such file, or no regular file (a folder, a pipe); name a file"
        )
    return path


def beside(path: PathLike, ending: str) -> Path:
    """``NAME.ending`` in the folder of ``NAME.csv``.

    Raises
    ------
    MedcalError
        If the path names no file, as an empty one does not.
    """
    path = Path(path)
    if not path.name:
        raise MedcalError(f"{path}: is no name of a file; name a file")
    return path.with_name(f"{path.stem}.{ending}")


def file_hash(path: PathLike) -> str:
    """Return the SHA-256 of a file as hexadecimal digits, read in pieces."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return what ``manifest.json`` says of a folder of data that come with the workbook.

    Raises
    ------
    MedcalError
        If it is missing or damaged.
    """
    path = folder / "manifest.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise MedcalError(f"{path}: missing or damaged; {FROM_A_CLONE}") from None


def checkout() -> Path:
    """Return the clone of the repository: the package's own, or what ``MEDCAL_ROOT`` names."""
    named = os.environ.get("MEDCAL_ROOT")
    return Path(named or Path(__file__).resolve().parents[1]).resolve()


def recorded_folder() -> Path:
    """Return where recorded answers lie: ``data/recorded`` of a checkout."""
    return checkout() / "data" / "recorded"


def check_shipped(path: Path, sha256: str) -> Path:
    """Return the path of a file that comes with the workbook, if it is the one of its manifest.

    Parameters
    ----------
    path : path
        The file.
    sha256 : str
        Its SHA-256, as the manifest says.

    Raises
    ------
    MedcalError
        If it is missing, damaged or another file.
    """
    if not path.is_file():
        raise MedcalError(f"{path}: there is no such file; {FROM_A_CLONE}")
    if file_hash(path) != sha256:
        raise MedcalError(
            f"{path}: is damaged or another file: its SHA-256 is not that of the manifest; "
            f"{FROM_A_CLONE}"
        )
    return path


def literals(source: str) -> dict[str, Any]:
    """Return the values by name of a cell of parameters.

    Examples
    --------
    >>> literals("SEED = 0  # of the random numbers")
    {'SEED': 0}
    """
    values = {}
    for line in ast.parse(source).body:
        if isinstance(line, ast.Assign):
            name = ast.unparse(line.targets[0])
            values[name] = ast.literal_eval(line.value)
    return values
