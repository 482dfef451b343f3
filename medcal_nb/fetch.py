"""Bring answers that real models gave, recorded and published by others, onto this machine.

Files come from a pinned commit over HTTP, one at a time: what is there and fits its SHA-256 stays,
so that an interrupted run goes on where it was. They become an answers log, all of it or nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
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
_REGISTRIES = Path(__file__).parent / "registries"  # lines: file, and its SHA-256 where stated
# Each method: its strategy here, its column of a prepared table, the labels it was published with.
_VLCB_METHODS = {
    "PTRUE": ("p_true", "ptrue", "correct"),
    "SELF_PROBING": ("verbalized", "self_probing", "correct"),
    "PIK": ("probe_pik", "pik", "correct_first_labels"),
    "SAPLMA": ("probe_saplma", "saplma", "correct_first_labels"),
    "II": ("probe_internalinspector", "internalinspector", "correct_first_labels"),
    "CCPS": ("probe_ccps", "ccps", "correct_first_labels"),
    "BICR": ("probe_bicr", "bicr_seed42", "correct"),
}
_VLCB_DOMAINS = {"GMAI-MMBench": "medical", "GQA": "general", "POPE": "general"}
_LOGITS = [f"logit_{letter}" for letter in LETTERS]
_LARGEST = 1 << 30
_ANEW = "move it away to fetch it anew"


def fetch_answers(source, log, folder, *, models=(), given=None):
    """Fetch recorded answers and write them to a log; safe to repeat.

    Parameters
    ----------
    source : str
        A name of ``SOURCES``.
    log : path
        An answers log, made where it is not there.
    folder : path
        Where the files go.
    models : sequence of str
        Some of the models; all if empty.
    given : path, optional
        A folder that holds the files, or tables prepared from them (``MODEL.parquet`` and
        ``items.parquet``; ``DATASET.parquet`` with columns logit_A … logit_F): nothing is fetched.

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

    from medcal_nb.logs import ColumnMap, import_frames

    root = Path(folder if given is None else given)
    prepared, vlcb = given is not None and any(root.glob("*.parquet")), source == "vlcb"
    lines = (_REGISTRIES / f"{source}.txt").read_text(encoding="utf-8").splitlines()
    pairs = [(*line.split(), None)[:2] for line in lines if not line.startswith("#")]
    known = list(dict.fromkeys(_model_of(path) for path, _ in pairs))
    if unknown := [name for name in models if name not in known]:
        raise MedcalError(f"model {unknown[0]!r} is not known; known: {', '.join(known)}")
    chosen = models or known
    registry = {path: sha for path, sha in pairs if _model_of(path) in chosen}
    if prepared:
        frames = (_vlcb_prepared if vlcb else _bench_prepared)(root, chosen)
    else:
        if given is None:
            _download(registry, root, SOURCES[source])
        for name, sha in registry.items():
            _check(root / name, sha)
        frames = (_vlcb_published if vlcb else _bench_published)(root, registry)
    columns = ColumnMap({"domain": "general", "strategy": "option_probability"}, _LOGITS)
    columns = ColumnMap(allow_missing=True) if vlcb else columns
    frames = tqdm(frames, desc="reading", unit="table", disable=None)
    return import_frames(frames, log, columns, where=root)


def _model_of(path):
    return path.split("/")[-2 if path.endswith(".pkl") else 3]


# --- downloading ---------------------------------------------------------------------------------


def _download(registry, folder, base):
    """Fetch the files of a registry (path → SHA-256, or None where nobody states one)."""
    import pooch
    from tqdm import tqdm

    pooch.get_logger().setLevel("ERROR")
    store = pooch.create(folder, base, registry=registry, retry_if_failed=2)
    for name in (bar := tqdm(registry, desc="fetching", unit="file", disable=None)):
        bar.set_postfix_str(_model_of(name))
        if (folder / name).exists():  # is checked before it is read
            continue
        try:
            store.fetch(name, downloader=_get)
        except OSError as error:  # what requests raises is one, too
            why = " ".join(str(error).split())[:200]
            told = f"did not come ({why}); run the same command again, it goes on where it was"
            raise MedcalError(f"{store.get_url(name)}: {told}") from None
        except ValueError:
            told = "came with another SHA-256 than the published file and was dropped"
            raise MedcalError(f"{store.get_url(name)}: {told}; try again later") from None


def _get(url, target, _):
    """One file by HTTP, for pooch: no redirect is followed, no reply read without end."""
    import requests

    plain = {"Accept-Encoding": "identity"}
    with requests.get(url, headers=plain, stream=True, timeout=30, allow_redirects=False) as reply:
        if reply.status_code != 200:
            raise requests.HTTPError(f"HTTP {reply.status_code}: no file")
        with open(target, "wb") as sink:
            for block in reply.iter_content(1 << 18):
                sink.write(block)
                if sink.tell() > _LARGEST:
                    raise MedcalError(f"{url}: is larger than any file expected here")


def _check(path, sha):
    from medcal_nb.files import file_hash

    if not path.is_file():
        raise MedcalError(f"{path}: is not there; leave out --from to fetch it")
    if sha and file_hash(path) != sha:
        raise MedcalError(f"{path}: is another file than the published one (SHA-256); {_ANEW}")


