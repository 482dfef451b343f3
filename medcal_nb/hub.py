"""Public VQA sets as item tables: VQA-RAD, SLAKE, PathVQA, OmniMedVQA, PMC-VQA; A-OKVQA, …

``load_items("vqa-rad")`` fetches a set from the Hugging Face hub, where its files are public, and
keeps it in the hub's cache; ``load_items("vqa-rad:FOLDER")`` reads a copy on disk instead, laid out
as the hub repository or as its authors publish it. No code of a repository is ever run.

**Splits** are grouped by image, so that no image is in both. Where a set has a test split of its
own, every image in it is ``test`` with all its questions, the rest is ``fit``; the set's own
split stays in the column ``official_split``. Where it has none, images are assigned by a hash
of their id under a fixed seed, half to each. VQA-RAD shares 202 of its 203 test images with its
training questions, so that its 451 test questions (``official_split == "test"``) are a part of the
``test`` split here.

**Images** are named by the set's own id or, where it has none, by a hash of the file's content.

**Modality** is what the set states; failing that, what the rule in :data:`HUB_SETS` derives
from the set's documentation or from its own questions and answers; failing that, ``unknown``. The
column ``modality_source`` says which: ``stated``, ``rule`` or ``missing``.

**Question type**: a gold answer of yes or no makes a closed question, a list of options a choice
question, all else is open. Rows that can't be used (no image, no gold answer, options that can't
be told apart) are left out and counted in ``table.attrs["left_out"]``.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from .errors import MedcalError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["HUB_SETS", "HubSet", "hub_set_of_folder", "load", "modality_of_name"]

UNKNOWN = "unknown"

# --- words for modalities ------------------------------------------------------------------------

# In order: the first that fits. "fundus" before "photo": "Fundus Photography" is a fundus image.
_MODALITY_NAMES = (
    ("mri", r"\bmri?\b|magnetic|mag-netic|\bt[12]\b|\bflair\b|\bdwi\b|\badc\b|diffusion.weighted"),
    ("ct", r"\bct\b|computed tomography|\bcat scan"),
    ("x-ray", r"\bx[\s_-]?rays?\b|\bcxr\b|radiograph|\bplain film|\bxr\b"),
    ("ultrasound", r"ultra\s?sound|sonogra|\bus\b"),
    ("oct", r"\boct\b|optical coherence"),
    ("fundus", r"fundus"),
    ("infrared reflectance", r"infrared"),
    ("dermoscopy", r"dermoscop|dermatoscop"),
    ("colposcopy", r"colposcop"),
    ("endoscopy", r"endoscop|colonoscop|gastroscop"),
    ("pathology", r"patholog|histolog|microscop|biops"),
    ("mammography", r"mammo"),
    ("pet", r"\bpet\b|positron"),
    ("photo", r"photo"),
)


def modality_of_name(name):
    """Return our word for a set's name of a modality ("MR (Magnetic Resonance)" → "mri").

    Names that are none of ours stay as they are, in lower case: they are stated, if rarely.

    Examples
    --------
    >>> modality_of_name("X-Ray"), modality_of_name("Fundus Photography")
    ('x-ray', 'fundus')
    """
    text = str(name).strip().lower()
    for ours, pattern in _MODALITY_NAMES:
        if re.search(pattern, text):
            return ours
    return text or UNKNOWN


_RADIOLOGY = _MODALITY_NAMES[:4]
_SEQUENCES = re.compile(r"\bt[12]\b|\bflair\b|\bdwi\b|\badc\b|diffusion.weighted")
_IS_THIS = re.compile(
    r"^(?:is|was|does|are)\s+(?:this|the|that|it)\b(?:\s+(?:image|scan|picture|film|study))?"
    r"(?:\s+(?:a|an|of|taken|represent|show|type|kind|from))*\s*(?P<what>[^?]{1,40})"
)
_WHICH_MODALITY = re.compile(
    r"modality|\b(?:type|kind) of (?:image|imaging|scan|mri)|\bsequence\b|what (?:image|imaging)"
    r"|how was this image"
)


def _names(text):
    return {ours for ours, pattern in _RADIOLOGY if re.search(pattern, text)}


def _modalities_said(question, answer):
    """Return the modalities that a radiology question and its gold answer attest.

    "Is this a CT?" with yes; a question after the modality or sequence with its answer; an answer
    that names an MRI sequence. A no attests nothing, nor does what a picture does "not represent".
    """
    question, answer = question.lower(), answer.lower().strip()
    asked = _IS_THIS.match(question)
    if answer == "yes" and asked and not re.search(r"\bor\b|enhanc|contrast", asked["what"]):
        return _names(asked["what"])
    if answer in {"yes", "no"} or "not" in question.split():
        return set()
    if _WHICH_MODALITY.search(question) or (asked and _names(question)):
        return _names(answer)
    return {"mri"} if _SEQUENCES.search(answer) else set()


def _modality_by_answers(rows):
    """Fill in modalities that the gold answers about an image attest without contradiction."""
    said: dict[str, set[str]] = {}
    for row in rows:
        gold = row["gold"] if isinstance(row["gold"], str) else row["gold"][0]
        said.setdefault(row["image_id"], set()).update(_modalities_said(row["question"], gold))
    for row in rows:
        found = said[row["image_id"]]
        if row["modality"] == UNKNOWN and len(found) == 1:
            row["modality"], row["modality_source"] = next(iter(found)), "rule"


# --- where files come from -----------------------------------------------------------------------


@contextmanager
def _plainly(what):
    """Turn what goes wrong between here and the hub into one line that says what to do."""
    try:
        yield
    except MedcalError:
        raise
    except Exception as error:
        raise _explained(error, what) from error


def _explained(error, what):
    chain, seen = [], error
    while seen is not None and len(chain) < 8:
        chain.append(seen)
        seen = seen.__cause__ or seen.__context__
    names = {cls.__name__ for e in chain for cls in type(e).__mro__}
    text = " ".join(str(e) for e in chain)
    if any(isinstance(e, OSError) and e.errno in {errno.ENOSPC, errno.EDQUOT} for e in chain):
        return MedcalError(
            f"{what}: the disk is full; free some space or point HF_HOME at a larger disk, "
            "then run it again (what is there is kept)"
        )
    if "GatedRepoError" in names or "gated" in text.lower():
        return MedcalError(
            f"{what}: is gated; accept its terms on its page at huggingface.co, then log in with "
            "`hf auth login` or set HF_TOKEN"
        )
    if "RevisionNotFoundError" in names:
        return MedcalError(f"{what}: has no such revision; leave it out for the newest")
    if names & {"OfflineModeIsEnabled", "LocalEntryNotFoundError", "ConnectError", "ConnectTimeout",
                "ConnectionError", "ReadTimeout", "IncompleteSnapshotError"}:  # fmt: skip
        return MedcalError(
            f"{what}: is not in the cache and the hub can't be reached; connect once (and unset "
            "HF_HUB_OFFLINE), or give a copy as NAME:FOLDER"
        )
    if names & {"RepositoryNotFoundError", "HfHubHTTPError", "HTTPStatusError"}:
        return MedcalError(f"{what}: the hub does not hand it out ({_first_line(error)})")
    if isinstance(error, zipfile.BadZipFile):
        return MedcalError(f"{what}: the archive is damaged; delete it and fetch it again")
    return MedcalError(f"{what}: can't be read ({type(error).__name__}: {_first_line(error)})")


def _first_line(error):
    return (str(error).strip().splitlines() or [""])[0][:200]


class _Files:
    """The files of a set: a folder on disk, or a hub repository in the hub's cache."""

    def __init__(self, hub_set, *, path=None, revision=None):
        self.set = hub_set
        self.where = str(path) if path else hub_set.repo + (f"@{revision}" if revision else "")
        self.revision = revision
        self.folder = None
        if path is not None:
            self.folder = Path(path)
            if not self.folder.is_dir():
                raise MedcalError(f"{hub_set.name}: {path} is no folder; give the set's folder")
        elif not hub_set.streamed:
            self.folder = self._fetch()
        self._archives: dict[Path, dict[str, zipfile.ZipInfo]] = {}

    def _fetch(self):
        from huggingface_hub import constants, snapshot_download

        wanted = {
            "repo_id": self.set.repo,
            "repo_type": "dataset",
            "revision": self.revision,
            "allow_patterns": list(self.set.patterns),
        }
        with _plainly(self.where):
            try:
                return Path(snapshot_download(**wanted, local_files_only=True))
            except Exception as error:
                if constants.HF_HUB_OFFLINE:
                    raise
                self._check_space(constants.HF_HUB_CACHE, error)
            return Path(snapshot_download(**wanted))

    def _check_space(self, cache, _):
        folder = Path(cache)
        while not folder.exists():
            folder = folder.parent
        free = shutil.disk_usage(folder).free / 1e9
        if self.set.gigabytes > free:
            raise MedcalError(
                f"{self.where}: takes {self.set.gigabytes:g} GB, {free:.1f} GB are free in "
                f"{cache}; free some or point HF_HOME at a larger disk"
            )

    def find(self, *patterns):
        """Return the files that match the first pattern that matches any."""
        for pattern in patterns:
            if found := sorted(p for p in self.folder.glob(pattern) if p.is_file()):
                return found
        return []

    def need(self, *patterns):
        if found := self.find(*patterns):
            return found
        raise MedcalError(
            f"{self.where}: has no {' or '.join(patterns)}; give the folder of {self.set.title} "
            "as its authors or the hub lay it out"
        )

    def rows(self, split, *patterns, kind="parquet", shuffle=None):
        """Yield the rows of a split's files as dicts, images as they are stored."""
        import datasets

        if self.folder is None:
            at = f"@{self.revision}" if self.revision else ""
            files = [f"hf://datasets/{self.set.repo}{at}/{patterns[0]}"]
        else:
            files = [str(p) for p in self.find(*patterns)]
            if not files:
                return
        with _plainly(self.where):
            table = datasets.load_dataset(
                kind, data_files={split: files}, split=split, streaming=True
            )
            for name in table.column_names or []:
                feature = (table.features or {}).get(name)
                if name == "image" or isinstance(feature, datasets.Image):
                    table = table.cast_column(name, datasets.Image(decode=False))
            if shuffle is not None:
                table = table.shuffle(seed=shuffle, buffer_size=1000)
            yield from table

    def image(self, name):
        """Return the path of an image file, unpacking it from its archive if need be."""
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if not parts or ".." in parts or PurePosixPath(name).is_absolute():
            raise MedcalError(f"{self.where}: image {name!r} is no path inside the set")
        for folder in ("", *self.set.image_folders):
            plain = self.folder.joinpath(folder, *parts)
            if plain.is_file():
                return str(plain)
        for archive in self.find(*self.set.archives):
            if (info := self._member(archive, "/".join(parts))) is not None:
                return self._unpack(archive, info, parts)
        return None

    def text(self, archive_member_suffix):
        """Yield (name, bytes) of files inside the archives, by the end of their names."""
        for archive in self.find(*self.set.archives):
            with _plainly(archive), zipfile.ZipFile(archive) as opened:
                for info in opened.infolist():
                    if re.search(archive_member_suffix, info.filename):
                        yield info.filename, opened.read(info)

    def _member(self, archive, name):
        if archive not in self._archives:
            with _plainly(archive), zipfile.ZipFile(archive) as opened:
                index: dict[str, zipfile.ZipInfo] = {}
                for info in opened.infolist():
                    if not info.is_dir():
                        pieces = PurePosixPath(info.filename).parts
                        for start in range(min(4, len(pieces))):
                            index.setdefault("/".join(pieces[start:]), info)
                self._archives[archive] = index
        return self._archives[archive].get(name)

    def _unpack(self, archive, info, parts):
        home = os.environ.get("HF_HOME") or "~/.cache/huggingface"
        digest = hashlib.sha256(f"{archive.resolve()}:{archive.stat().st_size}".encode())
        folder = Path(home).expanduser() / "medcal" / self.set.name / digest.hexdigest()[:12]
        target = folder.joinpath(*parts)
        if target.is_file() and target.stat().st_size == info.file_size:
            return str(target)
        with _plainly(archive), zipfile.ZipFile(archive) as opened:
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(f"{target.name}.{os.getpid()}.part")
            try:
                with opened.open(info) as source, partial.open("wb") as sink:
                    shutil.copyfileobj(source, sink)
                partial.replace(target)
            finally:
                partial.unlink(missing_ok=True)
        return str(target)


