"""Processes that share a model: the same answers, and none that outlives the run."""

import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pandas as pd
import pytest

from medcal_nb.answers import AnswerLog
from medcal_nb.ask.backends.local import LocalModel
from medcal_nb.ask.run import ask
from medcal_nb.ask.workers import Workers
from medcal_nb.errors import MedcalError
from tests.ask.tiny import tiny_checkpoint, tiny_items

pytest.importorskip("torch")

FAST = {"samples": 2, "max_new_tokens": 5, "batch_size": 2}


def tiny():
    return LocalModel(*tiny_checkpoint(), name="tiny", device="cpu")


def process_of(backend, seconds):
    """Where a call runs, and whether the weights there are the ones of all."""
    time.sleep(seconds)
    return os.getpid(), all(p.is_shared() for p in backend.model.parameters())


def end_at_once(backend):
    os._exit(3)


@pytest.mark.slow
@pytest.mark.parametrize("blank", [False, True])
def test_workers_write_what_one_process_writes(tmp_path, blank):
    items = tiny_items(9)
    items["image"] = items["image"].where(items["image_id"] != "im0001", b"no image")
    names = ["verbalized", "option_probability", "self_consistency", "blank_image"]
    names = [f"{name}_blank" for name in names[:3]] if blank else names
    tables, told = [], []
    for n in (1, 2):
        with AnswerLog(tmp_path / f"{n}.sqlite") as log:
            summary = ask(tiny(), items, names, log=log, workers=n, **FAST)
            again = ask(tiny(), items, names, log=log, workers=n, **FAST)
            table = log.read().sort_values(["item_id", "strategy", "sample"], ignore_index=True)
        assert again.rows == 0
        assert (again.done_before, again.failed) == (summary.rows, summary.failed)
        tables.append(table.drop(columns="seconds"))
        told.append((summary.rows, summary.failed, summary.not_applicable))
    assert told[0] == told[1]
    assert set(told[0][1]) == {"q0002", "q0003"}
    pd.testing.assert_frame_equal(*tables, rtol=1e-4)


@pytest.mark.slow
def test_calls_are_spread_over_processes_that_hold_the_weights_once():
    with Workers(tiny(), 2) as pool:
        done = list(pool.each(process_of, [(1.0,)] * 12))
    assert sorted(i for i, _ in done) == list(range(12))
    assert {shared for _, (_, shared) in done} == {True}
    assert len({process for _, (process, _) in done} - {os.getpid()}) == 2


@pytest.mark.slow
def test_a_process_that_ends_before_its_time_is_told():
    with Workers(tiny(), 1) as pool, pytest.raises(MedcalError, match="lower --workers"):
        list(pool.each(end_at_once, [()]))


@pytest.mark.parametrize(
    ("backend", "told"),
    [
        (SimpleNamespace(name="far"), "far: workers share the CPU .* --concurrency"),
        (SimpleNamespace(name="big", device="cuda:0"), "big: .* the model is on cuda:0"),
    ],
)
def test_models_that_processes_cannot_share_are_refused(backend, told):
    with pytest.raises(MedcalError, match=told):
        Workers(backend, 2)


SCRIPT = """
from tests.ask.test_workers import Workers, process_of, tiny

if __name__ == "__main__":
    with Workers(tiny(), 2) as pool:
        for _, (process, _) in pool.each(process_of, [(1.0,)] * 600):
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
def test_processes_end_with_the_run(tmp_path, root, how):
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
