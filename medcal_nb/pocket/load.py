"""Find, check and load the pocket models.

The weights lie in ``data/pocket`` of a checkout, and beside this module where a wheel was
installed; the environment variable ``MEDCAL_POCKET`` names another folder. Every file of a model
is compared with the SHA-256 of ``manifest.json`` before it is read.
"""

import hashlib
import json
import os
from pathlib import Path

from medcal_nb.errors import MedcalError

VARIABLE = "MEDCAL_POCKET"
MANIFEST = "manifest.json"
CHECKOUT = Path(__file__).resolve().parents[2] / "data" / "pocket"
INSTALLED = Path(__file__).resolve().parent / "weights"


def pocket_home():
    """Return the folder of all pocket models.

    Raises
    ------
    MedcalError
        If there is none.
    """
    named = os.environ.get(VARIABLE)
    home = Path(named) if named else CHECKOUT
    if not named and not CHECKOUT.is_dir():
        home = INSTALLED
    if not (home / MANIFEST).is_file():
        raise MedcalError(
            f"{home}: no pocket models here ({MANIFEST} is missing): clone the repository and set "
            f"{VARIABLE} to its data/pocket folder"
        )
    return home


def list_pocket():
    """Return the names of the pocket models at hand, sorted."""
    return sorted(_manifest(pocket_home()))


def pocket_dir(name):
    """Return the checked folder of a pocket model.

    Raises
    ------
    MedcalError
        If there is no such model, or a file of it is missing or damaged.
    """
    home = pocket_home()
    manifest = _manifest(home)
    if name not in manifest:
        raise MedcalError(
            f"{name!r} is no pocket model: choose one of {', '.join(sorted(manifest))}"
        )
    for file, expected in manifest[name].items():
        path = home / name / file
        if not path.is_file():
            raise MedcalError(f"{path} is missing: restore it ({_restore(path)})")
        if _sha256(path) != expected:
            raise MedcalError(
                f"{path} is damaged (SHA-256 differs from {MANIFEST}): restore it "
                f"({_restore(path)}), or train it again (medcal train-pocket {name})"
            )
    return home / name


def load_pocket(name):
    """Load a pocket MLLM for asking.

    Parameters
    ----------
    name : str
        One of `list_pocket`, but not a CLIP model (see `load_clip`).

    Returns
    -------
    tuple of (Idefics3ForConditionalGeneration, Idefics3Processor)
        In float32 on the CPU, in evaluation mode.

    Raises
    ------
    MedcalError
        See `pocket_dir`.
    """
    folder = pocket_dir(name)
    if (folder / "open_clip_config.json").exists():
        raise MedcalError(
            f"{name} is a CLIP model, which gives no replies: ask it with clip_zero_shot"
        )
    return load_folder(folder)


def load_folder(folder):
    """Load the MLLM and processor that a training wrote into a folder, unchecked."""
    from transformers import AutoModelForImageTextToText, AutoProcessor
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        model = AutoModelForImageTextToText.from_pretrained(folder, dtype="float32")
        return model.eval(), AutoProcessor.from_pretrained(folder)
    finally:
        if shown:
            logging.enable_progress_bar()


def load_clip(name="pocket-clip"):
    """Load a pocket CLIP model.

    Returns
    -------
    tuple of (open_clip.CLIP, callable, callable)
        The model in evaluation mode, the image transform (PIL image to pixels), the tokenizer.
    """
    import open_clip

    source = f"local-dir:{pocket_dir(name)}"
    model, _, transform = open_clip.create_model_and_transforms(source)
    return model.eval(), transform, open_clip.get_tokenizer(source)


def enter_in_manifest(folder):
    """Enter the files of a freshly written model in the manifest beside its folder."""
    folder = Path(folder)
    path = folder.parent / MANIFEST
    manifest = json.loads(path.read_text()) if path.exists() else {}
    files = sorted(file for file in folder.iterdir() if file.is_file())
    manifest[folder.name] = {file.name: _sha256(file) for file in files}
    path.write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")


def _manifest(home):
    path = home / MANIFEST
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise MedcalError(f"{path} is no JSON ({error}): restore it ({_restore(path)})") from error


def _restore(path):
    if path.is_relative_to(INSTALLED):
        return "pip install --force-reinstall --no-deps medcal-nb"
    return f"git checkout -- {path}"


def _sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
