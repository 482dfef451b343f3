"""The graph for clusters, run by snakemake on notebooks that need each other."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.study.toy import edit, load_results

SNAKEFILE = Path(__file__).resolve().parents[2] / "docs" / "Snakefile"
# it pins libraries that the study uses newer: an environment of its own, or one on the path
SNAKEMAKE = os.environ.get("MEDCAL_SNAKEMAKE") or shutil.which("snakemake")


@pytest.mark.notebooks
@pytest.mark.skipif(
    SNAKEMAKE is None,
    reason="no snakemake on the path: set MEDCAL_SNAKEMAKE to its program",
)
def test_two_notebooks_run_in_order_and_again_after_a_change(toy):
    for name in ("00_overview", "03_alone"):
        (toy / "notebooks" / f"{name}.ipynb").unlink()
    found = [
        str(Path(sys.executable).parent),
        os.environ["PATH"],
    ]  # papermill of the study

    def snakemake():
        command = [
            SNAKEMAKE,
            "--snakefile",
            SNAKEFILE,
            "--cores",
            "2",
            "--config",
            "fast=True",
        ]
        done = subprocess.run(
            command,
            cwd=toy,
            env=os.environ | {"PATH": os.pathsep.join(found), "MEDCAL_ROOT": str(toy)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    snakemake()
    out = toy / "build" / "snakemake"
    assert pd.read_csv(out / "fig02_bars.csv")["confidence"].tolist() == [0.9, 0.4]
    assert load_results(out / "results" / "02_numbers.json") == {"mean": 0.65}
    assert "Nothing to be done" in snakemake()
    edit(toy / "notebooks" / "02_numbers.ipynb", "SCALE = 1.0", "SCALE = 2.0")
    assert "notebook_01_ask" not in snakemake()
    assert load_results(out / "results" / "02_numbers.json") == {"mean": 1.3}
