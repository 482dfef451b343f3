"""Bring recorded answers and public items onto this machine.

Files are fetched over HTTP from a pinned revision, carried on where an earlier try stopped, and
checked: their SHA-256 is compared with what the source states, where it states one, and kept in
``manifest.json`` beside them, so that a later run notices any change. Foreign pickles are opened
only by :func:`load_pickle`, which admits plain values and numeric numpy arrays and nothing else.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import json
import os
import pickle
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import MedcalError

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "DATASETS",
    "MODELS",
    "SOURCES",
    "Remote",
    "bench_files",
    "bench_rows",
    "download",
    "fetch",
    "hub_files",
    "import_bench",
    "load_pickle",
]

# --- foreign pickles -----------------------------------------------------------------------------

_NUMERIC = frozenset("biufc")
_MAX_PICKLE = 2**31


class _Ndarray:
    """Stands for the name ``numpy.ndarray``; of no use by itself."""


class _DType:
    """Stands for ``numpy.dtype``, which a pickle could set to claim objects where bytes are."""

    def __init__(self, code, *_):
        self.dtype = _numeric(np.dtype(code)) if isinstance(code, str) else None

    def __setstate__(self, state):
        _, order, *more = state
        if (
            self.dtype is None
            or order not in {"<", ">", "|", "="}
            or any(more[:3])
            or more[5:6] != [0]
        ):
            raise pickle.UnpicklingError("a type of number that numpy does not write")
        self.dtype = self.dtype.newbyteorder(order)


class _Array(np.ndarray):
    """An array that fills itself from bytes and from nothing else."""

    def __setstate__(self, state):
        _, shape, dtype, fortran, data = state
        filled = _frombuffer(data, dtype, shape, "F" if fortran else "C")
        super().__setstate__((1, filled.shape, filled.dtype, bool(fortran), filled.tobytes("A")))


def _numeric(dtype):
    if dtype.kind not in _NUMERIC:
        raise pickle.UnpicklingError(f"an array of {dtype} holds more than numbers")
    return dtype


def _number_type(dtype):
    if not isinstance(dtype, _DType) or dtype.dtype is None:
        raise pickle.UnpicklingError("an array without a type of number")
    return dtype.dtype


def _reconstruct(kind, shape, _):
    # numpy writes every array as an empty one first and fills it afterwards.
    if kind is not _Ndarray or shape != (0,):
        raise pickle.UnpicklingError("an array that is not written as numpy writes arrays")
    return np.ndarray.__new__(_Array, (0,), np.uint8)


def _frombuffer(data, dtype, shape, order):
    if not isinstance(data, bytes | bytearray):
        raise pickle.UnpicklingError("an array that is not made of bytes")
    return np.frombuffer(data, dtype=_number_type(dtype)).reshape(shape, order=order)


def _scalar(dtype, data):
    return _frombuffer(data, dtype, (), "C")[()]


_ADMITTED = {
    ("numpy", "ndarray"): _Ndarray,
    ("numpy", "dtype"): _DType,
    **{
        (f"numpy.{core}.{module}", name): stand_in
        for core in ("core", "_core")
        for module, name, stand_in in (
            ("multiarray", "_reconstruct", _reconstruct),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _frombuffer),
        )
    },
}


class _NumbersOnly(pickle.Unpickler):
    def find_class(self, module, name):
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}") from None

    def persistent_load(self, pid):
        raise pickle.UnpicklingError(f"it asks for an object kept elsewhere ({pid!r})")


def load_pickle(path):
    """Read a pickle of plain values and numeric numpy arrays; refuse every other.

    Numbers, texts, bytes, ``None``, lists, tuples, dicts and arrays of numbers are read. Nothing
    in the file is run: the few numpy names that arrays need are replaced by our own, which make
    arrays out of bytes and do nothing else, and any other name is refused before it is looked up.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    object

    Raises
    ------
    MedcalError
        For a file that asks for anything else, is damaged, or is larger than 2 GiB.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _MAX_PICKLE:
            raise MedcalError(f"{path}: is larger than 2 GiB; it is none of the files expected")
        with path.open("rb") as file:
            return _NumbersOnly(file).load()
    except pickle.UnpicklingError as error:
        raise MedcalError(
            f"{path}: is refused as a pickle: {error}; only plain values and arrays of numbers "
            "are read"
        ) from None
    except OSError as error:
        raise MedcalError(f"{path}: can't be read ({error.strerror})") from None
    except MedcalError:
        raise
    except Exception as error:
        # A damaged pickle raises nearly anything: EOFError, IndexError, KeyError, MemoryError …
        raise MedcalError(
            f"{path}: is damaged ({type(error).__name__}); delete it and fetch it again"
        ) from None


