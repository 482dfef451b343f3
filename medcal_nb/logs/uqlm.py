"""Results of uqlm: ``result.to_df()`` saved as a table, or ``result.to_dict()`` as JSON.

One row per prompt with ``prompt``, ``response``, ``sampled_responses`` and one column per scorer,
a confidence in 0–1. Each scorer becomes a strategy. uqlm does not grade: a column ``correct``,
``response_correct`` or one named by --correct, or right answers by --gold, say what is right.
"""

from medcal_nb.answers.files import iter_table, read_json
from medcal_nb.errors import MedcalError

from ._rows import broken, flag, number

TEXTS = ("prompt", "response", "sampled_responses", "raw_response", "raw_sampled_responses")
GOLDS = ("gold", "answer", "ideal", "target")
MARKS = ("correct", "response_correct", "is_correct")
SCORERS = (
    "semantic_negentropy",
    "semantic_sets_confidence",
    "noncontradiction",
    "entailment",
    "exact_match",
    "bert_score",
    "bleurt",
    "cosine_sim",
    "min_probability",
    "normalized_probability",
    "sequence_probability",
    "mean_token_negentropy",
    "min_token_negentropy",
    "probability_margin",
    "monte_carlo_probability",
    "consistency_and_confidence",
    "p_true",
    "confidence_score",
    "ensemble_score",
    "avg",
    "max",
    "min",
    "median",
)

COMMON = ("exact_match", "entailment", "avg", "max", "min", "median")
"""Scorers whose names other tables have too."""


def looks_like_uqlm(names) -> bool:
    """Whether a table of these columns plainly is one of uqlm's."""
    names = {_singular(n) for n in names}
    if not {"prompt", "response"} <= names or "confidence" in names:
        return False
    scorers = {n for n in names if n in SCORERS or n.startswith("judge_")}
    return bool(scorers.difference(COMMON) or (scorers and "sampled_responses" in names))


def read_uqlm(path, columns, notes):
    """Rows of every scorer."""
    scorers = None
    for at, row in enumerate(_rows(path), 1):
        if scorers is None:
            scorers = _scorers(row, columns, path)
            graded = next((n for n in (columns.correct, *MARKS) if n in row), None)
            gold = next((n for n in (columns.gold, *GOLDS) if n in row), None)
            if graded is None and gold is None:
                notes.append(
                    f"{path}: nothing says which responses are correct; name a column by "
                    "--correct or --gold (kept ungraded)"
                )
        response = row.get("response")
        correct = None
        if graded is not None and row.get(graded) is not None:
            word = str(row[graded]).strip().lower()
            correct = {"true": True, "false": False}.get(word, flag(row[graded]))
            if correct is None:
                raise broken(path, at, f"'{graded}' is {row[graded]!r}")
        item = row.get(columns.item) if columns.item else at
        for scorer in scorers:
            score = number(row.get(scorer))
            if score is not None and not -1e-6 <= score <= 1 + 1e-6:
                raise MedcalError(
                    f"{path}: row {at}, column '{scorer}': value {score:g} is outside 0 to 1; "
                    "not a confidence: drop the column"
                )
            yield {
                "item_id": item,
                "strategy": scorer,
                "answer": response,
                "raw": row.get("raw_response") or response,
                "gold": row.get(gold) if gold else None,
                "confidence": None if score is None else min(max(score, 0.0), 1.0),
                "correct": correct,
                "ungraded": True,
                "parse_ok": response is not None,
            }


def _scorers(row, columns, path):
    known = [n for n in row if n in SCORERS or str(n).startswith("judge_")]
    if not known or "response" not in row:
        raise broken(path, None, f"no 'response' or no scorer among {', '.join(map(str, row))}")
    return [n for n in known if n not in (columns.correct, columns.gold, columns.item)]


def _rows(path):
    if path.suffix.lower() != ".json":
        for frame in iter_table(path):
            frame = frame.rename(columns=_singular)
            yield from frame.astype(object).where(frame.notna(), None).to_dict("records")
        return
    value = read_json(path)
    data = value.get("data") if isinstance(value, dict) else value
    if isinstance(data, list) and data and all(isinstance(r, dict) for r in data):
        for row in data:
            yield {_singular(k): v for k, v in row.items()}
        return
    if not isinstance(data, dict) or not data:
        raise broken(path, None, "no 'data'")
    data = {_singular(k): v for k, v in data.items() if isinstance(v, list)}
    if len({len(v) for v in data.values()}) != 1:
        raise broken(path, None, "columns of different length")
    for values in zip(*data.values(), strict=True):
        yield dict(zip(data, values, strict=True))


def _singular(name):
    name = str(name)
    plural = ("prompts", "responses", "raw_responses", "confidence_scores", "ensemble_scores")
    return name[:-1] if name in plural else name
