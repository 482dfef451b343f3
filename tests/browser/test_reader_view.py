"""The reader page in a real browser, opened from the disk, by keys and by hand."""

import csv
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import expect

from medcal_nb.answers import load_answers
from medcal_nb.measure import wilson_interval
from medcal_nb.reader import write_page
from medcal_nb.reader.page import SCRIPT
from medcal_nb.run import ROOT
from medcal_nb.wording import percent
from medcal_nb.words import grade_table
from tests.browser.conftest import Complaints
from tests.reader_answers import table_of, write_answers

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    home = tmp_path_factory.mktemp("reader")
    write_answers(home / "a.sqlite", n_test=40, n_fit=80)
    write_page(home / "a.sqlite", home / "cases.html")
    return home / "cases.html"


@pytest.fixture
def opened(chromium):
    """Open a page in a profile of its own; in the end none may have complained or called out."""
    contexts, complaints = [], Complaints()

    def visit(path, *, name="ada", script="", **options):
        contexts.append(context := chromium.new_context(**options))
        context.add_init_script(script)
        complaints.watch(page := context.new_page())
        page.goto(path.as_uri())
        if name:
            page.get_by_label("Your name or a code").fill(name)
            page.keyboard.press("Enter")
        return page

    visit.complaints = complaints
    yield visit
    for context in contexts:
        context.close()
    assert (complaints.errors, complaints.abroad) == ([], [])


def give(page, sure, words="mass"):
    """Answer by keys, with the first option or some words, and say how sure."""
    page.keyboard.press("1")
    if page.locator("#text").count():
        page.keyboard.type(words)
        page.keyboard.press("Enter")
    page.keyboard.type(str(sure))
    page.keyboard.press("Enter")
    expect(page.locator("#says")).to_be_focused()


def downloaded(page, folder):
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    download.value.save_as(folder / download.value.suggested_filename)
    return json.loads((folder / "decisions.json").read_text())


def saved_table(page):
    """Return the rows of the table that the page saves for a spreadsheet."""
    with page.expect_download() as download:
        page.get_by_role("link", name="Save as a table").click()
    text = download.value.path().read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def test_twenty_cases_by_keys_end_in_a_summary_and_in_answers(cases, opened, tmp_path):
    page = opened(cases)
    for place in range(20):
        expect(page.locator("#question")).to_contain_text(f"Case {place + 1} of 20: ")
        give(page, 50 + 2 * place)
        if place == 7:  # the own answer outlasts a reload; the decision is still open
            page.reload()
            expect(page.locator("#progress")).to_have_text("7 of 20 decided.")
            expect(page.locator("#model")).to_be_visible()
        if place % 5 == 4:
            page.keyboard.press("d")
        elif place % 2 and page.locator("#take").is_enabled():
            page.keyboard.press("t")
            page.keyboard.type("66")
            page.keyboard.press("Enter")
        else:
            page.keyboard.press("k")
    expect(page.locator("#result")).to_be_focused()
    page.reload()
    expect(page.locator("#progress")).to_have_text("20 of 20 decided.")
    rows = pd.DataFrame(downloaded(page, tmp_path))
    assert rows["action"].value_counts()[["commit", "defer"]].tolist() == [20, 4]

    table = load_answers(tmp_path / "decisions.json").set_index("item_id")
    assert set(table["model"]) == {"ada"}
    chosen = page.evaluate(
        "cases.filter((one) => one.options).map((one) => one.item_id)"
    )
    # the table holds the same answers, a line a case, for whoever has a spreadsheet alone
    lines = saved_table(page)
    ids = page.evaluate("cases.map((one) => one.item_id)")
    first = table[table["strategy"] == "alone"].loc[ids]
    assert [float(line["your confidence"]) for line in lines] == [*first["confidence"]]
    graded = [line["you are right"] for line in lines]
    assert [one in chosen for one in ids] == [one != "" for one in graded]
    with_grade = first["correct"][first.index.isin(chosen)].astype(int).astype(str)
    assert [one for one in graded if one] == [*with_grade]
    assert [line["decision"] for line in lines].count("defer") == 4
    is_graded = table["answer"].notna() & table.index.isin(chosen)  # by the page
    both = table[(table["strategy"] == "with_model") & is_graded]
    n = len(both)
    assert 10 < n < 16
    alone = table[table["strategy"] == "alone"].loc[both.index]
    for line, part, of in ((0, alone, ""), (1, both, ""), (2, both, "model_")):
        confidence = part[f"{of}confidence"].astype(float)
        correct = part[f"{of}correct"].astype(float)
        ends = wilson_interval(correct.sum(), n)
        shares = np.array([correct.mean(), *ends, confidence.mean()])
        share, low, high, mean = np.floor(100 * shares + 0.5).astype(int)
        cells = page.locator("#scores tr").nth(line).locator("td").all_inner_texts()
        assert [cell.replace("\xa0", " ") for cell in cells] == [
            f"{correct.sum():.0f} of {n}: {share} % ({low} to {high} %)",
            f"{mean} %",
            f"{((confidence - correct) ** 2).mean():.3f}",
        ]
    shares = [1, 0.996, 0.0034, 1e-6, 0]
    written = page.evaluate("(shares) => shares.map(inPercent)", shares)
    assert written == [percent(share) for share in shares]
    # the lesson's lab and the grading page have the same rule
    rule = [line for line in SCRIPT.read_text().splitlines() if "const isSo" in line]
    assert rule
    for script in ("teach/lab.js", "certify/page.js"):
        assert rule[0] in (ROOT / "medcal_nb" / script).read_text()


