"""The command line: what each command gives, and how it says what is wrong."""

import json
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
import typer

from medcal_nb import cli, run
from medcal_nb.answers import AnswerLog, in_order, load_answers
from medcal_nb.correct import fit
from medcal_nb.errors import MedcalError
from medcal_nb.measure import METRICS, metrics_table
from tests.notebooks.worlds import replies_of

COMMANDS = "report import score calibrate certify check ask reader explore study doctor"


@pytest.fixture
def table(tmp_path):
    """400 answers of two models about 200 images, the confidence in percent."""
    rng = np.random.default_rng(0)
    confidence = rng.integers(50, 100, 400)
    rows = {
        "case": np.arange(400),
        "scan": np.arange(400) // 2,
        "conf": confidence,
        "right": (rng.random(400) < confidence / 100 - 0.1).astype(int),
        "model": np.where(np.arange(400) % 2, "a", "b"),
        "domain": np.where(np.arange(400) < 200, "general", "medical"),
    }
    path = tmp_path / "mine.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def test_there_are_eleven_commands_and_each_shows_an_example(medcal):
    commands = typer.main.get_command(cli.app).commands
    assert set(commands) == set(COMMANDS.split())
    assert sum(len(one.params) for one in commands.values()) < 93
    for name in commands:
        code, out, _ = medcal(name, "--help")
        assert code == 0
        assert f"Example: medcal {name}" in out
        for option in commands[name].params:
            assert len(option.help.split()) > 3, option.name
            assert option.help.endswith("."), option.name
    assert medcal("--version")[1].startswith("medcal ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["stuudy"], "'stuudy'"),
        (["study", "99"], "no notebook '99'"),
        (["score", "nothing.csv"], "nothing.csv"),
        (["reader", "pockte", "--to", "x.html"], "did you mean 'pocket'"),
        (["score", "vlcb", "-c", "confidence=conf"], "leave out confidence"),
        (["ask", "--temperature", "nan"], "--temperature"),
        (["ask", "--timeout", "inf"], "--timeout"),
        (["score", "x.csv", "--require", "ecce < 1"], "did you mean 'ece'"),
        (["score", "x.csv", "--require", "ece < 1.2.3"], "METRIC < NUMBER"),
        (["score", "x.csv", "-c", "confidence"], "write NAME=VALUE"),
        (["calibrate", "x.csv", "--method", "plat"], "did you mean 'platt'"),
        (["report", "x.csv", "--to", "x.pdf"], "a report is a folder"),
        (["ask", "--model", "m", "--to", "a.sqlite"], "--model and --dataset"),
        (["ask", "--model", "m", "--to", "a.csv"], "--to: name the log"),
        (["ask", "--methods", "verbalised"], "verbalized"),
    ],
)
def test_wrong_use_is_said_in_one_line(medcal, words, said):
    code, out, err = medcal(*words)
    assert (code, out) == (2, "")
    assert err.startswith("medcal: error: ")
    assert err.count("\n") == 1
    assert said in err


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (MedcalError("bad\x1b[31m name"), 2, "bad\ufffd[31m name"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (ModuleNotFoundError("no", name="torch"), 2, "pip install 'medcal-nb[ask]'"),
        (OSError(28, "No space left on device", "a.csv"), 2, "a.csv: No space"),
        (FileNotFoundError(2, "No such file", "a.csv"), 2, "a.csv: No such file"),
        (RuntimeError("odd"), 1, "unforeseen RuntimeError: odd"),
    ],
)
def test_an_error_has_its_status_and_no_traceback(
    medcal, monkeypatch, error, code, said
):
    monkeypatch.setattr(run, "steps_of", Mock(side_effect=error))
    status, _, err = medcal("study")
    assert status == code
    assert said in err
    assert "Traceback" not in err


def test_what_steers_a_terminal_does_not_pass_through_a_pipe(medcal, table):
    named = ("-c", "model=\x1b[31mred")
    for words in (("--csv",), ()):
        _, out, err = medcal("score", table, *named, *words)
        assert "[31mred" in out
        assert "\x1b" not in out + err


