"""Verifying what is published: a rerun of toy notebooks, and the comparison of tables."""

import numpy as np
import pandas as pd
import pytest

from medcal_nb.errors import MedcalError
from medcal_nb.study.run import _difference, verify
from tests.study.toy import edit, study

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
        ("n", 1, 13, "first diff: 13 != 12"),
        ("group", 0, "x", "first diff: 'x' != 'ct'"),
    ],
)
def test_differences_of_one_cell(tmp_path, column, row, value, told):
    TABLE.to_csv(tmp_path / "old.csv", index=False)
    new = TABLE.copy()
    new.loc[row, column] = value
    new.to_csv(tmp_path / "new.csv", index=False)
    found = _difference(tmp_path / "old.csv", tmp_path / "new.csv")
    assert (told in found) if told else not found
    assert "\n" not in found
    new.drop(columns=column).to_csv(tmp_path / "new.csv", index=False)
    assert "shape" in _difference(tmp_path / "old.csv", tmp_path / "new.csv")


@pytest.mark.notebooks
def test_a_published_study_and_what_can_be_wrong_with_it(toy):
    study(toy, only=["3"])
    assert verify(["3"]) == {"fig03_line": ""}
    edit(toy / "figures" / "fig03_line.csv", "3", "4")
    assert "first diff: 3 != 4" in verify(["3"])["fig03_line"]
    # a study that fails is no agreement
    edit(toy / "notebooks" / "03_alone.ipynb", "ctx.save(", "1 / 0\\nctx.save(")
    with pytest.raises(MedcalError, match=r"03_alone: in cell .*ZeroDivisionError"):
        verify(["3"])
