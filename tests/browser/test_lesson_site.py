"""The lesson's page with the network shut, and the lab's numbers beside the package's."""

import base64
import csv
import functools
import http.server
import re
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import expect
from scipy.stats import binom

from medcal_nb.answers.recorded import load_recorded
from medcal_nb.datasets import pocket
from medcal_nb.measure import auroc, brier_score, ece, ece_interval, log_loss
from medcal_nb.show.figures import save_figure
from medcal_nb.teach import exercises
from medcal_nb.teach import lesson as lesson_numbers
from medcal_nb.teach.exercises import NAMES, exercise
from medcal_nb.teach.lab import lab, lab_code
from medcal_nb.teach.lesson_site import write_lesson_site
from tests.browser.conftest import PATIENCE, Complaints
from tests.browser.contrast import contrasts
from tests.browser.test_lab import open_notebook, run_all

pytestmark = [pytest.mark.browser, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    table = lesson_numbers.base_rate_table(
        [0.5, 0.01], sensitivity=0.9, specificity=0.9
    )
    for name in ("forecasters", "base_rates", "threshold"):
        figure = lesson_numbers.base_rate_figure(table)
        told = {"alt": "a hundred dots", "provenance": {}}
        save_figure(figure, f"fig07_{name}", table, out_dir=folder / "figures", **told)
    notebook = ROOT / "notebooks" / "07_teaching.ipynb"
    return write_lesson_site(notebook, folder / "figures", folder / "site")


@pytest.fixture(scope="module")
def lesson(chromium, site):
    """The page from disk, without a network."""
    context = chromium.new_context(
        viewport={"width": 1440, "height": 900}, offline=True
    )
    context.set_default_timeout(PATIENCE)
    page, told = context.new_page(), Complaints()
    told.watch(page)
    page.goto(site.as_uri())
    page.locator(".medcal-lab").first.wait_for()
    yield page
    context.close()
    assert told.errors == []
    assert told.abroad == []


NUMBERS = """async ([code, settings, normal]) => {
  const lab = await import("data:text/javascript;base64," + code);
  const rows = lab.answers(settings), now = lab.measures(rows, settings.bins);
  const kept = lab.kept(rows, settings.threshold, settings.cost);
  const bands = [[20, 0.3], [451, 0.93], [7, 0.5]].map(([n, p]) => lab.band(n, p));
  return [rows, now, kept, lab.auroc(rows), lab.interval(now.table, normal), bands];
}"""


def code_of_the_lab():
    return base64.b64encode(lab_code().encode()).decode()


@pytest.mark.parametrize("seed", range(20))
def test_numbers_equal_the_package_s(lesson, seed):
    rng = np.random.default_rng(seed)
    settings = {
        "right": rng.random(5).round(2).tolist(),
        "n": int(rng.choice([20, 451, 2000])),
        "bins": int(rng.integers(2, 51)),
        "temperature": float(rng.uniform(0.25, 5)),
        "threshold": float(rng.random()),
        "cost": 4,
        "sample": seed,
    }
    if seed % 4 == 0:  # near calibrated: the lower end is 0
        settings["right"] = list(lesson_numbers.LEVELS)
        settings["temperature"] = 1.0
    normal = np.random.default_rng(99).standard_normal(51 * 1000)
    rows, now, kept, area, interval, bands = lesson.evaluate(
        NUMBERS, [code_of_the_lab(), settings, normal.tolist()]
    )
    c = np.array([row["says"] for row in rows])
    y = np.array([row["right"] for row in rows], dtype=float)
    bins = settings["bins"]
    assert len(c) == settings["n"]
    assert len(set(c)) == len(c)  # spread: no two answers claim the same
    assert now["ece"] == pytest.approx(ece(c, y, n_bins=bins), abs=1e-9)
    assert now["brier"] == pytest.approx(brier_score(c, y), abs=1e-9)
    assert now["logLoss"] == pytest.approx(log_loss(c, y), abs=1e-9)
    assert area == pytest.approx(auroc(c, y), abs=1e-9)
    # the same random numbers, the same interval
    wanted = ece_interval(c, y, n_bins=bins, rng=np.random.default_rng(99))
    assert interval["low"] == pytest.approx(wanted.low, abs=1e-6)
    assert interval["high"] == pytest.approx(wanted.high, abs=1e-6)
    for (n, p), band in zip([(20, 0.3), (451, 0.93), (7, 0.5)], bands, strict=True):
        assert band == pytest.approx(binom.ppf([0.025, 0.975], n, p) / n)
    keep = c >= settings["threshold"]
    assert kept["coverage"] == pytest.approx(keep.mean())
    assert kept["cost"] == pytest.approx(((1 - y) * keep + (1 - keep) / 4).mean())
    calibrated = np.random.default_rng(1).random((400, len(c))) < c
    eces = [ece(c, row, n_bins=bins) for row in calibrated]
    assert interval["luck"] == pytest.approx(np.quantile(eces, 0.95), rel=0.15)


def test_prevalence_moves_the_calibration_and_not_the_auroc(lesson):
    """The page's numbers are the package's on real readings, reweighted."""
    readings = load_recorded("viper").query("dataset == 'screeningHighP'")
    edges = [-1, 29, 59, 100, 119, 139, 159, 179, 10_000]
    group = pd.cut(readings["score"], edges, labels=False)
    ill = readings["correct"].astype(bool)
    counts = pd.crosstab(group, ~ill).to_numpy()  # with a cancer first
    numbers = """async ([code, p]) => {
      const lab = await import("data:text/javascript;base64," + code);
      const rows = lab.readings(p);
      return [lab.SCORES, lab.measures(rows).ece, lab.auroc(rows)];
    }"""
    confidence = (counts[:, 0] / counts.sum(axis=1))[group]
    wanted = auroc(confidence, ill.to_numpy(float))
    for prevalence, least, most in ((ill.mean(), 0, 1e-9), (0.05, 0.3, 0.4)):
        scores, error, area = lesson.evaluate(
            numbers, [code_of_the_lab(), float(prevalence)]
        )
        assert scores == counts.tolist()
        assert area == pytest.approx(wanted)
        assert least <= error <= most
    view = lesson.locator(".medcal-lab", has=lesson.locator("[name=prevalence]"))
    error, area = view.locator("dd").all()
    assert error.inner_text() == "0.003"  # the slider starts at 46 % sharp
    before = area.inner_text()
    view.locator("input").fill("0.05")
    assert float(error.inner_text()) > 0.3
    assert area.inner_text() == before
    view.locator("input").fill("0.46")


def test_finer_bins_show_more_luck(lesson):
    """What the exercise on bins asks: the calibrated lab at 5 and at 30 bins."""
    view = lesson.locator(".medcal-lab", has=lesson.locator("[name=bins]"))
    shown = []
    for bins in (5, 30):
        view.locator("input").fill(str(bins))
        shown.append(float(view.locator("dd").first.inner_text()))
        boxes = view.locator("svg").first.locator("rect").count() / 2
        assert boxes == bins  # what is drawn is what is counted: a box and a dash each
    assert shown[0] < shown[1]
    view.locator("input").fill("5")


def test_each_lab_has_one_control_two_numbers_and_a_key_for_every_mark(lesson):
    marks = """lab => {
      const picture = [...lab.querySelectorAll(":scope > svg *")];
      const seen = picture.filter((e) => ["circle", "rect", "path", "line"].includes(e.tagName));
      const looks = (e) => [e.tagName, e.getAttribute("class"), e.getAttribute("fill"),
        e.getAttribute("stroke-dasharray")].join();
      const axes = (e) => e.tagName === "path" && !e.hasAttribute("stroke-dasharray")
        && !e.classList.length;
      const kinds = [...new Set(seen.filter((e) => !axes(e) && !e.matches(".handle")).map(looks))];
      const keys = [...lab.querySelectorAll(".legend svg *")].map(looks)
        .map((look) => look.replace("path,,none,2 4", "line,,none,2 4"));
      return [kinds.filter((kind) => !keys.includes(kind)), keys.length];
    }"""
    for view in lesson.locator(".medcal-lab").all():
        assert view.locator("input").count() <= 1
        assert view.locator("input, .handle").count() in (1, 5)
        assert view.locator("dd").count() == 2
        without, keys = view.evaluate(marks)
        assert without == []
        assert keys >= 2


def test_what_is_touched_is_large_enough(lesson):
    touched = "input:not([type=radio]), button, .handle, select"
    for part in lesson.locator(touched).all():
        if part.is_visible():
            box = part.bounding_box()
            assert min(box["width"], box["height"]) >= 24


def test_dragging_keeps_up_with_the_screen(lesson):
    view = lesson.locator(".medcal-lab").first
    view.scroll_into_view_if_needed()
    value, handle = view.locator("dd").first, view.locator(".handle").last
    before, box = value.inner_text(), handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    lesson.mouse.move(x, y)
    lesson.mouse.down()
    took = []
    for step in range(1, 41):
        lesson.mouse.move(x, y + 2 * step)
        took.append(float(view.get_attribute("data-milliseconds")))
    lesson.mouse.up()
    assert value.inner_text() != before
    assert np.median(took) < 16
    now = int(handle.get_attribute("aria-valuenow"))
    handle.press("ArrowDown")
    assert int(handle.get_attribute("aria-valuenow")) == now - 1
    # the slowest number, the interval of the ECE, while its slider moves
    view = lesson.locator(".medcal-lab", has=lesson.locator("[name=n]"))
    took = []
    for key in ["ArrowRight", "ArrowLeft"] * 10:
        view.locator("input").press(key)
        took.append(float(view.get_attribute("data-milliseconds")))
    assert np.median(took) < 16
    shown = view.locator("dd").first.inner_text()
    assert re.fullmatch(r"0\.\d{3} \[0\.\d{3}, 0\.\d{3}\]", shown)


def test_answers_votes_and_quiz_outlive_a_reload_until_they_are_cleared(chromium, site):
    context = chromium.new_context(
        viewport={"width": 1280, "height": 900}, offline=True
    )
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.goto(site.as_uri())
    start, end = page.locator(".medcal-vote").all()
    start.get_by_label("rely on it").check()
    boaster = page.locator(".medcal-exercise").first
    boaster.get_by_role("textbox").fill("0.3")
    boaster.get_by_role("button", name="Check").click()
    quiz = page.locator(".medcal-quiz")
    quiz.locator("[name=answer]").first.check()
    quiz.get_by_role("button", name="Next").click()
    page.reload()
    assert start.get_by_label("rely on it").is_checked()
    assert boaster.get_by_role("textbox").input_value() == "0.3"
    expect(boaster.get_by_role("status")).to_contain_text("Right.")
    expect(page.locator("#score")).to_contain_text("1 of 10")
    expect(quiz.locator(".place")).to_have_text("Image 2 of 20")
    end.get_by_label("have it checked").check()
    expect(end.get_by_role("status")).to_have_text(
        "At the start you would rely on it; now you would have it checked."
    )
    handed = download(page, page.locator(".medcal-hand-in a"))
    assert [row[1] for row in handed[-2:]] == ["rely on it", "have it checked"]
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Clear my answers").click()
    expect(page.locator("#score")).to_contain_text("0 of 10")
    for _ in range(2):
        assert boaster.get_by_role("textbox").input_value() == ""
        assert page.locator(".medcal-vote :checked").count() == 0
        expect(quiz.locator(".place")).to_have_text("Image 1 of 20")
        page.reload()
    page.evaluate("localStorage.setItem('medcal-lesson', '[damaged')")
    page.reload()
    expect(page.locator("#score")).to_contain_text("0 of 10")
    context.close()


def checked(asked, given):
    """What is to be said to an answer that is neither empty nor no number."""
    if given == asked["answer"]:
        return f"Right. {asked['why']}"
    told = [words for mistake, words in asked["mistakes"] if mistake == given]
    return (
        told[0]
        if told
        else f"Too {'large' if given > asked['answer'] else 'small'}. Take a hint?"
    )


def test_exercises_tell_each_mistake_its_own_words(lesson):
    forms = lesson.locator(".medcal-exercise")
    assert forms.count() == len(NAMES)
    for form in forms.all():
        question = form.locator("p").first.inner_text()
        asked = next(e for e in map(exercise, NAMES) if e["question"] in question)
        status, mistakes = form.get_by_role("status"), [m for m, _ in asked["mistakes"]]
        form.get_by_role("button", name="Check").click()
        assert status.inner_text() == "No answer yet."
        for given in (*([] if asked["options"] else [977]), *mistakes, asked["answer"]):
            if asked["options"]:
                form.get_by_label(given, exact=True).check()
            else:
                form.get_by_role("textbox").fill(str(given))
            form.get_by_role("button", name="Check").press("Enter")
            assert status.inner_text() == checked(asked, given)
        form.get_by_role("button", name="Hint").click()
        assert form.locator("li").first.inner_text() == asked["hints"][0]
    assert (
        lesson.locator("#score")
        .inner_text()
        .startswith(f"{len(NAMES)} of {len(NAMES)}")
    )
    handed = download(lesson, lesson.locator(".medcal-hand-in a"))
    assert handed[0] == ["question", "your answer", "result", "tries"]
    assert [row[2] for row in handed[1:]] == ["right"] * len(NAMES)
    boaster = next(row for row in handed if row[0] == exercise("boaster")["question"])
    assert boaster[3] == str(2 + len(exercise("boaster")["mistakes"]))


def download(page, link):
    """Return the rows of the CSV file behind a link."""
    with page.expect_download() as download:
        link.click()
    text = download.value.path().read_text(encoding="utf-8")
    return list(csv.reader(text.splitlines()))


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("boaster", "0,3", "Right."),
        ("boaster", "30%", "Right."),
        ("boaster", " 0.2 ", "Too small"),
        ("boaster", "a lot", "“a lot” is not a number"),
        ("threshold", "95 %", "Right."),
        (
            "threshold",
            "0.95",
            "In percent, please: 0.95 would be less than one percent.",
        ),
        ("base_rate", "95%", "That is the base-rate slip"),
    ],
)
def test_numbers_as_students_write_them(lesson, name, given, said):
    form = lesson.locator(".medcal-exercise", has_text=exercise(name)["question"])
    form.get_by_role("textbox").fill(given)
    form.get_by_role("textbox").press("Enter")
    expect(form.get_by_role("status")).to_contain_text(said)