def test_a_study_says_what_becomes_of_each_notebook(medcal, monkeypatch):
    outcomes = {"02_metrics": "unchanged", "04_transfer": "ran in 2 s"}
    run_study = Mock(return_value=outcomes)
    monkeypatch.setattr(run, "run_study", run_study)
    code, out, _ = medcal("study", "2", "--force")
    assert code == 0
    assert out.startswith("02_metrics: unchanged\nfigures and pages: ")
    assert run_study.call_args.kwargs == {"force": True, "plan_only": False}
    assert "04_transfer: ran in 2 s" in medcal("study", "--list")[1]
    assert run_study.call_args.kwargs == {"force": False, "plan_only": True}
    outcomes["04_transfer"] = "failed: x"
    assert medcal("study")[:2] == (1, "02_metrics: unchanged\n")


def test_verify_fails_where_a_number_differs(medcal, monkeypatch):
    differs = {"02": [], "04": ["t, row 1"]}
    monkeypatch.setattr(run, "verify_study", lambda chosen: differs)
    code, out, err = medcal("study", "--verify")
    assert (code, out) == (1, "02: agrees\n04: differs\n  t, row 1\n")
    assert "1 notebooks differ" in err
    code, _, err = medcal("study", "--verify", "-p", "SEED=2")
    assert code == 2
    assert "leave out -p" in err


def test_the_order_of_rows_and_the_name_of_a_file_move_no_score(medcal, table):
    named = ["case", "scan", "conf", "right"]
    columns = zip(["item_id", "image_id", "confidence", "correct"], named, strict=True)
    words = [word for pair in columns for word in ("-c", "=".join(pair))]
    rows = pd.read_csv(table)
    scores = []
    for seed, name in enumerate(("first", "gemini-2.5-pro")):
        rows.sample(frac=1, random_state=seed).to_csv(f"{name}.csv", index=False)
        code, out, err = medcal("score", f"{name}.csv", *words, "--json")
        assert code == 0, err
        scores.append(out.replace(name, "the file"))
    assert scores[0] == scores[1]


def test_lists_name_methods_models_and_data_sets(medcal):
    assert "verbalized_cot" in medcal("ask", "--list", "methods")[1]
    assert "pocket-general" in medcal("ask", "--list", "models")[1]
    assert "pocketvqa-medical" in medcal("ask", "--list", "datasets")[1]


def test_score_prints_the_table_of_metrics(medcal, table):
    words = ("-c", "image=scan", "--by", "model", "--csv")
    code, out, err = medcal("score", table, *words)
    assert code == 0
    assert "'conf' (percent), correct from 'right', image_id from 'scan'" in err
    lines = out.splitlines()
    names = lines[0].split(",")
    direct = metrics_table(
        in_order(load_answers(table, image_id="scan")),
        by=["model"],
        metrics=[name for name in names if name in METRICS],
    )
    assert lines == direct[names].to_csv(index=False).splitlines()
    code, out, _ = medcal("score", table, *words[:-1], "--json", "--require", "ece < 0")
    assert code == 1
    rows = pd.DataFrame(json.loads(out))
    pd.testing.assert_frame_equal(rows, direct[names], check_dtype=False, rtol=1e-12)
    limit = ("--require", "observed_expected < 9")
    shown = medcal("score", table, "--by", "model,domain", *limit)[1]
    assert len(shown.splitlines()) == 5
    assert "observed : expected" in shown
    assert "did you mean 'model'" in medcal("score", table, "--by", "modle")[2]


