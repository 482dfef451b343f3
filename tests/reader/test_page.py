"""The page as a file: what it holds, and what it can do."""

import base64
import hashlib
import io
import json
import re

import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo
from typer.testing import CliRunner

from medcal_nb.cli import app
from medcal_nb.errors import MedcalError
from medcal_nb.reader.page import (
    BODY,
    SCRIPT,
    page_data,
    page_text,
    picture,
    write_page,
)
from medcal_nb.words import is_correct
from tests.reader_answers import table_of


def data_of(page):
    """Return the data of a page."""
    start = '<script type="application/json" id="data">'
    (text,) = re.findall(f"{start}(.*)</script>", page)
    return json.loads(text)


def test_the_page_runs_its_own_script_alone_and_asks_no_host(book):
    page = page_text(page_data(book, book.shown(3)), body=BODY, scripts=[SCRIPT])
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy.startswith("default-src 'none'; img-src data:; ")
    script = page.rpartition("<script>")[2].rpartition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert not re.search(r"https?://", page)


def test_every_option_is_graded_as_the_package_grades(book):
    for case in page_data(book, book.shown(20))["cases"]:
        row = book.rows.loc[case["item_id"]]
        assert case["correct"] == row["correct"]
        assert case["answer"] == row["answer"]
        kind = {"question_type": row["question_type"], "options": row["options"]}
        wanted = [is_correct(one, row["gold"], **kind) for one in case["options"] or ()]
        assert case["right"] == wanted
        assert case["golds"] == [row["gold"]]
        assert case["similar"]["n"] >= 20


def test_the_model_s_answer_is_the_option_that_it_names(book_of):
    book = book_of(table_of(9, answer="Yes.", correct=None))
    case = page_data(book, book.shown(1))["cases"][0]
    assert case["answer"] == "yes"
    assert case["right"] == [True, False]
    assert case["similar"] is None


def test_a_picture_holds_its_pixels_alone(tmp_path):
    notes = PngInfo()
    notes.add_text("Description", "pneumothorax, left")
    path = tmp_path / "pneumothorax.png"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    hidden = {"pnginfo": notes, "icc_profile": profile}
    Image.new("RGB", (3000, 2000), "grey").save(path, **hidden)
    _, _, data = picture(str(path)).partition("base64,")
    opened = Image.open(io.BytesIO(base64.b64decode(data)))
    assert (opened.size, opened.text, opened.info) == ((1500, 1000), {}, {})
    path.write_bytes(b"\x89PNG\r\n\x1a\nnot really")
    assert picture(str(path)) == picture(None) == ""


def test_the_command_writes_a_page(answers, tmp_path):
    to = tmp_path / "cases.html"
    command = ["reader", str(answers), "--to", str(to)]
    result = CliRunner().invoke(app, command)
    assert result.output.startswith(f"wrote {to}: 20 cases of pocketvqa-medical")
    assert len(data_of(to.read_text())["cases"]) == 20
    bare = tmp_path / "bare.parquet"
    table_of(9, question=None, dataset="pocketvqa-x").to_parquet(bare)
    with pytest.raises(MedcalError, match="no image and no question"):
        write_page(bare, tmp_path / "bare.html")
    with pytest.raises(MedcalError, match="there already"):
        write_page(answers, to)
