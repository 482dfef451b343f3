"""The reader view in a real browser: served by ``medcal reader``, used by keyboard alone."""

import re
import urllib.error
import urllib.request

import pytest

from medcal_nb.reader.decisions import DecisionLog
from tests.browser import servers
from tests.browser.contrast import contrasts
from tests.reader_answers import write_answers

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def served(chromium, tmp_path_factory):
    """A reader view of a few answers, and where its decisions go."""
    home = tmp_path_factory.mktemp("reader")
    answers = write_answers(home / "answers.sqlite", n_test=8, n_fit=20)
    decisions = home / "decisions.sqlite"
    with servers.reader(
        answers, home / "home", "--name", "ada", "--decisions", str(decisions)
    ) as server:
        yield server, decisions


@pytest.fixture(scope="module")
def reply(page, served):
    """The view, opened and ready, as the browser got it."""
    server, _ = served
    reply = page.goto(server.address())
    page.locator(".medcal-accept").wait_for()
    yield reply
    page.close()  # before its server stops


def heading(page):
    return page.locator(".medcal-reader h2").first.inner_text()


def moved(page, key):
    """Press a key and wait until another case is shown."""
    before = heading(page)
    page.keyboard.press(key)
    page.wait_for_function(
        "before => document.querySelector('.medcal-reader h2').innerText !== before", arg=before
    )


def settle(page):
    """Wait until the page has said the same for a second: its parts arrive one by one."""
    before, now = None, page.locator("body").inner_text()
    while now != before:
        page.wait_for_timeout(1000)
        before, now = now, page.locator("body").inner_text()


def test_an_override_by_keyboard_survives_a_reload(page, served, reply):
    _, decisions = served
    while not page.locator(".medcal-own").is_visible():
        moved(page, "j")
    settle(page)
    place = heading(page).split(":")[0]
    model = re.search("says “(.*)”", page.get_by_text("The model says").inner_text()).group(1)
    options = page.locator(".medcal-own .widget-radio-box label").all_inner_texts()
    other = next(k for k, option in enumerate(options, 1) if option.strip() != model)

    page.keyboard.press(str(other))
    for _ in range(len(options)):  # past the answers further down
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.placeholder") == "optional":
            break
    page.keyboard.type("a doubtful edge, ask Otto")  # letters that are commands elsewhere
    page.keyboard.press("Tab")
    moved(page, "o")
    assert page.get_by_text("Saved.").is_visible()

    (kept,) = DecisionLog(decisions).latest(reader="ada").values()
    assert (kept.action, kept.model_answer) == ("override", model)
    assert kept.answer == options[other - 1].strip()
    assert kept.reason == "a doubtful edge, ask Otto"

    page.reload()
    page.locator(".medcal-accept").wait_for()
    while not heading(page).startswith(place + ":"):
        moved(page, "k" if page.locator(".medcal-previous").is_enabled() else "j")
    settle(page)
    told = page.locator(".medcal-decided").inner_text()
    assert "ada overrode" in told
    assert "Reason: a doubtful edge, ask Otto" in told
    checked = page.locator(".medcal-own input:checked")
    assert checked.count() == 1


def test_what_is_shown_can_be_read(page, reply):
    assert page.get_by_text("not a medical device").is_visible()
    moved(page, "u")  # to a case that is not decided, where no answer is chosen
    page.keyboard.press("s")
    page.get_by_text("Summary", exact=True).wait_for()
    page.keyboard.press("o")
    page.locator("[role=alert]").wait_for()
    told = contrasts(page, ".medcal-reader")
    assert len(told) > 30
    assert [entry for entry in told if entry["ratio"] < entry["needed"]] == []
    for image in page.locator(".medcal-reader img").all():
        assert image.get_attribute("alt")
    assert page.evaluate(
        "[...document.querySelectorAll('.medcal-reader input')].every(i => i.labels.length)"
    )


def test_every_control_is_reached_by_tab_and_shows_it(page, reply):
    page.evaluate("document.activeElement.blur()")
    wanted = {"previous", "next", "undecided", "summary", "accept", "override", "defer"}
    reached, outlines = set(), set()
    for _ in range(40):
        page.keyboard.press("Tab")
        name, outline = page.evaluate(
            """() => {
              const e = document.activeElement;
              const name = [...e.classList].find((c) => c.startsWith('medcal-'));
              return [name || '', parseFloat(getComputedStyle(e).outlineWidth)];
            }"""
        )
        if name:
            reached.add(name.removeprefix("medcal-"))
            outlines.add(outline >= 2)
    # what cannot be pressed at the first or last case is left out by the browser
    assert wanted - reached <= {"previous", "next"}
    assert outlines == {True}


def test_nobody_comes_in_without_the_token(served):
    server, _ = served
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
