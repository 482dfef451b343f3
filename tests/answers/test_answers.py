"""The answers table: schema, log, files."""

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medcal_nb.answers import (
    ANSWER_COLUMNS,
    AnswerLog,
    export_answers,
    is_log,
    load_answers,
    merge_logs,
    write_log,
)
from medcal_nb.answers.columns import KEY, to_storage
from medcal_nb.answers.files import block_of
from medcal_nb.ask.graded import to_graded
from medcal_nb.errors import MedcalError
from tests.damage import damaged

QUICK = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def row(item="1", **more):
    base = {
        "model": "m",
        "dataset": "d",
        "item_id": item,
        "strategy": "verbalized",
        "sample": 0,
        "answer": "yes",
        "confidence": 0.8,
        "correct": True,
    }
    return base | more


def checked(frame):
    """A table of answers as it comes out of a log."""
    with tempfile.TemporaryDirectory() as folder:
        write_log([to_storage(block_of(frame))], f"{folder}/a.sqlite")
        return load_answers(f"{folder}/a.sqlite")


@pytest.fixture
def log(tmp_path):
    with AnswerLog(tmp_path / "a.sqlite") as log:
        yield log


# --- the log --------------------------------------------------------------------------------------


def test_rows_come_back_typed_in_key_order(log):
    rows = [row(i, site="east", visibility=i / 4) for i in (10, 2, 1)]
    rows[0] |= {
        "gold": ["yes", "yeah"],
        "option_probabilities": {"yes": 0.75, "no": 0.25},
    }
    rows[1] |= {"confidence": None, "correct": None, "parse_ok": False, "answer": None}
    assert log.append(rows) == 3
    frame = log.read()
    assert list(frame.columns) == [*ANSWER_COLUMNS, "site", "visibility"]
    assert frame["item_id"].tolist() == ["1", "10", "2"]
    assert frame["gold"].tolist()[1] == ["yes", "yeah"]
    assert frame["option_probabilities"][1] == {"yes": 0.75, "no": 0.25}
    assert np.isnan(frame["confidence"][2])
    assert frame["correct"][2] is pd.NA
    assert frame["parse_ok"][2] == False  # noqa: E712
    assert frame["sample"].tolist() == [0, 0, 0]
    assert frame["visibility"].tolist() == [0.25, 2.5, 0.5]
    assert frame["run_id"].isna().all()
    assert len(log.keys()) == 3


def test_columns_filters_and_chunks(log, monkeypatch):
    log.append([row(i, model=m, site=m * 2) for i in range(5) for m in "ab"])
    assert log.read(model="a")["site"].tolist() == ["aa"] * 5
    assert len(log.read(item_id=["1", "3"], model="b")) == 2
    monkeypatch.setattr("medcal_nb.answers.log.CHUNK", 4)
    monkeypatch.setattr("medcal_nb.answers.log._READ_AT_ONCE", 2)
    frames = list(log.iter_frames())
    assert [len(f) for f in frames] == [4, 4, 2]
    pd.testing.assert_frame_equal(pd.concat(frames, ignore_index=True), log.read())
    some = pd.concat(log.iter_frames(["item_id", "site"], ordered=False, model="b"))
    assert some["site"].tolist() == ["bb"] * 5
    assert log.keys(model="a", strategy="verbalized") == {
        ("a", "d", str(i), "verbalized", 0) for i in range(5)
    }
    assert log.keys(model="c") == set()


def test_append_is_all_or_nothing(log):
    log.append([row(1)])
    with pytest.raises(MedcalError, match=r"there already with.*item_id=1"):
        log.append([row(2), row(1, answer="no")])
    with pytest.raises(MedcalError, match="row 2, column 'confidence'"):
        log.append([row(3), row(4, confidence=1.5)])
    assert log.keys() == {("m", "d", "1", "verbalized", 0)}
    with (
        AnswerLog(log.path, read_only=True) as copy,
        pytest.raises(MedcalError, match="to be read"),
    ):
        copy.append([row(5)])


def test_what_exists_is_kept_or_replaced_as_asked(log):
    log.append([row(1)])
    assert log.append([row(1, answer="no"), row(2)], if_exists="ignore") == 1
    assert log.read()["answer"].tolist() == ["yes", "yes"]
    assert log.append([row(1, answer="no")], if_exists="replace") == 1
    assert log.read()["answer"].tolist() == ["no", "yes"]


