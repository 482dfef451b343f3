"""Results of jraymartinez/marc-medical-calibration: one JSON per run, several configurations.

``{"model", "dataset", "configurations": {name: {"config_name", "results": [{"question_idx",
"predicted_answer", "correct_answer", "confidence", "is_correct"}, …]}}}``. Each configuration
becomes a strategy. The calibration error stored there uses five bins closed on the left,
[0, 0.2) … [0.8, 1]: ``medcal score --bins 5 --closed left``.
"""

from pathlib import PurePosixPath

from medcal_nb.answers.files import read_json

from ._rows import broken, need


def read_marc(path, columns, notes):
    """Rows of every configuration."""
    run = read_json(path)
    configurations = need(run, "configurations", path, None, dict)
    model = need(run, "model", path, None, str)
    dataset = PurePosixPath(str(run.get("dataset") or path.name)).stem
    for name, configuration in configurations.items():
        for row, result in enumerate(need(configuration, "results", path, None, list), 1):
            if not isinstance(result, dict):
                raise broken(path, row, f"{name}: not an object")
            yield {
                "model": model,
                "dataset": dataset,
                "question_type": "choice",
                "item_id": need(result, "question_idx", path, row),
                "strategy": name,
                "answer": result.get("predicted_answer"),
                "gold": result.get("correct_answer"),
                "confidence": result.get("confidence"),
                "correct": result.get("is_correct"),
                "parse_ok": result.get("predicted_answer") is not None,
                "configuration": configuration.get("config_name"),
                "s_score": result.get("S_score"),
            }
