"""Output files of the OpenAI batch interface, as many servers write them: one JSON line a call.

``{"custom_id", "response": {"status_code", "body"}, "error"}``, the body a chat completion
(several choices are samples) or a response of ``/v1/responses``. ``custom_id`` is the item. Where
token log-probabilities were asked for, the confidence is the length-normalised likelihood of the
reply, exp(mean log p). Calls that failed are kept as replies that could not be read. The file
holds no gold answers: give them by --items.
"""

from medcal_nb.errors import MedcalError

from .registry import Reader
from .source import at, likelihood, number


def _read(source, columns, notes):
    models = (at(line, "response.body.model", str) for _, line in source.rows())
    model, failed = next(filter(None, models), "unnamed"), 0
    for row, line in source.rows():
        out = {"item_id": source.need(line, "custom_id", row), "model": model, "sample": 0}
        if "response" not in line and {"method", "url", "body"} <= line.keys():
            raise MedcalError(
                f"{source.path}: row {row} is a request of a batch (what was asked); import the "
                "file of its replies, which the server gives when the batch is done"
            )
        source.need(line, "response", row)
        body, status = at(line, "response.body", dict), at(line, "response.status_code")
        if line.get("error") or not body or status not in (None, 200):
            failed += 1
            yield out | {"strategy": "generate", "parse_ok": False, "status": number(status)}
            continue
        used = at(body, "usage", dict)
        for sample, (text, tokens) in enumerate(_replies(source, body, row)):
            known = len(tokens) if isinstance(tokens, list) else 0
            reply = out | likelihood(tokens) | {"answer": text, "raw": text, "sample": sample}
            yield reply | {
                "model": body.get("model") or model,
                "parse_ok": text is not None,
                "prompt_tokens": used.get("prompt_tokens", used.get("input_tokens")),
                "new_tokens": known or used.get("completion_tokens", used.get("output_tokens")),
            }
    if failed:
        notes.append(f"{source.path}: {failed} calls failed: kept without an answer")


def _replies(source, body, row):
    """(text, token log-probabilities or None) of each reply."""
    choices = at(body, "choices", list)
    for choice in choices:
        content = source.need(choice, "message", row, dict).get("content")
        yield (content if isinstance(content, str) else None), at(choice, "logprobs.content")
    if choices:
        return
    if "output" not in body:
        raise source.broken(row, "no 'choices' and no 'output'")
    blocks = source.need(body, "output", row, list)
    parts = [part for block in blocks for part in at(block, "content", list)]
    texts = [text for part in parts if (text := at(part, "text", str)) is not None]
    tokens = [token for part in parts for token in at(part, "logprobs", list)]
    yield ("".join(texts) if texts else None), tokens


def _knows(source):
    first = source.first.keys()
    return "custom_id" in first and ("response" in first or {"method", "body"} <= first)


READERS = (Reader("openai-batch", _knows, _read, ungraded=True, unparsed=True),)