def test_by_hand_no_confidence_is_recorded_that_nobody_gave(cases, opened, tmp_path):
    page = opened(cases, name="")
    sure, button = page.get_by_label("How sure"), page.locator("#submit")

    def refused(words):
        button.click()
        expect(page.locator("#status")).to_contain_text(words)

    shown = json.loads(page.locator("#data").text_content())["cases"]
    place = next(k for k, case in enumerate(shown) if case["options"])
    for _ in range(place):
        page.get_by_role("button", name="Next").click()
    sure.fill("high")
    refused("Write your name or a code first.")
    name = page.get_by_label("Your name or a code")
    name.fill("B")
    refused("Choose or write your answer first.")
    model = shown[place]["answer"]
    own = next(option for option in shown[place]["options"] if option != model)
    name.press_sequentially("o")
    page.get_by_role("radio", name=own, exact=True).click()  # leaves the field
    refused(f"How sure are you of “{own}”?")
    expect(sure).to_have_value("high")  # a name written later takes nothing away
    sure.fill(".9")
    refused("If you mean 90 %")
    sure.fill("90")
    expect(page.locator("#model")).to_be_hidden()
    button.click()
    expect(page.locator("#says")).to_contain_text(f"The model says “{model}”")
    rate = "Of {n} such answers {n_wrong} w".format(**shown[place]["similar"])
    expect(page.locator("#rate")).to_contain_text(rate)
    assert [line["your answer"] for line in saved_table(page)] == [own]
    page.get_by_role("button", name="Take over").click()
    expect(sure).to_have_value("")
    refused("A number from 0 to 100")
    assert len(downloaded(page, tmp_path)) == 1
    sure.fill("55,5 %")
    button.click()
    rows = pd.DataFrame(downloaded(page, tmp_path))
    assert rows[["action", "answer", "confidence"]].to_numpy().tolist() == [
        ["commit", own, 0.9],
        ["accept", model, 0.555],
    ]


CALL = """() => new Promise((done) => {
  addEventListener("securitypolicyviolation", (event) => done(event.effectiveDirective));
  navigator.sendBeacon("http://127.0.0.1:9/", "x");
})"""


def test_a_page_that_was_sent_reaches_no_host(cases, opened, tmp_path):
    shutil.copy(cases, tmp_path / "von Bo.html")
    no_storage = "Storage.prototype.setItem = () => missing"
    page = opened(tmp_path / "von Bo.html", offline=True, script=no_storage)
    give(page, 80)
    page.keyboard.press("k")
    expect(page.locator("#progress")).to_contain_text("1 of 20 decided. This browser")
    assert page.evaluate(CALL) == "connect-src"
    assert "Content Security Policy" in opened.complaints.errors.pop()


