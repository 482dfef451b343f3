"""What a file may unpack to, and other ways in which a file can be meant ill."""

import gzip
import json
import sqlite3
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medcal_nb.answers import AnswerLog, export_answers, load_answers
from medcal_nb.answers.files import block_of, iter_table
from medcal_nb.errors import MedcalError
from medcal_nb.files import new_file
from medcal_nb.logs import import_file
from medcal_nb.measure import ece
from medcal_nb.measure.metrics import confidently_wrong

KEY = {"model": "m", "dataset": "d", "strategy": "verbalized"}


def rows_of(n, **more):
    return [KEY | {"item_id": str(i), "confidence": 0.9, **more} for i in range(n)]


# --- numbers of fewer bits -----------------------------------------------------------------------


def answers_of(confidence):
    frame = pd.DataFrame({"confidence": confidence})
    frame["item_id"] = [f"q{i}" for i in range(len(frame))]
    return frame.assign(correct=np.arange(len(frame)) % 3 == 0, **KEY)


@pytest.mark.parametrize("width", ["float16", "float32", "Float32"])
def test_a_file_is_the_same_answers_in_every_width(tmp_path, rng, width):
    doubles = answers_of(rng.uniform(0, 1, 500).round(3 if width == "float16" else 6))
    doubles.loc[7, "confidence"] = np.nan
    narrow = doubles.astype({"confidence": width})
    doubles.to_parquet(tmp_path / "double.parquet")
    narrow.to_parquet(tmp_path / "narrow.parquet")
    expected = load_answers(tmp_path / "double.parquet")
    if width == "float16":  # keeps three digits and a bit
        expected["confidence"] = load_answers(tmp_path / "narrow.parquet")["confidence"]
        assert (expected["confidence"].dropna() * 1e5 % 1 < 1e-6).mean() > 0.9
    pd.testing.assert_frame_equal(load_answers(tmp_path / "narrow.parquet"), expected)
    with AnswerLog(
        tmp_path / "rows.sqlite"
    ) as log:  # rows that hold numpy's own numbers
        rows = doubles.drop(columns="confidence").to_dict("records")
        for row, value in zip(rows, narrow["confidence"].array, strict=True):
            row["confidence"] = value
        log.append(rows)
        pd.testing.assert_frame_equal(log.read(), expected)
    confidences = [row["confidence"] for row in _rows(block_of(narrow))]
    pd.testing.assert_series_equal(
        pd.Series(confidences, dtype=float),
        expected.set_index("item_id").loc[doubles["item_id"], "confidence"],
        check_index=False,
        check_names=False,
    )


def _rows(block):
    return [
        dict(zip(block, row, strict=True)) for row in zip(*block.values(), strict=True)
    ]


def test_json_of_widened_singles_counts_as_the_decimals_they_were(tmp_path):
    widened = float(np.float32(0.9))
    assert widened < 0.9
    rows = [row | {"confidence": widened, "correct": False} for row in rows_of(5)]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    answers = load_answers(path)
    assert (answers["confidence"] == 0.9).all()
    correct = answers["correct"].to_numpy(float)
    assert confidently_wrong(answers["confidence"], correct) == 1
    assert ece(answers["confidence"], correct) == 0.9


# --- bombs ---------------------------------------------------------------------------------------

LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
from medcal_nb.answers import load_answers
from medcal_nb.errors import MedcalError
try:
    load_answers(sys.argv[1])
except MedcalError as error:
    print(error)
