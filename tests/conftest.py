"""Fixtures shared by all tests."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import settings

from medcal_nb.answers.recorded import load_recorded

ROOT = Path(__file__).resolve().parents[1]

# the same examples in every run, however slow the machine
settings.register_profile("same", derandomize=True, deadline=None)
settings.load_profile("same")


def pytest_configure(config):
    """Files are begun in the order of collection, and not the one of most tests first."""
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items):
    """Files that take long come first, so that no process ends long after the others.

    Servers come before browsers, which keep an event loop running in their process.
    """
    longest_first = ["notebooks", "serve", "browser", "slow"]
    place = {}
    for item in items:
        ranks = [place.get(item.path, len(longest_first))]
        for mark in item.iter_markers():
            if mark.name in longest_first:
                ranks.append(longest_first.index(mark.name))
        place[item.path] = min(ranks)
    items.sort(key=lambda item: place[item.path])


@pytest.fixture
def rng():
    return np.random.default_rng(20260619)


@pytest.fixture(scope="session")
def five() -> pd.DataFrame:
    """The answers of the five models of VLCB, which take seconds to read."""
    return load_recorded("vlcb")


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def real_dir() -> Path:
    """Answers recorded from real models, kept beside the checkout; skip where absent."""
    folder = Path(os.environ.get("MEDCAL_REAL", ROOT.parent / "shared" / "real"))
    if not folder.is_dir():
        pytest.skip(f"no recorded answers at {folder} (MEDCAL_REAL names their folder)")
    return folder
