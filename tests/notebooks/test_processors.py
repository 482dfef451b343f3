"""An older processor with more threads writes the study that is published, digit by digit."""

import os

import numpy as np
import pytest

from medcal_nb.run import ROOT, verify_study

pytestmark = [
    pytest.mark.notebooks,
    pytest.mark.slow,
    pytest.mark.skipif(
        not os.environ.get("MEDCAL_PROCESSORS"),
        reason="make test-processors runs the study once more, in minutes",
    ),
]


def written(folder):
    """The tables behind the figures, and the pages, by name."""
    files = [*folder.glob("fig*.csv"), *folder.glob("[0-9][0-9]_*.md")]
    return {path.name: path.read_bytes() for path in files}


def test_an_older_processor_writes_what_is_published(monkeypatch):
    newer = np.show_config(mode="dicts")["SIMD Extensions"]["found"]
    # kernels are processes of their own, and see these
    monkeypatch.setenv("NPY_DISABLE_CPU_FEATURES", " ".join(newer))
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Prescott")
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    differences = verify_study()
    assert {name: lines for name, lines in differences.items() if lines} == {}
    here, there = written(ROOT / "figures"), written(ROOT / "build" / "verify")
    assert len(here) > 25
    assert here.keys() == there.keys()
    assert [name for name in here if here[name] != there[name]] == []
