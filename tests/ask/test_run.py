"""Runs: what is asked, resumed, counted, and what a kill -9 leaves behind."""

import math
import os
import shutil
import subprocess
import sys

import pandas as pd
import pytest

from medcal_nb.answers import AnswerLog
from medcal_nb.answers.samples import one_answer_an_item
from medcal_nb.ask import rows, run, strategies
from medcal_nb.ask.backends.local import LocalModel
from medcal_nb.ask.models import resolve_model
from medcal_nb.ask.run import ask
from medcal_nb.ask.strategies import STRATEGIES, Plan
from medcal_nb.errors import MedcalError
from tests.ask.tiny import save_checkpoint, tiny_checkpoint, tiny_items

pytest.importorskip("torch")

FAST = {"samples": 3, "max_new_tokens": 5}


@pytest.fixture
def model():
    return LocalModel(*tiny_checkpoint(), name="tiny", device="cpu")


def test_answers_of_other_words_or_weights_are_no_answers(model, log, monkeypatch):
    def asked(names, **settings):
        return ask(model, tiny_items(4), names, log=log, **FAST | settings).rows

    asked("self_consistency,verbalized")
    before = log.read()
    with pytest.raises(MedcalError, match="under self_consistency that were asked"):
        asked("p_true,self_consistency", temperature=0.5)
    monkeypatch.setattr(model, "revision", "another")
    with pytest.raises(MedcalError, match="other settings, words or weights"):
        asked("verbalized")
    monkeypatch.undo()
    assert asked("self_consistency") == 0
    monkeypatch.setattr(strategies, "VERBALIZED", "How certain are you?")
    with pytest.raises(MedcalError, match="under verbalized that were asked"):
        asked("verbalized")
    assert asked("self_consistency") == 0  # whose words are the same
    pd.testing.assert_frame_equal(log.read(), before)


def test_each_method_has_words_of_its_own_and_a_new_one_changes_none(model):
    names = [run.fingerprint(model, how, Plan()) for how in STRATEGIES.values()]
    shared = {"self_consistency", "semantic_entropy"}
    assert len(set(names)) == len(names)
    words = {
        name: repr([run._words(how, item, Plan()) for item in run._EXAMPLES])
        for name, how in STRATEGIES.items()
        if name not in shared
    }
    assert len(set(words.values())) == len(words)
    assert "object at 0x" not in "".join(words.values())  # the same in every process


def test_a_reply_that_cannot_be_read_is_its_item_s_failure(model, log, monkeypatch):
    parse = rows._parse

    def odd(text, **more):
        if text.startswith("Answer: left"):  # the example by which words are named
            return parse(text, **more)
        raise RecursionError("a parser's fault")

    monkeypatch.setattr(rows, "_parse", odd)
    ended = ask(model, tiny_items(3), "verbalized,option_probability", log=log, **FAST)
    assert set(ended.failed) == {"q0000", "q0001", "q0002"}
    assert "RecursionError: a parser's fault" in ended.failed["q0000"]
    assert ended.rows == 2  # what needs no parser


def test_every_strategy_writes_checked_answers(model, log):
    summary = ask(model, tiny_items(7), "all", log=log, **FAST)
    answers = log.read()
    assert len(answers) == summary.rows
    without = ("option_probability", "decision", "blank_image", "none_of_the_above")
    skipped = {name: n for (name, _), n in summary.skipped.items()}
    assert skipped == dict.fromkeys(without, 2) | {"clip_zero_shot": 7}
    assert set(answers["strategy"]) == set(STRATEGIES) - {"clip_zero_shot"}
    assert set(answers["site"]) == {"s0", "s1"}
    # what no rule decides is ungraded, as in any table
    assert not answers.loc[answers["answer"].isna(), "correct"].notna().any()
    assert answers["correct"].notna().sum() > 0
    assert (answers["prompt_tokens"] > 20).all()
    per_item = answers.groupby(["item_id", "strategy"]).size()
    assert per_item.loc[:, "self_consistency"].eq(3).all()
    assert len(one_answer_an_item(answers, "log")) == len(per_item)


def test_a_rerun_asks_nothing_and_more_samples_only_what_is_missing(model, log):
    items, names = tiny_items(4), "self_consistency,verbalized"
    first = ask(model, items, names, log=log, samples=2, max_new_tokens=4)
    before = log.read()
    again = ask(model, items, names, log=log, samples=2, max_new_tokens=4)
    assert (again.rows, again.done_before) == (0, first.rows)
    more = ask(model, items, names, log=log, samples=4, max_new_tokens=4)
    assert more.rows == 4 * 2
    kept = log.read().merge(before[["item_id", "strategy", "sample"]])
    pd.testing.assert_frame_equal(kept, before)


