"""Replies of several models to the yes/no questions of VQA-RAD, one column a model.

The columns of VQA-RAD's own table (``qid, image_name, image_organ, question, answer,
answer_type``), then one a model with its replies, without confidences. The modality is the organ.
Questions whose right answer is neither yes nor no are left out.
"""

from .registry import Reader

_ORGANS = {"HEAD": "head", "CHEST": "chest", "ABD": "abdomen"}
_OWN = {"qid", "image_name", "image_organ", "question", "answer", "answer_type"}
_FROM = (
    "Replies of three models to VQA-RAD (Lau et al. 2018, CC0), by github.com/lsi-ufcg/"
    "radiology-vqa-mllms at 009b55cc, no licence stated; intervals by image."
)


def _read(source, columns, notes):
    left_out = 0
    for number, row in enumerate(source.records(), 1):
        gold = str(source.need(row, "answer", number)).strip().casefold()
        if gold not in ("yes", "no"):
            left_out += 1
            continue
        organ = source.need(row, "image_organ", number)
        for model in list(row)[list(row).index("answer_type") + 1 :]:
            yield {
                "model": model, "strategy": "generate", "dataset": "vqa-rad", "domain": "medical",
                "item_id": row["qid"], "image_id": row["image_name"], "question": row["question"],
                "modality": _ORGANS.get(organ, organ), "question_type": "closed", "gold": gold,
                "raw": row[model] or "", "source": _FROM,
            }  # fmt: skip
    if left_out:
        notes.append(f"{source.path}: {left_out} questions are not of yes or no: left out")


def _knows(source):
    return source.suffix == ".csv" and set(source.names) >= _OWN


READERS = (Reader("vqa-rad-replies", _knows, _read, ungraded=True, unparsed=True),)
