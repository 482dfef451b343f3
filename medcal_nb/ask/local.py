"""Local models: any checkpoint that ``AutoModelForImageTextToText`` loads.

Prompts about one image form a tree: image → question → instruction → samples. Each node is
computed once and its keys and values are branched (:class:`_Shared`). Architectures whose
positions or masks make that unsafe are asked with whole prompts through ``model.generate``
(:class:`_Whole`); the replies are the same, only the cost differs.

Sampling draws one uniform number per token from a generator keyed by the call's own seed and
inverts the cumulative distribution, so that a sample belongs to its item and number and not to
the batch it happened to be in.
"""

import hashlib
import math
import time
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from medcal_nb.ask.models import (
    GENERATE,
    LABELS,
    LOGPROBS,
    SAMPLE,
    TURNS,
    Failure,
    Generate,
    LabelProbabilities,
    Labels,
    Reply,
)
from medcal_nb.errors import MedcalError

#: Model types whose text decoder has plain causal attention and one position a token, so that
#: a prefix computed once serves every continuation. Others are asked with whole prompts.
SHAREABLE = frozenset(
    [
        "idefics3",
        "smolvlm",
        "llava",
        "llava_next",
        "llava_onevision",
        "internvl",
        "gemma3",
        "qwen2_vl",
        "qwen2_5_vl",
        "qwen3_vl",
    ]
)

_NO_TEMPLATE = "the checkpoint has no chat template, so there is no second turn"


def uniforms(seed, n):
    """Return `n` numbers in [0, 1) that depend on the text `seed` alone."""
    key = int.from_bytes(hashlib.blake2b(seed.encode(), digest_size=16).digest(), "little")
    return np.random.Generator(np.random.Philox(key=key)).random(n)


def _common_prefix(rows):
    """Length of the longest beginning that all token lists share."""
    first, last = min(rows), max(rows)
    n = 0
    for a, b in zip(first, last, strict=False):
        if a != b:
            break
        n += 1
    return n


@dataclass
class _Row:
    """One continuation of a prompt: greedy, sampled (`draws`) or forced (`forced`)."""

    prompt: int
    limit: int
    draws: np.ndarray | None = None
    temperature: float = 1.0
    forced: list[int] | None = None
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    ended: bool = False


class _Chooser:
    """Chooses the next token of each row and books its log-probability."""

    def __init__(self, rows, eos, device):
        import torch

        self.rows = rows
        self.eos = eos
        self.torch = torch
        self.device = device

    def __call__(self, logits, active):
        """Choose for the rows numbered `active`; return the tokens, extend and end the rows."""
        torch = self.torch
        logits = logits.float()
        logprobs = torch.log_softmax(logits, dim=-1)
        chosen = logits.argmax(dim=-1)
        sampled = [i for i, r in enumerate(active) if self.rows[r].draws is not None]
        if sampled:
            which = torch.tensor(sampled, device=logits.device)
            temperature = torch.tensor(
                [self.rows[active[i]].temperature for i in sampled], device=logits.device
            )
            shares = torch.softmax(logits[which].double() / temperature[:, None], dim=-1)
            total = shares.cumsum(dim=-1)
            draws = [self.rows[active[i]].draws[len(self.rows[active[i]].tokens)] for i in sampled]
            draws = torch.tensor(draws, dtype=torch.float64, device=logits.device)[:, None]
            found = torch.searchsorted(total, draws * total[:, -1:], right=True)[:, 0]
            chosen[which] = found.clamp(max=logits.shape[-1] - 1)
        for i, r in enumerate(active):
            forced = self.rows[r].forced
            if forced is not None:
                chosen[i] = forced[len(self.rows[r].tokens)]
        booked = logprobs.gather(1, chosen[:, None])[:, 0].tolist()
        chosen = chosen.tolist()
        for token, logprob, r in zip(chosen, booked, active, strict=True):
            row = self.rows[r]
            if row.forced is None and token in self.eos:
                row.ended = True
                continue
            row.tokens.append(token)
            row.logprobs.append(logprob)
            row.ended = len(row.tokens) >= (row.limit if row.forced is None else len(row.forced))
        return chosen


