"""The checkout that tests of the runner work in."""

from pathlib import Path

import pytest

from tests.study.toy import ALONE, ASK, OVERVIEW, write_notebook, write_numbers


@pytest.fixture
def toy(tmp_path, monkeypatch) -> Path:
    """A checkout of four toy notebooks: 01 → 02 → 00 ← 03."""
    (folder := tmp_path / "notebooks").mkdir()
    write_notebook(
        folder, "01_ask", [ASK], writes=["answers"], parameters="HIGH = 0.9\n"
    )
    write_numbers(folder)
    write_notebook(
        folder, "03_alone", [ALONE], writes=["fig03_line"], parameters="N = 3\n"
    )
    reads, writes = (
        ["results/02_numbers.json", "fig03_line"],
        ["results/00_overview.json"],
    )
    write_notebook(folder, "00_overview", [OVERVIEW], reads=reads, writes=writes)
    monkeypatch.setenv("MEDCAL_ROOT", str(tmp_path))
    return tmp_path
