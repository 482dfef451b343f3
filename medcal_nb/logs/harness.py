"""Per-sample logs of lm-evaluation-harness and of lmms-eval.

lm-evaluation-harness (``--log_samples``) writes ``<model>/samples_<task>_<time>.jsonl`` with
``doc_id, doc, target, arguments, resps, filtered_resps, filter, metrics`` and one value per
metric; its ``simple_evaluate`` returns the same samples by task. Of a multiple-choice task they
hold the log-likelihood of each option, from which the option probabilities follow; of a generative
one the text alone, without a confidence. lmms-eval writes ``<model>/<time>_samples_<task>.jsonl``
with ``doc_id, input, target, filtered_resps``, sometimes ``resps`` and ``token_counts``.
"""

import re

from .registry import Reader
from .source import grade, number, softmax, table

_FILE = re.compile(
    r"samples_(?P<task>.+)_\d{4}-\d{2}-\d{2}T[\d.-]+\.jsonl|"
    r"\d{8}_\d{6}_samples_(?P<other>.+)\.jsonl"
)
_NOT_METRICS = {
    *("doc_id", "doc", "target", "arguments", "input", "resps", "filtered_resps", "filter"),
    *("metrics", "doc_hash", "prompt_hash", "target_hash", "token_counts"),
}


def _read(source, columns, notes):
    silent = ungraded = 0
    for row, sample, model, task in _samples(source):
        replies = source.need(sample, "filtered_resps", row, list)
        out = {
            "item_id": source.need(sample, "doc_id", row),
            "model": model,
            "dataset": task,
            "gold": str(source.need(sample, "target", row)),
        }
        scores = _scores(replies)
        kept_by = sample.get("filter")
        suffix = "" if kept_by in (None, "none") else f":{kept_by}"
        if scores is None:
            silent += 1
            text = _text(replies)
            parsed = text not in (None, "[invalid]")
            out |= {"strategy": f"generate{suffix}", "answer": text if parsed else None}
            out |= {"raw": _text(sample.get("resps")) or text, "parse_ok": parsed}
        else:
            out |= _choice(sample, scores) | {"strategy": f"option_probability{suffix}"}
        metrics = {k: v for k, v in sample.items() if k not in _NOT_METRICS}
        out["correct"] = grade(metrics, sample.get("metrics"))
        ungraded += out["correct"] is None
        counts = sample.get("token_counts")
        counts = table(counts[0]) if isinstance(counts, list) and counts else {}
        out |= {"prompt_tokens": counts.get("input_tokens")}
        out |= {"new_tokens": counts.get("output_tokens")}
        taken = (*out, "sample", "confidence")
        out |= {k: number(v) for k, v in metrics.items() if k not in taken}
        yield {k: v for k, v in out.items() if v is not None}
    if silent:
        notes.append(
            f"{source.path}: {silent} generated replies; this format holds no confidence of them"
        )
    if ungraded:
        notes.append(
            f"{source.path}: {ungraded} answers have no metric that is 0 or 1: kept ungraded"
        )


def _samples(source):
    """(row, sample, model, task), from a file of samples or from what simple_evaluate returns."""
    if isinstance(source.value, dict):
        config = table(source.value.get("config"))
        named = re.search(r"pretrained=([^,]+)", str(config.get("model_args")))
        model = source.value.get("model_name") or (named[1] if named else config.get("model"))
        for task, samples in source.need(source.value, "samples", None, dict).items():
            for row, sample in enumerate(samples if isinstance(samples, list) else [], 1):
                yield row, sample, model, task
        return
    match = _FILE.fullmatch(source.path.name)
    model = source.path.resolve().parent.name.replace("__", "/") if match else None
    task = match["task"] or match["other"] if match else None
    for row, sample in source.objects():
        yield row, sample, model or None, task


def _scores(replies):
    """Log-likelihoods of the options, or None if the replies are texts."""
    pairs = [r for r in replies if isinstance(r, list | tuple) and len(r) == 2]
    scores = [number(score) for score, greedy in pairs if str(greedy) in ("True", "False")]
    return scores if 1 < len(scores) == len(replies) and None not in scores else None


def _choice(sample, scores):
    options = _options(sample.get("arguments"), len(scores))
    p = softmax(scores)
    gold = str(sample["target"]).strip()
    if gold.isdigit() and len(gold) < 4 and int(gold) < len(options):
        gold = options[int(gold)]
    closed = {o.casefold() for o in options} == {"yes", "no"}
    return {
        "question_type": "closed" if closed else "choice",
        "answer": options[max(range(len(p)), key=p.__getitem__)],
        "confidence": max(p),
        "option_probabilities": dict(zip(options, p, strict=True)),
        "gold": gold if gold in options else None,
        "parse_ok": True,
    }


def _options(arguments, n):
    """The texts of the options: the continuations whose likelihood was asked for."""
    if isinstance(arguments, dict):
        calls = [table(arguments.get(f"gen_args_{k}")).get("arg_1") for k in range(n)]
    else:
        listed = arguments if isinstance(arguments, list) else []
        calls = [c[1] if isinstance(c, list | tuple) and len(c) > 1 else None for c in listed]
    texts = [text.strip() if isinstance(text, str) else "" for text in calls]
    plain = len(texts) == n == len(set(texts)) and all(texts)
    return texts if plain else [str(k) for k in range(n)]


def _text(value):
    """The first text in nested lists of replies."""
    while isinstance(value, list):
        value = value[0] if value else None
    return value if isinstance(value, str) else None


def _is_lm_eval(source):
    samples = {"doc_id", "filtered_resps", "arguments"} <= source.first.keys()
    return samples or ("results" in source.first and bool(table(source.first.get("samples"))))


def _is_lmms_eval(source):
    return {"doc_id", "filtered_resps"} <= source.first.keys()


READERS = (Reader("lm-eval", _is_lm_eval, _read), Reader("lmms-eval", _is_lmms_eval, _read))