def test_a_file_to_hand_in_holds_no_formula(lesson):
    form = lesson.locator(".medcal-exercise", has_text=exercise("boaster")["question"])
    form.get_by_role("textbox").fill('=HYPERLINK("x")')
    form.get_by_role("textbox").press("Enter")
    given = [row[1] for row in download(lesson, lesson.locator(".medcal-hand-in a"))]
    assert """'=HYPERLINK("x")""" in given


def test_the_quiz_by_keyboard_to_its_file(lesson):
    """All twenty, then both diagrams, numbers as the package has them, and the CSV."""
    quiz = lesson.locator(".medcal-quiz")
    cases, sure = pocket.load("quiz"), quiz.get_by_role("slider")
    said = pocket.fresh_answers("pocketvqa-medical", lesson_numbers.MODEL, "verbalized")
    said = said.set_index("item_id").loc[cases["item_id"]]
    quiz.get_by_role("button", name="Next").press("Enter")
    assert quiz.get_by_role("alert").inner_text() == "Choose an answer first."
    rng, mine = np.random.default_rng(5), []
    for k, case in enumerate(cases.to_dict("records"), 1):
        assert quiz.locator(".place").inner_text() == f"Image {k} of 20"
        assert quiz.locator("legend").inner_text() == case["question"]
        assert quiz.locator("form img").get_attribute("alt") == f"Image {k} of 20"
        guess = f"A guess is right {100 / len(case['options']):.0f} % of the time."
        assert quiz.locator(".chance").inner_text() == guess
        answer, confidence = rng.choice(case["options"]), int(rng.integers(8, 21)) * 5
        quiz.get_by_label(answer, exact=True).press("Space")
        sure.fill(str(confidence - 5))
        sure.press("ArrowRight")
        assert quiz.locator("output").inner_text() == f"{confidence} %"
        mine.append((answer, confidence / 100, float(answer == case["gold"])))
        assert not quiz.locator(".result").is_visible()
        sure.press("Enter")
    told = quiz.locator(".told")
    told.wait_for()
    assert lesson.evaluate("document.activeElement.className") == "told"
    _, c, y = zip(*mine, strict=True)
    assert f"were right in {100 * np.mean(y):.0f} %" in told.inner_text()
    sides = [(np.array(c), np.array(y)),
             (said["confidence"].to_numpy(float), said["correct"].to_numpy(float))]  # fmt: skip
    for figure, (confidence, correct) in zip(
        quiz.locator("figure").all(), sides, strict=True
    ):
        words = figure.locator("p").inner_text()
        assert f"is right in {correct.sum():.0f} of 20" in words
        assert f"ECE {ece(confidence, correct, n_bins=5):.2f} [" in words
        assert f"Brier score {brier_score(confidence, correct):.2f}" in words
        assert figure.get_by_role("img").get_attribute("aria-label").endswith(words)
        n_bins = len(set(np.ceil(confidence * 5 - 1e-9)))
        # a band and a mark for each
        assert figure.locator("rect").count() == 2 * n_bins
    head, *rows = download(lesson, quiz.get_by_role("link", name="as a file"))
    assert head[3:] == ["your answer", "your confidence", "you are right", "model's answer",
                        "model's confidence", "model is right"]  # fmt: skip
    assert [(row[3], float(row[4]), float(row[5])) for row in rows] == mine
    assert [row[6] for row in rows] == said["answer"].tolist()
    assert [float(row[7]) for row in rows] == pytest.approx(said["confidence"].tolist())
    assert [row[2] for row in rows] == cases["gold"].tolist()


