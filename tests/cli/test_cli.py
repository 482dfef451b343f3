"""The command line as users meet it: help, version, one-line errors, exit codes."""

import os
import pty
import re
import subprocess
import sys
from itertools import combinations

import pytest

import medcal_nb
from medcal_nb.answers import load_answers
from medcal_nb.cli.commands import GROUPS
from tests.study.toy import write_notebook

COMMAND = [sys.executable, "-m", "medcal_nb.cli"]
COMMANDS = [name for names in GROUPS.values() for name in names]


def medcal(*words, **options):
    return subprocess.run([*COMMAND, *words], capture_output=True, text=True, **options)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    write_notebook(folder, "02_a", ["1 / SCALE"], parameters="SCALE = 1\n")
    monkeypatch.setenv("MEDCAL_ROOT", str(tmp_path))
    return tmp_path


def test_version():
    done = medcal("--version")
    assert (done.returncode, done.stdout) == (0, f"medcal {medcal_nb.__version__}\n")


def test_help_shows_the_commands_in_four_groups():
    done = medcal("--help")
    assert done.returncode == 0
    panels = re.split(r"╭─ (\w+) ─+╮", done.stdout)
    groups = {
        name: set(re.findall(r"│ ([a-z]+) ", body)) for name, body in pairs(panels[1:])
    }
    assert list(groups) == ["Options", "Study", "Ask", "Answers", "Teach"]
    for group, names in GROUPS.items():
        assert groups[group] >= set(names)
    assert "..." not in "".join(panels[1:])  # no summary is cut
    assert "Exit status: 0 done; 1 something failed" in done.stdout
    assert medcal("-h").stdout == done.stdout


def pairs(parts):
    return zip(parts[::2], parts[1::2], strict=True)


def wide_help(*name):
    return medcal(*name, "--help", env={**os.environ, "COLUMNS": "100"}).stdout


def options_of(name):
    """The options of a command in the order of its help, each with the lines that tell it."""
    *_, panel = wide_help(name).partition("╭─ Options")
    lines = [line.strip("│ *") for line in panel.splitlines() if line.startswith("│")]
    told = {}
    for line in lines:
        if line.startswith("--"):
            option = line.split()[0]
            told[option] = []
        told[option].append(line)
    return told


@pytest.mark.parametrize("name", COMMANDS)
def test_help_ends_with_an_example(name):
    *_, example = wide_help(name).strip().splitlines()
    assert example.strip().startswith(f"Example: medcal {name}")


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_speaks_no_python(name):
    text = wide_help(*filter(None, [name]))
    for mark in "<>{}":  # <path>, <bool>, x>=1, {FILE}
        assert mark not in text


@pytest.mark.parametrize("name", COMMANDS)
def test_an_option_is_told_in_one_line_and_its_default_at_most_in_a_second(name):
    for option, lines in options_of(name).items():
        assert all(line.startswith("[default: ") for line in lines[1:]), (option, lines)
        assert re.search(r"[.\]]$", lines[-1]), (option, lines)


def test_options_of_one_name_stand_in_one_order_in_every_command():
    orders = {name: list(options_of(name)) for name in COMMANDS}
    before = {}
    for name, order in orders.items():
        for pair in combinations(order, 2):
            assert pair[::-1] not in before, (pair, name, before.get(pair[::-1]))
            before[pair] = name


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (["scor", "a.csv"], "Did you mean 'score'"),
        (["score", "a.csv", "--resample", "9"], "--resamples"),
        (["import", "a.csv", "--confidense", "c"], "--confidence"),
        (["study", "--profil", "recorded"], "--profile"),
    ],
    ids=lambda words: words[0],
)
def test_a_mistyped_word_is_answered_with_the_nearest(words, near):
    done = medcal(*words)
    assert done.returncode == 2
    assert near in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["study", "--profile", "pocket", "-p", "SCAL=2"],
            "-p SCAL=2: write NAME=VALUE, VALUE as JSON; parameters of",
        ),
        (["study", "--profile", "pocket", "-p", "SCALE"], "-p SCALE: write NAME=VALUE"),
        (["study", "-p", "SCALE=2"], "are for one profile: name it by --profile"),
        (["study", "9"], "has not all of these notebooks: 9: choose from 02_a"),
        (["study", "--profile", "pockets"], "no profile 'pockets': choose one of"),
        (["study", "--profile", "imported"], "with --answers FILE"),
        (
            ["study", "--profile", "imported", "--answers", "no.csv"],
            "no.csv is no file",
        ),
        (
            ["study", "--profile", "pocket", "--to", "notebooks/02_a.ipynb"],
            "not a directory: choose another",
        ),
    ],
)
def test_mistakes_are_told_in_one_line(checkout, words, said):
    done = medcal(*words, cwd=checkout)
    assert done.returncode == 2
    assert done.stderr.startswith("medcal: error: ")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (checkout / "build").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["studdy"], "No such command 'studdy'"),
        # others on a machine can read a command line: the token comes from the environment
        (
            ["reader", "a.sqlite", "--token", "secret"],
            "No such option: --token; `medcal reader",
        ),
    ],
)
def test_wrong_usage_exits_with_2(words, said):
    done = medcal(*words)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert "secret" not in done.stderr


def test_list_runs_nothing(checkout):
    done = medcal("study", "--profile", "pocket", "--list")
    assert done.returncode == 0
    assert done.stderr.split() == [
        "pocket",
        "02_a",
        "runs,",
        "because",
        "no",
        "earlier",
        "run",
    ]
    assert not list((checkout / "build").rglob("*.ipynb"))


