"""Public sets as item tables, on tiny copies in the schema of the real ones."""

import csv
import io
import json
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from medcal_nb.datasets import hub, load_items, open_image
from medcal_nb.datasets.hub import HUB_SETS, _split_options
from medcal_nb.errors import MedcalError
from tests.item_schema import keeps_the_schema

REVISION = "0123456789abcdef0123456789abcdef01234567"


def png(number):
    """Return a small image that differs from all others."""
    pixels = np.random.default_rng(number).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def parquet(path, image=(), **columns):
    """Write rows as a hub repository does: images as bytes, features in the metadata."""
    import datasets

    if image:
        columns["image"] = [
            None if i is None else {"bytes": png(i), "path": None} for i in image
        ]
    table = datasets.Dataset.from_dict(columns)
    if image:
        table = table.cast_column("image", datasets.Image())
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_parquet(path)


def zipped(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def table(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


# fmt: off


def make_vqa_rad(folder):
    questions = ["Is this a CT?", "Where is the mass?", "is there free air?", "What?"]
    parquet(folder / "data" / "train-0.parquet", [0, 0, 1, 2], question=questions,
            answer=["yes", "Left  kidney", "No", ""])
    parquet(folder / "data" / "test-0.parquet", [0, 3],
            question=["Is the liver normal?", "What modality is shown?"],
            answer=["Yes", "MR - flair"])


def make_vqa_rad_original(folder):
    names = ("qid", "phrase_type", "image_name", "image_organ", "question", "answer", "answer_type")
    rows = [
        (0, "freeform", "s0.jpg", "CHEST", "Is there a pneumothorax?", "No", "CLOSED"),
        (1, "test_para", "s0.jpg", "CHEST", "Which side?", "Left", "CLOSED"),
        (2, "para", "s1.jpg", "HEAD", "Is this a T2 weighted image?", "Yes", "CLOSED"),
        (3, "freeform", "s1.jpg", "HEAD", "How many lesions?", 2, "OPEN"),
        (4, "test_freeform", "s4.jpg", "ABD", "What organ?", "liver", "OPEN "),
    ]
    (folder / "images").mkdir(parents=True)
    for row in rows:
        (folder / "images" / row[2]).write_bytes(png(row[0]))
    rows = [dict(zip(names, row, strict=True)) for row in rows]
    (folder / "VQA_RAD Dataset Public.json").write_text(json.dumps(rows))


def make_slake(folder, pack=True):
    folder.mkdir(parents=True, exist_ok=True)
    images = {}
    for split, numbers in {"train": (0, 1), "validation": (2,), "test": (0, 3)}.items():
        rows = []
        for i in numbers:
            images[f"imgs/xmlab{i}/source.jpg"] = png(i)
            for language, question, answer in (
                ("en", "What modality is used?", "MRI"),
                ("en", "Does the picture contain liver?", "Yes"),
                ("zh", "图中有肝脏吗？", "有"),
            ):
                rows.append({
                    "img_id": i, "img_name": f"xmlab{i}/source.jpg", "question": question,
                    "answer": answer, "q_lang": language, "location": "Abdomen",
                    "modality": ["MRI", "CT", "X-Ray", "CT"][i], "answer_type": "OPEN",
                    "content_type": "Modality", "qid": len(rows) + 10 * i,
                })
        (folder / f"{split}.json").write_text(json.dumps(rows, ensure_ascii=False))
    if pack:
        return zipped(folder / "imgs.zip", images)
    for name, data in images.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def make_path_vqa(folder):
    for k, split in enumerate(("train", "validation", "test")):
        parquet(folder / "data" / f"{split}-0.parquet", [k, k, 7],
                question=["what is present?", "is it necrotic?", "where?"],
                answer=["gastrointestinal", "no", "in the canals"])


def make_omnimedvqa(folder):
    chest = [{"question_id": f"Chest_{i}", "question": "What type is this?", "gt_answer": gold,
              "dataset": "Chest CT Scan", "image_path": f"Images/Chest CT/{i}.png",
              "option_A": "MRI", "option_B": "CT", "option_C": "PET", "option_D": "X-ray",
              "question_type": "Modality Recognition",
              ("modality" if i == 0 else "modality_type"): "CT(Computed Tomography)"}
             for i, gold in enumerate(["CT", "CT.", "Barium study"])]
    eyes = [{"question_id": f"ACRIMA_{i}", "question": "Is it glaucoma?", "gt_answer": "No",
             "dataset": "ACRIMA", "image_path": f"Images/ACRIMA/Im{i}.png", "option_A": "Yes",
             "option_B": "No", "question_type": "Disease Diagnosis",
             "modality_type": "Fundus Photography"}
            for i in range(40)]
    files = {}
    for name, rows in {"Chest CT Scan": chest, "ACRIMA": eyes}.items():
        place = f"OmniMedVQA/QA_information/Open-access/{name}.json"
        files[place] = json.dumps(rows)
        # one file is not there
        files |= {f"OmniMedVQA/{row['image_path']}": png(i) for i, row in enumerate(rows) if i < 39}
    zipped(folder / "OmniMedVQA.zip", files)


def make_pmc_vqa(folder):
    head = ("index", "Figure_path", "Caption", "Question", "Choice A", "Choice B", "Choice C",
            "Choice D", "Answer", "split")
    images = {}
    for k, split in enumerate(("train", "test")):
        names = [f"PMC{k}{i}_Fig1_1.jpg" for i in range(3)]
        images |= {f"figures/{name}": png(10 * k + i) for i, name in enumerate(names)}
        table(folder / f"{split}_2.csv", head, *(
            (i, name, "A caption, with a comma", "Which stain, then?", " A:H&E", " B:PAS",
             "C: Gram", "D:None of them", "ABX"[i], split) for i, name in enumerate(names)))
    zipped(folder / "images_2.zip", images)


def make_pmc_vqa_1(folder):
    head = ("Figure_path", "Question", "Answer", "Choice A", "Choice B", "Choice C", "Choice D",
            "Answer_label")
    (folder / "images").mkdir(parents=True)
    for k, name in enumerate(("train.csv", "test_clean.csv")):
        table(folder / name, head, (f"PMC{k}_F1.jpg", "What is the uptake pattern?", "Focal uptake",
              "A:Diffuse uptake", "B:Focal uptake", "C:No uptake", "D:Cannot tell", "B"))
        (folder / "images" / f"PMC{k}_F1.jpg").write_bytes(png(k))


def make_a_okvqa(folder):
    for k, split in enumerate(("train", "validation", "test")):
        parquet(folder / "data" / f"{split}-0.parquet", [k, k + 10],
                question_id=[f"q{k}a", f"q{k}b"], question=["What is it?", "Who is it?"],
                choices=[["cab", "delivery", "mail", "bus"], ["a", "b", "c", "d"]],
                correct_choice_idx=[None, None] if split == "test" else [3, 0])


def make_science_qa(folder):
    for k, split in enumerate(("train", "validation", "test")):
        parquet(folder / "data" / f"{split}-0.parquet", [k, None],
                question=["Which is colder?", "Which word?"], answer=[1, 2],
                choices=[["sample A", "sample B"], ["ray", "rye", "rag"]],
                hint=["The diagram shows two samples.", ""], category=["Particle motion"] * 2,
                subject=["natural science", "language science"])


def make_vqa_v2(folder, n=30):
    said = [["net"] * 6 + ["netting"] * 3 + ["mesh"], ["yes"] * 9 + ["no"], [*"0123456789"]]
    parquet(folder / "data" / "validation-0.parquet", [i // 3 for i in range(n)],
            multiple_choice_answer=["net", "yes", "3"] * (n // 3),
            answers=[[{"answer": a, "answer_id": j} for j, a in enumerate(s)] for s in said]
            * (n // 3),
            image_id=[262148 + i // 3 for i in range(n)],
            answer_type=["other", "yes/no", "number"] * (n // 3),
            question_id=[262148000 + i for i in range(n)],
            question=["What is behind him?", "Is the sky blue?", "How many?"] * (n // 3))


def make_mmstar(folder, n=24):
    text = "Which option fits?\nOptions: A: a dog, B: a cat, small, C: Two cats, D: none"
    parquet(folder / "mmstar.parquet", [*range(n)], index=list(range(n)),
            question=[text] * (n - 1) + ["Is there no option?"],
            answer=["A", "B", "C", "D"] * (n // 4), category=["coarse perception"] * n,
            l2_category=["image scene"] * n, meta_info=[{"source": "MMBench", "split": "val"}] * n)


# fmt: on


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))


@pytest.fixture
def load(tmp_path):
    """Make a set in a folder and load it."""

    def made(name, make=None, **how):
        folder = tmp_path / name
        if not folder.exists():
            (make or globals()[f"make_{name.replace('-', '_')}"])(folder)
        return load_items(f"{name}:{folder}", **how)

    return made


@pytest.mark.parametrize("name", HUB_SETS)
def test_a_copy_on_disk_keeps_the_schema(name, load):
    items = load(name)
    keeps_the_schema(items)
    assert set(items["dataset"]) == {name}
    assert set(items["domain"]) == {HUB_SETS[name]["domain"]}
    is_unknown = items["modality"].eq("unknown")
    assert is_unknown.equals(items["modality_source"].eq("missing"))
    assert set(items["split"]) == {"fit", "test"}
    for image in items["image"]:
        assert open_image(image).size == (9, 8)
    tested = items.loc[items["split"] == "test", "item_id"]
    some = load(name, split="test", n=2, seed=5)
    assert len(some) == min(2, len(tested))
    assert set(some["item_id"]) <= set(tested)


def test_a_set_in_the_hub_cache_is_read_offline(load, tmp_path, monkeypatch):
    from huggingface_hub import constants

    cache = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    home = cache / ("datasets--" + HUB_SETS["omnimedvqa"]["repo"].replace("/", "--"))
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text(REVISION)
    make_omnimedvqa(home / "snapshots" / REVISION)
    cached, copied = load_items("omnimedvqa"), load("omnimedvqa")
    assert cached.drop(columns="image").equals(copied.drop(columns="image"))
    with pytest.raises(MedcalError, match=r"BoKelvin/SLAKE: can't be.*connect once"):
        load_items("slake")


def test_vqa_rad(load):
    items = load("vqa-rad")
    assert list(items["gold"]) == ["yes", "Left kidney", "no", "yes", "MR - flair"]
    kinds = ["closed", "open", "closed", "closed", "open"]
    assert list(items["question_type"]) == kinds
    # image 0 is in the test split: all its questions are
    assert list(items["split"]) == ["test", "test", "fit", "test", "test"]
    assert list(items["official_split"]) == ["train"] * 3 + ["test"] * 2
    assert set(items["modality_source"]) == {"missing"}  # the hub's states no organ
    assert items["image_id"].nunique() == 3
    assert items.attrs["left_out"] == {"no gold answer": 1}


def test_vqa_rad_as_published(load):
    items = load("vqa-rad", make_vqa_rad_original).set_index("item_id")
    assert list(items["modality"]) == ["x-ray"] * 2 + ["unknown"] * 2 + ["ct"]
    assert list(items["split"]) == ["test", "test", "fit", "fit", "test"]
    assert items.loc["qid-3", "gold"] == "2"
    # closed to its authors, yet no yes or no
    assert items.loc["qid-1", "question_type"] == "open"
    assert items.loc["qid-0", "options"] == ["yes", "no"]


@pytest.mark.parametrize("pack", [True, False])
def test_slake(load, tmp_path, pack):
    items = load("slake", lambda folder: make_slake(folder, pack))
    assert len(items) == 2 * 5  # English only
    by_image = items.groupby("image_id")["split"].first()
    assert by_image["xmlab0/source.jpg"] == "test"  # in train and test
    assert by_image["xmlab1/source.jpg"] == by_image["xmlab2/source.jpg"] == "fit"
    assert set(items["modality"]) == {"mri", "ct", "x-ray"}
    assert all((str(tmp_path / "hf") in path) == pack for path in items["image"])


def test_omnimedvqa(load):
    items = load("omnimedvqa")
    left_out = {"gold answer is none of the options": 1, "image file not found": 1}
    assert items.attrs["left_out"] == left_out
    assert set(items["modality"]) == {"ct", "fundus"}
    chest = items[items["source"] == "Chest CT Scan"]
    assert list(chest["gold"]) == ["CT", "CT"]  # "CT." is the option "CT"
    assert chest["options"].iloc[0] == ["MRI", "CT", "PET", "X-ray"]
    # no split of its own: assigned by a hash of the image, whatever is drawn
    assert 0.2 < (items["split"] == "test").mean() < 0.8
    drawn = load("omnimedvqa", n=9, seed=1).set_index("item_id")["split"]
    assert drawn.equals(items.set_index("item_id")["split"][drawn.index])


def test_pmc_vqa(load, tmp_path):
    items = load("pmc-vqa")
    assert items.attrs["left_out"] == {"gold answer is none of the options": 2}
    assert list(items["gold"]) == ["H&E", "PAS"] * 2
    assert items["options"].iloc[0] == ["H&E", "PAS", "Gram", "None of them"]
    assert list(items["split"]) == ["fit", "fit", "test", "test"]
    make_pmc_vqa_1(tmp_path / "first version")
    items = load_items(f"pmc-vqa:{tmp_path / 'first version'}")
    assert list(items["gold"]) == ["Focal uptake"] * 2
    assert list(items["split"]) == ["fit", "test"]


def test_sets_of_photos(load):
    items = load("a-okvqa")  # its test split has no answers
    assert list(items["item_id"]) == ["q0a", "q0b", "q1a", "q1b"]
    assert list(items["gold"]) == ["bus", "a"] * 2
    assert set(items["modality"]) == {"photo"}
    items = load("science-qa")  # questions with an image
    assert items.attrs["left_out"] == {"no image": 3}
    assert list(items["gold"]) == ["sample B"] * 3
    assert items["question"][0] == "The diagram shows two samples. Which is colder?"
    items = load("vqa-v2").drop_duplicates("category").set_index("category")
    assert items.loc["other", "gold"] == ["net", "netting"]  # said by three or more
    assert items.loc["number", "gold"] == ["3"]  # nobody agreed: the most common
    assert items.loc["yes/no", "gold"] == "yes"
    items = load("mmstar")
    assert list(items["gold"][:4]) == ["a dog", "a cat, small", "Two cats", "none"]
    assert items["question"][0] == "Which option fits?"
    assert items.attrs["left_out"] == {"no list of options in the question": 1}


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("Q?\nOptions: A: x, B: y", ["x", "y"]),
        ("Q?\nOptions: A: 1.5, B: B: odd, C: 3.", ["1.5", "B: odd", "3"]),
        ("Q?\nOptions:\nA. left\nB. right\n", ["left", "right"]),
        ("Q? Options: (A) one (B) two", ["one", "two"]),
    ],
)
def test_options_inside_the_question(text, options):
    assert _split_options(text) == ("Q?", options)


def test_faults_say_what_to_do(tmp_path):
    with pytest.raises(MedcalError, match="is no folder; give"):
        load_items(f"slake:{tmp_path / 'nowhere'}")
    with pytest.raises(MedcalError, match=r"no rows of VQA-RAD.* is it laid out"):
        load_items(f"vqa-rad:{tmp_path}")
    other = r"row 0 has another form \({}.*; is it VQA-RAD\?"
    for content, says in (
        ("[{", r"vqa-rad.json: can't be read \(JSONDecodeError"),
        ('{"a": 1}', other.format("AttributeError")),
        ('[{"qid": 1}]', other.format("KeyError: 'image'")),
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
    data = (tmp_path / "imgs.zip").read_bytes()
    (tmp_path / "imgs.zip").write_bytes(data[: len(data) // 2])
    with pytest.raises(MedcalError, match=r"imgs.zip: can't be read \(BadZipFile"):
        load_items(f"slake:{tmp_path}")
    (tmp_path / "imgs.zip").unlink()
    with pytest.raises(MedcalError, match="none of its image files"):
        load_items(f"slake:{tmp_path}")


def test_a_set_that_means_ill_reads_no_other_file_and_fills_no_disk(
    tmp_path, monkeypatch
):
    (tmp_path / "mine.png").write_bytes(png(1))
    elsewhere = {"bytes": None, "path": str(tmp_path / "mine.png")}
    (tmp_path / "a" / "data").mkdir(parents=True)
    rows = {"question": ["Is it?"] * 2, "answer": ["yes"] * 2}
    rows["image"] = [elsewhere, {"bytes": png(2), "path": None}]
    pq.write_table(pa.table(rows), tmp_path / "a" / "data" / "train-0.parquet")
    items = load_items(f"path-vqa:{tmp_path / 'a'}")
    assert items["image"].tolist() == [png(2)]
    assert items.attrs["left_out"] == {"no image": 1}
    make_slake(tmp_path / "b")
    monkeypatch.setattr(hub, "_LARGEST", 100)
    with pytest.raises(MedcalError, match=r"imgs.zip: imgs/.*jpg unpacks to \d+"):
        load_items(f"slake:{tmp_path / 'b'}")
    assert not list((tmp_path / "hf").rglob("*.jpg"))


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
