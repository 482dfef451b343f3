"""Names for the items of VLCB: which image, kind of question and subject each of them is of.

VLCB names an item by a hash of its data set, category, question, answer and image key. Computed
over question lists that are public, the same hash says which question an item is. Lists are looked
for below a folder, each where its source has it:

- POPE (AoiDragon/POPE): ``output/coco/coco_pope_SETTING.json``
- MMMU-Pro (MMMU-Benchmark/MMMU): ``mmmu-pro/output/gpt-4o_standard(10 options)_direct.jsonl``
- GQA (its own download): ``testdev_balanced_questions.json``
- GMAI-MMBench (its own download): ``GMAI_mm_bench_VAL.tsv``

Lists that are not there leave the names of their items as they are.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from medcal_nb.datasets.vlcb import (
    DIGITS,
    cell_id,
    gmai_hash,
    mmmu_category,
    vlcb_hash,
)

SHIPPED = Path(__file__).parents[1] / "vlcb_items.parquet"
NAMES = [
    "image_id",
    "question_id",
    "question_type",
    "gqa_type",
    "pope_setting",
    "subject",
    "difficulty",
    "image_kind",
    "image_kinds",
    "n_images",
]
# MMMU's kinds of image, the most specific first: the first that a question has is its image_kind
KINDS = {
    "Body Scans: MRI, CT scans, and X-rays": "body scan (CT, MRI, X-ray)",
    "Pathological Images": "pathology",
    "Microscopic Images": "microscopy",
    "Medical Images": "other medical image",
    "Tables": "table",
    "Plots and Charts": "plot",
    "Chemical Structures": "chemical structure",
    "Diagrams": "diagram",
    "Photographs": "photograph",
}
_DATASETS = {
    "MMMU_Pro_10": "MMMU-Pro (10 options)",
    "MMMU_Pro_4": "MMMU-Pro (4 options)",
}
_OTHER = ("MME-Finance", "LLaVA-Wild")
_MEDICAL = (
    "Basic Medical Science",
    "Clinical Medicine",
    "Diagnostics and Laboratory Medicine",
    "Pharmacy",
    "Public Health",
)
_YES_NO = r"exist|verify|.*Verify|two(Same|Different)|same(Animals|Gender)|diff"


def read(folder: Path) -> pd.DataFrame:
    """Return the table of items, with the names that the lists below a folder give them."""
    items = pd.read_parquet(SHIPPED)
    rows = [row for listed in LISTS for row in listed(folder)]
    return named(items, pd.DataFrame(rows, columns=["hash", *NAMES]))


def named(items: pd.DataFrame, names: pd.DataFrame) -> pd.DataFrame:
    """Return items with names from a list, where the list has their hash.

    Parameters
    ----------
    items : DataFrame
        ``item``, ``hash`` (its first digits), ``dataset`` and `NAMES`.
    names : DataFrame
        ``hash`` (whole) and `NAMES`, a row a question.
    """
    names = names.assign(hash=names["hash"].str[:DIGITS])
    of_hash = names[names["hash"].isin(items["hash"])].groupby("hash")[NAMES]
    # questions of the same words share a hash: what they differ in is not known
    agreed = of_hash.first().where(of_hash.nunique() == 1)
    by_hash = items.set_index("hash")
    for column in NAMES:
        new = agreed[column].reindex(by_hash.index)
        by_hash[column] = new.fillna(by_hash[column])
    return finish(by_hash.reset_index())


def finish(items: pd.DataFrame) -> pd.DataFrame:
    """Return the table in its order, with what follows from names.

    ``domain`` is medical for GMAI-MMBench and the medical subjects of MMMU-Pro; ``image_set`` says
    which data sets share their images; a question without a name of its own is called by its item.
    """
    items = items.sort_values("item", ignore_index=True)
    dataset = items["dataset"].astype(str).replace(_DATASETS)
    is_medical = dataset.eq("GMAI-MMBench") | items["subject"].isin(_MEDICAL)
    domain = np.where(is_medical, "medical", "general")
    items["domain"] = np.where(dataset.isin(_OTHER), "other", domain)
    items["dataset"] = dataset
    items["image_set"] = dataset.str.replace(r" \(.*", "", regex=True)
    items["question_id"] = items["question_id"].fillna(items["item"].astype(str))
    texts = ["hash", "dataset", "domain", "image_set", *NAMES[:-1]]
    types = dict.fromkeys(texts, "str") | {"item": "int32", "n_images": "Int8"}
    return items[["item", *texts, "n_images"]].astype(types)


# --- the lists -------------------------------------------------------------------------------


def pope(folder: Path) -> Iterator[dict]:
    """Yield POPE's questions, each with the misspelling that the hub's copy has in some."""
    for path in sorted(folder.glob("output/coco/coco_pope_*.json")):
        setting = path.stem.removeprefix("coco_pope_")
        for record in _records(path):
            image = record["image"].removesuffix(".jpg")
            thing = re.sub(r"^Is there (an? )?| in the image\?$", "", record["text"])
            for spelled in ("image", "imange"):
                question = record["text"].replace("image", spelled)
                # another wording is another question
                ending = "" if spelled == "image" else f"/{spelled}"
                yield {
                    "hash": vlcb_hash(
                        "POPE", setting, question, record["label"], image
                    ),
                    "image_id": image,
                    "question_id": f"{image}/{thing}{ending}",
                    "question_type": "closed",
                    "pope_setting": setting,
                }


def mmmu_pro(folder: Path) -> Iterator[dict]:
    """Yield the questions of MMMU-Pro with 10 and with 4 options.

    The list has the questions with 10 options; those with 4 differ in the letter of the right one,
    so that each letter is tried.
    """
    for path in sorted(folder.glob("mmmu-pro/output/*standard(10 options)*.jsonl")):
        for record in _records(path):
            types = ast.literal_eval(record["img_type"])
            # images are named where they stand: in question, options and explanation
            text = record["question"] + record["options"] + record["explanation"]
            images = sorted({f"image_{k}" for k in re.findall(r"<image (\d)>", text)})
            difficulty = record["topic_difficulty"]
            category = mmmu_category(record["subject"], difficulty, types)
            names = {
                "image_id": record["id"],
                "question_id": record["id"],
                "question_type": "choice",
                "subject": record["subject"].replace("_", " "),
                "difficulty": difficulty,
                "n_images": len(images),
            } | image_kinds(types)
            tried = [("MMMU_Pro_4", letter) for letter in "ABCDEFGHIJ"]
            for dataset, letter in [("MMMU_Pro_10", record["answer"]), *tried]:
                digits = vlcb_hash(
                    dataset,
                    category,
                    record["question"],
                    letter,
                    ",".join(images),
                )
                yield {"hash": digits, **names}


def image_kinds(types: Iterable[str]) -> dict[str, str]:
    """Return MMMU's kinds of image as ``image_kinds`` (all) and ``image_kind`` (the first)."""
    kinds = {KINDS.get(kind, "other") for kind in types} or {"other"}
    ordered = [kind for kind in [*KINDS.values(), "other"] if kind in kinds]
    return {"image_kind": ordered[0], "image_kinds": "; ".join(ordered)}


