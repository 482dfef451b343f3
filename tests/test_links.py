"""Links of the pages lead to files that a checkout holds, and to headings that they have."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NAMES = "README.md CONTRIBUTING.md CHANGELOG.md */README.md docs/**/*.md figures/*.md"
PAGES = [path for name in NAMES.split() for path in sorted(ROOT.glob(name))]


def prose(page):
    """Text of a page without code."""
    text = page.read_text(encoding="utf-8")
    return re.sub(r"(?ms)^```.*?^```|`[^`\n]*`", "", text)


def anchors(page):
    """Headings of a page as GitHub names them in a link."""
    headings = re.findall(r"(?m)^#+ (.*)$", page.read_text(encoding="utf-8"))
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in plain}


def faults(page):
    """Links of a page that lead nowhere."""
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"\w+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        is_there = target.exists() and "build/" not in path  # no part of a checkout
        if not is_there or (anchor and anchor not in anchors(target)):
            yield link


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_somewhere(page):
    assert list(faults(page)) == []
