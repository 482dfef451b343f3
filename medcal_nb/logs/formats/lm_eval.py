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

from scipy.special import softmax

from medcal_nb.logs.registry import Log, Reader, at, has, number

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
    scores = _scores(replies)
    if scores:
        out = _choice(sample.get("arguments"), scores, gold.strip())
    else:
        text = _first_text(replies)
        out = {
            "strategy": "generate",
            "answer": None if text == "[invalid]" else text,
            "raw": _first_text(sample.get("resps")) or text,
            "gold": gold,
        }
    if sample.get("filter") not in (None, "none"):
        out["strategy"] += f":{sample['filter']}"
    main = "acc" if scores else None
    out["correct"] = log.graded(_metrics(sample), main=main)
    return out | {"item_id": sample["doc_id"]}


def _metrics(sample):
    """The metrics of a sample: those that it lists, else every member that is none of the rest."""
    listed = sample.get("metrics")
    if not isinstance(listed, list) or not listed:
        listed = [name for name in sample if not _NO_METRIC.fullmatch(name)]
    return {name: sample.get(name) for name in listed if isinstance(name, str)}


def _scores(replies):
    """Log-likelihoods of the options, which may be texts; None if the replies are texts."""
    scores = []
    for reply in replies:
        # a pair is the score of an option, and whether greedy decoding would have said it
        if str(at(reply, "1")) not in ("True", "False"):
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
    shares = softmax(scores).tolist()
    best = shares.index(max(shares))
    return {
        "strategy": "option_probability",
        "question_type": "choice",
        "answer": options[best],
        "confidence": shares[best],
        "option_probabilities": dict(zip(options, shares, strict=True)),
        "gold": gold if gold in options else None,
    }


def _first_text(value):
    """The first text in nested lists of replies."""
    while isinstance(value, list):
        value = value[0] if value else None
    return value if isinstance(value, str) else None


# the time stands before the name of the task or after it
_LAYOUT = r"(?P<model>[^/]+)/(\d{8}_\d+_)?samples_(?P<dataset>.+?)(?(2)|_\d{4}-[\dT.-]+)\.jsonl$"

READERS = (
    Reader("lm-eval", has("doc_id", "filtered_resps", "arguments"), _read, _LAYOUT),
    Reader("lmms-eval", has("doc_id", "filtered_resps"), _read, _LAYOUT),
)
