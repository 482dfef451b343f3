"""Logs of Inspect: ``.eval`` (a zip of JSON, one member a sample) or ``.json``.

A sample holds ``id, epoch, input, choices, target, output, scores``. A score's ``value`` is C or I
(right, wrong), a truth value, or a number: one that is neither right nor wrong (P, N, 0.5) is kept
ungraded. Several scorers are several metrics: where they differ, the user names one.
"""

from collections.abc import Iterator

from medcal_nb.logs.registry import Log, Reader, at, has


def _read(log: Log) -> Iterator[dict]:
    (whole,) = log.value
    about = whole["eval"]
    run = {
        "run_id": about.get("run_id"),
        "model": about.get("model"),
        "dataset": at(about, "dataset.name") or about.get("task"),
    }
    for sample in log.each(whole.get("samples") or ()):
        yield run | _answer(sample, log)


def _answer(sample, log):
    reply = at(sample, "output.choices.0")
    raw = at(reply, "message.content")
    if isinstance(raw, list):  # a message may come in parts
        raw = "".join(part.get("text") or "" for part in raw)
    gold = sample.get("target")
    scores = sample.get("scores") or {}
    answers = [at(score, "answer") for score in scores.values()]
    texts = [answer for answer in answers if isinstance(answer, str)]
    metrics = {name: _value(score) for name, score in scores.items()}
    return {
        "strategy": "generate",
        "item_id": sample["id"],
        "sample": int(sample.get("epoch") or 1) - 1,
        "question_type": "choice" if sample.get("choices") else "open",
        "options": sample.get("choices") or None,
        "raw": raw or None,
        "gold": gold.strip() if isinstance(gold, str) else gold or None,
        "answer": texts[0] if texts else raw or None,
        "correct": log.graded(metrics),
    }


def _value(score):
    """What a scorer says: True, False, or what it is."""
    value = at(score, "value")
    return (
        {"C": True, "I": False}.get(value, value) if isinstance(value, str) else value
    )


READERS = (Reader(name="inspect", knows=has("eval", "plan"), read=_read),)
