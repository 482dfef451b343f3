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
            [KEY | {"item_id": str(k), "confidence": c, "answer": "x"} | more
             for k, c in enumerate(confidences)]
        )  # fmt: skip
    return path


def test_several_files_become_one_log_and_equal_answers_are_one(medcal, tmp_path):  # noqa: F811
    log_of("a.sqlite", 0.5, 0.6, run_id="one")
    log_of("b.sqlite", 0.5, 0.6, 0.7, run_id="two")
    log_of("c.sqlite", 0.9)
    code, out, _ = medcal("import", "a.sqlite", "b.sqlite", "--to", "all.sqlite")
    assert (code, out) == (0, "all.sqlite: 3 of 3 answers written\n")
    out = medcal("import", "a.sqlite", "b.sqlite", "--to", "all.sqlite")[1]
    assert out.startswith("all.sqlite: 0 of 3")
    code, _, err = medcal("import", "a.sqlite", "c.sqlite", "--to", "new.sqlite")
    assert code == 2
    assert "c.sqlite: there already with other content: model=m" in err
    code, _, err = medcal("import", "c.sqlite", "--to", "all.sqlite")
    assert code == 2
    assert "--force" in err
    assert not (tmp_path / "new.sqlite").exists()
    assert len(load_answers("all.sqlite")) == 3
    assert medcal("import", "c.sqlite", "--to", "all.sqlite", "--force")[0] == 0


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
    there = sorted(path.name for path in tmp_path.iterdir())
    assert there == ["a.sqlite", "a.sqlite.csv", "bad.csv"]


def test_what_was_assumed_stands_before_the_numbers(medcal, tmp_path):  # noqa: F811
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"case": range(200), "conf": rng.integers(50, 100, 200)})
    frame.assign(right=rng.random(200) < 0.7).to_csv("a.csv", index=False)
    lines = medcal("score", "a.csv", "--metrics", "brier")[2].splitlines()
    assert "'conf' (percent), correct from 'right', item_id from 'case'" in lines[0]
    assert lines[-1].endswith("by answer")


@pytest.mark.slow
def test_a_full_disk_is_told_and_the_same_command_goes_on(tmp_path):
    frame = pd.DataFrame({"item_id": range(3000), "confidence": 0.5, "correct": 1})
    frame.to_csv(tmp_path / "a.csv", index=False)
    command = [sys.executable, "-m", "medcal_nb.cli", "import", "a.csv", "--to"]
    how = {"cwd": tmp_path, "capture_output": True, "text": True}
    for to in ("a.sqlite", "b.csv"):
        limited = ["bash", "-c", 'ulimit -f 30; exec "$0" "$@"', *command, to]
        done = subprocess.run(limited, **how)
        assert done.returncode in (1, 2)
        assert "unforeseen" not in done.stderr
        assert done.stderr.splitlines()[-1].startswith("medcal: error: ")
        assert subprocess.run([*command, to], **how).returncode == 0
        assert len(load_answers(tmp_path / to)) == 3000
