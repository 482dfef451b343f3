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
model_strategy, model_answer, model_confidence, model_correct``, and ``action``.
"""

from __future__ import annotations

from collections.abc import Iterator

from medcal_nb.errors import MedcalError
from medcal_nb.logs.registry import Log, Reader, number

_KEY = ("reader", "model", "dataset", "item_id")
_FIELDS = {*_KEY, "strategy", "action", "answer", "confidence"}
_ACTIONS = ("commit", "accept", "override", "defer")
#: What a decision says of the model; the rest is of the case.
_OF_MODEL = ("model", "strategy", "at")


def _read(log: Log) -> Iterator[dict]:
    """The answers that decisions stand for."""
    answers: dict[tuple, dict] = {}
    for row in log.rows():
        if not _is_whole(row):
            raise MedcalError(
                f"{log.path}: row {log.row} is no decision: it needs {', '.join(_KEY)}, an action "
                f"({', '.join(_ACTIONS)}) and, where it is not deferred, an answer and its "
                "confidence (0 to 1); download decisions.json from the reader page anew"
            )
        phase = "alone" if row["action"] == "commit" else "with_model"
        case = (phase, *(row[name] for name in _KEY))
        # of the own ones the first
        if phase == "with_model" or case not in answers:
            answers[case] = _answer(row) | {"strategy": phase}
    yield from answers.values()


def _is_whole(row):
    """Whether a row is a decision with all that belongs to it."""
    if not row.keys() >= _FIELDS or not all(row[name] for name in _KEY):
        return False
    confidence = number(row["confidence"])
    is_sure = confidence is not None and 0 <= confidence <= 1
    is_answer = row["action"] == "defer" or (row["answer"] and is_sure)
    return row["action"] in _ACTIONS and is_answer


def _answer(row):
    """One answer of a reader."""
    answer = {name: value for name, value in row.items() if name not in _OF_MODEL}
    if row["action"] == "defer":
        answer |= {"answer": None, "confidence": None, "correct": None}
    elif row.get("gold") and row.get("correct") is None:
        answer.pop("correct", None)  # graded where it comes in
    else:
        answer["correct"] = row.get("correct")
    answer["model"] = row["reader"]
    answer["model_name"] = row["model"]
    answer["model_strategy"] = row["strategy"]
    return answer


def _knows(first):
    """Whether this is a decision, whatever it lacks."""
    return {"reader", "action", "item_id", "model"} <= first.keys()


READERS = (Reader("decisions", _knows, _read),)
