"""The graph for clusters, run by Snakemake on notebooks of which one sums up the others."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_run import edit, finding, write_checkout

SNAKEFILE = Path(__file__).resolve().parents[1] / "docs" / "Snakefile"
# it pins libraries that the study uses newer: an environment of its own
SNAKEMAKE = os.environ.get("MEDCAL_SNAKEMAKE")


@pytest.mark.notebooks
@pytest.mark.skipif(not SNAKEMAKE, reason="`make test-clusters` sets MEDCAL_SNAKEMAKE")
def test_notebooks_run_in_order_and_again_after_a_change(tmp_path):
    write_checkout(tmp_path)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

    def snakemake() -> str:
        command = [SNAKEMAKE, "--snakefile", SNAKEFILE, "--cores", "2"]
        environment = os.environ | {"PATH": path, "MEDCAL_ROOT": str(tmp_path)}
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    snakemake()
    figures = tmp_path / "figures"
    assert finding(figures, "00_overview") == "In 02: The mean was 0.333."
    assert "Nothing to be done" in snakemake()
    edit(tmp_path / "notebooks" / "02_numbers.ipynb", "SCALE = 1.0", "SCALE = 2.0")
    assert "notebook_03_alone" not in snakemake()
    assert finding(figures, "00_overview") == "In 02: The mean was 0.667."
