"""Continuations of prompts, and how their next tokens are chosen.

Sampling draws one uniform number per token from a generator keyed by the call's own seed and
inverts the cumulative distribution, so that a sample belongs to its item and number and not to
the batch it happened to be in.
"""

import hashlib
from dataclasses import dataclass, field

import numpy as np

#: rows whose distributions over the whole vocabulary are in memory at once
_AT_ONCE = 128


def uniforms(seed, n):
    """Return `n` numbers in [0, 1) that depend on the text `seed` alone."""
    key = int.from_bytes(hashlib.blake2b(seed.encode(), digest_size=16).digest(), "little")
    return np.random.Generator(np.random.Philox(key=key)).random(n)


@dataclass
class Row:
    """One continuation of a prompt: greedy, sampled (`draws`) or forced (`forced`)."""

    prompt: int
    limit: int
    draws: np.ndarray | None = None
    temperature: float = 1.0
    forced: list[int] | None = None
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    ended: bool = False

    @property
    def most(self):
        """Tokens allowed, or to be read where they are given."""
        return self.limit if self.forced is None else len(self.forced)


class Chooser:
    """Chooses the next token of each row and books its log-probability."""

    def __init__(self, rows, eos, device):
        import torch

        self.rows = rows
        self.eos = eos
        self.torch = torch
        self.device = device

    def __call__(self, logits, active, lines=None):
        """Choose for the rows numbered `active`; return the tokens, extend and end the rows.

        `lines` tells which line of the logits each row reads; by default its own.
        """
        torch = self.torch
        lines = list(range(len(active))) if lines is None else lines
        logits = logits.float()
        own = torch.tensor(lines, device=logits.device)
        logprobs = torch.log_softmax(logits, dim=-1)
        chosen = logits.argmax(dim=-1)[own]
        sampled = [i for i, r in enumerate(active) if self.rows[r].draws is not None]
        for low in range(0, len(sampled), _AT_ONCE):
            which = torch.tensor(sampled[low : low + _AT_ONCE], device=logits.device)
            mine = [self.rows[active[i]] for i in which.tolist()]
            temperature = torch.tensor([row.temperature for row in mine], device=logits.device)
            shares = torch.softmax(logits[own[which]].double() / temperature[:, None], dim=-1)
            total = shares.cumsum(dim=-1)
            draws = [row.draws[len(row.tokens)] for row in mine]
            draws = torch.tensor(draws, dtype=torch.float64, device=logits.device)[:, None]
            found = torch.searchsorted(total, draws * total[:, -1:], right=True)[:, 0]
            chosen[which] = found.clamp(max=logits.shape[-1] - 1)
        for i, r in enumerate(active):
            forced = self.rows[r].forced
            if forced is not None:
                chosen[i] = forced[len(self.rows[r].tokens)]
        booked = logprobs[own, chosen].tolist()
        chosen = chosen.tolist()
        for token, logprob, r in zip(chosen, booked, active, strict=True):
            row = self.rows[r]
            if row.forced is None and token in self.eos:
                row.ended = True
                continue
            row.tokens.append(token)
            row.logprobs.append(logprob)
            row.ended = len(row.tokens) >= row.most
        return chosen
