"""What is asked: a VQA item, the item table and where item tables come from.

An item is one question about one image. Tables have :data:`ITEM_COLUMNS` and any further columns
that a dataset has to tell (site, visibility, template …).
"""

import base64
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medcal_nb.errors import MedcalError

if TYPE_CHECKING:
    import pandas as pd
    from PIL import Image

# which n of a split: the key of numpy's SeedSequence that belongs to this purpose alone
_ENTROPY = 20_250_923
_SAMPLE = 4


@dataclass(frozen=True)
class Item:
    """One question about one image.

    ``options`` are ``("yes", "no")`` for closed questions, the choices for choice questions, and
    None for open ones; ``gold`` is the right answer, or a tuple of answers that all count as
    right; ``image`` is an encoded image or the path of one; ``extra`` holds further columns.
    """

    item_id: str
    image_id: str
    dataset: str
    domain: str
    modality: str
    question_type: str
    question: str
    options: tuple[str, ...] | None
    gold: str | tuple[str, ...]
    split: str
    image: bytes | str
    extra: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> "Item":
        """The item of one row of an item table, given as a dict."""
        known = {name: row[name] for name in ITEM_COLUMNS}
        options = known["options"]
        gold = known["gold"]
        known["options"] = tuple(options) if _is_list(options) else None
        known["gold"] = tuple(gold) if _is_list(gold) else gold
        extra = {name: value for name, value in row.items() if name not in known}
        return cls(**known, extra=extra)


ITEM_COLUMNS = [column.name for column in fields(Item) if column.name != "extra"]


def iter_items(items: "pd.DataFrame") -> Iterator[Item]:
    """The rows of an item table as :class:`Item`, in order."""
    for row in items.to_dict("records"):
        yield Item.from_row(row)


def _is_list(value: Any) -> bool:
    return not isinstance(value, str | bytes) and hasattr(value, "__len__")


def chosen(
    items: "pd.DataFrame", split: str | None, n: int | None, seed: int
) -> "pd.DataFrame":
    """The items of a split, or `n` of them drawn by `seed`, in their order."""
    import numpy as np

    if split is not None:
        items = items[items["split"] == split]
    if n is not None and n < len(items):
        chance = np.random.SeedSequence(_ENTROPY, spawn_key=(_SAMPLE, seed))
        order = np.random.default_rng(chance).permutation(len(items))
        items = items.iloc[np.sort(order[:n])]
    return items


def image_side(question: str) -> str:
    """A question about a side, in words that say whose side: the image's, not the patient's.

    The questions of the synthetic benchmark are graded by the side of the image, and models are
    asked them in the words of the item table, which they were trained on. For people, who may
    take a radiograph's left for the patient's right, they are shown like this.

    Examples
    --------
    >>> image_side("does the finding lie on the right?")
    "does the finding lie on the image's right?"
    >>> image_side("on which side is the finding?")
    'on which side of the image is the finding?'
    >>> image_side("is there a finding?")
    'is there a finding?'
    """
    question = re.sub(r"\bon the (left|right)\b", r"on the image's \1", question)
    question = re.sub(
        r"\bname the side of\b", "name the side of the image with", question
    )
    return re.sub(r"\bwhich side\b", "which side of the image", question)


def open_image(image: "bytes | str | Path") -> "Image.Image":
    """The image of an item as 8-bit RGB.

    Palettes are resolved, greys repeated, transparency laid on white, the camera's orientation
    applied. What can't be shown faithfully is refused: images of more than 8 bits a channel and
    DICOM, because choosing the window is the user's decision; files of several frames.

    Parameters
    ----------
    image : the bytes of an image file, or its path

    Raises
    ------
    MedcalError
        for a missing, empty, damaged or refused file, saying what to do.

    Examples
    --------
    >>> import io
    >>> from PIL import Image
    >>> file = io.BytesIO()
    >>> Image.new("L", (4, 3)).save(file, format="PNG")
    >>> shown = open_image(file.getvalue())
    >>> shown.size, shown.mode
    ((4, 3), 'RGB')
    """
    from PIL import Image, ImageOps

    name = f"image of {len(image)} bytes" if isinstance(image, bytes) else str(image)
    try:
        data = image if isinstance(image, bytes) else Path(image).read_bytes()
        if data[128:132] == b"DICM":
            raise ValueError("DICOM")
        with Image.open(io.BytesIO(data)) as opened:
            if getattr(opened, "n_frames", 1) > 1 or opened.mode.startswith(("I", "F")):
                raise ValueError("several frames, or more than 8 bits a channel")
            shown = ImageOps.exif_transpose(opened)
            if shown.has_transparency_data:
                ground = Image.new("RGBA", shown.size, "white")
                shown = Image.alpha_composite(ground, shown.convert("RGBA"))
            return shown.convert("RGB")
    except Exception as error:  # of every kind, by what is damaged where
        raise MedcalError(
            f"{name}: is missing, no image, damaged, or too large to open safely ({error}); check "
            "its path, or save it as PNG or JPEG: one frame of 8 bits a channel, of DICOM the "
            "slice and the window you want"
        ) from None


def png_text(picture: "Image.Image") -> str:
    """The pixels of an opened image, and nothing else that its file held, as PNG in base64.

    Examples
    --------
    >>> from PIL import Image
    >>> png_text(Image.new("L", (1, 1)))[:8]
    'iVBORw0K'
    """
    buffer = io.BytesIO()
    picture.info.clear()
    picture.save(buffer, format="PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()
