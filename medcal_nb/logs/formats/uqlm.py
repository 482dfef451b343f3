"""Results of uqlm: ``result.to_df()`` saved as a table, or ``result.to_dict()`` as JSON.

One row per prompt with ``prompt``, ``response`` and one column per scorer, a confidence in 0–1:
black-box and white-box scorers, judges (``judge_1``, …), ensembles and BS detector, semantic
entropy and density. Each scorer becomes a strategy; several results in one file keep their names
before it. uqlm does not grade: a column of marks (``correct``, ``correct_indicators``) or of right
answers (``gold``) says what is right. Items are numbered.
"""

import re
from collections.abc import Iterator

from medcal_nb.answers.columns import Column, check_column
from medcal_nb.answers.files import rows_of
from medcal_nb.logs.nested import at
from medcal_nb.logs.registry import Reader, has
from medcal_nb.logs.source import Source

_SCORERS = frozenset(
    [
        "exact_match",
        "entailment",
        "avg",
        "max",
        "min",
        "median",
        "noncontradiction",
        "semantic_negentropy",
        "semantic_sets_confidence",
        "bert_score",
        "bleurt",
        "cosine_sim",
        "min_probability",
        "normalized_probability",
        "sequence_probability",
        "p_true",
        "mean_token_negentropy",
        "min_token_negentropy",
        "probability_margin",
        "ensemble_score",
        "monte_carlo_probability",
        "consistency_and_confidence",
        "semantic_density",
        "confidence_score",
        "updated_confidence_score",
        "discrete_confidence_score",
        "tokenprob_confidence_score",
    ]
)
_NAMES = {
    "prompts": "prompt",
    "responses": "response",
    "correct_indicators": "correct",
    "semantic_density_values": "semantic_density",
}


def _read(source: Source) -> Iterator[dict]:
    for result, rows in _results(source):
        for row in rows:
            yield from _answers(row, result, source)


def _answers(row, result, source):
    """One answer for each scorer of a row."""
    named = {}
    for name, value in row.items():
        ours = _NAMES.get(name, name)
        named[re.sub("_scores$", "_score", ours)] = value
    known = {name: named[name] for name in ("gold", "correct") if name in named}
    for scorer in filter(_is_scorer, named):
        column = Column(scorer, "unit", "not a confidence: drop the column")
        values = check_column([named[scorer]], column, source.path, source.row)
        yield known | {
            "item_id": source.row,
            "answer": named["response"],
            "raw": named["response"],
            "strategy": f"{result}:{scorer}" if result else scorer,
            "confidence": values[0],
        }


def _results(source):
    """(name or "", rows) of each result in the file."""
    value = source.value
    if not isinstance(value, dict):
        yield "", source.rows()
        return
    single = "data" in value or "prompts" in value
    results = {"": value} if single else value
    for name, result in results.items():
        data = result.get("data") or result
        judges = data.get("templates") or {}
        lists = {
            key: column for key, column in data.items() if isinstance(column, list)
        }
        for judge, about in judges.items():
            scores = at(about, "judge_result.scores")
            if isinstance(scores, list):
                lists[f"judge_{judge}"] = scores
        yield name, source.each(rows_of(lists))


def _is_scorer(name: str) -> bool:
    return name in _SCORERS or name.startswith("judge_")


def _is_uqlm(first: dict) -> bool:
    inner = next(iter(first.values()), None)
    for result in (first, at(first, "data"), at(inner, "data")):
        if isinstance(result, dict) and has("prompts", "responses")(result):
            return True
    return has("prompt", "response")(first) and any(map(_is_scorer, first))


READERS = (Reader(name="uqlm", knows=_is_uqlm, read=_read),)
