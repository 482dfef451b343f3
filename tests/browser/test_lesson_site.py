"""The lesson's page with the network shut, and the lab's numbers beside the package's."""

import base64
import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from playwright.sync_api import expect
from scipy.stats import binom

from medcal_nb.answers.recorded import load_recorded
from medcal_nb.errors import MedcalError
from medcal_nb.measure import auroc, brier_score, ece, log_loss
from medcal_nb.measure.binned import bins_of
from medcal_nb.measure.inversion import inverted_interval
from medcal_nb.reader import write_page
from medcal_nb.teach import lesson as parts
from medcal_nb.teach.key import answer_key
from medcal_nb.teach.lab import LEVELS, answers, mean_ece
from medcal_nb.teach.lesson_site import write_lesson_site, write_sheet
from medcal_nb.wording import percent
from tests.browser.conftest import PATIENCE, Complaints
from tests.teach.executed import ROOT, executed_lesson
from tests.teach.plan import plan

pytestmark = [pytest.mark.browser, pytest.mark.slow]
CODE = Path(parts.__file__).with_name("lab.js").read_bytes()
MODULE = f"data:text/javascript;base64,{base64.b64encode(CODE).decode()}"


@pytest.fixture(params=[1440], scope="module")
def lesson(chromium, tmp_path_factory, request):
    """The page from disk, without a network."""
    size = {"width": request.param, "height": 900}
    context = chromium.new_context(viewport=size, offline=True)
    context.set_default_timeout(PATIENCE)
    page, complaints = context.new_page(), Complaints()
    complaints.watch(page)
    site = write_lesson_site(executed_lesson(), tmp_path_factory.mktemp("site"))
    assert site.stat().st_size < 600_000
    assert [*site.parent.iterdir()] == [site]
    page.goto(site.as_uri())
    page.locator(".medcal-lab").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") == request.param
    yield page
    context.close()
    assert (complaints.errors, complaints.abroad) == ([], [])


def download(page, link):
    """Return the rows of the CSV file behind a link."""
    with page.expect_download() as file:
        link.click()
    text = file.value.path().read_text(encoding="utf-8")
    return list(csv.reader(text.splitlines()))


NUMBERS = """async ([module, settings, normal]) => {
  const lab = await import(module);
  const rows = lab.answers(settings), now = lab.measures(rows, settings.bins);
  const chosen = lab.selection(rows, settings.threshold, settings.cost);
  return [rows.map(({ says, right }) => [says, right]),
    [now.ece, now.brier, now.logLoss, lab.auroc(rows), chosen.coverage, chosen.cost],
    lab.interval(now.table, normal), lab.band(settings.n, settings.threshold)];
}"""


@pytest.mark.parametrize("seed", range(4))
def test_numbers_equal_the_package_s(lesson, seed):
    rng = np.random.default_rng(seed)
    # every fourth is calibrated: the lower end of the interval is 0
    right = rng.random(5).round(2).tolist() if seed % 4 else list(LEVELS)
    how = {"temperature": rng.uniform(0.25, 5) if seed % 4 else 1.0, "sample": seed}
    n, bins = int(rng.choice([50, 451, 2000])), int(rng.integers(2, 51))
    p = rng.random()
    settings = {"right": right, "n": n, "bins": bins, "threshold": p, "cost": 4}
    normal = np.random.default_rng(99).standard_normal(51 * 1000).tolist()
    values = lesson.evaluate(NUMBERS, [MODULE, settings | how, normal])
    rows, scores, interval, band = values
    c, y = answers(right, n, **how)
    assert np.array(rows) == pytest.approx(np.c_[c, y], abs=1e-12)
    wanted = [ece(c, y, n_bins=bins), brier_score(c, y), log_loss(c, y), auroc(c, y)]
    wanted += [(c >= p).mean(), np.where(c >= p, 4 * (1 - y), 1).mean()]
    assert scores == pytest.approx(wanted, abs=1e-9)
    # the same random numbers, the same interval
    wanted = inverted_interval(
        c,
        y,
        bins_of(c, bins),
        np.arange(c.size),
        level=0.95,
        rng=np.random.default_rng(99),
    )
    ends = [interval["low"], interval["high"]]
    assert ends == pytest.approx([wanted.low, wanted.high], abs=1e-6)
    assert band == pytest.approx(binom.ppf([0.025, 0.975], n, p) / n)
    calibrated = np.random.default_rng(1).random((400, n)) < c
    eces = [ece(c, row, n_bins=bins) for row in calibrated]
    assert interval["luck"] == pytest.approx(np.quantile(eces, 0.95), rel=0.15)


