"""Public VQA sets as item tables: VQA-RAD, SLAKE, PathVQA, OmniMedVQA, PMC-VQA and others.

``load_items("vqa-rad")`` fetches a set from the Hugging Face hub, where its files are public, and
keeps it in the hub's cache; ``load_items("vqa-rad:FOLDER")`` reads a copy on disk instead, laid out
as the hub repository or as its authors publish it. No code of a repository is ever run. The sets
stand in ``hub_sets.toml``.

**Splits** are grouped by image, so that no image is in both. Where a set has a test split of its
own, every image in it is ``test`` with all its questions, the rest is ``fit``; the set's own
split stays in the column ``official_split``. Where it has none, images are assigned by a hash
of their id, half to each. VQA-RAD shares 202 of its 203 test images with its training questions,
so that its 451 test questions (``official_split == "test"``) are a part of ``test`` here.

**Images** are named by the set's own id or, where it has none, by a hash of the file's content.

**Modality** is what the set states; failing that, what its documentation tells; failing that,
``unknown``. ``modality_source`` says which: ``stated``, ``rule`` or ``missing``.

**Question type**: a gold answer of yes or no makes a closed question, a list of options a choice
question, all else is open. Rows that can't be used (no image, no gold answer, options that can't
be distinguished) are left out and counted in ``table.attrs["left_out"]``.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import tomllib
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from medcal_nb.datasets.items import ITEM_COLUMNS, chosen
from medcal_nb.errors import MedcalError
from medcal_nb.files import PathLike, new_file

if TYPE_CHECKING:
    import pandas as pd

UNKNOWN = "unknown"
_LARGEST = 1 << 28  # of a file in an archive
#: What ``hub_sets.toml`` tells of each set, by our name for it.
HUB_SETS: dict[str, dict[str, Any]] = tomllib.loads(
    Path(__file__).with_name("hub_sets.toml").read_text(encoding="utf-8")
)

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


def _modality(name: Any, source: str = "stated") -> dict[str, str]:
    """Our word for a set's name of a modality; names that are none of ours stay, in lower case."""
    text = str(name or "").strip().lower()
    ours = next(
        (o for o, pattern in _MODALITIES.items() if re.search(pattern, text)), text
    )
    return {
        "modality": ours or UNKNOWN,
        "modality_source": source if ours else "missing",
    }


# --- where files come from -----------------------------------------------------------------------


_CONNECT = (
    "connect once, without HF_HUB_OFFLINE (where the set is gated, accept its terms on its page at "
    "huggingface.co and log in with `hf auth login`), or give a copy as NAME:FOLDER"
)


@contextmanager
def _plainly(what: Any, remedy: str = "fetch it again") -> Iterator[None]:
    """Turn whatever goes wrong in here into one line that says what to do."""
    try:
        yield
    except MedcalError:
        raise
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0][:200]
        message = f"can't be read ({type(error).__name__}: {first})"
        raise MedcalError(f"{what}: {message}; {remedy}") from error


def fetch_set(name: str) -> Path:
    """Bring the files of a public set into the hub's cache; what is there stays.

    Returns
    -------
    pathlib.Path
        Where they lie.

    Raises
    ------
    MedcalError
        In one line: gated, no connection, and what else went wrong.
    """
    from huggingface_hub import snapshot_download

    repo = HUB_SETS[name]["repo"]
    files = HUB_SETS[name]["files"]
    wanted = {"repo_id": repo, "repo_type": "dataset", "allow_patterns": files}
    wanted["ignore_patterns"] = ["*..*", "/*"]  # what might lead out of the folder
    with _plainly(repo, _CONNECT):
        with suppress(Exception):  # nothing is asked where it is in the cache
            return Path(snapshot_download(**wanted, local_files_only=True))
        return Path(snapshot_download(**wanted))


