"""Replies of several models to the yes/no questions of VQA-RAD, one column a model.

The columns of VQA-RAD's own table (``qid, image_name, image_organ, question, answer,
answer_type``), then one a model with its replies, without confidences. The modality is the organ.
Questions whose right answer is neither yes nor no are left out.
"""

from .registry import Reader

_ORGANS = {"HEAD": "head", "CHEST": "chest", "ABD": "abdomen"}
_OWN = {"qid", "image_name", "image_organ", "question", "answer", "answer_type"}
_COLUMNS = {"item_id": "!qid", "image_id": "!image_name", "question": "!question",
            "modality": "!image_organ", "gold": "!answer"}  # fmt: skip
_FROM = (
    "Replies of three models to VQA-RAD (Lau et al. 2018, CC0), by github.com/lsi-ufcg/"
    "radiology-vqa-mllms at 009b55cc, no licence stated; intervals by image."
)
_SAME = {"dataset": "vqa-rad", "domain": "medical", "strategy": "generate",
         "question_type": "closed", "source": _FROM}  # fmt: skip


def _read(source, columns, notes):
    left_out = 0
    for number, row in source.rows():
        known = source.take(row, _COLUMNS, number)
        source.need(row, "answer_type", number)
        known["gold"] = str(known["gold"]).strip().casefold()
        if known["gold"] not in ("yes", "no"):
            left_out += 1
            continue
        known["modality"] = _ORGANS.get(known["modality"], known["modality"])
        for model in list(row)[list(row).index("answer_type") + 1 :]:
            raw = row[model] if isinstance(row[model], str) else ""
            yield known | _SAME | {"model": model, "raw": raw}
    if left_out:
        notes.append(f"{source.path}: {left_out} questions are not of yes or no: left out")


def _knows(source):
    return source.suffix == ".csv" and source.first.keys() >= _OWN


READERS = (Reader("vqa-rad-replies", _knows, _read, ungraded=True, unparsed=True),)
