"""Rows chosen, halved and grouped."""

import pandas as pd
import pytest

from medcal_nb.measure import rows


@pytest.mark.parametrize(
    "ids", [[7, 8], [7.0, 8.0], ["7", "8"], ["7.0", "8.00"], [7, None], [7, "8"]]
)
def test_an_image_is_one_whatever_the_type_of_its_id(ids):
    frame = pd.DataFrame({"item_id": [5, 8], "image_id": ids, "dataset": "d"})
    assert rows.image_labels(frame).tolist() == ["d/7", "d/8"]
    assert [*rows.plain_ids(["a.0", "007", "-3.0", 1.5])] == ["a.0", "007", "-3", "1.5"]


@pytest.mark.parametrize(
    ("column", "same", "expected"),
    [("strategy", "item_id", [1, 1, 4]), ("dataset", "question_id", [])],
)
def test_same_answers_have_a_confidence_with_every_value(column, same, expected):
    table = {"model": ["a"] * 6 + ["b"], "item_id": [1, 1, 2, 2, 3, 3, 4]}
    table["strategy"] = ["x", "y", "x", "y", "x", "y", "x"]  # of b there is one method
    table["confidence"] = [0.5, 0.6, None, 0.7, 0.8, 0.9, 0.1]
    table["correct"] = [True, False, True, True, None, True, True]
    frame = pd.DataFrame(table).assign(question_id=table["item_id"])
    frame["dataset"] = ["d", "d", "e", "e", "e", "e", "d"]
    paired = rows.same_answers(frame, column, ["model", same])
    if column == "dataset":  # one set a question: none is in both
        paired = paired[paired["model"] == "a"]
    assert paired["item_id"].tolist() == expected
