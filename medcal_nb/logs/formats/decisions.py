"""Decisions of the reader page as answers: a reader is read like a model.

The page downloads ``decisions.json``: a JSON list with an object for each thing that a reader
said, in order (a table with these columns is read, too). ``reader, model, dataset, strategy,
item_id`` say who decided about which answer; ``image_id, domain, modality, question_type`` are of
the case; ``action`` is ``commit`` (the own answer, before the model's was shown), ``accept`` (the
same as the model's), ``override`` or ``defer``; ``answer, confidence, correct`` are what the reader
said, ``confidence`` in 0 to 1, all null where deferred, ``correct`` null where there is no grade;
``model_answer, model_confidence, model_correct`` what was shown; ``at`` and ``seconds``, when and
how long after the case, or the model's answer, was shown.

Of each case come up to two answers: under the strategy ``alone`` the one given before the model's
was shown (the first counts), under ``with_model`` the last decision; one that was deferred has
neither answer nor confidence. Extra columns hold what the model answered beside: ``model_name,
model_strategy, model_answer, model_confidence, model_correct``, and ``phase``, ``action`` and
``place``, the order in which a reader came to the cases.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from medcal_nb.errors import MedcalError, printable
from medcal_nb.logs.nested import number
from medcal_nb.logs.registry import Log, Reader

_FIELDS = (
    "reader", "model", "dataset", "strategy", "item_id", "action", "answer",
    "confidence", "correct", "model_answer", "model_confidence", "model_correct",
)  # fmt: skip
_ACTIONS = ("commit", "accept", "override", "defer")
_CASE = ("dataset", "domain", "item_id", "image_id", "modality", "question_type")


def _knows(first: dict) -> bool:
    """Whether a row is a decision."""
    return first.keys() >= {*_FIELDS}


def _read(log: Log) -> Iterator[dict]:
    """Return the answers that decisions stand for."""
    alone: dict[tuple, dict] = {}
    final: dict[tuple, dict] = {}
    places: dict[tuple, int] = {}
    seen: Counter = Counter()
    for row in log.rows():
        _check(row, log)
        case = tuple(row[name] for name in ("reader", "model", "dataset", "item_id"))
        if case not in places:
            seen[row["reader"]] += 1
            places[case] = seen[row["reader"]]
        if row["action"] == "commit":
            alone.setdefault(case, row)
        elif not row.get("undone_at"):  # taken back, in files of earlier versions
            final[case] = row
    samples: Counter = Counter()
    for phase, rows in (("alone", alone), ("with_model", final)):
        for case, row in rows.items():
            # one reader may have read a case beside several models
            key = (phase, row["reader"], row["dataset"], row["item_id"])
            yield _answer(row, phase, sample=samples[key], place=places[case])
            samples[key] += 1


def _check(row: dict, log: Log) -> None:
    """Refuse a row that is no decision."""
    lacking = [name for name in _FIELDS if name not in row]
    confidence = number(row.get("confidence"))
    deferred = row.get("action") == "defer"
    if lacking:
        problem = f"no {lacking[0]}"
    elif row["action"] not in _ACTIONS:
        action = printable(str(row["action"]))[:40]
        problem = f"action '{action}' is none of {', '.join(_ACTIONS)}"
    elif not all(row[name] for name in ("reader", "model", "dataset", "item_id")):
        problem = "reader, model, dataset or item_id is empty"
    elif not deferred and not row["answer"]:
        problem = "no answer, and not deferred"
    elif not deferred and (confidence is None or not 0 <= confidence <= 1):
        shown = printable(str(row["confidence"]))[:40]
        problem = f"confidence '{shown}' is no number from 0 to 1"
    else:
        return
    raise MedcalError(
        f"{log.path}: row {log.row}: {problem}; download "
        "decisions.json from the reader page anew"
    )


def _answer(row: dict, phase: str, *, sample: int, place: int) -> dict:
    """Return one answer of a reader."""
    answer = {name: row.get(name) or None for name in _CASE}
    deferred = row["action"] == "defer"
    return answer | {
        "model": row["reader"],
        "reader": row["reader"],
        "strategy": phase,
        "sample": sample,
        "answer": None if deferred else row["answer"],
        "confidence": None if deferred else number(row["confidence"]),
        "correct": None if deferred else _truth(row["correct"]),
        "seconds": number(row.get("seconds")),
        "phase": phase,
        "action": row["action"],
        "place": place,
        "model_name": row["model"],
        "model_strategy": row["strategy"],
        "model_answer": row["model_answer"],
        "model_confidence": number(row["model_confidence"]),
        "model_correct": _truth(row["model_correct"]),
    }


def _truth(value: object) -> bool | None:
    """Right or wrong, as JSON, SQLite or CSV write it."""
    return {"true": True, "1": True, "false": False, "0": False}.get(str(value).lower())


READERS = (Reader("decisions", _knows, _read),)
