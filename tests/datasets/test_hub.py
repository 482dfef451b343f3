"""Public sets as item tables, on tiny copies in the schema of the real ones."""

import io

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


def make_path_vqa(folder):
    for k, split in enumerate(SPLITS):
        parquet(folder, split, [k, k, 7], answer=["gastrointestinal", "no", "in the canals"],
                question=["what is present?", "is it necrotic?", "where?"])


# of each copy: gold answers, splits where the set has a test split, modalities, rows left out
EXPECTED = {
    # image 0 is in the test split: all its questions are; no modality is stated
    "vqa-rad": (["yes", "Left kidney", "no", "yes", "MR - flair"], "ttftt", {"unknown"},
                {"no gold answer": 1}),
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
        return load_items(f"{name}:{folder}", **how)

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
    assert medical == set(EXPECTED)
    items = load("vqa-rad")
    assert items["options"].iloc[0] == ["yes", "no"]
    kinds = items["question_type"].tolist()
    assert kinds == ["closed", "open", "closed", "closed", "open"]
    assert items["image_id"].nunique() == 3


def test_a_set_in_the_hub_cache_is_read_offline(load, tmp_path, monkeypatch):
    from huggingface_hub import constants

    cache = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    home = cache / ("datasets--" + HUB_SETS["path-vqa"]["repo"].replace("/", "--"))
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text(REVISION)
    make_path_vqa(home / "snapshots" / REVISION)
    assert load_items("path-vqa").equals(load("path-vqa"))
    with pytest.raises(MedcalError, match=r"vqa-rad: can't be.*connect once"):
        load_items("vqa-rad")


def test_faults_say_what_to_do(tmp_path):
    with pytest.raises(MedcalError, match="is no folder; give"):
        load_items(f"vqa-rad:{tmp_path / 'nowhere'}")
    with pytest.raises(MedcalError, match=r"no rows of VQA-RAD.* is it laid out"):
        load_items(f"vqa-rad:{tmp_path}")
    parquet(tmp_path, "train", [1], question=["Is it?"])
    says = r"row 0 has another form \(KeyError: 'answer'\); is it VQA-RAD\?"
    with pytest.raises(MedcalError, match=says):
        load_items(f"vqa-rad:{tmp_path}")
    path = tmp_path / "data" / "train-0.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(MedcalError, match=r"train-0.parquet: can't be read \(Arrow"):
        load_items(f"vqa-rad:{tmp_path}")


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
    says = r"can't be read \(ValueError: odd second line\).*; connect once.*gated.*hf auth login"
    with pytest.raises(MedcalError, match=says) as refused:
        load_items("vqa-rad")
    assert str(refused.value).startswith("flaviagiammarino/vqa-rad: ")
    assert "\n" not in str(refused.value)
