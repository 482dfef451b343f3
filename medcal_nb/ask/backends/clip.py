"""CLIP-style models through open_clip: an image is compared with one sentence per answer."""

import json
from collections.abc import Generator, Iterable
from typing import Any

from medcal_nb.ask.backends.local import find_device, why
from medcal_nb.ask.calls import (
    DECISIONS,
    SIMILARITY,
    WRITING,
    Backend,
    Failure,
    LabelProbabilities,
    Outcome,
    Program,
    Similarity,
    Todo,
)
from medcal_nb.ask.lockstep import run_programs
from medcal_nb.errors import MedcalError

_ONLY = "a CLIP model writes nothing, it compares images with sentences"


class ClipModel(Backend):
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

    def __init__(
        self, model: Any, preprocess: Any, tokenizer: Any, *, name: str, device: Any
    ) -> None:
        self.model = model.to(device).eval()
        self.preprocess = preprocess
        self.tokenizer = tokenizer
        self.name = name
        self.device = device
        self.can = frozenset({SIMILARITY})
        self.cannot = dict.fromkeys(WRITING | {DECISIONS}, _ONLY)
        self.provenance = {}

    def stream(
        self, batches: Iterable[tuple[Todo, list[Program]]]
    ) -> Generator[tuple[Todo, list[Outcome]], None, None]:
        """Run the programs of many batches, a round at a time."""
        for todo, programs in batches:
            yield todo, run_programs(programs, self.run)

    def run(self, calls: list[Similarity]) -> list[LabelProbabilities | Failure]:
        """Answer `Similarity` calls, in order, each in a pass of its own."""
        results: list[LabelProbabilities | Failure] = []
        for call in calls:
            try:
                results.append(self._compared(call))
            except MedcalError as error:
                results.append(Failure(str(error)))
        return results

    def _compared(self, call: Similarity) -> LabelProbabilities:
        """Compare an image with sentences: softmax at the model's own scale."""
        import torch

        pixels = self.preprocess(call.picture.open())
        tokens = self.tokenizer(list(call.texts))
        with torch.inference_mode():
            image = self.model.encode_image(
                pixels[None].to(self.device), normalize=True
            )
            words = self.model.encode_text(tokens.to(self.device), normalize=True)
            # (1, width) times (width, texts)
            similar = (image.cpu().double() @ words.cpu().double().T)[0]
            scale = self.model.logit_scale.exp().item()
        shares = (scale * similar).softmax(0).tolist()
        return LabelProbabilities(dict(zip(call.texts, shares, strict=True)))


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
    place = find_device(device)
    try:
        return ClipModel(*_load(wanted, pretrained), name=name, device=place)
    except Exception as error:
        raise MedcalError(
            f"{name}: open_clip cannot load it: {why(error)}; names are "
            "clip:ARCHITECTURE@PRETRAINED, clip:hf-hub:OWNER/MODEL and clip:local-dir:FOLDER"
        ) from error


def _load(wanted: str, pretrained: str | None) -> tuple[Any, Any, Any]:
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
