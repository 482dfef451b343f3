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
import statistics
import time
from pathlib import Path

import numpy as np
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
        prompts, n = list(by_prompt), max(map(len, by_prompt.values()))
        for low in range(0, len(prompts), self.size):
            part = prompts[low : low + self.size]
            _, inputs = self._inputs(part)
            replies = self._replies(
                inputs,
                calls[0].max_new_tokens,
                do_sample=True,
                top_k=0,
                num_return_sequences=n,
            )
            for i, prompt in enumerate(part):
                found.update(
                    zip(by_prompt[prompt], replies[i * n : (i + 1) * n], strict=True)
                )

    def _labels(self, calls, found):
        """One forward pass over prompt + label, for the labels as the local backend writes them."""
        import torch

        backend = self.backend
        texts, inputs = self._inputs([call.prompt for call in calls])
        rows, forced = [], []
        for i, (call, text) in enumerate(zip(calls, texts, strict=True)):
            for row in backend_rows(backend, i, text, call.labels):
                rows.append(i)
                forced.append(row.forced)
        width = max(map(len, forced))
        ids = torch.full((len(rows), width), backend.pad, device=backend.device)
        mask = torch.zeros_like(ids)
        for i, tokens in enumerate(forced):
            ids[i, : len(tokens)] = torch.tensor(tokens)
            mask[i, : len(tokens)] = 1
        batch = _repeated(inputs, rows, width)
        batch["input_ids"][:, -width:] = ids
        batch["attention_mask"][:, -width:] = mask
        if not backend.rope_index:
            batch["position_ids"] = (batch["attention_mask"].cumsum(1) - 1).clamp(min=0)
        out = backend.model(**batch, logits_to_keep=width + 1)
        logprobs = torch.log_softmax(out.logits[:, :-1].float(), -1)
        scores = iter(
            sum(float(logprobs[i, j, token]) for j, token in enumerate(tokens))
            for i, tokens in enumerate(forced)
        )
        self.positions += batch["input_ids"].numel() - inputs["input_ids"].numel()
        for i, (call, text) in enumerate(zip(calls, texts, strict=True)):
            found_for = dict.fromkeys(call.labels, -np.inf)
            for row in backend_rows(backend, i, text, call.labels):
                found_for[row.label] = np.logaddexp(found_for[row.label], next(scores))
            totals = list(found_for.values())
            mass = np.logaddexp.reduce(totals)
            shares = [math.exp(total - mass) for total in totals]
            found[call] = LabelProbabilities(
                dict(zip(call.labels, shares, strict=True))
            )


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


def backend_rows(backend, prompt, text, labels):
    """The ways of writing each label, as the local backend has them."""
    return _LocalSession(backend, None)._label_rows(prompt, text, labels)


def programs_of(strategies, items, plan):
    made = [
        (s.name, item.item_id, s.ask(item, plan))
        for s in strategies
        for item in items
        if s.applies(item, Plan()) is None
    ]
    return [(name, item_id) for name, item_id, _ in made], [
        program for *_, program in made
    ]


def ask_ours(backend, strategies, items, plan):
    """All strategies together, in one session."""
    log = {}
    names, programs = programs_of(strategies, items, plan)
    with backend.session() as session:

        def answer(calls):
            results = session.run(calls)
            log.update(zip(calls, results, strict=True))
            return results

        outcomes = run_programs(programs, answer)
    assert not [one for one in outcomes if isinstance(one, Failure)]
    return dict(zip(names, outcomes, strict=True)), log


def ask_plain(backend, strategies, items, plan, size):
    """One strategy after another; within a strategy, `size` items at a time."""
    peer, log, table = Plain(backend, size), {}, {}

    def answer(calls):
        results = peer(calls)
        log.update(zip(calls, results, strict=True))
        return results

    for strategy in strategies:
        for low in range(0, len(items), size):
            names, programs = programs_of([strategy], items[low : low + size], plan)
            outcomes = run_programs(programs, answer)
            assert not [one for one in outcomes if isinstance(one, Failure)]
            table.update(zip(names, outcomes, strict=True))
    return table, log, peer.positions


def agreement(ours, theirs):
    """Share of greedy replies that are equal, of label answers within 0.001; number compared."""
    equal = close = greedy = labels = 0
    for call, result in theirs.items():
        if isinstance(call, Labels) and call in ours:
            labels += 1
            mine = ours[call].probabilities
            close += all(
                abs(p - mine[name]) < 1e-3 for name, p in result.probabilities.items()
            )
        elif isinstance(call, Generate) and not call.seed and call in ours:
            greedy += 1
            equal += result.text == ours[call].text
    return equal, greedy, close, labels


def measure(backend, strategies, items, plan, *, ways, threads=(1,), repeat=1):
    """Ask in several ways; return a table of what each took.

    `ways` names each way and the items it asks at a time (None: ours, all in one session).
    """
    import torch

    seconds, cpu, positions, compared = {}, {}, {}, {}
    _, log = ask_ours(backend, strategies, items, plan)  # warm-up
    for n_threads, again in itertools.product(threads, range(repeat)):
        torch.set_num_threads(n_threads)
        for way, size in ways.items():
            if size == 1 and again:
                continue
            started, used, before = (
                time.perf_counter(),
                time.process_time(),
                backend.positions,
            )
            if size is None:
                ask_ours(backend, strategies, items, plan)
                positions[way] = backend.positions - before
            else:
                _, other, positions[way] = ask_plain(
                    backend, strategies, items, plan, size
                )
            seconds.setdefault((way, n_threads), []).append(
                time.perf_counter() - started
            )
            cpu.setdefault((way, n_threads), []).append(time.process_time() - used)
            if size is not None:
                compared[way] = agreement(log, other)
    rows = []
    for (way, n_threads), times in seconds.items():
        row = {"way": way, "threads": n_threads, "positions": positions[way]}
        row["seconds"] = statistics.median(times)
        row["cpu_seconds"] = statistics.median(cpu[way, n_threads])
        equal, greedy, close, labels = compared.get(way, (0, 0, 0, 0))
        row |= {
            "greedy_equal": f"{equal}/{greedy}",
            "labels_close": f"{close}/{labels}",
        }
        rows.append(row)
    return pd.DataFrame(rows).round(2)


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
