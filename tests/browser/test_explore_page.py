"""The explorer's page: its numbers are the package's, for everybody, at every width."""

import ast
import re

import numpy as np
import pandas as pd
import pytest

from medcal_nb import measure
from medcal_nb.explore import write_page
from medcal_nb.wording import deferral_sentence, percent
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


HEIGHTS = "labels => labels.map((label) => label.getBoundingClientRect().height)"


def test_few_reweighted_answers_are_no_zero_and_no_words_lie_on_the_curve(
    chromium, tmp_path
):
    rows = {"confidence": [1.0] + [0.5] * 59, "correct": [1] * 30 + [0] * 30}
    write_page(pd.DataFrame(rows), tmp_path / "page.html")
    page = chromium.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    page.get_by_label("Unchecked from").press("End")
    page.get_by_label("If accuracy were").press("ArrowRight")  # 5 %: a right one is 0.1
    first = page.locator(".says p").first.inner_text()
    assert first.startswith("Of 60 answers 0.1 (0.2 %) would pass")
    assert "An answer would cost " in page.locator(".says p").nth(1).inner_text()
    assert page.locator(".key").get_by_text("all answers: 95 % wrong").count() == 1
    assert page.locator("svg").get_by_text("all answers").count() == 0
    page.close()


@pytest.fixture
def page_of(chromium, tmp_path):
    """The page of a table, watched: it must be quiet."""
    context, complaints = chromium.new_context(offline=True), Complaints()

    def shown(table):
        write_page(table, tmp_path / "page.html")
        page = context.new_page()
        complaints.watch(page)
        page.goto((tmp_path / "page.html").as_uri())
        return page

    yield shown
    context.close()
    assert (complaints.errors, complaints.abroad) == ([], [])


def test_a_choice_without_answers_cannot_be_made_and_is_said_where_it_arises(
    page_of, answers
):
    second = answers.assign(model="second")
    second = second[second["site"] == "Basel"]
    page = page_of(pd.concat([answers, second]))
    page.get_by_label("Subgroup").select_option("site")
    values = page.locator("[name=value]")
    values.select_option("Bern")
    code = page.get_by_role("button", name="Copy the code")
    code.click()
    assert page.locator("svg").count() == 2
    page.get_by_label("Model").select_option("second")
    told = page.locator(".says").inner_text()
    assert told == "No answers: second has none where site is Bern."
    assert page.locator("svg, .errors, td").count() == 0
    assert page.locator("pre").is_hidden()
    for control in (code, *page.locator("input, button").all()):
        assert control.is_disabled()
    # it is seen in the menu, and another value can be chosen
    options = values.locator("option")
    assert options.all_inner_texts() == ["Basel", "Bern: no answers"]
    assert options.last.is_disabled()
    values.select_option("Basel")
    assert page.locator("svg").count() == 2
    assert code.is_enabled()
    # the menu of a column that is chosen anew begins with a value that has answers
    page.get_by_label("Subgroup").select_option("")
    page.get_by_label("Subgroup").select_option("site")
    assert values.input_value() == "Basel"
    assert "NaN" not in page.locator("body").inner_text()


def test_a_map_or_a_subgroup_there_and_back_leaves_the_threshold(page_of, answers):
    # the surer, the more often wrong: an isotonic map leaves a few confidences alone
    page = page_of(answers.assign(correct=1 - answers["correct"]))
    passes = page.get_by_label("Unchecked from")
    passes.press("Home")
    passes.press("ArrowRight")
    stood = passes.get_attribute("aria-valuetext")
    assert stood == "55 %"
    ways = (
        ("Recalibration", "isotonic"),
        ("Recalibration", "platt"),
        ("Its value", "Bern"),
    )
    page.get_by_label("Subgroup").select_option("site")
    for menu, other in ways:
        first = page.get_by_label(menu).input_value()
        for one in (other, first):
            page.get_by_label(menu).select_option(one)
            page.wait_for_timeout(100)
        assert passes.get_attribute("aria-valuetext") == stood, menu


