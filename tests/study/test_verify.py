"""Verifying what is published: the comparison of tables, and a whole rerun of toy notebooks."""

import subprocess

import numpy as np
import pandas as pd
import pytest

from medcal_nb.errors import MedcalError
from medcal_nb.show.figures import read_manifest, write_manifest
from medcal_nb.study.notebooks import find_notebooks
from medcal_nb.study.verify import compare, differences, verify
from tests.study.test_run import edit, study, toy  # noqa: F401

TABLE = pd.DataFrame({"group": ["ct", "mri", None], "n": [7, 12, 3], "ece": [0.25, np.nan, 4.0]})


@pytest.mark.parametrize(
    ("column", "row", "value", "told"),
    [
        ("ece", 0, 0.254, ""),
        ("ece", 0, 0.256, "row 1, ece: 0.25 was published, 0.256 was made"),
        # relative above 1
        ("ece", 2, 4.019, ""),
        ("ece", 2, 4.03, "row 3, ece"),
        ("ece", 1, 0.0, "row 2, ece: nan was published, 0.0 was made"),
        ("ece", 0, np.nan, "row 1, ece: 0.25 was published, nan was made"),
        ("n", 1, 13, "row 2, n: 12 was published, 13 was made"),
        ("group", 0, "x", "row 1, group: ct was published, x was made"),
        ("group", 2, "x", "row 3, group"),
    ],
)
def test_differences_of_one_cell(column, row, value, told):
    new = TABLE.copy()
    new.loc[row, column] = value
    found = differences(TABLE, new, tolerance=0.005)
    if told:
        assert found.startswith("1 of 9 cells differ by more than 0.005; ")
        assert told in found
    else:
        assert found == ""


def test_differences_of_shape():
    assert differences(TABLE, TABLE, tolerance=0) == ""
    assert "3 rows were published, 2 were made" in differences(TABLE, TABLE[:2], tolerance=1)
    assert "columns were group, n, ece, are group, n" in differences(
        TABLE, TABLE.drop(columns="ece"), tolerance=1
    )


def told(found):
    return {one.figure: (one.agrees, one.told) for one in found}


@pytest.mark.notebooks
def test_a_published_study_and_what_can_be_wrong_with_it(toy, tmp_path):  # noqa: F811
    with pytest.raises(MedcalError, match="nothing is published: run `medcal study`"):
        verify(root=toy)
    study(toy)
    again = tmp_path / "kept"
    assert told(verify(root=toy, keep=again)) == {
        "fig02_bars": (True, "same bytes"),
        "fig03_line": (True, "same bytes"),
    }

    # published on another machine, with numbers a little and more than a little apart
    figures, notebooks = toy / "figures", find_notebooks(toy / "notebooks")
    publish(figures, "fig02_bars", old="0.9", new="0.901")
    publish(figures, "fig03_line", old="3", new="4")
    found = told(compare(notebooks, figures, again / "again"))
    assert found["fig02_bars"] == (True, "same within 0.005")
    assert not found["fig03_line"][0]
    assert "row 1, n: 4 was published, 3 was made" in found["fig03_line"][1]
    # a notebook may ask for less, or allow more
    path = toy / "notebooks" / "02_numbers.ipynb"
    edit(path, '"reads"', '"tolerance": {"fig02_bars": 0.0005}, "reads"')
    found = told(compare(find_notebooks(toy / "notebooks"), figures, again / "again"))
    assert "row 1, confidence: 0.901 was published, 0.9 was made" in found["fig02_bars"][1]
    (figures / "fig02_bars.csv").write_text("item_id\na\n")
    found = told(compare(notebooks, figures, again / "again"))
    assert found["fig02_bars"] == (False, "the published CSV was edited by hand")
    write_manifest(figures, {})
    found = told(compare(notebooks, figures, again / "again"))
    assert found["fig02_bars"] == (False, "is not published: run `medcal study`")


def publish(figures, name, *, old, new):
    """Change a published number as a study elsewhere would have."""
    import hashlib

    edit(figures / f"{name}.csv", old, new)
    entries = read_manifest(figures)
    entries[name]["sha256"]["csv"] = hashlib.sha256(
        (figures / f"{name}.csv").read_bytes()
    ).hexdigest()
    write_manifest(figures, entries)


@pytest.mark.notebooks
def test_what_is_being_edited_is_not_verified(toy):  # noqa: F811
    study(toy, only=["3"])
    git = ["git", "-C", str(toy), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "notebooks", "figures"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "publish"], check=True)
    edit(toy / "notebooks" / "03_alone.ipynb", "N = 3", "N = 9")
    assert told(verify(root=toy, only=["3"])) == {"fig03_line": (True, "same bytes")}
    subprocess.run([*git, "commit", "-q", "-am", "change"], check=True)
    agrees, said = told(verify(root=toy, only=["3"]))["fig03_line"]
    assert not agrees
    assert "row 1, n: 3 was published, 9 was made" in said or "n: 9 was published" in said


@pytest.mark.notebooks
def test_a_study_that_fails_is_no_agreement(toy, tmp_path):  # noqa: F811
    study(toy, only=["3"])
    edit(toy / "notebooks" / "03_alone.ipynb", "ctx.save(", "1 / 0\\nctx.save(")
    with pytest.raises(MedcalError, match="doesn't run, see above: nothing was compared"):
        verify(root=toy, only=["3"])
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(MedcalError, match="is not empty"):
        verify(root=toy, keep=tmp_path / "full")
