"""The lesson's page with the network shut, and the lab's numbers beside the package's."""

import base64
import csv
import functools
import http.server
import threading
from pathlib import Path

import numpy as np
import pytest

from medcal_nb.measure import brier_score, ece, log_loss
from medcal_nb.show import lesson as lesson_numbers
from medcal_nb.show.exercises import HEAD, NAMES, exercise
from medcal_nb.show.figures import save_figure
from medcal_nb.show.lab import lab_code
from medcal_nb.show.lesson_site import write_lesson_site
from tests.browser.conftest import Complaints
from tests.browser.test_lab import open_notebook, run_all

pytestmark = [pytest.mark.browser, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    table = lesson_numbers.base_rate_table([0.5, 0.01], sensitivity=0.9, specificity=0.9)
    for name in ("forecasters", "base_rates", "threshold"):
        figure = lesson_numbers.base_rate_figure(table)
        save_figure(figure, f"fig07_{name}", table, out_dir=folder / "figures", provenance={})
    notebook = ROOT / "notebooks" / "07_teaching.ipynb"
    return write_lesson_site(notebook, folder / "figures", folder / "site")


@pytest.fixture(scope="module")
def lesson(chromium, site):
    """The page from disk, without a network."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900}, offline=True)
    page, told = context.new_page(), Complaints()
    told.watch(page)
    page.goto(site.as_uri())
    page.locator(".medcal-lab").first.wait_for()
    yield page
    context.close()
    assert told.errors == []
    assert told.abroad == []


NUMBERS = """async ([code, settings]) => {
  const lab = await import("data:text/javascript;base64," + code);
  const { confidence, correct } = lab.answers(settings);
  const now = lab.measures(confidence, correct, settings.bins);
  const kept = lab.kept(confidence, correct, settings.threshold, settings.cost);
  return [Array.from(confidence), Array.from(correct), now, kept,
          lab.chance(confidence, settings.bins).ece];
}"""


@pytest.mark.parametrize("seed", range(20))
def test_numbers_equal_the_package_s(lesson, seed):
    rng = np.random.default_rng(seed)
    settings = {
        "right": rng.random(5).round(2).tolist(), "n": int(rng.choice([20, 451, 2000])),
        "bins": int(rng.integers(2, 51)), "temperature": float(rng.uniform(0.25, 5)),
        "threshold": float(rng.random()), "cost": 4, "sample": seed,
    }  # fmt: skip
    if seed % 2:
        settings["temperature"] = 1.0  # what is said then lies at the edges of bins
    code = base64.b64encode(lab_code().encode()).decode()
    c, y, now, kept, luck = lesson.evaluate(NUMBERS, [code, settings])
    c, y = np.array(c), np.array(y)
    assert now["ece"] == pytest.approx(ece(c, y, n_bins=settings["bins"]), abs=1e-9)
    assert now["brier"] == pytest.approx(brier_score(c, y), abs=1e-9)
    assert now["logLoss"] == pytest.approx(log_loss(c, y), abs=1e-9)
    keep = c >= settings["threshold"]
    assert kept["coverage"] == pytest.approx(keep.mean())
    assert kept["cost"] == pytest.approx(((1 - y) * keep + (1 - keep) / 4).mean())
    calibrated = np.random.default_rng(1).random((400, len(c))) < c
    eces = [ece(c, row, n_bins=settings["bins"]) for row in calibrated]
    assert luck == pytest.approx(np.quantile(eces, 0.95), rel=0.12)


def test_a_drag_moves_the_numbers_within_a_frame(lesson):
    lab = lesson.locator(".medcal-lab").first
    lab.scroll_into_view_if_needed()
    value, handle = lab.locator("td").first, lab.locator(".handle").last
    before, box = value.inner_text(), handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    lesson.mouse.move(x, y)
    lesson.mouse.down()
    took = []
    for step in range(1, 13):
        lesson.mouse.move(x, y - 4 * step)
        took.append(float(lab.get_attribute("data-milliseconds")))
    lesson.mouse.up()
    assert value.inner_text() != before
    assert np.median(took) < 50
    now = int(handle.get_attribute("aria-valuenow"))
    handle.press("ArrowDown")
    assert int(handle.get_attribute("aria-valuenow")) == now - 1


def test_exercises_are_checked_as_in_the_notebook(lesson):
    forms = lesson.locator(".exercise")
    assert forms.count() == len(NAMES)
    for form in forms.all():
        question = form.locator("p").first.inner_text()
        asked = next(e for e in map(exercise, NAMES) if e.question in question)
        form.get_by_role("button", name="Check").click()
        assert form.get_by_role("status").inner_text() == asked.check("")[1]
        if asked.options:
            for option in (*(m for m, _ in asked.mistakes), str(asked.answer)):
                form.get_by_label(option, exact=True).check()
                form.get_by_role("button", name="Check").click()
                assert form.get_by_role("status").inner_text() == asked.check(option)[1]
        else:
            mistakes = [str(mistake) for mistake, _ in asked.mistakes]
            for given in ("x", "0.011", "977", *mistakes, str(asked.answer)):
                form.get_by_role("textbox").fill(given)
                form.get_by_role("textbox").press("Enter")
                said = form.get_by_role("status").inner_text()
                assert said.replace('"', "'") == asked.check(given)[1].replace('"', "'")
        form.get_by_role("button", name="Hint").click()
        assert form.locator("li").first.inner_text() == asked.hints[0]
    assert lesson.locator("#score").inner_text().startswith(f"{len(NAMES)} of {len(NAMES)}")
    with lesson.expect_download() as download:
        lesson.locator("#hand-in").click()
    handed = list(csv.reader(download.value.path().read_text(encoding="utf-8").splitlines()))
    assert handed[0] == list(HEAD)
    assert [row[2] for row in handed[1:]] == ["right"] * len(NAMES)


def test_from_a_server_and_on_a_telephone(chromium, site):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=site.parent)
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
    before = view.locator("td").first.inner_text()
    cells = page.locator(".jp-Cell").count()
    handle = view.locator(".handle").last
    handle.focus()
    for _ in range(3):
        page.keyboard.press("PageUp")
    assert view.locator("td").first.inner_text() != before
    assert page.locator(".jp-Cell").count() == cells
