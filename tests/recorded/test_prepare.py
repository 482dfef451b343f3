"""The recorded tables are made from public files: small ones of the same layout give the same."""

import gzip
import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.recorded.prepare import aneurysm_readers, vlcb, vlcb_items
from data.recorded.prepare.mmlu_pro_text import CONFIDENCES
from medcal_nb.answers.recorded import load_recorded, recorded_folder
from medcal_nb.errors import MedcalError
from medcal_nb.files import file_hash

ROOT = Path(__file__).resolve().parents[2]
QUESTIONS = json.loads(
    (Path(__file__).parent / "data" / "vlcb_questions.json").read_text()
)["questions"]


def stored(name):
    return pd.read_parquet(recorded_folder() / f"{name}.parquet")


def run(name, folder, to):
    to.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "data.recorded.prepare"]
    return subprocess.run(
        [*command, name, str(folder), "--to", str(to)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


def prepared(name, folder, to):
    done = run(name, folder, to)
    assert done.returncode == 0, done.stderr
    return pd.read_parquet(to / f"{name}.parquet")


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


# --- names of VLCB's items -----------------------------------------------------------------------


def publish_questions(folder):
    """The 30 questions in the layout of the lists that they come from."""
    gqa = {}
    lines = {}
    for question in QUESTIONS:
        text, answer = question["question"], question["answer"]
        if question["dataset"] == "POPE":
            path = f"output/coco/coco_pope_{question['category']}.json"
            image = f"{question['image_key']}.jpg"
            record = {"image": image, "text": text, "label": answer}
            lines.setdefault(path, []).append(record)
        elif question["dataset"] == "GQA":
            types = {"detailed": question["category"]}
            record = {"imageId": question["image_key"], "types": types}
            gqa[len(gqa)] = record | {"question": text, "answer": answer}
        else:
            subject, difficulty, kinds = question["category"].split("[SEP]")
            record = {
                "id": stored("vlcb_items").loc[question["item"], "image_id"],
                "question": text,
                "options": "[]",
                "explanation": "",
                "img_type": repr(kinds.split("[LSEP]")),
                "answer": answer,
                "topic_difficulty": difficulty,
                "subject": subject,
            }
            path = "mmmu-pro/output/gpt-4o_standard(10 options)_direct.jsonl"
            lines.setdefault(path, []).append(record)
    for path, records in lines.items():
        write(folder / path, "\n".join(map(json.dumps, records)))
    write(folder / "testdev_balanced_questions.json", json.dumps(gqa))


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda q: q["md5"][:6])
def test_the_public_hash_of_a_question_is_that_of_its_item(question):
    names = ["dataset", "category", "question", "answer", "image_key"]
    digits = vlcb_items.vlcb_hash(*(question[name] for name in names))
    assert digits == question["md5"]
    assert stored("vlcb_items").loc[question["item"], "hash"] == digits[:16]


def test_public_lists_name_the_items_that_they_hold(tmp_path):
    publish_questions(tmp_path)
    items = stored("vlcb_items")
    unnamed = items.assign(**dict.fromkeys(vlcb_items.NAMES))
    rows = [row for listed in vlcb_items.LISTS for row in listed(tmp_path)]
    named = vlcb_items.named(unnamed, pd.DataFrame(rows))
    held = [question["item"] for question in QUESTIONS]
    names = vlcb_items.NAMES
    pd.testing.assert_frame_equal(
        named.loc[held, names], items.loc[held, names], check_dtype=False
    )
    # nine of the ten questions of MMMU-Pro stand in both of its sets
    assert named["image_id"].notna().sum() == len(held) + 9
    # names that stand already stay: without a list the table is the one that comes with us
    prepared("vlcb_items", tmp_path / "nothing", tmp_path / "out")
    made = file_hash(tmp_path / "out" / "vlcb_items.parquet")
    assert made == file_hash(recorded_folder() / "vlcb_items.parquet")


def test_the_table_of_gmai_mmbench_gives_task_and_kind_of_image(tmp_path):
    rows = [
        ["aGVsbG8=", " What is seen? ", "cyst", "none", "node", "scar", "", "node"],
        ["Ynll", "Which?", "a b", "c", "d", "e", "f", "it is f here"],
    ]
    names = ["image", "question", *"ABCDE", "category"]
    about = {"clinical VQA task": "Diagnosis", "modality": "CT"}
    table = pd.DataFrame(rows, columns=names).assign(**about)
    table.to_csv(tmp_path / "GMAI_mm_bench_VAL.tsv", sep="\t", index=False)
    first, second = vlcb_items.gmai_mmbench(tmp_path)
    text = "What is seen?\nA) cyst\nB) none\nC) node\nD) scar"
    content = ["GMAI-MMBench", "Diagnosis", text, "C", "aGVsbG8="]
    assert first["hash"] == vlcb_items.vlcb_hash(*content)
    text = "Which?\nA) a b\nB) c\nC) d\nD) e\nE) f"
    # the first option that is in the answer's words
    content = ["GMAI-MMBench", "Diagnosis", text, "C", "Ynll"]
    assert second["hash"] != first["hash"]
    assert (second["subject"], second["image_kind"]) == ("Diagnosis", "CT")


# --- one writer a source: the layout in which its authors published it ---------------------------


def publish_vlcb(table, folder):
    for method, (confidence, labels) in vlcb.METHODS.items():
        for model, rows in table.groupby("model"):
            rows = rows.dropna(subset=[confidence, labels])
            names = {
                confidence: "confidence_score",
                labels: "ground_truth_correctness",
            }
            if method != "BICR":
                names["dataset"] = "dataset"
            if method == "PTRUE":
                names |= {"p_true_logit_no": "logit_a", "p_true_logit_yes": "logit_b"}
            part = rows[list(names)].rename(columns=names)
            part["hash_id"] = [f"{item:032x}" for item in rows["item"]]
            seed = ["seed_42"] if method == "BICR" else []
            place = folder.joinpath(
                "results/SPARROW", method, model, *seed, "VLCB_test"
            )
            place.mkdir(parents=True)
            text = json.dumps(part.to_dict("records")).encode()
            (place / "test_labels.json.gz").write_bytes(gzip.compress(text))


def test_vlcb_comes_back(tmp_path):
    table = stored("vlcb")
    few = table.drop_duplicates(["dataset", "item"]).groupby("dataset").head(30)["item"]
    # with questions of POPE that repeat each other
    pope = table.loc[table["dataset"] == "POPE", "item"].unique()[-400:]
    table = table[table["item"].isin([*few, *pope])].reset_index(drop=True)
    publish_vlcb(table, tmp_path)
    made = prepared("vlcb", tmp_path, tmp_path / "out")
    ranks = {item: rank for rank, item in enumerate(sorted(table["item"].unique()))}
    expected = table.assign(item=table["item"].map(ranks).astype("int32"))
    # a repeat counts only where the first one is there too
    assert made["repeat"].sum() > 0
    assert not (made["repeat"] & ~expected["repeat"]).any()
    labelled = expected["correct_first_labels"].notna()
    pd.testing.assert_frame_equal(
        made.drop(columns="repeat")[labelled],
        expected.drop(columns="repeat")[labelled],
        check_dtype=False,
    )


def test_text_answers_come_back_and_values_above_1_do_not(tmp_path):
    public = "category,correct_answer,extracted_answer," + ",".join(CONFIDENCES)
    rows = ["0,law,A,A,1.0,,0.5", "1,health,B,A,7.0,362880.0,0.25", "2,law,A,,0.9,,"]
    path = tmp_path / "results" / "mmlu_pro_M_eval_all_None.csv"
    write(path, "\n".join([f",{public}", *rows]))
    made = prepared("mmlu_pro_text", tmp_path, tmp_path / "out")
    assert made["correct"].fillna("none").tolist() == [True, False, "none"]
    assert made["domain"].tolist() == ["general", "medical", "general"]
    assert made["verbalized"].isna().tolist() == [False, True, False]
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    left_out = {"verbalized": 1, "linguistic": 1}
    assert manifest["mmlu_pro_text"]["left_out"] == left_out


def test_readings_come_back_with_their_halves(tmp_path):
    table = stored("viper")
    file = pd.DataFrame(
        {
            "readerID": table["reader"],
            "caseID": table["case"],
            "subStudyLabel": table["dataset"],
            "modalityID": table["modality"].map({"film": "SFM", "digital": "FFDM"}),
            "cancerStatus455": table["cancer_455"].astype(int),
            "cancerStatus365": table["cancer_365"].astype(int),
            "recall": np.where(table["recall"], 1, 2),
            "score": table["score"],
        }
    )
    text = file.sample(frac=1, random_state=0).to_csv(index=False)
    write(tmp_path / "inst/data-raw/viperObs.csv", text)
    to = tmp_path / "out"
    pd.testing.assert_frame_equal(prepared("viper", tmp_path, to), table)
    # the same rows give the same bytes, so that the manifest's hash can be checked
    assert file_hash(to / "viper.parquet") == file_hash(
        recorded_folder() / "viper.parquet"
    )
    answers = load_recorded("viper", folder=to)
    pd.testing.assert_frame_equal(answers, load_recorded("viper"))


def test_a_mark_is_true_where_the_reading_or_its_region_says_so(tmp_path):
    """Readings of one case by two readers: regions and confidences of marks, sens, FP."""
    rows = {
        "first_read/1": (8, "assisted", 10, 6, "16 or 3", 3, 1, 1),  # the senior's
        "first_read/2": (8, "assisted", 16, 10, None, None, 1, 0),
        "second_read/1": (8, "unassisted", "/", None, None, None, 0, None),
        "second_read/2": (8, "unassisted", 3, 9, 3, 8, 1, 1),
    }
    names = ["sub", "read_setting", "prediction_1", "confidence_prediction_1"]
    names += ["prediction_2", "confidence_prediction_2", "sens", "FP"]
    empty = {"prediction_3": None, "confidence_prediction_3": None}
    for place, row in rows.items():
        sheet = pd.DataFrame([row], columns=names).assign(**empty, reading_time="1m31s")
        path = tmp_path / f"READINGS/{place}.xlsx"
        path.parent.mkdir(parents=True, exist_ok=True)
        sheet.to_excel(path, index=False)
    marks = aneurysm_readers.read(tmp_path).fillna({"gold": "?"})
    # of two marks in one region one is true: which one is not known
    assert marks[["reader", "region", "gold"]].to_numpy().tolist() == [
        ["junior", "16", "aneurysm"],
        ["junior", "3", "?"],
        ["junior", "3", "?"],
        ["senior", "10", "no aneurysm"],
        ["senior", "16 3", "aneurysm"],
    ]
    readings = aneurysm_readers.read_readings(tmp_path)
    assert readings["true_positives"].tolist() == [1, 1, 1, 0]
    assert set(readings["seconds"]) == {91}


def test_a_pickle_that_runs_code_is_refused_and_leaves_nothing(tmp_path):
    class Harmful:
        def __reduce__(self):
            return (Path(tmp_path / "ran").touch, ())

    path = tmp_path / "output/m/mmbench.pkl"
    path.parent.mkdir(parents=True)
    path.write_bytes(pickle.dumps([Harmful()]))
    done = run("vlm_uncertainty_bench", tmp_path, tmp_path / "out")
    assert done.returncode != 0
    assert MedcalError.__name__ in done.stderr
    assert not (tmp_path / "ran").exists()
    assert not list((tmp_path / "out").iterdir())
