"""Confidences and time beside uqlm and lm-polygraph, on the methods that all of them have.

    python -m tests.bench.bench_ask_peers [--items 256] [--samples 10] [--out build/bench]

A pocket model is asked once; its replies and the log-probabilities of their tokens are recorded,
and each library makes confidences of the same records: no library has another's answers. The
peers want other versions of numpy and transformers than the workbook, so each lives in a
throw-away environment and is run there as a program (this file, ``--as``):

    python3 -m venv build/bench/uqlm
    build/bench/uqlm/bin/pip install uqlm "pyarrow<20"   # uqlm wants numpy 1, newer pyarrow numpy 2
    python3 -m venv build/bench/lm-polygraph
    build/bench/lm-polygraph/bin/pip install lm-polygraph

``MEDCAL_UQLM`` and ``MEDCAL_LM_POLYGRAPH`` name other places of the two environments. One that is
not there is skipped with a line that says so.

What is compared: agreement of samples (uqlm's exact match; lm-polygraph's share of the largest
class), entropy over classes of meaning, length-normalised likelihood, and the stated percentage.
Both libraries find classes of meaning by a language-inference model that has to be downloaded;
here they are given the workbook's classes, so that their formulas are compared and not that
model. Both ask P(true) in words of their own, through their own clients, so that nothing recorded
here could be compared with it. Seconds are of making confidences from the records, medians of five,
the starts of the programs left out.
"""

import argparse
import asyncio
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PEERS = {"uqlm": "MEDCAL_UQLM", "lm-polygraph": "MEDCAL_LM_POLYGRAPH"}
REPEATS = 5


def timed(method):
    """Return what a method gives, and the median seconds and processor seconds it takes."""
    seconds, used = [], []
    for _ in range(REPEATS):
        started, before = time.perf_counter(), time.process_time()
        values = method()
        seconds.append(time.perf_counter() - started)
        used.append(time.process_time() - before)
    values = [None if math.isnan(value) else float(value) for value in values]
    return values, statistics.median(seconds), statistics.median(used)


# --- run in the environments of the peers, with nothing of the workbook -------------------------


def as_uqlm(record):
    """Confidences of uqlm, by method."""
    from uqlm import BlackBoxUQ, WhiteBoxUQ
    from uqlm.nli.entropy_utils import (
        compute_cluster_probabilities,
        compute_response_probabilities,
        compute_semantic_entropy,
    )

    black = BlackBoxUQ(scorers=["exact_match"], device="cpu")
    white = WhiteBoxUQ(scorers=["sequence_probability"])
    tokens = [
        [{"token": "", "logprob": p} for p in reply] for reply in record["logprobs"]
    ]

    def agreement():
        result = black.score(
            record["chosen"], record["samples"], show_progress_bars=False
        )
        return result.data["exact_match"]

    def entropy():
        values = []
        for classes in record["classes"]:
            n = sum(map(len, classes))
            _, uniform = compute_response_probabilities([], num_responses=n)
            shares = compute_cluster_probabilities(uniform, classes)
            values.append(math.exp(-compute_semantic_entropy(shares)))
        return values

    def likelihood():
        result = asyncio.run(white.score(tokens, show_progress_bars=False))
        return result.data["sequence_probability"]

    return {
        "self_consistency": agreement,
        "semantic_entropy": entropy,
        "sequence_probability": likelihood,
    }