def test_score_and_report_judge_the_same_answers(medcal, table):
    answers = pd.read_csv(table).drop(columns="domain")  # else one serves transfer
    answers["split"] = np.where(np.arange(len(answers)) % 3, "test", "val")
    answers.to_csv("p.csv", index=False)
    n_test = int((answers["split"] == "test").sum())
    code, out, err = medcal("score", "p.csv", "--json")
    assert code == 0, err
    assert sum(row["n"] for row in json.loads(out)) == n_test
    assert f"of the splits test alone is judged: {n_test} of {len(answers)}" in err
    assert medcal("report", "p.csv", "--to", "page")[0] == 0
    told = json.loads(Path("page/report.json").read_text("utf-8"))["tables"]
    assert sum(row["n"] for row in told["performance"]) == n_test
    _, out, _ = medcal("score", "p.csv", "--by", "split", "--json")
    assert sum(row["n"] for row in json.loads(out)) == len(answers)


def test_a_gate_fails_where_an_interval_does_not_keep_it(medcal, table):
    few = ("score", table, "--by", "")
    code, _, err = medcal(*few, "--require", "accuracy > 0.5")
    assert (code, ", > 0.5" in err) == (0, True)
    both = ("--require", "accuracy > 0.7", "--require", "ece<0.01")
    code, out, err = medcal(*few, *both)
    assert code == 1
    assert out
    for words in ("lower end", "not > 0.7", "upper end", "not < 0.01"):
        assert words in err


def test_what_has_no_interval_keeps_no_limit(medcal, table):
    """The log loss of answers that are said to be certain."""
    answers = pd.read_csv(table)
    answers.loc[0, "conf"] = 100
    answers.to_csv("certain.csv", index=False)
    gate = ("--by", "", "--require", "log_loss < 99")
    assert medcal("score", table, *gate)[0] == 0
    code, out, err = medcal("score", "certain.csv", *gate)
    assert code == 1
    assert "no limit of log_loss is kept, as it has no interval here" in err
    assert "confidence 0 or 1 costs has no bound" in err
    assert "log loss" in out
    assert "log loss" not in medcal("score", "certain.csv")[1]


def test_what_is_ungraded_stands_between_bounds_and_counts_against_a_gate(
    medcal, table
):
    answers = pd.read_csv(table)
    answers["right"] = answers["right"].astype("boolean")
    answers.loc[:99, "right"] = pd.NA
    answers.to_csv("open.csv", index=False)
    least = answers["right"].fillna(False).mean()
    most = answers["right"].fillna(True).mean()
    words = ("score", "open.csv", "--by", "")
    (row,) = json.loads(medcal(*words, "--json")[1])
    bounds = [row["n_ungraded"], row["accuracy_least"], row["accuracy_most"]]
    assert bounds == pytest.approx([100, least, most])
    assert row["accuracy"] is None
    assert row["gap"] is None
    graded = metrics_table(load_answers("open.csv"), by=[], metrics=["accuracy"])
    (row,) = graded.to_dict("records")
    end = row["accuracy_low"]
    for limit, status in ((end - 0.01, 1), (end + least - row["accuracy"] - 0.01, 0)):
        gate = ("--require", f"accuracy > {limit:.6f}")
        code, out, err = medcal(*words, *gate)
        assert code == status
        assert "of accuracy, the worst taken of 100 ungraded answers, is" in err
    assert f"{100 * least:.0f} to {100 * most:.0f} %" in out
    assert "overconfidence, between bounds" in out
    # a limit that the graded ones keep, and the worst grades of the others do not
    for limit in ("ece < 0.15", "brier < 0.25", "auroc > 0.5"):
        code, out, err = medcal(*words, "--require", limit)
        assert "the worst taken of 100 ungraded answers, is" in err
        assert out.count(", between bounds") == 3  # that of the limit, too
        assert code == 1, err


def test_answers_come_in_and_go_out_again(medcal, table):
    named = ("-c", "image=scan", "-c", "dataset=mine", "-c", "method=verbalized")
    code, out, _ = medcal("import", table, *named, "--to", "a.sqlite")
    assert (code, out) == (0, "a.sqlite: 400 of 400 answers written\n")
    assert medcal("import", "a.sqlite", "--to", "b.parquet")[0] == 0
    one = load_answers(table, image_id="scan", dataset="mine", strategy="verbalized")
    for name in ("a.sqlite", "b.parquet"):
        back = load_answers(name).set_index("item_id")["confidence"]
        assert back[one["item_id"]].tolist() == one["confidence"].tolist()
    assert medcal("import", "a.sqlite", "--to", "b.parquet")[0] == 2
    assert medcal("import", "a.sqlite", "--to", "b.parquet", "--force")[0] == 0


