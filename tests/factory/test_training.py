"""A few steps of the real training: it learns, it goes on where it was killed."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from data.pocket.factory import scenes, training, turns
from medcal_nb.errors import MedcalError

TINY = replace(
    training.RECIPES["pocket-general"],
    steps={"vision": 4, "text": 4, "all": 2},
    n_general=60,
    n_medical=20,
    vision_batch=16,
    text_batch=6,
    row_tokens=160,
    bfloat16=False,  # slow on processors that lack it
)


@pytest.fixture(scope="module")
def pool():
    return training.Pool({"drawing": 40, "x-ray": 40}, seed=3, questions=4)


def _weights(folder):
    from safetensors.numpy import load_file

    return load_file(folder / "model.safetensors")


def test_pool_knows_what_it_shows(pool):
    assert pool.images.shape == (80, 64, 64, 3)
    assert pool.medical.sum() == 40
    columns = training.fact_columns()
    for modality, of in (("drawing", ~pool.medical), ("x-ray", pool.medical)):
        own = np.array([name == modality for name, _, _ in columns])
        assert (pool.labels[of][:, own] >= 0).all()
        assert (pool.labels[of][:, ~own] == -1).all()
    for asked in pool.asked:
        assert asked
        for one in asked:
            assert one.gold not in one.wrong
            assert not one.options or one.gold in one.options
            assert 0 <= one.visibility <= 1


def test_training_sites_alone_are_drawn():
    drawn = training._draw("ct", 50, seed=(1, 3, 0))
    assert set(drawn.facts["site"]) == set(scenes.TRAIN_SITES["ct"])
    assert set(scenes.SITES["ct"]) > set(scenes.TRAIN_SITES["ct"])


def test_draw_keeps_the_share_of_medicine(pool):
    chosen = pool.draw(np.random.default_rng(0), 4000, 0.2)
    assert pool.medical[chosen].mean() == pytest.approx(0.2, abs=0.03)


def test_rows_are_full_but_not_over(pool):
    from data.pocket.factory.tokenizer import build_tokenizer

    encoder = training.Encoder(build_tokenizer(training.vocabulary()))
    rng = np.random.default_rng(0)
    rows = [
        training.fill_row(
            encoder, asked, turns.Annotator(), turns.GENERAL_FORMATS, rng, TINY
        )
        for asked in pool.asked
    ]
    batch = training.pack(encoder, rows)
    used = (batch["question"] >= 0).sum(1)
    assert np.median(used) > 0.75 * TINY.row_tokens
    assert (batch["targets"] >= 0).any(1).all()
    seen = training.visible(batch)[:, 0].numpy()
    for i in (0, 50):
        question, conversation = batch["question"][i], batch["conversation"][i]
        for a, b in np.argwhere(seen[i][: used[i], : used[i]]):
            assert b <= a
            assert question[b] in (0, question[a])
            assert conversation[b] in (0, conversation[a]) or question[b] == 0


@pytest.mark.slow
def test_loss_falls_in_every_stage(tmp_path):
    """Some real steps on a few scenes: what is seen, then what is said, is learned."""
    import torch

    torch.set_num_threads(1)
    recipe = replace(TINY, steps={"vision": 60, "text": 30, "all": 6})
    training.train_pocket(
        recipe,
        tmp_path / "model",
        checkpoint=tmp_path / "c.pt",
        validate_every=30,
        progress=False,
    )
    with open(tmp_path / "model" / "training.csv") as file:
        rows = list(csv.DictReader(file))
    vision = [float(row["loss"]) for row in rows if row["stage"] == "vision"]
    read = [float(row["loss"]) for row in rows if row["stage"] == "text"]
    both = [float(row["loss"]) for row in rows if row["stage"] == "all"]
    assert vision[-1] < 0.9 * vision[0]
    assert read[-1] < 2  # untrained it is log(431) = 6.1
    assert both[-1] < 4
    told = json.loads((tmp_path / "model" / "recipe.json").read_text())
    assert told["steps"] == recipe.steps
    assert told["versions"]["torch"] == torch.__version__
    rates = told["annotator"]["closed"]
    assert rates == sorted(rates)


@pytest.mark.slow
def test_in_pieces_as_in_one(tmp_path):
    import torch

    torch.set_num_threads(1)
    recipe = replace(TINY, bfloat16=True)
    training.train_pocket(
        recipe, tmp_path / "whole", checkpoint=tmp_path / "w.pt", progress=False
    )
    pieces = {"checkpoint": tmp_path / "p.pt", "resume": True, "progress": False}
    done, calls = False, 0
    while not done:
        done = training.train_pocket(
            recipe, tmp_path / "pieces", stop_after=3, **pieces
        )
        calls += 1
    assert calls == 4
    assert not (tmp_path / "p.pt").exists()
    whole, again = _weights(tmp_path / "whole"), _weights(tmp_path / "pieces")
    assert whole.keys() == again.keys()
    assert all(np.array_equal(whole[name], again[name]) for name in whole)
    assert (tmp_path / "whole" / "training.csv").read_text() == (
        tmp_path / "pieces" / "training.csv"
    ).read_text()


_KILLED = """
import sys, torch
torch.set_num_threads(1)
sys.path.insert(0, {root!r})
from tests.factory.test_training import TINY
from data.pocket.factory import training
how = dict(resume=True, every=3, progress=False)
training.train_pocket(TINY, {folder!r}, checkpoint={checkpoint!r}, **how)
"""


@pytest.mark.slow
def test_kill_9_loses_nothing(tmp_path, root):
    """Killed after a checkpoint, started again: the weights of a training never killed."""
    checkpoint = tmp_path / "k.pt"
    code = _KILLED.format(
        root=str(root), folder=str(tmp_path / "killed"), checkpoint=str(checkpoint)
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-c", code], cwd=root, env=environment)
    end = time.monotonic() + 240
    while not checkpoint.exists():
        assert process.poll() is None, "the training ended before its first checkpoint"
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed" / "model.safetensors").exists()
    subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, check=True)
    subprocess.run(
        [sys.executable, "-c", code.replace("killed", "whole").replace("k.pt", "w.pt")],
        cwd=root, env=environment, check=True,
    )  # fmt: skip
    killed, whole = _weights(tmp_path / "killed"), _weights(tmp_path / "whole")
    assert all(np.array_equal(killed[name], whole[name]) for name in whole)


def test_checkpoint_of_another_recipe_is_refused(tmp_path):
    import torch

    from data.pocket.factory.tokenizer import build_tokenizer

    assert len(build_tokenizer(training.vocabulary())) > 300
    checkpoint = tmp_path / "c.pt"
    how = {"checkpoint": checkpoint, "resume": True, "progress": False}
    torch.save({"recipe": {"name": "another"}}, checkpoint)
    with pytest.raises(MedcalError, match="another recipe"):
        training.train_pocket(TINY, tmp_path / "m", **how)
    for content in (b"", checkpoint.read_bytes()[:-40], b"no checkpoint"):
        checkpoint.write_bytes(content)
        with pytest.raises(MedcalError, match="no whole checkpoint"):
            training.train_pocket(TINY, tmp_path / "m", **how)


class _Trap:
    """Unpickled, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_checkpoint_runs_no_code(tmp_path):
    import torch

    torch.save({"recipe": _Trap(tmp_path / "ran")}, tmp_path / "c.pt")
    with pytest.raises(MedcalError, match="no whole checkpoint"):
        training.read_checkpoint(tmp_path / "c.pt", TINY, None, None)
    assert not (tmp_path / "ran").exists()
    torch.load(tmp_path / "c.pt", weights_only=False)  # the trap works where it is let
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("modality", ["ct", "digit"])
def test_kept_scenes_are_the_drawn_ones_and_no_pickle(tmp_path, modality):
    drawn = training._draw(modality, 9, seed=(1, 3, 0), cache=tmp_path)
    (kept,) = tmp_path.iterdir()
    again = training._draw(modality, 9, seed=(1, 3, 0), cache=tmp_path)
    pd.testing.assert_frame_equal(again.facts, drawn.facts)
    np.testing.assert_array_equal(again.images, drawn.images)
    np.testing.assert_array_equal(again.masks, drawn.masks)
    np.savez(
        kept, images=np.array([_Trap(tmp_path / "ran")], object), masks=drawn.masks
    )
    with pytest.raises(ValueError, match="allow_pickle=False"):
        training._draw(modality, 9, seed=(1, 3, 0), cache=tmp_path)
    assert not (tmp_path / "ran").exists()


def test_a_child_needs_its_parent(tmp_path):
    child = training.RECIPES["pocket-medical"]
    with pytest.raises(MedcalError, match="starts from pocket-general"):
        training.train_pocket(child, tmp_path / "m", checkpoint=tmp_path / "c.pt")
    with pytest.raises(MedcalError, match="train the parent first"):
        training.train_pocket(
            child, tmp_path / "m", checkpoint=tmp_path / "c.pt", parent=tmp_path
        )


def test_scaled_recipes_keep_empty_stages():
    steps = {"vision": 1200, "text": 0, "all": 200}
    thousandth = training.scaled(
        replace(training.RECIPES["pocket-medical"], steps=steps), 0.001
    )
    assert thousandth.steps["text"] == 0
    assert thousandth.steps["vision"] == 2
