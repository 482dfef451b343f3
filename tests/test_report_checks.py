"""The sheet of a random share that a person grades."""

import numpy as np
import pandas as pd
import pytest

from medcal_nb.answers import load_answers
from medcal_nb.errors import MedcalError
from medcal_nb.report import write_report
from medcal_nb.report.checks import about_undrawn, with_checks, write_checks


@pytest.fixture
def answers(tmp_path, rng):
    rows = pd.DataFrame({"item_id": [f"q{i}" for i in range(90)], "model": "m"})
    rows["image_id"] = [f"x{i // 3}" for i in range(90)]
    rows["question"] = "what is seen?"
    rows["confidence"] = rng.random(90).round(2)
    rows["correct"] = rng.integers(0, 2, 90)
    rows.to_csv(tmp_path / "mine.csv", index=False)
    return load_answers(tmp_path / "mine.csv")


def test_a_sheet_goes_out_blind_and_comes_back_in(answers, tmp_path):
    path = tmp_path / "mine.checked.csv"
    assert write_checks(answers, path, n=30, seed=1) == 30
    sheet = pd.read_csv(path, dtype=str)
    assert "confidence" not in sheet
    assert sheet["correct"].isna().all()
    assert sheet["question"].eq("what is seen?").all()
    assert sheet["image_id"].value_counts().eq(3).all()
    assert with_checks(answers, path)["checked"].isna().all()
    sheet["correct"] = ["1", "0", "?", None, "right"] + ["wrong"] * 25
    sheet.to_csv(path, index=False)
    checked = with_checks(answers, path).set_index("item_id")["checked"]
    assert checked.notna().sum() == 28
    seen = checked[sheet["item_id"]].to_numpy()
    wanted = [1, 0, np.nan, np.nan, 1] + [0] * 25
    np.testing.assert_array_equal(seen, wanted)
    with pytest.raises(MedcalError, match=r"mine\.checked\.csv"):
        write_checks(answers, path, n=30)


def test_a_sheet_of_other_answers_is_refused(answers, tmp_path):
    path = tmp_path / "sheet.csv"
    write_checks(answers, path, n=30)
    sheet = pd.read_csv(path, dtype=str).assign(correct="1")
    sheet.assign(item_id="elsewhere").to_csv(path, index=False)
    with pytest.raises(MedcalError, match="is no answer of the file"):
        with_checks(answers, path)
    sheet.assign(correct="perhaps").to_csv(path, index=False)
    with pytest.raises(MedcalError, match="is no grade"):
        with_checks(answers, path)
    sheet.drop(columns="strategy").to_csv(path, index=False)
    with pytest.raises(MedcalError, match="medcal check"):
        with_checks(answers, path)
    with pytest.raises(MedcalError, match="none to check"):
        write_checks(answers.assign(confidence=np.nan), tmp_path / "no.csv", n=30)


def test_what_a_sheet_is_not_about_is_said(tmp_path, rng):
    path = tmp_path / "mine.csv"
    rows = pd.DataFrame({"item_id": [f"q{i}" for i in range(120)], "model": "m"})
    rows["confidence"] = rng.random(120).round(2)
    rows["correct"] = rng.integers(0, 2, 120)
    rows.to_csv(path, index=False)
    assert not about_undrawn(load_answers(path))
    rows["correct"] = rows["correct"].where(rows.index >= 40).astype("Int64")
    rows.to_csv(path, index=False)
    (said,) = about_undrawn(load_answers(path))
    assert said.startswith("40 of 120 answers have no grade and are not drawn from")
    sheet = tmp_path / "sheet.csv"
    write_checks(load_answers(path), sheet, n=30)
    pd.read_csv(sheet, dtype=str).assign(correct="1").to_csv(sheet, index=False)
    write_report(path, tmp_path / "page", checked=sheet)
    assert said in (tmp_path / "page" / "report.html").read_text("utf-8")
