"""What no rule grades is graded by hand; answers of several sources are one table."""

import pandas as pd
import pytest

from medcal_nb.answers import (
    AnswerLog,
    load_answers,
    read_answers,
    write_undecided,
)
from medcal_nb.errors import MedcalError
from medcal_nb.measure.rows import image_labels

ROWS = pd.DataFrame(
    {
        "item_id": list("abcdef"),
        "question": ["Where?", "Where?", "What?", "What?", "Is it?", "Where?"],
        "answer": [
            "an opacity",
            "an opacity",
            "=CT view",
            "-ve, as reported",
            "yes",
            "heart",
        ],
        "gold": ["lung", "lung", "scan", "-ve", "yes", "lung"],
        "confidence": 0.9,
    }
)


@pytest.fixture
def mine(tmp_path):
    ROWS.to_csv(tmp_path / "mine.csv", index=False)
    return tmp_path / "mine.csv"


def fill(path, grades):
    """Grade cases of a file by their gold answer."""
    cases = pd.read_csv(path, dtype=str, keep_default_na=False)
    mended = cases["gold"].str.removeprefix("'").map(grades)
    cases["correct"] = mended.fillna(cases["correct"])
    cases.to_csv(path, index=False)


def test_two_files_in_one_log_share_no_images_by_their_numbers(tmp_path):
    with AnswerLog(tmp_path / "log.sqlite") as log:
        for name in "ab":
            file = tmp_path / f"{name}.csv"
            file.write_text("id,image,conf,correct\n1,7,0.5,1\n2,7,0.9,0\n", "utf-8")
            log.append(read_answers(file))
    assert len({*image_labels(load_answers(tmp_path / "log.sqlite"))}) == 2
    both = load_answers([tmp_path / "a.csv", tmp_path / "b.csv"])
    assert len({*image_labels(both)}) == 2


def test_what_is_graded_by_hand_comes_back_in_steps(mine):
    answers = load_answers(mine)
    assert answers["correct"].isna().sum() == 4
    path = mine.with_name("mine.undecided.csv")
    (sentence,) = write_undecided(answers, mine)
    assert sentence.startswith(f"undecided answers (4, in 4 rows) are in {path}")
    cases = pd.read_csv(path)
    assert cases["times"].tolist() == [1] * 4
    assert cases["item_id"].tolist() == ["a", "b", "d", "c"], "the same texts together"
    names = ["item_id", "question", "reply", "gold", "times", "correct"]
    assert [*cases] == names
    fill(path, {"lung": "1"})
    once = load_answers(mine, grades=path)
    assert once["correct"].tolist() == [True, True, pd.NA, pd.NA, True, False]
    assert f"2 answers graded by hand in {path}" in once.attrs["assumed"]
    assert write_undecided(once, mine), "what was filled in stays"
    fill(path, {"scan": "0", "-ve": "1"})
    twice = load_answers(mine, grades=path)
    assert twice["correct"].tolist() == [True, True, False, True, True, False]
    assert write_undecided(twice, mine) == []
    assert write_undecided(load_answers(mine), mine)
    cases = pd.read_csv(path, keep_default_na=False)
    assert len(cases) == 4
    decided = {"question": "Is it?", "reply": "yes", "gold": "yes", "correct": "0"}
    decided["item_id"] = "e"
    pd.concat([cases, pd.DataFrame([decided])]).to_csv(path, index=False)
    answers = load_answers(mine, grades=path)
    assert answers["correct"][4], "a rule has graded it"
    assert f"4 answers graded by hand in {path}" in answers.attrs["assumed"]
    assert answers["correct"].notna().all()
    old = decided | {"question": "Old?", "times": 1, "correct": ""}
    pd.concat([cases, pd.DataFrame([old])]).to_csv(path, index=False)
    write_undecided(load_answers(mine), mine)
    assert "Old?" not in path.read_text(), "it is undecided no longer"


def test_grades_that_fit_nothing_differ_or_are_none(mine):
    write_undecided(load_answers(mine), mine)
    path = mine.with_name("mine.undecided.csv")
    cases = pd.read_csv(path, keep_default_na=False)
    other = cases.assign(reply="another", correct="1")
    pd.concat([cases, other]).to_csv(path, index=False)
    assumed = load_answers(mine, grades=path).attrs["assumed"]
    (said,) = [one for one in assumed if "by hand" in one]
    assert said.startswith(f"0 answers graded by hand in {path}")
    assert said.endswith("of its 4 grades 4 are of no answer here")
    pd.concat([cases.assign(correct=k) for k in "01"]).to_csv(path, index=False)
    with pytest.raises(MedcalError, match="two grades of one case"):
        load_answers(mine, grades=path)
    cases.assign(correct="maybe").to_csv(path, index=False)
    with pytest.raises(MedcalError, match="row 1, column 'correct': value 'maybe'"):
        load_answers(mine, grades=path)
    with pytest.raises(MedcalError, match="no column 'reply': no file of undecided"):
        read_answers(mine, grades=mine)


