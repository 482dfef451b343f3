"""Reviews of evalscope: ``…/reviews/<model>/<data set>.jsonl``, one graded sample a line.

``{"index", "target", "sample_score": {"score": {"value": {metric: number}, "extracted_prediction",
"prediction"}, "sample_id", "group_id"}}``. There is no confidence.
"""

from medcal_nb.errors import MedcalError

from .registry import Reader
from .source import grade, table


def _read(source, columns, notes):
    folders = source.path.resolve().parts[:-1]
    model = folders[-1] if len(folders) > 1 and folders[-2] == "reviews" else None
    seen: dict = {}
    for row, line in source.objects():
        if "model_output" in line:
            raise MedcalError(
                f"{source.path}: row {row} is a prediction of evalscope, without a grade; import "
                "the file of the same name in the folder reviews"
            )
        known = source.need(line, "sample_score", row, dict)
        score = source.need(known, "score", row, dict)
        item = source.need(line, "index", row)
        group = known.get("group_id")
        item = item if group is None else group  # repeats of one item share it
        sample = seen[str(item)] = seen.get(str(item), -1) + 1
        answer = score.get("extracted_prediction")
        target = line.get("target")
        out = {
            "item_id": item,
            "sample": sample,
            "strategy": "generate",
            "answer": answer if isinstance(answer, str) and answer else None,
            "raw": score.get("prediction"),
            "gold": target if isinstance(target, str | list) else None,
            "correct": grade(table(score.get("value"))),
            "parse_ok": bool(answer),
        }
        if model:
            out |= {"model": model, "dataset": source.path.stem}
        yield out
    notes.append(f"{source.path}: this format holds no confidence; it serves accuracy only")


def _knows(source):
    first = source.first.keys()
    return {"index", "sample_score"} <= first or {"index", "model_output"} <= first


READERS = (Reader("evalscope", _knows, _read),)
