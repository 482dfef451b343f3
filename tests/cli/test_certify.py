"""A threshold certified through a sheet that a person fills: it goes on, and loses nothing."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medcal_nb.certify import certify, watch
from medcal_nb.wording import percent

PLAN = ["--risk", 0.2, "--delta", 0.1, "--budget", 60]
SHEET = "mine.grades.csv"


@pytest.fixture
def pool(medcal, tmp_path):
    """300 answers that nobody has graded, as a file, with their grades apart."""
    rng = np.random.default_rng(1)
    rows = pd.DataFrame({"item_id": [f"q{i:03}" for i in range(300)]})
    rows["answer"] = rng.choice(["yes", "no", "=1+1"], 300)
    rows["confidence"] = rng.uniform(0.5, 1, 300).round(3)
    rows.to_csv(tmp_path / "mine.csv", index=False)
    right = rng.random(300) < rows["confidence"]
    return rows.assign(right=right.astype(int)).set_index("item_id")


def sheet():
    return pd.read_csv(SHEET, dtype=str, keep_default_na=False)


def fill(rows, pool, words=("0", "1")):
    open_rows = rows["correct"] == ""
    grades = pool.loc[rows["item_id"], "right"].map(dict(enumerate(words))).to_numpy()
    rows.loc[open_rows, "correct"] = grades[open_rows]
    return rows


def test_the_order_of_rows_and_the_name_of_a_file_move_no_threshold(medcal, pool):
    graded = pool.rename(columns={"right": "correct"})
    stands = []
    for seed, name in enumerate(("first", "gemini-2.5-pro")):
        # in the same folder it would be another plan on the same answers
        folder = Path(name)
        folder.mkdir()
        graded.sample(frac=1, random_state=seed).to_csv(folder / f"{name}.csv")
        assert medcal("certify", folder / f"{name}.csv", *PLAN)[0] == 0
        stand = json.loads((folder / f"{name}.threshold.json").read_text("utf-8"))
        stands.append({key: stand[key] for key in ("threshold", "coverage", "n")})
    assert stands[0] == stands[1]


def test_a_pool_is_graded_to_the_end_whatever_a_person_does_to_the_sheet(medcal, pool):
    code, out, _ = medcal("certify", "mine.csv", *PLAN)
    assert code == 0
    assert "0 answers graded in all, 60 left of 60: nothing certified so far" in out
    assert "grade 20 answers" in out
    assert "medcal certify mine.csv --page" in out
    assert "confidence" not in sheet()
    rows = sheet()
    assert rows.shape[0] == 20
    # half of it is filled, it is sorted anew, and has a remark and another word for right
    rows.loc[:9, "correct"] = fill(rows.copy(), pool, ("wrong", "TRUE"))["correct"][:10]
    rows["remark"] = ['=see, "left"\nlung'] + [""] * 19
    rows.sample(frac=1, random_state=0).to_csv(SHEET, index=False)
    before = {tuple(row) for row in sheet().itertuples(index=False)}
    assert medcal("certify", "mine.csv")[0] == 0
    after = {tuple(row) for row in sheet()[[*rows]].itertuples(index=False)}
    guarded = {(*row[:-1], row[-1].replace("=see", "'=see")) for row in before}
    assert {tuple(cell.replace("'=1", "=1") for cell in row) for row in guarded} <= {
        tuple(cell.replace("'=1", "=1") for cell in row) for row in after
    }
    for _ in range(20):
        fill(sheet(), pool).to_csv(SHEET, index=False)
        code, out, err = medcal("certify", "mine.csv")
        assert code == 0, err
        if "grade " not in out:
            break
    assert "not a clearance" in out
    assert (
        "at most 20 in 100 are wrong; this statement itself is right with a certainty"
        in out
    )
    assert len(sheet()) <= 60
    found = json.loads(Path("mine.threshold.json").read_text("utf-8"))
    ordered = pool.sort_index()
    seed = found["seed"]
    end = certify(
        ordered["confidence"], ordered["right"], risk=0.2, budget=60, seed=seed
    )
    # a few of the answers of a batch were asked for in vain
    assert end.threshold <= found["threshold"] <= end.threshold + 0.02
    assert found["state"] == end.state == "budget used"
    assert found["errors"] <= found["n"] <= found["n_graded"] <= 60
    assert found["sentence"] in out
    # looked at again, and with the answers in another order, nothing changes
    text = Path(SHEET).read_bytes()
    table = pd.read_csv("mine.csv").sample(frac=1, random_state=1)
    table.to_csv("mine.csv", index=False)
    assert found["sentence"] in medcal("certify", "mine.csv")[1]
    assert Path(SHEET).read_bytes() == text


def ledger():
    lines = Path("mine.certificate.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_a_plan_may_be_changed_until_something_is_graded(medcal, pool):
    medcal("certify", "mine.csv", "--risk", 0.001)
    assert "another risk may be begun" in medcal("certify", "mine.csv")[1]
    assert medcal("certify", "mine.csv", *PLAN)[0] == 0
    plans = [entry["risk"] for entry in ledger() if entry["kind"] == "plan"]
    assert plans == [0.001, 0.2]
    assert medcal("certify", "mine.csv", "--page")[0] == 0
    code, _, err = medcal("certify", "mine.csv", "--risk", 0.1)
    assert (code, "begun with risk=0.2, not 0.1: second plan" in err) == (2, True), err


def test_another_plan_on_the_same_answers_is_refused_and_counted(medcal, pool):
    medcal("certify", "mine.csv", *PLAN)
    # grades that the ledger does not hold yet bind, too
    fill(sheet(), pool).to_csv(SHEET, index=False)
    for nth, (name, begun, other) in zip(
        ("second", "third"), (("risk", 0.2, 0.1), ("budget", 60, 400)), strict=True
    ):
        for _ in range(2):  # the same one again is no other plan
            code, _, err = medcal("certify", "mine.csv", f"--{name}", other)
            assert code == 2
            assert f"begun with {name}={begun}, not {other}: {nth} plan on these" in err
    assert "of 3 plans fails with a probability of up to 0.3" in err
    # a copy, a part, an edited copy
    table = pd.read_csv("mine.csv")
    table.to_csv("copy.csv", index=False)
    table[30:].to_csv("part.csv", index=False)
    table.assign(answer=table["answer"].where(table.index > 20, "both")).to_csv(
        "edited.csv", index=False
    )
    assert "go on with the file" in medcal("certify", "copy.csv", *PLAN)[2]
    assert "fourth plan" in medcal("certify", "copy.csv", "--risk", 0.3)[2]
    assert "fifth plan" in medcal("certify", "part.csv", *PLAN)[2]
    assert "6th plan" in medcal("certify", "edited.csv", *PLAN)[2]
    # the plan that it was begun with stands
    assert medcal("certify", "mine.csv")[0] == 0
    out = medcal("certify", "mine.csv", "--check")[1]
    assert "5 other plans on these answers were refused" in out
    assert [entry["kind"] for entry in ledger()].count("other plan") == 5
    # other answers are another certificate
    table.assign(
        confidence=table["confidence"].sample(frac=1, random_state=0).to_numpy()
    ).to_csv("other.csv", index=False)
    assert medcal("certify", "other.csv", *PLAN)[0] == 0


def test_without_its_ledger_a_sheet_or_a_threshold_is_not_gone_on_with(medcal, pool):
    medcal("certify", "mine.csv", *PLAN)
    Path("mine.certificate.jsonl").rename("away")
    Path(SHEET).rename("sheet away")
    Path("mine.threshold.json").unlink()
    for name in (SHEET, "mine.threshold.json"):  # each by itself
        Path(name).write_text("{}", encoding="utf-8")
        code, _, err = medcal("certify", "mine.csv", *PLAN)
        assert (code, "bring the ledger back" in err) == (2, True), name
        assert Path(name).read_text("utf-8") == "{}"
        Path(name).unlink()
    Path("away").rename("mine.certificate.jsonl")
    assert "grade 20 answers" in medcal("certify", "mine.csv")[1]


def test_a_deleted_sheet_loses_no_grade_and_a_blanked_one_neither(medcal, pool):
    medcal("certify", "mine.csv", *PLAN)
    fill(sheet(), pool).to_csv(SHEET, index=False)
    medcal("certify", "mine.csv")
    Path(SHEET).unlink()
    assert "20 answers graded in all, 40 left of 60" in medcal("certify", "mine.csv")[1]
    sheet().assign(correct="").to_csv(SHEET, index=False)
    assert "20 answers graded in all, 40 left of 60" in medcal("certify", "mine.csv")[1]


def test_a_changed_grade_is_entered_as_a_change_and_none_after_the_end(medcal, pool):
    medcal("certify", "mine.csv", *PLAN, "--batch", 5)
    fill(sheet(), pool).to_csv(SHEET, index=False)
    medcal("certify", "mine.csv", "--batch", 5)
    rows = sheet()
    rows.loc[0, "correct"] = str(1 - int(rows.loc[0, "correct"]))
    rows.to_csv(SHEET, index=False)
    medcal("certify", "mine.csv", "--batch", 5)
    assert (
        "6 grades entered, 1 of them changes"
        in medcal("certify", "mine.csv", "--check")[1]
    )
    for _ in range(60):
        fill(sheet(), pool).to_csv(SHEET, index=False)
        if "run this again" not in medcal("certify", "mine.csv")[1]:
            break
    rows = sheet()
    rows["correct"] = rows["correct"].replace("0", "1")
    rows.to_csv(SHEET, index=False)
    code, _, err = medcal("certify", "mine.csv")
    assert (code, "was graded 0 on 20" in err) == (2, True), err
    code, out, _ = medcal("certify", "mine.csv", "--check")
    assert (code, "ALTERED: mine.grades.csv: q" in out) == (1, True), out


def test_grades_of_the_file_are_entered_and_may_not_change(medcal, pool):
    graded = pool.rename(columns={"right": "correct"})
    graded.to_csv("mine.csv")
    assert medcal("certify", "mine.csv", *PLAN)[0] == 0
    assert medcal("certify", "mine.csv", "--check")[0] == 0
    altered = graded.copy()
    altered.loc["q007", "correct"] = 1 - altered.loc["q007", "correct"]
    altered.to_csv("mine.csv")
    for words in ([], ["--check"]):
        code, out, err = medcal("certify", "mine.csv", *words)
        assert code in (1, 2)
        assert "1 grades were altered since" in out + err
        assert "q007 was" in out + err


def test_a_replay_names_what_was_altered(medcal, pool):
    graded = pool.rename(columns={"right": "correct"})
    graded.to_csv("mine.csv")
    medcal("certify", "mine.csv", *PLAN)
    path = Path("mine.certificate.jsonl")
    text = path.read_text("utf-8")
    lines = text.splitlines()
    place = Path("mine.threshold.json")
    threshold = place.read_text("utf-8")
    for number, old, new, said in (
        (1, '"risk": 0.2', '"risk": 0.3', "line 1 was altered"),
        (2, '"grades": "', '"grades": "0', "line 2 was altered"),
        (
            3,
            '"threshold": 0',
            '"threshold": 1',
            "lines at the ledger's end were altered",
        ),
    ):
        damaged = [*lines]
        damaged[number - 1] = damaged[number - 1].replace(old, new)
        assert damaged != lines
        path.write_text("\n".join([*damaged, ""]))
        code, out, _ = medcal("certify", "mine.csv", "--check")
        assert (code, said in out) == (1, True), out
    path.write_text(text)
    place.write_text(threshold.replace('"risk": 0.2', '"risk": 0.1'))
    code, out, _ = medcal("certify", "mine.csv", "--check")
    assert (code, "risk is 0.1, by the ledger 0.2" in out) == (1, True), out


@pytest.mark.parametrize("option", ["risk", "delta"])
@pytest.mark.parametrize("value", [20, 0, 1, -0.1, "nan"])
def test_what_is_no_share_is_said_so(medcal, pool, option, value):
    plan = ["--risk", 0.2, f"--{option}", value]
    code, _, err = medcal("certify", "mine.csv", *plan)
    assert (code, f"--{option} {value}: must be a share" in err) == (2, True), err
    assert not Path("mine.certificate.jsonl").exists()


def test_two_graders_of_a_sheet_have_to_agree(medcal, pool):
    medcal("certify", "mine.csv", *PLAN)
    rows = fill(sheet(), pool)
    first, second = rows.assign(grader="A"), rows.assign(grader="B")
    second.loc[0, "correct"] = "1" if second.loc[0, "correct"] == "0" else "0"
    pd.concat([first, second]).to_csv(SHEET, index=False)
    out = medcal("certify", "mine.csv")[1]
    assert (
        "A and B agreed on 19 of 20 answers (95 %, 95 % CI 76 % to 99 %"
        in out.replace("%", " %").replace("  ", " ")
    )
    assert f"they differ on {rows.loc[0, 'item_id']}, which count as wrong" in out
    assert "20 answers graded in all" in out


DAMAGE = [
    (lambda t: t.assign(correct=["ja", "x", "1", *t["correct"][3:]]), "value 'ja' is no grade"),
    (lambda t: t.assign(item_id=["q999", *t["item_id"][1:]]), "value 'q999' is no answer"),
    (lambda t: pd.concat([t.assign(correct="1"), t[:1].assign(correct="0")]), "two grades"),
    (lambda t: t.rename(columns={"correct": "right"}), "no column 'correct'"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "said"), DAMAGE)
def test_what_is_wrong_in_a_sheet_is_named_and_nothing_is_written(
    medcal, pool, damage, said
):
    medcal("certify", "mine.csv", *PLAN)
    damage(sheet()).to_csv(SHEET, index=False)
    text = Path(SHEET).read_bytes()
    code, _, err = medcal("certify", "mine.csv")
    assert (code, said in err) == (2, True), err
    assert Path(SHEET).read_bytes() == text


def test_other_rows_of_the_same_file_are_not_called_altered(medcal, pool):
    medcal("certify", "mine.csv", *PLAN)
    fill(sheet(), pool).to_csv(SHEET, index=False)
    medcal("certify", "mine.csv")
    code, _, err = medcal("certify", "mine.csv", "--rows", "confidence > 0.7")
    assert (code, "altered" in err) == (2, False), err
    assert "was begun with all rows, not with --rows 'confidence > 0.7'" in err


def test_other_answers_are_refused(medcal, pool):
    assert "say --risk" in medcal("certify", "mine.csv")[2]
    assert not Path(SHEET).exists()
    medcal("certify", "mine.csv", *PLAN)
    fill(sheet(), pool).to_csv(SHEET, index=False)
    medcal("certify", "mine.csv")
    table = pd.read_csv("mine.csv")
    item = sheet()["item_id"][0]
    table["answer"] = table["answer"].mask(table["item_id"] == item, "both")
    table.to_csv("mine.csv", index=False)
    code, _, err = medcal("certify", "mine.csv")
    assert (
        code,
        f"answers were altered since it was begun (of those graded: {item})" in err,
    ) == (
        2,
        True,
    ), err
    code, out, _ = medcal("certify", "mine.csv", "--check")
    assert (code, f"ALTERED: mine.csv: answers were altered: {item}" in out) == (
        1,
        True,
    )
    table.assign(confidence=0.9).to_csv("mine.csv", index=False)
    assert "a file name of their own" in medcal("certify", "mine.csv")[2]


def test_methods_share_the_grades_of_the_same_answers(medcal, pool):
    """A half of delta each; an answer is asked for once; its grade counts for both."""
    one = pool.reset_index().drop(columns="right").assign(strategy="p_true")
    tilted = one["confidence"] - one["item_id"].str[-1].astype(int) / 100
    other = one.assign(strategy="verbalized", confidence=tilted)
    pd.concat([one, other]).to_csv("mine.csv", index=False)
    out = medcal("certify", "mine.csv", "--risk", 0.2, "--budget", 120)[1]
    while "run this again" in out:
        rows = sheet()
        assert not rows.duplicated("item_id").any()
        assert "confidence" not in rows
        fill(rows, pool).to_csv(SHEET, index=False)
        _, out, err = medcal("certify", "mine.csv")
    assert "2 methods were tested, each with a probability of 0.05 to fail" in out, err
    first = json.loads(Path("mine.threshold.json").read_text("utf-8"))
    [second] = first["others"]
    assert first["coverage"] >= second["coverage"] > 0
    assert first["delta"] == second["delta"] == 0.05
    # what was graded serves both: together they looked at more than there is
    assert first["n_graded"] + second["n_graded"] > len(sheet())
    rows = ["--rows", "strategy == 'p_true'"]
    assert "third plan" not in medcal("certify", "mine.csv")[2]
    assert "second plan on these answers" in medcal("certify", "mine.csv", *rows)[2]


def test_grades_that_are_there_are_used(medcal, pool):
    graded = pool.rename(columns={"right": "correct"}).drop(columns="answer")
    graded.to_csv("mine.csv")
    code, out, _ = medcal("certify", "mine.csv", *PLAN)
    assert (code, "not a clearance" in out) == (0, True)


def test_what_nobody_can_grade_is_wrong(medcal, pool):
    medcal("certify", "mine.csv", *PLAN)
    sheet().assign(correct="?").to_csv(SHEET, index=False)
    _, out, _ = medcal("certify", "mine.csv")
    assert "Refuted" in out


def test_a_query_is_kept(medcal, pool):
    one = pool.reset_index().drop(columns="right").assign(strategy="p_true")
    pd.concat([one, one.assign(strategy="verbalized")]).to_csv("mine.csv", index=False)
    rows = ["--rows", "strategy == 'p_true'"]
    medcal("certify", "mine.csv", *PLAN, *rows)
    out = medcal("certify", "mine.csv")[1]
    assert "0 answers graded in all, 60 left of 60: nothing" in out
    assert [row["n"] for row in ledger()[0]["methods"]] == [300]


@pytest.fixture
def use(medcal, pool):
    """Answers in use, graded, at a threshold that is certified."""
    graded = pool.rename(columns={"right": "correct"})
    graded.to_csv("mine.csv")
    medcal("certify", "mine.csv", *PLAN)
    rng = np.random.default_rng(0)
    use = pd.DataFrame({"item_id": range(900), "confidence": rng.uniform(0.5, 1, 900)})
    use["correct"] = (rng.random(900) > 0.1).astype(int)
    use.to_csv("use.csv", index=False)
    return use


def test_a_threshold_is_watched_in_use(medcal, use):
    code, out, _ = medcal("certify", "mine.csv", "--watch", "use.csv")
    assert (code, "no alarm" in out) == (0, True)
    rng = np.random.default_rng(1)
    use.loc[500:, "correct"] = (rng.random(400) > 0.5).astype(int)
    use.to_csv("use.csv", index=False)
    code, out, _ = medcal("certify", "mine.csv", "--watch", "use.csv")
    threshold = json.loads(Path("mine.threshold.json").read_text("utf-8"))["threshold"]
    retained = use[use["confidence"] >= threshold]
    alarm = watch(1 - retained["correct"], risk=0.2)["alarm"].to_numpy().argmax() + 1
    assert code == 1
    assert f"ALARM after {alarm} graded answers" in out
    # both are in the ledger, which is whole
    seen = [entry["alarm_after"] for entry in ledger() if entry["kind"] == "watch"]
    assert seen == [None, alarm]
    assert medcal("certify", "mine.csv", "--check")[0] == 0


def test_answers_of_another_model_are_not_watched(medcal, use):
    use.assign(model="other").to_csv("use.csv", index=False)
    code, _, err = medcal("certify", "mine.csv", "--watch", "use.csv")
    assert code == 2
    assert (
        "holds answers of other/unspecified; the threshold is of unnamed/unspecified"
        in err
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        "null",
        '{"threshold": 1}',
        '{"threshold": "x", "risk": 0.2}',
    ],
)
def test_a_damaged_threshold_or_ledger_is_said_so(medcal, use, text):
    place = Path("mine.threshold.json")
    whole = place.read_text("utf-8")
    place.write_text(text)
    code, _, err = medcal("certify", "mine.csv", "--watch", "use.csv")
    assert (code, "is damaged, or no threshold of" in err) == (2, True), err
    place.write_text(whole)
    Path("mine.certificate.jsonl").write_text(f"{text}\n")
    for words in (["--watch", "use.csv"], [], ["--check"]):
        code, out, err = medcal("certify", "mine.csv", *words)
        assert code in (1, 2)
        assert "unforeseen" not in err
        assert "line 1" in out + err or "bring the ledger back" in err, (out, err)


def test_a_plan_is_said_before_a_grade_and_begins_nothing(medcal, pool):
    words = ["--wrong", 0.02, "--accuracy", 0.85]
    code, out, _ = medcal("certify", "mine.csv", "--plan", *words)
    assert code == 0
    assert "300 cases; supposed that of the most confident fifth 2.0% are wrong" in out
    for least in (230, 114, 45, 22, 11):
        assert f"takes {least} answers without an error" in out
    # without a guess: as if the confidences were right
    top = pool["confidence"].nlargest(60)
    out = medcal("certify", "mine.csv", "--plan")[1]
    assert "supposed THAT THE CONFIDENCES ARE TRUE, which they seldom are" in out
    assert f"{1 - top.mean():.1%} are wrong and of all" in out
    # of the accuracy alone: as overconfident at the top as in the mean
    share = 1 - top.mean() + pool["confidence"].mean() - 0.5
    out = medcal("certify", "mine.csv", "--plan", "--accuracy", 0.5)[1]
    assert f"most confident fifth {share:.1%} are wrong and of all 50.0%" in out
    # starts that nobody would take without saying so are said
    words = ["--plan", "--risk", 0.05, "--wrong", 0.01, "--accuracy", 0.98]
    out = medcal("certify", "mine.csv", *words)[1]
    assert re.search(r"begin with --starts \d", out)
    assert "--risk R --starts …, where its line names them" in out
    assert not list(Path().glob("*.jsonl"))


def test_a_sheet_asks_for_no_answer_that_the_table_has_a_grade_of(medcal, pool):
    graded = pool.rename(columns={"right": "correct"}).astype({"correct": "Int64"})
    graded.to_csv("whole.csv")
    graded.loc[graded.index[::4], "correct"] = pd.NA
    graded.to_csv("mine.csv")
    n_known = graded["correct"].notna().sum()
    for _ in range(9):
        code, out, err = medcal("certify", "mine.csv", *PLAN)
        assert code == 0, err
        if "For a program" in out:
            break
        assert f"the table has {n_known} grades" in out
        rows = sheet()
        assert graded.loc[rows["item_id"], "correct"].isna().all()
        fill(rows, pool).to_csv(SHEET, index=False)
    assert "For a program" in out
    # the end is that of a table which has every grade
    Path("whole").mkdir()
    pool.rename(columns={"right": "correct"}).to_csv("whole/mine.csv")
    assert medcal("certify", "whole/mine.csv", *PLAN)[0] == 0
    ends = [
        json.loads(Path(folder, "mine.threshold.json").read_text())
        for folder in (".", "whole")
    ]
    same = ("threshold", "n", "errors", "state")
    assert [ends[0][name] for name in same] == [ends[1][name] for name in same]


def test_a_plan_takes_the_grades_of_the_table_as_a_pilot(medcal, pool):
    graded = pool.rename(columns={"right": "correct"}).astype({"correct": "Int64"})
    graded["confidence"] = graded["confidence"].rank(pct=True) / 2 + 0.5
    top = graded["confidence"] > 0.8
    chances = []
    for right in (1, 0):  # pilots whose surest answers are right, or wrong
        table = graded.assign(correct=graded["correct"].mask(top, right))
        table.loc[table.index[::3], "correct"] = pd.NA
        table.to_csv("mine.csv")
        out = medcal("certify", "mine.csv", "--plan", "--risk", 0.2)[1]
        assert "300 cases; a pilot of 200 graded ones" in out
        assert out.count("chance of a threshold") == 1  # of the risk that was asked
        chances.append(float(re.search(r"threshold (?:[<>] )?([\d.]+)%", out)[1]))
    assert chances[0] > 90 > 10 > chances[1]
    # a guess goes before
    words = ["--plan", "--wrong", 0.02, "--accuracy", 0.85]
    assert "most confident fifth 2.0%" in medcal("certify", "mine.csv", *words)[1]
    assert not list(Path().glob("*.jsonl"))


def test_starts_are_declared_and_another_choice_is_another_plan(medcal, pool):
    medcal("certify", "mine.csv", *PLAN, "--starts", "40,22")
    assert ledger()[0]["starts"] == [22, 40]
    fill(sheet(), pool).to_csv(SHEET, index=False)
    medcal("certify", "mine.csv")
    err = medcal("certify", "mine.csv", "--starts", "30")[2]
    assert "was begun with starts=22,40, not 30: second plan" in err
    assert "write whole numbers" in medcal("certify", "mine.csv", "--starts", "x")[2]


def test_what_is_right_missed_and_over_called_is_said(medcal, pool):
    graded = pool.rename(columns={"right": "correct"})
    graded["answer"] = np.where(np.arange(300) % 3 > 0, "yes", "no")
    graded.to_csv("mine.csv")
    out = medcal("certify", "mine.csv", "--risk", 0.2)[1]
    known = json.loads(Path("mine.threshold.json").read_text("utf-8"))
    n, errors = known["n"], known["errors"]
    assert (
        f"{n} drawn at random were graded: {percent(1 - errors / n)}% (95 % CI" in out
    )
    assert "sensitivity " in out
    assert "what 100% lacks was over-called" in out
    assert "costs less than 5 checks" in out


def test_a_group_that_is_graded_whole_is_not_called_drawn(medcal, pool):
    graded = pool.rename(columns={"right": "correct"}).assign(
        correct=True, confidence=0.9
    )
    graded.head(30).to_csv("mine.csv")
    out = medcal("certify", "mine.csv", "--risk", 0.1)[1]
    assert "Of the answers at a confidence of 0.9 and more, all 30 were graded" in out


def test_of_a_table_that_is_graded_in_part_the_rest_is_asked(medcal, pool):
    graded = pool.rename(columns={"right": "correct"}).astype({"correct": "Int64"})
    whole = graded.copy()
    Path("whole").mkdir()
    whole.to_csv("whole/mine.csv")
    medcal("certify", "whole/mine.csv", *PLAN)
    graded.loc[graded.index[::2], "correct"] = pd.NA
    graded.to_csv("mine.csv")
    out = medcal("certify", "mine.csv", *PLAN, "--batch", 1)[1]
    for _ in range(60):
        if "run this again" not in out:
            break
        rows = sheet()
        assert set(rows["item_id"]) <= set(graded.index[::2])
        fill(rows, pool).to_csv(SHEET, index=False)
        out = medcal("certify", "mine.csv", "--batch", 1)[1]
    ends = [
        json.loads(Path(p, "mine.threshold.json").read_text()) for p in ("", "whole")
    ]
    assert ends[0]["threshold"] == ends[1]["threshold"]
    assert ends[0]["n_graded"] == ends[1]["n_graded"]


def test_a_run_that_is_killed_loses_no_grade(medcal, pool):
    """Killed after each write in turn, the next run goes on as if nothing had been."""
    medcal("certify", "mine.csv", *PLAN)
    fill(sheet(), pool).to_csv(SHEET, index=False)
    before = {path: path.read_bytes() for path in Path().iterdir()}
    medcal("certify", "mine.csv")
    whole = Path("mine.certificate.jsonl").read_bytes()
    begun = before[Path("mine.certificate.jsonl")]
    for n_bytes in range(len(begun), len(whole), 577):
        for path, content in before.items():
            path.write_bytes(content)
        Path("mine.certificate.jsonl").write_bytes(whole[:n_bytes])
        assert (
            "20 answers graded in all, 40 left of 60"
            in medcal("certify", "mine.csv")[1]
        )
        assert medcal("certify", "mine.csv", "--check")[0] == 0


def test_a_plan_speaks_of_a_pilot_where_there_are_grades_and_keeps_its_rows(
    medcal, pool
):
    rows = pd.read_csv("mine.csv")
    rows = rows.drop(columns="correct", errors="ignore")
    rows.assign(correct=np.nan).to_csv("open.csv", index=False)
    rows.assign(correct=np.arange(len(rows)) % 4 > 0).to_csv("pilot.csv", index=False)
    query = "confidence > 0.1"
    out = medcal("certify", "open.csv", "--plan", "--accuracy", 0.6, "--rows", query)[1]
    assert "pilot" not in out
    assert f'medcal certify open.csv --rows "{query}" --risk R' in out
    out = medcal("certify", "pilot.csv", "--plan")[1]
    assert "A pilot, whose grades are seen, has to be of cases drawn at random" in out
    assert "medcal certify pilot.csv --risk R" in out
