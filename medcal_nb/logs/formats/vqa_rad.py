"""Replies of several models in the columns of VQA-RAD's own table.

``qid, image_name, image_organ, question, answer, answer_type``, then one column a model with its
replies, without confidences. The modality is the organ. Questions whose right answer is neither
yes nor no are left out.
"""

from collections.abc import Iterator

from medcal_nb.logs.registry import Reader, has
from medcal_nb.logs.source import Source

_ORGANS = {"HEAD": "head", "CHEST": "chest", "ABD": "abdomen"}
_SAME = {
    "dataset": "vqa-rad",
    "domain": "medical",
    "question_type": "closed",
    "strategy": "generate",
    "source": "Replies of three models to VQA-RAD (Lau et al. 2018, CC0), by github.com/lsi-ufcg/"
    "radiology-vqa-mllms at 009b55cc, no licence stated; intervals by image.",
}


def _read(source: Source) -> Iterator[dict]:
    source.notes.append(
        f"{source.path}: questions of another answer than yes or no are left out"
    )
    for row in source.rows():
        gold = str(row["answer"]).strip().casefold()
        if gold not in ("yes", "no"):
            continue
        item = {
            "item_id": row["qid"],
            "image_id": row["image_name"],
            "question": row["question"],
            "modality": _ORGANS.get(row["image_organ"], row["image_organ"]),
            "gold": gold,
        }
        names = list(row)
        models = names[names.index("answer_type") + 1 :]
        for model in models:
            yield _SAME | item | {"model": model, "raw": row[model] or ""}


READERS = (
    Reader(
        name="vqa-rad-replies",
        knows=has("qid", "image_organ", "answer_type"),
        read=_read,
    ),
)
