"""Results of uqlm and of the VLCB benchmark.

**uqlm**: ``result.to_df()`` saved as a table, or ``result.to_dict()`` as JSON. One row per prompt
with ``prompt``, ``response`` and one column per scorer, a confidence in 0–1: black-box and
white-box scorers, judges (``judge_1``, …), ensembles and BS detector, semantic entropy and density.
Each scorer becomes a strategy; several results in one file keep their names before it. uqlm does
not grade: a column of marks (``correct``, ``correct_indicators``) or of right answers (``gold``)
says what is right. Items are numbered.

**VLCB** (arXiv 2605.10893): ``<method>.test_labels.json.gz``, a list of ``{"sample_id", "hash_id",
"ground_truth_correctness", "confidence_score", "dataset"}`` without questions or answers. The
strategy is the method. GMAI-MMBench is medical, GQA and POPE are general, MMMU-Pro, MME-Finance
and LLaVA-Wild neither.
"""

import re

import numpy as np

from medcal_nb.answers.columns import Column, check_column
from medcal_nb.answers.files import rows_of

from .registry import Reader, has
from .source import at

_SCORERS = {
    *("exact_match", "entailment", "avg", "max", "min", "median", "noncontradiction"),
    *(
        "semantic_negentropy",
        "semantic_sets_confidence",
        "bert_score",
        "bleurt",
        "cosine_sim",
    ),
    *("min_probability", "normalized_probability", "sequence_probability", "p_true"),
    *(
        "mean_token_negentropy",
        "min_token_negentropy",
        "probability_margin",
        "ensemble_score",
    ),
    *("monte_carlo_probability", "consistency_and_confidence", "semantic_density"),
    *("confidence_score", "updated_confidence_score", "discrete_confidence_score"),
    "tokenprob_confidence_score",
}
_NAMES = {"prompts": "prompt", "responses": "response", "correct_indicators": "correct"}
_NAMES |= {"semantic_density_values": "semantic_density"}


def _read_uqlm(source):
    for result, rows in _results(source):
        for row in rows:
            row = {
                re.sub("_scores$", "_score", _NAMES.get(k, k)): v
                for k, v in row.items()
            }
            known = {
                "item_id": source.row,
                "answer": row["response"],
                "raw": row["response"],
            }
            known |= {name: row[name] for name in ("gold", "correct") if name in row}
            for scorer in filter(_is_scorer, row):
                column = Column(scorer, "unit", "not a confidence: drop the column")
                (confidence,) = check_column(
                    [row[scorer]], column, source.path, source.row
                )
                strategy = f"{result}:{scorer}" if result else scorer
                yield known | {"strategy": strategy, "confidence": confidence}


def _results(source):
    """(name or "", rows) of each result in the file."""
    value = source.value
    if not isinstance(value, dict):
        yield "", source.rows()
        return
    single = "data" in value or "prompts" in value
    for name, result in ({"": value} if single else value).items():
        data = result.get("data") or result
        judges = data.get("templates") or {}
        judged = {f"judge_{j}": at(judges[j], "judge_result.scores") for j in judges}
        lists = {k: v for k, v in (data | judged).items() if isinstance(v, list)}
        yield name, source.each(rows_of(lists))


def _is_scorer(name) -> bool:
    return name in _SCORERS or name.startswith("judge_")


def _is_uqlm(first):
    inner = next(iter(first.values()), None)
    results = (first, at(first, "data"), at(inner, "data"))
    if any(
        isinstance(result, dict) and has("prompts", "responses")(result)
        for result in results
    ):
        return True
    return has("prompt", "response")(first) and any(map(_is_scorer, first))


_DOMAINS = {"GMAI-MMBench": "medical", "GQA": "general", "POPE": "general"}
_STRATEGIES = {"PTRUE": "p_true", "SELF_PROBING": "verbalized"}


def _read_vlcb(source):
    method = source.path.name.split(".")[0]
    for label in source.rows():
        dataset = label.get("dataset")
        out = {"dataset": dataset, "strategy": _STRATEGIES.get(method, method.lower())}
        out["domain"] = dataset and _DOMAINS.get(dataset, "other")
        out["item_id"] = label.get("hash_id") or label["sample_id"]
        out["confidence"] = label["confidence_score"]
        out["correct"] = label["ground_truth_correctness"]
        no, yes = (label.get(name) for name in ("logit_a", "logit_b"))
        if isinstance(no, float) and isinstance(yes, float):
            share = 1 / (1 + np.exp(min(no - yes, 700)))
            out["option_probabilities"] = {"yes": share, "no": 1 - share}
        # a reply states a confidence at most, and no answer
        yield out | {"raw": label.get("raw_response"), "answer": None, "parse_ok": None}


READERS = (
    Reader(
        "vlcb",
        has("sample_id", "ground_truth_correctness", "confidence_score"),
        _read_vlcb,
    ),
    Reader("uqlm", _is_uqlm, _read_uqlm),
)
