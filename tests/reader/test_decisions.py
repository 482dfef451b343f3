"""What is kept of decisions, by one process, by two, and by one that is killed."""

import json
import multiprocessing
import os
import signal
import sqlite3
import time

import pandas as pd
import pytest

from medcal_nb.answers import AnswerLog
from medcal_nb.errors import MedcalError
from medcal_nb.reader.decisions import DecisionLog, decisions_path
from tests.reader.conftest import ABOUT

YES = {"answer": "yes", "confidence": 0.8}


def test_the_last_decision_counts_and_the_first_commitment(tmp_path):
    log = DecisionLog(tmp_path / "d.sqlite")
    log.append("commit", **ABOUT, item_id="q1", **YES)
    log.append("commit", **ABOUT, item_id="q1", answer="no", confidence=0.6)
    log.append(
        "override", **ABOUT, item_id="q1", **YES | {"answer": " no "}, reason="edge"
    )
    log.append("accept", **ABOUT, item_id="q1", **YES, correct=True, seconds=2.5)
    assert log.latest(reader="ada")["q1"].action == "accept"
    assert log.latest(reader="ada")["q1"].seconds == 2.5
    assert log.commitments(**ABOUT)["q1"].answer == "yes"
    assert log.read()["action"].tolist() == ["commit", "commit", "override", "accept"]
    assert log.read()["answer"].tolist()[2] == "no"
    assert log.latest(reader="someone else") == {}


def test_an_undo_is_a_row_and_takes_back_one_decision_at_a_time(tmp_path):
    log = DecisionLog(tmp_path / "d.sqlite")
    log.append("commit", **ABOUT, item_id="q1", **YES)
    log.append("defer", **ABOUT, item_id="q1")
    log.append("accept", **ABOUT, item_id="q1", **YES)
    log.append("accept", **ABOUT | {"reader": "bob"}, item_id="q1", **YES)
    assert log.undo(reader="ada").action == "accept"
    assert log.latest(reader="ada")["q1"].action == "defer"
    assert log.undo(reader="ada").action == "defer"
    # an answer given before the model's was seen can't be given so again: it stays
    with pytest.raises(MedcalError, match="no decision to take back"):
        log.undo(reader="ada")
    assert log.commitments(reader="ada")["q1"].answer == "yes"
    assert log.latest(reader="bob")["q1"].action == "accept"
    table = log.read()
    assert table["action"].tolist() == ["commit", "defer", "accept", "accept"]
    assert table["undone_at"].notna().tolist() == [False, True, True, False]


def test_looking_leaves_no_file(tmp_path):
    path = tmp_path / "d.sqlite"
    log = DecisionLog(path)
    assert log.latest(**ABOUT) == {}
    with pytest.raises(MedcalError, match="no decision to take back"):
        log.undo(**ABOUT)
    assert not path.exists()
    log.append("defer", **ABOUT, item_id="q1")
    before = path.read_bytes()
    assert len(DecisionLog(path).read()) == 1
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("action", "answer", "confidence"),
    [
        ("agree", "yes", 0.5),
        ("override", None, 0.5),
        ("commit", "  ", 0.5),
        ("accept", "yes", None),
        ("accept", "yes", 80),
    ],
)
def test_a_decision_that_is_none_is_refused(tmp_path, action, answer, confidence):
    log = DecisionLog(tmp_path / "d.sqlite")
    with pytest.raises(MedcalError, match="CHECK constraint"):
        log.append(action, **ABOUT, item_id="q1", answer=answer, confidence=confidence)
    assert log.read().empty


def test_files_of_another_kind_are_left_alone(tmp_path):
    notes = tmp_path / "notes.sqlite"
    notes.write_text("not a database, but long enough to be looked at as one " * 20)
    with pytest.raises(MedcalError, match=r"not a database; .*--decisions"):
        DecisionLog(notes)
    assert notes.read_text().startswith("not a database")
    other = tmp_path / "other.sqlite"
    with AnswerLog(other):
        pass
    with pytest.raises(MedcalError, match="something else than decisions"):
        DecisionLog(other)
    with pytest.raises(MedcalError, match="folder is missing"):
        DecisionLog(tmp_path / "nowhere" / "d.sqlite")


def decide_many(path, name, n):
    log = DecisionLog(path)
    for i in range(n):
        log.append("accept", **ABOUT | {"reader": name}, item_id=f"q{i}", **YES)


def test_two_readers_at_once_lose_nothing(tmp_path):
    path = tmp_path / "d.sqlite"
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=decide_many, args=(path, name, 60)) for name in "ab"
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(300)
        assert worker.exitcode == 0
    table = DecisionLog(path).read()
    assert table.groupby("reader").size().to_dict() == {"a": 60, "b": 60}
    assert not table.duplicated(["reader", "item_id"]).any()


def decide_forever(path, told):
    log = DecisionLog(path)
    for i in range(10**6):
        log.append("accept", **ABOUT, item_id=f"q{i}", **YES)
        told.value = i + 1


@pytest.mark.skipif(os.name != "posix", reason="kill -9 needs POSIX")
def test_a_killed_reader_loses_nothing(tmp_path):
    path = tmp_path / "d.sqlite"
    context = multiprocessing.get_context("spawn")
    told = context.Value("i", 0)
    worker = context.Process(target=decide_forever, args=(path, told))
    worker.start()
    end = time.monotonic() + 300
    while told.value < 20 and time.monotonic() < end:
        time.sleep(0.01)
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    kept = DecisionLog(path).read()
    assert told.value >= 20
    # what was said to be saved is there; at most one more was on its way
    assert told.value <= len(kept) <= told.value + 1
    assert kept["item_id"].tolist() == [f"q{i}" for i in range(len(kept))]


def test_decisions_of_another_version_are_left_alone(tmp_path):
    path = tmp_path / "d.sqlite"
    DecisionLog(path).append("defer", **ABOUT, item_id="q1")
    with sqlite3.connect(path) as con:
        con.execute("PRAGMA user_version = 1")
    before = path.read_bytes()
    with pytest.raises(MedcalError, match=r"another version of medcal; .*--decisions"):
        DecisionLog(path)
    assert path.read_bytes() == before


def test_an_export_holds_every_row_in_csv_and_json(tmp_path):
    log = DecisionLog(tmp_path / "d.sqlite")
    with pytest.raises(MedcalError, match="no decision yet"):
        log.export(tmp_path / "d.csv")
    log.append("commit", **ABOUT, item_id="q1", **YES, correct=True)
    log.append("defer", **ABOUT, item_id="q1", reason="a, b")
    log.undo(reader="ada")
    for name in ("d.csv", "d.json"):
        assert len(log.export(tmp_path / name)) == 2
    table = pd.read_csv(tmp_path / "d.csv")
    rows = json.loads((tmp_path / "d.json").read_text())
    assert table["action"].tolist() == [row["action"] for row in rows]
    assert [row["correct"] for row in rows] == [True, None]
    assert [row["undone_at"] is None for row in rows] == [True, False]
    assert table["reason"].tolist()[1] == rows[1]["reason"] == "a, b"
    # a row a line, so that a line is easily looked at
    assert len((tmp_path / "d.json").read_text().splitlines()) == 4


def test_decisions_go_beside_the_answers():
    assert decisions_path("a/b.sqlite").as_posix() == "a/b.decisions.sqlite"
