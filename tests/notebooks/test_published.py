"""Papermill alone gives the published results; a study those of other chapters (test_study)."""

import json

import pytest

from medcal_nb.run import ROOT, compare_results

pytestmark = [pytest.mark.notebooks, pytest.mark.slow]


def test_papermill_alone_gives_the_published_results(by_papermill):
    published = ROOT / "figures" / "results" / "09_people.json"
    assert not compare_results(
        json.loads(published.read_text("utf-8")), by_papermill("09_people")
    )
