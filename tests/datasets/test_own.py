"""A table of one's own images and questions: what is read, and what is refused."""

import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medcal_nb.datasets import iter_items, load_items
from medcal_nb.errors import MedcalError
from tests.ask.tiny import noise_png
from tests.item_schema import keeps_the_schema

QUESTIONS = [
    ("a.png", "Is there a mass?", None, "Yes"),
    ("a.png", "Which organ?", ["left lung", "heart"], "heart"),
    ("sub/b.png", "What colour is it?", None, "red"),
    ("sub/b.png", "Is it new?", ["Yes", "No"], "no"),
]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sub").mkdir()
    for seed, name in enumerate(("a.png", "sub/b.png")):
        (tmp_path / name).write_bytes(noise_png(seed))
    (tmp_path / "notes.png").write_text("no image")
    return tmp_path


def table(**columns):
    rows = pd.DataFrame(QUESTIONS, columns=["image", "question", "options", "gold"])
    return rows.assign(**columns)


def csv(folder, rows, **how):
    path = folder / "mine.csv"
    rows.to_csv(path, index=False, **how)
    return str(path)


def what_is_asked(items):
    return [(one.question_type, one.options, one.gold) for one in iter_items(items)]


def test_every_kind_of_file_asks_the_same(folder):
    rows = table(site="here")
    as_text = rows.assign(
        options=rows["options"].map(json.dumps, na_action="ignore"),
        n_slices=[1, 2, 3, 4],
    )
    as_text.to_excel(folder / "mine.xlsx", index=False)
    rows.to_json(folder / "mine.jsonl", orient="records", lines=True)
    data = [(folder / name).read_bytes() for name in rows["image"]]
    cells = [{"bytes": one, "path": None} for one in data]
    arrow = pa.table({name: rows[name].tolist() for name in rows} | {"image": cells})
    pq.write_table(arrow, folder / "mine.parquet")
    first = load_items(csv(folder, as_text, sep=";"))
    keeps_the_schema(first)
    assert what_is_asked(first) == [
        ("closed", ("yes", "no"), "yes"),
        ("choice", ("left lung", "heart"), "heart"),
        ("open", None, "red"),
        ("closed", ("yes", "no"), "no"),
    ]
    assert first["dataset"].unique().tolist() == ["mine"]
    assert first["n_slices"].tolist() == ["1", "2", "3", "4"]
    for name in ("mine.xlsx", "mine.jsonl", "mine.parquet"):
        items = load_items(str(folder / name))
        assert what_is_asked(items) == what_is_asked(first)
        for column in ("item_id", "image_id"):
            assert items[column].tolist() == first[column].tolist()
    assert items["image"].tolist() == data  # bytes of a Parquet file are the image


@pytest.mark.parametrize(
    "options",
    [
        {"options": ["A) left lung B) heart", None, None, None]},
        {"choices": ['{"B": "heart", "A": "left lung"}', None, None, None]},
        {"A": ["left lung"] + [None] * 3, "B": ["heart"] + [None] * 3},
        {"options": ["['left lung', 'heart']", None, None, None]},
    ],
)
@pytest.mark.parametrize("gold", ["B", "heart", "(b) heart"])
def test_options_and_their_letters_come_in_any_form(folder, options, gold):
    golds = [gold, "red", "no", "yes"]
    rows = table(**options, gold=golds).drop(columns={"options"} - {*options})
    items = load_items(csv(folder, rows))
    asked = dict(zip(items["question"], what_is_asked(items), strict=True))
    kind, shown, right = asked["Is there a mass?"]
    assert (kind, sorted(shown), right) == ("choice", ["heart", "left lung"], "heart")
    assert [kind for kind, *_ in asked.values()] == [
        "choice",
        "open",
        "closed",
        "closed",
    ]


