"""Local models: checkpoints of the types in `MODEL_TYPES` and `RECURRENT_TYPES`.

Of the first, what an image and its question have been computed to serves all that is asked about
them (`prefix`), and replies are those of whole prompts; of the others each prompt is asked whole.
Models of other types are asked through a server.
"""

import inspect
import math
import os
import re
import unicodedata
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from medcal_nb.ask.backends.decisions import LocalDecisions
from medcal_nb.ask.backends.prefix import Encoded, SharedPrefix
from medcal_nb.ask.backends.rows import Row, is_nested, uniforms
from medcal_nb.ask.backends.whole import WholePrompts
from medcal_nb.ask.calls import (
    DECISIONS,
    WRITING,
    Backend,
    Decide,
    Failure,
    Generate,
    LabelProbabilities,
    Labels,
    Outcome,
    Picture,
    Program,
    Prompt,
    Reply,
    Result,
    Todo,
)
from medcal_nb.ask.lockstep import run_programs
from medcal_nb.errors import MedcalError

#: Model types whose text decoder attends to what came before and to nothing else, so that a prefix
#: computed once serves every continuation.
MODEL_TYPES = (
    "idefics3", "smolvlm", "llava", "llava_next", "llava_onevision", "internvl", "gemma3",
    "qwen2_vl", "qwen2_5_vl", "qwen3_vl", "gemma4",
)  # fmt: skip
#: Model types with layers that sum up what came before in one state, which no other prompt can use.
RECURRENT_TYPES = ("qwen3_5", "lfm2_vl")


#: Weights that some checkpoints carry and no model reads: tables that are computed, and heads
#: that predict several tokens at once.
_HARMLESS = re.compile(r"inv_freq|position_ids|(^|\.)mtp\.")

#: Calls that a model on this machine answers.
Asking: TypeAlias = Generate | Labels


class LocalModel(Backend):
    """An image-text-to-text checkpoint of a known type, on this machine.

    Parameters
    ----------
    model, processor
        As the Auto classes return them.
    name : str
        The name that stands in the answers table.
    device : str or torch.device
        Where it computes.
    """

    def __init__(self, model: Any, processor: Any, *, name: str, device: Any) -> None:
        self.model = model.to(device).eval()
        self.processor = processor
        self.name = name
        self.device = model.device
        self.decisions = LocalDecisions(self.model, processor, self.refusal)
        why_none = self.decisions.missing()
        self.can = WRITING if why_none else WRITING | {DECISIONS}
        self.cannot = {DECISIONS: why_none} if why_none else {}
        self.provenance = {}
        text = model.config.get_text_config()
        #: token positions kept in memory at once
        self.max_positions = 1 << (19 if self.device.type == "cpu" else 16)
        #: token positions that cost as much as one batch more, which writes in passes of its own
        self.cut_cost = 250 if self.device.type == "cpu" else 6000
        #: token positions computed so far, padding included
        self.positions = 0
        self.label_ids = cache(self._label_ids)
        accepts = inspect.signature(model.forward).parameters
        self.cache_name = "cache" if "cache" in accepts else "past_key_values"
        #: gives positions of three kinds, where a model has them
        self.rope_index = getattr(model.model, "get_rope_index", None)
        sliding = "sliding_attention" in (getattr(text, "layer_types", None) or ())
        self.window = text.sliding_window if sliding else math.inf
        self.tokenizer = tokenizer = processor.tokenizer
        ends = np.atleast_1d(model.generation_config.eos_token_id).tolist()
        self.eos = frozenset([*ends, tokenizer.eos_token_id]) - {None}
        #: stands where nothing is read
        self.pad = min(self.eos)
        part = tokenizer.convert_ids_to_tokens(model.config.image_token_id)
        self.image_marks = sorted({part, processor.image_token})
        self._check_template()

    # --- prompts ----------------------------------------------------------------------------------

    def refusal(self, prompt: Prompt) -> Failure | None:
        """Return why a prompt cannot be asked, a `Failure`, or None."""
        for mark in self.image_marks:
            if any(mark in turn for turn in prompt.turns):
                return Failure(
                    f"the question holds {mark!r}, which stands for an image in the texts of "
                    f"{self.name}: remove it from the item"
                )
        return None

    def show(self, prompt: Prompt) -> str:
        """Return the exact text that the model is given for `prompt` (image not expanded)."""
        return self.texts([prompt])[prompt]

    def texts(self, prompts: list[Prompt]) -> dict[Prompt, str]:
        """Return the exact text of each prompt."""
        message = [
            [_message(i, text) for i, text in enumerate(prompt.turns)]
            for prompt in prompts
        ]
        written = self.processor.apply_chat_template(
            message, tokenize=False, add_generation_prompt=True
        )
        return dict(zip(prompts, written, strict=True))

    def _check_template(self) -> None:
        """Have three turns written, and see which token ends a reply."""
        turns = ("alpha", "beta", "gamma")
        text = self.show(Prompt(Picture("none"), turns))
        if any(text.count(turn) != 1 for turn in turns):
            raise MedcalError(
                f"{self.name}: its chat template does not write a conversation of three turns; "
                "pass a checkpoint with a chat template for images and several turns"
            )
        # a text that its template begins brings its own special tokens
        bos = self.tokenizer.bos_token
        self.special = (
            {"add_special_tokens": False} if bos and text.startswith(bos) else {}
        )
        rest = self.tokenizer(text.partition(turns[1])[2], add_special_tokens=False)[
            "input_ids"
        ]
        ends = (token for token in rest[:3] if token in self.eos)
        self.turn_end = next(ends, self.tokenizer.eos_token_id)

    def read(self, text: str, picture: Picture) -> Any:
        """Return what the processor makes of a text with a picture, or why it does not."""
        try:
            return self.processor(
                text=[text],
                images=[[picture.open()]],
                return_tensors="pt",
                **self.special,
            )
        except Exception as error:
            return Failure(f"its image cannot be shown: {why(error)}")

    def _label_ids(self, text: str, label: str) -> list[int]:
        """Return the token ids of `label` as the model would write it right after `text`."""
        before, joint, plain = self.tokenizer(
            [text, text + label, label], add_special_tokens=False
        )["input_ids"]
        split = len(before)
        return joint[split:] if joint[:split] == before else plain

    def stream(
        self, batches: Iterable[tuple[Todo, list[Program]]]
    ) -> Generator[tuple[Todo, list[Outcome]], None, None]:
        """Run the programs of many batches, a round at a time."""
        for todo, programs in batches:
            with self.session() as opened:
                yield todo, run_programs(programs, opened.run)

    @contextmanager
    def session(self) -> "Iterator[_LocalSession]":
        """Open a batch: what its rounds of calls share is computed once."""
        import torch

        try:
            is_recurrent = self.model.config.model_type in RECURRENT_TYPES
            engine = WholePrompts if is_recurrent else SharedPrefix
            yield _LocalSession(self, engine(self))
        except torch.OutOfMemoryError as error:
            raise MedcalError(
                f"{self.name}: out of memory on {self.device}: lower --batch-size and run the same "
                "command again"
            ) from error