class LocalModel:
    """An image-text-to-text checkpoint on this machine.

    Parameters
    ----------
    model, processor
        As the Auto classes return them.
    name : str
        The name that stands in the answers table.
    device : str, optional
        By default a GPU where there is one.
    share : bool, optional
        Whether prompts about an image share its prefix; by default for `SHAREABLE` types.
    max_rows : int
        Replies under way at once.
    max_positions : int
        Token positions kept in memory at once, over all replies.
    """

    def __init__(
        self,
        model,
        processor,
        *,
        name,
        device=None,
        share=None,
        max_rows=256,
        max_positions=1 << 19,
    ):
        import inspect

        import torch

        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.device = torch.device(device)
        self.model = model.to(self.device).eval()
        self.processor = processor
        self.tokenizer = getattr(processor, "tokenizer", processor)
        self.tokenizer.padding_side = "left"
        self.name = name
        self.model_type = model.config.model_type
        self.share = self.model_type in SHAREABLE if share is None else share
        self.max_rows = max_rows
        self.max_positions = max_positions
        accepts = inspect.signature(model.forward).parameters
        self.cache_name = "cache" if "cache" in accepts else "past_key_values"
        self.keep_last = {"logits_to_keep": 1} if "logits_to_keep" in accepts else {}
        self.eos = self._eos()
        pad = self.tokenizer.pad_token_id
        self.pad = pad if pad is not None else min(self.eos, default=0)
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token_id = self.pad
        self.template = getattr(processor, "chat_template", None) or getattr(
            self.tokenizer, "chat_template", None
        )
        self.image_token = getattr(processor, "image_token_id", None)
        self.inner = getattr(model, "model", model)
        self.mrope = hasattr(self.inner, "get_rope_index")
        text = getattr(model.config, "text_config", model.config)
        sliding = "sliding_attention" in (getattr(text, "layer_types", None) or ())
        self.window = text.sliding_window if sliding else None
        self.as_text = False
        can = {GENERATE, SAMPLE, LABELS, LOGPROBS}
        self.cannot = {}
        if self.template:
            can.add(TURNS)
            self._check_template()
        else:
            self.cannot[TURNS] = _NO_TEMPLATE
        self.can = frozenset(can)
        self.splices = True
        self._label_ids = {}

    @classmethod
    def load(cls, checkpoint, *, name=None, device=None, revision=None, **options):
        """Load a folder or hub id; remote code is never run.

        Raises
        ------
        MedcalError
            When the checkpoint is gated, missing, damaged, of another kind, needs code of its
            own, or the disk is full; the message says what to do.
        """
        import torch
        from transformers import AutoModelForImageTextToText, AutoProcessor
        from transformers.utils import logging

        logging.disable_progress_bar()
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        dtype = torch.bfloat16 if str(device).startswith("cuda") else torch.float32
        common = {"revision": revision, "trust_remote_code": False}
        try:
            processor = AutoProcessor.from_pretrained(checkpoint, **common)
            model = AutoModelForImageTextToText.from_pretrained(checkpoint, dtype=dtype, **common)
        except Exception as error:
            raise MedcalError(_loading_advice(name or checkpoint, error)) from error
        return cls(model, processor, name=name or checkpoint, device=device, **options)

    # --- prompts ---------------------------------------------------------------------------

    def _eos(self):
        found = []
        configured = getattr(self.model, "generation_config", None)
        for ids in (getattr(configured, "eos_token_id", None), self.tokenizer.eos_token_id):
            found += list(ids) if isinstance(ids, (list, tuple)) else [ids]
        return frozenset(i for i in found if i is not None)

    def _messages(self, turns):
        messages = []
        for i, text in enumerate(turns):
            content = [{"type": "text", "text": text}]
            if i == 0:
                content.insert(0, {"type": "image"})
            elif self.as_text:
                content = text
            messages.append({"role": "assistant" if i % 2 else "user", "content": content})
        return messages

    def _check_template(self):
        """Some templates write only turns whose content is plain text; see which this is."""
        turns = ("alpha", "beta", "gamma")
        for self.as_text in (False, True):
            try:
                text = self._render(turns)
            except Exception:
                continue
            if all(text.count(turn) == 1 for turn in turns):
                return
        raise MedcalError(
            f"{self.name}: its chat template does not write a conversation of three turns; "
            "pass a checkpoint with a chat template for images and several turns"
        )

    def _render(self, turns):
        if self.template:
            return self.processor.apply_chat_template(
                self._messages(turns), tokenize=False, add_generation_prompt=True
            )
        return getattr(self.processor, "image_token", "<image>") + turns[0]

    def show(self, prompt):
        """Return the exact text that the model is given for `prompt` (image not expanded)."""
        return self._render(prompt.turns)

    def count_tokens(self, prompt):
        """Return the number of tokens of `prompt`, those of the image included."""
        return len(self._process([self._render(prompt.turns)], [prompt.picture.open()])[1][0])

    def _special(self, text):
        bos = self.tokenizer.bos_token
        return {"add_special_tokens": False} if bos and text.startswith(bos) else {}

    def _process(self, texts, images):
        """Run the processor on texts with one image each: its tensors, and ids without padding."""
        special = self._special(texts[0])
        inputs = self.processor(
            text=texts, images=[[image] for image in images], padding=True, return_tensors="pt",
            **special,
        )  # fmt: skip
        mask = inputs["attention_mask"].bool()
        ids = [row[keep].tolist() for row, keep in zip(inputs["input_ids"], mask, strict=True)]
        return inputs, ids

    def label_ids(self, text, label):
        """Return the token ids of `label` as the model would write it right after `text`."""
        key = (text[-24:], label)
        if key not in self._label_ids:
            plain = self.tokenizer(label, add_special_tokens=False)["input_ids"]
            before = self.tokenizer(text, add_special_tokens=False)["input_ids"]
            joint = self.tokenizer(text + label, add_special_tokens=False)["input_ids"]
            split = len(before)
            self._label_ids[key] = joint[split:] if joint[:split] == before else plain
        return self._label_ids[key]

    # --- asking ----------------------------------------------------------------------------

    @contextmanager
    def session(self):
        """Open a batch: what its rounds of calls share is computed once."""
        engine = _Shared(self) if self.share else _Whole(self)
        try:
            yield _LocalSession(self, engine)
        finally:
            engine.close()


