"""A threshold certified through a sheet that a person fills: it goes on, and loses nothing."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medcal_nb.certify import certify, watch

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
        graded.sample(frac=1, random_state=seed).to_csv(f"{name}.csv")
        assert medcal("certify", f"{name}.csv", *PLAN)[0] == 0
        stand = json.loads(Path(f"{name}.threshold.json").read_text("utf-8"))
        stands.append({key: stand[key] for key in ("threshold", "coverage", "n")})
    assert stands[0] == stands[1]


def test_a_pool_is_graded_to_the_end_whatever_a_person_does_to_the_sheet(medcal, pool):
    code, out, _ = medcal("certify", "mine.csv", *PLAN)
    assert code == 0
    assert "0 graded, 60 left of 60: nothing certified so far" in out
    assert "grade 20 answers" in out
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
    assert len(sheet()) <= 60
    found = json.loads(Path("mine.threshold.json").read_text("utf-8"))
    ordered = pool.sort_index()
    end = certify(ordered["confidence"], ordered["right"], risk=0.2, budget=60)
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


def test_what_the_first_run_fixed_stays(medcal, pool):
    medcal("certify", "mine.csv", *PLAN)
    for name, begun, other in (("risk", 0.2, 0.1), ("budget", 60, 400), ("seed", 0, 3)):
        code, _, err = medcal("certify", "mine.csv", f"--{name}", other)
        assert code == 2
        assert f"begun with {name}={begun}, not {other}" in err


DAMAGE = [
    (lambda t: t.assign(correct=["ja", "x", "1", *t["correct"][3:]]), "value 'ja' is no grade"),
    (lambda t: t.assign(item_id=["q999", *t["item_id"][1:]]), "value 'q999' is no answer"),
    (lambda t: pd.concat([t.assign(correct="1"), t[:1].assign(correct="0")]), "two grades"),
    (lambda t: t.rename(columns={"correct": "right"}), "no column 'correct'"),
    (lambda t: t.assign(certificate="risk=0.2"), "put it back"),
    (lambda t: t.assign(certificate=t["certificate"].str[:-9]), "another version of medcal"),
    (lambda t: t.assign(certificate=[*t["certificate"][1:], "x"]), "same in every row"),
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


def test_other_answers_are_refused(medcal, pool):
    assert "say --risk" in medcal("certify", "mine.csv")[2]
    assert "must be a share" in medcal("certify", "mine.csv", "--risk", 20)[2]
    assert not Path(SHEET).exists()
    medcal("certify", "mine.csv", *PLAN)
    pd.read_csv("mine.csv").assign(confidence=0.9).to_csv("mine.csv", index=False)
    code, _, err = medcal("certify", "mine.csv")
    assert (code, "other answers than these" in err) == (2, True), err


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
    assert "other answers than these" in medcal("certify", "mine.csv", *rows)[2]


def test_grades_that_are_there_are_used_and_what_nobody_can_grade_is_wrong(
    medcal, pool
):
    graded = pool.rename(columns={"right": "correct"}).drop(columns="answer")
    graded.to_csv("mine.csv")
    code, out, _ = medcal("certify", "mine.csv", *PLAN)
    assert (code, "not a clearance" in out) == (0, True)
    graded.assign(correct="").to_csv("mine.csv")
    medcal("certify", "mine.csv", *PLAN)
    sheet().assign(correct="?").to_csv(SHEET, index=False)
    _, out, _ = medcal("certify", "mine.csv")
    assert "Refuted" in out


def test_a_threshold_is_watched_in_use(medcal, pool):
    assert (
        "mine.threshold.json" in medcal("certify", "mine.csv", "--watch", "use.csv")[2]
    )
    graded = pool.rename(columns={"right": "correct"})
    graded.to_csv("mine.csv")
    medcal("certify", "mine.csv", *PLAN)
    known = json.loads(Path("mine.threshold.json").read_text("utf-8"))
    rng = np.random.default_rng(0)
    use = pd.DataFrame({"item_id": range(900), "confidence": rng.uniform(0.5, 1, 900)})
    use["correct"] = (rng.random(900) > 0.1).astype(int)
    use.to_csv("use.csv", index=False)
    code, out, _ = medcal("certify", "mine.csv", "--watch", "use.csv")
    assert (code, "no alarm" in out) == (0, True)
    use.loc[500:, "correct"] = (rng.random(400) > 0.5).astype(int)
    use.to_csv("use.csv", index=False)
    code, out, _ = medcal("certify", "mine.csv", "--watch", "use.csv")
    kept = use[use["confidence"] >= known["threshold"]]
    alarm = watch(1 - kept["correct"], risk=0.2)["alarm"].to_numpy().argmax() + 1
    assert code == 1
    assert f"ALARM after {alarm} graded answers" in out
