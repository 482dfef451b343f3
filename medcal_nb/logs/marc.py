"""Results of jraymartinez/marc-medical-calibration: one JSON per run, several configurations.

``{"model", "dataset", "configurations": {name: {"config_name", "results": [{"question_idx",
"predicted_answer", "correct_answer", "confidence", "is_correct"}, …]}}}``. Each configuration
becomes a strategy. The calibration error stored there uses five bins closed on the left,
[0, 0.2) … [0.8, 1]: ``medcal score --bins 5 --closed left``.
"""

from pathlib import PurePosixPath

from .registry import Reader


def _read(source, columns, notes):
    run = source.value
    configurations = source.need(run, "configurations", None, dict)
    model = source.need(run, "model", None, str)
    for name, configuration in configurations.items():
        for row, result in enumerate(source.need(configuration, "results", None, list), 1):
            item = source.need(result, "question_idx", row)
            yield {
                "model": model,
                "dataset": PurePosixPath(str(run.get("dataset") or source.path.name)).stem,
                "question_type": "choice",
                "item_id": item,
                "strategy": name,
                "answer": result.get("predicted_answer"),
                "gold": result.get("correct_answer"),
                "confidence": result.get("confidence"),
                "correct": result.get("is_correct"),
                "parse_ok": result.get("predicted_answer") is not None,
                "configuration": configuration.get("config_name"),
                "s_score": result.get("S_score"),
            }


READERS = (Reader("marc", lambda source: "configurations" in source.first, _read),)