"""


def refusal(path):
    """What is said of a file by a process of at most 3 GB."""
    command = [sys.executable, "-c", LIMITED, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-600:]
    return done.stdout


def test_packed_json_unpacks_to_a_hundred_times_its_size_at_most(tmp_path):
    path = tmp_path / "bomb.json.gz"
    path.write_bytes(gzip.compress(b"[" + b"[]," * 30_000_000 + b"[]]"))
    assert path.stat().st_size < 200_000
    assert "unpacks to over 100 times its size" in refusal(path)


def test_packed_json_of_answers_is_read(tmp_path):
    path = tmp_path / "a.json.gz"
    path.write_bytes(gzip.compress(json.dumps(rows_of(3_000)).encode()))
    assert len(load_answers(path)) == 3_000


def test_parquet_with_one_large_text_many_times_is_refused(tmp_path):
    path = tmp_path / "bomb.parquet"
    texts = pa.DictionaryArray.from_arrays(np.zeros(20_000, "int32"), ["x" * 1_000_000])
    pq.write_table(pa.table({"raw": texts}), path)
    assert path.stat().st_size < 1_000_000
    assert "20,000 rows unpack to 20,000,000,000 bytes" in refusal(path)


def test_parquet_with_endless_lists_is_refused(tmp_path):
    path = tmp_path / "lists.parquet"
    lists = pa.ListArray.from_arrays(
        [0, 30_000_000], pa.array(np.zeros(30_000_000, "i1"))
    )
    pq.write_table(pa.table({"gold": lists}), path)
    assert path.stat().st_size < 1_000_000
    assert "holds 30,000,000 values in 1 rows" in refusal(path)


def test_texts_that_repeat_are_read_as_they_are(tmp_path):
    path = tmp_path / "a.parquet"
    frame = pd.DataFrame({"a": ["x", None, "x", "ü" * 1_000], "b": [None] * 4})
    frame = frame.astype({"a": "category"})
    frame.to_parquet(path)
    (block,) = iter_table(path)
    assert block == {"a": ["x", None, "x", "ü" * 1_000], "b": [None] * 4}


# --- logs and names ------------------------------------------------------------------------------


def test_a_log_whose_answers_are_a_view_is_no_log(tmp_path):
    path = tmp_path / "endless.sqlite"
    AnswerLog(path).close()
    with sqlite3.connect(path) as con:
        names = [row[1] for row in con.execute("PRAGMA table_info(answers)")]
        con.execute("DROP TABLE answers")
        values = ", ".join(f"n AS {name}" for name in names)
        con.execute(
            "CREATE VIEW answers AS WITH RECURSIVE endless(n) AS "
            f"(SELECT 1 UNION ALL SELECT n + 1 FROM endless) SELECT {values} FROM endless"
        )
    con.close()
    with pytest.raises(MedcalError, match="not an answers log"):
        load_answers(path)


def test_only_parts_of_our_own_making_are_cleared_away(tmp_path):
    mine = tmp_path / ".x.csv.keep.part"
    ours = tmp_path / f".x.csv.{'0a' * 6}.part"
    for path in (mine, ours):
        path.write_text("here")
    with new_file(tmp_path / "x.csv") as part:
        part.write_text("whole")
    assert mine.read_text() == "here"
    assert not ours.exists()


def test_names_of_columns_are_no_formulas_where_that_is_asked_for(tmp_path):
    formula = "=cmd|' /C calc'!A0"
    with AnswerLog(tmp_path / "a.sqlite") as log:
        log.append(rows_of(2, **{formula: "=1+1"}))
    for safe in (True, False):
        to = tmp_path / f"{safe}.csv"
        export_answers(tmp_path / "a.sqlite", to, safe_csv=safe)
        table = pd.read_csv(to)
        assert ("'" + formula in table) == safe
        assert (formula in table) != safe


FULL_DISK = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from medcal_nb.answers import export_answers
from medcal_nb.errors import MedcalError
try:
    export_answers(sys.argv[1], sys.argv[2])
except MedcalError as error:
    print(error)
"""


def test_an_export_on_a_full_disk_is_told_in_one_line(tmp_path, rng):
    with AnswerLog(tmp_path / "a.sqlite") as log:
        log.append(rows_of(80_000))  # more than one frame
    command = [sys.executable, "-c", FULL_DISK, "a.sqlite", "a.csv"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr == ""
    assert "a.csv" in done.stdout
    assert [path.name for path in tmp_path.iterdir() if "csv" in path.name] == []


def test_texts_of_numbers_are_read_as_numbers_are(tmp_path):
    path = tmp_path / "widened.csv"
    path.write_text("item_id,confidence,correct\na,0.8999999761581421,1\nb, .5,0\n")
    import_file(path, tmp_path / "a.sqlite")
    with AnswerLog(tmp_path / "a.sqlite", read_only=True) as log:
        assert log.read()["confidence"].tolist() == [0.9, 0.5]
    path.write_text("item_id,confidence,correct\na,0.5,1\nb,0_9,0\n")
    with pytest.raises(MedcalError, match=r"row 2, column 'confidence'.*not a number"):
        import_file(path, tmp_path / "b.sqlite")