def _loading_advice(name, error):
    """Say in one line why a checkpoint did not load and what to do."""
    text = " ".join(str(error).split())
    kind = type(error).__name__
    if kind == "GatedRepoError" or "gated repo" in text.lower():
        return (
            f"{name}: the checkpoint is gated: accept its terms on its hub page, then log in "
            "with `hf auth login` and run the same command again"
        )
    if "No space left" in text or getattr(error, "errno", None) == 28:
        return (
            f"{name}: no space left on the disk: free some, or set HF_HOME to a folder on a "
            "larger disk, and run the same command again"
        )
    if "trust_remote_code" in text or "custom code" in text:
        return (
            f"{name}: the checkpoint needs code of its own, which is never run here: use a "
            "version for transformers (often named …-hf), or serve it and give the URL"
        )
    if kind in ("RepositoryNotFoundError", "RevisionNotFoundError") or "not a valid model" in text:
        return f"{name}: no such checkpoint on the hub (or it is private): check name and revision"
    if kind in ("ConnectionError", "LocalEntryNotFoundError", "OfflineModeIsEnabled") or (
        "connect" in text.lower() or "offline" in text.lower()
    ):
        return f"{name}: the hub cannot be reached and there is no local copy: {text[:160]}"
    return f"{name}: does not load as an image-text-to-text checkpoint: {kind}: {text[:240]}"


