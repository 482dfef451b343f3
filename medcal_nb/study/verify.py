"""Run the study again, elsewhere, and compare every published number."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from medcal_nb.errors import MedcalError
from medcal_nb.show.figures import read_manifest
from medcal_nb.study.profiles import checkout
from medcal_nb.study.run import run_study

# |new - old| may be this much of max(1, |old|): rounding moves a confidence across a bin's edge,
# and a handful of sampled replies
_TOLERANCE = 0.005


def verify(only: Sequence[str] = ()) -> dict[str, str]:
    """Run the pocket study anew in a folder of its own and compare the CSV of every figure.

    Numbers may differ by 0.005 · max(1, |number|).

    Parameters
    ----------
    only : sequence of str
        Numbers or names of notebooks; all by default.

    Returns
    -------
    dict
        How each published figure differs, in words: nothing where it agrees.

    Raises
    ------
    MedcalError
        If nothing is published, or the study fails.
    """
    published, found = checkout() / "figures", {}
    if not read_manifest(published):
        raise MedcalError(f"{published}: nothing is published: run `medcal study`")
    with tempfile.TemporaryDirectory(prefix="medcal-verify-") as folder:
        made, answers = Path(folder) / "figures", Path(folder) / "answers.sqlite"
        done = run_study(only=only, out=made, answers=answers)
        if done.failed:
            raise MedcalError(done.steps[done.failed[0]].message)
        for notebook in (step.notebook for step in done.steps.values()):
            for name in notebook.writes:
                if name.startswith("fig"):
                    old, new = (place / f"{name}.csv" for place in (published, made))
                    found[name] = _difference(old, new)
    return found


def _difference(old: Path, new: Path) -> str:
    """Say how two tables differ beyond the tolerance; nothing where they don't."""
    import pandas as pd

    if not old.is_file():
        return "is not published"
    try:
        pd.testing.assert_frame_equal(
            pd.read_csv(new), pd.read_csv(old), check_dtype=False, rtol=_TOLERANCE, atol=_TOLERANCE
        )
    except AssertionError as error:
        told = " ".join(str(error).split())
        return told.replace("[left]", "made").replace("[right]", "published")
    return ""
