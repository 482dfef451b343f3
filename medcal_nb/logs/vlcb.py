"""Labels of the VLCB benchmark (arXiv 2605.10893): ``…/test_labels.json.gz``, one file a method.

A list of ``{"sample_id", "hash_id", "ground_truth_correctness", "confidence_score", "dataset"}``
without questions or answers. The strategy is the method, by the folder under ``SPARROW`` or the
name of the file, the model the folder below it. GMAI-MMBench is medical, GQA and POPE are general,
MMMU-Pro, MME-Finance and LLaVA-Wild neither.
"""

from .registry import Reader

_DOMAINS = {"GMAI": "medical", "GQA": "general", "POPE": "general"}
_STRATEGIES = {"PTRUE": "p_true", "SELF_PROBING": "verbalized"}


def _read(source, columns, notes):
    parts = source.path.resolve().parts
    method, model = source.path.name.split(".")[0], None
    if "SPARROW" in parts[:-2]:
        method, model = parts[parts.index("SPARROW") + 1 :][:2]
    for row, label in source.objects():
        sample = source.need(label, "sample_id", row)
        dataset = label.get("dataset")
        out = {
            "item_id": label.get("hash_id") or sample,
            "strategy": _STRATEGIES.get(method, method.lower()),
            "confidence": source.need(label, "confidence_score", row),
            "correct": source.need(label, "ground_truth_correctness", row),
            "raw": label.get("raw_response"),
            "domain": _domain(dataset),
        }
        out |= {"dataset": dataset} if isinstance(dataset, str) else {}
        out |= {"model": model} if model else {}
        yield out
    notes.append(f"{source.path}: holds no questions, answers or image ids")


def _domain(dataset):
    if not isinstance(dataset, str):
        return None
    return next((d for name, d in _DOMAINS.items() if dataset.startswith(name)), "other")


def _knows(source):
    wanted = {"sample_id", "ground_truth_correctness", "confidence_score"}
    return isinstance(source.value, list) and wanted <= source.first.keys()


READERS = (Reader("vlcb", _knows, _read),)
