"""Papermill alone gives the published results."""

import json

import papermill
import pytest

from medcal_nb.run import ROOT, compare_results

#: The chapters of recorded answers; others ask models, or sum up.
CHAPTERS = sorted(path.stem for path in (ROOT / "notebooks").glob("0[2-69]_*.ipynb"))


@pytest.mark.notebooks
@pytest.mark.slow
@pytest.mark.parametrize("name", CHAPTERS)
def test_papermill_alone_gives_the_published_results(name, tmp_path, monkeypatch):
    """As JupyterLab does: no parameter but where to write."""
    published = ROOT / "figures" / "results" / f"{name}.json"
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(variable, raising=False)
    places = (ROOT / "notebooks" / f"{name}.ipynb", tmp_path / "out.ipynb")
    how = {"cwd": ROOT / "notebooks", "progress_bar": False}
    papermill.execute_notebook(*places, {"OUT": str(tmp_path)}, **how)
    again = json.loads((tmp_path / "results" / f"{name}.json").read_text("utf-8"))
    assert not compare_results(json.loads(published.read_text("utf-8")), again)