# --- rows ----------------------------------------------------------------------------------------


class _LeftOut(Exception):
    """A row that can't be used; the message says why in a few words."""


def _text(value):
    return "" if value is None else " ".join(str(value).split())


def _image(image):
    """Return the bytes of an image that the hub stores in its rows, and their hash as its id."""
    data = image
    if isinstance(image, dict):
        data = image.get("bytes")
        if data is None and image.get("path"):
            data = Path(image["path"]).read_bytes()
    if not data:
        raise _LeftOut("no image")
    return {"image": data, "image_id": hashlib.sha256(data).hexdigest()[:16]}


def _closed_or_open(question, gold):
    """Return the fields that depend on whether the gold answer is yes or no."""
    question, gold = _text(question), _text(gold)
    if not question:
        raise _LeftOut("no question")
    if not gold:
        raise _LeftOut("no gold answer")
    plain = gold.lower().strip(" .!")
    if plain in {"yes", "no"}:
        return {"question": question, "question_type": "closed", "options": ["yes", "no"],
                "gold": plain}  # fmt: skip
    return {"question": question, "question_type": "open", "options": None, "gold": gold}


def _choice(question, options, gold):
    """Return the fields of a choice question; `gold` is the text of an option."""
    question, gold = _text(question), _text(gold)
    options = [o for o in dict.fromkeys(map(_text, options)) if o]
    if not question:
        raise _LeftOut("no question")
    if len(options) < 2:
        raise _LeftOut("fewer than two options")
    if gold not in options:
        same = [o for o in options if o.casefold().rstrip(".") == gold.casefold().rstrip(".")]
        if len(same) != 1:
            raise _LeftOut("gold answer is none of the options")
        gold = same[0]
    return {"question": question, "question_type": "choice", "options": options, "gold": gold}