def test_prevalence_moves_the_calibration_and_not_the_auroc(lesson):
    """The lab's groups of readings are the recorded ones, reweighted."""
    readings = load_recorded("viper").query("dataset == 'screeningHighP'")
    edges = [-1, 29, 59, 100, 119, 139, 159, 179, 10_000]
    group, ill = pd.cut(readings["score"], edges), readings["correct"].astype(bool)
    numbers = """async ([module, p]) => {
      const lab = await import(module), rows = lab.readings(p);
      return [lab.SCORES, lab.measures(rows).ece, lab.auroc(rows)];
    }"""
    home, there = (lesson.evaluate(numbers, [MODULE, p]) for p in (ill.mean(), 0.05))
    assert home[0] == pd.crosstab(group, ~ill).to_numpy().tolist()  # cancers first
    assert home[1] < 1e-9
    assert 0.3 < there[1] < 0.4
    assert home[2] == pytest.approx(auroc(group.cat.codes / 8, ill))
    assert there[2] == pytest.approx(home[2])


def test_exercises_tell_the_numbers_of_the_lab_above_them(lesson):
    """What the lab draws is what `answers` draws."""
    for control, sizes, of in (("n", (100, 400), 15), ("bins", (5, 30), 200)):
        view = lesson.locator(".medcal-lab", has=lesson.locator(f"[name={control}]"))
        home = view.locator("xpath=ancestor::*[@data-start]")
        start = json.loads(home.get_attribute("data-start"))
        below = view.locator("xpath=following::form[@data-exercise][1]")
        why = json.loads(below.get_attribute("data-exercise"))["why"]
        assert len(start["numbers"]) == 2
        for size in sizes:
            how = {"n": of, "bins": of} | {control: size}
            assert f" {mean_ece(start['right'], **how):.3f} " in why


def _of_cases(page):
    """Words of a page of cases, and pixels of its images: their files differ by machine."""
    text = page.read_text(encoding="utf-8")
    files = re.findall(r"data:image/png;base64,([\w+/=]+)", text)
    pixels = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(file)))).tobytes()
        for file in files
    ]
    assert len(pixels) == 20
    text = re.sub(r"data:image/png;base64,[\w+/=]+", "", text)
    return re.sub(r'"set": "\w+"', "", text), pixels


def test_the_page_and_the_key_in_the_repository_are_today_s(tmp_path, five):
    """But for the pixels of its figures, which differ from machine to machine."""
    stale = "stale: run `make lesson-site`"
    folder = ROOT / "docs" / "lesson"
    words = [
        re.sub(r"data:image/png;base64,[\w+/=]+", "", page.read_text(encoding="utf-8"))
        for page in (
            write_lesson_site(executed_lesson(), tmp_path),
            folder / "index.html",
        )
    ]
    assert words[0] == words[1], stale
    assert "For teachers: a slide" not in words[0]
    sheet = write_sheet(folder / "student.md", tmp_path)
    assert sheet.read_bytes() == (folder / "sheet.html").read_bytes(), stale
    write_page("pocket", tmp_path / "cases.html")
    today, kept = (_of_cases(one / "cases.html") for one in (tmp_path, folder))
    assert today == kept, stale
    assert (folder / "cases.html").stat().st_size < 1_000_000
    key = (folder / "key.md").read_text(encoding="utf-8")
    assert answer_key(five) == key, stale
    # the key's numbers of real models are those of the lesson's finding
    results = executed_lesson().parent / "results" / "07_teaching.json"
    first = json.loads(results.read_text(encoding="utf-8"))["findings"][0]
    (ends,) = re.findall(r"\d+ to \d+ %", first)
    assert f"{ends} were right on medical\nquestions" in key
    teacher = (folder / "teacher.md").read_text(encoding="utf-8")
    assert f"*of the answers called about 90 % sure,\n{ends} were right" in teacher


def test_a_notebook_that_was_not_executed_is_refused(tmp_path):
    with pytest.raises(MedcalError, match="not executed: run `medcal study 07` first"):
        write_lesson_site(ROOT / "notebooks" / "07_teaching.ipynb", tmp_path)


def test_what_90_percent_is_worth_is_counted_from_recorded_answers():
    """The first finding's numbers on GMAI-MMBench, from the recorded table itself."""
    table = pd.read_parquet(ROOT / "data" / "recorded" / "vlcb.parquet")
    sure = table[table["self_probing"].between(0.8499, 0.9501)]
    sure = sure[sure["dataset"] == "GMAI-MMBench"].dropna(subset="correct")
    shares = 100 * sure.groupby("model")["correct"].mean()
    path = executed_lesson().parent / "results" / "07_teaching.json"
    first = json.loads(path.read_text(encoding="utf-8"))["findings"][0]
    ends = f"{shares.min():.0f} to {shares.max():.0f} %"
    assert f"{ends} were right on GMAI-MMBench" in first


