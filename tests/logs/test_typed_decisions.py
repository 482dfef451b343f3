"""Typed decisions at the door: whatever a vendor calls confidence, the chosen option's probability
is scored, or it is asked."""

import json

import numpy as np
import pandas as pd
import pytest

from medcal_nb.answers import load_answers
from medcal_nb.errors import MedcalError
from medcal_nb.logs.typed import CHOSEN, MEANINGS, read_decision, readings


def choice(shares, name="a", **more):
    """A choice in OpenAI's form, its confidence the concentration."""
    best = max(shares, key=shares.get)
    pairs = [{"value": value, "probability": p} for value, p in shares.items()]
    number = readings([*shares.values()])["concentration"]
    answer = {"type": "choice", "name": name, "choice": best, "confidence": number}
    return answer | {"probabilities": pairs} | more


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def calibrated(n=300, seed=0):
    """Rows of replies of a calibrated model of four options."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        p = rng.dirichlet([0.6] * 4).round(2)
        shares = dict(zip("ABCD", map(float, p / p.sum()), strict=True))
        gold = str(rng.choice([*shares], p=[*shares.values()]))
        rows.append({"id": i, "gold": gold, "model": "m", "answers": [choice(shares)]})
    return rows


def test_openai_s_form_is_read_with_the_probability_of_the_chosen_option(tmp_path):
    rows = calibrated()
    answers = load_answers(write(tmp_path / "d.jsonl", rows))
    best = [
        max(one["probability"] for one in row["answers"][0]["probabilities"])
        for row in rows
    ]
    assert answers["confidence"].tolist() == best
    right = [row["answers"][0]["choice"] == row["gold"] for row in rows]
    assert answers["correct"].tolist() == right
    assert set(answers["confidence_from"]) == {CHOSEN}
    assert set(answers["strategy"]) == {"decision"}
    (said,) = [line for line in answers.attrs["assumed"] if "vendor's number" in line]
    assert MEANINGS["concentration"] in said
    assert "in 100% of 300 answers" in said


def test_system_one_s_map_a_batch_and_refusals(tmp_path):
    body = {
        "id": "decision-1",
        "model": "jev",
        "answers": {
            "mass": {"type": "noul", "noul": 0.2, "confidence": 0.72},
            "side": {"type": "choice", "choice": "left",
                     "probabilities": {"left": 0.6, "right": 0.4}},
            "stage": {"type": "score", "score": 0.7, "legend": {"0": "early", "1": "late"},
                      "probabilities": {"0": 0.3, "1": 0.7}},
            "age": {"type": "refusal"},
        },
        "diagnostics": {"mass": {"label_mass": 0.9, "argmax_is_label": True}},
    }  # fmt: skip
    gold = {"mass": False, "side": "left", "stage": "early"}
    about = {
        "custom_id": "c7",
        "image_id": "im7",
        "gold": gold,
        "question": {"mass": "A mass?"},
    }
    path = write(tmp_path / "batch.jsonl", [about | {"response": {"body": body}}])
    answers = load_answers(path).set_index("item_id")
    assert answers.index.tolist() == ["c7|mass", "c7|side", "c7|stage", "c7|age"]
    assert answers["confidence"].tolist()[:3] == [0.8, 0.6, 0.7]
    assert answers["answer"].tolist()[:3] == ["no", "left", "late"]
    assert answers["correct"].tolist()[:3] == [True, True, False]
    assert answers.loc["c7|mass", ["label_mass", "question"]].tolist() == [
        0.9,
        "A mass?",
    ]
    assert answers.loc["c7|age", ["answer", "confidence"]].isna().all()
    assert (
        "1 questions were refused: no answer, no confidence" in answers.attrs["assumed"]
    )
    # a reply by itself, as a server sent it
    (tmp_path / "one.json").write_text(json.dumps(body))
    alone = load_answers(tmp_path / "one.json")
    assert alone["model"].tolist() == ["jev"] * 4
    assert alone["item_id"].tolist()[0] == "decision-1|mass"


FLAT = {"choice": ["left", "right"], "confidence": [0.4, 0.2], "gold": "left"}


@pytest.mark.parametrize("named", [{}, {"answer": "choice"}])
def test_a_bare_confidence_beside_a_choice_is_asked_about(tmp_path, named):
    path = tmp_path / "flat.csv"
    pd.DataFrame(FLAT).to_csv(path, index=False)
    with pytest.raises(
        MedcalError, match=r"flat\.csv: 'confidence' beside 'choice'"
    ) as error:
        load_answers(path, **named)
    for meaning in MEANINGS.values():
        assert meaning in str(error.value)
    for remedy in ("option_probabilities=COLUMN", "confidence=confidence"):
        assert remedy in str(error.value)
    answers = load_answers(path, confidence="confidence", **named)
    assert answers["confidence"].tolist() == [0.4, 0.2]
    assert answers["correct"].tolist() == [True, False]


def test_probabilities_in_a_flat_table_decide_in_every_form(tmp_path):
    shares = [
        '{"left": 0.7, "right": 0.3}',
        None,
        json.dumps(choice({"left": 0.1, "right": 0.9})["probabilities"]),
    ]
    table = {"choice": ["left", None, "right"], "probabilities": shares, "gold": "left"}
    table["confidence"] = [0.4, None, 0.8]
    path = tmp_path / "shares.csv"
    pd.DataFrame(table).to_csv(path, index=False)
    answers = load_answers(path)
    assert answers["confidence"].fillna(-1).tolist() == [0.7, -1, 0.9]
    assert answers["vendor_number"].fillna(-1).tolist() == [0.4, -1, 0.8]
    assert answers["option_probabilities"][0] == {"left": 0.7, "right": 0.3}
    assert answers["strategy"].tolist() == ["decision"] * 3
    noul = tmp_path / "noul.csv"
    pd.DataFrame({"noul": [0.9, 0.25], "gold": ["yes", "yes"]}).to_csv(
        noul, index=False
    )
    answers = load_answers(noul)
    assert answers["confidence"].tolist() == [0.9, 0.75]
    assert answers["correct"].tolist() == [True, False]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"probabilities": [{"value": "A", "probability": 0.4}]},
            "1 probabilities that sum to 0.4",
        ),
        (
            {"probabilities": [{"value": "A", "probability": 1.4}]},
            "1.4 is no probability",
        ),
        ({"choice": "E"}, "chose 'E', which has no probability"),
    ],
)
def test_damaged_answers_are_refused_by_their_row(tmp_path, change, message):
    rows = calibrated(2)
    rows[1]["answers"][0] |= change
    with pytest.raises(MedcalError, match=f"d.jsonl: row 2: .*{message}"):
        load_answers(write(tmp_path / "d.jsonl", rows))
    pairs = rows[1]["answers"][0]
    flat = {
        "choice": [pairs["choice"]],
        "probabilities": [json.dumps(pairs["probabilities"])],
        "gold": "A",
    }
    pd.DataFrame(flat).to_csv(tmp_path / "flat.csv", index=False)
    with pytest.raises(MedcalError, match=f"row 1, column 'probabilities'.*{message}"):
        load_answers(tmp_path / "flat.csv")


def test_several_answers_and_one_gold_are_asked_about(tmp_path):
    row = {
        "id": 1,
        "gold": "A",
        "answers": [choice({"A": 1.0, "B": 0.0}, name) for name in "ab"],
    }
    with pytest.raises(
        MedcalError, match="2 answers and one gold; write gold as an object"
    ):
        load_answers(write(tmp_path / "d.jsonl", [row]))


def test_a_number_that_is_none_of_the_four_is_said_so(tmp_path):
    rows = calibrated(30)
    for row in rows:
        row["answers"][0]["confidence"] = 0.123
    assumed = load_answers(write(tmp_path / "d.jsonl", rows)).attrs["assumed"]
    assert "none of the four things" in " ".join(assumed)


def test_the_four_readings_are_those_of_a_case_by_hand():
    read = readings([0.5, 0.25, 0.25], 0.5)
    entropy = 1.5 * np.log(2)
    expected = [0.5, 0.25, 1 - entropy / np.log(3), 0.25]
    assert [read[name] for name in MEANINGS] == pytest.approx(expected)
    assert read_decision({"type": "predicate", "probability": 0.5}).answer == "yes"
