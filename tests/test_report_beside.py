"""`medcal report --beside`: a made model beside others on the questions in common."""

import json

import pandas as pd
import pytest

from medcal_nb.answers import load_answers, write_table
from medcal_nb.measure import Bootstrap
from medcal_nb.report import ReportWarning, write_report

COLUMNS = ["model", "dataset", "item_id", "strategy", "confidence", "correct"]
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def reported(rows, folder):
    write_table(rows[COLUMNS], folder / "mine.csv")
    few = Bootstrap(n=200)
    page = write_report(folder / "mine.csv", folder / "report", beside="pocket", ci=few)
    return page.read_text("utf-8"), json.loads(
        page.with_name("report.json").read_text()
    )


def test_the_page_says_where_a_model_stands(tmp_path):
    answers = load_answers("pocket").dropna(subset=["confidence", "correct"])
    chosen = answers["dataset"].eq("pocketvqa-medical")
    chosen &= answers["strategy"].eq("verbalized") & answers["model"].eq(
        "pocket-medical"
    )
    mine = answers[chosen].head(200).assign(model="mine", correct=True)
    page, numbers = reported(mine, tmp_path)
    rows = [row for row in numbers["tables"]["beside"] if row["metric"] == "accuracy"]
    assert {row["a"] for row in rows} == {"mine"}
    (same,) = [row for row in rows if row["b"] == "pocket-medical"]
    wrong = 1 - answers[chosen].head(200)["correct"].astype(float).mean()
    assert same["n_a"] == same["n_b"] == len(mine)
    assert same["difference"] == pytest.approx(wrong)
    assert "on the same questions?" in page
    assert (tmp_path / "report" / "figures" / "beside.svg").is_file()


@pytest.mark.parametrize(("n", "own"), [(60, {"dataset": "other"}), (20, {})])
def test_of_a_few_or_no_questions_in_common_nothing_is_concluded(tmp_path, n, own):
    answers = load_answers("pocket").dropna(subset=["confidence", "correct"])
    mine = answers[answers["strategy"] == "verbalized"].head(n)
    page, numbers = reported(mine.assign(model="mine", **own), tmp_path)
    assert "beside" not in numbers["tables"]
    assert "P value (Holm)" not in page
    told = "No question of the file was answered by the others" in page
    assert told == bool(own)


def test_equal_methods_alone_are_paired_and_the_notes_say_which(tmp_path):
    answers = load_answers("pocket").dropna(subset=["confidence", "correct"])
    medical = answers.query(
        "model == 'pocket-medical' and dataset == 'pocketvqa-medical'"
    )
    mine = (
        medical[medical["strategy"].isin(["verbalized", "p_true"])]
        .groupby("strategy")
        .head(80)
    )
    mine = mine.assign(model="mine")
    renamed = mine["strategy"].eq("p_true")
    mine.loc[renamed, "strategy"] = "my_method"
    odd = mine[~renamed].head(40).assign(model="odd", dataset="other")
    with pytest.warns(ReportWarning, match="in common") as caught:
        page, numbers = reported(pd.concat([mine, odd]), tmp_path)
    notes = " ".join(str(one.message) for one in caught)
    n = mine.loc[~renamed, "item_id"].nunique()
    assert f"medical images, verbalized: {n} questions in common" in notes
    assert "my_method: no question in common, only equal methods are compared" in notes
    assert "odd has no question in common, and is left out" in notes
    assert {row["a"] for row in numbers["tables"]["beside"]} == {"mine"}
    assert "is left out" in page


def test_a_file_with_the_name_of_before_is_read_with_a_sentence(tmp_path, five):
    old = five.query("strategy == 'self_probing' and dataset == 'POPE'").head(30)
    write_table(old.assign(strategy="verbalized")[COLUMNS], tmp_path / "old.csv")
    answers = load_answers(tmp_path / "old.csv")
    assert "it is self_probing_recorded now" in str(answers.attrs["assumed"])
    assert set(answers["strategy"]) == {"verbalized"}
