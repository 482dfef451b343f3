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

from medcal_nb.answers import ANSWER_COLUMNS

from .registry import Reader, has
from .source import at, chosen, grade, number, one_of

_FILE = re.compile(
    r"samples_(?P<task>.+)_\d{4}-\d{2}-\d{2}T[\d.-]+\.jsonl|"
    r"\d{8}_\d{6}_samples_(?P<other>.+)\.jsonl"
)
_DETAILS = re.compile(r"details_(?P<task>.+)_\d{4}-\d{2}-\d{2}T[\d.:-]+\.parquet")
_NOT_METRICS = {
    *("doc_id", "doc", "target", "arguments", "input", "resps", "filtered_resps", "filter"),
    *("metrics", "doc_hash", "prompt_hash", "target_hash", "token_counts", *ANSWER_COLUMNS),
}
_COLUMNS = {
    "item_id": "!doc_id",
    "prompt_tokens": "token_counts.0.input_tokens",
    "new_tokens": "token_counts.0.output_tokens",
}


def _read(source, columns, notes):
    for row, sample, model, task in _samples(source):
        out = source.take(sample, _COLUMNS, row) | {"model": model, "dataset": task}
        out["gold"] = str(source.need(sample, "target", row))
        replies = source.need(sample, "filtered_resps", row, list)
        if scores := _scores(replies):
            out |= _choice(sample.get("arguments"), scores, out["gold"].strip())
        else:
            text = _text(replies)
            parsed = text not in (None, "[invalid]")
            out |= {"strategy": "generate", "answer": text if parsed else None}
            out |= {"raw": _text(sample.get("resps")) or text, "parse_ok": parsed}
        if sample.get("filter") not in (None, "none"):
            out["strategy"] += f":{sample['filter']}"
        metrics = {k: v for k, v in sample.items() if k not in _NOT_METRICS}
        out["correct"] = grade({"correct": sample.get("correct")} | metrics, sample.get("metrics"))
        yield {k: number(v) for k, v in metrics.items()} | out


def _samples(source):
    """(row, sample, model, task), from a file of samples or from what simple_evaluate returns."""
    if isinstance(source.value, dict):
        config = at(source.value, "config", dict)
        named = re.search(r"pretrained=([^,]+)", str(config.get("model_args")))
        model = source.value.get("model_name") or (named[1] if named else config.get("model"))
        for task in source.need(source.value, "samples", None, dict):
            for row, sample in enumerate(at(source.value["samples"], task, list), 1):
                yield row, sample, model, task
        return
    match = _FILE.fullmatch(source.path.name)
    model = source.path.resolve().parent.name.replace("__", "/") if match else None
    task = match["task"] or match["other"] if match else None
    for row, sample in source.rows():
        yield row, sample, model or None, task


def _scores(replies):
    """Log-likelihoods of the options, or None if the replies are texts."""
    pairs = [r for r in replies if isinstance(r, list) and len(r) == 2]
    scores = [number(score) for score, greedy in pairs if str(greedy) in ("True", "False")]
    return scores if 1 < len(scores) == len(replies) and None not in scores else None


def _choice(arguments, scores, gold):
    """A multiple-choice sample; the options are the continuations that were asked for."""
    count = range(len(scores))
    if isinstance(arguments, dict):
        arguments = [[None, at(arguments, f"gen_args_{k}.arg_1")] for k in count]
    options = [str(at([arguments], f"0.{k}.1", str) or "").strip() for k in count]
    if len(set(options)) < len(options) or not all(options):
        options = [str(k) for k in count]
    if gold.isdigit() and len(gold) < 4 and int(gold) < len(options):
        gold = options[int(gold)]
    out = chosen(options, scores) | {"gold": gold if gold in options else None, "parse_ok": True}
    closed = {o.casefold() for o in options} == {"yes", "no"}
    return out | ({"question_type": "closed"} if closed else {})


def _text(value):
    """The first text in nested lists of replies."""
    while isinstance(value, list):
        value = value[0] if value else None
    return value if isinstance(value, str) else None


def _read_details(source, columns, notes):
    match = _DETAILS.fullmatch(source.path.name)
    folders = source.path.resolve().parts
    model = folders[folders.index("details") + 1 : -2] if match and "details" in folders else ()
    for row, record in source.rows():
        doc = source.need(record, "doc", row, dict)
        reply = source.need(record, "model_response", row, dict)
        options = [str(c).strip() for c in at(doc, "choices", list)]
        right = at(doc, "gold_index", list) or [at(doc, "gold_index")]
        golds = [options[k] for k in range(len(options)) if k in right]
        scores = [number(s) for s in at(reply, "logprobs", list)]
        if len(scores) == len(options) == len(set(options)) > 1 and None not in scores:
            out = chosen(options, scores)
            out["correct"] = out["answer"] in golds if golds else None
        else:
            text = next((t for t in at(reply, "text", list) if isinstance(t, str)), None)
            out = {"strategy": "generate", "answer": text, "raw": text}
            out["correct"] = grade(at(record, "metric", dict))
        yield out | {
            "model": "/".join(model) or None,
            "dataset": match and match["task"],
            "item_id": row if doc.get("id") in (None, "") else doc["id"],
            "gold": one_of(golds),
        }


def _is_lm_eval(source):
    samples = has("doc_id", "filtered_resps", "arguments")(source)
    return samples or ("results" in source.first and bool(at(source.first, "samples", dict)))


READERS = (
    Reader("lm-eval", _is_lm_eval, _read),
    Reader("lmms-eval", has("doc_id", "filtered_resps"), _read),
    Reader("lighteval", has("doc", "model_response", "metric"), _read_details),
)
