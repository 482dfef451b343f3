"""Logs of Inspect: ``.eval`` (a zip of JSON, one member a sample) and ``.json``.

A sample holds ``id, epoch, input, choices, target, output, scores``. A score's ``value`` is C or I
(right, wrong), a truth value, or a number: one that is neither right nor wrong (P, N, 0.5) is kept
ungraded. The confidence is the length-normalised likelihood of the reply, exp(mean log p), where
the log-probabilities of its tokens were recorded.
"""

import json
import zipfile
import zlib

from .packed import open_zip
from .registry import Reader
from .source import flag, likelihood, number, table


def _read(source, columns, notes):
    silent = ungraded = 0
    header, samples = _opened(source)
    about = source.need(header, "eval", None, dict)
    for row, sample in enumerate(map(table, samples), 1):
        choices = table(sample.get("output")).get("choices")
        choice = table(choices[0]) if isinstance(choices, list) and choices else {}
        tokens = table(choice.get("logprobs")).get("content")
        scores = table(sample.get("scores"))
        graded = [(k, table(v)) for k, v in scores.items() if _grade(table(v)) is not None]
        if len(graded) > 1 and row == 1:
            notes.append(f"{source.path}: graded by {graded[0][0]}, the first of its scorers")
        score = graded[0][1] if graded else table(next(iter(scores.values()), None))
        confidence = likelihood(tokens)
        silent += confidence is None
        ungraded += not graded
        raw = _written(table(choice.get("message")).get("content"))
        answer = score.get("answer")
        answer = answer if isinstance(answer, str) else raw
        target = sample.get("target")
        usage = table(table(sample.get("output")).get("usage"))
        yield {
            "model": about.get("model"),
            "dataset": table(about.get("dataset")).get("name") or about.get("task"),
            "item_id": source.need(sample, "id", row),
            "sample": max(int(number(sample.get("epoch")) or 1) - 1, 0),
            "strategy": "generate" if confidence is None else "sequence_probability",
            "question_type": "choice" if sample.get("choices") else "open",
            "answer": answer,
            "raw": raw,
            "gold": target.strip() if isinstance(target, str) else target or None,
            "confidence": confidence,
            "correct": _grade(graded[0][1]) if graded else None,
            "parse_ok": answer is not None,
            "prompt_tokens": usage.get("input_tokens"),
            "new_tokens": usage.get("output_tokens"),
            "run_id": about.get("run_id"),
        }
    if silent:
        notes.append(f"{source.path}: {silent} replies without token log-probabilities")
    if ungraded:
        notes.append(f"{source.path}: {ungraded} scores are neither right nor wrong: kept ungraded")


def _opened(source):
    """The header, and the samples one after another."""
    if source.suffix == ".json":
        samples = table(source.value).get("samples")
        if not isinstance(samples, list) or not samples:
            raise source.broken(None, "no 'samples' (a header only)")
        return source.value, samples
    try:
        archive = open_zip(source.path)
        names = [n for n in archive.namelist() if n.startswith("samples/") and n.endswith(".json")]
        header = _loaded(source, archive, "header.json")
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, OSError) as err:
        raise source.damaged(err) from err
    if not names:
        raise source.broken(None, "no 'samples/' in it")
    return header, (_loaded(source, archive, name) for name in names)


def _loaded(source, archive, name):
    try:
        return json.loads(archive.read(name))
    except NotImplementedError as err:
        raise source.broken(
            None, "packed in a way Python does not open; convert it by `inspect log convert`"
        ) from err
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        ValueError,
        RecursionError,
        OSError,
        RuntimeError,
    ) as err:
        raise source.damaged(err) from err


def _grade(score):
    value = score.get("value")
    value = {"C": True, "I": False}.get(value, value) if isinstance(value, str) else value
    return flag(value)


def _written(content):
    """The text of a message, which may come in parts."""
    if isinstance(content, list):
        parts = [table(p).get("text") for p in content]
        content = "".join(p for p in parts if isinstance(p, str)) or None
    return content if isinstance(content, str) else None


def _knows(source):
    return source.suffix == ".eval" or {"eval", "plan"} <= source.first.keys()


READERS = (Reader("inspect", _knows, _read),)
