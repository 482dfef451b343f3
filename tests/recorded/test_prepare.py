"""The recorded tables are made from public files: small ones of the same layout give the same."""

import gzip
import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from data.recorded.prepare import mmlu_pro_text, vlcb
from data.recorded.prepare.vlm_uncertainty_bench import LOGITS
from medcal_nb.answers.recorded import load_recorded, recorded_folder
from medcal_nb.errors import MedcalError
from medcal_nb.files import file_hash

ROOT = Path(__file__).resolve().parents[2]


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


def some_questions(table, per_set):
    """All models' rows of some questions of each data set."""
    questions = table.drop_duplicates(["dataset", "item"])
    chosen = questions.groupby("dataset").head(per_set)
    return table[table["item"].isin(chosen["item"])].reset_index(drop=True)


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


def publish_bench(table, folder):
    for (model, dataset), rows in table.groupby(["model", "dataset"]):
        records = rows.rename(columns={"item": "id", "gold": "answer"})
        logits = records[LOGITS].to_numpy()
        records = records[["id", "answer", "category"]].to_dict("records")
        for record, row in zip(records, logits, strict=True):
            record["logits"] = row
        path = folder / "output" / model / f"{dataset}.pkl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(records))


def publish_text(table, folder):
    (folder / "results").mkdir()
    public = {ours: theirs for theirs, ours in mmlu_pro_text.CONFIDENCES.items()}
    for model, rows in table.groupby("model"):
        letters = np.where(rows["correct"], "A", "B")
        file = rows.rename(columns=public).assign(correct_answer="A")
        file["extracted_answer"] = np.where(rows["answered"], letters, None)
        names = ["category", "correct_answer", "extracted_answer", *public.values()]
        path = folder / "results" / f"mmlu_pro_{model}_eval_all_None.csv"
        file.set_index("item")[names].to_csv(path, index_label="")


# --- what comes of them --------------------------------------------------------------------------


def test_vlcb_comes_back(tmp_path):
    table = some_questions(stored("vlcb"), 30)
    # two questions of POPE that repeat each other, and two that no model was asked twice
    pope = stored("vlcb").query("dataset == 'POPE'")
    table = pd.concat([table, pope[pope["item"].isin(pope["item"].unique()[-400:])]])
    table = table.drop_duplicates(["model", "item"])
    publish_vlcb(table, tmp_path)
    made = prepared("vlcb", tmp_path, tmp_path / "out")
    expected = table.sort_values(["model", "dataset", "item"], ignore_index=True)
    ranks = {item: rank for rank, item in enumerate(sorted(expected["item"].unique()))}
    expected["item"] = expected["item"].map(ranks).astype("int32")
    # a repeat counts only where the first one is there too
    assert made["repeat"].sum() > 0
    assert not (made["repeat"] & ~expected["repeat"]).any()
    unlabelled = expected["correct_first_labels"].isna()
    pd.testing.assert_frame_equal(
        made.drop(columns="repeat")[~unlabelled],
        expected.drop(columns="repeat")[~unlabelled],
        check_dtype=False,
    )


def test_option_logits_come_back(tmp_path):
    table = some_questions(stored("vlm_uncertainty_bench"), 5)
    publish_bench(table, tmp_path)
    made = prepared("vlm_uncertainty_bench", tmp_path, tmp_path / "out")
    pd.testing.assert_frame_equal(made, table)


def test_text_answers_come_back_and_values_above_1_do_not(tmp_path):
    table = stored("mmlu_pro_text")
    table = table[table["item"] % 601 == 0].reset_index(drop=True)
    public = table.copy()
    public.loc[[0, 1, 2], "linguistic"] = [7.0, 362_880.0, np.nan]
    publish_text(public, tmp_path)
    made = prepared("mmlu_pro_text", tmp_path, tmp_path / "out")
    expected = public.assign(
        linguistic=public["linguistic"].where(public["linguistic"] <= 1)
    )
    pd.testing.assert_frame_equal(made, expected)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["mmlu_pro_text"]["left_out"] == {"linguistic": 2}


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
    (tmp_path / "inst/data-raw").mkdir(parents=True)
    file.sample(frac=1, random_state=0).to_csv(
        tmp_path / "inst/data-raw/viperObs.csv", index=False
    )
    to = tmp_path / "out"
    pd.testing.assert_frame_equal(prepared("viper", tmp_path, to), table)
    # the same rows give the same bytes, so that the manifest's hash can be checked
    recorded = recorded_folder() / "viper.parquet"
    assert file_hash(to / "viper.parquet") == file_hash(recorded)
    answers = load_recorded("viper", folder=to)
    pd.testing.assert_frame_equal(answers, load_recorded("viper"))


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


@pytest.mark.parametrize("name", ["vlcb", "vlm_uncertainty_bench", "mmlu_pro_text"])
def test_the_large_tables_are_packed_for_size(name):
    metadata = pq.read_metadata(recorded_folder() / f"{name}.parquet")
    column = metadata.row_group(0).column(0)
    assert column.compression == "ZSTD"
    assert metadata.num_rows / metadata.num_row_groups > 50_000