def as_lm_polygraph(record):
    """Confidences of lm-polygraph, by method; its uncertainties are turned round."""
    import numpy as np
    from lm_polygraph.estimators import (
        LabelProb,
        Perplexity,
        SemanticEntropy,
        Verbalized1S,
    )

    def grouped(classes):
        return {
            "class_to_sample": dict(enumerate(classes)),
            "sample_to_class": {
                i: {sample: k for k, members in enumerate(groups) for sample in members}
                for i, groups in enumerate(classes)
            },
        }

    every = {"sample_semantic_classes_entail": grouped(record["all_classes"])}
    every["semantic_classes_entail"] = every["sample_semantic_classes_entail"]
    samples = {
        "sample_semantic_classes_entail": grouped(record["classes"]),
        "semantic_classes_entail": grouped(record["classes"]),
        "sample_texts": record["known"],
        "sample_log_probs": [[0.0] * len(texts) for texts in record["known"]],
    }
    largest, likelihood = LabelProb(), Perplexity()
    entropy = SemanticEntropy(class_probability_estimation="frequency")
    stated = Verbalized1S(confidence_regex=r"Confidence: (\d+)%")
    replies = [np.array(reply) for reply in record["logprobs"]]
    return {
        "self_consistency": lambda: 1 - largest(every),
        "semantic_entropy": lambda: np.exp(-entropy(samples)),
        "sequence_probability": lambda: np.exp(
            -likelihood({"greedy_log_likelihoods": replies})
        ),
        # it reads the number as a share: "85%" is 85 to it
        "verbalized": lambda: (1 - stated({"greedy_texts": record["stated"]})) / 100,
    }


def run_as(peer, source, target):
    """In a peer's environment: read the records, write its confidences and its times."""
    record = json.loads(Path(source).read_text(encoding="utf-8"))
    methods = {"uqlm": as_uqlm, "lm-polygraph": as_lm_polygraph}[peer](record)
    made = {name: timed(method) for name, method in methods.items()}
    Path(target).write_text(json.dumps(made), encoding="utf-8")


# --- the workbook's side ------------------------------------------------------------------------


def record_replies(model, dataset, n, samples):
    """Ask a model; return what the peers are given, and ours: confidences by method, timed."""
    from medcal_nb.answer_key import answer_key as meaning
    from medcal_nb.answers import AnswerLog
    from medcal_nb.ask.graded import to_graded
    from medcal_nb.ask.models import resolve_model
    from medcal_nb.ask.parsing import parse_confidence
    from medcal_nb.ask.run import ask
    from medcal_nb.datasets import load_items

    backend = resolve_model(model)
    items = load_items(dataset, split="test", n=n)
    names = [
        "self_consistency",
        "semantic_entropy",
        "sequence_probability",
        "verbalized",
    ]
    with (
        tempfile.TemporaryDirectory() as folder,
        AnswerLog(Path(folder) / "a.sqlite") as log,
    ):
        ask(backend, items, names, log=log, samples=samples)
        answers = log.read()
    parts = {name: part for name, part in answers.groupby("strategy")}
    for name in names:
        parts[name] = (
            parts[name].sort_values(["item_id", "sample"]).reset_index(drop=True)
        )
    drawn = parts["self_consistency"].groupby("item_id", sort=True)
    order = list(drawn.groups)
    known, classes, all_classes = [], [], []
    for _, part in drawn:
        groups, alone, texts = {}, [], []
        for i, text in enumerate(part["answer"]):
            if isinstance(text, str):
                groups.setdefault(meaning(text), []).append((i, len(texts)))
                texts.append(text)
            else:
                alone.append([i])
        known.append(texts or [""])
        classes.append([[k for _, k in group] for group in groups.values()] or [[0]])
        all_classes.append([[i for i, _ in group] for group in groups.values()] + alone)
    verdicts = to_graded(parts["self_consistency"]).set_index("item_id").loc[order]
    chosen = []
    for item_id, part in drawn:
        same = part["answer"] == verdicts.at[item_id, "answer"]
        chosen.append(part["raw"][same].iloc[0] if same.any() else part["raw"].iloc[0])
    record = {
        "samples": [part["raw"].tolist() for _, part in drawn],
        "known": known,
        "classes": classes,
        "all_classes": all_classes,
        "chosen": chosen,
        "logprobs": token_logprobs(backend, items, order),
        "stated": parts["verbalized"]["raw"].tolist(),
    }
    ours = {
        name: timed(lambda part=parts[name]: to_graded(part)["confidence"])
        for name in ("self_consistency", "semantic_entropy")
    }
    ours["sequence_probability"] = timed(
        lambda: [
            math.exp(math.fsum(reply) / len(reply)) for reply in record["logprobs"]
        ]
    )
    asked = parts["sequence_probability"]["confidence"]
    gap = max(
        abs(a - b) for a, b in zip(asked, ours["sequence_probability"][0], strict=True)
    )
    assert gap < 1e-6, f"the recorded log-probabilities are not those of the run: {gap}"
    ours["verbalized"] = timed(
        lambda: [
            math.nan if (value := parse_confidence(text)) is None else value
            for text in record["stated"]
        ]
    )
    return record, ours