def _modality(name, source):
    return {"modality": name, "modality_source": "missing" if name == UNKNOWN else source}


_MISSING = _modality(UNKNOWN, "missing")


# A reader yields, for every row, a function that makes the item's fields or raises _LeftOut.


def _question_answer(files, splits, modality):
    """Read sets that hold nothing but image, question and answer."""
    for split in splits:
        rows = files.rows(split, f"data/{split}-*.parquet", f"**/{split}*.parquet")
        for i, row in enumerate(rows):
            yield lambda split=split, i=i, row=row: {
                "item_id": f"{split}-{i}",
                **_image(row["image"]),
                "official_split": split,
                **_closed_or_open(row["question"], row["answer"]),
                **modality,
            }


def _vqa_rad(files, _):
    originals = files.find("vqa-rad.json", "VQA_RAD Dataset Public.json", "*VQA*RAD*.json")
    if originals:
        return _vqa_rad_original(files, originals[0])
    return _question_answer(files, ("train", "test"), _MISSING)


def _vqa_rad_original(files, path):
    organs = {"CHEST": "x-ray", "ABD": "ct"}
    for record in _json(path.name, path.read_bytes()):
        yield lambda record=record: {
            "item_id": f"qid-{record['qid']}",
            "image_id": record["image_name"],
            "image": record["image_name"],
            "official_split": "test" if record["phrase_type"].startswith("test") else "train",
            **_closed_or_open(record["question"], record["answer"]),
            **_modality(organs.get(_text(record["image_organ"]).upper(), UNKNOWN), "rule"),
            "organ": _text(record["image_organ"]).lower(),
            "category": record["question_type"],
            "answer_type": record["answer_type"].strip(),
        }


