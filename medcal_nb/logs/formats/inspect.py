"""Logs of Inspect: ``.eval`` (a zip of JSON, one member a sample) or ``.json``.

A sample holds ``id, epoch, input, choices, target, output, scores``. A score's ``value`` is C or I
(right, wrong), a truth value, or a number: one that is neither right nor wrong (P, N, 0.5) is kept
ungraded. Several scorers are several metrics: where they differ, the user names one.

The confidence is the length-normalised likelihood of the reply, exp(mean log p), where the
log-probabilities of its tokens were recorded.
"""

from collections.abc import Iterator

from medcal_nb.logs.nested import at, likelihood, text_of
from medcal_nb.logs.registry import Log, Reader, has

_LETTERS = {"C": True, "I": False}


def _read(log: Log) -> Iterator[dict]:
    about = log.value["eval"]
    run = {
        "run_id": about.get("run_id"),
        "model": about.get("model"),
        "dataset": at(about, "dataset.name") or about.get("task"),
    }
    for sample in log.each(log.value.get("samples") or ()):
        yield run | _answer(sample, log)


def _answer(sample, log):
    reply = at(sample, "output.choices.0")
    usage = at(sample, "output.usage") or {}
    raw = text_of(at(reply, "message.content"))
    gold = sample.get("target")
    return likelihood(at(reply, "logprobs.content")) | {
        "item_id": sample["id"],
        "sample": int(sample.get("epoch") or 1) - 1,
        "question_type": "choice" if sample.get("choices") else "open",
        "prompt_tokens": usage.get("input_tokens"),
        "new_tokens": usage.get("output_tokens"),
        "raw": raw,
        "gold": gold.strip() if isinstance(gold, str) else gold or None,
        **_scored(sample.get("scores") or {}, raw, log),
    }


def _scored(scores, raw, log):
    """The grade, and the answer that the scorer took out of the reply."""
    metrics = {}
    for name, score in scores.items():
        value = at(score, "value")
        is_letter = isinstance(value, str)
        metrics[name] = _LETTERS.get(value, value) if is_letter else value
    answers = [at(score, "answer") for score in scores.values()]
    texts = (answer for answer in answers if isinstance(answer, str))
    return {"answer": next(texts, raw), "correct": log.graded(metrics)}


READERS = (Reader(name="inspect", knows=has("eval", "plan"), read=_read),)
