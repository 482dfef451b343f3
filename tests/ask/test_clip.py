"""CLIP zero-shot through open_clip: similarities, both scales, end to end from a folder."""

import json
import shutil

import pytest
from safetensors.torch import load_file, save_file

from medcal_nb.answers import AnswerLog
from medcal_nb.ask.calls import Failure, Picture, Similarity
from medcal_nb.ask.models import resolve_model
from medcal_nb.ask.run import ask, dry_run
from medcal_nb.ask.strategies import Plan
from medcal_nb.errors import MedcalError
from tests.ask.tiny import noise_picture, tiny_items

torch = pytest.importorskip("torch")
open_clip = pytest.importorskip("open_clip")

WEIGHTS = "open_clip_model.safetensors"
CONFIG = {
    "embed_dim": 32,
    "vision_cfg": {
        "image_size": 32,
        "patch_size": 8,
        "width": 32,
        "head_width": 16,
        "layers": 2,
    },
    "text_cfg": {
        "context_length": 24,
        "vocab_size": 49408,
        "width": 32,
        "heads": 2,
        "layers": 2,
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A random open_clip model in the layout open_clip reads from folders and the hub."""
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


def run(clip, calls):
    with clip.session() as session:
        return session.run(calls)


def test_shares_equal_those_of_open_clip(clip):
    picture, texts = noise_picture(1, size=(40, 32)), ("a red mass", "nothing at all")
    (ours,) = run(clip, [Similarity(picture, texts)])
    with torch.inference_mode():
        image, words, scale = clip.model(
            clip.preprocess(picture.open())[None], clip.tokenizer(list(texts))
        )
    assert float(scale) == pytest.approx(1 / 0.07, rel=1e-4)
    expected = torch.softmax(scale * image @ words.T, dim=-1)[0].tolist()
    assert list(ours.probabilities) == list(texts)
    assert list(ours.probabilities.values()) == pytest.approx(expected, abs=1e-6)


def test_images_and_sentences_are_encoded_once(clip, monkeypatch):
    picture = noise_picture(2)
    encoded = {"encode_image": [], "encode_text": []}
    for name, shapes in encoded.items():

        def counted(inputs, encode=getattr(clip.model, name), shapes=shapes, **how):
            shapes.append(len(inputs))
            return encode(inputs, **how)

        monkeypatch.setattr(clip.model, name, counted)
    calls = [Similarity(picture, ("no", "yes")), Similarity(picture, ("yes",))]
    pair, alone = run(clip, calls)
    assert encoded == {"encode_image": [1], "encode_text": [2]}
    assert pair.probabilities.keys() == {"no", "yes"}
    assert alone.probabilities == {"yes": 1.0}


def test_a_damaged_image_fails_alone(clip):
    calls = [
        Similarity(Picture("x", b"no image"), ("a",)),
        Similarity(noise_picture(1), ("a",)),
    ]
    bad, good = run(clip, calls)
    assert isinstance(bad, Failure)
    assert good.probabilities == {"a": 1.0}


def test_zero_shot_end_to_end(clip, tmp_path):
    items = tiny_items(6)
    with AnswerLog(tmp_path / "a.sqlite") as log:
        summary = ask(clip, items, "all", log=log)
        answers = log.read().set_index("strategy")
    assert set(answers.index) == {"clip_zero_shot"}
    assert any("writes nothing" in why for _, why in summary.skipped)
    closed = answers[answers.question_type == "closed"].iloc[0]
    texts = ("Is there a mass? yes", "Is there a mass? no")
    (found,) = run(clip, [Similarity(Picture("x", items["image"][0]), texts)])
    yes = found.probabilities[texts[0]]
    assert closed.option_probabilities["yes"] == pytest.approx(yes, abs=1e-4)
    *skipped, counted = dry_run(clip, items, "all", Plan())
    (shown,) = (text for text in skipped if text.startswith("── "))
    assert "skipped verbalized: a CLIP model writes nothing" in "\n".join(skipped)
    assert shown == "\n".join(("── clip_zero_shot", *texts, ""))
    assert counted.startswith("6 items: at most 4 calls")


def test_unknown_names_say_what_to_write(tmp_path):
    with pytest.raises(MedcalError, match="names are clip:ARCHITECTURE@PRETRAINED"):
        resolve_model("clip:ViT-none")
    with pytest.raises(MedcalError, match="open_clip cannot load it"):
        resolve_model(f"clip:local-dir:{tmp_path}")


@pytest.mark.parametrize("named", ["trust_remote_code", "trust\\u005fremote_code"])
def test_a_configuration_that_would_run_code_is_refused(tmp_path, named):
    trace = tmp_path / "ran"
    (tmp_path / "evil.py").write_text(f"open({str(trace)!r}, 'w')\nclass Evil: pass\n")
    (tmp_path / "tokenizer_config.json").write_text(
        '{"auto_map": {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}, "tokenizer_class": "Evil"}'
    )
    config = '{"model_cfg": {"text_cfg": {"tokenizer_kwargs": {"NAMED": true}}}}'
    (tmp_path / "open_clip_config.json").write_text(config.replace("NAMED", named))
    with pytest.raises(MedcalError, match="needs code of its own"):
        resolve_model(f"clip:local-dir:{tmp_path}")
    assert not trace.exists()


def test_code_of_a_checkpoint_is_not_run_even_where_the_user_would_say_yes(
    folder, tmp_path, monkeypatch
):
    trace, asked = tmp_path / "ran", []
    shutil.copytree(folder, tmp_path / "clip")
    (tmp_path / "clip" / "evil.py").write_text(
        f"open({str(trace)!r}, 'w')\nclass Evil: pass\n"
    )
    (tmp_path / "clip" / "tokenizer_config.json").write_text(
        '{"auto_map": {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}, "tokenizer_class": "Evil"}'
    )
    config = {
        "model_cfg": CONFIG
        | {"text_cfg": CONFIG["text_cfg"] | {"hf_tokenizer_name": "x"}}
    }
    (tmp_path / "clip" / "open_clip_config.json").write_text(json.dumps(config))
    monkeypatch.setattr("builtins.input", lambda text="": asked.append(text) or "y")
    with pytest.raises(MedcalError, match="needs code of its own"):
        resolve_model(f"clip:local-dir:{tmp_path / 'clip'}", device="cpu")
    assert not trace.exists()
    assert not asked


def test_weights_that_are_missing_or_hold_code_are_refused(folder, tmp_path):
    trace, weights = tmp_path / "ran", load_file(folder / WEIGHTS)
    place, clip = tmp_path / "clip" / WEIGHTS, f"clip:local-dir:{tmp_path / 'clip'}"
    shutil.copytree(folder, place.parent)
    save_file({k: w for k, w in weights.items() if "visual" not in k}, place)
    with pytest.raises(
        MedcalError, match=r"cannot load it: .*[Mm]issing key.* \"visual"
    ):
        resolve_model(clip, device="cpu")
    place.unlink()
    with pytest.raises(MedcalError, match="open_clip cannot load it"):
        resolve_model(clip, device="cpu")
    pickled = place.with_name("open_clip_pytorch_model.bin")
    torch.save(Evil(trace), pickled)
    with pytest.raises(MedcalError, match="open_clip cannot load it"):
        resolve_model(clip, device="cpu")
    assert not trace.exists()
    torch.save(weights, pickled)  # plain tensors
    assert resolve_model(clip, device="cpu").can == {"similarity"}


class Evil:
    """A pickle that writes a file as it is opened."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")
