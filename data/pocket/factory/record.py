"""Store the items, and what pocket models answer to fresh ones, as Parquet with their hashes.

Fresh items are drawn in batches of 2,000 by seeds 0, 1, …; answers go through a log of
``build/fresh``, so that a recording which was stopped goes on where it was.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd

from medcal_nb.datasets.pocket import MANIFEST, pocket_dir
from medcal_nb.errors import MedcalError
from medcal_nb.files import file_hash

from .questions import DATASETS, SPLIT_ITEMS, fresh_items, split_items

HOME = Path(__file__).resolve().parents[1]
WORK = HOME.parents[1] / "build" / "fresh"
N_FRESH = {"pocketvqa-medical": 20_000, "pocketvqa-general": 5_000}
MODELS = ("pocket-general", "pocket-medical")
STRATEGIES = ("verbalized", "option_probability")
BATCH = 2000
QUIZ_SEED = (
    3  # the first batch in whose twenty both models put a number on every answer
)


def store_items(home=HOME):
    """Draw both data sets and the quiz anew and write ``items/NAME.parquet``; return the paths."""
    folder, drawn = Path(home) / "items", {"quiz": quiz_items()}
    for name in DATASETS:
        drawn[name] = pd.concat(
            [split_items(name, split) for split in SPLIT_ITEMS[name]]
        )
    paths = [
        _write(items.reset_index(drop=True), folder / f"{name}.parquet")
        for name, items in drawn.items()
    ]
    enter_in_manifest(folder)
    return paths


def quiz_items(n=20):
    """Draw the fresh medical items of the lesson's quiz; what models answer to them is recorded.

    The first that have options and do not ask for the kind of image, going round the modalities,
    each about an image of its own.
    """
    items = fresh_items("pocketvqa-medical", BATCH, seed=QUIZ_SEED)
    asked = items[items["options"].notna() & ~items["trivial"]].drop_duplicates(
        "image_id"
    )
    turn = asked.groupby("modality").cumcount().sort_values(kind="stable").index[:n]
    return asked.loc[turn].reset_index(drop=True)


def content_hash(items):
    """Return the SHA-256 of what items say and show, whatever their data set is called."""
    digest = hashlib.sha256()
    for row in items.drop(columns="dataset").to_dict("records"):
        image = row.pop("image")
        digest.update(json.dumps(row, sort_keys=True).encode())
        digest.update(image)
    return digest.hexdigest()


def draw_fresh(dataset, n):
    """Yield fresh items, a batch at a time: batch b is drawn by seed b."""
    for seed, start in enumerate(range(0, n, BATCH)):
        yield fresh_items(dataset, min(BATCH, n - start), seed=seed)


def record(
    dataset,
    model,
    strategies=STRATEGIES,
    n=None,
    *,
    home=HOME,
    work=WORK,
    progress=True,
):
    """Ask a pocket model about fresh items and write ``fresh/DATASET--MODEL.parquet``.

    Parameters
    ----------
    dataset, model : str
    strategies : list of str
        Those that are recorded already and not named here stay as they are.
    n : int, optional
        Number of items, `N_FRESH` by default.
    work : path
        Folder of the log; a log belongs to the weights that it was asked of.

    Returns
    -------
    Path

    Raises
    ------
    MedcalError
        If the model can't be asked one of the strategies.
    """
    from medcal_nb.answers import AnswerLog
    from medcal_nb.answers.samples import one_answer_an_item
    from medcal_nb.ask.models import resolve_model
    from medcal_nb.ask.run import ask
    from medcal_nb.ask.strategies import choose_strategies

    weights = file_hash(next(pocket_dir(model).glob("*.safetensors")))
    Path(work).mkdir(parents=True, exist_ok=True)
    numbers, parts = {}, []
    backend = resolve_model(model)
    for how in choose_strategies(strategies):
        if why := how.skips(backend):
            raise MedcalError(f"{model} can't be asked {how.name}: {why}")
    with AnswerLog(Path(work) / f"{dataset}--{model}--{weights[:12]}.sqlite") as log:
        for items in draw_fresh(dataset, n or N_FRESH[dataset]):
            # numbered going round the modalities, so that the first n hold them in equal parts
            turn = items.groupby("modality").cumcount().sort_values(kind="stable").index
            start = len(numbers)
            numbers |= {one: start + i for i, one in enumerate(items["item_id"][turn])}
            for (
                strategy
            ) in strategies:  # one at a time, so that no strategy changes another
                ask(backend, items, [strategy], log=log, progress=progress)
        answers = log.read()
    answers = answers[answers["strategy"].isin(strategies)]
    answers = answers[answers["item_id"].isin(numbers)]
    called = answers[answers["strategy"] == "option_probability"].set_index("item_id")
    graded = one_answer_an_item(answers, "the log").drop(columns="seconds")
    graded["number"] = graded["item_id"].map(numbers).astype(np.int32)
    graded["option_probabilities"] = [
        [*called.at[item, "option_probabilities"].items()]
        if item in called.index
        else None
        for item in graded["item_id"].where(graded["strategy"] == "option_probability")
    ]
    parts.append(graded)
    path = Path(home) / "fresh" / f"{dataset}--{model}.parquet"
    if path.exists():
        before = pd.read_parquet(path)
        parts.append(before[~before["strategy"].isin(strategies)])
    table = pd.concat(parts, ignore_index=True)
    table["batch"] = table["number"] // BATCH
    table = table.sort_values(["batch", "item_id", "strategy"]).drop(columns="batch")
    _write(table.reset_index(drop=True), path)
    enter_in_manifest(path.parent)
    return path


def enter_in_manifest(folder):
    """Enter the files of a freshly written folder in the manifest beside it."""
    folder = Path(folder)
    path = folder.parent / MANIFEST
    manifest = json.loads(path.read_text()) if path.exists() else {}
    files = sorted(file for file in folder.iterdir() if file.is_file())
    manifest[folder.name] = {file.name: file_hash(file) for file in files}
    path.write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")


def _write(table, path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    from medcal_nb.files import new_file

    path.parent.mkdir(parents=True, exist_ok=True)
    plain = table.drop(columns="option_probabilities", errors="ignore")
    made = pa.Table.from_pandas(plain, preserve_index=False)
    if "option_probabilities" in table:
        kind = pa.map_(pa.string(), pa.float64())
        made = made.append_column(
            "option_probabilities",
            pa.array(table["option_probabilities"].tolist(), kind),
        )
    with new_file(path, force=True) as part:
        pq.write_table(made, part, compression="zstd", compression_level=19)
    return path