def test_a_subgroup_without_a_confidence_has_dashes_and_no_code(page_of, answers):
    silent = answers["site"] == "Bern"
    page = page_of(answers.assign(confidence=answers["confidence"].mask(silent)))
    page.get_by_label("Subgroup").select_option("site")
    page.locator("[name=value]").select_option("Bern")
    assert page.locator("td").all_inner_texts()[:3] == ["0", "–", "–"]
    assert page.get_by_role("button", name="Copy the code").is_disabled()
    assert page.get_by_text("No answer here has a confidence").is_visible()
    assert "NaN" not in page.locator("body").inner_text()


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
    with_map = page.evaluate("document.querySelector('.medcal-explore').medcal.text()")
    page.get_by_label("Recalibration").select_option("")
    passes = page.get_by_label("Unchecked from")
    # to the right, a higher threshold
    places, thresholds = [], []
    for key in ("Home", "ArrowRight", "End", "ArrowLeft", "ArrowLeft"):
        passes.press(key)
        places.append(int(passes.input_value()))
        words = passes.get_attribute("aria-valuetext")
        thresholds.append(float(words.removesuffix(" %")))
    assert places == [0, 1, 6, 5, 4]
    assert thresholds == [30, 55, 100, 95, 90]
    page.get_by_label("Checks per missed error (R)").press("ArrowRight")
    page.get_by_label("Allowed wrong").press("End")
    # the threshold of the third highest confidence, at 5.5 checks
    bern = answers[answers["site"] == "Bern"]
    row = measure.deferral_table(bern, threshold=0.9, ratio=5.5).iloc[0]
    lines = page.locator(".says p").all_inner_texts()
    assert "Without a grade, and left out: 2." in lines[-1]  # of Bern, of 7
    words = " ".join(lines[:2]).replace(" are wrong. An", " are wrong. An")
    assert words.replace("\u00a0", " ") == deferral_sentence(row).replace("\u00a0", " ")
    # another share of right answers: every answer counts as its grade is worth
    page.get_by_label("If accuracy were").press("End")
    now = page.evaluate("document.querySelector('.medcal-explore').medcal.summed()")
    right = bern["correct"].to_numpy(float)
    weight = np.where(right == 1, 0.99 / right.mean(), 0.01 / (1 - right.mean()))
    kept = (bern["confidence"] >= 0.9).to_numpy()
    wrong = weight[kept & (right == 0)].sum()
    assert now["kept"] == pytest.approx(weight[kept].sum())
    assert now["risk"] == pytest.approx(wrong / weight[kept].sum())
    assert "would be wrong." in page.locator(".says p").first.inner_text()
    measured = page.get_by_text("are of the answers as measured, ")
    assert f"{percent(right.mean())} % of them right" in measured.inner_text()
    copy = page.get_by_role("button", name="Copy the code")
    reason = page.get_by_text("set “If accuracy were” back to “as measured”")
    assert copy.is_disabled()
    assert reason.is_visible()
    assert reason.inner_text() == copy.get_attribute("title")
    page.get_by_label("If accuracy were").press("Home")
    assert reason.count() == 0
    assert measured.count() == 0
    copy.click()
    heights = page.locator(".controls label").evaluate_all(HEIGHTS)
    assert max(heights) < 60  # the words of a control stand in one line
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
    answers.to_csv(tmp_path / "answers.csv", index=False)
    file = repr(str(tmp_path / "answers.csv"))
    told, titles, scores = drawn_by(code.replace("'answers.csv'", file), threshold=0.9)
    assert told[0] == deferral_sentence(row)
    surest = "the surest .* % of all"
    assert re.findall(surest, told[1]) == re.findall(surest, lines[-1]) != []
    assert titles == ["a  as elicited", "b  risk and coverage"]
    assert len(scores) == 1
    _, titles, scores = drawn_by(with_map.replace("'answers.csv'", file))
    assert titles == ["a  as elicited", "b  after the map", "c  risk and coverage"]
    assert (len(scores), "ECE" in scores) == (2, True)


def drawn_by(code, threshold=None):
    """What a copied cell prints, titles of its picture, which holds all of its words, its value."""
    import matplotlib.pyplot as plt

    told = []
    with plt.ioff(), plt.rc_context():
        names = {"print": lambda *texts, **_: told.extend(map(str, texts))}
        *_, last = ast.parse(code).body
        exec(code[: code.rindex(ast.unparse(last.value.func))], names)
        scores = eval(ast.unparse(last), names)
        fig = plt.gcf()
        fig.draw_without_rendering()
        *_, square, curve = fig.axes
        for axis in (curve.xaxis, curve.yaxis):
            name = axis.label.get_window_extent()
            assert fig.bbox.contains(name.x0, name.y0)
            assert fig.bbox.contains(name.x1, name.y1)
        lines = [set(line.get_xdata()) for line in square.lines]
        assert threshold is None or {threshold} in lines
    plt.close("all")
    return told, [ax.get_title("left") for ax in fig.axes], scores
