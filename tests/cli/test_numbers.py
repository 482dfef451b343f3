"""Every option that takes a number, at its ends and beyond: no error is unforeseen."""

import re
import typing

import numpy as np
import pandas as pd
import pytest
import typer
from PIL import Image

from medcal_nb import cli

ODD = ["nan", "inf", "-1", "0", "0.5", "1e308", "99999999999999999999", "x"]
#: What stands beside such an option.
BESIDE = {
    "certify": "answers.csv --risk 0.3",
    "check": "answers.csv",
    "reader": "answers.csv --to page.html",
    "ask": "--dataset items.csv --methods self_consistency --dry-run",
}
PLAN = ["certify", "answers.csv", "--plan"]
OF_PLANS = ("--wrong", "--accuracy")
#: Numbers in a text, and options that do another thing beside others.
MORE = [
    ["score", "answers.csv", "--require", "ece < N"],
    ["certify", "answers.csv", "--risk", "0.3", "--starts", "5,N"],
    [*PLAN, "--delta", "N"],
    [*PLAN, "--budget", "N"],
    [*PLAN, "--wrong", "0.1", "--accuracy", "N"],
    ["ask", "--shard", "N/4"],
    ["ask", "--shard", "1/N"],
    ["ask", "--dataset", "items.csv", "--dry-run", "--price", "N", "1"],
]


def options_with_numbers():
    """Commands with each of their options that takes one number, by its type."""
    commands = typer.main.get_command(cli.app).commands
    for command in cli.app.registered_commands:
        name = command.name or command.callback.__name__
        hints = typing.get_type_hints(command.callback)
        for option in commands[name].params:
            kinds = {hints[option.name], *typing.get_args(hints[option.name])}
            if kinds & {int, float} and option.nargs == 1:
                flag = option.opts[-1]
                beside = PLAN if flag in OF_PLANS else [name, *BESIDE[name].split()]
                yield [*beside, flag, "N"]


CALLS = [*options_with_numbers(), *MORE]


def test_options_with_numbers_are_those_of_the_commands():
    asked = {words[-2] for words in CALLS}
    assert {"--risk", "--cases", "--temperature", "--n"} <= asked


@pytest.mark.parametrize("words", CALLS, ids=" ".join)
def test_no_number_is_unforeseen(medcal, tmp_path, words):
    rng = np.random.default_rng(0)
    confidence = rng.integers(5, 10, 30) / 10
    answers = {"item_id": range(30), "question": "Is it?", "confidence": confidence}
    answers["correct"] = (rng.random(30) < confidence).astype(int)
    pd.DataFrame(answers).to_csv("answers.csv", index=False)
    Image.new("RGB", (8, 8)).save("a.png")
    items = pd.DataFrame({"image": ["a.png"], "question": "Is it?", "gold": "yes"})
    items.to_csv("items.csv", index=False)
    there = {*tmp_path.iterdir()}
    for odd in ODD:
        code, _, err = medcal(*[re.sub(r"\bN\b", odd, word) for word in words])
        assert "unforeseen" not in err, (odd, err)
        assert code in (0, 1, 2), (odd, err)
        assert code < 2 or "error: " in err.splitlines()[-1], (odd, err)
        for path in {*tmp_path.iterdir()} - there:
            path.unlink()  # each begins a certificate of its own
