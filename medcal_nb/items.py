"""What is asked: a VQA item, the item table and where item tables come from.

An item is one question about one image. Tables have :data:`ITEM_COLUMNS` and any further columns
that a dataset has to tell (site, visibility, template …).
"""

import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medcal_nb.errors import MedcalError

if TYPE_CHECKING:
    import pandas as pd
    from PIL import Image

ITEM_COLUMNS = [
    "item_id",
    "image_id",
    "dataset",
    "domain",
    "modality",
    "question_type",
    "question",
    "options",
    "gold",
    "split",
    "image",
]
QUESTION_TYPES = ("closed", "choice", "open")
DOMAINS = ("general", "medical")
SPLITS = ("fit", "test")

#: Loaders by data set name; "module:function" is imported at first use.
_LOADERS: dict[str, str | Callable[..., Any]] = {
    "pocketvqa-general": "medcal_nb.pocket:load",
    "pocketvqa-medical": "medcal_nb.pocket:load",
}
#: Sets that can be read from a folder, with the files (glob patterns) that only they have.
_IN_FOLDERS: dict[str, Sequence[str]] = {}
#: What data sets were called before, when they shared their names with models.
_FORMER = {"pocket-general": "pocketvqa-general", "pocket-medical": "pocketvqa-medical"}


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
        options, gold = known["options"], known["gold"]
        known["options"] = tuple(options) if _is_list(options) else None
        known["gold"] = tuple(gold) if _is_list(gold) else gold
        extra = {name: value for name, value in row.items() if name not in known}
        return cls(**known, extra=extra)


def iter_items(items: "pd.DataFrame") -> Iterator[Item]:
    """The rows of an item table as :class:`Item`, in order."""
    for row in items.to_dict("records"):
        yield Item.from_row(row)


def _is_list(value: Any) -> bool:
    return not isinstance(value, str | bytes) and hasattr(value, "__len__")


def register_dataset(name: str, loader: Callable[..., "pd.DataFrame"], *, signs=()) -> None:
    """Make ``load_items(name)`` call ``loader(name, split=, n=, seed=, revision=, path=)``.

    ``signs`` are patterns of files that no other set has: a folder with one of them is this set.
    """
    _LOADERS[name], _IN_FOLDERS[name] = loader, signs


def dataset_names() -> list[str]:
    """Names that :func:`load_items` knows, sorted."""
    import_module("medcal_nb.hub")  # registers its sets
    return sorted(_LOADERS)


def load_items(
    name: str,
    *,
    split: str | None = None,
    n: int | None = None,
    seed: int = 0,
    revision: str | None = None,
) -> "pd.DataFrame":
    """The item table of a dataset.

    Parameters
    ----------
    name : a registered dataset, such as ``pocketvqa-medical``; a public set read from a copy on
        disk is ``NAME:FOLDER``, such as ``vqa-rad:/data/vqa_rad``, or the folder alone where its
        files tell which set it is
    split : ``fit``, ``test``, or None for all items
    n : keep this many items, drawn at random by ``seed``
    revision : version of a dataset that has versions

    Raises
    ------
    MedcalError
        for an unknown dataset or split, a negative ``n``, or a table that breaks the schema.
    """
    if name in _FORMER:
        print(f"the data set {name} is called {_FORMER[name]} now", file=sys.stderr)
        name = _FORMER[name]
    name, folder = _name_and_folder(name)
    if split is not None and split not in SPLITS:
        raise MedcalError(f"split {split!r} is not known; give one of {', '.join(SPLITS)}")
    if n is not None and n < 1:
        raise MedcalError(f"n = {n}: give 1 or more items, or leave it out for all")
    loader = _LOADERS[name]
    if isinstance(loader, str):
        module, function = loader.split(":")
        loader = getattr(import_module(module), function)
    where = {} if folder is None else {"path": folder}
    items = loader(name, split=split, n=n, seed=seed, revision=revision, **where)
    return check_items(items, where=name)


def _name_and_folder(name: str) -> tuple[str, str | None]:
    """Take ``NAME:FOLDER`` apart; find the name of the set that a folder holds."""
    known = dataset_names()
    first, _, folder = name.partition(":")
    if name in known or (folder and first in _IN_FOLDERS):
        return first, folder or None
    if not os.path.isdir(name):
        raise MedcalError(f"dataset {name!r} is not known; known: {', '.join(known)}")
    fits = [
        one
        for one, signs in _IN_FOLDERS.items()
        if any(next(Path(name).glob(sign), None) is not None for sign in signs)
    ]
    if len(fits) != 1:
        raise MedcalError(
            f"{name}: can't tell which set this folder holds; give it as NAME:FOLDER, with one of "
            + ", ".join(_IN_FOLDERS)
        )
    return fits[0], name