# --- downloading ---------------------------------------------------------------------------------

_CHUNK = 1 << 18
_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}


@dataclass(frozen=True)
class Remote:
    """A file to fetch: its path in our folder, its address, and what the source says of it."""

    path: str
    url: str
    sha256: str | None = None
    size: int | None = None


def _open(url, *, start=0, timeout=30.0):
    if urllib.parse.urlsplit(url).scheme not in {"http", "https"}:
        raise MedcalError(f"{url}: is no http or https address")
    request = urllib.request.Request(url, headers={"User-Agent": "medcal-nb"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    return urllib.request.urlopen(request, timeout=timeout)


def _try_again(attempt, error, attempts, sleep):
    """Wait before another attempt, or raise what a user can act on."""
    if isinstance(error, urllib.error.HTTPError):
        with error:
            code, stated = error.code, error.headers.get("Retry-After", "")
        if code not in _TRANSIENT:
            hint = {
                401: "it wants a log-in",
                403: "access is refused",
                404: "there is no such file",
            }
            raise MedcalError(f"{error.url}: HTTP {code}, {hint.get(code, 'it is not given')}")
        pause = min(60.0, float(stated)) if stated.isdigit() else 2.0**attempt
        reason = f"HTTP {code}"
    else:
        pause, reason = 2.0**attempt, str(getattr(error, "reason", error)) or type(error).__name__
    if attempt + 1 >= attempts:
        raise MedcalError(
            f"the download stopped after {attempts} tries ({reason}); run the same command again, "
            "it carries on where it was"
        ) from None
    sleep(pause)


_NETWORK = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError)


def download(url, target, *, progress=None, attempts=5, timeout=30.0, sleep=time.sleep):
    """Fetch one file, carrying on from ``TARGET.part`` if an earlier try left one.

    Parameters
    ----------
    url : str
        An http or https address.
    target : str or Path
        Where the whole file goes; it appears only when complete.
    progress : callable, optional
        ``progress(n)`` is told of every `n` bytes that arrive, negative where they are dropped.
    attempts : int, default 5
        Tries in a row without a byte of progress, with growing pauses; a server that names a
        pause is heard.
    timeout : float, default 30
        Seconds without an answer.
    sleep : callable
        ``time.sleep`` unless a test stands in.

    Returns
    -------
    str
        SHA-256 of the file, in hexadecimal.

    Raises
    ------
    MedcalError
        No such file, access refused, server or network down after all attempts, disk full.
    """
    target = Path(target)
    part = target.with_name(target.name + ".part")
    progress = progress or (lambda _: None)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        have = part.stat().st_size if part.exists() else 0
        progress(have)
        attempt = 0
        while True:
            before = have
            try:
                with _open(url, start=have, timeout=timeout) as reply:
                    have, complete = _receive(reply, part, have, progress)
                if complete:
                    break
                raise ConnectionError("the connection broke off")
            except urllib.error.HTTPError as error:
                if error.code == 416:  # the part is as long as the file, or longer: start over
                    error.close()
                    progress(-have)
                    part.unlink(missing_ok=True)
                    have = 0
                else:
                    _try_again(attempt, error, attempts, sleep)
            except _NETWORK as error:
                have = part.stat().st_size if part.exists() else 0
                attempt = 0 if have > before else attempt
                _try_again(attempt, error, attempts, sleep)
            attempt += 1
        digest = _sha256(part)
        os.replace(part, target)
        return digest
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise MedcalError(
                f"{target}: the disk is full; free some space and run the same command again, it "
                "carries on where it was"
            ) from None
        if isinstance(error, PermissionError | NotADirectoryError | FileExistsError):
            raise MedcalError(f"{target}: can't be written ({error.strerror})") from None
        raise


def _receive(reply, part, have, progress):
    """Append a reply to the part file; return (bytes now there, whether that is all)."""
    length = reply.headers.get("Content-Length")
    if have and reply.status != 206:  # the server sends the whole file again
        progress(-have)
        have = 0
    expected = have + int(length) if length is not None and length.isdigit() else None
    with part.open("ab" if have else "wb") as sink:
        while chunk := reply.read(_CHUNK):
            sink.write(chunk)
            have += len(chunk)
            progress(len(chunk))
    return have, expected is None or have >= expected


def _sha256(path):
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _get_json(url, *, attempts=4, timeout=30.0, sleep=time.sleep):
    for attempt in range(attempts):
        try:
            with _open(url, timeout=timeout) as reply:
                return json.loads(reply.read())
        except ValueError:
            raise MedcalError(f"{url}: answers with something else than JSON") from None
        except _NETWORK as error:
            _try_again(attempt, error, attempts, sleep)
    return None


def fetch(files: Iterable[Remote], folder, *, progress=True, again=False, sleep=time.sleep):
    """Fetch files into a folder and keep their hashes in its ``manifest.json``.

    A file that is there and has the hash of the manifest is left alone; one that has changed is an
    error, and so is one that comes with another hash than the source or the manifest states.

    Parameters
    ----------
    files : iterable of Remote
    folder : str or Path
    progress : bool, default True
        Show a bar on standard error.
    again : bool, default False
        Fetch anew what is there already.
    sleep : callable
        As in :func:`download`.

    Returns
    -------
    list of Path
        The files, in the order given.

    Raises
    ------
    MedcalError
    """
    from tqdm import tqdm

    files, folder = list(files), Path(folder)
    manifest_path = folder / "manifest.json"
    manifest = _read_manifest(manifest_path)
    paths = []
    total = sum(f.size for f in files) if all(f.size for f in files) else None
    with tqdm(total=total, unit="B", unit_scale=True, disable=not progress) as bar:
        for i, remote in enumerate(files, start=1):
            target = _inside(folder, remote.path)
            paths.append(target)
            bar.set_description(f"{i}/{len(files)} {remote.path}"[-48:])
            known = manifest.get(remote.path)
            if target.is_file() and known and not again:
                if _sha256(target) != known["sha256"]:
                    raise MedcalError(
                        f"{target}: differs from {manifest_path.name}; delete it, or use --again"
                    )
                bar.update(target.stat().st_size)
                continue
            _pointed(remote, target, bar.update, sleep)
            digest = _sha256(target)
            stated = remote.sha256 or (None if again or not known else known["sha256"])
            if stated and digest != stated:
                target.unlink()
                raise MedcalError(
                    f"{remote.url}: came with SHA-256 {digest[:16]}…, {stated[:16]}… was expected; "
                    "it was dropped, try again later"
                )
            manifest[remote.path] = {
                "url": remote.url,
                "sha256": digest,
                "bytes": target.stat().st_size,
            }
            _write_manifest(manifest_path, manifest)
    return paths


_POINTER = b"version https://git-lfs.github.com/spec/v1"


def _pointed(remote, target, progress, sleep):
    """Fetch a file; follow it where the source keeps a Git LFS pointer in its place."""
    download(remote.url, target, progress=progress, sleep=sleep)
    if target.stat().st_size > 1024 or not target.read_bytes().startswith(_POINTER):
        return
    fields = dict(line.split(" ", 1) for line in target.read_text().splitlines() if " " in line)
    target.unlink()
    where = urllib.parse.urlsplit(remote.url)
    if where.netloc == "raw.githubusercontent.com":
        where = where._replace(netloc="media.githubusercontent.com", path="/media" + where.path)
    else:
        where = where._replace(path="/media" + where.path)
    digest = download(urllib.parse.urlunsplit(where), target, progress=progress, sleep=sleep)
    if fields.get("oid", "").removeprefix("sha256:") not in {"", digest}:
        target.unlink()
        raise MedcalError(f"{remote.url}: the large file behind it does not have the stated hash")


def _inside(folder, path):
    parts = PurePosixPath(path).parts
    if not parts or ".." in parts or PurePosixPath(path).is_absolute() or "\\" in path:
        raise MedcalError(f"{path!r} is no path inside {folder}")
    return folder.joinpath(*parts)


def _read_manifest(path):
    if not path.exists():
        return {}
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if all(isinstance(v["sha256"], str) for v in manifest.values()):
            return manifest
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise MedcalError(f"{path}: is no manifest of fetched files; delete it to start over")


def _write_manifest(path, manifest):
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(dict(sorted(manifest.items())), indent=1) + "\n", encoding="utf-8")
    os.replace(part, path)


