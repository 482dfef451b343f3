"""Public VQA sets as item tables: VQA-RAD, SLAKE, PathVQA, OmniMedVQA, PMC-VQA; A-OKVQA, …

``load_items("vqa-rad")`` fetches a set from the Hugging Face hub, where its files are public, and
keeps it in the hub's cache; ``load_items("vqa-rad:FOLDER")`` reads a copy on disk instead, laid out
as the hub repository or as its authors publish it. No code of a repository is ever run. The sets
are told in ``hub_sets.toml``.

**Splits** are grouped by image, so that no image is in both. Where a set has a test split of its
own, every image in it is ``test`` with all its questions, the rest is ``fit``; the set's own
split stays in the column ``official_split``. Where it has none, images are assigned by a hash
of their id, half to each. VQA-RAD shares 202 of its 203 test images with its training questions,
so that its 451 test questions (``official_split == "test"``) are a part of ``test`` here.

**Images** are named by the set's own id or, where it has none, by a hash of the file's content.

**Modality** is what the set states; failing that, what its documentation or its own questions
and answers tell; failing that, ``unknown``. ``modality_source`` says which: ``stated``, ``rule`` or
``missing``.

**Question type**: a gold answer of yes or no makes a closed question, a list of options a choice
question, all else is open. Rows that can't be used (no image, no gold answer, options that can't
be told apart) are left out and counted in ``table.attrs["left_out"]``.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tomllib
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from medcal_nb.errors import MedcalError, told_by_hub
from medcal_nb.items import ITEM_COLUMNS, register_dataset

if TYPE_CHECKING:
    import pandas as pd

UNKNOWN = "unknown"
_LARGEST = 1 << 28  # of a file in an archive


@dataclass(frozen=True)
class HubSet:
    """A public set, as ``hub_sets.toml`` tells it."""

    name: str
    title: str
    repo: str
    domain: str
    files: list[str]
    gigabytes: float
    modality: str
    official_test: list[str]
    source: str
    streamed: bool = False
    archives: list[str] = field(default_factory=list)
    image_folders: list[str] = field(default_factory=list)
    signs: list[str] = field(default_factory=list)
    rows: dict[str, list[str]] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)
    only: dict[str, str] = field(default_factory=dict)
    modality_columns: list[str] = field(default_factory=list)
    modality_rule: dict[str, str] = field(default_factory=dict)


#: The sets by our name.
HUB_SETS = {
    name: HubSet(name, **told)
    for name, told in tomllib.loads(
        (Path(__file__).parent / "hub_sets.toml").read_text(encoding="utf-8")
    ).items()
}

# --- words for modalities ------------------------------------------------------------------------

# In order: the first that fits. "fundus" before "photo": "Fundus Photography" is a fundus image.
_MODALITIES = {
    "mri": r"\bmri?\b|magnetic|mag-netic|\bt[12]\b|\bflair\b|\bdwi\b|\badc\b|diffusion.weighted",
    "ct": r"\bct\b|computed tomography|\bcat scan",
    "x-ray": r"\bx[\s_-]?rays?\b|\bcxr\b|radiograph|\bplain film|\bxr\b",
    "ultrasound": r"ultra\s?sound|sonogra|\bus\b",
    "oct": r"\boct\b|optical coherence",
    "fundus": r"fundus",
    "infrared reflectance": r"infrared",
    "dermoscopy": r"dermoscop|dermatoscop",
    "colposcopy": r"colposcop",
    "endoscopy": r"endoscop|colonoscop|gastroscop",
    "pathology": r"patholog|histolog|microscop|biops",
    "mammography": r"mammo",
    "pet": r"\bpet\b|positron",
    "photo": r"photo",
}
_RADIOLOGY = ("mri", "ct", "x-ray", "ultrasound")
_SEQUENCES = re.compile(r"\bt[12]\b|\bflair\b|\bdwi\b|\badc\b|diffusion.weighted")
_IS_THIS = re.compile(r"^(?:is|was|does|are)\s+(?:this|the|that|it)\b(?P<what>[^?]*)")
_WHICH = re.compile(
    r"modality|\b(?:type|kind) of (?:image|imaging|scan|mri)|\bsequence\b|what (?:image|imaging)"
    r"|how was this image"
)


def _modality(name, source="stated"):
    """Our word for a set's name of a modality; names that are none of ours stay, in lower case."""
    text = str(name or "").strip().lower()
    ours = next((o for o, pattern in _MODALITIES.items() if re.search(pattern, text)), text)
    return {"modality": ours or UNKNOWN, "modality_source": source if ours else "missing"}


