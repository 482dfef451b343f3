"""Papermill alone gives the published results; a study those of other chapters (test_study)."""

import json

import pytest

from medcal_nb.run import ROOT, compare_results
from tests.teach.executed import executed_lesson

pytestmark = [pytest.mark.notebooks, pytest.mark.slow]


def test_papermill_alone_gives_the_published_results():
    """As JupyterLab runs a notebook: on as many threads as there are."""
    published, again = (
        json.loads((folder / "results" / "07_teaching.json").read_text("utf-8"))
        for folder in (ROOT / "figures", executed_lesson().parent)
    )
    assert not compare_results(published, again)
