"""The pocket CLIP is an open_clip model like any other."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from data.pocket.factory import clip
from data.pocket.factory.record import enter_in_manifest
from medcal_nb.ask.models import resolve_model
from medcal_nb.datasets import pocket
from medcal_nb.errors import MedcalError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A CLIP of a few real steps."""
    import torch

    torch.set_num_threads(1)
    home = tmp_path_factory.mktemp("clip")
    recipe = replace(
        clip.RECIPES["pocket-clip"],
        steps={"vision": 6, "contrast": 6},
        n_general=40,
        n_medical=20,
        vision_batch=16,
        text_batch=8,
    )
    clip.train_clip(
        recipe, home / "pocket-clip", checkpoint=home / "c.pt", progress=False
    )
    enter_in_manifest(home / "pocket-clip")
    return home / "pocket-clip"


def test_open_clip_loads_it(folder):
    import open_clip
    import torch

    source = f"local-dir:{folder}"
    model, _, transform = open_clip.create_model_and_transforms(source)
    tokenizer = open_clip.get_tokenizer(source)
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    pixels = transform(Image.fromarray(image))[None]
    from data.pocket.factory.model import to_pixels

    assert float((pixels - to_pixels(image[None])).abs().max()) < 1e-6
    ids = tokenizer(["is there a cyst? yes", "is there a cyst? no", "where?"])
    assert (
        ids.tolist()
        == clip._encode(
            clip.clip_tokenizer(),
            ["is there a cyst? yes", "is there a cyst? no", "where?"],
        ).tolist()
    )
    with torch.inference_mode():
        texts = model.encode_text(ids, normalize=True)
        seen = model.encode_image(pixels, normalize=True)
    torch.testing.assert_close(texts.norm(dim=1), torch.ones(3))
    assert seen.shape == (1, 128)
    assert not torch.allclose(texts[0], texts[1])


def test_the_checked_folder_is_asked(folder, monkeypatch):
    monkeypatch.setenv(pocket.VARIABLE, str(folder.parent))
    found = resolve_model("pocket-clip", device="cpu")
    assert not found.model.training
    assert found.tokenizer(["x"]).shape == (1, clip.CONTEXT)
    assert found.preprocess(Image.new("L", (100, 40))).shape == (3, 64, 64)
    with open(folder / "open_clip_model.safetensors", "ab") as file:
        file.write(b"x")
    with pytest.raises(MedcalError, match="is damaged"):
        resolve_model("pocket-clip", device="cpu")


def test_contrast_prefers_the_right_sentence():
    """The loss is smallest where image and right sentence agree, and padding is no choice."""
    import torch

    class Fixed:
        logit_scale = torch.tensor(np.log(10.0))

        def encode_image(self, pixels, normalize):
            return pixels

        def encode_text(self, ids, normalize):
            return torch.eye(3)[ids[:, 0] % 3]

    images = torch.eye(3)[[0, 1]]
    right = torch.tensor([[[0, 9], [1, 9], [2, 2]], [[1, 9], [2, 9], [2, 2]]])
    swapped = right[:, [1, 0, 2]]
    captions, same = torch.tensor([[0, 9], [1, 9]]), torch.eye(2, dtype=torch.bool)
    good, hit = clip.contrast_loss(Fixed(), images, right, captions, same)
    bad, miss = clip.contrast_loss(Fixed(), images, swapped, captions, same)
    assert (hit, miss) == (1.0, 0.0)
    assert good < 0.01 < bad