class _LocalSession:
    """Turns calls into rows of tokens, and rows back into results."""

    def __init__(self, backend, engine):
        self.backend = backend
        self.engine = engine

    def run(self, calls):
        """Answer `calls`, in order."""
        started = time.perf_counter()
        backend, tokenizer = self.backend, self.backend.tokenizer
        prompts = list(dict.fromkeys(call.prompt for call in calls))
        number = {prompt: i for i, prompt in enumerate(prompts)}
        texts = [backend._render(prompt.turns) for prompt in prompts]
        encoded = self.engine.encode(prompts, texts)
        rows, plans = [], []
        for call in calls:
            i = number[call.prompt]
            if isinstance(encoded[i], Failure):
                plans.append(encoded[i])
            elif isinstance(call, Generate):
                draws = uniforms(call.seed, call.max_new_tokens) if call.seed else None
                rows.append(_Row(i, call.max_new_tokens, draws, call.temperature))
                plans.append(rows[-1])
            elif isinstance(call, Labels):
                plans.append(self._label_rows(i, texts[i], call.labels))
                if not isinstance(plans[-1], Failure):
                    rows += [row for variants in plans[-1] for row in variants]
            else:
                raise TypeError(f"a local model cannot answer a {type(call).__name__} call")
        self.engine.run(encoded, rows)
        lengths = [0 if isinstance(e, Failure) else len(e) for e in encoded]
        spent = time.perf_counter() - started
        weights = [
            0 if isinstance(plan, Failure) else lengths[number[call.prompt]] + _written(plan)
            for call, plan in zip(calls, plans, strict=True)
        ]
        unit = spent / max(1, sum(weights))
        results = []
        for call, plan, weight in zip(calls, plans, weights, strict=True):
            length = lengths[number[call.prompt]]
            if isinstance(plan, Failure):
                results.append(plan)
            elif isinstance(call, Generate):
                text = tokenizer.decode(plan.tokens, skip_special_tokens=True).strip()
                results.append(
                    Reply(
                        text,
                        math.fsum(plan.logprobs),
                        length,
                        len(plan.tokens),
                        weight * unit,
                        len(plan.tokens) < plan.limit,
                    )
                )
            else:
                results.append(_label_result(call.labels, plan, length, weight * unit))
        return results

    def _label_rows(self, prompt, text, labels):
        """One forced row per way of writing a label.

        A label counts in the ways models write it: as given and with a capital. The tokens of
        a label are scored in full. Where the tokens of one label begin another's, the end of
        the reply is scored too, so that "left" does not take what belongs to "left lower".
        """
        ways, seen, unknown = [], set(), self.backend.tokenizer.unk_token_id
        for label in labels:
            kept = []
            for way in dict.fromkeys((label, label[:1].upper() + label[1:])):
                ids = tuple(self.backend.label_ids(text, way))
                if ids and ids not in seen and unknown not in ids:
                    seen.add(ids)
                    kept.append(ids)
            if not kept:
                return Failure(f"the model has no tokens of its own to write the label {label!r}")
            ways.append(kept)
        flat = [ids for kept in ways for ids in kept]
        nested = any(a != b and b[: len(a)] == a for a in flat for b in flat)
        end = [min(self.backend.eos)] if nested and self.backend.eos else []
        return [[_Row(prompt, 0, forced=[*ids, *end]) for ids in kept] for kept in ways]


def _written(plan):
    if isinstance(plan, _Row):
        return len(plan.tokens)
    return sum(len(row.tokens) for variants in plan for row in variants)


def _label_result(labels, plan, length, seconds):
    scores = []
    for variants in plan:
        scores.append(np.logaddexp.reduce([math.fsum(row.logprobs) for row in variants]))
    scores = np.array(scores, dtype=float)
    mass = float(np.logaddexp.reduce(scores))
    shares = np.exp(scores - mass)
    named = {label: float(share) for label, share in zip(labels, shares, strict=True)}
    return LabelProbabilities(named, min(1.0, math.exp(mass)), length, seconds)


def _open(picture):
    """Open a picture, or tell why it cannot be opened."""
    try:
        return picture.open()
    except MedcalError as error:
        return Failure(str(error))


# --- one prefix, many continuations ------------------------------------------------------------


@dataclass
class _State:
    """Keys, values, mask and next position of a batch of token rows, and their last logits."""

    cache: object
    mask: object
    position: object
    logits: object


