"""CLIP-style models through open_clip: an image is compared with one sentence per answer."""

import json
import time
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

from medcal_nb.ask.backends.local import find_device, why
from medcal_nb.ask.calls import SIMILARITY, WRITING, Failure, LabelProbabilities
from medcal_nb.errors import MedcalError

_ONLY = "a CLIP model writes nothing, it compares images with sentences"


class ClipModel:
    """An open_clip model, its preprocessing and its tokenizer.

    Parameters
    ----------
    model, preprocess, tokenizer
        As ``open_clip.create_model_from_pretrained`` and ``open_clip.get_tokenizer`` return them.
    name : str
        The name that stands in the answers table.
    device : torch.device
        Where it computes.
    """

    can = frozenset({SIMILARITY})
    cannot = dict.fromkeys(WRITING, _ONLY)

    def __init__(self, model, preprocess, tokenizer, *, name, device):
        self.model = model.to(device).eval()
        self.preprocess = preprocess
        self.tokenizer = tokenizer
        self.name = name
        self.device = device

    def session(self):
        """Open a batch of items."""
        return nullcontext(self)

    def run(self, calls):
        """Answer `Similarity` calls, in order; what stands in several of them is encoded once."""
        import torch

        started = time.perf_counter()
        pixels = {}
        failed = {}
        for picture in dict.fromkeys(call.picture for call in calls):
            try:
                pixels[picture] = self.preprocess(picture.open())
            except MedcalError as error:
                failed[picture] = Failure(str(error))
        if not pixels:
            return [failed[call.picture] for call in calls]
        texts = list(dict.fromkeys(text for call in calls for text in call.texts))
        with torch.inference_mode():
            stacked = torch.stack(list(pixels.values()))
            images = self._vectors(pixels, stacked, self.model.encode_image)
            words = self._vectors(texts, self.tokenizer(texts), self.model.encode_text)
            scale = self.model.logit_scale.exp().item()
        seconds = (time.perf_counter() - started) / len(calls)

        def shares(call):
            sentences = torch.stack([words[text] for text in call.texts])
            found = (scale * sentences @ images[call.picture]).softmax(0).tolist()
            named = dict(zip(call.texts, found, strict=True))
            return LabelProbabilities(named, seconds=seconds)

        return [failed.get(call.picture) or shares(call) for call in calls]

    def _vectors(self, names, inputs, encode):
        """Encode what has names, and return the vectors by them."""
        vectors = encode(inputs.to(self.device), normalize=True).double().cpu()
        return dict(zip(names, vectors, strict=True))


def find(name, *, device=None, **reach):
    """Load an open_clip model by its name; None where the name is no such model's.

    Names are ``pocket-clip``, ``clip:ARCHITECTURE@PRETRAINED``, ``clip:hf-hub:OWNER/MODEL`` and
    ``clip:local-dir:FOLDER``.

    Raises
    ------
    MedcalError
        When open_clip does not know the name or cannot load it.
    """
    if name != "pocket-clip" and not name.startswith("clip:"):
        return None
    from medcal_nb.datasets.pocket import pocket_dir

    wanted = name.removeprefix("clip:")
    pretrained = None
    if name == "pocket-clip":
        wanted = f"local-dir:{pocket_dir(name)}"
    elif not wanted.startswith(("hf-hub:", "local-dir:")):
        wanted, _, pretrained = wanted.partition("@")
    device = find_device(device)
    try:
        return ClipModel(*_load(wanted, pretrained), name=name, device=device)
    except Exception as error:
        raise MedcalError(
            f"{name}: open_clip cannot load it: {why(error)}; names are "
            "clip:ARCHITECTURE@PRETRAINED, clip:hf-hub:OWNER/MODEL and clip:local-dir:FOLDER"
        ) from error


def _load(wanted, pretrained):
    """Load model, preprocessing and tokenizer from safetensors; no code of a checkpoint is run."""
    import open_clip
    from open_clip import factory
    from transformers import dynamic_module_utils

    if "trust_remote_code" in json.dumps(open_clip.get_model_config(wanted)):
        raise ValueError("its configuration asks for trust_remote_code")
    read = partial(_read_weights, factory.load_state_dict)
    with (
        _setting(factory, "load_state_dict", read),
        # transformers would ask at the keyboard whether it may run code
        _setting(dynamic_module_utils, "TIME_OUT_REMOTE_CODE", 0),
    ):
        tokenizer = open_clip.get_tokenizer(wanted)
        pair = open_clip.create_model_from_pretrained(wanted, pretrained=pretrained)
    return *pair, tokenizer


@contextmanager
def _setting(module, name, value):
    """Let a library's setting that no argument reaches have a value while a model is loaded."""
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


def _read_weights(read, path, *args, **how):
    """Read weights as open_clip does, from safetensors alone."""
    if Path(path).suffix != ".safetensors":
        raise ValueError(
            f"{Path(path).name} is no safetensors file; others can hold code and are never read: "
            "convert it, or name weights that are published as safetensors"
        )
    return read(path, *args, **how)