def test_two_processes_append_to_one_log(tmp_path):
    path = tmp_path / "a.sqlite"
    script = (
        "import sys; from medcal_nb.answers import AnswerLog\n"
        "log = AnswerLog(sys.argv[1])\n"
        "for k in range(20):\n"
        "    log.append([dict(model=sys.argv[2], dataset='d', item_id=k, strategy='s')])\n"
    )
    workers = [
        subprocess.Popen([sys.executable, "-c", script, path, name])
        for name in ("one", "two")
    ]
    assert [w.wait(60) for w in workers] == [0, 0]
    with AnswerLog(path, read_only=True) as log:
        assert len(log.keys(model="one")) == len(log.keys(model="two")) == 20


RACE = """
import sys, time
from medcal_nb.answers import AnswerLog
folder, name, start = sys.argv[1], sys.argv[2], float(sys.argv[3])
about = dict(model="m", dataset="d", strategy="s", item_id="q")
for k in range(150):
    while time.time() < start + 0.02 * k:
        pass
    with AnswerLog(f"{folder}/a{k}.sqlite") as log:
        log.append([about | dict(model=name)])
"""


def test_two_processes_that_make_one_file_at_once_do_no_harm(tmp_path):
    start = str(time.time() + 4)
    workers = [
        subprocess.Popen([sys.executable, "-c", RACE, tmp_path, name, start])
        for name in "ab"
    ]
    assert [w.wait(60) for w in workers] == [0, 0]
    for k in range(150):
        with AnswerLog(tmp_path / f"a{k}.sqlite", read_only=True) as log:
            assert len(log.keys()) == 2


APPEND = """
import sys
from medcal_nb.answers import AnswerLog
with AnswerLog(sys.argv[1]) as log:
    done = log.keys()
    batch = []
    for i in range(4000):
        for sample in range(2):
            if ("m", "d", f"{i:04d}", "s", sample) not in done:
                batch.append(dict(model="m", dataset="d", item_id=f"{i:04d}", strategy="s",
                                  sample=sample, answer=str(i * sample), confidence=i / 4000))
        if len(batch) >= 8:
            log.append(batch)
            batch = []
            print(i, flush=True)
    log.append(batch)
"""


@pytest.mark.slow
def test_killed_at_random_moments_nothing_is_lost_or_doubled(tmp_path):
    dice = random.Random(4)
    whole = tmp_path / "whole.sqlite"
    subprocess.run(
        [sys.executable, "-c", APPEND, whole], check=True, stdout=subprocess.DEVNULL
    )
    killed = tmp_path / "killed.sqlite"
    deaths = 0
    for _ in range(20):
        worker = subprocess.Popen(
            [sys.executable, "-c", APPEND, killed], stdout=subprocess.PIPE, text=True
        )
        worker.stdout.readline()  # it is writing now
        time.sleep(dice.uniform(0, 0.02))
        worker.send_signal(signal.SIGKILL)
        deaths += worker.wait() == -signal.SIGKILL
        worker.stdout.close()
        with AnswerLog(killed, read_only=True) as log:
            counts = log.read().groupby("item_id").size()
        assert (counts == 2).all(), "a batch is in whole or not at all"
    assert deaths >= 5
    subprocess.run(
        [sys.executable, "-c", APPEND, killed], check=True, stdout=subprocess.DEVNULL
    )
    for name in ("whole", "killed"):
        export_answers(tmp_path / f"{name}.sqlite", tmp_path / f"{name}.csv")
    assert (tmp_path / "whole.csv").read_bytes() == (
        tmp_path / "killed.csv"
    ).read_bytes()


# --- what may be wrong with the file --------------------------------------------------------------


def test_a_locked_log_says_so(tmp_path, monkeypatch):
    path = tmp_path / "a.sqlite"
    monkeypatch.setattr("medcal_nb.answers.log.BUSY_SECONDS", 0.1)
    with AnswerLog(path) as log:
        other = sqlite3.connect(path)
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(MedcalError, match="locked by another process"):
            log.append([row()])
        other.rollback()
        other.close()
        assert log.append([row()]) == 1


LIMITED = """
import resource, signal, sys
from medcal_nb.answers import AnswerLog
from medcal_nb.errors import MedcalError
log = AnswerLog(sys.argv[1])
log.append([dict(model="m", dataset="d", item_id="1", strategy="s")])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))
try:
    log.append([dict(model="m", dataset="d", item_id=f"x{i}", strategy="s", raw="y" * 999)
                for i in range(999)])
except MedcalError as error:
    print(error)
    print(len(log.keys()))
"""


