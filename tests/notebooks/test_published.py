"""Papermill alone gives the published results; a study 05 and 06 (test_study)."""

import json

import pytest

from medcal_nb.run import ROOT, compare_results

pytestmark = [pytest.mark.notebooks, pytest.mark.slow]


@pytest.mark.parametrize("name", ["02_metrics", "03_modalities", "09_people"])
def test_papermill_alone_gives_the_published_results(name, by_papermill):
    published = ROOT / "figures" / "results" / f"{name}.json"
    assert not compare_results(
        json.loads(published.read_text("utf-8")), by_papermill(name)
    )
