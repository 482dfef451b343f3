"""One way to write a file of the user: whole or not at all, and never over what is not ours."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import shutil
import stat
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from medcal_nb.errors import MedcalError

PathLike = str | os.PathLike
"""What names a file."""

_SQLITE = b"SQLite format 3\x00"
_POINTER = b"version https://git-lfs.github.com/spec/"
_MANIFEST = "manifest.json"
_MANIFEST_KEY = "written_by_medcal"
_TAG = 12  # hexadecimal digits that tell one part file from another


@contextlib.contextmanager
def new_file(
    path: str | os.PathLike,
    *,
    sources: Iterable[str | os.PathLike] = (),
    force: bool = False,
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
    check_new_file(target, sources=sources, force=force)
    with part_of(target) as part:
        yield part
        os.replace(part, target)


@contextlib.contextmanager
def part_of(target: Path) -> Iterator[Path]:
    """Yield an empty part file beside ``target``, which goes when the block ends.

    It is locked while its process lives; parts that a killed process left are removed, those of a
    living one never.

    Raises
    ------
    MedcalError
        If nothing can be written there, with the reason.
    """
    remove_dead_parts(target)
    part = target.with_name(f".{target.name[:200]}.{uuid.uuid4().hex[:_TAG]}.part")
    begun = part.with_suffix(
        ".new"
    )  # no part before it is locked: nobody takes it for a dead one
    try:
        handle = os.open(begun, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o644)
    except OSError as error:
        raise MedcalError(f"{target}: can't be written: {error.strerror}") from None
    try:
        _lock(handle)
        begun.rename(part)
        yield part
    except OSError as error:
        raise MedcalError(
            f"{target}: can't be written: {error.strerror or error}"
        ) from error
    finally:
        os.close(handle)
        for left in (begun, part):
            left.unlink(missing_ok=True)


@contextlib.contextmanager
def new_folder(path: PathLike, *, force: bool = False) -> Iterator[Path]:
    """Yield a part folder beside ``path`` that becomes ``path`` when the block ends well.

    Its ``manifest.json`` names every file that was written, with its SHA-256.

    Parameters
    ----------
    path : path
        The folder to make.
    force : bool
        Replace a folder that this function made; never one that holds any other file.

    Raises
    ------
    MedcalError
        If ``path`` may not be written, with the reason: before any work is done, or after it where
        another process was faster.
    """
    target = Path(path).absolute()
    _check_new_folder(target, force)
    with part_of(target) as lock:  # its name is this process's alone while it lives
        part = lock.with_suffix(".folder")
        try:
            part.mkdir()
            yield part
            files = {name: file_hash(part / name) for name in sorted(_files_in(part))}
            text = json.dumps({_MANIFEST_KEY: files}, indent=1, ensure_ascii=False)
            (part / _MANIFEST).write_text(f"{text}\n", encoding="utf-8")
            _check_new_folder(target, force)
            _put_in_place(part, target)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def _check_new_folder(target: Path, force: bool) -> None:
    """Refuse a path that :func:`new_folder` may not write."""
    if not os.path.lexists(target):
        if not target.parent.is_dir():
            raise MedcalError(f"{target}: no folder {target.parent}: make it first")
        return
    if target.is_symlink() or not target.is_dir():
        raise MedcalError(f"{target}: no folder: give another name")
    there = _files_in(target)
    foreign = there - _own_files(target)
    if foreign:
        raise MedcalError(
            f"{target}: holds {min(foreign)}, which was not written here: name a new folder"
        )
    if there and not force:
        raise MedcalError(
            f"{target}: there already: choose another name, or --force replaces it"
        )


def _own_files(folder: Path) -> set[str]:
    """The files that the manifest of a folder names, and the manifest."""
    try:
        text = (folder / _MANIFEST).read_text(encoding="utf-8")
        return {_MANIFEST, *json.loads(text)[_MANIFEST_KEY]}
    except (OSError, ValueError, TypeError, KeyError):  # none, or another tool's
        return set()


def _files_in(folder: Path) -> set[str]:
    """What lies in a folder and its folders, links too."""
    paths = [path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()]
    return {path.relative_to(folder).as_posix() for path in paths}


def _put_in_place(part: Path, target: Path) -> None:
    """Give a folder its name; what was there goes as soon as the new one stands."""
    old = part.with_suffix(".old")
    if target.exists():
        target.rename(old)
    try:
        part.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise
    for name in _own_files(old) & _files_in(old):  # one that came meanwhile stays
        (old / name).unlink()
    for folder in [*sorted(old.rglob("*"), reverse=True), old]:
        with contextlib.suppress(OSError):
            folder.rmdir()


def check_new_file(
    path: str | os.PathLike,
    *,
    sources: Iterable[str | os.PathLike] = (),
    force: bool = False,
) -> None:
    """Refuse a path that :func:`new_file` may not write, before any work is done for it.

    Raises
    ------
    MedcalError
        If ``path`` is a source, an answers log, a folder, no regular file, in no folder, or
        there already and ``force`` is false.
    """
    target = Path(path)
    if not os.path.exists(target):
        if os.path.islink(target):
            raise MedcalError(f"{target}: a link to nothing: choose another name")
        if not os.path.isdir(target.parent):
            raise MedcalError(f"{target}: no folder {target.parent}: make it first")
        return
    if not target.is_file():
        raise MedcalError(
            f"{target}: a folder or no regular file: give the name of a file"
        )
    if any(Path(source).exists() and target.samefile(source) for source in sources):
        raise MedcalError(f"{target}: is what would be read: choose another name")
    with target.open("rb") as file:
        if file.read(16) == _SQLITE:
            raise MedcalError(
                f"{target}: an answers log (SQLite), never replaced: choose another"
            )
    if not force:
        raise MedcalError(
            f"{target}: there already: choose another name, or --force replaces it"
        )


def require_file(path: PathLike) -> Path:
    """The path of a regular file that is there and holds something."""
    path = Path(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise MedcalError(
                f"{path}: a folder, pipe or device, no regular file; name a file"
            )
        with path.open("rb") as file:
            head = file.read(len(_POINTER))
    except (OSError, ValueError) as error:
        reason = str(getattr(error, "strerror", None) or error).lower()
        raise MedcalError(f"{path}: {reason}; check its name and permissions") from None
    if not head:
        raise MedcalError(f"{path}: the file is empty; nothing to read")
    if head == _POINTER:
        raise MedcalError(
            f"{path}: line 1 points to a file in Git LFS; run `git lfs pull` first"
        )
    return path


def file_hash(path: str | os.PathLike) -> str:
    """Return the SHA-256 of a file as hexadecimal digits, read in pieces."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_manifest(folder: Path, remedy: str) -> dict[str, Any]:
    """Return what ``manifest.json`` says of a folder of data that come with the workbook.

    Raises
    ------
    MedcalError
        If it is missing or damaged, with the remedy.
    """
    path = folder / "manifest.json"
    if not path.is_file():
        raise MedcalError(f"{path}: there is no such file; {remedy}")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise MedcalError(f"{path}: is damaged, no JSON; {remedy}") from None