def _modalities_said(question, answer):
    """The modalities that a radiology question and its gold answer attest.

    "Is this a CT?" with yes; a question after the modality or sequence with its answer; an answer
    that names an MRI sequence. A no attests nothing, nor does what a picture does "not represent".
    """

    def named(text):
        return {ours for ours in _RADIOLOGY if re.search(_MODALITIES[ours], text)}

    question, answer = question.lower(), answer.lower().strip()
    asked = _IS_THIS.match(question)
    if answer == "yes" and asked and not re.search(r"\bor\b|enhanc|contrast", asked["what"]):
        return named(asked["what"])
    if answer in {"yes", "no"} or "not" in question.split():
        return set()
    if _WHICH.search(question) or (asked and named(question)):
        return named(answer)
    return {"mri"} if _SEQUENCES.search(answer) else set()


def _modality_by_answers(rows):
    """Fill in modalities that the gold answers about an image attest without contradiction."""
    said: dict[str, set[str]] = {}
    for row in rows:
        attested = _modalities_said(row["question"], row["gold"])
        said.setdefault(row["image_id"], set()).update(attested)
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
        raise MedcalError(told_by_hub(error, what, "give a copy as NAME:FOLDER")) from error


def fetch_set(name, folder=None, *, revision=None, mirror=None) -> Path:
    """Bring the files of a public set into a folder, or the hub's cache; what is there stays.

    Returns
    -------
    pathlib.Path
        Where they lie.

    Raises
    ------
    MedcalError
        In one line: gated, no connection, no such revision, disk full.
    """
    from huggingface_hub import HfApi, constants, snapshot_download

    hub_set, repo = HUB_SETS[name], {"repo_type": "dataset", "revision": revision}
    repo["token"] = False if mirror else None  # the hub's token is the hub's alone
    wanted = repo | {"repo_id": hub_set.repo, "allow_patterns": hub_set.files, "endpoint": mirror}
    with _plainly(_named(hub_set, revision)):
        if folder is None:
            try:
                return Path(snapshot_download(**wanted, local_files_only=True))
            except Exception:
                if constants.HF_HUB_OFFLINE:
                    raise
            _check_room(hub_set, Path(constants.HF_HUB_CACHE))
        for path in HfApi(endpoint=mirror).list_repo_files(hub_set.repo, **repo):
            if ".." in PurePosixPath(path).parts or path.startswith("/") or "\\" in path:
                raise MedcalError(f"{hub_set.repo}: {path!r} is no path inside the set")
        return Path(snapshot_download(**wanted, local_dir=folder))


def _named(hub_set, revision):
    return hub_set.repo + (f"@{revision}" if revision else "")


def _check_room(hub_set, place):
    free = shutil.disk_usage(next(p for p in (place, *place.parents) if p.exists())).free / 1e9
    if hub_set.gigabytes > free:
        raise MedcalError(
            f"{hub_set.repo}: takes {hub_set.gigabytes:g} GB, {free:.1f} GB are free in {place}; "
            "free some or point HF_HOME at a larger disk"
        )


