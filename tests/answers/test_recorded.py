"""Recorded answers: read as columns, whole, and only where they are what was published."""

import functools
import re
import shutil
import time

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from medcal_nb.answers import load_answers
from medcal_nb.answers.recorded import (
    load_recorded,
    recorded_folder,
    recorded_manifest,
    recorded_names,
)
from medcal_nb.errors import MedcalError
from medcal_nb.files import file_hash
from medcal_nb.measure.decimals import shortest_decimals
from medcal_nb.measure.rows import image_labels

# the rows of each table as answers, with the repeats left out
ROWS = {
    "vlcb": 5 * 7 * (4_549 + 12_568 + 5_170) + 5 * 3 * (1_725 + 1_720) - 3 * 2,
    "vlm_uncertainty_bench": 26 * (4_377 + 2_844),
    "mmlu_pro_text": 3 * 84 * 12_032,
    "viper": 20_382,
    "aneurysm_readers": 223,
    "pocket": 65_065,
}
KEY = ["model", "dataset", "item_id", "strategy"]
COLUMNS = ["domain", "image_id", "modality", "question_type", "split", "answer", "gold"]


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """The folder that is read: it holds the manifest and the smallest table."""
    copy = tmp_path / "data" / "recorded"
    copy.mkdir(parents=True)
    for file in ("manifest.json", "viper.parquet"):
        shutil.copy(recorded_folder() / file, copy / file)
    monkeypatch.setenv("MEDCAL_ROOT", str(tmp_path))
    return copy


@pytest.fixture(scope="module")
def read():
    """Reads a table by its name, once."""
    return functools.cache(load_answers)


def items_of(answers):
    """One row a question of a data set."""
    return answers.drop_duplicates(["dataset", "item_id"])


@pytest.mark.parametrize("name", ROWS)
def test_a_table_is_read_whole_and_typed_by_its_name(name, read):
    started = time.process_time()
    answers = read(name)
    assert time.process_time() - started < 6  # under 2 s on an idle machine
    assert len(answers) == ROWS[name]
    assert not answers.duplicated(KEY).any()
    assert set(answers) >= {*KEY, *COLUMNS}
    assert {str(answers[column].dtype) for column in [*KEY, *COLUMNS]} == {"str"}
    values = answers["confidence"].dropna()
    assert values.between(0, 1).all()
    assert str(answers["correct"].dtype) == "boolean"
    assert answers.attrs["assumed"]


def test_numbers_of_32_bits_are_the_decimals_that_measure_makes_of_them(read):
    stored = pq.read_table(recorded_folder() / "vlcb.parquet", columns=["p_true"])
    decimals = {*shortest_decimals(stored["p_true"].to_numpy())}
    values = read("vlcb").query("strategy == 'p_true'")["confidence"].dropna()
    assert values.nunique() > 100
    assert {*values} <= decimals


def test_the_manifest_names_source_licence_and_hash_of_every_file():
    folder = recorded_folder()
    manifest = recorded_manifest()
    assert set(recorded_names()) == set(ROWS)
    for entry in manifest.values():
        path = folder / entry["file"]
        assert file_hash(path) == entry["sha256"]
        assert pq.read_metadata(path).num_rows == entry["rows"]
        assert pq.read_schema(path).names == entry["columns"]
        assert len((folder / entry["licence_file"]).read_text()) > 500
        assert (
            re.search("[0-9a-f]{40}", entry["commit"])
            or entry["file"] == "pocket.parquet"
        )
        assert all(len(sha) == 64 for sha in entry["made_from"].values())


