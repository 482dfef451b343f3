"""What a processor makes of an image: its tokens in a prompt, and its tensors."""

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from medcal_nb.ask.calls import Failure

if TYPE_CHECKING:
    import torch


def common(rows: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """Return the longest beginning that all token lists share."""
    pairs = zip(min(rows), max(rows), strict=False)
    return tuple(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


class Expansion:
    """What the processor made of one image: its tokens in a prompt, and its tensors.

    `plain` are the tokens of the text as the tokenizer gives them: the image is where those of the
    processor, among its `inputs` to the model, differ. Prompts that begin with the tokens `before`
    become ones that have `begun`.
    """

    def __init__(self, plain: Sequence[int], inputs: Mapping) -> None:
        import torch

        plain = tuple(plain)
        ids = tuple(inputs["input_ids"][0].tolist())
        start = len(common([plain, ids]))
        tail = len(common([plain[start:][::-1], ids[start:][::-1]]))
        self.before = plain[: len(plain) - tail]
        self.begun = ids[: len(ids) - tail]
        self.per_token: dict[str, torch.Tensor] = {}
        self.tensors: dict[str, torch.Tensor] = {}
        for name in inputs.keys() - {"input_ids", "attention_mask"}:
            value = torch.as_tensor(inputs[name])
            if value.shape[:2] == (1, len(ids)):
                self.per_token[name] = value[0]
            else:
                self.tensors[name] = value

    def expand(self, plain: Sequence[int]) -> tuple[int, ...] | Failure:
        """Put this image's tokens into those of a prompt about it, or say why not."""
        size = len(self.before)
        if tuple(plain[:size]) != self.before:
            return Failure(
                "the chat template begins two prompts about one image differently"
            )
        return (*self.begun, *plain[size:])


def pixels(
    expansions: Sequence[Expansion], lengths: Sequence[int], backend: Any
) -> "dict[str, torch.Tensor]":
    """Gather the tensors of several images for one pass over prompts of so many tokens."""
    from torch.nn.functional import pad

    parts: dict[str, list[torch.Tensor]] = {}
    width = max(lengths)
    for expansion, length in zip(expansions, lengths, strict=True):
        for name, value in expansion.per_token.items():
            # after the image all tokens are text, of type 0 in every such tensor
            line = pad(value, (width - length, length - len(value)))[None]  # or cut
            parts.setdefault(name, []).append(line)
        for name, value in expansion.tensors.items():
            parts.setdefault(name, []).append(value)
    joined = {name: _stack(values) for name, values in parts.items()}
    for name, value in joined.items():
        dtype = backend.model.dtype if value.is_floating_point() else None
        joined[name] = value.to(backend.device, dtype)
    return joined


def _stack(values: "list[torch.Tensor]") -> "torch.Tensor":
    """Join along the first axis; images of different numbers of tiles are padded with zeros."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    if len({value.shape[1:] for value in values}) == 1:
        return torch.cat(values)
    # each (1, tiles, …)
    return pad_sequence([value[0] for value in values], batch_first=True)