def check_shipped(path: Path, sha256: str, remedy: str) -> Path:
    """Return the path of a file that comes with the workbook, if it is the one of its manifest.

    Parameters
    ----------
    path : path
        The file.
    sha256 : str
        Its SHA-256, as the manifest says.
    remedy : str
        How to get it again.

    Raises
    ------
    MedcalError
        If it is missing, damaged or another file.
    """
    if not path.is_file():
        raise MedcalError(f"{path}: there is no such file; {remedy}")
    actual = file_hash(path)
    if actual != sha256:
        raise MedcalError(
            f"{path}: is damaged or another file: its SHA-256 is {actual}, the manifest says "
            f"{sha256}; {remedy}"
        )
    return path


def remove_dead_parts(target: Path) -> None:
    """Remove what killed processes have left beside a file that they were making."""
    ours = "[0-9a-f]" * _TAG  # a file of the user's may end in .part too
    for part in target.parent.glob(f".{glob.escape(target.name[:200])}.{ours}.part"):
        with contextlib.suppress(OSError):
            handle = os.open(part, os.O_RDWR)
            try:
                _lock(handle)
                shutil.rmtree(part.with_suffix(".folder"), ignore_errors=True)
                if (
                    not target.exists()
                ):  # killed while one folder took the other's place
                    with contextlib.suppress(OSError):
                        part.with_suffix(".old").rename(target)
                part.unlink()
            finally:
                os.close(handle)


def _lock(handle: int) -> None:
    """Lock an open file for this process; raise OSError where another holds it."""
    try:
        import fcntl
    except ImportError:  # Windows: an open file can't be removed there anyway
        return
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
