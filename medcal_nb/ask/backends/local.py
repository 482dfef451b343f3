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

from medcal_nb.ask.backends.prefix import SharedPrefix, last_alone
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
)
from medcal_nb.errors import MedcalError

#: Model types whose text decoder has plain causal attention and one position a token, so that
#: a prefix computed once serves every continuation. Others are asked with whole prompts.
SHAREABLE = frozenset((
    "idefics3", "smolvlm", "llava", "llava_next", "llava_onevision", "internvl", "gemma3",
    "qwen2_vl", "qwen2_5_vl", "qwen3_vl",
))  # fmt: skip

#: Seconds that a chat template, a program from outside, may run.
TEMPLATE_SECONDS = 10

_NO_TEMPLATE = "the checkpoint has no chat template, so there is no second turn"

#: What an error says where a device is not on this machine.
NO_DEVICE = r"device string|not compiled|not linked|NVIDIA driver|device ordinal"

#: What is said of a checkpoint that does not load, by what the error says.
_ADVICE = {
    r"GatedRepoError|gated repo": "the checkpoint is gated: accept its terms on its hub page, then "
    "log in with `hf auth login` and run the same command again",
    r"No space left": "no space left on the disk: free some, or set HF_HOME to a folder on a "
    "larger disk, and run the same command again",
    r"trust_remote_code|custom code": "the checkpoint needs code of its own, which is never run "
    "here: use a version for transformers (often named …-hf), or serve it and give the URL",
    r"RepositoryNotFound|RevisionNotFound|not a valid model": "no such checkpoint on the hub (or "
    "it is private): check name and revision",
    r"ConnectionError|LocalEntryNotFound|OfflineMode|(couldn't|cannot) connect|offline mode": "the "
    "hub cannot be reached and there is no local copy: {told}",
    NO_DEVICE: "no such device on this machine: choose another, or none: {told}",
    "": "does not load as an image-text-to-text checkpoint: {told}",
}


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
    """

    def __init__(self, model, processor, *, name, device=None, share=None):
        import inspect

        import torch

        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.model, self.processor, self.name = model.to(self.device).eval(), processor, name
        self.tokenizer, config = processor.tokenizer, model.config
        #: the commit of a hub checkpoint
        self.revision = None
        self.share = config.model_type in SHAREABLE if share is None else share
        text = config.get_text_config()
        #: token positions kept in memory at once
        self.max_positions = self._positions_in_memory(text)
        #: token positions that cost as much as one batch more, which writes in passes of its own
        self.cut_cost = 250 if self.device.type == "cpu" else 6000
        #: token positions computed so far, padding included
        self.positions = 0
        #: whether an image's tokens can be put into another prompt; None: not known yet
        self.splices = None
        self._label_ids, self._shapes = {}, {}
        accepts = inspect.signature(model.forward).parameters
        self.cache_name = "cache" if "cache" in accepts else "past_key_values"
        self.inner = getattr(model, "model", model)
        self.last_layer = model.get_decoder().layers[-1] if self.share else None
        self.mrope = hasattr(self.inner, "get_rope_index")
        sliding = "sliding_attention" in (getattr(text, "layer_types", None) or ())
        self.window = text.sliding_window if sliding else None
        self._look_at_tokens()
        self.template = processor.chat_template or self.tokenizer.chat_template
        self.cannot = {} if self.template else {TURNS: _NO_TEMPLATE}
        self.can = frozenset({GENERATE, SAMPLE, LABELS, LOGPROBS, TURNS} - set(self.cannot))
        if self.template:
            self._check_template()

    def _look_at_tokens(self):
        """Find the tokens that pad, end a reply, and stand for an image."""
        tokenizer = self.tokenizer
        tokenizer.padding_side = "left"
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        self.pad, self.turn_end = tokenizer.pad_token_id, tokenizer.eos_token_id
        ends = self.model.generation_config.eos_token_id
        ends = ends if isinstance(ends, list) else [ends]
        self.eos = frozenset([*ends, self.turn_end]) - {None}
        self.image_token = number = getattr(self.model.config, "image_token_id", None)
        marks = tokenizer.convert_ids_to_tokens([] if number is None else [number])
        marks.append(getattr(self.processor, "image_token", None))
        self.image_marks = sorted({mark for mark in marks if mark})

    def _positions_in_memory(self, text):
        """What fills two fifths of a GPU's free memory with keys and values."""
        import torch

        if self.device.type != "cuda" or not self.share:
            return 1 << 19
        size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        one = 2 * text.num_hidden_layers * text.num_key_value_heads * size
        free, _ = torch.cuda.mem_get_info(self.device)
        return max(1 << 12, int(0.4 * free) // (one * self.model.dtype.itemsize))

    # --- prompts ----------------------------------------------------------------------------------

    def _refused(self, prompt):
        """Why a prompt cannot be asked, or None."""
        for mark in self.image_marks:
            if any(mark in turn for turn in prompt.turns):
                return Failure(
                    f"the question holds {mark!r}, which stands for an image in the texts of "
                    f"{self.name}: remove it from the item"
                )
        return None

    def _run_template(self, turns):
        if not self.template:
            return self.processor.image_token + turns[0]
        messages = []
        for i, text in enumerate(turns):
            content = [{"type": "image"}] * (i == 0) + [{"type": "text", "text": text}]
            messages.append({"role": "assistant" if i % 2 else "user", "content": content})
        with time_limit(TEMPLATE_SECONDS, f"{self.name}: its chat template does not end"):
            return self.processor.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True
            )

    def _check_template(self):
        """Have three turns written, and see which token ends a reply."""
        from jinja2 import Environment

        template = self.template
        for text in template.values() if isinstance(template, dict) else [template]:
            if any(mark == "**" for _, _, mark in Environment().lex(text)):
                raise MedcalError(
                    f"{self.name}: its chat template raises numbers to powers, which no limit of "
                    "time can stop: not run; pass a checkpoint with another template"
                )
        turns = ("alpha", "beta", "gamma")
        try:
            text = self._run_template(turns)
        except MedcalError:
            raise
        except Exception:  # whatever a template raises
            text = ""
        if any(text.count(turn) != 1 for turn in turns):
            raise MedcalError(
                f"{self.name}: its chat template does not write a conversation of three turns; "
                "pass a checkpoint with a chat template for images and several turns"
            )
        rest = self.tokenizer(text.partition(turns[1])[2], add_special_tokens=False)["input_ids"]
        self.turn_end = next((token for token in rest[:3] if token in self.eos), self.turn_end)

    def show(self, prompt):
        """Return the exact text that the model is given for `prompt` (image not expanded).

        The template is run once per number of turns, with marks that the turns then replace;
        where that would not give what the template gives, it is run each time.
        """
        turns = prompt.turns

        def filled(shape):
            return re.sub("\ue000([0-9]+)\ue001", lambda mark: turns[int(mark[1])], shape)

        n = len(turns)
        if n not in self._shapes:
            shape = self._run_template([f"\ue000{i}\ue001" for i in range(n)])
            self._shapes[n] = shape if filled(shape) == self._run_template(turns) else None
        if self._shapes[n] is None or any(turn != turn.strip() for turn in turns):
            return self._run_template(turns)
        return filled(self._shapes[n])

    def special(self, text):
        """Say that a text brings its own special tokens, where its template has begun it."""
        bos = self.tokenizer.bos_token
        return {"add_special_tokens": False} if bos and text.startswith(bos) else {}

    def process(self, texts, images):
        """Run the processor on texts with one image each; return its tensors."""
        return self.processor(
            text=texts, images=[[image] for image in images], padding=True, return_tensors="pt",
            **self.special(texts[0]),
        )  # fmt: skip

    def read(self, texts, images):
        """Return what the processor makes of texts with one image each, or why it does not."""
        try:
            return self.process(texts, images)
        except Exception as error:
            told = " ".join(str(error).split())[:160]
            return Failure(f"the processor refuses it: {told}")

    def label_ids(self, text, label):
        """Return the token ids of `label` as the model would write it right after `text`."""
        key = (text[-24:], label)
        if key not in self._label_ids:
            texts = [text, text + label, label]
            before, joint, plain = self.tokenizer(texts, add_special_tokens=False)["input_ids"]
            split = len(before)
            self._label_ids[key] = joint[split:] if joint[:split] == before else plain
        return self._label_ids[key]

    @contextmanager
    def session(self):
        """Open a batch: what its rounds of calls share is computed once."""
        import torch

        if self.device.type == "cpu":
            _keep_memory()
        hooks = last_alone(self.last_layer) if self.share else ()
        try:
            yield _LocalSession(self, SharedPrefix(self) if self.share else WholePrompts(self))
        except torch.OutOfMemoryError as error:
            raise MedcalError(
                f"{self.name}: out of memory on {self.device}: lower --batch-size and run the same "
                "command again"
            ) from error
        finally:
            for hook in hooks:
                hook.remove()


