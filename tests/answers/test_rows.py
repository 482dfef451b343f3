"""Rows that are no single answers, and names that may be of one thing, are said or asked about."""

import gc
import json
import warnings

import numpy as np
import openpyxl
import pandas as pd
import pytest

from medcal_nb.answers import load_answers
from medcal_nb.errors import MedcalError
from medcal_nb.measure import image_labels

N = 40
TABLE = pd.DataFrame(
    {
        "item_id": [f"q{k}" for k in range(N)],
        "confidence": np.linspace(0.5, 1, N).round(3),
        "correct": [1, 1, 0, 1] * (N // 4),
    }
)


def load(tmp_path, **columns):
    path = tmp_path / "in.csv"
    TABLE.assign(**columns).to_csv(path, index=False)
    return load_answers(path)


@pytest.mark.parametrize(
    ("column", "cells", "sentence"),
    [
        ("weight", np.linspace(1, 2, N), "column 'weight' is not used: every row counts as one"),
        ("Anzahl", [1, 9] * (N // 2), "column 'Anzahl' is not used: every row counts as one"),
        ("exclude", [1, 0] * (N // 2), "column 'exclude' is not used: the 20 rows it marks"),
        ("excluded", ["yes", ""] * (N // 2), "column 'excluded' is not used: the 20 rows"),
    ],
)  # fmt: skip
def test_columns_that_would_change_what_a_row_counts_are_named(
    tmp_path, column, cells, sentence
):
    assumed = load(tmp_path, **{column: cells}).attrs["assumed"]
    assert any(text.startswith(sentence) for text in assumed)


@pytest.mark.parametrize("column", ["Probability", "p_yes", "Wahrscheinlichkeit"])
def test_a_column_that_may_say_how_sure_beside_the_confidence_is_named(
    tmp_path, column
):
    said = f"column '{column}' is not used: the confidence is 'confidence'"
    assumed = load(tmp_path, **{column: np.linspace(0, 1, N)}).attrs["assumed"]
    assert any(text.startswith(said) for text in assumed)
    assumed = load(tmp_path, **{column: "no number"}).attrs["assumed"]
    assert not any("is not used" in text for text in assumed)


def test_a_confidence_in_replies_beside_a_column_is_named(tmp_path):
    table = pd.DataFrame({"Probability": [0.55, 0.9] * 20, "gold": "yes"})
    table["output"] = ["Yes. Confidence: 80 %", "No. Confidence: 60 %"] * 20
    table.to_csv(tmp_path / "in.csv", index=False)
    answers = load_answers(tmp_path / "in.csv")
    assert answers["confidence"].tolist()[:2] == [0.55, 0.9]
    said = (
        "replies in 'output' state a confidence, which is not used: it is 'Probability'"
    )
    assert answers.attrs["assumed"][0].startswith(said)
    answers = load_answers(tmp_path / "in.csv", confidence="")
    assert answers["confidence"].tolist()[:2] == [0.8, 0.6]
    assert "column 'Probability' is not used" in "".join(answers.attrs["assumed"])


@pytest.mark.parametrize("column", ["weight", "exclude"])
def test_columns_that_change_nothing_are_not(tmp_path, column):
    assumed = load(tmp_path, **{column: 0}).attrs["assumed"]
    assert not any("is not used" in text for text in assumed)


def test_hidden_rows_of_a_sheet_are_counted(tmp_path):
    path = tmp_path / "in.xlsx"
    TABLE.to_excel(path, index=False)
    assert not any("hidden" in text for text in load_answers(path).attrs["assumed"])
    book = openpyxl.load_workbook(path)
    for row in range(5, 15):
        book.active.row_dimensions[row].hidden = True
    book.save(path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        answers = load_answers(path)
        gc.collect()
    assert not caught, "files are closed"
    assert len(answers) == N
    assert "10 hidden rows of the sheet are read, too" in answers.attrs["assumed"]


def test_a_subtotal_is_no_answer(tmp_path):
    names = [*TABLE["item_id"][:-1], "Subtotal of gpt"]
    with pytest.raises(MedcalError, match="row 40 is 'Subtotal of gpt', no answer"):
        load(tmp_path, item_id=names)


def test_each_data_set_has_its_scale(tmp_path):
    percent = np.r_[TABLE["confidence"][:20] * 100, TABLE["confidence"][20:] * 10]
    names = ["a"] * 20 + ["b"] * 20
    with pytest.raises(MedcalError, match="is the largest: percent, another scale"):
        load(tmp_path, confidence=percent, dataset=names)


@pytest.mark.parametrize(
    ("one", "other"),
    [("im1.png", "IM1.PNG"), ("im1.png", "/data/im1.png"), ("x\\im1.png", "x/im1.png"),
     ("data/im1.png", "C:\\data\\im1.png"), ("im1.png", "./im1.png")],
)  # fmt: skip
def test_images_that_differ_by_case_or_folder_alone_are_asked_about(
    tmp_path, one, other
):
    with pytest.raises(MedcalError, match=r"differ by case or folder alone \(1 such"):
        load(tmp_path, image_id=[one, other] * (N // 2))


def test_images_of_one_name_in_several_folders_are_several(tmp_path):
    names = [f"case{k}/slice.png" for k in range(N)]
    assert load(tmp_path, image_id=names)["image_id"].nunique() == N
    sets = {"dataset": ["a", "b"] * (N // 2), "image_id": ["im1", "IM1"] * (N // 2)}
    assert load(tmp_path, **sets)["image_id"].nunique() == 2


@pytest.mark.parametrize("sizes", [[2] * 20, [1, 3, 2, 4] * 4, [5, 4, 6, 5] * 2])
def test_names_that_stand_as_in_merged_cells_are_refused(tmp_path, sizes):
    names = [cell for k, n in enumerate(sizes) for cell in [f"im{k}"] + [""] * (n - 1)]
    first = names.index("") + 1
    with pytest.raises(
        MedcalError, match=f"row {first} does not name its image, .*merged"
    ):
        load(tmp_path, image_id=names)
    filled = pd.Series(names).replace("", None).ffill()
    assert load(tmp_path, image_id=filled)["image_id"].nunique() == len(sizes)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.9])
def test_an_answer_that_names_no_image_is_one_of_its_own(tmp_path, share):
    rng = np.random.default_rng(1)
    names = pd.Series([f"im{k // 2}" for k in range(N)]).mask(rng.random(N) > share)
    answers = load(tmp_path, image_id=names)
    n_unnamed = names.isna().sum()
    said = f"{n_unnamed} of 40 answers name no image: each of their questions counts"
    assert any(text.startswith(said) for text in answers.attrs["assumed"])
    assert len({*image_labels(answers)}) == names.nunique() + n_unnamed


def test_an_image_that_one_model_names_is_that_of_the_question(tmp_path):
    both = pd.concat([TABLE.assign(model="a"), TABLE.assign(model="b")])
    names = [f"im{k // 2}" for k in range(N)]
    both["image_id"] = [*names, *[""] * N]
    both.to_csv(tmp_path / "two.csv", index=False)
    answers = load_answers(tmp_path / "two.csv")
    assert answers["image_id"].tolist() == 2 * names
    assert not any("name no image" in text for text in answers.attrs["assumed"])


@pytest.mark.parametrize("kind", ["json", "jsonl"])
def test_a_key_that_stands_twice_is_refused(tmp_path, kind):
    row = json.dumps({"item_id": 1, "confidence": 0.5, "correct": 1})
    path = tmp_path / f"in.{kind}"
    path.write_text(row.replace('"correct"', '"confidence": 0.9, "correct"'), "utf-8")
    with pytest.raises(MedcalError, match="two members 'confidence'; leave one"):
        load_answers(path)


def test_a_long_reply_is_read(tmp_path):
    replies = ["x " * 70_000 + "Confidence: 80%"] + ["Confidence: 80%"] * (N - 1)
    path = tmp_path / "in.csv"
    table = TABLE.drop(columns="confidence").assign(reply=replies)
    table[["reply", "item_id", "correct"]].to_csv(path, index=False)
    assert load_answers(path)["confidence"].eq(0.8).all()


def test_a_file_that_unpacks_to_endless_rows_is_refused(tmp_path):
    path = tmp_path / "in.parquet"
    row = pd.DataFrame({"item_id": ["q"], "confidence": [0.5], "correct": [1]})
    many = row.loc[np.zeros(12_000_000, int)]
    many.to_parquet(path, index=False)
    with pytest.raises(MedcalError, match="unpacks to far more than its size"):
        load_answers(path)


def test_a_german_table_needs_no_column_named(tmp_path):
    rows = {"Frage": ["Ist eine Fraktur zu sehen?", "Welche Seite?"] * 20}
    rows |= {"Antwort": ["Ja.", "Links"] * 20, "Lösung": ["nein", "links"] * 20}
    rows |= {"Sicherheit": ["80 %", "90 %"] * 20, "Bild": "a.png"}
    pd.DataFrame(rows).to_csv(tmp_path / "antworten.csv", index=False)
    answers = load_answers(tmp_path / "antworten.csv")
    assert answers["correct"].tolist() == [False, True] * 20
    assert answers["question"].tolist() == rows["Frage"]
    assert answers.attrs["is_numbered"]
    assert "question from 'Frage'" in answers.attrs["assumed"]


def two_models(**changed):
    """Two models' answers to the same two questions about each of three images."""
    rows = [
        {"model": model, "image_id": image, "question": question, "gold": "yes"}
        for image in ("c.png", "a.png", "b.png")
        for question in ("Is it large?", "Is it round?")
        for model in ("one", "two")
    ]
    table = pd.DataFrame(rows).assign(confidence=0.8, correct=[1, 0] * 6)
    return table.assign(**changed)


def test_the_same_question_about_the_same_image_is_one_item(tmp_path):
    two_models().to_csv(tmp_path / "in.csv", index=False)
    answers = load_answers(tmp_path / "in.csv")
    assert answers.groupby("item_id")["model"].agg(set).tolist() == [{"one", "two"}] * 6
    assert any(
        "image_id and question are of one item (6 items" in one
        for one in answers.attrs["assumed"]
    )
    two_models().sample(frac=1, random_state=0).to_csv(tmp_path / "in.csv", index=False)
    again = load_answers(tmp_path / "in.csv")
    names = ["image_id", "question", "model", "item_id"]
    named, again = ({*map(tuple, of[names].values)} for of in (answers, again))
    assert named == again


@pytest.mark.parametrize(
    "changed",
    [
        {"question": "What is it?"},
        {"gold": [*"abcdefghijkl"]},
        {"image_id": ["", *"ab" * 5, "c"]},
    ],
    ids=["asked twice", "other gold answers", "an image without a name"],
)
def test_where_items_cannot_be_told_it_is_said_how(tmp_path, changed):
    two_models(**changed).to_csv(tmp_path / "in.csv", index=False)
    answers = load_answers(tmp_path / "in.csv")
    assert answers["item_id"].is_unique
    assert any(
        "-c item_id=COLUMN names the column" in one for one in answers.attrs["assumed"]
    )


def test_of_one_model_alone_no_more_is_said_of_items(tmp_path):
    two_models().query("model == 'one'").to_csv(tmp_path / "in.csv", index=False)
    assert (
        "no column of items: rows are numbered"
        in load_answers(tmp_path / "in.csv").attrs["assumed"]
    )
