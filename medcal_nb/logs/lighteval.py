"""Details of lighteval: ``details/<model>/<time>/details_<task>_<time>.parquet``.

Columns of tables: ``doc`` (query, choices, gold_index, id), ``model_response`` (text, logprobs) and
``metric``. Where the log-likelihood of each option was recorded, the option probabilities are their
softmax; generated replies have no confidence.
"""

import re

from .registry import Reader
from .source import grade, number, softmax, table

_FILE = re.compile(r"details_(?P<task>.+)_\d{4}-\d{2}-\d{2}T[\d.:-]+\.parquet")


def _read(source, columns, notes):
    match = _FILE.fullmatch(source.path.name)
    folders = source.path.resolve().parts
    at = folders.index("details") + 1 if match and "details" in folders else len(folders)
    known = {"model": "/".join(folders[at:-2]) or None, "dataset": match and match["task"]}
    silent = 0
    for row, record in enumerate(source.records(), 1):
        doc = source.need(record, "doc", row, dict)
        reply = source.need(record, "model_response", row, dict)
        options = [str(c).strip() for c in _listed(doc.get("choices"))]
        golds = {int(g) for g in _listed(doc.get("gold_index")) if number(g) is not None}
        golds = [options[k] for k in sorted(golds) if 0 <= k < len(options)]
        scores = [number(s) for s in _listed(reply.get("logprobs"))]
        out = {k: v for k, v in known.items() if v}
        item = doc.get("id")
        out |= {"item_id": row if item in (None, "") else item}
        out |= {"gold": golds[0] if len(golds) == 1 else golds or None}
        chosen = len(scores) == len(options) == len(set(options)) > 1 and None not in scores
        if chosen:
            p = softmax(scores)
            best = options[max(range(len(p)), key=p.__getitem__)]
            out |= {
                "strategy": "option_probability",
                "question_type": "choice",
                "answer": best,
                "confidence": max(p),
                "option_probabilities": dict(zip(options, p, strict=True)),
                "correct": best in golds if golds else None,
            }
        else:
            silent += 1
            text = next((t for t in _listed(reply.get("text")) if isinstance(t, str)), None)
            out |= {"strategy": "generate", "answer": text, "raw": text}
            out |= {"correct": grade(table(record.get("metric")))}
        yield out
    if silent:
        notes.append(f"{source.path}: {silent} generated replies, which have no confidence here")


def _listed(value):
    if value is None or isinstance(value, str | dict):
        return []
    return list(value) if hasattr(value, "__len__") else [value]


def _knows(source):
    return {"doc", "model_response", "metric"} <= set(source.names)


READERS = (Reader("lighteval", _knows, _read),)
