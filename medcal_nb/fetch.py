"""Bring answers that real models gave, recorded and published by others, onto this machine.

Files come from a pinned commit over HTTP, one at a time: what is there and fits its SHA-256 stays,
so that an interrupted run goes on where it was. They become an answers log, all of it or nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from medcal_nb.errors import MedcalError
from medcal_nb.pickles import LETTERS, read_rows

if TYPE_CHECKING:
    import pandas as pd

_GITHUB = "https://raw.githubusercontent.com"
# five multimodal LLMs on medical and general images, seven kinds of confidence; option logits of
# 26 vision-language models on general images (both MIT): where their files lie
SOURCES = {
    "vlcb": f"{_GITHUB}/Ledengary/BICR/4fa15a8e9e12f6d57c24187721397cd3cfd3c1f2/",
    "vlm-uncertainty-bench": f"{_GITHUB}/EnSec-AI/VLM-Uncertainty-Bench"
    "/24c9226f3a67c46faee66d80f22d44ad8dc5a912/",
}
_REGISTRIES = (
    Path(__file__).parent / "registries"
)  # lines: file, and its SHA-256 where stated
# Each method of VLCB: its strategy here, and the labels it was published with.
_METHODS = {
    "PTRUE": ("p_true", "correct"),
    "SELF_PROBING": ("verbalized", "correct"),
    "PIK": ("probe_pik", "correct_first_labels"),
    "SAPLMA": ("probe_saplma", "correct_first_labels"),
    "II": ("probe_internalinspector", "correct_first_labels"),
    "CCPS": ("probe_ccps", "correct_first_labels"),
    "BICR": ("probe_bicr", "correct"),
}
_LOGITS = [f"logit_{letter}" for letter in LETTERS]
_LARGEST = 1 << 30


def fetch_answers(source, log, folder, *, models=()):
    """Fetch recorded answers and write them to a log; safe to repeat.

    Parameters
    ----------
    source : str
        A name of ``SOURCES``.
    log : path
        An answers log, made where it is not there.
    folder : path
        Where the files go; those that are there are not fetched.
    models : sequence of str
        Some of the models; all if empty.

    Returns
    -------
    medcal_nb.logs.Imported
        Rows read, rows new in the log, notes.

    Raises
    ------
    MedcalError
        In one line: unknown name, no connection, another file than the published one, a value
        outside 0 to 1. Nothing is imported then.
    """
    from tqdm import tqdm

    from medcal_nb.answers.files import block_of
    from medcal_nb.logs import ColumnMap, Imported, import_blocks

    lines = (_REGISTRIES / f"{source}.txt").read_text(encoding="utf-8").splitlines()
    pairs = [(*line.split(), None)[:2] for line in lines if not line.startswith("#")]
    known = list(dict.fromkeys(_model_of(path) for path, _ in pairs))
    if unknown := [name for name in models if name not in known]:
        raise MedcalError(
            f"model {unknown[0]!r} is not known; known: {', '.join(known)}"
        )
    registry = {
        path: sha for path, sha in pairs if _model_of(path) in (models or known)
    }
    folder = Path(folder)
    _download(registry, folder, SOURCES[source])
    if source == "vlcb":
        frames = _vlcb(folder, registry)
        columns = ColumnMap(allow_missing=True)
    else:
        frames = _bench(folder, registry)
        columns = ColumnMap(
            {"domain": "general", "strategy": "option_probability"}, _LOGITS
        )
    blocks = map(block_of, tqdm(frames, desc="reading", unit="table", disable=None))
    return import_blocks(blocks, log, columns, folder, Imported())


def _model_of(path):
    return path.split("/")[-2 if path.endswith(".pkl") else 3]


def _download(registry, folder, base):
    """Fetch the files of a registry (path → SHA-256, or None where nobody states one)."""
    import pooch
    from tqdm import tqdm

    pooch.get_logger().setLevel("ERROR")
    store = pooch.create(folder, base, registry=registry, retry_if_failed=2)
    for name in (bar := tqdm(registry, desc="fetching", unit="file", disable=None)):
        bar.set_postfix_str(_model_of(name))
        path = folder / name
        url = store.get_url(name)
        if path.is_file():
            if not pooch.hashes.hash_matches(path, registry[name]):
                told = "is another file than the published one (SHA-256)"
                raise MedcalError(f"{path}: {told}; move it away to fetch it anew")
            continue
        try:
            store.fetch(name, downloader=_get)
        except (
            OSError,
            ValueError,
        ) as error:  # what requests raises is one, or another SHA-256
            why = " ".join(str(error).split())[:200]
            told = f"did not come ({why}); run the same command again, it goes on where it was"
            raise MedcalError(f"{url}: {told}") from None


def _get(url, target, _):
    """One file by HTTP, for pooch: no redirect is followed, no reply read without end."""
    import requests

    plain = {"Accept-Encoding": "identity"}
    with requests.get(
        url, headers=plain, stream=True, timeout=30, allow_redirects=False
    ) as reply:
        if reply.status_code != 200:
            raise requests.HTTPError(f"HTTP {reply.status_code}: no file")
        with open(target, "wb") as sink:
            for block in reply.iter_content(1 << 18):
                sink.write(block)
                if sink.tell() > _LARGEST:
                    raise MedcalError(f"{url}: is larger than any file expected here")


def _vlcb(folder: Path, registry) -> Iterator[pd.DataFrame]:
    """A table a model; no answer names its image."""
    import pandas as pd

    for model in dict.fromkeys(map(_model_of, registry)):
        paths = [path for path in registry if _model_of(path) == model]
        table = pd.concat(
            [_labels(folder / path, path.split("/")[2]) for path in paths]
        )
        every = [table["strategy"].unique(), table["item_id"].unique()]
        every = pd.MultiIndex.from_product(every, names=["strategy", "item_id"])
        table = table.set_index(every.names).reindex(every).reset_index()
        table["labels"] = table["strategy"].map(dict(_METHODS.values()))
        # What one file leaves out is told by the others: a data set, a label of the same kind.
        told_by = {
            "dataset": "item_id",
            "domain": "item_id",
            "correct": ["item_id", "labels"],
        }
        for column, alike in told_by.items():
            told = table.groupby(alike)[column].transform("first")
            table[column] = table[column].fillna(told)
        yield table.assign(model=model)


def _labels(path: Path, method: str) -> pd.DataFrame:
    import pandas as pd

    from medcal_nb.logs import readers
    from medcal_nb.logs.source import Source

    source = Source(path)
    with source.told():
        table = pd.DataFrame(readers()["vlcb"].read(source))
    return table.assign(strategy=_METHODS[method][0])


def _bench(folder: Path, registry) -> Iterator[pd.DataFrame]:
    """A table a model and data set, with the logits of its options."""
    import pandas as pd

    for name in registry:
        table = pd.DataFrame(read_rows(folder / name))
        images = table["image_path"].map(
            lambda image: Path(image).name, na_action="ignore"
        )
        yield pd.DataFrame(table["logits"].tolist(), columns=_LOGITS).assign(
            model=_model_of(name),
            dataset=Path(name).stem,
            item_id=table["id"],
            image_id=images.fillna(table["id"]),
            category=table["category"].fillna(table["situation"]),
            gold=table["answer"],
            question_type="choice",
        )