def _json(name, data):
    try:
        return json.loads(data.decode("utf-8"))
    except ValueError as error:
        raise MedcalError(f"{name}: is no JSON file ({_first_line(error)})") from None


def _slake(files, _):
    names = {
        "train": ("train.json",),
        "validation": ("validation.json", "validate.json"),
        "test": ("test.json",),
    }
    for split, either in names.items():
        for row in files.rows(split, *(f"**/{name}" for name in either), kind="json"):
            if row.get("q_lang", "en") == "en":
                yield lambda split=split, row=row: {
                    "item_id": f"{split}-{row['qid']}",
                    "image_id": row["img_name"],
                    "image": row["img_name"],
                    "official_split": split,
                    **_closed_or_open(row["question"], row["answer"]),
                    **_modality(modality_of_name(row["modality"]), "stated"),
                    "organ": _text(row.get("location")).lower(),
                    "category": row.get("content_type"),
                    "answer_type": row.get("answer_type"),
                }


def _path_vqa(files, _):
    splits = ("train", "validation", "test")
    return _question_answer(files, splits, _modality("pathology", "rule"))


def _omnimedvqa(files, _):
    plain = files.find("**/QA_information/Open-access/*.json")
    packed = files.text(r"QA_information/Open-access/[^/]+\.json$")
    found = False
    for name, data in ((p.name, p.read_bytes()) for p in plain) if plain else packed:
        found = True
        for record in _json(name, data):
            # One file of the release says "modality" where the others say "modality_type".
            yield lambda record=record: {
                "item_id": _text(record["question_id"]),
                "image_id": record["image_path"],
                "image": record["image_path"],
                "official_split": "none",
                **_choice(
                    record["question"],
                    [record.get(f"option_{letter}") for letter in "ABCDEF"],
                    record["gt_answer"],
                ),
                **_modality(
                    modality_of_name(record.get("modality_type") or record.get("modality") or ""),
                    "stated",
                ),
                "source": record.get("dataset"),
                "category": record.get("question_type"),
            }
    if not found:
        files.need("**/QA_information/Open-access/*.json")