class _LocalSession:
    """Turns calls into rows of tokens, and rows back into results."""

    def __init__(self, backend, engine):
        self.backend, self.engine = backend, engine

    def run(self, calls):
        """Answer `calls`, in order."""
        started, backend = time.perf_counter(), self.backend
        prompts = dict.fromkeys(call.prompt for call in calls)
        encoded = {prompt: told for prompt in prompts if (told := backend._refused(prompt))}
        texts = {prompt: backend.show(prompt) for prompt in prompts if prompt not in encoded}
        if texts:
            encoded |= self.engine.encode(texts)
        rows = {c: self._rows(c, encoded[c.prompt], texts.get(c.prompt)) for c in calls}
        asked = {call: told for call, told in rows.items() if isinstance(told, list)}
        if asked:
            self.engine.run(encoded, [row for told in asked.values() for row in told])
        # the time of all is shared out by tokens read and written
        sizes = dict.fromkeys(calls, 0)
        for call, told in asked.items():
            sizes[call] = len(encoded[call.prompt]) + sum(len(row.tokens) for row in told)
        unit = (time.perf_counter() - started) / max(1, sum(sizes.values()))
        return [self._result(c, rows[c], encoded[c.prompt], sizes[c] * unit) for c in calls]

    def _rows(self, call, ids, text):
        """The rows that a call needs, or a Failure."""
        if isinstance(ids, Failure):
            return ids
        if isinstance(call, Labels):
            return self._label_rows(call.prompt, text, call.labels)
        draws = uniforms(call.seed, call.max_new_tokens) if call.seed else None
        return [Row(call.prompt, call.max_new_tokens, draws, call.temperature)]

    def _label_rows(self, prompt, text, labels):
        """One forced row per way of writing a label.

        A label counts in the ways models write it: as given and with a capital, with and without
        a blank before it. The tokens of a label are scored in full. Where the tokens of one label
        begin another's, the end of the reply is scored too, so that "left" does not take what
        belongs to "left lower".
        """
        written, unknown = {}, self.backend.tokenizer.unk_token_id
        for label in labels:
            capital = label[:1].upper() + label[1:]
            for way in (label, capital, " " + label, " " + capital):
                ids = tuple(self.backend.label_ids(text, way))
                if ids and unknown not in ids:
                    written.setdefault(ids, label)
            if label not in written.values():
                return Failure(f"the model has no tokens of its own to write the label {label!r}")
        nested = any(a != b and b[: len(a)] == a for a in written for b in written)
        end = (self.backend.turn_end,) if nested else ()
        rows = ((ids + end, label) for ids, label in written.items())
        return [Row(prompt, len(ids), forced=ids, label=label) for ids, label in rows]

    def _result(self, call, rows, ids, seconds):
        """What the rows of a call say."""
        if isinstance(rows, Failure):
            return rows
        sums = [(row.label, math.fsum(row.logprobs)) for row in rows]
        if isinstance(call, Generate):
            (row,), ((_, logprob),) = rows, sums
            text = self.backend.tokenizer.decode(row.tokens, skip_special_tokens=True).strip()
            n = len(row.tokens)
            return Reply(text, logprob, len(ids), n, seconds, finished=n < row.limit)
        ways = [[total for of, total in sums if of == label] for label in call.labels]
        scores = np.array([np.logaddexp.reduce(totals) for totals in ways])
        mass = float(np.logaddexp.reduce(scores))
        shares = dict(zip(call.labels, np.exp(scores - mass).tolist(), strict=True))
        return LabelProbabilities(shares, min(1.0, math.exp(mass)), len(ids), seconds)


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

    thread, raised = ctypes.c_ulong(threading.get_ident()), ctypes.py_object(TooLong)
    timer = threading.Timer(
        seconds, ctypes.pythonapi.PyThreadState_SetAsyncExc, args=(thread, raised)
    )
    timer.daemon = True
    timer.start()
    try:
        yield
    except TooLong:
        raise MedcalError(told) from None
    finally:
        timer.cancel()


