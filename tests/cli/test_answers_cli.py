"""``medcal import`` and ``score`` on files that people have: merged, exported, gated, damaged."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from medcal_nb.answers import AnswerLog, load_answers

from .test_cli import medcal  # noqa: F401

KEY = {"model": "m", "dataset": "d", "strategy": "s"}


def log_of(path, *confidences, **more):
    with AnswerLog(path) as log:
        log.append(
            [KEY | {"item_id": str(k), "confidence": c, "answer": "=1+1"} | more
             for k, c in enumerate(confidences)]
        )  # fmt: skip
    return path


def test_several_files_become_one_log_and_equal_answers_are_one(medcal, tmp_path):  # noqa: F811
    log_of("a.sqlite", 0.5, 0.6, run_id="one")
    log_of("b.sqlite", 0.5, 0.6, 0.7, run_id="two")
    log_of("c.sqlite", 0.9)
    code, out, _ = medcal("import", "a.sqlite", "b.sqlite", "--to", "all.sqlite")
    assert (code, out) == (0, "all.sqlite: 3 of 3 answers written\n")
    assert medcal("import", "a.sqlite", "b.sqlite", "--to", "all.sqlite")[1].startswith(
        "all.sqlite: 0 of 3"
    )
    code, _, err = medcal("import", "a.sqlite", "c.sqlite", "--to", "new.sqlite")
    assert code == 2
    assert "c.sqlite: there already with other content: model=m" in err
    code, _, err = medcal("import", "c.sqlite", "--to", "all.sqlite")
    assert code == 2
    assert "c.sqlite: there already" in err
    assert "--force" in err
    assert not (tmp_path / "new.sqlite").exists()
    assert len(load_answers("all.sqlite")) == 3


def test_what_is_wrong_with_a_file_leaves_nothing_behind(medcal, tmp_path):  # noqa: F811
    (tmp_path / "bad.csv").write_text("item_id,confidence,correct\n1,7,1\n")
    log_of("a.sqlite", 0.5)
    for words in (["bad.csv"], ["a.sqlite", "bad.csv"], ["a.sqlite", "-c", "model=x"]):
        for to in ("new.sqlite", "new.csv"):
            code, out, err = medcal("import", *words, "--to", to)
            assert (code, out) == (2, "")
            assert "medcal: error: " in err
    for to in ("out.doc", "no/out.csv", "a.sqlite.csv"):
        (tmp_path / "a.sqlite.csv").write_text("mine")
        assert medcal("import", "a.sqlite", "--to", to)[0] == 2
    assert {p.name for p in tmp_path.iterdir()} == {
        "bad.csv",
        "a.sqlite",
        "a.sqlite.csv",
    }


def test_what_leaves_for_a_spreadsheet_is_no_formula(medcal):  # noqa: F811
    log_of("a.sqlite", 0.5)
    assert medcal("import", "a.sqlite", "--to", "a.csv")[0] == 0
    assert pd.read_csv("a.csv")["answer"].tolist() == ["'=1+1"]


def test_what_was_assumed_stands_before_the_numbers(medcal, tmp_path):  # noqa: F811
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"case": range(200), "conf": rng.integers(50, 100, 200)})
    frame.assign(right=rng.random(200) < 0.7).to_csv("a.csv", index=False)
    _, _, err = medcal(
        "score", "a.csv", "--metrics", "brier", "--require", "brier < 0.9"
    )
    lines = err.splitlines()
    assert lines[0] == (
        "medcal: confidence from 'conf' (percent), correct from 'right', item_id from 'case'"
    )
    assert lines[-1].endswith("intervals are by answer")


@pytest.mark.slow
def test_a_full_disk_is_told_and_the_same_command_goes_on(tmp_path):
    frame = pd.DataFrame({"item_id": range(3000), "confidence": 0.5, "correct": 1})
    frame.to_csv(tmp_path / "a.csv", index=False)
    command = [sys.executable, "-m", "medcal_nb.cli", "import", "a.csv", "--to"]
    limit = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000)); "
    )
    for to in ("a.sqlite", "b.csv"):
        again = f"{limit}import runpy, sys; sys.argv = {[*command[2:], to]!r}; "
        run = again + "runpy.run_module('medcal_nb.cli', run_name='__main__')"
        done = subprocess.run(
            [sys.executable, "-c", run], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode in (1, 2)
        assert "unforeseen" not in done.stderr
        assert done.stderr.splitlines()[-1].startswith("medcal: error: ")
        assert (
            subprocess.run([*command, to], cwd=tmp_path, capture_output=True).returncode
            == 0
        )
        assert len(load_answers(tmp_path / to)) == 3000
