"""How much faster it is to ask many strategies at once than to call ``generate`` for each.

    python -m tests.bench.bench_ask [--model pocket-general] [--dataset pocketvqa-medical]
                                    [--items 64] [--repeat 5] [--threads 1,2]
                                    [--out build/bench]

The same calls (same prompts, same limits) are answered in three ways, on the same model:

- *ours*: one session of the local backend; image and question computed once, equal calls once.
- *batched*: for each strategy and turn, all items in one padded batch through
  ``model.generate``; samples by ``num_return_sequences``; label probabilities by one batched
  forward pass over prompt and label.
- *single*: the same, one item at a time.

Each way runs with each number of threads, and each is given its best when ways are compared: tiny
models gain from a second thread in large batches only.

Seconds are medians over repeats, the three in turn, of the clock and of the processor (on a busy
machine the latter say more); ours runs once before, unmeasured, and one call at a time is measured
once. Positions are the tokens that went through the language model, padding included.
Greedy replies are compared word for word, label probabilities to 0.001.

Where ``MEDCAL_VLLM`` names a Python that has vLLM (``make test-vllm``), a vLLM server on the same
cores is asked the same calls through the served backend, 64 requests under way, after other items
to warm up; its processor time is that of server and client.

The compute floor is what the multiplications of *ours* take (counted by torch's
``FlopCounterMode``) at the rate that the processor reaches on a large product of matrices, in the
same run: no way of asking the same calls could take less, however it is written.
"""

import argparse
import itertools
import os
import platform
import statistics
import tempfile
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd

from medcal_nb.ask.backends.local import LocalModel
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

        found = {}
        groups = {}
        for call in calls:
            if isinstance(call, Labels):
                groups.setdefault(("labels", len(call.labels)), []).append(call)
            elif call.seed:
                groups.setdefault(("sampled", call.max_new_tokens), []).append(call)
            else:
                groups.setdefault(("greedy", call.max_new_tokens), []).append(call)
        with torch.inference_mode():
            for (kind, _), members in groups.items():
                if kind == "sampled":
                    self._sampled(members, found)
                    continue
                for low in range(0, len(members), self.size):
                    part = members[low : low + self.size]
                    (self._labels if kind == "labels" else self._greedy)(part, found)
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
        import math

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
    from medcal_nb.ask.backends.local import _LocalSession

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


def measure_vllm(name, strategies, items, plan, ours, warm_up):
    """Ask a vLLM server on the same cores; return a row of the table, or None without one."""
    import psutil

    from medcal_nb.ask.backends.served import ServedModel
    from tests.ask.engine import PYTHON, engines

    if not PYTHON:
        print("vLLM: skipped, no Python that has it (MEDCAL_VLLM)")
        return None

    def used(process):
        family = [process, *process.children(recursive=True), psutil.Process()]
        return sum(sum(member.cpu_times()[:2]) for member in family)

    with (
        tempfile.TemporaryDirectory() as folder,
        engines(1, name, Path(folder)) as found,
    ):
        urls, (server,) = found
        model = ServedModel(urls, concurrency=64)

        @contextmanager
        def session():  # of one image, as far as the model is concerned
            with model.open() as portal:
                asked = model.asked()
                yield SimpleNamespace(run=partial(portal.call, asked.results))

        asking = SimpleNamespace(session=session)
        ask_ours(asking, strategies, warm_up, plan)
        process = psutil.Process(server.pid)
        started, before = time.perf_counter(), used(process)
        _, log = ask_ours(asking, strategies, items, plan)
        seconds, cpu = time.perf_counter() - started, used(process) - before
    equal, greedy, close, labels = agreement(ours, log)
    return {
        "way": "vLLM server",
        "threads": 1,
        "seconds": seconds,
        "cpu_seconds": cpu,
        "greedy_equal": f"{equal}/{greedy}",
        "labels_close": f"{close}/{labels}",
    }


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


def measure(
    backend, strategies, items, plan, *, ways, threads=(1,), repeat=1, patches=int
):
    """Ask in several ways; return a table of what each took, and the rows that ours wrote.

    `ways` names each way and the items it asks at a time (None: ours, all in one session);
    `patches` tells how many image patches have been computed so far.
    """
    import torch

    seconds, cpu, positions, seen, compared = {}, {}, {}, {}, {}
    ask_ours(backend, strategies, items, plan)  # warm-up
    for n_threads, again in itertools.product(threads, range(repeat)):
        torch.set_num_threads(n_threads)
        for way, size in ways.items():
            if size == 1 and again:
                continue
            started, used, already = time.perf_counter(), time.process_time(), patches()
            if size is None:
                before = backend.positions
                table, log = ask_ours(backend, strategies, items, plan)
                positions[way] = backend.positions - before
            else:
                _, other, positions[way] = ask_plain(
                    backend, strategies, items, plan, size
                )
            seconds.setdefault((way, n_threads), []).append(
                time.perf_counter() - started
            )
            cpu.setdefault((way, n_threads), []).append(time.process_time() - used)
            seen[way] = patches() - already
            if size is not None:
                compared[way] = agreement(log, other)
    rows = []
    for (way, n_threads), times in seconds.items():
        row = {
            "way": way,
            "threads": n_threads,
            "seconds": statistics.median(times),
            "cpu_seconds": statistics.median(cpu[way, n_threads]),
            "positions": positions[way],
            "patches": seen[way],
        }
        if way in compared:
            equal, greedy, close, labels = compared[way]
            row |= {
                "greedy_equal": f"{equal}/{greedy}",
                "labels_close": f"{close}/{labels}",
            }
        rows.append(row)
    frame = pd.DataFrame(rows)
    if not frame["patches"].any():
        del frame["patches"]
    return with_ratios(frame, frame), table


