"""Results of uqlm, of the VLCB benchmark and of jraymartinez/marc-medical-calibration.

**uqlm**: ``result.to_df()`` saved as a table, or ``result.to_dict()`` as JSON. One row per prompt
with ``prompt``, ``response`` and one column per scorer, a confidence in 0–1: black-box and
white-box scorers, judges (``judge_1``, …), ensembles and BS detector, semantic entropy and density.
Each scorer becomes a strategy; several results in one file keep their names before it. uqlm does
not grade: a column of marks (``correct``, ``correct_indicators``, or one named by --correct), or
right answers by --gold, say what is right.

**VLCB** (arXiv 2605.10893): ``…/test_labels.json.gz``, one file a method, a list of
``{"sample_id", "hash_id", "ground_truth_correctness", "confidence_score", "dataset"}`` without
questions or answers. The strategy is the method, by the folder under ``SPARROW`` or the name of the
file, the model the folder below it. GMAI-MMBench is medical, GQA and POPE are general, MMMU-Pro,
MME-Finance and LLaVA-Wild neither.

**marc**: one JSON per run, ``{"model", "dataset", "configurations": {name: {"config_name",
"results": [{"question_idx", "predicted_answer", "correct_answer", "confidence", "is_correct"},
…]}}}``. Each configuration becomes a strategy. The calibration error stored there uses five bins
closed on the left, [0, 0.2) … [0.8, 1]; ``medcal score`` closes them on the right.
"""

from pathlib import PurePosixPath

from medcal_nb.answers.columns import Column, check_column
from medcal_nb.answers.files import rows_of

from .registry import Reader, has
from .source import at

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


def _read_uqlm(source, columns, notes):
    named = (columns.correct, columns.gold, columns.item)
    for prefix, rows in _results(source):
        for k, row in rows:
            row = {_singular(name): value for name, value in row.items()}
            scorers = [n for n in row if _is_scorer(n) and n not in named]
            if not scorers or "response" not in row:
                raise source.broken(k, f"no 'response' or no scorer among {', '.join(row)}")
            gold = next((n for n in (columns.gold, *_GOLDS) if n in row), None)
            marks = next((n for n in (columns.correct, *_MARKS) if n in row), None)
            if marks is None and gold is None and k == 1:
                notes.append(f"{source.path}: no grades: name a column by --correct or --gold")
            marks = Column(marks, "flag", "write true/false or 1/0")
            (correct,) = check_column([row.get(marks.name)], marks, source.path, k)
            for name in scorers:
                scorer = Column(name, "unit", "not a confidence: drop the column")
                (confidence,) = check_column([row[name]], scorer, source.path, k)
                yield {
                    "item_id": row.get(columns.item) if columns.item else k,
                    "strategy": f"{prefix}:{name}" if prefix else name,
                    "answer": row["response"],
                    "raw": row.get("raw_response") or row["response"],
                    "gold": row.get(gold),
                    "confidence": confidence,
                    "correct": correct,
                    "parse_ok": row["response"] is not None,
                }


def _results(source):
    """(name or "", numbered rows) of each result in the file."""
    value = source.value
    if not isinstance(value, dict):
        yield "", source.rows()
        return
    single = "data" in value or "prompts" in value
    for name, result in ({"": value} if single else value).items():
        data = at(result, "data", dict) or (result if isinstance(result, dict) else {})
        judges = at(data, "templates", dict)
        judged = {f"judge_{j}": at(judges[j], "judge_result.scores") for j in judges}
        lists = {k: v for k, v in (data | judged).items() if isinstance(v, list)}
        if len({len(v) for v in lists.values()}) != 1:
            raise source.broken(None, "no columns, or columns of different length")
        yield name, enumerate(rows_of(lists), 1)


def _singular(name):
    name = str(name).replace("semantic_density_values", "semantic_density")
    return name[:-1] if name in _PLURAL or name.endswith("_scores") else name


def _is_scorer(name) -> bool:
    return name in _SCORERS or name.startswith("judge_")


def _is_uqlm(source):
    if source.suffix == ".json" and isinstance(source.value, dict):
        inner = next(iter(source.first.values()), None)
        results = (source.first, at(source.first, "data", dict), at(inner, "data", dict))
        return any({"prompts", "responses"} <= result.keys() for result in results)
    names = {_singular(n) for n in source.first}
    scorers = {n for n in names if _is_scorer(n)}
    plain = scorers - _COMMON or "sampled_responses" in names
    return bool(scorers and plain and {"prompt", "response"} <= names and "confidence" not in names)


_VLCB = {
    "item_id": "!sample_id",
    "confidence": "!confidence_score",
    "correct": "!ground_truth_correctness",
    "raw": "raw_response",
}
_DOMAINS = {"GMAI": "medical", "GQA": "general", "POPE": "general"}
_STRATEGIES = {"PTRUE": "p_true", "SELF_PROBING": "verbalized"}


def _read_vlcb(source, columns, notes):
    parts = source.path.resolve().parts
    method, model = source.path.name.split(".")[0], None
    if "SPARROW" in parts[:-2]:
        method, model = parts[parts.index("SPARROW") + 1 :][:2]
    for row, label in source.rows():
        dataset = at(label, "dataset", str)
        domains = [d for name, d in _DOMAINS.items() if (dataset or "").startswith(name)]
        out = source.take(label, _VLCB, row) | {"model": model, "dataset": dataset}
        yield out | {
            "item_id": label.get("hash_id") or out["item_id"],
            "strategy": _STRATEGIES.get(method, method.lower()),
            "domain": None if dataset is None else (*domains, "other")[0],
        }
    notes.append(f"{source.path}: holds no questions, answers or image ids")


_MARC = {
    "item_id": "!question_idx",
    "answer": "predicted_answer",
    "gold": "correct_answer",
    "confidence": "confidence",
    "correct": "is_correct",
    "s_score": "S_score",
}


def _read_marc(source, columns, notes):
    run = source.value
    configurations = source.need(run, "configurations", None, dict)
    model = source.need(run, "model", None, str)
    dataset = PurePosixPath(str(run.get("dataset") or source.path.name)).stem
    for name, configuration in configurations.items():
        for row, result in enumerate(source.need(configuration, "results", None, list), 1):
            out = source.take(result, _MARC, row) | {"model": model, "dataset": dataset}
            yield out | {
                "question_type": "choice",
                "strategy": name,
                "parse_ok": out["answer"] is not None,
                "configuration": configuration.get("config_name"),
            }


READERS = (
    Reader("vlcb", has("sample_id", "ground_truth_correctness", "confidence_score"), _read_vlcb),
    Reader("marc", has("configurations"), _read_marc),
    Reader("uqlm", _is_uqlm, _read_uqlm, ungraded=True),
)
