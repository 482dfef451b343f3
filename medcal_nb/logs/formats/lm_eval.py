"""Per-sample logs of lm-evaluation-harness and of lmms-eval.

lm-evaluation-harness (``--log_samples``) writes ``<model>/samples_<task>_<time>.jsonl`` with
``doc_id, doc, target, arguments, resps, filtered_resps, filter, metrics`` and one value per
metric. lmms-eval writes ``<model>/<time>_samples_<task>.jsonl`` with ``doc_id, input, target,
filtered_resps``, sometimes ``resps`` and ``token_counts``.

Of a multiple-choice task they hold the log-likelihood of each option, from which the option
probabilities follow; the answer is the likeliest option, and ``acc`` its grade (``acc_norm``
grades another one, the likeliest by length). Of a generative task there is the text alone,
without a confidence, and a grade where one metric says it or the user names one.
"""

import re
from collections.abc import Iterator

from medcal_nb.logs.nested import at, choice, first_text, number
from medcal_nb.logs.registry import Log, Reader, has

#: Members of a sample that are no metrics.
_NO_METRIC = re.compile(
    r"doc|(doc|prompt|target)_hash|doc_id|target|arguments|input|(filtered_)?resps|filter|metrics|"
    "token_counts"
)


def _read(log: Log) -> Iterator[dict]:
    for sample in log.rows():
        yield _answer(sample, log)


def _answer(sample, log):
    gold = str(sample["target"])
    replies = sample["filtered_resps"]
    metrics = _metrics(sample)
    scores = _scores(replies)
    if scores:
        out = _choice(sample.get("arguments"), scores, gold.strip())
        main = "acc"
    else:
        text = first_text(replies)
        out = {
            "strategy": "generate",
            "answer": None if text == "[invalid]" else text,
            "raw": first_text(sample.get("resps")) or text,
            "gold": gold,
        }
        main = None
    if sample.get("filter") not in (None, "none"):
        out["strategy"] += f":{sample['filter']}"
    return out | {
        "item_id": sample["doc_id"],
        "correct": log.graded(metrics, main=main),
    }


def _metrics(sample):
    """The metrics of a sample: those that it lists, else every member that is none of the rest."""
    listed = sample.get("metrics")
    if isinstance(listed, list) and listed:
        return {name: sample.get(name) for name in listed if isinstance(name, str)}
    return {name: v for name, v in sample.items() if not _NO_METRIC.fullmatch(name)}


def _scores(replies):
    """Log-likelihoods of the options, which may be texts; None if the replies are texts."""
    scores = []
    for reply in replies:
        pair = isinstance(reply, list) and len(reply) == 2
        # a pair is the score of an option, and whether greedy decoding would have said it
        if not pair or str(reply[1]) not in ("True", "False"):
            return None
        scores.append(number(reply[0]))
    return scores if len(scores) > 1 and None not in scores else None


def _choice(arguments, scores, gold):
    """A multiple-choice sample; the options are the continuations that were asked for."""
    options = []
    for k in range(len(scores)):
        asked = at(arguments, f"gen_args_{k}.arg_1") or at(arguments, f"{k}.1")
        options.append(str(asked or "").strip())
    if len(set(options)) < len(options) or not all(options):
        options = [str(k) for k in range(len(scores))]
    if gold.isdigit() and int(gold) < len(options):
        gold = options[int(gold)]
    return choice(options, scores) | {"gold": gold if gold in options else None}


# the time stands before the name of the task or after it
_LAYOUT = r"(?P<model>[^/]+)/(\d{8}_\d+_)?samples_(?P<dataset>.+?)(?(2)|_\d{4}-[\dT.-]+)\.jsonl$"

READERS = (
    Reader(
        name="lm-eval",
        knows=has("doc_id", "filtered_resps", "arguments"),
        read=_read,
        layout=_LAYOUT,
    ),
    Reader(
        name="lmms-eval",
        knows=has("doc_id", "filtered_resps"),
        read=_read,
        layout=_LAYOUT,
    ),
)
