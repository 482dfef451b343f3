"""The notebook by plain papermill, and the lesson as a page: whole, small, asking no host."""

import html
import json
import re

import pandas as pd
import pytest

from medcal_nb.errors import MedcalError
from medcal_nb.teach.exercises import NAMES, exercise
from medcal_nb.teach.lab import CONTROLS
from medcal_nb.teach.lesson_site import write_lesson_site
from tests.teach.executed import ROOT, executed_lesson


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
    assert page.count('<img alt="') == 3  # figures
    assert page.count("<blockquote") == 3  # findings
    assert not re.search(r"<img(?![^>]*alt=.[^'\"]+)", page)
    assert "## " not in page
    assert "Traceback" not in page
    assert not re.search(r"https?://|\bimport[ (]|fetch\(|XMLHttpRequest", page)
    assert not re.search(r"(?:src|href)=[\"'](?!data:|#)", page)
    assert all(text in page for text in exercise("base_rate")["hints"])


def test_each_section_has_one_control_and_two_numbers(page):
    starts = re.findall(r'class="lab" data-start="([^"]*)"', page)
    settings = [json.loads(html.unescape(start)) for start in starts]
    assert all(len(one["numbers"]) == 2 for one in settings)
    assert {one["control"] for one in settings} == set(CONTROLS)


def test_a_notebook_that_was_not_executed_is_refused(tmp_path):
    with pytest.raises(MedcalError, match="not executed: run `medcal study 07` first"):
        write_lesson_site(ROOT / "notebooks" / "07_teaching.ipynb", tmp_path)


def test_the_cheapest_threshold_of_the_sample_is_that_of_the_exchange_rate():
    table = pd.read_csv(executed_lesson().with_name("fig07_threshold.csv"))
    cheapest = table.loc[table["cost"].idxmin(), "confidence"]
    assert cheapest == pytest.approx(1 - 1 / 5)


def test_what_90_percent_is_worth_is_counted_from_recorded_answers():
    """The first finding's numbers on GMAI-MMBench, from the recorded table itself."""
    table = pd.read_parquet(ROOT / "data" / "recorded" / "vlcb.parquet")
    sure = table[table["verbalized"].between(0.8499, 0.9501)]
    sure = sure[sure["dataset"] == "GMAI-MMBench"].dropna(subset="correct")
    shares = 100 * sure.groupby("model")["correct"].mean()
    path = executed_lesson().parent / "results" / "07_teaching.json"
    first = json.loads(path.read_text(encoding="utf-8"))["findings"][0]
    assert f"{shares.min():.0f} to {shares.max():.0f} % on GMAI-MMBench" in first
