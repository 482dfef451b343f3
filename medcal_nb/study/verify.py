"""Run the committed study again, elsewhere, and compare every published number."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from medcal_nb.answers.own import note_beside
from medcal_nb.errors import MedcalError
from medcal_nb.show.figures import read_manifest
from medcal_nb.study.hashing import file_hash
from medcal_nb.study.notebooks import Notebook, find_notebooks, select
from medcal_nb.study.places import checkout

if TYPE_CHECKING:
    import pandas as pd

# |new - old| may be this much of max(1, |old|), where the notebook's metadata name no tolerance:
# rounding moves a confidence across a bin's edge, and a handful of sampled replies
TOLERANCE = 0.005


class Compared(NamedTuple):
    """How a figure's numbers came out when they were made again: its name, whether, in words."""

    figure: str
    agrees: bool
    told: str


def verify(
    *,
    only: Sequence[str] = (),
    answers: str | os.PathLike | None = None,
    keep: str | os.PathLike | None = None,
    root: Path | None = None,
) -> list[Compared]:
    """Run the pocket study as committed and compare the CSV of every figure.

    In a git clone the files of ``HEAD`` are run, not those being edited. Numbers may differ by
    the notebook's tolerance (``medcal.tolerance`` of its metadata), else :data:`TOLERANCE`.

    Parameters
    ----------
    only : sequence of str
        Numbers or names of notebooks; all by default.
    answers : path, optional
        A copy of these answers of the study is used, so that no model has to be asked again.
    keep : path, optional
        New folder to run in and keep; a temporary one by default.
    root : pathlib.Path, optional
        The checkout, by default the package's.

    Raises
    ------
    MedcalError
        If nothing is published, or the study fails.
    """
    root = root or checkout()
    if keep is not None and Path(keep).exists() and any(Path(keep).iterdir()):
        raise MedcalError(f"--keep {keep}: is not empty: give a new folder")
    with tempfile.TemporaryDirectory(prefix="medcal-verify-") as scratch:
        folder = Path(keep or scratch).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        tree = _committed(root, folder / "committed")
        notebooks = find_notebooks(tree / "notebooks")
        chosen, _ = select(notebooks, only)
        if not read_manifest(tree / "figures"):
            raise MedcalError(f"{tree / 'figures'}: nothing is published: run `medcal study`")
        log = folder / "answers.sqlite"
        if answers is not None:
            _copy_answers(Path(answers), log)
        _run(tree, folder / "again", log, chosen)
        wanted = [notebook for notebook in notebooks if notebook.name in chosen]
        return list(compare(wanted, tree / "figures", folder / "again"))


def _committed(root: Path, folder: Path) -> Path:
    """Export ``HEAD``; without git, the files as they are have to do."""
    if not (root / ".git").exists() or shutil.which("git") is None:
        return root
    folder.mkdir()
    command = ["git", "-C", str(root), "archive", "--format=tar", "HEAD"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as archive:
        unpacked = subprocess.run(["tar", "-x", "-C", str(folder)], stdin=archive.stdout)
    if archive.returncode or unpacked.returncode:
        raise MedcalError(f"{root}: git can't export HEAD: commit something first")
    return folder


def _copy_answers(answers: Path, log: Path) -> None:
    if not answers.is_file():
        raise MedcalError(f"--answers {answers}: no such file")
    wal = answers.with_name(answers.name + "-wal")
    beside = log.with_name(log.name + "-wal")
    for source, copy in ((answers, log), (wal, beside), (note_beside(answers), note_beside(log))):
        if source.is_file():
            shutil.copyfile(source, copy)


def _run(tree: Path, out: Path, answers: Path, names: Iterable[str]) -> None:
    # the committed package, not the one that runs this
    path = [str(tree)] if (tree / "medcal_nb").is_dir() else []
    path = os.pathsep.join(filter(None, [*path, os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "medcal_nb.cli", "study", "--out", str(out)]
    command += ["--answers", str(answers), *sorted(names)]
    environment = os.environ | {"MEDCAL_ROOT": str(tree), "PYTHONPATH": path}
    done = subprocess.run(command, env=environment, cwd=tree)
    if done.returncode == 130 or done.returncode < 0:
        raise KeyboardInterrupt
    if done.returncode:
        raise MedcalError("the committed study doesn't run, see above: nothing was compared")


def compare(notebooks: Iterable[Notebook], old: Path, new: Path) -> Iterator[Compared]:
    """Yield for each figure of the notebooks how two folders of published figures agree."""
    import pandas as pd

    before, after = read_manifest(old), read_manifest(new)
    for notebook in notebooks:
        told = notebook.declared.get("tolerance", {})
        mine = {k for k, v in before.items() if v["provenance"].get("notebook") == notebook.name}
        for name in sorted(mine | {*notebook.figures}):
            first, second = old / f"{name}.csv", new / f"{name}.csv"
            if name not in before:
                yield Compared(name, False, "is not published: run `medcal study`")
            elif name not in after:
                yield Compared(name, False, "no notebook makes it any more: run `medcal study`")
            elif file_hash(first) != before[name]["sha256"]["csv"]:
                yield Compared(name, False, "the published CSV was edited by hand")
            elif first.read_bytes() == second.read_bytes():
                yield Compared(name, True, "same bytes")
            else:
                tolerance = told.get(name, TOLERANCE)
                found = differences(pd.read_csv(first), pd.read_csv(second), tolerance=tolerance)
                yield Compared(name, not found, found or f"same within {tolerance:g}")


def differences(old: pd.DataFrame, new: pd.DataFrame, *, tolerance: float) -> str:
    """Return in words how two tables differ beyond a tolerance; nothing where they don't.

    Numbers agree if |new - old| <= tolerance · max(1, |old|), and a missing one with a missing
    one; texts agree if they are the same.
    """
    import numpy as np
    import pandas as pd

    if list(old.columns) != list(new.columns):
        return f"columns were {', '.join(old.columns)}, are {', '.join(new.columns)}"
    if len(old) != len(new):
        return f"{len(old)} rows were published, {len(new)} were made"
    gaps = pd.DataFrame(index=old.index)
    for column in old.columns:
        a, b = old[column], new[column]
        same = (a == b) | (a.isna() & b.isna())
        if pd.api.types.is_numeric_dtype(a) and pd.api.types.is_numeric_dtype(b):
            gap = (b.astype(float) - a).abs() / np.maximum(1.0, a.abs())
            gaps[column] = gap.fillna(np.inf).mask(same, 0.0)
        else:
            gaps[column] = np.where(same, 0.0, np.inf)
    wrong = (gaps > tolerance).to_numpy()
    if not wrong.any():
        return ""
    row, column = np.unravel_index(gaps.to_numpy().argmax(), gaps.shape)
    return (
        f"{wrong.sum()} of {old.size} cells differ by more than {tolerance:g}; row {row + 1}, "
        f"{old.columns[column]}: {old.iat[row, column]} was published, {new.iat[row, column]} "
        "was made"
    )
