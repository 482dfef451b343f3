"""CLIP zero-shot through open_clip: similarities, both scales, end to end from a folder."""

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from medcal_nb.ask.calls import Picture, Similarity
from medcal_nb.ask.models import resolve_model
from medcal_nb.ask.run import ask
from medcal_nb.errors import MedcalError
from tests.ask.tiny import noise_picture, tiny_items

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("folder")

WEIGHTS = "open_clip_model.safetensors"
CONFIG = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 32, "head_width": 16,
                   "layers": 2},
    "text_cfg": {"context_length": 24, "vocab_size": 49408, "width": 32, "heads": 2,
                 "layers": 2},
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A random open_clip model in the layout open_clip reads from folders and the hub."""
    # not at the top: it takes seconds, and each process collects all tests
    open_clip = pytest.importorskip("open_clip")
    folder = tmp_path_factory.mktemp("clip")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = open_clip.CLIP(**CONFIG)
    settings = {"model_cfg": CONFIG, "preprocess_cfg": {"size": [32, 32]}}
    (folder / "open_clip_config.json").write_text(json.dumps(settings))
    save_file(model.state_dict(), folder / WEIGHTS)
    return folder


@pytest.fixture(scope="module")
def clip(folder):
    return resolve_model(f"clip:local-dir:{folder}", device="cpu")


def test_shares_equal_those_of_open_clip(clip):
    picture, texts = noise_picture(1, size=(40, 32)), ("a red mass", "nothing at all")
    (ours,) = clip.run([Similarity(picture, texts)])
    with torch.inference_mode():
        image, words, scale = clip.model(
            clip.preprocess(picture.open())[None], clip.tokenizer(list(texts))
        )
    assert float(scale) == pytest.approx(1 / 0.07, rel=1e-4)
    expected = torch.softmax(scale * image @ words.T, dim=-1)[0].tolist()
    assert list(ours.probabilities) == list(texts)
    assert list(ours.probabilities.values()) == pytest.approx(expected, abs=1e-6)


def test_zero_shot_end_to_end(clip, log):
    items = tiny_items(6)
    summary = ask(clip, items, "all", log=log)
    answers = log.read().set_index("strategy")
    assert set(answers.index) == {"clip_zero_shot"}
    assert any("writes nothing" in why for _, why in summary.skipped)
    texts = ("Is there a mass? yes", "Is there a mass? no")
    (expected,) = clip.run([Similarity(Picture("x", items["image"][0]), texts)])
    closed = answers[answers.question_type == "closed"].iloc[0]
    yes = expected.probabilities[texts[0]]
    assert closed.option_probabilities["yes"] == pytest.approx(yes, abs=1e-4)


EVIL = '{"auto_map": {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}, "tokenizer_class": "Evil"}'


@pytest.fixture
def place(folder, tmp_path):
    """A copy of the model that a test may change."""
    return Path(shutil.copytree(folder, tmp_path / "clip"))


@pytest.mark.parametrize("kwargs", [{}, {"trust_remote_code": True}])
def test_code_of_a_checkpoint_is_never_run(place, tmp_path, monkeypatch, kwargs):
    """Not even where the user would say yes."""
    trace, asked = tmp_path / "ran", []
    (place / "evil.py").write_text(f"open({str(trace)!r}, 'w')\nclass Evil: pass\n")
    (place / "tokenizer_config.json").write_text(EVIL)
    text_cfg = {"hf_tokenizer_name": "x", "tokenizer_kwargs": kwargs}
    config = CONFIG | {"text_cfg": CONFIG["text_cfg"] | text_cfg}
    text = json.dumps({"model_cfg": config}).replace("_remote", "\\u005fremote")
    (place / "open_clip_config.json").write_text(text)
    monkeypatch.setattr("builtins.input", lambda text="": asked.append(text) or "y")
    with pytest.raises(MedcalError, match="needs code of its own"):
        resolve_model(f"clip:local-dir:{place}", device="cpu")
    assert not trace.exists()
    assert not asked


def test_weights_that_are_missing_or_hold_code_are_refused(place, tmp_path):
    trace, weights = tmp_path / "ran", load_file(place / WEIGHTS)
    seen = {name: w for name, w in weights.items() if "visual" not in name}

    def refused(says="open_clip cannot load it"):
        with pytest.raises(MedcalError, match=says):
            resolve_model(f"clip:local-dir:{place}", device="cpu")

    save_file(seen, place / WEIGHTS)
    refused(r"cannot load it: .*[Mm]issing key.* \"visual")
    (place / WEIGHTS).unlink()
    refused()
    pickled = place / "open_clip_pytorch_model.bin"
    # a pickle that writes a file as it is opened
    pickled.write_bytes(f"cbuiltins\nopen\n(V{trace}\nVw\ntR.".encode())
    refused()
    assert not trace.exists()
    torch.save(weights, pickled)  # plain tensors
    model = resolve_model(f"clip:local-dir:{place}", device="cpu")
    assert model.can == {"similarity"}
