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

from collections.abc import Iterator

from medcal_nb.errors import MedcalError, printable
from medcal_nb.logs.nested import number
from medcal_nb.logs.registry import Log, Reader

_KEY = ("reader", "model", "dataset", "item_id")
_FIELDS = (*_KEY, "strategy", "action", "answer", "confidence")
_ACTIONS = ("commit", "accept", "override", "defer")
#: What a decision says of the model; the rest is of the case.
_OF_MODEL = ("model", "strategy", "at")


def _read(log: Log) -> Iterator[dict]:
    """The answers that decisions stand for."""
    answers: dict[tuple, dict] = {}
    places: dict[tuple, int] = {}
    for row in log.rows():
        _check(row, log)
        case = tuple(row[name] for name in _KEY)
        places.setdefault(case, 1 + sum(one[0] == row["reader"] for one in places))
        phase = "alone" if row["action"] == "commit" else "with_model"
        # of the own ones the first
        if phase == "with_model" or (phase, case) not in answers:
            about = {"strategy": phase, "phase": phase, "place": places[case]}
            answers[phase, case] = _answer(row) | about
    yield from answers.values()


def _check(row, log):
    """Refuse a row that is no decision."""
    confidence = number(row.get("confidence"))
    is_sure = confidence is not None and 0 <= confidence <= 1
    lacking = [name for name in _FIELDS if name not in row]
    problem = ""
    if lacking:
        problem = f"no {', '.join(lacking)}"
    elif row["action"] not in _ACTIONS:
        problem = f"action '{printable(str(row['action']))[:40]}' is none of {', '.join(_ACTIONS)}"
    elif not all(row[name] for name in _KEY):
        problem = f"{', '.join(_KEY)}: one is empty"
    elif row["action"] != "defer" and not (row["answer"] and is_sure):
        problem = "no answer with a confidence from 0 to 1, and not deferred"
    if problem:
        raise MedcalError(
            f"{log.path}: row {log.row}: {problem}; download decisions.json from the reader page "
            "anew"
        )


def _answer(row):
    """One answer of a reader."""
    answer = {name: value for name, value in row.items() if name not in _OF_MODEL}
    if row["action"] == "defer":
        answer |= {"answer": None, "confidence": None, "correct": None}
    elif row.get("gold") and row.get("correct") is None:
        answer.pop("correct", None)  # graded where it comes in
    else:
        answer["correct"] = row.get("correct")
    return answer | {
        "model": row["reader"],
        "model_name": row["model"],
        "model_strategy": row["strategy"],
    }


def _knows(first):
    """Whether this is a decision, whatever it lacks."""
    return {"reader", "action", "item_id", "model"} <= first.keys()


READERS = (Reader("decisions", _knows, _read),)
