"""What a person grades by shows no confidence, also none that a reply states."""

import re

import pandas as pd
import pytest


@pytest.fixture
def replies(tmp_path, rng):
    """120 replies with their confidence in them; its numbers occur nowhere else."""
    rows = pd.DataFrame({"item_id": [f"q{i:03}" for i in range(120)], "model": "m"})
    rows["question"] = "Is there an effusion?"
    rows["gold"] = rng.choice(["yes", "no"], 120)
    said = rng.choice(["Nein", "Ja"], 120)
    sure = rng.choice(["77", "93"], 120)
    forms = [". Ich bin mir zu {} Prozent sicher.", "\nKonfidenz: {} %", " (zu {} %)"]
    rows["reply"] = said
    for i in range(120):
        rows.loc[i, "reply"] += forms[i % 3].format(sure[i])
    rows.to_csv(tmp_path / "mine.csv", index=False)
    return rows


def test_sheet_and_page_of_a_certificate_are_blind(medcal, replies):
    assert medcal("certify", "mine.csv", "-c", "gold=", "--risk", 0.3)[0] == 0
    sheet = pd.read_csv("mine.grades.csv", dtype=str)
    assert set(sheet["answer"].str.strip(".")) <= {"Ja", "Nein"}
    cells = " ".join(sheet.fillna("").to_numpy().ravel())
    assert not {"77", "93"} & {*re.findall(r"\d+", cells)}
    assert medcal("certify", "mine.csv", "-c", "gold=", "--page")[0] == 0
    with open("mine.grading.html", encoding="utf-8") as page:
        assert "sicher" not in page.read()


def test_the_sheet_of_a_check_shows_the_gold_answer_and_no_confidence(medcal, replies):
    assert medcal("check", "mine.csv", "--cases", 40)[0] == 0
    sheet = pd.read_csv("mine.checked.csv", dtype=str)
    assert set(sheet["answer"].str.strip(".")) <= {"Ja", "Nein"}
    assert sheet["gold"].isin(["yes", "no"]).all()
    assert not {"raw", "reply", "confidence"} & {*sheet}
    assert not sheet["answer"].str.contains(r"\d").any()


def test_a_command_that_is_told_names_the_columns_that_were_named(medcal, replies):
    replies.rename(columns={"reply": "what it said"}).to_csv("own.csv", index=False)
    named = ("-c", "reply=what it said")
    again = 'medcal certify own.csv -c "reply=what it said" -c gold='
    out = medcal("certify", "own.csv", *named, "-c", "gold=", "--risk", 0.3)[1]
    assert f"run this again: {again}" in out
    assert f"{again} --page" in out
    assert "0 answers graded in all" in out
    out = medcal("check", "own.csv", *named, "--cases", 40)[1]
    told = 'medcal report own.csv -c "reply=what it said" --checked own.checked.csv'
    assert told in out


def test_a_score_shows_no_clip_and_a_method_that_is_not_named_as_such(medcal, replies):
    out = medcal("score", "mine.csv")[1]
    assert "clip" not in out
    assert "the method" in out
    assert "clip" in medcal("score", "mine.csv", "--csv")[1]