# --- recorded option logits of 26 vision-language models -----------------------------------------

BENCH = "vlm-uncertainty-bench"
_BENCH_REPO = "EnSec-AI/VLM-Uncertainty-Bench"
_BENCH_COMMIT = "24c9226f3a67c46faee66d80f22d44ad8dc5a912"

#: Models of Kostumov et al. 2024 (arXiv:2402.14418) with recorded logits.
MODELS = (
    "MoE-LLaVA-Phi2-2.7B-4e", "MoE-LLaVA-Qwen-1.8B-4e", "MoE-LLaVA-StableLM-1.6B-4e",
    "MobileVLM-1.7B", "MobileVLM-3B", "MobileVLM_V2-1.7B", "MobileVLM_V2-3B", "MobileVLM_V2-7B",
    "Monkey", "Monkey-Chat", "Qwen-VL", "Qwen-VL-Chat", "Yi-VL-34B", "Yi-VL-6B",
    "cogagent-vqa-hf", "cogvlm-chat-hf", "cogvlm-grounding-generalist-hf",
    "internlm-xcomposer2-7b", "internlm-xcomposer2-vl-7b", "llava-v1.5-13b", "llava-v1.5-7b",
    "llava-v1.6-34b", "llava-v1.6-mistral-7b", "llava-v1.6-vicuna-13b", "llava-v1.6-vicuna-7b",
    "mplug-owl2-llama2-7b",
)  # fmt: skip

