"""Logs of evalscope: ``…/reviews/<model>/<data set>.jsonl``, one graded sample a line.

A line is ``{"index", "target", "sample_score": {"score": {"value": {metric: number},
"main_score_name", "extracted_prediction", "prediction"}, "sample_id", "group_id"}}``. There is no
confidence. Repeats of one item share its ``group_id``.
"""

from collections import Counter
from collections.abc import Iterator

from medcal_nb.errors import MedcalError
from medcal_nb.logs.registry import Reader, has
from medcal_nb.logs.source import Source


def _read(source: Source) -> Iterator[dict]:
    times_asked = Counter()
    for line in source.rows():
        if "sample_score" not in line:
            raise MedcalError(
                f"{source.path}: predictions of evalscope, which hold no grade; import the "
                "file of that name in its folder reviews"
            )
        graded = line["sample_score"]
        group = graded.get("group_id")
        score = graded["score"]
        item = line["index"] if group is None else group
        yield {
            "strategy": "generate",
            "item_id": item,
            "sample": times_asked[item],
            "answer": score["extracted_prediction"] or None,
            "raw": score["prediction"],
            "gold": line.get("target"),
            "correct": source.graded(score["value"], main=score.get("main_score_name")),
        }
        times_asked[item] += 1


def _knows(first: dict) -> bool:
    """Whether these are reviews, or predictions, which are refused by name."""
    return has("index", "sample_score")(first) or has("index", "model_output")(first)


READERS = (
    Reader(
        name="evalscope",
        knows=_knows,
        read=_read,
        layout=r"reviews/(?P<model>[^/]+)/(?P<dataset>[^/]+)\.jsonl$",
    ),
)
