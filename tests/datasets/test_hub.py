"""Public sets as item tables, on tiny copies in the schema of the real ones."""

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from medcal_nb.datasets import load_items, open_image
from medcal_nb.datasets.hub import HUB_SETS
from medcal_nb.errors import MedcalError
from tests.item_schema import keeps_the_schema

REVISION = "0123456789abcdef0123456789abcdef01234567"


def png(number):
    """Return a small image that differs from all others."""
    pixels = np.random.default_rng(number).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def parquet(folder, split, image, **columns):
    """Write a split as a hub repository keeps it: of an image its bytes, no path."""
    image = [None if i is None else {"bytes": png(i), "path": None} for i in image]
    (folder / "data").mkdir(parents=True, exist_ok=True)
    table = pa.table({"image": image, **columns})
    pq.write_table(table, folder / "data" / f"{split}-0.parquet")


# fmt: off


SPLITS = ("train", "validation", "test")


def make_vqa_rad(folder):
    questions = ["Is this a CT?", "Where is the mass?", "is there free air?", "What?"]
    parquet(folder, "train", [0, 0, 1, 2], question=questions,
            answer=["yes", "Left  kidney", "No", ""])
    parquet(folder, "test", [0, 3], question=["Is the liver normal?", "What modality is shown?"],
            answer=["Yes", "MR - flair"])


def make_vqa_rad_original(folder):
    names = ("qid", "phrase_type", "image_name", "image_organ", "question", "answer")
    rows = [
        (0, "freeform", "s0.jpg", "CHEST", "Is there a pneumothorax?", "No"),
        (1, "test_para", "s0.jpg", "CHEST", "Which side?", "Left"),
        (2, "para", "s1.jpg", "HEAD", "Is this a T2 weighted image?", "Yes"),
        (3, "freeform", "s1.jpg", "HEAD", "How many lesions?", 2),
        (4, "test_freeform", "s4.jpg", "ABD", "What organ?", "liver"),
    ]
    (folder / "images").mkdir(parents=True)
    for row in rows:
        (folder / "images" / row[2]).write_bytes(png(row[0]))
    rows = [dict(zip(names, row, strict=True)) for row in rows]
    (folder / "VQA_RAD Dataset Public.json").write_text(json.dumps(rows))