def test_hostile_words_are_shown_and_not_run(opened, tmp_path):
    bad = "<!--<script></script><img src=x onerror='window.PWNED=1'>$policy"
    table = table_of(30, model=bad, question=bad, answer=bad, gold=bad)
    table.to_csv(tmp_path / "a.csv", index=False)
    write_page(tmp_path / "a.csv", tmp_path / "a.html")
    page = opened(tmp_path / "a.html", name=bad)
    expect(page.locator("#question")).to_contain_text(bad)
    give(page, 80, words=bad)
    expect(page.locator("#says")).to_contain_text(bad)
    assert page.evaluate("window.PWNED") is None
    assert page.locator("main img").count() == 1
    formula = opened(tmp_path / "a.html", name="=1+1")
    give(formula, 80, words="-2+3")
    (line,) = saved_table(formula)
    assert (line["reader"], line["your answer"]) == ("'=1+1", "'-2+3")


SIDES = ["left lung", "right lung", "both lungs", "2"]
# gold answers, and what a reader answers to each: in words, and by the options
OPEN = {
    "metastasis": ["metastases", "metastasis", "no metastasis", "unknown", "liver metastasis"],
    "pneumothorax": ["The image shows a pneumothorax.", "pneumothorax (left)", "effusion"],
    "5,000": ["5000", "five", "5.000"], "yes": ["ja", "Yes, it is", "no"],
    "3": ["-3", "three", "3.0"], "fracture": ["without fracture"],
    "vertebra": ["vertebrae", "vertebra(e)", "rib"], "x-ray": ["X ray", "radiograph", "CT"],
    "left pleural effusion": ["left effusion", "I don't know", "right pleural effusion"],
    "non-small cell": ["small cell", "non small cell"], "B": ["B", "b.", "C because it is dark"],
}  # fmt: skip
CHOSEN = {gold: SIDES for gold in ("left lung", "B. right lung")}


def test_forty_answers_have_the_grades_of_the_package(opened, tmp_path):
    pairs = [(one, gold, None) for gold, own in OPEN.items() for one in own]
    pairs += [
        (one, gold, json.dumps(SIDES)) for gold, own in CHOSEN.items() for one in own
    ]
    table = pd.DataFrame(pairs, columns=["own", "gold", "options"])
    assert len(table) == 40
    kinds = {"question_type": np.where(table["options"].isna(), "open", "choice")}
    known = {"gold": table["gold"], "options": table["options"]} | kinds
    asked = table_of(len(table), answer=table["gold"], **known)
    asked.drop(columns="correct").to_parquet(tmp_path / "a.parquet")
    write_page(tmp_path / "a.parquet", tmp_path / "a.html", size=99)
    page = opened(tmp_path / "a.html")
    expect(page.locator("#question")).to_be_focused()
    own = dict(zip(asked["item_id"], table["own"], strict=True))
    ids = page.evaluate("cases.map((one) => one.item_id)")
    for item in ids:
        page.evaluate("(answer) => select(answer)", own[item])
        page.locator("#sure").fill("80")
        page.keyboard.press("Enter")
        page.keyboard.press("k")
    shown = page.evaluate(
        "cases.map((one) => gradeOf(one, commitOf(one.item_id).answer))"
    )
    expect(page.locator("#open")).to_contain_text("then “rib”. Right is “vertebra”.")
    rows = downloaded(page, tmp_path)
    assert {row["reader"] for row in rows} == {"ada"}
    assert "correct" not in rows[0]

    answers = load_answers(tmp_path / "decisions.json")
    answers = answers[answers["strategy"] == "alone"].set_index("item_id")["correct"]
    wanted = grade_table(table.rename(columns={"own": "answer"}).assign(**kinds))
    wanted = wanted["correct"].set_axis(asked["item_id"])
    pd.testing.assert_series_equal(answers[ids], wanted[ids], check_names=False)
    is_open = asked.set_index("item_id")["options"][ids].isna()
    by_page = pd.Series(shown, ids, dtype="boolean")
    assert by_page[is_open].isna().all()
    assert (by_page[~is_open] == wanted[ids][~is_open]).all()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible_and_fits_a_phone(cases, opened, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = opened(cases, viewport={"width": 390, "height": 844}, color_scheme=scheme)
    for keys in ("", "ks", "n"):  # the answer is hidden, shown, summed up
        found = axe.run(page, options={"preload": False}).response["violations"]
        assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        if not keys:
            give(page, 80)
        for key in keys:
            page.keyboard.press(key)
    page.get_by_label("single-key commands").uncheck()
    page.keyboard.press("n")
    expect(page.locator("#question")).to_contain_text("Case 3 of 20")
