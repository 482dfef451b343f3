"""What a model wrote is read for its answer, and for how sure it says it is."""

import pandas as pd
import pytest

from medcal_nb.answers import load_answers, write_undecided
from medcal_nb.errors import MedcalError

LABELLED = [f"{word}\nConfidence: {p}%" for word, p in [("Yes.", 80), ("No", 60)]] * 12
BEHIND = [f"{word} : {p}" for word, p in [("yes", 0.8), ("no", 0.6)]] * 12
GOLD = ["yes"] * 24
RIGHT = [True, False] * 12
SURE = [0.8, 0.6] * 12
KEY = {"item_id": range(24), "gold": GOLD}


def answers_of(folder, how=(), **columns):
    """Answers of a table in a file."""
    pd.DataFrame(KEY | columns).to_csv(folder / "in.csv", index=False)
    return load_answers(folder / "in.csv", **dict(how))


@pytest.mark.parametrize("replies", [LABELLED, BEHIND], ids=["labelled", "behind"])
@pytest.mark.parametrize(
    "name", ["reply", "response", "model_answer", "output", "text"]
)
def test_a_reply_is_an_answer_with_its_confidence(tmp_path, replies, name):
    how = {"reply": "text"} if name == "text" else {}
    answers = answers_of(tmp_path, how, **{name: replies})
    assert answers["confidence"].tolist() == SURE
    assert answers["correct"].tolist() == RIGHT
    assert answers["answer"].str.casefold().tolist() == ["yes", "no"] * 12
    (said,) = [
        text for text in answers.attrs["assumed"] if "state a confidence" in text
    ]
    assert said.startswith(f"24 of 24 replies in '{name}' state a confidence (")
    assert ": yes, 0.8" in said.lower()
    assert answers[name].tolist() == replies


@pytest.mark.parametrize(
    ("reply", "gold"),
    [
        ("Antwort des Modells", "Referenz"),
        ("Modellantwort", "Referenzantwort"),
        ("KI-Antwort", "Musterlösung"),
        ("Réponse du modèle", "Vérité terrain"),
        ("réponse modèle", "Référence"),
        ("Model answer", "Reference answer"),
        ("model_response", "Reference standard"),
        ("Respuesta del modelo", "Respuesta correcta"),
        ("Risposta del modello", "Riferimento"),
        ("Resposta do modelo", "Gabarito"),
    ],
)
def test_a_reply_and_its_gold_are_known_by_names_of_many_languages(
    tmp_path, reply, gold
):
    table = pd.DataFrame({"n": range(24), reply: LABELLED, gold: GOLD})
    table.to_csv(tmp_path / "in.csv", index=False)
    answers = load_answers(tmp_path / "in.csv")
    assert answers["confidence"].tolist() == SURE
    assert answers["correct"].tolist() == RIGHT


def test_of_two_columns_that_may_be_gold_one_is_asked_for(tmp_path):
    both = {"reply": LABELLED, "Referenz": GOLD, "Goldstandard": GOLD}
    table = pd.DataFrame({"n": range(24)} | both)
    table.to_csv(tmp_path / "in.csv", index=False)
    asked = "2 columns may be the gold: 'Referenz', 'Goldstandard'; name one: gold="
    with pytest.raises(MedcalError, match=asked):
        load_answers(tmp_path / "in.csv")


def test_what_the_table_says_goes_before_the_reply(tmp_path):
    shown = answers_of(tmp_path, prediction=GOLD, reply=LABELLED)
    assert shown["correct"].sum() == 24
    assert shown["confidence"].tolist() == SURE
    stated = answers_of(tmp_path, confidence=[0.5] * 24, reply=LABELLED)
    assert stated["confidence"].eq(0.5).all()
    assert stated["answer"].tolist() == LABELLED
    how = {"reply": "reply"}
    asked = answers_of(tmp_path, how, confidence=[0.5] * 24, reply=LABELLED)
    assert asked["answer"].str.casefold().tolist() == ["yes", "no"] * 12
    assert asked["correct"].tolist() == RIGHT


def test_replies_are_read_run_by_run_on_the_scale_that_is_named(tmp_path):
    tens = [f"yes\nConfidence: {k}" for k in (7, 10, 1)] * 8
    answers = answers_of(tmp_path, {"scale": 10}, reply=tens)
    assert answers["confidence"].tolist() == [0.7, 1.0, 0.1] * 8
    ones = ["yes\nConfidence: 1", "yes\nConfidence: 0.8"] * 6
    percents = ["yes\nConfidence: 95", "yes\nConfidence: 90"] * 6
    models = ["a"] * 12 + ["b"] * 12
    answers = answers_of(tmp_path, reply=ones + percents, model=models)
    assert answers["confidence"].tolist() == [1.0, 0.8] * 6 + [0.95, 0.9] * 6
    answers = answers_of(tmp_path, reply=[*LABELLED[:23], "Yes. I am 70% sure."])
    said = " ".join(answers.attrs["assumed"])
    assert "(label 23, sentence 1); " in said
    assert "I am 70% sure.': Yes" in said, "of each form there is an example"


