"""The reader view in a real browser: served by ``medcal reader``, used by keyboard alone."""

import contextlib
import io
import os
import re
import time
import urllib.error
import urllib.request

import numpy as np
import pandas as pd
import psutil
import pytest
from PIL import Image
from playwright.sync_api import TimeoutError, expect

from medcal_nb.answers import AnswerLog, load_answers
from medcal_nb.logs import import_file
from medcal_nb.reader.decisions import DecisionLog
from tests.browser import servers
from tests.browser.conftest import PATIENCE
from tests.browser.contrast import contrasts
from tests.reader_answers import write_answers

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def served(chromium, tmp_path_factory):
    """A reader view of a few answers, where its decisions go, and the answers."""
    home = tmp_path_factory.mktemp("reader")
    answers = write_answers(home / "answers.sqlite", n_test=8, n_fit=20)
    decisions = home / "decisions.sqlite"
    with servers.reader(
        answers, home / "home", "--name", "ada", "--decisions", str(decisions)
    ) as server:
        yield server, decisions, answers


@pytest.fixture(scope="module")
def reply(page, served):
    """The view, opened and ready, as the browser got it."""
    server, *_ = served
    reply = page.goto(server.address())
    page.locator(".medcal-commit").wait_for()
    yield reply
    page.close()  # before its server stops


def heading(page):
    return page.locator(".medcal-reader h2").first.inner_text()


def moved(page, key):
    """Press a key and wait until another case is shown."""
    before = heading(page)
    page.keyboard.press(key)
    page.wait_for_function(
        "before => document.querySelector('.medcal-reader h2').innerText !== before",
        arg=before,
    )


def ready(page):
    """Wait until the answers to choose from are those of the case, whose parts come one by one."""
    told = page.locator(".medcal-reader p.quiet", has_text="Possible answers:")
    if told.count():
        options = re.search(r"Possible answers: (.*?)\.", told.inner_text()).group(1)
        labels = page.locator(".medcal-own .widget-radio-box label")
        expect(labels).to_have_text(options.split(", "))
    else:
        expect(page.get_by_label("your answer")).to_be_visible()
    return told.count() > 0


def next_with_options(page):
    """Go to the next case that is not decided and has answers to choose from."""
    moved(page, "u")
    while not ready(page):
        moved(page, "j")


def say_how_sure(page, sure):
    """Write a confidence into its field, by keyboard."""
    page.keyboard.press("h")
    page.keyboard.type(str(sure))
    page.keyboard.press("Enter")


def commit(page, digit="1", sure=70):
    """Give an answer and a confidence, and wait for the model's answer, which is returned."""
    says = page.get_by_role("heading", name="The model says")
    for _ in range(
        12
    ):  # a case with the same answers to choose from may arrive after the choice
        page.keyboard.press(digit)
        say_how_sure(page, sure)
        page.keyboard.press("c")
        with contextlib.suppress(TimeoutError):
            says.wait_for(timeout=PATIENCE / 12)
            break
    expect(says).to_be_visible()
    expect(page.locator(".medcal-accept")).to_be_enabled()
    return re.search("says “(.*)”", says.inner_text()).group(1)


def test_before_the_answer_nothing_is_told(page, served, reply):
    """No word of the model's, no id, no name of a file, no alternative text that tells."""
    page.get_by_text("The model's answer is hidden").wait_for()
    ready(page)
    table = AnswerLog(served[2], read_only=True).read()
    # the page with its attributes, but for the pictures' bytes and for what was served as a script
    sent = page.evaluate(
        """() => {
          const copy = document.querySelector('.medcal-reader').cloneNode(true);
          copy.querySelectorAll('style').forEach((e) => e.remove());
          return copy.outerHTML.replace(/base64,[^"]*/g, '');
        }"""
    )
    for name in {*table["item_id"], *table["image_id"]}:
        assert name not in sent
    assert "The model says" not in sent
    told = page.locator(".frame img").get_attribute("alt")
    question = heading(page).split(": ", 1)[1]
    assert told == f"Image to the question: {question}"


