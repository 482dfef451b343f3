"""How much faster it is to ask many methods at once than to call ``generate`` for each.

    python -m tests.bench.bench_ask [--items 64] [--repeat 5] [--out build/bench]

The same calls are answered in five ways, on the same model:

- *ours*: one session of the local backend; image and question computed once, equal calls once.
- *method by method*: the same, a session for each method: what asking all at once is worth.
- *whole prompts*: all at once, but image and question computed for every call.
- *batched*: for each method and turn, all items in one padded batch through ``model.generate``;
  samples by ``num_return_sequences``; label probabilities by one batched forward pass.
- *single*: the same, one item at a time.

Each way runs with one thread and with two; its better time counts. Seconds are medians of the clock
and of the processor (on a busy machine the latter say more). Positions are tokens of the language
model, padding included. Greedy replies are compared word for word, label probabilities to 0.001.
"""

import argparse
import itertools
import time
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from medcal_nb.ask.backends.local import LocalModel, _LocalSession
from medcal_nb.ask.backends.whole import WholePrompts, read_together
from medcal_nb.ask.calls import Failure, Generate, LabelProbabilities, Labels, Reply
from medcal_nb.ask.lockstep import run_programs
from medcal_nb.ask.models import resolve_model
from medcal_nb.ask.run import ordered_items
from medcal_nb.ask.strategies import STRATEGIES, Plan
from medcal_nb.datasets import load_items

WAYS = ("ours", "method by method", "whole prompts", "batched", "single")


@dataclass
class Plain:
    """The peer: processor and ``model.generate``, `size` prompts at a time, nothing shared."""

    backend: LocalModel
    size: int

    @torch.inference_mode()
    def __call__(self, calls):
        found, groups = {}, defaultdict(list)
        for call in calls:
            is_reply = isinstance(call, Generate)
            kind = (call.max_new_tokens, bool(call.seed)) if is_reply else None
            groups[kind].append(call)
        for kind, members in groups.items():
            by_prompt = itertools.groupby(members, lambda call: call.prompt)
            parts = [list(same) for _, same in by_prompt]
            for low in range(0, len(parts), self.size):
                part = list(itertools.chain(*parts[low : low + self.size]))
                results = self._replies(part) if kind else self._labels(part)
                found.update(zip(part, results, strict=True))
        return [found[call] for call in calls]

    def _inputs(self, prompts):
        backend = self.backend
        texts = [backend.show(prompt) for prompt in prompts]
        inputs = read_together(backend, texts, [prompt.picture for prompt in prompts])
        backend.positions += inputs["input_ids"].numel()
        return texts, inputs.to(backend.device)

    def _replies(self, calls):
        """Greedy replies, or samples, as many of each prompt."""
        backend = self.backend
        prompts = list(dict.fromkeys(call.prompt for call in calls))
        how = {"do_sample": False}
        if calls[0].seed:
            n = len(calls) // len(prompts)
            how = {"do_sample": True, "top_k": 0, "num_return_sequences": n}
        _, inputs = self._inputs(prompts)
        how |= {"eos_token_id": sorted(backend.eos), "pad_token_id": backend.pad}
        limit = calls[0].max_new_tokens
        out = backend.model.generate(**inputs, **how, max_new_tokens=limit)
        new = out[:, inputs["input_ids"].shape[1] :]
        backend.positions += max(0, new.shape[1] - 1) * len(new)
        texts = backend.tokenizer.batch_decode(new, skip_special_tokens=True)
        return [Reply(text.strip(), -1.0, 1, 1) for text in texts]

    def _labels(self, calls):
        """One forward pass over prompt + label, for the labels as the local backend writes them."""
        backend = self.backend
        texts, inputs = self._inputs([call.prompt for call in calls])
        session, rows = _LocalSession(backend, None), []
        for i, (call, text) in enumerate(zip(calls, texts, strict=True)):
            rows += session._label_rows(i, text, call.labels)
        width = max(len(row.forced) for row in rows)
        lengths = torch.tensor([[len(row.forced)] for row in rows])
        padded = [(*row.forced, *[backend.pad] * width)[:width] for row in rows]
        forced, real = torch.tensor(padded), torch.arange(width) < lengths
        which = [row.prompt for row in rows]
        shape, batch = inputs["input_ids"].shape, {}
        for name, value in inputs.items():  # with room where each token has a place
            room = width if value.shape[:2] == shape else 0
            batch[name] = torch.nn.functional.pad(value[which], (0, room))
        batch["input_ids"][:, -width:] = forced
        batch["attention_mask"][:, -width:] = real
        batch["position_ids"] = (batch["attention_mask"].cumsum(1) - 1).clamp(min=0)
        out = backend.model(**batch, logits_to_keep=width + 1)
        backend.positions += batch["input_ids"].numel() - inputs["input_ids"].numel()
        logprobs = torch.log_softmax(out.logits[:, :-1].float(), -1).cpu()
        scores = (logprobs.gather(2, forced[..., None])[..., 0] * real).sum(1).exp()
        shares = [dict.fromkeys(call.labels, 0.0) for call in calls]
        for row, score in zip(rows, scores.tolist(), strict=True):
            shares[row.prompt][row.label] += score
        return [
            LabelProbabilities({k: p / sum(share.values()) for k, p in share.items()})
            for share in shares
        ]