def token_logprobs(backend, items, order):
    """The log-probabilities of the tokens of each greedy reply, in the order of the items."""
    from medcal_nb.ask.backends.rows import Row
    from medcal_nb.ask.run import ordered_items
    from medcal_nb.ask.strategies import STRATEGIES, Plan

    found = {item.item_id: item for item in ordered_items(items)}
    calls = [
        next(STRATEGIES["sequence_probability"].ask(found[item_id], Plan()))[0]
        for item_id in order
    ]
    with backend.session() as session:
        encoded = session.engine.encode(
            {call.prompt: backend.show(call.prompt) for call in calls}
        )
        rows = [Row(call.prompt, call.max_new_tokens) for call in calls]
        session.engine.run(encoded, rows)
    return [row.logprobs for row in rows]


def find_python(peer):
    """The interpreter of a peer's environment, or None."""
    home = Path(os.environ.get(PEERS[peer]) or Path("build/bench") / peer)
    python = home / "bin" / "python"
    return python if python.is_file() else None


def ask_peer(peer, python, record):
    """Run a peer on the records; return its confidences and times, or why it did not run."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.json", Path(folder) / "out.json"
        source.write_text(json.dumps(record), encoding="utf-8")
        done = subprocess.run(
            [str(python), __file__, "--as", peer, str(source), str(target)],
            capture_output=True,
            text=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        )
        if done.returncode or not target.is_file():
            return (done.stderr.strip().splitlines() or ["no message"])[-1]
        return json.loads(target.read_text(encoding="utf-8"))


def compare(method, peer, ours, theirs):
    """One row of the table: times, and how many confidences are the same."""
    (mine, seconds, cpu), (other, their_seconds, their_cpu) = ours, theirs
    pairs = [
        (a, b)
        for a, b in zip(mine, other, strict=True)
        if a is not None and b is not None
    ]
    gaps = [abs(a - b) for a, b in pairs]
    return {
        "method": method,
        "peer": peer,
        "items": len(mine),
        "read_by_ours": sum(a is not None for a in mine),
        "read_by_peer": sum(b is not None for b in other),
        "same": sum(gap < 1e-6 for gap in gaps),
        "largest_gap": max(gaps, default=math.nan),
        "ms": 1e3 * seconds,
        "peer_ms": 1e3 * their_seconds,
        "times_ours": their_seconds / seconds,
        "cpu_times_ours": their_cpu / cpu,
    }


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="pocket-general")
    parser.add_argument("--dataset", default="pocketvqa-medical")
    parser.add_argument("--items", type=int, default=256)
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    options = parser.parse_args(arguments)

    import pandas as pd

    pythons = {peer: find_python(peer) for peer in PEERS}
    for peer, python in pythons.items():
        if python is None:
            print(
                f"{peer}: skipped, no environment with it (set {PEERS[peer]} to its folder)"
            )
    if not any(pythons.values()):
        return None
    record, ours = record_replies(
        options.model, options.dataset, options.items, options.samples
    )
    rows = []
    for peer, python in pythons.items():
        if python is None:
            continue
        theirs = ask_peer(peer, python, record)
        if isinstance(theirs, str):
            print(f"{peer}: skipped, it did not run: {theirs}")
            continue
        rows += [compare(name, peer, ours[name], made) for name, made in theirs.items()]
    if not rows:
        return None
    frame = pd.DataFrame(rows).round(4)
    print(frame.to_string(index=False))
    options.out.mkdir(parents=True, exist_ok=True)
    frame.to_csv(options.out / "ask_peers.csv", index=False)
    return frame


if __name__ == "__main__":
    if sys.argv[1:2] == ["--as"]:
        run_as(*sys.argv[2:5])
    else:
        main()
