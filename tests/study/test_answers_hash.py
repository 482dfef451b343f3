"""The hash of a file of answers: what changes it, what doesn't, and when it is reckoned."""

import os

import numpy as np
import pandas as pd
import pytest

from medcal_nb.answers import AnswerLog
from medcal_nb.files import file_hash
from medcal_nb.study import context
from medcal_nb.study.context import answers_hash


@pytest.fixture
def rows(rng):
    same = {"run_id": "r1", "model": "m", "dataset": "d", "domain": "medical", "gold": "yes",
            "question_type": "closed", "split": "test", "strategy": "verbalized", "sample": 0,
            "answer": "yes", "raw": "yes, 80 %", "parse_ok": True, "new_tokens": 4}  # fmt: skip
    shares = {"yes": 0.25, "no": 0.75}
    return pd.DataFrame(
        [
            same | {"item_id": f"i{i}", "confidence": c, "correct": i % 3 > 0, "seconds": c / 7,
                    "option_probabilities": shares if i % 2 else None}
            for i, c in enumerate(rng.uniform(size=12).round(3))
        ]
    )  # fmt: skip


def hash_of(path, *pieces):
    with AnswerLog(path) as log:
        for piece in pieces:
            log.append(piece)
    return answers_hash(path, path.with_suffix(".json"))


def test_it_ignores_order_run_and_seconds_and_sees_one_changed_value(rows, tmp_path):
    first = hash_of(tmp_path / "a.sqlite", rows)
    other = rows.sample(frac=1, random_state=1).assign(run_id="r2", seconds=0.5)
    assert hash_of(tmp_path / "b.sqlite", other.iloc[:7], other.iloc[7:]) == first
    changes = {"confidence": np.nan, "correct": None, "answer": "no", "raw": "yes, 81 %",
               "option_probabilities": {"yes": 0.75, "no": 0.25}, "new_tokens": 5}  # fmt: skip
    for column, value in changes.items():
        changed = rows.astype({column: object})
        changed.at[3, column] = value
        assert hash_of(tmp_path / f"{column}.sqlite", changed) != first, column


def test_it_is_reckoned_once_for_as_long_as_the_file_stays(rows, tmp_path, monkeypatch):
    reckoned, real = [], context._reckoned
    monkeypatch.setattr(context, "_reckoned", lambda p: reckoned.append(p) or real(p))
    path, known = tmp_path / "a.sqlite", tmp_path / "a.json"
    before = hash_of(path, rows.iloc[:-1])
    assert answers_hash(path, known) == before
    assert len(reckoned) == 1
    with AnswerLog(path) as log:  # the row waits beside the log while it is open
        log.append(rows.iloc[-1:])
        assert path.with_name("a.sqlite-wal").stat().st_size
        assert answers_hash(path, known) != before
    # an old time and an equal size hide nothing
    other = tmp_path / "a.csv"
    other.write_text("x\n1\n")
    first, stat = answers_hash(other, known), other.stat()
    assert first == file_hash(other)
    other.write_text("x\n2\n")
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert answers_hash(other, known) == file_hash(other) != first
