"""Output files of the OpenAI batch interface, as many servers write them.

One JSON line a call: ``{"custom_id", "response": {"status_code", "body"}, "error"}``, the body a
chat completion (several choices are samples) or a response of ``/v1/responses``. ``custom_id`` is
the item. The confidence is the one stated in the reply, where the reply was not cut off; else,
where token log-probabilities were asked for, the length-normalised likelihood of the reply,
exp(mean log p). Calls that failed are left out. There are no gold answers: give them by --items.
"""

import re
from collections.abc import Iterator

from medcal_nb.ask.parsing import parse_confidence
from medcal_nb.errors import MedcalError
from medcal_nb.logs.nested import at, likelihood, text_of
from medcal_nb.logs.registry import Reader, has
from medcal_nb.logs.source import Source

_STATED = re.compile(r"confiden|probab|likel|sure|%", re.IGNORECASE)
"""In replies that state a confidence; a number in others is none."""


def _read(source: Source) -> Iterator[dict]:
    failed = 0
    for line in source.rows():
        if "response" not in line and line.keys() >= {"method", "body"}:
            raise MedcalError(
                f"{source.path}: row {source.row} is a request of a batch (what was asked); import "
                "the file of its replies, which the server gives when the batch is done"
            )
        item = line["custom_id"]
        body = at(line["response"], "body")
        status = at(line, "response.status_code")
        if line.get("error") or not body or status not in (None, 200):
            failed += 1
            continue
        yield from _answers(item, body)
    if failed:
        source.notes.append(
            f"{source.path}: {failed} calls failed: left out, ask them again"
        )


def _answers(item, body):
    """The replies of one call."""
    usage = body.get("usage") or {}
    written = usage.get("completion_tokens", usage.get("output_tokens"))
    for sample, (text, tokens, finish) in enumerate(_replies(body)):
        yield (
            likelihood(tokens)
            | _stated(text, finish)
            | {
                "item_id": item,
                "model": body.get("model"),
                "prompt_tokens": usage.get("prompt_tokens", usage.get("input_tokens")),
                "sample": sample,
                "raw": text,
                "new_tokens": len(tokens or ()) or written,
            }
        )


def _replies(body):
    """(text or None, its tokens, why it ended) of each reply."""
    choices = body.get("choices")
    if choices:
        for reply in choices:
            text = text_of(reply["message"].get("content"))
            yield text, at(reply, "logprobs.content"), reply.get("finish_reason")
        return
    parts = []
    for block in body["output"]:
        parts += block.get("content") or ()
    tokens = []
    for part in parts:
        tokens += part.get("logprobs") or ()
    finish = "length" if body.get("status") == "incomplete" else None
    yield text_of(parts), tokens, finish


def _stated(text, finish):
    """Our columns of the confidence that a reply states, none where it states none."""
    if not text or not _STATED.search(text):
        return {}
    stated = parse_confidence(text, cut_off=finish == "length")
    return {} if stated is None else {"strategy": "verbalized", "confidence": stated}


READERS = (Reader(name="openai-batch", knows=has("custom_id"), read=_read),)
