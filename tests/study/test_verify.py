"""Verifying what is published: the comparison of tables, and a whole rerun of toy notebooks."""

import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest

from medcal_nb.errors import MedcalError
from medcal_nb.files import file_hash
from medcal_nb.show.figures import read_manifest, write_manifest
from medcal_nb.study.notebooks import find_notebooks
from medcal_nb.study.verify import _difference, compare, verify
from tests.study.toy import edit, study, toy

__all__ = ["toy"]

TABLE = pd.DataFrame({"group": ["ct", "mri", None], "n": [7, 12, 3], "ece": [0.25, np.nan, 4.0]})


@pytest.mark.parametrize(
    ("column", "row", "value", "told"),
    [
        ("ece", 0, 0.254, None),
        ("ece", 0, 0.256, "first diff: 0.256 != 0.25"),
        # relative where it is large
        ("ece", 2, 4.019, None),
        ("ece", 2, 4.03, "first diff: 4.03 != 4.0"),
        ("ece", 1, 0.0, "first diff: 0.0 != nan"),
        ("ece", 0, np.nan, "first diff: nan != 0.25"),
        ("n", 1, 13, "first diff: 13 != 12"),
        ("group", 0, "x", "first diff: 'x' != 'ct'"),
        ("group", 2, "x", 'column name="group"'),
    ],
)
def test_differences_of_one_cell(tmp_path, column, row, value, told):
    TABLE.to_csv(tmp_path / "old.csv", index=False)
    new = TABLE.copy()
    new.loc[row, column] = value
    new.to_csv(tmp_path / "new.csv", index=False)
    found = _difference(tmp_path / "old.csv", tmp_path / "new.csv", 0.005)
    assert (told in found) if told else not found
    assert "\n" not in found
    new.drop(columns=column).to_csv(tmp_path / "new.csv", index=False)
    assert "shape" in _difference(tmp_path / "old.csv", tmp_path / "new.csv", 0.005)


@pytest.mark.notebooks
def test_a_published_study_and_what_can_be_wrong_with_it(toy, tmp_path):
    with pytest.raises(MedcalError, match="nothing is published: run `medcal study`"):
        verify(root=toy)
    study(toy)
    figures, notebooks = toy / "figures", find_notebooks(toy / "notebooks")
    again = shutil.copytree(figures, tmp_path / "again")
    assert verify(root=toy) == {"fig02_bars": "", "fig03_line": ""}

    # published on another machine, with numbers a little and more than a little apart
    publish(figures, "fig02_bars", old="0.9", new="0.903")
    publish(figures, "fig03_line", old="3", new="4")
    found = compare(notebooks, figures, again)
    assert not found["fig02_bars"]
    assert "first diff: 3 != 4" in found["fig03_line"]
    # a notebook may ask for less, or allow more
    path = toy / "notebooks" / "02_numbers.ipynb"
    edit(path, '"reads"', '"tolerance": {"fig02_bars": 0.0005}, "reads"')
    found = compare(find_notebooks(toy / "notebooks"), figures, again)
    assert "first diff: 0.9 != 0.903" in found["fig02_bars"]
    (figures / "fig02_bars.csv").write_text("item_id\na\n")
    found = compare(notebooks, figures, again)
    assert found["fig02_bars"] == "the published CSV was edited by hand"
    write_manifest(figures, {})
    assert compare(notebooks, figures, again)["fig02_bars"] == "is not published"
    assert compare(notebooks, again, figures)["fig02_bars"] == "is not made any more"


def publish(figures, name, *, old, new):
    """Change a published number as a study elsewhere would have."""
    edit(figures / f"{name}.csv", old, new)
    entries = read_manifest(figures)
    entries[name]["sha256"]["csv"] = file_hash(figures / f"{name}.csv")
    write_manifest(figures, entries)


@pytest.mark.notebooks
def test_what_is_committed_is_verified_and_not_what_is_being_edited(toy):
    study(toy, only=["3"])
    git = ["git", "-C", str(toy), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "notebooks", "figures"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "publish"], check=True)
    edit(toy / "notebooks" / "03_alone.ipynb", "N = 3", "N = 9")
    assert verify(root=toy, only=["3"]) == {"fig03_line": ""}
    subprocess.run([*git, "commit", "-q", "-am", "change"], check=True)
    assert "first diff: 9 != 3" in verify(root=toy, only=["3"])["fig03_line"]
    # a study that fails is no agreement
    edit(toy / "notebooks" / "03_alone.ipynb", "ctx.save(", "1 / 0\\nctx.save(")
    subprocess.run([*git, "commit", "-q", "-am", "break"], check=True)
    with pytest.raises(MedcalError, match="doesn't run, see above: nothing was compared"):
        verify(root=toy, only=["3"])
