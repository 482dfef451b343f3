"""The log of a model that is being asked: whole batches, through kills, full disks and others."""

import contextlib
import os
import sqlite3
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from medcal_nb.answers import AnswerLog, load_answers, read_answers, write_table
from medcal_nb.answers.samples import one_answer_an_item
from medcal_nb.errors import MedcalError
from tests.damage import refusals


def row(item="1", **more):
    base = {
        "model": "m",
        "dataset": "d",
        "item_id": item,
        "strategy": "verbalized",
        "sample": 0,
    }
    return base | {"answer": "yes", "confidence": 0.8, "correct": True} | more


@pytest.fixture
def log(tmp_path):
    with AnswerLog(tmp_path / "a.sqlite") as log:
        yield log


def run(script, *arguments, **options):
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, **options
    )


# --- rows in and out -----------------------------------------------------------------------------


def test_rows_come_back_typed_in_key_order(log):
    rows = [row(i, site="east", visibility=i / 4, reader=7) for i in (10, 2, 1)]
    rows[0] |= {
        "gold": ["yes", "yeah"],
        "option_probabilities": {"yes": 0.75, "no": 0.25},
    }
    rows[1] |= {"confidence": None, "correct": None, "parse_ok": False, "answer": None}
    assert log.append(rows) == 3
    frame = log.read()
    assert frame["item_id"].tolist() == ["1", "10", "2"]
    assert frame["gold"].tolist()[1] == '["yes","yeah"]'
    assert frame["option_probabilities"][1] == {"yes": 0.75, "no": 0.25}
    assert np.isnan(frame["confidence"][2])
    assert frame["correct"][2] is pd.NA
    assert not frame["parse_ok"][2]
    assert frame["sample"].tolist() == [0, 0, 0]
    assert frame["visibility"].tolist() == [0.25, 2.5, 0.5]
    assert frame["reader"].tolist() == ["7"] * 3
    assert log.keys(model="m", strategy="verbalized") == {
        ("m", "d", item, "verbalized", 0) for item in ("1", "10", "2")
    }
    assert log.keys(model="c") == set()
    assert log.read(model="c").empty


def test_append_is_all_or_nothing(log):
    log.append([row(1)])
    with pytest.raises(MedcalError, match=r"there already with.*item_id=1"):
        log.append([row(2), row(1, answer="no")])
    with pytest.raises(MedcalError, match="row 2, column 'confidence'"):
        log.append([row(3), row(4, confidence=1.5)])
    assert log.keys() == {("m", "d", "1", "verbalized", 0)}
    refused = pytest.raises(MedcalError, match="opened or written")
    with AnswerLog(log.path, read_only=True) as copy, refused:
        copy.append([row(5)])


def test_what_exists_is_kept_or_replaced_as_asked(log):
    log.append([row(1, run_id="one", seconds=1.0)])
    same = row(1, run_id="two", seconds=2.0)
    assert log.append([same]) == 0
    assert log.append([row(1, answer="no"), row(2)], if_exists="ignore") == 1
    assert log.read()["answer"].tolist() == ["yes", "yes"]
    assert log.append([row(1, answer="no")], if_exists="replace") == 1
    assert log.read()["answer"].tolist() == ["no", "yes"]
    assert log.runs() == {("verbalized", None)}