class _Files:
    """The files of a set: a folder on disk, or a hub repository in the hub's cache."""

    def __init__(self, name: str, folder: PathLike | None = None):
        self.name = name
        self.spec = HUB_SETS[name]
        self.where = str(folder or self.spec["repo"])
        self.folder = Path(folder) if folder else fetch_set(name)
        if not self.folder.is_dir():
            raise MedcalError(f"{name}: {folder} is no folder; give the set's folder")
        self.archives = self.spec.get("archives", [])
        self.image_folders = self.spec.get("image_folders", [])

    def find(self, patterns: list[str]) -> list[Path]:
        """Return the files that match the first pattern that matches any."""
        for pattern in patterns:
            if found := sorted(p for p in self.folder.glob(pattern) if p.is_file()):
                return found
        return []

    def rows(self, patterns: list[str]) -> Iterator[dict[str, Any]]:
        """Yield the rows of a split's files as dicts, images as they are stored."""
        import pyarrow.parquet

        for path in self.find(patterns) or self._packed(patterns):
            with _plainly(path):
                if path.suffix == ".json":
                    yield from json.loads(path.read_text(encoding="utf-8"))
                elif path.suffix == ".csv":
                    with path.open(newline="", encoding="utf-8") as file:
                        yield from csv.DictReader(file)
                else:
                    for batch in pyarrow.parquet.ParquetFile(path).iter_batches(100):
                        yield from batch.to_pylist()

    def _packed(self, patterns: list[str]) -> list[Path]:
        """Return files that match a pattern inside an archive, unpacked."""
        plain = [pattern.removeprefix("**/") for pattern in patterns]
        names = [
            name for name in self.members if any(fnmatch(name, one) for one in plain)
        ]
        return [Path(self.image(name)) for name in names]

    @cached_property
    def members(self) -> dict[str, tuple[Path, zipfile.ZipInfo]]:
        """Files inside the archives, by their names and by the ends of them."""
        found = {}
        for archive in self.find(self.archives):
            with _plainly(archive), zipfile.ZipFile(archive) as opened:
                for info in opened.infolist():
                    pieces = PurePosixPath(info.filename).parts
                    for start in range(min(4, len(pieces))):
                        found.setdefault("/".join(pieces[start:]), (archive, info))
        return found

    def image(self, name: str) -> str | None:
        """Return the path of an image file, unpacking it from its archive if need be."""
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if not parts or ".." in parts or PurePosixPath(name).is_absolute():
            raise MedcalError(f"{self.where}: image {name!r} is no path inside the set")
        for folder in ("", *self.image_folders):
            plain = self.folder.joinpath(folder, *parts)
            if plain.is_file():
                return str(plain)
        if (found := self.members.get("/".join(parts))) is not None:
            return self._unpack(*found, parts)
        return None

    def _unpack(self, archive: Path, info: zipfile.ZipInfo, parts: tuple) -> str:
        home = Path(os.environ.get("HF_HOME") or "~/.cache/huggingface").expanduser()
        digest = hashlib.sha256(
            f"{archive.resolve()}:{archive.stat().st_size}".encode()
        )
        target = home.joinpath("medcal", self.name, digest.hexdigest()[:12], *parts)
        if info.file_size > _LARGEST:
            raise MedcalError(
                f"{archive}: {info.filename} unpacks to {info.file_size:,} bytes"
            )
        if not target.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            with (
                _plainly(archive),
                zipfile.ZipFile(archive) as opened,
                opened.open(info) as file,
                new_file(target, force=True) as part,
            ):  # no more than it says it holds, whatever it unpacks to
                part.write_bytes(file.read(info.file_size + 1))
        return str(target)


# --- rows ----------------------------------------------------------------------------------------


class _LeftOut(Exception):
    """A row that can't be used; the message says why in a few words."""


def _text(value: Any) -> str:
    return "" if value is None else " ".join(str(value).split())


def _image(image: Any) -> dict[str, Any]:
    """The bytes of an image that the hub stores in its rows, and their hash as its id."""
    data = (
        image.get("bytes") if isinstance(image, dict) else image
    )  # never a path of theirs
    if not isinstance(data, bytes) or not data:
        raise _LeftOut("no image")
    return {"image": data, "image_id": hashlib.sha256(data).hexdigest()[:16]}


def _closed_or_open(question: Any, gold: Any) -> dict[str, Any]:
    """The fields that depend on whether the gold answer is yes or no."""
    question = _text(question)
    gold = _text(gold)
    if not question or not gold:
        raise _LeftOut("no gold answer" if question else "no question")
    fields = {
        "question": question,
        "question_type": "open",
        "options": None,
        "gold": gold,
    }
    plain = gold.lower().strip(" .!")
    if plain in {"yes", "no"}:
        fields |= {"question_type": "closed", "options": ["yes", "no"], "gold": plain}
    return fields


