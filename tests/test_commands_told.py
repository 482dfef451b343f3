"""The commands that README, docs, CONTRIBUTING and parameters show are ones that exist."""

import itertools
import re
import shlex
from pathlib import Path

import pytest
import typer

from medcal_nb.ask.about import choose_methods
from medcal_nb.ask.strategies import choose_strategies
from medcal_nb.cli import app
from medcal_nb.datasets import dataset_names
from medcal_nb.run import ROOT

PLACES = ["README.md", "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PLACES += sorted((ROOT / "notebooks" / "params").glob("*.yaml"))


def commands(path: Path):
    """Each ``medcal …`` of a text: a line of a block, of a comment, or between back ticks."""
    text = re.sub(r"\\\n[#\s]*", "", (ROOT / path).read_text(encoding="utf-8"))
    lines = [re.sub(r"^[#\s]*(?=medcal )", "", line) for line in text.splitlines()]
    found = [line for line in lines if line.startswith("medcal ")]
    found += re.findall(r"`(medcal [a-z][^`]*)`", text)
    # what follows a wide gap is a remark
    return [re.split(r"\s{3,}|\s#\s", line)[0] for line in found]


SHOWN = [(Path(place).name, line) for place in PLACES for line in commands(place)]


@pytest.mark.parametrize(("place", "line"), SHOWN)
def test_command_and_options_are_known(place, line):
    words = shlex.split(line.rstrip(":;."))[1:]
    known = typer.main.get_command(app).commands
    if words[0] in ("NN", "COMMAND"):
        return
    options = {name for one in known[words[0]].params for name in one.opts}
    used = {word for word in words[1:] if re.match("--?[a-z]", word)}
    assert used <= options | {"--help"}
    values = dict(itertools.pairwise(words))
    if "--methods" in values and values["--methods"] not in ("all", "…"):
        choose = choose_methods if "--about" in values else choose_strategies
        assert choose(values["--methods"])
    own = ("D", "mine.csv")
    if words[0] == "ask" and values.get("--dataset", "D") not in own:
        assert values["--dataset"] in dataset_names()
