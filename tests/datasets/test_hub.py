"""Public sets as item tables, on tiny copies in the schema of the real ones."""

import csv
import io
import json
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image

from medcal_nb.datasets import hub, load_items, open_image
from medcal_nb.datasets.hub import HUB_SETS, _modality, _split_options
from medcal_nb.errors import MedcalError
from tests.item_schema import keeps_the_schema

REVISION = "0123456789abcdef0123456789abcdef01234567"


def png(number):
    """Return a small image that differs from all others."""
    pixels = np.random.default_rng(number).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def parquet(path, columns, image=None):
    """Write rows as a hub repository does: images as bytes, features in the metadata."""
    import datasets

    table = datasets.Dataset.from_dict(columns)
    if image:
        table = table.cast_column(image, datasets.Image())
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_parquet(path)


def stored(*numbers):
    return [None if i is None else {"bytes": png(i), "path": None} for i in numbers]


# --- tiny copies ---------------------------------------------------------------------------------


def make_vqa_rad(folder):
    parquet(
        folder / "data" / "train-00000-of-00001.parquet",
        {
            "image": stored(0, 0, 1, 2),
            "question": [
                "Is this a CT?",
                "Where is the mass?",
                "is there free air?",
                "What?",
            ],
            "answer": ["yes", "Left  kidney", "No", ""],
        },
        "image",
    )
    parquet(
        folder / "data" / "test-00000-of-00001.parquet",
        {
            "image": stored(0, 3),
            "question": ["Is the liver normal?", "What modality is shown?"],
            "answer": ["Yes", "MR - flair"],
        },
        "image",
    )


def make_vqa_rad_original(folder):
    (folder / "images").mkdir(parents=True)
    rows = []
    for i, (organ, kind, question, answer, answer_type) in enumerate(
        [
            ("CHEST", "freeform", "Is there a pneumothorax?", "No", "CLOSED"),
            ("CHEST", "test_para", "Which side?", "Left", "CLOSED"),
            ("HEAD", "para", "Is this a T2 weighted image?", "Yes", "CLOSED"),
            ("HEAD", "freeform", "How many lesions?", 2, "OPEN"),
            ("ABD", "test_freeform", "What organ?", "liver", "OPEN "),
            ("HEAD", "freeform", "Is this a CT scan?", "no", "CLOSED"),
        ]
    ):
        name = f"synpic{i // 2 if i < 4 else i}.jpg"
        rows.append(
            {
                "qid": i, "phrase_type": kind, "image_name": name, "image_organ": organ,
                "question": question, "question_type": "PRES", "answer": answer,
                "answer_type": answer_type,
            }
        )  # fmt: skip
        (folder / "images" / name).write_bytes(png(i))
    (folder / "VQA_RAD Dataset Public.json").write_text(json.dumps(rows))


def make_slake(folder, *, zipped=True):
    folder.mkdir(parents=True, exist_ok=True)
    images = {}
    for split, names in {"train": (0, 1), "validation": (2,), "test": (0, 3)}.items():
        rows = []
        for i in names:
            images[f"imgs/xmlab{i}/source.jpg"] = png(i)
            for language, question, answer in (
                ("en", "What modality is used?", "MRI"),
                ("en", "Does the picture contain liver?", "Yes"),
                ("zh", "图中有肝脏吗？", "有"),
            ):
                rows.append(
                    {
                        "img_id": i, "img_name": f"xmlab{i}/source.jpg", "question": question,
                        "answer": answer, "q_lang": language, "location": "Abdomen",
                        "modality": ["MRI", "CT", "X-Ray", "CT"][i], "answer_type": "OPEN",
                        "base_type": "vqa", "content_type": "Modality",
                        "triple": ["vhead", "_", "_"], "qid": len(rows) + 10 * i,
                    }
                )  # fmt: skip
        (folder / f"{split}.json").write_text(json.dumps(rows, ensure_ascii=False))
    if zipped:
        with zipfile.ZipFile(folder / "imgs.zip", "w") as archive:
            for name, data in images.items():
                archive.writestr(name, data)
    else:
        for name, data in images.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)


