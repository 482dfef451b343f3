"""Replies of decision models, a row each: typed answers with a probability of every option.

Two forms are sold. ``/v1/decisions`` (OpenAI's) has a list of ``answers`` with ``type`` (predicate,
choice, score, refusal), ``name`` and ``probabilities`` as ``{value, probability}``;
``/v1/systemone`` a map of them by name with ``type`` (noul, choice, score) and ``probabilities`` by
option, and sometimes ``diagnostics`` with their ``label_mass``. A reply may stand by itself, in the
line of a batch (``response.body``, ``custom_id``), or with what is known of its question beside it:
``id``, ``image_id``, ``question``, ``gold``. Where a row has several answers, such a member is one
value for all, or an object with one for each name; ``gold`` is then such an object.

The confidence is the probability of the option chosen. What the reply calls ``confidence`` is kept
in the column ``vendor_number``.
"""

from collections.abc import Iterator
from typing import Any

from medcal_nb.errors import MedcalError
from medcal_nb.logs.registry import Log, Reader, at
from medcal_nb.logs.typed import CHOSEN, NO, TYPES, YES, read_decision

#: Members of a reply that say nothing of the question.
_OF_REPLY = {
    "answers",
    "diagnostics",
    "usage",
    "response",
    "object",
    "created",
    "error",
}
_IDS = ("item_id", "custom_id", "id")
_KINDS = {"predicate": "closed", "noul": "closed"}


def _body(row: dict) -> dict:
    """The reply in a row."""
    body = at(row, "response.body")
    return body if isinstance(body, dict) else row


def _answers(row: dict) -> dict[str, Any]:
    """The answers of a row by name, in order."""
    answers = _body(row).get("answers")
    if isinstance(answers, list):
        names = [at(one, "name") or str(n) for n, one in enumerate(answers, 1)]
        return dict(zip(names, answers, strict=True))
    return answers if isinstance(answers, dict) else {}


def _knows(first: dict) -> bool:
    answers = _answers(first).values()
    return bool(answers) and all(at(one, "type") in TYPES for one in answers)


def _read(log: Log) -> Iterator[dict]:
    for row in log.rows():
        answers = _answers(row)
        if len(answers) > 1 and not isinstance(row.get("gold", {}), dict):
            raise MedcalError(
                f"{log.path}: row {log.row} has {len(answers)} answers and one gold; write gold "
                f'as an object, such as {{"{next(iter(answers))}": …}}'
            )
        about = {name: value for name, value in row.items() if name not in _OF_REPLY}
        item = next((about.pop(name) for name in _IDS if name in about), None)
        for name, answer in answers.items():
            number = log.row if item is None and len(log.value) > 1 else item
            parts = [number] if number is not None else []
            parts += [name] if len(answers) > 1 or not parts else []
            mine = {key: _of(value, name, answers) for key, value in about.items()}
            yield (
                mine
                | {
                    "item_id": "|".join(map(str, parts)),
                    "model": mine.get("model") or _body(row).get("model"),
                }
                | _decided(
                    answer, at(_body(row), f"diagnostics.{name}.label_mass"), mine
                )
            )


def _of(value: Any, name: str, answers: dict) -> Any:
    """What a member says of one answer: itself, or what it has under the answer's name."""
    return (
        value.get(name)
        if isinstance(value, dict) and value.keys() <= answers.keys()
        else value
    )


def _decided(answer: dict, label_mass: float | None, about: dict) -> dict:
    """The columns of one answer."""
    decision = read_decision(answer, label_mass)
    kind = str(answer["type"])
    known = {
        "strategy": "decision",
        "question_type": about.get("question_type") or _KINDS.get(kind, "choice"),
        "answer": decision.answer,
        "confidence": decision.confidence,
        "confidence_from": CHOSEN,
        "option_probabilities": decision.probabilities or None,
        "vendor_number": decision.vendor_number,
        "label_mass": decision.label_mass,
        "refused": decision.answer is None,
    }
    if decision.probabilities and kind not in _KINDS:
        known["options"] = [*decision.probabilities]
    if isinstance(gold := about.get("gold"), bool):
        known["gold"] = YES if gold else NO
    return known


READERS = (Reader(name="typed decisions", knows=_knows, read=_read),)
