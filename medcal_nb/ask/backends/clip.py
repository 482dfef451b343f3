"""CLIP-style models through open_clip: an image is compared with one sentence per answer."""

import json
import math
import re
import time
from contextlib import contextmanager, nullcontext
from pathlib import Path

from medcal_nb.ask.backends.local import NO_DEVICE
from medcal_nb.ask.calls import SIMILARITY, Failure, LabelProbabilities
from medcal_nb.errors import MedcalError

_AT_ONCE = 64
_ONLY = "a CLIP model writes nothing, it compares images with sentences"


class ClipModel:
    """An open_clip model, its preprocessing and its tokenizer.

    Parameters
    ----------
    model, preprocess, tokenizer
        As ``open_clip.create_model_from_pretrained`` and ``open_clip.get_tokenizer`` return them.
    name : str
        The name that stands in the answers table.
    device : str, optional
        By default a GPU where there is one.
    """

    can = frozenset({SIMILARITY})

    def __init__(self, model, preprocess, tokenizer, *, name, device=None):
        import torch

        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.model, self.preprocess = model.to(self.device).eval(), preprocess
        self.tokenizer, self.name = tokenizer, name
        self.cannot = dict.fromkeys(("generate", "labels", "logprobs", "sample", "turns"), _ONLY)

    def session(self):
        """Open a batch of items."""
        return nullcontext(self)

    def run(self, calls):
        """Answer `Similarity` calls, in order; what stands in several of them is encoded once."""
        import torch

        started, pixels, failed = time.perf_counter(), {}, {}
        for picture in dict.fromkeys(call.picture for call in calls):
            try:
                pixels[picture] = self.preprocess(picture.open())
            except MedcalError as error:
                failed[picture] = Failure(str(error))
        texts = {text: text for call in calls for text in call.texts}
        with torch.inference_mode():
            images = self._vectors(pixels, torch.stack, self.model.encode_image)
            words = self._vectors(texts, self.tokenizer, self.model.encode_text)
        scale = math.exp(float(self.model.logit_scale.detach()))
        seconds = (time.perf_counter() - started) / max(1, len(calls))

        def shares(call):
            logits = [scale * float(images[call.picture] @ words[text]) for text in call.texts]
            weights = [math.exp(logit - max(logits)) for logit in logits]
            total = math.fsum(weights)
            named = zip(call.texts, weights, strict=True)
            return LabelProbabilities({text: w / total for text, w in named}, seconds=seconds)

        return [failed.get(call.picture) or shares(call) for call in calls]

    def _vectors(self, named, batch, encode):
        """Encode what has names, so many at a time."""
        names, vectors = list(named), {}
        for low in range(0, len(names), _AT_ONCE):
            part = names[low : low + _AT_ONCE]
            inputs = batch([named[name] for name in part]).to(self.device)
            vectors |= zip(part, encode(inputs, normalize=True).double().cpu(), strict=True)
        return vectors


def find(name, *, device=None, **reach):
    """Load ``pocket-clip``, ``clip:ARCHITECTURE@PRETRAINED``, ``clip:hf-hub:OWNER/MODEL`` or
    ``clip:local-dir:FOLDER``; None where the name is no such model's.

    Raises
    ------
    MedcalError
        When open_clip does not know the name or cannot load it.
    """
    if name != "pocket-clip" and not name.startswith("clip:"):
        return None
    import open_clip

    from medcal_nb.pocket import pocket_dir

    wanted, pretrained = name.removeprefix("clip:"), None
    if name == "pocket-clip":
        wanted = f"local-dir:{pocket_dir(name)}"
    if not wanted.startswith(("hf-hub:", "local-dir:")):
        wanted, _, pretrained = wanted.partition("@")
        if not pretrained:
            raise MedcalError(
                f"{name}: which weights are meant? Write clip:ARCHITECTURE@PRETRAINED, "
                "clip:hf-hub:OWNER/MODEL or clip:local-dir:FOLDER"
            )
    try:
        config = open_clip.get_model_config(wanted)
        if config is None or "trust_remote_code" in json.dumps(config):
            raise MedcalError(
                f"{name}: open_clip knows no such architecture, or its configuration asks for code "
                "of its own (trust_remote_code), which is never run here"
            )
        with _safely(name):
            tokenizer = open_clip.get_tokenizer(wanted)
            pair = open_clip.create_model_from_pretrained(wanted, pretrained=pretrained)
        return ClipModel(*pair, tokenizer, name=name, device=device)
    except MedcalError:
        raise
    except Exception as error:
        told = " ".join(str(error).split())[:240]
        if re.search(NO_DEVICE, told):
            raise MedcalError(f"{name}: no such device on this machine: {told}") from None
        if "trust_remote_code" in told:
            told = "it needs code of its own, which is never run here"
        raise MedcalError(f"{name}: open_clip cannot load it: {told}") from error


@contextmanager
def _safely(name):
    """Have open_clip read safetensors alone, and transformers run no code of a checkpoint.

    transformers would ask at the keyboard whether it may.
    """
    from open_clip import factory
    from transformers import dynamic_module_utils as remote

    def load(path, *args, **how):
        if Path(path).suffix != ".safetensors":
            raise MedcalError(
                f"{name}: {Path(path).name} is no safetensors file; others can hold code and are "
                "never read: convert it, or name weights that are published as safetensors"
            )
        return read(path, *args, **how)

    read, seconds = factory.load_state_dict, remote.TIME_OUT_REMOTE_CODE
    factory.load_state_dict, remote.TIME_OUT_REMOTE_CODE = load, 0
    try:
        yield
    finally:
        factory.load_state_dict, remote.TIME_OUT_REMOTE_CODE = read, seconds