def test_writing_beyond_a_quota_says_so_and_keeps_what_was_there(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, tmp_path / "a.sqlite"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "nothing was half-written" in done.stdout
    assert done.stdout.strip().endswith("1")


def test_files_that_are_no_logs_are_refused(tmp_path):
    with pytest.raises(MedcalError, match="no such file"):
        AnswerLog(tmp_path / "none.sqlite", read_only=True)
    with pytest.raises(MedcalError, match="a folder"):
        AnswerLog(tmp_path)
    (tmp_path / "text.sqlite").write_text("item_id,confidence\n" * 100)
    with pytest.raises(MedcalError, match=r"not an answers.*in with"):
        AnswerLog(tmp_path / "text.sqlite")
    foreign = sqlite3.connect(tmp_path / "foreign.sqlite")
    foreign.execute("CREATE TABLE answers (x)")
    foreign.commit()
    foreign.close()
    for read_only in (True, False):
        with pytest.raises(MedcalError, match="not an answers log; choose"):
            AnswerLog(tmp_path / "foreign.sqlite", read_only=read_only)
    (tmp_path / "empty.sqlite").touch()
    with pytest.raises(MedcalError, match="the file is empty"):
        AnswerLog(tmp_path / "empty.sqlite", read_only=True)
    (tmp_path / "file").touch()
    with pytest.raises(MedcalError, match=r"Not a directory|File exists"):
        AnswerLog(tmp_path / "file" / "a.sqlite")
    (tmp_path / "loop").symlink_to("loop")
    for name, said in (
        ("x" * 300, "name too long"),
        ("loop", "symbolic link|cannot be opened"),
    ):
        for make in (AnswerLog, lambda path: write_log([], path)):
            with pytest.raises(MedcalError, match=said):
                make(tmp_path / name)


def test_a_newer_log_is_refused(tmp_path):
    AnswerLog(tmp_path / "a.sqlite").close()
    con = sqlite3.connect(tmp_path / "a.sqlite")
    con.execute("PRAGMA user_version = 99")
    con.close()
    with pytest.raises(MedcalError, match="newer medcal"):
        AnswerLog(tmp_path / "a.sqlite")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anything")
def test_a_log_in_a_folder_without_write_permission(tmp_path, log):
    log.append([row()])
    log.close()
    log.path.chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        with AnswerLog(log.path, read_only=True) as copy:
            assert len(copy.read()) == 1
        with pytest.raises(MedcalError, match="cannot be opened or written"):
            AnswerLog(log.path).append([row(2)])
    finally:
        tmp_path.chmod(0o755)


def test_a_damaged_log_raises_our_error_only(tmp_path, log):
    log.append([row(i, raw="text " * 20, site="x") for i in range(200)])
    log.close()
    whole = log.path.read_bytes()
    dice = random.Random(7)
    broken = tmp_path / "broken.sqlite"
    refused = 0
    for _ in range(40):
        broken.write_bytes(damaged(whole, dice, bits=[200]))
        try:
            with AnswerLog(broken, read_only=True) as copy:
                copy.read()
        except MedcalError:
            refused += 1
    assert refused > 20


# --- the schema -----------------------------------------------------------------------------------

BAD = [
    (
        {"confidence": 85},
        r"column 'confidence': value 85(.0)? is outside 0 to 1; .*--percent",
    ),
    ({"confidence": 1.01}, r"value 1.01 is outside 0 to 1; a confidence is"),
    (
        {"confidence": -0.1},
        r"value -0.1 is outside 0 to 1; a confidence is a probability",
    ),
    ({"confidence": float("inf")}, r"value inf is outside 0 to 1"),
    ({"confidence": "85%"}, r"'85%' is not a number; .*--percent"),
    ({"confidence": "high"}, r"'high' is not a number"),
    ({"confidence": True}, r"True is not a number"),
    ({"confidence": [0.5]}, r"not a number"),
    (
        {"correct": "maybe"},
        r"column 'correct': value 'maybe' is neither true nor false",
    ),
    ({"correct": 2}, r"neither true nor false"),
    ({"correct": 0.5}, r"neither true nor false"),
    ({"parse_ok": "x"}, r"column 'parse_ok'.*neither true nor false"),
    ({"item_id": None}, r"column 'item_id': value None is missing"),
    ({"item_id": ""}, r"column 'item_id'.*missing"),
    ({"model": float("nan")}, r"column 'model'.*missing"),
    ({"strategy": None}, r"column 'strategy'.*missing"),
    ({"domain": "animals"}, r"'animals' is not one of general, medical, other; give"),
    ({"question_type": "vqa"}, r"not one of closed, choice, open"),
    ({"split": "validation"}, r"not one of fit, test"),
    ({"sample": 1.5}, r"column 'sample': value 1.5 is not a whole number"),
    ({"sample": -1}, r"value -1 is outside 0"),
    ({"sample": None}, r"column 'sample'.*missing"),
    ({"prompt_tokens": -5}, r"column 'prompt_tokens'"),
    ({"new_tokens": "many"}, r"'many' is not a number"),
    ({"seconds": float("inf")}, r"column 'seconds'"),
    ({"option_probabilities": "yes"}, r"not a table of names and values; write JSON"),
    (
        {"option_probabilities": {"a": 1.5}},
        r"holds 'a': 1.5, which is not a probability",
    ),
    ({"option_probabilities": {"a": float("nan")}}, r"not a probability"),
    ({"option_probabilities": [1, 2]}, r"not a table of names and values; write JSON"),
    ({"answer": ["yes"]}, r"column 'answer'.*is a list, not text"),
    ({"answer": {"text": "yes"}}, r"is a dict, not text"),
    ({"gold": [1, 2]}, r"not a list of texts"),
    ({"gold": []}, r"not a list of texts"),
    (
        {"image": b"\x89PNG"},
        r"column 'image'.*\(bytes\) cannot be kept; drop this column",
    ),
    ({"weight": float("inf")}, r"column 'weight'"),
]


@pytest.mark.parametrize(("change", "message"), BAD, ids=[str(b[0])[:40] for b in BAD])
def test_what_does_not_fit_is_named(change, message):
    frame = pd.DataFrame([row(1), row(2) | change, row(3)])
    with pytest.raises(MedcalError, match=rf"row 2, .*{message}"):
        checked(frame)


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=4,
)