def make_path_vqa(folder):
    for k, split in enumerate(("train", "validation", "test")):
        parquet(
            folder / "data" / f"{split}-00000-of-00001.parquet",
            {
                "image": stored(k, k, 7),
                "question": ["what is present?", "is it necrotic?", "where?"],
                "answer": ["gastrointestinal", "no", "in the canals"],
            },
            "image",
        )


def make_omnimedvqa(folder):
    folder.mkdir(parents=True, exist_ok=True)
    chest = [
        {
            "dataset": "Chest CT Scan", "question_id": f"Chest CT Scan_{i:04d}",
            "question_type": "Modality Recognition", "question": "What type is this?",
            "gt_answer": gold, "image_path": f"Images/Chest CT Scan/test/{i}.png",
            "option_A": "MRI", "option_B": "CT", "option_C": "PET", "option_D": "X-ray",
            ("modality" if i == 0 else "modality_type"): "CT(Computed Tomography)",
        }
        for i, gold in enumerate(["CT", "CT.", "Barium study"])
    ]  # fmt: skip
    eyes = [
        {
            "dataset": "ACRIMA", "question_id": f"ACRIMA_{i:04d}",
            "question_type": "Disease Diagnosis", "question": "Is it glaucoma?",
            "gt_answer": "No", "image_path": f"Images/ACRIMA/Im{i}.png", "option_A": "Yes",
            "option_B": "No", "modality_type": "Fundus Photography",
        }
        for i in range(40)
    ]  # fmt: skip
    with zipfile.ZipFile(folder / "OmniMedVQA.zip", "w") as archive:
        for name, rows in {"Chest CT Scan": chest, "ACRIMA": eyes}.items():
            archive.writestr(
                f"OmniMedVQA/QA_information/Open-access/{name}.json", json.dumps(rows)
            )
            for i, row in enumerate(rows):
                if i != 39:  # one file is not there
                    archive.writestr("OmniMedVQA/" + row["image_path"], png(i))


def make_pmc_vqa(folder):
    folder.mkdir(parents=True, exist_ok=True)
    head = ["index", "Figure_path", "Caption", "Question", "Choice A", "Choice B", "Choice C",
            "Choice D", "Answer", "split"]  # fmt: skip
    for k, split in enumerate(("train", "test")):
        with (folder / f"{split}_2.csv").open("w", newline="") as file:
            out = csv.writer(file)
            out.writerow(head)
            for i in range(3):
                out.writerow(
                    [i, f"PMC{k}{i}_Fig1_1.jpg", "A caption, with a comma", "Which stain, then?",
                     " A:H&E", " B:PAS", "C: Gram", "D:None of them", "ABX"[i], split]
                )  # fmt: skip
    with zipfile.ZipFile(folder / "images_2.zip", "w") as archive:
        for k in range(2):
            for i in range(3):
                archive.writestr(f"figures/PMC{k}{i}_Fig1_1.jpg", png(10 * k + i))


def make_pmc_vqa_1(folder):
    (folder / "images").mkdir(parents=True)
    head = ["Figure_path", "Question", "Answer", "Choice A", "Choice B", "Choice C", "Choice D",
            "Answer_label"]  # fmt: skip
    for k, name in enumerate(("train.csv", "test_clean.csv")):
        with (folder / name).open("w", newline="") as file:
            out = csv.writer(file)
            out.writerow(head)
            out.writerow([f"PMC{k}_F1.jpg", "What is the uptake pattern?", "Focal uptake",
                          "A:Diffuse uptake", "B:Focal uptake", "C:No uptake", "D:Cannot tell",
                          "B"])  # fmt: skip
        (folder / "images" / f"PMC{k}_F1.jpg").write_bytes(png(k))


def make_a_okvqa(folder):
    for k, split in enumerate(("train", "validation", "test")):
        parquet(
            folder / "data" / f"{split}-00000-of-00001-abc.parquet",
            {
                "image": stored(k, k + 10),
                "question_id": [f"q{k}a", f"q{k}b"],
                "question": ["What is it?", "Who is it?"],
                "choices": [["cab", "delivery", "mail", "bus"], ["a", "b", "c", "d"]],
                "correct_choice_idx": [None, None] if split == "test" else [3, 0],
                "direct_answers": ["['bus']", "['a']"],
                "difficult_direct_answer": [False, True],
                "rationales": [["long"], ["short"]],
            },
            "image",
        )


