"""CLIP-style models through open_clip: an image is compared with one sentence per answer."""

import json
import math
import time
from contextlib import contextmanager
from pathlib import Path

from medcal_nb.ask.calls import SIMILARITY, Failure, Similarities, Similarity
from medcal_nb.errors import MedcalError

CONFIG = "open_clip_config.json"
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
        self.model = model.to(self.device).eval()
        self.preprocess = preprocess
        self.tokenizer = tokenizer
        self.name = name
        self.cannot = dict.fromkeys(("generate", "labels", "logprobs", "sample", "turns"), _ONLY)

    @contextmanager
    def session(self):
        """Open a batch: an image or a sentence that stands in several calls is encoded once."""
        yield _ClipSession(self)

    def show(self, prompt):
        """A CLIP model is given no prompt; sentences are shown by the dry run itself."""
        raise MedcalError(f"{self.name}: {_ONLY}")

    def count_tokens(self, prompt):
        """Unknown: sentences have a fixed length."""
        return None


class _ClipSession:
    """Vectors of the images and sentences seen so far."""

    def __init__(self, backend):
        self.backend, self.images, self.texts = backend, {}, {}

    def run(self, calls):
        """Answer `Similarity` calls, in order."""
        import torch

        started, model, pixels = time.perf_counter(), self.backend.model, {}
        for call in calls:
            if not isinstance(call, Similarity):
                raise TypeError(f"a CLIP model cannot answer a {type(call).__name__} call")
        for picture in {call.picture: None for call in calls if call.picture not in self.images}:
            try:
                pixels[picture] = self.backend.preprocess(picture.open())
            except MedcalError as error:
                self.images[picture] = Failure(str(error))
        texts = {text: None for call in calls for text in call.texts if text not in self.texts}
        with torch.inference_mode():
            for part in _parts(pixels):
                inputs = torch.stack([pixels[picture] for picture in part])
                self.images |= self._vectors(part, inputs, model.encode_image)
            for part in _parts(texts):
                inputs = self.backend.tokenizer(part)
                self.texts |= self._vectors(part, inputs, model.encode_text)
        scale = math.exp(float(model.logit_scale.detach()))
        seconds = (time.perf_counter() - started) / max(1, len(calls))
        return [self._similarities(call, scale, seconds) for call in calls]

    def _vectors(self, part, inputs, encode):
        vectors = encode(inputs.to(self.backend.device), normalize=True).double().cpu()
        return dict(zip(part, vectors, strict=True))

    def _similarities(self, call, scale, seconds):
        image = self.images[call.picture]
        if isinstance(image, Failure):
            return image
        cosines = tuple(float(image @ self.texts[text]) for text in call.texts)
        return Similarities(cosines, scale, seconds)


def _parts(names, size=64):
    names = list(names)
    return (names[low : low + size] for low in range(0, len(names), size))


def find(name, *, device=None, **reach):
    """Load ``pocket-clip``, ``clip:ARCHITECTURE[@PRETRAINED]``, ``clip:hf-hub:OWNER/MODEL`` or
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
        wanted, _, tag = wanted.partition("@")
        tags = [tag] if tag else open_clip.list_pretrained_tags_by_model(wanted)
        if not tags:
            raise MedcalError(
                f"{name}: open_clip has no pretrained weights of that architecture: write "
                "clip:ARCHITECTURE@PRETRAINED, clip:hf-hub:OWNER/MODEL or clip:local-dir:FOLDER"
            )
        pretrained = tags[0]
    try:
        _refuse_code(wanted)
        with _safely(name):
            tokenizer = open_clip.get_tokenizer(wanted)
            pair = open_clip.create_model_from_pretrained(wanted, pretrained=pretrained)
    except MedcalError:
        raise
    except Exception as error:
        told = " ".join(str(error).split())[:240]
        if "trust_remote_code" in told:
            told = "it needs code of its own, which is never run here"
        raise MedcalError(f"{name}: open_clip cannot load it: {told}") from error
    return ClipModel(*pair, tokenizer, name=name, device=device)


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


def _refuse_code(wanted):
    """Refuse a configuration that would have code of its own run."""
    kind, _, place = wanted.partition(":")
    if kind == "hf-hub":
        from huggingface_hub import hf_hub_download

        repo, _, revision = place.partition("@")
        place = Path(hf_hub_download(repo, CONFIG, revision=revision or None)).parent
    elif kind != "local-dir":
        return  # shipped with open_clip
    config = json.loads((Path(place) / CONFIG).read_text(encoding="utf-8"))
    if "trust_remote_code" in json.dumps(config):
        raise MedcalError(
            f"{wanted}: its {CONFIG} asks for code of its own (trust_remote_code), which is never "
            "run here: remove that, if the model works without"
        )
