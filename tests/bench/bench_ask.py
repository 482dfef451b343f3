"""How much faster it is to ask many methods at once than to call ``generate`` for each.

    python -m tests.bench.bench_ask [--items 64] [--repeat 5] [--threads 1,2] [--out build/bench]

The same calls (same prompts, same limits) are answered in three ways, on the same model:

- *ours*: one session of the local backend; image and question computed once, equal calls once.
- *batched*: for each method and turn, all items in one padded batch through ``model.generate``;
  samples by ``num_return_sequences``; label probabilities by one batched forward pass.
- *single*: the same, one item at a time.

Each way runs with each number of threads, and is given its best when ways are compared. Seconds are
medians over repeats, the three in turn, of the clock and of the processor (on a busy machine the
latter say more); ours runs once before, unmeasured, and *single* is measured once. Positions are
the tokens that went through the language model, padding included. Greedy replies are compared word
for word, label probabilities to 0.001.
"""

import argparse
import itertools
import math
import os
import platform
import time
from pathlib import Path

import pandas as pd

from medcal_nb.ask.backends.local import _LocalSession
from medcal_nb.ask.calls import Failure, Generate, LabelProbabilities, Labels, Reply
from medcal_nb.ask.models import resolve_model
from medcal_nb.ask.run import ordered_items, run_programs
from medcal_nb.ask.strategies import STRATEGIES, Plan
from medcal_nb.datasets import load_items
from tests.ask.whole import read_together


class Plain:
    """The peer: processor and ``model.generate``, `size` prompts at a time, nothing shared."""

    def __init__(self, backend, size):
        self.backend = backend
        self.size = size
        self.positions = 0

    def __call__(self, calls):
        import torch

        found, groups = {}, {}
        for call in calls:
            kind, size = "greedy", getattr(call, "max_new_tokens", 0)
            if isinstance(call, Labels):
                kind, size = "labels", len(call.labels)
            elif call.seed:
                kind = "sampled"
            groups.setdefault((kind, size), []).append(call)
        with torch.inference_mode():
            for (kind, _), members in groups.items():
                step = len(members) if kind == "sampled" else self.size
                for low in range(0, len(members), step):
                    getattr(self, f"_{kind}")(members[low : low + step], found)
        return [found[call] for call in calls]

    def _inputs(self, prompts):
        backend = self.backend
        texts = [backend.show(prompt) for prompt in prompts]
        inputs = read_together(backend, texts, [prompt.picture for prompt in prompts])
        self.positions += inputs["input_ids"].numel()
        return texts, inputs.to(backend.device)

    def _replies(self, inputs, limit, **more):
        backend = self.backend
        out = backend.model.generate(
            **inputs,
            max_new_tokens=limit,
            eos_token_id=sorted(backend.eos),
            pad_token_id=backend.pad,
            **more,
        )
        new = out[:, inputs["input_ids"].shape[1] :]
        self.positions += max(0, new.shape[1] - 1) * len(new)
        texts = backend.tokenizer.batch_decode(new, skip_special_tokens=True)
        return [Reply(text.strip(), -1.0, 1, 1) for text in texts]

    def _greedy(self, calls, found):
        _, inputs = self._inputs([call.prompt for call in calls])
        replies = self._replies(inputs, calls[0].max_new_tokens, do_sample=False)
        found.update(zip(calls, replies, strict=True))

    def _sampled(self, calls, found):
        by_prompt = {}
        for call in calls:
            by_prompt.setdefault(call.prompt, []).append(call)
        n = max(map(len, by_prompt.values()))
        how = {"do_sample": True, "top_k": 0, "num_return_sequences": n}
        for low in range(0, len(by_prompt), self.size):
            part = list(by_prompt)[low : low + self.size]
            replies = self._replies(
                self._inputs(part)[1], calls[0].max_new_tokens, **how
            )
            for i, prompt in enumerate(part):
                own = replies[i * n : (i + 1) * n]
                found.update(zip(by_prompt[prompt], own, strict=True))

    def _labels(self, calls, found):
        """One forward pass over prompt + label, for the labels as the local backend writes them."""
        import torch

        backend = self.backend
        texts, inputs = self._inputs([call.prompt for call in calls])
        session = _LocalSession(backend, None)
        rows = [
            row  # a way of writing a label, as the local backend has them
            for i, (call, text) in enumerate(zip(calls, texts, strict=True))
            for row in session._label_rows(i, text, call.labels)
        ]
        width = max(len(row.forced) for row in rows)
        batch = _repeated(inputs, [row.prompt for row in rows], width)
        batch["input_ids"][:, -width:] = backend.pad
        for i, row in enumerate(rows):
            places = slice(-width, len(row.forced) - width or None)
            batch["input_ids"][i, places] = torch.tensor(row.forced)
            batch["attention_mask"][i, places] = 1
        if not backend.rope_index:
            batch["position_ids"] = (batch["attention_mask"].cumsum(1) - 1).clamp(min=0)
        out = backend.model(**batch, logits_to_keep=width + 1)
        logprobs = torch.log_softmax(out.logits[:, :-1].float(), -1)
        self.positions += batch["input_ids"].numel() - inputs["input_ids"].numel()
        shares = [dict.fromkeys(call.labels, 0.0) for call in calls]
        for i, row in enumerate(rows):
            score = sum(float(logprobs[i, j, t]) for j, t in enumerate(row.forced))
            shares[row.prompt][row.label] += math.exp(score)
        for call, share in zip(calls, shares, strict=True):
            total = sum(share.values())
            found[call] = LabelProbabilities({k: s / total for k, s in share.items()})


