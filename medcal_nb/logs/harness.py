"""Per-sample logs of lm-evaluation-harness and of lmms-eval.

lm-evaluation-harness (``--log_samples``) writes ``<model>/samples_<task>_<time>.jsonl`` with
``doc_id, doc, target, arguments, resps, filtered_resps, filter, metrics`` and one value per
metric. Of a multiple-choice task it holds the log-likelihood of each option, from which the
option probabilities follow; of a generative one the text alone, without a confidence.

lmms-eval writes ``<model>/<time>_samples_<task>.jsonl`` with ``doc_id, input, target,
filtered_resps``, sometimes ``resps`` and ``token_counts``, and one value per metric, which may
be an object. Its tasks are generative as a rule: there is no confidence.
"""

from medcal_nb.answers.files import iter_json

from ._rows import flag, model_from_folder, need, number, softmax

LM_EVAL_FILE = r"samples_(?P<task>.+)_\d{4}-\d{2}-\d{2}T[\d.-]+\.jsonl"
LMMS_EVAL_FILE = r"\d{8}_\d{6}_samples_(?P<task>.+)\.jsonl"
GRADES = ("acc", "exact_match", "em", "accuracy", "score", "correct")
NOT_METRICS = {
    "doc_id",
    "doc",
    "target",
    "arguments",
    "input",
    "resps",
    "filtered_resps",
    "filter",
    "metrics",
    "doc_hash",
    "prompt_hash",
    "target_hash",
    "token_counts",
}


def read_lm_eval(path, columns, notes):
    """Rows of lm-evaluation-harness."""
    yield from _read(path, notes, LM_EVAL_FILE)


def read_lmms_eval(path, columns, notes):
    """Rows of lmms-eval."""
    yield from _read(path, notes, LMMS_EVAL_FILE)


def _read(path, notes, pattern):
    model, task = model_from_folder(path, pattern)
    silent = ungraded = 0
    for row, sample in iter_json(path):
        replies = need(sample, "filtered_resps", path, row, list)
        scores = _scores(replies)
        out = {
            "item_id": need(sample, "doc_id", path, row),
            "model": model or None,
            "dataset": task or None,
            "gold": str(need(sample, "target", path, row)),
        }
        filter_ = sample.get("filter")
        suffix = "" if filter_ in (None, "none") else f":{filter_}"
        if scores is None:
            silent += 1
            text = _text(replies)
            out |= {"strategy": f"generate{suffix}", "answer": text, "raw": _text(sample, text)}
            out["parse_ok"] = text not in (None, "[invalid]")
            if not out["parse_ok"]:
                out["answer"] = None
        else:
            out |= _choice(sample, scores, path, row)
            out["strategy"] = f"option_probability{suffix}"
        metrics = {k: v for k, v in sample.items() if k not in NOT_METRICS}
        out["correct"] = _grade(metrics, sample.get("metrics"))
        if out["correct"] is None:
            ungraded += 1
        counts = sample.get("token_counts")
        if isinstance(counts, list) and counts and isinstance(counts[0], dict):
            out["prompt_tokens"] = counts[0].get("input_tokens")
            out["new_tokens"] = counts[0].get("output_tokens")
        out |= {
            k: number(v)
            for k, v in metrics.items()
            if number(v) is not None and k not in out and k not in ("sample", "confidence")
        }
        yield {k: v for k, v in out.items() if v is not None or k in ("answer", "correct")}
    if silent:
        notes.append(f"{path}: {silent} generated replies; this format holds no confidence of them")
    if ungraded:
        notes.append(f"{path}: {ungraded} answers have no metric that is 0 or 1: kept ungraded")


def _scores(replies):
    """Log-likelihoods of the options, or None if the replies are texts."""
    scores = []
    for reply in replies:
        if not (isinstance(reply, list) and len(reply) == 2):
            return None
        greedy = str(reply[1])
        score = number(reply[0])
        if score is None or greedy not in ("True", "False"):
            return None
        scores.append(score)
    return scores if len(scores) > 1 else None


def _choice(sample, scores, path, row):
    options = _options(sample, len(scores))
    p = softmax(scores)
    best = max(range(len(p)), key=p.__getitem__)
    target = str(sample["target"]).strip()
    gold = target
    if target.isdigit() and int(target) < len(options):
        gold = options[int(target)]
    kind = "closed" if {o.casefold() for o in options} == {"yes", "no"} else "choice"
    return {
        "question_type": kind,
        "answer": options[best],
        "confidence": p[best],
        "option_probabilities": dict(zip(options, p, strict=True)),
        "gold": gold,
        "parse_ok": True,
    }


def _options(sample, n):
    """The texts of the options: the continuations whose likelihood was asked for."""
    arguments = sample.get("arguments")
    texts = []
    if isinstance(arguments, dict):
        for k in range(n):
            call = arguments.get(f"gen_args_{k}")
            text = call.get("arg_1") if isinstance(call, dict) else None
            texts.append(text.strip() if isinstance(text, str) else "")
    elif isinstance(arguments, list) and len(arguments) == n:
        for call in arguments:
            text = call[1] if isinstance(call, list) and len(call) > 1 else None
            texts.append(text.strip() if isinstance(text, str) else "")
    if len(texts) != n or not all(texts) or len(set(texts)) < n:
        return [str(k) for k in range(n)]
    return texts


def _text(sample, default=None):
    """The first text in nested lists of replies."""
    value = sample.get("resps", default) if isinstance(sample, dict) else sample
    while isinstance(value, list):
        if not value:
            return None
        value = value[0]
    return value if isinstance(value, str) else default


def _grade(metrics, listed):
    names = [n for n in (listed or []) if isinstance(n, str)] if isinstance(listed, list) else []
    names = [n for n in GRADES if n in metrics] + names + list(metrics)
    for name in names:
        value = metrics.get(name)
        found = flag(value)
        if found is not None:
            return found
        if isinstance(value, dict):
            for key in ("score", "correct", "acc"):
                found = flag(value.get(key))
                if found is not None:
                    return found
            told, wanted = value.get("parsed_pred", value.get("pred")), value.get("answer")
            if isinstance(told, str) and isinstance(wanted, str):
                return told.strip().casefold() == wanted.strip().casefold()
    return None
