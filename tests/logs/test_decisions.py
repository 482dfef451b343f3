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
    columns = ["answer", "confidence", "correct", "model_name", "model_answer", "place"]
    before = table.loc[("q1", "alone"), columns].tolist()
    assert before == ["no", 0.6, False, "m", "yes", 1]
    after = table.loc[("q1", "with_model"), columns].tolist()
    assert after == ["yes", 0.8, True, "m", "yes", 1]
    deferred = table.loc[("q2", "with_model"), ["answer", "confidence", "correct"]]
    assert pd.isna(deferred).all()
    assert len(table) == 4


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"action": "agree"}, "row 2: action 'agree' is none of commit"),
        ({"confidence": 80}, "row 2: no answer with a confidence from 0 to 1"),
        ({"confidence": None}, "row 2: no answer with a confidence"),
        ({"answer": ""}, "row 2: no answer with a confidence .*not deferred"),
        ({"answer": None, "action": "commit"}, "row 2: no answer with a confidence"),
        ({"reader": ""}, "row 2: reader, model, dataset, item_id: one is empty"),
    ],
)
def test_a_damaged_decision_is_refused_by_its_row(decisions, change, problem):
    rows = json.loads(decisions.read_text())
    rows[1] |= change
    decisions.write_text(json.dumps(rows))
    with pytest.raises(MedcalError, match=problem):
        load_answers(decisions)


@pytest.mark.parametrize("name", ["answer", "confidence", "strategy"])
def test_a_decision_that_lacks_something_is_no_plain_table(decisions, name):
    rows = json.loads(decisions.read_text())
    del rows[0][name]
    decisions.write_text(json.dumps(rows))
    with pytest.raises(MedcalError, match=f"row 1: no {name}; download decisions"):
        load_answers(decisions)


def test_what_the_page_does_not_grade_is_graded_where_it_comes_in(decisions):
    rows = json.loads(decisions.read_text())
    for one in rows:
        one |= {"gold": "No.", "correct": None}
    decisions.write_text(json.dumps(rows))
    table = load_answers(decisions).set_index(["item_id", "strategy"])
    assert table.loc["q1", "correct"].tolist() == [True, False]
    assert table.loc[("q2", "alone"), ["correct", "place"]].tolist() == [True, 2]
    assert pd.isna(table.loc[("q2", "with_model"), "correct"])
