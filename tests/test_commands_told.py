"""The commands that README, docs, CONTRIBUTING and the profiles show are ones that exist."""

import itertools
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import typer

from medcal_nb.cli import app
from medcal_nb.datasets import dataset_names

ROOT = Path(__file__).resolve().parents[1]
PLACES = [
    "README.md",
    "docs/own_data.md",
    "docs/clusters.md",
    "CONTRIBUTING.md",
    *(
        f"medcal_nb/study/profiles/{name}.toml"
        for name in ("hub", "served", "pocket", "imported")
    ),
]


def commands(path):
    """Each ``medcal …`` of a text: a line of a block, of a comment, or between back ticks."""
    text = re.sub(r"\\\n[#\s]*", "", (ROOT / path).read_text(encoding="utf-8"))
    lines = [
        re.sub(r"^[#\s]*(\S*/)?(?=medcal )", "", line) for line in text.splitlines()
    ]
    found = [line for line in lines if line.startswith("medcal ")]
    found += re.findall(r"`(medcal [^`]*)`", text)
    # what follows a wide gap is a remark
    return [re.split(r"\s{3,}|\s#\s|,? then ", line)[0] for line in found]


SHOWN = [(place, command) for place in PLACES for command in commands(place)]


def test_there_are_some():
    assert len(SHOWN) > 15
    assert {place for place, _ in SHOWN} >= set(PLACES[:5])


@pytest.mark.parametrize(
    ("place", "command"), SHOWN, ids=[f"{p}: {c[:60]}" for p, c in SHOWN]
)
def test_command_and_options_are_known(place, command):
    words = shlex.split(command.rstrip(":;."))[1:]
    group = typer.main.get_command(app)
    if words[0].startswith("-"):
        assert words[0] in {"--help", "--version"}
        return
    assert words[0] in group.commands, command
    known = {
        option: parameter
        for parameter in group.commands[words[0]].params
        for option in parameter.opts
    }
    for word, value in itertools.pairwise([*words[1:], ""]):
        if not word.startswith("-"):
            continue
        assert word in known or word == "--help", f"{command}: no option {word}"
        if word == "--dataset" and words[0] in ("ask", "items") and value != "D":
            assert value in dataset_names(), command
        if word == "--strategies" and value not in ("all", "…"):
            from medcal_nb.ask.strategies import choose_strategies

            assert choose_strategies(value)


@pytest.mark.skipif(shutil.which("make") is None, reason="no make on the path")
def test_make_sets_every_variable_that_its_targets_use():
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {"study", "test", "lab"} <= set(targets)
    command = ["make", "--warn-undefined-variables", "--dry-run", *targets]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    asked_for = {"NB", "PROFILE", "WEIGHTS"}  # the user's own
    assert set(re.findall(r"undefined variable '(\w+)'", done.stderr)) <= asked_for
    assert ".venv/share/jupyter/lab/settings/overrides.json" in done.stdout
