"""Output files of the OpenAI batch interface, as many servers write them: one JSON line a call.

``{"custom_id", "response": {"status_code", "body"}, "error"}``, the body a chat completion
(several choices are samples) or a response of ``/v1/responses``. ``custom_id`` is the item. Where
token log-probabilities were asked for, the confidence is the length-normalised likelihood of the
reply, exp(mean log p). Calls that failed are kept as replies that could not be read. The file
holds no gold answers: give them by --items.
"""

from medcal_nb.errors import MedcalError

from .registry import Reader
from .source import likelihood, number, table


def _read(source, columns, notes):
    failed = silent = 0
    bodies = (_body(line) for _, line in source.objects())
    model = next((b["model"] for b in bodies if isinstance(b.get("model"), str)), "unnamed")
    for row, line in source.objects():
        item = source.need(line, "custom_id", row)
        if "response" not in line and {"method", "url", "body"} <= line.keys():
            raise MedcalError(
                f"{source.path}: row {row} is a request of a batch (what was asked); import the "
                "file of its replies, which the server gives when the batch is done"
            )
        response, body = source.need(line, "response", row), _body(line)
        status = table(response).get("status_code")
        if line.get("error") or not body or status not in (None, 200):
            failed += 1
            yield {"item_id": item, "model": model, "strategy": "generate", "parse_ok": False} | {
                "sample": 0,
                "status": number(status),
            }
            continue
        usage = table(body.get("usage"))
        for sample, (text, tokens) in enumerate(_replies(source, body, row)):
            confidence = likelihood(tokens)
            silent += confidence is None
            known = len(tokens) if isinstance(tokens, list) and tokens else None
            yield {
                "item_id": item,
                "model": body.get("model") or model,
                "strategy": "generate" if confidence is None else "sequence_probability",
                "sample": sample,
                "answer": text,
                "raw": text,
                "unparsed": True,
                "ungraded": True,
                "parse_ok": text is not None,
                "confidence": confidence,
                "prompt_tokens": usage.get("prompt_tokens", usage.get("input_tokens")),
                "new_tokens": known or usage.get("completion_tokens", usage.get("output_tokens")),
            }
    if failed:
        notes.append(f"{source.path}: {failed} calls failed: kept without an answer")
    if silent:
        notes.append(f"{source.path}: {silent} replies without token log-probabilities")


def _body(line):
    return table(table(line.get("response")).get("body"))


def _replies(source, body, row):
    """(text, token log-probabilities or None) of each reply."""
    if isinstance(body.get("choices"), list) and body["choices"]:
        for choice in body["choices"]:
            content = source.need(choice, "message", row, dict).get("content")
            tokens = table(choice.get("logprobs")).get("content")
            yield (content if isinstance(content, str) else None), tokens
        return
    if not isinstance(body.get("output"), list):
        raise source.broken(row, "no 'choices' and no 'output'")
    parts, tokens = [], []
    for block in body["output"]:
        content = table(block).get("content")
        for part in map(table, content if isinstance(content, list) else []):
            if isinstance(part.get("text"), str):
                parts.append(part["text"])
                kept = part.get("logprobs")
                tokens += kept if isinstance(kept, list) else []
    yield ("".join(parts) if parts else None), tokens


def _knows(source):
    first = source.first.keys()
    return "custom_id" in first and ("response" in first or {"method", "body"} <= first)


READERS = (Reader("openai-batch", _knows, _read),)
