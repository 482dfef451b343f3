"""Local models: any checkpoint that ``AutoModelForImageTextToText`` loads.

Prompts that share an image share its prefix (`prefix`) where the architecture allows it; others are
asked whole (`whole`). The replies are the same, only the cost differs.
"""

import math
import os
import re
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from medcal_nb.ask.backends.prefix import SharedPrefix, last_modules
from medcal_nb.ask.backends.rows import Row, uniforms
from medcal_nb.ask.backends.whole import WholePrompts
from medcal_nb.ask.calls import (
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
    refusal,
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

#: Seconds that a chat template, a program from outside, may run.
TEMPLATE_SECONDS = 10

_NO_TEMPLATE = "the checkpoint has no chat template, so there is no second turn"


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
    max_positions : int, optional
        Token positions kept in memory at once, over the replies under way; by default what
        fills two fifths of a GPU's free memory with keys and values.
    max_prefill : int
        Token positions with images that are computed in one pass.
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
        max_positions=None,
        max_prefill=1 << 15,
    ):
        import inspect

        import torch

        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.device = torch.device(device)
        if self.device.type == "cpu":
            _keep_memory()
        self.model = model.to(self.device).eval()
        self.processor = processor
        self.tokenizer = getattr(processor, "tokenizer", processor)
        self.tokenizer.padding_side = "left"
        self.name = name
        #: the commit of a hub checkpoint
        self.revision = getattr(model.config, "_commit_hash", None)
        self.model_type = model.config.model_type
        self.share = self.model_type in SHAREABLE if share is None else share
        self.max_rows = max_rows
        self.max_positions = max_positions or self._positions_in_memory()
        self.max_prefill = max_prefill
        #: token positions that cost as much as one batch more, which writes in passes of its own
        self.cut_cost = 250 if self.device.type == "cpu" else 6000
        #: token positions computed so far, padding included
        self.positions = 0
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
        end = self.tokenizer.eos_token_id
        self.turn_end = end if end in self.eos else min(self.eos, default=None)
        self.image_token = getattr(processor, "image_token_id", None)
        self.image_marks = self._image_marks()
        self.inner = getattr(model, "model", model)
        self.mrope = hasattr(self.inner, "get_rope_index")
        self.last_modules = last_modules(model)
        text = getattr(model.config, "text_config", model.config)
        sliding = "sliding_attention" in (getattr(text, "layer_types", None) or ())
        self.window = text.sliding_window if sliding else None
        self.as_text = False
        self.shapes = {}
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

    def __setstate__(self, state):
        self.__dict__.update(state)
        if self.device.type == "cpu":
            _keep_memory()  # in the process that it was sent to

    def _positions_in_memory(self):
        import torch

        if self.device.type != "cuda":
            return 1 << 19
        text = getattr(self.model.config, "text_config", self.model.config)
        heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
        size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        one = 2 * text.num_hidden_layers * heads * size * self.model.dtype.itemsize
        free, _ = torch.cuda.mem_get_info(self.device)
        return max(1 << 12, int(0.4 * free) // one)

    # --- prompts ---------------------------------------------------------------------------

    def _eos(self):
        found = []
        configured = getattr(self.model, "generation_config", None)
        for ids in (getattr(configured, "eos_token_id", None), self.tokenizer.eos_token_id):
            found += list(ids) if isinstance(ids, (list, tuple)) else [ids]
        return frozenset(i for i in found if i is not None)

    def _image_marks(self):
        """What stands for an image in the texts of this model."""
        found = {getattr(self.processor, name, None) for name in ("image_token", "boi_token")}
        for holder in (self.processor, self.model.config):
            for name in ("image_token_id", "image_token_index"):
                number = getattr(holder, name, None)
                if isinstance(number, int):
                    found.add(self.tokenizer.convert_ids_to_tokens(number))
        return sorted(mark for mark in found if mark and isinstance(mark, str))

    def _refused(self, prompt):
        """Why a prompt cannot be asked, or None."""
        for mark in self.image_marks:
            if any(mark in turn for turn in prompt.turns):
                return Failure(
                    f"the question holds {mark!r}, which stands for an image in the texts of "
                    f"{self.name}: remove it from the item"
                )
        return None

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
        from jinja2 import Environment

        template = self.template
        for text in template.values() if isinstance(template, dict) else [template]:
            if any(mark == "**" for _, _, mark in Environment().lex(text)):
                raise MedcalError(
                    f"{self.name}: its chat template raises numbers to powers, which no limit of "
                    "time can stop: not run; pass a checkpoint with another template"
                )
        turns = ("alpha", "beta", "gamma")
        for self.as_text in (False, True):
            try:
                text = self._run_template(turns)
            except MedcalError:
                raise
            except Exception:
                continue
            if all(text.count(turn) == 1 for turn in turns):
                self.turn_end = self._token_after(text, turns[1])
                return
        raise MedcalError(
            f"{self.name}: its chat template does not write a conversation of three turns; "
            "pass a checkpoint with a chat template for images and several turns"
        )

    def _token_after(self, text, reply):
        """The token that ends a reply in the template, where it is one that ends generation."""
        rest = self.tokenizer(text.partition(reply)[2], add_special_tokens=False)["input_ids"]
        found = next((token for token in rest[:3] if token in self.eos), None)
        return self.turn_end if found is None else found

    def _render(self, turns):
        """Write a conversation in the model's template.

        The template is run once per number of turns, with marks that the turns then replace;
        where that would not give what the template gives, it is run each time.
        """
        shape = len(turns)
        if shape not in self.shapes:
            marks = [f"\ue000{i}\ue001" for i in range(shape)]
            text = self._run_template(marks)
            once = all(text.count(mark) == 1 for mark in marks)
            pieces = re.split("\ue000[0-9]+\ue001", text) if once else None
            if pieces and _fill(pieces, turns) != self._run_template(turns):
                pieces = None
            self.shapes[shape] = pieces
        pieces = self.shapes[shape]
        if pieces is None or any(turn != turn.strip() for turn in turns):
            return self._run_template(turns)
        return _fill(pieces, turns)

    def _run_template(self, turns):
        if self.template:
            with time_limit(TEMPLATE_SECONDS, f"{self.name}: its chat template does not end"):
                return self.processor.apply_chat_template(
                    self._messages(turns), tokenize=False, add_generation_prompt=True
                )
        return getattr(self.processor, "image_token", "<image>") + turns[0]

    def show(self, prompt):
        """Return the exact text that the model is given for `prompt` (image not expanded)."""
        return self._render(prompt.turns)

    def count_tokens(self, prompt):
        """Return the number of tokens of `prompt`, those of the image included."""
        if self._refused(prompt):
            return None
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

    def _ids(self, text, image):
        """Return the token ids of one text about one image, or a Failure."""
        try:
            return self._process([text], [image])[1][0]
        except Exception as error:
            return refusal(error)

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
        engine = SharedPrefix(self) if self.share else WholePrompts(self)
        try:
            yield _LocalSession(self, engine)
        finally:
            engine.close()


def _keep_memory(size=1 << 30):
    """Make glibc keep freed memory up to `size` bytes: large tensors come and go in every pass.

    Otherwise each is mapped anew, and the pages it touches are given out one by one.
    """
    import ctypes

    trim_threshold, mmap_threshold = -1, -3
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return  # another C library
    mallopt(trim_threshold, size)
    mallopt(mmap_threshold, size)


@contextmanager
def time_limit(seconds, told):
    """Raise a `MedcalError` in this thread where the block takes longer than `seconds`.

    Python looks for it between two of its instructions, as a template engine has many of.
    """
    import ctypes

    class TooLong(BaseException):
        pass

    thread = threading.get_ident()

    def end():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread), ctypes.py_object(TooLong)
        )

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except TooLong:
        raise MedcalError(told) from None
    finally:
        timer.cancel()