def test_an_override_by_keyboard_survives_a_reload(page, served, reply):
    decisions = served[1]
    next_with_options(page)
    place = heading(page).split(":")[0]
    # the model's answer is hidden and can't be taken before an own one is given
    assert page.locator(".medcal-accept").is_disabled()
    page.keyboard.press("a")
    model = commit(page)
    options = page.locator(".medcal-own .widget-radio-box label").all_inner_texts()
    other = next(k for k, option in enumerate(options, 1) if option.strip() != model)

    page.keyboard.press(str(other))
    page.locator(".medcal-own input").first.focus()
    for _ in range(len(options) + 1):  # past the answers further down, and how sure
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.placeholder") == "optional":
            break
    page.keyboard.type(
        "a doubtful edge, ask Otto"
    )  # letters that are commands elsewhere
    page.keyboard.press("Enter")
    moved(page, "o")
    page.get_by_text("Saved:").wait_for()

    (kept,) = DecisionLog(decisions).latest(reader="ada").values()
    assert (kept.action, kept.model_answer) == ("override", model)
    assert kept.answer == options[other - 1].strip()
    assert kept.reason == "a doubtful edge, ask Otto"
    assert kept.confidence == 0.7
    assert 0 < kept.seconds < 600
    (own,) = DecisionLog(decisions).commitments(reader="ada").values()
    assert (own.item_id, own.confidence) == (kept.item_id, 0.7)

    page.reload()
    page.locator(".medcal-commit").wait_for()
    page.get_by_text(
        "The model's answer is hidden"
    ).wait_for()  # answer first, as before
    while not heading(page).startswith(place + ":"):
        moved(page, "k" if page.locator(".medcal-previous").is_enabled() else "j")
    told = page.locator(".medcal-decided").inner_text()
    assert "ada overrode" in told
    assert "Reason: a doubtful edge, ask Otto" in told
    expect(page.locator(".medcal-own input:checked")).to_have_count(1)


def test_a_decision_is_taken_back_by_its_key(page, served, reply):
    next_with_options(page)
    place = heading(page)
    commit(page)
    before = len(DecisionLog(served[1]).latest())
    moved(page, "a")
    assert len(DecisionLog(served[1]).latest()) == before + 1
    page.get_by_text(f"{before + 1} of").wait_for()
    moved(page, "z")
    page.get_by_text("Undone:").wait_for()
    assert heading(page) == place
    assert len(DecisionLog(served[1]).latest()) == before


def test_single_keys_can_be_switched_off(page, reply):
    switch = page.get_by_label("single-key commands")
    place = heading(page)
    switch.uncheck()
    page.keyboard.press("j" if page.locator(".medcal-next").is_enabled() else "k")
    page.keyboard.press("s")
    page.wait_for_timeout(1000)
    assert heading(page) == place
    assert page.get_by_role("heading", name="Summary", exact=True).count() == 0
    switch.check()
    page.keyboard.press("s")
    page.get_by_role("heading", name="Summary", exact=True).wait_for()
    page.keyboard.press("s")
    page.get_by_role("heading", name="Summary", exact=True).wait_for(state="hidden")