@settings(QUICK, max_examples=300)
@given(st.sampled_from([*ANSWER_COLUMNS, "note"]), anything)
def test_any_value_in_any_column_is_kept_alike_or_named(
    tmp_path_factory, column, value
):
    """A table and a list of rows come to the same: the value is kept, or refused by its place."""
    told = [row(1), row(2) | {column: value}]
    names = sorted({name for r in told for name in r})
    table = pd.DataFrame(
        {n: pd.Series([r.get(n) for r in told], dtype=object) for n in names}
    )
    frame, told_of = outcome(lambda: checked(table))
    with AnswerLog(tmp_path_factory.mktemp("any") / "a.sqlite") as log:
        _, told_too = outcome(lambda: log.append(told))
        kept = log.read()
    assert (told_of is None) == (told_too is None), (told_of, told_too)
    if told_of is not None:
        assert "\n" not in told_of
        for message in (told_of, told_too):
            assert f"row 2, column '{column}'" in message
        assert len(kept) == 0
        return
    pd.testing.assert_frame_equal(checked(frame), frame)
    assert frame["confidence"].dropna().between(0, 1).all()
    assert (frame["sample"] >= 0).all()
    pd.testing.assert_frame_equal(kept[ANSWER_COLUMNS], frame[ANSWER_COLUMNS])


def outcome(do):
    """What came of it, or the message of the refusal."""
    try:
        return do(), None
    except MedcalError as error:
        return None, str(error)


def test_doubles_and_missing_columns_are_named():
    with pytest.raises(MedcalError, match=r"rows 1 and.*item_id=1.*sample"):
        checked(pd.DataFrame([row(1), row(2), row(1, answer="no")]))
    with pytest.raises(MedcalError, match="no column 'strategy'"):
        checked(pd.DataFrame([row()]).drop(columns="strategy"))
    frame = pd.DataFrame([row()])
    frame.insert(0, "answer", "x", allow_duplicates=True)
    with pytest.raises(MedcalError, match="two columns are called 'answer'"):
        checked(frame)


def test_broken_unicode_is_refused(log):
    with pytest.raises(MedcalError, match="written as Unicode"):
        log.append([row(1), row(2, answer="\ud800")])
    with pytest.raises(MedcalError, match=r"written as Unicode|cannot be kept"):
        log.append([row(1, note="\ud800", confidence=None)])
    assert len(log.keys()) == 0


