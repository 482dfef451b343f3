"""Tables as people and spreadsheets write them: columns recognised, cells read, none guessed."""

import numpy as np
import openpyxl
import pandas as pd
import pytest

from medcal_nb.answers.columns import to_storage
from medcal_nb.answers.files import block_of
from medcal_nb.errors import MedcalError
from medcal_nb.logs import ColumnMap, import_file, read_answers, recognise_columns
from medcal_nb.logs.cells import as_grades


def table(tmp_path, text, name="in.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def taken(path, **options):
    """Which of our columns are taken from which, and whether the confidence is in percent."""
    columns = recognise_columns(path, **options).columns
    return dict(columns.named), columns.percent


def test_an_english_table_is_recognised(tmp_path):
    path = table(
        tmp_path, "case,LLM,Conf,isCorrect,img,note\n1,net,95,1,a,x\n2,net,40,0,b,y\n"
    )
    named, percent = taken(path)
    assert named == {
        "item_id": "case",
        "model": "LLM",
        "confidence": "Conf",
        "correct": "isCorrect",
        "image_id": "img",
    }
    assert percent
    answers, notes = read_answers(path)
    assert answers["confidence"].tolist() == [0.95, 0.4]
    assert answers["correct"].tolist() == [True, False]
    assert answers["image_id"].tolist() == ["a", "b"]
    assert answers["note"].tolist() == ["x", "y"]
    assert "confidence from 'Conf' (percent), correct from 'isCorrect'" in notes[0]


def test_a_german_export_with_semicolons_and_decimal_commas_is_recognised(tmp_path):
    text = "Fall;Konfidenz (%);Richtig;Modalität\n1;97,5 %;ja;CT\n2;20 %;nein;MRT\n"
    path = table(tmp_path, text)
    recognised = recognise_columns(path, named={"confidence": "Konfidenz (%)"})
    assert "(percent, decimal comma)" in recognised.description
    answers, _ = read_answers(path, recognised.columns)
    assert answers["confidence"].tolist() == [0.975, 0.2]
    assert answers["correct"].tolist() == [True, False]
    assert answers["modality"].tolist() == ["CT", "MRT"]


def test_a_french_sheet_of_excel_is_recognised(tmp_path):
    book = openpyxl.Workbook()
    for row in (["cas", "confiance", "juste"], [1, "0,85", "oui"], [2, "0,4", "non"]):
        book.active.append(row)
    book.save(tmp_path / "in.xlsx")
    answers, _ = read_answers(tmp_path / "in.xlsx")
    assert answers["item_id"].tolist() == ["1", "2"]
    assert answers["confidence"].tolist() == [0.85, 0.4]
    assert answers["correct"].tolist() == [True, False]


def test_answers_and_gold_are_graded(tmp_path):
    path = table(
        tmp_path, "id,prediction,ground_truth,p\na,yes,Yes,0.9\nb,no,yes,0.8\n"
    )
    answers, _ = read_answers(path)
    assert answers["correct"].tolist() == [True, False]
    assert answers["answer"].tolist() == ["yes", "no"]


def test_contents_decide_where_a_name_means_two_things(tmp_path):
    named, _ = taken(table(tmp_path, "id,score,hit\n1,0.9,1\n2,0.2,0\n"))
    assert (named["confidence"], named["correct"]) == ("score", "hit")
    named, _ = taken(table(tmp_path, "id,conf,score\n1,0.9,1\n2,0.2,0\n"))
    assert (named["confidence"], named["correct"]) == ("conf", "score")


def test_option_scores_are_recognised(tmp_path):
    path = table(tmp_path, "id,logit_A,logit_B,gold\n1,2,1,A\n2,1,3,A\n")
    answers, _ = read_answers(path)
    assert answers["answer"].tolist() == ["A", "B"]
    assert answers["correct"].tolist() == [True, False]


def test_a_person_who_answers_stands_for_a_model(tmp_path):
    path = table(tmp_path, "case,reader,conf,correct\n1,Ada,0.9,1\n1,Bo,0.4,0\n")
    for columns in (None, ColumnMap({"item_id": "case", "confidence": "conf"})):
        answers, _ = read_answers(path, columns)
        assert answers["model"].tolist() == ["Ada", "Bo"]
        assert answers["reader"].tolist() == ["Ada", "Bo"]


def test_columns_called_like_ours_that_hold_something_else_are_left_out(tmp_path):
    path = table(tmp_path, "id,conf,correct,split,seconds\n1,0.9,1,train,n/a\n")
    recognised = recognise_columns(path)
    assert recognised.columns.left_out == ["split", "seconds"]
    assert "left out: 'split', 'seconds'" in recognised.description
    answers, _ = read_answers(path)
    assert answers["split"].isna().all()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("id,p,prob,correct\n1,.9,.8,1\n", "2 columns may be the confidence: .*--confidence"),
        ("id,conf,right,richtig\n1,.9,1,1\n", "2 columns may be the correct: .*--correct"),
        ("case,qid,conf,right\n1,1,.9,1\n", "2 columns may be the item_id: 'case'.*--item"),
        ("id,conf,right\n1,3,1\n2,5,0\n", "runs from 3 to 5 in whole numbers.*--percent"),
        ("id,x,right\n1,.5,1\n", "no column 'confidence'.*--confidence"),
        ("id,conf,x\n1,.5,1\n", "which answers are correct.*--correct"),
    ],
)  # fmt: skip
def test_what_is_not_plain_is_asked_about(tmp_path, text, says):
    with pytest.raises(MedcalError, match=says):
        recognise_columns(table(tmp_path, text))