def test_options_of_any_form_name_the_answer(tmp_path):
    options = ['["left lung", "right lung"]'] * 24
    replies = ["Answer: B\nConfidence: 70%"] * 24
    gold = ["right lung"] * 24
    answers = answers_of(tmp_path, reply=replies, options=options, gold=gold)
    assert answers["answer"].eq("right lung").all()
    assert answers["correct"].tolist() == [True] * 24


def test_replies_without_a_confidence_are_no_confidence(tmp_path):
    message = "no column 'confidence'.*; 0 of 24 replies in 'reply' state a confidence"
    with pytest.raises(MedcalError, match=message) as raised:
        answers_of(tmp_path, reply=GOLD)
    assert str(raised.value).endswith("columns are item_id, gold, reply")


def test_numbers_on_a_scale_that_nobody_names_are_told(tmp_path):
    replies = [f"{gold}\nConfidence: {5 + i % 4}" for i, gold in enumerate(GOLD)]
    with pytest.raises(
        MedcalError, match="24 have a number on a scale that is not known"
    ):
        answers_of(tmp_path, reply=replies)
    answers = answers_of(tmp_path, {"scale": 10}, reply=replies)
    assert answers["confidence"].max() == 0.8


def test_replies_whose_confidence_is_not_read_are_shown(tmp_path):
    odd = ["Yes (confidence: so-so)", "No – 9/10", "Yes.", "", "Yes.", "No – 7/10"]
    answers = answers_of(tmp_path, reply=[*LABELLED[:18], *odd])
    said = " ".join(answers.attrs["assumed"])
    assert "18 of 24 replies in 'reply' state a confidence" in said
    told = "of the 6 replies without one 2 have a number of 10 behind the answer ("
    assert told in said
    assert "('No – 9/10', 'No – 7/10', scale=10 takes it, if it is one)" in said
    assert (
        "1 speak of it in a form that is not read ('Yes (confidence: so-so)')" in said
    )
    answers = answers_of(tmp_path, {"scale": 10}, reply=[*LABELLED[:18], *odd])
    assert answers["confidence"][19] == 0.9
    assert answers["confidence"].count() == 20
    whole = answers_of(tmp_path, reply=[*LABELLED[:22], "Yes.", "No."])
    assert not any("without one" in text for text in whole.attrs["assumed"])


@pytest.mark.parametrize(("kind", "right"), [("closed", 24), ("open", 0)])
def test_the_kind_of_a_question_decides_how_it_is_graded(tmp_path, kind, right):
    gold = ["No opacity of that kind, as reported"] * 24
    columns = {"answer": ["no"] * 24, "confidence": SURE, "question_type": kind}
    answers = answers_of(tmp_path, gold=gold, **columns)
    assert answers["correct"].sum() == right


def test_every_reply_without_a_grade_is_written_for_a_person(tmp_path):
    unread = [
        "I cannot tell from this image.\nConfidence: 10%",  # no answer
        "Confidence: 40%",
        "I see several structures here.\nConfidence: 70%",  # no yes, no no
        "yes or no\nConfidence: 50%",
        "An opacity",  # no confidence either
    ]
    replies = [*LABELLED[:19], *unread]
    answers = answers_of(tmp_path, reply=replies)
    assert answers["correct"].isna().tolist() == [False] * 19 + [True] * 5
    write_undecided(answers, tmp_path / "in.csv")
    cases = pd.read_csv(tmp_path / "in.undecided.csv")
    assert sorted(cases["reply"]) == sorted(unread)


def test_what_would_be_read_stands_beside_a_number_in_doubt(tmp_path):
    rows = {"reply": ["NON - 90%", "Oui", "Confiance : 80 %. Oui"] * 20, "gold": "oui"}
    pd.DataFrame(rows).to_csv(tmp_path / "in.csv", index=False)
    (said,) = [
        one
        for one in load_answers(tmp_path / "in.csv").attrs["assumed"]
        if "may be another" in one
    ]
    assert "('confidence: 90%' is read)" in said
    assert "'NON - 90%'" in said


def test_the_examples_of_unread_replies_differ_by_more_than_numbers(tmp_path):
    kinds = [
        "Oui, sûr, mais à {} %",
        "No. Estoy {}% seguro de que no",
        "Ja, fast {} % sicher",
    ]
    replies = [kinds[i // 10].format(60 + i) for i in range(30)]
    replies += ["Oui. Confiance : 80 %"] * 10
    pd.DataFrame({"reply": replies, "gold": "oui"}).to_csv(tmp_path / "in.csv")
    assumed = load_answers(tmp_path / "in.csv").attrs["assumed"]
    (said,) = [one for one in assumed if "a form that is not read" in one]
    for kind in ("mais à", "seguro de que", "sicher"):
        assert said.count(kind) == 1