BAD = [
    ({"confidence": 85}, r"column 'confidence': value 85(.0)? is outside 0 to 1"),
    ({"confidence": float("inf")}, r"value inf is outside 0 to 1"),
    ({"confidence": "85%"}, r"'85%' is outside 0 to 1"),
    ({"correct": "maybe"}, r"column 'correct': value 'maybe' is neither true nor false"),
    ({"parse_ok": "x"}, r"column 'parse_ok'.*neither true nor false"),
    ({"item_id": None}, r"column 'item_id': .*missing"),
    ({"item_id": ""}, r"column 'item_id'.*missing"),
    ({"model": float("nan")}, r"column 'model'.*missing"),
    ({"sample": 1.5}, r"column 'sample': value 1.5 is no count"),
    ({"sample": -1}, r"value -1 is no count"),
    ({"new_tokens": "many"}, r"'many' is not a number"),
    ({"option_probabilities": "yes"}, r"not a table of names and values; write JSON"),
    ({"option_probabilities": {"a": 1.5}}, r"holds a value that is not a probability"),
    ({"answer": "\ud800"}, r"surrogates not allowed"),
    ({"gold": [1, 2]}, r"not a list of texts"),
    ({"image": b"\x89PNG"}, r"column 'image'.*cannot be kept; drop this column"),
    ({"weight": float("inf")}, r"column 'weight'"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), BAD, ids=range(len(BAD)))
def test_what_does_not_fit_is_named(log, change, message):
    problem = rf"row 2, .*{message}"
    with pytest.raises(MedcalError, match=problem):
        log.append([row(1), row(2) | change, row(3)])
    assert not log.keys()


def test_doubles_and_missing_columns_are_named(log):
    with pytest.raises(MedcalError, match=r"rows 1 and 3 are the same answer.*sample"):
        log.append([row(1), row(2), row(1, answer="no")])
    with pytest.raises(MedcalError, match="no column 'strategy'"):
        log.append(pd.DataFrame([row()]).drop(columns="strategy"))


def test_types_that_mean_the_same_are_one(log):
    log.append(
        [
            row(1, correct="Yes", confidence="0.5", sample="1", gold=3, answer=3),
            row(2, correct=0, confidence=np.float32(0.9), gold="3", answer="3"),
            row(3, correct="false", confidence=1, sample=None, gold=None, answer=2.0),
        ]
    )
    read = log.read()
    assert read["correct"].tolist() == [True, False, False]
    assert read["confidence"].tolist() == [0.5, 0.9, 1.0]
    assert read["sample"].tolist() == [1, 0, 0]
    assert read["answer"].tolist() == ["3", "3", "2"]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_table_of_a_log_comes_back_as_it_was(log, tmp_path, kind):
    same = {"gold": ["a", "b"], "option_probabilities": {"A": 1 / 9}}
    for k, note in enumerate(["x", None, "1,5", 'a "b"\nc']):
        log.append([row(k, sample=k % 2, note=note, **same)])
    write_table(log.read(), tmp_path / f"a.{kind}", sources=[log.path])
    again = read_answers(tmp_path / f"a.{kind}")
    again = again.drop(columns=["grade_from", "confidence_from"])
    pd.testing.assert_frame_equal(again, log.read(), check_dtype=False)
    with AnswerLog(tmp_path / "b.sqlite") as other:
        other.append(again.sample(frac=1, random_state=1))
        pd.testing.assert_frame_equal(other.read(), log.read())


def test_a_csv_holds_no_formula(log, tmp_path):
    risky = ["=cmd|' /C calc'!A0", "+1", "-2.5", "@x", "\tx", "plain", ""]
    log.append([row(i, answer=text, **{"=note": text}) for i, text in enumerate(risky)])
    write_table(log.read(), tmp_path / "a.csv")
    table = pd.read_csv(tmp_path / "a.csv", keep_default_na=False, dtype=str)
    safe = ["'=cmd|' /C calc'!A0", "+1", "-2.5", "'@x", "'\tx", "plain", ""]
    assert table["answer"].tolist() == table["'=note"].tolist() == safe


def test_a_table_replaces_no_source_and_nothing_unasked(log, tmp_path):
    log.append([row()])
    (tmp_path / "old.csv").write_text("mine")
    (tmp_path / "again.csv").symlink_to(log.path)
    for name, force, message in (
        ("again.csv", True, "is what would be read"),
        ("a.doc", True, "name it .csv, .xlsx or .parquet"),
        ("old.csv", False, r"there already.*--force"),
    ):
        with pytest.raises(MedcalError, match=message):
            write_table(log.read(), tmp_path / name, sources=[log.path], force=force)
    assert (tmp_path / "old.csv").read_text() == "mine"


