"""Recorded answers: read as columns, whole, and only where they are what was published."""

import shutil
import time

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from medcal_nb.answers import ANSWER_COLUMNS, AnswerLog
from medcal_nb.answers.recorded import (
    load_recorded,
    recorded_folder,
    recorded_manifest,
)
from medcal_nb.errors import MedcalError
from medcal_nb.files import file_hash

# the rows of each table as answers, with the repeats left out
ROWS = {
    "vlcb": 933_926,
    "vlm_uncertainty_bench": 26 * (4_377 + 2_844),
    "mmlu_pro_text": 3 * 84 * 12_032,
    "viper": 20_382,
}
KEY = ["model", "dataset", "item_id", "strategy", "sample"]


@pytest.fixture
def copy(tmp_path):
    """A folder with the manifest and the smallest table."""
    for file in ("manifest.json", "viper.parquet"):
        shutil.copy(recorded_folder() / file, tmp_path / file)
    return tmp_path


@pytest.mark.parametrize("name", ROWS)
def test_a_table_is_read_whole_and_typed_as_a_log_gives_it(name, tmp_path):
    started = time.process_time()
    answers = load_recorded(name)
    assert time.process_time() - started < 12  # under 5 s on an idle machine
    assert len(answers) == ROWS[name]
    assert list(answers)[: len(ANSWER_COLUMNS)] == ANSWER_COLUMNS
    sample = answers.sample(400, random_state=0)
    assert not sample.duplicated(KEY).any()
    with AnswerLog(tmp_path / "log.sqlite") as log:
        log.append(sample.astype(object).where(sample.notna(), None).to_dict("records"))
        back = log.read()
    sample = sample.sort_values(KEY, ignore_index=True)[list(back)]
    pd.testing.assert_frame_equal(
        back[ANSWER_COLUMNS].drop(columns="option_probabilities"),
        sample[ANSWER_COLUMNS].drop(columns="option_probabilities"),
    )


def test_the_manifest_tells_source_licence_and_hash_of_every_file():
    folder = recorded_folder()
    manifest = recorded_manifest()
    assert set(manifest) == set(ROWS)
    size = 0
    for entry in manifest.values():
        path = folder / entry["file"]
        size += path.stat().st_size
        assert file_hash(path) == entry["sha256"]
        assert pq.read_metadata(path).num_rows == entry["rows"]
        assert pq.read_schema(path).names == entry["columns"]
        assert entry["licence"] in ("MIT", "CC0-1.0")
        assert len((folder / entry["licence_file"]).read_text()) > 500
        assert len(entry["commit"]) == 40
        assert all(len(sha) == 64 for sha in entry["made_from"].values())
    assert size < 16e6


def test_confidences_are_short_decimals():
    answers = load_recorded("vlcb", strategy="verbalized")
    values = answers["confidence"].dropna()
    assert (values == values.round(4)).mean() > 0.999
    assert (values == 0.9).sum() > 1_000


def test_repeats_of_pope_are_left_out_counted_and_can_be_had():
    once = load_recorded("vlcb", dataset="POPE", strategy="p_true")
    all_rows = load_recorded("vlcb", dataset="POPE", strategy="p_true", repeats=True)
    assert once.attrs["repeats"] == {"POPE": 3_830}
    assert all_rows.attrs["repeats"] == {}
    assert len(once) == 5 * 5_170
    assert len(all_rows) == 5 * 9_000
    # what is left out agrees with what is kept: same confidence, same grade
    wide = once.pivot(index="item_id", columns="model", values="confidence")
    assert not wide.duplicated().any()


def test_labels_are_those_that_each_method_was_published_with():
    stored = pd.read_parquet(recorded_folder() / "vlcb.parquet")
    for strategy, labels in (
        ("p_true", "correct"),
        ("probe_pik", "correct_first_labels"),
    ):
        answers = load_recorded("vlcb", strategy=strategy, repeats=True)
        np.testing.assert_array_equal(
            answers["correct"].to_numpy(float, na_value=np.nan),
            stored[labels].to_numpy(float),
        )


def test_filters_are_those_of_the_whole_table():
    answers = load_recorded("viper")
    some = load_recorded("viper", dataset="screeningLowP", modality=["film"])
    is_some = answers["dataset"].eq("screeningLowP") & answers["modality"].eq("film")
    pd.testing.assert_frame_equal(some, answers[is_some].reset_index(drop=True))
    assert load_recorded("viper", strategy="verbalized").empty
    with pytest.raises(MedcalError, match="no column 'colour'"):
        load_recorded("viper", colour="red")


def test_a_radiologist_gives_the_probability_of_the_claim_cancer():
    answers = load_recorded("viper")
    stored = pd.read_parquet(recorded_folder() / "viper.parquet")
    assert (answers["score"] == 201).sum() == 111
    assert answers["confidence"].between(0, 1).all()
    assert (answers["correct"] == (answers["gold"] == answers["answer"])).all()
    assert (answers["reader"] == answers["model"]).all()
    # recalled are those above the middle of the scale
    assert ((answers["confidence"] > 0.5) == answers["recall"]).all()
    assert answers["image_id"].nunique() == stored["case"].nunique() == 715


def test_no_case_of_viper_is_in_both_halves():
    answers = load_recorded("viper")
    halves = answers.groupby("image_id")["split"].nunique()
    assert (halves == 1).all()
    cases = answers.drop_duplicates(["dataset", "image_id"])
    shares = cases.groupby(["dataset", "split"])["correct"].mean().unstack()
    assert (shares["fit"] - shares["test"]).abs().max() < 0.05


def test_an_unanswered_question_has_no_grade_and_no_confidence_lies_above_1():
    answers = load_recorded("mmlu_pro_text", model=["phi-4", "gpt-4.1"])
    assert answers.loc[~answers["answered"], "correct"].isna().all()
    assert answers.loc[answers["answered"], "correct"].notna().all()
    assert answers["confidence"].max() <= 1
    assert recorded_manifest()["mmlu_pro_text"]["left_out"] == {
        "verbalized": 20,
        "linguistic": 631,
    }
    health = answers[answers["domain"] == "medical"]
    assert set(health["modality"]) == {"health"}
    assert health["item_id"].nunique() == 818


def test_a_damaged_or_foreign_table_is_refused_by_name_and_hash(copy):
    path = copy / "viper.parquet"
    expected = recorded_manifest(copy)["viper"]["sha256"]
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(MedcalError) as refused:
        load_recorded("viper", folder=copy)
    for part in (str(path), expected, file_hash(path), "git checkout"):
        assert part in str(refused.value)


def test_a_missing_table_says_how_to_get_it(copy, tmp_path):
    (copy / "viper.parquet").unlink()
    with pytest.raises(MedcalError, match="there is no such file"):
        load_recorded("viper", folder=copy)
    with pytest.raises(MedcalError, match=r"manifest\.json: there is no such"):
        load_recorded("viper", folder=tmp_path / "nowhere")
    with pytest.raises(MedcalError, match="there are vlcb, "):
        load_recorded("vlbc")


def test_a_damaged_manifest_is_refused(copy):
    (copy / "manifest.json").write_text("{")
    with pytest.raises(MedcalError, match="is damaged, no JSON"):
        load_recorded("viper", folder=copy)