def _choice(question: Any, options: Any, gold: Any) -> dict[str, Any]:
    """The fields of a choice question; `gold` is the text of an option."""
    question = _text(question)
    gold = _text(gold)
    options = [o for o in dict.fromkeys(map(_text, options)) if o]
    if not question:
        raise _LeftOut("no question")
    if len(options) < 2:
        raise _LeftOut("fewer than two options")
    if gold not in options:
        same = [
            o
            for o in options
            if o.casefold().rstrip(".") == gold.casefold().rstrip(".")
        ]
        if len(same) != 1:
            raise _LeftOut("gold answer is none of the options")
        gold = same[0]
    return {
        "question": question,
        "question_type": "choice",
        "options": options,
        "gold": gold,
    }


_OPTIONS = re.compile(r"\n?\s*Options:\s*(?=\(?A\s*[:.)])", re.IGNORECASE)


def _split_options(text: str) -> tuple[str, list[str]]:
    r"""Split "Question?\nOptions: A: one, B: two" into the question and its options."""
    parts = _OPTIONS.split(text, maxsplit=1)
    if len(parts) != 2:
        raise _LeftOut("no list of options in the question")
    kept: list[re.Match] = []
    for mark in re.finditer(r"(?:^|[,\n]\s*|\s)\(?([A-H])\s*[:.)]\s*", parts[1]):
        if mark[1] == chr(ord("A") + len(kept)):
            kept.append(mark)
    ends = [m.start() for m in kept[1:]] + [len(parts[1])]
    options = [
        parts[1][m.end() : e].strip(" ,\n") for m, e in zip(kept, ends, strict=True)
    ]
    return parts[0].strip(), [o.removesuffix(".") for o in options]


# What each set asks, where it is not just a question with an answer.


def _asked_omnimedvqa(row: dict[str, Any]) -> dict[str, Any]:
    options = [row.get(f"option_{letter}") for letter in "ABCDEF"]
    return _choice(row["question"], options, row["gt_answer"])


def _asked_pmc_vqa(row: dict[str, Any]) -> dict[str, Any]:
    options = {
        letter: re.sub(rf"^\s*{letter}\s*[:.)]\s*", "", _text(row[f"Choice {letter}"]))
        for letter in "ABCD"
    }
    # The label is in Answer_label in the first version and in Answer in the second.
    label = _text(row.get("Answer_label") or row["Answer"]).upper()
    return _choice(
        row["Question"], options.values(), options.get(label) or row["Answer"]
    )


def _asked_a_okvqa(row: dict[str, Any]) -> dict[str, Any]:
    return _choice(
        row["question"], row["choices"], row["choices"][row["correct_choice_idx"]]
    )


def _asked_science_qa(row: dict[str, Any]) -> dict[str, Any]:
    question = f"{_text(row.get('hint'))} {_text(row['question'])}"
    return _choice(question, row["choices"], row["choices"][row["answer"]])


def _asked_vqa_v2(row: dict[str, Any]) -> dict[str, Any]:
    most = _text(row["multiple_choice_answer"])
    fields = _closed_or_open(row["question"], most)
    if fields["question_type"] == "open":
        # Full marks in the set's own metric: an answer that three of the ten people gave.
        said = [
            _text(a["answer"] if isinstance(a, dict) else a) for a in row["answers"]
        ]
        agreed = [
            a for a in dict.fromkeys(said) if a and a != most and said.count(a) >= 3
        ]
        fields["gold"] = [most, *agreed]
    return fields


def _asked_mmstar(row: dict[str, Any]) -> dict[str, Any]:
    question, options = _split_options(row["question"])
    letters = dict(zip("ABCDEFGH", options, strict=False))
    gold = letters.get(_text(row["answer"]).upper()[:1], "")
    source = {"source": (row.get("meta_info") or {}).get("source")}
    return _choice(question, options, gold) | source


def _made(row: dict[str, Any], split: str, i: int, name: str) -> dict[str, Any] | None:
    """The item of a stored row, by the columns that ``hub_sets.toml`` names; None if not wanted."""
    spec = HUB_SETS[name]
    if any(
        row.get(column, value) != value
        for column, value in spec.get("only", {}).items()
    ):
        return None
    columns = spec.get("columns", {})
    if (
        columns.get("image", "image") not in row
    ):  # VQA-RAD's copy on the hub names nothing
        columns = {}
    numbered = columns.get("item_id", "{split}-{i}")
    out = {"item_id": _text(numbered.format(**row | {"split": split, "i": i}))}
    if "image" in columns:
        out |= dict.fromkeys(("image", "image_id"), str(row[columns["image"]]))
    else:
        out |= _image(row["image"])
    if "image_id" in columns:
        out["image_id"] = _text(row[columns["image_id"]])
    asked = _ASKED.get(name)
    out |= asked(row) if asked else _closed_or_open(row["question"], row["answer"])
    out |= {ours: row.get(columns[ours]) for ours in _TOLD if ours in columns}
    if "organ" in out:
        out["organ"] = _text(out["organ"]).lower()
    stated = next(filter(None, map(row.get, spec.get("modality_columns", []))), None)
    rules = spec.get("modality_rule", {})
    ruled = rules.get(out.get("organ"), rules.get("all"))
    return out | (_modality(ruled, "rule") if rules else _modality(stated))