def test_the_table_of_the_readme_goes_through_four_commands(medcal):
    replies = replies_of(0.8).assign(question="Is there a fracture?")
    replies.to_csv("mine.csv", index=False)
    for words in (
        ("report", "mine.csv", "-c", "reply=output", "--to", "page"),
        ("score", "mine.csv", "--require", "accuracy > 0.5"),
        ("import", "mine.csv", "--to", "mine.sqlite"),
        ("certify", "mine.csv", "--risk", 0.2, "--plan"),
    ):
        code, out, err = medcal(*words)
        assert (code, "unforeseen" in err) == (0, False), (words, err)
        assert out + err
    assert len(load_answers("mine.sqlite")) == 90


def log_of(path, **confidences):
    key = {"model": "m", "dataset": "d", "strategy": "s", "run_id": path}
    rows = [key | {"item_id": i, "confidence": c} for i, c in confidences.items()]
    with AnswerLog(path) as log:
        log.append(rows)


def test_several_files_become_one_log_and_equal_answers_are_one(medcal):
    log_of("a.sqlite", x=0.5, y=0.6)
    log_of("b.sqlite", x=0.5, y=0.6, z=0.7)
    log_of("c.sqlite", x=0.9)
    for name, n in (("a", "2 of 2"), ("b", "1 of 3"), ("b", "0 of 3")):
        done = medcal("import", f"{name}.sqlite", "--to", "all.sqlite")
        assert done[:2] == (0, f"all.sqlite: {n} answers written\n")
    other = ("c.sqlite", "--to", "all.sqlite")
    code, _, err = medcal("import", *other)
    assert code == 2
    assert "c.sqlite: there already with other content: model=m" in err
    assert len(load_answers("all.sqlite")) == 3
    assert medcal("import", *other, "--force")[0] == 0


def test_what_is_wrong_with_a_file_leaves_nothing_behind(medcal, tmp_path):
    (tmp_path / "bad.csv").write_text("item_id,confidence,correct\n1,7,1\n")
    log_of("a.sqlite", x=0.5)
    for words in (["bad.csv"], ["a.sqlite", "-c", "model=x"]):
        for to in ("new.sqlite", "new.csv"):
            code, out, err = medcal("import", *words, "--to", to)
            assert (code, out) == (2, "")
            assert "medcal: error: " in err
    assert {path.name for path in tmp_path.iterdir()} == {"a.sqlite", "bad.csv"}


def test_calibrate_fits_on_some_rows_and_applies_to_others(medcal, table):
    rows = ("--fit", "domain == 'general'", "--apply", "domain == 'medical'")
    code, out, _ = medcal("calibrate", table, *rows, "--to", "c.csv")
    assert (code, out) == (0, "c.csv: 200 of 200 answers recalibrated\n")
    answers = load_answers(table).query("model == 'a'").set_index("item_id")
    source = answers.query("domain == 'general'")
    fitted = fit(source["confidence"], source["correct"].astype(int), method="platt")
    done = load_answers("c.csv").query("model == 'a'").set_index("item_id")
    confidence = answers.loc[done.index, "confidence"]
    np.testing.assert_allclose(done["confidence"], fitted(confidence), atol=1e-6)
    assert medcal("calibrate", table, "-c", "image=scan")[0] == 0
    assert set(load_answers("mine_platt.csv")["strategy"]) == {"unspecified+platt"}
    code = "domain.to_csv('e.csv') == None"  # a query calls nothing
    for query in ("domian == 'x'", "domain == 'x'", "domain ==", code):
        for option in ("--fit", "--apply"):
            assert medcal("calibrate", table, option, query, "--to", "e.csv")[0] == 2
        assert medcal("report", table, "--transfer-from", query, "--to", "e")[0] == 2
    assert not list(table.parent.glob("e*"))


