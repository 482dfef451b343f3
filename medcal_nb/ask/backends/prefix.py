"""One prefix, many continuations: keys and values computed once and branched.

Prompts about one image form a tree: image → question → instruction → samples. What stands at a
node is a row of a batch of token rows (:class:`State`). Rows are chosen, copied and continued by
token lists of different lengths, padded between prefix and suffix and masked there. Positions
count real tokens only, so that padding changes no value. Samples that have drawn the same tokens
so far are one row until they part.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, groupby
from typing import Any, NamedTuple

from medcal_nb.ask.backends.expansion import Expansion, common, pixels
from medcal_nb.ask.backends.rows import Row, choose
from medcal_nb.ask.calls import BLANK, Failure, Picture, Prompt
from medcal_nb.errors import MedcalError

#: Token positions with images, or after them, that are computed in one pass.
MOST_PREFILL = 1 << 15

#: What positions of three kinds depend on beside tokens.
_MROPE = ("mm_token_type_ids", "image_grid_thw")

#: Rows that are written together: their distributions are over the whole vocabulary.
MOST_ROWS = 1024


def slices(sizes: Sequence[int], cost: float, most: int) -> Iterator[slice]:
    """Cut a list in order of size into slices, each computed in one pass.

    In a pass the shorter rows are padded. A new one begins where the padding would come to more
    than `cost`, the tokens that a pass of its own is worth, or where the slice would have more than
    `most` tokens with the padding.
    """
    low = padding = 0
    for i in range(1, len(sizes)):
        padding += (i - low) * (sizes[i] - sizes[i - 1])
        if padding > cost or (i + 1 - low) * sizes[i] > most:
            yield slice(low, i)
            low = i
            padding = 0
    if sizes:
        yield slice(low, len(sizes))


@dataclass(eq=False)
class State:
    """Keys, values, mask and next position of a batch of token rows, and their last logits."""

    cache: object
    mask: object
    position: object
    logits: object = None


class Node(NamedTuple):
    """Tokens that have been computed: a row of a state."""

    tokens: tuple
    state: State
    row: int


class Branch(NamedTuple):
    """Rows that have written the same tokens so far: a line of a state, and the next token."""

    state: State
    line: int
    token: int
    rows: list


class SharedPrefix:
    """Computes image, question and instruction once each and branches the cache."""

    def __init__(self, backend: Any) -> None:
        self.backend = backend
        self.expansions = {}
        self.nodes = defaultdict(list)
        self.shown = cache(_one_of_its_size)

    # --- tokens -----------------------------------------------------------------------------------

    def encode(self, texts: dict[Prompt, str]) -> dict[Prompt, tuple | Failure]:
        """Return the token ids of each prompt, image expanded, or a Failure."""
        written = list(texts.values())
        encoded = {}
        plain = self.backend.tokenizer(written, **self.backend.special)["input_ids"]
        for (prompt, text), tokens in zip(texts.items(), plain, strict=True):
            picture = self.shown(prompt.picture)
            if picture not in self.expansions:
                inputs = self.backend.read(text, picture)
                failed = isinstance(inputs, Failure)
                self.expansions[picture] = (
                    inputs if failed else Expansion(tokens, inputs)
                )
            image = self.expansions[picture]
            encoded[prompt] = (
                image if isinstance(image, Failure) else image.expand(tokens)
            )
        return encoded

    # --- running ----------------------------------------------------------------------------------

    def run(self, encoded: dict[Prompt, tuple | Failure], rows: list[Row]) -> None:
        """Fill in the rows' tokens and log-probabilities."""
        import torch

        with torch.inference_mode():
            for part in self._portions(encoded, rows):
                self._write(self._begin(encoded, part))
                kept = {node.state for nodes in self.nodes.values() for node in nodes}
                if (
                    sum(state.mask.numel() for state in kept)
                    > self.backend.max_positions // 4
                ):
                    # what later rounds would share is computed anew
                    self.nodes.clear()

    def _portions(self, encoded, rows):
        """Cut rows, which come image by image, into portions that fit into memory."""
        # for each of: rows being written, and these being copied; and no more than MOST_ROWS
        most = self.backend.max_positions // 2
        sizes = (
            max(len(encoded[row.prompt]) + row.limit, most // MOST_ROWS) for row in rows
        )
        numbered = zip(accumulate(sizes), rows, strict=True)
        for _, part in groupby(numbered, key=lambda pair: pair[0] // most):
            by_prompt = defaultdict(list)
            for _, row in part:
                by_prompt[row.prompt].append(row)
            yield by_prompt

    def _begin(self, encoded, by_prompt):
        """Compute what prompts share, then each to its end; branches with their first tokens."""
        ends = {p: (self.shown(p.picture), encoded[p]) for p in by_prompt}
        rows = (row for same in by_prompt.values() for row in same)
        if (
            max(2 * len(encoded[row.prompt]) + row.limit for row in rows)
            > self.backend.window
        ):
            # padding between prefix and suffix would shift what a sliding window sees
            self.nodes.clear()
        else:
            self._grow(
                {p: ends[p][:1] for p in ends if self._longest(*ends[p]) is None}, ends
            )
            # prompts with the same history share more than their question
            self._grow({p: (ends[p][0], p.block, p.turns[:-1]) for p in ends}, ends)
        found = self._compute(ends.values())
        by_state = defaultdict(list)
        for prompt, rows in by_prompt.items():
            node = found[ends[prompt]]
            by_state[node.state].append((node.row, rows))
        eos = self.backend.eos
        return [
            b for state, asked in by_state.items() for b in _sprout(state, asked, eos)
        ]

    def _grow(self, groups, ends):
        """Compute and keep what each group of prompts begins with, its image at the least."""
        members = defaultdict(list)
        for prompt, group in groups.items():
            members[group].append(ends[prompt][1])
        begun = [
            (picture, max(self.expansions[picture].begun, common(tokens), key=len))
            for (picture, *_), tokens in members.items()
        ]
        for (picture, _), node in self._compute(begun).items():
            if node not in self.nodes[picture]:
                self.nodes[picture].append(node)

    def _longest(self, picture, tokens):
        """The node that holds the longest beginning of tokens about a picture, or None."""
        fitting = (
            n for n in self.nodes[picture] if tokens[: len(n.tokens)] == n.tokens
        )
        return max(fitting, key=lambda node: len(node.tokens), default=None)

    def _compute(self, wanted):
        """Return a node for each (picture, tokens), continued from the longest beginning."""
        found = {}
        fresh = defaultdict(list)
        for picture, tokens in dict.fromkeys(wanted):
            node = self._longest(picture, tokens)
            if node and node.tokens == tokens:
                found[picture, tokens] = node
            else:
                own = len(tokens) - len(node.tokens if node else ())
                fresh[node and node.state].append((own, node, picture, tokens))
        for members in fresh.values():
            members.sort(key=lambda member: member[0])
            sizes = [own for own, *_ in members]
            for part in slices(sizes, self.backend.cut_cost, MOST_PREFILL):
                state = self._extend(members[part])
                for row, (_, _, picture, tokens) in enumerate(members[part]):
                    found[picture, tokens] = Node(tokens, state, row)
        return found

    def _extend(self, members):
        """Continue rows of one state by token lists, or begin with what holds the images."""
        import torch
        from transformers import DynamicCache

        sizes = [own for own, *_ in members]
        width = max(sizes)
        pad = self.backend.pad
        ids = [[pad] * (width - own) + [*tokens[-own:]] for own, *_, tokens in members]
        ids = torch.tensor(ids, device=self.backend.device)
        lengths = torch.tensor(sizes, device=ids.device)
        mask = torch.arange(width, device=ids.device) >= width - lengths[:, None]
        position = (mask.long().cumsum(1) - 1).clamp(min=0)
        inputs = {}
        if members[0][1] is None:
            images = [self.expansions[picture] for _, _, picture, _ in members]
            inputs = pixels(images, sizes, self.backend)
            state = State(DynamicCache(), mask, lengths)
            if index := self.backend.rope_index:
                of_images = {name: inputs[name] for name in _MROPE if name in inputs}
                position, _ = index(ids, attention_mask=mask.long(), **of_images)
                state.position = position.masked_fill(~mask, -1).amax(dim=(0, 2)) + 1
        else:
            state = _copied([(node.state, node.row) for _, node, *_ in members])
            position = state.position[:, None] + position
            state.mask = torch.cat([state.mask, mask], dim=1)
            state.position = state.position + lengths
        self._forward(state, ids, position, inputs)
        return state

    def _forward(self, state, ids, position, inputs):
        backend = self.backend
        backend.positions += ids.numel()
        if backend.rope_index and position.dim() == 2:
            position = position.expand(3, *position.shape)
        out = backend.model(
            input_ids=ids,
            attention_mask=state.mask.long(),
            position_ids=position,
            use_cache=True,
            logits_to_keep=1,
            **{backend.cache_name: state.cache},
            **inputs,
        )
        state.logits = out.logits[:, -1]

    # --- writing ----------------------------------------------------------------------------------

    def _write(self, branches):
        """Write all branches to their ends, together as far as they are alike."""
        branches.sort(key=lambda branch: branch.state.mask.shape[1])
        widths = [branch.state.mask.shape[1] for branch in branches]
        cuts = slices(widths, 16 * self.backend.cut_cost, self.backend.max_positions)
        parts = [branches[part] for part in cuts]
        branches.clear()  # states are let go of as they are joined
        while parts:
            self._decode(parts.pop())

    def _decode(self, branches):
        """Write token after token; rows that have ended leave the batch when many have."""
        import torch

        state, branches = _join(branches)
        while branches:
            ids = torch.full_like(state.position, self.backend.pad)
            lines = [branch.line for branch in branches]
            ids[lines] = ids.new_tensor([branch.token for branch in branches])
            state.mask = torch.nn.functional.pad(state.mask, (0, 1), value=True)
            self._forward(state, ids[:, None], state.position[:, None], {})
            state.position = state.position + 1
            branches = _sprout(
                state, [(b.line, b.rows) for b in branches], self.backend.eos
            )
            forked = len({branch.line for branch in branches}) < len(branches)
            if branches and (forked or len(branches) <= 0.75 * len(ids)):
                state, branches = _join(branches)


def _one_of_its_size(picture):
    """The same for all blank pictures of a size, whichever image they stand for."""
    if picture.change == BLANK:
        with suppress(
            MedcalError
        ):  # of a damaged image, which is reported where it is read
            image = picture.open()
            return Picture(f"{image.width}x{image.height}", picture.source, BLANK)
    return picture


def _sprout(state, written, eos):
    """Choose the next token of rows, by line of a state; those that choose alike stay together."""
    lines = [line for line, rows in written for _ in rows]
    rows = [row for _, rows in written for row in rows]
    branches = {}
    for line, row, token in zip(
        lines, rows, choose(state.logits, lines, rows, eos), strict=True
    ):
        if not row.ended:
            branch = branches.setdefault((line, token), Branch(state, line, token, []))
            branch.rows.append(row)
    return list(branches.values())


def _join(branches):
    """Copy branches of several states into one state, the new token of each at the same place."""
    state = _copied([(branch.state, branch.line) for branch in branches])
    return state, [Branch(state, i, b.token, b.rows) for i, b in enumerate(branches)]


def _copied(rows):
    """Copy rows, those of a state side by side, into a new state, their ends aligned.

    What a shorter row lacks is zero, and masked.
    """
    import torch
    from torch.nn.functional import pad
    from transformers import DynamicCache

    parts = [
        (state, torch.tensor([row for _, row in same], device=state.mask.device))
        for state, same in groupby(rows, key=lambda pair: pair[0])
    ]
    width = max(state.mask.shape[1] for state, _ in parts)
    cache = DynamicCache()

    def joined(tensors, *behind):
        rows = [
            pad(tensor[which], (*behind, width - state.mask.shape[1], 0))
            for tensor, (state, which) in zip(tensors, parts, strict=True)
        ]
        return torch.cat(rows)

    for i, layers in enumerate(
        zip(*(state.cache.layers for state, _ in parts), strict=True)
    ):
        keys, values = zip(
            *((layer.keys, layer.values) for layer in layers), strict=True
        )
        cache.update(joined(keys, 0, 0), joined(values, 0, 0), i)
    mask = joined([state.mask for state, _ in parts])
    return State(
        cache, mask, torch.cat([state.position[which] for state, which in parts])
    )