class _LocalSession:
    """Turns calls into rows of tokens, and rows back into results."""

    def __init__(
        self, backend: LocalModel, engine: SharedPrefix | WholePrompts
    ) -> None:
        self.backend = backend
        self.engine = engine

    def run(self, calls: list[Asking | Decide]) -> list[Result | Failure]:
        """Answer `calls`, in order."""
        deciding = [call for call in calls if isinstance(call, Decide)]
        decided = self.backend.decisions.run(deciding)
        others = [call for call in calls if not isinstance(call, Decide)]
        results = decided | dict(zip(others, self._written(others), strict=True))
        return [results[call] for call in calls]

    def _written(self, calls: list[Asking]) -> list[Result | Failure]:
        """Answer calls for words, in order."""
        backend = self.backend
        encoded: dict[Prompt, Encoded | Failure] = {}
        shown = []
        for prompt in dict.fromkeys(call.prompt for call in calls):
            if refusal := backend.refusal(prompt):
                encoded[prompt] = refusal
            else:
                shown.append(prompt)
        texts = backend.texts(shown) if shown else {}
        if shown:
            encoded |= self.engine.encode(texts)
        rows = {call: self._rows(call, encoded[call.prompt], texts) for call in calls}
        asked = [some for some in rows.values() if not isinstance(some, Failure)]
        self.engine.run(encoded, [row for some in asked for row in some])
        return [self._result(call, rows[call], encoded[call.prompt]) for call in calls]

    def _rows(
        self, call: Asking, ids: Encoded | Failure, texts: Mapping[Prompt, str]
    ) -> list[Row] | Failure:
        """The rows that a call needs, or a Failure."""
        if isinstance(ids, Failure):
            return ids
        if isinstance(call, Generate):
            draws = None
            if call.seed:
                draws = uniforms(f"{call.seed}|{call.sample}", call.max_new_tokens)
            return [Row(call.prompt, call.max_new_tokens, draws, call.temperature)]
        return self._label_rows(call.prompt, texts[call.prompt], call.labels)

    def _label_rows(
        self, prompt: Prompt, text: str, labels: tuple[str, ...]
    ) -> list[Row] | Failure:
        """One forced row per way of writing a label.

        A label counts in the ways models write it: as given and with a capital, with and without
        a blank before it. The tokens of a label are scored in full. Where the tokens of one label
        begin another's, the end of the reply is scored too, so that "left" does not take what
        belongs to "left lower".
        """
        written: dict[tuple[int, ...], str] = {}
        for label in labels:
            capital = label[:1].upper() + label[1:]
            for way in (label, capital, " " + label, " " + capital):
                ids = tuple(self.backend.label_ids(text[-24:], way))
                if ids and self.backend.tokenizer.unk_token_id not in ids:
                    written.setdefault(ids, label)
            if label not in written.values():
                return Failure(
                    f"the model has no tokens of its own to write the label {label!r}"
                )
        end = (self.backend.turn_end,) if is_nested(written) else ()
        return [
            Row(prompt, len(ids + end), forced=ids + end, label=label)
            for ids, label in written.items()
        ]

    def _result(
        self,
        call: Asking,
        rows: list[Row] | Failure,
        ids: Any,
    ) -> Result | Failure:
        """What the rows of a call say."""
        if isinstance(rows, Failure):
            return rows
        if isinstance(call, Generate):
            (row,) = rows
            text = self.backend.tokenizer.decode(row.tokens, skip_special_tokens=True)
            logprob = math.fsum(row.logprobs)
            n = len(row.tokens)
            return Reply(text.strip(), logprob, len(ids), n, n < row.limit)
        scores = dict.fromkeys(call.labels, -math.inf)
        for row in rows:
            scores[row.label] = np.logaddexp(scores[row.label], math.fsum(row.logprobs))
        total = np.logaddexp.reduce(list(scores.values()))
        shares = {label: math.exp(score - total) for label, score in scores.items()}
        return LabelProbabilities(shares, len(ids))