# --- kills, others, full disks -------------------------------------------------------------------

# writers are forked by a process of one thread that has imported everything once
KILLS = """
import os, random, signal, sys, time
from medcal_nb.answers import AnswerLog

def append(path, told=None):
    with AnswerLog(path) as log:
        done = log.keys()
        for start in range(0, 6000, 100):
            batch = [dict(model="m", dataset="d", item_id=f"{i:05d}", strategy="s", sample=k,
                          answer=f"{i:05d}", confidence=start / 6000)
                     for i in range(start, start + 100) for k in (0, 1)]
            batch = [row for row in batch if tuple(row.values())[:5] not in done]
            if batch:
                log.append(batch)
                if told:
                    os.write(told, b"x")

whole, killed = sys.argv[1:]
append(whole)
dice = random.Random(4)
for _ in range(6):
    read, write = os.pipe()
    writer = os.fork()
    if not writer:
        append(killed, write)
        os._exit(0)
    os.read(read, 1)  # it is writing now
    time.sleep(dice.uniform(0, 0.03))
    os.kill(writer, signal.SIGKILL)
    died = os.waitstatus_to_exitcode(os.waitpid(writer, 0)[1]) == -signal.SIGKILL
    with AnswerLog(killed, read_only=True) as log:
        print(int(died), len(log.keys()), flush=True)
append(killed)
"""


@pytest.mark.slow
def test_killed_at_random_moments_nothing_is_lost_or_doubled(tmp_path):
    killed, whole = tmp_path / "killed.sqlite", tmp_path / "whole.sqlite"
    ended = run(KILLS, whole, killed)
    assert ended.returncode == 0, ended.stderr
    died, rows = zip(*map(str.split, ended.stdout.splitlines()), strict=True)
    assert died.count("1") >= 3
    assert all(int(n) % 200 == 0 for n in rows), "a batch is in whole or not at all"
    with AnswerLog(killed) as one, AnswerLog(whole) as other:
        pd.testing.assert_frame_equal(one.read(), other.read())