# --- VLCB: five models, seven kinds of confidence ------------------------------------------------


def _vlcb_published(folder: Path, registry) -> Iterator[pd.DataFrame]:
    import pandas as pd

    for model in dict.fromkeys(map(_model_of, registry)):
        paths = {path.split("/")[2]: path for path in registry if _model_of(path) == model}
        tables = {m: _vlcb_labels(folder / paths[m], m) for m in _VLCB_METHODS}
        every = pd.concat(tables.values()).drop_duplicates("item_id")["item_id"]
        # What one file leaves out is told by the others: a data set, a label of the same kind.
        dataset = _known_of(tables.values(), "dataset", every)
        for method, (_, _, labels) in _VLCB_METHODS.items():
            alike = [tables[m] for m, told in _VLCB_METHODS.items() if told[2] == labels]
            table = tables[method].set_index("item_id").reindex(every).reset_index()
            table["correct"] = _known_of([tables[method], *alike], "correct", every)
            yield _vlcb_rows(model, method, table, dataset)


def _known_of(tables, column, items):
    import pandas as pd

    told = pd.concat([t[["item_id", column]] for t in tables if column in t]).dropna()
    return items.map(told.drop_duplicates("item_id").set_index("item_id")[column]).to_numpy()


def _vlcb_labels(path: Path, method: str) -> pd.DataFrame:
    import pandas as pd

    from medcal_nb.answers.columns import COLUMNS, check_column
    from medcal_nb.answers.files import read_json

    entries = read_json(path)
    table = pd.DataFrame(entries if isinstance(entries, list) else [])
    given = {}
    for ours, theirs in (
        ("item_id", "sample_id"),
        ("confidence", "confidence_score"),
        ("correct", "ground_truth_correctness"),
    ):
        if theirs not in table:
            raise MedcalError(f"{path}: its entries have no {theirs!r}: not a file of labels")
        column = replace(COLUMNS[ours], name=theirs, remedy=_ANEW)
        given[ours] = check_column(table[theirs].tolist(), column, path)
    given |= {"item_id": table.get("hash_id", table["sample_id"]), "raw": table.get("raw_response")}
    if method == "PTRUE":
        given |= {"no": table["logit_a"], "yes": table["logit_b"]}
    given |= {"dataset": table["dataset"]} if "dataset" in table else {}
    return pd.DataFrame(given)


def _vlcb_prepared(folder: Path, models) -> Iterator[pd.DataFrame]:
    import pandas as pd

    items = pd.read_parquet(folder / "items.parquet").set_index("item")
    names = items["hash_id"].map(lambda name: name.hex() if isinstance(name, bytes) else name)
    for path in sorted(folder.glob("*.parquet")):
        if (model := path.stem) not in models:
            continue
        whole = pd.read_parquet(path)
        for method, (_, column, labels) in _VLCB_METHODS.items():
            table = pd.DataFrame({"item_id": whole["item"].map(names), "raw": None})
            # A stated 0.8 that was stored in 32 bits is 0.8 again, not 0.800000012.
            table["confidence"] = whole[column].astype(str).astype(float)
            table["correct"] = whole[labels]
            if method == "PTRUE":
                table["no"], table["yes"] = whole["ptrue_logit_no"], whole["ptrue_logit_yes"]
            dataset = whole["item"].map(items["dataset"].astype(str)).to_numpy()
            yield _vlcb_rows(model, method, table, dataset)


def _vlcb_rows(model, method, table, dataset) -> pd.DataFrame:
    """Answers with our columns; without an image id, so that intervals are by answer."""
    import numpy as np

    strategy, _, labels = _VLCB_METHODS[method]
    rows = table[["item_id", "confidence", "correct", "raw"]].reset_index(drop=True)
    rows = rows.assign(model=model, dataset=dataset, strategy=strategy, labels=labels)
    rows["domain"] = rows["dataset"].map(_VLCB_DOMAINS).fillna("other")
    if method == "PTRUE":
        yes = 1 / (1 + np.exp(table["no"].to_numpy(float) - table["yes"].to_numpy(float)))
        both = [None if p != p else {"yes": p, "no": 1 - p} for p in yes.tolist()]
        rows["option_probabilities"] = both
    return rows


# --- VLM-Uncertainty-Bench: option logits --------------------------------------------------------


def _bench_published(folder: Path, registry) -> Iterator[pd.DataFrame]:
    import pandas as pd

    for name in registry:
        path = folder / name
        table = pd.DataFrame(read_rows(path))
        images = table["image_path"].map(lambda image: Path(image).name, na_action="ignore")
        table[_LOGITS] = table.pop("logits").tolist()
        yield table[_LOGITS].assign(
            model=_model_of(name),
            dataset=path.stem,
            item_id=table["id"],
            image_id=images.fillna(table["id"]),
            category=table["category"].fillna(table["situation"]),
            gold=table["answer"].str.strip().str.upper(),
            question_type="choice",
        )


def _bench_prepared(folder: Path, models) -> Iterator[pd.DataFrame]:
    import pandas as pd

    for path in sorted(folder.glob("*.parquet")):
        table = pd.read_parquet(path)
        table = table[table["model"].isin(models)].reset_index(drop=True)
        table["dataset"], table["image_id"] = path.stem, table["item_id"].astype(str)
        yield table.assign(question_type="choice")
