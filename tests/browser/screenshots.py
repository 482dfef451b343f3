"""Take the README's screenshots: ``python -m tests.browser.screenshots ANSWERS [--to docs/img]``.

They show the real thing: notebook 07 in JupyterLab, run and turned, and the reader view of a file
of answers.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from tests.browser import servers
from tests.browser.conftest import ARGUMENTS
from tests.browser.test_lab import all_run, open_notebook, run_all

ROOT = Path(__file__).resolve().parents[2]
SIZE = {"width": 1280, "height": 860}


def take_lesson(page: Page, home: Path, to: Path) -> None:
    """Show notebook 07 with its temperature turned."""
    folder = home / "notebooks"
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "notebooks" / "07_teaching.ipynb", folder)
    with servers.jupyterlab(folder, home) as lab:
        open_notebook(page, lab, "07_teaching.ipynb")
        page.keyboard.press("Control+b")  # fold the file browser
        run_all(page)
        all_run(page)
        view = page.locator(".medcal-lab").nth(3)
        view.locator("input[name=temperature]").fill("1.6")
        heading = page.get_by_role("heading", name="Turn the temperature")
        heading.evaluate("e => e.scrollIntoView({block: 'start'})")
        page.wait_for_timeout(2000)
        _save(page, to)
        page.close()


def take_reader(page: Page, home: Path, answers: Path, to: Path) -> None:
    """Show the reader view of some answers, at a case on which the ways of asking disagree."""
    decisions = home / "decisions.sqlite"
    home.mkdir(parents=True)
    page.set_viewport_size(SIZE | {"height": 1040})
    options = [
        "--name",
        "you",
        "--decisions",
        str(decisions),
        "--errors-allowed",
        "0.3",
        "--model-first",
    ]
    with servers.reader(answers, home / "home", *options) as server:
        page.goto(server.address())
        page.locator(".medcal-accept").wait_for()
        for _ in range(30):
            disagree = page.locator(".medcal-reader ul:not(.past) li").count()
            if disagree and page.locator(".medcal-own").is_visible():
                break
            before = page.locator(".medcal-reader h2").first.inner_text()
            page.keyboard.press("j")
            page.wait_for_function(
                "before => document.querySelector('.medcal-reader h2').innerText !== before",
                arg=before,
            )
            page.wait_for_timeout(500)  # the evidence comes after the question
        page.keyboard.press("1")
        page.wait_for_timeout(500)
        _save(page, to)
        page.close()


def _save(page: Page, to: Path) -> None:
    """Save what is seen with a palette, which keeps text sharp and files small."""
    page.screenshot(path=to)
    with Image.open(to) as image:
        small = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    small.save(to, optimize=True)


def main() -> None:
    """Take both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("answers", type=Path, help="a file of answers for the reader view")
    parser.add_argument("--to", type=Path, default=ROOT / "docs" / "img")
    parser.add_argument("--only", choices=["lesson", "reader"])
    given = parser.parse_args()
    given.to.mkdir(parents=True, exist_ok=True)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        for name in ("lesson", "reader"):
            if given.only not in (None, name):
                continue
            page = browser.new_context(viewport=SIZE).new_page()
            page.set_default_timeout(120_000)
            to, home = given.to / f"{name}.png", Path(folder) / name
            if name == "lesson":
                take_lesson(page, home, to)
            else:
                take_reader(page, home, given.answers.resolve(), to)
            print(f"wrote {to}")


if __name__ == "__main__":
    main()