def test_types_that_mean_the_same_are_accepted():
    frame = pd.DataFrame(
        [
            row(1, correct="Yes", confidence="0.5", sample="1", gold=3, answer=3),
            row(
                2,
                correct=0,
                confidence=np.float32(0.5),
                sample=0.0,
                gold="3",
                answer="3",
            ),
            row(3, correct="false", confidence=1, sample=2, gold=None, answer=2.0),
        ]
    )
    typed = checked(frame)
    assert typed["correct"].tolist() == [True, False, False]
    assert typed["confidence"].tolist() == [0.5, 0.5, 1.0]
    assert typed["sample"].tolist() == [1, 0, 2]
    assert typed["answer"].tolist() == ["3", "3", "2"]
    categorical = frame.astype({"model": "category", "item_id": "category"})
    pd.testing.assert_frame_equal(checked(categorical), typed)


def test_checking_twice_changes_nothing():
    frame = checked(
        pd.DataFrame([row(i, gold='["a","b"]', tag={"k": [i]}) for i in "12"])
    )
    assert frame["gold"].tolist() == [["a", "b"]] * 2
    pd.testing.assert_frame_equal(checked(frame), frame)


# --- round trips ----------------------------------------------------------------------------------

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
name = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=6)
unit = st.floats(0, 1)
answers = st.lists(
    st.fixed_dictionaries(
        {
            "model": name,
            "dataset": name,
            "item_id": name,
            "strategy": name,
            "sample": st.integers(0, 3),
        },
        optional={
            "run_id": text,
            "domain": st.sampled_from(["general", "medical"]),
            "answer": st.none() | text,
            "raw": text,
            "gold": st.none() | text | st.lists(text, min_size=1, max_size=3),
            "confidence": st.none() | unit,
            "correct": st.none() | st.booleans(),
            "parse_ok": st.none() | st.booleans(),
            "prompt_tokens": st.none() | st.integers(0, 2**40),
            "seconds": st.none() | st.floats(0, 1e9),
            "option_probabilities": st.none() | st.dictionaries(text, unit, max_size=4),
            "site": st.none() | text,
        },
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda r: tuple(r[k] for k in KEY),
)


@QUICK
@given(answers, st.randoms(use_true_random=False))
def test_every_export_reads_back_and_does_not_depend_on_the_order(
    tmp_path_factory, rows, dice
):
    folder = tmp_path_factory.mktemp("trip")
    shuffled = list(rows)
    dice.shuffle(shuffled)
    with AnswerLog(folder / "a.sqlite") as log, AnswerLog(folder / "b.sqlite") as other:
        log.append(rows)
        for single in shuffled:
            other.append([single])
        wanted = log.read()
        for kind in ("csv", "parquet"):
            export_answers(log.path, folder / f"a.{kind}")
            export_answers(other.path, folder / f"b.{kind}")
            first = (folder / f"a.{kind}").read_bytes()
            assert first == (folder / f"b.{kind}").read_bytes()
            pd.testing.assert_frame_equal(load_answers(folder / f"a.{kind}"), wanted)


@QUICK
@given(answers, st.sampled_from([1, 1.5, "x", None, True, {"k": [1]}]))
def test_rows_and_frames_are_kept_alike(tmp_path_factory, rows, value):
    folder = tmp_path_factory.mktemp("alike")
    rows = [r | {"note": value} for r in rows]
    names = sorted({k for r in rows for k in r})
    frame = pd.DataFrame(
        {k: pd.Series([r.get(k) for r in rows], dtype=object) for k in names}
    )
    with AnswerLog(folder / "a.sqlite") as log:
        assert log.append(rows) == len(rows)
    assert write_log([to_storage(block_of(frame))], folder / "b.sqlite") == len(rows)
    for label in "ab":
        export_answers(folder / f"{label}.sqlite", folder / f"{label}.parquet")
    assert (folder / "a.parquet").read_bytes() == (folder / "b.parquet").read_bytes()


@QUICK
@given(answers)
def test_merging_is_idempotent_and_keeps_every_answer(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("merge")
    half = len(rows) // 2
    for label, part in (("a", rows[: half + 1]), ("b", rows[half:])):
        with AnswerLog(folder / f"{label}.sqlite") as log:
            log.append(part)
    sources = [folder / "a.sqlite", folder / "b.sqlite"]
    assert merge_logs(sources, folder / "c.sqlite") == len(rows)
    assert merge_logs(sources, folder / "c.sqlite") == 0
    with AnswerLog(folder / "d.sqlite") as log:
        log.append(rows)
        pd.testing.assert_frame_equal(load_answers(folder / "c.sqlite"), log.read())


def test_merge_keeps_or_takes_what_conflicts(tmp_path):
    for label, answer in (("a", "yes"), ("b", "no")):
        with AnswerLog(tmp_path / f"{label}.sqlite") as log:
            log.append([row(1, answer=answer, run_id=label, seconds=1.0), row(label)])
    a, b, to = (tmp_path / f"{n}.sqlite" for n in ("a", "b", "c"))
    with pytest.raises(MedcalError, match=r"b.sqlite: .*item_id=1.*was written"):
        merge_logs([a, b], to)
    assert not to.exists()
    assert not list(tmp_path.glob(".*part*"))
    assert merge_logs([a, b], to, if_exists="ignore") == 3
    assert load_answers(to)["answer"].tolist()[0] == "yes"
    assert merge_logs([a, b], to, if_exists="replace") == 1
    assert load_answers(to)["answer"].tolist()[0] == "no"


def test_the_same_answer_from_another_run_is_no_conflict(tmp_path):
    for label in "ab":
        with AnswerLog(tmp_path / f"{label}.sqlite") as log:
            log.append([row(1, run_id=label, seconds=float(ord(label)))])
    assert (
        merge_logs(
            [tmp_path / "a.sqlite", tmp_path / "b.sqlite"], tmp_path / "c.sqlite"
        )
        == 1
    )


def test_large_tables_are_checked_across_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr("medcal_nb.answers.files.CHUNK", 10)
    lines = [json.dumps(row(i)) for i in range(25)] + [json.dumps(row(3, answer="no"))]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(lines))
    with pytest.raises(MedcalError, match="rows 4 and 26 are"):
        load_answers(path)
    path.write_text("\n".join(lines[:-1]))
    assert len(load_answers(path)) == 25


def test_an_export_needs_a_format_it_knows(log, tmp_path):
    log.append([row()])
    with pytest.raises(MedcalError, match="cannot tell the format"):
        export_answers(log.path, tmp_path / "a.doc")
    with pytest.raises(MedcalError, match="cannot export as 'jsonl'; use"):
        export_answers(log.path, tmp_path / "a.jsonl")
    with pytest.raises(MedcalError, match=r"no folder .*: make it first"):
        export_answers(log.path, tmp_path / "none" / "a.csv")


# --- what an export may write ---------------------------------------------------------------------


def test_an_export_replaces_no_source_no_log_and_nothing_unasked(log, tmp_path):
    log.append([row()])
    AnswerLog(tmp_path / "other.sqlite").close()
    (tmp_path / "old.csv").write_text("mine")
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "again.csv").symlink_to(log.path)
    before = log.path.read_bytes()
    for name in ("a.sqlite", "other.sqlite", "again.csv", "pipe.csv"):
        for force in (False, True):
            with pytest.raises(
                MedcalError, match=r"is what would be read|cannot tell|no regular"
            ):
                export_answers(log.path, tmp_path / name, force=force)
    with pytest.raises(MedcalError, match=r"there already.*--force"):
        export_answers(log.path, tmp_path / "old.csv")
    assert (tmp_path / "old.csv").read_text() == "mine"
    assert export_answers(log.path, tmp_path / "old.csv", force=True) == 1
    assert log.path.read_bytes() == before
    assert not list(tmp_path.glob(".*part"))


