"""Recorded replies, whose answers have yet to be read out of them.

**openai-batch**: output files of the OpenAI batch interface, as many servers write them, one JSON
line a call: ``{"custom_id", "response": {"status_code", "body"}, "error"}``, the body a chat
completion (several choices are samples) or a response of ``/v1/responses``. ``custom_id`` is the
item. The confidence is the one stated in the reply; else, where token log-probabilities were asked
for, the length-normalised likelihood of the reply, exp(mean log p). Calls that failed are left
out. There are no gold answers: give them by --items.

**vlmevalkit**: result sheets of VLMEvalKit (``<model>/<model>_<dataset>.xlsx`` or ``.tsv``), with
``index, question, answer, prediction``, the options ``A``, ``B``, … of multiple-choice sets,
``category``, and after judging ``hit`` (or ``score``). There is no confidence. Where the sheet was
not judged, a reply is graded if it names one option (its letter, its text, yes or no); other
replies, and open questions, are kept ungraded.

**vqa-rad-replies**: the columns of VQA-RAD's own table (``qid, image_name, image_organ, question,
answer, answer_type``), then one a model with its replies, without confidences. The modality is the
organ. Questions whose right answer is neither yes nor no are left out.
"""

import re
from string import ascii_uppercase

from medcal_nb.ask.parsing import parse_confidence
from medcal_nb.errors import MedcalError

from .registry import Reader, has
from .source import at, flag, likelihood, text_of

_STATED = re.compile(r"confiden|probab|likel|sure|%", re.IGNORECASE)
"""In replies that state a confidence; a number in others is none."""


def _read_batch(source):
    failed = 0
    for line in source.rows():
        if "response" not in line and line.keys() >= {"method", "body"}:
            raise MedcalError(
                f"{source.path}: row {source.row} is a request of a batch (what was asked); import "
                "the file of its replies, which the server gives when the batch is done"
            )
        item = line["custom_id"]
        body = at(line["response"], "body")
        if (
            line.get("error")
            or not body
            or at(line, "response.status_code") not in (None, 200)
        ):
            failed += 1
            continue
        usage = body.get("usage") or {}
        known = {"item_id": item, "model": body.get("model")}
        known["prompt_tokens"] = usage.get("prompt_tokens", usage.get("input_tokens"))
        written = usage.get("completion_tokens", usage.get("output_tokens"))
        for sample, (text, tokens) in enumerate(_replies(body)):
            out = known | likelihood(tokens) | _stated(text)
            yield out | {
                "sample": sample,
                "raw": text,
                "new_tokens": len(tokens or ()) or written,
            }
    if failed:
        source.notes.append(
            f"{source.path}: {failed} calls failed: left out, ask them again"
        )


def _replies(body):
    """(text or None, its tokens) of each reply."""
    if choices := body.get("choices"):
        for reply in choices:
            yield (
                text_of(reply["message"].get("content")),
                at(reply, "logprobs.content"),
            )
    else:
        parts = [
            part for block in body["output"] for part in block.get("content") or ()
        ]
        yield (
            text_of(parts),
            [token for part in parts for token in part.get("logprobs") or ()],
        )


def _stated(text):
    stated = parse_confidence(text) if text and _STATED.search(text) else None
    return {} if stated is None else {"strategy": "verbalized", "confidence": stated}


def _read_sheet(source):
    for row in source.rows():
        options = {k: str(row[k]) for k in ascii_uppercase if row.get(k) is not None}
        gold, raw = (
            v if v is None else str(v) for v in (row["answer"], row["prediction"])
        )
        gold = options.get(gold, gold)
        closed = gold is not None and gold.strip().casefold() in ("yes", "no")
        kind = "choice" if options else "closed" if closed else "open"
        out = {"item_id": row["index"], "strategy": "generate", "question_type": kind}
        out |= {"options": [*options.values()], "gold": gold, "raw": raw}
        marks = [
            m for m in (flag(row.get("hit")), flag(row.get("score"))) if m is not None
        ]
        if (
            kind == "open"
        ):  # its whole reply is the answer, and is not graded by a guess
            out |= {"answer": raw, "correct": None}
        yield (
            out
            | ({"correct": marks[0]} if marks else {})
            | {"category": row.get("category")}
        )


_ORGANS = {"HEAD": "head", "CHEST": "chest", "ABD": "abdomen"}
_VQA_RAD = {
    "dataset": "vqa-rad",
    "domain": "medical",
    "question_type": "closed",
    "strategy": "generate",
    "source": "Replies of three models to VQA-RAD (Lau et al. 2018, CC0), by github.com/lsi-ufcg/"
    "radiology-vqa-mllms at 009b55cc, no licence stated; intervals by image.",
}


def _read_vqa_rad(source):
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
        }
        item |= {
            "modality": _ORGANS.get(row["image_organ"], row["image_organ"]),
            "gold": gold,
        }
        names = list(row)
        for model in names[names.index("answer_type") + 1 :]:
            yield _VQA_RAD | item | {"model": model, "raw": row[model] or ""}


_SHEET = (
    r"(?P<model>[^/]+)/(?:[^/]+/)?(?P=model)_(?P<dataset>[^/]+?)(?:_(?:{})[^/]*)?\.\w+$"
)
_SHEET = _SHEET.format(
    "openai|exact_matching|auxmatch|(?:chat)?gpt-"
)  # what judging adds

READERS = (
    Reader("openai-batch", has("custom_id"), _read_batch),
    Reader("vlmevalkit", has("index", "answer", "prediction"), _read_sheet, _SHEET),
    Reader("vqa-rad-replies", has("qid", "image_organ", "answer_type"), _read_vqa_rad),
)