def _fill(pieces, turns):
    """Put turns between the pieces of a template."""
    filled = [pieces[0]]
    for turn, piece in zip(turns, pieces[1:], strict=True):
        filled += [turn, piece]
    return "".join(filled)


def find(name, *, device=None, revision=None, **reach):
    """Load a pocket model, a folder with a checkpoint, or a hub id.

    Weights come from safetensors alone, code from transformers alone.

    Raises
    ------
    MedcalError
        When the checkpoint is gated, missing, damaged, of another kind, incomplete, needs code of
        its own, or the disk is full; the message says what to do.
    """
    checkpoint = name
    if name.startswith("pocket-"):
        from medcal_nb.pocket import pocket_dir

        checkpoint = pocket_dir(name)
    elif name.count("/") > 1 or name.startswith((".", "/", "~")) or os.path.isdir(name):
        checkpoint = Path(name).expanduser()
        if not os.path.isfile(checkpoint / "config.json"):
            raise MedcalError(
                f"{name}: no checkpoint there (config.json is missing): name a folder written by "
                "save_pretrained, a hub id, a URL or a pocket model (medcal models)"
            )
    try:
        return LocalModel(*_load(str(checkpoint), name, device, revision), name=name, device=device)
    except MedcalError:
        raise
    except Exception as error:  # of a configuration that fits no model
        raise MedcalError(_loading_advice(name, error)) from error


