"""Result sheets of VLMEvalKit: ``<model>_<dataset>.xlsx`` or ``.tsv``.

Model and data set are taken from the name where a folder of the file is named as the model.

Columns ``index, question, answer, prediction``, the options ``A``, ``B``, … of multiple-choice
sets, ``category`` and the like, and after judging ``hit`` (or ``score``). There is no confidence.
Where the sheet was not judged, a reply is graded if it names one option (its letter, its text, yes
or no); other replies, and open questions, are kept ungraded.
"""

import re
from string import ascii_uppercase

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
    "raw": "!prediction",
    "category": "category",
    "l2-category": "l2-category",
}


def _read(source, columns, notes):
    known = _named(source.path, columns.model)
    for number, row in source.rows():
        out = known | source.take(row, _COLUMNS, number) | {"strategy": "generate"}
        out |= {name: str(out[name]) for name in ("gold", "raw") if out[name] is not None}
        options = {k: str(row[k]) for k in ascii_uppercase if row.get(k) is not None}
        gold = options.get(out["gold"], out["gold"])
        closed = str(gold).strip().casefold() in ("yes", "no")
        kind = "choice" if options else "closed" if closed else "open"
        hit, score = flag(row.get("hit")), flag(row.get("score"))
        mark = score if hit is None else hit
        yield out | {
            "question_type": kind,
            "options": list(options.values()),
            "gold": gold if kind != "open" or mark is not None else None,
            "correct": mark,
        }


def _named(path, model) -> dict[str, str]:
    """Model and data set from the name of the file, where a folder of it is named as the model."""
    stem = _JUDGED.sub("", path.stem)
    folders = [p.name for p in list(path.resolve().parents)[:2]]  # <model>/ or <model>/<run>/
    for known in (model, *folders):
        if known and stem.startswith(f"{known}_"):
            return {"model": known, "dataset": stem.removeprefix(f"{known}_")}
    return {}


_NEEDED = {
    ".xlsx": {"index", "answer"},
    ".tsv": {"index", "question", "answer", "prediction"},
}


def _knows(source):
    return source.suffix in _NEEDED and _NEEDED[source.suffix] <= source.first.keys()


READERS = (Reader("vlmevalkit", _knows, _read, ungraded=True, unparsed=True, states=False),)
