"""Output files of the OpenAI batch interface, as many servers write them: one JSON line a call.

``{"custom_id", "response": {"status_code", "body"}, "error"}``, the body a chat completion
(several choices are samples) or a response of ``/v1/responses``. ``custom_id`` is the item. Where
token log-probabilities were asked for, the confidence is the length-normalised likelihood of the
reply, exp(mean log p). Calls that failed are kept as replies that could not be read. The file
holds no gold answers: give them by --items.
"""

import math

from medcal_nb.answers.files import iter_json

from ._rows import broken, need, number


def read_openai_batch(path, columns, notes):
    """Rows of every choice of every call."""
    failed = silent = 0
    model = _model(path)
    for row, line in iter_json(path):
        item = need(line, "custom_id", path, row)
        response = need(line, "response", path, row)
        body = response.get("body") if isinstance(response, dict) else None
        status = response.get("status_code") if isinstance(response, dict) else None
        if line.get("error") or not isinstance(body, dict) or status not in (None, 200):
            failed += 1
            yield {
                "item_id": item,
                "model": model,
                "strategy": "generate",
                "sample": 0,
                "answer": None,
                "parse_ok": False,
                "status": number(status),
            }
            continue
        usage = body.get("usage") if isinstance(body.get("usage"), dict) else {}
        for sample, (text, logprobs) in enumerate(_replies(body, path, row)):
            confidence = _likelihood(logprobs)
            silent += confidence is None
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
                "new_tokens": len(logprobs)
                if logprobs
                else usage.get("completion_tokens", usage.get("output_tokens")),
            }
    if failed:
        notes.append(f"{path}: {failed} calls failed: kept without an answer")
    if silent:
        notes.append(f"{path}: {silent} replies without token log-probabilities")


def _model(path):
    """The first model named, for the calls that failed and name none."""
    for _, line in iter_json(path):
        response = line.get("response")
        body = response.get("body") if isinstance(response, dict) else None
        if isinstance(body, dict) and isinstance(body.get("model"), str):
            return body["model"]
    return "unnamed"


def _replies(body, path, row):
    """(text, token log-probabilities or None) of each reply."""
    if isinstance(body.get("choices"), list) and body["choices"]:
        for choice in body["choices"]:
            message = need(choice, "message", path, row, dict)
            content = message.get("content")
            kept = choice.get("logprobs")
            tokens = kept.get("content") if isinstance(kept, dict) else None
            yield (content if isinstance(content, str) else None), _logprobs(tokens)
        return
    output = body.get("output")
    if isinstance(output, list):
        parts, tokens = [], []
        for block in output:
            content = block.get("content") if isinstance(block, dict) else None
            for part in content if isinstance(content, list) else []:
                if isinstance(part, dict) and isinstance(part.get("text"), str):
                    parts.append(part["text"])
                    tokens += part.get("logprobs") or []
        yield ("".join(parts) if parts else None), _logprobs(tokens)
        return
    raise broken(path, row, "no 'choices' and no 'output'")


def _logprobs(tokens):
    if not isinstance(tokens, list) or not tokens:
        return None
    values = [number(t.get("logprob")) if isinstance(t, dict) else None for t in tokens]
    return None if None in values else values


def _likelihood(logprobs):
    if not logprobs:
        return None
    return min(1.0, math.exp(min(0.0, sum(logprobs) / len(logprobs))))
