"""Looking into loosely typed JSON, and what is computed from what stands there."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike


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


def flag(value: Any) -> bool | None:
    """True or False from a boolean, 0 or 1; None from anything else."""
    value = number(value)
    return bool(value) if value in (0.0, 1.0) else None


def chosen(options: list[str], scores: ArrayLike) -> dict[str, list]:
    """Our columns of choices by the scores of their options: their softmax.

    Parameters
    ----------
    options : list of str
    scores : array_like, shape (n_answers, n_options)
        Logits or log-likelihoods.

    Returns
    -------
    dict
        answer : the option of the largest score
        confidence : its probability
        option_probabilities : a dictionary a row
    """
    from scipy.special import softmax

    scores = np.asarray(scores, dtype=float)
    # infinite scores make no probabilities; they are refused with their row later
    with np.errstate(invalid="ignore"):
        p = softmax(scores, axis=1)
    rows = p.tolist()
    return {
        "answer": [options[k] for k in scores.argmax(axis=1)],
        "confidence": p.max(axis=1).tolist(),
        "option_probabilities": [dict(zip(options, row, strict=True)) for row in rows],
    }


def choice(options: list[str], scores: list[float]) -> dict:
    """Our columns of one choice by the log-likelihoods of its options."""
    first = {name: values[0] for name, values in chosen(options, [scores]).items()}
    return first | {"strategy": "option_probability", "question_type": "choice"}


def likelihood(tokens: list | None) -> dict:
    """Our columns of a reply by its tokens: the confidence is exp of the mean ``logprob``."""
    values = [number(at(token, "logprob")) for token in tokens or ()]
    if not values or None in values:
        return {"strategy": "generate"}
    mean = math.fsum(values) / len(values)
    return {"strategy": "sequence_probability", "confidence": math.exp(min(0.0, mean))}


def one_of(golds: list) -> Any:
    """Right answers as they are kept: one text, a list of several, or None."""
    return golds[0] if len(golds) == 1 else golds or None