@pytest.mark.notebooks
def test_failed_notebook_exits_with_1(checkout):
    done = medcal("study", "--profile", "pocket", "-p", "SCALE=0")
    assert done.returncode == 1
    assert (
        "medcal: error: pocket: 02_a: in cell In [3]: ZeroDivisionError: division by zero"
        in (done.stderr)
    )
    assert "Traceback (most recent call last):\n  File" not in done.stderr


def test_package_without_notebooks_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDCAL_ROOT", str(tmp_path))
    done = medcal("study")
    assert done.returncode == 2
    assert "set MEDCAL_ROOT to the clone" in done.stderr


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        ("MedcalError('a.csv: row 3')", 2, "medcal: error: a.csv: row 3\n"),
        ("MedcalError('two\\nlines')", 2, "medcal: error: two lines\n"),
        (
            "OSError(28, 'No space left', 'x.db')",
            1,
            "x.db: no space left: choose another",
        ),
        ("PermissionError(13, 'denied', 'x.db')", 2, "x.db: denied: choose another"),
        (
            "RuntimeError('odd\\nmore')",
            1,
            "medcal: error: unforeseen RuntimeError: odd; `medcal --debug fail --word 'a b'` shows "
            "where: please report it with what that prints\n",
        ),
        ("BrokenPipeError(32, 'Broken pipe')", 1, ""),
        (
            "KeyboardInterrupt()",
            130,
            "medcal: interrupted; the same command goes on where it was",
        ),
    ],
)
def test_faults_become_exit_codes(fault, code, said):
    program = f"""
from medcal_nb.cli import app, main
from medcal_nb.errors import MedcalError
import sys
@app.command("fail")
def fail(word: str = ""):
    raise {fault}
sys.argv = ["medcal", "fail", "--word", "a b"]
main()
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == code
    assert said in done.stderr
    assert bool(said) == bool(done.stderr)
    assert "Traceback" not in done.stderr
    if "unforeseen" in said:
        command[-1] = program.replace('"medcal", ', '"medcal", "--debug", ')
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == code
        assert "in fail" in done.stderr


def test_control_characters_never_reach_the_terminal(tmp_path):
    """A name that would set the title of the window, clear the screen or write backwards."""
    evil = "m\x1b]0;owned\x07\x1b[2J\u202e"
    table = tmp_path / "a.csv"
    table.write_text(
        f"item_id,model,confidence,correct\n1,{evil},0.9,1\n2,{evil},0.8,0\n"
    )
    log = tmp_path / "a.sqlite"
    assert medcal("import", str(table), "--to", str(log)).returncode == 0
    for words in (["score", str(log)], ["score", str(log), "--by", evil],
                  ["items", "--dataset", evil]):  # fmt: skip
        done = medcal(*words)
        assert not re.search("[\x1b\x07\u202e]", done.stdout + done.stderr), words
    assert "owned" in medcal("score", str(log), "--format", "csv").stdout
    ours, theirs = pty.openpty()
    command = [*COMMAND, "score", str(log), "--format", "csv"]
    done = subprocess.Popen(command, stdout=theirs, stderr=theirs)
    done.wait()
    shown = os.read(ours, 100_000).decode()
    assert "owned" in shown
    assert not re.search(r"\x1b(?!\[[0-9;]*[mAK])|\x07", shown)


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        (
            ("ask", "--dry-run", "--n=2", "--strategies=verbalized,image_ablation"),
            ("ask", "--dry-run", "--n=2", "--strategies=verbalized,blank_image"),
            "blank_image",
        ),
        (
            ("study", "01", "--list", "--profile", "real"),
            ("study", "01", "--list", "--profile", "recorded"),
            "recorded",
        ),
        (
            ("import", "none.csv", "--to", "none.sqlite", "--reader", "table"),
            ("import", "none.csv", "--to", "none.sqlite", "--tool", "table"),
            "--tool",
        ),
        (
            ("reader", "none.sqlite", "--limit", "0.1"),
            ("reader", "none.sqlite"),
            "--max-risk",
        ),
    ],
)
def test_old_names_work_with_a_line_that_says_the_new_one(old, new, name):
    if old[0] == "ask":
        more = ("--model", "pocket-general", "--dataset", "pocketvqa-general")
        old, new = (*old, *more), (*new, *more)
    before, after = medcal(*old), medcal(*new)
    assert f"is now called '{name}'" in before.stderr
    assert "is now called" not in after.stderr
    assert before.returncode == after.returncode
    assert before.stdout == after.stdout


def test_a_name_of_ones_own_that_once_meant_something_stays(tmp_path):
    table = tmp_path / "a.csv"
    table.write_text("item_id,confidence,correct\n1,0.9,1\n")
    words = ("--dataset", "pocket-general", "--model", "real")
    done = medcal("import", str(table), *words, "--to", str(tmp_path / "a.sqlite"))
    assert done.returncode == 0
    assert "is now called" not in done.stderr
    assert load_answers(tmp_path / "a.sqlite")["model"].tolist() == ["real"]


def test_a_bare_table_is_told_how_it_comes_in(tmp_path):
    (tmp_path / "a.csv").write_text("id,conf,right\n1,0.9,1\n")
    done = medcal("score", str(tmp_path / "a.csv"))
    assert done.returncode == 2
    assert "no column 'model'" in done.stderr
    assert "`medcal import` brings in a table with other names" in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ("score", "a.csv", "--resamples", "1000000000"),
            "'--resamples': 10{9} is more than 100000",
        ),
        (
            ("score", "a.csv", "--resamples", "1"),
            "'--resamples': 1 is less than 2",
        ),
        (
            ("ask", "--samples", "1000000000000"),
            "'--samples': 10{12} is more than 1000",
        ),
    ],
)
def test_sizes_out_of_range_are_refused_before_anything_is_read(words, told):
    done = medcal(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.search(told, done.stderr)
    assert done.stderr.count("\n") == 1
