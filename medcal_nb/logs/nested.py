"""Looking into loosely typed JSON, and what is computed from what stands there."""

import math
from typing import Any

from scipy.special import softmax


def at(value: Any, path: str) -> Any:
    """What stands under a dotted path in nested JSON, None where nothing does."""
    for key in path.split("."):
        if isinstance(value, list):
            inside = key.isdigit() and int(key) < len(value)
            value = value[int(key)] if inside else None
        elif isinstance(value, dict):
            value = value.get(key)
        else:
            return None
    return value


def text_of(content: Any) -> str | None:
    """The text of a message, which may come in parts."""
    if isinstance(content, list):
        content = "".join(part.get("text") or "" for part in content)
    return content or None


def first_text(value: Any) -> str | None:
    """The first text in nested lists of replies."""
    while isinstance(value, list):
        value = value[0] if value else None
    return value if isinstance(value, str) else None


def number(value: Any) -> float | None:
    """A finite float from a number or its text, else None."""
    try:
        value = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None


def choice(options: list[str], scores: list[float]) -> dict:
    """Our columns of one choice by the log-likelihoods of its options: their softmax."""
    shares = softmax(scores).tolist()
    best = scores.index(max(scores))
    return {
        "strategy": "option_probability",
        "question_type": "choice",
        "answer": options[best],
        "confidence": shares[best],
        "option_probabilities": dict(zip(options, shares, strict=True)),
    }


def likelihood(tokens: list | None) -> dict:
    """Our columns of a reply by its tokens: the confidence is exp of the mean ``logprob``."""
    read = [number(at(token, "logprob")) for token in tokens or ()]
    values = [value for value in read if value is not None]
    if not values or len(values) < len(read):
        return {"strategy": "generate"}
    mean = math.fsum(values) / len(values)
    return {"strategy": "sequence_probability", "confidence": math.exp(min(0.0, mean))}
