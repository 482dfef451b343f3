"""One way to write files and folders: whole or not at all, and never over what is not ours."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import platform
import re
import shutil
import stat
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
_POINTER = b"version https://git-lfs.github.com/spec/"


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
    check_new_file(target, sources=sources, force=force)
    with _part_of(target) as part:
        part.touch(exist_ok=False)
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
    check_new_folder(target, force=force)
    with _part_of(target) as part:
        part.mkdir()
        yield part
        files = {name: file_hash(part / name) for name in sorted(_files(part))}
        (part / LIST).write_text(json.dumps({"files": files}, indent=0), "utf-8")
        check_new_folder(target, force=force)
        old = part.with_suffix(".old")
        if target.exists():
            target.rename(old)
        try:
            part.rename(target)
        except OSError:
            if old.exists():
                old.rename(target)  # it stays as it was
            raise
        for name in [*_written(old), LIST]:
            (old / name).unlink(missing_ok=True)
        # a file that somebody has put there meanwhile stays, and its folder with it
        for folder in sorted([old, *old.rglob("*")], reverse=True):
            with contextlib.suppress(OSError):
                folder.rmdir()


def check_new_folder(path: PathLike, *, force: bool = False) -> None:
    """Refuse a folder that `new_folder` may not write, before any work is done for it.

    Raises
    ------
    MedcalError
        If ``path`` is a file or link, holds a file that is not of its own list, or is there
        already and ``force`` is false.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise MedcalError(f"{target}: no folder {target.parent}: make it first")
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise MedcalError(f"{target}: a file or link, no folder: choose another name")
    foreign = _files(target) - {*_written(target), LIST}
    if foreign:
        raise MedcalError(
            f"{target}: holds {min(foreign)}, which medcal did not write there or which was "
            "changed since; nothing is replaced: choose another folder"
        )
    if target.is_dir() and any(target.iterdir()) and not force:
        raise MedcalError(
            f"{target}: there already: choose another name, or --force replaces it"
        )


def _files(folder: Path) -> set[str]:
    """Names of all files and links in a folder and below."""
    inside = folder.rglob("*") if folder.is_dir() else ()
    return {
        path.relative_to(folder).as_posix()
        for path in inside
        if path.is_symlink() or not path.is_dir()
    }


def _written(folder: Path) -> list[str]:
    """The files of a folder of ours that are as it was made; none of another folder."""
    try:
        files = json.loads((folder / LIST).read_text("utf-8"))["files"]
        known = _files(folder) & files.keys()
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return []
    paths = {name: folder / name for name in known}
    return [
        name
        for name, path in paths.items()
        if path.is_file() and file_hash(path) == files[name]
    ]


@contextlib.contextmanager
def _part_of(target: Path) -> Iterator[Path]:
    """Yield the free name of a part beside ``target``, which goes when the block ends.

    Its name tells the process: parts that a killed one left are removed, those of a living one, and
    of another machine, never.

    Raises
    ------
    MedcalError
        If nothing can be written there, with the reason.
    """
    begin = f".{target.name[:100]}.{platform.node()}-"
    for part in target.parent.glob(f"{glob.escape(begin)}*.part"):
        process = re.fullmatch(
            r"(\d+)-[0-9a-f]{12}\.part", part.name.removeprefix(begin)
        )
        if process and not _lives(int(process[1])):
            _remove(part)
    part = target.with_name(f"{begin}{os.getpid()}-{uuid.uuid4().hex[:12]}.part")
    try:
        yield part
    except OSError as error:
        reason = error.strerror or error
        raise MedcalError(f"{target}: can't be written: {reason}") from error
    finally:
        _remove(part)


def _lives(process: int) -> bool:
    """Whether a process of this machine is there."""
    if os.name == "nt":  # where asking would end it
        return True
    try:
        os.kill(process, 0)
    except OSError as error:
        return not isinstance(error, ProcessLookupError)
    return True


def _remove(part: Path) -> None:
    if part.is_dir() and not part.is_symlink():
        shutil.rmtree(part, ignore_errors=True)
    with contextlib.suppress(OSError):
        part.unlink()


def check_new_file(
    path: PathLike, *, sources: Iterable[PathLike] = (), force: bool = False
) -> None:
    """Refuse a path that :func:`new_file` may not write, before any work is done for it.

    Raises
    ------
    MedcalError
        If ``path`` is a source, an answers log, a folder, no regular file, in no folder, or
        there already and ``force`` is false.
    """
    target = Path(path)
    problem = ""
    if not os.path.exists(target):
        if os.path.islink(target):
            problem = "a link to nothing: choose another name"
        elif not os.path.isdir(target.parent):
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
    """The path of a regular file that is there and holds something.

    Raises
    ------
    MedcalError
        If it is no such file, cannot be opened, is empty, or points to one in Git LFS.
    """
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


def file_hash(path: PathLike) -> str:
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
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise MedcalError(f"{path}: there is no such file; {remedy}") from None
    except ValueError:
        raise MedcalError(f"{path}: is damaged, no JSON; {remedy}") from None


def checkout() -> Path:
    """Return the clone of the repository: the package's own, or what ``MEDCAL_ROOT`` names."""
    named = os.environ.get("MEDCAL_ROOT")
    return Path(named or Path(__file__).resolve().parents[1]).resolve()


def recorded_folder() -> Path:
    """Return where recorded answers lie: ``data/recorded`` of a checkout."""
    return checkout() / "data" / "recorded"


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
