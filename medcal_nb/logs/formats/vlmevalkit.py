"""Result sheets of VLMEvalKit (``<model>/<model>_<dataset>.xlsx`` or ``.tsv``).

They hold ``index, question, answer, prediction``, the options ``A``, ``B``, … of multiple-choice
sets, ``category``, and after judging ``hit`` (or ``score``). There is no confidence. Where the
sheet was not judged, a reply is graded if it names one option (its letter, its text, yes or no);
other replies, and open questions, are not.
"""

from collections.abc import Iterator
from string import ascii_uppercase

from medcal_nb.logs.registry import Log, Reader, has

_MARKS = ("hit", "score")


def _read(log: Log) -> Iterator[dict]:
    for row in log.rows():
        options = {}
        for letter in ascii_uppercase:
            if row.get(letter) is not None:
                options[letter] = str(row[letter])
        gold = _text(row["answer"])
        gold = options.get(gold, gold)
        kind = _kind(options, gold)
        out = {
            "item_id": row["index"],
            "strategy": "generate",
            "question_type": kind,
            "options": options or None,
            "gold": gold,
            "answer": _text(row["prediction"]),
            "category": row.get("category"),
        }
        marks = {name: row[name] for name in _MARKS if row.get(name) is not None}
        verdict = log.graded(marks, main="hit")
        # the whole reply to an open question is not graded by a guess
        if verdict is not None or kind == "open":
            out["correct"] = verdict
        yield out


def _text(value):
    return None if value is None else str(value)


def _kind(options, gold):
    if options:
        return "choice"
    closed = str(gold).strip().casefold() in ("yes", "no")
    return "closed" if closed else "open"


#: How what judging adds to a file's name begins.
_JUDGED = "openai|exact_matching|auxmatch|(?:chat)?gpt-"

READERS = (
    Reader(
        name="vlmevalkit",
        knows=has("index", "answer", "prediction"),
        read=_read,
        layout=r"(?P<model>[^/]+)/(?:[^/]+/)?(?P=model)_(?P<dataset>[^/]+?)"
        rf"(?:_(?:{_JUDGED})[^/]*)?\.\w+$",
    ),
)
