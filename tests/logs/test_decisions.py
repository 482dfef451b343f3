"""Decisions of a reader come in as answers: of a person, before and after the model's."""

import json

import pandas as pd
import pytest

from medcal_nb.answers import load_answers
from medcal_nb.errors import MedcalError
from medcal_nb.logs import import_file
from medcal_nb.measure import metrics_table, policy_table, reliance_table
from medcal_nb.reader.decisions import DecisionLog

CASE = {
    "reader": "ada",
    "model": "m",
    "dataset": "d",
    "strategy": "verbalized",
    "domain": "medical",
    "model_answer": "yes",
    "model_confidence": 0.9,
    "model_correct": True,
}


def decisions(path):
    """Three cases: changed to right, deferred, taken back."""
    log = DecisionLog(path)
    for name in ("q1", "q2", "q3"):
        case = CASE | {"item_id": name, "image_id": f"image of {name}"}
        log.append("commit", **case, answer="no", confidence=0.6, correct=False)
    case = CASE | {"item_id": "q1", "image_id": "image of q1"}
    log.append("defer", **case)
    log.append("accept", **case, answer="yes", confidence=0.8, correct=True, seconds=3)
    log.append("defer", **CASE, item_id="q2")
    log.append("accept", **CASE, item_id="q3", answer="yes", confidence=1, correct=True)
    log.undo(reader="ada")
    return log


@pytest.fixture
def exported(tmp_path):
    decisions(tmp_path / "d.sqlite").export(tmp_path / "decisions.json")
    return tmp_path / "decisions.json"


def imported(path, tmp_path):
    to = tmp_path / f"{path.name}.log.sqlite"
    report = import_file(path, to)
    assert f"{path}: read as decisions" in report.notes
    return load_answers(to).set_index(["item_id", "strategy"])


def test_decisions_become_answers_of_a_reader(exported, tmp_path):
    table = imported(exported, tmp_path)
    assert set(table["model"]) == set(table["reader"]) == {"ada"}
    assert sorted(table.index) == [
        ("q1", "alone"),
        ("q1", "with_model"),
        ("q2", "alone"),
        ("q2", "with_model"),
        ("q3", "alone"),
    ]
    before = table.loc[("q1", "alone")]
    after = table.loc[("q1", "with_model")]
    assert (before["answer"], before["confidence"], before["correct"]) == (
        "no",
        0.6,
        False,
    )
    assert (after["answer"], after["confidence"], after["correct"]) == (
        "yes",
        0.8,
        True,
    )
    assert (after["model_name"], after["model_strategy"]) == ("m", "verbalized")
    assert (after["model_answer"], after["model_confidence"]) == ("yes", 0.9)
    assert after["model_correct"] == 1
    assert after["action"] == "accept"
    assert after["image_id"] == "image of q1"
    assert after["seconds"] == 3
    assert before["place"] == 1
    deferred = table.loc[("q2", "with_model")]
    assert pd.isna(deferred["answer"])
    assert pd.isna(deferred["confidence"])
    assert pd.isna(deferred["correct"])


def test_every_form_of_the_same_decisions_gives_the_same_answers(exported, tmp_path):
    log = DecisionLog(tmp_path / "d.sqlite")
    log.export(tmp_path / "decisions.csv")
    wanted = imported(exported, tmp_path)
    for path in (tmp_path / "decisions.csv", log.path):
        pd.testing.assert_frame_equal(imported(path, tmp_path), wanted)


def test_a_reader_is_measured_like_a_model(exported, tmp_path, rng):
    table = imported(exported, tmp_path).reset_index()
    scores = metrics_table(
        table[table["confidence"].notna()],
        by=["model", "strategy"],
        metrics=["accuracy", "brier"],
        intervals=[],
        rng=rng,
    ).set_index("strategy")
    assert scores.loc["alone", ["n", "accuracy"]].tolist() == [3, 0]
    assert scores.loc["with_model", "brier"] == pytest.approx(0.04)


@pytest.mark.filterwarnings("ignore:one reader alone")
def test_policies_and_reliance_are_counted_from_decisions(exported, tmp_path):
    """Of the one case that all three answered: wrong alone, right with the model."""
    table = imported(exported, tmp_path).reset_index()
    policies = policy_table(table).set_index("policy")
    assert set(policies["n"]) == {1}
    assert policies.loc["reader alone", "accuracy"] == 0
    assert policies.loc["reader with model", "accuracy"] == 1
    assert policies.loc["model alone", "accuracy"] == 1
    reliance = reliance_table(table).set_index("model_correct")
    assert reliance.loc[True, ["n", "changed", "put_right"]].tolist() == [1, 1, 1]


def test_one_reader_beside_two_models_keeps_both(tmp_path):
    log = DecisionLog(tmp_path / "d.sqlite")
    for model in ("m", "n"):
        case = CASE | {"model": model, "item_id": "q1"}
        log.append("commit", **case, answer="no", confidence=0.5, correct=False)
        log.append("accept", **case, answer="yes", confidence=0.7, correct=True)
    log.export(tmp_path / "decisions.json")
    table = imported(tmp_path / "decisions.json", tmp_path)
    assert table["sample"].tolist() == [0, 1, 0, 1]
    assert table["model_name"].tolist() == ["m", "n", "m", "n"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"action": "agree"}, "row 2: action 'agree' is none of commit"),
        ({"confidence": 80}, "row 2: confidence '80' is no number from 0 to 1"),
        ({"confidence": None}, "row 2: confidence 'None' is no number"),
        ({"answer": ""}, "row 2: no answer, and not deferred"),
        ({"reader": ""}, "row 2: reader, model, dataset or item_id is empty"),
        ({"undone_at": ...}, "row 2: no undone_at"),
    ],
)
def test_a_damaged_decision_is_refused_by_its_row(exported, tmp_path, change, problem):
    rows = json.loads(exported.read_text())
    ((name, value),) = change.items()
    if value is ...:
        del rows[1][name]
    else:
        rows[1][name] = value
    exported.write_text(json.dumps(rows))
    with pytest.raises(MedcalError, match=problem) as refused:
        import_file(exported, tmp_path / "to.sqlite")
    assert "--export decisions.json" in str(refused.value)
    assert not (tmp_path / "to.sqlite").exists()


def test_a_file_that_is_cut_off_or_foreign_is_refused(exported, tmp_path):
    exported.write_text(exported.read_text()[:-40])
    with pytest.raises(MedcalError, match="cut off or damaged"):
        import_file(exported, tmp_path / "to.sqlite")
    path = tmp_path / "foreign.json"
    path.write_text('[{"decision": "yes"}]')
    with pytest.raises(MedcalError, match="no column 'confidence'"):
        import_file(path, tmp_path / "to.sqlite")
    path = tmp_path / "foreign.sqlite"
    path.write_bytes(b"not a database, whatever its name says " * 30)
    with pytest.raises(MedcalError, match=r"foreign.sqlite: no decisions"):
        import_file(path, tmp_path / "to.sqlite")
