"""Whole prompts, each by itself: for models whose state cannot be branched.

A layer that sums up what came before in one state (linear attention, a convolution) has no keys to
choose from, so that nothing is shared between prompts: `model.generate` writes each row.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import groupby
from typing import Any

from medcal_nb.ask.backends.rows import Row, choose
from medcal_nb.ask.calls import Failure, Picture, Prompt

#: Rows that are written together at most.
MOST_ROWS = 64


class WholePrompts:
    """Asks every row with its whole prompt."""

    def __init__(self, backend: Any) -> None:
        self.backend = backend
        self.texts: dict[Prompt, str] = {}

    def encode(self, texts: dict[Prompt, str]) -> dict[Prompt, Any]:
        """Return the token ids of each prompt, image expanded, or a Failure."""
        self.texts |= texts
        encoded: dict[Prompt, Any] = {}
        for prompt, text in texts.items():
            inputs = self.backend.read(text, prompt.picture)
            is_read = not isinstance(inputs, Failure)
            encoded[prompt] = inputs["input_ids"][0].tolist() if is_read else inputs
        return encoded

    def run(self, encoded: Mapping[Prompt, Any], rows: list[Row]) -> None:
        """Fill in the rows' tokens and log-probabilities; none is of a prompt that failed."""
        import torch

        rows = sorted(rows, key=lambda row: (row.limit, len(encoded[row.prompt])))
        most = self.backend.max_positions // 2
        sizes = [len(encoded[row.prompt]) + row.limit for row in rows]
        n_at_once = min(MOST_ROWS, max(1, most // max(sizes, default=1)))
        numbered = enumerate(rows)
        with torch.inference_mode(), _plain_generation(self.backend.model):
            for _, part in groupby(numbered, key=lambda pair: pair[0] // n_at_once):
                self._generate([row for _, row in part])

    def _generate(self, rows: list[Row]) -> None:
        """Write rows together; a logits processor takes the tokens that are drawn or forced."""
        import torch

        backend = self.backend
        end = min(backend.eos)

        def force(ids: "torch.Tensor", scores: "torch.Tensor") -> "torch.Tensor":
            """Leave no choice but what was chosen; a row that has ended gets end tokens."""
            tokens = torch.full((len(rows),), end, device=scores.device)
            live = [i for i, row in enumerate(rows) if not row.ended]
            if live:
                chosen = choose(scores, live, [rows[i] for i in live], backend.eos)
                plain = [end if token in backend.eos else token for token in chosen]
                tokens[live] = torch.tensor(plain, device=scores.device)
            nothing = torch.full_like(scores, -torch.inf)
            return nothing.scatter_(1, tokens[:, None], 0.0)

        texts = [self.texts[row.prompt] for row in rows]
        pictures = [row.prompt.picture for row in rows]
        inputs = read_together(backend, texts, pictures)
        written = backend.model.generate(
            **inputs,
            max_new_tokens=max(row.limit for row in rows),
            eos_token_id=end,
            pad_token_id=backend.pad,
            logits_processor=[force],
        )
        backend.positions += written.numel()  # prompts with what was written after them


def read_together(backend: Any, texts: list[str], pictures: list[Picture]) -> Any:
    """What a model's processor makes of texts with one picture each, padded on the left."""
    tokenizer = backend.tokenizer
    tokenizer.padding_side, tokenizer.pad_token_id = "left", backend.pad
    inputs = backend.processor(
        text=texts,
        images=[[picture.open()] for picture in pictures],
        padding=True,
        return_tensors="pt",
        **backend.special,
    )
    return inputs.to(backend.device, backend.model.dtype)


@contextmanager
def _plain_generation(model: Any) -> Iterator[None]:
    """No penalties and suppressed tokens: what a call leaves open is the checkpoint's."""
    from transformers import GenerationConfig

    own = model.generation_config
    model.generation_config = GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = own
