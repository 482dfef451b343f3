"""A real engine: vLLM on loopback with a pocket model, against the same model on this machine.

Run by ``make test-vllm``, which makes an environment of its own for it and names its Python in
``MEDCAL_VLLM``; skipped elsewhere.
"""

import math
import os
import subprocess

import numpy as np
import pytest

from medcal_nb.answers import AnswerLog
from medcal_nb.answers.samples import one_answer_an_item
from medcal_nb.ask.backends import requests as rq
from medcal_nb.ask.backends.batch import collect_batch, export_batch
from medcal_nb.ask.backends.served import ServedModel
from medcal_nb.ask.calls import Decide
from medcal_nb.ask.models import resolve_model
from medcal_nb.ask.run import ask
from medcal_nb.datasets import dataset_names, load_items
from medcal_nb.datasets.pocket import pocket_dir
from tests.ask.tiny import noise_picture, running
from tests.ask.tiny_lfm2 import save_lfm2

PYTHON = os.environ.get("MEDCAL_VLLM", "")
ENV = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "OMP_NUM_THREADS": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
}
MODEL = "pocket-general"
DATASET = next(name for name in dataset_names() if name.endswith("-general"))
ASKED = {"split": "test", "n": 40}
SAMPLED = ["self_consistency", "semantic_entropy"]
pytestmark = [
    pytest.mark.serve,
    pytest.mark.skipif(
        not PYTHON, reason="make test-vllm names the Python that has vLLM"
    ),
]


def command(module, *arguments):
    """The command of a module of vLLM on a pocket model."""
    line = [PYTHON, "-m", f"vllm.entrypoints.openai.{module}"]
    line += ["--model", str(pocket_dir(MODEL)), "--served-model-name", MODEL]
    line += ["--enforce-eager", "--dtype", "float32"]
    # on a processor this version ends where the prompt of a seeded request is cut between passes
    return [*line, "--no-enable-chunked-prefill", "--block-size", "32", *arguments]


@pytest.fixture(scope="module", autouse=True)
def engine():
    """Whether vLLM runs on this processor at all; its own words where it does not."""
    tried = [PYTHON, "-c", "import vllm._C, vllm"]
    tried = subprocess.run(tried, capture_output=True, text=True, timeout=600)
    if tried.returncode:
        why = tried.stderr.strip() or f"it ended by signal {-tried.returncode}"
        pytest.skip(f"vLLM does not run on this processor: {why.splitlines()[-1]}")


def asked(model, log):
    items = load_items(DATASET, **ASKED)
    summary = ask(model, items, "all", log=log, samples=3)
    assert not summary.failed, summary.lines()
    return log.read()


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    with AnswerLog(tmp_path_factory.mktemp("local") / "a.sqlite") as log:
        return asked(resolve_model(MODEL, device="cpu"), log)


def assert_equal(one, other):
    """Assert that two runs gave the same under each of the strategies that do not draw."""
    key = ["strategy", "item_id", "sample"]
    a, b = (
        table[~table["strategy"].isin(SAMPLED)].set_index(key).sort_index()
        for table in (one, other)
    )
    assert a.index.equals(b.index)
    assert len(set(a.index.get_level_values("strategy"))) == 15
    exact = ["raw", "answer", "correct", "prompt_tokens", "new_tokens", "parse_ok"]
    plain = (t[exact].astype(object).where(t[exact].notna(), "none") for t in (a, b))
    differ = next(plain) != next(plain)
    assert not differ.any(axis=None), a[differ.any(axis=1)].index.tolist()[:3]
    single = [one_answer_an_item(table.reset_index(), "log") for table in (a, b)]
    for pair in ((a, b), single):
        x, y = (table["confidence"].to_numpy(float) for table in pair)
        assert np.allclose(x, y, atol=1e-3, rtol=0, equal_nan=True)


def test_all_strategies_give_what_the_model_on_this_machine_gives(local, tmp_path):
    with (
        running(command("api_server"), ENV, tmp_path / "vllm.log") as url,
        AnswerLog(tmp_path / "a.sqlite") as log,
    ):
        model = ServedModel(url)
        served = asked(model, log)
    assert model.cannot["decisions"].startswith("/v1/systemone: HTTP 501: ")
    # of these the engine decides nothing: its architecture is none of those that it asks
    local = local[local["strategy"] != "decision"]
    assert_equal(local, served)
    assert set(served["strategy"]) == set(local["strategy"])
    assert served["server_version"].str.startswith("vllm-").all()


def test_a_batch_gives_what_a_direct_run_gives(local, tmp_path):
    folder = tmp_path / "batch"
    about = {"dataset": DATASET, "samples": 3} | ASKED
    waiting = export_batch(folder, MODEL, "all", **about)
    with AnswerLog(tmp_path / "a.sqlite") as log:
        for _ in range(5):
            for path in waiting:
                results = path.with_name(path.name.replace("requests", "results"))
                files = ("-i", str(path), "-o", str(results))
                images = ("--allowed-local-media-path", str(folder / "images"))
                run = command("run_batch", *files, *images)
                out = subprocess.DEVNULL
                subprocess.run(run, env=ENV, check=True, timeout=1200, stdout=out)
            summary, waiting = collect_batch(folder, log)
            assert not summary.failed, summary.lines()
        assert not waiting
        assert_equal(local[local["strategy"] != "decision"], log.read())


def test_typed_decisions_are_the_probabilities_of_the_same_prompt(tmp_path):
    """The engine's decisions about an image, and its log-probabilities of the option letters."""
    save_lfm2(tmp_path)
    line = [
        PYTHON,
        "-m",
        "vllm.entrypoints.openai.api_server",
        "--model",
        str(tmp_path),
    ]
    line += ["--served-model-name", "tiny", "--enforce-eager", "--dtype", "float32"]
    line += ["--max-model-len", "1024", "--max-logprobs", "300"]
    picture = noise_picture(1)
    call = Decide(picture, "Which organ?", ("heart", "lung", "none"))
    # as the engine words it (LiquidStrategy)
    text = (
        "An image.\n\n\nQUESTION:\nWhich organ?\n\nOptions:\nA heart\nB lung\nC none\n\n"
        "Reply with the option code only."
    )
    listing = {"logprobs": True, "top_logprobs": 268}
    body = rq.fill(rq.chat("tiny", [text], 1, **listing), rq.data_url(picture))
    with running(line, ENV, tmp_path / "vllm.log") as url:
        model = ServedModel(url)
        with model.open() as portal:
            (decided,) = portal.call(model.asked(**model.able).results, [call])
            reply = portal.call(model.ask, rq.CHAT, dict, body)
    assert model.offers == ["typed decisions by /v1/systemone, the image in images"]
    (entry,) = rq.token_entries(reply["choices"][0])
    listed = {one["token"]: math.exp(one["logprob"]) for one in entry["top_logprobs"]}
    shares = np.array([listed[letter] for letter in "ABC"])
    decision = decided.decision
    ours = [*decision.probabilities.values()]
    assert ours == pytest.approx(shares / shares.sum(), abs=1e-4)
    assert decision.label_mass == pytest.approx(shares.sum(), rel=1e-3)
    assert decision.vendor_number == pytest.approx(
        max(ours) * decision.label_mass, rel=1e-4
    )
    assert decided.prompt_tokens == reply["usage"]["prompt_tokens"]
