"""The lesson as a page: complete, small, and asking no host for anything."""

import re
from pathlib import Path

import pytest

from medcal_nb.errors import MedcalError
from medcal_nb.show.exercises import NAMES
from medcal_nb.show.lab import lab, lab_code
from medcal_nb.show.lesson_site import write_lesson_site

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "notebooks" / "07_teaching.ipynb"


def test_the_page_is_whole_and_asks_nobody(tmp_path):
    path = write_lesson_site(NOTEBOOK, ROOT / "figures", tmp_path / "site")
    page = path.read_text(encoding="utf-8")
    assert path.stat().st_size < 2_000_000
    assert page.count('<form class="exercise"') == len(NAMES)
    assert page.count("class='lab'") == 5
    assert "## " not in page
    addresses = set(re.findall(r"https?://[^\s\"'<>]+", page))
    assert addresses == {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xhtml"}, addresses
    assert not re.search(r"(?:src|href)=[\"'](?!data:)", page)
    assert [p.name for p in path.parent.iterdir()] == ["index.html"]


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(MedcalError, match=r"fig07_\w+\.png: no such figure"):
        write_lesson_site(NOTEBOOK, tmp_path, tmp_path)
    with pytest.raises(MedcalError, match="no notebook"):
        write_lesson_site(tmp_path / "none.ipynb", tmp_path, tmp_path)


def test_the_lab_is_one_short_module_without_imports():
    code = lab_code()
    assert len(code.splitlines()) <= 300
    assert not re.search(r"\bimport\b|fetch\(|XMLHttpRequest", code)


def test_the_lab_starts_from_settings_and_refuses_others():
    assert lab(n=100, bins=5).settings == {"n": 100, "bins": 5}
    with pytest.raises(ValueError, match="no setting 'size'"):
        lab(size=3)