def test_an_undecided_case_names_its_image_and_lacks_no_gold_answer(tmp_path):
    rows = {"case": [7, 8, 9, 10, 11], "image": ["s1", "s2", "s2", "s3", "s4"]}
    rows["question"] = "What is it?"
    rows["answer"] = ["an opacity"] * 4 + ["a node"]
    rows["gold"] = ["lung"] * 3 + [None, "a node"]
    mine = tmp_path / "mine.csv"
    pd.DataFrame(rows | {"confidence": 0.9}).to_csv(mine, index=False)
    answers = load_answers(mine)
    assert "no answer, or no gold answer (1)" in answers.attrs["grading"]
    (sentence,) = write_undecided(answers, mine)
    assert sentence.startswith("undecided answers (3, in 3 rows) are in")
    path = tmp_path / "mine.undecided.csv"
    cases = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert cases[["item_id", "image_id"]].to_numpy().tolist() == [
        ["7", "s1"],
        ["8", "s2"],
        ["9", "s2"],
    ]
    # as a spreadsheet of another country writes it
    filled = cases.assign(correct=["1", "0", "0"])
    filled.to_csv(path, index=False, sep=";", encoding="utf-8-sig")
    by_hand = load_answers(mine, grades=path)
    assert by_hand["correct"].tolist() == [True, False, False, pd.NA, True]
    # a file that names no case says it of all with these texts
    texts = ["question", "reply", "gold", "times", "correct"]
    filled.assign(correct="1")[texts].to_csv(path, index=False)
    by_text = load_answers(mine, grades=path)
    assert by_text["correct"].tolist() == [True, True, True, pd.NA, True]
    write_undecided(load_answers(mine), mine)
    kept = pd.read_csv(path, dtype=str)
    assert kept["correct"].tolist() == ["1"] * 3


def test_guarded_cells_are_taken_back(tmp_path):
    text = (
        "item_id,answer,gold,confidence\n'=1,'-ve,-ve,.9\n2,''x,-3,.8\n3,'+,'' -,.8\n"
    )
    (tmp_path / "in.csv").write_text(text)
    answers = load_answers(tmp_path / "in.csv")
    assert answers["item_id"].tolist() == ["=1", "2", "3"]
    assert answers["answer"].tolist() == ["-ve", "''x", "+"]
    assert answers["gold"].tolist() == ["-ve", "-3", "'' -"]


def part(path, model, items, **more):
    """Answers of one model in a file."""
    rows = {"item_id": items, "confidence": 0.8, "correct": 1, "dataset": "d"}
    pd.DataFrame(rows | {"model": model} | more).to_csv(path, index=False)
    return path


def test_several_sources_are_one_table(tmp_path):
    about = {"image": [7, 8, 9], "domain": "medical", "image_set": "s"}
    one = part(tmp_path / "a.csv", "a", [1, 2, 3], **about)
    two = part(tmp_path / "b.csv", "b", [1, 2])
    with pytest.warns(UserWarning, match="b answered 2 of 3 items of d"):
        answers = load_answers([one, two])
    assert answers["model"].tolist() == ["a"] * 3 + ["b"] * 2
    assert answers["image_id"].tolist() == list("78978")
    assert answers["domain"].eq("medical").all()
    assert answers["image_set"].eq("s").all()
    with pytest.raises(MedcalError, match="hold the same answer: model=a, dataset=d"):
        load_answers([one, part(tmp_path / "e.csv", "a", [3])])


def test_a_model_of_ones_own_stands_beside_the_recorded_ones(tmp_path):
    recorded = load_answers("viper")
    name = recorded["dataset"].iloc[0]
    items = recorded[recorded["dataset"] == name].drop_duplicates("item_id")
    mine = part(tmp_path / "mine.csv", "mine", items["item_id"], dataset=name)
    with pytest.warns(UserWarning, match=f"of .* items of {name}"):
        answers = load_answers(["viper", mine], strategy="stated")
    own = answers.query("model == 'mine'")
    assert len(answers) == len(recorded) + len(own)
    assert own["image_id"].tolist() == items["image_id"].tolist()
