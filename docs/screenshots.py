"""Take the README's screenshots: ``python -m docs.screenshots ANSWERS``.

They show the real thing: the lesson's page, and the reader page of a file of answers.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from medcal_nb.reader import write_page
from medcal_nb.teach.lesson_site import write_lesson_site
from tests.browser.conftest import ARGUMENTS
from tests.teach.executed import ROOT, executed_lesson


def take_lesson(page: Page, home: Path) -> None:
    """Show the lesson's page with the prevalence of a cancer moved."""
    page.goto(write_lesson_site(executed_lesson(), home).as_uri())
    page.locator("input[name=prevalence]").fill("0.1")
    heading = page.get_by_role("heading", name="Calibrated here, not there")
    heading.evaluate("e => e.scrollIntoView()")
    save(page, "lesson")


def take_reader(page: Page, home: Path, answers: Path) -> None:
    """Show a case of the reader page with the model's answer."""
    write_page(answers, home / "cases.html")
    page.goto((home / "cases.html").as_uri())
    page.keyboard.type("you")
    page.keyboard.press("Enter")
    while not page.locator("#take").is_enabled() or page.locator("#model").is_hidden():
        # to a case on which the first answer is not the model's
        page.keyboard.press("n")
        if page.locator("#answers kbd").count():
            page.keyboard.press("1")
            page.keyboard.type("70")
            page.keyboard.press("Enter")
    save(page, "reader")


def save(page: Page, name: str) -> None:
    """Save what is seen with a palette, which keeps text sharp and files small."""
    path = ROOT / "docs" / "img" / f"{name}.png"
    page.screenshot(path=path)
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    small.save(path, optimize=True)


if __name__ == "__main__":
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1280, "height": 860})
        page.set_default_timeout(120_000)
        take_lesson(page, Path(folder))
        take_reader(page, Path(folder), Path(sys.argv[1]))
