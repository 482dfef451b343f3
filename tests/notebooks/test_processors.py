"""The study writes the same bytes on an older processor and with more threads."""

import os

import numpy as np
import pytest

from tests.notebooks.conftest import run_small

pytestmark = [
    pytest.mark.notebooks,
    pytest.mark.slow,
    pytest.mark.skipif(
        not os.environ.get("MEDCAL_PROCESSORS"),
        reason="make test-processors runs the study twice",
    ),
]


def published(run):
    """What a study published, by name."""
    folder = run.steps[0].figures
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_every_published_file_is_the_same_on_an_older_processor(
    study_run, tmp_path, monkeypatch
):
    newer = np.show_config(mode="dicts")["SIMD Extensions"]["found"]
    # kernels are processes of their own, and see these
    monkeypatch.setenv("NPY_DISABLE_CPU_FEATURES", " ".join(newer))
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Prescott")
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    older = run_small(tmp_path / "older")
    assert all(outcome.startswith("ran") for outcome in older.outcomes.values())
    here, there = published(study_run), published(older)
    assert len(here) > 50
    assert here.keys() == there.keys()
    assert [name for name in here if here[name] != there[name]] == []