def test_calibrate_keeps_the_order_of_the_file_and_answers_without_a_number(
    medcal, table
):
    answers = pd.read_csv(table).sample(frac=1, random_state=0)
    answers.loc[answers.index[::5], "conf"] = np.nan
    answers.loc[answers.index[1:41:5], "right"] = np.nan
    answers.to_csv("holes.csv", index=False)
    code, out, err = medcal("calibrate", "holes.csv", "--to", "c.csv")
    assert code == 0, err
    assert "320 of 400 answers recalibrated, of them 8 without a grade by a map" in out
    assert "80 without a confidence kept" in out
    done = pd.read_csv("c.csv")
    assert done["item_id"].tolist() == answers["case"].tolist()
    np.testing.assert_array_equal(done["confidence"].isna(), answers["conf"].isna())
    before = load_answers("holes.csv")
    np.testing.assert_allclose(done["confidence_uncorrected"], before["confidence"])
    # an answer without a grade, by one map of all graded answers of its model
    graded = before[before["correct"].notna() & before["confidence"].notna()]
    row = done.index[1]
    own = graded[graded["model"] == before.loc[row, "model"]]
    fitted = fit(own["confidence"], own["correct"].astype(int), method="platt")
    expected = fitted(before["confidence"].iloc[[row]].to_numpy(float))
    assert done["confidence"].iloc[row] == pytest.approx(expected[0], rel=1e-9)


def test_calibrate_knows_temperature_scaling_by_its_name(medcal, table):
    tables = []
    for name in ("temperature", "log_odds"):
        to = table.with_name(f"{name}.csv")
        code, _, err = medcal("calibrate", table, "--method", name, "--to", to)
        assert code == 0, err
        tables.append(to.read_text("utf-8"))
    assert tables[0] == tables[1]


def test_calibrate_notes_images_of_two_names(medcal, tmp_path):
    lines = ["id,image,dataset,confidence,correct"]
    lines += [
        f"q{i},im{i % 60},{'ab'[i // 60]},.{i % 40 + 50},{i % 3 % 2}"
        for i in range(120)
    ]
    (tmp_path / "two.csv").write_text("\n".join(lines))
    rows = ("--fit", "dataset == 'a'", "--apply", "dataset == 'b'")
    code, _, err = medcal("calibrate", "two.csv", *rows, "--to", "c.csv")
    assert code == 0
    assert "60 images of source and target" in err


@pytest.mark.slow
def test_a_model_is_asked_in_two_parts_into_one_log(medcal):
    few = ("--model", "pocket-general", "--dataset", "pocketvqa-medical", "--n", 6)
    for part in ("1/2", "2/2"):
        assert medcal("ask", *few, "--shard", part, "--to", "a.sqlite")[0] == 0
    assert len(load_answers("a.sqlite")) == 6
    assert medcal("ask", *few, "--shard", "3/2", "--to", "a.sqlite")[0] == 2


def test_the_report_of_typed_decisions_says_what_the_vendor_s_number_is(medcal):
    probabilities = ['{"left": 0.7, "right": 0.3}', '{"left": 0.4, "right": 0.6}'] * 30
    table = {
        "choice": ["left", "right"] * 30,
        "probabilities": probabilities,
        "gold": "left",
    }
    table["confidence"] = [0.4, 0.2] * 30
    pd.DataFrame(table).to_csv("sold.csv", index=False)
    assert medcal("import", "sold.csv", "--to", "sold.sqlite")[0] == 0
    assert medcal("report", "sold.sqlite", "--to", "page")[0] == 0
    text = Path("page/report.html").read_text(encoding="utf-8")
    assert "in the column vendor_number and is not scored" in text
    assert "(k p - 1) / (k - 1)" in text
    assert "from the probability of the chosen option (60)" in text