def make_science_qa(folder):
    for k, split in enumerate(("train", "validation", "test")):
        parquet(
            folder / "data" / f"{split}-00000-of-00001-abc.parquet",
            {
                "image": stored(k, None),
                "question": ["Which is colder?", "Which word?"],
                "choices": [["sample A", "sample B"], ["ray", "rye", "rag"]],
                "answer": [1, 2],
                "hint": ["The diagram shows two samples.", ""],
                "task": ["closed choice"] * 2,
                "grade": ["grade8"] * 2,
                "subject": ["natural science", "language science"],
                "topic": ["physics", "reference-skills"],
                "category": ["Particle motion"] * 2,
                "skill": ["Identify"] * 2,
                "lecture": [""] * 2,
                "solution": [""] * 2,
            },
            "image",
        )


def make_vqa_v2(folder, n=30):
    nobody = [str(i) for i in range(10)]
    said = [["net"] * 6 + ["netting"] * 3 + ["mesh"], ["yes"] * 9 + ["no"], nobody]
    parquet(
        folder / "data" / "validation-00000-of-00068.parquet",
        {
            "question_type": ["what is", "is the", "how many"] * (n // 3),
            "multiple_choice_answer": ["net", "yes", "3"] * (n // 3),
            "answers": [
                [
                    {"answer": a, "answer_confidence": "yes", "answer_id": j}
                    for j, a in enumerate(s)
                ]
                for s in said
            ]
            * (n // 3),
            "image_id": [262148 + i // 3 for i in range(n)],
            "answer_type": ["other", "yes/no", "number"] * (n // 3),
            "question_id": [262148000 + i for i in range(n)],
            "question": ["What is behind him?", "Is the sky blue?", "How many?"]
            * (n // 3),
            "image": stored(*(i // 3 for i in range(n))),
        },
        "image",
    )


def make_mmstar(folder, n=24):
    text = (
        "Which option fits?\nOptions: A: a dog, B: a cat, small, C: Two cats, D: none"
    )
    parquet(
        folder / "mmstar.parquet",
        {
            "index": list(range(n)),
            "question": [text] * (n - 1) + ["Is there no option?"],
            "image": stored(*range(n)),
            "answer": ["A", "B", "C", "D"] * (n // 4),
            "category": ["coarse perception"] * n,
            "l2_category": ["image scene"] * n,
            "meta_info": [{"source": "MMBench", "split": "val", "image_path": "x.jpg"}]
            * n,
        },
        "image",
    )


MAKERS = {
    "vqa-rad": make_vqa_rad,
    "slake": make_slake,
    "path-vqa": make_path_vqa,
    "omnimedvqa": make_omnimedvqa,
    "pmc-vqa": make_pmc_vqa,
    "a-okvqa": make_a_okvqa,
    "science-qa": make_science_qa,
    "vqa-v2": make_vqa_v2,
    "mmstar": make_mmstar,
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))


@pytest.fixture
def in_hub_cache(tmp_path, monkeypatch):
    """Lay a set out in a local hub cache and go offline; returns a function that does so."""
    from huggingface_hub import constants

    cache = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))

    def place(name):
        home = cache / ("datasets--" + HUB_SETS[name]["repo"].replace("/", "--"))
        (home / "refs").mkdir(parents=True)
        (home / "refs" / "main").write_text(REVISION)
        MAKERS[name](home / "snapshots" / REVISION)

    return place


# --- every set -----------------------------------------------------------------------------------


def test_every_set_has_a_tiny_copy():
    assert set(MAKERS) == set(HUB_SETS)


@pytest.mark.parametrize("name", MAKERS)
def test_a_copy_on_disk_keeps_the_schema(name, tmp_path):
    MAKERS[name](tmp_path / "set")
    items = load_items(f"{name}:{tmp_path / 'set'}")
    keeps_the_schema(items)
    assert set(items["dataset"]) == {name}
    assert set(items["domain"]) == {HUB_SETS[name]["domain"]}
    assert set(items["modality_source"]) <= {"stated", "rule", "missing"}
    assert (
        items["modality"].eq("unknown") == items["modality_source"].eq("missing")
    ).all()
    assert set(items["split"]) == {"fit", "test"}
    for image in items["image"]:
        assert open_image(image).size == (9, 8)
    again = load_items(f"{name}:{tmp_path / 'set'}")
    assert again.drop(columns="image").equals(items.drop(columns="image"))
    some = load_items(f"{name}:{tmp_path / 'set'}", split="test", n=2, seed=5)
    assert len(some) == min(2, (items["split"] == "test").sum())
    assert set(some["item_id"]) <= set(items.loc[items["split"] == "test", "item_id"])


@pytest.mark.parametrize("name", ["slake", "omnimedvqa", "mmstar"])
def test_a_set_in_the_hub_cache_is_read_offline(name, tmp_path, in_hub_cache):
    MAKERS[name](tmp_path / "set")
    in_hub_cache(name)
    drop = ["image"]
    assert (
        load_items(name)
        .drop(columns=drop)
        .equals(load_items(f"{name}:{tmp_path / 'set'}").drop(columns=drop))
    )


def test_offline_in_a_process_of_its_own(tmp_path):
    home = tmp_path / "hf" / "hub" / "datasets--Lin-Chen--MMStar"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text(REVISION)
    make_mmstar(home / "snapshots" / REVISION)
    code = "from medcal_nb.datasets import load_items; print(len(load_items('mmstar', n=7)))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.stdout.split() == ["7"], done.stderr[-800:]


def test_what_is_not_in_the_cache_is_told_offline(in_hub_cache):
    in_hub_cache("mmstar")
    with pytest.raises(MedcalError, match=r"BoKelvin/SLAKE: can't be.*connect once"):
        load_items("slake")


# --- each set's own ------------------------------------------------------------------------------


def test_vqa_rad_from_the_hub(tmp_path):
    make_vqa_rad(tmp_path)
    items = load_items(f"vqa-rad:{tmp_path}").set_index("item_id")
    assert list(items["gold"]) == ["yes", "Left kidney", "no", "yes", "MR - flair"]
    assert list(items["question_type"]) == [
        "closed",
        "open",
        "closed",
        "closed",
        "open",
    ]
    # image 0 is in the test split: all its questions are
    assert list(items["split"]) == ["test", "test", "fit", "test", "test"]
    assert list(items["official_split"]) == ["train"] * 3 + ["test"] * 2
    assert set(items["modality_source"]) == {
        "missing"
    }  # the hub's copy states no organ
    assert items["image_id"].nunique() == 3
    assert load_items(f"vqa-rad:{tmp_path}").attrs["left_out"] == {"no gold answer": 1}


def test_vqa_rad_as_published(tmp_path):
    make_vqa_rad_original(tmp_path)
    items = load_items(f"vqa-rad:{tmp_path}").set_index("item_id")
    assert list(items["modality"]) == [
        "x-ray",
        "x-ray",
        "unknown",
        "unknown",
        "ct",
        "unknown",
    ]
    assert list(items["modality_source"]) == ["rule"] * 2 + ["missing"] * 2 + [
        "rule",
        "missing",
    ]
    assert list(items["split"]) == ["test", "test", "fit", "fit", "test", "fit"]
    assert items.loc["qid-3", "gold"] == "2"
    assert (
        items.loc["qid-1", "question_type"] == "open"
    )  # closed to its authors, yet no yes or no
    assert list(items["answer_type"])[4].strip() == "OPEN"
    assert items.loc["qid-0", "options"] == ["yes", "no"]


@pytest.mark.parametrize("zipped", [True, False])
def test_slake(tmp_path, zipped):
    make_slake(tmp_path, zipped=zipped)
    assert load_items(f"slake:{tmp_path}", split="test", n=1)["split"].tolist() == [
        "test"
    ]
    items = load_items(f"slake:{tmp_path}")
    assert len(items) == 2 * 5  # English only
    by_image = items.groupby("image_id")["split"].first()
    assert by_image["xmlab0/source.jpg"] == "test"  # in train and test
    assert by_image["xmlab1/source.jpg"] == by_image["xmlab2/source.jpg"] == "fit"
    assert set(items["modality"]) == {"mri", "ct", "x-ray"}
    assert set(items["modality_source"]) == {"stated"}
    if zipped:
        assert all(str(tmp_path / "hf") in path for path in items["image"])


def test_path_vqa(tmp_path):
    make_path_vqa(tmp_path)
    items = load_items(f"path-vqa:{tmp_path}")
    assert set(items["modality"]) == {"pathology"}
    assert set(items["modality_source"]) == {"rule"}
    shared = items[items["image_id"] == items["image_id"].iloc[2]]
    assert len(shared) == 3  # image 7 stands in all three splits, so it is test
    assert set(shared["split"]) == {"test"}
    assert shared["image"].iloc[0] is shared["image"].iloc[1]


def test_omnimedvqa(tmp_path):
    make_omnimedvqa(tmp_path)
    items = load_items(f"omnimedvqa:{tmp_path}")
    assert items.attrs["left_out"] == {
        "gold answer is none of the options": 1,
        "image file not found": 1,
    }
    assert set(items["modality"]) == {"ct", "fundus"}
    chest = items[items["source"] == "Chest CT Scan"]
    assert list(chest["gold"]) == ["CT", "CT"]  # "CT." is the option "CT"
    assert chest["options"].iloc[0] == ["MRI", "CT", "PET", "X-ray"]
    eyes = items[items["source"] == "ACRIMA"]
    assert eyes["options"].iloc[0] == ["Yes", "No"]
    # no split of its own: assigned by a hash of the image, whatever is drawn
    assert 0.2 < (items["split"] == "test").mean() < 0.8
    drawn = load_items(f"omnimedvqa:{tmp_path}", n=9, seed=1).set_index("item_id")[
        "split"
    ]
    assert drawn.equals(items.set_index("item_id")["split"][drawn.index])


def test_pmc_vqa(tmp_path):
    make_pmc_vqa(tmp_path)
    items = load_items(f"pmc-vqa:{tmp_path}")
    assert items.attrs["left_out"] == {"gold answer is none of the options": 2}
    assert list(items["gold"]) == ["H&E", "PAS"] * 2
    assert items["options"].iloc[0] == ["H&E", "PAS", "Gram", "None of them"]
    assert list(items["split"]) == ["fit", "fit", "test", "test"]
    assert set(items["modality"]) == {"unknown"}


def test_pmc_vqa_first_version(tmp_path):
    make_pmc_vqa_1(tmp_path)
    items = load_items(f"pmc-vqa:{tmp_path}")
    assert list(items["gold"]) == ["Focal uptake"] * 2
    assert list(items["split"]) == ["fit", "test"]


def test_a_okvqa_leaves_out_the_test_split_without_answers(tmp_path):
    make_a_okvqa(tmp_path)
    items = load_items(f"a-okvqa:{tmp_path}")
    assert list(items["item_id"]) == ["q0a", "q0b", "q1a", "q1b"]
    assert list(items["gold"]) == ["bus", "a"] * 2
    assert list(items["split"]) == ["fit", "fit", "test", "test"]
    assert set(items["modality"]) == {"photo"}


def test_science_qa_keeps_questions_with_an_image(tmp_path):
    make_science_qa(tmp_path)
    items = load_items(f"science-qa:{tmp_path}")
    assert items.attrs["left_out"] == {"no image": 3}
    assert list(items["gold"]) == ["sample B"] * 3
    assert (
        items["question"].iloc[0] == "The diagram shows two samples. Which is colder?"
    )
    assert list(items["split"]) == ["fit", "fit", "test"]


def test_vqa_v2(tmp_path):
    make_vqa_v2(tmp_path)
    items = load_items(f"vqa-v2:{tmp_path}")
    by_type = {k: g for k, g in items.groupby("category")}
    assert by_type["other"]["gold"].iloc[0] == [
        "net",
        "netting",
    ]  # said by three or more
    assert by_type["number"]["gold"].iloc[0] == ["3"]  # nobody agreed: the most common
    assert by_type["yes/no"]["gold"].iloc[0] == "yes"
    assert set(by_type["yes/no"]["question_type"]) == {"closed"}


def test_mmstar(tmp_path):
    make_mmstar(tmp_path)
    items = load_items(f"mmstar:{tmp_path}")
    assert list(items["gold"][:4]) == ["a dog", "a cat, small", "Two cats", "none"]
    assert items["question"].iloc[0] == "Which option fits?"
    assert load_items(f"mmstar:{tmp_path}").attrs["left_out"] == {
        "no list of options in the question": 1
    }


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


@pytest.mark.parametrize(
    ("stated", "ours"),
    [
        ("CT(Computed Tomography)", "ct"),
        ("MR (Mag-netic Resonance Imaging)", "mri"),
        ("X-Ray", "x-ray"),
        ("x_ray.", "x-ray"),
        ("OCT (Optical Coherence Tomography", "oct"),
        ("ultrasound", "ultrasound"),
        ("Fundus Photography", "fundus"),
        ("Dermoscopy", "dermoscopy"),
        ("Microscopy Images", "pathology"),
        ("Digital Photography", "photo"),
        ("Infrared Reflectance Imaging", "infrared reflectance"),
        ("Endoscopy", "endoscopy"),
        ("Colposcopy", "colposcopy"),
        ("Thermography", "thermography"),
        ("", "unknown"),
    ],
)
def test_names_of_modalities(stated, ours):
    assert _modality(stated)["modality"] == ours


# --- what goes wrong -----------------------------------------------------------------------------


def test_faults_say_what_to_do(tmp_path):
    with pytest.raises(MedcalError, match="is no folder; give"):
        load_items(f"slake:{tmp_path / 'nowhere'}")
    for name, title in (("vqa-rad", "VQA-RAD"), ("omnimedvqa", "OmniMedVQA")):
        with pytest.raises(
            MedcalError, match=rf"no rows of {title}.* found; is it laid out"
        ):
            load_items(f"{name}:{tmp_path}")
    (tmp_path / "vqa-rad.json").write_text("[{")
    with pytest.raises(
        MedcalError, match=r"vqa-rad.json: can't be read \(JSONDecodeError"
    ):
        load_items(f"vqa-rad:{tmp_path}")


def test_a_split_without_items_is_an_empty_table(tmp_path):
    make_slake(tmp_path, zipped=False)
    for name in ("train.json", "validation.json"):
        (tmp_path / name).unlink()
    assert load_items(f"slake:{tmp_path}", split="fit").empty
    assert set(load_items(f"slake:{tmp_path}")["split"]) == {"test"}


def test_a_set_that_lies_there_twice_is_told(tmp_path):
    make_slake(tmp_path)
    rows = (tmp_path / "test.json").read_text()
    (tmp_path / "test.json").write_text(json.dumps(json.loads(rows) * 2))
    with pytest.raises(MedcalError, match="rows share an id; is"):
        load_items(f"slake:{tmp_path}")


def test_missing_images_and_columns_are_named(tmp_path):
    make_slake(tmp_path / "a", zipped=False)
    for path in (tmp_path / "a" / "imgs").rglob("*.jpg"):
        path.unlink()
    with pytest.raises(MedcalError, match="none of its image files"):
        load_items(f"slake:{tmp_path / 'a'}")
    parquet(
        tmp_path / "b" / "mmstar.parquet", {"image": stored(1), "text": ["?"]}, "image"
    )
    with pytest.raises(
        MedcalError, match=r"row 0 has another form \(KeyError: 'index'\); is it MMS"
    ):
        load_items(f"mmstar:{tmp_path / 'b'}")


def test_a_damaged_archive_and_a_hostile_name(tmp_path):
    make_slake(tmp_path)
    data = (tmp_path / "imgs.zip").read_bytes()
    (tmp_path / "imgs.zip").write_bytes(data[: len(data) // 2])
    with pytest.raises(MedcalError, match=r"imgs.zip: can't be read \(BadZipFile"):
        load_items(f"slake:{tmp_path}")
    make_vqa_rad_original(tmp_path / "b")
    path = tmp_path / "b" / "VQA_RAD Dataset Public.json"
    path.write_text(path.read_text().replace("synpic0.jpg", "../../etc/passwd"))
    with pytest.raises(MedcalError, match="is no path inside"):
        load_items(f"vqa-rad:{tmp_path / 'b'}")


def test_a_set_that_means_ill_reads_no_other_file_and_fills_no_disk(
    tmp_path, monkeypatch
):
    (tmp_path / "mine.png").write_bytes(png(1))
    elsewhere = {"bytes": None, "path": str(tmp_path / "mine.png")}
    columns = {"question": ["Is it a cyst?"] * 2, "answer": ["yes"] * 2}
    columns["image"] = [elsewhere, {"bytes": png(2), "path": None}]
    parquet(tmp_path / "a" / "data" / "train-0.parquet", columns)
    items = load_items(f"path-vqa:{tmp_path / 'a'}")
    assert items["image"].tolist() == [png(2)]
    assert items.attrs["left_out"] == {"no image": 1}
    make_slake(tmp_path / "b")
    monkeypatch.setattr(hub, "_LARGEST", 100)
    with pytest.raises(
        MedcalError, match=r"imgs.zip: imgs/xmlab0/source.jpg unpacks to \d+"
    ):
        load_items(f"slake:{tmp_path / 'b'}")
    assert not list((tmp_path / "hf").rglob("*.jpg"))


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ({"a": 1}, r"row 0 has another form \(AttributeError.*; is it VQA-RAD\?"),
        ([5], r"row 0 has another form \(AttributeError.*; is it VQA-RAD\?"),
        (
            [{"qid": 1, "image_name": 5, "question": "?", "answer": "no"}],
            "image files is there",
        ),
        (
            [{"qid": 1, "image_name": "a", "question": {}, "answer": []}],
            "image files is there",
        ),
        (
            [{"qid": 1}],
            r"row 0 has another form \(KeyError: 'image'\); is it VQA-RAD\?",
        ),
    ],
)
def test_rows_of_another_form_are_told(tmp_path, rows, says):
    (tmp_path / "vqa-rad.json").write_text(json.dumps(rows))
    with pytest.raises(MedcalError, match=says):
        load_items(f"vqa-rad:{tmp_path}")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ConnectionError("refused"), "refused"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (ValueError("odd\nsecond line"), r"can't be read \(ValueError: odd\)"),
    ],
)
def test_errors_of_the_hub_become_one_line(monkeypatch, error, says):
    def fails(**_):
        raise error

    monkeypatch.setattr("huggingface_hub.snapshot_download", fails)
    with pytest.raises(
        MedcalError, match=f"{says}.*; connect once.*gated.*hf auth login"
    ) as told:
        load_items("slake")
    assert str(told.value).startswith("BoKelvin/SLAKE: ")
    assert "\n" not in str(told.value)


# --- the real thing ------------------------------------------------------------------------------


@pytest.mark.real
def test_vqa_rad_on_the_real_files(real_dir):
    folder = real_dir / "vqa_rad"
    items = load_items(f"vqa-rad:{folder}")
    keeps_the_schema(items)
    assert len(items) == 2248
    assert (items["official_split"] == "test").sum() == 451
    # 315 image files, of which one is never asked about
    assert len(list((folder / "images").glob("*.jpg"))) == 315
    assert items["image_id"].nunique() == 314
    assert (items["answer_type"] == "CLOSED").sum() == 1299
    assert (items["question_type"] == "closed").sum() == 1193
    images = items.drop_duplicates("image_id")
    # the paper counts 104 head, 107 chest and 104 abdominal images
    assert images["organ"].value_counts().to_dict() == {
        "chest": 107,
        "abd": 104,
        "head": 103,
    }
    assert (images["modality"] == "x-ray").sum() == 107
    assert set(images.loc[images["organ"] == "head", "modality"]) == {"unknown"}
    for image in images["image"]:
        assert min(open_image(image).size) > 100