@contextmanager
def session_of(backend, way, size):
    """What answers calls: a session of the backend, one that shares nothing, or the peer."""
    with backend.session() as session:
        if way == "whole prompts":
            session.engine = WholePrompts(backend)
        is_peer = way in ("batched", "single")
        yield Plain(backend, size) if is_peer else session.run


def ask(backend, strategies, items, plan, way):
    """All answers in one of `WAYS`, and how many positions the language model read."""
    log, before, parts = {}, backend.positions, [(strategies, items)]
    size = 1 if way == "single" else len(items)
    if way not in ("ours", "whole prompts"):
        cuts = [items[low : low + size] for low in range(0, len(items), size)]
        parts = itertools.product(([how] for how in strategies), cuts)
    for some, few in parts:
        with session_of(backend, way, size) as answer:

            def logged(calls, answer=answer):
                results = answer(calls)
                log.update(zip(calls, results, strict=True))
                return results

            pairs = itertools.product(some, few)
            due = [how.ask(i, plan) for how, i in pairs if how.applies(i, plan) is None]
            outcomes = run_programs(due, logged)
            assert not [one for one in outcomes if isinstance(one, Failure)]
    return log, backend.positions - before


def agreement(ours, theirs):
    """How many greedy replies and label probabilities are compared, and are the same."""
    counts = dict.fromkeys(("greedy", "greedy_equal", "labels", "labels_close"), 0)
    for call in ours.keys() & theirs.keys():
        if isinstance(call, Labels):
            a, b = ([*one[call].probabilities.values()] for one in (ours, theirs))
            counts["labels"] += 1
            counts["labels_close"] += np.allclose(a, b, atol=1e-3, rtol=0)
        elif isinstance(call, Generate) and not call.seed:
            counts["greedy"] += 1
            counts["greedy_equal"] += ours[call].text == theirs[call].text
    return counts


def measure(backend, strategies, items, plan, *, threads=(1,), repeat=1):
    """What each of `WAYS` takes, and whether it agrees with ours."""
    ours, _ = ask(backend, strategies, items, plan, "ours")  # warm-up
    rows = []
    for n_threads, again in itertools.product(threads, range(repeat)):
        torch.set_num_threads(n_threads)
        for way in WAYS:
            if way == "single" and again:  # slow enough once
                continue
            began = np.array([time.perf_counter(), time.process_time()])
            log, positions = ask(backend, strategies, items, plan, way)
            took = np.array([time.perf_counter(), time.process_time()]) - began
            row = {"way": way, "threads": n_threads, "positions": positions}
            row |= dict(zip(("seconds", "cpu_seconds"), took, strict=True))
            rows.append(row | agreement(ours, log))
    table = pd.DataFrame(rows).groupby(["way", "threads"], sort=False).median()
    return table.round(2).reset_index()


def compare(frame):
    """How many times ours each way takes, each at its best number of threads."""
    best = frame.groupby("way", sort=False)[["seconds", "cpu_seconds"]].min()
    return best.div(best.loc["ours"]).round(1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=64)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    options = parser.parse_args()
    backend = resolve_model("pocket-general")
    items = load_items("pocketvqa-medical", split="test", n=options.items)
    plan = Plan(dataset="pocketvqa-medical", samples=10)
    # a pipeline decides by itself; there is no peer of it here
    others = [how for name, how in STRATEGIES.items() if name != "decision"]
    asked = [how for how in others if how.skips(backend) is None]
    how = {"threads": (1, 2), "repeat": options.repeat}
    frame = measure(backend, asked, ordered_items(items), plan, **how)
    print(
        frame.to_string(index=False), "times ours, at best:", compare(frame), sep="\n"
    )
    options.out.mkdir(parents=True, exist_ok=True)
    frame.to_csv(options.out / "ask.csv", index=False)


if __name__ == "__main__":
    main()