def test_it_can_be_read_and_reached_by_tab(lesson):
    for scheme in ("dark", "light"):
        lesson.emulate_media(color_scheme=scheme)
        told = contrasts(lesson, "body")
        assert len(told) > 150
        assert [entry for entry in told if entry["ratio"] < entry["needed"]] == []
    assert lesson.locator("img:not([alt])").count() == 0
    nameless = (
        "e => [...e.querySelectorAll('input')].filter(i => !i.labels.length).length"
    )
    assert lesson.locator("body").evaluate(nameless) == 0
    view = lesson.locator(".medcal-lab").first
    view.locator(".handle").first.focus()
    reached = []
    for _ in range(5):
        name = "e => e.getAttribute('aria-label') || e.name || e.innerText"
        reached.append(lesson.evaluate_handle("document.activeElement").evaluate(name))
        lesson.keyboard.press("Tab")
    assert reached == [f"right at a confidence of {p} %" for p in (10, 30, 50, 70, 90)]
    luck = lesson.locator(".medcal-lab").nth(1)
    luck.locator("input").focus()
    lesson.keyboard.press("Tab")
    assert lesson.evaluate("document.activeElement.innerText") == "Another sample"


def test_a_copy_of_the_notebook_is_alive_without_a_kernel(chromium, tmp_path):
    bundle = lab(n=100, bins=5)._repr_mimebundle_()
    drawn = (bundle[0] if isinstance(bundle, tuple) else bundle)["text/html"]
    parts = [exercises.ask("boaster"), lesson_numbers.quiz(), exercises.hand_in()]
    copy = tmp_path / "copy.html"
    words = drawn + "".join(part._repr_html_() for part in parts)
    copy.write_text(f"<!doctype html><meta charset='utf-8'>{words}", encoding="utf-8")
    page, told = chromium.new_page(), Complaints()
    told.watch(page)
    page.goto(copy.as_uri())
    expect(page.locator(".lab .medcal-lab")).to_have_count(
        1
    )  # drawn once, whoever wakes it
    expect(page.locator(".lab dd").first).to_have_text(re.compile(r"0\.\d{3}"))
    assert "open this notebook" not in page.locator(".lab").inner_text()
    expect(page.locator(".medcal-exercise[data-live]")).to_have_count(1)
    expect(page.locator(".medcal-quiz .place")).to_have_text("Image 1 of 20")
    assert page.locator(".medcal-score").inner_text() == "0 of 10 exercises right"
    page.close()
    assert (told.errors, told.abroad) == ([], [])


def test_from_a_server_and_on_a_telephone(chromium, site):
    handler = functools.partial(
        http.server.SimpleHTTPRequestHandler, directory=site.parent
    )
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = chromium.new_page(viewport={"width": 390, "height": 844})
        told = Complaints()
        told.watch(page)
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        page.locator(".medcal-lab").first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        page.close()
        server.shutdown()
    assert (told.errors, told.abroad) == ([], [])


def test_the_same_lab_in_jupyterlab(page, lab):
    open_notebook(page, lab, "reliability.ipynb")
    run_all(page)
    view = page.locator(".medcal-lab").first
    view.wait_for()
    before = view.locator("dd").first.inner_text()
    cells = page.locator(".jp-Cell").count()
    handle = view.locator(".handle").last
    handle.focus()
    now = int(handle.get_attribute("aria-valuenow"))
    for key in (
        *["PageDown"] * 4,
        "ArrowUp",
        "ArrowDown",
        "a",
        "b",
    ):  # commands of Lab, too
        page.keyboard.press(key)
    assert int(handle.get_attribute("aria-valuenow")) == now - 20
    assert view.locator("dd").first.inner_text() != before
    assert page.locator(".jp-Cell").count() == cells
