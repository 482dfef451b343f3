"""Typed decisions: what an answer of a decision model means, in the forms in which it is sold.

An answer has a probability of every option and no text. What vendors call ``confidence`` beside
them means four things (`MEANINGS`), of which one is a probability of being right. The confidence
of a decision is therefore the probability of the option that it chose, whatever stands there.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: Where such a confidence is from, in the column ``confidence_from``.
CHOSEN = "the probability of the chosen option"

#: The answers of a question whose one number is the probability of its being true.
YES, NO = "yes", "no"

#: How far the sum of rounded probabilities may be from 1, for each of them.
_ROUNDED = 0.01

#: Types of answers, those without a choice by the member that holds their number.
_NUMBER = {"predicate": "probability", "noul": "noul"}
TYPES = frozenset((*_NUMBER, "choice", "score", "refusal"))

#: What the field ``confidence`` of a vendor means, and where that is said.
MEANINGS = {
    "probability": "p, the probability of the chosen option (Google: js-genai, ChoiceAnswer)",
    "concentration": "(k p - 1) / (k - 1), how concentrated the k options are (TypeSafe: kime-core "
    "choice_jev, transformers; OpenAI calls it concentrated, too: langchain-openai, ChoiceAnswer)",
    "entropy": "1 - entropy / log k (Laya: kime-core entropy)",
    "label_mass": "p times the share of the vocabulary that the options had (vLLM 0.32: "
    "structured_decisions)",
}


@dataclass(frozen=True)
class Decision:
    """A typed decision.

    Attributes
    ----------
    answer : str or None
        The option chosen; None where the question was refused.
    probabilities : dict
        Of every option, 0 to 1, in the order of the reply.
    vendor_number : float or None
        What the reply calls ``confidence``, whatever it means.
    label_mass : float or None
        The share of the whole vocabulary that the options had before their probabilities were
        made to sum to 1, where that is known.
    """

    answer: str | None
    probabilities: dict[str, float]
    vendor_number: float | None = None
    label_mass: float | None = None

    @property
    def confidence(self) -> float | None:
        """The probability of the option chosen, None where there is none."""
        return None if self.answer is None else self.probabilities[self.answer]


def read_decision(answer: Mapping, label_mass: float | None = None) -> Decision:
    """What one answer of a reply means.

    Parameters
    ----------
    answer : mapping
        Of type predicate or noul (yes or no), choice, score (a level) or refusal.
    label_mass : float, optional
        As the reply has it beside the answer.

    Raises
    ------
    ValueError
        Where it is none of these, or its numbers are no probabilities.

    Examples
    --------
    >>> both = [{"value": "left", "probability": 0.7}, {"value": "right", "probability": 0.3}]
    >>> reply = {"type": "choice", "choice": "left", "confidence": 0.4, "probabilities": both}
    >>> read_decision(reply).confidence
    0.7
    >>> read_decision({"type": "noul", "noul": 0.1}).answer
    'no'
    """
    kind = answer.get("type")
    if kind == "refusal":
        return Decision(None, {})
    if kind in _NUMBER:
        p = _probability(answer[_NUMBER[kind]])
        shares = {YES: p, NO: round(1 - p, 12)}
        chosen = YES if p >= 0.5 else NO
    elif kind == "choice":
        shares = shares_of(answer["probabilities"])
        chosen = _option(answer["choice"])
    elif kind == "score":
        legend = answer.get("legend") or {}
        levels = shares_of(answer["probabilities"])
        shares = {_option(legend.get(name, name)): p for name, p in levels.items()}
        chosen = max(shares, key=shares.__getitem__)
    else:
        raise ValueError(f"an answer of type {kind!r}")
    if chosen not in shares:
        raise ValueError(f"chose {chosen!r}, which has no probability")
    number = answer.get("confidence")
    return Decision(
        answer=chosen,
        probabilities=shares,
        vendor_number=None if number is None else float(number),
        label_mass=None if label_mass is None else float(label_mass),
    )


def shares_of(cell: Any) -> dict[str, float]:
    """Probabilities by option: a table, a list of ``{value, probability}``, or either as JSON.

    Raises
    ------
    ValueError
        Where it is none of these, or the numbers do not sum to 1.

    Examples
    --------
    >>> shares_of('{"yes": 0.8, "no": 0.2}')
    {'yes': 0.8, 'no': 0.2}
    """
    value = json.loads(cell) if isinstance(cell, str) else cell
    if isinstance(value, Mapping):
        pairs = [*value.items()]
    else:
        pairs = [
            (one.get("label", one.get("value")), one["probability"]) for one in value
        ]
    shares = {_option(name): _probability(p) for name, p in pairs}
    total = math.fsum(shares.values())
    if len(shares) < len(pairs) or abs(total - 1) > _ROUNDED * len(shares):
        raise ValueError(f"{len(pairs)} probabilities that sum to {total:.3g}")
    return shares


def readings(shares: Sequence[float], label_mass: float = math.nan) -> dict[str, float]:
    r"""What each meaning of ``confidence`` makes of the same probabilities.

    With :math:`p` the largest of :math:`k` probabilities and :math:`H` their entropy: :math:`p`,
    :math:`(k p - 1) / (k - 1)`, :math:`1 - H / \ln k` and :math:`p` times the label mass.

    Parameters
    ----------
    shares : sequence of float
        Probabilities of the options of one question, which sum to 1.
    label_mass : float
        The share of the vocabulary that they had.

    Returns
    -------
    dict
        By the names of `MEANINGS`.

    Examples
    --------
    >>> {name: round(value, 3) for name, value in readings([0.7, 0.2, 0.1], 0.9).items()}
    {'probability': 0.7, 'concentration': 0.55, 'entropy': 0.27, 'label_mass': 0.63}
    """
    k = len(shares)
    top = max(shares)
    nats = -math.fsum(p * math.log(p) for p in shares if p > 0)
    return {
        "probability": top,
        "concentration": 1.0 if k < 2 else (k * top - 1) / (k - 1),
        "entropy": 1.0 if k < 2 else 1 - nats / math.log(k),
        "label_mass": top * label_mass,
    }


def _option(value: Any) -> str:
    """The name of an option: it may be a truth value."""
    return json.dumps(value) if isinstance(value, bool) else str(value)


def _probability(value: Any) -> float:
    if isinstance(value, bool) or not 0 <= (p := float(value)) <= 1:
        raise ValueError(f"{value!r} is no probability")
    return p
