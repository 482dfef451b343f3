"""Runs: what is asked, resumed, counted, and what a kill -9 leaves behind."""

import os
import shutil
import subprocess
import sys
import textwrap

import pandas as pd
import pytest

from medcal_nb.answers import AnswerLog
from medcal_nb.ask import strategies
from medcal_nb.ask.backends.local import LocalModel
from medcal_nb.ask.graded import to_graded
from medcal_nb.ask.models import resolve_model
from medcal_nb.ask.run import ask, dry_run, shard_of
from medcal_nb.ask.strategies import STRATEGIES, Plan, rehearse
from medcal_nb.datasets import iter_items, load_items
from medcal_nb.errors import MedcalError
from tests.ask.tiny import save_checkpoint, tiny_checkpoint, tiny_items

pytest.importorskip("torch")

FAST = {"samples": 3, "max_new_tokens": 5}


@pytest.fixture
def model():
    return LocalModel(*tiny_checkpoint(), name="tiny", device="cpu")


@pytest.fixture
def log(tmp_path):
    with AnswerLog(tmp_path / "answers.sqlite") as log:
        yield log


def timeless(frame):
    return frame.drop(columns="seconds").reset_index(drop=True)


def test_answers_of_other_settings_words_or_weights_are_not_there_already(
    model, log, monkeypatch
):
    items = tiny_items(4)
    ask(model, items, "self_consistency,verbalized", log=log, **FAST)
    assert (
        ask(model, items, "self_consistency", log=log, **{**FAST, "samples": 5}).rows
        == 2 * 4
    )
    before = log.read()
    with pytest.raises(MedcalError, match="under self_consistency that were asked"):
        ask(model, items, "p_true,self_consistency", log=log, temperature=0.5, **FAST)
    assert ask(model, items, "verbalized", log=log, temperature=0.5, **FAST).rows == 0
    monkeypatch.setattr(model, "revision", "another")
    with pytest.raises(MedcalError, match="under verbalized that were asked"):
        ask(model, items, "verbalized", log=log, **FAST)
    monkeypatch.undo()
    words = strategies.VERBALIZED.replace("how sure", "how certain")
    monkeypatch.setattr(strategies, "VERBALIZED", words)
    with pytest.raises(MedcalError, match="other settings, words or weights"):
        ask(model, items, "verbalized", log=log, **FAST)
    assert (
        ask(model, items, "self_consistency", log=log, **FAST).rows == 0
    )  # its own words stand
    monkeypatch.undo()
    assert ask(model, items, "verbalized", log=log, **FAST).rows == 0
    pd.testing.assert_frame_equal(log.read(), before)


def test_every_strategy_writes_checked_answers(model, log):
    items = tiny_items(7)
    summary = ask(model, items, "all", log=log, **FAST)
    answers = log.read()
    assert len(answers) == summary.rows
    asked = {name for name, s in STRATEGIES.items() if s.skips(model) is None}
    assert set(answers.strategy) == asked
    none = {name: n for (name, _), n in summary.skipped.items()}
    open_ones = dict.fromkeys(
        ("option_probability", "blank_image", "none_of_the_above"), 2
    )
    assert none == open_ones | {"clip_zero_shot": 7}
    assert set(answers.site) == {"s0", "s1"}
    per_item = answers.groupby(["item_id", "strategy"]).size()
    assert per_item.loc[:, "self_consistency"].eq(3).all()
    known = answers[answers.answer.notna()]
    assert known.correct.notna().all()
    assert answers[answers.answer.isna()].correct.isna().all()
    assert (answers.prompt_tokens > 20).all()
    graded = to_graded(answers)
    assert len(graded) == len(per_item)
    options = graded[graded.strategy == "option_probability"]
    assert options.confidence.between(0, 1).all()


def test_a_rerun_asks_nothing_and_more_samples_only_what_is_missing(model, log):
    items = tiny_items(4)
    first = ask(
        model,
        items,
        "self_consistency,verbalized",
        log=log,
        samples=2,
        max_new_tokens=4,
    )
    before = log.read()
    again = ask(
        model,
        items,
        "self_consistency,verbalized",
        log=log,
        samples=2,
        max_new_tokens=4,
    )
    assert (again.rows, again.done_before) == (0, first.rows)
    more = ask(model, items, "self_consistency", log=log, samples=4, max_new_tokens=4)
    assert more.rows == 4 * 2
    kept = log.read().merge(before[["item_id", "strategy", "sample"]])
    pd.testing.assert_frame_equal(kept, before)