def _message(i: int, text: str) -> dict[str, Any]:
    """A turn as chat templates know it: the first holds the image, every other is the model's."""
    words = {"type": "text", "text": text}
    content = [words] if i else [{"type": "image"}, words]
    return {"role": "assistant" if i % 2 else "user", "content": content}


def why(error: Exception) -> str:
    """Return what a library says in one line; it knows best what to do."""
    if "trust_remote_code" in str(error):
        return (
            "it needs code of its own, which is never run here: name a version for transformers "
            "(often …-hf), or the URL of a server that has it"
        )
    return " ".join(str(error).split())[:300]


def find_device(wanted: str | None) -> Any:
    """Return the torch device named `wanted`, by default a GPU where there is one."""
    import torch

    wanted = wanted or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.zeros(0, device=wanted).device
    except Exception as error:  # each kind of device has its own
        raise MedcalError(
            f"--device {wanted}: no such device on this machine: {why(error)}"
        ) from None


def find(
    name: str, *, device: str | None = None, revision: str | None = None, **reach: Any
) -> LocalModel:
    """Load a pocket model, a folder with a checkpoint, or a hub id.

    Weights come from safetensors alone, code from transformers alone.

    Raises
    ------
    MedcalError
        When the checkpoint is gated, missing, damaged, of another kind, incomplete, needs code of
        its own, or the disk is full; the message says what to do.
    """
    from huggingface_hub import try_to_load_from_cache

    from medcal_nb.datasets.pocket import pocket_dir

    device = find_device(device)
    place = os.path.expanduser(name)
    if name.startswith("pocket-"):
        place = str(pocket_dir(name))
    try:
        pair = _load(place, name, device, revision)
        # the log holds names composed; a path may be typed the other way
        composed = unicodedata.normalize("NFC", name)
        model = LocalModel(*pair, name=composed, device=device)
    except MedcalError:
        raise
    except Exception as error:  # of a configuration that fits no model, too
        raise MedcalError(f"{name} does not load here: {why(error)}") from error
    if not os.path.isdir(place):
        # from the hub, kept in a folder of its commit
        cached = try_to_load_from_cache(name, "config.json", revision=revision)
        model.revision = Path(cached).parent.name if isinstance(cached, str) else None
    return model


def _load(
    checkpoint: str, name: str, device: Any, revision: str | None
) -> tuple[Any, Any]:
    """Load model and processor, of a known type and with all its weights."""
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor
    from transformers.utils import logging

    logging.disable_progress_bar()
    # answers of pocket models were recorded in full precision
    half = device.type == "cuda" and not name.startswith("pocket-")
    common: dict[str, Any] = {"revision": revision, "trust_remote_code": False}
    kind = AutoConfig.from_pretrained(checkpoint, **common).model_type
    known = (*MODEL_TYPES, *RECURRENT_TYPES)
    if kind not in known:
        raise MedcalError(
            f"{name}: models of type {kind} are not asked on this machine: serve it (vllm serve, "
            f"transformers serve) and give the URL; asked here are {', '.join(known)}"
        )
    processor = AutoProcessor.from_pretrained(checkpoint, **common)
    # with `output_loading_info` it is a pair, of which its signature knows nothing
    pair: Any = AutoModelForImageTextToText.from_pretrained(
        checkpoint,
        dtype=torch.bfloat16 if half else torch.float32,
        attn_implementation="sdpa",
        use_safetensors=True,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # refused below, by name
        **common,
    )
    model, loaded = pair
    if keys := sorted(map(str, [*loaded["missing_keys"], *loaded["mismatched_keys"]])):
        raise MedcalError(
            f"{name}: weights missing or of another shape: {len(keys)}, which would be random, "
            f"first {', '.join(keys[:3])}: fetch the checkpoint again, or name a whole one"
        )
    unused = sorted(
        key for key in loaded["unexpected_keys"] if not _HARMLESS.search(key)
    )
    if unused:
        raise MedcalError(
            f"{name}: {len(unused)} weights have no place in the model that its config.json "
            f"describes, first {', '.join(unused[:3])}: fetch the checkpoint again"
        )
    return model, processor
