"""Per-sample logs of lm-evaluation-harness, of lmms-eval and of lighteval.

lm-evaluation-harness (``--log_samples``) writes ``<model>/samples_<task>_<time>.jsonl`` with
``doc_id, doc, target, arguments, resps, filtered_resps, filter, metrics`` and one value per
metric; its ``simple_evaluate`` returns the same samples by task. lmms-eval writes
``<model>/<time>_samples_<task>.jsonl`` with ``doc_id, input, target, filtered_resps``, sometimes
``resps`` and ``token_counts``; lighteval ``details/<model>/<time>/details_<task>_<time>.parquet``
with ``doc`` (query, choices, gold_index, id), ``model_response`` (text, logprobs) and ``metric``.

Of a multiple-choice task they hold the log-likelihood of each option, from which the option
probabilities follow; of a generative one the text alone, without a confidence.
"""

import re

from .registry import Reader, has
from .source import at, choice, grade, number, one_of

# the time stands before or after
_SAMPLES = r"(?P<model>[^/]+)/(\d{8}_\d+_)?samples_(?P<dataset>.+?)(?(2)|_\d{4}-[\dT.-]+)\.jsonl$"
_DETAILS = r"details/(?P<model>.+)/[^/]+/details_(?P<dataset>.+)_[\dT.:-]+\.parquet$"
_NOT_METRICS = {
    *(
        "doc_id",
        "doc",
        "target",
        "arguments",
        "input",
        "resps",
        "filtered_resps",
        "filter",
    ),
    *("metrics", "doc_hash", "prompt_hash", "target_hash", "token_counts"),
}


def _read(source):
    yield from map(_answer, source.rows())


def _read_evaluated(source):
    named = re.search(r"pretrained=([^,]+)", str(at(source.value, "config.model_args")))
    model = source.value.get("model_name") or (named and named[1])
    for task, samples in source.value["samples"].items():
        for sample in source.each(samples):
            yield _answer(sample) | {"model": model, "dataset": task}


def _answer(sample):
    gold = str(sample["target"])
    replies = sample["filtered_resps"]
    if scores := _scores(replies):
        out = _choice(sample.get("arguments"), scores, gold.strip())
    else:
        text = _text(replies)
        out = {"strategy": "generate", "answer": None if text == "[invalid]" else text}
        out |= {"raw": _text(sample.get("resps")) or text, "gold": gold}
    if sample.get("filter") not in (None, "none"):
        out["strategy"] += f":{sample['filter']}"
    out["correct"] = grade({k: v for k, v in sample.items() if k not in _NOT_METRICS})
    used = at(sample, "token_counts.0") or {}
    out |= {
        "prompt_tokens": used.get("input_tokens"),
        "new_tokens": used.get("output_tokens"),
    }
    return out | {"item_id": sample["doc_id"]}


def _scores(replies):
    """Log-likelihoods of the options, which may be texts; None if the replies are texts."""
    pairs = [r for r in replies if isinstance(r, list) and len(r) == 2]
    scores = [
        number(score) for score, greedy in pairs if str(greedy) in ("True", "False")
    ]
    return scores if 1 < len(scores) == len(replies) and None not in scores else None


def _choice(arguments, scores, gold):
    """A multiple-choice sample; the options are the continuations that were asked for."""
    count = range(len(scores))
    asked = [
        at(arguments, f"gen_args_{k}.arg_1") or at(arguments, f"{k}.1") for k in count
    ]
    options = [str(option or "").strip() for option in asked]
    if len(set(options)) < len(options) or not all(options):
        options = [str(k) for k in count]
    if gold.isdigit() and int(gold) < len(options):
        gold = options[int(gold)]
    return choice(options, scores) | {"gold": gold if gold in options else None}


def _text(value):
    """The first text in nested lists of replies."""
    while isinstance(value, list):
        value = value[0] if value else None
    return value if isinstance(value, str) else None


def _read_details(source):
    for record in source.rows():
        doc = record["doc"]
        reply = record["model_response"]
        options = [str(option).strip() for option in doc.get("choices") or ()]
        right = (
            doc["gold_index"]
            if isinstance(doc["gold_index"], list)
            else [doc["gold_index"]]
        )
        golds = [options[k] for k in range(len(options)) if k in right]
        scores = [number(score) for score in reply.get("logprobs") or ()]
        if len(scores) == len(options) == len(set(options)) > 1 and None not in scores:
            out = choice(options, scores)
            out["correct"] = out["answer"] in golds if golds else None
        else:
            text = _text(reply.get("text"))
            out = {"strategy": "generate", "answer": text, "raw": text}
            out["correct"] = grade(record["metric"])
        item = source.row if doc.get("id") in (None, "") else doc["id"]
        yield out | {"item_id": item, "gold": one_of(golds)}


_is_samples = has("doc_id", "filtered_resps")

READERS = (
    Reader(
        "lm-eval",
        lambda first: _is_samples(first) and "arguments" in first,
        _read,
        _SAMPLES,
    ),
    Reader("lm-eval-results", has("results", "samples"), _read_evaluated),
    Reader("lmms-eval", _is_samples, _read, _SAMPLES),
    Reader(
        "lighteval", has("doc", "model_response", "metric"), _read_details, _DETAILS
    ),
)
