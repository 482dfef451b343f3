"""Continuations of prompts, and how their next tokens are chosen.

Sampling draws one uniform number per token from a generator keyed by the call's own seed and
inverts the cumulative distribution, so that a sample belongs to its item and number and not to
the batch it happened to be in.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from medcal_nb.ask.calls import Prompt

if TYPE_CHECKING:
    import torch

#: rows whose distributions over the whole vocabulary are in memory at once
_AT_ONCE = 128


def uniforms(seed: str, n: int) -> np.ndarray:
    """Return `n` numbers in [0, 1) that depend on the text `seed` alone."""
    key = int.from_bytes(
        hashlib.blake2b(seed.encode(), digest_size=16).digest(), "little"
    )
    return np.random.Generator(np.random.Philox(key=key)).random(n)


@dataclass(eq=False)
class Row:
    """A continuation of at most `limit` tokens: greedy, sampled (`draws`) or given (`forced`).

    Given ones write a `label`.
    """

    prompt: Prompt
    limit: int
    draws: Any = None
    temperature: float = 1.0
    forced: tuple[int, ...] | None = None
    label: str = ""
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    ended: bool = False


def choose(
    logits: "torch.Tensor",
    lines: Sequence[int],
    rows: Sequence[Row],
    eos: frozenset[int],
) -> list[int]:
    """Choose the next token of each row from its line of the logits, book it, and return all."""
    import torch

    logits = logits.float()
    # (rows,): the line of the logits, (lines, words), that each continues
    line_of = torch.tensor(lines, device=logits.device)
    tokens = logits.argmax(dim=-1)[line_of]
    sampled = [i for i, row in enumerate(rows) if row.draws is not None]
    for low in range(0, len(sampled), _AT_ONCE):
        part = sampled[low : low + _AT_ONCE]
        heat = logits.new_tensor([rows[i].temperature for i in part])
        total = torch.softmax(
            logits[line_of[part]].double() / heat[:, None], dim=-1
        ).cumsum(dim=-1)
        drawn = [rows[i].draws[len(rows[i].tokens)] for i in part]
        numbers = total.new_tensor(drawn)[:, None]
        place = torch.searchsorted(total, numbers * total[:, -1:], right=True)[:, 0]
        tokens[part] = place.clamp(max=logits.shape[-1] - 1)
    chosen: list[int] = tokens.tolist()
    for i, row in enumerate(rows):
        if row.forced is not None:
            chosen[i] = row.forced[len(row.tokens)]
    picked = torch.tensor(chosen, device=logits.device)
    logprobs = torch.log_softmax(logits, dim=-1)[line_of, picked].tolist()
    for row, token, logprob in zip(rows, chosen, logprobs, strict=True):
        if row.forced is None and token in eos:
            row.ended = True
            continue
        row.tokens.append(token)
        row.logprobs.append(logprob)
        row.ended = len(row.tokens) >= row.limit
    return chosen


def is_nested(written: Collection[Sequence]) -> bool:
    """Whether the tokens of one label begin those of another."""
    return any(a != b and b[: len(a)] == a for a in written for b in written)
