"""Run the committed study again, elsewhere, and compare every published number."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from medcal_nb.answers import merge_logs
from medcal_nb.answers.own import note_beside
from medcal_nb.errors import MedcalError
from medcal_nb.files import file_hash
from medcal_nb.show.figures import read_manifest
from medcal_nb.study.notebooks import Notebook, find_notebooks, select
from medcal_nb.study.profiles import checkout

# |new - old| may be this much of max(1, |old|), where the notebook's metadata name no tolerance:
# rounding moves a confidence across a bin's edge, and a handful of sampled replies
_TOLERANCE = 0.005


def verify(
    *, only: Sequence[str] = (), answers: Path | None = None, root: Path | None = None
) -> dict[str, str]:
    """Run the pocket study as committed and compare the CSV of every figure.

    In a git clone the files of ``HEAD`` are run, not those being edited. Numbers may differ by
    the tolerance that a notebook's ``medcal.tolerance`` names, else by 0.005 · max(1, |number|).

    Parameters
    ----------
    only : sequence of str
        Numbers or names of notebooks; all by default.
    answers : pathlib.Path, optional
        A copy of these answers of the study is used, so that no model has to be asked again.
    root : pathlib.Path, optional
        The checkout, by default the package's.

    Returns
    -------
    dict
        How each figure differs, in words: nothing where it agrees.

    Raises
    ------
    MedcalError
        If nothing is published, or the study fails.
    """
    with tempfile.TemporaryDirectory(prefix="medcal-verify-") as scratch:
        folder = Path(scratch).resolve()
        tree = _committed(root or checkout(), folder)
        notebooks = find_notebooks(tree / "notebooks")
        chosen, _ = select(notebooks, only)
        if not read_manifest(tree / "figures"):
            raise MedcalError(f"{tree / 'figures'}: nothing is published: run `medcal study`")
        log = folder / "answers.sqlite"
        if answers is not None:
            merge_logs([answers], log)
            shutil.copyfile(note_beside(answers), note_beside(log))
        _run(tree, ["--out", folder / "again", "--answers", log, *sorted(chosen)])
        wanted = [notebook for notebook in notebooks if notebook.name in chosen]
        return compare(wanted, tree / "figures", folder / "again")


def _committed(root: Path, folder: Path) -> Path:
    """Export ``HEAD``; without git, the files as they are have to do."""
    if not (root / ".git").exists() or shutil.which("git") is None:
        return root
    archive = folder / "committed.tar"
    if subprocess.run(["git", "-C", root, "archive", "-o", archive, "HEAD"]).returncode:
        raise MedcalError(f"{root}: git can't export HEAD: commit something first")
    shutil.unpack_archive(archive, folder / "committed", filter="data")
    return folder / "committed"


def _run(tree: Path, words: list) -> None:
    """Run the study of the committed package, not of the one that runs this."""
    path = [str(tree)] if (tree / "medcal_nb").is_dir() else []
    path = os.pathsep.join(filter(None, [*path, os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"MEDCAL_ROOT": str(tree), "PYTHONPATH": path}
    command = [sys.executable, "-m", "medcal_nb.cli", "study", *words]
    done = subprocess.run(command, env=environment, cwd=tree)
    if done.returncode == 130 or done.returncode < 0:
        raise KeyboardInterrupt
    if done.returncode:
        raise MedcalError("the committed study doesn't run, see above: nothing was compared")


def compare(notebooks: Iterable[Notebook], old: Path, new: Path) -> dict[str, str]:
    """Return for each figure of the notebooks how two folders of published figures differ."""
    before, after, found = read_manifest(old), read_manifest(new), {}
    for notebook in notebooks:
        for name in notebook.figures:
            if name not in before or name not in after:
                found[name] = f"is not {'made any more' if name in before else 'published'}"
            elif file_hash(old / f"{name}.csv") != before[name]["sha256"]["csv"]:
                found[name] = "the published CSV was edited by hand"
            else:
                tolerance = notebook.declared.get("tolerance", {}).get(name, _TOLERANCE)
                found[name] = _difference(old / f"{name}.csv", new / f"{name}.csv", tolerance)
    return found


def _difference(old: Path, new: Path, tolerance: float) -> str:
    """Say how two tables differ beyond a tolerance; nothing where they don't."""
    import pandas as pd

    made, published = pd.read_csv(new), pd.read_csv(old)
    try:
        pd.testing.assert_frame_equal(
            made, published, check_dtype=False, rtol=tolerance, atol=tolerance
        )
    except AssertionError as error:
        told = " ".join(str(error).split())
        return told.replace("[left]", "made").replace("[right]", "published")
    return ""