def gqa(folder: Path) -> Iterator[dict]:
    """Yield GQA's questions (testdev, balanced)."""
    for path in folder.glob("testdev_balanced_questions.json"):
        for record in json.loads(path.read_text(encoding="utf-8")).values():
            kind = record["types"]["detailed"]
            image = record["imageId"]
            yield {
                "hash": vlcb_hash(
                    "GQA", kind, record["question"], record["answer"], image
                ),
                "image_id": image,
                "question_type": gqa_question_type(kind),
                "gqa_type": kind,
            }


def gqa_question_type(kind: str) -> str:
    """Return whether a detailed type of GQA asks for yes or no, for one of two, or for a word."""
    if re.search(r"[cC]hoose", kind):
        return "choice"
    return "closed" if re.match(_YES_NO, kind) else "open"


def gmai_mmbench(folder: Path) -> Iterator[dict]:
    """Yield GMAI-MMBench's questions (validation), images called by a hash of theirs."""
    for path in folder.glob("GMAI_mm_bench_VAL.tsv"):
        table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
        for record in table.to_dict("records"):
            yield {
                "hash": gmai_hash(record),
                "image_id": cell_id(record["image"]),
                "question_type": "choice",
                "subject": record["clinical VQA task"],
                "image_kind": record.get("modality"),
                "image_kinds": record.get("modality"),
                "n_images": 1,
            }


LISTS = (pope, mmmu_pro, gqa, gmai_mmbench)


def _records(path: Path) -> Iterator[dict]:
    for line in path.read_text(encoding="utf-8").splitlines():
        yield json.loads(line)
