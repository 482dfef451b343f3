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
    def __init__(self, backend):
        self.backend = backend
        self.images = {}
        self.texts = {}

    def run(self, calls):
        """Answer `Similarity` calls, in order."""
        import torch

        started = time.perf_counter()
        for call in calls:
            if not isinstance(call, Similarity):
                raise TypeError(f"a CLIP model cannot answer a {type(call).__name__} call")
        with torch.inference_mode():
            self._encode_images(dict.fromkeys(call.picture for call in calls))
            self._encode_texts(dict.fromkeys(text for call in calls for text in call.texts))
        scale = math.exp(float(self.backend.model.logit_scale.detach()))
        results = []
        seconds = (time.perf_counter() - started) / max(1, len(calls))
        for call in calls:
            image = self.images[call.picture]
            if isinstance(image, Failure):
                results.append(image)
                continue
            cosines = tuple(float(image @ self.texts[text]) for text in call.texts)
            results.append(Similarities(cosines, scale, seconds))
        return results

    def _encode_images(self, pictures):
        import torch

        pixels = {}
        for picture in pictures:
            if picture in self.images:
                continue
            try:
                pixels[picture] = self.backend.preprocess(picture.open())
            except MedcalError as error:
                self.images[picture] = Failure(str(error))
        names = list(pixels)
        for low in range(0, len(names), 64):
            part = names[low : low + 64]
            batch = torch.stack([pixels[name] for name in part]).to(self.backend.device)
            vectors = self.backend.model.encode_image(batch, normalize=True)
            self.images.update(zip(part, vectors.double().cpu(), strict=True))

    def _encode_texts(self, texts):
        fresh = [text for text in texts if text not in self.texts]
        for low in range(0, len(fresh), 256):
            part = fresh[low : low + 256]
            tokens = self.backend.tokenizer(part).to(self.backend.device)
            vectors = self.backend.model.encode_text(tokens, normalize=True)
            self.texts.update(zip(part, vectors.double().cpu(), strict=True))


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

    wanted = name.removeprefix("clip:")
    if name == "pocket-clip":
        wanted = f"local-dir:{pocket_dir(name)}"
    schema = wanted.startswith(("hf-hub:", "local-dir:"))
    wanted, _, pretrained = (wanted, "", "") if schema else wanted.partition("@")
    if not schema and not pretrained:
        tags = open_clip.list_pretrained_tags_by_model(wanted)
        if not tags:
            raise MedcalError(
                f"{name}: open_clip has no pretrained weights of that architecture: write "
                "clip:ARCHITECTURE@PRETRAINED, clip:hf-hub:OWNER/MODEL or clip:local-dir:FOLDER"
            )
        pretrained = tags[0]
    try:
        _refuse_code(wanted)
        with _without_code():
            tokenizer = open_clip.get_tokenizer(wanted)
            pair = open_clip.create_model_from_pretrained(wanted, pretrained=pretrained or None)
    except MedcalError:
        raise
    except Exception as error:
        told = " ".join(str(error).split())[:240]
        if "trust_remote_code" in told:
            told = "it needs code of its own, which is never run here"
        raise MedcalError(f"{name}: open_clip cannot load it: {told}") from error
    return ClipModel(*pair, tokenizer, name=name, device=device)


@contextmanager
def _without_code():
    """Have transformers refuse a checkpoint's own code instead of asking at the keyboard."""
    from transformers import dynamic_module_utils as remote

    before, remote.TIME_OUT_REMOTE_CODE = remote.TIME_OUT_REMOTE_CODE, 0
    try:
        yield
    finally:
        remote.TIME_OUT_REMOTE_CODE = before


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
