"""Papermill alone gives the published results; 04, which takes minutes, is in test_study."""

import json

import pytest

from medcal_nb.run import ROOT, compare_results

#: The chapters of recorded answers; others ask models, or sum up.
CHAPTERS = sorted(path.stem for path in (ROOT / "notebooks").glob("0[2-69]_*.ipynb"))

pytestmark = [pytest.mark.notebooks, pytest.mark.slow]


@pytest.mark.parametrize("name", [name for name in CHAPTERS if name[:2] != "04"])
def test_papermill_alone_gives_the_published_results(name, by_papermill):
    published = ROOT / "figures" / "results" / f"{name}.json"
    assert not compare_results(
        json.loads(published.read_text("utf-8")), by_papermill(name)
    )
