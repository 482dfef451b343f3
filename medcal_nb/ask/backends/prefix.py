"""One prefix, many continuations: keys and values computed once and branched.

Prompts about one image form a tree: image → question → instruction → samples. Each node is a
batch of token rows (:class:`State`); a node's rows are chosen, copied and continued by token
lists of different lengths, padded between prefix and suffix and masked there. Positions count
real tokens only, so that padding changes no value. Samples that have drawn the same tokens so
far are one row until they part.
"""

import itertools
from dataclasses import dataclass, replace
from typing import NamedTuple

from medcal_nb.ask.backends.cache import gather, new_cache
from medcal_nb.ask.backends.expansion import Expansion, pixels
from medcal_nb.ask.backends.rows import Chooser
from medcal_nb.ask.backends.whole import WholePrompts
from medcal_nb.ask.calls import BLANK, Failure, Picture, open_picture, refusal


def _common_prefix(rows):
    """Length of the longest beginning that all token lists share."""
    first, last = min(rows), max(rows)
    n = 0
    for a, b in zip(first, last, strict=False):
        if a != b:
            break
        n += 1
    return n


def slices(sizes, cost, fits):
    """Cut a list in order of size into slices, each computed in one pass.

    In a pass the shorter rows are padded. A new one begins where the padding would come to more
    than `cost`, the tokens that a pass of its own is worth, or where ``fits(low, high)`` is false
    of the entries that would share it; one that fits nowhere stands alone.
    """
    low = padding = 0
    for i in range(1, len(sizes)):
        padding += (i - low) * (sizes[i] - sizes[i - 1])
        if padding > cost or not fits(low, i + 1):
            yield slice(low, i)
            low, padding = i, 0
    if sizes:
        yield slice(low, len(sizes))


@dataclass
class State:
    """Keys, values, mask and next position of a batch of token rows, and their last logits."""

    cache: object
    mask: object
    position: object
    logits: object


class Trunk(NamedTuple):
    """Tokens to compute about a picture; `ends` where a prompt ends there."""

    picture: object
    tokens: list
    ends: bool


class Node(NamedTuple):
    """Tokens that have been computed: a row of a state; its last logits where a prompt ends."""

    tokens: list
    state: State
    row: int
    ends: bool


@dataclass(frozen=True)
class Branch:
    """Rows that have written the same tokens so far: a line of a state, and the next token."""

    state: State
    line: int
    token: int
    rows: list

    @property
    def width(self):
        return self.state.mask.shape[1]


def _longest(nodes, tokens):
    """The node that holds the longest beginning of `tokens`, or None."""
    fitting = (node for node in nodes if tokens[: len(node.tokens)] == node.tokens)
    return max(fitting, key=lambda node: len(node.tokens), default=None)