class _Files:
    """The files of a set: a folder on disk, or a hub repository in the hub's cache."""

    def __init__(self, hub_set, *, path=None, revision=None):
        self.set, self.revision = hub_set, revision
        self.where = str(path or _named(hub_set, revision))
        self.folder = Path(path) if path else None
        if path and not self.folder.is_dir():
            raise MedcalError(f"{hub_set.name}: {path} is no folder; give the set's folder")
        if not path and not hub_set.streamed:
            self.folder = fetch_set(hub_set.name, revision=revision)
        self._members: dict[str, tuple[Path, zipfile.ZipInfo]] | None = None

    def find(self, *patterns):
        """Return the files that match the first pattern that matches any."""
        for pattern in patterns:
            if found := sorted(p for p in self.folder.glob(pattern) if p.is_file()):
                return found
        return []

    def rows(self, split, patterns, seed):
        """Yield the rows of a split's files as dicts, images as they are stored."""
        import datasets

        files = [f"hf://datasets/{self.where}/{patterns[0]}"]
        if self.folder is not None:
            files = [str(p) for p in self.find(*patterns)]
        if not files:
            return
        with _plainly(self.where):
            kind = files[0].rsplit(".", 1)[-1]
            given = {"data_files": {split: files}, "split": split, "streaming": True}
            table = datasets.load_dataset(kind, **given)
            for name in table.column_names or []:
                feature = (table.features or {}).get(name)
                if name == "image" or isinstance(feature, datasets.Image):
                    table = table.cast_column(name, datasets.Image(decode=False))
            if self.set.streamed:
                table = table.shuffle(seed=seed, buffer_size=1000)
            yield from table

    def members(self):
        """Files inside the archives, by their names and by the ends of them."""
        if self._members is None:
            self._members = {}
            for archive in self.find(*self.set.archives):
                with _plainly(archive), zipfile.ZipFile(archive) as opened:
                    for info in opened.infolist():
                        pieces = PurePosixPath(info.filename).parts
                        for start in range(min(4, len(pieces)) * (not info.is_dir())):
                            name = "/".join(pieces[start:])
                            self._members.setdefault(name, (archive, info))
        return self._members

    def image(self, name):
        """Return the path of an image file, unpacking it from its archive if need be."""
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if not parts or ".." in parts or PurePosixPath(name).is_absolute():
            raise MedcalError(f"{self.where}: image {name!r} is no path inside the set")
        for folder in ("", *self.set.image_folders):
            plain = self.folder.joinpath(folder, *parts)
            if plain.is_file():
                return str(plain)
        if (found := self.members().get("/".join(parts))) is not None:
            return self._unpack(*found, parts)
        return None

    def _unpack(self, archive, info, parts):
        home = Path(os.environ.get("HF_HOME") or "~/.cache/huggingface").expanduser()
        digest = hashlib.sha256(f"{archive.resolve()}:{archive.stat().st_size}".encode())
        target = home.joinpath("medcal", self.set.name, digest.hexdigest()[:12], *parts)
        if info.file_size > _LARGEST:
            raise MedcalError(f"{archive}: {info.filename} unpacks to {info.file_size:,} bytes")
        if not (target.is_file() and target.stat().st_size == info.file_size):
            with _plainly(archive), zipfile.ZipFile(archive) as opened:
                target.parent.mkdir(parents=True, exist_ok=True)
                part = target.with_name(f"{target.name}.{os.getpid()}.part")
                part.write_bytes(opened.read(info))
                part.replace(target)
        return str(target)


# --- rows ----------------------------------------------------------------------------------------


class _LeftOut(Exception):
    """A row that can't be used; the message says why in a few words."""


def _text(value):
    return "" if value is None else " ".join(str(value).split())


def _image(image):
    """The bytes of an image that the hub stores in its rows, and their hash as its id."""
    data = image.get("bytes") if isinstance(image, dict) else image  # never a path of theirs
    if not isinstance(data, bytes) or not data:
        raise _LeftOut("no image")
    return {"image": data, "image_id": hashlib.sha256(data).hexdigest()[:16]}


def _closed_or_open(question, gold):
    """The fields that depend on whether the gold answer is yes or no."""
    question, gold = _text(question), _text(gold)
    if not question or not gold:
        raise _LeftOut("no gold answer" if question else "no question")
    fields = {"question": question, "question_type": "open", "options": None, "gold": gold}
    plain = gold.lower().strip(" .!")
    if plain in {"yes", "no"}:
        fields |= {"question_type": "closed", "options": ["yes", "no"], "gold": plain}
    return fields


def _choice(question, options, gold):
    """The fields of a choice question; `gold` is the text of an option."""
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


# What each set asks, where it is not just a question with an answer.


def _asked_omnimedvqa(row):
    options = [row.get(f"option_{letter}") for letter in "ABCDEF"]
    return _choice(row["question"], options, row["gt_answer"])