#: Its benchmarks; all general.
DATASETS = ("mmbench", "oodcv", "scienceqa", "seedbench", "ai2d")

LETTERS = "ABCDEF"


def _chosen(asked, known, what):
    if not asked:
        return list(known)
    unknown = [name for name in asked if name not in known]
    if unknown:
        raise MedcalError(f"{what} {unknown[0]!r} is not known; known: {', '.join(known)}")
    return [name for name in known if name in asked]


def bench_files(*, models=None, datasets=None, mirror=None) -> list[Remote]:
    """List the recorded logits to fetch, one file per model and benchmark.

    Parameters
    ----------
    models, datasets : sequence of str, optional
        Some of :data:`MODELS` and :data:`DATASETS`; all if left out.
    mirror : str, optional
        An address that serves the repository's ``output`` folder, instead of GitHub.

    Returns
    -------
    list of Remote
    """
    base = (mirror or f"https://raw.githubusercontent.com/{_BENCH_REPO}/{_BENCH_COMMIT}").rstrip(
        "/"
    )
    return [
        Remote(f"{model}/{dataset}.pkl", f"{base}/output/{urllib.parse.quote(model)}/{dataset}.pkl")
        for model in _chosen(models, MODELS, "model")
        for dataset in _chosen(datasets, DATASETS, "benchmark")
    ]


