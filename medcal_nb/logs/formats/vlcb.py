"""Labels of the VLCB benchmark (Khanmohammadi et al., arXiv 2605.10893).

``<method>.test_labels.json.gz`` is a list of ``{"sample_id", "hash_id",
"ground_truth_correctness", "confidence_score", "dataset"}`` without questions or answers. The
strategy is the method. GMAI-MMBench is medical, GQA and POPE are general, MMMU-Pro, MME-Finance
and LLaVA-Wild neither.
"""

from collections.abc import Iterator

import numpy as np

from medcal_nb.logs.registry import Reader, has
from medcal_nb.logs.source import Source

_DOMAINS = {"GMAI-MMBench": "medical", "GQA": "general", "POPE": "general"}
_STRATEGIES = {"PTRUE": "p_true", "SELF_PROBING": "verbalized"}


def _read(source: Source) -> Iterator[dict]:
    method = source.path.name.split(".")[0]
    strategy = _STRATEGIES.get(method, method.lower())
    for label in source.rows():
        dataset = label.get("dataset")
        out = {
            "dataset": dataset,
            "strategy": strategy,
            "domain": dataset and _DOMAINS.get(dataset, "other"),
            "item_id": label.get("hash_id") or label["sample_id"],
            "confidence": label["confidence_score"],
            "correct": label["ground_truth_correctness"],
            # a reply states a confidence at most, and no answer
            "raw": label.get("raw_response"),
            "answer": None,
            "parse_ok": None,
        }
        no = label.get("logit_a")
        yes = label.get("logit_b")
        if isinstance(no, float) and isinstance(yes, float):
            share = 1 / (1 + np.exp(min(no - yes, 700)))
            out["option_probabilities"] = {"yes": share, "no": 1 - share}
        yield out


READERS = (
    Reader(
        name="vlcb",
        knows=has("sample_id", "ground_truth_correctness", "confidence_score"),
        read=_read,
    ),
)