def _asked_pmc_vqa(row):
    options = {
        letter: re.sub(rf"^\s*{letter}\s*[:.)]\s*", "", _text(row[f"Choice {letter}"]))
        for letter in "ABCD"
    }
    # The label is in Answer_label in the first version and in Answer in the second.
    label = _text(row.get("Answer_label") or row["Answer"]).upper()
    return _choice(row["Question"], options.values(), options.get(label) or row["Answer"])


def _asked_a_okvqa(row):
    return _choice(row["question"], row["choices"], row["choices"][row["correct_choice_idx"]])


def _asked_science_qa(row):
    question = f"{_text(row.get('hint'))} {_text(row['question'])}"
    return _choice(question, row["choices"], row["choices"][row["answer"]])


def _asked_vqa_v2(row):
    most = _text(row["multiple_choice_answer"])
    fields = _closed_or_open(row["question"], most)
    if fields["question_type"] == "open":
        # Full marks in the set's own metric: an answer that three of the ten people gave.
        said = [_text(a["answer"] if isinstance(a, dict) else a) for a in row["answers"]]
        agreed = [a for a in dict.fromkeys(said) if a and a != most and said.count(a) >= 3]
        fields["gold"] = [most, *agreed]
    return fields


def _asked_mmstar(row):
    question, options = _split_options(row["question"])
    letters = dict(zip("ABCDEFGH", options, strict=False))
    gold = letters.get(_text(row["answer"]).upper()[:1], "")
    source = {"source": (row.get("meta_info") or {}).get("source")}
    return _choice(question, options, gold) | source


def _made(row, split, i, hub_set):
    """The item of a stored row, by the columns that ``hub_sets.toml`` names; None if not wanted."""
    if any(row.get(name, value) != value for name, value in hub_set.only.items()):
        return None
    columns = hub_set.columns
    if hub_set.name == "vqa-rad" and "qid" not in row:  # the hub's copy names nothing
        columns = {}
    named = columns.get("item_id", "{split}-{i}")
    out = {"item_id": _text(named.format(**row | {"split": split, "i": i}))}
    if "image" in columns:
        out |= dict.fromkeys(("image", "image_id"), str(row[columns["image"]]))
    else:
        out |= _image(row["image"])
    if "image_id" in columns:
        out["image_id"] = _text(row[columns["image_id"]])
    asked = _ASKED.get(hub_set.name)
    out |= asked(row) if asked else _closed_or_open(row["question"], row["answer"])
    out |= {name: row.get(columns[name]) for name in _TOLD if name in columns}
    if isinstance(out.get("answer_type"), str):
        out["answer_type"] = out["answer_type"].strip()
    if "organ" in out:
        out["organ"] = _text(out["organ"]).lower()
    stated = next(filter(None, map(row.get, hub_set.modality_columns)), None)
    ruled = hub_set.modality_rule.get(out.get("organ") if hub_set.name == "vqa-rad" else "all")
    return out | (_modality(ruled, "rule") if hub_set.modality_rule else _modality(stated))


_TOLD = ("organ", "category", "answer_type", "source", "subject")
_ASKED = {
    "omnimedvqa": _asked_omnimedvqa,
    "pmc-vqa": _asked_pmc_vqa,
    "a-okvqa": _asked_a_okvqa,
    "science-qa": _asked_science_qa,
    "vqa-v2": _asked_vqa_v2,
    "mmstar": _asked_mmstar,
}


def _stored(files, seed) -> Iterator[tuple[str, int, dict]]:
    """Each row of a set as it is stored, with its split and its number there."""
    original = files.find("vqa-rad.json", "*VQA*RAD*.json") if files.set.name == "vqa-rad" else []
    if original:
        for i, row in enumerate(_json(original[0])):
            yield "test" if str(row.get("phrase_type")).startswith("test") else "train", i, row
    elif files.set.name == "omnimedvqa":
        told = "QA_information/Open-access"
        inside = [n for n in files.members() if re.search(rf"^{told}/[^/]+\.json$", n)]
        paths = files.find(f"**/{told}/*.json") or [files.image(name) for name in inside]
        if not paths:
            raise MedcalError(
                f"{files.where}: has no {told}/*.json; give the folder of {files.set.title} as its "
                "authors or the hub lay it out"
            )
        for path in paths:
            for i, row in enumerate(_json(path)):
                yield "none", i, row
    else:
        for split, patterns in files.set.rows.items():
            for i, row in enumerate(files.rows(split, patterns, seed)):
                yield split, i, row


