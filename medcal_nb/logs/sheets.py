"""Result sheets of VLMEvalKit: ``<model>_<dataset>.xlsx`` or ``.tsv``.

Model and data set are taken from the name where a folder of the file is named as the model.

Columns ``index, question, answer, prediction``, the options ``A``, ``B``, … of multiple-choice
sets, ``category`` and the like, and after judging ``hit`` (or ``score``). There is no confidence.
Where the sheet was not judged, a reply is graded only if it plainly is one option (its letter, its
text, yes or no); other replies are kept ungraded.
"""

import re
from string import ascii_uppercase

from medcal_nb.errors import MedcalError

from .registry import Reader
from .source import flag

_JUDGED = re.compile(
    r"_(?:(?:openai|exact_matching|gpt4|(?:chat)?gpt-[^_]+)_(?:result|score)|"
    r"auxmatch|(?:chat)?gpt-[^_]+)$"
)
"""What judging adds to the name of a sheet."""

_COLUMNS = {
    "item_id": "!index",
    "gold": "!answer",
    "category": "category",
    "l2-category": "l2-category",
}
_LETTER = re.compile(r"\(?([A-Z])\)?(?:[.:)]\s*(.*))?", re.DOTALL)


def _read(source, columns, notes):
    path = source.path
    if source.suffix not in (".xlsx", ".tsv", ".csv"):
        raise MedcalError(f"{path}: VLMEvalKit writes .xlsx or .tsv")
    known = _named(path, columns.model)
    for number, row in source.rows():
        out = known | source.take(row, _COLUMNS, number) | {"strategy": "generate"}
        if out["item_id"] is None:
            continue
        options = {k: _written(row.get(k)) for k in ascii_uppercase}
        options = {k: text for k, text in options.items() if text is not None}
        raw, gold = _written(source.need(row, "prediction", number)), _written(out["gold"])
        answer, kind = _answered(raw, options, gold)
        same = None if None in (answer, gold) else answer.casefold() == gold.casefold()
        marks = (flag(row.get("hit")), flag(row.get("score")), same)
        yield out | {
            "question_type": kind,
            "answer": answer if answer is not None else raw,
            "raw": raw,
            "gold": gold,
            "parse_ok": answer is not None,
            "correct": next((mark for mark in marks if mark is not None), None),
        }


def _named(path, model) -> dict[str, str]:
    """Model and data set from the name of the file, where a folder of it is named as the model."""
    stem = _JUDGED.sub("", path.stem)
    folders = [p.name for p in list(path.resolve().parents)[:2]]  # <model>/ or <model>/<run>/
    for known in (model, *folders):
        if known and stem.startswith(f"{known}_"):
            return {"model": known, "dataset": stem.removeprefix(f"{known}_")}
    return {}


def _written(value):
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip() or None


def _answered(raw, options, gold):
    """(answer, question type); the answer is None where the reply is not plainly one."""
    said = (raw or "").rstrip(".").casefold()
    if options:
        match = _LETTER.fullmatch(raw or "")
        if match and match[1] in options:
            rest = (match[2] or "").strip().rstrip(".").casefold()
            if not rest or rest == options[match[1]].rstrip(".").casefold():
                return match[1], "choice"
        same = (k for k, text in options.items() if said and said == text.rstrip(".").casefold())
        return next(same, None), "choice"
    if gold is not None and gold.casefold() in ("yes", "no"):
        return (said if said in ("yes", "no") else None), "closed"
    return None, "open"


_NEEDED = {
    ".xlsx": {"index", "answer"},
    ".tsv": {"index", "question", "answer", "prediction"},
}


def _knows(source):
    return source.suffix in _NEEDED and _NEEDED[source.suffix] <= source.first.keys()


READERS = (Reader("vlmevalkit", _knows, _read),)
