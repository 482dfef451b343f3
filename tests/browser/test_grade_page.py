"""The grading page in a real browser: a sheet of answers graded by keys, and given back."""

import pandas as pd
import pytest
from PIL import Image
from playwright.sync_api import expect

from medcal_nb.answers import load_answers
from medcal_nb.answers.grades import GradeSheet
from medcal_nb.errors import MedcalError
from medcal_nb.reader import write_grading_page
from tests.browser.conftest import Complaints

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_a_sheet_is_graded_by_keys_and_given_back(chromium, tmp_path):
    Image.new("L", (8, 8), 90).save(tmp_path / "scan.png")
    pool = pd.DataFrame({"item_id": range(100), "answer": '<b>no "mass"</b>'})
    pool["confidence"] = 0.5 + pool["item_id"] / 200
    pool["question"] = "Is there a\nmass?"
    pool["image_id"] = pool["item_id"].astype(str) + ".png"
    pool["image"] = ["scan.png", "../outside.png"] * 50
    pool.to_csv(tmp_path / "a.csv", index=False)
    path = tmp_path / "a.grades.csv"
    answers = load_answers(tmp_path / "a.csv", ungraded=True)
    sheet = GradeSheet(path, answers, risk=0.2, budget=50)
    sheet.write_next(sheet.stand(20))
    assert write_grading_page(path, tmp_path / "a.html") == 20
    complaints = Complaints()
    page = chromium.new_page(accept_downloads=True)
    complaints.watch(page)
    page.goto((tmp_path / "a.html").as_uri())
    expect(page.locator("#answer")).to_have_text('<b>no "mass"</b>')
    assert not page.get_by_text("0.9").count()  # the confidence is not shown
    for key in "1111?":
        page.keyboard.press(key)
    page.keyboard.press("p")
    page.keyboard.press("0")  # thought better of the last one
    page.reload()
    expect(page.locator("#progress")).to_have_text("5 of 20 graded")
    expect(page.locator("#question")).to_contain_text("6 of 20")
    for _ in range(15):
        page.get_by_role("button", name="Right").click()
    with page.expect_download() as download:
        page.locator("#download").click()
    download.value.save_as(path)
    assert download.value.suggested_filename == "a.grades.csv"
    page.close()
    assert (complaints.errors, complaints.abroad) == ([], [])
    back = pd.read_csv(path, dtype=str)
    assert back["correct"].tolist() == [*"11110", *("1" * 15)]
    pd.testing.assert_frame_equal(
        back.drop(columns="correct"), sheet_as_written(sheet, back)
    )
    again = GradeSheet(path, answers, risk=None)
    assert again.n_filled == 20
    assert (again.stand(20).table["state"] == "grading").all()
    with pytest.raises(MedcalError, match="every row is graded"):
        write_grading_page(path, tmp_path / "b.html")


def sheet_as_written(sheet, back):
    """The rows that the sheet was begun with, as texts."""
    shown = sheet.pool.iloc[sheet.stand(20).next].reset_index(drop=True)
    names = [name for name in back if name not in ("correct", "certificate")]
    texts = shown[names].astype(str)
    return texts.assign(certificate=str(sheet.plan))