def with_ratios(frame, reference, ours="ours"):
    """Add how many times longer each way takes than ours of `reference` at its best."""
    frame = frame.copy()
    for name in ("seconds", "cpu_seconds"):
        best = reference.loc[reference["way"] == ours, name].min()
        frame[name.replace("seconds", "times_ours")] = frame[name] / best
    return frame.round(2)


def rate(device, dtype, n):
    """Operations a second on the product of two square matrices, the best of six."""
    import torch

    a = torch.randn(n, n, device=device, dtype=dtype)
    best = 0.0
    for _ in range(6):
        started = time.perf_counter()
        float((a @ a)[0, 0])  # reading a number waits for the product
        best = max(best, 2 * n**3 / (time.perf_counter() - started))
    return best


def floor_seconds(backend, strategies, items, plan, threads):
    """Seconds that the multiplications of ours would take at full rate, by number of threads."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        ask_ours(backend, strategies, items, plan)
    floors = {}
    for n_threads in threads:
        torch.set_num_threads(n_threads)
        full = rate(backend.device, backend.model.dtype, 1024)
        floors[n_threads] = counter.get_total_flops() / full
    return floors


def compare(frame, ours="ours"):
    """Say how many times longer each other way takes, each at its best number of threads."""
    best = frame.groupby("way", sort=False)[["seconds", "cpu_seconds"]].min()
    ratios = best.div(best.loc[ours]).drop(ours)
    return [
        f"{way}: {row.seconds:.1f} times the seconds of {ours}, "
        f"{row.cpu_seconds:.1f} times its processor time (each at its best)"
        for way, row in ratios.iterrows()
    ]


def compare_to_floor(frame, floors, ours="ours"):
    """Say how near ours is to its compute floor, and what ratios that floor allows at most."""
    best = frame.groupby("way", sort=False)["seconds"].min()
    floor = min(floors.values())
    lines = [
        f"{ours}: {best[ours]:.2f} s, its multiplications alone {floor:.2f} s at full rate "
        f"({floor / best[ours]:.0%} of it)"
    ]
    lines += [
        f"{way}: at most {seconds / floor:.1f} times that floor, whatever asks the same calls"
        for way, seconds in best.drop(ours).items()
    ]
    return lines


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="pocket-general")
    parser.add_argument("--dataset", default="pocketvqa-medical")
    parser.add_argument("--items", type=int, default=64)
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--max-new-tokens", type=int, default=None)
    parser.add_argument("--device", default=None)
    parser.add_argument(
        "--threads", default="1,2", help="numbers of torch's threads to try"
    )
    parser.add_argument("--skip-single", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    options = parser.parse_args(arguments)

    backend = resolve_model(options.model, device=options.device)
    assert isinstance(backend, LocalModel)
    items = ordered_items(load_items(options.dataset, split="test", n=options.items))
    plan = Plan(
        dataset=options.dataset,
        samples=options.samples,
        max_new_tokens=options.max_new_tokens,
    )
    strategies = askable(backend)
    ways = {"ours": None, "batched": len(items), "single": 1}
    if options.skip_single:
        del ways["single"]
    threads = [int(n) for n in options.threads.split(",")]
    frame, table = measure(
        backend,
        strategies,
        items,
        plan,
        ways=ways,
        threads=threads,
        repeat=options.repeat,
    )
    warm_up = ordered_items(load_items(options.dataset, split="fit", n=8))
    _, log = ask_ours(backend, strategies, items, plan)
    if row := measure_vllm(options.model, strategies, items, plan, log, warm_up):
        frame = with_ratios(
            pd.concat([frame, pd.DataFrame([row])], ignore_index=True), frame
        )
    lines = compare(frame)
    floors = floor_seconds(backend, strategies, items, plan, threads)
    lines += compare_to_floor(frame, floors)
    machine = (
        f"{platform.machine()}, {os.cpu_count()} cores, {backend.device}, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    rows_asked = sum(len(answers) for answers in table.values())
    title = (
        f"{options.model} on {options.dataset}: {len(items)} items, {len(strategies)} strategies, "
        f"{rows_asked} answers; {machine}"
    )
    write(frame, title, lines, options.out / "ask.csv")
    return frame


def askable(backend):
    """The strategies that a backend can be asked under."""
    return [s for s in STRATEGIES.values() if s.skips(backend) is None]


def write(frame, title, lines, path):
    """Print a table with what it says, and keep it as CSV."""
    print(title)
    print(frame.to_string(index=False))
    print("\n".join(lines))
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.assign(title=title).to_csv(path, index=False)


if __name__ == "__main__":
    main()