class _Shared:
    """Computes image, question and instruction once each and branches the cache."""

    def __init__(self, backend):
        self.backend = backend
        self.expansions = {}
        self.heads = {}
        self.trunks = {}

    def close(self):
        self.expansions.clear()
        self.heads.clear()
        self.trunks.clear()

    # tokens

    def encode(self, prompts, texts):
        """Return the token ids of each prompt, image expanded, or a Failure."""
        backend = self.backend
        fresh = {}
        for prompt, text in zip(prompts, texts, strict=True):
            if prompt.picture not in self.expansions:
                fresh.setdefault(prompt.picture, text)
        usable = {}
        for picture in fresh:
            image = _open(picture)
            if isinstance(image, Failure):
                self.expansions[picture] = image
            else:
                usable[picture] = image
        if usable:
            pictures = list(usable)
            firsts = [fresh[picture] for picture in pictures]
            inputs, ids = backend._process(firsts, list(usable.values()))
            for i, picture in enumerate(pictures):
                self.expansions[picture] = _Expansion(backend, firsts[i], ids[i], inputs, i)
        special = backend._special(texts[0])
        plain = backend.tokenizer(texts, **special)["input_ids"]
        encoded = []
        self.prompts, self.texts = prompts, texts
        self.blocks = [(prompt.picture, prompt.block) for prompt in prompts]
        for prompt, text, ids in zip(prompts, texts, plain, strict=True):
            expansion = self.expansions[prompt.picture]
            if isinstance(expansion, Failure):
                encoded.append(expansion)
            else:
                encoded.append(expansion.expand(text, ids, prompt.picture))
        return encoded

    # running

    def run(self, encoded, rows):
        """Fill in the rows' tokens and log-probabilities."""
        torch, window = _torch(), self.backend.window
        if window and any(2 * len(encoded[r.prompt]) + r.limit > window for r in rows):
            # padding between prefix and suffix would shift what a sliding window sees
            whole = _Whole(self.backend)
            whole.encode(self.prompts, self.texts)
            whole.run(encoded, rows)
            return
        with torch.inference_mode():
            places = self._grow_trunks(encoded, sorted({row.prompt for row in rows}))
            by_prompt = {}
            for row in rows:
                by_prompt.setdefault(row.prompt, []).append(row)
            first = {}
            for p in by_prompt:
                first.setdefault(id(places[p][0]), len(first))
            order = sorted(
                by_prompt,
                key=lambda p: (
                    first[id(places[p][0])],
                    max(row.limit for row in by_prompt[p]),
                    len(encoded[p]) - places[p][2],
                    p,
                ),
            )
            for chunk in self._chunks(order, by_prompt, encoded, places):
                self._branch(chunk, by_prompt, encoded, places)

    def _chunks(self, order, by_prompt, encoded, places):
        """Cut prompts, ordered by length, where memory ends or padding would waste much."""
        chunk, n_rows, longest, shortest = [], 0, 0, 0
        for p in order:
            rows = by_prompt[p]
            length = len(encoded[p]) + max(row.limit for row in rows)
            own = len(encoded[p]) - places[p][2]
            full = n_rows + len(rows) > self.backend.max_rows or (
                (n_rows + len(rows)) * max(longest, length) > self.backend.max_positions
            )
            uneven = len(chunk) >= 32 and own > 1.25 * shortest + 2
            if chunk and (full or uneven):
                yield chunk
                chunk, n_rows, longest = [], 0, 0
            if not chunk:
                shortest = own
            chunk.append(p)
            n_rows += len(rows)
            longest = max(longest, length)
        if chunk:
            yield chunk

    def _grow_trunks(self, encoded, wanted):
        """Make sure every wanted prompt has a trunk: state, row in it, tokens in it."""
        groups = {}
        for p in wanted:
            trunks = self.trunks.get(self.blocks[p], ())
            if not any(encoded[p][: len(tokens)] == tokens for tokens, _, _ in trunks):
                groups.setdefault(self.blocks[p], []).append(encoded[p])
        # a trunk leaves its prompts at least one token of their own, or is the only prompt
        trunk_of = {
            group: ids[0][: min(_common_prefix(ids), min(map(len, ids)) - 1)]
            if any(other != ids[0] for other in ids)
            else ids[0]
            for group, ids in groups.items()
        }
        whole = {group for group, tokens in trunk_of.items() if tokens == groups[group][0]}
        by_picture = {}
        for group in trunk_of:
            by_picture.setdefault(group[0], []).append(group)
        heads, direct = {}, {}
        for picture, members in by_picture.items():
            if picture in self.heads:
                continue
            tokens = [trunk_of[group] for group in members]
            if len(members) == 1:
                direct[members[0]] = tokens[0]
            else:
                size = max(
                    min(_common_prefix(tokens), min(map(len, tokens)) - 1),
                    self.expansions[picture].image_end,
                )
                heads[picture] = tokens[0][:size]
        for picture, (state, i) in self._prefill(heads).items():
            self.heads[picture] = (heads[picture], state, i)
        for group, (state, i) in self._prefill(direct, whole, key=lambda g: g[0]).items():
            self.trunks.setdefault(group, []).append((direct[group], state, i))
            # a later round may bring another question block for the same picture
            self.heads.setdefault(group[0], None)
        rest = [g for g in trunk_of if g not in direct]
        self._extend_heads(rest, trunk_of, whole)
        places = {}
        for p in wanted:
            for tokens, state, i in self.trunks[self.blocks[p]]:
                if encoded[p][: len(tokens)] == tokens:
                    places[p] = (state, i, len(tokens))
                    break
        return places

    def _extend_heads(self, groups, trunk_of, whole):
        """Grow question trunks on image heads that several questions share."""
        alone = {}
        shared = {}
        for group in groups:
            head = self.heads.get(group[0])
            if head is None or trunk_of[group][: len(head[0])] != head[0]:
                alone[group] = trunk_of[group]
            elif len(trunk_of[group]) == len(head[0]) and group not in whole:
                tokens, state, i = head
                self.trunks.setdefault(group, []).append((tokens, state, i))
            elif len(trunk_of[group]) == len(head[0]):
                alone[group] = trunk_of[group]
            else:
                shared.setdefault(id(head[1]), []).append(group)
        for group, (state, i) in self._prefill(alone, whole, key=lambda g: g[0]).items():
            self.trunks.setdefault(group, []).append((alone[group], state, i))
        for members in shared.values():
            state = self.heads[members[0][0]][1]
            parents = [self.heads[group[0]][2] for group in members]
            suffixes = [trunk_of[g][len(self.heads[g[0]][0]) :] for g in members]
            for low in range(0, len(members), self.backend.max_rows):
                part = slice(low, low + self.backend.max_rows)
                ends = any(group in whole for group in members[part])
                grown = self._extend(state, parents[part], suffixes[part], logits=ends)
                for i, group in enumerate(members[part]):
                    self.trunks.setdefault(group, []).append((trunk_of[group], grown, i))

    def _prefill(self, tokens_of, whole=frozenset(), key=lambda picture: picture):
        """Compute token rows that begin with an image, from scratch.

        The last logits are kept where a row of `whole` is a prompt to its end.
        """
        backend = self.backend
        places = {}
        names = sorted(tokens_of, key=lambda name: len(tokens_of[name]))
        for low in range(0, len(names), backend.max_rows):
            part = names[low : low + backend.max_rows]
            rows = [tokens_of[name] for name in part]
            ids, mask = self._left_pad(rows)
            expansions = [self.expansions[key(name)] for name in part]
            inputs = _pixels(expansions, ids.shape[1], [len(row) for row in rows], backend)
            position, after = self._positions(ids, mask, inputs)
            state = _State(_new_cache(), mask, after, None)
            ends = any(name in whole for name in part)
            self._forward(state, ids, position, inputs, logits=ends)
            for i, name in enumerate(part):
                places[name] = (state, i)
        return places

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
        torch = _torch()
        width = max(map(len, rows))
        ids = torch.full((len(rows), width), self.backend.pad, dtype=torch.long)
        mask = torch.zeros((len(rows), width), dtype=torch.bool)
        for i, row in enumerate(rows):
            ids[i, width - len(row) :] = torch.tensor(row)
            mask[i, width - len(row) :] = True
        return ids.to(self.backend.device), mask.to(self.backend.device)

    def _extend(self, state, parents, suffixes, *, logits, room=0):
        """Continue rows of `state` by token lists of different lengths (padded between)."""
        torch = _torch()
        which = torch.tensor(parents, device=self.backend.device)
        ids, mask = self._left_pad(suffixes)
        start = state.position[which]
        position = start[:, None] + (mask.long().cumsum(1) - 1).clamp(min=0)
        grown = _State(
            _select(state.cache, which, room=ids.shape[1] + room),
            torch.cat([state.mask[which], mask], dim=1),
            start + mask.long().sum(1),
            None,
        )
        self._forward(grown, ids, position, {}, logits=logits)
        return grown

    def _forward(self, state, ids, position, inputs, *, logits):
        backend = self.backend
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

    def _branch(self, chunk, by_prompt, encoded, places):
        """Continue one chunk of prompts to the end of all their rows."""
        torch, backend = _torch(), self.backend
        parts = {}
        for p in chunk:
            state, _, n = places[p]
            parts.setdefault((id(state), n == len(encoded[p])), []).append(p)
        for (_, whole), members in parts.items():
            state = places[members[0]][0]
            rows = [row for p in members for row in by_prompt[p]]
            room = max(row.limit if row.forced is None else len(row.forced) for row in rows)
            if whole:
                start = [places[p][1] for p in members]
            else:
                start = range(len(members))
                state = self._extend(
                    state,
                    [places[p][1] for p in members],
                    [encoded[p][places[p][2] :] for p in members],
                    logits=True,
                    room=room,
                )
            owner = [i for i, p in zip(start, members, strict=True) for _ in by_prompt[p]]
            choose = _Chooser(rows, backend.eos, backend.device)
            which = torch.tensor(owner, device=backend.device)
            tokens = choose(state.logits[which], list(range(len(rows))))
            alive = [i for i, row in enumerate(rows) if not row.ended]
            if not alive:
                continue
            if whole or [owner[i] for i in alive] != list(range(len(state.mask))):
                which = which[torch.tensor(alive, device=backend.device)]
                cache = _select(state.cache, which, room=room)
                state = _State(cache, state.mask[which], state.position[which], None)
            self._decode(state, rows, alive, [tokens[i] for i in alive], choose)

    def _decode(self, state, rows, active, tokens, choose):
        """Write token after token; rows that have ended leave the batch when many have."""
        torch, device = _torch(), self.backend.device
        while active:
            ids = torch.tensor(tokens, device=device)[:, None]
            one = torch.ones((len(active), 1), dtype=torch.bool, device=device)
            state.mask = torch.cat([state.mask, one], dim=1)
            self._forward(state, ids, state.position[:, None], {}, logits=True)
            state.position = state.position + 1
            open_rows = [i for i, r in enumerate(active) if not rows[r].ended]
            if len(open_rows) < len(active):
                picked = torch.tensor(open_rows, device=device)
                chosen = choose(state.logits[picked], [active[i] for i in open_rows])
                for i, token in zip(open_rows, chosen, strict=True):
                    tokens[i] = token
            else:
                tokens = choose(state.logits, active)
            going = [i for i, r in enumerate(active) if not rows[r].ended]
            if not going:
                return
            if len(going) <= 0.75 * len(active):
                picked = torch.tensor(going, device=device)
                state = _State(
                    _select(state.cache, picked, room=32),
                    state.mask[picked],
                    state.position[picked],
                    None,
                )
                active = [active[i] for i in going]
                tokens = [tokens[i] for i in going]