def _pmc_vqa(files, _):
    names = {
        "train": ("train_2.csv", "train.csv"),
        "test": ("test_2.csv", "test_clean.csv", "test.csv"),
    }
    for split, either in names.items():
        rows = files.rows(split, *(f"**/{name}" for name in either), kind="csv")
        for i, row in enumerate(rows):
            yield lambda split=split, i=i, row=row: {
                "item_id": f"{split}-{i}",
                "image_id": row["Figure_path"],
                "image": row["Figure_path"],
                "official_split": split,
                **_pmc_choice(row),
                **_MISSING,
            }


def _pmc_choice(row):
    options = {
        letter: re.sub(rf"^\s*{letter}\s*[:.)]\s*", "", _text(row[f"Choice {letter}"]))
        for letter in "ABCD"
    }
    # The label is in Answer_label in the first version and in Answer in the second.
    label = _text(row.get("Answer_label") or row["Answer"]).upper()
    return _choice(row["Question"], options.values(), options.get(label) or row["Answer"])


def _a_okvqa(files, _):
    for split in ("train", "validation"):  # the test split has no public answers
        for row in files.rows(split, f"data/{split}-*.parquet", f"**/{split}*.parquet"):
            yield lambda split=split, row=row: {
                "item_id": _text(row["question_id"]),
                **_image(row["image"]),
                "official_split": split,
                **_choice(
                    row["question"], row["choices"], row["choices"][row["correct_choice_idx"]]
                ),
                **_modality("photo", "rule"),
            }


def _science_qa(files, _):
    for split in ("train", "validation", "test"):
        rows = files.rows(split, f"data/{split}-*.parquet", f"**/{split}*.parquet")
        for i, row in enumerate(rows):
            yield lambda split=split, i=i, row=row: {
                "item_id": f"{split}-{i}",
                **_image(row["image"]),
                "official_split": split,
                **_choice(
                    f"{_text(row.get('hint'))} {_text(row['question'])}",
                    row["choices"],
                    row["choices"][row["answer"]],
                ),
                **_MISSING,
                "category": row.get("topic"),
                "subject": row.get("subject"),
            }


def _vqa_v2(files, seed):
    # The test splits have no public answers.
    patterns = ("data/validation-*.parquet", "**/validation*.parquet")
    for row in files.rows("validation", *patterns, shuffle=seed):
        yield lambda row=row: {
            "item_id": _text(row["question_id"]),
            "image_id": _text(row["image_id"]),
            "image": _image(row["image"])["image"],
            "official_split": "none",
            **_vqa_answers(row),
            **_modality("photo", "rule"),
            "category": row.get("answer_type"),
        }


