"""``python -m data.pocket.factory`` as a user types it."""

import os
import subprocess
import sys

import pytest


def _factory(root, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "data.pocket.factory", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=root,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["train", "pocket-huge"],
            "'pocket-huge' has no recipe: choose all, pocket-general",
        ),
        (["train", "pocket-general", "--steps", "nan"], "must be positive"),
        (["train", "all", "--out", "x"], "--out is the folder of one model"),
        (["card", "--only", "pocket-huge"], "no pocket model 'pocket-huge'"),
        (["card", "--n", "3"], "at least 50"),
        (["record", "--dataset", "vqa-rad"], "'vqa-rad': choose of pocketvqa-medical"),
    ],
)
def test_mistakes_are_told_in_one_line(root, arguments, told):
    done = _factory(root, *arguments)
    assert done.returncode == 2
    assert told in done.stderr
    assert done.stderr.startswith("factory: error: ")
    assert done.stderr.count("\n") == 1