def bench_rows(path) -> pd.DataFrame:
    """Read one file of recorded logits as a table.

    Parameters
    ----------
    path : str or Path
        ``MODEL/DATASET.pkl``: a list of dicts with ``id``, ``question``, the options ``A`` to
        ``D``, ``answer`` (a letter), ``category`` or ``situation``, and ``logits``, an array over
        A to F; E stands for "I don't know", F for "none of these".

    Returns
    -------
    pandas.DataFrame
        model, dataset, item_id, image_id, category, question, gold and logit_A … logit_F.

    Raises
    ------
    MedcalError
        Where the file is refused or its rows are not of this form: file, row, field.
    """
    import pandas as pd

    path = Path(path)
    records = load_pickle(path)
    if not isinstance(records, list) or not all(isinstance(r, dict) for r in records):
        raise MedcalError(f"{path}: holds no list of rows")
    rows: list[dict[str, Any]] = []
    for i, record in enumerate(records, start=1):
        for name in ("id", "answer", "logits"):
            if record.get(name) is None:
                raise MedcalError(f"{path}: row {i}: no {name!r}")
        logits = np.asarray(record["logits"], dtype=np.float64).ravel()
        if logits.shape != (len(LETTERS),) or not np.isfinite(logits).all():
            raise MedcalError(f"{path}: row {i}: 'logits' are not {len(LETTERS)} finite numbers")
        gold = str(record["answer"]).strip().upper()
        if gold not in LETTERS or len(gold) != 1:
            raise MedcalError(f"{path}: row {i}: 'answer' {gold!r} is no letter from A to F")
        image = record.get("image_path")
        rows.append(
            {
                "model": path.parent.name,
                "dataset": path.stem,
                "item_id": str(record["id"]),
                "image_id": Path(str(image)).name if image else str(record["id"]),
                "category": _word(record.get("category") or record.get("situation")),
                "question": _word(record.get("question")),
                "gold": gold,
                **{f"logit_{letter}": x for letter, x in zip(LETTERS, logits, strict=True)},
            }
        )
    return pd.DataFrame(rows)


def _word(value):
    return None if value is None else str(value)


def import_bench(paths, log, *, progress=True):
    """Write recorded logits to a log of answers; safe to repeat.

    The answer is the letter with the largest logit, the option probabilities are the softmax over
    the six, the confidence is the largest of them; strategy ``option_probability``.

    Parameters
    ----------
    paths : iterable of Path
        Files as of :func:`bench_rows`.
    log : str or Path
        A SQLite log, made if it is not there.
    progress : bool, default True

    Returns
    -------
    int
        Answers that are new in the log.
    """
    from tqdm import tqdm

    from .imports import ColumnMap, import_table

    columns = ColumnMap(
        domain="general",
        model="model",
        item="item_id",
        image="image_id",
        gold="gold",
        strategy="option_probability",
        logits=tuple(f"logit_{letter}" for letter in LETTERS),
    )
    written = 0
    for path in tqdm(list(paths), desc="reading", unit="file", disable=not progress):
        frame = bench_rows(path)
        frame["question_type"] = "choice"
        written += import_table(path, log, columns, frames=[frame]).written
    return written


# --- public items --------------------------------------------------------------------------------


def hub_files(name, *, revision=None, mirror=None, sleep=time.sleep) -> list[Remote]:
    """List the files of a public set on the Hugging Face hub, with the hashes the hub states.

    Parameters
    ----------
    name : str
        A name of :data:`medcal_nb.hub.HUB_SETS`.
    revision : str, optional
        Branch, tag or commit; ``main`` if left out.
    mirror : str, optional
        An address that answers as huggingface.co does.

    Returns
    -------
    list of Remote
    """
    from .hub import HUB_SETS

    hub_set = HUB_SETS[name]
    base = (mirror or os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
    at = urllib.parse.quote(revision or "main", safe="")
    tree = _get_json(f"{base}/api/datasets/{hub_set.repo}/tree/{at}?recursive=true", sleep=sleep)
    found = []
    for entry in tree if isinstance(tree, list) else []:
        path = str(entry.get("path", ""))
        if entry.get("type") == "file" and any(fnmatch(path, p) for p in hub_set.patterns):
            found.append(
                Remote(
                    path,
                    f"{base}/datasets/{hub_set.repo}/resolve/{at}/{urllib.parse.quote(path)}",
                    (entry.get("lfs") or {}).get("oid"),
                    entry.get("size"),
                )
            )
    if not found:
        raise MedcalError(
            f"{base}/datasets/{hub_set.repo}: holds none of {', '.join(hub_set.patterns)} at "
            f"{revision or 'main'}"
        )
    return found


def _hub_sets() -> list[str]:
    from .hub import HUB_SETS

    return [name for name, hub_set in HUB_SETS.items() if not hub_set.streamed]


#: What ``medcal fetch`` knows, with a line about each.
SOURCES: dict[str, Callable[[], str]] = {
    BENCH: lambda: (
        f"recorded option logits of {len(MODELS)} vision-language models on {len(DATASETS)} "
        "general benchmarks (MIT)"
    ),
    **{name: (lambda name=name: f"items of {name}") for name in _hub_sets()},
}
