"""Every command that takes an output path: nothing that it did not make is ever altered."""

import os
import resource
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from medcal_nb.answers import AnswerLog, load_answers
from medcal_nb.datasets import dataset_names

POCKET = next(
    n for n in dataset_names() if n.startswith("pocket") and n.endswith("-medical")
)
ITEMS = ["items", "--dataset", POCKET, "--n", "3"]
CALIBRATE = [
    "calibrate",
    "{log}",
    "--fit",
    "domain=general",
    "--apply",
    "domain=medical",
]
#: Commands with {to} where the output goes, and the end of its name.
TABLES = {
    "export csv": (["export", "{log}", "--to", "{to}"], ".csv"),
    "export parquet": (["export", "{log}", "--to", "{to}"], ".parquet"),
    "items --sheet": ([*ITEMS, "--sheet", "{to}"], ".png"),
    "calibrate --to": ([*CALIBRATE, "--to", "{to}"], ".sqlite"),
}
#: Commands that add to an answers log, or make it.
LOGS = {
    "import": ["import", "{table}", "--dataset", "new", "--to", "{to}"],
    "merge": ["merge", "{log}", "--to", "{to}"],
    "ask": ["ask", "--model", "pocket-general", "--dataset", POCKET, "--n", "1",
            "--to", "{to}"],
}  # fmt: skip
LOG = "made.sqlite"


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A log and a table, as inputs of the commands."""
    folder = tmp_path_factory.mktemp("given")
    rng = np.random.default_rng(0)
    n = 80
    frame = pd.DataFrame(
        {
            "model": "m",
            "dataset": np.where(np.arange(n) % 2, "a", "b"),
            "domain": np.where(np.arange(n) % 2, "general", "medical"),
            "item_id": [f"q{i}" for i in range(n)],
            "strategy": "verbalized",
            "confidence": rng.uniform(0.1, 0.9, n).round(2),
            "correct": rng.random(n) < 0.5,
        }
    )
    with AnswerLog(folder / "log.sqlite") as log:
        log.append(frame.to_dict("records"))
    frame.to_csv(folder / "table.csv", index=False)
    return folder


def run(words, given, to, *, most_bytes=None):
    names = {"log": given / "log.sqlite", "table": given / "table.csv", "to": to}
    command = [
        sys.executable,
        "-m",
        "medcal_nb.cli",
        *(word.format(**names) for word in words),
    ]

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))

    return subprocess.run(
        command, capture_output=True, text=True, timeout=900,
        preexec_fn=None if most_bytes is None else limit,
    )  # fmt: skip


def refused(done, target):
    assert done.returncode == 2, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("medcal: error: ")
    assert str(target) in last
    assert "unforeseen" not in last


def contents(path):
    return path.read_bytes() if path.is_file() else None


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_made_whole_and_replaces_only_what_may_be(given, tmp_path, name):
    words, suffix = TABLES[name]
    before = contents(given / "log.sqlite")
    log, folder, pipe, there = (
        tmp_path / f"{k}{suffix}" for k in ("log", "folder", "pipe", "there")
    )
    log.write_bytes(before)
    folder.mkdir()
    os.mkfifo(pipe)
    there.write_text("mine\n")
    lost = tmp_path / "no" / f"such{suffix}"
    for target in (given / "log.sqlite", log, folder, pipe, there, lost):
        if target.suffix == suffix:
            refused(run(words, given, target), target)
    assert contents(given / "log.sqlite") == contents(log) == before
    assert there.read_text() == "mine\n"
    assert not lost.parent.exists()
    made = tmp_path / f"made{suffix}"
    done = run(words, given, made)
    assert done.returncode == 0, done.stderr
    assert made.stat().st_size > 50
    full = tmp_path / f"full{suffix}"
    done = run(words, given, full, most_bytes=40)  # the disk is full, as it were
    assert done.returncode in (1, 2)
    assert done.stderr.strip().splitlines()[-1].startswith("medcal: error: ")
    assert not full.exists()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["export csv", "items --sheet"])
def test_force_replaces_a_file_but_no_log(given, tmp_path, name):
    words, suffix = TABLES[name]
    there = tmp_path / f"there{suffix}"
    there.write_text("mine\n")
    done = run([*words, "--force"], given, there)
    assert done.returncode == 0, done.stderr
    assert contents(there) != b"mine\n"
    log = tmp_path / f"log{suffix}"
    log.write_bytes(contents(given / "log.sqlite"))
    refused(run([*words, "--force"], given, log), log)
    assert contents(log) == contents(given / "log.sqlite")


@pytest.mark.slow
@pytest.mark.parametrize("name", LOGS)
def test_a_log_is_added_to_and_nothing_else_is_touched(given, tmp_path, name):
    words = LOGS[name]
    folder, there, log = (tmp_path / name / LOG for name in ("folder", "there", "log"))
    folder.mkdir(parents=True)
    for path in (there, log):
        path.parent.mkdir()
    there.write_text("mine\n")
    for target in (folder, there):
        refused(run(words, given, target), target)
    assert there.read_text() == "mine\n"
    log.write_bytes(contents(given / "log.sqlite"))
    before = len(load_answers(log))
    done = run(words, given, log)
    assert done.returncode == 0, done.stderr
    assert len(load_answers(log)) >= before
    assert len(load_answers(given / "log.sqlite")) == before


@pytest.mark.slow
@pytest.mark.parametrize("name", LOGS)
def test_a_full_disk_is_told_and_the_same_command_goes_on(given, tmp_path, name):
    words, log = LOGS[name], tmp_path / LOG
    done = run(words, given, log, most_bytes=6_000)
    assert done.returncode in (1, 2), done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("medcal: error: ")
    assert "unforeseen" not in last
    assert not [p for p in tmp_path.iterdir() if LOG not in p.name]
    done = run(words, given, log)
    assert done.returncode == 0, done.stderr
    assert len(load_answers(log))