def test_answers_do_not_depend_on_batches_shards_or_company(model, tmp_path):
    names = "verbalized,option_probability,p_true,self_consistency"

    def table(path, *runs):
        with AnswerLog(tmp_path / path) as log:
            for methods, more in runs:
                ask(model, tiny_items(9), methods, log=log, **FAST, **more)
            return log.read().drop(columns="option_probabilities")

    whole = table("a.sqlite", (names, {}))
    shards = [(names, {"shard": (i, 3), "batch_size": 2}) for i in (1, 2, 3)]
    alone = [(name, {"batch_size": 4}) for name in names.split(",")]
    for number, runs in enumerate((shards, alone)):
        other = table(f"{number}.sqlite", *runs)
        pd.testing.assert_frame_equal(whole, other, rtol=1e-4)
    seeded = table("d.sqlite", (names, {"seed": 1}))
    is_drawn = whole["strategy"] == "self_consistency"
    assert seeded["raw"][~is_drawn].equals(whole["raw"][~is_drawn])
    assert not seeded["raw"][is_drawn].equals(whole["raw"][is_drawn])


def test_what_fails_is_reported_and_the_rest_is_asked(model, log):
    items = tiny_items(4, per_image=1)
    items.at[1, "image"] = b"damaged"
    summary = ask(model, items, "verbalized", log=log, **FAST)
    assert (summary.rows, summary.exit_code) == (3, 1)
    assert set(summary.failed) == {"q0001"}
    assert "asks them again" in summary.lines()[-1]
    items.at[1, "image"] = tiny_items(1).at[0, "image"]
    again = ask(model, items, "verbalized", log=log, **FAST)
    assert (again.rows, again.done_before, again.exit_code) == (1, 3, 0)
    with pytest.raises(MedcalError, match="column 'site'"):
        ask(model, tiny_items(5).assign(site=math.inf), "verbalized", log=log, **FAST)
    items.at[0, "dataset"] = "other"
    with pytest.raises(MedcalError, match="one data set at a time"):
        ask(model, items, "verbalized", log=log, **FAST)


def test_a_full_disk_ends_the_run_and_splits_no_batch(model, log):
    (pages,) = log._con.execute("PRAGMA page_count").fetchone()
    log._con.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(MedcalError, match="the disk is full"):
        ask(model, tiny_items(12), "verbalized,self_consistency", log=log, **FAST)
    assert not log.keys()


def test_a_model_s_name_does_not_steer_the_terminal(log, capsys):
    name = "m\x1b]0;owned\x07\x1b[2J"
    named = LocalModel(*tiny_checkpoint(), name=name, device="cpu")
    ask(named, tiny_items(1), "verbalized", log=log, progress=True, **FAST)
    shown = capsys.readouterr().err
    assert "m\ufffd]0;owned" in shown
    assert not {"\x1b", "\x07"} & set(shown.replace("\x1b[A", ""))


def test_the_revision_is_the_commit_that_was_loaded(tmp_path, monkeypatch):
    folder = save_checkpoint(tmp_path / "tiny")
    cache, commits = tmp_path / "hub", ["a" * 40, "b" * 40]
    for commit in commits:
        shutil.copytree(folder, cache / "models--owner--tiny" / "snapshots" / commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for commit in commits:
        model = resolve_model("owner/tiny", device="cpu", revision=commit)
        assert model.revision == commit
    assert resolve_model(str(folder), device="cpu").revision is None


SCRIPT = """
import os, random, signal, sys, time
import torch
torch.set_num_threads(1)
from medcal_nb.answers import AnswerLog
from medcal_nb.ask.backends.local import LocalModel
from medcal_nb.ask.run import ask
from tests.ask.tiny import tiny_checkpoint, tiny_items

model = LocalModel(*tiny_checkpoint(), name="tiny", device="cpu")
names = "verbalized,option_probability,self_consistency,challenge"
few = {"samples": 3, "max_new_tokens": 6, "batch_size": 2}

def child(name):
    pid = os.fork()
    if pid == 0:
        with AnswerLog(f"{sys.argv[1]}/{name}.sqlite") as log:
            ask(model, tiny_items(12), names, log=log, **few)
        os._exit(0)
    return pid

started = time.perf_counter()
os.waitpid(child("whole"), 0)
longest = time.perf_counter() - started
rng, killed = random.Random(5), 0
while killed < 3:
    pid = child("cut")
    time.sleep(rng.uniform(0, longest / 4))
    os.kill(pid, signal.SIGKILL)
    if not os.WIFSIGNALED(os.waitpid(pid, 0)[1]):
        break  # the table was finished before the kill
    killed += 1
print(killed)
os.waitpid(child("cut"), 0)
for pid in [child("pair"), child("pair")]:
    assert os.waitpid(pid, 0)[1] == 0
"""


@pytest.mark.slow
def test_killed_runs_and_two_at_once_give_the_uninterrupted_table(tmp_path, root):
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    one = os.environ | {"OMP_NUM_THREADS": "1"}
    how = {"capture_output": True, "text": True, "timeout": 300, "check": True}
    done = subprocess.run(command, cwd=root, env=one, **how)
    assert int(done.stdout) >= 2
    tables = []
    for name in ("whole", "cut", "pair"):
        with AnswerLog(tmp_path / f"{name}.sqlite", read_only=True) as log:
            tables.append(log.read().to_csv(index=False))
    assert tables[0].count("\n") > 75
    assert tables[0] == tables[1] == tables[2]