class SharedPrefix:
    """Computes image, question and instruction once each and branches the cache."""

    def __init__(self, backend):
        self.backend = backend
        # a step of writing computes one token a row, so that more rows fit than prompts
        self.most_branches = 4 * backend.max_rows
        # for each of: the tree, prompts that wait, rows being written, and these being copied
        self.most_held = backend.max_positions // 2
        self.pictures = {}
        self.expansions = {}
        self.nodes = {}
        self.hooks = [hook for module in backend.last_modules for hook in _last_alone(module)]

    def close(self):
        for hook in self.hooks:
            hook.remove()
        self.pictures.clear()
        self.expansions.clear()
        self.nodes.clear()

    # tokens

    def encode(self, prompts, texts):
        """Return the token ids of each prompt, image expanded, or a Failure."""
        backend = self.backend
        fresh, images, opened = {}, {}, {}
        for prompt, text in zip(prompts, texts, strict=True):
            if prompt.picture not in self.pictures:
                image = open_picture(prompt.picture, opened)
                picture = self._canonical(prompt.picture, image)
                self.pictures[prompt.picture] = picture
                if isinstance(image, Failure):
                    self.expansions[picture] = image
                elif picture not in self.expansions:
                    fresh.setdefault(picture, text)
                    images.setdefault(picture, image)
        self._process(images, fresh)
        special = backend._special(texts[0])
        plain = backend.tokenizer(texts, **special)["input_ids"]
        self.prompts, self.texts = prompts, texts
        # prompts with the same history share more than their question
        self.groups = [
            (self.pictures[prompt.picture], prompt.block, prompt.turns[:-1]) for prompt in prompts
        ]
        encoded = []
        for prompt, text, ids in zip(prompts, texts, plain, strict=True):
            expansion = self.expansions[self.pictures[prompt.picture]]
            if isinstance(expansion, Failure):
                encoded.append(expansion)
            else:
                encoded.append(expansion.expand(text, ids, prompt.picture))
        return encoded

    @staticmethod
    def _canonical(picture, image):
        """Blank images of one size are one picture, whichever image they stand for."""
        if picture.change == BLANK and not isinstance(image, Failure):
            return Picture(f"{image.width}x{image.height}", None, BLANK)
        return picture

    def _process(self, images, texts):
        """Run the processor on new images together, or one by one to find a bad one."""
        backend, pictures = self.backend, list(images)
        if not pictures:
            return
        firsts = [texts[picture] for picture in pictures]
        try:
            inputs, ids = backend._process(firsts, list(images.values()))
        except Exception as error:
            if len(pictures) == 1:
                self.expansions[pictures[0]] = refusal(error)
                return
            for picture in pictures:
                self._process({picture: images[picture]}, texts)
            return
        plain = backend.tokenizer(firsts, **backend._special(firsts[0]))["input_ids"]
        for i, picture in enumerate(pictures):
            self.expansions[picture] = Expansion(backend, firsts[i], plain[i], ids[i], inputs, i)
            self.nodes[picture] = []

    # running

    def run(self, encoded, rows):
        """Fill in the rows' tokens and log-probabilities."""
        import torch

        window = self.backend.window
        if window and any(2 * len(encoded[r.prompt]) + r.limit > window for r in rows):
            # padding between prefix and suffix would shift what a sliding window sees
            whole = WholePrompts(self.backend)
            whole.encode(self.prompts, self.texts)
            whole.run(encoded, rows)
            return
        by_prompt = {}
        for r, row in enumerate(rows):
            by_prompt.setdefault(row.prompt, []).append(r)
        choose = Chooser(rows, self.backend.eos, self.backend.device)
        with torch.inference_mode():
            for portion in self._portions(by_prompt, encoded):
                self._ask(portion, encoded, choose)
                if _positions_of(n.state for nodes in self.nodes.values() for n in nodes) > (
                    self.most_held // 2
                ):
                    # what later rounds would share is computed anew rather than kept
                    for p in portion:
                        self.nodes[self.groups[p][0]] = []

    def _portions(self, by_prompt, encoded):
        """Cut prompts by picture, so that the tree of a portion takes a bounded part of memory."""
        by_picture = {}
        for p in by_prompt:
            by_picture.setdefault(self.groups[p][0], []).append(p)
        portion, size = {}, 0
        for members in by_picture.values():
            longest = max(len(encoded[p]) for p in members)
            more = (1 + len({self.groups[p] for p in members})) * longest
            if portion and size + more > self.most_held // 2:
                yield portion
                portion, size = {}, 0
            portion.update((p, by_prompt[p]) for p in members)
            size += more
        if portion:
            yield portion

    def _ask(self, by_prompt, encoded, choose):
        """Compute prompts and write all their rows."""
        places = self._grow(encoded, sorted(by_prompt))
        waiting = []
        for chunk in self._chunks(by_prompt, encoded, places):
            more = len(chunk) * max(len(encoded[p]) for p in chunk)
            held = _positions_of(branch.state for branch in waiting)
            if len(waiting) >= self.most_branches or held + more > self.most_held:
                self._write(waiting, choose)
                waiting = []
            waiting += self._branch(chunk, by_prompt, encoded, places, choose)
        self._write(waiting, choose)

    def _chunks(self, by_prompt, encoded, places):
        """Cut prompts into those whose own tokens are computed together."""
        own = {p: len(encoded[p]) - len(places[p].tokens) for p in by_prompt}
        states = {}
        for p in by_prompt:
            states.setdefault(id(places[p].state), []).append(p)
        for members in states.values():
            members.sort(key=lambda p: (own[p], p))
            lengths = [len(encoded[p]) for p in members]

            def fits(low, high, lengths=lengths):
                n = high - low
                held = n * max(lengths[low:high])
                return n <= self.backend.max_rows and held <= self.most_held

            cuts = slices([own[p] for p in members], self.backend.cut_cost, fits)
            yield from (members[part] for part in cuts)

    def _grow(self, encoded, wanted):
        """Grow the tree until every wanted prompt has a node to continue from."""
        groups = {}
        for p in wanted:
            groups.setdefault(self.groups[p], []).append(encoded[p])
        trunks, roots = [], {}
        for group, ids in groups.items():
            picture = group[0]
            if all(other == ids[0] for other in ids):
                trunk = Trunk(picture, ids[0], True)
            else:
                # a trunk leaves its prompts at least one token of their own
                size = min(_common_prefix(ids), min(map(len, ids)) - 1)
                trunk = Trunk(picture, ids[0][:size], False)
            trunks.append(trunk)
            if _longest(self.nodes[picture], trunk.tokens[:-1]) is None:
                roots.setdefault(picture, []).append(trunk)
        self._prefill([self._root(members) for members in roots.values()])
        by_state = {}
        for trunk in trunks:
            nodes = self.nodes[trunk.picture]
            if any(n.tokens == trunk.tokens and n.ends >= trunk.ends for n in nodes):
                continue
            parent = _longest(nodes, trunk.tokens[:-1])
            by_state.setdefault(id(parent.state), []).append((parent, trunk))
        for members in by_state.values():
            members.sort(key=lambda pair: len(pair[1].tokens) - len(pair[0].tokens))
            sizes = [len(trunk.tokens) - len(parent.tokens) for parent, trunk in members]
            for part in slices(sizes, self.backend.cut_cost, self._few):
                self._add(members[part])
        places = {}
        for p in wanted:
            nodes = self.nodes[self.groups[p][0]]
            ended = next((n for n in nodes if n.ends and n.tokens == encoded[p]), None)
            places[p] = ended or _longest(nodes, encoded[p][:-1])
        return places

    def _few(self, low, high):
        return high - low <= self.backend.max_rows

    def _root(self, trunks):
        """The tokens with which all prompts about a picture begin, its image at the least."""
        if len(trunks) == 1:
            return trunks[0]
        picture, rows = trunks[0].picture, [trunk.tokens for trunk in trunks]
        size = min(_common_prefix(rows), min(map(len, rows)) - 1)
        size = max(size, self.expansions[picture].image_end)
        return Trunk(picture, rows[0][:size], False)

    def _add(self, members):
        """Continue parent nodes by the rest of their trunks."""
        state = members[0][0].state
        ends = any(trunk.ends for _, trunk in members)
        grown = self._extend(
            state,
            [parent.row for parent, _ in members],
            [trunk.tokens[len(parent.tokens) :] for parent, trunk in members],
            logits=ends,
        )
        for row, (_, trunk) in enumerate(members):
            self.nodes[trunk.picture].append(Node(trunk.tokens, grown, row, trunk.ends))

    def _prefill(self, trunks):
        """Compute trunks that begin with an image, from scratch."""
        backend = self.backend
        trunks = sorted(trunks, key=lambda trunk: len(trunk.tokens))
        sizes = [len(trunk.tokens) for trunk in trunks]

        def fits(low, high):
            return self._few(low, high) and (high - low) * sizes[high - 1] <= backend.max_prefill

        for cut in slices(sizes, backend.cut_cost, fits):
            part = trunks[cut]
            rows = [trunk.tokens for trunk in part]
            ids, mask = self._left_pad(rows)
            expansions = [self.expansions[trunk.picture] for trunk in part]
            inputs = pixels(expansions, ids.shape[1], [len(row) for row in rows], backend)
            position, after = self._positions(ids, mask, inputs)
            state = State(new_cache(), mask, after, None)
            ends = any(trunk.ends for trunk in part)
            self._forward(state, ids, position, inputs, logits=ends)
            for row, trunk in enumerate(part):
                self.nodes[trunk.picture].append(Node(trunk.tokens, state, row, trunk.ends))

    def _positions(self, ids, mask, inputs):
        """Positions of rows that begin with an image, and the position after each."""
        if not self.backend.mrope:
            return (mask.long().cumsum(1) - 1).clamp(min=0), mask.long().sum(1)
        wanted = ("mm_token_type_ids", "image_grid_thw")
        position, _ = self.backend.inner.get_rope_index(
            ids, attention_mask=mask.long(), **{k: v for k, v in inputs.items() if k in wanted}
        )
        return position, position.masked_fill(~mask, -1).amax(dim=(0, 2)) + 1

    def _left_pad(self, rows):
        import torch

        width, pad = max(map(len, rows)), self.backend.pad
        ids = torch.tensor([[pad] * (width - len(row)) + row for row in rows])
        lengths = torch.tensor([len(row) for row in rows])
        mask = torch.arange(width) >= width - lengths[:, None]
        return ids.to(self.backend.device), mask.to(self.backend.device)

    def _extend(self, state, parents, suffixes, *, logits):
        """Continue rows of `state` by token lists of different lengths (padded between)."""
        import torch

        which = torch.tensor(parents, device=self.backend.device)
        ids, mask = self._left_pad(suffixes)
        start = state.position[which]
        position = start[:, None] + (mask.long().cumsum(1) - 1).clamp(min=0)
        grown = State(
            gather([(state.cache, which)], room=ids.shape[1]),
            torch.cat([state.mask[which], mask], dim=1),
            start + mask.long().sum(1),
            None,
        )
        self._forward(grown, ids, position, {}, logits=logits)
        return grown

    def _forward(self, state, ids, position, inputs, *, logits):
        backend = self.backend
        backend.positions += ids.numel()
        if backend.mrope and position.dim() == 2:
            position = position.expand(3, *position.shape)
        out = backend.model(
            input_ids=ids,
            attention_mask=state.mask.long(),
            position_ids=position,
            use_cache=True,
            **{backend.cache_name: state.cache},
            **backend.keep_last,
            **inputs,
        )
        state.logits = out.logits[:, -1] if logits else None

    def _branch(self, chunk, by_prompt, encoded, places, choose):
        """Compute what a chunk of prompts has of its own, and choose their rows' first tokens."""
        branches, parts = [], {}
        for p in chunk:
            whole = len(places[p].tokens) == len(encoded[p])
            parts.setdefault((id(places[p].state), whole), []).append(p)
        for (_, whole), members in parts.items():
            state, lines = places[members[0]].state, [places[p].row for p in members]
            if not whole:
                own = [encoded[p][len(places[p].tokens) :] for p in members]
                state = self._extend(state, lines, own, logits=True)
                lines = range(len(members))
            asked = [by_prompt[p] for p in members]
            branches += _sprout(state, zip(lines, asked, strict=True), choose)
        return branches

    def _write(self, branches, choose):
        """Write all branches to their ends, together as far as they are alike and fit."""
        pieces, lengths = [], []
        for branch in sorted(branches, key=lambda branch: branch.width):
            length = branch.width + max(choose.rows[r].most for r in branch.rows)
            step = max(1, min(self.most_branches, self.most_held // length))
            for low in range(0, len(branch.rows), step):
                pieces.append(replace(branch, rows=branch.rows[low : low + step]))
                lengths.append(length)
        before = [0, *itertools.accumulate(len(branch.rows) for branch in pieces)]

        def fits(low, high):
            n = before[high] - before[low]
            return n <= self.most_branches and n * max(lengths[low:high]) <= self.most_held

        widths = [branch.width for branch in pieces]
        for part in slices(widths, 16 * self.backend.cut_cost, fits):
            self._decode(pieces[part], choose)

    def _decode(self, branches, choose):
        """Write token after token; rows that have ended leave the batch when many have."""
        import torch

        device = self.backend.device
        state, branches = _join(branches, choose.rows)
        while branches:
            n = len(state.mask)
            tokens = [self.backend.pad] * n
            for branch in branches:
                tokens[branch.line] = branch.token
            one = torch.ones((n, 1), dtype=torch.bool, device=device)
            state.mask = torch.cat([state.mask, one], dim=1)
            ids = torch.tensor(tokens, device=device)[:, None]
            self._forward(state, ids, state.position[:, None], {}, logits=True)
            state.position = state.position + 1
            branches = _sprout(state, [(b.line, b.rows) for b in branches], choose)
            forked = len({branch.line for branch in branches}) < len(branches)
            if branches and (forked or len(branches) <= 0.75 * n):
                state, branches = _join(branches, choose.rows)


def last_modules(model):
    """What a text decoder does after its last attention: modules whose other outputs none reads."""
    try:
        layer = model.get_decoder().layers[-1]
        return [layer.self_attn.o_proj, layer.mlp]
    except AttributeError:
        return []  # named otherwise: computed in full


def _last_alone(module):
    """Have a module compute the last position of each row alone; zeros stand for the others.

    Returns the hooks, which are removed when the session ends.
    """
    from torch.nn.functional import pad

    lengths = []

    def shorten(module, arguments):
        lengths.append(arguments[0].shape[1])
        return (arguments[0][:, -1:], *arguments[1:])

    def lengthen(module, arguments, result):
        return pad(result, (0, 0, lengths.pop() - 1, 0))

    return [module.register_forward_pre_hook(shorten), module.register_forward_hook(lengthen)]


def _once(states):
    """Each of the states once, in order."""
    return list({id(state): state for state in states}.values())


def _positions_of(states):
    """How many token positions states hold keys and values of."""
    return sum(state.mask.numel() for state in _once(states))


def _sprout(state, written, choose):
    """Choose the next token of rows, by line of a state; those that choose alike stay together."""
    written = list(written)
    active = [r for _, rows in written for r in rows]
    lines = [line for line, rows in written for _ in rows]
    branches = {}
    for line, r, token in zip(lines, active, choose(state.logits, active, lines), strict=True):
        if not choose.rows[r].ended:
            branch = branches.setdefault((line, token), Branch(state, line, token, []))
            branch.rows.append(r)
    return list(branches.values())


def _join(branches, rows):
    """Gather branches of several states into one state, the new token of each at the same place."""
    import torch

    parts, joined = [], []
    for state in _once(branch.state for branch in branches):
        members = [branch for branch in branches if branch.state is state]
        which = torch.tensor([branch.line for branch in members], device=state.mask.device)
        parts.append((state, which))
        joined += members
    width = max(state.mask.shape[1] for state, _ in parts)
    mask = parts[0][0].mask.new_zeros((len(joined), width))
    low = 0
    for state, which in parts:
        mask[low : low + len(which), width - state.mask.shape[1] :] = state.mask[which]
        low += len(which)
    position = torch.cat([state.position[which] for state, which in parts])
    room = max(rows[r].most - len(rows[r].tokens) for branch in branches for r in branch.rows)
    cache = gather([(state.cache, which) for state, which in parts], room=min(room, 64))
    state = State(cache, mask, position, None)
    return state, [Branch(state, i, b.token, b.rows) for i, b in enumerate(joined)]