def test_dots_are_dragged_and_moved_by_keys(lesson):
    view = lesson.locator(".medcal-lab").first
    view.scroll_into_view_if_needed()
    value, handle = view.locator(".number").first, view.locator(".handle").last
    before = value.inner_text()
    handle.drag_to(view.locator(".handle").first)
    assert value.inner_text() != before
    assert float(view.get_attribute("data-milliseconds")) < 100
    now = int(handle.get_attribute("aria-valuenow"))
    handle.press("ArrowDown")
    assert int(handle.get_attribute("aria-valuenow")) == now - 1


def test_exercises_tell_each_mistake_its_own_words(lesson):
    lesson.locator(".more > summary").click()
    for form in lesson.locator(".medcal-exercise").all():
        asked = form.evaluate("e => JSON.parse(e.dataset.exercise)")
        right = [asked["answer"], f"Right. {asked['why']}"]
        for given, words in [*asked["mistakes"], right]:
            if asked["options"]:
                form.get_by_label(given, exact=True).check()
            else:
                form.get_by_role("textbox").fill(str(given))
            form.get_by_role("button", name="Check").press("Enter")
            assert form.get_by_role("status").inner_text() == words
        form.get_by_role("button", name="Hint").click()
        assert form.locator("li").first.inner_text() == asked["hints"][0]
    expect(lesson.locator("#score")).to_have_text("11 of 11 exercises right")
    boaster = lesson.locator(".medcal-exercise").first
    boaster.get_by_role("textbox").fill("30")
    boaster.get_by_role("textbox").press("Enter")
    words = "As a share, please, or with its sign: 0.3 or 30 %."
    expect(boaster.get_by_role("status")).to_have_text(words)
    threshold = lesson.locator(".medcal-exercise").nth(8)
    threshold.get_by_role("textbox").fill("0.95")
    threshold.get_by_role("textbox").press("Enter")
    expect(threshold.get_by_role("status")).to_contain_text("In percent, please")
    _, *rows = download(lesson, lesson.locator(".medcal-hand-in a"))
    assert [row[2] for row in rows] == ["right"] * 11  # who plays on loses nothing


def test_the_quiz_by_keyboard_to_its_file(lesson):
    """All twenty, then both diagrams, numbers as the package has them, and the CSV."""
    quiz = lesson.locator(".medcal-quiz")
    cases = quiz.evaluate("e => JSON.parse(e.dataset.cases)")
    sure, rng, mine = quiz.get_by_role("slider"), np.random.default_rng(5), []
    quiz.get_by_role("button", name="Next").press("Enter")
    assert quiz.get_by_role("alert").inner_text() == "Choose an answer first."
    for case in cases:
        assert quiz.locator("legend").inner_text() == case["question"]
        answer, confidence = rng.choice(case["options"]), int(rng.integers(8, 21)) * 5
        quiz.get_by_label(answer, exact=True).press("Space")
        sure.fill(str(confidence - 5))
        sure.press("ArrowRight")
        mine.append((answer, confidence / 100, float(answer == case["gold"])))
        assert not quiz.locator(".result").is_visible()
        sure.press("Enter")
    quiz.locator(".summary").wait_for()
    shown = [(one["answer"], one["confidence"], one["gold"]) for one in cases]
    model = [(answer, c, float(answer == gold)) for answer, c, gold in shown]
    for figure, side in zip(quiz.locator("figure").all(), (mine, model), strict=True):
        _, c, y = zip(*side, strict=True)
        words = figure.locator("p").inner_text()
        mean = f"mean confidence {percent(np.mean(c))} %"
        assert words == f"{mean}, right in {sum(y):.0f} of 20"
    # what is more than percentages is folded
    quiz.locator("summary").first.click()
    for line, side in zip(quiz.locator(".scores li").all(), (mine, model), strict=True):
        _, c, y = zip(*side, strict=True)
        words = line.inner_text()
        assert f"ECE {ece(c, y, n_bins=5):.2f} in 5 bins (95 % CI " in words
        assert words.endswith(f"Brier score {brier_score(c, y):.2f}")
    # no class leaves with "AI is useless": the model did as well as guessing
    guessed = sum(1 / len(one["options"]) for one in cases)
    right = sum(answer == gold for answer, _, gold in shown)
    assert abs(right - guessed) < 2
    told = quiz.locator(".coin").inner_text()
    assert f"right in {right} of 20, where guessing gives about {guessed:.0f}." in told
    _, *rows = download(lesson, quiz.get_by_role("link", name="as a file"))
    assert [(row[3], float(row[4]), float(row[5])) for row in rows] == mine
    assert [(row[6], float(row[7]), float(row[8])) for row in rows] == model