def _vqa_answers(row):
    most = _text(row["multiple_choice_answer"])
    fields = _closed_or_open(row["question"], most)
    if fields["question_type"] == "open":
        # Full marks in the set's own metric: an answer that three of the ten people gave.
        said = [_text(a["answer"] if isinstance(a, dict) else a) for a in row["answers"]]
        agreed = [a for a in dict.fromkeys(said) if a and a != most and said.count(a) >= 3]
        fields["gold"] = [most, *agreed]
    return fields


_OPTIONS = re.compile(r"\n?\s*Options:\s*(?=\(?A\s*[:.)])", re.IGNORECASE)


def _split_options(text):
    """Split "Question?\\nOptions: A: one, B: two" into the question and its options."""
    parts = _OPTIONS.split(text, maxsplit=1)
    if len(parts) != 2:
        raise _LeftOut("no list of options in the question")
    kept: list[re.Match] = []
    for mark in re.finditer(r"(?:^|[,\n]\s*|\s)\(?([A-H])\s*[:.)]\s*", parts[1]):
        if mark[1] == chr(ord("A") + len(kept)):
            kept.append(mark)
    ends = [m.start() for m in kept[1:]] + [len(parts[1])]
    options = [parts[1][m.end() : e].strip(" ,\n") for m, e in zip(kept, ends, strict=True)]
    return parts[0].strip(), [o.removesuffix(".") for o in options]


def _mmstar_choice(row):
    question, options = _split_options(row["question"])
    place = ord(_text(row["answer"]).upper()[:1] or "?") - ord("A")
    if not 0 <= place < len(options):
        raise _LeftOut("gold answer is none of the options")
    return _choice(question, options, options[place])


def _mmstar(files, _):
    for row in files.rows("val", "mmstar.parquet", "data/val-*.parquet", "**/*.parquet"):
        yield lambda row=row: {
            "item_id": _text(row["index"]),
            **_image(row["image"]),
            "official_split": "none",
            **_mmstar_choice(row),
            **_MISSING,
            "category": row.get("category"),
            "source": (row.get("meta_info") or {}).get("source"),
        }


# --- the sets ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class HubSet:
    """A public set: where it is, how it is read and where its modalities come from.

    Attributes
    ----------
    name, title : str
        Ours, and the authors'.
    repo : str
        On the hub.
    domain : {"medical", "general"}
    read : callable
        ``read(files, seed)`` yields a function for each row that makes its fields.
    patterns : tuple of str
        The files of the repository that are fetched.
    gigabytes : float
        About what they take.
    modality_rule : str
        Where the modality comes from.
    official_test : tuple of str
        The set's own splits that count as test; empty where images are assigned by hash.
    streamed : bool
        Too large to fetch as a whole: rows are drawn from the hub as needed.
    archives, image_folders : tuple of str
        Where image files lie that the rows only name.
    source : str
        Citation.
    """

    name: str
    title: str
    repo: str
    domain: str
    read: Callable[..., Iterator[Callable[[], dict[str, Any]]]]
    patterns: tuple[str, ...]
    gigabytes: float
    modality_rule: str
    official_test: tuple[str, ...]
    source: str
    streamed: bool = False
    archives: tuple[str, ...] = ()
    image_folders: tuple[str, ...] = ()