def _torch():
    import torch

    return torch


class _Expansion:
    """What the processor made of one image: its tokens in a prompt, and its tensors."""

    def __init__(self, backend, text, ids, inputs, row):
        self.backend = backend
        self.ids = ids
        self.inputs = inputs
        self.row = row
        special = backend._special(text)
        plain = backend.tokenizer([text], **special)["input_ids"][0]
        start = 0
        while start < min(len(plain), len(ids)) and plain[start] == ids[start]:
            start += 1
        tail = 0
        while tail < len(plain) - start and plain[-1 - tail] == ids[-1 - tail]:
            tail += 1
        self.start = start
        self.before = plain[: len(plain) - tail]
        self.middle = ids[start : len(ids) - tail]
        self.image_end = len(ids) - tail
        self.first = text

    def expand(self, text, plain, picture):
        """Put this image's tokens into the tokens of another prompt about it."""
        if text == self.first:
            return self.ids
        backend = self.backend
        size = len(self.before)
        if backend.splices and plain[:size] == self.before:
            ids = plain[: self.start] + self.middle + plain[size:]
            if backend.splices != "checked":
                _, real = backend._process([text], [picture.open()])
                backend.splices = "checked" if real[0] == ids else False
            if backend.splices:
                return ids
        return backend._process([text], [picture.open()])[1][0]


