"""Five multimodal LLMs, seven confidences: the labels of VLCB (Khanmohammadi et al., 2026).

Public files: ``results/SPARROW/METHOD/MODEL[/seed_42]/VLCB_test/test_labels.json.gz``, each a
JSON list of ``hash_id, confidence_score, ground_truth_correctness``, most with ``dataset``, P(True)
with ``logit_a`` (no) and ``logit_b`` (yes), self-probing with ``raw_response``, the reply.

The source has a confidence for each reply, also where the reply states none: another number that
stands in it, or what a language model took it to convey. So its self-probing is here twice: what
the reply states (``self_probing``) and what the source recorded (``self_probing_recorded``).
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pandas as pd

from medcal_nb.words import parse_confidence

# each method as published: its elicitation method here, and which labels it came with
METHODS = {
    "PTRUE": ("p_true", "correct"),
    "SELF_PROBING": ("self_probing_recorded", "correct"),
    "PIK": ("probe_pik", "correct_first_labels"),
    "SAPLMA": ("probe_saplma", "correct_first_labels"),
    "II": ("probe_internalinspector", "correct_first_labels"),
    "CCPS": ("probe_ccps", "correct_first_labels"),
    "BICR": ("probe_bicr", "correct"),
}
_LOGITS = {"logit_a": "p_true_logit_no", "logit_b": "p_true_logit_yes"}
_TEXTS = {"raw_response": "reply"}
# A trained probe's two passes over one question differ in the last digits; these three do not.
_SAME_IN_REPEATS = ["p_true", "probe_pik", "probe_saplma"]


def read(folder: Path) -> pd.DataFrame:
    """Return one row a model and question, from the public files below a folder."""
    return finish(_read(folder))


def read_replies(folder: Path) -> pd.DataFrame:
    """Return what the models wrote when asked how likely their answers are right."""
    replies = _read(folder)[["model", "item", "reply"]].dropna()
    return replies.sort_values(["model", "item"], ignore_index=True)


def _read(folder: Path) -> pd.DataFrame:
    files = sorted(folder.glob("results/SPARROW/*/*/**/test_labels.json.gz"))
    models = sorted({_model_of(path, folder) for path in files})
    parts = []
    for model in models:
        of_model = [path for path in files if _model_of(path, folder) == model]
        parts.append(_answers_of(of_model, folder).assign(model=model))
    table = pd.concat(parts, ignore_index=True)
    table["dataset"] = table.groupby("hash_id")["dataset"].transform("first")
    # a question is called by its rank among the sorted hashes
    table["item"] = table["hash_id"].rank(method="dense").astype("int32") - 1
    return table.drop(columns="hash_id")


def finish(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table in its order, with its known repeats marked and what replies state."""
    table = table.sort_values(["model", "dataset", "item"], ignore_index=True)
    table["repeat"] = _repeats(table)
    stated = {
        reply: parse_confidence(reply) for reply in table["reply"].dropna().unique()
    }
    table["self_probing"] = table["reply"].map(stated).astype("float32")
    names = ["model", "dataset", "item", "repeat", "correct", "correct_first_labels"]
    confidences = [name for name, _ in METHODS.values()]
    confidences.insert(confidences.index("self_probing_recorded"), "self_probing")
    return table[[*names, *_LOGITS.values(), *confidences]]


def _model_of(path: Path, folder: Path) -> str:
    return path.relative_to(folder).parts[3]


def _answers_of(paths: list[Path], folder: Path) -> pd.DataFrame:
    """Return one model's answers: a column a confidence, and both sets of labels."""
    table = pd.DataFrame()
    for path in paths:
        method = path.relative_to(folder).parts[2]
        confidence, labels = METHODS[method]
        rows = pd.DataFrame(json.loads(gzip.decompress(path.read_bytes())))
        names = {
            "confidence_score": confidence,
            "ground_truth_correctness": labels,
            **_LOGITS,
            **_TEXTS,
        }
        rows = rows.rename(columns=names).set_index("hash_id")
        wanted = ["dataset", labels, confidence, *_LOGITS.values(), *_TEXTS.values()]
        part = rows[[name for name in wanted if name in rows]]
        # what one file leaves out stands in another
        table = table.combine_first(part)
    others = ["dataset", "correct", "correct_first_labels", *_TEXTS.values()]
    floats = table.columns.difference(others)
    types = dict.fromkeys(floats, "float32")
    types |= {"correct": "Int8", "correct_first_labels": "Int8"}
    return table.astype(types).reset_index(names="hash_id")


def _repeats(table: pd.DataFrame) -> pd.Series:
    """Return which rows ask a question of POPE again.

    POPE's three settings (random, popular, adversarial) share their positive questions. A
    question counts as asked before where all models gave it the same three confidences, to the
    last digit.
    """
    pope = table[table["dataset"] == "POPE"]
    wide = pope.pivot(index="item", columns="model", values=_SAME_IN_REPEATS)
    repeated = wide.index[wide.duplicated()]
    return (table["dataset"] == "POPE") & table["item"].isin(repeated)