@pytest.mark.parametrize("lesson", [390], indirect=True)
def test_votes_and_answers_outlive_a_reload_until_they_are_cleared(lesson):
    start, end = lesson.locator(".medcal-vote").all()
    boaster = lesson.locator(".medcal-exercise").first
    for given, written in (("=2+2", "'=2+2"), ("0,30", "0,30")):  # no formula
        boaster.get_by_role("textbox").fill(given)
        boaster.get_by_role("button", name="Check").click()
        rows = download(lesson, lesson.locator(".medcal-hand-in a"))
        assert rows[1][1] == written
    start.get_by_label("rely on it").check()
    lesson.locator(".medcal-quiz [name=answer]").first.check()
    lesson.get_by_role("button", name="Next").click()
    lesson.reload()
    assert start.get_by_label("rely on it").is_checked()
    expect(boaster.get_by_role("status")).to_contain_text("Right.")
    expect(lesson.locator("#score")).to_contain_text("1 of 11")
    expect(lesson.locator(".place")).to_have_text("Image 2 of 20")
    assert not end.locator(".truth").is_visible()
    end.get_by_label("have it checked").check()
    assert end.locator(".truth").is_visible()
    assert end.get_by_label("rely on it").is_disabled()  # a vote, not a reply to it
    rows = download(lesson, lesson.locator(".medcal-hand-in a"))
    assert [row[1] for row in rows[-2:]] == ["rely on it", "have it checked"]
    lesson.on("dialog", lambda dialog: dialog.accept())
    lesson.get_by_role("button", name="Clear my answers").click()
    expect(lesson.locator("#score")).to_contain_text("0 of 11")
    lesson.evaluate("localStorage.setItem('medcal-lesson', '[damaged')")
    lesson.reload()
    assert boaster.get_by_role("textbox").input_value() == ""
    assert lesson.locator(".medcal-vote :checked, .truth:visible").count() == 0
    expect(lesson.locator(".place")).to_have_text("Image 1 of 20")


def test_the_votes_of_a_class_are_counted_from_its_files(lesson, tmp_path):
    head = "question,your answer,result,tries"
    texts = (
        f'{head}\n"Is 1 ""one"", or not?",yes,right,2\nVote,rely on it,vote,1',
        # as a spreadsheet saves it
        f"{head}\r\nVote,rely on it,vote,1\r\n".replace(",", ";"),
        "image,question\n1,2",
    )
    files = [tmp_path / f"{k}.csv" for k in range(3)]
    for file, text in zip(files, texts, strict=True):
        file.write_text(text)
    box = lesson.locator(".medcal-class")
    box.locator("summary").click()
    box.locator("input").set_input_files(files)
    expect(box.get_by_role("status")).to_contain_text("Not of this lesson: 2.csv.")
    rows = [row.locator("td").all_inner_texts() for row in box.locator("tr").all()[1:]]
    assert rows == [['Is 1 "one", or not?', "right", "1"], ["Vote", "rely on it", "2"]]
    assert not box.locator("figure").is_visible()
    # answers of the quiz and of the page of cases, without those that nobody graded
    quiz = 'image,your confidence,you are right\n1,"0.9","1"\n2,0.5,0'
    cases = 'reader;case;your confidence;you are right\nB;1;"0,8";0\nB;2;0,7;'
    files[0].write_text(quiz)
    files[1].write_text(cases)
    box.locator("input").set_input_files(files[:2])
    expect(box.locator("figcaption")).to_contain_text(
        "mean confidence 73 %, right in 33 % of 3."
    )