def test_what_the_user_names_is_taken_as_it_is(tmp_path):
    path = table(tmp_path, "id,p,prob,correct\n1,.9,.8,1\n")
    answers, _ = read_answers(
        path, recognise_columns(path, named={"confidence": "prob"}).columns
    )
    assert answers["confidence"].tolist() == [0.8]
    path = table(tmp_path, "id,conf,right\n1,3,1\n2,5,0\n")
    assert taken(path, percent=True)[1]


# --- cells ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("yes", "no"), ("correct", "incorrect"), ("right", "wrong"), ("ja", "nein"),
        ("oui", "non"), ("True", "False"), ("richtig", "falsch"), ("1", "0"),
    ],
)  # fmt: skip
def test_grades_in_words(tmp_path, right, wrong):
    path = table(
        tmp_path, f"item_id,confidence,correct\n1,0.5,{right}\n2,0.5,{wrong.upper()}\n"
    )
    import_file(path, tmp_path / "o.sqlite")
    answers, _ = read_answers(tmp_path / "o.sqlite")
    assert answers["correct"].tolist() == [True, False]


def test_words_that_are_no_grades_stay_and_are_refused(tmp_path):
    assert as_grades(["maybe", 1, None]) == ["maybe", 1, None]
    path = table(tmp_path, "item_id,confidence,correct\n1,0.5,maybe\n")
    with pytest.raises(MedcalError, match="row 1, column 'correct': value 'maybe'"):
        import_file(path, tmp_path / "o.sqlite")


def test_percent_signs_say_so_themselves_but_not_beside_cells_without(tmp_path):
    head = "item_id,confidence,correct\n"
    path = table(tmp_path, head + "1,95%,1\n2,\u00a07 %,0\n")
    answers, _ = read_answers(path, ColumnMap())
    assert answers["confidence"].tolist() == [0.95, 0.07]
    path = table(tmp_path, head + "1,95%,1\n2,0.5,0\n")
    with pytest.raises(
        MedcalError, match=r"row 2, column 'confidence': value '0\.5'.*--percent"
    ):
        import_file(path, tmp_path / "o.sqlite")
    answers, _ = read_answers(path, ColumnMap(percent=True))
    assert answers["confidence"].tolist() == [0.95, 0.005]


def test_decimal_commas_of_option_scores_are_read_where_plain_or_said(tmp_path):
    head = "item_id;logit_A;logit_B;gold\n"
    columns = {"logits": ["logit_A", "logit_B"]}
    path = table(tmp_path, head + "1;0,5;-1,25;A\n")
    answers, _ = read_answers(path, ColumnMap(**columns))
    assert answers["confidence"][0] == pytest.approx(1 / (1 + np.exp(-1.75)))
    path = table(tmp_path, head + "1;1,500;2,125;A\n")
    with pytest.raises(MedcalError, match="--decimal ,"):
        read_answers(path, ColumnMap(**columns))
    answers, _ = read_answers(path, ColumnMap(**columns, decimal=","))
    assert answers["answer"].tolist() == ["B"]


def test_a_name_that_is_nearly_right_is_hinted_at(tmp_path):
    path = table(tmp_path, "item_id,confidense,correct\n1,0.5,1\n")
    with pytest.raises(MedcalError, match="did you mean 'confidense'"):
        import_file(path, tmp_path / "o.sqlite")
    with pytest.raises(MedcalError, match=r"no column 'confidence'.*mean 'confidense'"):
        import_file(
            path, tmp_path / "o.sqlite", ColumnMap({"confidence": "confidence"})
        )


def test_a_data_set_is_a_column_or_a_name(tmp_path):
    path = table(tmp_path, "item_id,confidence,correct,source\n1,0.5,1,a\n2,0.5,1,b\n")
    answers, _ = read_answers(path, ColumnMap({"dataset": "source"}))
    assert answers["dataset"].tolist() == ["a", "b"]
    answers, _ = read_answers(path, ColumnMap({"dataset": "mine"}))
    assert answers["dataset"].tolist() == ["mine", "mine"]


def test_no_reader_widens_float32(tmp_path):
    frame = pd.DataFrame(
        {
            "item_id": ["1", "2"],
            "confidence": np.array([0.9, 0.6], dtype="float32"),
            "correct": [True, False],
        }
    )
    frame.to_parquet(tmp_path / "in.parquet")
    answers, _ = read_answers(tmp_path / "in.parquet", ColumnMap())
    assert answers["confidence"].tolist() == [0.9, 0.6]
    stored = to_storage(block_of(frame.assign(model="m", dataset="d", strategy="s")))
    assert stored["confidence"] == [0.9, 0.6]


def test_percent_beside_probabilities_is_asked_about(tmp_path):
    path = tmp_path / "t.csv"
    rows = [f"q{i},{value},{i % 2}" for i, value in enumerate([95, 0.95, 80, 0.7])]
    path.write_text("\n".join(["item_id,confidence,correct", *rows]))
    with pytest.raises(MedcalError, match="percent and probabilities mixed"):
        recognise_columns(path)
    assert recognise_columns(path, percent=True).columns.percent