def test_an_id_is_what_is_asked_so_that_a_row_more_or_another_order_changes_none(
    folder,
):
    rows = table(options=None, gold="yes")
    items = load_items(csv(folder, rows))
    again = load_items(
        csv(folder, pd.concat([rows[::-1], rows[:1].assign(question="?!")]))
    )
    assert items["image_id"].nunique() == 2
    assert {*items["item_id"]} < {*again["item_id"]}
    named = rows.assign(case=[1, 2, 3, 4], img_id=["x", "x", "y", "y"])
    items = load_items(csv(folder, named), n=2)
    assert {*items["item_id"]} < {"1", "2", "3", "4"}
    assert {*items["image_id"]} <= {"x", "y"}


def test_columns_go_by_many_names_and_are_named_where_they_do_not(folder):
    rows = table(options=None).rename(columns={"image": "Datei", "question": "Frage"})
    path = csv(folder, rows.rename(columns={"gold": "Antwort", "Datei": "Bilddatei"}))
    items = load_items(path)
    assert items["question"].tolist() == [one[1] for one in QUESTIONS]
    assert "gold from 'Antwort'" in items.attrs["assumed"][0]
    path = csv(folder, rows)
    with pytest.raises(MedcalError, match=r"mine.csv: no column 'image'; name it by"):
        load_items(path)
    with pytest.raises(MedcalError, match=r"no column 'Datie', .*did you mean 'Datei'"):
        load_items(path, columns={"image": "Datie"})
    items = load_items(path, columns={"image": "Datei", "gold": ""})
    assert items["gold"].tolist() == [""] * 4
    assert "4 of 4 questions have no gold answer" in " ".join(items.attrs["assumed"])
    with pytest.raises(MedcalError, match="pocketvqa-general: says itself"):
        load_items("pocketvqa-general", columns={"image": "x"})


FAULTS = [
    (
        {"image": ["a.png", "gone.png", "a.png", "a.png"]},
        "row 2, column 'image'.*is missing",
    ),
    (
        {"image": ["a.png", "a.png", "notes.png", "a.png"]},
        "row 3, column 'image'.*no image",
    ),
    ({"image": ["https://a.org/a.png"] + ["a.png"] * 3}, "row 1, .*is an address"),
    ({"image": ["a.png", None, "a.png", "a.png"]}, "row 2, column 'image'.*is missing"),
    ({"question": ["a", "b", " ", "c"]}, "row 3, column 'question'.*is empty"),
    ({"question": "Is it?", "gold": "yes"}, "row 2, column 'question'.*asked twice"),
    ({"options": "lung | heart"}, "row 1, column 'gold': value 'Yes' is not one of"),
    ({"options": "heart", "gold": "heart"}, "row 1, column 'options'.*no options"),
    (
        {"options": "heart | heart", "gold": "heart"},
        "row 1, column 'options'.*two different options",
    ),
    (
        {"options": '["heart"]', "gold": "heart"},
        "row 1, column 'options'.*two different options",
    ),
    ({"image_id": "p1"}, "row 1, column 'image_id': value 'p1' names several images"),
    ({"item_id": ["1", "2", "2", "3"]}, "row 3, column 'item_id'.*another row, too"),
    ({"split": ["fit", "train", "fit", "fit"]}, "row 2, column 'split'.*is no split"),
    ({"prompt": "x"}, None),
    ({"img_path": "a.png"}, None),
]


@pytest.mark.parametrize(("columns", "says"), FAULTS)
def test_what_does_not_belong_there_is_refused_by_its_row(folder, columns, says):
    path = csv(folder, table(options=None).assign(**columns))
    if says is None:  # a column of our own name counts before others
        assert len(load_items(path)) == 4
        return
    with pytest.raises(MedcalError, match=f"mine.csv: {says}"):
        load_items(path)


def test_a_column_of_answers_is_not_taken_for_one_of_questions(folder):
    items = load_items(csv(folder, table(options=None, confidence=0.9, site="x")))
    assert "confidence" not in items
    assert items["site"].tolist() == ["x"] * 4
    assert "left out, as answers have columns of these names: 'confidence'" in str(
        items.attrs
    )
