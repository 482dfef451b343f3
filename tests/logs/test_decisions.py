"""Decisions of a reader come in as answers: of a person, before and after the model's."""

import json

import pandas as pd
import pytest

from medcal_nb.answers import load_answers
from medcal_nb.errors import MedcalError

CASE = {
    "reader": "ada", "model": "m", "dataset": "d", "strategy": "verbalized", "domain": "medical",
    "model_answer": "yes", "model_confidence": 0.9, "model_correct": True,
}  # fmt: skip


def row(item, *own):
    names = ("action", "answer", "confidence", "correct")
    about = {"item_id": item, "image_id": f"image of {item}", "seconds": 3}
    return CASE | about | dict(zip(names, own, strict=True))


@pytest.fixture
def decisions(tmp_path):
    rows = [
        row("q1", "commit", "no", 0.6, False),
        row("q1", "commit", "yes", 0.9, True),
        row("q1", "override", "no", 0.5, False),
        row("q1", "accept", "yes", 0.8, True),
        row("q2", "commit", "no", 0.6, False),
        row("q2", "defer", "no", 0.6, False),
    ]
    path = tmp_path / "decisions.json"
    path.write_text(json.dumps(rows))
    return path


def test_decisions_become_answers_of_a_reader(decisions):
    table = load_answers(decisions).set_index(["item_id", "strategy"])
    assert set(table["model"]) == set(table["reader"]) == {"ada"}
    columns = ["answer", "confidence", "correct", "model_name", "model_answer"]
    before = table.loc[("q1", "alone"), columns].tolist()
    assert before == ["no", 0.6, False, "m", "yes"]
    after = table.loc[("q1", "with_model"), columns].tolist()
    assert after == ["yes", 0.8, True, "m", "yes"]
    deferred = table.loc[("q2", "with_model"), ["answer", "confidence", "correct"]]
    assert pd.isna(deferred).all()
    assert len(table) == 4


DAMAGED = [
    (2, {"action": "agree"}),
    (2, {"confidence": 80}),
    (2, {"confidence": None}),
    (2, {"answer": ""}),
    (2, {"answer": None, "action": "commit"}),
    (2, {"reader": ""}),
    # a first row that lacks something is no row of a plain table
    *((1, name) for name in ("answer", "confidence", "strategy")),
]


@pytest.mark.parametrize(("place", "change"), DAMAGED)
def test_a_damaged_decision_is_refused_by_its_row(decisions, place, change):
    rows = json.loads(decisions.read_text())
    one = rows[place - 1]
    if isinstance(change, str):
        del one[change]
    else:
        one |= change
    decisions.write_text(json.dumps(rows))
    problem = f"row {place} is no decision: .*download decisions"
    with pytest.raises(MedcalError, match=problem):
        load_answers(decisions)


def test_what_the_page_does_not_grade_is_graded_where_it_comes_in(decisions):
    rows = json.loads(decisions.read_text())
    for one in rows:
        one |= {"gold": "No.", "correct": None}
    decisions.write_text(json.dumps(rows))
    table = load_answers(decisions).set_index(["item_id", "strategy"])
    assert table.loc["q1", "correct"].tolist() == [True, False]
    assert table.loc[("q2", "alone"), "correct"]
    assert pd.isna(table.loc[("q2", "with_model"), "correct"])
