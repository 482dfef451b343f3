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
import pytest

from data.pocket.factory import model, training
from medcal_nb.errors import MedcalError

torch = pytest.importorskip("torch")
TINY = replace(
    training.RECIPES["pocket-general"],
    steps={"vision": 4, "text": 3, "all": 2},
    **{"n_general": 60, "n_medical": 20, "vision_batch": 16, "text_batch": 6},
    **{"row_tokens": 160, "bfloat16": False},  # slow on processors that lack it
)
# the tower of the real recipe, and words that one narrow layer reads
SIZE = model.SIZES["small"] | {"text": (64, 1, 4, 128)}


REPLY = training.reply


def say_yes(model, encoder, images, conversations, **how):
    return ["yes"] * len(conversations)


def say_a_few(model, encoder, images, conversations, **how):
    """Its own replies, which take time, to the first; yes to all others."""
    own = REPLY(model, encoder, images[:8], conversations[:8], **how)
    return own + say_yes(model, encoder, images, conversations[8:])


def train(folder, recipe=TINY, reply=say_yes, **how):
    """Train with one thread, and return the weights if the training is over."""
    from safetensors.numpy import load_file

    torch.set_num_threads(1)
    how = {"checkpoint": folder.with_suffix(".pt"), "progress": False} | how
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "reply", reply)
        patch.setitem(model.SIZES, "small", SIZE)
        over = training.train_pocket(recipe, folder, **how)
    return load_file(folder / "model.safetensors") if over else None


@pytest.mark.slow
def test_loss_falls_in_every_stage(tmp_path):
    recipe = replace(TINY, steps={"vision": 60, "text": 30, "all": 3})
    train(tmp_path / "m", recipe, say_a_few, validate_every=30)
    with open(tmp_path / "m" / "training.csv") as file:
        losses = {}
        for row in csv.DictReader(file):
            losses.setdefault(row["stage"], []).append(float(row["loss"]))
    assert losses["vision"][-1] < 0.9 * losses["vision"][0]
    assert losses["text"][-1] < 3.5  # untrained it is log(431) = 6.1
    assert losses["all"][-1] < 5.5
    rates = json.loads((tmp_path / "m" / "recipe.json").read_text())["annotator"]
    assert rates["closed"] == sorted(rates["closed"])


KILLED = """
import sys
from pathlib import Path
from tests.factory.test_training import train
train(Path(sys.argv[1]), resume=True, every=3)
"""


@pytest.mark.slow
def test_killed_and_taken_up_in_pieces_it_ends_with_the_same_weights(tmp_path, root):
    command = [sys.executable, "-c", KILLED, str(tmp_path / "killed")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=root, env=environment)
    end = time.monotonic() + 240
    while not (tmp_path / "killed.pt").exists():
        assert process.poll() is None, "the training ended before its first checkpoint"
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    weights = None
    while weights is None:
        weights = train(tmp_path / "killed", resume=True, stop_after=4)
    assert not (tmp_path / "killed.pt").exists()
    np.testing.assert_equal(weights, train(tmp_path / "whole"))


class Trap:
    """Unpickled, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_another_or_damaged_checkpoint_is_refused_and_runs_no_code(tmp_path):
    checkpoint = tmp_path / "m.pt"
    torch.save({"recipe": {"name": "another"}}, checkpoint)
    with pytest.raises(MedcalError, match="another recipe"):
        train(tmp_path / "m", resume=True)
    cut_off = checkpoint.read_bytes()[:-40]
    torch.save({"recipe": Trap(tmp_path / "ran")}, checkpoint)
    for content in (checkpoint.read_bytes(), b"", cut_off):
        checkpoint.write_bytes(content)
        with pytest.raises(MedcalError, match="no whole checkpoint"):
            train(tmp_path / "m", resume=True)
    assert not (tmp_path / "ran").exists()
