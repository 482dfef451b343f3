"""CLIP-style models through open_clip: an image is compared with one sentence per answer."""

import json
from collections.abc import Generator, Iterable
from typing import Any

from medcal_nb.ask.backends.local import find_device, why
from medcal_nb.ask.calls import (
    SIMILARITY,
    WRITING,
    Backend,
    Failure,
    LabelProbabilities,
    Outcome,
    Picture,
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
        self.cannot = dict.fromkeys(WRITING, _ONLY)
        self.provenance = {}

    def stream(
        self, batches: Iterable[tuple[Todo, list[Program]]]
    ) -> Generator[tuple[Todo, list[Outcome]], None, None]:
        """Run the programs of many batches, a round at a time."""
        for todo, programs in batches:
            yield todo, run_programs(programs, self.run)

    def run(self, calls: list[Similarity]) -> list[LabelProbabilities | Failure]:
        """Answer `Similarity` calls, in order; what stands in several of them is encoded once."""
        pixels: dict[Picture, Any] = {}
        damaged: dict[Picture, Failure] = {}
        for picture in dict.fromkeys(call.picture for call in calls):
            try:
                pixels[picture] = self.preprocess(picture.open())
            except MedcalError as error:
                damaged[picture] = Failure(str(error))
        texts = list(dict.fromkeys(text for call in calls for text in call.texts))
        rows = self._similarities(pixels, texts) if pixels else {}
        results: list[LabelProbabilities | Failure] = []
        for call in calls:
            if call.picture in damaged:
                results.append(damaged[call.picture])
                continue
            places = [texts.index(text) for text in call.texts]
            shares = rows[call.picture][places].softmax(0).tolist()
            named = dict(zip(call.texts, shares, strict=True))
            results.append(LabelProbabilities(named))
        return results

    def _similarities(
        self, pixels: dict[Picture, Any], texts: list[str]
    ) -> dict[Picture, Any]:
        """Return for each picture its similarity with each text, at the model's own scale."""
        import torch

        with torch.inference_mode():
            stacked = torch.stack(list(pixels.values())).to(self.device)
            tokens = self.tokenizer(texts).to(self.device)
            images = self.model.encode_image(stacked, normalize=True)
            words = self.model.encode_text(tokens, normalize=True)
            scale = self.model.logit_scale.exp().item()
        # (pictures, width) times (width, texts)
        similar = scale * images.double().cpu() @ words.double().cpu().T
        return dict(zip(pixels, similar, strict=True))


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