def test_names_of_items_by_their_counts(five):
    assert "3,830" in str(five.attrs["assumed"])  # repeats in POPE
    items = items_of(five)
    named = items.dropna(subset="image_id").groupby("dataset")["image_id"]
    assert named.agg(["size", "nunique"]).T.to_dict("list") == {
        "GQA": [12_539, 398],
        "MMMU-Pro (10 options)": [1_725, 1_725],
        "MMMU-Pro (4 options)": [1_710, 1_710],
        "POPE": [5_170, 500],
    }
    medical = items[items["domain"] == "medical"]
    assert medical["dataset"].value_counts().to_dict() == {
        "GMAI-MMBench": 4_549,
        "MMMU-Pro (10 options)": 284,
        "MMMU-Pro (4 options)": 283,
    }
    # questions of several kinds keep all of them, the most specific first
    kinds = items["image_kinds"].str.split("; ")
    assert (kinds.str[0] == items["image_kind"])[kinds.notna()].all()
    assert (kinds.str.len() > 1).sum() == 180
    assert items["question_type"].isna().sum() == 29
    # questions with 4 and with 10 options are paired
    mmmu = items[items["image_set"] == "MMMU-Pro"].dropna(subset="image_id")
    wide = mmmu.pivot(index="question_id", columns="dataset", values="subject")
    pairs = wide.dropna()
    assert len(pairs) == 1_710
    assert (pairs.iloc[:, 0] == pairs.iloc[:, 1]).all()


def test_labels_are_those_that_each_method_was_published_with():
    stored = pd.read_parquet(recorded_folder() / "vlcb.parquet")
    complete = load_recorded("vlcb", complete=True)
    assert "3,830" not in str(complete.attrs["assumed"])
    methods = {"p_true": "correct", "probe_pik": "correct_first_labels"}
    for strategy, labels in methods.items():
        answers = complete[complete["strategy"] == strategy]
        np.testing.assert_array_equal(
            answers["correct"].to_numpy(float, na_value=np.nan),
            stored[labels].to_numpy(float),
        )


def test_a_radiologist_gives_the_probability_of_the_claim_cancer(read):
    answers = read("viper")
    assert (answers["score"] == 201).sum() == 111
    assert (answers["correct"] == (answers["gold"] == answers["answer"])).all()
    assert (answers["reader"] == answers["model"]).all()
    # recalled are those above the middle of the scale
    assert ((answers["confidence"] > 0.5) == answers["recall"]).all()
    # a case is one image in all sub-studies, in one half
    assert len({*image_labels(answers)}) == answers["image_id"].nunique() == 715
    assert (answers.groupby("image_id")["split"].nunique() == 1).all()
    cases = answers.drop_duplicates(["dataset", "image_id"])
    shares = cases.groupby(["dataset", "split"])["correct"].mean().unstack()
    assert (shares["fit"] - shares["test"]).abs().max() < 0.05


def test_an_unanswered_question_has_no_grade_and_no_confidence_lies_above_1(read):
    answers = read("mmlu_pro_text").query("model in ['phi-4', 'gpt-4.1']")
    assert (answers["correct"].isna() == ~answers["answered"]).all()
    left_out = recorded_manifest()["mmlu_pro_text"]["left_out"]
    assert left_out == {"verbalized_cot": 20, "decisiveness": 631}
    health = answers[answers["domain"] == "medical"]
    assert set(health["modality"]) == {"health"}
    assert health["item_id"].nunique() == 818


def test_a_damaged_or_foreign_table_is_refused_by_name_and_hash(copy):
    path = copy / "viper.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(MedcalError) as refused:
        load_recorded("viper")
    for part in (str(path), "is not that of the manifest", "git checkout"):
        assert part in str(refused.value)


def test_a_missing_table_or_damaged_manifest_says_how_to_get_it(copy):
    with pytest.raises(MedcalError, match="did you mean 'vlcb'"):
        load_recorded("vlbc")
    (copy / "viper.parquet").unlink()
    with pytest.raises(MedcalError, match="there is no such file"):
        load_recorded("viper")
    (copy / "manifest.json").write_text("{")
    with pytest.raises(MedcalError, match=r"manifest\.json: missing or damaged"):
        load_recorded("viper")