def _json(path):
    try:
        rows = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise MedcalError(f"{path}: is no JSON file ({str(error)[:100]})") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise MedcalError(f"{path}: holds no list of rows")
    return rows


# --- the table -----------------------------------------------------------------------------------


def _half(image_id):
    """Return "test" or "fit" by a hash, half of the images each; the split belongs to the set."""
    return "test" if hashlib.sha256(f"0:{image_id}".encode()).digest()[0] < 128 else "fit"


def _load(name, *, split=None, n=None, seed=0, revision=None, path=None) -> pd.DataFrame:
    """Read a public set as an item table, for :func:`medcal_nb.items.load_items`.

    Its ``attrs`` hold ``left_out`` (reason → rows), ``source`` and ``revision``.
    """
    import numpy as np
    import pandas as pd

    hub_set = HUB_SETS[name]
    if hub_set.streamed and n is None and path is None:
        raise MedcalError(f"{name}: is streamed from the hub and large; give n, such as n=1000")
    files = _Files(hub_set, path=path, revision=None if path else revision)
    left_out: Counter[str] = Counter()
    rows = _items(files, left_out, split=split, n=n, seed=seed)
    if not rows and not left_out:
        raise MedcalError(
            f"{files.where}: no rows of {hub_set.title} found; is it laid out as on the hub "
            f"({', '.join(hub_set.files)})?"
        )
    if name == "vqa-rad":
        _modality_by_answers(rows)
    table = pd.DataFrame(rows, columns=None if rows else ITEM_COLUMNS)
    if hub_set.official_test and rows:
        tested = table.loc[table["official_split"].isin(hub_set.official_test), "image_id"]
        table["split"] = np.where(table["image_id"].isin(tested), "test", "fit")
    if split is not None:
        table = table[table["split"] == split]
    if n is not None and n < len(table):
        table = table.iloc[np.sort(np.random.default_rng(seed).permutation(len(table))[:n])]
    if rows and isinstance(rows[0]["image"], str):
        table = _with_images(table, files, left_out)
    extra = [c for c in table.columns if c not in ITEM_COLUMNS]
    table = table[[*ITEM_COLUMNS, *extra]].reset_index(drop=True)
    table.attrs |= {"left_out": dict(left_out), "source": hub_set.source}
    table.attrs |= {"revision": files.revision, "where": files.where}
    return table


def _items(files, left_out, *, split, n, seed):
    rows: list[dict[str, Any]] = []
    contents: dict[str, bytes] = {}
    hub_set, wanted = files.set, 0
    about = {"dataset": hub_set.name, "domain": hub_set.domain}
    for official, i, stored in _stored(files, seed):
        try:
            row = _made(stored, official, i, hub_set)
        except _LeftOut as reason:
            left_out[str(reason)] += 1
            continue
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            what = "no column" if isinstance(error, KeyError) else "can't be read:"
            raise MedcalError(
                f"{files.where}: {what} {error} in row {len(rows)}; is it {hub_set.title}?"
            ) from None
        if row is None:
            continue
        row |= about | {"split": _half(row["image_id"])}
        row["official_split"] = official if hub_set.official_test else "none"
        # rows about one image share one object
        row["image"] = contents.setdefault(row["image_id"], row["image"])
        rows.append(row)
        wanted += split in {None, row["split"]}
        if hub_set.streamed and wanted == n:
            break
    return rows


def _with_images(table, files, left_out):
    """The rows whose image files are there, with their paths."""
    named = table["image"].unique()
    found = table["image"].map({name: files.image(name) for name in named})
    if len(table) and found.isna().all():
        raise MedcalError(
            f"{files.where}: none of its image files is there; put them in "
            f"{' or '.join([*files.set.image_folders, *files.set.archives]) or 'it'}"
        )
    if found.isna().any():
        left_out["image file not found"] += int(found.isna().sum())
    return table.assign(image=found)[found.notna()]


for _name, _set in HUB_SETS.items():
    register_dataset(_name, _load, signs=_set.signs)