def find(name, *, device=None, revision=None, **reach):
    """Load a pocket model, a folder with a checkpoint, or a hub id.

    Weights come from safetensors alone, code from transformers alone.

    Raises
    ------
    MedcalError
        When the checkpoint is gated, missing, damaged, of another kind, incomplete, needs code of
        its own, or the disk is full; the message says what to do.
    """
    from huggingface_hub import try_to_load_from_cache

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
        model = LocalModel(
            *_load(str(checkpoint), name, device, revision), name=name, device=device
        )
    except MedcalError:
        raise
    except Exception as error:  # of a configuration that fits no model
        raise MedcalError(_loading_advice(name, error)) from error
    if checkpoint is name:
        place = try_to_load_from_cache(name, "config.json", revision=revision)
        model.revision = Path(place).parent.name if isinstance(place, str) else None
    return model


def _load(checkpoint, name, device, revision):
    """Load model and processor, or say in one line why not and what to do."""
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
            raise MedcalError(
                f"{name}: {len(keys)} {told.replace('_', ' ')}, which would be answered from at "
                f"random, first: {', '.join(keys[:3])}: fetch the checkpoint again, or name a "
                "whole one"
            )
    return model, processor


def _loading_advice(name, error):
    """Say in one line why a checkpoint did not load and what to do."""
    told = f"{type(error).__name__}: {' '.join(str(error).split())}"
    found = (advice for sign, advice in _ADVICE.items() if re.search(sign, told, re.IGNORECASE))
    return f"{name}: {next(found).format(told=told[:240])}"