def _repeated(inputs, rows, width):
    """The processor's tensors for the prompts numbered `rows`, with room for `width` tokens."""
    import torch

    n, length = inputs["input_ids"].shape
    picked = torch.tensor(rows, device=inputs["input_ids"].device)
    batch = {}
    for name, value in inputs.items():
        if value.shape[:2] == (n, length):
            room = value.new_zeros((len(rows), width))
            batch[name] = torch.cat([value[picked], room], 1)
        elif len(value) == n:
            batch[name] = value[picked]
        else:  # the patches of all images, one after another
            parts = value.split(inputs["image_grid_thw"].prod(1).tolist())
            batch[name] = torch.cat([parts[row] for row in rows])
    return batch


def answers_to(answer, strategies, items, plan):
    """What is answered to every call of some methods about some items."""
    log = {}

    def logged(calls):
        results = answer(calls)
        log.update(zip(calls, results, strict=True))
        return results

    pairs = itertools.product(strategies, items)
    programs = [s.ask(i, plan) for s, i in pairs if s.applies(i, Plan()) is None]
    outcomes = run_programs(programs, logged)
    assert not [one for one in outcomes if isinstance(one, Failure)]
    return log


def ask(backend, strategies, items, plan, size):
    """All answers, `size` items at a time (None: ours, all in one session), and positions."""
    if size is None:
        before = backend.positions
        with backend.session() as session:
            log = answers_to(session.run, strategies, items, plan)
        return log, backend.positions - before
    peer, log = Plain(backend, size), {}
    for strategy in strategies:
        for low in range(0, len(items), size):
            log |= answers_to(peer, [strategy], items[low : low + size], plan)
    return log, peer.positions


def agreement(ours, theirs):
    """How many greedy replies and label probabilities are compared, and are the same."""
    counts = dict.fromkeys(("greedy", "greedy_equal", "labels", "labels_close"), 0)
    for call in ours.keys() & theirs.keys():
        a, b = ours[call], theirs[call]
        if isinstance(call, Labels):
            counts["labels"] += 1
            gaps = [abs(p - b.probabilities[n]) for n, p in a.probabilities.items()]
            counts["labels_close"] += max(gaps) < 1e-3
        elif isinstance(call, Generate) and not call.seed:
            counts["greedy"] += 1
            counts["greedy_equal"] += a.text == b.text
    return counts


def measure(backend, strategies, items, plan, *, ways, threads=(1,), repeat=1):
    """One row a way and number of threads: medians of what it took, and agreement with ours.

    `ways` names each way and the items it asks at a time.
    """
    import torch

    ours, _ = ask(backend, strategies, items, plan, None)  # warm-up
    rows = []
    for n_threads, again in itertools.product(threads, range(repeat)):
        torch.set_num_threads(n_threads)
        for way, size in ways.items():
            if size == 1 and again:
                continue
            started, used = time.perf_counter(), time.process_time()
            log, positions = ask(backend, strategies, items, plan, size)
            row = {"way": way, "threads": n_threads, "positions": positions}
            row["seconds"] = time.perf_counter() - started
            row["cpu_seconds"] = time.process_time() - used
            rows.append(row | agreement(ours, log))
    table = pd.DataFrame(rows).groupby(["way", "threads"], sort=False).median()
    return table.round(2).reset_index()


def compare(frame, ours="ours"):
    """Say how many times longer each other way takes, each at its best number of threads."""
    best = frame.groupby("way", sort=False)[["seconds", "cpu_seconds"]].min()
    return [
        f"{way}: {row.seconds:.1f} times the seconds of {ours}, "
        f"{row.cpu_seconds:.1f} times its processor time (each at its best)"
        for way, row in best.div(best.loc[ours]).drop(ours).iterrows()
    ]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="pocket-general")
    parser.add_argument("--dataset", default="pocketvqa-medical")
    parser.add_argument("--items", type=int, default=64)
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--threads", default="1,2", help="numbers of torch's threads")
    parser.add_argument("--skip-single", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    options = parser.parse_args(arguments)

    backend = resolve_model(options.model)
    items = ordered_items(load_items(options.dataset, split="test", n=options.items))
    plan = Plan(dataset=options.dataset, samples=options.samples)
    asked = [how for how in STRATEGIES.values() if how.skips(backend) is None]
    ways = {"ours": None, "batched": len(items)} | (
        {} if options.skip_single else {"single": 1}
    )
    threads = [int(n) for n in options.threads.split(",")]
    frame = measure(
        backend, asked, items, plan, ways=ways, threads=threads, repeat=options.repeat
    )
    machine = (
        f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    print(f"{options.model}, {len(items)} items of {options.dataset}; {machine}")
    print(frame.to_string(index=False), *compare(frame), sep="\n")
    options.out.mkdir(parents=True, exist_ok=True)
    frame.to_csv(options.out / "ask.csv", index=False)
    return frame


if __name__ == "__main__":
    main()
