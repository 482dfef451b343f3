"""Run the committed study again, elsewhere, and compare every published number."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medcal_nb.errors import MedcalError
from medcal_nb.show.figures import read_manifest
from medcal_nb.study.graph import Notebook, find_notebooks, in_order, select
from medcal_nb.study.hashing import file_hash
from medcal_nb.study.places import checkout

if TYPE_CHECKING:
    import pandas as pd

# |new - old| may be this much of max(1, |old|) on another machine or with other versions:
# rounding moves a confidence across a bin's edge, and a handful of sampled replies
TOLERANCE = 0.005


@dataclass(frozen=True)
class Verdict:
    """How a figure's numbers came out when they were made again.

    Attributes
    ----------
    figure : str
        Its name.
    agrees : bool
        Whether they are as they have to be.
    told : str
        What was found, in words.
    """

    figure: str
    agrees: bool
    told: str


def verify(
    *,
    only: Sequence[str] = (),
    answers: str | os.PathLike | None = None,
    keep: str | os.PathLike | None = None,
    root: Path | None = None,
) -> list[Verdict]:
    """Run the pocket study as committed and compare the CSV of every figure.

    In a git clone the files of ``HEAD`` are run, not those being edited. With the versions,
    system and processor that the figures were made with, every byte has to be the same;
    elsewhere numbers may differ by the notebook's tolerance, :data:`TOLERANCE` where its metadata
    (``medcal.tolerance``) name none.

    Parameters
    ----------
    only : sequence of str
        Numbers or names of notebooks; all by default.
    answers : path, optional
        A copy of these answers is used, so that no model has to be asked again.
    keep : path, optional
        Folder to run in and keep; a temporary one by default.
    root : pathlib.Path, optional
        The checkout, by default the package's.

    Returns
    -------
    list of Verdict
        In the order of the figures' names.

    Raises
    ------
    MedcalError
        If nothing is published, or the study fails.
    """
    root = root or checkout()
    if keep is not None and Path(keep).exists() and any(Path(keep).iterdir()):
        raise MedcalError(f"--keep {keep}: is not empty: give a new folder")
    with tempfile.TemporaryDirectory(prefix="medcal-verify-") as scratch:
        folder = Path(keep).resolve() if keep is not None else Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        tree = _committed(root, folder / "committed")
        notebooks = in_order(find_notebooks(tree / "notebooks"))
        chosen, _ = select(notebooks, only)
        published = read_manifest(tree / "figures")
        if not published:
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
    shutil.copyfile(answers, log)
    for suffix in ("-wal", ".made-from.json"):
        beside = answers.with_name(answers.name + suffix)
        if beside.is_file():
            shutil.copyfile(beside, log.with_name(log.name + suffix))


def _run(tree: Path, out: Path, answers: Path, names: Iterable[str]) -> None:
    environment = dict(os.environ) | {"MEDCAL_ROOT": str(tree)}
    # the committed package, not the one that runs this
    path = [str(tree)] if (tree / "medcal_nb").is_dir() else []
    path += [environment["PYTHONPATH"]] if environment.get("PYTHONPATH") else []
    if path:
        environment["PYTHONPATH"] = os.pathsep.join(path)
    command = [sys.executable, "-m", "medcal_nb.cli", "study", "--out", str(out)]
    command += ["--answers", str(answers), *sorted(names)]
    done = subprocess.run(command, env=environment, cwd=tree)
    if done.returncode == 130 or done.returncode < 0:
        raise KeyboardInterrupt
    if done.returncode:
        raise MedcalError("the committed study doesn't run, see above: nothing was compared")


def compare(notebooks: Iterable[Notebook], old: Path, new: Path) -> Iterator[Verdict]:
    """Yield for each figure of the notebooks how two folders of published figures agree."""
    before, after = read_manifest(old), read_manifest(new)
    tolerance = {name: n.tolerance.get(name, TOLERANCE) for n in notebooks for name in n.figures}
    mine = {n.name for n in notebooks}
    names = set(tolerance) | {
        name for name, entry in before.items() if entry["provenance"].get("notebook") in mine
    }
    for name in sorted(names):
        if name not in before:
            yield Verdict(name, False, "is not published: run `medcal study`")
        elif name not in after:
            yield Verdict(name, False, "no notebook makes it any more: run `medcal study`")
        elif file_hash(old / f"{name}.csv") != before[name]["sha256"]["csv"]:
            yield Verdict(name, False, "the published CSV was edited by hand")
        else:
            yield _compared(
                name, old, new, _origin(before[name]), _origin(after[name]), tolerance[name]
            )


def _origin(entry: dict[str, Any]) -> dict[str, Any]:
    return entry["provenance"] | ({"cpu": entry["cpu"]} if "cpu" in entry else {})


def _compared(
    name: str,
    old: Path,
    new: Path,
    before: dict[str, Any],
    after: dict[str, Any],
    tolerance: float,
) -> Verdict:
    import pandas as pd

    first, second = old / f"{name}.csv", new / f"{name}.csv"
    if first.read_bytes() == second.read_bytes():
        return Verdict(name, True, "same bytes")
    elsewhere = before.get("cpu", after.get("cpu")) != after.get("cpu") or any(
        before.get(key) != after.get(key) for key in ("versions", "platform")
    )
    found = differences(pd.read_csv(first), pd.read_csv(second), tolerance=tolerance)
    because = "; ".join(_changed(before, after))
    because = f" ({because})" if because else ""
    if elsewhere and not found:
        return Verdict(name, True, f"same within {tolerance:g}{because}")
    if not found:
        found = f"differs in bytes, though within {tolerance:g}, on the same machine"
    return Verdict(name, False, found + because)


def _changed(before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key), after.get(key)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            for name in sorted(old.keys() | new.keys()):
                if old.get(name) != new.get(name):
                    yield f"{name} was {old.get(name)}, is {new.get(name)}"
        elif key == "cpu":
            if old:
                yield f"{key} was {old}, is {new}"
        else:
            yield f"{key} was {str(old)[:12]}, is {str(new)[:12]}"


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
    worst, where, count = 0.0, "", 0
    for column in old.columns:
        a, b = old[column], new[column]
        if pd.api.types.is_numeric_dtype(a) and pd.api.types.is_numeric_dtype(b):
            x, y = a.to_numpy(dtype=float), b.to_numpy(dtype=float)
            gap = np.where(np.isnan(x) & np.isnan(y), 0.0, np.abs(y - x))
            gap = np.nan_to_num(gap / np.maximum(1.0, np.nan_to_num(np.abs(x))), nan=np.inf)
        else:
            same = (a == b) | (a.isna() & b.isna())
            gap = np.where(same, 0.0, np.inf)
        wrong = gap > tolerance
        count += int(wrong.sum())
        if wrong.any() and gap.max() > worst:
            row = int(gap.argmax())
            worst = float(gap.max())
            where = f"row {row + 1}, {column}: {a.iloc[row]} was published, {b.iloc[row]} was made"
    if not count:
        return ""
    return f"{count} of {old.size} cells differ by more than {tolerance:g}; {where}"
