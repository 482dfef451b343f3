"""The recorded tables are made from public files: small ones of the same layout give the same."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.recorded.prepare import vlcb
from data.recorded.prepare.mmlu_pro_text import CONFIDENCES
from data.recorded.prepare.tables import prepare
from medcal_nb.answers.recorded import load_recorded, recorded_folder
from medcal_nb.errors import MedcalError

ROOT = Path(__file__).resolve().parents[2]


def stored(name):
    return pd.read_parquet(recorded_folder() / f"{name}.parquet")


def prepared(name, folder, to):
    return pd.read_parquet(prepare(name, folder, to))


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def publish_vlcb(table, folder):
    for method, (confidence, labels) in vlcb.METHODS.items():
        for model, rows in table.groupby("model"):
            rows = rows.dropna(subset=[confidence, labels])
            names = {labels: "ground_truth_correctness", confidence: "confidence_score"}
            names |= {"p_true_logit_no": "logit_a", "p_true_logit_yes": "logit_b"}
            if method == "SELF_PROBING":
                names["reply"] = "raw_response"
            part = rows.rename(columns=names)[[*names.values(), "dataset"]]
            part["hash_id"] = [f"{item:032x}" for item in rows["item"]]
            seed = "seed_42" if method == "BICR" else ""
            home = folder / "results/SPARROW" / method / model / seed / "VLCB_test"
            home.mkdir(parents=True)
            part.to_json(home / "test_labels.json.gz", orient="records")


def test_vlcb_comes_back(tmp_path):
    table = stored("vlcb")
    few = table.drop_duplicates(["dataset", "item"]).groupby("dataset").head(30)["item"]
    # with questions of POPE that repeat each other
    pope = table.loc[table["dataset"] == "POPE", "item"].unique()[-400:]
    table = table[table["item"].isin([*few, *pope])].reset_index(drop=True)
    replies = table.merge(stored("vlcb_replies"), how="left", on=["model", "item"])
    publish_vlcb(replies, tmp_path / "public")
    made = prepared("vlcb", tmp_path / "public", tmp_path / "out")
    ranks = table["item"].rank(method="dense").astype("int32") - 1
    expected = table.assign(item=ranks)
    # a repeat counts only where the first one is there too
    assert made["repeat"].sum() > 0
    assert not (made["repeat"] & ~expected["repeat"]).any()
    labelled = expected["correct_first_labels"].notna()
    parts = (part.drop(columns="repeat")[labelled] for part in (made, expected))
    pd.testing.assert_frame_equal(*parts, check_dtype=False)
    assert 0 < made["self_probing"].count() < made["self_probing_recorded"].count()
    texts = prepared("vlcb_replies", tmp_path / "public", tmp_path / "out")
    texts = texts.sort_values(["model", "item"])["reply"]
    by_item = replies.dropna(subset="reply").sort_values(["model", "item"])["reply"]
    assert texts.tolist() == by_item.tolist()


def test_text_answers_come_back_and_values_above_1_do_not(tmp_path):
    public = "category,correct_answer,extracted_answer," + ",".join(CONFIDENCES)
    rows = ["0,law,A,A,1.0,,0.5", "1,health,B,A,7.0,362880.0,0.25", "2,law,A,,0.9,,"]
    path = tmp_path / "results" / "mmlu_pro_M_eval_all_None.csv"
    write(path, "\n".join([f",{public}", *rows]))
    made = prepared("mmlu_pro_text", tmp_path, tmp_path / "out")
    assert made["correct"].fillna("none").tolist() == [True, False, "none"]
    assert made["domain"].tolist() == ["general", "medical", "general"]
    assert made["verbalized_cot"].isna().tolist() == [False, True, False]
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    left_out = {"verbalized_cot": 1, "decisiveness": 1}
    assert manifest["mmlu_pro_text"]["left_out"] == left_out


def test_readings_come_back_with_their_halves(tmp_path, monkeypatch):
    table = stored("viper")
    names = {"reader": "readerID", "case": "caseID", "dataset": "subStudyLabel"}
    names |= {"cancer_455": "cancerStatus455", "cancer_365": "cancerStatus365"}
    file = table[[*names, "score"]].rename(columns=names).replace({True: 1, False: 0})
    file["modalityID"] = table["modality"].map({"film": "SFM", "digital": "FFDM"})
    file["recall"] = np.where(table["recall"], 1, 2)
    text = file.sample(frac=1, random_state=0).to_csv(index=False)
    command = [sys.executable, "-m", "data.recorded.prepare", "viper", "."]
    command += ["--to", "."]
    at = {"cwd": tmp_path, "env": os.environ | {"PYTHONPATH": str(ROOT)}}
    assert subprocess.run(command, **at).returncode == 2  # nothing is there yet
    write(tmp_path / "inst/data-raw/viperObs.csv", text)
    subprocess.run(command, check=True, **at)
    # the same rows give the same bytes, so that the manifest's hash can be checked
    made, ours = (folder / "viper.parquet" for folder in (tmp_path, recorded_folder()))
    assert made.read_bytes() == ours.read_bytes()
    answers = load_recorded("viper")
    monkeypatch.setenv("MEDCAL_ROOT", str(tmp_path))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "recorded").symlink_to(tmp_path)
    assert load_recorded("viper").equals(answers)


def test_a_pickle_that_asks_for_code_is_refused_and_leaves_nothing(tmp_path):
    path = tmp_path / "output/m/mmbench.pkl"
    write(path, "")
    path.write_bytes(pickle.dumps([os.getcwd]))
    with pytest.raises(MedcalError, match="it asks for"):
        prepared("vlm_uncertainty_bench", tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