def test_cells_that_begin_a_formula_are_quoted_on_request(log, tmp_path):
    told = ["=cmd|' /C calc'!A0", "+1", "-2", "@x", "\tx", "plain", ""]
    log.append([row(i, answer=text, note=text) for i, text in enumerate(told)])
    export_answers(log.path, tmp_path / "a.csv")
    assert load_answers(tmp_path / "a.csv")["answer"].tolist() == told
    export_answers(log.path, tmp_path / "b.csv", safe_csv=True)
    safe = load_answers(tmp_path / "b.csv")
    assert safe["answer"].tolist() == [f"'{t}" for t in told[:5]] + told[5:]
    assert safe["note"].tolist()[:5] == [f"'{t}" for t in told[:5]]
    assert safe["confidence"].tolist() == [0.8] * 7


# --- values that others wrote into a log ----------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("confidence", 2.5),
        ("confidence", "sure"),
        ("correct", 7),
        ("extra", "[1]"),
        ("extra", '{"a":'),
        ("option_probabilities", "3"),
        ("domain", "animals"),
        ("answer", b"\xff"),
        ("sample", -1),
        ("new_tokens", 0.5),
        ("seconds", float("inf")),
        ("model", ""),
    ],
)
def test_a_damaged_value_in_a_log_is_named(tmp_path, log, column, value):
    log.append([row(1), row(2)])
    con = sqlite3.connect(log.path)
    con.execute(f"UPDATE answers SET {column} = ? WHERE item_id = '2'", [value])
    con.commit()
    con.close()
    named = (
        rf"row \d, column '{column}'.*the log is damaged"
        if value != '{"a":'
        else "damaged"
    )
    reads = {
        "read": lambda: log.read(),
        "export": lambda: export_answers(log.path, tmp_path / "out.csv"),
        "frames": lambda: list(log.iter_frames()),
    }
    reads["merge"] = lambda: merge_logs([log.path], tmp_path / "out.csv")
    for do in reads.values():
        with pytest.raises(MedcalError, match=named) as caught:
            do()
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "out.csv").exists()


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "p.csv")
    os.mkfifo(tmp_path / "p.sqlite")
    with pytest.raises(MedcalError, match="no regular file"):
        load_answers(tmp_path / "p.csv")
    assert not is_log(tmp_path / "p.csv")
    for read_only in (True, False):
        with pytest.raises(MedcalError, match="no regular file"):
            AnswerLog(tmp_path / "p.sqlite", read_only=read_only)


