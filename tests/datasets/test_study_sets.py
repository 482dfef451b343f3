"""The study's benchmarks in each form in which they are published, made of 30 real questions."""

import base64
import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medcal_nb.datasets import load_items, open_image, vlcb
from medcal_nb.errors import MedcalError
from tests.datasets.test_hub import png
from tests.item_schema import keeps_the_schema

FILE = Path(__file__).parents[1] / "recorded" / "data" / "vlcb_questions.json"
QUESTIONS = pd.DataFrame(json.loads(FILE.read_text())["questions"])
OPTIONS = [f"option {letter}" for letter in "ABCDEFGHIJ"]


def of(dataset):
    return QUESTIONS[QUESTIONS["dataset"] == dataset].to_dict("records")


def table(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


def picture(i):
    return {"bytes": png(i), "path": None}


def pope_rows():
    return [
        row | {"image_source": row["image_key"], "image": picture(i), "id": str(i)}
        for i, row in enumerate(of("POPE"))
    ]


def make_pope(folder):
    table(folder / "data" / "test-0.parquet", pope_rows())


def make_pope_full(folder):
    for setting in ("random", "popular", "adversarial"):
        rows = [row for row in pope_rows() if row["category"] == setting]
        table(folder / "Full" / f"{setting}-0.parquet", rows)


def gqa_rows(types):
    names = ("question", "answer")
    return [
        {name: row[name] for name in names}
        | {"imageId": row["image_key"], "types": types(row["category"])}
        for row in of("GQA")
    ]


def make_gqa(folder):
    rows = gqa_rows(lambda kind: {"structural": "query", "detailed": kind})
    table(folder / "testdev_balanced_instructions" / "testdev-0.parquet", rows)
    names = [row["imageId"] for row in rows]
    images = [{"id": name, "image": picture(i)} for i, name in enumerate(names)]
    table(folder / "testdev_balanced_images" / "testdev-0.parquet", images)


def make_mmmu_pro(folder, n):
    items = pd.read_parquet(vlcb.recorded_folder() / "vlcb_items.parquet")
    rows = []
    for i, row in enumerate(of(f"MMMU_Pro_{n}")):
        subject, difficulty, kinds = row["category"].split("[SEP]")
        stored = {name: row[name] for name in ("question", "answer")}
        stored |= {"id": items.loc[row["item"], "image_id"], "subject": subject}
        stored |= {"options": repr(OPTIONS[:n]), "topic_difficulty": difficulty}
        stored |= {"img_type": repr(kinds.split("[LSEP]")), "image_1": picture(i)}
        rows.append(stored | dict.fromkeys(f"image_{k}" for k in range(2, 8)))
    table(folder / f"standard ({n} options)" / "test-0.parquet", rows)


def make_mmmu_pro_10(folder):
    make_mmmu_pro(folder, 10)


def make_mmmu_pro_4(folder):
    make_mmmu_pro(folder, 4)


def gmai_rows():
    """Rows in the set's columns: a fifth option or none, words that hold an option."""
    fixed = {"clinical VQA task": "Disease Diagnosis", "department": "Eye"}
    options = {"A": "glaucoma", "B": "normal", "C": "cataract", "D": "myopia"}
    rows = []
    for i, (fifth, words) in enumerate((("None", "Normal"), ("drusen", "the drusen"))):
        image = base64.b64encode(png(i)).decode()
        row = {"index": i, "image": image, "question": f"Which is it, {i}?"}
        row |= options | {"E": fifth, "category": words, "answer": "BE"[i]}
        rows.append(row | fixed | {"modality": "Fundus Photography"})
    return rows


def make_gmai_mmbench(folder, rows=None, name="GMAI_mm_bench_VAL.tsv"):
    folder.mkdir(exist_ok=True)
    pd.DataFrame(rows or gmai_rows()).to_csv(folder / name, sep="\t", index=False)


FORMS = {name.removeprefix("make_"): make for name, make in globals().items()
         if name.startswith("make_") and name != "make_mmmu_pro"}  # fmt: skip
SETS = {"pope": "POPE", "gqa": "GQA", "mmmu_pro_10": "MMMU_Pro_10"}
SETS |= {"mmmu_pro_4": "MMMU_Pro_4"}


@pytest.fixture
def numbers_of_gmai(monkeypatch):
    """Let the questions of the miniature be VLCB's first ones: its own need the real images."""
    known = vlcb._known_items()
    first = known.index[known["dataset"] == "GMAI-MMBench"][:2]
    for row, stored in zip(first, gmai_rows(), strict=True):
        known.loc[row, "hash"] = vlcb.gmai_hash(stored)[: vlcb.DIGITS]
    monkeypatch.setattr(vlcb, "_known_items", lambda: known)
    return known.loc[first, "item"].astype(str).tolist()


@pytest.fixture(scope="module")
def once(five):
    """A row of each question that the five were asked."""
    once = five[five["strategy"] == "p_true"]
    return once.drop_duplicates(["dataset", "item_id"])


@pytest.mark.parametrize("form", [form for form in FORMS if "gmai" not in form])
def test_an_answer_finds_its_five(form, once, tmp_path):
    FORMS[form](tmp_path / "copy")
    name = next(name for name in SETS if form.startswith(name))
    items = load_items(f"{name.replace('_', '-')}:{tmp_path / 'copy'}")
    keeps_the_schema(items)
    expected = pd.DataFrame(of(SETS[name]))
    assert set(items["split"]) == {"test"}
    both = items.merge(once, on=["dataset", "item_id"], suffixes=("", "_five"))
    assert len(both) == len(items) == len(expected)
    if name != "pope":  # whose question may have a lower number in another setting
        assert items["item_id"].tolist() == expected["item"].astype(str).tolist()
    for column in ("domain", "image_id", "image_set"):
        assert both[column].tolist() == both[f"{column}_five"].tolist(), column
    golds = expected["answer"].tolist()
    if "mmmu" in name:
        golds = [f"option {letter}" for letter in golds]
        assert (items["n_images"] == 1).all()
    assert items["gold"].tolist() == golds
    assert all(open_image(image).size == (9, 8) for image in items["image"])


# as the authors and as VLMEvalKit call it
@pytest.mark.parametrize("name", ["GMAI_mm_bench_VAL.tsv", "GMAI-MMBench_VAL.tsv"])
def test_images_in_cells_become_files_where_they_are_asked(
    name, tmp_path, numbers_of_gmai
):
    make_gmai_mmbench(tmp_path / "copy", name=name)
    items = load_items(f"gmai-mmbench:{tmp_path / 'copy'}")
    keeps_the_schema(items)
    assert items["item_id"].tolist() == numbers_of_gmai
    assert items["gold"].tolist() == ["normal", "drusen"]
    assert items["options"].map(len).tolist() == [4, 5]
    assert set(items["modality"]) == {"fundus photography"}
    assert items["subject"].tolist() == ["Disease Diagnosis"] * 2
    shown = [Path(image).read_bytes() for image in items["image"]]
    assert shown == [png(0), png(1)]
    for image in items["image"]:
        Path(image).unlink()
    (one,) = load_items(f"gmai-mmbench:{tmp_path / 'copy'}", n=1)["image"]
    assert [str(path) for path in (tmp_path / "hf").rglob("*.png")] == [one]


def test_a_question_of_several_settings_is_asked_once_under_its_lowest_number():
    known = vlcb._known_items()
    of_pope = known[known["dataset"] == "POPE"].sort_values("item")
    thrice = of_pope.groupby("question_id").filter(lambda rows: len(rows) == 3)
    first, *others = thrice.loc[
        thrice["question_id"] == thrice["question_id"].iloc[0], "item"
    ]
    hashes = known.set_index("item")["hash"]
    asked = pd.DataFrame({"item_id": [*"abc"], "image_id": "x"})
    asked["hashes"] = [[hashes[number]] for number in others] + [["0" * 16]]
    numbered, left_out = vlcb.numbered(asked)
    assert numbered["item_id"].tolist() == [str(first)]
    reasons = {"asks what another row asks": 1, "not among the items of VLCB": 1}
    assert left_out == reasons


DAMAGED = {
    "cut off": (lambda text: text[: text.rindex("\t")], "ValueError: a row is cut off"),
    "no base64": (lambda text: text.replace("iVBOR", "iVB*R"), "no rows of GMAI"),
    "other columns": (lambda text: text.replace("category", "words", 1), "another form"),
    "an open quote": (lambda text: text + '"', r"can't be read \(Error: unexpected end"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGED)
def test_what_is_damaged_is_refused_in_a_line(damage, tmp_path, numbers_of_gmai):
    make_gmai_mmbench(tmp_path)
    path = tmp_path / "GMAI_mm_bench_VAL.tsv"
    harm, says = DAMAGED[damage]
    path.write_text(harm(path.read_text()))
    with pytest.raises(MedcalError, match=says) as refused:
        load_items(f"gmai-mmbench:{tmp_path}")
    assert "\n" not in str(refused.value)


def test_a_letter_that_its_words_deny_is_left_out(tmp_path, numbers_of_gmai):
    rows = gmai_rows()
    rows[0]["answer"] = "C"
    make_gmai_mmbench(tmp_path, rows)
    items = load_items(f"gmai-mmbench:{tmp_path}")
    reason = "its letter and its words are different answers"
    assert items.attrs["left_out"] == {reason: 1}
    assert len(items) == 1


def test_a_copy_without_its_images_is_refused(tmp_path):
    make_gqa(tmp_path)
    (tmp_path / "testdev_balanced_images" / "testdev-0.parquet").unlink()
    with pytest.raises(MedcalError, match=r"the images of \d+ questions are not there"):
        load_items(f"gqa:{tmp_path}")


def test_other_questions_than_the_studys_are_refused(tmp_path):
    rows = pope_rows()
    for row in rows:
        row["question"] += "?"
    table(tmp_path / "data" / "test-0.parquet", rows)
    with pytest.raises(MedcalError, match="no rows of POPE"):
        load_items(f"pope:{tmp_path}")
