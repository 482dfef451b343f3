"""Take the screenshots of README: ``make pictures``, or ``python -m docs.screenshots report``.

They show the real thing: the lesson's page, and the reader page and report of recorded answers. A
picture holds the words that stand in it, so that a test can tell one of a page that has changed.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image, PngImagePlugin
from playwright.sync_api import Page, sync_playwright

from medcal_nb.answers import load_answers, write_table
from medcal_nb.reader import write_page
from medcal_nb.report import write_report
from medcal_nb.teach.lesson_site import write_lesson_site
from tests.browser.conftest import ARGUMENTS
from tests.teach.executed import executed_lesson

ROOT = Path(__file__).resolve().parents[1]
SIZE = {"width": 1280, "height": 860}


def take_lesson(page: Page, home: Path, to: Path) -> None:
    """Show the lesson's page with the prevalence of a cancer moved."""
    site = write_lesson_site(executed_lesson(), home)
    page.goto(site.as_uri())
    page.locator("input[name=prevalence]").fill("0.1")
    heading = page.get_by_role("heading", name="Calibrated here, not there")
    heading.evaluate("e => e.scrollIntoView()")
    _save(page, to)


def take_reader(page: Page, home: Path, to: Path) -> None:
    """Show a case of the reader page with the model's answer."""
    write_page("pocket", home / "cases.html")
    page.goto((home / "cases.html").as_uri())
    page.locator("#reader").fill("you")
    page.locator("#reader").press("Enter")
    while not page.locator("#take").is_enabled() or page.locator("#model").is_hidden():
        # to a case on which the first answer is not the model's
        page.keyboard.press("n")
        if page.locator("#answers kbd").count():
            page.keyboard.press("1")
            page.keyboard.type("70")
            page.keyboard.press("Enter")
    _save(page, to)


def take_report(page: Page, home: Path, to: Path) -> None:
    """Show the first screen of the report on a model of the study."""
    answers = load_answers("vlcb").query("dataset == 'GMAI-MMBench'")
    one = "model == 'Qwen3-VL-8B-Instruct' and strategy == 'self_probing'"
    write_table(answers.query(one), home / "answers.csv")
    write_report(home / "answers.csv", home / "report")
    page.goto((home / "report" / "report.html").as_uri())
    _save(page, to)


def words_of(picture: Path) -> str:
    """Return the words that stand in a screenshot, as it says itself."""
    with Image.open(picture) as image:
        return str(image.info.get(_WORDS, ""))


#: Where a PNG says what it shows.
_WORDS = "Description"
#: The words of a page that its window shows, in their order.
_SEEN = """() => {
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const range = document.createRange(), words = [];
  while (texts.nextNode()) {
    range.selectNodeContents(texts.currentNode);
    const box = range.getBoundingClientRect();
    if (box.width && box.bottom > 0 && box.top < innerHeight) words.push(range.toString());
  }
  return words.join(" ");
}"""


def _save(page: Page, to: Path) -> None:
    """Save what is seen with a palette, which keeps text sharp and files small."""
    page.screenshot(path=to)
    text = re.sub(r"\d{4}-\d\d-\d\d", "today", page.evaluate(_SEEN))
    about = PngImagePlugin.PngInfo()
    about.add_itxt(_WORDS, " ".join(text.split()))
    with Image.open(to) as image:
        small = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    small.save(to, optimize=True, pnginfo=about)


#: What is taken, by name.
SHOTS = {"lesson": take_lesson, "reader": take_reader, "report": take_report}
PICTURES = ROOT / "docs" / "img"


def main(names: list[str]) -> None:
    """Take those that are named, or all."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        for name in names or SHOTS:
            page = browser.new_context(viewport=SIZE).new_page()
            page.set_default_timeout(120_000)
            to = PICTURES / f"{name}.png"
            with tempfile.TemporaryDirectory() as folder:
                SHOTS[name](page, Path(folder), to)
            print(f"wrote {to}")


if __name__ == "__main__":
    main(sys.argv[1:])
