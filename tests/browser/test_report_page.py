"""The report's page in a real browser: on a screen, on a phone, in the dark, on paper."""

import re

import numpy as np
import pandas as pd
import pytest

from medcal_nb.measure import Bootstrap
from medcal_nb.report import write_report
from tests.browser.conftest import Complaints

pytestmark = [pytest.mark.browser, pytest.mark.slow]
pytestmark += [pytest.mark.filterwarnings("ignore::medcal_nb.report.ReportWarning")]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A report of two models on general and medical answers, with long and hostile names."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("page")
    confidence = rng.integers(0, 21, 1200) / 20
    rows = {
        "model": np.resize(["a" * 60, "<img src=x onerror=alert(1)>"], 1200),
        "domain": np.where(np.arange(1200) < 800, "general", "medical"),
        "dataset": np.repeat(["photos", "drawings", "scans"], 400),
        "modality": np.resize(["ct", "ct", "mri", "mri"], 1200),
        "item_id": np.arange(1200) // 2,
        "image_id": np.arange(1200) // 4,
        "confidence": confidence,
        "answer": np.resize(["yes", "no"], 1200),
    }
    right = rng.random(1200) < confidence
    other = np.where(rows["answer"] == "yes", "no", "yes")
    table = pd.DataFrame(rows).assign(gold=np.where(right, rows["answer"], other))
    table.to_csv(folder / "answers.csv", index=False)
    few = Bootstrap(n=100)
    page = write_report(folder / "answers.csv", folder / "report", ci=few)
    return page.as_uri()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_page_fits_prints_and_is_accessible(chromium, address, width, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    size = {"width": width, "height": 900}
    context = chromium.new_context(viewport=size, color_scheme=scheme)
    page, complaints = context.new_page(), Complaints()
    complaints.watch(page)
    page.goto(address)
    found = axe.run(page)
    assert not found.response["violations"], found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    wide = "images => images.every(image => image.naturalWidth > 300)"
    assert page.locator("img").evaluate_all(wide)
    assert (complaints.errors, complaints.abroad) == ([], [])
    if width > 1000:  # the first screen begins with the numbers and the square
        for part in ("#quote", "#performance table"):
            box = page.locator(part).first.bounding_box()
            assert box["y"] + box["height"] < 900, part
        assert page.locator("figure img").first.bounding_box()["y"] < 500
    paper = page.pdf(prefer_css_page_size=True)
    assert int(re.search(rb"/Count (\d+)", paper)[1]) <= 5
    context.close()
