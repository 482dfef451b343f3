"""Results of uqlm: ``result.to_df()`` saved as a table, or ``result.to_dict()`` as JSON.

One row per prompt with ``prompt``, ``response`` and one column per scorer, a confidence in 0–1:
black-box and white-box scorers, judges (``judge_1``, …), ensembles and BS detector, semantic
entropy and density. Each scorer becomes a strategy; several results in one file keep their names
before it. uqlm does not grade: a column of marks (``correct``, ``correct_indicators``, or one named
by --correct), or right answers by --gold, say what is right.
"""

from medcal_nb.errors import MedcalError

from .registry import Reader
from .source import flag, number, table

_GOLDS = ("gold", "answer", "ideal", "target")
_MARKS = ("correct", "response_correct", "is_correct", "correct_indicator")
_COMMON = {"exact_match", "entailment", "avg", "max", "min", "median"}
"""Scorers whose names other tables have too."""

_SCORERS = _COMMON | {
    *("semantic_negentropy", "semantic_sets_confidence", "noncontradiction", "bert_score"),
    *("bleurt", "cosine_sim", "min_probability", "normalized_probability", "p_true"),
    *("sequence_probability", "mean_token_negentropy", "min_token_negentropy"),
    *("probability_margin", "monte_carlo_probability", "consistency_and_confidence"),
    *("confidence_score", "updated_confidence_score", "ensemble_score", "semantic_density"),
    *("discrete_confidence_score", "tokenprob_confidence_score"),
}
_PLURAL = {"prompts", "responses", "raw_responses", "correct_indicators"}


def _read(source, columns, notes):
    for name, data in _results(source):
        yield from _rows(source, data, name, columns, notes)


def _rows(source, data, prefix, columns, notes):
    scorers = None
    for at, row in enumerate(data, 1):
        if scorers is None:
            named = (columns.correct, columns.gold, columns.item)
            scorers = [n for n in row if _is_scorer(n) and n not in named]
            if not scorers or "response" not in row:
                shown = ", ".join(map(str, row))
                raise source.broken(None, f"no 'response' or no scorer among {shown}")
            marks = next((n for n in (columns.correct, *_MARKS) if n in row), None)
            gold = next((n for n in (columns.gold, *_GOLDS) if n in row), None)
            if marks is None and gold is None:
                notes.append(
                    f"{source.path}: nothing says which responses are correct; name a column by "
                    "--correct or --gold (kept ungraded)"
                )
        correct = None
        if marks is not None and row.get(marks) is not None:
            word = str(row[marks]).strip().lower()
            correct = {"true": True, "false": False}.get(word, flag(row[marks]))
            if correct is None:
                raise source.broken(at, f"'{marks}' is {row[marks]!r}")
        for scorer in scorers:
            score = number(row.get(scorer))
            if score is not None and not -1e-6 <= score <= 1 + 1e-6:
                raise MedcalError(
                    f"{source.path}: row {at}, column '{scorer}': value {score:g} is outside 0 to "
                    "1; not a confidence: drop the column"
                )
            yield {
                "item_id": row.get(columns.item) if columns.item else at,
                "strategy": f"{prefix}:{scorer}" if prefix else scorer,
                "answer": row.get("response"),
                "raw": row.get("raw_response") or row.get("response"),
                "gold": row.get(gold) if gold else None,
                "confidence": score,
                "correct": correct,
                "ungraded": True,
                "parse_ok": row.get("response") is not None,
            }


def _results(source):
    """(name or "", rows) of each result in the file."""
    value = source.value
    if source.suffix != ".json":
        yield "", ({_singular(k): v for k, v in row.items()} for row in source.records())
    elif isinstance(value, list):
        yield "", ({_singular(k): v for k, v in row.items()} for _, row in source.objects())
    elif not isinstance(value, dict):
        raise source.broken(None, "no 'data'")
    elif "data" in value or "prompts" in value:
        yield "", _turned(source, value.get("data", value))
    else:
        for name, result in value.items():
            yield name, _turned(source, source.need(result, "data", None))


def _turned(source, data):
    """Rows from columns."""
    if isinstance(data, list) and data and all(isinstance(row, dict) for row in data):
        return [{_singular(k): v for k, v in row.items()} for row in data]
    if not isinstance(data, dict) or not data:
        raise source.broken(None, "no 'data'")
    judged = {
        f"judge_{name}": table(table(result).get("judge_result")).get("scores")
        for name, result in table(data.get("templates")).items()
    }
    lists = {_singular(k): v for k, v in (data | judged).items() if isinstance(v, list)}
    if len({len(v) for v in lists.values()}) != 1:
        raise source.broken(None, "columns of different length")
    return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]


def _singular(name):
    name = str(name).replace("semantic_density_values", "semantic_density")
    return name[:-1] if name in _PLURAL or name.endswith("_scores") else name


def _is_scorer(name) -> bool:
    return name in _SCORERS or str(name).startswith("judge_")


def _knows(source):
    if source.suffix == ".json" and isinstance(source.value, dict):
        inner = next(iter(source.first.values()), None)
        results = (source.first, source.first.get("data"), table(inner).get("data"))
        return any({"prompts", "responses"} <= table(r).keys() for r in results)
    names = {_singular(n) for n in source.names}
    if not {"prompt", "response"} <= names or "confidence" in names:
        return False
    scorers = {n for n in names if _is_scorer(n)}
    return bool(scorers - _COMMON or (scorers and "sampled_responses" in names))


READERS = (Reader("uqlm", _knows, _read),)
