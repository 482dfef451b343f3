"""The pocket CLIP is an open_clip model like any other."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from data.pocket.factory import clip
from data.pocket.factory.model import to_pixels
from data.pocket.factory.record import enter_in_manifest
from medcal_nb.ask.models import resolve_model
from medcal_nb.errors import MedcalError

torch = pytest.importorskip("torch")


def test_a_trained_clip_is_asked_and_a_damaged_one_is_not(tmp_path, monkeypatch):
    folder = tmp_path / "data" / "pocket" / "pocket-clip"
    brief = {"steps": {"vision": 6, "contrast": 6}, "n_general": 40, "n_medical": 20}
    brief |= {"vision_batch": 16, "text_batch": 8}
    recipe = replace(clip.RECIPES["pocket-clip"], **brief)
    clip.train_clip(recipe, folder, checkpoint=tmp_path / "c.pt", progress=False)
    enter_in_manifest(folder)
    monkeypatch.setenv("MEDCAL_ROOT", str(tmp_path))
    backend = resolve_model("pocket-clip", device="cpu")
    assert not backend.model.training
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    pixels = backend.preprocess(Image.fromarray(image))[None]
    assert float((pixels - to_pixels(image[None])).abs().max()) < 1e-6
    texts = ["is there a cyst? yes", "is there a cyst? no", "where?"]
    ids = backend.tokenizer(texts)
    assert ids.tolist() == clip._encode(clip.clip_tokenizer(), texts).tolist()
    with torch.inference_mode():
        encoded = backend.model.encode_text(ids, normalize=True)
        assert backend.model.encode_image(pixels, normalize=True).shape == (1, 128)
    torch.testing.assert_close(encoded.norm(dim=1), torch.ones(3))
    with open(folder / "open_clip_model.safetensors", "ab") as file:
        file.write(b"x")
    with pytest.raises(MedcalError, match="is damaged"):
        resolve_model("pocket-clip", device="cpu")
