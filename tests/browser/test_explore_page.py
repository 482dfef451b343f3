"""The explorer's page: its numbers are the package's, for everybody, at every width."""

import re

import numpy as np
import pandas as pd
import pytest

from medcal_nb import measure
from medcal_nb.explore import write_page
from medcal_nb.wording import deferral_sentence
from tests.browser.conftest import Complaints

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def answers():
    rng = np.random.default_rng(0)
    confidence = rng.choice([0.3, 0.55, 0.7, 0.8, 0.9, 0.95, 1.0], 600)
    table = pd.DataFrame({"confidence": confidence, "item_id": range(600)})
    table["correct"] = (rng.random(600) < 0.25 + 0.7 * confidence**3).astype(int)
    table["site"] = np.resize(["Basel", "Bern", "Basel"], 600)
    table["model"] = "mine <b>"
    silent = table.index[1::5]  # checked, whatever the threshold
    table.loc[silent, "confidence"] = np.nan
    return table.assign(strategy="verbalized", reply="A <i>cyst</i>")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_page_fits_everybody_and_says_the_package_s_numbers(
    chromium, answers, tmp_path, width, scheme
):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    ungraded = answers.tail(7).assign(correct=None, item_id=range(600, 607))
    table = pd.concat([answers, ungraded])
    write_page(table, tmp_path / "page.html", load="'answers.csv'")
    size = {"width": width, "height": 900}
    context = chromium.new_context(viewport=size, color_scheme=scheme, offline=True)
    page, complaints = context.new_page(), Complaints()
    complaints.watch(page)
    page.goto((tmp_path / "page.html").as_uri())
    page.get_by_label("Subgroup").select_option("site")
    page.locator("[name=value]").select_option("Bern")
    page.get_by_label("Recalibration").select_option("platt")
    page.get_by_label("Recalibration").select_option("")
    passes = page.get_by_label("Unchecked from")
    passes.press("Home")
    for key in ("ArrowRight", "ArrowRight"):
        passes.press(key)
    page.get_by_label("Checks per missed error").press("ArrowRight")
    page.get_by_label("Allowed wrong").press("End")
    # the threshold of the third highest confidence, at 5.5 checks
    bern = answers[answers["site"] == "Bern"]
    row = measure.deferral_table(bern, threshold=0.9, ratio=5.5).iloc[0]
    lines = page.locator(".says p").all_inner_texts()
    assert "without a grade and left out: 7." in lines[-1]
    words = " ".join(lines[:2]).replace(" are wrong. An", " are wrong. An")
    assert words.replace("\u00a0", " ") == deferral_sentence(row).replace("\u00a0", " ")
    # another share of right answers: every answer counts as its grade is worth
    page.get_by_label("If right were").press("End")
    now = page.evaluate("document.querySelector('.medcal-explore').medcal.summed()")
    right = bern["correct"].to_numpy(float)
    weight = np.where(right == 1, 0.99 / right.mean(), 0.01 / (1 - right.mean()))
    kept = (bern["confidence"] >= 0.9).to_numpy()
    wrong = weight[kept & (right == 0)].sum()
    assert now["kept"] == pytest.approx(weight[kept].sum())
    assert now["risk"] == pytest.approx(wrong / weight[kept].sum())
    page.get_by_label("If right were").press("Home")
    page.get_by_role("button", name="Copy the code").click()
    drawn = float(page.locator(".medcal-explore").get_attribute("data-milliseconds"))
    assert drawn < 300
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = axe.run(page)
    assert not found.response["violations"], found.generate_report()
    code = page.locator("pre").inner_text()
    context.close()
    assert (complaints.errors, complaints.abroad) == ([], [])
    if width == 390:
        return
    # the cell that was copied prints the same sentence, from public functions
    import matplotlib.pyplot as plt

    told = []
    answers.to_csv(tmp_path / "answers.csv", index=False)
    code = code.replace("'answers.csv'", repr(str(tmp_path / "answers.csv")))
    with plt.ioff(), plt.rc_context():
        exec(code, {"print": lambda *texts, **_: told.extend(map(str, texts))})
    plt.close("all")
    assert told[0] == deferral_sentence(row)
    surest = "the surest .* % of all"
    assert re.findall(surest, told[1]) == re.findall(surest, lines[-1]) != []