def _pixels(expansions, width, lengths, backend):
    """Gather the processor's tensors of several images for one prefill."""
    torch = _torch()
    parts = {}
    for expansion, length in zip(expansions, lengths, strict=True):
        inputs, row = expansion.inputs, expansion.row
        n = inputs["input_ids"].shape[0]
        for name, value in inputs.items():
            if name in ("input_ids", "attention_mask"):
                continue
            value = torch.as_tensor(value)
            if value.shape[:2] == inputs["input_ids"].shape:
                keep = inputs["attention_mask"][row].bool()
                tokens = value[row][keep][:length]
                pad = torch.zeros(width - len(tokens), dtype=value.dtype)
                parts.setdefault(name, []).append(torch.cat([pad, tokens])[None])
            elif len(value) == n:
                parts.setdefault(name, []).append(value[row : row + 1])
            else:
                counts = _rows_per_image(inputs, backend.image_token)
                low = sum(counts[:row])
                parts.setdefault(name, []).append(value[low : low + counts[row]])
    joined = {name: _stack(values) for name, values in parts.items()}
    dtype = backend.model.dtype
    return {
        name: value.to(backend.device, dtype if value.is_floating_point() else None)
        for name, value in joined.items()
    }


def _rows_per_image(inputs, image_token):
    """How many rows of the pixel tensor belong to each image, where it is one long list."""
    if "image_grid_thw" in inputs:
        return [int(grid.prod()) for grid in inputs["image_grid_thw"]]
    total = len(inputs["pixel_values"])
    tokens = (inputs["input_ids"] == image_token).sum(1).tolist()
    counts = [total * count // max(1, sum(tokens)) for count in tokens]
    if sum(counts) != total:
        raise ValueError(f"{total} image tiles cannot be told apart between {len(tokens)} images")
    return counts


def _stack(values):
    """Join along the first axis, padding the others with zeros to the largest."""
    torch = _torch()
    if len({value.shape[1:] for value in values}) == 1:
        return torch.cat(values)
    largest = [max(sizes) for sizes in zip(*(value.shape[1:] for value in values), strict=True)]
    padded = []
    for value in values:
        room = torch.zeros((value.shape[0], *largest), dtype=value.dtype)
        room[tuple(slice(0, size) for size in value.shape)] = value
        padded.append(room)
    return torch.cat(padded)


def _layer_class():
    from transformers.cache_utils import DynamicLayer

    class RoomyLayer(DynamicLayer):
        """Keys and values in a buffer with room, so that a new token copies nothing old."""

        room = 0

        def update(self, key_states, value_states, *args, **kwargs):
            if not self.is_initialized:
                self.lazy_initialization(key_states, value_states)
                self.length = 0
                self.buffer = None
            new = key_states.shape[-2]
            end = self.length + new
            if self.buffer is None or self.buffer[0].shape[-2] < end:
                self._make_room(key_states, value_states, end)
            self.buffer[0][..., self.length : end, :] = key_states
            self.buffer[1][..., self.length : end, :] = value_states
            self.length = end
            self.keys = self.buffer[0][..., :end, :]
            self.values = self.buffer[1][..., :end, :]
            return self.keys, self.values

        def _make_room(self, key_states, value_states, end):
            old, size = self.buffer, end + self.room
            self.buffer = []
            for i, states in enumerate((key_states, value_states)):
                shape = (*states.shape[:-2], size, states.shape[-1])
                fresh = states.new_empty(shape)
                if self.length:
                    fresh[..., : self.length, :] = old[i][..., : self.length, :]
                self.buffer.append(fresh)
            self.room = max(self.room, 32)

        @classmethod
        def branch(cls, other, which, room):
            """Copy the chosen batch rows of another layer into a buffer with room."""
            layer = cls()
            layer.lazy_initialization(other.keys, other.values)
            layer.length = other.length
            layer.room = 32
            layer.buffer = []
            for states in (other.keys, other.values):
                shape = (len(which), states.shape[1], other.length + room, states.shape[-1])
                fresh = states.new_empty(shape)
                fresh[..., : other.length, :] = states.index_select(0, which)
                layer.buffer.append(fresh)
            layer.keys = layer.buffer[0][..., : layer.length, :]
            layer.values = layer.buffer[1][..., : layer.length, :]
            return layer

    return RoomyLayer


_ROOMY = []


def _roomy():
    if not _ROOMY:
        _ROOMY.append(_layer_class())
    return _ROOMY[0]


def _new_cache():
    from transformers.cache_utils import Cache

    return Cache(layer_class_to_replicate=_roomy())


def _select(cache, which, room):
    """Branch a cache: the chosen batch rows, with room for `room` more tokens."""
    from transformers.cache_utils import Cache

    return Cache(layers=[_roomy().branch(layer, which, room) for layer in cache.layers])


# --- whole prompts through model.generate --------------------------------------------------------


class _Whole:
    """Asks every row with its whole prompt, for architectures that cannot share a prefix."""

    def __init__(self, backend):
        self.backend = backend
        self.images = {}

    def close(self):
        self.images.clear()

    def encode(self, prompts, texts):
        """Return the token ids of each prompt, image expanded, or a Failure."""
        self.prompts, self.texts = prompts, texts
        encoded = []
        for prompt, text in zip(prompts, texts, strict=True):
            if prompt.picture not in self.images:
                self.images[prompt.picture] = _open(prompt.picture)
            image = self.images[prompt.picture]
            if isinstance(image, Failure):
                encoded.append(image)
            else:
                encoded.append(self.backend._process([text], [image])[1][0])
        return encoded

    def run(self, encoded, rows):
        """Fill in the rows' tokens and log-probabilities."""
        torch = _torch()
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
        limit = max(len(row.forced) if row.forced else row.limit for row in rows)
        end = min(backend.eos) if backend.eos else backend.pad
        config = GenerationConfig(
            max_new_tokens=limit, do_sample=False, eos_token_id=end, pad_token_id=backend.pad
        )
        choose = _Chooser(rows, backend.eos, backend.device)
        backend.model.generate(
            **inputs,
            generation_config=config,
            logits_processor=LogitsProcessorList([_Forcing(choose, end)]),
        )


class _Forcing:
    """A logits processor that leaves ``generate`` no choice but the chooser's."""

    def __init__(self, choose, end):
        self.choose = choose
        self.end = end

    def __call__(self, input_ids, scores):
        torch = _torch()
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
