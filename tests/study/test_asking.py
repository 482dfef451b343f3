"""The asking stage of a profile: what is begun anew, and what never is."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

from medcal_nb.answers import AnswerLog
from medcal_nb.ask.graded import ranked
from medcal_nb.errors import MedcalError
from medcal_nb.study import asking, load_profile
from medcal_nb.study.profile import Job

TINY = """
[[ask]]
models = ["pocket-general"]
strategies = ["verbalized", "p_true", "verbalized_blank"]
items = [{ dataset = "DATASET", split = "test", n = 4 }]

[[ask]]
models = ["pocket-general"]
expert = "pocket-expert"
of = ["verbalized", "p_true"]
strategies = ["expert", "expert_blank"]
items = [{ dataset = "DATASET", split = "test", n = 4 }]

[[ask]]
models = ["pocket-general"]
strategies = ["decision"]
items = [{ dataset = "DATASET", split = "test", n = 40 }]
"""

SERVED = """
[[ask]]
models = ["owner/model"]
strategies = ["verbalized"]
items = [{ dataset = "pocketvqa-medical", split = "test", n = 2 }]

[models."owner/model"]
url = "$MEDCAL_NOWHERE"
"""


@pytest.fixture
def profile(tmp_path):
    dataset = next(
        job.dataset for job in load_profile("pocket").jobs() if "general" in job.dataset
    )
    path = tmp_path / "tiny.toml"
    path.write_text(TINY.replace("DATASET", dataset))
    return load_profile(path)


def test_one_log_holds_all_that_the_study_asks(profile, tmp_path):
    log = tmp_path / "answers.sqlite"
    told = asking.ask_profile(profile, log)
    asked, decided, judged = told["answers"]  # the expert comes last
    assert (asked, judged) == (4 * 3, 4 * 2)
    assert 0 < decided < 40
    assert told["skipped"].tolist() == [[], [("decision", "no answer is a level")], []]
    with AnswerLog(log, read_only=True) as answers:
        first = answers.read()
    assert set(first["strategy"]) == {
        *(
            "verbalized",
            "p_true",
            "verbalized_blank",
            "decision",
            "expert",
            "expert_blank",
        ),
    }
    assert set(first["model"]) == {"pocket-general"}
    assert first.loc[first["strategy"] == "expert", "expert"].eq("pocket-expert").all()
    assert set(ranked(first)["strategy"]) == {"verbalized", "p_true"}
    again = asking.ask_profile(profile, log)
    assert again["answers"].sum() == 0
    with AnswerLog(log, read_only=True) as answers:
        pd.testing.assert_frame_equal(answers.read(), first)


def test_a_log_that_the_study_did_not_make_is_never_touched(profile, tmp_path):
    log = tmp_path / "mine.sqlite"
    with AnswerLog(log) as answers:
        row = {"model": "m", "dataset": "d", "item_id": "q", "strategy": "verbalized"}
        answers.append([{**row, "answer": "yes", "confidence": 0.8}])
    before = log.read_bytes()
    with pytest.raises(MedcalError, match=r"did not ask.*--profile imported"):
        asking.ask_profile(profile, log)
    assert log.read_bytes() == before
    assert [path.name for path in tmp_path.glob("mine*")] == ["mine.sqlite"]


def job(n):
    """A job of an embedded model, as a profile tells it."""
    return Job(
        model="pocket-general",
        dataset="d",
        split=None,
        n=n,
        strategies=("verbalized",),
        seed=0,
        options={},
    )


def test_our_own_log_is_begun_anew_where_what_it_was_made_from_has_changed(tmp_path):
    log = tmp_path / "answers.sqlite"
    jobs = [job(n=3)]
    asking.begin_anew_if_stale(jobs, log)
    with AnswerLog(log) as answers:
        row = {
            "model": "pocket-general",
            "dataset": "d",
            "item_id": "q",
            "strategy": "verbalized",
        }
        answers.append([{**row, "answer": "yes", "confidence": 0.8}])
    asking.begin_anew_if_stale(jobs, log)
    assert log.exists()
    note = tmp_path / "answers.sqlite.made-from.json"
    told = json.loads(note.read_text())
    asking.begin_anew_if_stale([job(n=4)], log)
    assert not log.exists()
    assert json.loads(note.read_text()) != told


@pytest.mark.parametrize(
    "other",
    [{"dataset": "my-set"}, {"strategy": "p_true"}, {"model": "mine"}],
)
def test_rows_that_were_put_into_our_log_are_never_lost(tmp_path, other):
    log = tmp_path / "answers.sqlite"
    first = job(n=3)
    asking.begin_anew_if_stale([first], log)
    row = {"model": "pocket-general", "dataset": "d", "strategy": "verbalized"}
    row |= {"answer": "yes", "confidence": 0.8}
    with AnswerLog(log) as answers:
        answers.append([row | {"item_id": "q"}, row | {"item_id": "r"} | other])
    changed = job(n=4)
    for jobs in ([changed], [first]):
        with pytest.raises(MedcalError, match="did not ask for, such"):
            asking.begin_anew_if_stale(jobs, log)
    with AnswerLog(log, read_only=True) as answers:
        assert len(answers.keys()) == 2


def test_embedded_answers_are_asked_anew_where_the_words_they_are_read_by_changed(
    tmp_path, monkeypatch
):
    package = tmp_path / "medcal_nb"
    shutil.copytree(asking._PACKAGE / "ask", package / "ask")
    (package / "datasets").mkdir()
    shutil.copy(asking._PACKAGE / "datasets" / "items.py", package / "datasets")
    monkeypatch.setattr(asking, "_PACKAGE", package)
    before = asking._code_and_weights()
    assert asking._code_and_weights() == before
    for name in ("words.toml", "strategies.py"):
        with (package / "ask" / name).open("a", encoding="utf-8") as file:
            file.write("\n# a change\n")
        after = asking._code_and_weights()
        assert after != before, name
        before = after


@pytest.mark.parametrize("variables", [{}, {"MEDCAL_NOWHERE": ""}])
def test_a_server_whose_address_is_not_told_is_named(variables, monkeypatch, tmp_path):
    monkeypatch.delenv("MEDCAL_NOWHERE", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    profile = tmp_path / "mine.toml"
    profile.write_text(SERVED)
    with pytest.raises(MedcalError, match=r"owner/model: \$MEDCAL_NOWHERE is not set"):
        asking.ask_profile(load_profile(profile), tmp_path / "a.sqlite")


@pytest.mark.slow
@pytest.mark.parametrize("models", [["nowhere/x/y"], ["pocket-none", "pocket-general"]])
def test_a_model_that_cannot_be_reached_ends_the_asking(tmp_path, models):
    path, log = tmp_path / "two.toml", tmp_path / "answers.sqlite"
    told = TINY.split("[[ask]]")[1].replace("DATASET", "pocketvqa-general")
    path.write_text("[[ask]]" + told.replace('["pocket-general"]', json.dumps(models)))
    with pytest.raises(MedcalError, match=models[0]):
        asking.ask_profile(load_profile(path), log)


def process_after(seconds):
    time.sleep(seconds)
    return os.getpid()


SCRIPT = """
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from medcal_nb.study.asking import _begin_process
from tests.study.test_asking import process_after

if __name__ == "__main__":
    with ProcessPoolExecutor(2, get_context("spawn"), initializer=_begin_process) as pool:
        for process in pool.map(process_after, [1.0] * 600):
            print(process, flush=True)
"""


def is_running(process):
    try:
        with open(f"/proc/{process}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="reads /proc")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_processes_that_ask_end_with_the_run(tmp_path, root, how):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    run = subprocess.Popen(
        [sys.executable, str(script)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    seen = set()
    while len(seen) < 2:
        line = run.stdout.readline()
        assert line, "the script ended early"
        seen.add(int(line))
    # a kill reaches one process, Ctrl-C at a terminal all of them
    (os.killpg if how == signal.SIGINT else os.kill)(run.pid, how)
    assert run.wait(timeout=60) != 0
    until = time.monotonic() + 60
    while any(map(is_running, seen)) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(map(is_running, seen))
