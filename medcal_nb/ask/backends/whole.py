"""Whole prompts through ``model.generate``, for architectures that cannot share a prefix.

Bidirectional prefixes, cross-attention to the image and the like make a cached prefix depend on
what follows it, or need inputs at every step: here each continuation is asked with its whole
prompt, and a logits processor makes ``generate`` take the tokens that were chosen.
"""

from medcal_nb.ask.backends.expansion import token_ids
from medcal_nb.ask.backends.rows import choose
from medcal_nb.ask.calls import Failure, open_picture

#: continuations asked together
_AT_ONCE = 64


class WholePrompts:
    """Asks every row with its whole prompt."""

    def __init__(self, backend):
        self.backend = backend
        self.images, self.texts = {}, {}

    def encode(self, texts):
        """Return the token ids of each prompt, image expanded, or a Failure."""
        encoded, opened = {}, {}
        self.texts |= texts
        for prompt, text in texts.items():
            if prompt.picture not in self.images:
                self.images[prompt.picture] = open_picture(prompt.picture, opened)
            encoded[prompt] = image = self.images[prompt.picture]
            if not isinstance(image, Failure):
                inputs = self.backend.read([text], [image])
                encoded[prompt] = inputs if isinstance(inputs, Failure) else token_ids(inputs)
        return encoded

    def run(self, encoded, rows):
        """Fill in the rows' tokens and log-probabilities."""
        import torch

        def alike(row):
            return row.forced is None, row.limit, len(encoded[row.prompt])

        rows = sorted(rows, key=alike)
        with torch.inference_mode():
            for low in range(0, len(rows), _AT_ONCE):
                self._generate(rows[low : low + _AT_ONCE])

    def _generate(self, rows):
        import torch
        from transformers import GenerationConfig, LogitsProcessorList

        backend = self.backend
        model, eos, end = backend.model, backend.eos, min(backend.eos, default=backend.pad)
        texts = [self.texts[row.prompt] for row in rows]
        inputs = backend.process(texts, [self.images[row.prompt.picture] for row in rows])
        inputs.pop("labels", None)

        def force(ids, scores):
            """Leave no choice but what was chosen; a row that has ended gets end tokens."""
            live = [i for i, row in enumerate(rows) if not row.ended]
            chosen = choose(scores, live, [rows[i] for i in live], eos) if live else []
            tokens = torch.full((len(rows),), end, device=scores.device)
            for i, token in zip(live, chosen, strict=True):
                tokens[i] = end if token in eos else token
            return torch.full_like(scores, -torch.inf).scatter_(1, tokens[:, None], 0.0)

        own = model.generation_config
        # what a config leaves open is taken from the checkpoint's: penalties, suppressed tokens
        model.generation_config = GenerationConfig()
        try:
            written = model.generate(
                **inputs.to(backend.device, model.dtype),
                generation_config=GenerationConfig(
                    max_new_tokens=max(row.limit for row in rows),
                    do_sample=False,
                    eos_token_id=end,
                    pad_token_id=backend.pad,
                ),
                logits_processor=LogitsProcessorList([force]),
            )
        finally:
            model.generation_config = own
        backend.positions += len(rows) * (written.shape[1] - 1)
