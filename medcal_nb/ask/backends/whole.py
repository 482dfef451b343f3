"""Whole prompts through ``model.generate``, for architectures that cannot share a prefix.

Bidirectional prefixes, cross-attention to the image and the like make a cached prefix depend on
what follows it, or need inputs at every step: here each continuation is asked with its whole
prompt, and a logits processor makes ``generate`` take the tokens that were chosen.
"""

from medcal_nb.ask.backends.expansion import token_ids
from medcal_nb.ask.backends.rows import choose
from medcal_nb.ask.calls import Failure

#: continuations asked together
_AT_ONCE = 64


class WholePrompts:
    """Asks every row with its whole prompt."""

    def __init__(self, backend):
        self.backend = backend

    def encode(self, texts):
        """Return the token ids of each prompt, image expanded, or a Failure."""
        encoded = {}
        for prompt, text in texts.items():
            inputs = self.backend.read([text], [prompt.picture])
            encoded[prompt] = inputs if isinstance(inputs, Failure) else token_ids(inputs)
        return encoded

    def run(self, texts, encoded, rows):
        """Fill in the rows' tokens and log-probabilities."""
        import torch

        rows = sorted(rows, key=lambda row: (row.limit, len(encoded[row.prompt])))
        with torch.inference_mode():
            for low in range(0, len(rows), _AT_ONCE):
                part = rows[low : low + _AT_ONCE]
                self._generate([texts[row.prompt] for row in part], part)

    def _generate(self, texts, rows):
        import torch
        from transformers import GenerationConfig

        backend = self.backend
        model, eos, end = backend.model, backend.eos, min(backend.eos, default=backend.pad)
        inputs = backend.read(texts, [row.prompt.picture for row in rows])

        def force(ids, scores):
            """Leave no choice but what was chosen; a row that has ended gets end tokens."""
            tokens = torch.full((len(rows),), end, device=scores.device)
            live = [i for i, row in enumerate(rows) if not row.ended]
            if live:
                chosen = choose(scores, live, [rows[i] for i in live], eos)
                tokens[live] = tokens.new_tensor([end if t in eos else t for t in chosen])
            return torch.full_like(scores, -torch.inf).scatter_(1, tokens[:, None], 0.0)

        own = model.generation_config
        # what a config leaves open is taken from the checkpoint's: penalties, suppressed tokens
        model.generation_config = GenerationConfig()
        try:
            written = model.generate(
                **inputs.to(backend.device, model.dtype),
                max_new_tokens=max(row.limit for row in rows),
                eos_token_id=end,
                pad_token_id=backend.pad,
                logits_processor=[force],
            )
        finally:
            model.generation_config = own
        backend.positions += len(rows) * (written.shape[1] - 1)