def make_slake(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for split, numbers in zip(SPLITS, ((0, 1), (2,), (0, 3)), strict=True):
        rows = [
            {"img_name": f"xmlab{i}/source.jpg", "question": question, "answer": answer,
             "q_lang": language, "modality": ["MRI", "CT", "X-Ray", "CT"][i], "qid": 10 * i + k}
            for i in numbers
            for k, (language, question, answer) in enumerate((
                ("en", "What modality is used?", "MRI"),
                ("en", "Does the picture contain liver?", "Yes"),
                ("zh", "图中有肝脏吗？", "有"),
            ))
        ]
        (folder / f"{split}.json").write_text(json.dumps(rows, ensure_ascii=False))
    for i in range(4):
        image = folder / "imgs" / f"xmlab{i}" / "source.jpg"
        image.parent.mkdir(parents=True, exist_ok=True)
        image.write_bytes(png(i))


def make_path_vqa(folder):
    for k, split in enumerate(SPLITS):
        parquet(folder, split, [k, k, 7], answer=["gastrointestinal", "no", "in the canals"],
                question=["what is present?", "is it necrotic?", "where?"])


# of each copy: gold answers, splits where the set has a test split, modalities, rows left out
EXPECTED = {
    # image 0 is in the test split: all its questions are; the hub's copy states no organ
    "vqa-rad": (["yes", "Left kidney", "no", "yes", "MR - flair"], "ttftt", {"unknown"},
                {"no gold answer": 1}),
    # a number, and an answer that is closed to the authors alone
    "vqa-rad-original": (["no", "Left", "yes", "2", "liver"], "ttfft",
                         {"x-ray", "unknown", "ct"}, {}),
    # English only; image 0 is in train and test
    "slake": (["MRI", "yes"] * 5, "ttfffftttt", {"mri", "ct", "x-ray"}, {}),
    "path-vqa": (["gastrointestinal", "no", "in the canals"] * 3, "fftfftttt",
                 {"pathology"}, {}),
}


# fmt: on


@pytest.fixture
def load(tmp_path):
    """Make a set in a folder and load it."""

    def made(name, **how):
        folder = tmp_path / name
        if not folder.exists():
            globals()[f"make_{name.replace('-', '_')}"](folder)
        return load_items(f"{name.removesuffix('-original')}:{folder}", **how)

    return made


@pytest.mark.parametrize("name", EXPECTED)
def test_a_copy_on_disk(name, load):
    items = load(name)
    keeps_the_schema(items)
    golds, splits, modalities, left_out = EXPECTED[name]
    assert items["gold"].tolist() == golds
    assert splits == "".join(split[0] for split in items["split"])
    assert set(items["modality"]) == modalities
    assert items.attrs["left_out"] == left_out
    is_unknown = items["modality"].eq("unknown")
    assert is_unknown.equals(items["modality_source"].eq("missing"))
    (dataset,) = set(items["dataset"])
    assert set(items["domain"]) == {HUB_SETS[dataset]["domain"]}
    for image in items["image"]:
        assert open_image(image).size == (9, 8)
    split = items.set_index("item_id")["split"]
    some = load(name, split="test", n=2, seed=5).set_index("item_id")["split"]
    assert len(some) == min(2, (split == "test").sum())
    assert some.equals(split[some.index])


def test_every_set_has_a_copy_and_asks_what_its_rows_ask(load):
    medical = {name for name, spec in HUB_SETS.items() if "questions" not in spec}
    assert medical == {name.removesuffix("-original") for name in EXPECTED}
    first = {name: load(name).iloc[0] for name in EXPECTED}
    assert first["vqa-rad-original"]["item_id"] == "qid-0"
    assert first["vqa-rad-original"]["official_split"] == "train"
    assert first["vqa-rad"]["options"] == ["yes", "no"]
    kinds = load("vqa-rad")["question_type"].tolist()
    assert kinds == ["closed", "open", "closed", "closed", "open"]
    assert load("vqa-rad")["image_id"].nunique() == 3


def test_a_set_in_the_hub_cache_is_read_offline(load, tmp_path, monkeypatch):
    from huggingface_hub import constants

    cache = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    home = cache / ("datasets--" + HUB_SETS["slake"]["repo"].replace("/", "--"))
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text(REVISION)
    make_slake(home / "snapshots" / REVISION)
    cached, copied = load_items("slake"), load("slake")
    assert cached.drop(columns="image").equals(copied.drop(columns="image"))
    with pytest.raises(MedcalError, match=r"vqa-rad: can't be.*connect once"):
        load_items("vqa-rad")


def test_faults_say_what_to_do(tmp_path):
    with pytest.raises(MedcalError, match="is no folder; give"):
        load_items(f"slake:{tmp_path / 'nowhere'}")
    with pytest.raises(MedcalError, match=r"no rows of VQA-RAD.* is it laid out"):
        load_items(f"vqa-rad:{tmp_path}")
    other = r"row 0 has another form \({}.*; is it VQA-RAD\?"
    for content, says in (
        ("[{", r"vqa-rad.json: can't be read \(JSONDecodeError"),
        ('{"a": 1}', other.format("AttributeError")),
        ('[{"qid": 1}]', other.format("KeyError: 'question'")),
        ('[{"qid": 1, "image_name": 5, "question": "?", "answer": "no"}]', "image files is"),
        ('[{"qid": 1, "image_name": "../../etc/passwd", "question": "?", "answer": "no"}]',
         "is no path inside"),
    ):  # fmt: skip
        (tmp_path / "vqa-rad.json").write_text(content)
        with pytest.raises(MedcalError, match=says):
            load_items(f"vqa-rad:{tmp_path}")


def test_a_copy_that_is_not_whole_or_there_twice_is_told(tmp_path):
    make_slake(tmp_path)
    (tmp_path / "validation.json").unlink()
    assert len(load_items(f"slake:{tmp_path}")) == 8
    rows = (tmp_path / "test.json").read_text()
    (tmp_path / "test.json").write_text(json.dumps(json.loads(rows) * 2))
    with pytest.raises(MedcalError, match="rows share an id; is"):
        load_items(f"slake:{tmp_path}")
    (tmp_path / "test.json").write_text(rows)
    (tmp_path / "imgs").rename(tmp_path / "packed")
    with pytest.raises(
        MedcalError, match=r"none of its image files.* a folder imgs:.*zip"
    ):
        load_items(f"slake:{tmp_path}")


def test_a_set_that_means_ill_reads_no_other_file(tmp_path):
    (tmp_path / "mine.png").write_bytes(png(1))
    elsewhere = {"bytes": None, "path": str(tmp_path / "mine.png")}
    rows = {"question": ["Is it?"] * 2, "answer": ["yes"] * 2}
    rows["image"] = [elsewhere, {"bytes": png(2), "path": None}]
    (tmp_path / "a" / "data").mkdir(parents=True)
    pq.write_table(pa.table(rows), tmp_path / "a" / "data" / "train-0.parquet")
    items = load_items(f"path-vqa:{tmp_path / 'a'}")
    assert items["image"].tolist() == [png(2)]
    assert items.attrs["left_out"] == {"no image": 1}


def test_errors_of_the_hub_become_one_line(monkeypatch):
    def fails(**_):
        raise ValueError("odd\nsecond line")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fails)
    says = r"can't be read \(ValueError: odd\).*; connect once.*gated.*hf auth login"
    with pytest.raises(MedcalError, match=says) as refused:
        load_items("slake")
    assert str(refused.value).startswith("BoKelvin/SLAKE: ")
    assert "\n" not in str(refused.value)


@pytest.mark.real
def test_vqa_rad_on_the_real_files(real_dir):
    folder = real_dir / "vqa_rad"
    items = load_items(f"vqa-rad:{folder}")
    keeps_the_schema(items)
    assert len(items) == 2248
    assert (items["official_split"] == "test").sum() == 451
    assert items["image_id"].nunique() == 314  # of 315 one is never asked about
    assert (items["answer_type"] == "CLOSED").sum() == 1299
    assert (items["question_type"] == "closed").sum() == 1193
    images = items.drop_duplicates("image_id")
    # the paper counts 104 head, 107 chest and 104 abdominal images
    organs = images["organ"].value_counts().to_dict()
    assert organs == {"chest": 107, "abd": 104, "head": 103}
    assert (images["modality"] == "x-ray").sum() == 107
    for image in images["image"]:
        assert min(open_image(image).size) > 100
