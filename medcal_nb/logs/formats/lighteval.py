"""Details of lighteval: ``details/<model>/<time>/details_<task>_<time>.parquet``.

A row holds ``doc`` (query, choices, gold_index, id), ``model_response`` (text, logprobs) and
``metric``, a table of metrics by name. Of a multiple-choice task there is the log-likelihood of
each option; of a generative one the text alone, without a confidence.
"""

from collections.abc import Iterator

from medcal_nb.logs.nested import choice, first_text, number, one_of
from medcal_nb.logs.registry import Reader, has
from medcal_nb.logs.source import Source


def _read(source: Source) -> Iterator[dict]:
    for record in source.rows():
        doc = record["doc"]
        options = [str(option).strip() for option in doc.get("choices") or ()]
        golds = _golds(doc["gold_index"], options)
        scores = _scores(record["model_response"], options)
        if scores:
            out = choice(options, scores)
            out["correct"] = out["answer"] in golds if golds else None
        else:
            text = first_text(record["model_response"].get("text"))
            out = {
                "strategy": "generate",
                "answer": text,
                "raw": text,
                "correct": source.graded(_metrics(record["metric"])),
            }
        named = doc.get("id") not in (None, "")
        yield out | {
            "item_id": doc["id"] if named else source.row,
            "gold": one_of(golds),
        }


def _golds(index, options):
    right = index if isinstance(index, list) else [index]
    return [option for k, option in enumerate(options) if k in right]


def _scores(reply, options):
    """Log-likelihoods, one for each of several different options; else None."""
    scores = [number(score) for score in reply.get("logprobs") or ()]
    whole = len(scores) == len(options) == len(set(options)) > 1
    return scores if whole and None not in scores else None


def _metrics(metric):
    """The metrics of a row; Parquet gives each row the names of all, None where it has none."""
    return {name: value for name, value in metric.items() if value is not None}


READERS = (
    Reader(
        name="lighteval",
        knows=has("doc", "model_response", "metric"),
        read=_read,
        layout=r"details/(?P<model>.+)/[^/]+/details_(?P<dataset>.+)_[\dT.:-]+\.parquet$",
    ),
)
