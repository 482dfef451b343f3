"""Fixtures shared by all tests."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]

# the same examples in every run, however slow the machine
settings.register_profile("same", derandomize=True, deadline=None)
settings.load_profile("same")


@pytest.fixture
def rng():
    return np.random.default_rng(20260619)


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def real_dir() -> Path:
    """Answers recorded from real models, kept beside the checkout; skip where absent."""
    folder = Path(os.environ.get("MEDCAL_REAL", ROOT.parent / "shared" / "real"))
    if not folder.is_dir():
        pytest.skip(
            f"no recorded answers at {folder} (set MEDCAL_REAL to their folder)"
        )
    return folder
