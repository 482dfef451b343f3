"""Every option that takes a value, at its ends and beyond: no error is unforeseen."""

import re
import shutil
import typing

import numpy as np
import pandas as pd
import pytest
import typer
from PIL import Image

from medcal_nb import cli

ODD = ["nan", "inf", "-inf", "-1", "0", "0.5", "1e308", "99999999999999999999", "x", ""]
#: Of options that take a text, in which a name, a query or a number is to stand.
ODD_TEXTS = ["", "=", "nan", "image="]
#: What stands beside such an option.
BESIDE = {
    "certify": "answers.csv --risk 0.3",
    "check": "answers.csv",
    "reader": "answers.csv --to page.html",
    "ask": "--dataset items.csv --methods self_consistency --dry-run",
    "report": "answers.csv",
    "import": "answers.csv --to log.sqlite",
    "score": "answers.csv",
    "calibrate": "answers.csv",
    "explore": "answers.csv --to page.html",
    "study": "--list",
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


def options_with_texts():
    """Commands with each of their other options and arguments that take one value."""
    numbers = {(words[0], words[-2]) for words in options_with_numbers()}
    for name, command in typer.main.get_command(cli.app).commands.items():
        beside = BESIDE.get(name, "").split()
        for option in command.params:
            flag = option.opts[-1]
            if getattr(option, "is_flag", False) or (name, flag) in numbers:
                continue
            if flag.startswith("-"):
                yield [name, *beside, flag, "N"]
            else:  # the first word, unless what stands there is an option
                yield [name, "N", *(beside if beside[0][0] == "-" else beside[1:])]


CALLS = [*options_with_numbers(), *MORE]


def test_options_with_numbers_are_those_of_the_commands():
    asked = {words[-2] for words in CALLS}
    assert {"--risk", "--cases", "--temperature", "--n"} <= asked


@pytest.mark.parametrize("words", CALLS, ids=" ".join)
def test_no_number_is_unforeseen(medcal, tmp_path, words):
    check_odd(medcal, tmp_path, words, ODD)


@pytest.mark.parametrize("words", options_with_texts(), ids=" ".join)
def test_no_text_is_unforeseen(medcal, tmp_path, words):
    check_odd(medcal, tmp_path, words, ODD_TEXTS)


def check_odd(medcal, tmp_path, words, odd_ones):
    rng = np.random.default_rng(0)
    confidence = rng.integers(5, 10, 30) / 10
    answers = {"item_id": range(30), "question": "Is it?", "confidence": confidence}
    answers["correct"] = (rng.random(30) < confidence).astype(int)
    pd.DataFrame(answers).to_csv("answers.csv", index=False)
    Image.new("RGB", (8, 8)).save("a.png")
    items = pd.DataFrame({"image": ["a.png"], "question": "Is it?", "gold": "yes"})
    items.to_csv("items.csv", index=False)
    there = {*tmp_path.iterdir()}
    for odd in odd_ones:
        code, _, err = medcal(*[re.sub(r"\bN\b", odd, word) for word in words])
        assert "unforeseen" not in err, (odd, err)
        assert code in (0, 1, 2), (odd, err)
        assert code < 2 or "error: " in err.splitlines()[-1], (odd, err)
        for path in {*tmp_path.iterdir()} - there:
            # each begins a certificate of its own
            shutil.rmtree(path) if path.is_dir() else path.unlink()
