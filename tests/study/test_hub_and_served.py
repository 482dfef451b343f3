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
from medcal_nb.datasets.hub import HUB_SETS
from medcal_nb.datasets.pocket import pocket_dir
from medcal_nb.study.run import Study
from tests.ask.test_served import serving
from tests.datasets.test_hub import parquet, stored
from tests.study.toy import load_results

ROOT = Path(__file__).resolve().parents[2]
MODEL = "tiny/vlm"
NOTEBOOKS = sorted(
    path.stem for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")
)
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


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A hub cache with two data sets of 48 items a split, and one checkpoint."""
    folder, rng = tmp_path_factory.mktemp("hub"), np.random.default_rng(5)

    sets = {
        name: cached(folder, "datasets", HUB_SETS[name]["repo"])
        for name in ("vqa-rad", "a-okvqa")
    }

    def write(name, split, columns):
        parquet(
            sets[name] / "data" / f"{split}-00000-of-00001.parquet", columns, "image"
        )

    for split, first in (("train", 0), ("test", 100)):
        columns = {"image": stored(*(first + i // 2 for i in range(48)))}
        columns["question"] = ["Is there a nodule?", "Is there an effusion?"] * 24
        columns["answer"] = [str(a) for a in rng.choice(["yes", "no"], 48)]
        write("vqa-rad", split, columns)
    for split, first in (("train", 200), ("validation", 300)):
        columns = {"image": stored(*(first + i for i in range(48)))}
        columns["question_id"] = [f"{split}{i}" for i in range(48)]
        columns["question"] = ["Which colour is the circle?"] * 48
        columns["choices"] = [["red", "green", "blue"]] * 48
        columns["correct_choice_idx"] = rng.integers(0, 3, 48).tolist()
        write("a-okvqa", split, columns)
    snapshot = cached(folder, "models", MODEL)
    shutil.copytree(pocket_dir("pocket-general"), snapshot, dirs_exist_ok=True)
    return folder


@pytest.fixture
def run(home, tmp_path, monkeypatch):
    """Run the study of a profile that reaches the model so, and check it; no way to the network."""
    monkeypatch.setenv("HF_HOME", str(home))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")

    def run(model, reached=""):
        profile, out = tmp_path / "mini.toml", tmp_path / "out"
        profile.write_text(TEXT.format(model=model, reached=reached))
        answers = tmp_path / "answers.sqlite"
        check(
            Study(profile, out=out, answers=answers, fast=True).run(keep_going=True),
            out,
        )
        return load_answers(answers)

    return run


def check(done, out):
    """Every notebook ran and saved its numbers and figures."""
    assert not done.failed
    assert done.steps == dict.fromkeys(NOTEBOOKS, "succeeded")
    for name, notebook in done.notebooks.items():
        if f"results/{name}.json" in notebook.writes:
            assert load_results(out / "results" / f"{name}.json"), name
        if any(output.startswith("fig") for output in notebook.writes):
            assert list(out.glob(f"fig{name[:2]}_*.png")), name


def test_hub_study_from_the_cache_alone(run):
    answers = run(MODEL)
    counts = answers.groupby(["dataset", "strategy"])["item_id"].nunique()
    assert counts["a-okvqa", "option_probability"] == 40
    assert counts["vqa-rad", "self_consistency"] == 40
    assert answers.query("strategy == 'self_consistency'")["sample"].max() == 2
    assert set(answers["domain"]) == {"general", "medical"}


@pytest.mark.serve
def test_served_study_on_loopback(run, tmp_path, monkeypatch):
    folder = tmp_path / "served"
    shutil.copytree(pocket_dir("pocket-general"), folder)
    with serving(folder) as server:
        monkeypatch.setenv("MEDCAL_TEST_URL", server.url)
        how = f'url = "$MEDCAL_TEST_URL"\nserved_as = "{folder}"\nconcurrency = 4'
        answers = run("tiny-served", how)
    assert set(answers["model"]) == {os.fspath(folder)}
