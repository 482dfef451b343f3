"""CLIP-style models through open_clip: an image is compared with one sentence per answer."""

import json
import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any

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

    def __init__(
        self, model: Any, preprocess: Any, tokenizer: Any, *, name: str, device: Any
    ) -> None:
        self.model = model.to(device).eval()
        self.preprocess = preprocess
        self.tokenizer = tokenizer
        self.name = name
        self.device = device

    def session(self) -> AbstractContextManager:
        """Open a batch of items."""
        return nullcontext(self)

    def run(self, calls: list) -> list:
        """Answer `Similarity` calls, in order."""
        return [self._answer(call) for call in calls]

    def _answer(self, call):
        import torch

        started = time.perf_counter()
        try:
            pixels = self.preprocess(call.picture.open())[None].to(self.device)
        except MedcalError as error:
            return Failure(str(error))
        tokens = self.tokenizer(list(call.texts)).to(self.device)
        with torch.inference_mode():
            (image,) = self.model.encode_image(pixels, normalize=True).double()
            words = self.model.encode_text(tokens, normalize=True).double()
            scale = self.model.logit_scale.exp().double()
            shares = (scale * (words @ image)).softmax(0).tolist()
        seconds = time.perf_counter() - started
        return LabelProbabilities(
            dict(zip(call.texts, shares, strict=True)), seconds=seconds
        )


def find(name: str, *, device: str | None = None, **reach: Any) -> ClipModel | None:
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
    """Load model, preprocessing and tokenizer; no code of a checkpoint is run.

    Weights that are no safetensors are read as plain tensors (``weights_only``).
    """
    import open_clip
    from transformers import dynamic_module_utils

    # transformers would ask at the keyboard whether it may run code
    dynamic_module_utils.TIME_OUT_REMOTE_CODE = 0
    if "trust_remote_code" in json.dumps(open_clip.get_model_config(wanted)):
        raise ValueError("its configuration asks for trust_remote_code")
    tokenizer = open_clip.get_tokenizer(wanted)
    pair = open_clip.create_model_from_pretrained(wanted, pretrained=pretrained)
    return *pair, tokenizer