def test_answers_do_not_depend_on_batches_shards_or_company(model, tmp_path):
    items = tiny_items(9)
    names = "verbalized,option_probability,p_true,self_consistency"

    def table(path, *runs):
        with AnswerLog(tmp_path / path) as log:
            for strategies, more in runs:
                ask(model, items, strategies, log=log, **FAST, **more)
            return log.read()

    whole = table("a.sqlite", (names, {}))
    parts = table(
        "b.sqlite", *((names, {"shard": (i, 3), "batch_size": 2}) for i in (1, 2, 3))
    )
    alone = table("c.sqlite", *((name, {"batch_size": 4}) for name in names.split(",")))
    for other in (parts, alone):
        pd.testing.assert_frame_equal(
            timeless(whole.drop(columns="option_probabilities")),
            timeless(other.drop(columns="option_probabilities")),
            rtol=1e-4,
        )


def test_shards_are_disjoint_and_keep_images_together():
    items = list(iter_items(tiny_items(60)))
    parts = [shard_of(items, (i, 4)) for i in (1, 2, 3, 4)]
    assert sorted(item.item_id for part in parts for item in part) == [
        i.item_id for i in items
    ]
    images = [{item.image_id for item in part} for part in parts]
    assert sum(map(len, images)) == len(set().union(*images))
    assert all(images)


def test_a_damaged_image_is_reported_and_the_rest_is_asked(model, log):
    items = tiny_items(4, per_image=1)
    items.at[1, "image"] = b"damaged"
    summary = ask(model, items, "verbalized", log=log, **FAST)
    assert summary.rows == 3
    assert list(summary.failed) == ["q0001"]
    assert "asks them again" in summary.lines()[-1]
    items.at[1, "image"] = tiny_items(1).at[0, "image"]
    assert ask(model, items, "verbalized", log=log, **FAST).rows == 1


def test_a_model_s_name_does_not_steer_the_terminal(model, log, capsys):
    named = LocalModel(
        *tiny_checkpoint(), name="m\x1b]0;owned\x07\x1b[2J", device="cpu"
    )
    ask(named, tiny_items(1), "verbalized", log=log, progress=True, **FAST)
    shown = capsys.readouterr().err
    assert "m\ufffd]0;owned" in shown
    assert not {"\x1b", "\x07"} & set(shown.replace("\x1b[A", ""))


def test_an_answer_that_the_log_refuses_fails_its_item_alone(model, log):
    items = tiny_items(4, per_image=1)
    items["site"] = [0, 10**25, 1, 2]
    summary = ask(model, items, "verbalized", log=log, **FAST)
    assert (summary.rows, summary.exit_code) == (3, 1)
    assert list(summary.failed) == ["q0001"]
    assert "column 'site'" in summary.failed["q0001"]
    assert sorted(log.read()["site"]) == [0, 1, 2]


def test_seeds_change_samples_and_nothing_else(model, tmp_path):
    tables = []
    for seed in (0, 1):
        with AnswerLog(tmp_path / f"{seed}.sqlite") as log:
            ask(
                model,
                tiny_items(3),
                "self_consistency,verbalized",
                log=log,
                seed=seed,
                **FAST,
            )
            tables.append(log.read().set_index("strategy"))
    assert (
        tables[0].loc["verbalized", "raw"] == tables[1].loc["verbalized", "raw"]
    ).all()
    assert (
        tables[0].loc["self_consistency", "raw"]
        != tables[1].loc["self_consistency", "raw"]
    ).any()


def test_blank_images_are_what_the_model_sees(model, tmp_path):
    """Questions about other images get the same replies where the image is a grey one."""
    items = tiny_items(4, kinds=("closed",), per_image=1).assign(
        question="is there a heart?"
    )
    with AnswerLog(tmp_path / "a.sqlite") as log:
        names = ["option_probability", "blank_image", "option_probability_blank"]
        ask(model, items, names, log=log)
        answers = log.read()
    table = answers.set_index("strategy").confidence.round(6)
    assert table["option_probability"].nunique() > 1
    assert table["option_probability_blank"].nunique() == 1
    # what blank_image asks with its own blank image is the same
    ablated = answers.query("strategy == 'blank_image' and sample == 1")
    blank = answers.query("strategy == 'option_probability_blank'")
    assert blank.confidence.to_numpy() == pytest.approx(
        ablated.confidence.to_numpy(), abs=1e-6
    )


