"""What a stored row of a public set asks: question, options, right answer, image."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any

from medcal_nb.datasets import vlcb


class LeftOut(Exception):
    """A row that can't be used; the message says why in a few words."""


def one_line(value: Any) -> str:
    """A value as text, its white space as single spaces; nothing where it is missing."""
    return "" if value is None else " ".join(str(value).split())


def image_of(image: Any) -> dict[str, Any]:
    """The bytes of an image that the hub stores in its rows, and their hash as its id."""
    data = (image or {}).get("bytes")  # never a path of theirs
    if not data:
        raise LeftOut("no image")
    return {"image": data, "image_id": hashlib.sha256(data).hexdigest()[:16]}


def asked_plainly(row: dict[str, Any]) -> dict[str, Any]:
    """The fields of a question with its answer: closed where that is yes or no, else open."""
    question = one_line(row["question"])
    gold = one_line(row["answer"])
    if not question or not gold:
        raise LeftOut("no gold answer" if question else "no question")
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
    question = one_line(question)
    gold = one_line(gold)
    options = [o for o in dict.fromkeys(map(one_line, options)) if o]
    if len(options) < 2:
        raise LeftOut("fewer than two options")
    if gold not in options:
        raise LeftOut("gold answer is none of the options")
    return {
        "question": question,
        "question_type": "choice",
        "options": options,
        "gold": gold,
    }


# What each set asks, where it is not just a question with an answer.


def _asked_gmai(row: dict[str, Any]) -> dict[str, Any]:
    options = vlcb.gmai_options(row)
    letter = vlcb.gmai_answer(row["category"], options)
    if row["answer"] in options and row["answer"] != letter:
        raise LeftOut("its letter and its words are different answers")
    image = vlcb.cell_id(row["image"])
    return _choice(row["question"], options.values(), options.get(letter)) | {
        "image": image,
        "image_id": image,
        "subject": row["clinical VQA task"],
        "department": row["department"],
        "hashes": [vlcb.gmai_hash(row)],
    }


def _asked_mmmu_pro(row: dict[str, Any], name: str) -> dict[str, Any]:
    options = ast.literal_eval(row["options"])
    letters = dict(zip("ABCDEFGHIJ", options, strict=False))
    names = [f"image_{i}" for i in range(1, 8)]
    images = [*filter(row.get, names)]
    kinds = ast.literal_eval(row["img_type"])
    category = vlcb.mmmu_category(row["subject"], row["topic_difficulty"], kinds)
    answer = row["answer"]
    digits = vlcb.vlcb_hash(name, category, row["question"], answer, ",".join(images))
    # the first image of a question, as the five models were shown
    shown = image_of(row[images[0]] if images else None)
    asked = _choice(row["question"], options, letters.get(answer))
    return asked | shown | {"image_id": row["id"], "hashes": [digits]}


def _asked_gqa(row: dict[str, Any]) -> dict[str, Any]:
    kind = row["types"]["detailed"]
    image = row["imageId"]
    digits = vlcb.vlcb_hash("GQA", kind, row["question"], row["answer"], image)
    place = {"image": image, "image_id": image, "hashes": [digits]}
    return asked_plainly(row) | place


def _asked_pope(row: dict[str, Any]) -> dict[str, Any]:
    image = row["image_source"]
    question = row["question"]
    # the copy on the hub asks for an "imange" in 57 questions
    hashes = [
        vlcb.vlcb_hash("POPE", row["category"], spelled, row["answer"], image)
        for spelled in (question, question.replace("image", "imange"))
    ]
    asked = asked_plainly(row) | image_of(row["image"])
    return asked | {"image_id": image, "hashes": hashes}


#: What a row of each set asks, where it is not just a question with an answer.
ASKED: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "gmai-mmbench": _asked_gmai,
    "mmmu-pro-10": partial(_asked_mmmu_pro, name="MMMU_Pro_10"),
    "mmmu-pro-4": partial(_asked_mmmu_pro, name="MMMU_Pro_4"),
    "gqa": _asked_gqa,
    "pope": _asked_pope,
}
