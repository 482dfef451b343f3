"""A real engine: vLLM on loopback with a pocket model, against the same model on this machine.

Run by ``make test-vllm``, which makes an environment of its own for it and names its Python in
``MEDCAL_VLLM``; skipped elsewhere.
"""

import json
import subprocess

import numpy as np
import pytest

from medcal_nb.answers import AnswerLog
from medcal_nb.answers.samples import one_answer_an_item
from medcal_nb.ask.backends.batch import collect_batch, export_batch
from medcal_nb.ask.backends.served import ServedModel
from medcal_nb.ask.models import resolve_model
from medcal_nb.ask.run import ask
from medcal_nb.datasets import dataset_names, load_items
from tests.ask.engine import PYTHON, engine_of, started

MODEL = "pocket-general"
DATASET = next(name for name in dataset_names() if name.endswith("-general"))
SAMPLED = ["self_consistency", "semantic_entropy"]
pytestmark = [
    pytest.mark.serve,
    pytest.mark.skipif(
        not PYTHON, reason="make test-vllm names the Python that has vLLM"
    ),
]


@pytest.fixture(scope="module")
def engine():
    """Whether vLLM runs on this processor at all; its own words where it does not."""
    told = subprocess.run(
        [PYTHON, "-c", "import vllm._C, vllm"],
        capture_output=True,
        text=True,
        timeout=600,
    )
    if told.returncode:
        last = (
            told.stderr.strip().splitlines()
            or [f"it ended by signal {-told.returncode}"]
        )[-1]
        pytest.skip(f"vLLM does not run on this processor: {last}")


@pytest.fixture(scope="module")
def server(engine, tmp_path_factory):
    with engine_of(MODEL, tmp_path_factory.mktemp("vllm")) as url:
        yield url


@pytest.fixture(scope="module")
def items():
    return load_items(DATASET, split="test", n=40)


def asked(model, items, tmp_path, names="all"):
    with AnswerLog(tmp_path / "answers.sqlite") as log:
        summary = ask(model, items, names, log=log, samples=3)
        assert not summary.failed, summary.lines()
        return log.read()


@pytest.fixture(scope="module")
def local(items, tmp_path_factory):
    model = resolve_model(MODEL, device="cpu")
    return asked(model, items, tmp_path_factory.mktemp("local"))


@pytest.fixture(scope="module")
def served(server, items, tmp_path_factory):
    return asked(ServedModel([server]), items, tmp_path_factory.mktemp("served"))


def equal(one, other):
    """Assert that two runs gave the same under every strategy that does not draw."""
    key = ["strategy", "item_id", "sample"]
    a, b = (
        t[~t["strategy"].isin(SAMPLED)].set_index(key).sort_index()
        for t in (one, other)
    )
    assert a.index.equals(b.index)
    for column in [
        "raw",
        "answer",
        "correct",
        "prompt_tokens",
        "new_tokens",
        "parse_ok",
    ]:
        told = (
            t[column].astype(object).where(t[column].notna(), "none") for t in (a, b)
        )
        differ = next(told) != next(told)
        assert not differ.any(), f"{column}: {a[differ].index.tolist()[:3]}"
    single = [one_answer_an_item(table.reset_index(), "log") for table in (a, b)]
    for x, y in ((a, b), single):
        x, y = (t["confidence"].to_numpy(float) for t in (x, y))
        assert (np.isnan(x) == np.isnan(y)).all()
        assert np.nanmax(np.abs(x - y)) < 1e-3
    return sorted(set(a.index.get_level_values("strategy")))


def test_all_strategies_give_what_the_model_on_this_machine_gives(local, served):
    assert len(equal(local, served)) == 15
    assert set(served["strategy"]) == set(local["strategy"])
    assert served["server_version"].str.startswith("vllm-").all()
    # each image is sent once and then found by its name
    assert served["server_flags"].str.contains("names=True").all()


def test_a_batch_gives_what_a_direct_run_gives(engine, items, local, tmp_path):
    folder = tmp_path / "batch"
    waiting = export_batch(
        folder, MODEL, "all", dataset=DATASET, split="test", n=40, samples=3
    )
    with AnswerLog(tmp_path / "answers.sqlite") as log:
        for _ in range(5):
            if not waiting:
                break
            for path in waiting:
                results = path.with_name(path.name.replace("requests", "results"))
                run = started("run_batch", MODEL, "-i", str(path), "-o", str(results),
                              stdout=subprocess.DEVNULL)  # fmt: skip
                assert run.wait(timeout=1200) == 0
                assert json.loads(results.open().readline())["custom_id"]
            summary, waiting = collect_batch(folder, log)
            assert not summary.failed, summary.lines()
        assert not waiting
        answers = log.read()
    assert len(equal(local, answers)) == 15