#: The sets by our name.
HUB_SETS = {
    one.name: one
    for one in (
        HubSet(
            "vqa-rad", "VQA-RAD", "flaviagiammarino/vqa-rad", "medical", _vqa_rad,
            ("data/*.parquet",), 0.04,
            "chest images are x-rays and abdominal images CT, as its paper says; head images are "
            "CT or MRI by what the gold answers about the image attest, else missing; the hub "
            "copy does not state the organ: all by gold answers",
            ("test",), "Lau et al. 2018, doi:10.1038/sdata.2018.251",
            image_folders=("images", "VQA_RAD Image Folder"),
        ),
        HubSet(
            "slake", "SLAKE (English questions)", "BoKelvin/SLAKE", "medical", _slake,
            ("*.json", "imgs.zip"), 0.22, "stated", ("test",),
            "Liu et al. 2021, arXiv:2102.09542",
            archives=("imgs.zip",), image_folders=("imgs",),
        ),
        HubSet(
            "path-vqa", "PathVQA", "flaviagiammarino/path-vqa", "medical", _path_vqa,
            ("data/*.parquet",), 0.8, "all are pathology, as its paper says", ("test",),
            "He et al. 2020, arXiv:2003.10286",
        ),
        HubSet(
            "omnimedvqa", "OmniMedVQA (open access)", "foreverbeliever/OmniMedVQA", "medical",
            _omnimedvqa, ("OmniMedVQA.zip",), 10.7, "stated", (),
            "Hu et al. 2024, arXiv:2402.09181",
            archives=("OmniMedVQA.zip",), image_folders=("OmniMedVQA",),
        ),
        HubSet(
            "pmc-vqa", "PMC-VQA (version 2)", "RadGenome/PMC-VQA", "medical", _pmc_vqa,
            ("train_2.csv", "test_2.csv", "images_2.zip"), 2.3, "not stated: missing", ("test",),
            "Zhang et al. 2023, arXiv:2305.10415",
            archives=("images_2.zip", "images.zip"),
            image_folders=("figures", "images", "images_2"),
        ),
        HubSet(
            "a-okvqa", "A-OKVQA", "HuggingFaceM4/A-OKVQA", "general", _a_okvqa,
            ("data/train-*.parquet", "data/validation-*.parquet"), 1.2,
            "all are photos (COCO)", ("validation",), "Schwenk et al. 2022, arXiv:2206.01718",
        ),
        HubSet(
            "science-qa", "ScienceQA (questions with an image)", "derek-thomas/ScienceQA",
            "general", _science_qa, ("data/*.parquet",), 0.7, "not stated: missing", ("test",),
            "Lu et al. 2022, arXiv:2209.09513",
        ),
        HubSet(
            "vqa-v2", "VQAv2 (validation)", "lmms-lab/VQAv2", "general", _vqa_v2,
            ("data/validation-*.parquet",), 7.0, "all are photos (COCO)", (),
            "Goyal et al. 2017, arXiv:1612.00837", streamed=True,
        ),
        HubSet(
            "mmstar", "MMStar", "Lin-Chen/MMStar", "general", _mmstar, ("mmstar.parquet",), 0.05,
            "not stated: missing", (), "Chen et al. 2024, arXiv:2403.20330",
        ),
    )
}  # fmt: skip

_SIGNS_OF_A_SET = {
    "vqa-rad": ("vqa-rad.json", "VQA_RAD Dataset Public.json"),
    "slake": ("imgs/xmlab*", "imgs.zip"),
    "omnimedvqa": ("QA_information", "OmniMedVQA.zip", "OmniMedVQA/QA_information"),
    "pmc-vqa": ("test_2.csv", "test_clean.csv"),
    "mmstar": ("mmstar.parquet",),
}


def hub_set_of_folder(path):
    """Return the name of the set that a folder holds, by the files only that set has.

    Raises
    ------
    MedcalError
        Where the files fit no set or several: say which with NAME:FOLDER.
    """
    path = Path(path)
    fits = [
        name
        for name, signs in _SIGNS_OF_A_SET.items()
        if any(next(path.glob(sign), None) is not None for sign in signs)
    ]
    if len(fits) == 1:
        return fits[0]
    raise MedcalError(
        f"{path}: can't tell which set this folder holds; give it as NAME:FOLDER, with one of "
        + ", ".join(HUB_SETS)
    )


SPLIT_SEED = 0  # not an argument: the split belongs to the set, whatever is drawn from it


def _half(image_id):
    """Return "test" or "fit" by a seeded hash, half of the images each."""
    digest = hashlib.sha256(f"{SPLIT_SEED}:{image_id}".encode()).digest()
    return "test" if digest[0] < 128 else "fit"