def test_what_cannot_be_exported_is_not_kept(log):
    for value, why in (
        (10**25, "beyond 64 bits"),
        ({"a": [10**25]}, "beyond 64 bits"),
        (json.loads("[" * 700 + "]" * 700), "more than 64 deep"),
    ):
        with pytest.raises(MedcalError, match=rf"row 2, column 'big'.*{why}"):
            log.append([row(1), row(2, big=value)])
    for column in ("answer", "correct", "confidence", "sample", "gold"):
        with pytest.raises(MedcalError, match=rf"row 1, column '{column}'"):
            log.append([row(1, **{column: 10**5000})])
    log.append([row(1, big=2**63 - 1, gold="[" * 5000)])
    assert log.read()["big"].tolist() == [2**63 - 1]


def test_a_column_called_extra_is_one_like_any_other(log):
    log.append([row(1, extra={"server": "a"}), row(2, extra="x", site="y")])
    assert log.read()["extra"].tolist() == [{"server": "a"}, "x"]
    assert log.extra_columns() == {"extra": object, "site": "str"}


def test_keys_share_their_texts(log):
    log.append([row(f"item-{i}", sample=k) for i in range(50) for k in range(4)])
    keys = log.keys()
    assert len(keys) == 200
    assert len({id(text) for key in keys for text in key[:4]}) == 53


def test_columns_that_are_not_ours_have_one_type_in_every_block(
    log, tmp_path, monkeypatch
):
    monkeypatch.setattr("medcal_nb.answers.log.CHUNK", 2)
    monkeypatch.setattr("medcal_nb.answers.log._READ_AT_ONCE", 1)
    told = {
        "whole": [1, None, 2**60, 3],
        "part": [None, 1, 0.5, 2],
        "flag": [None, None, True, 0 > 1],
    }
    told |= {"word": ["a", None, None, "b"], "mixed": ["a", 1, [1.5], None]}
    log.append([row(k, **{name: v[k] for name, v in told.items()}) for k in range(4)])
    types = {
        "flag": "boolean",
        "mixed": "object",
        "part": "float64",
        "whole": "Int64",
        "word": "str",
    }
    for frame in (*log.iter_frames(), log.read()):
        assert {name: str(frame[name].dtype) for name in types} == types
    assert log.read()["whole"].tolist() == [1, pd.NA, 2**60, 3]
    assert log.read()["mixed"].tolist() == ["a", 1, [1.5], None]
    export_answers(log.path, tmp_path / "a.parquet")
    table = pd.read_parquet(tmp_path / "a.parquet")
    assert {name: str(table[name].dtype) for name in types} == types | {"mixed": "str"}
    assert table["mixed"].tolist()[:3] == ["a", "1", "[1.5]"]


