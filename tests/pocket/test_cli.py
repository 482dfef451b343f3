"""``medcal train-pocket`` and ``medcal models`` as a user types them."""

import json
import os
import subprocess
import sys

import pytest

from medcal_nb.pocket import load


def _medcal(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "medcal_nb.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )


def test_models_are_listed_with_size_and_seed():
    done = _medcal("models")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == load.list_pocket()
    for line in lines:
        recipe = json.loads((load.pocket_home() / line.split()[0] / "recipe.json").read_text())
        assert f"seed {recipe['seed']}" in line
        assert f"{recipe['parameters'] / 1e6:.2f} M parameters" in line


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["train-pocket", "pocket-huge"], "'pocket-huge' has no recipe: choose one of"),
        (["train-pocket", "pocket-general", "--steps", "0"], "must be positive"),
        (["models", "--only", "pocket-huge"], "is no pocket model"),
        (["models", "--card", "--n", "3"], "at least 50"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments, told):
    done = _medcal(*arguments)
    assert done.returncode == 2
    assert told in done.stderr
    assert done.stderr.startswith("medcal: error: ")
    assert done.stderr.count("\n") == 1


def test_no_models_at_hand(tmp_path):
    done = _medcal("models", MEDCAL_POCKET=str(tmp_path))
    assert done.returncode == 2
    assert "set MEDCAL_POCKET" in done.stderr
