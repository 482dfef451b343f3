"""One prefix, many continuations: keys and values computed once and branched.

Prompts about one image form a tree: image → question → instruction → samples. What stands at a
node is a row of a batch of token rows (:class:`State`). Rows are chosen, copied and continued by
token lists of different lengths, padded between prefix and suffix and masked there. Positions
count real tokens only, so that padding changes no value. Samples that have drawn the same tokens
so far are one row until they part.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from medcal_nb.ask.backends.expansion import Expansion, common, pixels
from medcal_nb.ask.backends.rows import Row, choose
from medcal_nb.ask.calls import Failure, Picture, Prompt

if TYPE_CHECKING:
    import torch

#: The tokens of a prompt, its image expanded.
Encoded: TypeAlias = tuple[int, ...]

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

    cache: Any
    mask: "torch.Tensor"
    position: "torch.Tensor"
    logits: Any = None


class Node(NamedTuple):
    """Tokens that have been computed: a row of a state."""

    tokens: Encoded
    state: Any
    row: int


#: No tokens and no state, of which all others are continuations.
_ROOT = Node((), None, 0)
#: Tokens about a picture.
_About: TypeAlias = tuple[Picture, Encoded]


class _Member(NamedTuple):
    """Tokens to compute: how many, behind which node, and all of them."""

    own: int
    node: Node
    picture: Picture
    tokens: Encoded


class Branch(NamedTuple):
    """Rows that have written the same tokens so far: a line of a state, and the next token."""

    state: State
    line: int
    token: int
    rows: list[Row]


class SharedPrefix:
    """Computes image, question and instruction once each and branches the cache."""

    def __init__(self, backend: Any) -> None:
        self.backend = backend
        self.expansions: dict[Picture, Expansion] = {}
        self.nodes: defaultdict[Picture, list[Node]] = defaultdict(list)

    # --- tokens -----------------------------------------------------------------------------------

    def encode(self, texts: dict[Prompt, str]) -> dict[Prompt, Encoded | Failure]:
        """Return the token ids of each prompt, image expanded, or a Failure."""
        encoded: dict[Prompt, Encoded | Failure] = {}
        plain = self.backend.tokenizer([*texts.values()], **self.backend.special)
        for (prompt, text), tokens in zip(
            texts.items(), plain["input_ids"], strict=True
        ):
            picture = prompt.picture
            if picture not in self.expansions:
                inputs = self.backend.read(text, picture)
                if isinstance(inputs, Failure):
                    encoded[prompt] = inputs
                    continue
                self.expansions[picture] = Expansion(tokens, inputs)
            encoded[prompt] = self.expansions[picture].expand(tokens)
        return encoded

    # --- running ----------------------------------------------------------------------------------

    def run(self, tokens: Mapping[Prompt, Any], rows: list[Row]) -> None:
        """Fill in the rows' tokens and log-probabilities; none is of a prompt that failed.

        Rows go image by image, as many at once as fit into memory.
        """
        import torch

        rows = sorted(rows, key=lambda row: row.prompt.picture.key)
        # for each of: rows being written, and these being copied; and no more than MOST_ROWS
        most = self.backend.max_positions // 2
        sizes = (
            max(len(tokens[row.prompt]) + row.limit, most // MOST_ROWS) for row in rows
        )
        numbered = zip(accumulate(sizes), rows, strict=True)
        with torch.inference_mode():
            for _, part in groupby(numbered, key=lambda pair: pair[0] // most):
                self._write(self._begin(tokens, [row for _, row in part]))
                states = {node.state for nodes in self.nodes.values() for node in nodes}
                if sum(state.mask.numel() for state in states) > most // 2:
                    # what later rounds would share is computed anew
                    self.nodes.clear()

    def _begin(self, encoded: Mapping[Prompt, Any], rows: list[Row]) -> list[Branch]:
        """Compute what prompts share, then each to its end; branches with their first tokens."""
        ends: dict[Prompt, _About] = {}
        widest = 0
        for row in rows:
            tokens = encoded[row.prompt]
            ends[row.prompt] = (row.prompt.picture, tokens)
            widest = max(widest, 2 * len(tokens) + row.limit)
        if widest > self.backend.window:
            # padding between prefix and suffix would shift what a sliding window sees
            self.nodes.clear()
        else:
            self._grow(ends)
        found = self._compute(ends.values())
        by_state = defaultdict(list)
        for row in rows:
            node = found[ends[row.prompt]]
            by_state[node.state].append((node.row, row))
        return [
            branch
            for state, asked in by_state.items()
            for branch in _sprout(state, asked, self.backend.eos)
        ]

    def _grow(self, ends: dict[Prompt, _About]) -> None:
        """Compute and keep what prompts begin with: their image at the least, then their history.

        Prompts with the same history share more than their question.
        """
        for of_history in (False, True):
            members: defaultdict[tuple[Picture, Any], list[Encoded]] = defaultdict(list)
            for prompt, (picture, tokens) in ends.items():
                history = (prompt.block, prompt.turns[:-1]) if of_history else None
                members[picture, history].append(tokens)
            begun = [
                (picture, max(self.expansions[picture].begun, common(tokens), key=len))
                for (picture, _), tokens in members.items()
            ]
            for (picture, _), node in self._compute(begun).items():
                if node not in self.nodes[picture]:
                    self.nodes[picture].append(node)

    def _longest(self, picture: Picture, tokens: Encoded) -> Node:
        """The node that holds the longest beginning of tokens about a picture, at first none."""
        fitting = (
            n for n in self.nodes[picture] if tokens[: len(n.tokens)] == n.tokens
        )
        return max(fitting, key=lambda node: len(node.tokens), default=_ROOT)

    def _compute(self, wanted: Iterable[_About]) -> dict[_About, Node]:
        """Return a node for each (picture, tokens), continued from the longest beginning."""
        found: dict[_About, Node] = {}
        fresh: defaultdict[State | None, list[_Member]] = defaultdict(list)
        for picture, tokens in dict.fromkeys(wanted):
            node = self._longest(picture, tokens)
            if own := len(tokens) - len(node.tokens):
                fresh[node.state].append(_Member(own, node, picture, tokens))
            else:
                found[picture, tokens] = node
        for members in fresh.values():
            members.sort(key=lambda member: member.own)
            sizes = [member.own for member in members]
            for part in slices(sizes, self.backend.cut_cost, MOST_PREFILL):
                state = self._extend(members[part])
                for row, member in enumerate(members[part]):
                    about = (member.picture, member.tokens)
                    found[about] = Node(member.tokens, state, row)
        return found

    def _extend(self, members: list[_Member]) -> State:
        """Continue rows of one state by token lists, or begin with what holds the images."""
        import torch
        from transformers import DynamicCache

        sizes = [member.own for member in members]
        width = max(sizes)
        pad = (self.backend.pad,)
        lines = [pad * (width - one.own) + one.tokens[-one.own :] for one in members]
        ids = torch.tensor(lines, device=self.backend.device)
        lengths = ids.new_tensor(sizes)
        mask = torch.arange(width, device=ids.device) >= width - lengths[:, None]
        position = (mask.long().cumsum(1) - 1).clamp(min=0)
        inputs: dict[str, torch.Tensor] = {}
        if members[0].node is _ROOT:
            images = [self.expansions[member.picture] for member in members]
            inputs = pixels(images, sizes, self.backend)
            state = State(DynamicCache(), mask, lengths)
            if index := self.backend.rope_index:
                of_images = {name: inputs[name] for name in _MROPE if name in inputs}
                position, _ = index(ids, attention_mask=mask.long(), **of_images)
                state.position = position.masked_fill(~mask, -1).amax(dim=(0, 2)) + 1
        else:
            nodes = [member.node for member in members]
            state = _copied([(node.state, node.row) for node in nodes])
            position = state.position[:, None] + position
            state.mask = torch.cat([state.mask, mask], dim=1)
            state.position = state.position + lengths
        self._forward(state, ids, position, inputs)
        return state

    def _forward(
        self,
        state: State,
        ids: "torch.Tensor",
        position: "torch.Tensor",
        inputs: "Mapping[str, torch.Tensor]",
    ) -> None:
        self.backend.positions += ids.numel()
        if self.backend.rope_index and position.dim() == 2:
            position = position.expand(3, *position.shape)
        out = self.backend.model(
            input_ids=ids,
            attention_mask=state.mask.long(),
            position_ids=position,
            use_cache=True,
            logits_to_keep=1,
            **{self.backend.cache_name: state.cache},
            **inputs,
        )
        state.logits = out.logits[:, -1]

    # --- writing ----------------------------------------------------------------------------------

    def _write(self, branches: list[Branch]) -> None:
        """Write all branches to their ends, together as far as they are alike."""
        branches.sort(key=lambda branch: branch.state.mask.shape[1])
        widths = [branch.state.mask.shape[1] for branch in branches]
        cuts = slices(widths, 16 * self.backend.cut_cost, self.backend.max_positions)
        parts = [branches[part] for part in cuts]
        branches.clear()  # states are let go of as they are joined
        while parts:
            self._decode(parts.pop())

    def _decode(self, branches: list[Branch]) -> None:
        """Write token after token; rows that have ended leave the batch, others fork in it."""
        import torch

        state, branches = _join(branches)
        while branches:
            ids = state.position.new_tensor([branch.token for branch in branches])
            state.mask = torch.nn.functional.pad(state.mask, (0, 1), value=True)
            self._forward(state, ids[:, None], state.position[:, None], {})
            state.position = state.position + 1
            asked = [(branch.line, row) for branch in branches for row in branch.rows]
            branches = _sprout(state, asked, self.backend.eos)
            if branches and [b.line for b in branches] != [*range(len(ids))]:
                state, branches = _join(branches)


def _sprout(
    state: State, asked: Iterable[tuple[int, Row]], eos: frozenset[int]
) -> list[Branch]:
    """Choose the next token of rows, by line of a state; those that choose alike stay together."""
    lines, rows = zip(*asked, strict=True)
    branches: dict[tuple[int, int], Branch] = {}
    for line, row, token in zip(
        lines, rows, choose(state.logits, lines, rows, eos), strict=True
    ):
        if not row.ended:
            branch = branches.setdefault((line, token), Branch(state, line, token, []))
            branch.rows.append(row)
    return list(branches.values())


def _join(branches: list[Branch]) -> tuple[State, list[Branch]]:
    """Copy branches of several states into one state, the new token of each at the same place."""
    state = _copied([(branch.state, branch.line) for branch in branches])
    return state, [Branch(state, i, b.token, b.rows) for i, b in enumerate(branches)]


def _copied(rows: Iterable[tuple[State, int]]) -> State:
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

    def joined(tensors: "list[torch.Tensor]", *behind: int) -> "torch.Tensor":
        aligned = []
        for tensor, (state, which) in zip(tensors, parts, strict=True):
            lacking = width - state.mask.shape[1]
            row = tensor[which]
            aligned.append(pad(row, (*behind, lacking, 0)) if lacking else row)
        return torch.cat(aligned) if aligned[1:] else aligned[0]

    for layers in zip(*(state.cache.layers for state, _ in parts), strict=True):
        layer = copy(layers[0])
        layer.keys = joined([one.keys for one in layers], 0, 0)
        layer.values = joined([one.values for one in layers], 0, 0)
        cache.layers.append(layer)
    mask = joined([state.mask for state, _ in parts])
    return State(
        cache, mask, torch.cat([state.position[which] for state, which in parts])
    )
