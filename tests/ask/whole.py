"""Answers of whole prompts through ``model.generate``: what a shared prefix has to give, too.

A logits processor makes ``generate`` take the tokens that were drawn or given.
"""

from medcal_nb.ask.backends.local import _LocalSession
from medcal_nb.ask.backends.rows import choose
from medcal_nb.ask.calls import Failure


def read_together(backend, texts, pictures):
    """What a model's processor makes of texts with one picture each, padded on the left."""
    tokenizer = backend.tokenizer
    tokenizer.padding_side, tokenizer.pad_token_id = "left", backend.pad
    images = [[picture.open()] for picture in pictures]
    how = {"padding": True, "return_tensors": "pt"} | backend.special
    return backend.processor(text=texts, images=images, **how)


def answer_whole(model, calls):
    """Answer calls, in order; nothing is shared."""
    return _LocalSession(model, WholePrompts(model)).run(calls)


class WholePrompts:
    """Asks every row with its whole prompt."""

    def __init__(self, backend):
        self.backend, self.texts = backend, {}

    def encode(self, texts):
        self.texts, encoded = texts, {}
        for prompt, text in texts.items():
            inputs = self.backend.read(text, prompt.picture)
            is_read = not isinstance(inputs, Failure)
            encoded[prompt] = inputs["input_ids"][0].tolist() if is_read else inputs
        return encoded

    def run(self, encoded, rows):
        import torch

        rows = sorted(rows, key=lambda row: (row.limit, len(encoded[row.prompt])))
        with torch.inference_mode():
            for low in range(0, len(rows), 64):
                self._generate(rows[low : low + 64])

    def _generate(self, rows):
        import torch
        from transformers import GenerationConfig

        backend = self.backend
        model, eos, end = backend.model, backend.eos, min(backend.eos)
        texts = [self.texts[row.prompt] for row in rows]
        inputs = read_together(backend, texts, [row.prompt.picture for row in rows])

        def force(ids, scores):
            """Leave no choice but what was chosen; a row that has ended gets end tokens."""
            tokens = torch.full((len(rows),), end)
            live = [i for i, row in enumerate(rows) if not row.ended]
            if live:
                chosen = choose(scores, live, [rows[i] for i in live], eos)
                tokens[live] = torch.tensor([end if t in eos else t for t in chosen])
            return torch.full_like(scores, -torch.inf).scatter_(1, tokens[:, None], 0.0)

        own = model.generation_config
        # what a config leaves open is taken from the checkpoint's: penalties, suppressed tokens
        model.generation_config = GenerationConfig()
        limit = max(row.limit for row in rows)
        how = {
            "max_new_tokens": limit,
            "eos_token_id": end,
            "pad_token_id": backend.pad,
        }
        try:
            model.generate(**inputs, **how, logits_processor=[force])
        finally:
            model.generation_config = own