_TOLD = ("organ", "category", "answer_type", "source", "subject")
_ASKED = {
    "omnimedvqa": _asked_omnimedvqa,
    "pmc-vqa": _asked_pmc_vqa,
    "a-okvqa": _asked_a_okvqa,
    "science-qa": _asked_science_qa,
    "vqa-v2": _asked_vqa_v2,
    "mmstar": _asked_mmstar,
}


# --- the table -----------------------------------------------------------------------------------


def _half(image_id: str) -> str:
    """Return "test" or "fit" by a hash, half of the images each; the split belongs to the set."""
    return (
        "test" if hashlib.sha256(f"0:{image_id}".encode()).digest()[0] < 128 else "fit"
    )


def load(
    name: str,
    *,
    split: str | None = None,
    n: int | None = None,
    seed: int = 0,
    folder: PathLike | None = None,
) -> pd.DataFrame:
    """Return a public set as an item table; see :func:`medcal_nb.datasets.items.load_items`.

    Its ``attrs`` hold ``left_out`` (reason → rows).

    Raises
    ------
    MedcalError
        If its files are not there or of another form.
    """
    import numpy as np
    import pandas as pd

    spec = HUB_SETS[name]
    files = _Files(name, folder)
    left_out = Counter()
    table = pd.DataFrame(_items(files, left_out))
    if table.empty:
        raise MedcalError(
            f"{files.where}: no rows of {spec['title']} found; is it laid out as on the hub "
            f"({', '.join(spec['files'])})?"
        )
    if table["item_id"].duplicated().any():
        raise MedcalError(
            f"{files.where}: rows share an id; is it {spec['title']}, once?"
        )
    if spec["official_test"]:
        tested = table.loc[
            table["official_split"].isin(spec["official_test"]), "image_id"
        ]
        table["split"] = np.where(table["image_id"].isin(tested), "test", "fit")
    table = chosen(table, split, n, seed)
    if len(table) and isinstance(table["image"].iloc[0], str):
        table = _with_images(table, files, left_out)
    extra = [column for column in table.columns if column not in ITEM_COLUMNS]
    table = table[[*ITEM_COLUMNS, *extra]].reset_index(drop=True)
    table.attrs["left_out"] = dict(left_out)
    return table


def _items(files: _Files, left_out: Counter[str]) -> list[dict[str, Any]]:
    """Return the items of all splits; count what is left out, by its reason."""
    spec = files.spec
    rows = []
    contents = {}
    for split, patterns in spec["rows"].items():
        for i, stored in enumerate(files.rows(patterns)):
            try:
                # VQA-RAD as published is one file
                official = (
                    "test"
                    if str(stored.get("phrase_type")).startswith("test")
                    else split
                )
                row = _made(stored, official, i, files.name)
            except _LeftOut as reason:
                left_out[str(reason)] += 1
                continue
            except (KeyError, TypeError, IndexError, AttributeError) as error:
                raise MedcalError(
                    f"{files.where}: row {len(rows)} has another form ({type(error).__name__}: "
                    f"{error}); is it {spec['title']}?"
                ) from None
            if row is None:
                continue
            row |= {"dataset": files.name, "domain": spec["domain"]}
            row["split"] = _half(row["image_id"])
            row["official_split"] = official if spec["official_test"] else "none"
            # rows about one image share one object
            row["image"] = contents.setdefault(row["image_id"], row["image"])
            rows.append(row)
    return rows


def _with_images(
    table: pd.DataFrame, files: _Files, left_out: Counter[str]
) -> pd.DataFrame:
    """The rows whose image files are there, with their paths."""
    found = table["image"].map(
        {name: files.image(name) for name in table["image"].unique()}
    )
    if found.isna().all():
        places = " or ".join([*files.image_folders, *files.archives])
        raise MedcalError(
            f"{files.where}: none of its image files is there; put them in {places}"
        )
    if found.isna().any():
        left_out["image file not found"] += int(found.isna().sum())
    return table.assign(image=found)[found.notna()]