def load(name, *, split=None, n=None, seed=0, revision=None, path=None) -> pd.DataFrame:
    """Read a public set as an item table.

    Parameters
    ----------
    name : str
        One of :data:`HUB_SETS`.
    split : {"fit", "test"}, optional
        Grouped by image; see the notes of the module.
    n : int, optional
        Keep this many items, drawn at random by `seed`. Required for sets that are streamed.
    seed : int, default 0
        Of the draw.
    revision : str, optional
        A branch, tag or commit of the hub repository; the newest if left out.
    path : str or Path, optional
        A copy on disk, instead of the hub.

    Returns
    -------
    pandas.DataFrame
        Item columns, ``official_split``, ``modality_source`` and what else the set tells. Its
        ``attrs`` hold ``left_out`` (reason → rows), ``source`` and ``revision``.

    Raises
    ------
    MedcalError
        In one line: unknown set, gated, offline and not cached, no such revision, disk full,
        damaged archive, missing files.
    """
    if name not in HUB_SETS:
        raise MedcalError(f"set {name!r} is not known; known: {', '.join(HUB_SETS)}")
    hub_set = HUB_SETS[name]
    if hub_set.streamed and n is None and path is None:
        raise MedcalError(f"{name}: is streamed from the hub and large; give n, such as n=1000")
    files = _Files(hub_set, path=path, revision=None if path else revision)
    rows, left_out = _read(hub_set, files, split=split, n=n, seed=seed)
    if not rows and not left_out:
        raise MedcalError(
            f"{files.where}: no rows of {hub_set.title} found; is it laid out as on the hub "
            f"({', '.join(hub_set.patterns)})?"
        )
    return _table(hub_set, files, rows, left_out, split=split, n=n, seed=seed)


def _read(hub_set, files, *, split, n, seed):
    rows: list[dict[str, Any]] = []
    left_out: dict[str, int] = {}
    contents: dict[str, bytes] = {}

    for make in hub_set.read(files, seed):
        try:
            row = make()
        except _LeftOut as reason:
            left_out[str(reason)] = left_out.get(str(reason), 0) + 1
            continue
        except KeyError as error:
            raise MedcalError(
                f"{files.where}: no column {error} in row {len(rows)}; is it {hub_set.title}?"
            ) from None
        if isinstance(row["image"], bytes):
            # Rows about one image share one object.
            row["image"] = contents.setdefault(row["image_id"], row["image"])
        row["split"] = _half(row["image_id"])
        rows.append(row)
        if hub_set.streamed and n is not None and (split in {None, row["split"]}):
            n -= 1
            if n == 0:
                break
    return rows, left_out


def _table(hub_set, files, rows, left_out, *, split, n, seed):
    import numpy as np
    import pandas as pd

    from .items import ITEM_COLUMNS

    if hub_set.name == "vqa-rad":
        _modality_by_answers(rows)
    if hub_set.official_test:
        tested = {r["image_id"] for r in rows if r["official_split"] in hub_set.official_test}
        for row in rows:
            row["split"] = "test" if row["image_id"] in tested else "fit"
    rows = [row for row in rows if split in {None, row["split"]}]
    if n is not None and n < len(rows):
        keep = np.sort(np.random.default_rng(seed).permutation(len(rows))[:n])
        rows = [rows[i] for i in keep]
    usable = []
    for row in rows:
        if isinstance(row["image"], str) and row["image"] == row["image_id"]:
            row["image"] = files.image(row["image"])
        if row["image"] is None:
            left_out["image file not found"] = left_out.get("image file not found", 0) + 1
            continue
        usable.append({**row, "dataset": hub_set.name, "domain": hub_set.domain})
    if rows and not usable:
        raise MedcalError(
            f"{files.where}: none of its image files is there; put them in "
            f"{' or '.join([*hub_set.image_folders, *hub_set.archives]) or 'it'}"
        )
    table = pd.DataFrame(usable, columns=None if usable else ITEM_COLUMNS)
    extra = [c for c in table.columns if c not in ITEM_COLUMNS]
    table = table[[*ITEM_COLUMNS, *extra]].reset_index(drop=True)
    table.attrs.update(
        left_out=left_out, source=hub_set.source, revision=files.revision, where=files.where
    )
    return table
