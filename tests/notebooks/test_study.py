"""What a study publishes, read from one small run of it."""

import json
import re
import sys
from pathlib import Path

import nbformat
import pytest

from medcal_nb.run import ROOT, compare_results
from tests.notebooks.conftest import AS_PUBLISHED

NAMES = sorted(path.stem for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))

pytestmark = [pytest.mark.notebooks, pytest.mark.slow]


@pytest.fixture(params=NAMES)
def step(request, study_run):
    (one,) = [step for step in study_run.steps if step.name == request.param]
    assert study_run.outcomes[one.name].startswith("ran"), study_run.outcomes[one.name]
    return one


def results_of(step):
    return json.loads(step.results.read_text(encoding="utf-8"))


def test_findings_hold_numbers(step):
    findings = results_of(step)["findings"]
    assert findings
    # the answers of 10 are all graded, and nothing else is lacking anywhere
    left_out = set(results_of(step).get("left_out", {}).values())
    assert left_out <= {"model with over 2 % ungraded"}
    for text in findings:
        assert re.search(r"\d", text)
        assert not re.search(r"\b(nan|inf|None)\b|\[\]|\{", text)


def test_the_page_shows_every_figure_and_finding_and_no_place(step):
    page = (step.figures / f"{step.name}.md").read_text(encoding="utf-8")
    for name in results_of(step)["files"]:
        assert not name.endswith(".png") or f"]({name})" in page
    assert page.count("<blockquote") >= 1
    for place in (ROOT, step.figures, step.work, Path.home(), sys.prefix):
        assert f"{place}/" not in page
    assert not re.search(r"Traceback|Warning:|site-packages|it/s|<Figure", page)


def test_the_executed_copy_shows_what_is_published(step):
    executed = nbformat.read(step.executed, as_version=4)
    outputs = [output for cell in executed.cells for output in cell.get("outputs", ())]
    marks = [output.get("metadata", {}).get("medcal") for output in outputs]
    published = [name for name in results_of(step)["files"] if name.endswith(".png")]
    shown = [mark.rpartition("](")[2] for mark in marks if mark]
    assert sorted(shown) == sorted(f"{name})" for name in published)
    for name in published:
        assert (step.figures / name).read_bytes().startswith(b"\x89PNG")
        assert (step.figures / name).with_suffix(".csv").stat().st_size


@pytest.mark.parametrize("name", AS_PUBLISHED)
def test_a_study_gives_the_published_results(name, study_run):
    (step,) = [step for step in study_run.steps if step.name == name]
    published = ROOT / "figures" / "results" / f"{name}.json"
    assert not compare_results(
        json.loads(published.read_text("utf-8")), results_of(step)
    )