def _load(checkpoint, name, device, revision):
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor
    from transformers.utils import logging

    logging.disable_progress_bar()
    half = not name.startswith("pocket-")  # whose answers were recorded in full precision
    half &= str(device or ("cuda" if torch.cuda.is_available() else "cpu")).startswith("cuda")
    common = {"revision": revision, "trust_remote_code": False}
    processor = AutoProcessor.from_pretrained(checkpoint, **common)
    model, loaded = AutoModelForImageTextToText.from_pretrained(
        checkpoint,
        dtype=torch.bfloat16 if half else torch.float32,
        attn_implementation="sdpa",
        use_safetensors=True,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # refused below, by name
        **common,
    )
    for told in ("missing_keys", "mismatched_keys"):
        if keys := sorted(map(str, loaded[told])):
            shown = ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
            raise MedcalError(
                f"{name}: {len(keys)} {told.replace('_', ' ')}, which would be answered from at "
                f"random: {shown}: fetch the checkpoint again, or name a whole one"
            )
    return model, processor


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
        re.search(r"couldn't connect|cannot connect|offline mode", text, re.IGNORECASE)
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
        asked = dict.fromkeys(call.prompt for call in calls)
        refused = {p: reason for p in asked if (reason := self.backend._refused(p))}
        results = iter(self._run([call for call in calls if call.prompt not in refused]))
        return [refused.get(call.prompt) or next(results) for call in calls]

    def _run(self, calls):
        import torch

        if not calls:
            return []
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
                rows.append(Row(i, call.max_new_tokens, draws, call.temperature))
                plans.append(rows[-1])
            elif isinstance(call, Labels):
                plans.append(self._label_rows(i, texts[i], call.labels))
                if not isinstance(plans[-1], Failure):
                    rows += [row for variants in plans[-1] for row in variants]
            else:
                raise TypeError(f"a local model cannot answer a {type(call).__name__} call")
        try:
            self.engine.run(encoded, rows)
        except torch.OutOfMemoryError as error:
            raise MedcalError(
                f"{backend.name}: out of memory on {backend.device}: lower --batch-size and run "
                "the same command again"
            ) from error
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

        A label counts in the ways models write it: as given and with a capital, with and without
        a blank before it. The tokens of a label are scored in full. Where the tokens of one label
        begin another's, the end of the reply is scored too, so that "left" does not take what
        belongs to "left lower".
        """
        ways, seen, unknown = [], set(), self.backend.tokenizer.unk_token_id
        for label in labels:
            kept = []
            capital = label[:1].upper() + label[1:]
            for way in dict.fromkeys((label, capital, " " + label, " " + capital)):
                ids = tuple(self.backend.label_ids(text, way))
                if ids and ids not in seen and unknown not in ids:
                    seen.add(ids)
                    kept.append(ids)
            if not kept:
                return Failure(f"the model has no tokens of its own to write the label {label!r}")
            ways.append(kept)
        flat = [ids for kept in ways for ids in kept]
        nested = any(a != b and b[: len(a)] == a for a in flat for b in flat)
        end = [self.backend.turn_end] if nested and self.backend.eos else []
        return [[Row(prompt, 0, forced=[*ids, *end]) for ids in kept] for kept in ways]


def _written(plan):
    if isinstance(plan, Row):
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
