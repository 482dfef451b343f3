"""Whole prompts through ``model.generate``, for architectures that cannot share a prefix.

Bidirectional prefixes, cross-attention to the image and the like make a cached prefix depend on
what follows it, or need inputs at every step: here each continuation is asked with its whole
prompt, and a logits processor makes ``generate`` take the tokens that the chooser chose.
"""

from medcal_nb.ask.backends.rows import Chooser
from medcal_nb.ask.calls import Failure, open_picture


class WholePrompts:
    """Asks every row with its whole prompt, for architectures that cannot share a prefix."""

    def __init__(self, backend):
        self.backend = backend
        self.images = {}

    def close(self):
        self.images.clear()

    def encode(self, prompts, texts):
        """Return the token ids of each prompt, image expanded, or a Failure."""
        self.prompts, self.texts = prompts, texts
        encoded, opened = [], {}
        for prompt, text in zip(prompts, texts, strict=True):
            if prompt.picture not in self.images:
                self.images[prompt.picture] = open_picture(prompt.picture, opened)
            image = self.images[prompt.picture]
            if not isinstance(image, Failure):
                image = self.backend._ids(text, image)
            encoded.append(image)
        return encoded

    def run(self, encoded, rows):
        """Fill in the rows' tokens and log-probabilities."""
        import torch

        order = sorted(
            range(len(rows)),
            key=lambda r: (rows[r].forced is None, rows[r].limit, len(encoded[rows[r].prompt]), r),
        )
        step = max(1, min(self.backend.max_rows, 64))
        for low in range(0, len(order), step):
            with torch.inference_mode():
                self._generate([rows[r] for r in order[low : low + step]])

    def _generate(self, rows):
        from transformers import GenerationConfig, LogitsProcessorList

        backend = self.backend
        texts = [self.texts[row.prompt] for row in rows]
        images = [self.images[self.prompts[row.prompt].picture] for row in rows]
        inputs, _ = backend._process(texts, images)
        inputs.pop("labels", None)
        inputs = inputs.to(backend.device)
        for name, value in inputs.items():
            if hasattr(value, "is_floating_point") and value.is_floating_point():
                inputs[name] = value.to(backend.model.dtype)
        backend.positions += inputs["input_ids"].numel()
        limit = max(len(row.forced) if row.forced else row.limit for row in rows)
        end = min(backend.eos) if backend.eos else backend.pad
        config = GenerationConfig(
            max_new_tokens=limit, do_sample=False, eos_token_id=end, pad_token_id=backend.pad
        )
        choose = Chooser(rows, backend.eos, backend.device)
        own = backend.model.generation_config
        # what a config leaves open is taken from the checkpoint's: penalties, suppressed tokens
        backend.model.generation_config = GenerationConfig()
        try:
            written = backend.model.generate(
                **inputs,
                generation_config=config,
                logits_processor=LogitsProcessorList([_Forcing(choose, end)]),
            )
        finally:
            backend.model.generation_config = own
        backend.positions += len(rows) * (written.shape[1] - inputs["input_ids"].shape[1] - 1)


class _Forcing:
    """A logits processor that leaves ``generate`` no choice but the chooser's."""

    def __init__(self, choose, end):
        self.choose = choose
        self.end = end

    def __call__(self, input_ids, scores):
        import torch

        active = [i for i, row in enumerate(self.choose.rows) if not row.ended]
        tokens = torch.full((len(scores),), self.end, device=scores.device)
        if active:
            picked = torch.tensor(active, device=scores.device)
            chosen = self.choose(scores[picked], active)
            for i, token in zip(active, chosen, strict=True):
                # a row whose last token was just booked ends at the next step
                tokens[i] = token if token not in self.choose.eos else self.end
        forced = torch.full_like(scores, -torch.inf)
        forced[torch.arange(len(scores), device=scores.device), tokens] = 0.0
        return forced
