"""Images that cannot be shown to a model: the item is reported, the others are asked."""

import io

import numpy as np
import pytest
from PIL import Image

from medcal_nb.answers import AnswerLog
from medcal_nb.ask.backends.local import LocalModel
from medcal_nb.ask.run import ask

from .tiny import tiny_checkpoint, tiny_items


def encoded(image, kind="PNG", **options):
    sink = io.BytesIO()
    image.save(sink, kind, **options)
    return sink.getvalue()


GREY = [Image.new("L", (40, 40), k) for k in (0, 90, 200)]
REFUSED = {
    "16-bit": (
        encoded(Image.fromarray(np.full((40, 40), 4000, np.uint16))),
        "8 bits a channel",
    ),
    "DICOM": (b"\0" * 128 + b"DICM" + b"\0" * 40, "a slice of DICOM"),
    "empty": (b"", "image of 0 bytes: is no image that can be read"),
    "cut off": (encoded(GREY[1])[:60], "is damaged"),
    "several frames": (
        encoded(GREY[0], "GIF", save_all=True, append_images=GREY[1:]),
        "has 3 frame(s)",
    ),
    "no file": ("/nowhere/scan.png", "check the image path"),
    "no image": (b"a report, not a scan", "is no image that can be read"),
}
SHOWN = {
    "palette": encoded(GREY[1].convert("P")),
    "grey": encoded(GREY[1]),
    "transparent": encoded(Image.new("RGBA", (40, 40), (9, 9, 9, 0))),
    "1 bit": encoded(GREY[2].convert("1")),
}


@pytest.fixture(scope="module")
def model():
    return LocalModel(*tiny_checkpoint(), name="tiny", device="cpu")


def test_each_is_counted_with_its_reason_and_all_others_are_asked(model, tmp_path):
    images = [image for image, _ in REFUSED.values()] + list(SHOWN.values())
    items = tiny_items(len(images) + 2, per_image=1)
    items["image"] = items["image"].astype(object)
    for row, image in enumerate(images):
        items.at[row, "image"] = image
    with AnswerLog(tmp_path / "a.sqlite") as log:
        done = ask(model, items, "verbalized", log=log, max_new_tokens=4, batch_size=5)
        asked = set(log.read()["item_id"])
    ids = items["item_id"].tolist()
    assert list(done.failed) == ids[: len(REFUSED)]
    for reason, (_, told) in zip(done.failed.values(), REFUSED.values(), strict=True):
        assert told in reason
    assert asked == set(ids[len(REFUSED) :])
    assert done.lines()[-1].startswith(f"{len(REFUSED)} items lack answers")
