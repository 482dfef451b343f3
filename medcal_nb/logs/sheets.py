"""Result sheets of VLMEvalKit: ``<model>_<dataset>.xlsx`` or ``.tsv``.

Model and data set are taken from the name where a folder of the file is named as the model, or
the data set is a known one.

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

_DATASETS = (
    "MMBench|CCBench|GMAI|SEEDBench|MMMU|MMStar|MMVet|MME|MMT-Bench|MathVista|MathVision|MathVerse|"
    "ScienceQA|AI2D|POPE|HallusionBench|OCRBench|OCRVQA|TextVQA|DocVQA|InfoVQA|ChartQA|COCO|"
    "LLaVABench|RealWorldQA|BLINK|PathVQA|VQA-RAD|VQARAD|SLAKE|PMC-VQA|MedXpertQA|OmniMedVQA"
)
_NAME = re.compile(rf"(?P<model>.+?)_(?P<dataset>(?:{_DATASETS})(?![a-z]).*)")
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
    known = {k: v for k, v in known.items() if getattr(columns, k) is None}
    if known:
        shown = " and ".join(f"{k} '{v}'" for k, v in known.items())
        notes.append(f"{path}: {shown} by the name of the file")
    for number, row in source.rows():
        out = known | source.take(row, _COLUMNS, number) | {"strategy": "generate"}
        if out["item_id"] is None:
            continue
        options = {k: _written(row[k]) for k in ascii_uppercase if _written(row.get(k)) is not None}
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
    """Model and data set from the name of the file, where it plainly says them."""
    stem = _JUDGED.sub("", path.stem)
    folders = [p.name for p in list(path.resolve().parents)[:2]]  # <model>/ or <model>/<run>/
    for known in (model, *folders):
        if known and stem.startswith(f"{known}_") and len(stem) > len(known) + 1:
            return {"model": known, "dataset": stem[len(known) + 1 :]}
    match = _NAME.fullmatch(stem)
    return match.groupdict() if match else {}


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
