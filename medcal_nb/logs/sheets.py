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
from collections.abc import Iterator
from itertools import chain

from medcal_nb.answers.files import iter_table, table_format
from medcal_nb.errors import MedcalError

from ._rows import broken, flag

DATASETS = (
    "MMBench|CCBench|GMAI|SEEDBench|MMMU|MMStar|MMVet|MME|MMT-Bench|MathVista|MathVision|MathVerse|"
    "ScienceQA|AI2D|POPE|HallusionBench|OCRBench|OCRVQA|TextVQA|DocVQA|InfoVQA|ChartQA|COCO|"
    "LLaVABench|RealWorldQA|BLINK|PathVQA|VQA-RAD|VQARAD|SLAKE|PMC-VQA|MedXpertQA|OmniMedVQA"
)
NAME = re.compile(rf"(?P<model>.+?)_(?P<dataset>(?:{DATASETS})(?![a-z]).*)")
JUDGED = re.compile(
    r"_(?:(?:openai|exact_matching|gpt4|(?:chat)?gpt-[^_]+)_(?:result|score)|"
    r"auxmatch|(?:chat)?gpt-[^_]+)$"
)
"""What judging adds to the name of a sheet."""

LETTER = re.compile(r"\(?([A-Z])\)?(?:[.:)]\s*(.*))?", re.DOTALL)


def read_vlmevalkit(path, columns, notes):
    """Rows of one sheet."""
    rows = read_sheet(path) if path.suffix.lower() in (".xlsx", ".xls") else _table(path)
    first = next(rows, None)
    if first is None:
        raise MedcalError(f"{path}: no rows; nothing to read")
    for name in ("index", "answer", "prediction"):
        if name not in first:
            raise broken(path, None, f"no column '{name}'")
    known = _named(path, columns.model)
    known = {k: v for k, v in known.items() if getattr(columns, k) is None}
    if known:
        shown = " and ".join(f"{k} '{v}'" for k, v in known.items())
        notes.append(f"{path}: {shown} by the name of the file")
    notes.append(f"{path}: this format holds no confidence; bring it in to measure accuracy only")
    options = [letter for letter in string.ascii_uppercase if letter in first]
    ungraded = 0
    for row in chain([first], rows):
        if row["index"] is None:
            continue
        raw = _written(row["prediction"])
        gold = _written(row["answer"])
        given = {k: _written(row[k]) for k in options if _written(row.get(k)) is not None}
        answer, kind = _answered(raw, given, gold)
        correct = flag(row.get("hit"))
        if correct is None:
            correct = flag(row.get("score"))
        if correct is None and answer is not None and gold is not None:
            correct = answer.casefold() == gold.strip().casefold()
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
    stem = JUDGED.sub("", path.stem)
    folders = [p.name for p in list(path.resolve().parents)[:2]]  # <model>/ or <model>/<run>/
    for known in (model, *folders):
        if known and stem.startswith(f"{known}_") and len(stem) > len(known) + 1:
            return {"model": known, "dataset": stem[len(known) + 1 :]}
    match = NAME.fullmatch(stem)
    return match.groupdict() if match else {}


def _written(value):
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value).strip()
    return text or None


def _answered(raw, options, gold):
    """(answer, question type); the answer is None where the reply is not plainly one."""
    if options:
        if raw is None:
            return None, "choice"
        match = LETTER.fullmatch(raw)
        if match and match[1] in options:
            rest = (match[2] or "").strip().rstrip(".").casefold()
            if not rest or rest == options[match[1]].strip().rstrip(".").casefold():
                return match[1], "choice"
        for letter, text in options.items():
            if raw.rstrip(".").casefold() == text.rstrip(".").casefold():
                return letter, "choice"
        return None, "choice"
    if gold is not None and gold.casefold() in ("yes", "no"):
        word = (raw or "").strip().rstrip(".").casefold()
        return (word if word in ("yes", "no") else None), "closed"
    return None, "open"


def _table(path):
    if table_format(path) not in ("tsv", "csv"):
        raise MedcalError(f"{path}: VLMEvalKit writes .xlsx or .tsv")
    for frame in iter_table(path):
        yield from frame.astype(object).where(frame.notna(), None).to_dict("records")


def sheet_names(path) -> list[str]:
    """The column names in the first line of the first sheet."""
    return list(next(read_sheet(path), {}))


def read_sheet(path) -> Iterator[dict]:
    """Rows of the first sheet of an Excel file, by the names in its first line."""
    import openpyxl

    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        rows = book.worksheets[0].iter_rows(values_only=True)
        header = next(rows, ())
        names = [str(n) if n is not None else f"column {k}" for k, n in enumerate(header)]
        double = next((n for n in names if names.count(n) > 1), None)
        if double is not None:
            raise MedcalError(f"{path}: two columns are called '{double}'; rename one of them")
        for values in rows:
            if any(v is not None for v in values):
                yield dict(zip(names, values, strict=False))
    except MedcalError:
        raise
    except Exception as err:  # openpyxl lets zip, XML and key errors of damaged books through
        raise MedcalError(
            f"{path}: not an Excel sheet, cut off or damaged ({type(err).__name__}); fetch it anew"
        ) from err
