"""The lesson as a page: complete, small, and asking no host for anything."""

import ast
import json
import re
from pathlib import Path

import pytest

from medcal_nb.errors import MedcalError
from medcal_nb.show.figures import save_figure
from medcal_nb.teach import lesson
from medcal_nb.teach.exercises import NAMES, exercise
from medcal_nb.teach.lab import CONTROLS, lab, lab_code
from medcal_nb.teach.lesson_site import write_lesson_site

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "notebooks" / "07_teaching.ipynb"


@pytest.fixture
def figures(tmp_path, rng):
    """The lesson's three figures, as a study publishes them."""
    table = lesson.base_rate_table([0.5, 0.1], sensitivity=0.9, specificity=0.9)
    for name in ("forecasters", "base_rates", "threshold"):
        figure = lesson.base_rate_figure(table)
        told = {"caption": "Rarer & less", "alt": "100 dots", "provenance": {}}
        save_figure(
            figure, f"fig07_{name}", table, out_dir=tmp_path / "figures", **told
        )
    return tmp_path / "figures"


def test_the_page_is_whole_and_asks_nobody(tmp_path, figures):
    path = write_lesson_site(NOTEBOOK, figures, tmp_path / "site")
    page = path.read_text(encoding="utf-8")
    assert path.stat().st_size < 2_000_000
    assert page.count('<form class="medcal-exercise"') == len(NAMES)
    assert page.count('<div class="lab"') == 8
    assert page.count('<form class="medcal-vote"') == 2
    assert page.count('<section class="medcal-quiz"') == 1
    assert page.count("<script") == 1
    assert page.count("<figcaption>Rarer &amp; less</figcaption>") == 3
    assert (
        page.count("I am 90 % sure.</b>") == 2
    )  # the picture at the beginning and at the end
    assert lesson.reopening().markup in page
    assert not re.search(r"<img(?![^>]*alt=.[^'\"]+)", page)
    assert "## " not in page
    assert not re.search(r"https?://|import\(", page)
    assert not re.search(r"(?:src|href)=[\"'](?!data:)", page)
    assert all(text in page for text in exercise("base_rate")["hints"])
    assert [p.name for p in path.parent.iterdir()] == ["index.html"]


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(MedcalError, match=r"fig07_\w+\.png: no such figure"):
        write_lesson_site(NOTEBOOK, tmp_path, tmp_path)


def test_the_lab_is_one_short_module_without_imports():
    code = lab_code()
    assert ".medcal-lab .handle" in code  # its style is put in
    lines = (ROOT / "medcal_nb" / "teach" / "lab.js").read_text().splitlines()
    assert len(lines) <= 450
    assert not re.search(r"\bimport\b|fetch\(|XMLHttpRequest", code)


def test_the_lab_starts_from_settings_and_refuses_others():
    shown = lab(n=100, bins=5)
    assert shown.settings == {"n": 100, "bins": 5}
    with pytest.raises(ValueError, match="no setting 'size'"):
        lab(size=3)
    with pytest.raises(ValueError, match="no control 'cost'"):
        lab(control="cost")
    with pytest.raises(ValueError, match="no number 'mean'"):
        lab(numbers=["ece", "mean"])


def test_each_section_has_one_control_and_two_numbers():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells]
    labs = [
        call
        for source, cell in zip(sources, cells, strict=True)
        if cell["cell_type"] == "code"
        for call in ast.walk(ast.parse(source))
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "lab"
    ]
    controls = []
    for call in labs:
        settings = {key.arg: ast.literal_eval(key.value) for key in call.keywords}
        lab(**settings)
        assert len(settings["numbers"]) == 2
        controls.append(settings["control"])
    assert set(controls) == set(CONTROLS)
