"""The notebook by plain papermill, and the lesson as a page: whole, small, asking no host."""

import html
import json
import re

import pandas as pd
import pytest

from medcal_nb.errors import MedcalError
from medcal_nb.teach.exercises import NAMES, exercise
from medcal_nb.teach.lab import CONTROLS, mean_ece
from medcal_nb.teach.lesson_site import write_lesson_site
from tests.teach.executed import ROOT, executed_lesson

pytestmark = pytest.mark.notebooks


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("site")
    path = write_lesson_site(executed_lesson(), folder)
    assert path.stat().st_size < 600_000
    assert [file.name for file in folder.iterdir()] == ["index.html"]
    return path.read_text(encoding="utf-8")


def test_the_page_is_whole_and_asks_nobody(page):
    assert page.count('<form class="medcal-exercise"') == len(NAMES) == 10
    assert page.count('<form class="medcal-vote"') == 2
    assert page.count('<section class="medcal-quiz"') == 1
    assert page.count("<script") == 1
    assert page.count('<img alt="') == 2  # figures
    assert page.count("<blockquote") == 3  # findings
    assert not re.search(r"<img(?![^>]*alt=.[^'\"]+)", page)
    assert "## " not in page
    assert "Traceback" not in page
    assert not re.search(r"https?://|\bimport[ (]|fetch\(|XMLHttpRequest", page)
    assert not re.search(r"(?:src|href)=[\"'](?!data:|#)", page)
    assert all(text in page for text in exercise("base_rate")["hints"])


def data(page: str, attribute: str) -> list[dict]:
    texts = re.findall(f' {attribute}="([^"]*)"', page)
    return [json.loads(html.unescape(text)) for text in texts]


def test_each_section_has_one_control_and_two_numbers(page):
    labs = data(page, "data-start")
    assert all(len(one["numbers"]) == 2 for one in labs)
    assert {one["control"] for one in labs} == set(CONTROLS)


def test_exercises_tell_the_numbers_of_the_lab_above_them(page):
    """What the lab draws is what `answers` draws: tests/browser."""
    for control, n, bins in (
        ("n", 100, 15),
        ("n", 400, 15),
        ("bins", 200, 5),
        ("bins", 200, 30),
    ):
        _, _, below = page.partition(f"&#34;control&#34;: &#34;{control}&#34;")
        start = next(
            one for one in data(page, "data-start") if one["control"] == control
        )
        why = data(below, "data-exercise")[0]["why"]
        assert f" {mean_ece(start['right'], n, bins=bins):.3f} " in why


def test_a_notebook_that_was_not_executed_is_refused(tmp_path):
    with pytest.raises(MedcalError, match="not executed: run `medcal study 07` first"):
        write_lesson_site(ROOT / "notebooks" / "07_teaching.ipynb", tmp_path)


def test_what_90_percent_is_worth_is_counted_from_recorded_answers():
    """The first finding's numbers on GMAI-MMBench, from the recorded table itself."""
    table = pd.read_parquet(ROOT / "data" / "recorded" / "vlcb.parquet")
    sure = table[table["verbalized"].between(0.8499, 0.9501)]
    sure = sure[sure["dataset"] == "GMAI-MMBench"].dropna(subset="correct")
    shares = 100 * sure.groupby("model")["correct"].mean()
    path = executed_lesson().parent / "results" / "07_teaching.json"
    first = json.loads(path.read_text(encoding="utf-8"))["findings"][0]
    assert f"{shares.min():.0f} to {shares.max():.0f} % on GMAI-MMBench" in first
