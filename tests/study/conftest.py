"""The checkout that tests of the runner work in."""

from pathlib import Path

import pytest

from tests.study.toy import write_checkout


@pytest.fixture
def toy(tmp_path, monkeypatch) -> Path:
    """A checkout of four toy notebooks: 01 → 02 → 00 ← 03."""
    write_checkout(tmp_path)
    monkeypatch.setenv("MEDCAL_ROOT", str(tmp_path))
    return tmp_path
