"""Result sheets of VLMEvalKit: ``<model>_<dataset>.xlsx`` or ``.tsv``.

Model and data set are taken from the name where a folder of the file is named as the model, or
the data set is a known one.

Columns ``index, question, answer, prediction``, the options ``A``, ``B``, … of multiple-choice
sets, ``category`` and the like, and after judging ``hit`` (or ``score``). There is no confidence.
Where the sheet was not judged, a reply is graded only if it plainly is one option (its letter, its
text, yes or no); other replies are kept ungraded.
"""

import re
import string
from itertools import chain

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

_LETTER = re.compile(r"\(?([A-Z])\)?(?:[.:)]\s*(.*))?", re.DOTALL)


def _read(source, columns, notes):
    path = source.path
    if source.suffix not in (".xlsx", ".tsv", ".csv"):
        raise MedcalError(f"{path}: VLMEvalKit writes .xlsx or .tsv")
    rows = source.records()
    first = next(rows, None)
    if first is None:
        raise MedcalError(f"{path}: no rows; nothing to read")
    for name in ("index", "answer", "prediction"):
        source.need(first, name)
    known = _named(path, columns.model)
    known = {k: v for k, v in known.items() if getattr(columns, k) is None}
    if known:
        shown = " and ".join(f"{k} '{v}'" for k, v in known.items())
        notes.append(f"{path}: {shown} by the name of the file")
    notes.append(f"{path}: this format holds no confidence; bring it in to measure accuracy only")
    letters = [letter for letter in string.ascii_uppercase if letter in first]
    ungraded = 0
    for row in chain([first], rows):
        if row["index"] is None:
            continue
        raw, gold = _written(row["prediction"]), _written(row["answer"])
        options = {k: _written(row[k]) for k in letters if _written(row.get(k)) is not None}
        answer, kind = _answered(raw, options, gold)
        correct = flag(row.get("hit"))
        correct = flag(row.get("score")) if correct is None else correct
        if correct is None and answer is not None and gold is not None:
            correct = answer.casefold() == gold.casefold()
        ungraded += correct is None
        yield {
            **known,
            "item_id": row["index"],
            "strategy": "generate",
            "question_type": kind,
            "answer": answer if answer is not None else raw,
            "raw": raw,
            "gold": gold,
            "parse_ok": answer is not None,
            "correct": correct,
            **{k: row[k] for k in ("category", "l2-category") if row.get(k) is not None},
        }
    if ungraded:
        notes.append(f"{path}: {ungraded} replies are not plainly one option: kept ungraded")


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


def _knows(source):
    if source.suffix == ".tsv":
        return {"index", "question", "answer", "prediction"} <= set(source.names)
    return source.suffix == ".xlsx" and {"index", "answer"} <= set(source.names)


READERS = (Reader("vlmevalkit", _knows, _read),)