def test_a_whole_number_beyond_64_bits_that_others_wrote_is_read(log):
    log.append([row(1, site=1)])
    con = sqlite3.connect(log.path)
    con.execute("UPDATE answers SET extra = ?", [f'{{"site":{10**25}}}'])
    con.commit()
    con.close()
    assert log.read()["site"].tolist() == [10**25]


def test_who_answered_is_a_text_and_stays_through_grading(log):
    rows = [row(1, reader=7, phase="alone"), row(2, reader="r2"), row(3)]
    log.append(rows)
    answers = log.read()
    assert answers["reader"].fillna("-").tolist() == ["7", "r2", "-"]
    assert answers["phase"].fillna("-").tolist() == ["alone", "-", "-"]
    assert to_graded(answers)["reader"].fillna("-").tolist() == ["7", "r2", "-"]
    with pytest.raises(MedcalError, match=r"column 'reader'.* not text"):
        log.append([row(4, reader=["a", "b"])])


def test_a_column_whose_name_is_no_text_is_refused(log):
    with pytest.raises(MedcalError, match=r"the name of.*as Unicode"):
        log.append([row(1, **{"\ud800": 1})])
    assert len(log.keys()) == 0


def test_a_log_that_was_imported_or_merged_is_written_while_others_read(tmp_path):
    rows = pd.DataFrame([row(str(i)) for i in range(5)])
    write_log([to_storage(block_of(rows))], tmp_path / "new.sqlite")
    merge_logs([tmp_path / "new.sqlite"], tmp_path / "merged.sqlite")
    for name in ("new", "merged"):
        path = tmp_path / f"{name}.sqlite"
        with AnswerLog(path, read_only=True) as reading:
            assert reading._con.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            frames = reading.iter_frames()
            next(frames)
            with AnswerLog(path) as log:
                assert log.append([row("more")]) == 1


def test_a_log_with_its_columns_in_another_order_merges_by_their_names(tmp_path):
    source = tmp_path / "source.sqlite"
    with AnswerLog(source) as log:
        log.append([row(image_id="i1", modality="ct")])
    with contextlib.closing(sqlite3.connect(source)) as con:
        names = [name for _, name, *_ in con.execute("PRAGMA table_info(answers)")]
        (made,) = con.execute(
            "SELECT sql FROM sqlite_master WHERE name = 'answers'"
        ).fetchone()
        con.execute("ALTER TABLE answers RENAME TO old")
        a, b = "image_id TEXT", "modality TEXT"
        con.execute(made.replace(a, "@").replace(b, a).replace("@", b))
        con.execute(
            f"INSERT INTO answers ({', '.join(names)}) SELECT {', '.join(names)} FROM old"
        )
        con.execute("DROP TABLE old")
        con.commit()
    merge_logs([source], tmp_path / "merged.sqlite")
    merged = load_answers(tmp_path / "merged.sqlite").iloc[0]
    assert (merged["image_id"], merged["modality"]) == ("i1", "ct")


def test_a_log_that_was_read_has_no_side_files(tmp_path):
    path = tmp_path / "a.sqlite"
    with AnswerLog(path) as log:
        log.append([row(1)])
    before = path.read_bytes()
    with AnswerLog(path, read_only=True) as log:
        assert len(log.read()) == 1
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            log._con.execute("DELETE FROM answers")
    assert [p.name for p in tmp_path.iterdir()] == ["a.sqlite"]
    assert path.read_bytes() == before


def blocks_that(does):
    """One answer, and what happens elsewhere while it is gathered."""
    yield to_storage(block_of(pd.DataFrame([row()])))
    does()


def test_a_log_that_another_process_makes_meanwhile_is_added_to(tmp_path):
    to = tmp_path / "new.sqlite"
    other = [to_storage(block_of(pd.DataFrame([row("other")])))]
    parts = blocks_that(lambda: write_log(other, to))
    assert write_log(parts, to) == 1
    assert len(load_answers(to)) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["new.sqlite"]


def test_a_journal_that_was_left_alone_is_not_taken_for_that_of_a_new_log(tmp_path):
    old = tmp_path / "old.sqlite"
    with contextlib.closing(sqlite3.connect(old)) as con:
        con.execute("PRAGMA journal_mode = WAL")
        con.execute("CREATE TABLE other (x)")
        left = Path(f"{old}-wal").read_bytes()
    assert left
    to = tmp_path / "new.sqlite"
    Path(f"{to}-wal").write_bytes(left)
    write_log(blocks_that(lambda: None), to)
    assert load_answers(to)["item_id"].tolist() == ["1"]