@pytest.mark.parametrize("lesson", [390], indirect=True)
def test_the_45_minutes_show_and_count_what_the_teacher_s_table_names(lesson):
    """By its address or by its switch, which is remembered; by keys alone."""

    def shown():
        heads = lesson.locator("h2:visible").all_inner_texts()
        return [re.sub(r" \(.*|¶", "", head).strip() for head in heads]

    address, everything = lesson.url, shown()
    at_the_end = ["To take home", "What this does not show"]
    once_more = "2 once more: what chance alone shows"  # for who wants it, in no plan
    assert everything == [
        *list(plan("## Timing"))[:-1],
        at_the_end[0],
        once_more,
        at_the_end[1],
    ]
    lesson.goto(f"{address}?minutes=45")
    assert shown() == [*list(plan("### In 45 minutes"))[:-1], *at_the_end]
    expect(lesson.locator("#score")).to_have_text("0 of 4 exercises right")
    assert lesson.locator(".medcal-exercise:visible").count() == 4
    assert lesson.evaluate("document.documentElement.scrollWidth") == 390
    whole = lesson.get_by_role("radio", name="an hour")
    lesson.get_by_role("radio", name="45 minutes").focus()
    lesson.keyboard.press("ArrowUp")
    expect(whole).to_be_checked()
    expect(lesson.locator("#score")).to_have_text("0 of 11 exercises right")
    assert shown() == everything
    lesson.keyboard.press("ArrowDown")
    lesson.goto(address)
    expect(lesson.locator("#score")).to_have_text("0 of 4 exercises right")
    lesson.get_by_role("radio", name="an hour").check()


@pytest.mark.parametrize("lesson", [390], indirect=True)
def test_the_quiz_may_stop_at_ten(lesson):
    quiz = lesson.locator(".medcal-quiz")
    stop = quiz.get_by_role("button", name="Stop here")
    for _ in range(10):
        assert not stop.is_visible()
        quiz.locator("[name=answer]").first.check()
        quiz.get_by_role("button", name="Next").click()
    stop.click()
    expect(quiz.locator(".summary")).to_be_focused()
    lesson.reload()  # it stays stopped
    captions = quiz.locator("figure p").all_inner_texts()
    assert all("of 10" in words for words in captions)
    assert len(captions) == 2
    _, *rows = download(lesson, quiz.get_by_role("link", name="as a file"))
    assert len(rows) == 10
    lesson.get_by_role("button", name="Clear my answers").click()
    expect(quiz.locator(".place")).to_have_text("Image 1 of 20")


def test_a_finger_drags_a_dot_and_scrolls_beside_it(chromium):
    """On a telephone the picture is as wide as the screen: it must not hold the page."""
    size = {"width": 390, "height": 844}
    context = chromium.new_context(
        viewport=size, has_touch=True, is_mobile=True, offline=True
    )
    page = context.new_page()
    page.goto((ROOT / "docs" / "lesson" / "index.html").as_uri())
    view = page.locator(".medcal-lab").first
    view.wait_for()
    touch = context.new_cdp_session(page)

    def swipe(x, y, by):
        for k in range(10):
            point = {"x": x, "y": y + by * k / 9}
            kind = "touchMove" if k else "touchStart"
            event = {"type": kind, "touchPoints": [point]}
            touch.send("Input.dispatchTouchEvent", event)
            page.wait_for_timeout(30)
        end = {"type": "touchEnd", "touchPoints": []}
        touch.send("Input.dispatchTouchEvent", end)
        page.wait_for_timeout(300)  # whatever scrolls has come to rest

    picture = view.locator("svg").first
    picture.evaluate("e => e.scrollIntoView({block: 'center'})")
    handle, whole = view.locator(".handle").last, picture.bounding_box()
    box, seen = handle.bounding_box(), page.evaluate("scrollY")
    assert min(box["width"], box["height"]) > 36
    before = int(handle.get_attribute("aria-valuenow"))
    swipe(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, -60)
    # 60 pixels of the 280 of 352 that are the axis
    points = 100 * 60 / (whole["width"] * 280 / 352)
    moved = int(handle.get_attribute("aria-valuenow")) - before
    assert moved == pytest.approx(points, abs=2)
    assert page.evaluate("scrollY") == seen
    swipe(whole["x"] + 0.7 * whole["width"], whole["y"] + 0.8 * whole["height"], -150)
    assert page.evaluate("scrollY") > seen + 100
    context.close()


def test_it_can_be_read_touched_and_reached_by_tab(lesson):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    for scheme in ("dark", "light"):
        lesson.emulate_media(color_scheme=scheme)
        violations = axe.run(lesson, options={"preload": False}).response["violations"]
        assert [(one["id"], one["nodes"][0]["html"]) for one in violations] == []
    for part in lesson.locator("input:not([type=radio]), button, .handle").all():
        box = part.bounding_box() or {"width": 24, "height": 24}  # hidden
        assert min(box["width"], box["height"]) >= 24
    lesson.locator(".handle").first.focus()
    for level in (10, 30, 50, 70, 90):
        name = f"right at a confidence of {level} %"
        expect(lesson.locator(":focus")).to_have_attribute("aria-label", name)
        lesson.keyboard.press("Tab")