def check_items(items: "pd.DataFrame", *, where: str = "items") -> "pd.DataFrame":
    """The table itself, if it keeps the item schema.

    Columns are all there; ids are unique; question type, domain and split are known words;
    closed and choice questions have two or more different options and a gold answer among them;
    no image is in both splits.

    Raises
    ------
    MedcalError
        naming ``where``, row (counted from 0), column, value and remedy of the first fault.
    """
    missing = [name for name in ITEM_COLUMNS if name not in items.columns]
    if missing:
        raise MedcalError(f"{where}: no column {missing[0]!r}; an item table has {ITEM_COLUMNS}")

    doubled = items["item_id"].duplicated().to_numpy()
    splits = items.groupby("image_id")["split"].transform("nunique").to_numpy() > 1
    for row, record in enumerate(items[ITEM_COLUMNS].to_dict("records")):
        fault = _fault_of(record)
        if doubled[row]:
            fault = "item_id", "is there twice; ids name one item each"
        elif fault is None and splits[row]:
            fault = "image_id", "is in both splits; split by image"
        if fault is not None:
            column, remedy = fault
            value = record[column]
            shown = f"{len(value)} bytes" if isinstance(value, bytes) else repr(value)
            raise MedcalError(f"{where}: row {row}, column {column!r}: {shown}: {remedy}")
    return items


def _fault_of(record: dict[str, Any]) -> tuple[str, str] | None:
    """Column and remedy of the first fault of a row."""
    for name in ("item_id", "image_id", "dataset", "modality", "question"):
        if not isinstance(record[name], str) or not record[name].strip():
            return name, "give a text that is not empty"
    words = {"question_type": QUESTION_TYPES, "domain": DOMAINS, "split": SPLITS}
    for name, known in words.items():
        if record[name] not in known:
            return name, f"give one of {', '.join(known)}"
    options, gold = record["options"], record["gold"]
    golds = list(gold) if _is_list(gold) else [gold]
    if not golds or not all(isinstance(g, str) and g.strip() for g in golds):
        return "gold", "give an answer, or a list of answers, as text"
    if record["question_type"] == "open":
        if _is_list(options):
            return "options", "an open question has none: give None"
    elif not _is_list(options) or len(options) < 2:
        return "options", "give a list of two or more answers"
    elif len(set(options)) < len(options):
        return "options", "has an option twice"
    elif not any(g in options for g in golds):
        return "gold", f"is none of the options {list(options)}"
    if not isinstance(record["image"], bytes | str | Path) or not record["image"]:
        return "image", "give the bytes of an image file or its path"
    return None


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
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    if isinstance(image, bytes):
        name, data = f"image of {len(image)} bytes", image
    else:
        name = str(image)
        try:
            data = Path(image).read_bytes()
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise MedcalError(f"{name}: {reason}; check the image path") from None
    if not data:
        raise MedcalError(f"{name}: the file is empty; fetch it again or drop the item")
    if data[128:132] == b"DICM":
        raise MedcalError(
            f"{name}: DICOM is not read, because its window is your choice; "
            "export the slice as 8-bit PNG with the window you want"
        )
    try:
        with Image.open(io.BytesIO(data)) as opened:
            mode, frames = opened.mode, getattr(opened, "n_frames", 1)
            if min(opened.size) < 1:
                raise MedcalError(f"{name}: has no pixels ({opened.size}); drop the item")
            if frames > 1:
                raise MedcalError(f"{name}: has {frames} frames; export the one that is meant")
            if mode.startswith(("I", "F")):
                raise MedcalError(
                    f"{name}: has more than 8 bits a channel (mode {mode}); "
                    "window it to 8 bits and save it again"
                )
            opened.load()
            turned = ImageOps.exif_transpose(opened)
    except MedcalError:
        raise
    except UnidentifiedImageError:
        raise MedcalError(f"{name}: is no image that can be read; use PNG or JPEG") from None
    except Image.DecompressionBombError:
        raise MedcalError(f"{name}: is too large to open safely; make it smaller") from None
    except (OSError, SyntaxError, ValueError, EOFError, IndexError) as error:
        raise MedcalError(f"{name}: is damaged ({error}); fetch it again") from None
    if turned.mode in ("RGBA", "LA", "PA") or "transparency" in turned.info:
        turned = turned.convert("RGBA")
        ground = Image.new("RGBA", turned.size, "white")
        return Image.alpha_composite(ground, turned).convert("RGB")
    return turned.convert("RGB")
