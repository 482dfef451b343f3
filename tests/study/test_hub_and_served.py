"""Profiles hub and served in miniature: real formats, a tiny checkpoint, no network.

The checkpoint is a pocket model that knows the words of the questions: a random one states no
answer, and what it has not answered can't be fused or deferred.
"""

import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from medcal_nb.answers import load_answers
from medcal_nb.hub import HUB_SETS
from medcal_nb.pocket import pocket_dir
from medcal_nb.study import load_results
from medcal_nb.study.run import RAN, run_study
from tests.ask.test_served import serving
from tests.test_hub import parquet, stored

ROOT = Path(__file__).resolve().parents[2]
MODEL = "tiny/vlm"
NOTEBOOKS = sorted(path.stem for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
COMMIT = hashlib.sha1(b"tiny").hexdigest()

pytestmark = [pytest.mark.notebooks, pytest.mark.slow]

TEXT = """
summary = "in miniature"
[asking]
samples = 3
batch_size = 8
[[ask]]
models = ["{model}"]
strategies = ["verbalized", "option_probability", "p_true", "self_consistency"]
items = [
  {{ dataset = "a-okvqa", split = "fit", n = 40 }},
  {{ dataset = "vqa-rad", split = "test", n = 40 }},
]
[models."{model}"]
{reached}
"""


def cached(home, kind, repo):
    """The snapshot folder of a repository in a hub cache, made as a download leaves it."""
    folder = home / "hub" / f"{kind}--{repo.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    snapshot = folder / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    return snapshot


def make_sets(home):
    rng = np.random.default_rng(5)
    data = cached(home, "datasets", HUB_SETS["vqa-rad"].repo) / "data"
    for split, first in (("train", 0), ("test", 100)):
        images = [first + i // 2 for i in range(48)]
        parquet(
            data / f"{split}-00000-of-00001.parquet",
            {
                "image": stored(*images),
                "question": ["Is there a nodule?", "Is there an effusion?"] * 24,
                "answer": [str(a) for a in rng.choice(["yes", "no"], 48)],
            },
            "image",
        )
    data = cached(home, "datasets", HUB_SETS["a-okvqa"].repo) / "data"
    for split, first in (("train", 200), ("validation", 300)):
        parquet(
            data / f"{split}-00000-of-00001.parquet",
            {
                "image": stored(*(first + i for i in range(48))),
                "question_id": [f"{split}{i}" for i in range(48)],
                "question": ["Which colour is the circle?"] * 48,
                "choices": [["red", "green", "blue"]] * 48,
                "correct_choice_idx": [int(i) for i in rng.integers(0, 3, 48)],
            },
            "image",
        )


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A hub cache with two data sets and one checkpoint, and no way to the network."""
    folder = tmp_path_factory.mktemp("hub")
    make_sets(folder)
    snapshot = cached(folder, "models", MODEL)
    shutil.copytree(pocket_dir("pocket-general"), snapshot, dirs_exist_ok=True)
    return folder


@pytest.fixture
def offline(home, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(home))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")


def run(profile, folder, **options):
    return run_study(
        str(profile),
        out=folder / "out",
        answers=folder / "answers.sqlite",
        fast=True,
        keep_going=True,
        **options,
    )


def check(done, folder):
    """Every notebook ran on these answers and saved its numbers and figures."""
    assert [step.message for step in done.steps.values()] == [""] * len(NOTEBOOKS)
    assert {name: step.action for name, step in done.steps.items()} == dict.fromkeys(NOTEBOOKS, RAN)
    answers = load_answers(folder / "answers.sqlite")
    counts = answers.groupby(["dataset", "strategy"])["item_id"].nunique()
    assert counts["a-okvqa", "option_probability"] == 40
    assert counts["vqa-rad", "self_consistency"] == 40
    assert answers.query("strategy == 'self_consistency'")["sample"].max() == 2
    assert set(answers["domain"]) == {"general", "medical"}
    for step in done.steps.values():
        if f"results/{step.notebook.name}.json" in step.notebook.writes:
            told = folder / "out" / "results" / f"{step.notebook.name}.json"
            assert load_results(told), step.notebook.name
        if any(name.startswith("fig") for name in step.notebook.writes):
            drawn = list((folder / "out").glob(f"fig{step.notebook.name[:2]}_*.png"))
            assert drawn, step.notebook.name
    return answers


def test_hub_study_from_the_cache_alone(offline, tmp_path):
    profile = tmp_path / "mini.toml"
    profile.write_text(TEXT.format(model=MODEL, reached=""))
    check(run(profile, tmp_path), tmp_path)


@pytest.mark.serve
def test_served_study_on_loopback(offline, tmp_path, monkeypatch):
    folder, profile = tmp_path / "served", tmp_path / "mini.toml"
    shutil.copytree(pocket_dir("pocket-general"), folder)
    reached = f'url = "$MEDCAL_TEST_URL"\nserved_as = "{folder}"\nconcurrency = 4'
    profile.write_text(TEXT.format(model="tiny-served", reached=reached))
    with serving(folder) as server:
        monkeypatch.setenv("MEDCAL_TEST_URL", server.url)
        answers = check(run(profile, tmp_path), tmp_path)
    assert set(answers["model"]) == {os.fspath(folder)}