def test_dry_run_shows_each_prompt_of_an_item_and_counts_calls(model):
    plan = Plan(dataset="tiny", **FAST)
    *shown, counted = dry_run(model, tiny_items(6), "all", plan)
    skipped = [text for text in shown if text.startswith("skipped ")]
    assert any(text.startswith("skipped clip_zero_shot: ") for text in skipped)
    shown = [text for text in shown if text not in skipped]
    assert len(set(shown)) == len(shown)
    told = dict(text.removeprefix("── ").split("\n", 1) for text in shown)
    question = "<|im_start|>User:<image>Is there a mass?\nOptions: yes, no.\n"
    assert told["verbalized"].startswith(question + "Give your answer")
    assert (
        told["two_stage"].count("User:") == 3
    )  # the second turn stands after the first
    assert "clip_zero_shot" not in told
    asked = [how for how in STRATEGIES.values() if not how.skips(model)]
    first = next(iter_items(tiny_items(1)))
    per_item = sum(len(rehearse(how, first, plan)) for how in asked)
    assert counted.startswith("6 items: ")
    assert 6 * len(shown) < int(counted.split()[2]) < 6 * per_item
    *texts, _ = dry_run(
        model, tiny_items(1, kinds=("open",)), "option_probability,top_k", plan
    )
    assert [text.split("\n")[0] for text in texts] == ["── top_k"]


def test_items_of_two_data_sets_are_refused(model, log):
    two = pd.concat([tiny_items(1), tiny_items(1, dataset="other")], ignore_index=True)
    with pytest.raises(MedcalError, match="one data set at a time"):
        ask(model, two, "verbalized", log=log)


# --- kill -9 -------------------------------------------------------------------------------------

SCRIPT = textwrap.dedent(
    """
    import os, random, signal, sys, time
    import torch
    torch.set_num_threads(1)
    from medcal_nb.answers import AnswerLog
    from medcal_nb.ask.backends.local import LocalModel
    from medcal_nb.ask.run import ask
    from tests.ask.tiny import tiny_checkpoint, tiny_items

    folder, n_kills = sys.argv[1], int(sys.argv[2])
    model = LocalModel(*tiny_checkpoint(), name="tiny", device="cpu")
    items = tiny_items(48)

    def run(path):
        with AnswerLog(path) as log:
            ask(model, items, "verbalized,option_probability,self_consistency,challenge",
                log=log, samples=3, max_new_tokens=6, batch_size=2)

    def child(path):
        pid = os.fork()
        if pid == 0:
            run(path)
            os._exit(0)
        return pid

    def count(path):
        with AnswerLog(path) as log:
            return len(log.keys())

    whole, pair = f"{folder}/whole.sqlite", f"{folder}/pair.sqlite"
    started = time.perf_counter()
    os.waitpid(child(whole), 0)
    longest = time.perf_counter() - started
    rng, killed, tables, before, slow = random.Random(5), 0, 1, 0, 1.0
    while killed < n_kills:
        cut = f"{folder}/cut{tables}.sqlite"
        pid = child(cut)
        time.sleep(rng.uniform(0, slow * longest / 8))
        os.kill(pid, signal.SIGKILL)
        if os.WIFSIGNALED(os.waitpid(pid, 0)[1]):
            killed += 1
            now = count(cut) if os.path.exists(cut) else 0
            slow *= 1.3 if now == before else 1.0  # a machine that has become busy
            before = now
            print("killed with", now, "answers", flush=True)
        else:  # the table was finished before the kill
            tables += 1
    os.waitpid(child(f"{folder}/cut{tables}.sqlite"), 0)
    for pid in [child(pair), child(pair)]:
        assert os.waitpid(pid, 0)[1] == 0
    """
)


def columns(path):
    with AnswerLog(path, read_only=True) as log:
        return timeless(log.read()).to_csv(index=False)


@pytest.mark.slow
def test_killed_runs_and_two_at_once_give_the_uninterrupted_table(tmp_path, root):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), "20"],
        cwd=root,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    had = [int(line.split()[2]) for line in done.stdout.splitlines()]
    assert len(had) == 20
    assert len(set(had)) > 5, done.stdout
    whole = columns(tmp_path / "whole.sqlite")
    assert whole.count("\n") > 300
    for cut in tmp_path.glob("cut*.sqlite"):
        assert columns(cut) == whole
    assert columns(tmp_path / "pair.sqlite") == whole