def brightness(page):
    """Return the mean and the spread of the picture as it is drawn."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(done))")
    drawn = page.locator(".frame").screenshot()
    grey = np.asarray(Image.open(io.BytesIO(drawn)).convert("L"), float)
    return grey.mean(), grey.std()


def zoomed(page):
    return float(
        re.search(r"zoom ([\d.]+)", page.locator(".seen").inner_text()).group(1)
    )


def test_the_picture_is_zoomed_and_windowed_by_keyboard_and_mouse(page, reply):
    page.keyboard.press("0")
    plain = brightness(page)
    for _ in range(3):
        page.keyboard.press(",")
    brighter = brightness(page)
    assert brighter[0] > plain[0] + 5
    page.keyboard.press("0")
    assert brightness(page) == plain
    page.keyboard.press("+")
    assert zoomed(page) == 1.3
    for _ in range(4):
        page.keyboard.press("-")
    assert zoomed(page) == 1.0
    box = page.locator(".frame").bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*middle)
    page.mouse.wheel(0, -100)  # not before the picture was clicked: the page scrolls
    assert zoomed(page) == 1.0
    page.mouse.click(*middle)
    page.mouse.wheel(0, -100)
    page.wait_for_function(
        "document.querySelector('.seen').innerText.startsWith('zoom 1.3')"
    )
    page.keyboard.press("0")
    page.keyboard.down("Shift")
    page.mouse.down()
    page.mouse.move(middle[0] - 120, middle[1])
    page.mouse.up()
    page.keyboard.up("Shift")
    assert re.search(r"window [2-6]\d,", page.locator(".seen").inner_text())
    assert brightness(page)[1] > plain[1]  # a narrower window: more contrast
    page.get_by_role("button", name="Reset").click()
    assert brightness(page) == plain
    image = page.locator(".frame img")
    assert image.evaluate("e => getComputedStyle(e).imageRendering") == "pixelated"


@pytest.mark.parametrize("size", [(1366, 768), (1440, 900)])
def test_buttons_and_summary_are_on_the_screen(page, reply, size):
    page.set_viewport_size(dict(zip(("width", "height"), size, strict=True)))
    next_with_options(page)
    commit(page)
    page.keyboard.press("s")
    summary = page.get_by_role("heading", name="Summary", exact=True)
    summary.wait_for()
    names = (
        "previous",
        "next",
        "undecided",
        "undo",
        "summary",
        "more",
        "accept",
        "override",
        "defer",
        "sure",
    )
    places = [page.locator(f".medcal-{name}") for name in names]
    for part in (*places, page.get_by_label("single-key commands"), summary):
        box = part.bounding_box()
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= size[1]
        assert box["x"] + box["width"] <= size[0]
    assert page.evaluate("document.scrollingElement.scrollTop") == 0
    page.keyboard.press("s")
    summary.wait_for(state="hidden")
    page.set_viewport_size({"width": 1280, "height": 900})


def test_what_is_shown_can_be_read(page, reply):
    assert page.get_by_text("not a medical device").is_visible()
    next_with_options(page)
    page.keyboard.press("s")
    page.get_by_role("heading", name="Summary", exact=True).wait_for()
    page.keyboard.press("c")
    page.locator("[role=alert]").wait_for()
    hidden = contrasts(page, ".medcal-reader")
    commit(page)
    told = contrasts(page, ".medcal-reader") + hidden
    assert len(told) > 60
    assert [entry for entry in told if entry["ratio"] < entry["needed"]] == []
    for image in page.locator(".medcal-reader img").all():
        assert image.get_attribute("alt")
    assert page.evaluate(
        "[...document.querySelectorAll('.medcal-reader input')].every(i => i.labels.length)"
    )


def test_every_control_is_reached_by_tab_in_order_and_shows_it(page, reply):
    page.locator(".medcal-reader h1").click()
    wanted = [
        "next",
        "undecided",
        "undo",
        "summary",
        "frame",
        "accept",
        "override",
        "defer",
    ]
    reached, outlines = [], set()
    for _ in range(40):
        page.keyboard.press("Tab")
        name, outline = page.evaluate(
            """() => {
              const e = document.activeElement;
              const name = [...e.classList].find((c) => c.startsWith('medcal-') || c === 'frame');
              return [name || '', parseFloat(getComputedStyle(e).outlineWidth)];
            }"""
        )
        name = name.removeprefix("medcal-")
        if name in reached:
            break
        if name:
            reached.append(name)
            outlines.add(outline >= 2)
    # what cannot be pressed at the first or last case is left out by the browser
    assert [name for name in reached if name != "previous"] == wanted
    assert outlines == {True}


def test_twenty_cases_by_script_end_in_a_summary_and_in_answers(
    chromium, tmp_path_factory
):
    """A reader that is right most of the time, from the first case to the import."""
    home = tmp_path_factory.mktemp("twenty")
    answers = write_answers(home / "answers.sqlite", n_test=24, n_fit=60)
    decisions = home / "decisions.sqlite"
    options = ("--name", "ada", "--decisions", str(decisions), "--size", "20")
    with servers.reader(answers, home / "home", *options) as server:
        page = chromium.new_page(viewport={"width": 1366, "height": 768})
        page.set_default_timeout(PATIENCE)
        page.goto(server.address())
        drive(page, 20)
        summary = page.locator(".medcal-reader .summary")
        summary.wait_for()
        shown = summary.inner_text()
        screenshots = os.environ.get("MEDCAL_SCREENSHOTS")
        if screenshots:
            page.screenshot(path=f"{screenshots}/summary.png", full_page=True)
        expect(page.locator(".medcal-more")).to_be_enabled()
        page.close()
    log = DecisionLog(decisions)
    final = pd.DataFrame(log.latest(reader="ada").values())
    own = pd.DataFrame(log.commitments(reader="ada").values())
    assert len(final) == len(own) == 20
    graded = final[final["action"] != "defer"]
    n, right = len(graded), int(graded["correct"].sum())
    assert f"{100 * right / n:.0f} %" in shown.splitlines()[-1]
    assert f"({right} of {n})" in shown
    assert f"{100 * graded['confidence'].mean():.0f} %" in shown.splitlines()[-1]
    brier = ((graded["confidence"] - graded["correct"].astype(float)) ** 2).mean()
    assert f"{brier:.3f}" in shown.splitlines()[-1]
    # from the reader's decisions to answers like a model's
    log.export(home / "decisions.json")
    import_file(home / "decisions.json", home / "imported.sqlite")
    table = load_answers(home / "imported.sqlite")
    assert table.groupby("strategy").size().to_dict() == {
        "alone": 20,
        "with_model": 20,
    }
    assert set(table["model"]) == set(table["reader"]) == {"ada"}
    mine = table[table["strategy"] == "with_model"]
    assert mine["correct"].astype(float).sum() == right


def drive(page, n):
    """Decide n cases by keyboard: mostly the first answer, then the model's, or one's own."""
    for case in range(n):
        page.locator(".medcal-commit:enabled").wait_for()
        if ready(page):
            commit(page, digit=str(1 + case % 2), sure=50 + 2 * case)
        else:
            field = page.get_by_label("your answer")
            field.fill("a nodule")
            field.press("Enter")
            say_how_sure(page, 30)
            page.keyboard.press("c")
        page.locator(".medcal-accept:enabled").wait_for()
        say_how_sure(page, 40 + 3 * case)
        page.keyboard.press("d" if case % 7 == 6 else "a")
        decided = page.get_by_text(f"{case + 1} of {n}", exact=True)
        decided.wait_for()


def test_it_ends_at_once_with_its_kernels(tmp_path):
    answers = write_answers(tmp_path / "answers.sqlite", n_test=8, n_fit=20)
    with servers.reader(answers, tmp_path / "home") as server:
        with urllib.request.urlopen(server.address(), timeout=180) as reply:
            reply.read()  # the page is whole when its kernel has run
        children = psutil.Process().children()
        (process,) = [p for p in children if str(answers) in p.cmdline()]
        kernels = process.children(recursive=True)
        assert kernels
        began = time.monotonic()
        process.terminate()
        assert process.wait(10) == 0
        assert time.monotonic() - began < 2
        _, alive = psutil.wait_procs(kernels, timeout=1)
        assert alive == []


def test_nobody_comes_in_without_the_token(served):
    server, *_ = served
    for path in ("/", "/voila/render/reader.ipynb", "/api/kernels"):
        status, place, said = fetched(server.url + path)
        assert status in (401, 403, 404) or "login" in place, path
        assert "Reader" not in said, path


def fetched(url):
    """Return status, final address and text of what a stranger gets."""
    try:
        with urllib.request.urlopen(url, timeout=20) as reply:
            return reply.status, reply.url, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, url, error.read().decode()


def test_the_page_may_call_nobody_else(reply):
    policy = reply.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "connect-src 'self'" in policy