TWO = """
import os, sys, time
from medcal_nb.answers import AnswerLog
start = time.time() + 0.1
name = "a" if os.fork() else "b"
for k in range(40):
    # both at the same moment: the last millisecond is waited out awake
    time.sleep(max(0, start + 0.02 * k - time.time() - 0.001))
    while time.time() < start + 0.02 * k:
        pass
    with AnswerLog(f"{sys.argv[1]}/{k % 20}.sqlite") as log:
        log.append([dict(model=name, dataset="d", item_id=k, strategy="s")])
if name == "b":
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""


def test_two_processes_that_make_and_fill_one_log_do_no_harm(tmp_path):
    ended = run(TWO, tmp_path)
    assert ended.returncode == 0, ended.stderr
    for k in range(20):
        with AnswerLog(tmp_path / f"{k}.sqlite", read_only=True) as log:
            assert len(log.keys()) == 4


def test_one_reads_while_another_writes(log):
    log.append([row(i) for i in range(50)])
    with AnswerLog(log.path, read_only=True) as reading:
        rows = reading._select("item_id")
        next(rows)
        assert log.append([row("more")]) == 1
        assert len(list(rows)) >= 49


def test_a_locked_log_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("medcal_nb.answers.log.BUSY_SECONDS", 0.1)
    with AnswerLog(tmp_path / "a.sqlite") as log:
        with contextlib.closing(sqlite3.connect(log.path)) as other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(MedcalError, match="locked by another process"):
                log.append([row()])
        assert log.append([row()]) == 1


def test_a_full_disk_is_told_and_keeps_what_was_there(log):
    log.append([row(1)])
    (pages,) = log._con.execute("PRAGMA page_count").fetchone()
    log._con.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(MedcalError, match="disk is full, nothing was half-written"):
        log.append([row(i, raw="y" * 999) for i in range(2, 99)])
    assert len(log.keys()) == 1


def test_a_log_that_was_read_has_no_side_files_and_is_as_it_was(tmp_path, log):
    log.append([row(1)])
    log.close()
    before = log.path.read_bytes()
    assert len(load_answers(log.path)) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["a.sqlite"]
    assert log.path.read_bytes() == before


# --- what may be wrong with the file -------------------------------------------------------------


def test_files_that_are_no_logs_are_refused(tmp_path):
    (tmp_path / "text.sqlite").write_text("item_id,confidence\n" * 100)
    (tmp_path / "empty.sqlite").touch()
    (tmp_path / "loop.sqlite").symlink_to("loop.sqlite")
    os.mkfifo(tmp_path / "pipe.sqlite")
    with sqlite3.connect(tmp_path / "foreign.sqlite") as con:
        con.execute("CREATE TABLE answers (x)")
    for name, read_only, message in (
        ("none.sqlite", True, "no such file"),
        (".", False, "a folder"),
        ("text.sqlite", False, r"not an answers log.*in with"),
        ("foreign.sqlite", True, "not an answers log; choose"),
        ("foreign.sqlite", False, "not an answers log; choose"),
        ("empty.sqlite", True, "not an answers log"),
        ("empty.sqlite/a.sqlite", False, "Not a directory|File exists"),
        ("loop.sqlite", False, "symbolic link|cannot be opened"),
        ("pipe.sqlite", False, "no regular file"),
        ("x" * 300, False, "name too long|cannot be opened"),
    ):
        with pytest.raises(MedcalError, match=message):
            AnswerLog(tmp_path / name, read_only=read_only)


VIEW = """DROP TABLE answers; CREATE VIEW answers AS SELECT 'm' model, 'd' dataset, '1' item_id,
's' strategy, 0 sample, NULL run_id, NULL seconds, '{}' answer"""


@pytest.mark.parametrize("change", ["PRAGMA application_id = 1", VIEW])
def test_a_log_of_another_form_is_refused(log, change):
    log.close()
    with sqlite3.connect(log.path) as con:
        con.executescript(change)
    with pytest.raises(MedcalError, match="not an answers log"):
        load_answers(log.path)


def test_a_damaged_log_raises_our_error_only(log):
    log.append([row(i, raw="text " * 20, site="x") for i in range(200)])
    log.close()
    assert refusals(log.path, 30, 7, bits=[200]) > 15


@pytest.mark.parametrize(
    "value",
    ['{"confidence": 2.5}', '{"confidence": "sure"}', '{"correct": 7}', "[1]", '{"a":', "3", "",
     '{"option_probabilities": 3}', '{"new_tokens": 0.5}'],
)  # fmt: skip
def test_a_damaged_value_in_a_log_is_told(log, value):
    log.append([row(1), row(2)])
    with sqlite3.connect(log.path) as con:
        con.execute("UPDATE answers SET answer = ? WHERE item_id = '2'", [value])
    with pytest.raises(MedcalError, match=r"a\.sqlite: the log is damaged"):
        load_answers(log.path)


# --- several samples of an answer ----------------------------------------------------------------


def samples(strategy, answers, **more):
    rows = []
    for k, answer in enumerate(answers):
        one = row("q", strategy=strategy, sample=k, answer=answer, confidence=None)
        one["correct"] = answer == "yes"
        rows.append(one | more)
    return rows


def test_methods_that_ask_once_stay_as_they_are_among_others(log):
    sampled = samples("self_consistency", ["yes", "no"])
    log.append([*sampled, row("q"), row("r", confidence=0.3)])
    table = load_answers(log.path)
    assert table["confidence"].tolist() == [0.5, 0.8, 0.3]
    assert table["n_answers"].tolist() == [2, 1, 1]
    # samples have no confidence of their own: what is missing is counted by answer
    assert not [told for told in table.attrs["assumed"] if "no confidence" in told]
    pd.testing.assert_frame_equal(one_answer_an_item(table, ""), table)