# --- the command ---------------------------------------------------------------------------------


def medcal(*arguments, root):
    return subprocess.run(
        [sys.executable, "-m", "medcal_nb.cli", *map(str, arguments)],
        cwd=root,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.mark.slow
def test_the_command_asks_and_resumes(folder, tmp_path, root):
    common = ["ask", "--model", folder, "--dataset", "pocketvqa-medical", "--n", 6]
    common += ["--strategies", "verbalized,option_probability,p_true,self_consistency"]
    common += ["--samples", 2, "--max-new-tokens", 4, "--to", tmp_path / "a.sqlite"]
    first = medcal(*common, root=root)
    assert first.returncode == 0, first.stderr
    assert "answers written" in first.stderr
    assert "100%" in first.stderr
    again = medcal(*common, root=root)
    assert "0 answers written" in again.stderr
    assert "were in the log already" in again.stderr
    with AnswerLog(tmp_path / "a.sqlite", read_only=True) as log:
        answers = log.read()
    assert set(answers.strategy) >= {"verbalized", "p_true", "self_consistency"}
    assert answers.item_id.nunique() == 6


def test_another_revision_of_a_checkpoint_is_not_there_already(
    folder, log, tmp_path, monkeypatch
):
    cache, commits = tmp_path / "hub", ["a" * 40, "b" * 40]
    for commit in commits:
        shutil.copytree(folder, cache / "models--owner--tiny" / "snapshots" / commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    first, second = (
        resolve_model("owner/tiny", device="cpu", revision=commit) for commit in commits
    )
    assert [first.revision, second.revision] == commits
    assert ask(first, tiny_items(2), "verbalized", log=log, **FAST).rows == 2
    assert ask(first, tiny_items(2), "verbalized", log=log, **FAST).rows == 0
    with pytest.raises(MedcalError, match="asked with other settings, words"):
        ask(second, tiny_items(2), "verbalized", log=log, **FAST)
    assert resolve_model("pocket-general", device="cpu").revision is None
    assert resolve_model(str(folder), device="cpu").revision is None


@pytest.mark.real
@pytest.mark.slow
def test_a_pocket_model_answers_all_of_vqa_rad(real_dir, log):
    items = load_items(f"vqa-rad:{real_dir / 'vqa_rad'}")
    model = resolve_model("pocket-medical", device="cpu")
    summary = ask(model, items, "sequence_probability", log=log, batch_size=256)
    answers = log.read()
    assert summary.failed == {}
    assert summary.rows == len(answers) == 2248
    assert answers["item_id"].nunique() == 2248
    assert answers["image_id"].nunique() == 314
    said = answers["raw"].str.len() > 0  # a model may end its reply at once
    assert said.mean() > 0.95
    assert answers.loc[~said, ["answer", "confidence"]].isna().all(axis=None)
    answered = answers[said & answers["answer"].notna()]
    assert answered["confidence"].between(0, 1).all()
    assert answered["correct"].notna().all()


def test_the_command_refuses_in_one_line(tmp_path, root):
    for arguments, told in (
        (["--strategies", "nope", "--to", tmp_path / "a"], "unknown strategy 'nope'"),
        (["--shard", "3/2", "--to", tmp_path / "a"], "--shard 3/2: write it as i/n"),
        ([], "--to is missing"),
    ):
        done = medcal(
            "ask",
            "--model",
            tmp_path,
            "--dataset",
            "pocketvqa-medical",
            *arguments,
            root=root,
        )
        assert done.returncode == 2
        assert done.stderr.startswith("medcal: error: ")
        assert told in done.stderr
        assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_the_dry_run_prints_prompts(folder, root):
    done = medcal(
        *(
            "ask",
            "--model",
            folder,
            "--dataset",
            "pocketvqa-medical",
            "--n",
            3,
            "--dry-run",
        ),
        *("--strategies", "verbalized,two_stage"),
        root=root,
    )
    assert done.returncode == 0, done.stderr
    assert "── verbalized\n<|im_start|>" in done.stdout
    assert "3 items: 9 calls" in done.stdout


def test_the_strategies_are_listed(root):
    done = medcal("strategies", root=root)
    assert done.returncode == 0
    for name in STRATEGIES:
        assert name in done.stdout
